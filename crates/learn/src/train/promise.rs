//! Training with a promise: a part of the rows is kept fresh, the predictor learns from the others, and how far it may stray
//! from the reference model is picked on the fresh ones.

use super::{Options, Sample, Step, TrainError, Trained, train};
use crate::field::Scratch;
use crate::guarantee::{self, Certificate, Fresh, Point, Promise, Scale};
use crate::outcome::{Matrix, Row};
use crate::predictor::Predictor;
use crate::rng::Rng;

/// The share of rows that is kept fresh.
const FRESH: f64 = 0.3;

/// What to promise.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The model whose quality is the measure.
    pub reference: String,
    /// The largest mean quality loss against it, in score.
    pub max_quality_loss: f64,
    /// The probability that the promise is right.
    pub confidence: f64,
}

/// Why there is no promise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PromiseError {
    /// Training failed.
    #[error(transparent)]
    Training(#[from] TrainError),
    /// The reference is not among the models that were learned.
    #[error("the reference {reference:?} is not among the models of the data with enough outcomes: {}", .models.join(", "))]
    Reference {
        /// The name that was given.
        reference: String,
        /// The names there are.
        models: Vec<String>,
    },
    /// What is promised cannot be tested.
    #[error(transparent)]
    Certifying(#[from] guarantee::Error),
}

/// Trains on seven tenths of the rows and certifies on the rest; the statement goes into the predictor's summary.
///
/// # Errors
/// [`PromiseError`]: nothing to learn from, an unknown reference, or a promise that no data could keep.
pub fn train_with_promise(
    samples: &[Sample],
    wanted: &Wanted,
    options: Options,
    progress: &dyn Fn(Step),
) -> Result<(Trained, Certificate), PromiseError> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    Rng::new(options.seed).fork(9).shuffle(&mut order);
    let (fresh, learned) = order.split_at((samples.len() as f64 * FRESH) as usize);
    let of = |part: &[usize]| part.iter().map(|ix| samples[*ix].clone()).collect::<Vec<_>>();
    let (fresh, learned) = (of(fresh), of(learned));
    let mut trained = train(&learned, options, progress)?;
    let certificate = certify(&trained.predictor, &learned, &fresh, wanted)?;
    trained.predictor.summary.guarantee = Some(certificate.statement.clone());
    trained.predictor.summary.notes.push(certificate.to_string());
    Ok((trained, certificate))
}

/// How much worse than the reference a model may be predicted to be and still be taken, from careful to bold.
fn tolerances() -> impl Iterator<Item = f64> {
    (0..=60).map(|step| f64::from(step) * 0.01 - 0.2)
}

fn certify(
    predictor: &Predictor,
    learned: &[Sample],
    fresh: &[Sample],
    wanted: &Wanted,
) -> Result<Certificate, PromiseError> {
    let models: Vec<String> = predictor.models().map(ToOwned::to_owned).collect();
    let Some(reference) = models.iter().position(|m| *m == wanted.reference) else {
        return Err(PromiseError::Reference { reference: wanted.reference.clone(), models });
    };
    let rows = |samples: &[Sample]| samples.iter().map(|s| s.row.clone()).collect::<Vec<Row>>();
    let known = Matrix::new(&rows(learned), Some(&models));
    let complete: Vec<&Sample> =
        fresh.iter().filter(|s| models.iter().all(|m| s.row.outcomes.contains_key(m))).collect();
    let matrix = Matrix::new(&complete.iter().map(|s| s.row.clone()).collect::<Vec<_>>(), Some(&models));
    let cost = mean_costs(&known);
    let mut scratch = Scratch::default();
    let quality: Vec<Vec<f64>> = complete
        .iter()
        .map(|s| predictor.predict(&s.features, &s.labels, &mut scratch).iter().map(|e| f64::from(e.quality)).collect())
        .collect();
    let settings: Vec<f64> = tolerances().collect();
    let picks: Vec<Vec<usize>> = settings
        .iter()
        .map(|tolerance| quality.iter().map(|q| pick(q, &cost, reference, *tolerance)).collect())
        .collect();
    let points: Vec<Point<'_>> =
        settings.iter().zip(&picks).map(|(setting, picks)| Point { setting: *setting, picks }).collect();
    let promise = Promise {
        max_quality_loss: wanted.max_quality_loss,
        confidence: wanted.confidence,
        scale: Scale::of(known.score.iter().flatten().copied()),
    };
    Ok(guarantee::certify(&Fresh { matrix: &matrix, reference: &wanted.reference }, &points, &promise)?)
}

/// The cheapest model that is not predicted to be worse than the reference by more than `tolerance`; the reference, where
/// none is.
fn pick(quality: &[f64], cost: &[f64], reference: usize, tolerance: f64) -> usize {
    let enough = |m: &usize| *m == reference || quality[*m] >= quality[reference] - tolerance;
    (0..quality.len()).filter(enough).min_by(|a, b| cost[*a].total_cmp(&cost[*b])).unwrap_or(reference)
}

fn mean_costs(known: &Matrix) -> Vec<f64> {
    (0..known.models.len())
        .map(|m| {
            let answered = known.score.iter().zip(&known.cost).filter(|(s, _)| !s[m].is_nan());
            let costs: Vec<f64> = answered.map(|(_, c)| c[m]).collect();
            costs.iter().sum::<f64>() / costs.len().max(1) as f64
        })
        .collect()
}

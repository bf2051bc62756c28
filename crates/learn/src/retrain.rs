//! Retraining from what was kept: which rows the candidate learns from, which are held back for judging, and whether it may
//! take the present predictor's place. It stores and swaps nothing.

use crate::field::Scratch;
use crate::guarantee::{self, Bar, Comparison, Scale};
use crate::predictor::Predictor;
use crate::rng::Rng;
use crate::train::{Options, Sample, Step, TrainError, Trained, train};

/// Of the rows that came after the present predictor was made, the share that neither predictor learns from.
const HELD_BACK: f64 = 0.5;
/// Fresh rows below which nothing is decided.
pub const FEWEST_FRESH: usize = 50;

/// A row, and when it came.
#[derive(Debug, Clone)]
pub struct Dated {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// What was learned from it, or can be.
    pub sample: Sample,
}

/// The predictor in force, and when it was made: rows that came later it has not seen.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// What it says.
    pub predictor: &'a Predictor,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

/// How a candidate is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judging {
    /// The probability that a candidate which is no better is kept out, over all tries: from 0.5 to below 1.
    pub confidence: f64,
    /// Which try this is since the present predictor was put in force, from 1.
    pub attempt: u32,
}

/// A candidate, and what became of the comparison.
#[derive(Debug)]
pub struct Retrained {
    /// What was trained.
    pub trained: Trained,
    /// Against the present predictor on rows that neither was trained on; None where there was none.
    pub comparison: Option<Comparison>,
}

/// Why there is no candidate.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// It could not be trained.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// It could not be compared.
    #[error("the candidate cannot be compared with the present predictor: {0}")]
    Compare(#[from] guarantee::Error),
}

/// Trains a candidate and compares it with the present predictor: by 1 minus the squared error of what each expects of the
/// models that answered, on rows that neither has seen. Deterministic from the seed in `options`.
///
/// # Errors
/// See [`RetrainError`].
pub fn retrain(
    rows: Vec<Dated>,
    present: Option<Present<'_>>,
    options: Options,
    judging: Judging,
    progress: &dyn Fn(Step),
) -> Result<Retrained, RetrainError> {
    let Some(present) = present else {
        let all: Vec<Sample> = rows.into_iter().map(|row| row.sample).collect();
        return Ok(Retrained { trained: train(&all, options, progress)?, comparison: None });
    };
    let mut rng = Rng::new(options.seed).fork(0xf5e5);
    let mut is_held_back = |row: &Dated| row.unix_ms > present.unix_ms && rng.unit() < HELD_BACK;
    let (fresh, rest): (Vec<Dated>, Vec<Dated>) = rows.into_iter().partition(|row| is_held_back(row));
    let rest: Vec<Sample> = rest.into_iter().map(|row| row.sample).collect();
    let trained = train(&rest, options, progress)?;
    let fresh: Vec<Sample> = fresh.into_iter().map(|row| row.sample).collect();
    let (before, after): (Vec<f64>, Vec<f64>) = accuracy(present.predictor, &fresh)
        .into_iter()
        .zip(accuracy(&trained.predictor, &fresh))
        .filter_map(both)
        .unzip();
    let confidence = guarantee::confidence_of_attempt(judging.confidence, judging.attempt);
    let bar = Bar { least_gain: 0.0, confidence, least_rows: FEWEST_FRESH, scale: Scale::Graded };
    let comparison = Some(guarantee::better(&before, &after, &bar)?);
    Ok(Retrained { trained, comparison })
}

/// Rows that both predictors can be judged by.
fn both((before, after): (Option<f64>, Option<f64>)) -> Option<(f64, f64)> {
    before.zip(after)
}

/// 1 minus the squared error of each row's outcomes, on average; None where the predictor knows none of its models.
fn accuracy(predictor: &Predictor, samples: &[Sample]) -> Vec<Option<f64>> {
    let names: Vec<&str> = predictor.models().collect();
    let mut scratch = Scratch::default();
    let mut of = |sample: &Sample| {
        let expected = predictor.predict(&sample.features, &sample.labels, &mut scratch);
        let errors: Vec<f64> = names
            .iter()
            .zip(&expected)
            .filter_map(|(name, e)| Some((f64::from(e.quality) - sample.row.outcomes.get(*name)?.score).powi(2)))
            .collect();
        (!errors.is_empty()).then(|| 1.0 - errors.iter().sum::<f64>() / errors.len() as f64)
    };
    samples.iter().map(&mut of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guarantee::PromotionVerdict as Verdict;
    use crate::outcome::{Outcome, Row};

    const JUDGING: Judging = Judging { confidence: 0.95, attempt: 1 };

    /// Requests of two kinds at two models, one answer each, as a gateway keeps them; `good` is how often model `a` is good
    /// at sums and `b` at poems, each the other way round at the other.
    fn kept(seed: u64, n: usize, from_ms: i64, good: f64) -> Vec<Dated> {
        let mut rng = Rng::new(seed);
        (0..n)
            .map(|i| {
                let sum = rng.unit() < 0.5;
                let text = match sum {
                    true => format!("What is {} + {} * {}?", rng.below(900), rng.below(900), rng.below(900)),
                    false => format!("Write a tender poem about the sea and {} gulls, please.", rng.below(900)),
                };
                let (model, chance) = match (rng.unit() < 0.5, sum) {
                    (true, true) => ("a", good),
                    (true, false) => ("a", 1.0 - good),
                    (false, true) => ("b", 1.0 - good),
                    (false, false) => ("b", good),
                };
                let score = f64::from(u8::from(rng.unit() < chance));
                let outcome = Outcome { score, input_tokens: None, output_tokens: None, cost_usd: None };
                let row = Row {
                    id: format!("{seed}-{i}"),
                    source: String::new(),
                    task: String::new(),
                    prompt: text,
                    outcomes: [(model.to_owned(), outcome)].into_iter().collect(),
                };
                Dated { unix_ms: from_ms + i as i64, sample: Sample::of(row, None) }
            })
            .collect()
    }

    fn first(rows: &[Dated]) -> Predictor {
        retrain(rows.to_vec(), None, Options::default(), JUDGING, &|_| ()).unwrap().trained.predictor
    }

    #[test]
    fn a_world_that_changed_replaces_the_predictor() {
        let old = kept(1, 600, 0, 0.1);
        let present = first(&old);
        let new = kept(2, 1200, 1_000, 0.9);
        let present = Present { predictor: &present, unix_ms: 900 };
        let done = retrain(new, Some(present), Options::default(), JUDGING, &|_| ()).unwrap();
        let comparison = done.comparison.unwrap();
        assert_eq!(comparison.verdict, Verdict::Replace, "{comparison}");
        assert!((450..750).contains(&comparison.rows) && comparison.gain > 0.1, "{comparison}");
    }

    #[test]
    fn what_is_no_better_stays_out_and_little_decides_nothing() {
        let old = kept(3, 900, 0, 0.8);
        let predictor = first(&old);
        let present = Present { predictor: &predictor, unix_ms: 900 };
        for seed in 4..9 {
            let rows = [old.clone(), kept(seed, 300, 1_000, 0.8)].concat();
            let comparison =
                retrain(rows, Some(present), Options::default(), JUDGING, &|_| ()).unwrap().comparison.unwrap();
            assert_ne!(comparison.verdict, Verdict::Replace, "{comparison}");
        }
        let rows = [old, kept(9, 40, 1_000, 0.1)].concat();
        let comparison =
            retrain(rows, Some(present), Options::default(), JUDGING, &|_| ()).unwrap().comparison.unwrap();
        assert_eq!(comparison.verdict, Verdict::TooFewRows, "{comparison}");
    }

    #[test]
    fn too_little_to_learn_from_is_said() {
        let error = retrain(kept(5, 10, 0, 0.5), None, Options::default(), JUDGING, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("10 rows") && error.contains("too few"), "{error}");
    }
}

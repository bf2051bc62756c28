//! Guards of training: what is too little data, how much of the predicted differences to believe, how wide intervals are.

use super::{BELIEFS, FEWEST_OUTCOMES, FEWEST_ROWS, Options, Sample, TrainError, WORTH_IT, believe_all};
use crate::eval::{self, Predictions, Report};
use crate::field::{ROWS_FOR_TEXT, Trained};
use crate::heads::Targets;
use crate::outcome::{Matrix, Row};
use crate::predictor::class;

/// Rows with an outcome of every model that an evaluation needs.
const FEWEST_COMPLETE: usize = 50;
/// What is believed where no evaluation can say.
const UNJUDGED: f32 = 0.5;
/// Rows of the whole that an interval's class is mixed with.
const POOLED: f64 = 5.0;

/// Rows and models that can be learned from.
pub(super) struct Data {
    pub(super) samples: Vec<Sample>,
    pub(super) models: Vec<String>,
    /// Rows × models, NaN where a model did not answer.
    pub(super) score: Vec<Vec<f64>>,
    pub(super) notes: Vec<String>,
}

/// Leaves out models with too few outcomes, then rows without any.
pub(super) fn check(samples: &[Sample]) -> Result<Data, TrainError> {
    let rows: Vec<Row> = samples.iter().map(|s| s.row.clone()).collect();
    if rows.len() < FEWEST_ROWS {
        return Err(TrainError::Few { rows: rows.len() });
    }
    let all = Matrix::new(&rows, None);
    let known = |ix: usize| all.score.iter().filter(|r| !r[ix].is_nan()).count();
    let (mut models, mut notes) = (Vec::new(), Vec::new());
    for (ix, name) in all.models.iter().enumerate() {
        match known(ix) {
            n if n >= FEWEST_OUTCOMES => models.push(name.clone()),
            n => notes.push(format!(
                "{name:?} has {n} outcomes and is left out: below {FEWEST_OUTCOMES} it cannot be told from the others"
            )),
        }
    }
    if models.len() < 2 {
        return Err(TrainError::Models { models: models.len(), left_out: notes });
    }
    // In the order of their names, so that the order of lines and files changes nothing.
    models.sort();
    let kept: Vec<Sample> =
        samples.iter().filter(|s| models.iter().any(|m| s.row.outcomes.contains_key(m))).cloned().collect();
    if kept.len() < FEWEST_ROWS {
        return Err(TrainError::Few { rows: kept.len() });
    }
    let rows: Vec<Row> = kept.iter().map(|s| s.row.clone()).collect();
    let score = Matrix::new(&rows, Some(&models)).score;
    let mut scores = score.iter().flatten().filter(|s| !s.is_nan());
    if let Some(&first) = scores.next()
        && scores.all(|s| *s == first)
    {
        return Err(TrainError::OneClass { score: first });
    }
    if kept.len() < ROWS_FOR_TEXT {
        notes
            .push(format!("{} rows give priors only; from {ROWS_FOR_TEXT} on the text of a prompt counts", kept.len()));
    }
    Ok(Data { samples: kept, models, score, notes })
}

/// How much to believe, and what it is worth.
pub(super) struct Judged {
    pub(super) belief: f32,
    pub(super) report: Option<Report>,
}

/// The smallest belief that is about as good as the best one, on rows that no prediction had seen.
pub(super) fn belief(
    rows: &[Row],
    models: &[String],
    fields: &Trained,
    cost: Option<Vec<Vec<f64>>>,
    options: Options,
    notes: &mut Vec<String>,
) -> Judged {
    let complete = rows.iter().filter(|r| models.iter().all(|m| r.outcomes.contains_key(m))).count();
    if complete < FEWEST_COMPLETE {
        notes.push(format!(
            "{complete} rows have an outcome of every model; below {FEWEST_COMPLETE} nothing can be said of what routing gains, \
             and half of the predicted differences is believed"
        ));
        return Judged { belief: UNJUDGED, report: None };
    }
    let judge = |belief: f32, resamples: usize| {
        let mut scores = fields.unseen.clone();
        believe_all(belief, &fields.unseen_prior, &mut scores, models.len());
        let quality = scores.chunks_exact(models.len()).map(|r| r.iter().map(|s| f64::from(*s)).collect()).collect();
        let predictions = Predictions { models: models.to_vec(), quality, cost: cost.clone() };
        let settings = eval::Settings { resamples, seed: options.seed, threads: options.threads, pair: None };
        eval::evaluate(rows, &[predictions], None, &settings).ok()
    };
    let gain = |report: &Report| if models.len() == 2 { report.metrics.apgr } else { report.metrics.hgr };
    let full = judge(1.0, options.resamples);
    let spread = full.as_ref().and_then(|r| if models.len() == 2 { r.intervals.apgr } else { r.intervals.hgr });
    let error = spread.map_or(0.0, |[low, high]| (high - low) / 3.92);
    // With two models a belief changes no order, unless it is none at all.
    let beliefs: &[f32] = if models.len() == 2 { &[0.0, 1.0] } else { &BELIEFS };
    let gains: Vec<(f32, f64)> = beliefs.iter().filter_map(|b| Some((*b, gain(&judge(*b, 0)?)?))).collect();
    let best = gains.iter().map(|g| g.1).fold(f64::NEG_INFINITY, f64::max);
    let chosen = gains.iter().find(|g| g.1 >= best - WORTH_IT * error).map_or(UNJUDGED, |g| g.0);
    let report = judge(chosen, options.resamples);
    if let Some(report) = &report {
        claim(report, chosen, notes);
    }
    Judged { belief: chosen, report }
}

/// Says what cross-validation shows, and refuses to say more.
fn claim(report: &Report, belief: f32, notes: &mut Vec<String>) {
    let (name, value, interval, chance) = match report.metrics.apgr {
        Some(apgr) => ("APGR", apgr, report.intervals.apgr, 0.5),
        None => match report.metrics.hgr {
            Some(hgr) => ("HGR", hgr, report.intervals.hgr, 0.0),
            None => return notes.push("no gap between the models: there is nothing to gain by routing".to_owned()),
        },
    };
    let [low, high] = interval.unwrap_or([f64::NAN, f64::NAN]);
    let said =
        format!("cross-validated {name} {value:.3} ({low:.3} to {high:.3}; {chance} is what no text at all gives)");
    notes.push(if low > chance {
        said
    } else {
        format!("{said}: no gain is shown, and none is claimed; use more rows, or static mixing")
    });
    if belief == 0.0 {
        notes.push("differences between models that the text suggests did not hold up: priors alone decide".to_owned());
    }
}

/// Half the width of the interval of each model's expected score, by tenths of it: what the scores of rows that were
/// predicted alike say of their mean.
pub(super) fn half_widths(unseen: &[f32], targets: &Targets) -> Vec<[f32; 10]> {
    let models = targets.outputs;
    (0..models)
        .map(|m| {
            let (mut count, mut off, mut square) = ([0f64; 10], [0f64; 10], [0f64; 10]);
            for (said, truth) in unseen.iter().zip(&targets.values).skip(m).step_by(models).filter(|(_, t)| !t.is_nan())
            {
                let (ix, error) = (class(*said), f64::from(truth - said));
                count[ix] += 1.0;
                off[ix] += error;
                square[ix] += error * error;
            }
            let overall = square.iter().sum::<f64>() / count.iter().sum::<f64>().max(1.0);
            std::array::from_fn(|ix| {
                let n = count[ix] + POOLED;
                let variance = (square[ix] + POOLED * overall) / n;
                let bias = off[ix] / n;
                ((1.96 * (variance / n).sqrt() + bias.abs()) as f32).clamp(0.01, 0.5)
            })
        })
        .collect()
}

//! Training: from rows to a predictor, with guards against learning what is not there. Deterministic from its seed.

mod guard;
mod promise;

pub use promise::{PromiseError, Wanted, train_with_promise};

use crate::eval::{Predictions, Report};
use crate::features::{Features, columns};
use crate::field::{Field, Inputs, ROWS_FOR_TEXT, Scratch, Settings};
use crate::file::FileError;
use crate::heads::Targets;
use crate::labels::Known;
use crate::length::{Lengths, ROWS_FOR_LENGTH, Rate};
use crate::outcome::Row;
use crate::predictor::{ModelSummary, Predictor, Quality, Summary, believe};
use crate::prior::Label;
use crate::rng::Rng;

/// Rows below which nothing is trained.
pub const FEWEST_ROWS: usize = 20;
/// Outcomes below which a model is left out: its mean alone is uncertain by a tenth.
pub const FEWEST_OUTCOMES: usize = 20;
/// How much of the predicted differences may be believed.
const BELIEFS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// What a larger belief must gain over a smaller one, as a share of the gain's uncertainty.
const WORTH_IT: f64 = 0.1;
/// Numbers that words may take in the file: buckets × models.
const WORDS_ROOM: usize = 1 << 16;

/// A row to learn from.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its outcomes; the prompt may be empty.
    pub row: Row,
    /// What is known of its prompt.
    pub features: Features,
    /// Its labels, the most general first.
    pub labels: Vec<Label>,
}

impl Sample {
    /// A row with its prompt; with `route_key: "task"` its task is a label.
    pub fn of(row: Row, route_key: Option<RouteKey>) -> Self {
        let features = Features::of(&row.prompt);
        let task = route_key.filter(|_| !row.task.is_empty()).map(|RouteKey::Task| row.task.as_str());
        let labels = Known { task, ..Known::default() }.labels();
        Self { row, features, labels }
    }
}

/// What of a row is used as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKey {
    /// Its `task`.
    Task,
}

/// How to train.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Folds, samples of trees: the same seed gives the same predictor.
    pub seed: u64,
    /// What of a row is a label.
    pub route_key: Option<RouteKey>,
    /// Threads; the predictor does not depend on it.
    pub threads: usize,
    /// Resamples for the intervals of what cross-validation measured.
    pub resamples: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 7, route_key: None, threads: 1, resamples: 200 }
    }
}

/// A step of training, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Quality: priors and heads over all folds.
    Quality,
    /// Lengths of answers.
    Lengths,
    /// What cross-validation says.
    Judging,
}

/// A predictor, and what training saw.
#[derive(Debug)]
pub struct Trained {
    /// As its file will have it.
    pub predictor: Predictor,
    /// What routing with it was worth on rows that each prediction had not seen; None where too few rows have an outcome of
    /// every model.
    pub report: Option<Report>,
}

/// Why nothing was trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Too few rows.
    #[error(
        "{rows} rows with outcomes are too few to learn from; {FEWEST_ROWS} give priors, {ROWS_FOR_TEXT} let the text of a \
         prompt count, 1,000 give most of what there is to gain"
    )]
    Few {
        /// The rows there are.
        rows: usize,
    },
    /// Too few models with enough outcomes.
    #[error("{} with {FEWEST_OUTCOMES} outcomes or more; routing needs at least two. {}", count(.models), .left_out.join("; "))]
    Models {
        /// The models that have enough.
        models: usize,
        /// What was said of the others.
        left_out: Vec<String>,
    },
    /// Every score is the same.
    #[error("every score is {score}: there is nothing to tell good answers from bad ones by")]
    OneClass {
        /// The score.
        score: f64,
    },
    /// The numbers ran away.
    #[error("training gave a number that is none ({0}); please report the data's shape")]
    NotANumber(#[from] FileError),
}

fn count(models: &usize) -> String {
    match models {
        0 => "there is no model".to_owned(),
        1 => "there is one model".to_owned(),
        n => format!("there are {n} models"),
    }
}

/// Trains a predictor.
///
/// # Errors
/// [`TrainError`]: too little data, or all of it of one kind.
pub fn train(samples: &[Sample], options: Options, progress: &dyn Fn(Step)) -> Result<Trained, TrainError> {
    let data = guard::check(samples)?;
    let rng = Rng::new(options.seed);
    let models = data.models.len();
    let (dense, hashes) = columns(data.samples.iter().map(|s| &s.features));
    let inputs = Inputs { dense, hashes, labels: data.samples.iter().map(|s| s.labels.clone()).collect() };
    let mut notes = data.notes;
    if inputs.hashes.is_none() {
        notes.push("rows without prompts have no words; features and embeddings were learned from".to_owned());
    }
    let buckets = (WORDS_ROOM / models).next_power_of_two().clamp(1 << 11, 1 << 15);
    let settings = Settings { buckets, trees: 200, threads: options.threads };

    progress(Step::Quality);
    let targets = Targets { outputs: models, values: data.score.iter().flatten().map(|s| *s as f32).collect() };
    let fields = Field::train(&inputs, &targets, settings, &rng.fork(1));

    progress(Step::Lengths);
    let rows: Vec<Row> = data.samples.iter().map(|s| s.row.clone()).collect();
    let settings = Settings { buckets: buckets / 4, trees: 100, ..settings };
    let lengths = Lengths::train(&rows, &data.models, &inputs, settings, &rng.fork(2));
    if lengths.is_none() {
        notes.push(format!("fewer than {ROWS_FOR_LENGTH} rows say output tokens: lengths of answers were not learned"));
    }

    progress(Step::Judging);
    let summaries: Vec<ModelSummary> = summaries(&rows, &data.models, &data.score);
    let cost = lengths.as_ref().and_then(|(l, unseen)| costs(&rows, &summaries, l, unseen));
    let judged = guard::belief(&rows, &data.models, &fields, cost, options, &mut notes);
    let mut unseen = fields.unseen;
    believe_all(judged.belief, &fields.unseen_prior, &mut unseen, models);
    let summary = Summary {
        method: "learned".to_owned(),
        seed: options.seed,
        rows: rows.len(),
        models: summaries,
        route_key: options.route_key.map(|_| "task".to_owned()),
        belief: f64::from(judged.belief),
        heads: fields.weights.iter().map(|(name, w)| ((*name).to_owned(), w.clone())).collect(),
        cross_validated: judged.report.as_ref().map(figures).unwrap_or_default(),
        notes,
        guarantee: None,
        licences: "Embeddings are distilled from all-MiniLM-L6-v2 (Apache-2.0). What was learned is yours.".to_owned(),
    };
    let half_width = guard::half_widths(&unseen, &targets);
    let quality = Quality { field: fields.field, belief: judged.belief, half_width };
    let predictor = Predictor { summary, quality, lengths: lengths.map(|(l, _)| l) }.rounded()?;
    Ok(Trained { predictor, report: judged.report })
}

impl Predictor {
    /// What it says of rows, for an evaluation: scores, and costs where lengths and rates are known.
    pub fn predictions(&self, samples: &[Sample]) -> Predictions {
        let mut scratch = Scratch::default();
        let names: Vec<String> = self.models().map(ToOwned::to_owned).collect();
        let mut tokens = Vec::new();
        let quality = samples
            .iter()
            .map(|sample| {
                let expected = self.predict(&sample.features, &sample.labels, &mut scratch);
                tokens.extend(expected.iter().map(|e| e.output_tokens.unwrap_or(0.0)));
                expected.iter().map(|e| f64::from(e.quality)).collect()
            })
            .collect();
        let rows: Vec<Row> = samples.iter().map(|s| s.row.clone()).collect();
        let cost = self.lengths.as_ref().and_then(|lengths| costs(&rows, &self.summary.models, lengths, &tokens));
        Predictions { models: names, quality, cost }
    }
}

/// Predicted costs in US dollars, from the bytes of each prompt and the expected tokens (rows × models) of its answer; None
/// where a model's rate is not known.
fn costs(rows: &[Row], models: &[ModelSummary], lengths: &Lengths, tokens: &[f32]) -> Option<Vec<Vec<f64>>> {
    let rates: Vec<Rate> = models.iter().map(|m| m.rate).collect::<Option<_>>()?;
    let of_row = |(row, tokens): (&Row, &[f32])| {
        let input = |m: usize| f64::from(lengths.input_per_byte[m]) * row.prompt.len() as f64;
        rates.iter().enumerate().map(|(m, r)| r.input * input(m) + r.output * f64::from(tokens[m])).collect()
    };
    Some(rows.iter().zip(tokens.chunks_exact(models.len())).map(of_row).collect())
}

fn summaries(rows: &[Row], models: &[String], score: &[Vec<f64>]) -> Vec<ModelSummary> {
    let of = |(ix, name): (usize, &String)| {
        let known: Vec<f64> = score.iter().map(|r| r[ix]).filter(|s| !s.is_nan()).collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        ModelSummary { name: name.clone(), rows: known.len(), score: mean, rate: Rate::of(rows, name) }
    };
    models.iter().enumerate().map(of).collect()
}

/// Predictions (priors and text, rows × models) as scores.
fn believe_all(belief: f32, prior: &[f32], unseen: &mut [f32], models: usize) {
    for (prior, score) in prior.chunks_exact(models).zip(unseen.chunks_exact_mut(models)) {
        score.iter_mut().zip(prior).for_each(|(s, p)| *s -= p);
        believe(belief, prior, score);
    }
}

fn figures(report: &Report) -> Vec<(String, f64, Option<[f64; 2]>)> {
    let named = report.metrics.named().into_iter().zip(report.intervals.named());
    named.filter_map(|((name, value), (_, interval))| Some((name.to_owned(), (*value)?, *interval))).collect()
}

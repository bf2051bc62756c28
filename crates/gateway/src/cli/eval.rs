//! `waypost eval`: what routing with a model file is worth on held-out outcomes, beside the control arms.

use super::outcomes::{self, DataArgs};
use super::{Failure, print, train};
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;
use waypost_learn::eval::{self, Efficiency, Metrics, Report, Spread, write_predictions};
use waypost_learn::outcome::Row;
use waypost_learn::predictor::Predictor;
use waypost_learn::rng::Rng;
use waypost_learn::train::{Sample, Trained};

/// What `waypost eval` was asked for.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// The model file that `waypost train` wrote
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Outcomes that settings are chosen on, which are then judged on `--data`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    dev: Vec<PathBuf>,
    /// The outcomes that the model was trained on: trains it again with this many seeds and says how far they differ
    #[arg(long, value_name = "N", requires = "train_data")]
    seeds: Option<u64>,
    /// See `--seeds`; also the sample-efficiency figure of `--html`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    train_data: Vec<PathBuf>,
    /// Resamples of rows for the intervals
    #[arg(long, default_value_t = 500)]
    resamples: usize,
    /// The seed of the resamples
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Write a self-contained page with the figures
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Write each row's predicted scores and costs as JSON lines
    #[arg(long, value_name = "OUT")]
    predictions: Option<PathBuf>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Evaluates and prints.
pub(super) fn run(args: &EvalArgs) -> Result<(), Failure> {
    let file = std::fs::read(&args.model).map_err(|e| vec![format!("{}: {e}", args.model.display())])?;
    let predictor = Predictor::read(&file).map_err(|e| vec![format!("{}: {e}", args.model.display())])?;
    let samples = outcomes::read(&args.data)?;
    known_models(&predictor, &samples)?;
    let dev = if args.dev.is_empty() { None } else { Some(outcomes::read(&args.data.with(&args.dev))?) };
    let training = if args.train_data.is_empty() { None } else { Some(Training::read(args)?) };
    let judged = rows(&samples);
    let mut sets = vec![predictor.predictions(&samples)];
    if let Some(path) = &args.predictions {
        let text = write_predictions(&judged, &sets[0]).map_err(|e| vec![e.to_string()])?;
        std::fs::write(path, text).map_err(|e| vec![format!("{}: {e}", path.display())])?;
    }
    if let (Some(training), Some(seeds)) = (&training, args.seeds) {
        for ix in 1..seeds {
            let trained = training.learn(&training.samples, predictor.summary.seed.wrapping_add(ix))?;
            sets.push(trained.predictor.predictions(&samples));
        }
    }
    let dev = dev.map(|dev| (rows(&dev), predictor.predictions(&dev)));
    let settings =
        eval::Settings { resamples: args.resamples, seed: args.seed, threads: outcomes::threads(), pair: None };
    let dev = dev.as_ref().map(|(rows, predictions)| (rows.as_slice(), predictions));
    let mut report = eval::evaluate(&judged, &sets, dev, &settings).map_err(|e| vec![e.to_string()])?;
    if let Some(path) = &args.html {
        if let Some(training) = &training {
            let settings = eval::Settings { resamples: 0, ..settings };
            let metric = if predictor.models().len() == 2 { "apgr" } else { "hgr" };
            report.figures.efficiency = Some(training.efficiency(&samples, &judged, metric, &settings)?);
        }
        let title = format!("Routing with {}", args.model.display());
        let page = eval::html::page(&report, &title, &predictor.summary.notes);
        std::fs::write(path, page).map_err(|e| vec![format!("{}: {e}", path.display())])?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| vec![e.to_string()])?;
        return print(&(text + "\n"));
    }
    print(&table(&report))
}

/// The rows that the model was trained on, to train again.
struct Training {
    data: DataArgs,
    samples: Vec<Sample>,
}

impl Training {
    fn read(args: &EvalArgs) -> Result<Self, Failure> {
        let data = args.data.with(&args.train_data);
        let samples = outcomes::read(&data)?;
        Ok(Self { data, samples })
    }

    fn learn(&self, samples: &[Sample], seed: u64) -> Result<Trained, Failure> {
        train::learn(samples, &self.data, seed, None)
    }

    /// What fewer training rows would have given: a tenth, a quarter, a half and all of them, three trainings each.
    fn efficiency(
        &self,
        samples: &[Sample],
        judged: &[Row],
        metric: &str,
        settings: &eval::Settings,
    ) -> Result<Efficiency, Failure> {
        let mut points = Vec::new();
        for share in [0.1, 0.25, 0.5, 1.0] {
            let count = (self.samples.len() as f64 * share) as usize;
            let mut values = Vec::new();
            for seed in 0..3 {
                let mut part = self.samples.clone();
                Rng::new(seed).shuffle(&mut part);
                // A part that is too small to train on has no point.
                let Ok(trained) = self.learn(&part[..count], seed) else { continue };
                let predicted = trained.predictor.predictions(samples);
                let report = eval::evaluate(judged, &[predicted], None, settings).map_err(|e| vec![e.to_string()])?;
                values.extend(report.metrics.named().iter().find(|(name, _)| *name == metric).and_then(|(_, v)| **v));
            }
            if let Some(spread) = Spread::of(values) {
                points.push((count, spread.mean, spread.min, spread.max));
            }
        }
        Ok(Efficiency { metric: metric.to_owned(), points })
    }
}

fn rows(samples: &[Sample]) -> Vec<Row> {
    samples.iter().map(|s| s.row.clone()).collect()
}

/// A model file of other models than the data's says nothing about it.
fn known_models(predictor: &Predictor, samples: &[Sample]) -> Result<(), Failure> {
    let missing: Vec<&str> =
        predictor.models().filter(|m| !samples.iter().any(|s| s.row.outcomes.contains_key(*m))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(vec![format!("the data has no outcome of {}, which the model file predicts", missing.join(", "))])
}

fn table(report: &Report) -> String {
    let mut out = format!("{} rows, {} models", report.rows, report.models.len());
    if report.left_out > 0 {
        let _ = write!(out, "; {} rows without an outcome of every model were left out", report.left_out);
    }
    let controls = report.controls.named();
    let _ = write!(out, "\n\n{:10} {:>9} {:>19}", "", "router", "95 % interval");
    for (name, _) in &controls {
        let _ = write!(out, " {:>11}", name.replace('_', " "));
    }
    out.push('\n');
    for (ix, (name, value)) in report.metrics.named().into_iter().enumerate() {
        let Some(value) = value else { continue };
        let interval = report.intervals.named()[ix]
            .1
            .map_or(String::new(), |[low, high]| format!("{} to {}", number(low), number(high)));
        let _ = write!(out, "{name:10} {:>9} {interval:>19}", number(*value));
        for (_, control) in &controls {
            let of = |metrics: &Metrics<Option<f64>>| metrics.named()[ix].1.map_or("-".to_owned(), number);
            let _ = write!(out, " {:>11}", of(control));
        }
        out.push('\n');
    }
    if let Some(spread) = &report.spread {
        out.push_str("\nover trainings with several seeds: mean (deviation)\n");
        for (name, spread) in spread.named() {
            if let Some(spread) = spread {
                let _ = writeln!(out, "{name:10} {} ({})", number(spread.mean), number(spread.sd));
            }
        }
    }
    out
}

/// Four digits that count.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.2e}") } else { format!("{value:.4}") }
}

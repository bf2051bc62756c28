//! `waypost train`: from outcome files to a model file, with what cross-validation says of it.

use super::outcomes::{self, DataArgs};
use super::{Failure, file, print};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use waypost_learn::predictor::Summary;
use waypost_learn::train::{Options, Sample, Step, Trained, Wanted, train, train_with_promise};

/// What `waypost train` was asked for.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where the model file goes
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    /// The same seed gives the same file
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Promise that routing loses at most this much mean score against --reference
    #[arg(long, value_name = "SCORE", requires = "reference")]
    max_quality_loss: Option<f64>,
    /// How sure the promise is to be
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    confidence: f64,
    /// The model that the promise measures against
    #[arg(long, value_name = "MODEL", requires = "max_quality_loss")]
    reference: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Trains and writes.
pub(super) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let samples = outcomes::read(&args.data)?;
    let wanted = args.max_quality_loss.zip(args.reference.clone()).map(|(max_quality_loss, reference)| Wanted {
        reference,
        max_quality_loss,
        confidence: args.confidence,
    });
    let trained = learn(&samples, &args.data, args.seed, wanted.as_ref())?;
    let bytes = trained.predictor.write();
    file::replace(&args.out, &bytes)?;
    let summary = &trained.predictor.summary;
    if args.json {
        let text = serde_json::to_string_pretty(summary).map_err(|e| vec![e.to_string()])?;
        return print(&(text + "\n"));
    }
    print(&table(summary, &args.out, bytes.len()))
}

/// Trains with a progress bar.
pub(super) fn learn(
    samples: &[Sample],
    data: &DataArgs,
    seed: u64,
    wanted: Option<&Wanted>,
) -> Result<Trained, Failure> {
    let bar = ProgressBar::new(3);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}").unwrap_or(ProgressStyle::default_bar()),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let progress = |step: Step| {
        let (done, message) = match step {
            Step::Quality => (0, "learning quality"),
            Step::Lengths => (1, "learning lengths of answers"),
            Step::Judging => (2, "judging on rows not seen"),
        };
        bar.set_position(done);
        bar.set_message(message);
    };
    let options = Options { seed, route_key: data.route_key(), threads: outcomes::threads(), ..Options::default() };
    let trained = match wanted {
        None => train(samples, options, &progress).map_err(|e| vec![e.to_string()]),
        Some(wanted) => {
            let promised = train_with_promise(samples, wanted, options, &progress);
            promised.map(|(trained, _)| trained).map_err(|e| vec![e.to_string()])
        }
    };
    bar.finish_and_clear();
    trained
}

fn table(summary: &Summary, path: &Path, bytes: usize) -> String {
    let mut out = format!("{}: {} rows, {bytes} bytes\n\n", path.display(), summary.rows);
    let width = summary.models.iter().map(|m| m.name.len()).max().unwrap_or(0).max(5);
    let _ = writeln!(out, "{:width$}  {:>8}  {:>10}", "model", "outcomes", "mean score");
    for model in &summary.models {
        let _ = writeln!(out, "{:width$}  {:>8}  {:>10.3}", model.name, model.rows, model.score);
    }
    let _ = writeln!(out, "\nof the differences that the text suggests, {:.0} % is believed", summary.belief * 100.0);
    for note in &summary.notes {
        let _ = writeln!(out, "- {note}");
    }
    out
}

//! `waypost outcomes export`: what was kept for learning, as JSON lines in the form of outcome files, with features where
//! those have the prompt.

use super::{ConfigArg, Failure, file, print, report};
use crate::store::{LearnedRow, ROWS_PER_KEY, Reader};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use waypost_core::units::NanoUsd;
use waypost_learn::kept;
use waypost_learn::text::hand::HAND;

/// What of the outcomes is asked for.
#[derive(Debug, Args)]
pub(super) struct OutcomesArgs {
    #[command(subcommand)]
    command: OutcomesCommand,
}

#[derive(Debug, Subcommand)]
enum OutcomesCommand {
    /// Write the outcomes that clients reported, with features of their requests and without prompts
    Export {
        #[command(flatten)]
        config: ConfigArg,
        /// Where they go, as JSON lines
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How far back: 24h, 30d
        #[arg(long, default_value = "365d", value_parser = report::parse_since)]
        since: Duration,
        /// Requests without a score too
        #[arg(long)]
        all: bool,
    },
}

/// Exports.
pub(super) fn run(args: &OutcomesArgs) -> Result<(), Failure> {
    let OutcomesCommand::Export { config, out, since, all } = &args.command;
    let storage = file::storage(config)?;
    let from = crate::clock::unix_ms() - i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let said = |e: crate::store::LedgerError| vec![e.to_string()];
    let kept = Reader::open(&storage).map_err(said)?.learned_rows(from).map_err(said)?;
    let (unusable, found) = (kept.unusable, kept.rows.len());
    let rows = if *all { kept.rows } else { kept.scored(ROWS_PER_KEY) };
    write(out, &rows).map_err(|e| vec![format!("{}: {e}", out.display())])?;
    let other = if unusable > 0 {
        format!("; {unusable} left out: their features are of another version")
    } else {
        String::new()
    };
    print(&format!("{}: {} of {found} requests{other}\n", out.display(), rows.len()))
}

fn write(path: &Path, rows: &[LearnedRow]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    for row in rows {
        writeln!(out, "{}", line(row))?;
    }
    out.flush()
}

fn line(row: &LearnedRow) -> Value {
    let cost = row.cost_nano_usd.map(|c| NanoUsd(c).usd());
    let (hand, embedding) = row.features.dense.split_at(HAND);
    let outcome = json!({"score": row.score.map(rounded), "input_tokens": row.input_tokens,
                         "output_tokens": row.output_tokens, "cost_usd": cost});
    json!({
        "id": row.id.to_string(), "source": "feedback", "task": row.task, "route": row.route, "team": row.team,
        "unix_ms": row.unix_ms, "propensity": row.propensity.map(rounded), "predicted": row.predicted.map(rounded),
        "features": {"version": kept::VERSION, "hand": hand, "embedding": embedding},
        "outcomes": {row.model.as_str(): outcome},
    })
}

/// As it was given, not as `f32` has it.
fn rounded(share: f32) -> f64 {
    (f64::from(share) * 1e6).round() / 1e6
}

//! Outcome files, as `train` and `eval` take them.

use super::Failure;
use clap::Args;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};
use waypost_learn::outcome::Rows;
use waypost_learn::train::{RouteKey, Sample};

/// Problems of a file that are printed; more say the same.
const PROBLEMS_SHOWN: usize = 20;

/// Which outcomes, and what of them is a label.
#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// Outcomes as JSON lines, also gzipped; several are read as one
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// What of a row is known before its text is read: `task`
    #[arg(long, value_name = "KEY", value_parser = ["task"])]
    route_key: Option<String>,
}

impl DataArgs {
    /// The same reading of other files.
    pub(super) fn with(&self, files: &[PathBuf]) -> Self {
        Self { data: files.to_vec(), route_key: self.route_key.clone() }
    }

    pub(super) fn route_key(&self) -> Option<RouteKey> {
        self.route_key.as_ref().map(|_| RouteKey::Task)
    }
}

/// The rows of all files, with the features of their prompts.
pub(super) fn read(args: &DataArgs) -> Result<Vec<Sample>, Failure> {
    let mut rows = Rows::default();
    for path in &args.data {
        let text = text(path)?;
        rows.read(&path.display().to_string(), &text).map_err(|problems| {
            let more = problems.len().saturating_sub(PROBLEMS_SHOWN);
            let shown = problems.iter().take(PROBLEMS_SHOWN).map(ToString::to_string);
            shown.chain((more > 0).then(|| format!("… and {more} more in {}", path.display()))).collect::<Vec<_>>()
        })?;
    }
    let key = args.route_key();
    Ok(rows.rows.into_iter().map(|row| Sample::of(row, key)).collect())
}

/// A file's text, unpacked where it is gzip by its first bytes.
fn text(path: &Path) -> Result<String, Failure> {
    let said = |e: std::io::Error| vec![format!("{}: {e}", path.display())];
    let bytes = std::fs::read(path).map_err(said)?;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).map_err(said)?;
        unpacked
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        vec![format!("{}:{line}: not UTF-8; outcome files are JSON lines", path.display())]
    })
}

/// Threads for training and judging.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

//! `waypost check FILE`: what `serve` runs first. Errors and warnings are its result, so they go to stdout.

use super::{Failure, print};
use crate::reload::today;
use crate::snapshot::Snapshot;
use std::path::Path;
use waypost_core::config;

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| vec![format!("{shown}: {e}")])?;
    let parsed = match config::parse(&text, &|name| std::env::var(name).ok(), today()) {
        Ok(parsed) => parsed,
        Err(errors) => {
            print(&errors.iter().map(|e| format!("{shown}:{e}\n")).collect::<String>())?;
            return Err(vec![format!("{shown}: {} error{}", errors.len(), if errors.len() == 1 { "" } else { "s" })]);
        }
    };
    let warnings = &parsed.warnings;
    let lines = warnings.iter().map(|w| format!("{shown}:{}: warning: {}: {}\n", w.line, w.path, w.message));
    let lines: String = lines.collect();
    let models = parsed.config.registry.model_ixs().len();
    let count = warnings.len();
    Snapshot::build(parsed.config, None)
        .map_err(|errors| errors.iter().map(|e| format!("{shown}: {e}")).collect::<Failure>())?;
    print(&format!("{lines}{shown}: ok ({models} models, {count} warnings)\n"))
}

//! `waypost check FILE`: what `serve` runs first. Errors and warnings are its result, so they go to stdout.

use super::{Failure, print};
use crate::control::{Control, Missing};
use crate::reload::today;
use crate::snapshot::Snapshot;
use std::path::Path;
use waypost_core::config::{self, Config};

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
    let mut lines: String = lines.collect();
    let models = parsed.config.registry.model_ixs().len();
    let mut count = warnings.len();
    if let Some(refusal) = listen_refusal(&parsed.config) {
        return Err(vec![format!("{shown}: server.listen: {refusal}")]);
    }
    let snapshot = Snapshot::build(parsed.config, None)
        .map_err(|errors| errors.iter().map(|e| format!("{shown}: {e}")).collect::<Failure>())?;
    let of_files = &snapshot.predictors.warnings;
    count += of_files.len();
    lines.extend(of_files.iter().map(|w| format!("{shown}:{}: warning: {}: {}\n", w.line, w.path, w.message)));
    print(&format!("{lines}{shown}: ok ({models} models, {count} warnings)\n"))
}

/// Why `serve` would not listen where the configuration says: no key is in it, and none is stored.
fn listen_refusal(config: &Config) -> Option<&'static str> {
    let server = &config.server;
    let refusal = config::listen_refusal(server.listen, server.auth, !config.keys.is_empty())?;
    let has_stored = Control::open(&config.storage, Missing::Refuse).is_ok_and(|c| !c.stored().keys.is_empty());
    (!has_stored).then_some(refusal)
}

//! A changed configuration file, SIGHUP or `/admin/reload`: parse, build, swap. On any error the old snapshot stays,
//! and the errors are logged and shown on `/readyz`.

use crate::app::State;
use crate::snapshot::Snapshot;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use waypost_core::config::{self, Config};

/// How often the file is looked at. Watching by the kernel is not used: editors, `kubectl` and mounts replace files in
/// ways that lose watches, and one `stat` a second costs nothing.
const LOOK: Duration = Duration::from_secs(1);

/// Reads and checks a file; the errors are `FILE:LINE: path: message`. Warnings are logged.
pub fn load(path: &Path) -> Result<Config, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| vec![format!("{}: {e}", path.display())])?;
    match config::parse(&text, &|name| std::env::var(name).ok(), today()) {
        Ok(parsed) => {
            for warning in parsed.warnings {
                tracing::warn!("{}:{warning}", path.display());
            }
            Ok(parsed.config)
        }
        Err(errors) => Err(errors.iter().map(|e| format!("{}:{e}", path.display())).collect()),
    }
}

/// The day in UTC, for warnings about deprecation.
pub fn today() -> jiff::civil::Date {
    let now = jiff::Timestamp::from_millisecond(crate::clock::unix_ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Reloads the file that the gateway was started with; returns what was wrong.
pub fn now(state: &Arc<State>) -> Vec<String> {
    // One at a time: of two that read the file, the one that read it earlier must not win.
    let _alone = state.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    let errors = match state.config_file() {
        None => vec!["the gateway was started without a configuration file".to_owned()],
        Some(path) => load(path).and_then(|config| apply(state, config)).err().unwrap_or_default(),
    };
    // Shown before it is told: who reads the log finds it on `/readyz`.
    state.reload_errors.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&errors);
    for error in &errors {
        tracing::error!("reload refused, the old configuration stays: {error}");
    }
    if errors.is_empty() {
        tracing::info!(version = state.snapshot().version, "configuration reloaded");
    }
    errors
}

fn apply(state: &Arc<State>, config: Config) -> Result<(), Vec<String>> {
    let old = state.snapshot();
    // The listener stays where it is, wherever the file says that the next one should be.
    let (address, has_keys) = (state.address(), !config.keys.is_empty() || state.keyring().has_stored());
    if let Some(refusal) = config::listen_refusal(address, config.server.auth, has_keys) {
        return Err(vec![format!("the gateway listens on {address}: {refusal}")]);
    }
    let mut fixed = Vec::new();
    if config.server.listen != old.config.server.listen {
        fixed.push("server.listen");
    }
    if config.server.tls != old.config.server.tls {
        fixed.push("server.tls");
    }
    if config.server.workers != old.config.server.workers {
        fixed.push("server.workers");
    }
    if config.leases != old.config.leases {
        fixed.push("leases");
    }
    if config.storage != old.config.storage {
        fixed.push("storage");
    }
    if !fixed.is_empty() {
        tracing::warn!("changed, but in force only after a restart: {}", fixed.join(", "));
    }
    let next = Snapshot::build(config, Some(&old))?;
    next.predictors.say_warnings();
    state.swap(next);
    Ok(())
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(SystemTime, u64);

impl Fingerprint {
    /// The file as it is now; `None` where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self(meta.modified().ok()?, meta.len()))
    }
}

/// Looks at the file for ever and reloads when it is no longer the one that was `read`. A file that still changes is
/// left alone until two looks see the same: written in place it is empty or half there for a moment, and an empty file
/// is a configuration, one that asks for no keys.
pub async fn watch(state: Arc<State>, path: PathBuf, mut read: Option<Fingerprint>) {
    let mut last = read;
    loop {
        tokio::time::sleep(LOOK).await;
        let found = Fingerprint::of(&path);
        if found.is_some() && found != read && found == last {
            read = found;
            now(&state);
        }
        last = found;
    }
}

//! The files of commands: which configuration one means (`--config`, `$WAYPOST_CONFIG`, `./waypost.yaml`, else what the
//! environment has), and results that are written whole.

use super::{ConfigArg, Failure};
use crate::reload;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use waypost_core::config::{self, Config, Storage};

/// The file that a command means, where there is one.
pub(super) fn path(arg: &ConfigArg) -> Option<PathBuf> {
    // Not clap's `env`: for clap a variable is as good as an argument, and `route --url` excludes `--config`.
    let variable = || std::env::var_os("WAYPOST_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    let default = PathBuf::from("waypost.yaml");
    arg.config.clone().or_else(variable).or_else(|| default.exists().then_some(default))
}

/// The configuration that a command means, and the file that it comes from.
pub(super) fn load(arg: &ConfigArg) -> Result<(Config, Option<PathBuf>), Failure> {
    match path(arg) {
        Some(path) => Ok((reload::load(&path)?, Some(path))),
        None => Ok((from_environment()?, None)),
    }
}

/// Where the records are.
pub(super) fn storage(arg: &ConfigArg) -> Result<Storage, Failure> {
    Ok(load(arg)?.0.storage)
}

/// Without a file: providers by the keys in the environment, a local Ollama, else the simulated provider.
fn from_environment() -> Result<Config, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let ollama = ollama_models();
    let zero = config::from_env(&env, ollama.as_deref());
    for note in &zero.notes {
        tracing::warn!("{note}");
    }
    let parsed = config::parse(&zero.text, &env, reload::today());
    parsed.map(|p| p.config).map_err(|errors| errors.iter().map(|e| format!("environment:{e}")).collect())
}

/// Names of the models that an Ollama on this machine has pulled; `None` where none answers.
fn ollama_models() -> Option<Vec<String>> {
    let address = SocketAddr::from(([127, 0, 0, 1], 11434));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    stream.write_all(b"GET /api/tags HTTP/1.0\r\nhost: localhost\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).ok()?;
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| &answer[at + 4..])?;
    let tags: serde_json::Value = serde_json::from_slice(body).ok()?;
    let names = tags["models"].as_array()?.iter().filter_map(|m| m["name"].as_str());
    Some(names.map(str::to_owned).collect())
}

/// Writes a file whole or not at all: a gateway or another command may read it at any time.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        vec![format!("{}: {e}", path.display())]
    })
}

//! The gateway as a child process in a throwaway folder.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A gateway that runs. Killed when dropped.
pub(crate) struct Gateway {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    child: Child,
    /// Configuration and ledger.
    _folder: TempDir,
}

impl Gateway {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(binary: &Path) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("soak.yaml");
        std::fs::write(&config, include_str!("soak.yaml"))?;
        let mut child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&config)
            .current_dir(&folder)
            // A breaker's every transition would be a line.
            .env("RUST_LOG", "error,waypost::cli=info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("its errors are piped")?).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = timeout(Duration::from_secs(30), lines.next_line()).await?? else {
                return Err(format!("the gateway did not start:\n{said}").into());
            };
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_owned();
            }
            said += &line;
            said.push('\n');
        };
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("waypost: {line}");
            }
        });
        Ok(Self { address, child, _folder: folder })
    }

    /// Resident memory, KiB (Linux).
    pub(crate) fn resident(&self) -> Result<u64, Box<dyn Error>> {
        let pid = self.child.id().ok_or("the gateway has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS: is this Linux?")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Sends SIGTERM; whether it ended well within half a minute.
    pub(crate) async fn drain(&mut self) -> Result<bool, Box<dyn Error>> {
        let pid = self.child.id().ok_or("the gateway has ended")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        Ok(matches!(timeout(Duration::from_secs(30), self.child.wait()).await, Ok(Ok(status)) if status.success()))
    }
}

//! A server process: started, awaited until it says that it is ready, ended with the test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer means that it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    /// What ends it at once.
    signal: &'static str,
    /// Ends when the server has.
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    /// Runs `program` until its output holds `ready`; `signal` ends it at once.
    ///
    /// # Errors
    /// What it last said, where it ended first.
    pub(crate) fn start(
        program: &Path,
        args: &[String],
        ready: &'static str,
        signal: &'static str,
    ) -> Result<Self, String> {
        let mut command = as_server(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (told, news) = mpsc::channel();
        // The kernel ends the server with the thread that started it: this one lasts as long as the process.
        let keeper = std::thread::spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(told.send(Err(format!("{command:?}: {error}")))),
            };
            let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            let pid = child.id();
            let last = std::thread::scope(|scope| {
                scope.spawn(|| listen(stdout, ready, || drop(told.send(Ok(pid)))));
                listen(stderr, ready, || drop(told.send(Ok(pid))))
            });
            reap(&mut child);
            drop(told.send(Err(last)));
        });
        let pid = news.recv_timeout(PATIENCE).map_err(|e| format!("it is not ready: {e}"))??;
        Ok(Self { pid, signal, keeper: Some(keeper) })
    }

    /// Sends a signal by name and waits for the end.
    pub(crate) fn end(mut self, signal: &str) {
        self.end_with(signal);
    }

    fn end_with(&mut self, signal: &str) {
        let Some(keeper) = self.keeper.take() else { return };
        let _ = Command::new("kill").arg(format!("-{signal}")).arg(self.pid.to_string()).status();
        let _ = keeper.join();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_with(self.signal);
    }
}

fn reap(child: &mut Child) {
    let _ = child.wait();
}

/// Reads to the end; the last lines.
fn listen(from: impl Read, ready: &str, mut is_ready: impl FnMut()) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if line.contains(ready) {
            is_ready();
        }
        last.push_back(line);
        if last.len() > 20 {
            last.pop_front();
        }
    }
    Vec::from(last).join("\n")
}

/// A command that dies with its parent; for root it is run by the user `postgres`, since Postgres refuses to run as root.
pub(crate) fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.env_remove("PGPASSWORD").env("LC_ALL", "C").current_dir("/");
    command
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Starts a server on a port that nobody listens on. Somebody may before it does: then on another one.
pub(crate) fn on_a_free_port(name: &str, mut start: impl FnMut(u16) -> Result<Process, String>) -> Process {
    let mut said = String::new();
    for _ in 0..5 {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        match start(port) {
            Ok(process) => return process,
            Err(error) => said = error,
        }
    }
    panic!("{name}: {said}")
}

/// Finds a program, else fails with the name of its package.
pub(crate) fn find(program: &str, folders: impl Iterator<Item = PathBuf>, package: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = folders.chain(std::env::split_paths(&paths)).map(|folder| folder.join(program)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("`{program}` is missing: apt-get install {package}"))
}

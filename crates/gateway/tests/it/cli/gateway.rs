//! A process of the binary under test: its folder, its environment, its log, its end.

use super::http::{Client, PATIENCE, Reply};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;
use tempfile::TempDir;
use waypost::store::Reader;
use waypost_core::config::Storage;

/// Quick simulated models of three price classes, beta with eyes; a text model with a small window.
pub(super) const CONFIG: &str = r#"
server: { listen: 127.0.0.1:0, workers: 2, cors: [https://app.example.com] }
storage: sqlite:waypost.db
execution: { max_retry_wait: 0s }
providers:
  sim: { dialect: simulated, simulated: { seed: 7, first_token: 0ms, per_token: 0ms, jitter: 0, output_tokens: 5, retry_after: 7s } }
models:
  alpha: { endpoints: [{ provider: sim }], context_window: 8000, capabilities: [tools], price: { input: 0.1, output: 0.4 }, quality: { default: 0.5 } }
  beta: { endpoints: [{ provider: sim }], context_window: 16000, capabilities: [tools, vision], price: { input: 1, output: 4 }, quality: { default: 0.7 } }
  gamma: { endpoints: [{ provider: sim }], context_window: 16000, capabilities: [tools], price: { input: 5, output: 20 }, quality: { default: 0.9 } }
routes:
  cheap: { strategy: cost }
  split: { strategy: weighted, split: { alpha: 1, beta: 1, gamma: 1 } }
  small: { candidates: [alpha] }
stages:
  draft: { strategy: cost }
  review: { model: gamma }
auto: { strategy: balanced }
"#;

/// A folder for one test.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary with this folder as its working directory and an empty environment.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs a command with something on its standard input.
    pub(super) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// What the ledger in this folder has.
    pub(super) fn ledger(&self) -> Reader {
        Reader::open(&Storage::Sqlite(self.path("waypost.db"))).unwrap()
    }
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("it ended by itself");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Its output, where it succeeded.
    #[track_caller]
    pub(super) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// A running gateway; killed when it goes out of scope.
pub(super) struct Gateway {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) folder: Folder,
    log: Arc<Log>,
    reader: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    fn read(&self, from: impl std::io::Read) {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { break };
            self.lines.lock().unwrap().0.push(line);
            self.more.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.more.notify_all();
    }

    /// The first line from line `from` on that holds `text`; blocks until it comes.
    #[track_caller]
    fn wait(&self, from: usize, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().skip(from).find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(!lines.1, "it ended without `{text}` in its log: {:#?}", lines.0);
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{text}` never came in the log: {:#?}", lines.0);
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

impl Gateway {
    /// Serves `config` from a file in a new folder.
    #[track_caller]
    pub(super) fn start(config: &str) -> Self {
        let folder = Folder::new();
        folder.write("gateway.yaml", config);
        Self::in_folder(folder, &["--config", "gateway.yaml"], &[])
    }

    /// Runs `waypost serve` with these arguments and variables, on a free port.
    #[track_caller]
    pub(super) fn in_folder(folder: Folder, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = folder.command(&["serve"]);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(args).envs(variables.iter().copied());
        Self::spawned(folder, command)
    }

    #[track_caller]
    pub(super) fn spawned(folder: Folder, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, of_reader) = (child.stderr.take().unwrap(), log.clone());
        let reader = std::thread::spawn(move || of_reader.read(stderr));
        let line = log.wait(0, "listening on http://");
        let address = line.rsplit("http://").next().unwrap().trim().replace("0.0.0.0", "127.0.0.1").parse().unwrap();
        Self { child, address, folder, log, reader: Some(reader) }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One chat request over a connection of its own.
    pub(super) fn chat(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        self.client().chat(headers, body)
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.client().get(path)
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Reply {
        self.client().post(path, &[], body)
    }

    /// Sends a signal by name.
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lines of the log so far.
    pub(super) fn log_lines(&self) -> usize {
        self.log.lines.lock().unwrap().0.len()
    }

    /// Blocks until a log line from line `from` on holds `text`.
    #[track_caller]
    pub(super) fn logged(&self, from: usize, text: &str) -> String {
        self.log.wait(from, text)
    }

    /// No log line from line `from` on holds `text`.
    #[track_caller]
    pub(super) fn not_logged(&self, from: usize, text: &str) {
        let lines = self.log.lines.lock().unwrap();
        assert_eq!(lines.0.iter().skip(from).find(|line| line.contains(text)), None);
    }

    /// Waits for its end after a signal; what it said, and the folder.
    pub(super) fn ended(mut self) -> (ExitStatus, Vec<String>, Folder) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let lines = std::mem::take(&mut self.log.lines.lock().unwrap().0);
        (status, lines, std::mem::replace(&mut self.folder, Folder::new()))
    }

    /// SIGTERM, a clean end, and the folder with everything in it.
    #[track_caller]
    pub(super) fn stop(self) -> Folder {
        self.signal("TERM");
        let (status, lines, folder) = self.ended();
        assert!(status.success(), "{status}: {lines:#?}");
        folder
    }

    /// Rewrites its configuration file as editors do: whole, under another name, then in its place.
    pub(super) fn rewrite(&self, config: &str) {
        replace(&self.folder.path("gateway.yaml"), config);
    }
}

/// Asks again and again until `holds`; a guard against hanging.
#[track_caller]
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::yield_now();
    }
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

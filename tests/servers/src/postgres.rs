//! A Postgres cluster, and databases in it.

use crate::process::{Process, as_server, find, is_root, on_a_free_port};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Variable with the URL of a cluster that all tests share; without it each process starts its own.
pub const SHARED: &str = "WAYPOST_TEST_POSTGRES";

const USER: &str = "tester";
/// Of throwaway servers on loopback; tests look for it where it must not be.
const PASSWORD: &str = "pass-of-tester";

/// A new, empty database in a cluster that others use too.
#[must_use]
pub fn postgres() -> Database {
    static OWN: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    if let Ok(url) = std::env::var(SHARED) {
        return Database::create(&url, None);
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = own.upgrade().unwrap_or_else(|| Arc::new(Cluster::start()));
    *own = Arc::downgrade(&cluster);
    drop(own);
    Database::create(&cluster.url(), Some(cluster))
}

/// A database; dropped with this, whoever is connected.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    cluster_url: String,
    _cluster: Option<Arc<Cluster>>,
}

impl Database {
    fn create(cluster_url: &str, cluster: Option<Arc<Cluster>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("t{now}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        psql(cluster_url, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (server, _) = cluster_url.rsplit_once('/').unwrap();
        Self { url: format!("{server}/{name}"), name, cluster_url: cluster_url.to_owned(), _cluster: cluster }
    }

    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        address(&self.url)
    }

    /// The same database through another address, such as a relay's.
    #[must_use]
    pub fn url_through(&self, address: &str) -> String {
        self.url.replace(&self.address(), address)
    }

    /// Runs SQL; its rows, one a line, columns with `|` between them.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that fails should say so, and not this.
        let _ = psql_command(&self.cluster_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).output();
    }
}

/// A server with one database, which can be stopped and started again.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    port: u16,
    tls: bool,
    process: Option<Process>,
}

impl Cluster {
    /// A new cluster, running.
    #[must_use]
    pub fn start() -> Self {
        Self::create(None)
    }

    /// A new cluster that also speaks TLS, with this certificate and key in PEM.
    #[must_use]
    pub fn with_tls(cert: &str, key: &str) -> Self {
        Self::create(Some((cert, key)))
    }

    fn create(tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::Builder::new().prefix("waypost-postgres-").tempdir().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        if let Some((cert, key)) = tls {
            std::fs::write(folder.path().join("cert.pem"), cert).unwrap();
            let path = folder.path().join("key.pem");
            std::fs::write(&path, key).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        if is_root() {
            let done = Command::new("chown").args(["-R", "postgres:"]).arg(folder.path()).status().unwrap();
            assert!(done.success(), "the user `postgres` is missing: apt-get install postgresql");
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let output = as_server(&program("initdb"))
            .args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"])
            .args(["-D", &at("data"), "--pwfile", &at("password")])
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut new = Self { folder, port: 0, tls: tls.is_some(), process: None };
        new.process = Some(on_a_free_port("postgres", |port| {
            new.port = port;
            new.try_start()
        }));
        new
    }

    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; the same for life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends connections and stops.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("INT");
        }
    }

    /// Stops as a power cut does.
    pub fn crash(&mut self) {
        if let Some(process) = self.process.take() {
            drop(process);
        }
    }

    /// Starts again after a stop or a crash, at the same address with the same data.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(self.try_start().unwrap_or_else(|said| panic!("postgres: {said}")));
    }

    /// Runs SQL; its rows, one a line, columns with `|` between them.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    fn try_start(&self) -> Result<Process, String> {
        let data = self.folder.path().join("data").display().to_string();
        let mut args = vec!["-D".to_owned(), data, "-p".to_owned(), self.port.to_string()];
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_connections=300",
            "shared_buffers=64MB",
        ] {
            args.extend(["-c".to_owned(), setting.to_owned()]);
        }
        if self.tls {
            let at = |name: &str| self.folder.path().join(name).display().to_string();
            let files = [format!("ssl_cert_file={}", at("cert.pem")), format!("ssl_key_file={}", at("key.pem"))];
            for setting in files.into_iter().chain(["ssl=on".to_owned()]) {
                args.extend(["-c".to_owned(), setting]);
            }
        }
        Process::start(&program("postgres"), &args, "database system is ready to accept connections", "QUIT")
    }
}

/// Debian keeps them outside of `PATH`, by version.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    find(name, folders.into_iter().rev(), "postgresql")
}

fn address(url: &str) -> String {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split('/').next().unwrap_or_default().to_owned()
}

fn psql_command(url: &str, sql: &str) -> Command {
    let mut command = Command::new(program("psql"));
    command.args(["-XqAtv", "ON_ERROR_STOP=1", "-c", sql, url]);
    command
}

#[track_caller]
fn psql(url: &str, sql: &str) -> String {
    let output = psql_command(url, sql).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

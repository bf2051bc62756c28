//! Opening a connection: the URL, TLS, limits of time.

use super::tls;
use crate::store::error::{Fault, LedgerError};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use waypost_core::units::Secret;

/// Name lookup, TCP, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After so much silence the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A database at a server. `Debug` and [`Server::name`] show host and database only.
#[derive(Clone)]
pub(crate) struct Server {
    config: Arc<Config>,
    /// `None`: without TLS.
    tls: Option<MakeRustlsConnect>,
    name: String,
}

impl Server {
    /// Reads `postgres://USER:PASSWORD@HOST/DATABASE?…`. TLS is as the URL's `sslmode` says: `prefer` (default)
    /// encrypts where the server can, without knowing who it is; `require`, `verify-ca` and `verify-full` all check the
    /// certificate, against the file in `sslrootcert`, else against the system's authorities.
    ///
    /// # Errors
    /// The URL or the file cannot be read.
    pub(crate) fn parse(url: &Secret) -> Result<Self, LedgerError> {
        let (url, root_cert) = for_driver(url.expose());
        // The driver's message may quote a piece of the password.
        let wrong = "this Postgres URL cannot be read: expected postgres://USER:PASSWORD@HOST/DATABASE, special \
                     characters in a name or password as %XX, `sslmode` one of disable, prefer, require, verify-full";
        let mut config: Config = url.parse().map_err(|_| LedgerError::Url(wrong.to_owned()))?;
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(2 * KEEPALIVE).keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE / 3).keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("waypost");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            SslMode::Prefer => Some(tls::unverified()),
            _ => Some(tls::verified(root_cert.as_deref()).map_err(LedgerError::Url)?),
        };
        let name = name_of(&config);
        Ok(Self { config: Arc::new(config), tls, name })
    }

    /// Host and database, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As a user can act on it.
    pub(crate) fn explain(&self, source: tokio_postgres::Error) -> LedgerError {
        self.fault(Fault::Postgres(source))
    }

    pub(super) fn fault(&self, source: Fault) -> LedgerError {
        LedgerError::Database { path: self.name.clone(), source }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.name).finish()
    }
}

/// A connection, and the task that drives it on the runtime that opened it. Dropping it closes it at once, whatever the
/// server does: what it was asked to commit may or may not be committed.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects and logs in.
///
/// # Errors
/// Nobody answers in time, or the server refuses.
pub(crate) async fn connect(server: &Server) -> Result<Session, LedgerError> {
    let connecting = async {
        // Two types of connection, one of session.
        match server.tls.clone() {
            Some(tls) => {
                let (client, connection) = server.config.connect(tls).await?;
                Ok(Session { client, driver: tokio::spawn(drive(connection)) })
            }
            None => {
                let (client, connection) = server.config.connect(NoTls).await?;
                Ok(Session { client, driver: tokio::spawn(drive(connection)) })
            }
        }
    };
    within(server, CONNECT_TIMEOUT, connecting).await
}

async fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        // Whoever uses the connection learns of it, and says so.
        tracing::debug!(error = %Fault::Postgres(error), "a connection to Postgres ended");
    }
}

/// What `operation` gives, or an error after `limit`. The session is then not to be used again: an answer to what was
/// asked may still be on its way.
///
/// # Errors
/// The server refused, or was silent.
pub(crate) async fn within<T>(
    server: &Server,
    limit: Duration,
    operation: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, LedgerError> {
    match tokio::time::timeout(limit, operation).await {
        Ok(result) => result.map_err(|e| server.explain(e)),
        Err(_) => Err(server.fault(Fault::Silent(limit))),
    }
}

/// The URL as the driver reads it, and the file of `sslrootcert`, which it does not know.
fn for_driver(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut root_cert = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => root_cert = Some(file.replace("%2F", "/").replace("%2f", "/")),
            Some(("sslmode", "verify-ca" | "verify-full")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    let query = kept.join("&");
    (if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }, root_cert)
}

fn name_of(config: &Config) -> String {
    let host = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let (hosts, ports) = (hosts.join(","), ports.join(","));
    let colon = if ports.is_empty() { "" } else { ":" };
    format!("the Postgres database `{}` at {hosts}{colon}{ports}", config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_no_password() {
        for (url, name) in [
            ("postgres://u:pass@h/d", "the Postgres database `d` at h:5432"),
            ("postgresql://u:pass%40@h:5433/d?sslmode=disable", "the Postgres database `d` at h:5433"),
            ("postgres:///d?host=/run/pg&user=u&password=pass", "the Postgres database `d` at /run/pg"),
        ] {
            let server = Server::parse(&Secret::new(url)).unwrap();
            assert_eq!(server.name(), name);
            assert_eq!(format!("{server:?}"), format!("Server({name:?})"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_without_the_url() {
        for url in [
            "postgres://u:pass@h:port/d",
            "postgres://u:pass@h/d?pass=word",
            "postgres://u:pass@h/d?sslmode=pass",
            "postgres://u:pass@h/d?sslmode=verify-full&sslrootcert=%2Fno/such.pem",
        ] {
            let error = Server::parse(&Secret::new(url)).unwrap_err().to_string();
            assert!(error.starts_with("storage: ") && !error.contains("pass@") && !error.contains("word@"), "{error}");
            assert_eq!(error.contains("/no/such.pem"), url.contains("such"), "{error}");
        }
    }
}

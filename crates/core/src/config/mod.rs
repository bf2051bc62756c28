//! The configuration: text to a checked, resolved [`Config`], or every error at once with its path and line.
//! It reads no file and no environment: text and a lookup come in as arguments.

use crate::policy::{Compliance, PeakRule, Policy, Route, Stage, Surface};
use crate::registry::{ModelIx, Registry};
use crate::units::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All that one version of the configuration says. Immutable; a request holds one for its whole life.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listener and who may use it.
    pub server: Server,
    /// Where records go.
    pub storage: Storage,
    /// IANA time zone of calendars and peak hours.
    pub time_zone: jiff::tz::TimeZone,
    /// Attempts, timeouts, breaker.
    pub execution: Execution,
    /// Client keys; empty: see [`Server::auth`].
    pub keys: Vec<Key>,
    /// Providers, models, endpoints.
    pub registry: Registry,
    /// In file order; `match` is tried in this order.
    pub routes: Vec<Route>,
    /// In file order.
    pub stages: Vec<Stage>,
    /// In file order.
    pub surfaces: Vec<Surface>,
    /// All that hold apply.
    pub compliance: Vec<Compliance>,
    /// In file order; the first that holds applies.
    pub peak: Vec<PeakRule>,
    /// Level 3.
    pub auto: Policy,
    /// Level 4.
    pub fallback_model: Option<ModelIx>,
    /// What is recorded beyond spend.
    pub telemetry: Telemetry,
    /// Output tokens assumed where neither request nor model gives a cap.
    pub default_max_output_tokens: u32,
}

/// The listener. Only `listen`, `tls` and `workers` need a restart.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Largest request body, bytes.
    pub body_limit: usize,
    /// Bearer token of `/admin`; without one it answers on loopback only.
    pub admin_token: Option<Secret>,
    /// `none`: no client keys even beyond loopback.
    pub auth: Auth,
    /// Certificate chain and key, PEM files.
    pub tls: Option<Tls>,
    /// Foreign origins that may call, exact (`https://app.example.com`).
    pub cors: Vec<String>,
    /// Requests in flight beyond which new ones wait.
    pub max_concurrency: usize,
    /// Requests waiting beyond which new ones are refused with 503.
    pub max_queue: usize,
    /// Time that a drain may take before connections are cut.
    pub drain_timeout: Duration,
    /// Worker threads; 0: one a core.
    pub workers: usize,
}

/// Whether client keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Where `keys` has any; a key-less gateway accepts any key on loopback and refuses to listen elsewhere.
    Keys,
    /// Never, wherever it listens.
    None,
}

/// Files of the listener's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM certificate chain.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// An SQLite file; a relative path is from the working directory.
    Sqlite(PathBuf),
    /// In memory, gone at exit.
    Memory,
}

/// How attempts run.
#[derive(Clone, Debug)]
pub struct Execution {
    /// TCP and TLS.
    pub connect_timeout: Duration,
    /// First real output of a stream; `None`: 30 s, and `total_timeout` where reasoning was asked for.
    pub first_token_timeout: Option<Duration>,
    /// A non-streaming answer; `None`: 2 min, and `total_timeout` where reasoning was asked for.
    pub response_timeout: Option<Duration>,
    /// Between two chunks of a stream.
    pub chunk_timeout: Duration,
    /// The whole request, all attempts together.
    pub total_timeout: Duration,
    /// Attempts a request.
    pub max_attempts: u32,
    /// Longest wait for a `Retry-After` or a backoff.
    pub max_retry_wait: Duration,
    /// When an endpoint is taken out of service, and for how long.
    pub breaker: BreakerConfig,
}

/// When a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// Share of failures that opens it …
    pub error_rate: f32,
    /// … once so many requests were seen in the window.
    pub min_requests: u32,
    /// Time that it stays open; doubled on each repeat (up to 10 min), with up to 10 % jitter.
    pub cooldown: Duration,
    /// Requests let through at once when half open.
    pub half_open_probes: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            error_rate: 0.5,
            min_requests: 20,
            cooldown: Duration::from_secs(30),
            half_open_probes: 1,
        }
    }
}

/// A client key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its public name, as in records.
    pub id: Arc<str>,
    /// What the client sends.
    pub secret: Secret,
    /// Whose it is.
    pub team: Option<Arc<str>>,
    /// Tags of every request made with it; they win over the request's own.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Allowed models; empty: all.
    pub models: Vec<ModelIx>,
    /// Allowed routes; empty: all.
    pub routes: Vec<Arc<str>>,
    /// Allowed stages; empty: all.
    pub stages: Vec<Arc<str>>,
}

/// What is recorded beyond spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telemetry {
    /// Share of plain successes whose candidates and exclusions are stored in full; failures and fallbacks always are.
    pub decisions: f64,
}

//! The configuration: text to a checked, resolved [`Config`], or every error at once with its path and line.
//! It reads no file, no environment and no clock: text, a lookup and the date come in as arguments.
//!
//! `tree` turns YAML into nodes with lines, `raw` defines every key once (as Rust types with their JSON Schema),
//! `check` compares the tree with that schema and drops what is wrong, and `resolve` turns names into indices. Each
//! collects its errors and leaves the rest to be looked at, so that one run reports all of them.

mod check;
mod gate;
mod raw;
mod resolve;
mod select;
mod stored;
mod tree;
mod value;
mod zero;

#[cfg(test)]
mod tests;

pub use gate::{Denied, Gate, Leases, OnStoreLoss, Package, Tag};
pub use select::{Unselected, select};
pub use stored::{KeyChange, Mistake, check_grace, check_key, check_limits, limit_change, shown_limits, stored_key};
pub use zero::{ZeroConfig, from_env};

use crate::gate::Limits;
use crate::policy::{Compliance, PeakRule, Policy, Route, Stage, Surface};
use crate::registry::{EndpointIx, ModelIx, Registry};
use crate::units::Secret;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Parses and checks a whole configuration. `env` looks up environment variables, `today` decides which models are past
/// their vendor's deprecation date.
///
/// # Errors
/// Every mistake of the text at once, by line. No message shows a secret or what a variable held.
pub fn parse(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    today: jiff::civil::Date,
) -> Result<Parsed, Vec<ConfigError>> {
    let tree = tree::parse(text);
    let mut errors = tree.errors;
    let mut checked = check::check(&tree.root, &SCHEMA, env, tree.cut);
    let mut config = None;
    let mut warnings = Vec::new();
    let raw = raw::Config::from_checked(std::mem::take(&mut checked.value));
    if raw.is_none() {
        errors.push(checked.lines.error(&Path::root(), "its schema accepts this file and its reader does not".into()));
    }
    if let Some(raw) = raw.filter(|_| !tree.cut) {
        let found = resolve::resolve(&raw, &checked, &tree.root, today);
        let place = |f: &resolve::Finding| checked.lines.error(&f.path, f.message.clone());
        let is_explained =
            |f: &&resolve::Finding| f.absent_from.as_ref().is_some_and(|part| checked.has_error_in(part));
        errors.extend(found.errors.iter().filter(|f| !is_explained(f)).map(place));
        warnings.extend(found.warnings.iter().map(place));
        config = Some(found.config);
    }
    // Where the text breaks off, the last value is not what was meant.
    let end = errors.iter().map(|e| e.line).max().filter(|_| tree.cut).unwrap_or(usize::MAX);
    let structural = checked.errors.iter().map(|(path, message)| checked.lines.error(path, message.clone()));
    errors.extend(structural.filter(|e| e.line < end));
    errors.sort_by_key(|e| e.line);
    warnings.sort_by_key(|w| w.line);
    match config {
        Some(config) if errors.is_empty() => Ok(Parsed { config, warnings }),
        _ => Err(errors),
    }
}

/// Why Waypost must not listen at `address`, if it must not: beyond loopback it asks for keys, configured or stored, or for
/// `auth: none`.
pub fn listen_refusal(address: SocketAddr, auth: Auth, has_keys: bool) -> Option<&'static str> {
    let open = address.ip().to_canonical().is_loopback() || auth == Auth::None || has_keys;
    (!open).then_some(
        "listening beyond loopback needs `keys`, or `auth: none` to let everybody in; a stored key (`waypost key create`) \
         will do as well",
    )
}

/// The JSON Schema of the configuration, as published: each key's text says its meaning, default, unit and whether a
/// reload applies it.
pub fn schema() -> serde_json::Value {
    SCHEMA.clone()
}

static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(raw::schema);

/// A configuration that can run, and what its operator should know of it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Checked and resolved.
    pub config: Config,
    /// Facts that are not known, rules that can never apply. By line.
    pub warnings: Vec<ConfigError>,
}

/// A mistake (or a warning) and where it is. Prints as `LINE: path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// `models.gpt-4o.price.input`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right. Never a secret.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.line, self.message),
            path => write!(f, "{}: {path}: {}", self.line, self.message),
        }
    }
}

/// A place in the tree. Keys may hold dots (`gpt-4.1`), so they are kept apart by a character that they cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Path(String);

impl Path {
    const SEPARATOR: char = '\u{1f}';

    fn root() -> Self {
        Self::default()
    }

    fn key(&self, key: &str) -> Self {
        let key: String = key.chars().filter(|c| *c != Self::SEPARATOR).take(200).collect();
        if self.0.is_empty() { Self(key) } else { Self(format!("{}{}{key}", self.0, Self::SEPARATOR)) }
    }

    fn index(&self, index: usize) -> Self {
        Self(format!("{}{}[{index}]", self.0, Self::SEPARATOR))
    }

    fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once(Self::SEPARATOR).map(|(parent, _)| parent.to_owned()).unwrap_or_default()))
    }

    /// Whether it is `part` or below it. Nothing is within the root: what is wrong somewhere explains nothing elsewhere.
    fn is_within(&self, part: &Self) -> bool {
        !part.0.is_empty()
            && self
                .0
                .strip_prefix(part.0.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(Self::SEPARATOR))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for part in self.0.split(Self::SEPARATOR) {
            if !first && !part.starts_with('[') {
                f.write_str(".")?;
            }
            first = false;
            let shown: String = part.chars().take(80).collect();
            write!(f, "{}", shown.escape_debug())?;
        }
        Ok(())
    }
}

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
    /// Limits and packages.
    pub gate: Gate,
    /// Where budgets are leased from; `None`: from the storage.
    pub leases: Option<Leases>,
    /// How long a lease of a budget lasts.
    pub lease_ttl: Duration,
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
    /// Model files that policies name, each once. Reading them is the shell's.
    pub predictors: Vec<PredictorFile>,
    /// What is recorded beyond spend.
    pub telemetry: Telemetry,
    /// What is kept for learning; `None`: nothing.
    pub learning: Option<Learning>,
    /// Output tokens assumed where neither request nor model gives a cap.
    pub default_max_output_tokens: u32,
}

impl Config {
    /// The policy of a request that was put there, unless it names a model.
    pub fn policy(&self, route: Option<usize>, stage: Option<usize>) -> &Policy {
        match (route, stage) {
            (Some(route), _) => &self.routes[route].policy,
            (None, Some(stage)) => &self.stages[stage].policy,
            (None, None) => &self.auto,
        }
    }
}

/// A file of a learned predictor, and where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictorFile {
    /// A relative one is from the working directory.
    pub path: PathBuf,
    /// Line of the first key that names it.
    pub line: usize,
    /// That key: `routes.support.predictor.model`.
    pub key: String,
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
    /// A Postgres database; the URL holds its password.
    Postgres(Secret),
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
    /// What the client sends; `None` for a stored key, of which only a hash is known.
    pub secret: Option<Secret>,
    /// Whose it is.
    pub team: Option<Arc<str>>,
    /// Tags of every request made with it; they win over the request's own.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Names of allowed models; empty: all. Names, since a stored key outlives a version of the configuration.
    pub models: Vec<Arc<str>>,
    /// Allowed routes; empty: all.
    pub routes: Vec<Arc<str>>,
    /// Allowed stages; empty: all.
    pub stages: Vec<Arc<str>>,
    /// Names of allowed providers; empty: all.
    pub providers: Vec<Arc<str>>,
    /// Its own limits: see [`Gate::key_limits`].
    pub limits: Limits,
    /// Name of its package.
    pub package: Option<Arc<str>>,
    /// From this moment on it opens nothing, milliseconds since the Unix epoch.
    pub expires_ms: Option<i64>,
    /// Where false, it opens nothing.
    pub enabled: bool,
}

impl Key {
    /// A key without limits of its own, that may use everything.
    pub fn new(id: impl Into<Arc<str>>, secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::without_secret(id) }
    }

    /// A stored key, without limits of its own, that may use everything.
    pub fn without_secret(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            secret: None,
            team: None,
            tags: Vec::new(),
            models: Vec::new(),
            routes: Vec::new(),
            stages: Vec::new(),
            providers: Vec::new(),
            limits: Limits::default(),
            package: None,
            expires_ms: None,
            enabled: true,
        }
    }

    /// Whether its requests may go to the provider of this name.
    pub fn allows_provider(&self, name: &str) -> bool {
        self.providers.is_empty() || self.providers.iter().any(|p| &**p == name)
    }

    /// Whether its requests may go to this endpoint.
    pub fn allows_endpoint(&self, registry: &Registry, ix: EndpointIx) -> bool {
        self.providers.is_empty() || self.allows_provider(&registry.provider(registry.endpoint(ix).provider).name)
    }

    /// Whether it opens anything at `unix_ms`.
    pub fn is_valid(&self, unix_ms: i64) -> bool {
        self.enabled && self.expires_ms.is_none_or(|end| unix_ms < end)
    }
}

/// Bounds of what is kept for learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// How long.
    pub keep: Duration,
    /// How many rows, the newest.
    pub max_rows: u64,
}

impl Default for Learning {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 24 * 3600), max_rows: 200_000 }
    }
}

/// What is recorded beyond spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telemetry {
    /// Share of plain successes whose candidates and exclusions are stored in full; failures and fallbacks always are.
    pub decisions: f64,
}

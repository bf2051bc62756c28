//! Keys of the listener, of execution, of client keys and of telemetry.

use super::gate::LimitKeys;
use super::providers::Timeouts;
use super::{Later, List, Unit};
use crate::config::value::{Checked, Expiry, Origin, Pause, Period, Size};
use crate::units::Secret;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Server {
    /// Address and port to listen on. Beyond loopback it needs `keys`, or `auth: none`. Default `127.0.0.1:8080`. Needs a
    /// restart.
    pub(in crate::config) listen: Option<Checked<SocketAddr>>,
    /// Largest request body, in bytes or with a unit. Default `32MiB`.
    pub(in crate::config) body_limit: Option<Checked<Size>>,
    /// Bearer token of `/admin`. Default none: `/admin` answers on loopback only.
    pub(in crate::config) admin_token: Option<Checked<Secret>>,
    /// Whether clients need a key. Default `keys`.
    pub(in crate::config) auth: Option<Auth>,
    /// Certificate of the listener. Default none: plain HTTP. Needs a restart.
    pub(in crate::config) tls: Option<Tls>,
    /// Foreign web origins that may call, exactly as browsers send them. Default none.
    pub(in crate::config) cors: List<Checked<Origin>>,
    /// Requests in flight, beyond which new ones wait. Default 2048: each holds its body and two connections, so this
    /// bounds memory and file descriptors (`ulimit -n` above 4200).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_concurrency: Option<u32>,
    /// Requests waiting, beyond which new ones are refused with 503. Default 1024.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) max_queue: Option<u32>,
    /// How long a shutdown waits for answers in progress before it cuts them. Default `30s`.
    pub(in crate::config) drain_timeout: Option<Checked<Pause>>,
    /// Worker threads; 0 is one a core. Default 0. Needs a restart.
    #[schemars(range(min = 0, max = 1024))]
    pub(in crate::config) workers: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Auth {
    /// One of `keys`; without any, every client is accepted on loopback and Waypost listens nowhere else.
    Keys,
    /// Nobody needs a key, wherever it listens.
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Tls {
    /// PEM file with the certificate chain. No default. Needs a restart.
    #[schemars(length(min = 1))]
    pub(in crate::config) cert: String,
    /// PEM file with the private key. No default. Needs a restart.
    #[schemars(length(min = 1))]
    pub(in crate::config) key: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Execution {
    #[serde(flatten)]
    pub(in crate::config) timeouts: Timeouts,
    /// Upstream attempts for one request, the first included. Default 4.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) max_attempts: Option<u32>,
    /// Longest wait before a repeat, for a backoff or a provider's `Retry-After`. Default `2s`.
    pub(in crate::config) max_retry_wait: Option<Checked<Pause>>,
    /// When an endpoint is taken out of service, and for how long.
    pub(in crate::config) breaker: Breaker,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Breaker {
    /// Failures in a row that open it. Default 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) consecutive_failures: Option<u32>,
    /// Share of failures, 0 to 1, that opens it. Default 0.5.
    pub(in crate::config) error_rate: Option<Unit>,
    /// Requests that must have been seen before `error_rate` counts. Default 20.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) min_requests: Option<u32>,
    /// How long it stays open; doubled on each repeat, up to ten minutes. Default `30s`.
    pub(in crate::config) cooldown: Option<Checked<Period>>,
    /// Requests let through at once to see whether it works again. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) half_open_probes: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Key {
    /// Public name of the key, as in records. No default.
    #[schemars(length(min = 1, max = 200))]
    pub(in crate::config) id: String,
    /// What the client sends as its API key. No default.
    pub(in crate::config) secret: Checked<Secret>,
    #[serde(flatten)]
    pub(in crate::config) terms: KeyTerms,
}

/// What a key may do: the same for those of the file and for stored ones.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct KeyTerms {
    /// Whose key it is. Default none.
    #[schemars(length(min = 1, max = 200))]
    pub(in crate::config) team: Option<String>,
    /// Tags of every request made with it; they win over the request's own. Default none.
    pub(in crate::config) tags: IndexMap<String, String>,
    /// The only models that it may use: names, `tag:WORD`, or `tier:small`, `tier:medium`, `tier:large`, `tier:frontier` for
    /// the models of a size tier of the catalogue. What its package allows not, it may not use either. Default all.
    pub(in crate::config) models: List<String>,
    /// The only routes that it may use. Default all.
    pub(in crate::config) routes: List<String>,
    /// The only stages that it may use. Default all.
    pub(in crate::config) stages: List<String>,
    /// The only providers that its requests may go to. Default all.
    pub(in crate::config) providers: List<String>,
    /// Limits of its own; each goes before its package's, and that before `gate.keys`. Default none.
    pub(in crate::config) limits: LimitKeys,
    /// Package whose limits and models it has: `free`, `standard`, `premium`, or one of `gate.packages`. Default none.
    #[schemars(length(min = 1, max = 200))]
    pub(in crate::config) package: Option<String>,
    /// Its last day, in `time_zone`, or the moment from which it opens nothing. Default never.
    pub(in crate::config) expires: Option<Checked<Expiry>>,
    /// Where `false`, it opens nothing, as if it were not there. Default `true`.
    pub(in crate::config) enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Telemetry {
    /// Share, 0 to 1, of plain successes whose candidates and exclusions are stored in full; failures and fallbacks
    /// always are. Default 1.0.
    pub(in crate::config) decisions: Option<Unit>,
    /// Export of traces and metrics.
    pub(in crate::config) otlp: Option<Later>,
    /// Whether prompts and answers are exported. Only `false` is possible in this version. Default `false`.
    #[schemars(extend("enum" = [false]))]
    pub(in crate::config) capture_content: Option<bool>,
}

//! The listener, execution and telemetry: defaults, and when the listener may face the network.

use super::Resolver;
use crate::config::value::Checked;
use crate::config::{
    Auth, BreakerConfig, Execution, Learning, Path, Server, Storage, Telemetry, Tls, listen_refusal, raw,
};
use crate::registry::Timeouts;
use std::time::Duration;

impl Resolver<'_> {
    pub(super) fn server(&mut self) -> Server {
        let raw = &self.raw.server;
        let at = Path::root().key("server");
        let auth = match raw.auth {
            Some(raw::Auth::None) => Auth::None,
            Some(raw::Auth::Keys) | None => Auth::Keys,
        };
        let listen = raw.listen.as_ref().map_or_else(|| ([127, 0, 0, 1], 8080).into(), |l| l.0);
        let keyless = self.raw.keys.is_empty();
        let refusal = listen_refusal(listen, auth, !keyless);
        if refusal.is_some() && !matches!(self.raw.storage, Some(Checked(Storage::Memory))) {
            // Whether a key is stored is seen at the start.
            let message = "beyond loopback `waypost serve` starts only with a key: none is in this file, so one must be \
                           stored (`waypost key create`)";
            self.warn(&at.key("listen"), message);
        } else if let Some(refusal) = refusal {
            // A broken `keys` or `auth` may be the reason.
            let part = if self.checked.has_error_in(&Path::root().key("keys")) {
                Path::root().key("keys")
            } else {
                at.key("auth")
            };
            self.missing(&at.key("listen"), &part, refusal);
        }
        if auth == Auth::None && !keyless {
            self.warn(&at.key("auth"), "with `auth: none` nobody is asked for the configured `keys`");
        }
        Server {
            listen,
            body_limit: raw.body_limit.as_ref().map_or(32 << 20, |s| s.0.0),
            admin_token: raw.admin_token.as_ref().map(|s| s.0.clone()),
            auth,
            tls: raw.tls.as_ref().map(|t| Tls { cert: t.cert.clone().into(), key: t.key.clone().into() }),
            cors: raw.cors.iter().map(|(_, origin)| origin.0.0.clone()).collect(),
            max_concurrency: raw.max_concurrency.unwrap_or(2048) as usize,
            max_queue: raw.max_queue.unwrap_or(1024) as usize,
            drain_timeout: raw.drain_timeout.as_ref().map_or(Duration::from_secs(30), |d| d.0.0),
            workers: raw.workers.unwrap_or(0) as usize,
        }
    }
}

pub(super) fn timeouts(raw: &raw::Timeouts) -> Timeouts {
    Timeouts {
        connect: raw.connect_timeout.as_ref().map(|d| d.0.0),
        first_token: raw.first_token_timeout.as_ref().map(|d| d.0.0),
        response: raw.response_timeout.as_ref().map(|d| d.0.0),
        chunk: raw.chunk_timeout.as_ref().map(|d| d.0.0),
        total: raw.total_timeout.as_ref().map(|d| d.0.0),
    }
}

pub(super) fn execution(raw: &raw::Execution) -> Execution {
    let given = timeouts(&raw.timeouts);
    let usual = BreakerConfig::default();
    Execution {
        connect_timeout: given.connect.unwrap_or(Duration::from_secs(5)),
        first_token_timeout: given.first_token,
        response_timeout: given.response,
        chunk_timeout: given.chunk.unwrap_or(Duration::from_secs(30)),
        total_timeout: given.total.unwrap_or(Duration::from_secs(600)),
        max_attempts: raw.max_attempts.unwrap_or(4),
        max_retry_wait: raw.max_retry_wait.as_ref().map_or(Duration::from_secs(2), |d| d.0.0),
        breaker: BreakerConfig {
            consecutive_failures: raw.breaker.consecutive_failures.unwrap_or(usual.consecutive_failures),
            error_rate: raw.breaker.error_rate.map_or(usual.error_rate, |u| u.0 as f32),
            min_requests: raw.breaker.min_requests.unwrap_or(usual.min_requests),
            cooldown: raw.breaker.cooldown.as_ref().map_or(usual.cooldown, |d| d.0.0),
            half_open_probes: raw.breaker.half_open_probes.unwrap_or(usual.half_open_probes),
        },
    }
}

pub(super) fn telemetry(raw: &raw::Telemetry) -> Telemetry {
    Telemetry { decisions: raw.decisions.map_or(1.0, |u| u.0) }
}

/// On where the section is there and does not say otherwise.
pub(super) fn learning(raw: Option<&raw::Learning>) -> Option<Learning> {
    let (raw, usual) = (raw?, Learning::default());
    raw.enabled.unwrap_or(true).then(|| Learning {
        keep: raw.keep.map_or(usual.keep, |k| k.0.0),
        max_rows: raw.max_rows.map_or(usual.max_rows, u64::from),
    })
}

//! Breakers: how they stand, and forcing them.

use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::Reply;
use crate::server::edge::reply;
use crate::snapshot::Snapshot;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use waypost_core::health::Force;
use waypost_core::registry::EndpointIx;

pub(super) fn shown(state: &State, snapshot: &Snapshot) -> Value {
    let now = state.clock.instant();
    let registry = &snapshot.config.registry;
    let one = |i: usize| {
        let endpoint = &registry.endpoints[i];
        let view = snapshot.health[i].view(now);
        json!({
            "model": registry.model(endpoint.model).name,
            "provider": registry.provider(endpoint.provider).name,
            "endpoint": endpoint.name,
            "key": endpoint.key,
            "state": view.breaker.name(),
            "forced": view.forced,
            "retry_in_ms": view.retry_at.map(|at| at.since(now).as_millis() as u64),
            "rate_limited_ms": view.rate_limited_until.map(|at| at.since(now).as_millis() as u64),
            "in_flight": view.in_flight,
            "first_token_ms": view.first_token_us / 1000.0,
            "per_token_ms": view.per_token_us / 1000.0,
            "observations": view.observations,
        })
    };
    json!({"endpoints": (0..snapshot.health.len()).map(one).collect::<Vec<_>>(), "events": state.breaker_log()})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForceBody {
    model: String,
    /// Only its endpoints at this provider.
    provider: Option<String>,
    action: String,
}

pub(super) fn force(state: &State, snapshot: &Snapshot, body: &[u8]) -> Result<Reply, Error> {
    let wrong = |message: String| Error::new(Kind::InvalidRequest, message);
    let asked: ForceBody = serde_json::from_slice(body)
        .map_err(|e| wrong(format!("send {{\"model\", \"action\": \"open|close|reset\", \"provider\"?}}: {e}")))?;
    let action = match asked.action.as_str() {
        "open" => Force::Open,
        "close" => Force::Closed,
        "reset" => Force::Reset,
        other => return Err(wrong(format!("`action` is open, close or reset, not `{other}`")).param("action")),
    };
    let registry = &snapshot.config.registry;
    let matches = |i: &usize| {
        let endpoint = &registry.endpoints[*i];
        let provider = &registry.provider(endpoint.provider).name;
        *registry.model(endpoint.model).name == *asked.model
            && asked.provider.as_ref().is_none_or(|p| **p == **provider)
    };
    let chosen: Vec<usize> = (0..registry.endpoints.len()).filter(matches).collect();
    if chosen.is_empty() {
        return Err(Error::new(Kind::ModelNotFound, format!("no endpoint of `{}` matches", asked.model)).param("model"));
    }
    for i in &chosen {
        let event = snapshot.health[*i].force(action, state.clock.instant());
        state.breaker_event(snapshot, EndpointIx(*i as u16), event);
    }
    Ok(reply(StatusCode::OK, &shown(state, snapshot)))
}

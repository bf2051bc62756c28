//! `/admin`: what an operator reads and does at run time. Reading never consumes anything.

use super::edge::{percent_decoded, reply};
use super::{read, service};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::Reply;
use crate::reload;
use crate::snapshot::Snapshot;
use crate::store::By;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use waypost_core::health::Force;
use waypost_core::registry::EndpointIx;
use waypost_core::units::RequestId;

const MOST_BODY: usize = 64 << 10;

/// Answers one admin request; the caller has checked who asks.
pub(super) async fn call(
    state: &Arc<State>,
    snapshot: &Arc<Snapshot>,
    request: Request<Incoming>,
) -> Result<Reply, Error> {
    let (head, body) = request.into_parts();
    let mut body = Some(body);
    let answer = answer(state, snapshot, &head, &mut body).await;
    if let (Err(_), Some(unread)) = (&answer, body) {
        read::discard(unread).await;
    }
    answer
}

/// Takes the body where it reads it.
async fn answer(
    state: &Arc<State>,
    snapshot: &Arc<Snapshot>,
    head: &http::request::Parts,
    body: &mut Option<Incoming>,
) -> Result<Reply, Error> {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    match (method.as_str(), path) {
        ("GET", "/admin/breakers") => Ok(reply(StatusCode::OK, &breakers(state, snapshot))),
        ("POST", "/admin/breakers") => {
            super::guard::json(&head.headers)?;
            let body = match body.take() {
                Some(body) => read::whole(body, MOST_BODY).await?,
                None => Bytes::new(),
            };
            force(state, snapshot, &body)
        }
        ("POST", "/admin/reload") => {
            super::guard::json(&head.headers)?;
            let errors = reload::now(state);
            let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
            let version = state.snapshot().version;
            Ok(reply(status, &json!({"version": version, "reload_errors": errors})))
        }
        ("GET", "/admin/requests") => {
            let limit = parameter(query, "limit").and_then(|l| l.parse().ok()).unwrap_or(50usize).min(1000);
            let rows = read_ledger(state, move |reader| reader.recent(limit)).await?;
            Ok(reply(StatusCode::OK, &json!({"data": rows})))
        }
        ("GET", "/admin/report") => {
            let by = parameter(query, "by").map_or(Some(By::Model), |b| By::from_name(&b));
            let by = by.ok_or_else(|| {
                Error::new(Kind::InvalidRequest, format!("`by` is one of {}", By::ALL.map(By::name).join(", ")))
            })?;
            let since = parameter(query, "since").unwrap_or_else(|| "24h".to_owned());
            let since = crate::cli::report::parse_since(&since)
                .map_err(|e| Error::new(Kind::InvalidRequest, e).param("since"))?;
            let from = crate::clock::unix_ms() - since.as_millis() as i64;
            let report = read_ledger(state, move |reader| reader.report(by, from)).await?;
            Ok(reply(StatusCode::OK, &serde_json::from_str(&crate::cli::report::json(&report)).unwrap_or_default()))
        }
        ("GET", p) if p.starts_with("/admin/requests/") => {
            let id = percent_decoded(&p["/admin/requests/".len()..]);
            let parsed = u128::from_str_radix(&id, 16).map(RequestId);
            let parsed =
                parsed.map_err(|_| Error::new(Kind::InvalidRequest, "a request id is 32 hexadecimal digits"))?;
            let found = read_ledger(state, move |reader| reader.request(parsed)).await?;
            let found =
                found.ok_or_else(|| Error::new(Kind::NotFound, format!("no request `{id}` is in the ledger")))?;
            Ok(reply(StatusCode::OK, &json!(found)))
        }
        (_, p) => Err(service::no_such_path(&head.method, p)),
    }
}

/// Reads the ledger on a thread that may block.
async fn read_ledger<T: Send + 'static>(
    state: &Arc<State>,
    read: impl FnOnce(&crate::store::Reader) -> Result<T, crate::store::LedgerError> + Send + 'static,
) -> Result<T, Error> {
    let state = state.clone();
    let task = tokio::task::spawn_blocking(move || state.ledger.reader().and_then(|reader| read(&reader)));
    let failed = |e: String| Error::new(Kind::Internal, format!("the ledger cannot be read: {e}"));
    task.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

fn breakers(state: &State, snapshot: &Snapshot) -> Value {
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

fn force(state: &State, snapshot: &Snapshot, body: &[u8]) -> Result<Reply, Error> {
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
    Ok(reply(StatusCode::OK, &breakers(state, snapshot)))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|p| p.split_once('='));
    pairs.into_iter().find(|(k, _)| *k == name).map(|(_, v)| percent_decoded(v))
}

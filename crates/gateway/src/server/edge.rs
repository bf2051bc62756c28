//! The small paths beside the data path: health, models, explain.

use super::{Body, read, service};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::{Call, Reply, count_tokens as count, prepare};
use crate::snapshot::Snapshot;
use crate::upstream::Pool;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::config::Key;
use waypost_core::registry::{Dialect, ModelIx, Status};
use waypost_core::units::RequestId;

/// A JSON answer.
pub(super) fn reply(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Reply::new(Body::full(value.to_string()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The process runs and its worker answers.
pub(super) fn healthz() -> Reply {
    reply(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Whether new requests should be sent here: not while draining, and not while spend cannot be recorded.
pub(super) fn readyz(state: &State, snapshot: &Snapshot) -> Reply {
    let draining = state.draining.load(Ordering::Relaxed);
    let (failing, overloaded) = (state.ledger.failing(), state.ledger.overloaded());
    let ready = !draining && !overloaded;
    let errors = state.reload_errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (running, waiting) = state.admission.load();
    let body = json!({
        "ready": ready,
        "draining": draining,
        "configuration": {"version": snapshot.version, "reload_errors": errors},
        "ledger": {"failing": failing, "overloaded": overloaded, "stats": state.ledger.stats(),
                   "decisions_sampled_out": snapshot.sampler.lowered()},
        "requests": {"running": running, "waiting": waiting},
    });
    reply(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

/// Everything that this key may ask for: models, routes, stages, `auto`; in the form that the client's API gives them.
pub(super) fn models(snapshot: &Snapshot, key: Option<&Key>, headers: &HeaderMap) -> Reply {
    let listed = listed(snapshot, key);
    if !is_anthropic(headers) {
        return reply(StatusCode::OK, &json!({"object": "list", "data": listed}));
    }
    let (first, last) = (listed.first().map(|m| &m["id"]), listed.last().map(|m| &m["id"]));
    let page = json!({"first_id": first, "last_id": last, "has_more": false,
                      "data": listed.iter().map(anthropic_model).collect::<Vec<_>>()});
    reply(StatusCode::OK, &page)
}

/// Anthropic's clients name the version of its API in every request.
pub(super) fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// A listed model in Anthropic's form; its time of creation is not known, which that API writes as the epoch.
fn anthropic_model(model: &Value) -> Value {
    let facts = &model["waypost"];
    json!({"type": "model", "id": model["id"], "display_name": model["id"], "created_at": "1970-01-01T00:00:00Z",
           "lifecycle": if facts["status"] == "deprecated" { "deprecated" } else { "active" },
           "max_input_tokens": facts["context_window"], "max_tokens": facts["max_output_tokens"], "waypost": facts})
}

/// One of them; the id may hold `/`.
pub(super) fn model(snapshot: &Snapshot, key: Option<&Key>, headers: &HeaderMap, id: &str) -> Result<Reply, Error> {
    let id = percent_decoded(id);
    let found = listed(snapshot, key).into_iter().find(|m| m["id"] == id.as_str());
    let missing = || Error::new(Kind::ModelNotFound, format!("`{id}` does not exist; GET /v1/models lists what does"));
    let shown = |m: Value| if is_anthropic(headers) { anthropic_model(&m) } else { m };
    found.map(|m| reply(StatusCode::OK, &shown(m))).ok_or_else(missing)
}

fn listed(snapshot: &Snapshot, key: Option<&Key>) -> Vec<Value> {
    let config = &snapshot.config;
    let allowed = |list: fn(&Key) -> &[Arc<str>], name: &Arc<str>| {
        key.is_none_or(|k| list(k).is_empty() || list(k).contains(name))
    };
    let registry = &config.registry;
    let may = |m: &ModelIx| {
        let model = registry.model(*m);
        key.is_none_or(|k| {
            let mut endpoints = model.endpoints.iter();
            config.gate.allows(k, &model.name).is_ok() && endpoints.any(|e| k.allows_endpoint(registry, *e))
        })
    };
    let serves = |m: &ModelIx| registry.model(*m).status != Status::Offline;
    let models = registry.model_ixs().filter(|m| may(m) && serves(m)).map(|m| facts(snapshot, m));
    let routes = config.routes.iter().filter(|r| allowed(|k| &k.routes, &r.name));
    let routes = routes.map(|r| named(&format!("route/{}", r.name), r.policy.strategy.name()));
    let stages = config.stages.iter().filter(|s| allowed(|k| &k.stages, &s.name));
    let stages = stages.map(|s| named(&format!("stage/{}", s.name), s.policy.strategy.name()));
    let auto = std::iter::once(named("auto", config.auto.strategy.name()));
    models.chain(routes).chain(stages).chain(auto).collect()
}

fn named(id: &str, strategy: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": "waypost", "waypost": {"strategy": strategy}})
}

/// A model with its facts, under `waypost`, in the units of the configuration.
pub fn facts(snapshot: &Snapshot, ix: ModelIx) -> Value {
    let registry = &snapshot.config.registry;
    let model = registry.model(ix);
    let providers: Vec<&str> =
        model.endpoints.iter().map(|e| &*registry.provider(registry.endpoint(*e).provider).name).collect();
    let usd = |nano: i64| nano as f64 / 1e9;
    let price = model
        .price
        .map(|p| json!({"input": usd(p.input), "output": usd(p.output), "cache_read": p.cache_read.map(usd)}));
    json!({
        "id": model.name, "object": "model", "created": 0, "owned_by": providers.first(),
        "waypost": {
            "providers": providers,
            "context_window": model.context_window,
            "max_output_tokens": model.max_output_tokens,
            "capabilities": model.capabilities.map(|c| c.names().collect::<Vec<_>>()),
            "price": price,
            "quality": model.quality.default.map(|q| (f64::from(q) * 1000.0).round() / 1000.0),
            "quality_is_prior": model.quality.prior,
            "tags": model.tags,
            "status": format!("{:?}", model.status).to_lowercase(),
        }
    })
}

/// Explains the decision on a chat request; calls no model and records nothing. An error comes with the request where
/// its body was not read.
pub(super) async fn route(
    state: &State,
    snapshot: Arc<Snapshot>,
    id: RequestId,
    request: Request<Incoming>,
) -> Result<Reply, (Error, Option<Request<Incoming>>)> {
    let key = match service::may_post(state, &snapshot, &request) {
        Ok(key) => key,
        Err(e) => return Err((e, Some(request))),
    };
    let (head, body) = request.into_parts();
    let body = read::whole(body, snapshot.config.server.body_limit).await.map_err(|e| (e, None))?;
    let prepared = prepare(snapshot, (Call::Chat, Dialect::OpenAi), key, head.headers, body).map_err(|e| (e, None))?;
    let mut decided = prepared.decide(&state.clock, Some(&state.gate), id);
    let (view, config) = (state.gate.view(), &prepared.snapshot.config);
    let mut scopes = view.find(&prepared.belongs(decided.decision.place())).cells;
    scopes.extend(config.registry.model_ixs().filter_map(|ix| view.model(config, ix).cloned()));
    drop(view);
    if !scopes.is_empty() {
        // What budgets leave is only known of those that were asked about lately.
        state.gate.refresh(&scopes, Duration::from_millis(500)).await;
        decided = prepared.decide(&state.clock, Some(&state.gate), id);
    }
    Ok(reply(StatusCode::OK, &json!(prepared.explain(&decided))))
}

/// How many input tokens a request of Anthropic's dialect has; calls no model and records nothing.
pub(super) async fn count_tokens(
    state: &State,
    pool: &Arc<Pool>,
    snapshot: Arc<Snapshot>,
    id: RequestId,
    request: Request<Incoming>,
) -> Result<Reply, (Error, Option<Request<Incoming>>)> {
    let key = match service::may_post(state, &snapshot, &request) {
        Ok(key) => key,
        Err(e) => return Err((e, Some(request))),
    };
    let (head, body) = request.into_parts();
    let body = read::whole(body, snapshot.config.server.body_limit).await.map_err(|e| (e, None))?;
    let called = (Call::Chat, Dialect::Anthropic);
    let prepared = prepare(snapshot, called, key, head.headers, body).map_err(|e| (e, None))?;
    let tokens = count(state, pool, id, &prepared).await.map_err(|e| (e, None))?;
    Ok(reply(StatusCode::OK, &json!({"input_tokens": tokens})))
}

/// `%2F` and its like, as clients write ids that hold `/`.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
        match (b, digits) {
            (b'%', (Some(high), Some(low))) => {
                out.push(high << 4 | low);
                bytes = ahead;
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

//! One request: which path and dialect, who asks, and on to the proxy or the edge.

use super::{Body, admin, edge, feedback, guard, read};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::{self, Call, Replies, Reply};
use crate::snapshot::Snapshot;
use crate::upstream::Pool;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::config::Key;
use waypost_core::registry::Dialect;
use waypost_core::units::RequestId;

/// Answers one request; it never fails as a call.
pub(super) async fn call(
    state: &Arc<State>,
    pool: &Arc<Pool>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let snapshot = state.snapshot();
    let origin = match guard::origin(&snapshot, state.address(), request.headers()) {
        Ok(origin) => origin,
        Err(e) => return Ok(refuse(state.request_id(), request, e).await),
    };
    let mut reply = if request.method() == Method::OPTIONS && origin.is_some() {
        preflight()
    } else if let Some(called) = called(request.uri().path()) {
        answer(state, pool, snapshot, called, request).await
    } else {
        other(state, pool, &snapshot, peer, request).await
    };
    if let Some(origin) = origin {
        reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        reply.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
        let exposed = HeaderValue::from_static("*");
        reply.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if state.draining.load(Ordering::Relaxed) {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply)
}

/// The calls that a model answers, by path.
fn called(path: &str) -> Option<(Call, Dialect)> {
    Some(match path {
        "/v1/chat/completions" => (Call::Chat, Dialect::OpenAi),
        "/v1/responses" => (Call::Chat, Dialect::Responses),
        "/v1/messages" => (Call::Chat, Dialect::Anthropic),
        "/v1/embeddings" => (Call::Embeddings, Dialect::OpenAi),
        _ => return None,
    })
}

/// Whose errors a client expects: by the path, and where several APIs have it, as all that list models do, by the header
/// that Anthropic's clients always send.
fn client_dialect<B>(request: &Request<B>) -> Dialect {
    let path = request.uri().path();
    let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match () {
        () if below("/v1/messages") => Dialect::Anthropic,
        () if below("/v1/models") && edge::is_anthropic(request.headers()) => Dialect::Anthropic,
        () if below("/v1/feedback") && edge::is_anthropic(request.headers()) => Dialect::Anthropic,
        () if below("/v1/responses") => Dialect::Responses,
        () => Dialect::OpenAi,
    }
}

async fn answer(
    state: &Arc<State>,
    pool: &Arc<Pool>,
    snapshot: Arc<Snapshot>,
    called: (Call, Dialect),
    request: Request<Incoming>,
) -> Reply {
    let arrival = state.clock.instant();
    let id = state.request_id();
    let key = match may_post(state, &snapshot, &request) {
        Ok(key) => key,
        Err(e) => return refuse(id, request, e).await,
    };
    let (head, body) = request.into_parts();
    let body = match read::whole(body, snapshot.config.server.body_limit).await {
        Ok(body) => body,
        Err(e) => return Reply::error(id, called.1, None, e),
    };
    match proxy::prepare(snapshot, called, key, head.headers, body) {
        Ok(prepared) => proxy::answer(state, pool, id, arrival, prepared).await,
        Err(e) => Reply::error(id, called.1, None, e),
    }
}

/// What every POST of a client must pass before its body is read.
pub(super) fn may_post(
    state: &State,
    snapshot: &Snapshot,
    request: &Request<Incoming>,
) -> Result<Option<Arc<Key>>, Error> {
    let key = guard::client(state, snapshot, request.headers())?;
    if request.method() != Method::POST {
        return Err(no_such_path(request.method(), request.uri().path()));
    }
    guard::json(request.headers())?;
    if state.ledger.overloaded() {
        let message = "records cannot be written as fast as requests come: see the log, and try again shortly";
        return Err(Error::new(Kind::Overloaded, message).retry_after(Duration::from_secs(5)));
    }
    Ok(key)
}

/// Refuses before the body was read: it is read and thrown away, so that a client still sending sees the answer.
async fn refuse(id: RequestId, request: Request<Incoming>, error: Error) -> Reply {
    let client = client_dialect(&request);
    read::discard(request.into_body()).await;
    Reply::error(id, client, None, error)
}

/// Everything but the data path.
async fn other(
    state: &Arc<State>,
    pool: &Arc<Pool>,
    snapshot: &Arc<Snapshot>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Reply {
    let client = client_dialect(&request);
    let id = state.request_id();
    let answered = match simple(state, snapshot, peer, &request) {
        Ok(Some(reply)) => return reply,
        Ok(None) if request.uri().path() == "/v1/route" => edge::route(state, snapshot.clone(), id, request).await,
        Ok(None) if request.uri().path() == "/v1/messages/count_tokens" => {
            edge::count_tokens(state, pool, snapshot.clone(), id, request).await
        }
        Ok(None) if request.uri().path() == "/v1/feedback" => feedback::call(state, snapshot, request).await,
        Ok(None) => admin::call(state, snapshot, peer, request).await.map_err(|e| (e, None)),
        Err(e) => Err((e, Some(request))),
    };
    match answered {
        Ok(reply) => reply,
        Err((e, Some(unread))) => refuse(id, unread, e).await,
        Err((e, None)) => Reply::error(id, client, None, e),
    }
}

/// What needs no body; `None`: `/v1/route`, the count of tokens, feedback and `/admin` answer, and the caller may ask them.
fn simple(
    state: &State,
    snapshot: &Snapshot,
    peer: Option<SocketAddr>,
    request: &Request<Incoming>,
) -> Result<Option<Reply>, Error> {
    let (path, headers) = (request.uri().path(), request.headers());
    // The server leaves the body out of answers to HEAD.
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    if path == "/admin" || path.starts_with("/admin/") {
        return guard::admin(snapshot, peer, headers).map(|()| None);
    }
    if matches!(path, "/v1/route" | "/v1/messages/count_tokens" | "/v1/feedback") {
        return Ok(None);
    }
    if path == "/v1" || path.starts_with("/v1/") {
        let key = guard::client(state, snapshot, headers)?;
        return match path.strip_prefix("/v1/models") {
            Some("") if is_get => Ok(Some(edge::models(snapshot, key.as_deref(), headers))),
            Some(id) if is_get && id.len() > 1 && id.starts_with('/') => {
                edge::model(snapshot, key.as_deref(), headers, &id[1..]).map(Some)
            }
            _ => Err(no_such_path(request.method(), path)),
        };
    }
    match path {
        "/healthz" if is_get => Ok(Some(edge::healthz())),
        "/readyz" if is_get => Ok(Some(edge::readyz(state, snapshot))),
        _ => Err(no_such_path(request.method(), path)),
    }
}

/// Paths that exist, with the methods that they take; a path that ends in `/` stands for all below it, `*` for any text.
const PATHS: [(&str, &str); 23] = [
    ("/v1/chat/completions", "POST"),
    ("/v1/responses", "POST"),
    ("/v1/messages", "POST"),
    ("/v1/messages/count_tokens", "POST"),
    ("/v1/embeddings", "POST"),
    ("/v1/route", "POST"),
    ("/v1/feedback", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/admin/breakers", "GET, POST"),
    ("/admin/budgets", "GET"),
    ("/admin/reload", "POST"),
    ("/admin/keys", "GET, POST"),
    ("/admin/keys/*/rotate", "POST"),
    ("/admin/keys/", "GET, PATCH, DELETE"),
    ("/admin/limits", "GET, PUT, DELETE"),
    ("/admin/limits/", "PUT, DELETE"),
    ("/admin/audit", "GET"),
    ("/admin/report", "GET"),
    ("/admin/requests", "GET"),
    ("/admin/requests/", "GET"),
];

/// Why nothing answers here: no such path, or another method than the path takes.
pub(super) fn no_such_path(method: &Method, path: &str) -> Error {
    let shown: String = path.chars().take(200).collect();
    let known = |p: &str| match p.split_once('*') {
        Some((start, end)) => path.len() > start.len() + end.len() && path.starts_with(start) && path.ends_with(end),
        None if p.ends_with('/') => path.len() > p.len() && path.starts_with(p),
        None => path == p,
    };
    match PATHS.iter().find(|(p, _)| known(p)) {
        Some((_, takes)) => Error::new(Kind::MethodNotAllowed(takes), format!("{shown} takes {takes}, not {method}")),
        None => {
            let known = PATHS.map(|(p, _)| p).join(", ");
            Error::new(Kind::NotFound, format!("there is no `{shown}` here; known: {known}"))
        }
    }
}

/// What a listed page may send.
fn preflight() -> Reply {
    let mut reply = Response::new(Body::full(""));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, authorization"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    reply
}

//! One request: which path, who asks, and on to the proxy or the edge.

use super::{Body, admin, edge, guard, read};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::{self, Replies, Reply};
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
use waypost_core::units::RequestId;

/// Answers one request; it never fails as a call.
pub(super) async fn call(
    state: &Arc<State>,
    pool: &Arc<Pool>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let snapshot = state.snapshot();
    let origin = match guard::origin(&snapshot, request.headers()) {
        Ok(origin) => origin,
        Err(e) => return Ok(refuse(state.request_id(), request, e).await),
    };
    let mut reply = if request.method() == Method::OPTIONS && origin.is_some() {
        preflight()
    } else if request.uri().path() == "/v1/chat/completions" {
        chat(state, pool, snapshot, request).await
    } else {
        other(state, &snapshot, peer, request).await
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

async fn chat(state: &Arc<State>, pool: &Arc<Pool>, snapshot: Arc<Snapshot>, request: Request<Incoming>) -> Reply {
    let arrival = state.clock.instant();
    let id = state.request_id();
    let key = match may_post(state, &snapshot, &request) {
        Ok(key) => key,
        Err(e) => return refuse(id, request, e).await,
    };
    let (head, body) = request.into_parts();
    let body = match read::whole(body, snapshot.config.server.body_limit).await {
        Ok(body) => body,
        Err(e) => return Reply::error(id, None, e),
    };
    match proxy::prepare(snapshot, key, head.headers, body) {
        Ok(prepared) => proxy::chat(state, pool, id, arrival, prepared).await,
        Err(e) => Reply::error(id, None, e),
    }
}

/// What every POST of a client must pass before its body is read.
pub(super) fn may_post(
    state: &State,
    snapshot: &Snapshot,
    request: &Request<Incoming>,
) -> Result<Option<usize>, Error> {
    if request.method() != Method::POST {
        let message = format!("{} takes POST, not {}", request.uri().path(), request.method());
        return Err(Error::new(Kind::MethodNotAllowed, message));
    }
    let key = guard::client(snapshot, request.headers())?;
    guard::json(request.headers())?;
    if state.ledger.overloaded() {
        let message = "records cannot be written as fast as requests come: see the log, and try again shortly";
        return Err(Error::new(Kind::Overloaded, message).retry_after(Duration::from_secs(5)));
    }
    Ok(key)
}

/// Refuses before the body was read: it is read and thrown away, so that a client still sending sees the answer.
async fn refuse(id: RequestId, request: Request<Incoming>, error: Error) -> Reply {
    read::discard(request.into_body()).await;
    let mut reply = Reply::error(id, None, error);
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    reply
}

/// Everything but the data path.
async fn other(
    state: &Arc<State>,
    snapshot: &Arc<Snapshot>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Reply {
    let id = state.request_id();
    let path = request.uri().path().to_owned();
    let answer = match (request.method().as_str(), path.as_str()) {
        ("GET", "/healthz") => Ok(edge::healthz()),
        ("GET", "/readyz") => Ok(edge::readyz(state, snapshot)),
        ("POST", "/v1/route") => match edge::route(state, snapshot.clone(), id, request).await {
            Ok(explained) => Ok(explained),
            Err((e, Some(unread))) => return refuse(id, unread, e).await,
            Err((e, None)) => Err(e),
        },
        ("GET", "/v1/models") => guard::client(snapshot, request.headers()).map(|key| edge::models(snapshot, key)),
        ("GET", p) if p.starts_with("/v1/models/") => guard::client(snapshot, request.headers())
            .and_then(|key| edge::model(snapshot, key, &p["/v1/models/".len()..])),
        (_, p) if p.starts_with("/v1/") => match guard::client(snapshot, request.headers()) {
            Err(e) => return refuse(id, request, e).await,
            Ok(_) => Err(no_such_path(request.method(), p)),
        },
        (_, p) if p == "/admin" || p.starts_with("/admin/") => match guard::admin(snapshot, peer, request.headers()) {
            Err(e) => return refuse(id, request, e).await,
            Ok(()) => admin::call(state, snapshot, request).await,
        },
        (_, p) => Err(no_such_path(request.method(), p)),
    };
    answer.unwrap_or_else(|e| Reply::error(id, None, e))
}

/// Paths that exist, with the method that they take.
const PATHS: [(&str, &str); 6] = [
    ("/v1/chat/completions", "POST"),
    ("/v1/route", "POST"),
    ("/v1/models", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/admin", "GET"),
];

pub(super) fn no_such_path(method: &Method, path: &str) -> Error {
    let shown: String = path.chars().take(200).collect();
    match PATHS.iter().find(|(p, _)| *p == path) {
        Some((_, takes)) => Error::new(Kind::MethodNotAllowed, format!("{shown} takes {takes}, not {method}")),
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

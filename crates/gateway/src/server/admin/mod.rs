//! `/admin`: what an operator reads and does at run time. Reading never consumes anything.

mod breakers;
mod budgets;
mod control;
mod ledger;

use super::edge::{percent_decoded, reply};
use super::{guard, read, service};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::Reply;
use crate::reload;
use crate::snapshot::Snapshot;
use bytes::Bytes;
use control::Asked;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

const MOST_BODY: usize = 64 << 10;

/// Answers one admin request; the caller has checked who asks.
pub(super) async fn call(
    state: &Arc<State>,
    snapshot: &Arc<Snapshot>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Reply, Error> {
    let (head, body) = request.into_parts();
    let mut body = Some(body);
    let answer = answer(state, snapshot, peer, &head, &mut body).await;
    if let (Err(_), Some(unread)) = (&answer, body) {
        read::discard(unread).await;
    }
    answer
}

/// Takes the body where it reads it.
async fn answer(
    state: &Arc<State>,
    snapshot: &Arc<Snapshot>,
    peer: Option<SocketAddr>,
    head: &http::request::Parts,
    unread: &mut Option<Incoming>,
) -> Result<Reply, Error> {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    let asked = Asked { state, snapshot, peer, head };
    if let Some(rest) = below(path, "/admin/keys") {
        return asked.keys(rest, unread).await;
    }
    if let Some(rest) = below(path, "/admin/limits") {
        return asked.limits(rest, unread).await;
    }
    match (method.as_str(), path) {
        ("GET", "/admin/audit") => asked.audit().await,
        ("GET", "/admin/budgets") => budgets::shown(state, snapshot).await,
        ("GET", "/admin/breakers") => Ok(reply(StatusCode::OK, &breakers::shown(state, snapshot))),
        ("POST", "/admin/breakers") => {
            guard::json(&head.headers)?;
            breakers::force(state, snapshot, &body(unread).await?)
        }
        ("POST", "/admin/reload") => {
            guard::json(&head.headers)?;
            let errors = reload::now(state);
            let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
            let version = state.snapshot().version;
            Ok(reply(status, &json!({"version": version, "reload_errors": errors})))
        }
        ("GET", "/admin/requests") => ledger::recent(state, query).await,
        ("GET", "/admin/report") => ledger::report(state, query).await,
        ("GET", p) if p.starts_with("/admin/requests/") => ledger::request(state, &p["/admin/requests/".len()..]).await,
        (_, p) => Err(service::no_such_path(&head.method, p)),
    }
}

/// What follows `root` in a path that is it, or below it.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root).filter(|rest| matches!(*rest, "" | "/") || rest.len() > 1 && rest.starts_with('/'))
}

/// The whole body, within the bounds of `/admin`.
async fn body(unread: &mut Option<Incoming>) -> Result<Bytes, Error> {
    let Some(body) = unread.take() else { return Ok(Bytes::new()) };
    read::whole(body, MOST_BODY).await.map_err(|error| match error.kind {
        Kind::RequestTooLarge => Error::new(error.kind, "`/admin` takes bodies of up to 64 KiB"),
        _ => error,
    })
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|p| p.split_once('='));
    pairs.into_iter().find(|(k, _)| *k == name).map(|(_, v)| percent_decoded(v))
}

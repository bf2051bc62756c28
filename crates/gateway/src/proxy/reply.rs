//! What goes back to the client: status, the `x-waypost-*` headers, and one of three kinds of body.

use super::stream::StreamBody;
use crate::account::Account;
use crate::cache::Entry;
use crate::error::{Error, Kind};
use crate::server::Body;
use crate::simulate::SIMULATED;
use crate::snapshot::header_value;
use crate::store::RequestOutcome;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use waypost_core::registry::Dialect;
use waypost_core::units::RequestId;

/// A response downstream.
pub type Reply = Response<Body>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-waypost-request-id");
/// The name under which OpenAI's SDKs look for it.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MODEL: HeaderName = HeaderName::from_static("x-waypost-model");
const PROVIDER: HeaderName = HeaderName::from_static("x-waypost-provider");
const LEVEL: HeaderName = HeaderName::from_static("x-waypost-level");
const STRATEGY: HeaderName = HeaderName::from_static("x-waypost-strategy");
const REASON: HeaderName = HeaderName::from_static("x-waypost-reason");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-waypost-attempts");
const COST: HeaderName = HeaderName::from_static("x-waypost-cost-usd");
/// `hit`: the exact cache answered; `miss`: it was asked and had nothing.
const CACHE: HeaderName = HeaderName::from_static("x-waypost-cache");
/// What the translation left out.
const DROPPED: HeaderName = HeaderName::from_static("x-waypost-dropped");
/// The most bytes of names in it.
const MOST_DROPPED: usize = 1024;
/// The name under which Anthropic's SDKs look for the request's id.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// OpenAI's and Anthropic's SDKs obey it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const DEGRADED: HeaderName = HeaderName::from_static("x-waypost-degraded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// A whole answer.
pub(super) struct Whole {
    pub body: Bytes,
    pub attempts: u32,
}

/// Ways to make a [`Reply`].
pub trait Replies {
    /// An error, with what is known of the request.
    fn error(id: RequestId, client: Dialect, account: Option<&Account>, error: Error) -> Self;
}

impl Replies for Reply {
    fn error(id: RequestId, client: Dialect, account: Option<&Account>, error: Error) -> Self {
        let (status, _, _) = error.kind.wire();
        let mut reply = Self::new(Body::full(error.body(client)));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        identify(headers, id, client);
        if let Some(wait) = error.retry_after {
            // Whole seconds, rounded up: a client must not come back too early.
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
        }
        match error.kind {
            Kind::MethodNotAllowed(allowed) => drop(headers.insert(ALLOW, HeaderValue::from_static(allowed))),
            // SDKs repeat a 429 unless they are told not to.
            Kind::BudgetExceeded => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"))),
            Kind::InvalidApiKey => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => {}
        }
        if let Some(account) = account {
            decided(headers, account);
            headers.insert(ATTEMPTS, HeaderValue::from(account.attempts().len()));
        }
        reply
    }
}

/// A whole answer: settles the account.
pub(super) fn whole(id: RequestId, mut account: Account, answer: Whole) -> Reply {
    let mut reply = Reply::new(Body::full(answer.body));
    let headers = reply.headers_mut();
    headers.reserve(12);
    headers.insert(CONTENT_TYPE, JSON);
    answered(headers, id, &account, answer.attempts);
    if account.attempts().last().is_some_and(|a| a.cost.is_some()) {
        headers.insert(COST, header_value(&account.cost().to_string()));
    }
    account.close(RequestOutcome::Ok, 200, None);
    reply
}

/// An answer from the cache: it costs nothing, and no attempt was made.
pub(super) fn cached(id: RequestId, mut account: Account, entry: &Entry) -> Reply {
    let mut reply = Reply::new(Body::full(entry.body.clone()));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, if entry.stream { EVENTS } else { JSON });
    if entry.stream {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    headers.insert(CACHE, HeaderValue::from_static("hit"));
    headers.insert(MODEL, header_value(&entry.model));
    headers.insert(PROVIDER, header_value(&entry.provider));
    left_out(headers, &entry.dropped);
    if entry.simulated {
        headers.insert(SIMULATED, HeaderValue::from_static("true"));
    }
    headers.insert(COST, HeaderValue::from_static("0"));
    answered(headers, id, &account, 0);
    account.from_cache(entry);
    reply
}

/// The head of a stream that has begun; the account is the body's from then on.
pub(super) fn stream(id: RequestId, account: &Account, attempts: u32) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answered(&mut headers, id, account, attempts);
    headers
}

/// Head and body of a stream together.
pub(super) fn begun(headers: HeaderMap, body: StreamBody) -> Reply {
    let mut reply = Reply::new(Body::Stream(Box::new(body)));
    *reply.headers_mut() = headers;
    reply
}

/// An answer that a failed attempt brought and that goes back as it is.
pub(super) fn as_is(id: RequestId, account: &Account, status: StatusCode, body: Bytes, streams: bool) -> Reply {
    let mut reply = Reply::new(Body::full(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, if streams { EVENTS } else { JSON });
    answered(headers, id, account, account.attempts().len() as u32);
    reply
}

/// Who decided what, whether or not anybody answered.
fn decided(headers: &mut HeaderMap, account: &Account) {
    let decision = &account.decision;
    headers.insert(LEVEL, HeaderValue::from_static(decision.level.name()));
    headers.insert(STRATEGY, HeaderValue::from_static(decision.strategy));
    headers.insert(REASON, header_value(&decision.reason));
}

fn answered(headers: &mut HeaderMap, id: RequestId, account: &Account, attempts: u32) {
    identify(headers, id, account.client);
    decided(headers, account);
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    let Some(by) = account.answering() else { return };
    let snapshot = &account.snapshot;
    headers.insert(MODEL, snapshot.model_headers[usize::from(by.model.0)].clone());
    headers.insert(PROVIDER, snapshot.provider_headers[usize::from(by.provider.0)].clone());
    if account.cache_missed {
        headers.entry(CACHE).or_insert(HeaderValue::from_static("miss"));
    }
    left_out(headers, &account.dropped);
    if by.degraded {
        headers.insert(DEGRADED, HeaderValue::from_static("true"));
    }
    if snapshot.config.registry.provider(by.provider).dialects.first() == Some(&Dialect::Simulated) {
        headers.insert(SIMULATED, HeaderValue::from_static("true"));
    }
}

/// Names what the translation left out. The names are the client's, and as many as it likes: a header has to stay one that
/// clients take.
fn left_out(headers: &mut HeaderMap, names: &[String]) {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        if text.len() + name.len() > MOST_DROPPED {
            text.push_str(&format!("{}{} more", if i == 0 { "" } else { ", and " }, names.len() - i));
            break;
        }
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(name);
    }
    if !text.is_empty() {
        headers.insert(DROPPED, header_value(&text));
    }
}

fn identify(headers: &mut HeaderMap, id: RequestId, client: Dialect) {
    let value = id_value(id);
    if client == Dialect::Anthropic {
        headers.insert(ANTHROPIC_REQUEST_ID, value.clone());
    }
    headers.insert(X_REQUEST_ID, value.clone());
    headers.insert(REQUEST_ID, value);
}

/// 32 hexadecimal digits.
fn id_value(id: RequestId) -> HeaderValue {
    let mut text = [0u8; 32];
    for (i, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id.0 >> (124 - 4 * i)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

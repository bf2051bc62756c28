//! The simulated provider: answers chat requests inside the process, as an OpenAI-dialect upstream would over HTTP,
//! with prices, latencies, lengths and faults from a seed. For demos, chaos tests and load tests.
//!
//! It knows no network, no model and no truth. Every reply says so: the header `x-waypost-simulated: true`,
//! `"system_fingerprint": "waypost-simulated"`, and a text that begins with `[simulated]`.
//!
//! **Deterministic**: the fault, the latencies, the lengths and the text are a function of the configured seed, the
//! model, the request's number (see [`attempt_number`]) and the request itself. Time is tokio's, so it can be paused.
//!
//! **Directives**: `simulate[key=value,…]` anywhere in a request's body overrides the draws, for tests and demos:
//! `fault` (a key of `faults:`, or `none`), `first_token_ms`, `per_token_ms`, `tokens`, `status` (of a server error),
//! `at` (tokens before a cut or a stall of a stream; 0: after the preamble) and `model` (only that model obeys).
//! Several may stand in one body; later ones win.

mod answer;
mod ask;
mod body;
mod instance;
mod plan;
#[cfg(test)]
mod tests;

pub use body::SimulatedBody;

use answer::Answer;
use ask::Ask;
use body::{Ending, Stream};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use plan::{Fault, Plan};
use serde_json::{Value, json};
use std::time::Duration;
use waypost_core::registry::Simulated;
use waypost_core::units::{RequestId, Rng};

/// The header that marks simulated replies.
pub const SIMULATED: HeaderName = HeaderName::from_static("x-waypost-simulated");

/// `system_fingerprint` of every simulated answer.
const FINGERPRINT: &str = "waypost-simulated";

/// The number that [`respond`] draws from, for one attempt of a request: a repeat of the same request must be able to
/// fare better.
pub fn attempt_number(id: RequestId, attempt: u32) -> u64 {
    Rng::new((id.0 as u64) ^ ((id.0 >> 64) as u64).rotate_left(32) ^ u64::from(attempt).rotate_left(48)).next_u64()
}

/// Answers one chat request (`body`: an OpenAI chat request as JSON) in the name of `model`.
///
/// As an HTTP client's call it resolves when the response head is there: for a stream at once, otherwise after the
/// whole answer was "generated". It never fails as a call; a stalled one never resolves. `number` seeds the draws
/// ([`attempt_number`]), `unix_seconds` is the answer's `created`.
pub async fn respond(
    settings: &Simulated,
    model: &str,
    number: u64,
    unix_seconds: i64,
    body: &[u8],
) -> Response<SimulatedBody> {
    let mut plan = Plan::draw(settings, model, number, body);
    match plan.fault {
        Some(Fault::RateLimit) => return rate_limited(model, settings.retry_after),
        Some(Fault::ServerError) => {
            pause(plan.rhythm.first()).await;
            return error(plan.status, "server_error", None, "The simulated server had an error");
        }
        Some(Fault::Stall) if plan.stall_at.is_none() => return std::future::pending().await,
        _ => {}
    }
    let ask = match Ask::parse(body, &mut plan.content) {
        Ok(ask) => ask,
        Err(message) => {
            return error(StatusCode::BAD_REQUEST, "invalid_request_error", Some("invalid_request"), &message);
        }
    };
    let head = Head { id: format!("chatcmpl-sim-{:016x}", plan.content.next_u64()), model, created: unix_seconds };
    let answers = match plan.fault {
        Some(Fault::Empty) => (0..ask.choices).map(|_| Answer::empty(!ask.stream)).collect(),
        _ => Answer::draw_all(&ask, &mut plan),
    };
    if ask.stream { stream(&head, &ask, answers, plan) } else { whole(&head, &ask, answers, plan).await }
}

/// What every chunk and every answer carries.
struct Head<'a> {
    id: String,
    model: &'a str,
    created: i64,
}

/// A streaming response: the head at once, the chunks in their own time.
fn stream(head: &Head<'_>, ask: &Ask, answers: Vec<Answer>, plan: Plan) -> Response<SimulatedBody> {
    let ending = match plan.fault {
        Some(Fault::InBandError) => Ending::Error(in_band_error()),
        Some(Fault::Cut) => Ending::Cut(plan.cut_at(answers.iter().map(Answer::tokens).sum())),
        Some(Fault::Stall) => Ending::Stall(plan.stall_at.unwrap_or(0)),
        _ => Ending::Done,
    };
    let prompt_tokens = ask.include_usage.then_some(ask.prompt_tokens);
    let stream = Stream::new(head, answers, plan.rhythm, ending, prompt_tokens);
    reply(StatusCode::OK, "text/event-stream; charset=utf-8", SimulatedBody::stream(stream))
}

/// A response in one piece, after the time that its tokens take.
async fn whole(head: &Head<'_>, ask: &Ask, answers: Vec<Answer>, mut plan: Plan) -> Response<SimulatedBody> {
    if plan.fault == Some(Fault::Stall) {
        return std::future::pending().await;
    }
    let steps = answers.iter().map(Answer::tokens).max().unwrap_or(0);
    let mut time = plan.rhythm.first();
    if plan.fault != Some(Fault::InBandError) {
        time += (1..steps).map(|_| plan.rhythm.gap()).sum::<Duration>();
    }
    pause(time).await;
    if plan.fault == Some(Fault::InBandError) {
        return json_reply(StatusCode::OK, &in_band_error());
    }
    let usage = usage(ask.prompt_tokens, answers.iter().map(|a| a.tokens() as u64).sum());
    let choices: Vec<_> = answers.into_iter().enumerate().map(|(i, answer)| answer.into_choice(i)).collect();
    let value = json!({
        "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model,
        "system_fingerprint": FINGERPRINT, "choices": choices, "usage": usage,
    });
    let data = Bytes::from(value.to_string());
    let cut = (plan.fault == Some(Fault::Cut)).then_some(data.len() / 2);
    json_bytes(StatusCode::OK, data, cut)
}

/// OpenAI's usage object; no simulated token is cached or reasoning.
fn usage(prompt_tokens: u64, completion_tokens: u64) -> Value {
    json!({
        "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": { "cached_tokens": 0 }, "completion_tokens_details": { "reasoning_tokens": 0 },
    })
}

/// Waits, with a timer only where there is something to wait for.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn rate_limited(model: &str, retry_after: Duration) -> Response<SimulatedBody> {
    let message = format!("Rate limit reached for {model}. Please try again in {}ms.", retry_after.as_millis());
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded"), &message);
    // Whole seconds, rounded up, since clients may ignore the exact header.
    let seconds = retry_after.as_millis().div_ceil(1000) as u64;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(millis));
    response
}

fn in_band_error() -> Value {
    error_value("server_error", None, "The simulated model failed while it answered")
}

fn error(status: StatusCode, kind: &str, code: Option<&str>, message: &str) -> Response<SimulatedBody> {
    json_reply(status, &error_value(kind, code, message))
}

fn error_value(kind: &str, code: Option<&str>, message: &str) -> Value {
    json!({ "error": { "message": format!("[simulated] {message}"), "type": kind, "param": null, "code": code } })
}

fn json_reply(status: StatusCode, value: &Value) -> Response<SimulatedBody> {
    json_bytes(status, Bytes::from(value.to_string()), None)
}

/// Where `cut` is given, only so many bytes of the announced length arrive before the connection breaks.
fn json_bytes(status: StatusCode, data: Bytes, cut: Option<usize>) -> Response<SimulatedBody> {
    let length = HeaderValue::from(data.len());
    let mut response = reply(status, "application/json", SimulatedBody::whole(data, cut));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

fn reply(status: StatusCode, content_type: &'static str, body: SimulatedBody) -> Response<SimulatedBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(SIMULATED, HeaderValue::from_static("true"));
    response
}

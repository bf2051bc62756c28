//! One request of the soak, and whether the gateway kept its promise.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;
use waypost_core::dialect::sse::{Event, Splitter};
use waypost_core::units::Rng;

/// What a request says that it waits.
const DEADLINE: Duration = Duration::from_secs(6);
/// `total_timeout`, for requests that say nothing.
const TOTAL: Duration = Duration::from_secs(8);
/// What a busy machine may add before an answer counts as late.
const GRACE: Duration = Duration::from_secs(4);

/// How a request ended.
pub(crate) enum Outcome {
    /// As promised; what it was.
    Held(String),
    /// Against the promise; how.
    Violation(String),
}

/// The client; connections are kept.
pub(crate) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What a request is, drawn from its number.
struct Plan {
    model: &'static str,
    stream: bool,
    deadline: bool,
    /// Goes away after so many frames of the stream.
    leaves_after: Option<usize>,
    malformed: bool,
}

impl Plan {
    fn draw(n: u64) -> Self {
        let mut rng = Rng::new(n);
        let models = ["auto", "auto", "auto", "route/cheap", "route/best", "small", "medium", "large"];
        let model = if rng.below(100) == 0 { "unheard-of" } else { models[rng.below(models.len())] };
        let stream = rng.below(10) < 6;
        Self {
            model,
            stream,
            deadline: rng.below(2) == 0,
            leaves_after: (stream && rng.below(20) == 0).then(|| rng.below(8)),
            malformed: rng.below(100) == 0,
        }
    }

    fn body(&self, n: u64) -> Bytes {
        let body = serde_json::json!({
            "model": self.model,
            "messages": [{"role": "user", "content": format!("Request {n}: say which three things matter most here.")}],
            "stream": self.stream,
        });
        let mut body = body.to_string();
        if self.malformed {
            body.truncate(body.len() / 2);
        }
        body.into()
    }
}

impl Client {
    /// For the gateway at this address.
    pub(crate) fn new(address: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            pool: Pool::builder(TokioExecutor::new()).build(connector),
            url: format!("http://{address}/v1/chat/completions"),
        }
    }

    /// Request number `n`, to its end.
    pub(crate) async fn ask(&self, n: u64) -> Outcome {
        let plan = Plan::draw(n);
        let longest = if plan.deadline { DEADLINE } else { TOTAL } + GRACE;
        match timeout(longest, self.exchange(n, &plan)).await {
            Ok(Ok(held)) => Outcome::Held(held),
            Ok(Err(violation)) => Outcome::Violation(violation),
            Err(_) => Outcome::Violation(format!("no end within {longest:?} (stream: {})", plan.stream)),
        }
    }

    async fn exchange(&self, n: u64, plan: &Plan) -> Result<String, String> {
        let mut request = Request::post(&self.url).header("content-type", "application/json");
        if plan.deadline {
            request = request.header("x-waypost-deadline-ms", DEADLINE.as_millis().to_string());
        }
        let request = request.body(Full::new(plan.body(n))).map_err(|e| e.to_string())?;
        let response = self.pool.request(request).await.map_err(|e| format!("no answer: {e:?}"))?;
        let status = response.status().as_u16();
        if plan.malformed && status != 400 {
            return Err(format!("{status} for a malformed body"));
        }
        let kind = response.headers().get("content-type").map(|v| v.as_bytes().to_vec()).unwrap_or_default();
        match (status, plan.stream) {
            (200, true) if kind.starts_with(b"text/event-stream") => stream(response, plan.leaves_after).await,
            (200, false) if kind.starts_with(b"application/json") => whole(response).await,
            (200, _) => Err(format!("200 with content-type {:?}", String::from_utf8_lossy(&kind))),
            _ => error(status, response).await,
        }
    }
}

/// An answer in one piece: it says something, and why it stopped.
async fn whole(response: Response<Incoming>) -> Result<String, String> {
    let body = response.into_body().collect().await.map_err(|e| format!("an answer broke off: {e}"))?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).map_err(|e| format!("an answer that is not JSON: {e}"))?;
    let choice = &answer["choices"][0];
    if !choice["finish_reason"].is_string() || !answer["usage"]["completion_tokens"].is_u64() {
        return Err(format!("an answer without its end: {answer}"));
    }
    let empty = choice["message"]["content"].as_str().is_none_or(str::is_empty);
    // An empty answer is repeated elsewhere once, then returned: not silent, since it says `stop`.
    Ok(if empty { "answers, empty after another try" } else { "answers" }.to_owned())
}

/// A refusal or failure: it says which.
async fn error(status: u16, response: Response<Incoming>) -> Result<String, String> {
    let body = response.into_body().collect().await.map_err(|e| format!("an error broke off: {e}"))?.to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    match value["error"]["code"].as_str() {
        Some(code) if (400..600).contains(&status) => Ok(format!("errors: {status} {code}")),
        _ => Err(format!("{status} without a code: {}", String::from_utf8_lossy(&body))),
    }
}

/// A stream: it ends in `[DONE]` after a finish reason, or in an error event; never just so.
async fn stream(response: Response<Incoming>, leaves_after: Option<usize>) -> Result<String, String> {
    let (mut body, mut splitter, mut seen) = (response.into_body(), Splitter::default(), Stream::default());
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        if leaves_after == Some(frames) {
            return Ok("streams that the client left".to_owned());
        }
        frames += 1;
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            // The connection is cut after an error event, so that no client takes it for an end.
            Err(_) if seen.error.is_some() => break,
            Err(e) => return Err(format!("a stream broke off without a word: {e}")),
        };
        let mut at = 0;
        while let Some(piece) = splitter.next(&data, &mut at).map_err(|_| "an event without end")? {
            seen.take(&Event::parse(piece.bytes(&data)))?;
        }
    }
    if !splitter.finish().is_empty() {
        return Err("a stream ended inside an event".to_owned());
    }
    match seen {
        Stream { done: true, error: Some(code), .. } => Err(format!("a stream ended in {code} and [DONE]")),
        // As an empty answer: repeated elsewhere once, then returned as the provider sent it.
        Stream { done: true, content: 0, .. } => Ok("streams, empty after another try".to_owned()),
        Stream { done: true, finished: false, .. } => Err("a stream ended without a finish reason".to_owned()),
        Stream { done: true, .. } => Ok("streams".to_owned()),
        Stream { error: Some(code), .. } => Ok(format!("streams that ended in an error event: {code}")),
        _ => Err("a stream was cut silently".to_owned()),
    }
}

/// What a stream has said so far.
#[derive(Default)]
struct Stream {
    content: usize,
    finished: bool,
    done: bool,
    error: Option<String>,
}

impl Stream {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Some(data) = &event.data else { return Ok(()) };
        if self.done || self.error.is_some() {
            return Err("an event after the end".to_owned());
        }
        if **data == *b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data).map_err(|e| format!("an event that is not JSON: {e}"))?;
        if value["error"].is_object() {
            self.error = Some(value["error"]["code"].as_str().unwrap_or("(no code)").to_owned());
        }
        let choice = &value["choices"][0];
        self.content += choice["delta"]["content"].as_str().map_or(0, str::len);
        self.finished |= choice["finish_reason"].is_string();
        Ok(())
    }
}

//! `waypost demo`: a configuration of simulated models, mixed requests, and a client that sends them over HTTP to the
//! running gateway; the command itself is `run.rs`.

mod prompts;
mod run;

pub use prompts::mixed_requests;
pub(super) use run::{DemoArgs, run};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The configuration that the demo's gateway runs on.
pub const DEMO_CONFIG: &str = include_str!("demo/demo.yaml");

/// Longest time for one request, so that the demo ends whatever happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A chat request of the demo.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoRequest {
    /// `x-waypost-*` headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body of `POST /v1/chat/completions`.
    pub body: Value,
}

impl DemoRequest {
    /// Whether a stream is asked for.
    pub fn streams(&self) -> bool {
        self.body["stream"] == true
    }
}

/// What became of a request, as its client saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DemoOutcome {
    /// Status of the response; `None` where there was none.
    pub status: Option<u16>,
    /// `x-waypost-model`.
    pub model: Option<String>,
    /// `x-waypost-provider`.
    pub provider: Option<String>,
    /// `x-waypost-attempts`.
    pub attempts: Option<u32>,
    /// `x-waypost-cost-usd`; streams do not know it in time.
    pub cost_usd: Option<f64>,
    /// Time to the response's head.
    pub head: Duration,
    /// Time to the end of the answer.
    pub latency: Duration,
    /// What went wrong: no answer, an error answer, or an answer without its end. `None`: a good one.
    pub error: Option<String>,
}

/// Sends the requests to the gateway at `addr`, at most `concurrency` at once, and returns their outcomes in the
/// requests' order. `progress` is called after each with how many of how many are done.
pub async fn drive(
    addr: SocketAddr,
    requests: Vec<DemoRequest>,
    concurrency: usize,
    mut progress: impl FnMut(usize, usize),
) -> Vec<DemoOutcome> {
    let client: Chat = Client::builder(TokioExecutor::new()).build_http();
    let total = requests.len();
    let mut outcomes = vec![DemoOutcome::default(); total];
    let calls = requests.into_iter().enumerate().map(|(index, request)| {
        let client = &client;
        async move { (index, call(client, addr, &request).await) }
    });
    let mut answers = stream::iter(calls).buffer_unordered(concurrency.max(1));
    let mut done = 0;
    while let Some((index, outcome)) = answers.next().await {
        outcomes[index] = outcome;
        done += 1;
        progress(done, total);
    }
    outcomes
}

type Chat = Client<HttpConnector, Full<Bytes>>;

async fn call(client: &Chat, addr: SocketAddr, request: &DemoRequest) -> DemoOutcome {
    let start = Instant::now();
    let mut outcome = DemoOutcome::default();
    let answer = tokio::time::timeout(PATIENCE, exchange(client, addr, request, start, &mut outcome)).await;
    outcome.error = match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    outcome.latency = start.elapsed();
    outcome
}

/// One request and its whole answer; fills in what is known as it goes.
async fn exchange(
    client: &Chat,
    addr: SocketAddr,
    request: &DemoRequest,
    start: Instant,
    outcome: &mut DemoOutcome,
) -> Result<(), String> {
    let uri = Uri::from_str(&format!("http://{addr}/v1/chat/completions")).map_err(|e| e.to_string())?;
    let mut call = Request::post(uri).header(CONTENT_TYPE, "application/json").header(AUTHORIZATION, "Bearer demo");
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    let call = call.body(Full::new(Bytes::from(request.body.to_string()))).map_err(|e| e.to_string())?;
    let response = client.request(call).await.map_err(|e| chain(&e))?;
    outcome.head = start.elapsed();
    outcome.status = Some(response.status().as_u16());
    let headers = response.headers();
    outcome.model = said(headers, "x-waypost-model");
    outcome.provider = said(headers, "x-waypost-provider");
    outcome.attempts = said(headers, "x-waypost-attempts");
    outcome.cost_usd = said(headers, "x-waypost-cost-usd");
    let data = response.into_body().collect().await.map_err(|e| chain(&e))?.to_bytes();
    judge(outcome.status, request.streams(), &data)
}

fn said<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// An error with its causes, since hyper's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether the answer is a good one: status 200, no error in it, and its end is there.
fn judge(status: Option<u16>, stream: bool, data: &[u8]) -> Result<(), String> {
    let message = |value: &Value| value["error"]["message"].as_str().unwrap_or("an error without a message").to_owned();
    if stream && status == Some(200) {
        let text = String::from_utf8_lossy(data);
        let events = || text.lines().filter_map(|line| line.strip_prefix("data: "));
        if events().any(|event| event == "[DONE]") {
            return Ok(());
        }
        let error =
            events().filter_map(|event| serde_json::from_str::<Value>(event).ok()).find(|e| e["error"].is_object());
        return Err(error.map_or_else(|| "the stream has no end".to_owned(), |e| message(&e)));
    }
    let value: Value = serde_json::from_slice(data).map_err(|e| format!("the answer is no JSON: {e}"))?;
    if status == Some(200) && value["error"].is_null() { Ok(()) } else { Err(message(&value)) }
}

/// Shows progress on stderr: a bar on a terminal, otherwise a line each quarter.
pub fn progress_on_stderr(total: usize) -> impl FnMut(usize, usize) {
    let bar = std::io::stderr().is_terminal().then(|| {
        let template = "{bar:40.cyan/blue} {pos}/{len} requests  {per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(total as u64).with_style(style)
    });
    move |done, total| match &bar {
        Some(bar) => {
            bar.set_position(done as u64);
            if done == total {
                bar.finish_and_clear();
            }
        }
        None => {
            if let Some(percent) = quarter(done, total) {
                eprintln!("{percent} %: {done} of {total} requests");
            }
        }
    }
}

/// The multiple of 25 % that this step reached, where it did.
fn quarter(done: usize, total: usize) -> Option<usize> {
    let quarters = |done: usize| done * 4 / total.max(1);
    (quarters(done) > quarters(done.saturating_sub(1))).then(|| quarters(done) * 25)
}

#[cfg(test)]
mod tests;

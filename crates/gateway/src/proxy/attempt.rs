//! One exchange with one endpoint, up to the point where an answer stands: a whole body that is one, or a stream whose
//! first real output has come. Nothing is sent downstream before that.

use super::Run;
use super::cached::Recorder;
use super::outgoing::{self, Outgoing};
use super::prepare::Call;
use super::reply::{self, Reply, Whole};
use super::stream::StreamBody;
use crate::account::Account;
use crate::admission::Permit;
use crate::simulate;
use crate::snapshot::Link;
use crate::upstream::{self, SendError, UpstreamBody};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout_at;
use waypost_core::attempt::{Attempt, Failure, Fault, Invalid, Timeout};
use waypost_core::dialect::gate::{Progress, StreamFault, StreamGate};
use waypost_core::dialect::{self, BadCompletion, CompletionFacts, ReplyContext, UpstreamError, embeddings};
use waypost_core::registry::{Capabilities, Dialect, Timeouts, Usage};
use waypost_core::retry::{exhausted_for, retry_after};
use waypost_core::units::Instant;

/// A non-streaming answer larger than this is not one.
const MOST_ANSWER: usize = 64 << 20;
/// What is read of an error's body.
const MOST_ERROR: usize = 256 << 10;

/// One try of one request at one endpoint.
pub(super) struct Exchange<'a> {
    pub run: &'a Run<'a>,
    pub attempt: Attempt,
    pub begun: Instant,
    pub outgoing: Outgoing,
}

/// What a failed attempt brought: its place in the plan, and what may go back to the client.
#[derive(Debug)]
pub(super) struct Brought {
    pub failure: Failure,
    /// What the provider or the connection said, for the error's list.
    pub message: String,
    /// The provider's code or type for it, for the log.
    pub code: Option<String>,
    /// The provider's own body, where it may be the answer.
    pub body: Option<Bytes>,
    /// Its content type is an event stream.
    pub streams: bool,
}

impl Brought {
    fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into(), code: None, body: None, streams: false }
    }
}

/// An answer that stands.
pub(super) enum Answer {
    Whole { body: Bytes, usage: Option<Usage> },
    Stream(Box<Begun>),
}

/// A stream whose first real output has come.
pub(super) struct Begun {
    pub gate: StreamGate,
    /// What was held until then.
    pub first: Vec<Bytes>,
    pub upstream: UpstreamBody,
    /// The stream's real end has come as well.
    pub ended: bool,
    pub chunk_timeout: Duration,
    /// When it must have ended, and whose limit that is.
    pub deadline: (Instant, Timeout),
}

impl Answer {
    /// The reply downstream: settles a whole answer, hands a stream its account.
    pub(super) fn reply(
        self,
        run: &Run<'_>,
        mut account: Account,
        attempts: u32,
        permit: Permit,
        recorder: Option<Recorder>,
    ) -> Reply {
        let state = run.state;
        match self {
            Self::Whole { body, usage } => {
                let now = state.clock.instant();
                if let Some(recorder) = recorder.and_then(|r| r.push(std::slice::from_ref(&body))) {
                    recorder.store(&account, false, usage, now);
                }
                account.answered(now);
                reply::whole(run.id, account, Whole { body, attempts })
            }
            Self::Stream(begun) => {
                let head = reply::stream(run.id, &account, attempts);
                reply::begun(head, StreamBody::new(state.clock, *begun, account, permit, recorder))
            }
        }
    }
}

impl Exchange<'_> {
    /// Sends and waits for an answer that stands.
    pub(super) async fn run(&self, account: &mut Account) -> Result<Answer, Brought> {
        let stream = self.run.prepared.profile.stream;
        let (limit, kind) = self.limit(stream);
        let until = self.run.state.clock.timer(limit);
        let exchange = async {
            let response = self.send(account).await?;
            if response.status() != StatusCode::OK {
                return Err(self.refused(response).await);
            }
            self.rate_hint(response.headers());
            if stream { self.stream(response, account).await } else { self.whole(response, account).await }
        };
        match timeout_at(until, exchange).await {
            Ok(result) => result,
            Err(_) => {
                let waited = limit.since(self.begun);
                let message = format!("no {} within {waited:.1?}", if stream { "first token" } else { "answer" });
                Err(Brought::new(Failure::Timeout(kind), message))
            }
        }
    }

    /// When this exchange is over: its own timeout, or the request's deadline.
    fn limit(&self, stream: bool) -> (Instant, Timeout) {
        let (timeouts, execution) = (self.timeouts(), &self.run.prepared.snapshot.config.execution);
        let total = timeouts.total.unwrap_or(execution.total_timeout);
        // Reasoning is silent for long: its timeouts default to the total one.
        let reasons = self.run.prepared.profile.needs.has(Capabilities::REASONING);
        let (own, kind) = if stream {
            let fallback = if reasons { total } else { Duration::from_secs(30) };
            (timeouts.first_token.or(execution.first_token_timeout).unwrap_or(fallback), Timeout::FirstToken)
        } else {
            let fallback = if reasons { total } else { Duration::from_secs(120) };
            (timeouts.response.or(execution.response_timeout).unwrap_or(fallback), Timeout::Response)
        };
        let limit = (self.begun + own, kind);
        let last = self.last();
        if last.0 < limit.0 { last } else { limit }
    }

    /// When even an answer that has begun is over: the attempt's total timeout, or the request's deadline.
    fn last(&self) -> (Instant, Timeout) {
        let execution = &self.run.prepared.snapshot.config.execution;
        let total = self.begun + self.timeouts().total.unwrap_or(execution.total_timeout);
        if self.run.deadline < total { (self.run.deadline, Timeout::Deadline) } else { (total, Timeout::Total) }
    }

    /// What the model or the provider sets of the timeouts.
    fn timeouts(&self) -> Timeouts {
        let registry = &self.run.prepared.snapshot.config.registry;
        let endpoint = registry.endpoint(self.attempt.endpoint);
        registry.model(endpoint.model).timeouts.or(registry.provider(endpoint.provider).timeouts)
    }

    async fn send(&self, account: &mut Account) -> Result<Response<UpstreamBody>, Brought> {
        let prepared = self.run.prepared;
        let snapshot = &prepared.snapshot;
        let Outgoing { dialect, ref model, ref body, ref path, ref headers, .. } = self.outgoing;
        account.sent();
        let response = match &snapshot.links[usize::from(self.attempt.endpoint.0)] {
            Link::Simulated(settings) => {
                let number = simulate::attempt_number(self.run.id, self.attempt.number);
                let seconds = crate::clock::unix_ms() / 1000;
                simulate::respond(settings, model, number, seconds, body).await.map(UpstreamBody::Simulated)
            }
            Link::Http(doors) => {
                let connect = self.timeouts().connect.unwrap_or(snapshot.config.execution.connect_timeout);
                let none = || Brought::new(Failure::Connect, "its dialect has no such call");
                let target = doors.of(dialect).ok_or_else(none)?;
                let call = match (path, prepared.call) {
                    (Some(path), _) => upstream::Call::Path(path),
                    (None, Call::Chat) => upstream::Call::Chat,
                    (None, Call::Embeddings) => upstream::Call::Embeddings,
                };
                let uri = target.uri(call, model).ok_or_else(none)?;
                let request = upstream::Outgoing { uri, headers: headers.clone(), body: body.clone() };
                let sent = self.run.pool.send(target, request, connect).await;
                let (response, connection) = sent.map_err(|e| send_failed(e, connect))?;
                response.map(|body| UpstreamBody::http(body, connection))
            }
        };
        account.head(response.status().as_u16());
        Ok(response)
    }

    /// An error status: its message, and what it asks for.
    async fn refused(&self, response: Response<UpstreamBody>) -> Brought {
        let (head, body) = response.into_parts();
        let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
        let wait = retry_after(text("retry-after-ms"), text(RETRY_AFTER.as_str()), crate::clock::unix_ms());
        let body = collect(body, MOST_ERROR).await.unwrap_or_default();
        let status = head.status.as_u16();
        let error = dialect::parse_error(self.outgoing.dialect, Some(status), &body);
        let wait = wait.or(error.retry_after_ms.map(Duration::from_millis));
        let failure = Failure::Http { status, retry_after: wait, context_overflow: error.context_overflow };
        let message = self.scrub(&error.message);
        let json = waypost_core::json::Cursor::new(&body).and_then(|mut c| c.skip()).is_ok() && !body.is_empty();
        let code = loggable(&error);
        // Another dialect's error is not the client's: its message is, in an error of the client's own.
        let own = json && outgoing::is_same(self.outgoing.dialect, self.run.prepared.client);
        Brought { failure, message, code, body: own.then(|| self.scrub_body(body)), streams: false }
    }

    /// A whole answer, held until it is complete.
    async fn whole(&self, response: Response<UpstreamBody>, account: &mut Account) -> Result<Answer, Brought> {
        let (head, body) = response.into_parts();
        check_type(&head.headers, "application/json")?;
        let body = match collect(body, MOST_ANSWER).await {
            Ok(body) => body,
            Err(Collect::TooLarge) => {
                let message = format!("its answer is larger than {} MiB", MOST_ANSWER >> 20);
                return Err(Brought::new(Failure::Invalid(Invalid::Json), message));
            }
            Err(Collect::Broken(e)) => return Err(Brought::new(Failure::Cut, format!("the answer broke off: {e}"))),
        };
        if body.is_empty() {
            return Err(Brought::new(Failure::Invalid(Invalid::EmptyBody), "its answer has no body"));
        }
        let (body, facts) = match self.read(&body) {
            Ok((translated, facts)) => (translated.unwrap_or(body), facts),
            Err(BadCompletion::Error(error)) => {
                let message = self.scrub(&error.message);
                let failure = in_band(&error);
                let own = outgoing::is_same(self.outgoing.dialect, self.run.prepared.client);
                let (code, body) = (loggable(&error), own.then(|| self.scrub_body(body)));
                return Err(Brought { failure, message, code, body, streams: false });
            }
            Err(BadCompletion::Json(e)) => {
                let message = format!("its answer is not JSON (byte {}: {})", e.offset, e.kind);
                return Err(Brought::new(Failure::Invalid(Invalid::Json), message));
            }
            Err(BadCompletion::Malformed(e)) => {
                // It is of no use, and billed all the same.
                if let Ok(facts) = dialect::inspect_completion(self.outgoing.dialect, &body) {
                    account.passed(facts.text_bytes, facts.usage);
                }
                let message = format!("its answer is malformed: {e}");
                return Err(Brought::new(Failure::Invalid(Invalid::Json), message));
            }
            Err(BadCompletion::NoChoices) => {
                return Err(Brought::new(Failure::Invalid(Invalid::Json), "its answer has no `choices`"));
            }
        };
        account.passed(facts.text_bytes, facts.usage);
        if facts.is_empty_answer() {
            let message = "its answer is empty";
            return Err(Brought {
                failure: Failure::EmptyAnswer,
                message: message.into(),
                code: None,
                body: Some(body),
                streams: false,
            });
        }
        Ok(Answer::Whole { body, usage: facts.usage })
    }

    /// A stream, held until its first real output.
    async fn stream(&self, response: Response<UpstreamBody>, account: &mut Account) -> Result<Answer, Brought> {
        let (head, mut upstream) = response.into_parts();
        let frames = self.outgoing.dialect == Dialect::Bedrock;
        check_type(&head.headers, if frames { "application/vnd.amazon.eventstream" } else { "text/event-stream" })?;
        let mut gate = self.gate();
        let (mut first, mut ended) = (Vec::new(), false);
        let fault = loop {
            let pushed = match upstream.frame().await {
                None => {
                    ended = true;
                    // Nothing was said, and for a reason (a filter, a cap): that is the answer.
                    gate.finish(&mut first).map(|_| Progress::Committed)
                }
                Some(Err(e)) => {
                    account.passed(gate.tally().text_bytes, gate.tally().usage);
                    return Err(Brought::new(
                        Failure::EmptyStream,
                        format!("the stream broke off before any output: {e}"),
                    ));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => gate.push(&data, &mut first),
                    Err(_) => continue,
                },
            };
            match pushed {
                Ok(Progress::Holding) if gate.is_done() => {
                    if let Err(fault) = gate.finish(&mut first) {
                        break fault;
                    }
                }
                Ok(Progress::Holding) => continue,
                Ok(_) => {}
                // Nothing was sent yet, even where the same chunk held the first output: another attempt may do better.
                Err(fault) => break fault,
            }
            account.passed(gate.tally().text_bytes, gate.tally().usage);
            account.first_output(self.run.state.clock.instant());
            let (chunk_timeout, deadline) = (self.chunk_timeout(), self.last());
            let ended = ended || gate.is_done();
            return Ok(Answer::Stream(Box::new(Begun { gate, first, upstream, ended, chunk_timeout, deadline })));
        };
        account.passed(gate.tally().text_bytes, gate.tally().usage);
        let mut brought = self.stream_fault(&fault);
        if fault == StreamFault::EmptyAnswer {
            gate.release(&mut first);
            brought.body = Some(first.concat().into());
            brought.streams = true;
        }
        Err(brought)
    }

    /// What a whole answer says, and the answer in the client's dialect where it came in another.
    fn read(&self, body: &[u8]) -> Result<(Option<Bytes>, CompletionFacts), BadCompletion> {
        let (from, to) = (self.outgoing.dialect, self.run.prepared.client);
        match self.run.prepared.call {
            Call::Embeddings if from == Dialect::Gemini => {
                let asked = embeddings::decode_request(&self.run.prepared.body).map_err(BadCompletion::Malformed)?;
                let answer = embeddings::translate_gemini(body, &asked, &self.outgoing.model)?;
                Ok((Some(answer.body.into()), answer.facts.into()))
            }
            Call::Embeddings => Ok((None, embeddings::inspect_answer(body)?.into())),
            Call::Chat if self.passes() => Ok((None, dialect::inspect_completion(to, body)?)),
            Call::Chat => {
                let tool = self.outgoing.json_tool.as_deref();
                let (body, facts) = dialect::translate_response(from, to, body, &self.context(), tool)?;
                Ok((Some(body.into()), facts))
            }
        }
    }

    /// Whether the answer is the client's as it comes. Not where JSON output comes as a tool's call, though the dialect be
    /// the same.
    fn passes(&self) -> bool {
        outgoing::is_same(self.outgoing.dialect, self.run.prepared.client) && self.outgoing.json_tool.is_none()
    }

    fn gate(&self) -> StreamGate {
        let (from, to) = (self.outgoing.dialect, self.run.prepared.client);
        if self.passes() {
            return StreamGate::pass(to, self.run.prepared.scan.usage_asked());
        }
        StreamGate::translate(from, to, self.context(), self.outgoing.json_tool.clone())
    }

    /// What an answer in the client's dialect needs that the provider's may not say.
    fn context(&self) -> ReplyContext {
        ReplyContext {
            id: format!("{:032x}", self.run.id.0),
            created: crate::clock::unix_ms() / 1000,
            model: self.outgoing.model.to_string(),
            include_usage: self.run.prepared.scan.usage_asked(),
        }
    }

    fn chunk_timeout(&self) -> Duration {
        let execution = &self.run.prepared.snapshot.config.execution;
        self.timeouts().chunk.unwrap_or(execution.chunk_timeout)
    }

    fn stream_fault(&self, fault: &StreamFault) -> Brought {
        let (failure, message) = match fault {
            StreamFault::Error(error) => {
                let brought = Brought::new(in_band(error), self.scrub(&error.message));
                return Brought { code: loggable(error), ..brought };
            }
            StreamFault::Malformed(e) => {
                (Failure::Invalid(Invalid::Json), format!("an event is not JSON (byte {}: {})", e.offset, e.kind))
            }
            StreamFault::Unexpected(e) => {
                (Failure::Invalid(Invalid::Json), format!("an event is not of its dialect: {e}"))
            }
            StreamFault::Oversized => (Failure::Invalid(Invalid::Json), "an event is larger than 1 MiB".to_owned()),
            StreamFault::Empty => (Failure::Invalid(Invalid::EmptyBody), "its stream has no events".to_owned()),
            StreamFault::EmptyAnswer => (Failure::EmptyAnswer, "its answer is empty".to_owned()),
            StreamFault::Cut => (Failure::EmptyStream, "its stream ended before any output".to_owned()),
        };
        Brought::new(failure, message)
    }

    /// Spent limits that a good answer reports: the next requests go elsewhere first.
    fn rate_hint(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        if let Some(wait) = exhausted_for(text, crate::clock::unix_ms()) {
            let health = &self.run.prepared.snapshot.health[usize::from(self.attempt.endpoint.0)];
            health.rate_limited(wait, self.run.state.clock.instant());
        }
    }

    /// A failure that the operator must mend: said at once, with its place.
    pub(super) fn say_loudly(&self, what: &Brought) {
        let registry = &self.run.prepared.snapshot.config.registry;
        let endpoint = registry.endpoint(self.attempt.endpoint);
        let (provider, model) = (&registry.provider(endpoint.provider).name, &endpoint.name);
        // A provider's words may quote the prompt: the log gets its code, which may not.
        let theirs = matches!(what.failure, Failure::Http { .. } | Failure::Invalid(Invalid::InBandError));
        let said = if theirs { what.code.as_deref().unwrap_or("-") } else { &what.message };
        let failure = what.failure.name();
        if what.failure.fault() == Fault::Operator {
            tracing::error!(%provider, %model, failure, said, "the provider refuses this gateway: check its key, URL and model name");
        } else {
            tracing::debug!(%provider, %model, failure, said, "attempt failed");
        }
    }

    /// A provider's text without our credentials, should it have echoed one.
    fn scrub(&self, message: &str) -> String {
        let snapshot = &self.run.prepared.snapshot;
        snapshot.scrub(snapshot.config.registry.endpoint(self.attempt.endpoint).provider, message)
    }

    fn scrub_body(&self, body: Bytes) -> Bytes {
        match std::str::from_utf8(&body) {
            Ok(text) => self.scrub(text).into_bytes().into(),
            Err(_) => Bytes::new(),
        }
    }
}

/// A provider's code for an error, else its type, where it looks like one: prose may hold anything.
fn loggable(error: &UpstreamError) -> Option<String> {
    let is_name = |s: &&String| {
        s.len() <= 64 && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.')
    };
    error.code.as_ref().filter(is_name).or(error.kind.as_ref().filter(is_name)).cloned()
}

/// An error inside of a 200: by the status that it states, where it states one.
fn in_band(error: &UpstreamError) -> Failure {
    let retry_after = error.retry_after_ms.map(Duration::from_millis);
    match error.status() {
        Some(status) => Failure::Http { status, retry_after, context_overflow: error.context_overflow },
        None if error.context_overflow => Failure::Http { status: 400, retry_after: None, context_overflow: true },
        None => Failure::Invalid(Invalid::InBandError),
    }
}

fn send_failed(e: SendError, connect: Duration) -> Brought {
    match e {
        SendError::Connect(e) => Brought::new(Failure::Connect, format!("cannot connect: {e}")),
        SendError::Tls(e) => Brought::new(Failure::Tls, format!("no TLS session: {e}")),
        SendError::ConnectTimeout => {
            Brought::new(Failure::Timeout(Timeout::Connect), format!("no connection within {connect:.1?}"))
        }
        SendError::Credentials(e) if e.refused => {
            let failure = Failure::Http { status: 401, retry_after: None, context_overflow: false };
            // Our own words, or the token server's: the operator's log may have them.
            Brought { code: Some(e.message.clone()), ..Brought::new(failure, e.message) }
        }
        SendError::Credentials(e) => Brought::new(Failure::Connect, e.message),
        SendError::Broken(e) => Brought::new(Failure::Connect, format!("the connection broke before an answer: {e}")),
    }
}

/// A 200 of another type, or compressed though nothing was offered, is no answer.
fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Brought> {
    let found = headers.get(CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    let kind = found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let matches = kind.eq_ignore_ascii_case(wanted.as_bytes());
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|v| v != "identity");
    if matches && !encoded {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&found[..found.len().min(80)]).into_owned();
    let message =
        if encoded { "its answer is compressed".to_owned() } else { format!("its answer is `{shown}`, not {wanted}") };
    Err(Brought::new(Failure::Invalid(Invalid::ContentType), message))
}

enum Collect {
    TooLarge,
    Broken(std::io::Error),
}

/// The whole body; one chunk is not copied.
async fn collect(mut body: UpstreamBody, most: usize) -> Result<Bytes, Collect> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Collect::Broken)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > most {
            return Err(Collect::TooLarge);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

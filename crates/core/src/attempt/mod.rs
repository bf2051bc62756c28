//! What a failed attempt means, and what to do next: move on, repeat, wait or give up. It never sleeps, sends nothing
//! and knows no dialect: the shell drives [`Plan`] and says how each attempt ended.

mod plan;

pub use plan::{Attempt, CandidatePlan, GiveUp, Limits, Plan, Skip, Step, Tried};

use crate::health::Verdict;
use std::time::Duration;

/// How an attempt failed. Only what the upstream or the network did; what Waypost itself refused is a [`Skip`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: name, route, refused, reset before an answer.
    Connect,
    /// The connection's TLS: certificate or handshake.
    Tls,
    /// Nothing came in time.
    Timeout(Timeout),
    /// An answer with a status other than 200. An error inside of a 200 that states a status belongs here as well.
    Http {
        /// The status.
        status: u16,
        /// How long the provider asks to wait ([`crate::retry::retry_after`]).
        retry_after: Option<Duration>,
        /// The dialect recognised the message: the input is larger than the model's window.
        context_overflow: bool,
    },
    /// A 200 that is no answer.
    Invalid(Invalid),
    /// A well-formed answer without content, tool call, reasoning or refusal that claims to be complete.
    EmptyAnswer,
    /// A stream that ended before any real output, and without claiming to be complete.
    EmptyStream,
    /// The connection broke in the middle of the answer.
    Cut,
    /// The client went away.
    Cancelled,
}

/// Which timeout ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// TCP and TLS.
    Connect,
    /// First real output of a stream.
    FirstToken,
    /// A non-streaming answer.
    Response,
    /// Between two chunks.
    Chunk,
    /// The attempt, whole.
    Total,
    /// The time that was left of the request: the caller's deadline or the total timeout over all attempts. Says nothing
    /// about the endpoint, or a caller with short deadlines could open every breaker.
    Deadline,
}

/// Why a 200 is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// No body at all.
    EmptyBody,
    /// Neither JSON nor an event stream, as asked for.
    ContentType,
    /// Not JSON, or an event that is not.
    Json,
    /// An `error` member, or an error event before any output.
    InBandError,
}

/// Whose fault a failure is, and with it what becomes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The endpoint's or the network's: move on.
    Endpoint,
    /// The provider's limits: move on at once.
    RateLimit,
    /// The operator's (credentials, model name, address): move on and say so loudly.
    Operator,
    /// The client's mistake: the answer goes back as it is.
    Client,
    /// The input does not fit this model: only a larger window can help.
    Window,
    /// The model had nothing to say: once elsewhere, then that is the answer.
    Empty,
    /// Nobody waits any more: the client left, or its time is over.
    Nobody,
}

impl Failure {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Connect | Self::Tls | Self::Invalid(_) | Self::EmptyStream | Self::Cut => Fault::Endpoint,
            Self::Timeout(Timeout::Deadline) | Self::Cancelled => Fault::Nobody,
            Self::Timeout(_) => Fault::Endpoint,
            Self::EmptyAnswer => Fault::Empty,
            Self::Http { context_overflow: true, .. } => Fault::Window,
            Self::Http { status, .. } => match status {
                429 => Fault::RateLimit,
                // Redirects are not followed: the base URL is wrong, as with 404, 405 and 410. 402: the account is empty.
                300..=399 | 401..=405 | 407 | 410 => Fault::Operator,
                // 409: a lock at the provider; 424: Bedrock's model failed; 425: replay was refused.
                408 | 409 | 424 | 425 => Fault::Endpoint,
                400..=499 => Fault::Client,
                _ => Fault::Endpoint,
            },
        }
    }

    /// Whether the endpoint's breaker counts it. The operator's faults count: the endpoint cannot answer anybody.
    pub fn counts(&self) -> bool {
        matches!(self.fault(), Fault::Endpoint | Fault::Operator)
    }

    /// Whether the same endpoint may be asked again, once every other was.
    pub fn repeatable(&self) -> bool {
        match self {
            Self::Tls | Self::Timeout(Timeout::Total) => false,
            Self::Http { status: 501 | 505, .. } => false,
            _ => matches!(self.fault(), Fault::Endpoint | Fault::RateLimit),
        }
    }

    /// How long the provider asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The upstream's status; 0 where none came.
    pub fn status(&self) -> u16 {
        match self {
            Self::Http { status, .. } => *status,
            Self::Invalid(_) | Self::EmptyAnswer | Self::EmptyStream | Self::Cut => 200,
            _ => 0,
        }
    }

    /// What the endpoint's health is told of it.
    pub fn verdict(&self) -> Verdict {
        match self.fault() {
            Fault::RateLimit => Verdict::RateLimited { retry_after: self.retry_after() },
            _ if self.counts() => {
                let timed_out = matches!(self, Self::Timeout(Timeout::FirstToken | Timeout::Response | Timeout::Total));
                Verdict::Failure { kind: self.name(), timed_out }
            }
            _ => Verdict::Neutral,
        }
    }

    /// The stable name in records, metrics and error messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout(Timeout::Connect) => "timeout_connect",
            Self::Timeout(Timeout::FirstToken) => "timeout_first_token",
            Self::Timeout(Timeout::Response) => "timeout_response",
            Self::Timeout(Timeout::Chunk) => "timeout_chunk",
            Self::Timeout(Timeout::Total) => "timeout",
            Self::Timeout(Timeout::Deadline) => "deadline",
            Self::Http { context_overflow: true, .. } => "context_overflow",
            Self::Http { status, .. } => http_name(*status),
            Self::Invalid(Invalid::EmptyBody) => "empty_body",
            Self::Invalid(Invalid::ContentType) => "content_type",
            Self::Invalid(Invalid::Json) => "invalid_json",
            Self::Invalid(Invalid::InBandError) => "in_band_error",
            Self::EmptyAnswer => "empty",
            Self::EmptyStream => "empty_stream",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }
}

fn http_name(status: u16) -> &'static str {
    match status {
        400 => "http_400",
        401 => "http_401",
        402 => "http_402",
        403 => "http_403",
        404 => "http_404",
        408 => "http_408",
        409 => "http_409",
        413 => "http_413",
        422 => "http_422",
        429 => "http_429",
        500 => "http_500",
        502 => "http_502",
        503 => "http_503",
        504 => "http_504",
        529 => "http_529",
        _ => match status / 100 {
            3 => "http_3xx",
            4 => "http_4xx",
            5 => "http_5xx",
            _ => "http_other",
        },
    }
}

#[cfg(test)]
mod tests;

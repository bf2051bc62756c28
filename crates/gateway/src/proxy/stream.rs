//! The body of a stream that has begun: bytes as they come from upstream, an explicit error where it breaks off, and the
//! account settled at its end or its drop.

use super::attempt::Begun;
use super::cached::Recorder;
use crate::account::Account;
use crate::admission::Permit;
use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::store::RequestOutcome;
use crate::upstream::UpstreamBody;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};
use waypost_core::attempt::{Failure, Invalid, Timeout};
use waypost_core::dialect::gate::{StreamFault, StreamGate};

/// How long the connection's end is awaited once the stream's own end has come: for the connection to be kept.
const LINGER: Duration = Duration::from_millis(200);

/// A committed stream on its way downstream.
///
/// A client that reads nothing keeps the body from being polled, and with it from looking at any clock. So the deadline has
/// a task of its own, which frees what the stream holds; the client finds the error should it read on.
#[derive(Debug)]
pub struct StreamBody {
    passing: Arc<Mutex<Passing>>,
    watch: AbortHandle,
}

impl StreamBody {
    /// Must be called on a runtime.
    pub(super) fn new(
        clock: Clock,
        begun: Begun,
        account: Account,
        permit: Permit,
        recorder: Option<Recorder>,
    ) -> Self {
        let Begun { gate, first, upstream, ended, chunk_timeout, deadline: (deadline, late) } = begun;
        let (active, deadline) = (Instant::now(), clock.timer(deadline));
        let quiet = if ended { LINGER } else { chunk_timeout };
        let timer = Box::pin(tokio::time::sleep_until((active + quiet).min(deadline)));
        let recorder = recorder.and_then(|r| r.push(&first));
        let ready = first.into_iter().rev().collect();
        let (upstream, permit) = (Some(upstream), Some(permit));
        let mut passing = Passing {
            clock,
            gate,
            ready,
            upstream,
            account,
            permit,
            timer,
            chunk_timeout,
            active,
            deadline,
            late,
            recorder,
            settled: false,
        };
        if ended {
            passing.succeed();
        }
        let passing = Arc::new(Mutex::new(passing));
        let watched = Arc::downgrade(&passing);
        let watch = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            if let Some(passing) = watched.upgrade() {
                lock(&passing).overdue();
            }
        });
        Self { passing, watch: watch.abort_handle() }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        lock(&self.passing).poll_frame(cx)
    }
}

/// The lock's content; only the body and its watch ever hold it, on the same thread.
fn lock(passing: &Mutex<Passing>) -> MutexGuard<'_, Passing> {
    passing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream itself.
#[derive(Debug)]
struct Passing {
    clock: Clock,
    gate: StreamGate,
    /// What is to be sent, first at the end.
    ready: Vec<Bytes>,
    /// `None` once upstream is through.
    upstream: Option<UpstreamBody>,
    account: Account,
    /// The place of the request; free when the body is.
    permit: Option<Permit>,
    timer: Pin<Box<Sleep>>,
    chunk_timeout: Duration,
    /// When something last came from upstream, or was last asked for by downstream.
    active: Instant,
    deadline: Instant,
    /// Whose limit the deadline is: the request's, or the attempt's own.
    late: Timeout,
    /// Keeps what passes for the cache.
    recorder: Option<Recorder>,
    /// Settled: only what is ready remains to be sent.
    settled: bool,
}

impl Passing {
    /// Takes bytes from upstream, and settles where they hold the end.
    fn take(&mut self, data: &Bytes) {
        let mut out = Vec::with_capacity(2);
        let pushed = self.gate.push(data, &mut out);
        self.note(&out);
        self.ready.extend(out.into_iter().rev());
        match pushed {
            Ok(_) if self.gate.is_done() => self.succeed(),
            Ok(_) => {}
            Err(fault) => self.fault(&fault),
        }
    }

    /// Upstream ended without an error of the connection.
    fn finish(&mut self) {
        let mut out = Vec::new();
        let finished = self.gate.finish(&mut out);
        self.note(&out);
        self.ready.splice(0..0, out.into_iter().rev());
        match finished {
            Ok(_) => self.succeed(),
            Err(fault) => self.fault(&fault),
        }
    }

    fn note(&mut self, out: &[Bytes]) {
        self.recorder = self.recorder.take().and_then(|r| r.push(out));
        let tally = self.gate.tally();
        self.account.passed(tally.text_bytes, tally.usage);
    }

    fn succeed(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            let now = self.clock.instant();
            if let Some(recorder) = self.recorder.take() {
                recorder.store(&self.account, true, self.gate.tally().usage, now);
            }
            self.account.answered(now);
            self.account.close(RequestOutcome::Ok, 200, None);
        }
    }

    fn fault(&mut self, fault: &StreamFault) {
        match fault {
            StreamFault::Error(e) => {
                let said = match self.account.answering() {
                    Some(by) => self.account.snapshot.scrub(by.provider, &e.message),
                    None => String::new(),
                };
                let message = format!("the provider reported an error in the stream: {said}");
                self.fail(&Failure::Invalid(Invalid::InBandError), Kind::UpstreamError, message);
            }
            StreamFault::Malformed(_) | StreamFault::Unexpected(_) | StreamFault::Oversized => {
                let message = "the provider's stream is malformed; what came before is incomplete";
                self.fail(&Failure::Invalid(Invalid::Json), Kind::UpstreamError, message);
            }
            StreamFault::Empty | StreamFault::EmptyAnswer | StreamFault::Cut => {
                self.fail(
                    &Failure::Cut,
                    Kind::UpstreamError,
                    "the provider's stream broke off; what came before is incomplete",
                );
            }
        }
    }

    /// The stream ends in an explicit error event, never in a clean end.
    fn fail(&mut self, failure: &Failure, kind: Kind, message: impl Into<String>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.upstream = None;
        if let Some(recorder) = self.recorder.take() {
            recorder.vain();
        }
        let error = Error::new(kind, message);
        self.ready.insert(0, error.event(self.account.client));
        self.account.failed(failure, self.clock.instant());
        let (_, code, _) = kind.wire();
        self.account.close(RequestOutcome::Cut, 200, Some(code));
    }

    /// The deadline has passed and nobody may be asking: lets go of everything but what is ready.
    fn overdue(&mut self) {
        self.fail_late();
        self.upstream = None;
        self.permit = None;
    }

    fn fail_late(&mut self) {
        let message = match self.late {
            Timeout::Total => "the provider's total timeout passed in the middle of the answer",
            _ => "the request's deadline passed in the middle of the answer",
        };
        self.fail(&Failure::Timeout(self.late), Kind::DeadlineExceeded, message);
    }

    /// Whether a timeout has run out; the timer is moved on lazily, not at each chunk.
    fn timed_out(&mut self, cx: &mut Context<'_>) -> Option<Timeout> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let quiet = if self.settled { LINGER } else { self.chunk_timeout };
            if now >= self.deadline {
                return Some(Timeout::Deadline);
            }
            if now >= self.active + quiet {
                return Some(Timeout::Chunk);
            }
            let next = (self.active + quiet).min(self.deadline);
            self.timer.as_mut().reset(next);
        }
        None
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.ready.pop() {
                // While downstream takes its time, upstream is not to blame for silence.
                self.active = Instant::now();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
            match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let (Ok(data), false) = (frame.into_data(), self.settled) {
                        // A part of an event is a sign of life as well, though nothing of it can be sent yet.
                        self.active = Instant::now();
                        self.take(&data);
                        if self.settled && self.upstream.is_some() {
                            self.timer.as_mut().reset(Instant::now() + LINGER);
                        }
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    self.upstream = None;
                    self.fault(&StreamFault::Cut);
                }
                Poll::Ready(None) => {
                    self.upstream = None;
                    if !self.settled {
                        self.finish();
                    }
                }
                Poll::Pending => match self.timed_out(cx) {
                    None => return Poll::Pending,
                    // The stream's own end has come: the connection is closed instead of kept.
                    Some(_) if self.settled => self.upstream = None,
                    Some(Timeout::Deadline) => self.fail_late(),
                    Some(which) => {
                        let message = format!("nothing came from the provider for {:.1?}", self.chunk_timeout);
                        self.fail(&Failure::Timeout(which), Kind::UpstreamError, message);
                    }
                },
            }
        }
    }
}

//! The live state of endpoints and models: breaker, speed, load, rate limits, corrections. Shared by all requests:
//! deciding reads atomics, an attempt takes a lock briefly at its begin and end. No clock, no tasks, no log: time comes
//! in as an argument, transitions go out as values.

mod breaker;
mod choice;
mod estimates;
mod speed;

pub use breaker::{Breaker, BreakerEvent, BreakerReason, BreakerState, Count, Force, MAX_COOLDOWN, Pass};
pub use choice::pick_two;
pub use estimates::{ExpectedOutput, PRIOR_OUTPUT_TOKENS, TokenFactor};
pub use speed::{Mean, NOMINAL_TOKENS, Observed, PRIOR_WEIGHT, Speed};

use crate::config::BreakerConfig;
use crate::registry::Latency;
use crate::units::{Instant, Rng};
use estimates::AtomicF32;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an endpoint is taken to be rate-limited when its 429 does not say.
const DEFAULT_RATE_LIMIT: Duration = Duration::from_secs(1);
/// A longer `Retry-After` is not believed: the hint would outlive every change of the limit.
const MAX_RATE_LIMIT: Duration = Duration::from_secs(3600);

/// How an attempt went, as far as its endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole answer.
    Success(Observed),
    /// The endpoint's fault.
    Failure {
        /// Stable name of the failure.
        kind: &'static str,
        /// Nothing came in time: the endpoint is at least so slow.
        timed_out: bool,
    },
    /// 429. Says nothing about health.
    RateLimited {
        /// From the answer, where it said so.
        retry_after: Option<Duration>,
    },
    /// Says nothing: the client's mistake, a cancellation.
    Neutral,
}

/// An attempt under way. Made by [`EndpointHealth::try_begin`], consumed by [`EndpointHealth::finish`] of the same
/// endpoint, also when the client goes away ([`Verdict::Neutral`]).
#[must_use = "an attempt that is not finished stays in flight for ever"]
#[derive(Debug)]
pub struct Ticket {
    pass: Pass,
    begun: Instant,
    /// The first token has been taken in.
    first_seen: bool,
}

impl Ticket {
    /// Whether the attempt probes a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.pass.is_probe()
    }

    /// When the attempt began.
    pub fn begun(&self) -> Instant {
        self.begun
    }
}

/// A ticket, and the event where asking for it moved the breaker to half-open.
#[derive(Debug)]
pub struct Begun {
    /// To be finished.
    pub ticket: Ticket,
    /// To be logged.
    pub event: Option<BreakerEvent>,
}

/// What deciding sees of an endpoint. Its fields are read one after the other: while another thread updates them they
/// may be of two neighbouring moments. Whether an attempt may begin is decided by [`EndpointHealth::try_begin`] alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointView {
    /// Whether an attempt would be let through now.
    pub admits: bool,
    /// Where the breaker stands.
    pub breaker: BreakerState,
    /// Whether an operator holds it there.
    pub forced: bool,
    /// While it is open by itself: when the first probe may pass.
    pub retry_at: Option<Instant>,
    /// Until when the provider refuses requests; never in the past.
    pub rate_limited_until: Option<Instant>,
    /// Attempts under way.
    pub in_flight: u32,
    /// Expected time to the first token, microseconds.
    pub first_token_us: f32,
    /// Expected time per output token after the first, microseconds.
    pub per_token_us: f32,
    /// Answers behind the two; 0: only the prior.
    pub observations: u32,
}

/// The live state of one endpoint, shared between threads.
#[derive(Debug)]
pub struct EndpointHealth {
    shown: Shown,
    live: Mutex<Live>,
}

/// What only the lock's holder changes.
#[derive(Debug)]
struct Live {
    breaker: Breaker,
    speed: Speed,
    in_flight: u32,
    limited_since: Instant,
    limited_until: Instant,
}

/// A copy of [`Live`] for readers without a lock.
#[derive(Debug)]
struct Shown {
    /// State in bits 0 and 1, [`Shown::FORCED`], [`Shown::PROBE_FREE`].
    gate: AtomicU8,
    retry_at: AtomicU64,
    limited_until: AtomicU64,
    in_flight: AtomicU32,
    first_token: ShownMean,
    per_token: ShownMean,
    peak: AtomicF32,
    peak_at: AtomicU64,
    observations: AtomicU32,
    weight: AtomicF32,
}

impl EndpointHealth {
    /// A cold endpoint: closed, expected to be as fast as `prior`. `weight` is its relative share of traffic.
    pub fn new(config: BreakerConfig, prior: Latency, weight: f32) -> Self {
        let live = Live {
            breaker: Breaker::new(config),
            speed: Speed::new(prior),
            in_flight: 0,
            limited_since: Instant(0),
            limited_until: Instant(0),
        };
        let shown = Shown {
            gate: AtomicU8::new(0),
            retry_at: AtomicU64::new(0),
            limited_until: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            first_token: ShownMean::new(&live.speed.first_token),
            per_token: ShownMean::new(&live.speed.per_token),
            peak: AtomicF32::new(0.0),
            peak_at: AtomicU64::new(0),
            observations: AtomicU32::new(0),
            weight: AtomicF32::new(usable(weight)),
        };
        shown.publish(&live);
        Self { shown, live: Mutex::new(live) }
    }

    /// Other limits, prior and weight after a reload; what was learned stays.
    pub fn configure(&self, config: BreakerConfig, prior: Latency, weight: f32) {
        let mut live = lock(&self.live);
        live.breaker.configure(config);
        live.speed.configure(prior);
        self.shown.weight.store(usable(weight));
        self.shown.publish(&live);
    }

    /// Asks to begin an attempt; `None` where the breaker rejects it. A probe of a half-open breaker is counted.
    pub fn try_begin(&self, now: Instant) -> Option<Begun> {
        let mut live = lock(&self.live);
        let (pass, event) = live.breaker.begin(now)?;
        live.in_flight += 1;
        self.shown.publish(&live);
        Some(Begun { ticket: Ticket { pass, begun: now, first_seen: false }, event })
    }

    /// The first real output of a stream came, `first_token` after sending. Optional: without it [`Self::finish`] takes
    /// the same figure in at the end of the stream, which may be minutes later, and a probe ends only then.
    pub fn first_output(&self, ticket: &mut Ticket, first_token: Duration, now: Instant) -> Option<BreakerEvent> {
        let mut live = lock(&self.live);
        if !std::mem::replace(&mut ticket.first_seen, true) {
            live.speed.first_output(first_token, now);
        }
        let event = live.breaker.first_output(&mut ticket.pass, now);
        self.shown.publish(&live);
        event
    }

    /// The attempt is over, in whatever way. Draws from `rng` only where the breaker opens.
    pub fn finish(&self, ticket: Ticket, verdict: Verdict, now: Instant, rng: &mut Rng) -> Option<BreakerEvent> {
        let mut live = lock(&self.live);
        live.in_flight = live.in_flight.saturating_sub(1);
        let count = match verdict {
            Verdict::Success(observed) => {
                live.speed.answered(&observed, ticket.first_seen, now);
                if ticket.begun >= live.limited_since {
                    live.limited_until = Instant(0);
                }
                Count::Success
            }
            Verdict::Failure { kind, timed_out } => {
                if timed_out {
                    live.speed.timed_out(now.since(ticket.begun), now);
                }
                Count::Failure(kind)
            }
            Verdict::RateLimited { retry_after } => {
                live.limit(retry_after.unwrap_or(DEFAULT_RATE_LIMIT), now);
                Count::Nothing
            }
            Verdict::Neutral => Count::Nothing,
        };
        let event = live.breaker.end(ticket.pass, count, now, rng);
        self.shown.publish(&live);
        event
    }

    /// The provider said that nothing is left of a limit for this long ([`crate::retry::exhausted_for`]).
    pub fn rate_limited(&self, wait: Duration, now: Instant) {
        let mut live = lock(&self.live);
        live.limit(wait, now);
        self.shown.publish(&live);
    }

    /// What the operator says about the breaker.
    pub fn force(&self, force: Force, now: Instant) -> BreakerEvent {
        let mut live = lock(&self.live);
        let event = live.breaker.force(force, now);
        self.shown.publish(&live);
        event
    }

    /// What deciding sees; takes no lock.
    pub fn view(&self, now: Instant) -> EndpointView {
        let shown = &self.shown;
        let gate = shown.gate.load(Acquire);
        let (forced, probe_free) = (gate & Shown::FORCED != 0, gate & Shown::PROBE_FREE != 0);
        let breaker = Shown::state(gate);
        let retry_at = (breaker == BreakerState::Open && !forced).then(|| Instant(shown.retry_at.load(Relaxed)));
        let admits = match breaker {
            BreakerState::Closed => true,
            BreakerState::HalfOpen => probe_free,
            BreakerState::Open => probe_free && retry_at.is_some_and(|at| at <= now),
        };
        EndpointView {
            admits,
            breaker,
            forced,
            retry_at,
            rate_limited_until: Some(Instant(shown.limited_until.load(Relaxed))).filter(|at| *at > now),
            in_flight: shown.in_flight.load(Relaxed),
            first_token_us: shown.first_token.estimate(now),
            per_token_us: shown.per_token.estimate(now),
            observations: shown.observations.load(Relaxed),
        }
    }

    /// How reluctant a choice between endpoints should be: peak latency × (in flight + 1) ÷ weight. Takes no lock.
    pub fn load(&self, now: Instant) -> f32 {
        let shown = &self.shown;
        let plain = shown.first_token.estimate(now) + NOMINAL_TOKENS * shown.per_token.estimate(now);
        let age = now.since(Instant(shown.peak_at.load(Relaxed)));
        let peak = speed::decayed(plain, shown.peak.load(), age);
        peak * (shown.in_flight.load(Relaxed) as f32 + 1.0) / shown.weight.load()
    }
}

impl Live {
    fn limit(&mut self, wait: Duration, now: Instant) {
        self.limited_since = self.limited_since.max(now);
        self.limited_until = self.limited_until.max(now + wait.min(MAX_RATE_LIMIT));
    }
}

impl Shown {
    const FORCED: u8 = 1 << 2;
    const PROBE_FREE: u8 = 1 << 3;

    fn state(gate: u8) -> BreakerState {
        match gate & 3 {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// Called with the lock held.
    fn publish(&self, live: &Live) {
        let breaker = &live.breaker;
        let state = match breaker.state() {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::HalfOpen => 2,
        };
        let forced = if breaker.forced() { Self::FORCED } else { 0 };
        let probe_free = if breaker.probe_free() { Self::PROBE_FREE } else { 0 };
        self.retry_at.store(breaker.retry_at().map_or(0, |at| at.0), Relaxed);
        // After `retry_at`, so that who sees an open gate does not see the time of an earlier opening.
        self.gate.store(state | forced | probe_free, Release);
        self.limited_until.store(live.limited_until.0, Relaxed);
        self.in_flight.store(live.in_flight, Relaxed);
        self.first_token.publish(&live.speed.first_token);
        self.per_token.publish(&live.speed.per_token);
        self.peak.store(live.speed.peak);
        self.peak_at.store(live.speed.peak_at.0, Relaxed);
        self.observations.store(live.speed.observations, Relaxed);
    }
}

/// A [`Mean`] for readers without a lock.
#[derive(Debug)]
struct ShownMean {
    prior: AtomicF32,
    mean: AtomicF32,
    weight: AtomicF32,
    at: AtomicU64,
}

impl ShownMean {
    fn new(mean: &Mean) -> Self {
        let shown = |value| AtomicF32::new(value);
        Self {
            prior: shown(mean.prior),
            mean: shown(mean.mean),
            weight: shown(mean.weight),
            at: AtomicU64::new(mean.at.0),
        }
    }

    fn publish(&self, mean: &Mean) {
        self.prior.store(mean.prior);
        self.mean.store(mean.mean);
        self.weight.store(mean.weight);
        self.at.store(mean.at.0, Relaxed);
    }

    fn estimate(&self, now: Instant) -> f32 {
        let at = Instant(self.at.load(Relaxed));
        Mean { prior: self.prior.load(), mean: self.mean.load(), weight: self.weight.load(), at }.estimate(now)
    }
}

/// A weight that can be divided by.
fn usable(weight: f32) -> f32 {
    if weight.is_finite() && weight > 0.0 { weight } else { 1.0 }
}

/// The lock's content. A thread that panicked while it held the lock left numbers, not a broken invariant: go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

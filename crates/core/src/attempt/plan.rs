//! The order of attempts for one request: a state machine that the shell drives with [`Plan::next`] and
//! [`Plan::failed`] until an answer stands or nothing is left.

use super::{Failure, Fault, Timeout};
use crate::health::{EndpointHealth, EndpointView, pick_two};
use crate::registry::{EndpointIx, ModelIx};
use crate::retry::{RetryBudget, backoff};
use crate::units::{Instant, Rng};
use std::sync::Arc;
use std::time::Duration;

/// One of the decision's ordered candidates.
#[derive(Clone, Copy, Debug)]
pub struct CandidatePlan<'a> {
    /// The model.
    pub model: ModelIx,
    /// Its endpoints; which of them is tried first is chosen by load.
    pub endpoints: &'a [EndpointIx],
    /// Its context window, where known.
    pub window: Option<u32>,
    /// Only when all others failed; its use is marked.
    pub emergency: bool,
}

/// What bounds a request's attempts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attempts, the first included; 0 is taken as 1.
    pub max_attempts: u32,
    /// No attempt begins and no wait ends at or after this.
    pub deadline: Instant,
    /// Longest wait for a `Retry-After` or a backoff.
    pub max_retry_wait: Duration,
    /// Only the first candidate (all its endpoints).
    pub no_fallback: bool,
}

/// What the shell does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Send the request there, then say [`Plan::failed`], [`Plan::not_made`], or nothing when it was answered.
    Try(Attempt),
    /// Ask again at this time.
    Wait {
        /// Before the deadline.
        until: Instant,
    },
    /// Nothing more is tried.
    GiveUp(GiveUp),
}

/// One attempt to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index among the candidates.
    pub candidate: usize,
    /// The candidate's model.
    pub model: ModelIx,
    /// Where.
    pub endpoint: EndpointIx,
    /// 1 for the first.
    pub number: u32,
    /// The endpoint was tried before.
    pub repeat: bool,
    /// An emergency candidate: its answer is marked.
    pub degraded: bool,
}

/// Why an attempt was not made after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The breaker let nobody through ([`EndpointHealth::try_begin`]); excludes the endpoint.
    BreakerOpen,
    /// The provider's own concurrency limit is reached; excludes the endpoint.
    Saturated,
    /// The gate refused to reserve for it; excludes the candidate.
    Budget,
    /// The endpoint's dialect cannot express the request; excludes the endpoint.
    Inexpressible,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was tried.
    pub attempt: Attempt,
    /// How it failed.
    pub failure: Failure,
    /// When it failed.
    pub at: Instant,
}

/// The answer to give. An `attempt` is an index in [`Plan::tried`]; the shell has kept what that attempt brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The client's mistake: this attempt's status and message go back as they are.
    AsIs {
        /// The attempt that found it.
        attempt: usize,
    },
    /// The empty answer of this attempt is the answer.
    EmptyAnswer {
        /// The last attempt with an empty answer.
        attempt: usize,
    },
    /// 400 `context_length_exceeded`: no larger window is left.
    ContextOverflow {
        /// The last attempt that overflowed.
        attempt: usize,
    },
    /// 429 `rate_limit_exceeded`: every attempt was refused so.
    RateLimited {
        /// The smallest wait that a provider asked for, from now.
        retry_after: Option<Duration>,
        /// The attempt with it, or the last one.
        attempt: usize,
    },
    /// 504 `deadline_exceeded`.
    Deadline,
    /// 502 `upstream_error`, with every attempt's reason.
    Upstream,
    /// 503 `no_candidates`: no attempt could be made, all breakers are open.
    Unavailable {
        /// Until the first breaker lets a probe through.
        retry_after: Option<Duration>,
    },
    /// 429 `budget_exceeded`: no attempt could be made, the gate refused each.
    Budget,
    /// 400: no attempt could be made, no endpoint's dialect can express the request.
    Inexpressible,
    /// No answer: the client left, or an answer has begun or stands.
    Stopped,
}

/// The attempts of one request.
///
/// Untried endpoints first: of the first candidate that has one which is admitted and not rate-limited, chosen by load;
/// then those that are rate-limited by hint; then the same among emergency candidates. Only when every endpoint was
/// tried once is one repeated, the least tried first, after a backoff and against the retry budget.
#[derive(Debug)]
pub struct Plan<'a> {
    candidates: &'a [CandidatePlan<'a>],
    limits: Limits,
    tried: Vec<Tried>,
    skipped: Vec<(Attempt, Skip)>,
    /// The attempt that was handed out and of which nothing was heard.
    current: Option<Attempt>,
    waiting: Option<(Attempt, Instant)>,
    /// Repeats that were paid for.
    repeats: u32,
    /// The next repeat is paid for.
    paid: bool,
    committed: bool,
}

impl<'a> Plan<'a> {
    /// A plan over `candidates`, best first.
    pub fn new(candidates: &'a [CandidatePlan<'a>], limits: Limits) -> Self {
        let candidates = if limits.no_fallback { &candidates[..candidates.len().min(1)] } else { candidates };
        Self {
            candidates,
            limits,
            tried: Vec::new(),
            skipped: Vec::new(),
            current: None,
            waiting: None,
            repeats: 0,
            paid: false,
            committed: false,
        }
    }

    /// What to do now. `live` is indexed by [`EndpointIx`]; an endpoint that is not in it is not tried.
    pub fn next(&mut self, now: Instant, rng: &mut Rng, live: &[Arc<EndpointHealth>], budget: &RetryBudget) -> Step {
        if let Some(end) = self.settled(now) {
            return Step::GiveUp(end);
        }
        if self.tried.len() >= self.limits.max_attempts.max(1) as usize {
            return Step::GiveUp(self.exhausted(now, live));
        }
        if let Some((attempt, until)) = self.waiting {
            if now < until {
                return Step::Wait { until };
            }
            self.waiting = None;
            if view(live, attempt.endpoint, now).is_some_and(|v| v.admits) {
                return self.hand_out(attempt);
            }
        }
        if let Some(attempt) = self.untried(now, rng, live) {
            return self.hand_out(attempt);
        }
        if let Some(attempt) = self.last_with(Fault::Empty) {
            return Step::GiveUp(GiveUp::EmptyAnswer { attempt });
        }
        self.repeat(now, rng, live, budget).unwrap_or_else(|| Step::GiveUp(self.exhausted(now, live)))
    }

    /// The attempt that the last [`Step::Try`] began has failed.
    pub fn failed(&mut self, failure: Failure, now: Instant) {
        if let Some(attempt) = self.current.take() {
            self.tried.push(Tried { attempt, failure, at: now });
        }
    }

    /// The attempt of the last [`Step::Try`] was not made. It does not count, and is not proposed again.
    pub fn not_made(&mut self, skip: Skip) {
        if let Some(attempt) = self.current.take() {
            self.skipped.push((attempt, skip));
            self.paid |= attempt.repeat;
        }
    }

    /// The answer has begun downstream: whatever happens now, nothing is tried again.
    pub fn commit(&mut self) {
        self.committed = true;
    }

    /// The attempts that failed, in order.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// What was proposed and not made, in order.
    pub fn skipped(&self) -> &[(Attempt, Skip)] {
        &self.skipped
    }

    /// Attempts that were made, the present one included.
    pub fn attempts(&self) -> u32 {
        (self.tried.len() + usize::from(self.current.is_some())) as u32
    }

    /// The end that no further attempt could better.
    fn settled(&self, now: Instant) -> Option<GiveUp> {
        if self.committed || self.current.is_some() {
            return Some(GiveUp::Stopped);
        }
        let last = self.tried.last().map(|t| t.failure);
        if last == Some(Failure::Cancelled) {
            return Some(GiveUp::Stopped);
        }
        // An empty answer is tried elsewhere once; if that brings nothing better, it is what there is.
        if let Some(first) = self.tried.iter().position(|t| t.failure.fault() == Fault::Empty)
            && (first + 1 < self.tried.len() || now >= self.limits.deadline)
        {
            return self.last_with(Fault::Empty).map(|attempt| GiveUp::EmptyAnswer { attempt });
        }
        if last.is_some_and(|f| f.fault() == Fault::Client) {
            return Some(GiveUp::AsIs { attempt: self.tried.len() - 1 });
        }
        let late = now >= self.limits.deadline || last == Some(Failure::Timeout(Timeout::Deadline));
        late.then_some(GiveUp::Deadline)
    }

    /// The end when nothing more can be tried.
    fn exhausted(&self, now: Instant, live: &[Arc<EndpointHealth>]) -> GiveUp {
        if let Some(attempt) = self.last_with(Fault::Empty) {
            return GiveUp::EmptyAnswer { attempt };
        }
        let Some(last) = self.tried.last() else {
            return self.nothing_made(now, live);
        };
        if last.failure.fault() == Fault::Window {
            return GiveUp::ContextOverflow { attempt: self.tried.len() - 1 };
        }
        if self.tried.iter().any(|t| t.failure.fault() != Fault::RateLimit) {
            return GiveUp::Upstream;
        }
        // Of each endpoint, what it said last.
        let latest = self
            .tried
            .iter()
            .enumerate()
            .filter(|(i, t)| self.tried[i + 1..].iter().all(|later| later.attempt.endpoint != t.attempt.endpoint));
        let asked = latest.filter_map(|(i, t)| Some((remaining(t, now)?, i)));
        match asked.min() {
            Some((wait, attempt)) => GiveUp::RateLimited { retry_after: Some(wait), attempt },
            None => GiveUp::RateLimited { retry_after: None, attempt: self.tried.len() - 1 },
        }
    }

    fn nothing_made(&self, now: Instant, live: &[Arc<EndpointHealth>]) -> GiveUp {
        if !self.skipped.is_empty() && self.skipped.iter().all(|(_, s)| *s == Skip::Budget) {
            return GiveUp::Budget;
        }
        let endpoints = self.candidates.iter().flat_map(|c| c.endpoints);
        let inexpressible =
            |e: &EndpointIx| self.skipped.iter().any(|(a, s)| a.endpoint == *e && *s == Skip::Inexpressible);
        if endpoints.clone().next().is_some() && endpoints.clone().all(inexpressible) {
            return GiveUp::Inexpressible;
        }
        let retry_at = endpoints.filter_map(|e| view(live, *e, now)?.retry_at).min();
        GiveUp::Unavailable { retry_after: retry_at.map(|at| at.since(now)) }
    }

    fn last_with(&self, fault: Fault) -> Option<usize> {
        self.tried.iter().rposition(|t| t.failure.fault() == fault)
    }

    /// The next endpoint that was never tried.
    fn untried(&self, now: Instant, rng: &mut Rng, live: &[Arc<EndpointHealth>]) -> Option<Attempt> {
        for (emergency, limited) in [(false, false), (false, true), (true, false), (true, true)] {
            for (ix, candidate) in self.candidates.iter().enumerate() {
                if candidate.emergency != emergency || !self.eligible(ix) {
                    continue;
                }
                let open = |e: &EndpointIx| {
                    let view = view(live, *e, now).filter(|v| v.admits)?;
                    let fits = self.tries(*e) == 0 && !self.is_skipped(*e);
                    (fits && view.rate_limited_until.is_some() == limited).then_some(view)
                };
                let chosen = match candidate.endpoints {
                    [only] => open(only).map(|_| *only),
                    all if limited => {
                        let limits = all.iter().filter_map(|e| Some((open(e)?.rate_limited_until, *e)));
                        limits.min().map(|(_, e)| e)
                    }
                    all => {
                        let of: Vec<_> = all.iter().copied().filter(|e| open(e).is_some()).collect();
                        pick_two(&of, |e| live[usize::from(e.0)].load(now), rng).map(|i| of[i])
                    }
                };
                if let Some(endpoint) = chosen {
                    return Some(self.attempt(ix, endpoint, false));
                }
            }
        }
        None
    }

    /// A repeat, now or after a wait; `None` where none is possible or the retry budget is spent.
    fn repeat(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        live: &[Arc<EndpointHealth>],
        budget: &RetryBudget,
    ) -> Option<Step> {
        let mut best: Option<((u32, Duration), Attempt)> = None;
        for (ix, candidate) in self.candidates.iter().enumerate().filter(|(ix, _)| self.eligible(*ix)) {
            for endpoint in candidate.endpoints.iter().filter(|e| !self.is_skipped(**e)) {
                let Some(last) = self.tried.iter().rev().find(|t| t.attempt.endpoint == *endpoint) else { continue };
                let wait = remaining(last, now).unwrap_or_default();
                let order = (self.tries(*endpoint), wait);
                let possible = last.failure.repeatable()
                    && wait <= self.limits.max_retry_wait
                    && view(live, *endpoint, now).is_some_and(|v| v.admits);
                if possible && best.is_none_or(|(least, _)| order < least) {
                    best = Some((order, self.attempt(ix, *endpoint, true)));
                }
            }
        }
        let ((_, wait), attempt) = best?;
        let wait = wait.max(backoff(self.repeats, self.limits.max_retry_wait, rng));
        if now + wait >= self.limits.deadline || !(self.paid || budget.withdraw(now)) {
            return None;
        }
        if !std::mem::replace(&mut self.paid, true) {
            self.repeats += 1;
        }
        if wait.is_zero() {
            return Some(self.hand_out(attempt));
        }
        self.waiting = Some((attempt, now + wait));
        Some(Step::Wait { until: now + wait })
    }

    fn hand_out(&mut self, attempt: Attempt) -> Step {
        self.paid &= !attempt.repeat;
        self.current = Some(attempt);
        Step::Try(attempt)
    }

    fn attempt(&self, candidate: usize, endpoint: EndpointIx, repeat: bool) -> Attempt {
        let CandidatePlan { model, emergency: degraded, .. } = self.candidates[candidate];
        Attempt { candidate, model, endpoint, number: self.tried.len() as u32 + 1, repeat, degraded }
    }

    /// Whether the input may fit the candidate after all overflows so far, and the gate has not refused it. Deciding
    /// has compared a known window with the input: it counts as larger than an unknown one that overflowed.
    fn eligible(&self, ix: usize) -> bool {
        let larger = |overflowed: usize| match (self.candidates[overflowed].window, self.candidates[ix].window) {
            (Some(too_small), Some(window)) => window > too_small,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let overflows = self.tried.iter().filter(|t| t.failure.fault() == Fault::Window);
        let refused = self.skipped.iter().any(|(a, s)| *s == Skip::Budget && a.candidate == ix);
        !refused && overflows.into_iter().all(|t| larger(t.attempt.candidate))
    }

    fn tries(&self, endpoint: EndpointIx) -> u32 {
        self.tried.iter().filter(|t| t.attempt.endpoint == endpoint).count() as u32
    }

    fn is_skipped(&self, endpoint: EndpointIx) -> bool {
        self.skipped.iter().any(|(a, s)| *s != Skip::Budget && a.endpoint == endpoint)
    }
}

/// What is left of the wait that a provider asked for.
fn remaining(tried: &Tried, now: Instant) -> Option<Duration> {
    tried.failure.retry_after().map(|wait| (tried.at + wait).since(now))
}

fn view(live: &[Arc<EndpointHealth>], endpoint: EndpointIx, now: Instant) -> Option<EndpointView> {
    live.get(usize::from(endpoint.0)).map(|health| health.view(now))
}

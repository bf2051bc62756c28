//! The circuit breaker of one endpoint, as a state machine that is called: no task, no clock, no lock. Closed passes,
//! Open rejects, HalfOpen lets a few probes through. It logs nothing: each transition is returned as an event.

use crate::config::BreakerConfig;
use crate::units::{Instant, Rng};
use std::time::Duration;

/// The cooldown doubles on each repeat up to this (or up to the configured one, where that is longer).
pub const MAX_COOLDOWN: Duration = Duration::from_secs(600);

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests are rejected until the cooldown is over.
    Open,
    /// A few probes pass, to see whether the endpoint is back.
    HalfOpen,
}

impl BreakerState {
    /// The name in events, metrics and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A transition, for the shell to log and store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerEvent {
    /// The state before.
    pub from: BreakerState,
    /// The state after; equal to `from` where an operator forced the state that already was.
    pub to: BreakerState,
    /// Why.
    pub reason: BreakerReason,
    /// When.
    pub at: Instant,
    /// Where it opened by itself: when the first probe may pass.
    pub retry_at: Option<Instant>,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BreakerReason {
    /// So many failures in a row, the last of this kind.
    ConsecutiveFailures {
        /// Failures in a row.
        count: u32,
        /// Name of the last failure.
        last: &'static str,
    },
    /// Too large a share of failures in the window, the last of this kind.
    ErrorRate {
        /// Failures in the window.
        failures: u32,
        /// Requests in the window.
        requests: u32,
        /// Name of the last failure.
        last: &'static str,
    },
    /// The cooldown is over and a probe was let through.
    CooldownOver,
    /// A probe was answered.
    ProbeSucceeded,
    /// A probe failed, of this kind.
    ProbeFailed {
        /// Name of the failure.
        last: &'static str,
    },
    /// An operator opened it.
    ForcedOpen,
    /// An operator closed it.
    ForcedClosed,
    /// An operator gave it back to itself, closed.
    Reset,
}

impl BreakerReason {
    /// The name in events and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures { .. } => "consecutive_failures",
            Self::ErrorRate { .. } => "error_rate",
            Self::CooldownOver => "cooldown_over",
            Self::ProbeSucceeded => "probe_succeeded",
            Self::ProbeFailed { .. } => "probe_failed",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Reset => "reset",
        }
    }
}

/// What an operator can force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Reject everything until told otherwise.
    Open,
    /// Pass everything until told otherwise.
    Closed,
    /// Closed, with everything forgotten, and from now on by itself again.
    Reset,
}

/// How a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The endpoint answered.
    Success,
    /// The endpoint failed, with the failure's name.
    Failure(&'static str),
    /// Says nothing about the endpoint: the client's mistake, a 429, a cancellation.
    Nothing,
}

/// Permission to send one request; given back with [`Breaker::end`].
#[must_use = "a pass that is not given back keeps its probe's place for ever"]
#[derive(Debug)]
pub struct Pass {
    epoch: u32,
    probe: bool,
}

impl Pass {
    /// Whether the request is a probe of a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The state machine. Every transition begins a new epoch; what began in an earlier one no longer counts, so that late
/// answers neither close a breaker that has opened nor prolong its cooldown.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    forced: bool,
    epoch: u32,
    /// Failures since the last success; meaningful while closed.
    consecutive: u32,
    window: Window,
    /// Openings since a success last closed it.
    openings: u32,
    /// Meaningful while open.
    retry_at: Instant,
    /// Probes under way, of whatever epoch.
    probes: u32,
}

impl Breaker {
    /// A closed breaker. Limits of zero in `config` are taken as one.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            forced: false,
            epoch: 0,
            consecutive: 0,
            window: Window::default(),
            openings: 0,
            retry_at: Instant(0),
            probes: 0,
        }
    }

    /// Other limits from now on; the state stays.
    pub fn configure(&mut self, config: BreakerConfig) {
        self.config = config;
    }

    /// Where it stands. An open breaker whose cooldown is over is still open until a request asks.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether an operator holds it where it is.
    pub fn forced(&self) -> bool {
        self.forced
    }

    /// When the first probe may pass; `None` unless it opened by itself.
    pub fn retry_at(&self) -> Option<Instant> {
        (self.state == BreakerState::Open && !self.forced).then_some(self.retry_at)
    }

    /// Whether fewer probes are under way than may be.
    pub fn probe_free(&self) -> bool {
        self.probes < self.config.half_open_probes.max(1)
    }

    /// Asks to send a request: a pass, and the event where the question itself changed the state; `None` where the
    /// breaker rejects.
    pub fn begin(&mut self, now: Instant) -> Option<(Pass, Option<BreakerEvent>)> {
        let event = match self.state {
            BreakerState::Closed => return Some((Pass { epoch: self.epoch, probe: false }, None)),
            BreakerState::Open if self.forced || now < self.retry_at => return None,
            BreakerState::Open | BreakerState::HalfOpen if !self.probe_free() => return None,
            BreakerState::Open => Some(self.go(BreakerState::HalfOpen, BreakerReason::CooldownOver, now)),
            BreakerState::HalfOpen => None,
        };
        self.probes += 1;
        Some((Pass { epoch: self.epoch, probe: true }, event))
    }

    /// The request has produced its first real output. For a probe that is proof enough: the breaker closes now rather
    /// than at the end of a stream that may take minutes, and the request goes on as an ordinary one.
    pub fn first_output(&mut self, pass: &mut Pass, now: Instant) -> Option<BreakerEvent> {
        if !pass.probe || self.stale(pass) {
            return None;
        }
        self.release(pass);
        let event = self.close(BreakerReason::ProbeSucceeded, now);
        pass.epoch = self.epoch;
        Some(event)
    }

    /// The request is over. Draws from `rng` only where it opens.
    pub fn end(&mut self, mut pass: Pass, count: Count, now: Instant, rng: &mut Rng) -> Option<BreakerEvent> {
        let stale = self.stale(&pass);
        self.release(&mut pass);
        if stale {
            return None;
        }
        match (self.state, count) {
            (_, Count::Nothing) | (BreakerState::Open, _) => None,
            (BreakerState::HalfOpen, Count::Success) => Some(self.close(BreakerReason::ProbeSucceeded, now)),
            (BreakerState::HalfOpen, Count::Failure(last)) => {
                Some(self.open(BreakerReason::ProbeFailed { last }, now, rng))
            }
            (BreakerState::Closed, Count::Success) => {
                self.consecutive = 0;
                self.window.add(now, false);
                None
            }
            (BreakerState::Closed, Count::Failure(last)) => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.window.add(now, true);
                let reason = self.tripped(last, now)?;
                Some(self.open(reason, now, rng))
            }
        }
    }

    /// What the operator says. Always an event, so that the action is on record.
    pub fn force(&mut self, force: Force, now: Instant) -> BreakerEvent {
        let (state, reason) = match force {
            Force::Open => (BreakerState::Open, BreakerReason::ForcedOpen),
            Force::Closed => (BreakerState::Closed, BreakerReason::ForcedClosed),
            Force::Reset => (BreakerState::Closed, BreakerReason::Reset),
        };
        self.forced = force != Force::Reset;
        self.openings = 0;
        self.go(state, reason, now)
    }

    /// Whether `pass` began before the last transition, or an operator holds the state.
    fn stale(&self, pass: &Pass) -> bool {
        self.forced || pass.epoch != self.epoch
    }

    /// Gives the place of a probe back, once.
    fn release(&mut self, pass: &mut Pass) {
        if std::mem::take(&mut pass.probe) {
            self.probes = self.probes.saturating_sub(1);
        }
    }

    /// The limit that the failure of this moment has reached.
    fn tripped(&self, last: &'static str, now: Instant) -> Option<BreakerReason> {
        if self.consecutive >= self.config.consecutive_failures.max(1) {
            return Some(BreakerReason::ConsecutiveFailures { count: self.consecutive, last });
        }
        let (failures, requests) = self.window.sums(now);
        let rate = f64::from(failures) / f64::from(requests.max(1));
        (requests >= self.config.min_requests && rate >= f64::from(self.config.error_rate))
            .then_some(BreakerReason::ErrorRate { failures, requests, last })
    }

    fn open(&mut self, reason: BreakerReason, now: Instant, rng: &mut Rng) -> BreakerEvent {
        let doublings = self.openings.min(20);
        self.openings = self.openings.saturating_add(1);
        let most = MAX_COOLDOWN.max(self.config.cooldown);
        let cooldown = self.config.cooldown.saturating_mul(1 << doublings).min(most);
        // Jitter comes after the ceiling, so that replicas at the ceiling do not probe in step.
        self.retry_at = now + cooldown.mul_f64(1.0 + 0.1 * rng.next_f64());
        self.go(BreakerState::Open, reason, now)
    }

    fn close(&mut self, reason: BreakerReason, now: Instant) -> BreakerEvent {
        self.openings = 0;
        self.go(BreakerState::Closed, reason, now)
    }

    fn go(&mut self, to: BreakerState, reason: BreakerReason, at: Instant) -> BreakerEvent {
        let from = std::mem::replace(&mut self.state, to);
        self.epoch = self.epoch.wrapping_add(1);
        self.consecutive = 0;
        self.window = Window::default();
        BreakerEvent { from, to, reason, at, retry_at: self.retry_at() }
    }
}

/// Requests and failures of the last minute, in six slots of ten seconds; what it covers is thus 50 to 60 seconds.
#[derive(Debug, Default)]
struct Window {
    slots: [Slot; Self::SLOTS as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which ten seconds since the origin of time.
    number: u64,
    requests: u32,
    failures: u32,
}

impl Window {
    const SLOTS: u64 = 6;
    const SLOT_NANOS: u64 = 10_000_000_000;

    fn add(&mut self, now: Instant, failed: bool) {
        let number = now.0 / Self::SLOT_NANOS;
        let slot = &mut self.slots[(number % Self::SLOTS) as usize];
        if slot.number < number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.requests = slot.requests.saturating_add(1);
        slot.failures = slot.failures.saturating_add(u32::from(failed));
    }

    /// Failures and requests.
    fn sums(&self, now: Instant) -> (u32, u32) {
        let oldest = (now.0 / Self::SLOT_NANOS + 1).saturating_sub(Self::SLOTS);
        let live = self.slots.iter().filter(|s| s.number >= oldest);
        live.fold((0, 0), |(f, r), s| (f.saturating_add(s.failures), r.saturating_add(s.requests)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BreakerState::{Closed, HalfOpen, Open};

    const FAIL: Count = Count::Failure("http_500");

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn config() -> BreakerConfig {
        BreakerConfig { consecutive_failures: 3, min_requests: 10, half_open_probes: 2, ..BreakerConfig::default() }
    }

    /// A breaker and its randomness, driven by one-line requests.
    struct Driven(Breaker, Rng);

    impl Driven {
        fn new() -> Self {
            Self(Breaker::new(config()), Rng::new(1))
        }

        fn begin(&mut self, ms: u64) -> Pass {
            self.0.begin(at(ms)).expect("admitted").0
        }

        fn end(&mut self, pass: Pass, count: Count, ms: u64) -> Option<BreakerEvent> {
            self.0.end(pass, count, at(ms), &mut self.1)
        }

        fn run(&mut self, count: Count, ms: u64) -> Option<BreakerEvent> {
            let pass = self.begin(ms);
            self.end(pass, count, ms)
        }

        fn opened(ms: u64) -> Self {
            let mut b = Self::new();
            for _ in 0..3 {
                b.run(FAIL, ms);
            }
            assert_eq!(b.0.state(), Open);
            b
        }

        fn retry_ms(&self) -> u64 {
            self.0.retry_at().expect("open").0 / 1_000_000 + 1
        }
    }

    /// Runs a story of counts (`f`ailure, `s`uccess, `n`othing) at one moment.
    fn check(story: &str, state: BreakerState) {
        let mut b = Driven::new();
        for c in story.chars() {
            b.run(
                if c == 'f' {
                    FAIL
                } else if c == 's' {
                    Count::Success
                } else {
                    Count::Nothing
                },
                5,
            );
        }
        assert_eq!(b.0.state(), state, "{story}");
    }

    #[test]
    fn opens_on_failures_in_a_row_and_a_success_resets_the_count() {
        check("ff", Closed);
        check("fff", Open);
        check("ffsff", Closed);
        check("ffsfff", Open);
        check("ffnf", Open); // what counts for nothing does not reset either
        check("nnnnnnnnnnnn", Closed);
    }

    #[test]
    fn opens_on_the_error_rate_once_enough_were_seen() {
        check("ffsffsffs", Closed); // 6 of 9
        check("ffsffsffsf", Open); // 7 of 10
        check("sssssffsff", Closed); // 4 of 10
    }

    #[test]
    fn old_failures_leave_the_window() {
        let mut b = Driven::new();
        for c in [FAIL, FAIL, Count::Success].repeat(3) {
            b.run(c, 0);
        }
        assert_eq!(b.run(FAIL, 61_000), None, "nine requests of a minute ago are gone");
        for c in [FAIL, Count::Success, FAIL, FAIL] {
            assert_eq!(b.run(c, 62_000), None);
        }
    }

    #[test]
    fn cooldown_doubles_up_to_ten_minutes_with_little_jitter_and_a_success_resets_it() {
        let mut b = Driven::opened(0);
        let mut now = 0;
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            let cooldown = (b.retry_ms() - now) as f64 / 1000.0;
            assert!((f64::from(expected)..=f64::from(expected) * 1.1 + 0.01).contains(&cooldown), "{cooldown}");
            assert!(b.0.begin(at(now + expected as u64 * 1000 - 1)).is_none(), "rejects until then");
            now = b.retry_ms();
            assert_eq!(b.run(FAIL, now).map(|e| (e.from, e.to)), Some((HalfOpen, Open)));
        }
        now = b.retry_ms();
        assert_eq!(b.run(Count::Success, now).map(|e| e.to), Some(Closed));
        for _ in 0..3 {
            b.run(FAIL, now);
        }
        assert!(b.retry_ms() - now <= 33_001, "back at the first cooldown");
    }

    #[test]
    fn probes_are_limited_and_given_back() {
        let mut b = Driven::opened(0);
        let now = b.retry_ms();
        let (first, event) = b.0.begin(at(now)).expect("a probe");
        assert_eq!(event.map(|e| (e.to, e.reason)), Some((HalfOpen, BreakerReason::CooldownOver)));
        let second = b.begin(now);
        assert!(b.0.begin(at(now)).is_none(), "two are under way");
        assert_eq!(b.end(first, Count::Nothing, now), None);
        let third = b.begin(now);
        assert_eq!(b.end(second, FAIL, now).map(|e| e.to), Some(Open));
        // The third is still under way when the next cooldown ends: its place stays taken, its result is void.
        let now = b.retry_ms();
        let fourth = b.begin(now);
        assert!(b.0.begin(at(now)).is_none());
        assert_eq!(b.end(third, Count::Success, now), None);
        assert_eq!(b.0.state(), HalfOpen);
        assert_eq!(b.end(fourth, Count::Success, now).map(|e| e.to), Some(Closed));
    }

    #[test]
    fn late_results_neither_close_nor_prolong() {
        let mut b = Driven::new();
        let mut late: Vec<Pass> = (0..12).map(|_| b.begin(0)).collect();
        for _ in 0..3 {
            b.run(FAIL, 1);
        }
        let retry_at = b.0.retry_at();
        // They come in while it is open, half open with a probe under way, and closed again.
        let mut four = |b: &mut Driven, ms| {
            for (pass, count) in late.drain(..4).zip([FAIL, FAIL, FAIL, Count::Success]) {
                assert_eq!(b.end(pass, count, ms), None);
            }
        };
        four(&mut b, 20_000);
        assert_eq!((b.0.state(), b.0.retry_at()), (Open, retry_at));
        let now = b.retry_ms();
        let probe = b.begin(now);
        four(&mut b, now);
        assert_eq!(b.0.state(), HalfOpen);
        b.end(probe, Count::Success, now);
        four(&mut b, now);
        assert_eq!(b.0.state(), Closed);
    }

    #[test]
    fn first_output_of_a_probe_closes_and_a_later_cut_counts_as_one_failure() {
        let mut b = Driven::opened(0);
        let now = b.retry_ms();
        let mut probe = b.begin(now);
        assert_eq!(b.0.first_output(&mut probe, at(now)).map(|e| e.to), Some(Closed));
        assert_eq!(b.0.first_output(&mut probe, at(now)), None, "only once");
        assert!(b.0.probe_free());
        assert_eq!(b.end(probe, FAIL, now), None);
        assert_eq!(b.0.consecutive, 1);
    }

    #[test]
    fn an_operator_overrides_until_reset() {
        let mut b = Driven::new();
        let before = b.begin(0);
        let event = b.0.force(Force::Open, at(1));
        assert_eq!((event.from, event.to, event.retry_at), (Closed, Open, None));
        assert!(b.0.begin(at(u64::MAX / 2_000_000)).is_none(), "no cooldown ends it");
        assert_eq!(b.end(before, Count::Success, 2), None);
        b.0.force(Force::Closed, at(3));
        for _ in 0..10 {
            assert_eq!(b.run(FAIL, 3), None);
        }
        assert_eq!(b.0.force(Force::Reset, at(4)).reason, BreakerReason::Reset);
        b.run(FAIL, 4);
        b.run(FAIL, 4);
        assert_eq!(b.run(FAIL, 4).map(|e| e.to), Some(Open), "by itself again, from nothing");
    }
}

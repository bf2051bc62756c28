//! How fast an endpoint answers, learned from its answers: a plain estimate for decisions, shrunk towards the
//! registry's prior, and a peak-sensitive one for the choice between endpoints. Arithmetic only; no lock, no atomics.

use crate::registry::Latency;
use crate::units::Instant;
use std::time::Duration;

/// What the registry's prior weighs, in observations (DESIGN.md).
pub const PRIOR_WEIGHT: f32 = 20.0;
/// Length of the answer for which endpoints are compared, in tokens.
pub const NOMINAL_TOKENS: f32 = 100.0;
/// Observations that a mean remembers: its smallest step is one fiftieth.
const MEMORY: f32 = 50.0;
/// Evidence is never worth more than this, so that it can age.
const MOST_EVIDENCE: f32 = 1000.0;
/// Evidence older than a minute begins to age …
const FRESH: Duration = Duration::from_secs(60);
/// … and is halved every ten minutes, so that an endpoint that was slow once and is avoided since gets its chance.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// A peak is forgotten by a factor of e in this time.
const PEAK_DECAY: Duration = Duration::from_secs(10);

/// Times of one answer, as the upstream is to blame for them: without the time that the shell waited for the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Sending the request to the first real output; streams only.
    pub first_token: Option<Duration>,
    /// Sending the request to the end.
    pub total: Duration,
    /// Output tokens that came after the wait for the first one, itself included: without hidden reasoning.
    pub output_tokens: Option<u32>,
}

/// A mean of observations in microseconds that forgets, and a prior that it is shrunk towards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// In microseconds; what holds while nothing was measured.
    pub prior: f32,
    /// In microseconds, of the observations alone.
    pub mean: f32,
    /// What the observations are worth at `at`, in whole observations.
    pub weight: f32,
    /// The last observation.
    pub at: Instant,
}

impl Mean {
    fn new(prior: f32) -> Self {
        Self { prior, mean: prior, weight: 0.0, at: Instant(0) }
    }

    /// The shrunk estimate, in microseconds: `(20·prior + n·mean) / (20 + n)`.
    pub fn estimate(&self, now: Instant) -> f32 {
        let n = self.evidence(now);
        (PRIOR_WEIGHT * self.prior + n * self.mean) / (PRIOR_WEIGHT + n)
    }

    /// What the observations are worth now.
    fn evidence(&self, now: Instant) -> f32 {
        let idle = now.since(self.at);
        if idle <= FRESH || self.weight == 0.0 {
            return self.weight;
        }
        self.weight * (-(idle - FRESH).div_duration_f32(HALF_LIFE)).exp2()
    }

    /// Takes in `us`, which is worth `weight` observations (0 to 1).
    fn add(&mut self, us: f32, weight: f32, now: Instant) {
        let n = self.evidence(now) + weight;
        if n <= 0.0 {
            return;
        }
        self.mean += (us - self.mean) * weight / n.min(MEMORY);
        self.weight = n.min(MOST_EVIDENCE);
        self.at = self.at.max(now);
    }
}

/// The speed of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Time to the first token.
    pub first_token: Mean,
    /// Time per output token after the first.
    pub per_token: Mean,
    /// The last peak of the nominal latency, in microseconds.
    pub peak: f32,
    /// When that was.
    pub peak_at: Instant,
    /// Answers that were taken in, ever.
    pub observations: u32,
}

impl Speed {
    /// What is known before the first answer: the prior, which is neither zero nor infinite.
    pub fn new(prior: Latency) -> Self {
        let us = |ms: f32| if ms.is_finite() { (ms * 1000.0).max(1.0) } else { 1.0 };
        let (first_token, per_token) = (Mean::new(us(prior.first_token_ms)), Mean::new(us(prior.per_token_ms)));
        Self { first_token, per_token, peak: 0.0, peak_at: Instant(0), observations: 0 }
    }

    /// Another prior; the observations stay.
    pub fn configure(&mut self, prior: Latency) {
        let new = Self::new(prior);
        self.first_token.prior = new.first_token.prior;
        self.per_token.prior = new.per_token.prior;
    }

    /// The first real output of a stream came after this long.
    pub fn first_output(&mut self, first_token: Duration, now: Instant) {
        let us = micros(first_token);
        self.first_token.add(us, 1.0, now);
        self.reach(us + NOMINAL_TOKENS * self.per_token.estimate(now), now);
        self.observations = self.observations.saturating_add(1);
    }

    /// A whole answer. `first_seen` says that [`Speed::first_output`] has already taken in its first token.
    ///
    /// A stream tells the time per token directly; short ones count for less. An answer that did not stream tells only
    /// the sum. It leaves the time to the first token alone, and what it says about the time per token weighs as much
    /// as the tokens explain of its length: `(n·t)² / ((n·t)² + f²)`, where `f` is the present estimate of the first
    /// token and `t` the prior per token. An essay counts as a stream would; a label of two tokens, whose length is all
    /// first token (below `f / 2` for the rest), counts for nothing, however many there are.
    pub fn answered(&mut self, observed: &Observed, first_seen: bool, now: Instant) {
        if let (Some(first), false) = (observed.first_token, first_seen) {
            self.first_output(first, now);
        } else if !first_seen {
            self.observations = self.observations.saturating_add(1);
        }
        let Some(tokens) = observed.output_tokens.filter(|n| *n > 0) else { return };
        let (first, per) = (self.first_token.estimate(now), self.per_token.estimate(now));
        match observed.first_token {
            Some(_) if tokens < 2 => {}
            Some(seen) => {
                let after = (tokens - 1) as f32;
                let us = micros(observed.total.saturating_sub(seen)) / after;
                let weight = (after / 20.0).min(1.0);
                self.per_token.add(us, weight, now);
                self.reach(micros(seen) + NOMINAL_TOKENS * (per + (us - per) * weight), now);
            }
            None => {
                let (total, in_tokens) = (micros(observed.total), tokens as f32 * per);
                let (us, prior) = ((total - first) / tokens as f32, self.per_token.prior);
                let explained = tokens as f32 * prior;
                if explained >= first / 2.0 {
                    let weight = explained.powi(2) / (explained.powi(2) + first.powi(2));
                    // Bounded, for a first token far from its estimate must not pass for slow or impossible tokens.
                    self.per_token.add(us.clamp(prior / 8.0, prior * 8.0), weight, now);
                }
                // How much slower than expected, carried over to an answer of nominal length.
                self.reach(total / (first + in_tokens) * (first + NOMINAL_TOKENS * per), now);
            }
        }
    }

    /// Nothing came for this long: no observation, but the endpoint is at least so slow.
    pub fn timed_out(&mut self, after: Duration, now: Instant) {
        self.reach(micros(after), now);
    }

    /// Expected time of an answer of nominal length, in microseconds: up at once after a slow answer, down again over
    /// ten seconds (peak EWMA, as in Finagle, but settling on the estimate instead of on zero).
    pub fn peak_latency(&self, now: Instant) -> f32 {
        let plain = self.first_token.estimate(now) + NOMINAL_TOKENS * self.per_token.estimate(now);
        decayed(plain, self.peak, now.since(self.peak_at))
    }

    fn reach(&mut self, us: f32, now: Instant) {
        if us > self.peak_latency(now) {
            (self.peak, self.peak_at) = (us, now);
        }
    }
}

/// `peak` after `age`, on its way down to `plain`.
pub(super) fn decayed(plain: f32, peak: f32, age: Duration) -> f32 {
    let excess = peak - plain;
    if excess <= 0.0 {
        return plain;
    }
    plain + excess * (-age.div_duration_f32(PEAK_DECAY)).exp()
}

fn micros(d: Duration) -> f32 {
    d.as_secs_f32() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: Latency = Latency { first_token_ms: 500.0, per_token_ms: 10.0 };

    fn at(s: u64) -> Instant {
        Instant(s * 1_000_000_000)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn stream(first: u64, total: u64, tokens: u32) -> Observed {
        Observed { first_token: Some(ms(first)), total: ms(total), output_tokens: Some(tokens) }
    }

    fn whole(total: u64, tokens: u32) -> Observed {
        Observed { first_token: None, total: ms(total), output_tokens: Some(tokens) }
    }

    /// Takes `observed` in `times` times; returns the estimates in milliseconds.
    fn after(observed: Observed, times: usize) -> (f32, f32) {
        let mut speed = Speed::new(PRIOR);
        for _ in 0..times {
            speed.answered(&observed, false, at(1));
        }
        (speed.first_token.estimate(at(1)) / 1000.0, speed.per_token.estimate(at(1)) / 1000.0)
    }

    #[track_caller]
    fn near(a: f32, b: f32) {
        assert!((a - b).abs() <= b.abs() * 0.01, "{a} is not about {b}");
    }

    #[test]
    fn cold_is_the_prior_and_the_prior_weighs_twenty() {
        assert_eq!(after(stream(100, 100, 1), 0), (500.0, 10.0));
        near(after(stream(100, 100, 1), 20).0, 300.0);
        near(after(stream(100, 100, 1), 980).0, 108.0);
        let odd = Speed::new(Latency { first_token_ms: 0.0, per_token_ms: f32::NAN });
        assert!(odd.peak_latency(at(0)) > 0.0);
    }

    #[test]
    fn a_stream_tells_both() {
        let (first, per) = after(stream(200, 200 + 100 * 30, 101), 20);
        near(first, 350.0);
        near(per, 20.0);
    }

    #[test]
    fn a_whole_answer_never_moves_the_first_token() {
        for (observed, expected) in [
            (whole(500 + 1000 * 30, 1000), 19.95), // nearly as a stream would
            (whole(500 + 50 * 30, 50), 16.7),      // half of its length is tokens: half the weight
            (whole(2500, 1), 10.0),                // one slow token says nothing
            (whole(10, 1000), 5.6),                // faster than possible: bounded below
        ] {
            let (first, per) = after(observed, 20);
            assert_eq!(first, 500.0);
            assert!((per - expected).abs() < 0.3, "{observed:?}: {per} is not about {expected}");
        }
    }

    #[test]
    fn many_slow_labels_do_not_pass_for_slow_tokens() {
        assert_eq!(after(whole(2500, 1), 20_000), (500.0, 10.0));
    }

    #[test]
    fn the_mean_follows_a_change() {
        let mut speed = Speed::new(PRIOR);
        for _ in 0..1000 {
            speed.answered(&stream(100, 100, 1), false, at(1));
        }
        for _ in 0..100 {
            speed.answered(&stream(1000, 1000, 1), false, at(1));
        }
        assert!(speed.first_token.estimate(at(1)) > 800_000.0);
    }

    #[test]
    fn evidence_ages_back_to_the_prior() {
        let mut speed = Speed::new(PRIOR);
        for _ in 0..100 {
            speed.answered(&stream(60_000, 60_000, 1), false, at(0));
        }
        let after = |s| speed.first_token.estimate(at(s)) / 1000.0;
        assert_eq!(after(60), after(0));
        assert!(after(660) < after(60) && after(4 * 3600) < 501.0, "{} {}", after(660), after(4 * 3600));
    }

    #[test]
    fn a_peak_shows_at_once_and_fades() {
        let mut speed = Speed::new(PRIOR);
        near(speed.peak_latency(at(0)), 1_500_000.0);
        speed.first_output(ms(9000), at(0));
        near(speed.peak_latency(at(0)), 10_000_000.0);
        let (soon, later) = (speed.peak_latency(at(10)), speed.peak_latency(at(100)));
        assert!(soon < 6_000_000.0 && later < 2_000_000.0, "{soon} {later}");
        speed.timed_out(Duration::from_secs(30), at(100));
        near(speed.peak_latency(at(100)), 30_000_000.0);
        // A fast answer does not hide the peak at once.
        speed.answered(&stream(10, 20, 2), false, at(100));
        near(speed.peak_latency(at(100)), 30_000_000.0);
    }

    #[test]
    fn slow_whole_answers_raise_the_peak_whatever_their_length() {
        for (total, tokens) in [(5100, 1), (15_000, 100)] {
            let mut speed = Speed::new(PRIOR);
            speed.answered(&whole(total, tokens), false, at(0));
            near(speed.peak_latency(at(0)), 15_000_000.0);
        }
    }
}

//! Which decisions are stored in full. Builds no detail and reads no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use waypost_core::units::Instant;

/// Lets through failures and fallbacks always, and of the rest the configured share (`telemetry.decisions`) up to a
/// rate: beyond it the share lowers by itself, and [`DecisionSampler::lowered`] counts by how many.
#[derive(Debug)]
pub struct DecisionSampler {
    share: f64,
    /// Nanoseconds between two details at the full rate.
    interval: u64,
    /// How far ahead of that pace a burst may run, nanoseconds.
    burst: u64,
    /// When the next detail is due at that pace (the "theoretical arrival time" of GCRA, a token bucket in one word).
    due: AtomicU64,
    lowered: AtomicU64,
}

impl DecisionSampler {
    /// Details of plain successes a second, at most.
    pub const PER_SECOND: u64 = 100;

    /// A sampler for `share` (0 to 1) of plain successes, at most [`Self::PER_SECOND`] with a second's burst.
    pub fn new(share: f64) -> Self {
        Self::with_rate(share, Self::PER_SECOND)
    }

    /// As [`Self::new`], with another rate a second; at least 1.
    pub fn with_rate(share: f64, per_second: u64) -> Self {
        let interval = 1_000_000_000 / per_second.max(1);
        Self { share, interval, burst: 1_000_000_000, due: AtomicU64::new(0), lowered: AtomicU64::new(0) }
    }

    /// Whether to build and store the detail of this request. `must`: it failed or fell back; such details
    /// are stored and do not draw on the rate. `draw`: uniform in [0, 1).
    pub fn should_store(&self, must: bool, draw: f64, now: Instant) -> bool {
        if must {
            return true;
        }
        if draw >= self.share {
            return false;
        }
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            if due > now.0.saturating_add(self.burst) {
                self.lowered.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            let next = due.max(now.0) + self.interval;
            match self.due.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => due = seen,
            }
        }
    }

    /// Details that the configured share would have stored and the rate did not.
    pub fn lowered(&self) -> u64 {
        self.lowered.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_core::units::Rng;

    /// Stored details of `seconds` at `per_second` requests, after the burst of the first second.
    fn stored(sampler: &DecisionSampler, per_second: u64, seconds: u64) -> u64 {
        let mut rng = Rng::new(1);
        let at = |i: u64| Instant(i * 1_000_000_000 / per_second);
        let mut stored = 0;
        for i in 0..per_second * (seconds + 2) {
            let yes = sampler.should_store(false, rng.next_f64(), at(i));
            stored += u64::from(yes && i >= 2 * per_second);
        }
        stored
    }

    #[test]
    fn the_share_holds_below_the_rate_and_lowers_above_it() {
        for (share, per_second, expected) in [
            (1.0, 50, 500),
            (0.5, 150, 750),
            (1.0, 100, 1000),
            (1.0, 20_000, 1000),
            (0.2, 20_000, 1000),
            (0.0, 9000, 0),
        ] {
            let sampler = DecisionSampler::new(share);
            let n = stored(&sampler, per_second, 10);
            assert!(n.abs_diff(expected) <= expected / 20, "{share} of {per_second}: {n}, not {expected}");
            let lowers = share * per_second as f64 > 100.0;
            assert_eq!(sampler.lowered() > 0, lowers, "{share} of {per_second}");
        }
    }

    #[test]
    fn failures_are_stored_at_any_load() {
        let sampler = DecisionSampler::with_rate(0.0, 1);
        assert!((0..100).all(|_| sampler.should_store(true, 0.99, Instant(0))));
        assert_eq!(sampler.lowered(), 0);
    }
}

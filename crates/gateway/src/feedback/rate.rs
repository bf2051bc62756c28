//! How many scores a key may report: a bucket that fills at a steady rate. It knows no storage and no clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Scores that a key may report at once …
pub(super) const BURST: u32 = 100;
/// … and how many a second on average.
pub(super) const A_SECOND: u32 = 10;
/// Buckets that are kept; beyond, those that are full again are forgotten.
const MOST: usize = 10_000;

/// A bucket for each key: the time at which it was, or will be, full.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<u64, Instant>);

impl Rates {
    /// Takes one from a key's bucket; else the time until there is one.
    pub(super) fn take(&mut self, key: u64, now: Instant) -> Result<(), Duration> {
        if self.0.len() > MOST {
            self.0.retain(|_, full| *full > now);
        }
        let one = Duration::from_secs(1) / A_SECOND;
        let full = self.0.get(&key).copied().unwrap_or(now).max(now) + one;
        let over = full.duration_since(now).saturating_sub(one * BURST);
        if over > Duration::ZERO {
            return Err(over);
        }
        self.0.insert(key, full);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_and_is_its_keys_own() {
        let (mut rates, begun) = (Rates::default(), Instant::now());
        let mut taken = |key, ms| rates.take(key, begun + Duration::from_millis(ms));
        for _ in 0..BURST {
            assert_eq!(taken(1, 0), Ok(()));
        }
        assert_eq!(taken(1, 0), Err(Duration::from_millis(100)));
        assert_eq!(taken(2, 0), Ok(()));
        assert_eq!(taken(1, 60), Err(Duration::from_millis(40)));
        assert_eq!(taken(1, 100), Ok(()));
        assert!(taken(1, 100).is_err());
        for _ in 0..BURST {
            assert_eq!(taken(1, 60_000), Ok(()));
        }
        assert!(taken(1, 60_000).is_err(), "never more than a whole bucket");
    }
}

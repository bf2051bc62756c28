//! Time for the core: a monotonic origin chosen at the start, and the wall clock. Tokio's clock, so that tests pause it.

use tokio::time::Instant;
use waypost_core::units::{self, Now};

/// The origin of [`units::Instant`].
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock {
    /// Monotonic and wall time together.
    pub fn now(&self) -> Now {
        Now { instant: self.instant(), unix_ms: unix_ms() }
    }

    /// Monotonic time.
    pub fn instant(&self) -> units::Instant {
        units::Instant(self.origin.elapsed().as_nanos() as u64)
    }

    /// Back to tokio's time, for timers.
    pub fn timer(&self, at: units::Instant) -> Instant {
        self.origin + std::time::Duration::from_nanos(at.0)
    }
}

/// Milliseconds since the Unix epoch; 0 before it.
pub fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as i64)
}

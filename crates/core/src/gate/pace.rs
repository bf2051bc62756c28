//! Pacing: what a dollar is worth in quality (λ) moves so that a budget lasts its window. Dual ascent on the rate of spend
//! against a plan: spending faster than what is left allows makes the dollar dearer, slower makes it cheaper. Quality
//! floors are constraints of deciding and hold whatever λ says. It chooses nothing and reserves nothing.

use super::Period;
use crate::units::Instant;

/// Hours in the learned shape of a day.
const HOURS: usize = 24;
/// λ where nothing is known, and its bounds: below, every price is as good as free; above, only price counts.
const LAMBDA: (f64, f64, f64) = (1.0, 1e-3, 1e7);
/// Relative change of λ in a second of spending at twice the planned rate.
const STEP: f64 = 0.02;
/// Seconds over which the rate of spend is averaged.
const RATE_SECONDS: f64 = 60.0;
/// Weight of the newest day in the learned shape.
const SHAPE_STEP: f64 = 0.2;

/// The pace of one budget.
#[derive(Clone, Debug)]
pub struct Pace {
    lambda: f64,
    /// When it was last looked at, what was spent then, and how many requests there had been.
    last: Option<(Instant, u64, u64)>,
    /// Spent a second, averaged.
    rate: f64,
    /// Planned a second, at the last look.
    plan: f64,
    /// Requests by hour since the window's midnight, relative to an even day. Requests and not spend, which follows the plan.
    shape: [f64; HOURS],
    /// The present hour, and its requests so far.
    hour: (usize, u64),
    /// Requests by hour of the last day that was seen.
    day: [u64; HOURS],
}

impl Default for Pace {
    fn default() -> Self {
        Self { lambda: LAMBDA.0, last: None, rate: 0.0, plan: 0.0, shape: [1.0; HOURS], hour: (0, 0), day: [0; HOURS] }
    }
}

impl Pace {
    /// What a US dollar is worth in quality now.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// Planned and actual spend a second, in the budget's units.
    pub fn rates(&self) -> (f64, f64) {
        (self.plan, self.rate)
    }

    /// Share of a budget that should be spent by now, 0 to 1.
    pub fn planned(&self, period: &Period, unix_ms: i64) -> f64 {
        let whole = self.weight(period.start_ms, period.end_ms, period);
        self.weight(period.start_ms, unix_ms.clamp(period.start_ms, period.end_ms), period)
            / whole.max(f64::MIN_POSITIVE)
    }

    /// Takes note of what was spent so far in the window and of how many requests there ever were, and moves λ. To be called
    /// about once a second.
    pub fn observe(&mut self, at: (Instant, i64), period: &Period, (spent, limit): (u64, u64), requests: u64) {
        let (now, unix_ms) = at;
        let Some((then, before, served)) = self.last.replace((now, spent, requests)) else { return };
        let seconds = now.since(then).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        // A window that turned begins with nothing spent.
        let fresh = spent.checked_sub(before).unwrap_or(spent);
        self.learn(unix_ms, period, requests.saturating_sub(served));
        let share = (seconds / RATE_SECONDS).min(1.0);
        self.rate += share * (fresh as f64 / seconds - self.rate);
        let at = unix_ms.clamp(period.start_ms, period.end_ms - 1);
        let left = self.weight(at, period.end_ms, period).max(1.0);
        self.plan = limit.saturating_sub(spent) as f64 / left * self.shape[hour(at, period)];
        let error = if self.plan > 0.0 { self.rate / self.plan - 1.0 } else { 1.0 };
        let step = STEP * seconds.min(10.0) * error.clamp(-1.0, 1.0);
        self.lambda = (self.lambda * step.exp()).clamp(LAMBDA.1, LAMBDA.2);
    }

    /// Puts requests to their hour; when a day is full, the shape follows it.
    fn learn(&mut self, unix_ms: i64, period: &Period, fresh: u64) {
        let now = hour(unix_ms, period);
        if now != self.hour.0 {
            self.day[self.hour.0] = std::mem::take(&mut self.hour.1);
            if now < self.hour.0 {
                self.reshape();
            }
            self.hour.0 = now;
        }
        self.hour.1 = self.hour.1.saturating_add(fresh);
    }

    fn reshape(&mut self) {
        let mean = self.day.iter().map(|n| *n as f64).sum::<f64>() / HOURS as f64;
        if mean <= 0.0 {
            return;
        }
        for (shape, requests) in self.shape.iter_mut().zip(self.day) {
            // No hour counts for nothing: tomorrow may be another day.
            *shape = (*shape + SHAPE_STEP * (requests as f64 / mean - *shape)).max(0.05);
        }
    }

    /// Seconds between two moments, each weighed with its hour.
    fn weight(&self, from_ms: i64, to_ms: i64, period: &Period) -> f64 {
        const HOUR: i64 = 3_600_000;
        let mut sum = 0.0;
        let mut at = from_ms;
        while at < to_ms {
            let next = (at + HOUR - (at - period.start_ms).rem_euclid(HOUR)).min(to_ms);
            sum += (next - at) as f64 / 1000.0 * self.shape[hour(at, period)];
            at = next;
        }
        sum
    }
}

/// The hour of the day, counted from the window's first midnight.
fn hour(unix_ms: i64, period: &Period) -> usize {
    ((unix_ms - period.start_ms).max(0) / 3_600_000) as usize % HOURS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Window;
    use crate::units::Rng;
    use jiff::tz::TimeZone;

    /// A day of requests, each answered by the model with the best `quality − λ·cost`; gives what was spent at each hour
    /// and the mean quality.
    fn day(pace: &mut Pace, limit: u64, start: i64, load: impl Fn(usize) -> f64, rng: &mut Rng) -> (Vec<u64>, f64) {
        let models = [(0.90, 20_000_000u64), (0.80, 2_000_000), (0.60, 100_000)]; // quality, nano-dollars
        let period = Period::containing(Window::Day, start, &TimeZone::UTC);
        let (mut spent, mut asked, mut hours, mut quality, mut n) = (0u64, 0u64, Vec::new(), 0.0, 0.0);
        for second in 0..86_400i64 {
            let at = period.start_ms + second * 1000;
            let requests = load(second as usize / 3600);
            let count = requests as u64 + u64::from(rng.next_f64() < requests.fract());
            for _ in 0..count {
                let value = |m: &&(f64, u64)| m.0 - pace.lambda() * (m.1 as f64 / 1e9);
                let chosen =
                    models.iter().filter(|m| spent + m.1 <= limit).max_by(|a, b| value(a).total_cmp(&value(b)));
                let Some((q, cost)) = chosen else { continue };
                spent += cost;
                quality += q;
                n += 1.0;
            }
            asked += count;
            pace.observe((Instant((at as u64) * 1_000_000), at), &period, (spent, limit), asked);
            if second % 3600 == 3599 {
                hours.push(spent);
            }
        }
        (hours, quality / n)
    }

    #[test]
    fn a_budget_lasts_its_day_and_is_used() {
        let mut rng = Rng::new(7);
        // 86,400 requests: $1,728 with the best model, $172 with the second.
        let limit = 600_000_000_000;
        let (hours, quality) = day(&mut Pace::default(), limit, 0, |_| 1.0, &mut rng);
        for (hour, spent) in hours.iter().enumerate() {
            let planned = limit as f64 * (hour + 1) as f64 / 24.0;
            assert!((*spent as f64 - planned).abs() < 0.08 * limit as f64, "hour {hour}: {spent} of {planned}");
        }
        let used = *hours.last().unwrap() as f64 / limit as f64;
        assert!(used > 0.97 && hours[22] < limit, "{used}");
        // Between the second model all day (0.80) and the best one (0.90).
        assert!(quality > 0.81, "{quality}");
    }

    #[test]
    fn the_shape_of_the_day_is_learned() {
        let mut rng = Rng::new(9);
        let load = |hour: usize| if (9..17).contains(&hour) { 2.4 } else { 0.3 };
        let mut pace = Pace::default();
        for n in 0..10 {
            day(&mut pace, 600_000_000_000, n * 86_400_000, load, &mut rng);
        }
        let period = Period::containing(Window::Day, 20 * 86_400_000, &TimeZone::UTC);
        let by_nine = pace.planned(&period, period.start_ms + 9 * 3_600_000);
        let by_five = pace.planned(&period, period.start_ms + 17 * 3_600_000);
        // An even day would have 0.375 and 0.708.
        assert!(by_nine < 0.25 && by_five > 0.75, "{by_nine} {by_five}");
    }

    #[test]
    fn plenty_of_money_buys_the_best() {
        let (_, quality) = day(&mut Pace::default(), u64::MAX / 2, 0, |_| 1.0, &mut Rng::new(1));
        assert!(quality > 0.899, "{quality}");
    }

    #[test]
    fn a_turn_of_the_window_and_a_clock_set_back_are_no_spend() {
        let mut pace = Pace::default();
        let period = Period::containing(Window::Day, 0, &TimeZone::UTC);
        pace.observe((Instant(0), 0), &period, (500, 1000), 0);
        pace.observe((Instant(1_000_000_000), 1000), &period, (3, 1000), 0);
        assert!(pace.rates().1 < 1.0, "{:?}", pace.rates());
        pace.observe((Instant(2_000_000_000), -3_600_000), &period, (3, 1000), 0);
        assert!(pace.lambda().is_finite() && pace.rates().0.is_finite());
    }
}

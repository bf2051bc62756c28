//! What the answers of a model teach about the next request: by how much the token estimate is off, and how long the
//! answer will be. Read without a lock, updated under one. Latencies belong to endpoints and are beside this file.

use crate::health::lock;
use crate::profile::Task;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Output tokens that an answer is taken to have before anything was seen (DESIGN.md).
pub const PRIOR_OUTPUT_TOKENS: f32 = 300.0;
/// What a prior weighs, in observations.
const PRIOR_WEIGHT: f32 = 20.0;

/// An `f32` that is read without a lock.
#[derive(Debug)]
pub(crate) struct AtomicF32(AtomicU32);

impl AtomicF32 {
    pub(crate) fn new(value: f32) -> Self {
        Self(AtomicU32::new(value.to_bits()))
    }

    pub(crate) fn load(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, value: f32) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// By how much a model's own count of the input exceeds the estimate: a moving average of the ratio in log space, so
/// that twice too many and half too many weigh the same. It starts at 1, a belief worth one observation, and stays
/// within 0.25 and 4.
#[derive(Debug)]
pub struct TokenFactor {
    factor: AtomicF32,
    /// Weighted sum of log ratios, and of weights; both fade, so that their quotient is unbiased from the start.
    sums: Mutex<(f32, f32)>,
}

impl Default for TokenFactor {
    fn default() -> Self {
        Self { factor: AtomicF32::new(1.0), sums: Mutex::new((0.0, 1.0)) }
    }
}

impl TokenFactor {
    /// The smallest and the largest factor.
    pub const BOUNDS: (f32, f32) = (0.25, 4.0);
    /// What remains of the past at each observation: it remembers about twenty.
    const KEEP: f32 = 0.95;

    /// The factor to multiply an estimate with.
    pub fn factor(&self) -> f32 {
        self.factor.load()
    }

    /// An estimate (without the factor) and what the provider counted. A short input says little, for what a provider
    /// adds to every request dominates it: below 100 tokens it weighs in proportion.
    pub fn observe(&self, estimated: u32, counted: u64) {
        let Some(log) = log_ratio(estimated, counted) else { return };
        let weight = (estimated as f32 / 100.0).min(1.0);
        let mut sums = lock(&self.sums);
        *sums = (sums.0 * Self::KEEP + weight * log, sums.1 * Self::KEEP + weight);
        self.publish(*sums);
    }

    /// As [`TokenFactor::observe`] for a provider that billed more than was reserved: the factor is at least this ratio
    /// at once, so that the next reservation holds.
    pub fn raise(&self, estimated: u32, counted: u64) {
        let Some(log) = log_ratio(estimated, counted) else { return };
        let mut sums = lock(&self.sums);
        sums.0 = sums.0.max(log * sums.1);
        self.publish(*sums);
    }

    fn publish(&self, (logs, weights): (f32, f32)) {
        self.factor.store((logs / weights).exp().clamp(Self::BOUNDS.0, Self::BOUNDS.1));
    }
}

fn log_ratio(estimated: u32, counted: u64) -> Option<f32> {
    if estimated == 0 || counted == 0 {
        return None;
    }
    let ratio = counted as f32 / estimated as f32;
    Some(ratio.clamp(TokenFactor::BOUNDS.0, TokenFactor::BOUNDS.1).ln())
}

/// How many output tokens one model's answers have, by task; each shrunk towards a prior that weighs as 20 answers.
#[derive(Debug)]
pub struct ExpectedOutput {
    tokens: [AtomicF32; Task::COUNT],
    /// Mean and number of answers, by task.
    seen: Mutex<[(f32, f32); Task::COUNT]>,
    prior: f32,
}

impl Default for ExpectedOutput {
    fn default() -> Self {
        Self::new(PRIOR_OUTPUT_TOKENS)
    }
}

impl ExpectedOutput {
    /// Answers that a mean remembers.
    const MEMORY: f32 = 200.0;

    /// Nothing seen yet.
    pub fn new(prior: f32) -> Self {
        Self {
            tokens: std::array::from_fn(|_| AtomicF32::new(prior)),
            seen: Mutex::new([(0.0, 0.0); Task::COUNT]),
            prior,
        }
    }

    /// The expected number of output tokens, reasoning included.
    pub fn tokens(&self, task: Task) -> f32 {
        self.tokens[task.index()].load()
    }

    /// A whole answer had so many (for one choice). Answers that were cut or cancelled say nothing and must not come here.
    pub fn observe(&self, task: Task, output_tokens: u64) {
        let mut seen = lock(&self.seen);
        let (mean, n) = &mut seen[task.index()];
        *n += 1.0;
        *mean += (output_tokens as f32 - *mean) / n.min(Self::MEMORY);
        *n = n.min(1e6);
        self.tokens[task.index()].store((PRIOR_WEIGHT * self.prior + *n * *mean) / (PRIOR_WEIGHT + *n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_converges_in_either_direction_and_is_bounded() {
        for (counted, expected) in [(1500, 1.5), (500, 0.5), (1000, 1.0), (100_000, 4.0), (1, 0.25), (0, 1.0)] {
            let f = TokenFactor::default();
            assert_eq!(f.factor(), 1.0);
            for _ in 0..200 {
                f.observe(1000, counted);
            }
            assert!((f.factor() - expected).abs() < 0.01, "{counted}: {}", f.factor());
        }
    }

    #[test]
    fn factor_ignores_nothing_and_hardly_heeds_the_short() {
        let f = TokenFactor::default();
        f.observe(0, 500);
        f.observe(3, 12);
        assert!(f.factor() < 1.06, "{}", f.factor());
        f.observe(1000, 1500);
        assert!((1.15..1.4).contains(&f.factor()), "half way: {}", f.factor());
    }

    #[test]
    fn a_bill_above_the_reservation_raises_at_once_and_never_lowers() {
        let f = TokenFactor::default();
        f.raise(1000, 2000);
        assert!((f.factor() - 2.0).abs() < 1e-4);
        f.raise(1000, 1100);
        assert!((f.factor() - 2.0).abs() < 1e-4);
        for _ in 0..200 {
            f.observe(1000, 1100);
        }
        assert!((f.factor() - 1.1).abs() < 0.01, "{}", f.factor());
    }

    #[test]
    fn expected_output_is_shrunk_by_task() {
        let e = ExpectedOutput::default();
        for _ in 0..20 {
            e.observe(Task::Code, 900);
        }
        assert_eq!((e.tokens(Task::Code), e.tokens(Task::Chat)), (600.0, 300.0));
        for _ in 0..5000 {
            e.observe(Task::Classification, 2);
        }
        assert!(e.tokens(Task::Classification) < 4.0);
    }
}

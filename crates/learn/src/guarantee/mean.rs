//! One question: is the mean of bounded values below a limit, with a probability of error that is known? Two tests, each
//! valid for every number of rows, neither leaning on a normal approximation. Which one applies is said beforehand, by
//! [`Scale`]: taking the smaller of two p-values would make both invalid.
//!
//! Rows with which a limit of 0.02 at 0.95 is passed in four of five samples, by the parts of rows that are worse and better
//! (exact test, betting test): 0.01 and 0 (1,300; 2,300), 0.02 and 0.015 (1,800; 2,200), 0.04 and 0.03 (6,000; 6,600), 0.06
//! and 0.06 (2,500; 3,200). Where none differs at all, 215 and 157 rows: the exact test is the sharper one once some do.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// What the grader can give. To be known before fresh rows are seen: from the grader, or from the rows trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Right or wrong: scores are 0 or 1, nothing between.
    Binary,
    /// Any score from 0 to 1.
    Graded,
}

impl Scale {
    /// The scale of scores that were trained on; gaps (NaN) do not count.
    pub fn of(scores: impl IntoIterator<Item = f64>) -> Self {
        let binary = scores.into_iter().all(|s| s.is_nan() || s == 0.0 || s == 1.0);
        if binary { Self::Binary } else { Self::Graded }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Binary => Method::ExactTrinomial,
            Self::Graded => Method::Betting,
        }
    }
}

/// How a mean is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// For scores of 0 and 1. A row is worse, equal or better; the exact probability of a balance as good as the observed
    /// one is summed for the worst share of differing rows that a Clopper–Pearson limit (at a twentieth of the risk) leaves
    /// (Berger and Boos, "P values maximized over a confidence set for the nuisance parameter", JASA 1994).
    ExactTrinomial,
    /// For any scores. The capital of a gambler who bets that the loss is below the limit, with stakes that follow the
    /// variance seen so far; the promise is broken with at most the probability that fair bets multiply so much
    /// (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024).
    Betting,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ExactTrinomial => "exact trinomial test",
            Self::Betting => "betting test",
        })
    }
}

/// Values in -1..=1, ready to be tested.
#[derive(Debug, Clone)]
pub(super) enum Sample {
    Counts(Counts),
    Values(Vec<f64>),
}

impl Sample {
    /// A sample of these values; for [`Scale::Binary`] each is -1, 0 or 1.
    pub(super) fn new(values: &[f64], scale: Scale) -> Self {
        match scale {
            Scale::Binary => {
                let count = |wanted: f64| values.iter().filter(|v| **v == wanted).count();
                Self::Counts(Counts::new(values.len(), count(1.0), count(-1.0)))
            }
            Scale::Graded => {
                let mut values = values.to_vec();
                // Bets come one after the other. Files are often sorted by task: in random order no stretch of easy rows
                // runs the stakes up. A fixed seed, so that nobody can draw until an order pleases.
                Rng::new(ORDER_SEED).shuffle(&mut values);
                Self::Values(values)
            }
        }
    }

    /// A sample of so many rows without any loss.
    pub(super) fn zeros(rows: usize, scale: Scale) -> Self {
        match scale {
            Scale::Binary => Self::Counts(Counts::new(rows, 0, 0)),
            Scale::Graded => Self::Values(vec![0.0; rows]),
        }
    }

    /// The sample as it would be with `times` as many rows of the same kind.
    pub(super) fn scaled(&self, times: f64) -> Self {
        let scale = |count: usize| (count as f64 * times).ceil() as usize;
        match self {
            Self::Counts(c) => Self::Counts(Counts::new(scale(c.rows), scale(c.worse), scale(c.better))),
            Self::Values(values) => Self::Values(values.iter().copied().cycle().take(scale(values.len())).collect()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Counts(c) => c.rows,
            Self::Values(values) => values.len(),
        }
    }

    fn mean(&self) -> f64 {
        match self {
            Self::Counts(c) => (c.worse as f64 - c.better as f64) / c.rows as f64,
            Self::Values(values) => values.iter().sum::<f64>() / values.len() as f64,
        }
    }

    /// Whether the mean is below `limit`; says yes wrongly with a probability of at most `risk`. Never where the sample's
    /// own mean is not: bets may have been won before the bad rows came, and nobody would believe such a bound.
    pub(super) fn is_below(&self, limit: f64, risk: f64) -> bool {
        self.mean() < limit
            && match self {
                Self::Counts(counts) => counts.is_below(limit, risk),
                Self::Values(values) => bets_succeed(values, limit, risk),
            }
    }

    /// The smallest limit (to 1e-5, rounded up) below which the mean is found to be: an upper bound that fails with a
    /// probability of at most `risk`. 1 where nothing can be said.
    pub(super) fn upper_bound(&self, risk: f64) -> f64 {
        let (mut low, mut high) = (-1.0, 1.0);
        while high - low > 1e-5 {
            let middle = f64::midpoint(low, high);
            if self.is_below(middle, risk) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }
}

const ORDER_SEED: u64 = 0x6775_6172;

/// The betting test: capital `∏ 1 + stake·(limit - value)` is a supermartingale while the mean is `limit` or more, so it
/// ever reaches `1 / risk` with a probability of at most `risk` (Ville). Monotone in `limit`.
fn bets_succeed(values: &[f64], limit: f64, risk: f64) -> bool {
    if limit >= 1.0 {
        return false;
    }
    let wanted = (1.0 / risk).ln();
    // Never all on one bet: the worst value, 1, leaves a twentieth.
    let most = 0.95 / (1.0 - limit);
    // The variance is begun with as if one row had told 0.1: most rows of a careful router lose nothing.
    let (mut squares, mut sum, mut capital) = (0.1, 0.0, 0.0);
    for (ix, value) in values.iter().enumerate() {
        let variance = squares / (ix as f64 + 1.0);
        let stake = (2.0 * wanted / (values.len() as f64 * variance)).sqrt().min(most);
        capital += (stake * (limit - value)).ln_1p();
        if capital >= wanted {
            return true;
        }
        sum += value;
        squares += (value - sum / (ix as f64 + 1.0)).powi(2);
    }
    false
}

/// Rows that are worse (1), better (-1) or equal (0).
#[derive(Debug, Clone)]
pub(super) struct Counts {
    rows: usize,
    worse: usize,
    better: usize,
    /// ln k! for k up to `rows`.
    ln_factorial: Vec<f64>,
}

/// A probability with its logarithms.
#[derive(Debug, Clone, Copy)]
struct Chance {
    p: f64,
    ln: f64,
    ln_not: f64,
}

impl Chance {
    fn new(p: f64) -> Self {
        Self { p, ln: p.ln(), ln_not: (-p).ln_1p() }
    }
}

/// ln k!
fn ln_factorial(k: usize) -> f64 {
    libm::lgamma(k as f64 + 1.0)
}

/// The part of the risk that the share of differing rows takes.
const NUISANCE: f64 = 0.05;

impl Counts {
    fn new(rows: usize, worse: usize, better: usize) -> Self {
        let ln_factorial = (0..=rows).map(ln_factorial).collect();
        Self { rows, worse, better, ln_factorial }
    }

    /// With P(worse) = a, P(better) = b: whether a - b >= limit can be ruled out. For one share q = a + b of differing rows
    /// the worst case is a - b = limit, since the balance falls in a and rises in b. Over q from |limit| to its upper
    /// limit the worst is looked for cell by cell: (least a, largest b) of a cell bounds it from above, the cell's end from
    /// below, and where the two disagree the cell is halved. (For a negative limit, smaller shares are no worse than
    /// q = |limit|, where all differing rows are better ones.)
    fn is_below(&self, limit: f64, risk: f64) -> bool {
        if self.rows == 0 {
            return false;
        }
        let nuisance = risk * NUISANCE;
        let level = risk - nuisance;
        let most = self.differing_at_most(nuisance);
        if most <= limit.abs() {
            // So few rows differ that a loss of `limit` is out of reach; or, for a negative limit, a gain.
            return limit > 0.0 || self.balance_probability(0.0, most) <= level;
        }
        // Standard errors go with the root of the share: even steps there.
        let (low, high) = (limit.abs().sqrt(), most.sqrt());
        let finest = 0.02 / (self.rows as f64).sqrt();
        let mut cells = vec![(low, high)];
        while let Some((from, to)) = cells.pop() {
            let (less, more) = (from * from, to * to);
            let a = |q: f64| ((q + limit) / 2.0).max(0.0);
            let b = |q: f64| ((q - limit) / 2.0).max(0.0);
            if self.balance_probability(a(less), b(more)) <= level {
                continue;
            }
            if to - from < finest || self.balance_probability(a(more), b(more)) > level {
                return false;
            }
            let middle = f64::midpoint(from, to);
            cells.push((from, middle));
            cells.push((middle, to));
        }
        true
    }

    /// Upper Clopper–Pearson limit of the share of rows that differ.
    fn differing_at_most(&self, risk: f64) -> f64 {
        let differing = self.worse + self.better;
        let (mut low, mut high) = (differing as f64 / self.rows as f64, 1.0);
        while high - low > 1e-9 {
            let middle = f64::midpoint(low, high);
            if self.distribution(differing as i64, self.rows, Chance::new(middle)) > risk {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// P(worse - better <= the observed balance) where a row is worse with probability `a` and better with `b`.
    fn balance_probability(&self, a: f64, b: f64) -> f64 {
        let balance = self.worse as i64 - self.better as i64;
        let n = self.rows as f64;
        let spread = 7.0 * (n * b * (1.0 - b)).sqrt() + 20.0;
        let first = (n * b - spread).max(0.0) as usize;
        let last = ((n * b + spread) as usize).min(self.rows);
        // Among the rows that are not better.
        let worse = Chance::new(if b < 1.0 { (a / (1.0 - b)).min(1.0) } else { 0.0 });
        let chance = Chance::new(b);
        let (mut total, mut mass) = (0.0, 0.0);
        let mut below = self.distribution(balance + first as i64, self.rows - first, worse);
        for better in first..=last {
            let weight = self.probability(better as i64, self.rows, chance);
            mass += weight;
            total += weight * below.clamp(0.0, 1.0);
            if better < last {
                // One row fewer to be worse, one more worse row allowed.
                let (rows, allowed) = (self.rows - better - 1, balance + better as i64);
                below += worse.p * self.probability(allowed, rows, worse) + self.probability(allowed + 1, rows, worse);
            }
        }
        // What lies outside the range counts against.
        (total + (1.0 - mass).max(0.0)).min(1.0)
    }

    /// P(X = k) for X binomial over `n` rows (at most all of them).
    fn probability(&self, k: i64, n: usize, chance: Chance) -> f64 {
        let Ok(k) = usize::try_from(k) else { return 0.0 };
        if k > n {
            return 0.0;
        }
        if chance.p <= 0.0 || chance.p >= 1.0 {
            return f64::from(u8::from(k == if chance.p <= 0.0 { 0 } else { n }));
        }
        let ways = self.ln_factorial[n] - self.ln_factorial[k] - self.ln_factorial[n - k];
        (ways + k as f64 * chance.ln + (n - k) as f64 * chance.ln_not).exp()
    }

    /// P(X <= k), summed from k away from the mean, where terms only shrink.
    fn distribution(&self, k: i64, n: usize, chance: Chance) -> f64 {
        if k < 0 {
            return 0.0;
        }
        if k >= n as i64 {
            return 1.0;
        }
        let tail = |terms: &mut dyn Iterator<Item = i64>| {
            let mut sum = 0.0;
            for term in terms.map(|k| self.probability(k, n, chance)) {
                sum += term;
                if term <= sum * 1e-17 {
                    break;
                }
            }
            sum
        };
        if k as f64 <= n as f64 * chance.p { tail(&mut (0..=k).rev()) } else { 1.0 - tail(&mut (k + 1..=n as i64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition: every pair of counts, one multinomial term each.
    fn balance_by_hand(counts: &Counts, a: f64, b: f64) -> f64 {
        let (n, balance) = (counts.rows, counts.worse as i64 - counts.better as i64);
        let mut total = 0.0;
        for worse in 0..=n {
            for better in 0..=n - worse {
                if worse as i64 - better as i64 <= balance {
                    let equal = n - worse - better;
                    let ways = ln_factorial(n) - [worse, better, equal].iter().map(|k| ln_factorial(*k)).sum::<f64>();
                    total +=
                        ways.exp() * a.powi(worse as i32) * b.powi(better as i32) * (1.0 - a - b).powi(equal as i32);
                }
            }
        }
        total
    }

    #[test]
    fn a_balance_has_the_probability_that_counting_gives() {
        for (rows, worse, better) in [(1, 0, 0), (7, 2, 1), (40, 3, 9), (40, 12, 0), (60, 0, 30)] {
            let counts = Counts::new(rows, worse, better);
            for (a, b) in [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.05, 0.02), (0.5, 0.5), (0.2, 0.6)] {
                let (fast, slow) = (counts.balance_probability(a, b), balance_by_hand(&counts, a, b));
                assert!((fast - slow).abs() < 1e-9, "{rows} {worse} {better}, {a} {b}: {fast} is not {slow}");
            }
        }
    }

    #[test]
    fn the_share_of_differing_rows_has_its_clopper_pearson_limit() {
        // None of 100 rows: 1 - risk^(1/100). Of 20 rows 5, at 0.025: the table's 0.4910.
        assert!((Counts::new(100, 0, 0).differing_at_most(0.05) - (1.0 - 0.05f64.powf(0.01))).abs() < 1e-8);
        assert!((Counts::new(20, 3, 2).differing_at_most(0.025) - 0.4910).abs() < 5e-5);
    }

    #[test]
    fn the_bound_agrees_with_the_test_and_shrinks_with_rows() {
        let mut rng = Rng::new(3);
        for scale in [Scale::Binary, Scale::Graded] {
            let mut last = 1.0;
            for rows in [50, 400, 3_000] {
                let values: Vec<f64> = (0..rows)
                    .map(|_| match (rng.unit(), scale) {
                        (u, Scale::Binary) => f64::from(u8::from(u < 0.05)) - f64::from(u8::from(u > 0.97)),
                        (u, Scale::Graded) => {
                            if u < 0.2 {
                                rng.unit() - 0.4
                            } else {
                                0.0
                            }
                        }
                    })
                    .collect();
                let sample = Sample::new(&values, scale);
                let bound = sample.upper_bound(0.05);
                let mean = values.iter().sum::<f64>() / rows as f64;
                assert!(mean < bound && bound < last, "{scale:?} {rows}: {mean} {bound} {last}");
                assert!(sample.is_below(bound, 0.05) && !sample.is_below(bound - 1e-4, 0.05));
                assert!(sample.is_below(bound + 0.1, 0.05));
                last = bound;
            }
            assert!(last < 0.05, "{scale:?} {last}");
        }
    }

    #[test]
    fn many_rows_are_no_harder_than_few() {
        // A tenth of 100,000 rows differ: no overflow, no loss of digits, a bound 1.7 standard errors above the mean.
        let sample = Sample::Counts(Counts::new(100_000, 5_200, 4_800));
        let bound = sample.upper_bound(0.05);
        assert!((0.0055..0.0059).contains(&bound), "{bound}");
    }
}

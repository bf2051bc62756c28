//! Two models, a strong and a weak one: how much of the gap between them is won with how few calls of the strong one.
//! The definitions are RouteLLM's (Ong et al., 2024): PGR, the performance gap recovered, is
//! `(quality − weak) / (strong − weak)`; APGR its mean over all shares of strong calls; CPT(x) the least share that
//! recovers x % of the gap. Money plays no part here.

use super::curve::{argmax, trapezoid};
use super::sample::Grid;
use std::collections::HashMap;

/// Who is asked first when only some rows may go to the strong model: by predicted gain, the largest first. Rows of equal
/// gain go together, taken as mixed at random: a straight line on the curve.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    /// Rows by falling gain.
    order: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: usize,
    /// What was predicted that the strong model is better.
    gain: f64,
    /// What it truly is.
    better: f64,
}

/// The figures for two models; not a number where they do not apply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pair {
    /// The mean of PGR over shares of strong calls from 0 to 1; 0.5 is what chance gives, above 1 is possible.
    pub(crate) apgr: f64,
    /// The least share of strong calls that wins half of the gap.
    pub(crate) cpt50: f64,
    /// The least share of strong calls that wins 80 % of the gap.
    pub(crate) cpt80: f64,
}

impl Pair {
    pub(crate) const NONE: Self = Self { apgr: f64::NAN, cpt50: f64::NAN, cpt80: f64::NAN };
}

/// Which of the models is strong and which weak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Roles {
    pub(crate) strong: usize,
    pub(crate) weak: usize,
}

impl Roles {
    /// Of two models the one with the higher mean score is strong, the first of equals; `None` for any other number.
    pub(crate) fn of(score: &Grid) -> Option<Self> {
        let means = score.means();
        let strong = argmax(means.iter().copied());
        (means.len() == 2).then(|| Self { strong, weak: 1 - strong })
    }
}

impl Ranking {
    /// Ranks rows by `gain`; `score` says what the models are truly worth.
    pub(crate) fn new(gain: &[f64], score: &Grid, roles: Roles) -> Self {
        let ranked = |row: usize| {
            let better = score.at(row, roles.strong) - score.at(row, roles.weak);
            Ranked { row, gain: gain[row], better }
        };
        let mut order: Vec<Ranked> = (0..gain.len()).map(ranked).collect();
        order.sort_by(|a, b| b.gain.partial_cmp(&a.gain).unwrap_or(std::cmp::Ordering::Equal));
        Self { order }
    }

    /// The same order of these rows only.
    pub(crate) fn of(&self, rows: &[usize]) -> Self {
        let place: HashMap<usize, usize> = rows.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        let kept = self.order.iter().filter_map(|r| Some(Ranked { row: *place.get(&r.row)?, ..*r }));
        Self { order: kept.collect() }
    }

    /// Ranks by the predicted difference of quality.
    pub(crate) fn by_quality(quality: &Grid, score: &Grid, roles: Roles) -> Self {
        let gain: Vec<f64> =
            (0..quality.len()).map(|i| quality.at(i, roles.strong) - quality.at(i, roles.weak)).collect();
        Self::new(&gain, score, roles)
    }

    /// The figures over rows that count as often as `weights` says.
    pub(crate) fn judge(&self, weights: &[f64]) -> Pair {
        let n: f64 = weights.iter().sum();
        let (mut share, mut won) = (vec![0.0], vec![0.0]);
        let (mut calls, mut better) = (0.0, 0.0);
        for equals in self.order.chunk_by(|a, b| a.gain == b.gain) {
            for ranked in equals {
                calls += weights[ranked.row];
                better += weights[ranked.row] * ranked.better;
            }
            share.push(calls / n);
            won.push(better / n);
        }
        let gap = won[won.len() - 1];
        // A sum of thousands of differences that cancel leaves a crumb; below it there is no gap to recover.
        if gap.abs() < 1e-12 {
            return Pair::NONE;
        }
        let recovered: Vec<f64> = won.iter().map(|d| d / gap).collect();
        let least_share = |x: f64| {
            let Some(k) = recovered.iter().position(|&r| r >= x).filter(|&k| k > 0) else { return f64::NAN };
            let (a, b) = (recovered[k - 1], recovered[k]);
            share[k - 1] + (share[k] - share[k - 1]) * (x - a) / (b - a)
        };
        Pair { apgr: trapezoid(&recovered, &share), cpt50: least_share(0.5), cpt80: least_share(0.8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: Roles = Roles { strong: 1, weak: 0 };

    fn judge(gain: &[f64], weak: &[f64], strong: &[f64]) -> Pair {
        let score = Grid::new(2, weak.iter().zip(strong).flat_map(|(w, s)| [*w, *s]).collect());
        Ranking::new(gain, &score, ROLES).judge(&vec![1.0; gain.len()])
    }

    #[test]
    fn a_perfect_order_an_inverse_one_and_none_at_all() {
        let (weak, strong) = ([0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]);
        let perfect = judge(&[1.0, 0.0, 1.0, 0.0], &weak, &strong);
        assert_eq!(perfect, Pair { apgr: 0.75, cpt50: 0.25, cpt80: 0.4 });
        let inverse = judge(&[0.0, 1.0, 0.0, 1.0], &weak, &strong);
        assert_eq!(inverse, Pair { apgr: 0.25, cpt50: 0.75, cpt80: 0.9 });
        let none = judge(&[0.3; 4], &weak, &strong);
        assert_eq!(none, Pair { apgr: 0.5, cpt50: 0.5, cpt80: 0.8 });
    }

    #[test]
    fn without_a_gap_there_is_nothing_to_recover() {
        let none = judge(&[0.1, 0.2, 0.3], &[0.1, 0.2, 0.3], &[0.3, 0.1, 0.2]);
        assert!(none.apgr.is_nan() && none.cpt50.is_nan() && none.cpt80.is_nan(), "{none:?}");
    }
}

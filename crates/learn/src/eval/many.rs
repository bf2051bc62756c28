//! Any number of models and money: what a policy's cost-quality hull is worth beside the single models' and the oracle's.
//! AIQ is RouterBench's (Hu et al., 2024); HGR and the savings are defined here as `evaluate.py` has them.

use super::curve::{Areas, Budgets, Hull, Point, argmax};

/// What all policies are judged beside, over one weighting of the rows.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The single model of the highest mean quality.
    pub(crate) best: Point,
    /// The hull of the single models: what static mixing (a fixed share of rows to each, drawn blindly) can buy.
    pub(crate) singles: Hull,
    /// The hull of the policy that knows the outcomes.
    pub(crate) oracle: Hull,
    budgets: Budgets,
    singles_area: Areas,
    oracle_area: Areas,
    oracle_best: f64,
}

/// A policy's figures beside a [`Frame`]; not a number where one does not apply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Worth {
    /// Mean quality over budgets from nothing to the dearest single model's cost (RouterBench's AIQ).
    pub(crate) aiq: f64,
    /// The same over the logarithm of budgets, from the cheapest single model's cost.
    pub(crate) aiq_log: f64,
    /// Hull gap recovered: where `aiq_log` lies between static mixing (0) and the oracle (1).
    pub(crate) hgr: f64,
    /// What is saved at 95, 99 and 100 % of the best single model's quality, as a share of its cost.
    pub(crate) save: [f64; 3],
    /// The best quality reached, and the cost there.
    pub(crate) best: Point,
    /// The best quality reached over the best single model's, less 1.
    pub(crate) perfgain: f64,
    /// The oracle's best quality less the best reached.
    pub(crate) regret: f64,
}

/// The best single model: the highest mean quality, and of equals the cheaper.
pub(crate) fn best_single(singles: &[Point]) -> usize {
    argmax(singles.iter().map(|p| p.quality - 1e-9 * p.cost))
}

impl Frame {
    /// Takes the single models' points, at least one, and the oracle's.
    pub(crate) fn new(singles: &[Point], oracle: &[Point]) -> Self {
        let cost = |pick: fn(f64, f64) -> f64, from| singles.iter().map(|p| p.cost).fold(from, pick);
        let budgets = Budgets::new(cost(f64::min, f64::INFINITY), cost(f64::max, 0.0));
        let best = singles[best_single(singles)];
        let oracle_best = oracle.iter().map(|p| p.quality).fold(f64::NEG_INFINITY, f64::max);
        let (singles, oracle) = (Hull::new(singles), Hull::new(oracle));
        let (singles_area, oracle_area) = (budgets.areas(&singles), budgets.areas(&oracle));
        Self { best, singles, oracle, budgets, singles_area, oracle_area, oracle_best }
    }

    /// What a policy with these points, at least one, is worth.
    pub(crate) fn judge(&self, points: &[Point]) -> Worth {
        let hull = Hull::new(points);
        let area = self.budgets.areas(&hull);
        let room = self.oracle_area.log - self.singles_area.log;
        let top = points[argmax(points.iter().map(|p| p.quality))];
        Worth {
            aiq: area.linear,
            aiq_log: area.log,
            // Where even the oracle is no better than mixing, there is nothing to recover.
            hgr: if room.abs() < 1e-12 { f64::NAN } else { (area.log - self.singles_area.log) / room },
            save: [95.0, 99.0, 100.0].map(|percent| self.saving(&hull, percent)),
            best: top,
            perfgain: top.quality / self.best.quality - 1.0,
            regret: self.oracle_best - top.quality,
        }
    }

    /// What a hull saves at so many percent of the best single model's quality; not a number where it is not reached, or
    /// where the best model is free.
    pub(crate) fn saving(&self, hull: &Hull, percent: f64) -> f64 {
        let cost = hull.cost_at(self.best.quality * percent / 100.0);
        cost.filter(|_| self.best.cost > 0.0).map_or(f64::NAN, |cost| 1.0 - cost / self.best.cost)
    }
}

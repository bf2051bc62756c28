//! The data of the six figures, as numbers: what [`super::html`] draws and `--json` prints.

use super::bootstrap::interval;
use super::calibration::{Bin, Reliability};
use super::curve::{Hull, Point, linspace, logspace};
use super::panel::{LENGTH, ORACLE, Outcome, Panel, Plan, RANDOM, ROUTER, STATIC};
use super::report::Estimate;
use serde::Serialize;

/// Parts of the range of predictions whose pairs are counted.
const PARTS: usize = 20;

/// The data behind the figures of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The cost-quality curves at rising budgets.
    pub curve: Vec<CurvePoint>,
    /// Each model alone.
    pub singles: Vec<Named>,
    /// The corners of the single models' hull.
    pub static_hull: Vec<Point>,
    /// The corners of the router's hull.
    pub router_hull: Vec<Point>,
    /// The corners of the oracle's hull.
    pub oracle_hull: Vec<Point>,
    /// Every model with the same chance.
    pub random: Point,
    /// Predicted and observed quality.
    pub reliability: Vec<Bin>,
    /// How many pairs were predicted in each of 20 equal parts of 0 to 1; what lies outside counts with the end.
    pub predicted_counts: Vec<usize>,
    /// Which model gets which share of rows, at rising cost.
    pub mix: Vec<Mix>,
    /// Quality at 10, 20 … 100 % of the best single model's cost.
    pub budgets: Vec<Budget>,
    /// A metric against the number of training rows, where the caller measured it.
    pub efficiency: Option<Efficiency>,
}

/// Qualities at one budget; `None` where the budget buys nothing yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The budget: mean US dollars a row.
    pub cost: f64,
    /// The router's best mix, with its interval.
    pub router: Option<Estimate>,
    /// Static mixing.
    #[serde(rename = "static")]
    pub mixing: Option<f64>,
    /// The policy that knows the outcomes.
    pub oracle: Option<f64>,
}

/// A model's point under its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named {
    /// The model.
    pub model: String,
    /// Its mean cost in US dollars.
    pub cost: f64,
    /// Its mean score.
    pub quality: f64,
}

/// The routing at one setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mix {
    /// Mean US dollars a row.
    pub cost: f64,
    /// Each model's share of the rows, in the order of the report's models.
    pub shares: Vec<f64>,
}

/// Qualities at a share of the best single model's cost; `None` where that buys nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// The share: 0.1 to 1.
    pub share: f64,
    /// Mean US dollars a row.
    pub cost: f64,
    /// The router, with its interval.
    pub router: Option<Estimate>,
    /// Static mixing.
    #[serde(rename = "static")]
    pub mixing: Option<f64>,
    /// Every model with the same chance; below its price it shares the rows with the cheapest model.
    pub random: Option<f64>,
    /// Static mixing by prompt length.
    pub length: Option<f64>,
    /// The policy that knows the outcomes.
    pub oracle: Option<f64>,
}

/// A metric against the number of training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Efficiency {
    /// What was measured, by its name in the report.
    pub metric: String,
    /// Training rows, and the metric's mean, low and high over the trainings.
    pub points: Vec<(usize, f64, f64, f64)>,
}

/// The budgets at which curves are read.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    costs: Vec<f64>,
    sweep: Vec<f64>,
}

impl Scale {
    const STEPS: usize = 80;

    /// Budgets from the cheapest point of the sample to the dearest single model, even in their logarithm; and tenths of the
    /// best single model's cost.
    pub(crate) fn new(outcome: &Outcome) -> Self {
        let all =
            || outcome.singles.iter().chain(&outcome.points[ROUTER]).chain(&outcome.points[ORACLE]).map(|p| p.cost);
        let low = all().filter(|c| *c > 0.0).fold(f64::INFINITY, f64::min);
        let high = all().fold(0.0, f64::max);
        let costs = if low < high { logspace(low.log10(), high.log10(), Self::STEPS).collect() } else { vec![high] };
        let best = outcome.frame.best.cost;
        Self { costs, sweep: linspace(0.1, 1.0, 10).map(|share| share * best).collect() }
    }

    /// The router's quality at all budgets, not a number where they buy nothing.
    pub(crate) fn read(&self, router: &Hull) -> Vec<f64> {
        self.costs.iter().chain(&self.sweep).map(|&c| router.quality_at(c).unwrap_or(f64::NAN)).collect()
    }
}

/// Draws the data from the sample's own outcome and the router's readings in each resample.
pub(crate) fn figures(panel: &Panel<'_>, outcome: &Outcome, scale: &Scale, resampled: &[&[f64]]) -> Figures {
    let empty = || Hull::new(&outcome.points[RANDOM]);
    let hull = |arm: usize| outcome.hull(arm);
    let (router, length) = (hull(ROUTER).unwrap_or_else(empty), hull(LENGTH));
    let (mixing, oracle) = (hull(STATIC).unwrap_or_else(empty), &outcome.frame.oracle);
    let estimate = |at: usize, cost: f64| {
        let value = router.quality_at(cost)?;
        Some(Estimate::new(value, interval(resampled.iter().map(|draw| draw[at]))))
    };
    let curve = scale.costs.iter().enumerate().map(|(at, &cost)| CurvePoint {
        cost,
        router: estimate(at, cost),
        mixing: mixing.quality_at(cost),
        oracle: oracle.quality_at(cost),
    });
    let budgets = scale.sweep.iter().enumerate().map(|(at, &cost)| Budget {
        share: (at + 1) as f64 / scale.sweep.len() as f64,
        cost,
        router: estimate(scale.costs.len() + at, cost),
        mixing: mixing.quality_at(cost),
        random: hull(RANDOM).and_then(|h| h.quality_at(cost)),
        length: length.as_ref().and_then(|h| h.quality_at(cost)),
        oracle: oracle.quality_at(cost),
    });
    let named = |(model, p): (&String, &Point)| Named { model: model.clone(), cost: p.cost, quality: p.quality };
    Figures {
        curve: curve.collect(),
        singles: panel.sample.models.iter().zip(&outcome.singles).map(named).collect(),
        static_hull: mixing.corners().to_vec(),
        router_hull: router.corners().to_vec(),
        oracle_hull: oracle.corners().to_vec(),
        random: outcome.points[RANDOM][0],
        reliability: reliability(panel).map_or_else(Vec::new, |r| r.bins(&vec![1.0; panel.sample.len()])),
        predicted_counts: reliability(panel).map_or_else(Vec::new, |r| r.counts(PARTS)),
        mix: mix(panel, &outcome.points[ROUTER]),
        budgets: budgets.collect(),
        efficiency: None,
    }
}

fn reliability<'a>(panel: &'a Panel<'_>) -> Option<&'a Reliability> {
    panel.arms[ROUTER].as_ref()?.reliability.as_ref()
}

fn mix(panel: &Panel<'_>, points: &[Point]) -> Vec<Mix> {
    let Some(Plan::Choices(columns)) = panel.arms[ROUTER].as_ref().map(|arm| &arm.plan) else { return Vec::new() };
    let mut mix: Vec<Mix> = columns
        .iter()
        .zip(points)
        .map(|(column, point)| {
            let mut shares = vec![0.0; panel.sample.models.len()];
            for &k in column {
                shares[k as usize] += 1.0 / column.len() as f64;
            }
            Mix { cost: point.cost, shares }
        })
        .collect();
    mix.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    mix
}

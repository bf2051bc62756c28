//! The judge: a router and its control arms over the same rows, with the same code for all. Knows neither how an arm came to
//! its choices nor what a report says of it.

use super::bootstrap::{Block, LANES};
use super::calibration::Reliability;
use super::curve::{Choices, Hull, Point, argmax};
use super::many::Frame;
use super::metrics::{Metrics, error_of};
use super::sample::{Forecast, Sample};
use super::two_model::{Pair, Ranking, Roles};

/// How a policy answers rows.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// A model for each row, at each of its settings.
    Choices(Vec<Vec<u32>>),
    /// One model for all rows.
    Single(usize),
    /// Every model with the same chance: the expectation, not a draw.
    Uniform,
    /// Each single model for all rows, and blind mixtures of them.
    Mixtures,
}

/// A policy that is judged.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) plan: Plan,
    /// Two models: who gets the strong one first.
    pub(crate) ranking: Option<Ranking>,
    /// What it predicted, where it predicts.
    pub(crate) reliability: Option<Reliability>,
}

impl Arm {
    /// A router that takes the largest `quality − λ·cost`.
    pub(crate) fn router(sample: &Sample, forecast: &Forecast, choices: &Choices, roles: Option<Roles>) -> Self {
        let pairs = forecast.quality.values().iter().copied().zip(sample.score.values().iter().copied());
        Self {
            plan: Plan::Choices(choices.columns.clone()),
            ranking: roles.map(|roles| Ranking::by_quality(&forecast.quality, &sample.score, roles)),
            reliability: Some(Reliability::new(pairs, sample.models.len())),
        }
    }

    /// Whether it has no setting to turn. At a budget below its price it can only share the rows with the cheapest model: that
    /// point stands second among its points.
    fn has_one_price(&self) -> bool {
        matches!(self.plan, Plan::Single(_) | Plan::Uniform)
    }

    /// The same policy over these rows only; `choices` are those that it was made of.
    pub(crate) fn of(&self, rows: &[usize], choices: &Choices) -> Self {
        Self {
            plan: Plan::Choices(choices.of(rows).columns),
            ranking: self.ranking.as_ref().map(|r| r.of(rows)),
            reliability: self.reliability.as_ref().map(|r| r.of(rows)),
        }
    }
}

/// The arms, in the order of [`Panel::arms`].
pub(crate) const ROUTER: usize = 0;
pub(crate) const RANDOM: usize = 1;
pub(crate) const BEST_SINGLE: usize = 2;
pub(crate) const STATIC: usize = 3;
pub(crate) const LENGTH: usize = 4;
pub(crate) const ORACLE: usize = 5;
pub(crate) const ARMS: usize = 6;

/// All that is judged over a sample. An arm that cannot be had is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Panel<'a> {
    pub(crate) sample: &'a Sample,
    /// What the oracle chooses: the true scores and costs are its predictions.
    pub(crate) oracle: Choices,
    pub(crate) arms: [Option<Arm>; ARMS],
}

/// What came out over one weighting of the rows.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Each model alone.
    pub(crate) singles: Vec<Point>,
    pub(crate) frame: Frame,
    /// Each arm's points; none for an arm that is not there.
    pub(crate) points: [Vec<Point>; ARMS],
    /// Each arm's metrics, not numbers where they do not apply.
    pub(crate) metrics: [Metrics<f64>; ARMS],
}

impl Panel<'_> {
    /// Judges all arms over the weights of each lane.
    pub(crate) fn judge(&self, block: &Block) -> [Outcome; LANES] {
        let models = self.sample.models.len() as u32;
        let rows = self.sample.len();
        let singles = self.points(block, (0..models).map(|k| vec![k; rows]).collect::<Vec<_>>().as_slice());
        let oracle = self.points(block, &self.oracle.columns);
        let chosen: [Option<[Vec<Point>; LANES]>; ARMS] =
            std::array::from_fn(|arm| match &self.arms[arm].as_ref()?.plan {
                Plan::Choices(columns) => Some(self.points(block, columns)),
                _ => None,
            });
        std::array::from_fn(|lane| {
            let singles = singles[lane].clone();
            let points = std::array::from_fn(|arm| match self.arms[arm].as_ref().map(|a| &a.plan) {
                _ if arm == ORACLE => oracle[lane].clone(),
                None => Vec::new(),
                Some(Plan::Choices(_)) => chosen[arm].as_ref().map_or_else(Vec::new, |points| points[lane].clone()),
                Some(Plan::Single(model)) => vec![singles[*model], cheapest(&singles)],
                Some(Plan::Uniform) => vec![mean(&singles), cheapest(&singles)],
                Some(Plan::Mixtures) => singles.clone(),
            });
            self.outcome(singles, points, &block.lane(lane))
        })
    }

    /// Judges all arms over the sample itself.
    pub(crate) fn judge_sample(&self) -> Outcome {
        let [outcome, ..] = self.judge(&Block::ones(self.sample.len()));
        outcome
    }

    fn outcome(&self, singles: Vec<Point>, points: [Vec<Point>; ARMS], weights: &[f64]) -> Outcome {
        let frame = Frame::new(&singles, &points[ORACLE]);
        let static_save = [95.0, 99.0].map(|percent| frame.saving(&frame.singles, percent));
        let metrics = std::array::from_fn(|ix| match &self.arms[ix] {
            Some(arm) if !points[ix].is_empty() => {
                let pair = arm.ranking.as_ref().map_or(Pair::NONE, |r| r.judge(weights));
                let ece = error_of(arm.reliability.as_ref(), weights);
                let mut worth = frame.judge(if arm.has_one_price() { &points[ix][..1] } else { &points[ix] });
                if arm.has_one_price() {
                    // Areas over budgets below its price would else be filled with quality that it cannot give.
                    let shared = frame.judge(&points[ix]);
                    (worth.aiq, worth.aiq_log, worth.hgr) = (shared.aiq, shared.aiq_log, shared.hgr);
                }
                Metrics::of(pair, &worth, static_save, ece)
            }
            _ => Metrics::each(|_: fn(&Metrics<f64>) -> &f64| f64::NAN),
        });
        Outcome { singles, frame, points, metrics }
    }

    /// The mean cost and quality of each column of choices, by lane.
    fn points(&self, block: &Block, columns: &[Vec<u32>]) -> [Vec<Point>; LANES] {
        let (score, cost) = (&self.sample.score, &self.sample.cost);
        let mut points: [Vec<Point>; LANES] = std::array::from_fn(|_| Vec::with_capacity(columns.len()));
        for column in columns {
            let chosen = column.iter().enumerate().map(|(i, &k)| (cost.at(i, k as usize), score.at(i, k as usize)));
            for (points, (cost, quality)) in points.iter_mut().zip(block.means(chosen)) {
                points.push(Point { cost, quality });
            }
        }
        points
    }
}

impl Outcome {
    /// The hull of an arm's points; `None` for an arm that is not there.
    pub(crate) fn hull(&self, arm: usize) -> Option<Hull> {
        let points = &self.points[arm];
        (!points.is_empty()).then(|| Hull::new(points))
    }
}

/// The cheapest point, and of equals the best.
fn cheapest(points: &[Point]) -> Point {
    let low = points[argmax(points.iter().map(|p| -p.cost))].cost;
    points[argmax(points.iter().map(|p| if p.cost == low { p.quality } else { f64::NEG_INFINITY }))]
}

fn mean(points: &[Point]) -> Point {
    let n = points.len() as f64;
    let of = |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / n;
    Point { cost: of(|p| p.cost), quality: of(|p| p.quality) }
}

//! Operating points: a setting that was chosen on rows set aside (dev) and is judged on others, as a user would run it.
//! A saving read off the judged rows' own hull flatters; this does not.

use super::control::{cheapest_enough, singles};
use super::curve::{Choices, Point, argmax, lambdas};
use super::sample::{Forecast, Sample};
use super::two_model::Roles;
use serde::Serialize;

/// The cheapest setting that keeps so much of the best single model's quality on dev.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The exchange rate, in quality per US dollar.
    pub lambda: f64,
    /// Quality on the judged rows, over that of the single model that is best on dev. `None` where that one's is 0.
    pub quality_ratio: Option<f64>,
    /// What is saved on the judged rows, as a share of that model's cost. `None` where that one is free.
    pub saving: Option<f64>,
    /// Two models: the same with a threshold on the predicted gain in place of λ.
    pub threshold: Option<Threshold>,
}

/// Rows whose predicted gain is at least `gain` go to the strong model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// The least predicted gain in P(good) that is worth the strong model; `None` if no row of dev was.
    pub gain: Option<f64>,
    /// The share of judged rows above it.
    pub strong_share: f64,
    /// As of the operating point.
    pub quality_ratio: Option<f64>,
    /// As of the operating point.
    pub saving: Option<f64>,
}

/// The points at 95, 99 and 100 % of the quality of the single model that is best on dev.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoints {
    /// At 95 %.
    pub op95: OperatingPoint,
    /// At 99 %.
    pub op99: OperatingPoint,
    /// At 100 %.
    pub op100: OperatingPoint,
}

/// One set of rows with its predictions, the choices they lead to, and, of two models, which is strong.
pub(crate) struct Side<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) forecast: &'a Forecast,
    pub(crate) choices: &'a Choices,
}

/// Chooses on `dev`, judges on `test`. Both have the same models.
pub(crate) fn operating_points(dev: &Side<'_>, test: &Side<'_>, roles: Option<Roles>) -> OperatingPoints {
    let best = argmax(dev.sample.score.means());
    let paid = singles(test.sample)[best];
    let ratio = |p: Point| Some(p.quality / paid.quality).filter(|x| x.is_finite());
    let saving = |p: Point| Some(1.0 - p.cost / paid.cost).filter(|x| x.is_finite());
    let on_dev: Vec<Point> = dev.choices.columns.iter().map(|c| mean(dev.sample, c)).collect();
    let at = |percent: f64| {
        let enough = singles(dev.sample)[best].quality * percent / 100.0;
        let column = cheapest_enough(&on_dev, enough);
        let rate = dev.choices.column_of.iter().position(|&c| c == column).unwrap_or(0);
        let point = mean(test.sample, &test.choices.columns[test.choices.column_of[rate]]);
        let threshold = roles.map(|roles| {
            let gain = threshold(dev, roles, enough);
            let columns = split(test, roles, gain);
            let point = mean(test.sample, &columns);
            let strong = columns.iter().filter(|&&k| k as usize == roles.strong).count();
            Threshold {
                gain: Some(gain).filter(|g| g.is_finite()),
                strong_share: strong as f64 / columns.len() as f64,
                quality_ratio: ratio(point),
                saving: saving(point),
            }
        });
        OperatingPoint { lambda: lambdas()[rate], quality_ratio: ratio(point), saving: saving(point), threshold }
    };
    OperatingPoints { op95: at(95.0), op99: at(99.0), op100: at(100.0) }
}

/// The threshold of the cheapest split on these rows with enough quality, else of the best split.
fn threshold(side: &Side<'_>, roles: Roles, enough: f64) -> f64 {
    let gains: Vec<f64> = (0..side.sample.len()).map(|i| gain(side, roles, i)).collect();
    let mut cuts = gains.clone();
    cuts.push(f64::INFINITY);
    cuts.sort_by(|a, b| b.total_cmp(a));
    cuts.dedup();
    // From all weak on, each cut moves the rows of its gain to the strong model.
    let mut rows: Vec<usize> = (0..gains.len()).collect();
    rows.sort_by(|&a, &b| gains[b].total_cmp(&gains[a]));
    let n = gains.len() as f64;
    let sum = |of: &super::sample::Grid| of.column(roles.weak).sum::<f64>();
    let (mut quality, mut cost, mut moved) = (sum(&side.sample.score), sum(&side.sample.cost), 0);
    let points: Vec<Point> = cuts
        .iter()
        .map(|&cut| {
            while let Some(&row) = rows.get(moved).filter(|&&row| gains[row] >= cut) {
                quality += side.sample.score.at(row, roles.strong) - side.sample.score.at(row, roles.weak);
                cost += side.sample.cost.at(row, roles.strong) - side.sample.cost.at(row, roles.weak);
                moved += 1;
            }
            Point { cost: cost / n, quality: quality / n }
        })
        .collect();
    // Differences summed one by one may end a crumb below the strong model's own mean.
    cuts[cheapest_enough(&points, enough - 1e-12)]
}

fn gain(side: &Side<'_>, roles: Roles, row: usize) -> f64 {
    side.forecast.quality.at(row, roles.strong) - side.forecast.quality.at(row, roles.weak)
}

fn split(side: &Side<'_>, roles: Roles, least: f64) -> Vec<u32> {
    let model = |row| if gain(side, roles, row) >= least { roles.strong } else { roles.weak };
    (0..side.sample.len()).map(|row| model(row) as u32).collect()
}

fn mean(sample: &Sample, column: &[u32]) -> Point {
    let of = |grid: &super::sample::Grid| {
        column.iter().enumerate().map(|(i, &k)| grid.at(i, k as usize)).sum::<f64>() / sample.len() as f64
    };
    Point { cost: of(&sample.cost), quality: of(&sample.score) }
}

//! The cost-quality curve: what a router chooses at each price of money, what that costs and yields, and the hull of it.
//! Chooses nothing for a request (the core's `value` strategy does); knows no metrics.

use super::sample::Grid;

/// How many exchange rates a curve is drawn at.
pub const LAMBDAS: usize = 241;

/// The exchange rates λ of a curve, in quality per US dollar: 0 (money is no object), then 240 from 10⁻³ to 10⁷, even in
/// their logarithm. Wide enough for queries of a millionth of a dollar to one dollar.
pub fn lambdas() -> Vec<f64> {
    std::iter::once(0.0).chain(logspace(-3.0, 7.0, LAMBDAS - 1)).collect()
}

/// `n` numbers from `low` to `high`, evenly spaced; the last one is `high` itself.
pub(crate) fn linspace(low: f64, high: f64, n: usize) -> impl Iterator<Item = f64> {
    let step = (high - low) / (n - 1) as f64;
    (0..n).map(move |i| if i + 1 == n { high } else { i as f64 * step + low })
}

/// `n` powers of ten, the exponents evenly spaced from `low` to `high`.
pub(crate) fn logspace(low: f64, high: f64, n: usize) -> impl Iterator<Item = f64> {
    linspace(low, high, n).map(|x| 10f64.powf(x))
}

/// The index of the largest number, the first of equals.
pub(crate) fn argmax(values: impl IntoIterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (ix, value) in values.into_iter().enumerate() {
        if value > best.1 {
            best = (ix, value);
        }
    }
    best.0
}

/// What a policy chooses for every row at each of its settings, from spending freely to saving.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    /// For each setting that differs from the one before it: the model's index for each row.
    pub(crate) columns: Vec<Vec<u32>>,
    /// For each exchange rate of [`lambdas`], its column. Neighbours often choose alike.
    pub(crate) column_of: Vec<usize>,
}

impl Choices {
    /// At each λ the model with the largest `quality − λ·cost`; of equals the cheaper, then the first.
    pub(crate) fn new(quality: &Grid, cost: &Grid) -> Self {
        let mut choices = Self { columns: Vec::new(), column_of: Vec::with_capacity(LAMBDAS) };
        for lambda in lambdas() {
            let column: Vec<u32> = (0..quality.len())
                .map(|i| {
                    let value = |(q, c): (&f64, &f64)| q - lambda * c - 1e-12 * c;
                    argmax(quality.row(i).iter().zip(cost.row(i)).map(value)) as u32
                })
                .collect();
            if choices.columns.last() != Some(&column) {
                choices.columns.push(column);
            }
            choices.column_of.push(choices.columns.len() - 1);
        }
        choices
    }

    /// The same choices, for these rows only.
    pub(crate) fn of(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|c| rows.iter().map(|&i| c[i]).collect()).collect();
        Self { columns, column_of: self.column_of.clone() }
    }
}

/// A way to answer all rows: what a row costs in the mean, and how good its answer is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Point {
    /// Mean cost of a row, in US dollars.
    pub cost: f64,
    /// Mean score of a row, 0 to 1.
    pub quality: f64,
}

/// The best quality for a mean cost when points may be mixed at random: the non-decreasing upper convex hull of points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hull(Vec<Point>);

impl Hull {
    /// The hull of points, of which there is at least one.
    pub(crate) fn new(points: &[Point]) -> Self {
        let mut sorted = points.to_vec();
        sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
        let mut hull: Vec<Point> = Vec::new();
        for point in sorted {
            if hull.last().is_some_and(|last| point.quality <= last.quality) {
                continue; // It costs more and is no better.
            }
            while let [.., a, b] = hull[..] {
                let rise = (b.quality - a.quality) * (point.cost - a.cost);
                if rise > (point.quality - a.quality) * (b.cost - a.cost) {
                    break;
                }
                hull.pop(); // The line from `a` to the point passes above `b`.
            }
            hull.push(point);
        }
        Self(hull)
    }

    /// Its corners, from the cheapest to the best.
    pub(crate) fn corners(&self) -> &[Point] {
        &self.0
    }

    /// The best quality for this mean cost; `None` below the cheapest corner, flat above the dearest.
    pub(crate) fn quality_at(&self, cost: f64) -> Option<f64> {
        self.between(self.0.partition_point(|corner| corner.cost <= cost), cost)
    }

    /// [`Hull::quality_at`] for many budgets in rising order, in one walk.
    fn qualities<'a>(&'a self, costs: &'a [f64]) -> impl Iterator<Item = Option<f64>> + 'a {
        let mut above = 0;
        costs.iter().map(move |&cost| {
            while self.0.get(above).is_some_and(|corner| corner.cost <= cost) {
                above += 1;
            }
            self.between(above, cost)
        })
    }

    /// The quality at a budget, when `above` corners cost no more than it.
    fn between(&self, above: usize, cost: f64) -> Option<f64> {
        let below = self.0.get(above.checked_sub(1)?)?;
        Some(match self.0.get(above) {
            Some(next) => {
                (next.quality - below.quality) / (next.cost - below.cost) * (cost - below.cost) + below.quality
            }
            None => below.quality,
        })
    }

    /// The least mean cost that reaches this quality (to 10⁻¹²); `None` where nothing does.
    pub(crate) fn cost_at(&self, quality: f64) -> Option<f64> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        if last.quality < quality - 1e-12 {
            return None;
        }
        if first.quality >= quality {
            return Some(first.cost);
        }
        let above = self.0.partition_point(|p| p.quality <= quality);
        let below = self.0.get(above.wrapping_sub(1)).unwrap_or(first);
        Some(match self.0.get(above) {
            Some(next) => {
                (next.cost - below.cost) / (next.quality - below.quality) * (quality - below.quality) + below.cost
            }
            None => last.cost,
        })
    }
}

/// Two areas under a hull, each a mean quality over budgets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Areas {
    /// Over budgets from 0 to the dearest single model's cost; below the cheapest point nothing is bought, and nothing is 0.
    /// RouterBench's "average improvement in quality" (AIQ; Hu et al., 2024).
    pub(crate) linear: f64,
    /// Over the logarithm of budgets from the cheapest to the dearest single model's cost.
    pub(crate) log: f64,
}

/// The budgets at which areas are summed: one scale for all hulls that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    linear: Vec<f64>,
    log: Vec<f64>,
    log_cost: Vec<f64>,
}

impl Budgets {
    const STEPS: usize = 400;

    /// Budgets between the cheapest and the dearest single model's mean cost.
    pub(crate) fn new(cheapest: f64, dearest: f64) -> Self {
        let (low, high) = (cheapest.log10(), dearest.log10());
        Self {
            linear: linspace(0.0, dearest, Self::STEPS).collect(),
            log: logspace(low, high, Self::STEPS).collect(),
            log_cost: linspace(low, high, Self::STEPS).collect(),
        }
    }

    /// The areas under a hull; not a number where the budgets span nothing (all models free, or of one price).
    pub(crate) fn areas(&self, hull: &Hull) -> Areas {
        let span = |x: &[f64]| x[x.len() - 1] - x[0];
        let cheapest = hull.corners().first().map_or(f64::NAN, |p| p.quality);
        let linear: Vec<f64> = hull.qualities(&self.linear).map(|q| q.unwrap_or(0.0)).collect();
        let log: Vec<f64> = hull.qualities(&self.log).map(|q| q.unwrap_or(cheapest)).collect();
        Areas {
            linear: trapezoid(&linear, &self.linear) / span(&self.linear),
            log: trapezoid(&log, &self.log_cost) / span(&self.log_cost),
        }
    }
}

/// The area under straight lines through the points.
pub(crate) fn trapezoid(y: &[f64], x: &[f64]) -> f64 {
    x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, f64)]) -> Vec<Point> {
        of.iter().map(|&(cost, quality)| Point { cost, quality }).collect()
    }

    #[test]
    fn a_hull_keeps_what_no_mixture_beats() {
        let all = points(&[(4.0, 0.9), (1.0, 0.5), (2.0, 0.6), (2.0, 0.75), (3.0, 0.7), (8.0, 0.9)]);
        let hull = Hull::new(&all);
        assert_eq!(hull.corners(), points(&[(1.0, 0.5), (2.0, 0.75), (4.0, 0.9)]));
        assert_eq!(hull.quality_at(0.9), None);
        assert_eq!([1.0, 1.5, 4.0, 9.0].map(|c| hull.quality_at(c)), [0.5, 0.625, 0.9, 0.9].map(Some));
        assert_eq!([0.1, 0.625, 0.9].map(|q| hull.cost_at(q)), [1.0, 1.5, 4.0].map(Some));
        assert_eq!(hull.cost_at(0.91), None);
    }

    #[test]
    fn of_equal_predictions_the_cheaper_model_is_chosen_even_where_money_is_no_object() {
        let quality = Grid::new(3, vec![0.5, 0.7, 0.7, 0.7, 0.7, 0.2]);
        let cost = Grid::new(3, vec![1.0, 9.0, 3.0, 4.0, 4.0, 1.0]);
        let choices = Choices::new(&quality, &cost);
        assert_eq!(choices.columns[0], [2, 0]);
        assert_eq!(choices.columns.last().map(Vec::as_slice), Some([0, 2].as_slice()));
        assert_eq!((choices.column_of[0], choices.column_of[LAMBDAS - 1]), (0, choices.columns.len() - 1));
    }

    #[test]
    fn the_exchange_rates_reach_from_nothing_to_ten_million() {
        let all = lambdas();
        assert_eq!((all.len(), all[0], all[1], all[LAMBDAS - 1]), (LAMBDAS, 0.0, 0.001, 1e7));
        assert!(all.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn areas_of_a_flat_hull_are_its_quality_and_below_its_price_nothing_is_bought() {
        let areas = Budgets::new(0.5, 1.0).areas(&Hull::new(&points(&[(0.5, 0.8)])));
        assert!((areas.log - 0.8).abs() < 1e-12);
        assert!((areas.linear - 0.4).abs() < 2e-3, "{areas:?}");
    }
}

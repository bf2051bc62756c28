//! The figures with money or rows on the horizontal axis: the curve, the budget sweep, sample efficiency.

use super::chart::{Chart, Mark, Scale, legend, per_thousand, percent};
use super::figure;
use crate::eval::curve::Point;
use crate::eval::figures::{Budget, CurvePoint, Figures};
use crate::eval::report::{Estimate, Report};

const COST_AXIS: &str = "Mean cost, US dollars per 1,000 queries (logarithmic)";

/// A scale for costs: logarithmic over those above 0. `None` where all are free.
pub(super) fn cost_scale(costs: impl Iterator<Item = f64>) -> Option<Scale> {
    let paid: Vec<f64> = costs.filter(|c| *c > 0.0).collect();
    let low = paid.iter().copied().fold(f64::INFINITY, f64::min);
    let high = paid.iter().copied().fold(0.0, f64::max);
    (!paid.is_empty()).then(|| Scale::log(low / 1.15, high * 1.15))
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

fn edges(of: impl Iterator<Item = (f64, Estimate)>) -> Vec<(f64, f64, f64)> {
    of.filter_map(|(x, e)| Some((x, e.low?, e.high?))).collect()
}

/// A hull as a line: its corners, and what it gives between them. A mixture is a straight line in dollars, and so a bent one
/// on a logarithmic axis. A corner without cost has no place on that axis.
fn drawn(figures: &Figures, corners: &[Point], between: fn(&CurvePoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let curve = figures.curve.iter().filter_map(|p| Some((p.cost, between(p)?)));
    let corners = corners.iter().map(|p| (p.cost, p.quality));
    let mut points: Vec<(f64, f64)> = curve.chain(corners).filter(|p| p.0 > 0.0).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Figure 1: what a budget buys.
pub(super) fn cost_quality(report: &Report) -> String {
    let (heading, caption) = (
        "1 · Cost and quality",
        "The best mean quality for a mean cost: the router's hull with its 95 % band, blind mixtures of single models, and \
         the oracle, which knows the outcomes. Up and to the left is better.",
    );
    let figures = &report.figures;
    let all = || figures.singles.iter().map(|m| (m.cost, m.quality));
    let Some(x) = cost_scale(all().map(|p| p.0).chain(figures.curve.iter().map(|p| p.cost))) else {
        return figure(heading, caption, Err("No model has a cost, so there is no curve to draw."));
    };
    let router = || figures.curve.iter().filter_map(|p| Some((p.cost, p.router?)));
    let lows = router().flat_map(|(_, e)| [Some(e.value), e.low, e.high]).flatten();
    let oracle = figures.curve.iter().filter_map(|p| p.oracle);
    let (low, high) = extent(all().map(|p| p.1).chain(lows).chain(oracle));
    let mut chart = Chart::new(x, Scale::padded(low, high), 66.0, 430.0);
    chart.x_axis(COST_AXIS, per_thousand);
    chart.y_axis("Mean quality", percent);
    chart.band(&edges(router()), "router");
    chart.line(drawn(figures, &figures.oracle_hull, |p| p.oracle), "oracle");
    chart.line(drawn(figures, &figures.router_hull, |p| Some(p.router?.value)), "router");
    // Dashes upon the line show both where they are one.
    chart.line(drawn(figures, &figures.static_hull, |p| p.mixing), "static dashed");
    for p in figures.router_hull.iter().filter(|p| p.cost > 0.0) {
        let said = format!("router: {} at {}", percent(p.quality), per_thousand(p.cost));
        chart.dot((p.cost, p.quality), 2.6, "router", &said);
    }
    let random = figures.random;
    if random.cost > 0.0 {
        let said = format!("random: {} at {}", percent(random.quality), per_thousand(random.cost));
        chart.dot((random.cost, random.quality), 5.0, "random", &said);
    }
    let paid: Vec<_> = figures.singles.iter().filter(|m| m.cost > 0.0).collect();
    for m in &paid {
        let said = format!("{}: {} at {}", m.model, percent(m.quality), per_thousand(m.cost));
        chart.dot((m.cost, m.quality), 4.5, "single", &said);
    }
    // The better a model, the sooner it gets its name.
    let mut named: Vec<(f64, f64, &str)> = paid.iter().map(|m| (m.cost, m.quality, m.model.as_str())).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    chart.name(&named);
    let legend = legend([
        ("router", Mark::Line, "router".to_owned()),
        ("router", Mark::Band, "its 95 % interval".to_owned()),
        ("static dashed", Mark::Line, "static mixing".to_owned()),
        ("oracle", Mark::Line, "oracle".to_owned()),
        ("single", Mark::Dot, "single models".to_owned()),
        ("random", Mark::Dot, "random".to_owned()),
    ]);
    figure(
        heading,
        caption,
        Ok((legend, chart.finish("Mean quality against mean cost, for the router and its controls"))),
    )
}

/// What an arm reaches at a budget.
type Read = fn(&Budget) -> Option<f64>;

/// Figure 5: quality at shares of the best single model's cost.
pub(super) fn budgets(report: &Report) -> String {
    let (heading, caption) = (
        "5 · Budget sweep",
        "Quality when no more than this share of the best single model's cost may be spent. A line begins where a budget \
         buys the first point; below its own price, random shares the queries with the cheapest model.",
    );
    let budgets = &report.figures.budgets;
    if budgets.last().is_none_or(|b| b.cost <= 0.0) {
        return figure(heading, caption, Err("The best single model is free, so no budget is a share of its cost."));
    }
    let router = || budgets.iter().filter_map(|b| Some((b.share, b.router?)));
    let all = budgets.iter().flat_map(|b| [b.mixing, b.random, b.length, b.oracle]).flatten();
    let ours = router().flat_map(|(_, e)| [Some(e.value), e.low, e.high]).flatten();
    let (low, high) = extent(all.chain(ours));
    if low > high {
        return figure(heading, caption, Err("At none of these budgets anything can be bought."));
    }
    let mut chart = Chart::new(Scale::linear(0.05, 1.05), Scale::padded(low, high), 66.0, 380.0);
    chart.x_axis("Budget, share of the best single model's cost", percent);
    chart.y_axis("Mean quality", percent);
    let best = report.controls.best_single.maxq.unwrap_or(low);
    chart.stroke((0.05, best), (1.05, best), "diagonal");
    let arms: [(&str, &str, Read); 4] = [
        ("random", "random", |b| b.random),
        ("length", "length", |b| b.length),
        ("static", "static dashed", |b| b.mixing),
        ("oracle", "oracle", |b| b.oracle),
    ];
    for (name, class, of) in arms {
        let points = || budgets.iter().filter_map(|b| Some((b.share, of(b)?)));
        chart.line(points(), class);
        for point in points() {
            chart.dot(point, 2.8, name, &format!("{name}: {}", percent(point.1)));
        }
    }
    for (x, low, high) in edges(router()) {
        chart.stroke((x, low), (x, high), "router thin");
    }
    chart.line(router().map(|(x, e)| (x, e.value)), "router");
    for (x, e) in router() {
        chart.dot((x, e.value), 4.5, "router", &format!("router: {}", percent(e.value)));
    }
    let legend = legend([
        ("router", Mark::Line, "router, with 95 % intervals".to_owned()),
        ("static dashed", Mark::Line, "static mixing".to_owned()),
        ("length", Mark::Line, "static mixing by prompt length".to_owned()),
        ("random", Mark::Line, "random".to_owned()),
        ("oracle", Mark::Line, "oracle".to_owned()),
        ("diagonal", Mark::Line, "best single model at its full cost".to_owned()),
    ]);
    figure(heading, caption, Ok((legend, chart.finish("Mean quality at ten budgets, for the router and its controls"))))
}

/// Figure 6: a metric against the number of training rows.
pub(super) fn efficiency(report: &Report) -> String {
    let (heading, caption) = (
        "6 · Sample efficiency",
        "What the predictor is worth when trained on fewer rows: the mean over trainings, from the lowest to the highest.",
    );
    let measured = report.figures.efficiency.as_ref().filter(|e| !e.points.is_empty());
    let Some(efficiency) = measured else {
        let why = "Not measured in this run: it takes trainings on parts of the rows, and only predictions were given.";
        return figure(heading, caption, Err(why));
    };
    let points: Vec<(f64, f64, f64, f64)> = efficiency
        .points
        .iter()
        .filter(|p| p.0 > 0 && [p.1, p.2, p.3].iter().all(|v| v.is_finite()))
        .map(|&(rows, mean, low, high)| (rows as f64, mean, low, high))
        .collect();
    let (low, high) = extent(points.iter().flat_map(|p| [p.1, p.2, p.3]));
    let (fewest, most) = extent(points.iter().map(|p| p.0));
    if points.is_empty() {
        return figure(heading, caption, Err("No training gave a figure."));
    }
    let y = Scale::padded(low.min(0.0), high.max(low + 0.01));
    let mut chart = Chart::new(Scale::log(fewest / 1.2, most * 1.2), y, 66.0, 330.0);
    chart.x_axis("Training rows (logarithmic)", |rows| format!("{rows:.0}"));
    chart.y_axis(&efficiency.metric.to_uppercase(), |value| format!("{value:.2}"));
    let band: Vec<(f64, f64, f64)> = points.iter().map(|p| (p.0, p.2, p.3)).collect();
    chart.band(&band, "router");
    chart.stroke((fewest / 1.2, 0.0), (most * 1.2, 0.0), "zero");
    chart.line(points.iter().map(|p| (p.0, p.1)), "router");
    for p in &points {
        chart.stroke((p.0, p.2), (p.0, p.3), "router thin");
        chart.dot((p.0, p.1), 4.5, "router", &format!("{} rows: {:.3} ({:.3} to {:.3})", p.0, p.1, p.2, p.3));
    }
    let legend = legend([
        ("router", Mark::Line, "mean over trainings".to_owned()),
        ("router", Mark::Band, "lowest to highest".to_owned()),
    ]);
    figure(heading, caption, Ok((legend, chart.finish("A metric against the number of training rows"))))
}

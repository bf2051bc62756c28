//! The figures of shares and gains: calibration, routing mix, tasks.

use super::chart::{Chart, Mark, Scale, legend, per_thousand, percent, points, short};
use super::curves::cost_scale;
use super::figure;
use crate::eval::report::{Report, TaskReport};

/// Figure 2: predictions beside what came of them.
pub(super) fn calibration(report: &Report) -> String {
    let bins = &report.figures.reliability;
    let (heading, caption) = (
        "2 · Calibration",
        "Predicted quality beside what was observed, in groups of equal size over all queries and models. On the diagonal a \
         predicted 70 % comes true in 70 of 100 cases. The bars below count predictions.",
    );
    let counts = &report.figures.predicted_counts;
    if bins.is_empty() || counts.is_empty() {
        return figure(heading, caption, Err("There are no predictions to compare."));
    }
    let ends = || bins.iter().flat_map(|b| [b.predicted, b.observed]);
    let low = ends().fold(0.0, f64::min);
    let high = ends().fold(1.0, f64::max);
    let scale = Scale::linear(low, high);
    let mut chart = Chart::new(scale, scale, 66.0, 400.0);
    chart.x_axis("Predicted quality", percent);
    chart.y_axis("Observed quality", percent);
    chart.stroke((low, low), (high, high), "diagonal");
    for b in bins {
        chart.stroke((b.predicted, b.predicted), (b.predicted, b.observed), "router thin");
    }
    chart.line(bins.iter().map(|b| (b.predicted, b.observed)), "router");
    for b in bins {
        let said = format!("{} pairs: predicted {}, observed {}", b.pairs, percent(b.predicted), percent(b.observed));
        chart.dot((b.predicted, b.observed), 4.8, "router", &said);
    }
    let most = counts.iter().copied().max().unwrap_or(0) as f64;
    let mut bars = Chart::new(scale, Scale::linear(0.0, most), 66.0, 150.0);
    bars.x_axis("Predicted quality", percent);
    bars.y_axis("Pairs", |n| format!("{n:.0}"));
    let part = 1.0 / counts.len() as f64;
    for (ix, &count) in counts.iter().enumerate() {
        let (from, to) = (ix as f64 * part, (ix + 1) as f64 * part);
        let said = format!("{count} pairs predicted {} to {}", percent(from), percent(to));
        bars.bar((from, to), count as f64, "router", &said);
    }
    let pairs = bins.first().map_or(0.0, |b| b.pairs);
    let legend = legend([
        ("router", Mark::Line, format!("observed, {} groups of about {pairs:.0} pairs", bins.len())),
        ("diagonal", Mark::Line, "perfectly calibrated".to_owned()),
    ]);
    let pictures =
        chart.finish("Observed against predicted quality") + &bars.finish("How often each quality is predicted");
    figure(heading, caption, Ok((legend, pictures)))
}

/// So many models get a colour of their own; the rest shares one.
const COLOURS: usize = 10;

/// Figure 3: who answers at which budget.
pub(super) fn mix(report: &Report) -> String {
    let (heading, caption) = (
        "3 · Routing mix by budget",
        "The share of queries that each model gets as the router may spend more, cheapest models at the bottom.",
    );
    let mix: Vec<_> = report.figures.mix.iter().filter(|m| m.cost > 0.0).collect();
    let Some(x) = cost_scale(mix.iter().map(|m| m.cost)) else {
        return figure(heading, caption, Err("Nothing that the router does costs anything."));
    };
    let area = |k: usize| mix.iter().map(|m| m.shares[k]).sum::<f64>();
    let mut large: Vec<usize> = (0..report.models.len()).filter(|&k| area(k) > 0.0).collect();
    large.sort_by(|&a, &b| area(b).total_cmp(&area(a)));
    let rest = large.split_off(large.len().min(COLOURS));
    let cost = |k: usize| report.figures.singles[k].cost;
    large.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    let mut groups: Vec<(String, Vec<usize>)> = large.iter().map(|&k| (report.models[k].clone(), vec![k])).collect();
    match rest.as_slice() {
        [] => {}
        &[one] => groups.push((report.models[one].clone(), rest)),
        many => groups.push((format!("{} other models", many.len()), rest)),
    }
    let mut chart = Chart::new(x, Scale::linear(0.0, 1.0), 66.0, 360.0);
    chart.x_axis("Mean cost, US dollars per 1,000 queries (logarithmic)", per_thousand);
    chart.y_axis("Share of queries", percent);
    // A router that never changes its mind has one point: it is drawn as a short stretch.
    let spots: Vec<(f64, &[f64])> = match mix.as_slice() {
        [only] => [1.0 / 1.1, 1.1].map(|by| (only.cost * by, only.shares.as_slice())).to_vec(),
        all => all.iter().map(|m| (m.cost, m.shares.as_slice())).collect(),
    };
    let mut below = vec![0.0; spots.len()];
    let mut entries = Vec::new();
    for (colour, (name, models)) in groups.iter().enumerate() {
        let class = format!("area m{colour}");
        let top: Vec<f64> =
            spots.iter().zip(&below).map(|((_, s), b)| b + models.iter().map(|&k| s[k]).sum::<f64>()).collect();
        let edges: Vec<(f64, f64, f64)> = spots.iter().enumerate().map(|(i, (x, _))| (*x, below[i], top[i])).collect();
        chart.filled(&edges, &class, name);
        below = top;
        entries.push((format!("m{colour}"), name.clone()));
    }
    let legend = legend(entries.iter().map(|(class, name)| (class.as_str(), Mark::Area, name.clone())));
    figure(heading, caption, Ok((legend, chart.finish("Shares of queries by model against mean cost"))))
}

/// So many tasks at each end are drawn where there are many.
const ENDS: usize = 12;

/// Figure 4: gains task by task.
pub(super) fn per_task(report: &Report) -> String {
    let mut tasks: Vec<(&str, &TaskReport)> = report.per_task.iter().map(|(name, t)| (name.as_str(), t)).collect();
    tasks.sort_by(|a, b| b.1.gain_over_static.value.total_cmp(&a.1.gain_over_static.value));
    let all = tasks.len();
    if all > 2 * ENDS {
        tasks.drain(ENDS..all - ENDS);
    }
    let which = if all > tasks.len() {
        format!(" Of {all} tasks the {ENDS} best and the {ENDS} worst.")
    } else {
        String::new()
    };
    let caption = format!(
        "At its working point ({} per 1,000 queries over all): the router's quality less that of mixing models blindly at the \
         same cost in the same task, and less that of the best single model, with 95 % intervals. Right of 0 is better.{which}",
        per_thousand(report.working_point.cost)
    );
    let heading = "4 · Gain by task";
    if tasks.is_empty() {
        return figure(heading, &caption, Err("There are no tasks."));
    }
    let gains = |t: &TaskReport| [t.gain_over_static, t.gain_over_best];
    let values = || tasks.iter().flat_map(|(_, t)| gains(t)).flat_map(|g| [Some(g.value), g.low, g.high]).flatten();
    let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let rows = tasks.len() as f64;
    let mut chart = Chart::new(Scale::padded(low, high), Scale::linear(0.0, rows), 250.0, 70.0 + 27.0 * rows);
    chart.x_axis("Gain in quality, percentage points", |x| points(x).trim_end_matches(".0").to_owned());
    chart.stroke((0.0, 0.0), (0.0, rows), "zero");
    for (ix, (name, task)) in tasks.iter().enumerate() {
        let middle = rows - ix as f64 - 0.5;
        let name = if name.is_empty() { "(no task)" } else { name };
        let count = format!(r#"{} <tspan class="tick">{}</tspan>"#, short(name, 30), task.rows);
        chart.beside(middle, &count);
        let arms = [("static", task.gain_over_static, 0.17), ("single", task.gain_over_best, -0.17)];
        for (class, gain, up) in arms {
            if let (Some(low), Some(high)) = (gain.low, gain.high) {
                chart.stroke((low, middle + up), (high, middle + up), &format!("{class} thin"));
            }
            let said = format!("{name}: {} points", points(gain.value));
            chart.dot((gain.value, middle + up), 4.5, class, &said);
        }
    }
    let legend = legend([
        ("static", Mark::Dot, "over static mixing at equal cost".to_owned()),
        ("single", Mark::Dot, "over the best single model".to_owned()),
    ]);
    figure(heading, &caption, Ok((legend, chart.finish("Gain in quality by task"))))
}

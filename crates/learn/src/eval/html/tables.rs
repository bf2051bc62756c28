//! The page's tables.

use super::chart::{escape, per_thousand, percent, points, short, three};
use super::range;
use crate::eval::metrics::Metrics;
use crate::eval::operating::OperatingPoint;
use crate::eval::report::{Estimate, Report};

type Write = fn(f64) -> String;

/// Each metric: its name in the report, what it is called, what it means and how it is written.
const ROWS: [(&str, &str, &str, Write); 16] = [
    ("apgr", "APGR", "two models: mean share of the quality gap recovered; chance is 0.5", three),
    ("cpt50", "CPT(50)", "two models: share of strong calls that recovers half of the gap", percent),
    ("cpt80", "CPT(80)", "two models: the same for 80 %", percent),
    ("hgr", "HGR", "from static mixing (0) to the oracle (1), over all budgets", three),
    ("aiq", "AIQ", "mean quality over budgets from 0", three),
    ("aiq_log", "AIQ, logarithmic", "mean quality over orders of magnitude of budget", three),
    ("save95", "Saved at 95 %", "of the best single model's cost, at 95 % of its quality", percent),
    ("save99", "Saved at 99 %", "the same at 99 %", percent),
    ("save100", "Saved at 100 %", "the same at 100 %", percent),
    ("static95", "Mixing saves at 95 %", "static mixing, beside the row above", percent),
    ("static99", "Mixing saves at 99 %", "static mixing, beside the row above", percent),
    ("maxq", "Best quality", "at any budget", percent),
    ("cost_maxq", "Its cost", "US dollars per 1,000 queries", per_thousand),
    ("perfgain", "Gain over the best", "best quality over the best single model's", signed),
    ("regret", "Regret", "the oracle's best quality less this", percent),
    ("ece", "ECE", "mean distance of predicted from observed quality", three),
];

/// A share with its sign.
fn signed(x: f64) -> String {
    points(x) + " %"
}

fn cell(class: &str, value: Option<f64>, interval: Option<[f64; 2]>, write: Write) -> String {
    let Some(value) = value else { return format!("<td class=\"{class}\">–</td>") };
    let interval = range(interval, write);
    let small = if interval.is_empty() { String::new() } else { format!("<small>{}</small>", interval.trim()) };
    format!("<td class=\"{class}\">{}{small}</td>", write(value))
}

fn of<T: Copy>(metrics: &Metrics<Option<T>>, name: &str) -> Option<T> {
    metrics.named().into_iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value)
}

/// The headline table: the router with its intervals beside the control arms.
pub(super) fn metrics(report: &Report) -> String {
    let arms = report.controls.named();
    let intervals = report.control_intervals.named();
    let mut rows = String::new();
    for (name, called, means, write) in ROWS {
        // What static mixing saves stands in its own column already.
        if name.starts_with("static") {
            continue;
        }
        let controls: Vec<String> = arms
            .iter()
            .zip(&intervals)
            .map(|((_, values), (_, ranges))| cell("", of(values, name), of(ranges, name), write))
            .collect();
        if of(&report.metrics, name).is_none() && arms.iter().all(|(_, values)| of(values, name).is_none()) {
            continue;
        }
        let spread = report.spread.as_ref().map_or_else(String::new, |all| match of(all, name) {
            Some(s) => {
                let range = format!("{} to {}", write(s.min), write(s.max));
                format!("<td>{}<small>{range}</small></td>", write(s.mean))
            }
            None => "<td>–</td>".to_owned(),
        });
        rows += &format!(
            "<tr><td>{called}<small class=\"soft\">{means}</small></td>{}{spread}{}</tr>",
            cell("main", of(&report.metrics, name), of(&report.intervals, name), write),
            controls.concat()
        );
    }
    let trainings = report.spread.as_ref().and_then(|s| s.maxq).map_or(0, |s| s.trainings);
    let spread = if trainings > 0 { format!("<th>{trainings} trainings</th>") } else { String::new() };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th>Metric</th><th>Router</th>{spread}<th>Random</th><th>Best single</th>\
         <th>Static mixing</th><th>Length</th><th>Oracle</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// Settings that were chosen on other rows.
pub(super) fn operating_points(report: &Report) -> String {
    let Some(points) = report.operating_points else { return String::new() };
    let row = |name: &str, p: OperatingPoint| {
        let threshold = p.threshold.map_or_else(String::new, |t| {
            let gain = t.gain.map_or_else(|| "never".to_owned(), three);
            format!(
                "<td>{gain}</td><td>{}</td>{}{}",
                percent(t.strong_share),
                cell("", t.quality_ratio, None, percent),
                cell("", t.saving, None, percent)
            )
        });
        format!(
            "<tr><td>{name}</td><td>{}</td>{}{}{threshold}</tr>",
            rate(p.lambda),
            cell("main", p.quality_ratio, None, percent),
            cell("main", p.saving, None, percent)
        )
    };
    let two = if points.op95.threshold.is_some() {
        "<th>Or: least gain</th><th>Strong calls</th><th>Quality kept</th><th>Saved</th>"
    } else {
        ""
    };
    format!(
        "<h2>Operating points</h2><p class=\"soft\">The setting was chosen on rows set aside and is judged here: what a user \
         would have got. Quality and saving are beside the single model that is best on the rows set aside.</p><div \
         class=\"scroll\"><table><thead><tr><th>Chosen to keep</th><th>λ, quality per dollar</th><th>Quality kept</th>\
         <th>Saved</th>{two}</tr></thead><tbody>{}{}{}</tbody></table></div>",
        row("95 %", points.op95),
        row("99 %", points.op99),
        row("100 %", points.op100)
    )
}

/// An exchange rate in about three digits.
fn rate(lambda: f64) -> String {
    match lambda {
        l if l >= 1e5 => format!("{l:.2e}"),
        l if l >= 100.0 => format!("{l:.0}"),
        l if l >= 1.0 => format!("{l:.1}"),
        l => format!("{}", (l * 1e4).round() / 1e4),
    }
}

fn estimate(e: Estimate, write: Write) -> String {
    cell("", Some(e.value), e.low.zip(e.high).map(|(low, high)| [low, high]), write)
}

fn gain(e: Estimate) -> String {
    let class = match (e.low, e.high) {
        (Some(low), _) if low > 0.0 => "up",
        (_, Some(high)) if high < 0.0 => "down",
        _ => "",
    };
    cell(class, Some(e.value), e.low.zip(e.high).map(|(low, high)| [low, high]), points)
}

/// Each model.
pub(super) fn models(report: &Report) -> String {
    let mut models: Vec<_> = report.per_model.iter().collect();
    models.sort_by(|a, b| b.1.quality.value.total_cmp(&a.1.quality.value));
    let row = |(name, m): (&String, &crate::eval::ModelReport)| {
        format!(
            "<tr><td>{}</td>{}{}{}<td>{}</td><td>{}</td><td>{}</td></tr>",
            short(name, 60),
            estimate(m.quality, percent),
            estimate(m.cost, per_thousand),
            cell("", m.ece, None, three),
            signed(m.bias),
            percent(m.share),
            percent(m.oracle_share)
        )
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th>Model</th><th>Mean quality</th><th>Cost per 1,000</th><th>ECE</th>\
         <th>Predicted − observed</th><th>Share, router</th><th>Share, oracle</th></tr></thead><tbody>{}</tbody></table></div>\
         <p class=\"soft\">Shares are the router's at its working point (λ = {}), and the oracle's where money is no object.</p>",
        models.into_iter().map(row).collect::<String>(),
        rate(report.working_point.lambda)
    )
}

/// Each task.
pub(super) fn tasks(report: &Report) -> String {
    let row = |(name, t): (&String, &crate::eval::TaskReport)| {
        let name = if name.is_empty() { "(no task)".to_owned() } else { escape(name) };
        format!(
            "<tr><td>{name}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}{}{}{}</tr>",
            t.rows,
            percent(t.router.quality),
            per_thousand(t.router.cost),
            percent(t.best_single.quality),
            gain(t.gain_over_static),
            gain(t.gain_over_best),
            cell("", t.metrics.hgr, t.intervals.hgr, three),
            cell("", t.metrics.ece, None, three)
        )
    };
    let rows: String = report.per_task.iter().map(row).collect();
    format!(
        "<details{}><summary>Task by task ({})</summary><div class=\"scroll\"><table><thead><tr><th>Task</th><th>Rows</th>\
         <th>Router</th><th>Cost per 1,000</th><th>Best single</th><th>Over static, points</th><th>Over best, points</th>\
         <th>HGR</th><th>ECE</th></tr></thead><tbody>{rows}</tbody></table></div></details>",
        if report.per_task.len() <= 20 { " open" } else { "" },
        report.per_task.len()
    )
}

/// How to read the page.
pub(super) fn reading() -> &'static str {
    "<details><summary>How to read this</summary>\
     <p>The router takes, for each query, the model with the largest predicted quality − λ · predicted cost. Turning λ from 0 \
     upwards trades quality for money and gives the curve; mixing its points gives its hull.</p>\
     <p><b>APGR, CPT</b> (RouteLLM): two models, money apart. Queries go to the strong model in the order of the predicted gain; \
     the share of the quality gap recovered is averaged over all shares of strong calls (APGR), or the least share of calls that \
     recovers 50 or 80 % is read off (CPT).</p>\
     <p><b>AIQ</b> (RouterBench): the area under the hull over budgets up to the dearest single model's cost. <b>HGR</b>: where \
     the logarithmic area lies between blind mixtures of single models (0) and the oracle (1).</p>\
     <p><b>Savings</b> are read off the hull of the rows judged here, as papers do; operating points, where there are any, were \
     chosen on other rows. <b>Intervals</b> resample rows: they say what another sample of the same kind of queries would give, \
     and nothing of other kinds, nor of another training.</p>\
     <p><b>Controls</b>: random gives every model the same chance; static mixing gives each a fixed share; length is static mixing \
     in which the long prompts go to the dearer model; the oracle knows the outcomes. All are judged by the same code.</p></details>"
}

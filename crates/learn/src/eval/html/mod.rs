//! A report as one page: figures as inline SVG, no script, nothing loaded from anywhere, in light and dark. Computes no
//! figure of its own: what it shows is in the report.

mod chart;
mod curves;
mod shares;
mod tables;

use super::report::Report;
use chart::{escape, per_thousand, percent, three};

/// The page. `title` heads it, and each of `notes` (what was evaluated: files, model file, trainings) stands below. All
/// names are escaped.
pub fn page(report: &Report, title: &str, notes: &[String]) -> String {
    let title = escape(title);
    let notes: String = notes.iter().map(|note| format!("<p class=\"soft\">{}</p>", escape(note))).collect();
    let css = include_str!("page.css");
    let body = [
        format!("<h1>{title}</h1><p class=\"soft\">{}</p>{notes}", escape(&scope(report))),
        format!("<p class=\"verdict\">{}</p>", escape(&verdict(report))),
        tiles(report),
        "<h2>The router and its controls</h2>".to_owned(),
        tables::metrics(report),
        tables::operating_points(report),
        "<h2>Figures</h2>".to_owned(),
        curves::cost_quality(report),
        shares::calibration(report),
        shares::mix(report),
        shares::per_task(report),
        curves::budgets(report),
        curves::efficiency(report),
        "<h2>Model by model</h2>".to_owned(),
        tables::models(report),
        tables::tasks(report),
        tables::reading().to_owned(),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{css}</style></head><body><main>{body}\
         </main></body></html>\n"
    )
}

fn scope(report: &Report) -> String {
    let left_out = match report.left_out {
        0 => String::new(),
        n => format!(" ({n} more left out: a model has no outcome there)"),
    };
    let intervals = match report.resamples {
        0 => "no intervals".to_owned(),
        n => format!("95 % intervals from {n} resamples of the rows, seed {}", report.seed),
    };
    let pair = match &report.pair {
        Some([strong, weak]) => format!(" · strong {strong}, weak {weak}"),
        None => String::new(),
    };
    format!("{} rows{left_out} · {} models{pair} · {intervals}", report.rows, report.models.len())
}

/// A gain smaller than this is what rounding leaves of none.
const CRUMB: f64 = 1e-6;

/// What the page says, in two sentences; a gain that its interval does not show is not claimed.
fn verdict(report: &Report) -> String {
    let metrics = &report.metrics;
    let best = &report.best_single;
    let saving = match (metrics.save99, report.intervals.save99) {
        (Some(saved), interval) if saved >= 0.0 => {
            let controls =
                metrics.static99.map_or_else(String::new, |s| format!("; static mixing saves {}", percent(s)));
            format!(
                "At 99 % of the quality of the best single model ({best}), routing saves {}{} of its cost{controls}.",
                percent(saved),
                range(interval, percent)
            )
        }
        (Some(saved), _) => {
            format!("At 99 % of the quality of the best single model ({best}), routing costs {} more.", percent(-saved))
        }
        (None, _) => {
            format!("Routing reaches no 99 % of the quality of the best single model ({best}), or that one is free.")
        }
    };
    let gap = match (metrics.hgr, report.intervals.hgr) {
        (Some(hgr), Some([low, _])) if low > CRUMB => format!(
            "It recovers {}{} of what an oracle could gain over mixing models blindly.",
            percent(hgr),
            range(report.intervals.hgr, percent)
        ),
        (Some(_), Some([_, high])) if high < -CRUMB => {
            "It is worse than mixing models blindly: do not route with it.".to_owned()
        }
        (Some(hgr), Some(_)) => format!(
            "A gain over mixing models blindly is not shown: it recovers {}{} of the gap to the oracle, and the interval holds 0.",
            percent(hgr),
            range(report.intervals.hgr, percent)
        ),
        (Some(hgr), None) => format!(
            "It recovers {} of what an oracle could gain over mixing models blindly; without intervals, that may be chance.",
            percent(hgr)
        ),
        (None, _) => "Against mixing models blindly it cannot be placed: prices or scores leave no gap.".to_owned(),
    };
    format!("{saving} {gap}")
}

fn range(interval: Option<[f64; 2]>, write: fn(f64) -> String) -> String {
    interval.map_or_else(String::new, |[low, high]| {
        let (low, high) = (write(low), write(high));
        // A unit that both have is said once.
        let low = if high.ends_with(" %") { low.trim_end_matches(" %") } else { &low };
        format!(" ({low} to {high})")
    })
}

fn tiles(report: &Report) -> String {
    let (metrics, intervals) = (&report.metrics, &report.intervals);
    let tile = |name: &str, value: Option<f64>, interval: Option<[f64; 2]>, write: fn(f64) -> String| {
        let value = value.map_or_else(|| "–".to_owned(), write);
        let range = range(interval, write);
        format!("<li><span>{}</span><b>{}</b><span>{}</span></li>", escape(name), escape(&value), escape(range.trim()))
    };
    let first = match metrics.apgr {
        Some(_) => tile("Gap recovered, two models (APGR)", metrics.apgr, intervals.apgr, three),
        None => tile("Saved at 95 % quality", metrics.save95, intervals.save95, percent),
    };
    let work = report.working_point;
    let working = format!(
        "<li><span>At its working point</span><b>{}</b><span>{} a thousand queries</span></li>",
        percent(work.quality),
        per_thousand(work.cost)
    );
    [
        "<ul class=\"tiles\">".to_owned(),
        tile("Hull gap recovered (HGR)", metrics.hgr, intervals.hgr, three),
        tile("Saved at 99 % quality", metrics.save99, intervals.save99, percent),
        first,
        tile("Calibration error (ECE)", metrics.ece, intervals.ece, three),
        working,
        "</ul>".to_owned(),
    ]
    .concat()
}

/// A figure with its heading, what it shows, its legend and its picture; instead of a picture, why there is none.
fn figure(heading: &str, caption: &str, drawn: Result<(String, String), &str>) -> String {
    let inside = match drawn {
        Ok((legend, picture)) => legend + &picture,
        Err(why) => format!("<p class=\"soft\">{}</p>", escape(why)),
    };
    format!("<figure><h3>{}</h3><figcaption>{}</figcaption>{inside}</figure>", escape(heading), escape(caption))
}

//! `waypost report`: the ledger in sums, as an aligned table or as JSON. It prints nothing itself and reads no clock.

use crate::store::{By, Figures, LedgerError, Percentiles, Reader, Report, Saving};
use std::fmt::Write;
use std::time::Duration;
use waypost_core::config::Storage;
use waypost_core::units::NanoUsd;

/// What `waypost report` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct ReportArgs {
    /// How far back, from now.
    pub since: Duration,
    /// What to group by.
    pub by: By,
    /// JSON instead of a table.
    pub json: bool,
}

/// The text for stdout, with its last newline. `now_unix_ms`: milliseconds since the Unix epoch.
///
/// # Errors
/// There is no ledger, or it cannot be read.
pub fn run(storage: &Storage, args: &ReportArgs, now_unix_ms: i64) -> Result<String, LedgerError> {
    let window_ms = i64::try_from(args.since.as_millis()).unwrap_or(i64::MAX);
    let report = Reader::open(storage)?.report(args.by, now_unix_ms.saturating_sub(window_ms))?;
    Ok(if args.json { json(&report) } else { table(&report, args.since) })
}

/// A length of time as in `--since`: numbers with the units `s`, `m`, `h`, `d` and `w`, as in `90m`, `1d12h`.
///
/// # Errors
/// A sentence for the user.
pub fn parse_since(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time: write 30m, 24h, 7d or 1d12h");
    let mut seconds = 0u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let mut units = rest[digits..].chars();
        let unit = match units.next().ok_or_else(wrong)? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        seconds = number.checked_mul(unit).and_then(|n| seconds.checked_add(n)).ok_or_else(wrong)?;
        rest = units.as_str();
    }
    if seconds == 0 { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// For machines: money as integer nano-US-dollars, shares 0 to 1, times in milliseconds.
pub fn json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report has string keys and no fallible part");
    text + "\n"
}

/// For people: what was done and paid, then how fast, then what routing saved.
pub fn table(report: &Report, since: Duration) -> String {
    let (window, by) = (duration(since), report.by.name());
    let total = &report.total;
    if total.requests == 0 {
        return format!("no requests in the last {window}\n");
    }
    let over = if report.by.over_attempts() { "attempts" } else { "requests" };
    let mut out =
        format!("last {window} by {by} (errors, fallbacks and times are over {over}; the total over requests)\n\n");
    let mut names: Vec<&str> = report.groups.iter().map(|g| g.name.as_deref().unwrap_or("(none)")).collect();
    names.push("total");
    let rows: Vec<(&str, &Figures)> =
        names.into_iter().zip(report.groups.iter().map(|g| &g.figures).chain([total])).collect();
    let work = [
        by,
        "requests",
        "attempts",
        "errors",
        "error %",
        "fallback %",
        "cancelled",
        "refused",
        "tokens in",
        "cached",
        "out",
        "reasoning",
        "cost $",
    ];
    align(&mut out, &work, rows.iter().map(|(name, f)| work_cells(name, f)).collect());
    out.push('\n');
    let speed = [by, "p50 ms", "p90", "p99", "first token p50 ms", "p90", "p99", "tokens/s", "estimated %"];
    align(&mut out, &speed, rows.iter().map(|(name, f)| speed_cells(name, f)).collect());
    out.push('\n');
    notes(&mut out, report);
    out
}

fn work_cells(name: &str, f: &Figures) -> Vec<String> {
    let counts = [f.requests, f.attempts, f.errors].map(|n| n.to_string());
    let tokens = [f.input_tokens, f.cache_read_tokens, f.output_tokens, f.reasoning_tokens].map(short);
    let mut cells = vec![visible(name)];
    cells.extend(counts);
    cells.extend([percent(f.error_rate), percent(f.fallback_share), f.cancelled.to_string(), f.refused.to_string()]);
    cells.extend(tokens);
    cells.push(dollars(f.cost_nano_usd));
    cells
}

fn speed_cells(name: &str, f: &Figures) -> Vec<String> {
    let three = |p: Option<Percentiles>| match p {
        Some(p) => [p.p50, p.p90, p.p99].map(|ms| format!("{ms:.0}")),
        None => ["-"; 3].map(str::to_owned),
    };
    let mut cells = vec![visible(name)];
    cells.extend(three(f.latency_ms));
    cells.extend(three(f.first_token_ms));
    cells.push(f.output_tokens_per_second.map_or_else(|| "-".to_owned(), |t| format!("{t:.1}")));
    cells.push(percent(f.estimated_share));
    cells
}

/// What the figures leave out, and the saving with the number of requests that it stands on.
fn notes(out: &mut String, report: &Report) {
    let total = &report.total;
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if report.by == By::Tag {
        line("A request counts in the group of each of its tags, so the groups do not add up to the total.".to_owned());
    }
    if total.unpriced_attempts > 0 {
        line(format!(
            "{} of {} attempts have no known price and are not in the cost.",
            total.unpriced_attempts, total.attempts
        ));
    }
    let saving: Saving = total.saving;
    if saving.requests == 0 {
        line("No saving can be stated: no request has both its cost and that of the best single model.".to_owned());
        return;
    }
    let (saved, baseline) = (saving.saved_nano_usd(), dollars(saving.baseline_nano_usd));
    let share = saving.share().map(|s| format!(" ({:.1} %)", s.abs() * 100.0)).unwrap_or_default();
    let verb = if saved < 0 { "cost more" } else { "saved" };
    line(format!(
        "Against sending everything to the best single model (${baseline}), routing {verb} ${}{share}, on the {} of {} \
         requests where both costs are known.",
        dollars(saved.saturating_abs()),
        saving.requests,
        total.requests,
    ));
}

/// Columns as wide as their widest cell: the first to the left, numbers to the right.
fn align(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<String> = head.iter().map(|&h| h.to_owned()).collect();
    for row in [head].iter().chain(&rows) {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {cell:>width$}");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Names come from clients (tags, stages): control characters must not reach the terminal.
fn visible(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |s| format!("{:.1}", s * 100.0))
}

/// Four decimals, more where the amount is smaller than that shows.
fn dollars(nano: i64) -> String {
    let exact = NanoUsd(nano);
    if nano.unsigned_abs() < 10_000_000 { exact.to_string() } else { format!("{:.4}", exact.usd()) }
}

/// Counts of tokens in at most six characters.
fn short(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..10_000_000 => format!("{:.1}k", n as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1}M", n as f64 / 1e6),
        _ => format!("{:.1}G", n as f64 / 1e9),
    }
}

fn duration(d: Duration) -> String {
    let seconds = d.as_secs();
    // A day is more usual as 24h.
    let units = [(86_400, 2, "d"), (3600, 1, "h"), (60, 1, "m")];
    match units.into_iter().find(|(unit, least, _)| seconds.is_multiple_of(*unit) && seconds >= unit * least) {
        Some((unit, _, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AttemptRecord, Ledger, LedgerOptions, RequestOutcome, RequestRecord};
    use waypost_core::profile::{Class, Task};
    use waypost_core::registry::Usage;
    use waypost_core::units::RequestId;

    const NOW: i64 = 1_795_132_800_000;

    fn attempt(model: &str, outcome: &'static str, cost: Option<i64>) -> AttemptRecord {
        let usage = Usage { input_tokens: 12_000, output_tokens: 100, cache_read_tokens: 2000, ..Usage::default() };
        AttemptRecord {
            model: model.into(),
            provider: "openai".into(),
            endpoint: model.into(),
            outcome,
            status: 200,
            start_us: 0,
            first_token_us: Some(200_000),
            duration_us: 1_000_000,
            usage,
            estimated: false,
            cost: cost.map(NanoUsd),
        }
    }

    fn request(n: u128, outcome: RequestOutcome, tag: &str, attempts: Vec<AttemptRecord>) -> RequestRecord {
        RequestRecord {
            id: RequestId(n),
            unix_ms: NOW - 1000,
            key: None,
            team: None,
            route: Some("support".into()),
            stage: None,
            level: "route",
            strategy: "cost",
            class: Class::Interactive,
            task: Task::Qa,
            estimated_input_tokens: 0,
            complexity: 0.0,
            stream: true,
            model: None,
            degraded: false,
            outcome,
            status: 200,
            code: None,
            reason: "cheapest".into(),
            duration_us: 1_100_000,
            cost: attempts.iter().filter_map(|a| a.cost).fold(NanoUsd::ZERO, |sum, c| sum + c),
            baseline_cost: (outcome == RequestOutcome::Ok).then_some(NanoUsd(40_000_000)),
            propensity: Some(1.0),
            tags: vec![("surface".into(), tag.into())],
            attempts,
            decision: None,
            lesson: None,
        }
    }

    /// A folder with a ledger of four requests: one plain, one after a fallback, one failed, one refused.
    fn ledger() -> (tempfile::TempDir, Storage) {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::Sqlite(dir.path().join("waypost.db"));
        let ledger = Ledger::open(&storage, LedgerOptions::default()).unwrap();
        let (small, large) = (attempt("small", "ok", Some(10_000_000)), attempt("large", "ok", Some(30_000_000)));
        let broken = attempt("small", "http_500", None);
        ledger.record(request(1, RequestOutcome::Ok, "web", vec![small]));
        ledger.record(request(2, RequestOutcome::Ok, "web", vec![attempt("small", "timeout", Some(5_000_000)), large]));
        ledger.record(request(3, RequestOutcome::Failed, "\u{1b}[31m", vec![broken]));
        ledger.record(request(4, RequestOutcome::Refused, "web", vec![]));
        drop(ledger);
        (dir, storage)
    }

    fn report(storage: &Storage, by: By, since: u64, json: bool) -> String {
        run(storage, &ReportArgs { since: Duration::from_secs(since), by, json }, NOW).unwrap()
    }

    #[test]
    fn the_table_is_aligned_and_says_what_it_stands_on() {
        let (_dir, storage) = ledger();
        let expected = "\
last 24h by model (errors, fallbacks and times are over attempts; the total over requests)

model  requests  attempts  errors  error %  fallback %  cancelled  refused  tokens in  cached  out  reasoning  cost $
large         1         1       0      0.0       100.0          0        0      12.0k    2000  100          0  0.0300
small         3         3       2     66.7         0.0          0        0      36.0k    6000  300          0  0.0150
total         4         4       1     33.3        33.3          0        1      48.0k    8000  400          0  0.0450

model  p50 ms   p90   p99  first token p50 ms  p90  p99  tokens/s  estimated %
large    1000  1000  1000                 200  200  200     100.0          0.0
small    1000  1000  1000                 200  200  200     100.0          0.0
total    1100  1100  1100                 200  200  200     100.0          0.0

1 of 4 attempts have no known price and are not in the cost.
Against sending everything to the best single model ($0.0800), routing saved $0.0350 (43.8 %), on the 2 of 4 requests \
where both costs are known.
";
        assert_eq!(report(&storage, By::Model, 86_400, false), expected);
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let (_dir, storage) = ledger();
        let text = report(&storage, By::Tag, 3600, false);
        assert!(!text.contains('\u{1b}') && text.contains("surface=\u{fffd}[31m"), "{text}");
        assert!(text.contains("do not add up"), "{text}");
    }

    #[test]
    fn json_carries_the_same_figures() {
        let (_dir, storage) = ledger();
        let value: serde_json::Value = serde_json::from_str(&report(&storage, By::Route, 3600, true)).unwrap();
        let group = &value["groups"][0];
        assert_eq!((&value["by"], &group["name"]), (&"route".into(), &"support".into()));
        assert_eq!((&group["requests"], &group["cost_nano_usd"]), (&4.into(), &45_000_000.into()));
        assert_eq!((&value["total"]["saving"]["requests"], &group["latency_ms"]["p50"]), (&2.into(), &1100.0.into()));
    }

    #[test]
    fn an_empty_window_says_so() {
        let (_dir, storage) = ledger();
        // The requests came one second ago.
        let now = NOW + 3_600_000;
        let args = ReportArgs { since: Duration::from_secs(1800), by: By::Key, json: false };
        assert_eq!(run(&storage, &args, now).unwrap(), "no requests in the last 30m\n");
    }

    #[test]
    fn lengths_of_time() {
        let hours = |h: u64| Some(Duration::from_secs(h * 3600));
        for (text, expected) in [
            ("24h", hours(24)),
            ("7d", hours(168)),
            ("1d12h", hours(36)),
            ("2w", hours(336)),
            ("30m", Some(Duration::from_secs(1800))),
            ("45s", Some(Duration::from_secs(45))),
            ("", None),
            ("24", None),
            ("h", None),
            ("0h", None),
            ("-1h", None),
            ("1é", None),
            ("99999999999999999w", None),
        ] {
            assert_eq!(parse_since(text).ok(), expected, "{text}");
        }
    }
}

//! Agreement with the reference evaluator, unrounded, on the synthetic cases that `tools/evaluate/reference.py` wrote.

use super::{no_intervals, read};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use waypost_learn::eval::{Predictions, evaluate, write_predictions};
use waypost_learn::outcome::Row;

#[derive(Deserialize)]
struct Line {
    id: String,
    scores: HashMap<String, f64>,
    costs: Option<HashMap<String, f64>>,
}

/// Reads what `write_predictions` writes.
fn predictions(rows: &[Row], text: &str) -> Predictions {
    let lines: Vec<Line> = text.lines().map(|l| serde_json::from_str(l).expect("a line of predictions")).collect();
    // Not the order of names: the evaluation must bring its own.
    let models: Vec<String> = rows[0].outcomes.keys().rev().cloned().collect();
    assert!(lines.iter().zip(rows).all(|(line, row)| line.id == row.id));
    let table = |of: &dyn Fn(&Line) -> &HashMap<String, f64>| -> Vec<Vec<f64>> {
        lines.iter().map(|line| models.iter().map(|m| of(line)[m]).collect()).collect()
    };
    let cost = lines[0].costs.is_some().then(|| table(&|line| line.costs.as_ref().expect("costs in every line")));
    Predictions { quality: table(&|line| &line.scores), cost, models }
}

struct Case {
    name: &'static str,
    rows: &'static str,
    predictions: &'static str,
    reference: &'static str,
    dev: Option<[&'static str; 2]>,
}

macro_rules! fixture {
    ($name:literal, $part:literal) => {
        include_str!(concat!("../../fixtures/eval/", $name, ".", $part))
    };
}

macro_rules! case {
    ($name:literal) => {
        case!($name, None)
    };
    ($name:literal with dev) => {
        case!($name, Some([fixture!($name, "dev.rows.jsonl"), fixture!($name, "dev.predictions.jsonl")]))
    };
    ($name:literal, $dev:expr) => {
        Case {
            name: $name,
            rows: fixture!($name, "rows.jsonl"),
            predictions: fixture!($name, "predictions.jsonl"),
            reference: fixture!($name, "reference.json"),
            dev: $dev,
        }
    };
}

const CASES: [Case; 10] = [
    case!("pair_ties"),
    case!("pair" with dev),
    case!("many" with dev),
    case!("predicted_costs"),
    case!("missing_cost"),
    case!("missing_some_cost"),
    case!("constant"),
    case!("dominated"),
    case!("noise"),
    case!("one_model"),
];

#[test]
fn figures_are_those_of_the_reference() {
    for case in CASES {
        let rows = read(case.name, case.rows);
        let made = predictions(&rows, case.predictions);
        let dev = case.dev.map(|[text, guesses]| {
            let rows = read("dev", text);
            let made = predictions(&rows, guesses);
            (rows, made)
        });
        let dev = dev.as_ref().map(|(rows, made)| (rows.as_slice(), made));
        let report = evaluate(&rows, &[made], dev, &no_intervals()).expect("a report");
        let reference: Value = serde_json::from_str(case.reference).expect("JSON");
        let mut compared = 0;
        for (name, ours) in report.metrics.named() {
            let said = format!("{}.{name}: {ours:?}, the reference {}", case.name, reference[name]);
            match (reference.get(name), ours) {
                // Equal predictions have no defined place in the reference's bins.
                (Some(Value::Null), Some(_)) if name == "ece" => {}
                (None | Some(Value::Null), None) => compared += 1,
                (Some(Value::Number(theirs)), Some(ours)) => {
                    assert!((theirs.as_f64().expect("f64") - ours).abs() < 1e-6, "{said}");
                    compared += 1;
                }
                _ => panic!("{said}"),
            }
        }
        assert!(compared >= 14, "{}: only {compared} figures compared", case.name);
        operating_points(case.name, &reference["operating_points"], &report.operating_points);
    }
}

fn operating_points(case: &str, reference: &Value, ours: &Option<waypost_learn::eval::OperatingPoints>) {
    assert_eq!(reference.is_null(), ours.is_none(), "{case}");
    let Some(ours) = ours else { return };
    for (name, point) in [("op95", ours.op95), ("op99", ours.op99), ("op100", ours.op100)] {
        for (at, ours) in [point.quality_ratio, point.saving].into_iter().enumerate() {
            // The reference rounds these to four digits.
            let theirs = reference[name][at].as_f64().expect("a number");
            assert!((theirs - ours.expect("a number")).abs() < 5.1e-5, "{case}.{name}[{at}]: {ours:?}, {theirs}");
        }
    }
}

#[test]
fn predictions_are_written_as_they_are_read() {
    for case in CASES {
        let rows = read(case.name, case.rows);
        let mut made = predictions(&rows, case.predictions);
        made.quality[0][0] = 0.1 + 0.2; // 0.30000000000000004: 17 digits
        let text = write_predictions(&rows, &made).expect("written");
        assert!(text.lines().next().is_some_and(|l| l.contains("0.30000000000000004")), "{text}");
        let mut again = predictions(&rows, &text);
        again.quality[0][0] = made.quality[0][0];
        assert_eq!(again, made, "{}", case.name);
    }
}

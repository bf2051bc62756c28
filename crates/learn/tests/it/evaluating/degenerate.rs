//! Input with little or nothing to say: null figures or a clear message, never a figure that is no number.

use super::{no_intervals, quick, synthetic};
use indexmap::IndexMap;
use proptest::prelude::*;
use waypost_learn::eval::{Predictions, Report, Settings, StrongWeak, evaluate, html};
use waypost_learn::outcome::{Outcome, Row};

fn row(id: usize, outcomes: &[(&str, f64, Option<f64>)]) -> Row {
    let outcome = |&(model, score, cost_usd): &(&str, f64, Option<f64>)| {
        (model.to_owned(), Outcome { score, input_tokens: None, output_tokens: None, cost_usd })
    };
    let outcomes: IndexMap<String, Outcome> = outcomes.iter().map(outcome).collect();
    Row { id: format!("q{id}"), source: String::new(), task: "t".to_owned(), prompt: "p".to_owned(), outcomes }
}

fn flat(models: &[&str], rows: usize) -> Predictions {
    let models: Vec<String> = models.iter().map(|m| (*m).to_owned()).collect();
    Predictions { quality: vec![vec![0.5; models.len()]; rows], models, cost: None }
}

/// Every number of a report is one.
fn sound(report: &Report) {
    let all = format!("{report:?}");
    assert!(!all.contains("NaN") && !all.contains("inf"), "{all}");
    serde_json::to_string(report).expect("JSON");
    super::page::well_formed(&html::page(report, "t", &[]));
}

fn judged(rows: &[Row], made: Predictions) -> Report {
    let report = evaluate(rows, &[made], None, &quick()).expect("a report");
    sound(&report);
    report
}

#[test]
fn one_model_has_a_quality_and_nothing_to_route() {
    let rows: Vec<Row> = (0..9).map(|i| row(i, &[("a", f64::from(i as u8 % 2), Some(0.01))])).collect();
    let metrics = judged(&rows, flat(&["a"], 9)).metrics;
    assert_eq!((metrics.apgr, metrics.hgr, metrics.aiq_log), (None, None, None));
    assert_eq!((metrics.maxq, metrics.save100), (Some(4.0 / 9.0), Some(0.0)));
}

#[test]
fn equal_scores_have_no_gap_but_a_cheapest_model() {
    let rows: Vec<Row> = (0..9).map(|i| row(i, &[("a", 0.5, Some(0.04)), ("b", 0.5, Some(0.01))])).collect();
    let metrics = judged(&rows, flat(&["a", "b"], 9)).metrics;
    assert_eq!((metrics.apgr, metrics.cpt50, metrics.cpt80, metrics.hgr), (None, None, None, None));
    // Of equals the cheaper one is the best single model, so nothing is saved beside it.
    assert_eq!((metrics.save100, metrics.perfgain, metrics.regret), (Some(0.0), Some(0.0), Some(0.0)));
}

#[test]
fn free_models_have_no_areas_and_no_savings() {
    let rows: Vec<Row> =
        (0..9).map(|i| row(i, &[("a", f64::from(i as u8 % 2), Some(0.0)), ("b", 1.0, None)])).collect();
    let metrics = judged(&rows, flat(&["a", "b"], 9)).metrics;
    assert_eq!((metrics.aiq, metrics.aiq_log, metrics.hgr, metrics.save95), (None, None, None, None));
    assert!(metrics.apgr.is_some_and(|a| (a - 0.5).abs() < 1e-12), "{metrics:?}");
}

#[test]
fn one_row_and_scores_of_nothing() {
    judged(&[row(0, &[("a", 1.0, Some(0.2)), ("b", 0.0, Some(0.1))])], flat(&["a", "b"], 1));
    let metrics = judged(&[row(0, &[("a", 0.0, Some(0.2)), ("b", 0.0, Some(0.1))])], flat(&["a", "b"], 1)).metrics;
    assert_eq!(metrics.perfgain, None);
}

#[test]
fn rows_with_gaps_are_left_out_and_counted() {
    let (a, b) = (("a", 1.0, Some(0.2)), ("b", 0.0, Some(0.1)));
    let rows = [row(0, &[a, b]), row(1, &[a]), row(2, &[b, a]), row(3, &[("c", 1.0, None)])];
    let report = judged(&rows, flat(&["a", "b"], 4));
    assert_eq!((report.rows, report.left_out), (2, 2));
    // A model that nobody predicted takes no part.
    assert_eq!(report.models, ["a", "b"]);
}

#[test]
fn what_cannot_be_judged_is_said() {
    let (a, b) = (("a", 1.0, Some(0.2)), ("b", 0.0, Some(0.1)));
    let (whole, gaps) = (vec![row(0, &[a, b])], vec![row(0, &[a]), row(1, &[b]), row(2, &[a])]);
    let two = || flat(&["a", "b"], 1);
    let with = |change: &dyn Fn(&mut Predictions)| {
        let mut made = two();
        change(&mut made);
        vec![made]
    };
    let cases: [(&[Row], Vec<Predictions>, &str); 12] = [
        (
            &gaps,
            vec![flat(&["a", "b"], 3)],
            "none of the 3 rows has an outcome of all 2 models; \"b\" answered 1 of them",
        ),
        (&[], vec![flat(&["a", "b"], 0)], "none of the 0 rows"),
        (&whole, vec![], "there are no predictions"),
        (&whole, vec![flat(&[], 1)], "name no model"),
        (&whole, vec![flat(&["a", "a"], 1)], "name the model \"a\" twice"),
        (&whole, vec![flat(&["a", "b"], 2)], "2 rows of predicted quality for 1 rows"),
        (&whole, with(&|p| p.quality[0].truncate(1)), "row \"q0\" has 1 predictions of quality, for 2 models"),
        (&whole, with(&|p| p.quality[0][1] = f64::NAN), "predicted quality of \"b\" for row \"q0\" is NaN"),
        (
            &whole,
            with(&|p| p.cost = Some(vec![vec![f64::INFINITY, 0.0]])),
            "predicted cost of \"a\" for row \"q0\" is inf",
        ),
        (&whole, with(&|p| p.cost = Some(Vec::new())), "0 rows of predicted cost for 1 rows"),
        (&whole, vec![two(), flat(&["a"], 1)], "say nothing of \"b\""),
        (&whole, vec![two(), flat(&["a", "b", "c"], 1)], "about 3 models, the first about 2"),
    ];
    for (rows, sets, said) in cases {
        let error = evaluate(rows, &sets, None, &no_intervals()).expect_err(said).to_string();
        assert!(error.contains(said), "{error}\nnot: {said}");
    }
    let aside =
        evaluate(&whole, &[two()], Some((&gaps, &flat(&["a", "b"], 3))), &no_intervals()).expect_err("gaps in dev");
    assert!(
        aside.to_string().starts_with("of the rows set aside to choose operating points on: none of the 3 rows"),
        "{aside}"
    );
    let pair = |strong: &str, weak: &str| {
        let pair = Some(StrongWeak { strong: strong.to_owned(), weak: weak.to_owned() });
        evaluate(&whole, &[two()], None, &Settings { pair, ..no_intervals() })
    };
    assert_eq!(pair("a", "b").expect("a report").metrics.apgr, Some(0.5));
    let said = pair("z", "b").expect_err("unknown").to_string();
    assert_eq!(said, "the pair names \"z\", of which nothing was predicted; the models are a, b");
    assert!(pair("b", "b").expect_err("one model").to_string().contains("name two"));
}

#[test]
fn without_any_prompt_length_is_no_control() {
    let (mut rows, made) = synthetic(3, 30, 2);
    for row in &mut rows {
        row.prompt.clear();
    }
    let length = |rows: &[Row]| {
        let report = evaluate(rows, std::slice::from_ref(&made), None, &quick()).expect("a report");
        sound(&report);
        report.controls.length.maxq
    };
    assert_eq!(length(&rows), None);
    for (row, tokens) in rows.iter_mut().zip(1..) {
        row.outcomes["m0"].input_tokens = Some(tokens);
    }
    assert!(length(&rows).is_some());
}

fn cell() -> impl Strategy<Value = Option<(u8, Option<u8>, u8)>> {
    prop_oneof![1 => Just(None), 9 => (0u8..3, prop::option::of(0u8..4), 0u8..4).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_rows_break_it(table in (1usize..5, 1usize..9).prop_flat_map(|(m, n)| prop::collection::vec(prop::collection::vec(cell(), m), n)), priced: bool) {
        let models: Vec<String> = (0..table[0].len()).map(|k| format!("m{k}")).collect();
        let cost = |c: u8| [0.0, 1e-9, 0.01, 40.0][usize::from(c)];
        let rows: Vec<Row> = table.iter().enumerate().map(|(i, cells)| {
            let known = models.iter().zip(cells).filter_map(|(m, cell)| cell.map(|(s, c, _)| (m.as_str(), f64::from(s) / 2.0, c.map(cost))));
            row(i, &known.collect::<Vec<_>>())
        }).collect();
        let guesses = |value: &dyn Fn(u8) -> f64| -> Vec<Vec<f64>> {
            table.iter().map(|cells| cells.iter().map(|c| value(c.map_or(0, |(_, _, g)| g))).collect()).collect()
        };
        let made = Predictions { quality: guesses(&|g| f64::from(g) / 3.0), cost: priced.then(|| guesses(&cost)), models };
        let settings = Settings { resamples: 9, ..Settings::default() };
        if let Ok(report) = evaluate(&rows, std::slice::from_ref(&made), Some((&rows, &made)), &settings) {
            sound(&report);
        }
    }
}

//! What must hold for any rows and predictions.

use super::{no_intervals, quick, synthetic};
use proptest::prelude::*;
use waypost_learn::eval::{Metrics, Predictions, Report, Settings, evaluate};
use waypost_learn::outcome::Row;
use waypost_learn::rng::Rng;

fn report(rows: &[Row], made: &Predictions) -> Report {
    evaluate(rows, std::slice::from_ref(made), None, &no_intervals()).expect("a report")
}

/// Whether all metrics but these are the same, to what rounding leaves.
fn same(a: &Metrics<Option<f64>>, b: &Metrics<Option<f64>>, but: &[&str]) -> Result<(), String> {
    for ((name, a), (_, b)) in a.named().into_iter().zip(b.named()) {
        let near = match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        if !near && !but.contains(&name) {
            return Err(format!("{name}: {a:?} and {b:?}"));
        }
    }
    Ok(())
}

/// Predictions that say for every row the models' true means.
fn means(rows: &[Row], models: &[String]) -> Predictions {
    let mean = |m: &String| rows.iter().map(|r| r.outcomes[m].score).sum::<f64>() / rows.len() as f64;
    let row: Vec<f64> = models.iter().map(mean).collect();
    Predictions { models: models.to_vec(), quality: vec![row; rows.len()], cost: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_rows_and_models_changes_nothing(seed in 0u64..1_000, rows in 5usize..60, models in 2usize..6) {
        let (data, made) = synthetic(seed, rows, models);
        let mut order: Vec<usize> = (0..rows).collect();
        Rng::new(seed).shuffle(&mut order);
        let shuffled: Vec<Row> = order.iter().map(|&i| data[i].clone()).collect();
        let mut columns: Vec<usize> = (0..models).collect();
        Rng::new(seed + 1).shuffle(&mut columns);
        let turned = Predictions {
            models: columns.iter().map(|&k| made.models[k].clone()).collect(),
            quality: order.iter().map(|&i| columns.iter().map(|&k| made.quality[i][k]).collect()).collect(),
            cost: None,
        };
        let (a, b) = (report(&data, &made), report(&shuffled, &turned));
        same(&a.metrics, &b.metrics, &[]).map_err(TestCaseError::fail)?;
        for ((_, a), (_, b)) in a.controls.named().into_iter().zip(b.controls.named()) {
            same(a, b, &[]).map_err(TestCaseError::fail)?;
        }
        prop_assert_eq!(a.models, b.models);
        prop_assert_eq!(a.per_task.keys().collect::<Vec<_>>(), b.per_task.keys().collect::<Vec<_>>());
    }

    #[test]
    fn rows_that_stand_twice_count_like_rows_that_stand_once(seed in 0u64..1_000, rows in 5usize..40, models in 1usize..5) {
        let (data, made) = synthetic(seed, rows, models);
        let twice: Vec<Row> = data.iter().chain(&data).cloned().collect();
        let quality = made.quality.iter().chain(&made.quality).cloned().collect();
        let doubled = Predictions { quality, ..made.clone() };
        // Bins of twice as many pairs are cut elsewhere.
        same(&report(&data, &made).metrics, &report(&twice, &doubled).metrics, &["ece"]).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn nothing_beats_the_oracle(seed in 0u64..1_000, rows in 5usize..80, models in 2usize..6) {
        let (data, made) = synthetic(seed, rows, models);
        let report = report(&data, &made);
        let oracle = report.controls.oracle;
        prop_assert!(oracle.regret.expect("regret").abs() < 1e-12);
        for (name, arm) in report.controls.named().into_iter().chain([("router", &report.metrics)]) {
            prop_assert!(arm.maxq <= oracle.maxq, "{} {:?} {:?}", name, arm.maxq, oracle.maxq);
            prop_assert!(arm.regret >= Some(-1e-12));
            // The oracle's curve is drawn at 241 rates: between two of them another may cut a corner of it.
            prop_assert!(arm.aiq <= oracle.aiq.map(|a| a + 0.005), "{} {:?} {:?}", name, arm.aiq, oracle.aiq);
            prop_assert!(arm.hgr.is_none_or(|h| h <= 1.05), "{} {:?}", name, arm.hgr);
            prop_assert!(arm.apgr <= oracle.apgr, "{} {:?} {:?}", name, arm.apgr, oracle.apgr);
        }
        for arm in [report.controls.random, report.controls.best_single] {
            prop_assert!(arm.hgr.is_none_or(|h| h <= 1e-9), "beats static mixing: {:?}", arm.hgr);
        }
        prop_assert!(report.controls.best_single.perfgain.expect("a gain").abs() < 1e-12);
        for budget in &report.figures.budgets {
            // What the oracle cannot pay, nobody can.
            let best = budget.oracle.map_or(-1.0, |q| q + 0.01);
            for quality in [budget.router.map(|r| r.value), budget.mixing, budget.random, budget.length] {
                prop_assert!(quality.is_none_or(|q| q <= best), "{:?}", budget);
            }
        }
    }

    #[test]
    fn knowing_only_the_means_is_static_mixing(seed in 0u64..1_000, rows in 5usize..80, models in 2usize..6) {
        let (data, made) = synthetic(seed, rows, models);
        let report = report(&data, &means(&data, &made.models));
        prop_assert!(report.metrics.hgr.is_none_or(|h| h.abs() < 1e-6), "{:?}", report.metrics.hgr);
        prop_assert!(report.controls.mixing.hgr.is_none_or(|h| h.abs() < 1e-12));
        same(&report.metrics, &report.controls.mixing, &["ece"]).map_err(TestCaseError::fail)?;
        prop_assert_eq!(report.metrics.save95.is_some(), report.metrics.static95.is_some());
        if let (Some(a), Some(b)) = (report.metrics.save95, report.metrics.static95) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn chance_recovers_half_of_the_gap(seed in 0u64..1_000, rows in 20usize..80) {
        let (data, made) = synthetic(seed, rows, 2);
        let report = report(&data, &made);
        for arm in [report.controls.random, report.controls.mixing] {
            let of = [arm.apgr, arm.cpt50, arm.cpt80];
            let near = of.iter().zip([0.5, 0.5, 0.8]).all(|(a, b)| a.is_some_and(|a| (a - b).abs() < 1e-9));
            prop_assert!(near || report.metrics.apgr.is_none(), "{:?}", of);
        }
        prop_assert_eq!(report.controls.best_single.apgr, None);
        prop_assert_eq!(report.pair, Some(["m1".to_owned(), "m0".to_owned()]).filter(|_| report.metrics.apgr > Some(0.0)));
    }

    #[test]
    fn a_router_that_knows_the_outcomes_is_the_oracle(seed in 0u64..1_000, rows in 5usize..60, models in 2usize..5) {
        let (data, made) = synthetic(seed, rows, models);
        let truth = |value: &dyn Fn(&Row, &String) -> f64| -> Vec<Vec<f64>> {
            data.iter().map(|row| made.models.iter().map(|m| value(row, m)).collect()).collect()
        };
        let known = Predictions {
            models: made.models.clone(),
            quality: truth(&|row, m| row.outcomes[m].score),
            cost: Some(truth(&|row, m| row.outcomes[m].cost_usd.unwrap_or(0.0))),
        };
        let report = report(&data, &known);
        same(&report.metrics, &report.controls.oracle, &["ece"]).map_err(TestCaseError::fail)?;
        prop_assert!(report.metrics.ece.expect("calibration") < 1e-12);
    }
}

#[test]
fn intervals_hold_their_figure_and_depend_on_the_seed_alone() {
    let (data, made) = synthetic(11, 400, 2);
    let with = |threads, seed| {
        let settings = Settings { resamples: 200, threads, seed, pair: None };
        evaluate(&data, std::slice::from_ref(&made), None, &settings).expect("a report")
    };
    let one = with(1, 7);
    assert_eq!(one, with(3, 7));
    let other = with(1, 8);
    assert_eq!(one.metrics, other.metrics);
    assert_ne!(one.intervals, other.intervals);
    for name in ["apgr", "cpt50", "hgr", "aiq", "aiq_log", "save95", "maxq", "perfgain", "regret"] {
        let value = one.metrics.named().into_iter().find(|(n, _)| *n == name).and_then(|(_, v)| *v);
        let interval = one.intervals.named().into_iter().find(|(n, _)| *n == name).and_then(|(_, v)| *v);
        let (Some(value), Some([low, high])) = (value, interval) else { panic!("{name} is not known") };
        assert!(low <= value && value <= high && low < high, "{name}: {value} in {low}..{high}");
    }
    let chance = one.control_intervals.random.apgr.expect("chance has an APGR");
    assert!(chance.iter().all(|x| (x - 0.5).abs() < 1e-9), "{chance:?}");
}

#[test]
fn length_is_worth_what_it_hints_at() {
    // Longer prompts are harder here, so the strong model helps most there; turned around, least.
    let (mut rows, made) = synthetic(9, 400, 2);
    let apgr = |rows: &[Row]| report(rows, &made).controls.length.apgr.expect("APGR");
    let hinting = apgr(&rows);
    for row in &mut rows {
        row.prompt = "x".repeat(200 - row.prompt.len());
    }
    let misleading = apgr(&rows);
    assert!(hinting > 0.52 && misleading < 0.48, "{hinting} {misleading}");
    assert!((hinting + misleading - 1.0).abs() < 1e-9);
}

#[test]
fn the_parts_add_up() {
    let (data, made) = synthetic(5, 90, 4);
    let report = evaluate(&data, &[made.clone(), made.clone()], Some((&data, &made)), &quick()).expect("a report");
    assert_eq!(report.per_task.values().map(|t| t.rows).sum::<usize>(), report.rows);
    assert!(report.figures.mix.iter().all(|m| (m.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9));
    assert!(report.figures.mix.windows(2).all(|w| w[0].cost <= w[1].cost));
    assert_eq!(report.figures.reliability.iter().map(|b| b.pairs).sum::<f64>(), 360.0);
    assert!((report.per_model.values().map(|m| m.share).sum::<f64>() - 1.0).abs() < 1e-9);
    let weighted: f64 = report.per_task.values().map(|t| t.router.quality * t.rows as f64).sum::<f64>() / 90.0;
    assert!((weighted - report.working_point.quality).abs() < 1e-9);
    let spread = report.spread.expect("two trainings").hgr.expect("HGR");
    assert_eq!((spread.trainings, spread.sd, Some(spread.mean)), (2, 0.0, report.metrics.hgr));
    // Chosen and judged on the same rows, 100 % is kept where the router reaches it at all.
    let kept = report.operating_points.expect("dev rows").op100.quality_ratio.expect("a ratio");
    let reached = 1.0 + report.metrics.perfgain.expect("a gain");
    assert!(kept >= reached.min(1.0) - 1e-12, "{kept} of {reached}");
}

#[test]
fn spread_is_over_all_sets_and_a_threshold_splits_two_models() {
    let (data, made) = synthetic(21, 120, 2);
    let (_, other) = synthetic(22, 120, 2);
    let report =
        evaluate(&data, &[made.clone(), other.clone()], Some((&data, &made)), &no_intervals()).expect("a report");
    let alone = |made: &Predictions| self::report(&data, made).metrics.apgr.expect("APGR");
    let (a, b) = (alone(&made), alone(&other));
    let spread = report.spread.expect("two trainings").apgr.expect("APGR");
    assert!((spread.mean - (a + b) / 2.0).abs() < 1e-12 && (spread.sd - (a - b).abs() / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!((spread.min, spread.max), (a.min(b), a.max(b)));
    let points = report.operating_points.expect("dev rows");
    let shares = [points.op95, points.op99, points.op100].map(|p| p.threshold.expect("two models").strong_share);
    assert!(shares[0] <= shares[1] && shares[1] <= shares[2] && shares[2] <= 1.0, "{shares:?}");
    assert!(points.op95.threshold.expect("two models").quality_ratio >= Some(0.95));
}

//! What predicted quality, a classifier's word and exploration change about a decision.

use super::*;
use std::collections::BTreeMap;

/// A cheap and a dear model that are equal by configuration, and one that no predictor knows.
fn world() -> World {
    World::of(
        "models:
  cheap:  { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.8, math: 0.3 } }
  dear:   { endpoints: [{ provider: p }], price: { input: 9, output: 9 }, quality: { default: 0.8 } }
  other:  { endpoints: [{ provider: p }], price: { input: 5, output: 5 }, quality: { default: 0.4 } }
surfaces: { floor: { min_quality: 0.6 } }
stages: { own: { model: dear }, owned: { model: dear, min_quality: 0.5 } }
routes:
  value:    { strategy: value, lambda: 20 }
  quality:  { strategy: quality }
  balanced: { strategy: balanced }
  cost:     { strategy: cost }
  floored:  { strategy: cost, min_quality: 0.6 }
  latency:  { strategy: latency }
  split:    { strategy: weighted, split: { cheap: 1, dear: 3 } }
  score:    { strategy: score, score: \"quality\" }
  asks:     { strategy: quality, predictor: { classifier: cheap, confidence: 0.6 } }
",
    )
}

fn predicted(quality: f32, half: f32) -> Option<Predicted> {
    Some(Predicted { quality, low: quality - half, high: quality + half, prior: 0.7, output_tokens: None })
}

/// `cheap` and `dear` as predicted.
fn of(cheap: Option<Predicted>, dear: Option<Predicted>) -> World {
    let mut w = world();
    (w.predicted[0], w.predicted[1]) = (cheap, dear);
    w
}

#[test]
fn a_prediction_goes_before_the_configured_figure_and_unknown_models_keep_theirs() {
    let easy = of(predicted(0.9, 0.02), predicted(0.92, 0.02));
    let hard = of(predicted(0.2, 0.02), predicted(0.85, 0.02));
    for (route, expected_easy, expected_hard) in [
        ("value", "cheap dear other", "dear other cheap"),
        ("quality", "dear cheap other", "dear other cheap"),
        ("score", "dear cheap other", "dear other cheap"),
    ] {
        // λ 20: the dear one costs a cent more than the cheap one, a fifth of a point.
        assert_eq!(easy.names(&easy.decide(&ask(route))).join(" "), expected_easy, "{route}, easy");
        assert_eq!(hard.names(&hard.decide(&ask(route))).join(" "), expected_hard, "{route}, hard");
    }
    let d = hard.decide(&ask("value"));
    assert_eq!(d.reason, "route value: best value of 3 candidates, quality predicted, 0 excluded");
    assert_eq!(d.candidates[1].estimate.predicted, None);
    assert_eq!(d.candidates[1].estimate.quality, Some(0.4));
}

#[test]
fn a_predicted_quality_is_not_bent_by_the_complexity_as_well() {
    let w = of(predicted(0.5, 0.02), predicted(0.8, 0.02));
    let score = |complexity: f32, model: &str| {
        let d = w.decide(&asked("balanced", |r| r.profile.complexity = complexity));
        d.candidates.iter().find(|c| c.model == w.model(model)).map(|c| c.score).unwrap()
    };
    assert_eq!(score(0.4, "dear"), score(0.9, "dear"));
    assert_eq!(score(0.4, "cheap"), score(0.9, "cheap"));
    // What is only configured bends as before.
    assert!(score(0.4, "other") > score(0.9, "other") + 0.1);
}

#[test]
fn floors_hold_on_predicted_quality() {
    let w = of(predicted(0.5, 0.1), predicted(0.7, 0.1));
    assert_eq!(w.shown(&ask("floored")), "route cost: dear | cheap:quality_floor other:quality_floor");
    let hinted = asked("cost", |r| r.hints.min_quality = Some(0.65));
    assert_eq!(w.shown(&hinted), "route cost: dear | cheap:quality_floor other:quality_floor");
    let w = of(predicted(0.5, 0.1), predicted(0.3, 0.1));
    assert_eq!(w.shown(&ask("floored")).split(" ! ").last(), Some("ConstraintViolated"));
    // Where configuration would let it pass.
    assert_eq!(world().shown(&ask("floored")), "route cost: cheap dear | other:quality_floor");
}

#[test]
fn it_is_asked_only_where_quality_decides() {
    let w = of(predicted(0.5, 0.1), predicted(0.7, 0.1));
    let calls = |r: &Request| {
        let before = w.predictor_calls.get();
        w.decide(r);
        w.predictor_calls.get() - before
    };
    for (model, asks) in [
        ("value", true),
        ("quality", true),
        ("balanced", true),
        ("score", true),
        ("floored", true),
        ("auto", true),
        ("stage/owned", true),
        ("cost", false),
        ("latency", false),
        ("split", false),
        ("stage/own", false),
        ("cheap", false),
    ] {
        assert_eq!(calls(&ask(model)) > 0, asks, "{model}");
    }
    assert!(calls(&asked("cost", |r| r.hints.min_quality = Some(0.1))) > 0);
    assert_eq!(calls(&asked("value", |r| r.profile.embeddings = true)), 0);
}

#[test]
fn predicted_lengths_cost_and_the_operators_figure_goes_first() {
    let mut w = of(predicted(0.5, 0.1), predicted(0.5, 0.1));
    w.predicted[0].as_mut().unwrap().output_tokens = Some(2000.4);
    let cost = |w: &World, r: &Request| {
        let d = w.decide(r);
        d.candidates
            .iter()
            .find(|c| c.model == w.model("cheap"))
            .map(|c| (c.estimate.output_tokens, c.estimate.cost))
            .unwrap()
    };
    assert_eq!(cost(&w, &ask("quality")), (2000, Some(NanoUsd(3_000_000))));
    assert_eq!(cost(&w, &asked("quality", |r| r.profile.max_output_tokens = Some(50))).0, 50);
    // Nobody asked for quality: the task's figure.
    assert_eq!(cost(&w, &ask("cost")).0, 300);
}

#[test]
fn confidence_is_how_sure_the_first_is_better_than_the_second() {
    let value = |w: &World, route| w.decide(&ask(route)).confidence.map(|c| (c.value, c.of));
    let sure = of(predicted(0.9, 0.02), predicted(0.5, 0.02));
    let unsure = of(predicted(0.71, 0.2), predicted(0.7, 0.2));
    assert!(matches!(value(&sure, "quality"), Some((c, Judge::Predictor)) if c > 0.999));
    assert!(matches!(value(&unsure, "quality"), Some((c, Judge::Predictor)) if c < 0.1));
    // Costs decide where qualities do not: their difference is certain.
    assert!(matches!(value(&unsure, "value"), Some((c, Judge::Predictor)) if c > 0.6));
    // One standard deviation of the difference: 68 %.
    let one = 1.96 * 0.1 / f32::sqrt(2.0);
    let w = of(predicted(0.8, one), predicted(0.7, one));
    assert!(
        matches!(value(&w, "quality"), Some((c, Judge::Predictor)) if (c - 0.6827).abs() < 1e-3),
        "{:?}",
        value(&w, "quality")
    );
    // Without predictions the rules' confidence in the task; nothing where nothing hangs on it.
    let rules = asked("quality", |r| r.profile.confidence = 0.4);
    assert_eq!(world().decide(&rules).confidence, Some(Confidence { value: 0.4, of: Judge::Rules }));
    for nothing in ["cost", "latency", "split", "cheap", "stage/own"] {
        assert_eq!(value(&sure, nothing), None, "{nothing}");
    }
}

#[test]
fn a_classifier_is_asked_below_the_threshold_and_never_twice() {
    let who = |w: &World, r: &Request| w.decide(r).classifier(&w.config);
    let cheap = Some(ModelIx(0));
    let at = |confidence| asked("asks", move |r| r.profile.confidence = confidence);
    assert_eq!(who(&world(), &at(0.59)), cheap);
    assert_eq!(who(&world(), &at(0.61)), None);
    assert_eq!(who(&world(), &asked("quality", |r| r.profile.confidence = 0.1)), None);
    let unsure = of(predicted(0.71, 0.2), predicted(0.7, 0.2));
    assert_eq!(who(&unsure, &at(1.0)), cheap);
    assert_eq!(who(&of(predicted(0.9, 0.02), predicted(0.5, 0.02)), &at(0.0)), None);
    let told = asked("asks", |r| (r.profile.classified, r.profile.confidence) = (true, 0.0));
    assert_eq!(who(&unsure, &told), None);
}

#[test]
fn a_classifiers_word_counts_as_far_as_the_predictor_is_unsure() {
    let quality = |half: f32, complexity: f32| {
        let w = of(predicted(0.5, half), predicted(0.5, half));
        let told = asked("quality", |r| (r.profile.classified, r.profile.complexity) = (true, complexity));
        let d = w.decide(&told);
        assert_eq!(d.confidence.map(|c| c.of), Some(Judge::Classifier));
        let dear = d.candidates.iter().find(|c| c.model == w.model("dear")).unwrap();
        assert_eq!(dear.estimate.quality, Some(0.5), "floors keep to what was predicted");
        dear.estimate.quality_or_prior()
    };
    assert!(quality(0.4, 0.1) > quality(0.4, 0.9) + 0.2);
    assert!(quality(0.02, 0.1) < quality(0.02, 0.9) + 0.02);
    // Alone: a hard request costs the weak model more.
    let told =
        |complexity| asked("quality", move |r| (r.profile.classified, r.profile.complexity) = (true, complexity));
    let gap = |complexity| {
        let d = world().decide(&told(complexity));
        d.candidates[0].score - d.candidates[2].score
    };
    assert!(gap(0.4) > gap(0.05));
}

/// A route over three models, of which one breaks its floor.
fn exploring(policy: &str) -> World {
    World::of(&format!(
        "models:
  a: {{ endpoints: [{{ provider: p }}], price: {{ input: 1, output: 1 }}, quality: {{ default: 0.9 }} }}
  b: {{ endpoints: [{{ provider: p }}], price: {{ input: 2, output: 2 }}, quality: {{ default: 0.8 }} }}
  c: {{ endpoints: [{{ provider: p }}], price: {{ input: 3, output: 3 }}, quality: {{ default: 0.7 }} }}
  weak: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 0 }}, quality: {{ default: 0.1 }} }}
  tired: {{ endpoints: [{{ provider: p }}], price: {{ input: 1, output: 1 }}, quality: {{ default: 0.9 }}, status: degraded }}
routes: {{ r: {{ min_quality: 0.5, {policy} }} }}
"
    ))
}

/// How often each model goes first, by what propensities; over so many seeds.
fn firsts(w: &World, seeds: u64) -> BTreeMap<String, (u64, Vec<f64>)> {
    let mut firsts: BTreeMap<String, (u64, Vec<f64>)> = BTreeMap::new();
    for seed in 0..seeds {
        let r = asked("r", |r| r.seed = seed * 7919 + 13);
        let d = w.decide(&r);
        assert_eq!(
            d.candidates.len(),
            4 - usize::from(w.config.routes[0].policy.candidates.len() == 3),
            "nobody is lost"
        );
        let again = w.decide(&r);
        assert_eq!(
            (again.candidates, again.propensity, again.explored),
            (d.candidates.clone(), d.propensity, d.explored)
        );
        let first = firsts.entry(w.names(&d)[0].to_owned()).or_default();
        first.0 += 1;
        let p = d.propensity.unwrap();
        if !first.1.contains(&p) {
            first.1.push(p);
        }
    }
    firsts
}

#[test]
fn exploration_has_its_share_and_says_its_propensity() {
    const SEEDS: u64 = 30_000;
    let w = exploring("strategy: cost, predictor: { epsilon: 0.3 }");
    let firsts = firsts(&w, SEEDS);
    // Never the weak one, which breaks the floor, nor the tired one, which is out of full service.
    assert_eq!(firsts.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    for (model, expected) in [("a", 0.7 + 0.1), ("b", 0.1), ("c", 0.1)] {
        let (count, propensities) = &firsts[model];
        let share = *count as f64 / SEEDS as f64;
        let deviation = (expected * (1.0 - expected) / SEEDS as f64).sqrt();
        assert!((share - expected).abs() < 4.0 * deviation, "{model}: {share}, not {expected}");
        assert!(propensities.len() == 1 && (propensities[0] - expected).abs() < 1e-12, "{model}: {propensities:?}");
    }
    let drawn = (0..99).map(|seed| w.decide(&asked("r", |r| r.seed = seed))).find(|d| d.explored).unwrap();
    assert_eq!(drawn.reason, "route r: drawn to explore of 4 candidates, 1 excluded");
}

#[test]
fn without_exploration_nothing_is_left_to_chance_but_a_loose_split() {
    let certain = firsts(&exploring("strategy: cost"), 50);
    assert_eq!(certain.into_iter().collect::<Vec<_>>(), [("a".to_owned(), (50, vec![1.0]))]);
    let split = exploring("strategy: weighted, split: { a: 1, b: 2, c: 1 }");
    let loose = firsts(&split, 500);
    assert_eq!(loose.values().map(|(_, p)| p.clone()).collect::<Vec<_>>(), [vec![0.25], vec![0.5], vec![0.25]]);
    let sticky = split.decide(&asked("r", |r| r.hints.session = Some("s".into())));
    assert_eq!(sticky.propensity, Some(1.0));
    assert_eq!(split.decide(&ask("a")).propensity, None);
}

#[test]
fn a_clamped_budget_and_a_rate_limit_leave_no_room_to_explore() {
    let mut w = exploring("strategy: quality, predictor: { epsilon: 1.0 }");
    w.gated = Gated { clamp: true, ..Gated::default() };
    for seed in 0..50 {
        let d = w.decide(&asked("r", |r| r.seed = seed));
        assert_eq!((w.names(&d)[0], d.explored, d.propensity), ("a", false, Some(1.0)));
    }
    w.gated = Gated::default();
    w.limit("b", Duration::from_secs(5));
    let first = |seed| w.names(&w.decide(&asked("r", |r| r.seed = seed)))[0].to_owned();
    assert!((0..200).map(first).all(|name| name == "a" || name == "c"));
}

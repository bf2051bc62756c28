//! The learned predictor in the request path: a model file that the test trains, requests that read easy or hard, and
//! what the gateway makes of both; damaged files; the classifier; reloads.

use crate::harness::{Gateway, ask, chain};
use crate::upstream::{Script, Upstream};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::OnceLock;
use waypost::app::App;
use waypost_core::config;
use waypost_learn::outcome::{Outcome, Row};
use waypost_learn::predictor::Predictor;
use waypost_learn::train::{Options, Sample, train};

const EASY: &str = "What colour is the sky on a clear day? Answer in one word, please.";
pub(crate) const HARD: &str =
    "Prove that every continuous function on a compact interval attains its maximum, and derive the theorem.";

/// A predictor of models `a` and `b`: `b` is always good, `a` only where nothing is to be proved.
pub(crate) fn predictor() -> &'static Predictor {
    static TRAINED: OnceLock<Predictor> = OnceLock::new();
    TRAINED.get_or_init(|| trained("a", "b"))
}

fn trained(weak: &str, strong: &str) -> Predictor {
    let things = ["sky", "sea", "grass", "snow", "coal", "milk", "rose", "lemon", "sand", "night", "fire", "rust"];
    let fields =
        ["function", "group", "matrix", "sequence", "graph", "measure", "ring", "polynomial", "manifold", "set"];
    let row = |i: usize| {
        let hard = i.is_multiple_of(2);
        let (thing, field) = (things[i % things.len()], fields[i % fields.len()]);
        let prompt = match hard {
            true => format!(
                "Prove that every continuous {field} on a compact interval {i} attains it, and derive the theorem."
            ),
            false => format!("What colour is the {thing} on a clear day {i}? Answer in one word, please."),
        };
        let outcome = |score: f64, output_tokens| Outcome {
            score,
            input_tokens: Some(20),
            output_tokens: Some(output_tokens),
            cost_usd: None,
        };
        // A few surprises, and nobody is perfect: nothing is certain.
        let surprise = if i % 17 == 3 { 0.4 } else { 0.0 };
        let of_weak = if hard { 0.1 + surprise } else { 0.8 - surprise };
        let tokens = if hard { 800 } else { 4 };
        let outcomes =
            [(weak.to_owned(), outcome(of_weak, tokens)), (strong.to_owned(), outcome(0.8 - surprise, tokens))];
        Row {
            id: i.to_string(),
            source: String::new(),
            task: String::new(),
            prompt,
            outcomes: outcomes.into_iter().collect(),
        }
    };
    let samples: Vec<Sample> = (0..400).map(|i| Sample::of(row(i), None)).collect();
    let options = Options { threads: 2, resamples: 20, ..Options::default() };
    train(&samples, options, &|_| {}).expect("there is enough to learn from").predictor
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn of(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "system", "content": "You prove theorems about compact intervals."},
        {"role": "user", "content": "Prove something hard first."}, {"role": "assistant", "content": "Done."},
        {"role": "user", "content": text}]})
}

async fn explained(gateway: &Gateway, model: &str, text: &str) -> Value {
    let reply = gateway.admin("/v1/route", &of(model, text)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_predictor_decides_by_the_last_turn_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "routing.wpm", &predictor().write());
    let (a, b, c) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let more = format!(
        "  value: {{ strategy: value, lambda: 500, candidates: [a, b] }}
  quality: {{ strategy: quality, candidates: [a, b] }}
  floored: {{ strategy: cost, min_quality: 0.6, candidates: [a, b] }}
  plain: {{ strategy: value, lambda: 500, candidates: [a, b], predictor: {{ model: none }} }}
  all: {{ strategy: quality }}
predictor: {{ model: '{path}' }}
"
    );
    let gateway = Gateway::start(&chain(&[&a, &b, &c], &more));
    for (model, easy, hard) in [("value", "a", "b"), ("floored", "a", "b"), ("plain", "a", "a"), ("r", "a", "a")] {
        let reply = gateway.post(&of(model, EASY)).await;
        assert_eq!(reply.model(), easy, "{model}: {}", explained(&gateway, model, EASY).await["candidates"]);
        let reply = gateway.post(&of(model, HARD)).await;
        assert_eq!(reply.model(), hard, "{model}: {}", explained(&gateway, model, HARD).await["candidates"]);
        let record = gateway.record(&reply.id()).await;
        assert_eq!(
            record.reason.contains("quality predicted"),
            matches!(model, "value" | "floored"),
            "{}",
            record.reason
        );
        assert_eq!(record.propensity, Some(1.0));
    }

    let shown = explained(&gateway, "value", HARD).await;
    let [first, second] = [&shown["candidates"][0], &shown["candidates"][1]];
    assert_eq!((&first["model"], &second["model"]), (&json!("b"), &json!("a")));
    let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("no number in {shown}"));
    for candidate in [first, second] {
        let p = &candidate["predicted"];
        assert!(number(&p["low"]) <= number(&p["quality"]) && number(&p["quality"]) <= number(&p["high"]), "{p}");
        assert_eq!((&candidate["quality"], &candidate["quality_from"]), (&p["quality"], &json!("predicted")));
        let parts = ["base", "labels", "linear", "words", "trees"].map(|part| number(&p["moved"][part]));
        let sum: f64 = parts.iter().sum();
        assert!((sum.clamp(0.0, 1.0) - number(&p["quality"])).abs() < 0.02, "the parts make the whole: {p}");
        // Half of the rows were hard, and those had long answers.
        assert!((number(&p["prior"]) - 0.6).abs() < 0.25 && number(&p["output_tokens"]) > 100.0, "{p}");
    }
    assert!(number(&second["quality"]) < 0.4 && number(&first["quality"]) > 0.6, "{shown}");
    assert_eq!(shown["confidence"]["of"], "predictor");
    assert!(number(&shown["confidence"]["value"]) > 0.5, "{shown}");

    // A model that the predictor does not know keeps its figure; a request without text has no prediction.
    let shown = explained(&gateway, "all", EASY).await;
    let c = shown["candidates"].as_array().unwrap().iter().find(|c| c["model"] == "c").unwrap();
    assert!(c["predicted"].is_null() && c["quality_from"] == "unknown", "{c}");
    let shown = explained(&gateway, "value", " ").await;
    assert!(shown["candidates"][0]["predicted"].is_null(), "{shown}");
    assert!(explained(&gateway, "a", EASY).await["candidates"][0]["predicted"].is_null(), "a pin is not judged");
}

/// What `Snapshot::build` says of a configuration.
fn build(yaml: &str) -> Result<waypost::snapshot::Snapshot, String> {
    let parsed = config::parse(yaml, &|_| None, waypost::reload::today()).unwrap();
    waypost::snapshot::Snapshot::build(parsed.config, None).map_err(|errors| errors.join("\n"))
}

fn yaml(rest: &str) -> String {
    format!(
        "providers: {{ sim: {{ dialect: simulated }} }}\nmodels:\n  a: {{ endpoints: [{{ provider: sim }}] }}\n  b: {{ endpoints: [{{ provider: sim }}] }}\n{rest}"
    )
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_with_its_key_its_line_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let good = predictor().write();
    let mut altered = good.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 0x10;
    let mut newer = good.clone();
    newer[8] = newer[8].wrapping_add(7);
    for (name, bytes, expected) in [
        ("cut.wpm", &good[..good.len() - 9], "cut short"),
        ("altered.wpm", &altered[..], "checksum"),
        ("newer.wpm", &newer[..], "waypost train"),
        ("text.wpm", b"models: {}", "no Waypost model file"),
        ("empty.wpm", b"", "no Waypost model file"),
    ] {
        let path = file(&folder, name, bytes);
        let wrong = build(&yaml(&format!("routes:\n  r: {{ predictor: {{ model: '{path}' }} }}\n"))).unwrap_err();
        for part in [expected, name, "line 6: routes.r.predictor.model: "] {
            assert!(wrong.contains(part), "{name}: {part}: {wrong}");
        }
    }
    let wrong = build(&yaml("predictor: { model: nowhere.wpm }\n")).unwrap_err();
    assert!(wrong.contains("line 5: predictor.model: cannot read `nowhere.wpm`") && wrong.contains("train"), "{wrong}");
}

#[test]
fn models_that_only_one_side_knows_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = |predictor: &Predictor, name: &str| {
        let path = file(&folder, name, &predictor.write());
        let snapshot = build(&yaml(&format!("predictor: {{ model: '{path}' }}\n"))).unwrap();
        snapshot.predictors.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(warnings(predictor(), "good.wpm").is_empty());
    let one = warnings(&trained("a", "stranger"), "one.wpm");
    assert!(one.len() == 1 && one[0].starts_with("5: predictor.model: ") && one[0].contains("stranger"), "{one:?}");
    let none = warnings(&trained("x", "y"), "none.wpm");
    assert!(none.len() == 1 && none[0].contains("nothing is predicted"), "{none:?}");
}

#[tokio::test]
async fn a_reload_swaps_the_predictor_and_a_damaged_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "routing.wpm", &predictor().write());
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let more = format!("  value: {{ strategy: value, lambda: 500, predictor: {{ model: '{path}' }} }}\n");
    let text = format!("server: {{ listen: '127.0.0.1:0' }}\nstorage: memory\n{}", chain(&[&a, &b], &more));
    let config = folder.path().join("waypost.yaml");
    std::fs::write(&config, &text).unwrap();
    let parsed = config::parse(&text, &|_| None, waypost::reload::today()).unwrap();
    let gateway = Gateway { handle: App::start(parsed.config, Some(config)).unwrap() };
    let answers = async |gateway: &Gateway| gateway.post(&of("value", HARD)).await.model().to_owned();
    assert_eq!(answers(&gateway).await, "b");

    std::fs::write(Path::new(&path), b"half a fi").unwrap();
    let refused = gateway.admin("/admin/reload", &json!({})).await;
    assert!(refused.text().contains("predictor.model"), "{}", refused.text());
    assert_eq!(answers(&gateway).await, "b");

    // Trained the other way round: now `a` is the strong one, and cheap.
    std::fs::write(Path::new(&path), trained("b", "a").write()).unwrap();
    let taken = gateway.admin("/admin/reload", &json!({})).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(answers(&gateway).await, "a");
}

const VERDICT: &str = r#"{"task": "math", "difficulty": 0.9}"#;

/// Models `a` (good at mathematics) and `b` (good at the rest), a classifier `c`; the rules are never sure enough.
async fn classifying(answer: Script, more: &str) -> (Gateway, Upstream) {
    let (a, b, c) = (Upstream::start().await, Upstream::start().await, Upstream::always(answer).await);
    let yaml = chain(
        &[&a, &b, &c],
        &format!(
            "  best: {{ strategy: quality, candidates: [a, b], predictor: {{ classifier: c, confidence: 1.0 }} }}
  sure: {{ strategy: quality, candidates: [a, b], predictor: {{ classifier: c, confidence: 0.0 }} }}
{more}"
        ),
    );
    let yaml = yaml
        .replace(
            "price: { input: 1, output: 1 }",
            "price: { input: 1, output: 1 }, quality: { default: 0.2, math: 0.9 }",
        )
        .replace(
            "price: { input: 2, output: 2 }",
            "price: { input: 2, output: 2 }, quality: { default: 0.8, math: 0.3 }",
        );
    (Gateway::start(&yaml), c)
}

#[tokio::test]
async fn the_classifier_is_asked_below_the_threshold_once_a_kind_and_its_call_is_spend() {
    let (gateway, classifier) = classifying(Script::says(VERDICT), "").await;
    assert_eq!(gateway.post(&ask("sure")).await.model(), "b");
    assert_eq!(gateway.post(&ask("a")).await.model(), "a");
    assert_eq!(classifier.count(), 0);

    let reply = gateway.post(&ask("best")).await;
    assert_eq!(reply.model(), "a", "{}", reply.text());
    let asked = classifier.only().json();
    assert!(asked["messages"][1]["content"].as_str().unwrap().contains("Say hello to the people."), "{asked}");
    assert_eq!((&asked["model"], &asked["max_tokens"]), (&json!("up-c"), &json!(200)));
    let record = gateway.record(&reply.id()).await;
    let attempts: Vec<_> = record.attempts.iter().map(|a| (&*a.model, &*a.outcome, a.cost_nano_usd)).collect();
    // 120 tokens at three and at one dollar a million.
    assert_eq!(attempts, [("c", "classified", Some(360_000)), ("a", "ok", Some(120_000))]);
    assert_eq!((record.cost_nano_usd, record.model.as_deref(), &*record.task), (480_000, Some("a"), "math"));
    assert!(record.reason.contains("difficulty by the classifier"), "{}", record.reason);
    assert_eq!(record.decision.unwrap()["profile"]["classified"], true);

    // The same kind of prompt is not asked about again.
    assert_eq!(gateway.post(&ask("best")).await.model(), "a");
    assert_eq!(classifier.count(), 1);
}

#[tokio::test]
async fn a_classifier_that_fails_changes_nothing_and_is_named() {
    let bad = [Script::error(500, "broken"), Script::says("I would say math."), Script::json(200, "{")];
    for (i, script) in bad.into_iter().enumerate() {
        let (gateway, classifier) = classifying(script, "").await;
        let reply = gateway.post(&ask("best")).await;
        assert_eq!((reply.status.as_u16(), reply.model()), (200, "b"), "{i}: {}", reply.text());
        assert_eq!(classifier.count(), 1, "{i}: one call and no more");
        let record = gateway.record(&reply.id()).await;
        assert_eq!(record.attempts[0].outcome, "not_classified", "{i}");
        assert!(
            record.reason.contains("classifier failed") || record.reason.contains("its answer"),
            "{}",
            record.reason
        );
        assert_eq!(reply.attempts(), 1, "the classifier is no attempt to answer");
    }
}

#[tokio::test]
async fn a_classifier_is_not_asked_where_no_limit_has_room_for_it() {
    let more = "gate: { models: { c: { usd_per_day: 0.000001 } } }\n";
    let (gateway, classifier) = classifying(Script::says(VERDICT), more).await;
    let reply = gateway.post(&ask("best")).await;
    assert_eq!((reply.status.as_u16(), reply.model()), (200, "b"), "{}", reply.text());
    assert_eq!(classifier.count(), 0);
    let record = gateway.record(&reply.id()).await;
    assert_eq!(record.attempts.len(), 1);
    assert!(record.reason.ends_with("no room in the limits for the classifier"), "{}", record.reason);
}

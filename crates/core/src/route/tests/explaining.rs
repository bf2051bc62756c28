//! The explanation: exactly the fields of INTERFACE.md and the additions listed here, saying what the decision says.

use super::*;
use crate::registry::Capabilities;
use serde_json::{Value, json};

fn world() -> World {
    World::of(
        "models:
  gpt-4o-mini: { endpoints: [{ provider: p }, { provider: q }] }
  strong: { endpoints: [{ provider: q }], price: { input: 3, output: 15 }, quality: { default: 0.9 }, context_window: 200000 }
  waste:  { endpoints: [{ provider: q }], price: { input: 30, output: 150 }, quality: { default: 0.85 }, latency: { first_token_ms: 9000 } }
  small:  { endpoints: [{ provider: p }], context_window: 1100 }
  silent: { endpoints: [{ provider: p }], status: offline }
stages: { draft: {} }
routes:
  support: { strategy: cost, candidates: [gpt-4o-mini, strong, waste, small, silent] }
  own:     { strategy: score, score: \"1.0 / cost_usd\", candidates: [strong, silent], emergency: [small] }
  exact:   { strategy: cost, candidates: [strong], no_fallback: true }
",
    )
}

fn explained(w: &World, r: &Request) -> (Decision, Value) {
    let d = w.decide(r);
    let json = serde_json::to_value(explain(&w.config, &r.profile, &d)).unwrap();
    (d, json)
}

fn keys(json: &Value) -> Vec<&str> {
    json.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn it_has_the_fields_of_the_interface() {
    let w = world();
    let r = asked("support", |r| {
        r.hints.stage = Some("draft".into());
        r.profile.needs = Capabilities::VISION.with(Capabilities::STRUCTURED_OUTPUT);
        (r.profile.task, r.profile.tools, r.profile.sensitive) = (Task::Qa, 2, true);
        r.profile.input_tokens = 812;
    });
    let (_, json) = explained(&w, &r);
    assert_eq!(
        keys(&json),
        ["level", "route", "stage", "strategy", "reason", "profile", "propensity", "candidates", "excluded"]
    );
    let profile = json!({"input_tokens": 812, "expected_output_tokens": 300, "task": "qa", "confidence": 0.0, "complexity": 0.4,
        "modalities": ["text", "image"], "messages": 1, "tools": 2, "structured_output": true, "stream": false,
        "sensitive": true, "class": "interactive"});
    assert_eq!(json["profile"], profile);
    for (field, value) in [("level", "route"), ("route", "support"), ("stage", "draft"), ("strategy", "cost")] {
        assert_eq!(json[field], value, "{field}");
    }
    assert_eq!(json["reason"], "route support: cheapest of 3 candidates, 2 excluded");
    // 812 tokens at $0.15 and 300 at $0.60 a million.
    let first = json!({"model": "gpt-4o-mini", "provider": "p", "cost_usd": 0.000_301_8, "latency_ms": 4700.0, "quality": 0.7, "score": 1.0,
        "input_tokens": 812, "output_tokens": 300, "pareto": true, "quality_is_prior": true, "quality_from": "prior"});
    assert_eq!(json["candidates"][0], first);
    assert_eq!(keys(&json["candidates"][1])[..6], ["model", "provider", "cost_usd", "latency_ms", "quality", "score"]);
    assert_eq!((&json["candidates"][1]["pareto"], &json["candidates"][2]["pareto"]), (&json!(true), &json!(false)));
    let excluded = json!([
        {"model": "small", "reason": "context_window", "detail": "needs 1,300 tokens (1,000 in, 300 reserved for the answer), has 1,100"},
        {"model": "silent", "reason": "offline", "detail": "`status: offline` in the configuration"}
    ]);
    assert_eq!(json["excluded"], excluded);
}

#[test]
fn it_agrees_with_the_decision() {
    let mut w = world();
    for model in ["auto", "support", "own", "exact", "strong", "q/strong", "q/new", "small", "nonsense", "stage/draft"]
    {
        for long in [false, true] {
            let r = asked(model, |r| r.profile.input_tokens = if long { 190_000 } else { 1000 });
            let (d, json) = explained(&w, &r);
            assert_eq!(json["level"], d.level.name());
            assert_eq!(json["route"].as_str(), d.route.map(|i| &*w.config.routes[i].name));
            assert_eq!(json["stage"].as_str(), d.stage.map(|i| &*w.config.stages[i].name));
            assert_eq!(
                (json["strategy"].as_str(), json["reason"].as_str()),
                (Some(d.strategy), Some(d.reason.as_str()))
            );
            assert_eq!(json["no_fallback"] == true, d.no_fallback);
            let candidates = json["candidates"].as_array().expect("a list");
            assert_eq!(candidates.len(), d.candidates.len());
            for (json, c) in candidates.iter().zip(&d.candidates) {
                assert_eq!(json["model"], *w.config.registry.model(c.model).name);
                assert_eq!(json["cost_usd"].as_f64(), c.estimate.cost.map(NanoUsd::usd));
                assert_eq!(json["upstream_name"].as_str(), c.upstream_name().map(|n| &**n));
                assert_eq!(json["degraded"] == true, c.degraded);
                assert!((json["score"].as_f64().expect("a score") - c.score).abs() < 1e-6);
            }
            let excluded = json["excluded"].as_array().expect("a list");
            assert_eq!(excluded.len(), d.excluded.len());
            for (json, e) in excluded.iter().zip(&d.excluded) {
                assert_eq!(keys(json), ["model", "reason", "detail"]);
                assert_eq!(
                    (json["reason"].as_str(), json["detail"].as_str()),
                    (Some(e.reason.name()), Some(&*e.reason.to_string()))
                );
            }
        }
        w.open("strong", None);
    }
}

#[test]
fn a_provider_that_was_named_is_the_one_shown() {
    let w = world();
    for (model, provider) in [("gpt-4o-mini", "p"), ("q/gpt-4o-mini", "q"), ("q/new", "q")] {
        assert_eq!(explained(&w, &ask(model)).1["candidates"][0]["provider"], provider, "{model}");
    }
}

#[test]
fn scores_that_no_number_can_show_are_null() {
    let w = World::of(
        "models: { known: { endpoints: [{ provider: p }], price: { input: 1, output: 1 } }, not: { endpoints: [{ provider: p }] } }
routes: { r: { strategy: score, score: \"1e300 / cost_usd\" } }",
    );
    let (_, json) = explained(&w, &ask("r"));
    assert!(json["candidates"][0]["score"].as_f64().is_some_and(|s| s > 1e300), "{json}");
    assert_eq!(json["candidates"][1]["score"], Value::Null);
    assert_eq!(json["candidates"][1]["cost_usd"], Value::Null);
}

//! What orders the candidates that are left.

use super::*;
use std::collections::BTreeMap;

/// Score of each candidate by name.
fn scores<'a>(w: &'a World, r: &Request) -> BTreeMap<&'a str, f64> {
    let d = w.decide(r);
    d.candidates.iter().map(|c| (&*w.config.registry.model(c.model).name, c.score)).collect()
}

fn order(w: &World, r: &Request) -> String {
    w.names(&w.decide(r)).join(" ")
}

#[test]
fn cost_counts_input_output_and_choices() {
    let mut w = World::of(
        "models:
  unknown: { endpoints: [{ provider: p }] }
  in:   { endpoints: [{ provider: p }], price: { input: 5, output: 1 } }
  out:  { endpoints: [{ provider: p }], price: { input: 1, output: 9 } }
  same: { endpoints: [{ provider: p }], price: { input: 5, output: 1 } }
routes:
  r: { strategy: cost }
  listed: { strategy: cost, candidates: [same, out, in] }
  long: { strategy: cost, expected_output_tokens: 3000 }
",
    );
    // in: 5000 + 300, out: 1000 + 2700. The unknown one is last, equal ones keep their order.
    assert_eq!(order(&w, &ask("r")), "out in same unknown");
    assert_eq!(order(&w, &ask("listed")), "out same in");
    // Two choices: 5000 + 600, 1000 + 5400.
    assert_eq!(order(&w, &asked("r", |r| r.profile.n = 2)), "in same out unknown");
    // Longer answers: 5000 + 3000, 1000 + 27000.
    assert_eq!(order(&w, &ask("long")), "in same out unknown");
    // The request's own cap bounds what is expected.
    assert_eq!(order(&w, &asked("long", |r| r.profile.max_output_tokens = Some(100))), "out in same unknown");
    w.output = 1000.0;
    assert_eq!(order(&w, &ask("r")), "in same out unknown");
    // Input counts as each model counts it.
    w.output = 300.0;
    w.factors[2] = 4.0;
    assert_eq!(order(&w, &ask("r")), "in same out unknown");
    let d = w.decide(&ask("r"));
    assert_eq!(d.candidates[0].estimate.cost, Some(NanoUsd(5_300_000)));
    assert_eq!(d.reason, "route r: cheapest of 4 candidates, 0 excluded");
}

#[test]
fn a_cold_model_has_the_latency_of_its_prior_and_a_queue_adds_to_it() {
    let mut w = World::of(
        "models:
  cold:  { endpoints: [{ provider: p }] }
  quick: { endpoints: [{ provider: p }, { provider: q }], latency: { first_token_ms: 400, per_token_ms: 10 } }
  slow:  { endpoints: [{ provider: p }], latency: { first_token_ms: 4000, per_token_ms: 20 } }
routes: { r: { strategy: latency } }
",
    );
    let latency = |w: &World, name: &str| {
        let d = w.decide(&ask("r"));
        d.candidates.iter().find(|c| c.model == w.model(name)).expect("a candidate").estimate.latency_ms
    };
    assert_eq!(order(&w, &ask("r")), "quick cold slow");
    assert_eq!(latency(&w, "cold"), 500.0 + 300.0 * 14.0);
    assert_eq!(latency(&w, "quick"), 400.0 + 300.0 * 10.0);
    // Measured, the cold one turns out to be the fastest.
    w.each("cold", |v| (v.first_token_us, v.per_token_us) = (100_000.0, 5_000.0));
    assert_eq!(order(&w, &ask("r")), "cold quick slow");
    // A queue at one endpoint leaves the other; at both it counts.
    let endpoint = w.config.registry.model(w.model("quick")).endpoints[0];
    w.views[usize::from(endpoint.0)].in_flight = 1000;
    assert_eq!(latency(&w, "quick"), 3400.0);
    w.each("quick", |v| v.in_flight = 1000);
    assert!(latency(&w, "quick") > 4000.0);
    // The quickest endpoint does not count while it is out of service or limited.
    w.each("quick", |v| v.in_flight = 0);
    let view = &mut w.views[usize::from(endpoint.0)];
    (view.first_token_us, view.admits) = (1.0, false);
    assert_eq!(latency(&w, "quick"), 3400.0);
    let view = &mut w.views[usize::from(endpoint.0)];
    (view.admits, view.rate_limited_until) = (true, Some(NOW.instant + Duration::from_secs(1)));
    assert_eq!(latency(&w, "quick"), 3400.0);
}

#[test]
fn quality_is_that_of_the_task() {
    let w = World::of(
        "models:
  all:   { endpoints: [{ provider: p }], quality: { default: 0.8 } }
  coder: { endpoints: [{ provider: p }], quality: { default: 0.6, code: 0.95, math: 0.8 } }
  none:  { endpoints: [{ provider: p }] }
routes: { r: { strategy: quality } }
",
    );
    // An unknown quality counts as a medium model's: 0.70.
    for (task, expected) in
        [(Task::Chat, "all none coder"), (Task::Code, "coder all none"), (Task::Math, "all coder none")]
    {
        assert_eq!(order(&w, &asked("r", |r| r.profile.task = task)), expected, "{task:?}");
    }
}

#[test]
fn balanced_gives_equals_the_same_score_above_zero() {
    let model = |i| {
        format!(
            "  m{i}: {{ endpoints: [{{ provider: p }}], price: {{ input: 1, output: 1 }}, quality: {{ default: 0.6 }} }}\n"
        )
    };
    let w = World::of(&format!("models:\n{}", (0..5).map(model).collect::<String>()));
    let all = scores(&w, &ask("auto"));
    assert!(all.values().all(|s| *s == all["m0"] && *s > 0.5), "{all:?}");
    assert_eq!(order(&w, &ask("auto")), "m0 m1 m2 m3 m4");
    // Nothing known at all: still equal, still above zero.
    let w = World::of("models: { a: { endpoints: [{ provider: p }] }, b: { endpoints: [{ provider: p }] } }");
    let all = scores(&w, &ask("auto"));
    assert!(all["a"] == all["b"] && all["a"] > 0.0, "{all:?}");
}

/// Whatever the figures, each term stays within its weight, and a score within 0 and 1.
#[test]
fn no_term_of_balanced_swamps_another() {
    let mut w = World::of(
        "models:
  base: { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.6 } }
  odd:  { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.6 } }
  free: { endpoints: [{ provider: p }], price: { input: 0, output: 0 }, quality: { default: 0.6 }, status: offline }
",
    );
    let equal = scores(&w, &ask("auto"))["odd"];
    // A thousand seconds takes off no more than the weight of latency, a fifth; a hopeless model no more than two.
    w.each("odd", |v| v.first_token_us = 1e9);
    let slow = scores(&w, &ask("auto"))["odd"];
    assert!(slow < equal && slow >= equal - 0.2001, "{slow} {equal}");
    w.config.registry.models[1].price = Some(Price { input: 1_000_000_000_000_000, output: 0, ..Price::default() });
    let dear = scores(&w, &ask("auto"))["odd"];
    assert!(dear < slow && dear >= slow - 0.4001, "{dear} {slow}");
    // One who is free does not make the others infinitely dear.
    w.config.registry.models[2].status = crate::registry::Status::Active;
    let all = scores(&w, &ask("auto"));
    assert!(all["free"] > all["base"] && all["base"] > 0.6, "{all:?}");
    assert!(all.values().all(|s| (0.0..=1.0).contains(s)), "{all:?}");
}

#[test]
fn balanced_follows_its_weights() {
    let w = World::of(
        "models:
  cheap: { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.5 }, latency: { first_token_ms: 900, per_token_ms: 20 } }
  fast:  { endpoints: [{ provider: p }], price: { input: 4, output: 4 }, quality: { default: 0.6 }, latency: { first_token_ms: 50, per_token_ms: 1 } }
  good:  { endpoints: [{ provider: p }], price: { input: 9, output: 9 }, quality: { default: 0.95 }, latency: { first_token_ms: 900, per_token_ms: 20 } }
  coder: { endpoints: [{ provider: p }], price: { input: 9, output: 9 }, quality: { default: 0.6 }, tags: [code], latency: { first_token_ms: 900, per_token_ms: 20 } }
routes:
  c: { weights: { cost: 1 } }
  l: { weights: { latency: 5 } }
  q: { weights: { quality: 0.1 } }
  t: { weights: { capability: 1 } }
",
    );
    for (route, first) in [("c", "cheap"), ("l", "fast"), ("q", "good"), ("t", "coder")] {
        let d = w.decide(&asked(route, |r| r.profile.task = Task::Code));
        assert_eq!(w.names(&d)[0], first, "{route}");
        assert_eq!(d.candidates[0].score, 1.0, "{route}: the weights need not sum to 1");
    }
    // Fit is that of the task: for chat nobody fits better.
    assert_eq!(order(&w, &ask("t")), "cheap fast good coder");
}

/// Default weights and the catalogue's own figures: what a sensible operator expects of `auto`.
#[test]
fn auto_sends_easy_requests_to_cheap_models_and_hard_ones_to_strong_models() {
    let yaml = |latencies: [&str; 3]| {
        let [mini, mid, top] = latencies.map(|l| format!("{{ endpoints: [{{ provider: p }}], latency: {l} }}"));
        format!("models: {{ gpt-4o-mini: {mini}, gpt-4.1: {mid}, claude-opus-4-5: {top} }}")
    };
    let cold = World::of(&yaml(["{}"; 3]));
    let warm = World::of(&yaml([
        "{ first_token_ms: 400, per_token_ms: 9 }",
        "{ first_token_ms: 600, per_token_ms: 12 }",
        "{ first_token_ms: 1200, per_token_ms: 18 }",
    ]));
    let of = |complexity| asked("auto", |r| r.profile.complexity = complexity);
    for w in [&cold, &warm] {
        let known = |m: &crate::registry::Model| m.price.is_some() && m.quality.prior;
        assert!(w.config.registry.model_ixs().all(|m| known(w.config.registry.model(m))));
        for easy in [0.0, 0.1, 0.2, 0.34, 0.5] {
            assert_eq!(w.names(&w.decide(&of(easy)))[0], "gpt-4o-mini", "{easy}");
        }
        for hard in [0.72, 0.8, 0.9, 1.0] {
            assert_eq!(w.names(&w.decide(&of(hard)))[0], "claude-opus-4-5", "{hard}");
        }
    }
    // Where a frontier model costs about as much as a large one, it takes over earlier, and the large one never answers.
    let w = World::of(
        "models: { gpt-4o-mini: { endpoints: [{ provider: p }] }, gpt-4.1: { endpoints: [{ provider: p }] }, gpt-5.1: { endpoints: [{ provider: p }] } }",
    );
    for (complexity, first) in [(0.1, "gpt-4o-mini"), (0.3, "gpt-4o-mini"), (0.6, "gpt-5.1"), (0.9, "gpt-5.1")] {
        assert_eq!(w.names(&w.decide(&of(complexity)))[0], first, "{complexity}");
    }
}

#[test]
fn value_trades_quality_against_money_at_lambda() {
    let w = World::of(
        "models:
  top:   { endpoints: [{ provider: p }], price: { input: 10, output: 0 }, quality: { default: 0.9 } }
  mid:   { endpoints: [{ provider: p }], price: { input: 2, output: 0 }, quality: { default: 0.8 } }
  low:   { endpoints: [{ provider: p }], price: { input: 0.1, output: 0 }, quality: { default: 0.5, math: 0.85 } }
  dark:  { endpoints: [{ provider: p }], quality: { default: 0.79 } }
routes:
  free:   { strategy: value, lambda: 0 }
  usual:  { strategy: value, lambda: 20 }
  dear:   { strategy: value, lambda: 1000 }
  budget: { strategy: value, budget_usd_per_request: 0.005 }
  rich:   { strategy: value, budget_usd_per_request: 1 }
  poor:   { strategy: value, budget_usd_per_request: 0.00001 }
  floor:  { strategy: value, lambda: 1000, min_quality: 0.7 }
  poorf:  { strategy: value, budget_usd_per_request: 0.00001, min_quality: 0.7 }
",
    );
    // `dark` has no price: it counts as the dearest.
    for (route, expected) in [
        ("free", "top mid dark low"),
        ("usual", "mid top dark low"),
        ("dear", "low mid top dark"),
        ("budget", "mid top dark low"),
        ("rich", "top mid dark low"),
        ("poor", "low mid top dark"),
        // No price of money breaks a floor.
        ("floor", "mid top dark"),
        ("poorf", "mid top dark"),
    ] {
        let got = order(&w, &ask(route));
        assert_eq!(got.split(' ').next(), expected.split(' ').next(), "{route}: {got}");
        assert_eq!(got.contains("low"), expected.contains("low"), "{route}: {got}");
        if !["budget", "poor", "poorf"].contains(&route) {
            assert_eq!(got, expected, "{route}");
        }
    }
    // The task's own quality counts.
    assert!(order(&w, &asked("usual", |r| r.profile.task = Task::Math)).starts_with("low"));
    let top = scores(&w, &ask("usual"))["top"];
    assert!((top - (0.9 - 20.0 * 0.01)).abs() < 1e-6, "{top}");
}

/// First choices of `n` requests that differ as `change` says.
fn shares(w: &World, n: u64, change: impl Fn(&mut Request, u64)) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    for i in 0..n {
        let r = asked("split", |r| change(r, i));
        *seen.entry(w.names(&w.decide(&r))[0].to_owned()).or_default() += 1;
    }
    seen
}

fn split(shares: &str, rest: &str) -> World {
    World::of(&format!(
        "models:
  a: {{ endpoints: [{{ provider: p }}], quality: {{ default: 0.9 }} }}
  b: {{ endpoints: [{{ provider: p }}], quality: {{ default: 0.9 }} }}
  c: {{ endpoints: [{{ provider: p }}], quality: {{ default: 0.2 }} }}
routes: {{ split: {{ strategy: weighted, split: {{ {shares} }} {rest} }} }}
keys: [{{ id: one, secret: s1 }}, {{ id: two, secret: s2 }}]
"
    ))
}

#[test]
fn a_split_has_its_shares_and_sticks_to_the_session() {
    const N: u64 = 20_000;
    for (weights, expected) in [
        ("a: 70, b: 20, c: 10", [0.7, 0.2, 0.1]),
        ("a: 1, b: 1, c: 1", [1.0 / 3.0; 3]),
        ("a: 0.0002, b: 0.0001, c: 0.0001", [0.5, 0.25, 0.25]),
        ("a: 1000000, b: 0, c: 1000000", [0.5, 0.0, 0.5]),
    ] {
        let w = split(weights, "");
        let session = |r: &mut Request, i: u64| {
            (r.hints.session, r.seed) = (Some(format!("session-{i}")), i * 31);
        };
        let seen = shares(&w, N, session);
        for (model, expected) in ["a", "b", "c"].iter().zip(expected) {
            let share = seen.get(*model).copied().unwrap_or_default() as f64 / N as f64;
            assert!((share - expected).abs() < 0.03, "{weights}: {model} {share}");
        }
        // Without a session or a key the seed decides, in the same shares.
        let by_seed = shares(&w, N, |r, i| r.seed = i);
        for (model, expected) in ["a", "b", "c"].iter().zip(expected) {
            let share = by_seed.get(*model).copied().unwrap_or_default() as f64 / N as f64;
            assert!((share - expected).abs() < 0.03, "{weights} by seed: {model} {share}");
        }
    }
    let w = split("a: 1, b: 1, c: 1", "");
    for i in 0..50u64 {
        let of = |seed, key| {
            let session = Some(format!("conversation {i}"));
            order(&w, &asked("split", |r| (r.hints.session, r.seed, r.key) = (session, seed, key)))
        };
        assert_eq!(of(1, None), of(2, Some("one")), "the session outranks the key and the seed");
    }
    // The key, where there is no session: one model for each, whatever the seed.
    for key in ["one", "two"] {
        assert_eq!(shares(&w, 50, |r, i| (r.key, r.seed) = (Some(key), i)).len(), 1);
    }
}

#[test]
fn a_model_that_drops_out_moves_only_its_own_sessions() {
    let mut w = split("a: 3, b: 2, c: 2", "");
    let of = |w: &World, i: u64| order(w, &asked("split", |r| r.hints.session = Some(format!("s{i}"))));
    let before: Vec<String> = (0..2000).map(|i| of(&w, i)).collect();
    w.open("b", None);
    let mut moved = 0;
    for (i, before) in before.iter().enumerate() {
        let after = of(&w, i as u64);
        // Where it was first, the second goes first: the order of the others stays.
        let rest: Vec<&str> = before.split(' ').filter(|m| *m != "b").collect();
        assert_eq!(after, rest.join(" "));
        moved += u32::from(before.starts_with('b'));
    }
    assert!((400..750).contains(&moved), "{moved}");
}

#[test]
fn a_split_keeps_floors_and_leaves_who_has_no_share_for_the_end() {
    let w = split("a: 1, b: 1, c: 98", ", min_quality: 0.5");
    let seen = shares(&w, 500, |r, i| r.seed = i);
    assert!(seen.len() == 2 && !seen.contains_key("c"), "{seen:?}");
    let w = split("c: 1", ", candidates: [a, b, c]");
    assert_eq!(order(&w, &ask("split")), "c a b");
}

#[test]
fn score_is_the_operators_own_expression() {
    let w = World::of(
        "models:
  a: { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.6 }, tags: [local] }
  b: { endpoints: [{ provider: p }, { provider: q }], price: { input: 5, output: 5 }, quality: { default: 0.9 } }
  c: { endpoints: [{ provider: p }], quality: { default: 0.8 } }
routes:
  r:        { strategy: score, score: \"quality - 10.0 * cost_usd\" }
  tagged:   { strategy: score, score: \"'local' in tags ? 2 : 1\" }
  endpoint: { strategy: score, score: \"provider_count\" }
  request:  { strategy: score, score: \"request.complexity > 0.6 ? quality : -latency_ms\" }
  named:    { strategy: score, score: \"model == 'c' ? 1.0 : 0.0\" }
  tokens:   { strategy: score, score: \"double(input_tokens + output_tokens)\" }
  broken:   { strategy: score, score: \"no.such.thing\" }
",
    );
    // `c` has no cost: its expression fails, and it goes last.
    for (route, complexity, expected) in [
        ("r", 0.4, "b a c"),
        ("tagged", 0.4, "a b c"),
        ("endpoint", 0.4, "b a c"),
        ("request", 0.4, "a b c"),
        ("request", 0.7, "b c a"),
        ("named", 0.4, "c a b"),
        ("tokens", 0.4, "a b c"),
        // Where it fails for all, the order of the file.
        ("broken", 0.4, "a b c"),
    ] {
        assert_eq!(order(&w, &asked(route, |r| r.profile.complexity = complexity)), expected, "{route}");
    }
    assert_eq!(scores(&w, &ask("tokens"))["a"], 1300.0);
    assert_eq!(scores(&w, &ask("r"))["c"], f64::MIN);
}

#[test]
fn a_tasks_own_model_goes_first_where_the_constraints_leave_it() {
    let mut w = World::of(
        "models:
  cheap: { endpoints: [{ provider: p }], price: { input: 1, output: 1 } }
  mid:   { endpoints: [{ provider: p }], price: { input: 2, output: 2 }, status: degraded }
  coder: { endpoints: [{ provider: p }], price: { input: 9, output: 9 } }
routes: { r: { strategy: cost, tasks: { code: coder, math: mid } } }
",
    );
    let of = |task| asked("r", |r| r.profile.task = task);
    // What is degraded goes after every active model, unless it is the task's own.
    assert_eq!(order(&w, &of(Task::Chat)), "cheap coder mid");
    assert_eq!(order(&w, &of(Task::Code)), "coder cheap mid");
    assert_eq!(order(&w, &of(Task::Math)), "mid cheap coder");
    assert_eq!(w.decide(&of(Task::Code)).reason, "route r: preferred for code of 3 candidates, 0 excluded");
    w.open("coder", None);
    assert_eq!(order(&w, &of(Task::Code)), "cheap mid");
    assert_eq!(w.decide(&of(Task::Code)).reason, "route r: cheapest of 2 candidates, 1 excluded");
}

#[test]
fn the_same_seed_decides_the_same_and_reads_the_generator_only_where_it_must() {
    let w = split("a: 1, b: 1, c: 1", "");
    let of = |seed| order(&w, &asked("split", |r| r.seed = seed));
    assert!((0..100).all(|s| of(s) == of(s)));
    assert!((0..100).any(|s| of(s) != of(0)));
}

#[test]
fn a_free_model_answers_what_is_easy_and_not_what_is_hard() {
    let w = World::of(
        "models:
  local: { endpoints: [{ provider: p }], price: { input: 0, output: 0 }, quality: { default: 0.55 } }
  strong: { endpoints: [{ provider: p }], price: { input: 2, output: 8 }, quality: { default: 0.85 } }
",
    );
    for (complexity, first) in [(0.1, "local strong"), (0.7, "strong local")] {
        let mut r = ask("auto");
        r.profile.complexity = complexity;
        assert_eq!(w.shown(&r), format!("auto balanced: {first}"), "complexity {complexity}");
    }
}

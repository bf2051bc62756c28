//! What removes a model: each hard constraint with its reason, their order, unknown facts, live state, emergency lists,
//! and the refusal where nothing is left.

use super::*;
use crate::registry::Capabilities;

/// Name, reason and detail of every exclusion.
fn excluded(w: &World, d: &Decision) -> Vec<(String, &'static str, String)> {
    let name = |e: &Exclusion| w.config.registry.model(e.model).name.to_string();
    d.excluded.iter().map(|e| (name(e), e.reason.name(), e.reason.to_string())).collect()
}

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

#[test]
fn each_constraint_excludes_with_its_reason_and_refuses_a_pin() {
    type Change = fn(&mut World, &mut Request);
    let none: Change = |_, _| {};
    for (facts, change, reason, detail) in [
        (
            "tags: [other]",
            (|_, r| r.profile.sensitive = true) as Change,
            "compliance",
            "lacks the tag `safe` that this request requires",
        ),
        ("", |_, r| r.key = Some("narrow"), "not_allowed", "not in the key's `models`"),
        (
            "capabilities: [tools]",
            |_, r| r.profile.needs = Capabilities::VISION.with(Capabilities::REASONING).with(Capabilities::TOOLS),
            "capability",
            "cannot do vision, reasoning",
        ),
        (
            "capabilities: [no_streaming]",
            |_, r| r.profile.needs = Capabilities::STREAMING,
            "capability",
            "cannot do streaming",
        ),
        (
            "capabilities: [tools, no_parallel_tools]",
            |_, r| r.profile.needs = Capabilities::TOOLS.with(Capabilities::PARALLEL_TOOLS),
            "capability",
            "cannot do parallel_tools",
        ),
        (
            "context_window: 8192",
            |_, r| (r.profile.input_tokens, r.profile.max_output_tokens) = (12_000, Some(2_000)),
            "context_window",
            "needs 14,000 tokens (12,000 in, 2,000 reserved for the answer), has 8,192",
        ),
        (
            "price: { input: 10, output: 100 }",
            |_, r| r.hints.max_cost = Some(usd(0.01)),
            "price_cap",
            "expected to cost $0.04, the cap is $0.01",
        ),
        (
            "",
            |_, r| r.hints.max_cost = Some(usd(0.01)),
            "no_price",
            "its price is unknown, and a budget or a cap depends on it: set `price`",
        ),
        (
            "latency: { first_token_ms: 1000, per_token_ms: 10 }",
            |_, r| r.hints.max_latency_ms = Some(2500.0),
            "latency_cap",
            "expected to take 4000 ms, the cap is 2500 ms",
        ),
        (
            "quality: { default: 0.9, chat: 0.3 }",
            |_, r| r.hints.min_quality = Some(0.8),
            "quality_floor",
            "expected quality 0.30, the floor is 0.80",
        ),
        ("", |_, r| r.hints.min_quality = Some(0.1), "quality_floor", "its quality is unknown, the floor is 0.10"),
        ("status: offline", none, "offline", "`status: offline` in the configuration"),
        (
            "",
            |w, _| w.open("m", Some(HALF_A_MINUTE)),
            "breaker_open",
            "every endpoint failed lately; the next try is in 30.0 s",
        ),
        ("", |w, _| w.open("m", None), "breaker_open", "every endpoint failed lately and is being tried"),
    ] {
        let separator = if facts.is_empty() { "" } else { ", " };
        let mut w = World::of(&format!(
            "models:
  m:  {{ endpoints: [{{ provider: p }}]{separator}{facts} }}
  ok: {{ endpoints: [{{ provider: p }}], tags: [safe], price: {{ input: 0.1, output: 0.1 }}, quality: {{ default: 1 }}, latency: {{ first_token_ms: 1, per_token_ms: 1 }} }}
routes: {{ both: {{ strategy: cost, candidates: [m, ok] }} }}
compliance: [{{ when: request.sensitive, require: [safe] }}]
keys: [{{ id: narrow, secret: s, models: [ok] }}]
"
        ));
        let mut of_route = ask("both");
        change(&mut w, &mut of_route);
        let d = w.decide(&of_route);
        assert_eq!(excluded(&w, &d), [("m".to_owned(), reason, detail.to_owned())], "{facts}");
        assert_eq!(w.names(&d), ["ok"], "{facts}");
        // A pin is refused, never replaced, and the constraint is named.
        let mut pin = ask("m");
        change(&mut w, &mut pin);
        let d = w.decide(&pin);
        assert_eq!(excluded(&w, &d), [("m".to_owned(), reason, detail.to_owned())], "{facts}");
        let refusal = d.refusal.expect("a pin that breaks a constraint is refused");
        assert!(refusal.message.contains(&format!("m ({reason}: {detail})")), "{}", refusal.message);
        assert!(d.candidates.is_empty(), "{facts}");
    }
}

/// A model that breaks everything is excluded by the first constraint of the documented order; as each is mended, by the
/// next one.
#[test]
fn constraints_are_checked_in_the_documented_order() {
    let parts = [
        ("compliance", "tags: [safe]", "tags: [other]"),
        ("not_allowed", "", ""),
        ("capability", "capabilities: [vision]", "capabilities: []"),
        ("context_window", "context_window: 100000", "context_window: 500"),
        ("price_cap", "price: { input: 1, output: 1 }", "price: { input: 1000, output: 1000 }"),
        ("latency_cap", "latency: { first_token_ms: 1, per_token_ms: 1 }", "latency: { first_token_ms: 90000 }"),
        ("quality_floor", "quality: { default: 0.9 }", "quality: { default: 0.2 }"),
        ("offline", "status: active", "status: offline"),
    ];
    for mended in 0..=parts.len() {
        let facts: Vec<&str> = parts
            .iter()
            .enumerate()
            .map(|(i, (_, good, bad))| if i < mended { *good } else { *bad })
            .filter(|f| !f.is_empty())
            .collect();
        let allowed = if mended > 1 { "m, other" } else { "other" };
        let mut w = World::of(&format!(
            "models:
  m: {{ endpoints: [{{ provider: p }}], {} }}
  other: {{ endpoints: [{{ provider: p }}] }}
compliance: [{{ when: \"true\", require: [safe] }}]
keys: [{{ id: k, secret: s, models: [{allowed}] }}]
",
            facts.join(", ")
        ));
        w.open("m", Some(HALF_A_MINUTE));
        let d = w.decide(&asked("m", |r| {
            r.key = Some("k");
            r.profile.needs = Capabilities::VISION;
            (r.hints.max_cost, r.hints.max_latency_ms, r.hints.min_quality) = (Some(usd(0.1)), Some(1000.0), Some(0.5));
        }));
        let expected = parts.get(mended).map_or("breaker_open", |p| p.0);
        assert_eq!(d.excluded[0].reason.name(), expected);
    }
}

#[test]
fn compliance_outranks_pins_and_fails_closed_while_a_match_fails_open() {
    let w = World::of(
        "models:
  safe: { endpoints: [{ provider: p }], tags: [pii, eu], price: { input: 9, output: 9 } }
  half: { endpoints: [{ provider: p }], tags: [pii] }
  bare: { endpoints: [{ provider: q }], price: { input: 1, output: 1 } }
routes:
  broken: { match: \"request.tags.nothing == 'x'\", strategy: cost, candidates: [bare] }
  number: { match: \"1 + 1\", strategy: cost, candidates: [bare] }
  cheap:  { strategy: cost, emergency: [bare] }
compliance:
  - { when: request.sensitive, require: [pii] }
  - { when: \"request.tags.region == 'eu'\", require: [eu] }
",
    );
    let sensitive = |model| asked(model, |r| (r.profile.sensitive, r.tags) = (true, vec![("region", "us")]));
    let rest = |model| asked(model, |r| r.tags = vec![("region", "us")]);
    assert_eq!(w.shown(&rest("bare")), "pin pin: bare");
    assert_eq!(w.shown(&sensitive("bare")), "pin pin: | bare:compliance ! ConstraintViolated");
    assert_eq!(w.shown(&sensitive("q/anything")), "pin pin: | q/*:compliance ! ConstraintViolated");
    assert_eq!(w.shown(&sensitive("half")), "pin pin: half");
    // Cost does not buy its way out, and an emergency does not either.
    assert_eq!(w.shown(&sensitive("cheap")), "route cost: safe half | bare:compliance");
    // Two rules hold together.
    let both = asked("cheap", |r| (r.profile.sensitive, r.tags) = (true, vec![("region", "eu")]));
    assert_eq!(w.shown(&both), "route cost: safe | half:compliance bare:compliance");
    // Without the tag the second rule cannot be evaluated: it holds. The two broken matches do not.
    assert_eq!(w.shown(&ask("auto")), "auto balanced: safe | half:compliance bare:compliance");
}

#[test]
fn what_is_not_known_does_not_exclude() {
    let mut w = World::of("models: { m: { endpoints: [{ provider: p }] } }");
    let all = Capabilities(u16::MAX);
    let everything = asked("m", |r| (r.profile.needs, r.profile.input_tokens) = (all, 5_000_000));
    assert_eq!(w.shown(&everything), "pin pin: m");
    assert_eq!(everything.exact_calls.get(), 0);
    assert_eq!(w.decide(&everything).candidates[0].estimate.cost, None);
    // Without the key `capabilities` nothing is known; with an empty list everything is.
    w = World::of("models: { m: { endpoints: [{ provider: p }], capabilities: [] } }");
    assert_eq!(w.shown(&everything), "pin pin: | m:capability ! ConstraintViolated");
}

#[test]
fn lifecycle() {
    let w = World::of(
        "models:
  on:  { endpoints: [{ provider: p }] }
  off: { endpoints: [{ provider: p }], status: offline }
  old: { endpoints: [{ provider: p }], status: deprecated }
  weak: { endpoints: [{ provider: p }], status: degraded, quality: { default: 1 } }
routes:
  all: { strategy: quality, candidates: [weak, on, off, old] }
  emergency: { candidates: [off], emergency: [old, weak] }
",
    );
    assert_eq!(w.shown(&ask("all")), "route quality: on weak | off:offline old:deprecated");
    assert_eq!(w.shown(&ask("old")), "pin pin: old");
    assert_eq!(w.decide(&ask("old")).reason, "the request names the model, which is deprecated");
    assert_eq!(w.decide(&ask("on")).reason, "the request names the model");
    assert_eq!(w.shown(&ask("p/old")), "pin pin: old");
    assert_eq!(w.shown(&ask("off")), "pin pin: | off:offline ! ConstraintViolated");
    assert_eq!(w.shown(&ask("emergency")), "route balanced: weak* | off:offline old:deprecated");
}

/// The counter is asked only where the estimate and the window are within 15 % of each other, and then its word decides.
#[test]
fn the_window_is_decided_exactly_near_its_edge_only() {
    let w = World::of("models: { m: { endpoints: [{ provider: p }], context_window: 10000, max_output_tokens: 50 } }");
    for (estimated, cap, exact, calls, fits) in [
        // 300 tokens are expected, but the model gives at most 50.
        (1_000, None, 99_999, 0, true),
        (8_450, None, 99_999, 0, true),
        (8_451, None, 9_950, 1, true),
        (8_451, None, 9_951, 1, false),
        (11_450, None, 9_950, 1, true),
        (11_451, None, 1, 0, false),
        (9_000_000, None, 1, 0, false),
        // The request's own cap is what is reserved, not what the model could give.
        (1_000, Some(2_000), 99_999, 0, true),
        (7_000, Some(2_000), 8_000, 1, true),
        (7_000, Some(2_000), 8_001, 1, false),
        (1_000, Some(u32::MAX), 1, 0, false),
    ] {
        let r = asked("m", |r| {
            (r.profile.input_tokens, r.profile.max_output_tokens, r.exact) = (estimated, cap, exact);
        });
        let d = w.decide(&r);
        assert_eq!((r.exact_calls.get(), d.refusal.is_none()), (calls, fits), "{estimated} {cap:?} {exact}");
        match &d.refusal {
            Some(refusal) => assert_eq!(refusal.kind, RefusalKind::ContextLengthExceeded),
            None => assert_eq!(d.candidates[0].estimate.input_tokens, if calls == 1 { exact } else { estimated }),
        }
    }
}

#[test]
fn a_models_own_factor_corrects_the_estimate() {
    let mut w = World::of("models: { m: { endpoints: [{ provider: p }], context_window: 10000 } }");
    w.factors[0] = 2.0;
    let r = asked("m", |r| (r.profile.input_tokens, r.exact) = (3_000, 1));
    let d = w.decide(&r);
    assert_eq!((d.candidates[0].estimate.input_tokens, r.exact_calls.get()), (6_000, 0));
    let r = asked("m", |r| (r.profile.input_tokens, r.exact) = (6_000, 1));
    assert_eq!((w.decide(&r).refusal.is_some(), r.exact_calls.get()), (true, 0));
}

#[test]
fn exact_tokens_are_counted_once_a_request_and_tokenizer() {
    let model = |i| {
        format!(
            "  m{i}: {{ endpoints: [{{ provider: p }}], context_window: 1300, price: {{ input: 1, output: 1 }} }}\n"
        )
    };
    let w = World::of(&format!(
        "models:\n{}  gpt-4: {{ endpoints: [{{ provider: p }}], context_window: 1300 }}\n",
        (0..20).map(model).collect::<String>()
    ));
    assert_eq!(w.config.registry.model(w.model("gpt-4")).tokenizer, Tokenizer::Cl100k);
    let r = asked("auto", |r| r.hints.max_cost = Some(usd(0.0013)));
    w.decide(&r);
    assert_eq!(r.exact_calls.get(), 2);
}

#[test]
fn a_cost_cap_is_decided_exactly_near_it_only() {
    // A million tokens a dollar, in and out: 1000 + 300 tokens are 0.0013 dollars.
    let w = World::of("models: { m: { endpoints: [{ provider: p }], price: { input: 1, output: 1 } } }");
    for (cap, exact, calls, fits) in [
        (0.01, 99_999, 0, true),
        (0.0015, 99_999, 0, true),
        (0.0014, 1_100, 1, true),
        (0.0014, 1_101, 1, false),
        (0.0013, 1_000, 1, true),
        (0.00125, 950, 1, true),
        (0.0011, 1, 0, false),
        (0.0, 1, 0, false),
        (1e12, 1, 0, true),
        (f64::MAX, 1, 0, true),
    ] {
        let r = asked("m", |r| (r.hints.max_cost, r.exact) = (Some(usd(cap)), exact));
        let d = w.decide(&r);
        assert_eq!((r.exact_calls.get(), d.refusal.is_none()), (calls, fits), "{cap} {exact}");
    }
    // A free model passes a cap of nothing.
    let free = World::of("models: { m: { endpoints: [{ provider: p }], price: { input: 0, output: 0 } } }");
    assert_eq!(free.shown(&asked("m", |r| r.hints.max_cost = Some(NanoUsd(0)))), "pin pin: m");
}

#[test]
fn the_stricter_of_hint_and_policy_holds() {
    let w = World::of(
        "models:
  m: { endpoints: [{ provider: p }], price: { input: 1, output: 1 }, quality: { default: 0.7 }, latency: { first_token_ms: 1000, per_token_ms: 0 } }
routes: { r: { max_cost_usd: 0.01, max_latency_ms: 5000, min_quality: 0.5 } }
",
    );
    for (cost, latency, quality, expected) in [
        (None, None, None, "m"),
        // A laxer hint loosens nothing, a stricter one holds.
        (Some(9.0), Some(1e9), Some(0.0), "m"),
        (Some(0.001), None, None, "price_cap"),
        (None, Some(900.0), None, "latency_cap"),
        (None, None, Some(0.8), "quality_floor"),
    ] {
        for (route, strict) in [("r", true), ("auto", false)] {
            let mut r = ask(route);
            (r.hints.max_cost, r.hints.max_latency_ms, r.hints.min_quality) = (cost.map(usd), latency, quality);
            assert!(w.shown(&r).contains(expected), "{route} {}", w.shown(&r));
            // What only the route forbids stays forbidden whatever the hint says.
            let mut r = asked(route, |r| r.profile.input_tokens = 20_000);
            (r.hints.max_cost, r.hints.max_latency_ms) = (Some(usd(9.0)), Some(1e9));
            assert_eq!(w.shown(&r).contains("price_cap"), strict, "{route}");
        }
    }
}

#[test]
fn an_open_breaker_excludes_only_with_every_endpoint() {
    let mut w = World::of("models: { m: { endpoints: [{ provider: p }, { provider: q }] } }");
    let far = NOW.instant + Duration::from_secs(40);
    (w.views[0].admits, w.views[0].retry_at) = (false, Some(far));
    assert_eq!(w.shown(&ask("m")), "pin pin: m");
    (w.views[1].admits, w.views[1].retry_at) = (false, Some(NOW.instant + Duration::from_millis(2_500)));
    let refusal = w.decide(&ask("m")).refusal.expect("nothing healthy");
    assert_eq!((refusal.kind, refusal.retry_after), (RefusalKind::NoCandidates, Some(Duration::from_millis(2_500))));
    // Half open with its probe under way: no time is known.
    w.views[1].retry_at = None;
    assert_eq!(w.decide(&ask("m")).refusal.and_then(|r| r.retry_after), Some(Duration::from_secs(40)));
    w.views[0].retry_at = None;
    assert_eq!(w.decide(&ask("m")).refusal.and_then(|r| r.retry_after), Some(Duration::from_secs(1)));
}

#[test]
fn a_rate_limit_only_orders_and_never_takes_the_last() {
    let mut w = World::of(
        "models:
  a: { endpoints: [{ provider: p }, { provider: q }], price: { input: 1, output: 1 } }
  b: { endpoints: [{ provider: p }], price: { input: 2, output: 2 } }
  c: { endpoints: [{ provider: p }], price: { input: 3, output: 3 }, status: offline }
routes: { r: { strategy: cost } }
",
    );
    let five = Duration::from_secs(5);
    w.limit("a", five);
    let d = w.decide(&ask("r"));
    assert_eq!(w.show(&d), "route cost: b a | c:offline a:rate_limited");
    assert_eq!(d.excluded[1].reason.to_string(), "the provider asked to wait 5.0 s more; stands behind the others");
    // One endpoint that is free is enough.
    w.views[1].rate_limited_until = None;
    assert_eq!(w.shown(&ask("r")), "route cost: a b | c:offline");
    // All of them limited: all of them stay, and so does a pin.
    w.limit("a", five);
    w.limit("b", five);
    assert_eq!(w.shown(&ask("r")), "route cost: a b | c:offline");
    assert_eq!(w.shown(&ask("b")), "pin pin: b");
    // What was, is not.
    w.limit("a", Duration::ZERO);
    assert_eq!(w.shown(&ask("r")), "route cost: a b | c:offline b:rate_limited");
    // An endpoint out of service does not vouch for the one that is limited.
    w.limit("a", five);
    w.limit("b", Duration::ZERO);
    (w.views[1].admits, w.views[1].rate_limited_until) = (false, None);
    assert_eq!(w.shown(&ask("r")), "route cost: b a | c:offline a:rate_limited");
}

#[test]
fn emergency_models_are_marked_and_still_meet_what_is_essential() {
    let mut w = World::of(
        "models:
  good:  { endpoints: [{ provider: p }], quality: { default: 0.9 }, tags: [safe], price: { input: 1, output: 1 } }
  plain: { endpoints: [{ provider: p }], quality: { default: 0.1 }, tags: [safe], price: { input: 99, output: 99 }, latency: { first_token_ms: 99000 } }
  bare:  { endpoints: [{ provider: p }], tags: [] }
  blind: { endpoints: [{ provider: p }], tags: [safe], capabilities: [] }
  short: { endpoints: [{ provider: p }], tags: [safe], context_window: 500 }
  other: { endpoints: [{ provider: p }], tags: [safe] }
routes:
  r: { strategy: cost, candidates: [good], min_quality: 0.8, max_cost_usd: 0.1, max_latency_ms: 9000, require: [safe],
       emergency: [short, blind, good, other, bare, plain] }
keys: [{ id: k, secret: s, models: [good, plain, bare, blind, short] }]
",
    );
    let r = || asked("r", |r| (r.key, r.profile.needs) = (Some("k"), Capabilities::VISION));
    let not = "short:context_window blind:capability other:not_allowed bare:compliance";
    let d = w.decide(&r());
    assert_eq!(w.show(&d), format!("route cost: good plain* | {not}"));
    assert_eq!(d.reason, "route r: cheapest of 1 candidate, 4 excluded");
    w.open("good", Some(HALF_A_MINUTE));
    let d = w.decide(&r());
    assert_eq!(w.show(&d), format!("route cost: plain* | good:breaker_open {not}"));
    assert_eq!((d.level, d.reason.as_str()), (Level::Route, "route r: no candidate left, emergency model"));
    w.open("plain", None);
    let refusal = w.decide(&r()).refusal.expect("nothing left");
    assert_eq!((refusal.kind, refusal.retry_after), (RefusalKind::NoCandidates, Some(Duration::from_secs(1))));
    for name in ["good", "plain", "bare", "blind", "short", "other"] {
        assert!(refusal.message.contains(&format!("{name} (")), "every model with its reason: {}", refusal.message);
    }
}

#[test]
fn the_kind_of_refusal_follows_the_exclusions() {
    for (models, expected) in [
        (&["key"][..], RefusalKind::NotAllowed),
        (&["key", "key"], RefusalKind::NotAllowed),
        (&["window"], RefusalKind::ContextLengthExceeded),
        (&["window", "window", "offline", "deprecated"], RefusalKind::ContextLengthExceeded),
        (&["key", "offline"], RefusalKind::NotAllowed),
        (&["key", "window"], RefusalKind::ConstraintViolated),
        (&["breaker"], RefusalKind::NoCandidates),
        (&["window", "breaker"], RefusalKind::NoCandidates),
        (&["key", "quality", "breaker", "offline"], RefusalKind::NoCandidates),
        (&["quality"], RefusalKind::ConstraintViolated),
        (&["window", "quality"], RefusalKind::ConstraintViolated),
        (&["offline"], RefusalKind::ConstraintViolated),
        (&["offline", "deprecated"], RefusalKind::ConstraintViolated),
    ] {
        let line = |(i, what): (usize, &&str)| {
            let facts = match *what {
                "window" => "context_window: 10, quality: { default: 1 }",
                "offline" => "quality: { default: 1 }, status: offline",
                "deprecated" => "quality: { default: 1 }, status: deprecated",
                "quality" => "quality: { default: 0.1 }",
                _ => "quality: { default: 1 }",
            };
            format!("  {what}-{i}: {{ endpoints: [{{ provider: p }}], {facts} }}\n")
        };
        let lines: String = models.iter().enumerate().map(line).collect();
        let names: Vec<String> = models.iter().enumerate().map(|(i, what)| format!("{what}-{i}")).collect();
        let allowed: Vec<&str> = names.iter().filter(|n| !n.starts_with("key")).map(String::as_str).collect();
        let mut w = World::of(&format!(
            "models:\n{lines}  spare: {{ endpoints: [{{ provider: p }}] }}\nkeys: [{{ id: k, secret: s, models: [spare, {}] }}]\nroutes: {{ r: {{ min_quality: 0.5, candidates: [{}] }} }}",
            allowed.join(", "),
            names.join(", ")
        ));
        for name in names.iter().filter(|n| n.starts_with("breaker")) {
            w.open(name, Some(HALF_A_MINUTE));
        }
        let refusal = w.decide(&asked("r", |r| r.key = Some("k"))).refusal.expect("nobody is left");
        let wait = (expected == RefusalKind::NoCandidates).then_some(HALF_A_MINUTE);
        assert_eq!((refusal.kind, refusal.retry_after), (expected, wait), "{models:?}");
        assert!(names.iter().all(|n| refusal.message.contains(n.as_str())), "{}", refusal.message);
    }
}

#[test]
fn a_registry_of_strangers_only_has_nobody_for_auto() {
    let w = World::of("");
    let refusal = w.decide(&ask("auto")).refusal.expect("nobody");
    assert_eq!(refusal.kind, RefusalKind::ConstraintViolated);
    assert_eq!(refusal.message, "no model is configured for this request");
    assert_eq!(w.shown(&ask("q/anything")), "pin pin: q/*");
}

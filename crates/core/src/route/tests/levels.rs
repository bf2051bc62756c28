//! Who proposes: names, the four levels and their precedence, what a key may ask for, surfaces, the hour.

use super::*;
use crate::hints::Prefer;

/// `cheap` is the cheapest and fastest, `dear` the best.
const MODELS: &str = "
models:
  cheap: { endpoints: [{ provider: p, name: cheap-there }, { provider: q }], price: { input: 1, output: 1 },
           quality: { default: 0.5 }, latency: { first_token_ms: 100, per_token_ms: 1 } }
  mid:   { endpoints: [{ provider: p }], price: { input: 2, output: 2 }, quality: { default: 0.7 } }
  dear:  { endpoints: [{ provider: q, name: vendor/dear-1 }], price: { input: 20, output: 20 }, quality: { default: 0.9 } }
";

const POLICIES: &str = "
routes:
  first:  { match: \"request.tags.team == 'x'\", strategy: cost, candidates: [mid, cheap] }
  second: { match: \"request.tags.team == 'x' || request.input_tokens > 5000\", strategy: quality }
  named:  { strategy: cost, candidates: [dear, mid] }
  twin:   { strategy: quality, candidates: [mid] }
stages:
  own:   { model: mid, emergency: [cheap] }
  loose: { strategy: latency }
  plain: {}
  twin:  { strategy: cost }
auto: { strategy: quality, min_quality: 0.6 }
fallback_model: cheap
";

fn world() -> World {
    World::of(&format!("{MODELS}{POLICIES}"))
}

#[test]
fn the_first_level_that_applies_proposes() {
    let w = world();
    let floor = "| cheap:quality_floor";
    for (model, stage, route, team, expected) in [
        // The pin stands over everything.
        ("mid", None, None, "x", "pin pin: mid".to_owned()),
        ("mid", Some("loose"), Some("named"), "x", "pin pin: mid".into()),
        // Then a route or stage that the model names, over hints and matches.
        ("route/named", Some("own"), Some("first"), "x", "route cost: mid dear".into()),
        ("named", None, None, "x", "route cost: mid dear".into()),
        ("stage/own", Some("loose"), None, "x", "stage balanced: mid cheap*".into()),
        ("own", None, None, "", "stage balanced: mid cheap*".into()),
        ("stage/loose", None, None, "x", format!("auto latency: mid dear {floor}")),
        // Then what the hints name.
        ("auto", Some("own"), None, "x", "stage balanced: mid cheap*".into()),
        ("auto", Some("plain"), None, "x", format!("auto quality: dear mid {floor}")),
        ("auto", None, Some("named"), "x", "route cost: mid dear".into()),
        ("auto", Some("own"), Some("named"), "x", "route cost: mid dear".into()),
        // Then the first match of the file, then `auto` itself.
        ("auto", None, None, "x", "route cost: cheap mid".into()),
        ("auto", None, None, "y", format!("auto quality: dear mid {floor}")),
        // A name that a route and a stage have is the route.
        ("twin", None, None, "", "route quality: mid".into()),
        ("stage/twin", None, None, "", format!("auto cost: mid dear {floor}")),
    ] {
        let r = asked(model, |r| {
            r.hints.stage = stage.map(str::to_owned);
            r.hints.route = route.map(str::to_owned);
            r.tags = vec![("team", team)];
        });
        assert_eq!(w.shown(&r), expected, "{model} {stage:?} {route:?} {team}");
    }
}

#[test]
fn a_match_is_for_auto_alone_and_one_that_fails_is_false() {
    let w = world();
    // Without the tag `first` fails to evaluate, and so does the left side of `second`, whose right side decides.
    assert_eq!(w.shown(&ask("auto")), "auto quality: dear mid | cheap:quality_floor");
    let long = |model| asked(model, |r| r.profile.input_tokens = 6000);
    assert_eq!(w.decide(&long("auto")).route, Some(1));
    assert_eq!(w.decide(&long("mid")).route, None);
    assert_eq!(w.decide(&long("stage/plain")).route, None);
}

#[test]
fn the_stage_is_known_whoever_decides() {
    let w = world();
    for model in ["mid", "route/named", "auto"] {
        let d = w.decide(&asked(model, |r| r.hints.stage = Some("own".into())));
        assert_eq!(d.stage, Some(0), "{model}");
    }
    assert_eq!(w.decide(&asked("stage/loose", |r| r.hints.stage = Some("own".into()))).stage, Some(1));
    assert_eq!(w.decide(&ask("mid")).stage, None);
}

#[test]
fn provider_and_model_name_a_model_there() {
    let w = world();
    let registry = &w.config.registry;
    for (asked_for, model, provider, upstream) in [
        ("p/cheap", "cheap", "p", None),
        ("q/cheap", "cheap", "q", None),
        ("p/cheap-there", "cheap", "p", None),
        ("q/vendor/dear-1", "dear", "q", None),
        ("q/dear", "dear", "q", None),
        // `q` passes on what it does not know, `cheap-there` too: that is the name at `p`.
        ("q/cheap-there", "q/*", "q", Some("cheap-there")),
        ("q/some/new-model", "q/*", "q", Some("some/new-model")),
        ("q/*", "q/*", "q", Some("*")),
    ] {
        let d = w.decide(&ask(asked_for));
        let [c] = d.candidates.as_slice() else { panic!("{asked_for}: {}", w.show(&d)) };
        assert_eq!(&*registry.model(c.model).name, model, "{asked_for}");
        assert_eq!(c.upstream_name().map(|n| &**n), upstream, "{asked_for}");
        let endpoints = &registry.model(c.model).endpoints;
        let mut at = endpoints.iter().map(|e| registry.endpoint(*e).provider);
        let at = c.provider.or_else(|| at.next()).map(|p| &*registry.provider(p).name);
        assert_eq!(at, Some(provider), "{asked_for}");
        assert_eq!(d.level, Level::Pin);
    }
}

#[test]
fn a_provider_pin_uses_only_its_own_endpoints() {
    let mut w = world();
    let at_p = w.config.registry.model(w.model("cheap")).endpoints[0];
    let view = &mut w.views[usize::from(at_p.0)];
    (view.admits, view.retry_at) = (false, Some(NOW.instant + Duration::from_secs(3)));
    assert_eq!(w.shown(&ask("cheap")), "pin pin: cheap");
    assert_eq!(w.shown(&ask("q/cheap")), "pin pin: cheap");
    assert_eq!(w.shown(&ask("p/cheap")), "pin pin: | cheap:breaker_open ! NoCandidates");
    w.views[usize::from(at_p.0)] = EndpointView { admits: true, first_token_us: 9e6, ..w.views[usize::from(at_p.0)] };
    let latency = |model| w.decide(&ask(model)).candidates[0].estimate.latency_ms;
    assert!(latency("p/cheap") > 9000.0 && latency("q/cheap") < 1000.0);
}

#[test]
fn what_is_passed_through_has_the_catalogues_price_or_none() {
    let w = World::new("providers: { openai: { api_key: sk, passthrough: true } }\nmodels: { gpt-4o: {} }");
    let known = w.decide(&ask("openai/gpt-4o-mini"));
    assert_eq!(
        known.candidates[0].price(&w.config.registry).map(|p| (p.input, p.output)),
        Some((150_000_000, 600_000_000))
    );
    assert_eq!(known.candidates[0].estimate.cost, Some(usd(1000.0 * 0.15e-6 + 300.0 * 0.60e-6)));
    let unknown = w.decide(&ask("openai/brand-new"));
    assert_eq!((unknown.candidates[0].price(&w.config.registry), unknown.candidates[0].estimate.cost), (None, None));
    let capped = asked("openai/brand-new", |r| r.hints.max_cost = Some(usd(1.0)));
    assert_eq!(w.shown(&capped), "pin pin: | openai/*:no_price ! ConstraintViolated");
    // A model of the registry is not passed through under another name.
    assert_eq!(w.decide(&ask("openai/gpt-4o")).candidates[0].upstream_name(), None);
}

#[test]
fn unknown_names_are_refused_with_their_neighbours() {
    let w = world();
    for (model, stage, route, starts, suggests) in [
        ("chaep", None, None, "model `chaep` does not exist", Some("`cheap`")),
        ("atuo", None, None, "model `atuo` does not exist", Some("`auto`")),
        ("frist", None, None, "model `frist` does not exist", Some("`first`")),
        ("", None, None, "model `` does not exist", None),
        ("p/unknown-at-p", None, None, "model `p/unknown-at-p` does not exist", None),
        ("nobody/cheap", None, None, "model `nobody/cheap` does not exist", Some("`cheap`")),
        ("q/", None, None, "model `q/` does not exist", None),
        ("route/nmaed", None, None, "route `nmaed` does not exist", Some("`named`")),
        ("stage/onw", None, None, "stage `onw` does not exist", Some("`own`")),
        // Hints too, whatever the model: a misspelt stage would lose its floors.
        ("auto", Some("onw"), None, "stage `onw` does not exist", Some("`own`")),
        ("cheap", Some("onw"), None, "stage `onw` does not exist", Some("`own`")),
        ("auto", None, Some("nmaed"), "route `nmaed` does not exist", Some("`named`")),
        ("zzzzzzzz", None, None, "model `zzzzzzzz` does not exist", None),
        // Names are exact.
        ("Cheap", None, None, "model `Cheap` does not exist", Some("`cheap`")),
    ] {
        let d = w.decide(&asked(model, |r| {
            r.hints.stage = stage.map(str::to_owned);
            r.hints.route = route.map(str::to_owned);
        }));
        let refusal = d.refusal.expect("refused");
        assert_eq!((refusal.kind, refusal.retry_after), (RefusalKind::ModelNotFound, None), "{model}");
        assert!(refusal.message.starts_with(starts), "{}", refusal.message);
        match suggests {
            Some(name) => assert!(refusal.message.contains(&format!("did you mean {name}")), "{}", refusal.message),
            None => assert!(!refusal.message.contains("did you mean"), "{}", refusal.message),
        }
    }
}

#[test]
fn a_key_asks_only_for_what_it_may() {
    let w = World::of(&format!(
        "{MODELS}{POLICIES}
keys:
  - {{ id: all, secret: s1 }}
  - {{ id: models, secret: s2, models: [cheap, mid] }}
  - {{ id: routes, secret: s3, routes: [named] }}
  - {{ id: stages, secret: s4, stages: [own] }}
"
    ));
    let (all, no) = ("pin pin: dear", "pin none: ! NotAllowed");
    for (key, model, stage, expected) in [
        ("all", "dear", None, all),
        ("models", "dear", None, "pin pin: | dear:not_allowed ! NotAllowed"),
        ("models", "q/dear", None, "pin pin: | dear:not_allowed ! NotAllowed"),
        ("models", "q/anything", None, "pin pin: | q/*:not_allowed ! NotAllowed"),
        ("models", "named", None, "route cost: mid | dear:not_allowed"),
        ("models", "auto", None, "auto quality: mid | cheap:quality_floor dear:not_allowed"),
        ("routes", "named", None, "route cost: mid dear"),
        ("routes", "route/second", None, no),
        ("routes", "dear", None, all),
        ("stages", "own", None, "stage balanced: mid cheap*"),
        ("stages", "stage/loose", None, no),
        ("stages", "auto", Some("loose"), no),
        ("stages", "dear", Some("loose"), no),
        ("stages", "dear", Some("own"), all),
    ] {
        let r = asked(model, |r| {
            r.key = Some(key);
            r.hints.stage = stage.map(str::to_owned);
        });
        assert_eq!(w.shown(&r), expected, "{key} {model} {stage:?}");
    }
    let matched = asked("auto", |r| (r.key, r.tags) = (Some("routes"), vec![("team", "x")]));
    assert_eq!(w.shown(&matched), no, "a match does not lend a route to a key that may not use it");
    let refusal = w.decide(&asked("route/second", |r| r.key = Some("routes"))).refusal.expect("refused");
    assert_eq!(refusal.message, "key `routes` may not use route `second`; it may use: named");
}

#[test]
fn a_package_and_providers_narrow_what_a_key_may_use() {
    let mut w = World::of(&format!(
        "{MODELS}{POLICIES}
keys:
  - {{ id: package, secret: s1, package: two }}
  - {{ id: both, secret: s2, package: two, models: [mid, dear] }}
  - {{ id: p, secret: s3, providers: [p] }}
  - {{ id: q, secret: s4, providers: [q] }}
gate: {{ packages: {{ two: {{ models: [cheap, mid] }} }} }}
"
    ));
    for (key, model, expected) in [
        ("package", "named", "route cost: mid | dear:not_allowed"),
        ("package", "dear", "pin pin: | dear:not_allowed ! NotAllowed"),
        ("package", "own", "stage balanced: mid cheap*"),
        ("both", "first", "route cost: mid | cheap:not_allowed"),
        ("both", "own", "stage balanced: mid | cheap:not_allowed"),
        ("p", "named", "route cost: mid | dear:not_allowed"),
        ("p", "cheap", "pin pin: cheap"),
        ("p", "q/cheap", "pin pin: | cheap:not_allowed ! NotAllowed"),
        ("p", "q/anything", "pin pin: | q/*:not_allowed ! NotAllowed"),
        ("q", "q/anything", "pin pin: q/*"),
        ("q", "named", "route cost: dear | mid:not_allowed"),
    ] {
        assert_eq!(w.shown(&asked(model, |r| r.key = Some(key))), expected, "{key} {model}");
    }
    for (key, model, detail) in [
        ("package", "dear", "not among the models of the key's package `two`"),
        ("both", "cheap", "not in the key's `models`"),
        ("p", "dear", "none of the key's `providers` has it"),
    ] {
        let d = w.decide(&asked(model, |r| r.key = Some(key)));
        assert_eq!(d.excluded[0].reason.to_string(), detail);
    }
    // What an endpoint is that the key may not use does not count: `cheap` at `q` is well.
    let at_p = w.config.registry.model(w.model("cheap")).endpoints[0];
    w.views[usize::from(at_p.0)].admits = false;
    assert_eq!(w.shown(&asked("cheap", |r| r.key = Some("p"))), "pin pin: | cheap:breaker_open ! NoCandidates");
    assert_eq!(w.shown(&asked("cheap", |r| r.key = Some("q"))), "pin pin: cheap");
}

#[test]
fn a_stage_without_a_model_is_auto_with_its_own_keys() {
    let w = World::of(&format!(
        "{MODELS}
auto: {{ strategy: cost, candidates: [dear, mid], require: [] }}
stages:
  inherits: {{}}
  weighs:   {{ weights: {{ quality: 1 }} }}
  floors:   {{ strategy: latency, min_quality: 0.8 }}
  lists:    {{ candidates: [cheap] }}
"
    ));
    for (stage, expected) in [
        ("stage/inherits", "auto cost: mid dear"),
        ("stage/weighs", "auto balanced: dear mid"),
        ("stage/floors", "auto latency: dear | mid:quality_floor"),
        ("stage/lists", "auto cost: cheap"),
    ] {
        assert_eq!(w.shown(&ask(stage)), expected, "{stage}");
    }
}

#[test]
fn a_stage_with_a_model_has_its_caps_and_emergency_and_no_candidates() {
    let mut w = World::of(&format!(
        "{MODELS}
stages:
  own:   {{ model: mid, candidates: [dear, cheap], strategy: quality, emergency: [cheap] }}
  floor: {{ model: mid, min_quality: 0.8 }}
fallback_model: dear
"
    ));
    assert_eq!(w.shown(&ask("own")), "stage quality: mid cheap*");
    assert_eq!(w.decide(&ask("own")).reason, "stage own has its own model");
    assert_eq!(w.shown(&ask("floor")), "stage balanced: | mid:quality_floor ! ConstraintViolated");
    w.open("mid", None);
    let d = w.decide(&ask("own"));
    assert_eq!(w.show(&d), "stage quality: cheap* | mid:breaker_open");
    assert_eq!(d.reason, "stage own: no candidate left, emergency model");
}

#[test]
fn prefer_moves_plain_auto_only() {
    let w = World::of(&format!(
        "{MODELS}auto: {{ weights: {{ quality: 1 }} }}\nroutes: {{ r: {{ strategy: cost }} }}\nstages: {{ s: {{ strategy: cost }} }}"
    ));
    for (model, prefer, expected) in [
        ("auto", None, "auto balanced: dear mid cheap"),
        ("auto", Some(Prefer::Cost), "auto cost: cheap mid dear"),
        ("auto", Some(Prefer::Latency), "auto latency: cheap mid dear"),
        ("auto", Some(Prefer::Quality), "auto quality: dear mid cheap"),
        // The operator's own weights are the usual ones.
        ("auto", Some(Prefer::Balanced), "auto balanced: dear mid cheap"),
        ("route/r", Some(Prefer::Quality), "route cost: cheap mid dear"),
        ("stage/s", Some(Prefer::Quality), "auto cost: cheap mid dear"),
    ] {
        assert_eq!(w.shown(&asked(model, |r| r.hints.prefer = prefer)), expected, "{model} {prefer:?}");
    }
}

#[test]
fn the_global_fallback_answers_only_when_the_hints_alone_left_nothing() {
    let w = |rest: &str| World::of(&format!("{MODELS}{rest}"));
    let hard = |model| asked(model, |r| r.hints.min_quality = Some(0.95));
    let usual =
        w("fallback_model: mid\nroutes: { r: { strategy: cost, candidates: [cheap, dear], max_cost_usd: 0.01 } }
stages: { own: { model: dear, emergency: [cheap] } }");
    // Everything is excluded by the hint, the fallback itself too: it answers all the same.
    let d = usual.decide(&hard("auto"));
    assert_eq!(usual.show(&d), "fallback balanced: mid* | cheap:quality_floor dear:quality_floor");
    assert_eq!(d.reason, "the hints left nothing: global fallback");
    // At a route, against the route's own cap (dear costs 0.026).
    assert_eq!(usual.shown(&hard("route/r")), "fallback cost: mid* | cheap:quality_floor dear:price_cap");
    // A stage's emergency list follows it.
    assert_eq!(usual.shown(&hard("own")), "fallback balanced: mid* cheap* | dear:quality_floor");
    // Never for a pin.
    assert_eq!(usual.shown(&hard("mid")), "pin pin: | mid:quality_floor ! ConstraintViolated");
    for (hint, field) in [("cost", 0), ("latency", 1)] {
        let r = asked("auto", |r| match field {
            0 => r.hints.max_cost = Some(NanoUsd(1)),
            _ => r.hints.max_latency_ms = Some(0.5),
        });
        assert!(usual.shown(&r).starts_with("fallback balanced: mid*"), "{hint}");
    }
    // Without a fallback model the hints are refused.
    assert!(w("").shown(&hard("auto")).ends_with("! ConstraintViolated"));
    // The operator's own floor is no hint: neither alone nor where the hints are on top of it.
    let strict = w("fallback_model: dear\nauto: { min_quality: 0.95 }");
    assert!(strict.shown(&ask("auto")).starts_with("auto balanced: |"));
    assert!(strict.shown(&asked("auto", |r| r.hints.min_quality = Some(0.99))).starts_with("auto balanced: |"));
    // The fallback itself must meet the operator's constraints; why it may not is told.
    let mut down = w("fallback_model: mid\nroutes: { r: { candidates: [cheap] } }");
    down.open("mid", None);
    assert_eq!(down.shown(&hard("route/r")), "route balanced: | cheap:quality_floor mid:breaker_open ! NoCandidates");
}

#[test]
fn no_fallback_is_one_model_or_nobody() {
    let mut w = World::of(&format!(
        "{MODELS}
auto: {{ emergency: [cheap] }}
stages: {{ exact: {{ strategy: quality, no_fallback: true }}, loose: {{ strategy: quality }} }}
fallback_model: cheap
"
    ));
    let d = w.decide(&ask("stage/exact"));
    assert!(d.no_fallback);
    assert_eq!(w.show(&d), "auto quality: dear mid cheap", "the choice is explained whole; the plan takes the first");
    let hard = |stage| asked(stage, |r| r.hints.min_quality = Some(0.95));
    assert!(w.shown(&hard("stage/loose")).starts_with("fallback quality: cheap*"));
    assert!(w.shown(&hard("stage/exact")).ends_with("! ConstraintViolated"), "neither level 4 nor emergency");
    for model in ["cheap", "mid", "dear"] {
        w.open(model, None);
    }
    assert!(w.shown(&ask("stage/exact")).ends_with("! NoCandidates"));
}

#[test]
fn surfaces_hold_by_route_by_stage_and_by_match_even_for_a_pin() {
    let w = World::of(
        "
models:
  low:  { endpoints: [{ provider: p }], quality: { default: 0.5 }, tags: [safe] }
  high: { endpoints: [{ provider: p }], quality: { default: 0.9 }, tags: [safe] }
  best: { endpoints: [{ provider: p }], quality: { default: 0.95 } }
surfaces:
  shop:    { min_quality: 0.8 }
  clinic:  { min_quality: 0.6, require: [safe] }
  matched: { min_quality: 0.93, match: \"request.tags.surface == 'gold'\" }
routes:
  r: { strategy: quality, min_quality: 0.4, surface: shop, emergency: [low, best] }
  c: { strategy: quality, surface: clinic, emergency: [best] }
stages:
  s: { strategy: quality, surface: shop, min_quality: 0.92 }
",
    );
    for (model, stage, surface, expected) in [
        ("route/r", None, "", "route quality: best high low* | "),
        ("route/c", None, "", "route quality: high | low:quality_floor best:compliance"),
        // The stricter of both floors holds, whichever is the surface's.
        ("stage/s", None, "", "auto quality: best | low:quality_floor high:quality_floor"),
        ("auto", None, "gold", "auto balanced: best | low:quality_floor high:quality_floor"),
        ("auto", None, "other", "auto balanced: best high low | "),
        // Two surfaces together.
        ("route/c", Some("s"), "gold", "route quality: | low:quality_floor high:quality_floor best:compliance ! "),
        ("low", None, "", "pin pin: low | "),
        ("low", Some("s"), "", "pin pin: | low:quality_floor ! ConstraintViolated"),
        ("high", None, "gold", "pin pin: | high:quality_floor ! ConstraintViolated"),
    ] {
        let r = asked(model, |r| {
            r.hints.stage = stage.map(str::to_owned);
            r.tags = vec![("surface", surface)];
        });
        let shown = w.shown(&r) + " | ";
        assert!(shown.starts_with(expected), "{model} {stage:?} {surface}: {shown}");
    }
}

#[test]
fn peak_rules_follow_the_local_hour_through_both_changes_of_the_clock() {
    let w = World::of(&format!(
        "{MODELS}
time_zone: Europe/Berlin
routes: {{ r: {{ strategy: quality }}, other: {{ strategy: quality }} }}
stages: {{ own: {{ model: mid }} }}
peak:
  - {{ when: \"local.hour == 2 && local.weekday == 7\", strategy: cost }}
  - {{ when: \"local.hour == 2 || local.hour == 14\", routes: [other], strategy: latency, min_quality: 0.6, max_cost_usd: 0.02 }}
"
    ));
    let (usual, peak) = ("route quality: dear mid cheap", "route cost: cheap mid dear");
    for (time, expected) in [
        ("2026-11-20T13:00:00Z", usual),
        ("2026-11-22T00:59:59Z", usual),
        ("2026-11-22T01:00:00Z", peak),
        ("2026-11-22T02:00:00Z", usual),
        // A Sunday in summer: two hours east.
        ("2026-08-02T00:30:00Z", peak),
        ("2026-08-02T01:30:00Z", usual),
        // The clock goes back: the second hour comes twice.
        ("2026-10-25T00:30:00Z", peak),
        ("2026-10-25T01:30:00Z", peak),
        ("2026-10-25T02:30:00Z", usual),
        // It goes forward: the second hour never comes.
        ("2026-03-29T00:59:59Z", usual),
        ("2026-03-29T01:00:00Z", usual),
    ] {
        assert_eq!(w.shown(&asked("route/r", |r| r.unix_ms = at(time))), expected, "{time}");
    }
    let noon = "2026-11-20T13:00:00Z";
    let other = "route latency: mid | cheap:quality_floor dear:price_cap";
    assert_eq!(w.shown(&asked("route/other", |r| r.unix_ms = at(noon))), other);
    // On Sunday the first rule that holds is taken, whole.
    assert_eq!(w.shown(&asked("route/other", |r| r.unix_ms = at("2026-11-22T01:30:00Z"))), peak);
    assert_eq!(
        w.shown(&asked("auto", |r| r.unix_ms = at("2026-11-22T01:30:00Z"))),
        "auto cost: cheap mid dear",
        "rules without routes are for auto too"
    );
    for pinned in ["dear", "own"] {
        let d = w.decide(&asked(pinned, |r| r.unix_ms = at("2026-11-22T01:30:00Z")));
        assert_eq!((d.candidates.len(), d.strategy == "cost"), (1, false), "{pinned}");
    }
}

#[test]
fn a_peak_rule_replaces_a_floor_but_never_lowers_a_surfaces() {
    let w = World::of(&format!(
        "{MODELS}
surfaces: {{ shop: {{ min_quality: 0.6 }} }}
routes:
  free: {{ strategy: cost, min_quality: 0.8 }}
  held: {{ strategy: cost, min_quality: 0.8, surface: shop }}
peak: [{{ when: \"request.class == 'background'\", min_quality: 0.1 }}]
"
    ));
    let at_peak = |model| asked(model, |r| r.profile.class = crate::profile::Class::Background);
    assert_eq!(w.shown(&ask("route/free")), "route cost: dear | cheap:quality_floor mid:quality_floor");
    assert_eq!(w.shown(&at_peak("route/free")), "route cost: cheap mid dear");
    assert_eq!(w.shown(&at_peak("route/held")), "route cost: mid dear | cheap:quality_floor");
}

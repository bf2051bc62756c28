//! Limits, packages, and what keys may use: what they mean, and what is wrong with them.

use super::mistakes::one_error;
use super::*;
use crate::gate::{Limits, OnExhausted, ScopeId};
use crate::registry::Tier;

/// Every key of limits but `thresholds`, and what it becomes.
const ALL: &str = "usd_per_day: 0.5, usd_per_week: 2, usd_per_month: 1e9, tokens_per_day: 5_000_000, tokens_per_week: 1e7, \
                   tokens_per_month: 1_000_000_000_000_000, requests_per_minute: 20, tokens_per_minute: 30_000, concurrency: 0, \
                   usd_per_request: 0.01, tokens_per_request: 9000, on_exhausted: queue";

fn usd_a_day(limits: &Limits) -> Option<u64> {
    limits.of(Quota::Usd(Window::Day))
}

fn names(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|name| &**name).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let found = parsed(text).warnings.into_iter().map(|w| w.to_string());
    found.filter(|w| !w.contains("unknown: ") && !w.contains("only a prior")).collect()
}

#[test]
fn a_whole_gate_is_resolved() {
    let config = parsed(&with_models(&format!(
        "stages: {{ s: {{}} }}\nroutes: {{ r: {{}} }}\n\
         keys: [{{ id: k, secret: s, team: t, tags: {{ surface: a=b }} }}]\n\
         leases: rediss://:word@h:6380/2\nlease_ttl: 1m\n\
         gate:\n  global: {{ {ALL}, thresholds: [0.9, 1, 0.5, 0.5] }}\n  teams: {{ t: {{ usd_per_day: 1 }} }}\n  \
         stages: {{ s: {{ usd_per_day: 2 }} }}\n  routes: {{ r: {{ usd_per_day: 3, on_exhausted: clamp }} }}\n  \
         models: {{ a: {{ usd_per_day: 4 }} }}\n  tags: {{ surface=a=b: {{ usd_per_day: 5 }} }}\n  \
         keys: {{ usd_per_day: 6, thresholds: [] }}\n  on_store_loss: local\n  max_waiting: 0\n"
    )))
    .config;
    let gate = &config.gate;
    let quotas: Vec<_> = Quota::ALL.iter().map(|q| gate.global.of(*q)).collect();
    let amounts = [0, 20, 30_000, 5_000_000, 10_000_000, 1_000_000_000_000_000, 500_000_000, 2_000_000_000];
    let amounts: Vec<_> = amounts.into_iter().chain([1_000_000_000_000_000_000]).map(Some).collect();
    assert_eq!(quotas, amounts);
    assert_eq!(gate.global.usd_per_request.map(|usd| usd.0), Some(10_000_000));
    assert_eq!((gate.global.tokens_per_request, gate.global.on_exhausted), (Some(9000), Some(OnExhausted::Queue)));
    assert_eq!(gate.global.thresholds(), [5_000, 9_000, 10_000]);
    assert_eq!((gate.key_default.thresholds(), gate.teams[0].1.thresholds().len()), (&[][..], 3));
    let scopes = ["team/t", "stage/s", "route/r", "model/a", "tag/surface=a=b", "key/k"];
    for (usd, scope) in (1..).zip(scopes) {
        let limits = gate.limits_of(&ScopeId::parse(scope).unwrap()).unwrap();
        assert_eq!(usd_a_day(limits), Some(usd * 1_000_000_000), "{scope}");
    }
    assert_eq!(gate.limits_of(&ScopeId::Team("other".into())), None);
    assert_eq!((gate.on_store_loss, gate.max_waiting), (OnStoreLoss::Local, 0));
    assert_eq!(config.leases.unwrap().url.expose(), "rediss://:word@h:6380/2");
    assert_eq!(config.lease_ttl, Duration::from_secs(60));
}

#[test]
fn without_a_gate_nothing_is_limited() {
    let config = parsed(&with_models("gate:\nkeys: [{ id: k, secret: s }]")).config;
    let gate = &config.gate;
    assert!(gate.global.is_empty() && gate.key_limits(&config.keys[0]).is_empty() && gate.teams.is_empty());
    assert_eq!((gate.on_store_loss, gate.max_waiting), (OnStoreLoss::Closed, 1000));
    assert_eq!((config.leases, config.lease_ttl), (None, Duration::from_secs(10)));
    let key = &config.keys[0];
    assert!(key.is_valid(i64::MAX) && key.allows_provider("any") && gate.allows(key, "any").is_ok());
}

#[test]
fn a_key_has_its_own_limits_then_its_packages_then_everybodys() {
    let config = parsed(&with_models(
        "keys:\n- { id: own, secret: s1, package: pro, limits: { usd_per_day: 9 } }\n- { id: of_package, secret: s2, package: pro }\n\
         - { id: plain, secret: s3 }\n- { id: free, secret: s4, package: free }\n\
         gate: { keys: { usd_per_day: 1, concurrency: 3, tokens_per_day: 7 }, packages: { pro: { limits: { usd_per_day: 5, concurrency: 8 } }, standard: {} } }",
    ))
    .config;
    let shown = |key: &Key| {
        let limits = config.gate.key_limits(key);
        let quotas =
            [Quota::Usd(Window::Day), Quota::Concurrency, Quota::RequestsPerMinute, Quota::Tokens(Window::Day)];
        quotas.map(|quota| limits.of(quota).unwrap_or(0))
    };
    let found: Vec<_> = config.keys.iter().map(shown).collect();
    assert_eq!(
        found,
        [[9_000_000_000, 8, 0, 7], [5_000_000_000, 8, 0, 7], [1_000_000_000, 3, 0, 7], [500_000_000, 2, 20, 7]]
    );
    // A package of the operator's replaces the built-in one whole.
    let standard = config.gate.package("standard").unwrap();
    assert!(standard.limits.is_empty() && standard.models.is_empty());
    assert_eq!(config.gate.packages.len(), 4);
    let premium = config.gate.package("premium").unwrap();
    assert_eq!((usd_a_day(&premium.limits), premium.models.len()), (Some(200_000_000_000), 0));
}

/// Models of two tiers and a tag; the names are the catalogue's.
const TIERS: &str = "providers: { openai: { api_key: k }, anthropic: { api_key: k }, local: { dialect: openai, base_url: 'http://h/v1' } }\n\
    models:\n  gpt-4o-mini: { tags: [safe] }\n  gpt-4o: { endpoints: [{ provider: openai }, { provider: local }] }\n  unheard-of: { endpoints: [{ provider: local }], tags: [safe, home] }\n";

#[test]
fn selectors_become_the_names_of_models() {
    let config =
        parsed(&format!("{TIERS}keys:\n- {{ id: k, secret: s, models: [unheard-of, 'tag:safe', gpt-4o-mini] }}\n"))
            .config;
    let registry = &config.registry;
    assert_eq!(names(&config.keys[0].models), ["unheard-of", "gpt-4o-mini"]);
    let tier = |name: &str| registry.model(registry.find(name).unwrap()).tier;
    let of = |wanted: Tier| -> Vec<&str> {
        let models = registry.models.iter().filter(|m| m.tier == Some(wanted));
        models.map(|m| &*m.name).collect()
    };
    assert!(tier("gpt-4o-mini").is_some() && tier("unheard-of").is_none());
    for (selector, wanted) in [("tier:small", Tier::Small), ("tier:medium", Tier::Medium), ("tier:large", Tier::Large)]
    {
        match select(registry, selector) {
            Ok(found) => assert_eq!(names(&found), of(wanted), "{selector}"),
            Err(why) => assert!(why.is_empty_tier() && of(wanted).is_empty(), "{selector}"),
        }
    }
    assert_eq!(select(registry, "tag:safe").as_deref().map(names), Ok(vec!["gpt-4o-mini", "unheard-of"]));
    for (selector, message) in [
        ("gpt-4", "unknown model `gpt-4`; did you mean `gpt-4o`?"),
        ("tag:saef", "no model has the tag `saef`; did you mean `safe`?"),
        ("tier:smal", "unknown tier `smal`: small, medium, large or frontier; did you mean `small`?"),
        ("tier:", "unknown tier ``: small, medium, large or frontier"),
        ("*", "unknown model `*`"),
    ] {
        assert_eq!(select(registry, selector).unwrap_err().to_string(), message);
    }
}

/// A pool that came out empty would allow everything.
#[test]
fn a_tier_without_models_allows_none() {
    let text = with_models(
        "keys: [{ id: k, secret: s, models: ['tier:small'] }, { id: f, secret: f, package: free }]\n\
         gate: { packages: { mine: { models: ['tier:large'] } } }",
    );
    let config = parsed(&text).config;
    for key in &config.keys {
        assert!(config.gate.allows(key, "a").is_err(), "{}", key.id);
    }
    assert_eq!(names(&config.gate.package("mine").unwrap().models), ["tier:large"]);
    let wanted = [
        "5: keys[0].models[0]: no model is known to be of the tier `small`, so it allows none",
        "5: keys[0]: no model is left that its `models`, its `package` and its `providers` allow together",
        "5: keys[1]: no model is left that its `models`, its `package` and its `providers` allow together",
        "6: gate.packages.mine.models[0]: no model is known to be of the tier `large`, so it allows none",
    ];
    for wanted in wanted {
        assert!(warnings(&text).iter().any(|w| w == wanted), "{wanted}\n{:#?}", warnings(&text));
    }
}

#[test]
fn a_pool_is_what_the_key_and_its_package_share() {
    let config = parsed(&with_models(
        "  c: {}\nkeys: [{ id: k, secret: s, models: [a, b], package: p }]\ngate: { packages: { p: { models: [b, c] } } }",
    ))
    .config;
    let allows = |key: &Key, model| config.gate.allows(key, model);
    let key = &config.keys[0];
    assert_eq!((allows(key, "a"), allows(key, "b")), (Err(Denied::Package("p".into())), Ok(())));
    assert_eq!(allows(key, "c"), Err(Denied::Key));
    // A stored key may name a package that was taken out of the configuration since.
    let stranded = Key { package: Some("gone".into()), ..Key::new("k2", Secret::new("s2")) };
    assert_eq!(allows(&stranded, "b"), Err(Denied::Package("gone".into())));
}

#[test]
fn keys_expire_and_are_disabled() {
    let config = parsed(
        "time_zone: Europe/Berlin\nkeys:\n- { id: day, secret: a, expires: 2027-03-28 }\n\
         - { id: moment, secret: b, expires: '2027-01-31T18:00:00+01:00' }\n- { id: off, secret: c, enabled: false }",
    )
    .config;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for (i, end) in [(0, "2027-03-28T22:00:00Z"), (1, "2027-01-31T17:00:00Z")] {
        let key = &config.keys[i];
        assert_eq!(key.expires_ms, Some(at(end)));
        assert!(key.is_valid(at(end) - 1) && !key.is_valid(at(end)), "{end}");
    }
    assert!(!config.keys[2].is_valid(0));
    let past = "keys:\n- { id: a, secret: s, expires: 2026-11-19 }\n- { id: b, secret: t, expires: 2026-11-20 }";
    assert_eq!(warnings(past), ["2: keys[0].expires: the key has expired: it opens nothing"]);
}

#[test]
fn pacing_is_for_value() {
    let config = parsed(&with_models(
        "auto: { strategy: value, lambda: 50, pacing: true }\n\
         stages: { same: {}, off: { pacing: false }, other: { strategy: cost }, own: { model: a } }\n\
         routes: { r: { strategy: value, budget_usd_per_request: 1, pacing: true }, s: { pacing: false } }",
    ))
    .config;
    let stages: Vec<bool> = config.stages.iter().map(|s| s.policy.pacing).collect();
    let routes: Vec<bool> = config.routes.iter().map(|r| r.policy.pacing).collect();
    assert_eq!((config.auto.pacing, stages, routes), (true, vec![true, false, false, false], vec![true, false]));
}

#[test]
fn what_can_never_count_is_a_warning() {
    let text = with_models(
        "keys: [{ id: k, secret: s, team: red, tags: { a: b } }]\n\
         gate: { teams: { rde: { concurrency: 1 }, red: {} }, tags: { a=c: { concurrency: 1 }, a=b: {} } }",
    );
    let wanted = [
        "6: gate.teams.rde: no configured key is of the team `rde`; did you mean `red`?",
        "6: gate.tags.a=c: no configured key carries this tag, so only requests that state it themselves count",
    ];
    assert_eq!(warnings(&text), wanted);
}

#[test]
fn an_unknown_price_is_a_warning_where_dollars_are_limited() {
    let told = |gate: &str| {
        let found = warnings(&with_models(&format!("{gate}\nstages: {{ s: {{}} }}")));
        found.into_iter().filter(|w| w.contains("price")).collect::<Vec<_>>()
    };
    let message = |place: &str| {
        format!("4: models.b: its price is unknown, so it is refused where dollars are limited ({place}): set `price`")
    };
    for (gate, place) in [
        ("gate: { global: { usd_per_month: 1 } }", "gate.global"),
        ("gate: { stages: { s: { usd_per_request: 1 } }, keys: { usd_per_day: 1 } }", "gate.stages.s and 1 more"),
        ("gate: { models: { b: { usd_per_week: 1 } } }", "gate.models.b"),
        ("gate: { packages: { p: { limits: { usd_per_day: 1 } } } }", "gate.packages.p"),
        ("keys: [{ id: k, secret: s, limits: { usd_per_day: 1 } }]", "the limits of key k"),
        ("keys: [{ id: k, secret: s, package: premium }]", "gate.packages.premium"),
    ] {
        assert_eq!(told(gate), [message(place)], "{gate}");
    }
    for gate in ["gate: { global: { tokens_per_day: 1 } }", "gate: { models: { a: { usd_per_day: 1 } } }", ""] {
        assert!(told(gate).is_empty(), "{gate}");
    }
}

#[test]
fn one_mistake_in_the_gate_gives_one_error() {
    for (limits, expected) in [
        ("usd_per_day: -1", "usd_per_day: must be between 0 and 1000000000"),
        ("usd_per_day: -0.01", "usd_per_day: must be between"),
        ("usd_per_week: 1e300", "usd_per_week: must be between"),
        ("usd_per_month: 1_000_000_001", "usd_per_month: must be between"),
        ("usd_per_day: .nan", "usd_per_day: expected a number, found text"),
        ("usd_per_day: .inf", "usd_per_day: expected a number, found text"),
        ("usd_per_day: $5", "usd_per_day: expected a number, found text"),
        ("usd_per_request: -1", "usd_per_request: must be between"),
        ("tokens_per_day: -5", "tokens_per_day: must be between 0 and 1000000000000000"),
        ("tokens_per_day: 0.5", "tokens_per_day: expected a whole number"),
        ("tokens_per_week: 18446744073709551616", "tokens_per_week: must be between"),
        ("tokens_per_month: 1_000_000_000_000_001", "tokens_per_month: must be between"),
        ("tokens_per_minute: 1e300", "tokens_per_minute: must be between"),
        ("tokens_per_request: -1", "tokens_per_request: must be between"),
        ("requests_per_minute: lots", "requests_per_minute: expected a whole number, found text"),
        ("requests_per_minute: 1e10", "requests_per_minute: must be between 0 and 1000000000"),
        ("concurrency: -1", "concurrency: must be between"),
        ("concurrency: 5_000_000", "concurrency: must be between"),
        ("on_exhausted: wait", "on_exhausted: expected one of deny, clamp, queue"),
        ("thresholds: [0.5, 0]", "thresholds[1]: must be between 0.0001 and 1"),
        ("thresholds: [90]", "thresholds[0]: must be between"),
        ("thresholds: 0.5", "thresholds: expected a list, found a number"),
        ("thresholds: [1,1,1,1,1,1,1,1,1,1,1]", "thresholds: must have at most 10 entries"),
        ("usd_per_hour: 1", "usd_per_hour: unknown key"),
    ] {
        one_error(&format!("gate:\n  global: {{ {limits} }}"), &format!("2: gate.global.{expected}"));
        let key = format!("keys: [{{ id: k, secret: s, limits: {{ {limits} }} }}]");
        one_error(&key, &format!("1: keys[0].limits.{expected}"));
    }
    for (rest, expected) in [
        ("gate: { glbal: {} }", "5: gate.glbal: unknown key; did you mean `global`?"),
        ("gate: { global: 5 }", "5: gate.global: expected a mapping, found a whole number"),
        (
            "gate:\n  stages: { uI: { concurrency: 1 } }\nstages: { ui: {} }",
            "6: gate.stages.uI: unknown stage `uI`; did you mean `ui`?",
        ),
        ("gate: { routes: { x: {} } }\nroutes: { xy: {} }", "5: gate.routes.x: unknown route `x`; did you mean `xy`?"),
        ("gate: { models: { a1: {} } }", "5: gate.models.a1: unknown model `a1`; did you mean `a`?"),
        ("gate: { tags: { surface: {} } }", "5: gate.tags.surface: expected NAME=VALUE"),
        ("gate: { tags: { surface=: {} } }", "5: gate.tags.surface=: expected NAME=VALUE"),
        ("gate: { on_store_loss: open }", "5: gate.on_store_loss: expected one of closed, local"),
        ("gate: { max_waiting: -1 }", "5: gate.max_waiting: must be between 0 and 1000000"),
        ("gate: { packages: { p: { models: [c] } } }", "5: gate.packages.p.models[0]: unknown model `c`"),
        (
            "gate: { packages: { p: { models: ['tag:y'] } } }",
            "5: gate.packages.p.models[0]: no model has the tag `y`; did you mean `x`?",
        ),
        (
            "gate: { packages: { p: { models: ['tier:huge'] } } }",
            "5: gate.packages.p.models[0]: unknown tier `huge`: small, medium",
        ),
        ("gate: { packages: { ' p': {} } }", "5: gate.packages. p: a name has 1 to 200 characters"),
        ("gate: { packages: { p: { usd_per_day: 5 } } }", "5: gate.packages.p.usd_per_day: unknown key"),
        (
            "keys: [{ id: k, secret: s, package: fre }]",
            "5: keys[0].package: unknown package `fre`; did you mean `free`?",
        ),
        (
            "keys: [{ id: k, secret: s, providers: [q] }]",
            "5: keys[0].providers[0]: unknown provider `q`; did you mean `p`?",
        ),
        ("keys: [{ id: k, secret: s, models: ['tag:y'] }]", "5: keys[0].models[0]: no model has the tag `y`"),
        ("keys: [{ id: k, secret: s, expires: soon }]", "5: keys[0].expires: expected a day such as 2027-01-31"),
        ("keys: [{ id: k, secret: s, expires: 2027-02-30 }]", "5: keys[0].expires: expected a day"),
        ("keys: [{ id: k, secret: s, enabled: 1 }]", "5: keys[0].enabled: expected true or false"),
        ("leases: postgres://h", "5: leases: expected redis://HOST:PORT or rediss://HOST:PORT"),
        ("leases: redis://h:port", "5: leases: "),
        ("lease_ttl: 500ms", "5: lease_ttl: must be between 1s and 10m"),
        ("lease_ttl: 1h", "5: lease_ttl: must be between 1s and 10m"),
        ("lease_ttl: 10", "5: lease_ttl: expected text such as"),
    ] {
        one_error(&with_models(rest), expected);
    }
    // What is broken is not reported again where it is used.
    one_error("gate: { packages: { p: 5 } }\nkeys: [{ id: k, secret: s, package: p }]", "1: gate.packages.p: expected");
    one_error("providers: { p: 5 }\nkeys: [{ id: k, secret: s, providers: [p] }]", "1: providers.p: expected");
    one_error(&with_models("  c: 5\ngate: { models: { c: {} } }"), "5: models.c: expected");
}

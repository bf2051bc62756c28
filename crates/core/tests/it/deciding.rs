//! Properties of whole decisions, over random configurations, requests and live state. What each candidate must satisfy
//! is checked again here from the configuration alone, with arithmetic of its own. And one path from a body's bytes.
#![expect(clippy::panic, reason = "a case that cannot be built fails with its text")]

use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use waypost_core::config::{Config, parse};
use waypost_core::health::{BreakerState, EndpointView};
use waypost_core::hints::{Hints, Prefer};
use waypost_core::profile::{Declared, Profile, Task, profile};
use waypost_core::registry::{Capabilities, EndpointIx, ModelIx, Status};
use waypost_core::route::{Ask, Candidate, Decision, Level, Live, RefusalKind, decide, explain};
use waypost_core::scan::scan_chat;
use waypost_core::units::{Instant, NanoUsd, Now, Rng};

const NOW: Now = Now { instant: Instant(1_000_000_000_000), unix_ms: 1_795_176_000_000 };
/// Answers expected of every model.
const OUTPUT: f32 = 300.0;

/// Facts of one model; prices in dollars per million tokens.
#[derive(Clone, Debug)]
struct Facts {
    price: Option<(u32, u32)>,
    quality: Option<u32>,
    code: Option<u32>,
    window: Option<u32>,
    vision: Option<bool>,
    safe: bool,
    status: &'static str,
    first_token_ms: u32,
    view: (bool, bool, u32),
    factor: f32,
}

fn facts() -> impl Strategy<Value = Facts> {
    let known = (
        prop::option::weighted(0.8, (0..30u32, 0..90u32)),
        prop::option::weighted(0.8, 0..=100u32),
        prop::option::weighted(0.3, 0..=100u32),
        prop::option::weighted(0.6, 500..4000u32),
        prop::option::weighted(0.5, any::<bool>()),
    );
    let status =
        prop::sample::select(vec!["active", "active", "active", "active", "degraded", "deprecated", "offline"]);
    let live = (prop::bool::weighted(0.85), prop::bool::weighted(0.2), 0..40u32);
    (known, any::<bool>(), status, 1..4000u32, live, 0.5f32..2.0).prop_map(
        |((price, quality, code, window, vision), safe, status, first_token_ms, view, factor)| Facts {
            price,
            quality,
            code,
            window,
            vision,
            safe,
            status,
            first_token_ms,
            view,
            factor,
        },
    )
}

/// Floors and caps of a policy or of hints: hundredths, hundredths of a cent, milliseconds.
#[derive(Clone, Debug)]
struct Bounds {
    quality: Option<u32>,
    cost: Option<u32>,
    latency: Option<u32>,
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (
        prop::option::weighted(0.3, 0..=100u32),
        prop::option::weighted(0.3, 1..400u32),
        prop::option::weighted(0.3, 3000..9000u32),
    )
        .prop_map(|(quality, cost, latency)| Bounds { quality, cost, latency })
}

#[derive(Clone, Debug)]
struct Case {
    models: Vec<Facts>,
    strategy: &'static str,
    policy: Bounds,
    hints: Bounds,
    surface: Option<u32>,
    /// Bits: which models are listed, are emergencies, may be used by the key; 0 is all, none, all.
    listed: u8,
    emergency: u8,
    allowed: u8,
    fallback: Option<u8>,
    no_fallback: bool,
    asks: u8,
    input: u32,
    cap: Option<u32>,
    n: u32,
    sensitive: bool,
    vision: bool,
    code: bool,
    exact: u32,
    prefer: Option<Prefer>,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let strategies = [
        "strategy: cost",
        "strategy: latency",
        "strategy: quality",
        "strategy: balanced",
        "strategy: value, lambda: 30",
        "strategy: value, budget_usd_per_request: 0.005",
        "strategy: score, score: 'quality - cost_usd'",
        "weighted",
    ];
    let policy =
        (prop::sample::select(strategies.to_vec()), bounds(), bounds(), prop::option::weighted(0.3, 0..=100u32));
    let bits =
        (any::<u8>(), any::<u8>(), any::<u8>(), prop::option::of(any::<u8>()), prop::bool::weighted(0.1), 0..4u8);
    let prefers = vec![Prefer::Cost, Prefer::Latency, Prefer::Quality, Prefer::Balanced];
    let request = (
        1..3000u32,
        prop::option::weighted(0.4, 1..2000u32),
        1..4u32,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        1..3000u32,
        prop::option::weighted(0.3, prop::sample::select(prefers)),
        any::<u64>(),
    );
    (prop::collection::vec(facts(), 1..7), policy, bits, request).prop_map(|(models, policy, bits, request)| {
        let (strategy, policy, hints, surface) = policy;
        let (listed, emergency, allowed, fallback, no_fallback, asks) = bits;
        let (input, cap, n, sensitive, vision, code, exact, prefer, seed) = request;
        let emergency = if no_fallback { 0 } else { emergency };
        Case {
            models,
            strategy,
            policy,
            hints,
            surface,
            listed,
            emergency,
            allowed,
            fallback,
            no_fallback,
            asks,
            input,
            cap,
            n,
            sensitive,
            vision,
            code,
            exact,
            prefer,
            seed,
        }
    })
}

impl Case {
    fn names(&self, bits: u8) -> Vec<String> {
        (0..self.models.len()).filter(|i| bits >> i & 1 == 1).map(|i| format!("m{i}")).collect()
    }

    fn yaml(&self) -> String {
        let mut out =
            "providers: { p: { dialect: openai, base_url: \"http://127.0.0.1:9/v1\" } }\nmodels:\n".to_owned();
        for (i, m) in self.models.iter().enumerate() {
            let _ = write!(out, "  m{i}: {{ status: {}, latency: {{ first_token_ms: {} }}", m.status, m.first_token_ms);
            if let Some((input, output)) = m.price {
                let _ = write!(out, ", price: {{ input: {input}, output: {output} }}");
            }
            let figure =
                |task, q: Option<u32>| q.map_or(String::new(), |q| format!("{task}: {}, ", f64::from(q) / 100.0));
            let _ = write!(out, ", quality: {{ {}{} }}", figure("default", m.quality), figure("code", m.code));
            if let Some(window) = m.window {
                let _ = write!(out, ", context_window: {window}");
            }
            if let Some(vision) = m.vision {
                out += if vision { ", capabilities: [vision]" } else { ", capabilities: []" };
            }
            out += if m.safe { ", tags: [safe] }\n" } else { " }\n" };
        }
        let mut policy = match self.strategy {
            "weighted" => {
                let split: Vec<String> = (0..self.models.len()).map(|i| format!("m{i}: {}", i + 1)).collect();
                let everyone = self.names(u8::MAX);
                format!("strategy: weighted, split: {{ {} }}, candidates: [{}]", split.join(", "), everyone.join(", "))
            }
            other => other.to_owned(),
        };
        let listed = self.names(self.listed);
        if self.strategy != "weighted" && !listed.is_empty() {
            let _ = write!(policy, ", candidates: [{}]", listed.join(", "));
        }
        let _ = write!(policy, ", emergency: [{}]", self.names(self.emergency).join(", "));
        if let Some(q) = self.policy.quality {
            let _ = write!(policy, ", min_quality: {}", f64::from(q) / 100.0);
        }
        if let Some(c) = self.policy.cost {
            let _ = write!(policy, ", max_cost_usd: {}", f64::from(c) / 1e4);
        }
        if let Some(l) = self.policy.latency {
            let _ = write!(policy, ", max_latency_ms: {l}");
        }
        let no_fallback = if self.no_fallback { ", no_fallback: true" } else { "" };
        let surface = if self.surface.is_some() { ", surface: floor" } else { "" };
        let _ =
            writeln!(out, "auto: {{ {policy}{no_fallback} }}\nroutes: {{ r: {{ {policy}{no_fallback}{surface} }} }}");
        let _ = writeln!(
            out,
            "stages:\n  s: {{ }}\n  own: {{ model: m0, emergency: [{}] }}",
            self.names(self.emergency).join(", ")
        );
        if let Some(floor) = self.surface {
            let _ = writeln!(out, "surfaces: {{ floor: {{ min_quality: {} }} }}", f64::from(floor) / 100.0);
        }
        out += "compliance: [{ when: request.sensitive, require: [safe] }]\n";
        let _ = writeln!(out, "keys: [{{ id: k, secret: s, models: [{}] }}]", self.names(self.allowed).join(", "));
        if let Some(f) = self.fallback {
            let _ = writeln!(out, "fallback_model: m{}", usize::from(f) % self.models.len());
        }
        out
    }

    fn config(&self) -> Config {
        let today = jiff::civil::date(2026, 11, 20);
        parse(&self.yaml(), &|_| None, today).unwrap_or_else(|e| panic!("{e:#?}\n{}", self.yaml())).config
    }

    fn model(&self) -> &'static str {
        ["auto", "route/r", "stage/s", "stage/own", "m0"][usize::from(self.asks)]
    }

    fn profile(&self) -> Profile {
        Profile {
            input_tokens: self.input,
            messages: 1,
            needs: if self.vision { Capabilities::VISION } else { Capabilities::default() },
            max_output_tokens: self.cap,
            n: self.n,
            task: if self.code { Task::Code } else { Task::Chat },
            complexity: 0.4,
            sensitive: self.sensitive,
            ..Profile::default()
        }
    }

    fn decide_in(&self, config: &Config) -> Decision {
        let profile = self.profile();
        let hints = Hints {
            max_cost: self.hints.cost.map(|c| NanoUsd(i64::from(c) * 100_000)),
            max_latency_ms: self.hints.latency.map(|l| l as f32),
            min_quality: self.hints.quality.map(|q| (f64::from(q) / 100.0) as f32),
            prefer: self.prefer,
            ..Hints::default()
        };
        let ask = Ask {
            model: self.model(),
            profile: &profile,
            hints: &hints,
            tags: &[],
            key: config.keys.first(),
            headers: &|_| {},
            exact_tokens: &|_| self.exact,
        };
        decide(config, &ask, &World { case: self, config }, NOW, &mut Rng::new(self.seed))
    }
}

struct World<'a> {
    case: &'a Case,
    config: &'a Config,
}

impl Live for World<'_> {
    fn endpoint(&self, ix: EndpointIx) -> EndpointView {
        let model = self.config.registry.endpoint(ix).model;
        let (admits, limited, in_flight) = self.case.models[usize::from(model.0)].view;
        let latency = self.config.registry.model(model).latency;
        EndpointView {
            admits,
            breaker: if admits { BreakerState::Closed } else { BreakerState::Open },
            forced: false,
            retry_at: (!admits).then_some(NOW.instant + Duration::from_secs(7)),
            rate_limited_until: limited.then_some(NOW.instant + Duration::from_secs(3)),
            in_flight,
            first_token_us: latency.first_token_ms * 1000.0,
            per_token_us: latency.per_token_ms * 1000.0,
            observations: 0,
        }
    }

    fn token_factor(&self, model: ModelIx) -> f32 {
        self.case.models[usize::from(model.0)].factor
    }

    fn expected_output(&self, _: ModelIx, _: Task) -> f32 {
        OUTPUT
    }
}

/// Every constraint once more, from the case alone. A degraded candidate may break floors and caps of its list's kind:
/// an emergency model all of them, the global fallback the caller's.
fn violation(case: &Case, c: &Candidate, d: &Decision) -> Option<String> {
    let i = usize::from(c.model.0);
    let m = &case.models[i];
    let allowed = case.allowed & ((1 << case.models.len()) - 1) as u8;
    let fail = |what: &str| Some(format!("m{i}: {what}"));
    if case.sensitive && !m.safe {
        return fail("compliance");
    }
    if allowed != 0 && allowed >> i & 1 == 0 {
        return fail("not allowed");
    }
    if case.vision && m.vision == Some(false) {
        return fail("capability");
    }
    let estimated = (case.input as f32 * m.factor).round() as u32;
    if ![estimated, case.exact].contains(&c.estimate.input_tokens) {
        return fail("its input is neither the estimate nor the count");
    }
    let output = case.cap.unwrap_or(u32::MAX).min(OUTPUT as u32);
    if m.window
        .is_some_and(|w| u64::from(c.estimate.input_tokens) + u64::from(case.cap.unwrap_or(output)) > u64::from(w))
    {
        return fail("window");
    }
    let cost = m.price.map(|(input, output_price)| {
        let micro = u128::from(c.estimate.input_tokens) * u128::from(input) * 1_000_000_000
            + u128::from(output * case.n) * u128::from(output_price) * 1_000_000_000;
        ((micro + 500_000) / 1_000_000) as i64
    });
    if c.estimate.cost != cost.map(NanoUsd) {
        return fail("cost");
    }
    if m.status == "offline" || (m.status == "deprecated" && d.level != Level::Pin) {
        return fail("lifecycle");
    }
    if !m.view.0 {
        return fail("breaker");
    }
    let is_global = c.degraded && d.level == Level::Fallback && d.candidates[0].model == c.model;
    if c.degraded && !is_global {
        let emergency = case.names(case.emergency).contains(&format!("m{i}"));
        return if emergency && d.level != Level::Pin { None } else { fail("degraded, and no emergency model") };
    }
    let quality = if case.code { m.code.or(m.quality) } else { m.quality };
    let policy = matches!(case.model(), "auto" | "route/r" | "stage/s").then_some(&case.policy);
    let hints = (!is_global).then_some(&case.hints);
    let surface = case.surface.filter(|_| case.model() == "route/r");
    let floors = [policy.and_then(|b| b.quality), hints.and_then(|b| b.quality), surface];
    if floors.into_iter().flatten().any(|floor| quality.is_none_or(|q| q < floor)) {
        return fail("quality floor");
    }
    let caps = [policy.and_then(|b| b.cost), hints.and_then(|b| b.cost)];
    if caps.into_iter().flatten().any(|cap| cost.is_none_or(|cost| cost > i64::from(cap) * 100_000)) {
        return fail("price cap");
    }
    let (queue, first) = (0.02 * m.view.2 as f32, m.first_token_ms as f32);
    let latency = first + 14.0 * output as f32 + queue * first;
    if (c.estimate.latency_ms - latency).abs() > 0.01 * latency {
        return fail("latency");
    }
    let caps = [policy.and_then(|b| b.latency), hints.and_then(|b| b.latency)];
    if caps.into_iter().flatten().any(|cap| latency > cap as f32 * 1.001) {
        return fail("latency cap");
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_candidate_satisfies_every_constraint(case in cases()) {
        let config = case.config();
        let d = case.decide_in(&config);
        prop_assert_eq!(d.refusal.is_some(), d.candidates.is_empty());
        for (i, c) in d.candidates.iter().enumerate() {
            prop_assert_eq!(violation(&case, c, &d), None, "{}", case.yaml());
            // Who is only asked to wait is named among the excluded and stands behind the others.
            let named: Vec<&str> = d.excluded.iter().filter(|e| e.model == c.model).map(|e| e.reason.name()).collect();
            prop_assert!(named.is_empty() || (c.rate_limited && named == ["rate_limited"]), "m{}: {:?}", c.model.0, named);
            prop_assert!(d.candidates[..i].iter().all(|other| other.model != c.model), "m{} twice", c.model.0);
            // Marked ones come last.
            prop_assert!(!c.degraded || d.candidates[i..].iter().all(|c| c.degraded));
        }
        // A request's own models are all accounted for.
        let all = d.candidates.len() + d.excluded.len();
        let listed = case.names(case.listed).len();
        let considered = match case.model() {
            "m0" | "stage/own" => 1,
            _ if case.strategy == "weighted" || listed == 0 => case.models.len(),
            _ => listed,
        };
        prop_assert!(all >= considered, "{} of {}", all, considered);
        prop_assert!(d.no_fallback == (case.no_fallback && !matches!(case.model(), "m0" | "stage/own")));
        if d.no_fallback {
            prop_assert!(d.candidates.iter().all(|c| !c.degraded));
        }
        // Offline models and the like aside, who was excluded for a reason of health makes it worth trying again.
        if let Some(refusal) = &d.refusal {
            let waits = d.excluded.iter().any(|e| e.reason.name() == "breaker_open");
            prop_assert_eq!(refusal.kind == RefusalKind::NoCandidates, waits);
            prop_assert_eq!(refusal.retry_after, waits.then_some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn the_same_seed_decides_the_same(case in cases()) {
        let config = case.config();
        let (a, b) = (case.decide_in(&config), case.decide_in(&config));
        prop_assert_eq!(&a.candidates, &b.candidates);
        prop_assert_eq!(&a.excluded, &b.excluded);
        prop_assert_eq!((a.level, a.route, a.stage, a.strategy, &a.reason), (b.level, b.route, b.stage, b.strategy, &b.reason));
        let explained = serde_json::to_value(explain(&config, &case.profile(), &a)).unwrap();
        prop_assert_eq!(explained["candidates"].as_array().map(Vec::len), Some(a.candidates.len()));
        prop_assert_eq!(&explained, &serde_json::to_value(explain(&config, &case.profile(), &b)).unwrap());
        // Scores never rise along the order within a group.
        let group = |c: &Candidate| (c.degraded, c.rate_limited, matches!(config.registry.model(c.model).status, Status::Degraded | Status::Deprecated));
        for pair in a.candidates.windows(2) {
            prop_assert!(pair[0].degraded || group(&pair[0]) != group(&pair[1]) || pair[0].score >= pair[1].score);
        }
    }

    #[test]
    fn another_model_that_is_cheaper_never_raises_what_the_choice_costs(case in cases(), at in any::<prop::sample::Index>()) {
        let mut case = Case { strategy: "strategy: cost", listed: 0, asks: 1, prefer: None, ..case };
        case.allowed = 0;
        // Degraded models go last, and a limited one gives way: either would stand before the price.
        for m in &mut case.models {
            m.status = if m.status == "degraded" { "active" } else { m.status };
            m.view.1 = false;
        }
        let cost = |case: &Case| {
            let d = case.decide_in(&case.config());
            d.candidates.first().filter(|c| !c.degraded).map(|c| c.estimate.cost)
        };
        let before = cost(&case);
        let twin = &case.models[at.index(case.models.len())];
        let cheaper = Facts { price: twin.price.map(|(i, o)| (i / 2, o / 2)), ..twin.clone() };
        case.models.push(cheaper);
        let after = cost(&case);
        match (before, after) {
            (Some(Some(before)), Some(Some(after))) => prop_assert!(after <= before, "{:?} {:?}", before, after),
            (Some(Some(_)), _) => prop_assert!(false, "the choice is gone: {:?}", after),
            _ => {}
        }
    }
}

/// From the bytes of a request to its choice: an easy question to the cheap model, a hard one to the strong one.
#[test]
fn auto_reads_the_request_and_sends_it_where_it_belongs() {
    let yaml = "providers: { p: { dialect: openai, base_url: \"http://127.0.0.1:9/v1\" } }
models: { gpt-4o-mini: { endpoints: [{ provider: p }] }, gpt-4.1: { endpoints: [{ provider: p }] }, claude-opus-4-5: { endpoints: [{ provider: p }] } }";
    let config = parse(yaml, &|_| None, jiff::civil::date(2026, 11, 20)).unwrap().config;
    struct Cold<'a>(&'a Config);
    impl Live for Cold<'_> {
        fn endpoint(&self, ix: EndpointIx) -> EndpointView {
            let latency = self.0.registry.model(self.0.registry.endpoint(ix).model).latency;
            EndpointView {
                admits: true,
                breaker: BreakerState::Closed,
                forced: false,
                retry_at: None,
                rate_limited_until: None,
                in_flight: 0,
                first_token_us: latency.first_token_ms * 1000.0,
                per_token_us: latency.per_token_ms * 1000.0,
                observations: 0,
            }
        }

        fn token_factor(&self, _: ModelIx) -> f32 {
            1.0
        }

        fn expected_output(&self, _: ModelIx, _: Task) -> f32 {
            OUTPUT
        }
    }
    for (prompt, expected) in [
        ("What is the capital of France?", "gpt-4o-mini"),
        ("Thanks, that helped!", "gpt-4o-mini"),
        ("Translate 'good morning' into Spanish.", "gpt-4o-mini"),
        ("Prove there are infinitely many primes congruent to 3 mod 4.", "claude-opus-4-5"),
        (
            "Design a multi-region key-value store that stays linearizable through the loss of a region.",
            "claude-opus-4-5",
        ),
        (
            "A 34-year-old pregnant woman presents with fever, hypotension and a petechial rash. What is the differential diagnosis?",
            "claude-opus-4-5",
        ),
    ] {
        let body = serde_json::json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]}).to_string();
        let scan = scan_chat(body.as_bytes()).unwrap();
        let profile = profile(body.as_bytes(), &scan, Declared::default());
        let tags: &[(Arc<str>, Arc<str>)] = &[];
        let ask = Ask {
            model: "auto",
            profile: &profile,
            hints: &Hints::default(),
            tags,
            key: None,
            headers: &|_| {},
            exact_tokens: &|_| 0,
        };
        let d = decide(&config, &ask, &Cold(&config), NOW, &mut Rng::new(1));
        let first = &*config.registry.model(d.candidates[0].model).name;
        assert_eq!(first, expected, "{prompt} ({})", profile.complexity);
    }
}

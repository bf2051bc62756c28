//! Whole decisions over YAML configurations, with live state and requests made by hand. `levels` asks who proposes,
//! `constraints` what removes, `strategies` what orders, `explaining` what is told.

mod constraints;
mod explaining;
mod gated;
mod levels;
mod predicting;
mod strategies;

use super::*;
use crate::config::parse;
use crate::gate::{Bound, OnExhausted, Quota, ScopeId, Window};
use crate::health::{BreakerState, PRIOR_OUTPUT_TOKENS};
use crate::units::{Instant, NanoUsd};
use std::cell::Cell;

/// A configuration and the live state of its endpoints.
struct World {
    config: Config,
    views: Vec<EndpointView>,
    factors: Vec<f32>,
    output: f32,
    /// What the gate says of every candidate, and how much money it has room for.
    gated: Gated,
    room_usd: Option<u64>,
    on_exhausted: OnExhausted,
    lambda: Option<f64>,
    /// What a predictor says of each model; and how often it was asked.
    predicted: Vec<Option<Predicted>>,
    predictor_calls: Cell<u32>,
}

const NOW: Now = Now { instant: Instant(1_000_000_000_000), unix_ms: 1_795_176_000_000 };

impl World {
    /// Everything is well and nothing was learned.
    #[track_caller]
    fn new(yaml: &str) -> Self {
        let today = jiff::civil::date(2026, 11, 20);
        let config = parse(yaml, &|_| None, today).unwrap_or_else(|e| panic!("{e:#?}\n{yaml}")).config;
        let view = |e: &crate::registry::Endpoint| {
            let latency = config.registry.model(e.model).latency;
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
        };
        let views = config.registry.endpoints.iter().map(view).collect();
        let factors = vec![1.0; config.registry.models.len()];
        let (gated, room_usd, on_exhausted, lambda) = (Gated::default(), None, OnExhausted::Deny, None);
        let (predicted, predictor_calls) = (vec![None; factors.len()], Cell::new(0));
        let output = PRIOR_OUTPUT_TOKENS;
        Self { views, factors, output, gated, room_usd, on_exhausted, lambda, predicted, predictor_calls, config }
    }

    /// Two providers and `rest`; models of names that no catalogue knows.
    #[track_caller]
    fn of(rest: &str) -> Self {
        Self::new(&format!(
            "providers:\n  p: {{ dialect: openai, base_url: \"http://127.0.0.1:9/v1\" }}\n  \
             q: {{ dialect: openai, base_url: \"http://127.0.0.1:9/v1\", passthrough: true }}\n{rest}"
        ))
    }

    fn model(&self, name: &str) -> ModelIx {
        self.config.registry.find(name).unwrap_or_else(|| panic!("no model {name}"))
    }

    /// The views of a model's endpoints.
    fn each(&mut self, model: &str, change: impl Fn(&mut EndpointView)) {
        for e in self.config.registry.model(self.model(model)).endpoints.clone() {
            change(&mut self.views[usize::from(e.0)]);
        }
    }

    fn open(&mut self, model: &str, retry_in: Option<Duration>) {
        self.each(model, |view| {
            (view.admits, view.breaker) = (false, BreakerState::Open);
            view.retry_at = retry_in.map(|d| NOW.instant + d);
        });
    }

    fn limit(&mut self, model: &str, left: Duration) {
        self.each(model, |view| view.rate_limited_until = Some(NOW.instant + left));
    }

    fn decide(&self, r: &Request) -> Decision {
        let exact = |_| {
            r.exact_calls.set(r.exact_calls.get() + 1);
            r.exact
        };
        let headers = |visit: &mut dyn FnMut(&str, &str)| r.headers.iter().for_each(|(k, v)| visit(k, v));
        let key = r.key.map(|id| self.config.keys.iter().find(|k| &*k.id == id).expect("the test's key"));
        let ask = Ask {
            model: r.model,
            profile: &r.profile,
            hints: &r.hints,
            tags: &r.tags.iter().map(|(k, v)| (Arc::from(*k), Arc::from(*v))).collect::<Vec<_>>(),
            key,
            headers: &headers,
            exact_tokens: &exact,
        };
        decide(&self.config, &ask, self, Now { unix_ms: r.unix_ms, ..NOW }, &mut Rng::new(r.seed))
    }

    fn names(&self, d: &Decision) -> Vec<&str> {
        d.candidates.iter().map(|c| &*self.config.registry.model(c.model).name).collect()
    }

    /// A whole decision in a line: `level strategy: candidates | exclusions ! refusal`, `*` where degraded.
    fn show(&self, d: &Decision) -> String {
        let name = |m: ModelIx| &*self.config.registry.model(m).name;
        let mut line = format!("{} {}:", d.level.name(), d.strategy);
        for c in &d.candidates {
            line += &format!(" {}{}", name(c.model), if c.degraded { "*" } else { "" });
        }
        if !d.excluded.is_empty() {
            line += " |";
        }
        for e in &d.excluded {
            line += &format!(" {}:{}", name(e.model), e.reason.name());
        }
        assert_eq!(d.refusal.is_some(), d.candidates.is_empty(), "a refusal is set exactly where nobody may answer");
        if let Some(refusal) = &d.refusal {
            line += &format!(" ! {:?}", refusal.kind);
        }
        line
    }

    /// [`World::show`] of what is decided.
    fn shown(&self, r: &Request) -> String {
        self.show(&self.decide(r))
    }
}

impl Live for World {
    fn endpoint(&self, ix: EndpointIx) -> EndpointView {
        self.views[usize::from(ix.0)]
    }

    fn token_factor(&self, model: ModelIx) -> f32 {
        self.factors[usize::from(model.0)]
    }

    fn expected_output(&self, _: ModelIx, _: Task) -> f32 {
        self.output
    }

    fn predicted(&self, _: Place, model: ModelIx) -> Option<Predicted> {
        self.predictor_calls.set(self.predictor_calls.get() + 1);
        self.predicted[usize::from(model.0)]
    }

    fn gate(&self, _: Place) -> Gated {
        self.gated
    }

    fn room(&self, _: Place, _: ModelIx, need: &Amounts) -> Result<(), Box<Exceeded>> {
        match self.room_usd {
            Some(room) if need.usd > room => Err(Box::new(Exceeded {
                scope: ScopeId::Team("blue".into()),
                bound: Bound::Quota(Quota::Usd(Window::Day)),
                limit: 5_000_000_000,
                spent: 5_000_000_000 - room,
                need: need.usd,
                resets_ms: Some(NOW.unix_ms + 3_600_000),
                on_exhausted: self.on_exhausted,
            })),
            _ => Ok(()),
        }
    }

    fn lambda(&self, _: Place) -> Option<f64> {
        self.lambda
    }
}

/// A request; what it does not say is usual.
struct Request {
    model: &'static str,
    profile: Profile,
    hints: Hints,
    tags: Vec<(&'static str, &'static str)>,
    key: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    /// What the exact counter says, and how often it was asked.
    exact: u32,
    exact_calls: Cell<u32>,
    unix_ms: i64,
    seed: u64,
}

/// 1000 tokens of chat, of middling difficulty.
fn ask(model: &'static str) -> Request {
    let profile = Profile { input_tokens: 1000, messages: 1, n: 1, complexity: 0.4, ..Profile::default() };
    Request {
        model,
        profile,
        hints: Hints::default(),
        tags: Vec::new(),
        key: None,
        headers: Vec::new(),
        exact: 1000,
        exact_calls: Cell::new(0),
        unix_ms: NOW.unix_ms,
        seed: 7,
    }
}

/// [`ask`], changed.
fn asked(model: &'static str, change: impl FnOnce(&mut Request)) -> Request {
    let mut request = ask(model);
    change(&mut request);
    request
}

fn at(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().expect("the test's time").as_millisecond()
}

fn usd(dollars: f64) -> NanoUsd {
    NanoUsd::from_usd(dollars)
}

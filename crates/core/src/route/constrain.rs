//! Hard constraints: what removes a model before any scoring, in DESIGN.md's order, each with its typed reason.
//!
//! What is not known does not exclude, except where a cap or a floor depends on it.

use super::estimate::Standing;
use super::reason::{Exclusion, Reason};
use super::resolve::{Level, Limits, Pinned, Proposal};
use super::{Ask, Candidate, Estimate, Gated, LazyVars, Live, Refusal, RefusalKind, estimate, predicted, worst};
use crate::config::{Config, Denied};
use crate::gate::{Bound, Exceeded, OnExhausted};
use crate::registry::{EndpointIx, Model, ModelIx, Price, Status, Tokenizer};
use crate::units::Now;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

/// One search for candidates: what was considered, what passed, what did not.
pub(super) struct Search<'a> {
    config: &'a Config,
    ask: &'a Ask<'a>,
    live: &'a dyn Live,
    pub now: Now,
    pub vars: &'a LazyVars<'a>,
    proposal: &'a Proposal<'a>,
    /// Quality decides here: a predictor is asked.
    predicts: bool,
    /// What the gate asks of every candidate.
    gated: Gated,
    /// Some budget of what passed nears its end, and the operator wants the cheapest then.
    clamp: bool,
    /// Tags of the compliance rules that hold.
    compliance: Vec<&'a Arc<str>>,
    pub passed: Vec<Candidate>,
    pub excluded: Vec<Exclusion>,
    /// Passed, but every endpoint in service asked to be left alone for so long.
    limited: Vec<(ModelIx, Duration)>,
    /// Some exclusion would not have happened without the caller's hints.
    hints_excluded: bool,
    pub fell_back: bool,
    /// Exact input tokens by each tokenizer: a long prompt takes milliseconds, and many models may ask.
    exact: [OnceCell<u32>; 2],
}

/// What met its constraints.
struct Passed {
    candidate: Candidate,
    /// What the gate asks of it.
    gated: Gated,
    /// How long its endpoints ask to be left alone.
    wait: Option<Duration>,
}

/// Which constraints hold for a model.
#[derive(Clone, Copy, PartialEq)]
enum Check {
    /// All of them.
    Full,
    /// All but the caller's hints.
    WithoutHints,
    /// Compliance, allow-lists, capabilities, window and lifecycle: what an emergency model must meet.
    Essential,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        config: &'a Config,
        ask: &'a Ask<'a>,
        live: &'a dyn Live,
        now: Now,
        vars: &'a LazyVars<'a>,
        proposal: &'a Proposal<'a>,
    ) -> Self {
        // A rule that cannot be evaluated holds: compliance fails closed.
        let holds = config.compliance.iter().filter(|rule| rule.when.test(vars.read()).unwrap_or(true));
        let compliance = holds.flat_map(|rule| &rule.require).collect();
        let (passed, excluded) = (Vec::new(), Vec::new());
        Self {
            config,
            ask,
            live,
            now,
            vars,
            proposal,
            predicts: predicted::is_wanted(proposal, ask),
            gated: live.gate(proposal.place()),
            clamp: false,
            compliance,
            passed,
            excluded,
            limited: Vec::new(),
            hints_excluded: false,
            fell_back: false,
            exact: Default::default(),
        }
    }

    pub(super) fn config(&self) -> &'a Config {
        self.config
    }

    pub(super) fn ask(&self) -> &'a Ask<'a> {
        self.ask
    }

    pub(super) fn task(&self) -> crate::profile::Task {
        self.ask.profile.task
    }

    /// Considers every model that the proposal names.
    pub(super) fn consider_all(&mut self) {
        if let Some(pin) = self.proposal.pinned.clone() {
            self.consider(&pin);
        } else {
            let policy = &self.proposal.policy;
            let all;
            let candidates: &[ModelIx] = if let Some(own) = &self.proposal.own {
                std::slice::from_ref(own)
            } else if !policy.candidates.is_empty() {
                &policy.candidates
            } else {
                all = self.config.registry.model_ixs().collect::<Vec<_>>();
                &all
            };
            self.passed.reserve(candidates.len());
            for &model in candidates {
                self.consider(&self.plain(model));
            }
        }
        // A rate-limit hint only orders: it is named where others go first, and the model still stands behind them.
        if self.limited.len() < self.passed.len() {
            let named = |(model, left): (ModelIx, Duration)| Exclusion { model, reason: Reason::RateLimited(left) };
            self.excluded.extend(self.limited.drain(..).map(named));
        }
    }

    fn plain(&self, model: ModelIx) -> Pinned {
        Pinned { model, provider: None, passed_through: None }
    }

    fn consider(&mut self, pin: &Pinned) {
        match self.check(pin, Check::Full) {
            Ok(Passed { candidate, gated, wait }) => {
                self.clamp |= gated.clamp;
                self.passed.push(Candidate { rate_limited: wait.is_some(), ..candidate });
                self.limited.extend(wait.map(|left| (pin.model, left)));
            }
            Err(reason) => {
                let by_cap = matches!(
                    reason,
                    Reason::PriceCap(..) | Reason::LatencyCap(..) | Reason::QualityFloor(..) | Reason::NoPrice
                );
                if by_cap && self.check(pin, Check::WithoutHints).is_ok() {
                    self.hints_excluded = true;
                }
                self.excluded.push(Exclusion { model: pin.model, reason });
            }
        }
    }

    /// Whether nothing is left, and something would be without the caller's hints.
    pub(super) fn only_hints_excluded(&self) -> bool {
        self.hints_excluded && self.proposal.level != Level::Pin
    }

    /// Level 4: the configured fallback against the operator's constraints.
    pub(super) fn global_fallback(&mut self) -> Vec<Candidate> {
        let Some(model) = self.config.fallback_model else { return Vec::new() };
        let candidate = match self.check(&self.plain(model), Check::WithoutHints) {
            Ok(Passed { candidate, .. }) => candidate,
            Err(reason) => {
                self.exclude(model, reason);
                return Vec::new();
            }
        };
        self.fell_back = true;
        self.excluded.retain(|e| e.model != model);
        vec![Candidate { degraded: true, ..candidate }]
    }

    /// The emergency list, behind everything else.
    pub(super) fn emergency(&mut self, candidates: &[Candidate]) -> Vec<Candidate> {
        let mut out = Vec::new();
        for &model in &self.proposal.policy.emergency {
            if candidates.iter().any(|c| c.model == model) {
                continue;
            }
            match self.check(&self.plain(model), Check::Essential) {
                Ok(Passed { candidate, .. }) => {
                    self.excluded.retain(|e| e.model != model);
                    out.push(Candidate { degraded: true, ..candidate });
                }
                Err(reason) => self.exclude(model, reason),
            }
        }
        out
    }

    /// Lists a model that was considered besides the candidates; a candidate keeps its first reason.
    fn exclude(&mut self, model: ModelIx, reason: Reason) {
        if !self.excluded.iter().any(|e| e.model == model) {
            self.excluded.push(Exclusion { model, reason });
        }
    }

    /// Every hard constraint in DESIGN.md's order.
    fn check(&self, pin: &Pinned, check: Check) -> Result<Passed, Reason> {
        let model = self.config.registry.model(pin.model);
        self.tags(model)?;
        self.allowed(pin, model)?;
        if let Some(kind) = model.kind.filter(|kind| !kind.takes(self.ask.profile.embeddings)) {
            return Err(Reason::Kind(kind));
        }
        if let Some(missing) =
            model.capabilities.map(|has| self.ask.profile.needs.without(has)).filter(|m| !m.is_empty())
        {
            return Err(Reason::Capability(missing));
        }
        let predicted = self.predicts.then(|| self.live.predicted(self.proposal.place(), pin.model)).flatten();
        let (policy, named) = (&self.proposal.policy, (pin.model, model));
        let output = estimate::output_tokens(self.ask, self.live, policy, named, predicted.as_ref());
        let input = self.window(pin, model, output)?;
        let n = self.ask.profile.n.max(1);
        let task = self.ask.profile.task;
        let standing = Standing::of(self.live, self.endpoints(pin), output, self.now.instant);
        let configured = self.live.quality(pin.model, task, model.quality.of(task));
        let mut estimate = Estimate {
            input_tokens: input,
            output_tokens: output,
            cost: estimate::cost(self.price(pin), input, output, n),
            latency_ms: standing.latency_ms,
            quality: predicted.map(|p| p.quality).or(configured),
            predicted,
            judged: predicted::judged(self.ask.profile, configured, predicted.as_ref()),
        };
        if check != Check::Essential {
            self.caps(pin, model, &mut estimate, check)?;
        }
        match model.status {
            Status::Offline => return Err(Reason::Offline),
            Status::Deprecated if self.proposal.pinned.is_none() => return Err(Reason::Deprecated),
            Status::Deprecated | Status::Degraded | Status::Active => {}
        }
        if !standing.admits {
            return Err(Reason::BreakerOpen(standing.retry_at.map(|at| at.since(self.now.instant))));
        }
        let gated = self.gate(pin, model, input)?;
        let (model, provider, passed_through) = (pin.model, pin.provider, pin.passed_through.clone());
        let (score, degraded, rate_limited) = (0.0, false, false);
        let candidate = Candidate { model, provider, passed_through, estimate, score, degraded, rate_limited };
        Ok(Passed { candidate, gated, wait: standing.wait })
    }

    /// What the key may use: its models, its package's, and those that an allowed provider has.
    fn allowed(&self, pin: &Pinned, model: &Model) -> Result<(), Reason> {
        let Some(key) = self.ask.key else { return Ok(()) };
        self.config.gate.allows(key, &model.name).map_err(Reason::NotAllowed)?;
        match self.endpoints(pin).next() {
            None if !key.providers.is_empty() => Err(Reason::NotAllowed(Denied::Provider)),
            _ => Ok(()),
        }
    }

    fn price<'b>(&'b self, pin: &'b Pinned) -> Option<&'b Price> {
        super::price(&self.config.registry, pin.model, pin.passed_through.as_deref())
    }

    fn tags(&self, model: &Model) -> Result<(), Reason> {
        let policy = self.proposal.policy.require.iter().chain(&self.proposal.surface_tags);
        let mut required = self.compliance.iter().copied().chain(policy);
        required.find(|tag| !model.has_tag(tag)).map_or(Ok(()), |tag| Err(Reason::Compliance(tag.clone())))
    }

    /// Input tokens, where they fit the window; counted exactly where the estimate is within 15 % of deciding.
    fn window(&self, pin: &Pinned, model: &Model, expected: u32) -> Result<u32, Reason> {
        let mut input = estimate::input_tokens(self.ask, self.live, pin.model);
        let Some(window) = model.context_window else { return Ok(input) };
        let output = self.ask.profile.max_output_tokens.unwrap_or(expected);
        let need = |input: u32| u64::from(input) + u64::from(output);
        if need(input) * 100 > u64::from(window) * 85 && need(input) * 100 < u64::from(window) * 115 + 100 {
            input = self.exact_tokens(model.tokenizer);
        }
        if need(input) > u64::from(window) {
            return Err(Reason::ContextWindow { input, output, window });
        }
        Ok(input)
    }

    fn caps(&self, pin: &Pinned, model: &Model, estimate: &mut Estimate, check: Check) -> Result<(), Reason> {
        let hints = Limits {
            min_quality: self.ask.hints.min_quality,
            max_cost: self.ask.hints.max_cost,
            max_latency_ms: self.ask.hints.max_latency_ms,
        };
        let limits = if check == Check::Full { self.proposal.limits.and(hints) } else { self.proposal.limits };
        if let Some(cap) = limits.max_cost {
            let Some(mut cost) = estimate.cost else { return Err(Reason::NoPrice) };
            if i128::from(cost.0).abs_diff(cap.0.into()) * 10 < u128::from(cap.0.unsigned_abs()) {
                estimate.input_tokens = self.exact_tokens(model.tokenizer);
                let n = self.ask.profile.n;
                cost =
                    estimate::cost(self.price(pin), estimate.input_tokens, estimate.output_tokens, n).unwrap_or(cost);
                estimate.cost = Some(cost);
            }
            if cost > cap {
                return Err(Reason::PriceCap(cost, cap));
            }
        }
        if let Some(cap) = limits.max_latency_ms.filter(|cap| estimate.latency_ms > *cap) {
            return Err(Reason::LatencyCap(estimate.latency_ms, cap));
        }
        match limits.min_quality {
            Some(floor) if estimate.quality.is_none_or(|q| q < floor) => {
                Err(Reason::QualityFloor(estimate.quality, floor))
            }
            _ => Ok(()),
        }
    }

    /// Whether the gate has room for its worst case; the input is counted exactly where that may decide.
    fn gate(&self, pin: &Pinned, model: &Model, input: u32) -> Result<Gated, Reason> {
        let gated = self.gated.and(self.live.gate_model(pin.model));
        let price = self.price(pin);
        if gated.money && price.is_none() {
            return Err(Reason::NoPrice);
        }
        if !gated.tight {
            return Ok(gated);
        }
        let room = |input: u32| {
            let need = worst::worst(self.config, self.ask.profile, model, price, input).amounts;
            let need = crate::gate::Amounts { requests: 1, concurrency: 1, ..need };
            self.live.room(self.proposal.place(), pin.model, &need)
        };
        let fits = match room(input) {
            Err(exceeded) if matches!(exceeded.bound, Bound::Quota(q) if q.window().is_none()) => {
                Err(Reason::Budget(exceeded))
            }
            Err(_) => room(self.exact_tokens(model.tokenizer).min(input)).map_err(Reason::Budget),
            Ok(()) => Ok(()),
        };
        fits.map(|()| gated)
    }

    /// Whether a budget nears its end, or has no room for some candidate, and the operator wants the cheapest then.
    pub(super) fn is_clamped(&self) -> bool {
        let asks = |e: &Exclusion| matches!(&e.reason, Reason::Budget(x) if x.on_exhausted == OnExhausted::Clamp);
        self.clamp || self.excluded.iter().any(asks)
    }

    /// What a US dollar is worth at present, where the policy is paced.
    pub(super) fn paced(&self) -> Option<f64> {
        if self.proposal.policy.pacing { self.live.lambda(self.proposal.place()) } else { None }
    }

    fn exact_tokens(&self, tokenizer: Tokenizer) -> u32 {
        *self.exact[tokenizer as usize].get_or_init(|| (self.ask.exact_tokens)(tokenizer))
    }

    fn endpoints<'b>(&'b self, pin: &'b Pinned) -> impl Iterator<Item = EndpointIx> + 'b {
        let registry = &self.config.registry;
        let key = self.ask.key;
        let here = move |ix: &EndpointIx| {
            pin.provider.is_none_or(|p| registry.endpoint(*ix).provider == p)
                && key.is_none_or(|k| k.allows_endpoint(registry, *ix))
        };
        registry.model(pin.model).endpoints.iter().copied().filter(here)
    }
}

/// The refusal that follows from the exclusions, when nothing is left (INTERFACE.md).
pub(super) fn refusal(config: &Config, excluded: &[Exclusion], level: Level, now: Now) -> Refusal {
    let out_of_service = |e: &&Exclusion| matches!(e.reason, Reason::Offline | Reason::Deprecated);
    let mut counted: Vec<&Exclusion> = excluded.iter().filter(|e| !out_of_service(e)).collect();
    if counted.is_empty() {
        counted = excluded.iter().collect();
    }
    let all = |test: fn(&Reason) -> bool| !counted.is_empty() && counted.iter().all(|e| test(&e.reason));
    let waits = counted.iter().filter_map(|e| match e.reason {
        Reason::BreakerOpen(left) => Some(left.unwrap_or(Duration::from_secs(1))),
        Reason::RateLimited(left) => Some(left),
        _ => None,
    });
    let wait = waits.min();
    let kind = if all(|r| matches!(r, Reason::NotAllowed(_))) {
        RefusalKind::NotAllowed
    } else if all(|r| matches!(r, Reason::ContextWindow { .. })) {
        RefusalKind::ContextLengthExceeded
    } else if wait.is_some() {
        RefusalKind::NoCandidates
    } else if let Some(exceeded) = nearest_budget(&counted) {
        return exceeded_refusal(exceeded, now);
    } else {
        RefusalKind::ConstraintViolated
    };
    let list: Vec<String> = excluded
        .iter()
        .map(|e| format!("{} ({}: {})", config.registry.model(e.model).name, e.reason.name(), e.reason))
        .collect();
    let message = match (kind, list.as_slice()) {
        (_, []) => "no model is configured for this request".to_owned(),
        (RefusalKind::ConstraintViolated, [one]) if level == Level::Pin => {
            format!("the model named cannot take this request: {one}")
        }
        (_, many) => format!("no model can take this request: {}", many.join("; ")),
    };
    Refusal { kind, message, retry_after: wait.map(|w| w.max(Duration::from_secs(1))), exceeded: None }
}

/// Of the budgets that leave no room, the one that is there again first.
fn nearest_budget<'a>(excluded: &[&'a Exclusion]) -> Option<&'a Exceeded> {
    let budgets =
        excluded.iter().filter_map(|e| if let Reason::Budget(exceeded) = &e.reason { Some(&**exceeded) } else { None });
    budgets.min_by_key(|e| e.resets_ms.unwrap_or(i64::MAX))
}

/// The refusal of a request that a limit of the gate has no room for.
pub fn exceeded_refusal(exceeded: &Exceeded, now: Now) -> Refusal {
    let retry_after = exceeded.wait(now.unix_ms);
    let kind = match exceeded.bound {
        Bound::Quota(quota) if quota.is_rate() => RefusalKind::RateLimitExceeded,
        _ => RefusalKind::BudgetExceeded,
    };
    Refusal { kind, message: exceeded.to_string(), retry_after, exceeded: Some(Box::new(exceeded.clone())) }
}

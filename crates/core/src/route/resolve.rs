//! From the name that the client sent to who proposes the candidates: a pin, a route or stage, `auto`.

use super::{Ask, LazyVars, PassedThrough, Place, Refusal, RefusalKind};
use crate::config::Config;
use crate::hints::Prefer;
use crate::policy::{Policy, Strategy, Weights};
use crate::registry::{ModelIx, ProviderIx};
use crate::units::NanoUsd;
use std::borrow::Cow;
use std::sync::Arc;

/// Who proposed the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The caller named a model.
    Pin,
    /// A stage with a model of its own.
    Stage,
    /// A route.
    Route,
    /// Automatic.
    Auto,
    /// The global fallback.
    Fallback,
}

impl Level {
    /// The name in headers and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Stage => "stage",
            Self::Route => "route",
            Self::Auto => "auto",
            Self::Fallback => "fallback",
        }
    }
}

/// Who may answer before any constraint, and under which limits.
pub(super) struct Proposal<'a> {
    pub level: Level,
    pub route: Option<usize>,
    pub stage: Option<usize>,
    pub pinned: Option<Pinned>,
    /// The stage's own model: then the policy gives caps, floors and emergency models only.
    pub own: Option<ModelIx>,
    pub policy: Cow<'a, Policy>,
    pub override_strategy: Option<Strategy>,
    /// The operator's floor and caps: policy, surfaces, peak rule.
    pub limits: Limits,
    /// Tags that every model must carry, beyond the policy's: the surfaces'.
    pub surface_tags: Vec<Arc<str>>,
}

impl Proposal<'_> {
    /// Where the request was put.
    pub(super) fn place(&self) -> Place {
        Place { route: self.route, stage: self.stage }
    }
}

/// A model that the caller named.
#[derive(Clone)]
pub(super) struct Pinned {
    pub model: ModelIx,
    pub provider: Option<ProviderIx>,
    pub passed_through: Option<Arc<PassedThrough>>,
}

/// Floor and caps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub min_quality: Option<f32>,
    pub max_cost: Option<NanoUsd>,
    pub max_latency_ms: Option<f32>,
}

impl Limits {
    /// The stricter of both, field by field.
    pub(super) fn and(self, other: Self) -> Self {
        fn tight<T: PartialOrd>(a: Option<T>, b: Option<T>, keep_a: fn(&T, &T) -> bool) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if keep_a(&a, &b) { a } else { b }),
                (a, b) => a.or(b),
            }
        }
        Self {
            min_quality: tight(self.min_quality, other.min_quality, |a, b| a >= b),
            max_cost: tight(self.max_cost, other.max_cost, |a, b| a <= b),
            max_latency_ms: tight(self.max_latency_ms, other.max_latency_ms, |a, b| a <= b),
        }
    }
}

enum Named {
    Pin(Pinned),
    Route(usize),
    Stage(usize),
    Auto,
}

/// Resolves the request's name and gathers the policy in force.
pub(super) fn propose<'a>(config: &'a Config, ask: &Ask<'_>, vars: &LazyVars<'_>) -> Result<Proposal<'a>, Refusal> {
    let named = name(config, ask.model)?;
    let hinted_stage = ask.hints.stage.as_deref().map(|s| stage(config, s)).transpose()?;
    let hinted_route = ask.hints.route.as_deref().map(|r| route(config, r)).transpose()?;
    let (mut route, mut stage_ix, mut pinned) = (None, hinted_stage, None);
    match named {
        Named::Pin(pin) => pinned = Some(pin),
        Named::Route(r) => route = Some(r),
        Named::Stage(s) => stage_ix = Some(s),
        Named::Auto if hinted_route.is_some() => route = hinted_route,
        Named::Auto if hinted_stage.is_some() => {}
        Named::Auto => route = matching_route(config, vars),
    }
    allowed(config, ask, route, stage_ix)?;
    let named_stage = stage_ix.filter(|_| route.is_none() && pinned.is_none());
    let own = named_stage.and_then(|s| config.stages[s].model);
    let (level, policy) = match (&pinned, route, named_stage) {
        (Some(_), _, _) => (Level::Pin, Cow::Owned(Policy::default())),
        (None, Some(r), _) => (Level::Route, Cow::Borrowed(&config.routes[r].policy)),
        (None, None, Some(s)) if own.is_some() => (Level::Stage, Cow::Borrowed(&config.stages[s].policy)),
        (None, None, Some(s)) => (Level::Auto, Cow::Borrowed(&config.stages[s].policy)),
        (None, None, None) => (Level::Auto, Cow::Borrowed(&config.auto)),
    };
    let mut limits =
        Limits { min_quality: policy.min_quality, max_cost: policy.max_cost, max_latency_ms: policy.max_latency_ms };
    let mut override_strategy = None;
    if matches!(level, Level::Route | Level::Auto) {
        apply_peak(config, vars, route, &mut limits, &mut override_strategy);
    }
    // A stage's own strategy is the operator's word; `prefer` moves plain `auto` only.
    if level == Level::Auto && stage_ix.is_none() && override_strategy.is_none() {
        override_strategy = ask.hints.prefer.and_then(|prefer| preferred(prefer, &policy.strategy));
    }
    let mut surface_tags = Vec::new();
    for s in surfaces(config, route, stage_ix, vars) {
        let surface = &config.surfaces[s];
        limits = limits.and(Limits { min_quality: surface.min_quality, ..Limits::default() });
        surface_tags.extend(surface.require.iter().cloned());
    }
    Ok(Proposal { level, route, stage: stage_ix, pinned, own, policy, override_strategy, limits, surface_tags })
}

/// The strategy that the caller prefers; `None`: it is the usual one, with the operator's weights.
fn preferred(prefer: Prefer, usual: &Strategy) -> Option<Strategy> {
    match (prefer, usual) {
        (Prefer::Cost, _) => Some(Strategy::Cost),
        (Prefer::Latency, _) => Some(Strategy::Latency),
        (Prefer::Quality, _) => Some(Strategy::Quality),
        (Prefer::Balanced, Strategy::Balanced(_)) => None,
        (Prefer::Balanced, _) => Some(Strategy::Balanced(Weights::default())),
    }
}

/// The first peak rule that holds replaces parts of the policy.
fn apply_peak(
    config: &Config,
    vars: &LazyVars<'_>,
    route: Option<usize>,
    limits: &mut Limits,
    strategy: &mut Option<Strategy>,
) {
    let name = route.map_or("auto", |r| &*config.routes[r].name);
    let concerns = |routes: &[Arc<str>]| routes.is_empty() || routes.iter().any(|r| &**r == name);
    let holding = config.peak.iter().find(|rule| concerns(&rule.routes) && rule.when.test(vars.read()) == Ok(true));
    if let Some(rule) = holding {
        *strategy = rule.strategy.clone();
        limits.min_quality = rule.min_quality.or(limits.min_quality);
        limits.max_cost = rule.max_cost.or(limits.max_cost);
    }
}

/// The surfaces that a request belongs to: its route's, its stage's, and those whose `match` holds.
fn surfaces<'a>(
    config: &'a Config,
    route: Option<usize>,
    stage: Option<usize>,
    vars: &'a LazyVars<'_>,
) -> impl Iterator<Item = usize> + 'a {
    let of_route = route.and_then(|r| config.routes[r].surface);
    let of_stage = stage.and_then(|s| config.stages[s].surface);
    (0..config.surfaces.len()).filter(move |&i| {
        let matched = || config.surfaces[i].matches.as_ref().is_some_and(|m| m.test(vars.read()) == Ok(true));
        of_route == Some(i) || of_stage == Some(i) || matched()
    })
}

fn matching_route(config: &Config, vars: &LazyVars<'_>) -> Option<usize> {
    config.routes.iter().position(|r| r.matches.as_ref().is_some_and(|m| m.test(vars.read()) == Ok(true)))
}

/// Routes and stages that the key may not use.
fn allowed(config: &Config, ask: &Ask<'_>, route: Option<usize>, stage: Option<usize>) -> Result<(), Refusal> {
    let Some(key) = ask.key else { return Ok(()) };
    let denied = |list: &[Arc<str>], name: &Arc<str>| !list.is_empty() && !list.contains(name);
    let refuse = |kind: &str, name: &str, list: &[Arc<str>]| {
        let may: Vec<&str> = list.iter().map(|s| &**s).collect();
        let message = format!("key `{}` may not use {kind} `{name}`; it may use: {}", key.id, may.join(", "));
        Err(Refusal { kind: RefusalKind::NotAllowed, message, retry_after: None, exceeded: None })
    };
    if let Some(r) = route.map(|r| &config.routes[r].name).filter(|r| denied(&key.routes, r)) {
        return refuse("route", r, &key.routes);
    }
    if let Some(s) = stage.map(|s| &config.stages[s].name).filter(|s| denied(&key.stages, s)) {
        return refuse("stage", s, &key.stages);
    }
    Ok(())
}

/// INTERFACE.md, "Model names": the order of resolution.
fn name(config: &Config, name: &str) -> Result<Named, Refusal> {
    if let Some(model) = config.registry.find(name) {
        return Ok(Named::Pin(Pinned { model, provider: None, passed_through: None }));
    }
    if name == "auto" {
        return Ok(Named::Auto);
    }
    if let Some(rest) = name.strip_prefix("route/") {
        return route(config, rest).map(Named::Route);
    }
    if let Some(rest) = name.strip_prefix("stage/") {
        return stage(config, rest).map(Named::Stage);
    }
    if let Some(r) = config.routes.iter().position(|r| &*r.name == name) {
        return Ok(Named::Route(r));
    }
    if let Some(s) = config.stages.iter().position(|s| &*s.name == name) {
        return Ok(Named::Stage(s));
    }
    at_provider(config, name).map(Named::Pin).ok_or_else(|| not_found(config, "model", name))
}

/// `provider/model`: a model of the registry at that provider, by its own name or its name there; else anything, where
/// the provider passes names through.
fn at_provider(config: &Config, name: &str) -> Option<Pinned> {
    let (provider, rest) = name.split_once('/')?;
    let registry = &config.registry;
    let at = ProviderIx(registry.providers.iter().position(|p| &*p.name == provider)? as u16);
    let serves = |m: &ModelIx| {
        let model = registry.model(*m);
        let mut here = model.endpoints.iter().map(|e| registry.endpoint(*e)).filter(|e| e.provider == at);
        here.any(|e| &*model.name == rest || &*e.name == rest)
    };
    if let Some(model) = registry.model_ixs().find(serves) {
        return Some(Pinned { model, provider: Some(at), passed_through: None });
    }
    let model = registry.passthrough(at).filter(|_| !rest.is_empty())?;
    let price = crate::catalogue::find(Some(provider), rest).and_then(|f| f.price);
    let passed = PassedThrough { name: rest.into(), price };
    Some(Pinned { model, provider: None, passed_through: Some(Arc::new(passed)) })
}

fn route(config: &Config, name: &str) -> Result<usize, Refusal> {
    config.routes.iter().position(|r| &*r.name == name).ok_or_else(|| not_found(config, "route", name))
}

fn stage(config: &Config, name: &str) -> Result<usize, Refusal> {
    config.stages.iter().position(|s| &*s.name == name).ok_or_else(|| not_found(config, "stage", name))
}

fn not_found(config: &Config, kind: &str, name: &str) -> Refusal {
    let routes = config.routes.iter().map(|r| &*r.name);
    let stages = config.stages.iter().map(|s| &*s.name);
    let known: Vec<&str> = match kind {
        "route" => routes.collect(),
        "stage" => stages.collect(),
        _ => {
            let models = config.registry.model_ixs().map(|m| &*config.registry.model(m).name);
            models.chain(routes).chain(stages).chain(["auto"]).collect()
        }
    };
    let near = crate::nearest::nearest(name, known.iter().copied(), 3);
    let shown: String = name.chars().take(200).collect();
    let mut message = format!("{kind} `{shown}` does not exist");
    if !near.is_empty() {
        message += &format!("; did you mean {}?", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "));
    }
    message += "; GET /v1/models lists what this key may ask for";
    Refusal { kind: RefusalKind::ModelNotFound, message, retry_after: None, exceeded: None }
}

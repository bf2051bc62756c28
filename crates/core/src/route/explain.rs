//! A decision as JSON: what `POST /v1/route`, `waypost route` and the stored record all show.

use super::{Candidate, Decision};
use crate::config::Config;
use crate::profile::Profile;
use crate::registry::{Capabilities, Registry};
use serde_json::{Value, json};

/// The explanation of INTERFACE.md, without the `error` that the shell adds to a refusal.
pub fn explain(config: &Config, profile: &Profile, decision: &Decision) -> Value {
    let registry = &config.registry;
    let expected = decision.chosen().map_or(crate::health::PRIOR_OUTPUT_TOKENS as u32, |c| c.estimate.output_tokens);
    let candidates: Vec<Value> =
        decision.candidates.iter().map(|c| candidate(registry, c, on_frontier(c, &decision.candidates))).collect();
    let excluded: Vec<Value> = decision
        .excluded
        .iter()
        .map(|e| json!({"model": registry.model(e.model).name, "reason": e.reason.name(), "detail": e.reason.to_string()}))
        .collect();
    let mut json = json!({
        "level": decision.level.name(),
        "route": decision.route.map(|r| &config.routes[r].name),
        "stage": decision.stage.map(|s| &config.stages[s].name),
        "strategy": decision.strategy,
        "reason": decision.reason,
        "profile": profile_json(profile, expected),
        "candidates": candidates,
        "excluded": excluded,
    });
    if decision.no_fallback {
        json["no_fallback"] = true.into();
    }
    json
}

/// The profile as users see it.
pub fn profile_json(profile: &Profile, expected_output_tokens: u32) -> Value {
    json!({
        "input_tokens": profile.input_tokens,
        "expected_output_tokens": expected_output_tokens,
        "task": profile.task.name(),
        "confidence": rounded(profile.confidence),
        "complexity": rounded(profile.complexity),
        "modalities": profile.modalities(),
        "messages": profile.messages,
        "tools": profile.tools,
        "structured_output": profile.needs.has(Capabilities::STRUCTURED_OUTPUT),
        "stream": profile.stream,
        "sensitive": profile.sensitive,
        "class": profile.class.name(),
    })
}

fn candidate(registry: &Registry, c: &Candidate, pareto: bool) -> Value {
    let model = registry.model(c.model);
    let provider = c.provider.unwrap_or_else(|| registry.endpoint(model.endpoints[0]).provider);
    let mut json = json!({
        "model": model.name,
        "provider": registry.provider(provider).name,
        "cost_usd": c.estimate.cost.map(|cost| cost.usd()),
        "latency_ms": rounded(c.estimate.latency_ms),
        "quality": c.estimate.quality.map(rounded),
        "score": score(c.score),
        "input_tokens": c.estimate.input_tokens,
        "output_tokens": c.estimate.output_tokens,
        "pareto": pareto,
    });
    if c.degraded {
        json["degraded"] = true.into();
    }
    if model.quality.prior {
        json["quality_is_prior"] = true.into();
    }
    if let Some(name) = &c.upstream_name {
        json["upstream_name"] = (**name).into();
    }
    json
}

/// Six decimals; null where an operator's expression failed for this candidate.
fn score(x: f64) -> Option<f64> {
    match x {
        f64::MIN => None,
        x if x.abs() > 1e9 => Some(x),
        x => Some((x * 1e6).round() / 1e6),
    }
}

/// Whether no other candidate is at least as good in cost, latency and quality and better in one.
fn on_frontier(c: &Candidate, all: &[Candidate]) -> bool {
    let figures = |c: &Candidate| {
        (c.estimate.cost.map_or(f64::INFINITY, |x| x.usd()), c.estimate.latency_ms, -c.estimate.quality_or_prior())
    };
    let mine = figures(c);
    !all.iter().map(figures).any(|o| o.0 <= mine.0 && o.1 <= mine.1 && o.2 <= mine.2 && o != mine)
}

/// Three decimals: an estimate has no more.
fn rounded(x: f32) -> f64 {
    (f64::from(x) * 1000.0).round() / 1000.0
}

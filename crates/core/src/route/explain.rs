//! A decision as JSON: what `POST /v1/route`, `waypost route` and the stored record all show.

use super::{Candidate, Decision, Predicted};
use crate::config::Config;
use crate::profile::Profile;
use crate::registry::{Capabilities, ModelIx, Registry};
use serde::Serialize;

/// The explanation of INTERFACE.md, ready to be written.
#[derive(Debug, Serialize)]
pub struct Explanation<'a> {
    level: &'static str,
    route: Option<&'a str>,
    stage: Option<&'a str>,
    strategy: &'static str,
    reason: &'a str,
    profile: ProfileView,
    /// How sure the choice is, and by whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<ConfidenceView>,
    /// Who would be asked about the request before anybody answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier: Option<&'a str>,
    /// The probability with which the first candidate goes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    propensity: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    explored: bool,
    candidates: Vec<CandidateView<'a>>,
    excluded: Vec<ExclusionView<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_fallback: bool,
    /// `cold` where no live state was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// The error that the chat call would give, in the client's dialect; the shell sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct ConfidenceView {
    value: f64,
    of: &'static str,
}

#[derive(Debug, Serialize)]
struct PredictedView {
    quality: f64,
    low: f64,
    high: f64,
    prior: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<f64>,
    /// What moved it, part by part, where somebody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct ProfileView {
    input_tokens: u32,
    expected_output_tokens: u32,
    task: &'static str,
    confidence: f64,
    complexity: f64,
    modalities: Vec<&'static str>,
    messages: u32,
    tools: u32,
    structured_output: bool,
    stream: bool,
    sensitive: bool,
    class: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    classified: bool,
}

#[derive(Debug, Serialize)]
struct CandidateView<'a> {
    #[serde(skip)]
    ix: ModelIx,
    model: &'a str,
    provider: &'a str,
    cost_usd: Option<f64>,
    latency_ms: f64,
    quality: Option<f64>,
    score: Option<f64>,
    input_tokens: u32,
    output_tokens: u32,
    /// No other candidate is at least as good in cost, latency and quality, and better in one.
    pareto: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quality_is_prior: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rate_limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_name: Option<&'a str>,
    /// `predicted`, `configured`, `prior` or `unknown`.
    quality_from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<PredictedView>,
    /// Quality that the score was made of, where a classifier said how hard the request is.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_quality: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ExclusionView<'a> {
    model: &'a str,
    reason: &'static str,
    detail: String,
}

/// Explains a decision.
pub fn explain<'a>(config: &'a Config, profile: &Profile, decision: &'a Decision) -> Explanation<'a> {
    let registry = &config.registry;
    let expected = decision.chosen().map_or(crate::health::PRIOR_OUTPUT_TOKENS as u32, |c| c.estimate.output_tokens);
    let all = &decision.candidates;
    let excluded = decision.excluded.iter().map(|e| ExclusionView {
        model: &registry.model(e.model).name,
        reason: e.reason.name(),
        detail: e.reason.to_string(),
    });
    Explanation {
        level: decision.level.name(),
        route: decision.route.map(|r| &*config.routes[r].name),
        stage: decision.stage.map(|s| &*config.stages[s].name),
        strategy: decision.strategy,
        reason: &decision.reason,
        profile: profile_view(profile, expected),
        confidence: decision.confidence.map(|c| ConfidenceView { value: rounded(c.value), of: c.of.name() }),
        classifier: decision.classifier(config).map(|ix| &*registry.model(ix).name),
        propensity: decision.propensity.map(|p| (p * 1e6).round() / 1e6),
        explored: decision.explored,
        candidates: all.iter().map(|c| candidate_view(registry, c, on_frontier(c, all))).collect(),
        excluded: excluded.collect(),
        no_fallback: decision.no_fallback,
        state: None,
        error: None,
    }
}

fn profile_view(profile: &Profile, expected_output_tokens: u32) -> ProfileView {
    ProfileView {
        input_tokens: profile.input_tokens,
        expected_output_tokens,
        task: profile.task.name(),
        confidence: rounded(profile.confidence),
        complexity: rounded(profile.complexity),
        modalities: profile.modalities(),
        messages: profile.messages,
        tools: profile.tools,
        structured_output: profile.needs.has(Capabilities::STRUCTURED_OUTPUT),
        stream: profile.stream,
        sensitive: profile.sensitive,
        class: profile.class.name(),
        classified: profile.classified,
    }
}

fn candidate_view<'a>(registry: &'a Registry, c: &'a Candidate, pareto: bool) -> CandidateView<'a> {
    let model = registry.model(c.model);
    let provider = c.provider.unwrap_or_else(|| registry.endpoint(model.endpoints[0]).provider);
    CandidateView {
        ix: c.model,
        model: &model.name,
        provider: &registry.provider(provider).name,
        cost_usd: c.estimate.cost.map(|cost| cost.usd()),
        latency_ms: rounded(c.estimate.latency_ms),
        quality: c.estimate.quality.map(rounded),
        quality_from: match c.estimate.predicted {
            Some(_) => "predicted",
            None if c.estimate.quality.is_none() => "unknown",
            None if model.quality.prior => "prior",
            None => "configured",
        },
        predicted: c.estimate.predicted.map(predicted_view),
        judged_quality: c.estimate.judged.map(rounded),
        score: score(c.score),
        input_tokens: c.estimate.input_tokens,
        output_tokens: c.estimate.output_tokens,
        pareto,
        degraded: c.degraded,
        quality_is_prior: model.quality.prior && c.estimate.predicted.is_none(),
        rate_limited: c.rate_limited,
        upstream_name: c.upstream_name().map(|name| &**name),
    }
}

fn predicted_view(p: Predicted) -> PredictedView {
    PredictedView {
        quality: rounded(p.quality),
        low: rounded(p.low),
        high: rounded(p.high),
        prior: rounded(p.prior),
        output_tokens: p.output_tokens.map(rounded),
        moved: None,
    }
}

impl Explanation<'_> {
    /// Adds what moved each prediction, as far as `parts` knows.
    pub fn add_moved(&mut self, parts: impl Fn(ModelIx) -> Option<serde_json::Value>) {
        for candidate in &mut self.candidates {
            let ix = candidate.ix;
            if let Some(predicted) = &mut candidate.predicted {
                predicted.moved = parts(ix);
            }
        }
    }
}

/// Six decimals; null where an operator's expression failed for this candidate.
fn score(x: f64) -> Option<f64> {
    match x {
        f64::MIN => None,
        x if x.abs() > 1e9 => Some(x),
        x => Some((x * 1e6).round() / 1e6),
    }
}

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

//! `balanced`: a weighted sum of cheapness, speed, quality and fit, each in 0..=1.
//!
//! Cost and latency are compared by their ratio on a logarithmic scale with a fixed span, so that equal models all get
//! 1 (a min-max scale would give 0 to some) and no term swamps another. Quality is relative to the best candidate and
//! bends with the request's complexity: a hard request costs a weak model more of its quality than a strong one.

use super::Weights;
use crate::profile::Profile;
use crate::registry::Registry;
use crate::route::Candidate;

/// A cost so many times the least one scores 0: about the span of the market, so that a frontier model at forty times the
/// price of a small one still wins the requests that read as hard (complexity above 0.6 or so), under default weights.
const COST_SPAN: f32 = 10_000.0;
/// A latency so many times the least one scores 0.
const LATENCY_SPAN: f32 = 100.0;
/// The complexity at which a model has just its configured quality.
const MEAN_COMPLEXITY: f32 = 0.4;
/// Log-odds of a good answer that one unit of complexity costs (a logistic response curve, as in item response theory).
const STEEPNESS: f32 = 6.0;
/// Added to both costs of a ratio, nano-dollars: two thousandths of a cent a request are as good as free, and a free
/// model does not make every other one infinitely dear.
const COST_EPSILON: f32 = 20_000.0;

/// The weighted mean of the four terms.
pub(crate) fn score(candidates: &mut [Candidate], weights: Weights, registry: &Registry, profile: &Profile) {
    let known = candidates.iter().filter_map(|c| c.estimate.cost);
    let least_cost = known.map(|c| c.0 as f32).fold(f32::INFINITY, f32::min);
    let least_latency = candidates.iter().map(|c| c.estimate.latency_ms).fold(f32::INFINITY, f32::min).max(0.001);
    // What was predicted of this request knows already how hard it is.
    let good = |c: &Candidate| match c.estimate.is_of_request() {
        true => c.estimate.quality_or_prior(),
        false => expected_quality(c.estimate.quality_or_prior(), profile.complexity),
    };
    let best = candidates.iter().map(good).fold(f32::MIN_POSITIVE, f32::max);
    let sum = (weights.cost + weights.latency + weights.quality + weights.capability).max(f32::MIN_POSITIVE);
    for c in candidates {
        let cost = c
            .estimate
            .cost
            .map_or(0.0, |cost| closeness((cost.0 as f32 + COST_EPSILON) / (least_cost + COST_EPSILON), COST_SPAN));
        let latency = closeness(c.estimate.latency_ms / least_latency, LATENCY_SPAN);
        let quality = good(c) / best;
        let strong = registry.model(c.model).has_tag(profile.task.name());
        let fit = if strong { 1.0 } else { 0.5 };
        let total =
            weights.cost * cost + weights.latency * latency + weights.quality * quality + weights.capability * fit;
        c.score = f64::from(total / sum);
    }
}

/// How far a score moves with a candidate's quality.
pub(crate) fn slope(candidates: &[Candidate], weights: Weights) -> f64 {
    let best = candidates.iter().map(|c| c.estimate.quality_or_prior()).fold(f32::MIN_POSITIVE, f32::max);
    let sum = (weights.cost + weights.latency + weights.quality + weights.capability).max(f32::MIN_POSITIVE);
    f64::from(weights.quality / (best * sum))
}

/// 1 for a ratio of 1, 0 at `span`, logarithmic between.
fn closeness(ratio: f32, span: f32) -> f32 {
    (1.0 - ratio.max(1.0).ln() / span.ln()).max(0.0)
}

/// Quality of an answer to a request of this complexity by a model whose quality is `q` on average ones.
pub(crate) fn expected_quality(q: f32, complexity: f32) -> f32 {
    let q = q.clamp(0.01, 0.99);
    let odds = (q / (1.0 - q)).ln() - STEEPNESS * (complexity - MEAN_COMPLEXITY);
    1.0 / (1.0 + (-odds).exp())
}

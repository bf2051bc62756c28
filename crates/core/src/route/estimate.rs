//! What a candidate is expected to cost, to take and to be worth, before it is asked.

use super::{Ask, Live};
use crate::policy::Policy;
use crate::registry::{EndpointIx, Model, ModelIx, Price, Usage};
use crate::units::{Instant, NanoUsd};

/// Expectation for one candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Input tokens as this model counts them.
    pub input_tokens: u32,
    /// Expected output tokens of one choice.
    pub output_tokens: u32,
    /// Expected cost of the request, all choices; `None`: price unknown.
    pub cost: Option<NanoUsd>,
    /// Expected milliseconds to the end of the answer.
    pub latency_ms: f32,
    /// Expected quality for this task; `None`: unknown.
    pub quality: Option<f32>,
}

/// Quality that an unknown model counts as, where no floor asks.
pub const UNKNOWN_QUALITY: f32 = 0.70;

impl Estimate {
    /// Quality for scoring: an unknown one counts as the prior of a medium model.
    pub fn quality_or_prior(&self) -> f32 {
        self.quality.unwrap_or(UNKNOWN_QUALITY)
    }
}

/// Expected output tokens of one choice: configured, else learned; never above the caps.
pub(super) fn output_tokens(ask: &Ask<'_>, live: &dyn Live, policy: &Policy, ix: ModelIx, model: &Model) -> u32 {
    let learned = || live.expected_output(ix, ask.profile.task).round() as u32;
    let expected = policy.expected_output_tokens.unwrap_or_else(learned);
    let cap = ask.profile.max_output_tokens.unwrap_or(u32::MAX);
    expected.min(cap).min(model.max_output_tokens.unwrap_or(u32::MAX)).max(1)
}

/// Estimated input tokens as this model counts them.
pub(super) fn input_tokens(ask: &Ask<'_>, live: &dyn Live, ix: ModelIx) -> u32 {
    (ask.profile.input_tokens as f32 * live.token_factor(ix)).round() as u32
}

/// Cost of the expected usage, `n` choices.
pub(super) fn cost(price: Option<&Price>, input: u32, output: u32, n: u32) -> Option<NanoUsd> {
    let output_tokens = u64::from(output) * u64::from(n.max(1));
    price.map(|p| p.cost(&Usage { input_tokens: input.into(), output_tokens, ..Usage::default() }))
}

/// Latency of the model's quickest endpoint in service: time to the first token, the tokens after it, and a queue that
/// grows with the requests already running there.
pub(super) fn latency_ms(
    live: &dyn Live,
    endpoints: impl Iterator<Item = EndpointIx>,
    output: u32,
    now: Instant,
) -> f32 {
    let mut best = f32::INFINITY;
    let mut best_closed = f32::INFINITY;
    for ix in endpoints {
        let view = live.endpoint(ix);
        let tokens = view.per_token_us * output as f32;
        // Providers serve requests side by side: a request in flight delays by a small part of its first token.
        let queue = view.first_token_us * 0.02 * view.in_flight as f32;
        let us = view.first_token_us + tokens + queue;
        best = best.min(us);
        if view.admits && view.rate_limited_until.is_none_or(|until| until <= now) {
            best_closed = best_closed.min(us);
        }
    }
    let us = if best_closed.is_finite() { best_closed } else { best };
    us / 1000.0
}

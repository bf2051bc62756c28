//! What a candidate is expected to cost, to take and to be worth, before it is asked.

use super::{Ask, Live, Predicted};
use crate::policy::Policy;
use crate::registry::{EndpointIx, Model, ModelIx, Price, Usage};
use crate::units::{Instant, NanoUsd};
use std::time::Duration;

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
    /// Expected quality: predicted for this request, else configured for its task; `None`: unknown. Floors look at this.
    pub quality: Option<f32>,
    /// What the predictor expects, where one was asked and knows the model.
    pub predicted: Option<Predicted>,
    /// Quality for scoring, where a classifier said how hard the request is.
    pub judged: Option<f32>,
}

/// Quality that an unknown model counts as, where no floor asks.
pub const UNKNOWN_QUALITY: f32 = 0.70;

impl Estimate {
    /// Quality for scoring: an unknown one counts as the prior of a medium model.
    pub fn quality_or_prior(&self) -> f32 {
        self.judged.or(self.quality).unwrap_or(UNKNOWN_QUALITY)
    }

    /// Whether its quality is of this very request, not of requests in general.
    pub fn is_of_request(&self) -> bool {
        self.judged.is_some() || self.predicted.is_some()
    }
}

/// Expected output tokens of one choice: configured, else predicted, else learned of the task; never above the caps.
pub(super) fn output_tokens(
    ask: &Ask<'_>,
    live: &dyn Live,
    policy: &Policy,
    (ix, model): (ModelIx, &Model),
    predicted: Option<&Predicted>,
) -> u32 {
    let learned =
        || predicted.and_then(|p| p.output_tokens).unwrap_or_else(|| live.expected_output(ix, ask.profile.task));
    let expected = policy.expected_output_tokens.unwrap_or_else(|| learned().round() as u32);
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

/// How the endpoints of one candidate stand, each looked at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Latency of the quickest endpoint in service, milliseconds: time to the first token, the tokens after it, and a queue
    /// that grows with the requests already running there.
    pub latency_ms: f32,
    /// Some breaker lets requests through.
    pub admits: bool,
    /// When the first breaker that does not may do so.
    pub retry_at: Option<Instant>,
    /// How long every endpoint that is in service still asks to be left alone; `None` where one does not.
    pub wait: Option<Duration>,
}

impl Standing {
    /// Of these endpoints, for `output` expected tokens.
    pub(super) fn of(live: &dyn Live, endpoints: impl Iterator<Item = EndpointIx>, output: u32, now: Instant) -> Self {
        let (mut best, mut best_closed) = (f32::INFINITY, f32::INFINITY);
        let mut standing = Self { latency_ms: 0.0, admits: false, retry_at: None, wait: None };
        for view in endpoints.map(|ix| live.endpoint(ix)) {
            let tokens = view.per_token_us * output as f32;
            // Providers serve requests side by side: a request in flight delays by a small part of its first token.
            let queue = view.first_token_us * 0.02 * view.in_flight as f32;
            let us = view.first_token_us + tokens + queue;
            best = best.min(us);
            if !view.admits {
                standing.retry_at = [standing.retry_at, view.retry_at].into_iter().flatten().min();
                continue;
            }
            let left = view.rate_limited_until.map_or(Duration::ZERO, |until| until.since(now));
            standing.wait = Some(standing.wait.map_or(left, |wait| wait.min(left)));
            standing.admits = true;
            if left.is_zero() {
                best_closed = best_closed.min(us);
            }
        }
        standing.wait = standing.wait.filter(|wait| !wait.is_zero());
        standing.latency_ms = if best_closed.is_finite() { best_closed } else { best } / 1000.0;
        standing
    }
}

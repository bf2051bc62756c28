//! What a candidate may use at worst: what the gate reserves before it is asked.

use super::{Candidate, price};
use crate::config::Config;
use crate::gate::Amounts;
use crate::profile::Profile;
use crate::registry::{Model, Price, Registry};

/// The worst case of one attempt, and the cap that makes it one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// Money and tokens. Money is 0 where the price is unknown.
    pub amounts: Amounts,
    /// Most output tokens a choice, to be written into the request; `None`: there is no output to cap.
    pub cap: Option<u32>,
}

impl Worst {
    /// The worst case of a candidate, whose input is `input` tokens as its model counts them.
    pub fn of(config: &Config, profile: &Profile, candidate: &Candidate, input: u32) -> Self {
        let registry: &Registry = &config.registry;
        let price = price(registry, candidate.model, candidate.passed_through.as_deref());
        worst(config, profile, registry.model(candidate.model), price, input)
    }
}

/// Input: what was counted, a tenth more, and four tokens a message. Output: the request's own cap, else the model's
/// maximum as far as its window leaves room, else the configured default; times the choices asked for.
pub(super) fn worst(config: &Config, profile: &Profile, model: &Model, price: Option<&Price>, input: u32) -> Worst {
    let input = u64::from(input) + u64::from(input).div_ceil(10) + 4 * u64::from(profile.messages);
    let cap = (!profile.embeddings).then(|| {
        let left = model.context_window.map_or(u64::MAX, |window| u64::from(window).saturating_sub(input).max(1));
        let most = || u64::from(model.max_output_tokens.unwrap_or(config.default_max_output_tokens)).min(left);
        profile.max_output_tokens.unwrap_or_else(|| u32::try_from(most()).unwrap_or(u32::MAX))
    });
    let output = u64::from(cap.unwrap_or(0)) * u64::from(profile.n.max(1));
    let usd = price.map_or(0, |p| p.worst_cost(input, output).0.max(0).unsigned_abs());
    Worst { amounts: Amounts { usd, tokens: input + output, ..Amounts::default() }, cap }
}

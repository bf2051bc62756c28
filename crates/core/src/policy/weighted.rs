//! `weighted`: a traffic split by weight. Weighted rendezvous hashing (Thaler and Ravishankar 1998): the same session or
//! key always gets the same model, and when a model drops out only its own traffic moves.

use crate::registry::{ModelIx, Registry};
use crate::route::Candidate;
use crate::units::{Rng, stable_hash};

/// Share over an exponential draw from (sticky, model name), mapped to 0..1; a model without a share gets −1. (The draw
/// itself, not `u^(1/share)`, which is 0 for most draws once a share is small.)
pub(crate) fn score(candidates: &mut [Candidate], split: &[(ModelIx, f32)], registry: &Registry, sticky: u64) {
    let total: f64 = split.iter().map(|(_, w)| f64::from(*w)).sum();
    for c in candidates {
        let weight = split.iter().find(|(m, _)| *m == c.model).map_or(0.0, |(_, w)| f64::from(*w));
        let name = stable_hash(registry.model(c.model).name.as_bytes());
        let uniform = Rng::new(sticky ^ name).next_f64().max(f64::MIN_POSITIVE);
        c.score = if weight > 0.0 { 1.0 / (1.0 - uniform.ln() * total / weight) } else { -1.0 };
    }
}

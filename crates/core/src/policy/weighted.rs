//! `weighted`: a traffic split by weight. Weighted rendezvous hashing (Thaler and Ravishankar 1998): the same session or
//! key always gets the same model, and when a model drops out only its own traffic moves.

use crate::registry::{ModelIx, Registry};
use crate::route::Candidate;
use crate::units::{Rng, stable_hash};

/// Weight over an exponential draw from (sticky, model name), mapped to 0..1; a model without a weight gets −1.
pub(crate) fn score(candidates: &mut [Candidate], split: &[(ModelIx, f32)], registry: &Registry, sticky: u64) {
    for c in candidates {
        let weight = split.iter().find(|(m, _)| *m == c.model).map_or(0.0, |(_, w)| f64::from(*w));
        let name = stable_hash(registry.model(c.model).name.as_bytes());
        let uniform = Rng::new(sticky ^ name).next_f64().max(f64::MIN_POSITIVE);
        c.score = if weight > 0.0 { uniform.powf(1.0 / weight) } else { -1.0 };
    }
}

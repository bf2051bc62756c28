//! `latency`: fastest first, by the expected time to the end of the answer. A cold model counts with its prior.

use crate::route::Candidate;

/// Least latency over own latency, in 0..=1.
pub(crate) fn score(candidates: &mut [Candidate]) {
    let least = candidates.iter().map(|c| c.estimate.latency_ms).fold(f32::INFINITY, f32::min).max(0.001);
    for c in candidates {
        c.score = f64::from(least) / f64::from(c.estimate.latency_ms.max(least));
    }
}

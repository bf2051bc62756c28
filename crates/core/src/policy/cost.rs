//! `cost`: cheapest first, by the expected cost of this request. An unknown price sorts last.

use crate::route::Candidate;

/// Cheapest cost over own cost, in 0..=1; an unknown price is −1.
pub(crate) fn score(candidates: &mut [Candidate]) {
    let costs = candidates.iter().filter_map(|c| c.estimate.cost).map(|c| c.0);
    let least = costs.min().unwrap_or(0);
    for c in candidates {
        c.score = match c.estimate.cost {
            None => -1.0,
            Some(cost) if cost.0 <= least => 1.0,
            Some(cost) => (least.max(0) as f64 + 1.0) / (cost.0 as f64 + 1.0),
        };
    }
}

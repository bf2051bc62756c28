//! `quality`: best first, by the expected quality for the task. Among equals the order of the file.

use crate::route::Candidate;

/// The expected quality itself.
pub(crate) fn score(candidates: &mut [Candidate]) {
    for c in candidates {
        c.score = f64::from(c.estimate.quality_or_prior());
    }
}

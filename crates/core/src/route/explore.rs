//! Exploration: now and then another candidate goes first, so that outcomes tell of it too. What goes first is still a
//! candidate: it has met every constraint and floor.

use super::Candidate;
use super::constrain::Search;
use super::resolve::{Level, Proposal};
use crate::policy::Strategy;
use crate::registry::{ModelIx, Status};
use crate::units::Rng;

/// What chance did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draw {
    /// See `Decision::propensity`.
    pub propensity: Option<f64>,
    /// See `Decision::explored`.
    pub explored: bool,
}

/// Puts a drawn candidate first with the policy's probability. `ordered` is by rank and score.
pub(super) fn explore(
    search: &Search<'_>,
    proposal: &Proposal<'_>,
    ordered: &mut Vec<Candidate>,
    rng: &mut Rng,
) -> Draw {
    if proposal.level == Level::Pin || proposal.own.is_some() || ordered.is_empty() {
        return Draw { propensity: None, explored: false };
    }
    let eligible = eligible(search, ordered);
    // A budget that nears its end has asked for the cheapest.
    let epsilon = if search.is_clamped() { 0.0 } else { proposal.policy.predicting.epsilon };
    let usual = |model: ModelIx| ranked_first(search, proposal, ordered, &eligible, model);
    if epsilon <= 0.0 || eligible.len() < 2 {
        return Draw { propensity: Some(usual(ordered[0].model)), explored: false };
    }
    let explored = rng.next_f64() < epsilon;
    let chosen = if explored { eligible[rng.below(eligible.len())] } else { 0 };
    let propensity = (1.0 - epsilon) * usual(ordered[chosen].model) + epsilon / eligible.len() as f64;
    let first = ordered.remove(chosen);
    ordered.insert(0, first);
    Draw { propensity: Some(propensity), explored }
}

/// Places of the candidates that may go first: those in as good a state as the best one.
fn eligible(search: &Search<'_>, ordered: &[Candidate]) -> Vec<usize> {
    let registry = &search.config().registry;
    let state = |c: &Candidate| {
        (c.rate_limited, matches!(registry.model(c.model).status, Status::Degraded | Status::Deprecated))
    };
    let best = ordered.iter().map(state).min();
    (0..ordered.len()).filter(|ix| Some(state(&ordered[*ix])) == best).collect()
}

/// The probability that ranking alone puts this model first: 1 or 0, but for a traffic split that sticks to nothing.
fn ranked_first(
    search: &Search<'_>,
    proposal: &Proposal<'_>,
    ordered: &[Candidate],
    eligible: &[usize],
    model: ModelIx,
) -> f64 {
    let first = ordered[0].model;
    let preferred = proposal.policy.tasks[search.task().index()] == Some(first);
    let Strategy::Weighted(split) = proposal.strategy() else { return f64::from(u8::from(model == first)) };
    if preferred || search.is_sticky() || search.is_clamped() {
        return f64::from(u8::from(model == first));
    }
    let share = |model: ModelIx| split.iter().find(|(m, _)| *m == model).map_or(0.0, |(_, w)| f64::from(*w));
    let all: f64 = eligible.iter().map(|ix| share(ordered[*ix].model)).sum();
    if all > 0.0 { share(model) / all } else { f64::from(u8::from(model == first)) }
}

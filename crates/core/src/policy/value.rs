//! `value`: expected quality − λ·expected cost. λ is what a US dollar is worth in quality: fixed, or the smallest one
//! at which the first choice fits a budget for one request.

use super::Lambda;
use crate::route::Candidate;

/// Quality less λ times US dollars; an unknown price counts as the dearest known one.
pub(crate) fn score(candidates: &mut [Candidate], lambda: Lambda) {
    let dearest = candidates.iter().filter_map(|c| c.estimate.cost).max().unwrap_or_default().usd();
    let usd = |c: &Candidate| c.estimate.cost.map_or(dearest, |cost| cost.usd());
    let lambda = match lambda {
        Lambda::Fixed(lambda) => lambda,
        Lambda::Budget(budget) => smallest_lambda(candidates, usd, budget.usd()),
    };
    for c in candidates {
        c.score = f64::from(c.estimate.quality_or_prior()) - lambda * usd(c);
    }
}

/// Walks the upper hull of (cost, quality) from the best model downwards, by rising λ, until the choice fits the
/// budget; past the cheapest model nothing fits and the cheapest is taken.
fn smallest_lambda(candidates: &[Candidate], usd: impl Fn(&Candidate) -> f64, budget: f64) -> f64 {
    let point = |c: &Candidate| (usd(c), f64::from(c.estimate.quality_or_prior()));
    let better = |a: &(f64, f64), b: &(f64, f64)| b.1.total_cmp(&a.1).then(a.0.total_cmp(&b.0));
    let Some(mut at) = candidates.iter().map(point).min_by(better) else { return 0.0 };
    let mut lambda = 0.0;
    while at.0 > budget {
        let cheaper = candidates.iter().map(point).filter(|p| p.0 < at.0);
        let slope = |p: &(f64, f64)| (at.1 - p.1) / (at.0 - p.0);
        let next = cheaper.min_by(|a, b| slope(a).total_cmp(&slope(b)).then(a.0.total_cmp(&b.0)));
        let Some(next) = next else { break };
        // Just past the tie, so that the cheaper of the two goes first.
        lambda = slope(&next) * (1.0 + 1e-9) + 1e-12;
        at = next;
    }
    lambda
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ModelIx;
    use crate::route::Estimate;
    use crate::units::NanoUsd;

    fn candidate(i: u16, usd: f64, quality: f32) -> Candidate {
        let estimate = Estimate { cost: Some(NanoUsd::from_usd(usd)), quality: Some(quality), ..Estimate::default() };
        let (provider, passed_through, degraded, rate_limited) = (None, None, false, false);
        Candidate { model: ModelIx(i), provider, passed_through, estimate, score: 0.0, degraded, rate_limited }
    }

    fn first(lambda: Lambda) -> u16 {
        let mut c = [candidate(0, 0.010, 0.90), candidate(1, 0.002, 0.80), candidate(2, 0.0001, 0.50)];
        score(&mut c, lambda);
        c.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap().model.0
    }

    #[test]
    fn a_tighter_budget_buys_a_cheaper_model() {
        for (usd, model) in [(1.0, 0), (0.010, 0), (0.009, 1), (0.002, 1), (0.001, 2), (0.0, 2)] {
            assert_eq!(first(Lambda::Budget(NanoUsd::from_usd(usd))), model, "budget {usd}");
        }
    }

    #[test]
    fn a_dearer_dollar_buys_a_cheaper_model() {
        for (lambda, model) in [(0.0, 0), (10.0, 0), (20.0, 1), (1000.0, 2)] {
            assert_eq!(first(Lambda::Fixed(lambda)), model, "lambda {lambda}");
        }
    }
}

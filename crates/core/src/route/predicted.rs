//! Predicted quality: when it is asked for, what a classifier's word changes about it, and how sure a choice is.

use super::resolve::{Level, Proposal};
use super::{Ask, Candidate};
use crate::policy::{Strategy, balanced};
use crate::profile::Profile;

/// What a learned predictor expects of a model's answer to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Expected score, 0 to 1: the probability that the answer is good, where scores are good or bad.
    pub quality: f32,
    /// Where the mean score of such requests lies, with 95 % confidence.
    pub low: f32,
    /// See `low`.
    pub high: f32,
    /// What was expected before the text was read.
    pub prior: f32,
    /// Expected tokens of the answer; `None`: not learned.
    pub output_tokens: Option<f32>,
}

/// How sure a choice is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// 0 to 1.
    pub value: f32,
    /// Whose confidence it is.
    pub of: Judge,
}

/// Who judged what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The profile's rules: how sure they are of the task.
    Rules,
    /// The predictor: how sure it is that the first choice is better than the second.
    Predictor,
    /// A classifier was asked; it is not asked again.
    Classifier,
}

impl Judge {
    /// The name in replies and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Predictor => "predictor",
            Self::Classifier => "classifier",
        }
    }
}

/// Standard deviations between the ends of a 95 % interval.
const SPAN: f32 = 2.0 * 1.96;
/// Standard deviation of a quality that follows from a configured figure and a classifier's word.
const JUDGED_DEVIATION: f32 = 0.15;
/// Least standard deviation of a predicted quality: no interval is a promise.
const LEAST_DEVIATION: f32 = 0.01;

impl Predicted {
    /// The standard deviation that its interval stands for.
    fn deviation(&self) -> f32 {
        ((self.high - self.low) / SPAN).max(LEAST_DEVIATION)
    }
}

/// Whether quality matters to a proposal: by its strategy, or by a floor. A request that names its model has nothing to
/// choose, and orders by cost, latency or share do not look at quality.
pub(super) fn is_wanted(proposal: &Proposal<'_>, ask: &Ask<'_>) -> bool {
    if proposal.level == Level::Pin || ask.profile.embeddings {
        return false;
    }
    let floor = proposal.limits.min_quality.is_some() || ask.hints.min_quality.is_some();
    floor || (proposal.own.is_none() && is_ordered_by_quality(proposal.strategy()))
}

fn is_ordered_by_quality(strategy: &Strategy) -> bool {
    match strategy {
        Strategy::Quality | Strategy::Balanced(_) | Strategy::Value(_) => true,
        Strategy::Score(expr) => expr.source().contains("quality"),
        Strategy::Cost | Strategy::Latency | Strategy::Weighted(_) => false,
    }
}

/// Quality for scoring where a classifier said how hard the request is: the configured figure bent by that, and averaged
/// with a prediction, each by how sure it is (inverse variances).
pub(super) fn judged(profile: &Profile, configured: Option<f32>, predicted: Option<&Predicted>) -> Option<f32> {
    if !profile.classified {
        return None;
    }
    let usual = configured.unwrap_or(super::estimate::UNKNOWN_QUALITY);
    let bent = balanced::expected_quality(usual, profile.complexity);
    let Some(predicted) = predicted else { return Some(bent) };
    let (own, judged) = (predicted.deviation().powi(-2), JUDGED_DEVIATION.powi(-2));
    Some((predicted.quality * own + bent * judged) / (own + judged))
}

/// How sure the order of the first two candidates is. With predictions of both: the probability that the difference of
/// their scores has the sign that it has, from 0 (a coin's toss) to 1, by their intervals taken as independent normal
/// errors. Else the rules' confidence in the task, where quality or the task matters at all.
pub(super) fn confidence(proposal: &Proposal<'_>, profile: &Profile, ordered: &[Candidate]) -> Option<Confidence> {
    let by_quality = is_ordered_by_quality(proposal.strategy());
    let by_task = proposal.policy.tasks.iter().any(Option::is_some);
    let chooses = proposal.level != Level::Pin && proposal.own.is_none() && !profile.embeddings;
    let ([first, second, ..], true) = (ordered, chooses && (by_quality || by_task)) else { return None };
    if profile.classified {
        return Some(Confidence { value: 1.0, of: Judge::Classifier });
    }
    let rules = Confidence { value: profile.confidence, of: Judge::Rules };
    let (Some(a), Some(b)) = (first.estimate.predicted, second.estimate.predicted) else { return Some(rules) };
    // The task's own model goes first whatever is predicted: then it is the task that must be sure.
    if !by_quality || proposal.policy.tasks[profile.task.index()] == Some(first.model) {
        return Some(rules);
    }
    let slope = slope(proposal.strategy(), ordered);
    let error = slope * f64::from(a.deviation().hypot(b.deviation()));
    let difference = (first.score - second.score).abs();
    let value = if error > 0.0 { erf(difference / error / std::f64::consts::SQRT_2) } else { 1.0 };
    Some(Confidence { value: value as f32, of: Judge::Predictor })
}

/// How far a score moves with quality.
fn slope(strategy: &Strategy, ordered: &[Candidate]) -> f64 {
    match strategy {
        Strategy::Balanced(weights) => balanced::slope(ordered, *weights),
        // What an operator's expression makes of quality is not known; as it is, is the nearest guess.
        Strategy::Quality | Strategy::Value(_) | Strategy::Score(_) => 1.0,
        Strategy::Cost | Strategy::Latency | Strategy::Weighted(_) => 0.0,
    }
}

/// The error function of a number that is not negative (Abramowitz and Stegun 7.1.26; off by 1.5e-7 at most).
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = series.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    1.0 - sum * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_right() {
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (9.0, 1.0)] {
            assert!((erf(x) - expected).abs() < 1e-6, "{x}: {}", erf(x));
        }
    }
}

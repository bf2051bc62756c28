//! From the candidates that passed to the order of trying, and the sentence that says why.

use super::constrain::Search;
use super::explore::{self, Draw};
use super::resolve::{Level, Proposal};
use super::{Candidate, Confidence, Decision, Judge, predicted};
use crate::config::Config;
use crate::policy::{self, Strategy};
use crate::profile::Task;
use crate::registry::{ModelIx, Status};
use crate::units::Rng;

/// Who goes first, and how that came about.
pub(super) struct Ordered {
    pub candidates: Vec<Candidate>,
    pub confidence: Option<Confidence>,
    pub propensity: Option<f64>,
    pub explored: bool,
}

/// Scores and sorts what passed, and lets chance put another candidate first where the policy explores. Equal scores keep the order of `candidates`, which is that of the file.
pub(super) fn order(search: &mut Search<'_>, proposal: &Proposal<'_>, rng: &mut Rng) -> Ordered {
    let mut passed = std::mem::take(&mut search.passed);
    if passed.is_empty() {
        return Ordered { candidates: passed, confidence: None, propensity: None, explored: false };
    }
    search.score(&mut passed, proposal, rng);
    if search.is_clamped() {
        policy::cost::score(&mut passed);
    }
    let config = search.config();
    let status = |c: &Candidate| config.registry.model(c.model).status;
    let preferred = proposal.policy.tasks[search.task().index()];
    // What goes before the score: models that may be asked now, the task's own model, models in full service.
    let rank = |c: &Candidate| {
        let served_less = matches!(status(c), Status::Degraded | Status::Deprecated);
        (c.rate_limited, Some(c.model) != preferred, served_less)
    };
    passed.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.score.total_cmp(&a.score)));
    let clamped = search.is_clamped();
    let confidence = predicted::confidence(proposal, search.ask().profile, &passed).filter(|_| !clamped);
    let Draw { propensity, explored } = explore::explore(search, proposal, &mut passed, rng);
    Ordered { candidates: passed, confidence, propensity, explored }
}

impl Search<'_> {
    fn score(&self, passed: &mut [Candidate], proposal: &Proposal<'_>, rng: &mut Rng) {
        let registry = &self.config().registry;
        let profile = self.ask().profile;
        match proposal.strategy() {
            _ if proposal.level == Level::Pin => passed.iter_mut().for_each(|c| c.score = 1.0),
            Strategy::Cost => policy::cost::score(passed),
            Strategy::Latency => policy::latency::score(passed),
            Strategy::Quality => policy::quality::score(passed),
            Strategy::Balanced(weights) => policy::balanced::score(passed, *weights, registry, profile),
            Strategy::Value(lambda) => {
                let paced = self.paced().map(policy::Lambda::Fixed);
                policy::value::score(passed, paced.unwrap_or(*lambda));
            }
            Strategy::Weighted(split) => policy::weighted::score(passed, split, registry, self.sticky(rng)),
            Strategy::Score(expr) => policy::score::score(passed, expr, registry, &mut self.vars.fresh()),
        }
    }

    /// What a traffic split sticks to: the session, else the key, else nothing.
    fn sticky(&self, rng: &mut Rng) -> u64 {
        let ask = self.ask();
        let by_key = || ask.key.map(|k| crate::units::stable_hash(k.id.as_bytes()));
        let by_session = ask.hints.session.as_deref().map(|s| crate::units::stable_hash(s.as_bytes()));
        by_session.or_else(by_key).unwrap_or_else(|| rng.next_u64())
    }
}

impl Search<'_> {
    /// Whether a traffic split sticks to anything.
    pub(super) fn is_sticky(&self) -> bool {
        self.ask().key.is_some() || self.ask().hints.session.is_some()
    }
}

/// What the sentence says besides who goes first.
pub(super) struct Words {
    pub level: Level,
    pub task: Task,
    pub explored: bool,
    pub excluded: usize,
}

/// One sentence for the header, the record and the explanation.
pub(super) fn reason(config: &Config, proposal: &Proposal<'_>, candidates: &[Candidate], words: &Words) -> String {
    let Words { level, task, explored, excluded } = *words;
    let Some(first) = candidates.first() else { return format!("none of {excluded} models may answer") };
    let who = match (level, proposal.route, proposal.stage) {
        (Level::Pin, ..) if config.registry.model(first.model).status == Status::Deprecated => {
            return "the request names the model, which is deprecated".to_owned();
        }
        (Level::Pin, ..) => return "the request names the model".to_owned(),
        (Level::Fallback, ..) => return "the hints left nothing: global fallback".to_owned(),
        (Level::Route, Some(r), _) => format!("route {}", config.routes[r].name),
        (Level::Stage | Level::Auto, _, Some(s)) => format!("stage {}", config.stages[s].name),
        _ => "auto".to_owned(),
    };
    if first.degraded {
        return format!("{who}: no candidate left, emergency model");
    }
    if proposal.own.is_some() {
        return format!("{who} has its own model");
    }
    let what = match proposal.strategy() {
        _ if explored => "drawn to explore",
        _ if proposal.policy.tasks[task.index()] == Some(first.model) => &format!("preferred for {}", task.name()),
        Strategy::Cost => "cheapest",
        Strategy::Latency => "fastest",
        Strategy::Quality => "best",
        Strategy::Balanced(_) => "best balance",
        Strategy::Value(_) => "best value",
        Strategy::Weighted(_) => "traffic split",
        Strategy::Score(_) => "highest score",
    };
    // Emergency models are no part of the choice.
    let n = candidates.iter().filter(|c| !c.degraded).count();
    let plural = if n == 1 { "" } else { "s" };
    let by = match (&first.estimate.judged, &first.estimate.predicted) {
        (Some(_), _) => ", difficulty by the classifier",
        (None, Some(_)) => ", quality predicted",
        (None, None) => "",
    };
    format!("{who}: {what} of {n} candidate{plural}{by}, {excluded} excluded")
}

impl Decision {
    /// The first choice.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.first()
    }

    /// The classifier to ask before anybody answers: the choice is less sure than its policy wants.
    pub fn classifier(&self, config: &Config) -> Option<ModelIx> {
        let confidence = self.confidence.filter(|c| c.of != Judge::Classifier)?;
        let predicting = &config.policy(self.route, self.stage).predicting;
        predicting.classifier.filter(|_| confidence.value < predicting.confidence)
    }
}

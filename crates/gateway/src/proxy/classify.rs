//! Asking the classifier: only where a choice is not sure enough for its policy, only where every limit has room, once a
//! kind of request. What it costs is reserved, settled and recorded like any attempt; when it fails, the choice stands as
//! the rules and the predictor made it, and that is said.

use super::attempt::Answer;
use super::prepare::{Call, Prepared, prepare};
use super::{Decided, Met, Missed, Run, record};
use crate::account::Account;
use crate::app::State;
use crate::classifier::{KindOf, Verdict, read, request};
use crate::store::{AttemptRecord, CLASSIFIED, NOT_CLASSIFIED};
use crate::upstream::Pool;
use http::HeaderMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use waypost_core::attempt::{CandidatePlan, Limits, Plan, Step};
use waypost_core::profile::last_turn;
use waypost_core::registry::{Dialect, ModelIx};
use waypost_core::units::{Instant, RequestId, Rng};

/// What the classifier may take of a request's time.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Its draws are not those of the attempts that follow.
const ANOTHER: u128 = 0x636c_6173_7369_6679;

/// What asking came to.
pub(super) struct Asked {
    /// What was said; else why not, for the record.
    pub told: Result<Verdict, &'static str>,
    /// The call, where one was made.
    pub attempt: Option<AttemptRecord>,
}

/// The request that is under way.
pub(super) struct About<'a> {
    pub state: &'a Arc<State>,
    pub pool: &'a Arc<Pool>,
    pub id: RequestId,
    pub arrival: Instant,
    pub deadline: Instant,
    pub prepared: &'a Prepared,
    pub decided: &'a Decided,
}

impl Prepared {
    /// Takes a classifier's word for the rules'.
    pub(super) fn believe(&mut self, verdict: Verdict) {
        self.profile.task = verdict.task;
        self.profile.complexity = verdict.difficulty;
        self.profile.classified = true;
    }
}

impl About<'_> {
    /// Asks `classifier`, or remembers what it said of such requests.
    pub(super) async fn ask(&self, classifier: ModelIx) -> Asked {
        let prepared = self.prepared;
        let name = &prepared.snapshot.config.registry.model(classifier).name;
        let (Some(text), Some(features)) = (last_turn(&prepared.body, &prepared.scan), prepared.features()) else {
            return Asked { told: Err("there is no text to classify"), attempt: None };
        };
        let kind = KindOf::new(name, features, &prepared.profile);
        if let Some(verdict) = self.state.classified.of(&kind) {
            return Asked { told: Ok(verdict), attempt: None };
        }
        let asked = self.call(name, &text).await;
        match asked.told {
            Ok(verdict) => self.state.classified.keep(kind, verdict),
            Err(why) => {
                tracing::warn!(classifier = %name, request = %self.id, "not classified, the rules stand: {why}")
            }
        }
        asked
    }

    /// One exchange with the classifier.
    async fn call(&self, name: &Arc<str>, text: &str) -> Asked {
        let not_made = |why| Asked { told: Err(why), attempt: None };
        let (snapshot, key) = (self.prepared.snapshot.clone(), self.prepared.key.clone());
        let body = request(name, text).into();
        let Ok(mut inner) = prepare(snapshot.clone(), (Call::Chat, Dialect::OpenAi), key, HeaderMap::new(), body)
        else {
            return not_made("its question could not be written");
        };
        // It is the same person's text, under the same limits and the same rules of compliance.
        inner.tags = self.prepared.tags.clone();
        inner.profile.sensitive = self.prepared.profile.sensitive;
        inner.profile.class = self.prepared.profile.class;
        let id = RequestId(self.id.0 ^ ANOTHER);
        let mut decision = inner.decide(&self.state.clock, None, id).decision;
        if let Some(refusal) = &decision.refusal {
            tracing::warn!(classifier = %name, "the classifier may not be asked: {}", refusal.message);
            return not_made("the classifier may not be asked or is out of service");
        }
        (decision.route, decision.stage) = (self.decided.decision.route, self.decided.decision.stage);
        // Should the client go away meanwhile, this is the record of its request.
        let mut record = record(self.prepared, &self.decided.decision, self.id);
        let chosen = self.decided.decision.chosen().map(|c| c.model);
        record.model = chosen.map(|m| snapshot.config.registry.model(m).name.clone());
        let who = (Dialect::OpenAi, inner.profile.clone());
        let mut account = Account::open(self.state.clone(), snapshot, decision, who, self.arrival, record);
        account.asks_aside();
        let deadline = (self.state.clock.instant() + TIMEOUT).min(self.deadline);
        let run = Run {
            state: self.state,
            pool: self.pool,
            id,
            prepared: &inner,
            deadline,
            strict: false,
            canonical: OnceLock::new(),
        };
        let told = run.classified(&mut account).await;
        let outcome = if told.is_ok() { CLASSIFIED } else { NOT_CLASSIFIED };
        let attempt = account.into_attempt().map(|attempt| AttemptRecord { outcome, ..attempt });
        Asked { told, attempt }
    }
}

impl Run<'_> {
    /// One attempt, and what its answer says.
    async fn classified(&self, account: &mut Account) -> Result<Verdict, &'static str> {
        let endpoints = self.endpoints(&account.decision);
        let candidates: Vec<CandidatePlan<'_>> = account.decision.candidates[..1]
            .iter()
            .zip(&endpoints)
            .map(|(c, e)| CandidatePlan { model: c.model, endpoints: e, window: None, emergency: false })
            .collect();
        let limits =
            Limits { max_attempts: 1, deadline: self.deadline, max_retry_wait: Duration::ZERO, no_fallback: true };
        let mut plan = Plan::new(&candidates, limits);
        let (now, mut rng) = (self.state.clock.instant(), Rng::new(self.id.0 as u64));
        let health = &self.prepared.snapshot.health;
        let Step::Try(attempt) = plan.next(now, &mut rng, health, &self.state.retry_budget) else {
            return Err("the classifier is out of service at present");
        };
        let mut met = Met::default();
        match self.attempt(attempt, now, account, &mut met).await {
            Ok(Answer::Whole { body, .. }) => {
                account.answered(self.state.clock.instant());
                read(&body)
            }
            Ok(Answer::Stream(_)) => Err("the classifier streamed an answer that was not asked for so"),
            Err(Missed::NotMade(_)) if met.refused.is_some() => Err("no room in the limits for the classifier"),
            Err(Missed::NotMade(_)) => Err("the classifier takes no requests at present"),
            Err(Missed::Failed(..)) => Err("the classifier failed"),
            Err(Missed::NoBudgets(_)) => Err("budgets cannot be checked for the classifier"),
        }
    }
}

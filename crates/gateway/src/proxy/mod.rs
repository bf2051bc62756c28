//! The path of one request that a model answers: scan, decide, attempt until there is an answer, account. No parsing and no arithmetic
//! of its own: it drives what the core decides.

mod attempt;
mod cached;
mod classify;
mod count;
mod give_up;
mod lesson;
mod outgoing;
mod predicted;
mod prepare;
mod reply;
mod reserve;
mod stream;

pub use count::count_tokens;
pub use prepare::{Call, Prepared, prepare};
pub use reply::{Replies, Reply};
pub use stream::StreamBody;

use crate::account::Account;
use crate::admission::Permit;
use crate::app::State;
use crate::cache::Found;
use crate::clock::Clock;
use crate::error::Error;
use crate::gate::{Gate, Refused, Scopes};
use crate::live::LiveView;
use crate::predict::Predictions;
use crate::store::{RequestOutcome, RequestRecord};
use crate::upstream::Pool;
use attempt::{Answer, Brought, Exchange};
use cached::Recorder;
use classify::About;
use outgoing::Unsayable;
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use waypost_core::attempt::{Attempt, CandidatePlan, Failure, GiveUp, Limits, Plan, Skip, Step};
use waypost_core::chat;
use waypost_core::dialect::Malformed;
use waypost_core::gate::Exceeded;
use waypost_core::health::Ticket;
use waypost_core::policy::Translation;
use waypost_core::registry::EndpointIx;
use waypost_core::route::{Ask, Candidate, Decision, Explanation, decide, explain};
use waypost_core::units::{Instant, RequestId, Rng};

/// One request, read and prepared, to its answer.
pub async fn answer(
    state: &Arc<State>,
    pool: &Arc<Pool>,
    id: RequestId,
    arrival: Instant,
    mut prepared: Prepared,
) -> Reply {
    let execution = &prepared.snapshot.config.execution;
    let total = prepared.hints.deadline.map_or(execution.total_timeout, |d| d.min(execution.total_timeout));
    let deadline = arrival + total;
    let server = &prepared.snapshot.config.server;
    let (max_concurrency, max_queue) = (server.max_concurrency, server.max_queue);
    let class = prepared.profile.class;
    // Asked at most once, however often the request is decided.
    let (mut asked, mut aside) = (None, None);
    loop {
        let timer = state.clock.timer(deadline);
        let permit = match state.admission.enter(class, max_concurrency, max_queue, timer).await {
            Ok(permit) => permit,
            Err(e) => return Reply::error(id, prepared.client, None, e),
        };
        let mut decided = prepared.decide(&state.clock, Some(&state.gate), id);
        let doubt = decided.decision.classifier(&prepared.snapshot.config);
        if let Some(classifier) = doubt.filter(|_| asked.is_none()) {
            let about = About { state, pool, id, arrival, deadline, prepared: &prepared, decided: &decided };
            let answer = about.ask(classifier).await;
            (asked, aside) = (Some(answer.told.err()), answer.attempt);
            if let Ok(verdict) = answer.told {
                prepared.believe(verdict);
                decided = prepared.decide(&state.clock, Some(&state.gate), id);
            }
        }
        if let Some(Some(why)) = asked {
            decided.decision.reason += &format!("; {why}");
        }
        let Decided { decision, mut rng, scopes, predictions } = decided;
        let record = record(&prepared, &decision, id);
        let (snapshot, who) = (prepared.snapshot.clone(), (prepared.client, prepared.profile.clone()));
        let mut account = Account::open(state.clone(), snapshot, decision, who, arrival, record);
        (account.predictions, account.aside) = (predictions, aside.take());
        let strict = account.decision.translation == Translation::Strict;
        let run = Run { state, pool, id, prepared: &prepared, deadline, strict, canonical: OnceLock::new() };
        // Whoever waits for room gives up the place meanwhile, and is decided anew.
        match run.run(account, permit, &mut rng, scopes).await {
            Ended::Answered(reply) => return reply,
            Ended::NoRoom(mut account, exceeded) => {
                account.admitted = None;
                aside = account.aside.take();
                if reserve::wait_for_room(state, &exceeded, deadline).await {
                    account.abandon();
                } else {
                    account.aside = aside.take();
                    return give_up::no_room(id, *account, Refused::Exceeded(exceeded), state.gate.now());
                }
            }
        }
    }
}

/// How one run of a request ended.
enum Ended {
    Answered(Reply),
    /// Nothing was attempted, for a limit leaves no room at present; the request may wait for it.
    NoRoom(Box<Account>, Box<Exceeded>),
}

/// A request that was decided.
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// As deciding left it.
    pub rng: Rng,
    /// The limited scopes that deciding met.
    pub(crate) scopes: Option<Scopes>,
    /// What was predicted, where a policy asked.
    pub predictions: Option<Predictions>,
}

impl Prepared {
    /// Decides this request now; the id seeds its choices.
    pub fn decide(&self, clock: &Clock, gate: Option<&Gate>, id: RequestId) -> Decided {
        let now = clock.now();
        let mut rng = Rng::new(id.0 as u64);
        let config = &self.snapshot.config;
        let ask = Ask {
            model: &self.model,
            profile: &self.profile,
            hints: &self.hints,
            tags: &self.tags,
            key: self.key.as_deref(),
            headers: &|visit| self.each_header(visit),
            exact_tokens: &|tokenizer| waypost_core::tokens::count_chat(&self.body, &self.scan, tokenizer),
        };
        let predict = |place| self.predict(place);
        let live = LiveView::new(&self.snapshot, now.instant).predicting(&predict);
        let live = match gate {
            Some(gate) => live.gated(gate, self.key.as_deref(), &self.tags),
            None => live,
        };
        let decision = decide(config, &ask, &live, now, &mut rng);
        let (scopes, predictions) = live.into_found();
        Decided { decision, rng, scopes, predictions }
    }
}

impl Prepared {
    /// Explains a decision on this request, with what moved each prediction and the error that the call would give.
    pub fn explain<'d>(&'d self, decided: &'d Decided) -> Explanation<'d> {
        let decision = &decided.decision;
        let mut explained = explain(&self.snapshot.config, &self.profile, decision);
        if let (Some(predictions), Some(features)) = (&decided.predictions, self.features()) {
            explained.add_moved(predictions.moved(features));
        }
        explained.error = decision.refusal.clone().map(|refusal| Error::from(refusal).openai_value());
        explained
    }
}

/// What the attempts of one request have met with.
#[derive(Default)]
struct Met {
    /// What each failed attempt brought, in the order of [`Plan::tried`].
    brought: Vec<Brought>,
    /// Why endpoints could not be asked.
    unsayable: Vec<Unsayable>,
    /// Why the gate refused the last attempt that it did.
    refused: Option<Refused>,
    /// What deciding found: the first attempt reserves there, later ones look again.
    scopes: Option<Scopes>,
}

/// Why an attempt gave no answer.
enum Missed {
    /// It was not made.
    NotMade(Skip),
    /// It failed, then.
    Failed(Failure, Instant),
    /// Budgets cannot be checked, for this attempt or any other.
    NoBudgets(Refused),
}

/// One request under way.
struct Run<'a> {
    state: &'a Arc<State>,
    pool: &'a Arc<Pool>,
    id: RequestId,
    prepared: &'a Prepared,
    deadline: Instant,
    /// The route allows no losses in translation.
    strict: bool,
    /// The request decoded, once some attempt needed it so.
    canonical: OnceLock<Result<chat::Request, Malformed>>,
}

impl Run<'_> {
    async fn run(&self, mut account: Account, permit: Permit, rng: &mut Rng, scopes: Option<Scopes>) -> Ended {
        if let Some(refusal) = account.decision.refusal.clone() {
            if let Some(exceeded) = refusal.exceeded.clone().filter(|x| reserve::may_wait(self.prepared, x)) {
                return Ended::NoRoom(Box::new(account), exceeded);
            }
            return Ended::Answered(give_up::refused(self.id, account, refusal.into()));
        }
        let found = self.find_cached(&account).await;
        account.cache_missed = found.is_some();
        let recorder = match found {
            Some(Found::Hit(entry)) => return Ended::Answered(reply::cached(self.id, account, &entry)),
            Some(Found::Lead(lead)) => Some(Recorder::new(lead)),
            Some(Found::Alone) | None => None,
        };
        self.state.retry_budget.request();
        let snapshot = account.snapshot.clone();
        let endpoints = self.endpoints(&account.decision);
        let window = |c: &Candidate| snapshot.config.registry.model(c.model).context_window;
        let candidates: Vec<CandidatePlan<'_>> = account
            .decision
            .candidates
            .iter()
            .zip(&endpoints)
            .map(|(c, e)| CandidatePlan { model: c.model, endpoints: e, window: window(c), emergency: c.degraded })
            .collect();
        let execution = &snapshot.config.execution;
        let limits = Limits {
            max_attempts: execution.max_attempts,
            deadline: self.deadline,
            max_retry_wait: execution.max_retry_wait,
            no_fallback: account.decision.no_fallback,
        };
        let mut plan = Plan::new(&candidates, limits);
        let mut met = Met { scopes, ..Met::default() };
        loop {
            let now = self.state.clock.instant();
            match plan.next(now, rng, &snapshot.health, &self.state.retry_budget) {
                Step::Wait { until } => tokio::time::sleep_until(self.state.clock.timer(until)).await,
                Step::GiveUp(how) => {
                    if let Some(recorder) = recorder {
                        recorder.vain();
                    }
                    return self.unanswered(account, how, &plan, met, permit);
                }
                Step::Try(attempt) => match self.attempt(attempt, now, &mut account, &mut met).await {
                    Ok(answer) => {
                        return Ended::Answered(answer.reply(self, account, attempt.number, permit, recorder));
                    }
                    Err(Missed::NotMade(skip)) => plan.not_made(skip),
                    Err(Missed::Failed(failure, at)) => plan.failed(failure, at),
                    Err(Missed::NoBudgets(why)) => {
                        return Ended::Answered(give_up::no_room(self.id, account, why, self.state.gate.now()));
                    }
                },
            }
        }
    }

    /// One attempt: reserve, write the request, take a place, exchange.
    async fn attempt(
        &self,
        attempt: Attempt,
        now: Instant,
        account: &mut Account,
        met: &mut Met,
    ) -> Result<Answer, Missed> {
        let allowed = self.reserve(&attempt, account, met.scopes.take(), now).await.map_err(|why| {
            if matches!(why, Refused::Unavailable(_) | Refused::Deadline) {
                return Missed::NoBudgets(why);
            }
            met.refused = Some(why);
            Missed::NotMade(Skip::Budget)
        })?;
        let candidate = &account.decision.candidates[attempt.candidate];
        let mut outgoing = self.outgoing(&attempt, candidate, allowed.cap).map_err(|why| {
            met.unsayable.push(why);
            Missed::NotMade(Skip::Inexpressible)
        })?;
        let begun = self.state.clock.instant();
        let ticket = self.place(&attempt, begun).map_err(Missed::NotMade)?;
        account.begin(attempt, ticket, allowed, begun);
        account.dropped = std::mem::take(&mut outgoing.dropped);
        let exchange = Exchange { run: self, attempt, begun, outgoing };
        match exchange.run(account).await {
            Ok(answer) => Ok(answer),
            Err(what) => {
                let now = self.state.clock.instant();
                account.failed(&what.failure, now);
                exchange.say_loudly(&what);
                let failure = what.failure;
                met.brought.push(what);
                Err(Missed::Failed(failure, now))
            }
        }
    }

    /// No attempt brought an answer, or none could be made.
    fn unanswered(&self, account: Account, how: GiveUp, plan: &Plan<'_>, met: Met, permit: Permit) -> Ended {
        match (how, met.refused) {
            (GiveUp::Budget, Some(Refused::Exceeded(x))) if reserve::may_wait(self.prepared, &x) => {
                Ended::NoRoom(Box::new(account), x)
            }
            (GiveUp::Budget, Some(refused)) => {
                Ended::Answered(give_up::no_room(self.id, account, refused, self.state.gate.now()))
            }
            _ => Ended::Answered(give_up::give_up(self.id, account, how, plan, met.brought, &met.unsayable, permit)),
        }
    }

    /// A place at the attempt's provider, and its endpoint's consent; else why it is not made. What was taken goes back
    /// with the account.
    fn place(&self, attempt: &Attempt, now: Instant) -> Result<Ticket, Skip> {
        let snapshot = &self.prepared.snapshot;
        let registry = &snapshot.config.registry;
        let provider = registry.endpoint(attempt.endpoint).provider;
        let load = &snapshot.provider_load[usize::from(provider.0)];
        let most = registry.provider(provider).max_concurrency.unwrap_or(u32::MAX);
        if load.fetch_add(1, Ordering::Relaxed) >= most {
            load.fetch_sub(1, Ordering::Relaxed);
            return Err(Skip::Saturated);
        }
        let Some(begun) = snapshot.health[usize::from(attempt.endpoint.0)].try_begin(now) else {
            load.fetch_sub(1, Ordering::Relaxed);
            return Err(Skip::BreakerOpen);
        };
        if let Some(event) = begun.event {
            self.state.breaker_event(snapshot, attempt.endpoint, event);
        }
        Ok(begun.ticket)
    }

    /// The endpoints of each candidate; only those at the named provider where a request names one, and at the providers
    /// that the key may use.
    fn endpoints(&self, decision: &Decision) -> Vec<Cow<'_, [EndpointIx]>> {
        let config = &self.prepared.snapshot.config;
        let registry = &config.registry;
        let key = self.prepared.key.as_ref().filter(|k| !k.providers.is_empty());
        let of = |c: &Candidate| {
            let all = &registry.model(c.model).endpoints;
            if c.provider.is_none() && key.is_none() {
                return Cow::Borrowed(all.as_slice());
            }
            let may = |e: &EndpointIx| {
                c.provider.is_none_or(|p| registry.endpoint(*e).provider == p)
                    && key.is_none_or(|k| k.allows_endpoint(registry, *e))
            };
            all.iter().copied().filter(may).collect()
        };
        decision.candidates.iter().map(of).collect()
    }
}

/// The record of a request at its decision.
fn record(prepared: &Prepared, decision: &Decision, id: RequestId) -> RequestRecord {
    let config = &prepared.snapshot.config;
    let key = prepared.key.as_deref();
    let profile = &prepared.profile;
    RequestRecord {
        id,
        unix_ms: crate::clock::unix_ms(),
        key: key.map(|k| k.id.clone()),
        team: key.and_then(|k| k.team.clone()),
        route: decision.route.map(|r| config.routes[r].name.clone()),
        stage: decision.stage.map(|s| config.stages[s].name.clone()),
        level: decision.level.name(),
        strategy: decision.strategy,
        class: profile.class,
        task: profile.task,
        estimated_input_tokens: profile.input_tokens,
        complexity: profile.complexity,
        stream: profile.stream,
        model: None,
        degraded: false,
        outcome: RequestOutcome::Cancelled,
        status: 0,
        code: None,
        reason: decision.reason.as_str().into(),
        duration_us: 0,
        cost: waypost_core::units::NanoUsd::ZERO,
        baseline_cost: None,
        propensity: decision.propensity,
        tags: prepared.tags.clone(),
        attempts: Vec::new(),
        decision: None,
        lesson: lesson::of(prepared),
    }
}

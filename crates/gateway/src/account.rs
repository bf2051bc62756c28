//! The account of one request: from its decision to its record, whatever happens between.
//!
//! It is dropped with the request, also when the client goes away, and then settles what was under way: the endpoint's
//! health, the attempt's cost, the record. Nobody waits for any of it.

use crate::app::State;
use crate::cache::Entry;
use crate::gate::{Admitted, Allowed, Reservation};
use crate::predict::Predictions;
use crate::snapshot::Snapshot;
use crate::store::{AttemptRecord, RequestOutcome, RequestRecord};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::attempt::{Attempt, Failure, Timeout};
use waypost_core::gate::Amounts;
use waypost_core::health::{EndpointHealth, Observed, Ticket, Verdict};
use waypost_core::profile::Profile;
use waypost_core::registry::{Capabilities, Dialect, ModelIx, Price, ProviderIx, Usage};
use waypost_core::route::{Candidate, Decision, explain};
use waypost_core::units::{Instant, NanoUsd, Rng};

/// What is known of a request once it was decided.
#[derive(Debug)]
pub struct Account {
    state: Arc<State>,
    /// The configuration that it was decided on.
    pub snapshot: Arc<Snapshot>,
    /// What was decided.
    pub decision: Decision,
    /// What the client speaks.
    pub client: Dialect,
    /// What the translation for the last attempt left out.
    pub dropped: Vec<String>,
    /// The exact cache was asked and had nothing.
    pub cache_missed: bool,
    /// What was predicted for the decision.
    pub predictions: Option<Predictions>,
    profile: Profile,
    arrival: Instant,
    /// Taken when it is written.
    record: Option<Box<RequestRecord>>,
    current: Option<Current>,
    last: Option<Attempt>,
    /// The classifier's call that came before, for the record.
    pub aside: Option<AttemptRecord>,
    /// It is itself a classifier's call: no request of its own, and no answer to learn lengths from.
    is_aside: bool,
    /// The request's places where concurrency is limited; they come back with the account.
    pub admitted: Option<Admitted>,
    /// The gate has counted the request: its further attempts are not requests of their own.
    pub was_admitted: bool,
}

/// Who answers a request.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    /// Which model.
    pub model: ModelIx,
    /// Where.
    pub provider: ProviderIx,
    /// An emergency model.
    pub degraded: bool,
}

/// An attempt under way.
#[derive(Debug)]
struct Current {
    attempt: Attempt,
    ticket: Ticket,
    begun: Instant,
    first_token: Option<Duration>,
    price: Option<Price>,
    estimated_input: u32,
    /// To be settled with what it uses.
    reservation: Option<Reservation>,
    /// Under a budget: output tokens of an answer that was not seen, should nobody ever say.
    unseen_output: u64,
    /// Whether the request went out: before that nothing can have been billed.
    sent: bool,
    /// Bytes of text that passed.
    text_bytes: u64,
    /// The last usage that the provider reported.
    usage: Option<Usage>,
    status: u16,
}

/// Bytes of text that one token stands for, where an interrupted answer is estimated.
const BYTES_PER_TOKEN: u64 = 4;

impl Account {
    /// Opens the account of a decided request.
    pub fn open(
        state: Arc<State>,
        snapshot: Arc<Snapshot>,
        decision: Decision,
        (client, profile): (Dialect, Profile),
        arrival: Instant,
        record: RequestRecord,
    ) -> Self {
        Self {
            state,
            snapshot,
            decision,
            client,
            dropped: Vec::new(),
            cache_missed: false,
            predictions: None,
            profile,
            arrival,
            record: Some(Box::new(record)),
            current: None,
            last: None,
            aside: None,
            is_aside: false,
            admitted: None,
            was_admitted: false,
        }
    }

    /// From now on it is the account of a classifier's call: part of a request that limits of requests count elsewhere.
    pub fn asks_aside(&mut self) {
        (self.is_aside, self.was_admitted) = (true, true);
    }

    /// The one attempt that was made, where one was; nothing is recorded here any more.
    pub fn into_attempt(mut self) -> Option<AttemptRecord> {
        self.record.take().and_then(|mut record| record.attempts.pop())
    }

    /// The attempts that ended, in order.
    pub fn attempts(&self) -> &[AttemptRecord] {
        self.record.as_ref().map_or(&[], |r| &r.attempts)
    }

    /// What all attempts cost so far, and the classifier.
    pub fn cost(&self) -> NanoUsd {
        let aside = self.aside.as_ref().and_then(|a| a.cost).unwrap_or_default();
        self.record.as_ref().map_or(NanoUsd::ZERO, |r| r.cost) + aside
    }

    /// Who answers: the attempt under way, else the last one.
    pub fn answering(&self) -> Option<Answering> {
        let registry = &self.snapshot.config.registry;
        let attempt = self.current.as_ref().map(|c| c.attempt).or(self.last)?;
        let provider = registry.endpoint(attempt.endpoint).provider;
        Some(Answering { model: attempt.model, provider, degraded: attempt.degraded })
    }

    /// An attempt begins.
    pub fn begin(&mut self, attempt: Attempt, ticket: Ticket, allowed: Allowed, now: Instant) {
        let candidate = &self.decision.candidates[attempt.candidate];
        let registry = &self.snapshot.config.registry;
        // Reasoning is billed and need not be seen: a stream that brought nothing yet may have used much.
        let reasons = registry.model(attempt.model).capabilities.unwrap_or_default().with(self.profile.needs);
        let silent = !self.profile.embeddings && (!self.profile.stream || reasons.has(Capabilities::REASONING));
        self.last = Some(attempt);
        self.current = Some(Current {
            attempt,
            ticket,
            begun: now,
            first_token: None,
            price: candidate.price(registry).copied(),
            estimated_input: candidate.estimate.input_tokens,
            reservation: allowed.reservation,
            unseen_output: if silent { allowed.most_output.unwrap_or(0) } else { 0 },
            sent: false,
            text_bytes: 0,
            usage: None,
            status: 0,
        });
    }

    /// The request is on its way: from now on the provider may bill it.
    pub fn sent(&mut self) {
        if let Some(current) = &mut self.current {
            current.sent = true;
        }
    }

    /// The upstream's status line came.
    pub fn head(&mut self, status: u16) {
        if let Some(current) = &mut self.current {
            current.status = status;
        }
    }

    /// The first real output of a stream came.
    pub fn first_output(&mut self, now: Instant) {
        let Some(current) = &mut self.current else { return };
        let took = now.since(current.begun);
        current.first_token = Some(took);
        let health = &self.snapshot.health[usize::from(current.attempt.endpoint.0)];
        if let Some(event) = health.first_output(&mut current.ticket, took, now) {
            self.state.breaker_event(&self.snapshot, current.attempt.endpoint, event);
        }
    }

    /// So much has passed: what an interruption is counted from.
    pub fn passed(&mut self, text_bytes: u64, usage: Option<Usage>) {
        if let Some(current) = &mut self.current {
            current.text_bytes = text_bytes;
            current.usage = usage;
        }
    }

    /// The attempt brought a whole answer.
    pub fn answered(&mut self, now: Instant) {
        let Some(current) = self.current.take() else { return };
        let (usage, estimated) = settled_usage(&current);
        if !estimated {
            let learned = &self.snapshot.learned[usize::from(current.attempt.model.0)];
            learned.factor.observe(self.profile.input_tokens, usage.input_tokens);
            if !self.is_aside {
                learned.output.observe(self.profile.task, usage.output_tokens / u64::from(self.profile.n.max(1)));
            }
        }
        let visible = usage.output_tokens.saturating_sub(usage.reasoning_tokens);
        let observed = Observed {
            first_token: current.first_token,
            total: now.since(current.begun),
            output_tokens: (!estimated).then_some(visible as u32),
        };
        self.end(current, "ok", Verdict::Success(observed), usage, estimated, now);
    }

    /// The attempt failed.
    pub fn failed(&mut self, failure: &Failure, now: Instant) {
        let Some(current) = self.current.take() else { return };
        // An error bills nothing, whether the status line says it or the body does; what was sent and never answered, or
        // broke off, may have been billed.
        let answered = current.text_bytes > 0 || current.usage.is_some();
        let unsent = matches!(failure, Failure::Connect | Failure::Tls | Failure::Timeout(Timeout::Connect));
        let silent = !unsent && !matches!(failure, Failure::Invalid(_) | Failure::Http { .. });
        let billed = current.sent && matches!(current.status, 0 | 200) && (answered || silent);
        let (usage, estimated) = if billed { settled_usage(&current) } else { (Usage::default(), false) };
        self.end(current, failure.name(), failure.verdict(), usage, estimated, now);
    }

    /// The answer of an attempt that had counted as failed (an empty one) is the answer after all.
    pub fn stands(&mut self, attempt: Attempt) {
        self.last = Some(attempt);
        let registry = &self.snapshot.config.registry;
        let Some(record) = self.record.as_mut() else { return };
        record.model = Some(registry.model(attempt.model).name.clone());
        record.degraded = attempt.degraded;
        let made = record.attempts.get(attempt.number as usize - 1);
        record.baseline_cost = made.and_then(|made| self.snapshot.baseline_cost(&made.usage));
    }

    /// The exact cache answers: nothing was attempted and nothing is owed.
    pub fn from_cache(&mut self, entry: &Entry) {
        let saved = entry.usage.and_then(|usage| self.snapshot.baseline_cost(&usage));
        if let Some(record) = self.record.as_mut() {
            record.model = Some(entry.model.clone());
            record.baseline_cost = saved;
            record.reason = "answered by the exact cache".into();
        }
        self.close(RequestOutcome::Ok, 200, None);
    }

    fn end(
        &mut self,
        current: Current,
        outcome: &'static str,
        verdict: Verdict,
        usage: Usage,
        estimated: bool,
        now: Instant,
    ) {
        let registry = &self.snapshot.config.registry;
        let endpoint = registry.endpoint(current.attempt.endpoint);
        // The place at the provider and the endpoint's ticket come back whatever becomes of the record.
        self.snapshot.provider_load[usize::from(endpoint.provider.0)].fetch_sub(1, Ordering::Relaxed);
        let health: &EndpointHealth = &self.snapshot.health[usize::from(current.attempt.endpoint.0)];
        let mut rng = Rng::new(now.0);
        if let Some(event) = health.finish(current.ticket, verdict, now, &mut rng) {
            self.state.breaker_event(&self.snapshot, current.attempt.endpoint, event);
        }
        let cost = current.price.map(|p| p.cost(&usage));
        if let Some(reservation) = current.reservation {
            let usd = cost.unwrap_or_default().0.max(0).unsigned_abs();
            let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
            reservation.settle(&Amounts { usd, tokens, ..Amounts::default() }, now);
        }
        let candidate = &self.decision.candidates[current.attempt.candidate];
        let Some(record) = self.record.as_mut() else { return };
        record.attempts.push(AttemptRecord {
            model: registry.model(endpoint.model).name.clone(),
            provider: registry.provider(endpoint.provider).name.clone(),
            endpoint: upstream_name(candidate, &endpoint.name),
            outcome,
            status: current.status,
            start_us: current.begun.since(self.arrival).as_micros() as u64,
            first_token_us: current.first_token.map(|d| d.as_micros() as u64),
            duration_us: now.since(current.begun).as_micros() as u64,
            usage,
            estimated,
            cost,
        });
        record.cost += cost.unwrap_or_default();
        if outcome == "ok" {
            record.model = Some(registry.model(endpoint.model).name.clone());
            record.degraded = candidate.degraded;
            record.baseline_cost = self.snapshot.baseline_cost(&usage);
        }
    }

    /// The request ended: writes its record.
    pub fn close(&mut self, outcome: RequestOutcome, status: u16, code: Option<&'static str>) {
        let Some(mut record) = self.record.take() else { return };
        let now = self.state.clock.instant();
        record.outcome = outcome;
        record.status = status;
        record.code = code;
        record.duration_us = now.since(self.arrival).as_micros() as u64;
        if record.model.is_none() {
            let chosen = self.decision.chosen().map(|c| c.model);
            record.model = chosen.map(|m| self.snapshot.config.registry.model(m).name.clone());
        }
        let must = outcome != RequestOutcome::Ok || record.attempts.len() > 1;
        if let Some(aside) = self.aside.take() {
            record.cost += aside.cost.unwrap_or_default();
            record.attempts.insert(0, aside);
        }
        self.complete_lesson(&mut record);
        let draw = Rng::new(record.id.0 as u64).next_f64();
        if self.snapshot.sampler.should_store(must, draw, now) {
            let detail = explain(&self.snapshot.config, &self.profile, &self.decision);
            let text = serde_json::to_string(&detail).expect("an explanation has string keys and no fallible part");
            record.decision = Some(text.into_boxed_str());
        }
        self.state.ledger.record(*record);
    }

    /// Adds what is known of the model that answered: what was predicted of it, before any correction, and how probable
    /// it was, which is known of the first choice.
    fn complete_lesson(&self, record: &mut RequestRecord) {
        let Some(answered) = record.answering().map(|a| a.model.clone()) else { return };
        let Some(lesson) = &mut record.lesson else { return };
        let registry = &self.snapshot.config.registry;
        let answered = registry.find(&answered);
        lesson.predicted = answered.and_then(|m| self.predictions.as_ref()?.of(m)).map(|p| p.quality);
        let first = answered.is_some() && self.decision.chosen().map(|c| c.model) == answered;
        lesson.propensity = record.propensity.filter(|_| first).map(|p| p as f32);
    }

    /// Nothing was attempted and nothing is to be recorded: the request will be decided anew.
    pub fn abandon(mut self) {
        self.record = None;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.record.is_some() {
            // The client went away.
            let now = self.state.clock.instant();
            self.failed(&Failure::Cancelled, now);
            self.close(RequestOutcome::Cancelled, 499, None);
        }
    }
}

/// What an attempt used: as reported, else counted from what passed.
fn settled_usage(current: &Current) -> (Usage, bool) {
    match current.usage {
        Some(usage) => (usage, false),
        None => {
            // Of a whole answer that never came nothing is known: it may have been made, and billed, to the end. A budget
            // counts on it.
            let seen = current.text_bytes.div_ceil(BYTES_PER_TOKEN);
            let output_tokens = if current.text_bytes == 0 { current.unseen_output } else { seen };
            (Usage { input_tokens: current.estimated_input.into(), output_tokens, ..Usage::default() }, true)
        }
    }
}

fn upstream_name(candidate: &Candidate, endpoint: &Arc<str>) -> Arc<str> {
    candidate.upstream_name().unwrap_or(endpoint).clone()
}

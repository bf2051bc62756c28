//! The account of one request: from its decision to its record, whatever happens between.
//!
//! It is dropped with the request, also when the client goes away, and then settles what was under way: the endpoint's
//! health, the attempt's cost, the record. Nobody waits for any of it.

use crate::app::State;
use crate::snapshot::Snapshot;
use crate::store::{AttemptRecord, RequestOutcome, RequestRecord};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::attempt::{Attempt, Failure};
use waypost_core::health::{BreakerEvent, EndpointHealth, Observed, Ticket, Verdict};
use waypost_core::profile::Profile;
use waypost_core::registry::{Price, Usage};
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
    profile: Profile,
    arrival: Instant,
    record: RequestRecord,
    current: Option<Current>,
    recorded: bool,
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
        profile: Profile,
        arrival: Instant,
        record: RequestRecord,
    ) -> Self {
        Self { state, snapshot, decision, profile, arrival, record, current: None, recorded: false }
    }

    /// The record as it stands: attempts in order, those ended.
    pub fn record(&self) -> &RequestRecord {
        &self.record
    }

    /// An attempt begins. `estimated_input`: input tokens as the model is expected to count them.
    pub fn begin(&mut self, attempt: Attempt, ticket: Ticket, now: Instant) {
        let candidate = &self.decision.candidates[attempt.candidate];
        self.current = Some(Current {
            attempt,
            ticket,
            begun: now,
            first_token: None,
            price: candidate.price,
            estimated_input: candidate.estimate.input_tokens,
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
        let event = health.first_output(&mut current.ticket, took, now);
        self.breaker_event(event);
    }

    /// So much has passed: what an interruption is counted from.
    pub fn passed(&mut self, text_bytes: u64, usage: Option<Usage>) {
        if let Some(current) = &mut self.current {
            current.text_bytes = text_bytes;
            current.usage = usage;
        }
    }

    /// The attempt brought a whole answer. Returns its cost where the price is known.
    pub fn answered(&mut self, now: Instant) -> Option<NanoUsd> {
        let current = self.current.take()?;
        let (usage, estimated) = settled_usage(&current);
        if !estimated {
            let learned = &self.snapshot.learned[usize::from(current.attempt.model.0)];
            learned.factor.observe(self.profile.input_tokens, usage.input_tokens);
            learned.output.observe(self.profile.task, usage.output_tokens / u64::from(self.profile.n.max(1)));
        }
        let observed = Observed {
            first_token: current.first_token,
            total: now.since(current.begun),
            output_tokens: usage.output_tokens,
        };
        self.end(current, "ok", Verdict::Success(observed), usage, estimated, now)
    }

    /// The attempt failed.
    pub fn failed(&mut self, failure: &Failure, now: Instant) {
        let Some(current) = self.current.take() else { return };
        // An error status bills nothing; what was sent and never answered, or broke off, may have been billed.
        let billed = current.sent && (current.status == 0 || current.status == 200);
        let billed = billed && !matches!(failure, Failure::Connect | Failure::Tls | Failure::Invalid(_));
        let (usage, estimated) = if billed { settled_usage(&current) } else { (Usage::default(), false) };
        self.end(current, failure.name(), failure.verdict(), usage, estimated, now);
    }

    fn end(
        &mut self,
        current: Current,
        outcome: &'static str,
        verdict: Verdict,
        usage: Usage,
        estimated: bool,
        now: Instant,
    ) -> Option<NanoUsd> {
        let registry = &self.snapshot.config.registry;
        let endpoint = registry.endpoint(current.attempt.endpoint);
        let cost = current.price.map(|p| p.cost(&usage));
        let candidate = &self.decision.candidates[current.attempt.candidate];
        self.record.attempts.push(AttemptRecord {
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
        self.record.cost += cost.unwrap_or_default();
        if outcome == "ok" {
            self.record.model = Some(registry.model(endpoint.model).name.clone());
            self.record.degraded = candidate.degraded;
            self.record.baseline_cost =
                self.snapshot.baseline.and_then(|b| registry.model(b).price).map(|p| p.cost(&usage));
        }
        self.snapshot.provider_load[usize::from(endpoint.provider.0)].fetch_sub(1, Ordering::Relaxed);
        let health: &EndpointHealth = &self.snapshot.health[usize::from(current.attempt.endpoint.0)];
        let mut rng = Rng::new(now.0);
        let event = health.finish(current.ticket, verdict, now, &mut rng);
        self.breaker_event(event);
        cost
    }

    fn breaker_event(&self, event: Option<BreakerEvent>) {
        if let (Some(event), Some(current)) = (event, self.record.attempts.last()) {
            self.state.breaker_event(event, &current.model, &current.provider);
        } else if let Some(event) = event {
            self.state.breaker_event(event, "", "");
        }
    }

    /// The request ended: writes its record.
    pub fn close(&mut self, outcome: RequestOutcome, status: u16, code: Option<&'static str>) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        let now = self.state.clock.instant();
        let record = &mut self.record;
        record.outcome = outcome;
        record.status = status;
        record.code = code;
        record.duration_us = now.since(self.arrival).as_micros() as u64;
        if record.model.is_none() {
            let chosen = self.decision.chosen().map(|c| c.model);
            record.model = chosen.map(|m| self.snapshot.config.registry.model(m).name.clone());
        }
        let must = outcome != RequestOutcome::Ok || record.attempts.len() > 1;
        let draw = Rng::new(record.id.0 as u64).next_f64();
        if self.snapshot.sampler.should_store(must, draw, now) {
            let detail = explain(&self.snapshot.config, &self.profile, &self.decision);
            record.decision = Some(detail.to_string().into_boxed_str());
        }
        self.state.ledger.record(std::mem::replace(record, empty_record(record.id)));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        // The client went away.
        let now = self.state.clock.instant();
        self.failed(&Failure::Cancelled, now);
        self.close(RequestOutcome::Cancelled, 499, None);
    }
}

/// What an attempt used: as reported, else counted from what passed.
fn settled_usage(current: &Current) -> (Usage, bool) {
    match current.usage {
        Some(usage) => (usage, false),
        None => {
            let output_tokens = current.text_bytes.div_ceil(BYTES_PER_TOKEN);
            (Usage { input_tokens: current.estimated_input.into(), output_tokens, ..Usage::default() }, true)
        }
    }
}

fn upstream_name(candidate: &Candidate, endpoint: &Arc<str>) -> Arc<str> {
    candidate.upstream_name.as_ref().unwrap_or(endpoint).clone()
}

/// What stays in the account after its record has gone.
fn empty_record(id: waypost_core::units::RequestId) -> RequestRecord {
    RequestRecord::new(id)
}

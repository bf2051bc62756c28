//! What an attempt has to reserve before it is made, and the waiting of background requests for room. The gate decides.

use super::Run;
use super::prepare::{Call, Prepared};
use crate::account::Account;
use crate::app::State;
use crate::gate::{Allowed, Belongs, Cell, Cells, Refused, Scopes, Wanted, comes_back};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::attempt::Attempt;
use waypost_core::gate::{Amounts, Exceeded, OnExhausted};
use waypost_core::profile::Class;
use waypost_core::route::{Candidate, Place, Worst};
use waypost_core::units::Instant;

/// A waiting request looks for room this often at most …
const LOOK: Duration = Duration::from_millis(250);
/// … and this often at least: room may be made elsewhere, by operators and other processes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Reserves the worst case of an attempt, and that of the dearest candidate that may be tried after it where that has
    /// room. `found` is what deciding found of the request's scopes.
    pub(super) async fn reserve(
        &self,
        attempt: &Attempt,
        account: &mut Account,
        found: Option<Scopes>,
        now: Instant,
    ) -> Result<Allowed, Refused> {
        let gate = &self.state.gate;
        let candidates = &account.decision.candidates;
        let candidate = &candidates[attempt.candidate];
        let config = &self.prepared.snapshot.config;
        let Some((scopes, model)) = self.scopes(candidate, account.decision.place(), found) else {
            return Ok(Allowed::default());
        };
        let cells = || scopes.iter().chain(&model);
        // A limit of money may be newer than the decision: what cannot be priced is not spent.
        let money = cells().find(|cell| cell.limits_money());
        if let Some(cell) = money.filter(|_| candidate.price(&config.registry).is_none()) {
            return Err(Refused::NoPrice(cell.id().clone()));
        }
        let caps = cells().any(|cell| cell.limits_output());
        let near = |need: &Amounts| cells().any(|cell| cell.is_tight() && cell.is_near(need));
        let rough = self.prepared.worst(candidate, false);
        let exactly = near(&rough.amounts);
        let own = if exactly { self.prepared.worst(candidate, true) } else { rough };
        let first = !account.was_admitted;
        let with = |amounts: Amounts| Amounts { requests: first.into(), concurrency: first.into(), ..amounts };
        let attempt_amounts = Amounts { requests: 1, concurrency: 1, ..own.amounts };
        let others = self.prepared.reachable(candidates, attempt, account.decision.no_fallback);
        let others = others.map(|c| self.prepared.worst(c, exactly).amounts);
        let dearest =
            others.fold(own.amounts, |a, b| Amounts { usd: a.usd.max(b.usd), tokens: a.tokens.max(b.tokens), ..a });
        let mut wanted = Wanted { scopes, request: with(dearest), model, attempt: attempt_amounts };
        let mut made = gate.reserve(&mut wanted, now, self.deadline).await;
        // Where the store is away the slice may have room for this one still.
        if matches!(made, Err(Refused::Exceeded(_) | Refused::Unavailable(_))) && dearest != own.amounts {
            wanted.request = with(own.amounts);
            made = gate.reserve(&mut wanted, gate.instant(), self.deadline).await;
        }
        let (admitted, reservation) = made?.split();
        account.was_admitted = true;
        account.admitted = admitted.or(account.admitted.take());
        let n = u64::from(self.prepared.profile.n.max(1));
        let cap = own.cap.filter(|_| caps);
        Ok(Allowed { reservation: Some(reservation), cap, most_output: cap.map(|cap| u64::from(cap) * n) })
    }

    /// The limited scopes of the request and of the candidate's model, as they are now: limits may have been set since the
    /// decision. `None`: there are none.
    fn scopes(&self, candidate: &Candidate, place: Place, found: Option<Scopes>) -> Option<(Cells, Option<Arc<Cell>>)> {
        let view = self.state.gate.view();
        if view.is_empty() {
            return None;
        }
        let model = view.model(&self.prepared.snapshot.config, candidate.model).cloned();
        let cells = view.refind(found, &self.prepared.belongs(place)).cells;
        (model.is_some() || !cells.is_empty()).then_some((cells, model))
    }
}

impl Prepared {
    /// What says which scopes this request belongs to.
    pub fn belongs(&self, place: Place) -> Belongs<'_> {
        Belongs { config: &self.snapshot.config, key: self.key.as_deref(), tags: &self.tags, place }
    }

    /// The candidates that may be tried after an attempt, as far as they are not passed over.
    fn reachable<'c>(
        &self,
        candidates: &'c [Candidate],
        attempt: &Attempt,
        no_fallback: bool,
    ) -> impl Iterator<Item = &'c Candidate> + use<'c> {
        let left = self.snapshot.config.execution.max_attempts.saturating_sub(attempt.number);
        let most = if no_fallback { 0 } else { left as usize };
        candidates[attempt.candidate + 1..].iter().take(most)
    }

    /// The worst case of a candidate; its input is counted exactly where room is short.
    fn worst(&self, candidate: &Candidate, exactly: bool) -> Worst {
        let config = &self.snapshot.config;
        let mut input = candidate.estimate.input_tokens;
        if exactly && self.call == Call::Chat {
            let tokenizer = config.registry.model(candidate.model).tokenizer;
            let count = || waypost_core::tokens::count_chat(&self.body, &self.scan, tokenizer);
            input = *self.exact[tokenizer as usize].get_or_init(count);
        }
        Worst::of(config, &self.profile, candidate, input)
    }
}

/// Whether a request should wait for room instead of being refused.
pub(super) fn may_wait(prepared: &Prepared, exceeded: &Exceeded) -> bool {
    prepared.profile.class == Class::Background && exceeded.on_exhausted == OnExhausted::Queue && comes_back(exceeded)
}

/// Waits until it is worth asking again: what was missing may be there, or another process gave back. False: too many wait
/// already, or the deadline is nearer than the room.
pub(super) async fn wait_for_room(state: &State, exceeded: &Exceeded, deadline: Instant) -> bool {
    let gate = &state.gate;
    let now = gate.now();
    if now.instant >= deadline {
        return false;
    }
    if gate.queued.fetch_add(1, Ordering::Relaxed) >= gate.view().max_waiting {
        gate.queued.fetch_sub(1, Ordering::Relaxed);
        return false;
    }
    let _place = Waiting(state);
    let turns = exceeded.wait(now.unix_ms).map_or(deadline, |wait| now.instant + wait);
    // Other requests' exchanges come often; looking again at each would be a storm.
    tokio::time::sleep_until(state.clock.timer((now.instant + LOOK).min(deadline))).await;
    gate.next_round(turns.min(deadline).min(now.instant + LOOK_AGAIN)).await;
    // Who waited in vain is told what for.
    state.clock.instant() < deadline
}

struct Waiting<'a>(&'a State);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.gate.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

//! A reservation of one attempt: settled once with what was used, released where nothing was. Dropping it releases it, so
//! that no path out, a panic included, leaves anything reserved.

use super::{Cell, Gate, USUAL_SCOPES, lock};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use waypost_core::gate::{Amounts, Held, ScopeId};
use waypost_core::units::Instant;

/// What a reservation holds, as the gate remembers it until it is settled.
#[derive(Debug)]
pub(super) struct Outstanding {
    /// Whose it is: slots are used again.
    id: u64,
    /// When it is taken for forgotten.
    deadline: Instant,
    held: AllHeld,
}

/// What is held, and where.
type AllHeld = SmallVec<[(Arc<Cell>, Held); USUAL_SCOPES]>;

/// What one attempt has reserved.
#[derive(Debug)]
pub struct Reservation {
    gate: Arc<Gate>,
    slot: usize,
    id: u64,
    /// Some scope holds a place at once.
    places: bool,
    settled: bool,
}

/// What an attempt is allowed.
#[derive(Debug, Default)]
pub struct Allowed {
    /// To be settled with what it uses; `None`: nothing is limited.
    pub reservation: Option<Reservation>,
    /// Output tokens, a choice, to be written into the request.
    pub cap: Option<u32>,
    /// Output tokens of all choices that it may have used should nobody ever say.
    pub most_output: Option<u64>,
}

/// A request's places where concurrency is limited; they come back when it is dropped.
#[derive(Debug)]
pub struct Admitted {
    _places: Reservation,
}

/// How long after a request's deadline its reservation is taken for forgotten.
const GRACE_NANOS: u64 = 30_000_000_000;

impl Reservation {
    pub(super) fn new(gate: Arc<Gate>, held: AllHeld, deadline: Instant) -> Self {
        let places = held.iter().any(|(_, held)| held.has_place());
        let id = gate.next_reservation.fetch_add(1, Ordering::Relaxed);
        let deadline = Instant(deadline.0.saturating_add(GRACE_NANOS));
        let slot = lock(&gate.outstanding).insert(Outstanding { id, deadline, held });
        Self { gate, slot, id, places, settled: false }
    }

    /// Takes the request's places out of it; what is left is the attempt's.
    pub fn split(self) -> (Option<Admitted>, Self) {
        if !self.places {
            return (None, self);
        }
        let mut places = AllHeld::new();
        let mut deadline = Instant::default();
        if let Some(outstanding) = lock(&self.gate.outstanding).get_mut(self.slot).filter(|o| o.id == self.id) {
            deadline = outstanding.deadline;
            for (cell, held) in &mut outstanding.held {
                if matches!(cell.id(), ScopeId::Model(_)) {
                    continue; // attempts count there, not requests
                }
                let (place, rest) = held.split_concurrency();
                *held = rest;
                if !place.is_empty() {
                    places.push((cell.clone(), place));
                }
            }
        }
        let admitted =
            (!places.is_empty()).then(|| Admitted { _places: Self::new(self.gate.clone(), places, deadline) });
        (admitted, self)
    }

    /// Ends it with what was used.
    pub fn settle(mut self, used: &Amounts, now: Instant) {
        self.end(used, now);
    }

    fn end(&mut self, used: &Amounts, now: Instant) {
        self.settled = true;
        let mut all = lock(&self.gate.outstanding);
        // Where it is no longer there it was taken for forgotten, and charged in full.
        let mine = all.get(self.slot).is_some_and(|o| o.id == self.id).then(|| all.remove(self.slot));
        drop(all);
        if let Some(outstanding) = mine {
            outstanding.end(&self.gate, now, |_| *used);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.end(&Amounts::default(), self.gate.clock.instant());
        }
    }
}

impl Outstanding {
    fn end(self, gate: &Gate, now: Instant, used: impl Fn(&Held) -> Amounts) {
        let now = gate.at(now);
        for (cell, held) in &self.held {
            let mut scope = cell.lock();
            scope.settle(held, &used(held), now.unix_ms);
            let low = scope.is_low();
            drop(scope);
            if low {
                gate.look_at(cell);
            }
        }
    }
}

impl Gate {
    /// Reservations under way.
    pub fn reservations(&self) -> usize {
        lock(&self.outstanding).len()
    }

    /// Charges reservations whose requests should have ended long ago: nobody knows what they used.
    pub(super) fn charge_forgotten(&self) {
        let now = self.clock.instant();
        let mut all = lock(&self.outstanding);
        let late: Vec<usize> = all.iter().filter(|(_, o)| o.deadline < now).map(|(slot, _)| slot).collect();
        let late: Vec<Outstanding> = late.into_iter().map(|slot| all.remove(slot)).collect();
        drop(all);
        for outstanding in late {
            tracing::error!(reservation = outstanding.id, "a reservation outlived its deadline and is charged in full");
            outstanding.end(self, now, |held| *held.amounts());
        }
    }
}

//! The gate of one process: the scopes that it knows, reservations in all of them at once, and the thread that exchanges
//! their slices with the store. What fits is the core's to say (`waypost_core::gate`); here are the locks and the waiting.

mod cell;
mod driver;
mod pacing;
mod reservation;
mod status;
#[cfg(test)]
mod tests;
mod view;

pub use cell::Cell;
pub use driver::{Driver, History};
pub use pacing::PaceStatus;
pub use reservation::{Admitted, Allowed, Reservation};
pub use status::{BudgetStatus, ScopeStatus, status, status_blocking};
pub use view::{Belongs, Overrides, Scopes, View, limits};

use crate::clock::Clock;
use arc_swap::ArcSwap;
use reservation::Outstanding;
use slab::Slab;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use waypost_core::config::OnStoreLoss;
use waypost_core::gate::{self, Amounts, Bound, Exceeded, FRESH, Held, Quota, Scope, ScopeId, Verdict};
use waypost_core::units::{Instant, Now};

/// Scopes, reservations and the state of the exchange. One a process.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    /// The store's clock: milliseconds since the Unix epoch at the clock's origin.
    store_origin_ms: AtomicI64,
    /// Every scope that is limited, or still has something to report.
    cells: Mutex<HashMap<ScopeId, Arc<Cell>>>,
    view: ArcSwap<View>,
    /// Views that were made.
    versions: AtomicU64,
    outstanding: Mutex<Slab<Outstanding>>,
    next_reservation: AtomicU64,
    /// Scopes whose slices are short or run low.
    wanting: Mutex<Vec<Arc<Cell>>>,
    wake: Notify,
    rounds: watch::Sender<Round>,
    closing: AtomicBool,
    events: Mutex<VecDeque<Event>>,
    /// Requests that wait for room.
    pub(crate) queued: std::sync::atomic::AtomicUsize,
}

/// Scopes of one request, as a rule at most: so many are kept without an allocation.
const USUAL_SCOPES: usize = 6;

/// The scopes of one request.
pub type Cells = SmallVec<[Arc<Cell>; USUAL_SCOPES]>;

/// The last exchange with the store.
#[derive(Clone, Debug, Default)]
struct Round {
    number: u64,
    /// It failed: when it began, and why.
    away: Option<(Instant, Arc<str>)>,
}

/// A soft threshold that was crossed, as it is shown.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Whose budget.
    pub scope: String,
    /// Which one.
    pub budget: &'static str,
    /// Share of the limit, 0 to 1.
    pub threshold: f64,
    /// Spent, for people.
    pub spent: String,
    /// The limit, for people.
    pub limit: String,
}

/// A round trip to the store that is short enough to take its clock from.
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// How often a request that waits for the store looks by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Events kept for `/admin/budgets`.
const EVENTS: usize = 256;

/// Why a reservation was not made.
#[derive(Clone, Debug)]
pub enum Refused {
    /// A limit leaves no room.
    Exceeded(Box<Exceeded>),
    /// The store of budgets cannot be asked, and the slice is spent.
    Unavailable(Arc<str>),
    /// The request's deadline passed while it waited for the store.
    Deadline,
    /// Money is limited there, and nobody stated the model's price.
    NoPrice(ScopeId),
}

/// What one attempt wants reserved, and where.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The scopes of the request, in order.
    pub scopes: Cells,
    /// In each of them.
    pub request: Amounts,
    /// The scope of the model that is tried.
    pub model: Option<Arc<Cell>>,
    /// In that one.
    pub attempt: Amounts,
}

impl Gate {
    /// A gate that knows no scope and no store yet.
    pub fn new(clock: Clock) -> Arc<Self> {
        let gate = Self {
            clock,
            store_origin_ms: AtomicI64::new(0),
            cells: Mutex::default(),
            view: ArcSwap::default(),
            versions: AtomicU64::new(0),
            outstanding: Mutex::default(),
            next_reservation: AtomicU64::new(1),
            wanting: Mutex::default(),
            wake: Notify::new(),
            rounds: watch::Sender::new(Round::default()),
            closing: AtomicBool::new(false),
            events: Mutex::default(),
            queued: std::sync::atomic::AtomicUsize::new(0),
        };
        gate.set_store_clock(gate.clock.instant(), crate::clock::unix_ms());
        Arc::new(gate)
    }

    /// What is limited at present.
    pub fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// Now, with the store's calendar: all gateways on one store turn their windows together, and a local clock that jumps
    /// turns none.
    pub fn now(&self) -> Now {
        self.at(self.clock.instant())
    }

    /// As [`Gate::now`], where the process's clock was read already.
    fn at(&self, instant: Instant) -> Now {
        let since_origin = (instant.0 / 1_000_000) as i64;
        Now { instant, unix_ms: self.store_origin_ms.load(Ordering::Relaxed).saturating_add(since_origin) }
    }

    /// The store told its time in answer to what was asked at `asked`: in the middle of the way, as far as anybody knows.
    /// A call that took long says less than what is known already.
    fn store_told(&self, asked: Instant, store_ms: i64) {
        let now = self.clock.instant();
        let took = now.since(asked);
        let middle = asked + took / 2;
        let known = self.store_origin_ms.load(Ordering::Relaxed).saturating_add((middle.0 / 1_000_000) as i64);
        if took < ROUND_TRIP || known.abs_diff(store_ms) > took.as_millis() as u64 {
            self.set_store_clock(middle, store_ms);
        }
    }

    fn set_store_clock(&self, at: Instant, store_ms: i64) {
        self.store_origin_ms.store(store_ms.saturating_sub((at.0 / 1_000_000) as i64), Ordering::Relaxed);
    }

    /// Reserves in all of the scopes or in none, `now`; where it does, the scopes move into the reservation. Waits for the store only where a slice is short, and until `deadline` at
    /// most.
    pub async fn reserve(
        self: &Arc<Self>,
        wanted: &mut Wanted,
        now: Instant,
        deadline: Instant,
    ) -> Result<Reservation, Refused> {
        let began = self.at(now);
        let since = Instant(began.instant.0.saturating_sub(FRESH.as_nanos() as u64));
        let look = |wanted: &mut Wanted, now: Now| match self.try_reserve(wanted, now, since, deadline) {
            Ok(reservation) => Some(Ok(reservation)),
            Err(Verdict::Exceeded(exceeded)) => Some(Err(Refused::Exceeded(exceeded))),
            Err(Verdict::Ask | Verdict::Fits) => None,
        };
        if let Some(known) = look(wanted, began) {
            return known;
        }
        let mut rounds = self.rounds.subscribe();
        let mut waits: Vec<Option<u64>> = vec![None; wanted.len()];
        loop {
            // Before the look: a round that ends after it is not missed.
            let away = rounds.borrow_and_update().away.clone();
            if let Some(known) = look(wanted, self.now()) {
                return known;
            }
            if let Some((_, why)) = away.filter(|(at, _)| *at >= began.instant) {
                return self.without_store(wanted, since, deadline, why);
            }
            let now = self.clock.instant();
            if now >= deadline {
                return Err(Refused::Deadline);
            }
            self.want(wanted, since, &mut waits);
            // What is wanted may be there by now without a round: another request gave it back, or a window turned.
            let again = self.clock.timer((now + LOOK_AGAIN).min(deadline));
            let _ = tokio::time::timeout_at(again, rounds.changed()).await;
        }
    }

    /// Whether a request would have room, as far as is known now; reserves nothing.
    pub fn room(&self, cells: &mut dyn Iterator<Item = (&Arc<Cell>, Amounts)>) -> Result<(), Box<Exceeded>> {
        let now = self.now();
        let since = Instant(now.instant.0.saturating_sub(FRESH.as_nanos() as u64));
        for (cell, need) in cells.filter(|(cell, _)| cell.is_tight()) {
            let mut scope = cell.lock();
            scope.turn(now.unix_ms);
            if let Verdict::Exceeded(exceeded) = scope.check(&need, since) {
                return Err(exceeded);
            }
        }
        Ok(())
    }

    /// Has the store asked about these scopes, so that what is known of them is fresh; reserves nothing. Does not wait for
    /// longer than `longest`.
    pub async fn refresh(&self, cells: &[Arc<Cell>], longest: Duration) {
        let mut rounds = self.rounds.subscribe();
        let now = self.now();
        // What is shown of it afterwards must still be fresh.
        let since = Instant(now.instant.0.saturating_sub(FRESH.as_nanos() as u64 / 2));
        let mut comes = false;
        for cell in cells {
            let mut scope = cell.lock();
            scope.turn(now.unix_ms);
            if scope.look(since) {
                comes = true;
                drop(scope);
                self.queue(cell);
            }
        }
        if !comes {
            return;
        }
        self.wake.notify_one();
        // Whether it came or not: what is known is shown.
        let _ = tokio::time::timeout(longest, rounds.changed()).await;
    }

    /// Resolves at the next exchange with the store, or at `until`.
    pub async fn next_round(&self, until: Instant) {
        let mut rounds = self.rounds.subscribe();
        let _ = tokio::time::timeout_at(self.clock.timer(until), rounds.changed()).await;
    }

    /// The newest events, newest last.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).iter().cloned().collect()
    }

    /// Why the store cannot be asked, where the last exchange failed.
    pub fn store_away(&self) -> Option<Arc<str>> {
        self.rounds.borrow().away.as_ref().map(|(_, why)| why.clone())
    }

    /// Every scope that is known here.
    pub fn cells(&self) -> Vec<Arc<Cell>> {
        lock(&self.cells).values().cloned().collect()
    }

    fn try_reserve(
        self: &Arc<Self>,
        wanted: &mut Wanted,
        now: Now,
        since: Instant,
        deadline: Instant,
    ) -> Result<Reservation, Verdict> {
        let mut locked: SmallVec<[(MutexGuard<'_, Scope>, Amounts); USUAL_SCOPES]> =
            wanted.cells().map(|(cell, need)| (cell.lock(), need)).collect();
        let mut held: SmallVec<[Held; USUAL_SCOPES]> = SmallVec::new();
        let made = gate::reserve(&mut locked, now, since, |one| held.push(one));
        let low = made.is_ok() && locked.iter().any(|(scope, _)| scope.is_low());
        if matches!(made, Err(Verdict::Exceeded(_))) {
            locked.iter().zip(wanted.cells()).for_each(|((scope, _), (cell, _))| cell.read(scope));
        }
        drop(locked);
        if low {
            wanted.cells().for_each(|(cell, _)| self.queue(cell));
            self.wake.notify_one();
        }
        made?;
        wanted.cells().for_each(|(cell, _)| cell.counted());
        let cells = wanted.scopes.drain(..).chain(wanted.model.take());
        let held = cells.zip(held).collect();
        Ok(Reservation::new(self.clone(), held, deadline))
    }

    /// The store is away and the slice is spent: closed, or on from what was free when it was last heard of.
    fn without_store(
        self: &Arc<Self>,
        wanted: &mut Wanted,
        since: Instant,
        deadline: Instant,
        why: Arc<str>,
    ) -> Result<Reservation, Refused> {
        if self.view().on_store_loss == OnStoreLoss::Closed {
            return Err(Refused::Unavailable(why));
        }
        for (cell, need) in wanted.cells() {
            if !cell.lock().extend(&need) {
                return Err(Refused::Unavailable(why));
            }
        }
        match self.try_reserve(wanted, self.now(), since, deadline) {
            Ok(reservation) => Ok(reservation),
            Err(Verdict::Exceeded(exceeded)) => Err(Refused::Exceeded(exceeded)),
            Err(Verdict::Ask | Verdict::Fits) => Err(Refused::Unavailable(why)),
        }
    }

    /// Has the next exchange bring what is wanted.
    fn want(&self, wanted: &Wanted, since: Instant, waits: &mut [Option<u64>]) {
        for ((cell, need), wait) in wanted.cells().zip(waits) {
            *wait = cell.lock().wait_for(&need, since, *wait);
            self.queue(cell);
        }
        self.wake.notify_one();
    }

    /// Has the exchange look at a scope before its next tick.
    fn look_at(&self, cell: &Arc<Cell>) {
        self.queue(cell);
        self.wake.notify_one();
    }

    fn queue(&self, cell: &Arc<Cell>) {
        if !cell.queued.swap(true, Ordering::AcqRel) {
            lock(&self.wanting).push(cell.clone());
        }
    }

    fn raise(&self, scope: &ScopeId, quota: Quota, limit: u64, spent: u64, crossed: &[u16]) {
        for threshold in crossed {
            let event = Event {
                unix_ms: self.now().unix_ms,
                scope: scope.to_string(),
                budget: quota.name(),
                threshold: f64::from(*threshold) / 10_000.0,
                spent: quota.amount(spent),
                limit: quota.amount(limit),
            };
            let Event { scope, budget, threshold, spent, limit, .. } = &event;
            tracing::warn!(%scope, budget, threshold, %spent, %limit, "budget threshold crossed");
            let mut events = lock(&self.events);
            if events.len() == EVENTS {
                events.pop_front();
            }
            events.push_back(event);
        }
    }
}

impl Wanted {
    /// Each scope with what is wanted there, in the order of locking.
    fn cells(&self) -> impl Iterator<Item = (&Arc<Cell>, Amounts)> {
        // A model's scope is the last in order.
        self.scopes.iter().map(|cell| (cell, self.request)).chain(self.model.iter().map(|cell| (cell, self.attempt)))
    }

    fn len(&self) -> usize {
        self.scopes.len() + usize::from(self.model.is_some())
    }
}

/// Whether waiting may help: rates and windows come back, the cap of a single request does not.
pub fn comes_back(exceeded: &Exceeded) -> bool {
    matches!(exceeded.bound, Bound::Quota(_)) && exceeded.need <= exceeded.limit
}

/// The locks guard plain data: a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Processes, a store and two clocks, moved by hand: everything that may happen between a request and a book.

use super::super::*;
use crate::units::{Instant, Now, Rng};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

/// Noon of a day without anything special, UTC.
pub(super) const NOON: i64 = 1_795_694_400_000;
pub(super) const TTL_MS: i64 = 15_000;

pub(super) struct World {
    /// The store's clock.
    pub(super) store_ms: i64,
    /// What monotonic clocks show.
    pub(super) mono_ms: u64,
    pub(super) limits: Limits,
    pub(super) zone: TimeZone,
    pub(super) procs: Vec<Proc>,
    /// Every threshold that was raised: book and threshold.
    pub(super) raised: Vec<(String, u16)>,
    pub(super) exchanges: usize,
    store: BTreeMap<String, (u64, String)>,
    versions: u64,
    born: usize,
    rng: Rng,
}

/// One run of one process.
pub(super) struct Proc {
    pub(super) holder: String,
    pub(super) scope: Scope,
    /// Reservations under way.
    pub(super) held: Vec<Held>,
    /// What it truly spent, over all its lives of the scope.
    pub(super) spent: Amounts,
    /// Of that: what was billed beyond reservations.
    pub(super) over: Amounts,
    /// How far its idea of the store's clock is off.
    pub(super) skew_ms: i64,
    pub(super) flight: Vec<Flight>,
    seen: BTreeMap<String, (u64, Book)>,
    /// By book: the highest total that the book let it reach since it last heard an answer.
    granted: BTreeMap<String, u64>,
}

/// An exchange on its way; `grant` once it stands in the store.
pub(super) struct Flight {
    due: Due,
    grant: Option<Grant>,
}

impl World {
    pub(super) fn new(processes: usize, limits: &[(Quota, u64)]) -> Self {
        let mut all = Limits::default();
        limits.iter().for_each(|(quota, limit)| all.set(*quota, Some(*limit)));
        let mut world = Self {
            store_ms: NOON,
            mono_ms: 1_000_000,
            limits: all,
            zone: TimeZone::UTC,
            procs: Vec::new(),
            raised: Vec::new(),
            exchanges: 0,
            store: BTreeMap::new(),
            versions: 0,
            born: 0,
            rng: Rng::new(1),
        };
        (0..processes).for_each(|_| world.start());
        world
    }

    /// Another process begins.
    pub(super) fn start(&mut self) {
        self.born += 1;
        let scope = self.new_scope();
        self.procs.push(Proc {
            holder: format!("p{}", self.born),
            scope,
            held: Vec::new(),
            spent: Amounts::default(),
            over: Amounts::default(),
            skew_ms: 0,
            flight: Vec::new(),
            seen: BTreeMap::new(),
            granted: BTreeMap::new(),
        });
    }

    pub(super) fn new_scope(&self) -> Scope {
        Scope::new(ScopeId::Global, self.limits.clone(), self.zone.clone(), self.store_ms)
    }

    pub(super) fn now(&self, p: usize) -> Now {
        Now { instant: Instant(self.mono_ms * 1_000_000), unix_ms: self.store_ms + self.procs[p].skew_ms }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.mono_ms += ms;
        self.store_ms += ms as i64;
    }

    /// All take over other limits.
    pub(super) fn limit(&mut self, quota: Quota, limit: Option<u64>) {
        self.limits.set(quota, limit);
        for p in 0..self.procs.len() {
            let unix_ms = self.now(p).unix_ms;
            self.procs[p].scope.configure(self.limits.clone(), self.zone.clone(), unix_ms);
        }
    }

    /// A request that waits where it must be, and that has waited if the answer is [`Verdict::Ask`].
    pub(super) fn reserve(&mut self, p: usize, need: Amounts) -> Result<(), Verdict> {
        let now = self.now(p);
        let since = Instant(now.instant.0.saturating_sub(FRESH.as_nanos() as u64));
        let proc = &mut self.procs[p];
        let made = reserve(&mut [(&mut proc.scope, need)], now, since, |held| proc.held.push(held));
        if made == Err(Verdict::Ask) {
            proc.scope.wait_for(&need, since, None);
        }
        made
    }

    /// As a gateway does it: exchanges until it is known whether there is room.
    pub(super) fn admit(&mut self, p: usize, need: Amounts) -> Result<(), Box<Exceeded>> {
        for _ in 0..8 {
            match self.reserve(p, need) {
                Ok(()) => return Ok(()),
                Err(Verdict::Exceeded(exceeded)) => return Err(exceeded),
                Err(_) => self.exchange(p, false),
            }
        }
        panic!("{} asks for ever", self.procs[p].holder);
    }

    pub(super) fn settle(&mut self, p: usize, at: usize, used: Amounts) {
        let unix_ms = self.now(p).unix_ms;
        let proc = &mut self.procs[p];
        let held = proc.held.swap_remove(at);
        proc.scope.settle(&held, &used, unix_ms);
        proc.spent.usd += used.usd;
        proc.spent.tokens += used.tokens;
        proc.over.usd += used.usd.saturating_sub(held.amounts().usd);
        proc.over.tokens += used.tokens.saturating_sub(held.amounts().tokens);
    }

    pub(super) fn settle_all(&mut self, p: usize) {
        while let Some(held) = self.procs[p].held.first() {
            let used = *held.amounts();
            self.settle(p, 0, used);
        }
    }

    pub(super) fn exchange(&mut self, p: usize, tick: bool) {
        self.begin(p, tick);
        self.apply(p);
        self.answer(p);
    }

    /// The exchanges that are due begin. Returns how many.
    pub(super) fn begin(&mut self, p: usize, tick: bool) -> usize {
        let now = self.now(p);
        let proc = &mut self.procs[p];
        proc.scope.turn(now.unix_ms);
        let due = proc.scope.due(now.instant, now.unix_ms, tick);
        let begun = due.len();
        self.exchanges += begun;
        proc.flight.extend(due.into_iter().map(|due| Flight { due, grant: None }));
        begun
    }

    /// They reach the store, which answers; nobody hears it yet.
    pub(super) fn apply(&mut self, p: usize) {
        let unix_ms = self.now(p).unix_ms;
        let thresholds = self.limits.thresholds().to_vec();
        let mut flights = std::mem::take(&mut self.procs[p].flight);
        for flight in flights.iter_mut().filter(|f| f.grant.is_none()) {
            let id = flight.due.part.book_id(&ScopeId::Global);
            let kind = flight.due.part.quota.kind();
            let terms = Terms { kind, limit: flight.due.limit, ttl_ms: TTL_MS, thresholds: &thresholds };
            let found = self.store.get(&id).map(|(version, body)| (*version, serde_json::from_str(body).unwrap()));
            let mut book = self.procs[p].seen_now(&id, found, &mut self.rng);
            let grant = book.exchange(&terms, unix_ms, &self.procs[p].holder.clone(), &flight.due.ask);
            self.versions += 1;
            self.store.insert(id.clone(), (self.versions, serde_json::to_string(&book).unwrap()));
            self.raised.extend(grant.crossed.iter().map(|t| (id.clone(), *t)));
            let most = self.procs[p].granted.entry(id).or_default();
            *most = (*most).max(grant.settled + grant.leased);
            flight.grant = Some(grant);
        }
        self.procs[p].flight = flights;
    }

    /// What stands in the store is heard of, the rest has failed.
    pub(super) fn answer(&mut self, p: usize) {
        let renew = self.now(p).instant + Duration::from_millis(TTL_MS as u64 / 3);
        let proc = &mut self.procs[p];
        for Flight { due, grant } in std::mem::take(&mut proc.flight) {
            let Some(grant) = grant else {
                proc.scope.failed(&due.part);
                continue;
            };
            let id = due.part.book_id(&ScopeId::Global);
            if let Some((version, body)) = self.store.get(&id) {
                proc.seen.insert(id.clone(), (*version, serde_json::from_str(body).unwrap()));
            }
            proc.granted.insert(id, grant.settled + grant.leased);
            proc.scope.answered(&due.part, &due.ask, grant, renew);
        }
    }

    /// The answers are lost, whether or not the exchanges were made.
    pub(super) fn lose(&mut self, p: usize) {
        let proc = &mut self.procs[p];
        std::mem::take(&mut proc.flight).iter().for_each(|f| proc.scope.failed(&f.due.part));
    }

    /// kill -9.
    pub(super) fn kill(&mut self, p: usize) -> Proc {
        self.procs.remove(p)
    }

    /// The store forgets everything.
    pub(super) fn lose_store(&mut self) {
        self.store.clear();
    }

    pub(super) fn book(&self, quota: Quota) -> Option<Book> {
        let id = self.id(quota);
        self.store.get(&id).map(|(_, body)| serde_json::from_str(body).unwrap())
    }

    pub(super) fn standing(&self, quota: Quota) -> Standing {
        let limit = self.limits.of(quota).unwrap_or(0);
        self.book(quota)
            .map_or(Standing { free: limit, ..Standing::default() }, |b| b.standing(quota.kind(), limit, self.store_ms))
    }

    fn id(&self, quota: Quota) -> String {
        let period = quota.window().map(|w| Period::containing(w, self.store_ms, &self.zone));
        Part { quota, period }.book_id(&ScopeId::Global)
    }

    /// Everybody goes on for so long, a tick a second.
    pub(super) fn quiet(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1000);
            (0..self.procs.len()).for_each(|p| self.exchange(p, true));
        }
    }
}

impl Proc {
    /// What a process takes the book for, in the light of what the store has. That it may first be told that another one
    /// was quicker makes no difference.
    fn seen_now(&self, id: &str, found: Option<(u64, Book)>, rng: &mut Rng) -> Book {
        let seen = self.seen.get(id).map(|(_, book)| book);
        match (found, seen) {
            (None, None) => Book::opened(rng.next_u64() | 1, 0),
            (None, Some(seen)) => seen.clone().reborn(rng.next_u64() | 1),
            (Some((_, mut book)), Some(seen)) if book.epoch() != seen.epoch() => {
                book.restore(seen);
                book
            }
            (Some((_, book)), _) => book,
        }
    }

    pub(super) fn known(&self, quota: Quota) -> Option<Known<'_>> {
        self.scope.known().find(|k| k.part.quota == quota)
    }

    /// The most that may be charged for it if it vanishes now: what it spent, holds, or was granted without hearing of it.
    pub(super) fn claim(&self, quota: Quota) -> u64 {
        let held = self.known(quota).map_or(0, |k| k.slice.reserved() + k.slice.headroom());
        let granted = self.granted.iter().filter(|(id, _)| id.contains(quota.name())).map(|(_, n)| *n).max();
        (self.spent.of(quota) + held).max(granted.unwrap_or(0))
    }

    /// What it last saw leased, to anybody.
    pub(super) fn seen_leased(&self, quota: Quota) -> u64 {
        let books = self.seen.iter().filter(|(id, _)| id.contains(quota.name())).map(|(_, (_, book))| book);
        books.map(|b| b.standing(quota.kind(), 0, 0)).map(|s| s.reserved + s.leased + s.lost).sum()
    }

    pub(super) fn reserved(&self, quota: Quota) -> u64 {
        self.held.iter().map(|h| h.amounts().of(quota)).sum()
    }
}

//! What one process has leased of one book and spends in memory: requests reserve and settle here, and an exchange with
//! the book now and then reports and renews. It does no IO: who exchanges asks for [`Slice::ask`] and brings the answer.

use super::book::{Ask, Grant, Kind, bucket, has_come_back, latest_use};
use crate::units::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// How old an answer of the store may be for a refusal to rest on it.
pub const FRESH: Duration = Duration::from_millis(500);

/// A leased slice. `settled + reserved <= ceiling`, but for what was billed beyond a reservation.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// All that was ever spent through this slice.
    settled: u64,
    /// Spoken for by requests under way.
    reserved: u64,
    /// What settled and reserved may reach together.
    ceiling: u64,
    /// The settled total that the book knows.
    reported: u64,
    /// Rates: uses by bucket, the oldest first.
    recent: VecDeque<(i64, u64)>,
    /// What waiting requests need beyond the headroom.
    waiting: u64,
    /// Headroom that was given up for an exchange that has not been answered: it may be had again.
    given: u64,
    /// What the last request wanted.
    usual: u64,
    /// The book's last words.
    grant: Grant,
    /// When the exchange began that `grant` answers; `None`: never yet.
    answered: Option<Instant>,
    /// When the exchange began that is under way.
    asking: Option<Instant>,
    /// Whether it was ever answered: only then is `settled` the whole of what this process spent.
    known: bool,
    /// The last exchange failed, and may have been made all the same: the book may have leased what nobody here knows of.
    unsure: bool,
    /// When the lease must be renewed.
    renew_at: Instant,
    /// Rates and concurrency: until when something may be taken from the lease; `None`: no end.
    ends: Option<Instant>,
    /// The last reservation.
    touched: Instant,
    /// Nothing new is reserved here: what is left goes back.
    retired: bool,
    /// Somebody wants to know how the book stands.
    curious: bool,
    /// The limit changed while an exchange was under way: its answer is out of date.
    stopped: bool,
}

/// Whether an amount can be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At once.
    Fits,
    /// Perhaps, after an exchange with the book.
    Ask,
    /// No.
    None,
}

impl Slice {
    /// What can be reserved at once.
    pub fn headroom(&self) -> u64 {
        self.ceiling.saturating_sub(self.settled.saturating_add(self.reserved))
    }

    /// What can be reserved at once or after an exchange, as far as is known.
    pub fn attainable(&self) -> u64 {
        self.headroom().saturating_add(self.given).saturating_add(self.grant.free)
    }

    /// Whether `n` can be reserved. A no is only said from an answer that the book gave after `since`.
    pub fn room(&self, n: u64, since: Instant) -> Room {
        if n <= self.headroom() {
            return Room::Fits;
        }
        match self.answered {
            Some(at) if at >= since && n > self.attainable() => Room::None,
            _ => Room::Ask,
        }
    }

    /// Reserves; the caller has seen that it [`Room::Fits`].
    pub fn reserve(&mut self, n: u64, now: Instant) {
        self.reserved = self.reserved.saturating_add(n);
        (self.usual, self.touched) = (n, now);
    }

    /// Ends a reservation of `n` with what was used.
    pub fn settle(&mut self, n: u64, used: u64) {
        self.reserved = self.reserved.saturating_sub(n);
        self.settled = self.settled.saturating_add(used);
    }

    /// As [`Slice::settle`], for a rate: the use comes back a minute after `unix_ms`.
    pub fn settle_rate(&mut self, n: u64, used: u64, unix_ms: i64) {
        self.settle(n, used);
        if used == 0 {
            return;
        }
        match self.recent.back_mut() {
            Some((at, sum)) if *at >= bucket(unix_ms) => *sum = sum.saturating_add(used),
            _ => self.recent.push_back((bucket(unix_ms), used)),
        }
    }

    /// A request waits for so much.
    pub fn wait_for(&mut self, n: u64) {
        self.waiting = self.waiting.saturating_add(n);
        self.usual = n;
    }

    /// Has the next exchange tell how the book stands, where that is not known since `since`: whether there is one to come.
    pub fn look(&mut self, since: Instant) -> bool {
        self.curious |= self.answered.is_none_or(|at| at < since);
        self.curious
    }

    /// Whether an exchange is worth making now: someone waits, the headroom runs low, much is unreported, or, at a `tick`, there is something to
    /// report, to return or to renew.
    pub fn is_due(&self, now: Instant, tick: bool) -> bool {
        self.is_pressing() || (tick && self.asking.is_none() && self.has_news(now))
    }

    /// As [`Slice::is_due`], between ticks.
    pub fn is_pressing(&self) -> bool {
        if self.asking.is_some() {
            return false;
        }
        let low = || self.grant.target > 0 && self.headroom() < self.grant.target / 2;
        // What a crash would lose stays small.
        let behind = || self.grant.step > 0 && self.settled.abs_diff(self.reported) >= self.grant.step;
        (self.is_wanted() && !self.grant.settling) || (!self.unsure && (low() || behind()))
    }

    fn is_wanted(&self) -> bool {
        self.waiting > 0 || self.curious
    }

    /// Whether there is something to report, to return or to renew, or somebody waits.
    fn has_news(&self, now: Instant) -> bool {
        // What the book takes for leased beyond what requests hold. After an answer that is the headroom.
        let surplus = self.outstanding().saturating_sub(self.reserved);
        let unreported = self.unsure || self.settled != self.reported || surplus > self.grant.target;
        let renew = (self.reserved > 0 || surplus > 0) && now >= self.renew_at;
        self.is_wanted() || unreported || renew
    }

    /// Begins an exchange. Headroom above the target is given up at once, so that no request takes it meanwhile.
    pub fn ask(&mut self, kind: Kind, now: Instant, store_ms: i64, idle_after: Duration) -> Ask {
        let unused = self.reserved == 0 && self.waiting == 0 && now.since(self.touched) > idle_after;
        let idle = self.retired || unused;
        let keep = if idle { 0 } else { self.headroom().min(self.grant.target) };
        self.given = self.given.saturating_add(self.headroom() - keep);
        self.ceiling = self.settled.saturating_add(self.reserved).saturating_add(keep);
        if kind == Kind::Rate {
            while self.recent.front().is_some_and(|(at, _)| has_come_back(*at, store_ms)) {
                self.recent.pop_front();
            }
            // The clock was set back: nothing is taken for used later than now.
            let latest = latest_use(store_ms);
            self.recent.iter_mut().rev().take_while(|(at, _)| *at > latest).for_each(|(at, _)| *at = latest);
        }
        self.asking = Some(now);
        self.curious = false;
        let need = std::mem::take(&mut self.waiting);
        Ask {
            settled: self.settled,
            reported: self.reported,
            fresh: !self.known,
            recent: self.recent.iter().copied().collect(),
            reserved: self.reserved,
            keep,
            need,
            usual: self.usual,
            idle,
        }
    }

    /// The book answered. `renew` is when the lease must be renewed.
    pub fn answered(&mut self, ask: &Ask, mut grant: Grant, renew: Instant) {
        // A slice of this book was here before, and was forgotten: what it spent is this process's.
        self.settled = self.settled.saturating_add(grant.settled.saturating_sub(ask.settled));
        self.reported = grant.settled.max(ask.settled);
        self.recent.extend(std::mem::take(&mut grant.recent));
        self.ceiling = self.reported.saturating_add(grant.leased);
        self.answered = self.asking.take();
        self.ends = grant.lasts.zip(self.answered).map(|(lasts, began)| began + lasts);
        self.grant = grant;
        (self.known, self.unsure, self.given) = (true, false, 0);
        self.renew_at = renew;
        if std::mem::take(&mut self.stopped) {
            self.stop();
        }
    }

    /// The exchange failed: what was kept is still held, nothing is won.
    pub fn failed(&mut self) {
        self.unsure |= self.asking.take().is_some();
    }

    /// Ends a lease of what comes back by itself when its time is over: the book gives it to others from then on.
    pub fn lapse(&mut self, now: Instant) {
        if self.ends.is_some_and(|ends| now >= ends) {
            self.ends = None;
            self.ceiling = self.ceiling.min(self.settled.saturating_add(self.reserved));
        }
    }

    /// Takes so much more without a lease: the store is away and the operator prefers to go on.
    pub fn extend(&mut self, n: u64) {
        self.ceiling = self.ceiling.saturating_add(n);
        self.grant.free = self.grant.free.saturating_sub(n);
    }

    /// The limit fell: nothing more is taken from the lease before the book was asked.
    pub fn stop(&mut self) {
        self.ceiling = self.settled.saturating_add(self.reserved);
        self.grant.target = 0;
        (self.grant.free, self.given) = (0, 0);
        self.grant.settling = false;
        self.answered = None;
        self.stopped = self.asking.is_some();
    }

    /// Its window turned, or its limit went: it only reports and gives back from now on.
    pub fn retire(&mut self) {
        self.stop();
        self.waiting = 0;
        self.retired = true;
    }

    /// It is in use again.
    pub fn revive(&mut self) {
        self.retired = false;
    }

    /// Whether an exchange is under way.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Whether nothing is reserved, unreported or leased any more.
    pub fn is_done(&self) -> bool {
        let idle = self.asking.is_none() && !self.unsure && self.reserved == 0;
        idle && self.settled == self.reported && self.grant.leased == 0
    }

    /// Reserved by requests of this process.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// What the last request wanted.
    pub fn usual(&self) -> u64 {
        self.usual
    }

    /// Spent by everybody, as far as is known here.
    pub fn spent(&self) -> u64 {
        self.grant.spent.saturating_add(self.settled.saturating_sub(self.reported))
    }

    /// Of the lease, as the book has it: what is not settled yet.
    fn outstanding(&self) -> u64 {
        self.reported.saturating_add(self.grant.leased).saturating_sub(self.settled)
    }

    /// The book's last words.
    pub fn last(&self) -> &Grant {
        &self.grant
    }

    /// When the exchange began that was answered last.
    pub fn answered_at(&self) -> Option<Instant> {
        self.answered
    }
}

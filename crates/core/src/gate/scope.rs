//! One scope's slices in one process: of every quota that it limits, and of windows that turned while requests were
//! under way. Reserving over several scopes at once is [`reserve`].

use super::amounts::{Amounts, Bound, Exceeded, Held};
use super::book::{Ask, Grant, Terms};
use super::slice::{Room, Slice};
use super::{Limits, OnExhausted, Period, Quota, ScopeId, Window};
use crate::units::{Instant, Now};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::ops::DerefMut;
use std::time::Duration;

/// Whether a reservation can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Fits,
    /// An exchange with the store must tell.
    Ask,
    /// No.
    Exceeded(Box<Exceeded>),
}

/// Names one book: whose, of what, and of which period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of what.
    pub quota: Quota,
    /// The calendar period; `None` for rates and concurrency.
    pub period: Option<Period>,
}

impl Part {
    /// The book's name in the store, unique among all scopes, quotas and periods.
    pub fn book_id(&self, scope: &ScopeId) -> String {
        match self.period {
            Some(period) => format!("{scope}|{}|{}", self.quota.name(), period.first),
            None => format!("{scope}|{}", self.quota.name()),
        }
    }
}

/// One exchange that is to be made.
#[derive(Clone, Debug)]
pub struct Due {
    /// With which book.
    pub part: Part,
    /// What to say.
    pub ask: Ask,
    /// The limit in force.
    pub limit: u64,
}

/// How a quota stands, as this process knows it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Which book.
    pub part: Part,
    /// The limit in force.
    pub limit: u64,
    /// The slice of it.
    pub slice: &'a Slice,
}

/// All slices of one scope in this process.
#[derive(Clone, Debug)]
pub struct Scope {
    id: ScopeId,
    limits: Limits,
    zone: TimeZone,
    /// Of those quotas that are limited, in the order of [`Quota::ALL`].
    lines: Vec<Line>,
    /// Slices of quotas that are no longer limited, and of windows that turned, until they have reported everything.
    past: Vec<Line>,
    /// The present windows, by [`Window`]. They only ever go forward.
    periods: [Period; 3],
    /// When the first of them turns, milliseconds since the Unix epoch.
    turns_ms: i64,
    /// How often [`Scope::due`] began something, or a slice took the place of another: what waits must ask anew.
    exchanges: u64,
}

/// One quota in one period.
#[derive(Clone, Debug)]
struct Line {
    part: Part,
    limit: u64,
    slice: Slice,
}

impl Line {
    /// Whether a reservation holds something of it, or is to tell it what was used; `left` are its quotas that have not
    /// been settled yet.
    fn is_of(&self, held: &Held, left: u16) -> bool {
        let window = self.part.quota.window();
        left & 1 << self.part.quota.index() != 0 && window.map(|w| held.firsts[w as usize]) == first(&self.part)
    }

    fn settle(&mut self, held: &Held, used: &Amounts, unix_ms: i64) {
        let quota = self.part.quota;
        let (n, used) = (held.amounts.of(quota), used.of(quota));
        match quota {
            Quota::TokensPerMinute => self.slice.settle_rate(n, used, unix_ms),
            Quota::Concurrency => self.slice.settle(n, 0),
            _ => self.slice.settle(n, used),
        }
    }
}

/// How long a slice that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(20);

impl Scope {
    /// A scope that holds nothing yet.
    pub fn new(id: ScopeId, limits: Limits, zone: TimeZone, unix_ms: i64) -> Self {
        let periods = Window::ALL.map(|w| Period::containing(w, unix_ms, &zone));
        let mut scope = Self {
            id,
            limits: Limits::default(),
            zone,
            lines: Vec::new(),
            past: Vec::new(),
            periods,
            turns_ms: i64::MAX,
            exchanges: 0,
        };
        let zone = scope.zone.clone();
        scope.configure(limits, zone, unix_ms);
        scope
    }

    /// Whose it is.
    pub fn id(&self) -> &ScopeId {
        &self.id
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Other limits from now on. What was spent and is held stays; where a limit fell, the store is asked before more is
    /// taken.
    pub fn configure(&mut self, limits: Limits, zone: TimeZone, unix_ms: i64) {
        self.limits = limits;
        if self.zone != zone {
            // The same window, until its last day ends there.
            self.periods = std::array::from_fn(|i| Period::starting(Window::ALL[i], self.periods[i].first, &zone));
            self.zone = zone;
        }
        self.roll(unix_ms);
        let mut before = std::mem::take(&mut self.lines);
        for quota in Quota::ALL {
            let at = before.iter().position(|l| l.part.quota == quota);
            match (at.map(|at| before.swap_remove(at)), self.limits.of(quota)) {
                (None, None) => {}
                (Some(line), None) => self.retire(line),
                (None, Some(limit)) => {
                    self.exchanges += 1;
                    let line = self.revived(self.part(quota), limit);
                    self.lines.push(line);
                }
                (Some(mut line), Some(limit)) => {
                    if limit != line.limit {
                        line.slice.stop();
                    }
                    line.limit = limit;
                    self.lines.push(line);
                }
            }
        }
    }

    /// Turns windows whose time has come. A clock that was set back turns nothing: a window is never entered twice.
    pub fn turn(&mut self, unix_ms: i64) {
        if unix_ms >= self.turns_ms {
            self.roll(unix_ms);
        }
    }

    /// Whether `need` has room. A no rests only on what the store said after `since`.
    pub fn check(&self, need: &Amounts, since: Instant) -> Verdict {
        if let Some(exceeded) = self.over_per_request(need) {
            return Verdict::Exceeded(Box::new(exceeded));
        }
        let mut verdict = Verdict::Fits;
        for line in self.lines.iter() {
            let n = need.of(line.part.quota);
            if n == 0 {
                continue;
            }
            match line.slice.room(n, since) {
                _ if n > line.limit => return Verdict::Exceeded(Box::new(self.exceeded(line, n))),
                Room::Fits => {}
                Room::Ask => verdict = Verdict::Ask,
                Room::None => return Verdict::Exceeded(Box::new(self.exceeded(line, n))),
            }
        }
        verdict
    }

    /// Reserves what [`Scope::check`] found to fit. Requests of a rate count as used at once.
    pub fn reserve(&mut self, need: &Amounts, now: Now) -> Held {
        let mut held = Held { amounts: *need, quotas: 0, firsts: self.periods.map(|p| p.first) };
        // Of an attempt everything is to be heard that it is billed for, foreseen or not.
        let attempt = need.usd > 0 || need.tokens > 0;
        for line in self.lines.iter_mut() {
            let quota = line.part.quota;
            let n = need.of(quota);
            if n == 0 && !(attempt && quota.is_metered()) {
                continue;
            }
            line.slice.reserve(n, now.instant);
            if quota == Quota::RequestsPerMinute {
                line.slice.settle_rate(n, n, now.unix_ms);
                continue;
            }
            held.quotas |= 1 << quota.index();
        }
        held
    }

    /// Ends a reservation with what was used, in the windows that it was made in.
    pub fn settle(&mut self, held: &Held, used: &Amounts, unix_ms: i64) {
        let mut left = held.quotas;
        // Those of windows that turned meanwhile, and of limits that went, are behind the present ones.
        for line in self.lines.iter_mut().chain(&mut self.past) {
            if left == 0 {
                return;
            }
            if line.is_of(held, left) {
                left &= !(1 << line.part.quota.index());
                line.settle(held, used, unix_ms);
            }
        }
    }

    /// Has the next exchange bring room for `need`. What comes back is to be given again by a request that still waits, so
    /// that it is not counted twice; `None`: nothing is short here at present.
    pub fn wait_for(&mut self, need: &Amounts, since: Instant, before: Option<u64>) -> Option<u64> {
        if before == Some(self.exchanges) {
            return before;
        }
        let mut waits = None;
        for line in self.lines.iter_mut() {
            let n = need.of(line.part.quota);
            if n > 0 && line.slice.room(n, since) == Room::Ask {
                line.slice.wait_for(n);
                waits = Some(self.exchanges);
            }
        }
        waits
    }

    /// Nothing new is reserved any more: what is left goes back with the next exchange.
    pub fn close(&mut self) {
        self.lines.iter_mut().for_each(|l| l.slice.retire());
    }

    /// Has the next exchange tell how every quota stands that was not heard of since `since`: whether there is any.
    pub fn look(&mut self, since: Instant) -> bool {
        let mut any = false;
        for line in self.lines.iter_mut() {
            any |= line.slice.look(since);
        }
        any
    }

    /// The exchanges to make now; each must be ended by [`Scope::answered`] or [`Scope::failed`]. `store_ms` is the store's
    /// clock, as far as is known.
    pub fn due(&mut self, now: Instant, store_ms: i64, tick: bool) -> Vec<Due> {
        self.lapse(now);
        let lines = self.lines.iter_mut().chain(&mut self.past);
        let due = lines.filter(|l| l.slice.is_due(now, tick));
        let ask = |l: &mut Line| Due {
            part: l.part,
            ask: l.slice.ask(l.part.quota.kind(), now, store_ms, IDLE),
            limit: l.limit,
        };
        let due: Vec<Due> = due.map(ask).collect();
        self.exchanges += u64::from(!due.is_empty());
        due
    }

    /// A book answered; `renew` is when its lease must be renewed.
    pub fn answered(&mut self, part: &Part, ask: &Ask, grant: Grant, renew: Instant) {
        if let Some(line) = self.line_of(part.quota, first(part)) {
            line.slice.answered(ask, grant, renew);
        }
        self.past.retain(|l| !l.slice.is_done());
    }

    /// An exchange failed.
    pub fn failed(&mut self, part: &Part) {
        if let Some(line) = self.line_of(part.quota, first(part)) {
            line.slice.failed();
        }
    }

    /// Whether an exchange is worth making before the next tick.
    pub fn is_low(&self) -> bool {
        self.lines.iter().any(|l| l.slice.is_pressing())
    }

    /// Goes on without the store for `need`, within what was free when the store was last heard of. False: that is spent.
    pub fn extend(&mut self, need: &Amounts) -> bool {
        let short = |l: &Line| need.of(l.part.quota).saturating_sub(l.slice.headroom());
        let mut lines = self.lines.iter_mut();
        if lines.any(|l| short(l) > l.slice.last().free) {
            return false;
        }
        for line in self.lines.iter_mut() {
            line.slice.extend(short(line));
        }
        true
    }

    /// How every limited quota stands, in the order of [`Quota::ALL`].
    pub fn known(&self) -> impl Iterator<Item = Known<'_>> {
        self.lines.iter().map(|l| Known { part: l.part, limit: l.limit, slice: &l.slice })
    }

    /// The terms of a book under the limits in force.
    pub fn terms(&self, part: &Part, limit: u64, ttl_ms: i64) -> Terms<'_> {
        Terms { kind: part.quota.kind(), limit, ttl_ms, thresholds: self.limits.thresholds() }
    }

    /// Whether nothing is held or unreported: it may be forgotten.
    pub fn is_idle(&self) -> bool {
        self.past.is_empty() && self.lines.iter().all(|l| l.slice.is_done() && l.slice.headroom() == 0)
    }

    /// The book of a quota at present.
    fn part(&self, quota: Quota) -> Part {
        Part { quota, period: quota.window().map(|w| self.periods[w as usize]) }
    }

    /// Enters the windows of now, as far as they are later than the present ones.
    fn roll(&mut self, unix_ms: i64) {
        for (window, period) in Window::ALL.into_iter().zip(&mut self.periods) {
            let now = Period::containing(window, unix_ms, &self.zone);
            if now.first > period.first {
                *period = now;
            }
        }
        self.turns_ms = self.periods.iter().map(|p| p.end_ms).min().unwrap_or(i64::MAX);
        for at in 0..self.lines.len() {
            let part = self.part(self.lines[at].part.quota);
            let line = &mut self.lines[at];
            if first(&line.part) == first(&part) {
                line.part = part;
            } else {
                let new = Line { part, limit: line.limit, slice: Slice::default() };
                let old = std::mem::replace(line, new);
                self.retire(old);
                // What was wanted of the old one is to be wanted of this one.
                self.exchanges += 1;
            }
        }
    }

    /// Ends leases of what comes back by itself when their time is over.
    fn lapse(&mut self, now: Instant) {
        self.lines.iter_mut().for_each(|l| l.slice.lapse(now));
    }

    fn retire(&mut self, mut line: Line) {
        if !line.slice.is_done() {
            line.slice.retire();
            self.past.push(line);
        }
    }

    /// A line for `part`: the one that was retired, where a limit comes back within its window.
    fn revived(&mut self, part: Part, limit: u64) -> Line {
        let same = |l: &Line| l.part.quota == part.quota && first(&l.part) == first(&part);
        match self.past.iter().position(same) {
            Some(at) => {
                let mut line = self.past.swap_remove(at);
                line.slice.revive();
                Line { limit, ..line }
            }
            None => Line { part, limit, slice: Slice::default() },
        }
    }

    fn line_of(&mut self, quota: Quota, day: Option<Date>) -> Option<&mut Line> {
        let is = |l: &Line| l.part.quota == quota && first(&l.part) == day;
        self.lines.iter_mut().chain(&mut self.past).find(|l| is(l))
    }

    fn over_per_request(&self, need: &Amounts) -> Option<Exceeded> {
        let usd = self.limits.usd_per_request.map(|cap| (Bound::UsdPerRequest, cap.0.unsigned_abs(), need.usd));
        let tokens = self.limits.tokens_per_request.map(|cap| (Bound::TokensPerRequest, cap, need.tokens));
        let (bound, limit, need) = [usd, tokens].into_iter().flatten().find(|(_, cap, need)| need > cap)?;
        let (scope, on_exhausted) = (self.id.clone(), OnExhausted::Deny);
        Some(Exceeded { scope, bound, limit, spent: 0, need, resets_ms: None, on_exhausted })
    }

    fn exceeded(&self, line: &Line, need: u64) -> Exceeded {
        let quota = line.part.quota;
        let resets_ms = match line.part.period {
            Some(period) => Some(period.end_ms),
            None => line.slice.last().frees_ms,
        };
        Exceeded {
            scope: self.id.clone(),
            bound: Bound::Quota(quota),
            limit: line.limit,
            spent: if quota == Quota::Concurrency { line.slice.reserved() } else { line.slice.spent() },
            need,
            resets_ms,
            on_exhausted: self.limits.on_exhausted.unwrap_or_default(),
        }
    }
}

/// What tells the books of a quota apart, in their names too: a period's first day, whatever zone it begins in.
fn first(part: &Part) -> Option<Date> {
    part.period.map(|p| p.first)
}

/// Reserves in all scopes or in none; `hold` is given what each holds, in their order. The scopes are given in the order of
/// their ids, each once, locked. Where the store must be asked, [`Scope::wait_for`] says so.
pub fn reserve<S: DerefMut<Target = Scope>>(
    scopes: &mut [(S, Amounts)],
    now: Now,
    since: Instant,
    hold: impl FnMut(Held),
) -> Result<(), Verdict> {
    let mut ask = false;
    for (scope, need) in scopes.iter_mut() {
        scope.turn(now.unix_ms);
        scope.lapse(now.instant);
        match scope.check(need, since) {
            Verdict::Fits => {}
            Verdict::Ask => ask = true,
            exceeded @ Verdict::Exceeded(_) => return Err(exceeded),
        }
    }
    if ask {
        return Err(Verdict::Ask);
    }
    scopes.iter_mut().map(|(scope, need)| scope.reserve(need, now)).for_each(hold);
    Ok(())
}

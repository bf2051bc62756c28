//! The authoritative account of one budget, as it stands in the durable store: what was spent, and what each process has
//! leased. The store keeps it as a value and swaps it whole; all of its arithmetic is here. It knows no store and no
//! request.
//!
//! Every process reports its own running total, so a report that arrives twice changes nothing, and books can be merged
//! after a loss. A lease that expires is charged in full: its holder may have spent it and died. Nothing is therefore
//! ever overspent, whatever becomes of processes and their clocks. A holder that was only slow tells the truth with its next
//! exchange and the charge is undone. Leases of concurrency come back instead: a dead process holds no connection. What
//! comes back by itself (rates, concurrency) may be taken from a lease only while it lasts, see [`Grant::lasts`]. Requests
//! under way go on all the same: a process that lives but cannot reach the store has them uncounted after that (places at
//! once, tokens a minute later), since nothing tells it from a dead one.
//!
//! After a loss, nothing new is leased until everybody who is known to have been there has reported or let its lease
//! expire. What cannot be known then is what a process leased that nobody has seen: the last moment before the loss.

use super::Quota;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Resolution of rates, in milliseconds.
pub const BUCKET_MS: i64 = 250;
/// How long a use counts, in buckets: 60 seconds, its own bucket, and one for clocks that are read over a network.
const RATE_BUCKETS: i64 = 60_000 / BUCKET_MS + 2;
/// Accounts of holders that are gone beyond which the oldest are put together.
const MOST_GONE: usize = 64;

/// How what was spent comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not before the window turns, with a new book.
    Budget,
    /// 60 seconds after its use.
    Rate,
    /// Nothing is spent; what is held comes back.
    Held,
}

impl Quota {
    /// How what was spent of it comes back.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Usd(_) | Self::Tokens(_) => Kind::Budget,
            Self::RequestsPerMinute | Self::TokensPerMinute => Kind::Rate,
            Self::Concurrency => Kind::Held,
        }
    }
}

/// The rules of a book, as the process that exchanges knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// How spend comes back.
    pub kind: Kind,
    /// In the quota's units.
    pub limit: u64,
    /// How long a lease lasts, milliseconds.
    pub ttl_ms: i64,
    /// Soft thresholds, in basis points and rising.
    pub thresholds: &'a [u16],
}

/// One budget's account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Chosen at random when it was opened: a book that was lost and opened again has another.
    #[serde(default)]
    epoch: u64,
    /// Spent before the book was opened, as far as no account tells.
    #[serde(default, skip_serializing_if = "is_zero")]
    opened: u64,
    /// Spent by holders whose accounts were put together.
    #[serde(default, skip_serializing_if = "is_zero")]
    base: u64,
    /// Accounts without a lease that ended by then are in `base`; 0: none yet.
    #[serde(default, skip_serializing_if = "is_zero_i64")]
    folded_ms: i64,
    /// By holder: one run of one process.
    #[serde(default)]
    accounts: BTreeMap<String, Account>,
    /// The highest soft threshold that was announced, basis points.
    #[serde(default, skip_serializing_if = "is_zero_u16")]
    crossed: u16,
}

/// What one holder spent and may still spend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Account {
    /// All that it spent; only grows. Of rates only `recent` is kept.
    #[serde(skip_serializing_if = "is_zero")]
    settled: u64,
    /// What it spent before that is in the book's base: its account had been put together with others.
    #[serde(skip_serializing_if = "is_zero")]
    counted: u64,
    /// Rates: what it used lately, by bucket, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recent: Vec<(i64, u64)>,
    /// What it may spend beyond that.
    #[serde(skip_serializing_if = "is_zero")]
    leased: u64,
    /// Of the lease: what was reserved by requests under way when it last reported.
    #[serde(skip_serializing_if = "is_zero")]
    reserved: u64,
    /// Its lease expired with so much outstanding, which counts as spent.
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    /// When the lease ends, by the store's clock.
    expires_ms: i64,
    /// The book was put back after a loss, and the holder has not reported since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unheard: bool,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_zero_u16(n: &u16) -> bool {
    *n == 0
}

fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

/// What a holder reports and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// All that it ever spent of this book.
    pub settled: u64,
    /// Of that, what the book has acknowledged.
    pub reported: u64,
    /// It never heard of this book before: what the book knows of the holder is from an earlier life of the slice.
    pub fresh: bool,
    /// Rates: what it used lately, by bucket.
    pub recent: Vec<(i64, u64)>,
    /// Reserved by requests under way: it cannot be given back.
    pub reserved: u64,
    /// Unspent, and kept whatever the answer says: requests may be taking it at this moment.
    pub keep: u64,
    /// What waiting requests need.
    pub need: u64,
    /// What a request reserves: to lease less than that ahead of need serves nobody.
    pub usual: u64,
    /// Nothing more is wanted ahead of need.
    pub idle: bool,
}

/// What a holder may do now, and how the budget stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// All that the holder ever spent of this book, as the book has it from now on.
    pub settled: u64,
    /// Rates: what a fresh slice used lately in an earlier life.
    pub recent: Vec<(i64, u64)>,
    /// What it may spend beyond the settled total.
    pub leased: u64,
    /// How long after the exchange began something may be taken from the lease; `None`: as long as there is some, since an
    /// expired lease is charged and never comes back.
    pub lasts: Option<Duration>,
    /// The book was lost and put back, and not everybody has reported yet: nothing new is leased before.
    pub settling: bool,
    /// Unspent lease that it should aim for.
    pub target: u64,
    /// So much spent and not reported is worth an exchange of its own; 0: none is, what is lost comes back.
    pub step: u64,
    /// What nobody has spent or leased.
    pub free: u64,
    /// What all have spent, charges of expired leases included.
    pub spent: u64,
    /// Soft thresholds crossed by this exchange, basis points.
    pub crossed: Vec<u16>,
    /// Rates: when what was needed may be free, by the store's clock; `None` where it is now or never.
    pub frees_ms: Option<i64>,
}

/// How a budget stands, over all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Spent, charges of expired leases included.
    pub spent: u64,
    /// Of `spent`: charged for leases whose holders never reported back.
    pub lost: u64,
    /// Reserved by requests under way.
    pub reserved: u64,
    /// Leased and unspent, beyond what is reserved.
    pub leased: u64,
    /// What nobody has spent or leased.
    pub free: u64,
}

impl Book {
    /// A new book, of whose limit so much is spent already. `epoch` is a random number.
    pub fn opened(epoch: u64, spent: u64) -> Self {
        Self { epoch, opened: spent, ..Self::default() }
    }

    /// Tells a book from one of the same name that was lost before it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The same book under another epoch: it is put back after a loss, and others have seen more or less of it.
    pub fn reborn(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self.accounts.values_mut().for_each(|a| a.unheard = true);
        self
    }

    /// Takes a holder's report and gives it a new lease. `now_ms` is the store's clock. An exchange that is repeated with
    /// the same report changes nothing but the lease.
    pub fn exchange(&mut self, terms: &Terms<'_>, now_ms: i64, holder: &str, ask: &Ask) -> Grant {
        self.expire(terms, now_ms);
        let mut mine = self.accounts.remove(holder).unwrap_or_else(|| self.unknown(ask));
        mine.report(terms.kind, now_ms, ask);
        let (mut taken, mut holders) = (self.spent(terms.kind).saturating_add(mine.spent(terms.kind)), 1);
        for other in self.accounts.values().filter(|a| a.leased > 0) {
            (taken, holders) = (taken.saturating_add(other.leased), holders + 1);
        }
        let settling = self.accounts.values().any(|a| a.unheard && a.expires_ms > now_ms);
        let free = terms.limit.saturating_sub(taken);
        let need = ask.reserved.saturating_add(ask.need);
        // Ahead of need only a small part, less where others share and as the end comes near.
        let ahead = (free.saturating_sub(need) / (2 * holders)).min(terms.limit / terms.kind.parts());
        let target = if ask.idle || settling || ahead < ask.usual { 0 } else { ahead };
        let wanted = if settling { 0 } else { need.saturating_add(target).min(free) };
        mine.leased = wanted.max(ask.reserved.saturating_add(ask.keep));
        mine.expires_ms = now_ms.saturating_add(terms.ttl_ms);
        let mut grant = Grant {
            settled: if terms.kind == Kind::Budget { mine.settled.saturating_add(mine.counted) } else { ask.settled },
            recent: if ask.fresh { mine.recent.clone() } else { Vec::new() },
            leased: mine.leased,
            lasts: (terms.kind != Kind::Budget).then(|| Duration::from_millis(terms.ttl_ms.unsigned_abs())),
            settling,
            target,
            step: if terms.kind == Kind::Budget { (terms.limit / terms.kind.parts()).max(1) } else { 0 },
            free: free.saturating_sub(mine.leased),
            ..Grant::default()
        };
        let short = need.saturating_sub(mine.leased);
        self.accounts.insert(holder.to_owned(), mine);
        grant.spent = self.spent(terms.kind);
        grant.crossed = self.cross(terms);
        grant.frees_ms = if terms.kind == Kind::Rate { self.frees_ms(short) } else { None };
        self.accounts.retain(|_, a| !a.is_empty());
        self.fold(terms.kind, now_ms);
        grant
    }

    /// How it stands now.
    pub fn standing(&self, kind: Kind, limit: u64, now_ms: i64) -> Standing {
        let mut now = self.clone();
        now.expire(&Terms { kind, limit, ttl_ms: i64::MAX / 4, thresholds: &[] }, now_ms);
        let spent = now.spent(kind);
        let lost = now.accounts.values().map(|a| a.lost).fold(0, u64::saturating_add);
        let leased = now.leased();
        let reserved = now.accounts.values().map(|a| a.reserved).fold(0, u64::saturating_add).min(leased);
        let free = limit.saturating_sub(spent.saturating_add(leased));
        Standing { spent, lost, reserved, leased: leased - reserved, free }
    }

    /// Brings back what a store has lost: what was `seen` before and is not here. Only for a `seen` of another epoch:
    /// of the same one, what is missing was given back.
    pub fn restore(&mut self, seen: &Self) {
        let before = self.settled();
        if self.folded_ms < seen.folded_ms {
            self.accounts.retain(|holder, a| seen.accounts.contains_key(holder) || !a.ended_by(seen.folded_ms));
        }
        self.base = self.base.max(seen.base);
        for (holder, theirs) in &seen.accounts {
            match self.accounts.get_mut(holder) {
                Some(mine) if mine.expires_ms >= theirs.expires_ms => mine.settled = mine.settled.max(theirs.settled),
                None if theirs.ended_by(self.folded_ms) => {}
                mine => {
                    let settled = theirs.settled.max(mine.map_or(0, |a| a.settled));
                    self.accounts.insert(holder.clone(), Account { settled, unheard: true, ..theirs.clone() });
                }
            }
        }
        self.folded_ms = self.folded_ms.max(seen.folded_ms);
        self.crossed = self.crossed.max(seen.crossed);
        // What was spent before this book was opened is, so far, what the accounts tell that it did not have.
        let told = self.settled().saturating_sub(before);
        self.opened = self.opened.saturating_sub(told).max(seen.opened);
    }

    /// The account of a holder that has none here: a new one. Where accounts were put together, what it has reported
    /// before is in the base.
    fn unknown(&self, ask: &Ask) -> Account {
        let counted = if self.folded_ms != 0 { ask.reported } else { 0 };
        Account { settled: ask.settled.saturating_sub(counted), counted, ..Account::default() }
    }

    /// Ends leases whose time is over. Where the store's clock was set back, no lease and no use lasts longer by it.
    fn expire(&mut self, terms: &Terms<'_>, now_ms: i64) {
        let (latest, longest) = (latest_use(now_ms), now_ms.saturating_add(terms.ttl_ms.saturating_mul(2)));
        for account in self.accounts.values_mut() {
            account.recent.retain(|(at, _)| !has_come_back(*at, now_ms));
            account.recent.iter_mut().for_each(|(at, _)| *at = (*at).min(latest));
            account.expires_ms = account.expires_ms.min(longest);
            if account.leased == 0 || account.expires_ms > now_ms {
                continue;
            }
            let outstanding = std::mem::take(&mut account.leased);
            account.reserved = 0;
            match terms.kind {
                Kind::Budget => account.lost = account.lost.saturating_add(outstanding),
                // Used when it ended, at the latest; that may be a minute ago.
                Kind::Rate if has_come_back(bucket(account.expires_ms), now_ms) => {}
                Kind::Rate => account.recent.push((bucket(account.expires_ms), outstanding)),
                Kind::Held => {}
            }
        }
    }

    /// What accounts and base tell, charges left aside.
    fn settled(&self) -> u64 {
        self.accounts.values().map(|a| a.settled).fold(self.base, u64::saturating_add)
    }

    fn spent(&self, kind: Kind) -> u64 {
        let before = if kind == Kind::Budget { self.opened.saturating_add(self.base) } else { 0 };
        self.accounts.values().map(|a| a.spent(kind)).fold(before, u64::saturating_add)
    }

    fn leased(&self) -> u64 {
        self.accounts.values().map(|a| a.leased).fold(0, u64::saturating_add)
    }

    /// Thresholds between the last one announced and what is spent now.
    fn cross(&mut self, terms: &Terms<'_>) -> Vec<u16> {
        if terms.kind != Kind::Budget || terms.limit == 0 {
            return Vec::new();
        }
        let spent = u128::from(self.spent(terms.kind)) * 10_000;
        let reached = |t: &u16| spent >= u128::from(*t) * u128::from(terms.limit);
        let new: Vec<u16> = terms.thresholds.iter().copied().filter(|t| *t > self.crossed && reached(t)).collect();
        self.crossed = new.last().copied().unwrap_or(self.crossed);
        new
    }

    /// When so much will have come back.
    fn frees_ms(&self, short: u64) -> Option<i64> {
        if short == 0 {
            return None;
        }
        let mut uses: Vec<(i64, u64)> = self.accounts.values().flat_map(|a| a.recent.iter().copied()).collect();
        uses.sort_unstable();
        let mut back = 0u64;
        let enough = uses.iter().find(|(_, n)| {
            back = back.saturating_add(*n);
            back >= short
        });
        enough.or(uses.last()).map(|(at, _)| (at + RATE_BUCKETS) * BUCKET_MS)
    }

    /// Puts the oldest accounts of holders that are gone for an hour into the base, where there are many.
    fn fold(&mut self, kind: Kind, now_ms: i64) {
        if kind != Kind::Budget || self.accounts.len() <= MOST_GONE {
            return;
        }
        let mut ends: Vec<i64> = self.accounts.values().map(|a| a.expires_ms).collect();
        ends.sort_unstable();
        let until = ends[MOST_GONE / 2].min(now_ms.saturating_sub(3_600_000));
        let base = &mut self.base;
        self.accounts.retain(|_, account| {
            let ended = account.ended_by(until);
            if ended {
                *base = base.saturating_add(account.settled).saturating_add(account.lost);
                self.folded_ms = until;
            }
            !ended
        });
    }
}

impl Account {
    /// The holder is there and says what is true: a charge for its silence is undone.
    fn report(&mut self, kind: Kind, now_ms: i64, ask: &Ask) {
        (self.lost, self.leased, self.reserved, self.unheard) = (0, 0, ask.reserved, false);
        match kind {
            Kind::Budget => self.settled = self.settled.max(ask.settled.saturating_sub(self.counted)),
            Kind::Rate if !ask.fresh => {
                let latest = latest_use(now_ms);
                let counts = ask.recent.iter().filter(|(at, _)| !has_come_back(*at, now_ms));
                self.recent = counts.map(|(at, n)| ((*at).min(latest), *n)).collect();
            }
            Kind::Rate | Kind::Held => {}
        }
    }

    fn spent(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Budget => self.settled.saturating_add(self.lost),
            Kind::Rate => self.recent.iter().fold(0, |sum: u64, (_, n)| sum.saturating_add(*n)),
            Kind::Held => 0,
        }
    }

    /// Whether it holds nothing, and has not since then.
    fn ended_by(&self, ms: i64) -> bool {
        self.leased == 0 && self.expires_ms <= ms
    }

    /// Whether nothing would be lost with it. What is counted elsewhere must be remembered.
    fn is_empty(&self) -> bool {
        self.settled == 0 && self.leased == 0 && self.lost == 0 && self.counted == 0 && self.recent.is_empty()
    }
}

impl Kind {
    /// A process leases at most this part of a limit ahead of need: what a crash may cost of a budget, while rates and
    /// concurrency come back soon.
    const fn parts(self) -> u64 {
        match self {
            Self::Budget => 200,
            Self::Rate | Self::Held => 8,
        }
    }
}

/// Whether a use in that bucket no longer counts.
pub(super) fn has_come_back(at: i64, now_ms: i64) -> bool {
    at <= bucket(now_ms) - RATE_BUCKETS
}

/// The last bucket that a use may lie in by now, clocks that are read over a network being what they are.
pub(super) fn latest_use(now_ms: i64) -> i64 {
    bucket(now_ms) + 1
}

/// The bucket of a moment.
pub fn bucket(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(BUCKET_MS)
}

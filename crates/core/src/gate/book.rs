//! The authoritative account of one budget, as it stands in the durable store: what was spent, and what each process has
//! leased. The store keeps it as a value and swaps it whole; all of its arithmetic is here. It knows no store and no
//! request.
//!
//! Every process reports its own running total, so a report that arrives twice changes nothing, and books can be merged
//! after a loss. A lease that expires is charged in full: its holder may have spent it and died. Nothing is therefore
//! ever overspent, whatever becomes of processes and their clocks. A holder that was only slow tells the truth with its next
//! exchange and the charge is undone. Leases of concurrency come back instead: a dead process holds no connection.

use super::Quota;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Spent before the book was opened, and by holders whose accounts were put together.
    #[serde(default, skip_serializing_if = "is_zero")]
    base: u64,
    /// How often accounts were put together into `base`.
    #[serde(default, skip_serializing_if = "is_zero")]
    folded: u64,
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
    /// All that it spent; only grows.
    #[serde(skip_serializing_if = "is_zero")]
    settled: u64,
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
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_zero_u16(n: &u16) -> bool {
    *n == 0
}

/// What a holder reports and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// All that it ever spent of this book.
    pub settled: u64,
    /// Rates: what it used lately, by bucket.
    pub recent: Vec<(i64, u64)>,
    /// Reserved by requests under way: it cannot be given back.
    pub reserved: u64,
    /// Unspent, and kept whatever the answer says: requests may be taking it at this moment.
    pub keep: u64,
    /// What waiting requests need.
    pub need: u64,
    /// Nothing more is wanted ahead of need.
    pub idle: bool,
}

/// What a holder may do now, and how the budget stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What it may spend beyond the settled total that it reported.
    pub leased: u64,
    /// Unspent lease that it should aim for.
    pub target: u64,
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
    pub fn opened(epoch: u64, base: u64) -> Self {
        Self { epoch, base, ..Self::default() }
    }

    /// Tells a book from one of the same name that was lost before it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The same book under another epoch: it is put back after a loss, and others have seen more or less of it.
    pub fn reborn(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// Takes a holder's report and gives it a new lease. `now_ms` is the store's clock. An exchange that is repeated with
    /// the same report changes nothing but the lease.
    pub fn exchange(&mut self, terms: &Terms<'_>, now_ms: i64, holder: &str, ask: &Ask) -> Grant {
        self.expire(terms, now_ms);
        let live = |(name, a): &(&String, &Account)| *name != holder && a.leased > 0;
        let holders = 1 + self.accounts.iter().filter(live).count() as u64;
        let mine = self.accounts.entry(holder.to_owned()).or_default();
        mine.report(terms.kind, ask);
        (mine.leased, mine.reserved) = (0, ask.reserved);
        let taken = self.spent(terms.kind).saturating_add(self.leased());
        let free = terms.limit.saturating_sub(taken);
        // Ahead of need only a small part, less where others share and as the end comes near.
        let ahead = free.saturating_sub(ask.reserved.saturating_add(ask.need)) / (2 * holders);
        let target = if ask.idle { 0 } else { ahead.min(terms.limit / terms.kind.parts()) };
        let wanted = ask.reserved.saturating_add(ask.need).saturating_add(target);
        let leased = wanted.min(free).max(ask.reserved.saturating_add(ask.keep));
        let mine = self.accounts.entry(holder.to_owned()).or_default();
        (mine.leased, mine.expires_ms) = (leased, now_ms.saturating_add(terms.ttl_ms));
        let short = ask.reserved.saturating_add(ask.need).saturating_sub(leased);
        let grant = Grant {
            leased,
            target,
            free: free.saturating_sub(leased),
            spent: self.spent(terms.kind),
            crossed: self.cross(terms),
            frees_ms: if terms.kind == Kind::Rate { self.frees_ms(short) } else { None },
        };
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
        if self.folded > seen.folded {
            return; // accounts of `seen` may be in the base by now
        }
        if self.folded < seen.folded {
            (self.base, self.folded) = (self.base.max(seen.base), seen.folded);
        }
        self.base = self.base.max(seen.base);
        self.crossed = self.crossed.max(seen.crossed);
        for (holder, theirs) in &seen.accounts {
            match self.accounts.get_mut(holder) {
                Some(mine) => mine.settled = mine.settled.max(theirs.settled),
                None => {
                    self.accounts.insert(holder.clone(), theirs.clone());
                }
            }
        }
    }

    /// Ends leases whose time is over.
    fn expire(&mut self, terms: &Terms<'_>, now_ms: i64) {
        for account in self.accounts.values_mut() {
            account.recent.retain(|(at, _)| !has_come_back(*at, now_ms));
            // The store's clock was set back: nobody's lease becomes longer by it.
            account.expires_ms = account.expires_ms.min(now_ms.saturating_add(terms.ttl_ms.saturating_mul(2)));
            if account.leased == 0 || account.expires_ms > now_ms {
                continue;
            }
            let outstanding = std::mem::take(&mut account.leased);
            account.reserved = 0;
            match terms.kind {
                Kind::Budget => account.lost = account.lost.saturating_add(outstanding),
                Kind::Rate => account.recent.push((bucket(now_ms), outstanding)),
                Kind::Held => {}
            }
        }
    }

    fn spent(&self, kind: Kind) -> u64 {
        let of = |a: &Account| match kind {
            Kind::Budget => a.settled.saturating_add(a.lost),
            Kind::Rate => a.recent.iter().fold(0, |sum: u64, (_, n)| sum.saturating_add(*n)),
            Kind::Held => 0,
        };
        self.accounts.values().map(of).fold(if kind == Kind::Budget { self.base } else { 0 }, u64::saturating_add)
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
        let gone = |a: &Account| a.leased == 0 && a.expires_ms.saturating_add(3_600_000) < now_ms;
        let mut old: Vec<(i64, String)> =
            self.accounts.iter().filter(|(_, a)| gone(a)).map(|(h, a)| (a.expires_ms, h.clone())).collect();
        if kind != Kind::Budget || old.len() <= MOST_GONE {
            return;
        }
        old.sort_unstable();
        for (_, holder) in old.into_iter().take(MOST_GONE / 2) {
            if let Some(account) = self.accounts.remove(&holder) {
                self.base = self.base.saturating_add(account.settled).saturating_add(account.lost);
            }
        }
        self.folded += 1;
    }
}

impl Account {
    /// The holder is there and says what is true: a charge for its silence is undone.
    fn report(&mut self, kind: Kind, ask: &Ask) {
        self.lost = 0;
        self.settled = self.settled.max(ask.settled);
        if kind == Kind::Rate {
            self.recent.clone_from(&ask.recent);
        }
    }

    fn is_empty(&self) -> bool {
        self.settled == 0 && self.leased == 0 && self.lost == 0 && self.recent.is_empty()
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

/// The bucket of a moment.
pub fn bucket(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(BUCKET_MS)
}

//! What a request needs and holds, and what a refusal says: plain values.

use super::{OnExhausted, Quota, ScopeId, Window};
use jiff::civil::Date;
use std::fmt;
use std::time::Duration;

/// What a request may use at worst, or what an attempt did use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Nano-US-dollars.
    pub usd: u64,
    /// Tokens, input and output together.
    pub tokens: u64,
    /// Requests that begin.
    pub requests: u64,
    /// Requests at once.
    pub concurrency: u64,
}

impl Amounts {
    /// Its part that a quota counts.
    pub fn of(&self, quota: Quota) -> u64 {
        match quota {
            Quota::Usd(_) => self.usd,
            Quota::Tokens(_) | Quota::TokensPerMinute => self.tokens,
            Quota::RequestsPerMinute => self.requests,
            Quota::Concurrency => self.concurrency,
        }
    }
}

/// A reservation in one scope; to be settled exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub(super) amounts: Amounts,
    /// By [`Quota::index`]: which quotas hold something, or are to hear what was used.
    pub(super) quotas: u16,
    /// The windows that it was made in: first day of the day, week and month.
    pub(super) firsts: [Date; 3],
}

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A quota over time or at once.
    Quota(Quota),
    /// The worst case of one request, in nano-US-dollars.
    UsdPerRequest,
    /// The worst case of one request, in tokens.
    TokensPerRequest,
}

impl Bound {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quota(quota) => quota.name(),
            Self::UsdPerRequest => "usd_per_request",
            Self::TokensPerRequest => "tokens_per_request",
        }
    }

    /// An amount of it, for people.
    pub fn amount(self, n: u64) -> String {
        match self {
            Self::Quota(quota) => quota.amount(n),
            Self::UsdPerRequest => Quota::Usd(Window::Day).amount(n),
            Self::TokensPerRequest => Quota::TokensPerMinute.amount(n),
        }
    }
}

/// A limit that leaves no room, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose limit.
    pub scope: ScopeId,
    /// On what.
    pub bound: Bound,
    /// The limit itself.
    pub limit: u64,
    /// Spent, as far as is known.
    pub spent: u64,
    /// What the request may need at worst.
    pub need: u64,
    /// When the window turns, milliseconds since the Unix epoch; for rates and concurrency, when it is worth asking again.
    pub resets_ms: Option<i64>,
    /// What the operator wants done about it.
    pub on_exhausted: OnExhausted,
}

impl Exceeded {
    /// How long to wait before it is worth asking again; `None`: never.
    pub fn wait(&self, unix_ms: i64) -> Option<Duration> {
        match self.bound {
            Bound::Quota(_) if self.need > self.limit => None,
            Bound::Quota(quota) => {
                let fallback = if quota == Quota::Concurrency { 1_000 } else { 60_000 };
                let left = self.resets_ms.map_or(fallback, |at| at.saturating_sub(unix_ms)).max(1_000);
                Some(Duration::from_millis(left.unsigned_abs()))
            }
            Bound::UsdPerRequest | Bound::TokensPerRequest => None,
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.bound.name();
        let (need, limit, spent) =
            (self.bound.amount(self.need), self.bound.amount(self.limit), self.bound.amount(self.spent));
        write!(f, "`{name}` of {} is {limit}", self.scope)?;
        match self.bound {
            _ if self.limit == 0 => write!(f, ": nothing is let through")?,
            Bound::Quota(Quota::Concurrency) => write!(f, ", and {spent} are running")?,
            Bound::Quota(_) if self.need > self.limit => {
                write!(f, ": this request may need {need}; ask for fewer tokens (`max_tokens`)")?;
            }
            Bound::Quota(_) => write!(f, ", of which {spent} are used or spoken for; this request may need {need}")?,
            Bound::UsdPerRequest | Bound::TokensPerRequest => {
                write!(f, ": this request may need {need}; ask for fewer tokens (`max_tokens`)")?;
            }
        }
        let at = self.resets_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match at.filter(|_| matches!(self.bound, Bound::Quota(_))) {
            Some(at) => write!(f, "; resets at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            None => Ok(()),
        }
    }
}

impl Held {
    /// Takes what holds a place at once out of it, to be settled at the request's end; the rest is the attempt's.
    pub fn split_concurrency(self) -> (Self, Self) {
        let bit = 1 << Quota::Concurrency.index();
        let (place, rest) = (self.quotas & bit, self.quotas & !bit);
        (Self { quotas: place, ..self }, Self { quotas: rest, ..self })
    }

    /// Whether it holds a place at once.
    pub fn has_place(&self) -> bool {
        self.quotas & 1 << Quota::Concurrency.index() != 0
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.quotas == 0
    }

    /// What was reserved.
    pub fn amounts(&self) -> &Amounts {
        &self.amounts
    }
}

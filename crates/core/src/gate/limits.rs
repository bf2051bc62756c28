//! What an operator may limit, and by how much. Values only: nothing here counts.

use crate::units::NanoUsd;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Whose spend is counted together. The order is the order in which scopes are locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeId {
    /// Everything.
    Global,
    /// All keys of a team.
    Team(Arc<str>),
    /// One client key.
    Key(Arc<str>),
    /// One stage.
    Stage(Arc<str>),
    /// One route.
    Route(Arc<str>),
    /// One tag with one value.
    Tag(Arc<str>, Arc<str>),
    /// One model. Attempts count here, where elsewhere requests do.
    Model(Arc<str>),
}

impl ScopeId {
    /// From its printed form (`global`, `team/a`, `tag/surface=support`).
    pub fn parse(text: &str) -> Option<Self> {
        if text == "global" {
            return Some(Self::Global);
        }
        let (kind, name) = text.split_once('/').filter(|(_, name)| !name.is_empty())?;
        match kind {
            "team" => Some(Self::Team(name.into())),
            "key" => Some(Self::Key(name.into())),
            "stage" => Some(Self::Stage(name.into())),
            "route" => Some(Self::Route(name.into())),
            "model" => Some(Self::Model(name.into())),
            "tag" => name.split_once('=').map(|(k, v)| Self::Tag(k.into(), v.into())),
            _ => None,
        }
    }

    /// `global`, `team`, `key`, `stage`, `route`, `tag` or `model`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Team(_) => "team",
            Self::Key(_) => "key",
            Self::Stage(_) => "stage",
            Self::Route(_) => "route",
            Self::Tag(..) => "tag",
            Self::Model(_) => "model",
        }
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Team(n) | Self::Key(n) | Self::Stage(n) | Self::Route(n) | Self::Model(n) => {
                write!(f, "{}/{n}", self.kind())
            }
            Self::Tag(k, v) => write!(f, "tag/{k}={v}"),
        }
    }
}

/// A calendar window of a budget, in the operator's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// Midnight to midnight.
    Day,
    /// Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// `day`, `week` or `month`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// One thing that a scope may be limited in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quota {
    /// Nano-US-dollars in a calendar window.
    Usd(Window),
    /// Tokens, input and output together, in a calendar window.
    Tokens(Window),
    /// Requests in any 60 seconds.
    RequestsPerMinute,
    /// Tokens in any 60 seconds.
    TokensPerMinute,
    /// Requests at once.
    Concurrency,
}

impl Quota {
    /// How many there are.
    pub const COUNT: usize = 9;

    /// All of them, by [`Quota::index`]: in the order of checking, rates before budgets.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Concurrency,
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::Tokens(Window::Day),
        Self::Tokens(Window::Week),
        Self::Tokens(Window::Month),
        Self::Usd(Window::Day),
        Self::Usd(Window::Week),
        Self::Usd(Window::Month),
    ];

    /// Place in [`Quota::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Concurrency => 0,
            Self::RequestsPerMinute => 1,
            Self::TokensPerMinute => 2,
            Self::Tokens(w) => 3 + w as usize,
            Self::Usd(w) => 6 + w as usize,
        }
    }

    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usd(Window::Day) => "usd_per_day",
            Self::Usd(Window::Week) => "usd_per_week",
            Self::Usd(Window::Month) => "usd_per_month",
            Self::Tokens(Window::Day) => "tokens_per_day",
            Self::Tokens(Window::Week) => "tokens_per_week",
            Self::Tokens(Window::Month) => "tokens_per_month",
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::Concurrency => "concurrency",
        }
    }

    /// Its calendar window, where it has one.
    pub const fn window(self) -> Option<Window> {
        match self {
            Self::Usd(w) | Self::Tokens(w) => Some(w),
            Self::RequestsPerMinute | Self::TokensPerMinute | Self::Concurrency => None,
        }
    }

    /// Whether it is a rate or a concurrency: its refusal is `rate_limit_exceeded`, not `budget_exceeded`.
    pub const fn is_rate(self) -> bool {
        self.window().is_none()
    }

    /// Whether it counts what is billed, which is only known at the end.
    pub const fn is_metered(self) -> bool {
        matches!(self, Self::Usd(_) | Self::Tokens(_) | Self::TokensPerMinute)
    }

    /// An amount of it, for people: `$0.25`, `1200 tokens`, `3 requests`.
    pub fn amount(self, n: u64) -> String {
        match self {
            Self::Usd(_) => format!("${}", NanoUsd(i64::try_from(n).unwrap_or(i64::MAX))),
            Self::Tokens(_) | Self::TokensPerMinute => format!("{n} tokens"),
            Self::RequestsPerMinute | Self::Concurrency => format!("{n} requests"),
        }
    }
}

/// What happens to a request that a budget has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// 429.
    #[default]
    Deny,
    /// The cheapest candidate that meets the floors, as long as it fits; then 429. It begins where a candidate no longer
    /// fits, or at the last soft threshold.
    Clamp,
    /// Background requests wait, within their deadline, until there is room or the window turns; others get 429.
    Queue,
}

impl OnExhausted {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Clamp => "clamp",
            Self::Queue => "queue",
        }
    }
}

/// The limits of one scope. Amounts are in a quota's own units (nano-US-dollars, tokens, requests).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    quotas: [Option<u64>; Quota::COUNT],
    /// Most that one request may cost at worst.
    pub usd_per_request: Option<NanoUsd>,
    /// Most tokens that one request may use at worst.
    pub tokens_per_request: Option<u64>,
    /// What happens when a budget has no room; `None`: as the global scope says, at last `deny`.
    pub on_exhausted: Option<OnExhausted>,
    /// Shares of a budget, in basis points and rising, that raise an event each; `None`: [`THRESHOLDS`].
    pub thresholds: Option<Vec<u16>>,
}

/// What an operator changed of a scope's limits at run time. `None`: as configured; `Some(None)`: lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitChange {
    quotas: [Option<Option<u64>>; Quota::COUNT],
    /// Of [`Limits::usd_per_request`].
    pub usd_per_request: Option<Option<NanoUsd>>,
    /// Of [`Limits::tokens_per_request`].
    pub tokens_per_request: Option<Option<u64>>,
    /// Of [`Limits::on_exhausted`].
    pub on_exhausted: Option<OnExhausted>,
    /// Of [`Limits::thresholds`].
    pub thresholds: Option<Vec<u16>>,
}

impl LimitChange {
    /// Changes the limit of a quota, or lifts it.
    pub fn set(&mut self, quota: Quota, limit: Option<u64>) {
        self.quotas[quota.index()] = Some(limit);
    }

    /// What it makes of the limit of a quota; `None`: it leaves it as it is.
    pub fn of(&self, quota: Quota) -> Option<Option<u64>> {
        self.quotas[quota.index()]
    }
}

/// Soft thresholds where nothing else is configured, in basis points.
pub const THRESHOLDS: [u16; 3] = [5_000, 7_500, 9_000];

impl Limits {
    /// The limit of a quota; `None`: unlimited.
    pub fn of(&self, quota: Quota) -> Option<u64> {
        self.quotas[quota.index()]
    }

    /// Sets or removes the limit of a quota.
    pub fn set(&mut self, quota: Quota, limit: Option<u64>) {
        self.quotas[quota.index()] = limit;
    }

    /// Whether nothing at all is limited.
    pub fn is_empty(&self) -> bool {
        self.quotas.iter().all(Option::is_none) && self.usd_per_request.is_none() && self.tokens_per_request.is_none()
    }

    /// Field by field: mine, else the other's.
    pub fn or(&self, other: &Self) -> Self {
        let mut quotas = self.quotas;
        for (mine, theirs) in quotas.iter_mut().zip(other.quotas) {
            *mine = mine.or(theirs);
        }
        Self {
            quotas,
            usd_per_request: self.usd_per_request.or(other.usd_per_request),
            tokens_per_request: self.tokens_per_request.or(other.tokens_per_request),
            on_exhausted: self.on_exhausted.or(other.on_exhausted),
            thresholds: self.thresholds.clone().or_else(|| other.thresholds.clone()),
        }
    }

    /// These limits with a change applied.
    pub fn changed(&self, change: &LimitChange) -> Self {
        let mut quotas = self.quotas;
        for (limit, change) in quotas.iter_mut().zip(change.quotas) {
            *limit = change.unwrap_or(*limit);
        }
        Self {
            quotas,
            usd_per_request: change.usd_per_request.unwrap_or(self.usd_per_request),
            tokens_per_request: change.tokens_per_request.unwrap_or(self.tokens_per_request),
            on_exhausted: change.on_exhausted.or(self.on_exhausted),
            thresholds: change.thresholds.clone().or_else(|| self.thresholds.clone()),
        }
    }

    /// Whether money is limited in any way: then an unknown price excludes.
    pub fn limits_money(&self) -> bool {
        self.usd_per_request.is_some() || Window::ALL.iter().any(|w| self.of(Quota::Usd(*w)).is_some())
    }

    /// Whether what one answer may use is limited in any way: then its output is capped.
    pub fn limits_output(&self) -> bool {
        self.limits_money()
            || self.tokens_per_request.is_some()
            || self.of(Quota::TokensPerMinute).is_some()
            || Window::ALL.iter().any(|w| self.of(Quota::Tokens(*w)).is_some())
    }

    /// The soft thresholds in basis points, rising.
    pub fn thresholds(&self) -> &[u16] {
        self.thresholds.as_deref().unwrap_or(&THRESHOLDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_print_and_parse_alike() {
        for text in ["global", "team/a", "key/k-1", "stage/ui", "route/r", "model/openai/gpt-5", "tag/surface=a=b"] {
            assert_eq!(ScopeId::parse(text).map(|s| s.to_string()).as_deref(), Some(text));
        }
        for wrong in ["", "globe", "team/", "team", "tag/x", "user/a"] {
            assert_eq!(ScopeId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_quota_stands_at_its_index() {
        for (i, quota) in Quota::ALL.into_iter().enumerate() {
            assert_eq!(quota.index(), i, "{}", quota.name());
        }
    }
}

//! Keys of limits, of packages, and of where budgets are kept.

use super::List;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Limits and packages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct GateKeys {
    /// Limits of everything together. Default none.
    pub(in crate::config) global: LimitKeys,
    /// Limits of teams, by the `team` of keys: all keys of the team together. Default none.
    pub(in crate::config) teams: IndexMap<String, LimitKeys>,
    /// Limits of stages, by name. Default none.
    pub(in crate::config) stages: IndexMap<String, LimitKeys>,
    /// Limits of routes, by name. Default none.
    pub(in crate::config) routes: IndexMap<String, LimitKeys>,
    /// Limits of models, by name: each attempt at the model counts, fallbacks and repeats too. Default none.
    pub(in crate::config) models: IndexMap<String, LimitKeys>,
    /// Limits of tags, by `NAME=VALUE`: all requests with that tag together. Default none.
    pub(in crate::config) tags: IndexMap<String, LimitKeys>,
    /// Limits of each key, in what neither the key nor its package says. Default none.
    pub(in crate::config) keys: LimitKeys,
    /// Packages that keys name: limits that each of their keys has to itself, and a pool of models. A package replaces the
    /// built-in one of its name. Default: `free` (small and medium models, 0.50 US dollars a day, 20 requests a minute, 2
    /// at once), `standard` (small to large, 20 dollars a day, 120 a minute, 16 at once), `premium` (all models, 200
    /// dollars a day, 600 a minute, 64 at once).
    pub(in crate::config) packages: IndexMap<String, PackageKeys>,
    /// What happens once a process has spent what it leased and the store cannot be asked: `closed` refuses with 503,
    /// `local` goes on by what the process knows, so that budgets may be overspent. Default `closed`.
    pub(in crate::config) on_store_loss: Option<OnStoreLoss>,
    /// Requests that may wait for a budget at once (`on_exhausted: queue`); more of them are refused. Default 1000.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) max_waiting: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum OnStoreLoss {
    /// Nothing is ever overspent.
    Closed,
    /// Requests go on.
    Local,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct PackageKeys {
    /// Limits that each key with this package has to itself. Default none.
    pub(in crate::config) limits: LimitKeys,
    /// The only models that its keys may use: names, `tag:WORD`, or `tier:small`, `tier:medium`, `tier:large`,
    /// `tier:frontier` for the models of a size tier of the catalogue. Default all.
    pub(in crate::config) models: List<String>,
}

/// What a scope may spend; 0 is a limit too, and closes it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct LimitKeys {
    /// US dollars from midnight to midnight in `time_zone`. Default no limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub(in crate::config) usd_per_day: Option<f64>,
    /// US dollars from Monday to Monday. Default no limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub(in crate::config) usd_per_week: Option<f64>,
    /// US dollars in a calendar month. Default no limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub(in crate::config) usd_per_month: Option<f64>,
    /// Tokens, input and output together, from midnight to midnight in `time_zone`. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000u64))]
    pub(in crate::config) tokens_per_day: Option<u64>,
    /// Tokens, input and output together, from Monday to Monday. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000u64))]
    pub(in crate::config) tokens_per_week: Option<u64>,
    /// Tokens, input and output together, in a calendar month. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000u64))]
    pub(in crate::config) tokens_per_month: Option<u64>,
    /// Requests in any 60 seconds; all of them may come at once. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub(in crate::config) requests_per_minute: Option<u64>,
    /// Tokens, input and output together, in any 60 seconds. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000u64))]
    pub(in crate::config) tokens_per_minute: Option<u64>,
    /// Requests at once. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) concurrency: Option<u64>,
    /// US dollars that one request may cost at worst. Default no limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub(in crate::config) usd_per_request: Option<f64>,
    /// Tokens, input and output together, that one request may use at worst. Default no limit.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000u64))]
    pub(in crate::config) tokens_per_request: Option<u64>,
    /// What a request gets that a budget has no room for. Default: as `global` says, at last `deny`.
    pub(in crate::config) on_exhausted: Option<OnExhausted>,
    /// Shares of a budget, up to 1, that raise an event each, once a window. Default 0.5, 0.75 and 0.9.
    #[schemars(length(max = 10))]
    pub(in crate::config) thresholds: Option<List<Threshold>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum OnExhausted {
    /// 429, with the time when the window turns.
    Deny,
    /// The cheapest model that meets the floors, as long as it fits.
    Clamp,
    /// A background request waits until there is room.
    Queue,
}

/// A share of a budget: more than 0, up to 1.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) struct Threshold(#[schemars(range(min = 0.0001, max = 1.0))] pub(in crate::config) f64);

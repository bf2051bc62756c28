//! What the ledger says in sums: requests, errors, tokens, money and times by a dimension. Exact over the rows; it
//! formats nothing.
//!
//! By model and provider the rows are **attempts**: an error belongs to the model that made it, not to the one that
//! answered in the end. By anything else the rows are **requests**. `total` is always over requests.

use serde::Serialize;

/// What a report groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Registry model, over attempts.
    Model,
    /// Provider, over attempts.
    Provider,
    /// Route, over requests.
    Route,
    /// Stage, over requests.
    Stage,
    /// Client key, over requests.
    Key,
    /// Strategy, over requests.
    Strategy,
    /// Each `key=value`, over requests: one with two tags counts in both groups.
    Tag,
    /// Team, over requests.
    Team,
}

impl By {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 8] =
        [Self::Model, Self::Provider, Self::Route, Self::Stage, Self::Key, Self::Strategy, Self::Tag, Self::Team];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
            Self::Stage => "stage",
            Self::Key => "key",
            Self::Strategy => "strategy",
            Self::Tag => "tag",
            Self::Team => "team",
        }
    }

    /// The dimension of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name)
    }

    /// Whether the groups are over attempts; else over requests.
    pub const fn over_attempts(self) -> bool {
        matches!(self, Self::Model | Self::Provider)
    }
}

/// A ledger in sums.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What `groups` are.
    pub by: By,
    /// Requests that arrived at or after this time count, milliseconds since the Unix epoch.
    pub since_unix_ms: i64,
    /// Dearest first.
    pub groups: Vec<Group>,
    /// All requests.
    pub total: Figures,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The dimension's value; `None`: rows without one.
    pub name: Option<String>,
    /// Its sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The sums of a group. Shares are 0 to 1, and `None` where there is nothing to divide by.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests; over attempts: requests with at least one attempt in the group.
    pub requests: u64,
    /// Upstream tries.
    pub attempts: u64,
    /// Whole answers; over attempts: attempts that ended `ok`.
    pub ok: u64,
    /// Failed and cut requests; over attempts: those that ended neither `ok` nor `cancelled`.
    pub errors: u64,
    /// `errors / (ok + errors)`: who left and who was refused is in neither.
    pub error_rate: Option<f64>,
    /// The client went away.
    pub cancelled: u64,
    /// Refused before any attempt; never over attempts.
    pub refused: u64,
    /// Requests that tried a second endpoint; over attempts: attempts at another endpoint than their request's first.
    pub fallbacks: u64,
    /// Of the requests with an attempt; over attempts: of the attempts.
    pub fallback_share: Option<f64>,
    /// Input, cached included.
    pub input_tokens: u64,
    /// Output, reasoning included.
    pub output_tokens: u64,
    /// Of the input: read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of the input: written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Of the output: reasoning.
    pub reasoning_tokens: u64,
    /// Nano-US-dollars, of the attempts with a known price.
    pub cost_nano_usd: i64,
    /// Attempts whose cost is unknown.
    pub unpriced_attempts: u64,
    /// Attempts whose usage Waypost counted by itself.
    pub estimated_share: Option<f64>,
    /// Arrival to the end of whole answers; over attempts: duration of those that ended `ok`. Milliseconds.
    pub latency_ms: Option<Percentiles>,
    /// Arrival to the first real output of whole streamed answers; over attempts: from the attempt's start.
    pub first_token_ms: Option<Percentiles>,
    /// Output tokens over the whole duration of the `ok` attempts that gave them.
    pub output_tokens_per_second: Option<f64>,
    /// Against the best single model; over attempts it belongs to the group of a request's last attempt.
    pub saving: Saving,
}

/// Nearest-rank percentiles: each is a value that occurred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
}

impl Percentiles {
    /// Of microseconds, in milliseconds; `None` of nothing.
    pub(super) fn of_us(mut us: Vec<u64>) -> Option<Self> {
        us.sort_unstable();
        let at = |percent: usize| us[(us.len() * percent).div_ceil(100) - 1] as f64 / 1e3;
        (!us.is_empty()).then(|| Self { p50: at(50), p90: at(90), p99: at(99) })
    }
}

/// What routing saved, over the requests where both figures are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// How many requests that is.
    pub requests: u64,
    /// What they would have cost at the best single model, nano-US-dollars.
    pub baseline_nano_usd: i64,
    /// What they did cost, nano-US-dollars.
    pub cost_nano_usd: i64,
}

impl Saving {
    /// The difference, nano-US-dollars; negative where routing cost more.
    pub fn saved_nano_usd(&self) -> i64 {
        self.baseline_nano_usd.saturating_sub(self.cost_nano_usd)
    }

    /// The difference as a share of the baseline.
    pub fn share(&self) -> Option<f64> {
        (self.baseline_nano_usd > 0).then(|| self.saved_nano_usd() as f64 / self.baseline_nano_usd as f64)
    }
}

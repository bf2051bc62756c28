//! The ledger: one record a request, one row an attempt, written in batches off the request path. It decides nothing.

mod error;
pub(crate) mod feedback;
mod ledger;
mod lesson;
pub(crate) mod place;
pub(crate) mod postgres;
mod read;
mod report;
mod sampler;
pub(crate) mod sqlite;
mod tags;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{Fault, LedgerError};
pub use feedback::FeedbackRow;
pub use ledger::{Ledger, LedgerOptions, LedgerStats, NotFlushed};
pub use lesson::{Keep, LearnedRow, LearnedRows, Lesson, Material, ROWS_PER_KEY};
pub use read::{Reader, StoredAttempt, StoredRequest};
pub use report::{By, Figures, Group, Percentiles, Report, Saving};
pub use sampler::DecisionSampler;

use std::sync::Arc;
use waypost_core::profile::{Class, Task};
use waypost_core::registry::Usage;
use waypost_core::units::{NanoUsd, RequestId};

/// One request that ended, with all its attempts.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Identity, as in `x-waypost-request-id`.
    pub id: RequestId,
    /// Arrival, milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Public id of the client key.
    pub key: Option<Arc<str>>,
    /// Team of the key.
    pub team: Option<Arc<str>>,
    /// Route that decided.
    pub route: Option<Arc<str>>,
    /// Stage that was named.
    pub stage: Option<Arc<str>>,
    /// `pin`, `stage`, `route`, `auto` or `fallback`.
    pub level: &'static str,
    /// Strategy that ordered the candidates.
    pub strategy: &'static str,
    /// Who waited.
    pub class: Class,
    /// What was asked for.
    pub task: Task,
    /// Estimated input tokens before the call.
    pub estimated_input_tokens: u32,
    /// Complexity, 0 to 1.
    pub complexity: f32,
    /// Whether the answer streamed.
    pub stream: bool,
    /// The model that answered, or the first choice where none did.
    pub model: Option<Arc<str>>,
    /// Whether an emergency model answered.
    pub degraded: bool,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// HTTP status sent downstream.
    pub status: u16,
    /// Error `code` sent downstream.
    pub code: Option<&'static str>,
    /// Why this choice, one sentence.
    pub reason: Arc<str>,
    /// Arrival to the end of the answer, microseconds.
    pub duration_us: u64,
    /// What all attempts cost.
    pub cost: NanoUsd,
    /// What the same usage would have cost at the best single model (by configured quality); `None`: price unknown.
    pub baseline_cost: Option<NanoUsd>,
    /// The probability with which the policy put its first choice first; `None`: no policy chose, or a version wrote the
    /// record that did not know.
    pub propensity: Option<f64>,
    /// Tags of the request and its key, `k=v`.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Every upstream try, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Candidates and exclusions in full, as JSON; `None` where sampled out.
    pub decision: Option<Box<str>>,
    /// What predictors can learn from it; `None` where nothing is kept for them, or sampled out under load.
    pub lesson: Option<Box<Lesson>>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// A whole answer was delivered.
    Ok,
    /// Refused before any attempt (key, limits, constraints, bad input).
    Refused,
    /// Every attempt failed.
    Failed,
    /// The stream broke after it had begun.
    Cut,
    /// The client went away.
    Cancelled,
}

impl RequestOutcome {
    /// The name in records and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A count as the databases hold it: their integers end at `i64::MAX`, and so do our counts there.
fn stored(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The outcome of a classifier's call that told task and difficulty.
pub const CLASSIFIED: &str = "classified";
/// The outcome of one that did not.
pub const NOT_CLASSIFIED: &str = "not_classified";

/// Whether an attempt with this outcome was no attempt to answer: where it went, nothing was moved from.
fn is_aside(outcome: &str) -> bool {
    outcome == CLASSIFIED || outcome == NOT_CLASSIFIED
}

/// One upstream try.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Registry model.
    pub model: Arc<str>,
    /// Provider.
    pub provider: Arc<str>,
    /// Model's name at the provider.
    pub endpoint: Arc<str>,
    /// `ok` or the kind of failure (`timeout`, `http_500`, `connect`, `empty`, `cut`, `cancelled`, …); [`CLASSIFIED`] or
    /// [`NOT_CLASSIFIED`] for a classifier's call, which comes before the attempts to answer.
    pub outcome: &'static str,
    /// Upstream HTTP status; 0: none came.
    pub status: u16,
    /// Start, microseconds after the request's arrival.
    pub start_us: u64,
    /// Start to the first real output; streams only.
    pub first_token_us: Option<u64>,
    /// Start to the end.
    pub duration_us: u64,
    /// What it used.
    pub usage: Usage,
    /// `usage` was counted by Waypost, not reported by the provider.
    pub estimated: bool,
    /// What it cost; `None`: price unknown.
    pub cost: Option<NanoUsd>,
}

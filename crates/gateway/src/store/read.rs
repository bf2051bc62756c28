//! The ledger's read side, over whichever database: connections of its own, which never block the writer for long. It
//! writes nothing.

use super::error::LedgerError;
use super::lesson::LearnedRows;
use super::place::Place;
use super::report::{By, Report};
use super::{postgres, sqlite};
use serde::Serialize;
use waypost_core::config::Storage;
use waypost_core::gate::ScopeId;
use waypost_core::units::{NanoUsd, RequestId};

/// Reads a ledger, from this process or another. Its calls block on the disk or the network: in async code, use
/// `spawn_blocking`.
#[derive(Debug)]
pub struct Reader(Backend);

#[derive(Debug)]
enum Backend {
    Sqlite(sqlite::Reader),
    Postgres(Box<postgres::Reader>),
}

/// A request as the ledger has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredRequest {
    /// As in `x-waypost-request-id`.
    pub id: String,
    /// Arrival, milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Public id of the client key.
    pub key: Option<String>,
    /// Team of the key.
    pub team: Option<String>,
    /// Route that decided.
    pub route: Option<String>,
    /// Stage that was named.
    pub stage: Option<String>,
    /// Who proposed the candidates.
    pub level: String,
    /// Strategy that ordered them.
    pub strategy: String,
    /// `interactive` or `background`.
    pub class: String,
    /// What was asked for.
    pub task: String,
    /// Estimated input tokens before the call.
    pub estimated_input_tokens: u32,
    /// Complexity, 0 to 1.
    pub complexity: f32,
    /// Whether the answer streamed.
    pub stream: bool,
    /// The model that answered, or the first choice where none did.
    pub model: Option<String>,
    /// Whether an emergency model answered.
    pub degraded: bool,
    /// `ok`, `refused`, `failed`, `cut` or `cancelled`.
    pub outcome: String,
    /// HTTP status sent downstream.
    pub status: u16,
    /// Error `code` sent downstream.
    pub code: Option<String>,
    /// Why this choice.
    pub reason: String,
    /// Arrival to the end of the answer, microseconds.
    pub duration_us: u64,
    /// What all attempts cost, nano-US-dollars.
    pub cost_nano_usd: i64,
    /// What it would have cost at the best single model, nano-US-dollars.
    pub baseline_nano_usd: Option<i64>,
    /// The probability with which the policy put its first choice first; `None`: no policy chose, or it was not kept.
    pub propensity: Option<f64>,
    /// Tags in their order.
    pub tags: Vec<(String, String)>,
    /// Every upstream try, in order; empty in [`Reader::recent`].
    pub attempts: Vec<StoredAttempt>,
    /// Candidates and exclusions, where they were kept; not in [`Reader::recent`].
    pub decision: Option<serde_json::Value>,
}

/// Which requests `r` and attempts `a` a scope counts: a condition of both databases, whose second parameter is a name and
/// whose third is a tag's value. `sigil` is how parameters begin; `tagged` is the condition of a tag, which they write in
/// ways of their own.
pub(super) fn counted<'s>(scope: &'s ScopeId, sigil: char, tagged: &str) -> (String, &'s str, &'s str) {
    let named = |column: &str| format!("{column} = {sigil}2 AND {sigil}3 = ''");
    match scope {
        ScopeId::Global => (named("''"), "", ""),
        ScopeId::Team(n) => (named("r.team"), n, ""),
        ScopeId::Key(n) => (named("r.key"), n, ""),
        ScopeId::Stage(n) => (named("r.stage"), n, ""),
        ScopeId::Route(n) => (named("r.route"), n, ""),
        ScopeId::Model(n) => (named("a.model"), n, ""),
        ScopeId::Tag(k, v) => (tagged.to_owned(), k, v),
    }
}

impl StoredRequest {
    /// What all attempts cost.
    pub fn cost(&self) -> NanoUsd {
        NanoUsd(self.cost_nano_usd)
    }

    /// A stored detail; one that is not JSON is shown as it is rather than hidden.
    pub(super) fn detail(text: String) -> serde_json::Value {
        serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
    }
}

/// An attempt as the ledger has it; [`super::AttemptRecord`] says what each field means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredAttempt {
    pub model: String,
    pub provider: String,
    pub endpoint: String,
    pub outcome: String,
    pub status: u16,
    pub start_us: u64,
    pub first_token_us: Option<u64>,
    pub duration_us: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub reasoning_tokens: u64,
    pub estimated: bool,
    pub cost_nano_usd: Option<i64>,
}

impl Reader {
    /// Opens the ledger of `storage`.
    ///
    /// # Errors
    /// It does not exist, is no ledger, has another version, or lives in another process's memory.
    pub fn open(storage: &Storage) -> Result<Self, LedgerError> {
        match storage {
            Storage::Memory => Err(LedgerError::InMemory),
            Storage::Sqlite(_) | Storage::Postgres(_) => Self::at(&Place::of(storage)?),
        }
    }

    pub(crate) fn at(place: &Place) -> Result<Self, LedgerError> {
        Ok(Self(match place {
            Place::Sqlite(location) => Backend::Sqlite(sqlite::Reader::open(location)?),
            Place::Postgres(server) => Backend::Postgres(Box::new(postgres::Reader::open(server)?)),
        }))
    }

    /// What the attempts of a scope's requests cost and used since a time: nano-US-dollars, and tokens in and out together.
    ///
    /// # Errors
    /// The database refused.
    pub fn spent(&self, scope: &ScopeId, since_unix_ms: i64) -> Result<(u64, u64), LedgerError> {
        let (usd, tokens) = match &self.0 {
            Backend::Sqlite(reader) => reader.spent(scope, since_unix_ms)?,
            Backend::Postgres(reader) => reader.spent(scope, since_unix_ms)?,
        };
        Ok((usd.max(0).unsigned_abs(), tokens.max(0).unsigned_abs()))
    }

    /// The newest `limit` requests, newest first, without attempts and decisions.
    ///
    /// # Errors
    /// The database refused.
    pub fn recent(&self, limit: usize) -> Result<Vec<StoredRequest>, LedgerError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.recent(limit),
            Backend::Postgres(reader) => reader.recent(limit),
        }
    }

    /// One request with its attempts and decision.
    ///
    /// # Errors
    /// The database refused.
    pub fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.request(id),
            Backend::Postgres(reader) => reader.request(id),
        }
    }

    /// As [`Reader::request`], where the ledger has it at the time that the id carries: ids that Waypost gave carry theirs.
    /// Never a search of the whole ledger, which a stranger could ask for with made-up ids.
    ///
    /// # Errors
    /// The database refused.
    pub(crate) fn request_at_its_time(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.request_at_its_time(id),
            Backend::Postgres(reader) => reader.request(id),
        }
    }

    /// What was kept for learning of requests that arrived at `since_unix_ms` or later, with their scores.
    ///
    /// # Errors
    /// The database refused.
    pub fn learned_rows(&self, since_unix_ms: i64) -> Result<LearnedRows, LedgerError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.learned_rows(since_unix_ms),
            Backend::Postgres(reader) => reader.learned_rows(since_unix_ms),
        }
    }

    /// The sums over requests that arrived at `since_unix_ms` or later.
    ///
    /// # Errors
    /// The database refused.
    pub fn report(&self, by: By, since_unix_ms: i64) -> Result<Report, LedgerError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.report(by, since_unix_ms),
            Backend::Postgres(reader) => reader.report(by, since_unix_ms),
        }
    }

    /// A number that only tests ask for.
    #[cfg(test)]
    pub(super) fn sqlite_count(&self, sql: &str) -> u64 {
        let Backend::Sqlite(reader) = &self.0 else { panic!("not SQLite") };
        reader.conn().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    }
}

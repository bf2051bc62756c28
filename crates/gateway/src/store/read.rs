//! The ledger's read side: a connection of its own, which never blocks the writer for long. It writes nothing.

use super::error::LedgerError;
use super::place::Place;
use super::sqlite::{ATTEMPT_BITS, Location, SEQ_BITS};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use waypost_core::config::Storage;
use waypost_core::units::{NanoUsd, RequestId};

/// Reads a ledger, from this process or another. Its calls block on the disk: in async code, use `spawn_blocking`.
#[derive(Debug)]
pub struct Reader {
    conn: Mutex<Connection>,
    location: Location,
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
    /// Tags in their order.
    pub tags: Vec<(String, String)>,
    /// Every upstream try, in order; empty in [`Reader::recent`].
    pub attempts: Vec<StoredAttempt>,
    /// Candidates and exclusions, where they were kept; not in [`Reader::recent`].
    pub decision: Option<serde_json::Value>,
}

impl StoredRequest {
    /// What all attempts cost.
    pub fn cost(&self) -> NanoUsd {
        NanoUsd(self.cost_nano_usd)
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

const REQUEST_COLUMNS: &str = "seq, unix_ms, key, team, route, stage, level, strategy, class, task, \
     estimated_input_tokens, complexity, stream, model, degraded, outcome, status, code, reason, duration_us, cost, \
     baseline_cost, tags, id";

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

    pub(super) fn at(place: &Place) -> Result<Self, LedgerError> {
        let Place::Sqlite(location) = place else { return Err(LedgerError::Url("Postgres comes".to_owned())) };
        Ok(Self { conn: Mutex::new(location.open_reader()?), location: location.clone() })
    }

    /// The newest `limit` requests, newest first, without attempts and decisions.
    ///
    /// # Errors
    /// The database refused.
    pub fn recent(&self, limit: usize) -> Result<Vec<StoredRequest>, LedgerError> {
        let conn = self.conn();
        let read = || {
            // The limit stands inside, so that names are joined for these rows only.
            let sql = format!(
                "SELECT {REQUEST_COLUMNS} FROM requests_v WHERE seq IN (SELECT seq FROM requests ORDER BY seq DESC LIMIT ?) \
                 ORDER BY seq DESC"
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], stored_request)?;
            rows.map(|row| row.map(|(_, request)| request)).collect::<Result<_, _>>()
        };
        read().map_err(|e| self.location.explain(e))
    }

    /// One request with its attempts and decision. Ids whose first 48 bits are the time in milliseconds (as in UUIDv7)
    /// are found at once; others cost a scan.
    ///
    /// # Errors
    /// The database refused.
    pub fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        let conn = self.conn();
        let read = || {
            let Some(seq) = find(&conn, id)? else { return Ok(None) };
            let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests_v WHERE seq = ?");
            let found = conn.prepare_cached(&sql)?.query_row([seq], stored_request).optional()?;
            let Some((seq, mut request)) = found else { return Ok(None) };
            request.attempts = attempts(&conn, seq)?;
            let detail: Option<String> = conn
                .prepare_cached("SELECT detail FROM decisions WHERE seq = ?")?
                .query_row([seq], |row| row.get(0))
                .optional()?;
            // A detail that is not JSON is shown as it is rather than hidden.
            request.decision = detail.map(|d| serde_json::from_str(&d).unwrap_or(serde_json::Value::String(d)));
            Ok(Some(request))
        };
        read().map_err(|e| self.location.explain(e))
    }

    pub(super) fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }
}

/// The row of a request.
fn find(conn: &Connection, id: RequestId) -> rusqlite::Result<Option<i64>> {
    let bytes = id.0.to_be_bytes();
    // An id that carries its time lies near that time: the row was written when the request ended, within the hour.
    let ms = (id.0 >> 80) as i64;
    let (from, to) = (ms << SEQ_BITS, (ms + 3_600_000) << SEQ_BITS);
    let near = conn
        .prepare_cached("SELECT seq FROM requests WHERE seq BETWEEN ? AND ? AND id = ? LIMIT 1")?
        .query_row(params![from, to, bytes.as_slice()], |row| row.get(0))
        .optional()?;
    if near.is_some() {
        return Ok(near);
    }
    conn.prepare_cached("SELECT seq FROM requests WHERE id = ? ORDER BY seq DESC LIMIT 1")?
        .query_row([bytes.as_slice()], |row| row.get(0))
        .optional()
}

/// The attempts of the request at `seq`: all up to the next request.
fn attempts(conn: &Connection, seq: i64) -> rusqlite::Result<Vec<StoredAttempt>> {
    let next: Option<i64> =
        conn.prepare_cached("SELECT min(seq) FROM requests WHERE seq > ?")?.query_row([seq], |row| row.get(0))?;
    let end = next.map_or(i64::MAX, |n| n << ATTEMPT_BITS);
    let mut statement = conn.prepare_cached(
        "SELECT model, provider, endpoint, outcome, status, start_us, first_token_us, duration_us, input_tokens, \
         output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, estimated, cost \
         FROM attempts_v WHERE seq >= ? AND seq < ? ORDER BY seq",
    )?;
    let rows = statement.query_map([seq << ATTEMPT_BITS, end], |row| {
        Ok(StoredAttempt {
            model: row.get(0)?,
            provider: row.get(1)?,
            endpoint: row.get(2)?,
            outcome: row.get(3)?,
            status: row.get(4)?,
            start_us: count(row, 5)?,
            first_token_us: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
            duration_us: count(row, 7)?,
            input_tokens: count(row, 8)?,
            output_tokens: count(row, 9)?,
            cache_read_tokens: count(row, 10)?,
            cache_write_tokens: count(row, 11)?,
            reasoning_tokens: count(row, 12)?,
            estimated: row.get(13)?,
            cost_nano_usd: row.get(14)?,
        })
    })?;
    rows.collect()
}

/// A count; what is stored is never negative.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

fn stored_request(row: &Row<'_>) -> rusqlite::Result<(i64, StoredRequest)> {
    let request = StoredRequest {
        id: row.get(23)?,
        unix_ms: row.get(1)?,
        key: row.get(2)?,
        team: row.get(3)?,
        route: row.get(4)?,
        stage: row.get(5)?,
        level: row.get(6)?,
        strategy: row.get(7)?,
        class: row.get(8)?,
        task: row.get(9)?,
        estimated_input_tokens: row.get(10)?,
        complexity: row.get::<_, f64>(11)? as f32,
        stream: row.get(12)?,
        model: row.get(13)?,
        degraded: row.get(14)?,
        outcome: row.get(15)?,
        status: row.get(16)?,
        code: row.get(17)?,
        reason: row.get(18)?,
        duration_us: count(row, 19)?,
        cost_nano_usd: row.get(20)?,
        baseline_nano_usd: row.get(21)?,
        tags: row.get::<_, Option<String>>(22)?.as_deref().map(parse_tags).unwrap_or_default(),
        attempts: Vec::new(),
        decision: None,
    };
    Ok((row.get(0)?, request))
}

/// Tags from their JSON object, in order and with repeated keys.
pub(super) fn parse_tags(json: &str) -> Vec<(String, String)> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_map(Pairs).unwrap_or_default()
}

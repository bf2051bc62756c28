//! Reads of single requests, through a connection of their own, which never blocks the writer for long.

use super::schema::{ATTEMPT_BITS, Location, SEQ_BITS};
use super::{feedback, report};
use crate::store::error::LedgerError;
use crate::store::lesson::LearnedRows;
use crate::store::read::counted;
use crate::store::report::{By, Report};
use crate::store::tags::parse_tags;
use crate::store::{StoredAttempt, StoredRequest};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::{Mutex, MutexGuard, PoisonError};
use waypost_core::gate::ScopeId;
use waypost_core::units::RequestId;

const REQUEST_COLUMNS: &str = "seq, unix_ms, key, team, route, stage, level, strategy, class, task, \
     estimated_input_tokens, complexity, stream, model, degraded, outcome, status, code, reason, duration_us, cost, \
     baseline_cost, tags, id, propensity";

/// Reads a ledger in SQLite; [`crate::store::Reader`] says what each call gives.
#[derive(Debug)]
pub(in crate::store) struct Reader {
    conn: Mutex<Connection>,
    location: Location,
}

impl Reader {
    pub(in crate::store) fn open(location: &Location) -> Result<Self, LedgerError> {
        Ok(Self { conn: Mutex::new(location.open_reader()?), location: location.clone() })
    }

    pub(in crate::store) fn spent(&self, scope: &ScopeId, since_unix_ms: i64) -> Result<(i64, i64), LedgerError> {
        let tagged = "EXISTS (SELECT 1 FROM json_each(r.tags) t WHERE t.key = ?2 AND t.value = ?3)";
        let (counted, name, value) = counted(scope, '?', tagged);
        let sql = format!(
            "SELECT coalesce(sum(t.cost), 0), coalesce(sum(t.input_tokens + t.output_tokens), 0) FROM attempts t \
             JOIN attempt_kinds a ON a.id = t.kind JOIN requests_v r ON r.seq = t.seq >> {ATTEMPT_BITS} \
             WHERE t.seq >= ?1 AND {counted}"
        );
        let since = since_unix_ms.max(0) << (SEQ_BITS + ATTEMPT_BITS);
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.conn().query_row(&sql, params![since, name, value], read).map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn recent(&self, limit: usize) -> Result<Vec<StoredRequest>, LedgerError> {
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

    /// Ids whose first 48 bits are the time in milliseconds (as in UUIDv7) are found at once; others cost a scan.
    pub(in crate::store) fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        self.found(id, find)
    }

    pub(in crate::store) fn request_at_its_time(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        self.found(id, find_at_its_time)
    }

    pub(in crate::store) fn learned_rows(&self, since_unix_ms: i64) -> Result<LearnedRows, LedgerError> {
        feedback::lessons(&self.conn(), since_unix_ms).map_err(|e| self.location.explain(e))
    }

    fn found(
        &self,
        id: RequestId,
        find: fn(&Connection, RequestId) -> rusqlite::Result<Option<i64>>,
    ) -> Result<Option<StoredRequest>, LedgerError> {
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
            request.decision = detail.map(StoredRequest::detail);
            Ok(Some(request))
        };
        read().map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn report(&self, by: By, since_unix_ms: i64) -> Result<Report, LedgerError> {
        report::report(&self.conn(), by, since_unix_ms).map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row of a request.
fn find(conn: &Connection, id: RequestId) -> rusqlite::Result<Option<i64>> {
    let near = find_at_its_time(conn, id)?;
    if near.is_some() {
        return Ok(near);
    }
    conn.prepare_cached("SELECT seq FROM requests WHERE id = ? ORDER BY seq DESC LIMIT 1")?
        .query_row([id.0.to_be_bytes().as_slice()], |row| row.get(0))
        .optional()
}

/// The same, within an hour of the time that the id carries.
fn find_at_its_time(conn: &Connection, id: RequestId) -> rusqlite::Result<Option<i64>> {
    let bytes = id.0.to_be_bytes();
    // An id that carries its time lies near that time: the row was written when the request ended, within the hour.
    let ms = (id.0 >> 80) as i64;
    let (from, to) = (ms << SEQ_BITS, (ms + 3_600_000) << SEQ_BITS);
    conn.prepare_cached("SELECT seq FROM requests WHERE seq BETWEEN ? AND ? AND id = ? LIMIT 1")?
        .query_row(params![from, to, bytes.as_slice()], |row| row.get(0))
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
pub(in crate::store) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
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
        propensity: row.get(24)?,
        tags: row.get::<_, Option<String>>(22)?.as_deref().map(parse_tags).unwrap_or_default(),
        attempts: Vec::new(),
        decision: None,
    };
    Ok((row.get(0)?, request))
}

//! Scores and lessons in SQLite.

use super::schema::Location;
use crate::store::error::LedgerError;
use crate::store::feedback::{FeedbackRow, LOOKED_AT};
use crate::store::lesson::no_features;
use crate::store::lesson::{LEARNED_COLUMNS, LearnedColumns, LearnedRow, LearnedRows, LessonRow, collect, id_of};
use crate::store::stored;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::time::Duration;
use waypost_learn::kept;

/// How long a call waits for the lock that another process, or the ledger's thread, holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// See [`crate::store::feedback::FeedbackStore`].
#[derive(Debug)]
pub(in crate::store) struct Feedback {
    conn: Connection,
    location: Location,
}

impl Feedback {
    pub(in crate::store) fn open(location: &Location) -> Result<Self, LedgerError> {
        let conn = location.open_writer()?;
        conn.busy_timeout(PATIENCE).map_err(|e| location.explain(e))?;
        Ok(Self { conn, location: location.clone() })
    }

    pub(in crate::store) fn put(&mut self, row: &FeedbackRow) -> Result<(Option<f32>, bool), LedgerError> {
        put(&mut self.conn, row).map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn newest(&mut self) -> Result<i64, LedgerError> {
        let sql = "SELECT ifnull(max(seq), 0) FROM feedback";
        let found = self.conn.prepare_cached(sql).and_then(|mut s| s.query_row([], |row| row.get(0)));
        found.map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn after(&mut self, seq: i64) -> Result<Vec<FeedbackRow>, LedgerError> {
        let read = || {
            let sql = "SELECT request, unix_ms, key, route, model, task, score, predicted FROM feedback \
                       WHERE seq > ? ORDER BY seq";
            let mut statement = self.conn.prepare_cached(sql)?;
            statement.query_map([seq], feedback_row)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.location.explain(e))
    }

    pub(in crate::store) fn forget(&mut self, since_ms: i64, rows: i64) -> Result<(), LedgerError> {
        let of = |table| forget(&self.conn, table, since_ms, rows, LOOKED_AT);
        of("feedback").and_then(|()| of("lessons")).map_err(|e| self.location.explain(e))
    }
}

fn put(conn: &mut Connection, row: &FeedbackRow) -> rusqlite::Result<(Option<f32>, bool)> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let id = row.request.0.to_be_bytes();
    let replaced = tx.prepare_cached("DELETE FROM feedback WHERE request = ?")?.execute([id.as_slice()])? > 0;
    let predicted: Option<Option<f32>> = tx
        .prepare_cached("SELECT predicted FROM lessons WHERE request = ?")?
        .query_row([id.as_slice()], |row| row.get(0))
        .optional()?;
    let predicted = predicted.flatten();
    tx.prepare_cached("INSERT INTO feedback VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        id.as_slice(),
        row.unix_ms,
        row.key,
        row.route,
        row.model,
        row.task,
        row.score,
        predicted
    ])?;
    tx.commit()?;
    Ok((predicted, replaced))
}

fn feedback_row(row: &Row<'_>) -> rusqlite::Result<FeedbackRow> {
    Ok(FeedbackRow {
        request: id_of(row.get_ref(0)?.as_blob()?),
        unix_ms: row.get(1)?,
        key: row.get(2)?,
        route: row.get(3)?,
        model: row.get(4)?,
        task: row.get(5)?,
        score: row.get(6)?,
        predicted: row.get(7)?,
    })
}

/// Deletes the oldest rows beyond `rows`, and of the `looked_at` oldest those that came before `since_ms`.
pub(super) fn forget(
    conn: &Connection,
    table: &'static str,
    since_ms: i64,
    rows: i64,
    looked_at: i64,
) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM {table} WHERE seq <= (SELECT max(seq) FROM {table}) - ?");
    conn.prepare_cached(&sql)?.execute([rows])?;
    let sql =
        format!("DELETE FROM {table} WHERE unix_ms < ? AND seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT ?)");
    conn.prepare_cached(&sql)?.execute([since_ms, looked_at])?;
    Ok(())
}

/// Writes a lesson.
pub(super) fn insert_lesson(tx: &Transaction<'_>, row: &LessonRow<'_>) -> rusqlite::Result<()> {
    let LessonRow { record, answer, lesson, features } = row;
    let tokens = row.tokens();
    let sql = "INSERT OR IGNORE INTO lessons VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(sql)?.execute(params![
        record.id.0.to_be_bytes().as_slice(),
        record.unix_ms,
        record.key.as_deref(),
        record.team.as_deref(),
        record.route.as_deref(),
        record.stage.as_deref(),
        &*answer.model,
        record.task.name(),
        tokens.map(|t| stored(t.0)),
        tokens.map(|t| stored(t.1)),
        answer.cost.map(|c| c.0),
        lesson.propensity,
        lesson.predicted,
        kept::VERSION,
        features,
    ])?;
    Ok(())
}

/// The lessons since a time, with their scores.
pub(super) fn lessons(conn: &Connection, since_ms: i64) -> rusqlite::Result<LearnedRows> {
    let sql = format!(
        "SELECT {LEARNED_COLUMNS} FROM lessons l LEFT JOIN feedback f ON f.request = l.request \
         WHERE l.unix_ms >= ? ORDER BY l.seq"
    );
    collect(conn.prepare_cached(&sql)?.query_map([since_ms], learned)?)
}

fn learned(row: &Row<'_>) -> rusqlite::Result<LearnedColumns> {
    let count = |n| row.get::<_, Option<i64>>(n).map(|count| count.map(i64::unsigned_abs));
    let learned = LearnedRow {
        id: id_of(row.get_ref(0)?.as_blob()?),
        unix_ms: row.get(1)?,
        key: row.get(2)?,
        team: row.get(3)?,
        route: row.get(4)?,
        stage: row.get(5)?,
        model: row.get(6)?,
        task: row.get(7)?,
        input_tokens: count(8)?,
        output_tokens: count(9)?,
        cost_nano_usd: row.get(10)?,
        propensity: row.get(11)?,
        predicted: row.get(12)?,
        features: no_features(),
        score: row.get(15)?,
    };
    Ok(LearnedColumns { row: learned, version: row.get(13)?, features: row.get(14)? })
}

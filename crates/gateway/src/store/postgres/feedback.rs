//! Scores and lessons in Postgres.

use super::rows::{column, is_lost, text};
use super::{Blocking, Server, Session, connect, within};
use crate::store::error::LedgerError;
use crate::store::feedback::{FeedbackRow, LOOKED_AT};
use crate::store::lesson::no_features;
use crate::store::lesson::{LEARNED_COLUMNS, LearnedColumns, LearnedRow, LearnedRows, LessonRow, collect, id_of};
use crate::store::stored;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement, Transaction};
use waypost_learn::kept;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);

const PUT: &str = "INSERT INTO feedback (request, unix_ms, key, route, model, task, score, predicted) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT predicted FROM lessons WHERE request = $1)) \
    ON CONFLICT (request) DO UPDATE SET seq = excluded.seq, unix_ms = excluded.unix_ms, key = excluded.key, \
    route = excluded.route, model = excluded.model, task = excluded.task, score = excluded.score, \
    predicted = excluded.predicted RETURNING predicted, xmax <> 0";
pub(super) const INSERT_LESSONS: &str = "INSERT INTO lessons (request, unix_ms, key, team, route, stage, model, task, \
    input_tokens, output_tokens, cost, propensity, predicted, version, features) \
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
    $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::real[], $13::real[], $14::bigint[], $15::bytea[]) \
    ON CONFLICT (request) DO NOTHING";

/// See [`crate::store::feedback::FeedbackStore`].
#[derive(Debug)]
pub(in crate::store) struct Feedback {
    server: Server,
    session: Option<Session>,
    runtime: Blocking,
}

impl Feedback {
    pub(in crate::store) fn open(server: &Server) -> Result<Self, LedgerError> {
        Ok(Self { server: server.clone(), session: None, runtime: Blocking::new()? })
    }

    pub(in crate::store) fn put(&mut self, row: &FeedbackRow) -> Result<(Option<f32>, bool), LedgerError> {
        self.call(async |client| {
            let id = row.request.0.to_be_bytes();
            let (key, route) = (row.key.as_deref().map(text), row.route.as_deref().map(text));
            let (model, task) = (text(&row.model), text(&row.task));
            let values: [&(dyn ToSql + Sync); 7] =
                [&id.as_slice(), &row.unix_ms, &key, &route, &model, &task, &row.score];
            let found = client.query_one(PUT, &values).await?;
            Ok((found.try_get(0)?, found.try_get(1)?))
        })
    }

    pub(in crate::store) fn newest(&mut self) -> Result<i64, LedgerError> {
        self.call(async |client| client.query_one("SELECT coalesce(max(seq), 0) FROM feedback", &[]).await?.try_get(0))
    }

    pub(in crate::store) fn after(&mut self, seq: i64) -> Result<Vec<FeedbackRow>, LedgerError> {
        self.call(async |client| {
            let sql = "SELECT request, unix_ms, key, route, model, task, score, predicted FROM feedback \
                       WHERE seq > $1 ORDER BY seq";
            client.query(sql, &[&seq]).await?.iter().map(feedback_row).collect()
        })
    }

    pub(in crate::store) fn forget(&mut self, since_ms: i64, rows: i64) -> Result<(), LedgerError> {
        self.call(async |client| {
            forget(client, "feedback", since_ms, rows, LOOKED_AT).await?;
            forget(client, "lessons", since_ms, rows, LOOKED_AT).await
        })
    }

    /// One operation, repeated once where the connection had been lost meanwhile: each of them may be made twice.
    fn call<T>(&mut self, operation: impl AsyncFn(&Client) -> Result<T, Error>) -> Result<T, LedgerError> {
        let (server, kept) = (&self.server, self.session.take());
        let (done, session) = self.runtime.wait(async {
            if let Some(session) = kept {
                match within(server, PATIENCE, operation(&session)).await {
                    Err(error) if is_lost(&error) => {}
                    done => return Ok((done?, session)),
                }
            }
            let session = connect(server).await?;
            Ok::<_, LedgerError>((within(server, PATIENCE, operation(&session)).await?, session))
        })?;
        self.session = Some(session);
        Ok(done)
    }
}

fn feedback_row(row: &Row) -> Result<FeedbackRow, Error> {
    Ok(FeedbackRow {
        request: id_of(row.try_get(0)?),
        unix_ms: row.try_get(1)?,
        key: row.try_get(2)?,
        route: row.try_get(3)?,
        model: row.try_get(4)?,
        task: row.try_get(5)?,
        score: row.try_get(6)?,
        predicted: row.try_get(7)?,
    })
}

/// Deletes the oldest rows beyond `rows`, and of the `looked_at` oldest those that came before `since_ms`.
pub(super) async fn forget(
    client: &Client,
    table: &'static str,
    since_ms: i64,
    rows: i64,
    looked_at: i64,
) -> Result<(), Error> {
    let sql = format!("DELETE FROM {table} WHERE seq <= (SELECT max(seq) FROM {table}) - $1");
    client.execute(&sql, &[&rows]).await?;
    let sql =
        format!("DELETE FROM {table} WHERE unix_ms < $1 AND seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT $2)");
    client.execute(&sql, &[&since_ms, &looked_at]).await?;
    Ok(())
}

/// Writes lessons.
pub(super) async fn insert_lessons(
    tx: &Transaction<'_>,
    statement: &Statement,
    rows: &[LessonRow<'_>],
) -> Result<(), Error> {
    let columns: [&(dyn ToSql + Sync); 15] = [
        &column(rows, |r| r.record.id.0.to_be_bytes().to_vec()),
        &column(rows, |r| r.record.unix_ms),
        &column(rows, |r| r.record.key.as_deref().map(text)),
        &column(rows, |r| r.record.team.as_deref().map(text)),
        &column(rows, |r| r.record.route.as_deref().map(text)),
        &column(rows, |r| r.record.stage.as_deref().map(text)),
        &column(rows, |r| text(&r.answer.model)),
        &column(rows, |r| r.record.task.name()),
        &column(rows, |r| r.tokens().map(|t| stored(t.0))),
        &column(rows, |r| r.tokens().map(|t| stored(t.1))),
        &column(rows, |r| r.answer.cost.map(|c| c.0)),
        &column(rows, |r| r.lesson.propensity),
        &column(rows, |r| r.lesson.predicted),
        &column(rows, |_| i64::from(kept::VERSION)),
        &column(rows, |r| r.features),
    ];
    tx.execute(statement, &columns).await?;
    Ok(())
}

/// The lessons since a time, with their scores.
pub(super) async fn lessons(client: &Client, since_ms: i64) -> Result<LearnedRows, Error> {
    let sql = format!(
        "SELECT {LEARNED_COLUMNS} FROM lessons l LEFT JOIN feedback f ON f.request = l.request \
         WHERE l.unix_ms >= $1 ORDER BY l.seq"
    );
    collect(client.query(&sql, &[&since_ms]).await?.iter().map(learned))
}

fn learned(row: &Row) -> Result<LearnedColumns, Error> {
    let count = |n| row.try_get::<_, Option<i64>>(n).map(|count| count.map(i64::unsigned_abs));
    let learned = LearnedRow {
        id: id_of(row.try_get(0)?),
        unix_ms: row.try_get(1)?,
        key: row.try_get(2)?,
        team: row.try_get(3)?,
        route: row.try_get(4)?,
        stage: row.try_get(5)?,
        model: row.try_get(6)?,
        task: row.try_get(7)?,
        input_tokens: count(8)?,
        output_tokens: count(9)?,
        cost_nano_usd: row.try_get(10)?,
        propensity: row.try_get(11)?,
        predicted: row.try_get(12)?,
        features: no_features(),
        score: row.try_get(15)?,
    };
    Ok(LearnedColumns { row: learned, version: row.try_get(13)?, features: row.try_get(14)? })
}

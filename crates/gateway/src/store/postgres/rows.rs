//! Records to rows, in transactions of up to some thousand records. It owns no thread, no queue and no clock.
//!
//! A connection may be lost while a commit is under way, and then nobody knows whether it happened. So each transaction
//! also writes its number beside the name of this process (`ledger_writers`): repeated, it finds its number there, or
//! waits for the lost one to end, and writes nothing twice.

use super::{Blocking, Server, Session, connect, feedback, open, within};
use crate::store::error::{Fault, LedgerError};
use crate::store::feedback::LOOKED_AT;
use crate::store::lesson::{Keep, LessonRow};
use crate::store::tags::push_tags;
use crate::store::{AttemptRecord, RequestRecord, is_aside, stored};
use std::borrow::Cow;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement, Transaction};

/// Records of one transaction; a batch that gathered while the server was away is larger.
const MOST_RECORDS: usize = 2048;
/// One transaction.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// What processes that ended leave behind is deleted when the next one starts.
const FORGET_WRITERS: &str = "DELETE FROM ledger_writers WHERE unix_ms < \
    (extract(epoch FROM now()) * 1000)::bigint - 7 * 86400000::bigint";

const MARK: &str = "INSERT INTO ledger_writers AS w (id, batch, unix_ms) \
    VALUES ($1, $2, (extract(epoch FROM now()) * 1000)::bigint) \
    ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, unix_ms = excluded.unix_ms WHERE w.batch < excluded.batch";
const NUMBERS: &str =
    "SELECT nextval(pg_get_serial_sequence('requests', 'seq')::regclass) FROM generate_series(1, $1::bigint)";
const INSERT_REQUESTS: &str = "INSERT INTO requests (seq, id, unix_ms, key, team, route, stage, level, strategy, class, \
    task, estimated_input_tokens, complexity, stream, model, degraded, outcome, status, code, reason, duration_us, cost, \
    baseline_cost, tags, propensity) \
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], \
    $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::real[], $14::bool[], $15::text[], $16::bool[], \
    $17::text[], $18::int[], $19::text[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::text[], \
    $25::float8[])";
const INSERT_ATTEMPTS: &str = "INSERT INTO attempts (request, n, model, provider, endpoint, outcome, status, moved, \
    start_us, first_token_us, duration_us, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
    reasoning_tokens, estimated, cost) \
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::bool[], \
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], \
    $16::bigint[], $17::bool[], $18::bigint[])";
const INSERT_DECISIONS: &str = "INSERT INTO decisions (request, detail) SELECT * FROM unnest($1::bigint[], $2::text[])";

/// Writes batches of records over one connection, which it opens again where it was lost.
pub(in crate::store) struct RowWriter {
    runtime: Blocking,
    writing: Writing,
}

impl RowWriter {
    /// Connects and migrates. Blocks; not for a thread that runs async code.
    pub(in crate::store) fn open(server: &Server) -> Result<Self, LedgerError> {
        let runtime = Blocking::new()?;
        let writing = runtime.wait(async {
            let session = open(server).await?;
            let named = within(server, WRITE_TIMEOUT, async {
                session.execute(FORGET_WRITERS, &[]).await?;
                session.query_one("SELECT gen_random_uuid()::text", &[]).await?.try_get(0)
            });
            let id = named.await?;
            let statements = within(server, WRITE_TIMEOUT, Statements::prepare(&session)).await?;
            Ok::<_, LedgerError>(Writing {
                server: server.clone(),
                connection: Some((session, statements)),
                id,
                number: 0,
                done: 0,
            })
        })?;
        Ok(Self { runtime, writing })
    }

    /// See [`crate::store::writer::Writer::write`].
    pub(in crate::store) fn write(
        &mut self,
        records: &[RequestRecord],
        lessons: Option<Keep>,
        given_up: impl Future<Output = ()>,
    ) -> Result<(), LedgerError> {
        let Self { runtime, writing } = self;
        let result = runtime.wait(async {
            tokio::select! {
                biased;
                result = writing.write(records, lessons) => Some(result),
                () = given_up => None,
            }
        });
        let result = result.unwrap_or_else(|| Err(writing.server.fault(Fault::GivenUp)));
        if result.is_err() {
            // Whatever it still does, nobody listens.
            writing.connection = None;
        }
        result
    }
}

/// What outlives a connection.
struct Writing {
    server: Server,
    connection: Option<(Session, Statements)>,
    /// Of this process, in `ledger_writers`.
    id: String,
    /// Of the last transaction that is known to be committed.
    number: i64,
    /// How many of the records that are being written are committed.
    done: usize,
}

impl Writing {
    async fn write(&mut self, records: &[RequestRecord], lessons: Option<Keep>) -> Result<(), LedgerError> {
        while self.done < records.len() {
            let part = &records[self.done..records.len().min(self.done + MOST_RECORDS)];
            // A connection that was lost while nothing was written is no failure yet.
            let reused = self.connection.is_some();
            match self.transaction(part, lessons).await {
                Err(error) if reused && is_lost(&error) => {
                    self.connection = None;
                    self.transaction(part, lessons).await?;
                }
                result => result?,
            }
            self.number += 1;
            self.done += part.len();
        }
        self.done = 0;
        Ok(())
    }

    async fn transaction(&mut self, part: &[RequestRecord], lessons: Option<Keep>) -> Result<(), LedgerError> {
        let (session, statements) = match &mut self.connection {
            Some(open) => open,
            closed => {
                let session = connect(&self.server).await?;
                let statements = within(&self.server, WRITE_TIMEOUT, Statements::prepare(&session)).await?;
                closed.insert((session, statements))
            }
        };
        let writing = async {
            let tx = session.transaction().await?;
            if tx.execute(&statements.mark, &[&self.id, &(self.number + 1)]).await? == 1 {
                statements.insert(&tx, part).await?;
                statements.insert_lessons(&tx, part, lessons).await?;
            }
            tx.commit().await
        };
        within(&self.server, WRITE_TIMEOUT, writing).await
    }
}

/// Whether the connection is gone, and not the statement refused.
pub(super) fn is_lost(error: &LedgerError) -> bool {
    match error {
        LedgerError::Database { source: Fault::Postgres(error), .. } => {
            // Class 57P: the server shuts down or has crashed.
            error.code().is_none_or(|state| state.code().starts_with("57P"))
        }
        _ => false,
    }
}

struct Statements {
    mark: Statement,
    numbers: Statement,
    requests: Statement,
    attempts: Statement,
    decisions: Statement,
    lessons: Statement,
}

impl Statements {
    async fn prepare(session: &Session) -> Result<Self, Error> {
        Ok(Self {
            mark: session.prepare(MARK).await?,
            numbers: session.prepare(NUMBERS).await?,
            requests: session.prepare(INSERT_REQUESTS).await?,
            attempts: session.prepare(INSERT_ATTEMPTS).await?,
            decisions: session.prepare(INSERT_DECISIONS).await?,
            lessons: session.prepare(feedback::INSERT_LESSONS).await?,
        })
    }

    async fn insert(&self, tx: &Transaction<'_>, records: &[RequestRecord]) -> Result<(), Error> {
        let rows = tx.query(&self.numbers, &[&(records.len() as i64)]).await?;
        let seqs = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, Error>>()?;
        self.insert_requests(tx, &seqs, records).await?;
        self.insert_attempts(tx, &seqs, records).await?;
        let (of, details): (Vec<i64>, Vec<Cow<'_, str>>) =
            seqs.iter().zip(records).filter_map(|(seq, r)| Some((seq, text(r.decision.as_deref()?)))).unzip();
        if !of.is_empty() {
            tx.execute(&self.decisions, &[&of, &details]).await?;
        }
        Ok(())
    }

    /// Rows for learning, and the end of those that are too old or too many.
    async fn insert_lessons(
        &self,
        tx: &Transaction<'_>,
        records: &[RequestRecord],
        keep: Option<Keep>,
    ) -> Result<(), Error> {
        let rows: Vec<LessonRow<'_>> = records.iter().filter_map(RequestRecord::lesson_row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        feedback::insert_lessons(tx, &self.lessons, &rows).await?;
        let newest = records.iter().map(|r| r.unix_ms).max();
        if let (Some(keep), Some(now)) = (keep, newest) {
            let looked_at = LOOKED_AT.max(2 * rows.len() as i64);
            feedback::forget(tx.client(), "lessons", keep.since(now), keep.stored_rows(), looked_at).await?;
        }
        Ok(())
    }

    async fn insert_requests(
        &self,
        tx: &Transaction<'_>,
        seqs: &[i64],
        records: &[RequestRecord],
    ) -> Result<(), Error> {
        let tags = |r: &RequestRecord| {
            (!r.tags.is_empty()).then(|| {
                let mut json = String::new();
                push_tags(&mut json, &r.tags);
                json
            })
        };
        let columns: [&(dyn ToSql + Sync); 25] = [
            &seqs,
            &column(records, |r| r.id.0.to_be_bytes().to_vec()),
            &column(records, |r| r.unix_ms),
            &column(records, |r| r.key.as_deref().map(text)),
            &column(records, |r| r.team.as_deref().map(text)),
            &column(records, |r| r.route.as_deref().map(text)),
            &column(records, |r| r.stage.as_deref().map(text)),
            &column(records, |r| r.level),
            &column(records, |r| r.strategy),
            &column(records, |r| r.class.name()),
            &column(records, |r| r.task.name()),
            &column(records, |r| i64::from(r.estimated_input_tokens)),
            // As SQLite has it.
            &column(records, |r| if r.complexity.is_nan() { 0.0 } else { r.complexity }),
            &column(records, |r| r.stream),
            &column(records, |r| r.model.as_deref().map(text)),
            &column(records, |r| r.degraded),
            &column(records, |r| r.outcome.name()),
            &column(records, |r| i32::from(r.status)),
            &column(records, |r| r.code),
            &column(records, |r| text(&r.reason)),
            &column(records, |r| stored(r.duration_us)),
            &column(records, |r| r.cost.0),
            &column(records, |r| r.baseline_cost.map(|c| c.0)),
            &column(records, tags),
            &column(records, |r| r.propensity),
        ];
        tx.execute(&self.requests, &columns).await?;
        Ok(())
    }

    async fn insert_attempts(
        &self,
        tx: &Transaction<'_>,
        seqs: &[i64],
        records: &[RequestRecord],
    ) -> Result<(), Error> {
        let place = |a: &AttemptRecord| (a.model.clone(), a.provider.clone(), a.endpoint.clone());
        let rows: Vec<(i64, i32, bool, &AttemptRecord)> = seqs
            .iter()
            .zip(records)
            .flat_map(|(seq, r)| {
                let numbered = r.attempts.iter().zip(0..);
                let first = r.attempts.iter().find(|a| !is_aside(a.outcome)).map(place);
                let moved = move |a: &AttemptRecord| !is_aside(a.outcome) && Some(place(a)) != first;
                numbered.map(move |(a, n)| (*seq, n, moved(a), a))
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let columns: [&(dyn ToSql + Sync); 18] = [
            &column(&rows, |r| r.0),
            &column(&rows, |r| r.1),
            &column(&rows, |r| text(&r.3.model)),
            &column(&rows, |r| text(&r.3.provider)),
            &column(&rows, |r| text(&r.3.endpoint)),
            &column(&rows, |r| r.3.outcome),
            &column(&rows, |r| i32::from(r.3.status)),
            &column(&rows, |r| r.2),
            &column(&rows, |r| stored(r.3.start_us)),
            &column(&rows, |r| r.3.first_token_us.map(stored)),
            &column(&rows, |r| stored(r.3.duration_us)),
            &column(&rows, |r| stored(r.3.usage.input_tokens)),
            &column(&rows, |r| stored(r.3.usage.output_tokens)),
            &column(&rows, |r| stored(r.3.usage.cache_read_tokens)),
            &column(&rows, |r| stored(r.3.usage.cache_write_tokens)),
            &column(&rows, |r| stored(r.3.usage.reasoning_tokens)),
            &column(&rows, |r| r.3.estimated),
            &column(&rows, |r| r.3.cost.map(|c| c.0)),
        ];
        tx.execute(&self.attempts, &columns).await?;
        Ok(())
    }
}

pub(super) fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Postgres refuses the character NUL, and one text with it would stop the ledger.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

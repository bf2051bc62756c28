//! Books in the ledger's Postgres database, over a connection of their own. Each call is one statement in one round
//! trip, and the server gives it up by itself when its time is over.

use super::{Change, LISTING, StoreAway, Stored, Swapped, away, body_of, parse, within};
use crate::store::Fault;
use crate::store::postgres::{Server, Session, connect};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

/// Books in a Postgres database.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    name: String,
    timeout: Duration,
    session: Option<Session>,
    /// When books that nobody needs were last deleted.
    swept: Option<Instant>,
}

/// A name, and the book of that name where there is one.
type Found = (String, Option<Stored>);

/// So often books that nobody needs are deleted.
const SWEEP: Duration = Duration::from_secs(60);

/// The server's clock, once for a whole statement.
macro_rules! with_clock {
    ($sql:literal) => {
        concat!(
            "WITH clock AS MATERIALIZED (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) ",
            $sql
        )
    };
}

const READ: &str = with_clock!(
    "SELECT clock.ms, a.id, b.version, b.body
    FROM clock LEFT JOIN UNNEST($1) WITH ORDINALITY AS a(id, n) ON true
      LEFT JOIN budget_books b ON b.id = a.id AND b.expires_ms > clock.ms
    ORDER BY a.n"
);

const LIST: &str = with_clock!(
    "SELECT clock.ms, b.id, b.version, b.body
    FROM clock LEFT JOIN LATERAL (
      SELECT id, version, body FROM budget_books WHERE starts_with(id, $1) AND expires_ms > clock.ms
      ORDER BY id COLLATE \"C\" LIMIT $2
    ) b ON true
    ORDER BY b.id COLLATE \"C\""
);

// Gateways must not wait for each other in a circle: rows that are there are locked in the order of their names, new ones
// are made after that, in the same order. The names are distinct.
const SWAP: &str = with_clock!(
    ", asked AS (
      SELECT * FROM UNNEST($1, $2, $3, $4) WITH ORDINALITY AS a(id, expected, body, expires_ms, n)
    ), locked AS MATERIALIZED (
      SELECT id, version, body, expires_ms FROM budget_books WHERE id = ANY($1) ORDER BY id FOR UPDATE
    ), present AS MATERIALIZED (
      SELECT l.id, CASE WHEN l.expires_ms > clock.ms THEN l.version END AS version, l.version AS last, l.body
      FROM locked l, clock
    ), updated AS (
      UPDATE budget_books b
      SET version = greatest(p.last + 1, clock.ms * 1000), body = a.body, expires_ms = a.expires_ms
      FROM asked a JOIN present p ON p.id = a.id CROSS JOIN clock
      WHERE b.id = a.id AND CASE a.expected WHEN 0 THEN p.version IS NULL ELSE p.version = a.expected END
      RETURNING b.id, b.version
    ), inserted AS (
      INSERT INTO budget_books (id, version, body, expires_ms)
      SELECT a.id, clock.ms * 1000, a.body, a.expires_ms
      FROM asked a CROSS JOIN clock
      WHERE a.expected = 0 AND a.id NOT IN (SELECT id FROM present) ORDER BY a.id
      ON CONFLICT (id) DO NOTHING
      RETURNING id, version
    )
    SELECT clock.ms, a.id, p.version, p.body, coalesce(u.version, i.version)
    FROM clock LEFT JOIN asked a ON true
      LEFT JOIN present p ON p.id = a.id LEFT JOIN updated u ON u.id = a.id LEFT JOIN inserted i ON i.id = a.id
    ORDER BY a.n"
);

const DELETE: &str = with_clock!(
    "DELETE FROM budget_books WHERE id IN (
      SELECT id FROM budget_books WHERE expires_ms <= (SELECT ms FROM clock) FOR UPDATE SKIP LOCKED
    )"
);

impl Postgres {
    pub(super) fn new(server: Server, timeout: Duration) -> Self {
        let name = format!("the budgets in {}", server.name());
        Self { server, name, timeout, session: None, swept: None }
    }

    pub(super) fn another(&self) -> Self {
        Self::new(self.server.clone(), self.timeout)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn read(&mut self, ids: &[String]) -> Result<(Vec<Stored>, i64), StoreAway> {
        let rows = self.ask(1, READ, &[(&ids, Type::TEXT_ARRAY)]).await?;
        let (found, now_ms) = self.found(&rows)?;
        Ok((found.into_iter().map(|(_, stored)| stored.unwrap_or_default()).collect(), now_ms))
    }

    pub(super) async fn swap(&mut self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.ask(1, DELETE, &[]).await?;
            self.swept = Some(Instant::now());
        }
        let mut swapped: Vec<Option<Swapped>> = vec![None; changes.len()];
        let mut left: Vec<usize> = (0..changes.len()).collect();
        // One round, but where a name comes twice.
        loop {
            let mut names = HashSet::new();
            let now: Vec<usize> = left.extract_if(.., |at| names.insert(changes[*at].id.as_str())).collect();
            let round: Vec<&Change> = now.iter().map(|at| &changes[*at]).collect();
            let (done, now_ms) = self.swap_distinct(&round).await?;
            for (at, result) in now.into_iter().zip(done) {
                swapped[at] = Some(result);
            }
            if left.is_empty() {
                return Ok((swapped.into_iter().flatten().collect(), now_ms));
            }
        }
    }

    async fn swap_distinct(&mut self, changes: &[&Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let ids: Vec<&str> = changes.iter().map(|c| c.id.as_str()).collect();
        let expected: Vec<i64> = changes.iter().map(|c| i64::try_from(c.expected).unwrap_or(i64::MAX)).collect();
        let bodies = changes.iter().map(|c| body_of(&self.name, c)).collect::<Result<Vec<_>, _>>()?;
        let until: Vec<i64> = changes.iter().map(|c| c.keep_until_ms).collect();
        let rows = self
            .ask(
                1,
                SWAP,
                &[
                    (&ids, Type::TEXT_ARRAY),
                    (&expected, Type::INT8_ARRAY),
                    (&bodies, Type::TEXT_ARRAY),
                    (&until, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let (found, now_ms) = self.found(&rows)?;
        let mut swapped = Vec::with_capacity(changes.len());
        for ((change, (id, present)), row) in changes.iter().zip(found).zip(&rows) {
            let done: Option<i64> = row.try_get(4).map_err(|e| self.refused(e))?;
            swapped.push(match (done, present) {
                (Some(version), _) => Swapped::Done(version as u64),
                // Made by another process since this statement began, which therefore could not see it.
                (None, None) if change.expected == 0 => {
                    let (mut stored, _) = self.read(&[id]).await?;
                    Swapped::Changed(stored.pop().unwrap_or_default())
                }
                (None, present) => Swapped::Changed(present.unwrap_or_default()),
            });
        }
        Ok((swapped, now_ms))
    }

    pub(super) async fn list(&mut self, prefix: &str) -> Result<(Vec<(String, Stored)>, i64), StoreAway> {
        let limit = LISTING.1 as i64;
        let rows = self.ask(LISTING.0, LIST, &[(&prefix, Type::TEXT), (&limit, Type::INT8)]).await?;
        let (found, now_ms) = self.found(&rows)?;
        Ok((found.into_iter().map(|(id, stored)| (id, stored.unwrap_or_default())).collect(), now_ms))
    }

    /// The rows as books, and the clock, which stands in each of them. A single row without a name: there are none.
    fn found(&self, rows: &[Row]) -> Result<(Vec<Found>, i64), StoreAway> {
        let refused = |e| self.refused(e);
        let first = rows.first().ok_or_else(|| away(&self.name, "it gave no answer"))?;
        let now_ms = first.try_get(0).map_err(refused)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(id) = row.try_get::<_, Option<String>>(1).map_err(refused)? else { continue };
            let version: Option<i64> = row.try_get(2).map_err(refused)?;
            let body: Option<&str> = row.try_get(3).map_err(refused)?;
            let stored = match version {
                None => None,
                Some(version) => Some(parse(&self.name, &id, version, body.unwrap_or_default().as_bytes())?),
            };
            found.push((id, stored));
        }
        Ok((found, now_ms))
    }

    /// One statement, in a transaction of its own. A session that failed is not used again.
    async fn ask(
        &mut self,
        patience: u32,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, StoreAway> {
        let (name, server, limit) = (&self.name, &self.server, self.timeout * patience);
        let refused = |e| away(name, Fault::Postgres(e));
        let present = self.session.take().filter(|session| !session.is_closed());
        let asking = async {
            let session = match present {
                Some(session) => session,
                None => Box::pin(connect(server)).await.map_err(|e| away(name, e))?,
            };
            let begin =
                format!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}", limit.as_millis());
            // Sent together. Where the statement fails, the last one undoes everything.
            let (begun, rows, ended) = tokio::join!(
                biased;
                session.batch_execute(&begin),
                session.query_typed(sql, parameters),
                session.batch_execute("COMMIT"),
            );
            begun.map_err(refused)?;
            let rows = rows.map_err(refused)?;
            ended.map_err(refused)?;
            Ok((rows, session))
        };
        let (rows, session) = within(name, limit, asking).await?;
        self.session = Some(session);
        Ok(rows)
    }

    fn refused(&self, error: Error) -> StoreAway {
        away(&self.name, Fault::Postgres(error))
    }
}

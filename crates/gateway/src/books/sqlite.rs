//! Books in the ledger's SQLite file, over a connection of their own. Calls run on the runtime's threads for blocking
//! work, one at a time: a disk that hangs holds one thread and no caller.

use super::{Change, LISTING, StoreAway, Stored, Swapped, away, body_of, next_version, parse, within};
use crate::clock::unix_ms;
use crate::store::sqlite::Location;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Books in an SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    location: Location,
    name: String,
    timeout: Duration,
    /// The last call, which gives its connection back where it went well.
    last: Option<JoinHandle<Option<Open>>>,
}

#[derive(Debug)]
struct Open {
    conn: Connection,
    name: String,
    /// When books that nobody needs were last deleted.
    swept_ms: i64,
}

/// So often books that nobody needs are deleted.
const SWEEP_MS: i64 = 60_000;

impl Sqlite {
    pub(super) fn new(location: Location, timeout: Duration) -> Self {
        let name = format!("the budgets in {}", location.name());
        Self { location, name, timeout, last: None }
    }

    pub(super) fn another(&self) -> Self {
        Self::new(self.location.clone(), self.timeout)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn read(&mut self, ids: &[String]) -> Result<(Vec<Stored>, i64), StoreAway> {
        let ids = ids.to_owned();
        self.run(1, move |open| {
            let now_ms = unix_ms();
            let Open { conn, name, .. } = open;
            let tx = conn.transaction().map_err(|e| away(name, e))?;
            let stored = ids.iter().map(|id| present(&tx, name, id, now_ms)).collect::<Result<Vec<_>, _>>()?;
            Ok((stored.into_iter().map(|(stored, _)| stored).collect(), now_ms))
        })
        .await
    }

    pub(super) async fn swap(&mut self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let changes = changes.to_owned();
        self.run(1, move |open| open.swap(&changes)).await
    }

    pub(super) async fn list(&mut self, prefix: &str) -> Result<(Vec<(String, Stored)>, i64), StoreAway> {
        let prefix = prefix.to_owned();
        self.run(LISTING.0, move |open| {
            let now_ms = unix_ms();
            let refused = |e| away(&open.name, e);
            let sql = "SELECT version, body, id FROM budget_books WHERE expires_ms > ?1 \
                       AND (?2 = '' OR substr(CAST(id AS BLOB), 1, length(CAST(?2 AS BLOB))) = CAST(?2 AS BLOB)) \
                       ORDER BY id LIMIT ?3";
            let mut statement = open.conn.prepare_cached(sql).map_err(refused)?;
            let found = statement
                .query_map(params![now_ms, prefix, LISTING.1 as i64], |row| Ok((row.get(2)?, raw(row)?)))
                .map_err(refused)?
                .collect::<Result<Vec<(String, _)>, _>>()
                .map_err(refused)?;
            let parsed = |(id, (version, body)): (String, (i64, String))| {
                let stored = parse(&open.name, &id, version, body.as_bytes())?;
                Ok((id, stored))
            };
            Ok((found.into_iter().map(parsed).collect::<Result<_, _>>()?, now_ms))
        })
        .await
    }

    /// Runs `call` where it may block, after the last one has ended.
    async fn run<T: Send + 'static>(
        &mut self,
        patience: u32,
        call: impl FnOnce(&mut Open) -> Result<T, StoreAway> + Send + 'static,
    ) -> Result<T, StoreAway> {
        let (location, name, timeout) = (self.location.clone(), self.name.clone(), self.timeout);
        let last = &mut self.last;
        let running = async {
            let open = match last {
                Some(handle) => handle.await.unwrap_or(None),
                None => None,
            };
            let (answer, answered) = oneshot::channel();
            *last = Some(tokio::task::spawn_blocking(move || {
                let mut open = open;
                let result = match &mut open {
                    Some(open) => call(open),
                    None => opened(&location, name, timeout).and_then(|new| call(open.insert(new))),
                };
                let went_well = result.is_ok();
                // Where nobody waits any more, the caller has been told so.
                let _ = answer.send(result);
                open.filter(|_| went_well)
            }));
            answered.await.unwrap_or_else(|_| Err(away(&self.name, "the call was lost")))
        };
        within(&self.name, timeout * patience, running).await
    }
}

fn opened(location: &Location, name: String, timeout: Duration) -> Result<Open, StoreAway> {
    let conn = location.open_writer().map_err(|e| away(&name, e))?;
    // Less than the whole, so that "database is locked" is said. A budget must survive the death of the machine,
    // unlike the ledger's last moments: `synchronous = FULL`.
    conn.busy_timeout(timeout * 3 / 4)
        .and_then(|()| conn.pragma_update(None, "synchronous", "full"))
        .map_err(|e| away(&name, e))?;
    Ok(Open { conn, name, swept_ms: 0 })
}

impl Open {
    fn swap(&mut self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let Self { conn, name, swept_ms } = self;
        let refused = |e| away(name, e);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
        let now_ms = unix_ms(); // by now others have ended
        if (now_ms - *swept_ms).abs() >= SWEEP_MS {
            tx.execute("DELETE FROM budget_books WHERE expires_ms <= ?1", [now_ms]).map_err(refused)?;
            *swept_ms = now_ms;
        }
        let mut swapped = Vec::with_capacity(changes.len());
        for change in changes {
            let (present, last) = present(&tx, name, &change.id, now_ms)?;
            if present.version != change.expected {
                swapped.push(Swapped::Changed(present));
                continue;
            }
            let version = next_version(last, now_ms);
            let sql = "INSERT OR REPLACE INTO budget_books (id, version, body, expires_ms) VALUES (?1, ?2, ?3, ?4)";
            let body = body_of(name, change)?;
            tx.prepare_cached(sql)
                .and_then(|mut s| s.execute(params![change.id, version as i64, body, change.keep_until_ms]))
                .map_err(refused)?;
            swapped.push(Swapped::Done(version));
        }
        tx.commit().map_err(refused)?;
        Ok((swapped, now_ms))
    }
}

/// A book, and the version of what stands in its place, which may be old.
fn present(tx: &Transaction<'_>, name: &str, id: &str, now_ms: i64) -> Result<(Stored, u64), StoreAway> {
    let found = tx
        .prepare_cached("SELECT version, body, expires_ms FROM budget_books WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([id], |row| Ok((raw(row)?, row.get(2)?))).optional())
        .map_err(|e| away(name, format!("the book `{}` cannot be read: {e}", id.escape_debug())))?;
    let Some(((version, body), expires_ms)) = found else { return Ok((Stored::default(), 0)) };
    let stored = parse(name, id, version, body.as_bytes())?;
    let (last, expires_ms): (u64, i64) = (stored.version, expires_ms);
    Ok((if expires_ms > now_ms { stored } else { Stored::default() }, last))
}

fn raw(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

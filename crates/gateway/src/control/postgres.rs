//! Keys, limits and the audit in a Postgres database. A runtime of its own on the thread that calls; every call ends.

use super::rows::{AuditRow, Columns, Edit, Hash, KeyRow, LimitRow, Row, Stored, Target};
use super::{ChangeError, PEPPER, REVISION, number};
use crate::store::LedgerError;
use crate::store::postgres::{self, Server, Session, within};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Error, Transaction};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The advisory lock under which changes are made, one at a time: "WPCT".
const LOCK: i64 = 0x5750_4354;

pub(super) struct Database {
    server: Server,
    session: Option<Session>,
    runtime: Runtime,
}

impl Database {
    /// Connects; creates and migrates what is not there yet.
    pub(super) fn open(server: Server) -> Result<Self, LedgerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let session = Some(runtime.block_on(postgres::open(&server))?);
        Ok(Self { server, session, runtime })
    }

    pub(super) fn pepper(&mut self, fresh: &Hash) -> Result<Vec<u8>, LedgerError> {
        self.call(async |client| {
            let sql = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            client.execute(sql, &[&PEPPER, &&fresh[..]]).await?;
            client.query_one("SELECT value FROM meta WHERE name = $1", &[&PEPPER]).await?.try_get(0)
        })
    }

    pub(super) fn revision(&mut self) -> Result<u64, LedgerError> {
        self.call(async |client| revision(client).await)
    }

    /// Everything but the pepper. The revision is read first: rows that are newer are read again at the next look.
    pub(super) fn read(&mut self) -> Result<Stored, LedgerError> {
        self.call(async |client| {
            let revision = revision(client).await?;
            let keys = client.query(&format!("{KEYS} ORDER BY id"), &[]).await?;
            let keys = keys.iter().map(key).collect::<Result<_, _>>()?;
            let limits = client.query("SELECT scope, body, changed_ms FROM scope_limits ORDER BY scope", &[]).await?;
            let limits = limits.iter().map(limit).collect::<Result<_, _>>()?;
            Ok(Stored { revision, keys, limits, ..Stored::default() })
        })
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Result<Option<Row>, ChangeError> {
        let done = self.call(async |client| {
            let tx = client.transaction().await?;
            tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
            let before = find(&tx, &edit.target).await?;
            let after = match (edit.change)(before.clone()) {
                Ok(after) if after == before => return Ok(Ok(after)),
                Ok(after) => after,
                Err(refused) => return Ok(Err(refused)),
            };
            match &after {
                Some(row) => replace(&tx, row).await?,
                None => remove(&tx, &edit.target).await?,
            }
            let shown = |row: &Option<Row>| row.as_ref().map(|row| row.shown().to_string());
            tx.execute(
                "INSERT INTO audit (unix_ms, actor, action, target, before, after) VALUES ($1, $2, $3, $4, $5, $6)",
                &[&edit.unix_ms, &edit.actor, &edit.action, &edit.target.name(), &shown(&before), &shown(&after)],
            )
            .await?;
            let next = (revision(tx.client()).await? + 1).to_be_bytes();
            let sql = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            tx.execute(sql, &[&REVISION, &&next[..]]).await?;
            tx.commit().await?;
            Ok(Ok(after))
        });
        done.map_err(ChangeError::Store)?.map_err(ChangeError::Refused)
    }

    /// The newest first.
    pub(super) fn audit(&mut self, limit: u32) -> Result<Vec<AuditRow>, LedgerError> {
        self.call(async |client| {
            let sql = "SELECT seq, unix_ms, actor, action, target, before, after FROM audit ORDER BY seq DESC LIMIT $1";
            let row = |row: &tokio_postgres::Row| {
                Ok(AuditRow {
                    seq: row.try_get(0)?,
                    unix_ms: row.try_get(1)?,
                    actor: row.try_get(2)?,
                    action: row.try_get(3)?,
                    target: row.try_get(4)?,
                    before: row.try_get(5)?,
                    after: row.try_get(6)?,
                })
            };
            client.query(sql, &[&i64::from(limit)]).await?.iter().map(row).collect()
        })
    }

    /// One operation on a connection that answers. After an error the connection is dropped: what was begun on it is
    /// undone, and the next call opens another one.
    fn call<T>(&mut self, operation: impl AsyncFnOnce(&mut Client) -> Result<T, Error>) -> Result<T, LedgerError> {
        let (server, kept) = (&self.server, self.session.take());
        let done = self.runtime.block_on(async {
            let mut session = alive(server, kept).await?;
            let done = within(server, PATIENCE, operation(&mut session)).await?;
            Ok((done, session))
        });
        done.map(|(done, session)| {
            self.session = Some(session);
            done
        })
    }
}

/// The connection, where it still answers; else another one. A change must not be lost to a server that was restarted, nor
/// be made twice because nobody knows whether it was.
async fn alive(server: &Server, kept: Option<Session>) -> Result<Session, LedgerError> {
    if let Some(session) = kept
        && within(server, PATIENCE, session.simple_query("SELECT 1")).await.is_ok()
    {
        return Ok(session);
    }
    postgres::connect(server).await
}

const KEYS: &str = "SELECT id, hash, previous_hash, previous_until_ms, body, created_ms, expires_ms, revoked_ms \
                    FROM client_keys";

async fn revision(client: &Client) -> Result<u64, Error> {
    let found = client.query_opt("SELECT value FROM meta WHERE name = $1", &[&REVISION]).await?;
    let bytes: Option<Vec<u8>> = found.map(|row| row.try_get(0)).transpose()?;
    Ok(number(bytes.as_deref()))
}

fn key(row: &tokio_postgres::Row) -> Result<KeyRow, Error> {
    Ok(KeyRow::of_columns(Columns {
        id: row.try_get(0)?,
        hash: row.try_get(1)?,
        previous_hash: row.try_get(2)?,
        previous_until_ms: row.try_get(3)?,
        body: row.try_get(4)?,
        created_ms: row.try_get(5)?,
        expires_ms: row.try_get(6)?,
        revoked_ms: row.try_get(7)?,
    }))
}

fn limit(row: &tokio_postgres::Row) -> Result<LimitRow, Error> {
    Ok(LimitRow::of_columns(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

async fn find(tx: &Transaction<'_>, target: &Target) -> Result<Option<Row>, Error> {
    match target {
        Target::Key(id) => {
            let found = tx.query_opt(&format!("{KEYS} WHERE id = $1"), &[id]).await?;
            Ok(found.as_ref().map(key).transpose()?.map(Row::Key))
        }
        Target::Limits(scope) => {
            let sql = "SELECT scope, body, changed_ms FROM scope_limits WHERE scope = $1";
            let found = tx.query_opt(sql, &[scope]).await?;
            Ok(found.as_ref().map(limit).transpose()?.map(Row::Limits))
        }
    }
}

async fn replace(tx: &Transaction<'_>, row: &Row) -> Result<(), Error> {
    match row {
        Row::Key(key) => {
            let (previous, until) = key.previous.unzip();
            tx.execute(
                "INSERT INTO client_keys VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
                 hash = excluded.hash, previous_hash = excluded.previous_hash, \
                 previous_until_ms = excluded.previous_until_ms, body = excluded.body, \
                 expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms",
                &[
                    &&*key.id,
                    &&key.hash[..],
                    &previous.as_ref().map(|hash| &hash[..]),
                    &until,
                    &key.body(),
                    &key.created_ms,
                    &key.expires_ms,
                    &key.revoked_ms,
                ],
            )
            .await?;
        }
        Row::Limits(limits) => {
            tx.execute(
                "INSERT INTO scope_limits VALUES ($1, $2, $3) ON CONFLICT (scope) DO UPDATE SET \
                 body = excluded.body, changed_ms = excluded.changed_ms",
                &[&&*limits.scope, &limits.body(), &limits.changed_ms],
            )
            .await?;
        }
    }
    Ok(())
}

async fn remove(tx: &Transaction<'_>, target: &Target) -> Result<(), Error> {
    match target {
        Target::Key(id) => tx.execute("DELETE FROM client_keys WHERE id = $1", &[id]).await?,
        Target::Limits(scope) => tx.execute("DELETE FROM scope_limits WHERE scope = $1", &[scope]).await?,
    };
    Ok(())
}

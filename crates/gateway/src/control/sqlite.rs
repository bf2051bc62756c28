//! Keys, limits and the audit in an SQLite file, or in memory. One connection; every call blocks.

use super::rows::{AuditRow, Columns, Edit, Hash, KeyRow, LimitRow, Row, Stored, Target};
use super::{ChangeError, PEPPER, REVISION, number};
use crate::store::LedgerError;
use crate::store::sqlite::Location;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::time::Duration;

/// How long a call waits for the lock that another process, or the ledger's thread, holds.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Database {
    conn: Connection,
    location: Location,
}

impl Database {
    pub(super) fn open(location: Location) -> Result<Self, LedgerError> {
        let conn = location.open_writer()?;
        conn.busy_timeout(PATIENCE).map_err(|e| location.explain(e))?;
        Ok(Self { conn, location })
    }

    pub(super) fn pepper(&mut self, fresh: &Hash) -> Result<Vec<u8>, LedgerError> {
        let read = |conn: &Connection| {
            conn.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO NOTHING", params![PEPPER, &fresh[..]])?;
            conn.query_row("SELECT value FROM meta WHERE name = ?", [PEPPER], |row| row.get(0))
        };
        read(&self.conn).map_err(|e| self.location.explain(e))
    }

    pub(super) fn revision(&mut self) -> Result<u64, LedgerError> {
        revision(&self.conn).map_err(|e| self.location.explain(e))
    }

    /// Everything but the pepper, as of one moment.
    pub(super) fn read(&mut self) -> Result<Stored, LedgerError> {
        let location = &self.location;
        let read = |conn: &mut Connection| {
            let tx = conn.transaction()?;
            let revision = revision(&tx)?;
            let mut keys = tx.prepare_cached(&format!("{KEYS} ORDER BY id"))?;
            let keys = keys.query_map([], key)?.collect::<Result<_, _>>()?;
            let mut limits = tx.prepare_cached("SELECT scope, body, changed_ms FROM scope_limits ORDER BY scope")?;
            let limits = limits.query_map([], limit)?.collect::<Result<_, _>>()?;
            Ok(Stored { revision, keys, limits, ..Stored::default() })
        };
        read(&mut self.conn).map_err(|e| location.explain(e))
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Result<Option<Row>, ChangeError> {
        let location = &self.location;
        let explain = |e| ChangeError::Store(location.explain(e));
        // Takes the lock at once: what is read here is what is replaced.
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
        let before = find(&tx, &edit.target).map_err(explain)?;
        let after = (edit.change)(before.clone()).map_err(ChangeError::Refused)?;
        if before == after {
            return Ok(after);
        }
        let write = |tx: &Transaction<'_>| {
            match &after {
                Some(row) => replace(tx, row)?,
                None => remove(tx, &edit.target)?,
            }
            let shown = |row: &Option<Row>| row.as_ref().map(|row| row.shown().to_string());
            tx.execute(
                "INSERT INTO audit (unix_ms, actor, action, target, before, after) VALUES (?, ?, ?, ?, ?, ?)",
                params![edit.unix_ms, edit.actor, edit.action, edit.target.name(), shown(&before), shown(&after)],
            )?;
            let next = (revision(tx)? + 1).to_be_bytes();
            let sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            tx.execute(sql, params![REVISION, &next[..]])
        };
        write(&tx).map_err(explain)?;
        tx.commit().map_err(explain)?;
        Ok(after)
    }

    /// The newest first.
    pub(super) fn audit(&mut self, limit: u32) -> Result<Vec<AuditRow>, LedgerError> {
        let read = |conn: &Connection| {
            let sql = "SELECT seq, unix_ms, actor, action, target, before, after FROM audit ORDER BY seq DESC LIMIT ?";
            let mut rows = conn.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(AuditRow {
                    seq: row.get(0)?,
                    unix_ms: row.get(1)?,
                    actor: row.get(2)?,
                    action: row.get(3)?,
                    target: row.get(4)?,
                    before: row.get(5)?,
                    after: row.get(6)?,
                })
            };
            rows.query_map([limit], row)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.conn).map_err(|e| self.location.explain(e))
    }
}

const KEYS: &str = "SELECT id, hash, previous_hash, previous_until_ms, body, created_ms, expires_ms, revoked_ms \
                    FROM client_keys";

fn revision(conn: &Connection) -> rusqlite::Result<u64> {
    let mut found = conn.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
    let bytes: Option<Vec<u8>> = found.query_row([REVISION], |row| row.get(0)).optional()?;
    Ok(number(bytes.as_deref()))
}

fn key(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow::of_columns(Columns {
        id: row.get(0)?,
        hash: row.get(1)?,
        previous_hash: row.get(2)?,
        previous_until_ms: row.get(3)?,
        body: row.get(4)?,
        created_ms: row.get(5)?,
        expires_ms: row.get(6)?,
        revoked_ms: row.get(7)?,
    }))
}

fn limit(row: &rusqlite::Row<'_>) -> rusqlite::Result<LimitRow> {
    Ok(LimitRow::of_columns(row.get(0)?, &row.get::<_, String>(1)?, row.get(2)?))
}

fn find(tx: &Transaction<'_>, target: &Target) -> rusqlite::Result<Option<Row>> {
    match target {
        Target::Key(id) => {
            let found = tx.query_row(&format!("{KEYS} WHERE id = ?"), [id], key).optional()?;
            Ok(found.map(Row::Key))
        }
        Target::Limits(scope) => {
            let sql = "SELECT scope, body, changed_ms FROM scope_limits WHERE scope = ?";
            let found = tx.query_row(sql, [scope], limit).optional()?;
            Ok(found.map(Row::Limits))
        }
    }
}

fn replace(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    match row {
        Row::Key(key) => {
            let (previous, until) = key.previous.unzip();
            tx.execute(
                "INSERT INTO client_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET \
                 hash = excluded.hash, previous_hash = excluded.previous_hash, \
                 previous_until_ms = excluded.previous_until_ms, body = excluded.body, \
                 expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms",
                params![
                    &*key.id,
                    &key.hash[..],
                    previous.as_ref().map(|hash| &hash[..]),
                    until,
                    key.body(),
                    key.created_ms,
                    key.expires_ms,
                    key.revoked_ms
                ],
            )?;
        }
        Row::Limits(limits) => {
            tx.execute(
                "INSERT INTO scope_limits VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE SET \
                 body = excluded.body, changed_ms = excluded.changed_ms",
                params![&*limits.scope, limits.body(), limits.changed_ms],
            )?;
        }
    }
    Ok(())
}

fn remove(tx: &Transaction<'_>, target: &Target) -> rusqlite::Result<()> {
    match target {
        Target::Key(id) => tx.execute("DELETE FROM client_keys WHERE id = ?", [id])?,
        Target::Limits(scope) => tx.execute("DELETE FROM scope_limits WHERE scope = ?", [scope])?,
    };
    Ok(())
}

//! Where the ledger lives and what its tables are: opening, pragmas, versioned migrations. It reads and writes no record.
//!
//! Rows are narrow: what repeats (names, outcomes, whole combinations of them) is a small integer into a dictionary
//! table, and there is no secondary index. `requests.seq` is the arrival in milliseconds times 256, or the last one plus
//! one where that is more, so rows are only ever appended, and `seq >= ms * 256` holds for every row: a range of `seq`
//! finds all requests since a time. An attempt's `seq` is its request's times 64 plus its number. Dictionary rows may
//! repeat: a process starts with empty dictionaries, and a dictionary that grew too large starts again.

use crate::store::error::{Fault, LedgerError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bits of `requests.seq` below the millisecond.
pub(super) const SEQ_BITS: u32 = 8;
/// Bits of `attempts.seq` below its request's `seq`.
pub(super) const ATTEMPT_BITS: u32 = 6;

/// Marks a file as a ledger (`PRAGMA application_id`): "WPLG".
const APPLICATION_ID: i32 = 0x5750_4c47;

/// Step `n` takes the schema from version `n` to `n + 1`. Append only: a released step never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/1.sql"),
    include_str!("../migrations/sqlite/2.sql"),
    include_str!("../migrations/sqlite/3.sql"),
    include_str!("../migrations/sqlite/4.sql"),
];

/// A place that connections can be opened to.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    File(PathBuf),
    /// Name of a database in memory, shared by the connections of this process and freed with the last of them.
    Memory(String),
}

impl Location {
    /// A new, empty database in memory.
    pub(crate) fn memory() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::Memory(format!("file:/waypost-{}?vfs=memdb", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(in crate::store) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(_) => "memory".to_owned(),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory(uri) => Path::new(uri),
        }
    }

    /// Opens for writing, creates what is missing and migrates what is old. The connection waits 50 ms for a lock.
    pub(crate) fn open_writer(&self) -> Result<Connection, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | self.uri_flag();
        let mut conn = Connection::open_with_flags(self.path(), flags).map_err(|e| self.explain(e))?;
        let version = self.check_identity(&conn)?;
        self.prepare_writer(&conn).map_err(|e| self.explain(e))?;
        migrate(&mut conn, version, MIGRATIONS).map_err(|(from, source)| LedgerError::Migration {
            path: self.name(),
            from,
            source: Fault::Sqlite(source),
        })?;
        Ok(conn)
    }

    /// Opens an existing ledger of the current version for reading.
    pub(crate) fn open_reader(&self) -> Result<Connection, LedgerError> {
        if let Self::File(path) = self
            && !path.exists()
        {
            return Err(LedgerError::Missing(self.name()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | self.uri_flag();
        let conn = Connection::open_with_flags(self.path(), flags).map_err(|e| self.explain(e))?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(|e| self.explain(e))?;
        let (found, known) = (self.check_identity(&conn)?, MIGRATIONS.len() as i64);
        if found < known {
            return Err(LedgerError::Older { path: self.name(), found, known });
        }
        Ok(conn)
    }

    /// As a user can act on it.
    pub(crate) fn explain(&self, source: rusqlite::Error) -> LedgerError {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => LedgerError::NotADatabase(self.name()),
            _ => LedgerError::Database { path: self.name(), source: Fault::Sqlite(source) },
        }
    }

    fn uri_flag(&self) -> OpenFlags {
        match self {
            Self::File(_) => OpenFlags::empty(),
            Self::Memory(_) => OpenFlags::SQLITE_OPEN_URI,
        }
    }

    /// The schema version; refuses databases of other programs and of the future.
    fn check_identity(&self, conn: &Connection) -> Result<i64, LedgerError> {
        let read = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| self.explain(e));
        let version = read("PRAGMA user_version")?;
        let ours = read("PRAGMA application_id")? == i64::from(APPLICATION_ID);
        if !ours && (version != 0 || read("SELECT count(*) FROM sqlite_master")? != 0) {
            return Err(LedgerError::Foreign(self.name()));
        }
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(LedgerError::Newer { path: self.name(), found: version, known });
        }
        Ok(version)
    }

    fn prepare_writer(&self, conn: &Connection) -> rusqlite::Result<()> {
        // Shorter than the writer's own retries, so that a lock shows in the statistics.
        conn.busy_timeout(Duration::from_millis(50))?;
        if let Self::File(_) = self {
            // A commit in WAL mode survives the death of the process at once; the death of the machine may cost what
            // was committed since the last checkpoint (`synchronous = NORMAL`), never consistency.
            conn.pragma_update(None, "journal_mode", "wal")?;
            conn.pragma_update(None, "synchronous", "normal")?;
            conn.pragma_update(None, "wal_autocheckpoint", 1000)?;
            conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        }
        Ok(())
    }
}

/// Brings a database from `version` to the newest, all steps in one transaction. On an error nothing has changed, and
/// the version comes back with it.
fn migrate(conn: &mut Connection, version: i64, steps: &[&str]) -> Result<(), (i64, rusqlite::Error)> {
    let pending = |version: i64| usize::try_from(version).ok().and_then(|v| steps.get(v..)).unwrap_or_default();
    if pending(version).is_empty() {
        return Ok(());
    }
    let apply = |conn: &mut Connection| {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been quicker.
        let pending = pending(tx.query_row("PRAGMA user_version", [], |row| row.get(0))?);
        if pending.is_empty() {
            return Ok(());
        }
        for step in pending {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", steps.len() as i64)?;
        tx.commit()
    };
    apply(conn).map_err(|e| (version, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str) -> (PathBuf, Location) {
        let path = dir.path().join(name);
        (path.clone(), Location::File(path))
    }

    #[test]
    fn an_empty_database_becomes_a_ledger_and_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, location) = file(&dir, "a.db");
        Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
        for _ in 0..2 {
            let conn = location.open_writer().unwrap();
            let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
            assert_eq!(version, MIGRATIONS.len() as i64);
            conn.execute_batch("SELECT * FROM requests_v; SELECT * FROM attempts_v").unwrap();
            for table in ["client_keys", "scope_limits", "audit", "budget_books", "meta", "lessons", "feedback"] {
                conn.execute_batch(&format!("SELECT * FROM {table}")).unwrap();
            }
        }
        location.open_reader().unwrap();
    }

    #[test]
    fn every_version_migrates_to_the_newest() {
        for from in 0..MIGRATIONS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            migrate(&mut conn, 0, &MIGRATIONS[..from]).unwrap();
            migrate(&mut conn, from as i64, MIGRATIONS).unwrap();
            conn.execute_batch("SELECT seq FROM requests").unwrap();
        }
    }

    #[test]
    fn a_failing_migration_changes_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, 0, &["CREATE TABLE a (x)"]).unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE b (x)"];
        assert_eq!(migrate(&mut conn, 1, &steps).unwrap_err().0, 1);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0)).unwrap();
        let version: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!((tables, version), (1, 1));
    }

    #[test]
    fn what_is_no_ledger_of_ours_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, prepare: &dyn Fn(&Path), expected: &str, read_only: bool| {
            let (path, location) = file(&dir, name);
            prepare(&path);
            let result = if read_only { location.open_reader() } else { location.open_writer() };
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
        };
        let text = |path: &Path| std::fs::write(path, "models: {}\n".repeat(100)).unwrap();
        let other = |path: &Path| Connection::open(path).unwrap().execute_batch("CREATE TABLE songs (title)").unwrap();
        let newer = |path: &Path| {
            let conn = Location::File(path.to_owned()).open_writer().unwrap();
            conn.pragma_update(None, "user_version", 99).unwrap();
        };
        let older = |path: &Path| {
            let conn = Connection::open(path).unwrap();
            conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        };
        for read_only in [false, true] {
            let name = |base: &str| format!("{base}-{read_only}.db");
            check(&name("text"), &text, "not an SQLite database", read_only);
            check(&name("other"), &other, "not a Waypost ledger", read_only);
            check(&name("newer"), &newer, "version 99", read_only);
        }
        check("older.db", &older, "waypost serve", true);
        check("missing.db", &|_| (), "no ledger", true);
        check("folder.db", &|path| std::fs::create_dir(path).unwrap(), "folder.db", false);
        check("no-such-folder/a.db", &|_| (), "unable to open", false);
    }
}

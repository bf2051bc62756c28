//! The tables and their versions. All steps run in one transaction under an advisory lock, so that of several gateways
//! that start at once one migrates and the others wait for it.

use super::{Server, Session, connect, within};
use crate::store::error::{Fault, LedgerError};
use std::time::Duration;
use tokio_postgres::{Client, Error};

/// Step `n` takes the schema from version `n` to `n + 1`. Append only: a released step never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/1.sql"),
    include_str!("../migrations/postgres/2.sql"),
    include_str!("../migrations/postgres/3.sql"),
];

/// Reading the version.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Waiting for another gateway's migration and making one's own.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);
/// The advisory lock of migrations: "WPLG".
const LOCK: i64 = 0x5750_4c47;

/// Connects, creates what is missing and migrates what is old.
///
/// # Errors
/// See [`LedgerError`]; the database is as it was.
pub(crate) async fn open(server: &Server) -> Result<Session, LedgerError> {
    open_with(server, MIGRATIONS).await
}

/// Connects to a database of the current version.
///
/// # Errors
/// See [`LedgerError`].
pub(super) async fn open_reader(server: &Server) -> Result<Session, LedgerError> {
    let session = connect(server).await?;
    let found = within(server, CHECK_TIMEOUT, found(&session)).await?;
    match found.version(server, MIGRATIONS.len())? {
        0 => Err(LedgerError::Missing(server.name().to_owned())),
        version if version < MIGRATIONS.len() => Err(LedgerError::Older {
            path: server.name().to_owned(),
            found: version as i64,
            known: MIGRATIONS.len() as i64,
        }),
        _ => Ok(session),
    }
}

async fn open_with(server: &Server, steps: &[&str]) -> Result<Session, LedgerError> {
    let mut session = connect(server).await?;
    let encoding = within(server, CHECK_TIMEOUT, session.query_one("SHOW server_encoding", &[])).await?;
    let encoding: String = encoding.try_get(0).map_err(|e| server.explain(e))?;
    if !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
        // One name in another script would stop the ledger.
        return Err(LedgerError::Encoding { path: server.name().to_owned(), encoding });
    }
    let before = within(server, CHECK_TIMEOUT, found(&session)).await?.version(server, steps.len())?;
    if before < steps.len() {
        migrate(server, &mut session, before, steps).await?;
    }
    Ok(session)
}

/// What is in the database.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Foreign,
    Version(i64),
}

impl Found {
    /// The schema version; refuses databases of other programs and of the future.
    fn version(self, server: &Server, known: usize) -> Result<usize, LedgerError> {
        let path = || server.name().to_owned();
        match self {
            Self::Nothing => Ok(0),
            Self::Foreign => Err(LedgerError::Shared(path())),
            Self::Version(found) => match usize::try_from(found) {
                Ok(version) if version <= known => Ok(version),
                _ => Err(LedgerError::Newer { path: path(), found, known: known as i64 }),
            },
        }
    }
}

async fn found(client: &Client) -> Result<Found, Error> {
    // Tables and views where ours would be, but for those of extensions. One statement sees all of another gateway's
    // migration or nothing; two would take what it has just made for somebody else's.
    let sql = "SELECT to_regclass('waypost_schema') IS NOT NULL, \
               EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS \
               (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))";
    let row = client.query_one(sql, &[]).await?;
    match (row.try_get(0)?, row.try_get(1)?) {
        (true, _) => {
            let row = client.query_one("SELECT version FROM waypost_schema", &[]).await?;
            Ok(Found::Version(row.try_get(0)?))
        }
        (false, true) => Ok(Found::Foreign),
        (false, false) => Ok(Found::Nothing),
    }
}

/// Brings the database to the newest version. On an error nothing has changed.
async fn migrate(server: &Server, client: &mut Client, before: usize, steps: &[&str]) -> Result<(), LedgerError> {
    let failed = |source: Fault| LedgerError::Migration { path: server.name().to_owned(), from: before as i64, source };
    let migrating = async {
        let tx = client.transaction().await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        // Another gateway may have been quicker.
        let version = match found(tx.client()).await?.version(server, steps.len()) {
            Ok(version) => version,
            Err(refused) => return Ok(Err(refused)),
        };
        for step in &steps[version..] {
            tx.batch_execute(step).await?;
        }
        tx.batch_execute(
            "CREATE TABLE IF NOT EXISTS waypost_schema (one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one), \
             version BIGINT NOT NULL)",
        )
        .await?;
        let sql = "INSERT INTO waypost_schema (version) VALUES ($1) ON CONFLICT (one) DO UPDATE SET version = $1";
        tx.execute(sql, &[&(steps.len() as i64)]).await?;
        tx.commit().await?;
        Ok(Ok(()))
    };
    match tokio::time::timeout(MIGRATION_TIMEOUT, migrating).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(failed(Fault::Postgres(error))),
        Err(_) => Err(failed(Fault::Silent(MIGRATION_TIMEOUT))),
    }
}

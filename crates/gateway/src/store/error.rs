//! What can be wrong with a storage, as a user can act on it. No message holds a URL: it has a password in it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What can be wrong with a ledger as a whole.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is there and is something else.
    #[error("{0} is not an SQLite database")]
    NotADatabase(String),
    /// An SQLite database of another program.
    #[error("{0} is an SQLite database, but not a Waypost ledger")]
    Foreign(String),
    /// A Postgres database with tables of another program.
    #[error(
        "{0} holds tables of another program: give Waypost a database of its own, or a schema of its own through \
         `?options=-csearch_path%3DSCHEMA` in the URL"
    )]
    Shared(String),
    /// A Postgres database that cannot hold every text.
    #[error("{path} is encoded in {encoding}: create it with ENCODING 'UTF8'")]
    Encoding {
        /// Which database.
        path: String,
        /// What it has.
        encoding: String,
    },
    /// A Postgres URL that cannot be read; it is not shown, for its password.
    #[error("storage: {0}")]
    Url(String),
    /// Written by a later Waypost.
    #[error("{path} has schema version {found}; this Waypost knows versions up to {known}: use the newer Waypost")]
    Newer {
        /// Which ledger.
        path: String,
        /// The version that it has.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// Written by an earlier Waypost, and opened for reading only.
    #[error("{path} has schema version {found}, and {known} is needed: start `waypost serve` once, it migrates")]
    Older {
        /// Which ledger.
        path: String,
        /// The version that it has.
        found: i64,
        /// The version that this build reads.
        known: i64,
    },
    /// A migration failed; the ledger is as it was.
    #[error("cannot migrate {path} from schema version {from}: {source}")]
    Migration {
        /// Which ledger.
        path: String,
        /// The version that it has and keeps.
        from: i64,
        /// Why.
        source: Fault,
    },
    /// Nothing is there to read.
    #[error("there is no ledger at {0}: has `waypost serve` run with this storage?")]
    Missing(String),
    /// Memory storage belongs to the process that made it.
    #[error("storage is `memory`: only the running gateway can read it")]
    InMemory,
    /// The thread that writes could not be started.
    #[error("cannot start the ledger's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The database refused, or did not answer.
    #[error("{path}: {source}")]
    Database {
        /// Which ledger; of Postgres host and database, never the URL.
        path: String,
        /// Why.
        source: Fault,
    },
}

/// What a database said, or that it said nothing.
#[derive(Debug)]
pub enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// Postgres refused, or the connection to it broke.
    Postgres(tokio_postgres::Error),
    /// Postgres did not answer in this time.
    Silent(Duration),
    /// The ledger closes and has no time left.
    GivenUp,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            // The driver's own text is only "db error": what it is stands in its sources.
            Self::Postgres(error) => match error.as_db_error() {
                Some(said) => write!(f, "{} (SQLSTATE {})", said.message(), said.code().code()),
                None => {
                    error.fmt(f)?;
                    let mut source = error.source();
                    while let Some(cause) = source {
                        write!(f, ": {cause}")?;
                        source = cause.source();
                    }
                    Ok(())
                }
            },
            Self::Silent(limit) => write!(f, "no answer within {} s", limit.as_secs_f64()),
            Self::GivenUp => f.write_str("the ledger closes and has no time left"),
        }
    }
}

impl Error for Fault {}

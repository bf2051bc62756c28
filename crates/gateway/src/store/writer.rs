//! The write side, over whichever database.

use super::RequestRecord;
use super::error::LedgerError;
use super::ledger::LedgerOptions;
use super::lesson::Keep;
use super::place::Place;
use super::{postgres, sqlite};

/// Writes batches of records; lives on the ledger's thread.
pub(super) enum Writer {
    Sqlite(Box<sqlite::RowWriter>, sqlite::Location),
    Postgres(Box<postgres::RowWriter>),
}

impl Writer {
    /// Opens or creates what is at `place` and migrates it. Blocks.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub(super) fn open(place: &Place, retain: Option<u64>) -> Result<Self, LedgerError> {
        Ok(match place {
            Place::Sqlite(location) => {
                let most = location.is_memory().then_some(LedgerOptions::MEMORY_REQUESTS);
                let retain = retain.into_iter().chain(most).min();
                Self::Sqlite(Box::new(sqlite::RowWriter::new(location.open_writer()?, retain)), location.clone())
            }
            Place::Postgres(server) => Self::Postgres(Box::new(postgres::RowWriter::open(server)?)),
        })
    }

    /// Writes `records`, and deletes lessons that are not to be kept. After an error it is called again with the same records until it succeeds: what was written
    /// already is then not written again. Ends early where `given_up` does; SQLite's waits are short by themselves.
    ///
    /// # Errors
    /// The database refused, was silent, or there is no time left.
    pub(super) fn write(
        &mut self,
        records: &[RequestRecord],
        lessons: Option<Keep>,
        given_up: impl Future<Output = ()>,
    ) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite(rows, location) => rows.write(records, lessons).map_err(|e| location.explain(e)),
            Self::Postgres(rows) => rows.write(records, lessons, given_up),
        }
    }
}

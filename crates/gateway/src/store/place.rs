//! Where a storage is: what else is kept beside the ledger (keys, limits, budgets) opens its own connection to it.

use super::error::LedgerError;
use super::{postgres, sqlite};
use waypost_core::config::Storage;

/// A storage that connections can be opened to.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// `open_writer` opens, creates and migrates.
    Sqlite(sqlite::Location),
    /// [`postgres::open`] connects and migrates, [`postgres::connect`] only connects.
    Postgres(postgres::Server),
}

impl Place {
    /// Where `storage` points; each call on `Memory` names a new, empty database.
    ///
    /// # Errors
    /// A Postgres URL that cannot be read.
    pub(crate) fn of(storage: &Storage) -> Result<Self, LedgerError> {
        Ok(match storage {
            Storage::Sqlite(path) => Self::Sqlite(sqlite::Location::File(path.clone())),
            Storage::Memory => Self::Sqlite(sqlite::Location::memory()),
            Storage::Postgres(url) => Self::Postgres(postgres::Server::parse(url)?),
        })
    }
}

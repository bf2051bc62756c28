//! Scores that clients reported of their requests: one a request, the newest. A connection of its own, blocking. It
//! learns nothing and knows no limits of rate.

use super::error::LedgerError;
use super::lesson::Keep;
use super::place::Place;
use super::{Reader, StoredRequest, postgres, sqlite};
use waypost_core::units::RequestId;

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackRow {
    /// The request.
    pub request: RequestId,
    /// When it came, milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Who said so: the request's own key.
    pub key: Option<String>,
    /// Route of the request.
    pub route: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Task of the request.
    pub task: String,
    /// 0 to 1.
    pub score: f32,
    /// What was predicted of the answer.
    pub predicted: Option<f32>,
}

/// Reads and writes scores.
#[derive(Debug)]
pub(crate) struct FeedbackStore {
    reader: Reader,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Sqlite(sqlite::Feedback),
    Postgres(Box<postgres::Feedback>),
}

impl FeedbackStore {
    /// Opens a storage that the ledger has opened before.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub(crate) fn open(place: &Place) -> Result<Self, LedgerError> {
        let backend = match place {
            Place::Sqlite(location) => Backend::Sqlite(sqlite::Feedback::open(location)?),
            Place::Postgres(server) => Backend::Postgres(Box::new(postgres::Feedback::open(server)?)),
        };
        Ok(Self { reader: Reader::at(place)?, backend })
    }

    /// A request by its id, where the ledger has it at the time that the id names; never a search of the whole ledger.
    ///
    /// # Errors
    /// The database refused.
    pub(crate) fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        self.reader.request_at_its_time(id)
    }

    /// Writes a score in the place of an earlier one of the same request; gives the row as it is stored, with what was
    /// predicted, and whether there was an earlier one.
    ///
    /// # Errors
    /// The database refused: it is not known whether the score was written.
    pub(crate) fn put(&mut self, row: FeedbackRow) -> Result<(FeedbackRow, bool), LedgerError> {
        let (predicted, replaced) = match &mut self.backend {
            Backend::Sqlite(db) => db.put(&row)?,
            Backend::Postgres(db) => db.put(&row)?,
        };
        Ok((FeedbackRow { predicted, ..row }, replaced))
    }

    /// The number of the newest score; 0 for none.
    ///
    /// # Errors
    /// The database refused.
    pub(crate) fn newest(&mut self) -> Result<i64, LedgerError> {
        match &mut self.backend {
            Backend::Sqlite(db) => db.newest(),
            Backend::Postgres(db) => db.newest(),
        }
    }

    /// The scores after a number, oldest first.
    ///
    /// # Errors
    /// The database refused.
    pub(crate) fn after(&mut self, seq: i64) -> Result<Vec<FeedbackRow>, LedgerError> {
        match &mut self.backend {
            Backend::Sqlite(db) => db.after(seq),
            Backend::Postgres(db) => db.after(seq),
        }
    }

    /// Deletes scores and lessons that are too old or too many; of the former some at a time.
    ///
    /// # Errors
    /// The database refused.
    pub(crate) fn forget(&mut self, keep: Keep, now_ms: i64) -> Result<(), LedgerError> {
        let (since, rows) = (keep.since(now_ms), keep.stored_rows());
        match &mut self.backend {
            Backend::Sqlite(db) => db.forget(since, rows),
            Backend::Postgres(db) => db.forget(since, rows),
        }
    }
}

/// Oldest rows that are looked at for their age at a time.
pub(super) const LOOKED_AT: i64 = 256;

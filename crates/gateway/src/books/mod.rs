//! Where books are kept: values with a version, swapped whole. The stores do no arithmetic; that is the core's
//! (`gate::Book`).

use waypost_core::gate::Book;

/// A book as a store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Rises with every swap; 0: there is no such book.
    pub version: u64,
    /// The book itself; empty where there is none.
    pub book: Book,
}

/// One book to be put in the place of another.
#[derive(Clone, Debug)]
pub struct Change {
    /// The book's name.
    pub id: String,
    /// The version that it replaces; 0: there is none yet.
    pub expected: u64,
    /// What is to stand there.
    pub book: Book,
    /// When it may be forgotten, milliseconds since the Unix epoch.
    pub keep_until_ms: i64,
}

/// What became of one [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It stands, with this version.
    Done(u64),
    /// Another process was quicker: this is what stands there.
    Changed(Stored),
}

/// Why a store could not be asked: it is away, slow, or answers nonsense. For the log and the operator; it names no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreAway(pub String);

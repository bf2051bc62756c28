//! Where books are kept: values with a version, swapped whole. The stores do no arithmetic; that is the core's
//! (`gate::Book`). Whatever a store does wrong is an error here, never an empty book: that would forget what was spent.

mod memory;
mod postgres;
mod redis;
mod sqlite;
#[cfg(test)]
mod tests;

pub use self::memory::Memory;
pub use self::postgres::Postgres;
pub use self::redis::Redis;
pub use self::sqlite::Sqlite;

use crate::store::LedgerError;
use crate::store::place::Place;
use std::time::Duration;
use waypost_core::config::Storage;
use waypost_core::gate::Book;

/// How long one call may take, connecting included.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// A listing may take so many times longer, and gives at most so many books.
const LISTING: (u32, usize) = (5, 10_000);
/// Stores' clocks before 2020 or after 2200 are wrong; milliseconds since the Unix epoch.
const CLOCK_MS: std::ops::RangeInclusive<i64> = 1_577_836_800_000..=7_258_118_400_000;
/// What all stores count exactly: Redis counts in floating point.
const MAX_VERSION: u64 = 1 << 53;

/// A book as a store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Rises with every swap; 0: there is no such book. No two states of a book that anybody has seen share one, even
    /// where the store has lost its data meanwhile: it is at least the store's clock in microseconds.
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
    /// When it may be forgotten, milliseconds since the Unix epoch by the store's clock. From then on it is not there.
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

/// Why the configuration names no store.
#[derive(Debug, thiserror::Error)]
pub enum NoStore {
    /// `storage` cannot be used.
    #[error(transparent)]
    Storage(#[from] LedgerError),
    /// The URL in `leases` cannot be read; it is not shown, for its password.
    #[error("leases: {0}")]
    Leases(String),
}

/// A store of books. Connections are opened when they are first needed, and again after every failure; each handle has
/// one of its own.
#[derive(Debug)]
pub enum Books {
    /// In this process.
    Memory(Memory),
    /// Beside the ledger in its file; several processes may share it.
    Sqlite(Sqlite),
    /// Beside the ledger in its database.
    Postgres(Postgres),
    /// At a Redis server, away from the ledger.
    Redis(Redis),
}

/// Runs the same expression on whichever store it is.
macro_rules! each {
    ($books:expr, $store:ident => $call:expr) => {
        match $books {
            Books::Memory($store) => $call,
            Books::Sqlite($store) => $call,
            Books::Postgres($store) => $call,
            Books::Redis($store) => $call,
        }
    };
}

impl Books {
    /// The store at the Redis URL `leases`, else in `storage`; each call on memory makes a new one. Nothing is asked yet.
    /// The tables in `storage` are made by whoever opens the ledger.
    ///
    /// # Errors
    /// A URL that cannot be read.
    pub fn open(storage: &Storage, leases: Option<&str>) -> Result<Self, NoStore> {
        Self::open_with(storage, leases, TIMEOUT)
    }

    /// As [`Books::open`], with the time that one call may take.
    ///
    /// # Errors
    /// As [`Books::open`].
    pub fn open_with(storage: &Storage, leases: Option<&str>, timeout: Duration) -> Result<Self, NoStore> {
        if let Some(url) = leases {
            return Ok(Self::Redis(Redis::parse(url, timeout).map_err(NoStore::Leases)?));
        }
        if matches!(storage, Storage::Memory) {
            return Ok(Self::Memory(Memory::default()));
        }
        Ok(match Place::of(storage)? {
            Place::Sqlite(location) => Self::Sqlite(Sqlite::new(location, timeout)),
            Place::Postgres(server) => Self::Postgres(Postgres::new(server, timeout)),
        })
    }

    /// Another handle to the same store, with a connection of its own.
    pub fn another(&self) -> Self {
        match self {
            Self::Memory(store) => Self::Memory(store.clone()),
            Self::Sqlite(store) => Self::Sqlite(store.another()),
            Self::Postgres(store) => Self::Postgres(store.another()),
            Self::Redis(store) => Self::Redis(store.another()),
        }
    }

    /// Which store, for messages; without credentials.
    pub fn name(&self) -> &str {
        each!(self, store => store.name())
    }

    /// The books of that name, in their order, and the store's clock in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// See [`StoreAway`].
    pub async fn read(&mut self, ids: &[String]) -> Result<(Vec<Stored>, i64), StoreAway> {
        let (stored, now_ms) = each!(self, store => store.read(ids).await)?;
        self.checked(stored, ids.len(), now_ms)
    }

    /// Makes the changes in their order, each for itself: one that comes too late does not hinder the others. An error may
    /// have changed all, some or none of them.
    ///
    /// # Errors
    /// See [`StoreAway`].
    pub async fn swap(&mut self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let (swapped, now_ms) = each!(self, store => store.swap(changes).await)?;
        self.checked(swapped, changes.len(), now_ms)
    }

    /// The books whose names begin so, in the order of their names, at most 10,000.
    ///
    /// # Errors
    /// See [`StoreAway`].
    pub async fn list(&mut self, prefix: &str) -> Result<(Vec<(String, Stored)>, i64), StoreAway> {
        let (listed, now_ms) = each!(self, store => store.list(prefix).await)?;
        let count = listed.len();
        self.checked(listed, count, now_ms)
    }

    fn checked<T>(&self, answers: Vec<T>, asked: usize, now_ms: i64) -> Result<(Vec<T>, i64), StoreAway> {
        if answers.len() != asked {
            let what = format!("{asked} books were asked for and {} came", answers.len());
            return Err(away(self.name(), what));
        }
        if !CLOCK_MS.contains(&now_ms) {
            return Err(away(self.name(), format!("its clock is wrong: {now_ms} ms since 1970")));
        }
        Ok((answers, now_ms))
    }
}

fn away(store: &str, what: impl std::fmt::Display) -> StoreAway {
    StoreAway(format!("{store}: {what}"))
}

/// What `operation` gives, or an error after `limit`.
async fn within<T>(
    store: &str,
    limit: Duration,
    operation: impl Future<Output = Result<T, StoreAway>>,
) -> Result<T, StoreAway> {
    let silent = |_| away(store, format!("no answer within {} s", limit.as_secs_f64()));
    tokio::time::timeout(limit, operation).await.map_err(silent)?
}

/// A book as a store gave it.
fn parse(store: &str, id: &str, version: i64, body: &[u8]) -> Result<Stored, StoreAway> {
    let wrong = |what: String| away(store, format!("the book `{}` cannot be read: {what}", id.escape_debug()));
    let Ok(version @ 1..=MAX_VERSION) = u64::try_from(version) else {
        return Err(wrong(format!("its version is {version}")));
    };
    // Any list or object of other things could be read as an empty book; ours always has accounts.
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))?;
    if value.get("accounts").is_none() {
        return Err(wrong("it has no accounts".to_owned()));
    }
    let book = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
    Ok(Stored { version, book })
}

/// A book as a store takes it.
fn body_of(store: &str, change: &Change) -> Result<String, StoreAway> {
    serde_json::to_string(&change.book)
        .map_err(|e| away(store, format!("the book `{}` cannot be written: {e}", change.id.escape_debug())))
}

/// The version after `current`: see [`Stored::version`].
fn next_version(current: u64, now_ms: i64) -> u64 {
    (current + 1).max(u64::try_from(now_ms).unwrap_or(0).saturating_mul(1000))
}

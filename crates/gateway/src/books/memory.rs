//! Books in this process, for storage that ends with it.

use super::{Change, LISTING, StoreAway, Stored, Swapped, next_version};
use crate::clock::unix_ms;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Books in memory, shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    books: BTreeMap<String, Kept>,
    /// The last version given to any of them.
    last: u64,
}

#[derive(Debug)]
struct Kept {
    stored: Stored,
    until_ms: i64,
}

#[expect(clippy::unused_async, reason = "the stores read alike; this one never waits")]
impl Memory {
    pub(super) fn name(&self) -> &str {
        "the budgets in memory"
    }

    pub(super) async fn read(&self, ids: &[String]) -> Result<(Vec<Stored>, i64), StoreAway> {
        let now_ms = unix_ms();
        let shelf = self.current(now_ms);
        let stored = |id| shelf.books.get(id).map_or_else(Stored::default, |kept| kept.stored.clone());
        Ok((ids.iter().map(stored).collect(), now_ms))
    }

    pub(super) async fn swap(&self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let now_ms = unix_ms();
        let Shelf { books, last } = &mut *self.current(now_ms);
        let swap = |change: &Change| {
            let present = books.get(&change.id).map_or_else(Stored::default, |kept| kept.stored.clone());
            if present.version != change.expected {
                return Swapped::Changed(present);
            }
            *last = next_version(*last, now_ms);
            let stored = Stored { version: *last, book: change.book.clone() };
            books.insert(change.id.clone(), Kept { stored, until_ms: change.keep_until_ms });
            Swapped::Done(*last)
        };
        Ok((changes.iter().map(swap).collect(), now_ms))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<(Vec<(String, Stored)>, i64), StoreAway> {
        let now_ms = unix_ms();
        let shelf = self.current(now_ms);
        let named = shelf.books.range(prefix.to_owned()..).take_while(|(id, _)| id.starts_with(prefix)).take(LISTING.1);
        Ok((named.map(|(id, kept)| (id.clone(), kept.stored.clone())).collect(), now_ms))
    }

    /// With the books that are still kept.
    fn current(&self, now_ms: i64) -> MutexGuard<'_, Shelf> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.books.retain(|_, kept| kept.until_ms > now_ms);
        shelf
    }
}

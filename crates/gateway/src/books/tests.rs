//! The stores, one like the other: each check runs on every one of them, on real servers.

mod faults;
mod odd_values;
mod world;

use super::*;
use crate::clock::unix_ms;
use crate::store::{postgres, sqlite::Location};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use waypost_core::gate::Kind;
use waypost_core::units::Secret;

const DAY_MS: i64 = 86_400_000;
/// For what is expected to answer.
const PATIENT: Duration = Duration::from_secs(30);

/// A new, empty store, and what it runs on.
struct Store {
    books: Books,
    place: Place,
}

enum Place {
    Memory,
    File(tempfile::TempDir),
    Postgres(waypost_servers::Database),
    Redis(waypost_servers::Redis),
}

impl Store {
    fn memory() -> Self {
        Self { books: Books::open(&Storage::Memory, None).unwrap(), place: Place::Memory }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budgets.db");
        // As the ledger does.
        drop(Location::File(path.clone()).open_writer().unwrap());
        let storage = Storage::Sqlite(path);
        Self { books: Books::open_with(&storage, None, PATIENT).unwrap(), place: Place::File(folder) }
    }

    async fn postgres() -> Self {
        let database = waypost_servers::postgres();
        let books = on_postgres(database.url(), PATIENT).await;
        Self { books, place: Place::Postgres(database) }
    }

    fn redis() -> Self {
        let server = waypost_servers::redis();
        let books = Books::open_with(&Storage::Memory, Some(&server.url()), PATIENT).unwrap();
        Self { books, place: Place::Redis(server) }
    }

    fn file(&self) -> PathBuf {
        let Place::File(folder) = &self.place else { unreachable!("of SQLite only") };
        folder.path().join("budgets.db")
    }
}

/// Makes the tables, as the ledger does.
async fn on_postgres(url: &str, timeout: Duration) -> Books {
    drop(postgres::open(&postgres::Server::parse(&Secret::new(url)).unwrap()).await.unwrap());
    Books::open_with(&Storage::Postgres(Secret::new(url)), None, timeout).unwrap()
}

macro_rules! on_every_store {
    ($($check:ident)*) => {
        mod memory { $(#[tokio::test] async fn $check() { super::$check(super::Store::memory()).await; })* }
        mod sqlite { $(#[tokio::test] async fn $check() { super::$check(super::Store::sqlite()).await; })* }
        mod postgresql { $(#[tokio::test] async fn $check() { super::$check(super::Store::postgres().await).await; })* }
        mod redis_server { $(#[tokio::test] async fn $check() { super::$check(super::Store::redis()).await; })* }
    };
}
use on_every_store;

on_every_store! {
    what_is_swapped_in_is_read
    a_swap_that_comes_too_late_changes_nothing
    races_lose_nothing
    new_books_are_made_once
    names_that_come_twice_are_taken_in_their_order
    names_are_only_names
    listings_end
    old_books_are_forgotten
}

fn change(id: &str, expected: u64, spent: u64) -> Change {
    Change { id: id.to_owned(), expected, book: Book::opened(1, spent), keep_until_ms: unix_ms() + DAY_MS }
}

fn spent(book: &Book) -> u64 {
    book.standing(Kind::Budget, u64::MAX, unix_ms()).spent
}

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn done(swapped: &[Swapped]) -> Vec<bool> {
    swapped.iter().map(|s| matches!(s, Swapped::Done(_))).collect()
}

async fn read(books: &mut Books, id: &str) -> Stored {
    books.read(&names(&[id])).await.unwrap().0.remove(0)
}

async fn swap(books: &mut Books, change: Change) -> Swapped {
    books.swap(&[change]).await.unwrap().0.remove(0)
}

async fn what_is_swapped_in_is_read(mut store: Store) {
    let before = unix_ms();
    let (stored, now_ms) = store.books.read(&names(&["a", "b"])).await.unwrap();
    assert_eq!(stored, [Stored::default(), Stored::default()]);
    assert!((before..=unix_ms() + 1).contains(&now_ms), "{now_ms} is not now, {before}");
    assert_eq!(store.books.read(&[]).await.unwrap().0, []);
    assert_eq!(store.books.swap(&[]).await.unwrap().0, []);
    assert_eq!(store.books.list("").await.unwrap().0, []);

    let (swapped, _) = store.books.swap(&[change("a", 0, 7), change("c", 0, u64::MAX)]).await.unwrap();
    assert_eq!(done(&swapped), [true, true]);
    let (stored, _) = store.books.another().read(&names(&["c", "b", "a", "c"])).await.unwrap();
    let found: Vec<(bool, u64)> = stored.iter().map(|s| (s.version > 0, spent(&s.book))).collect();
    assert_eq!(found, [(true, u64::MAX), (false, 0), (true, 7), (true, u64::MAX)]);
    assert_eq!(Swapped::Done(stored[2].version), swapped[0]);

    let Swapped::Done(next) = swap(&mut store.books, change("a", stored[2].version, 8)).await else { unreachable!() };
    assert!(next > stored[2].version);
    assert_eq!(read(&mut store.books, "a").await, Stored { version: next, book: Book::opened(1, 8) });
}

async fn a_swap_that_comes_too_late_changes_nothing(mut store: Store) {
    let Swapped::Done(first) = swap(&mut store.books, change("a", 0, 1)).await else { unreachable!() };
    let there = Stored { version: first, book: Book::opened(1, 1) };
    for late in [0, 1, first - 1, first + 1, u64::MAX] {
        let changes = [change("new", 0, 5), change("a", late, 99), change("no", 3, 99)];
        let (swapped, _) = store.books.swap(&changes).await.unwrap();
        assert_eq!(swapped[1..], [Swapped::Changed(there.clone()), Swapped::Changed(Stored::default())], "{late}");
    }
    assert_eq!(read(&mut store.books, "a").await, there);
    assert_eq!(read(&mut store.books, "no").await, Stored::default());
    assert_eq!(spent(&read(&mut store.books, "new").await.book), 5);
}

/// Many connections count in several books at once, in changing orders.
async fn races_lose_nothing(mut store: Store) {
    const TASKS: usize = 8;
    const EACH: u64 = 25;
    let ids = names(&["a", "b", "c"]);
    let counting = (0..TASKS).map(|task| {
        let (mut books, mut ids) = (store.books.another(), ids.clone());
        tokio::spawn(async move {
            ids.rotate_left(task % 3);
            if task % 2 == 0 {
                ids.reverse();
            }
            let mut left = [EACH; 3];
            let mut versions = Vec::new();
            while left != [0; 3] {
                let (stored, _) = books.read(&ids).await.unwrap();
                let more: Vec<usize> = (0..3).filter(|at| left[*at] > 0).collect();
                let next = |at: &usize| change(&ids[*at], stored[*at].version, spent(&stored[*at].book) + 1);
                let changes: Vec<Change> = more.iter().map(next).collect();
                for (at, swapped) in more.into_iter().zip(books.swap(&changes).await.unwrap().0) {
                    match swapped {
                        Swapped::Done(version) => {
                            assert!(version > stored[at].version);
                            left[at] -= 1;
                            versions.push((ids[at].clone(), version));
                        }
                        Swapped::Changed(now) => assert!(now.version > stored[at].version),
                    }
                }
            }
            versions
        })
    });
    let counting: Vec<_> = counting.collect();
    let mut versions = BTreeSet::new();
    for task in counting {
        versions.extend(task.await.unwrap());
    }
    assert_eq!(versions.len() as u64, 3 * TASKS as u64 * EACH, "two swaps gave one version");
    for id in &ids {
        assert_eq!(spent(&read(&mut store.books, id).await.book), TASKS as u64 * EACH);
    }
}

async fn new_books_are_made_once(store: Store) {
    const ROUNDS: u64 = 20;
    let together = Arc::new(tokio::sync::Barrier::new(6));
    let making = (1..=6).map(|by: u64| {
        let (mut books, together) = (store.books.another(), together.clone());
        tokio::spawn(async move {
            let mut results = Vec::new();
            for round in 0..ROUNDS {
                let mut ids: Vec<String> = (0..4).map(|n| format!("{round}/{n}")).collect();
                ids.rotate_left(by as usize % 4);
                let changes: Vec<_> = ids.iter().map(|id| change(id, 0, by)).collect();
                together.wait().await;
                let (swapped, _) = books.swap(&changes).await.unwrap();
                results.extend(ids.into_iter().zip(swapped).map(|(id, swapped)| (id, by, swapped)));
            }
            results
        })
    });
    let making: Vec<_> = making.collect();
    let mut by_book: BTreeMap<String, Vec<(u64, Swapped)>> = BTreeMap::new();
    for task in making {
        for (id, by, swapped) in task.await.unwrap() {
            by_book.entry(id).or_default().push((by, swapped));
        }
    }
    assert_eq!(by_book.len() as u64, 4 * ROUNDS);
    for (id, results) in by_book {
        let is_made = |(by, swapped): &(u64, Swapped)| matches!(swapped, Swapped::Done(_)).then_some(*by);
        let made: Vec<u64> = results.iter().filter_map(is_made).collect();
        assert_eq!(made.len(), 1, "{id} was made by {made:?}");
        for (_, swapped) in results {
            if let Swapped::Changed(stored) = swapped {
                assert_eq!(spent(&stored.book), made[0], "what is there is told");
            }
        }
    }
}

async fn names_that_come_twice_are_taken_in_their_order(mut store: Store) {
    let (swapped, _) = store.books.swap(&[change("a", 0, 1), change("b", 0, 2), change("a", 0, 3)]).await.unwrap();
    assert_eq!(done(&swapped), [true, true, false]);
    let Swapped::Done(first) = swapped[0] else { unreachable!() };
    assert_eq!(swapped[2], Swapped::Changed(Stored { version: first, book: Book::opened(1, 1) }));

    let changes = [change("a", first + 9, 4), change("a", first, 5), change("a", first, 6), change("b", 0, 7)];
    let (swapped, _) = store.books.swap(&changes).await.unwrap();
    assert_eq!(done(&swapped), [false, true, false, false]);
    assert_eq!(spent(&read(&mut store.books, "a").await.book), 5);
}

async fn names_are_only_names(mut store: Store) {
    let odd = [
        "",
        " ",
        "a",
        "a'b",
        "a\"b",
        "a%b",
        "a_b",
        "aXb",
        "a*b",
        "a?b",
        "a[X]b",
        "a\\b",
        "a\\",
        "a\nb",
        "a\r\nb",
        "a^b",
        "a-b",
        "añb",
        "an\u{303}b",
        "a😀b",
        "A",
        "'; DROP TABLE budget_books; --",
        "$1",
        "?1",
        "{a}",
        "a:b/c d",
    ];
    let changes: Vec<_> = odd.iter().enumerate().map(|(n, id)| change(id, 0, n as u64)).collect();
    let (swapped, _) = store.books.swap(&changes).await.unwrap();
    assert_eq!(done(&swapped), vec![true; odd.len()]);
    let (stored, _) = store.books.read(&names(&odd)).await.unwrap();
    let found: Vec<u64> = stored.iter().map(|s| spent(&s.book)).collect();
    assert_eq!(found, (0..odd.len() as u64).collect::<Vec<_>>());
    for prefix in odd.iter().chain(&["a[", "%", "*", "[a-z]", "x", "😀"]) {
        let (listed, _) = store.books.list(prefix).await.unwrap();
        let found: Vec<_> = listed.iter().map(|(id, stored)| (id.as_str(), spent(&stored.book))).collect();
        let mut expected: Vec<_> = odd.iter().copied().zip(0..).filter(|(id, _)| id.starts_with(prefix)).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{prefix:?}");
    }
}

async fn listings_end(mut store: Store) {
    let changes: Vec<_> = (0..10_050).map(|n| change(&format!("n{n:05}"), 0, n)).collect();
    store.books.swap(&changes).await.unwrap();
    let (listed, _) = store.books.list("n").await.unwrap();
    assert_eq!(listed.len(), 10_000);
    assert!(listed.is_sorted_by(|(a, _), (b, _)| a < b));
    assert_eq!(store.books.list("n0001").await.unwrap().0.len(), 10);
}

async fn old_books_are_forgotten(mut store: Store) {
    let until = |keep_until_ms, change| Change { keep_until_ms, ..change };
    let hour = 3_600_000;
    let Swapped::Done(kept) = swap(&mut store.books, until(unix_ms() + hour, change("kept", 0, 1))).await else {
        unreachable!()
    };
    for long_ago in [unix_ms() - 1, 0, -1, i64::MIN] {
        assert!(matches!(swap(&mut store.books, until(long_ago, change("old", 0, 2))).await, Swapped::Done(_)));
        assert_eq!(read(&mut store.books, "old").await, Stored::default(), "{long_ago}");
        assert_eq!(store.books.list("").await.unwrap().0.len(), 1);
    }
    // A new book of that name has no version that the old one had.
    let Swapped::Done(once) = swap(&mut store.books, change("old", 0, 3)).await else { unreachable!() };
    let gone = swap(&mut store.books, until(unix_ms() - 1, change("old", once, 4))).await;
    assert!(matches!(gone, Swapped::Done(_)));
    let late = swap(&mut store.books, change("old", once, 5)).await;
    assert_eq!(late, Swapped::Changed(Stored::default()));
    let Swapped::Done(again) = swap(&mut store.books, change("old", 0, 6)).await else { unreachable!() };
    assert!(again > once);
    // For ever is allowed, and so is to change one's mind.
    assert!(matches!(swap(&mut store.books, until(i64::MAX, change("kept", kept, 7))).await, Swapped::Done(_)));
    assert_eq!(spent(&read(&mut store.books, "kept").await.book), 7);

    // A process that begins deletes what nobody needs.
    let sweep = until(0, change("gone", 0, 8));
    assert!(matches!(swap(&mut store.books, sweep).await, Swapped::Done(_)));
    assert!(matches!(swap(&mut store.books.another(), change("one more", 0, 9)).await, Swapped::Done(_)));
    let count = "SELECT count(*) FROM budget_books";
    let left = match &store.place {
        Place::Memory => 3,
        Place::File(_) => {
            rusqlite::Connection::open(store.file()).unwrap().query_row(count, [], |row| row.get(0)).unwrap()
        }
        Place::Postgres(database) => database.psql(count).parse().unwrap(),
        Place::Redis(server) => {
            let client = ::redis::Client::open(server.url()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            ::redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap()
        }
    };
    assert_eq!(left, 3);
}

//! The core's arithmetic over real stores: several holders spend one budget at random.

use super::*;
use waypost_core::gate::{Ask, Terms};
use waypost_core::units::Rng;

on_every_store! { nothing_is_overspent_and_all_can_be_spent }

const LIMIT: u64 = 5_000;
const ROUNDS: usize = 40;

/// What one process has of the budget.
struct Holder {
    name: String,
    books: Books,
    rng: Rng,
    settled: u64,
    /// What `settled` may reach.
    ceiling: u64,
}

impl Holder {
    /// One exchange, repeated until nobody was quicker.
    async fn exchange(&mut self, need: u64, idle: bool) {
        let keep = if idle { 0 } else { self.ceiling - self.settled };
        let ask = Ask { settled: self.settled, keep, need, idle, ..Ask::default() };
        let terms = Terms { kind: Kind::Budget, limit: LIMIT, ttl_ms: 3_600_000, thresholds: &[5_000] };
        let (mut stored, now_ms) = self.books.read(&names(&["budget"])).await.unwrap();
        let mut present = stored.remove(0);
        loop {
            let mut book = present.book;
            let grant = book.exchange(&terms, now_ms, &self.name, &ask);
            let standing = book.standing(Kind::Budget, LIMIT, now_ms);
            assert_eq!(standing.spent + standing.leased + standing.reserved + standing.free, LIMIT);
            let change =
                Change { id: "budget".into(), expected: present.version, book, keep_until_ms: now_ms + DAY_MS };
            match swap(&mut self.books, change).await {
                Swapped::Done(_) => {
                    self.ceiling = self.settled + grant.leased;
                    return;
                }
                Swapped::Changed(now) => present = now,
            }
        }
    }

    async fn spend(mut self) -> u64 {
        for _ in 0..ROUNDS {
            let need = self.rng.below(60) as u64;
            let idle = self.rng.below(8) == 0;
            self.exchange(need, idle).await;
            self.settled += self.rng.below((self.ceiling - self.settled + 1) as usize) as u64;
        }
        self.exchange(0, true).await;
        self.settled
    }
}

async fn nothing_is_overspent_and_all_can_be_spent(mut store: Store) {
    let origin = store.books.another();
    let holder = |n: u64| Holder {
        name: format!("holder {n}"),
        books: origin.another(),
        rng: Rng::new(n),
        settled: 0,
        ceiling: 0,
    };
    let spending: Vec<_> = (0..4).map(|n| tokio::spawn(holder(n).spend())).collect();
    let mut total = 0;
    for task in spending {
        total += task.await.unwrap();
    }
    let stored = read(&mut store.books, "budget").await;
    let standing = stored.book.standing(Kind::Budget, LIMIT, unix_ms());
    assert_eq!((standing.spent, standing.leased, standing.free), (total, 0, LIMIT - total));
    assert!((LIMIT / 4..=LIMIT).contains(&total), "{total}");

    let mut last = holder(9);
    while last.settled + total < LIMIT {
        last.exchange(100, false).await;
        assert!(last.ceiling > last.settled, "what is free is not given");
        last.settled = last.ceiling;
    }
    last.exchange(100, false).await;
    assert_eq!((last.ceiling, last.settled + total), (last.settled, LIMIT));
}

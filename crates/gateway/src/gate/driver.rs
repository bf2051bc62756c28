//! The thread that exchanges slices with the store of books: when a request waits, when a slice runs low, and on a tick.
//! Nobody waits for it while its slice lasts. The arithmetic is `Book::exchange`'s, in the core.

use super::{Cell, Gate, Round, lock};
use crate::books::{Books, Change, StoreAway, Stored, Swapped};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use waypost_core::gate::{Book, Due, Kind, Quota, ScopeId};
use waypost_core::units::{Instant, Rng};

/// What was spent of a scope's budget before its book was opened: scope, quota, the period's first millisecond. It reads the
/// ledger and may block.
pub type History = Arc<dyn Fn(&ScopeId, Quota, i64) -> Result<u64, String> + Send + Sync>;

/// How often the scopes are looked through; more often where leases are so short that they would end between.
const TICK: Duration = Duration::from_secs(1);
/// Pause after a failed exchange.
const PAUSE: Duration = Duration::from_millis(100);
/// How often one exchange is tried anew because other processes were quicker.
const MOST_RACES: usize = 64;
/// How long a calendar book is kept after its window turned.
const KEEP_MS: i64 = 2 * 86_400_000;
/// Books remembered beside the store.
const MOST_SEEN: usize = 100_000;

/// The running thread.
#[derive(Debug)]
pub struct Driver {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts the thread. `holder` names this run of this process among all that ever lease; `seed` is random.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(gate: Arc<Gate>, books: Books, history: History, holder: String, seed: u64) -> std::io::Result<Self> {
        let exchange = Exchange {
            gate: gate.clone(),
            books,
            history,
            holder,
            seen: HashMap::new(),
            rng: Rng::new(seed),
            away_since: None,
        };
        let ends = Ends(gate.clone());
        let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            let _ends = ends;
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = built.expect("a runtime needs only an epoll instance, which this process has");
            runtime.block_on(exchange.run());
            // A call that hangs in the store is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { gate, thread: Some(thread) })
    }

    /// Gives back what is leased and ends the thread. Blocks for as long as the store takes, two seconds at most.
    pub fn close(&mut self) {
        self.gate.closing.store(true, Ordering::Release);
        self.gate.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the gate's thread had panicked");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells who waits that nobody exchanges any more, however the thread ended: better refused than waiting in vain.
struct Ends(Arc<Gate>);

impl Drop for Ends {
    fn drop(&mut self) {
        let why = Arc::from("the thread that asks it has ended");
        let away = Some((Instant(u64::MAX), why));
        self.0.rounds.send_modify(|round| *round = Round { number: round.number + 1, away });
    }
}

struct Exchange {
    gate: Arc<Gate>,
    books: Books,
    history: History,
    holder: String,
    /// Every book as it was last seen.
    seen: HashMap<String, Stored>,
    rng: Rng,
    /// When the store was first found away.
    away_since: Option<Instant>,
}

/// One exchange on its way.
struct Pending {
    cell: Arc<Cell>,
    due: Due,
    id: String,
    thresholds: Vec<u16>,
}

impl Exchange {
    async fn run(mut self) {
        self.greet().await;
        let mut tick = tokio::time::Instant::now();
        loop {
            let ticked = tokio::select! {
                () = tokio::time::sleep_until(tick) => true,
                () = self.gate.wake.notified() => false,
            };
            if ticked {
                tick = tokio::time::Instant::now() + TICK.min(self.gate.view().lease_ttl / 4);
            }
            let closing = self.gate.closing.load(Ordering::Acquire);
            let wanting = std::mem::take(&mut *lock(&self.gate.wanting));
            wanting.iter().for_each(|cell| cell.queued.store(false, Ordering::Release));
            let cells = if ticked || closing { self.gate.cells() } else { wanting };
            if closing {
                // Best effort: what is not given back expires and is charged.
                let last = self.round(&cells, true, true);
                let _ = tokio::time::timeout(Duration::from_secs(2), last).await;
                return;
            }
            if ticked {
                self.gate.charge_forgotten();
                self.gate.observe_paces();
                self.gate.forget_idle();
                self.forget();
            }
            if !self.round(&cells, ticked, false).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// A store that is not there at the start is said at once, not with the first request that is refused for it.
    async fn greet(&mut self) {
        let began = self.gate.clock.instant();
        if self.gate.cells().is_empty() {
            return;
        }
        if let Err(away) = self.books.read(&["global".to_owned()]).await {
            self.is_away(began, &away);
        }
    }

    fn is_away(&mut self, began: Instant, away: &StoreAway) {
        if self.away_since.is_none() {
            tracing::error!("the store of budgets is away: {away}");
            self.away_since = Some(began);
        }
    }

    /// Exchanges everything that is due in these scopes; false: the store is away.
    async fn round(&mut self, cells: &[Arc<Cell>], ticked: bool, closing: bool) -> bool {
        let began = self.gate.clock.instant();
        let pending = self.due(cells, ticked, closing);
        if pending.is_empty() {
            return true;
        }
        let away = match self.exchange(&pending).await {
            Ok(()) => {
                if self.away_since.take().is_some() {
                    tracing::info!("the store of budgets answers again");
                }
                None
            }
            Err(away) => {
                for p in &pending {
                    p.cell.lock().failed(&p.due.part);
                }
                self.is_away(began, &away);
                Some((began, Arc::from(away.0)))
            }
        };
        let answers = away.is_none();
        self.gate.rounds.send_modify(|round| *round = Round { number: round.number + 1, away });
        answers
    }

    fn due(&self, cells: &[Arc<Cell>], ticked: bool, closing: bool) -> Vec<Pending> {
        let now = self.gate.now();
        let mut pending = Vec::new();
        for cell in cells {
            let mut scope = cell.lock();
            scope.turn(now.unix_ms);
            if closing {
                scope.close();
            }
            for due in scope.due(now.instant, now.unix_ms, ticked) {
                let (id, thresholds) = (due.part.book_id(&cell.id), scope.limits().thresholds().to_vec());
                pending.push(Pending { cell: cell.clone(), due, id, thresholds });
            }
        }
        pending
    }

    async fn exchange(&mut self, pending: &[Pending]) -> Result<(), StoreAway> {
        let mut open: Vec<&Pending> = pending.iter().collect();
        let unknown: Vec<String> =
            open.iter().filter(|p| !self.seen.contains_key(&p.id)).map(|p| p.id.clone()).collect();
        if !unknown.is_empty() {
            let asked = self.gate.clock.instant();
            let (found, store_ms) = self.books.read(&unknown).await?;
            self.gate.store_told(asked, store_ms);
            for (id, stored) in unknown.into_iter().zip(found) {
                self.seen.insert(id, stored);
            }
        }
        for _ in 0..MOST_RACES {
            for p in &open {
                self.open_book(p).await?;
            }
            open = self.swap(open).await?;
            if open.is_empty() {
                return Ok(());
            }
        }
        Err(StoreAway(format!("{} books change faster than they can be written", open.len())))
    }

    /// A book that is not there yet begins with what the ledger says was spent already.
    async fn open_book(&mut self, p: &Pending) -> Result<(), StoreAway> {
        let stored = self.seen.entry(p.id.clone()).or_insert(Stored { version: 0, book: Book::default() });
        if stored.version > 0 || stored.book.epoch() != 0 {
            return Ok(());
        }
        let mut base = 0;
        if let (Kind::Budget, Some(period)) = (p.due.part.quota.kind(), p.due.part.period) {
            let (history, scope, quota) = (self.history.clone(), p.cell.id.clone(), p.due.part.quota);
            let read = tokio::task::spawn_blocking(move || history(&scope, quota, period.start_ms)).await;
            let read = read.map_err(|e| e.to_string()).and_then(|read| read);
            base = read.map_err(|e| StoreAway(format!("what was spent before cannot be read: {e}")))?;
        }
        stored.book = Book::opened(self.rng.next_u64() | 1, base);
        Ok(())
    }

    /// One attempt at all of them; what others were quicker with comes back.
    async fn swap<'p>(&mut self, open: Vec<&'p Pending>) -> Result<Vec<&'p Pending>, StoreAway> {
        let (now, ttl) = (self.gate.now(), self.gate.view().lease_ttl);
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let mut changes = Vec::with_capacity(open.len());
        let mut grants = Vec::with_capacity(open.len());
        for p in &open {
            let stored = &self.seen[&p.id];
            let mut book = stored.book.clone();
            let terms = waypost_core::gate::Terms {
                kind: p.due.part.quota.kind(),
                limit: p.due.limit,
                ttl_ms,
                thresholds: &p.thresholds,
            };
            grants.push(book.exchange(&terms, now.unix_ms, &self.holder, &p.due.ask));
            let turns = p.due.part.period.map_or(now.unix_ms, |period| period.end_ms);
            changes.push(Change { id: p.id.clone(), expected: stored.version, book, keep_until_ms: turns + KEEP_MS });
        }
        let asked = self.gate.clock.instant();
        let (swapped, store_ms) = self.books.swap(&changes).await?;
        self.gate.store_told(asked, store_ms);
        let renew = now.instant + ttl / 3;
        let mut left = Vec::new();
        for (((p, change), grant), swapped) in open.into_iter().zip(changes).zip(grants).zip(swapped) {
            match swapped {
                Swapped::Done(version) => {
                    self.seen.insert(change.id, Stored { version, book: change.book });
                    self.gate.raise(&p.cell.id, p.due.part.quota, p.due.limit, grant.spent, &grant.crossed);
                    let mut scope = p.cell.lock();
                    scope.answered(&p.due.part, &p.due.ask, grant, renew);
                    p.cell.read(&scope);
                }
                Swapped::Changed(found) => {
                    self.replace(&p.id, found);
                    left.push(p);
                }
            }
        }
        Ok(left)
    }

    /// Takes what the store has in place of what was seen. A book that is gone, or that was begun anew, has lost what was
    /// seen: it is put back with the next swap.
    fn replace(&mut self, id: &str, mut found: Stored) {
        if let Some(seen) = self.seen.get(id)
            && seen.version > 0
        {
            if found.version == 0 {
                tracing::warn!(book = id, "the store has lost a book; it is restored from what was seen");
                found.book = seen.book.clone().reborn(self.rng.next_u64() | 1);
            } else if found.book.epoch() != seen.book.epoch() {
                tracing::warn!(book = id, "the store has lost a book and has another one; both are put together");
                found.book.restore(&seen.book);
            } else if found.version < seen.version {
                tracing::warn!(book = id, "the store was set back; a book is restored from what was seen");
                found.book.restore(&seen.book);
                found.book = found.book.reborn(self.rng.next_u64() | 1);
            }
        }
        self.seen.insert(id.to_owned(), found);
    }

    /// Memory stays bounded: books of scopes that nobody asks for are read again when they are needed.
    fn forget(&mut self) {
        if self.seen.len() > MOST_SEEN {
            self.seen.clear();
        }
    }
}

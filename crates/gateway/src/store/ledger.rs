//! The ledger's handle and its thread: records are queued by whoever ends a request and committed in batches. The
//! request path pays for a lock and a push. What is queued is never dropped, only its decision detail is.

use super::RequestRecord;
use super::error::LedgerError;
use super::lesson::{Keep, Material};
use super::place::Place;
use super::read::Reader;
use super::writer::Writer;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use waypost_core::config::Storage;

/// Bounds and pace of a ledger; the defaults are for production.
#[derive(Clone, Copy, Debug)]
pub struct LedgerOptions {
    /// How long records gather before they are committed. What a `kill -9` may lose is this and one commit.
    pub batch_interval: Duration,
    /// Records at which the thread does not wait for the interval.
    pub batch_records: usize,
    /// Waiting records at which decision detail is shed.
    pub detail_records: usize,
    /// Bytes of waiting decision detail at which more is shed.
    pub detail_bytes: usize,
    /// Bytes of waiting prompts, of which features are to be made, at which more are shed; beside `detail_records`.
    pub lesson_bytes: usize,
    /// Waiting records at which [`Ledger::overloaded`] says that no more requests should be taken.
    pub max_queued: usize,
    /// Newest requests kept, and decisions of the newest sixteenth of them; `None`: all. For storage in memory at most
    /// [`LedgerOptions::MEMORY_REQUESTS`] are kept; Postgres, which other gateways write to, keeps all.
    pub retain: Option<u64>,
}

impl LedgerOptions {
    /// Requests kept by storage in memory; some 12 MB, and twice that where every decision is kept in full.
    pub const MEMORY_REQUESTS: u64 = 100_000;
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            batch_interval: Duration::from_millis(25),
            batch_records: 4096,
            detail_records: 8192,
            detail_bytes: 8 << 20,
            lesson_bytes: 16 << 20,
            max_queued: 65_536,
            retain: None,
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LedgerStats {
    /// Records that wait to be committed.
    pub queued: u64,
    /// Records committed.
    pub written: u64,
    /// Decision details dropped because too much waited.
    pub detail_shed: u64,
    /// Rows for learning dropped because too much waited.
    pub lessons_shed: u64,
    /// Failed attempts to commit a batch; each was repeated.
    pub write_errors: u64,
    /// Records that were still waiting when [`Ledger::close`] ran out of time.
    pub lost: u64,
}

/// Not everything was committed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} records were not yet written to the ledger")]
pub struct NotFlushed {
    /// Records that still wait.
    pub waiting: u64,
}

/// Takes records from any thread; owns the thread that writes them.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    place: Place,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens or creates the ledger, migrates it and starts its thread.
    ///
    /// # Errors
    /// See [`LedgerError`]; the message names the file, or host and database.
    pub fn open(storage: &Storage, options: LedgerOptions) -> Result<Self, LedgerError> {
        let place = Place::of(storage)?;
        let shared = Arc::new(Shared { options, ..Shared::default() });
        let (of_thread, there) = (shared.clone(), place.clone());
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        // Opened where it is used: a connection to Postgres belongs to the runtime of its thread.
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            match Writer::open(&there, options.retain) {
                Ok(writer) => {
                    // The other side waits for this.
                    let _ = opened.send(Ok(()));
                    run(&of_thread, writer);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        })?;
        is_open.recv().unwrap_or_else(|_| Err(std::io::Error::other("it has panicked").into()))?;
        Ok(Self { shared, place, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a record; never blocks on the disk and never drops it. Decision detail is dropped, and counted, where too
    /// much waits already.
    pub fn record(&self, mut record: RequestRecord) {
        let s = &*self.shared;
        if let Some(detail) = &record.decision {
            let bytes = detail.len();
            let full = s.queued.load(Ordering::Relaxed) >= s.options.detail_records
                || s.detail_bytes.load(Ordering::Relaxed) + bytes > s.options.detail_bytes;
            if full {
                record.decision = None;
                s.detail_shed.fetch_add(1, Ordering::Relaxed);
            } else {
                s.detail_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        self.shed_lesson(&mut record);
        let mut queue = lock(&s.queue);
        queue.records.push(record);
        queue.recorded += 1;
        s.queued.store((queue.recorded - queue.written) as usize, Ordering::Relaxed);
        let len = queue.records.len();
        drop(queue);
        if len == 1 || len == s.options.batch_records {
            s.wake.notify_one();
        }
    }

    /// Drops what a record has for learning where too much waits already.
    fn shed_lesson(&self, record: &mut RequestRecord) {
        let Some(lesson) = &record.lesson else { return };
        let (s, bytes) = (&*self.shared, lesson.material.text_bytes());
        let full = s.queued.load(Ordering::Relaxed) >= s.options.detail_records
            || s.lesson_bytes.load(Ordering::Relaxed) + bytes > s.options.lesson_bytes;
        if full {
            record.lesson = None;
            s.lessons_shed.fetch_add(1, Ordering::Relaxed);
        } else {
            s.lesson_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// How long rows for learning are kept from now on; `None`: none are deleted.
    pub fn keep_lessons(&self, keep: Option<Keep>) {
        *lock(&self.shared.keep) = keep;
    }

    /// Whether so much waits that new requests should be refused, lest spend be lost.
    pub fn overloaded(&self) -> bool {
        self.shared.queued.load(Ordering::Relaxed) >= self.shared.options.max_queued
    }

    /// Whether the last commit failed: the disk is full, the file is locked or gone, or Postgres is away.
    pub fn failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Counts since the start.
    pub fn stats(&self) -> LedgerStats {
        self.shared.stats(&lock(&self.shared.queue))
    }

    /// Blocks until everything recorded before the call is committed. In async code, call it through `spawn_blocking`.
    ///
    /// # Errors
    /// What still waits after `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), NotFlushed> {
        let s = &*self.shared;
        let mut queue = lock(&s.queue);
        let target = queue.recorded;
        if queue.written < target {
            queue.hurry = true;
            s.wake.notify_one();
        }
        let (queue, _) = s
            .progress
            .wait_timeout_while(queue, timeout, |q| q.written < target && !q.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let waiting = target.saturating_sub(queue.written);
        if waiting == 0 { Ok(()) } else { Err(NotFlushed { waiting }) }
    }

    /// Commits what waits and ends the thread. Blocks; later calls return at once. Records that come afterwards are
    /// counted as queued and go nowhere, so drain the server first.
    ///
    /// # Errors
    /// What could not be committed within `timeout` and is lost.
    pub fn close(&self, timeout: Duration) -> Result<(), NotFlushed> {
        let s = &*self.shared;
        let thread = lock(&self.thread).take();
        let Some(thread) = thread else { return Ok(()) };
        lock(&s.queue).give_up = Some(Instant::now() + timeout);
        s.wake.notify_one();
        s.closing.notify_one();
        if thread.join().is_err() {
            tracing::error!("the ledger's thread had panicked");
        }
        let queue = lock(&s.queue);
        match queue.recorded - queue.written {
            0 => Ok(()),
            waiting => Err(NotFlushed { waiting }),
        }
    }

    /// A second connection, for reading what is committed.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub fn reader(&self) -> Result<Reader, LedgerError> {
        Reader::at(self.place())
    }

    /// Where the ledger is, for what else is kept there.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Waits until `reached` holds for the counts; for tests, which must not sleep.
    #[cfg(test)]
    pub(super) fn wait_for(&self, reached: impl Fn(&LedgerStats) -> bool) {
        let s = &*self.shared;
        let queue = lock(&s.queue);
        let limit = Duration::from_secs(30);
        let waited = s.progress.wait_timeout_while(queue, limit, |q| !reached(&s.stats(q))).unwrap();
        assert!(!waited.1.timed_out(), "never reached: {:?}", s.stats(&waited.0));
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(e) = self.close(Duration::from_secs(5)) {
            tracing::error!(lost = e.waiting, "the ledger closed without writing everything");
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    options: LedgerOptions,
    queue: Mutex<Queue>,
    /// The thread has something to do.
    wake: Condvar,
    /// For a thread that waits for Postgres: the ledger closes.
    closing: tokio::sync::Notify,
    /// A batch was committed, or failed, or the thread has ended.
    progress: Condvar,
    /// `recorded - written`, readable without the lock.
    queued: AtomicUsize,
    detail_bytes: AtomicUsize,
    detail_shed: AtomicU64,
    lesson_bytes: AtomicUsize,
    lessons_shed: AtomicU64,
    keep: Mutex<Option<Keep>>,
    write_errors: AtomicU64,
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<RequestRecord>,
    recorded: u64,
    written: u64,
    /// Someone waits for a flush.
    hurry: bool,
    /// The ledger closes: commit what is there, and give up at this time.
    give_up: Option<Instant>,
    closed: bool,
}

impl Shared {
    fn stats(&self, queue: &Queue) -> LedgerStats {
        let waiting = queue.recorded - queue.written;
        LedgerStats {
            queued: if queue.closed { 0 } else { waiting },
            written: queue.written,
            detail_shed: self.detail_shed.load(Ordering::Relaxed),
            lessons_shed: self.lessons_shed.load(Ordering::Relaxed),
            write_errors: self.write_errors.load(Ordering::Relaxed),
            lost: if queue.closed { waiting } else { 0 },
        }
    }

    /// Waits for a batch and swaps it with the empty `batch`; false: closing, and nothing is left.
    fn next_batch(&self, batch: &mut Vec<RequestRecord>) -> bool {
        let queue = lock(&self.queue);
        let queue = wait_while(&self.wake, queue, |q| q.records.is_empty() && q.give_up.is_none());
        let gathering = |q: &mut Queue| q.records.len() < self.options.batch_records && !q.hurry && q.give_up.is_none();
        let (mut queue, _) = self
            .wake
            .wait_timeout_while(queue, self.options.batch_interval, gathering)
            .unwrap_or_else(PoisonError::into_inner);
        queue.hurry = false;
        std::mem::swap(&mut queue.records, batch);
        !batch.is_empty()
    }

    /// Makes features of the prompts of a batch, and lets the prompts go. A record that nobody answered has nothing to
    /// learn from.
    fn make_features(&self, batch: &mut [RequestRecord]) {
        let mut bytes = 0;
        for record in batch {
            let Some(lesson) = &mut record.lesson else { continue };
            bytes += lesson.material.text_bytes();
            let material = std::mem::replace(&mut lesson.material, Material::Packed(Vec::new()));
            if record.answering().is_none() {
                record.lesson = None;
            } else if let Some(lesson) = &mut record.lesson {
                lesson.material = Material::Packed(material.packed());
            }
        }
        self.lesson_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Ends when the ledger closes and its time is up.
    async fn given_up(&self) {
        loop {
            let at = lock(&self.queue).give_up;
            match at {
                Some(at) => return tokio::time::sleep_until(at.into()).await,
                None => self.closing.notified().await,
            }
        }
    }

    /// Gives the thread a pause after a failed commit, which a close cuts short; false: time to give up.
    fn pause(&self, pause: Duration) -> bool {
        let queue = lock(&self.queue);
        self.progress.notify_all();
        let closing = queue.give_up.is_some();
        let left = queue.give_up.map_or(pause, |at| at.saturating_duration_since(Instant::now()));
        let (queue, _) = self
            .wake
            .wait_timeout_while(queue, pause.min(left), |q| q.give_up.is_some() == closing)
            .unwrap_or_else(PoisonError::into_inner);
        queue.give_up.is_none_or(|at| Instant::now() < at)
    }
}

/// The thread: batch after batch until the ledger closes.
fn run(shared: &Shared, mut writer: Writer) {
    let mut batch = Vec::new();
    while shared.next_batch(&mut batch) {
        shared.make_features(&mut batch);
        if !commit(shared, &mut writer, &mut batch) {
            tracing::error!(records = batch.len(), "the ledger gave up: its storage still refuses");
            break;
        }
        let details: usize = batch.iter().filter_map(|r| r.decision.as_ref()).map(|d| d.len()).sum();
        shared.detail_bytes.fetch_sub(details, Ordering::Relaxed);
        let mut queue = lock(&shared.queue);
        queue.written += batch.len() as u64;
        shared.queued.store((queue.recorded - queue.written) as usize, Ordering::Relaxed);
        drop(queue);
        shared.progress.notify_all();
        batch.clear();
        // A burst must not hold its memory for ever.
        batch.shrink_to(shared.options.batch_records);
    }
    drop(writer);
    lock(&shared.queue).closed = true;
    shared.progress.notify_all();
}

/// Commits `batch`, repeating until it succeeds; false: the ledger closes and time is up. Logs changes of state only.
fn commit(shared: &Shared, writer: &mut Writer, batch: &mut [RequestRecord]) -> bool {
    let mut pause = Duration::from_millis(10);
    loop {
        let keep = *lock(&shared.keep);
        match writer.write(batch, keep, shared.given_up()) {
            Ok(()) => {
                if shared.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the ledger writes again");
                }
                return true;
            }
            Err(error) => {
                shared.write_errors.fetch_add(1, Ordering::Relaxed);
                if !shared.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the ledger cannot write; records wait in memory");
                }
                if !shared.pause(pause) {
                    return false;
                }
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// A panic elsewhere must not take the ledger with it: the data under these locks is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_while<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    wait: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_while(guard, wait).unwrap_or_else(PoisonError::into_inner)
}

//! Scores that clients report of their requests: found in the ledger, stored, and learned from at once.
//!
//! A thread of its own does all of it, and looks every two seconds whether another gateway on the same storage has heard
//! something; what follows from it is there for every request without a lock. It trains nothing, and what is said of the
//! words of a prompt never comes here.

mod rate;

use crate::clock::unix_ms;
use crate::store::feedback::FeedbackStore;
use crate::store::place::Place;
use crate::store::{FeedbackRow, Keep, LedgerError, StoredRequest};
use arc_swap::ArcSwap;
use rate::Rates;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use waypost_core::units::RequestId;
use waypost_learn::online::{Corrections, Heard, Outcomes, Place as Where};
use waypost_learn::prior::Label;

/// How often it is looked whether another gateway has heard something.
const LOOK: Duration = Duration::from_secs(2);
/// How often old scores are deleted.
const FORGET: Duration = Duration::from_secs(60);
/// Newest scores that are read at the start.
const AT_START: i64 = 50_000;
/// Numbers that are read again at each look: another gateway's score may become visible after a later one's.
const AGAIN: i64 = 1000;
/// Scores that wait for the storage; more are refused.
const MOST_WAITING: usize = 1024;
/// Longest wait for the storage; the databases' own limits are shorter, and this is for what stands in the queue.
const ANSWER: Duration = Duration::from_secs(20);

/// A score, as a client reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The request.
    pub request: RequestId,
    /// Whose it must be; `None`: of a gateway without keys.
    pub key: Option<Arc<str>>,
    /// The model that the client believes to have answered.
    pub model: Option<String>,
    /// 0 to 1.
    pub score: f32,
}

/// A score that was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// As it is stored.
    pub row: FeedbackRow,
    /// An earlier score of the same request was replaced.
    pub replaced: bool,
}

/// Why a score was not stored.
#[derive(Debug)]
pub enum Refused {
    /// No such request, or another key's: which of them is not said.
    Unknown,
    /// The request was not answered: how it ended.
    NotAnswered(String),
    /// Another model answered: this one.
    OtherModel(String),
    /// The key reports too much; when to come back.
    TooMany(Duration),
    /// The storage failed; it is not known whether the score was stored.
    Store(String),
}

/// Handle of the thread, which ends with it.
#[derive(Debug)]
pub struct Feedback {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

#[derive(Debug)]
struct Shared {
    corrections: Arc<ArcSwap<Corrections>>,
    rates: Mutex<Rates>,
    keep: Mutex<Keep>,
}

struct Job {
    report: Report,
    answer: oneshot::Sender<Result<Taken, Refused>>,
}

impl Feedback {
    /// Opens the storage of a ledger and reads what is there; what follows from it is published in `corrections`, from now
    /// on. Blocks.
    ///
    /// # Errors
    /// The storage cannot be opened or read.
    pub(crate) fn open(place: &Place, corrections: Arc<ArcSwap<Corrections>>) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(MOST_WAITING);
        let (opened, of_thread) = mpsc::channel();
        let place = place.clone();
        let run = move || {
            // Opened where it is used: a connection to Postgres belongs to the runtime of its thread.
            let listening = FeedbackStore::open(&place).and_then(|store| Listener::new(store, corrections));
            match listening {
                Ok(listener) => {
                    // The other side waits for it.
                    let _ = opened.send(Ok(listener.shared.clone()));
                    listener.run(&queue);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        std::thread::Builder::new().name("feedback".to_owned()).spawn(run)?;
        let gone = || LedgerError::Thread(std::io::Error::other("the thread of feedback has ended"));
        let shared = of_thread.recv().map_err(|_| gone())??;
        Ok(Self { shared, jobs })
    }

    /// How long scores are kept from now on.
    pub(crate) fn keep(&self, keep: Keep) {
        *self.shared.keep.lock().unwrap_or_else(PoisonError::into_inner) = keep;
    }

    /// Whether a key may report another score now.
    ///
    /// # Errors
    /// [`Refused::TooMany`].
    pub fn admit(&self, key: Option<&str>) -> Result<(), Refused> {
        let mut rates = self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(hash(key), Instant::now()).map_err(Refused::TooMany)
    }

    /// Stores a score and learns from it. It is learned here when this returns, and by other gateways a little later.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn report(&self, report: Report) -> Result<Taken, Refused> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { report, answer }).map_err(|e| {
            Refused::Store(match e {
                TrySendError::Full(_) => "too many scores wait for the storage".to_owned(),
                TrySendError::Disconnected(_) => "the gateway ends".to_owned(),
            })
        })?;
        let silent = || Refused::Store("the storage does not answer".to_owned());
        tokio::time::timeout(ANSWER, answered).await.map_err(|_| silent())?.map_err(|_| silent())?
    }
}

/// The thread's side.
struct Listener {
    store: FeedbackStore,
    outcomes: Outcomes,
    shared: Arc<Shared>,
    /// The newest number that was read.
    seen: i64,
    forgot: Instant,
    complained: bool,
}

impl Listener {
    fn new(mut store: FeedbackStore, corrections: Arc<ArcSwap<Corrections>>) -> Result<Self, LedgerError> {
        let mut outcomes = Outcomes::default();
        let seen = store.newest()?;
        take(&mut outcomes, &store.after(seen - AT_START)?);
        let keep = waypost_core::config::Learning::default();
        let shared = Arc::new(Shared {
            corrections,
            rates: Mutex::default(),
            keep: Mutex::new(Keep { age: keep.keep, rows: keep.max_rows }),
        });
        shared.corrections.store(Arc::new(outcomes.corrections().clone()));
        Ok(Self { store, outcomes, shared, seen, forgot: Instant::now(), complained: false })
    }

    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        let mut looked = Instant::now();
        loop {
            match queue.recv_timeout(LOOK.saturating_sub(looked.elapsed())) {
                Ok(job) => {
                    let done = self.report(&job.report);
                    // Whoever has gone needs no answer.
                    let _ = job.answer.send(done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= LOOK {
                let looking = self.look();
                self.complain(looking);
                looked = Instant::now();
            }
        }
    }

    fn report(&mut self, report: &Report) -> Result<Taken, Refused> {
        let failed = |e: LedgerError| {
            tracing::warn!(error = %e, "a score could not be stored");
            Refused::Store("the storage cannot be read or written".to_owned())
        };
        let found = self.store.request(report.request).map_err(failed)?;
        // Another key's request is no other than one that never was.
        let request = found.filter(|r| r.key.as_deref() == report.key.as_deref()).ok_or(Refused::Unknown)?;
        let model = answered_by(&request).ok_or_else(|| Refused::NotAnswered(request.outcome.clone()))?;
        if report.model.as_ref().is_some_and(|said| *said != model) {
            return Err(Refused::OtherModel(model));
        }
        let row = FeedbackRow {
            request: report.request,
            unix_ms: unix_ms(),
            key: request.key,
            route: request.route,
            model,
            task: request.task,
            score: report.score,
            predicted: None,
        };
        let (row, replaced) = self.store.put(row).map_err(failed)?;
        self.learn(std::slice::from_ref(&row));
        Ok(Taken { row, replaced })
    }

    fn learn(&mut self, rows: &[FeedbackRow]) {
        take(&mut self.outcomes, rows);
        self.shared.corrections.store(Arc::new(self.outcomes.corrections().clone()));
    }

    /// Takes over what other gateways have heard, and deletes what is too old.
    fn look(&mut self) -> Result<(), LedgerError> {
        let newest = self.store.newest()?;
        if newest != self.seen {
            let rows = self.store.after(self.seen.min(newest) - AGAIN)?;
            self.learn(&rows);
            self.seen = newest;
        }
        if self.forgot.elapsed() >= FORGET {
            let keep = *self.shared.keep.lock().unwrap_or_else(PoisonError::into_inner);
            self.store.forget(keep, unix_ms())?;
            self.forgot = Instant::now();
        }
        Ok(())
    }

    /// Logs changes of state only.
    fn complain(&mut self, looked: Result<(), LedgerError>) {
        match looked {
            Ok(()) if std::mem::take(&mut self.complained) => tracing::info!("feedback can be read again"),
            Err(error) if !std::mem::replace(&mut self.complained, true) => {
                tracing::warn!(%error, "feedback that other gateways hear cannot be read");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// The model whose answer the client had, whole or in part.
fn answered_by(request: &StoredRequest) -> Option<String> {
    match request.outcome.as_str() {
        "ok" => request.model.clone(),
        "cut" | "cancelled" => {
            let last = request.attempts.last().filter(|a| a.first_token_us.is_some() && a.output_tokens > 0);
            last.map(|attempt| attempt.model.clone())
        }
        _ => None,
    }
}

fn take(outcomes: &mut Outcomes, rows: &[FeedbackRow]) {
    outcomes.extend(rows.iter().map(|row| {
        let place = Where { model: &row.model, route: row.route.as_deref().unwrap_or_default(), task: &row.task };
        let key = hash(row.key.as_deref());
        (place, Heard { id: row.request.0, key, predicted: row.predicted, score: row.score })
    }));
}

/// A key as learning and rates know it; no key is one too.
fn hash(key: Option<&str>) -> u64 {
    key.map_or(0, |key| Label::new("key", key).0)
}

//! The control plane: keys that are made at run time, limits that are changed at run time, and the audit of both. They
//! are kept beside the ledger, in the same storage, for all gateways on it.
//!
//! A thread of its own makes every change and looks every two seconds whether another gateway has made one; what it found
//! last is there for everybody without a lock. Nothing on a request's path waits for it.

mod command;
mod postgres;
mod rows;
mod secret;
mod shown;
mod sqlite;

#[cfg(test)]
mod tests;

pub use command::{Command, check_id};
pub use rows::{AuditRow, Hash, KeyRow, LimitRow, Refused, Stored};
pub use secret::hash;
pub use shown::{audit_list, key_list, key_shown, limit_list};

use crate::store::LedgerError;
use crate::store::place::Place;
use arc_swap::ArcSwap;
use command::Prepared;
use rows::{Edit, Row};
use serde_json::Value;
use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use waypost_core::config::{Config, Storage};

/// How often it is looked whether another gateway has changed something.
const LOOK: Duration = Duration::from_secs(2);
/// How long what was read may be used while the storage cannot be read.
const GOOD_FOR: Duration = Duration::from_secs(5 * 60);
/// How often a storage that cannot be read is complained of once that time has passed.
const COMPLAIN: Duration = Duration::from_secs(60);
/// Longest wait for a change or a list; the databases' own limits are shorter, and this is for what stands in the queue.
const ANSWER: Duration = Duration::from_secs(20);
/// In `meta`: the key of the hashes.
const PEPPER: &str = "key_pepper";
/// In `meta`: a number, big-endian, that rises with every change.
const REVISION: &str = "control_revision";

/// Why a change was not made, or something could not be read.
#[derive(Debug)]
pub enum ChangeError {
    /// The request cannot be followed.
    Refused(Refused),
    /// The storage failed: of a change it is not known whether it was made.
    Store(LedgerError),
    /// The storage took too long, or the gateway ends.
    Silent,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refused::Invalid(mistakes)) => {
                for (i, m) in mistakes.iter().enumerate() {
                    let (comma, colon) = (if i > 0 { "; " } else { "" }, if m.field.is_empty() { "" } else { ": " });
                    write!(f, "{comma}{}{colon}{}", m.field, m.message)?;
                }
                Ok(())
            }
            Self::Refused(Refused::NotFound(message) | Refused::Conflict(message)) => f.write_str(message),
            Self::Store(error) => write!(f, "keys and limits cannot be read or changed: {error}"),
            Self::Silent => f.write_str("keys and limits cannot be read or changed: the storage does not answer"),
        }
    }
}

/// Whether a storage that is not there is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Yes.
    Create,
    /// No: it is an error.
    Refuse,
}

/// Handle of the control plane's thread, which ends with the last handle.
#[derive(Debug)]
pub struct Control {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    stored: ArcSwap<Stored>,
    /// When the storage was last read.
    read: Mutex<Instant>,
    changed: OnceLock<Changed>,
}

/// Called on the control plane's thread after something has changed.
struct Changed(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changed")
    }
}

/// Something for the thread to do; what comes back sends the answer, once the change is in force here.
type Job = Box<dyn FnOnce(&mut Backend) -> Box<dyn FnOnce() + Send> + Send>;

impl Control {
    /// Opens the storage and reads what is there. Blocks.
    ///
    /// # Errors
    /// The storage cannot be opened or read.
    pub fn open(storage: &Storage, missing: Missing) -> Result<Self, LedgerError> {
        let place = Place::of(storage)?;
        if let (Missing::Refuse, Storage::Sqlite(path)) = (missing, storage)
            && !path.exists()
        {
            return Err(LedgerError::Missing(path.display().to_string()));
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, of_thread) = mpsc::channel();
        let run = move || match Backend::open(place) {
            Ok((backend, stored)) => {
                let shared = Arc::new(Shared {
                    stored: ArcSwap::from_pointee(stored),
                    read: Mutex::new(Instant::now()),
                    changed: OnceLock::new(),
                });
                // The other side waits for it.
                let _ = opened.send(Ok(shared.clone()));
                Worker { backend, shared, complained: None }.run(&queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        std::thread::Builder::new().name("control".to_owned()).spawn(run)?;
        let gone = || LedgerError::Thread(std::io::Error::other("the control plane's thread ended"));
        let shared = of_thread.recv().map_err(|_| gone())??;
        Ok(Self { shared, jobs })
    }

    /// What is stored, as it was read last.
    pub fn stored(&self) -> Arc<Stored> {
        self.shared.stored.load_full()
    }

    /// What is stored now, whichever gateway has changed it; what was read last where the storage does not answer.
    pub async fn latest(&self) -> Arc<Stored> {
        // After each job it is looked.
        let _ = tokio::time::timeout(ANSWER, self.ask(|_| ())).await;
        self.stored()
    }

    /// Whether the storage was read a short while ago: else what is known of it is not to be relied on.
    pub fn is_fresh(&self) -> bool {
        self.shared.age() < GOOD_FOR
    }

    /// Has `changed` called after each change, on the control plane's thread. Once.
    pub fn on_change(&self, changed: impl Fn() + Send + Sync + 'static) {
        // A second call would be a mistake of the composition root, and changes nothing.
        let _ = self.shared.changed.set(Changed(Box::new(changed)));
    }

    /// Makes a change; it is in force here when this returns. `actor` is who asks. The answer is what the caller is told, a
    /// new secret among it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, config: &Config, command: Command, actor: &str) -> Result<Value, ChangeError> {
        let stored = self.latest().await;
        let (answer, prepared) = self.begin(config, &stored, command, actor)?;
        let after = tokio::time::timeout(ANSWER, answer).await;
        Ok(prepared.answer(after.map_err(|_| ChangeError::Silent)?.map_err(|_| ChangeError::Silent)??))
    }

    /// The same, from a thread that may wait.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn change_blocking(&self, config: &Config, command: Command, actor: &str) -> Result<Value, ChangeError> {
        let (answer, prepared) = self.begin(config, &self.stored(), command, actor)?;
        Ok(prepared.answer(answer.blocking_recv().map_err(|_| ChangeError::Silent)??))
    }

    /// The newest lines of the audit, newest first.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, ChangeError> {
        let answer = tokio::time::timeout(ANSWER, self.ask(move |backend| backend.audit(limit)));
        answer.await.map_err(|_| ChangeError::Silent)?.map_err(|_| ChangeError::Silent)?.map_err(ChangeError::Store)
    }

    /// The same, from a thread that may wait.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn audit_blocking(&self, limit: u32) -> Result<Vec<AuditRow>, ChangeError> {
        let answer = self.ask(move |backend| backend.audit(limit)).blocking_recv();
        answer.map_err(|_| ChangeError::Silent)?.map_err(ChangeError::Store)
    }

    #[expect(clippy::type_complexity, reason = "the answer and what is made of it, used twice")]
    fn begin(
        &self,
        config: &Config,
        stored: &Stored,
        command: Command,
        actor: &str,
    ) -> Result<(oneshot::Receiver<Result<Option<Row>, ChangeError>>, Prepared), ChangeError> {
        let now = crate::clock::unix_ms();
        let (edit, prepared) = command.prepare(config, stored, actor, now).map_err(ChangeError::Refused)?;
        Ok((self.ask(move |backend| backend.edit(edit)), prepared))
    }

    /// Queues a job. Where the thread is gone, so is its answer.
    fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut Backend) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |backend| {
            if sender.is_closed() {
                // Whoever asked has gone: nothing is changed that nobody will hear of.
                return Box::new(|| ());
            }
            let done = job(backend);
            Box::new(move || drop(sender.send(done)))
        });
        drop(self.jobs.send(job));
        receiver
    }
}

impl Shared {
    fn age(&self) -> Duration {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// The thread's side.
struct Worker {
    backend: Backend,
    shared: Arc<Shared>,
    /// Since when the storage cannot be read, as was last said in the log.
    complained: Option<Instant>,
}

impl Worker {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            match queue.recv_timeout(LOOK) {
                Ok(job) => {
                    let tell = job(&mut self.backend);
                    self.look();
                    tell();
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes over what has changed since the last look.
    fn look(&mut self) {
        let known = self.shared.stored.load_full();
        let read = match self.backend.revision() {
            Ok(revision) if revision == known.revision => Ok(None),
            Ok(_) => self.backend.read().map(Some),
            Err(error) => Err(error),
        };
        match read {
            Ok(found) => {
                *self.shared.read.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if self.complained.take().is_some() {
                    tracing::info!("stored keys and limits can be read again");
                }
                let Some(found) = found else { return };
                self.shared.stored.store(Arc::new(Stored { pepper: known.pepper, ..found }));
                if let Some(Changed(changed)) = self.shared.changed.get() {
                    changed();
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &LedgerError) {
        let age = self.shared.age();
        match self.complained {
            None => tracing::warn!(
                "stored keys and limits cannot be read: {error}; what is known of them holds for {} s",
                GOOD_FOR.saturating_sub(age).as_secs()
            ),
            Some(last) if age >= GOOD_FOR && last.elapsed() >= COMPLAIN => {
                tracing::error!("stored keys are refused: they could not be read for {} s: {error}", age.as_secs())
            }
            Some(_) => return,
        }
        self.complained = Some(Instant::now());
    }
}

/// Where it is all kept.
enum Backend {
    Sqlite(sqlite::Database),
    Postgres(postgres::Database),
}

impl Backend {
    /// Opens it, makes the pepper where there is none yet, and reads what is there.
    fn open(place: Place) -> Result<(Self, Stored), LedgerError> {
        let mut backend = match place {
            Place::Sqlite(location) => Self::Sqlite(sqlite::Database::open(location)?),
            Place::Postgres(server) => Self::Postgres(postgres::Database::open(server)?),
        };
        let fresh = secret::random().map_err(LedgerError::Thread)?;
        let pepper = match &mut backend {
            Self::Sqlite(db) => db.pepper(&fresh)?,
            Self::Postgres(db) => db.pepper(&fresh)?,
        };
        let pepper = Hash::try_from(pepper).map_err(|_| LedgerError::Thread(std::io::Error::other(DAMAGED)))?;
        let stored = Stored { pepper, ..backend.read()? };
        Ok((backend, stored))
    }

    fn revision(&mut self) -> Result<u64, LedgerError> {
        match self {
            Self::Sqlite(db) => db.revision(),
            Self::Postgres(db) => db.revision(),
        }
    }

    fn read(&mut self) -> Result<Stored, LedgerError> {
        match self {
            Self::Sqlite(db) => db.read(),
            Self::Postgres(db) => db.read(),
        }
    }

    fn edit(&mut self, edit: Edit) -> Result<Option<Row>, ChangeError> {
        match self {
            Self::Sqlite(db) => db.edit(edit),
            Self::Postgres(db) => db.edit(edit),
        }
    }

    fn audit(&mut self, limit: u32) -> Result<Vec<AuditRow>, LedgerError> {
        match self {
            Self::Sqlite(db) => db.audit(limit),
            Self::Postgres(db) => db.audit(limit),
        }
    }
}

const DAMAGED: &str = "`key_pepper` in the table `meta` is damaged: no stored key can be told from another";

/// A number as `meta` has it; 0 where it has none.
fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

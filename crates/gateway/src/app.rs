//! The composition root: what all requests share, and how the parts are put together. The library's own entry point:
//! [`App::start`] gives a running gateway to whoever embeds it.

use crate::admission::Admission;
use crate::books::Books;
use crate::classifier::Memory;
use crate::clock::Clock;
use crate::control::{Control, Missing, Stored};
use crate::feedback::Feedback;
use crate::gate::{Driver, Gate, History};
use crate::keys::Keyring;
use crate::server::{self, Handle};
use crate::snapshot::Snapshot;
use crate::store::{Keep, Ledger, LedgerOptions, Reader};
use crate::upstream::{Pool, Tls};
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use waypost_core::config::{self, Config};
use waypost_core::gate::Quota;
use waypost_core::health::BreakerEvent;
use waypost_core::registry::EndpointIx;
use waypost_core::retry::RetryBudget;
use waypost_core::units::RequestId;

/// What all requests of a process share.
#[derive(Debug)]
pub struct State {
    snapshot: ArcSwap<Snapshot>,
    /// Origin of monotonic time.
    pub clock: Clock,
    /// Where records go.
    pub ledger: Ledger,
    /// Scores that clients report.
    pub feedback: Feedback,
    /// Budgets and rates.
    pub gate: Arc<Gate>,
    /// The thread that leases them.
    gate_driver: Mutex<Driver>,
    /// Where they are kept; for reading how they stand.
    books: Mutex<Books>,
    /// Places.
    pub admission: Arc<Admission>,
    /// What bounds repeats.
    pub retry_budget: RetryBudget,
    /// What classifiers said of kinds of requests lately.
    pub classified: Memory,
    /// Set once a drain has begun.
    pub draining: AtomicBool,
    /// What was wrong with the last reload; empty where it was taken.
    pub reload_errors: Mutex<Vec<String>>,
    /// Stored keys and limits.
    pub control: Control,
    /// Client keys, configured and stored.
    keyring: ArcSwap<Keyring>,
    /// Held while what follows from configuration and stored rows together is made anew.
    renewing: Mutex<()>,
    /// Held by the reload that is under way.
    pub(crate) reloading: Mutex<()>,
    /// The newest breaker transitions, for `/admin/breakers`.
    breaker_log: Mutex<VecDeque<LoggedTransition>>,
    tls: Arc<Tls>,
    /// Where it listens, whatever the configuration says by now.
    address: OnceLock<SocketAddr>,
    /// What the configuration was read from.
    config_file: Option<PathBuf>,
    /// What makes this process's request ids its own.
    id_prefix: u64,
    next_id: AtomicU64,
}

/// A breaker's transition as it is shown.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LoggedTransition {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Whose breaker.
    pub model: String,
    /// Whose breaker.
    pub provider: String,
    /// State before.
    pub from: &'static str,
    /// State after.
    pub to: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Transitions kept for `/admin/breakers`.
const BREAKER_LOG: usize = 256;

impl State {
    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// What the configuration was read from, where it was a file.
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }

    /// Where the gateway listens; before it does, where the configuration says that it should.
    pub fn address(&self) -> SocketAddr {
        self.address.get().copied().unwrap_or_else(|| self.snapshot().config.server.listen)
    }

    /// The listener is open.
    pub(crate) fn listens(&self, address: SocketAddr) {
        // Once a process: there is one listener.
        let _ = self.address.set(address);
    }

    /// Puts the next configuration in force; requests that run keep theirs.
    pub fn swap(&self, snapshot: Snapshot) {
        let _alone = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        // The limits first: no request of the next configuration goes by those of the last one.
        self.keyring.store(Arc::new(derive(&self.gate, &snapshot.config, &self.control.stored())));
        self.keep_for_learning(&snapshot.config);
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Puts in force how long rows for learning, and scores, are kept.
    fn keep_for_learning(&self, config: &Config) {
        let keep = |learning: config::Learning| Keep { age: learning.keep, rows: learning.max_rows };
        self.ledger.keep_lessons(config.learning.map(keep));
        self.feedback.keep(keep(config.learning.unwrap_or_default()));
    }

    /// The client keys in force.
    pub fn keyring(&self) -> arc_swap::Guard<Arc<Keyring>> {
        self.keyring.load()
    }

    /// Stored keys or limits have changed.
    fn renew(&self) {
        // One at a time, each from what holds then: the last one has seen every change.
        let _alone = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        self.keyring.store(Arc::new(derive(&self.gate, &self.snapshot().config, &self.control.stored())));
    }

    /// A new request id: the time in the top 48 bits, as in UUIDv7, so that ids sort and the ledger finds them; the rest
    /// is unique to this process's run and well mixed, for it seeds choices.
    pub fn request_id(&self) -> RequestId {
        let n = self.next_id.fetch_add(1, Ordering::Relaxed);
        let low = waypost_core::units::Rng::new(self.id_prefix ^ n).next_u64();
        let time = u128::from(crate::clock::unix_ms() as u64 & 0xffff_ffff_ffff);
        RequestId(time << 80 | u128::from(self.id_prefix >> 48) << 64 | u128::from(low))
    }

    /// Takes note of a breaker's transition.
    pub fn breaker_event(&self, snapshot: &Snapshot, endpoint: EndpointIx, event: BreakerEvent) {
        let registry = &snapshot.config.registry;
        let of = registry.endpoint(endpoint);
        let (model, provider) = (&*registry.model(of.model).name, &*registry.provider(of.provider).name);
        let (from, to, reason) = (event.from.name(), event.to.name(), event.reason.name());
        tracing::warn!(model, provider, from, to, reason, "breaker");
        let unix_ms = crate::clock::unix_ms();
        let entry =
            LoggedTransition { unix_ms, model: model.to_owned(), provider: provider.to_owned(), from, to, reason };
        let mut log = self.breaker_log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == BREAKER_LOG {
            log.pop_front();
        }
        log.push_back(entry);
    }

    /// The newest transitions, newest last.
    pub fn breaker_log(&self) -> Vec<LoggedTransition> {
        self.breaker_log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// A handle of its own to the store of budgets, for reading.
    pub(crate) fn books(&self) -> Books {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).another()
    }

    /// Gives back what is leased of budgets. Blocks for two seconds at most.
    pub(crate) fn close_gate(&self) {
        self.gate_driver.lock().unwrap_or_else(PoisonError::into_inner).close();
    }

    /// A pool for one worker; TLS settings are shared.
    pub fn pool(&self) -> Arc<Pool> {
        Arc::new(Pool::new(self.tls.clone()))
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be served.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// The ledger cannot be opened.
    #[error("{0}")]
    Ledger(#[from] crate::store::LedgerError),
    /// The store of budgets cannot be opened.
    #[error("{0}")]
    Books(#[from] crate::books::NoStore),
    /// The listener cannot be opened.
    #[error("{0}")]
    Listen(#[from] io::Error),
}

/// A gateway that can be started.
#[derive(Debug)]
pub struct App;

impl App {
    /// Opens the ledger and the listener and serves on worker threads until the handle is shut down. `config_file` is
    /// what reloads read again.
    ///
    /// # Errors
    /// See [`StartError`]; the messages are for the operator.
    pub fn start(config: Config, config_file: Option<PathBuf>) -> Result<Handle, StartError> {
        let ledger = Ledger::open(&config.storage, LedgerOptions::default())?;
        let control = Control::open(&config.storage, Missing::Create)?;
        let stored = control.stored();
        let (listen, has_keys) = (config.server.listen, !config.keys.is_empty() || !stored.keys.is_empty());
        if let Some(refusal) = config::listen_refusal(listen, config.server.auth, has_keys) {
            return Err(StartError::Config(vec![format!("cannot listen on {listen}: {refusal}")]));
        }
        let books = Books::open(&config.storage, config.leases.as_ref().map(|l| l.url.expose()))?;
        let snapshot = Snapshot::build(config, None).map_err(StartError::Config)?;
        snapshot.predictors.say_warnings();
        let feedback = Feedback::open(ledger.place(), snapshot.corrections.clone())?;
        let (clock, id_prefix) = (Clock::default(), RandomState::new().hash_one(std::process::id()));
        let gate = Gate::new(clock);
        let keyring = derive(&gate, &snapshot.config, &stored);
        let holder = format!("{id_prefix:016x}");
        let (history, reading) = (history(&ledger), books.another());
        let driver = Driver::start(gate.clone(), books, history, holder, RandomState::new().hash_one(id_prefix))?;
        let state = Arc::new(State {
            snapshot: ArcSwap::from_pointee(snapshot),
            clock,
            gate,
            gate_driver: Mutex::new(driver),
            books: Mutex::new(reading),
            ledger,
            feedback,
            admission: Arc::default(),
            retry_budget: RetryBudget::default(),
            classified: Memory::default(),
            draining: AtomicBool::new(false),
            reload_errors: Mutex::default(),
            reloading: Mutex::default(),
            control,
            keyring: ArcSwap::from_pointee(keyring),
            renewing: Mutex::default(),
            breaker_log: Mutex::default(),
            tls: Arc::default(),
            address: OnceLock::new(),
            config_file,
            id_prefix,
            next_id: AtomicU64::new(0),
        });
        let of_control = Arc::downgrade(&state);
        state.control.on_change(move || {
            if let Some(state) = of_control.upgrade() {
                state.renew();
            }
        });
        state.keep_for_learning(&state.snapshot().config);
        // What was changed before somebody listened.
        state.renew();
        Ok(server::start(state)?)
    }
}

/// Puts the limits in force that follow from configuration and storage together, and gives the keys that do.
fn derive(gate: &Gate, config: &Config, stored: &Stored) -> Keyring {
    let keyring = Keyring::new(config, stored);
    gate.configure(config, keyring.keys(), &stored.overrides());
    keyring
}

/// What the ledger says was spent of a budget before its book was opened.
fn history(ledger: &Ledger) -> History {
    let place = ledger.place().clone();
    Arc::new(move |scope, quota, since_ms| {
        let (usd, tokens) = Reader::at(&place).and_then(|r| r.spent(scope, since_ms)).map_err(|e| e.to_string())?;
        Ok(if matches!(quota, Quota::Usd(_)) { usd } else { tokens })
    })
}

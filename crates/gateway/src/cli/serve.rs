//! `waypost serve`: start, then signals until the drain. SIGTERM and SIGINT drain, SIGHUP reloads.

use super::{ConfigArg, Failure, file};
use crate::app::App;
use crate::reload::{self, Fingerprint};
use crate::server::Handle;
use std::net::SocketAddr;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) fn run(arg: &ConfigArg, listen: Option<SocketAddr>) -> Result<(), Failure> {
    // Before the file is read and before anybody is told: a change or a signal that comes meanwhile is not missed.
    let read = file::path(arg).and_then(|path| Fingerprint::of(&path));
    let signals = Signals::catch()?;
    let (mut config, path) = file::load(arg)?;
    if let Some(listen) = listen {
        config.server.listen = listen;
    }
    match &path {
        Some(path) => tracing::info!("configuration: {}", path.display()),
        None => {
            let names: Vec<&str> = config.registry.providers.iter().map(|p| &*p.name).collect();
            tracing::info!("no configuration file; providers from the environment: {}", names.join(", "));
        }
    }
    // Tables that the first request would otherwise wait for.
    waypost_core::profile::load();
    let handle = App::start(config, path).map_err(|e| vec![e.to_string()])?;
    tracing::info!("listening on {}://{}", handle.scheme(), handle.address());
    signals.serve(handle, read)
}

/// Signals, caught from the process's start on.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on no signal ends the process by itself.
    pub(super) fn catch() -> Result<Self, Failure> {
        let wrong = |e: std::io::Error| vec![format!("signals: {e}")];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
        let inside = runtime.enter();
        let catch = |kind| signal(kind).map_err(wrong);
        let (terminate, interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        let hangup = catch(SignalKind::hangup())?;
        drop(inside);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Serves until a signal says to stop, then drains. `read`: the configuration file as it was read.
    pub(super) fn serve(mut self, handle: Handle, read: Option<Fingerprint>) -> Result<(), Failure> {
        let state = handle.state();
        let until_stopped = async {
            if let Some(path) = state.config_file() {
                tokio::spawn(reload::watch(state.clone(), path.to_owned(), read));
            }
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => return,
                    _ = self.interrupt.recv() => return,
                    _ = self.hangup.recv() => drop(reload::now(state)),
                }
            }
        };
        self.runtime.block_on(until_stopped);
        tracing::info!("draining");
        handle.shut_down().map_err(|e| vec![e.to_string()])?;
        tracing::info!("stopped");
        Ok(())
    }
}

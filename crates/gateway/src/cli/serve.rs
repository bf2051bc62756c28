//! `waypost serve`: start, then signals until the drain. SIGTERM and SIGINT drain, SIGHUP reloads.

use super::{ConfigArg, Failure, file};
use crate::app::App;
use crate::reload;
use crate::server::Handle;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};
use waypost_core::config;

pub(super) fn run(arg: &ConfigArg, listen: Option<SocketAddr>) -> Result<(), Failure> {
    let (mut config, path) = file::load(arg)?;
    if let Some(listen) = listen {
        if let Some(refusal) = config::listen_refusal(listen, config.server.auth, !config.keys.is_empty()) {
            return Err(vec![format!("--listen {listen}: {refusal}")]);
        }
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
    until_stopped(handle)
}

/// Serves until a signal says to stop, then drains.
pub(super) fn until_stopped(handle: Handle) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| vec![e.to_string()])?;
    runtime.block_on(signals(&handle)).map_err(|e| vec![format!("signals: {e}")])?;
    tracing::info!("draining");
    handle.shut_down().map_err(|e| vec![e.to_string()])?;
    tracing::info!("stopped");
    Ok(())
}

async fn signals(handle: &Handle) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let state = handle.state();
    if let Some(path) = state.config_file() {
        tokio::spawn(reload::watch(state.clone(), path.to_owned()));
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => drop(reload::now(state)),
        }
    }
}

//! The listener: worker threads, connections, drain. It knows paths and headers, makes no upstream call and decides
//! nothing.
//!
//! One acceptor hands connections round robin to workers; each worker is a current-thread runtime with its own upstream
//! pool, so a request never crosses threads.

mod admin;
mod body;
mod edge;
mod feedback;
mod guard;
mod read;
mod service;
mod tls;

pub use body::Body;
pub use edge::facts;

use crate::app::State;
use crate::upstream::Pool;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A worker's stack: the operator's expressions are evaluated recursively.
const STACK: usize = 8 << 20;

/// How long a connection may be open before its first request has come.
const FIRST_REQUEST: Duration = Duration::from_secs(60);

/// A running gateway.
#[derive(Debug)]
pub struct Handle {
    state: Arc<State>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Where it listens; the port is the real one where the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its requests share.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Whether it speaks TLS.
    pub fn scheme(&self) -> &'static str {
        if self.state.snapshot().config.server.tls.is_some() { "https" } else { "http" }
    }

    /// Drains: no new connections, requests that run are finished (up to `server.drain_timeout`), records written.
    /// Blocks.
    ///
    /// # Errors
    /// Records that could not be written.
    pub fn shut_down(self) -> Result<(), crate::store::NotFlushed> {
        self.state.draining.store(true, Ordering::Relaxed);
        // Nobody listening any more means that the workers are gone already.
        let _ = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
        self.state.close_gate();
        self.state.ledger.close(Duration::from_secs(10))
    }
}

/// Opens the listener and starts the workers.
pub fn start(state: Arc<State>) -> io::Result<Handle> {
    let snapshot = state.snapshot();
    let server = &snapshot.config.server;
    let tls = server.tls.as_ref().map(tls::acceptor).transpose()?;
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", server.listen));
    let listener = TcpListener::bind(server.listen).map_err(named)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    state.listens(address);
    let workers = match server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let (stop, stopped) = watch::channel(false);
    let mut queues = Vec::new();
    let mut threads = Vec::new();
    for n in 0..workers {
        let (queue, connections) = mpsc::unbounded_channel();
        queues.push(queue);
        let worker = Worker { state: state.clone(), pool: state.pool(), tls: tls.clone(), stopped: stopped.clone() };
        let run = move || runtime().block_on(worker.run(connections));
        threads.push(std::thread::Builder::new().name(format!("worker-{n}")).stack_size(STACK).spawn(run)?);
    }
    let accept = move || runtime().block_on(accept(listener, queues, stopped));
    threads.push(std::thread::Builder::new().name("acceptor".to_owned()).spawn(accept)?);
    Ok(Handle { state, address, stop, threads })
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.expect("a runtime needs only an epoll instance, which the listener's process has")
}

/// Accepts until the drain begins; a connection goes to the next worker.
async fn accept(
    listener: TcpListener,
    queues: Vec<mpsc::UnboundedSender<TcpStream>>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return tracing::error!("the listener cannot be polled: {e}"),
    };
    for n in 0.. {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            // A worker that is gone is draining: so is the acceptor, in a moment.
            Ok(stream) => drop(queues[n % queues.len()].send(stream)),
            Err(e) => {
                // Out of file descriptors, mostly: pause instead of spinning.
                tracing::warn!("cannot accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// One worker thread.
#[derive(Clone)]
struct Worker {
    state: Arc<State>,
    pool: Arc<Pool>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self, mut connections: mpsc::UnboundedReceiver<TcpStream>) {
        // Every connection holds a sender; when the last one ends, the receiver knows.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        loop {
            tokio::select! {
                stream = connections.recv() => match stream {
                    Some(stream) => self.spawn(stream, alive.clone()),
                    None => break,
                },
                _ = self.stopped.changed() => break,
            }
        }
        drop(alive);
        let limit = self.state.snapshot().config.server.drain_timeout;
        if tokio::time::timeout(limit, ended.recv()).await.is_err() {
            tracing::warn!("connections were still busy after {limit:?} of draining and are cut");
        }
    }

    fn spawn(&self, stream: TcpStream, alive: mpsc::Sender<()>) {
        let worker = self.clone();
        tokio::spawn(async move {
            let _alive = alive;
            let peer = stream.peer_addr().ok();
            let stream = stream.set_nodelay(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
            let Ok(stream) = stream else { return };
            match &worker.tls {
                None => worker.serve(TokioIo::new(stream), peer).await,
                Some(acceptor) => match tokio::time::timeout(tls::HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => worker.serve(TokioIo::new(stream), peer).await,
                    Ok(Err(e)) => tracing::debug!("TLS handshake failed: {e}"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                },
            }
        });
    }

    async fn serve<I>(&self, io: I, peer: Option<SocketAddr>)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .max_concurrent_streams(256);
        let asked = Arc::new(AtomicBool::new(false));
        let shared = Arc::new((self.state.clone(), self.pool.clone(), asked.clone()));
        let service = service_fn(move |request| {
            let shared = shared.clone();
            shared.2.store(true, Ordering::Relaxed);
            async move { service::call(&shared.0, &shared.1, peer, request).await }
        });
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        let mut stopped = self.stopped.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = told(&mut stopped) => None,
            () = silent(&asked) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = ended {
            tracing::debug!("connection ended: {e}");
        }
    }
}

/// Resolves when no request has come for too long. hyper's own timeouts begin once it knows the protocol, so a client that
/// sends nothing, or a part of HTTP/2's preface, would hold its connection for ever.
async fn silent(asked: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Resolves when the drain has begun, also where it had before.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone, which ends the process's serving as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

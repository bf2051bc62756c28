//! A TCP relay that misbehaves on demand.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Passes bytes to a server and back; lives until the process ends, its connections until they are cut or it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Requests are held back.
    hold_requests: bool,
    /// Answers are held back.
    hold_answers: bool,
    /// Answers are held back from the request on that holds this text.
    hold_answers_from: Option<String>,
    /// Bytes of answers that are held back.
    held: usize,
    sockets: Vec<TcpStream>,
    gone: bool,
}

impl Relay {
    /// A relay to `HOST:PORT`.
    #[must_use]
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (server, of_thread) = (server.to_owned(), shared.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.lock().gone {
                    return;
                }
                // Where the server is away, the client's connection ends at once.
                if let Ok(upstream) = TcpStream::connect(&server) {
                    of_thread.join(client, upstream);
                }
            }
        });
        Self { address, shared }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing passes, and nothing is closed: the server hangs.
    pub fn hang(&self) {
        self.shared.set(|s| (s.hold_requests, s.hold_answers) = (true, true));
    }

    /// From the next request on that holds `text` (in what the network delivers at once), requests reach the server, and
    /// its answers are held back.
    pub fn lose_answers_from(&self, text: &str) {
        self.shared.set(|s| (s.hold_answers_from, s.held) = (Some(text.to_owned()), 0));
    }

    /// Blocks until answers are held back.
    pub fn wait_for_held_answer(&self) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, std::time::Duration::from_secs(30), |s| s.held == 0);
        assert!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "no answer came");
    }

    /// Closes all connections; what was held back on them is lost. New ones pass.
    pub fn cut(&self) {
        self.shared.set(|s| {
            (s.hold_requests, s.hold_answers, s.hold_answers_from) = (false, false, None);
            for socket in s.sockets.drain(..) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }

    /// Lets everything pass again, also what was held back.
    pub fn heal(&self) {
        self.shared.set(|s| (s.hold_requests, s.hold_answers, s.hold_answers_from) = (false, false, None));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.set(|s| s.gone = true);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true);
        }
        let pair = |socket: &TcpStream| socket.try_clone().unwrap();
        self.lock().sockets.extend([pair(&client), pair(&server)]);
        let (one, other) = (self.clone(), self.clone());
        let (from, to) = (pair(&client), pair(&server));
        std::thread::spawn(move || one.pump(from, to, false));
        std::thread::spawn(move || other.pump(server, client, true));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let mut state = self.lock();
            let found = |text: &String| buffer[..n].windows(text.len()).any(|w| w == text.as_bytes());
            if !answers && state.hold_answers_from.as_ref().is_some_and(found) {
                state.hold_answers = true;
            }
            let held = |s: &State| if answers { s.hold_answers } else { s.hold_requests };
            if held(&state) {
                if answers {
                    state.held += n;
                    self.changed.notify_all();
                }
                state = self.changed.wait_while(state, |s| held(s)).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

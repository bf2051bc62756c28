//! A Redis server without persistence.

use crate::process::{Process, find, on_a_free_port};

/// A new, empty server.
#[must_use]
pub fn redis() -> Redis {
    let mut new = Redis { port: 0, process: None };
    new.process = Some(on_a_free_port("redis-server", |port| {
        new.port = port;
        new.try_start()
    }));
    new
}

/// A server that can be stopped and started again, then empty.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    process: Option<Process>,
}

impl Redis {
    /// `redis://HOST:PORT`; the same for life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends connections and stops; what it held is lost.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            drop(process);
        }
    }

    /// Starts again, empty, at the same address.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(self.try_start().unwrap_or_else(|said| panic!("redis-server: {said}")));
    }

    fn try_start(&self) -> Result<Process, String> {
        let program = find("redis-server", std::iter::empty(), "redis-server");
        let port = self.port.to_string();
        let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned);
        Process::start(&program, &args, "Ready to accept connections", "KILL")
    }
}

//! The ledger in a Postgres database: connections, rows, reads. Every operation ends: a server that hangs is an error
//! after a while, never a wait for ever.

mod connect;
mod feedback;
mod read;
mod report;
mod rows;
mod schema;
mod tls;

pub(super) use feedback::Feedback;
pub(super) use read::Reader;
pub(super) use rows::RowWriter;

pub(crate) use connect::{Server, Session, connect, within};
pub(crate) use schema::open;

use tokio::runtime::Runtime;

/// A runtime for code that asks and waits. To drop it waits for nothing: a name lookup may hang in the system.
#[derive(Debug)]
struct Blocking(Option<Runtime>);

impl Blocking {
    fn new() -> std::io::Result<Self> {
        tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    /// Not for a thread that runs async code.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is taken only by drop").block_on(work)
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

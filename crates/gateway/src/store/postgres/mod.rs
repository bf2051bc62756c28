//! The ledger in a Postgres database: connections, rows, reads. Every operation ends: a server that hangs is an error
//! after a while, never a wait for ever.

mod connect;
mod read;
mod report;
mod rows;
mod schema;
mod tls;

pub(super) use read::Reader;
pub(super) use rows::RowWriter;

pub(crate) use connect::{Server, Session, connect, within};
pub(crate) use schema::open;

/// The runtime of one thread that asks and waits.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

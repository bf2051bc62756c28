//! The ledger in a Postgres database: connections, rows, reads. Whoever calls this has a tokio runtime, and every
//! operation ends: a server that hangs is an error after a while, never a wait for ever.

mod connect;
mod schema;
mod tls;

pub(crate) use connect::{Server, Session, connect, within};
pub(crate) use schema::open;

//! The ledger in an SQLite file, or in memory: connections, rows, reads.

mod rows;
mod schema;

pub(super) use rows::RowWriter;
pub(crate) use schema::Location;
pub(super) use schema::{ATTEMPT_BITS, SEQ_BITS};

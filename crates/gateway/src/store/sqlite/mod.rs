//! The ledger in an SQLite file, or in memory: connections, rows, reads.

mod read;
mod report;
mod rows;
mod schema;

pub(super) use read::Reader;
#[cfg(test)]
pub(super) use read::count;
pub(super) use rows::RowWriter;
pub(crate) use schema::Location;

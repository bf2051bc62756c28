//! The ledger in an SQLite file, or in memory: connections, rows, reads.

mod feedback;
mod read;
mod report;
mod rows;
mod schema;

pub(super) use feedback::Feedback;
pub(super) use read::Reader;
pub(super) use rows::RowWriter;
pub(crate) use schema::Location;

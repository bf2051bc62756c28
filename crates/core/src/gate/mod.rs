//! The token gate: what may be spent, by whom, and how much of it is spoken for. Counts only: it knows no store, no
//! request and no clock.
//!
//! A [`Book`] is the authoritative account of one budget, kept in a durable store and shared by all processes. A [`Slice`] is
//! what one process has leased of it and spends in memory. A [`Scope`] holds the slices of everything that one scope
//! limits; [`reserve`] takes from several scopes at once, all or none.
//!
//! For every budget, at every moment: spent + reserved + leased and unspent + free = limit. What a provider bills beyond
//! a reservation is charged all the same, and is the only way over a limit.

mod amounts;
mod book;
mod limits;
mod pace;
mod period;
mod scope;
mod slice;
#[cfg(test)]
mod tests;

pub use amounts::{Amounts, Bound, Exceeded, Held};
pub use book::{Ask, BUCKET_MS, Book, Grant, Kind, Standing, Terms, bucket};
pub use limits::{LimitChange, Limits, OnExhausted, Quota, ScopeId, THRESHOLDS, Window};
pub use pace::Pace;
pub use period::Period;
pub use scope::{Due, Known, Part, Scope, Verdict, reserve};
pub use slice::{FRESH, Room, Slice};

//! Waypost's core: what decides is here and is pure. No async, IO, clock, global randomness or logging: text, time and
//! seeds come in as arguments, reasons go out as values. The shell around it is the `waypost` crate.
#![warn(missing_docs)]

pub mod attempt;
pub mod catalogue;
pub mod chat;
pub mod config;
pub mod dialect;
pub mod expr;
pub mod gate;
pub mod health;
pub mod hints;
pub mod json;
pub mod nearest;
pub mod policy;
pub mod profile;
pub mod registry;
pub mod retry;
pub mod route;
pub mod scan;
pub mod sensitive;
pub mod splice;
pub mod tokens;
pub mod units;

//! The gateway as a library: everything around the core that does IO.

pub mod account;
pub mod admission;
pub mod app;
pub mod books;
pub mod cache;
pub mod classifier;
pub mod cli;
pub mod clock;
pub mod control;
pub mod error;
pub mod feedback;
pub mod gate;
pub mod keys;
pub mod live;
pub mod predict;
pub mod proxy;
pub mod reload;
pub mod server;
pub mod simulate;
pub mod snapshot;
pub mod store;
pub mod upstream;

//! The gateway as a library: everything around the core that does IO.

pub mod cli;
pub mod store;

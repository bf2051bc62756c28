//! Real Postgres and Redis servers for tests: private, on free ports of loopback, gone when the test is, however it ends.
//! A server that is not installed is a failed test that names its Debian package, never a skipped one.
//!
//! [`postgres`] gives a database of its own, [`redis`] a server of its own. [`Cluster`] and [`Redis`] can be stopped and
//! started again at the same address; a [`Relay`] before either loses answers, hangs or cuts connections on demand.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that has no server fails")]

mod postgres;
mod process;
mod redis;
mod relay;

pub use postgres::{Cluster, Database, SHARED, postgres};
pub use redis::{Redis, redis};
pub use relay::Relay;

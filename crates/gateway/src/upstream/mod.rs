//! Upstream HTTP: connections kept alive, one pool a worker thread, and the bytes of one exchange. It never chooses
//! where to send and reads no body.
//!
//! The pool is our own and not a general client's, because its cost is paid by every request: an idle connection is a
//! `Vec::pop` under an uncontended lock, and a request goes straight to hyper's connection.

mod aws;
mod body;
mod connect;
mod google;
mod pool;
mod target;

pub use aws::{SignFault, Signer};
pub use body::UpstreamBody;
pub use connect::Tls;
pub use google::{Account as GoogleAccount, TokenError};
pub use pool::{Connection, Outgoing, Pool, SendError};
pub use target::{Auth, Call, Origin, Shared, Target};

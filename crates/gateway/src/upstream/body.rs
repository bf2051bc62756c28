//! The body of an upstream's response: over HTTP or from the simulated provider, read the same way.

use crate::simulate::SimulatedBody;
use crate::upstream::Connection;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body with the connection that it arrives on.
#[derive(Debug)]
pub enum UpstreamBody {
    /// Over HTTP. Read to its end, it gives its connection back; dropped before, it closes it.
    Http {
        /// The bytes.
        body: Incoming,
        /// Until the end.
        connection: Option<Connection>,
    },
    /// From the simulated provider.
    Simulated(SimulatedBody),
}

impl UpstreamBody {
    /// A body over HTTP.
    pub fn http(body: Incoming, connection: Connection) -> Self {
        Self::Http { body, connection: Some(connection) }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Http { body, connection } => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                let ended = matches!(polled, Poll::Ready(None)) || body.is_end_stream();
                if ended && let Some(connection) = connection.take() {
                    connection.give_back();
                }
                polled.map_err(io::Error::other)
            }
            Self::Simulated(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http { body, .. } => body.is_end_stream(),
            Self::Simulated(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http { body, .. } => body.size_hint(),
            Self::Simulated(body) => body.size_hint(),
        }
    }
}

//! Reading a request's body: bounded in size and time, without a copy where it comes in one piece.

use crate::error::{Error, Kind};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a client may take to send its whole body.
const LONGEST: Duration = Duration::from_secs(300);
/// What is read and thrown away of a body that is refused …
const DISCARD_BYTES: u64 = 64 << 20;
/// … and for how long, so that a client that is still sending sees the answer.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The whole body, at most `limit` bytes.
pub(super) async fn whole(mut body: Incoming, limit: usize) -> Result<Bytes, Error> {
    let too_large = || {
        let message = format!("the request's body is larger than the limit of {limit} bytes (server.body_limit)");
        Error::new(Kind::RequestTooLarge, message)
    };
    if body.size_hint().lower() > limit as u64 {
        discard(body).await;
        return Err(too_large());
    }
    let until = Instant::now() + LONGEST;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match timeout_at(until, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(e))) => return Err(Error::new(Kind::InvalidRequest, format!("the body broke off: {e}"))),
            Err(_) => return Err(Error::new(Kind::RequestTimeout, "the body took longer than 5 minutes")),
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            discard(body).await;
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(first.len() + data.len().max(body.size_hint().lower() as usize));
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads and throws away what a refused client still sends, within bounds.
pub(super) async fn discard(mut body: Incoming) {
    let until = Instant::now() + DISCARD_TIME;
    let mut seen = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        seen += frame.data_ref().map_or(0, |d| d.len() as u64);
        if seen > DISCARD_BYTES {
            return;
        }
    }
}

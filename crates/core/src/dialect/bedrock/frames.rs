//! The framing of streams: binary messages with headers, a payload and two checksums
//! (`application/vnd.amazon.eventstream`).
//!
//! The splitter finds messages in chunks of any size and copies only what spans chunks; [`Frame::parse`] checks a message
//! and reads its name and payload; [`write_event`] and [`write_exception`] write one. A message is
//! `total length, length of headers, CRC-32 of these eight bytes, headers, payload, CRC-32 of all before it`, numbers
//! big-endian.

use std::borrow::Cow;
use std::mem;

use bytes::Bytes;

use crate::dialect::sse::Piece;
use crate::json;

/// The most bytes that one message may have.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const CHECKSUM: usize = 4;

/// Why bytes are no stream of messages. Nothing after it can be read: where the next message begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// A message longer than [`MAX_MESSAGE`].
    Oversized,
    /// The lengths at a message's start do not fit each other or their checksum.
    Prelude,
    /// The message does not fit its checksum.
    Checksum,
    /// The headers cannot be read, or name no event.
    Headers,
}

/// Finds the ends of messages in chunks of any size.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The beginning of a message whose end has not come.
    carry: Vec<u8>,
    /// Its length, once the prelude is whole.
    total: usize,
}

impl Frames {
    /// The next message that ends in `chunk` at or after `at`, which moves behind it. Without one the rest of the chunk
    /// is kept for the next call, which must come with the next chunk and `at` 0.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Piece>, FrameFault> {
        if self.carry.is_empty()
            && let Some(prelude) = chunk[*at..].first_chunk::<PRELUDE>()
        {
            let total = lengths(prelude)?.0;
            if total <= chunk.len() - *at {
                let start = mem::replace(at, *at + total);
                return Ok(Some(Piece::Chunk(start..*at)));
            }
        }
        if self.carry.len() < PRELUDE {
            self.gather(PRELUDE, chunk, at);
            let Some(prelude) = self.carry.first_chunk::<PRELUDE>() else { return Ok(None) };
            self.total = lengths(prelude)?.0;
        }
        self.gather(self.total, chunk, at);
        let whole = self.carry.len() == self.total;
        Ok(whole.then(|| Piece::Gathered(mem::take(&mut self.carry).into())))
    }

    /// Whether the beginning of a message is waiting for its end.
    pub fn is_inside(&self) -> bool {
        !self.carry.is_empty()
    }

    /// At the stream's end: what came after the last complete message.
    pub fn finish(&mut self) -> Bytes {
        mem::take(&mut self.carry).into()
    }

    /// Takes bytes from the chunk until there are `wanted`.
    fn gather(&mut self, wanted: usize, chunk: &[u8], at: &mut usize) {
        let end = chunk.len().min(*at + wanted.saturating_sub(self.carry.len()));
        self.carry.extend_from_slice(&chunk[*at..end]);
        *at = end;
    }
}

/// The lengths of a whole message and of its headers.
fn lengths(prelude: &[u8; PRELUDE]) -> Result<(usize, usize), FrameFault> {
    let [total, headers, sum] = [0, 4, 8].map(|i| number(&prelude[i..i + 4]));
    if crc32fast::hash(&prelude[..8]) != sum {
        return Err(FrameFault::Prelude);
    }
    let (total, headers) = (total as usize, headers as usize);
    if total > MAX_MESSAGE {
        return Err(FrameFault::Oversized);
    }
    match total.checked_sub(PRELUDE + CHECKSUM) {
        Some(room) if headers <= room => Ok((total, headers)),
        _ => Err(FrameFault::Prelude),
    }
}

/// A big-endian number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// One message, as the decoder takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event's name; of an exception the name of its type, which always ends in `Exception`.
    pub name: Cow<'a, str>,
    /// JSON.
    pub payload: Cow<'a, [u8]>,
}

impl<'a> Frame<'a> {
    /// Checks a whole message and reads it.
    pub fn parse(message: &'a [u8]) -> Result<Self, FrameFault> {
        let prelude = message.first_chunk::<PRELUDE>().ok_or(FrameFault::Prelude)?;
        let (total, headers) = lengths(prelude)?;
        if total != message.len() {
            return Err(FrameFault::Prelude);
        }
        let (summed, sum) = message.split_at(total - CHECKSUM);
        if crc32fast::hash(summed) != number(sum) {
            return Err(FrameFault::Checksum);
        }
        let (headers, payload) = summed[PRELUDE..].split_at(headers);
        Headers::read(headers)?.frame(payload)
    }
}

/// The headers that say what a message is.
#[derive(Default)]
struct Headers<'a> {
    message_type: &'a str,
    event: &'a str,
    exception: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

impl<'a> Headers<'a> {
    fn read(mut rest: &'a [u8]) -> Result<Self, FrameFault> {
        let mut headers = Self::default();
        while !rest.is_empty() {
            let length = usize::from(take(&mut rest, 1)?[0]);
            let name = take(&mut rest, length)?;
            let kind = take(&mut rest, 1)?[0];
            let length = match kind {
                // True, false; a byte, and whole numbers of 16, 32, 64 bits; a time; a UUID.
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                9 => 16,
                // Bytes and text say their length.
                6 | 7 => number(take(&mut rest, 2)?) as usize,
                _ => return Err(FrameFault::Headers),
            };
            let value = take(&mut rest, length)?;
            let into = match name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event,
                b":exception-type" => &mut headers.exception,
                b":error-code" => &mut headers.error_code,
                b":error-message" => &mut headers.error_message,
                _ => continue,
            };
            if kind != 7 {
                return Err(FrameFault::Headers);
            }
            *into = std::str::from_utf8(value).map_err(|_| FrameFault::Headers)?;
        }
        Ok(headers)
    }

    fn frame(self, payload: &'a [u8]) -> Result<Frame<'a>, FrameFault> {
        let payload = Cow::Borrowed(payload);
        match self.message_type {
            "exception" => Ok(Frame { name: exception_name(self.exception), payload }),
            // An error that no model foresaw: its text stands in the headers.
            "error" => {
                let mut text = br#"{"message":"#.to_vec();
                json::quote_into(self.error_message, &mut text);
                text.push(b'}');
                Ok(Frame { name: exception_name(self.error_code), payload: text.into() })
            }
            _ if self.event.is_empty() => Err(FrameFault::Headers),
            _ => Ok(Frame { name: self.event.into(), payload }),
        }
    }
}

/// A name that the decoder knows as an exception's, whatever its type is called.
fn exception_name(kind: &str) -> Cow<'_, str> {
    if kind.ends_with(super::error::EXCEPTION) {
        kind.into()
    } else {
        format!("{kind}{}", super::error::EXCEPTION).into()
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], FrameFault> {
    let (taken, left) = rest.split_at_checked(length).ok_or(FrameFault::Headers)?;
    *rest = left;
    Ok(taken)
}

/// Appends an event of this name; `payload` appends its JSON.
pub fn write_event(out: &mut Vec<u8>, name: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    write_message(out, ":event-type", name, "event", payload);
}

/// Appends an exception of this type; `payload` appends its JSON.
pub fn write_exception(out: &mut Vec<u8>, kind: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    write_message(out, ":exception-type", kind, "exception", payload);
}

fn write_message(out: &mut Vec<u8>, header: &str, name: &str, message_type: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE]);
    for (name, value) in [(header, name), (":content-type", "application/json"), (":message-type", message_type)] {
        out.push(u8::try_from(name.len()).expect("names of headers are ours, and short"));
        out.extend_from_slice(name.as_bytes());
        out.push(7);
        out.extend_from_slice(&u16::try_from(value.len()).expect("names of events are ours, and short").to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let headers = out.len() - start - PRELUDE;
    payload(out);
    let total = out.len() - start + CHECKSUM;
    for (at, length) in [(start, total), (start + 4, headers)] {
        let length = u32::try_from(length).expect("no event has 4 GiB: it was held in memory as one of ours");
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    let sum = crc32fast::hash(&out[start..start + 8]);
    out[start + 8..start + PRELUDE].copy_from_slice(&sum.to_be_bytes());
    let sum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests;

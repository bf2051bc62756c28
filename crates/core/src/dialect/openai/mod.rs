//! OpenAI Chat Completions, as OpenAI and its many look-alikes speak it.

mod error;
mod inspect;

pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};

use super::{BadCompletion, Encoded, EventFault, Inexpressible, Malformed, ReplyContext, Target};
use crate::chat::{Event, Request, Response};

/// The end marker of a stream, as an event.
pub const DONE_EVENT: &[u8] = b"data: [DONE]\n\n";

fn missing() -> Malformed {
    Malformed::new("", "not there yet")
}

/// Reads a request.
pub fn decode_request(_body: &[u8]) -> Result<Request, Malformed> {
    Err(missing())
}

/// Writes a request.
pub fn encode_request(_request: &Request, _target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    Err(Inexpressible { field: String::new(), why: "not there yet".into() })
}

/// Reads a whole answer.
pub fn decode_response(_body: &[u8]) -> Result<Response, BadCompletion> {
    Err(BadCompletion::Malformed(missing()))
}

/// Writes a whole answer.
pub fn encode_response(_response: &Response, _context: &ReplyContext) -> Vec<u8> {
    Vec::new()
}

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, _name: &[u8], _data: &[u8], _out: &mut Vec<Event>) -> Result<(), EventFault> {
        Err(missing().into())
    }
}

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {}

impl Encoder {
    /// For one answer.
    pub fn new(_context: ReplyContext) -> Self {
        Self {}
    }

    /// Writes one event.
    pub fn event(&mut self, _event: &Event, _out: &mut Vec<u8>) {}
}

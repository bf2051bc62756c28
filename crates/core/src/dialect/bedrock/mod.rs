//! STUB

use super::{
    BadCompletion, ChunkFacts, CompletionFacts, Encoded, ErrorText, EventFault, Inexpressible, Malformed, ReplyContext,
    Target, UpstreamError,
};
use crate::chat::{Event, Request, Response};
use crate::json;

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

/// Inspects one event of a stream that passes as it is.
pub fn inspect_event(_name: &[u8], _data: &[u8]) -> Result<ChunkFacts, json::Error> {
    Ok(ChunkFacts::default())
}

/// Inspects a whole answer that passes as it is.
pub fn inspect_completion(_body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    Err(BadCompletion::Malformed(missing()))
}

/// Reads the body of a failed answer.
pub fn parse_error(_status: Option<u16>, _body: &[u8]) -> UpstreamError {
    UpstreamError::default()
}

/// The body of an error for a client.
pub fn error_body(_error: &ErrorText<'_>) -> Vec<u8> {
    Vec::new()
}

/// The event that ends a stream which had begun.
pub fn error_event(_error: &ErrorText<'_>) -> Vec<u8> {
    Vec::new()
}

/// STUB frames.
#[derive(Debug, Default)]
pub struct Frames {}

/// One message.
#[derive(Debug)]
pub struct Frame {
    /// Event.
    pub name: String,
    /// Payload.
    pub payload: bytes::Bytes,
}

impl Frames {
    /// Next.
    pub fn next(&mut self, _chunk: &[u8], _at: &mut usize) -> Result<Option<Frame>, super::gate::StreamFault> {
        Ok(None)
    }
}

/// STUB
pub fn path(model: &str, _stream: bool) -> String {
    model.into()
}

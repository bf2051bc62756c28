//! OpenAI Chat Completions, as OpenAI and its many look-alikes speak it.

mod decode;
mod details;
mod encode;
mod error;
mod inspect;
mod media;

pub use decode::{Decoder, decode_request, decode_response};
pub use encode::{Encoder, encode_request, encode_response};
pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};

/// The end marker of a stream, as an event.
pub const DONE_EVENT: &[u8] = b"data: [DONE]\n\n";

#[cfg(test)]
mod tests;

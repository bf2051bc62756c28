//! Anthropic Messages: of version 2023-06-01, and of 2026-10-21, which has no sampling parameters.
//!
//! What a request or answer says is kept as JSON values, with these normal forms: a lone plain text is a string and not
//! a list of one block, members that are null or at their default (`stream: false`, `is_error: false`,
//! `"type": "custom"` of a tool) are left out, token counts of the cache are always written. A stream's consecutive
//! blocks of text are one. Blocks that only this API knows (server tools and their results, search results) are native.
//!
//! Signatures of other dialects travel in `signature` and `data` of thinking blocks. One that belongs to a tool call
//! stands in a redacted block before the call and names its id.

mod block;
mod decode_request;
mod decoder;
mod encode_request;
mod encode_tools;
mod encode_turns;
mod encoder;
mod error;
mod inspect;
mod media;
mod response;
mod shared;
mod thinking;

#[cfg(test)]
mod tests;

pub use decode_request::decode_request;
pub use decoder::Decoder;
pub use encode_request::encode_request;
pub use encoder::Encoder;
pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};
pub use response::{decode_response, encode_response};

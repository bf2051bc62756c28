//! OpenAI Responses.
//!
//! The stateless half of it: whatever means something that a provider keeps (earlier answers, conversations, stored
//! prompts and items) cannot be told to another provider and is refused with the way out. What one turn is in the
//! canonical form is a list of items here; reading gathers them and writing lists them again, in the same order.
//!
//! Reading and writing a request again gives it back but for this: a leading system message of plain text moves to
//! `instructions`, a single plain user message becomes a string, one plain text in a list of parts stands alone, ids and
//! statuses of messages, calls and outputs are left out, the parts of a reasoning summary become one, `include` names
//! encrypted reasoning where reasoning is asked for or carried, and defaults that types demand are written out.

mod decode_request;
mod decode_stream;
mod encode_items;
mod encode_request;
mod encode_stream;
mod error;
mod inspect;
mod items;
mod media;
mod pieces;
mod response;
mod shared;
mod shell;
mod write;

pub use decode_request::decode_request;
pub use decode_stream::Decoder;
pub use encode_request::encode_request;
pub use encode_stream::Encoder;
pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};
pub use response::{decode_response, encode_response};

#[cfg(test)]
mod tests;

//! Bedrock Converse and ConverseStream: one form for the models of many makers.
//!
//! What the makers' models take and refuse differs more here than anywhere else, and the form does not say it: that is the
//! table in `models`, by the model's name. Streams come in binary frames ([`frames`]). Signing is the gateway's.
//!
//! Read and written again in this dialect, a request is equal as JSON with these exceptions: consecutive turns of one
//! speaker become one; several texts of one cited block become one; an effort asked for through `outputConfig` moves to
//! where the model's own parameters are; a budget of thought becomes an effort where the model takes only that.

mod blocks;
mod decode_request;
mod delta;
mod encode_config;
mod encode_parts;
mod encode_request;
mod encode_tools;
mod error;
pub mod frames;
mod inspect;
mod media;
mod models;
mod response;
mod stream_decode;
mod stream_encode;

pub use decode_request::decode_request;
pub use encode_request::encode_request;
pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};
pub use response::{decode_response, encode_response};
pub use stream_decode::Decoder;
pub use stream_encode::Encoder;

use crate::chat::FinishReason;
use crate::registry::Usage;

/// The path of a call of this model: its name or ARN is one segment, so `/` and `:` in it are percent-encoded.
pub fn path(model: &str, stream: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut path = String::from("/model/");
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.extend(['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]);
        }
    }
    path.push_str(if stream { "/converse-stream" } else { "/converse" });
    path
}

/// Why the model stopped, by its name here.
fn finish_named(name: &str) -> FinishReason {
    match name {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// The name for a reason where the answer did not come with one of this dialect.
fn finish_name(reason: FinishReason, stop_sequence: bool) -> &'static str {
    match reason {
        FinishReason::Stop if stop_sequence => "stop_sequence",
        // Anything else is most like a turn's end: no name here says "other".
        FinishReason::Stop | FinishReason::Other => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "content_filtered",
    }
}

/// Token counts as they stand; input leaves out what the cache gave or took.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: u64,
    cache_write: u64,
}

impl Counts {
    /// In our convention, where input includes the cache; `None` without any count.
    fn usage(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let cached = self.cache_read.saturating_add(self.cache_write);
        Some(Usage {
            input_tokens: self.input.unwrap_or(0).saturating_add(cached),
            output_tokens: self.output.unwrap_or(0),
            cache_read_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            // Part of the output, and not told apart.
            reasoning_tokens: 0,
        })
    }
}

#[cfg(test)]
mod tests;

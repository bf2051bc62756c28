//! Gemini's generateContent, as the Gemini API and Vertex AI speak it.
//!
//! Its streams have no end marker: a finish reason and the body's end are the end, which the gate knows. Enumerations and
//! members that it does not know ride along. Documented normalisations of a round trip: members in snake case come back in
//! camel case, `parameters` and `responseSchema` as the JSON Schema that they stand for, calls without ids with ids, tools
//! of one object one by one, an empty thought that only carries a signature as an empty text.

mod decode_request;
mod decoder;
mod encode_config;
mod encode_request;
mod encoder;
mod error;
mod grounding;
mod inspect;
mod logprobs;
mod models;
mod parts;
mod response;
mod schema;
#[cfg(test)]
mod tests;

pub use decode_request::decode_request;
pub use decoder::Decoder;
pub use encode_request::encode_request;
pub use encoder::Encoder;
pub use error::{error_body, error_event, parse_error};
pub use inspect::{inspect_completion, inspect_event};
pub use response::{decode_response, encode_response};

use super::UpstreamError;
use crate::chat::{Extras, FinishReason};
use crate::registry::Usage;
use serde_json::{Map, Value};

/// What follows the base URL for a model: names may begin with `models/` or `tunedModels/`.
pub fn path(model: &str, stream: bool, embeddings: bool) -> String {
    let method = match (embeddings, stream) {
        (true, _) => "batchEmbedContents",
        (false, true) => "streamGenerateContent?alt=sse",
        (false, false) => "generateContent",
    };
    let mut path = String::from("/");
    for byte in resource(model).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b'/' => path.push(byte.into()),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path + ":" + method
}

/// A model's name as a resource: with its collection.
pub(in crate::dialect) fn resource(model: &str) -> String {
    match model.starts_with("models/") || model.starts_with("tunedModels/") {
        true => model.to_owned(),
        false => format!("models/{model}"),
    }
}

/// What a finish reason says; `None` where it says nothing. Those of [`is_fault`] are not finishes.
fn finish_named(name: &[u8]) -> Option<FinishReason> {
    Some(match name {
        b"" | b"FINISH_REASON_UNSPECIFIED" => return None,
        b"STOP" => FinishReason::Stop,
        b"MAX_TOKENS" | b"CONTINUATION" => FinishReason::Length,
        // Look-alikes; Gemini itself says STOP.
        b"FUNCTION_CALL" | b"TOOL_CALL" => FinishReason::ToolCalls,
        b"SAFETY"
        | b"RECITATION"
        | b"BLOCKLIST"
        | b"PROHIBITED_CONTENT"
        | b"SPII"
        | b"MODEL_ARMOR"
        | b"IMAGE_SAFETY"
        | b"IMAGE_PROHIBITED_CONTENT"
        | b"IMAGE_RECITATION" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    })
}

/// The model failed to write an answer: its call cannot be parsed, or the provider threw the answer away.
fn is_fault(name: &[u8]) -> bool {
    matches!(
        name,
        b"MALFORMED_FUNCTION_CALL"
            | b"UNEXPECTED_TOOL_CALL"
            | b"TOO_MANY_TOOL_CALLS"
            | b"MISSING_THOUGHT_SIGNATURE"
            | b"MALFORMED_RESPONSE"
    )
}

/// The error that such a finish is.
fn fault(name: &str, message: Option<&str>) -> UpstreamError {
    let message = match message {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => format!("the model's answer was discarded: {name}"),
    };
    error::named(name, message)
}

/// The name of a finish reason.
fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter => "SAFETY",
        FinishReason::Other => "OTHER",
    }
}

/// Token counts as they stand in `usageMetadata`.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    prompt: Option<u64>,
    tool_use: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    total: Option<u64>,
}

/// The members of `usageMetadata` that become canonical.
const COUNTS: [&str; 6] = [
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
];

impl Counts {
    /// Where a member belongs.
    fn place(&mut self, name: &[u8]) -> Option<&mut Option<u64>> {
        Some(match name {
            b"promptTokenCount" => &mut self.prompt,
            b"toolUsePromptTokenCount" => &mut self.tool_use,
            b"cachedContentTokenCount" => &mut self.cached,
            b"candidatesTokenCount" => &mut self.candidates,
            b"thoughtsTokenCount" => &mut self.thoughts,
            b"totalTokenCount" => &mut self.total,
            _ => return None,
        })
    }

    /// Takes the counts out of an object.
    fn take(metadata: &mut Map<String, Value>) -> Self {
        let mut counts = Self::default();
        for name in COUNTS {
            if let (Some(value), Some(place)) = (metadata.shift_remove(name), counts.place(name.as_bytes())) {
                *place = value.as_u64();
            }
        }
        counts
    }

    /// In our convention. Here the prompt includes what came from the cache, but the output not the thoughts, and what
    /// the provider's own tools put into the prompt stands beside it.
    fn usage(&self) -> Option<Usage> {
        if self.prompt.is_none() && self.candidates.is_none() && self.thoughts.is_none() && self.total.is_none() {
            return None;
        }
        let input = self.prompt.unwrap_or(0).saturating_add(self.tool_use.unwrap_or(0));
        let reasoning = self.thoughts.unwrap_or(0);
        let spoken = self.candidates.unwrap_or_else(|| {
            // An answer without text has no count of its own.
            self.total.unwrap_or(0).saturating_sub(input).saturating_sub(reasoning)
        });
        Some(Usage {
            input_tokens: input,
            output_tokens: spoken.saturating_add(reasoning),
            cache_read_tokens: self.cached.unwrap_or(0).min(input),
            cache_write_tokens: 0,
            reasoning_tokens: reasoning,
        })
    }
}

/// `usageMetadata` for a usage.
fn usage_metadata(usage: &Usage) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("promptTokenCount".into(), usage.input_tokens.into());
    if usage.cache_read_tokens > 0 {
        map.insert("cachedContentTokenCount".into(), usage.cache_read_tokens.into());
    }
    map.insert("candidatesTokenCount".into(), usage.output_tokens.saturating_sub(usage.reasoning_tokens).into());
    if usage.reasoning_tokens > 0 {
        map.insert("thoughtsTokenCount".into(), usage.reasoning_tokens.into());
    }
    map.insert("totalTokenCount".into(), usage.input_tokens.saturating_add(usage.output_tokens).into());
    map
}

/// Keeps what is left of an inner object under its name.
fn nest(extras: &mut Extras, key: &str, rest: Map<String, Value>) {
    if !rest.is_empty() {
        extras.insert(key.to_owned(), Value::Object(rest));
    }
}

/// Puts back what [`nest`] kept: members that are there stay as they are, objects take in what they lack.
fn merge(into: &mut Map<String, Value>, extras: &Extras) {
    for (key, value) in extras {
        match (into.get_mut(key), value) {
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (Some(_), _) => {}
        }
    }
}

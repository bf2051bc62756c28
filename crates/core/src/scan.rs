//! One pass over a request body: where the fields are that Waypost acts on, and the raw material of the profile.
//! It validates the JSON as it goes, decodes nothing that it does not need and copies no text.
//!
//! Only fields that Waypost acts on are checked: their types, that none comes twice, and that none comes in another
//! spelling of upper and lower case. A body with two `model`s, or with `model` and `MODEL`, could mean one model to the
//! gate and another to a provider whose parser takes the last one or ignores case. Everything else passes untouched:
//! what a provider makes of it is the provider's answer to give.

use std::fmt;
use std::ops::Range;

use crate::json::{self, Kind, Position};

mod anthropic;
mod embeddings;
mod reader;
mod responses;
mod stats;

pub use anthropic::scan_messages;
pub use embeddings::scan_embeddings;
pub use responses::scan_responses;
pub use stats::TextStats;

/// What one pass over a chat request's body found. Ranges are byte offsets into the body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Value of `model`, a string: the range *with* its quotes.
    pub model: Option<Range<usize>>,
    /// Value of `stream` (null counts as false), with its range.
    pub stream: Option<(bool, Range<usize>)>,
    /// Value of `stream_options` (an object or null) and, inside it, `include_usage` with the range of its value.
    pub stream_options: Option<Range<usize>>,
    /// Whether `stream_options` is an object with at least one member.
    pub stream_options_members: bool,
    /// `stream_options.include_usage` (null counts as false), with the range of its value. In a dialect whose streams
    /// always end with their usage: true, at the body's start.
    pub include_usage: Option<(bool, Range<usize>)>,
    /// The `waypost` member with key, value and one adjoining comma: cutting it leaves valid JSON.
    pub waypost_member: Option<Range<usize>>,
    /// Value of `waypost`.
    pub waypost: Option<Range<usize>>,
    /// Offset of the closing brace of the body's object, for insertions before it.
    pub end: usize,
    /// Whether the object has any member left once `waypost` is cut (decides the comma of an insertion).
    pub has_members: bool,
    /// Number of messages.
    pub messages: u32,
    /// Every text of the conversation in order: raw content of JSON strings, still escaped, without quotes.
    pub texts: Vec<Text>,
    /// Counts over all of `texts`.
    pub stats: TextStats,
    /// Tools (and functions) offered.
    pub tools: u32,
    /// Bytes of their definitions.
    pub tools_bytes: u32,
    /// Tool calls and tool results in the conversation.
    pub tool_turns: u32,
    /// Image parts.
    pub images: u32,
    /// Of the image parts: those that ask for `detail: low`.
    pub images_low_detail: u32,
    /// Audio parts.
    pub audio: u32,
    /// Video parts.
    pub video: u32,
    /// File parts.
    pub documents: u32,
    /// Total bytes of inline (base64) media data; not counted as text.
    pub media_bytes: u64,
    /// `response_format` (Anthropic: `output_config.format`) asks for a JSON schema.
    pub json_schema: bool,
    /// `response_format` asks for any JSON object.
    pub json_object: bool,
    /// `parallel_tool_calls`, where given; the opposite of Anthropic's `tool_choice.disable_parallel_tool_use`.
    pub parallel_tool_calls: Option<bool>,
    /// `max_completion_tokens`, else `max_tokens`; of a Responses request `max_output_tokens`.
    pub max_output_tokens: Option<u32>,
    /// Value of `max_tokens`: the number (`None` for null), with its range.
    pub max_tokens: Option<(Option<u32>, Range<usize>)>,
    /// Value of `max_completion_tokens`, likewise.
    pub max_completion_tokens: Option<(Option<u32>, Range<usize>)>,
    /// Value of Responses' `max_output_tokens`, likewise.
    pub max_output_tokens_field: Option<(Option<u32>, Range<usize>)>,
    /// `n`, where given.
    pub n: Option<u32>,
    /// `reasoning_effort` (other than `none`) or a `reasoning` object was given; Anthropic: thinking that is not disabled,
    /// or an effort.
    pub reasoning: bool,
    /// The field, if any, that only means something to the provider that keeps what it names: an earlier answer, a
    /// conversation, a stored item or prompt, an answer made in the background. Such a body can only pass as it is.
    pub stateful: Option<&'static str>,
    /// The history carries an opaque token of another dialect's ([`CARRIED`]), or another thing that only the gateway can
    /// have given the client (unsigned thoughts): a provider that is sent these bytes as they are would refuse them.
    pub carries_foreign: bool,
    /// Embeddings are asked for, not an answer.
    pub embeddings: bool,
}

/// What begins an opaque token of another dialect's in a request's history, as [`crate::chat::Signature::token`] writes it.
pub const CARRIED: &[u8] = b"waypost.";

/// One text of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Who speaks.
    pub role: Role,
    /// Raw (escaped) content in the body.
    pub range: Range<usize>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `system` or `developer`.
    System,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
    /// `tool` or `function`.
    Tool,
}

/// Why a request body is refused. The texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanError {
    /// Not JSON.
    Json {
        /// What is wrong, at which byte.
        error: json::Error,
        /// The same place for people.
        position: Position,
    },
    /// JSON, but not an object.
    NotAnObject {
        /// What it is.
        found: Kind,
    },
    /// A required field is absent.
    Missing {
        /// Path of the field: `messages`, `messages[2].role`.
        field: String,
    },
    /// A field holds another kind of value.
    WrongType {
        /// Path of the field.
        field: String,
        /// What it must be, with its article.
        expected: &'static str,
        /// What it is.
        found: Kind,
    },
    /// A field's value has the right type but cannot be meant.
    Invalid {
        /// Path of the field.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field comes twice: two parsers could read two requests.
    Duplicate {
        /// Path of the field.
        field: String,
    },
    /// A field in another spelling of upper and lower case, which some providers take for the field.
    Misspelled {
        /// Path of the field, spelled right.
        field: String,
    },
}

impl ScanError {
    /// Path of the field that is wrong, for `error.param`.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Json { .. } | Self::NotAnObject { .. } => None,
            Self::Missing { field }
            | Self::WrongType { field, .. }
            | Self::Invalid { field, .. }
            | Self::Duplicate { field }
            | Self::Misspelled { field } => Some(field),
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { error, position: Position { line, column } } => {
                write!(f, "invalid JSON at line {line}, column {column} (byte {}): {}", error.offset, error.kind)
            }
            Self::NotAnObject { found } => write!(f, "the body must be a JSON object, not {}", found.name()),
            Self::Missing { field } => write!(f, "`{field}` is required"),
            Self::WrongType { field, expected, found } => {
                write!(f, "`{field}` must be {expected}, not {}", found.name())
            }
            Self::Invalid { field, expected } => write!(f, "`{field}` must be {expected}"),
            Self::Duplicate { field } => write!(f, "`{field}` is given more than once"),
            Self::Misspelled { field } => write!(f, "`{field}` must be written in lower case"),
        }
    }
}

impl std::error::Error for ScanError {}

/// Reads a chat request's body once. `model` may be absent here: whether that is an error is the caller's to say.
pub fn scan_chat(body: &[u8]) -> Result<Scan, ScanError> {
    reader::read(body)
}

#[cfg(test)]
mod tests;

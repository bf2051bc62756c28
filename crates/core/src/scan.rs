//! One pass over a request body: where the fields are that Waypost acts on, and the raw material of the profile.
//! It validates the JSON as it goes, decodes nothing that it does not need and copies no text.

use std::ops::Range;

/// What one pass over a chat request's body found. Ranges are byte offsets into the body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Value of `model`, a string: the range *with* its quotes.
    pub model: Option<Range<usize>>,
    /// Value of `stream`, with its range.
    pub stream: Option<(bool, Range<usize>)>,
    /// Value of `stream_options` (an object or null) and, inside it, `include_usage` with the range of its value.
    pub stream_options: Option<Range<usize>>,
    /// `stream_options.include_usage`, with the range of its value.
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
    /// `response_format` asks for a JSON schema.
    pub json_schema: bool,
    /// `response_format` asks for any JSON object.
    pub json_object: bool,
    /// `parallel_tool_calls`, where given.
    pub parallel_tool_calls: Option<bool>,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_output_tokens: Option<u32>,
    /// `n`, where given.
    pub n: Option<u32>,
    /// `reasoning_effort` (other than `none`) or a `reasoning` object was given.
    pub reasoning: bool,
}

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

/// Counts over raw text, cheap enough to take on the way: what a token estimate needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStats {
    /// All bytes, escapes included.
    pub bytes: u64,
    /// Space characters (runs of words).
    pub spaces: u64,
    /// ASCII digits.
    pub digits: u64,
    /// ASCII punctuation.
    pub punctuation: u64,
    /// Escapes (backslashes that begin one).
    pub escapes: u64,
    /// Of the escapes: `\uXXXX`, six bytes each (a pair of them is one character of four bytes).
    pub unicode_escapes: u64,
    /// Characters of two bytes: Latin with marks, Greek, Cyrillic, Hebrew, Arabic.
    pub two_byte: u64,
    /// Characters of three bytes: CJK, Indic, Thai, symbols.
    pub three_byte: u64,
    /// Characters of four bytes: emoji, rare CJK.
    pub four_byte: u64,
}

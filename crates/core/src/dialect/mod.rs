//! What wire formats say, in words that hold for all of them: one module a dialect reads its own format into these types.
//!
//! The types here are the seam: a further dialect is a module beside [`openai`] with its own reading of events and
//! answers, and one more arm where [`gate`] asks. No dialect's module knows another's. Bytes that a client and a
//! provider both speak are inspected here, never rebuilt.

pub mod gate;
pub mod openai;
pub mod sse;

use crate::json;
use crate::registry::Usage;

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// It met the cap on output, or its window's end.
    Length,
    /// It asks for tools.
    ToolCalls,
    /// A filter of the provider cut it off.
    ContentFilter,
    /// Anything else that a provider names.
    Other,
}

impl FinishReason {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

/// What one event of a stream says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChunkFacts {
    /// Output of the model: content, reasoning, a refusal, a tool call, audio or an image.
    pub output: bool,
    /// Bytes of text in it (content, reasoning, arguments), decoded: for estimates.
    pub text_bytes: u64,
    /// Usage, where given; the last one of a stream holds.
    pub usage: Option<Usage>,
    /// It carries usage and nothing that a client who did not ask for usage expects.
    pub usage_only: bool,
    /// The provider reports an error inside the stream.
    pub error: Option<Box<UpstreamError>>,
    /// The model stopped.
    pub finish: Option<FinishReason>,
    /// The end marker.
    pub done: bool,
    /// Choices (of the first 64) that it names, a bit each.
    pub choices: u64,
    /// Of them: those that stop here.
    pub finished: u64,
}

/// What a whole, non-streaming answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompletionFacts {
    /// Some choice holds content, reasoning, a refusal, a tool call, audio or an image.
    pub output: bool,
    /// Bytes of text in it, decoded.
    pub text_bytes: u64,
    /// Usage, where given.
    pub usage: Option<Usage>,
    /// Why the (last) choice stopped.
    pub finish: Option<FinishReason>,
}

impl CompletionFacts {
    /// Stopped of its own will without having said anything: worth asking elsewhere once.
    pub fn is_empty_answer(&self) -> bool {
        !self.output && matches!(self.finish, None | Some(FinishReason::Stop))
    }
}

/// Why a body that came with a success status is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadCompletion {
    /// Not JSON, cut off, or not an object.
    Json(json::Error),
    /// An error under a success status.
    Error(Box<UpstreamError>),
    /// An object without choices.
    NoChoices,
}

/// What a provider says of its own failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// Its message, cut to a reasonable length; made up from the status where there is none.
    pub message: String,
    /// Its stable code; numbers as text.
    pub code: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// The parameter that it blames.
    pub param: Option<String>,
    /// The input (with the reserved output) does not fit the model's window.
    pub context_overflow: bool,
}

//! What comes back: a whole answer, or a stream of events.

use super::{Citation, Extras, Media, Part, Signature};
use crate::registry::{Dialect, Usage};
use serde_json::Number;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Whose extras and native blocks it holds.
    pub origin: Dialect,
    /// The provider's id for it; empty where it gives none.
    pub id: String,
    /// The model as the provider names it; empty where it does not.
    pub model: String,
    /// Seconds since the Unix epoch, where the provider says.
    pub created: Option<i64>,
    /// At least one.
    pub choices: Vec<Choice>,
    /// Where reported.
    pub usage: Option<Usage>,
    /// What else stood at the top.
    pub extras: Extras,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What the model said, in order.
    pub parts: Vec<Part>,
    /// Why it stopped.
    pub finish: Option<Finish>,
    /// Of its text, token by token.
    pub logprobs: Vec<TokenLogprob>,
    /// What else stood in it.
    pub extras: Extras,
}

/// Why a model stopped, and at what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why.
    pub reason: FinishReason,
    /// The stop sequence that it met, where the provider says which.
    pub stop_sequence: Option<String>,
}

impl From<FinishReason> for Finish {
    fn from(reason: FinishReason) -> Self {
        Self { reason, stop_sequence: None }
    }
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// It met the cap on output, or its window's end.
    Length,
    /// It asks for tools.
    ToolCalls,
    /// A filter of the provider cut it off, or the model refused.
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

/// One token of the output with its likelihood.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: Number,
    /// Its bytes, where the text alone does not say them.
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens in its place; their own `top` is empty.
    pub top: Vec<Self>,
}

/// One step of a streamed answer. A block (text, reasoning, refusal, call) lasts until an event of another kind comes,
/// or, for reasoning, until its signature.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer begins; comes at most once and before anything else of the answer.
    Start {
        /// The provider's id; empty where it gives none.
        id: String,
        /// The model as the provider names it; empty where it does not.
        model: String,
        /// Seconds since the Unix epoch, where the provider says.
        created: Option<i64>,
    },
    /// Text.
    Text {
        /// Which answer.
        choice: u32,
        /// More of it.
        text: String,
    },
    /// A source of the text so far.
    Citation {
        /// Which answer.
        choice: u32,
        /// The source.
        citation: Box<Citation>,
    },
    /// Thoughts.
    Reasoning {
        /// Which answer.
        choice: u32,
        /// More of them.
        text: String,
        /// They are a summary.
        summary: bool,
    },
    /// The signature of the reasoning block that is open; of an empty one where none is. Ends the block.
    Signature {
        /// Which answer.
        choice: u32,
        /// What the provider wants back.
        signature: Signature,
        /// The whole block is encrypted in it.
        redacted: bool,
    },
    /// The model declines.
    Refusal {
        /// Which answer.
        choice: u32,
        /// More of its words.
        text: String,
    },
    /// A call begins.
    ToolCall {
        /// Which answer.
        choice: u32,
        /// Which call of this answer, from 0, in order.
        index: u32,
        /// What its result will name; never empty.
        id: String,
        /// Which tool; never empty.
        name: String,
        /// A tool with free-form input.
        custom: bool,
        /// What the provider wants back with the call.
        signature: Option<Signature>,
    },
    /// More of a call's arguments, byte for byte.
    Arguments {
        /// Which answer.
        choice: u32,
        /// Which call.
        index: u32,
        /// A fragment of JSON text (or of free text).
        text: String,
    },
    /// A picture or recording that the model made.
    Media {
        /// Which answer.
        choice: u32,
        /// The thing.
        media: Box<Media>,
    },
    /// Likelihoods of the text that came with it.
    Logprobs {
        /// Which answer.
        choice: u32,
        /// Token by token.
        tokens: Vec<TokenLogprob>,
    },
    /// The model stopped.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        finish: Finish,
    },
    /// Usage so far; the last one holds.
    Usage(Usage),
    /// The answer is complete; nothing follows.
    Done,
}

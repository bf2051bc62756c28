//! What wire formats say, in words that hold for all of them: one module a dialect, wire to canonical form and back.
//!
//! Two ways lead through here. Bytes that a client and a provider both speak are only *inspected* ([`ChunkFacts`],
//! [`CompletionFacts`]), never rebuilt. Where they speak different dialects, the one's module *decodes* into
//! [`crate::chat`] and the other's *encodes* from it. No dialect's module knows another's; the functions of this module
//! choose between them and hold what is the same for all: what was lost on the way, and JSON output by a forced tool.

pub mod anthropic;
pub mod bedrock;
pub mod embeddings;
pub mod gate;
pub mod gemini;
mod names;
pub mod openai;
mod overflow;
pub mod responses;
mod schema;
pub mod sse;
mod strictness;
mod translate;
mod wire;

pub use crate::chat::FinishReason;
pub use translate::translate_response;
pub use wire::Malformed;

use crate::chat::{Content, Event, Request, Response};
use crate::json;
use crate::registry::{Capabilities, Dialect, Quirks, Usage};

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
    /// The answer begins, in the dialects that say so: it must not twice.
    pub start: bool,
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
    /// An object without choices (or the dialect's word for them).
    NoChoices,
    /// JSON, but not the dialect's.
    Malformed(Malformed),
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
    /// How long to wait before asking again, in milliseconds, where the body says so.
    pub retry_after_ms: Option<u64>,
}

/// The longest message of a provider's that is kept, in bytes.
const MAX_MESSAGE: usize = 2048;

impl UpstreamError {
    /// Where no message was read: the body itself where it is prose, else the status.
    fn find_words(&mut self, status: Option<u16>, body: &[u8]) {
        if self.message.is_empty() {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            // A page of a proxy in between tells a client nothing.
            if !text.starts_with(['<', '{', '[']) {
                self.message = text.into();
            }
        }
        if self.message.is_empty() {
            self.message = match status {
                Some(status) => format!("HTTP status {status}"),
                None => "unspecified error".into(),
            };
        }
    }

    /// Cuts a message to a reasonable length.
    fn cut_message(&mut self) {
        if self.message.len() > MAX_MESSAGE {
            self.message.truncate(self.message.floor_char_boundary(MAX_MESSAGE));
            self.message.push('…');
        }
    }

    /// The status that it stands for where it came without one: in a stream, or under a success status. By its code
    /// where that is a status, else by the names that the dialects give their errors.
    pub fn status(&self) -> Option<u16> {
        let stated = self.code.as_deref().and_then(|c| c.parse().ok()).filter(|s| (400..600).contains(s));
        stated.or_else(|| [&self.code, &self.kind].into_iter().flatten().find_map(|name| status_named(name)))
    }
}

/// Only names that say whose fault it is: a plain `api_error` is left to the caller.
fn status_named(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_request_error" | "invalid_prompt" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => 400,
        "authentication_error" | "UNAUTHENTICATED" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "NOT_FOUND" => 404,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => 429,
        "overloaded_error" | "UNAVAILABLE" => 503,
        "timeout_error" | "DEADLINE_EXCEEDED" => 504,
        _ => return None,
    })
}

/// Where a request is encoded for, and what the target's endpoint is known to want.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// The most output tokens that may be asked for, where there is a limit (a budget's, the model's).
    pub cap: Option<u64>,
    /// What to write where the dialect demands a cap and the client gave none.
    pub default_cap: u64,
    /// Refuse instead of dropping anything.
    pub strict: bool,
    /// What the model can do, where that is known.
    pub capabilities: Option<Capabilities>,
    /// How an OpenAI look-alike differs.
    pub quirks: Quirks,
    /// Sampling parameters (`temperature`, `top_p`, `top_k`) are refused by this endpoint.
    pub no_sampling: bool,
}

/// A request in the target's dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The body to send.
    pub body: Vec<u8>,
    /// What the target cannot express and was left out, by its name in the client's dialect; each once.
    pub dropped: Vec<String>,
    /// JSON output was asked for through a forced tool of this name: its call is the answer's text.
    pub json_tool: Option<String>,
}

/// A request that the target cannot express without changing its meaning; the texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inexpressible {
    /// The field, as the client's dialect names it.
    pub field: String,
    /// Why it cannot be said there.
    pub why: String,
}

/// What is lost in one translation: named where it may be dropped, an error where it may not.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    strict: bool,
    dropped: Vec<String>,
}

impl Losses {
    /// Nothing lost yet. `strict`: nothing may be.
    pub fn new(strict: bool) -> Self {
        Self { strict, dropped: Vec::new() }
    }

    /// Leaves out a field that does not change what is asked for.
    pub fn drop(&mut self, field: impl Into<String>) -> Result<(), Inexpressible> {
        let field = field.into();
        if self.strict {
            let why = "the model's API has no such field, and the route allows no losses (`translation: strict`)";
            return Err(Inexpressible { field, why: why.into() });
        }
        if !self.dropped.contains(&field) {
            self.dropped.push(field);
        }
        Ok(())
    }

    /// Leaves out the extras of an object of another dialect.
    pub fn drop_extras<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) -> Result<(), Inexpressible> {
        names.into_iter().try_for_each(|name| self.drop(name.as_str()))
    }

    /// Leaves out a block that only its own dialect knows. Of what the model did before, the rest of the turn still
    /// speaks; what the user or a tool says is what is asked about, and without it the question is another.
    pub fn drop_block(&mut self, said_to_model: bool, kind: &str) -> Result<(), Inexpressible> {
        let field = format!("messages[].content[].{kind}");
        if said_to_model {
            return self.refuse(field, "only the API that the request was written for knows such a block");
        }
        self.drop(field)
    }

    /// A field whose loss would change what is asked for.
    pub fn refuse<T>(&self, field: impl Into<String>, why: impl Into<String>) -> Result<T, Inexpressible> {
        Err(Inexpressible { field: field.into(), why: why.into() })
    }

    /// The names of what was left out.
    pub fn into_names(self) -> Vec<String> {
        self.dropped
    }
}

/// What an answer in the client's dialect needs that the provider's answer may not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyContext {
    /// The gateway's id of the request, 32 hexadecimal digits: the base of an answer's id.
    pub id: String,
    /// Seconds since the Unix epoch.
    pub created: i64,
    /// The model's name where the provider gives none.
    pub model: String,
    /// The client asked for usage in the stream.
    pub include_usage: bool,
}

/// Why an event of a provider's stream cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// The provider reports an error.
    Error(Box<UpstreamError>),
    /// It is not the dialect's.
    Malformed(Malformed),
}

impl From<Malformed> for EventFault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// An error of ours, for a client.
#[derive(Clone, Copy, Debug)]
pub struct ErrorText<'a> {
    /// The status that it has, or would have where the stream has begun.
    pub status: u16,
    /// For people.
    pub message: &'a str,
    /// OpenAI's type; dialects with types of their own go by the status.
    pub kind: &'a str,
    /// Stable code.
    pub code: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
}

/// A provider's stream on its way into canonical events: one state machine a dialect.
#[derive(Debug)]
pub enum Decoder {
    /// OpenAI Chat.
    OpenAi(openai::Decoder),
    /// OpenAI Responses.
    Responses(responses::Decoder),
    /// Anthropic.
    Anthropic(anthropic::Decoder),
    /// Gemini.
    Gemini(gemini::Decoder),
    /// Bedrock.
    Bedrock(bedrock::Decoder),
}

impl Decoder {
    /// For a stream of this dialect (the simulated provider speaks OpenAI's).
    pub fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Simulated => Self::OpenAi(openai::Decoder::default()),
            Dialect::Responses => Self::Responses(responses::Decoder::default()),
            Dialect::Anthropic => Self::Anthropic(anthropic::Decoder::default()),
            Dialect::Gemini => Self::Gemini(gemini::Decoder::default()),
            Dialect::Bedrock => Self::Bedrock(bedrock::Decoder::default()),
        }
    }

    /// Reads one event: its name (empty where it has none) and its data.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), EventFault> {
        match self {
            Self::OpenAi(d) => d.event(name, data, out),
            Self::Responses(d) => d.event(name, data, out),
            Self::Anthropic(d) => d.event(name, data, out),
            Self::Gemini(d) => d.event(name, data, out),
            Self::Bedrock(d) => d.event(name, data, out),
        }
    }
}

/// Canonical events on their way to a client: one state machine for each dialect that clients speak.
#[derive(Debug)]
pub enum Encoder {
    /// OpenAI Chat.
    OpenAi(openai::Encoder),
    /// OpenAI Responses.
    Responses(responses::Encoder),
    /// Anthropic.
    Anthropic(anthropic::Encoder),
    /// Gemini.
    Gemini(gemini::Encoder),
    /// Bedrock.
    Bedrock(bedrock::Encoder),
}

impl Encoder {
    /// For a client of this dialect.
    pub fn new(dialect: Dialect, context: ReplyContext) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Simulated => Self::OpenAi(openai::Encoder::new(context)),
            Dialect::Responses => Self::Responses(responses::Encoder::new(context)),
            Dialect::Anthropic => Self::Anthropic(anthropic::Encoder::new(context)),
            Dialect::Gemini => Self::Gemini(gemini::Encoder::new(context)),
            Dialect::Bedrock => Self::Bedrock(bedrock::Encoder::new(context)),
        }
    }

    /// Appends what the client is to be sent for one event: whole events of its own dialect, or nothing yet.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi(e) => e.event(event, out),
            Self::Responses(e) => e.event(event, out),
            Self::Anthropic(e) => e.event(event, out),
            Self::Gemini(e) => e.event(event, out),
            Self::Bedrock(e) => e.event(event, out),
        }
    }
}

/// Reads a client's request. A tool result that answers no call is refused here: no provider could take it.
pub fn decode_request(dialect: Dialect, body: &[u8]) -> Result<Request, Malformed> {
    let request = match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::decode_request(body),
        Dialect::Responses => responses::decode_request(body),
        Dialect::Anthropic => anthropic::decode_request(body),
        Dialect::Gemini => gemini::decode_request(body),
        Dialect::Bedrock => bedrock::decode_request(body),
    }?;
    match request.orphaned_result() {
        Some((_, id)) => {
            Err(Malformed::new("messages", format!("a tool result answers the call `{id}`, which is not there")))
        }
        None => Ok(request),
    }
}

/// Writes a request for a provider. One that holds nothing but blocks of its own dialect is refused: nothing would be left.
pub fn encode_request(dialect: Dialect, request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    let mut parts = request.messages.iter().flat_map(|m| &m.parts);
    if dialect != request.origin && parts.all(|p| matches!(p.content, Content::Native(_))) {
        let why = "nothing in it can be said in the model's API";
        return Err(Inexpressible { field: "messages".into(), why: why.into() });
    }
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::encode_request(request, target),
        Dialect::Responses => responses::encode_request(request, target),
        Dialect::Anthropic => anthropic::encode_request(request, target),
        Dialect::Gemini => gemini::encode_request(request, target),
        Dialect::Bedrock => bedrock::encode_request(request, target),
    }
}

/// Reads a provider's whole answer.
pub fn decode_response(dialect: Dialect, body: &[u8]) -> Result<Response, BadCompletion> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::decode_response(body),
        Dialect::Responses => responses::decode_response(body),
        Dialect::Anthropic => anthropic::decode_response(body),
        Dialect::Gemini => gemini::decode_response(body),
        Dialect::Bedrock => bedrock::decode_response(body),
    }
}

/// Writes a whole answer for a client.
pub fn encode_response(dialect: Dialect, response: &Response, context: &ReplyContext) -> Vec<u8> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::encode_response(response, context),
        Dialect::Responses => responses::encode_response(response, context),
        Dialect::Anthropic => anthropic::encode_response(response, context),
        Dialect::Gemini => gemini::encode_response(response, context),
        Dialect::Bedrock => bedrock::encode_response(response, context),
    }
}

/// Inspects one event of a stream that passes as it is.
pub fn inspect_event(dialect: Dialect, name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::inspect_event(name, data),
        Dialect::Responses => responses::inspect_event(name, data),
        Dialect::Anthropic => anthropic::inspect_event(name, data),
        Dialect::Gemini => gemini::inspect_event(name, data),
        Dialect::Bedrock => bedrock::inspect_event(name, data),
    }
}

/// Inspects a whole answer that passes as it is.
pub fn inspect_completion(dialect: Dialect, body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::inspect_completion(body),
        Dialect::Responses => responses::inspect_completion(body),
        Dialect::Anthropic => anthropic::inspect_completion(body),
        Dialect::Gemini => gemini::inspect_completion(body),
        Dialect::Bedrock => bedrock::inspect_completion(body),
    }
}

/// Reads the body of a provider's failed answer. Never fails: what it cannot read becomes the message.
pub fn parse_error(dialect: Dialect, status: Option<u16>, body: &[u8]) -> UpstreamError {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::parse_error(status, body),
        Dialect::Responses => responses::parse_error(status, body),
        Dialect::Anthropic => anthropic::parse_error(status, body),
        Dialect::Gemini => gemini::parse_error(status, body),
        Dialect::Bedrock => bedrock::parse_error(status, body),
    }
}

/// The body of an error for a client.
pub fn error_body(dialect: Dialect, error: &ErrorText<'_>) -> Vec<u8> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::error_body(error),
        Dialect::Responses => responses::error_body(error),
        Dialect::Anthropic => anthropic::error_body(error),
        Dialect::Gemini => gemini::error_body(error),
        Dialect::Bedrock => bedrock::error_body(error),
    }
}

/// The event that ends a client's stream which had begun.
pub fn error_event(dialect: Dialect, error: &ErrorText<'_>) -> Vec<u8> {
    match dialect {
        Dialect::OpenAi | Dialect::Simulated => openai::error_event(error),
        Dialect::Responses => responses::error_event(error),
        Dialect::Anthropic => anthropic::error_event(error),
        Dialect::Gemini => gemini::error_event(error),
        Dialect::Bedrock => bedrock::error_event(error),
    }
}

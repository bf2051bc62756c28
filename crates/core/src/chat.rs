//! The canonical form of a chat: requests, answers and stream events in words that hold for every dialect.
//!
//! Only what crosses from one dialect to another is ever decoded into it; equal dialects pass as bytes. It knows no wire
//! format: names of dialects appear only as the origin of what one dialect alone understands (extras, signatures, native
//! blocks), which returns to that dialect and is dropped, by name, on the way to any other.

mod answer;

pub use answer::{Choice, Event, Finish, FinishReason, Response, TokenLogprob};

use crate::registry::Dialect;
use serde_json::{Map, Number, Value};

/// Members of an object that the canonical form has no word for, in their order: they ride along and return to the
/// dialect that they came from.
pub type Extras = Map<String, Value>;

/// A chat request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whose extras and native blocks it holds.
    pub origin: Dialect,
    /// As the client wrote it; what goes upstream is the target's own name.
    pub model: String,
    /// The conversation, system prompts included, in order.
    pub messages: Vec<Message>,
    /// In the client's order, which providers' prompt caches depend on.
    pub tools: Vec<Tool>,
    /// Which tool must or may be called; `None` where the client says nothing.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come in one answer.
    pub parallel_tools: Option<bool>,
    /// What the answer's text must be.
    pub format: Format,
    /// Cap on output tokens, reasoning included.
    pub max_output_tokens: Option<u64>,
    /// Sampling temperature, on the scale of 0 to 2 that most dialects use.
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    pub top_p: Option<Number>,
    /// Sampling from the k likeliest.
    pub top_k: Option<u64>,
    /// Sequences that end the answer.
    pub stop: Vec<String>,
    /// −2 to 2.
    pub frequency_penalty: Option<Number>,
    /// −2 to 2.
    pub presence_penalty: Option<Number>,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Answers wanted; `None` is one.
    pub n: Option<u32>,
    /// Log-probabilities of the output, with so many alternatives a token (0: of the chosen ones only).
    pub logprobs: Option<u32>,
    /// What the client says about reasoning.
    pub reasoning: Option<Thinking>,
    /// `low`, `medium` or `high`: how long the answer should be.
    pub verbosity: Option<String>,
    /// The client's name for its own user.
    pub user: Option<String>,
    /// Whether the answer streams.
    pub stream: bool,
    /// Whether the client asked for usage in its stream, where its dialect makes that a choice.
    pub include_usage: bool,
    /// What else stood at the top.
    pub extras: Extras,
}

impl Request {
    /// An empty request of one dialect.
    pub fn new(origin: Dialect, model: impl Into<String>) -> Self {
        Self {
            origin,
            model: model.into(),
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            format: Format::Text,
            max_output_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            stop: Vec::new(),
            frequency_penalty: None,
            presence_penalty: None,
            seed: None,
            n: None,
            logprobs: None,
            reasoning: None,
            verbosity: None,
            user: None,
            stream: false,
            include_usage: false,
            extras: Extras::new(),
        }
    }

    /// The name of the tool that the call with this id asked for: some dialects match results by name.
    pub fn called_tool(&self, id: &str) -> Option<&str> {
        let parts = self.messages.iter().flat_map(|m| &m.parts);
        parts.into_iter().find_map(|p| match &p.content {
            Content::ToolCall(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        })
    }

    /// The first tool result that answers no call before it, as (message, call id).
    pub fn orphaned_result(&self) -> Option<(usize, &str)> {
        let mut called = Vec::new();
        for (i, message) in self.messages.iter().enumerate() {
            for part in &message.parts {
                match &part.content {
                    Content::ToolCall(call) => called.push(call.id.as_str()),
                    Content::ToolResult(result) if !called.contains(&result.call_id.as_str()) => {
                        return Some((i, &result.call_id));
                    }
                    _ => {}
                }
            }
        }
        None
    }
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The speaker's name, where several share a role.
    pub name: Option<String>,
    /// What else stood in the message.
    pub extras: Extras,
}

impl Message {
    /// A turn of plain parts.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, name: None, extras: Extras::new() }
    }
}

/// Who speaks. Tool results are parts of a user's turn: dialects that give them messages of their own split them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator of the conversation.
    System,
    /// The same, by the name that newer models of OpenAI use.
    Developer,
    /// The user, and the tools that answer a call.
    User,
    /// The model.
    Assistant,
}

/// A piece of a turn or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// The prompt up to here is worth caching.
    pub cache: Option<CacheMark>,
    /// What the provider wants back with it.
    pub signature: Option<Signature>,
    /// What else stood in it.
    pub extras: Extras,
}

impl Part {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Content::Text { text: text.into(), citations: Vec::new() }.into()
    }
}

impl From<Content> for Part {
    fn from(content: Content) -> Self {
        Self { content, cache: None, signature: None, extras: Extras::new() }
    }
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text, and in answers what it cites.
    Text {
        /// The words.
        text: String,
        /// Sources.
        citations: Vec<Citation>,
    },
    /// An image, a recording, a film, a document.
    Media(Media),
    /// What the model thought. Its signature is the part's.
    Reasoning {
        /// The thoughts; empty where they are redacted or withheld.
        text: String,
        /// The text only sums them up.
        summary: bool,
        /// Encrypted as a whole: the signature holds all of it.
        redacted: bool,
    },
    /// The model declines, in words.
    Refusal(String),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// A tool's answer.
    ToolResult(ToolResult),
    /// A block that only the request's or answer's origin knows, whole.
    Native(Value),
}

/// Marks the end of a prefix that the provider should cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheMark {
    /// How long (`5m`, `1h`); `None`: the provider's usual time.
    pub ttl: Option<String>,
}

/// An opaque token that a provider returns and wants back unchanged: a thinking signature, encrypted reasoning, a thought
/// signature. Only the dialect that made it can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who made it.
    pub dialect: Dialect,
    /// As it came.
    pub value: String,
    /// The item that it belongs to, where the dialect names items.
    pub id: Option<String>,
}

/// What begins a token that is carried in another dialect's opaque field.
const CARRIED: &str = "waypost";

impl Signature {
    /// As it travels in an opaque field of `carrier`: bare at home, tagged abroad.
    pub fn token(&self, carrier: Dialect) -> String {
        if self.dialect == carrier {
            return self.value.clone();
        }
        format!("{CARRIED}.{}.{}.{}", self.dialect.name(), self.id.as_deref().unwrap_or(""), self.value)
    }

    /// Reads what [`Signature::token`] wrote; what carries no tag is the carrier's own.
    pub fn from_token(carrier: Dialect, token: &str) -> Self {
        let tagged = || {
            let rest = token.strip_prefix(CARRIED)?.strip_prefix('.')?;
            let (dialect, rest) = rest.split_once('.')?;
            let (id, value) = rest.split_once('.')?;
            let id = (!id.is_empty()).then(|| id.to_owned());
            Some(Self { dialect: Dialect::from_name(dialect)?, value: value.to_owned(), id })
        };
        tagged().unwrap_or_else(|| Self { dialect: carrier, value: token.to_owned(), id: None })
    }
}

/// Something that is not text.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is.
    pub source: Source,
    /// File name or title.
    pub name: Option<String>,
    /// How closely to look: `low`, `high`, `auto`.
    pub detail: Option<String>,
}

/// Kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A still picture.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// PDF, text and the like.
    Document,
}

/// Where media is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the web, or (`gs://`, `s3://`) in a provider's store.
    Url {
        /// The address.
        url: String,
        /// Its media type, where it is stated.
        mime: Option<String>,
    },
    /// Inline.
    Data {
        /// Media type: `image/png`.
        mime: String,
        /// Standard base64.
        base64: String,
    },
    /// Plain text as a document.
    Text(String),
    /// A file uploaded to the origin's provider.
    File(String),
}

impl Source {
    /// A URL, which may be a `data:` one: that becomes [`Source::Data`].
    pub fn from_url(url: &str) -> Self {
        let data = || {
            let (head, base64) = url.strip_prefix("data:")?.split_once(',')?;
            let mime = head.strip_suffix(";base64")?.split(';').next()?;
            Some(Self::Data { mime: mime.to_owned(), base64: base64.to_owned() })
        };
        data().unwrap_or_else(|| Self::Url { url: url.to_owned(), mime: None })
    }

    /// The same as one URL; `None` for what has none.
    pub fn to_url(&self) -> Option<String> {
        match self {
            Self::Url { url, .. } => Some(url.clone()),
            Self::Data { mime, base64 } => Some(format!("data:{mime};base64,{base64}")),
            Self::Text(_) | Self::File(_) => None,
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result names.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// JSON text exactly as the model wrote it, or free text where `custom`.
    pub arguments: String,
    /// A tool with free-form input.
    pub custom: bool,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Which call.
    pub call_id: String,
    /// The tool's name, where the dialect says it.
    pub name: Option<String>,
    /// Text and media.
    pub parts: Vec<Part>,
    /// The tool failed.
    pub is_error: bool,
    /// The call was one of a tool with free-form input.
    pub custom: bool,
}

/// A source that an answer cites.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// Who wrote `native`.
    pub origin: Dialect,
    /// Where it is.
    pub url: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// The words that it is cited for.
    pub quote: Option<String>,
    /// Characters of the answer's text that rest on it, end exclusive.
    pub range: Option<(u64, u64)>,
    /// As the origin wrote it.
    pub native: Value,
}

/// A tool on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What it is.
    pub kind: ToolKind,
    /// The tools up to here are worth caching.
    pub cache: Option<CacheMark>,
    /// What else stood in it.
    pub extras: Extras,
}

/// Kinds of tools.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    /// The client runs it.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema of its arguments; `None`: it takes none.
        schema: Option<Value>,
        /// Arguments must match the schema exactly.
        strict: Option<bool>,
    },
    /// The client runs it on free text (OpenAI's `custom`).
    Custom {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// What its input must be: `{"type": "grammar", "syntax": …, "definition": …}`.
        format: Option<Value>,
    },
    /// The origin's provider runs it, or only the origin knows it: whole.
    Native(Value),
}

/// Which tools the model must or may call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
    /// What only the origin knows, whole.
    Native(Value),
}

/// What the answer's text must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Anything.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// A name for it; some dialects have none.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Exactly.
        strict: Option<bool>,
    },
}

/// What a client says about reasoning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    /// Whether to reason at all; `None`: the model's own habit.
    pub enabled: Option<bool>,
    /// How hard.
    pub effort: Option<Effort>,
    /// At most so many tokens of it.
    pub budget_tokens: Option<u64>,
    /// Whether the thoughts (or a summary) are to be shown; `None`: the dialect's habit.
    pub show: Option<bool>,
}

/// How hard to reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// As usual.
    Medium,
    /// Hard.
    High,
    /// Harder.
    XHigh,
    /// As hard as it can.
    Max,
}

impl Effort {
    /// All, from least to most.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max];

    /// The name that OpenAI and Anthropic use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }

    /// Tokens of thought that stand for it where a dialect takes a budget instead; 0 is none.
    pub const fn budget_tokens(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal => 1_024,
            Self::Low => 2_048,
            Self::Medium => 8_192,
            Self::High => 16_384,
            Self::XHigh => 24_576,
            Self::Max => 32_000,
        }
    }

    /// The effort that a budget stands for where a dialect takes no budget.
    pub fn of_budget(tokens: u64) -> Self {
        Self::ALL.into_iter().rev().find(|e| e.budget_tokens() <= tokens).unwrap_or(Self::None)
    }
}

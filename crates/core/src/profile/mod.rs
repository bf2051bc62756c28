//! What routing may know of a request: counts, kinds and scores. No prompt text is in it; only [`last_turn`] hands any out.
//! Deterministic rules over a bounded part of the text: the beginning and end of the last user message, the beginning of
//! the system prompt and, where the last message only follows up, of those before it. Nothing is learned here.

mod complexity;
mod cues;
mod estimate;
mod evidence;
mod turn;
mod typos;

pub(crate) use estimate::framing_tokens;
pub use turn::last_turn;

use crate::registry::Capabilities;
use crate::scan::Scan;
use evidence::Evidence;

/// What a request asks for, by deterministic rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// Writing, changing or explaining code.
    Code,
    /// Calculation and proof.
    Math,
    /// Pulling given facts out of a text.
    Extraction,
    /// Choosing one of some labels.
    Classification,
    /// Making a text shorter.
    Summary,
    /// From one language to another.
    Translation,
    /// Several steps of inference: diagnosis, planning, law, design.
    Reasoning,
    /// Producing prose.
    Writing,
    /// A question with a short factual answer.
    Qa,
    /// Conversation, and whatever no rule knows.
    #[default]
    Chat,
}

impl Task {
    /// How many there are.
    pub const COUNT: usize = 10;
    /// All, in index order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Code,
        Self::Math,
        Self::Extraction,
        Self::Classification,
        Self::Summary,
        Self::Translation,
        Self::Reasoning,
        Self::Writing,
        Self::Qa,
        Self::Chat,
    ];

    /// Position in [`Task::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in configuration, records and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Math => "math",
            Self::Extraction => "extraction",
            Self::Classification => "classification",
            Self::Summary => "summary",
            Self::Translation => "translation",
            Self::Reasoning => "reasoning",
            Self::Writing => "writing",
            Self::Qa => "qa",
            Self::Chat => "chat",
        }
    }

    /// The task of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

/// Who waits: a person, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// A person waits; goes first under load.
    #[default]
    Interactive,
    /// Nobody waits; queued and shed first.
    Background,
}

impl Class {
    /// The name in configuration, records and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Background => "background",
        }
    }

    /// The class of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Interactive, Self::Background].into_iter().find(|c| c.name() == name)
    }
}

/// What routing knows of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Estimated input tokens before any model's own correction: text, tools and images.
    pub input_tokens: u32,
    /// Messages in the conversation.
    pub messages: u32,
    /// What the request needs of a model: modalities, tools, structured output, reasoning, streaming.
    pub needs: Capabilities,
    /// Number of tools offered.
    pub tools: u32,
    /// The request's own cap on output tokens.
    pub max_output_tokens: Option<u32>,
    /// Choices asked for; at least 1.
    pub n: u32,
    /// Whether the answer streams.
    pub stream: bool,
    /// What is asked for.
    pub task: Task,
    /// How sure the rules are of `task`, 0 to 1.
    pub confidence: f32,
    /// How hard it looks, 0 to 1.
    pub complexity: f32,
    /// Who waits.
    pub class: Class,
    /// Declared or detected personal data or secrets.
    pub sensitive: bool,
    /// Embeddings are asked for, not an answer.
    pub embeddings: bool,
    /// `task` and `complexity` are what a classifier model said, not the rules.
    pub classified: bool,
}

impl Profile {
    /// Names of the input modalities, `text` first.
    pub fn modalities(&self) -> Vec<&'static str> {
        let media =
            Capabilities::VISION.with(Capabilities::AUDIO).with(Capabilities::VIDEO).with(Capabilities::DOCUMENTS);
        let of = |c: Capabilities| match c {
            Capabilities::VISION => Some("image"),
            Capabilities::AUDIO => Some("audio"),
            Capabilities::VIDEO => Some("video"),
            Capabilities::DOCUMENTS => Some("document"),
            _ => None,
        };
        let asked = Capabilities(self.needs.0 & media.0);
        let named = Capabilities::NAMES.into_iter().filter(|(c, _)| asked.has(*c)).filter_map(|(c, _)| of(c));
        std::iter::once("text").chain(named).collect()
    }
}

/// What the caller or the operator has said about a request, which no rule overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Who waits; a person unless something else is said, whether or not the answer streams.
    pub class: Option<Class>,
    /// Declared sensitive, or found so by [`crate::sensitive::detect`].
    pub sensitive: bool,
}

/// The profile of a request. `scan` must be of this `body`. Takes a microsecond or two, whatever the body's length.
pub fn profile(body: &[u8], scan: &Scan, declared: Declared) -> Profile {
    let evidence = Evidence::gather(body, scan);
    let (task, confidence) = decide(&evidence);
    Profile {
        input_tokens: estimate::input_tokens(scan),
        messages: scan.messages,
        needs: needs(scan),
        tools: scan.tools,
        max_output_tokens: scan.max_output_tokens,
        n: scan.n.unwrap_or(1).max(1),
        stream: scan.stream.as_ref().is_some_and(|s| s.0),
        task,
        confidence,
        complexity: complexity::complexity(scan, &evidence, task),
        class: declared.class.unwrap_or_default(),
        sensitive: declared.sensitive,
        embeddings: scan.embeddings,
        classified: false,
    }
}

/// Builds the rules' tables now (some milliseconds), so that no request waits for them.
pub fn load() {
    typos::find(b"tables", |_, _| {});
}

/// What the request needs of a model. What it is silent on it does not need; what it does say is never dropped.
fn needs(scan: &Scan) -> Capabilities {
    [
        (scan.images > 0, Capabilities::VISION),
        (scan.audio > 0, Capabilities::AUDIO),
        (scan.video > 0, Capabilities::VIDEO),
        (scan.documents > 0, Capabilities::DOCUMENTS),
        // A conversation with calls in it needs a model that reads them, even where it offers no tools any more.
        (scan.tools > 0 || scan.tool_turns > 0, Capabilities::TOOLS),
        (scan.parallel_tool_calls == Some(true), Capabilities::PARALLEL_TOOLS),
        (scan.json_schema, Capabilities::STRUCTURED_OUTPUT),
        (scan.reasoning, Capabilities::REASONING),
        (scan.stream.as_ref().is_some_and(|s| s.0), Capabilities::STREAMING),
    ]
    .into_iter()
    .filter(|(needed, _)| *needed)
    .fold(Capabilities::default(), |needs, (_, c)| needs.with(c))
}

/// The task with the most weight, and how sure that is: near 1 only where the evidence is strong and of one mind.
fn decide(evidence: &Evidence) -> (Task, f32) {
    let mut ranked = Task::ALL.map(|t| (evidence.tasks[t.index()], t));
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let [(top, task), (second, _), ..] = ranked;
    if top < 0.5 {
        return (Task::Chat, 0.3);
    }
    (task, top / (top + second + 1.2))
}

#[cfg(test)]
mod tests;

//! What routing may know of a request: counts, kinds and scores. No prompt text is in it, and none leaves this module.

use crate::registry::Capabilities;

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
/// x
pub fn framing_tokens(_: &crate::scan::Scan) -> u32 {
    0
}

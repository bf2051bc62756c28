//! How the chat APIs that look like OpenAI's differ from it.

/// What an OpenAI look-alike's chat API takes. Only a request that is translated for it goes by this: what a client of the
/// same dialect sends passes as it is. A field that is refused, or read and not obeyed, counts as not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// The cap's name is `max_completion_tokens` (OpenAI) and not `max_tokens`.
    pub max_completion_tokens: bool,
    /// Takes the role `developer`; else it is written `system`.
    pub developer: bool,
    /// Takes a message's `name`.
    pub names: bool,
    /// Content that is only text may be a list of parts; else it is joined to one string.
    pub text_parts: bool,
    /// Takes `refusal` in an earlier answer; else its words are text.
    pub refusal: bool,
    /// Takes films, as parts of type `video_url`.
    pub video: bool,
    /// Takes and gives `images` in the model's own messages.
    pub images: bool,
    /// Takes `cache_control` on parts and tools.
    pub cache_control: bool,
    /// Takes `extra_content.google.thought_signature` on calls and messages.
    pub thought_signatures: bool,
    /// How earlier thoughts are given back to it.
    pub thoughts: Thoughts,
    /// Takes `response_format: json_schema`.
    pub json_schema: bool,
    /// Takes `response_format: json_object`.
    pub json_object: bool,
    /// Which tools can be forced.
    pub tool_choice: ToolForcing,
    /// Takes `parallel_tool_calls`.
    pub parallel_tool_calls: bool,
    /// Takes `strict` in a function.
    pub strict_tools: bool,
    /// Takes tools with free-form input.
    pub custom_tools: bool,
    /// Takes `reasoning_effort`.
    pub reasoning_effort: bool,
    /// Its efforts go beyond `low`, `medium` and `high`.
    pub wide_efforts: bool,
    /// Another switch for reasoning, beside or instead of `reasoning_effort`.
    pub thinking: ThinkingSwitch,
    /// A stream may be asked for its usage with `stream_options`.
    pub stream_options: bool,
    /// What the seed is called, where it takes one.
    pub seed: Option<&'static str>,
    /// Takes `frequency_penalty` and `presence_penalty`.
    pub penalties: bool,
    /// Takes `logprobs` and `top_logprobs`.
    pub logprobs: bool,
    /// Gives several answers (`n`).
    pub n: bool,
    /// Takes `top_k`.
    pub top_k: bool,
    /// Takes `verbosity`.
    pub verbosity: bool,
    /// Takes `user`.
    pub user: bool,
    /// Takes what belongs to an account at OpenAI: `metadata`, `store`, `service_tier`, `safety_identifier` and the fields
    /// of the prompt cache.
    pub account_fields: bool,
}

/// How a model's earlier thoughts are given back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoughts {
    /// Not at all: the API refuses them.
    Unwanted,
    /// As text in `reasoning_content`, unsigned.
    Content,
    /// In `reasoning_details`, signatures included.
    Details,
}

/// Which tools can be forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolForcing {
    /// Any of them (`required`) or a certain one.
    Any,
    /// A certain one.
    Named,
    /// Any of them, but not a certain one.
    Unnamed,
    /// None; nor can tools that are on offer be forbidden.
    Never,
}

/// A field that turns reasoning on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingSwitch {
    /// There is none.
    Absent,
    /// `thinking: {type: enabled | disabled}`.
    Kind,
    /// `enable_thinking` with `thinking_budget`.
    Flag,
    /// `reasoning: {enabled, effort, max_tokens, exclude}`.
    Object,
}

impl Quirks {
    /// OpenAI itself.
    pub const OPENAI: Self = Self {
        max_completion_tokens: true,
        developer: true,
        names: true,
        text_parts: true,
        refusal: true,
        video: false,
        images: false,
        cache_control: false,
        thought_signatures: false,
        thoughts: Thoughts::Unwanted,
        json_schema: true,
        json_object: true,
        tool_choice: ToolForcing::Any,
        parallel_tool_calls: true,
        strict_tools: true,
        custom_tools: true,
        reasoning_effort: true,
        wide_efforts: true,
        thinking: ThinkingSwitch::Absent,
        stream_options: true,
        seed: Some("seed"),
        penalties: true,
        logprobs: true,
        n: true,
        top_k: false,
        verbosity: true,
        user: true,
        account_fields: true,
    };

    /// What most look-alikes take.
    pub const LOOK_ALIKE: Self = Self {
        max_completion_tokens: false,
        developer: false,
        text_parts: false,
        refusal: false,
        custom_tools: false,
        wide_efforts: false,
        verbosity: false,
        account_fields: false,
        ..Self::OPENAI
    };
}

impl Default for Quirks {
    /// What most look-alikes take.
    fn default() -> Self {
        Self::LOOK_ALIKE
    }
}

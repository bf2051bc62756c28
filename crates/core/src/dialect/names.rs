//! How the client's dialect names what is left out or refused on the way to another.

use crate::registry::Dialect;

/// A field of the canonical form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    Reasoning,
    ShowThoughts,
    Stop,
    Format,
    MaxTokens,
    User,
    ParallelTools,
    CallArguments,
    Citations,
    ToolStrict,
    Block,
}

/// Its name in `origin`, for dialects that clients speak; the others go by OpenAI's names.
pub(super) const fn name(field: Name, origin: Dialect) -> &'static str {
    use Dialect::{Anthropic, Responses};
    match (field, origin) {
        (Name::Reasoning, Responses) => "reasoning",
        (Name::Reasoning, Anthropic) => "thinking",
        (Name::Reasoning, _) => "reasoning_effort",
        (Name::ShowThoughts, Responses) => "reasoning.summary",
        (Name::ShowThoughts, Anthropic) => "thinking.display",
        (Name::ShowThoughts, _) => "reasoning.exclude",
        (Name::Stop, Anthropic) => "stop_sequences",
        (Name::Stop, _) => "stop",
        (Name::Format, Responses) => "text.format",
        (Name::Format, Anthropic) => "output_config.format",
        (Name::Format, _) => "response_format",
        (Name::MaxTokens, Responses) => "max_output_tokens",
        (Name::MaxTokens, _) => "max_tokens",
        (Name::User, Anthropic) => "metadata.user_id",
        (Name::User, _) => "user",
        (Name::ParallelTools, Anthropic) => "tool_choice.disable_parallel_tool_use",
        (Name::ParallelTools, _) => "parallel_tool_calls",
        (Name::CallArguments, Responses) => "input[].arguments",
        (Name::CallArguments, Anthropic) => "messages[].content[].input",
        (Name::CallArguments, _) => "messages[].tool_calls[].function.arguments",
        (Name::Citations, Responses) => "input[].content[].annotations",
        (Name::Citations, Anthropic) => "messages[].content[].citations",
        (Name::Citations, _) => "messages[].annotations",
        (Name::ToolStrict, Responses | Anthropic) => "tools[].strict",
        (Name::ToolStrict, _) => "tools[].function.strict",
        (Name::Block, Responses) => "input[].content[]",
        (Name::Block, _) => "messages[].content[]",
    }
}

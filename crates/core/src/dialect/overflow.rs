//! Whether a provider's error says that the input does not fit the model's window: by code where it has one, else by the
//! words that providers are known to use. It knows no wire format; the dialects read their errors first.

use super::UpstreamError;

/// Codes and types that say it outright: OpenAI, Azure, Groq, Cerebras; llama.cpp; Z.ai; Mistral.
const OVERFLOW_CODES: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "model_context_window_exceeded",
    "invalid_request_prompt_too_long",
];

/// What the others write, in lower case: each line is a part of a known message.
const OVERFLOW_PHRASES: [&str; 26] = [
    // OpenAI, DeepSeek, vLLM, OpenRouter ("This endpoint's …"), Fireworks, Mistral ("too large for model with …").
    "maximum context length",
    "exceeds the context window",
    // OpenAI's larger windows.
    "input tokens exceed the configured limit",
    // Groq, Cerebras.
    "reduce the length of the messages",
    // Together, SGLang.
    "longer than the model's context length",
    "inputs tokens + max_new_tokens must be",
    "`inputs` tokens + `max_new_tokens` must be",
    // Ollama.
    "exceeds the context length",
    "exceeded max context length",
    // llama.cpp, LM Studio.
    "exceeds the available context size",
    "greater than the context length",
    // xAI.
    "maximum prompt length is",
    // Gemini.
    "exceeds the maximum number of tokens allowed",
    "input token count exceeds",
    // Anthropic's models behind a compatible API, Fireworks.
    "prompt is too long",
    "exceed context limit",
    // Bedrock.
    "input is too long for requested model",
    "exceeds the model's context",
    "number of input tokens exceeds",
    "input tokens exceeded",
    "too many input tokens",
    // Moonshot, MiniMax, DashScope, Z.ai.
    "exceeded model token limit",
    "context window exceeds limit",
    "range of input length should be",
    "prompt exceeds max length",
    // Without a vendor.
    "context length exceeded",
];

/// Limits of rate speak of too many tokens as well, and Groq gives them a 413: they are not about the window.
pub(super) fn is_context_overflow(status: Option<u16>, error: &UpstreamError) -> bool {
    let says = |field: &Option<String>, what: &str| field.as_deref().is_some_and(|f| f.eq_ignore_ascii_case(what));
    if status == Some(429) || says(&error.code, "rate_limit_exceeded") {
        return false;
    }
    if OVERFLOW_CODES.iter().any(|code| says(&error.code, code) || says(&error.kind, code)) {
        return true;
    }
    let message = error.message.to_ascii_lowercase();
    OVERFLOW_CODES.iter().chain(&OVERFLOW_PHRASES).any(|phrase| message.contains(phrase))
}

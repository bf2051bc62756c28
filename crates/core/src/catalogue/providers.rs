//! The providers that need no more than a name and a key. Base URLs end where the vendor's own paths begin.

use super::KnownProvider;
use crate::registry::{Dialect, Quirks, ThinkingSwitch, Thoughts, ToolForcing};

/// So many of the table's first entries are makers of models, whose facts win for a name without a provider.
pub(super) const MAKERS: usize = 11;

/// All known providers: makers of models first, then hosts, then what runs in the operator's own house or cloud account.
pub fn known_providers() -> &'static [KnownProvider] {
    TABLE
}

/// The known provider of this exact name.
pub fn known_provider(name: &str) -> Option<&'static KnownProvider> {
    TABLE.iter().find(|p| p.name == name)
}

/// Routers in front of many makers take what any of these takes.
const ROUTER: Quirks = Quirks {
    developer: true,
    text_parts: true,
    refusal: true,
    cache_control: true,
    thoughts: Thoughts::Details,
    wide_efforts: true,
    thinking: ThinkingSwitch::Object,
    top_k: true,
    verbosity: true,
    ..Quirks::LOOK_ALIKE
};

const OPENAI: &[Dialect] = &[Dialect::OpenAi];

/// What most of them are: chat completions at one address, and a stream that takes `stream_options`.
const fn like_openai(
    name: &'static str,
    base_url: &'static str,
    env: &'static [&'static str],
    starters: &'static [&'static str],
) -> KnownProvider {
    KnownProvider {
        name,
        dialects: OPENAI,
        base_url: Some(base_url),
        env,
        stream_usage: true,
        quirks: Quirks::LOOK_ALIKE,
        starters,
    }
}

/// An account-bound cloud: the address comes from the configuration, and so do the models.
const fn cloud(name: &'static str, dialects: &'static [Dialect], env: &'static [&'static str]) -> KnownProvider {
    KnownProvider { name, dialects, base_url: None, env, stream_usage: true, quirks: Quirks::OPENAI, starters: &[] }
}

static TABLE: &[KnownProvider] = &[
    KnownProvider {
        dialects: &[Dialect::OpenAi, Dialect::Responses],
        quirks: Quirks::OPENAI,
        ..like_openai(
            "openai",
            "https://api.openai.com/v1",
            &["OPENAI_API_KEY"],
            &["gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol"],
        )
    },
    KnownProvider {
        dialects: &[Dialect::Anthropic],
        ..like_openai(
            "anthropic",
            "https://api.anthropic.com",
            &["ANTHROPIC_API_KEY"],
            &["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"],
        )
    },
    KnownProvider {
        dialects: &[Dialect::Gemini],
        // Of its OpenAI-compatible face, for who configures that: an unknown field is an error there.
        quirks: Quirks {
            thought_signatures: true,
            seed: None,
            penalties: false,
            logprobs: false,
            user: false,
            text_parts: true,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            &["gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-4-argon"],
        )
    },
    KnownProvider {
        // Refuses `stream_options` with a 422, and ends every stream with its usage unasked.
        stream_usage: false,
        quirks: Quirks {
            names: false,
            text_parts: true,
            reasoning_effort: false,
            seed: Some("random_seed"),
            logprobs: false,
            user: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "mistral",
            "https://api.mistral.ai/v1",
            &["MISTRAL_API_KEY"],
            &["mistral-small-latest", "mistral-large-latest", "mistral-large-4"],
        )
    },
    KnownProvider {
        // Wants its thoughts back where they led to a call.
        quirks: Quirks {
            thoughts: Thoughts::Content,
            json_schema: false,
            parallel_tool_calls: false,
            strict_tools: false,
            wide_efforts: true,
            thinking: ThinkingSwitch::Kind,
            seed: None,
            n: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "deepseek",
            "https://api.deepseek.com",
            &["DEEPSEEK_API_KEY"],
            &["deepseek-v4-flash", "deepseek-v4-pro"],
        )
    },
    KnownProvider {
        // Its reasoning models refuse penalties.
        quirks: Quirks { max_completion_tokens: true, text_parts: true, penalties: false, ..Quirks::LOOK_ALIKE },
        ..like_openai("xai", "https://api.x.ai/v1", &["XAI_API_KEY"], &["grok-4.3", "grok-4.7"])
    },
    KnownProvider {
        // Fixes its sampling, and wants the thoughts of a call back.
        quirks: Quirks {
            max_completion_tokens: true,
            thoughts: Thoughts::Content,
            tool_choice: ToolForcing::Named,
            strict_tools: false,
            thinking: ThinkingSwitch::Kind,
            penalties: false,
            n: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai("moonshot", "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"], &["kimi-k2.6", "kimi-k3.1-pro"])
    },
    KnownProvider {
        quirks: Quirks {
            names: false,
            thoughts: Thoughts::Content,
            json_schema: false,
            tool_choice: ToolForcing::Never,
            parallel_tool_calls: false,
            strict_tools: false,
            thinking: ThinkingSwitch::Kind,
            seed: None,
            penalties: false,
            logprobs: false,
            n: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "zai",
            "https://api.z.ai/api/paas/v4",
            &["ZAI_API_KEY", "Z_AI_API_KEY"],
            &["glm-5.3-flash", "glm-5.3"],
        )
    },
    KnownProvider {
        // Refuses `stream_options`.
        stream_usage: false,
        quirks: Quirks { parallel_tool_calls: false, logprobs: false, n: false, user: false, ..Quirks::LOOK_ALIKE },
        ..like_openai(
            "cohere",
            "https://api.cohere.ai/compatibility/v1",
            &["COHERE_API_KEY", "CO_API_KEY"],
            &["command-r7b-12-2024", "command-r-08-2024", "command-a-03-2025"],
        )
    },
    KnownProvider {
        quirks: Quirks {
            text_parts: true,
            video: true,
            cache_control: true,
            tool_choice: ToolForcing::Named,
            thinking: ThinkingSwitch::Flag,
            top_k: true,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "dashscope",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            &["DASHSCOPE_API_KEY"],
            &["qwen3.8-flash", "qwen3.8-max"],
        )
    },
    KnownProvider {
        quirks: Quirks {
            max_completion_tokens: true,
            thoughts: Thoughts::Details,
            json_schema: false,
            tool_choice: ToolForcing::Never,
            parallel_tool_calls: false,
            strict_tools: false,
            seed: None,
            penalties: false,
            logprobs: false,
            n: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai("minimax", "https://api.minimax.io/v1", &["MINIMAX_API_KEY"], &["MiniMax-M2.5", "MiniMax-M3"])
    },
    // Hosts.
    KnownProvider {
        quirks: Quirks { max_completion_tokens: true, names: false, logprobs: false, n: false, ..Quirks::LOOK_ALIKE },
        ..like_openai(
            "groq",
            "https://api.groq.com/openai/v1",
            &["GROQ_API_KEY"],
            &["openai/gpt-oss-20b", "openai/gpt-oss-120b"],
        )
    },
    KnownProvider {
        // Its `logprobs` is a number.
        quirks: Quirks { logprobs: false, top_k: true, ..Quirks::LOOK_ALIKE },
        ..like_openai(
            "together",
            "https://api.together.ai/v1",
            &["TOGETHER_API_KEY", "TOGETHERAI_API_KEY"],
            &["zai-org/GLM-5.3-Flash", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3", "moonshotai/Kimi-K3"],
        )
    },
    KnownProvider {
        quirks: Quirks { top_k: true, ..Quirks::LOOK_ALIKE },
        ..like_openai(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            &["FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"],
            &[
                "accounts/fireworks/models/glm-5p3-flash",
                "accounts/fireworks/models/deepseek-v4p1-flash",
                "accounts/fireworks/models/glm-5p3",
                "accounts/fireworks/models/kimi-k3",
            ],
        )
    },
    KnownProvider {
        quirks: Quirks {
            max_completion_tokens: true,
            parallel_tool_calls: false,
            penalties: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai("cerebras", "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"], &["gpt-oss-120b", "gemma-4-31b"])
    },
    KnownProvider {
        quirks: Quirks { top_k: true, ..Quirks::LOOK_ALIKE },
        ..like_openai(
            "deepinfra",
            "https://api.deepinfra.com/v1/openai",
            &["DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"],
            &["openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash", "deepseek-ai/DeepSeek-V4-Pro-0813"],
        )
    },
    KnownProvider {
        quirks: Quirks { video: true, images: true, ..ROUTER },
        ..like_openai(
            "openrouter",
            "https://openrouter.ai/api/v1",
            &["OPENROUTER_API_KEY"],
            &["openai/gpt-5.6-luna", "anthropic/claude-sonnet-5", "openai/gpt-5.6-terra"],
        )
    },
    KnownProvider {
        // Sends its usage with every chunk, asked or not.
        stream_usage: false,
        quirks: Quirks {
            json_object: false,
            tool_choice: ToolForcing::Never,
            parallel_tool_calls: false,
            seed: None,
            logprobs: false,
            n: false,
            user: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai(
            "perplexity",
            "https://api.perplexity.ai",
            &["PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"],
            &["sonar", "sonar-pro"],
        )
    },
    like_openai(
        "novita",
        "https://api.novita.ai/openai/v1",
        &["NOVITA_API_KEY"],
        &["openai/gpt-oss-120b", "minimax/minimax-m3", "zai-org/glm-5.3"],
    ),
    like_openai(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        &["NEBIUS_API_KEY"],
        &["openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3"],
    ),
    like_openai("sambanova", "https://api.sambanova.ai/v1", &["SAMBANOVA_API_KEY"], &["gpt-oss-120b", "MiniMax-M2.7"]),
    like_openai(
        "baseten",
        "https://inference.baseten.co/v1",
        &["BASETEN_API_KEY"],
        &["zai-org/GLM-5.3-Flash", "deepseek-ai/DeepSeek-V4.1-Flash", "zai-org/GLM-5.3"],
    ),
    KnownProvider {
        quirks: ROUTER,
        ..like_openai(
            "vercel",
            "https://ai-gateway.vercel.sh/v1",
            &["AI_GATEWAY_API_KEY"],
            &["openai/gpt-4o-mini", "google/gemini-2.5-pro", "anthropic/claude-opus-4.6"],
        )
    },
    like_openai("nvidia", "https://integrate.api.nvidia.com/v1", &["NVIDIA_API_KEY"], &[]),
    like_openai("huggingface", "https://router.huggingface.co/v1", &["HF_TOKEN"], &[]),
    // At home.
    KnownProvider {
        // Reads `tool_choice` and does not obey it.
        quirks: Quirks {
            text_parts: true,
            tool_choice: ToolForcing::Never,
            parallel_tool_calls: false,
            n: false,
            user: false,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai("ollama", "http://127.0.0.1:11434/v1", &[], &["llama3.2", "qwen3", "gpt-oss"])
    },
    KnownProvider {
        // Takes `tool_choice` only as a word.
        quirks: Quirks { json_object: false, tool_choice: ToolForcing::Unnamed, ..Quirks::LOOK_ALIKE },
        ..like_openai("lmstudio", "http://127.0.0.1:1234/v1", &[], &[])
    },
    KnownProvider {
        quirks: Quirks {
            text_parts: true,
            video: true,
            thoughts: Thoughts::Content,
            top_k: true,
            ..Quirks::LOOK_ALIKE
        },
        ..like_openai("vllm", "http://127.0.0.1:8000/v1", &[], &[])
    },
    // In the operator's account.
    cloud("azure", &[Dialect::OpenAi, Dialect::Responses], &["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"]),
    cloud("vertex", &[Dialect::Gemini], &[]),
    cloud("bedrock", &[Dialect::Bedrock], &["AWS_BEARER_TOKEN_BEDROCK"]),
];

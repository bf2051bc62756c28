//! The built-in facts about models and known providers.

use crate::registry::{Capabilities, Dialect, Price, Tier, Tokenizer};

/// What the catalogue states of one model at one vendor.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Known provider that sells it.
    pub provider: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Largest sum of input and output tokens.
    pub context_window: Option<u32>,
    /// Longest answer.
    pub max_output_tokens: Option<u32>,
    /// `None`: not stated.
    pub capabilities: Option<Capabilities>,
    /// `None`: not stated.
    pub price: Option<Price>,
    /// Size tier by the generator's rule; `None` for embeddings and unknown families.
    pub tier: Option<Tier>,
    /// Day from which the vendor calls it deprecated.
    pub deprecated: Option<jiff::civil::Date>,
    /// Exact or nearest public tokenizer.
    pub tokenizer: Tokenizer,
}

/// A provider that needs no `base_url`.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownProvider {
    /// Name in the configuration.
    pub name: &'static str,
    /// Dialects, preferred first.
    pub dialects: &'static [Dialect],
    /// Where its paths begin; `None` where the account decides (Azure, Vertex).
    pub base_url: Option<&'static str>,
    /// Environment variables that may hold its key, in order.
    pub env: &'static [&'static str],
    /// Whether a stream may be asked for usage with `stream_options`.
    pub stream_usage: bool,
    /// A few current chat models offered by a start without configuration, cheap to dear.
    pub starters: &'static [&'static str],
}

const PROVIDERS: &[KnownProvider] = &[
    KnownProvider {
        name: "openai",
        dialects: &[Dialect::OpenAi, Dialect::Responses],
        base_url: Some("https://api.openai.com/v1"),
        env: &["OPENAI_API_KEY"],
        stream_usage: true,
        starters: &["gpt-4o-mini", "gpt-4o"],
    },
    KnownProvider {
        name: "anthropic",
        dialects: &[Dialect::Anthropic],
        base_url: Some("https://api.anthropic.com"),
        env: &["ANTHROPIC_API_KEY"],
        stream_usage: true,
        starters: &["claude-sonnet-4-5"],
    },
    KnownProvider {
        name: "mistral",
        dialects: &[Dialect::OpenAi],
        base_url: Some("https://api.mistral.ai/v1"),
        env: &["MISTRAL_API_KEY"],
        stream_usage: true,
        starters: &["mistral-small-latest"],
    },
    KnownProvider {
        name: "ollama",
        dialects: &[Dialect::OpenAi],
        base_url: Some("http://127.0.0.1:11434/v1"),
        env: &[],
        stream_usage: true,
        starters: &[],
    },
    KnownProvider {
        name: "azure",
        dialects: &[Dialect::OpenAi],
        base_url: None,
        env: &["AZURE_API_KEY"],
        stream_usage: true,
        starters: &[],
    },
];

/// Stand-in.
pub fn find(provider: Option<&str>, name: &str) -> Option<Facts> {
    let usd = |x: f64| (x * 1e9) as i64;
    let all = Capabilities::VISION
        .with(Capabilities::TOOLS)
        .with(Capabilities::PARALLEL_TOOLS)
        .with(Capabilities::STRUCTURED_OUTPUT)
        .with(Capabilities::STREAMING);
    let of = |provider, name, window, max, input, output, read, tier| Facts {
        provider,
        name,
        context_window: Some(window),
        max_output_tokens: Some(max),
        capabilities: Some(all),
        price: Some(Price { input: usd(input), output: usd(output), cache_read: Some(usd(read)), ..Price::default() }),
        tier: Some(tier),
        deprecated: None,
        tokenizer: Tokenizer::O200k,
    };
    let known = [
        of("openai", "gpt-4o-mini", 128_000, 16_384, 0.15, 0.60, 0.075, Tier::Medium),
        of("openai", "gpt-4o", 128_000, 16_384, 2.5, 10.0, 1.25, Tier::Large),
        of("anthropic", "claude-sonnet-4-5", 200_000, 64_000, 3.0, 15.0, 0.3, Tier::Frontier),
        of("mistral", "mistral-small-latest", 128_000, 128_000, 0.1, 0.3, 0.1, Tier::Small),
    ];
    known.into_iter().find(|f| f.name == name && provider.is_none_or(|p| p == f.provider))
}

/// Stand-in.
pub fn known_provider(name: &str) -> Option<&'static KnownProvider> {
    PROVIDERS.iter().find(|p| p.name == name)
}

/// Stand-in.
pub fn known_providers() -> &'static [KnownProvider] {
    PROVIDERS
}

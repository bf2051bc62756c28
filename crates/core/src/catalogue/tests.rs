use super::*;
use Tier::{Frontier, Large, Medium, Small};
use jiff::civil::date;

fn usd(dollars: f64) -> i64 {
    (dollars * 1e9).round() as i64
}

fn at(provider: &str, name: &str) -> Facts {
    find(Some(provider), name).unwrap_or_else(|| panic!("{provider} {name}"))
}

#[test]
fn every_line_parses_and_is_in_order() {
    let lines: Vec<&str> = DATA.lines().skip(1).collect();
    for line in &lines {
        assert!(parse(line).is_some(), "{line}");
    }
    let keys: Vec<(&str, &str)> = lines.iter().map(|l| (column(l, 0), name_of(l))).collect();
    assert!(keys.windows(2).all(|w| w[0] < w[1]), "binary search needs sorted, unique lines");
    assert_eq!(all().count(), lines.len());
    assert!(lines.len() > 1500);
}

#[test]
fn facts_are_plausible() {
    for f in all() {
        assert!(known_provider(f.provider).is_some(), "{f:?}");
        if let Some(p) = f.price {
            let long = p.long.map_or([0; 3], |l| [l.input, l.output, l.cache_read.unwrap_or(0)]);
            let rates = [p.input, p.output, p.cache_read.unwrap_or(0), p.cache_write.unwrap_or(0)];
            assert!(rates.into_iter().chain(long).all(|r| (0..=usd(1000.0)).contains(&r)), "{f:?}");
            assert!(p.long.is_none_or(|l| l.input >= p.input && l.output >= p.output), "{f:?}");
            assert!(p.batch.is_none_or(|(i, o)| i <= p.input && o <= p.output), "{f:?}");
        }
        assert!(f.max_output_tokens.is_none() || f.context_window.is_none() || f.max_output_tokens <= f.context_window);
        assert!(f.kind != Kind::Embedding || (f.tier.is_none() && f.capabilities.is_none()), "{f:?}");
    }
}

/// Input, output, cache read, window, longest answer: the vendors' published figures.
#[test]
fn well_known_figures() {
    type Row = (&'static str, &'static str, f64, f64, Option<f64>, u32, u32);
    #[rustfmt::skip]
    let rows: [Row; 16] = [
        ("openai", "gpt-4o", 2.5, 10.0, Some(1.25), 128_000, 16_384),
        ("openai", "gpt-4o-mini", 0.15, 0.6, Some(0.075), 128_000, 16_384),
        ("openai", "gpt-4.1", 2.0, 8.0, Some(0.5), 1_047_576, 32_768),
        ("openai", "gpt-5", 1.25, 10.0, Some(0.125), 400_000, 128_000),
        ("openai", "gpt-5.6-sol", 4.0, 20.0, Some(0.4), 1_050_000, 128_000),
        ("openai", "o3", 2.0, 8.0, Some(0.5), 200_000, 100_000),
        ("anthropic", "claude-sonnet-4-5", 3.0, 15.0, Some(0.3), 200_000, 64_000),
        ("anthropic", "claude-haiku-4-5", 1.0, 5.0, Some(0.1), 200_000, 64_000),
        ("anthropic", "claude-opus-4-5", 5.0, 25.0, Some(0.5), 200_000, 64_000),
        ("gemini", "gemini-2.5-pro", 1.25, 10.0, Some(0.125), 1_048_576, 65_536),
        ("gemini", "gemini-2.5-flash", 0.3, 2.5, Some(0.03), 1_048_576, 65_536),
        ("groq", "openai/gpt-oss-120b", 0.15, 0.6, Some(0.075), 131_072, 65_536),
        ("deepseek", "deepseek-chat", 0.28, 0.42, Some(0.028), 131_072, 8_192),
        ("azure", "gpt-4.1-mini", 0.4, 1.6, Some(0.1), 1_047_576, 32_768),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", 3.0, 15.0, Some(0.3), 200_000, 64_000),
        ("openrouter", "anthropic/claude-sonnet-4.5", 3.0, 15.0, Some(0.3), 200_000, 64_000),
    ];
    for (provider, name, input, output, read, window, longest) in rows {
        let f = at(provider, name);
        let p = f.price.unwrap_or_else(|| panic!("{name}"));
        assert_eq!((p.input, p.output, p.cache_read), (usd(input), usd(output), read.map(usd)), "{name}");
        assert_eq!((f.context_window, f.max_output_tokens), (Some(window), Some(longest)), "{name}");
        assert_eq!(f.kind, Kind::Chat, "{name}");
    }
}

#[test]
fn the_rest_of_a_record() {
    let sonnet = at("anthropic", "claude-sonnet-4-5");
    assert_eq!(sonnet.deprecated, Some(date(2026, 11, 30)));
    assert_eq!(sonnet.price.unwrap().cache_write, Some(usd(3.75)));
    assert_eq!(sonnet.price.unwrap().batch, Some((usd(1.5), usd(7.5))));

    let long = at("gemini", "gemini-2.5-pro").price.unwrap().long.unwrap();
    let expected = LongPrice {
        above: 200_000,
        input: usd(2.5),
        output: usd(15.0),
        cache_read: Some(usd(0.25)),
        cache_write: None,
    };
    assert_eq!(long, expected);
    assert_eq!(at("openai", "gpt-5.4").price.unwrap().long.unwrap().above, 272_000);
    // Stated as tiers, and as an answer that costs more when it is thought about.
    assert_eq!(at("dashscope", "qwen-flash").price.unwrap().long.unwrap().above, 256_000);
    assert_eq!(at("dashscope", "qwen-plus-latest").price.unwrap().reasoning, Some(usd(4.0)));

    let embedding = at("openai", "text-embedding-3-small");
    assert_eq!((embedding.kind, embedding.tier), (Kind::Embedding, None));
    assert_eq!((embedding.price.unwrap().input, embedding.price.unwrap().output), (usd(0.02), 0));
    assert_eq!(at("openai", "gpt-5-pro").kind, Kind::Responses);

    for (name, tokenizer) in [
        ("gpt-4", Tokenizer::Cl100k),
        ("gpt-4-turbo", Tokenizer::Cl100k),
        ("gpt-3.5-turbo", Tokenizer::Cl100k),
        ("text-embedding-3-large", Tokenizer::Cl100k),
        ("gpt-4o", Tokenizer::O200k),
        ("gpt-4.1", Tokenizer::O200k),
        ("o3", Tokenizer::O200k),
        ("gpt-5", Tokenizer::O200k),
    ] {
        assert_eq!(at("openai", name).tokenizer, tokenizer, "{name}");
    }
    assert_eq!(at("azure", "gpt-35-turbo").tokenizer, Tokenizer::Cl100k);
}

#[test]
fn capabilities_are_complete_or_unknown() {
    type C = Capabilities;
    let able = C::STREAMING.with(C::TOOLS).with(C::PARALLEL_TOOLS).with(C::STRUCTURED_OUTPUT);
    let cases = [
        ("openai", "gpt-4o", Some(able.with(C::VISION).with(C::DOCUMENTS))),
        ("openai", "o3", Some(able.with(C::VISION).with(C::DOCUMENTS).with(C::REASONING).without(C::PARALLEL_TOOLS))),
        ("anthropic", "claude-haiku-4-5", Some(able.with(C::VISION).with(C::DOCUMENTS).with(C::REASONING))),
        ("groq", "openai/gpt-oss-120b", Some(able.with(C::REASONING))),
        ("ollama", "llama3.2", Some(able)),
        ("ollama", "gemma3", Some(C::STREAMING.with(C::VISION).with(C::STRUCTURED_OUTPUT))),
        // The list says of these that they take tools, and no more.
        ("openai", "gpt-4", None),
        ("zai", "glm-4.6", None),
    ];
    for (provider, name, expected) in cases {
        assert_eq!(at(provider, name).capabilities, expected, "{name}");
    }
    assert!(!at("openai", "o1-pro").capabilities.unwrap().has(C::STREAMING));
}

#[test]
fn a_zero_price_is_free_only_where_it_is() {
    let free = Some(Price::default());
    for (provider, name, price) in [
        ("ollama", "llama3.2", free),
        ("ollama", "nomic-embed-text", free),
        ("zai", "glm-4.5-flash", free),
        ("cohere", "command-a-plus-05-2026", None),
        ("vertex", "meta/llama-3.1-8b-instruct-maas", None),
        // Priced by the thousand in the list.
        ("azure", "jais-30b-chat", None),
    ] {
        assert_eq!(at(provider, name).price, price, "{name}");
    }
    // A free cache write in the list is a vendor that does not charge for it apart: the input's rate holds.
    assert_eq!(at("deepseek", "deepseek-v4-flash").price.unwrap().cache_write, None);
}

#[test]
fn tiers_of_well_known_models() {
    let rows: [(Tier, &str, &str); 4] = [
        (
            Small,
            "small",
            "openai:gpt-3.5-turbo openai:gpt-4.1-nano openai:gpt-5-nano openai:gpt-5.4-nano vertex:claude-3-haiku \
             gemini:gemini-2.5-flash-lite gemini:gemini-3.5-flash-lite mistral:ministral-8b-latest \
             mistral:open-mistral-nemo ollama:llama3.2 ollama:llama3.1:8b ollama:qwen3 ollama:mistral ollama:phi4 \
             cerebras:llama3.1-8b bedrock:amazon.nova-micro-v1:0 bedrock:meta.llama2-70b-chat-v1 cohere:command-r7b-12-2024",
        ),
        (
            Medium,
            "medium",
            "openai:gpt-4o-mini openai:gpt-4.1-mini openai:gpt-5-mini openai:gpt-6-luna anthropic:claude-haiku-4-5 \
             vertex:claude-3-5-haiku gemini:gemini-2.5-flash mistral:mistral-small-latest mistral:codestral-latest \
             cerebras:llama-3.3-70b groq:openai/gpt-oss-20b groq:qwen/qwen3.8-27b ollama:llama3.3 ollama:gemma3:27b \
             ollama:deepseek-r1:70b bedrock:amazon.nova-pro-v1:0 zai:glm-5.3-flash perplexity:sonar \
             deepinfra:meta-llama/Llama-4-Scout-17B-16E-Instruct cohere:command-r-plus-08-2024 azure:grok-3-mini",
        ),
        (
            Large,
            "large",
            "openai:gpt-4o openai:gpt-4.1 openai:gpt-4-turbo openai:o1 openai:o4-mini openai:gpt-6.1-terra \
             vertex:claude-3-5-sonnet vertex:claude-3-opus bedrock:anthropic.claude-sonnet-4-20250514-v1:0 \
             gemini:gemini-3-flash-preview mistral:mistral-large-latest deepseek:deepseek-v3 deepseek:deepseek-r1 \
             deepseek:deepseek-chat azure:grok-3 groq:openai/gpt-oss-120b bedrock:meta.llama3-1-405b-instruct-v1:0 \
             moonshot:kimi-k2.6 zai:glm-4.6 deepinfra:Qwen/Qwen3-235B-A22B cohere:command-a-03-2025 minimax:MiniMax-M2",
        ),
        (
            Frontier,
            "frontier",
            "openai:gpt-5 openai:gpt-5.2 openai:gpt-5-pro openai:gpt-6-sol openai:o3 anthropic:claude-opus-4-5 \
             anthropic:claude-sonnet-4-5 anthropic:claude-sonnet-5 anthropic:claude-fable-5 \
             bedrock:anthropic.claude-opus-4-1-20250805-v1:0 gemini:gemini-2.5-pro gemini:gemini-3.1-pro-preview \
             gemini:gemini-4-argon azure:grok-4 xai:grok-4.3 deepseek:deepseek-v4-pro moonshot:kimi-k3",
        ),
    ];
    let mut seen = 0;
    for (tier, word, names) in rows {
        for entry in names.split_whitespace() {
            let (provider, name) = entry.split_once(':').unwrap();
            assert_eq!(at(provider, name).tier, Some(tier), "{name} should be {word}");
            seen += 1;
        }
    }
    assert!(seen > 60);
    for (provider, name) in [("groq", "llama-guard-3-8b"), ("gemini", "lyria-3-pro-preview"), ("azure", "model-router")]
    {
        assert_eq!(at(provider, name).tier, None, "{name}");
    }
    let (with, without): (Vec<Facts>, Vec<Facts>) =
        all().filter(|f| f.kind != Kind::Embedding).partition(|f| f.tier.is_some());
    assert!(without.len() * 30 < with.len(), "{} of {} have no tier", without.len(), with.len());
}

#[test]
fn names_are_found_as_people_write_them() {
    let cases = [
        (Some("openai"), "gpt-4o", Some(("openai", "gpt-4o"))),
        (Some("openai"), "openai/gpt-4o", Some(("openai", "gpt-4o"))),
        (Some("openai"), "GPT-4o", Some(("openai", "gpt-4o"))),
        (Some("groq"), "gpt-4o", None),
        (Some("nobody"), "gpt-4o", None),
        (Some("ollama"), "llama3.2:latest", Some(("ollama", "llama3.2"))),
        (Some("together"), "deepseek-ai/deepseek-v3.1", Some(("together", "deepseek-ai/DeepSeek-V3.1"))),
        (None, "gpt-4o", Some(("openai", "gpt-4o"))),
        (None, "claude-opus-4-5", Some(("anthropic", "claude-opus-4-5"))),
        (None, "gemini-2.5-pro", Some(("gemini", "gemini-2.5-pro"))),
        (None, "anthropic/claude-sonnet-5", Some(("anthropic", "claude-sonnet-5"))),
        (None, "azure/gpt-4o", Some(("azure", "gpt-4o"))),
        (None, "openai/gpt-oss-120b", Some(("groq", "openai/gpt-oss-120b"))),
        (None, "groq/openai/gpt-oss-120b", Some(("groq", "openai/gpt-oss-120b"))),
        (None, "llama3.2", Some(("ollama", "llama3.2"))),
        (None, "llama3.2:latest", Some(("ollama", "llama3.2"))),
        (None, "claude-3-5-haiku@20241022", Some(("vertex", "claude-3-5-haiku@20241022"))),
        // Dated names only where the data has them.
        (None, "gpt-4o-2024-11-20", Some(("openai", "gpt-4o-2024-11-20"))),
        (None, "gpt-4o-2031-01-01", None),
        (None, "gpt-4", Some(("openai", "gpt-4"))),
        (None, "", None),
    ];
    for (provider, name, expected) in cases {
        assert_eq!(find(provider, name).map(|f| (f.provider, f.name)), expected, "{provider:?} {name}");
    }
}

#[test]
fn known_providers_are_whole() {
    for (at, p) in known_providers().iter().enumerate() {
        assert_eq!(known_provider(p.name), Some(p));
        assert!(!p.dialects.is_empty());
        if let Some(url) = p.base_url {
            assert!(url.starts_with("https://") || url.starts_with("http://127.0.0.1:"), "{url}");
            assert!(!url.ends_with('/'), "{url}");
        }
        assert_eq!(p.name == "minimax", at + 1 == providers::MAKERS, "MAKERS counts the entries up to minimax");
    }
    assert_eq!(known_provider("nobody"), None);
    assert_eq!(known_provider("openai").unwrap().dialects, [Dialect::OpenAi, Dialect::Responses]);
    assert_eq!(known_provider("azure").unwrap().base_url, None);
    assert_eq!(known_provider("gemini").unwrap().dialects, [Dialect::Gemini]);
}

#[test]
fn starters_are_current_priced_and_cheap_to_dear() {
    for p in known_providers() {
        assert!(p.starters.is_empty() || (2..=4).contains(&p.starters.len()), "{}", p.name);
        let facts: Vec<Facts> = p.starters.iter().map(|name| at(p.name, name)).collect();
        for f in &facts {
            assert_eq!(f.kind, Kind::Chat, "{f:?}");
            assert!(f.tier.is_some() && f.price.is_some(), "{f:?}");
            assert_eq!(f.deprecated, None, "{f:?}");
        }
        let outputs: Vec<i64> = facts.iter().filter_map(|f| Some(f.price?.output)).collect();
        assert!(outputs.is_sorted(), "{}: {outputs:?}", p.name);
    }
}

#[test]
fn dollars_are_read_exactly() {
    for (text, nano) in [
        ("0", Some(0)),
        ("2.5", Some(2_500_000_000)),
        ("0.000000001", Some(1)),
        ("15.00002", Some(15_000_020_000)),
        ("0.0000000001", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("1e3", None),
    ] {
        assert_eq!(nano_usd(text), nano, "{text:?}");
    }
}

use super::*;
use waypost_core::config;

/// The target of the only provider in `yaml`, which is an entry of `providers`.
fn target(yaml: &str, dialect: Dialect) -> Target {
    let text = format!("providers: {{ {yaml} }}");
    let parsed = config::parse(&text, &|_| None, jiff::civil::date(2026, 1, 1)).expect("the entry is good");
    let provider = &parsed.config.registry.providers[0];
    Target::new(&mut Shared::default(), provider, dialect, provider.api_keys.first()).expect("it has an address")
}

#[test]
fn each_dialect_has_its_urls() {
    use Dialect::{Anthropic, Bedrock, Gemini, OpenAi, Responses};
    let gemini = Call::Path("/models/m%2F1:streamGenerateContent?alt=sse");
    for (yaml, dialect, call, wanted) in [
        ("openai: { api_key: k }", OpenAi, Call::Chat, Some("/v1/chat/completions")),
        ("openai: { api_key: k }", OpenAi, Call::Embeddings, Some("/v1/embeddings")),
        ("openai: { api_key: k }", OpenAi, Call::CountTokens, None),
        ("openai: { api_key: k }", Responses, Call::Chat, Some("/v1/responses")),
        ("openai: { api_key: k }", Responses, Call::Embeddings, None),
        ("p: { dialect: openai, base_url: 'http://h' }", OpenAi, Call::Chat, Some("/chat/completions")),
        ("anthropic: { api_key: k }", Anthropic, Call::Chat, Some("/v1/messages")),
        ("anthropic: { api_key: k }", Anthropic, Call::CountTokens, Some("/v1/messages/count_tokens")),
        ("anthropic: { api_key: k }", Anthropic, Call::Embeddings, None),
        ("a: { dialect: anthropic, base_url: 'http://h/x/v1/' }", Anthropic, Call::Chat, Some("/x/v1/messages")),
        ("gemini: { api_key: k }", Gemini, gemini, Some("/v1beta/models/m%2F1:streamGenerateContent?alt=sse")),
        ("gemini: { api_key: k }", Gemini, Call::Chat, None),
        (
            "vertex: { project: p, location: eu, api_key: k }",
            Gemini,
            gemini,
            Some("/v1/projects/p/locations/eu/publishers/google/models/m%2F1:streamGenerateContent?alt=sse"),
        ),
        (
            "bedrock: { region: eu, api_key: k }",
            Bedrock,
            Call::Path("/model/a%3A0/converse"),
            Some("/model/a%3A0/converse"),
        ),
        ("bedrock: { region: eu, api_key: k }", Bedrock, Call::Path("/model/a b"), None),
        ("azure: { base_url: 'https://r', api_key: k }", OpenAi, Call::Chat, Some("/openai/v1/chat/completions")),
        (
            "azure: { base_url: 'https://r/openai/v1/', api_key: k }",
            OpenAi,
            Call::Embeddings,
            Some("/openai/v1/embeddings"),
        ),
        ("azure: { base_url: 'https://r', api_key: k }", Responses, Call::Chat, Some("/openai/v1/responses")),
        (
            "azure: { base_url: 'https://r/openai', api_version: 2024-10-21, api_key: k }",
            OpenAi,
            Call::Chat,
            Some("/openai/deployments/my%2Fmodel/chat/completions?api-version=2024-10-21"),
        ),
        (
            "azure: { base_url: 'https://r', api_version: 2024-10-21, api_key: k }",
            OpenAi,
            Call::Embeddings,
            Some("/openai/deployments/my%2Fmodel/embeddings?api-version=2024-10-21"),
        ),
        (
            "azure: { base_url: 'https://r', api_version: 2025-04-01-preview, api_key: k }",
            Responses,
            Call::Chat,
            Some("/openai/responses?api-version=2025-04-01-preview"),
        ),
    ] {
        let uri = target(yaml, dialect).uri(call, "my/model").map(|uri| uri.to_string());
        assert_eq!(uri.as_deref(), wanted, "{yaml} {call:?}");
    }
}

#[test]
fn each_dialect_has_its_credential() {
    use Dialect::{Anthropic, Bedrock, Gemini, OpenAi, Responses};
    for (yaml, dialect, host, wanted) in [
        ("openai: { api_key: sk-1 }", OpenAi, "api.openai.com", &[("authorization", "Bearer sk-1")][..]),
        ("openai: { api_key: sk-1 }", Responses, "api.openai.com", &[("authorization", "Bearer sk-1")]),
        ("p: { dialect: openai, base_url: 'http://[::1]:81' }", OpenAi, "[::1]:81", &[]),
        (
            "anthropic: { api_key: sk-1 }",
            Anthropic,
            "api.anthropic.com",
            &[("x-api-key", "sk-1"), ("anthropic-version", "2023-06-01")],
        ),
        (
            "anthropic: { api_key: sk-1, headers: { Anthropic-Version: '2026-10-21', x-api-key: other } }",
            Anthropic,
            "api.anthropic.com",
            &[("x-api-key", "other"), ("anthropic-version", "2026-10-21")],
        ),
        ("gemini: { api_key: sk-1 }", Gemini, "generativelanguage.googleapis.com", &[("x-goog-api-key", "sk-1")]),
        (
            "vertex: { project: p, location: global, api_key: sk-1 }",
            Gemini,
            "aiplatform.googleapis.com",
            &[("authorization", "Bearer sk-1")],
        ),
        (
            "bedrock: { region: us-east-1, api_key: sk-1 }",
            Bedrock,
            "bedrock-runtime.us-east-1.amazonaws.com",
            &[("authorization", "Bearer sk-1")],
        ),
        (
            "bedrock: { region: eu, access_key_id: i, secret_access_key: s }",
            Bedrock,
            "bedrock-runtime.eu.amazonaws.com",
            &[],
        ),
        ("azure: { base_url: 'https://r:444', api_key: sk-1 }", OpenAi, "r:444", &[("api-key", "sk-1")]),
        ("azure: { base_url: 'https://r', api_key: sk-1 }", Responses, "r", &[("api-key", "sk-1")]),
    ] {
        let target = target(yaml, dialect);
        let names = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "anthropic-version"];
        let found = names.iter().filter_map(|n| Some((*n, target.headers.get(*n)?.to_str().expect("it is ASCII"))));
        assert_eq!(found.collect::<Vec<_>>(), wanted, "{yaml}");
        assert_eq!(target.headers["host"], host, "{yaml}");
        assert!(!format!("{target:?}").contains("sk-1"), "{target:?}");
        assert_eq!(matches!(target.auth, Auth::Aws(_)), yaml.contains("access_key_id"));
    }
}

#[test]
fn origins_are_shared_and_kept() {
    let one = target("openai: { api_key: k }", Dialect::OpenAi);
    let mut shared = Shared::of([&one]);
    let again = shared.address("https://api.openai.com/elsewhere").expect("it is a URL");
    assert!(Arc::ptr_eq(&again.origin, &one.origin));
    let other = shared.address("https://api.openai.com:8443/v1").expect("it is a URL");
    assert_ne!(other.origin, one.origin);
    for url in ["", "/v1", "api.openai.com", "http://a b"] {
        assert!(shared.address(url).is_err(), "{url}");
    }
}

//! What a good file means. `gate` has limits and keys, `mistakes` the bad ones, `robust` the hostile ones.

mod gate;
mod learning;
mod mistakes;
mod robust;

use super::*;
use crate::gate::{Quota, Window};
use crate::policy::{CachePolicy, Lambda, Strategy, Translation};
use crate::profile::Task;
use crate::registry::{Account, Capabilities, Dialect, Status};
use jiff::civil::{Date, date};
use serde_json::Value;

const TODAY: Date = date(2026, 11, 20);
const BENCH: &str = include_str!("../../../tests/fixtures/config/bench.yaml");
const DESIGN: &str = include_str!("../../../tests/fixtures/config/design.yaml");
const EXAMPLE: &str = include_str!("../../../../../waypost.example.yaml");

/// The environment of every test.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-openai-secret",
        "TEAM_A_KEY" => "sk-team-a-secret",
        "TEAM_B_KEY" => "sk-team-b-secret",
        "WAYPOST_ADMIN" => "admin-secret",
        "ANTHROPIC_API_KEY" => "sk-anthropic-secret",
        "ATTEMPTS" => "7",
        "LINE_BREAK" => "sk-secret\n",
        "WORD" => "word-secret",
        _ => return None,
    };
    Some(value.to_owned())
}

fn errors(text: &str) -> Vec<String> {
    match parse(text, &env, TODAY) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn parsed(text: &str) -> Parsed {
    parse(text, &env, TODAY).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

/// A good start for files with one mistake in `rest`: provider `p` and models `a` and `b`, on lines 1 to 4.
fn with_models(rest: &str) -> String {
    format!(
        "providers: {{ p: {{ dialect: openai, base_url: http://127.0.0.1:9/v1 }} }}\n\
         models:\n  a: {{ tags: [x], price: {{ input: 1, output: 2 }} }}\n  b: {{}}\n{rest}"
    )
}

#[test]
fn the_benchmark_configuration_is_resolved() {
    let config = parsed(BENCH).config;
    assert_eq!(config.server.listen, ([127, 0, 0, 1], 9900).into());
    assert_eq!(config.storage, Storage::Sqlite("bench.db".into()));
    assert_eq!((config.keys.len(), config.registry.models.len(), config.registry.endpoints.len()), (1, 21, 21));
    let mini = config.registry.model(config.registry.find("gpt-4o-mini").unwrap());
    let price = mini.price.unwrap();
    // Both rates are the operator's, so the catalogue's cache rate is gone with its input rate.
    assert_eq!((price.input, price.output, price.cache_read), (300_000_000, 1_200_000_000, None));
    assert_eq!((mini.context_window, mini.quality.prior, mini.quality.default), (Some(128_000), false, Some(0.54)));
    let route = &config.routes[0];
    assert_eq!((&*route.name, route.policy.candidates.len()), ("bench-json", 19));
    let names: Vec<&str> = route.policy.candidates[..3].iter().map(|m| &*config.registry.model(*m).name).collect();
    assert_eq!(names, ["mock-json", "gpt-4o", "gpt-4o-mini"]);
    assert!(matches!(route.policy.strategy, Strategy::Balanced(w) if w.cost == 0.4 && w.capability == 0.0));
}

#[test]
fn the_design_example_is_good() {
    let gate = parsed(DESIGN).config.gate;
    assert_eq!(gate.global.of(Quota::Tokens(Window::Day)), Some(5_000_000));
    assert_eq!(gate.global.of(Quota::Usd(Window::Day)), Some(50_000_000_000));
    assert_eq!((&*gate.stages[0].0, gate.stages[0].1.of(Quota::RequestsPerMinute)), ("architecture", Some(60)));
}

#[test]
fn the_example_is_good_and_silent() {
    let example = parsed(EXAMPLE);
    let told: Vec<String> = example.warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().all(|w| w.contains("only a prior") || w.contains("deprecated since")), "{told:#?}");
    // It shows every key of the schema, set or commented out.
    let words: Vec<&str> = EXAMPLE.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut missing = Vec::new();
    each_key(&schema(), &mut |key, schema| {
        let is_shown = words.contains(&key) || schema.get("not").is_some() || Task::from_name(key).is_some();
        if !is_shown {
            missing.push(key.to_owned());
        }
    });
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

fn each_key(schema: &Value, f: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Object(object) => {
            for (key, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
                f(key, property);
            }
            object.values().for_each(|value| each_key(value, f));
        }
        Value::Array(items) => items.iter().for_each(|value| each_key(value, f)),
        _ => {}
    }
}

#[test]
fn every_key_is_documented() {
    let mut count = 0;
    let mut wrong = Vec::new();
    each_key(&schema(), &mut |key, schema| {
        count += 1;
        let text = schema["description"].as_str().unwrap_or_default();
        let is_later = schema.get("not").is_some();
        let has_default = text.contains("efault");
        // A section's defaults are those of its keys; a figure for a task has the figure above it.
        let is_group = schema.get("$ref").is_some() || key == "default" || Task::from_name(key).is_some();
        let reload = text.contains("restart") || text.contains("reload") || is_later;
        if text.len() < 15
            || !(has_default || is_group || is_later || key == "simulated")
            || !reload
            || text.contains('\n')
        {
            wrong.push(format!("{key}: {text}"));
        }
    });
    assert!(count > 150 && wrong.is_empty(), "{count} {wrong:#?}");
    assert_eq!(schema()["additionalProperties"], false);
}

#[test]
fn an_empty_file_has_the_documented_defaults() {
    for text in ["", "server:\nkeys:\nproviders: {}\nmodels:\n"] {
        let Config { server, execution, storage, time_zone, telemetry, auto, .. } = parsed(text).config;
        assert_eq!((server.listen, server.body_limit), (([127, 0, 0, 1], 8080).into(), 32 << 20));
        assert_eq!((server.auth, server.drain_timeout.as_secs(), server.workers), (Auth::Keys, 30, 0));
        assert_eq!((storage, time_zone), (Storage::Sqlite("waypost.db".into()), jiff::tz::TimeZone::UTC));
        assert_eq!((execution.max_attempts, execution.max_retry_wait.as_secs()), (4, 2));
        assert_eq!((execution.connect_timeout.as_secs(), execution.total_timeout.as_secs()), (5, 600));
        assert_eq!((execution.first_token_timeout, execution.breaker), (None, BreakerConfig::default()));
        assert_eq!(telemetry.decisions, 1.0);
        assert!(matches!(auto.strategy, Strategy::Balanced(w) if (w.cost, w.latency, w.quality) == (0.4, 0.2, 0.4)));
    }
}

#[test]
fn a_model_needs_one_line() {
    let config = parsed("providers: { openai: { api_keys: [k1, k2] } }\nmodels:\n  gpt-4o-mini:\n").config;
    let model = config.registry.model(ModelIx(0));
    assert_eq!((model.context_window, model.max_output_tokens), (Some(128_000), Some(16_384)));
    let price = model.price.unwrap();
    assert_eq!((price.input, price.output, price.cache_read), (150_000_000, 600_000_000, Some(75_000_000)));
    assert!(model.quality.prior && model.quality.default.is_some());
    // One endpoint for each credential.
    let keys: Vec<_> = model.endpoints.iter().map(|e| config.registry.endpoint(*e).key).collect();
    assert_eq!(keys, [Some(0), Some(1)]);
    let provider = &config.registry.providers[0];
    assert_eq!((provider.base_url.as_str(), provider.stream_usage), ("https://api.openai.com/v1", true));
}

#[test]
fn endpoints_are_guessed_from_catalogue_then_prefix_then_the_only_provider() {
    let local = "local: { dialect: openai, base_url: 'http://h/v1/' }";
    for (providers, model, place) in [
        (format!("{{ {local}, openai: {{}} }}"), "gpt-4o-mini", "openai gpt-4o-mini"),
        (format!("{{ openai: {{}}, {local} }}"), "local/llama3:8b", "local llama3:8b"),
        ("{ mistral: {}, openai: {} }".to_owned(), "openai/gpt-4o-mini", "openai gpt-4o-mini"),
        (format!("{{ {local} }}"), "llama3:8b", "local llama3:8b"),
        (format!("{{ {local} }}"), "gpt-4o-mini", "local gpt-4o-mini"),
    ] {
        let config = parsed(&format!("providers: {providers}\nmodels: {{ '{model}': {{}} }}")).config;
        let endpoint = config.registry.endpoint(crate::registry::EndpointIx(0));
        let provider = &config.registry.provider(endpoint.provider).name;
        assert_eq!(format!("{provider} {}", endpoint.name), place);
    }
}

#[test]
fn clouds_have_addresses_of_their_own() {
    let google = "projects/p-1/locations";
    for (provider, base_url, account) in [
        ("anthropic: { api_key: k }", "https://api.anthropic.com".to_owned(), "Key"),
        ("gemini: { api_key: k }", "https://generativelanguage.googleapis.com/v1beta".into(), "Key"),
        ("openai: { dialect: responses, api_key: k }", "https://api.openai.com/v1".into(), "Key"),
        ("bedrock: { region: eu-west-1, api_key: k }", "https://bedrock-runtime.eu-west-1.amazonaws.com".into(), "Key"),
        (
            "b: { dialect: bedrock, region: cn-north-1, access_key_id: i, secret_access_key: s }",
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn".into(),
            "Aws(AwsAccount { region: \"cn-north-1\", access_key_id: ***, secret_access_key: ***, session_token: None })",
        ),
        (
            "bedrock: { base_url: 'http://h/', region: eu, access_key_id: i, secret_access_key: s, session_token: t }",
            "http://h".into(),
            "Aws(AwsAccount { region: \"eu\", access_key_id: ***, secret_access_key: ***, session_token: Some(***) })",
        ),
        (
            "vertex: { project: p-1, location: europe-west4, credentials_file: c.json }",
            format!("https://europe-west4-aiplatform.googleapis.com/v1/{google}/europe-west4/publishers/google"),
            "Vertex { credentials_file: Some(\"c.json\") }",
        ),
        (
            "vertex: { project: p-1, location: global, api_key: token }",
            format!("https://aiplatform.googleapis.com/v1/{google}/global/publishers/google"),
            "Vertex { credentials_file: None }",
        ),
        (
            "v: { dialect: gemini, project: p-1, location: eu, api_key: token }",
            format!("https://aiplatform.eu.rep.googleapis.com/v1/{google}/eu/publishers/google"),
            "Vertex { credentials_file: None }",
        ),
        (
            "vertex: { base_url: 'http://h:1', project: p-1, location: eu, api_key: token }",
            format!("http://h:1/v1/{google}/eu/publishers/google"),
            "Vertex { credentials_file: None }",
        ),
        (
            "vertex: { base_url: 'http://h:1/v1beta1', project: p-1, location: eu, api_key: token }",
            format!("http://h:1/v1beta1/{google}/eu/publishers/google"),
            "Vertex { credentials_file: None }",
        ),
        (
            "vertex: { base_url: 'http://h:1/v1/publishers/google', headers: { authorization: x } }",
            "http://h:1/v1/publishers/google".into(),
            "Vertex { credentials_file: None }",
        ),
        ("azure: { base_url: 'https://r', api_key: k }", "https://r".into(), "Azure { api_version: None }"),
        (
            "a: { dialect: openai, base_url: 'https://r/', api_version: 2024-10-21, api_key: k }",
            "https://r".into(),
            "Azure { api_version: Some(\"2024-10-21\") }",
        ),
        ("azure: { dialect: anthropic, base_url: 'https://r', api_key: k }", "https://r".into(), "Key"),
    ] {
        let Parsed { config, warnings } = parsed(&format!("providers: {{ {provider} }}"));
        let found = &config.registry.providers[0];
        assert_eq!((&found.base_url, format!("{:?}", found.account).as_str()), (&base_url, account), "{provider}");
        assert!(warnings.is_empty(), "{provider} {warnings:?}");
    }
    let config = parsed("providers: { bedrock: { region: eu, access_key_id: i, secret_access_key: s } }").config;
    let Account::Aws(aws) = &config.registry.providers[0].account else { panic!("it signs") };
    assert_eq!((aws.access_key_id.expose(), aws.secret_access_key.expose()), ("i", "s"));
    assert_eq!(config.registry.providers[0].secrets().count(), 2);
}

#[test]
fn configured_facts_override_the_catalogue_field_by_field() {
    let config = parsed(
        "providers: { openai: { api_key: k } }\nmodels:\n\
         \x20 gpt-4o-mini: { max_output_tokens: 1000, price: { cache_read: 0.01 }, quality: { code: 0.9 }, status: degraded }\n\
         \x20 mine: { endpoints: [{ provider: openai, name: gpt-4o-mini, weight: 2 }], capabilities: [tools, no_streaming, no_parallel_tools],\n\
         \x20   price: { input: 1e-3, output: 2, cache_write: 3, reasoning: 4, long: { above: 5, input: 6, output: 7 }, batch: { input: 8, output: 9 } } }\n",
    )
    .config;
    let [mini, mine] = &config.registry.models[..] else { panic!("two models") };
    assert_eq!(
        (mini.max_output_tokens, mini.context_window, mini.status),
        (Some(1000), Some(128_000), Status::Degraded)
    );
    let price = mini.price.unwrap();
    assert_eq!((price.input, price.cache_read), (150_000_000, Some(10_000_000)));
    assert_eq!((mini.quality.of(Task::Code), mini.quality.prior), (Some(0.9), true));
    assert_eq!(mine.capabilities, Some(Capabilities::TOOLS));
    assert_eq!(mine.context_window, Some(128_000)); // by its endpoint's name
    let price = mine.price.unwrap();
    assert_eq!((price.input, price.output, price.cache_read), (1_000_000, 2_000_000_000, None));
    assert_eq!((price.cache_write, price.reasoning), (Some(3_000_000_000), Some(4_000_000_000)));
    assert_eq!((price.long.unwrap().above, price.batch), (5, Some((8_000_000_000, 9_000_000_000))));
}

#[test]
fn policies_are_resolved() {
    let config = parsed(&with_models(
        "  c: { tags: [x, y] }\n\
         auto: { strategy: quality, min_quality: 0.5, require: [x], candidates: [a, c] }\n\
         surfaces: { web: { min_quality: 0.7, require: [x] } }\n\
         stages:\n  fix: { model: b, max_cost_usd: 0.01 }\n  ui: { weights: { cost: 1 }, min_quality: 0.6, surface: web }\n  any:\n\
         routes:\n\
         \x20 split: { strategy: weighted, split: { b: 3, a: 1 } }\n\
         \x20 pool: { match: 'request.sensitive', strategy: value, budget_usd_per_request: 0.002, candidates: ['tag:x', b], tasks: { code: c }, class: background, max_latency_ms: 1500 }\n\
         \x20 best: { strategy: score, score: '1.0', no_fallback: true }\n\
         peak: [{ when: 'local.hour >= 9', strategy: cost, routes: [pool], max_cost_usd: 1 }]\n\
         compliance: [{ when: request.sensitive, require: [y] }]\n",
    ))
    .config;
    let find = |name: &str| config.registry.find(name).unwrap();
    let (a, b, c) = (find("a"), find("b"), find("c"));
    let [split, pool, best] = &config.routes[..] else { panic!("three routes") };
    assert!(matches!(&split.policy.strategy, Strategy::Weighted(s) if *s == [(b, 3.0), (a, 1.0)]));
    assert_eq!(split.policy.candidates, [b, a]);
    assert!(matches!(pool.policy.strategy, Strategy::Value(Lambda::Budget(n)) if n.0 == 2_000_000));
    assert_eq!((&pool.policy.candidates[..], pool.policy.tasks[Task::Code.index()]), (&[a, c, b][..], Some(c)));
    assert_eq!(pool.matches.as_ref().unwrap().source(), "request.sensitive");
    assert!(best.policy.no_fallback && best.policy.candidates.is_empty());
    let [fix, ui, any] = &config.stages[..] else { panic!("three stages") };
    assert_eq!((fix.model, fix.policy.max_cost.unwrap().0, fix.policy.min_quality), (Some(b), 10_000_000, None));
    // Without a model a stage is `auto` with its own keys on top.
    assert!(matches!(ui.policy.strategy, Strategy::Balanced(w) if w.cost == 1.0 && w.quality == 0.0));
    assert_eq!((ui.policy.min_quality, &ui.policy.candidates[..], ui.surface), (Some(0.6), &[a, c][..], Some(0)));
    assert!(matches!(any.policy.strategy, Strategy::Quality) && any.policy.min_quality == Some(0.5));
    assert_eq!((any.policy.translation, any.policy.cache), (Translation::Lenient, None));
    assert_eq!((&*config.peak[0].routes[0], config.peak[0].max_cost.unwrap().usd()), ("pool", 1.0));
    assert_eq!(&*config.compliance[0].require[0], "y");
}

#[test]
fn losses_and_repetitions_are_a_policy() {
    let config = parsed(&with_models(
        "auto: { translation: strict, cache: { ttl: 1h, shared: true } }\n\
         stages: { own: { model: a }, on_top: { cache: { max_bytes: 1MiB } }, off: { cache: { ttl: 0s } }, same: {} }\n\
         routes: { plain: {}, kept: { cache: {}, translation: lenient }, strict: { translation: strict } }\n",
    ))
    .config;
    let usual = CachePolicy { ttl: Duration::from_secs(600), max_bytes: 64 << 20, shared: false };
    let of_auto = CachePolicy { ttl: Duration::from_secs(3600), shared: true, ..usual };
    let found = config.stages.iter().map(|s| &s.policy).chain(config.routes.iter().map(|r| &r.policy));
    let found: Vec<_> = found.map(|p| (p.translation, p.cache)).collect();
    let wanted = [
        (Translation::Lenient, None),
        (Translation::Strict, Some(CachePolicy { max_bytes: 1 << 20, ..usual })),
        (Translation::Strict, None),
        (Translation::Strict, Some(of_auto)),
        (Translation::Lenient, None),
        (Translation::Lenient, Some(usual)),
        (Translation::Strict, None),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn variables_stand_for_text_and_numbers() {
    let config = parsed("execution: { max_attempts: '${ATTEMPTS}', chunk_timeout: '${UNSET:-90s}' }\nserver: { workers: '${ATTEMPTS}' }\n").config;
    assert_eq!((config.execution.max_attempts, config.server.workers), (7, 7));
    assert_eq!(config.execution.chunk_timeout.as_secs(), 90);
}

#[test]
fn anchors_and_merge_keys_work() {
    let config = parsed(&with_models(
        "routes:\n  one: &base { strategy: cost, candidates: [a, b] }\n  two: { <<: *base, min_quality: 0.5 }\n",
    ))
    .config;
    assert_eq!(config.routes[1].policy.candidates, config.routes[0].policy.candidates);
    assert_eq!(config.routes[1].policy.min_quality, Some(0.5));
}

#[test]
fn doubts_are_warnings() {
    for (text, expected) in [
        ("providers: { openai: {} }", "1: providers.openai: no `api_key`"),
        ("providers: { anthropic: {} }", "1: providers.anthropic: no `api_key`"),
        ("providers: { bedrock: { base_url: 'http://h' } }", "1: providers.bedrock: no credentials (`api_key`, or"),
        ("providers: { vertex: { base_url: 'http://h' } }", "1: providers.vertex: no credentials (`credentials_file`"),
        ("server: { auth: none }\nkeys: [{ id: a, secret: s }]", "1: server.auth: with `auth: none` nobody is asked"),
        (
            "compliance: [{ when: 'true', require: [pii] }]",
            "1: compliance[0].require[0]: no model has the tag `pii`, so nothing can pass",
        ),
        (
            "providers: { p: { dialect: simulated } }\nmodels: { m: {} }",
            "2: models.m: unknown: price, context window, capabilities, quality",
        ),
        (
            "routes: { r: { match: 'requst.sensitive' } }",
            "1: routes.r.match: there is no variable `requst`; did you mean `request`?",
        ),
        (
            "peak: [{ when: 'local.hour > 8 && [1].all(x, x > hour)', strategy: cost }]",
            "1: peak[0].when: there is no variable `hour`",
        ),
        ("routes: { r: {} }\nstages: { r: {} }", "2: stages.r: a route has this name too"),
    ] {
        let warnings: Vec<String> = parsed(text).warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{text}\n{warnings:#?}");
    }
}

#[test]
fn only_keys_or_an_open_door_let_it_face_the_network() {
    let keys = "keys: [{ id: a, secret: s }]";
    for (listen, rest, is_good) in [
        ("127.0.0.1:80", "", true),
        ("'[::1]:80'", "", true),
        ("'[::ffff:127.0.0.1]:80'", "", true),
        ("0.0.0.0:80", "", false),
        ("192.168.0.1:80", "", false),
        ("0.0.0.0:80", keys, true),
        ("0.0.0.0:80, auth: none", "", true),
    ] {
        let text = format!("server: {{ listen: {listen} }}\n{rest}\n");
        assert_eq!(errors(&(text.clone() + "storage: memory")).is_empty(), is_good, "{listen} {rest}");
        // Elsewhere a key may be stored, which is seen at the start.
        let warned = parsed(&text).warnings.iter().any(|w| w.path == "server.listen");
        assert_eq!(warned, !is_good, "{listen} {rest}");
    }
}

#[test]
fn a_start_without_a_file_uses_what_is_there() {
    let from = |names: &'static [&'static str], ollama: Option<&[String]>| {
        let env = move |name: &str| names.contains(&name).then(|| "sk-secret".to_owned());
        let zero = from_env(&env, ollama);
        assert!(!zero.text.contains("sk-secret"));
        let parsed = parse(&zero.text, &env, TODAY).unwrap_or_else(|e| panic!("{e:#?}\n{}", zero.text));
        (parsed.config, zero.notes)
    };
    let starter = crate::catalogue::known_provider("openai").unwrap().starters[0];
    let (config, notes) = from(&[], None);
    assert_eq!((config.registry.models.len(), notes.len()), (3, 0));
    assert!(config.registry.providers.iter().all(|p| p.simulated.is_some()));
    let prices: Vec<i64> = config.registry.models.iter().map(|m| m.price.unwrap().output).collect();
    assert!(prices.is_sorted() && prices[0] < prices[2]);

    let (config, notes) = from(&["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"], None);
    assert!(config.registry.find(starter).is_some() && config.fallback_model.is_some());
    let places: Vec<_> = config.registry.providers.iter().map(|p| (p.dialects[0], p.base_url.as_str())).collect();
    let wanted = [
        (Dialect::OpenAi, "https://api.openai.com/v1"),
        (Dialect::Anthropic, "https://api.anthropic.com"),
        (Dialect::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
    ];
    assert_eq!((places.as_slice(), notes.len()), (&wanted[..], 0), "{notes:?}");

    let (config, notes) = from(&["AWS_BEARER_TOKEN_BEDROCK"], None);
    assert!(config.registry.providers.iter().all(|p| p.simulated.is_some()));
    let said = notes.first().map(String::as_str).unwrap_or_default();
    assert!(notes.len() == 1 && said.starts_with("AWS_BEARER_TOKEN_BEDROCK is set, but its base URL"), "{notes:?}");

    let models = ["llama3.2:3b".to_owned(), "we\"ird ${x}: #".to_owned(), starter.to_owned(), "mistral/x".to_owned()];
    let (config, _) = from(&["OPENAI_API_KEY"], Some(&models));
    let registry = &config.registry;
    for name in ["llama3.2:3b", "we\"ird ${x}: #", &format!("ollama/{starter}"), starter, "ollama/mistral/x"] {
        assert!(registry.find(name).is_some(), "{name}");
    }
    let llama = registry.model(registry.find("llama3.2:3b").unwrap());
    assert!(llama.has_tag("local") && llama.price.unwrap().output == 0);
    assert_eq!(
        from(&["ANTHROPIC_API_KEY"], Some(&[])).1,
        ["Ollama answers, but has no model; provider ollama is left out."]
    );

    // Every key at once: whatever the catalogue offers makes a good file.
    let every = |_: &str| Some("sk-secret".to_owned());
    let zero = from_env(&every, Some(&models));
    assert!(parse(&zero.text, &every, TODAY).is_ok(), "{}", zero.text);
}

#[test]
fn paths_keep_keys_with_dots_apart() {
    let models = Path::root().key("models");
    let (four, dot) = (models.key("gpt-4"), models.key("gpt-4.1"));
    assert!(dot.key("price").is_within(&dot) && !dot.key("price").is_within(&four) && !four.is_within(&Path::root()));
    assert_eq!(dot.key("endpoints").index(0).key("name").to_string(), "models.gpt-4.1.endpoints[0].name");
    assert_eq!(Path::root().key("a\nb\u{1f}").to_string(), "a\\nb");
}

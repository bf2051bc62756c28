use super::*;
use crate::policy::{Lambda, Strategy};
use crate::profile::Task;
use crate::registry::{Capabilities, Status};
use jiff::civil::{Date, date};
use serde_json::Value;

const TODAY: Date = date(2026, 11, 20);
const BENCH: &str = include_str!("../../tests/fixtures/config/bench.yaml");
const DESIGN: &str = include_str!("../../tests/fixtures/config/design.yaml");
const TEN_MISTAKES: &str = include_str!("../../tests/fixtures/config/ten_mistakes.yaml");
const EXAMPLE: &str = include_str!("../../../../waypost.example.yaml");

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

/// Each file has one mistake and gives one error, which begins like this.
#[track_caller]
fn one_error(text: &str, expected: &str) {
    let errors = errors(text);
    assert!(errors.len() == 1 && errors[0].starts_with(expected), "{text}\nexpected {expected}\n     got {errors:#?}");
}

#[test]
fn one_mistake_in_the_structure_gives_one_error() {
    for (text, expected) in [
        ("server: { listen: 127.0.0.1:80, prot: 1 }", "1: server.prot: unknown key"),
        ("server: { lisen: 127.0.0.1:80 }", "1: server.lisen: unknown key; did you mean `listen`?"),
        ("servr:\n  listen: 127.0.0.1:80", "2: servr: unknown key; did you mean `server`?"),
        ("server: [1]", "1: server: expected a mapping, found a list"),
        ("- a\n", "1: expected a mapping, found a list"),
        ("just words", "1: expected a mapping, found text"),
        ("\nserver:\n  body_limit: lots", "3: server.body_limit: expected a size in bytes"),
        ("server: { body_limit: 12 }", "1: server.body_limit: must be between 1KiB and 2GiB"),
        ("server: { listen: nowhere }", "1: server.listen: expected ADDRESS:PORT"),
        (
            "server: { listen: 8080 }",
            "1: server.listen: expected text such as 127.0.0.1:8080, found a whole number: write it in quotes",
        ),
        ("server: { listen: 0.0.0.0:80 }", "1: server.listen: listening beyond loopback needs `keys`"),
        ("server: { listen: '[::]:80', auth: keys }", "1: server.listen: listening beyond loopback needs `keys`"),
        ("server: { auth: non }", "1: server.auth: expected one of keys, none; did you mean `none`?"),
        ("server: { tls: { cert: a.pem } }", "1: server.tls: `key` is missing"),
        ("server: { tls: { cert: a.pem, key: '' } }", "1: server.tls.key: must not be empty"),
        ("server: { cors: ['*'] }", "1: server.cors[0]: expected a URL"),
        ("server: { workers: -1 }", "1: server.workers: must be between 0 and 1024"),
        ("server: { workers: 1.5 }", "1: server.workers: expected a whole number, found a number"),
        ("server: { drain_timeout: 30 }", "1: server.drain_timeout: expected text such as 0s"),
        ("server: { admin_token: '' }", "1: server.admin_token: must not be empty"),
        ("server: { admin_token: 12345 }", "1: server.admin_token: expected text"),
        (
            "time_zone: Europe/Berln",
            "1: time_zone: not an IANA time zone, such as UTC or Europe/Berlin; did you mean `Europe/Berlin`?",
        ),
        ("storage: mysql://x", "1: storage: expected sqlite:FILE or memory"),
        ("storage: postgres://u:p@h/d", "1: storage: Postgres is not supported by this version yet"),
        ("execution: { max_attempts: 0 }", "1: execution.max_attempts: must be between 1 and 100"),
        ("execution: { chunk_timeout: soon }", "1: execution.chunk_timeout: expected a duration"),
        ("execution: { connect_timeout: 0s }", "1: execution.connect_timeout: must be longer than 0"),
        ("execution:\n  breaker:\n    error_rate: 50", "3: execution.breaker.error_rate: must be between 0 and 1"),
        ("telemetry: { decisions: 2 }", "1: telemetry.decisions: must be between 0 and 1"),
        (
            "telemetry: { capture_content: true }",
            "1: telemetry.capture_content: true is not supported by this version yet",
        ),
        ("telemetry: { otlp: { endpoint: 'http://x' } }", "1: telemetry.otlp: not supported by this version yet"),
        ("gate:\n  global: { usd_per_day: 5 }", "2: gate: not supported by this version yet"),
        ("leases: redis://h", "1: leases: not supported by this version yet"),
        ("predictor: { model: routing.wpm }", "1: predictor: not supported by this version yet"),
        ("default_max_output_tokens: 0", "1: default_max_output_tokens: must be between 1 and"),
        ("default_max_output_tokens: many", "1: default_max_output_tokens: expected a whole number, found text"),
        ("server: { listen: '127.0.0.1:1' }\nserver: {}\n", "2: server: duplicate key; the first is on line 1"),
        (
            "keys: [{ id: a, secret: '${NO_SUCH_KEY}' }]",
            "1: keys[0].secret: the environment variable NO_SUCH_KEY is not set",
        ),
        ("keys:\n- id: a\n  secret: ${LINE_BREAK}", "3: keys[0].secret: holds characters that no header can carry"),
        ("keys: [{ secret: s }]", "1: keys[0]: `id` is missing"),
        ("keys: [{ id: a, secret: s }, { id: a, secret: t }]", "1: keys[1].id: keys[0] has the same id"),
        ("keys: [{ id: a, secret: s }, { id: b, secret: s }]", "1: keys[1].secret: keys[0] has the same secret"),
        ("keys: [{ id: a, secret: s, limits: {} }]", "1: keys[0].limits: not supported by this version yet"),
        ("keys: [{ id: a, secret: s, tags: { n: 5 } }]", "1: keys[0].tags.n: expected text, found a whole number"),
        ("keys: [~]", "1: keys[0]: expected a mapping, found nothing"),
        ("keys: [{ id: a, secret: s, models: [x] }]", "1: keys[0].models[0]: unknown model `x`"),
        ("keys: [{ id: \"a\\nb\", secret: s }]", "1: keys[0].id: a name has 1 to 200 characters"),
        ("compliance: [{ when: 'true', require: [] }]", "1: compliance[0].require: must not be empty"),
        ("compliance: [{ when: 'request.', require: [a] }]", "1: compliance[0].when: CEL: "),
        ("peak: [{ when: 'local.hour > 8' }]", "1: peak[0]: changes nothing"),
        ("peak: [{ when: 'local.hour > 8', strategy: cost, routes: [r] }]", "1: peak[0].routes[0]: unknown route `r`"),
    ] {
        one_error(text, expected);
    }
}

#[test]
fn one_mistake_in_a_provider_or_model_gives_one_error() {
    for (text, expected) in [
        (
            "providers: { opnai: {} }",
            "1: providers.opnai: the catalogue does not know this provider: it needs `dialect` and `base_url`; did you mean `openai`?",
        ),
        (
            "providers: { p: { base_url: 'http://h/v1' } }",
            "1: providers.p: the catalogue does not know this provider: it needs `dialect`",
        ),
        ("providers: { p: { dialect: openai } }", "1: providers.p: `base_url` is missing"),
        (
            "providers: { p: { dialct: openai, base_url: 'http://h/v1' } }",
            "1: providers.p.dialct: unknown key; did you mean `dialect`?",
        ),
        ("providers: { p: { dialect: openai, base_url: h } }", "1: providers.p.base_url: expected a URL"),
        (
            "providers: { p: { dialect: opnai, base_url: 'http://h/v1' } }",
            "1: providers.p.dialect: expected one of openai, responses",
        ),
        (
            "providers: { p: { dialect: gemini, base_url: 'http://h/v1' } }",
            "1: providers.p.dialect: dialect gemini is not supported by this version yet",
        ),
        (
            "providers: { p: { dialects: [responses, anthropic], base_url: 'http://h/v1' } }",
            "1: providers.p.dialects: dialect responses, anthropic is not supported",
        ),
        (
            "providers:\n  anthropic: { api_key: k }",
            "2: providers.anthropic: dialect anthropic is not supported by this version yet",
        ),
        (
            "providers: { openai: { dialect: openai, dialects: [openai] } }",
            "1: providers.openai.dialects: `dialect` and `dialects` are both given",
        ),
        (
            "providers: { openai: { api_key: k, api_keys: [l] } }",
            "1: providers.openai.api_keys: `api_key` and `api_keys` are both given",
        ),
        (
            "providers: { openai: { api_keys: [k, l, k] } }",
            "1: providers.openai.api_keys[2]: the same key as api_keys[0]",
        ),
        (
            "providers: { openai: { api_key: '${NOPE}' } }",
            "1: providers.openai.api_key: the environment variable NOPE is not set",
        ),
        ("providers: { openai: { headers: { 'a b': c } } }", "1: providers.openai.headers.a b: not a header name"),
        (
            "providers: { openai: { headers: { Host: c } } }",
            "1: providers.openai.headers.Host: Waypost writes this header itself",
        ),
        (
            "providers: { openai: { headers: { X-A: c, x-a: d } } }",
            "1: providers.openai.headers.x-a: the same header twice",
        ),
        ("providers: { openai: { region: eu } }", "1: providers.openai.region: not supported by this version yet"),
        ("providers: { openai: { simulated: {} } }", "1: providers.openai.simulated: only with `dialect: simulated`"),
        (
            "providers: { s: { dialect: simulated, base_url: 'http://h' } }",
            "1: providers.s.base_url: a simulated provider is nowhere",
        ),
        (
            "providers: { s: { dialect: simulated, simulated: { faults: { stall: 0.6, cut: 0.6 } } } }",
            "1: providers.s.simulated.faults: the rates add up to 1.200",
        ),
        (
            "providers: { a/b: { dialect: openai, base_url: 'http://h' } }",
            "1: providers.a/b: a provider's name must not contain `/`",
        ),
        ("models: { m: {} }", "1: models.m: no provider is configured"),
        (
            "providers: { openai: {}, mistral: {} }\nmodels:\n  mine: {}",
            "3: models.mine: no provider is known to serve it: add `endpoints",
        ),
        (&with_models("  c: { endpoints: [] }"), "5: models.c.endpoints: must not be empty"),
        (
            &with_models("  c: { endpoints: [{ provider: q }] }"),
            "5: models.c.endpoints[0].provider: unknown provider `q`; did you mean `p`?",
        ),
        (&with_models("  c: { endpoints: [{ provder: p }] }"), "5: models.c.endpoints[0].provder: unknown key"),
        (
            &with_models("  c: { endpoints: [{ provider: p }, { provider: p }] }"),
            "5: models.c.endpoints[1]: the same endpoint twice",
        ),
        (
            &with_models("  c: { endpoints: [{ provider: p, weight: 0 }] }"),
            "5: models.c.endpoints[0].weight: must be between",
        ),
        (&with_models("  c: { capabilities: [tools, visoin] }"), "5: models.c.capabilities[1]: expected one of vision"),
        (
            &with_models("  c: { capabilities: [parallel_tools, no_parallel_tools] }"),
            "5: models.c.capabilities: `parallel_tools` and `no_parallel_tools` contradict",
        ),
        (&with_models("  c: { price: { input: 1 } }"), "5: models.c.price: needs `input` and `output`"),
        (
            &with_models("  c: { price: { input: cheap, output: 1 } }"),
            "5: models.c.price.input: expected a number, found text",
        ),
        (&with_models("  c: { price: { input: -1, output: 1 } }"), "5: models.c.price.input: must be between 0 and"),
        (
            &with_models("  c: { price: { input: 1, output: 1, long: { above: 5, input: 2 } } }"),
            "5: models.c.price.long: `output` is missing",
        ),
        (
            &with_models("  c: { quality: { defualt: 0.5 } }"),
            "5: models.c.quality.defualt: unknown key; did you mean `default`?",
        ),
        (&with_models("  c: { quality: { code: 7 } }"), "5: models.c.quality.code: must be between 0 and 1"),
        (&with_models("  c: { quality: 0.5 }"), "5: models.c.quality: expected a mapping, found a number"),
        (&with_models("  c: { status: on }"), "5: models.c.status: expected one of active"),
        (&with_models("  c: { tags: x }"), "5: models.c.tags: expected a list, found text"),
        (&with_models("  auto: {}"), "5: models.auto: `auto` is reserved"),
        (&with_models("  route/x: {}"), "5: models.route/x: `route/` and `stage/` begin"),
        (
            &with_models("  c: { context_window: 128k }"),
            "5: models.c.context_window: expected a whole number, found text",
        ),
        (&with_models("  c: { response_timeout: 5x }"), "5: models.c.response_timeout: expected a duration"),
        (&with_models("  4.1: { endpoint: [] }"), "5: models.4.1.endpoint: unknown key; did you mean `endpoints`?"),
    ] {
        one_error(text, expected);
    }
}

#[test]
fn one_mistake_in_a_policy_gives_one_error() {
    for (rest, expected) in [
        ("fallback_model: c", "5: fallback_model: unknown model `c`"),
        ("fallback_model: ${WORD}", "5: fallback_model: unknown model the value of the variable"),
        ("routes: { r: { candidates: [a, gpt] } }", "5: routes.r.candidates[1]: unknown model `gpt`"),
        ("routes: { r: { candidates: [a, a] } }", "5: routes.r.candidates[1]: listed twice"),
        ("routes: { r: { candidates: [] } }", "5: routes.r.candidates: must not be empty"),
        (
            "routes: { r: { candidates: ['tag:y'] } }",
            "5: routes.r.candidates[0]: no model has the tag `y`; did you mean `x`?",
        ),
        ("routes: { r: { emergency: [c] } }", "5: routes.r.emergency[0]: unknown model `c`"),
        (
            "routes: { r: { emergency: [a], no_fallback: true } }",
            "5: routes.r.emergency: contradicts `no_fallback: true`",
        ),
        ("routes: { r: { strategy: cheap } }", "5: routes.r.strategy: expected one of cost, latency"),
        ("routes: { r: { strategy: weighted } }", "5: routes.r: `strategy: weighted` needs `split`"),
        ("routes: { r: { strategy: score } }", "5: routes.r: `strategy: score` needs `score`"),
        ("routes: { r: { strategy: value } }", "5: routes.r: `strategy: value` needs `lambda` or"),
        (
            "routes: { r: { strategy: value, lambda: 1, budget_usd_per_request: 1 } }",
            "5: routes.r.budget_usd_per_request: `lambda` and",
        ),
        ("routes: { r: { strategy: cost, lambda: 1 } }", "5: routes.r.lambda: only with `strategy: value`"),
        (
            "routes: { r: { strategy: cost, weights: { cost: 1 } } }",
            "5: routes.r.weights: only with `strategy: balanced`",
        ),
        ("routes: { r: { split: { a: 1 } } }", "5: routes.r.split: only with `strategy: weighted`"),
        ("routes: { r: { score: '1' } }", "5: routes.r.score: only with `strategy: score`"),
        ("routes: { r: { strategy: score, score: '1 +' } }", "5: routes.r.score: CEL: "),
        ("routes: { r: { weights: { cost: 0, quality: 0 } } }", "5: routes.r.weights: at least one weight"),
        ("routes: { r: { weights: { price: 1 } } }", "5: routes.r.weights.price: unknown key"),
        ("routes: { r: { weights: { cost: -1 } } }", "5: routes.r.weights.cost: must be between"),
        ("routes: { r: { strategy: weighted, split: { a: 0 } } }", "5: routes.r.split: at least one share"),
        ("routes: { r: { strategy: weighted, split: { c: 1 } } }", "5: routes.r.split.c: unknown model `c`"),
        (
            "routes: { r: { strategy: weighted, split: { b: 1 }, candidates: [a] } }",
            "5: routes.r.split.b: not among the `candidates`",
        ),
        (
            "routes: { r: { tasks: { code: b }, candidates: [a] } }",
            "5: routes.r.tasks.code: not among the `candidates`",
        ),
        ("routes: { r: { tasks: { codee: b } } }", "5: routes.r.tasks.codee: unknown key; did you mean `code`?"),
        ("routes: { r: { min_quality: 80 } }", "5: routes.r.min_quality: must be between 0 and 1"),
        ("routes: { r: { max_cost_usd: free } }", "5: routes.r.max_cost_usd: expected a number, found text"),
        ("routes: { r: { match: 'a ==' } }", "5: routes.r.match: CEL: "),
        ("routes: { r: { class: batch } }", "5: routes.r.class: expected one of interactive, background"),
        ("routes: { r: { surface: web } }", "5: routes.r.surface: unknown surface `web`"),
        ("routes: { r: ~ , a: {} }", "5: routes.a: a model has this name too"),
        ("routes: { auto: {} }", "5: routes.auto: `auto` is reserved"),
        ("routes: { r: { predictor: { confidence: 1 } } }", "5: routes.r.predictor: not supported by this version yet"),
        ("stages: { s: { model: c } }", "5: stages.s.model: unknown model `c`"),
        ("stages: { b: {} }", "5: stages.b: a model has this name too"),
        ("stages: { s: { match: 'true' } }", "5: stages.s.match: unknown key"),
        ("surfaces: { s: { strategy: cost } }", "5: surfaces.s.strategy: unknown key"),
        ("auto: { candidates: [c] }", "5: auto.candidates[0]: unknown model `c`"),
        ("auto: { match: 'true' }", "5: auto.match: unknown key"),
        ("keys: [{ id: k, secret: s, routes: [r], stages: [] }]", "5: keys[0].routes[0]: unknown route `r`"),
        ("keys: [{ id: k, secret: s, stages: [s] }]", "5: keys[0].stages[0]: unknown stage `s`"),
    ] {
        one_error(&with_models(rest), expected);
    }
}

#[test]
fn ten_mistakes_give_ten_errors_in_one_run() {
    let errors = errors(TEN_MISTAKES);
    let expected: Vec<&str> = TEN_MISTAKES.lines().filter_map(|l| l.split_once("# ERROR ")).map(|(_, e)| e).collect();
    assert_eq!((errors.len(), expected.len()), (10, 10), "{errors:#?}");
    let marked = TEN_MISTAKES.lines().enumerate().filter(|(_, l)| l.contains("# ERROR ")).map(|(i, _)| i + 1);
    for ((error, expected), line) in errors.iter().zip(expected).zip(marked) {
        assert!(error.starts_with(&format!("{line}: {expected}")), "line {line}: {expected}\n{error}");
    }
}

#[test]
fn a_syntax_error_does_not_hide_the_mistakes_before_it() {
    let found = errors("server: { prot: 1 }\nexecution: { max_attempts: 0 }\nkeys: [{ id: a }\nmodels: {}\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("1: server.prot") && found[2].contains("YAML syntax"), "{found:#?}");
}

#[test]
fn a_broken_part_is_not_reported_again_where_it_is_used() {
    for text in [
        "providers: { p: 5 }\nmodels: { m: { endpoints: [{ provider: p }] } }\nfallback_model: m",
        "providers: { openai: [] }\nmodels: { gpt-4o-mini: {} }",
        &with_models("  c: 5\nroutes: { r: { candidates: [c] } }\nkeys: [{ id: k, secret: s, models: [c] }]"),
        &with_models("routes: { r: 5 }\nkeys: [{ id: k, secret: s, routes: [r] }]"),
        &with_models("surfaces: { s: 5 }\nroutes: { r: { surface: s } }"),
        &with_models("server: { listen: 0.0.0.0:80 }\nkeys: [{ id: k, secret: '${NOPE}' }]"),
        "server: { listen: 0.0.0.0:80, auth: nobody }",
        &with_models("routes: { r: { strategy: valu, lambda: 3 } }"),
        &with_models("routes: { r: { strategy: weighted, split: 5 } }"),
        &with_models("  c: { price: { input: x, output: 1 } }"),
    ] {
        assert_eq!(errors(text).len(), 1, "{text}\n{:#?}", errors(text));
    }
}

#[test]
fn secrets_never_show() {
    let mistakes = [
        "providers: { openai: { api_key: '${WORD}', api_keys: [\"${WORD}\", \"${WORD}\"], base_url: '${WORD}', dialect: '${WORD}' } }",
        "server: { admin_token: '${LINE_BREAK}', listen: '${WORD}', auth: '${WORD}', body_limit: '${WORD}', workers: '${WORD}', cors: ['${WORD}'] }",
        "keys: [{ id: a, secret: word-secret }, { id: b, secret: word-secret, models: ['${WORD}'], stages: ['${WORD}'] }]",
        "routes: { r: { match: '${WORD} ${WORD}', candidates: ['${WORD}', 'tag:${WORD}'], require: ['${WORD}'], surface: '${WORD}', strategy: '${WORD}' } }",
        "storage: '${WORD}'\ntime_zone: '${WORD}'\nfallback_model: '${WORD}'\nmodels: { m: { endpoints: [{ provider: '${WORD}' }] } }",
        "keys: { secret: 'literal-secret' }\nproviders: { openai: { base_url: 'https://u:literal-secret@h', api_key: ['literal-secret'] } }",
    ];
    for text in mistakes {
        let found = errors(text);
        assert!(found.len() >= 2, "{found:#?}");
        for error in found {
            assert!(
                !error.contains("secret`") && !error.contains("word-secret") && !error.contains("literal-secret"),
                "{error}"
            );
        }
    }
    let good = parsed(
        "server: { admin_token: '${WORD}' }\nproviders: { openai: { api_key: '${WORD}', headers: { x-a: '${WORD}' } } }\n\
         models: { gpt-4o-mini: {} }\nkeys: [{ id: a, secret: '${WORD}' }]\nroutes: { r: { require: ['${WORD}'] } }",
    );
    assert!(good.warnings.iter().all(|w| !w.message.contains("word-secret")), "{:?}", good.warnings);
    let Config { server, registry, keys, .. } = good.config;
    assert!(!format!("{server:?} {registry:?} {keys:?}").contains("word-secret"));
    assert_eq!(registry.providers[0].api_keys[0].expose(), "word-secret");
}

#[test]
fn the_benchmark_configuration_is_resolved() {
    let config = parsed(BENCH).config;
    assert_eq!(config.server.listen, ([127, 0, 0, 1], 9900).into());
    assert_eq!(config.storage, Storage::Sqlite("bench.db".into()));
    assert_eq!((config.keys.len(), config.registry.models.len(), config.registry.endpoints.len()), (1, 20, 20));
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
fn the_design_example_lacks_only_what_comes_later() {
    let found = errors(DESIGN);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains(": providers.anthropic: dialect anthropic is not supported"), "{found:#?}");
    assert!(found[1].contains(": gate: not supported"), "{found:#?}");
}

#[test]
fn the_example_is_good_and_silent() {
    let example = parsed(EXAMPLE);
    let told: Vec<String> = example.warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().all(|w| w.contains("only a prior")), "{told:#?}");
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
    assert_eq!((&*config.peak[0].routes[0], config.peak[0].max_cost.unwrap().usd()), ("pool", 1.0));
    assert_eq!(&*config.compliance[0].require[0], "y");
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
        ("server: { auth: none }\nkeys: [{ id: a, secret: s }]", "1: server.auth: with `auth: none` nobody is asked"),
        (
            "compliance: [{ when: 'true', require: [pii] }]",
            "1: compliance[0].require[0]: no model has the tag `pii`, so nothing can pass",
        ),
        (
            "providers: { p: { dialect: simulated } }\nmodels: { m: {} }",
            "2: models.m: unknown: price, context window, capabilities, quality",
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
        assert_eq!(errors(&format!("server: {{ listen: {listen} }}\n{rest}")).is_empty(), is_good, "{listen} {rest}");
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
    let (config, notes) = from(&[], None);
    assert_eq!((config.registry.models.len(), notes.len()), (3, 0));
    assert!(config.registry.providers.iter().all(|p| p.simulated.is_some()));
    let prices: Vec<i64> = config.registry.models.iter().map(|m| m.price.unwrap().output).collect();
    assert!(prices.is_sorted() && prices[0] < prices[2]);

    let (config, notes) = from(&["OPENAI_API_KEY", "ANTHROPIC_API_KEY"], None);
    assert!(config.registry.find("gpt-4o-mini").is_some() && config.fallback_model.is_some());
    assert_eq!(config.registry.providers.len(), 1);
    assert!(
        notes.len() == 1 && notes[0].contains("ANTHROPIC_API_KEY is set, but") && notes[0].contains("anthropic"),
        "{notes:?}"
    );

    let models = ["llama3.2:3b".to_owned(), "we\"ird ${x}: #".to_owned(), "gpt-4o-mini".to_owned()];
    let (config, _) = from(&["OPENAI_API_KEY"], Some(&models));
    let registry = &config.registry;
    for name in ["llama3.2:3b", "we\"ird ${x}: #", "ollama/gpt-4o-mini", "gpt-4o-mini"] {
        assert!(registry.find(name).is_some(), "{name}");
    }
    let llama = registry.model(registry.find("llama3.2:3b").unwrap());
    assert!(llama.has_tag("local") && llama.price.unwrap().output == 0);
    assert_eq!(from(&["ANTHROPIC_API_KEY"], Some(&[])).1.len(), 2);
}

#[test]
fn paths_keep_keys_with_dots_apart() {
    let models = Path::root().key("models");
    let (four, dot) = (models.key("gpt-4"), models.key("gpt-4.1"));
    assert!(dot.key("price").is_within(&dot) && !dot.key("price").is_within(&four) && !four.is_within(&Path::root()));
    assert_eq!(dot.key("endpoints").index(0).key("name").to_string(), "models.gpt-4.1.endpoints[0].name");
    assert_eq!(Path::root().key("a\nb\u{1f}").to_string(), "a\\nb");
}

/// A good file in which values change their kind: whatever the check lets through must deserialise and resolve.
#[test]
fn changed_values_end_in_errors() {
    fn change(value: &mut Value, at: &mut usize, by: &Value) {
        if *at == 0 {
            *value = by.clone();
        }
        *at = at.wrapping_sub(1);
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| change(item, at, by)),
            Value::Object(entries) => entries.values_mut().for_each(|item| change(item, at, by)),
            _ => {}
        }
    }
    let tree = tree::parse(EXAMPLE).root;
    let checked = check::check(&tree, &SCHEMA, &env, false);
    assert!(checked.errors.is_empty());
    let by = r#"[null, true, -1, 0, 0.5, 2, 1e300, 18446744073709551615, "", "x", "1h", "${WORD}", [], [null], ["x"], [1], {}, {"x": {}}, {"default": 1}]"#;
    let by: Vec<Value> = serde_json::from_str(by).unwrap();
    let mut outcomes = [0; 2];
    for at in 0.. {
        let mut seen = checked.value.clone();
        let mut left = at;
        change(&mut seen, &mut left, &by[at % by.len()]);
        if left < usize::MAX / 2 {
            break; // past the last value
        }
        for by in [&by[(at * 7) % by.len()], &by[(at * 11 + 3) % by.len()]] {
            let (mut changed, mut left) = (checked.value.clone(), at);
            change(&mut changed, &mut left, by);
            outcomes[usize::from(parse(&changed.to_string(), &env, TODAY).is_ok())] += 1;
        }
    }
    assert!(outcomes[0] > 100 && outcomes[1] > 10, "{outcomes:?}");
}

/// Files made to be slow: all of it wrong, or all of it repeated.
#[test]
fn large_files_end_soon() {
    let many = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join("\n");
    for text in [
        many(30_000, &|i| format!("unknown{i}: 1")),
        "models:\n".to_owned() + &many(30_000, &|i| format!("  m{i}: {{ tags: [t{i}], modle: 1 }}")),
        "providers: { p: { dialect: simulated } }\nroutes: { r: { candidates: [".to_owned()
            + &"x, tag:y, ".repeat(30_000)
            + "] } }",
        "models: { m: { endpoints: [".to_owned()
            + &many(15_000, &|i| format!("{{ provider: p, name: n{i} }},"))
            + "] } }",
        "providers: { openai: { headers: {".to_owned() + &many(30_000, &|i| format!("x-{i}: a,")) + "} } }",
        "a: &a [".to_owned() + &"b, ".repeat(1000) + "]\n" + &many(9000, &|i| format!("k{i}: *a")),
    ] {
        let _ = parse(&text, &env, TODAY);
    }
}

/// Every part of a good file, damaged in many ways: it must end, and never panic.
#[test]
fn damaged_files_end_in_errors() {
    let mut rng = crate::units::Rng::new(2);
    let all: Vec<char> = format!("{EXAMPLE}\n{DESIGN}").chars().collect();
    let odd = [
        ":", "{", "}", "[", "]", "- ", "&a ", "*a", "\n", "  ", "\t", "\"", "'", "|", ">", "!!str ", "<<: ", "${", "~",
        "1e999", "\u{feff}", "?", "#", "%", "\0",
    ];
    for _ in 0..300 {
        let start = rng.below(all.len());
        let mut text: String = all[start..(start + 10 + rng.below(1500)).min(all.len())].iter().collect();
        for _ in 0..1 + rng.below(4) {
            let at = (0..=rng.below(text.len() + 1)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.insert_str(at, odd[rng.below(odd.len())]);
        }
        drop(parse(&text, &env, TODAY));
    }
}

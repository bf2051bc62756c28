//! One mistake, one error; ten mistakes, ten errors; and no secret in any of them.

use super::*;

const TEN_MISTAKES: &str = include_str!("../../../tests/fixtures/config/ten_mistakes.yaml");

/// Each file has one mistake and gives one error, which begins like this.
#[track_caller]
pub(super) fn one_error(text: &str, expected: &str) {
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
        ("storage: memory\nserver: { listen: 0.0.0.0:80 }", "2: server.listen: listening beyond loopback needs `keys`"),
        (
            "storage: memory\nserver: { listen: '[::]:80', auth: keys }",
            "2: server.listen: listening beyond loopback needs `keys`",
        ),
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
        ("storage: mysql://x", "1: storage: expected sqlite:FILE, postgres://"),
        ("storage: postgres://u:p@h", "1: storage: expected postgres://USER:PASSWORD@HOST/DATABASE"),
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
        ("predictor: { model: '' }", "1: predictor.model: must "),
        ("predictor: { epsilon: 2 }", "1: predictor.epsilon: must be between 0 and 1"),
        ("predictor: { confidence: high }", "1: predictor.confidence: expected a number"),
        ("predictor: { classifier: nobody }", "1: predictor.classifier: unknown model `nobody`"),
        ("predictor: { file: routing.wpm }", "1: predictor.file: unknown key"),
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
            "providers: { p: { dialects: [openai, gemini], base_url: 'http://h/v1' } }",
            "1: providers.p.dialects: `gemini` cannot be one of several dialects",
        ),
        (
            "providers: { p: { dialects: [openai, responses, openai], base_url: 'http://h/v1' } }",
            "1: providers.p.dialects[2]: listed twice",
        ),
        (
            "providers: { gemini: { dialect: openai, api_key: k } }",
            "1: providers.gemini: `base_url` is missing: where the vendor's paths begin",
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
fn one_mistake_in_a_cloud_account_gives_one_error() {
    for (provider, expected) in [
        ("openai: { region: eu }", ".openai.region: only with `dialect: bedrock`"),
        ("openai: { access_key_id: k }", ".openai.access_key_id: only with `dialect: bedrock`"),
        ("openai: { secret_access_key: k }", ".openai.secret_access_key: only with `dialect: bedrock`"),
        ("openai: { session_token: k }", ".openai.session_token: only with `dialect: bedrock`"),
        ("anthropic: { project: p }", ".anthropic.project: only with `dialect: gemini`, for Vertex"),
        ("anthropic: { location: eu }", ".anthropic.location: only with `dialect: gemini`, for Vertex"),
        ("openai: { credentials_file: f }", ".openai.credentials_file: only with `dialect: gemini`, for Vertex"),
        ("gemini: { api_version: 2024-10-21 }", ".gemini.api_version: only with `dialect: openai` or `responses`"),
        ("s: { dialect: simulated, region: eu }", ".s.region: only with `dialect: bedrock`"),
        ("bedrock: { api_key: k }", ".bedrock: `region` is missing, such as us-east-1 (or `base_url`)"),
        ("bedrock: { region: Frankfurt, api_key: k }", ".bedrock.region: expected a region"),
        ("bedrock: { region: a.example/, api_key: k }", ".bedrock.region: expected a region"),
        ("bedrock: { region: us-east-1 }", ".bedrock: credentials are missing: `api_key`, or `access_key_id` and"),
        ("b: { dialect: bedrock, region: us-east-1 }", ".b: credentials are missing: `api_key`, or"),
        (
            "bedrock: { region: us-east-1, access_key_id: k }",
            ".bedrock: `secret_access_key` is missing: it goes with `access_key_id`",
        ),
        (
            "bedrock: { region: us-east-1, secret_access_key: k }",
            ".bedrock: `access_key_id` is missing: it goes with `secret_access_key`",
        ),
        (
            "bedrock: { region: us-east-1, api_key: a, access_key_id: b, secret_access_key: c }",
            ".bedrock.access_key_id: `api_key` and `access_key_id` are both given",
        ),
        (
            "bedrock: { region: us-east-1, api_key: a, session_token: b }",
            ".bedrock.session_token: only with `access_key_id` and `secret_access_key`",
        ),
        (
            "bedrock: { base_url: 'http://h', access_key_id: b, secret_access_key: c }",
            ".bedrock: `region` is missing: signatures name it",
        ),
        (
            "bedrock: { region: us-east-1, access_key_id: b, secret_access_key: '${NOPE}' }",
            ".bedrock.secret_access_key: the environment variable NOPE is not set",
        ),
        ("vertex: { credentials_file: f }", ".vertex: `project` and `location` are missing"),
        ("vertex: { credentials_file: f, project: p }", ".vertex: `location` is missing"),
        ("vertex: { credentials_file: f, location: eu }", ".vertex: `project` is missing"),
        ("vertex: { credentials_file: '', project: p, location: eu }", ".vertex.credentials_file: must not be empty"),
        (
            "vertex: { credentials_file: f, project: a/b, location: eu }",
            ".vertex.project: expected the id of a project",
        ),
        ("vertex: { credentials_file: f, project: p, location: EU }", ".vertex.location: expected a region"),
        (
            "vertex: { project: p, location: eu }",
            ".vertex: credentials are missing: `credentials_file`, or an access token as `api_key`",
        ),
        ("g: { dialect: gemini, project: p, api_key: k }", ".g: `location` is missing"),
        (
            "vertex: { project: p, location: eu, api_key: k, credentials_file: f }",
            ".vertex.credentials_file: `api_key` and `credentials_file` are both given",
        ),
        (
            "vertex: { base_url: 'http://h/v1/projects/p/locations/l/publishers/google', project: q, api_key: k }",
            ".vertex.project: the path of `base_url` names it already",
        ),
        ("vertex: { base_url: 'http://h', project: q, api_key: k }", ".vertex: `location` is missing"),
        (
            "azure: { api_key: k }",
            ".azure: `base_url` is missing: the resource's address, such as https://NAME.openai.azure.com",
        ),
        ("azure: { api_key: k, base_url: 'http://h', api_version: v1 }", ".azure.api_version: expected a date"),
        ("azure: { api_key: k, base_url: 'http://h', api_version: 1 }", ".azure.api_version: expected text such as"),
        (
            "azure: { dialect: anthropic, api_key: k, base_url: 'http://h', api_version: 2024-10-21 }",
            ".azure.api_version: only with `dialect: openai` or `responses`",
        ),
    ] {
        one_error(&format!("providers:\n  {provider}"), &format!("2: providers{expected}"));
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
        ("routes: { r: { translation: loose } }", "5: routes.r.translation: expected one of strict, lenient"),
        ("routes: { r: { cache: true } }", "5: routes.r.cache: expected a mapping, found true or false"),
        ("routes: { r: { cache: { tll: 5m } } }", "5: routes.r.cache.tll: unknown key; did you mean `ttl`?"),
        ("routes: { r: { cache: { ttl: 5 } } }", "5: routes.r.cache.ttl: expected text such as"),
        ("stages: { s: { cache: { ttl: 1000h } } }", "5: stages.s.cache.ttl: must not be longer than 30 days"),
        ("auto: { cache: { max_bytes: 3GiB } }", "5: auto.cache.max_bytes: must be between 1KiB and 2GiB"),
        ("routes: { r: { cache: { shared: 1 } } }", "5: routes.r.cache.shared: expected true or false"),
        ("peak: [{ when: 'true', translation: strict }]", "5: peak[0].translation: unknown key"),
        ("routes: { r: { strategy: cost, pacing: true } }", "5: routes.r.pacing: only with `strategy: value`"),
        ("auto: { pacing: true }", "5: auto.pacing: only with `strategy: value`"),
        ("auto: { strategy: value, lambda: 1, pacing: {} }", "5: auto.pacing: expected true or false"),
        ("routes: { r: { predictor: { classifier: c } } }", "5: routes.r.predictor.classifier: unknown model `c`"),
        ("stages: { s: { predictor: { epsilon: -1 } } }", "5: stages.s.predictor.epsilon: must be between 0 and 1"),
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
    // The value in which it breaks off is not looked at.
    one_error(
        "server: { workers: ${ATTEMPTS} }",
        "1: YAML syntax: while parsing a flow mapping, did not find expected ',' or '}' (between braces or brackets, `${NAME}` needs quotes)",
    );
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
        "providers: { bedrock: { region: '${WORD}/', api_key: '${WORD}', access_key_id: '${WORD}', session_token: '${LINE_BREAK}' } }",
        "providers: { vertex: { project: 'literal-secret/', location: 'literal-secret/', api_key: k }, azure: { api_version: literal-secret } }",
        "leases: 'redis://h/word-secret'\nlease_ttl: '${WORD}'\ngate: { max_waiting: '${WORD}', on_store_loss: '${WORD}' }",
        "leases: '${WORD}'\nkeys: [{ id: a, secret: s, package: '${WORD}', providers: ['${WORD}'], models: ['tier:${WORD}', 'tag:${WORD}'], expires: '${WORD}' }]",
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
        "server: { admin_token: '${WORD}' }\nproviders: { openai: { api_key: '${WORD}', headers: { x-a: '${WORD}' } }, bedrock: { region: eu, access_key_id: '${WORD}', secret_access_key: '${WORD}', session_token: '${WORD}' } }\n\
         models: { gpt-4o-mini: {} }\nkeys: [{ id: a, secret: '${WORD}' }]\nstorage: 'postgres://u:${WORD}@h/d'\nroutes: { r: { require: ['${WORD}'] } }",
    );
    assert!(good.warnings.iter().all(|w| !w.message.contains("word-secret")), "{:?}", good.warnings);
    let Config { server, registry, keys, storage, .. } = good.config;
    assert!(!format!("{server:?} {registry:?} {keys:?} {storage:?}").contains("word-secret"));
    assert_eq!(registry.providers[0].api_keys[0].expose(), "word-secret");
}

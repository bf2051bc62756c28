//! What the core costs a request: `cargo bench -p waypost-bench --bench core -- [FILTER]`.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use waypost::clock::Clock;
use waypost::live::LiveView;
use waypost::proxy::{Call, Prepared, prepare};
use waypost::snapshot::Snapshot;
use waypost_bench::{message_event, stream};
use waypost_core::config;
use waypost_core::dialect::gate::StreamGate;
use waypost_core::dialect::{ReplyContext, openai};
use waypost_core::expr::Headers;
use waypost_core::gate::{self, Amounts, Book, Limits, Quota, Scope, ScopeId, Window};
use waypost_core::hints::Hints;
use waypost_core::profile::{Declared, Profile, profile};
use waypost_core::registry::{Dialect, Tokenizer};
use waypost_core::route::{Ask, Decision, decide};
use waypost_core::scan::{Scan, scan_chat};
use waypost_core::splice::Forward;
use waypost_core::tokens;
use waypost_core::units::{Instant, Now, RequestId, Rng};
use waypost_learn::features::Features;
use waypost_learn::outcome::{Outcome, Row};
use waypost_learn::train::{Options, Sample, train};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A chat request of 1.4 KB, and the same as a stream.
const REQUEST: &[u8] = include_bytes!("../data/request.json");
const REQUEST_STREAM: &[u8] = include_bytes!("../data/request_stream.json");
const COMPLETION: &[u8] = include_bytes!("../data/completion.json");
/// Twenty models, a route over nineteen of them.
const CONFIG: &str = include_str!("../../crates/core/tests/fixtures/config/bench.yaml");
const NOW: Now = Now { instant: Instant(1_000_000_000), unix_ms: 1_795_000_000_000 };

fn snapshot() -> Snapshot {
    let parsed = config::parse(CONFIG, &|_| None, jiff::civil::date(2026, 11, 20)).expect("the fixture is right");
    Snapshot::build(parsed.config, None).expect("the fixture can be served")
}

fn decided(snapshot: &Snapshot, body: &[u8], scan: &Scan, profile: &Profile, model: &str) -> Decision {
    let headers: &Headers<'_> = &|visit: &mut dyn FnMut(&str, &str)| visit("content-type", "application/json");
    let ask = Ask {
        model,
        profile,
        hints: &Hints::default(),
        tags: &[],
        key: snapshot.config.keys.first(),
        headers,
        exact_tokens: &|tokenizer| tokens::count_chat(body, scan, tokenizer),
    };
    let live = LiveView::new(snapshot, NOW.instant);
    decide(&snapshot.config, &ask, &live, NOW, &mut Rng::new(1))
}

fn scanned(body: &[u8]) -> Scan {
    scan_chat(body).expect("the request is right")
}

fn request(c: &mut Criterion) {
    let snapshot = snapshot();
    let scan = scanned(REQUEST);
    let profiled = profile(REQUEST, &scan, Declared::default());
    assert!(!decided(&snapshot, REQUEST, &scan, &profiled, "route/bench-json").candidates.is_empty());

    let mut group = c.benchmark_group("request of 1.4 KB");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("scan", |b| b.iter(|| scanned(black_box(REQUEST))));
    group.bench_function("profile", |b| b.iter(|| profile(black_box(REQUEST), &scan, Declared::default())));
    group.bench_function("decide over 20 models", |b| {
        b.iter(|| decided(&snapshot, REQUEST, &scan, black_box(&profiled), "route/bench-json"));
    });
    group.bench_function("scan, profile, decide", |b| {
        b.iter(|| {
            let scan = scanned(black_box(REQUEST));
            let profiled = profile(REQUEST, &scan, Declared::default());
            decided(&snapshot, REQUEST, &scan, &profiled, "route/bench-json")
        });
    });
    group.finish();
}

fn count(c: &mut Criterion) {
    tokens::load(Tokenizer::O200k);
    let mut group = c.benchmark_group("exact token count");
    let scan = scanned(REQUEST);
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("1.4 KB", |b| b.iter(|| tokens::count_chat(black_box(REQUEST), &scan, Tokenizer::O200k)));

    let text: String = scan.texts.iter().map(|t| String::from_utf8_lossy(&REQUEST[t.range.clone()])).collect();
    let large = text.repeat((1 << 20) / text.len() + 1);
    group.throughput(Throughput::Bytes(large.len() as u64)).sample_size(10);
    group.bench_function("1 MB", |b| b.iter(|| tokens::count(Tokenizer::O200k, black_box(&large))));
    group.finish();
}

/// A stream that is passed on: the figure of `Throughput::Elements` is chunks a second.
fn pass(c: &mut Criterion) {
    let chunks = stream(60);
    let mut group = c.benchmark_group("stream of 60 tokens");
    group.throughput(Throughput::Elements(chunks.len() as u64));
    group.bench_function("a chunk an event", |b| b.iter(|| passed(black_box(&chunks))));
    // As the network may cut it: three events and a half in a chunk.
    let joined = Bytes::from(chunks.concat());
    let cut: Vec<_> = (0..joined.len()).step_by(1000).map(|i| joined.slice(i..joined.len().min(i + 1000))).collect();
    group.bench_function("chunks of 1,000 bytes", |b| b.iter(|| passed(black_box(&cut))));
    let messages: Vec<_> = (0..).map_while(|i| message_event(i, 60)).collect();
    let context = ReplyContext { id: "0".repeat(32), created: 1_760_000_000, model: "m".into(), include_usage: true };
    group.bench_function("translated from Anthropic", |b| {
        b.iter(|| {
            let gate = StreamGate::translate(Dialect::Anthropic, Dialect::OpenAi, context.clone(), None);
            through(gate, black_box(&messages))
        });
    });
    group.finish();
}

fn passed(chunks: &[Bytes]) -> usize {
    through(StreamGate::pass(Dialect::OpenAi, false), chunks)
}

fn through(mut gate: StreamGate, chunks: &[Bytes]) -> usize {
    let (mut out, mut bytes) = (Vec::new(), 0);
    for chunk in chunks {
        gate.push(chunk, &mut out).expect("the stream is right");
        bytes += out.drain(..).map(|b| b.len()).sum::<usize>();
    }
    gate.finish(&mut out).expect("the stream ends");
    bytes
}

/// All that the core does for one request, end to end.
fn path(c: &mut Criterion) {
    let snapshot = snapshot();
    let forward = |body: &Bytes, model: &str| {
        let scan = scanned(body);
        let profiled = profile(body, &scan, Declared::default());
        let decision = decided(&snapshot, body, &scan, &profiled, model);
        let chosen = decision.chosen().expect("somebody may answer").model;
        let model = &snapshot.config.registry.model(chosen).name;
        scan.upstream_body(body, &Forward { model, usage: true, cap: None })
    };
    let mut group = c.benchmark_group("whole path of the core");
    let body = Bytes::from_static(REQUEST);
    group.bench_function("answer", |b| {
        b.iter(|| {
            let sent = forward(black_box(&body), "route/bench-json");
            (sent, openai::inspect_completion(black_box(COMPLETION)).expect("the answer is right"))
        });
    });
    let (body, chunks) = (Bytes::from_static(REQUEST_STREAM), stream(60));
    group.bench_function("stream of 60 tokens", |b| {
        b.iter(|| (forward(black_box(&body), "route/bench-sim"), passed(black_box(&chunks))));
    });
    group.finish();
}

/// A scope whose slices are leased for long: dollars and tokens a day, requests a minute.
fn limited(id: ScopeId) -> Mutex<Scope> {
    let mut limits = Limits::default();
    let quotas = [Quota::Usd(Window::Day), Quota::Tokens(Window::Day), Quota::RequestsPerMinute];
    quotas.iter().for_each(|quota| limits.set(*quota, Some(1 << 60)));
    let mut scope = Scope::new(id, limits, jiff::tz::TimeZone::UTC, NOW.unix_ms);
    scope.look(NOW.instant);
    for due in scope.due(NOW.instant, NOW.unix_ms, true) {
        let terms = scope.terms(&due.part, due.limit, 15_000);
        let ask = gate::Ask { idle: false, ..due.ask.clone() };
        let grant = Book::opened(1, 0).exchange(&terms, NOW.unix_ms, "bench", &ask);
        scope.answered(&due.part, &due.ask, grant, NOW.instant + Duration::from_secs(3600));
    }
    Mutex::new(scope)
}

/// What a request pays for its budgets: four scopes, as a gateway locks and settles them. Nobody else wants them, and no
/// slice is short.
fn budgets(c: &mut Criterion) {
    let names = [ScopeId::Global, ScopeId::Team("a".into()), ScopeId::Key("k".into()), ScopeId::Model("m".into())];
    let scopes = names.map(limited);
    let need = Amounts { usd: 2_000_000, tokens: 5_000, requests: 1, concurrency: 1 };
    let used = Amounts { usd: 400_000, tokens: 900, ..need };
    c.bench_function("gate: reserve and settle in four scopes", |b| {
        b.iter(|| {
            let lock = |scope| Mutex::lock(scope).expect("nobody panics");
            let mut locked: Vec<_> = scopes.iter().map(|scope| (lock(scope), black_box(need))).collect();
            let mut held = Vec::with_capacity(scopes.len());
            gate::reserve(&mut locked, NOW, NOW.instant, |one| held.push(one)).expect("there is room");
            drop(locked);
            for (scope, held) in scopes.iter().zip(&held) {
                lock(scope).settle(held, black_box(&used), NOW.unix_ms);
            }
        });
    });
}

/// What a user asks, 85 tokens of it.
const QUESTION: &str = "Our nightly export of about forty million rows from the orders table takes four hours and locks the \
    table for readers at the end. Explain in a few steps how to move it to an incremental export with a watermark column, \
    which index it needs, how to handle rows that change during the run, and how we can check afterwards that no row was \
    lost or written twice. Give the SQL for Postgres 16.";

/// A predictor of all models of the configuration, from made-up outcomes.
fn trained(names: &[String]) -> Vec<u8> {
    let words: Vec<&str> = QUESTION.split_whitespace().collect();
    let mut rng = Rng::new(5);
    let samples: Vec<Sample> = (0..600)
        .map(|i| {
            let prompt: Vec<&str> = (0..20 + rng.below(80)).map(|_| words[rng.below(words.len())]).collect();
            let mut outcome = |k: usize| Outcome {
                score: f64::from(u8::from(rng.next_f64() * 30.0 < 12.0 + k as f64)),
                input_tokens: Some(100),
                output_tokens: Some(50 + rng.below(900) as u32),
                cost_usd: None,
            };
            let outcomes = names.iter().enumerate().map(|(k, name)| (name.clone(), outcome(k))).collect();
            let (id, source, task) = (i.to_string(), String::new(), String::new());
            Sample::of(Row { id, source, task, prompt: prompt.join(" "), outcomes }, None)
        })
        .collect();
    let options = Options { resamples: 10, threads: 2, ..Options::default() };
    train(&samples, options, &|_| {}).expect("the rows are right").predictor.write()
}

/// Deciding with a learned predictor, `auto` over twenty models: the whole decision, and what the predictor adds.
fn predictor(c: &mut Criterion) {
    let plain = Arc::new(snapshot());
    let names: Vec<String> = plain.config.registry.models.iter().map(|m| m.name.to_string()).collect();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), trained(&names)).expect("the file can be written");
    let text = format!("{CONFIG}\npredictor: {{ model: '{}' }}\n", file.path().display());
    let parsed = config::parse(&text, &|_| None, jiff::civil::date(2026, 11, 20)).expect("the fixture is right");
    let learned = Arc::new(Snapshot::build(parsed.config, None).expect("the predictor is right"));
    let body = Bytes::from(
        serde_json::json!({"model": "auto", "messages": [
        {"role": "system", "content": "You are a careful database engineer."}, {"role": "user", "content": QUESTION}]})
        .to_string(),
    );
    let clock = Clock::default();
    let prepared = |snapshot: &Arc<Snapshot>| {
        let key = snapshot.config.keys.first().cloned().map(Arc::new);
        prepare(snapshot.clone(), (Call::Chat, Dialect::OpenAi), key, http::HeaderMap::new(), body.clone())
            .expect("it is right")
    };
    let decision = prepared(&learned).decide(&clock, None, RequestId(1)).decision;
    assert!(decision.chosen().is_some_and(|c| c.estimate.predicted.is_some()), "{}", decision.reason);

    let mut group = c.benchmark_group("request of 85 tokens");
    for (name, snapshot) in [("decide, configured quality", &plain), ("decide, predicted quality", &learned)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || prepared(snapshot),
                |prepared| prepared.decide(&clock, None, RequestId(1)),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("features", |b| b.iter(|| Features::of(black_box(QUESTION))));
    group.finish();
    tail(&learned, &prepared, &clock);
}

/// The slowest of many decisions: a mean hides them.
fn tail(snapshot: &Arc<Snapshot>, prepared: &dyn Fn(&Arc<Snapshot>) -> Prepared, clock: &Clock) {
    let mut took: Vec<Duration> = (0..20_000)
        .map(|i| {
            let prepared = prepared(snapshot);
            let begun = std::time::Instant::now();
            black_box(prepared.decide(clock, None, RequestId(i)));
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[(took.len() as f64 * share) as usize];
    println!("decide, predicted quality: median {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
}

criterion_group!(benches, request, count, pass, path, budgets, predictor);
criterion_main!(benches);

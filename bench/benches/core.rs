//! What the core costs a request: `cargo bench -p waypost-bench --bench core -- [FILTER]`.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;
use waypost::live::LiveView;
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
use waypost_core::units::{Instant, Now, Rng};

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

criterion_group!(benches, request, count, pass, path, budgets);
criterion_main!(benches);

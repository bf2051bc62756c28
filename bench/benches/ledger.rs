//! What a record costs: `cargo bench -p waypost-bench --bench ledger`. (`cargo run --release -p waypost --example ledger`
//! measures the CPU time of the whole process, the writing thread's too.)

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waypost::store::{AttemptRecord, Ledger, LedgerOptions, RequestOutcome, RequestRecord};
use waypost_core::config::Storage;
use waypost_core::profile::{Class, Task};
use waypost_core::registry::Usage;
use waypost_core::units::{NanoUsd, RequestId, Rng};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records that wait at most, as under load.
const BATCH: u64 = 4096;

fn ledger(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let storage = Storage::Sqlite(folder.path().join("bench.db"));
    let ledger = Ledger::open(&storage, LedgerOptions::default()).expect("the ledger opens");
    let names = Names::new();
    let mut group = c.benchmark_group("ledger");
    group.bench_function("record, on the request's path", |b| b.iter_custom(|n| recorded(&ledger, &names, n, false)));
    group.bench_function("record, until it is committed", |b| b.iter_custom(|n| recorded(&ledger, &names, n, true)));
    group.finish();
    ledger.close(Duration::from_secs(60)).expect("everything is written");
}

/// The time of `n` records; with or without that of writing them.
fn recorded(ledger: &Ledger, names: &Names, n: u64, committed: bool) -> Duration {
    let mut time = Duration::ZERO;
    for batch in 0..n.div_ceil(BATCH) {
        let records: Vec<_> = (batch * BATCH..n.min((batch + 1) * BATCH)).map(|n| names.record(n)).collect();
        let start = Instant::now();
        for record in records {
            ledger.record(black_box(record));
        }
        time += if committed { Duration::ZERO } else { start.elapsed() };
        ledger.flush(Duration::from_secs(60)).expect("the disk can be written");
        time += if committed { start.elapsed() } else { Duration::ZERO };
    }
    time
}

struct Names {
    models: Vec<Arc<str>>,
    provider: Arc<str>,
    reason: Arc<str>,
}

impl Names {
    fn new() -> Self {
        Self {
            models: (0..20).map(|n| format!("model-of-some-vendor-{n}").into()).collect(),
            provider: "openai".into(),
            reason: "cheapest of 20 candidates above quality 0.80: model-of-some-vendor-7".into(),
        }
    }

    fn record(&self, n: u64) -> RequestRecord {
        let mut rng = Rng::new(n);
        let model = &self.models[rng.below(self.models.len())];
        let usage = Usage { input_tokens: 310, output_tokens: 60, ..Usage::default() };
        let cost = NanoUsd(rng.below(10_000_000) as i64);
        RequestRecord {
            id: RequestId(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())),
            unix_ms: 1_795_000_000_000 + n as i64 / 50,
            key: Some(self.provider.clone()),
            team: None,
            route: Some(self.provider.clone()),
            stage: None,
            level: "route",
            strategy: "cost",
            class: Class::Interactive,
            task: Task::ALL[rng.below(Task::COUNT)],
            estimated_input_tokens: 310,
            complexity: 0.3,
            stream: n.is_multiple_of(2),
            model: Some(model.clone()),
            degraded: false,
            outcome: RequestOutcome::Ok,
            status: 200,
            code: None,
            reason: self.reason.clone(),
            duration_us: 500_000,
            cost,
            baseline_cost: Some(NanoUsd(cost.0 * 3)),
            propensity: None,
            lesson: None,
            tags: Vec::new(),
            attempts: vec![AttemptRecord {
                model: model.clone(),
                provider: self.provider.clone(),
                endpoint: model.clone(),
                outcome: "ok",
                status: 200,
                start_us: 120,
                first_token_us: Some(200_000),
                duration_us: 500_000,
                usage,
                estimated: false,
                cost: Some(cost),
            }],
            decision: None,
        }
    }
}

criterion_group!(benches, ledger);
criterion_main!(benches);

//! What a record costs: `cargo run --release --example ledger -- [RECORDS] [RATE] [FILE]` writes records of one attempt
//! each from two threads, RATE a second (default 50,000; 0: as fast as the queue takes them), and prints the CPU time of
//! the whole process per record (Linux only). Every 100th record carries decision detail of 3 KB.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waypost::store::{AttemptRecord, Ledger, LedgerOptions, RequestOutcome, RequestRecord};
use waypost_core::config::Storage;
use waypost_core::profile::{Class, Task};
use waypost_core::registry::Usage;
use waypost_core::units::{NanoUsd, RequestId, Rng};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let records: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let rate: u64 = args.next().map_or(Ok(50_000), |n| n.parse())?;
    let path: PathBuf = args.next().map_or_else(|| std::env::temp_dir().join("waypost-ledger-example.db"), Into::into);
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let ledger = Ledger::open(&Storage::Sqlite(path.clone()), LedgerOptions::default())?;
    let making = cost_of_making(records);
    let (cpu, wall) = (cpu_time()?, Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let ledger = &ledger;
            scope.spawn(move || {
                let names = Names::new();
                for n in 0..records / 2 {
                    ledger.record(names.record(thread * records + n));
                    let early = || rate > 0 && wall.elapsed().as_secs_f64() < (2 * n) as f64 / rate as f64;
                    while n % 64 == 0 && (ledger.stats().queued > 8000 || early()) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
    });
    ledger.flush(Duration::from_secs(60))?;
    let (cpu, wall) = (cpu_time()? - cpu, wall.elapsed());
    ledger.close(Duration::from_secs(60))?;
    let per_record = |d: Duration| d.as_secs_f64() * 1e6 / records as f64;
    let bytes = std::fs::metadata(&path)?.len();
    println!(
        "{records} records: {:.2} µs CPU each, of which {:.2} µs make the record; {:.0} a second; {} bytes each; {:?}",
        per_record(cpu),
        per_record(making),
        records as f64 / wall.as_secs_f64(),
        bytes / records,
        ledger.stats()
    );
    Ok(())
}

/// User and system time of all threads.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|f| f.parse().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// The same records, made and dropped.
fn cost_of_making(records: u64) -> Duration {
    let names = Names::new();
    let start = Instant::now();
    for n in 0..records {
        std::hint::black_box(names.record(n));
    }
    start.elapsed()
}

struct Names {
    models: Vec<Arc<str>>,
    keys: Vec<Arc<str>>,
    provider: Arc<str>,
    route: Arc<str>,
    reasons: Vec<Arc<str>>,
    detail: String,
}

impl Names {
    fn new() -> Self {
        Self {
            models: (0..20).map(|n| format!("model-of-some-vendor-{n}").into()).collect(),
            keys: (0..100).map(|n| format!("key-{n}").into()).collect(),
            provider: "openai".into(),
            route: "support".into(),
            reasons: (0..20)
                .map(|n| format!("cheapest of 20 candidates above quality 0.80: model-{n}").into())
                .collect(),
            detail: format!("{{\"candidates\":\"{}\"}}", "x".repeat(3000)),
        }
    }

    fn record(&self, n: u64) -> RequestRecord {
        let mut rng = Rng::new(n);
        let model = rng.below(20);
        let usage =
            Usage { input_tokens: rng.below(4000) as u64, output_tokens: rng.below(800) as u64, ..Usage::default() };
        let cost = NanoUsd(rng.below(10_000_000) as i64);
        RequestRecord {
            id: RequestId(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())),
            unix_ms: 1_795_000_000_000 + n as i64 / 50,
            key: Some(self.keys[rng.below(100)].clone()),
            team: None,
            route: Some(self.route.clone()),
            stage: None,
            level: "route",
            strategy: "cost",
            class: Class::Interactive,
            task: Task::ALL[rng.below(Task::COUNT)],
            estimated_input_tokens: usage.input_tokens as u32,
            complexity: rng.next_f64() as f32,
            stream: n.is_multiple_of(2),
            model: Some(self.models[model].clone()),
            degraded: false,
            outcome: RequestOutcome::Ok,
            status: 200,
            code: None,
            reason: self.reasons[model].clone(),
            duration_us: 500_000 + rng.below(500_000) as u64,
            cost,
            baseline_cost: Some(NanoUsd(cost.0 * 3)),
            propensity: Some(1.0),
            tags: Vec::new(),
            attempts: vec![AttemptRecord {
                model: self.models[model].clone(),
                provider: self.provider.clone(),
                endpoint: self.models[model].clone(),
                outcome: "ok",
                status: 200,
                start_us: 120,
                first_token_us: Some(200_000 + rng.below(100_000) as u64),
                duration_us: 500_000 + rng.below(500_000) as u64,
                usage,
                estimated: false,
                cost: Some(cost),
            }],
            decision: n.is_multiple_of(100).then(|| self.detail.clone().into()),
            lesson: None,
        }
    }
}

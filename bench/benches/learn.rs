//! What reading a prompt's text costs a decision: `cargo bench -p waypost-bench --bench learn -- [FILTER]`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use waypost_learn::text::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A prompt of 85 tokens in 356 bytes: prose, and a line of code.
const PROMPT: &str = include_str!("../data/prompt.txt");
static FILE: &[u8] = include_bytes!("../../crates/learn/data/embedding.bin");

fn text(c: &mut Criterion) {
    let table = Table::built_in();
    let mut tokens = Vec::new();
    table.tokens(PROMPT, &mut tokens);
    let mut group = c.benchmark_group(format!("prompt of {} tokens", tokens.len()));
    group.throughput(Throughput::Bytes(PROMPT.len() as u64));
    let mut again = Vec::with_capacity(tokens.len());
    group.bench_function("tokens", |b| {
        b.iter(|| {
            again.clear();
            table.tokens(black_box(PROMPT), &mut again);
        });
    });
    group.bench_function("pool", |b| b.iter(|| table.pool(black_box(&tokens))));
    group.bench_function("embed", |b| b.iter(|| table.embed(black_box(PROMPT))));
    group.finish();

    let mut group = c.benchmark_group("embedding table");
    let large = PROMPT.repeat((1 << 20) / PROMPT.len());
    group.bench_function("embed 1 MB", |b| b.iter(|| table.embed(black_box(&large))));
    group.bench_function("load", |b| b.iter(|| Table::parse(black_box(FILE)).is_ok()));
    group.finish();
}

criterion_group!(benches, text);
criterion_main!(benches);

//! The ledger as a whole: what is written comes back, and nothing is lost.

mod lessons;
mod postgres;
mod reports;

use super::*;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;
use waypost_core::config::Storage;
use waypost_core::units::{Rng, Secret};

const LONG: Duration = Duration::from_secs(30);

fn name(prefix: &str, n: usize) -> Arc<str> {
    format!("{prefix}-{n}").into()
}

fn attempt(rng: &mut Rng) -> AttemptRecord {
    let outcome = ["ok", "ok", "ok", "http_500", "timeout", "cancelled"][rng.below(6)];
    let input_tokens = rng.below(5000) as u64;
    let output_tokens = rng.below(900) as u64;
    AttemptRecord {
        model: name("model", rng.below(4)),
        provider: name("provider", rng.below(3)),
        endpoint: name("endpoint", rng.below(3)),
        outcome,
        status: [200, 500, 0][rng.below(3)],
        start_us: rng.below(1000) as u64,
        first_token_us: (rng.below(2) == 0).then(|| rng.below(400_000) as u64),
        duration_us: rng.below(2_000_000) as u64,
        usage: Usage {
            input_tokens,
            output_tokens,
            cache_read_tokens: input_tokens / 2,
            cache_write_tokens: input_tokens / 7,
            reasoning_tokens: output_tokens / 3,
        },
        estimated: rng.below(4) == 0,
        cost: (rng.below(8) > 0).then(|| NanoUsd(rng.below(1_000_000) as i64)),
    }
}

/// A random record; `unix_ms` within a minute of 2026-11-20.
fn record(rng: &mut Rng) -> RequestRecord {
    use RequestOutcome::{Cancelled, Cut, Failed, Ok, Refused};
    let outcome = [Ok, Ok, Ok, Failed, Cut, Cancelled, Refused][rng.below(7)];
    let tries = if outcome == Refused { 0 } else { 1 + rng.below(4) * rng.below(2) };
    let attempts: Vec<_> = (0..tries).map(|_| attempt(rng)).collect();
    let maybe = |rng: &mut Rng, prefix: &str| (rng.below(3) > 0).then(|| name(prefix, rng.below(3)));
    RequestRecord {
        id: RequestId(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())),
        unix_ms: 1_795_132_800_000 + rng.below(60_000) as i64,
        key: maybe(rng, "key"),
        team: maybe(rng, "team"),
        route: maybe(rng, "route"),
        stage: maybe(rng, "stage"),
        level: ["pin", "stage", "route", "auto", "fallback"][rng.below(5)],
        strategy: ["cost", "latency"][rng.below(2)],
        class: [Class::Interactive, Class::Background][rng.below(2)],
        task: Task::ALL[rng.below(Task::COUNT)],
        estimated_input_tokens: rng.below(5000) as u32,
        complexity: rng.next_f64() as f32,
        stream: rng.below(2) == 0,
        model: maybe(rng, "model"),
        degraded: rng.below(9) == 0,
        outcome,
        status: [200, 429, 502][rng.below(3)],
        code: (rng.below(3) == 0).then_some("upstream_error"),
        reason: format!("because of \"{}\"", rng.below(20)).into(),
        duration_us: rng.below(3_000_000) as u64,
        cost: attempts.iter().filter_map(|a| a.cost).fold(NanoUsd::ZERO, |sum, c| sum + c),
        baseline_cost: (rng.below(4) > 0).then(|| NanoUsd(rng.below(3_000_000) as i64)),
        propensity: (rng.below(4) > 0).then(|| [1.0, 0.05, rng.next_f64()][rng.below(3)]),
        tags: (0..rng.below(3)).map(|_| (name("k\"", rng.below(2)), name("v,\n=\u{e9}", rng.below(3)))).collect(),
        attempts,
        decision: (rng.below(3) == 0).then(|| format!("{{\"draw\":{}}}", rng.below(1000)).into()),
        lesson: None,
    }
}

fn records(seed: u64, n: usize) -> Vec<RequestRecord> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| record(&mut rng)).collect()
}

/// The stored form that `r` should have.
fn expected(r: &RequestRecord) -> StoredRequest {
    let owned = |s: &Option<Arc<str>>| s.as_deref().map(str::to_owned);
    StoredRequest {
        id: r.id.to_string(),
        unix_ms: r.unix_ms,
        key: owned(&r.key),
        team: owned(&r.team),
        route: owned(&r.route),
        stage: owned(&r.stage),
        level: r.level.to_owned(),
        strategy: r.strategy.to_owned(),
        class: r.class.name().to_owned(),
        task: r.task.name().to_owned(),
        estimated_input_tokens: r.estimated_input_tokens,
        complexity: r.complexity,
        stream: r.stream,
        model: owned(&r.model),
        degraded: r.degraded,
        outcome: r.outcome.name().to_owned(),
        status: r.status,
        code: r.code.map(str::to_owned),
        reason: r.reason.to_string(),
        duration_us: r.duration_us,
        cost_nano_usd: r.cost.0,
        baseline_nano_usd: r.baseline_cost.map(|c| c.0),
        propensity: r.propensity,
        tags: r.tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        attempts: r.attempts.iter().map(expected_attempt).collect(),
        decision: r.decision.as_deref().map(|d| serde_json::from_str(d).unwrap()),
    }
}

fn expected_attempt(a: &AttemptRecord) -> StoredAttempt {
    StoredAttempt {
        model: a.model.to_string(),
        provider: a.provider.to_string(),
        endpoint: a.endpoint.to_string(),
        outcome: a.outcome.to_owned(),
        status: a.status,
        start_us: a.start_us,
        first_token_us: a.first_token_us,
        duration_us: a.duration_us,
        input_tokens: a.usage.input_tokens,
        output_tokens: a.usage.output_tokens,
        cache_read_tokens: a.usage.cache_read_tokens,
        cache_write_tokens: a.usage.cache_write_tokens,
        reasoning_tokens: a.usage.reasoning_tokens,
        estimated: a.estimated,
        cost_nano_usd: a.cost.map(|c| c.0),
    }
}

/// Each kind of storage, empty; and what must outlive it.
fn everywhere() -> [(Storage, Box<dyn std::any::Any>); 3] {
    let dir = tempfile::tempdir().unwrap();
    let database = waypost_servers::postgres();
    let url = Storage::Postgres(Secret::new(database.url()));
    [(file(&dir), Box::new(dir)), (Storage::Memory, Box::new(())), (url, Box::new(database))]
}

fn file(dir: &tempfile::TempDir) -> Storage {
    Storage::Sqlite(dir.path().join("ledger.db"))
}

fn path(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("ledger.db")
}

fn open(storage: &Storage) -> Ledger {
    Ledger::open(storage, LedgerOptions::default()).unwrap()
}

fn write(ledger: &Ledger, records: &[RequestRecord]) {
    for record in records {
        ledger.record(record.clone());
    }
    ledger.flush(LONG).unwrap();
}

#[test]
fn what_is_written_comes_back_equal() {
    for (storage, _keep) in everywhere() {
        let ledger = open(&storage);
        let mut written = records(1, 400);
        // Odd ones: more attempts than a request's numbers hold, figures beyond SQLite's, texts beyond the dictionary.
        let mut rng = Rng::new(2);
        written[10].attempts = (0..200).map(|_| attempt(&mut rng)).collect();
        written[20].attempts = (0..64).map(|_| attempt(&mut rng)).collect();
        written[30].reason = "long ".repeat(1000).into();
        written[31].unix_ms = -5;
        written[398].unix_ms = 1 << 54;
        written[399].unix_ms = i64::MAX;
        written[32].tags = vec![("k".into(), "x\u{0}\"\\".repeat(500).into())];
        written[33].tags = vec![("same".into(), "1".into()), ("same".into(), "2".into())];
        write(&ledger, &written);
        let reader = ledger.reader().unwrap();
        for record in &written {
            assert_eq!(reader.request(record.id).unwrap().as_ref(), Some(&expected(record)));
        }
        assert_eq!(reader.request(RequestId(7)).unwrap(), None);
        assert_eq!(ledger.stats(), LedgerStats { written: 400, ..LedgerStats::default() });
    }
}

#[test]
fn values_that_the_database_cannot_hold_do_not_stop_the_ledger() {
    for (storage, _keep) in everywhere() {
        let ledger = open(&storage);
        let mut odd = records(3, 1).remove(0);
        odd.complexity = f32::NAN;
        odd.duration_us = u64::MAX;
        odd.decision = Some("not json".into());
        write(&ledger, &[odd.clone()]);
        let stored = ledger.reader().unwrap().request(odd.id).unwrap().unwrap();
        assert_eq!((stored.complexity, stored.duration_us), (0.0, i64::MAX as u64));
        assert_eq!(stored.decision, Some("not json".into()));
    }
}

#[test]
fn ids_that_carry_their_time_and_ids_that_do_not_are_found() {
    for (storage, _keep) in everywhere() {
        let ledger = open(&storage);
        let mut two = records(4, 2);
        two[0].id = RequestId((two[0].unix_ms as u128) << 80 | 77);
        write(&ledger, &two);
        let reader = ledger.reader().unwrap();
        for r in &two {
            assert_eq!(reader.request(r.id).unwrap().map(|s| s.unix_ms), Some(r.unix_ms));
        }
    }
}

#[test]
fn recent_is_newest_first_and_bounded() {
    for (storage, _keep) in everywhere() {
        let ledger = open(&storage);
        let written = records(5, 50);
        write(&ledger, &written);
        let recent = ledger.reader().unwrap().recent(10).unwrap();
        let ids: Vec<_> = written.iter().rev().take(10).map(|r| r.id.to_string()).collect();
        assert_eq!(recent.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), ids);
        assert_eq!(ledger.reader().unwrap().recent(1000).unwrap().len(), 50);
    }
}

#[test]
fn many_threads_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&file(&dir));
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || records(seed, 500).into_iter().for_each(|r| ledger.record(r)));
        }
    });
    ledger.close(LONG).unwrap();
    let total = Reader::open(&file(&dir)).unwrap().report(By::Model, 0).unwrap().total;
    let cost: i64 = (0..8).flat_map(|seed| records(seed, 500)).map(|r| r.cost.0).sum();
    assert_eq!((total.requests, total.cost_nano_usd), (4000, cost));
}

/// Two gateways on one file: their numbers interleave, none collides.
#[test]
fn two_ledgers_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(&file(&dir)), open(&file(&dir)));
    let (first, second) = (records(6, 300), records(7, 300));
    for (a, b) in first.chunks(50).zip(second.chunks(50)) {
        write(&one, a);
        write(&two, b);
    }
    let reader = Reader::open(&file(&dir)).unwrap();
    for r in first.iter().chain(&second) {
        assert_eq!(reader.request(r.id).unwrap().as_ref(), Some(&expected(r)));
    }
}

/// The files as `kill -9` leaves them: what was committed is there, from the write-ahead log alone.
#[test]
fn committed_records_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&file(&dir));
    let written = records(8, 1000);
    write(&ledger, &written);
    let after = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(dir.path().join(format!("ledger.db{suffix}")), after.path().join(format!("ledger.db{suffix}")))
            .unwrap();
    }
    let again = open(&file(&after));
    write(&again, &records(9, 10));
    let reader = again.reader().unwrap();
    assert_eq!(reader.report(By::Model, 0).unwrap().total.requests, 1010);
    assert_eq!(reader.request(written[999].id).unwrap(), Some(expected(&written[999])));
}

#[test]
fn flushing_and_closing_do_not_wait_for_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let options = LedgerOptions { batch_interval: Duration::from_secs(3600), ..LedgerOptions::default() };
    let ledger = Ledger::open(&file(&dir), options).unwrap();
    write(&ledger, &records(10, 200));
    records(11, 200).into_iter().for_each(|r| ledger.record(r));
    assert_eq!(ledger.stats().written, 200);
    ledger.close(LONG).unwrap();
    ledger.close(LONG).unwrap();
    assert_eq!(Reader::open(&file(&dir)).unwrap().report(By::Key, 0).unwrap().total.requests, 400);
}

#[test]
fn a_full_batch_does_not_wait_for_the_interval() {
    let options =
        LedgerOptions { batch_interval: Duration::from_secs(3600), batch_records: 5000, ..LedgerOptions::default() };
    let ledger = Ledger::open(&Storage::Memory, options).unwrap();
    records(10, 5000).into_iter().for_each(|r| ledger.record(r));
    ledger.wait_for(|s| s.written == 5000);
}

/// A batch that fails half-way is rolled back; the names that it numbered must be numbered again.
#[test]
fn a_batch_that_failed_half_way_is_written_whole_later() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&file(&dir));
    let other = Connection::open(path(&dir)).unwrap();
    other.execute_batch("ALTER TABLE decisions RENAME TO gone").unwrap();
    let written = records(16, 100);
    written.iter().for_each(|r| ledger.record(r.clone()));
    ledger.wait_for(|s| s.write_errors > 0);
    assert_eq!(ledger.stats().written, 0);
    other.execute_batch("ALTER TABLE gone RENAME TO decisions").unwrap();
    ledger.flush(LONG).unwrap();
    let reader = ledger.reader().unwrap();
    for r in &written {
        assert_eq!(reader.request(r.id).unwrap().as_ref(), Some(&expected(r)));
    }
}

/// A lock that another process holds on the file.
fn locked(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

#[test]
fn a_locked_file_delays_records_sheds_detail_and_loses_no_spend() {
    let dir = tempfile::tempdir().unwrap();
    let options = LedgerOptions { detail_records: 50, max_queued: 100, ..LedgerOptions::default() };
    let ledger = Ledger::open(&file(&dir), options).unwrap();
    let lock = locked(&path(&dir));
    let mut written = records(11, 100);
    written.iter_mut().for_each(|r| r.decision = Some("{}".into()));
    for (n, r) in written.iter().enumerate() {
        assert_eq!(ledger.overloaded(), n >= 100, "{n}");
        ledger.record(r.clone());
    }
    ledger.wait_for(|s| s.write_errors > 0);
    assert!(ledger.overloaded() && ledger.failing());
    let stats = ledger.stats();
    assert_eq!((stats.queued, stats.written, stats.detail_shed), (100, 0, 50));
    assert_eq!(ledger.flush(Duration::ZERO), Err(NotFlushed { waiting: 100 }));
    drop(lock);
    ledger.flush(LONG).unwrap();
    assert!(!ledger.overloaded() && !ledger.failing());
    let reader = ledger.reader().unwrap();
    let kept = |r: &RequestRecord| reader.request(r.id).unwrap().unwrap();
    assert!(written.iter().enumerate().all(|(n, r)| kept(r).decision.is_some() == (n < 50)));
    assert!(written.iter().all(|r| kept(r).attempts.len() == r.attempts.len()));
}

#[test]
fn detail_is_shed_by_bytes_and_taken_again_once_written() {
    let ledger =
        Ledger::open(&Storage::Memory, LedgerOptions { detail_bytes: 100, ..LedgerOptions::default() }).unwrap();
    let mut r = records(12, 1).remove(0);
    r.decision = Some("x".repeat(101).into());
    write(&ledger, &[r.clone()]);
    assert_eq!(ledger.stats().detail_shed, 1);
    r.decision = Some("x".repeat(99).into());
    for _ in 0..3 {
        write(&ledger, &[r.clone()]);
    }
    assert_eq!(ledger.stats().detail_shed, 1);
}

#[test]
fn a_ledger_that_cannot_write_closes_in_time_and_says_what_it_lost() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&file(&dir));
    let _lock = locked(&path(&dir));
    records(13, 20).into_iter().for_each(|r| ledger.record(r));
    assert_eq!(ledger.close(Duration::from_millis(20)), Err(NotFlushed { waiting: 20 }));
    assert_eq!(ledger.stats().lost, 20);
}

#[test]
fn memory_keeps_the_newest_only() {
    let ledger =
        Ledger::open(&Storage::Memory, LedgerOptions { retain: Some(100), ..LedgerOptions::default() }).unwrap();
    let written = records(14, 2000);
    for chunk in written.chunks(50) {
        write(&ledger, chunk);
    }
    let reader = ledger.reader().unwrap();
    let report = reader.report(By::Model, 0).unwrap();
    assert!((100..200).contains(&report.total.requests), "{}", report.total.requests);
    assert_eq!(reader.request(written[1999].id).unwrap(), Some(expected(&written[1999])));
    let attempts: u64 = report.groups.iter().map(|g| g.figures.attempts).sum();
    assert_eq!(attempts, report.total.attempts);
    let decisions = reader.sqlite_count("SELECT count(*) FROM decisions");
    assert!((1..60).contains(&decisions), "{decisions}");
    let rows = reader.sqlite_count("SELECT count(*) FROM attempts");
    assert_eq!(rows, report.total.attempts, "attempts of deleted requests are left");
}

/// More combinations and texts than the dictionaries hold.
#[test]
fn full_dictionaries_change_nothing() {
    for (storage, _keep) in everywhere() {
        let ledger = open(&storage);
        let base = records(15, 1).remove(0);
        let n = 20_000;
        for i in 0..n {
            let (key, tags) = (Some(name("key", i)), vec![("user".into(), name("u", i))]);
            let id = RequestId((base.unix_ms as u128) << 80 | i as u128);
            ledger.record(RequestRecord { id, key, tags, reason: name("reason", i), decision: None, ..base.clone() });
        }
        ledger.flush(LONG).unwrap();
        let reader = ledger.reader().unwrap();
        for i in [0, 4095, 4096, 16_383, 16_384, n - 1] {
            let stored = reader.request(RequestId((base.unix_ms as u128) << 80 | i as u128)).unwrap().unwrap();
            let expected = (format!("key-{i}"), format!("reason-{i}"), format!("u-{i}"));
            assert_eq!((stored.key.unwrap(), stored.reason, stored.tags[0].1.clone()), expected);
        }
        assert_eq!(reader.report(By::Tag, 0).unwrap().groups.len(), n);
    }
}

#[test]
fn a_ledger_that_is_not_there_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(&file(&dir)), Err(LedgerError::Missing(_))));
    assert!(matches!(Reader::open(&Storage::Memory), Err(LedgerError::InMemory)));
    assert!(!path(&dir).exists());
}

/// What people read with `sqlite3`.
#[test]
fn views_join_names() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&file(&dir));
    let mut r = records(25, 1).remove(0);
    let mut rng = Rng::new(26);
    r.attempts = (0..70).map(|_| attempt(&mut rng)).collect();
    r.key = Some("team-a".into());
    write(&ledger, &[records(27, 1).remove(0), r.clone()]);
    let conn = Connection::open(path(&dir)).unwrap();
    let sql =
        "SELECT r.key, r.reason, count(*) FROM requests_v r JOIN attempts_v a ON a.request_seq = r.seq WHERE r.id = ?";
    let row = conn.query_row(sql, [r.id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(row, ("team-a".to_owned(), r.reason.to_string(), 70));
}

//! What only Postgres can do: be away, hang, lose answers, be shared by many.

use super::*;
use crate::store::postgres::{Server, connect, open as migrated, within};
use waypost_servers::{Cluster, Database, Relay};

fn storage(url: &str) -> Storage {
    Storage::Postgres(Secret::new(url))
}

fn of(database: &Database) -> Storage {
    storage(database.url())
}

/// Every one of `written` is there, whole and once.
#[track_caller]
fn all_there(reader: &Reader, written: &[RequestRecord]) {
    let total = reader.report(By::Model, 0).unwrap().total;
    let attempts: u64 = written.iter().map(|r| r.attempts.len() as u64).sum();
    assert_eq!((total.requests, total.attempts), (written.len() as u64, attempts));
    for r in written {
        assert_eq!(reader.request(r.id).unwrap().as_ref(), Some(&expected(r)));
    }
}

#[test]
fn many_gateways_start_at_once_on_an_empty_database_and_write_to_it() {
    let database = waypost_servers::postgres();
    let parts: Vec<_> = (0..6).map(|seed| records(30 + seed, 300)).collect();
    std::thread::scope(|scope| {
        for part in &parts {
            let database = &database;
            scope.spawn(move || {
                let ledger = open(&of(database));
                for some in part.chunks(70) {
                    write(&ledger, some);
                }
            });
        }
    });
    all_there(&Reader::open(&of(&database)).unwrap(), &parts.concat());
    assert_eq!(database.psql("SELECT count(*), max(version) FROM waypost_schema"), "1|3");
    assert_eq!(database.psql("SELECT count(*) FROM ledger_writers"), "6");
}

/// More than one transaction's worth.
#[test]
fn a_large_batch_is_written_whole() {
    let database = waypost_servers::postgres();
    let ledger = open(&of(&database));
    let written = records(40, 10_000);
    write(&ledger, &written);
    let total = ledger.reader().unwrap().report(By::Model, 0).unwrap().total;
    let cost: i64 = written.iter().map(|r| r.cost.0).sum();
    assert_eq!((total.requests, total.cost_nano_usd), (10_000, cost));
}

#[test]
fn a_text_that_postgres_refuses_does_not_stop_the_ledger() {
    let database = waypost_servers::postgres();
    let ledger = open(&of(&database));
    let mut odd = records(41, 1).remove(0);
    odd.reason = "a\0b".into();
    odd.decision = Some("\0".into());
    write(&ledger, &[odd.clone()]);
    let stored = ledger.reader().unwrap().request(odd.id).unwrap().unwrap();
    assert_eq!((stored.reason.as_str(), stored.decision), ("a\u{fffd}b", Some("\u{fffd}".into())));
}

#[test]
fn records_wait_while_the_server_is_away_and_none_is_lost_or_doubled() {
    let mut cluster = Cluster::start();
    let options = LedgerOptions { max_queued: 100, ..LedgerOptions::default() };
    let ledger = Ledger::open(&storage(&cluster.url()), options).unwrap();
    let reader = ledger.reader().unwrap();
    let written = records(42, 300);
    write(&ledger, &written[..100]);
    // A restart while nothing is written is not even noticed.
    cluster.stop();
    cluster.start_again();
    write(&ledger, &written[100..200]);
    assert_eq!(ledger.stats().write_errors, 0);
    cluster.crash();
    written[200..].iter().for_each(|r| ledger.record(r.clone()));
    ledger.wait_for(|s| s.write_errors > 1);
    assert!(ledger.failing() && ledger.overloaded());
    assert_eq!(ledger.flush(Duration::ZERO), Err(NotFlushed { waiting: 100 }));
    let error = reader.recent(1).unwrap_err().to_string();
    assert!(error.contains("the Postgres database `postgres` at 127.0.0.1") && !error.contains("pass-of"), "{error}");
    cluster.start_again();
    ledger.flush(LONG).unwrap();
    assert!(!ledger.failing() && !ledger.overloaded());
    all_there(&reader, &written);
}

/// The worst moment to lose a connection: the commit has happened, and its answer never comes.
#[test]
fn a_commit_that_nobody_heard_of_is_not_made_twice() {
    let database = waypost_servers::postgres();
    let relay = Relay::to(&database.address());
    let ledger = open(&storage(&database.url_through(&relay.address())));
    let written = records(43, 200);
    write(&ledger, &written[..100]);
    for part in written[100..].chunks(10) {
        let before = database.psql("SELECT max(seq) FROM requests");
        relay.lose_answers_from("COMMIT");
        part.iter().for_each(|r| ledger.record(r.clone()));
        relay.wait_for_held_answer();
        assert_ne!(database.psql("SELECT max(seq) FROM requests"), before, "it is not committed");
        relay.cut();
        ledger.flush(LONG).unwrap();
    }
    all_there(&ledger.reader().unwrap(), &written);
}

#[test]
fn a_server_that_hangs_holds_up_neither_flush_nor_close() {
    let database = waypost_servers::postgres();
    let relay = Relay::to(&database.address());
    let ledger = open(&storage(&database.url_through(&relay.address())));
    let written = records(44, 20);
    write(&ledger, &written[..10]);
    relay.hang();
    written[10..].iter().for_each(|r| ledger.record(r.clone()));
    assert_eq!(ledger.flush(Duration::from_millis(50)), Err(NotFlushed { waiting: 10 }));
    let began = std::time::Instant::now();
    assert_eq!(ledger.close(Duration::from_millis(50)), Err(NotFlushed { waiting: 10 }));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(ledger.stats().lost, 10);
}

#[test]
fn a_server_that_never_answers_is_an_error_in_time() {
    // It takes connections and says nothing.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let there = storage(&format!("postgres://u:pass-of-tester@{}/d", listener.local_addr().unwrap()));
    for error in [Ledger::open(&there, LedgerOptions::default()).unwrap_err(), Reader::open(&there).unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("database `d`") && error.contains("no answer within 5 s"), "{error}");
        assert!(!error.contains("pass-of"), "{error}");
    }
}

/// Readers and ledgers block, and yet async code that calls them by mistake only waits.
#[tokio::test]
async fn async_code_may_open_and_read() {
    let database = waypost_servers::postgres();
    let ledger = open(&of(&database));
    write(&ledger, &records(45, 5));
    assert_eq!(ledger.reader().unwrap().recent(10).unwrap().len(), 5);
}

#[test]
fn what_is_no_database_of_ours_is_refused_by_name() {
    let check = |prepare: &str, said: &str, writers_too: bool| {
        let database = waypost_servers::postgres();
        database.psql(prepare);
        let errors = [
            Reader::open(&of(&database)).err(),
            writers_too.then(|| Ledger::open(&of(&database), LedgerOptions::default()).unwrap_err()),
        ];
        for error in errors.into_iter().flatten() {
            let error = error.to_string();
            assert!(error.contains(said) && error.contains("the Postgres database `t"), "{prepare}: {error}");
        }
        database
    };
    check("SELECT 1", "waypost serve", false);
    check("CREATE TABLE songs (title TEXT)", "another program", true);
    check("CREATE VIEW requests AS SELECT 1", "another program", true);
    let version = |n: i64| {
        format!(
            "CREATE TABLE waypost_schema (one BOOLEAN PRIMARY KEY, version BIGINT); \
                 INSERT INTO waypost_schema VALUES (true, {n})"
        )
    };
    check(&version(99), "version 99", true);
    check(&version(-1), "version -1", true);
    // A step that fails changes nothing.
    let broken = check(&format!("{}; CREATE TABLE meta (x INT)", version(0)), "waypost serve", false);
    let error = Ledger::open(&of(&broken), LedgerOptions::default()).unwrap_err().to_string();
    assert!(error.contains("from schema version 0") && error.contains("\"meta\" already exists"), "{error}");
    assert_eq!(broken.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "2");
    // Another user's wrong password, and a database that is not there.
    let database = waypost_servers::postgres();
    for (url, said) in [
        (database.url().replace("pass-of-tester", "wrong-word"), "password authentication failed"),
        (format!("{}_not", database.url()), "does not exist"),
    ] {
        let error = Ledger::open(&storage(&url), LedgerOptions::default()).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("pass-of") && !error.contains("wrong-word"), "{error}");
    }
}

/// A schema of its own in a database that others use.
#[test]
fn a_schema_of_its_own_is_enough() {
    let database = waypost_servers::postgres();
    database.psql("CREATE TABLE meta (x INT); CREATE SCHEMA waypost");
    let there = storage(&format!("{}?options=-csearch_path%3Dwaypost", database.url()));
    let ledger = open(&there);
    write(&ledger, &records(46, 5));
    assert_eq!(database.psql("SELECT count(*) FROM waypost.requests"), "5");
}

/// The tables that others keep beside the ledger, over connections of their own.
#[tokio::test]
async fn other_parts_connect_to_the_same_place() {
    let database = waypost_servers::postgres();
    let server = Server::parse(&Secret::new(database.url())).unwrap();
    drop(migrated(&server).await.unwrap());
    let session = connect(&server).await.unwrap();
    for table in ["client_keys", "scope_limits", "audit", "budget_books", "meta"] {
        let sql = format!("SELECT * FROM {table}");
        assert!(within(&server, LONG, session.query(&sql, &[])).await.unwrap().is_empty());
    }
    let slow = within(&server, Duration::from_millis(20), session.execute("SELECT pg_sleep(60)", &[])).await;
    assert!(slow.unwrap_err().to_string().contains("no answer within 0.02 s"));
}

/// Encrypted where the server can, checked where the URL asks for it.
#[test]
fn tls_is_as_the_url_says() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, root) = (made.cert.pem(), dir.path().join("root.pem"));
    std::fs::write(&root, &cert).unwrap();
    let cluster = Cluster::with_tls(&cert, &made.signing_key.serialize_pem());
    let plain = waypost_servers::postgres();
    let url = |parameters: &str| format!("{}?{parameters}", cluster.url().replace("127.0.0.1", "localhost"));
    let known = format!("sslrootcert={}", root.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let encrypted = |url: String| {
        runtime.block_on(async {
            let session = connect(&Server::parse(&Secret::new(url)).unwrap()).await.map_err(|e| e.to_string())?;
            let row = session.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
            Ok::<bool, String>(row.unwrap().get(0))
        })
    };
    assert_eq!(encrypted(url("sslmode=disable")), Ok(false));
    assert_eq!(encrypted(url("application_name=prefers")), Ok(true));
    assert_eq!(encrypted(url(&format!("sslmode=verify-full&{known}"))), Ok(true));
    assert_eq!(encrypted(url(&format!("sslmode=require&{known}"))), Ok(true));
    assert!(encrypted(url("sslmode=require")).unwrap_err().contains("certificate"));
    // Its certificate is for another name.
    let elsewhere = url(&format!("sslmode=verify-full&{known}")).replace("localhost", "127.0.0.1");
    assert!(encrypted(elsewhere).unwrap_err().contains("certificate"));
    assert_eq!(encrypted(format!("{}?sslmode=prefer", plain.url())), Ok(false));
    assert!(encrypted(format!("{}?sslmode=require", plain.url())).unwrap_err().contains("TLS"));
}

#[test]
fn a_database_that_cannot_hold_every_text_is_refused() {
    let database = waypost_servers::postgres();
    let name = format!("{}_latin", database.url().rsplit('/').next().unwrap());
    database.psql(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0"));
    let error = Ledger::open(&storage(&format!("{}_latin", database.url())), LedgerOptions::default()).unwrap_err();
    assert!(error.to_string().contains("LATIN1: create it with ENCODING 'UTF8'"), "{error}");
    database.psql(&format!("DROP DATABASE {name}"));
}

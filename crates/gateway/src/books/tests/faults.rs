//! Stores that are away, slow, broken, or something else: an error that says so, in time, and a new start afterwards.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;
use waypost_servers::{Cluster, Relay};

const SHORT: Duration = Duration::from_millis(300);
/// Enough to log in, in a build that is not optimised.
const SLOW: Duration = Duration::from_secs(2);

/// What each way to ask says; none may succeed or take long.
async fn complaints(books: &mut Books) -> Vec<String> {
    let mut said = Vec::new();
    for n in 0..3 {
        let began = Instant::now();
        let result = match n {
            0 => books.read(&names(&["a"])).await.map(drop),
            1 => books.swap(&[change("a", 0, 1)]).await.map(drop),
            _ => books.list("").await.map(drop),
        };
        assert!(began.elapsed() < Duration::from_secs(10), "call {n} took {:?}", began.elapsed());
        let error = result.expect_err("it cannot succeed").to_string();
        assert!(error.starts_with(books.name()), "{error}");
        assert!(!error.contains(char::is_control) && error.len() < 600, "{error}");
        said.push(error);
    }
    said
}

/// Listens, and answers whatever comes in with `answer`, again and again; `None`: with silence.
fn impostor(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    if let Some(answer) = answer
                        && (answer.is_empty() || stream.write_all(answer).is_err())
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn servers_that_are_none() {
    let deep = Box::leak(b"*1\r\n".repeat(5_000).into_boxed_slice());
    let answers: [Option<&'static [u8]>; 15] = [
        None,
        Some(b""),
        Some(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html><body>no</body></html>"),
        Some(b"<html>\r\n"),
        Some(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"),
        Some(b":5\r\n:5\r\n:5\r\n"),
        Some(b"$-1\r\n$-1\r\n$-1\r\n"),
        Some(b"$100\r\nabc"),
        Some(b"$99999999999999\r\nabc"),
        Some(b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n*2\r\n$1\r\n1\r\n$1\r\n1\r\n"),
        Some(b"*2\r\n$10\r\n-100000000\r\n$1\r\n1\r\n$-1\r\n"),
        Some(b"*1000000000\r\n"),
        Some(deep),
        Some(b"-ERR unknown command `AUTH`, with args beginning with: `user` `geheim-wort`\r\n"),
        Some(b"\x00\xff\x15\x03\x01\x00\x02\x02\x28"),
    ];
    let asked: Vec<_> = answers.into_iter().map(|answer| tokio::spawn(ask_impostor(impostor(answer)))).collect();
    for asked in asked {
        asked.await.unwrap();
    }
}

async fn ask_impostor(address: String) {
    for url in ["redis://ADDRESS/3", "redis://user:geheim-wort@ADDRESS", "rediss://user:geheim-wort@ADDRESS"] {
        let url = url.replace("ADDRESS", &address);
        let mut books = Books::open_with(&Storage::Memory, Some(&url), SHORT).unwrap();
        for said in complaints(&mut books).await {
            assert!(said.contains(&address) && !said.contains("geheim-wort"), "{said}");
        }
    }
    let url = Secret::new(format!("postgres://user:geheim-wort@{address}/budgets?sslmode=disable"));
    let mut books = Books::open_with(&Storage::Postgres(url), None, SHORT).unwrap();
    for said in complaints(&mut books).await {
        assert!(said.contains("`budgets`") && !said.contains("geheim-wort"), "{said}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    for url in [format!("redis://u:geheim-wort@127.0.0.1:{port}"), format!("rediss://:geheim-wort@localhost:{port}")] {
        let mut books = Books::open(&Storage::Memory, Some(&url)).unwrap();
        for said in complaints(&mut books).await {
            assert!(said.contains(&port.to_string()) && !said.contains("geheim-wort"), "{said}");
        }
        assert!(!format!("{books:?}").contains("geheim-wort"), "{books:?}");
    }
    let url = Secret::new(format!("postgres://u:geheim-wort@127.0.0.1:{port}/budgets"));
    let mut books = Books::open(&Storage::Postgres(url), None).unwrap();
    for said in complaints(&mut books).await {
        assert!(said.contains("`budgets`") && !said.contains("geheim-wort"), "{said}");
    }
}

#[test]
fn urls_that_cannot_be_read_are_not_shown() {
    for url in ["", "geheim-wort", "http://geheim-wort@h", "redis://u:geheim-wort@h:port", "redis://:geheim-wort@h/x"] {
        let said = Books::open(&Storage::Memory, Some(url)).unwrap_err().to_string();
        assert!(said.starts_with("leases: ") && !said.contains("geheim"), "{said}");
    }
}

/// A server that stops, and is there again: whoever held a connection gets one error at most, and then a new connection.
async fn survives(books: &mut Books, restart: impl AsyncFnOnce(&mut Books), kept: bool) {
    let before = swap(books, change("a", 0, 5)).await;
    restart(books).await;
    // A connection from before may only turn out to be dead when it is used.
    if books.read(&names(&["a"])).await.is_err() {
        books.read(&names(&["a"])).await.unwrap();
    }
    let Swapped::Done(version) = before else { unreachable!() };
    let again = swap(books, change("a", version, 6)).await;
    if kept {
        assert!(matches!(again, Swapped::Done(next) if next > version));
        return;
    }
    // What was lost is not taken for what was there, also where somebody has made a new one.
    assert_eq!(again, Swapped::Changed(Stored::default()));
    let Swapped::Done(new) = swap(&mut books.another(), change("a", 0, 1)).await else { unreachable!() };
    assert!(new > version);
    assert!(matches!(swap(books, change("a", version, 6)).await, Swapped::Changed(_)));
}

#[tokio::test]
async fn redis_starts_again() {
    let mut server = waypost_servers::redis();
    let mut books = Books::open_with(&Storage::Memory, Some(&server.url()), PATIENT).unwrap();
    let away_for_long = async |books: &mut Books| {
        server.stop();
        complaints(books).await;
        server.start_again();
    };
    survives(&mut books, away_for_long, false).await;
    let mut other = Books::open_with(&Storage::Memory, Some(&server.url()), PATIENT).unwrap();
    let away_for_a_moment = async |_: &mut Books| {
        server.stop();
        server.start_again();
    };
    let _: Stored = read(&mut other, "b").await;
    let Stored { version, .. } = read(&mut other, "a").await;
    assert!(matches!(swap(&mut other, Change { keep_until_ms: 0, ..change("a", version, 0) }).await, Swapped::Done(_)));
    survives(&mut other, away_for_a_moment, false).await;
}

#[tokio::test]
async fn postgres_starts_again() {
    let mut cluster = Cluster::start();
    let mut books = on_postgres(&cluster.url(), PATIENT).await;
    let away_for_long = async |books: &mut Books| {
        cluster.stop();
        complaints(books).await;
        cluster.start_again();
    };
    survives(&mut books, away_for_long, true).await;
    let Stored { version, .. } = read(&mut books, "a").await;
    assert!(matches!(swap(&mut books, Change { keep_until_ms: 0, ..change("a", version, 0) }).await, Swapped::Done(_)));
    let away_for_a_moment = async |_: &mut Books| {
        cluster.crash();
        cluster.start_again();
    };
    survives(&mut books, away_for_a_moment, true).await;
}

/// A server that hangs, and one whose answer is lost.
async fn through_a_relay(mut books: Books, relay: &Relay, swap_text: &str) {
    swap(&mut books, change("a", 0, 1)).await;
    relay.hang();
    let error = books.read(&names(&["a"])).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
    relay.cut();
    let Stored { version, book } = read(&mut books, "a").await;
    assert_eq!(spent(&book), 1, "what never reached the server");

    relay.lose_answers_from(swap_text);
    let error = books.swap(&[change("a", version, 2)]).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
    relay.wait_for_held_answer();
    relay.cut();
    let stored = read(&mut books, "a").await;
    assert_eq!(spent(&stored.book), 2, "what did reach the server");
    assert_eq!(swap(&mut books, change("a", version, 3)).await, Swapped::Changed(stored));
}

#[tokio::test]
async fn redis_hangs() {
    let server = waypost_servers::redis();
    let relay = Relay::to(&server.address());
    let url = format!("redis://{}", relay.address());
    through_a_relay(Books::open_with(&Storage::Memory, Some(&url), SLOW).unwrap(), &relay, "PEXPIREAT").await;
}

#[tokio::test]
async fn postgres_hangs() {
    let database = waypost_servers::postgres();
    let relay = Relay::to(&database.address());
    through_a_relay(on_postgres(&database.url_through(&relay.address()), SLOW).await, &relay, "UPDATE").await;
}

#[tokio::test]
async fn a_lock_that_somebody_holds() {
    let (store, database) = (Store::sqlite(), waypost_servers::postgres());
    let storage = Storage::Sqlite(store.file());
    let mut in_file = Books::open_with(&storage, None, SHORT).unwrap();
    swap(&mut in_file, change("a", 0, 1)).await;
    let conn = rusqlite::Connection::open(store.file()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = in_file.swap(&[change("b", 0, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("locked") && error.contains("budgets.db"), "{error}");
    assert_eq!(spent(&read(&mut in_file, "a").await.book), 1, "readers do not wait");
    conn.execute_batch("COMMIT").unwrap();
    assert!(matches!(swap(&mut in_file, change("b", 0, 1)).await, Swapped::Done(_)));

    let mut books = on_postgres(database.url(), SLOW).await;
    swap(&mut books, change("a", 0, 1)).await;
    let server = postgres::Server::parse(&Secret::new(database.url())).unwrap();
    let session = postgres::connect(&server).await.unwrap();
    session.batch_execute("BEGIN; SELECT * FROM budget_books FOR UPDATE").await.unwrap();
    for _ in 0..2 {
        let error = books.swap(&[change("a", 0, 1)]).await.unwrap_err().to_string();
        assert!(error.contains("no answer within") || error.contains("statement timeout"), "{error}");
    }
    assert!(matches!(swap(&mut books, change("b", 0, 1)).await, Swapped::Done(_)), "others go on");
    session.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(swap(&mut books, change("a", 0, 1)).await, Swapped::Changed(_)));
}

#[tokio::test]
async fn files_that_cannot_be_written() {
    let mut store = Store::sqlite();
    swap(&mut store.books, change("a", 0, 1)).await;
    // Permissions do not bind root, under which this may run.
    let read_only = Location::Memory(format!("file:{}?mode=ro", store.file().display()));
    let mut books = Books::Sqlite(Sqlite::new(read_only, PATIENT));
    assert_eq!(spent(&read(&mut books, "a").await.book), 1);
    let error = books.swap(&[change("a", 0, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["text.db", "no-such-folder/a.db", "folder.db"] {
        let path = folder.path().join(name);
        match name {
            "text.db" => std::fs::write(&path, "models: {}\n".repeat(1000)).unwrap(),
            "folder.db" => std::fs::create_dir(&path).unwrap(),
            _ => {}
        }
        let mut books = Books::open(&Storage::Sqlite(path), None).unwrap();
        assert!(complaints(&mut books).await.iter().all(|said| said.contains(name)));
    }
}

#[tokio::test]
async fn a_file_that_is_damaged() {
    let mut store = Store::sqlite();
    let changes: Vec<_> = (0..2000).map(|n| change(&format!("{n:0200}"), 0, n)).collect();
    store.books.swap(&changes).await.unwrap();
    let file = store.file();
    drop(store.books);
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let root: u32 =
        conn.query_row("SELECT rootpage FROM sqlite_master WHERE name = 'budget_books'", [], |row| row.get(0)).unwrap();
    drop(conn);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[(root as usize - 1) * 4096..].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let mut books = Books::open(&Storage::Sqlite(file), None).unwrap();
    let said = complaints(&mut books).await;
    assert!(said.iter().all(|said| said.contains("budgets.db") && said.contains("malformed")), "{said:?}");
}

//! Values that somebody put there behind the store's back: never taken for an empty book, never overwritten.

use super::*;

const BODIES: &[&str] = &[
    "",
    "{",
    "[]",
    "null",
    "\"x\"",
    "{}",
    "{\"base\":7}",
    "[7,0,{},0]",
    "{\"accounts\":5}",
    "{\"accounts\":{},\"base\":-1}",
    "{\"accounts\":{},\"base\":\"7\"}",
    "{\"accounts\":{\"h\":{\"settled\":1.5}}}",
    "<html>",
    "{\"accounts\":{}",
];
const GOOD: &str = "{\"accounts\":{}}";

/// Each way to touch the book `a` fails, names it and the store, and leaves it as it is.
async fn refuse(books: &mut Books, what: &str) {
    let name = books.name().to_owned();
    let ids = names(&["before", "a"]);
    for expected in [0, 1, 7] {
        let (wanted, more) = (change("a", expected, 1), change("after", 0, 1));
        let results = [
            books.read(&ids).await.map(drop),
            books.swap(&[wanted, more]).await.map(drop),
            books.list("").await.map(drop),
        ];
        for (n, result) in results.into_iter().enumerate() {
            let said = result.expect_err(what).to_string();
            assert!(said.starts_with(&name) && said.contains("`a`"), "{what} {n}: {said}");
            assert!(!said.contains(char::is_control) && said.len() < 600, "{what} {n}: {said}");
        }
    }
    books.read(&names(&["before"])).await.unwrap();
}

#[tokio::test]
async fn in_sqlite() {
    let mut store = Store::sqlite();
    read(&mut store.books, "a").await;
    let conn = rusqlite::Connection::open(store.file()).unwrap();
    let put = |version: i64, body: &str| {
        let sql = "INSERT OR REPLACE INTO budget_books VALUES ('a', ?1, ?2, 9000000000000)";
        conn.execute(sql, rusqlite::params![version, body]).unwrap();
    };
    for body in BODIES {
        put(5, body);
        refuse(&mut store.books, body).await;
    }
    for version in [0, -1, i64::MIN, i64::MAX, 1 << 60] {
        put(version, GOOD);
        refuse(&mut store.books, &format!("version {version}")).await;
    }
    conn.execute_batch("DROP TABLE budget_books; CREATE TABLE budget_books (id, version, body, expires_ms)").unwrap();
    for values in ["'x', '{}'", "5, x'00ff'", "NULL, '{}'", "5, NULL", "5.5, '{}'"] {
        conn.execute(&format!("INSERT INTO budget_books VALUES ('a', {values}, 9000000000000)"), []).unwrap();
        for result in [
            store.books.read(&names(&["a"])).await.map(drop),
            store.books.swap(&[change("a", 0, 1)]).await.map(drop),
            store.books.list("").await.map(drop),
        ] {
            assert!(result.unwrap_err().to_string().starts_with(store.books.name()));
        }
        conn.execute("DELETE FROM budget_books", []).unwrap();
    }
}

#[tokio::test]
async fn in_postgres() {
    let mut store = Store::postgres().await;
    let Place::Postgres(database) = &store.place else { unreachable!() };
    let put = |version: i64, body: &str| {
        let set = "ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, body = EXCLUDED.body";
        database.psql(&format!("INSERT INTO budget_books VALUES ('a', {version}, $${body}$$, 9000000000000) {set}"));
    };
    for body in BODIES {
        put(5, body);
        refuse(&mut store.books, body).await;
    }
    for version in [0, -1, i64::MIN + 1, i64::MAX, 1 << 60] {
        put(version, GOOD);
        refuse(&mut store.books, &format!("version {version}")).await;
    }
    for (altered, value) in [("version TYPE text", "'x'"), ("body TYPE bytea USING NULL", "'x'")] {
        database.psql(&format!("ALTER TABLE budget_books ALTER COLUMN body DROP NOT NULL, ALTER COLUMN {altered}"));
        for result in [
            store.books.read(&names(&["a"])).await.map(drop),
            store.books.swap(&[change("a", 0, 1)]).await.map(drop),
            store.books.list("").await.map(drop),
        ] {
            let said = result.expect_err(value).to_string();
            assert!(said.starts_with(store.books.name()) && !said.contains("pass-of-tester"), "{said}");
        }
    }
}

#[tokio::test]
async fn in_redis() {
    let mut store = Store::redis();
    let Place::Redis(server) = &store.place else { unreachable!() };
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let of_bodies = BODIES.iter().map(|body| format!("5 {body}"));
    let others = [
        "",
        " ",
        "5",
        "{}",
        "x {}",
        "0 {}",
        "00 {}",
        "05 {}",
        "-1 {}",
        "+5 {}",
        "5.5 {}",
        "1e3 {}",
        " 5 {}",
        "5  ",
        "9007199254740993 {}",
        "99999999999999999999999 {}",
        "\r\n+OK\r\n",
        "5\0{}",
    ];
    for value in of_bodies.chain(others.iter().map(|v| (*v).to_owned())) {
        let _: () = ::redis::cmd("SET").arg("waypost:book:a").arg(&value).query_async(&mut connection).await.unwrap();
        refuse(&mut store.books, &value).await;
        let there: String = ::redis::cmd("GET").arg("waypost:book:a").query_async(&mut connection).await.unwrap();
        assert_eq!(there, value);
    }
    let _: () = ::redis::cmd("DEL").arg("waypost:book:a").query_async(&mut connection).await.unwrap();
    let _: () = ::redis::cmd("RPUSH").arg("waypost:book:a").arg("5 {}").query_async(&mut connection).await.unwrap();
    for result in [
        store.books.read(&names(&["a"])).await.map(drop),
        store.books.swap(&[change("a", 0, 1)]).await.map(drop),
        store.books.list("").await.map(drop),
    ] {
        let said = result.unwrap_err().to_string();
        assert!(said.starts_with(store.books.name()) && said.contains("wrong kind of value"), "{said}");
    }
}

//! Gateways whose records are in Postgres: several on one database, and a database that goes away.

use super::gateway::{CONFIG, Gateway};
use super::http::chat;
use serde_json::{Value, json};
use waypost_servers::Cluster;

fn config(url: &str) -> String {
    CONFIG.replace("sqlite:waypost.db", url)
}

/// The ledger commits by itself; `/admin/report` counts what is committed.
fn until_requests(gateway: &Gateway, expected: u64) -> Value {
    let mut report = Value::Null;
    super::gateway::wait_until("the records are committed", || {
        report = gateway.get("/admin/report?by=route&since=1h").json();
        report["total"]["requests"] == json!(expected)
    });
    report
}

#[test]
fn two_gateways_keep_one_ledger() {
    let database = waypost_servers::postgres();
    let gateways = [Gateway::start(&config(database.url())), Gateway::start(&config(database.url()))];
    let mut ids = Vec::new();
    for gateway in gateways.iter().cycle().take(10) {
        let reply = gateway.chat(&[], &chat("cheap", "hello", json!({"waypost": {"tags": {"a": "b"}}})));
        assert_eq!(reply.status, 200, "{}", reply.text());
        ids.push(reply.request_id());
    }
    for gateway in &gateways {
        let report = until_requests(gateway, 10);
        assert_eq!((&report["groups"][0]["name"], &report["groups"][0]["ok"]), (&json!("cheap"), &json!(10)));
        assert_eq!(gateway.get("/admin/requests?limit=100").json()["data"].as_array().unwrap().len(), 10);
        for id in &ids {
            let found = gateway.get(&format!("/admin/requests/{id}")).json();
            assert_eq!((&found["tags"], &found["attempts"][0]["model"]), (&json!([["a", "b"]]), &json!("alpha")));
        }
    }
    let [one, two] = gateways.map(Gateway::stop);
    let out = one.run(&["report", "--config", "gateway.yaml", "--by", "tag"]).good();
    assert!(out.contains("a=b") && out.contains(" 10 "), "{out}");
    assert_eq!(two.run(&["report", "--config", "gateway.yaml", "--by", "tag"]).good(), out);
}

#[test]
fn records_made_while_postgres_is_away_are_written_when_it_is_back_and_no_log_has_its_password() {
    let mut cluster = Cluster::start();
    let gateway = Gateway::start(&config(&cluster.url()));
    cluster.stop();
    for _ in 0..5 {
        assert_eq!(gateway.chat(&[], &chat("cheap", "hello", json!({}))).status, 200);
    }
    gateway.logged(0, "the ledger cannot write");
    let reply = gateway.get("/admin/report");
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(!reply.text().contains("pass-of-tester"), "{}", reply.text());
    cluster.start_again();
    until_requests(&gateway, 5);
    gateway.not_logged(0, "pass-of-tester");
    gateway.stop();
}

#[test]
fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let folder = super::gateway::Folder::new();
    folder.write("waypost.yaml", &config("postgres://u:pass-of-tester@127.0.0.1:1/orders"));
    for command in [&["serve"][..], &["report"]] {
        let ran = folder.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        assert!(ran.err.contains("the Postgres database `orders` at 127.0.0.1:1"), "{ran:?}");
        assert!(!ran.err.contains("pass-of"), "{ran:?}");
    }
}

//! What a client is told when a limit leaves no room, in its own dialect; who waits instead; what is capped; and that
//! looking costs nothing.

use super::provider::{OUTPUT, Provider};
use super::{COST, ask, body, config, dollars, stands, told};
use crate::cli::gateway::{Folder, Gateway, Ran, wait_until};
use crate::cli::http::{Client, Reply};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const JSON: (&str, &str) = ("content-type", "application/json");
const BACKGROUND: (&str, &str) = ("x-waypost-class", "background");

fn start(provider: &Provider, gate: &str) -> Gateway {
    Gateway::start(&config(provider, "sqlite:waypost.db", &format!("gate: {{ {gate} }}")))
}

fn put(gateway: &Gateway, scope: &str, limits: &Value) {
    let path = format!("/admin/limits?scope={scope}");
    let reply = gateway.client().call("PUT", &path, &[JSON], limits.to_string().as_bytes());
    assert!(reply.status < 300, "{}", reply.text());
}

/// Path and a request with an output limit, in each dialect that clients speak.
fn dialects(model: &str) -> [(&'static str, Value); 3] {
    let messages = json!([{"role": "user", "content": "hello"}]);
    [
        ("/v1/chat/completions", json!({"model": model, "max_tokens": OUTPUT, "messages": messages})),
        ("/v1/messages", json!({"model": model, "max_tokens": OUTPUT, "messages": messages})),
        ("/v1/responses", json!({"model": model, "max_output_tokens": OUTPUT, "input": "hello"})),
    ]
}

/// A refusal by a limit, in the form that `path` has; `retry-after`.
#[track_caller]
fn refused(reply: &Reply, path: &str, code: &str, says: &[&str]) -> u64 {
    let error = &reply.json()["error"];
    assert_eq!(reply.status, 429, "{path}: {}", reply.text());
    let kind = error["type"].as_str().unwrap();
    if path == "/v1/messages" {
        assert_eq!((&reply.json()["type"], kind), (&json!("error"), "rate_limit_error"), "{}", reply.text());
    } else {
        let expected = if code == "budget_exceeded" { "insufficient_quota" } else { "rate_limit_error" };
        assert_eq!((error["code"].as_str(), kind), (Some(code), expected), "{path}: {}", reply.text());
    }
    let message = error["message"].as_str().unwrap();
    for word in says {
        assert!(message.contains(word), "{path}: `{word}` is missing: {message}");
    }
    assert_eq!(reply.header("x-should-retry"), (code == "budget_exceeded").then_some("false"), "{path}");
    reply.header("retry-after").expect("it says when").parse().unwrap()
}

#[test]
fn every_dialect_is_told_which_limit_of_whom_and_when_to_come_back() {
    let provider = Provider::start();
    let limits = format!(
        "routes: {{ two: {{ usd_per_month: {} }} }}, stages: {{}}, models: {{ claude: {{ requests_per_minute: 1 }} }}",
        dollars(1)
    );
    let gateway = start(&provider, &limits);
    let mut client = gateway.client();
    for model in ["two", "claude"] {
        let reply = client.chat(&[], &body(model, false));
        assert_eq!(reply.status, 200, "{model}: {}", reply.text());
    }
    for (path, body) in dialects("two") {
        let reply = client.post(path, &[], &body.to_string());
        let wait = refused(&reply, path, "budget_exceeded", &["usd_per_month", "route/two", "$0.00002", "resets at"]);
        assert!((1..=31 * 86_400).contains(&wait), "{wait}");
    }
    for (path, body) in dialects("claude") {
        let reply = client.post(path, &[], &body.to_string());
        let wait = refused(&reply, path, "rate_limit_exceeded", &["requests_per_minute", "model/claude", "1 requests"]);
        assert!((1..=61).contains(&wait), "{wait}");
    }
    assert_eq!((provider.calls("fine"), provider.calls("claude")), (1, 1));
}

#[test]
fn single_requests_are_capped() {
    let provider = Provider::start();
    let gateway = start(&provider, "global: { usd_per_request: 0.0001, tokens_per_request: 200 }");
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "fine").0, 200);
    for (max_tokens, bound) in [(101, "usd_per_request"), (100_000, "usd_per_request"), (u32::MAX, "usd_per_request")] {
        let reply = client.chat(&[], &crate::cli::http::chat("fine", "hello", json!({"max_tokens": max_tokens})));
        assert_eq!(told(&reply), (429, "budget_exceeded".to_owned()), "{}", reply.text());
        assert!(reply.text().contains(bound) && reply.text().contains("max_tokens"), "{}", reply.text());
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    let long = "word ".repeat(500);
    let reply = client.chat(&[], &crate::cli::http::chat("fine", &long, json!({"max_tokens": 1})));
    assert!(reply.status == 429 && reply.text().contains("tokens_per_request"), "{}", reply.text());
    // Several answers are several worst cases.
    let reply = client.chat(&[], &crate::cli::http::chat("fine", "hello", json!({"max_tokens": 60, "n": 2})));
    assert!(reply.status == 429 && reply.text().contains("usd_per_request"), "{}", reply.text());
    assert_eq!(provider.calls("fine"), 1);
}

/// All of a rate may come at once; not one more, until a minute has passed.
#[test]
fn rates_and_places_hold_for_a_thousand_at_once() {
    let provider = Provider::start();
    let gateway = start(&provider, "global: { requests_per_minute: 100 }");
    let counts = super::crowd::crowd(gateway.address, 1_000, |i| body("fine", i % 2 == 0));
    let good: usize = counts.iter().filter(|((status, _), _)| *status == 200).map(|(_, n)| n).sum();
    assert_eq!((good, provider.calls("fine")), (100, 100), "{counts:?}");
    assert_eq!(counts.get(&(429, "rate_limit_exceeded".to_owned())), Some(&900), "{counts:?}");

    let gateway = start(&provider, "models: { held: { concurrency: 7 } }");
    let refused = super::crowd::leave(gateway.address, 100, 93, &body("held", true), || provider.held() == 7);
    assert_eq!((refused, provider.calls("held")), (93, 7));
    wait_until("the places are free", || provider.held() == 0);
    // Every place came back.
    super::crowd::leave(gateway.address, 100, 93, &body("held", true), || provider.held() == 7);
    assert_eq!(provider.calls("held"), 14);
}

#[test]
fn background_waits_for_room_and_others_do_not() {
    let provider = Provider::start();
    let limits = format!("max_waiting: 1, global: {{ usd_per_day: {}, on_exhausted: queue }}", dollars(1));
    let gateway = start(&provider, &limits);
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "fine").0, 200);
    let quickly = |client: &mut Client, headers: &[(&str, &str)]| {
        let began = Instant::now();
        let told = told(&client.chat(headers, &body("fine", false)));
        (told, began.elapsed())
    };
    let no = || (429, "budget_exceeded".to_owned());
    let (refused, took) = quickly(&mut client, &[]);
    assert!(refused == no() && took < Duration::from_secs(5), "{refused:?} {took:?}");
    // Its own deadline ends the waiting.
    let (refused, took) = quickly(&mut client, &[BACKGROUND, ("x-waypost-deadline-ms", "700")]);
    assert!(
        refused == no() && (Duration::from_millis(500)..Duration::from_secs(10)).contains(&took),
        "{refused:?} {took:?}"
    );
    // One waits; there is no place for a second.
    let address = gateway.address;
    let waiting = std::thread::spawn(move || Client::new(address).chat(&[BACKGROUND], &body("fine", false)));
    wait_until("one waits", || gateway.get("/admin/budgets").json()["process"]["waiting"] == 1);
    // Between two looks the place is free for a moment.
    wait_until("there is no place for a second", || {
        let (told, took) = quickly(&mut client, &[BACKGROUND, ("x-waypost-deadline-ms", "2000")]);
        assert_eq!(told, no());
        took < Duration::from_millis(1500)
    });
    assert_eq!(provider.calls("fine"), 1);
    put(&gateway, "global", &json!({"usd_per_day": 3.0 * COST as f64 / 1e9}));
    assert_eq!(waiting.join().unwrap().status, 200);
    assert_eq!(gateway.get("/admin/budgets").json()["process"]["waiting"], 0);
}

#[test]
fn where_a_budget_applies_an_answer_without_a_cap_is_capped() {
    let provider = Provider::start();
    let gateway = start(&provider, "global: { usd_per_day: 5 }");
    let mut client = gateway.client();
    let messages = json!([{"role": "user", "content": "hello"}]);
    // In one dialect, and translated.
    for (path, asked, model, cap, expected) in [
        ("/v1/chat/completions", json!({"messages": messages}), "fine", "max_completion_tokens", 4096),
        ("/v1/responses", json!({"input": "hello"}), "fine", "max_output_tokens", 4096),
        ("/v1/chat/completions", json!({"messages": messages}), "claude", "max_tokens", 60),
        ("/v1/responses", json!({"input": "hello"}), "claude", "max_tokens", 60),
        ("/v1/chat/completions", json!({"messages": messages, "max_tokens": 7}), "claude", "max_tokens", 7),
        ("/v1/messages", json!({"messages": messages, "max_tokens": 9}), "claude", "max_tokens", 9),
    ] {
        let mut asked = asked;
        asked["model"] = json!(model);
        let reply = client.post(path, &[], &asked.to_string());
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let (to, sent) = provider.last(model);
        let found =
            if sent[cap].is_null() && cap == "max_completion_tokens" { &sent["max_tokens"] } else { &sent[cap] };
        assert_eq!(*found, json!(expected), "{path} to {to}: {sent}");
    }
    // Without a budget nothing is written.
    let free = start(&provider, "global: { requests_per_minute: 1000 }");
    let plain = json!({"model": "fine", "messages": messages});
    assert_eq!(free.chat(&[], &plain.to_string()).status, 200);
    assert_eq!(provider.last("fine").1, plain);
}

#[test]
fn a_limit_that_falls_below_what_is_spent_closes_at_once() {
    let provider = Provider::start();
    let gateway = start(&provider, &format!("global: {{ usd_per_day: {} }}", dollars(2_000)));
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "fine").0, 200);
    }
    for limit in [5.0, 0.0] {
        put(&gateway, "global", &json!({"usd_per_day": limit * COST as f64 / 1e9}));
        assert_eq!(ask(&mut client, "fine"), (429, "budget_exceeded".to_owned()));
        let now = stands(&gateway, "global", "usd_per_day");
        assert!(now.spent >= 20 * COST && now.left == 0, "{now:?}");
    }
    put(&gateway, "global", &json!({"usd_per_day": 21.0 * COST as f64 / 1e9}));
    assert_eq!(ask(&mut client, "fine").0, 200);
    assert_eq!(ask(&mut client, "fine"), (429, "budget_exceeded".to_owned()));
    assert_eq!(provider.calls("fine"), 21);
}

#[test]
fn looking_consumes_nothing() {
    let provider = Provider::start();
    let gateway = start(&provider, &format!("global: {{ usd_per_day: {} }}", dollars(3)));
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "two").0, 200);
    assert_eq!(ask(&mut client, "two").0, 200);
    let before = super::at_rest(&gateway, "global", "usd_per_day");
    assert_eq!((before.spent, before.left), (2 * COST, COST));
    for _ in 0..100 {
        let explained = gateway.post("/v1/route", &body("two", false)).json();
        assert_eq!(explained["candidates"][0]["model"], "fine", "{explained}");
        assert_eq!(explained["excluded"][0]["model"], "dear", "{explained}");
        assert_eq!(explained["excluded"][0]["reason"], "budget", "{explained}");
        assert_eq!(client.get("/admin/budgets").status, 200);
    }
    assert_eq!(super::at_rest(&gateway, "global", "usd_per_day"), before);
    assert_eq!((ask(&mut client, "two").0, provider.calls("dear")), (200, 0));
    let explained = gateway.post("/v1/route", &body("two", false)).json();
    assert_eq!((&explained["candidates"], &explained["error"]["code"]), (&json!([]), &json!("budget_exceeded")));
    assert_eq!(ask(&mut client, "two"), (429, "budget_exceeded".to_owned()));
}

/// A ledger that cannot be read or written is no empty one: the gateway does not start on it.
#[test]
fn a_database_file_that_is_corrupt_or_read_only_is_an_error_at_the_start() {
    let provider = Provider::start();
    let text =
        config(&provider, "sqlite:waypost.db", &format!("gate: {{ global: {{ usd_per_day: {} }} }}", dollars(9)));
    let make = || {
        let gateway = Gateway::start(&text);
        assert_eq!(ask(&mut gateway.client(), "fine").0, 200);
        gateway.stop()
    };
    let damages: [(&str, fn(&mut Vec<u8>)); 3] = [
        ("not an SQLite database", |bytes| bytes.fill(b'x')),
        ("malformed", |bytes| bytes[100..4096].fill(0xff)),
        // As SQLite marks files of later versions, which it must not write: read-only for everybody, the superuser included.
        ("readonly", |bytes| bytes[18] = 3),
    ];
    for (says, damage) in damages {
        let folder: Folder = make();
        let path = folder.path("waypost.db");
        // Everything into the file itself.
        let ledger = rusqlite::Connection::open(&path).unwrap();
        ledger.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(ledger);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut child =
            folder.command(&["serve", "--config", "gateway.yaml", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut ended = None;
        wait_until("it ends", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{says}: {ran:?}");
        assert!(ran.err.contains("waypost.db") && ran.err.contains(says), "{says}: {ran:?}");
    }
}

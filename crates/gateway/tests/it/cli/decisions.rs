//! The same request, seed and session give the same decision in another process; a traffic split sticks.

use super::gateway::{CONFIG, Gateway};
use super::http::chat;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PROMPTS: [&str; 5] = [
    "Say hello.",
    "Write a Python function that parses ISO 8601 dates.",
    "Prove that there are infinitely many primes.",
    "Translate to French: the house is small.",
    "Classify the sentiment of: I love it.",
];

#[test]
fn two_processes_decide_alike() {
    let decide = || {
        let gateway = Gateway::start(CONFIG);
        let mut client = gateway.client();
        let mut said = Vec::new();
        for (i, prompt) in PROMPTS.iter().enumerate() {
            for model in ["auto", "cheap", "stage/draft", "split"] {
                let more = json!({"waypost": {"session": format!("s{i}"), "tags": {"n": "1"}}});
                let explained = client.post("/v1/route", &[], &chat(model, prompt, more)).json();
                assert!(!explained["candidates"].as_array().unwrap().is_empty());
                said.push(explained);
            }
        }
        said
    };
    assert_eq!(decide(), decide());
}

#[test]
fn a_split_sticks_to_the_session_else_to_the_key() {
    let mut keys = String::new();
    for n in 0..12 {
        keys += &format!("  - {{ id: key-{n}, secret: sk-{n} }}\n");
    }
    let config = format!("{CONFIG}\nkeys:\n{keys}");
    let ask = |gateway: &Gateway, key: usize, session: Option<usize>| {
        let waypost = session.map_or(json!({}), |s| json!({"session": format!("session-{s}")}));
        let bearer = format!("Bearer sk-{key}");
        gateway.chat(&[("authorization", &bearer)], &chat("split", "hello", json!({ "waypost": waypost }))).model()
    };
    let (one, two) = (Gateway::start(&config), Gateway::start(&config));
    let mut by_session = BTreeSet::new();
    let mut by_key = BTreeSet::new();
    for n in 0..12 {
        let chosen = ask(&one, 0, Some(n));
        for (gateway, key) in [(&one, 0), (&one, n), (&two, 5)] {
            assert_eq!(ask(gateway, key, Some(n)), chosen, "session {n} at key {key}");
        }
        by_session.insert(chosen);
        let chosen = ask(&one, n, None);
        for gateway in [&one, &two, &two] {
            assert_eq!(ask(gateway, n, None), chosen, "key {n}");
        }
        by_key.insert(chosen);
    }
    assert!(by_session.len() > 1 && by_key.len() > 1, "a split splits: {by_session:?} {by_key:?}");
}

/// Without anything to stick to, the split is by its weights.
#[test]
fn a_split_without_session_or_key_splits() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let mut chosen: BTreeSet<String> = BTreeSet::new();
    for _ in 0..60 {
        chosen.insert(client.chat(&[], &chat("split", "hello", json!({}))).model());
    }
    // All of sixty the same two, at a third each: less than once in 10^10 runs.
    assert_eq!(chosen.len(), 3, "{chosen:?}");
}

/// The key's tags win, so that a rule on a tag cannot be evaded by sending another value.
#[test]
fn the_keys_tags_win_over_the_requests() {
    let config = format!(
        "{CONFIG}
keys: [{{ id: shop, secret: sk-shop, tags: {{ surface: shop }} }}]
"
    )
    .replace("routes:\n", "routes:\n  shop: { match: \"request.tags.surface == 'shop'\", candidates: [beta] }\n");
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    let key = ("authorization", "Bearer sk-shop");
    let evade = json!({"waypost": {"tags": {"surface": "other", "mine": "1"}}});
    let reply = client.chat(&[key, ("x-waypost-tags", "surface=third,also=2")], &chat("auto", "hello", evade));
    assert_eq!((reply.model().as_str(), reply.header("x-waypost-level")), ("beta", Some("route")));
    let folder = gateway.stop();
    let tags = folder.ledger().recent(1).unwrap().remove(0).tags;
    let expected = [("surface", "shop"), ("mine", "1"), ("also", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(tags, expected);
}

#[test]
fn the_body_wins_over_headers() {
    let gateway = Gateway::start(CONFIG);
    let headers = [("x-waypost-stage", "draft"), ("x-waypost-min-quality", "0.9")];
    let mut client = gateway.client();
    assert_eq!(client.chat(&headers, &chat("auto", "hello", json!({}))).model(), "gamma");
    let body = json!({"waypost": {"stage": "review", "hints": {"min_quality": 0}}});
    let reply = client.chat(&headers, &chat("auto", "hello", body));
    assert_eq!((reply.model().as_str(), reply.header("x-waypost-level")), ("gamma", Some("stage")));
    let explained: Value = client.post("/v1/route", &headers[..1], &chat("auto", "hello", json!({}))).json();
    assert_eq!((&explained["stage"], &explained["candidates"][0]["model"]), (&json!("draft"), &json!("alpha")));
}

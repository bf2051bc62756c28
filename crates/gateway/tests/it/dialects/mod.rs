//! Any client before any provider: what reaches the provider, what comes back, and how it ends when it goes wrong.

mod calls;
mod faults;
mod wire;

use crate::harness::Gateway;
use crate::upstream::{Script, Upstream};
use serde_json::json;
use wire::{CLIENTS, PROVIDERS, answer, ask, chain, ended, events, post, said, script, stream, streamed, usage};

#[tokio::test]
async fn every_client_gets_a_whole_answer_from_every_provider() {
    for provider in PROVIDERS {
        let upstream = Upstream::always(Script::json(200, answer(provider, "Hello there").to_string())).await;
        let gateway = Gateway::start(&chain(&[(provider, &upstream)], ""));
        for (client, _) in CLIENTS {
            let reply = post(&gateway, client, &[], &ask(client, "route/r", false)).await;
            assert_eq!(said(client, &reply), "Hello there", "{client} before {provider}");
            assert_eq!(usage(client, &reply), (100, 20), "{client} before {provider}");
            assert_eq!(reply.header("x-waypost-cost-usd"), Some("0.00012"), "{client} before {provider}");
            let record = gateway.record(&reply.id()).await;
            assert_eq!(record.attempts[0].input_tokens, 100, "{client} before {provider}");
        }
    }
}

#[tokio::test]
async fn every_client_gets_a_stream_from_every_provider() {
    for provider in PROVIDERS {
        let upstream = Upstream::always(script(&stream(provider, &["Hel", "lo ", "there"]))).await;
        let gateway = Gateway::start(&chain(&[(provider, &upstream)], ""));
        for (client, _) in CLIENTS {
            let reply = post(&gateway, client, &[], &ask(client, "route/r", true)).await;
            let at = format!("{client} before {provider}: {}", reply.text());
            assert_eq!((reply.status.as_u16(), streamed(client, &reply)), (200, "Hello there".to_owned()), "{at}");
            assert!(ended(client, &reply), "{at}");
            let record = gateway.record(&reply.id()).await;
            let used = &record.attempts[0];
            assert_eq!((used.input_tokens, used.output_tokens, used.estimated), (100, 20, false), "{at}");
        }
    }
}

#[tokio::test]
async fn the_request_arrives_in_the_providers_own_form() {
    // (provider, path, header of the key, where the system prompt stands)
    let cases = [
        (
            "openai",
            "POST /v1/chat/completions HTTP/1.1",
            ("authorization", "Bearer sk-provider-a"),
            "/messages/0/content",
        ),
        ("responses", "POST /v1/responses HTTP/1.1", ("authorization", "Bearer sk-provider-a"), "/instructions"),
        ("anthropic", "POST /v1/messages HTTP/1.1", ("x-api-key", "sk-provider-a"), "/system"),
        (
            "gemini",
            "POST /v1beta/models/up-a:generateContent HTTP/1.1",
            ("x-goog-api-key", "sk-provider-a"),
            "/systemInstruction/parts/0/text",
        ),
    ];
    for (provider, line, (name, value), system) in cases {
        for (client, _) in CLIENTS {
            let upstream = Upstream::always(Script::json(200, answer(provider, "x").to_string())).await;
            let gateway = Gateway::start(&chain(&[(provider, &upstream)], ""));
            post(&gateway, client, &[("x-api-key", "sk-client")], &ask(client, "a", false)).await;
            let got = upstream.only();
            assert_eq!((got.line.as_str(), got.header(name)), (line, Some(value)), "{client} to {provider}");
            let body = got.json();
            let found = body.pointer(system).unwrap_or(&serde_json::Value::Null);
            let found = found.as_str().or(found[0]["text"].as_str());
            assert_eq!(found, Some("Be brief."), "{client} to {provider}: {body}");
            assert!(!format!("{:?}{body}", got.headers).contains("sk-client"), "{client} to {provider}");
            if provider == "anthropic" {
                assert_eq!(got.header("anthropic-version"), Some("2023-06-01"));
            }
        }
    }
}

#[tokio::test]
async fn anthropic_to_anthropic_passes_bytes_and_the_apis_own_headers() {
    let odd = answer("anthropic", "hi").to_string().replace("\"id\"", "\"x_new\" : [ 1.0,\t2e3 ],\n \"id\"");
    let upstream = Upstream::always(Script::json(200, &odd)).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let body = json!({"model": "a", "max_tokens": 5, "x_new": [1.50], "messages": [{"role": "user", "content": "x"}], "waypost": {"tags": {"k": "v"}}});
    let headers = [
        ("authorization", "Bearer any"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "one-2026-01-01,two-2026-02-02"),
    ];
    let reply = post(&gateway, "anthropic", &headers, &body).await;
    assert_eq!(reply.text(), odd);
    assert_eq!(reply.header("request-id"), Some(&*reply.id()));
    let got = upstream.only();
    assert_eq!(got.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(got.header("anthropic-beta"), Some("one-2026-01-01,two-2026-02-02"));
    assert_eq!(got.header("authorization"), None);
    let wanted = r#"{"model":"up-a","max_tokens":5,"x_new":[1.5],"messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(got.text(), wanted);
}

/// A history with another dialect's token is written anew; what belongs to the API goes along all the same.
#[tokio::test]
async fn a_history_that_is_cleaned_for_anthropic_keeps_its_beta_headers() {
    let upstream = Upstream::always(Script::json(200, answer("anthropic", "hi").to_string())).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let mut body = ask("anthropic", "a", false);
    let thought = json!({"type": "thinking", "thinking": "x", "signature": ""});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": [thought, {"type": "text", "text": "y"}]}));
    messages.push(json!({"role": "user", "content": "And?"}));
    let headers = [("anthropic-version", "2026-10-21"), ("anthropic-beta", "one-2026-01-01")];
    assert_eq!(said("anthropic", &post(&gateway, "anthropic", &headers, &body).await), "hi");
    let got = upstream.only();
    assert!(!got.text().contains("thinking"), "{}", got.text());
    assert_eq!(got.header("anthropic-beta"), Some("one-2026-01-01"));
    assert_eq!(got.header("anthropic-version"), Some("2026-10-21"));
}

#[tokio::test]
async fn a_stream_of_one_dialect_passes_as_it_came() {
    for client in ["responses", "anthropic"] {
        let all = stream(client, &["a", "b"]);
        let upstream = Upstream::always(script(&all)).await;
        let gateway = Gateway::start(&chain(&[(client, &upstream)], ""));
        let reply = post(&gateway, client, &[], &ask(client, "a", true)).await;
        assert_eq!(reply.text(), all.concat(), "{client}");
    }
}

#[tokio::test]
async fn the_clients_own_dialect_is_preferred_where_a_provider_speaks_several() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        "providers: {{ p: {{ dialects: [openai, responses], base_url: '{url}' }} }}\nmodels: {{ a: {{ endpoints: [{{ provider: p }}] }} }}"
    ));
    for (client, line) in [
        ("openai", "POST /v1/chat/completions HTTP/1.1"),
        ("responses", "POST /v1/responses HTTP/1.1"),
        ("anthropic", "POST /v1/chat/completions HTTP/1.1"),
    ] {
        let dialect = if client == "responses" { "responses" } else { "openai" };
        upstream.then(Script::json(200, answer(dialect, "x").to_string()));
        assert_eq!(said(client, &post(&gateway, client, &[], &ask(client, "a", false)).await), "x");
        assert_eq!(upstream.requests().last().unwrap().line, line);
    }
}

#[tokio::test]
async fn a_model_that_answers_in_one_api_only_is_asked_there() {
    let upstream = Upstream::always(Script::json(200, answer("responses", "x").to_string())).await;
    let gateway = Gateway::start(&format!(
        "providers: {{ p: {{ dialects: [openai, responses], base_url: '{}' }} }}\nmodels: {{ gpt-5-pro: {{ endpoints: [{{ provider: p }}] }} }}",
        upstream.url()
    ));
    for (client, _) in CLIENTS {
        assert_eq!(said(client, &post(&gateway, client, &[], &ask(client, "gpt-5-pro", false)).await), "x");
        assert_eq!(upstream.requests().last().unwrap().line, "POST /v1/responses HTTP/1.1", "{client}");
    }
}

#[tokio::test]
async fn what_a_target_cannot_say_is_dropped_by_name_or_refused() {
    let upstream = Upstream::always(Script::json(200, answer("anthropic", "x").to_string())).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let mut body = ask("openai", "route/r", false);
    body["logit_bias"] = json!({"50256": -100});
    body["seed"] = 7.into();
    let reply = post(&gateway, "openai", &[], &body).await;
    let dropped = reply.header("x-waypost-dropped").unwrap_or_default();
    assert!(dropped.contains("logit_bias") && dropped.contains("seed"), "{dropped}");
    assert_eq!(said("openai", &reply), "x");
    let strict = Gateway::start(&chain(&[("anthropic", &upstream)], ", translation: strict"));
    let reply = post(&strict, "openai", &[], &body).await;
    assert_eq!(reply.code(), (400, "invalid_request".into()), "{}", reply.text());
    assert!(reply.text().contains("logit_bias") || reply.text().contains("seed"), "{}", reply.text());
    assert_eq!(upstream.count(), 1, "nothing was sent");
}

#[tokio::test]
async fn tools_cross_with_ids_order_and_argument_bytes() {
    let upstream = Upstream::start().await;
    let call = |i: u32, id: &str, name: &str, args: &[&str]| {
        let mut all =
            vec![json!({"index": i, "id": id, "type": "function", "function": {"name": name, "arguments": ""}})];
        all.extend(args.iter().map(|a| json!({"index": i, "function": {"arguments": a}})));
        all
    };
    let deltas = [call(0, "call_b", "second", &["{\"x\" :", " 1.0}"]), call(1, "call_a", "first", &["{}"])].concat();
    let mut script = Script::events();
    for delta in deltas {
        script =
            script.event(&json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}).to_string());
    }
    let script =
        script.event(r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#).done().end();
    upstream.then_always(script);
    let gateway = Gateway::start(&chain(&[("openai", &upstream)], ""));
    let reply = post(&gateway, "anthropic", &[], &ask("anthropic", "a", true)).await;
    let all = events(&reply);
    let starts: Vec<_> =
        all.iter().filter(|e| e["type"] == "content_block_start").map(|e| e["content_block"].clone()).collect();
    assert_eq!(starts.len(), 2, "no empty text block: {}", reply.text());
    assert_eq!((&starts[0]["id"], &starts[0]["name"]), (&json!("call_b"), &json!("second")));
    assert_eq!((&starts[1]["id"], &starts[1]["name"]), (&json!("call_a"), &json!("first")));
    let args: String =
        all.iter().filter(|e| e["index"] == 0).filter_map(|e| e["delta"]["partial_json"].as_str()).collect();
    assert_eq!(args, "{\"x\" : 1.0}");
    let stop = all.iter().find(|e| e["type"] == "message_delta").unwrap();
    assert_eq!(stop["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn fallbacks_cross_dialects() {
    let preamble: Vec<String> = stream("anthropic", &["lost"]).into_iter().take(2).collect();
    let failing = [
        Script::json(500, r#"{"type":"error","error":{"type":"api_error","message":"broken"}}"#),
        Script::json(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#),
        script(&[preamble.as_slice(), &["event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n".to_owned()]].concat()),
        script(&preamble),
    ];
    for failure in failing {
        let first = Upstream::always(failure).await;
        let second = Upstream::always(script(&stream("gemini", &["saved"]))).await;
        let gateway = Gateway::start(&chain(&[("anthropic", &first), ("gemini", &second)], ""));
        let reply = post(&gateway, "openai", &[], &ask("openai", "route/r", true)).await;
        assert_eq!((streamed("openai", &reply), reply.attempts()), ("saved".to_owned(), 2), "{}", reply.text());
        assert!(ended("openai", &reply));
    }
}

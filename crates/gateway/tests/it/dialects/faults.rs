//! Providers of other dialects that misbehave: a typed error in the client's own form, never a clean end that was none.

use super::wire::{CLIENTS, PROVIDERS, answer, ask, chain, ended, post, script, stream, streamed};
use crate::harness::Gateway;
use crate::upstream::{Act, Script, Upstream};
use serde_json::json;

#[tokio::test]
async fn a_cut_after_the_first_output_is_an_error_in_the_clients_form() {
    for provider in PROVIDERS {
        let all = stream(provider, &["Hel", "lo"]);
        // The text is out, its end is not.
        let cut = all.iter().position(|e| e.contains("\"lo\"")).unwrap() + 1;
        let cut = script(&all[..cut]);
        let upstream = Upstream::always(cut).await;
        let gateway = Gateway::start(&chain(&[(provider, &upstream)], ""));
        for (client, _) in CLIENTS {
            let reply = post(&gateway, client, &[], &ask(client, "a", true)).await;
            let at = format!("{client} before {provider}: {}", reply.text());
            assert_eq!(streamed(client, &reply), "Hello", "{at}");
            assert!(!ended(client, &reply), "{at}");
            assert!(reply.text().contains("\"error\""), "{at}");
            assert_eq!(gateway.record(&reply.id()).await.outcome, "cut", "{at}");
        }
    }
}

#[tokio::test]
async fn a_200_that_is_no_answer_is_an_upstream_error() {
    let twice = {
        let all = stream("anthropic", &["x"]);
        [&all[..1], &all[..]].concat()
    };
    let huge = format!("data: {}\n\n", "x".repeat(1 << 20));
    let json_type = [("content-type", "application/json")];
    let bodies: Vec<(&str, bool, Script)> = vec![
        ("html", false, Script::body(200, &[("content-type", "text/html")], "<html>hello</html>")),
        ("html as json", false, Script::json(200, "<html>hello</html>")),
        ("empty", false, Script::json(200, "")),
        ("no message", false, Script::json(200, "{}")),
        (
            "error inside",
            false,
            Script::json(200, r#"{"type":"error","error":{"type":"api_error","message":"broken"}}"#),
        ),
        ("compressed", false, Script::body(200, &[json_type[0], ("content-encoding", "gzip")], [0x1f, 0x8b, 8, 0])),
        ("started twice", true, script(&twice)),
        ("an event too large", true, Script::events().chunk(huge).end()),
        ("not json", true, Script::events().chunk("event: message_start\ndata: {oops\n\n").end()),
        ("no events", true, Script::events().end()),
        ("json for a stream", true, Script::json(200, answer("anthropic", "x").to_string())),
        ("gone", true, Script::events().then(Act::Reset)),
    ];
    for (what, streams, script) in bodies {
        let upstream = Upstream::always(script.clone()).await;
        for (client, _) in CLIENTS {
            // Each before a breaker of its own.
            let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
            let reply = post(&gateway, client, &[], &ask(client, "a", streams)).await;
            assert_eq!(reply.status, 502, "{what}, {client}: {}", reply.text());
            let error = &reply.json()["error"];
            assert_eq!(error["code"], "upstream_error", "{what}, {client}: {}", reply.text());
        }
        let good = Upstream::always(Script::says("saved")).await;
        let gateway = Gateway::start(&chain(&[("anthropic", &upstream), ("openai", &good)], ""));
        if !streams {
            let reply = post(&gateway, "openai", &[], &ask("openai", "route/r", false)).await;
            assert_eq!(reply.said(), "saved", "{what}");
        }
    }
}

#[tokio::test]
async fn a_providers_refusal_comes_back_in_the_clients_form() {
    let body = r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too many"}}"#;
    let upstream = Upstream::always(Script::json(400, body)).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let reply = post(&gateway, "anthropic", &[], &ask("anthropic", "a", false)).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (400, body), "its own dialect: as it is");
    for client in ["openai", "responses"] {
        let reply = post(&gateway, client, &[], &ask(client, "a", false)).await;
        assert_eq!(reply.code(), (400, "invalid_request".into()), "{}", reply.text());
        assert!(reply.text().contains("max_tokens: too many"), "{}", reply.text());
    }
}

#[tokio::test]
async fn our_own_errors_are_in_the_clients_form() {
    let upstream = Upstream::start().await;
    let keys = "keys: [{ id: k, secret: sk-the-key }]\n";
    let gateway = Gateway::start(&(chain(&[("openai", &upstream)], "") + keys));
    let known = [("x-api-key", "sk-the-key")];
    let unknown = [("x-api-key", "sk-other")];
    // (headers, body, status, code, Anthropic's type)
    let cases = [
        (&unknown[..], ask("anthropic", "a", false), 401, "invalid_api_key", "authentication_error"),
        (
            &known[..],
            json!({"model": "nobody", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}),
            404,
            "model_not_found",
            "not_found_error",
        ),
        (&known[..], json!({"model": "a", "max_tokens": 1}), 400, "invalid_request", "invalid_request_error"),
        (
            &known[..],
            json!({"model": "a", "max_tokens": 1, "messages": [{"role": "wizard", "content": "x"}]}),
            400,
            "invalid_request",
            "invalid_request_error",
        ),
        (
            &known[..],
            json!({"model": "a", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]}),
            400,
            "invalid_request",
            "invalid_request_error",
        ),
    ];
    for (headers, body, status, code, kind) in cases {
        let reply = post(&gateway, "anthropic", headers, &body).await;
        let error = reply.json();
        assert_eq!(reply.status, status, "{body}: {error}");
        assert_eq!(
            (&error["type"], &error["error"]["type"], &error["error"]["code"]),
            (&json!("error"), &json!(kind), &json!(code)),
            "{body}: {error}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn previous_response_id_goes_only_where_it_is_kept() {
    let keeps = Upstream::always(Script::json(200, answer("responses", "x").to_string())).await;
    let other = Upstream::start().await;
    let gateway = Gateway::start(&chain(&[("openai", &other), ("responses", &keeps)], ""));
    let mut body = ask("responses", "route/r", false);
    body["previous_response_id"] = "resp_0".into();
    let reply = post(&gateway, "responses", &[], &body).await;
    assert_eq!((reply.status.as_u16(), other.count(), keeps.count()), (200, 0, 1), "{}", reply.text());
    body["model"] = "a".into();
    let reply = post(&gateway, "responses", &[], &body).await;
    assert_eq!(reply.code(), (400, "invalid_request".into()));
    assert!(reply.text().contains("previous_response_id"), "{}", reply.text());
}

#[tokio::test]
async fn arguments_that_are_no_json_are_a_failed_attempt_where_an_object_is_needed() {
    let broken = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"x\":"}}]}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 100, "completion_tokens": 20}});
    let first = Upstream::always(Script::json(200, broken.to_string())).await;
    let second = Upstream::always(Script::says("saved")).await;
    let gateway = Gateway::start(&chain(&[("openai", &first), ("openai", &second)], ""));
    let reply = post(&gateway, "anthropic", &[], &ask("anthropic", "route/r", false)).await;
    assert_eq!((super::said("anthropic", &reply), reply.attempts()), ("saved".to_owned(), 2));
    let lost = &gateway.record(&reply.id()).await.attempts[0];
    let used = (lost.outcome.as_str(), lost.input_tokens, lost.output_tokens, lost.estimated);
    assert_eq!(used, ("invalid_json", 100, 20, false), "what cannot be translated is billed all the same");
}

#[tokio::test]
async fn paths_beside_those_that_answer_have_the_errors_of_their_api() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&chain(&[("openai", &upstream)], ""));
    let version = [("anthropic-version", "2023-06-01")];
    for (path, headers, anthropic) in [
        ("/v1/messages/batches", &[][..], true),
        ("/v1/models/none", &version[..], true),
        ("/v1/models/none", &[][..], false),
        ("/v1/responses/resp_1", &[][..], false),
        ("/v1/messagesX", &[][..], false),
    ] {
        let reply = post(&gateway, path, headers, &json!({})).await;
        assert!(matches!(reply.status.as_u16(), 404 | 405), "{path}: {}", reply.status);
        assert_eq!(reply.json()["type"] == "error", anthropic, "{path}: {}", reply.text());
        assert_eq!(reply.header("request-id").is_some(), anthropic, "{path}");
    }
}

#[tokio::test]
async fn names_of_what_was_dropped_stay_a_header_that_clients_take() {
    let upstream = Upstream::always(Script::json(200, answer("anthropic", "x").to_string())).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ", cache: { ttl: 1h }"));
    let mut body = ask("openai", "route/r", false);
    for i in 0..2000 {
        body[format!("x_{i}\r\nset-cookie: a=b")] = true.into();
    }
    for cache in ["miss", "hit"] {
        let reply = post(&gateway, "openai", &[], &body).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-waypost-cache")), (200, Some(cache)), "{}", reply.text());
        let dropped = reply.header("x-waypost-dropped").expect("what was dropped is named, also by the cache");
        assert!(dropped.starts_with("x_0??set-cookie: a=b, ") && dropped.ends_with(" more"), "{dropped}");
        assert!(dropped.len() < 1200, "{}", dropped.len());
        assert_eq!(reply.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn a_message_that_is_cut_inside_of_our_key_shows_nothing_of_it() {
    for spare in [10, 15] {
        let message = format!("{}sk-provider-a and more", "x".repeat(2048 - spare));
        let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
        let upstream = Upstream::always(Script::json(400, error.to_string())).await;
        let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
        let reply = post(&gateway, "openai", &[], &ask("openai", "a", false)).await;
        assert!(reply.text().contains("xxx***") && !reply.text().contains("sk-"), "{}", reply.text());
    }
}

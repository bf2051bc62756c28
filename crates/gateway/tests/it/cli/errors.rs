//! INTERFACE's error table, row by row: status, code, a message that names the thing, OpenAI's shape; and after each
//! error the same connection serves a good request.

use super::gateway::{CONFIG, Gateway, wait_until};
use super::http::{Client, Reply, chat};
use super::upstream::Upstream;
use serde_json::{Value, json};

const INVALID: &str = "invalid_request_error";

/// Asserts an error of OpenAI's shape; every one of `said` stands in the message.
#[track_caller]
fn is_error(reply: &Reply, status: u16, code: &str, said: &[&str]) -> Value {
    let body = reply.json();
    let error = &body["error"];
    let context = format!("{} {body}", reply.status);
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{context}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{context}");
    assert_eq!(reply.request_id().len(), 32, "{context}");
    let members = error.as_object().unwrap();
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "message", "param", "type"], "{context}");
    assert!(error["type"].is_string() && (error["param"].is_string() || error["param"].is_null()), "{context}");
    let message = error["message"].as_str().unwrap();
    for part in said {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    body["error"].clone()
}

#[track_caller]
fn still_serves(client: &mut Client, headers: &[(&str, &str)]) {
    let reply = client.chat(headers, &chat("alpha", "Say hello.", json!({})));
    assert_eq!(reply.model(), "alpha");
}

#[test]
fn a_malformed_body_is_told_where_and_what() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let rows: &[(&[u8], &[&str])] = &[
        (b"", &["byte 0"]),
        (br#"{"model":"alpha","messages":[{"role":"us"#, &["byte 40", "line 1"]),
        (b"{\"model\":\"alpha\",\n\"messages\":[}", &["line 2", "column 13"]),
        (br#"{"model":"alpha" "messages":[]}"#, &["byte 17"]),
        (br#"{"model":"alpha","messages":[]}}"#, &["messages"]),
        (br#"{"model":"alpha","messages":[{"role":"user","content":"x"}]} x"#, &["byte 61"]),
        (b"not json", &["line 1, column 2", "byte 1"]),
        (b"[]", &["object"]),
        (b"{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}", &["UTF-8", "byte 55"]),
        (b"{\"model\":\"alpha\",\"messages\":[{\"role\":\"user\",\"content\":\"a\nb\"}]}", &["byte 56"]),
    ];
    for (body, said) in rows {
        let reply = client.call("POST", "/v1/chat/completions", &[("content-type", "application/json")], body);
        let error = is_error(&reply, 400, "invalid_request", said);
        assert_eq!(error["type"], INVALID);
        still_serves(&mut client, &[]);
    }
}

#[test]
fn a_wrong_field_is_named() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let hello = json!([{"role": "user", "content": "hello"}]);
    let rows = [
        (json!({"model": 7, "messages": hello}).to_string(), "model", "string"),
        (json!({"model": null, "messages": hello}).to_string(), "model", "string"),
        (json!({"model": "alpha", "messages": "hello"}).to_string(), "messages", "array"),
        (json!({"model": "alpha"}).to_string(), "messages", "required"),
        (json!({"model": "alpha", "messages": []}).to_string(), "messages", "empty"),
        (json!({"messages": hello}).to_string(), "model", "required"),
        (chat("alpha", "x", json!({"n": 0})), "n", "at least 1"),
        (chat("alpha", "x", json!({"n": "2"})), "n", "number"),
        (chat("alpha", "x", json!({"max_tokens": -1})), "max_tokens", "whole number"),
        (chat("alpha", "x", json!({"max_completion_tokens": 1.5})), "max_completion_tokens", "whole number"),
        (chat("alpha", "x", json!({"stream": "yes"})), "stream", "true or false"),
        (chat("alpha", "x", json!({"tools": {}})), "tools", "array"),
        (chat("alpha", "x", json!({"stream_options": []})), "stream_options", "object"),
        (json!({"model": "alpha", "messages": [{"content": "x"}]}).to_string(), "messages[0].role", "required"),
        (
            json!({"model": "alpha", "messages": [{"role": "me", "content": "x"}]}).to_string(),
            "messages[0].role",
            "one of",
        ),
        (
            json!({"model": "alpha", "messages": [{"role": "user", "content": 5}]}).to_string(),
            "messages[0].content",
            "string",
        ),
        (format!(r#"{{"model":"alpha","model":"gamma","messages":{hello}}}"#), "model", "more than once"),
        (format!(r#"{{"model":"alpha","MODEL":"gamma","messages":{hello}}}"#), "model", "lower case"),
        (chat("alpha", "x", json!({"waypost": []})), "waypost", "object"),
        (chat("alpha", "x", json!({"waypost": {"stge": "draft"}})), "waypost.stge", "unknown"),
        (
            chat("alpha", "x", json!({"waypost": {"hints": {"min_quality": 3}}})),
            "waypost.hints.min_quality",
            "between 0 and 1",
        ),
    ];
    for (body, field, said) in rows {
        let error = is_error(&client.chat(&[], &body), 400, "invalid_request", &[field, said]);
        assert_eq!(error["param"], field, "{body}");
        still_serves(&mut client, &[]);
    }
}

/// CR and LF, other control characters and bytes beyond ASCII must reach neither a reply's header nor a log line.
#[test]
fn hints_cannot_inject_headers() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let evil = "draft\r\nx-evil: 1";
    for waypost in [
        json!({"stage": evil}),
        json!({"route": evil}),
        json!({"session": "a\nb"}),
        json!({"session": "a\u{0}b"}),
        json!({"tags": {"surface": evil}}),
        json!({"tags": {"a\r\nb": "x"}}),
    ] {
        let reply = client.chat(&[], &chat("auto", "x", json!({ "waypost": waypost })));
        is_error(&reply, 400, "invalid_request", &["control characters"]);
        assert_eq!(reply.header("x-evil"), None);
        still_serves(&mut client, &[]);
    }
    let error = is_error(
        &client.chat(&[("x-waypost-stage", "dräft")], &chat("auto", "x", json!({}))),
        400,
        "invalid_request",
        &["x-waypost-stage", "ASCII"],
    );
    assert_eq!(error["param"], "x-waypost-stage");
    still_serves(&mut client, &[]);
    // Names that nobody knows come back in messages only, as JSON.
    let reply = client.chat(&[], &chat(&format!("no\u{1b}[31m{evil}"), "x", json!({})));
    is_error(&reply, 404, "model_not_found", &["x-evil"]);
    assert_eq!(reply.header("x-evil"), None);
    // What text is allowed in comes through as it was: no header of the reply holds it raw.
    let fine = chat("auto", "x", json!({"waypost": {"session": "grüße", "tags": {"ort": "Köln"}}}));
    assert_eq!(client.chat(&[], &fine).status, 200);
}

#[test]
fn a_body_over_the_limit_is_answered_while_it_is_sent() {
    let gateway = Gateway::start(CONFIG);
    const SIZE: usize = 33 << 20;
    const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let limit = (32 << 20).to_string();
    let block = vec![b' '; 1 << 20];

    // Everything is sent before the answer is read, as blocking clients do.
    let mut announced = gateway.client();
    announced.send(format!("{HEAD}content-length: {SIZE}\r\n\r\n").as_bytes()).unwrap();
    for _ in 0..SIZE / block.len() {
        announced.send(&block).unwrap();
    }
    is_error(&announced.reply(), 413, "request_too_large", &[&limit, "server.body_limit"]);
    still_serves(&mut announced, &[]);

    let mut chunked = gateway.client();
    chunked.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = [format!("{:x}\r\n", block.len()).as_bytes(), &block, b"\r\n"].concat();
    for _ in 0..SIZE / block.len() {
        chunked.send(&chunk).unwrap();
    }
    chunked.send(b"0\r\n\r\n").unwrap();
    is_error(&chunked.reply(), 413, "request_too_large", &[&limit]);
    still_serves(&mut chunked, &[]);

    // One byte under the limit is read, and found to be no JSON.
    let mut fits = gateway.client();
    fits.send(format!("{HEAD}content-length: {limit}\r\n\r\n").as_bytes()).unwrap();
    for _ in 0..32 {
        fits.send(&block).unwrap();
    }
    is_error(&fits.reply(), 400, "invalid_request", &["byte"]);
}

/// The same for refusals that look at no body at all.
#[test]
fn a_refusal_before_the_body_reaches_a_client_that_is_still_sending() {
    let keyed = format!("{CONFIG}\nkeys: [{{ id: a, secret: sk-a }}]\n");
    let gateway = Gateway::start(&keyed);
    let block = vec![b' '; 1 << 20];
    for (path, headers, status, code) in [
        ("/v1/chat/completions", "", 401, "invalid_api_key"),
        ("/v1/route", "", 401, "invalid_api_key"),
        ("/v1/audio/speech", "", 401, "invalid_api_key"),
        ("/v1/audio/speech", "authorization: Bearer sk-a\r\n", 404, "not_found"),
        ("/v1/embeddings", "", 401, "invalid_api_key"),
        ("/v1/models", "authorization: Bearer sk-a\r\n", 405, "method_not_allowed"),
        ("/nowhere", "", 404, "not_found"),
        ("/healthz", "", 405, "method_not_allowed"),
        ("/admin/nothing", "", 404, "not_found"),
        ("/v1/chat/completions", "authorization: Bearer sk-a\r\norigin: https://evil.example\r\n", 403, "not_allowed"),
        ("/v1/chat/completions", "authorization: Bearer sk-a\r\ncontent-type: text/plain\r\n", 415, "invalid_request"),
    ] {
        let mut client = gateway.client();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n", 24 << 20);
        client.send(head.as_bytes()).unwrap();
        for _ in 0..24 {
            client.send(&block).unwrap_or_else(|e| panic!("{path} {headers}: {e}"));
        }
        is_error(&client.reply(), status, code, &[]);
        still_serves(&mut client, &[("authorization", "Bearer sk-a")]);
    }
}

#[test]
fn a_request_larger_than_every_window_is_told_the_numbers() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let long = "word ".repeat(20_000);
    let reply = client.chat(&[], &chat("auto", &long, json!({})));
    is_error(&reply, 400, "context_length_exceeded", &["alpha", "beta", "gamma", "16,000", "8,000", "needs 19,"]);
    still_serves(&mut client, &[]);
    // A pin is not moved to the model whose window would do.
    let middle = "word ".repeat(10_000);
    let reply = client.chat(&[], &chat("alpha", &middle, json!({})));
    is_error(&reply, 400, "context_length_exceeded", &["alpha", "8,000"]);
    let answer = client.chat(&[], &chat("auto", &middle, json!({})));
    assert_ne!(answer.model(), "alpha");
    // The request's own cap counts as output.
    let reply = client.chat(&[], &chat("alpha", "hello", json!({"max_tokens": 7_999})));
    is_error(&reply, 400, "context_length_exceeded", &["7,999 reserved"]);
    still_serves(&mut client, &[]);
}

fn picture(model: &str, more: Value) -> String {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    body.to_string()
}

#[test]
fn a_pin_that_breaks_a_constraint_is_an_error_that_names_it() {
    let guarded = format!("{CONFIG}\ncompliance: [{{ when: 'request.sensitive', require: [pii_safe] }}]\n");
    let gateway = Gateway::start(&guarded);
    let mut client = gateway.client();
    let hint = |hints: Value| json!({"waypost": {"hints": hints}});
    for (body, said) in [
        (picture("alpha", json!({})), ["alpha", "capability", "vision"]),
        (chat("alpha", "x", hint(json!({"min_quality": 0.8}))), ["alpha", "quality_floor", "0.80"]),
        (chat("gamma", "x", hint(json!({"max_cost_usd": 0.000001}))), ["gamma", "price_cap", "0.000001"]),
        (chat("gamma", "x", hint(json!({"max_latency_ms": 0.5}))), ["gamma", "latency_cap", "cap is"]),
        (chat("beta", "x", json!({"waypost": {"sensitive": true}})), ["beta", "compliance", "pii_safe"]),
    ] {
        let error = is_error(&client.chat(&[], &body), 400, "constraint_violated", &said);
        assert_eq!(error["param"], "model");
        still_serves(&mut client, &[]);
    }
    assert_eq!(client.chat(&[], &picture("auto", json!({}))).model(), "beta");
}

#[test]
fn nothing_left_lists_every_model_with_its_reason() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    // No eyes, no eyes, too bad.
    let body = picture("auto", json!({"waypost": {"hints": {"min_quality": 0.8}}}));
    let said = ["alpha (capability: ", "beta (quality_floor: ", "gamma (capability: "];
    is_error(&client.chat(&[], &body), 400, "constraint_violated", &said);
    // POST /v1/route answers 200 with the same error.
    let explained = client.post("/v1/route", &[], &body);
    assert_eq!(explained.status, 200);
    let explained = explained.json();
    assert_eq!(explained["candidates"], json!([]));
    assert_eq!(explained["excluded"].as_array().unwrap().len(), 3);
    assert_eq!(explained["error"]["code"], "constraint_violated");
    for part in said {
        assert!(explained["error"]["message"].as_str().unwrap().contains(part));
    }
    still_serves(&mut client, &[]);
}

#[test]
fn keys_open_only_what_they_are_for() {
    let keyed = format!(
        "{CONFIG}
keys:
  - {{ id: all, secret: sk-all }}
  - {{ id: some, secret: sk-some, models: [alpha], routes: [cheap], stages: [draft] }}
"
    );
    let gateway = Gateway::start(&keyed);
    let mut client = gateway.client();
    let hello = chat("alpha", "hello", json!({}));
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/route"),
        ("GET", "/v1/route"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/alpha"),
        ("DELETE", "/v1/models/alpha"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/nothing"),
    ] {
        let json = ("content-type", "application/json");
        for (key, said) in
            [(None, "required"), (Some("Bearer sk-wrong"), "not known"), (Some("Basic c2s="), "required")]
        {
            let mut headers = vec![json];
            headers.extend(key.map(|k| ("authorization", k)));
            let reply = client.call(method, path, &headers, hello.as_bytes());
            let error = is_error(&reply, 401, "invalid_api_key", &[said]);
            assert_eq!(error["type"], "authentication_error");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{method} {path}");
            assert!(!reply.text().contains("sk-wrong"), "{}", reply.text());
        }
    }
    assert_eq!(client.get("/healthz").status, 200);
    let all = [("authorization", "Bearer sk-all")];
    let some = [("authorization", "Bearer sk-some")];
    still_serves(&mut client, &all);
    still_serves(&mut client, &some);
    assert_eq!(client.chat(&[("x-api-key", "sk-some")], &hello).model(), "alpha");
    for (model, waypost, said) in [
        ("gamma", json!({}), ["gamma", "not_allowed"]),
        ("sim/gamma", json!({}), ["gamma", "not_allowed"]),
        ("route/split", json!({}), ["route `split`", "cheap"]),
        ("split", json!({}), ["route `split`", "cheap"]),
        ("auto", json!({"route": "split"}), ["route `split`", "cheap"]),
        ("stage/review", json!({}), ["stage `review`", "draft"]),
        ("auto", json!({"stage": "review"}), ["stage `review`", "draft"]),
        ("alpha", json!({"stage": "review"}), ["stage `review`", "draft"]),
    ] {
        let body = chat(model, "hello", json!({ "waypost": waypost }));
        let error = is_error(&client.chat(&some, &body), 403, "not_allowed", &said);
        assert_eq!(error["type"], "permission_error");
        assert_eq!(client.chat(&all, &body).status, 200);
        still_serves(&mut client, &some);
    }
    // What automatic routing may choose is bounded too.
    for model in ["auto", "cheap", "stage/draft"] {
        assert_eq!(
            client.chat(&some, &chat(model, "Prove that there are infinitely many primes.", json!({}))).model(),
            "alpha"
        );
    }
}

#[test]
fn unknown_names_get_suggestions() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    for (model, waypost, said) in [
        ("alhpa", json!({}), ["alhpa", "did you mean `alpha`"]),
        ("aplha/alpha", json!({}), ["aplha/alpha", "did you mean"]),
        ("route/cheep", json!({}), ["route `cheep`", "did you mean `cheap`"]),
        ("stage/drafts", json!({}), ["stage `drafts`", "did you mean `draft`"]),
        ("auto", json!({"route": "smal"}), ["route `smal`", "did you mean `small`"]),
        ("auto", json!({"stage": "reviewer"}), ["stage `reviewer`", "did you mean `review`"]),
        ("zzz", json!({}), ["zzz", "GET /v1/models"]),
        ("sim/other", json!({}), ["sim/other", "GET /v1/models"]),
    ] {
        let reply = client.chat(&[], &chat(model, "x", json!({ "waypost": waypost })));
        let error = is_error(&reply, 404, "model_not_found", &said);
        assert_eq!(error["param"], "model");
        still_serves(&mut client, &[]);
    }
}

#[test]
fn upstreams_that_fail_give_429_502_and_504() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let all = |what: &str| chat("auto", &format!("simulate[{what}]"), json!({}));

    for stream in [false, true] {
        let body = chat("auto", "simulate[fault=server_error,status=503]", json!({ "stream": stream }));
        let failed = client.chat(&[], &body);
        is_error(
            &failed,
            502,
            "upstream_error",
            &["alpha at sim (http_503", "beta at sim (http_503", "gamma at sim (http_503"],
        );
        assert_eq!(failed.header("x-waypost-attempts"), Some("4"));
        still_serves(&mut client, &[]);
        let late = chat("auto", "simulate[fault=stall]", json!({"stream": stream, "waypost": {"deadline_ms": 150}}));
        let late = client.chat(&[], &late);
        let error = is_error(&late, 504, "deadline_exceeded", &["deadline", "at sim"]);
        assert_eq!(error["type"], "timeout_error");
        still_serves(&mut client, &[]);
    }
    let late = client.chat(&[("x-waypost-deadline-ms", "150")], &all("fault=stall"));
    is_error(&late, 504, "deadline_exceeded", &["deadline"]);
    still_serves(&mut client, &[]);
    // Last, for those who refuse are left alone for a while.
    let limited = client.chat(&[], &all("fault=rate_limit"));
    let error = is_error(&limited, 429, "rate_limit_exceeded", &["429"]);
    assert_eq!((error["type"].as_str(), limited.header("retry-after")), (Some("rate_limit_error"), Some("7")));
    still_serves(&mut client, &[]);
}

/// A stream that has begun cannot take its status back: it ends in an error event, and without `[DONE]`.
#[test]
fn a_broken_stream_ends_in_an_error_event() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let body = chat("alpha", "simulate[fault=cut,tokens=20,at=3]", json!({"stream": true}));
    let reply = client.chat(&[], &body);
    assert_eq!(reply.status, 200);
    let events: Vec<&str> = reply.text().lines().filter_map(|l| l.strip_prefix("data: ")).collect();
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_error", "{last}");
    assert!(!events.contains(&"[DONE]"));
    still_serves(&mut client, &[]);
    let good = client.chat(&[], &chat("alpha", "hello", json!({"stream": true})));
    assert!(good.text().ends_with("data: [DONE]\n\n"), "{}", good.text());
}

/// A client's mistake that only the provider found goes back with its status and message.
#[test]
fn the_providers_word_on_a_clients_mistake_comes_back() {
    let said =
        r#"{"error":{"message":"bad temperature","type":"invalid_request_error","param":"temperature","code":null}}"#;
    let upstream = Upstream::start(|_| (422, said.to_owned()));
    let config = format!(
        "providers: {{ up: {{ dialect: openai, base_url: 'http://{}/v1' }} }}\nmodels: {{ m: {{ endpoints: [{{ provider: up }}] }} }}\n",
        upstream.address
    );
    let gateway = Gateway::start(&config);
    let reply = gateway.chat(&[], &chat("m", "x", json!({"temperature": 9})));
    assert_eq!((reply.status, reply.text()), (422, said));
    assert_eq!(upstream.came().len(), 1, "a client's mistake is not repeated");
}

#[test]
fn nothing_healthy_is_503_with_retry_after() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    for model in ["alpha", "beta", "gamma"] {
        let body = json!({"model": model, "action": "open"}).to_string();
        assert_eq!(client.post("/admin/breakers", &[], &body).status, 200);
    }
    let all = &["alpha", "beta", "gamma"][..];
    for (model, listed) in [("auto", all), ("alpha", &["alpha"]), ("route/cheap", all), ("stage/review", &["gamma"])] {
        let said: Vec<String> = listed.iter().map(|m| format!("{m} (breaker_open")).collect();
        let reply = client.chat(&[], &chat(model, "x", json!({})));
        let error = is_error(&reply, 503, "no_candidates", &said.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(error["type"], "overloaded_error");
        let wait: u64 = reply.header("retry-after").expect("it says when to come back").parse().unwrap();
        assert!(wait >= 1);
    }
    for action in ["reset", "close"] {
        let body = json!({"model": "alpha", "action": action}).to_string();
        assert_eq!(client.post("/admin/breakers", &[], &body).status, 200);
        still_serves(&mut client, &[]);
    }
}

#[test]
fn a_full_gateway_sheds_with_503_and_serves_on() {
    let narrow = CONFIG.replace("workers: 2", "workers: 1, max_concurrency: 1, max_queue: 0");
    let gateway = Gateway::start(&narrow);
    // Holds the one place: its head has come, its end comes only with the client's leaving.
    let mut holder = gateway.client();
    let endless = chat("alpha", "simulate[fault=stall,tokens=20,at=2]", json!({"stream": true}));
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    holder.send(head.as_bytes()).unwrap();
    assert_eq!(holder.head().unwrap().status, 200);
    let mut client = gateway.client();
    let reply = client.chat(&[], &chat("alpha", "x", json!({})));
    let error = is_error(&reply, 503, "overloaded", &["1 requests are running"]);
    assert_eq!(error["type"], "overloaded_error");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(client.get("/readyz").json()["requests"]["running"], 1);
    drop(holder);
    // The place is free once the gateway has seen that the client left.
    wait_until("the place is free", || client.get("/readyz").json()["requests"]["running"] == 0);
    still_serves(&mut client, &[]);
}

#[test]
fn wrong_types_methods_and_paths() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let hello = chat("alpha", "hello", json!({}));
    for path in ["/v1/chat/completions", "/v1/route"] {
        for headers in
            [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
        {
            let reply = client.call("POST", path, headers, hello.as_bytes());
            is_error(&reply, 415, "invalid_request", &["content-type: application/json"]);
            still_serves(&mut client, &[]);
        }
        let charset = [("content-type", "Application/JSON; charset=utf-8")];
        assert_eq!(client.call("POST", path, &charset, hello.as_bytes()).status, 200);
    }
    for (method, path, allowed) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/chat/completions", "POST"),
        ("GET", "/v1/route", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/alpha", "GET"),
        ("POST", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
        ("DELETE", "/admin/breakers", "GET, POST"),
        ("GET", "/admin/reload", "POST"),
        ("POST", "/admin/report", "GET"),
    ] {
        let reply = client.call(method, path, &[("content-type", "application/json")], b"{}");
        is_error(&reply, 405, "method_not_allowed", &[path, allowed, method]);
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        still_serves(&mut client, &[]);
    }
    for (method, path) in
        [("GET", "/nowhere"), ("POST", "/v1/nowhere"), ("GET", "/admin/nowhere"), ("GET", "/admin"), ("POST", "/v1")]
    {
        let reply = client.call(method, path, &[("content-type", "application/json")], b"{}");
        is_error(&reply, 404, "not_found", &[path]);
        still_serves(&mut client, &[]);
    }
    is_error(&client.get("/v1/models/nothing"), 404, "model_not_found", &["nothing"]);
}

/// A web page must not spend the keys of a key-less gateway on loopback.
#[test]
fn foreign_pages_are_refused_unless_listed() {
    let gateway = Gateway::start(CONFIG);
    let mut client = gateway.client();
    let hello = chat("alpha", "hello", json!({}));
    for origin in ["https://evil.example", "null", "http://localhost:1", "https://app.example.com.evil.example"] {
        let reply = client.chat(&[("origin", origin)], &hello);
        is_error(&reply, 403, "not_allowed", &[origin, "server.cors"]);
        assert_eq!(reply.header("access-control-allow-origin"), None);
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        let reply = client.call("OPTIONS", "/v1/chat/completions", &preflight, b"");
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
        // Nor may it do what an operator does.
        let reply = client.post("/admin/reload", &[("origin", origin)], "{}");
        is_error(&reply, 403, "not_allowed", &[origin]);
        still_serves(&mut client, &[]);
    }
    let listed = ("origin", "https://app.example.com");
    let preflight =
        [listed, ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    let reply = client.call("OPTIONS", "/v1/chat/completions", &preflight, b"");
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some(listed.1));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("authorization"));
    let reply = client.chat(&[listed], &hello);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(listed.1)));
    // An error must be readable for the page as well.
    let reply = client.chat(&[listed], "{");
    is_error(&reply, 400, "invalid_request", &[]);
    assert_eq!(reply.header("access-control-allow-origin"), Some(listed.1));
    // The gateway's own page, by the address that it really listens on.
    let own = gateway.url();
    assert_eq!(client.chat(&[("origin", &own)], &hello).status, 200);
}

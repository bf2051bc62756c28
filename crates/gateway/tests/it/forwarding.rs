//! What reaches a provider, and what comes back: the same bytes, but for what Waypost must change.

use crate::harness::{Client, Gateway, ask, ask_stream, chain, chat_request, gateway};
use crate::upstream::{Script, Upstream, completion};

const RICH: &str = r#"{ "model" : "a","n":2,  "logprobs":true,"top_logprobs": 3,
 "messages":[{"role":"user","content":[{"type":"text","text":"caf\u00e9 \ud83d\ude00 é"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}}]}],
 "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"x":{"type":"number"}}}}}],
 "response_format": {"type":"json_schema","json_schema":{"name":"s","strict":true,"schema":{"type":"object"}}},
 "temperature":0.70,"seed":12345678901234567890,"x_unknown":{"deep":[1,2.50,null,{"waypost":1,"model":"inner"}]},"parallel_tool_calls":false
 ,"waypost":{"tags":{"k":"v"}} }"#;

#[tokio::test]
async fn every_field_arrives_byte_for_byte_but_for_the_model_and_our_own_member() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.send(&[], RICH).await;
    assert_eq!(reply.said(), "hello");
    let wanted = RICH.replace(r#""model" : "a""#, r#""model" : "up-a""#);
    let wanted = wanted.replace(r#","waypost":{"tags":{"k":"v"}}"#, "");
    let got = upstream.only().text();
    let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join("");
    assert_eq!(squeeze(&got), squeeze(&wanted));
    // Beyond those two places not even white space moves.
    let inner = &wanted[wanted.find(r#""n":2"#).unwrap()..wanted.find("false").unwrap()];
    assert!(got.contains(inner), "{got}");
}

#[tokio::test]
async fn a_request_that_needs_no_change_is_forwarded_as_the_same_bytes() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        "providers: {{ p: {{ dialect: openai, base_url: '{url}' }} }}\nmodels: {{ same: {{ endpoints: [{{ provider: p }}] }} }}"
    ));
    let body = "{\"messages\" :[ {\"role\":\"user\",\"content\":\"x\"}],\n\t\"model\":\"same\" , \"n\":1}";
    gateway.send(&[], body).await;
    assert_eq!(upstream.only().text(), body);
}

#[tokio::test]
async fn only_the_providers_own_headers_reach_it() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        "providers: {{ p: {{ dialect: openai, base_url: '{url}', api_key: sk-provider, headers: {{ x-team: blue }} }} }}\n\
         models: {{ a: {{ endpoints: [{{ provider: p }}] }} }}\n\
         keys: [{{ id: k, secret: sk-client-secret }}]"
    ));
    let headers = [
        ("authorization", "Bearer sk-client-secret"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=1"),
        ("x-api-key", "sk-client-secret"),
        ("openai-organization", "org-of-the-client"),
        ("x-waypost-tags", "k=v"),
        ("x-waypost-session", "s1"),
        ("user-agent", "client/1"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    let reply = gateway.send(&headers, ask("a").to_string()).await;
    assert_eq!(reply.said(), "hello");
    let got = upstream.only();
    assert_eq!(got.line, "POST /v1/chat/completions HTTP/1.1");
    let mut names: Vec<String> = got.headers.iter().map(|(n, _)| n.to_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["authorization", "content-length", "content-type", "host", "user-agent", "x-team"]);
    assert_eq!(got.header("authorization"), Some("Bearer sk-provider"));
    assert_eq!(got.header("host"), upstream.url().strip_prefix("http://").and_then(|u| u.strip_suffix("/v1")));
    assert!(!format!("{:?}{}", got.headers, got.text()).contains("client"), "{got:?}");
}

#[tokio::test]
async fn a_whole_answer_comes_back_byte_for_byte() {
    let odd = completion("hi").replace(r#""object""#, "\"x_provider\" : [ 1.0,\t2e3 ],\n \"object\"");
    let upstream = Upstream::with([Script::json(200, &odd), Script::json(200, &odd)]).await;
    let gateway = gateway(&[&upstream]);
    for _ in 0..2 {
        let reply = gateway.post(&ask("a")).await;
        assert_eq!(reply.text(), odd);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("content-length"), Some(odd.len().to_string().as_str()));
        assert_eq!((reply.model(), reply.header("x-waypost-provider")), ("a", Some("pa")));
        assert_eq!((reply.header("x-waypost-level"), reply.attempts()), (Some("pin"), 1));
    }
}

#[tokio::test]
async fn a_providers_headers_do_not_leak_downstream() {
    let headers = [("content-type", "application/json"), ("set-cookie", "a=b"), ("openai-organization", "acme")];
    let upstream = Upstream::always(Script::body(200, &headers, completion("hi"))).await;
    let reply = gateway(&[&upstream]).post(&ask("a")).await;
    assert_eq!(reply.said(), "hi");
    assert_eq!((reply.header("set-cookie"), reply.header("openai-organization")), (None, None));
}

#[tokio::test]
async fn a_stream_is_asked_for_usage_that_the_client_then_does_not_see() {
    let upstream = Upstream::always(Script::streams(&["hel", "lo"])).await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(upstream.only().json()["stream_options"]["include_usage"], true);
    assert_eq!((reply.streamed(), reply.events().last()), ("hello".into(), Some(&"[DONE]")));
    assert!(!reply.text().contains("usage"), "{}", reply.text());
    let record = gateway.record(&reply.id()).await;
    let attempt = &record.attempts[0];
    assert_eq!((attempt.input_tokens, attempt.output_tokens, attempt.estimated), (100, 20, false));
}

#[tokio::test]
async fn a_client_that_asks_for_usage_sees_it() {
    let upstream = Upstream::always(Script::streams(&["hello"])).await;
    let gateway = gateway(&[&upstream]);
    let mut body = ask_stream("a");
    body["stream_options"] = serde_json::json!({"include_usage": true, "include_obfuscation": false});
    let reply = gateway.open(&body).await.whole().await;
    assert_eq!(upstream.only().json()["stream_options"], body["stream_options"]);
    assert!(reply.text().contains(r#""prompt_tokens":100"#), "{}", reply.text());
}

#[tokio::test]
async fn a_client_that_refuses_usage_does_not_see_what_is_asked_for_all_the_same() {
    let upstream = Upstream::always(Script::streams(&["hello"])).await;
    let gateway = gateway(&[&upstream]);
    for options in [r#"{"include_usage":false}"#, r#"{"include_obfuscation":false}"#, "{}", "null"] {
        let body = format!(
            r#"{{"model":"a","stream":true,"stream_options":{options},"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let client = Client::connect(gateway.address()).await;
        let reply = client.open(chat_request(&[], body)).await.whole().await;
        assert!(!reply.text().contains("prompt_tokens"), "{options}: {}", reply.text());
        let sent = upstream.requests().pop().unwrap().json();
        assert_eq!(sent["stream_options"]["include_usage"], true, "{options}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_know_stream_options_is_not_sent_them() {
    let upstream = Upstream::always(
        Script::events().event(&crate::upstream::delta("hello")).event(crate::upstream::STOP).done().end(),
    )
    .await;
    let yaml = chain(&[&upstream], "").replace("dialect: openai", "dialect: openai, stream_usage: false");
    let gateway = Gateway::start(&yaml);
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(reply.streamed(), "hello");
    assert!(upstream.only().json().get("stream_options").is_none());
    let record = gateway.record(&reply.id()).await;
    let attempt = &record.attempts[0];
    assert!(attempt.estimated && attempt.input_tokens > 0 && attempt.output_tokens > 0, "{attempt:?}");
}

#[tokio::test]
async fn a_request_that_does_not_stream_has_no_stream_options() {
    let upstream = Upstream::start().await;
    gateway(&[&upstream]).post(&ask("a")).await;
    assert!(upstream.only().json().get("stream_options").is_none());
}

//! The calls beside chat: embeddings, and the count of tokens.

use super::wire::{ask, chain, post};
use crate::harness::Gateway;
use crate::upstream::{Door, Script, Upstream};
use serde_json::json;

#[tokio::test]
async fn embeddings_pass_to_openai_as_bytes() {
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"model":"up","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let upstream = Upstream::always(Script::json(200, answer)).await;
    let gateway = Gateway::start(&chain(&[("openai", &upstream)], ""));
    let body = json!({"model": "a", "input": ["one", "two"], "dimensions": 2, "waypost": {"tags": {"k": "v"}}});
    let reply = post(&gateway, "/v1/embeddings", &[], &body).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, answer));
    assert_eq!(reply.header("x-waypost-cost-usd"), Some("0.000003"));
    let got = upstream.only();
    assert_eq!(got.line, "POST /v1/embeddings HTTP/1.1");
    assert_eq!(got.text(), r#"{"model":"up-a","input":["one","two"],"dimensions":2}"#);
}

#[tokio::test]
async fn embeddings_come_from_gemini_as_numbers_or_base64() {
    let answer = r#"{"embeddings":[{"values":[0.5,-0.25]},{"values":[1.0,2.0]}]}"#;
    let upstream = Upstream::always(Script::json(200, answer)).await;
    let gateway = Gateway::start(&chain(&[("gemini", &upstream)], ""));
    let mut body = json!({"model": "a", "input": ["one", "two"], "dimensions": 2});
    let reply = post(&gateway, "/v1/embeddings", &[], &body).await.json();
    assert_eq!(reply["data"][1]["embedding"], json!([1.0, 2.0]), "{reply}");
    assert_eq!(upstream.only().line, "POST /v1beta/models/up-a:batchEmbedContents HTTP/1.1");
    body["encoding_format"] = "base64".into();
    let reply = post(&gateway, "/v1/embeddings", &[], &body).await.json();
    assert_eq!(reply["data"][0]["embedding"], "AAAAPwAAgL4=", "{reply}");
}

#[tokio::test]
async fn embeddings_that_a_provider_has_none_of_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let reply = post(&gateway, "/v1/embeddings", &[], &json!({"model": "a", "input": "x"})).await;
    assert_eq!(reply.code(), (400, "invalid_request".into()), "{}", reply.text());
    let reply = post(&gateway, "/v1/embeddings", &[], &json!({"model": "a"})).await;
    assert_eq!(reply.code(), (400, "invalid_request".into()));
    assert!(reply.text().contains("input"), "{}", reply.text());
}

/// A provider answers 403 or 404 to a chat model asked for embeddings, which would open the model's breaker for everybody.
#[tokio::test]
async fn models_are_only_asked_for_what_they_are_called_for() {
    let upstream = Upstream::always(Script::says("an answer")).await;
    let gateway = Gateway::start(&format!(
        "providers: {{ p: {{ dialect: openai, base_url: '{}' }} }}\nmodels: {{ gpt-4o-mini: {{ endpoints: [{{ provider: p }}] }}, \
         text-embedding-3-small: {{ endpoints: [{{ provider: p }}] }} }}\nroutes: {{ r: {{ strategy: cost }} }}\n",
        upstream.url()
    ));
    let embed = |model: &str| json!({"model": model, "input": "one"});
    for (path, body) in [
        ("/v1/embeddings", embed("gpt-4o-mini")),
        ("/v1/chat/completions", ask("openai", "text-embedding-3-small", false)),
    ] {
        let reply = post(&gateway, path, &[], &body).await;
        assert_eq!(reply.code(), (400, "constraint_violated".into()), "{}", reply.text());
        assert!(reply.text().contains("embeddings"), "{}", reply.text());
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(post(&gateway, "openai", &[], &ask("openai", "route/r", false)).await.model(), "gpt-4o-mini");
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}]}"#;
    upstream.then(Script::json(200, answer));
    let reply = post(&gateway, "/v1/embeddings", &[], &embed("route/r")).await;
    assert_eq!((reply.text(), reply.model()), (answer, "text-embedding-3-small"));
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_where_it_can() {
    let upstream = Upstream::always(Script::json(200, r#"{"input_tokens":77}"#)).await;
    let gateway = Gateway::start(&chain(&[("anthropic", &upstream)], ""));
    let mut body = ask("anthropic", "a", false);
    body.as_object_mut().unwrap().remove("max_tokens");
    let reply = post(&gateway, "/v1/messages/count_tokens", &[("anthropic-version", "2023-06-01")], &body).await;
    assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"input_tokens": 77})), "{}", reply.text());
    assert_eq!(upstream.only().line, "POST /v1/messages/count_tokens HTTP/1.1");
    assert_eq!(gateway.records().await.len(), 0, "a count is no request of a model");
}

#[tokio::test]
async fn tokens_are_counted_here_where_the_provider_cannot() {
    let failing = Upstream::always(Script::error(500, "no")).await;
    let other = Upstream::start().await;
    let gateway = Gateway::start(&chain(&[("anthropic", &failing), ("openai", &other)], ""));
    for model in ["a", "b"] {
        let reply = post(&gateway, "/v1/messages/count_tokens", &[], &ask("anthropic", model, false)).await;
        let tokens = reply.json()["input_tokens"].as_u64().unwrap_or_default();
        assert!((8..40).contains(&tokens), "{model}: {}", reply.text());
    }
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn counting_tokens_takes_a_place_and_leaves_a_broken_provider_alone() {
    let door = Door::default();
    let upstream = Upstream::with([Script::json(200, r#"{"input_tokens":77}"#).after(&door)]).await;
    upstream.then_always(Script::error(500, "no"));
    let more = "execution: { max_attempts: 1, breaker: { consecutive_failures: 1 } }\n";
    let text = chain(&[("anthropic", &upstream)], "") + more;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 0,", &text);
    let count = async || post(&gateway, "/v1/messages/count_tokens", &[], &ask("anthropic", "a", false)).await;
    let (first, second) = tokio::join!(count(), async {
        upstream.until("the first count", |s| s.requests.len() == 1).await;
        let second = count().await;
        door.open();
        second
    });
    assert_eq!((first.json(), second.status.as_u16()), (json!({"input_tokens": 77}), 503), "{}", second.text());
    assert_eq!(post(&gateway, "anthropic", &[], &ask("anthropic", "a", false)).await.status, 502);
    count().await;
    assert_eq!(upstream.count(), 2, "its breaker is open: the count is our own");
}

#[tokio::test]
async fn models_are_listed_in_the_clients_form() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&chain(&[("openai", &upstream)], ""));
    let get = |path: &'static str, anthropic: bool| {
        let address = gateway.address();
        async move {
            let mut request = http::Request::get(path).header("host", "gateway");
            if anthropic {
                request = request.header("anthropic-version", "2023-06-01");
            }
            let request = request.body(Default::default()).expect("a request");
            crate::harness::Client::connect(address).await.open(request).await.whole().await.json()
        }
    };
    let page = get("/v1/models", true).await;
    assert_eq!(
        (&page["data"][0]["type"], &page["data"][0]["id"], &page["has_more"]),
        (&json!("model"), &json!("a"), &json!(false))
    );
    assert_eq!(page["first_id"], "a");
    assert_eq!(get("/v1/models/a", true).await["display_name"], "a");
    assert_eq!(get("/v1/models", false).await["object"], "list");
}

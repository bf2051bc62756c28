//! What providers of each dialect answer, as small as it gets, and what clients of each dialect ask and get.

use crate::harness::{Client, Gateway, Reply};
use crate::upstream::{Script, Upstream};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// The dialects that clients speak, with their paths.
pub(super) const CLIENTS: [(&str, &str); 3] =
    [("openai", "/v1/chat/completions"), ("responses", "/v1/responses"), ("anthropic", "/v1/messages")];

/// The dialects that providers speak over SSE and JSON.
pub(super) const PROVIDERS: [&str; 4] = ["openai", "responses", "anthropic", "gemini"];

/// A request of each client's dialect.
pub(super) fn ask(client: &str, model: &str, stream: bool) -> Value {
    let mut body = match client {
        "openai" => {
            json!({"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]})
        }
        "responses" => json!({"model": model, "instructions": "Be brief.", "input": "Say hello."}),
        "anthropic" => {
            json!({"model": model, "max_tokens": 50, "system": "Be brief.", "messages": [{"role": "user", "content": "Say hello."}]})
        }
        other => panic!("{other}"),
    };
    if stream {
        body["stream"] = true.into();
    }
    body
}

/// Posts to a client's path.
pub(super) async fn post(gateway: &Gateway, client: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let path = CLIENTS.iter().find(|(c, _)| *c == client).map_or(client, |(_, path)| path);
    let mut request = Request::builder().method(Method::POST).uri(path).header("host", "gateway");
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body.to_string())).expect("a request");
    Client::connect(gateway.address()).await.open(request).await.whole().await
}

/// What a whole answer says to its client.
pub(super) fn said(client: &str, reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{client}: {}", reply.text());
    let body = reply.json();
    let text = match client {
        "openai" => &body["choices"][0]["message"]["content"],
        "responses" => {
            let message = body["output"].as_array().and_then(|o| o.iter().find(|i| i["type"] == "message"));
            &message.expect("a message")["content"][0]["text"]
        }
        _ => &body["content"][0]["text"],
    };
    text.as_str().unwrap_or_else(|| panic!("{client}: {body}")).to_owned()
}

/// Every event of a stream, as JSON.
pub(super) fn events(reply: &Reply) -> Vec<Value> {
    let lines = reply.text().lines().filter_map(|l| l.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The text of a stream.
pub(super) fn streamed(client: &str, reply: &Reply) -> String {
    let delta = |e: &Value| {
        let text = match client {
            "openai" => e["choices"][0]["delta"]["content"].as_str(),
            "responses" => e["delta"].as_str().filter(|_| e["type"] == "response.output_text.delta"),
            _ => e["delta"]["text"].as_str(),
        };
        text.map(str::to_owned)
    };
    events(reply).iter().filter_map(delta).collect()
}

/// Whether a stream came to its dialect's own end.
pub(super) fn ended(client: &str, reply: &Reply) -> bool {
    let marker = match client {
        "openai" => "data: [DONE]",
        "responses" => "event: response.completed",
        _ => "event: message_stop",
    };
    reply.text().contains(marker)
}

/// Input and output tokens that a whole answer reports.
pub(super) fn usage(client: &str, reply: &Reply) -> (u64, u64) {
    let usage = &reply.json()["usage"];
    let (input, output) =
        if client == "openai" { ("prompt_tokens", "completion_tokens") } else { ("input_tokens", "output_tokens") };
    (usage[input].as_u64().unwrap_or(u64::MAX), usage[output].as_u64().unwrap_or(u64::MAX))
}

/// A whole answer of a provider; 100 tokens in, 20 out.
pub(super) fn answer(provider: &str, text: &str) -> Value {
    match provider {
        "openai" => {
            json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}})
        }
        "responses" => {
            json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "up", "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": text, "annotations": []}]}], "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}})
        }
        "anthropic" => {
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 100, "output_tokens": 20}})
        }
        "gemini" => {
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}, "modelVersion": "up", "responseId": "r1"})
        }
        other => panic!("{other}"),
    }
}

/// The events of a provider's stream that says each of `parts`.
pub(super) fn stream(provider: &str, parts: &[&str]) -> Vec<String> {
    let data = |v: Value| format!("data: {v}\n\n");
    let named = |v: Value| format!("event: {}\ndata: {v}\n\n", v["type"].as_str().expect("a type"));
    match provider {
        "openai" => {
            let chunk = |delta: Value, finish: Value| {
                data(
                    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
                )
            };
            let mut all = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
            all.extend(parts.iter().map(|p| chunk(json!({"content": p}), Value::Null)));
            all.push(chunk(json!({}), json!("stop")));
            all.push(data(json!({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}})));
            all.push("data: [DONE]\n\n".to_owned());
            all
        }
        "responses" => {
            let whole = answer("responses", &parts.concat());
            let item = whole["output"][0].clone();
            let mut all = vec![
                json!({"type": "response.created", "response": {"id": "resp_1", "model": "up", "created_at": 1, "status": "in_progress", "output": []}}),
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []}}),
                json!({"type": "response.content_part.added", "output_index": 0, "content_index": 0, "item_id": "msg_1", "part": {"type": "output_text", "text": "", "annotations": []}}),
            ];
            all.extend(parts.iter().map(|p| json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": p})));
            all.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
            all.push(json!({"type": "response.completed", "response": whole}));
            all.into_iter().map(named).collect()
        }
        "anthropic" => {
            let mut all = vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 100, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ];
            all.extend(parts.iter().map(
                |p| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}}),
            ));
            all.push(json!({"type": "content_block_stop", "index": 0}));
            all.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 20}}));
            all.push(json!({"type": "message_stop"}));
            all.into_iter().map(named).collect()
        }
        "gemini" => {
            let mut all: Vec<Value> = parts.iter().map(|p| json!({"candidates": [{"content": {"role": "model", "parts": [{"text": p}]}, "index": 0}], "responseId": "r1", "modelVersion": "up"})).collect();
            all.push(json!({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20}}));
            all.into_iter().map(data).collect()
        }
        other => panic!("{other}"),
    }
}

/// These events, to the body's clean end.
pub(super) fn script(events: &[String]) -> Script {
    events.iter().fold(Script::events(), |s, e| s.chunk(e)).end()
}

/// Models `a`, `b`, … one at each upstream of a dialect, and the route `r` over them in this order.
pub(super) fn chain(upstreams: &[(&str, &Upstream)], more: &str) -> String {
    let (mut providers, mut models, mut names) = (String::new(), String::new(), Vec::new());
    for (i, (dialect, upstream)) in upstreams.iter().enumerate() {
        let name = char::from(b'a' + i as u8).to_string();
        let url = match *dialect {
            "anthropic" => upstream.url().trim_end_matches("/v1").to_owned(),
            "gemini" => upstream.url().replace("/v1", "/v1beta"),
            _ => upstream.url(),
        };
        providers +=
            &format!("  p{name}: {{ dialect: {dialect}, base_url: '{url}', api_key: 'sk-provider-{name}' }}\n");
        models += &format!(
            "  {name}: {{ endpoints: [{{ provider: p{name}, name: up-{name} }}], price: {{ input: {}, output: 1 }} }}\n",
            i + 1
        );
        names.push(name);
    }
    format!(
        "providers:\n{providers}models:\n{models}routes:\n  r: {{ strategy: cost, candidates: [{}]{more} }}\n",
        names.join(", ")
    )
}

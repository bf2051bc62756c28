use super::*;
use crate::chat::{
    Choice, Content, Finish, FinishReason, Media, MediaKind, Part, Response, Signature, Source, ToolCall,
};
use crate::dialect::BadCompletion;
use crate::dialect::openai::{decode_response, encode_response};
use crate::registry::{Dialect, Usage};
use serde_json::json;

const PLAIN: [(&str, &[u8]); 19] = fixtures!("answers", ".json":
    "plain" "length" "tool" "tools_parallel" "tool_custom" "refusal" "filtered" "cached" "reasoning"
    "reasoning_encrypted" "reasoning_redacted" "thought_signature" "citations" "logprobs" "image" "stop_sequence"
    "two_choices" "empty" "unknown_fields");

const OTHERS: [(&str, &[u8]); 4] =
    fixtures!("answers", ".json": "tool_forced_stop" "tool_bare" "function_call_old" "mistral_thinking");

fn round(name: &str, body: &[u8]) -> Value {
    let response = decode_response(body).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    json(&encode_response(&response, &context()))
}

#[test]
fn answers_come_back_as_they_were() {
    for (name, body) in PLAIN {
        assert_eq!(round(name, body), json(body), "{name}");
    }
}

#[test]
fn what_is_normalised_is_known() {
    let call = |id: &str, arguments: &str| json!([{"id": id, "type": "function", "function": {"name": "clock", "arguments": arguments}}]);
    let message = "/choices/0/message";
    let cases: [(&str, Vec<(&str, Value)>); 4] = [
        ("tool_forced_stop", vec![("/choices/0/finish_reason", json!("tool_calls"))]),
        (
            "tool_bare",
            vec![
                ("/choices/0/message/tool_calls", call("call_chatcmpl-C7x_0_0", r#"{"town":"Rome"}"#)),
                ("/choices/0/message/content", json!([null])),
            ],
        ),
        (
            "function_call_old",
            vec![
                ("/choices/0/message/function_call", Value::Null),
                ("/choices/0/message/tool_calls", call("call_chatcmpl-C7x_0", r#"{"town":"Pune"}"#)),
                ("/choices/0/finish_reason", json!("tool_calls")),
            ],
        ),
        (
            "mistral_thinking",
            vec![
                ("/choices/0/message/content", json!("It is 4.")),
                ("/choices/0/message/reasoning_content", json!("Let me see.")),
                (
                    "/choices/0/message/reasoning_details",
                    json!([{"type": "reasoning.text", "text": "Let me see.", "index": 0}]),
                ),
            ],
        ),
    ];
    for (name, patches) in cases {
        let body = OTHERS.iter().find(|(n, _)| *n == name).unwrap().1;
        let mut want = json(body);
        for (pointer, value) in patches {
            patch(&mut want, pointer, value);
        }
        // Null, where a patch cannot say so.
        if want.pointer(message).unwrap()["content"].is_array() {
            want.pointer_mut(message).unwrap()["content"] = Value::Null;
        }
        assert_eq!(round(name, body), want, "{name}");
    }
}

#[test]
fn bad_answers_are_told_apart() {
    let error = |body: &str| decode_response(body.as_bytes()).expect_err(body);
    assert!(matches!(error("<html>"), BadCompletion::Json(_)));
    assert!(matches!(error(""), BadCompletion::Json(_)));
    assert!(matches!(error(r#"{"choices":[{"#), BadCompletion::Json(_)));
    assert!(matches!(error(r#"{"error":{"message":"no"}}"#), BadCompletion::Error(e) if e.message == "no"));
    assert!(matches!(error(r#"{"object":"error","message":"no"}"#), BadCompletion::Error(_)));
    assert_eq!(error("{}"), BadCompletion::NoChoices);
    assert_eq!(error(r#"{"choices":[]}"#), BadCompletion::NoChoices);
    for (message, field) in [
        (r#"{"content":5}"#, "choices[0].message.content"),
        (r#"{"tool_calls":[{"id":"c"}]}"#, "choices[0].message.tool_calls[0].function"),
        (
            r#"{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":"}}]}"#,
            "choices[0].message.tool_calls[0].function.arguments",
        ),
        (
            r#"{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"[1]"}}]}"#,
            "choices[0].message.tool_calls[0].function.arguments",
        ),
    ] {
        let BadCompletion::Malformed(malformed) = error(&format!(r#"{{"choices":[{{"message":{message}}}]}}"#)) else {
            panic!("{message}")
        };
        assert_eq!(malformed.field, field);
    }
}

#[test]
fn an_answer_of_another_dialect_is_dressed() {
    let mut signed: Part = Content::Reasoning { text: "Hm.".into(), summary: false, redacted: false }.into();
    signed.signature = Some(Signature { dialect: Dialect::Bedrock, value: "B".into(), id: None });
    let mut call: Part =
        Content::ToolCall(ToolCall { id: "t1".into(), name: "f".into(), arguments: "{}".into(), custom: false }).into();
    call.signature = Some(Signature { dialect: Dialect::Gemini, value: "G".into(), id: None });
    let sound = Source::Data { mime: "audio/wav".into(), base64: "UklG".into() };
    let audio = Content::Media(Media { kind: MediaKind::Audio, source: sound, name: None, detail: None }).into();
    let native = Content::Native(json!({"type": "server_tool_use"})).into();
    let choice = Choice {
        parts: vec![signed, native, call, audio],
        finish: Some(Finish { reason: FinishReason::ToolCalls, stop_sequence: Some("x".into()) }),
        extras: json!({"secret": 1}).as_object().unwrap().clone(),
        ..Choice::default()
    };
    let response = Response {
        origin: Dialect::Bedrock,
        id: "msg_1".into(),
        model: String::new(),
        created: None,
        choices: vec![choice],
        usage: Some(Usage { input_tokens: 5, output_tokens: 0, cache_write_tokens: 2, ..Usage::default() }),
        extras: json!({"secret": 1}).as_object().unwrap().clone(),
    };
    let want = json!({
        "id": "chatcmpl-0af7", "object": "chat.completion", "created": 1_780_000_000, "model": "m",
        "choices": [{"index": 0, "message": {
            "role": "assistant", "content": null, "refusal": null, "reasoning_content": "Hm.",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Hm.", "signature": "B", "format": "waypost-bedrock-v1", "index": 0}],
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "G"}}}],
            "audio": {"id": "audio_0af7", "data": "UklG", "expires_at": 1_780_000_000, "transcript": ""},
        }, "logprobs": null, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0}},
    });
    assert_eq!(json(&encode_response(&response, &context())), want);
    let again = decode_response(&encode_response(&response, &context())).unwrap();
    assert_eq!(again.choices[0].parts[0], response.choices[0].parts[0]);
    assert_eq!(again.usage, response.usage);
}

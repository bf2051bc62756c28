//! Whole answers: what is read, what becomes of answers of other dialects.

use serde_json::json;

use super::*;
use crate::chat::{Choice, Citation, Finish, FinishReason, Media, MediaKind, Response, Signature, Source, ToolCall};
use crate::dialect::BadCompletion;
use crate::registry::Usage;

fn answer(name: &str) -> Response {
    decode_response(fixture("answers", name).as_bytes()).unwrap()
}

fn foreign(parts: Vec<Part>, finish: Option<Finish>) -> Response {
    Response {
        origin: Dialect::OpenAi,
        id: String::new(),
        model: String::new(),
        created: None,
        choices: vec![Choice { parts, finish, ..Choice::default() }],
        usage: None,
        extras: Default::default(),
    }
}

fn call(arguments: &str) -> Content {
    Content::ToolCall(ToolCall { id: "c".into(), name: "f".into(), arguments: arguments.into(), custom: false })
}

#[test]
fn usage_has_one_convention() {
    let cases = [("plain", (12, 7, 0, 0, 0)), ("cached", (2112, 7, 2000, 100, 0)), ("thinking", (12, 90, 0, 0, 80))];
    for (name, (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens)) in cases {
        let want = Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens };
        assert_eq!(answer(name).usage, Some(want), "{name}");
    }
    let bare = decode_response(br#"{"type":"message","content":[],"usage":{}}"#).unwrap();
    assert_eq!(bare.usage, None);
    let zero = decode_response(br#"{"content":[],"usage":{"input_tokens":0,"output_tokens":0}}"#).unwrap();
    assert_eq!(zero.usage, Some(Usage::default()));
}

#[test]
fn reasons_to_stop_are_mapped() {
    let cases = [
        ("plain", FinishReason::Stop, None),
        ("stop_sequence", FinishReason::Stop, Some("END")),
        ("max_tokens", FinishReason::Length, None),
        ("window", FinishReason::Length, None),
        ("tool", FinishReason::ToolCalls, None),
        ("refusal", FinishReason::ContentFilter, None),
        ("pause", FinishReason::Other, None),
        ("newer", FinishReason::Other, None),
    ];
    for (name, reason, sequence) in cases {
        let finish = answer(name).choices.swap_remove(0).finish;
        assert_eq!(finish, Some(Finish { reason, stop_sequence: sequence.map(str::to_owned) }), "{name}");
    }
    let out = |parts, finish| value(&encode_response(&foreign(parts, finish), &context()))["stop_reason"].clone();
    let text = || vec![Part::text("x")];
    let calls = || vec![call("{}").into()];
    let refusal = || vec![Content::Refusal("no".into()).into()];
    let cases = [
        (text(), Some(FinishReason::Stop), "end_turn"),
        (text(), Some(FinishReason::Length), "max_tokens"),
        (text(), Some(FinishReason::ContentFilter), "refusal"),
        (text(), Some(FinishReason::Other), "end_turn"),
        (text(), None, "end_turn"),
        (calls(), Some(FinishReason::ToolCalls), "tool_use"),
        (calls(), Some(FinishReason::Stop), "tool_use"),
        (calls(), Some(FinishReason::Length), "max_tokens"),
        (refusal(), Some(FinishReason::Stop), "refusal"),
    ];
    for (parts, finish, want) in cases {
        assert_eq!(out(parts, finish.map(Into::into)), want, "{finish:?}");
    }
}

#[test]
fn answers_of_other_dialects_take_this_apis_form() {
    let signed = |content: Content, dialect| Part {
        signature: Some(Signature { dialect, value: "S".into(), id: None }),
        ..content.into()
    };
    let media = |source| Content::Media(Media { kind: MediaKind::Image, source, name: None, detail: None });
    let reasoning = |text: &str, redacted| Content::Reasoning { text: text.into(), summary: false, redacted };
    let citation = Citation {
        origin: Dialect::Responses,
        url: Some("https://x.test".into()),
        title: Some("X".into()),
        quote: None,
        range: Some((0, 2)),
        native: json!({"type": "url_citation"}),
    };
    let parts = vec![
        signed(reasoning("hm", false), Dialect::Gemini),
        signed(reasoning("", true), Dialect::Responses),
        reasoning("unsigned", false).into(),
        Part::text(""),
        Content::Text { text: "so".into(), citations: vec![citation] }.into(),
        signed(call(r#"{"a": 1.50}"#), Dialect::Gemini),
        call("").into(),
        Content::Native(json!({"type": "web_search_call"})).into(),
        signed(Part::text("end").content, Dialect::Gemini),
        media(Source::Url { url: "https://x.test/a.png".into(), mime: None }).into(),
        media(Source::Data { mime: "image/png".into(), base64: "AAAA".into() }).into(),
    ];
    let mut response = foreign(parts, Some(FinishReason::ToolCalls.into()));
    response.usage = Some(Usage {
        input_tokens: 100,
        output_tokens: 20,
        cache_read_tokens: 60,
        cache_write_tokens: 10,
        reasoning_tokens: 5,
    });
    let body = value(&encode_response(&response, &context()));
    assert_eq!(
        body,
        json!({
            "id": format!("msg_{}", "0123".repeat(8)),
            "type": "message",
            "role": "assistant",
            "model": "asked-for",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "waypost.gemini..S"},
                {"type": "redacted_thinking", "data": "waypost.responses..S"},
                {"type": "thinking", "thinking": "unsigned", "signature": ""},
                {"type": "text", "text": "so", "citations": [{"type": "web_search_result_location", "cited_text": "", "url": "https://x.test", "title": "X", "encrypted_index": ""}]},
                {"type": "redacted_thinking", "data": "waypost.gemini.call.S"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1.5}},
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
                {"type": "text", "text": "end"},
                {"type": "thinking", "thinking": "", "signature": "waypost.gemini..S"},
                {"type": "text", "text": "https://x.test/a.png"},
                {"type": "text", "text": "[image/png: the model made this, and answers of the Messages API cannot hold it]"},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": null,
            "usage": {
                "input_tokens": 30,
                "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 60,
                "output_tokens": 20,
                "output_tokens_details": {"thinking_tokens": 5},
            },
        })
    );
    // And back in the next request the signatures are where they were.
    let turn = json!({"model": "m", "messages": [{"role": "assistant", "content": body["content"]}]});
    let parts = decode_request(turn.to_string().as_bytes()).unwrap().messages.swap_remove(0).parts;
    assert_eq!(parts[4].signature.as_ref().map(|s| (s.dialect, s.value.as_str())), Some((Dialect::Gemini, "S")));
    assert!(matches!(parts[4].content, Content::ToolCall(_)));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let bad = |body: &str| decode_response(body.as_bytes()).expect_err(body);
    assert!(matches!(bad(&fixture("answers", "error")), BadCompletion::Error(e) if e.message == "Overloaded"));
    assert!(matches!(bad(r#"{"error":{"message":"m"}}"#), BadCompletion::Error(e) if e.message == "m"));
    assert_eq!(bad(r#"{"type":"message","usage":{}}"#), BadCompletion::NoChoices);
    for body in ["", "null", "[]", "<html>", r#"{"content":["#, r#"{"content":[]}x"#] {
        assert!(matches!(bad(body), BadCompletion::Json(_)), "{body}");
    }
    let cases = [
        (r#"{"content":[{"type":"tool_use","id":"c","name":"f","input":"{}"}]}"#, "content[0].input"),
        (r#"{"content":[{"type":"tool_use","id":"c","name":"","input":{}}]}"#, "content[0].name"),
        (r#"{"content":[{"type":"text"}]}"#, "content[0].text"),
        (r#"{"content":[7]}"#, "content[0]"),
        (r#"{"content":"x"}"#, "content"),
        (r#"{"content":[],"stop_reason":1}"#, "stop_reason"),
        (r#"{"content":[],"usage":{"output_tokens":"x"}}"#, "usage.output_tokens"),
    ];
    for (body, field) in cases {
        assert!(matches!(bad(body), BadCompletion::Malformed(m) if m.field == field), "{body}: {:?}", bad(body));
    }
}

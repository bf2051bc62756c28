use super::*;
use crate::chat::{Content, Effort, Format, Role, Signature, Source, Thinking, ToolChoice, ToolKind};
use crate::dialect::openai::{decode_request, encode_request};
use crate::registry::Dialect;
use serde_json::json;

/// Those that come back as they are.
const PLAIN: [(&str, &[u8]); 31] = fixtures!("requests", ".json":
    "plain" "system" "developer" "names" "multi_turn" "tool_result" "tool_result_parts" "parallel_tools" "choice_auto"
    "choice_none" "choice_required" "choice_named" "choice_allowed" "custom_tool" "native_tool" "strict_tool"
    "json_schema" "json_object" "image_url" "image_data" "audio" "document" "file_id" "refusal" "reasoning_effort"
    "reasoning_responses" "logprobs" "stream" "account_fields" "unknown_fields" "video");

/// Those that come back in the normal form.
const OTHERS: [(&str, &[u8]); 7] = fixtures!("requests", ".json":
    "reasoning_signed" "reasoning_plain" "thinking_blocks" "thought_signature" "cache_marks" "functions_old"
    "empty_assistant");

fn other(name: &str) -> &'static [u8] {
    OTHERS.iter().chain(&PLAIN).find(|(n, _)| *n == name).unwrap().1
}

fn round(name: &str, body: &[u8]) -> Value {
    let request = decode_request(body).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(request.orphaned_result(), None, "{name}");
    let encoded = encode_request(&request, &target(ALL)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!((encoded.dropped, encoded.json_tool), (vec![], None), "{name}");
    json(&encoded.body)
}

#[test]
fn requests_come_back_as_they_were() {
    for (name, body) in PLAIN {
        let mut want = json(body);
        // The gateway's own wish, and one way to write a list of one.
        if name == "developer" || name == "tool_result_parts" {
            assert!(round(name, body).to_string().contains(r#"[{"type":"text""#), "{name}");
        }
        if let Some(stop) = want.get_mut("stop").filter(|s| s.is_string()) {
            *stop = json!([stop.clone()]);
        }
        assert_eq!(round(name, body), want, "{name}");
    }
}

#[test]
fn what_is_normalised_is_known() {
    let calls = json!([{"id": "call_function_1", "type": "function", "function": {"name": "clock", "arguments": "{\"town\":\"Pune\"}"}}]);
    let entries = json!(json(other("reasoning_signed"))["messages"][1]["reasoning_details"]);
    let unsigned = json!([{"type": "reasoning.text", "text": "I should ask the tool.", "index": 0}]);
    let tools = json!([{"type": "function", "function": json(other("functions_old"))["functions"][0]}]);
    let cases: [(&str, Vec<(&str, Value)>); 7] = [
        // Where signed entries are taken, they hold the text.
        ("reasoning_signed", vec![("/messages/1/reasoning_content", Value::Null)]),
        (
            "reasoning_plain",
            vec![("/messages/1/reasoning_content", Value::Null), ("/messages/1/reasoning_details", unsigned)],
        ),
        (
            "thinking_blocks",
            vec![
                ("/messages/1/reasoning_content", Value::Null),
                ("/messages/1/thinking_blocks", Value::Null),
                ("/messages/1/reasoning_details", entries),
                ("/thinking", Value::Null),
                ("/max_tokens", Value::Null),
                ("/max_completion_tokens", json!(4096)),
                ("/reasoning_effort", json!("low")),
            ],
        ),
        ("thought_signature", vec![]),
        ("cache_marks", vec![]),
        (
            "functions_old",
            vec![
                ("/messages/1", json!({"role": "assistant", "content": null, "tool_calls": calls})),
                ("/messages/2", json!({"role": "tool", "tool_call_id": "call_function_1", "content": "22:00"})),
                ("/functions", Value::Null),
                ("/function_call", Value::Null),
                ("/tools", tools),
                ("/tool_choice", json!({"type": "function", "function": {"name": "clock"}})),
            ],
        ),
        ("empty_assistant", vec![]),
    ];
    for (name, patches) in cases {
        let mut want = json(other(name));
        for (pointer, value) in patches {
            patch(&mut want, pointer, value);
        }
        assert_eq!(round(name, other(name)), want, "{name}");
    }
}

#[test]
fn the_canonical_form_is_right() {
    let request = decode_request(other("thought_signature")).unwrap();
    let parts = &request.messages[1].parts;
    let google = |value: &str| Some(Signature { dialect: Dialect::Gemini, value: value.into(), id: None });
    assert_eq!(parts[0].signature, google("CiQBText"));
    assert_eq!((parts[1].signature.clone(), parts[2].signature.clone()), (google("CiQBVKhc"), None));
    assert_eq!(request.messages[2].role, Role::User);

    let request = decode_request(other("reasoning_responses")).unwrap();
    let part = &request.messages[1].parts[0];
    assert_eq!(part.content, Content::Reasoning { text: "Weighed both.".into(), summary: true, redacted: false });
    let signature = Signature { dialect: Dialect::Responses, value: "gAAAA".into(), id: Some("rs_1".into()) };
    assert_eq!(part.signature, Some(signature));

    let request = decode_request(other("thinking_blocks")).unwrap();
    let signed = Signature { dialect: Dialect::Anthropic, value: "ErUBSig==".into(), id: None };
    assert_eq!(request.messages[1].parts[0].signature, Some(signed));
    assert_eq!(request.messages[1].parts.len(), 3);
    let thinking = Thinking { enabled: Some(true), budget_tokens: Some(2048), ..Thinking::default() };
    assert_eq!((request.reasoning, request.max_output_tokens), (Some(thinking), Some(4096)));

    let request = decode_request(other("image_data")).unwrap();
    let Content::Media(media) = &request.messages[0].parts[0].content else { panic!() };
    assert!(matches!(&media.source, Source::Data { mime, .. } if mime == "image/png"));
    let request = decode_request(other("custom_tool")).unwrap();
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("sql".into())));
    let Content::ToolResult(result) = &request.messages[2].parts[0].content else { panic!() };
    assert!(result.custom && matches!(request.tools[0].kind, ToolKind::Custom { .. }));
    let request = decode_request(other("stream")).unwrap();
    assert!(request.stream && request.include_usage);
    assert_eq!(request.extras["stream_options"], json!({"include_obfuscation": false}));
}

#[test]
fn a_streams_pieces_handed_back_are_one_thought() {
    let body = json!({"model": "m", "messages": [{"role": "assistant", "content": "51", "reasoning_details": [
        {"type": "reasoning.text", "text": "Three ", "index": 0},
        {"type": "reasoning.text", "text": "times.", "index": 0},
        {"type": "reasoning.text", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "G", "id": "c1", "format": "google-gemini-v1", "index": 1},
        {"type": "reasoning.encrypted", "data": "X", "format": "xai-responses-v1", "index": 2},
        {"type": "reasoning.future", "data": "?"},
    ], "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    let parts = &request.messages[0].parts;
    assert_eq!(parts.len(), 4);
    let thought = Content::Reasoning { text: "Three times.".into(), summary: false, redacted: false };
    assert_eq!((&parts[0].content, parts[0].signature.as_ref().unwrap().value.as_str()), (&thought, "S"));
    let own = parts[1].signature.as_ref().unwrap();
    assert_eq!((own.dialect, parts[1].extras["format"].as_str()), (Dialect::OpenAi, Some("xai-responses-v1")));
    // What Gemini signed is a call.
    assert_eq!(parts[3].signature.as_ref().unwrap().dialect, Dialect::Gemini);
}

#[test]
fn entries_that_a_client_put_together_keep_their_text() {
    let body = json!({"model": "m", "messages": [{"role": "assistant", "content": "51", "reasoning_details": [
        {"type": "reasoning.encrypted", "summary": "Weighed.", "data": "E", "id": "rs_1", "format": "openai-responses-v1",
            "index": 0},
        {"type": "reasoning.text", "summary": "Weighed again.", "signature": "G", "format": "google-gemini-v1", "index": 1},
    ]}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    let thoughts: Vec<_> = request.messages[0].parts[..2].iter().map(|p| (&p.content, p.signature.clone())).collect();
    let summary = |text: &str| Content::Reasoning { text: text.into(), summary: true, redacted: false };
    let signed = |dialect, value: &str, id: Option<&str>| {
        Some(Signature { dialect, value: value.into(), id: id.map(str::to_owned) })
    };
    assert_eq!(thoughts[0], (&summary("Weighed."), signed(Dialect::Responses, "E", Some("rs_1"))));
    assert_eq!(thoughts[1], (&summary("Weighed again."), signed(Dialect::Gemini, "G", None)));
}

#[test]
fn bad_requests_are_told_where() {
    let user = |content: Value| json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    let with = |key: &str, value: Value| {
        let mut body = user(json!("x"));
        body[key] = value;
        body
    };
    let image = |url: &str| user(json!([{"type": "image_url", "image_url": {"url": url}}]));
    let cases = [
        (json!([]), "", "must be an object"),
        (json!({"messages": []}), "model", "is required"),
        (json!({"model": "m", "messages": []}), "messages", "at least one"),
        (json!({"model": "m", "messages": {}}), "messages", "must be an array"),
        (json!({"model": "m", "messages": [{"role": "robot", "content": "x"}]}), "messages[0].role", "assistant, tool"),
        (json!({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content", "is required"),
        (json!({"model": "m", "messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id", "required"),
        (
            json!({"model": "m", "messages": [{"role": "function", "name": "f", "content": "x"}]}),
            "messages[0].name",
            "no `function_call` before it",
        ),
        (user(json!(5)), "messages[0].content", "not a number"),
        (user(json!([{"text": "x"}])), "messages[0].content[0].type", "is required"),
        (image("cat.png"), "messages[0].content[0].image_url.url", "https"),
        (image("data:text/plain;base64,QUJD"), "messages[0].content[0].image_url.url", "text/plain"),
        (image("data:image/png;base64,QUJ"), "messages[0].content[0].image_url.url", "not base64"),
        (image("data:image/png;base64,<html>"), "messages[0].content[0].image_url.url", "not base64"),
        (image("data:image/png,QUJD"), "messages[0].content[0].image_url.url", "base64"),
        (
            user(json!([{"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}])),
            "messages[0].content[0].input_audio.data",
            "not base64",
        ),
        (user(json!([{"type": "file", "file": {}}])), "messages[0].content[0].file", "file_data"),
        (with("tools", json!([{"name": "f"}])), "tools[0].type", "is required"),
        (with("tools", json!([{"type": "function"}])), "tools[0].function", "is required"),
        (with("tools", json!([{"type": "function", "function": {"name": ""}}])), "tools[0].function.name", "empty"),
        (with("tool_choice", json!("always")), "tool_choice", "auto, none, required"),
        (with("tool_choice", json!(3)), "tool_choice", "a string or an object"),
        (with("response_format", json!({"type": "xml"})), "response_format.type", "json_schema"),
        (with("reasoning_effort", json!("huge")), "reasoning_effort", "minimal"),
        (with("thinking", json!({"type": "maybe"})), "thinking.type", "enabled"),
        (with("temperature", json!("hot")), "temperature", "must be a number"),
        (with("max_tokens", json!(-1)), "max_tokens", "whole number"),
        (with("seed", json!(1.5)), "seed", "whole number"),
        (with("n", json!(0)), "n", "at least 1"),
        (with("stop", json!([1])), "stop", "strings"),
        (with("top_logprobs", json!(2)), "top_logprobs", "logprobs: true"),
        (with("stream", json!("yes")), "stream", "true or false"),
    ];
    for (body, field, problem) in cases {
        let error = decode_request(body.to_string().as_bytes()).expect_err(&body.to_string());
        assert_eq!(error.field, field, "{body}");
        assert!(error.problem.contains(problem), "{body}: {}", error.problem);
    }
    assert!(decode_request(b"{").unwrap_err().problem.starts_with("not JSON"));
}

#[test]
fn tolerant_readings() {
    let body = json!({"model": "m", "stop": "END", "seed": null, "max_tokens": 5, "max_completion_tokens": 9,
        "reasoning": {"effort": "low", "exclude": true}, "tool_choice": "any", "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "file", "file": {"filename": "a.csv", "file_data": "QUJD"}}], "cache_control": {"type": "ephemeral"}},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "tool", "tool_call_id": "call_function_1_0", "name": "f", "content": "ok"}]});
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    assert_eq!((request.stop.as_slice(), request.max_output_tokens), (["END".to_owned()].as_slice(), Some(9)));
    assert_eq!((request.tool_choice.clone(), request.format.clone()), (Some(ToolChoice::Required), Format::Text));
    let thinking = request.reasoning.clone().unwrap();
    assert_eq!((thinking.effort, thinking.show), (Some(Effort::Low), Some(false)));
    assert!(request.extras.is_empty() && request.messages[0].parts[1].cache.is_some());
    let Content::Media(file) = &request.messages[0].parts[1].content else { panic!() };
    assert!(matches!(&file.source, Source::Data { mime, .. } if mime == "text/csv"));
    let Content::ToolCall(call) = &request.messages[1].parts[0].content else { panic!() };
    assert_eq!((call.arguments.as_str(), request.messages[1].parts.len()), (r#"{"a":1}"#, 1));
    assert_eq!(request.called_tool("call_function_1_0"), Some("f"));
}

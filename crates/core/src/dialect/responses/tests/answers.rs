use super::*;
use crate::chat::{Choice, Citation, Content, Finish, FinishReason, Part, Response, Signature, ToolCall};
use crate::dialect::BadCompletion;
use crate::json::ErrorKind;
use crate::registry::Usage;

pub(super) const FIXTURES: Fixtures = fixtures!("answers", ".json":
    "plain", "reasoning", "reasoning_encrypted_only", "reasoning_raw", "tool_call", "parallel_tools", "custom_tool", "cut",
    "filtered", "cut_in_reasoning", "refusal", "citations", "logprobs", "cached", "json_schema", "picture",
    "two_messages",
);
const FAILED: Fixtures = fixtures!("answers", ".json": "error_failed", "error_in_success");

#[test]
fn every_fixture_reads_and_writes_as_itself() {
    for (name, body) in FIXTURES {
        let response = decode_response(body).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let mut got = value(&encode_response(&response, &context()));
        // These two are not in the API's description of the type.
        for added in ["prompt_cache_key", "safety_identifier", "max_tool_calls"] {
            got.as_object_mut().unwrap().entry(added).or_insert(Value::Null);
        }
        same(&got, &value(body), name);
    }
}

#[test]
fn inspecting_and_reading_agree() {
    for (name, body) in FIXTURES {
        let response = decode_response(body).unwrap();
        let facts = inspect_completion(body).unwrap();
        assert_eq!(facts.usage, response.usage, "{name}");
        assert_eq!(facts.finish, response.choices[0].finish.as_ref().map(|f| f.reason), "{name}");
        let thoughts = |p: &Part| matches!(&p.content, Content::Reasoning { text, .. } if text.is_empty());
        assert_eq!(facts.output, !response.choices[0].parts.iter().all(thoughts), "{name}");
    }
    for (name, body) in FAILED {
        let errors = [decode_response(body).map(drop).unwrap_err(), inspect_completion(body).map(drop).unwrap_err()];
        for error in errors {
            let BadCompletion::Error(error) = error else { panic!("{name}: {error:?}") };
            assert_eq!(error.code.as_deref(), Some("server_error"), "{name}");
        }
    }
}

#[test]
fn answers_are_read_as_they_are_meant() {
    let read = |name: &str| decode_response(FIXTURES.iter().find(|(n, _)| *n == name).unwrap().1).unwrap();
    let finish = |name: &str| read(name).choices[0].finish.clone().unwrap().reason;
    assert_eq!(finish("plain"), FinishReason::Stop);
    assert_eq!(finish("refusal"), FinishReason::Stop);
    assert_eq!(finish("parallel_tools"), FinishReason::ToolCalls);
    assert_eq!(finish("custom_tool"), FinishReason::ToolCalls);
    assert_eq!(finish("cut"), FinishReason::Length);
    assert_eq!(finish("filtered"), FinishReason::ContentFilter);
    let cached = Usage { input_tokens: 4000, output_tokens: 3, cache_read_tokens: 3840, ..Usage::default() };
    assert_eq!(read("cached").usage, Some(cached));
    let logprobs = &read("logprobs").choices[0].logprobs;
    assert_eq!(logprobs.iter().map(|t| (t.token.as_str(), t.top.len())).collect::<Vec<_>>(), [("Yes", 2), ("!", 0)]);
    assert_eq!(logprobs[0].bytes, None);
    let citations = read("citations");
    let Content::Text { citations, .. } = &citations.choices[0].parts[1].content else { panic!() };
    assert_eq!((citations[0].url.as_deref(), citations[0].range), (Some("https://example.com/w"), Some((0, 12))));
    assert_eq!((citations[1].url.as_deref(), citations[1].title.as_deref()), (None, Some("notes.txt")));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    for (body, json) in [("<html></html>", true), ("", true), ("[]", true), (r#"{"output":[}"#, true)] {
        assert!(decode_response(body.as_bytes()).is_err(), "{body}");
        let is_json = matches!(inspect_completion(body.as_bytes()), Err(BadCompletion::Json(_)));
        assert_eq!(is_json, json, "{body}");
    }
    for body in ["{}", r#"{"object":"response","status":"completed"}"#, r#"{"choices":[]}"#] {
        assert_eq!(decode_response(body.as_bytes()), Err(BadCompletion::NoChoices), "{body}");
        assert_eq!(inspect_completion(body.as_bytes()), Err(BadCompletion::NoChoices), "{body}");
    }
    let empty = inspect_completion(br#"{"output":[],"status":"completed"}"#).unwrap();
    assert!(empty.is_empty_answer());
    let pending = inspect_completion(br#"{"output":[],"status":"queued"}"#).unwrap();
    assert!(!pending.is_empty_answer());
    let nameless = br#"{"output":[{"type":"function_call","call_id":"c","name":"","arguments":""}]}"#;
    let Err(BadCompletion::Malformed(error)) = decode_response(nameless) else { panic!() };
    assert_eq!(error.field, "output[0].name");
    let cut = inspect_completion(br#"{"output":[{"type":"message"#).unwrap_err();
    assert!(matches!(cut, BadCompletion::Json(e) if e.kind == ErrorKind::Truncated));
}

fn from(parts: Vec<Part>, finish: FinishReason) -> Response {
    let choice = Choice { parts, finish: Some(Finish::from(finish)), ..Choice::default() };
    Response {
        origin: Dialect::Anthropic,
        id: "msg_01".into(),
        model: "claude".into(),
        created: None,
        choices: vec![choice],
        usage: None,
        extras: serde_json::from_str(r#"{"container":1}"#).unwrap(),
    }
}

#[test]
fn another_dialects_answer_has_the_whole_shape() {
    let signature = |dialect| Signature { dialect, value: "sig".into(), id: None };
    let think = |text: &str, redacted| Part {
        signature: Some(signature(Dialect::Anthropic)),
        ..Content::Reasoning { text: text.into(), summary: false, redacted }.into()
    };
    let citation = Citation {
        origin: Dialect::Anthropic,
        url: Some("https://x.test".into()),
        title: None,
        quote: None,
        range: None,
        native: json!({}),
    };
    let unlinked = Citation { url: None, ..citation.clone() };
    let text = Content::Text { text: "Sí.".into(), citations: vec![citation, unlinked] }.into();
    let call =
        Content::ToolCall(ToolCall { id: "toolu_1".into(), name: "f".into(), arguments: "{ }".into(), custom: false });
    let call = Part { signature: Some(signature(Dialect::Gemini)), ..call.into() };
    let native = Content::Native(json!({"type": "server_tool_use"})).into();
    let parts = vec![think("Hm.", false), think("", true), text, native, call];
    let got = value(&encode_response(&from(parts, FinishReason::ToolCalls), &context()));
    let want = json!([
        {"id": "rs_ab120000", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "waypost.anthropic..sig"},
        {"id": "rs_ab120001", "type": "reasoning", "summary": [], "encrypted_content": "waypost.anthropic.redacted.sig"},
        {"id": "msg_ab120002", "type": "message", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "Sí.", "logprobs": [], "annotations": [
                {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://x.test", "title": "https://x.test"},
            ]},
        ]},
        {"id": "rs_ab120003", "type": "reasoning", "summary": [], "encrypted_content": "waypost.gemini.call.sig"},
        {"id": "fc_ab120004", "type": "function_call", "status": "completed", "call_id": "toolu_1", "name": "f", "arguments": "{ }"},
    ]);
    same(&got["output"], &want, "output");
    let head = [&got["id"], &got["object"], &got["status"], &got["model"], &got["created_at"], &got["usage"]];
    assert_eq!(json!(head), json!(["resp_ab12", "response", "completed", "claude", 1_764_000_000, null]));
    assert_eq!(got.get("container"), None);
}

#[test]
fn ends_have_their_statuses() {
    let check = |reason, status: &str, details: Value| {
        let got = value(&encode_response(&from(vec![Part::text("x")], reason), &context()));
        assert_eq!((&got["status"], &got["incomplete_details"]), (&json!(status), &details), "{reason:?}");
        assert_eq!(got["output"][0]["status"], status);
    };
    check(FinishReason::Stop, "completed", Value::Null);
    check(FinishReason::Other, "completed", Value::Null);
    check(FinishReason::Length, "incomplete", json!({"reason": "max_output_tokens"}));
    check(FinishReason::ContentFilter, "incomplete", json!({"reason": "content_filter"}));
}

#[test]
fn likelihoods_go_to_the_texts_that_they_are_of() {
    let mut response = from(vec![Part::text("ab"), Part::text("cd")], FinishReason::Stop);
    let token = |t: &str| super::super::shared::logprobs(&json!([{"token": t, "logprob": -0.5}])).remove(0);
    response.choices[0].logprobs = ["a", "b", "cd", "<end>"].map(token).to_vec();
    let got = value(&encode_response(&response, &context()));
    let tokens = |i: usize| {
        let list = got["output"][0]["content"][i]["logprobs"].as_array().unwrap();
        list.iter().map(|t| t["token"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((tokens(0), tokens(1)), (vec!["a".into(), "b".into()], vec!["cd".into(), "<end>".into()]));
}

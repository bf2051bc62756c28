//! The fixtures through this dialect and back, and what must be equal.

use serde_json::{Value, json};

use super::*;
use crate::chat::{Content, Request};
use crate::dialect::{BadCompletion, Malformed, ReplyContext, Target};
use crate::registry::Quirks;

mod encoding;
mod streams;

/// Names and texts of the fixtures of one folder.
macro_rules! fixtures {
    ($folder:literal, $end:literal, [$($name:literal),* $(,)?]) => {
        [$(($name, include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bedrock/", $folder, "/", $name, $end
        )))),*]
    };
}
use fixtures;

const REQUESTS: [(&str, &str); 26] = fixtures!(
    "requests",
    ".json",
    [
        "plain",
        "system",
        "sampling",
        "multi_turn",
        "tools_auto",
        "tools_any",
        "tools_named",
        "tool_result",
        "tool_results_parallel",
        "tool_result_media",
        "json_schema",
        "image_bytes",
        "image_s3",
        "document",
        "document_text",
        "video",
        "cache",
        "cache_first",
        "reasoning_budget",
        "reasoning_round_trip",
        "citations",
        "guard",
        "extras",
        "server_tool",
        "system_midway",
        "prefill",
    ]
);
const ANSWERS: [(&str, &str); 18] = fixtures!(
    "answers",
    ".json",
    [
        "plain",
        "tools_parallel",
        "reasoning",
        "reasoning_redacted",
        "reasoning_unsigned",
        "max_tokens",
        "window_exceeded",
        "stop_sequence",
        "stop_sequence_unnamed",
        "guardrail",
        "filtered",
        "malformed_tool",
        "cached_usage",
        "citations",
        "image",
        "empty",
        "routed",
        "server_tool",
    ]
);

/// The text of a fixture.
fn named(fixtures: &[(&'static str, &'static str)], name: &str) -> &'static str {
    fixtures.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no fixture {name}")).1
}

fn to(model: &str) -> Target<'_> {
    Target {
        model,
        cap: None,
        default_cap: 4096,
        strict: false,
        capabilities: None,
        quirks: Quirks::default(),
        no_sampling: false,
    }
}

const SONNET_37: &str = "us.anthropic.claude-3-7-sonnet-20250219-v1:0";

fn read(text: &str) -> Request {
    decode_request(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn value(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

#[test]
fn requests_come_back_equal() {
    for (name, text) in REQUESTS {
        let request = read(text);
        let encoded = encode_request(&request, &to(SONNET_37)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(value(&encoded.body), value(text), "{name}");
        assert_eq!((encoded.dropped.len(), encoded.json_tool), (0, None), "{name}");
        // What comes back is read as the same.
        assert_eq!(decode_request(&encoded.body).unwrap(), request, "{name}");
    }
}

#[test]
fn what_is_not_equal_is_documented() {
    let turn = |text: &str| json!({"role": "user", "content": [{"text": text}]});
    let cases = [
        (
            json!({"messages": [turn("a"), turn("b")]}),
            json!({"messages": [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]}),
        ),
        (
            json!({"messages": [turn("a"), {"role": "assistant", "content": [
                {"citationsContent": {"content": [{"text": "x"}, {"text": "y"}], "citations": [{"title": "t"}]}},
                {"citationsContent": {"content": [{"text": "z"}], "citations": []}},
            ]}]}),
            json!({"messages": [turn("a"), {"role": "assistant", "content": [
                {"citationsContent": {"content": [{"text": "xy"}], "citations": [{"title": "t"}]}},
                {"text": "z"},
            ]}]}),
        ),
        (
            json!({"messages": [turn("a")], "outputConfig": {"effort": "high"}}),
            json!({"messages": [turn("a")], "additionalModelRequestFields":
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}}),
        ),
        (
            json!({"messages": [turn("a")], "additionalModelRequestFields":
                {"thinking": {"type": "enabled", "budget_tokens": 9000}}}),
            json!({"messages": [turn("a")], "additionalModelRequestFields":
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}}),
        ),
    ];
    for (sent, want) in cases {
        let encoded = encode_request(&read(&sent.to_string()), &to("anthropic.claude-opus-4-6-v1")).unwrap();
        assert_eq!(value(&encoded.body), want);
    }
}

#[test]
fn answers_come_back_equal() {
    for (name, text) in ANSWERS {
        let answer = decode_response(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(value(encode_response(&answer, &ReplyContext::default())), value(text), "{name}");
    }
}

#[test]
fn answers_are_understood() {
    let read = |name| decode_response(named(&ANSWERS, name).as_bytes()).unwrap();
    let reasons = [
        ("plain", FinishReason::Stop),
        ("tools_parallel", FinishReason::ToolCalls),
        ("max_tokens", FinishReason::Length),
        ("window_exceeded", FinishReason::Length),
        ("stop_sequence", FinishReason::Stop),
        ("stop_sequence_unnamed", FinishReason::Stop),
        ("guardrail", FinishReason::ContentFilter),
        ("filtered", FinishReason::ContentFilter),
        ("malformed_tool", FinishReason::Other),
    ];
    for (name, reason) in reasons {
        let finish = read(name).choices[0].finish.clone().unwrap();
        assert_eq!(finish.reason, reason, "{name}");
        assert_eq!(finish.stop_sequence.as_deref(), (name == "stop_sequence").then_some("4"), "{name}");
        let facts = inspect_completion(named(&ANSWERS, name).as_bytes()).unwrap();
        assert_eq!((facts.finish, facts.usage), (Some(reason), read(name).usage), "{name}");
    }
    let usage = read("cached_usage").usage.unwrap();
    assert_eq!((usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens), (1204, 1000, 200));
    let Content::ToolCall(call) = &read("tools_parallel").choices[0].parts[2].content.clone() else { panic!() };
    assert_eq!((call.id.as_str(), call.arguments.as_str()), ("tooluse_B", r#"{"city":"Faro"}"#));
    let Content::Text { citations, .. } = read("citations").choices[0].parts[0].content.clone() else { panic!() };
    let seen: Vec<_> = citations.iter().map(|c| (c.url.as_deref(), c.quote.as_deref())).collect();
    assert_eq!(seen, [(Some("https://t.example/a"), Some("opened in 1889")), (Some("https://w.example/"), None)]);
    assert!(read("routed").model.ends_with("nova-lite-v1:0"));
}

#[test]
fn answers_are_inspected() {
    // (fixture, output, bytes)
    for (name, output, bytes) in [
        ("plain", true, "The Ebro.".len()),
        ("tools_parallel", true, "I will look.".len() + 2 * ("get_weather".len() + "{}".len())),
        ("reasoning", true, "Two and two.Four.".len()),
        ("reasoning_redacted", true, "Four.".len()),
        ("image", true, 0),
        ("empty", false, 0),
        ("filtered", false, 0),
        ("citations", true, "It opened in 1889. Yes.".len()),
    ] {
        let body = value(named(&ANSWERS, name))
            .to_string()
            .replace(r#"{"city":"Porto"}"#, "{}")
            .replace(r#"{"city":"Faro"}"#, "{}");
        let facts = inspect_completion(body.as_bytes()).unwrap();
        assert_eq!((facts.output, facts.text_bytes), (output, bytes as u64), "{name}");
    }
    assert!(inspect_completion(named(&ANSWERS, "empty").as_bytes()).unwrap().is_empty_answer());
    assert!(!inspect_completion(named(&ANSWERS, "filtered").as_bytes()).unwrap().is_empty_answer());
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let both = |body: &str| {
        let [a, b] = [decode_response(body.as_bytes()).unwrap_err(), inspect_completion(body.as_bytes()).unwrap_err()];
        assert_eq!(a, b, "{body}");
        a
    };
    for body in ["", "null", "[]", "<html>", r#"{"output":{"message"#, "{}x"] {
        assert!(matches!(both(body), BadCompletion::Json(_)), "{body}");
    }
    for (body, message) in [
        (r#"{"message":"no such model"}"#, "no such model"),
        (
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
            "unspecified error",
        ),
    ] {
        assert!(matches!(both(body), BadCompletion::Error(e) if e.message == message), "{body}");
    }
    assert_eq!(both("{}"), BadCompletion::NoChoices);
    for (body, field) in [
        (r#"{"output":{}}"#, "output.message"),
        (r#"{"output":{"message":{"role":"user","content":[]}}}"#, "output.message.role"),
        (r#"{"output":{"message":{"content":[{"text":5}]}}}"#, "output.message.content[0].text"),
        (
            r#"{"output":{"message":{"content":[{"toolUse":{"toolUseId":"a","name":"f","input":"{}"}}]}}}"#,
            "output.message.content[0].toolUse.input",
        ),
    ] {
        let got = decode_response(body.as_bytes()).unwrap_err();
        assert!(matches!(&got, BadCompletion::Malformed(m) if m.field == field), "{body}: {got:?}");
    }
    let whole = named(&ANSWERS, "tools_parallel");
    for cut in 0..whole.trim_end().len() {
        let cut = &whole.as_bytes()[..cut];
        assert!(matches!(decode_response(cut).unwrap_err(), BadCompletion::Json(_)));
    }
}

#[test]
fn wrong_requests_are_named() {
    let turn = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":[{content}]}}]}}"#);
    let cases = [
        ("{".to_owned(), ""),
        ("{}".to_owned(), "messages"),
        (r#"{"messages":{}}"#.to_owned(), "messages"),
        (r#"{"messages":[{"role":"tool","content":[]}]}"#.to_owned(), "messages[0].role"),
        (r#"{"messages":[{"role":"user","content":"hi"}]}"#.to_owned(), "messages[0].content"),
        (r#"{"messages":[{"role":"user"}]}"#.to_owned(), "messages[0].content"),
        (turn(r#""hi""#), "messages[0].content[0]"),
        (turn("{}"), "messages[0].content[0]"),
        (turn(r#"{"text":"a","image":{}}"#), "messages[0].content[0]"),
        (turn(r#"{"image":{"format":"tiff","source":{"bytes":"AAAA"}}}"#), "messages[0].content[0].image.format"),
        (turn(r#"{"image":{"format":"png","source":{"bytes":"no picture"}}}"#), "messages[0].content[0].image.source.bytes"),
        (turn(r#"{"image":{"format":"png","source":{}}}"#), "messages[0].content[0].image.source"),
        (
            turn(r#"{"image":{"format":"png","source":{"s3Location":{"uri":"http://a/"}}}}"#),
            "messages[0].content[0].image.source.s3Location.uri",
        ),
        (turn(r#"{"toolUse":{"toolUseId":"a","name":"f","input":"x"}}"#), "messages[0].content[0].toolUse.input"),
        (turn(r#"{"toolUse":{"toolUseId":"","name":"f","input":{}}}"#), "messages[0].content[0].toolUse.toolUseId"),
        (turn(r#"{"toolResult":{"content":[]}}"#), "messages[0].content[0].toolResult.toolUseId"),
        (
            turn(r#"{"toolResult":{"toolUseId":"a","content":[],"status":"so-so"}}"#),
            "messages[0].content[0].toolResult.status",
        ),
        (turn(r#"{"reasoningContent":{"redactedContent":"§"}}"#), "messages[0].content[0].reasoningContent.redactedContent"),
        (
            r#"{"messages":[],"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{"}}}}}"#
                .to_owned(),
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        (r#"{"messages":[],"inferenceConfig":{"maxTokens":-1}}"#.to_owned(), "inferenceConfig.maxTokens"),
        (r#"{"messages":[],"inferenceConfig":{"stopSequences":[1]}}"#.to_owned(), "inferenceConfig.stopSequences[0]"),
        (
            r#"{"messages":[],"additionalModelRequestFields":{"thinking":{"type":"perhaps"}}}"#.to_owned(),
            "additionalModelRequestFields.thinking.type",
        ),
        (r#"{"messages":[],"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}"#.to_owned(), "toolConfig.tools[0].toolSpec.inputSchema"),
    ];
    for (body, field) in cases {
        let Malformed { field: got, problem } = decode_request(body.as_bytes()).unwrap_err();
        assert_eq!(got, field, "{body}: {problem}");
    }
}

#[test]
fn the_path_has_one_segment_for_the_model() {
    assert_eq!(
        path("anthropic.claude-3-5-sonnet-20240620-v1:0", false),
        "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse"
    );
    assert_eq!(
        path("arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1~b_2", true),
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fa1~b_2/converse-stream"
    );
}

#[test]
fn errors_of_each_class_are_read() {
    // (status, body, message, kind, overflow)
    let cases = [
        (400, r#"{"message":"Malformed input request."}"#, "Malformed input request.", "", false),
        (
            400,
            r#"{"message":"Input is too long for requested model."}"#,
            "Input is too long for requested model.",
            "",
            true,
        ),
        (
            400,
            r#"{"message":"prompt is too long: 210000 tokens > 200000 maximum"}"#,
            "prompt is too long: 210000 tokens > 200000 maximum",
            "",
            true,
        ),
        (
            400,
            r#"{"message":"This model's maximum context length is 8192 tokens."}"#,
            "This model's maximum context length is 8192 tokens.",
            "",
            true,
        ),
        (
            400,
            r#"{"message":"Please reduce the length of the messages or completion."}"#,
            "Please reduce the length of the messages or completion.",
            "",
            true,
        ),
        (403, r#"{"Message":"Not authorized."}"#, "Not authorized.", "", false),
        (
            403,
            r#"{"message":"The security token is invalid.","__type":"com.amazon.coral.service#UnrecognizedClientException"}"#,
            "The security token is invalid.",
            "UnrecognizedClientException",
            false,
        ),
        (429, r#"{"message":"Too many input tokens, slow down."}"#, "Too many input tokens, slow down.", "", false),
        (
            424,
            r#"{"message":"The host failed.","originalStatusCode":500,"originalMessage":"boom"}"#,
            "The host failed.: boom",
            "",
            false,
        ),
        (
            500,
            r#"{"type":"error","error":{"type":"overloaded","message":"Overloaded"}}"#,
            "Overloaded",
            "overloaded",
            false,
        ),
        (502, "<html>Bad Gateway</html>", "HTTP status 502", "", false),
        (503, "upstream gone", "upstream gone", "", false),
        (500, "", "HTTP status 500", "", false),
        (500, r#"{"message":"cut"#, "HTTP status 500", "", false),
    ];
    for (status, body, message, kind, overflow) in cases {
        let error = parse_error(Some(status), body.as_bytes());
        assert_eq!(
            (error.message.as_str(), error.kind.as_deref().unwrap_or(""), error.context_overflow),
            (message, kind, overflow),
            "{body}"
        );
    }
    let long = parse_error(Some(500), "é".repeat(3000).as_bytes());
    assert_eq!((long.message.chars().count(), long.message.ends_with("é…")), (1025, true));
}

#[test]
fn our_errors_read_back() {
    use crate::dialect::ErrorText;
    for (status, body_kind, event_kind, code) in [
        (400, "ValidationException", "validationException", "400"),
        (401, "UnrecognizedClientException", "validationException", "400"),
        (403, "AccessDeniedException", "validationException", "400"),
        (413, "ValidationException", "validationException", "400"),
        (429, "ThrottlingException", "throttlingException", "429"),
        (500, "InternalServerException", "internalServerException", "500"),
        (502, "ServiceUnavailableException", "serviceUnavailableException", "503"),
        (503, "ServiceUnavailableException", "serviceUnavailableException", "503"),
    ] {
        let error = ErrorText { status, message: "a \"b\"\n", kind: "k", code: "c", param: None };
        let read = parse_error(Some(status), &error_body(&error));
        assert_eq!((read.message.as_str(), read.kind.as_deref()), ("a \"b\"\n", Some(body_kind)));
        let event = error_event(&error);
        let frame = frames::Frame::parse(&event).unwrap();
        let fault = Decoder::default().event(frame.name.as_bytes(), &frame.payload, &mut Vec::new()).unwrap_err();
        let crate::dialect::EventFault::Error(read) = fault else { panic!("{fault:?}") };
        let read = (read.message.as_str(), read.kind.as_deref(), read.code.as_deref());
        assert_eq!(read, ("a \"b\"\n", Some(event_kind), Some(code)));
    }
}

mod arbitrary {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_never_panic(bytes: Vec<u8>, at: prop::sample::Index, to: u8, which: prop::sample::Index) {
            let _ = decode_request(&bytes);
            let _ = decode_response(&bytes);
            let _ = inspect_completion(&bytes);
            parse_error(Some(400), &bytes);
            let mut request = REQUESTS[which.index(REQUESTS.len())].1.as_bytes().to_vec();
            let i = at.index(request.len());
            request[i] = to;
            if let Ok(request) = decode_request(&request) {
                let _ = encode_request(&request, &to_strict());
            }
            let mut answer = ANSWERS[which.index(ANSWERS.len())].1.as_bytes().to_vec();
            let i = at.index(answer.len());
            answer[i] = to;
            let _ = inspect_completion(&answer);
            if let Ok(answer) = decode_response(&answer) {
                encode_response(&answer, &ReplyContext::default());
            }
        }
    }

    fn to_strict() -> Target<'static> {
        Target { strict: true, ..to(SONNET_37) }
    }
}

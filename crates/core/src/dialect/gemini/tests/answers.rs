use super::*;
use crate::chat::{Choice, Citation, Content, FinishReason, Part, Response, ToolCall};
use crate::dialect::BadCompletion;
use crate::registry::Dialect;
use serde_json::json as j;

fn answer(name: &str) -> Response {
    decode_response(fixture("answers", name).as_bytes()).unwrap()
}

fn finish(response: &Response) -> Option<FinishReason> {
    response.choices[0].finish.as_ref().map(|f| f.reason)
}

#[test]
fn answers_are_read_into_canonical_words() {
    let plain = answer("plain");
    assert_eq!((plain.id.as_str(), plain.model.as_str()), ("Rq0Zaf_x-1", "gemini-2.5-flash"));
    assert_eq!(plain.choices[0].parts, [Part::text("Rhine, Elbe, Oder.")]);
    assert_eq!(answer("details").created, Some(1_772_359_200));
    for (name, reason) in [
        ("plain", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("tool_call", FinishReason::ToolCalls),
        ("parallel_calls", FinishReason::ToolCalls),
        ("no_ids", FinishReason::ToolCalls),
        ("blocked", FinishReason::ContentFilter),
        ("safety", FinishReason::ContentFilter),
        ("recitation", FinishReason::ContentFilter),
        ("unknown", FinishReason::Other),
    ] {
        assert_eq!(finish(&answer(name)), Some(reason), "{name}");
    }
    let blocked = answer("blocked");
    assert_eq!((blocked.choices.len(), blocked.choices[0].parts.len()), (1, 0));
    let logprobs = &answer("logprobs").choices[0].logprobs;
    assert_eq!((logprobs[0].token.as_str(), logprobs[0].top[1].token.as_str()), ("Heads", "Tails"));
}

#[test]
fn usage_is_in_our_convention() {
    let usage = |input, output, cached, reasoning| Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cached,
        cache_write_tokens: 0,
        reasoning_tokens: reasoning,
    };
    assert_eq!(answer("reasoning").usage, Some(usage(12, 85, 0, 80)));
    assert_eq!(answer("cached").usage, Some(usage(5000, 2, 4096, 0)));
    // The provider's own tools, and a count that only the total shows.
    assert_eq!(answer("no_ids").usage, Some(usage(10, 5, 0, 0)));
    for (metadata, want) in [
        (j!({}), None),
        (j!({"trafficType": "ON_DEMAND"}), None),
        (j!({"promptTokenCount": 0}), Some(usage(0, 0, 0, 0))),
        (j!({"promptTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 7}), Some(usage(3, 4, 0, 4))),
        (j!({"totalTokenCount": 1, "promptTokenCount": 5}), Some(usage(5, 0, 0, 0))),
    ] {
        let body = j!({"candidates": [{}], "usageMetadata": metadata}).to_string();
        assert_eq!(decode_response(body.as_bytes()).unwrap().usage, want, "{body}");
        assert_eq!(inspect_completion(body.as_bytes()).unwrap().usage, want, "{body}");
    }
}

#[test]
fn sources_count_characters() {
    let response = answer("grounded");
    let cited: Vec<_> = response.choices[0]
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Text { citations, .. } => citations.iter().map(|c| (c.title.clone().unwrap(), c.range)).collect(),
            _ => Vec::new(),
        })
        .collect();
    let at = |title: &str, start, end| (title.to_owned(), Some((start, end)));
    assert_eq!(cited, [vec![at("Zürich", 0, 20)], vec![at("Basel", 21, 36), at("Zürich", 21, 36)]]);
    let recited = answer("recitation");
    let Content::Text { citations, .. } = &recited.choices[0].parts[0].content else { panic!() };
    assert_eq!((citations[0].url.as_deref(), citations[0].range), (Some("https://example.org/poem"), Some((0, 11))));
}

#[test]
fn offsets_that_are_wrong_are_looked_up_or_left_out() {
    let spoken = grounding::Spoken { text: "aé b b".into(), starts: vec![0] };
    for (segment, want) in [
        (j!({"startIndex": 1, "endIndex": 3, "text": "é"}), Some((1, 2))),
        (j!({"startIndex": 0, "endIndex": 2, "text": "b"}), Some((3, 4))),
        (j!({"startIndex": 0, "endIndex": 2}), None),
        (j!({"startIndex": 5, "endIndex": 1}), None),
        (j!({"startIndex": 0, "endIndex": 99}), None),
        (j!({"partIndex": 7, "startIndex": 0, "endIndex": 1}), Some((0, 1))),
        (j!({"text": "nowhere"}), None),
        (j!("odd"), None),
    ] {
        let metadata = j!({
            "groundingChunks": [{"web": {"uri": "u"}}],
            "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0, 9, -1]}],
        });
        let found = grounding::read(Some(&metadata), None, &spoken);
        assert_eq!(found.iter().map(|c| c.range).collect::<Vec<_>>(), [want], "{segment}");
    }
}

#[test]
fn answers_that_are_none_are_typed() {
    let error = |body: &str| {
        let decoded = decode_response(body.as_bytes()).unwrap_err();
        let inspected = inspect_completion(body.as_bytes()).unwrap_err();
        (decoded, inspected)
    };
    for body in ["<html></html>", "", "{\"candidates\":", "nope"] {
        let (decoded, inspected) = error(body);
        let both = (&decoded, &inspected);
        assert!(matches!(both, (BadCompletion::Json(_), BadCompletion::Json(_))), "{body}: {both:?}");
    }
    for body in ["{}", r#"{"candidates":[]}"#, r#"{"usageMetadata":{"promptTokenCount":1}}"#] {
        assert_eq!(error(body), (BadCompletion::NoChoices, BadCompletion::NoChoices), "{body}");
    }
    for body in [
        r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
        r#"[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]"#,
    ] {
        let (decoded, inspected) = error(body);
        let BadCompletion::Error(e) = &decoded else { panic!("{decoded:?}") };
        assert_eq!((e.message.as_str(), e.code.as_deref(), e.kind.as_deref()), ("m", Some("503"), Some("UNAVAILABLE")));
        assert_eq!(decoded, inspected);
    }
    for name in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"] {
        let body = format!(r#"{{"candidates":[{{"finishReason":"{name}","finishMessage":"print("}}]}}"#);
        let (decoded, inspected) = error(&body);
        let BadCompletion::Error(e) = &decoded else { panic!("{decoded:?}") };
        assert_eq!((e.message.as_str(), e.kind.as_deref()), ("print(", Some(name)));
        assert_eq!(decoded, inspected);
    }
    for body in [
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[]}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}"#,
        r#"{"candidates":{}}"#,
        r#"{"candidates":[{"index":-1}]}"#,
    ] {
        let decoded = decode_response(body.as_bytes()).unwrap_err();
        assert!(matches!(decoded, BadCompletion::Malformed(_)), "{body}: {decoded:?}");
    }
}

#[test]
fn others_answers_are_written_for_gemini_clients() {
    let call = |arguments: &str| {
        let (id, name, arguments) = ("c".into(), "f".into(), arguments.into());
        Content::ToolCall(ToolCall { id, name, arguments, custom: false }).into()
    };
    let citation = Citation {
        origin: Dialect::OpenAi,
        url: Some("https://e.org".into()),
        title: None,
        quote: None,
        range: Some((1, 3)),
        native: j!({"x": 1}),
    };
    let text = Content::Text { text: "aéb".into(), citations: vec![citation] };
    let signature = crate::chat::Signature { dialect: Dialect::Anthropic, value: "s".into(), id: None };
    let thought = Content::Reasoning { text: "hm".into(), summary: false, redacted: false };
    let thought = Part { signature: Some(signature), ..thought.into() };
    let parts = vec![thought, text.into(), Content::Refusal("No.".into()).into(), call("{\"a\":1}"), call("")];
    let finish = Some(FinishReason::ToolCalls.into());
    let response = Response {
        origin: Dialect::OpenAi,
        id: String::new(),
        model: String::new(),
        created: None,
        choices: vec![Choice { parts, finish, ..Choice::default() }],
        usage: Some(Usage {
            input_tokens: 10,
            output_tokens: 7,
            cache_read_tokens: 4,
            cache_write_tokens: 0,
            reasoning_tokens: 2,
        }),
        extras: Extras::from_iter([("system_fingerprint".to_owned(), "f".into())]),
    };
    let context = ReplyContext { id: "r".into(), model: "m".into(), ..ReplyContext::default() };
    let want = j!({
        "candidates": [{
            "content": {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "waypost.anthropic..s"},
                {"text": "aéb"},
                {"text": "No."},
                {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "c", "name": "f", "args": {}}},
            ]},
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "https://e.org"}}],
                "groundingSupports": [{
                    "segment": {"startIndex": 1, "endIndex": 4, "text": "éb"}, "groundingChunkIndices": [0],
                }],
            },
        }],
        "usageMetadata": {
            "promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2,
            "totalTokenCount": 17,
        },
        "modelVersion": "m",
        "responseId": "r",
    });
    assert_eq!(json(std::str::from_utf8(&encode_response(&response, &context)).unwrap()), want);
}

#[test]
fn ids_are_short_plain_and_repeatable() {
    assert_eq!(parts::id_base("Rq0Zaf_x-1", b"x"), "Rq0Zaf_x-1");
    for id in ["", "with space", "much-too-long-for-a-tool-call-id-of-some"] {
        let base = parts::id_base(id, b"body");
        assert_eq!((base.len(), base.as_str()), (16, parts::id_base(id, b"body").as_str()));
    }
    assert_ne!(parts::id_base("", b"a"), parts::id_base("", b"b"));
}

//! Events and answers that pass as they are.

use super::*;
use crate::dialect::{BadCompletion, ChunkFacts, FinishReason};
use crate::registry::Usage;

/// All facts of a stream, as its gate adds them up, and the error that ends it.
fn tally(stream: &str) -> (ChunkFacts, Option<String>) {
    let (mut all, mut at) = (ChunkFacts::default(), 0);
    let mut splitter = sse::Splitter::default();
    while let Some(piece) = splitter.next(stream.as_bytes(), &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream.as_bytes()));
        let Some(data) = event.data else { continue };
        let facts = match inspect_event(event.name, &data) {
            Ok(facts) => facts,
            Err(e) => return (all, Some(e.to_string())),
        };
        all.output |= facts.output;
        all.text_bytes += facts.text_bytes;
        all.finish = facts.finish.or(all.finish);
        all.done |= facts.done;
        all.choices |= facts.choices;
        all.finished |= facts.finished;
        if let Some(error) = facts.error {
            return (all, Some(error.message));
        }
    }
    (all, None)
}

#[test]
fn streams_are_judged() {
    use FinishReason::{ContentFilter, Length, Stop, ToolCalls};
    // (fixture, output, bytes of text, finish, done)
    let cases = [
        ("plain", true, 2 + 7 + 6, Some(Stop), true),
        ("empty", false, 0, Some(Stop), true),
        ("tool", true, 8 + 4 + 23, Some(ToolCalls), true),
        ("tool_without_input", true, 8, Some(ToolCalls), true),
        ("tool_input_at_once", true, 4 + 19, Some(ToolCalls), true),
        ("thinking", true, 12 + 5, Some(Stop), true),
        ("server_tools", true, 10 + 10 + 17 + 5, Some(Stop), true),
        ("max_tokens", true, 5, Some(Length), true),
        ("refusal", true, 2, Some(ContentFilter), true),
        ("unnamed_events", true, 5, Some(Stop), true),
        ("cut_between_events", true, 2, None, false),
    ];
    for (name, output, bytes, finish, done) in cases {
        let (facts, error) = tally(&fixture("streams", name));
        assert_eq!((facts.output, facts.text_bytes, facts.finish, facts.done), (output, bytes, finish, done), "{name}");
        assert_eq!((facts.choices, facts.finished, error), (1, u64::from(done), None), "{name}");
    }
    for (name, message) in [
        ("error_first", "Overloaded"),
        ("error_midway", "Overloaded"),
        ("error_plain", "upstream connect error"),
        ("not_json", "unexpected end at byte 30"),
    ] {
        assert_eq!(tally(&fixture("streams", name)).1.as_deref(), Some(message), "{name}");
    }
}

#[test]
fn real_output_is_told_from_preamble() {
    let quiet = [
        r#"{"type":"ping"}"#,
        r#"{"type":"message_start","message":{"content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
    ];
    let output = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
    ];
    for (data, want) in quiet.into_iter().map(|d| (d, false)).chain(output.into_iter().map(|d| (d, true))) {
        assert_eq!(inspect_event(b"", data.as_bytes()).unwrap().output, want, "{data}");
    }
    assert_eq!(inspect_event(b"ping", b"not json"), Ok(ChunkFacts::default()));
    assert_eq!(inspect_event(b"message_stop", b"{}").map(|f| f.done), Ok(true), "named by the event alone");
    for malformed in ["{", "[]", "null", "x", r#"{"type":"ping"} {}"#] {
        assert!(inspect_event(b"", malformed.as_bytes()).is_err(), "{malformed}");
    }
}

#[test]
fn usage_is_read_where_it_stands() {
    let usage = |data: &str| inspect_event(b"", data.as_bytes()).unwrap().usage;
    let want = |input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens| {
        Some(Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens })
    };
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":6},"output_tokens":1}}}"#;
    assert_eq!(usage(start), want(33, 1, 20, 10, 0));
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":50,"output_tokens_details":{"thinking_tokens":40}}}"#;
    assert_eq!(usage(end), want(0, 50, 0, 0, 40));
    assert_eq!(usage(r#"{"type":"message_delta","delta":{},"usage":{}}"#), None);
    assert_eq!(usage(r#"{"type":"message_delta","usage":{"input_tokens":null,"output_tokens":-3}}"#), None);
}

#[test]
fn whole_answers_agree_with_their_decoding() {
    for (name, text) in fixtures("answers").into_iter().filter(|(name, _)| name != "error") {
        let facts = inspect_completion(text.as_bytes()).unwrap();
        let response = decode_response(text.as_bytes()).unwrap();
        let finish = response.choices[0].finish.as_ref().map(|f| f.reason);
        assert_eq!((facts.usage, facts.finish), (response.usage, finish), "{name}");
        assert_eq!((facts.output, facts.is_empty_answer()), (name != "empty", name == "empty"), "{name}");
    }
    let compact = |name| value(fixture("answers", name).as_bytes()).to_string();
    let bytes = |name| inspect_completion(compact(name).as_bytes()).unwrap().text_bytes;
    assert_eq!(
        (bytes("plain"), bytes("thinking"), bytes("parallel_tools")),
        (8, 12 + 8, 4 + 18 + 5),
        "arguments count as written, but for empty ones"
    );
    let bad = |body: &str| inspect_completion(body.as_bytes()).unwrap_err();
    assert!(matches!(bad(&fixture("answers", "error")), BadCompletion::Error(_)));
    assert!(matches!(bad(r#"{"error":"m","content":[]}"#), BadCompletion::Error(_)));
    assert_eq!(bad(r#"{"id":"x"}"#), BadCompletion::NoChoices);
    assert!(matches!(bad("<html>"), BadCompletion::Json(_)));
    let whole = fixture("answers", "tool");
    for cut in 0..whole.trim_end().len() {
        assert!(matches!(bad(&whole[..cut]), BadCompletion::Json(_)), "cut at {cut}");
    }
}

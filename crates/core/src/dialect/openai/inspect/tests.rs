use super::*;
use proptest::prelude::*;

macro_rules! answer {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openai/", $name, ".json")).as_slice()
    };
}

fn chunk(data: &str) -> ChunkFacts {
    inspect_event(b"", data.as_bytes()).unwrap_or_else(|e| panic!("{e}: {data}"))
}

fn delta(members: &str) -> ChunkFacts {
    chunk(&format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{{{members}}},"finish_reason":null}}],"usage":null}}"#))
}

#[test]
fn real_output_is_told_from_preamble() {
    // (delta, output, bytes of text)
    let cases = [
        (r#""role":"assistant""#, false, 0),
        (r#""role":"assistant","content":"""#, false, 0),
        (r#""content":null,"refusal":null,"reasoning_content":"","tool_calls":[]"#, false, 0),
        (r#""content":null,"function_call":null,"audio":null,"images":[]"#, false, 0),
        (r#""content":"a\"\u00e9b""#, true, 6),
        (r#""content":"\n""#, true, 1),
        (r#""reasoning_content":"hm""#, true, 2),
        (r#""reasoning":"hm""#, true, 2),
        (r#""refusal":"no""#, true, 2),
        (r#""reasoning_details":[{"type":"reasoning.encrypted","data":"AAAA"}]"#, true, 0),
        (r#""tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]"#, true, 1),
        (r#""tool_calls":[{"index":0,"function":{"arguments":"{}"}}]"#, true, 2),
        (r#""function_call":{"arguments":"{}"}"#, true, 2),
        (r#""audio":{"id":"a","transcript":"hi","data":"AAAA"}"#, true, 2),
        (
            r#""content":[{"type":"text","text":"ab"},{"type":"thinking","thinking":[{"type":"text","text":"c"}]}]"#,
            true,
            3,
        ),
        (r#""content":[]"#, false, 0),
    ];
    for (members, output, bytes) in cases {
        let facts = delta(members);
        assert_eq!((facts.output, facts.text_bytes), (output, bytes), "{members}");
        assert_eq!((facts.choices, facts.finished, facts.finish), (1, 0, None), "{members}");
    }
    for quiet in
        ["", " ", "{}", r#"{"choices":[],"prompt_filter_results":[]}"#, r#"{"choices":null,"usage":null,"error":null}"#]
    {
        assert_eq!(chunk(quiet), ChunkFacts::default(), "{quiet}");
    }
    assert_eq!(inspect_event(b"ping", b"not json"), Ok(ChunkFacts::default()));
}

#[test]
fn ends_and_errors_are_seen() {
    assert!(chunk(" [DONE] ").done);
    let facts = chunk(
        r#"{"choices":[{"index":3,"delta":{},"finish_reason":"function_call"},{"index":900,"finish_reason":"stop"}]}"#,
    );
    assert_eq!((facts.finish, facts.choices, facts.finished), (Some(FinishReason::Stop), 8, 8));
    for (name, reason) in [
        ("length", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
        ("error", FinishReason::Other),
    ] {
        assert_eq!(chunk(&format!(r#"{{"choices":[{{"finish_reason":"{name}"}}]}}"#)).finish, Some(reason));
    }
    let message = |facts: ChunkFacts| facts.error.map(|e| e.message);
    assert_eq!(message(chunk(r#"{"error":{"message":"m","code":1}}"#)).as_deref(), Some("m"));
    assert_eq!(message(chunk(r#"{"error":"m","choices":[]}"#)).as_deref(), Some("m"));
    assert_eq!(message(chunk(r#"{"x_groq":{"error":"over"}}"#)).as_deref(), Some("unspecified error"));
    assert_eq!(message(inspect_event(b"error", b"plain").unwrap()).as_deref(), Some("plain"));
    for none in [r#"{"error":null}"#, r#"{"error":""}"#, r#"{"error":false}"#] {
        assert_eq!(message(chunk(none)), None, "{none}");
    }
    for malformed in ["{", "[]", "null", "ping", "{\"choices\":[}", "{} {}", "{\"a\":\"\u{1}\"}"] {
        assert!(inspect_event(b"", malformed.as_bytes()).is_err(), "{malformed}");
    }
}

#[test]
fn usage_has_one_convention() {
    // (usage, input, output, cache read, cache write, reasoning)
    let cases = [
        (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#, Some((10, 5, 0, 0, 0))),
        (r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, Some((0, 0, 0, 0, 0))),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}"#,
            Some((10, 5, 8, 2, 4)),
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null}"#,
            Some((10, 5, 0, 0, 0)),
        ),
        // DeepSeek; Moonshot.
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}"#,
            Some((10, 5, 6, 0, 0)),
        ),
        (r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":7}"#, Some((10, 5, 7, 0, 0))),
        // xAI: reasoning beside the completion. Gemini: only the total knows.
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}"#,
            Some((10, 105, 0, 0, 100)),
        ),
        (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45}"#, Some((10, 35, 0, 0, 30))),
        // Nonsense does no harm.
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":99}}"#,
            Some((10, 5, 10, 0, 0)),
        ),
        (r#"{"prompt_tokens":-1,"completion_tokens":5.0,"total_tokens":"x"}"#, Some((0, 5, 0, 0, 0))),
        (r#"{"completion_tokens":7}"#, Some((0, 7, 0, 0, 0))),
        (r#"{"prompt_tokens":99999999999999999999,"completion_tokens":1}"#, Some((u64::MAX, 1, 0, 0, 0))),
        ("{}", None),
        ("null", None),
        ("7", None),
    ];
    for (usage, want) in cases {
        let facts = chunk(&format!(r#"{{"choices":[],"usage":{usage}}}"#));
        let got = facts
            .usage
            .map(|u| (u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.reasoning_tokens));
        assert_eq!((got, facts.usage_only), (want, want.is_some()), "{usage}");
    }
    let counts = r#"{"prompt_tokens":1,"completion_tokens":2}"#;
    for (data, only) in [
        (format!(r#"{{"usage":{counts}}}"#), true),
        (format!(r#"{{"x_groq":{{"usage":{counts}}},"choices":[{{"delta":{{}},"finish_reason":"stop"}}]}}"#), false),
        (format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop","usage":{counts}}}]}}"#), false),
        (format!(r#"{{"choices":[{{"delta":{{"content":"x"}}}}],"usage":{counts}}}"#), false),
    ] {
        let facts = chunk(&data);
        assert_eq!((facts.usage.map(|u| u.output_tokens), facts.usage_only), (Some(2), only), "{data}");
    }
}

#[test]
fn whole_answers_are_judged() {
    let facts = |body| inspect_completion(body).unwrap();
    let f = facts(answer!("answer"));
    assert_eq!((f.output, f.text_bytes, f.finish, f.is_empty_answer()), (true, 7, Some(FinishReason::Stop), false));
    assert_eq!(f.usage.map(|u| (u.input_tokens, u.cache_read_tokens)), Some((20, 16)));
    let f = facts(answer!("answer_tools"));
    assert_eq!((f.output, f.text_bytes, f.finish), (true, 8, Some(FinishReason::ToolCalls)));
    let f = facts(answer!("answer_empty"));
    assert_eq!((f.output, f.is_empty_answer(), f.usage.map(|u| u.input_tokens)), (false, true, Some(5)));
    let f = facts(answer!("answer_filtered"));
    assert_eq!((f.output, f.is_empty_answer()), (false, false));
    let f = facts(answer!("answer_reasoning_beside"));
    assert_eq!(f.usage.map(|u| (u.output_tokens, u.reasoning_tokens, u.cache_read_tokens)), Some((101, 100, 3)));

    let bad = |body: &[u8]| inspect_completion(body).unwrap_err();
    assert!(matches!(bad(answer!("answer_error")), BadCompletion::Error(e) if e.message == "overloaded"));
    assert_eq!(bad(b"{\"id\":\"x\"}"), BadCompletion::NoChoices);
    for body in [&b""[..], b"null", b"[]", b"<html>", b"{\"choices\":[", b"{\"choices\":[]}x", b"{\"a\":\"\xff\"}"] {
        assert!(matches!(bad(body), BadCompletion::Json(_)), "{body:?}");
    }
    let whole = answer!("answer");
    for cut in 0..whole.trim_ascii_end().len() {
        assert!(matches!(bad(&whole[..cut]), BadCompletion::Json(_)), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at: prop::sample::Index, to: u8) {
        let _ = inspect_event(b"", &bytes);
        let _ = inspect_completion(&bytes);
        parse_error(Some(400), &bytes);
        let mut body = answer!("answer_reasoning_beside").to_vec();
        let i = at.index(body.len());
        body[i] = to;
        let _ = inspect_completion(&body);
        parse_error(None, &body);
    }

    #[test]
    fn text_is_counted_decoded(text: String) {
        let facts = delta(&format!(r#""content":{}"#, serde_json::to_string(&text).unwrap()));
        // Control characters that JSON can only write as \u00XX count as three.
        let long = text.bytes().filter(|b| *b < 0x20 && !b"\n\r\t\x08\x0c".contains(b)).count();
        prop_assert_eq!((facts.output, facts.text_bytes), (!text.is_empty(), (text.len() + 2 * long) as u64));
    }
}

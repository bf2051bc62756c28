use super::*;
use crate::chat::{Citation, Event, Finish, FinishReason, Signature};
use crate::dialect::openai::{Decoder, Encoder};
use crate::dialect::{EventFault, sse};
use crate::registry::{Dialect, Usage};

/// Those that come back byte for byte.
const SAME: [(&str, &[u8]); 14] = fixtures!("streams", ".sse":
    "plain" "plain_without_usage" "tools" "tool_custom" "reasoning" "reasoning_responses" "thought_signature"
    "text_signature" "refusal" "filtered" "citations" "logprobs" "image" "two_choices");

/// Those of look-alikes, with their events.
const OTHERS: [(&str, &[u8]); 13] = fixtures!("streams", ".sse":
    "repeated_ids" "whole_calls" "same_index" "no_ids" "function_call" "usage_everywhere" "two_names_of_thoughts"
    "stop_sequence" "late_name" "error_midway" "error_event" "cut" "comments");

/// The flat fixtures of the pass-through tests.
const FLAT: [(&str, &[u8]); 12] = fixtures!("", ".sse":
    "azure" "deepseek_reasoning" "done_missing" "groq" "mistral_thinking" "ollama" "openai" "openai_crlf"
    "openai_refusal" "openai_tools" "openai_two_choices" "vllm");

fn decode(stream: &[u8]) -> (Vec<Event>, Option<EventFault>) {
    let (mut decoder, mut splitter, mut events, mut at) = (Decoder::default(), sse::Splitter::default(), vec![], 0);
    while let Some(piece) = splitter.next(stream, &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream));
        let Some(data) = event.data else { continue };
        if let Err(fault) = decoder.event(event.name, &data, &mut events) {
            return (events, Some(fault));
        }
    }
    (events, None)
}

fn encode(events: &[Event], include_usage: bool) -> Vec<u8> {
    let mut encoder = Encoder::new(ReplyContext { include_usage, ..context() });
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    out
}

#[test]
fn streams_come_back_as_they_were() {
    for (name, stream) in SAME {
        let (events, fault) = decode(stream);
        assert_eq!(fault, None, "{name}");
        let usage = name != "plain_without_usage";
        assert_eq!(
            String::from_utf8_lossy(&encode(&events, usage)),
            String::from_utf8_lossy(stream),
            "{name}: {events:#?}"
        );
    }
}

#[test]
fn events_survive_their_own_stream() {
    for (name, stream) in OTHERS.into_iter().chain(FLAT) {
        let (mut events, _) = decode(stream);
        let (again, fault) = decode(&encode(&events, true));
        assert_eq!(fault, None, "{name}");
        // Only the last usage is told, and an id in our form.
        let last = events.iter().rev().find_map(|e| match e {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        events.retain(|e| !matches!(e, Event::Usage(_)));
        if let Some(at) = events.iter().position(|e| *e == Event::Done) {
            events.insert(at, Event::Usage(last.unwrap_or_default()));
        }
        for event in &mut events {
            match event {
                Event::Start { id, .. } if !id.starts_with("chatcmpl-") => *id = "chatcmpl-0af7".into(),
                // The wire has no place for it.
                Event::Finish { finish, .. } => finish.stop_sequence = None,
                _ => {}
            }
        }
        assert_eq!(again, events, "{name}");
    }
}

fn call(index: u32, id: &str, name: &str) -> Event {
    let (id, name) = (id.to_owned(), name.to_owned());
    Event::ToolCall { choice: 0, index, id, name, custom: false, signature: None }
}

fn arguments(index: u32, text: &str) -> Event {
    Event::Arguments { choice: 0, index, text: text.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, finish: reason.into() }
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

fn thought(text: &str) -> Event {
    Event::Reasoning { choice: 0, text: text.into(), summary: false }
}

#[test]
fn look_alikes_say_the_same() {
    let usage = |input_tokens, output_tokens| Event::Usage(Usage { input_tokens, output_tokens, ..Usage::default() });
    let ending = finish(FinishReason::ToolCalls);
    let stopped =
        Event::Finish { choice: 0, finish: Finish { reason: FinishReason::Stop, stop_sequence: Some("three".into()) } };
    let own =
        Usage { input_tokens: 12, output_tokens: 7, cache_read_tokens: 4, reasoning_tokens: 2, ..Usage::default() };
    let cases: [(&str, Vec<Event>); 11] = [
        (
            "repeated_ids",
            vec![
                call(0, "c1", "weather"),
                arguments(0, r#"{"a""#),
                arguments(0, ":1}"),
                ending.clone(),
                Event::Usage(own),
                Event::Done,
            ],
        ),
        (
            "whole_calls",
            vec![
                call(0, "c1", "weather"),
                arguments(0, r#"{"a":1}"#),
                call(1, "c2", "clock"),
                arguments(1, "{}"),
                ending.clone(),
                Event::Done,
            ],
        ),
        (
            "same_index",
            vec![
                call(0, "c1", "weather"),
                arguments(0, r#"{"a":1}"#),
                call(1, "c2", "weather"),
                arguments(1, r#"{"a":2}"#),
                ending.clone(),
                Event::Done,
            ],
        ),
        (
            "no_ids",
            vec![
                call(0, "call_r77_0_0", "weather"),
                arguments(0, r#"{"a":1}"#),
                call(1, "call_r77_0_1", "clock"),
                arguments(1, "{}"),
                ending.clone(),
                Event::Done,
            ],
        ),
        (
            "function_call",
            vec![
                call(0, "call_chatcmpl-S1_0_0", "clock"),
                arguments(0, r#"{"town":"#),
                arguments(0, r#""Pune"}"#),
                ending.clone(),
                Event::Done,
            ],
        ),
        (
            "usage_everywhere",
            vec![usage(9, 0), text("Hi"), usage(9, 1), finish(FinishReason::Stop), usage(9, 2), Event::Done],
        ),
        ("two_names_of_thoughts", vec![thought("Hm."), text("4"), finish(FinishReason::Stop), Event::Done]),
        ("stop_sequence", vec![text("One, two"), stopped, Event::Done]),
        ("late_name", vec![call(0, "c1", "weather"), arguments(0, r#"{"a":1}"#), ending, Event::Done]),
        ("cut", vec![text("The Glom")]),
        ("comments", vec![text("Hi"), finish(FinishReason::Stop), Event::Done]),
    ];
    for (name, want) in cases {
        let stream = OTHERS.iter().find(|(n, _)| *n == name).unwrap().1;
        let (mut events, fault) = decode(stream);
        assert_eq!(fault, None, "{name}");
        assert!(matches!(events.remove(0), Event::Start { .. }), "{name}");
        assert_eq!(events, want, "{name}");
    }
    let (events, _) = decode(FLAT.iter().find(|(n, _)| *n == "azure").unwrap().1);
    assert!(matches!(&events[0], Event::Start { id, .. } if id == "chatcmpl-B1"));
    let (events, _) = decode(FLAT.iter().find(|(n, _)| *n == "mistral_thinking").unwrap().1);
    assert_eq!(&events[1..3], [thought("Hm"), text("Yes")]);
}

#[test]
fn faults_are_told_apart() {
    for (name, message) in [("error_midway", "the engine stopped"), ("error_event", "overloaded")] {
        let (_, fault) = decode(OTHERS.iter().find(|(n, _)| *n == name).unwrap().1);
        assert!(matches!(fault, Some(EventFault::Error(e)) if e.message == message), "{name}");
    }
    let malformed = [
        "{\"choices\":[",
        "nonsense",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
        "{\"choices\":[{\"delta\":{\"images\":[{\"image_url\":{\"url\":\"data:image/png;base64,?\"}}]}}]}",
        "{\"choices\":[{\"delta\":{\"reasoning_details\":[7]}}]}",
    ];
    for data in malformed {
        let fault = Decoder::default().event(b"", data.as_bytes(), &mut Vec::new());
        assert!(matches!(fault, Err(EventFault::Malformed(_))), "{data}: {fault:?}");
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for data in ["[DONE]", "{\"choices\":[{\"delta\":{\"content\":\"late\"}}]}", "[DONE]"] {
        decoder.event(b"", data.as_bytes(), &mut events).unwrap();
    }
    assert_eq!(events, [Event::Done]);
}

#[test]
fn too_much_of_anything_is_malformed() {
    let mut decoder = Decoder::default();
    let mut fault = Ok(());
    for i in 0..200 {
        let data = format!(r#"{{"choices":[{{"index":{i},"delta":{{"content":"x"}}}}]}}"#);
        fault = fault.and(decoder.event(b"", data.as_bytes(), &mut Vec::new()));
    }
    assert!(matches!(fault, Err(EventFault::Malformed(_))));
}

#[test]
fn the_encoder_needs_no_beginning() {
    let sse = |events: &[Event]| String::from_utf8(encode(events, false)).unwrap();
    let head =
        r#"data: {"id":"chatcmpl-0af7","object":"chat.completion.chunk","created":1780000000,"model":"m","choices":["#;
    let chunk = |body: &str| format!("{head}{body}]}}\n\n");
    let want = chunk(r#"{"index":11,"delta":{"role":"assistant","content":""},"finish_reason":null}"#)
        + &chunk(r#"{"index":11,"delta":{"content":"x"},"finish_reason":null}"#)
        + "data: [DONE]\n\n";
    let late = Event::Text { choice: 11, text: "x".into() };
    assert_eq!(sse(&[late.clone(), Event::Done, late, Event::Done]), want);
    assert_eq!(sse(&[]), "");
    let usage = String::from_utf8(encode(&[Event::Done], true)).unwrap();
    assert!(usage.contains(r#""choices":[],"usage":{"prompt_tokens":0,"#), "{usage}");
    // Nothing empty is sent.
    let empty = [text(""), thought(""), arguments(0, ""), Event::Refusal { choice: 0, text: String::new() }];
    assert_eq!(sse(&empty), "");
}

#[test]
fn blocks_of_thoughts_are_told_apart() {
    let sign = |dialect, value: &str, redacted| Event::Signature {
        choice: 0,
        signature: Signature { dialect, value: value.into(), id: None },
        redacted,
    };
    let events = [
        thought("a"),
        sign(Dialect::Anthropic, "s1", false),
        sign(Dialect::Anthropic, "r", true),
        thought("b"),
        sign(Dialect::Bedrock, "s2", false),
        thought("c"),
        call(0, "t", "f"),
        sign(Dialect::Gemini, "g", false),
        thought("d"),
        sign(Dialect::Gemini, "g2", false),
    ];
    let out = String::from_utf8(encode(&events, false)).unwrap();
    let entries: Vec<&str> = out
        .lines()
        .filter_map(|l| l.split_once(r#""reasoning_details":[{"#)?.1.split_once('}').map(|(e, _)| e))
        .collect();
    let want = [
        r#""type":"reasoning.text","text":"a","index":0"#,
        r#""type":"reasoning.text","signature":"s1","format":"anthropic-claude-v1","index":0"#,
        r#""type":"reasoning.encrypted","data":"r","format":"anthropic-claude-v1","index":1"#,
        r#""type":"reasoning.text","text":"b","index":2"#,
        r#""type":"reasoning.text","signature":"s2","format":"waypost-bedrock-v1","index":2"#,
        r#""type":"reasoning.text","text":"c","index":3"#,
        r#""type":"reasoning.text","text":"d","index":4"#,
        r#""type":"reasoning.text","signature":"g2","format":"google-gemini-v1","index":4"#,
    ];
    assert_eq!(entries, want);
    assert!(out.contains(r#"{"extra_content":{"google":{"thought_signature":"g"}}}"#));
    let (again, fault) = decode(out.as_bytes());
    assert_eq!((&again[1..], fault), (&events[..], None));
}

#[test]
fn sources_without_a_place_are_cited_for_what_came_since_the_last() {
    let cite = |url: &str| Event::Citation {
        choice: 0,
        citation: Box::new(Citation {
            origin: Dialect::Anthropic,
            url: Some(url.into()),
            title: None,
            quote: None,
            range: None,
            native: serde_json::Value::Null,
        }),
    };
    let events = [text("Grüße"), cite("a"), cite("b"), text("!"), text("?"), cite("c"), Event::Done];
    let (again, fault) = decode(&encode(&events, false));
    let ranges: Vec<_> = again
        .iter()
        .filter_map(|e| match e {
            Event::Citation { citation, .. } => citation.range,
            _ => None,
        })
        .collect();
    assert_eq!((ranges, fault), (vec![(0, 5), (0, 5), (5, 7)], None));
    // One list, whether the answer stops or only ends: pieces of it could not be put together again.
    for last in [finish(FinishReason::Stop), Event::Done] {
        let events = [text("a"), cite("a"), text("b"), cite("b"), last, Event::Done];
        let written = String::from_utf8(encode(&events, false)).unwrap();
        assert_eq!(written.matches("annotations").count(), 1, "{written}");
    }
}

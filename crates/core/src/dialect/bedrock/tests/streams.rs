//! Streams: events, their order, their ends.

use proptest::prelude::*;
use serde_json::Value;

use super::{fixtures, named};
use crate::chat::{Event, Finish, FinishReason, Signature};
use crate::dialect::bedrock::frames::{Frame, Frames, write_event, write_exception};
use crate::dialect::bedrock::{Decoder, Encoder, inspect_event};
use crate::dialect::{ChunkFacts, EventFault, ReplyContext};
use crate::registry::{Dialect, Usage};

const STREAMS: [(&str, &str); 26] = fixtures!(
    "streams",
    ".jsonl",
    [
        "plain",
        "padded",
        "tool",
        "tools_parallel",
        "tool_no_arguments",
        "reasoning",
        "reasoning_redacted",
        "reasoning_unsigned",
        "empty_starts",
        "citations",
        "max_tokens",
        "stop_sequence",
        "filtered",
        "guardrail",
        "cached_usage",
        "image",
        "server_tool",
        "unknown_events",
        "metadata_missing",
        "metadata_first",
        "cut",
        "throttled",
        "failed_midway",
        "invalid",
        "unavailable",
        "broke",
    ]
);

/// Names and data of a fixture's events.
fn events_of(text: &str) -> Vec<(String, String)> {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["event"].as_str().unwrap().to_owned(), line["data"].to_string())
    };
    text.lines().map(read).collect()
}

/// The same as bytes on the wire.
fn wire(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in events_of(text) {
        let payload = |out: &mut Vec<u8>| out.extend_from_slice(data.as_bytes());
        if name.ends_with("Exception") {
            write_exception(&mut out, &name, payload);
        } else {
            write_event(&mut out, &name, payload);
        }
    }
    out
}

/// Canonical events of bytes that come in chunks cut there.
fn decode(bytes: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<EventFault>) {
    let (mut frames, mut decoder, mut out, mut from) = (Frames::default(), Decoder::default(), Vec::new(), 0);
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let chunk = &bytes[from..to];
        from = to;
        let mut at = 0;
        while let Some(piece) = frames.next(chunk, &mut at).unwrap() {
            let frame = Frame::parse(piece.bytes(chunk)).unwrap();
            if let Err(fault) = decoder.event(frame.name.as_bytes(), &frame.payload, &mut out) {
                return (out, Some(fault));
            }
        }
    }
    (out, None)
}

fn encode(events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::new(ReplyContext::default());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    out
}

/// Names and data of the frames in bytes.
fn frames_of(bytes: &[u8]) -> Vec<(String, Value)> {
    let (mut frames, mut at, mut found) = (Frames::default(), 0, Vec::new());
    while let Some(piece) = frames.next(bytes, &mut at).unwrap() {
        let frame = Frame::parse(piece.bytes(bytes)).unwrap();
        found.push((frame.name.into_owned(), serde_json::from_slice(&frame.payload).unwrap()));
    }
    found
}

#[test]
fn streams_come_back_the_same() {
    for (name, text) in STREAMS {
        let (events, fault) = decode(&wire(text), &[]);
        let failed = ["throttled", "failed_midway", "invalid", "unavailable", "broke"].contains(&name);
        assert_eq!(fault.is_some(), failed, "{name}: {fault:?}");
        if name == "metadata_first" {
            // The counts come last again.
            continue;
        }
        let (again, fault) = decode(&encode(&events), &[]);
        assert_eq!((again, fault), (events, None), "{name}");
    }
}

#[test]
fn frames_come_back_the_same() {
    for name in [
        "plain",
        "tool_no_arguments",
        "reasoning",
        "reasoning_redacted",
        "citations",
        "max_tokens",
        "stop_sequence",
        "cached_usage",
        "filtered",
    ] {
        let bytes = wire(named(&STREAMS, name));
        assert_eq!(frames_of(&encode(&decode(&bytes, &[]).0)), frames_of(&bytes), "{name}");
    }
}

#[test]
fn events_are_understood() {
    let start = || Event::Start { id: String::new(), model: String::new(), created: None };
    let text = |text: &str| Event::Text { choice: 0, text: text.into() };
    let call = |index, id: &str| Event::ToolCall {
        choice: 0,
        index,
        id: id.into(),
        name: "get_weather".into(),
        custom: false,
        signature: None,
    };
    let arguments = |index, text: &str| Event::Arguments { choice: 0, index, text: text.into() };
    let finish = |reason: FinishReason| Event::Finish { choice: 0, finish: reason.into() };
    let usage = || Event::Usage(Usage { input_tokens: 12, output_tokens: 7, ..Usage::default() });
    let signed = |value: &str, redacted| {
        let signature = Signature { dialect: Dialect::Bedrock, value: value.into(), id: None };
        Event::Signature { choice: 0, signature, redacted }
    };
    let thought = |text: &str| Event::Reasoning { choice: 0, text: text.into(), summary: false };
    let stop = || finish(FinishReason::Stop);
    let cases = [
        ("plain", vec![start(), text("The "), text("Ebro — \"río\"."), stop(), usage(), Event::Done]),
        (
            "tool",
            vec![
                start(),
                text("I will look."),
                call(0, "tooluse_A"),
                arguments(0, "{\"ci"),
                arguments(0, "ty\": \"Porto\"}"),
                finish(FinishReason::ToolCalls),
                usage(),
                Event::Done,
            ],
        ),
        (
            "tools_parallel",
            vec![
                start(),
                call(0, "tooluse_A"),
                arguments(0, r#"{"city":"Porto"}"#),
                call(1, "tooluse_B"),
                arguments(1, r#"{"city":"Faro"}"#),
                finish(FinishReason::ToolCalls),
                usage(),
                Event::Done,
            ],
        ),
        (
            "reasoning",
            vec![
                start(),
                thought("Two "),
                thought("and two."),
                signed("EqQBCgIYAhIM", false),
                text("Four."),
                stop(),
                usage(),
                Event::Done,
            ],
        ),
        (
            "reasoning_redacted",
            vec![start(), signed("RW5jcnlwdGVk", true), text("Four."), stop(), usage(), Event::Done],
        ),
        ("server_tool", vec![start(), text("Found."), stop(), usage(), Event::Done]),
        ("unknown_events", vec![start(), text("Hi."), stop(), usage(), Event::Done]),
        ("metadata_missing", vec![start(), text("Hi."), stop()]),
        ("metadata_first", vec![start(), text("Hi."), usage(), stop(), Event::Done]),
        ("cut", vec![start(), text("Hi.")]),
        ("padded", vec![start(), text("Hi"), stop(), usage(), Event::Done]),
    ];
    for (name, want) in cases {
        assert_eq!(decode(&wire(named(&STREAMS, name)), &[]), (want, None), "{name}");
    }
    let (events, _) = decode(&wire(named(&STREAMS, "stop_sequence")), &[]);
    let met = Finish { reason: FinishReason::Stop, stop_sequence: Some("3".into()) };
    assert!(events.contains(&Event::Finish { choice: 0, finish: met }));
    let (events, _) = decode(&wire(named(&STREAMS, "cached_usage")), &[]);
    let counted = Usage {
        input_tokens: 1204,
        output_tokens: 2,
        cache_read_tokens: 1000,
        cache_write_tokens: 200,
        reasoning_tokens: 0,
    };
    assert!(events.contains(&Event::Usage(counted)));
}

#[test]
fn exceptions_are_errors_with_their_status() {
    for (name, kind, code, overflow) in [
        ("throttled", "throttlingException", "429", false),
        ("failed_midway", "modelStreamErrorException", "424", false),
        ("invalid", "validationException", "400", true),
        ("unavailable", "serviceUnavailableException", "503", false),
        ("broke", "internalServerException", "500", false),
    ] {
        let (_, fault) = decode(&wire(named(&STREAMS, name)), &[]);
        let Some(EventFault::Error(error)) = fault else { panic!("{name}: {fault:?}") };
        let got = (error.kind.as_deref(), error.code.as_deref(), error.context_overflow);
        assert_eq!(got, (Some(kind), Some(code), overflow), "{name}");
        let (event, data) = events_of(named(&STREAMS, name)).pop().unwrap();
        let facts = inspect_event(event.as_bytes(), data.as_bytes()).unwrap();
        assert_eq!(facts.error, Some(error), "{name}");
    }
    // One that nobody has named, without a word.
    let fault = Decoder::default().event(b"novelException", b"", &mut Vec::new()).unwrap_err();
    let EventFault::Error(error) = fault else { panic!("{fault:?}") };
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("novelException", Some("500")));
}

#[test]
fn streams_that_break_the_rules_are_malformed() {
    let begin = ("messageStart", r#"{"role":"assistant"}"#);
    let call = ("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}"#);
    let stop = ("messageStop", r#"{"stopReason":"end_turn"}"#);
    let cases: [&[(&str, &str)]; 14] = [
        &[begin, begin],
        &[("messageStart", r#"{"role":"user"}"#)],
        &[begin, stop, stop],
        &[begin, ("messageStop", "{}")],
        &[begin, call, call],
        &[begin, ("contentBlockStart", r#"{"start":{}}"#)],
        &[begin, ("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"","name":"f"}}}"#)],
        &[begin, ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#)],
        &[begin, ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":5}}"#)],
        &[
            begin,
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"§"}}}"#),
        ],
        &[begin, ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"citation":"x"}}"#)],
        &[begin, ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"cu"#)],
        &[begin, ("contentBlockDelta", "[]")],
        &[begin, ("metadata", "<html>")],
    ];
    for events in cases {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        let last = events.len() - 1;
        for (i, (name, data)) in events.iter().enumerate() {
            let got = decoder.event(name.as_bytes(), data.as_bytes(), &mut out);
            assert_eq!(matches!(got, Err(EventFault::Malformed(_))), i == last, "{events:?}: {got:?}");
        }
    }
}

#[test]
fn inspecting_says_what_decoding_says() {
    for (name, text) in STREAMS {
        let mut decoder = Decoder::default();
        let mut total = ChunkFacts::default();
        let (mut bytes, mut events) = (0, Vec::new());
        for (event, data) in events_of(text) {
            let facts = inspect_event(event.as_bytes(), data.as_bytes()).unwrap();
            let fault = decoder.event(event.as_bytes(), data.as_bytes(), &mut events);
            assert_eq!(facts.error.is_some(), fault.is_err(), "{name}");
            total.output |= facts.output;
            total.usage = facts.usage.or(total.usage);
            total.finish = facts.finish.or(total.finish);
            total.done |= facts.done;
            total.choices |= facts.choices;
            total.finished |= facts.finished;
            bytes += facts.text_bytes;
            assert!(!facts.usage_only);
        }
        let (mut said, mut usage, mut finish) = (0, None, None);
        for event in &events {
            match event {
                Event::Text { text, .. } | Event::Reasoning { text, .. } | Event::Arguments { text, .. } => {
                    said += text.len() as u64;
                }
                Event::ToolCall { name, .. } => said += name.len() as u64,
                Event::Usage(counts) => usage = Some(*counts),
                Event::Finish { finish: end, .. } => finish = Some(end.reason),
                _ => {}
            }
        }
        assert_eq!((total.usage, total.finish), (usage, finish), "{name}");
        // A tool that the provider runs is seen as output, and no more is known of it.
        if name != "server_tool" {
            assert_eq!(bytes, said, "{name}");
        }
        let ended = total.finish.is_some() && total.choices == total.finished;
        let cut = matches!(name, "cut" | "throttled" | "failed_midway" | "invalid" | "unavailable" | "broke");
        assert_eq!(ended, !cut, "{name}");
    }
    for bad in ["{", "[]", "null", "{} {}", ""] {
        for name in ["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata"] {
            assert!(inspect_event(name.as_bytes(), bad.as_bytes()).is_err(), "{name} {bad}");
        }
    }
}

#[test]
fn encoders_need_no_start_and_say_nothing_after_the_end() {
    let text = Event::Text { choice: 0, text: "a".into() };
    let other = Event::Text { choice: 1, text: "b".into() };
    let bytes = encode(&[text.clone(), other, Event::Done, text, Event::Done]);
    let names: Vec<String> = frames_of(&bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]);
    let (_, metadata) = frames_of(&bytes).pop().unwrap();
    assert_eq!(metadata["usage"]["inputTokens"], 0);
}

#[test]
fn arguments_of_several_calls_may_come_mixed() {
    let call = |index, id: &str| Event::ToolCall {
        choice: 0,
        index,
        id: id.into(),
        name: "f".into(),
        custom: false,
        signature: None,
    };
    let arguments = |index, text: &str| Event::Arguments { choice: 0, index, text: text.into() };
    let events = [
        call(0, "a"),
        call(1, "b"),
        arguments(0, "{"),
        arguments(1, "{}"),
        arguments(0, "}"),
        Event::Text { choice: 0, text: "x".into() },
        Event::Done,
    ];
    let (read, fault) = decode(&encode(&events), &[]);
    assert_eq!(fault, None);
    let of = |wanted| {
        let piece = |e: &Event| match e {
            Event::Arguments { index, text, .. } if *index == wanted => Some(text.clone()),
            _ => None,
        };
        read.iter().filter_map(piece).collect::<String>()
    };
    assert_eq!((of(0), of(1)), ("{}".into(), "{}".into()));
    let stops = frames_of(&encode(&events)).iter().filter(|(name, _)| name == "contentBlockStop").count();
    assert_eq!(stops, 3);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(
        which: prop::sample::Index,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = wire(STREAMS[which.index(STREAMS.len())].1);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode(&bytes, &cuts), decode(&bytes, &[]));
    }

    #[test]
    fn arbitrary_events_never_panic(
        name in prop::sample::select(vec![
            "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x",
        ]),
        data: Vec<u8>,
        which: prop::sample::Index,
        at: prop::sample::Index,
        to: u8,
    ) {
        let _ = inspect_event(name.as_bytes(), &data);
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        let _ = decoder.event(name.as_bytes(), &data, &mut out);
        let events = events_of(STREAMS[which.index(STREAMS.len())].1);
        let changed = at.index(events.len());
        for (i, (name, data)) in events.into_iter().enumerate() {
            let mut data = data.into_bytes();
            if i == changed {
                let at = at.index(data.len());
                data[at] = to;
            }
            let inspected = inspect_event(name.as_bytes(), &data);
            let decoded = decoder.event(name.as_bytes(), &data, &mut out);
            prop_assert!(inspected.is_ok() || decoded.is_err() || out.contains(&Event::Done));
        }
        encode(&out);
    }
}

//! Streams: what is read, what is faulty, and how blocks of other dialects' events are laid out.

use serde_json::json;

use super::*;
use crate::chat::{Citation, Finish, FinishReason, Media, MediaKind, Signature, Source};
use crate::registry::Usage;

fn events(name: &str) -> Vec<Event> {
    let (events, fault) = decode(fixture("streams", name).as_bytes());
    assert_eq!((fault, events.last()), (None, Some(&Event::Done)), "{name}");
    events
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

fn call(index: u32) -> Event {
    let (id, name) = (format!("c{index}"), format!("f{index}"));
    Event::ToolCall { choice: 0, index, id, name, custom: false, signature: None }
}

fn arguments(index: u32, text: &str) -> Event {
    Event::Arguments { choice: 0, index, text: text.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, finish: reason.into() }
}

fn signed(value: &str, redacted: bool) -> Event {
    let signature = Signature { dialect: Dialect::Anthropic, value: value.into(), id: None };
    Event::Signature { choice: 0, signature, redacted }
}

fn start() -> Event {
    Event::Start { id: "msg_01S".into(), model: "claude-sonnet-4-5-20250929".into(), created: None }
}

#[test]
fn events_are_read_in_order_and_byte_for_byte() {
    let usage = |output_tokens| Event::Usage(Usage { input_tokens: 12, output_tokens, ..Usage::default() });
    let want = vec![
        start(),
        usage(1),
        text("Looking."),
        Event::ToolCall {
            choice: 0,
            index: 0,
            id: "toolu_01".into(),
            name: "tide".into(),
            custom: false,
            signature: None,
        },
        arguments(0, r#"{"harb"#),
        arguments(0, r#"our": "Ri"#),
        arguments(0, r#" be\"}"}"#),
        finish(FinishReason::ToolCalls),
        usage(9),
        Event::Done,
    ];
    assert_eq!(events("tool"), want);
    for same in ["unnamed_events", "crlf"] {
        assert_eq!(events(same), [start(), usage(1), text("Nine."), finish(FinishReason::Stop), usage(9), Event::Done]);
    }
    assert_eq!(events("unknown_events"), events("crlf"));
    assert_eq!(events("plain")[2..5], [text("At"), text(" nine.\n"), text("é😀")]);
}

#[test]
fn calls_without_deltas_have_their_input() {
    let inputs =
        |name| -> Vec<Event> { events(name).into_iter().filter(|e| matches!(e, Event::Arguments { .. })).collect() };
    assert_eq!(inputs("tool_without_input"), [arguments(0, "{}"), arguments(1, "{}")]);
    assert_eq!(inputs("tool_input_at_once"), [arguments(0, r#"{"harbour":"Ribe"}"#)]);
}

#[test]
fn thoughts_keep_their_signatures() {
    let reasoning = |text: &str| Event::Reasoning { choice: 0, text: text.into(), summary: false };
    let of = |name| -> Vec<Event> {
        let is = |e: &Event| matches!(e, Event::Reasoning { .. } | Event::Signature { .. });
        merged(events(name)).into_iter().filter(is).collect()
    };
    assert_eq!(of("thinking"), [reasoning("Nine or ten?"), signed("EqoBCkgI", false), signed("EmwKAhgB", true)]);
    assert_eq!(of("thinking_omitted"), [signed("EqoBCkgI", false)]);
    assert_eq!(of("thinking_unsigned"), [reasoning("Hm.")]);
}

#[test]
fn usage_is_cumulative() {
    let last = |name| events(name).into_iter().rev().find_map(|e| if let Event::Usage(u) = e { Some(u) } else { None });
    let usage = |input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens| {
        Some(Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens })
    };
    assert_eq!(last("plain"), usage(12, 9, 0, 0, 0));
    assert_eq!(last("cached"), usage(2112, 9, 2000, 100, 0));
    assert_eq!(last("usage_grows"), usage(542, 9, 30, 0, 0));
    assert_eq!(last("thinking"), usage(12, 60, 0, 0, 50));
}

#[test]
fn faults_are_told_apart() {
    // (fixture, events before it, error's message or the malformed field)
    let cases = [
        ("error_first", 0, Ok("Overloaded")),
        ("error_midway", 3, Ok("Overloaded")),
        ("error_plain", 2, Ok("upstream connect error")),
        ("start_twice", 2, Err("type")),
        ("no_start", 0, Err("type")),
        ("not_json", 2, Err("")),
        ("unopened_block", 2, Err("index")),
        ("wrong_delta", 2, Err("delta.type")),
        ("nameless_tool", 2, Err("content_block.name")),
    ];
    for (name, before, want) in cases {
        let (events, fault) = decode(fixture("streams", name).as_bytes());
        assert_eq!(events.len(), before, "{name}: {events:?}");
        match (fault, want) {
            (Some(EventFault::Error(e)), Ok(message)) => assert_eq!(e.message, message, "{name}"),
            (Some(EventFault::Malformed(m)), Err(field)) => assert_eq!(m.field, field, "{name}: {m}"),
            (fault, _) => panic!("{name}: {fault:?}"),
        }
    }
    for cut in ["cut_between_events", "cut_inside_event"] {
        let (events, fault) = decode(fixture("streams", cut).as_bytes());
        assert_eq!((fault, events.contains(&Event::Done)), (None, false), "{cut}");
    }
    // After the end nothing is read.
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for data in [r#"{"type":"message_start","message":{}}"#, r#"{"type":"message_stop"}"#, "garbage"] {
        decoder.event(b"", data.as_bytes(), &mut out).unwrap();
    }
    assert_eq!(out.len(), 2);
}

/// What was written, block by block: its kind and all its deltas joined.
fn blocks(events: &[Event]) -> Vec<(String, String)> {
    let stream = wire(&encode(events));
    assert_serial("written", &stream);
    let mut blocks: Vec<(String, String)> = Vec::new();
    for (name, data) in stream {
        match name.as_str() {
            "content_block_start" => {
                let block = &data["content_block"];
                let data = block["data"].as_str().or(block["name"].as_str()).unwrap_or_default();
                blocks.push((
                    block["type"].as_str().unwrap().to_owned(),
                    if data.is_empty() { String::new() } else { format!("{data} ") },
                ));
            }
            "content_block_delta" => {
                let delta = &data["delta"];
                let members = ["text", "thinking", "partial_json"];
                let text = members.iter().find_map(|m| delta[m].as_str()).map(str::to_owned);
                let other = || delta["signature"].as_str().map(|s| format!("<{s}>"));
                let cited = || format!("[{}]", delta["citation"]["url"].as_str().unwrap_or("own"));
                blocks.last_mut().unwrap().1 += &text.or_else(other).unwrap_or_else(cited);
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn blocks_open_and_close_by_kind() {
    let reasoning = |text: &str| Event::Reasoning { choice: 0, text: text.into(), summary: true };
    let foreign = Signature { dialect: Dialect::Gemini, value: "G".into(), id: None };
    let citation = |url: &str| Event::Citation {
        choice: 0,
        citation: Box::new(Citation {
            origin: Dialect::Responses,
            url: Some(url.into()),
            title: None,
            quote: None,
            range: None,
            native: json!({}),
        }),
    };
    let written = blocks(&[
        reasoning("a"),
        reasoning("b"),
        signed("S", false),
        reasoning("c"),
        signed("R", true),
        Event::Signature { choice: 0, signature: foreign.clone(), redacted: false },
        citation("https://first.test"),
        text("x"),
        text(""),
        text("y"),
        citation("https://then.test"),
        Event::Refusal { choice: 0, text: "no".into() },
        Event::Text { choice: 1, text: "another answer".into() },
        Event::ToolCall {
            choice: 0,
            index: 0,
            id: "c".into(),
            name: "f".into(),
            custom: false,
            signature: Some(foreign),
        },
        Event::Done,
        text("late"),
    ]);
    let want = [
        ("thinking", "ab<S>"),
        ("thinking", "c"),
        ("redacted_thinking", "R "),
        ("thinking", "<waypost.gemini..G>"),
        ("text", "[https://first.test]xy[https://then.test]no"),
        ("redacted_thinking", "waypost.gemini.call.G "),
        ("tool_use", "f "),
    ];
    assert_eq!(written, want.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
}

#[test]
fn interleaved_calls_stay_whole_and_in_order() {
    let calls = |events: &[Event]| {
        let mut all = events.to_vec();
        all.push(Event::Done);
        blocks(&all).into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    let serial = [call(0), arguments(0, "{\"a\":"), arguments(0, "\"}\"}"), call(1), arguments(1, "{}")];
    assert_eq!(calls(&serial), [r#"f0 {"a":"}"}"#, "f1 {}"]);
    let interleaved = [
        call(0),
        call(1),
        call(2),
        arguments(0, "{\"a\""),
        arguments(1, "{\"b\""),
        text("said in between"),
        arguments(2, "{}"),
        arguments(0, ":1}"),
        arguments(1, ":[2]}"),
        arguments(1, "\n"),
    ];
    assert_eq!(calls(&interleaved), ["f0 {\"a\":1}", "f1 {\"b\":[2]}", "f2 {}", "said in between"]);
    // A call without arguments keeps what follows waiting, no longer than to the end.
    assert_eq!(calls(&[call(0), call(1), arguments(1, "{\"x\":1}"), text("t")]), ["f0 ", "f1 {\"x\":1}", "t"]);
    // While one call follows the other nothing waits.
    let (mut encoder, mut out) = (Encoder::new(context()), Vec::new());
    for event in &serial[..4] {
        out.clear();
        encoder.event(event, &mut out);
        assert!(!out.is_empty(), "{event:?}");
    }
}

#[test]
fn free_text_and_pictures_find_a_form() {
    let sql =
        |index| Event::ToolCall { choice: 0, index, id: "c".into(), name: "sql".into(), custom: true, signature: None };
    let source = Source::Data { mime: "image/png".into(), base64: "AAAA".into() };
    let media = Media { kind: MediaKind::Image, source, name: None, detail: None };
    let written = blocks(&[
        text("Here:"),
        Event::Media { choice: 0, media: Box::new(media) },
        text("done."),
        sql(0),
        sql(1),
        arguments(0, "SELECT \"x\""),
        arguments(1, "é\n"),
        arguments(0, "\\"),
        finish(FinishReason::ToolCalls),
        Event::Done,
    ]);
    let want = [
        ("text", "Here:"),
        ("text", "[image/png: the model made this, and answers of the Messages API cannot hold it]"),
        ("text", "done."),
        ("tool_use", r#"sql {"input":"SELECT \"x\"\\"}"#),
        ("tool_use", r#"sql {"input":"é\n"}"#),
    ];
    assert_eq!(written, want.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
}

#[test]
fn the_frame_is_complete_whatever_came() {
    let usage = Usage { input_tokens: 30, output_tokens: 5, cache_read_tokens: 20, ..Usage::default() };
    let stream = wire(&encode(&[
        Event::Start { id: "chatcmpl-1".into(), model: "gpt".into(), created: Some(1) },
        text("x"),
        Event::Finish { choice: 0, finish: Finish { reason: FinishReason::Stop, stop_sequence: Some("END".into()) } },
        Event::Usage(usage),
        Event::Done,
    ]));
    let message = &stream[0].1["message"];
    assert_eq!(
        (&message["id"], &message["model"], &message["content"]),
        (&json!("chatcmpl-1"), &json!("gpt"), &json!([]))
    );
    let counts = |i, o, read| json!({"input_tokens": i, "cache_creation_input_tokens": 0, "cache_read_input_tokens": read, "output_tokens": o});
    assert_eq!(message["usage"], counts(0, 0, 0));
    let end = &stream[stream.len() - 2].1;
    assert_eq!(end["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
    assert_eq!(end["usage"], counts(10, 5, 20));

    let bare = wire(&encode(&[Event::Done]));
    let names: Vec<_> = bare.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["message_start", "message_delta", "message_stop"]);
    assert_eq!(
        (&bare[0].1["message"]["model"], &bare[1].1["delta"]["stop_reason"]),
        (&json!("asked-for"), &json!("end_turn"))
    );

    let reason =
        |events: &[Event]| wire(&encode(events)).iter().rev().nth(1).unwrap().1["delta"]["stop_reason"].clone();
    let tools = [call(0), arguments(0, "{}"), finish(FinishReason::Stop), Event::Done];
    assert_eq!(reason(&tools), "tool_use", "clients run tools by this name");
    assert_eq!(reason(&[text("x"), finish(FinishReason::Length), Event::Done]), "max_tokens");
    assert_eq!(reason(&[text("x"), finish(FinishReason::ContentFilter), Event::Done]), "refusal");
    // Input that is counted at the start is said at the start.
    let early = wire(&encode(&[Event::Usage(usage), text("x"), Event::Done]));
    assert_eq!(early[0].1["message"]["usage"], counts(10, 5, 20));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_data_never_panic(events in prop::collection::vec((0usize..4, "[ -~]{0,40}"), 0..8)) {
            let names: [&[u8]; 4] = [b"", b"message_start", b"content_block_delta", b"error"];
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            for (name, data) in events {
                let _ = decoder.event(names[name], data.as_bytes(), &mut out);
            }
        }

        #[test]
        fn damaged_streams_never_panic(at: prop::sample::Index, to: u8, which: prop::sample::Index) {
            let streams = fixtures("streams");
            let mut stream = streams[which.index(streams.len())].1.clone().into_bytes();
            let i = at.index(stream.len());
            stream[i] = to;
            let (events, _) = decode(&stream);
            encode(&events);
        }

        /// Whatever order the pieces of calls come in, each call's bytes are whole, and blocks are serial.
        #[test]
        fn any_interleaving_keeps_every_byte(order in prop::collection::vec(0u32..3, 0..40)) {
            let whole = [r#"{"c":"\"}d\\"}"#, "{}", r#"{"a":[1,{"b":"}\"{"}]}"#];
            let mut all = vec![call(0), call(1), call(2)];
            let mut at = [0usize; 3];
            for i in order.into_iter().chain([0; 30]).chain([1; 30]).chain([2; 30]) {
                let rest = &whole[i as usize][at[i as usize]..];
                if let Some(c) = rest.chars().next() {
                    at[i as usize] += c.len_utf8();
                    all.push(arguments(i, &c.to_string()));
                }
            }
            all.push(Event::Done);
            let want: Vec<_> = whole.iter().enumerate().map(|(i, w)| ("tool_use".to_owned(), format!("f{i} {w}"))).collect();
            prop_assert_eq!(blocks(&all), want);
        }
    }
}

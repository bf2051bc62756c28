//! Every fixture round trips; what else is promised stands in the files beside.

mod answers;
mod errors;
mod inspecting;
mod requests;
mod streams;
mod translating;

use serde_json::Value;

use super::*;
use crate::chat::{Content, Event, Part, Request};
use crate::dialect::{Encoded, EventFault, Inexpressible, ReplyContext, Target, sse};
use crate::registry::{Dialect, Quirks};

/// The fixtures of one kind, as (name, text), in order.
#[expect(clippy::disallowed_methods, reason = "the core reads no file; this test is about files")]
fn fixtures(kind: &str) -> Vec<(String, String)> {
    let folder = format!("{}/tests/fixtures/anthropic/{kind}", env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() >= 15, "the fixtures of {kind} are not where they were");
    found
}

fn fixture(kind: &str, name: &str) -> String {
    fixtures(kind).into_iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no fixture {kind}/{name}")).1
}

fn target(model: &str) -> Target<'_> {
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

fn context() -> ReplyContext {
    ReplyContext { id: "0123".repeat(8), created: 7, model: "asked-for".into(), include_usage: true }
}

fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)))
}

fn sent(request: &Request, target: &Target<'_>) -> Encoded {
    encode_request(request, target).unwrap_or_else(|e| panic!("{}: {}", e.field, e.why))
}

fn refused(request: &Request, target: &Target<'_>) -> Inexpressible {
    encode_request(request, target).expect_err("can be said")
}

/// All events of a stream; the fault that ends it early, if any.
fn decode(stream: &[u8]) -> (Vec<Event>, Option<EventFault>) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    let mut splitter = sse::Splitter::default();
    let mut at = 0;
    while let Some(piece) = splitter.next(stream, &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream));
        let Some(data) = event.data else { continue };
        if let Err(fault) = decoder.event(event.name, &data, &mut events) {
            return (events, Some(fault));
        }
    }
    (events, None)
}

fn encode(events: &[Event]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(context()), Vec::new());
    events.iter().for_each(|event| encoder.event(event, &mut out));
    out
}

/// A stream's events as (name, data).
fn wire(stream: &[u8]) -> Vec<(String, Value)> {
    let mut splitter = sse::Splitter::default();
    let (mut at, mut found) = (0, Vec::new());
    while let Some(piece) = splitter.next(stream, &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream));
        found.push((String::from_utf8_lossy(event.name).into_owned(), value(&event.data.unwrap())));
    }
    assert!(splitter.finish().is_empty(), "a stream ends behind an event");
    found
}

#[test]
fn requests_of_this_api_come_back_as_they_were() {
    for (name, text) in fixtures("requests") {
        let request = decode_request(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(request.orphaned_result(), None, "{name}");
        let model = request.model.clone();
        let encoded = sent(&request, &Target { strict: true, ..target(&model) });
        assert_eq!(value(&encoded.body), value(text.as_bytes()), "{name}");
        assert_eq!((encoded.dropped.as_slice(), encoded.json_tool), ([].as_slice(), None), "{name}");
        // A second time nothing changes, down to the byte.
        let again = decode_request(&encoded.body).unwrap();
        assert_eq!(again, request, "{name}");
        assert_eq!(sent(&again, &target(&model)).body, encoded.body, "{name}");
    }
}

#[test]
fn answers_of_this_api_come_back_as_they_were() {
    for (name, text) in fixtures("answers").into_iter().filter(|(name, _)| name != "error") {
        let response = decode_response(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let encoded = encode_response(&response, &context());
        assert_eq!(value(&encoded), value(text.as_bytes()), "{name}");
        assert_eq!(decode_response(&encoded).unwrap(), response, "{name}");
    }
}

/// Text in fragments and intermediate usage are not kept apart.
fn merged(events: Vec<Event>) -> Vec<Event> {
    let usage = events.iter().rev().find(|e| matches!(e, Event::Usage(_))).cloned();
    let mut merged: Vec<Event> = Vec::new();
    for event in events.into_iter().filter(|e| !matches!(e, Event::Usage(_))) {
        match (merged.last_mut(), event) {
            (Some(Event::Text { text, .. }), Event::Text { text: more, .. })
            | (Some(Event::Reasoning { text, .. }), Event::Reasoning { text: more, .. })
            | (Some(Event::Arguments { text, .. }), Event::Arguments { text: more, .. }) => text.push_str(&more),
            (_, event) => merged.push(event),
        }
    }
    merged.extend(usage);
    merged
}

#[test]
fn streams_of_this_api_keep_their_meaning() {
    for (name, stream) in fixtures("streams") {
        let (events, fault) = decode(stream.as_bytes());
        let complete = events.last() == Some(&Event::Done);
        assert!(!(complete && fault.is_some()), "{name}");
        if !complete {
            continue;
        }
        let written = encode(&events);
        assert_serial(&name, &wire(&written));
        let (again, fault) = decode(&written);
        assert_eq!(fault, None, "{name}");
        assert_eq!(merged(again), merged(events), "{name}");
    }
}

/// What every client's parser relies on: one start, blocks one after the other in order of their indices, one end.
fn assert_serial(name: &str, events: &[(String, Value)]) {
    let mut open = None;
    let mut next = 0;
    for (i, (event, data)) in events.iter().enumerate() {
        assert_eq!(data["type"], event.as_str(), "{name}");
        let place = (i, events.len() - i);
        match event.as_str() {
            "message_start" => assert_eq!(i, 0, "{name}"),
            "content_block_start" => {
                assert_eq!((open, data["index"].as_u64()), (None, Some(next)), "{name}");
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => assert_eq!(data["index"].as_u64(), open, "{name}"),
            "content_block_stop" => assert_eq!(data["index"].as_u64(), open.take(), "{name}"),
            "message_delta" => assert_eq!((place.1, open), (2, None), "{name}"),
            "message_stop" => assert_eq!(place.1, 1, "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
    assert!(events.len() >= 3, "{name}: {events:?}");
}

//! Each fixture there and back, and what the two readers of an answer agree on; the rules one by one are in the submodules.

mod answers;
mod errors;
mod requests;
mod streams;

use super::*;
use crate::chat::{Event, Request};
use crate::dialect::sse::Splitter;
use crate::dialect::{EventFault, ReplyContext, Target, sse};
use crate::registry::Quirks;
use proptest::prelude::*;

/// All fixtures of a kind, by name.
#[expect(clippy::disallowed_methods, reason = "tests read their fixtures; the core itself reads no file")]
fn fixtures(kind: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gemini").join(kind);
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn fixture(kind: &str, name: &str) -> String {
    fixtures(kind).into_iter().find(|(n, _)| n == name).unwrap().1
}

/// What a fixture must come back as: itself, or the documented normal form.
fn normal(name: &str, itself: &str) -> Value {
    let other = fixtures("normalised").into_iter().find(|(n, _)| n == name);
    let text = other.map_or(itself.to_owned(), |(_, text)| text);
    json(&text.replace("%HASH%", &parts::id_base("", itself.as_bytes())))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
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

/// The body that a request becomes, and what was dropped.
fn encode(request: &Request, target: &Target<'_>) -> (Value, Vec<String>) {
    let encoded = encode_request(request, target).unwrap();
    assert_eq!(encoded.json_tool, None);
    (json(std::str::from_utf8(&encoded.body).unwrap()), encoded.dropped)
}

/// The events of a stream, and the fault that ends it.
fn events(stream: &[u8]) -> (Vec<Event>, Option<EventFault>) {
    let (mut splitter, mut decoder, mut out, mut at) = (Splitter::default(), Decoder::default(), Vec::new(), 0);
    while let Some(piece) = splitter.next(stream, &mut at).unwrap() {
        let event = sse::Event::parse(piece.bytes(stream));
        let Some(data) = event.data else { continue };
        if let Err(fault) = decoder.event(event.name, &data, &mut out) {
            return (out, Some(fault));
        }
    }
    (out, None)
}

fn encode_stream(events: &[Event]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(ReplyContext::default()), Vec::new());
    events.iter().chain([&Event::Done]).for_each(|event| encoder.event(event, &mut out));
    out
}

#[test]
fn requests_come_back_as_they_were() {
    let all = fixtures("requests");
    assert!(all.len() >= 25, "{}", all.len());
    for (name, text) in all {
        let request = decode_request(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (body, dropped) = encode(&request, &target("gemini-2.5-pro"));
        assert_eq!(body, normal(&name, &text), "{name}");
        assert_eq!(dropped, Vec::<String>::new(), "{name}");
        assert_eq!(request.orphaned_result(), None, "{name}");
        // Once more from what was written: nothing moves any further.
        let again = decode_request(body.to_string().as_bytes()).unwrap();
        assert_eq!(encode(&again, &target("gemini-3-pro")).0, body, "{name}");
    }
}

#[test]
fn answers_come_back_as_they_were() {
    for (name, text) in fixtures("answers") {
        let response = decode_response(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let body = encode_response(&response, &ReplyContext::default());
        assert_eq!(json(std::str::from_utf8(&body).unwrap()), normal(&format!("answer_{name}"), &text), "{name}");
    }
}

/// Usage is told at the end, and so is the reason.
fn in_order(events: &[Event]) -> Vec<Event> {
    let is_late = |e: &Event| matches!(e, Event::Finish { .. } | Event::Usage(_));
    let mut out: Vec<_> = events.iter().filter(|e| !is_late(e)).cloned().collect();
    out.extend(events.iter().filter(|e| matches!(e, Event::Finish { .. })).cloned());
    out.extend(events.iter().rev().find(|e| matches!(e, Event::Usage(_))).cloned());
    out
}

#[test]
fn streams_come_back_as_they_were() {
    for (name, text) in fixtures("streams") {
        let (first, fault) = events(text.as_bytes());
        assert_eq!(fault.is_some(), ["malformed_call", "error_midway"].contains(&name.as_str()), "{name}: {fault:?}");
        assert!(matches!(first[0], Event::Start { .. }), "{name}");
        assert!(!first.contains(&Event::Done), "{name}");
        let (second, fault) = events(&encode_stream(&first));
        assert_eq!((in_order(&second), fault), (in_order(&first), None), "{name}");
    }
}

#[test]
fn both_readers_of_an_answer_see_the_same() {
    for (name, text) in fixtures("answers") {
        let facts = inspect_completion(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let response = decode_response(text.as_bytes()).unwrap();
        assert_eq!(facts.usage, response.usage, "{name}");
        assert_eq!(facts.finish, response.choices.last().unwrap().finish.as_ref().map(|f| f.reason), "{name}");
        let parts = response.choices.iter().any(|c| !c.parts.is_empty());
        assert_eq!(facts.output, parts, "{name}");
    }
    for (name, text) in fixtures("streams") {
        let (decoded, fault) = events(text.as_bytes());
        let mut seen = crate::dialect::ChunkFacts::default();
        let mut at = 0;
        let mut splitter = Splitter::default();
        while let Some(piece) = splitter.next(text.as_bytes(), &mut at).unwrap() {
            let event = sse::Event::parse(piece.bytes(text.as_bytes()));
            let facts = inspect_event(event.name, &event.data.unwrap()).unwrap();
            assert!(!facts.usage_only && !facts.done, "{name}");
            seen.output |= facts.output;
            seen.text_bytes += facts.text_bytes;
            seen.usage = facts.usage.or(seen.usage);
            seen.error = facts.error.or(seen.error);
            seen.choices |= facts.choices;
            seen.finished |= facts.finished;
        }
        let fault = fault.map(|f| match f {
            EventFault::Error(error) => error,
            EventFault::Malformed(m) => panic!("{name}: {m}"),
        });
        assert_eq!(seen.error, fault, "{name}");
        let usage = decoded.iter().rev().find_map(|e| match e {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        if fault.is_none() {
            assert_eq!(seen.usage, usage, "{name}");
        }
        assert_eq!(seen.finished == seen.choices, name != "cut" && name != "error_midway", "{name}");
    }
}

#[test]
fn paths_name_model_and_method() {
    for (model, stream, embeddings, want) in [
        ("gemini-2.5-pro", false, false, "/models/gemini-2.5-pro:generateContent"),
        ("models/gemini-2.5-pro", true, false, "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("gemini-embedding-001", false, true, "/models/gemini-embedding-001:batchEmbedContents"),
        ("tunedModels/mine", false, false, "/tunedModels/mine:generateContent"),
        ("a?b#c:d", false, false, "/models/a%3Fb%23c%3Ad:generateContent"),
    ] {
        assert_eq!(path(model, stream, embeddings), want);
    }
}

proptest! {
    /// Bytes of a fixture changed at will: typed errors, no panics, and whole answers that both readers take for JSON.
    #[test]
    fn damaged_bodies_are_errors(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:0-ne\\\x00\xff".to_vec())), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = ["requests", "answers", "streams", "errors"].iter().flat_map(|kind| fixtures(kind)).collect();
        let mut body = pick.get(&all).1.clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len() * 4).max(1));
        let _ = decode_request(&body).map(|r| encode_request(&r, &target("gemini-3-pro")));
        let _ = decode_response(&body).map(|r| encode_response(&r, &ReplyContext::default()));
        let _ = inspect_completion(&body);
        let _ = events(&body);
        let error = parse_error(Some(400), &body);
        prop_assert!(!error.message.is_empty());
    }
}

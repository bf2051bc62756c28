//! Every fixture of every dialect in every other: what comes out is compared with reviewed snapshots, one file for each
//! pair and kind. `UPDATE_SNAPSHOTS=1` rewrites them. And any chunking of a stream gives the same events and bytes.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use waypost_core::chat::{Event, Request};
use waypost_core::dialect::{self, Decoder, Encoder, EventFault, ReplyContext, Target, sse};
use waypost_core::registry::{Dialect, Quirks};

pub(crate) const DIALECTS: [Dialect; 5] =
    [Dialect::OpenAi, Dialect::Responses, Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock];

/// A fixture: its name without the ending, and its bytes.
pub(crate) type Fixture = (String, Vec<u8>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[expect(clippy::disallowed_methods, reason = "the core reads no file; this test is about files")]
fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// The fixtures of one kind, by name.
pub(crate) fn fixtures(dialect: Dialect, kind: &str) -> Vec<Fixture> {
    let folder = root().join(dialect.name()).join(kind);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut found: Vec<Fixture> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().and_then(|n| n.to_str()).expect("names are UTF-8").to_owned();
            (name, read(&path).expect("it was found there"))
        })
        .collect();
    found.sort();
    found
}

/// The dialects that have fixtures.
fn present() -> impl Iterator<Item = Dialect> {
    DIALECTS.into_iter().filter(|d| root().join(d.name()).join("requests").is_dir())
}

/// Compares one kind of fixtures in all pairs with their snapshots. `write` appends what became of one fixture.
fn compare(kind: &str, mut write: impl FnMut(Dialect, Dialect, &Fixture, &mut String)) {
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    let update = std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|v| v == "1");
    let folder = root().join("snapshots");
    let mut differing = Vec::new();
    for from in present() {
        for to in present() {
            let mut text = String::new();
            for fixture in &fixtures(from, kind) {
                let _ = writeln!(text, "=== {}", fixture.0);
                write(from, to, fixture, &mut text);
                text.push('\n');
            }
            let path = folder.join(format!("{}_to_{}.{kind}.txt", from.name(), to.name()));
            let before = read(&path).unwrap_or_default();
            if update {
                std::fs::create_dir_all(&folder).expect("the folder can be made");
                std::fs::write(&path, text).expect("the snapshot can be written");
            } else if let Some(difference) = difference(&String::from_utf8_lossy(&before), &text) {
                differing.push(format!("{}: {difference}", path.display()));
            }
        }
    }
    assert!(differing.is_empty(), "UPDATE_SNAPSHOTS=1 rewrites what is right:\n{}", differing.join("\n"));
}

/// The first line that differs, with the fixture that it belongs to.
fn difference(before: &str, after: &str) -> Option<String> {
    let mut fixture = "";
    let (mut old, mut new) = (before.lines(), after.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (was, is) if was == is => {
                fixture = is.and_then(|l| l.strip_prefix("=== ")).unwrap_or(fixture);
            }
            (was, is) => {
                return Some(format!("in {fixture}\n  was {}\n  is  {}", was.unwrap_or("-"), is.unwrap_or("-")));
            }
        }
    }
}

pub(crate) fn target(quirks: Quirks) -> Target<'static> {
    Target {
        model: "target-model",
        cap: None,
        default_cap: 4096,
        strict: false,
        capabilities: None,
        quirks,
        no_sampling: false,
    }
}

pub(crate) fn context() -> ReplyContext {
    ReplyContext {
        id: "0af7651916cd43dd8448eb211c80319c".into(),
        created: 1_780_000_000,
        model: "asked-model".into(),
        include_usage: true,
    }
}

fn pretty(bytes: &[u8], out: &mut String) {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => {
            let _ = writeln!(out, "{value:#}");
        }
        Err(e) => {
            let _ = writeln!(out, "NOT JSON ({e}): {}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn requests_say_the_same_in_every_dialect() {
    compare("requests", |from, to, (_, body), out| {
        let request: Request = match dialect::decode_request(from, body) {
            Ok(request) => request,
            Err(malformed) => return writeln!(out, "malformed: {malformed}").unwrap_or_default(),
        };
        match dialect::encode_request(to, &request, &target(Quirks::OPENAI)) {
            Ok(encoded) => {
                if !encoded.dropped.is_empty() {
                    let _ = writeln!(out, "dropped: {}", encoded.dropped.join(", "));
                }
                if let Some(tool) = &encoded.json_tool {
                    let _ = writeln!(out, "JSON by the tool: {tool}");
                }
                pretty(&encoded.body, out);
            }
            Err(refused) => {
                let _ = writeln!(out, "refused: {}: {}", refused.field, refused.why);
            }
        }
    });
}

#[test]
fn answers_say_the_same_in_every_dialect() {
    compare("answers", |from, to, (_, body), out| match dialect::decode_response(from, body) {
        Ok(response) => pretty(&dialect::encode_response(to, &response, &context()), out),
        Err(bad) => {
            let _ = writeln!(out, "no answer: {bad:?}");
        }
    });
}

#[test]
fn streams_say_the_same_in_every_dialect() {
    compare("streams", |from, to, (_, stream), out| {
        let (events, fault) = decode(from, stream, &[]);
        readable(&encode(to, &events), out);
        if let Some(fault) = fault {
            let _ = writeln!(out, "fault: {fault:?}");
        }
    });
}

/// Text as it is; of frames what can be read.
fn readable(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => out.push_str(text.trim_end()),
        _ => {
            let shown = bytes.iter().map(|b| if (b' '..=b'~').contains(b) { char::from(*b) } else { '.' });
            out.extend(shown);
        }
    }
    out.push('\n');
}

/// The events of a stream that comes cut at these places.
fn decode(dialect: Dialect, stream: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<EventFault>) {
    let mut decoder = Decoder::new(dialect);
    let mut events = Vec::new();
    // Bedrock's events are listed one a line: its frames have tests of their own.
    if dialect == Dialect::Bedrock {
        for line in stream.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()) {
            let line: Value = serde_json::from_slice(line).expect("a line is an event");
            let name = line["event"].as_str().unwrap_or_default().to_owned();
            if let Err(fault) = decoder.event(name.as_bytes(), line["data"].to_string().as_bytes(), &mut events) {
                return (events, Some(fault));
            }
        }
        return (events, None);
    }
    let mut splitter = sse::Splitter::default();
    let ends = cuts.iter().copied().chain([stream.len()]);
    let mut start = 0;
    for end in ends {
        let chunk = &stream[start..end];
        start = end;
        let mut at = 0;
        while let Some(piece) = splitter.next(chunk, &mut at).expect("no fixture has an event of a megabyte") {
            let event = sse::Event::parse(piece.bytes(chunk));
            let Some(data) = event.data else { continue };
            if let Err(fault) = decoder.event(event.name, &data, &mut events) {
                return (events, Some(fault));
            }
        }
    }
    // Gemini has no end marker: where an answer was finished, the body's end is it.
    if dialect == Dialect::Gemini && events.iter().any(|e| matches!(e, Event::Finish { .. })) {
        events.push(Event::Done);
    }
    (events, None)
}

fn encode(dialect: Dialect, events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::new(dialect, context());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    out
}

/// The streams that come as server-sent events, and those of look-alikes that only pass through otherwise.
fn sse_streams() -> Vec<(Dialect, String, Vec<u8>)> {
    let of = |dialect: Dialect, kind: &'static str| {
        fixtures(dialect, kind).into_iter().map(move |(name, bytes)| (dialect, name, bytes))
    };
    let flat = of(Dialect::OpenAi, "").filter(|(_, _, bytes)| !bytes.starts_with(b"{"));
    present().filter(|d| *d != Dialect::Bedrock).flat_map(|d| of(d, "streams")).chain(flat).collect()
}

/// Asserts that a chunking changes nothing.
fn same((from, name, stream): &(Dialect, String, Vec<u8>), cuts: &[usize]) {
    let whole = decode(*from, stream, &[]);
    let cut = decode(*from, stream, cuts);
    assert_eq!(cut, whole, "{} {name} cut at {cuts:?}", from.name());
    for to in present() {
        assert!(encode(to, &cut.0) == encode(to, &whole.0), "{} {name} to {}", from.name(), to.name());
    }
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let streams = sse_streams();
    assert!(streams.len() >= 25, "{} fixtures", streams.len());
    for stream in &streams {
        let cuts: Vec<usize> = (1..stream.2.len()).collect();
        same(stream, &cuts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_chunking_gives_the_same_events_and_bytes(which: Index, places in prop::collection::vec(any::<Index>(), 0..40)) {
        let streams = sse_streams();
        let stream = which.get(&streams);
        let mut cuts: Vec<usize> = places.iter().map(|p| p.index(stream.2.len() + 1)).collect();
        cuts.sort_unstable();
        same(stream, &cuts);
    }
}

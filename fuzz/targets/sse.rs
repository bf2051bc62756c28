//! Any bytes in any chunking: the splitter keeps every byte, and the gate lets the same events through, commits to the
//! same and ends the same as when everything comes in one chunk.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use waypost_core::dialect::gate::{Progress, StreamFault, StreamGate, Tally};
use waypost_core::dialect::openai;
use waypost_core::dialect::sse::{Event, Splitter};
use waypost_core::registry::Dialect;
use waypost_core::units::{Rng, stable_hash};

/// Below the limits on events and preambles, where chunking may decide which of two faults is found.
const LONGEST: usize = 64 << 10;

fuzz_target!(|stream: &[u8]| {
    if stream.len() > LONGEST {
        return;
    }
    let _ = openai::inspect_completion(stream);
    let mut rng = Rng::new(stable_hash(stream));
    let whole = vec![stream.len()];
    let bytes = (1..=stream.len()).collect();
    let random = |most: usize, rng: &mut Rng| {
        let (mut cuts, mut at) = (Vec::new(), 0);
        while at < stream.len() {
            at = (at + rng.below(most + 1)).min(stream.len());
            cuts.push(at);
        }
        cuts
    };
    let cuttings = [bytes, random(4, &mut rng), random(64, &mut rng), random(1024, &mut rng)];
    for keep_usage in [false, true] {
        let want = gate(stream, &whole, keep_usage);
        for cuts in &cuttings {
            splits(stream, cuts);
            assert_eq!(gate(stream, cuts, keep_usage), want, "cut at {cuts:?}");
        }
    }
});

fn chunks<'a>(stream: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut from = 0;
    cuts.iter().map(move |to| &stream[std::mem::replace(&mut from, *to)..*to])
}

fn splits(stream: &[u8], cuts: &[usize]) {
    let (mut splitter, mut joined) = (Splitter::default(), Vec::new());
    for chunk in chunks(stream, cuts) {
        let mut at = 0;
        while let Some(piece) = splitter.next(chunk, &mut at).unwrap() {
            joined.extend_from_slice(piece.bytes(chunk));
        }
    }
    joined.extend_from_slice(&splitter.finish());
    assert_eq!(joined, stream);
}

/// What the client sees of a stream: its events, whether the answer was begun, how it ended.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<(Vec<u8>, Vec<u8>)>,
    committed: bool,
    tally: Tally,
    end: Result<(), String>,
}

fn gate(stream: &[u8], cuts: &[usize], keep_usage: bool) -> Seen {
    let mut gate = StreamGate::pass(Dialect::OpenAi, keep_usage);
    let mut out = Vec::new();
    let mut fault = None;
    for chunk in chunks(stream, cuts) {
        let before = out.len();
        match gate.push(&Bytes::copy_from_slice(chunk), &mut out) {
            Ok(Progress::Holding) => assert!(out.is_empty(), "nothing goes out before the commitment"),
            Ok(Progress::Committed) => assert!(before == 0 && !out.is_empty()),
            Ok(Progress::Passing) => {}
            Err(e) => {
                fault = Some(e);
                break;
            }
        }
    }
    let end = fault.map_or_else(|| gate.finish(&mut out).map(drop), Err);
    let out = out.concat();
    if end.is_err() && !gate.is_committed() {
        assert!(out.is_empty(), "a failed attempt before the commitment leaves no trace");
    }
    Seen {
        events: events(&out),
        committed: gate.is_committed(),
        tally: *gate.tally(),
        end: end.map_err(|fault| match fault {
            // Where in its event the fault stands is the event's matter, not the chunking's.
            StreamFault::Malformed(_) | StreamFault::Unexpected(_) => "malformed".to_owned(),
            other => format!("{other:?}"),
        }),
    }
}

fn events(out: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut splitter, mut at, mut events) = (Splitter::default(), 0, Vec::new());
    let mut add = |raw: &[u8]| {
        let event = Event::parse(raw);
        events.extend(event.data.map(|data| (event.name.to_vec(), data.into_owned())));
    };
    while let Some(piece) = splitter.next(out, &mut at).unwrap() {
        add(piece.bytes(out));
    }
    add(&splitter.finish());
    events
}

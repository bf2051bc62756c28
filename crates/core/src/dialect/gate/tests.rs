use super::*;
use proptest::prelude::*;
use serde_json::Value;

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openai/", $name, ".sse")).as_slice(),
        )
    };
}

/// Streams as providers send them, and what the gate makes of each when every event is a chunk.
const STREAMS: [((&str, &[u8]), &str); 26] = [
    (fixture!("openai"), "stop, 20+3 cached 16, 15 bytes, marker, committed at 2"),
    (fixture!("openai_crlf"), "stop, 20+3 cached 16, 15 bytes, marker, committed at 2"),
    (fixture!("openai_refusal"), "stop, no usage, 7 bytes, marker, committed at 2"),
    (fixture!("openai_two_choices"), "length, no usage, 2 bytes, marker, committed at 3"),
    (fixture!("openai_two_choices_cut"), "cut after 1 bytes, committed at 2"),
    (fixture!("openai_tools"), "tool_calls, no usage, 23 bytes, marker, committed at 1"),
    (fixture!("azure"), "stop, no usage, 2 bytes, marker, committed at 3"),
    (fixture!("azure_filtered"), "content_filter, no usage, 0 bytes, marker, never committed"),
    (fixture!("vllm"), "stop, 11+3, 8 bytes, marker, committed at 2"),
    (fixture!("vllm_error_midway"), "error after 2 bytes: EngineCore encountered an issue., committed at 2"),
    (fixture!("groq"), "stop, 40+8, 3 bytes, marker, committed at 2"),
    (fixture!("deepseek_reasoning"), "stop, 13+27 cached 8 reasoning 25, 14 bytes, marker, committed at 2"),
    (fixture!("ollama"), "stop, 0+0, 7 bytes, marker, committed at 1"),
    (fixture!("mistral_thinking"), "stop, 9+4, 5 bytes, marker, committed at 2"),
    (fixture!("openrouter_error_midway"), "error after 3 bytes: Provider disconnected, committed at 1"),
    (
        fixture!("error_first"),
        "error after 0 bytes: This model's maximum context length is 8192 tokens., never committed",
    ),
    (fixture!("error_event"), "error after 0 bytes: upstream gone, never committed"),
    (fixture!("done_missing"), "stop, no usage, 2 bytes, no marker, committed at 1"),
    (fixture!("newline_missing"), "stop, no usage, 2 bytes, marker, committed at 1"),
    (fixture!("cut_between_events"), "cut after 2 bytes, committed at 2"),
    (fixture!("cut_inside_event"), "cut after 2 bytes, committed at 2"),
    (fixture!("cut_after_preamble"), "cut after 0 bytes, never committed"),
    (fixture!("empty_answer"), "empty answer, never committed"),
    (fixture!("only_comments"), "empty, never committed"),
    (fixture!("malformed"), "malformed after 2 bytes, committed at 1"),
    (fixture!("empty"), "empty, never committed"),
];

struct Run {
    outcome: String,
    out: Vec<u8>,
}

/// Feeds the stream cut at `cuts` and words the result.
fn run(stream: &[u8], cuts: &[usize], keep_usage: bool) -> Run {
    let mut gate = StreamGate::pass(Dialect::OpenAi, keep_usage);
    let mut out = Vec::new();
    let mut committed = None;
    let mut fault = None;
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        let chunk = Bytes::copy_from_slice(&stream[from..to]);
        from = to;
        let before = out.len();
        let result = gate.push(&chunk, &mut out);
        if committed.is_none() && gate.is_committed() {
            assert_eq!(before, 0, "nothing goes out before the commitment");
            committed = Some(to);
        }
        match result {
            Ok(Progress::Holding) => assert!(out.is_empty() && !gate.is_committed()),
            Ok(Progress::Committed) => assert!(before == 0 && !out.is_empty()),
            Ok(Progress::Passing) => assert!(before > 0),
            Err(e) => {
                fault = Some(e);
                break;
            }
        }
    }
    let result = fault.map_or_else(|| gate.finish(&mut out), Err);
    let at = match committed {
        None => "never committed".to_owned(),
        Some(to) => format!("committed at {}", events(&stream[..to]).iter().filter(|e| !data(e).is_empty()).count()),
    };
    let bytes = gate.tally().text_bytes;
    let outcome = match result {
        Ok(tally) => {
            assert_eq!(tally, *gate.tally());
            let usage = tally.usage.map_or("no usage".into(), |u| {
                let mut text = format!("{}+{}", u.input_tokens, u.output_tokens);
                for (name, n) in [("cached", u.cache_read_tokens), ("reasoning", u.reasoning_tokens)] {
                    if n > 0 {
                        text += &format!(" {name} {n}");
                    }
                }
                text
            });
            let marker = if tally.done { "marker" } else { "no marker" };
            format!("{}, {usage}, {bytes} bytes, {marker}, {at}", tally.finish.map_or("none", FinishReason::name))
        }
        Err(StreamFault::Error(e)) => format!("error after {bytes} bytes: {}, {at}", e.message),
        Err(StreamFault::Malformed(_) | StreamFault::Unexpected(_)) => format!("malformed after {bytes} bytes, {at}"),
        Err(StreamFault::Oversized) => format!("oversized, {at}"),
        Err(StreamFault::Empty) => format!("empty, {at}"),
        Err(StreamFault::EmptyAnswer) => format!("empty answer, {at}"),
        Err(StreamFault::Cut) => format!("cut after {bytes} bytes, {at}"),
    };
    Run { outcome, out: out.concat() }
}

/// The complete events of a stream whose lines all end alike, by splitting the text: a second reading to compare with.
fn events(stream: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(stream).unwrap_or_default();
    let blank = if text.contains("\r\n") { "\r\n\r\n" } else { "\n\n" };
    text.split_inclusive(blank).filter(|e| e.ends_with(blank)).map(str::to_owned).collect()
}

fn data(event: &str) -> String {
    event.lines().filter_map(|l| l.strip_prefix("data: ")).collect()
}

/// One cut behind every event.
fn event_cuts(stream: &[u8]) -> Vec<usize> {
    let mut at = 0;
    events(stream)
        .iter()
        .map(|e| {
            at += e.len();
            at
        })
        .collect()
}

#[test]
fn recorded_streams_are_judged_right() {
    for ((name, stream), want) in STREAMS {
        assert_eq!(run(stream, &event_cuts(stream), false).outcome, want, "{name}");
    }
}

#[test]
fn what_passes_is_the_stream_without_the_usage_nobody_asked_for() {
    for ((name, stream), want) in STREAMS {
        for keep_usage in [false, true] {
            let mut expected = String::new();
            for event in events(stream) {
                let value: Value = serde_json::from_str(&data(&event)).unwrap_or_default();
                let usage_only = value["choices"] == Value::Array(vec![]) && value["usage"].is_object();
                if want.starts_with("error") && (value["error"].is_object() || value["object"] == "error") {
                    break;
                }
                if want.starts_with("malformed") && value.is_null() {
                    break;
                }
                if keep_usage || !usage_only {
                    expected += &event;
                }
            }
            if want.contains("no marker") || name == "newline_missing" {
                expected += "data: [DONE]\n\n";
            }
            if want.contains("never committed") && name != "azure_filtered" {
                expected.clear();
            }
            let out = run(stream, &[], keep_usage).out;
            assert_eq!(String::from_utf8_lossy(&out), expected, "{name}, usage asked: {keep_usage}");
        }
    }
}

#[test]
fn every_single_cut_gives_the_same() {
    for ((name, stream), _) in STREAMS {
        let whole = run(stream, &[], false);
        for cut in 0..=stream.len() {
            let parts = run(stream, &[cut], false);
            assert_eq!(ending(&parts.outcome), ending(&whole.outcome), "{name} cut at {cut}");
            assert_eq!(parts.out, whole.out, "{name} cut at {cut}");
        }
        let bytewise: Vec<_> = (0..stream.len()).collect();
        assert_eq!(run(stream, &bytewise, false).out, whole.out, "{name} byte by byte");
    }
}

/// The outcome without the place of the commitment, which lies in a chunk.
fn ending(outcome: &str) -> &str {
    outcome.rsplit_once(", ").map_or(outcome, |(ending, _)| ending)
}

#[test]
fn whole_chunks_pass_without_a_copy() {
    let ((_, stream), _) = STREAMS[0];
    let mut gate = StreamGate::pass(Dialect::OpenAi, true);
    let chunk = Bytes::from_static(stream);
    let mut out = Vec::new();
    assert_eq!(gate.push(&chunk, &mut out), Ok(Progress::Committed));
    assert_eq!((out.len(), out[0].as_ptr(), out[0].len()), (1, chunk.as_ptr(), chunk.len()));
    assert!(gate.is_done());
    // With the usage event taken out it is two slices of the same chunk.
    let mut gate = StreamGate::pass(Dialect::OpenAi, false);
    out.clear();
    gate.push(&chunk, &mut out).unwrap();
    assert_eq!((out.len(), out[0].as_ptr()), (2, chunk.as_ptr()));
}

#[test]
fn a_faulty_or_empty_stream_puts_nothing_out_and_can_be_released() {
    let ((_, stream), _) = STREAMS[22];
    let mut gate = StreamGate::pass(Dialect::OpenAi, true);
    let mut out = Vec::new();
    assert_eq!(gate.push(&Bytes::from_static(stream), &mut out), Ok(Progress::Holding));
    assert_eq!(gate.finish(&mut out), Err(StreamFault::EmptyAnswer));
    assert!(out.is_empty());
    assert_eq!(gate.tally().usage.map(|u| u.input_tokens), Some(5));
    gate.release(&mut out);
    assert_eq!(out.concat(), stream);
}

#[test]
fn the_preamble_is_bounded() {
    let ping = Bytes::from(format!(": {}\n\n", "x".repeat(1000)));
    let mut gate = StreamGate::pass(Dialect::OpenAi, false);
    let results: Vec<_> = (0..300).map(|_| gate.push(&ping, &mut Vec::new())).collect();
    assert_eq!(results.iter().position(Result::is_err), Some(MAX_PREAMBLE / ping.len()));
    assert!(results.iter().flatten().all(|p| *p == Progress::Holding));
}

#[test]
fn what_follows_the_marker_is_dropped() {
    let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\ndata: {oops\n\n";
    assert_eq!(run(stream, &[], false).out, &stream[..stream.len() - 13]);
    assert_eq!(run(stream, &[70], false).out, &stream[..stream.len() - 13]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_gives_the_same(
        which in 0..STREAMS.len(),
        keep_usage: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let ((_, stream), _) = STREAMS[which];
        let mut cuts: Vec<_> = cuts.iter().map(|i| i.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let (whole, parts) = (run(stream, &[], keep_usage), run(stream, &cuts, keep_usage));
        prop_assert_eq!(ending(&parts.outcome), ending(&whole.outcome));
        prop_assert_eq!(parts.out, whole.out);
    }

    #[test]
    fn arbitrary_streams_never_panic(chunks in prop::collection::vec("(data|event|: |\\{\"choices\":\\[|\\]|\\}|\n|\r|\\[DONE\\]){0,12}", 0..8)) {
        let mut gate = StreamGate::pass(Dialect::OpenAi, false);
        let mut out = Vec::new();
        for chunk in chunks {
            if gate.push(&chunk.into(), &mut out).is_err() {
                return Ok(());
            }
        }
        let _ = gate.finish(&mut out);
    }
}

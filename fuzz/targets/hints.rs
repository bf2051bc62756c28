//! Hints from a body and from headers: any text ends in hints within their bounds or in an error that names its field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_core::hints::{HintError, Hints};
use waypost_core::units::NanoUsd;

fuzz_target!(|input: &[u8]| {
    // The body's member, then a header a line: `name: value`.
    let (member, headers) = match input.iter().position(|b| *b == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let mut hints = Hints::body(member).unwrap_or_else(|error| {
        named(&error, "waypost");
        Hints::default()
    });
    bounded(&hints);
    let Ok(headers) = std::str::from_utf8(headers) else { return };
    for line in headers.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let before = hints.clone();
        match hints.header(name, value.trim()) {
            Ok(()) => bounded(&hints),
            Err(error) => named(&error, &format!("x-waypost-{name}")),
        }
        assert!(before.stage.is_none() || before.stage == hints.stage, "what came first stays");
        assert!(before.max_cost.is_none() || before.max_cost == hints.max_cost, "what came first stays");
    }
});

fn named(error: &HintError, field: &str) {
    assert!(error.field.starts_with(field) && !error.message.is_empty(), "{error}");
}

fn bounded(hints: &Hints) {
    assert!(hints.min_quality.is_none_or(|q| (0.0..=1.0).contains(&q)));
    assert!(hints.max_latency_ms.is_none_or(|ms| ms >= 0.0));
    assert!(hints.max_cost.is_none_or(|cost| cost >= NanoUsd::ZERO));
    assert!(hints.deadline.is_none_or(|d| d.as_secs() <= 86_400));
    assert!(hints.tags.len() <= 32);
    let names = [&hints.stage, &hints.route, &hints.session].into_iter().flatten();
    for text in names.chain(hints.tags.iter().flat_map(|(k, v)| [k, v])) {
        assert!((1..=256).contains(&text.len()) && !text.chars().any(char::is_control));
    }
}

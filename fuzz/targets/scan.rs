//! Any body: the scan, the profile and the counts end; what the scan accepts is JSON that `serde_json` reads the same
//! way; and what is spliced from it says exactly what it must, and everything else as before.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use waypost_core::profile::{Declared, profile};
use waypost_core::registry::Tokenizer;
use waypost_core::scan::{Scan, ScanError, scan_chat};
use waypost_core::splice::{CapField, Forward, OutputCap};
use waypost_core::{json, sensitive, tokens};

fuzz_target!(|body: &[u8]| {
    let scan = scan_chat(body);
    // As text: `serde_json` does not look at the UTF-8 of what it ignores.
    let valid = std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match &scan {
        Err(ScanError::Json { error, .. }) => {
            assert!(!valid || error.kind == json::ErrorKind::TooDeep, "refused as JSON, which it is: {error:?}");
        }
        // The other refusals come before the rest is read.
        Err(_) => {}
        Ok(scan) => {
            assert!(valid, "accepted, but not JSON");
            check(body, scan);
        }
    }
});

fn check(body: &[u8], scan: &Scan) {
    let profiled = profile(body, scan, Declared::default());
    assert!((0.0..=1.0).contains(&profiled.confidence) && (0.0..=1.0).contains(&profiled.complexity));
    for text in &scan.texts {
        let _ = sensitive::detect(&body[text.range.clone()]);
    }
    let _ = tokens::count_chat(body, scan, Tokenizer::O200k);

    // A number beyond f64 or half a surrogate pair: valid, but nothing to compare with.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    agrees(body, scan, &value);
    let body = Bytes::copy_from_slice(body);
    for model in ["gpt-4o", "a \"b\"\\\n\u{7f}é"] {
        for usage in [false, true] {
            for cap in [None, Some((7, CapField::MaxTokens)), Some((1 << 20, CapField::MaxCompletionTokens))] {
                let cap = cap.map(|(tokens, field)| OutputCap { tokens, field });
                forwards(&body, scan, &value, &Forward { model, usage, cap });
            }
        }
    }
}

/// The scan's facts are those of the tree.
fn agrees(body: &[u8], scan: &Scan, value: &Value) {
    let at = |range: &Option<std::ops::Range<usize>>| {
        range.as_ref().map_or(Value::Null, |r| serde_json::from_slice(&body[r.clone()]).unwrap())
    };
    assert_eq!(at(&scan.model), value["model"]);
    assert_eq!(at(&scan.waypost), value["waypost"]);
    assert_eq!(at(&scan.stream_options), value["stream_options"]);
    assert_eq!(scan.stream.as_ref().is_some_and(|s| s.0), value["stream"] == true);
    assert_eq!(scan.usage_asked(), value["stream_options"]["include_usage"] == true);
    assert_eq!(scan.messages as usize, value["messages"].as_array().unwrap().len());
    assert_eq!(body[scan.end], b'}');
    let others = value.as_object().unwrap().keys().any(|k| k != "waypost");
    assert_eq!(scan.has_members, others);
}

/// The forwarded body is the client's, but for what `forward` says.
fn forwards(body: &Bytes, scan: &Scan, before: &Value, forward: &Forward<'_>) {
    let sent = scan.upstream_body(body, forward);
    let mut after: Value = serde_json::from_slice(&sent).expect("a spliced body is JSON");
    let again = scan_chat(&sent).expect("a spliced body is a chat request");
    assert_eq!(again.upstream_body(&sent, forward), sent, "splicing twice changes nothing");

    assert_eq!(after["model"], forward.model);
    assert!(after.get("waypost").is_none());
    let streams = before["stream"] == true;
    assert_eq!(again.usage_asked(), scan.usage_asked() || (forward.usage && streams));
    if let Some(cap) = forward.cap {
        assert_eq!(again.max_output_tokens, Some(scan.max_output_tokens.map_or(cap.tokens, |t| t.min(cap.tokens))));
    }
    let mut before = before.clone();
    for value in [&mut before, &mut after] {
        let members = value.as_object_mut().unwrap();
        for edited in ["model", "waypost", "max_tokens", "max_completion_tokens"] {
            members.shift_remove(edited);
        }
        if let Some(Value::Object(options)) = members.get_mut("stream_options") {
            options.shift_remove("include_usage");
        }
        if members.get("stream_options").is_some_and(|o| o.is_null() || o.as_object().is_some_and(|o| o.is_empty())) {
            members.shift_remove("stream_options");
        }
    }
    assert_eq!(before, after, "what was not to be edited is as it was");
}

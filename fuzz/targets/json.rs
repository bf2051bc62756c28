//! The JSON reader beside `serde_json`: the same texts are accepted, the same strings decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use waypost_core::json::{self, Cursor, ErrorKind};

fuzz_target!(|text: &[u8]| {
    reads_alike(text);
    decodes_alike(text);
    if let Ok(text) = std::str::from_utf8(text) {
        let mut quoted = Vec::new();
        json::quote_into(text, &mut quoted);
        assert_eq!(serde_json::from_slice::<String>(&quoted).expect("quoted text is JSON"), text);
        assert_eq!(json::unescape(&quoted[1..quoted.len() - 1]), text);
    }
});

fn reads_alike(text: &[u8]) {
    let ours = Cursor::new(text).and_then(|mut cursor| {
        let value = cursor.value()?;
        cursor.finish().map(|()| value)
    });
    // As text: `serde_json` does not look at the UTF-8 of what it ignores.
    let theirs = std::str::from_utf8(text).map(serde_json::from_str::<IgnoredAny>);
    match (ours, theirs.is_ok_and(|r| r.is_ok())) {
        (Ok(range), true) => assert!(serde_json::from_slice::<IgnoredAny>(&text[range]).is_ok()),
        (Err(error), false) => assert!(error.offset as usize <= text.len()),
        (Err(error), true) if error.kind == ErrorKind::TooDeep => {}
        (ours, theirs) => panic!("{ours:?}, but serde_json says {theirs}"),
    }
}

/// `raw` as the content of a string.
fn decodes_alike(raw: &[u8]) {
    let ours = json::unescape(raw);
    let quoted = [b"\"", raw, b"\""].concat();
    if let Ok(theirs) = serde_json::from_slice::<String>(&quoted) {
        assert_eq!(ours, theirs);
    }
}

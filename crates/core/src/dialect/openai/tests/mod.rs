//! Every fixture there and back, and each rule of the translation on its own.

mod answers;
mod quirks;
mod requests;
mod streams;

use crate::dialect::{ReplyContext, Target};
use crate::registry::{Quirks, Thoughts};
use serde_json::Value;

/// A look-alike that takes everything.
const ALL: Quirks = Quirks {
    video: true,
    images: true,
    cache_control: true,
    thought_signatures: true,
    thoughts: Thoughts::Details,
    top_k: true,
    ..Quirks::OPENAI
};

fn target(quirks: Quirks) -> Target<'static> {
    Target {
        model: "gpt-5.5",
        cap: None,
        default_cap: 4096,
        strict: false,
        capabilities: None,
        quirks,
        no_sampling: false,
    }
}

fn context() -> ReplyContext {
    ReplyContext { id: "0af7".into(), created: 1_780_000_000, model: "m".into(), include_usage: true }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

/// Sets the value at a pointer, whose parent is there; null removes it.
fn patch(value: &mut Value, pointer: &str, to: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
        Value::Object(map) if to.is_null() => {
            map.shift_remove(key);
        }
        Value::Object(map) => {
            map.insert(key.into(), to);
        }
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = to,
        other => panic!("{pointer}: {other}"),
    }
}

/// The named fixtures of a folder, as (name, bytes).
macro_rules! fixtures {
    ($folder:literal, $ending:literal: $($name:literal)*) => {
        [$(($name, include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openai/", $folder, "/", $name, $ending
        )).as_slice())),*]
    };
}
use fixtures;

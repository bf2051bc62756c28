//! The fixtures, read and written again, and the rules one by one.

use serde_json::{Value, json};

use super::*;
use crate::chat::Request;
use crate::dialect::{Encoded, Inexpressible, ReplyContext, Target};
use crate::registry::{Dialect, Quirks};

mod answers;
mod citations;
mod errors;
mod requests;
mod streams;
mod tools;

macro_rules! fixture {
    ($kind:literal, $name:literal, $ending:literal) => {
        (
            $name,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures/responses/",
                $kind,
                "/",
                $name,
                $ending
            ))
            .as_slice(),
        )
    };
}
macro_rules! fixtures {
    ($kind:literal, $ending:literal: $($name:literal),+ $(,)?) => { &[$(fixture!($kind, $name, $ending)),+] };
}
use {fixture, fixtures};

type Fixtures = &'static [(&'static str, &'static [u8])];

fn target() -> Target<'static> {
    Target {
        model: "gpt-5",
        cap: None,
        default_cap: 4096,
        strict: false,
        capabilities: None,
        quirks: Quirks::default(),
        no_sampling: false,
    }
}

fn context() -> ReplyContext {
    ReplyContext { id: "ab12".into(), created: 1_764_000_000, model: "m".into(), include_usage: true }
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

fn decoded(body: &Value) -> Request {
    decode_request(body.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    encode_request(request, target)
}

/// A request of another dialect.
fn foreign(origin: Dialect) -> Request {
    let mut request = Request::new(origin, "any");
    request.messages.push(crate::chat::Message::new(crate::chat::Role::User, vec![crate::chat::Part::text("Hi.")]));
    request
}

fn encoded(request: &Request) -> (Value, Vec<String>) {
    let encoded = encode(request, &target()).unwrap();
    (value(&encoded.body), encoded.dropped)
}

fn same(got: &Value, want: &Value, name: &str) {
    assert_eq!(got, want, "{name}:\n{got:#}\n{want:#}");
}

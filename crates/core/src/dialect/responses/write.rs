//! Pieces of JSON text, appended to a buffer.

use serde_json::Value;

use crate::json::quote_into;

/// A string with its quotes.
pub(super) fn quoted(text: &str, out: &mut Vec<u8>) {
    quote_into(text, out);
}

/// A member that is not the first: a string.
pub(super) fn pair(key: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    quote_into(key, out);
    out.push(b':');
    quote_into(value, out);
}

/// A member that is not the first: a number.
pub(super) fn member(key: &str, value: u64, out: &mut Vec<u8>) {
    out.push(b',');
    quote_into(key, out);
    out.push(b':');
    decimal(value, out);
}

/// Digits.
pub(super) fn decimal(value: u64, out: &mut Vec<u8>) {
    if value >= 10 {
        decimal(value / 10, out);
    }
    out.push(b'0' + (value % 10) as u8);
}

/// A value.
pub(super) fn json(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a value of JSON has string keys and no fallible part");
}

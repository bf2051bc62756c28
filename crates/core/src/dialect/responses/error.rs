//! Errors: reading what providers of this dialect send, and writing ours.

use crate::dialect::overflow::is_context_overflow;
use crate::dialect::{ErrorText, UpstreamError};
use crate::json::{self, Cursor, Kind};

/// What numbers the event of ours that ends a stream: more than any event before it can have, and still a number for
/// clients that read 32 bits.
const LAST: i32 = i32::MAX;

/// Reads the body of a failed answer, an error event or a failed response. Never fails: what it cannot read becomes the
/// message.
pub fn parse_error(status: Option<u16>, body: &[u8]) -> UpstreamError {
    let mut error = UpstreamError::default();
    // What was read before the text broke still holds.
    let _broken = Cursor::new(body).and_then(|mut c| value(&mut c, &mut error));
    error.find_words(status, body);
    error.cut_message();
    error.context_overflow = is_context_overflow(status, &error);
    error
}

/// `{"error":{message,type,param,code}}` in bodies; the same members flat, or under `error`, in events; under
/// `response.error` where an answer failed. Look-alikes also send strings, lists and `detail`.
fn value(c: &mut Cursor<'_>, error: &mut UpstreamError) -> Result<(), json::Error> {
    match c.kind()? {
        Kind::String => {
            let text = c.string()?.text();
            if error.message.is_empty() {
                error.message = text.into_owned();
            }
            Ok(())
        }
        Kind::Array => c.array(|c| value(c, error)).map(drop),
        Kind::Object => c
            .object(|c, key| match key.name {
                b"error" | b"message" | b"detail" | b"msg" | b"errors" => value(c, error),
                b"response" if c.kind()? == Kind::Object => {
                    c.object(|c, key| if key.name == b"error" { value(c, error) } else { c.skip() }).map(drop)
                }
                b"code" => keep(c, &mut error.code),
                b"type" => keep(c, &mut error.kind),
                b"param" => keep(c, &mut error.param),
                _ => c.skip(),
            })
            .map(drop),
        _ => c.skip(),
    }
}

/// A string or a number as text; the first one holds. The types of events say nothing.
fn keep(c: &mut Cursor<'_>, into: &mut Option<String>) -> Result<(), json::Error> {
    let text = match c.kind()? {
        Kind::String => c.string()?.text().into_owned(),
        Kind::Number => String::from_utf8_lossy(c.number()?).into_owned(),
        _ => return c.skip(),
    };
    if !matches!(text.as_str(), "" | "error" | "response.failed") {
        into.get_or_insert(text);
    }
    Ok(())
}

/// The body of an error for a client.
pub fn error_body(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 96);
    out.push(b'{');
    nested(&mut out, error);
    out.push(b'}');
    out
}

/// The event that ends a stream which had begun. It says everything twice: in the flat form of the API's description,
/// and under `error`, where the API itself puts it and what makes the SDKs raise instead of passing one more event on.
pub fn error_event(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * error.message.len() + 256);
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"sequence_number\":");
    out.extend_from_slice(LAST.to_string().as_bytes());
    member(&mut out, ",\"code\":", Some(error.code));
    member(&mut out, ",\"message\":", Some(error.message));
    member(&mut out, ",\"param\":", error.param);
    out.push(b',');
    nested(&mut out, error);
    out.extend_from_slice(b"}\n\n");
    out
}

fn nested(out: &mut Vec<u8>, error: &ErrorText<'_>) {
    member(out, "\"error\":{\"message\":", Some(error.message));
    member(out, ",\"type\":", Some(error.kind));
    member(out, ",\"param\":", error.param);
    member(out, ",\"code\":", Some(error.code));
    out.push(b'}');
}

fn member(out: &mut Vec<u8>, start: &str, value: Option<&str>) {
    out.extend_from_slice(start.as_bytes());
    match value {
        Some(value) => json::quote_into(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

//! Errors: `{"error":{code,message,status,details}}`, alone or in a list.

use crate::dialect::overflow::is_context_overflow;
use crate::dialect::{ErrorText, UpstreamError};
use crate::json::{self, Cursor, Kind};

/// Reads the body of a failed answer, or an error inside a stream (then without a status). Never fails: what it cannot
/// read becomes the message.
pub fn parse_error(status: Option<u16>, body: &[u8]) -> UpstreamError {
    let mut error = UpstreamError::default();
    let read = Cursor::new(body).and_then(|mut c| value(&mut c, &mut error));
    if error.message.is_empty() && read.is_err() {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        // A page of a proxy in between tells a client nothing.
        if !text.starts_with(['<', '{', '[']) {
            error.message = text.into();
        }
    }
    if error.message.is_empty() {
        error.message = match (status, error.kind.as_deref()) {
            (_, Some(kind)) => kind.to_owned(),
            (Some(status), None) => format!("HTTP status {status}"),
            (None, None) => "unspecified error".into(),
        };
    }
    finished(error, status)
}

/// An error that has a name and a message.
pub(super) fn named(name: &str, message: String) -> UpstreamError {
    finished(UpstreamError { message, kind: Some(name.to_owned()), ..UpstreamError::default() }, None)
}

fn finished(mut error: UpstreamError, status: Option<u16>) -> UpstreamError {
    error.cut_message();
    // Its quotas speak of tokens as well; they are not about the window.
    let quota = error.code.as_deref() == Some("429") || error.kind.as_deref() == Some("RESOURCE_EXHAUSTED");
    error.context_overflow = !quota && is_context_overflow(status, &error);
    error
}

/// An error, or what holds one.
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
                b"error" | b"message" => value(c, error),
                b"code" => keep(c, &mut error.code),
                b"status" => keep(c, &mut error.kind),
                b"details" if c.kind()? == Kind::Array => c.array(|c| detail(c, error)).map(drop),
                _ => c.skip(),
            })
            .map(drop),
        _ => c.skip(),
    }
}

/// A string or a number as text; the first one holds.
fn keep(c: &mut Cursor<'_>, into: &mut Option<String>) -> Result<(), json::Error> {
    let text = match c.kind()? {
        Kind::String => c.string()?.text().into_owned(),
        Kind::Number => String::from_utf8_lossy(c.number()?).into_owned(),
        _ => return c.skip(),
    };
    if !text.is_empty() {
        into.get_or_insert(text);
    }
    Ok(())
}

/// One of `details`: how long to wait (`RetryInfo`), which field is wrong (`BadRequest`).
fn detail(c: &mut Cursor<'_>, error: &mut UpstreamError) -> Result<(), json::Error> {
    if c.kind()? != Kind::Object {
        return c.skip();
    }
    c.object(|c, key| match key.name {
        b"retryDelay" => {
            let delay = c.string_or_skip()?.and_then(|s| milliseconds(&s.text()));
            error.retry_after_ms = error.retry_after_ms.or(delay);
            Ok(())
        }
        b"fieldViolations" if c.kind()? == Kind::Array => c
            .array(|c| match c.kind()? {
                Kind::Object => {
                    c.object(|c, key| if key.name == b"field" { keep(c, &mut error.param) } else { c.skip() }).map(drop)
                }
                _ => c.skip(),
            })
            .map(drop),
        _ => c.skip(),
    })
    .map(drop)
}

/// A duration as protocol buffers write it: `34s`, `1.5s`. Parts of a millisecond count as one.
fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (0.0..1e12).contains(&seconds).then(|| (seconds * 1000.0).ceil() as u64)
}

/// The body of an error for a client.
pub fn error_body(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 192);
    write_body(&mut out, error);
    out
}

/// The event that ends a stream which had begun.
pub fn error_event(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = b"data: ".to_vec();
    write_body(&mut out, error);
    out.extend_from_slice(b"\n\n");
    out
}

fn write_body(out: &mut Vec<u8>, error: &ErrorText<'_>) {
    out.extend_from_slice(format!(r#"{{"error":{{"code":{},"message":"#, error.status).as_bytes());
    json::quote_into(error.message, out);
    out.extend_from_slice(br#","status":"#);
    json::quote_into(status_name(error.status), out);
    out.extend_from_slice(br#","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"#);
    json::quote_into(error.code, out);
    out.extend_from_slice(br#","domain":"waypost"}"#);
    if let Some(param) = error.param {
        out.extend_from_slice(br#",{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"#);
        json::quote_into(param, out);
        out.extend_from_slice(b"}]}");
    }
    out.extend_from_slice(b"]}}");
}

/// The canonical code of Google's APIs for a status.
fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

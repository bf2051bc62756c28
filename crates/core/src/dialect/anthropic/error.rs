//! Errors of this API: reading what providers send, and writing ours.

use crate::dialect::overflow::is_context_overflow;
use crate::dialect::{ErrorText, UpstreamError};
use crate::json::{self, Cursor, Kind};

/// Reads the body of a failed answer, or an error inside a stream (then without a status). Never fails: what it cannot
/// read becomes the message. Where the error has no code of its own, its type is the code.
pub fn parse_error(status: Option<u16>, body: &[u8]) -> UpstreamError {
    let mut error = UpstreamError::default();
    let read = Cursor::new(body).and_then(|mut c| value(&mut c, &mut error));
    if error.message.is_empty() {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        // A page of a proxy in between tells a client nothing, and neither does JSON.
        if read.is_err() && !text.starts_with(['<', '{', '[']) {
            error.message = text.into();
        }
    }
    if error.message.is_empty() {
        error.message = match (status, &error.kind) {
            (Some(status), _) => format!("HTTP status {status}"),
            (None, Some(kind)) => kind.clone(),
            (None, None) => "unspecified error".into(),
        };
    }
    error.cut_message();
    error.code = error.code.take().or_else(|| error.kind.clone());
    error.context_overflow = !is_limit(status, &error) && is_context_overflow(status, &error);
    error
}

/// The form is `{"type":"error","error":{type,message,details:{error_code}}}`. Gateways in between know others: the error
/// as a string, its members at the top.
fn value(c: &mut Cursor<'_>, error: &mut UpstreamError) -> Result<(), json::Error> {
    match c.kind()? {
        Kind::String => {
            let text = c.string()?.text();
            if error.message.is_empty() {
                error.message = text.into_owned();
            }
            Ok(())
        }
        Kind::Object => c
            .object(|c, key| match key.name {
                b"error" | b"message" | b"detail" => value(c, error),
                b"details" if c.kind()? == Kind::Object => c
                    .object(|c, key| match key.name {
                        b"error_code" => keep(c, &mut error.code),
                        _ => c.skip(),
                    })
                    .map(drop),
                b"code" => keep(c, &mut error.code),
                b"type" => keep(c, &mut error.kind),
                b"param" => keep(c, &mut error.param),
                _ => c.skip(),
            })
            .map(drop),
        _ => c.skip(),
    }
}

/// A string or a number as text; the first one holds. The envelope's own type says nothing.
fn keep(c: &mut Cursor<'_>, into: &mut Option<String>) -> Result<(), json::Error> {
    let text = match c.kind()? {
        Kind::String => c.string()?.text().into_owned(),
        Kind::Number => String::from_utf8_lossy(c.number()?).into_owned(),
        _ => return c.skip(),
    };
    if !text.is_empty() && text != "error" {
        into.get_or_insert(text);
    }
    Ok(())
}

/// Limits of rate and of the body's size are not about the window, whatever their words.
fn is_limit(status: Option<u16>, error: &UpstreamError) -> bool {
    let kinds = ["rate_limit_error", "request_too_large"];
    status == Some(413) || error.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
}

/// The API's type for a status.
const fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The body of an error for a client. Its stable code stands where this API's clients look for one, in the details, and
/// beside the message, where those of other APIs do.
pub fn error_body(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 160);
    write_body(&mut out, error);
    out
}

/// The same as the event that ends a stream.
pub fn error_event(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 184);
    out.extend_from_slice(b"event: error\ndata: ");
    write_body(&mut out, error);
    out.extend_from_slice(b"\n\n");
    out
}

fn write_body(out: &mut Vec<u8>, error: &ErrorText<'_>) {
    let mut member = |start: &str, value: &str| {
        out.extend_from_slice(start.as_bytes());
        json::quote_into(value, out);
    };
    member(r#"{"type":"error","error":{"type":"#, kind_of(error.status));
    member(r#","message":"#, error.message);
    member(r#","code":"#, error.code);
    if let Some(param) = error.param {
        member(r#","param":"#, param);
    }
    member(r#","details":{"error_code":"#, error.code);
    out.extend_from_slice(b"}}}");
}

//! Errors in Bedrock's form: reading what it sends, and writing ours.

use super::frames;
use crate::dialect::overflow::is_context_overflow;
use crate::dialect::{ErrorText, UpstreamError};
use crate::json::{self, Cursor, Kind};

/// What the name of an exception ends in, in streams as in bodies.
pub(super) const EXCEPTION: &str = "Exception";

/// Exceptions, as bodies name them (streams begin in lower case), and the status that each stands for. The first of a
/// status is the one that ours get.
const EXCEPTIONS: [(&str, u16); 13] = [
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ThrottlingException", 429),
    ("ModelNotReadyException", 429),
    ("ServiceQuotaExceededException", 429),
    ("ModelErrorException", 424),
    ("ModelStreamErrorException", 424),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
    ("UnrecognizedClientException", 403),
    ("ExpiredTokenException", 403),
];

/// Reads the body of a failed answer. Never fails: what it cannot read becomes the message.
pub fn parse_error(status: Option<u16>, body: &[u8]) -> UpstreamError {
    let mut error = UpstreamError::default();
    let mut cause = String::new();
    // What was read before the text broke still holds.
    let _broken = Cursor::new(body).and_then(|mut c| value(&mut c, &mut error, &mut cause));
    if error.message.is_empty() {
        error.message = cause;
    } else if !cause.is_empty() && !error.message.contains(&cause) {
        error.message = format!("{}: {cause}", error.message);
    }
    if error.message.is_empty() {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        // A page of a proxy in between tells a client nothing.
        error.message = match status {
            _ if !text.is_empty() && !text.starts_with(['<', '{', '[', '"']) => text.into(),
            Some(status) => format!("HTTP status {status}"),
            None => "unspecified error".into(),
        };
    }
    error.cut_message();
    // Limits of rate speak of too many tokens as well; they are not about the window.
    let throttled = error.kind.as_deref().is_some_and(|k| k.to_ascii_lowercase().starts_with("throttling"));
    error.context_overflow = !throttled && is_context_overflow(status, &error);
    error
}

/// An exception inside a stream: its name, and the status that it stands for as its code.
pub(super) fn stream_error(name: &str, data: &[u8]) -> UpstreamError {
    let status =
        EXCEPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(500, |(_, status)| *status);
    let mut error = parse_error(Some(status), data);
    if error.message == format!("HTTP status {status}") {
        name.clone_into(&mut error.message);
    }
    error.kind = Some(name.into());
    error.code = Some(status.to_string());
    error
}

/// `{"message"}`, mostly; `Message` and `__type` from the front of the service, `originalMessage` from the model's host,
/// `{"error":{type,message}}` from models that speak for themselves.
fn value(c: &mut Cursor<'_>, error: &mut UpstreamError, cause: &mut String) -> Result<(), json::Error> {
    if c.kind()? != Kind::Object {
        return c.skip();
    }
    c.object(|c, key| match key.name {
        b"message" | b"Message" | b"errorMessage" => text(c, &mut error.message),
        b"originalMessage" => text(c, cause),
        b"__type" | b"type" | b"code" => {
            let mut name = String::new();
            text(c, &mut name)?;
            // `com.amazon.coral.service#ThrottlingException`, `ThrottlingException:http://…`.
            let name = name.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
            if !name.is_empty() && name != "error" {
                error.kind.get_or_insert(name.into());
            }
            Ok(())
        }
        b"error" | b"Output" => value(c, error, cause),
        _ => c.skip(),
    })
    .map(drop)
}

/// A string; the first one holds.
fn text(c: &mut Cursor<'_>, into: &mut String) -> Result<(), json::Error> {
    if let Some(text) = c.string_or_skip()?
        && into.is_empty()
    {
        *into = text.text().into_owned();
    }
    Ok(())
}

/// The exception that stands for a status.
fn exception_of(status: u16) -> &'static str {
    let exact = EXCEPTIONS.iter().find(|(_, s)| *s == status).map(|(name, _)| *name);
    exact.unwrap_or(match status {
        401 => "UnrecognizedClientException",
        402..500 => "ValidationException",
        502 | 504 => "ServiceUnavailableException",
        _ => "InternalServerException",
    })
}

/// The body of an error in Bedrock's form. Its SDKs read the type from a header, or from `__type`.
pub fn error_body(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 64);
    out.extend_from_slice(br#"{"__type":"#);
    json::quote_into(exception_of(error.status), &mut out);
    out.extend_from_slice(br#","message":"#);
    json::quote_into(error.message, &mut out);
    out.push(b'}');
    out
}

/// The same as an exception of a stream that has begun. Streams know five of them.
pub fn error_event(error: &ErrorText<'_>) -> Vec<u8> {
    let kind = match error.status {
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        400..500 => "validationException",
        502..=504 => "serviceUnavailableException",
        _ => "internalServerException",
    };
    let mut out = Vec::with_capacity(error.message.len() + 160);
    frames::write_exception(&mut out, kind, |out| {
        out.extend_from_slice(br#"{"message":"#);
        json::quote_into(error.message, out);
        out.push(b'}');
    });
    out
}

//! Errors in OpenAI's form: reading what providers send, and writing ours.

use crate::dialect::overflow::is_context_overflow;
use crate::dialect::{ErrorText, UpstreamError};
use crate::json::{self, Cursor, Kind};

/// Reads the body of a failed answer, or an error inside a stream (then without a status). Never fails: what it cannot
/// read becomes the message.
pub fn parse_error(status: Option<u16>, body: &[u8]) -> UpstreamError {
    let mut error = UpstreamError::default();
    // What was read before the text broke still holds.
    let _broken = read(body, &mut error);
    error.find_words(status, body);
    error.cut_message();
    error.context_overflow = is_context_overflow(status, &error);
    error
}

/// OpenAI's form is `{"error":{message,type,param,code}}`. Others: the same members at the top (vLLM, Mistral), `error`
/// as a string beside `code` (Ollama, xAI), `detail` (FastAPI), the whole in a list (Gemini).
fn read(body: &[u8], error: &mut UpstreamError) -> Result<(), json::Error> {
    let mut c = Cursor::new(body)?;
    value(&mut c, error)
}

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
                b"code" => keep(c, &mut error.code),
                b"type" => keep(c, &mut error.kind),
                b"param" => keep(c, &mut error.param),
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

/// The body of an error in OpenAI's form.
pub fn error_body(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 96);
    write_body(&mut out, error);
    out
}

/// The same as an event of a stream that has begun. Without an `event` line: every client's parser reads data, and the
/// SDKs raise what has an `error` member.
pub fn error_event(error: &ErrorText<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.message.len() + 104);
    out.extend_from_slice(b"data: ");
    write_body(&mut out, error);
    out.extend_from_slice(b"\n\n");
    out
}

fn write_body(out: &mut Vec<u8>, error: &ErrorText<'_>) {
    let mut member = |start: &str, value: Option<&str>| {
        out.extend_from_slice(start.as_bytes());
        match value {
            Some(value) => json::quote_into(value, out),
            None => out.extend_from_slice(b"null"),
        }
    };
    member(r#"{"error":{"message":"#, Some(error.message));
    member(r#","type":"#, Some(error.kind));
    member(r#","param":"#, error.param);
    member(r#","code":"#, Some(error.code));
    out.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, body: &str) -> UpstreamError {
        parse_error(Some(status), body.as_bytes())
    }

    #[test]
    fn every_known_form_is_read() {
        // (status, body, message, type, code, param)
        let cases = [
            (
                401,
                r#"{"error":{"message":"bad key","type":"auth","param":null,"code":"invalid_api_key"}}"#,
                "bad key",
                "auth",
                "invalid_api_key",
                "",
            ),
            (
                400,
                r#"{"object":"error","message":"no such model","type":"NotFoundError","param":null,"code":404}"#,
                "no such model",
                "NotFoundError",
                "404",
                "",
            ),
            (404, r#"{"error":"model 'x' not found"}"#, "model 'x' not found", "", "", ""),
            (
                400,
                r#"{"code":"invalid-argument","error":"no such thing"}"#,
                "no such thing",
                "",
                "invalid-argument",
                "",
            ),
            (
                422,
                r#"{"detail":[{"loc":["body","n"],"msg":"must be positive","type":"value_error"}]}"#,
                "must be positive",
                "value_error",
                "",
                "",
            ),
            (
                422,
                r#"{"object":"error","message":{"detail":[{"type":"missing","msg":"Field required"}]},"type":"invalid_request_error","code":null}"#,
                "Field required",
                "missing",
                "",
                "",
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"bad field","status":"INVALID_ARGUMENT"}}]"#,
                "bad field",
                "",
                "400",
                "",
            ),
            (400, r#"{"error":{"message":"too small","param":"messages[0]"}}"#, "too small", "", "", "messages[0]"),
            (502, "<html><body>Bad Gateway</body></html>", "HTTP status 502", "", "", ""),
            (503, "upstream connect error", "upstream connect error", "", "", ""),
            (500, "", "HTTP status 500", "", "", ""),
            (500, "{}", "HTTP status 500", "", "", ""),
            (500, r#"{"error":{"message":"cut"#, "HTTP status 500", "", "", ""),
        ];
        for (status, body, message, kind, code, param) in cases {
            let e = parse(status, body);
            let fields = [Some(e.message), e.kind, e.code, e.param].map(Option::unwrap_or_default);
            assert_eq!(fields, [message, kind, code, param], "{body}");
        }
        let long = parse(500, &"é".repeat(3000));
        assert_eq!((long.message.chars().count(), long.message.ends_with("é…")), (1025, true));
    }

    #[test]
    fn context_overflow_is_recognised_in_every_wording() {
        let messages = [
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 173172 tokens.",
            "This model's maximum context length is 8192 tokens. However, you requested 8554 tokens (7554 in the messages, 1000 in the completion).",
            "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 65536 tokens and your request has 57879 input tokens",
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens.",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens",
            "Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000",
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "The input (38297 tokens) is longer than the model's context length (32768 tokens).",
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2019 `inputs` tokens and 30 `max_new_tokens`",
            "the input length exceeds the context length",
            "prompt too long; exceeded max context length by 4 tokens",
            "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
            "The number of tokens to keep from the initial prompt is greater than the context length",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).",
            "The prompt is too long: 200000, model maximum context length: 131071",
            "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000",
            "Input is too long for requested model.",
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)",
            "invalid params, context window exceeds limit",
            "Range of input length should be [1, 129024]",
        ];
        for message in messages {
            let e = parse_error(Some(400), &error_body(&said(message)));
            assert!(e.context_overflow, "{message}");
        }
        for body in [
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            r#"{"error":{"code":400,"message":"x","type":"exceed_context_size_error","n_ctx":8192}}"#,
            r#"{"error":"prompt too long; exceeded max context length by 4 tokens"}"#,
        ] {
            assert!(parse(400, body).context_overflow, "{body}");
        }
    }

    #[test]
    fn other_limits_are_not_the_window() {
        let cases = [
            (
                413,
                r#"{"error":{"message":"Request too large for model `x` in organization on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size","type":"tokens","code":"rate_limit_exceeded"}}"#,
            ),
            (429, r#"{"error":{"message":"maximum context length reached for this minute"}}"#),
            (
                400,
                r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens","param":"max_tokens"}}"#,
            ),
            (429, r#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#),
            (400, r#"{"error":{"message":"Unsupported parameter: 'max_tokens'"}}"#),
            (413, "Request Entity Too Large"),
        ];
        for (status, body) in cases {
            assert!(!parse(status, body).context_overflow, "{body}");
        }
    }

    fn said(message: &str) -> ErrorText<'_> {
        ErrorText { status: 400, message, kind: "invalid_request_error", code: "c", param: None }
    }

    #[test]
    fn our_errors_read_back() {
        let body = error_body(&said("a \"b\"\n"));
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let want = serde_json::json!({"error": {"message": "a \"b\"\n", "type": "invalid_request_error", "param": null, "code": "c"}});
        assert_eq!(value, want);
        let event = error_event(&ErrorText { param: Some("p"), ..said("m") });
        let data = crate::dialect::sse::Event::parse(&event).data.unwrap().into_owned();
        assert_eq!(
            parse_error(None, &data),
            UpstreamError {
                message: "m".into(),
                kind: Some("invalid_request_error".into()),
                code: Some("c".into()),
                param: Some("p".into()),
                ..Default::default()
            }
        );
    }
}

//! Errors of providers and ours.

use serde_json::json;

use super::*;
use crate::dialect::{ErrorText, UpstreamError};

fn parse(status: u16, body: &str) -> UpstreamError {
    parse_error(Some(status), body.as_bytes())
}

#[test]
fn every_known_form_is_read() {
    // (status, body, message, type, code)
    let cases = [
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
            "Overloaded",
            "overloaded_error",
            "overloaded_error",
        ),
        (
            402,
            r#"{"type":"error","error":{"type":"billing_error","message":"m","details":{"error_code":"contract_spend_limit_reached"}}}"#,
            "m",
            "billing_error",
            "contract_spend_limit_reached",
        ),
        (
            400,
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"bad"}}"#,
            "m",
            "invalid_request_error",
            "bad",
        ),
        (401, r#"{"message":"no key"}"#, "no key", "", ""),
        (400, r#"{"type":"error","error":"plain"}"#, "plain", "", ""),
        (404, r#"{"detail":"Not Found"}"#, "Not Found", "", ""),
        (502, "<html>Bad Gateway</html>", "HTTP status 502", "", ""),
        (503, "upstream connect error", "upstream connect error", "", ""),
        (500, "", "HTTP status 500", "", ""),
        (500, r#"{"error":{"message":"cut"#, "HTTP status 500", "", ""),
    ];
    for (status, body, message, kind, code) in cases {
        let e = parse(status, body);
        let fields = [Some(e.message), e.kind, e.code].map(Option::unwrap_or_default);
        assert_eq!(fields, [message, kind, code], "{body}");
    }
    let silent = parse_error(None, br#"{"type":"error","error":{"type":"api_error"}}"#);
    assert_eq!((silent.message.as_str(), silent.kind.as_deref()), ("api_error", Some("api_error")));
    let long = parse(500, &"é".repeat(3000));
    assert_eq!((long.message.chars().count(), long.message.ends_with("é…")), (1025, true));
}

#[test]
fn context_overflow_is_recognised() {
    let said =
        |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}}).to_string();
    let overflow = [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease input length or `max_tokens` and try again",
        "Input is too long for requested model.",
    ];
    for message in overflow {
        assert!(parse(400, &said("invalid_request_error", message)).context_overflow, "{message}");
    }
    let others = [
        (
            400,
            "invalid_request_error",
            "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens",
        ),
        (
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
        ),
        (429, "rate_limit_error", "prompt is too long for this minute"),
        (413, "request_too_large", "Request exceeds the maximum size"),
    ];
    for (status, kind, message) in others {
        assert!(!parse(status, &said(kind, message)).context_overflow, "{message}");
    }
}

#[test]
fn our_errors_have_this_apis_form() {
    let types = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in types {
        let error = ErrorText { status, message: "a \"b\"\n", kind: "x", code: "c", param: None };
        let want = json!({"type": "error", "error": {"type": kind, "message": "a \"b\"\n", "code": "c", "details": {"error_code": "c"}}});
        assert_eq!(value(&error_body(&error)), want, "{status}");
        let back = parse_error(Some(status), &error_body(&error));
        assert_eq!(
            (back.message.as_str(), back.kind.as_deref(), back.code.as_deref()),
            ("a \"b\"\n", Some(kind), Some("c"))
        );
    }
    let error = ErrorText { status: 503, message: "m", kind: "x", code: "overloaded", param: Some("model") };
    let text = String::from_utf8(error_event(&error)).unwrap();
    assert!(text.starts_with("event: error\ndata: {\"type\":\"error\",") && text.ends_with("}\n\n"), "{text}");
    // As a client, and as the next gateway, reads it.
    let events = wire(text.as_bytes());
    assert_eq!((events[0].0.as_str(), &events[0].1["error"]["param"]), ("error", &json!("model")));
    let (_, fault) = decode(text.as_bytes());
    assert!(matches!(fault, Some(EventFault::Error(e)) if e.message == "m" && e.param.as_deref() == Some("model")));
}

use super::*;
use crate::dialect::{ErrorText, UpstreamError};

fn fields(error: UpstreamError) -> [String; 4] {
    [Some(error.message), error.kind, error.code, error.param].map(Option::unwrap_or_default)
}

#[test]
fn every_known_form_is_read() {
    let cases = [
        (
            Some(400),
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":"input","code":"invalid_value"}}"#,
            ["bad", "invalid_request_error", "invalid_value", "input"],
        ),
        (
            None,
            r#"{"type":"error","sequence_number":3,"code":"server_error","message":"oops","param":null}"#,
            ["oops", "", "server_error", ""],
        ),
        (
            None,
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"c","message":"m","param":"input"}}"#,
            ["m", "invalid_request_error", "c", "input"],
        ),
        (
            None,
            r#"{"type":"response.failed","response":{"id":"r","model":"m","output":[{"type":"message","message":"no"}],"error":{"code":"server_error","message":"died"}}}"#,
            ["died", "", "server_error", ""],
        ),
        (Some(404), r#"{"error":"model 'x' not found"}"#, ["model 'x' not found", "", "", ""]),
        (
            Some(422),
            r#"{"detail":[{"loc":["body"],"msg":"Field required","type":"missing"}]}"#,
            ["Field required", "missing", "", ""],
        ),
        (Some(502), "<html>Bad Gateway</html>", ["HTTP status 502", "", "", ""]),
        (Some(503), "no healthy upstream", ["no healthy upstream", "", "", ""]),
        (None, "{}", ["unspecified error", "", "", ""]),
    ];
    for (status, body, want) in cases {
        assert_eq!(fields(parse_error(status, body.as_bytes())), want, "{body}");
    }
    assert_eq!(parse_error(Some(500), "é".repeat(3000).as_bytes()).message.chars().count(), 1025);
}

#[test]
fn overflow_is_told_from_other_limits() {
    let overflow = |status, body: &str| parse_error(status, body.as_bytes()).context_overflow;
    assert!(overflow(Some(400), r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#));
    assert!(overflow(None, r#"{"type":"error","message":"Your input exceeds the context window of this model."}"#));
    assert!(!overflow(Some(429), r#"{"error":{"message":"maximum context length"}}"#));
    assert!(!overflow(Some(400), r#"{"error":{"message":"max_output_tokens is too large"}}"#));
}

#[test]
fn our_errors_read_back_and_make_the_sdks_raise() {
    let ours = ErrorText { status: 502, message: "a \"b\"\n", kind: "api_error", code: "upstream", param: Some("p") };
    let want = ["a \"b\"\n", "api_error", "upstream", "p"];
    assert_eq!(fields(parse_error(Some(502), &error_body(&ours))), want);
    let body = value(&error_body(&ErrorText { param: None, ..ours }));
    same(
        &body,
        &json!({"error": {"message": "a \"b\"\n", "type": "api_error", "param": null, "code": "upstream"}}),
        "body",
    );
    let event = error_event(&ours);
    let event = crate::dialect::sse::Event::parse(&event);
    assert_eq!(event.name, b"error");
    let data = event.data.unwrap();
    assert_eq!(fields(parse_error(None, &data)), want);
    let data = value(&data);
    assert_eq!(
        (&data["type"], &data["code"], &data["message"], &data["param"]),
        (&json!("error"), &json!("upstream"), &json!("a \"b\"\n"), &json!("p"))
    );
    assert!(data["sequence_number"].is_u64() && data["error"].is_object());
}

use super::*;
use crate::dialect::ErrorText;

#[test]
fn errors_are_read() {
    // (case, status, code, kind, param, overflow, retry)
    let cases = [
        ("bad_field", 400, "400", "INVALID_ARGUMENT", Some("generation_config"), false, None),
        ("bad_key", 400, "400", "INVALID_ARGUMENT", None, false, None),
        ("overflow", 400, "400", "INVALID_ARGUMENT", None, true, None),
        ("forbidden", 403, "403", "PERMISSION_DENIED", None, false, None),
        ("not_found", 404, "404", "NOT_FOUND", None, false, None),
        ("quota", 429, "429", "RESOURCE_EXHAUSTED", None, false, Some(34_075)),
        ("overloaded", 503, "503", "UNAVAILABLE", None, false, None),
        ("internal", 500, "500", "INTERNAL", None, false, None),
        ("in_list", 401, "401", "UNAUTHENTICATED", None, false, None),
    ];
    assert_eq!(cases.len(), fixtures("errors").len());
    for (name, status, code, kind, param, overflow, retry) in cases {
        let text = fixture("errors", name);
        let value = json(&text);
        let inner = if value.is_array() { &value[0]["error"] } else { &value["error"] };
        for status in [Some(status), None] {
            let error = parse_error(status, text.as_bytes());
            assert_eq!(error.message, inner["message"].as_str().unwrap(), "{name}");
            assert_eq!((error.code.as_deref(), error.kind.as_deref()), (Some(code), Some(kind)), "{name}");
            assert_eq!((error.param.as_deref(), error.context_overflow), (param, overflow), "{name}");
            assert_eq!(error.retry_after_ms, retry, "{name}");
        }
    }
}

#[test]
fn what_is_no_error_of_theirs_becomes_a_message() {
    for (body, want) in [
        ("", "HTTP status 502"),
        ("<html>oops</html>", "HTTP status 502"),
        ("upstream connect error", "upstream connect error"),
        ("{\"error\":", "HTTP status 502"),
        ("{\"error\":\"plain\"}", "plain"),
        ("{\"error\":{\"status\":\"ABORTED\"}}", "ABORTED"),
    ] {
        assert_eq!(parse_error(Some(502), body.as_bytes()).message, want, "{body}");
    }
    assert_eq!(parse_error(None, b"").message, "unspecified error");
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(5000));
    assert!(parse_error(None, long.as_bytes()).message.len() < 2100);
}

#[test]
fn retry_delays_are_durations() {
    for (delay, want) in
        [("34s", Some(34_000)), ("0.0001s", Some(1)), ("1.5s", Some(1500)), ("-1s", None), ("5", None), ("NaNs", None)]
    {
        let body = format!(r#"{{"error":{{"details":[{{"retryDelay":"{delay}"}}]}}}}"#);
        assert_eq!(parse_error(None, body.as_bytes()).retry_after_ms, want, "{delay}");
    }
}

#[test]
fn ours_are_written_and_can_be_read() {
    for (status, name) in [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ] {
        let text = ErrorText { status, message: "a \"b\"\n", kind: "k", code: "no_model", param: Some("model") };
        let body = error_body(&text);
        let event = String::from_utf8(error_event(&text)).unwrap();
        assert_eq!(event, format!("data: {}\n\n", std::str::from_utf8(&body).unwrap()));
        assert_eq!(json(std::str::from_utf8(&body).unwrap())["error"]["details"][0]["reason"], "no_model");
        let read = parse_error(None, &body);
        assert_eq!((read.message.as_str(), read.kind.as_deref()), ("a \"b\"\n", Some(name)));
        assert_eq!((read.code, read.param.as_deref()), (Some(status.to_string()), Some("model")));
    }
}

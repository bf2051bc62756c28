//! Answers that claim success and are none. Each is a failed attempt of a known kind; none ever becomes a clean end.

use crate::harness::{ask, ask_stream, gateway, gateway_first, gateway_with};
use crate::upstream::{Act, ROLE, STOP, Script, USAGE, Upstream, completion, delta, error_body};
use serde_json::Value;

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("content-type", "text/event-stream");
/// What `echo | gzip` makes: enough to look like it.
const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xe3, 2, 0, 0x93, 6, 0xd7, 0x32, 1, 0, 0, 0];

fn whole_faults() -> Vec<(&'static str, Script)> {
    let good = completion("hi");
    vec![
        ("content_type", Script::body(200, &[JSON, ("content-encoding", "gzip")], GZIP)),
        ("content_type", Script::body(200, &[("content-type", "text/html")], "<html>maintenance</html>")),
        ("content_type", Script::body(200, &[], &good)),
        ("content_type", Script::body(200, &[EVENTS], format!("data: {good}\n\n"))),
        ("empty_body", Script::body(200, &[JSON], "")),
        ("invalid_json", Script::json(200, &good[..good.len() - 2])),
        ("invalid_json", Script::json(200, format!("{good}{good}"))),
        ("invalid_json", Script::json(200, "not JSON")),
        ("invalid_json", Script::json(200, "{}")),
        ("invalid_json", Script::json(200, "[]")),
        ("invalid_json", Script::json(200, GZIP)),
        ("in_band_error", Script::json(200, error_body("the model crashed"))),
        ("in_band_error", Script::json(200, r#"{"choices":[],"error":"the model crashed"}"#)),
        ("http_429", Script::json(200, r#"{"error":{"message":"slow down","code":429}}"#)),
        ("http_502", Script::json(200, r#"{"error":{"message":"bad upstream","code":502}}"#)),
        ("http_other", Script::json(201, &good)),
        ("http_other", Script::raw("HTTP/1.1 204 No Content\r\n\r\n")),
    ]
}

fn stream_faults() -> Vec<(&'static str, Script)> {
    let large = format!("data: {}\n\n", delta(&"x".repeat(2 << 20)));
    vec![
        ("content_type", Script::body(200, &[("content-type", "text/html")], "<html>maintenance</html>")),
        ("content_type", Script::json(200, completion("whole"))),
        ("content_type", Script::body(200, &[EVENTS, ("content-encoding", "gzip")], GZIP)),
        ("empty_body", Script::body(200, &[EVENTS], "")),
        ("empty_body", Script::events().end()),
        ("empty_body", Script::events().chunk(": ping\n\n: ping\n\n").end()),
        ("empty_stream", Script::events().event(ROLE).end()),
        ("empty_stream", Script::events().event(ROLE).then(Act::Close)),
        ("empty_stream", Script::events().event(ROLE).then(Act::Reset)),
        ("empty_stream", Script::events().event(ROLE).then(Act::HalfClose)),
        ("empty_stream", Script::events().then(Act::Close)),
        ("empty_stream", Script::events().chunk(format!("data: {}", &delta("torn")[..40])).end()),
        ("empty", Script::events().done().end()),
        ("empty", Script::events().event(ROLE).event(STOP).event(USAGE).done().end()),
        ("invalid_json", Script::events().event("{not JSON}").done().end()),
        ("invalid_json", Script::events().chunk(large).done().end()),
        ("in_band_error", Script::events().event(&error_body("the model crashed")).done().end()),
        ("in_band_error", Script::events().event(ROLE).event(&error_body("the model crashed")).done().end()),
        ("in_band_error", Script::events().chunk("event: error\ndata: crashed\n\n").end()),
        ("http_503", Script::events().event(r#"{"error":{"message":"busy","code":503}}"#).done().end()),
        // The first output and the error arrive together: nothing was sent yet, so another may still answer.
        (
            "in_band_error",
            Script::events().chunk(format!("data: {}\n\ndata: {}\n\n", delta("x"), error_body("crashed"))).end(),
        ),
        ("timeout_first_token", Script::events().event(ROLE).then(Act::Stall)),
        ("timeout_first_token", Script::events().chunk(": ping\n\n").then(Act::Stall)),
        ("timeout_first_token", Script::events().then(Act::Stall)),
    ]
}

/// Short where the timeout is what is looked at.
fn patience(fault: &str) -> &'static str {
    if fault.starts_with("timeout") { "first_token_timeout: 200ms" } else { "first_token_timeout: 1m" }
}

async fn falls_back(request: Value, good: Script, faults: Vec<(&'static str, Script)>) {
    for (i, (fault, script)) in faults.into_iter().enumerate() {
        let (a, b) = (Upstream::with([script]).await, Upstream::always(good.clone()).await);
        let gateway = gateway_first(&[&a, &b], patience(fault));
        let reply = gateway.post(&request).await;
        assert_eq!(reply.status, 200, "case {i} ({fault}): {}", reply.text());
        assert_eq!((reply.attempts(), reply.model()), (2, "b"), "case {i} ({fault}): {}", reply.text());
        let record = gateway.record(&reply.id()).await;
        let outcomes: Vec<_> = record.attempts.iter().map(|t| t.outcome.as_str()).collect();
        assert_eq!(outcomes, [fault, "ok"], "case {i}");
        assert_eq!(gateway.endpoint("a").await["in_flight"], 0, "case {i} ({fault})");
    }
}

#[tokio::test]
async fn a_200_that_is_no_answer_is_a_failed_attempt() {
    falls_back(ask("route/r"), Script::says("hello"), whole_faults()).await;
}

#[tokio::test]
async fn a_stream_that_is_none_is_a_failed_attempt() {
    falls_back(ask_stream("route/r"), Script::streams(&["hello"]), stream_faults()).await;
}

#[tokio::test]
async fn without_another_provider_it_is_an_error_and_never_a_clean_end() {
    let cases = whole_faults().into_iter().map(|f| (ask("a"), f));
    for (request, (fault, script)) in cases.chain(stream_faults().into_iter().map(|f| (ask_stream("a"), f))) {
        let upstream = Upstream::always(script).await;
        let gateway = gateway_with(&[&upstream], &format!("max_attempts: 1, {}", patience(fault)));
        let reply = gateway.post(&request).await;
        let wanted = match fault {
            // The model had nothing to say: that is an answer.
            "empty" => 200,
            "http_429" => 429,
            _ => 502,
        };
        assert_eq!(reply.status, wanted, "{fault}: {}", reply.text());
        if wanted != 200 {
            assert!(reply.text().contains("\"error\"") && !reply.text().contains("[DONE]"), "{}", reply.text());
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(gateway.record(&reply.id()).await.outcome, "failed");
        }
    }
}

/// Found here: an error that states its status inside of a 200 was billed as if the model had read the input.
#[tokio::test]
async fn an_error_inside_of_a_200_bills_nothing() {
    for body in [error_body("crashed"), r#"{"error":{"message":"busy","code":503}}"#.to_owned()] {
        for (request, script) in
            [(ask("a"), Script::json(200, &body)), (ask_stream("a"), Script::events().event(&body).end())]
        {
            let upstream = Upstream::always(script).await;
            let gateway = gateway_with(&[&upstream], "max_attempts: 1");
            let record = gateway.record(&gateway.post(&request).await.id()).await;
            let attempt = &record.attempts[0];
            assert_eq!((attempt.input_tokens, attempt.cost_nano_usd), (0, Some(0)), "{body}: {attempt:?}");
        }
    }
}

#[tokio::test]
async fn an_overflow_inside_of_a_200_is_one() {
    let body = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
    for (request, script) in
        [(ask("a"), Script::json(200, body)), (ask_stream("a"), Script::events().event(body).done().end())]
    {
        let upstream = Upstream::always(script).await;
        let reply = gateway(&[&upstream]).post(&request).await;
        assert_eq!(reply.code(), (400, "context_length_exceeded".into()));
    }
}

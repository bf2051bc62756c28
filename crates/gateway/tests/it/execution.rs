//! Attempts: what moves on, what is repeated, what goes back, and how long any of it may take.

use crate::harness::{
    Client, Gateway, ask, ask_stream, chain, chat_request, first_with, gateway, gateway_first, gateway_with,
};
use crate::upstream::{Act, Door, ROLE, Script, Upstream, error_body};

/// The first of three fails in each of four ways: there is one good answer each time, from the second.
#[tokio::test]
async fn one_good_answer_whatever_the_first_of_three_does() {
    let faults = [
        ("http_500", Script::error(500, "broken")),
        ("http_429", Script::limited("retry-after", "30")),
        ("timeout_first_token", Script::default().then(Act::Stall)),
        ("empty_stream", Script::events().event(ROLE).end()),
    ];
    for (fault, script) in faults {
        let (a, b, c) = (Upstream::with([script]).await, Upstream::start().await, Upstream::start().await);
        b.then_always(Script::streams(&["good ", "answer"]));
        let timeout = if fault.starts_with("timeout") { "200ms" } else { "1m" };
        let gateway = gateway_first(&[&a, &b, &c], &format!("first_token_timeout: {timeout}"));
        let reply = gateway.open(&ask_stream("route/r")).await.whole().await;
        assert_eq!(reply.streamed(), "good answer", "{fault}");
        assert_eq!(reply.events().iter().filter(|e| **e == "[DONE]").count(), 1, "{fault}");
        assert_eq!((reply.attempts(), reply.model()), (2, "b"), "{fault}");
        assert_eq!((a.count(), b.count(), c.count()), (1, 1, 0), "{fault}");
        let record = gateway.record(&reply.id()).await;
        let outcomes: Vec<_> = record.attempts.iter().map(|t| (t.model.as_str(), t.outcome.as_str())).collect();
        assert_eq!(outcomes, [("a", fault), ("b", "ok")]);
        assert_eq!((record.outcome.as_str(), record.model.as_deref()), ("ok", Some("b")));
        assert!(record.decision.is_some(), "{fault}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_stream_falls_back_as_well() {
    let faults = [
        ("http_503", 503, Script::error(503, "busy")),
        ("http_429", 429, Script::limited("retry-after-ms", "1500")),
        ("timeout_response", 0, Script::default().then(Act::Stall)),
        (
            "timeout_response",
            200,
            Script::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
                .then(Act::Stall),
        ),
        ("connect", 0, Script::default().then(Act::Close)),
        ("connect", 0, Script::default().then(Act::Reset)),
        ("connect", 0, Script::default().then(Act::HalfClose)),
        ("connect", 0, Script::raw("HTTP/1.1 200 OK\r\ncontent-ty").then(Act::Close)),
        ("connect", 0, Script::raw("what is this?\r\n\r\n").then(Act::Close)),
        (
            "cut",
            200,
            Script::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
                .then(Act::Close),
        ),
        (
            "cut",
            200,
            Script::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
                .then(Act::HalfClose),
        ),
        ("http_401", 401, Script::error(401, "bad key")),
        ("http_403", 403, Script::error(403, "not for you")),
        ("http_404", 404, Script::error(404, "no such model")),
        ("http_408", 408, Script::error(408, "too slow")),
        ("http_3xx", 302, Script::body(302, &[("location", "http://elsewhere.invalid/")], "")),
    ];
    for (fault, status, script) in faults {
        let (a, b) = (Upstream::with([script]).await, Upstream::start().await);
        let timeout = if fault.starts_with("timeout") { "200ms" } else { "1m" };
        let gateway = gateway_first(&[&a, &b], &format!("response_timeout: {timeout}"));
        let reply = gateway.post(&ask("route/r")).await;
        assert_eq!(reply.said(), "hello", "{fault}");
        assert_eq!((reply.attempts(), reply.model()), (2, "b"), "{fault}");
        let record = gateway.record(&reply.id()).await;
        let outcomes: Vec<_> = record.attempts.iter().map(|t| (t.outcome.as_str(), t.status)).collect();
        assert_eq!(outcomes, [(fault, status), ("ok", 200)]);
        assert_eq!(gateway.endpoint("a").await["in_flight"], 0, "{fault}");
    }
}

#[tokio::test]
async fn a_provider_that_nobody_listens_at_is_passed_over() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let gateway = Gateway::start(&chain(&[&a, &b], "").replace(&a.url(), &gone));
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("hello", 2));
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.attempts[0].outcome.as_str(), record.attempts[0].cost_nano_usd), ("connect", Some(0)));
}

#[tokio::test]
async fn a_clients_mistake_goes_back_as_it_is_and_is_not_tried_again() {
    for status in [400, 413, 422] {
        let body = r#"{ "error":{"message":"`n` must be 1","type":"invalid_request_error","param":"n","code":"bad_n", "extra":[1] }}"#;
        let (a, b) = (Upstream::always(Script::json(status, body)).await, Upstream::start().await);
        let gateway = gateway(&[&a, &b]);
        for request in [ask("route/r"), ask_stream("route/r")] {
            let reply = gateway.post(&request).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (status, body));
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.attempts(), 1);
            let record = gateway.record(&reply.id()).await;
            assert_eq!((record.outcome.as_str(), record.status), ("failed", status));
            assert_eq!(record.cost_nano_usd, 0);
        }
        assert_eq!((a.count(), b.count()), (2, 0));
        assert_eq!(gateway.endpoint("a").await["state"], "closed");
    }
}

#[tokio::test]
async fn a_mistake_without_a_readable_body_still_has_its_status() {
    let upstream = Upstream::always(Script::body(422, &[("content-type", "text/html")], "<html>no</html>")).await;
    let reply = gateway(&[&upstream]).post(&ask("a")).await;
    assert_eq!(reply.code(), (422, "invalid_request".into()));
}

#[tokio::test]
async fn when_every_provider_says_429_the_smallest_retry_after_goes_back() {
    let a = Upstream::always(Script::limited("retry-after", "400")).await;
    let b = Upstream::always(Script::limited("retry-after-ms", "72000")).await;
    let c = Upstream::always(Script::limited("retry-after", "200")).await;
    let gateway = gateway(&[&a, &b, &c]);
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!(reply.code(), (429, "rate_limit_exceeded".into()));
    let wait = reply.retry_after().unwrap().as_secs();
    assert!((60..=72).contains(&wait), "{wait}");
    // None is waited for: they are longer than `max_retry_wait`.
    assert_eq!((a.count(), b.count(), c.count(), reply.attempts()), (1, 1, 1, 3));
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.outcome.as_str(), record.code.as_deref()), ("failed", Some("rate_limit_exceeded")));
    for model in ["a", "b", "c"] {
        assert_eq!(gateway.endpoint(model).await["state"], "closed", "429 is not ill health");
    }
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let upstream = Upstream::with([Script::limited("retry-after-ms", "30")]).await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.post(&ask("a")).await;
    assert_eq!((reply.said().as_str(), reply.attempts(), upstream.count()), ("hello", 2, 2));
    let record = gateway.record(&reply.id()).await;
    let waited = record.attempts[1].start_us - record.attempts[0].start_us;
    assert!(waited >= 30_000, "asked again after {waited} µs");
}

#[tokio::test]
async fn nothing_is_repeated_before_everything_was_tried() {
    let a = Upstream::with([Script::error(500, "a"), Script::error(500, "a")]).await;
    let b = Upstream::with([Script::error(500, "b"), Script::error(500, "b")]).await;
    let gateway = gateway_with(&[&a, &b], "max_attempts: 8");
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!(reply.said(), "hello");
    let record = gateway.record(&reply.id()).await;
    let order: Vec<_> = record.attempts.iter().map(|t| t.model.as_str()).collect();
    assert_eq!(order[..2], ["a", "b"]);
    assert_eq!(order.len(), 5);
    let mut repeats = [order[2], order[3]];
    repeats.sort_unstable();
    assert_eq!(repeats, ["a", "b"], "the least tried goes first");
}

#[tokio::test]
async fn attempts_are_bounded() {
    let upstream = Upstream::always(Script::error(500, "broken for ever")).await;
    let gateway = gateway_with(&[&upstream], "max_attempts: 3, max_retry_wait: 1ms");
    let reply = gateway.post(&ask("a")).await;
    assert_eq!(reply.code(), (502, "upstream_error".into()));
    assert_eq!((upstream.count(), reply.attempts()), (3, 3));
    assert!(reply.text().contains("broken for ever"), "the provider's own words: {}", reply.text());
}

/// Ten repeats a second are free, a fifth of the requests beyond: a burst of failing requests must not multiply.
#[tokio::test]
async fn repeats_are_bounded_over_all_requests() {
    let upstream = Upstream::always(Script::error(500, "down")).await;
    let gateway = gateway_with(
        &[&upstream],
        "max_attempts: 4, max_retry_wait: 1ms, breaker: { consecutive_failures: 1000000, error_rate: 1.0, min_requests: 1000000 }",
    );
    // Nothing is left of the budget; meanwhile it gains some ten repeats a second, where 120 would be asked for.
    let state = gateway.handle.state().clone();
    let spent = (0..1000).any(|_| !state.retry_budget.withdraw(state.clock.instant()));
    assert!(spent, "the budget is never spent");
    let mut made = 0;
    for _ in 0..40 {
        made += gateway.post(&ask("a")).await.attempts();
    }
    assert!((40..160).contains(&made), "{made} attempts: the budget bounds nothing");
}

#[tokio::test]
async fn the_callers_deadline_ends_a_request() {
    for request in [ask("route/r"), ask_stream("route/r")] {
        let a = Upstream::always(Script::default().then(Act::Stall)).await;
        let b = Upstream::start().await;
        let gateway = gateway(&[&a, &b]);
        let reply = gateway.send(&[("x-waypost-deadline-ms", "500")], request.to_string()).await;
        assert_eq!(reply.code(), (504, "deadline_exceeded".into()));
        a.until("the attempt is cancelled", |s| s.abandoned == 1).await;
        assert_eq!(b.count(), 0, "no attempt begins after the deadline");
        let record = gateway.record(&reply.id()).await;
        assert_eq!((record.outcome.as_str(), record.attempts[0].outcome.as_str()), ("failed", "deadline"));
        let endpoint = gateway.endpoint("a").await;
        assert_eq!((&endpoint["in_flight"], &endpoint["state"]), (&0.into(), &"closed".into()));
    }
}

#[tokio::test]
async fn the_total_timeout_spans_all_attempts() {
    let a = Upstream::always(Script::default().then(Act::Stall)).await;
    let b = Upstream::always(Script::default().then(Act::Stall)).await;
    let yaml = chain(&[&a, &b], "execution: { total_timeout: 1s }\n");
    let gateway = Gateway::start(&first_with(&yaml, "response_timeout: 100ms"));
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!(reply.code(), (504, "deadline_exceeded".into()));
    let record = gateway.record(&reply.id()).await;
    let outcomes: Vec<_> = record.attempts.iter().map(|t| t.outcome.as_str()).collect();
    assert_eq!(outcomes, ["timeout_response", "deadline"]);
}

#[tokio::test]
async fn a_providers_own_timeout_wins_over_the_general_one() {
    let (a, b) = (Upstream::always(Script::default().then(Act::Stall)).await, Upstream::start().await);
    let yaml = chain(&[&a, &b], "execution: { response_timeout: 1h }\n");
    let reply = Gateway::start(&first_with(&yaml, "response_timeout: 100ms")).post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("hello", 2));
}

#[tokio::test]
async fn an_overflow_moves_to_a_larger_window_only() {
    let overflow = Script::error(400, "This model's maximum context length is 8192 tokens.");
    let (a, b, c) = (Upstream::always(overflow).await, Upstream::start().await, Upstream::start().await);
    let yaml = chain(&[&a, &b, &c], "");
    let yaml = yaml.replace("price: { input: 1,", "context_window: 8192, price: { input: 1,");
    let yaml = yaml.replace("price: { input: 2,", "context_window: 8000, price: { input: 2,");
    let yaml = yaml.replace("price: { input: 3,", "context_window: 128000, price: { input: 3,");
    let gateway = Gateway::start(&yaml);
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.model(), b.count()), ("hello", "c", 0));
    let record = gateway.record(&reply.id()).await;
    assert_eq!(record.attempts[0].outcome, "context_overflow");
    let alone = gateway.post(&ask("a")).await;
    assert_eq!(alone.code(), (400, "context_length_exceeded".into()));
    assert!(alone.text().contains("maximum context length is 8192"), "{}", alone.text());
    assert_eq!(gateway.endpoint("a").await["state"], "closed");
}

const EMPTY: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":0}}"#;

fn empty_stream() -> Script {
    Script::events().event(ROLE).event(crate::upstream::STOP).done().end()
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_elsewhere_once() {
    for (request, script, streamed) in
        [(ask("route/r"), Script::json(200, EMPTY), false), (ask_stream("route/r"), empty_stream(), true)]
    {
        let (a, b) = (Upstream::always(script).await, Upstream::start().await);
        if streamed {
            b.then_always(Script::streams(&["hello"]));
        }
        let gateway = gateway(&[&a, &b]);
        let reply = gateway.post(&request).await;
        let said = if streamed { reply.streamed() } else { reply.said() };
        assert_eq!((said.as_str(), reply.attempts(), reply.model()), ("hello", 2, "b"));
        assert_eq!(gateway.record(&reply.id()).await.attempts[0].outcome, "empty");
    }
}

#[tokio::test]
async fn an_answer_that_is_empty_everywhere_is_the_answer() {
    for (request, script, streamed) in
        [(ask("route/r"), Script::json(200, EMPTY), false), (ask_stream("route/r"), empty_stream(), true)]
    {
        let (a, b, c) =
            (Upstream::always(script.clone()).await, Upstream::always(script).await, Upstream::start().await);
        let gateway = gateway(&[&a, &b, &c]);
        let reply = gateway.post(&request).await;
        assert_eq!(reply.status, 200);
        if streamed {
            assert_eq!(reply.events().last(), Some(&"[DONE]"));
            assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
        } else {
            assert_eq!(reply.text(), EMPTY);
        }
        assert_eq!((a.count(), b.count(), c.count(), reply.attempts(), reply.model()), (1, 1, 0, 2, "b"));
        let record = gateway.record(&reply.id()).await;
        assert_eq!((record.outcome.as_str(), record.model.as_deref()), ("ok", Some("b")), "who answered");
    }
}

/// Prompts were searched for personal data only where compliance rules stood: a route's `match` on it never held.
#[tokio::test]
async fn personal_data_is_found_for_every_rule_that_asks() {
    let (a, b) = (Upstream::always(Script::says("a")).await, Upstream::always(Script::says("b")).await);
    let matching = "candidates: [a, b] }\n  private: { match: 'request.sensitive', candidates: [b] }";
    let gateway =
        Gateway::start(&chain(&[&a, &b], "auto: { strategy: cost }\n").replace("candidates: [a, b] }", matching));
    let said = async |text: &str| {
        let body = serde_json::json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
        gateway.post(&body).await.said()
    };
    assert_eq!(said("hello").await, "a");
    assert_eq!(said("write to jane.doe@example.com, card 4111 1111 1111 1111").await, "b");
}

/// Found here: the headers named whoever failed last, not whose answer it was.
#[tokio::test]
async fn an_empty_answer_that_nobody_bettered_is_named_after_its_own_model() {
    let (a, b) = (Upstream::always(Script::json(200, EMPTY)).await, Upstream::always(Script::error(500, "x")).await);
    let gateway = gateway(&[&a, &b]);
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.text(), reply.model(), reply.header("x-waypost-provider")), (EMPTY, "a", Some("pa")));
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.model.as_deref(), record.outcome.as_str()), (Some("a"), "ok"));
}

#[tokio::test]
async fn an_empty_answer_for_a_reason_is_an_answer() {
    let filtered = EMPTY.replace(r#""stop""#, r#""content_filter""#);
    let (a, b) = (Upstream::always(Script::json(200, &filtered)).await, Upstream::start().await);
    let reply = gateway(&[&a, &b]).post(&ask("route/r")).await;
    assert_eq!((reply.text(), reply.attempts(), b.count()), (filtered.as_str(), 1, 0));
}

#[tokio::test]
async fn an_emergency_model_is_marked_and_comes_last() {
    let (a, b) = (Upstream::always(Script::error(500, "x")).await, Upstream::start().await);
    let yaml = chain(&[&a, &b], "").replace("candidates: [a, b]", "candidates: [a], emergency: [b]");
    let gateway = Gateway::start(&yaml);
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.model()), ("hello", "b"));
    assert_eq!(reply.header("x-waypost-degraded"), Some("true"));
    assert!(gateway.record(&reply.id()).await.degraded);
    a.then_always(Script::says("well"));
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.header("x-waypost-degraded")), ("well", None));
    assert!(!gateway.record(&reply.id()).await.degraded);
}

#[tokio::test]
async fn a_fallback_meets_the_constraints_of_the_first_choice() {
    let (a, b, c) = (Upstream::always(Script::error(500, "x")).await, Upstream::start().await, Upstream::start().await);
    let yaml = chain(&[&a, &b, &c], "compliance: [{ when: 'request.sensitive', require: [safe] }]\n");
    let yaml = yaml.replace("price: { input: 1,", "capabilities: [vision], tags: [safe], price: { input: 1,");
    let yaml = yaml.replace("price: { input: 2,", "capabilities: [tools], price: { input: 2,");
    let yaml = yaml.replace("price: { input: 3,", "capabilities: [vision], tags: [safe], price: { input: 3,");
    let gateway = Gateway::start(&yaml);
    let image = serde_json::json!({"model": "route/r", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]});
    let reply = gateway.post(&image).await;
    assert_eq!((reply.said().as_str(), reply.model(), b.count()), ("hello", "c", 0), "b has no vision");
    let mut sensitive = ask("route/r");
    sensitive["waypost"] = serde_json::json!({"sensitive": true});
    let reply = gateway.post(&sensitive).await;
    assert_eq!((reply.said().as_str(), reply.model(), b.count()), ("hello", "c", 0), "b is not tagged");
    c.then_always(Script::error(500, "x"));
    let reply = gateway.post(&sensitive).await;
    assert_eq!((reply.code().0, b.count()), (502, 0), "rather nothing than a model that may not see it");
    let plain = gateway.post(&ask("route/r")).await;
    assert_eq!(plain.model(), "b");
}

#[tokio::test]
async fn a_pin_is_never_answered_by_another_model() {
    let (a, b) = (Upstream::always(Script::error(500, "x")).await, Upstream::start().await);
    let gateway = gateway_with(&[&a, &b], "max_attempts: 2, max_retry_wait: 1ms");
    let reply = gateway.post(&ask("a")).await;
    assert_eq!((reply.code().0, a.count(), b.count()), (502, 2, 0));
}

#[tokio::test]
async fn credentials_that_a_provider_echoes_are_not_passed_on() {
    let echo = "Incorrect API key provided: sk-provider-a";
    let (a, b) = (Upstream::always(Script::error(401, echo)).await, Upstream::always(Script::error(400, echo)).await);
    let gateway = gateway(&[&a, &b]);
    for model in ["a", "b"] {
        let reply = gateway.post(&ask(model)).await;
        assert!(reply.status.as_u16() >= 400);
        // At b the echo is of another provider's key, which it cannot know.
        assert!(model == "b" || !reply.text().contains("sk-provider-a"), "{}", reply.text());
    }
    a.then_always(Script::error(400, echo));
    let reply = gateway.post(&ask("a")).await;
    assert_eq!(reply.status, 400);
    assert!(!reply.text().contains("sk-provider"), "{}", reply.text());
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_is_taken() {
    let large = "x".repeat(3 << 20);
    let upstream = Upstream::always(Script::says("early").early()).await;
    let gateway = gateway(&[&upstream]);
    let mut body = ask("a");
    body["messages"][0]["content"] = large.into();
    let reply = gateway.post(&body).await;
    assert_eq!(reply.said(), "early");
    upstream.then_always(Script::json(413, error_body("too large")).early());
    let reply = gateway.post(&body).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_kept_connection_that_the_provider_has_closed_costs_no_attempt() {
    let upstream = Upstream::with([Script::says("one").then(Act::Close), Script::says("two")]).await;
    let gateway = Gateway::start_with("workers: 1", &chain(&[&upstream], ""));
    assert_eq!(gateway.post(&ask("a")).await.said(), "one");
    upstream.until("it has closed the connection", |s| s.answered == 1).await;
    let reply = gateway.post(&ask("a")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("two", 1));
    assert_eq!(upstream.seen().opened, 2);
}

/// The provider closes a kept connection just as the next request arrives on it: it is asked again, on a new connection.
#[tokio::test]
async fn a_kept_connection_that_closes_under_the_next_request_is_survived() {
    let upstream = Upstream::with([Script::says("one"), Script::default().then(Act::Close), Script::says("two")]).await;
    let gateway = Gateway::start_with("workers: 1", &chain(&[&upstream], ""));
    assert_eq!(gateway.post(&ask("a")).await.said(), "one");
    assert_eq!(gateway.post(&ask("a")).await.said(), "two");
    assert_eq!(upstream.seen().requests[1].connection, 0, "the kept connection was used");
}

#[tokio::test]
async fn connections_upstream_are_kept() {
    let upstream = Upstream::start().await;
    upstream.then(Script::streams(&["hello"]));
    let gateway = Gateway::start_with("workers: 1", &chain(&[&upstream], ""));
    gateway.open(&ask_stream("a")).await.whole().await;
    for _ in 0..3 {
        gateway.post(&ask("a")).await;
    }
    assert_eq!((upstream.count(), upstream.seen().opened), (4, 1));
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_cancels_the_attempt() {
    for request in [ask("a"), ask_stream("a")] {
        let door = Door::default();
        let upstream = Upstream::always(Script::says("late").after(&door)).await;
        let gateway = gateway(&[&upstream]);
        let client = Client::connect(gateway.address()).await;
        let waiting = client.begin(chat_request(&[], request.to_string()));
        upstream.until("the request is there", |s| s.requests.len() == 1).await;
        waiting.leave();
        upstream.until("the gateway hangs up", |s| s.abandoned == 1).await;
        let record = gateway.newest(1).await;
        let attempt = &record.attempts[0];
        assert_eq!((record.outcome.as_str(), record.status), ("cancelled", 499));
        assert_eq!((attempt.outcome.as_str(), attempt.estimated), ("cancelled", true));
        assert!(attempt.input_tokens > 0 && record.cost_nano_usd > 0, "{record:?}");
        let endpoint = gateway.endpoint("a").await;
        assert_eq!((&endpoint["in_flight"], &endpoint["state"]), (&0.into(), &"closed".into()));
        assert_eq!(gateway.handle.state().admission.load(), (0, 0));
    }
}

#[tokio::test]
async fn what_http_allows_is_understood() {
    let body = crate::upstream::completion("hello");
    let length = body.len();
    let (half, rest) = body.split_at(40);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n";
    let cases = [
        (
            "an interim answer",
            format!("HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n{head}content-length: {length}\r\n\r\n{body}"),
        ),
        (
            "chunks with extensions and trailers",
            format!(
                "{head}transfer-encoding: chunked\r\n\r\n28;x=1\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\nx-sum: 1\r\n\r\n",
                rest.len()
            ),
        ),
        (
            "names in any case",
            format!("HTTP/1.1 200\r\nContent-Type: Application/JSON\r\nCONTENT-LENGTH: {length}\r\n\r\n{body}"),
        ),
        (
            "an encoding that is none",
            format!("{head}content-encoding: identity\r\ncontent-length: {length}\r\n\r\n{body}"),
        ),
    ];
    for (what, wire) in cases {
        let upstream = Upstream::with([Script::raw(wire)]).await;
        let reply = gateway_with(&[&upstream], "max_attempts: 1").post(&ask("a")).await;
        assert_eq!((reply.text(), reply.attempts()), (body.as_str(), 1), "{what}");
    }
    // Up to the connection's end, and a connection that is not to be kept.
    for more in ["HTTP/1.0 200 OK\r\n", "HTTP/1.1 200 OK\r\nconnection: close\r\n"] {
        let wire = format!("{more}content-type: application/json\r\n\r\n{body}");
        let upstream = Upstream::always(Script::raw(wire).then(Act::Close)).await;
        let gateway = Gateway::start_with("workers: 1", &chain(&[&upstream], ""));
        for n in 1..=2 {
            let reply = gateway.post(&ask("a")).await;
            assert_eq!((reply.text(), reply.attempts(), upstream.seen().opened), (body.as_str(), 1, n));
        }
    }
}

#[tokio::test]
async fn a_key_reaches_only_the_providers_that_it_may_use() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let keys = "keys: [{ id: k, secret: sk-key, providers: [pb] }]\n";
    let text = chain(&[&a, &b], keys)
        .replace("endpoints: [{ provider: pb, name: up-b }]", "endpoints: [{ provider: pa }, { provider: pb }]");
    let gateway = Gateway::start(&text);
    let headers = [("authorization", "Bearer sk-key")];
    for _ in 0..8 {
        let reply = gateway.send(&headers, ask("route/r").to_string()).await;
        assert_eq!((reply.said().as_str(), reply.model()), ("hello", "b"));
    }
    b.then_always(Script::error(500, "broken"));
    assert_eq!(gateway.send(&headers, ask("b").to_string()).await.code().0, 502);
    assert_eq!(gateway.send(&headers, ask("a").to_string()).await.code(), (403, "not_allowed".into()));
    assert_eq!(a.count(), 0, "what fails at the one provider is not tried at the other");
}

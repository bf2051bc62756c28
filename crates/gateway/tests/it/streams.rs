//! Streams that have begun: they end in a real end or in a real error, and whatever happens is accounted for.

use crate::harness::{Gateway, Reply, ask_stream, chain, gateway, gateway_first, gateway_with};
use crate::upstream::{Act, Door, ROLE, STOP, Script, USAGE, Upstream, delta, error_body};

fn begun() -> Script {
    Script::events().event(ROLE).event(&delta("The first part of an answer. ")).event(&delta("The second part. "))
}

/// The error that a broken stream ends with: what came before stands, no end marker follows.
#[track_caller]
fn broken(reply: &Reply) -> serde_json::Value {
    assert_eq!(reply.status, 200);
    assert_eq!(reply.streamed(), "The first part of an answer. The second part. ");
    assert!(!reply.text().contains("[DONE]"), "{}", reply.text());
    let last = reply.events().last().copied().unwrap_or_default().to_owned();
    let last: serde_json::Value = serde_json::from_str(&last).expect("the last event is JSON");
    assert!(last["error"]["message"].is_string(), "{last}");
    last["error"].clone()
}

#[tokio::test]
async fn a_broken_stream_ends_in_an_error_and_is_charged_for_what_came() {
    let large = delta(&"x".repeat(2 << 20));
    let cases = [
        ("cut", "upstream_error", begun().then(Act::Close)),
        ("cut", "upstream_error", begun().then(Act::Reset)),
        ("cut", "upstream_error", begun().then(Act::HalfClose)),
        ("cut", "upstream_error", begun().end()),
        ("cut", "upstream_error", begun().chunk("data: {\"choices\":[{\"ind").end()),
        ("timeout_chunk", "upstream_error", begun().then(Act::Stall)),
        ("timeout_chunk", "upstream_error", begun().chunk("data: {\"choi").then(Act::Stall)),
        ("in_band_error", "upstream_error", begun().event(&error_body("the model crashed")).done().end()),
        ("in_band_error", "upstream_error", begun().chunk("event: error\ndata: crashed\n\n").end()),
        ("invalid_json", "upstream_error", begun().event("{nonsense").done().end()),
        ("invalid_json", "upstream_error", begun().event(&large).done().end()),
    ];
    for (i, (outcome, code, script)) in cases.into_iter().enumerate() {
        let timeout = if outcome.starts_with("timeout") { "200ms" } else { "1m" };
        let (a, b) = (Upstream::always(script).await, Upstream::start().await);
        let gateway = gateway_with(&[&a, &b], &format!("chunk_timeout: {timeout}"));
        let reply = gateway.open(&ask_stream("route/r")).await.whole().await;
        assert_eq!(broken(&reply)["code"], code, "case {i}");
        assert_eq!((reply.attempts(), b.count()), (1, 0), "nothing is tried again, case {i}");
        let record = gateway.record(&reply.id()).await;
        let attempt = &record.attempts[0];
        assert_eq!((record.outcome.as_str(), record.status, record.code.as_deref()), ("cut", 200, Some(code)));
        assert_eq!((attempt.outcome.as_str(), attempt.estimated), (outcome, true), "case {i}");
        // 46 bytes of text, four to a token; model `a` costs a dollar per million tokens, in and out.
        assert_eq!(attempt.output_tokens, 12, "case {i}");
        assert!(attempt.input_tokens > 0);
        let cost = 1000 * (attempt.input_tokens + attempt.output_tokens) as i64;
        assert_eq!((attempt.cost_nano_usd, record.cost_nano_usd), (Some(cost), cost), "case {i}");
        assert!(record.decision.is_some());
        assert_eq!(gateway.endpoint("a").await["in_flight"], 0, "case {i}");
        assert_eq!(gateway.handle.state().admission.load(), (0, 0), "case {i}");
    }
}

#[tokio::test]
async fn a_stream_that_stalls_is_hung_up_on() {
    let upstream = Upstream::always(begun().then(Act::Stall)).await;
    let gateway = gateway_with(&[&upstream], "chunk_timeout: 100ms");
    gateway.open(&ask_stream("a")).await.whole().await;
    upstream.until("the gateway hangs up", |s| s.abandoned == 1).await;
}

#[tokio::test]
async fn a_cut_stream_counts_against_its_endpoint() {
    let upstream = Upstream::always(begun().then(Act::Close)).await;
    let gateway = gateway_with(&[&upstream], "breaker: { consecutive_failures: 1 }");
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    gateway.record(&reply.id()).await;
    assert_eq!(gateway.endpoint("a").await["state"], "open");
}

#[tokio::test]
async fn the_total_timeout_holds_in_the_middle_of_a_stream() {
    let upstream = Upstream::always(begun().then(Act::Stall)).await;
    let gateway = gateway_with(&[&upstream], "total_timeout: 1s");
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(broken(&reply)["code"], "deadline_exceeded");
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.outcome.as_str(), record.attempts[0].outcome.as_str()), ("cut", "deadline"));
    assert_eq!(gateway.endpoint("a").await["state"], "closed");
}

/// A provider's `total_timeout` bounds the whole attempt: it was forgotten once the first output had come.
#[tokio::test]
async fn a_providers_total_timeout_holds_in_the_middle_of_a_stream() {
    let upstream = Upstream::always(begun().then(Act::Stall)).await;
    let gateway = gateway_first(&[&upstream], "total_timeout: 1s");
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(broken(&reply)["code"], "deadline_exceeded");
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.outcome.as_str(), record.attempts[0].outcome.as_str()), ("cut", "timeout"));
}

/// The end marker was added twice, before and after the stream was handed on.
#[tokio::test]
async fn an_answer_without_words_ends_once() {
    let upstream = Upstream::always(Script::events().event(&STOP.replace("stop", "length")).end()).await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(reply.text().matches("[DONE]").count(), 1, "{}", reply.text());
    assert_eq!(gateway.record(&reply.id()).await.outcome, "ok");
}

/// A stream whose end marker came with its first output waited for the connection's end as for a chunk, and then added an
/// error behind the marker.
#[tokio::test]
async fn a_stream_that_came_whole_has_ended() {
    let whole = format!("data: {}\n\ndata: {STOP}\n\ndata: [DONE]\n\n", delta("all at once"));
    let upstream = Upstream::always(Script::events().chunk(&whole).then(Act::Stall)).await;
    let gateway = gateway_with(&[&upstream], "chunk_timeout: 100ms");
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(reply.text(), whole);
    assert_eq!(gateway.record(&reply.id()).await.outcome, "ok");
}

/// Found here: errors before the first output were cleaned of our credentials, later ones were not.
#[tokio::test]
async fn an_error_in_mid_stream_does_not_carry_our_credentials() {
    // The second secret begins with the first one: nothing of it may be left either.
    let said = error_body("keys sk-provider-a and sk-provider-a-second are exhausted");
    let upstream = Upstream::always(begun().event(&said).end()).await;
    let gateway = gateway_first(&[&upstream], "headers: { x-second: sk-provider-a-second }");
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    let message = broken(&reply)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("keys *** and *** are exhausted"), "{message}");
}

#[tokio::test]
async fn usage_that_was_reported_before_the_cut_is_what_is_billed() {
    let early = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":5}}"#;
    let upstream = Upstream::always(begun().event(early).then(Act::Close)).await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    broken(&reply);
    let record = gateway.record(&reply.id()).await;
    let attempt = &record.attempts[0];
    assert_eq!((attempt.input_tokens, attempt.output_tokens, attempt.estimated), (1000, 5, false));
    assert_eq!(record.cost_nano_usd, 1_005_000);
}

#[tokio::test]
async fn one_choice_of_two_that_never_finishes_is_a_cut() {
    let second = delta("b").replace(r#""index":0"#, r#""index":1"#);
    let script = Script::events().event(&delta("a")).event(&second).event(STOP).end();
    let upstream = Upstream::always(script).await;
    let reply = gateway(&[&upstream]).open(&ask_stream("a")).await.whole().await;
    assert!(!reply.text().contains("[DONE]") && reply.text().contains("\"error\""), "{}", reply.text());
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_cancels_upstream_and_pays_for_what_came() {
    let upstream = Upstream::always(begun().then(Act::Stall)).await;
    let gateway = gateway(&[&upstream]);
    let mut answer = gateway.open(&ask_stream("a")).await;
    answer.until("second part").await;
    let id = answer.id();
    answer.leave();
    upstream.until("the gateway hangs up", |s| s.abandoned == 1).await;
    let record = gateway.record(&id).await;
    let attempt = &record.attempts[0];
    assert_eq!((record.outcome.as_str(), attempt.outcome.as_str()), ("cancelled", "cancelled"));
    assert_eq!((attempt.output_tokens, attempt.estimated), (12, true));
    assert_eq!(record.cost_nano_usd, 1000 * (attempt.input_tokens + 12) as i64);
    let endpoint = gateway.endpoint("a").await;
    assert_eq!((&endpoint["in_flight"], &endpoint["state"]), (&0.into(), &"closed".into()));
    assert_eq!(gateway.handle.state().admission.load(), (0, 0));
}

#[tokio::test]
async fn events_pass_as_they_come_and_the_preamble_waits_for_the_first_output() {
    let (first, second, end) = (Door::default(), Door::default(), Door::default());
    let script = Script::events().chunk(": hello\n\n").event(ROLE).wait(&first).event(&delta("one"));
    let script = script.wait(&second).event(&delta("two")).wait(&end).event(STOP).event(USAGE).done().end();
    let upstream = Upstream::always(script).await;
    let gateway = gateway(&[&upstream]);
    let body = ask_stream("a");
    let opening = gateway.open(&body);
    tokio::pin!(opening);
    tokio::select! {
        _ = &mut opening => panic!("nothing may be promised before the first output"),
        () = upstream.until("the preamble is out", |s| s.requests.len() == 1) => {}
    }
    first.open();
    let mut answer = opening.await;
    answer.until("one").await;
    assert!(answer.text.starts_with(": hello\n\ndata: {"), "the preamble comes first: {}", answer.text);
    assert!(!answer.text.contains("two"));
    second.open();
    answer.until("two").await;
    end.open();
    let reply = answer.whole().await;
    assert_eq!(reply.events().last(), Some(&"[DONE]"));
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.outcome.as_str(), record.stream), ("ok", true));
    assert!(record.attempts[0].first_token_us.is_some());
}

#[tokio::test]
async fn a_stream_may_be_cut_into_pieces_anywhere() {
    let wire = format!(
        ": ping\r\n\r\nevent: message\r\ndata: {ROLE}\r\n\r\ndata: {}\n\ndata:{}\n\nid: 7\ndata: {STOP}\n\n",
        delta("grüße 😀"),
        delta("!")
    );
    let end = format!("data: {USAGE}\n\ndata: [DONE]\n\n");
    let whole = format!("{wire}{end}");
    for size in [1, 2, 3, 7, 64, 100_000] {
        let script = whole.as_bytes().chunks(size).fold(Script::events(), |s, piece| s.chunk(piece)).end();
        let upstream = Upstream::always(script).await;
        let gateway = gateway(&[&upstream]);
        let reply = gateway.open(&ask_stream("a")).await.whole().await;
        assert_eq!(reply.text(), format!("{wire}data: [DONE]\n\n"), "in pieces of {size}");
        let record = gateway.record(&reply.id()).await;
        assert_eq!((record.outcome.as_str(), record.attempts[0].output_tokens), ("ok", 20));
    }
}

#[tokio::test]
async fn a_stream_without_its_end_marker_gets_one_where_it_had_ended() {
    for script in [begun().event(STOP).event(USAGE).end(), begun().event(STOP).chunk(format!("data: {USAGE}")).end()] {
        let upstream = Upstream::always(script).await;
        let gateway = gateway(&[&upstream]);
        let reply = gateway.open(&ask_stream("a")).await.whole().await;
        assert_eq!(reply.events().last(), Some(&"[DONE]"));
        assert!(!reply.text().contains("\"error\"") && !reply.text().contains("usage"), "{}", reply.text());
        let record = gateway.record(&reply.id()).await;
        assert_eq!((record.outcome.as_str(), record.attempts[0].input_tokens), ("ok", 100));
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_connection_is_whole() {
    let body = format!("data: {}\n\ndata: {STOP}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n", delta("hello"));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let upstream = Upstream::always(Script::raw(format!("{head}{body}")).then(Act::Close)).await;
    let reply = gateway(&[&upstream]).open(&ask_stream("a")).await.whole().await;
    assert_eq!((reply.streamed().as_str(), reply.events().last()), ("hello", Some(&"[DONE]")));
}

#[tokio::test]
async fn the_end_marker_ends_a_stream_whose_connection_does_not() {
    let upstream = Upstream::always(begun().event(STOP).event(USAGE).done().then(Act::Stall)).await;
    let gateway = gateway(&[&upstream]);
    let reply = gateway.open(&ask_stream("a")).await.whole().await;
    assert_eq!(reply.events().last(), Some(&"[DONE]"));
    assert_eq!(gateway.record(&reply.id()).await.outcome, "ok");
    upstream.until("the connection is given up", |s| s.closed == 1).await;
}

#[tokio::test]
async fn tool_calls_and_reasoning_are_real_output() {
    let reasoning = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}"#;
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}"#;
    let refusal = r#"{"choices":[{"index":0,"delta":{"refusal":"no"},"finish_reason":null}]}"#;
    for output in [reasoning, call, refusal] {
        let door = Door::default();
        let script = Script::events().event(ROLE).event(output).wait(&door).event(STOP).done().end();
        let upstream = Upstream::always(script).await;
        let gateway = gateway(&[&upstream]);
        let mut answer = gateway.open(&ask_stream("a")).await;
        answer.until(output).await;
        door.open();
        assert_eq!(answer.whole().await.events().last(), Some(&"[DONE]"));
    }
}

#[tokio::test]
async fn a_stream_of_a_model_that_cannot_stream_is_refused() {
    let upstream = Upstream::start().await;
    let yaml =
        chain(&[&upstream], "").replace("price: { input: 1,", "capabilities: [no_streaming], price: { input: 1,");
    let reply = Gateway::start(&yaml).post(&ask_stream("a")).await;
    assert_eq!(reply.code(), (400, "constraint_violated".into()));
    assert_eq!(upstream.count(), 0);
}

/// Found here: nobody looked at the clock while the client's side was full.
#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_its_place_for_ever() {
    use tokio::io::AsyncWriteExt;
    let part = delta(&"x".repeat(512 << 10));
    let script = (0..64).fold(Script::events(), |s, _| s.event(&part)).then(Act::Stall);
    let upstream = Upstream::always(script).await;
    let gateway = gateway_with(&[&upstream], "total_timeout: 1s");
    let body = ask_stream("a").to_string();
    let mut client = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    upstream.until("the gateway gives up", |s| s.abandoned == 1).await;
    let record = gateway.newest(1).await;
    assert_eq!((record.outcome.as_str(), record.code.as_deref()), ("cut", Some("deadline_exceeded")));
    assert_eq!(gateway.endpoint("a").await["in_flight"], 0);
    assert_eq!(gateway.handle.state().admission.load(), (0, 0));
}

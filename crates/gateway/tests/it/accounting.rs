//! What is written of every request: attempts, tokens, money to the nano-dollar.

use crate::harness::{Gateway, Reply, ask, ask_stream, chain, first_with, gateway, gateway_first};
use crate::upstream::{Act, Script, Upstream, completion_with};
use serde_json::json;

/// Model `m` at 0.15 in, 0.60 out, 0.075 cached: 150, 600 and 75 nano-dollars a token.
fn priced(upstream: &Upstream, price: &str) -> Gateway {
    let url = upstream.url();
    Gateway::start(&format!(
        "providers: {{ p: {{ dialect: openai, base_url: '{url}' }} }}\nmodels: {{ m: {{ endpoints: [{{ provider: p }}]{price} }} }}"
    ))
}

const PRICE: &str = ", price: { input: 0.15, output: 0.60, cache_read: 0.075 }";

fn cost_header(reply: &Reply) -> Option<i64> {
    let dollars = reply.header("x-waypost-cost-usd")?;
    let (whole, decimals) = dollars.split_once('.').unwrap();
    Some(format!("{whole}{decimals:0<9}").parse().unwrap())
}

#[tokio::test]
async fn an_answer_costs_what_its_usage_says() {
    // (usage, input, cached, output, reasoning, nano-dollars)
    let cases = [
        (r#"{"prompt_tokens":1000,"completion_tokens":77,"total_tokens":1077}"#, 1000, 0, 77, 0, 196_200),
        (
            r#"{"prompt_tokens":1000,"completion_tokens":77,"prompt_tokens_details":{"cached_tokens":400}}"#,
            1000,
            400,
            77,
            0,
            166_200,
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":40}}"#,
            10,
            0,
            50,
            40,
            31_500,
        ),
        (r#"{"prompt_tokens":1,"completion_tokens":0}"#, 1, 0, 0, 0, 150),
        (r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, 0, 0, 0, 0, 0),
    ];
    for (usage, input, cached, output, reasoning, nano) in cases {
        let upstream = Upstream::always(Script::json(200, completion_with("hi", usage))).await;
        let gateway = priced(&upstream, PRICE);
        let reply = gateway.post(&ask("m")).await;
        assert_eq!(cost_header(&reply), Some(nano), "{usage}");
        let record = gateway.record(&reply.id()).await;
        let a = &record.attempts[0];
        assert_eq!((record.cost_nano_usd, a.cost_nano_usd, a.estimated), (nano, Some(nano), false), "{usage}");
        let got = (a.input_tokens, a.cache_read_tokens, a.output_tokens, a.reasoning_tokens);
        assert_eq!(got, (input, cached, output, reasoning), "{usage}");
    }
}

#[tokio::test]
async fn an_answer_without_usage_is_estimated() {
    let body = completion_with(&"word ".repeat(40), "null");
    let upstream = Upstream::always(Script::json(200, body)).await;
    let gateway = priced(&upstream, PRICE);
    let reply = gateway.post(&ask("m")).await;
    let record = gateway.record(&reply.id()).await;
    let a = &record.attempts[0];
    assert_eq!((a.estimated, a.output_tokens), (true, 50));
    assert!(a.input_tokens > 0);
    assert_eq!(record.cost_nano_usd, 150 * a.input_tokens as i64 + 600 * 50);
    assert_eq!(cost_header(&reply), Some(record.cost_nano_usd));
}

#[tokio::test]
async fn an_unknown_price_is_not_zero() {
    let upstream = Upstream::start().await;
    let gateway = priced(&upstream, "");
    let reply = gateway.post(&ask("m")).await;
    assert_eq!(cost_header(&reply), None);
    assert_eq!(gateway.record(&reply.id()).await.attempts[0].cost_nano_usd, None);
    let gateway = priced(&upstream, ", price: { input: 0, output: 0 }");
    let reply = gateway.post(&ask("m")).await;
    assert_eq!(cost_header(&reply), Some(0));
}

#[tokio::test]
async fn failed_attempts_are_costed_and_the_header_says_the_sum() {
    let stalls = Upstream::always(Script::default().then(Act::Stall)).await;
    let fails = Upstream::always(Script::error(500, "x")).await;
    let good = Upstream::start().await;
    let gateway = gateway_first(&[&stalls, &fails, &good], "response_timeout: 150ms");
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!(reply.said(), "hello");
    let record = gateway.record(&reply.id()).await;
    let [a, b, c] = &record.attempts[..] else { panic!("{record:?}") };
    // It may have been at work when it was given up.
    assert!(a.estimated && a.input_tokens > 0 && a.output_tokens == 0);
    assert_eq!(a.cost_nano_usd, Some(1000 * a.input_tokens as i64));
    assert_eq!((b.input_tokens, b.cost_nano_usd), (0, Some(0)), "an error status bills nothing");
    assert_eq!(c.cost_nano_usd, Some(3000 * 120));
    assert_eq!(record.cost_nano_usd, a.cost_nano_usd.unwrap() + 360_000);
    assert_eq!(cost_header(&reply), Some(record.cost_nano_usd));
}

/// Found here: a connection that never came about was billed as if the request had been sent.
#[tokio::test]
async fn a_connection_that_never_came_about_bills_nothing() {
    // A listener whose queue is full: further connections hang.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    let full = std::time::Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(full, tokio::net::TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
        assert!(queue.len() < 100, "the listener's queue is never full on this system");
    }
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let yaml =
        first_with(&chain(&[&a, &b], ""), "connect_timeout: 100ms").replace(&a.url(), &format!("http://{address}/v1"));
    let gateway = Gateway::start(&yaml);
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("hello", 2));
    let record = gateway.record(&reply.id()).await;
    let first = &record.attempts[0];
    assert_eq!((first.outcome.as_str(), first.input_tokens, first.cost_nano_usd), ("timeout_connect", 0, Some(0)));
}

#[tokio::test]
async fn the_record_says_who_asked_what_and_who_decided() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let yaml = chain(
        &[&a, &b],
        "stages: { draft: { strategy: cost }, review: { model: b } }\n\
         keys: [{ id: team-a, secret: s3cret-of-a, team: alpha, tags: { product: search } }]\n",
    );
    let gateway = Gateway::start(&yaml);
    // (model, stage in the body, level, route, stage, strategy, answered by)
    let cases = [
        ("b", None, "pin", None, None, None, "b"),
        ("route/r", None, "route", Some("r"), None, Some("cost"), "a"),
        ("r", None, "route", Some("r"), None, Some("cost"), "a"),
        ("auto", None, "auto", None, None, Some("balanced"), "a"),
        ("stage/draft", None, "auto", None, Some("draft"), Some("cost"), "a"),
        ("auto", Some("review"), "stage", None, Some("review"), None, "b"),
    ];
    for (model, stage, level, route, stored_stage, strategy, answered) in cases {
        let mut body = ask(model);
        body["waypost"] = json!({"tags": {"area": "x", "product": "forged"}, "class": "background"});
        if let Some(stage) = stage {
            body["waypost"]["stage"] = stage.into();
        }
        let reply = gateway.send(&[("authorization", "Bearer s3cret-of-a")], body.to_string()).await;
        assert_eq!(reply.said(), "hello", "{model}");
        assert_eq!((reply.header("x-waypost-level"), reply.model()), (Some(level), answered), "{model} {stage:?}");
        let record = gateway.record(&reply.id()).await;
        assert_eq!((record.key.as_deref(), record.team.as_deref()), (Some("team-a"), Some("alpha")));
        assert_eq!((record.level.as_str(), record.route.as_deref()), (level, route), "{model}");
        assert_eq!(record.stage.as_deref(), stored_stage, "{model}");
        assert_eq!(reply.header("x-waypost-strategy"), Some(record.strategy.as_str()));
        assert!(strategy.is_none_or(|s| s == record.strategy), "{model}: {}", record.strategy);
        assert_eq!(reply.header("x-waypost-reason"), Some(record.reason.as_str()));
        assert_eq!((record.class.as_str(), record.status), ("background", 200));
        let tag = |k: &str| record.tags.iter().find(|(name, _)| name == k).map(|(_, v)| v.as_str());
        assert_eq!((tag("product"), tag("area")), (Some("search"), Some("x")), "the key's tags win");
        assert_eq!((record.model.as_deref(), record.attempts.len()), (Some(answered), 1));
        assert_eq!(record.attempts[0].endpoint, format!("up-{answered}"));
    }
}

#[tokio::test]
async fn a_refusal_is_recorded_and_costs_nothing() {
    let upstream = Upstream::start().await;
    let yaml = chain(&[&upstream], "").replace("price: { input: 1,", "capabilities: [tools], price: { input: 1,");
    let gateway = Gateway::start(&yaml);
    let image = json!({"model": "a", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]});
    let reply = gateway.post(&image).await;
    assert_eq!(reply.code(), (400, "constraint_violated".into()));
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.outcome.as_str(), record.code.as_deref()), ("refused", Some("constraint_violated")));
    assert_eq!((record.attempts.len(), record.cost_nano_usd, upstream.count()), (0, 0, 0));
    assert!(record.decision.is_some());
}

#[tokio::test]
async fn decisions_of_failures_and_fallbacks_are_kept_even_where_successes_are_not() {
    let a = Upstream::with([Script::says("fine"), Script::error(500, "x")]).await;
    let b = Upstream::start().await;
    a.then_always(Script::error(500, "x"));
    let gateway = Gateway::start(&chain(
        &[&a, &b],
        "telemetry: { decisions: 0 }\nexecution: { max_attempts: 2, max_retry_wait: 1ms }\n",
    ));
    let success = gateway.post(&ask("route/r")).await;
    assert_eq!(success.said(), "fine");
    assert!(gateway.record(&success.id()).await.decision.is_none());
    let fallback = gateway.post(&ask("route/r")).await;
    let decision = gateway.record(&fallback.id()).await.decision.expect("kept");
    let models: Vec<_> = decision["candidates"].as_array().unwrap().iter().map(|c| c["model"].clone()).collect();
    assert_eq!(models, ["a", "b"]);
    assert_eq!((&decision["level"], &decision["strategy"]), (&"route".into(), &"cost".into()));
    b.then_always(Script::error(500, "x"));
    let failure = gateway.post(&ask("route/r")).await;
    assert_eq!(failure.status, 502);
    let record = gateway.record(&failure.id()).await;
    assert!(record.decision.is_some());
    assert_eq!((record.outcome.as_str(), record.attempts.len()), ("failed", 2));
}

#[tokio::test]
async fn savings_are_counted_against_the_best_model() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let yaml = chain(&[&a, &b], "");
    let yaml = yaml.replace("price: { input: 1,", "quality: { default: 0.6 }, price: { input: 1,");
    let yaml = yaml.replace("price: { input: 2,", "quality: { default: 0.9 }, price: { input: 2,");
    let gateway = Gateway::start(&yaml);
    let reply = gateway.post(&ask("route/r")).await;
    let record = gateway.record(&reply.id()).await;
    assert_eq!((record.cost_nano_usd, record.baseline_nano_usd), (120_000, Some(240_000)));
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own_and_one_record() {
    let upstream = Upstream::start().await;
    upstream.then(Script::streams(&["x"]));
    let gateway = gateway(&[&upstream]);
    let mut ids = vec![gateway.open(&ask_stream("a")).await.whole().await.id()];
    for _ in 0..5 {
        ids.push(gateway.post(&ask("a")).await.id());
    }
    let mut stored: Vec<String> = gateway.records().await.into_iter().map(|r| r.id).collect();
    ids.sort();
    stored.sort();
    assert_eq!(ids, stored);
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

//! Breakers, several credentials and several endpoints: who is asked, and who is left alone.

use crate::harness::{Client, Gateway, ask, ask_stream, chain, chat_request, gateway, gateway_with};
use crate::upstream::{Act, Door, Script, Upstream, delta};
use serde_json::{Value, json};

fn state(of: &Value) -> &str {
    of["state"].as_str().unwrap()
}

#[tokio::test]
async fn a_breaker_opens_after_failures_in_a_row_and_its_endpoint_is_left_alone() {
    let (a, b) = (Upstream::always(Script::error(500, "x")).await, Upstream::start().await);
    let gateway = gateway_with(&[&a, &b], "max_attempts: 2, breaker: { consecutive_failures: 3, cooldown: 1h }");
    for n in 1..=3 {
        assert_eq!(state(&gateway.endpoint("a").await), "closed");
        assert_eq!((gateway.post(&ask("route/r")).await.attempts(), a.count()), (2, n));
    }
    assert_eq!(state(&gateway.endpoint("a").await), "open");
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.attempts(), reply.model()), ("hello", 1, "b"));
    let pinned = gateway.post(&ask("a")).await;
    assert_eq!(pinned.code(), (503, "no_candidates".into()));
    assert!(pinned.retry_after().is_some());
    assert_eq!(a.count(), 3, "it is not asked any more");
    let shown = gateway.get("/admin/breakers").await.json();
    let event = &shown["events"][0];
    assert_eq!((&event["model"], &event["from"], &event["to"]), (&"a".into(), &"closed".into(), &"open".into()));
}

#[tokio::test]
async fn a_success_resets_the_count() {
    let (bad, good) = (Script::error(500, "x"), Script::says("hi"));
    let scripts = [bad.clone(), bad.clone(), good, bad.clone(), bad];
    let upstream = Upstream::with(scripts).await;
    let gateway = gateway_with(&[&upstream], "max_attempts: 1, breaker: { consecutive_failures: 3 }");
    for _ in 0..5 {
        gateway.post(&ask("a")).await;
    }
    assert_eq!(state(&gateway.endpoint("a").await), "closed");
}

#[tokio::test]
async fn only_the_endpoints_own_faults_open_its_breaker() {
    let cases = [
        (Script::error(400, "x"), "closed"),
        (Script::error(422, "x"), "closed"),
        (Script::error(429, "x"), "closed"),
        (Script::error(401, "x"), "open"),
        (Script::error(404, "x"), "open"),
        (Script::error(503, "x"), "open"),
        (Script::default().then(Act::Close), "open"),
        (Script::json(200, "nonsense"), "open"),
        (Script::default().then(Act::Stall), "open"),
    ];
    for (script, wanted) in cases {
        let upstream = Upstream::always(script.clone()).await;
        let timeout = if format!("{script:?}").contains("Stall") { "100ms" } else { "1m" };
        let breaker = "breaker: { consecutive_failures: 2, cooldown: 1h }";
        let settings = format!("max_attempts: 1, response_timeout: {timeout}, {breaker}");
        let gateway = gateway_with(&[&upstream], &settings);
        for _ in 0..2 {
            gateway.post(&ask("a")).await;
        }
        assert_eq!(state(&gateway.endpoint("a").await), wanted, "{script:?}");
    }
}

#[tokio::test]
async fn one_probe_at_a_time_decides_after_the_cooldown() {
    let door = Door::default();
    let upstream =
        Upstream::with([Script::error(500, "x"), Script::error(500, "x"), Script::says("well").after(&door)]).await;
    let gateway = gateway_with(&[&upstream], "max_attempts: 1, breaker: { consecutive_failures: 1, cooldown: 20ms }");
    gateway.post(&ask("a")).await;
    gateway.until_admitted().await;
    assert_eq!(gateway.post(&ask("a")).await.code().0, 502, "the probe goes out, and fails");
    assert_eq!((upstream.count(), state(&gateway.endpoint("a").await)), (2, "open"));
    gateway.until_admitted().await;
    let body = ask("a");
    let (probe, ()) = tokio::join!(gateway.post(&body), async {
        upstream.until("the probe is there", |s| s.requests.len() == 3).await;
        assert_eq!(state(&gateway.endpoint("a").await), "half_open");
        let second = gateway.post(&body).await;
        assert_eq!(second.code(), (503, "no_candidates".into()));
        door.open();
    });
    assert_eq!((probe.said().as_str(), upstream.count()), ("well", 3));
    assert_eq!(state(&gateway.endpoint("a").await), "closed");
    let events = gateway.get("/admin/breakers").await.json()["events"].clone();
    let moves: Vec<_> = events.as_array().unwrap().iter().map(|e| e["to"].as_str().unwrap().to_owned()).collect();
    assert_eq!(moves, ["open", "half_open", "open", "half_open", "closed"]);
}

#[tokio::test]
async fn a_probe_whose_client_leaves_gives_its_place_back() {
    let upstream = Upstream::with([Script::error(500, "x"), Script::default().then(Act::Stall)]).await;
    let gateway = gateway_with(&[&upstream], "max_attempts: 1, breaker: { consecutive_failures: 1, cooldown: 10ms }");
    gateway.post(&ask("a")).await;
    gateway.until_admitted().await;
    let client = Client::connect(gateway.address()).await.begin(chat_request(&[], ask("a").to_string()));
    upstream.until("the probe is there", |s| s.requests.len() == 2).await;
    client.leave();
    upstream.until("it is cancelled", |s| s.abandoned == 1).await;
    gateway.newest(2).await;
    assert_eq!(gateway.post(&ask("a")).await.said(), "hello");
    assert_eq!(state(&gateway.endpoint("a").await), "closed");
}

#[tokio::test]
async fn an_operator_forces_breakers() {
    let upstream = Upstream::start().await;
    let gateway = gateway_with(&[&upstream], "max_attempts: 1, breaker: { consecutive_failures: 1, cooldown: 1h }");
    let force = async |action: &str| {
        let reply = gateway.admin("/admin/breakers", &json!({"model": "a", "action": action})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let shown = gateway.endpoint("a").await;
        (state(&shown).to_owned(), shown["forced"].as_bool().unwrap())
    };
    assert_eq!(force("open").await, ("open".into(), true));
    assert_eq!(gateway.post(&ask("a")).await.code(), (503, "no_candidates".into()));
    assert_eq!(upstream.count(), 0);
    assert_eq!(force("close").await, ("closed".into(), true));
    upstream.then_always(Script::error(500, "x"));
    for n in 1..=3 {
        gateway.post(&ask("a")).await;
        assert_eq!((upstream.count(), state(&gateway.endpoint("a").await)), (n, "closed"));
    }
    assert_eq!(force("reset").await, ("closed".into(), false));
    gateway.post(&ask("a")).await;
    assert_eq!(state(&gateway.endpoint("a").await), "open");
    assert_eq!(force("reset").await, ("closed".into(), false));
    for (body, status) in [
        (json!({"model": "none", "action": "open"}), 404),
        (json!({"model": "a", "action": "explode"}), 400),
        (json!({"model": "a", "provider": "elsewhere", "action": "open"}), 404),
        (json!({"model": "a"}), 400),
    ] {
        assert_eq!(gateway.admin("/admin/breakers", &body).await.status, status, "{body}");
    }
}

/// Model `m` with one endpoint for each credential.
fn keyed(upstream: &Upstream, more: &str) -> Gateway {
    let url = upstream.url();
    Gateway::start(&format!(
        "providers: {{ p: {{ dialect: openai, base_url: '{url}', api_keys: [sk-one, sk-two] }} }}\nmodels: {{ m: {{ endpoints: [{{ provider: p }}] }} }}\n{more}"
    ))
}

#[tokio::test]
async fn requests_at_once_use_both_credentials() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("hi").after(&door)).await;
    let gateway = keyed(&upstream, "");
    let body = ask("m");
    let second = async {
        // Two that choose in the same instant on two threads may choose the same; one after the other they do not.
        upstream.until("the first is there", |s| s.requests.len() == 1).await;
        gateway.post(&body).await
    };
    let (first, second, ()) = tokio::join!(gateway.post(&body), second, async {
        upstream.until("both are there", |s| s.requests.len() == 2).await;
        let busy = gateway.endpoints().await;
        let load: Vec<_> = busy.iter().map(|e| (e["key"].clone(), e["in_flight"].clone())).collect();
        assert_eq!(load, [(json!(0), json!(1)), (json!(1), json!(1))]);
        door.open();
        door.open();
    });
    assert_eq!((first.said(), second.said()), ("hi".into(), "hi".into()));
    let mut used: Vec<_> = upstream.requests().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    used.sort();
    assert_eq!(used, ["Bearer sk-one", "Bearer sk-two"]);
}

#[tokio::test]
async fn a_429_on_one_credential_moves_to_the_other_at_once_and_stays_there() {
    let upstream = Upstream::with([Script::limited("retry-after", "60")]).await;
    let gateway = keyed(&upstream, "");
    let reply = gateway.post(&ask("m")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("hello", 2));
    for _ in 0..4 {
        assert_eq!(gateway.post(&ask("m")).await.attempts(), 1);
    }
    let used: Vec<_> = upstream.requests().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    assert_ne!(used[0], used[1]);
    assert!(used[1..].iter().all(|k| *k == used[1]), "{used:?}");
    let limited = gateway.endpoints().await.iter().filter(|e| !e["rate_limited_ms"].is_null()).count();
    assert_eq!(limited, 1);
}

#[tokio::test]
async fn a_credential_that_is_refused_does_not_fail_the_request() {
    let upstream = Upstream::with([Script::error(401, "revoked")]).await;
    let reply = keyed(&upstream, "").post(&ask("m")).await;
    assert_eq!((reply.said().as_str(), reply.attempts()), ("hello", 2));
}

/// Model `m` with an endpoint at each of two providers.
fn spread(a: &Upstream, b: &Upstream, weights: [u32; 2]) -> Gateway {
    let (a, b, [wa, wb]) = (a.url(), b.url(), weights);
    Gateway::start(&format!(
        "providers: {{ pa: {{ dialect: openai, base_url: '{a}' }}, pb: {{ dialect: openai, base_url: '{b}' }} }}\n\
         models: {{ m: {{ endpoints: [{{ provider: pa, weight: {wa} }}, {{ provider: pb, weight: {wb} }}] }} }}"
    ))
}

#[tokio::test]
async fn the_load_goes_where_fewer_requests_are() {
    let (a, b, door) = (Upstream::start().await, Upstream::start().await, Door::default());
    for upstream in [&a, &b] {
        upstream.then_always(Script::says("hi").after(&door));
    }
    let gateway = spread(&a, &b, [1, 1]);
    let body = ask("m");
    let held = futures_util::future::join_all((0..6).map(|_| gateway.post(&body)));
    let (replies, ()) = tokio::join!(held, async {
        a.until("half of them", |s| s.requests.len() == 3).await;
        b.until("half of them", |s| s.requests.len() == 3).await;
        (0..6).for_each(|_| door.open());
    });
    assert!(replies.iter().all(|r| r.said() == "hi"));
    assert!(gateway.endpoints().await.iter().all(|e| e["in_flight"] == 0));
}

#[tokio::test]
async fn weights_move_the_load() {
    let (a, b, door) = (Upstream::start().await, Upstream::start().await, Door::default());
    for upstream in [&a, &b] {
        upstream.then_always(Script::says("hi").after(&door));
    }
    let gateway = spread(&a, &b, [100, 1]);
    let body = ask("m");
    let held = futures_util::future::join_all((0..6).map(|_| gateway.post(&body)));
    let (_, ()) = tokio::join!(held, async {
        a.until("all of them", |s| s.requests.len() == 6).await;
        (0..6).for_each(|_| door.open());
    });
    assert_eq!(b.count(), 0);
}

#[tokio::test]
async fn nothing_stays_in_flight_after_any_kind_of_ending() {
    let begun = Script::events().event(&delta("x"));
    let endings = [
        (ask("a"), Script::says("hi")),
        (ask("a"), Script::error(500, "x")),
        (ask("a"), Script::error(429, "x")),
        (ask("a"), Script::error(400, "x")),
        (ask("a"), Script::json(200, "nonsense")),
        (ask("a"), Script::default().then(Act::Reset)),
        (ask("a"), Script::default().then(Act::Stall)),
        (ask_stream("a"), Script::streams(&["hi"])),
        (ask_stream("a"), Script::default().then(Act::Stall)),
        (ask_stream("a"), begun.clone().then(Act::Stall)),
        (ask_stream("a"), begun.clone().then(Act::Reset)),
        (ask_stream("a"), begun.end()),
    ];
    let upstream = Upstream::start().await;
    let calm = "breaker: { consecutive_failures: 1000, error_rate: 1.0, min_requests: 1000 }";
    let timeouts = "response_timeout: 100ms, first_token_timeout: 100ms, chunk_timeout: 100ms";
    let gateway = gateway_with(&[&upstream], &format!("max_attempts: 1, {timeouts}, {calm}"));
    let count = endings.len();
    for (request, script) in endings {
        upstream.then_always(script);
        let reply = gateway.post(&request).await;
        gateway.record(&reply.id()).await;
        assert_eq!(gateway.endpoint("a").await["in_flight"], 0);
        assert_eq!(gateway.handle.state().admission.load(), (0, 0));
    }
    let load = &gateway.handle.state().snapshot().provider_load;
    assert_eq!(load[0].load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(gateway.records().await.len(), count);
}

#[tokio::test]
async fn a_limit_that_an_answer_reports_as_spent_sends_the_next_request_elsewhere() {
    let headers = [
        ("content-type", "application/json"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "60s"),
    ];
    let a = Upstream::always(Script::body(200, &headers, crate::upstream::completion("last"))).await;
    let b = Upstream::start().await;
    let gateway = gateway(&[&a, &b]);
    assert_eq!(gateway.post(&ask("route/r")).await.said(), "last");
    let reply = gateway.post(&ask("route/r")).await;
    assert_eq!((reply.said().as_str(), reply.attempts(), a.count()), ("hello", 1, 1));
    // The last one left is asked all the same.
    assert_eq!(gateway.post(&ask("a")).await.said(), "last");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_endpoints() {
    let upstream = Upstream::always(Script::error(500, "x")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("waypost.yaml");
    let yaml = format!(
        "server: {{ listen: '127.0.0.1:0' }}\nstorage: memory\n{}",
        chain(&[&upstream], "execution: { max_attempts: 1, breaker: { consecutive_failures: 1, cooldown: 1h } }\n")
    );
    std::fs::write(&file, &yaml).unwrap();
    let config = waypost::reload::load(&file).unwrap();
    let handle = waypost::app::App::start(config, Some(file.clone())).unwrap();
    let gateway = Gateway { handle };
    gateway.post(&ask("a")).await;
    let reloaded = gateway.admin("/admin/reload", &json!({})).await;
    assert_eq!((reloaded.status.as_u16(), reloaded.json()["version"].clone()), (200, json!(2)));
    assert_eq!(state(&gateway.endpoint("a").await), "open");
    std::fs::write(&file, yaml.replace("strategy: cost", "strategy: nonsense")).unwrap();
    let refused = gateway.admin("/admin/reload", &json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.json()["version"].clone()), (409, json!(2)));
    assert_eq!(gateway.get("/readyz").await.status, 200);
    assert_eq!(state(&gateway.endpoint("a").await), "open");
}

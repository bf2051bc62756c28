//! The exact cache, from outside: what a second client gets, and what is never kept.

use crate::harness::{Client, Gateway, ask, ask_stream, chain, chat_request, soon};
use crate::upstream::{Act, Door, ROLE, Script, Upstream, delta};
use serde_json::Value;

fn yaml(upstream: &Upstream, cache: &str, more: &str) -> String {
    chain(&[upstream], more).replace("candidates: [a]", &format!("candidates: [a], cache: {cache}"))
}

fn cached(reply: &crate::harness::Reply) -> &str {
    reply.header("x-waypost-cache").unwrap_or("-")
}

#[tokio::test]
async fn a_second_request_is_answered_for_nothing() {
    let upstream = Upstream::with([Script::says("one"), Script::streams(&["t", "wo"])]).await;
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    for body in [ask("route/r"), ask_stream("route/r")] {
        let first = gateway.post(&body).await;
        let second = gateway.post(&body).await;
        assert_eq!((cached(&first), cached(&second)), ("miss", "hit"));
        assert_eq!((first.text(), first.header("content-type")), (second.text(), second.header("content-type")));
        assert_eq!((second.header("x-waypost-cost-usd"), second.attempts(), second.model()), (Some("0"), 0, "a"));
        let record = gateway.record(&second.id()).await;
        assert_eq!((record.outcome.as_str(), record.attempts.len()), ("ok", 0));
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn another_request_another_policy_or_a_refusal_of_caches_is_no_hit() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    gateway.post(&ask("route/r")).await;
    let mut other = ask("route/r");
    other["temperature"] = 0.5.into();
    assert_eq!(cached(&gateway.post(&other).await), "miss");
    let mut hinted = ask("route/r");
    hinted["waypost"] = serde_json::json!({"tags": {"k": "v"}, "session": "s"});
    assert_eq!(cached(&gateway.post(&hinted).await), "hit", "tags and sessions do not change an answer");
    assert_eq!(cached(&gateway.post(&ask("a")).await), "-", "a pin has no cache");
    let reply = gateway.send(&[("cache-control", "no-cache")], ask("route/r").to_string()).await;
    assert_eq!(cached(&reply), "-");
    assert_eq!(upstream.count(), 4);
}

#[tokio::test]
async fn keys_share_answers_only_where_the_route_says_so() {
    let keys = "keys: [{ id: k1, secret: sk-key-one }, { id: k2, secret: sk-key-two }]\n";
    for (cache, second) in [("{ ttl: 1h }", "miss"), ("{ ttl: 1h, shared: true }", "hit")] {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start(&yaml(&upstream, cache, keys));
        let body = ask("route/r").to_string();
        gateway.send(&[("authorization", "Bearer sk-key-one")], body.clone()).await;
        let reply = gateway.send(&[("authorization", "Bearer sk-key-two")], body).await;
        assert_eq!(cached(&reply), second, "{cache}");
    }
}

#[tokio::test]
async fn errors_cuts_and_empty_answers_are_never_kept() {
    let empty =
        r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    let cut = || Script::events().event(ROLE).event(&delta("x")).then(Act::Close);
    let cases: [(Value, Script); 4] = [
        (ask("route/r"), Script::error(400, "bad")),
        (ask("route/r"), Script::error(500, "bad")),
        (ask("route/r"), Script::json(200, empty)),
        (ask_stream("route/r"), cut()),
    ];
    for (body, script) in cases {
        let upstream = Upstream::always(script).await;
        let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", "execution: { max_attempts: 1 }\n"));
        gateway.post(&body).await;
        let before = upstream.count();
        assert_ne!(cached(&gateway.post(&body).await), "hit");
        assert!(upstream.count() > before);
    }
}

#[tokio::test]
async fn a_crowd_makes_one_call() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("for all").after(&door)).await;
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    let body = ask("route/r").to_string();
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (address, body) = (gateway.address(), body.clone());
            tokio::spawn(
                async move { Client::connect(address).await.open(chat_request(&[], body)).await.whole().await },
            )
        })
        .collect();
    upstream.until("the first request", |s| s.requests.len() == 1).await;
    door.open();
    for one in crowd {
        assert_eq!(one.await.unwrap().said(), "for all");
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn when_the_first_client_leaves_the_others_still_get_an_answer() {
    let door = Door::default();
    let upstream = Upstream::with([Script::says("never read").after(&door)]).await;
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    let leaver = Client::connect(gateway.address()).await.begin(chat_request(&[], ask("route/r").to_string()));
    upstream.until("the first request", |s| s.requests.len() == 1).await;
    let (address, body) = (gateway.address(), ask("route/r").to_string());
    let waiting =
        tokio::spawn(async move { Client::connect(address).await.open(chat_request(&[], body)).await.whole().await });
    leaver.leave();
    assert_eq!(waiting.await.unwrap().said(), "hello");
}

#[tokio::test]
async fn when_the_first_client_leaves_one_of_the_crowd_asks_for_all() {
    let (first, second) = (Door::default(), Door::default());
    let upstream = Upstream::with([Script::says("never read").after(&first)]).await;
    upstream.then_always(Script::says("for all").after(&second));
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    let body = ask("route/r").to_string();
    let leaver = Client::connect(gateway.address()).await.begin(chat_request(&[], body.clone()));
    upstream.until("the first request", |s| s.requests.len() == 1).await;
    let crowd: Vec<_> = (0..10)
        .map(|_| {
            let (address, body) = (gateway.address(), body.clone());
            tokio::spawn(
                async move { Client::connect(address).await.open(chat_request(&[], body)).await.whole().await },
            )
        })
        .collect();
    let state = gateway.handle.state().clone();
    let all_wait = async {
        while state.admission.load().0 < 11 {
            tokio::task::yield_now().await;
        }
    };
    soon("a crowd that waits", all_wait).await;
    leaver.leave();
    upstream.until("the second request", |s| s.requests.len() == 2).await;
    second.open();
    for one in crowd {
        assert_eq!(one.await.unwrap().said(), "for all");
    }
    assert_eq!(upstream.count(), 2);
}

/// It used to wait until its own deadline, with no time left to ask by itself.
#[tokio::test]
async fn who_waits_for_a_call_that_hangs_has_time_for_its_own() {
    let upstream = Upstream::with([Script::default().then(Act::Stall), Script::says("my own")]).await;
    let gateway = Gateway::start(&yaml(&upstream, "{ ttl: 1h }", ""));
    let leader = Client::connect(gateway.address()).await.begin(chat_request(&[], ask("route/r").to_string()));
    upstream.until("the first request", |s| s.requests.len() == 1).await;
    let reply = gateway.send(&[("x-waypost-deadline-ms", "2000")], ask("route/r").to_string()).await;
    assert_eq!(reply.said(), "my own");
    leader.leave();
}

#[tokio::test]
async fn an_answer_of_a_model_that_this_key_may_not_use_is_no_hit() {
    let (a, b) = (Upstream::always(Script::says("of a")).await, Upstream::always(Script::says("of b")).await);
    let keys = "keys: [{ id: k1, secret: sk-key-one }, { id: k2, secret: sk-key-two, models: [b] }]\n";
    let text = chain(&[&a, &b], keys).replace("candidates: [a, b]", "candidates: [a, b], cache: { shared: true }");
    let gateway = Gateway::start(&text);
    let body = ask("route/r").to_string();
    let said = async |key| gateway.send(&[("authorization", key)], body.clone()).await.said();
    assert_eq!(said("Bearer sk-key-one").await, "of a");
    assert_eq!(said("Bearer sk-key-two").await, "of b");
    assert_eq!(said("Bearer sk-key-one").await, "of b", "what is kept is the last answer, which both may have");
    assert_eq!((a.count(), b.count()), (1, 1));
}

#[tokio::test]
async fn a_hit_says_what_the_answer_said_of_itself() {
    let gateway = Gateway::start(
        "providers: { s: { dialect: simulated } }\nmodels: { a: { endpoints: [{ provider: s }] } }\n\
         routes: { r: { candidates: [a], cache: { ttl: 1h } } }\n",
    );
    for body in [ask("route/r"), ask_stream("route/r")] {
        let (first, second) = (gateway.post(&body).await, gateway.post(&body).await);
        assert_eq!((cached(&first), cached(&second)), ("miss", "hit"));
        for name in ["x-waypost-simulated", "x-waypost-model", "x-waypost-provider", "cache-control"] {
            assert_eq!(first.header(name), second.header(name), "{name}");
        }
    }
}

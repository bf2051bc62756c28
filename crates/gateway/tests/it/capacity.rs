//! More requests than there are places: who waits, who goes first, who is refused.

use crate::harness::{Client, Gateway, ask, ask_stream, chain, chat_request, soon};
use crate::upstream::{Door, Script, Upstream, delta};
use serde_json::{Value, json};

/// Waits until so many run and so many wait.
async fn until_load(gateway: &Gateway, wanted: (usize, usize)) {
    let state = gateway.handle.state();
    soon("places", async {
        while state.admission.load() != wanted {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn named(model: &str, name: &str, class: &str) -> Value {
    let mut body = ask(model);
    body["user"] = name.into();
    body["waypost"] = json!({"class": class});
    body
}

#[tokio::test]
async fn a_provider_that_is_full_is_passed_over() {
    let door = Door::default();
    let (a, b) = (Upstream::always(Script::says("slow").after(&door)).await, Upstream::start().await);
    let yaml = chain(&[&a, &b], "").replacen("dialect: openai", "dialect: openai, max_concurrency: 1", 1);
    let gateway = Gateway::start(&yaml);
    let body = ask("route/r");
    let (first, ()) = tokio::join!(gateway.post(&body), async {
        a.until("the first is there", |s| s.requests.len() == 1).await;
        let second = gateway.post(&body).await;
        assert_eq!((second.said().as_str(), second.attempts(), second.model()), ("hello", 1, "b"));
        let pinned = gateway.post(&ask("a")).await;
        assert_eq!(pinned.code(), (503, "no_candidates".into()));
        assert!(pinned.retry_after().is_some());
        door.open();
    });
    assert_eq!((first.said().as_str(), a.count()), ("slow", 1));
    door.open();
    assert_eq!(gateway.post(&ask("a")).await.said(), "slow", "its place is free again");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("hi").after(&door)).await;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 1", &chain(&[&upstream], ""));
    let body = ask("a");
    let (first, second, ()) = tokio::join!(gateway.post(&body), gateway.post(&body), async {
        until_load(&gateway, (1, 1)).await;
        let third = gateway.post(&body).await;
        assert_eq!(third.code(), (503, "overloaded".into()));
        assert!(third.retry_after().is_some());
        door.open();
        door.open();
    });
    assert_eq!((first.said(), second.said(), upstream.count()), ("hi".into(), "hi".into(), 2));
    assert_eq!(gateway.handle.state().admission.load(), (0, 0));
}

#[tokio::test]
async fn interactive_requests_go_before_background_ones() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("hi").after(&door)).await;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 8", &chain(&[&upstream], ""));
    let (zero, one, two) =
        (named("a", "0", "background"), named("a", "bg", "background"), named("a", "ia", "interactive"));
    let later = async |body: &Value, load| {
        until_load(&gateway, load).await;
        gateway.post(body).await
    };
    tokio::join!(gateway.post(&zero), later(&one, (1, 0)), later(&two, (1, 1)), async {
        until_load(&gateway, (1, 2)).await;
        (0..3).for_each(|_| door.open());
    });
    let order: Vec<_> = upstream.requests().iter().map(|r| r.json()["user"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["0", "ia", "bg"]);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_not_served() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("hi").after(&door)).await;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 8", &chain(&[&upstream], ""));
    let body = ask("a");
    let (first, ()) = tokio::join!(gateway.post(&body), async {
        until_load(&gateway, (1, 0)).await;
        let client = Client::connect(gateway.address()).await.begin(chat_request(&[], body.to_string()));
        until_load(&gateway, (1, 1)).await;
        client.leave();
        // One that waits behind it is served; so the place was not lost.
        let (_, ()) = tokio::join!(gateway.post(&body), async {
            until_load(&gateway, (1, 1)).await;
            (0..2).for_each(|_| door.open());
        });
    });
    assert_eq!((first.said().as_str(), upstream.count()), ("hi", 2));
    assert_eq!(gateway.handle.state().admission.load(), (0, 0));
}

#[tokio::test]
async fn the_deadline_holds_in_the_queue() {
    let door = Door::default();
    let upstream = Upstream::always(Script::says("hi").after(&door)).await;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 8", &chain(&[&upstream], ""));
    let body = ask("a");
    let (_, ()) = tokio::join!(gateway.post(&body), async {
        until_load(&gateway, (1, 0)).await;
        let late = gateway.send(&[("x-waypost-deadline-ms", "50")], body.to_string()).await;
        assert_eq!(late.code(), (504, "deadline_exceeded".into()));
        door.open();
    });
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_stream_keeps_its_place_to_its_end() {
    let door = Door::default();
    let script = Script::events().event(&delta("one")).wait(&door).event(crate::upstream::STOP).done().end();
    let upstream = Upstream::always(script).await;
    let gateway = Gateway::start_with("max_concurrency: 1, max_queue: 0", &chain(&[&upstream], ""));
    let mut answer = gateway.open(&ask_stream("a")).await;
    answer.until("one").await;
    assert_eq!(gateway.post(&ask_stream("a")).await.code(), (503, "overloaded".into()));
    door.open();
    answer.whole().await;
    until_load(&gateway, (0, 0)).await;
    door.open();
    assert_eq!(gateway.post(&ask_stream("a")).await.streamed(), "one");
}

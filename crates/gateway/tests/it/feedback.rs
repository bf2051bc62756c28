//! To whom a score belongs: the model that answered, also after a fallback, in a stream, and in one that was left.

use crate::harness::{Gateway, ask, ask_stream, chain, soon};
use crate::predicting::{HARD, predictor};
use crate::upstream::{Door, ROLE, STOP, Script, Upstream, delta};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

async fn told(gateway: &Gateway, id: &str, score: f64) -> (u16, Value) {
    let body = json!({"request_id": id, "score": score}).to_string();
    let request = Request::post("/v1/feedback").header("content-type", "application/json").header("host", "localhost");
    let request: Request<Full<Bytes>> = request.body(Full::from(body)).expect("a request");
    let client = crate::harness::Client::connect(gateway.address()).await;
    let reply = client.open(request).await.whole().await;
    (reply.status.as_u16(), reply.json())
}

fn lessons(gateway: &Gateway) -> Vec<waypost::store::LearnedRow> {
    let state = gateway.handle.state();
    state.ledger.flush(crate::upstream::HANG).expect("the ledger writes");
    state.ledger.reader().expect("a reader").learned_rows(0).expect("rows").rows
}

#[tokio::test]
async fn a_score_after_a_fallback_is_the_second_models() {
    let (bad, good) = (Upstream::always(Script::error(500, "broken")).await, Upstream::start().await);
    let gateway = Gateway::start(&chain(&[&bad, &good], "learning: {}\n"));
    let reply = gateway.post(&ask("r")).await;
    assert_eq!(reply.model(), "b");
    let (status, said) = told(&gateway, &reply.id(), 0.5).await;
    assert_eq!((status, &said["model"], &said["score"]), (200, &json!("b"), &json!(0.5)));
    let rows = lessons(&gateway);
    assert_eq!((rows.len(), rows[0].model.as_str(), rows[0].score), (1, "b", Some(0.5)));
}

#[tokio::test]
async fn a_stream_has_its_score_and_so_has_one_that_was_left() {
    let door = Door::default();
    let whole = Script::streams(&["hello"]);
    let left =
        Script::events().event(ROLE).event(&delta("hello there, how are you")).wait(&door).event(STOP).done().end();
    let upstream = Upstream::with([whole, left]).await;
    let gateway = Gateway::start(&chain(&[&upstream], "learning: {}\n"));
    let reply = gateway.post(&ask_stream("r")).await;
    assert_eq!(told(&gateway, &reply.id(), 1.0).await.1["model"], "a");

    let mut answer = gateway.open(&ask_stream("r")).await;
    soon("the first words", answer.until("hello there")).await;
    let id = answer.id();
    answer.leave();
    gateway.record(&id).await;
    let (status, said) = told(&gateway, &id, 0.0).await;
    assert_eq!((status, &said["model"]), (200, &json!("a")), "{said}");
    door.open();
    let rows = lessons(&gateway);
    assert_eq!(rows.iter().map(|r| r.score).collect::<Vec<_>>(), [Some(1.0), Some(0.0)]);
}

#[tokio::test]
async fn what_nobody_answered_has_no_score_and_no_lesson() {
    let bad = Upstream::always(Script::error(500, "broken")).await;
    let gateway = Gateway::start(&chain(&[&bad], "learning: {}\n"));
    let reply = gateway.post(&ask("r")).await;
    assert_eq!(reply.status, 502);
    let (status, said) = told(&gateway, &reply.id(), 0.0).await;
    assert_eq!((status, &said["error"]["code"]), (400, &json!("invalid_request")), "{said}");
    assert!(lessons(&gateway).is_empty());
}

/// What `/v1/route` expects of model `b` on a hard request.
async fn expected(gateway: &Gateway, route: &str) -> f64 {
    let body = json!({"model": route, "messages": [{"role": "user", "content": HARD}]});
    let shown = gateway.admin("/v1/route", &body).await.json();
    let candidates = shown["candidates"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let b = candidates.iter().find(|c| c["model"] == "b").unwrap_or_else(|| panic!("{shown}"));
    b["quality"].as_f64().unwrap_or_else(|| panic!("{shown}"))
}

#[tokio::test]
async fn scores_correct_a_predictor_on_their_route_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routing.wpm");
    std::fs::write(&path, predictor().write()).unwrap();
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let more = format!(
        "  one: {{ strategy: quality, candidates: [a, b] }}\n  two: {{ strategy: quality, candidates: [a, b] }}\n\
         predictor: {{ model: '{}' }}\n",
        path.display()
    );
    let gateway = Gateway::start(&chain(&[&a, &b], &more));
    let (one, two) = (expected(&gateway, "one").await, expected(&gateway, "two").await);
    for _ in 0..15 {
        let body = json!({"model": "one", "messages": [{"role": "user", "content": HARD}]});
        let reply = gateway.post(&body).await;
        assert_eq!(reply.model(), "b");
        assert_eq!(told(&gateway, &reply.id(), 0.0).await.0, 200);
    }
    let after = expected(&gateway, "one").await;
    assert!(one - after > 0.08, "{one} to {after}");
    assert_eq!(expected(&gateway, "two").await, two, "another route is another matter");
    for row in lessons(&gateway) {
        let predicted = f64::from(row.predicted.expect("it was predicted"));
        assert!((predicted - one).abs() < 1e-3, "before any correction: {predicted}, not {one}");
        assert_eq!((row.propensity, row.score), (Some(1.0), Some(0.0)));
    }
}

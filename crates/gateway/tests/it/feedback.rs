//! To whom a score belongs: the model that answered, also after a fallback, in a stream, and in one that was left.

use crate::harness::{Gateway, ask, ask_stream, chain, soon};
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

//! `POST /v1/feedback`: a client's score of an answer that it had.

use super::edge::reply;
use super::{read, service};
use crate::app::State;
use crate::error::{Error, Kind};
use crate::feedback::{Refused, Report, Taken};
use crate::proxy::Reply;
use crate::snapshot::Snapshot;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use waypost_core::units::RequestId;

const MOST_BODY: usize = 64 << 10;
/// Longest `label` and `comment`, in characters.
const LONGEST: usize = 10_000;
/// The ledger of another gateway may still have to write a request that has just ended.
const WRITTEN_WITHIN: Duration = Duration::from_millis(150);
/// A request that ended so long ago is written.
const YOUNG_MS: i64 = 15_000;

const FIELDS: [&str; 6] = ["request_id", "score", "rating", "model", "label", "comment"];

/// Stores a score. An error comes with the request where its body was not read.
pub(super) async fn call(
    state: &Arc<State>,
    snapshot: &Snapshot,
    request: Request<Incoming>,
) -> Result<Reply, (Error, Option<Request<Incoming>>)> {
    let admitted = service::may_post(state, snapshot, &request).and_then(|key| {
        let key = key.map(|key| key.id.clone());
        state.feedback.admit(key.as_deref()).map_err(|refused| error(refused, ""))?;
        Ok(key)
    });
    let key = match admitted {
        Ok(key) => key,
        Err(e) => return Err((e, Some(request))),
    };
    let body = read::whole(request.into_body(), MOST_BODY).await.map_err(|e| match e.kind {
        Kind::RequestTooLarge => (Error::new(e.kind, "`/v1/feedback` takes bodies of up to 64 KiB"), None),
        _ => (e, None),
    })?;
    let (id, report) = parse(&body).map_err(|e| (e, None))?;
    let taken = stored(state, Report { key, ..report }).await.map_err(|refused| (error(refused, &id), None))?;
    let Taken { row, replaced } = taken;
    let answer = json!({"object": "feedback", "request_id": row.request.to_string(), "model": row.model,
                        "score": rounded(row.score), "replaced": replaced});
    Ok(reply(StatusCode::OK, &answer))
}

/// Stores it; where the request is not there yet, once it must have been written.
async fn stored(state: &Arc<State>, report: Report) -> Result<Taken, Refused> {
    match state.feedback.report(report.clone()).await {
        Err(Refused::Unknown) => {}
        done => return done,
    }
    // Foreign requests take the same time as those that never were.
    let ended_ms = (report.request.0 >> 80) as i64;
    if (crate::clock::unix_ms() - ended_ms).abs() <= YOUNG_MS {
        tokio::time::sleep(WRITTEN_WITHIN).await;
    }
    let of_thread = state.clone();
    // What this gateway still has to write is written first, however long the request took.
    let flushed = tokio::task::spawn_blocking(move || of_thread.ledger.flush(Duration::from_secs(2)));
    if !matches!(flushed.await, Ok(Ok(()))) {
        return Err(Refused::Store("the ledger has not yet written the newest requests".to_owned()));
    }
    state.feedback.report(report).await
}

/// The id as the client wrote it, and what it reports; the key is not known here.
fn parse(body: &[u8]) -> Result<(String, Report), Error> {
    let wrong = |field: &str, message: String| Error::new(Kind::InvalidRequest, message).param(field);
    let body: Value = serde_json::from_slice(body).map_err(|e| {
        Error::new(
            Kind::InvalidRequest,
            format!("invalid JSON: {e} (a score is a number from 0 to 1, and NaN is none)"),
        )
    })?;
    let Value::Object(body) = body else {
        return Err(Error::new(Kind::InvalidRequest, "the body must be a JSON object"));
    };
    if let Some(unknown) = body.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(80).collect();
        return Err(wrong(&shown, format!("unknown field `{shown}`; known: {}", FIELDS.join(", "))));
    }
    for field in ["label", "comment"] {
        if text(&body, field)?.is_some_and(|text| text.chars().count() > LONGEST) {
            return Err(wrong(field, format!("`{field}` is longer than {LONGEST} characters")));
        }
    }
    let Some(id) = text(&body, "request_id")? else {
        let message = "`request_id` is required: the `x-waypost-request-id` of the answer";
        return Err(wrong("request_id", message.to_owned()));
    };
    let is_hex = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let request = is_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten().map(RequestId);
    let Some(request) = request else {
        let message = "`request_id` must be the 32 hexadecimal digits of `x-waypost-request-id`";
        return Err(wrong("request_id", message.to_owned()));
    };
    let model = text(&body, "model")?.map(str::to_owned);
    let report = Report { request, key: None, model, score: score(&body)? };
    Ok((id.to_owned(), report))
}

fn text<'b>(body: &'b Map<String, Value>, field: &str) -> Result<Option<&'b str>, Error> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            let message = format!("`{field}` must be a string, not {}", kind_of(other));
            Err(Error::new(Kind::InvalidRequest, message).param(field))
        }
    }
}

/// `score`, or what `rating` stands for.
fn score(body: &Map<String, Value>) -> Result<f32, Error> {
    let wrong = |field: &str, message: String| Err(Error::new(Kind::InvalidRequest, message).param(field));
    let given = |field| body.get(field).filter(|value| !value.is_null());
    match (given("score"), given("rating")) {
        (Some(_), Some(_)) => wrong("rating", "`score` and `rating` say the same: send one of them".to_owned()),
        (None, None) => wrong("score", "`score` (0 to 1) or `rating` (`up`, `down`, or 1 to 5) is required".to_owned()),
        (Some(score), None) => match score.as_f64() {
            Some(number) if (0.0..=1.0).contains(&number) => Ok(number as f32),
            Some(number) => wrong("score", format!("`score` must be from 0 to 1, not {number}")),
            None => wrong("score", format!("`score` must be a number from 0 to 1, not {}", kind_of(score))),
        },
        (None, Some(rating)) => match (rating.as_str(), rating.as_u64()) {
            (Some("up"), _) => Ok(1.0),
            (Some("down"), _) => Ok(0.0),
            (_, Some(stars @ 1..=5)) => Ok((stars - 1) as f32 / 4.0),
            _ => wrong("rating", "`rating` must be `up`, `down`, or a whole number from 1 to 5".to_owned()),
        },
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// As the client wrote it, not as `f32` has it.
fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

/// What the client is told; `id` is the request's, as it was sent.
fn error(refused: Refused, id: &str) -> Error {
    let invalid = |message, field| Error::new(Kind::InvalidRequest, message).param(field);
    match refused {
        Refused::Unknown => {
            let message = format!("no request `{id}` of this key is known: it may be another key's, or too old");
            Error::new(Kind::NotFound, message).param("request_id")
        }
        Refused::NotAnswered(outcome) => {
            let message = format!("request `{id}` ended as `{outcome}`: there is no answer that could have a score");
            invalid(message, "request_id")
        }
        Refused::OtherModel(model) => {
            invalid(format!("request `{id}` was answered by `{model}`; leave `model` out, or send that"), "model")
        }
        Refused::TooMany(wait) => {
            let message = "this key reports scores faster than 10 a second (100 at once): slow down, or send fewer";
            Error::new(Kind::RateLimitExceeded, message).retry_after(wait)
        }
        Refused::Store(why) => {
            let message = format!("the score could not be stored: {why}; it may be sent again");
            Error::new(Kind::Overloaded, message).retry_after(Duration::from_secs(5))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn scores_and_ratings_are_read() {
        for (said, score) in [
            (r#""score": 0"#, 0.0),
            (r#""score": 1.0"#, 1.0),
            (r#""score": 0.25, "rating": null, "label": "qa", "comment": "so so""#, 0.25),
            (r#""rating": "up""#, 1.0),
            (r#""rating": "down""#, 0.0),
            (r#""rating": 1"#, 0.0),
            (r#""rating": 4, "model": "m""#, 0.75),
            (r#""rating": 5"#, 1.0),
        ] {
            let (id, report) = parse(format!(r#"{{"request_id": "{ID}", {said}}}"#).as_bytes()).unwrap();
            assert_eq!((id.as_str(), report.score), (ID, score), "{said}");
            assert_eq!(report.request.to_string(), ID);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |said: &str| format!(r#"{{"request_id": "{ID}", {said}}}"#);
        for (body, param, message) in [
            ("".to_owned(), None, "invalid JSON"),
            ("[]".to_owned(), None, "a JSON object"),
            (with(r#""score": NaN"#), None, "NaN"),
            (with(r#""score": 1e999"#), None, "out of range"),
            (with(r#""score": 1.01"#), Some("score"), "not 1.01"),
            (with(r#""score": -0.5"#), Some("score"), "not -0.5"),
            (with(r#""score": "0.5""#), Some("score"), "not a string"),
            (with(r#""score": true"#), Some("score"), "not a boolean"),
            (with(r#""score": [1]"#), Some("score"), "not an array"),
            (with(r#""score": null"#), Some("score"), "is required"),
            (with(r#""rating": "great""#), Some("rating"), "`up`, `down`"),
            (with(r#""rating": 6"#), Some("rating"), "1 to 5"),
            (with(r#""rating": 0"#), Some("rating"), "1 to 5"),
            (with(r#""rating": 2.5"#), Some("rating"), "1 to 5"),
            (with(r#""rating": "up", "score": 1"#), Some("rating"), "one of them"),
            (with(r#""score": 1, "model": 3"#), Some("model"), "a string, not a number"),
            (with(r#""score": 1, "comment": {}"#), Some("comment"), "not an object"),
            (with(r#""score": 1, "sore": 1"#), Some("sore"), "unknown field"),
            (r#"{"score": 1}"#.to_owned(), Some("request_id"), "is required"),
            (r#"{"score": 1, "request_id": 17}"#.to_owned(), Some("request_id"), "not a number"),
            (r#"{"score": 1, "request_id": "17"}"#.to_owned(), Some("request_id"), "32 hexadecimal"),
            (r#"{"score": 1, "request_id": "+123456789abcdef0123456789abcdef"}"#.to_owned(), Some("request_id"), "32"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (Kind::InvalidRequest, param),
                "{body}: {}",
                error.message
            );
            assert!(error.message.contains(message), "{body}: {}", error.message);
        }
        let long = with(&format!(r#""score": 1, "comment": "{}""#, "x".repeat(LONGEST + 1)));
        assert!(parse(long.as_bytes()).unwrap_err().message.contains("10000"));
    }
}

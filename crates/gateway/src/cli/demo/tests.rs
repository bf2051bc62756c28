use super::*;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashSet;
use std::io;
use waypost_core::registry::{Faults, Simulated};

/// A gateway's stand-in: the simulated provider behind a real listener, with the headers that a gateway adds. The
/// request's number is in its `x-number` header.
async fn listener(settings: Simulated) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let settings = settings.clone();
            let service = service_fn(move |request| answer(settings.clone(), request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    addr
}

async fn answer(
    settings: Simulated,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, io::Error>>, hyper::Error> {
    assert_eq!(request.uri().path(), "/v1/chat/completions");
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
    let number = said(request.headers(), "x-number").unwrap();
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = crate::simulate::respond(&settings, "sim", number, 0, &body).await;
    let headers = response.headers_mut();
    for (name, value) in [("model", "sim"), ("provider", "sim-west"), ("attempts", "2"), ("cost-usd", "0.000125")] {
        headers.insert(http::HeaderName::try_from(format!("x-waypost-{name}")).unwrap(), value.parse().unwrap());
    }
    Ok(response.map(BodyExt::boxed))
}

fn requests(n: usize) -> Vec<DemoRequest> {
    let mut requests = mixed_requests(3, n);
    for (number, request) in requests.iter_mut().enumerate() {
        request.headers.push(("x-number", number.to_string()));
    }
    requests
}

/// Answers at once, and at times badly.
fn hasty(faults: Faults) -> Simulated {
    Simulated { first_token: Duration::ZERO, per_token: Duration::ZERO, faults, ..Simulated::default() }
}

#[tokio::test]
async fn every_request_is_sent_and_its_outcome_kept_in_order() {
    let addr = listener(hasty(Faults::default())).await;
    let mut steps = Vec::new();
    let outcomes = drive(addr, requests(60), 8, |done, total| steps.push((done, total))).await;
    assert_eq!(steps, (1..=60).map(|done| (done, 60)).collect::<Vec<_>>());
    for outcome in &outcomes {
        assert_eq!((outcome.status, outcome.error.as_deref()), (Some(200), None));
        assert_eq!((outcome.model.as_deref(), outcome.provider.as_deref()), (Some("sim"), Some("sim-west")));
        assert_eq!((outcome.attempts, outcome.cost_usd), (Some(2), Some(0.000125)));
        assert!(outcome.latency >= outcome.head && outcome.head > Duration::ZERO);
    }
}

#[tokio::test]
async fn every_kind_of_bad_answer_is_noticed() {
    let bad = |fault| format!("simulate[fault={fault},at=2]");
    let cases = [
        ("rate_limit", Some(429), "Rate limit reached"),
        ("server_error", Some(500), "had an error"),
        // A server may drop a head that it has not sent when the body breaks at once.
        ("cut", None, ""),
        ("in_band_error", Some(200), "failed while it answered"),
    ];
    let addr = listener(hasty(Faults::default())).await;
    let mut sent = Vec::new();
    for (fault, _, _) in cases {
        for stream in [false, true] {
            let text = bad(fault) + "simulate[status=500]";
            let body = serde_json::json!({ "stream": stream, "messages": [{ "role": "user", "content": text }] });
            sent.push(DemoRequest { headers: vec![("x-number", "1".to_owned())], body });
        }
    }
    let outcomes = drive(addr, sent, 3, |_, _| {}).await;
    for (outcome, (fault, status, message)) in outcomes.iter().zip(cases.iter().flat_map(|case| [case, case])) {
        let error = outcome.error.as_deref().unwrap_or("(good)");
        assert!(error != "(good)" && error.contains(message), "{fault}: {error}");
        assert!(status.is_none() || outcome.status == *status, "{fault}: {:?}", outcome.status);
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_an_error_of_each_request() {
    let addr = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcomes = drive(addr, requests(3), 2, |_, _| {}).await;
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|o| o.status.is_none() && o.error.is_some()), "{outcomes:?}");
}

#[test]
fn only_a_stream_that_ends_is_a_good_one() {
    let cases = [
        (true, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n", Ok(())),
        (true, "data: {\"choices\":[]}\n\n", Err("the stream has no end")),
        (true, "data: {\"choices\":[]}\n\nevent: error\ndata: {\"error\":{\"message\":\"gone\"}}\n\n", Err("gone")),
        (false, "{\"choices\":[]}", Ok(())),
        (false, "{\"error\":{}}", Err("an error without a message")),
    ];
    for (stream, data, expected) in cases {
        assert_eq!(judge(Some(StatusCode::OK.as_u16()), stream, data.as_bytes()), expected.map_err(str::to_owned));
    }
    assert!(judge(Some(200), false, b"{").is_err() && judge(Some(502), true, b"{}").is_err());
}

#[test]
fn progress_without_a_terminal_is_four_lines() {
    let lines = |total| (1..=total).filter_map(|done| quarter(done, total)).collect::<Vec<_>>();
    assert_eq!(lines(300), [25, 50, 75, 100]);
    assert_eq!(lines(4), [25, 50, 75, 100]);
    assert_eq!(lines(2), [50, 100]);
    assert_eq!(quarter(0, 0), None);
}

/// The names that the traffic uses are in the configuration. (That it is a valid one is tested where it is loaded.)
#[test]
fn the_traffic_and_the_configuration_agree() {
    let defined: HashSet<&str> =
        DEMO_CONFIG.lines().filter_map(|l| l.strip_prefix("  ")?.split_once(':')).map(|(name, _)| name).collect();
    for request in mixed_requests(2, 500) {
        let model = request.body["model"].as_str().unwrap();
        let name = model.strip_prefix("route/").unwrap_or(model);
        assert!(name == "auto" || defined.contains(name), "{model} is not in the configuration");
        let stage = request.headers.iter().find(|(name, _)| *name == "x-waypost-stage");
        assert!(stage.is_none_or(|(_, stage)| defined.contains(stage.as_str())), "{stage:?}");
    }
}

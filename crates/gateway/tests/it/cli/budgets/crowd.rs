//! A thousand clients at once, multiplexed over a few connections.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of one request: status, and the code of an error, or how a stream ended.
pub(super) type Outcome = (u16, String);

/// Requests to a connection: fewer than the gateway takes at once.
const STREAMS: usize = 200;

/// Sends all at once and waits for all answers; how many there were of each.
pub(super) fn crowd(address: SocketAddr, n: usize, body: impl Fn(usize) -> String) -> BTreeMap<Outcome, usize> {
    run(async {
        let mut tasks = Vec::new();
        for (i, connection) in connections(address, n)
            .await
            .iter()
            .enumerate()
            .flat_map(|(c, conn)| (0..STREAMS).map(move |s| (c * STREAMS + s, conn)))
            .take(n)
        {
            tasks.push(tokio::spawn(ask(connection.clone(), body(i))));
        }
        let mut counts = BTreeMap::new();
        for task in tasks {
            *counts.entry(task.await.unwrap()).or_default() += 1;
        }
        counts
    })
}

/// Sends all at once, waits until `staying` of them are answered with an error and the others have an answer's beginning
/// (or `held` says so), and goes away.
pub(super) fn leave(address: SocketAddr, n: usize, refused: u64, body: &str, all_are_there: impl Fn() -> bool) -> u64 {
    run(async {
        let errors = Arc::new(AtomicU64::new(0));
        let begun = Arc::new(AtomicU64::new(0));
        let connections = connections(address, n).await;
        let mut tasks = Vec::new();
        for i in 0..n {
            let (connection, body) = (connections[i / STREAMS].clone(), body.to_owned());
            let (errors, begun) = (errors.clone(), begun.clone());
            tasks.push(tokio::spawn(async move {
                let mut response = send(connection, body).await;
                if response.status() != 200 {
                    assert_eq!(response.status(), 429);
                    errors.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let _first = response.frame().await;
                begun.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }));
        }
        let waited = async {
            while errors.load(Ordering::SeqCst) < refused || !all_are_there() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::super::http::PATIENCE, waited).await.expect("they are refused or answered");
        if body.contains("\"stream\":true") {
            while begun.load(Ordering::SeqCst) < n as u64 - refused {
                tokio::task::yield_now().await;
            }
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for task in tasks {
            let _ = task.await;
        }
        errors.load(Ordering::SeqCst)
    })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connections(address: SocketAddr, n: usize) -> Vec<SendRequest<Full<Bytes>>> {
    let mut all = Vec::new();
    for _ in 0..n.div_ceil(STREAMS) {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        all.push(sender);
    }
    all
}

async fn send(mut connection: SendRequest<Full<Bytes>>, body: String) -> http::Response<hyper::body::Incoming> {
    let request =
        http::Request::post("http://localhost/v1/chat/completions").header("content-type", "application/json");
    connection.ready().await.unwrap();
    connection.send_request(request.body(Full::from(body)).unwrap()).await.unwrap()
}

async fn ask(connection: SendRequest<Full<Bytes>>, body: String) -> Outcome {
    let response = send(connection, body).await;
    let (status, body) = (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes());
    let text = String::from_utf8(body.to_vec()).unwrap();
    let said = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => value["error"]["code"].as_str().unwrap_or_default().to_owned(),
        Err(_) if text.ends_with("data: [DONE]\n\n") => "done".to_owned(),
        Err(_) if text.contains("\"error\"") => "broke off".to_owned(),
        Err(_) => text,
    };
    (status, said)
}

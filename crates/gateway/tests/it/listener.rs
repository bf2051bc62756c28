//! The listener: HTTP/1.1 and HTTP/2, TLS, and the drain.

use crate::harness::{Client, Gateway, ask, ask_stream, chain, chat_request, gateway, soon};
use crate::upstream::{Act, Door, STOP, Script, Upstream, delta};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let upstream = Upstream::with([Script::says("one"), Script::error(400, "x"), Script::streams(&["two"])]).await;
    let gateway = gateway(&[&upstream]);
    let mut client = Client::connect(gateway.address()).await;
    assert_eq!(client.reuse(chat_request(&[], ask("a").to_string())).await.said(), "one");
    assert_eq!(client.reuse(chat_request(&[], ask("a").to_string())).await.status, 400);
    assert_eq!(client.reuse(chat_request(&[], ask_stream("a").to_string())).await.streamed(), "two");
    assert_eq!(client.reuse(chat_request(&[], "{ nonsense")).await.status, 400);
    assert_eq!(client.reuse(chat_request(&[], ask("a").to_string())).await.said(), "hello");
}

#[tokio::test]
async fn http_2_without_tls_carries_many_at_once() {
    let door = Door::default();
    let upstream = Upstream::always(Script::streams(&["hello"]).after(&door)).await;
    let gateway = gateway(&[&upstream]);
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(gateway.address()).await.unwrap());
    let (sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let one = async || {
        let request =
            http::Request::post("http://gateway/v1/chat/completions").header("content-type", "application/json");
        let body = http_body_util::Full::new(bytes::Bytes::from(ask_stream("a").to_string()));
        let response = sender.clone().send_request(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let all = futures_util::future::join_all((0..4).map(|_| one()));
    let (texts, ()) = soon("all streams", async {
        tokio::join!(all, async {
            upstream.until("all at once", |s| s.requests.len() == 4).await;
            (0..4).for_each(|_| door.open());
        })
    })
    .await;
    assert!(texts.iter().all(|t| t.contains("hello") && t.ends_with("data: [DONE]\n\n")), "{texts:?}");
}

#[tokio::test]
async fn an_http_2_client_that_resets_its_stream_cancels_upstream() {
    let upstream = Upstream::always(Script::events().event(&delta("one")).then(Act::Stall)).await;
    let gateway = gateway(&[&upstream]);
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(gateway.address()).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://gateway/v1/chat/completions").header("content-type", "application/json");
    let body = http_body_util::Full::new(bytes::Bytes::from(ask_stream("a").to_string()));
    let response = soon("the head", sender.send_request(request.body(body).unwrap())).await.unwrap();
    drop(response);
    upstream.until("it is cancelled", |s| s.abandoned == 1).await;
    assert_eq!(gateway.newest(1).await.outcome, "cancelled");
}

#[tokio::test]
async fn tls_serves_both_protocols() {
    let issued = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let upstream = Upstream::start().await;
    let files = format!("tls: {{ cert: '{}', key: '{}' }}", cert.display(), key.display());
    let gateway = Gateway::start_with(&files, &chain(&[&upstream], ""));
    assert_eq!(gateway.handle.scheme(), "https");
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    for protocol in ["h2", "http/1.1"] {
        let mut config = ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tcp = TcpStream::connect(gateway.address()).await.unwrap();
        let name = "gateway.test".try_into().unwrap();
        let stream = soon("a TLS session", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let client = if protocol == "h2" { Client::over_h2(stream).await } else { Client::over(stream).await };
        upstream.then(Script::streams(&["hello"]));
        let reply = client.open(chat_request(&[], ask_stream("a").to_string())).await.whole().await;
        assert_eq!((reply.streamed().as_str(), reply.events().last()), ("hello", Some(&"[DONE]")), "{protocol}");
    }
    // Somebody who does not speak TLS is cut off and harms nobody.
    let mut plain = TcpStream::connect(gateway.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("a plain client is cut off", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

/// A folder, and the key that puts the ledger there.
fn on_disk() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("storage: 'sqlite:{}/ledger.db'\n", folder.path().display());
    (folder, storage)
}

/// The record of a request, read after the gateway has ended.
fn written(folder: &tempfile::TempDir, id: &str) -> waypost::store::StoredRequest {
    let storage = waypost_core::config::Storage::Sqlite(folder.path().join("ledger.db"));
    let id = waypost_core::units::RequestId(u128::from_str_radix(id, 16).unwrap());
    let reader = waypost::store::Reader::open(&storage).unwrap();
    reader.request(id).unwrap().expect("it was written before the end")
}

/// Waits until nobody listens any more.
async fn until_refused(address: std::net::SocketAddr) {
    soon("connections are refused", async { while TcpStream::connect(address).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let door = Door::default();
    let script = Script::events().event(&delta("one ")).wait(&door).event(&delta("two")).event(STOP).done().end();
    let upstream = Upstream::always(script).await;
    let (folder, storage) = on_disk();
    let gateway = Gateway::start_with("workers: 1", &chain(&[&upstream], &storage));
    let address = gateway.address();
    // Half a request on a connection, before the worker that serves the next one looks at that.
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    let mut idle = Client::connect(address).await;
    let probe = || http::Request::get("/readyz").header("host", "x").body(http_body_util::Full::default()).unwrap();
    assert_eq!(idle.reuse(probe()).await.status, 200);
    let mut answer = gateway.open(&ask_stream("a")).await;
    answer.until("one").await;
    let drained = gateway.shut_down();
    until_refused(address).await;
    assert!(!drained.is_finished(), "it waits for the stream");
    half.write_all(b"host: x\r\n\r\n").await.unwrap();
    let mut readiness = String::new();
    soon("the answer on the kept connection", half.read_to_string(&mut readiness)).await.unwrap();
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    assert!(readiness.contains(r#""draining":true"#), "{readiness}");
    door.open();
    let reply = answer.whole().await;
    assert_eq!((reply.streamed().as_str(), reply.events().last()), ("one two", Some(&"[DONE]")));
    soon("the drain", drained).await.unwrap();
    let record = written(&folder, &reply.id());
    assert_eq!(record.outcome, "ok");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_but_records() {
    let upstream = Upstream::always(Script::events().event(&delta("one")).then(Act::Stall)).await;
    let (folder, storage) = on_disk();
    let gateway = Gateway::start_with("drain_timeout: 50ms", &chain(&[&upstream], &storage));
    let mut answer = gateway.open(&ask_stream("a")).await;
    answer.until("one").await;
    let id = answer.id();
    soon("the drain", gateway.shut_down()).await.unwrap();
    let record = written(&folder, &id);
    assert_eq!((record.outcome.as_str(), record.attempts.len()), ("cancelled", 1));
    assert!(record.cost_nano_usd > 0);
}

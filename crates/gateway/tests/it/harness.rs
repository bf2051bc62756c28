//! A gateway on a port of its own, and a client that reads answers as they come and can leave at any moment.

use crate::upstream::{HANG, Upstream};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waypost::app::App;
use waypost::server::Handle;
use waypost::store::StoredRequest;
use waypost_core::config;
use waypost_core::units::RequestId;

/// Awaits what must come; a test that hangs fails and says where.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hangs: {what}"),
    }
}

/// A running gateway; its drop begins its end.
pub(crate) struct Gateway {
    pub(crate) handle: Handle,
}

impl Gateway {
    /// Starts with this YAML, to which a listener on a free port and storage in memory are added. `server:` keys of the
    /// test's own go into `server`.
    pub(crate) fn start(yaml: &str) -> Self {
        Self::start_with("", yaml)
    }

    /// As [`Self::start`], with further keys of `server`, in flow style; a `storage` of the test's own stays.
    pub(crate) fn start_with(server: &str, yaml: &str) -> Self {
        let storage = if yaml.contains("storage:") { "" } else { "storage: memory\n" };
        let text = format!("server: {{ listen: '127.0.0.1:0', {server} }}\n{storage}{yaml}");
        let parsed = config::parse(&text, &|_| None, waypost::reload::today());
        let parsed = parsed.unwrap_or_else(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", errors.join("\n"))
        });
        Self { handle: App::start(parsed.config, None).expect("the gateway starts") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    /// A whole exchange on a connection of its own.
    pub(crate) async fn post(&self, body: &Value) -> Reply {
        self.send(&[], body.to_string()).await
    }

    /// The same with more headers, and a body as it is.
    pub(crate) async fn send(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        Client::connect(self.address()).await.chat(headers, body).await
    }

    /// Begins an exchange whose answer is read piece by piece.
    pub(crate) async fn open(&self, body: &Value) -> Answer {
        Client::connect(self.address()).await.open(chat_request(&[], body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let request = Request::get(path).body(Full::default()).expect("a request");
        Client::connect(self.address()).await.open(request).await.whole().await
    }

    pub(crate) async fn admin(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Full::from(body.to_string())).expect("a request");
        Client::connect(self.address()).await.open(request).await.whole().await
    }

    /// The endpoints as `/admin/breakers` shows them.
    pub(crate) async fn endpoints(&self) -> Vec<Value> {
        let shown = self.get("/admin/breakers").await.json();
        shown["endpoints"].as_array().expect("a list").clone()
    }

    /// The only endpoint of a model.
    pub(crate) async fn endpoint(&self, model: &str) -> Value {
        let all = self.endpoints().await;
        all.into_iter().find(|e| e["model"] == model).expect("the model has an endpoint")
    }

    /// Waits until the breaker of the first endpoint lets somebody through.
    pub(crate) async fn until_admitted(&self) {
        let state = self.handle.state();
        let poll = async {
            while !state.snapshot().health[0].view(state.clock.instant()).admits {
                tokio::task::yield_now().await;
            }
        };
        soon("the end of a breaker's cooldown", poll).await;
    }

    /// The record of a request, once its account was closed.
    pub(crate) async fn record(&self, id: &str) -> StoredRequest {
        let id = RequestId(u128::from_str_radix(id, 16).expect("an id is hexadecimal"));
        self.until_recorded(move |reader| reader.request(id).expect("the ledger can be read")).await
    }

    /// The newest record, with its attempts, once there are `count` of them: for requests whose id no client saw.
    pub(crate) async fn newest(&self, count: usize) -> StoredRequest {
        let id = self
            .until_recorded(move |reader| {
                let rows = reader.recent(1000).expect("the ledger can be read");
                (rows.len() >= count).then(|| rows[0].id.clone())
            })
            .await;
        self.record(&id).await
    }

    pub(crate) async fn records(&self) -> Vec<StoredRequest> {
        self.until_recorded(|reader| reader.recent(1000).ok()).await
    }

    async fn until_recorded<T: Send + 'static>(
        &self,
        find: impl Fn(&waypost::store::Reader) -> Option<T> + Send + 'static,
    ) -> T {
        let state = self.handle.state().clone();
        let poll = tokio::task::spawn_blocking(move || {
            let begun = std::time::Instant::now();
            loop {
                state.ledger.flush(HANG).expect("the ledger takes what is recorded");
                if let Some(found) = find(&state.ledger.reader().expect("the ledger can be read")) {
                    return found;
                }
                assert!(begun.elapsed() < HANG, "never recorded");
                std::thread::yield_now();
            }
        });
        poll.await.expect("a record is found")
    }

    /// Begins to drain on a thread of its own; resolves when it is through.
    pub(crate) fn shut_down(self) -> JoinHandle<()> {
        tokio::task::spawn_blocking(move || self.handle.shut_down().expect("every record is written"))
    }
}

/// A chat request.
pub(crate) fn chat_request(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri("/v1/chat/completions").header("host", "gateway");
    if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-type")) {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).expect("a request")
}

/// The body of a short chat request.
pub(crate) fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Say hello to the people."}]})
}

/// The same, streamed.
pub(crate) fn ask_stream(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = true.into();
    body
}

/// One connection.
pub(crate) struct Client {
    sender: Sender,
    /// Ends with the connection.
    task: JoinHandle<()>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        Self::over(stream).await
    }

    /// HTTP/1.1 over any stream.
    pub(crate) async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let task = tokio::spawn(async { drop(connection.await) });
        Self { sender: Sender::One(sender), task }
    }

    /// HTTP/2 over any stream.
    pub(crate) async fn over_h2(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
        let task = tokio::spawn(async { drop(connection.await) });
        Self { sender: Sender::Two(sender), task }
    }

    /// Sends, and gives the answer with the connection once the head has come.
    pub(crate) async fn open(mut self, request: Request<Full<Bytes>>) -> Answer {
        let response = soon("the head of an answer", self.exchange(request)).await;
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body, text: String::new(), client: self }
    }

    /// A whole chat on a connection that goes with it.
    pub(crate) async fn chat(self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        self.open(chat_request(headers, body)).await.whole().await
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        match &mut self.sender {
            Sender::One(sender) => sender.send_request(request).await.expect("an answer"),
            Sender::Two(sender) => {
                let path = request.uri().path_and_query().expect("a path").clone();
                *request.uri_mut() = format!("http://gateway{path}").parse().expect("a URL");
                request.headers_mut().remove("host");
                sender.send_request(request).await.expect("an answer")
            }
        }
    }

    /// Sends on this connection without taking it; only for a client that answers are read from at once.
    pub(crate) async fn reuse(&mut self, request: Request<Full<Bytes>>) -> Reply {
        let response = soon("the head of an answer", self.exchange(request)).await;
        let (head, body) = response.into_parts();
        let body = soon("the body of an answer", body.collect()).await.expect("a whole body").to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// Begins a request and never looks at its answer: the returned task is the waiting; its abort is the client's
    /// leaving.
    pub(crate) fn begin(mut self, request: Request<Full<Bytes>>) -> Leaver {
        let connection = self.task.abort_handle();
        let waiting = tokio::spawn(async move {
            let response = self.exchange(request).await;
            drop((response, self));
        });
        Leaver { waiting, connection }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that waits for an answer.
pub(crate) struct Leaver {
    waiting: JoinHandle<()>,
    connection: tokio::task::AbortHandle,
}

impl Leaver {
    /// Closes the connection.
    pub(crate) fn leave(self) {
        self.waiting.abort();
        self.connection.abort();
    }
}

/// An answer whose body is under way.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    /// What was read.
    pub(crate) text: String,
    client: Client,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn id(&self) -> String {
        self.header("x-waypost-request-id").expect("every answer has an id").to_owned()
    }

    /// Reads until `text` was seen.
    pub(crate) async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let frame = soon(text, self.body.frame()).await;
            let frame = frame.unwrap_or_else(|| panic!("the stream ended before `{text}`: {}", self.text));
            let data = frame.expect("the stream is whole").into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&data).expect("the tests' streams are ASCII"));
        }
    }

    /// Reads to the end, which must be a clean one of HTTP.
    pub(crate) async fn whole(mut self) -> Reply {
        let rest = soon("the end of an answer", (&mut self.body).collect()).await;
        let rest = rest.expect("the body ends as HTTP demands").to_bytes();
        let body = [self.text.as_bytes(), &rest].concat().into();
        Reply { status: self.status, headers: self.headers.clone(), body }
    }

    /// Closes the connection at once.
    pub(crate) fn leave(self) {
        self.client.task.abort();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn id(&self) -> String {
        self.header("x-waypost-request-id").expect("every answer has an id").to_owned()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// What the model said in a whole answer.
    #[track_caller]
    pub(crate) fn said(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["choices"][0]["message"]["content"].as_str().expect("content").to_owned()
    }

    /// Data of all events of a stream.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.text().split("\n\n").filter_map(|e| e.strip_prefix("data: ")).collect()
    }

    /// What the model said in a stream.
    pub(crate) fn streamed(&self) -> String {
        let parsed = self.events().into_iter().filter_map(|e| serde_json::from_str::<Value>(e).ok());
        parsed.filter_map(|e| Some(e["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect()
    }

    /// Status and code of an error.
    #[track_caller]
    pub(crate) fn code(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"]["code"].as_str().unwrap_or("-").to_owned())
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.header("x-waypost-attempts").and_then(|a| a.parse().ok()).expect("a number of attempts")
    }

    pub(crate) fn model(&self) -> &str {
        self.header("x-waypost-model").unwrap_or("-")
    }

    /// The `retry-after` header.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs)
    }
}

/// Models `a`, `b`, `c`, … one at each upstream, and the route `r` that tries them in this order (by price: 1, 2, 3 …
/// dollars per million tokens, in and out). `more` goes to the end of the file.
pub(crate) fn chain(upstreams: &[&Upstream], more: &str) -> String {
    let mut text = String::from("providers:\n");
    let name = |i: usize| char::from(b'a' + i as u8);
    for (i, upstream) in upstreams.iter().enumerate() {
        let (name, url) = (name(i), upstream.url());
        text += &format!("  p{name}: {{ dialect: openai, base_url: '{url}', api_key: 'sk-provider-{name}' }}\n");
    }
    text += "models:\n";
    for i in 0..upstreams.len() {
        let (name, price) = (name(i), i + 1);
        text += &format!(
            "  {name}: {{ endpoints: [{{ provider: p{name}, name: up-{name} }}], price: {{ input: {price}, output: {price} }} }}\n"
        );
    }
    let names: Vec<String> = (0..upstreams.len()).map(|i| name(i).to_string()).collect();
    text += &format!("routes:\n  r: {{ strategy: cost, candidates: [{}] }}\n", names.join(", "));
    text + more
}

/// A gateway before such a chain.
pub(crate) fn gateway(upstreams: &[&Upstream]) -> Gateway {
    Gateway::start(&chain(upstreams, ""))
}

/// The same with keys of the first provider, in flow style: a short timeout there hurries nobody else.
pub(crate) fn gateway_first(upstreams: &[&Upstream], first: &str) -> Gateway {
    Gateway::start(&first_with(&chain(upstreams, ""), first))
}

/// `yaml` of a chain with further keys of its first provider.
pub(crate) fn first_with(yaml: &str, keys: &str) -> String {
    yaml.replacen("dialect: openai", &format!("dialect: openai, {keys}"), 1)
}

/// The same with keys of `execution`, in flow style.
pub(crate) fn gateway_with(upstreams: &[&Upstream], execution: &str) -> Gateway {
    Gateway::start(&chain(upstreams, &format!("execution: {{ {execution} }}\n")))
}

//! A provider that does what a test tells it to, byte by byte, on a real socket. It speaks just enough HTTP/1.1 to read a
//! request; what it answers is written out in the test, so that it can be as wrong as real ones are.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How long any test waits for an event before it is taken to hang. Nothing that works comes near it.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Which connection, counted from 0.
    pub(crate) connection: usize,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the gateway forwards JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the gateway forwards UTF-8")
    }
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Received>,
    /// Connections that the gateway opened.
    pub(crate) opened: usize,
    /// Connections that the gateway closed, in whatever state.
    pub(crate) closed: usize,
    /// Connections on which the gateway closed while an answer was due or under way.
    pub(crate) abandoned: usize,
    /// Answers whose script ran to its end.
    pub(crate) answered: usize,
}

/// Lets a script go on when the test says so.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<Semaphore>);

impl Default for Door {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Door {
    /// Lets one script through, now or when it comes.
    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0.acquire().await.expect("a door is never closed for good").forget();
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// These bytes, in a write of their own.
    Send(Vec<u8>),
    /// Until the door is opened.
    Wait(Door),
    /// Nothing more, for ever, with the connection open.
    Stall,
    /// Closes the connection (FIN).
    Close,
    /// Resets the connection (RST).
    Reset,
    /// Closes this direction only, and reads on.
    HalfClose,
}

/// The answer to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    acts: Vec<Act>,
    /// It begins before the request's body is read.
    early: bool,
}

impl Script {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().then(Act::Send(bytes.into()))
    }

    /// A whole answer of any status and type.
    pub(crate) fn body(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.as_ref().len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self::raw([head.as_bytes(), b"\r\n", body.as_ref()].concat())
    }

    pub(crate) fn json(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::body(status, &[("content-type", "application/json")], body)
    }

    /// A good answer that says `text`.
    pub(crate) fn says(text: &str) -> Self {
        Self::json(200, completion(text))
    }

    /// An error in OpenAI's form.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, error_body(message))
    }

    /// 429 with one more header.
    pub(crate) fn limited(name: &str, value: &str) -> Self {
        let headers = [("content-type", "application/json"), (name, value)];
        Self::body(429, &headers, error_body("slow down"))
    }

    /// The head of an event stream.
    pub(crate) fn events() -> Self {
        Self::raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    /// A good stream that says each of `parts`, with usage and end marker.
    pub(crate) fn streams(parts: &[&str]) -> Self {
        parts.iter().fold(Self::events().event(ROLE), |s, p| s.event(&delta(p))).event(STOP).event(USAGE).done().end()
    }

    /// One event, as a chunk of its own.
    pub(crate) fn event(self, data: &str) -> Self {
        self.chunk(format!("data: {data}\n\n"))
    }

    pub(crate) fn done(self) -> Self {
        self.event("[DONE]")
    }

    /// Any bytes, as an HTTP chunk and a write of their own.
    pub(crate) fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.then(Act::Send(framed))
    }

    /// The end of a chunked body.
    pub(crate) fn end(self) -> Self {
        self.then(Act::Send(b"0\r\n\r\n".to_vec()))
    }

    pub(crate) fn then(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    pub(crate) fn wait(self, door: &Door) -> Self {
        self.then(Act::Wait(door.clone()))
    }

    /// The door is passed before anything else.
    pub(crate) fn after(mut self, door: &Door) -> Self {
        self.acts.insert(0, Act::Wait(door.clone()));
        self
    }

    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

pub(crate) fn error_body(message: &str) -> String {
    serde_json::json!({"error": {"message": message, "type": "scripted", "param": null, "code": null}}).to_string()
}

pub(crate) const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
pub(crate) const STOP: &str =
    r#"{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub(crate) const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}"#;

/// An event that says `text`.
pub(crate) fn delta(text: &str) -> String {
    let choice = serde_json::json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
    serde_json::json!({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]}).to_string()
}

/// A whole answer that says `text`; 100 tokens in, 20 out.
pub(crate) fn completion(text: &str) -> String {
    completion_with(text, r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}"#)
}

pub(crate) fn completion_with(text: &str, usage: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(
        r#"{{"id":"c1","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":{text}}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    )
}

/// A scripted provider; its tasks run on the test's own runtime.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<Script>>,
    fallback: Mutex<Script>,
    seen: watch::Sender<Seen>,
}

impl Upstream {
    /// One that answers every request with `says("hello")`, or with the streamed equivalent, until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            fallback: Mutex::new(Script::says("hello")),
            seen: watch::Sender::new(Seen::default()),
        });
        let of_task = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, of_task.clone()));
            }
        });
        Self { address, shared }
    }

    /// One with its answers, in the order of requests.
    pub(crate) async fn with(scripts: impl IntoIterator<Item = Script>) -> Self {
        let upstream = Self::start().await;
        upstream.shared.queue.lock().unwrap().extend(scripts);
        upstream
    }

    /// One that always answers so.
    pub(crate) async fn always(script: Script) -> Self {
        let upstream = Self::start().await;
        upstream.then_always(script);
        upstream
    }

    pub(crate) fn then(&self, script: Script) {
        self.shared.queue.lock().unwrap().push_back(script);
    }

    pub(crate) fn then_always(&self, script: Script) {
        *self.shared.fallback.lock().unwrap() = script;
    }

    /// Its `base_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen().requests
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.borrow().requests.len()
    }

    /// The only request that came.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "exactly one request was expected");
        requests.remove(0)
    }

    /// Waits for an event.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&Seen) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let waited = tokio::time::timeout(HANG, seen.wait_for(|s| reached(s))).await;
        match waited {
            Ok(Ok(_)) => {}
            _ => panic!("never happened upstream: {what}; seen: {:?}", self.seen()),
        }
    }
}

/// Why a connection is not read or written any more.
enum Over {
    /// The gateway closed it.
    Gone,
    /// The script did.
    Ours,
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut connection = 0;
    shared.seen.send_modify(|s| {
        connection = s.opened;
        s.opened += 1;
    });
    let mut buffer = Vec::new();
    loop {
        let Ok((line, headers)) = read_head(&mut stream, &mut buffer).await else { break };
        let script = shared.queue.lock().unwrap().pop_front();
        let script = script.unwrap_or_else(|| shared.fallback.lock().unwrap().clone());
        let length = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
        let mut received = Received { connection, line, headers, body: Vec::new() };
        if !script.early {
            if read_body(&mut stream, &mut buffer, length, &mut received).await.is_err() {
                break;
            }
            shared.seen.send_modify(|s| s.requests.push(received.clone()));
        }
        match play(&mut stream, &mut buffer, &script).await {
            Ok(()) => shared.seen.send_modify(|s| s.answered += 1),
            Err(Over::Ours) => return shared.seen.send_modify(|s| s.answered += 1),
            Err(Over::Gone) => {
                return shared.seen.send_modify(|s| {
                    s.abandoned += 1;
                    s.closed += 1;
                });
            }
        }
        if script.early {
            if read_body(&mut stream, &mut buffer, length, &mut received).await.is_err() {
                break;
            }
            shared.seen.send_modify(|s| s.requests.push(received));
        }
    }
    shared.seen.send_modify(|s| s.closed += 1);
}

async fn play(stream: &mut TcpStream, buffer: &mut Vec<u8>, script: &Script) -> Result<(), Over> {
    for act in &script.acts {
        match act {
            Act::Send(bytes) => stream.write_all(bytes).await.map_err(|_| Over::Gone)?,
            Act::Wait(door) => tokio::select! {
                () = door.pass() => {}
                () = gone(stream, buffer) => return Err(Over::Gone),
            },
            Act::Stall => {
                gone(stream, buffer).await;
                return Err(Over::Gone);
            }
            Act::Close => return Err(Over::Ours),
            Act::Reset => {
                stream.set_zero_linger().expect("a connected socket takes the option");
                return Err(Over::Ours);
            }
            Act::HalfClose => {
                let _ = stream.shutdown().await;
                gone(stream, buffer).await;
                return Err(Over::Gone);
            }
        }
    }
    Ok(())
}

/// Resolves when the gateway has closed its side.
async fn gone(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    while let Ok(1..) = stream.read_buf(buffer).await {}
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), ()> {
    match stream.read_buf(buffer).await {
        Ok(1..) => Ok(()),
        _ => Err(()),
    }
}

type Head = (String, Vec<(String, String)>);

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Head, ()> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer).await?;
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8(head).expect("heads are ASCII");
    let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
    let line = lines.next().unwrap_or_default();
    let headers = lines.filter_map(|l| l.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned()))).collect();
    Ok((line, headers))
}

async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    length: usize,
    received: &mut Received,
) -> Result<(), ()> {
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    received.body = buffer.drain(..length).collect();
    Ok(())
}

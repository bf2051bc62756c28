//! A provider that bills what it generates, whatever becomes of the answer: the truth, apart from Waypost's books. What it
//! does stands in the name of the model that it is asked for.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Input tokens of every answer.
pub(super) const INPUT: u64 = 10;
/// Output tokens of every answer that is whole.
pub(super) const OUTPUT: u64 = 20;
/// Output tokens of a stream that does not come to its end.
pub(super) const CUT: u64 = 5;

/// Serves until the test's process ends; each connection on a thread of its own.
pub(super) struct Provider {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Requests, by model.
    calls: Mutex<HashMap<String, u64>>,
    /// Tokens billed.
    input: AtomicU64,
    output: AtomicU64,
    /// Requests of `held` under way.
    held: AtomicU64,
    /// Path and body of what came last, by model.
    last: Mutex<HashMap<String, (String, Value)>>,
}

impl Provider {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = of_thread.clone();
                std::thread::Builder::new().stack_size(256 << 10).spawn(move || serve(stream, &shared)).unwrap();
            }
        });
        Self { address, shared }
    }

    /// Output tokens billed so far.
    pub(super) fn output(&self) -> u64 {
        self.shared.output.load(Ordering::SeqCst)
    }

    /// All tokens billed so far.
    pub(super) fn tokens(&self) -> u64 {
        self.output() + self.shared.input.load(Ordering::SeqCst)
    }

    /// Requests of `held` under way.
    pub(super) fn held(&self) -> u64 {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Requests for a model.
    pub(super) fn calls(&self, model: &str) -> u64 {
        self.shared.calls.lock().unwrap().get(model).copied().unwrap_or(0)
    }

    /// Path and body of the last request for a model.
    #[track_caller]
    pub(super) fn last(&self, model: &str) -> (String, Value) {
        self.shared.last.lock().unwrap().get(model).cloned().expect("a request came")
    }
}

impl Shared {
    fn bill(&self, output: u64) {
        self.input.fetch_add(INPUT, Ordering::SeqCst);
        self.output.fetch_add(output, Ordering::SeqCst);
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let (path, body) = read(&mut stream)?;
        let model = body["model"].as_str()?.to_owned();
        let streams = body["stream"] == json!(true);
        *shared.calls.lock().unwrap().entry(model.clone()).or_default() += 1;
        shared.last.lock().unwrap().insert(model.clone(), (path.clone(), body));
        let out = stream.get_mut();
        match (model.as_str(), streams) {
            ("failing", _) => {
                out.write_all(&whole(500, r#"{"error":{"message":"broken","type":"server_error"}}"#)).ok()?
            }
            ("cut", true) => {
                shared.bill(CUT);
                return out.write_all(&events(CUT)).ok();
            }
            ("cut", false) => {
                shared.bill(OUTPUT);
                let answer = whole(200, &answer(&path));
                return out.write_all(&answer[..answer.len() - 10]).ok();
            }
            ("held", _) => {
                shared.bill(if streams { CUT } else { OUTPUT });
                shared.held.fetch_add(1, Ordering::SeqCst);
                if streams {
                    out.write_all(&events(CUT)).ok()?;
                }
                // Until the gateway closes.
                let _ = stream.read(&mut [0]);
                shared.held.fetch_sub(1, Ordering::SeqCst);
                return None;
            }
            (_, true) => {
                shared.bill(OUTPUT);
                let usage =
                    json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT});
                let end = [
                    event(
                        r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                    ),
                    event(
                        &json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})
                            .to_string(),
                    ),
                    event("[DONE]"),
                    b"0\r\n\r\n".to_vec(),
                ];
                out.write_all(&[events(OUTPUT), end.concat()].concat()).ok()?;
            }
            (_, false) => {
                shared.bill(OUTPUT);
                out.write_all(&whole(200, &answer(&path))).ok()?;
            }
        }
    }
}

/// The next request: path and body.
fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|n| *n > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}

/// A whole answer in the dialect of the path.
fn answer(path: &str) -> String {
    let answer = if path.ends_with("/messages") {
        json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": null,
               "content": [{"type": "text", "text": "fine"}], "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT}})
    } else if path.ends_with("/responses") {
        json!({"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m",
               "output": [{"id": "o", "type": "message", "role": "assistant", "status": "completed",
                           "content": [{"type": "output_text", "text": "fine", "annotations": []}]}],
               "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}})
    } else {
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
               "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
               "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}})
    };
    answer.to_string()
}

fn whole(status: u16, body: &str) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head, body.to_owned()].concat().into_bytes()
}

/// The head of a stream and so many tokens, four bytes each, in one piece.
fn events(tokens: u64) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let token =
        json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "word"}}]});
    let tokens = (0..tokens).map(|_| format!("data: {token}\n\n")).collect::<String>();
    [head.as_bytes(), &chunk(&tokens)].concat()
}

fn event(data: &str) -> Vec<u8> {
    chunk(&format!("data: {data}\n\n"))
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

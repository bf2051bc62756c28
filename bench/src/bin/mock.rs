//! A provider on loopback for the load benchmark: `mock [PORT]`, in OpenAI's dialect, answer or stream; at
//! `/v1/messages` a stream in Anthropic's.
//!
//! A directive anywhere in the request's body, `mock[ttft=50,n=60,gap=5]`, sets the milliseconds to the first byte, the
//! number of tokens, and the milliseconds between chunks (0: one frame each, as fast as they are taken).

use bytes::Bytes;
use futures_core::Stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use waypost_bench::{DONE, chunk, message_event};

const COMPLETION: &[u8] = include_bytes!("../../data/completion.json");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(9002), |p| p.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let chunk = if request.uri().path() == "/v1/messages" { message_event } else { openai_event };
    let body = request.into_body().collect().await?.to_bytes();
    let first = directive(&body, "ttft").unwrap_or(0);
    if first > 0 {
        sleep(Duration::from_millis(first)).await;
    }
    let (kind, body) = if memmem::find(&body, b"\"stream\":true").is_some() {
        let (n, gap) = (directive(&body, "n").unwrap_or(60), directive(&body, "gap").unwrap_or(0));
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(say(send, n as usize, Duration::from_millis(gap), chunk));
        ("text/event-stream", BodyExt::boxed(StreamBody::new(Frames(receive))))
    } else {
        ("application/json", Full::new(Bytes::from_static(COMPLETION)).boxed())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

/// Event `i` of a stream of `n` tokens; `None` behind the last.
type NextEvent = fn(usize, usize) -> Option<Bytes>;

fn openai_event(i: usize, n: usize) -> Option<Bytes> {
    if i < n + 2 { Some(chunk(i, n)) } else { (i == n + 2).then_some(DONE) }
}

async fn say(send: mpsc::Sender<Bytes>, n: usize, gap: Duration, next: NextEvent) {
    let mut at = Instant::now();
    for (i, event) in (0..).map_while(|i| Some((i, next(i, n)?))) {
        if gap.is_zero() {
            tokio::task::yield_now().await;
        } else if i > 0 {
            at += gap;
            sleep_until(at).await;
        }
        if send.send(event).await.is_err() {
            return;
        }
    }
}

fn directive(body: &[u8], key: &str) -> Option<u64> {
    let rest = &body[memmem::find(body, b"mock[")? + 5..];
    let inside = std::str::from_utf8(&rest[..memchr::memchr(b']', rest)?]).ok()?;
    inside.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

struct Frames(mpsc::Receiver<Bytes>);

impl Stream for Frames {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}

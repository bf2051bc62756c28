//! Load on one URL: `load open|closed URL BODYFILE SECONDS [-c CONNECTIONS] [-r RATE] [-H 'name: value']…`, one line of
//! JSON at the end.
//!
//! `open` sends at a fixed rate and counts latency from the time that was scheduled; `closed` sends on each connection as
//! soon as it was answered. Nothing is repeated; a stream counts as answered only with its `[DONE]`.

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    Open,
    Closed,
}

#[derive(Debug, Parser)]
struct Args {
    mode: Mode,
    url: Uri,
    body: std::path::PathBuf,
    seconds: f64,
    /// Connections.
    #[arg(short, default_value_t = 8)]
    connections: usize,
    /// Requests a second (open).
    #[arg(short, default_value_t = 200.0)]
    rate: f64,
    /// Headers beside the usual ones.
    #[arg(short = 'H')]
    headers: Vec<String>,
}

#[derive(Default)]
struct Seen {
    latencies: Vec<u32>,
    first_bytes: Vec<u32>,
    errors: u64,
    first_error: Option<String>,
}

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let args = Arc::new(Args::parse());
    let body = Bytes::from(std::fs::read(&args.body)?);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(args.seconds);
    let (schedule, scheduled) = mpsc::unbounded_channel::<Instant>();
    let scheduled = Arc::new(Mutex::new(scheduled));
    let workers: Vec<_> =
        (0..args.connections).map(|_| tokio::spawn(work(args.clone(), body.clone(), scheduled.clone(), end))).collect();
    if args.mode == Mode::Open {
        for k in 0..(args.seconds * args.rate) as u64 {
            let at = start + Duration::from_secs_f64(k as f64 / args.rate);
            tokio::time::sleep_until(at.into()).await;
            // The timer's granularity of a millisecond is not the gateway's.
            let now = Instant::now();
            schedule.send(if now - at < Duration::from_millis(2) { now } else { at })?;
        }
    }
    drop(schedule);
    let mut all = Seen::default();
    for worker in workers {
        let seen = worker.await?;
        all.latencies.extend(seen.latencies);
        all.first_bytes.extend(seen.first_bytes);
        all.errors += seen.errors;
        all.first_error = all.first_error.or(seen.first_error);
    }
    print(all, start.elapsed());
    Ok(())
}

async fn work(
    args: Arc<Args>,
    body: Bytes,
    scheduled: Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>,
    end: Instant,
) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    loop {
        let from = match args.mode {
            Mode::Open => scheduled.lock().await.recv().await,
            Mode::Closed => Some(Instant::now()).filter(|now| *now < end),
        };
        let Some(from) = from else { return seen };
        match ask(&args, &body, &mut connection, from).await {
            Ok(first_byte) => {
                seen.first_bytes.push(first_byte.as_micros() as u32);
                seen.latencies.push(from.elapsed().as_micros() as u32);
            }
            Err(e) => {
                connection = None;
                seen.errors += 1;
                seen.first_error.get_or_insert_with(|| e.to_string());
                if args.mode == Mode::Closed {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

/// One request; the time to the first byte of its answer's body.
async fn ask(
    args: &Args,
    body: &Bytes,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    from: Instant,
) -> Result<Duration, Failed> {
    let address = args.url.authority().ok_or("the URL has no host")?.as_str();
    let mut sender = match connection.take() {
        Some(open) if !open.is_closed() => open,
        _ => connect(address).await?,
    };
    sender.ready().await?;
    let mut request = Request::post(args.url.path()).header("host", address).header("content-type", "application/json");
    for header in &args.headers {
        let (name, value) = header.split_once(':').ok_or("a header is `name: value`")?;
        request = request.header(name.trim(), value.trim());
    }
    let response = sender.send_request(request.body(Full::new(body.clone()))?).await?;
    let status = response.status();
    let streams =
        response.headers().get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
    let (mut body, mut first, mut last) = (response.into_body(), None, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.get_or_insert_with(|| from.elapsed());
            last.extend_from_slice(&data);
            last.drain(..last.len().saturating_sub(300));
        }
    }
    if !status.is_success() || (streams && memmem::find(&last, b"[DONE]").is_none()) {
        return Err(format!("{status} {}", String::from_utf8_lossy(&last)).into());
    }
    *connection = Some(sender);
    Ok(first.unwrap_or_else(|| from.elapsed()))
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Failed> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn print(mut all: Seen, took: Duration) {
    all.latencies.sort_unstable();
    all.first_bytes.sort_unstable();
    let at = |sorted: &[u32], share: f64| sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied();
    println!(
        "{}",
        serde_json::json!({
            "ok": all.latencies.len(), "err": all.errors, "rps": all.latencies.len() as f64 / took.as_secs_f64(),
            "p50_us": at(&all.latencies, 0.5), "p90_us": at(&all.latencies, 0.9), "p99_us": at(&all.latencies, 0.99),
            "max_us": all.latencies.last(), "ttfb_p50_us": at(&all.first_bytes, 0.5),
            "ttfb_p99_us": at(&all.first_bytes, 0.99), "first_error": all.first_error,
        })
    );
}

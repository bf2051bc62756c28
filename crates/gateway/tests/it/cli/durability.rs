//! What survives a signal: a kill loses at most the last moment of records, SIGTERM loses none and drops no answer.

use super::gateway::{CONFIG, Gateway, wait_until};
use super::http::{Client, chat};
use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients that ask as fast as they are answered until told to stop or until nobody answers.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    /// Request ids of whole, good answers, and when they were there.
    received: Arc<Mutex<Vec<(String, Instant)>>>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: SocketAddr, clients: usize) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let received = Arc::new(Mutex::new(Vec::new()));
        let run = |n: usize| {
            let (stop, answers, received) = (stop.clone(), answers.clone(), received.clone());
            std::thread::spawn(move || {
                // Every second client streams: answers under way when the signal comes.
                let stream = n % 2 == 1;
                let prompt = if stream { "simulate[tokens=8,per_token_ms=5] hi" } else { "hi" };
                let body = chat("auto", prompt, json!({ "stream": stream }));
                let request = format!(
                    "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let mut client = Client::new(address);
                let mut broken = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if client.send(request.as_bytes()).is_err() {
                        break;
                    }
                    let reply = match client.head() {
                        Ok(head) => client.body_of(head),
                        // Nothing of an answer had come: nothing was dropped.
                        Err(_) => break,
                    };
                    match reply {
                        Ok(reply) if reply.status == 200 && (!stream || reply.text().ends_with("data: [DONE]\n\n")) => {
                            received.lock().unwrap().push((reply.request_id(), Instant::now()));
                            answers.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(reply) => broken.push(format!("{} {}", reply.status, reply.text())),
                        Err(e) => {
                            broken.push(format!("in the middle of an answer: {e}"));
                            break;
                        }
                    }
                }
                broken
            })
        };
        let clients = (0..clients).map(run).collect();
        Self { stop, answers, received, clients }
    }

    fn wait_for(&self, answers: usize) {
        wait_until("enough answers", || {
            std::thread::park_timeout(Duration::from_millis(1));
            self.answers.load(Ordering::Relaxed) >= answers
        });
    }

    /// Answers received, and what broke.
    fn end(self) -> (Vec<(String, Instant)>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let broken = self.clients.into_iter().flat_map(|c| c.join().unwrap()).collect();
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        (received, broken)
    }
}

#[test]
fn a_kill_under_load_loses_only_the_last_moment() {
    let gateway = Gateway::start(CONFIG);
    let load = Load::start(gateway.address, 8);
    load.wait_for(400);
    // The promise is 100 ms. A guard five times that fails where records were gathered for seconds, and only there.
    let long_ago = Instant::now();
    let more = load.answers.load(Ordering::Relaxed) + 50;
    wait_until("half a second of load", || {
        std::thread::park_timeout(Duration::from_millis(10));
        long_ago.elapsed() >= Duration::from_millis(500) && load.answers.load(Ordering::Relaxed) >= more
    });
    gateway.signal("KILL");
    let (status, _, folder) = gateway.ended();
    assert!(!status.success());
    let (received, _) = load.end();
    let must: Vec<&String> = received.iter().filter(|(_, at)| *at <= long_ago).map(|(id, _)| id).collect();
    assert!(must.len() >= 400);
    let stored: HashSet<String> = folder.ledger().recent(1_000_000).unwrap().into_iter().map(|r| r.id).collect();
    let lost: Vec<&&String> = must.iter().filter(|id| !stored.contains(**id)).collect();
    assert!(lost.is_empty(), "{} of {} records are lost, such as {:?}", lost.len(), must.len(), lost[0]);
    // The ledger is whole: the next process opens it and goes on.
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[]);
    assert_eq!(gateway.chat(&[], &chat("auto", "hi", json!({}))).status, 200);
    let folder = gateway.stop();
    assert_eq!(folder.ledger().recent(1_000_000).unwrap().len(), stored.len() + 1);
}

#[test]
fn a_termination_under_load_loses_nothing_and_drops_no_answer() {
    let gateway = Gateway::start(CONFIG);
    let load = Load::start(gateway.address, 8);
    load.wait_for(200);
    gateway.signal("TERM");
    let (status, lines, folder) = gateway.ended();
    assert!(status.success(), "{lines:#?}");
    let (received, broken) = load.end();
    assert!(broken.is_empty(), "{broken:#?}");
    let stored: HashSet<String> = folder.ledger().recent(1_000_000).unwrap().into_iter().map(|r| r.id).collect();
    let lost = received.iter().filter(|(id, _)| !stored.contains(id)).count();
    assert_eq!((lost, received.len()), (0, stored.len()), "every answer has its record, and nothing else does");
}

/// A stream in progress is finished to its regular end, and recorded, before the process ends; nobody else gets in.
#[test]
fn a_termination_waits_for_the_streams_in_progress() {
    let gateway = Gateway::start(CONFIG);
    let body = chat("alpha", "simulate[tokens=40,per_token_ms=10]", json!({"stream": true}));
    let mut client = gateway.client();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let reply = client.head().unwrap();
    assert!(client.chunk().unwrap().is_some());
    let mut idle = gateway.client();
    assert_eq!(idle.get("/healthz").status, 200);
    gateway.signal("TERM");
    gateway.logged(0, "draining");
    assert!(idle.at_end(), "an idle connection is closed at once");
    let mut rest = Vec::new();
    while let Some(chunk) = client.chunk().unwrap() {
        rest.extend(chunk);
    }
    assert!(rest.ends_with(b"data: [DONE]\n\n"), "{}", String::from_utf8_lossy(&rest));
    let (status, lines, folder) = gateway.ended();
    assert!(status.success(), "{lines:#?}");
    let recent = folder.ledger().recent(10).unwrap();
    assert_eq!((recent.len(), recent[0].id.as_str(), recent[0].outcome.as_str()), (1, &*reply.request_id(), "ok"));
}

/// What a drain cannot wait for is cut when its time is over: an error, not a hang.
#[test]
fn a_drain_ends_at_its_timeout() {
    let gateway = Gateway::start(&CONFIG.replace("workers: 2", "workers: 2, drain_timeout: 200ms"));
    let body = chat("alpha", "simulate[fault=stall,tokens=20,at=2]", json!({"stream": true}));
    let mut client = gateway.client();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let reply = client.head().unwrap();
    assert!(client.chunk().unwrap().is_some());
    gateway.signal("TERM");
    let (_, lines, folder) = gateway.ended();
    assert!(lines.iter().any(|l| l.contains("still busy")), "{lines:#?}");
    let recent = folder.ledger().recent(10).unwrap();
    assert_eq!((recent.len(), &recent[0].id), (1, &reply.request_id()), "its spend is recorded");
}

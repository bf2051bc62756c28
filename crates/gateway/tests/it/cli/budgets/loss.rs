//! A store of budgets that is away, slow or mad: what is leased is spent, then the gate is closed, soon, until it is back.

use super::provider::{OUTPUT, Provider};
use super::{ask, at_rest, config, dollars, stands};
use crate::cli::gateway::{Gateway, wait_until};
use crate::cli::http::Client;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use waypost_servers::{Cluster, Relay};

const FIT: u64 = 2_000;

fn closed() -> (u16, String) {
    (503, "budget_unavailable".to_owned())
}

fn leased(provider: &Provider, redis: &str) -> Gateway {
    let limits = format!("leases: redis://{redis}\ngate: {{ global: {{ usd_per_day: {} }} }}", dollars(FIT));
    Gateway::start(&config(provider, "memory", &limits))
}

/// Asks until the gate is closed; how many were served. No answer may take as long as a deadline would.
#[track_caller]
fn until_closed(client: &mut Client) -> u64 {
    for served in 0..FIT {
        let began = Instant::now();
        let reply = client.chat(&[], &super::body("fine", false));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        if reply.status != 200 {
            assert_eq!(super::told(&reply), closed());
            let wait: u64 = reply.header("retry-after").expect("it says when to come back").parse().unwrap();
            assert!((1..=10).contains(&wait), "{wait}");
            assert_eq!(reply.header("x-should-retry"), None, "it is worth a try");
            return served;
        }
    }
    panic!("it never closed");
}

#[test]
fn while_redis_hangs_what_is_leased_is_spent_and_no_more() {
    let (provider, redis) = (Provider::start(), waypost_servers::redis());
    let relay = Relay::to(&redis.address());
    let gateway = leased(&provider, &relay.address());
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "fine").0, 200);
    wait_until("a slice is leased", || stands(&gateway, "global", "usd_per_day").leased > 0);
    relay.hang();
    let served = until_closed(&mut client);
    assert!((1..=FIT / 200 + 2).contains(&served), "{served} on a slice of {}", FIT / 200);
    assert_eq!(ask(&mut client, "fine"), closed(), "and it stays closed");
    gateway.logged(0, "the store of budgets is away");
    assert_eq!(gateway.get("/admin/budgets").status, 503);
    assert_eq!(provider.output(), (1 + served) * OUTPUT);
    relay.heal();
    wait_until("it opens again", || ask(&mut client, "fine").0 == 200);
    gateway.logged(0, "the store of budgets answers again");
    let now = at_rest(&gateway, "global", "usd_per_day");
    wait_until("what was leased in vain is back", || {
        stands(&gateway, "global", "usd_per_day").spent == provider.output() * 1_000
    });
    assert_eq!(now.lost, 0);
}

#[test]
fn while_postgres_is_stopped_what_is_leased_is_spent_and_no_more() {
    let (provider, mut cluster) = (Provider::start(), Cluster::start());
    let limits = format!("gate: {{ global: {{ usd_per_day: {} }} }}", dollars(FIT));
    let gateway = Gateway::start(&config(&provider, &cluster.url(), &limits));
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "fine").0, 200);
    wait_until("a slice is leased", || stands(&gateway, "global", "usd_per_day").leased > 0);
    cluster.stop();
    let served = until_closed(&mut client);
    assert!((1..=FIT / 200 + 2).contains(&served), "{served} on a slice of {}", FIT / 200);
    cluster.start_again();
    wait_until("it opens again", || ask(&mut client, "fine").0 == 200);
    wait_until("the books are right", || stands(&gateway, "global", "usd_per_day").spent == provider.output() * 1_000);
}

#[test]
fn where_the_operator_says_local_it_goes_on_within_what_was_free() {
    let (provider, mut redis) = (Provider::start(), waypost_servers::redis());
    let limits = format!(
        "leases: {}\ngate: {{ on_store_loss: local, global: {{ usd_per_day: {} }} }}",
        redis.url(),
        dollars(12)
    );
    let gateway = Gateway::start(&config(&provider, "memory", &limits));
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "fine").0, 200);
    redis.stop();
    let served = (0..20).filter(|_| ask(&mut client, "fine").0 == 200).count() as u64;
    assert_eq!((served, provider.output()), (11, 12 * OUTPUT), "all that was free, and no more");
    // The store is back, empty: what was spent meanwhile is told.
    redis.start_again();
    wait_until("the books are right", || stands(&gateway, "global", "usd_per_day").spent == 12 * OUTPUT * 1_000);
    assert_eq!(ask(&mut client, "fine"), (429, "budget_exceeded".to_owned()));
}

/// All who wait for the store are told soon, not one after the other.
#[test]
fn a_store_that_was_never_there_closes_the_gate_and_opens_it_when_it_comes() {
    let provider = Provider::start();
    let mut redis = waypost_servers::redis();
    redis.stop();
    let gateway = leased(&provider, &redis.address());
    gateway.logged(0, "the store of budgets is away");
    let began = Instant::now();
    let counts = super::crowd::crowd(gateway.address, 50, |_| super::body("fine", false));
    assert_eq!(counts, [(closed(), 50)].into());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(provider.calls("fine"), 0);
    redis.start_again();
    let mut client = gateway.client();
    wait_until("it opens", || ask(&mut client, "fine").0 == 200);
}

/// A server that answers everything with what the test says at the time; nothing: it stays silent.
fn mad(answer: &Arc<Mutex<&'static [u8]>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), answer.clone());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let answer = *answer.lock().unwrap();
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_redis_that_answers_nonsense_or_nothing_closes_the_gate() {
    let answers: [&[u8]; 8] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*2\r\n:1\r\n:2\r\n",
        b"*100000000\r\n",
        b"$-1\r\n",
        b"\0\0\0\0",
        b"",
    ];
    let (provider, answer) = (Provider::start(), Arc::new(Mutex::new(answers[0])));
    let gateway = leased(&provider, &mad(&answer).to_string());
    let mut client = gateway.client();
    for now in answers {
        *answer.lock().unwrap() = now;
        assert_eq!(until_closed(&mut client), 0, "{:?}", String::from_utf8_lossy(now));
    }
    assert_eq!(provider.calls("fine"), 0);
}

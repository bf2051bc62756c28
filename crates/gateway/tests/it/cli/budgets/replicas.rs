//! Several gateways on one store, a gateway that is killed, a store that is restarted: never more than the limit is billed,
//! and nearly all of it can be used.

use super::provider::{INPUT, OUTPUT, Provider};
use super::{COST, Stands, at_rest, body, config, dollars, stands, told};
use crate::cli::gateway::{Gateway, wait_until};
use crate::cli::http::Client;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use waypost_servers::Cluster;

/// Requests that a budget is for.
const FIT: u64 = 2_000;

/// A global budget.
#[derive(Clone, Copy)]
struct Budget {
    name: &'static str,
    limit: u64,
    /// A request's worst case, at most.
    worst: u64,
    /// What counts of what the provider billed.
    billed: fn(&Provider) -> u64,
}

const MONEY: Budget =
    Budget { name: "usd_per_day", limit: FIT * COST, worst: COST, billed: |provider| provider.output() * 1_000 };
/// Input is estimated before the call, and reserved with something to spare.
const TOKENS: Budget = Budget {
    name: "tokens_per_week",
    limit: FIT * (INPUT + OUTPUT),
    worst: 2 * (INPUT + OUTPUT),
    billed: Provider::tokens,
};

impl Budget {
    fn limits(self) -> String {
        let limit = if self.name == MONEY.name { dollars(FIT) } else { self.limit.to_string() };
        format!("gate: {{ global: {{ {}: {limit} }} }}", self.name)
    }

    fn stands(self, gateway: &Gateway) -> Stands {
        stands(gateway, "global", self.name)
    }

    #[track_caller]
    fn until_billed(self, provider: &Provider, share: f64) {
        wait_until("enough was billed", || {
            std::thread::park_timeout(Duration::from_millis(1));
            (self.billed)(provider) as f64 >= share * self.limit as f64
        });
    }

    /// Waits until no room for a request is left; then hardly anything may have been lost, and nothing overspent.
    #[track_caller]
    fn used_up(self, provider: &Provider, gateway: &Gateway, load: Load) {
        wait_until("the budget is used up", || {
            std::thread::park_timeout(Duration::from_millis(20));
            self.stands(gateway).left < self.worst
        });
        let counts = load.end();
        let now = at_rest(gateway, "global", self.name);
        let billed = (self.billed)(provider);
        let share = billed as f64 / self.limit as f64;
        assert!((0.98..=1.0).contains(&share), "{share} of the limit was billed: {now:?}, {counts:?}");
        assert!(now.spent <= self.limit && billed <= now.spent, "{billed} were billed: {now:?}");
        assert!(now.lost <= self.limit / 50, "{now:?}");
    }
}

/// Clients that ask until they are told to stop or their gateway is gone.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<BTreeMap<(u16, String), usize>>>,
}

impl Load {
    fn start(addresses: &[SocketAddr], clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |address: SocketAddr, stream: bool| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let body = body("fine", stream);
                let head =
                    "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
                let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                let (mut client, mut counts) = (Client::new(address), BTreeMap::new());
                while !stop.load(Ordering::Relaxed) {
                    let Ok(reply) = client.send(request.as_bytes()).and_then(|()| client.try_reply()) else { break };
                    if reply.status != 200 {
                        std::thread::park_timeout(Duration::from_millis(10));
                    }
                    *counts.entry(told(&reply)).or_default() += 1;
                }
                counts
            })
        };
        let clients = addresses.iter().flat_map(|a| (0..clients).map(move |n| (*a, n % 2 == 1)));
        let clients = clients.map(|(a, stream)| client(a, stream)).collect();
        Self { stop, clients }
    }

    /// What came of all requests; nothing but answers and refusals of the gate.
    #[track_caller]
    fn end(self) -> BTreeMap<(u16, String), usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for (outcome, n) in self.clients.into_iter().flat_map(|c| c.join().unwrap()) {
            *all.entry(outcome).or_default() += n;
        }
        let expected = |(status, code): &(u16, String)| {
            matches!((status, code.as_str()), (200, _) | (429, "budget_exceeded") | (503, "budget_unavailable"))
        };
        assert!(all.keys().all(expected), "{all:?}");
        all
    }
}

/// One is killed, the store is restarted, the others use up what is left.
fn hold(budget: Budget, provider: &Provider, mut gateways: Vec<Gateway>, restart: impl FnOnce()) {
    let addresses: Vec<SocketAddr> = gateways.iter().map(|g| g.address).collect();
    let load = Load::start(&addresses, 2);
    budget.until_billed(provider, 0.25);
    gateways[0].signal("KILL");
    drop(gateways.remove(0));
    budget.until_billed(provider, 0.5);
    restart();
    budget.used_up(provider, &gateways[0], load);
    gateways.into_iter().for_each(|gateway| drop(gateway.stop()));
    assert!((budget.billed)(provider) <= budget.limit);
}

fn on_postgres(n: usize) {
    let (provider, mut cluster) = (Provider::start(), Cluster::start());
    let config = config(&provider, &cluster.url(), &MONEY.limits());
    let gateways = (0..n).map(|_| Gateway::start(&config)).collect();
    hold(MONEY, &provider, gateways, || {
        cluster.stop();
        cluster.start_again();
    });
}

fn on_redis(n: usize) {
    let (provider, mut redis) = (Provider::start(), waypost_servers::redis());
    let limits = format!("leases: {}\n{}", redis.url(), TOKENS.limits());
    let config = config(&provider, "sqlite:waypost.db", &limits);
    let gateways = (0..n).map(|_| Gateway::start(&config)).collect();
    hold(TOKENS, &provider, gateways, || {
        redis.stop();
        redis.start_again();
    });
}

#[test]
fn two_gateways_on_one_postgres() {
    on_postgres(2);
}

#[test]
fn four_gateways_on_one_postgres() {
    on_postgres(4);
}

#[test]
fn two_gateways_on_one_redis_that_forgets() {
    on_redis(2);
}

#[test]
fn four_gateways_on_one_redis_that_forgets() {
    on_redis(4);
}

#[test]
fn one_gateway_that_is_killed_and_restarted() {
    let provider = Provider::start();
    let mut gateway = Gateway::start(&config(&provider, "sqlite:waypost.db", &MONEY.limits()));
    for (share, signal) in [(0.3, "KILL"), (0.6, "TERM")] {
        let load = Load::start(&[gateway.address], 4);
        MONEY.until_billed(&provider, share);
        gateway.signal(signal);
        let (_, _, folder) = gateway.ended();
        load.end();
        gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[]);
    }
    let load = Load::start(&[gateway.address], 4);
    MONEY.used_up(&provider, &gateway, load);
    let folder = gateway.stop();
    // And it stays used up.
    let gateway = Gateway::in_folder(folder, &["--config", "gateway.yaml"], &[]);
    assert_eq!(super::ask(&mut gateway.client(), "fine"), (429, "budget_exceeded".to_owned()));
    assert!((MONEY.billed)(&provider) <= MONEY.limit);
}

/// Places at once are leased as well, and a lease must not end while its holder lives.
#[test]
fn a_place_that_is_taken_at_one_gateway_is_taken_at_all() {
    let (provider, redis) = (Provider::start(), waypost_servers::redis());
    let limits = format!("leases: {}\ngate: {{ global: {{ concurrency: 1 }} }}", redis.url());
    let config = config(&provider, "memory", &limits);
    let (a, b) = (Gateway::start(&config), Gateway::start(&config));
    let address = a.address;
    let holder = std::thread::spawn(move || {
        let mut client = Client::new(address);
        let body = body("held", true);
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
        client
    });
    wait_until("the place is taken", || provider.held() == 1);
    let holder = holder.join().unwrap();
    // Three times as long as a lease lasts.
    let (began, mut client) = (std::time::Instant::now(), b.client());
    while began.elapsed() < Duration::from_secs(3) {
        let reply = client.chat(&[], &body("fine", false));
        assert_eq!(told(&reply), (429, "rate_limit_exceeded".to_owned()), "after {:?}", began.elapsed());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(holder);
    wait_until("the place is free", || client.chat(&[], &body("fine", false)).status == 200);
}

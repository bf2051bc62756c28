//! The gate below HTTP: two processes' gates on one store, and tasks that reserve, settle, release, leave and panic in an
//! order that a seed chooses. What is spent and held never exceeds a limit, and nothing is left behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::yield_now;
use waypost::books::{Books, Memory};
use waypost::clock::Clock;
use waypost::gate::{Belongs, Driver, Gate, Overrides, Refused, Reservation, Wanted, status};
use waypost_core::config::{self, Config};
use waypost_core::gate::{Amounts, ScopeId};
use waypost_core::route::Place;
use waypost_core::units::Rng;

const TASKS: u64 = 120;
/// Limits in nano-dollars, tokens, nano-dollars of the model.
const LIMITS: [u64; 3] = [1_500, 2_500, 900];

fn config() -> Config {
    let text = format!(
        r#"
server: {{ listen: "127.0.0.1:0" }}
storage: memory
providers: {{ sim: {{ dialect: simulated }} }}
models: {{ alpha: {{ endpoints: [{{ provider: sim }}] }} }}
gate:
  global: {{ usd_per_day: {:.9} }}
  tags: {{ "t=x": {{ tokens_per_week: {} }} }}
  models: {{ alpha: {{ usd_per_month: {:.9} }} }}
"#,
        LIMITS[0] as f64 / 1e9,
        LIMITS[1],
        LIMITS[2] as f64 / 1e9
    );
    config::parse(&text, &|_| None, waypost::reload::today()).expect("it is right").config
}

/// What is known apart from the gate, by limit.
#[derive(Debug, Default)]
struct Truth {
    spent: [u64; 3],
    held: [u64; 3],
}

/// A reservation and what it stands for in the truth, which is never ahead of the gate.
struct Holding {
    truth: Arc<Mutex<Truth>>,
    amounts: [u64; 3],
    reservation: Option<Reservation>,
}

impl Holding {
    fn new(truth: &Arc<Mutex<Truth>>, amounts: [u64; 3], reservation: Reservation) -> Self {
        let mut now = truth.lock().unwrap();
        for (i, limit) in LIMITS.into_iter().enumerate() {
            now.held[i] += amounts[i];
            assert!(now.spent[i] + now.held[i] <= limit, "limit {i} of {limit} is overspent: {now:?}");
        }
        Self { truth: truth.clone(), amounts, reservation: Some(reservation) }
    }

    /// The share of it that was used.
    fn settle(mut self, gate: &Gate, used: f64) {
        let part = |n: u64| (n as f64 * used) as u64;
        let [usd, tokens, of_model] = self.amounts.map(part);
        let reservation = self.reservation.take().expect("it is settled once");
        let mut now = self.truth.lock().unwrap();
        for (i, n) in [usd, tokens, of_model].into_iter().enumerate() {
            now.held[i] -= self.amounts[i];
            now.spent[i] += n;
        }
        drop(now);
        reservation.settle(&Amounts { usd, tokens, ..Amounts::default() }, gate.instant());
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.reservation.is_some() {
            let mut now = self.truth.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.amounts.iter().zip(&mut now.held).for_each(|(n, held)| *held -= n);
        }
    }
}

async fn reserve(
    (gate, config): (&Arc<Gate>, &Config),
    truth: &Arc<Mutex<Truth>>,
    amounts: [u64; 3],
) -> Option<Holding> {
    let [usd, tokens, of_model] = amounts;
    let tags = [("t".into(), "x".into())];
    let view = gate.view();
    let tags: &[_] = if tokens > 0 { &tags } else { &[] };
    let scopes = view.find(&Belongs { config, key: None, tags, place: Place::default() }).cells;
    let alpha = config.registry.find("alpha").expect("it is configured");
    let model = view.model(config, alpha).filter(|_| of_model > 0).cloned();
    let request = Amounts { usd, tokens, requests: 1, concurrency: 1 };
    let mut wanted = Wanted { scopes, request, model, attempt: request };
    let now = gate.instant();
    match gate.reserve(&mut wanted, now, now + Duration::from_secs(20)).await {
        Ok(reservation) => Some(Holding::new(truth, amounts, reservation)),
        Err(Refused::Exceeded(_)) => None,
        Err(other) => panic!("{other:?}"),
    }
}

async fn yields(rng: &mut Rng, most: u64) {
    for _ in 0..rng.next_u64() % most {
        yield_now().await;
    }
}

/// One request with its own fate.
async fn request(gate: Arc<Gate>, config: Arc<Config>, truth: Arc<Mutex<Truth>>, mut rng: Rng) {
    let usd = 1 + rng.next_u64() % 60;
    let tokens = rng.next_u64() % 2 * (1 + rng.next_u64() % 90);
    let of_model = rng.next_u64() % 2 * usd;
    yields(&mut rng, 6).await;
    let Some(holding) = reserve((&gate, &config), &truth, [usd, tokens, of_model]).await else { return };
    yields(&mut rng, 40).await;
    match rng.next_u64() % 5 {
        0 => drop(holding),
        // A panic, without the noise.
        1 => std::panic::resume_unwind(Box::new("as the seed wants it")),
        _ => holding.settle(&gate, rng.next_f64()),
    }
}

async fn run(seed: u64, config: &Arc<Config>) {
    let books = Books::Memory(Memory::default());
    let mut drivers = Vec::new();
    let gates: Vec<Arc<Gate>> = (0..2)
        .map(|n| {
            let gate = Gate::new(Clock::default());
            gate.configure(config, std::iter::empty(), &Overrides::new());
            let holder = format!("{seed}-{n}");
            let nothing = Arc::new(|_: &ScopeId, _, _| Ok(0));
            drivers.push(Driver::start(gate.clone(), books.another(), nothing, holder, seed + n).unwrap());
            gate
        })
        .collect();
    let (truth, mut rng) = (Arc::new(Mutex::new(Truth::default())), Rng::new(seed));
    let mut tasks = Vec::new();
    for n in 0..TASKS {
        let gate = gates[(rng.next_u64() % 2) as usize].clone();
        tasks.push(tokio::spawn(request(gate, config.clone(), truth.clone(), Rng::new(seed * TASKS + n))));
        if rng.next_u64().is_multiple_of(4) {
            // Somebody leaves, waiting or holding.
            tasks[(rng.next_u64() % (n + 1)) as usize].abort();
            yield_now().await;
        }
    }
    for task in tasks {
        if let Err(error) = task.await {
            let as_wanted = error.is_cancelled()
                || error.into_panic().downcast_ref::<&str>().is_some_and(|said| *said == "as the seed wants it");
            assert!(as_wanted, "seed {seed}: {:?}", truth.lock());
        }
    }
    assert_eq!(truth.lock().unwrap().held, [0; 3]);
    // All that is left can be spent, to the last nano-dollar; a refusal may rest on what was known half a second ago.
    let all = async {
        while truth.lock().unwrap().spent[0] < LIMITS[0] {
            for gate in &gates {
                while let Some(holding) = reserve((gate, config), &truth, [1, 0, 0]).await {
                    holding.settle(gate, 1.0);
                }
            }
            yield_now().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(done.is_ok(), "seed {seed}: {:?}", truth.lock());
    assert!(gates.iter().all(|gate| gate.reservations() == 0), "seed {seed}");
    let spent = truth.lock().unwrap().spent;
    assert_eq!(spent[0], LIMITS[0], "seed {seed}: {spent:?}");
    drivers.iter_mut().for_each(Driver::close);
    let (limits, now_ms) = (gates[0].limits(), gates[0].now().unix_ms);
    let shown = status(&limits, &config.time_zone, &mut books.another(), now_ms).await.unwrap();
    for (scope, budget, i, unit) in [
        ("global", "usd_per_day", 0, 1e9),
        ("tag/t=x", "tokens_per_week", 1, 1.0),
        ("model/alpha", "usd_per_month", 2, 1e9),
    ] {
        let of = shown.iter().find(|s| s.scope == scope).unwrap().budgets.iter().find(|b| b.budget == budget).unwrap();
        let figures = [of.spent, of.lost, of.reserved, of.leased].map(|n| (n * unit).round() as u64);
        assert_eq!(figures, [spent[i], 0, 0, 0], "seed {seed}, {scope}: {of:?}");
    }
}

#[tokio::test]
async fn no_order_of_events_overspends_or_leaves_anything_reserved() {
    let config = Arc::new(config());
    for seed in 0..50 {
        run(seed, &config).await;
    }
}

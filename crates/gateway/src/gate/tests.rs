//! The gate over books in memory: reservations come back on every path, and nobody waits in vain.

use super::*;
use crate::books::Books;
use waypost_core::config::{self, Config, Storage};
use waypost_core::route::Place;
use waypost_core::units::Secret;

fn configured(limits: &str) -> Config {
    let text = format!("gate: {{ global: {{ {limits} }} }}");
    config::parse(&text, &|_| None, jiff::civil::date(2026, 1, 1)).unwrap().config
}

fn gate(limits: &str) -> Arc<Gate> {
    let gate = Gate::new(Clock::default());
    gate.configure(&configured(limits), std::iter::empty(), &Overrides::new());
    gate
}

fn driven(gate: &Arc<Gate>, storage: &Storage) -> Driver {
    let books = Books::open(storage, None).unwrap();
    Driver::start(gate.clone(), books, Arc::new(|_, _, _| Ok(0)), "me".to_owned(), 1).unwrap()
}

fn scopes(gate: &Gate) -> Cells {
    let config = configured("");
    gate.view().find(&Belongs { config: &config, key: None, tags: &[], place: Place::default() }).cells
}

async fn reserve(gate: &Arc<Gate>, request: Amounts, within: Duration) -> Result<Reservation, Refused> {
    let mut wanted = Wanted { scopes: scopes(gate), request, model: None, attempt: Amounts::default() };
    let now = gate.instant();
    gate.reserve(&mut wanted, now, now + within).await
}

const LONG: Duration = Duration::from_secs(60);

fn one(tokens: u64) -> Amounts {
    Amounts { tokens, requests: 1, concurrency: 1, ..Amounts::default() }
}

/// What is held and used of a quota here.
fn held(gate: &Gate, quota: Quota) -> (u64, u64) {
    let cells = scopes(gate);
    let scope = cells[0].lock();
    scope.known().find(|k| k.part.quota == quota).map(|k| (k.slice.reserved(), k.slice.spent())).unwrap()
}

#[tokio::test]
async fn what_is_reserved_comes_back_once_on_every_path() {
    let gate = gate("tokens_per_day: 1000, concurrency: 2");
    let _driver = driven(&gate, &Storage::Memory);
    let tokens = Quota::Tokens(gate::Window::Day);
    let reservation = reserve(&gate, one(100), LONG).await.unwrap();
    let (places, reservation) = reservation.split();
    assert_eq!((held(&gate, tokens), held(&gate, Quota::Concurrency).0), ((100, 0), 1));
    reservation.settle(&Amounts { tokens: 30, ..Amounts::default() }, gate.instant());
    assert_eq!((held(&gate, tokens), held(&gate, Quota::Concurrency).0), ((0, 30), 1));
    drop(places);
    assert_eq!(held(&gate, Quota::Concurrency).0, 0);
    // Dropped: released, the places too.
    drop(reserve(&gate, one(100), LONG).await.unwrap());
    let (places, rest) = reserve(&gate, one(100), LONG).await.unwrap().split();
    drop((rest, places));
    assert_eq!((held(&gate, tokens), held(&gate, Quota::Concurrency).0), ((0, 30), 0));
    assert_eq!(gate.reservations(), 0);
}

/// Found in review: whoever waited for a slice when the gate's thread ended waited until the request's deadline.
#[tokio::test]
async fn nobody_waits_for_a_thread_that_has_ended() {
    let gate = gate("tokens_per_day: 1000");
    driven(&gate, &Storage::Memory).close();
    let refused = tokio::time::timeout(Duration::from_secs(30), reserve(&gate, one(10), LONG)).await;
    assert!(matches!(refused, Ok(Err(Refused::Unavailable(_)))), "{refused:?}");
}

/// Found in review: a request that was told to ask, while another gave back what it needed, waited for a round that
/// nobody had a reason to make.
#[tokio::test]
async fn a_request_whose_room_came_back_without_a_round_finds_it() {
    let gate = gate("concurrency: 1");
    let held = {
        let _driver = driven(&gate, &Storage::Memory);
        reserve(&gate, one(0), LONG).await.unwrap()
    };
    // As it were it is slow: there is no round, and nobody says so.
    gate.rounds.send_modify(|round| round.away = None);
    lock(&gate.wanting).drain(..).for_each(|cell| cell.queued.store(false, Ordering::Release));
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { reserve(&gate, one(0), LONG).await }
    });
    while lock(&gate.wanting).is_empty() {
        tokio::task::yield_now().await;
    }
    drop(held);
    let made = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(matches!(made, Ok(Ok(Ok(_)))), "{made:?}");
}

#[tokio::test]
async fn without_the_store_the_gate_is_closed() {
    // A database that nobody serves.
    let nowhere = Storage::Postgres(Secret::new("postgres://nobody@127.0.0.1:1/none".to_owned()));
    let gate = gate("tokens_per_day: 1000");
    let _driver = driven(&gate, &nowhere);
    for _ in 0..2 {
        let refused = reserve(&gate, one(10), LONG).await;
        assert!(matches!(refused, Err(Refused::Unavailable(_))), "{refused:?}");
    }
    assert!(gate.store_away().is_some());
}

/// A configuration whose routes, stages and models stand in this order, each with a limit.
fn listed(names: [&str; 2]) -> Config {
    let [a, b] = names;
    let model = |n: &str| format!("m-{n}: {{ endpoints: [{{ provider: sim }}] }}");
    let limit = |prefix: &str, n: &str| format!("{prefix}-{n}: {{ tokens_per_day: 1000 }}");
    let limits = |prefix: &str| format!("{{ {}, {} }}", limit(prefix, a), limit(prefix, b));
    let text = format!(
        "providers: {{ sim: {{ dialect: simulated }} }}
models: {{ {}, {} }}
routes: {{ r-{a}: {{ candidates: [m-a] }}, r-{b}: {{ candidates: [m-b] }} }}
stages: {{ s-{a}: {{ model: m-a }}, s-{b}: {{ model: m-b }} }}
gate: {{ routes: {}, stages: {}, models: {} }}",
        model(a),
        model(b),
        limits("r"),
        limits("s"),
        limits("m")
    );
    config::parse(&text, &|_| None, jiff::civil::date(2026, 1, 1)).unwrap().config
}

#[test]
fn a_request_on_another_configuration_finds_its_scopes_by_name() {
    let gate = Gate::new(Clock::default());
    let (old, new) = (listed(["a", "b"]), listed(["b", "a"]));
    gate.configure(&new, std::iter::empty(), &Overrides::new());
    let view = gate.view();
    for config in [&old, &new] {
        for (i, name) in config.routes.iter().map(|r| &r.name[2..]).enumerate() {
            let place = Place { route: Some(i), stage: Some(i) };
            let found = view.find(&Belongs { config, key: None, tags: &[], place });
            let ids: Vec<String> = found.cells.iter().map(|cell| cell.id().to_string()).collect();
            assert_eq!(ids, [format!("stage/s-{name}"), format!("route/r-{name}")]);
            let ix = config.registry.find(&format!("m-{name}")).unwrap();
            assert_eq!(view.model(config, ix).unwrap().id().to_string(), format!("model/m-{name}"));
        }
    }
}

#[test]
fn a_limit_that_was_set_since_is_found_before_an_attempt() {
    let gate = gate("tokens_per_day: 1000");
    let config = listed(["a", "b"]);
    let belongs = Belongs { config: &config, key: None, tags: &[], place: Place { route: Some(0), stage: None } };
    let ids = |cells: &Cells| cells.iter().map(|cell| cell.id().to_string()).collect::<Vec<_>>();
    let decided = gate.view().find(&belongs);
    assert_eq!(ids(&decided.cells), ["global"]);
    assert_eq!(ids(&gate.view().refind(Some(decided.clone()), &belongs).cells), ["global"]);
    gate.configure(&config, std::iter::empty(), &Overrides::new());
    assert_eq!(ids(&gate.view().refind(Some(decided), &belongs).cells), ["route/r-a"]);
}

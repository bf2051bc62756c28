//! A seeded world with a virtual clock: endpoints whose weather changes, clients with deadlines, thousands of requests
//! that interleave over shared health and a shared retry budget. What must hold is asserted at every step, what must
//! occur is counted at the end. A failure prints its seed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;
use waypost_core::attempt::{
    Attempt, CandidatePlan, Failure, Fault, GiveUp, Invalid, Limits, Plan, Skip, Step, Timeout,
};
use waypost_core::config::BreakerConfig;
use waypost_core::health::{BreakerEvent, BreakerState, EndpointHealth, Observed, Ticket, Verdict};
use waypost_core::registry::{EndpointIx, Latency, ModelIx};
use waypost_core::retry::RetryBudget;
use waypost_core::units::{Instant, Rng};

const REQUESTS: usize = 4000;
/// The weather is bad for the first ten minutes, then every endpoint is well.
const STORM: u64 = 600;
const CALM: u64 = 1500;
const PROBES: u32 = 2;
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(2);

/// Endpoints of each model and its window; the last model is for emergencies.
const MODELS: [(&[EndpointIx], Option<u32>); 4] = [
    (&[EndpointIx(0), EndpointIx(1), EndpointIx(2)], Some(8_000)),
    (&[EndpointIx(3), EndpointIx(4)], Some(128_000)),
    (&[EndpointIx(5)], None),
    (&[EndpointIx(6)], Some(32_000)),
];
const ENDPOINTS: usize = 7;

#[derive(Clone, Copy, Debug)]
enum Weather {
    Well,
    Flaky,
    Erring,
    Limiting,
    Stalling,
    Refusing,
    Misconfigured,
    Empty,
    Cutting,
}

impl Weather {
    const ALL: [Self; 9] = [
        Self::Well,
        Self::Flaky,
        Self::Erring,
        Self::Limiting,
        Self::Stalling,
        Self::Refusing,
        Self::Misconfigured,
        Self::Empty,
        Self::Cutting,
    ];
}

/// How an attempt will go, once it was sent: a first output or none, then an end.
struct Course {
    first_output: Option<Duration>,
    end: Duration,
    failure: Option<Failure>,
}

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn http(status: u16, retry_after: Option<Duration>) -> Failure {
    Failure::Http { status, retry_after, context_overflow: false }
}

/// The course of an attempt at an endpoint in this weather.
fn course(weather: Weather, request: &Request, window: Option<u32>, rng: &mut Rng) -> Course {
    let fails = |after: f64, failure| Course { first_output: None, end: secs(after), failure: Some(failure) };
    let first = 0.05 + rng.next_f64();
    let end = first + 0.01 + 3.0 * rng.next_f64();
    let answers = |failure| Course { first_output: request.stream.then(|| secs(first)), end: secs(end), failure };
    if !matches!(weather, Weather::Refusing | Weather::Stalling | Weather::Limiting) {
        if request.mistaken {
            return fails(0.02, http(400, None));
        }
        if request.tokens > window.unwrap_or(16_000) {
            return fails(0.02, Failure::Http { status: 400, retry_after: None, context_overflow: true });
        }
    }
    match weather {
        Weather::Well => answers(None),
        Weather::Flaky if rng.below(2) == 0 => answers(None),
        Weather::Flaky => fails(first, Failure::Invalid(Invalid::InBandError)),
        Weather::Erring => fails(0.03, http([500, 502, 503, 529][rng.below(4)], None)),
        Weather::Limiting => {
            let waits = [None, Some(secs(0.5)), Some(secs(1.5)), Some(secs(30.0))];
            fails(0.02, http(429, waits[rng.below(4)]))
        }
        Weather::Stalling => Course {
            first_output: None,
            end: FIRST_TOKEN_TIMEOUT,
            failure: Some(Failure::Timeout(if request.stream { Timeout::FirstToken } else { Timeout::Response })),
        },
        Weather::Refusing => fails(0.001, Failure::Connect),
        Weather::Misconfigured => fails(0.05, http(401, None)),
        Weather::Empty => fails(end, Failure::EmptyAnswer),
        Weather::Cutting => answers(Some(Failure::Cut)),
    }
}

struct Request {
    stream: bool,
    /// Every healthy endpoint answers 400.
    mistaken: bool,
    tokens: u32,
    /// When the client goes away.
    leaves: Instant,
    deadline: Instant,
}

/// A request under way.
struct Running<'a> {
    request: Request,
    plan: Plan<'a>,
    limits: Limits,
    rng: Rng,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    attempt: Attempt,
    ticket: Ticket,
    /// The world counts it among the probes.
    probe: bool,
}

enum Event {
    Ask(usize),
    FirstOutput(usize, Duration),
    End(usize, Option<Failure>, Duration),
}

/// What happened, so that a run in which nothing happens does not pass.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    answered: u32,
    repeats: u32,
    waits: u32,
    degraded: u32,
    probes: u32,
    opened: u32,
    closed: u32,
    cut_after_commit: u32,
    saturated: u32,
    ends: BTreeMap<&'static str, u32>,
}

struct World<'a> {
    now: Instant,
    rng: Rng,
    live: Vec<Arc<EndpointHealth>>,
    budget: RetryBudget,
    /// For each endpoint: its weather from this moment on.
    weather: Vec<Vec<(Instant, Weather)>>,
    running: Vec<Option<Running<'a>>>,
    agenda: BTreeMap<(Instant, u64), Event>,
    added: u64,
    in_flight: [u32; ENDPOINTS],
    probes: [u32; ENDPOINTS],
    states: [BreakerState; ENDPOINTS],
    arrived: u32,
    seen: Seen,
    trace: String,
}

impl<'a> World<'a> {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config =
            BreakerConfig { half_open_probes: PROBES, cooldown: Duration::from_secs(3), ..BreakerConfig::default() };
        let live = (0..ENDPOINTS).map(|i| Arc::new(EndpointHealth::new(config, Latency::default(), 1.0 + i as f32)));
        let live = live.collect();
        let weather = (0..ENDPOINTS).map(|_| {
            let mut phases = vec![(Instant(0), Weather::Well)];
            let mut t = 0.0;
            while t < STORM as f64 {
                phases.push((Instant(0) + secs(t), Weather::ALL[rng.below(Weather::ALL.len())]));
                t += 5.0 + 60.0 * rng.next_f64();
            }
            phases.push((Instant(0) + Duration::from_secs(STORM), Weather::Well));
            phases
        });
        let weather = weather.collect();
        Self {
            now: Instant(0),
            rng,
            live,
            budget: RetryBudget::default(),
            weather,
            running: Vec::new(),
            agenda: BTreeMap::new(),
            added: 0,
            in_flight: [0; ENDPOINTS],
            probes: [0; ENDPOINTS],
            states: [BreakerState::Closed; ENDPOINTS],
            arrived: 0,
            seen: Seen::default(),
            trace: String::new(),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.added += 1;
        self.agenda.insert((at, self.added), event);
    }

    fn populate(&mut self, orders: &'a [Vec<CandidatePlan<'a>>]) {
        for id in 0..REQUESTS {
            // Two of three come in the storm, half of these in bursts; the rest lets the breakers recover.
            let t = self.rng.next_f64();
            let t = match id % 3 {
                0 => STORM as f64 + CALM as f64 * t,
                1 => STORM as f64 * t,
                _ => 10.0 * self.rng.below(STORM as usize / 10) as f64 + t,
            };
            let arrives = Instant(0) + secs(t);
            let deadline = arrives + secs(0.5 + 20.0 * self.rng.next_f64());
            let leaves =
                if self.rng.below(20) == 0 { arrives + secs(3.0 * self.rng.next_f64()) } else { Instant(u64::MAX) };
            let tokens = [500, 500, 500, 500, 500, 500, 500, 20_000, 60_000, 300_000][self.rng.below(10)];
            let request =
                Request { stream: self.rng.below(2) == 0, mistaken: self.rng.below(30) == 0, tokens, leaves, deadline };
            let limits = Limits {
                max_attempts: 1 + self.rng.below(6) as u32,
                deadline,
                max_retry_wait: MAX_RETRY_WAIT,
                no_fallback: self.rng.below(10) == 0,
            };
            let plan = Plan::new(&orders[self.rng.below(orders.len())], limits);
            let rng = Rng::new(self.rng.next_u64());
            self.running.push(Some(Running { request, plan, limits, rng, under_way: None }));
            self.at(arrives, Event::Ask(id));
        }
    }

    fn run(&mut self) {
        let mut asked = vec![false; REQUESTS];
        while let Some(((now, _), event)) = self.agenda.pop_first() {
            assert!(now >= self.now);
            self.now = now;
            match event {
                Event::Ask(id) => {
                    if !std::mem::replace(&mut asked[id], true) {
                        self.arrived += 1;
                        self.budget.request();
                    }
                    self.ask(id);
                }
                Event::FirstOutput(id, after) => self.first_output(id, after),
                Event::End(id, failure, took) => self.end(id, failure, took),
            }
            self.check();
        }
    }

    /// Drives one request until it sends, waits or ends.
    fn ask(&mut self, id: usize) {
        let mut running = self.running[id].take().expect("asks once more only while it runs");
        loop {
            let now = self.now;
            match running.plan.next(now, &mut running.rng, &self.live, &self.budget) {
                Step::Try(attempt) => {
                    assert!(now < running.limits.deadline, "an attempt past the deadline");
                    assert!(attempt.number <= running.limits.max_attempts, "too many attempts");
                    let before = running.plan.tried();
                    assert!(before.iter().all(|t| !matches!(t.failure.fault(), Fault::Client | Fault::Nobody)));
                    let again = before.iter().any(|t| t.attempt.endpoint == attempt.endpoint);
                    assert_eq!(again, attempt.repeat);
                    assert!(!running.limits.no_fallback || attempt.candidate == 0);
                    if self.begin(id, &mut running, attempt) {
                        break;
                    }
                }
                Step::Wait { until } => {
                    assert!(until > now && until <= now + MAX_RETRY_WAIT && until < running.limits.deadline);
                    self.seen.waits += 1;
                    self.at(until, Event::Ask(id));
                    break;
                }
                Step::GiveUp(end) => return self.gave_up(id, &running, end),
            }
        }
        self.running[id] = Some(running);
    }

    /// Sends the request, unless the provider's own concurrency limit says no.
    fn begin(&mut self, id: usize, running: &mut Running<'a>, attempt: Attempt) -> bool {
        let (now, e) = (self.now, usize::from(attempt.endpoint.0));
        if running.rng.below(50) == 0 {
            self.seen.saturated += 1;
            running.plan.not_made(Skip::Saturated);
            return false;
        }
        let begun = self.live[e].try_begin(now).expect("nobody came between the view and this");
        self.log(format_args!("{id} -> {e} #{}", attempt.number));
        self.note(e, begun.event);
        let probe = begun.ticket.is_probe();
        self.in_flight[e] += 1;
        self.probes[e] += u32::from(probe);
        self.seen.repeats += u32::from(attempt.repeat);
        self.seen.degraded += u32::from(attempt.degraded);
        self.seen.probes += u32::from(probe);

        let weather = self.weather[e].iter().rev().find(|(from, _)| *from <= now).expect("from the beginning").1;
        let mut course = course(weather, &running.request, MODELS[usize::from(attempt.model.0)].1, &mut self.rng);
        // The shell's own two limits: the client that leaves and the request's deadline.
        let request = &running.request;
        if now + course.end > request.deadline.min(request.leaves) {
            let (at, failure) = if request.leaves < request.deadline {
                (request.leaves.max(now), Failure::Cancelled)
            } else {
                (request.deadline, Failure::Timeout(Timeout::Deadline))
            };
            course.end = at.since(now);
            course.failure = Some(failure);
        }
        if let Some(first) = course.first_output.filter(|first| *first <= course.end) {
            self.at(now + first, Event::FirstOutput(id, first));
        }
        self.at(now + course.end, Event::End(id, course.failure, course.end));
        running.under_way = Some(UnderWay { attempt, ticket: begun.ticket, probe });
        true
    }

    fn first_output(&mut self, id: usize, after: Duration) {
        let running = self.running[id].as_mut().expect("running");
        let under_way = running.under_way.as_mut().expect("sent");
        running.plan.commit();
        let e = usize::from(under_way.attempt.endpoint.0);
        self.probes[e] -= u32::from(std::mem::take(&mut under_way.probe));
        let event = self.live[e].first_output(&mut under_way.ticket, after, self.now);
        self.note(e, event);
    }

    fn end(&mut self, id: usize, failure: Option<Failure>, took: Duration) {
        let under_way = self.running[id].as_mut().and_then(|running| running.under_way.take());
        let UnderWay { attempt, ticket, probe } = under_way.expect("sent");
        let e = usize::from(attempt.endpoint.0);
        self.in_flight[e] -= 1;
        self.probes[e] -= u32::from(probe);
        let observed = Observed { first_token: None, total: took, output_tokens: Some(50) };
        let verdict = failure.map_or(Verdict::Success(observed), |f| f.verdict());
        let event = self.live[e].finish(ticket, verdict, self.now, &mut self.rng);
        self.log(format_args!("{id} <- {e} {}", failure.map_or("ok", |f| f.name())));
        match failure {
            None => {
                self.seen.answered += 1;
                self.running[id] = None;
            }
            Some(failure) => {
                self.running[id].as_mut().expect("running").plan.failed(failure, self.now);
                self.ask(id);
            }
        }
        self.note(e, event);
    }

    fn gave_up(&mut self, id: usize, running: &Running<'a>, end: GiveUp) {
        let tried = running.plan.tried();
        let fault = |attempt: usize| tried[attempt].failure.fault();
        let name = match end {
            GiveUp::AsIs { attempt } => {
                assert!(fault(attempt) == Fault::Client && attempt + 1 == tried.len());
                "as_is"
            }
            GiveUp::EmptyAnswer { attempt } => {
                assert!(fault(attempt) == Fault::Empty);
                "empty"
            }
            GiveUp::ContextOverflow { attempt } => {
                assert!(fault(attempt) == Fault::Window);
                "overflow"
            }
            GiveUp::RateLimited { .. } => {
                assert!(!tried.is_empty() && tried.iter().all(|t| t.failure.fault() == Fault::RateLimit));
                "rate_limited"
            }
            GiveUp::Deadline => {
                assert!(self.now >= running.limits.deadline);
                "deadline"
            }
            GiveUp::Upstream => {
                assert!(!tried.is_empty());
                "upstream"
            }
            GiveUp::Unavailable { .. } => {
                assert!(tried.is_empty());
                "unavailable"
            }
            GiveUp::Budget | GiveUp::Inexpressible => unreachable!("this world has no budgets and one dialect"),
            GiveUp::Stopped => {
                let last = tried.last().expect("something was sent").failure;
                self.seen.cut_after_commit += u32::from(last == Failure::Cut);
                "stopped"
            }
        };
        self.log(format_args!("{id} ends {name} after {}", tried.len()));
        *self.seen.ends.entry(name).or_default() += 1;
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.trace, "{} {line}", self.now.0).expect("a string takes it");
    }

    /// Events form a chain, each from where the last one led.
    fn note(&mut self, e: usize, event: Option<BreakerEvent>) {
        let Some(event) = event else { return };
        assert_eq!(event.from, self.states[e], "endpoint {e}: {event:?}");
        assert!(event.from != event.to && event.at == self.now);
        self.states[e] = event.to;
        self.seen.opened += u32::from(event.to == BreakerState::Open);
        self.seen.closed += u32::from(event.to == BreakerState::Closed);
        self.log(format_args!("breaker {e} {}: {}", event.to.name(), event.reason.name()));
    }

    /// What holds at every moment.
    fn check(&self) {
        for (e, health) in self.live.iter().enumerate() {
            let view = health.view(self.now);
            assert_eq!(view.in_flight, self.in_flight[e], "endpoint {e} at {:?}", self.now);
            assert_eq!(view.breaker, self.states[e]);
            assert!(self.probes[e] <= PROBES, "endpoint {e}: {} probes at once", self.probes[e]);
            assert!(view.first_token_us > 0.0 && view.per_token_us > 0.0 && health.load(self.now).is_finite());
        }
        let allowed = 0.2 * f64::from(self.arrived) + 10.0 * (self.now.0 as f64 / 1e9 + 1.0);
        assert!(f64::from(self.seen.repeats) <= allowed, "{} repeats", self.seen.repeats);
    }
}

/// Prints the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing seed is {}", self.0);
        }
    }
}

fn run(seed: u64) -> (String, Seen) {
    let _seed = Seed(seed);
    let candidate = |m: usize| {
        let (endpoints, window) = MODELS[m];
        CandidatePlan { model: ModelIx(m as u16), endpoints, window, emergency: m == 3 }
    };
    let orders = [[0, 1, 2, 3], [1, 2, 0, 3], [2, 0, 1, 3]].map(|order| order.map(candidate).to_vec());
    let mut world = World::new(seed);
    world.populate(&orders);
    world.run();

    assert_eq!(world.in_flight, [0; ENDPOINTS]);
    assert!(world.running.iter().all(Option::is_none), "a request never ended");
    assert_eq!(world.seen.answered + world.seen.ends.values().sum::<u32>(), REQUESTS as u32);
    assert_eq!(world.states[..6], [BreakerState::Closed; 6], "recovers once the weather is good");
    (world.trace, world.seen)
}

#[test]
fn requests_survive_the_weather() {
    let mut total = Seen::default();
    for seed in 0..20 {
        let (_, seen) = run(seed);
        assert!(seen.answered > REQUESTS as u32 / 4, "seed {seed}: {seen:?}");
        for (name, count) in &seen.ends {
            *total.ends.entry(name).or_default() += count;
        }
        total.repeats += seen.repeats;
        total.waits += seen.waits;
        total.degraded += seen.degraded;
        total.probes += seen.probes;
        total.opened += seen.opened;
        total.closed += seen.closed;
        total.saturated += seen.saturated;
        total.cut_after_commit += seen.cut_after_commit;
    }
    let kinds = ["as_is", "deadline", "empty", "overflow", "rate_limited", "stopped", "unavailable", "upstream"];
    assert_eq!(total.ends.keys().copied().collect::<Vec<_>>(), kinds);
    let counts =
        [total.repeats, total.waits, total.degraded, total.probes, total.opened, total.closed, total.saturated];
    assert!(counts.iter().all(|n| *n > 100) && total.cut_after_commit > 20, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

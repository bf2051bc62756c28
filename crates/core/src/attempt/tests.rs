use super::*;
use crate::config::BreakerConfig;
use crate::health::{EndpointHealth, Force};
use crate::registry::{EndpointIx, Latency, ModelIx};
use crate::retry::RetryBudget;
use crate::units::{Instant, Rng};
use std::sync::Arc;

const fn http(status: u16) -> Failure {
    Failure::Http { status, retry_after: None, context_overflow: false }
}

const fn limited(ms: u64) -> Failure {
    Failure::Http { status: 429, retry_after: Some(Duration::from_millis(ms)), context_overflow: false }
}

const OVERFLOW: Failure = Failure::Http { status: 400, retry_after: None, context_overflow: true };
const ERROR: Failure = http(500);
const EMPTY: Failure = Failure::EmptyAnswer;

#[test]
fn each_failure_has_its_consequence() {
    use Fault::*;
    let invalid = |i| Failure::Invalid(i);
    for (failure, fault, counts, repeatable, name) in [
        (Failure::Connect, Endpoint, true, true, "connect"),
        (Failure::Tls, Endpoint, true, false, "tls"),
        (Failure::Timeout(Timeout::Connect), Endpoint, true, true, "timeout_connect"),
        (Failure::Timeout(Timeout::FirstToken), Endpoint, true, true, "timeout_first_token"),
        (Failure::Timeout(Timeout::Total), Endpoint, true, false, "timeout"),
        (Failure::Timeout(Timeout::Deadline), Nobody, false, false, "deadline"),
        (http(400), Client, false, false, "http_400"),
        (http(413), Client, false, false, "http_413"),
        (http(422), Client, false, false, "http_422"),
        (http(451), Client, false, false, "http_4xx"),
        (http(401), Operator, true, false, "http_401"),
        (http(403), Operator, true, false, "http_403"),
        (http(404), Operator, true, false, "http_404"),
        (http(307), Operator, true, false, "http_3xx"),
        (http(408), Endpoint, true, true, "http_408"),
        (http(429), RateLimit, false, true, "http_429"),
        (http(500), Endpoint, true, true, "http_500"),
        (http(501), Endpoint, true, false, "http_5xx"),
        (http(529), Endpoint, true, true, "http_529"),
        (http(204), Endpoint, true, true, "http_other"),
        (OVERFLOW, Window, false, false, "context_overflow"),
        (invalid(Invalid::EmptyBody), Endpoint, true, true, "empty_body"),
        (invalid(Invalid::ContentType), Endpoint, true, true, "content_type"),
        (invalid(Invalid::Json), Endpoint, true, true, "invalid_json"),
        (invalid(Invalid::InBandError), Endpoint, true, true, "in_band_error"),
        (EMPTY, Empty, false, false, "empty"),
        (Failure::EmptyStream, Endpoint, true, true, "empty_stream"),
        (Failure::Cut, Endpoint, true, true, "cut"),
        (Failure::Cancelled, Nobody, false, false, "cancelled"),
    ] {
        let got = (failure.fault(), failure.counts(), failure.repeatable(), failure.name());
        assert_eq!(got, (fault, counts, repeatable, name));
        let verdict = failure.verdict();
        assert_eq!(matches!(verdict, Verdict::Failure { kind, .. } if kind == name), counts, "{name}: {verdict:?}");
    }
}

/// Candidates as text: `a=01 b=2 c!=3` is a model of endpoints 0 and 1, one of endpoint 2, and an emergency one of
/// endpoint 3; `a/8=0` has a window of 8.
struct World {
    live: Vec<Arc<EndpointHealth>>,
    budget: RetryBudget,
    candidates: Vec<(Vec<EndpointIx>, Option<u32>, bool)>,
}

impl World {
    fn new(text: &str) -> Self {
        let candidates: Vec<_> = text
            .split(' ')
            .map(|c| {
                let (name, endpoints) = c.split_once('=').unwrap();
                let window = name.trim_end_matches('!').split_once('/').map(|(_, w)| w.parse().unwrap());
                let ixs = endpoints.bytes().map(|b| EndpointIx(u16::from(b - b'0'))).collect();
                (ixs, window, name.ends_with('!'))
            })
            .collect();
        let new = || Arc::new(EndpointHealth::new(BreakerConfig::default(), Latency::default(), 1.0));
        Self { live: (0..8).map(|_| new()).collect(), budget: RetryBudget::default(), candidates }
    }

    fn limits() -> Limits {
        let deadline = Instant(60_000_000_000);
        Limits { max_attempts: 6, deadline, max_retry_wait: Duration::from_secs(2), no_fallback: false }
    }

    /// Fails attempt after attempt as `failures` say, the last of them for ever; an attempt takes `each`. Returns the
    /// endpoints tried (a repeat after a `+`, an emergency before a `!`), how it ended, and when.
    fn drive(&self, limits: Limits, each: Duration, failures: &[Failure]) -> (String, GiveUp, Instant) {
        let candidates = self.candidates.iter().enumerate().map(|(i, (endpoints, window, emergency))| CandidatePlan {
            model: ModelIx(i as u16),
            endpoints,
            window: *window,
            emergency: *emergency,
        });
        let candidates: Vec<_> = candidates.collect();
        let mut plan = Plan::new(&candidates, limits);
        let (mut now, mut rng, mut trace) = (Instant(0), Rng::new(7), String::new());
        loop {
            match plan.next(now, &mut rng, &self.live, &self.budget) {
                Step::Try(attempt) => {
                    assert!(now < limits.deadline);
                    let marks = (if attempt.repeat { "+" } else { "" }, if attempt.degraded { "!" } else { "" });
                    trace += &format!("{}{}{}", marks.0, attempt.endpoint.0, marks.1);
                    assert_eq!(attempt.number, plan.attempts());
                    now = now + each;
                    plan.failed(*failures.get(plan.tried().len()).or(failures.last()).unwrap(), now);
                }
                Step::Wait { until } => {
                    assert!(until > now && until <= now + limits.max_retry_wait && until < limits.deadline);
                    now = until;
                }
                Step::GiveUp(end) => return (trace, end, now),
            }
        }
    }
}

#[track_caller]
fn check(candidates: &str, failures: &[Failure], trace: &str, end: GiveUp) {
    let world = World::new(candidates);
    let got = world.drive(World::limits(), Duration::ZERO, failures);
    assert_eq!((got.0.as_str(), got.1), (trace, end), "{candidates} {failures:?}");
}

fn refused(ms: u64, attempt: usize) -> GiveUp {
    GiveUp::RateLimited { retry_after: Some(Duration::from_millis(ms)), attempt }
}

#[test]
fn failures_move_on_and_repeat_only_when_all_were_tried() {
    check("a=0 b=1 c=2", &[ERROR], "012+0+1+2", GiveUp::Upstream);
    check("a=0 b=1 c!=2", &[ERROR], "012!+0+1+2!", GiveUp::Upstream);
    check("c!=2 a=0 b=1", &[ERROR], "012!+2!+0+1", GiveUp::Upstream);
    check("a=0", &[ERROR], "0+0+0+0+0+0", GiveUp::Upstream);
    check("a=0 b=1", &[Failure::Tls, ERROR], "01+1+1+1+1", GiveUp::Upstream);
    check("a=0 b=1", &[http(401)], "01", GiveUp::Upstream);
    check("a=9 b=1", &[http(404)], "1", GiveUp::Upstream);
}

#[test]
fn the_endpoints_of_a_model_come_before_the_next_model() {
    for _ in 0..20 {
        let (trace, ..) = World::new("a=01 b=2").drive(World::limits(), Duration::ZERO, &[http(403)]);
        assert!(trace == "012" || trace == "102", "{trace}");
    }
}

#[test]
fn the_clients_mistake_goes_back_as_it_is() {
    for status in [400, 413, 422, 415] {
        check("a=0 b=1", &[http(status)], "0", GiveUp::AsIs { attempt: 0 });
        check("a=0 b=1", &[ERROR, http(status)], "01", GiveUp::AsIs { attempt: 1 });
    }
}

#[test]
fn rate_limits_move_on_and_a_long_wait_goes_back_at_once() {
    check("a=0 b=1", &[limited(9000), limited(5000)], "01", refused(5000, 1));
    check("a=0 b=1", &[limited(9000), limited(1500), ERROR], "01+1+1+1+1", GiveUp::Upstream);
    check("a=0 b=1", &[limited(9000), limited(1500), limited(8000)], "01+1", refused(7500, 0));
    check("a=0", &[limited(2001)], "0", refused(2001, 0));
    let world = World::new("a=0");
    let (trace, end, now) = world.drive(World::limits(), Duration::ZERO, &[limited(2000), limited(4000)]);
    assert_eq!(
        (trace.as_str(), end, now),
        ("0+0", refused(4000, 1), Instant(2_000_000_000)),
        "waited exactly as asked"
    );
    // Without a `Retry-After` it backs off; an error among them makes it a 502.
    check("a=0", &[http(429)], "0+0+0+0+0+0", GiveUp::RateLimited { retry_after: None, attempt: 5 });
    check("a=0 b=1", &[http(401), limited(9000)], "01", GiveUp::Upstream);
}

#[test]
fn an_empty_answer_is_tried_elsewhere_once() {
    check("a=0 b=1 c=2", &[EMPTY], "01", GiveUp::EmptyAnswer { attempt: 1 });
    check("a=0", &[EMPTY], "0", GiveUp::EmptyAnswer { attempt: 0 });
    check("a=0 b=1 c=2", &[EMPTY, ERROR], "01", GiveUp::EmptyAnswer { attempt: 0 });
    check("a=0 b=1 c=2", &[EMPTY, http(400)], "01", GiveUp::EmptyAnswer { attempt: 0 });
    check("a=0 b=1", &[ERROR, EMPTY], "01", GiveUp::EmptyAnswer { attempt: 1 });
}

#[test]
fn an_overflow_moves_only_to_a_larger_window() {
    let at = |attempt| GiveUp::ContextOverflow { attempt };
    check("a/8=01 b/8=2 c/16=3 d=4 e/4=5", &[OVERFLOW], "03", at(1));
    check("a/8=0 b/4=1", &[OVERFLOW], "0", at(0));
    check("a=0 b=1 c/4=2", &[OVERFLOW], "02", at(1));
    check("a/8=0 b/16=1", &[OVERFLOW, ERROR], "01+1+1+1+1", GiveUp::Upstream);
}

#[test]
fn attempts_waits_and_the_retry_budget_are_bounded() {
    let limits = World::limits();
    let run = |limits, each, failures: &[Failure]| World::new("a=0 b=1").drive(limits, each, failures);
    let (second, none) = (Duration::from_secs(1), Duration::ZERO);
    assert_eq!(run(Limits { max_attempts: 1, ..limits }, none, &[ERROR]).0, "0");
    assert_eq!(run(Limits { max_attempts: 0, ..limits }, none, &[ERROR]).0, "0");
    assert_eq!(run(Limits { no_fallback: true, ..limits }, none, &[http(401)]).0, "0");
    let short = Limits { deadline: Instant(1_500_000_000), ..limits };
    let (trace, end, _) = run(short, second, &[ERROR]);
    assert_eq!((trace.as_str(), end), ("01", GiveUp::Deadline));
    // A wait past the deadline is not begun: the reason goes back now.
    let (trace, end, now) = run(short, none, &[limited(1600)]);
    assert_eq!((trace.as_str(), end, now), ("01", refused(1600, 0), Instant(0)));
    assert_eq!(run(limits, none, &[Failure::Timeout(Timeout::Deadline)]).1, GiveUp::Deadline);

    let world = World::new("a=0 b=1");
    while world.budget.withdraw(Instant(0)) {}
    let (trace, end, _) = world.drive(limits, none, &[ERROR]);
    assert_eq!((trace.as_str(), end), ("01", GiveUp::Upstream), "moving on is free, repeating is not");
}

#[test]
fn hints_order_and_breakers_exclude() {
    let world = World::new("a=0 b=12 c!=3");
    world.live[0].rate_limited(Duration::from_secs(50), Instant(0));
    world.live[1].rate_limited(Duration::from_secs(50), Instant(0));
    assert_eq!(world.drive(World::limits(), Duration::ZERO, &[http(401)]).0, "2013!");
    for endpoint in &world.live[..3] {
        endpoint.force(Force::Open, Instant(0));
    }
    assert_eq!(world.drive(World::limits(), Duration::ZERO, &[http(401)]).0, "3!");
    world.live[3].force(Force::Open, Instant(0));
    let (trace, end, _) = world.drive(World::limits(), Duration::ZERO, &[ERROR]);
    assert_eq!((trace.as_str(), end), ("", GiveUp::Unavailable { retry_after: None }));
}

#[test]
fn what_was_not_made_does_not_count_and_is_not_proposed_again() {
    let world = World::new("a=0");
    let (both, one) = ([EndpointIx(0), EndpointIx(1)], [EndpointIx(2)]);
    let candidate =
        |model, endpoints| CandidatePlan { model: ModelIx(model), endpoints, window: None, emergency: false };
    let candidates = [candidate(0, &both[..]), candidate(1, &one[..])];
    for (skips, end) in [
        (vec![Skip::Budget, Skip::Budget], GiveUp::Budget),
        (vec![Skip::BreakerOpen, Skip::Saturated, Skip::BreakerOpen], GiveUp::Unavailable { retry_after: None }),
    ] {
        let (mut plan, mut rng) = (Plan::new(&candidates, World::limits()), Rng::new(1));
        for skip in &skips {
            assert!(matches!(plan.next(Instant(0), &mut rng, &world.live, &world.budget), Step::Try(_)));
            plan.not_made(*skip);
        }
        assert_eq!(plan.next(Instant(0), &mut rng, &world.live, &world.budget), Step::GiveUp(end));
        assert_eq!((plan.attempts(), plan.skipped().len()), (0, skips.len()));
    }
}

#[test]
fn nothing_follows_a_begun_answer_or_a_client_that_left() {
    let world = World::new("a=0");
    let one = [EndpointIx(0)];
    let candidates = [CandidatePlan { model: ModelIx(0), endpoints: &one, window: None, emergency: false }];
    for (commit, failure) in [(true, Some(Failure::Cut)), (false, Some(Failure::Cancelled)), (false, None)] {
        let (mut plan, mut rng) = (Plan::new(&candidates, World::limits()), Rng::new(1));
        assert!(matches!(plan.next(Instant(0), &mut rng, &world.live, &world.budget), Step::Try(_)));
        if commit {
            plan.commit();
        }
        if let Some(failure) = failure {
            plan.failed(failure, Instant(0));
        }
        assert_eq!(plan.next(Instant(0), &mut rng, &world.live, &world.budget), Step::GiveUp(GiveUp::Stopped));
    }
}

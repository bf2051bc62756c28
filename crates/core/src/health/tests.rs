use super::*;

const FAILED: Verdict = Verdict::Failure { kind: "http_500", timed_out: false };
const OK: Verdict = Verdict::Success(Observed { first_token: None, total: Duration::ZERO, output_tokens: None });

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn config() -> BreakerConfig {
    BreakerConfig { consecutive_failures: 2, ..BreakerConfig::default() }
}

fn endpoint() -> EndpointHealth {
    EndpointHealth::new(config(), Latency { first_token_ms: 400.0, per_token_ms: 6.0 }, 1.0)
}

fn run(e: &EndpointHealth, verdict: Verdict, ms: u64) -> Option<BreakerEvent> {
    let begun = e.try_begin(at(ms)).expect("admitted");
    e.finish(begun.ticket, verdict, at(ms), &mut Rng::new(ms))
}

#[test]
fn a_cold_endpoint_shows_its_prior() {
    let e = endpoint();
    let view = e.view(at(0));
    assert_eq!((view.first_token_us, view.per_token_us, view.observations), (400_000.0, 6000.0, 0));
    assert!(view.admits && view.rate_limited_until.is_none() && view.retry_at.is_none());
    assert_eq!(e.load(at(0)), 1_000_000.0);
}

#[test]
fn the_view_follows_the_breaker() {
    let e = endpoint();
    run(&e, FAILED, 0);
    let retry_at = run(&e, FAILED, 0).and_then(|event| event.retry_at).expect("opens");
    let view = e.view(at(0));
    assert_eq!((view.breaker, view.admits, view.retry_at), (BreakerState::Open, false, Some(retry_at)));
    assert!(e.try_begin(at(0)).is_none());
    assert!(e.view(retry_at).admits, "the cooldown is over: a probe would pass");
    let begun = e.try_begin(retry_at).expect("a probe");
    assert_eq!(begun.event.map(|event| event.to), Some(BreakerState::HalfOpen));
    let view = e.view(retry_at);
    assert_eq!((view.breaker, view.admits, view.in_flight), (BreakerState::HalfOpen, false, 1));
    // The client leaves: the place is free again and nothing is decided.
    assert_eq!(e.finish(begun.ticket, Verdict::Neutral, retry_at, &mut Rng::new(0)), None);
    assert!(e.view(retry_at).admits);
    let mut begun = e.try_begin(retry_at).expect("another probe");
    let closed = e.first_output(&mut begun.ticket, Duration::from_millis(100), retry_at);
    assert_eq!(closed.map(|event| event.to), Some(BreakerState::Closed));
    assert!(e.view(retry_at).admits);
    e.finish(begun.ticket, OK, retry_at, &mut Rng::new(0));
    assert_eq!((e.view(retry_at).in_flight, e.view(retry_at).observations), (0, 1));
}

#[test]
fn neither_429_nor_the_clients_mistakes_open_the_breaker() {
    let e = endpoint();
    for ms in 0..50 {
        assert_eq!(run(&e, Verdict::RateLimited { retry_after: None }, ms), None);
        assert_eq!(run(&e, Verdict::Neutral, ms), None);
    }
    assert_eq!(e.view(at(50)).breaker, BreakerState::Closed);
}

#[test]
fn a_rate_limit_hint_ends_with_its_time_or_with_a_later_success() {
    let e = endpoint();
    let early = e.try_begin(at(0)).expect("admitted");
    run(&e, Verdict::RateLimited { retry_after: Some(Duration::from_secs(5)) }, 10);
    assert_eq!(e.view(at(11)).rate_limited_until, Some(at(5010)));
    assert!(e.view(at(11)).admits, "a hint only orders");
    e.rate_limited(Duration::from_secs(1), at(12));
    e.finish(early.ticket, OK, at(13), &mut Rng::new(0));
    assert_eq!(e.view(at(13)).rate_limited_until, Some(at(5010)), "began before the limit: says nothing");
    assert_eq!(e.view(at(5010)).rate_limited_until, None);
    run(&e, OK, 20);
    assert_eq!(e.view(at(20)).rate_limited_until, None);
}

#[test]
fn failures_do_not_look_fast_and_timeouts_look_slow() {
    let e = endpoint();
    run(&e, FAILED, 0);
    assert_eq!(e.load(at(0)), 1_000_000.0);
    let begun = e.try_begin(at(0)).expect("admitted");
    assert_eq!(e.load(at(0)), 2_000_000.0, "one in flight");
    e.configure(config(), Latency { first_token_ms: 400.0, per_token_ms: 6.0 }, 4.0);
    assert_eq!(e.load(at(0)), 500_000.0);
    let timeout = Verdict::Failure { kind: "timeout_first_token", timed_out: true };
    e.finish(begun.ticket, timeout, at(30_000), &mut Rng::new(0));
    assert!(e.load(at(30_000)) > 7_000_000.0);
}

#[test]
fn the_lock_free_view_ages_as_the_locked_one() {
    let e = endpoint();
    for _ in 0..40 {
        let mut begun = e.try_begin(at(0)).expect("admitted");
        e.first_output(&mut begun.ticket, Duration::from_secs(4), at(0));
        e.finish(begun.ticket, OK, at(0), &mut Rng::new(0));
    }
    for ms in [0, 60_000, 600_000, 6_000_000] {
        let (speed, view) = (lock(&e.live).speed, e.view(at(ms)));
        assert_eq!(view.first_token_us, speed.first_token.estimate(at(ms)));
        assert_eq!(e.load(at(ms)), speed.peak_latency(at(ms)));
    }
}

#[test]
fn threads_leave_nothing_in_flight_and_never_exceed_the_probes() {
    let e = EndpointHealth::new(
        BreakerConfig { consecutive_failures: 1, cooldown: Duration::from_millis(1), half_open_probes: 2, ..config() },
        Latency::default(),
        1.0,
    );
    let (probes, begun) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (e, probes, begun) = (&e, &probes, &begun);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for step in 0..5000 {
                    let now = at(step);
                    let Some(b) = e.try_begin(now) else { continue };
                    let probe = b.ticket.is_probe();
                    begun.fetch_add(1, Relaxed);
                    if probe {
                        assert!(probes.fetch_add(1, Relaxed) < 2, "too many probes at once");
                    }
                    let view = e.view(now);
                    assert!((1..=4).contains(&view.in_flight), "{}", view.in_flight);
                    // Counted down first: the place is free as soon as `finish` has the lock.
                    if probe {
                        probes.fetch_sub(1, Relaxed);
                    }
                    e.finish(b.ticket, [OK, FAILED, OK, Verdict::Neutral][rng.below(4)], now, &mut rng);
                }
            });
        }
    });
    assert_eq!(e.view(at(5000)).in_flight, 0);
    assert!(begun.into_inner() > 1000);
}

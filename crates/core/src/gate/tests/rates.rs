//! What comes back by itself: at most N in any 60 seconds, all at once where they come so, and places for requests.

use super::super::*;
use super::world::{TTL_MS, World};
use proptest::prelude::*;

const N: u64 = 12;
const REQUEST: Amounts = Amounts { usd: 0, tokens: 0, requests: 1, concurrency: 0 };
const PLACE: Amounts = Amounts { usd: 0, tokens: 0, requests: 0, concurrency: 1 };

/// The most that was used in any 60 seconds, of uses at their true times.
fn most_in_a_minute(uses: &[(u64, u64)]) -> u64 {
    let until = |end: u64| uses.iter().filter(|(at, _)| *at <= end && at + 60_000 > end).map(|(_, n)| n).sum();
    uses.iter().map(|(at, _)| until(*at)).max().unwrap_or(0)
}

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    /// As many requests as there is room for, up to so many.
    Burst(u64),
    Tick,
    /// An exchange is made and the answer is lost, or it is not made.
    Lose(bool),
    /// Its idea of the store's clock.
    Skew(i64),
    Kill,
    Forget,
}

fn ops() -> impl Strategy<Value = Vec<(usize, Op)>> {
    let op = prop_oneof![
        4 => prop_oneof![0..400u64, 0..9_000u64, 0..40_000u64, Just(59_900), Just(60_200)].prop_map(Op::Pass),
        6 => (1..N + 3).prop_map(Op::Burst),
        3 => Just(Op::Tick),
        1 => any::<bool>().prop_map(Op::Lose),
        2 => (-100..=100i64).prop_map(Op::Skew),
        1 => Just(Op::Kill),
        1 => Just(Op::Forget),
    ];
    prop::collection::vec((0..12usize, op), 1..80)
}

fn other(world: &mut World, p: usize, op: &Op) {
    match *op {
        Op::Pass(ms) => world.pass(ms),
        Op::Tick => world.exchange(p, true),
        Op::Lose(made) => {
            let now = world.now(p);
            let need = Amounts { requests: 1, tokens: 1, ..Amounts::default() };
            world.procs[p].scope.wait_for(&need, now.instant, None);
            world.begin(p, true);
            if made {
                world.apply(p);
            }
            world.lose(p);
        }
        Op::Skew(ms) => world.procs[p].skew_ms = ms,
        Op::Kill if world.procs.len() > 1 => {
            world.kill(p);
            world.start();
        }
        Op::Forget if world.procs[p].scope.is_idle() => world.procs[p].scope = world.new_scope(),
        _ => {}
    }
}

/// Takes as many as there is room for, of `need` each.
fn burst(world: &mut World, p: usize, most: u64, need: Amounts) -> u64 {
    (0..most).take_while(|_| world.admit(p, need).is_ok()).count() as u64
}

proptest! {
    #[test]
    fn no_minute_sees_more_requests_than_the_limit(processes in 1..4usize, ops in ops()) {
        let mut world = World::new(processes, &[(Quota::RequestsPerMinute, N)]);
        let mut uses = Vec::new();
        for (at, op) in &ops {
            let p = at % world.procs.len();
            match op {
                Op::Burst(most) => uses.push((world.mono_ms, burst(&mut world, p, *most, REQUEST))),
                op => other(&mut world, p, op),
            }
            prop_assert!(most_in_a_minute(&uses) <= N, "{:?}", uses);
            let now = world.standing(Quota::RequestsPerMinute);
            let all = now.spent + now.reserved + now.leased + now.free;
            // A use that is back by one clock, and given out again, may be reported once more by a slower one.
            let agreed = world.procs.iter().all(|p| p.skew_ms == 0) && ops.iter().all(|(_, op)| !matches!(op, Op::Skew(_)));
            prop_assert!(all == N || (all > N && !agreed), "{:?}", now);
        }
        // After a quiet minute all are there again, wherever they are asked for; what a killed process held counts as used
        // when its lease ends.
        let killed = ops.iter().any(|(_, op)| matches!(op, Op::Kill));
        world.quiet(61 + if killed { TTL_MS as u64 / 1000 } else { 0 });
        let all: u64 = (0..world.procs.len()).map(|p| burst(&mut world, p, N + 1, REQUEST)).sum();
        prop_assert_eq!(all, N, "{:?}", world.standing(Quota::RequestsPerMinute));
    }

    /// Tokens count when a request is settled, and are held until then.
    #[test]
    fn no_minute_sees_more_tokens_than_the_limit(processes in 1..4usize, ops in ops()) {
        let mut world = World::new(processes, &[(Quota::TokensPerMinute, N)]);
        let mut uses = Vec::new();
        for (at, op) in &ops {
            let p = at % world.procs.len();
            match op {
                // Odd bursts reserve, even ones settle half of what is reserved.
                Op::Burst(n) if n % 2 == 0 => {
                    for _ in 0..world.procs[p].held.len().div_ceil(2) {
                        let used = *world.procs[p].held[0].amounts();
                        world.settle(p, 0, used);
                        uses.push((world.mono_ms, used.tokens));
                    }
                }
                Op::Burst(n) => drop(world.admit(p, Amounts { tokens: *n, ..Amounts::default() })),
                // Who cannot reach the store for a lease and a minute, and settles then, is the exception: see `book`.
                Op::Pass(ms) => world.quiet(ms / 3_000),
                op => other(&mut world, p, op),
            }
            prop_assert!(most_in_a_minute(&uses) <= N, "{:?}", uses);
        }
    }

    /// Places of a crashed process come back when its lease is over, those of a living one when its requests end.
    #[test]
    fn never_more_at_once_than_the_limit(processes in 1..4usize, ops in ops()) {
        let mut world = World::new(processes, &[(Quota::Concurrency, N)]);
        for (at, op) in &ops {
            let p = at % world.procs.len();
            match op {
                Op::Burst(n) if n % 3 == 0 => world.settle_all(p),
                Op::Burst(n) => drop(burst(&mut world, p, *n, PLACE)),
                // A process that cannot reach the store for a whole lease keeps its requests, as is documented.
                Op::Pass(ms) => world.quiet(ms / 3_000),
                op => other(&mut world, p, op),
            }
            let at_once: usize = world.procs.iter().map(|p| p.held.len()).sum();
            prop_assert!(at_once as u64 <= N, "{at_once}");
        }
        for p in 0..world.procs.len() {
            world.settle_all(p);
        }
        world.quiet(2 * TTL_MS as u64 / 1000 + 1);
        let all: u64 = (0..world.procs.len()).map(|p| burst(&mut world, p, N + 1, PLACE)).sum();
        prop_assert_eq!(all, N);
    }
}

#[test]
fn all_of_a_rate_may_come_at_once() {
    let mut world = World::new(2, &[(Quota::RequestsPerMinute, 100)]);
    assert_eq!(burst(&mut world, 0, 101, REQUEST), 100);
    let refused = world.admit(1, REQUEST).expect_err("the other process is told");
    // It says when the first may come again: 60 seconds later, and at most half a second more.
    let wait = refused.resets_ms.expect("rates come back") - world.store_ms;
    assert!((60_000..=60_500).contains(&wait), "{wait}");
    world.pass(59_999);
    assert!(world.admit(1, REQUEST).is_err());
    world.pass(502);
    assert!(world.admit(1, REQUEST).is_ok());
}

#[test]
fn a_lease_of_a_rate_ends_for_its_holder_when_it_ends_in_the_book() {
    let mut world = World::new(2, &[(Quota::RequestsPerMinute, 80)]);
    assert!(world.admit(0, REQUEST).is_ok());
    let headroom = |world: &World| world.procs[0].known(Quota::RequestsPerMinute).map(|k| k.slice.headroom());
    assert_eq!(headroom(&world), Some(10));
    // It does not reach the store any more. Until the lease ends it goes on.
    world.pass(TTL_MS as u64 - 1);
    assert_eq!(world.reserve(0, REQUEST), Ok(()));
    world.pass(1);
    assert_eq!(world.reserve(0, REQUEST), Err(Verdict::Ask));
    assert_eq!(headroom(&world), Some(0));
}

#[test]
fn a_clock_that_was_set_back_closes_no_rate_for_longer_than_a_minute() {
    let mut world = World::new(2, &[(Quota::RequestsPerMinute, N)]);
    assert_eq!(burst(&mut world, 0, N, REQUEST), N);
    world.store_ms -= 3_600_000;
    world.quiet(5);
    assert!(world.admit(0, REQUEST).is_err());
    assert!(world.admit(1, REQUEST).is_err());
    world.quiet(61);
    assert_eq!(burst(&mut world, 1, N, REQUEST) + burst(&mut world, 0, N, REQUEST), N);
}

#[test]
fn books_of_rates_and_places_do_not_grow_with_every_process() {
    let mut world = World::new(1, &[(Quota::RequestsPerMinute, N), (Quota::Concurrency, N)]);
    for _ in 0..50 {
        assert!(world.admit(0, Amounts { requests: 1, concurrency: 1, ..Amounts::default() }).is_ok());
        world.kill(0);
        world.start();
        world.pass(70_000);
    }
    assert!(world.admit(0, REQUEST).is_ok() && world.admit(0, PLACE).is_ok());
    for quota in [Quota::RequestsPerMinute, Quota::Concurrency] {
        let body = serde_json::to_string(&world.book(quota)).unwrap();
        assert!(body.len() < 300, "{body}");
    }
}

//! When one process talks to the store, and what it keeps, gives up and forgets.

use super::super::*;
use super::world::{TTL_MS, World};
use crate::units::Instant;
use std::time::Duration;

const DAY: Quota = Quota::Usd(Window::Day);
const LIMIT: u64 = 1_000_000;
/// What one process alone is leased ahead of need.
const AHEAD: u64 = LIMIT / 200;

fn usd(usd: u64) -> Amounts {
    Amounts { usd, ..Amounts::default() }
}

fn world(processes: usize) -> World {
    World::new(processes, &[(DAY, LIMIT)])
}

fn headroom(world: &World, p: usize) -> u64 {
    world.procs[p].known(DAY).map_or(0, |k| k.slice.headroom())
}

/// Seconds until the next exchange, of a process that does nothing but tick; none within two minutes.
fn rests(world: &mut World) -> Option<u64> {
    let before = world.exchanges;
    (1..=120).find(|_| {
        world.quiet(1);
        world.exchanges > before
    })
}

#[test]
fn an_exchange_brings_no_other_until_something_changes() {
    let mut world = world(1);
    assert_eq!(world.begin(0, true), 0, "nobody wants anything");
    assert!(world.admit(0, usd(100)).is_ok());
    assert_eq!((world.exchanges, headroom(&world, 0)), (1, AHEAD));
    // Nothing is due at once, nor at a tick, though a request is under way.
    assert_eq!((world.begin(0, false), world.begin(0, true)), (0, 0));
    // Half of what is ahead goes without the store.
    while headroom(&world, 0) > AHEAD / 2 {
        assert_eq!(world.reserve(0, usd(100)), Ok(()));
        assert_eq!(world.begin(0, false), 0);
    }
    // Then it is renewed before anybody has to wait.
    assert_eq!(world.reserve(0, usd(100)), Ok(()));
    assert_eq!(world.begin(0, false), 1);
    assert_eq!((world.begin(0, false), world.begin(0, true)), (0, 0), "one at a time");
    world.apply(0);
    world.answer(0);
    assert_eq!(headroom(&world, 0), AHEAD);
    assert_eq!(world.begin(0, true), 0);
    // What was used is reported with a tick.
    world.settle(0, 0, usd(1));
    assert_eq!((world.begin(0, false), world.begin(0, true)), (0, 1));
}

#[test]
fn a_lease_is_renewed_while_it_is_used_and_goes_back_when_it_is_not() {
    let mut world = world(1);
    assert!(world.admit(0, usd(100)).is_ok());
    let renewal = TTL_MS as u64 / 3_000;
    // With a request under way it is renewed for as long as that takes.
    for _ in 0..20 {
        assert_eq!(rests(&mut world), Some(renewal));
        assert_eq!(headroom(&world, 0), AHEAD);
    }
    world.settle_all(0);
    assert_eq!(rests(&mut world), Some(1), "the report");
    // The last request was long ago: everything went back with the report, and then all is quiet.
    assert_eq!(headroom(&world, 0), 0);
    assert_eq!(rests(&mut world), None);
    assert!(world.procs[0].scope.is_idle());
    assert_eq!(world.standing(DAY), Standing { spent: 100, free: LIMIT - 100, ..Standing::default() });
}

#[test]
fn a_failed_exchange_is_repeated_with_the_next_tick_and_not_before() {
    let mut world = world(1);
    assert!(world.admit(0, usd(100)).is_ok());
    while headroom(&world, 0) > AHEAD / 2 {
        assert_eq!(world.reserve(0, usd(100)), Ok(()));
    }
    assert_eq!(world.reserve(0, usd(100)), Ok(()));
    for made in [false, true] {
        assert_eq!(world.begin(0, true), 1);
        if made {
            world.apply(0);
        }
        world.lose(0);
        assert_eq!(world.begin(0, false), 0, "the store is not stormed");
        assert_eq!(world.reserve(0, usd(100)), Ok(()), "what was kept is kept");
    }
    world.exchange(0, true);
    assert_eq!(headroom(&world, 0), AHEAD);
}

#[test]
fn what_was_granted_without_being_heard_of_comes_back() {
    let mut world = world(1);
    assert_eq!(world.reserve(0, usd(500_000)), Err(Verdict::Ask));
    assert_eq!(world.begin(0, false), 1);
    world.apply(0);
    world.lose(0);
    assert!(!world.procs[0].scope.is_idle(), "the book may have leased something");
    assert_eq!(world.standing(DAY).leased, 500_000);
    world.quiet(1);
    world.quiet(40);
    assert_eq!(world.standing(DAY).free, LIMIT);
    assert!(world.procs[0].scope.is_idle());
}

#[test]
fn a_slice_whose_limit_changed_gives_back_at_the_next_tick() {
    let mut world = world(1);
    assert!(world.admit(0, usd(100)).is_ok());
    world.settle_all(0);
    world.quiet(1);
    assert_eq!(headroom(&world, 0), AHEAD);
    world.limit(DAY, Some(LIMIT / 2));
    assert_eq!((headroom(&world, 0), world.standing(DAY).leased), (0, AHEAD));
    world.quiet(1);
    assert!(world.standing(DAY).leased <= AHEAD / 2);
    world.quiet(60);
    assert_eq!(world.standing(DAY), Standing { spent: 100, free: LIMIT / 2 - 100, ..Standing::default() });
}

#[test]
fn slices_of_the_past_end() {
    let mut world = world(1);
    assert!(world.admit(0, usd(100)).is_ok());
    // In the middle of an exchange its window turns.
    assert_eq!(world.reserve(0, usd(2 * AHEAD)), Err(Verdict::Ask));
    assert_eq!(world.begin(0, false), 1);
    world.pass(12 * 3_600_000);
    assert!(world.admit(0, usd(5)).is_ok(), "the new one is not kept waiting");
    world.quiet(1);
    world.settle_all(0);
    world.quiet(60);
    assert!(world.procs[0].scope.is_idle());
    assert_eq!(rests(&mut world), None);
    world.store_ms -= 13 * 3_600_000;
    assert_eq!(world.standing(DAY), Standing { spent: 100, free: LIMIT - 100, ..Standing::default() });
}

#[test]
fn a_process_that_ends_gives_everything_back() {
    let mut world = world(2);
    assert!(world.admit(0, usd(100)).is_ok() && world.admit(1, usd(100)).is_ok());
    world.settle_all(0);
    world.procs[0].scope.close();
    assert_eq!(headroom(&world, 0), 0);
    world.exchange(0, true);
    world.kill(0);
    world.quiet(60);
    world.settle_all(0);
    world.quiet(60);
    assert_eq!(world.standing(DAY), Standing { spent: 200, free: LIMIT - 200, ..Standing::default() });
}

#[test]
fn looking_takes_nothing() {
    let mut world = world(2);
    assert!(world.admit(0, usd(100)).is_ok());
    let now = world.now(1).instant + Duration::from_secs(60);
    world.pass(60_000);
    assert!(world.procs[1].scope.look(now));
    world.exchange(1, false);
    assert_eq!(headroom(&world, 1), 0);
    let known = world.procs[1].known(DAY).map(|k| k.slice.spent());
    assert_eq!(known, Some(100 + AHEAD), "the other's lease is over, and charged");
    // The other was only slow, and says so.
    world.settle_all(0);
    world.exchange(0, true);
    assert_eq!(world.standing(DAY).spent, 100);
}

#[test]
fn a_refusal_rests_on_a_fresh_answer() {
    let mut world = world(2);
    assert!(world.admit(0, usd(LIMIT)).is_ok());
    let refused = world.admit(1, usd(1)).expect_err("all is reserved");
    assert_eq!((refused.limit, refused.need), (LIMIT, 1));
    let asked = world.exchanges;
    assert!(world.admit(1, usd(1)).is_err());
    assert_eq!(world.exchanges, asked, "the answer is fresh still");
    world.settle(0, 0, usd(10));
    world.exchange(0, true);
    world.pass(FRESH.as_millis() as u64 + 1);
    assert!(world.admit(1, usd(1)).is_ok());
}

/// A waiting request may look only after the next exchange has begun: what was granted to it is not gone.
#[test]
fn what_was_given_up_for_an_exchange_is_no_reason_to_refuse() {
    let mut world = world(1);
    assert_eq!(world.reserve(0, usd(LIMIT)), Err(Verdict::Ask));
    world.exchange(0, false);
    assert_eq!((headroom(&world, 0), world.begin(0, true)), (LIMIT, 1));
    assert_eq!(world.reserve(0, usd(LIMIT)), Err(Verdict::Ask));
    world.lose(0);
    assert_eq!(world.reserve(0, usd(LIMIT)), Err(Verdict::Ask), "nor where nobody heard of it");
    world.exchange(0, false);
    assert_eq!(world.reserve(0, usd(LIMIT)), Ok(()));
}

#[test]
fn after_a_loss_nothing_new_is_leased_before_everybody_was_heard() {
    let mut world = world(2);
    assert!(world.admit(0, usd(600_000)).is_ok() && world.admit(1, usd(100)).is_ok());
    world.exchange(0, true);
    world.lose_store();
    // The second process comes first. It waits until the first has said what it holds.
    assert_eq!(world.reserve(1, usd(390_000)), Err(Verdict::Ask));
    world.exchange(1, false);
    assert_eq!(world.reserve(1, usd(390_000)), Err(Verdict::Ask));
    assert_eq!(world.begin(1, false), 0, "and does not storm the store meanwhile");
    world.pass(5_000);
    world.exchange(0, true);
    world.exchange(1, true);
    assert_eq!(world.reserve(1, usd(390_000)), Ok(()));
    assert!(world.admit(0, usd(10_000)).is_err());
    // Nobody waits for the dead for longer than a lease.
    world.lose_store();
    world.kill(0);
    assert_eq!(world.reserve(0, usd(3_000)), Err(Verdict::Ask));
    world.exchange(0, false);
    assert_eq!(world.reserve(0, usd(3_000)), Err(Verdict::Ask));
    world.pass(TTL_MS as u64);
    world.exchange(0, true);
    assert_eq!(world.reserve(0, usd(3_000)), Ok(()));
}

#[test]
fn without_the_store_it_goes_on_within_what_was_free() {
    let mut world = world(1);
    assert!(world.admit(0, usd(100)).is_ok());
    let free = world.procs[0].known(DAY).map_or(0, |k| k.slice.last().free);
    let now = world.now(0);
    let scope = &mut world.procs[0].scope;
    assert!(scope.extend(&usd(free + AHEAD)));
    assert_eq!(scope.check(&usd(free + AHEAD), Instant(0)), Verdict::Fits);
    let held = scope.reserve(&usd(free + AHEAD), now);
    assert!(!scope.extend(&usd(1)));
    world.procs[0].held.push(held);
    world.settle_all(0);
    world.quiet(60);
    assert_eq!(world.standing(DAY).spent, LIMIT);
}

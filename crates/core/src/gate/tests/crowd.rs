//! Many more requests than a budget has room for, over several processes: exactly what fits is served, and nearly all of
//! the budget can be used.

use super::super::*;
use super::world::World;
use crate::units::Rng;

const DAY: Quota = Quota::Usd(Window::Day);
const SEEDS: u64 = 50;

fn usd(usd: u64) -> Amounts {
    Amounts { usd, ..Amounts::default() }
}

#[test]
fn of_a_thousand_requests_exactly_what_fits_is_served() {
    for (seed, processes) in (0..SEEDS).flat_map(|seed| (1..=4).map(move |n| (seed, n))) {
        let mut rng = Rng::new(seed);
        let mut world = World::new(processes, &[(DAY, 1_000)]);
        let mut waiting: Vec<usize> = (0..1_000).map(|_| rng.below(processes)).collect();
        let (mut served, mut refused) = (0, 0);
        while !waiting.is_empty() {
            let at = rng.below(waiting.len());
            match world.reserve(waiting[at], usd(10)) {
                Ok(()) => {
                    served += 1;
                    waiting.swap_remove(at);
                }
                Err(Verdict::Exceeded(_)) => {
                    refused += 1;
                    waiting.swap_remove(at);
                }
                Err(_) => {}
            }
            let p = rng.below(processes);
            match rng.below(8) {
                0 => drop(world.begin(p, false)),
                1 => world.apply(p),
                2 => world.answer(p),
                3 => world.exchange(p, false),
                4 if !world.procs[p].held.is_empty() => world.settle(p, 0, usd(10)),
                5 => {
                    world.pass(rng.below(50) as u64);
                    world.exchange(p, true);
                }
                _ => {}
            }
        }
        assert_eq!((served, refused), (100, 900), "seed {seed}, {processes} processes");
        (0..processes).for_each(|p| world.settle_all(p));
        world.quiet(60);
        let now = world.standing(DAY);
        assert_eq!((now.spent, now.reserved, now.leased, now.free), (1_000, 0, 0, 0), "seed {seed}");
    }
}

/// Every process has eight requests under way until nothing fits any more; they use less than they reserve. Returns what was
/// spent, of `limit`.
fn use_up(seed: u64, processes: usize, kill: bool, limit: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let mut world = World::new(processes, &[(DAY, limit)]);
    let (mut killed, mut refused_for_ms) = (0, 0);
    let mut ticked = 0;
    // Within one lease after the first refusal everywhere, the rest must have come free.
    while refused_for_ms < super::world::TTL_MS as u64 {
        if kill && killed == 0 && world.procs.iter().map(|p| p.spent.usd).sum::<u64>() > limit / 2 {
            let dead = world.kill(rng.below(world.procs.len()));
            killed = dead.spent.usd + dead.reserved(DAY);
        }
        let mut served = false;
        for p in 0..world.procs.len() {
            let need = limit / 1_000 * (1 + rng.below(3) as u64);
            if world.procs[p].held.len() < 8 {
                served |= world.admit(p, usd(need)).is_ok();
            }
            if world.procs[p].held.len() == 8 || (!served && !world.procs[p].held.is_empty()) {
                let at = rng.below(world.procs[p].held.len());
                let used = world.procs[p].held[at].amounts().usd * (10 + rng.below(91) as u64) / 100;
                world.settle(p, at, usd(used));
                served = true;
            }
        }
        world.pass(50);
        refused_for_ms = if served { 0 } else { refused_for_ms + 50 };
        if world.mono_ms / 1_000 > ticked {
            ticked = world.mono_ms / 1_000;
            (0..world.procs.len()).for_each(|p| world.exchange(p, true));
        }
    }
    let spent = world.procs.iter().map(|p| p.spent.usd).sum::<u64>() + killed;
    assert!(spent <= limit, "seed {seed}: {spent} of {limit}");
    spent
}

#[test]
fn nearly_all_of_a_budget_can_be_used() {
    for (seed, processes) in (0..SEEDS / 5).flat_map(|seed| (1..=4).map(move |n| (seed, n))) {
        for kill in [false, true] {
            if kill && processes == 1 {
                continue;
            }
            let spent = use_up(seed, processes, kill, 1_000_000);
            assert!(spent >= 980_000, "seed {seed}, {processes} processes, killed {kill}: {spent} of 1,000,000");
        }
    }
}

//! Whatever happens in whatever order: nothing is overspent, nothing is lost, nothing stays reserved.

use super::super::*;
use super::world::{Proc, World};
use proptest::prelude::*;

const USD: Quota = Quota::Usd(Window::Day);
const TOKENS: Quota = Quota::Tokens(Window::Month);
const BOOKS: [Quota; 2] = [USD, TOKENS];

#[derive(Clone, Debug)]
enum Op {
    /// A request that may wait for an exchange.
    Reserve(u64, u64),
    /// The reservation of this place ends with so many percent of it.
    Settle(usize, u64),
    Begin(bool),
    Apply,
    Answer,
    Lose,
    Exchange(bool),
    Pass(u64),
    /// kill -9; of what was reserved all is billed.
    Kill,
    Start,
    /// The scope is forgotten where it is idle, and comes back.
    Forget,
    /// Of [`USD`], by all processes.
    Limit(u64),
    /// The quota is unlimited for a while, for this process.
    Lift,
    ClockBack,
    LoseStore,
}

/// What is true, beside what the books say.
struct Truth {
    world: World,
    killed: Vec<Proc>,
    /// The highest limit that ever held.
    most: u64,
    lowered: bool,
    /// What a lost store knew and nobody who lives: that may be spent again.
    forgotten: Amounts,
    /// What those who live had seen leased to others when the store was lost: it may have come back, and is charged.
    mistaken: Amounts,
}

fn op(wild: bool) -> impl Strategy<Value = Op> {
    let calm = prop_oneof![
        8 => (1..300u64, 1..40u64).prop_map(|(usd, tokens)| Op::Reserve(usd, tokens)),
        6 => (any::<usize>(), prop_oneof![Just(0), Just(100), 0..=100u64, 100..200u64]).prop_map(|(i, of)| Op::Settle(i, of)),
        4 => any::<bool>().prop_map(Op::Begin),
        4 => Just(Op::Apply),
        3 => Just(Op::Answer),
        1 => Just(Op::Lose),
        5 => any::<bool>().prop_map(Op::Exchange),
        3 => prop_oneof![0..2_000u64, 0..40_000u64].prop_map(Op::Pass),
        1 => Just(Op::Kill),
        1 => Just(Op::Start),
        1 => Just(Op::Forget),
        1 => Just(Op::Lift),
        1 => Just(Op::ClockBack),
    ];
    let rare = prop_oneof![Just(Op::LoseStore), (0..12_000u64).prop_map(Op::Limit)];
    prop_oneof![19 => calm, u32::from(wild) => rare]
}

impl Truth {
    fn new(processes: usize) -> Self {
        let world = World::new(processes, &[(USD, 4_000), (TOKENS, 900)]);
        Self {
            world,
            killed: Vec::new(),
            most: 4_000,
            lowered: false,
            forgotten: Amounts::default(),
            mistaken: Amounts::default(),
        }
    }

    fn step(&mut self, at: usize, op: &Op) {
        let world = &mut self.world;
        let p = at % world.procs.len();
        match *op {
            Op::Reserve(usd, tokens) => {
                let _ = world.reserve(p, Amounts { usd, tokens, requests: 1, concurrency: 0 });
            }
            Op::Settle(i, percent) => {
                let count = world.procs[p].held.len();
                if count > 0 {
                    let held = *world.procs[p].held[i % count].amounts();
                    let of = |n: u64| n * percent / 100;
                    world.settle(p, i % count, Amounts { usd: of(held.usd), tokens: of(held.tokens), ..held });
                }
            }
            Op::Begin(tick) => drop(world.begin(p, tick)),
            Op::Apply => world.apply(p),
            Op::Answer => world.answer(p),
            Op::Lose => world.lose(p),
            Op::Exchange(tick) => world.exchange(p, tick),
            Op::Pass(ms) => world.pass(ms),
            Op::Kill if world.procs.len() > 1 => self.killed.push(world.kill(p)),
            Op::Start if world.procs.len() < 4 => world.start(),
            Op::Kill | Op::Start => {}
            Op::Forget => {
                if world.procs[p].scope.is_idle() {
                    world.procs[p].scope = world.new_scope();
                }
            }
            Op::Limit(limit) => {
                self.lowered |= limit < world.limits.of(USD).unwrap();
                self.most = self.most.max(limit);
                world.limit(USD, Some(limit));
            }
            Op::Lift => {
                let (limits, zone, ms) = (world.limits.clone(), world.zone.clone(), world.now(p).unix_ms);
                let scope = &mut world.procs[p].scope;
                scope.configure(Limits::default(), zone.clone(), ms);
                scope.configure(limits, zone, ms);
            }
            Op::ClockBack => world.store_ms = (world.store_ms - 3_600_000).max(super::world::NOON - 11 * 3_600_000),
            Op::LoseStore => self.lose_store(),
        }
    }

    fn lose_store(&mut self) {
        for quota in BOOKS {
            let now = self.world.standing(quota);
            let seen = self.world.procs.iter().map(|p| p.seen_leased(quota)).sum::<u64>();
            let count = |amounts: &mut Amounts, n| match quota {
                USD => amounts.usd += n,
                _ => amounts.tokens += n,
            };
            count(&mut self.forgotten, now.spent + now.leased + now.reserved);
            count(&mut self.mistaken, seen);
        }
        self.world.lose_store();
    }

    fn check(&self) {
        for quota in BOOKS {
            let limit = if quota == USD { self.most } else { self.world.limits.of(quota).unwrap() };
            let everybody = || self.world.procs.iter().chain(&self.killed);
            let over: u64 = everybody().map(|p| p.over.of(quota)).sum();
            let spent: u64 = everybody().map(|p| p.spent.of(quota)).sum();
            let reserved: u64 = everybody().map(|p| p.reserved(quota)).sum();
            let headroom = |p: &Proc| p.known(quota).map_or(0, |k| k.slice.headroom());
            let leased: u64 = self.world.procs.iter().map(headroom).sum();
            let forgotten = self.forgotten.of(quota);
            assert!(spent + reserved + leased <= limit + over + forgotten, "{quota:?}: {spent} {reserved} {leased}");
            let now = self.world.standing(quota);
            let sum = now.spent + now.reserved + now.leased + now.free;
            if over == 0 && forgotten == 0 && !(self.lowered && quota == USD) {
                assert_eq!(sum, self.world.limits.of(quota).unwrap(), "{quota:?} {now:?}");
            }
            assert!(sum < u64::MAX / 2, "{quota:?} {now:?}");
        }
    }

    /// Everybody who lives settles and reports, and nobody asks for more.
    fn end(&mut self) {
        for p in 0..self.world.procs.len() {
            self.world.lose(p);
            self.world.settle_all(p);
        }
        // Somebody looks now and then: a clock that was set back, an expired lease are seen in an exchange.
        for _ in 0..3 {
            let now = self.world.now(0).instant;
            let _ = self.world.procs[0].scope.look(now);
            self.world.quiet(40);
        }
        self.check();
        for quota in BOOKS {
            let now = self.world.standing(quota);
            assert_eq!((now.reserved, now.leased), (0, 0), "{quota:?} {now:?}");
            let living: u64 = self.world.procs.iter().map(|p| p.spent.of(quota)).sum();
            let killed = |p: &Proc| (p.spent.of(quota) + p.reserved(quota)).saturating_sub(p.over.of(quota));
            let least = living + self.killed.iter().map(killed).sum::<u64>();
            let most = living + self.killed.iter().map(|p| p.claim(quota)).sum::<u64>();
            let forgotten = self.forgotten.of(quota);
            assert!(now.spent + forgotten >= least, "{quota:?} {now:?}: at least {least}");
            assert!(now.spent <= most + self.mistaken.of(quota), "{quota:?} {now:?}: at most {most}");
            for p in &self.world.procs {
                assert!(p.scope.is_idle(), "{} {quota:?}: {:?}", p.holder, p.scope);
            }
        }
        // And then nobody says a word any more.
        let before = self.world.exchanges;
        self.world.quiet(60);
        assert_eq!(self.world.exchanges, before, "somebody does not come to rest");
    }
}

fn run(processes: usize, ops: &[(usize, Op)]) {
    let mut truth = Truth::new(processes);
    truth.check();
    for (at, op) in ops {
        truth.step(*at, op);
        truth.check();
    }
    truth.end();
}

proptest! {
    /// Crashes, slowness, lost answers, clocks: nothing is overspent and all is accounted for.
    #[test]
    fn budgets_are_conserved(
        processes in 1..4usize,
        ops in prop::collection::vec((0..12usize, op(false)), 1..120),
    ) {
        run(processes, &ops);
    }

    /// The same where the store forgets, and limits go up and down.
    #[test]
    fn a_lost_store_costs_no_more_than_what_nobody_knows(
        processes in 1..4usize,
        ops in prop::collection::vec((0..12usize, op(true)), 1..120),
    ) {
        run(processes, &ops);
    }
}

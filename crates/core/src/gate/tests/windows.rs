//! Windows that turn, limits that come, go and change, thresholds: over processes, restarts and clocks.

use super::super::*;
use super::world::{NOON, World};
use jiff::tz::TimeZone;

const DAY: Quota = Quota::Usd(Window::Day);
const HOUR: u64 = 3_600_000;

fn usd(usd: u64) -> Amounts {
    Amounts { usd, tokens: 1, requests: 1, concurrency: 0 }
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Spends in one go.
fn spend(world: &mut World, p: usize, n: u64) -> bool {
    let fits = world.admit(p, usd(n)).is_ok();
    world.settle_all(p);
    fits
}

/// A world whose clock shows `now` in `zone`, with a budget of 1,000 a day, a week and a month.
fn at_time(now: &str, zone: &str, processes: usize) -> World {
    let budgets = Window::ALL.map(|w| (Quota::Usd(w), 1_000));
    let mut world = World::new(0, &budgets);
    (world.store_ms, world.zone) = (at(now), TimeZone::get(zone).unwrap());
    (0..processes).for_each(|_| world.start());
    world
}

fn first_days(world: &World) -> Vec<String> {
    world.procs[0].scope.known().map(|k| k.part.period.unwrap().first.to_string()).collect()
}

#[test]
fn windows_turn_at_the_operators_midnight() {
    // Each a second before a midnight: whether day, week and month turn with it.
    let cases = [
        ("2026-11-26T22:59:59Z", "Europe/Berlin", [true, false, false]), // Thursday to Friday
        ("2026-11-29T23:59:59Z", "UTC", [true, true, false]),            // Sunday to Monday
        ("2026-11-30T14:59:59Z", "Asia/Tokyo", [true, false, true]),     // Monday to Tuesday the first
        ("2027-03-01T04:59:59Z", "America/New_York", [true, true, true]), // Sunday to Monday the first
        ("2026-10-25T22:59:59Z", "Europe/Berlin", [true, true, false]),  // after 25 hours
        ("2026-03-29T21:59:59Z", "Europe/Berlin", [true, true, false]),  // after 23 hours
        ("2018-11-04T02:59:59Z", "America/Sao_Paulo", [true, false, false]), // midnight itself is skipped
    ];
    for (before, zone, turns) in cases {
        let mut world = at_time(before, zone, 2);
        assert!(spend(&mut world, 0, 600), "{before}");
        assert!(!spend(&mut world, 1, 600), "{before}");
        let then = first_days(&world);
        world.pass(1_000);
        let fits = turns.iter().all(|t| *t);
        assert_eq!(spend(&mut world, 0, 600), fits, "{before}: a budget that did not turn holds");
        let turned: Vec<bool> = first_days(&world).iter().zip(&then).map(|(now, then)| now > then).collect();
        assert_eq!(turned, turns, "{before}");
    }
}

#[test]
fn a_window_is_never_entered_twice() {
    let mut world = at_time("2026-11-26T23:59:59Z", "UTC", 2);
    assert!(spend(&mut world, 0, 300) && spend(&mut world, 1, 300));
    world.pass(1_000);
    assert!(spend(&mut world, 0, 100) && spend(&mut world, 1, 100));
    // The clock goes back over midnight, and on through it once more.
    for _ in 0..2 {
        world.store_ms -= HOUR as i64;
        assert!(spend(&mut world, 0, 50), "the new day goes on");
        assert_eq!(first_days(&world)[0], "2026-11-27");
        // Limits that are taken away and come back do not bring yesterday back.
        let limits = world.limits.clone();
        let (zone, ms) = (world.zone.clone(), world.store_ms);
        world.procs[0].scope.configure(Limits::default(), zone.clone(), ms);
        world.procs[0].scope.configure(limits, zone, ms);
        assert_eq!(first_days(&world)[0], "2026-11-27");
        world.pass(HOUR);
    }
    world.quiet(60);
    assert_eq!(world.standing(DAY).spent, 300);
    assert!(!spend(&mut world, 0, 701));
}

#[test]
fn reservations_settle_in_the_window_that_they_were_made_in() {
    let mut world = at_time("2026-11-30T23:59:59Z", "UTC", 2);
    assert!(world.admit(0, usd(400)).is_ok());
    assert!(world.admit(1, usd(400)).is_ok());
    world.pass(1_000);
    assert!(world.admit(0, usd(10)).is_ok());
    (0..2).for_each(|p| world.settle_all(p));
    world.quiet(60);
    assert_eq!(world.standing(DAY).spent, 10);
    assert_eq!(world.standing(Quota::Usd(Window::Month)).spent, 10);
    assert_eq!(world.standing(Quota::Usd(Window::Week)).spent, 810);
    world.store_ms = at("2026-11-30T23:00:00Z");
    let yesterday = [DAY, Quota::Usd(Window::Month)].map(|q| world.standing(q));
    assert!(yesterday.iter().all(|s| s.spent == 800 && s.reserved == 0 && s.leased == 0), "{yesterday:?}");
    assert!(world.procs.iter().all(|p| p.scope.is_idle()), "old windows are forgotten");
}

#[test]
fn another_time_zone_leaves_no_reservation_behind_and_no_budget_twice() {
    for zone in ["Pacific/Kiritimati", "America/Los_Angeles", "UTC"] {
        let mut world = at_time("2026-11-26T12:30:00Z", "Europe/Berlin", 1);
        assert!(world.admit(0, usd(400)).is_ok());
        let zone = TimeZone::get(zone).unwrap();
        world.zone = zone.clone();
        let (limits, ms) = (world.limits.clone(), world.store_ms);
        world.procs[0].scope.configure(limits, zone, ms);
        assert!(world.admit(0, usd(300)).is_ok());
        world.settle_all(0);
        world.quiet(60);
        assert!(world.procs[0].scope.is_idle());
        assert_eq!(world.standing(Quota::Usd(Window::Week)).spent, 700, "{:?}", world.zone);
        assert!(!spend(&mut world, 0, 301));
    }
}

#[test]
fn a_limit_below_what_is_spent_closes_at_once_and_nothing_wraps() {
    let mut world = World::new(2, &[(DAY, 1_000)]);
    assert!(world.admit(0, usd(300)).is_ok() && spend(&mut world, 1, 300));
    world.limit(DAY, Some(200));
    for p in 0..2 {
        let refused = world.admit(p, usd(1)).expect_err("closed");
        assert_eq!((refused.limit, refused.need), (200, 1));
        assert!(refused.spent <= 1_000, "{refused:?}");
    }
    world.settle_all(0);
    world.quiet(60);
    let now = world.standing(DAY);
    assert_eq!((now.spent, now.free, now.leased, now.reserved), (600, 0, 0, 0));
    world.limit(DAY, Some(0));
    assert!(!spend(&mut world, 0, 1));
    world.limit(DAY, Some(u64::MAX / 2));
    assert!(spend(&mut world, 0, 1_000_000) && spend(&mut world, 1, u64::MAX / 4));
    assert!(!spend(&mut world, 0, u64::MAX / 4 + 1));
    world.quiet(60);
    assert_eq!(world.standing(DAY).spent, 1_000_600 + u64::MAX / 4);
}

#[test]
fn a_limit_of_nothing_refuses_everything() {
    let quotas =
        [DAY, Quota::Tokens(Window::Week), Quota::RequestsPerMinute, Quota::TokensPerMinute, Quota::Concurrency];
    for quota in quotas {
        let mut world = World::new(1, &[(quota, 0)]);
        let refused = world.admit(0, Amounts { concurrency: 1, ..usd(1) }).expect_err("nothing is allowed");
        assert_eq!((refused.bound, refused.limit), (Bound::Quota(quota), 0));
        assert_eq!(world.exchanges, 0, "that needs no store");
    }
}

#[test]
fn what_is_billed_without_having_been_foreseen_is_charged() {
    let mut world = World::new(1, &[(DAY, 1_000)]);
    assert!(world.admit(0, Amounts { usd: 0, ..usd(0) }).is_ok());
    world.settle(0, 0, usd(70));
    world.quiet(2);
    assert_eq!(world.standing(DAY).spent, 70);
}

#[test]
fn a_limit_that_comes_back_within_its_window_remembers_what_was_spent() {
    let mut world = World::new(1, &[(DAY, 1_000)]);
    assert!(spend(&mut world, 0, 600));
    world.limit(DAY, None);
    world.quiet(60);
    assert!(world.procs[0].scope.is_idle(), "nothing is remembered here");
    assert!(spend(&mut world, 0, 5_000), "unlimited");
    world.limit(DAY, Some(1_000));
    assert!(!spend(&mut world, 0, 401));
    assert!(spend(&mut world, 0, 400));
    world.quiet(2);
    assert_eq!(world.standing(DAY).spent, 1_000);
}

#[test]
fn each_threshold_is_raised_once_a_window() {
    let mut world = World::new(3, &[(DAY, 1_000)]);
    for day in 0..2 {
        world.raised.clear();
        for i in 0..10 {
            assert!(spend(&mut world, i % 3, 94), "{day} {i}");
            world.quiet(1);
            if i == 5 {
                world.kill(1);
                world.start();
            }
        }
        world.quiet(60);
        let raised: Vec<u16> = world.raised.iter().map(|(_, t)| *t).collect();
        assert_eq!(raised, THRESHOLDS, "day {day}");
        world.pass(24 * HOUR);
    }
    // Two at once, and not again where the limit goes up and the share falls.
    world.raised.clear();
    assert!(spend(&mut world, 0, 800));
    world.quiet(1);
    world.limit(DAY, Some(4_000));
    world.quiet(1);
    assert!(spend(&mut world, 0, 1_300));
    world.quiet(1);
    let raised: Vec<u16> = world.raised.iter().map(|(_, t)| *t).collect();
    assert_eq!(raised, [5_000, 7_500]);
}

#[test]
fn a_book_of_a_ledger_and_what_others_have_seen_count_nothing_twice() {
    let terms = Terms { kind: Kind::Budget, limit: 1_000, ttl_ms: 10, thresholds: &[] };
    let spent = |book: &Book| book.standing(Kind::Budget, 1_000, NOON).spent;
    let report = |book: &mut Book, holder, settled| {
        book.exchange(&terms, NOON, holder, &Ask { settled, idle: true, ..Ask::default() });
    };
    let mut seen = Book::opened(1, 20);
    report(&mut seen, "a", 100);
    report(&mut seen, "b", 50);
    // The store is lost; a process that knows nothing opens the book with what the ledger says.
    let mut book = Book::opened(2, 170);
    report(&mut book, "c", 5);
    assert_eq!(spent(&book), 175);
    book.restore(&seen);
    assert_eq!(spent(&book), 175);
    book.restore(&seen);
    report(&mut book, "a", 110);
    assert_eq!(spent(&book), 185);
}

#[test]
fn accounts_of_a_crowd_are_put_together_and_none_is_counted_twice() {
    let mut world = World::new(1, &[(DAY, 1_000_000)]);
    world.store_ms -= 11 * HOUR as i64;
    assert!(spend(&mut world, 0, 7));
    world.quiet(60);
    let idle = world.procs.remove(0);
    for _ in 0..200 {
        world.start();
        assert!(spend(&mut world, 0, 10));
        world.quiet(40);
        world.kill(0);
        world.pass(60_000);
    }
    // The first was there all along, and idle.
    world.procs.push(idle);
    assert!(spend(&mut world, 0, 5));
    world.quiet(60);
    assert_eq!(world.standing(DAY).spent, 2_012);
    let body = serde_json::to_string(&world.book(DAY)).unwrap();
    assert!(body.len() < 130 * 60, "{} bytes", body.len());
}

/// Found in review: what was wanted of a window that turned meanwhile was wanted of nobody.
#[test]
fn whoever_waits_over_midnight_asks_of_the_new_day() {
    let mut limits = Limits::default();
    limits.set(DAY, Some(1_000));
    let (id, zone) = (ScopeId::Global, jiff::tz::TimeZone::UTC);
    let mut scope = Scope::new(id, limits, zone, NOON);
    let (need, now) = (Amounts { usd: 100, ..Amounts::default() }, crate::units::Instant(1));
    let waits = scope.wait_for(&need, now, None);
    assert_eq!(scope.wait_for(&need, now, waits), waits, "once");
    scope.turn(NOON + 24 * HOUR as i64);
    scope.wait_for(&need, now, waits);
    let due = scope.due(now, NOON + 24 * HOUR as i64, false);
    assert_eq!(due.iter().map(|d| d.ask.need).collect::<Vec<_>>(), [100]);
    assert_eq!(due[0].part.period.map(|p| p.start_ms), Some(NOON + 12 * HOUR as i64));
}

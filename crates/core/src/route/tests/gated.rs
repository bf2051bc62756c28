//! What the gate has to do with deciding: prices that must be known, worst cases that do not fit, clamping, pacing.

use super::*;

/// A dear, good model and a cheap, fair one, with windows and caps so that worst cases are known: 1000 tokens in, a tenth
/// and 4 more, and 1000 out.
const MODELS: &str = "
models:
  dear:  { endpoints: [{ provider: p }], price: { input: 10, output: 100 }, quality: { default: 0.9 }, max_output_tokens: 1000, context_window: 100000 }
  cheap: { endpoints: [{ provider: p }], price: { input: 0.1, output: 1 }, quality: { default: 0.7 }, max_output_tokens: 1000, context_window: 100000 }
routes:
  best: { strategy: quality, candidates: [dear, cheap] }
  paced: { strategy: value, lambda: 0, pacing: true, candidates: [dear, cheap] }
";
/// 1104 tokens in and 1000 out, in nano-dollars.
const DEAR: u64 = 1104 * 10_000 + 1000 * 100_000;

fn tight(room_usd: u64) -> World {
    let mut world = World::of(MODELS);
    (world.gated, world.room_usd) = (Gated { money: true, tight: true, clamp: false }, Some(room_usd));
    world
}

#[test]
fn a_candidate_whose_worst_case_does_not_fit_is_excluded() {
    assert_eq!(tight(DEAR).shown(&ask("best")), "route quality: dear cheap");
    let world = tight(DEAR - 1);
    let decision = world.decide(&ask("best"));
    assert_eq!(world.show(&decision), "route quality: cheap | dear:budget");
    let detail = decision.excluded[0].reason.to_string();
    for part in
        ["`usd_per_day` of team/blue is $5.00", "this request may need $0.11104", "resets at 2026-11-20T13:00:00Z"]
    {
        assert!(detail.contains(part), "{detail}");
    }
}

#[test]
fn the_input_is_counted_exactly_where_it_decides() {
    // 104 tokens fewer than estimated.
    let world = tight(DEAR - 100 * 10_000);
    let request = asked("best", |r| r.exact = 900);
    assert_eq!(world.shown(&request), "route quality: dear cheap");
    assert_eq!(request.exact_calls.get(), 1);
}

#[test]
fn the_requests_own_cap_and_its_choices_are_the_worst_case() {
    let world = tight(1104 * 10_000 + 20 * 100_000);
    assert_eq!(world.shown(&asked("best", |r| r.profile.max_output_tokens = Some(20))), "route quality: dear cheap");
    let two = asked("best", |r| (r.profile.max_output_tokens, r.profile.n) = (Some(20), 2));
    assert_eq!(world.shown(&two), "route quality: cheap | dear:budget");
}

#[test]
fn nothing_that_fits_is_a_refusal_with_the_reset() {
    let decision = tight(1).decide(&ask("best"));
    let refusal = decision.refusal.expect("nothing fits");
    assert_eq!((refusal.kind, refusal.retry_after), (RefusalKind::BudgetExceeded, Some(Duration::from_secs(3600))));
    assert!(refusal.message.contains("team/blue") && refusal.message.contains("$5.00"), "{}", refusal.message);
    let pin = tight(1).decide(&ask("dear"));
    assert_eq!(pin.refusal.map(|r| r.kind), Some(RefusalKind::BudgetExceeded), "a pin is refused, never replaced");
}

#[test]
fn without_a_price_no_money_is_spent() {
    let mut world = World::of("models: { m: { endpoints: [{ provider: p }] } }");
    assert_eq!(world.shown(&ask("m")), "pin pin: m");
    world.gated.money = true;
    assert_eq!(world.shown(&ask("m")), "pin pin: | m:no_price ! ConstraintViolated");
}

#[test]
fn clamping_takes_the_cheapest_that_fits() {
    let mut world = tight(DEAR);
    world.gated.clamp = true;
    assert_eq!(world.shown(&ask("best")), "route quality: cheap dear", "past the last threshold");
    let mut world = World::of(&MODELS.replace("candidates: [dear, cheap]", "candidates: [dear, cheap, mid]").replace(
        "routes:",
        "  mid: { endpoints: [{ provider: p }], price: { input: 5, output: 5 }, quality: { default: 0.8 }, \
         max_output_tokens: 1000, context_window: 100000 }\nroutes:",
    ));
    (world.gated.tight, world.room_usd) = (true, Some(DEAR - 1));
    assert_eq!(world.shown(&ask("best")), "route quality: mid cheap | dear:budget", "deny keeps the order");
    world.on_exhausted = OnExhausted::Clamp;
    assert_eq!(world.shown(&ask("best")), "route quality: cheap mid | dear:budget");
}

#[test]
fn pacing_moves_the_choice_and_never_a_floor() {
    let mut world = World::of(MODELS);
    assert_eq!(world.shown(&ask("paced")), "route value: dear cheap", "λ of the policy");
    world.lambda = Some(1000.0);
    assert_eq!(world.shown(&ask("paced")), "route value: cheap dear");
    let floor = asked("paced", |r| r.hints.min_quality = Some(0.8));
    assert_eq!(world.shown(&floor), "route value: dear | cheap:quality_floor");
    assert_eq!(world.shown(&ask("best")), "route quality: dear cheap", "only what is paced follows it");
}

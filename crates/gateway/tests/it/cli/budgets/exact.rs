//! A thousand requests at once against a budget for a hundred: exactly what fits is served, whatever goes wrong meanwhile.

use super::crowd::{crowd, leave};
use super::provider::{CUT, OUTPUT, Provider};
use super::{COST, Stands, at_rest, body, config, dollars};
use crate::cli::gateway::{Gateway, wait_until};

const CROWD: usize = 1_000;
const FIT: u64 = 100;
const LIMIT: u64 = FIT * COST;

fn gateway(provider: &Provider, storage: &str) -> Gateway {
    Gateway::start(&config(provider, storage, &format!("gate: {{ global: {{ usd_per_day: {} }} }}", dollars(FIT))))
}

/// How the budget stands in the end, whose spend must be what was billed.
#[track_caller]
fn settled(gateway: &Gateway, provider: &Provider) -> Stands {
    let stands = at_rest(gateway, "global", "usd_per_day");
    assert_eq!((stands.spent, stands.lost), (provider.output() * 1_000, 0), "{stands:?}");
    assert!(stands.spent <= LIMIT, "{stands:?}");
    stands
}

#[test]
fn of_a_thousand_at_once_exactly_those_are_served_that_fit() {
    for (storage, stream) in [("sqlite:waypost.db", false), ("memory", true)] {
        let provider = Provider::start();
        let gateway = gateway(&provider, storage);
        let counts = crowd(gateway.address, CROWD, |_| body("fine", stream));
        let good = if stream { "done" } else { "" };
        let expected = [((200, good.to_owned()), 100), ((429, "budget_exceeded".to_owned()), 900)];
        assert_eq!(counts, expected.into());
        assert_eq!((provider.calls("fine"), provider.output()), (FIT, FIT * OUTPUT));
        let stands = settled(&gateway, &provider);
        assert_eq!((stands.spent, stands.leased, stands.left), (LIMIT, 0, 0));
    }
}

/// What a stream had brought before it broke off is charged, the rest of its reservation comes back.
#[test]
fn streams_that_are_cut_are_charged_for_what_they_brought() {
    let provider = Provider::start();
    let gateway = gateway(&provider, "memory");
    let counts = crowd(gateway.address, CROWD, |i| body(if i % 2 == 0 { "cut" } else { "fine" }, true));
    assert!(counts.keys().all(|(status, said)| *status == 429 || said == "done" || said == "broke off"), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), CROWD);
    let stands = settled(&gateway, &provider);
    assert_eq!(provider.output(), provider.calls("cut") * CUT + provider.calls("fine") * OUTPUT);
    // Room for another whole one would have been given to one of those that were refused, or is there now.
    let later = crowd(gateway.address, 100, |_| body("fine", true));
    assert_eq!(later.get(&(200, "done".to_owned())).copied().unwrap_or(0) as u64, stands.left / COST);
    assert!(settled(&gateway, &provider).left < COST);
}

/// An answer that breaks off was made, and is charged in full; the next model's is reserved anew.
#[test]
fn answers_that_break_off_are_charged_and_their_fallbacks_too() {
    let provider = Provider::start();
    let gateway = gateway(&provider, "memory");
    let counts = crowd(gateway.address, CROWD, |_| body("broken", false));
    let of = |status: u16| counts.iter().filter(|((s, _), _)| *s == status).map(|(_, n)| *n as u64).sum::<u64>();
    assert_eq!(of(200) + of(429) + of(502), CROWD as u64, "{counts:?}");
    assert_eq!(of(200), provider.calls("fine"), "{counts:?}");
    let stands = settled(&gateway, &provider);
    assert_eq!(stands.left, 0, "every token of it was asked for: {counts:?}");
}

#[test]
fn fallbacks_reserve_again() {
    let provider = Provider::start();
    let gateway = gateway(&provider, "memory");
    let counts = crowd(gateway.address, CROWD, |_| body("shaky", false));
    let good = counts.get(&(200, String::new())).copied().unwrap_or(0) as u64;
    assert_eq!((good, provider.calls("fine")), (FIT, FIT), "{counts:?}");
    let refused = [(429, "budget_exceeded".to_owned()), (502, "upstream_error".to_owned())];
    assert!(counts.keys().all(|k| *k == (200, String::new()) || refused.contains(k)), "{counts:?}");
    assert!(provider.calls("failing") >= FIT, "each was tried first where it is cheapest");
    assert_eq!(settled(&gateway, &provider).spent, LIMIT);
}

#[test]
fn clients_that_leave_are_charged_for_what_was_made_for_them() {
    for stream in [false, true] {
        let provider = Provider::start();
        let gateway = gateway(&provider, "memory");
        let refused = CROWD as u64 - FIT;
        let left = leave(gateway.address, CROWD, refused, &body("held", stream), || provider.held() == FIT);
        assert_eq!(left, refused);
        wait_until("the provider is left", || provider.held() == 0);
        assert_eq!(provider.calls("held"), FIT);
        let stands = settled(&gateway, &provider);
        assert_eq!(stands.spent, FIT * 1_000 * if stream { CUT } else { OUTPUT });
        // What came back is there for others.
        let later = crowd(gateway.address, CROWD, |_| body("fine", false));
        let served = later.get(&(200, String::new())).copied().unwrap_or(0) as u64;
        assert_eq!(served, stands.left / COST, "{later:?}");
        settled(&gateway, &provider);
    }
}

#[test]
fn a_model_without_a_price_is_refused_where_money_is_limited() {
    let provider = Provider::start();
    let gateway = gateway(&provider, "memory");
    let counts = crowd(gateway.address, 100, |i| body("priceless", i % 2 == 0));
    assert_eq!(counts, [((400, "constraint_violated".to_owned()), 100)].into());
    let explained = gateway.post("/v1/route", &body("priceless", false)).json();
    assert_eq!(explained["excluded"][0]["reason"], "no_price", "{explained}");
    assert_eq!((provider.calls("priceless"), settled(&gateway, &provider).spent), (0, 0));
}

//! A paced route: the price of a dollar moves with its budget, can be seen, and changes who answers.

use crate::harness::{Gateway, ask, soon};
use serde_json::Value;

const CONFIG: &str = "
providers: { sim: { dialect: simulated, simulated: { first_token: 0ms, per_token: 0ms, jitter: 0, output_tokens: 20 } } }
models:
  dear:  { endpoints: [{ provider: sim }], price: { input: 10, output: 100 }, quality: { default: 0.9 }, max_output_tokens: 100 }
  cheap: { endpoints: [{ provider: sim }], price: { input: 0.01, output: 0.1 }, quality: { default: 0.7 }, max_output_tokens: 100 }
routes:
  paced: { strategy: value, lambda: 0, pacing: true, candidates: [dear, cheap] }
  free:  { strategy: value, lambda: 0, candidates: [dear, cheap] }
gate: { routes: { paced: { usd_per_day: 0.5 } } }
";

/// What `/admin/budgets` says of the route's pace, once it was looked at.
async fn pace(gateway: &Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    soon("the pace of the route", async {
        loop {
            let shown = gateway.get("/admin/budgets").await.json();
            let pace = &shown["pacing"][0];
            if pace.is_object() && wanted(pace) {
                return pace.clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn spending_too_fast_makes_the_dollar_dearer_and_the_choice_cheaper() {
    let gateway = Gateway::start(CONFIG);
    let first = gateway.post(&ask("route/paced")).await;
    assert_eq!(first.model(), "dear", "{first:?}");
    let before = pace(&gateway, |_| true).await;
    assert_eq!((&before["scope"], &before["budget"]), (&"route/paced".into(), &"usd_per_day".into()));
    // Some cents in a moment, of half a dollar for the day.
    for _ in 0..30 {
        gateway.post(&ask("route/paced")).await;
    }
    let lambda = |pace: &Value| pace["lambda"].as_f64().unwrap();
    let spent = |pace: &Value| pace["spent_usd"].as_f64().unwrap();
    let after = pace(&gateway, |now| lambda(now) > lambda(&before) && spent(now) > 0.03).await;
    assert!(after["usd_per_hour"].as_f64() > after["planned_usd_per_hour"].as_f64(), "{after}");
    assert_eq!(gateway.post(&ask("route/free")).await.model(), "dear", "what is not paced does not follow");
    let shown = gateway.get("/admin/budgets").await.json();
    assert_eq!(shown["scopes"].as_array().unwrap().len(), 1, "{shown}");
}

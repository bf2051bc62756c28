//! Hard budgets from outside: the real binary before a provider that bills what it generates. What was billed is known apart
//! from Waypost's books, and never exceeds the limit.

mod crowd;
mod exact;
mod loss;
mod provider;
mod refusals;
mod replicas;

use super::gateway::{Gateway, wait_until};
use super::http::Client;
use provider::{OUTPUT, Provider};
use serde_json::Value;
use std::time::Duration;

/// Output costs a dollar a million, input nothing: what a request may cost at worst is what it costs.
const COST: u64 = OUTPUT * 1_000;

/// Models that do what their names say, and what else a test wants.
fn config(provider: &Provider, storage: &str, more: &str) -> String {
    let at = provider.address;
    format!(
        r#"
server: {{ listen: 127.0.0.1:0, workers: 2 }}
storage: {storage}
lease_ttl: 1s
execution: {{ max_retry_wait: 0s, breaker: {{ consecutive_failures: 1000000, error_rate: 1.0, min_requests: 1000000 }} }}
providers:
  p: {{ dialects: [openai, responses], base_url: "http://{at}/v1" }}
  a: {{ dialect: anthropic, base_url: "http://{at}" }}
models:
  fine: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 1 }} }}
  dear: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 2 }} }}
  cut: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 1 }} }}
  held: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 1 }} }}
  failing: {{ endpoints: [{{ provider: p }}], price: {{ input: 0, output: 0.5 }} }}
  priceless: {{ endpoints: [{{ provider: p }}] }}
  claude: {{ endpoints: [{{ provider: a }}], price: {{ input: 0, output: 1 }}, max_output_tokens: 60 }}
routes:
  shaky: {{ strategy: cost, candidates: [failing, fine] }}
  broken: {{ strategy: cost, candidates: [cut, fine] }}
  two: {{ strategy: cost, candidates: [fine, dear] }}
{more}
"#
    )
}

/// `usd_per_day` for so many requests.
fn dollars(requests: u64) -> String {
    format!("{:.9}", (requests * COST) as f64 / 1e9)
}

/// A request for a model whose worst case is what it uses.
fn body(model: &str, stream: bool) -> String {
    super::http::chat(model, "hello", serde_json::json!({"max_tokens": OUTPUT, "stream": stream}))
}

/// One budget of one scope as `/admin/budgets` shows it; amounts in the smallest unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stands {
    spent: u64,
    lost: u64,
    reserved: u64,
    leased: u64,
    left: u64,
}

/// How a budget stands, once the store answers.
#[track_caller]
fn stands(gateway: &Gateway, scope: &str, budget: &str) -> Stands {
    let mut found = None;
    wait_until("budgets are shown", || {
        let reply = gateway.get("/admin/budgets");
        found = (reply.status == 200).then(|| reply.json());
        found.is_some()
    });
    let found = found.unwrap();
    let of = |list: &Value, key: &str, name: &str| {
        let list = list.as_array().unwrap();
        list.iter().find(|x| x[key] == name).unwrap_or_else(|| panic!("{name} is not among {list:?}")).clone()
    };
    let budget_of = of(&of(&found["scopes"], "scope", scope)["budgets"], "budget", budget);
    let unit = if budget.starts_with("usd") { 1e9 } else { 1.0 };
    let n = |key: &str| (budget_of[key].as_f64().unwrap() * unit).round() as u64;
    Stands { spent: n("spent"), lost: n("lost"), reserved: n("reserved"), leased: n("leased"), left: n("left") }
}

/// Waits until nothing is reserved or leased any more; how the budget then stands.
#[track_caller]
fn at_rest(gateway: &Gateway, scope: &str, budget: &str) -> Stands {
    let mut now = stands(gateway, scope, budget);
    wait_until("nothing is reserved", || {
        std::thread::park_timeout(Duration::from_millis(20));
        now = stands(gateway, scope, budget);
        let process = gateway.get("/admin/budgets").json()["process"].clone();
        now.reserved == 0 && process["reservations"] == 0
    });
    now
}

/// Status and code of an answer.
fn told(reply: &super::http::Reply) -> (u16, String) {
    let code = if reply.status == 200 { Value::Null } else { reply.json()["error"]["code"].clone() };
    (reply.status, code.as_str().unwrap_or_default().to_owned())
}

/// One request; status and code.
fn ask(client: &mut Client, model: &str) -> (u16, String) {
    told(&client.chat(&[], &body(model, false)))
}

//! `waypost budget status`: what is limited, spent, reserved and left. It reads the books and consumes nothing.

use super::place::{Look, PlaceArgs, table};
use super::{Failure, pretty, print};
use clap::{Args, Subcommand};
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What is limited, spent, reserved and left, by scope. Consumes nothing
    Status {
        #[command(flatten)]
        place: PlaceArgs,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &BudgetArgs) -> Result<(), Failure> {
    let What::Status { place, json } = &args.what;
    let all = place.look(Look::Budgets)?;
    if *json { print(&(pretty(&all) + "\n")) } else { print(&listed(&all)) }
}

fn listed(all: &Value) -> String {
    let scopes = all["scopes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let budgets = |scope: &Value| scope["budgets"].as_array().cloned().unwrap_or_default();
    let row = |scope: &Value, budget: &Value| {
        let name = budget["budget"].as_str().unwrap_or_default();
        let amount = |field: &str| match budget[field].as_f64() {
            None => String::new(),
            Some(n) if name.starts_with("usd") => format!("${n:.6}"),
            Some(n) => format!("{n:.0}"),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut row = vec![text(&scope["scope"]), name.to_owned()];
        row.extend(["limit", "spent", "reserved", "leased", "left", "forecast"].map(amount));
        row.push(text(&budget["resets_at"]));
        row
    };
    let rows: Vec<Vec<String>> =
        scopes.iter().flat_map(|s| budgets(s).iter().map(|b| row(s, b)).collect::<Vec<_>>()).collect();
    if rows.is_empty() {
        return "nothing is limited: see `gate` in the configuration, and `waypost limit set`\n".to_owned();
    }
    let head = ["scope", "budget", "limit", "spent", "reserved", "leased", "left", "forecast", "resets at"];
    let mut out = table(&head, &rows);
    for pace in all["pacing"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let figure = |name: &str| pace[name].as_f64().unwrap_or_default();
        let (scope, budget) = (pace["scope"].as_str().unwrap_or_default(), pace["budget"].as_str().unwrap_or_default());
        out.push_str(&format!(
            "{scope} {budget} is paced: a dollar is worth {:.3} of quality; ${:.6} spent of ${:.6} planned by now\n",
            figure("lambda"),
            figure("spent_usd"),
            figure("planned_usd"),
        ));
    }
    out
}

//! `waypost limit`: limits changed at run time; what the configuration says holds for the rest.

use super::place::{Look, PlaceArgs, limits, pair, short, table};
use super::{Failure, pretty, print};
use crate::control::Command;
use clap::{Args, Subcommand};
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Set what holds for a scope beside its configuration; what was set for it before is replaced
    Set {
        /// `global`, `team/NAME`, `key/ID`, `stage/NAME`, `route/NAME`, `model/NAME` or `tag/NAME=VALUE`
        scope: String,
        /// `usd_per_day=5`, `requests_per_minute=60`, …; `none` lifts a configured limit
        #[arg(required = true, value_name = "NAME=AMOUNT", value_parser = pair)]
        limits: Vec<(String, String)>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Back to the configured limits of a scope
    Unset {
        /// As it was set
        scope: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// What was set, and what holds
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &LimitArgs) -> Result<(), Failure> {
    match &args.what {
        What::Set { scope, limits: pairs, place } => {
            let set = place.change(Command::SetLimits(scope.clone(), limits(pairs)))?;
            print(&format!("{scope}: {}\n", short(&set["limits"])))
        }
        What::Unset { scope, place } => {
            place.change(Command::UnsetLimits(scope.clone()))?;
            print(&format!("{scope}: as configured\n"))
        }
        What::List { place, json } => {
            let all = place.look(Look::Limits)?;
            if *json { print(&(pretty(&all) + "\n")) } else { print(&listed(&all)) }
        }
    }
}

fn listed(all: &Value) -> String {
    let rows = all["limits"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "no limits were set at run time\n".to_owned();
    }
    let row = |row: &Value| ["scope", "limits", "in_force", "changed"].map(|name| short(&row[name])).to_vec();
    table(&["scope", "set", "in force", "changed"], &rows.iter().map(row).collect::<Vec<_>>())
}

//! `waypost audit`: who changed which key or limit, and when.

use super::place::{Look, PlaceArgs, short, table};
use super::{Failure, pretty, print};
use clap::{Args, Subcommand};
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest changes of keys and limits, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        place: PlaceArgs,
        /// JSON, with the state before and after, instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &AuditArgs) -> Result<(), Failure> {
    let What::List { limit, place, json } = &args.what;
    let all = place.look(Look::Audit(*limit))?;
    if *json {
        return print(&(pretty(&all) + "\n"));
    }
    let rows = all["audit"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return print("nothing was changed yet\n");
    }
    let row = |row: &Value| {
        let mut cells = ["time", "actor", "action", "target"].map(|name| short(&row[name])).to_vec();
        cells.push(changed(&row["before"], &row["after"]));
        cells
    };
    print(&table(&["time", "actor", "action", "target", "what"], &rows.iter().map(row).collect::<Vec<_>>()))
}

/// The members that differ, as they are now.
fn changed(before: &Value, after: &Value) -> String {
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (old, new) = (members(before), members(after));
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name}=-"));
    let differs = new.iter().filter(|(name, value)| old.get(*name) != Some(value) && *name != "id" && *name != "scope");
    let differs = differs.map(|(name, value)| match value {
        Value::Object(_) => format!("{name}={{{}}}", short(value)),
        value => format!("{name}={}", short(value)),
    });
    if new.is_empty() { "-".to_owned() } else { differs.chain(gone).collect::<Vec<_>>().join(" ") }
}

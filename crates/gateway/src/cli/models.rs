//! `waypost models`: the registry as a table or as JSON.

use super::{ConfigArg, Failure, file, pretty, print};
use crate::server::facts;
use crate::snapshot::Snapshot;
use serde_json::Value;

pub(super) fn run(arg: &ConfigArg, json: bool) -> Result<(), Failure> {
    let (config, _) = file::load(arg)?;
    let snapshot = Snapshot::build(config, None)?;
    let models: Vec<Value> = snapshot.config.registry.model_ixs().map(|m| facts(&snapshot, m)).collect();
    if json {
        return print(&(pretty(&Value::from(models)) + "\n"));
    }
    let header =
        ["model", "providers", "$/M in", "$/M out", "window", "max out", "quality", "status", "capabilities", "tags"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(models.iter().map(row));
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    print(&rows.iter().map(line).collect::<String>())
}

fn row(model: &Value) -> [String; 10] {
    let facts = &model["waypost"];
    let list = |v: &Value| v.as_array().map(|a| a.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
    let number = |v: &Value| if v.is_null() { "?".to_owned() } else { v.to_string() };
    let prior = if facts["quality_is_prior"] == true { " (prior)" } else { "" };
    [
        model["id"].as_str().unwrap_or_default().to_owned(),
        list(&facts["providers"]).unwrap_or_default(),
        number(&facts["price"]["input"]),
        number(&facts["price"]["output"]),
        number(&facts["context_window"]),
        number(&facts["max_output_tokens"]),
        facts["quality"].as_f64().map_or("?".to_owned(), |q| format!("{q:.2}{prior}")),
        facts["status"].as_str().unwrap_or_default().to_owned(),
        list(&facts["capabilities"]).unwrap_or("?".to_owned()),
        list(&facts["tags"]).unwrap_or_default(),
    ]
}

//! What a run shows: the ranked profile as a table, as JSON, and as configuration; and the outcome file.

use super::journal::Entry;
use indexmap::IndexMap;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use waypost_core::profile;
use waypost_learn::grade::Task;
use waypost_learn::outcome::{Outcome, Row};
use waypost_learn::rank::{TaskProfile, Trial};

/// The outcome file: a line for each task that has an answer, in the order of the tasks.
pub(super) fn outcomes(tasks: &[Task], entries: &[Entry]) -> Result<String, serde_json::Error> {
    let mut of_task: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        of_task.entry(&entry.id).or_default().push(entry);
    }
    let mut out = String::new();
    for task in tasks {
        let Some(entries) = of_task.get(task.id.as_str()) else { continue };
        let outcome = |e: &&Entry| {
            let (input_tokens, output_tokens, cost_usd) = (e.input_tokens, e.output_tokens, e.cost_usd);
            (e.model.clone(), Outcome { score: e.score, input_tokens, output_tokens, cost_usd })
        };
        let mut outcomes: IndexMap<String, Outcome> = entries.iter().map(outcome).collect();
        outcomes.sort_keys();
        let row = Row {
            id: task.id.clone(),
            source: task.source.clone(),
            task: task.task.clone(),
            prompt: task.prompt().to_owned(),
            outcomes,
        };
        out.push_str(&serde_json::to_string(&row)?);
        out.push('\n');
    }
    Ok(out)
}

/// What ranking needs, in the order of the tasks, whichever was answered first.
pub(super) fn trials(tasks: &[Task], entries: &[Entry]) -> Vec<Trial> {
    let places: HashMap<&str, usize> = tasks.iter().enumerate().map(|(at, t)| (t.id.as_str(), at)).collect();
    let mut placed: Vec<(usize, &Entry)> =
        entries.iter().filter_map(|e| Some((*places.get(e.id.as_str())?, e))).collect();
    placed.sort_by_key(|(at, e)| (*at, e.model.as_str()));
    let trial = |(at, e): (usize, &Entry)| Trial {
        task: tasks[at].task.clone(),
        model: e.model.clone(),
        score: e.score,
        success: e.success,
        format: e.format,
        cost_usd: e.cost_usd,
        latency_ms: e.latency_ms,
    };
    placed.into_iter().map(trial).collect()
}

/// For people.
pub(super) fn table(profiles: &[TaskProfile]) -> String {
    let mut out = String::new();
    for profile in profiles {
        let wide = profile.models.iter().map(|m| m.model.len()).max().unwrap_or(0).max(5);
        // Writing to a string does not fail.
        let _ = writeln!(out, "task {}", profile.task);
        let _ = writeln!(
            out,
            "  #  {:wide$}  {:>9}  {:>13}  {:>7}  {:>6}  {:>12}  {:>10}  {:>6}",
            "model", "composite", "quality", "success", "format", "$/answer", "median ms", "n"
        );
        for (place, m) in profile.models.iter().enumerate() {
            let cost = m.cost_usd.map_or("unknown".to_owned(), |usd| format!("{usd:.6}"));
            let latency = m.latency_ms.map_or("-".to_owned(), |ms| format!("{ms:.0}"));
            let error = m.quality_error.map_or(String::new(), |e| format!(" ±{e:.3}"));
            let quality = format!("{:.3}{error}", m.quality);
            let _ = writeln!(
                out,
                "{:>3}  {:wide$}  {:>9.3}  {quality:>13}  {:>6.1}%  {:>6.2}  {cost:>12}  {latency:>10}  {:>6}",
                place + 1,
                m.model,
                m.composite,
                m.success * 100.0,
                m.format,
                m.trials
            );
        }
        out.push('\n');
    }
    out
}

/// For programs.
pub(super) fn json(profiles: &[TaskProfile], yaml: &str, left: &[Value]) -> Value {
    json!({
        "weights": {"quality": 0.60, "success": 0.20, "cost": 0.12, "latency": 0.08},
        "tasks": profiles,
        "missing": left,
        "yaml": yaml,
    })
}

/// Qualities for the configuration's `models:`. Only what the gateway knows goes in: its models, and its kinds of task.
/// Other kinds are named in a comment.
pub(super) fn yaml(profiles: &[TaskProfile], registered: &BTreeSet<String>) -> String {
    let mut models: IndexMap<&str, Vec<String>> = IndexMap::new();
    let mut unknown = BTreeSet::new();
    for profile in profiles {
        if profile::Task::from_name(&profile.task).is_none() {
            unknown.insert(profile.task.as_str());
            continue;
        }
        for m in profile.models.iter().filter(|m| registered.contains(&m.model)) {
            models.entry(&m.model).or_default().push(format!("{}: {:.3}", profile.task, m.quality));
        }
    }
    let mut out = String::new();
    if !models.is_empty() {
        out.push_str("models:\n");
    }
    for (model, qualities) in models {
        // A JSON text is a YAML one, whatever the name has in it.
        let _ = writeln!(out, "  {}: {{ quality: {{ {} }} }}", Value::from(model), qualities.join(", "));
    }
    if !unknown.is_empty() {
        let known = profile::Task::ALL.map(profile::Task::name).join(", ");
        let _ = writeln!(
            out,
            "# left out, for the gateway knows only {known}: {}",
            unknown.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    out
}

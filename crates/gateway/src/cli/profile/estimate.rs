//! What a run would cost, before it does: the gateway explains each call, which counts its input tokens, expects its
//! output tokens and knows the prices, and calls no model.

use super::super::Failure;
use super::Work;
use super::gateway::Gateway;
use futures_util::{StreamExt, stream};
use indexmap::IndexMap;
use serde_json::Value;
use std::fmt::Write;
use waypost_learn::grade::Task;

/// Explanations asked for at once.
const AT_ONCE: usize = 16;

/// A model's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    /// Calls to make.
    pub calls: usize,
    /// Counted.
    pub input_tokens: u64,
    /// Expected.
    pub output_tokens: u64,
    /// US dollars of those calls that have a price.
    pub cost_usd: f64,
    /// Calls without a known price.
    pub unpriced: usize,
    /// Calls that will be refused as things are, with the first reason.
    pub refused: Option<(usize, String)>,
}

/// All models' parts, in the order of the models.
#[derive(Debug, Default)]
pub(super) struct Estimate(IndexMap<String, Part>);

/// Asks the gateway what each call would cost.
///
/// # Errors
/// A name that is no model, and whatever makes every call of a model fail: nothing was spent yet.
pub(super) async fn estimate(gateway: &Gateway, tasks: &[Task], work: &[Work]) -> Result<Estimate, Failure> {
    let asked = work.iter().map(|w| async move { (w, gateway.explain(&tasks[w.task], &w.model).await) });
    let mut answers = stream::iter(asked).buffered(AT_ONCE);
    let mut estimate = Estimate::default();
    while let Some((work, explained)) = answers.next().await {
        let task = &tasks[work.task];
        estimate.add(task, &work.model, &explained?).map_err(|e| vec![e])?;
    }
    Ok(estimate)
}

impl Estimate {
    fn add(&mut self, task: &Task, model: &str, explained: &Value) -> Result<(), String> {
        let part = self.0.entry(model.to_owned()).or_default();
        part.calls += 1;
        let error = &explained["error"];
        if error.is_object() {
            let message = error["message"].as_str().unwrap_or("refused");
            let code = error["code"].as_str().unwrap_or_default();
            let reasons = explained["excluded"].as_array().into_iter().flatten();
            // Nothing that a task has to do with: every call would fail the same way.
            let always = ["offline", "deprecated", "no_price", "not_allowed"];
            let hopeless = reasons.filter_map(|x| x["reason"].as_str()).any(|reason| always.contains(&reason));
            if hopeless || matches!(code, "model_not_found" | "not_allowed" | "invalid_api_key") {
                return Err(format!("{model}: {message}"));
            }
            let refused = part.refused.get_or_insert_with(|| (0, format!("{}: {message}", task.id)));
            refused.0 += 1;
            return Ok(());
        }
        if explained["level"] != "pin" {
            return Err(format!(
                "{model} is no model; `waypost models` lists them. A profile is of one model at a time"
            ));
        }
        let first = &explained["candidates"][0];
        part.input_tokens += first["input_tokens"].as_u64().unwrap_or(0);
        let expected = first["output_tokens"].as_u64().unwrap_or(0);
        part.output_tokens += task.max_output_tokens.map_or(expected, |most| expected.min(most.into()));
        match first["cost_usd"].as_f64() {
            Some(usd) => part.cost_usd += usd,
            None => part.unpriced += 1,
        }
        Ok(())
    }

    /// US dollars of all calls that have a price.
    pub(super) fn usd(&self) -> f64 {
        self.0.values().map(|p| p.cost_usd).sum()
    }

    /// The models of which a price is unknown.
    pub(super) fn unpriced(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, p)| p.unpriced > 0).map(|(m, _)| m.as_str()).collect()
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let wide = self.0.keys().map(String::len).max().unwrap_or(0).max(5);
        let mut out = format!(
            "{:wide$}  {:>7}  {:>12}  {:>13}  {:>12}\n",
            "model", "calls", "input tokens", "output tokens", "expected"
        );
        for (model, part) in &self.0 {
            let cost = if part.unpriced == 0 { format!("${:.4}", part.cost_usd) } else { "price unknown".to_owned() };
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "{model:wide$}  {:>7}  {:>12}  {:>13}  {cost:>12}",
                part.calls, part.input_tokens, part.output_tokens
            );
            if let Some((n, why)) = &part.refused {
                let _ = writeln!(out, "{:wide$}  {n} of them will be refused as things are; the first: {why}", "");
            }
        }
        let unknown = self.unpriced();
        let and = if unknown.is_empty() { String::new() } else { format!(", and what {} cost", unknown.join(", ")) };
        let _ =
            writeln!(out, "expected in all: ${:.4}{and} (input counted, output as the gateway expects it)", self.usd());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_model_stops_and_what_is_refused_once_is_counted() {
        let line = r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":1,"max_output_tokens":5}"#;
        let task = &waypost_learn::grade::read("t", line).expect("a task")[0];
        let mut estimate = Estimate::default();
        let priced = |cost: Value| json!({"level": "pin", "candidates": [{"input_tokens": 10, "output_tokens": 300, "cost_usd": cost}]});
        let refused = json!({"error": {"code": "context_length_exceeded", "message": "too long"}, "excluded": [{"reason": "context_window"}]});
        estimate.add(task, "a", &priced(json!(0.5))).expect("fine");
        estimate.add(task, "a", &refused).expect("fine");
        estimate.add(task, "b", &priced(Value::Null)).expect("fine");
        assert_eq!((estimate.usd(), estimate.unpriced()), (0.5, vec!["b"]));
        let table = estimate.table();
        for said in ["1 of them will be refused", "1: too long", "price unknown", "$0.5000, and what b cost"] {
            assert!(table.contains(said), "{said}: {table}");
        }
        for wrong in [
            json!({"error": {"code": "model_not_found", "message": "no such"}}),
            json!({"error": {"code": "constraint_violated", "message": "off"}, "excluded": [{"reason": "offline"}]}),
            json!({"level": "route", "candidates": [{}]}),
        ] {
            assert!(estimate.add(task, "c", &wrong).is_err(), "{wrong}");
        }
    }
}

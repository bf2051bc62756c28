//! `score`: an expression of the operator's over one candidate's figures; higher is better. A new strategy without a
//! rebuild. A candidate whose expression fails sorts last.

use crate::expr::{Expr, Vars};
use crate::registry::Registry;
use crate::route::Candidate;
use cel::Value;
use std::sync::Arc;

/// The expression's value over `model`, `provider_count`, `tags`, `cost_usd`, `latency_ms`, `quality`,
/// `input_tokens` and `output_tokens`, besides the variables of the request.
pub(crate) fn score(candidates: &mut [Candidate], expr: &Expr, registry: &Registry, vars: &mut Vars) {
    for c in candidates {
        let model = registry.model(c.model);
        let tags: Vec<Value> = model.tags.iter().map(|t| Value::String(Arc::new(t.to_string()))).collect();
        vars.set("model", &*model.name);
        vars.set("tags", tags);
        vars.set("provider_count", Value::Int(model.endpoints.len() as i64));
        vars.set("cost_usd", c.estimate.cost.map_or(Value::Null, |cost| Value::Float(cost.usd())));
        vars.set("latency_ms", Value::Float(c.estimate.latency_ms.into()));
        vars.set("quality", Value::Float(c.estimate.quality_or_prior().into()));
        vars.set("input_tokens", Value::Int(c.estimate.input_tokens.into()));
        vars.set("output_tokens", Value::Int(c.estimate.output_tokens.into()));
        c.score = expr.number(vars).unwrap_or(f64::MIN);
    }
}

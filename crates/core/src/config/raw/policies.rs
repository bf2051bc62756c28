//! Keys of routes, stages, surfaces, compliance and peak hours.

use super::{List, Unit, by_task};
use crate::config::value::{Checked, Pause, Size};
use crate::expr::Expr;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a route, a stage or `auto` chooses.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct PolicyKeys {
    #[serde(flatten)]
    pub(in crate::config) strategy: StrategyKeys,
    /// Floor of expected quality, 0 to 1. Default none.
    pub(in crate::config) min_quality: Option<Unit>,
    /// Ceiling of a request's expected cost, in US dollars. Default none.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) max_cost_usd: Option<f64>,
    /// Ceiling of the expected latency, in milliseconds. Default none.
    #[schemars(range(min = 0.0, max = 86_400_000.0))]
    pub(in crate::config) max_latency_ms: Option<f64>,
    /// Models considered, in this order: names, or `tag:WORD` for all models with that tag. Default: all models.
    #[schemars(length(min = 1))]
    pub(in crate::config) candidates: Option<List<String>>,
    /// Models tried in this order when no candidate is left or all failed; the answer is marked as degraded. Default
    /// none: every fallback keeps the same constraints.
    pub(in crate::config) emergency: List<String>,
    /// Tags that every model must carry, emergency ones too. Default none.
    pub(in crate::config) require: List<String>,
    /// Who waits for its requests, unless the caller says otherwise. Default `interactive`.
    pub(in crate::config) class: Option<Class>,
    /// One exact model and no fallback: the first choice answers, or nobody. Default `false`.
    pub(in crate::config) no_fallback: Option<bool>,
    /// Preferred model for a task: it goes first where the constraints leave it. Default none.
    #[schemars(schema_with = "by_task::<String>")]
    pub(in crate::config) tasks: IndexMap<String, String>,
    /// Output tokens that its requests are expected to need. Default: what was seen, at first 300.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(in crate::config) expected_output_tokens: Option<u32>,
    /// What becomes of a field that the chosen model's API has no word for: `lenient` leaves it out and names it in
    /// `x-waypost-dropped`, `strict` refuses the request. What would change the meaning is refused either way. Default
    /// `lenient`.
    pub(in crate::config) translation: Option<Translation>,
    /// Answers exact repetitions of a request from memory. Default none: every request reaches a model.
    pub(in crate::config) cache: Option<CacheKeys>,
    /// For `value`: λ moves so that the dollar budgets that apply last their windows, and never below a floor of quality.
    /// Default `false`.
    pub(in crate::config) pacing: Option<bool>,
    /// Predicted quality, the classifier and exploration, key by key over the top level's `predictor`.
    pub(in crate::config) predictor: PredictorKeys,
}

/// The learned predictor, what is asked where it is not sure, and exploration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct PredictorKeys {
    /// Model file that `waypost train` wrote (a relative path is from the working directory), or `none`. Models that it
    /// does not know keep their configured quality. Read again on each reload. Default: that of the top level, else none.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) model: Option<String>,
    /// Confidence, 0 to 1, below which the `classifier` is asked. It is how sure the predictor is that the first choice
    /// is better than the second, by their intervals; without predictions, how sure the rules are of the task. Default
    /// 0.5.
    pub(in crate::config) confidence: Option<Unit>,
    /// Model that is asked for a request's task and difficulty where the confidence is low and every limit has room for
    /// it, or `none`. Default: that of the top level, else none.
    #[schemars(length(min = 1, max = 200))]
    pub(in crate::config) classifier: Option<String>,
    /// Share of requests, 0 to 1, whose first choice is drawn evenly from all candidates that meet every constraint and
    /// floor. Default 0.
    pub(in crate::config) epsilon: Option<Unit>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Translation {
    /// Nothing may be lost.
    Strict,
    /// What does not change the meaning may be left out.
    Lenient,
}

/// The exact cache of a route, a stage or `auto`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct CacheKeys {
    /// Age at which an answer is no longer given; `0s` caches nothing, where a stage would inherit the cache of `auto`.
    /// Default `10m`.
    pub(in crate::config) ttl: Option<Checked<Pause>>,
    /// Size of all answers together, in bytes or with a unit, beyond which the oldest go. Default `64MiB`.
    pub(in crate::config) max_bytes: Option<Checked<Size>>,
    /// Whether client keys are given each other's answers. Default `false`.
    pub(in crate::config) shared: Option<bool>,
}

/// The strategy with the keys that only one strategy has.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct StrategyKeys {
    /// Order of the candidates. Default `balanced`; a stage without a model, and a rule of the hour, keep what they
    /// change.
    pub(in crate::config) strategy: Option<StrategyName>,
    /// For `balanced`: relative weights; what is not given is 0. Default: cost 0.4, latency 0.2, quality 0.4.
    pub(in crate::config) weights: Option<WeightKeys>,
    /// For `value`: quality points that a US dollar is worth. No default.
    #[schemars(range(min = 0.0, max = 1e12))]
    pub(in crate::config) lambda: Option<f64>,
    /// For `value`, instead of `lambda`: US dollars that a request may cost on average. No default.
    #[schemars(range(min = 1e-9, max = 1_000_000.0))]
    pub(in crate::config) budget_usd_per_request: Option<f64>,
    /// For `weighted`: share of the traffic of each model. No default.
    pub(in crate::config) split: Option<IndexMap<String, Share>>,
    /// For `score`: CEL expression over a candidate; higher is better. No default.
    pub(in crate::config) score: Option<Checked<Expr>>,
}

/// A relative share, 0 or more.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) struct Share(#[schemars(range(min = 0.0, max = 1_000_000.0))] pub(in crate::config) f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum StrategyName {
    /// Cheapest first.
    Cost,
    /// Fastest first.
    Latency,
    /// Best first.
    Quality,
    /// A weighted sum of cost, latency, quality and capability match.
    Balanced,
    /// Predicted quality minus λ times cost.
    Value,
    /// A traffic split, sticky by key or session.
    Weighted,
    /// An expression of your own.
    Score,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct WeightKeys {
    /// Of cheapness. Default 0.
    pub(in crate::config) cost: Option<Share>,
    /// Of speed. Default 0.
    pub(in crate::config) latency: Option<Share>,
    /// Of expected quality. Default 0.
    pub(in crate::config) quality: Option<Share>,
    /// Of how closely capabilities and tags fit the task. Default 0.
    pub(in crate::config) capability: Option<Share>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Class {
    /// A person waits.
    Interactive,
    /// Nobody waits: queued and shed first.
    Background,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Route {
    /// CEL expression over `request`: which `auto` requests the route takes. Default: only requests that name it.
    #[serde(rename = "match")]
    pub(in crate::config) matches: Option<Checked<Expr>>,
    /// Product area whose floors it keeps. Default none.
    pub(in crate::config) surface: Option<String>,
    #[serde(flatten)]
    pub(in crate::config) policy: PolicyKeys,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Stage {
    /// The model that answers. Default: none, and the stage chooses as `auto` does, with its own keys on top.
    pub(in crate::config) model: Option<String>,
    /// Product area whose floors it keeps. Default none.
    pub(in crate::config) surface: Option<String>,
    #[serde(flatten)]
    pub(in crate::config) policy: PolicyKeys,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Surface {
    /// Floor of expected quality, 0 to 1. Default none.
    pub(in crate::config) min_quality: Option<Unit>,
    /// Tags that every model must carry. Default none.
    pub(in crate::config) require: List<String>,
    /// CEL expression over `request`: which requests belong to it, besides its routes and stages. Default none.
    #[serde(rename = "match")]
    pub(in crate::config) matches: Option<Checked<Expr>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Compliance {
    /// CEL expression over `request`; where it fails, the rule applies. No default.
    pub(in crate::config) when: Checked<Expr>,
    /// Tags that the model must carry, all of them. No default.
    #[schemars(length(min = 1))]
    pub(in crate::config) require: List<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Peak {
    /// CEL expression over `local` (hour, minute, weekday, day, month in `time_zone`) and `request`. No default.
    pub(in crate::config) when: Checked<Expr>,
    /// Routes that it changes. Default: all of them, and `auto`.
    #[serde(default)]
    pub(in crate::config) routes: List<String>,
    #[serde(flatten)]
    pub(in crate::config) strategy: StrategyKeys,
    /// Replaces the floor of quality, 0 to 1; never lowers a surface's. Default: unchanged.
    pub(in crate::config) min_quality: Option<Unit>,
    /// Replaces the ceiling of a request's expected cost, in US dollars. Default: unchanged.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) max_cost_usd: Option<f64>,
}

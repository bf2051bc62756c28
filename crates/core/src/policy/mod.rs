//! Policies: what the operator wants for a route, a stage or `auto`. Here as data; each strategy's arithmetic is a
//! file beside this one. A strategy reads the profile and the estimates and returns scores; it updates nothing.

pub(crate) mod balanced;
pub(crate) mod cost;
pub(crate) mod latency;
pub(crate) mod quality;
pub(crate) mod score;
pub(crate) mod value;
pub(crate) mod weighted;

use crate::expr::Expr;
use crate::profile::{Class, Task};
use crate::registry::ModelIx;
use crate::units::NanoUsd;
use std::sync::Arc;
use std::time::Duration;

/// How the candidates that passed the constraints are ordered.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// Cheapest first.
    Cost,
    /// Fastest first.
    Latency,
    /// Best first.
    Quality,
    /// A weighted sum of normalised cost, latency, quality and capability match.
    Balanced(Weights),
    /// Predicted quality − λ·cost.
    Value(Lambda),
    /// A traffic split by weight, sticky by key or session.
    Weighted(Vec<(ModelIx, f32)>),
    /// The operator's own expression; higher is better.
    Score(Expr),
}

impl Strategy {
    /// The name in configuration, records and replies.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Latency => "latency",
            Self::Quality => "quality",
            Self::Balanced(_) => "balanced",
            Self::Value(_) => "value",
            Self::Weighted(_) => "weighted",
            Self::Score(_) => "score",
        }
    }
}

/// Weights of `balanced`; not negative, not all zero. They need not sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of cheapness.
    pub cost: f32,
    /// Of speed.
    pub latency: f32,
    /// Of expected quality.
    pub quality: f32,
    /// Of how closely the model's capabilities and tags fit the task.
    pub capability: f32,
}

impl Default for Weights {
    /// What `auto` uses (DESIGN.md).
    fn default() -> Self {
        Self { cost: 0.4, latency: 0.2, quality: 0.4, capability: 0.0 }
    }
}

/// Where the price of money against quality comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lambda {
    /// Quality points that a US dollar is worth.
    Fixed(f64),
    /// The smallest λ at which the first choice is expected to cost at most this, a request.
    Budget(NanoUsd),
}

/// How a route, a stage or `auto` chooses.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Order of the candidates.
    pub strategy: Strategy,
    /// The models considered, in the operator's order; empty: all of the registry.
    pub candidates: Vec<ModelIx>,
    /// Models tried, in this order, when no candidate is left or all failed; their use is marked.
    pub emergency: Vec<ModelIx>,
    /// Tags that every model must carry, emergency ones too.
    pub require: Vec<Arc<str>>,
    /// Floor of expected quality.
    pub min_quality: Option<f32>,
    /// Ceiling of the expected cost of a request.
    pub max_cost: Option<NanoUsd>,
    /// Ceiling of the expected latency, milliseconds.
    pub max_latency_ms: Option<f32>,
    /// Class of its requests, unless the caller says otherwise.
    pub class: Option<Class>,
    /// One exact model and no fallback (provenance).
    pub no_fallback: bool,
    /// Preferred models by task: where one is left after the constraints, it goes first.
    pub tasks: [Option<ModelIx>; Task::COUNT],
    /// Expected output tokens, where the operator knows better than the prior.
    pub expected_output_tokens: Option<u32>,
    /// What becomes of a field that a model's API does not know.
    pub translation: Translation,
    /// Exact repetitions are answered from memory; `None`: never.
    pub cache: Option<CachePolicy>,
    /// For `value`: λ moves so that the budgets that apply last their windows.
    pub pacing: bool,
    /// Predicted quality, the classifier, exploration.
    pub predicting: Predicting,
}

/// What a policy asks of the learned predictor and of the classifier, and how much it explores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicting {
    /// Index into `Config::predictors`; `None`: quality is what is configured.
    pub file: Option<usize>,
    /// Below this confidence, 0 to 1, the classifier is asked.
    pub confidence: f32,
    /// Who is asked for task and difficulty; `None`: nobody.
    pub classifier: Option<ModelIx>,
    /// Share of requests whose first choice is drawn evenly from the eligible candidates, 0 to 1.
    pub epsilon: f64,
}

impl Default for Predicting {
    fn default() -> Self {
        Self { file: None, confidence: 0.5, classifier: None, epsilon: 0.0 }
    }
}

/// What becomes of a request's field that the chosen model's API has no word for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Translation {
    /// The request is refused.
    Strict,
    /// It is left out and named in the reply; what would change the meaning is refused even so.
    #[default]
    Lenient,
}

/// How long and how much the exact cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Age at which an answer is no longer given; more than 0.
    pub ttl: Duration,
    /// Bytes of all answers together, beyond which the oldest go.
    pub max_bytes: usize,
    /// Whether one client key is given what another one paid for.
    pub shared: bool,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(600), max_bytes: 64 << 20, shared: false }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Balanced(Weights::default()),
            candidates: Vec::new(),
            emergency: Vec::new(),
            require: Vec::new(),
            min_quality: None,
            max_cost: None,
            max_latency_ms: None,
            class: None,
            no_fallback: false,
            tasks: [None; Task::COUNT],
            expected_output_tokens: None,
            translation: Translation::default(),
            cache: None,
            pacing: false,
            predicting: Predicting::default(),
        }
    }
}

/// A named policy that clients can ask for as a model name.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// Which `auto` requests it takes; `None`: only those that name it.
    pub matches: Option<Expr>,
    /// How it chooses.
    pub policy: Policy,
    /// The product area whose floors hold as well.
    pub surface: Option<usize>,
}

/// A named step of a client's pipeline.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: Arc<str>,
    /// Its model; `None`: falls through to `auto` with this stage's own strategy, weights and floors.
    pub model: Option<ModelIx>,
    /// How it chooses without a model. With one: its caps, floors and emergency list.
    pub policy: Policy,
    /// The product area whose floors hold as well.
    pub surface: Option<usize>,
}

/// A product area with floors that every route and stage in it keeps.
#[derive(Clone, Debug)]
pub struct Surface {
    /// Its name.
    pub name: Arc<str>,
    /// Floor of expected quality.
    pub min_quality: Option<f32>,
    /// Tags that every model must carry (safety).
    pub require: Vec<Arc<str>>,
    /// Which requests belong to it, besides its routes and stages.
    pub matches: Option<Expr>,
}

/// Which requests may only go to models with certain tags.
#[derive(Clone, Debug)]
pub struct Compliance {
    /// Which requests; an error at run time counts as true.
    pub when: Expr,
    /// Tags that the model must carry, all of them.
    pub require: Vec<Arc<str>>,
}

/// A rule of the hour: while `when` holds, it overrides parts of a policy. The first that holds wins.
#[derive(Clone, Debug)]
pub struct PeakRule {
    /// Over `local` (hour, minute, weekday, day, month in the configured time zone) and `request`.
    pub when: Expr,
    /// The routes that it changes; empty: all of them, and `auto`.
    pub routes: Vec<Arc<str>>,
    /// Replaces the strategy.
    pub strategy: Option<Strategy>,
    /// Replaces the floor of quality; never lowers a surface's.
    pub min_quality: Option<f32>,
    /// Replaces the cost cap.
    pub max_cost: Option<NanoUsd>,
}

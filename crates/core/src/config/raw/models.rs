//! Keys of models and their endpoints.

use super::providers::Timeouts;
use super::{List, Unit, by_task};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Model {
    /// Where it can be reached. Default: the configured provider that the catalogue says sells it, else the provider
    /// before the `/` of its name, else the only provider.
    pub(in crate::config) endpoints: Option<List<Endpoint>>,
    /// Largest sum of input and output, in tokens. Default: the catalogue's, else unknown, which excludes nothing.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(in crate::config) context_window: Option<u32>,
    /// Longest answer, in tokens. Default: the catalogue's, else unknown.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(in crate::config) max_output_tokens: Option<u32>,
    /// Everything that it can do: what is not listed, it cannot. `tools` implies `parallel_tools`, and every model
    /// streams, unless the list says otherwise. Default: the catalogue's, else unknown, which excludes nothing.
    pub(in crate::config) capabilities: Option<List<Capability>>,
    /// Prices in US dollars per million tokens. `input` and `output` together replace all of the catalogue's prices;
    /// otherwise each rate replaces its own. Default: the catalogue's, else unknown, which is not zero.
    pub(in crate::config) price: Option<Price>,
    /// Expected quality of its answers, 0 to 1: `default`, and tasks that differ. Default: the prior of its size tier in
    /// the catalogue (small 0.55, medium 0.70, large 0.80, frontier 0.88).
    #[schemars(schema_with = "quality")]
    pub(in crate::config) quality: IndexMap<String, Unit>,
    /// Expected latency before anything was measured.
    pub(in crate::config) latency: Latency,
    /// Free words for compliance, pools (`tag:WORD` among candidates) and reports. Default none.
    pub(in crate::config) tags: List<String>,
    /// Lifecycle. Default `active`.
    pub(in crate::config) status: Option<Status>,
    #[serde(flatten)]
    pub(in crate::config) timeouts: Timeouts,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Endpoint {
    /// Name of a configured provider. No default.
    pub(in crate::config) provider: String,
    /// The model's name there. Default: its own.
    #[schemars(length(min = 1, max = 500))]
    pub(in crate::config) name: Option<String>,
    /// Relative share of traffic among the model's endpoints; more than 0. Default 1.
    #[schemars(range(min = 0.0001, max = 1_000_000.0))]
    pub(in crate::config) weight: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Capability {
    /// Image input.
    Vision,
    /// Audio input.
    Audio,
    /// Video input.
    Video,
    /// File input.
    Documents,
    /// Tool calls, several at once.
    Tools,
    /// Several tool calls in one answer.
    ParallelTools,
    /// One tool call in an answer at most.
    NoParallelTools,
    /// JSON-schema output.
    StructuredOutput,
    /// Reasoning effort can be asked for.
    Reasoning,
    /// It cannot stream.
    NoStreaming,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Price {
    /// Input tokens. Default: the catalogue's.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) input: Option<f64>,
    /// Output tokens. Default: the catalogue's.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) output: Option<f64>,
    /// Input tokens read from the provider's cache. Default: as `input`.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) cache_read: Option<f64>,
    /// Input tokens written to the provider's cache. Default: as `input`.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) cache_write: Option<f64>,
    /// Reasoning tokens. Default: as `output`.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) reasoning: Option<f64>,
    /// Rates of requests with a long input. Default: none.
    pub(in crate::config) long: Option<LongPrice>,
    /// Rates of the provider's batch API. Default: none.
    pub(in crate::config) batch: Option<BatchPrice>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LongPrice {
    /// Input tokens beyond which these rates hold, for the whole request. No default.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(in crate::config) above: u32,
    /// Input tokens. No default.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) input: f64,
    /// Output tokens. No default.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) output: f64,
    /// Input tokens read from the provider's cache. Default: as `input`.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) cache_read: Option<f64>,
    /// Input tokens written to the provider's cache. Default: as `input`.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) cache_write: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct BatchPrice {
    /// Input tokens. No default.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) input: f64,
    /// Output tokens. No default.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(in crate::config) output: f64,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Latency {
    /// Milliseconds to the first token. Default 500.
    #[schemars(range(min = 0.0, max = 3_600_000.0))]
    pub(in crate::config) first_token_ms: Option<f64>,
    /// Milliseconds a token after it. Default 14.
    #[schemars(range(min = 0.0, max = 60_000.0))]
    pub(in crate::config) per_token_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Status {
    /// In service.
    Active,
    /// In service, but tried after every active model.
    Degraded,
    /// Only a pin reaches it.
    Deprecated,
    /// Out of service.
    Offline,
}

fn quality(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = by_task::<Unit>(generator);
    let mut default = generator.subschema_for::<Unit>();
    default.insert("description".into(), "Over all tasks without a figure of their own.".into());
    if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        properties.insert("default".into(), default.to_value());
    }
    schema
}

//! Every key of the configuration, once: its type, its bounds and the text that the published schema shows. The check
//! reads the schema derived from these types, so that neither can know a key that the other does not.
//!
//! What refers to something else is still a name here; `resolve` turns it into an index.

mod gate;
mod learning;
mod models;
mod policies;
mod providers;
mod server;

pub(super) use gate::{GateKeys, LimitKeys, OnExhausted, OnStoreLoss, Threshold};
pub(super) use learning::Learning;
pub(super) use models::{Capability, Model, Status};
pub(super) use policies::{
    CacheKeys, Class, Compliance, Peak, PolicyKeys, PredictorKeys, Route, Share, Stage, StrategyKeys, StrategyName,
    Surface, Translation, WeightKeys,
};
pub(super) use providers::{Dialect, Provider, Simulated, Timeouts};
use server::Key;
pub(super) use server::{Auth, Execution, KeyTerms, Server, Telemetry};

use super::Storage;
use super::value::{Checked, LeaseStore, LeaseTtl};
use crate::profile::Task;
use indexmap::IndexMap;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Configuration of Waypost. Texts may hold `${NAME}` or `${NAME:-default}`, replaced from the environment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Waypost")]
pub(super) struct Config {
    /// The listener and who may use it.
    pub(super) server: Server,
    /// Where records go: `sqlite:FILE` (a relative path is from the working directory),
    /// `postgres://USER:PASSWORD@HOST/DATABASE` (any number of gateways share one; with `?sslmode=require` the server's
    /// certificate is checked, against `sslrootcert=FILE` or the system's authorities) or `memory`. Default
    /// `sqlite:waypost.db`. Needs a restart.
    pub(super) storage: Option<Checked<Storage>>,
    /// IANA name of the time zone of calendars and peak hours. Default `UTC`.
    pub(super) time_zone: Option<Checked<jiff::tz::TimeZone>>,
    /// Client keys. Default none: any key is accepted, on loopback only.
    pub(super) keys: List<Key>,
    /// Attempts, timeouts and the breaker.
    pub(super) execution: Execution,
    /// Accounts at vendors and local servers, by name. A name that the catalogue knows (`openai`, `mistral`, …) brings
    /// its dialect and base URL. Default none.
    pub(super) providers: IndexMap<String, Option<Provider>>,
    /// Models by the name that clients use. What is not stated here comes from the built-in catalogue. The order breaks
    /// ties between equal scores. Default none.
    pub(super) models: IndexMap<String, Option<Model>>,
    /// Named steps of a client's pipeline (`waypost.stage`, or `stage/NAME` as the model). Default none.
    pub(super) stages: IndexMap<String, Option<Stage>>,
    /// Named policies that clients ask for as `route/NAME`, or that take `auto` requests by `match`, in this order.
    /// Default none.
    pub(super) routes: IndexMap<String, Route>,
    /// Product areas whose floors every route and stage in them keeps. Default none.
    pub(super) surfaces: IndexMap<String, Surface>,
    /// Rules for requests that may only go to models with certain tags; they outrank even a pin. All that hold apply.
    /// Default none.
    pub(super) compliance: List<Compliance>,
    /// Rules of the hour; the first that holds changes parts of a policy. Default none.
    pub(super) peak: List<Peak>,
    /// How `model: auto` chooses. Default `balanced` (cost 0.4, latency 0.2, quality 0.4) over all models.
    pub(super) auto: PolicyKeys,
    /// Model tried when a caller's own hints left no candidate; the answer is marked as degraded. Default none.
    pub(super) fallback_model: Option<String>,
    /// Output tokens assumed where neither the request nor the model gives a cap. Default 4096.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) default_max_output_tokens: Option<u32>,
    /// What is recorded beyond spend.
    pub(super) telemetry: Telemetry,
    /// Limits of money, tokens, rates and requests at once, by scope, and packages for keys. All that apply to a request
    /// hold together. Default none.
    pub(super) gate: GateKeys,
    /// Redis that budgets are leased from: `redis://…`, or `rediss://…` with TLS. Gateways that share it share budgets.
    /// Default: `storage` itself. Needs a restart.
    pub(super) leases: Option<Checked<LeaseStore>>,
    /// How long a process may spend what it has leased of a budget without asking again, 1 second to 10 minutes. What a
    /// process that died had leased counts as spent until then. Default `10s`.
    pub(super) lease_ttl: Option<Checked<LeaseTtl>>,
    /// What is kept of answered requests so that predictors can be trained on them: features of their prompts, outcomes,
    /// tokens, cost; no text. Default: kept where this section is there.
    pub(super) learning: Option<Learning>,
    /// Predicted quality, the classifier and exploration: what every route, every stage and `auto` begin with.
    pub(super) predictor: PredictorKeys,
}

impl Config {
    /// From a tree that was checked against [`schema`]. `None` would mean that the schema and these types disagree.
    pub(super) fn from_checked(value: Value) -> Option<Self> {
        let config = serde_json::from_value(value);
        debug_assert!(config.is_ok(), "the check lets only deserialisable trees through: {config:?}");
        config.ok()
    }
}

/// The schema of [`Config`]: closed objects, and a note on each key about reloads.
pub(super) fn schema() -> Value {
    schema_of::<Config>()
}

/// The schema of one part alone, as [`schema`] has it.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Publish);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Refuses unknown keys everywhere and says of each key when a change applies.
#[derive(Clone, Debug)]
struct Publish;

impl Transform for Publish {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        object.remove("default"); // the texts say it; the derived ones would be nulls and empty lists
        let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for (_, property) in properties.iter_mut() {
            let is_later = property.get("not").is_some();
            let Some(Value::String(text)) = property.get_mut("description") else { continue };
            *text = text.replace('\n', " ");
            if is_later {
                text.push_str(" Not supported by this version yet.");
            } else if !text.contains("restart") {
                text.push_str(" Applied on reload.");
            }
        }
        object.insert("additionalProperties".into(), json!(false));
    }
}

/// A key that belongs to a later version: any value is refused, so that nothing is accepted and then not enforced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Later {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Later".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "not": {} })
    }
}

/// A list that remembers the places of items that the check took out.
#[derive(Debug)]
pub(super) struct List<T>(Vec<Option<T>>);

impl<T> List<T> {
    /// The items that are left, each with its index in the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(i, item)| Some((i, item.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// A value for each task that has one of its own.
fn by_task<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<T>();
    let entry = |task: Task| {
        let mut schema = value.clone();
        schema.insert("description".into(), json!(format!("For requests whose task is `{}`.", task.name())));
        (task.name().to_owned(), schema.to_value())
    };
    let properties: serde_json::Map<String, Value> = Task::ALL.into_iter().map(entry).collect();
    json_schema!({ "type": "object", "properties": properties })
}

/// A share or a quality: 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Unit(#[schemars(range(min = 0.0, max = 1.0))] pub(super) f64);

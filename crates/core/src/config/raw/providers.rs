//! Keys of providers, and the timeouts that execution, providers and models share.

use super::{List, Unit};
use crate::config::value::{ApiVersion, BaseUrl, Checked, Pause, Period, Project, Region};
use crate::units::Secret;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Provider {
    /// Wire format that it speaks. Default: the catalogue's, for a known name.
    pub(in crate::config) dialect: Option<Dialect>,
    /// Several wire formats, preferred first, instead of `dialect`. Default: the catalogue's, for a known name.
    pub(in crate::config) dialects: Option<List<Dialect>>,
    /// Where the vendor's own paths begin: `…/v1` for `openai` and `responses`, the root for `anthropic` and `bedrock`,
    /// `…/v1beta` for `gemini`; the resource's root for Azure. Default: the catalogue's, for a known name; Bedrock's by
    /// `region`; Vertex's by `project` and `location`.
    pub(in crate::config) base_url: Option<Checked<BaseUrl>>,
    /// Credential. Default none: requests are sent without one.
    pub(in crate::config) api_key: Option<Checked<Secret>>,
    /// Several credentials instead of `api_key`; each becomes an endpoint of its own, with its own breaker. Default none.
    pub(in crate::config) api_keys: Option<List<Checked<Secret>>>,
    /// Extra request headers. Default none.
    pub(in crate::config) headers: IndexMap<String, Checked<Secret>>,
    /// Forward `PROVIDER/anything`, even a model that is not configured. Default `false`.
    pub(in crate::config) passthrough: Option<bool>,
    /// Whether a stream may be asked for its usage with `stream_options`. Default: the catalogue's, else `true`.
    pub(in crate::config) stream_usage: Option<bool>,
    /// Most requests at once, over all its endpoints. Default no limit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_concurrency: Option<u32>,
    #[serde(flatten)]
    pub(in crate::config) timeouts: Timeouts,
    /// How a provider of dialect `simulated` behaves.
    pub(in crate::config) simulated: Option<Simulated>,
    /// Bedrock: AWS region. With it `base_url` defaults to `https://bedrock-runtime.REGION.amazonaws.com`; signatures
    /// name it. No default.
    pub(in crate::config) region: Option<Checked<Region>>,
    /// Bedrock: id of an AWS access key, with which requests are signed; instead of `api_key`, which is sent as a bearer
    /// token. Default none.
    pub(in crate::config) access_key_id: Option<Checked<Secret>>,
    /// Bedrock: the secret that goes with `access_key_id`. Default none.
    pub(in crate::config) secret_access_key: Option<Checked<Secret>>,
    /// Bedrock: session token, where the access key is a temporary one. Default none.
    pub(in crate::config) session_token: Option<Checked<Secret>>,
    /// Azure: version of the API, a date such as `2024-10-21`; a model's name there is its deployment. Default none: the
    /// `v1` API, which needs none.
    pub(in crate::config) api_version: Option<Checked<ApiVersion>>,
    /// Vertex: the Google Cloud project. Part of the default `base_url`. No default.
    pub(in crate::config) project: Option<Checked<Project>>,
    /// Vertex: the location, such as `europe-west4` or `global`. Part of the default `base_url`. No default.
    pub(in crate::config) location: Option<Checked<Region>>,
    /// Vertex: JSON file of a service account or a user (`gcloud auth application-default login`), for which access
    /// tokens are fetched; a relative path is from the working directory. Read again on reload. Default none: `api_key`
    /// is sent as an access token.
    #[schemars(length(min = 1))]
    pub(in crate::config) credentials_file: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Dialect {
    /// OpenAI Chat Completions, and embeddings.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini generateContent.
    Gemini,
    /// Bedrock Converse.
    Bedrock,
    /// Waypost's own simulation: no network.
    Simulated,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Timeouts {
    /// Longest wait for a connection, TLS included. Default `5s`; a provider or model inherits.
    pub(in crate::config) connect_timeout: Option<Checked<Period>>,
    /// Longest wait for the first real output of a stream. Default `30s`, and `total_timeout` where reasoning was asked
    /// for; a provider or model inherits.
    pub(in crate::config) first_token_timeout: Option<Checked<Period>>,
    /// Longest wait for a whole answer that does not stream. Default `2m`, and `total_timeout` where reasoning was asked
    /// for; a provider or model inherits.
    pub(in crate::config) response_timeout: Option<Checked<Period>>,
    /// Longest silence between two chunks of a stream. Default `30s`; a provider or model inherits.
    pub(in crate::config) chunk_timeout: Option<Checked<Period>>,
    /// Longest time for a request in all its attempts; of a provider or model: for one attempt. Default `10m`; a
    /// provider or model inherits.
    pub(in crate::config) total_timeout: Option<Checked<Period>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Simulated {
    /// Seed of every draw. Default 0.
    pub(in crate::config) seed: Option<u64>,
    /// Median time to the first token. Default `200ms`.
    pub(in crate::config) first_token: Option<Checked<Pause>>,
    /// Median time between tokens. Default `10ms`.
    pub(in crate::config) per_token: Option<Checked<Pause>>,
    /// Spread of both times: sigma of a log-normal distribution; 0 is constant. Default 0.3.
    #[schemars(range(min = 0.0, max = 3.0))]
    pub(in crate::config) jitter: Option<f64>,
    /// Median length of an answer, in tokens. Default 120.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) output_tokens: Option<u32>,
    /// The `Retry-After` of a simulated 429. Default `1s`.
    pub(in crate::config) retry_after: Option<Checked<Pause>>,
    /// Probability of each fault for a request; together at most 1.
    pub(in crate::config) faults: Faults,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Faults {
    /// 429 with `Retry-After`. Default 0.
    pub(in crate::config) rate_limit: Option<Unit>,
    /// 500, 502 or 503. Default 0.
    pub(in crate::config) server_error: Option<Unit>,
    /// Accepts the request and never answers. Default 0.
    pub(in crate::config) stall: Option<Unit>,
    /// The answer breaks off in the middle. Default 0.
    pub(in crate::config) cut: Option<Unit>,
    /// The first token takes ten times as long. Default 0.
    pub(in crate::config) slow_first_token: Option<Unit>,
    /// An answer without content. Default 0.
    pub(in crate::config) empty: Option<Unit>,
    /// A 200 whose body is an error. Default 0.
    pub(in crate::config) in_band_error: Option<Unit>,
}

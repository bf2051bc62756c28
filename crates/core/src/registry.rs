//! What exists: providers, models, endpoints and their facts. Immutable once built; live state (health, latencies)
//! is elsewhere and refers to it by index.

mod account;
mod kind;
mod price;
mod quirks;

pub use account::{Account, AwsAccount};
pub use kind::Kind;
pub use price::{LongPrice, Price, Usage};
pub use quirks::{Quirks, ThinkingSwitch, Thoughts, ToolForcing};

use crate::profile::Task;
use crate::units::Secret;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Index of a provider in [`Registry::providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderIx(pub u16);

/// Index of a model in [`Registry::models`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelIx(pub u16);

/// Index of an endpoint in [`Registry::endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointIx(pub u16);

/// Everything that can answer.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// In file order.
    pub providers: Vec<Provider>,
    /// In file order, which breaks ties between equal scores.
    pub models: Vec<Model>,
    /// Grouped by model, in the model's order; one for each credential of the provider.
    pub endpoints: Vec<Endpoint>,
    by_name: HashMap<Arc<str>, ModelIx>,
    listed: usize,
}

impl Registry {
    /// Builds the index over names, and one unlisted model for each provider that passes unknown names through. The
    /// caller has made sure that names are unique and indices in range.
    pub fn new(providers: Vec<Provider>, mut models: Vec<Model>, mut endpoints: Vec<Endpoint>) -> Self {
        let by_name = models.iter().enumerate().map(|(i, m)| (m.name.clone(), ModelIx(i as u16))).collect();
        let listed = models.len();
        for (i, provider) in providers.iter().enumerate().filter(|(_, p)| p.passthrough) {
            let model = ModelIx(models.len() as u16);
            let first = endpoints.len() as u16;
            let keys: Vec<_> = match provider.api_keys.len() as u16 {
                0 => vec![None],
                n => (0..n).map(Some).collect(),
            };
            let name: Arc<str> = "*".into();
            let at = ProviderIx(i as u16);
            endpoints.extend(keys.iter().map(|&key| Endpoint {
                model,
                provider: at,
                name: name.clone(),
                weight: 1.0,
                key,
            }));
            let mut passed = Model::unknown(format!("{}/*", provider.name).into());
            passed.endpoints = (first..endpoints.len() as u16).map(EndpointIx).collect();
            models.push(passed);
        }
        Self { providers, models, endpoints, by_name, listed }
    }

    /// The unlisted model through which a provider takes any name; `None` unless it says `passthrough: true`.
    pub fn passthrough(&self, provider: ProviderIx) -> Option<ModelIx> {
        let unlisted = (self.listed..self.models.len()).map(|i| ModelIx(i as u16));
        unlisted.into_iter().find(|m| self.endpoint(self.model(*m).endpoints[0]).provider == provider)
    }

    /// The model of this exact name.
    pub fn find(&self, name: &str) -> Option<ModelIx> {
        self.by_name.get(name).copied()
    }

    /// A model by index.
    pub fn model(&self, ix: ModelIx) -> &Model {
        &self.models[ix.0 as usize]
    }

    /// An endpoint by index.
    pub fn endpoint(&self, ix: EndpointIx) -> &Endpoint {
        &self.endpoints[ix.0 as usize]
    }

    /// A provider by index.
    pub fn provider(&self, ix: ProviderIx) -> &Provider {
        &self.providers[ix.0 as usize]
    }

    /// The models that the configuration names, in file order.
    pub fn model_ixs(&self) -> impl ExactSizeIterator<Item = ModelIx> + use<> {
        (0..self.listed as u16).map(ModelIx)
    }
}

/// An account at a vendor, or a local server.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The operator's name for it.
    pub name: Arc<str>,
    /// The wire formats that it speaks, preferred first; never empty.
    pub dialects: Vec<Dialect>,
    /// Where the vendor's own paths begin, without a trailing slash: `https://api.openai.com/v1`. Empty for `simulated`.
    pub base_url: String,
    /// Credentials; each makes an endpoint of every model. Empty where the server needs none.
    pub api_keys: Vec<Secret>,
    /// Extra request headers, as configured (values may hold secrets).
    pub headers: Vec<(String, Secret)>,
    /// How its addresses and credentials are formed.
    pub account: Account,
    /// Forward `provider/anything` even where the registry does not know the model.
    pub passthrough: bool,
    /// Whether a stream may be asked for its usage with `stream_options` (a few look-alikes refuse the field).
    pub stream_usage: bool,
    /// How its chat API differs from OpenAI's own, where a request is translated for it.
    pub quirks: Quirks,
    /// Overrides of the global timeouts.
    pub timeouts: Timeouts,
    /// At most so many requests at once, over all its endpoints.
    pub max_concurrency: Option<u32>,
    /// Settings of the simulated provider, where the dialect is [`Dialect::Simulated`].
    pub simulated: Option<Simulated>,
}

impl Provider {
    /// Everything of its configuration that no text may show.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.api_keys.iter().chain(self.headers.iter().map(|(_, value)| value)).chain(self.account.secrets())
    }
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
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
    /// Waypost's own simulated provider: no network.
    Simulated,
}

impl Dialect {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::Responses, Self::Anthropic, Self::Gemini, Self::Bedrock, Self::Simulated];

    /// The name in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Simulated => "simulated",
        }
    }

    /// The dialect of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

/// Timeouts that a provider or a model may set; `None` inherits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Option<Duration>,
    /// From sending a streaming request to its first real output.
    pub first_token: Option<Duration>,
    /// A non-streaming answer, whole.
    pub response: Option<Duration>,
    /// Between two chunks of a stream.
    pub chunk: Option<Duration>,
    /// One attempt, whole.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Field by field: mine, else the other's.
    pub fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect.or(other.connect),
            first_token: self.first_token.or(other.first_token),
            response: self.response.or(other.response),
            chunk: self.chunk.or(other.chunk),
            total: self.total.or(other.total),
        }
    }
}

/// How the simulated provider behaves; all draws come from `seed` and the request's number.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Seed of every draw.
    pub seed: u64,
    /// Median time to the first token.
    pub first_token: Duration,
    /// Median time between tokens.
    pub per_token: Duration,
    /// Spread of both: sigma of a log-normal distribution (0: constant).
    pub jitter: f64,
    /// Median length of an answer, in tokens.
    pub output_tokens: u32,
    /// Probability of each fault, a request; together at most 1.
    pub faults: Faults,
    /// The `Retry-After` of a simulated 429.
    pub retry_after: Duration,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            seed: 0,
            first_token: Duration::from_millis(200),
            per_token: Duration::from_millis(10),
            jitter: 0.3,
            output_tokens: 120,
            faults: Faults::default(),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// Rates of simulated faults, each in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// 429 with `Retry-After`.
    pub rate_limit: f64,
    /// 500, 502 or 503.
    pub server_error: f64,
    /// Accepts the request and never answers.
    pub stall: f64,
    /// The answer breaks off in the middle.
    pub cut: f64,
    /// The first token takes ten times as long.
    pub slow_first_token: f64,
    /// An answer without content.
    pub empty: f64,
    /// A 200 whose body is an error.
    pub in_band_error: f64,
}

/// What is known of a model.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name that clients and the configuration use.
    pub name: Arc<str>,
    /// Its endpoints; never empty.
    pub endpoints: Vec<EndpointIx>,
    /// Largest sum of input and output tokens.
    pub context_window: Option<u32>,
    /// Longest answer, in tokens.
    pub max_output_tokens: Option<u32>,
    /// What it is called for, where the catalogue knows it.
    pub kind: Option<Kind>,
    /// What it can do; `None` where nothing is known, which excludes nothing.
    pub capabilities: Option<Capabilities>,
    /// `None`: unknown, which is not zero.
    pub price: Option<Price>,
    /// Expected quality of its answers.
    pub quality: Quality,
    /// Expected latency before anything was measured.
    pub latency: Latency,
    /// The operator's and the catalogue's tags: compliance, strengths, pools.
    pub tags: Vec<Arc<str>>,
    /// Lifecycle.
    pub status: Status,
    /// Overrides of its providers' timeouts.
    pub timeouts: Timeouts,
    /// Size tier, where the catalogue knows it.
    pub tier: Option<Tier>,
    /// Which public tokenizer counts its input exactly.
    pub tokenizer: Tokenizer,
}

impl Model {
    /// A model of which nothing is known but its name; it has no endpoints yet.
    pub fn unknown(name: Arc<str>) -> Self {
        Self {
            name,
            endpoints: Vec::new(),
            context_window: None,
            max_output_tokens: None,
            kind: None,
            capabilities: None,
            price: None,
            quality: Quality::default(),
            latency: Latency::default(),
            tags: Vec::new(),
            status: Status::Active,
            timeouts: Timeouts::default(),
            tier: None,
            tokenizer: Tokenizer::default(),
        }
    }

    /// Whether the model carries `tag`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| &**t == tag)
    }
}

/// A model at a provider under one credential.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whose endpoint it is.
    pub model: ModelIx,
    /// Where it is.
    pub provider: ProviderIx,
    /// The model's name there.
    pub name: Arc<str>,
    /// Relative share of traffic among the model's endpoints; more than 0.
    pub weight: f32,
    /// Index in [`Provider::api_keys`]; `None` where the provider has none.
    pub key: Option<u16>,
}

/// Lifecycle of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// In service.
    #[default]
    Active,
    /// In service, but tried after every active model.
    Degraded,
    /// Only a pin reaches it, with a warning in the reason.
    Deprecated,
    /// Out of service.
    Offline,
}

/// Size tier of a model, by the catalogue's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Prior quality 0.55.
    Small,
    /// Prior quality 0.70.
    Medium,
    /// Prior quality 0.80.
    Large,
    /// Prior quality 0.88.
    Frontier,
}

impl Tier {
    /// The quality that a model of this tier is taken to have until something better is known (DESIGN.md).
    pub fn prior_quality(self) -> f32 {
        match self {
            Self::Small => 0.55,
            Self::Medium => 0.70,
            Self::Large => 0.80,
            Self::Frontier => 0.88,
        }
    }
}

/// A public byte-pair encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// o200k_base: GPT-4o and later; the best public guess for models with a closed tokenizer.
    #[default]
    O200k,
    /// cl100k_base: GPT-4 and GPT-3.5.
    Cl100k,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u16);

impl Capabilities {
    /// Image input.
    pub const VISION: Self = Self(1);
    /// Audio input.
    pub const AUDIO: Self = Self(1 << 1);
    /// Video input.
    pub const VIDEO: Self = Self(1 << 2);
    /// File input (PDF and the like).
    pub const DOCUMENTS: Self = Self(1 << 3);
    /// Tool calls.
    pub const TOOLS: Self = Self(1 << 4);
    /// Several tool calls in one answer.
    pub const PARALLEL_TOOLS: Self = Self(1 << 5);
    /// JSON-schema output.
    pub const STRUCTURED_OUTPUT: Self = Self(1 << 6);
    /// Reasoning effort can be asked for.
    pub const REASONING: Self = Self(1 << 7);
    /// Streaming; every model unless `no_streaming` says otherwise.
    pub const STREAMING: Self = Self(1 << 8);

    /// Every capability with its configuration name, in display order. `STREAMING` is written `no_streaming`, inverted.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self::VISION, "vision"),
        (Self::AUDIO, "audio"),
        (Self::VIDEO, "video"),
        (Self::DOCUMENTS, "documents"),
        (Self::TOOLS, "tools"),
        (Self::PARALLEL_TOOLS, "parallel_tools"),
        (Self::STRUCTURED_OUTPUT, "structured_output"),
        (Self::REASONING, "reasoning"),
    ];

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in `self` and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `self` has all of `other`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of what is in the set, in display order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .chain([(Self::STREAMING, "streaming")])
            .filter(move |(c, _)| self.has(*c))
            .map(|(_, n)| n)
    }
}

/// Expected quality of a model's answers, 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Over all tasks; `None`: unknown.
    pub default: Option<f32>,
    /// Where a task differs, by [`Task::index`].
    pub by_task: [Option<f32>; Task::COUNT],
    /// Whether `default` is only the prior of the model's size tier.
    pub prior: bool,
}

impl Quality {
    /// For a task: its own figure, else the default.
    pub fn of(&self, task: Task) -> Option<f32> {
        self.by_task[task.index()].or(self.default)
    }
}

/// Latency before anything was measured; weighs as 20 observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Milliseconds to the first token.
    pub first_token_ms: f32,
    /// Milliseconds a token after it.
    pub per_token_ms: f32,
}

impl Default for Latency {
    /// A mid-size hosted model: half a second, then 70 tokens a second.
    fn default() -> Self {
        Self { first_token_ms: 500.0, per_token_ms: 14.0 }
    }
}

//! What goes upstream in one attempt: the client's own bytes with a few ranges spliced where the endpoint speaks the
//! client's dialect, else the request translated. Pure but for the snapshot; it sends nothing.

use super::Run;
use super::prepare::{Call, Prepared};
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::sync::Arc;
use waypost_core::attempt::Attempt;
use waypost_core::chat;
use waypost_core::dialect::{self, Encoded, Inexpressible, Malformed, Target, bedrock, embeddings, gemini};
use waypost_core::registry::{Dialect, EndpointIx, Kind, Model, Provider};
use waypost_core::route::Candidate;
use waypost_core::splice::{CapField, Forward, OutputCap};

/// One attempt's request.
pub(super) struct Outgoing {
    /// What the endpoint speaks.
    pub dialect: Dialect,
    /// The model's name there.
    pub model: Arc<str>,
    pub body: Bytes,
    /// What follows the endpoint's base; `None` where it is the dialect's fixed path.
    pub path: Option<String>,
    /// Of the client's headers: those that belong to the dialect's API.
    pub headers: HeaderMap,
    /// What the translation left out.
    pub dropped: Vec<String>,
    /// JSON output comes as the call of this tool.
    pub json_tool: Option<String>,
}

impl Outgoing {
    fn new(dialect: Dialect, model: Arc<str>, encoded: Encoded) -> Self {
        let Encoded { body, dropped, json_tool } = encoded;
        Self { dialect, model, body: body.into(), path: None, headers: HeaderMap::new(), dropped, json_tool }
    }
}

/// Why an endpoint cannot be asked: its dialect cannot say it, or the request is not what its own dialect says it is.
#[derive(Clone, Debug)]
pub(super) struct Unsayable {
    pub field: String,
    pub why: String,
}

impl From<&Malformed> for Unsayable {
    fn from(m: &Malformed) -> Self {
        Self { field: m.field.clone(), why: m.problem.clone() }
    }
}

impl From<Inexpressible> for Unsayable {
    fn from(e: Inexpressible) -> Self {
        Self { field: e.field, why: e.why }
    }
}

/// Headers of Anthropic's API that clients set themselves.
const ANTHROPIC: [HeaderName; 2] =
    [HeaderName::from_static("anthropic-version"), HeaderName::from_static("anthropic-beta")];

/// The version from which Anthropic's API refuses sampling parameters. Versions are dates, which sort as text.
const NO_SAMPLING_FROM: &str = "2026-10-21";

/// Which of a provider's dialects takes a client's call: the client's own where the provider speaks it, unless the model
/// answers in one of them only.
fn spoken(provider: &Provider, model: &Model, client: Dialect) -> Dialect {
    let wanted = if model.kind == Some(Kind::Responses) { Dialect::Responses } else { client };
    let speaks = |dialect| provider.dialects.iter().find(|d| **d == dialect);
    speaks(wanted).or(speaks(client)).or(provider.dialects.first()).copied().unwrap_or(client)
}

impl Run<'_> {
    /// The request for one attempt.
    /// `cap`: the most output tokens, a choice, that the gate allows.
    pub(super) fn outgoing(
        &self,
        attempt: &Attempt,
        candidate: &Candidate,
        cap: Option<u32>,
    ) -> Result<Outgoing, Unsayable> {
        let prepared = self.prepared;
        let registry = &prepared.snapshot.config.registry;
        let endpoint = registry.endpoint(attempt.endpoint);
        let provider = registry.provider(endpoint.provider);
        let model = candidate.upstream_name().unwrap_or(&endpoint.name).clone();
        let dialect = spoken(provider, registry.model(endpoint.model), prepared.client);
        match prepared.call {
            Call::Embeddings => self.embeddings(attempt.endpoint, dialect, model),
            // A history with another dialect's tokens would be refused as it is: they are taken out.
            Call::Chat if is_same(dialect, prepared.client) && !prepared.scan.carries_foreign => {
                Ok(prepared.spliced(provider, dialect, model, cap))
            }
            Call::Chat => self.translated(attempt.endpoint, dialect, model, cap),
        }
    }

    fn translated(
        &self,
        endpoint: EndpointIx,
        dialect: Dialect,
        model: Arc<str>,
        cap: Option<u32>,
    ) -> Result<Outgoing, Unsayable> {
        let request = self.canonical().as_ref().map_err(Unsayable::from)?;
        let target = Target { cap: cap.map(u64::from), ..self.target(endpoint, &model) };
        let encoded = dialect::encode_request(dialect, request, &target)?;
        let path = match dialect {
            Dialect::Gemini => Some(gemini::path(&model, request.stream, false)),
            Dialect::Bedrock => Some(bedrock::path(&model, request.stream)),
            _ => None,
        };
        let headers = self.prepared.api_headers(dialect);
        Ok(Outgoing { path, headers, ..Outgoing::new(dialect, model, encoded) })
    }

    fn embeddings(&self, endpoint: EndpointIx, dialect: Dialect, model: Arc<str>) -> Result<Outgoing, Unsayable> {
        let prepared = self.prepared;
        match dialect {
            Dialect::OpenAi => {
                let forward = Forward { model: &model, usage: false, cap: None };
                let body = prepared.scan.upstream_body(&prepared.body, &forward);
                Ok(Outgoing { body, ..Outgoing::new(dialect, model, Encoded::default()) })
            }
            Dialect::Gemini => {
                let request = embeddings::decode_request(&prepared.own_body()).map_err(|e| Unsayable::from(&e))?;
                let encoded = embeddings::encode_gemini(&request, &self.target(endpoint, &model))?;
                let path = Some(gemini::path(&model, false, true));
                Ok(Outgoing { path, ..Outgoing::new(dialect, model, encoded) })
            }
            other => {
                let why = format!("its provider speaks {}, which has no embeddings here", other.name());
                Err(Unsayable { field: "model".into(), why })
            }
        }
    }

    /// What is known of the endpoint that a request is written for.
    fn target<'a>(&self, endpoint: EndpointIx, model: &'a str) -> Target<'a> {
        let config = &self.prepared.snapshot.config;
        let endpoint = config.registry.endpoint(endpoint);
        let (provider, facts) = (config.registry.provider(endpoint.provider), config.registry.model(endpoint.model));
        Target {
            model,
            cap: None,
            default_cap: facts.max_output_tokens.unwrap_or(config.default_max_output_tokens).into(),
            strict: self.strict,
            capabilities: facts.capabilities,
            quirks: provider.quirks,
            no_sampling: refuses_sampling(provider),
        }
    }

    /// The request in canonical form: decoded once, and only where some endpoint speaks another dialect.
    fn canonical(&self) -> &Result<chat::Request, Malformed> {
        self.canonical.get_or_init(|| dialect::decode_request(self.prepared.client, &self.prepared.own_body()))
    }
}

/// Whether bytes of the one are bytes of the other. The simulated provider speaks OpenAI's chat.
pub(super) fn is_same(provider: Dialect, client: Dialect) -> bool {
    provider == client || (provider == Dialect::Simulated && client == Dialect::OpenAi)
}

fn refuses_sampling(provider: &Provider) -> bool {
    let version = provider.headers.iter().find(|(name, _)| name == ANTHROPIC[0].as_str());
    version.is_some_and(|(_, value)| value.expose() >= NO_SAMPLING_FROM)
}

impl Prepared {
    /// The same dialect on both sides.
    fn spliced(&self, provider: &Provider, dialect: Dialect, model: Arc<str>, cap: Option<u32>) -> Outgoing {
        let usage = provider.stream_usage && self.client == Dialect::OpenAi;
        let field = match dialect {
            Dialect::Responses => CapField::MaxOutputTokens,
            Dialect::OpenAi if provider.quirks.max_completion_tokens => CapField::MaxCompletionTokens,
            _ => CapField::MaxTokens,
        };
        let cap = cap.map(|tokens| OutputCap { tokens, field });
        let body = self.scan.upstream_body(&self.body, &Forward { model: &model, usage, cap });
        let headers = self.api_headers(dialect);
        Outgoing { body, headers, ..Outgoing::new(dialect, model, Encoded::default()) }
    }

    /// The client's headers that belong to the API of the endpoint: only where the client speaks its dialect itself.
    fn api_headers(&self, dialect: Dialect) -> HeaderMap {
        let same = dialect == Dialect::Anthropic && self.client == Dialect::Anthropic;
        if same { of_the_api(&self.headers) } else { HeaderMap::new() }
    }

    /// The body without what is Waypost's own.
    pub(super) fn own_body(&self) -> Cow<'_, [u8]> {
        match &self.scan.waypost_member {
            None => Cow::Borrowed(&self.body),
            Some(range) => Cow::Owned([&self.body[..range.start], &self.body[range.end..]].concat()),
        }
    }
}

/// Those of a client's headers that belong to Anthropic's API.
pub(super) fn of_the_api(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    for name in ANTHROPIC {
        for value in headers.get_all(&name) {
            own.append(name.clone(), value.clone());
        }
    }
    own
}

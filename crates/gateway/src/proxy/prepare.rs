//! From a request's headers and body to everything that deciding and sending need. Pure but for the snapshot's keys.

use crate::error::{Error, Kind};
use crate::snapshot::Snapshot;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::{Arc, OnceLock};
use waypost_core::config::Key;
use waypost_core::hints::Hints;
use waypost_core::json;
use waypost_core::profile::{self, Declared, Profile};
use waypost_core::registry::Dialect;
use waypost_core::scan::{Scan, ScanError, scan_chat, scan_embeddings, scan_messages, scan_responses};
use waypost_core::sensitive;
use waypost_learn::features::Features;

/// What a client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A chat, in whichever dialect.
    Chat,
    /// Embeddings, in OpenAI's dialect.
    Embeddings,
}

/// A request that can be decided.
#[derive(Debug)]
pub struct Prepared {
    /// What is called.
    pub call: Call,
    /// What the client speaks.
    pub client: Dialect,
    /// The configuration that it is served on.
    pub snapshot: Arc<Snapshot>,
    /// The client key.
    pub key: Option<Arc<Key>>,
    /// As it came.
    pub body: Bytes,
    /// What one pass over it found.
    pub scan: Scan,
    /// What routing may know.
    pub profile: Profile,
    /// What the caller says beside it.
    pub hints: Hints,
    /// Tags of the key, then those of the request that the key does not set.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// The model that was asked for.
    pub model: String,
    /// Input tokens by each public tokenizer, counted where they decide.
    pub(super) exact: [OnceLock<u32>; 2],
    /// Features of the last user turn, once a predictor or a classifier asked; `None`: it has no text.
    pub(super) features: OnceLock<Option<Box<Features>>>,
    /// The request's headers; expressions see those that hold no credential.
    pub(super) headers: HeaderMap,
}

/// Headers that no expression sees.
const HIDDEN: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Scans and profiles one request.
pub fn prepare(
    snapshot: Arc<Snapshot>,
    (call, client): (Call, Dialect),
    key: Option<Arc<Key>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Prepared, Error> {
    let scan = match (call, client) {
        (Call::Embeddings, _) => scan_embeddings(&body),
        (Call::Chat, Dialect::Anthropic) => scan_messages(&body),
        (Call::Chat, Dialect::Responses) => scan_responses(&body),
        (Call::Chat, _) => scan_chat(&body),
    };
    let scan = scan.map_err(scan_error)?;
    let Some(model) = &scan.model else {
        let message = "`model` is required: a model, a route, a stage or `auto` (GET /v1/models lists them)";
        return Err(Error::new(Kind::InvalidRequest, message).param("model"));
    };
    let model = json::unescape(&body[model.start + 1..model.end - 1]).into_owned();
    let hints = hints(&scan, &body, &headers)?;
    let tags = tags(key.as_deref(), &hints);
    // Looking for personal data costs a pass over the text: only where some rule asks. A caller can declare it, not deny it.
    let found = || scan.texts.iter().any(|t| sensitive::detect(&body[t.range.clone()]).is_some());
    let sensitive = hints.sensitive == Some(true) || (snapshot.asks_sensitive && found());
    let class = hints.class.or_else(|| policy_class(&snapshot, &model, &hints));
    let profile = profile::profile(&body, &scan, Declared { class, sensitive });
    let exact = Default::default();
    let features = OnceLock::new();
    Ok(Prepared { call, client, snapshot, key, body, scan, profile, hints, tags, model, exact, features, headers })
}

impl Prepared {
    /// Visits the headers that expressions may see.
    pub fn each_header(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.headers {
            if let (false, Ok(value)) = (HIDDEN.contains(&name.as_str()), value.to_str()) {
                visit(name.as_str(), value);
            }
        }
    }
}

fn scan_error(e: ScanError) -> Error {
    let error = Error::new(Kind::InvalidRequest, e.to_string());
    match e.param() {
        Some(param) => error.param(param),
        None => error,
    }
}

/// The body's hints first: they win over the headers'.
fn hints(scan: &Scan, body: &Bytes, headers: &HeaderMap) -> Result<Hints, Error> {
    let wrong = |e: waypost_core::hints::HintError| Error::new(Kind::InvalidRequest, e.to_string()).param(e.field);
    let mut hints = match &scan.waypost {
        Some(range) => Hints::body(&body[range.clone()]).map_err(wrong)?,
        None => Hints::default(),
    };
    for (name, value) in headers {
        let Some(hint) = name.as_str().strip_prefix("x-waypost-") else { continue };
        let Ok(value) = value.to_str() else {
            let message = format!("header `{name}` must be printable ASCII");
            return Err(Error::new(Kind::InvalidRequest, message).param(name.as_str()));
        };
        hints.header(hint, value).map_err(wrong)?;
    }
    Ok(hints)
}

/// The key's tags win, so that a tag's rules cannot be evaded by sending another value.
fn tags(key: Option<&Key>, hints: &Hints) -> Vec<(Arc<str>, Arc<str>)> {
    let mut tags = key.map(|k| k.tags.clone()).unwrap_or_default();
    for (name, value) in &hints.tags {
        if !tags.iter().any(|(k, _)| **k == **name) {
            tags.push((name.as_str().into(), value.as_str().into()));
        }
    }
    tags
}

/// The class of the route or stage that the request names, else of `auto`.
fn policy_class(snapshot: &Snapshot, model: &str, hints: &Hints) -> Option<waypost_core::profile::Class> {
    let config = &snapshot.config;
    let route = model.strip_prefix("route/").or(hints.route.as_deref()).unwrap_or(model);
    let stage = model.strip_prefix("stage/").or(hints.stage.as_deref()).unwrap_or(model);
    let of_route = || config.routes.iter().find(|r| &*r.name == route).and_then(|r| r.policy.class);
    let of_stage = || config.stages.iter().find(|s| &*s.name == stage).and_then(|s| s.policy.class);
    let of_auto = || (model == "auto").then_some(config.auto.class).flatten();
    of_route().or_else(of_stage).or_else(of_auto)
}

//! Where an endpoint is and what every request to it carries: made once a configuration, cloned by reference count.

use super::aws::Signer;
use super::google;
use http::Uri;
use http::header::{self, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use std::path::Path;
use std::sync::Arc;
use waypost_core::registry::{Account, Dialect, Provider};
use waypost_core::units::Secret;

/// The version of Anthropic's API that a request names, unless the operator or the caller names another.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// One endpoint in one of its dialects.
#[derive(Clone, Debug)]
pub struct Target {
    /// Connections are shared by all targets of the same origin.
    pub origin: Arc<Origin>,
    /// `host`, fixed credentials, content type and the operator's own headers.
    pub headers: HeaderMap,
    /// Credentials that are not fixed.
    pub auth: Auth,
    /// Path of the base URL, without a trailing slash.
    base: String,
    paths: Paths,
}

/// Credentials that a request gets when it is sent.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None, or they are among [`Target::headers`].
    Fixed,
    /// A signature over the whole request.
    Aws(Arc<Signer>),
    /// An access token, fetched and kept.
    Google(Arc<google::Account>),
}

/// What is asked of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// An answer of the model, in the target's dialect.
    Chat,
    /// Embeddings.
    Embeddings,
    /// The number of input tokens.
    CountTokens,
    /// A path below the base URL, made by the dialect: it begins with `/` and is escaped. Gemini's and Bedrock's calls
    /// are such, since their paths name model and method.
    Path(&'a str),
}

/// What the path of a call depends on.
#[derive(Clone, Debug)]
enum Paths {
    /// Nothing: it was made at the start.
    Fixed(Box<Fixed>),
    /// The model's name, which is Azure's deployment; and the version of the API.
    Deployments { query: String },
    /// The model and the method, in the dialect's own way.
    Dialect,
}

/// `None`: the dialect has no such call.
#[derive(Clone, Debug)]
struct Fixed {
    chat: Uri,
    embeddings: Option<Uri>,
    count_tokens: Option<Uri>,
}

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// TLS or not.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Target {
    /// An endpoint of `provider`, in one of its dialects, with one of its keys. The error is for the operator.
    pub fn new(
        shared: &mut Shared,
        provider: &Provider,
        dialect: Dialect,
        key: Option<&Secret>,
    ) -> Result<Self, String> {
        let address = shared.address(&provider.base_url)?;
        let (base, paths) = paths(address.path.trim_end_matches('/'), dialect, &provider.account)?;
        let mut headers = usual_headers(&address.authority)?;
        if dialect == Dialect::Anthropic {
            headers.insert("anthropic-version", ANTHROPIC_VERSION);
        }
        if let Some(key) = key {
            let (name, value) = credential(dialect, &provider.account, key)?;
            headers.insert(name, value);
        }
        let auth = match &provider.account {
            Account::Aws(aws) => Auth::Aws(Arc::new(Signer::new(aws))),
            Account::Vertex { credentials_file: Some(file) } => Auth::Google(shared.account(file)?),
            Account::Vertex { credentials_file: None } | Account::Azure { .. } | Account::Key => Auth::Fixed,
        };
        if let Auth::Google(account) = &auth
            && let Some(project) = account.quota_project()
        {
            headers.insert("x-goog-user-project", project.clone());
        }
        for (name, value) in &provider.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header name"))?;
            let value = sensitive(value.expose())
                .ok_or_else(|| format!("the value of header `{name}` holds characters that no header may carry"))?;
            headers.insert(name, value);
        }
        Ok(Self { origin: address.origin, headers, auth, base, paths })
    }

    /// One call of an API like OpenAI's: `path` below `base_url`, with a bearer key.
    pub fn single(base_url: &str, path: &str, key: Option<&Secret>) -> Result<Self, String> {
        let address = Shared::default().address(base_url)?;
        let base = address.path.trim_end_matches('/').to_owned();
        let mut headers = usual_headers(&address.authority)?;
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, bearer(key.expose())?);
        }
        let fixed = Fixed { chat: uri(&base, path)?, embeddings: None, count_tokens: None };
        let paths = Paths::Fixed(Box::new(fixed));
        Ok(Self { origin: address.origin, headers, auth: Auth::Fixed, base, paths })
    }

    /// The request target of a call to `model` (its name at the provider). `None`: the dialect has no such call, or the
    /// path is none.
    pub fn uri(&self, call: Call<'_>, model: &str) -> Option<Uri> {
        match (call, &self.paths) {
            (Call::Path(path), _) => uri(&self.base, path).ok(),
            (Call::Chat, Paths::Fixed(fixed)) => Some(fixed.chat.clone()),
            (Call::Embeddings, Paths::Fixed(fixed)) => fixed.embeddings.clone(),
            (Call::CountTokens, Paths::Fixed(fixed)) => fixed.count_tokens.clone(),
            (Call::Chat, Paths::Deployments { query }) => self.deployment(model, "chat/completions", query),
            (Call::Embeddings, Paths::Deployments { query }) => self.deployment(model, "embeddings", query),
            (Call::CountTokens, Paths::Deployments { .. }) | (_, Paths::Dialect) => None,
        }
    }

    fn deployment(&self, name: &str, method: &str, query: &str) -> Option<Uri> {
        uri(&self.base, &format!("/openai/deployments/{}/{method}?{query}", segment(name))).ok()
    }
}

/// The base path and the calls below it.
fn paths(base: &str, dialect: Dialect, account: &Account) -> Result<(String, Paths), String> {
    let fixed = |base: &str, chat: &str, embeddings: Option<&str>, count_tokens: Option<&str>| {
        let optional = |path: Option<&str>| path.map(|path| uri(base, path)).transpose();
        let (embeddings, count_tokens) = (optional(embeddings)?, optional(count_tokens)?);
        let fixed = Fixed { chat: uri(base, chat)?, embeddings, count_tokens };
        Ok((base.to_owned(), Paths::Fixed(Box::new(fixed))))
    };
    // The resource's root, with or without what comes next.
    let azure = || base.trim_end_matches("/v1").trim_end_matches("/openai");
    match (dialect, account) {
        (Dialect::OpenAi, Account::Azure { api_version: Some(version) }) => {
            Ok((azure().to_owned(), Paths::Deployments { query: format!("api-version={version}") }))
        }
        (Dialect::OpenAi, Account::Azure { api_version: None }) => {
            fixed(azure(), "/openai/v1/chat/completions", Some("/openai/v1/embeddings"), None)
        }
        (Dialect::Responses, Account::Azure { api_version: Some(version) }) => {
            fixed(azure(), &format!("/openai/responses?api-version={version}"), None, None)
        }
        (Dialect::Responses, Account::Azure { api_version: None }) => {
            fixed(azure(), "/openai/v1/responses", None, None)
        }
        (Dialect::OpenAi, _) => fixed(base, "/chat/completions", Some("/embeddings"), None),
        (Dialect::Responses, _) => fixed(base, "/responses", None, None),
        (Dialect::Anthropic, _) => {
            let root = base.strip_suffix("/v1").unwrap_or(base);
            fixed(root, "/v1/messages", None, Some("/v1/messages/count_tokens"))
        }
        (Dialect::Gemini | Dialect::Bedrock, _) => Ok((base.to_owned(), Paths::Dialect)),
        (Dialect::Simulated, _) => Err("the simulated provider has no address".into()),
    }
}

/// The header that a key goes in.
fn credential(dialect: Dialect, account: &Account, key: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let plain = |name: &'static str| {
        let value = sensitive(key.expose()).ok_or_else(unusable_key)?;
        Ok((HeaderName::from_static(name), value))
    };
    match (account, dialect) {
        (Account::Azure { .. }, _) => plain("api-key"),
        (Account::Key, Dialect::Anthropic) => plain("x-api-key"),
        (Account::Key, Dialect::Gemini) => plain("x-goog-api-key"),
        (Account::Key | Account::Vertex { .. } | Account::Aws(_), _) => Ok((AUTHORIZATION, bearer(key.expose())?)),
    }
}

fn usual_headers(authority: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(8);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|e| e.to_string())?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
    Ok(headers)
}

fn bearer(key: &str) -> Result<HeaderValue, String> {
    sensitive(&format!("Bearer {key}")).ok_or_else(unusable_key)
}

fn unusable_key() -> String {
    "an api_key holds characters that no header may carry".to_owned()
}

/// A header's value that nothing prints.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn uri(base: &str, path: &str) -> Result<Uri, String> {
    format!("{base}{path}").parse().map_err(|e| format!("its URL has no usable path: {e}"))
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What the targets of a configuration share, kept over a reload: origins, and with them connections; Google accounts,
/// and with them tokens.
#[derive(Debug, Default)]
pub struct Shared {
    origins: Vec<Arc<Origin>>,
    /// Those read for this configuration.
    accounts: Vec<Arc<google::Account>>,
    /// Those of the configuration before.
    earlier: Vec<Arc<google::Account>>,
}

/// A URL taken apart.
pub(super) struct Address {
    pub(super) origin: Arc<Origin>,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Shared {
    /// What these targets share.
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut shared = Self::default();
        for target in targets {
            if !shared.origins.contains(&target.origin) {
                shared.origins.push(target.origin.clone());
            }
            if let Auth::Google(account) = &target.auth
                && !shared.earlier.iter().any(|known| Arc::ptr_eq(known, account))
            {
                shared.earlier.push(account.clone());
            }
        }
        shared
    }

    /// The address of an absolute URL.
    pub(super) fn address(&mut self, url: &str) -> Result<Address, String> {
        let parsed: Uri = url.parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?;
        let (Some(scheme), Some(authority)) = (parsed.scheme(), parsed.authority()) else {
            return Err(format!("`{url}` is not an absolute URL"));
        };
        let tls = *scheme == Scheme::HTTPS;
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let origin = Origin { tls, host, port };
        let known = self.origins.iter().find(|o| ***o == origin).cloned();
        let origin = known.unwrap_or_else(|| {
            let origin = Arc::new(origin);
            self.origins.push(origin.clone());
            origin
        });
        let (authority, query) = (authority.to_string(), parsed.query().map(str::to_owned));
        Ok(Address { origin, authority, path: parsed.path().to_owned(), query })
    }

    /// The account of a credentials file, read once a configuration; where the file did not change, with its token.
    fn account(&mut self, file: &Path) -> Result<Arc<google::Account>, String> {
        if let Some(known) = self.accounts.iter().find(|a| a.file() == file) {
            return Ok(known.clone());
        }
        let new = google::Account::read(file, self)?;
        let earlier = self.earlier.iter().find(|known| known.is_same(&new)).cloned();
        let account = earlier.unwrap_or_else(|| Arc::new(new));
        self.accounts.push(account.clone());
        Ok(account)
    }
}

#[cfg(test)]
mod tests;

//! Access tokens of Google's cloud: fetched for the credentials of a file, kept until shortly before they expire, and
//! fetched anew by one request at a time. A token is good for all endpoints and all workers.

mod credentials;

use super::Pool;
use super::pool::SendError;
use super::target::{Address, Origin, Shared, sensitive};
use bytes::Bytes;
use credentials::Credentials;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use waypost_core::units::Secret;

/// A token is replaced this long before it expires, or in the middle of a shorter life.
const MARGIN: Duration = Duration::from_secs(300);
/// A token server that is slower than this is taken to be down.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a failure nobody asks again for so long: otherwise every request that waited would, one after the other.
const PAUSE: Duration = Duration::from_secs(2);
/// A token that a provider refuses is fetched anew if it is older than this: a new one would be refused as well.
const TRUSTED: Duration = Duration::from_secs(60);
/// A token's answer is far shorter.
const MOST_ANSWER: usize = 256 << 10;

/// The account of one credentials file, with its token.
#[derive(Debug)]
pub struct Account {
    file: PathBuf,
    /// Of the file's bytes: the same file holds the same account.
    digest: [u8; 32],
    credentials: Credentials,
    origin: Arc<Origin>,
    uri: Uri,
    host: HeaderValue,
    quota_project: Option<HeaderValue>,
    state: Mutex<State>,
    /// Held while a token is fetched.
    fetching: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// The one before: what was sent with it may still be answered.
    earlier: Option<HeaderValue>,
    failed: Option<(Instant, TokenError)>,
}

#[derive(Clone, Debug)]
struct Token {
    /// `Bearer …`
    header: HeaderValue,
    asked: Instant,
    replace: Instant,
    expires: Instant,
}

impl Token {
    fn new(header: HeaderValue, asked: Instant, life: Duration) -> Self {
        Self { header, asked, replace: asked + life - MARGIN.min(life / 2), expires: asked + life }
    }
}

/// Why there is no token. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// For the operator.
    pub message: String,
    /// The credentials were refused: asking again changes nothing.
    pub refused: bool,
}

impl Account {
    /// Reads a file. The error is for the operator and shows nothing of the file's secrets.
    pub(super) fn read(file: &Path, shared: &mut Shared) -> Result<Self, String> {
        let shown = file.display();
        let text = std::fs::read(file).map_err(|e| format!("credentials_file {shown}: {e}"))?;
        let parsed = credentials::parse(&text).map_err(|e| format!("credentials_file {shown}: {e}"))?;
        let address = shared.address(&parsed.token_uri);
        let Address { origin, authority, path, query } =
            address.map_err(|_| format!("credentials_file {shown}: `token_uri` is not a URL"))?;
        let loopback = matches!(origin.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if !origin.tls && !loopback {
            return Err(format!("credentials_file {shown}: `token_uri` must begin with https://"));
        }
        let unusable = || format!("credentials_file {shown}: `token_uri` is not a URL");
        let query = query.map(|q| format!("?{q}")).unwrap_or_default();
        Ok(Self {
            file: file.to_owned(),
            digest: *blake3::hash(&text).as_bytes(),
            credentials: parsed.credentials,
            origin,
            uri: format!("{path}{query}").parse().map_err(|_| unusable())?,
            host: HeaderValue::from_str(&authority).map_err(|_| unusable())?,
            quota_project: parsed.quota_project.and_then(|project| HeaderValue::from_str(&project).ok()),
            state: Mutex::default(),
            fetching: Semaphore::new(1),
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the other was read from the same file with the same content.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }

    /// The project that a user's calls are counted for.
    pub(super) fn quota_project(&self) -> Option<&HeaderValue> {
        self.quota_project.as_ref()
    }

    /// An `authorization` that holds now.
    pub(super) async fn authorization(
        &self,
        pool: &Arc<Pool>,
        connect_timeout: Duration,
    ) -> Result<HeaderValue, TokenError> {
        if let Some(header) = self.kept(|token| token.replace) {
            return Ok(header);
        }
        let permit = match self.fetching.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => {
                // Another request fetches: what still holds is good enough meanwhile.
                if let Some(header) = self.kept(|token| token.expires) {
                    return Ok(header);
                }
                self.fetching.acquire().await
            }
        };
        if let Some(header) = self.kept(|token| token.replace) {
            return Ok(header);
        }
        let fetched = match self.failed() {
            Some(e) => Err(e),
            None => self.fetch(pool, connect_timeout).await,
        };
        drop(permit);
        // The old one may outlive a short outage.
        fetched.or_else(|e| self.kept(|token| token.expires).ok_or(e))
    }

    /// The provider did not accept this token: it was revoked before its time.
    pub(super) fn refused(&self, header: &HeaderValue) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = state.token.take_if(|token| token.header == *header && token.asked.elapsed() > TRUSTED);
        state.earlier = spent.map(|token| token.header).or_else(|| state.earlier.take());
    }

    /// A provider's text without our tokens, should it have echoed one.
    pub fn scrub(&self, text: String) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let headers = state.token.iter().map(|token| &token.header).chain(&state.earlier);
        let tokens = headers.filter_map(|header| header.to_str().ok()?.strip_prefix("Bearer "));
        tokens.fold(text, |text, token| text.replace(token, "***"))
    }

    fn kept(&self, until: impl Fn(&Token) -> Instant) -> Option<HeaderValue> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.token.as_ref().filter(|token| Instant::now() < until(token)).map(|token| token.header.clone())
    }

    /// The failure of a moment ago.
    fn failed(&self) -> Option<TokenError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, e)| e.clone())
    }

    async fn fetch(&self, pool: &Arc<Pool>, connect_timeout: Duration) -> Result<HeaderValue, TokenError> {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, self.ask(pool, connect_timeout)).await;
        let late = || TokenError { message: "the token server did not answer in time".into(), refused: false };
        let result = answer.unwrap_or_else(|_| Err(late()));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok((header, life)) => {
                let before = state.token.replace(Token::new(header.clone(), asked, life));
                state.earlier = before.map(|token| token.header).or_else(|| state.earlier.take());
                state.failed = None;
                Ok(header)
            }
            Err(e) => {
                let e =
                    TokenError { message: format!("no access token from {}: {}", self.origin.host, e.message), ..e };
                state.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    /// One exchange with the token server: the header, and how long it holds.
    async fn ask(&self, pool: &Arc<Pool>, connect_timeout: Duration) -> Result<(HeaderValue, Duration), TokenError> {
        let transient = |message: String| TokenError { message, refused: false };
        let form = self.credentials.form(crate::clock::unix_ms() / 1000);
        let form = form.map_err(|message| TokenError { message, refused: true })?;
        let mut request = Request::new(Full::new(Bytes::from(form.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let sent = pool.exchange(&self.origin, request, connect_timeout).await;
        let (response, connection) = sent.map_err(|e: SendError| transient(e.to_string()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST_ANSWER).collect().await;
        let body = body.map_err(|_| transient("its answer broke off".into()))?.to_bytes();
        connection.give_back();
        read_answer(head.status, &body, &form.secrets)
    }
}

fn read_answer(status: StatusCode, body: &[u8], secrets: &[Secret]) -> Result<(HeaderValue, Duration), TokenError> {
    let refused = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if status != StatusCode::OK {
        let parts = ["error", "error_description"].map(|key| answer[key].as_str().unwrap_or_default());
        let said = parts.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(": ");
        let said = secrets.iter().fold(said, |text, s| text.replace(s.expose(), "***"));
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let message = if said.is_empty() { format!("status {status}") } else { format!("status {status}, {said}") };
        return Err(TokenError { message, refused });
    }
    let header = answer["access_token"].as_str().filter(|token| !token.is_empty());
    let header = header.and_then(|token| sensitive(&format!("Bearer {token}")));
    // Some servers write numbers as text.
    let life = answer["expires_in"].as_f64().or_else(|| answer["expires_in"].as_str()?.parse().ok());
    let life = life.unwrap_or(3600.0).clamp(0.0, 86_400.0);
    match header {
        Some(header) => Ok((header, Duration::from_secs_f64(life))),
        None => Err(TokenError { message: "its answer holds no access_token".into(), refused: false }),
    }
}

#[cfg(test)]
mod tests;

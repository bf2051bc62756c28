//! Idle connections by origin, for one worker thread, and one exchange over them.

use super::connect::{self, ConnectError, Stream, Tls};
use super::google::TokenError;
use super::target::{Auth, Origin, Target};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Connections kept idle for each origin.
const MOST_IDLE: usize = 256;
/// An idle connection older than this is not used again: most servers close theirs after 60 s or more.
const LONGEST_IDLE: Duration = Duration::from_secs(50);

/// Why an exchange brought no response head.
#[derive(Debug)]
pub enum SendError {
    /// No TCP connection.
    Connect(String),
    /// No TLS session.
    Tls(String),
    /// No connection in time.
    ConnectTimeout,
    /// The connection broke before a response head came.
    Broken(String),
    /// No credentials to send: nothing went to the provider.
    Credentials(TokenError),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(e) => write!(f, "cannot connect: {e}"),
            Self::Tls(e) => write!(f, "no TLS session: {e}"),
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::Broken(e) => write!(f, "the connection broke before an answer: {e}"),
            Self::Credentials(e) => f.write_str(&e.message),
        }
    }
}

/// One request on its way to a [`Target`].
#[derive(Debug)]
pub struct Outgoing {
    /// From [`Target::uri`].
    pub uri: Uri,
    /// More headers; where the target has one of the same name, these win.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Outgoing {
    /// With the target's own headers.
    pub fn new(uri: Uri, body: Bytes) -> Self {
        Self { uri, headers: HeaderMap::new(), body }
    }
}

/// Idle connections of one worker.
#[derive(Debug)]
pub struct Pool {
    idle: Mutex<Vec<(Arc<Origin>, Vec<Idle>)>>,
    tls: Arc<Tls>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// The connection that an exchange runs on. Given back when its response was read to the end; dropped otherwise, which
/// closes it and so cancels the upstream's work.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    origin: Arc<Origin>,
    pool: Arc<Pool>,
}

impl Connection {
    /// The response was read to its end: the connection may serve the next request.
    pub fn give_back(self) {
        if !self.sender.is_closed() {
            self.pool.clone().put(self);
        }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(tls: Arc<Tls>) -> Self {
        Self { idle: Mutex::default(), tls }
    }

    /// Sends a request to `target`, with its credentials; resolves with the response head. Dropping the future or the
    /// [`Connection`] cancels.
    pub async fn send(
        self: &Arc<Self>,
        target: &Target,
        outgoing: Outgoing,
        connect_timeout: Duration,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let body = outgoing.body.clone();
        let mut request = request(target, outgoing);
        match &target.auth {
            Auth::Fixed => self.exchange(&target.origin, request, connect_timeout).await,
            Auth::Google(account) => {
                let token = account.authorization(self, connect_timeout).await.map_err(SendError::Credentials)?;
                request.headers_mut().insert(AUTHORIZATION, token.clone());
                let exchanged = self.exchange(&target.origin, request, connect_timeout).await?;
                if exchanged.0.status() == StatusCode::UNAUTHORIZED {
                    account.refused(&token);
                }
                Ok(exchanged)
            }
            Auth::Aws(signer) => {
                let (path, headers) = (request.uri().path(), request.headers());
                let now = crate::clock::unix_ms().unsigned_abs() / 1000;
                let signed = signer.sign("POST", path, headers, &body, now);
                let signed = signed
                    .map_err(|e| SendError::Credentials(TokenError { message: e.to_string(), refused: false }))?;
                request.headers_mut().extend(signed);
                self.exchange(&target.origin, request, connect_timeout).await
            }
        }
    }

    /// The same with another method than POST, to a target without credentials that are made for each request.
    pub async fn call(
        self: &Arc<Self>,
        method: Method,
        target: &Target,
        outgoing: Outgoing,
        connect_timeout: Duration,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let mut request = request(target, outgoing);
        *request.method_mut() = method;
        self.exchange(&target.origin, request, connect_timeout).await
    }

    /// Sends a request that is complete.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        origin: &Arc<Origin>,
        mut request: Request<Full<Bytes>>,
        connect_timeout: Duration,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        // A kept connection may have been closed by the server meanwhile: hyper hands the request back where it was not
        // sent. One that went out is never sent again from here: the provider may have begun to work, and to bill.
        while let Some(mut sender) = self.take(origin) {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.connection(sender, origin))),
                Err(mut e) => match e.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Broken(chain(&e.into_error()))),
                },
            }
        }
        let opened = timeout(connect_timeout, self.open(origin)).await;
        let mut sender = opened.map_err(|_| SendError::ConnectTimeout)??;
        let response = sender.send_request(request).await.map_err(|e| SendError::Broken(chain(&e)))?;
        Ok((response, self.connection(sender, origin)))
    }

    fn connection(self: &Arc<Self>, sender: SendRequest<Full<Bytes>>, origin: &Arc<Origin>) -> Connection {
        Connection { sender, origin: origin.clone(), pool: self.clone() }
    }

    async fn open(&self, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let stream = connect::connect(origin, &self.tls).await.map_err(|e| match e {
            ConnectError::Tcp(e) => SendError::Connect(e.to_string()),
            ConnectError::Tls(e) => SendError::Tls(e.to_string()),
        })?;
        let broken = |e: hyper::Error| SendError::Broken(chain(&e));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(256 * 1024);
        Ok(match stream {
            Stream::Plain(io) => {
                let (sender, connection) = builder.handshake(io).await.map_err(broken)?;
                tokio::spawn(connection);
                sender
            }
            Stream::Tls(io) => {
                let (sender, connection) = builder.handshake(*io).await.map_err(broken)?;
                tokio::spawn(connection);
                sender
            }
        })
    }

    fn take(&self, origin: &Arc<Origin>) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, list) = idle.iter_mut().find(|(o, _)| Arc::ptr_eq(o, origin) || o == origin)?;
        while let Some(Idle { sender, since }) = list.pop() {
            if since.elapsed() > LONGEST_IDLE {
                // What lies below is older still.
                list.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, connection: Connection) {
        let Connection { sender, origin, .. } = connection;
        let entry = Idle { sender, since: Instant::now() };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter_mut().find(|(o, _)| *o == origin) {
            Some((_, list)) if list.len() < MOST_IDLE => list.push(entry),
            Some(_) => {}
            None => idle.push((origin, vec![entry])),
        }
    }
}

fn request(target: &Target, outgoing: Outgoing) -> Request<Full<Bytes>> {
    let Outgoing { uri, headers, body } = outgoing;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = uri;
    *request.headers_mut() = target.headers.clone();
    if !headers.is_empty() {
        request.headers_mut().extend(headers);
    }
    request
}

/// An error with its causes, in one line.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

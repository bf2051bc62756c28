//! The gateway that answers, as its client: one that runs already, or one of this process on a free port. Every call goes
//! through its listener, so that keys, budgets, retries, costs and the ledger are those of any other request.

use super::super::{ConfigArg, Failure, file};
use crate::app::App;
use crate::server::Handle;
use crate::upstream::{Call, Outgoing, Pool, Target};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waypost_core::units::Secret;
use waypost_learn::grade::Task;

/// Longest time for one answer: beyond the gateway's own default, which ends in an error that says more.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A gateway's client.
pub(super) struct Gateway {
    pool: Arc<Pool>,
    models: Target,
    route: Target,
    chat: Target,
    /// Where it is, for messages.
    base: String,
    /// Where it runs in this process.
    own: Option<Handle>,
}

/// A reply that came.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null where the body is no JSON.
    pub body: Value,
    /// From sending to the last byte.
    pub took: Duration,
}

impl Reply {
    /// The error's message.
    pub(super) fn message(&self) -> String {
        let said = self.body["error"]["message"].as_str();
        said.map_or_else(|| format!("{} without a message", self.status), str::to_owned)
    }

    /// The error's stable code.
    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// A header's value.
    pub(super) fn header<T: FromStr>(&self, name: &str) -> Option<T> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }
}

impl Gateway {
    /// The running gateway at `url`.
    pub(super) fn at(url: &str, key: Option<&str>) -> Result<Self, Failure> {
        let key = key.map(Secret::new);
        let base = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let target = |path| Target::single(&base, path, key.as_ref()).map_err(|e| vec![format!("{url}: {e}")]);
        let (models, route, chat) = (target("/v1/models")?, target("/v1/route")?, target("/v1/chat/completions")?);
        Ok(Self { pool: Arc::new(Pool::new(Arc::default())), models, route, chat, base, own: None })
    }

    /// Starts one on the configuration that the command means, on loopback and a free port.
    pub(super) fn start(config: &ConfigArg, key: Option<&str>) -> Result<Self, Failure> {
        let (mut config, path) = file::load(config)?;
        config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Its only client is this process.
        config.server.tls = None;
        waypost_core::profile::load();
        let handle = App::start(config, path).map_err(|e| vec![e.to_string()])?;
        let mut gateway = Self::at(&format!("http://{}", handle.address()), key)?;
        gateway.own = Some(handle);
        Ok(gateway)
    }

    /// Writes the records of a gateway of this process.
    pub(super) fn shut_down(self) -> Result<(), Failure> {
        // Connections that are kept open would be waited for.
        drop(self.pool);
        self.own.map_or(Ok(()), |own| own.shut_down().map_err(|e| vec![e.to_string()]))
    }

    /// What a client with this key may ask for.
    pub(super) async fn models(&self) -> Result<Vec<Value>, Failure> {
        let reply = self.call(Method::GET, &self.models, Bytes::new()).await.map_err(|e| self.wrong(&e))?;
        if reply.status != StatusCode::OK {
            let key = reply.status == StatusCode::UNAUTHORIZED;
            let way = if key { "; say --key, or $WAYPOST_KEY" } else { "" };
            return Err(self.wrong(&format!("{}{way}", reply.message())));
        }
        Ok(reply.body["data"].as_array().cloned().unwrap_or_default())
    }

    /// What a call would be decided to, and cost; calls no model.
    pub(super) async fn explain(&self, task: &Task, model: &str) -> Result<Value, Failure> {
        let reply = self.call(Method::POST, &self.route, body(task, model)).await.map_err(|e| self.wrong(&e))?;
        // Before it decides, a request may be refused as the call would be.
        match reply.status {
            StatusCode::OK => Ok(reply.body),
            _ => Ok(json!({"error": {"code": reply.code(), "message": reply.message()}})),
        }
    }

    /// One answer.
    ///
    /// # Errors
    /// There was none: the connection broke, or it took too long.
    pub(super) async fn ask(&self, task: &Task, model: &str) -> Result<Reply, String> {
        self.call(Method::POST, &self.chat, body(task, model)).await
    }

    fn wrong(&self, what: &str) -> Failure {
        vec![format!("{}: {what}", self.base)]
    }

    async fn call(&self, method: Method, target: &Target, body: Bytes) -> Result<Reply, String> {
        let uri = target.uri(Call::Chat, "").ok_or("it has no usable path")?;
        let mut outgoing = Outgoing::new(uri, body);
        // An answer from the cache would say nothing of cost and latency.
        outgoing.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let began = Instant::now();
        let exchange = async {
            let sent = self.pool.call(method, target, outgoing, Duration::from_secs(10)).await;
            let (response, connection) = sent.map_err(|e| e.to_string())?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
            let took = began.elapsed();
            connection.give_back();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Ok(Reply { status: head.status, headers: head.headers, body, took })
        };
        let timed = tokio::time::timeout(PATIENCE, exchange).await;
        timed.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
    }
}

/// The chat request of a task: the model pinned, so that nobody else answers in its place.
fn body(task: &Task, model: &str) -> Bytes {
    let mut body = json!({"model": model, "messages": task.messages});
    if let Some(most) = task.max_output_tokens {
        // OpenAI's own name; the gateway translates it for other dialects.
        body["max_completion_tokens"] = most.into();
    }
    if let Some(temperature) = task.temperature {
        body["temperature"] = temperature.into();
    }
    Bytes::from(body.to_string())
}

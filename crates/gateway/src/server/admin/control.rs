//! Keys, limits and the audit. What may be asked for, and what is told, is the control plane's; here are paths, bodies and
//! status codes.

use super::{body, parameter};
use crate::app::State;
use crate::control::{ChangeError, Command, Refused, Stored, audit_list, key_list, key_shown, limit_list};
use crate::error::{Error, Kind};
use crate::proxy::Reply;
use crate::server::edge::{percent_decoded, reply};
use crate::server::{guard, service};
use crate::snapshot::Snapshot;
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// One request of an admin.
pub(super) struct Asked<'a> {
    pub(super) state: &'a State,
    pub(super) snapshot: &'a Snapshot,
    pub(super) peer: Option<SocketAddr>,
    pub(super) head: &'a Parts,
}

impl Asked<'_> {
    /// `/admin/keys` and all below it; `rest` is what follows.
    pub(super) async fn keys(&self, rest: &str, unread: &mut Option<Incoming>) -> Result<Reply, Error> {
        let (config, now) = (&self.snapshot.config, crate::clock::unix_ms());
        let method = self.method();
        if rest.is_empty() {
            return match *method {
                Method::GET => Ok(reply(StatusCode::OK, &key_list(config, &*self.stored().await, now))),
                Method::POST => self.change(StatusCode::CREATED, Command::CreateKey(self.json(unread).await?)).await,
                _ => Err(self.no_such_path()),
            };
        }
        let path = rest.trim_start_matches('/');
        if let Some(id) = path.strip_suffix("/rotate").filter(|id| !id.is_empty()) {
            if *method != Method::POST {
                return Err(self.no_such_path());
            }
            let command = Command::RotateKey(percent_decoded(id), self.json(unread).await?);
            return self.change(StatusCode::OK, command).await;
        }
        let id = percent_decoded(path);
        match *method {
            Method::GET => key_shown(config, &*self.stored().await, &id, now)
                .map(|key| reply(StatusCode::OK, &key))
                .map_err(|refused| told(ChangeError::Refused(refused))),
            Method::PATCH => {
                let command = Command::UpdateKey(id, self.json(unread).await?);
                self.change(StatusCode::OK, command).await
            }
            Method::DELETE => self.change(StatusCode::OK, Command::RevokeKey(id)).await,
            _ => Err(self.no_such_path()),
        }
    }

    /// `/admin/limits` and all below it; `rest` is what follows. The scope stands there, or in `?scope=`.
    pub(super) async fn limits(&self, rest: &str, unread: &mut Option<Incoming>) -> Result<Reply, Error> {
        let method = self.method();
        let query = self.head.uri.query().unwrap_or("");
        let in_path = rest.strip_prefix('/').filter(|scope| !scope.is_empty()).map(percent_decoded);
        if *method == Method::GET && in_path.is_none() {
            let stored = self.stored().await;
            return Ok(reply(StatusCode::OK, &limit_list(&self.snapshot.config, &stored)));
        }
        if !matches!(*method, Method::PUT | Method::DELETE) {
            return Err(self.no_such_path());
        }
        let scope = in_path.or_else(|| parameter(query, "scope")).ok_or_else(|| {
            let message = "name the scope, as in /admin/limits/team%2Fa or /admin/limits?scope=team/a";
            Error::new(Kind::InvalidRequest, message).param("scope")
        })?;
        let command = match *method {
            Method::PUT => Command::SetLimits(scope, self.json(unread).await?),
            _ => Command::UnsetLimits(scope),
        };
        self.change(StatusCode::OK, command).await
    }

    pub(super) async fn audit(&self) -> Result<Reply, Error> {
        let wanted = parameter(self.head.uri.query().unwrap_or(""), "limit");
        let limit = wanted.map_or(Ok(100), |text| text.parse::<u32>());
        let limit = limit
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| Error::new(Kind::InvalidRequest, "`limit` is a number from 1 to 1000").param("limit"))?;
        let rows = self.state.control.audit(limit).await.map_err(told)?;
        Ok(reply(StatusCode::OK, &audit_list(&rows)))
    }

    async fn stored(&self) -> Arc<Stored> {
        self.state.control.latest().await
    }

    /// HEAD is answered as GET, without the body.
    fn method(&self) -> &Method {
        if self.head.method == Method::HEAD { &Method::GET } else { &self.head.method }
    }

    fn no_such_path(&self) -> Error {
        service::no_such_path(&self.head.method, self.head.uri.path())
    }

    /// The body; nothing at all is null.
    async fn json(&self, unread: &mut Option<Incoming>) -> Result<Value, Error> {
        guard::json(&self.head.headers)?;
        let bytes = body(unread).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::new(Kind::InvalidRequest, format!("the body is not JSON: {e}")))
    }

    async fn change(&self, good: StatusCode, command: Command) -> Result<Reply, Error> {
        let actor = match self.peer {
            Some(peer) => format!("admin {peer}"),
            None => "admin".to_owned(),
        };
        let changed = self.state.control.change(&self.snapshot.config, command, &actor).await.map_err(told)?;
        Ok(reply(good, &changed))
    }
}

fn told(error: ChangeError) -> Error {
    let message = error.to_string();
    match error {
        ChangeError::Refused(Refused::Invalid(mistakes)) => {
            let error = Error::new(Kind::InvalidRequest, message);
            match mistakes.into_iter().next().filter(|first| !first.field.is_empty()) {
                Some(first) => error.param(first.field),
                None => error,
            }
        }
        ChangeError::Refused(Refused::NotFound(_)) => Error::new(Kind::NotFound, message),
        ChangeError::Refused(Refused::Conflict(_)) => Error::new(Kind::Conflict, message),
        ChangeError::Store(_) | ChangeError::Silent => {
            tracing::error!("{message}");
            Error::new(Kind::Internal, message)
        }
    }
}

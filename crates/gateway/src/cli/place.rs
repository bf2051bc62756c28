//! Where a command that manages keys and limits works: on the storage of the configuration, or on a running gateway over
//! its admin API. Both give the same JSON.

use super::{ConfigArg, Failure, file};
use crate::books::Books;
use crate::control::{
    ChangeError, Command, Control, Missing, Refused, Stored, audit_list, key_list, key_shown, limit_list,
};
use crate::gate;
use crate::keys::Keyring;
use crate::upstream::{Call, Outgoing, Pool, Target};
use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use waypost_core::config::{Config, Storage};
use waypost_core::units::Secret;

/// Storage or gateway.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Ask this running gateway instead of opening the storage; the only way where `storage` is `memory`
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
    /// The gateway's `server.admin_token`
    #[arg(long, value_name = "TOKEN", env = "WAYPOST_ADMIN", hide_env_values = true)]
    admin_token: Option<String>,
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look<'a> {
    Keys,
    Key(&'a str),
    Limits,
    Audit(u32),
    Budgets,
}

impl PlaceArgs {
    /// Makes a change; what it became.
    pub(super) fn change(&self, command: Command) -> Result<Value, Failure> {
        if let Some(url) = &self.url {
            return self.remote(url, asked(command));
        }
        let makes = matches!(command, Command::CreateKey(_) | Command::SetLimits(..));
        let (config, control) = self.open(if makes { Missing::Create } else { Missing::Refuse })?;
        control.change_blocking(&config, command, "cli").map_err(lines)
    }

    pub(super) fn look(&self, at: Look<'_>) -> Result<Value, Failure> {
        if let Some(url) = &self.url {
            let path = match at {
                Look::Keys => "/admin/keys".to_owned(),
                Look::Key(id) => format!("/admin/keys/{}", encoded(id)),
                Look::Limits => "/admin/limits".to_owned(),
                Look::Audit(limit) => format!("/admin/audit?limit={limit}"),
                Look::Budgets => "/admin/budgets".to_owned(),
            };
            return self.remote(url, (Method::GET, path, Value::Null));
        }
        let (config, control) = self.open(Missing::Refuse)?;
        let (stored, now) = (control.stored(), crate::clock::unix_ms());
        match at {
            Look::Keys => Ok(key_list(&config, &stored, now)),
            Look::Key(id) => {
                key_shown(&config, &stored, id, now).map_err(|refused| lines(ChangeError::Refused(refused)))
            }
            Look::Limits => Ok(limit_list(&config, &stored)),
            Look::Audit(limit) => control.audit_blocking(limit).map(|rows| audit_list(&rows)).map_err(lines),
            Look::Budgets => budgets(&config, &stored, now),
        }
    }

    fn open(&self, missing: Missing) -> Result<(Config, Control), Failure> {
        let (config, _) = file::load(&self.config)?;
        if config.storage == Storage::Memory {
            let message = "storage is `memory`: its keys and limits are those of the running gateway alone; name it with \
                           --url (and --admin-token, or $WAYPOST_ADMIN)";
            return Err(vec![message.to_owned()]);
        }
        let control = Control::open(&config.storage, missing).map_err(|e| vec![e.to_string()])?;
        Ok((config, control))
    }

    /// Asks a running gateway.
    fn remote(&self, url: &str, (method, path, body): (Method, String, Value)) -> Result<Value, Failure> {
        let fail = |e: String| vec![format!("{url}: {e}")];
        let token = self.admin_token.as_deref().map(Secret::new);
        let base = url.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/admin");
        let target = Target::single(base, &path, token.as_ref()).map_err(fail)?;
        let uri = target.uri(Call::Chat, "").ok_or_else(|| fail("it has no usable path".into()))?;
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| fail(e.to_string()))?;
        runtime.block_on(async {
            let pool = Arc::new(Pool::new(Arc::default()));
            let sent = pool.call(method, &target, Outgoing { uri, headers, body }, Duration::from_secs(5));
            let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
            let (response, _connection) =
                sent.map_err(|_| fail("no answer within 30 s".into()))?.map_err(|e| fail(e.to_string()))?;
            let status = response.status();
            let body = tokio::time::timeout(Duration::from_secs(30), response.into_body().collect()).await;
            let body = body.map_err(|_| fail("its answer never ends".into()))?.map_err(|e| fail(e.to_string()))?;
            let value: Value =
                serde_json::from_slice(&body.to_bytes()).map_err(|e| fail(format!("{status}, and no JSON: {e}")))?;
            match value["error"]["message"].as_str() {
                _ if status.is_success() => Ok(value),
                Some(message) => Err(fail(format!("{status}: {message}"))),
                None => Err(fail(status.to_string())),
            }
        })
    }
}

/// How budgets stand, as their store has it.
fn budgets(config: &Config, stored: &Stored, now_ms: i64) -> Result<Value, Failure> {
    let keyring = Keyring::new(config, stored);
    let limits = gate::limits(config, keyring.keys(), &stored.overrides());
    let leases = config.leases.as_ref().map(|l| l.url.expose());
    let mut books = Books::open(&config.storage, leases).map_err(|e| vec![e.to_string()])?;
    let scopes = gate::status_blocking(&limits, &config.time_zone, &mut books, now_ms);
    Ok(serde_json::json!({"scopes": scopes.map_err(|e| vec![format!("the store of budgets: {e}")])?}))
}

/// The request that a command is.
fn asked(command: Command) -> (Method, String, Value) {
    let key = |id: &str| format!("/admin/keys/{}", encoded(id));
    let limits = |scope: &str| format!("/admin/limits/{}", encoded(scope));
    match command {
        Command::CreateKey(body) => (Method::POST, "/admin/keys".to_owned(), body),
        Command::UpdateKey(id, body) => (Method::PATCH, key(&id), body),
        Command::RevokeKey(id) => (Method::DELETE, key(&id), Value::Null),
        Command::RotateKey(id, body) => (Method::POST, key(&id) + "/rotate", body),
        Command::SetLimits(scope, body) => (Method::PUT, limits(&scope), body),
        Command::UnsetLimits(scope) => (Method::DELETE, limits(&scope), Value::Null),
    }
}

/// As one segment of a path.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            // Writing to a string does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Each mistake on a line.
fn lines(error: ChangeError) -> Failure {
    match error {
        ChangeError::Refused(Refused::Invalid(mistakes)) => mistakes
            .into_iter()
            .map(|m| if m.field.is_empty() { m.message } else { format!("{}: {}", m.field, m.message) })
            .collect(),
        error => vec![error.to_string()],
    }
}

/// `NAME=VALUE`.
///
/// # Errors
/// A sentence for the user.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Limits from the command line as JSON: numbers are numbers, `none` is null, `thresholds` is a list.
pub(super) fn limits(pairs: &[(String, String)]) -> Value {
    let value = |text: &str| match text {
        "none" => Value::Null,
        text => serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Value::Number),
    };
    let one = |(name, text): &(String, String)| match name.as_str() {
        "thresholds" if text != "none" => {
            let shares = text.split(',').filter(|share| !share.is_empty()).map(value);
            (name.clone(), shares.collect())
        }
        _ => (name.clone(), value(text)),
    };
    Value::Object(pairs.iter().map(one).collect())
}

/// A table with columns as wide as they need.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut head.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// A value for people: texts as they are, lists and mappings in short.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        // What another program wrote into the storage must not steer the terminal.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| match value {
                Value::Null => format!("{name}=none"),
                value => format!("{name}={}", short(value)),
            };
            members.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    }
}

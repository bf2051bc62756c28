//! What an operator is shown: keys, limits and the audit as JSON, the same from the admin API and from the command line.
//! Never a secret, never a hash.

use super::command::no_such_key;
use super::rows::{AuditRow, KeyRow, Refused, Stored, time};
use serde_json::{Map, Value, json};
use waypost_core::config::{Config, Key, shown_limits};
use waypost_core::gate::{Limits, ScopeId};

/// All keys, those of the configuration first.
pub fn key_list(config: &Config, stored: &Stored, now: i64) -> Value {
    let configured = config.keys.iter().map(|key| of_configured(key, now));
    let shadowed = |row: &&KeyRow| config.keys.iter().any(|key| key.id == row.id);
    let stored = stored.keys.iter().map(|row| of_stored(row, shadowed(&row), now));
    json!({"keys": configured.chain(stored).collect::<Vec<_>>()})
}

/// One key.
///
/// # Errors
/// There is none of this id.
pub fn key_shown(config: &Config, stored: &Stored, id: &str, now: i64) -> Result<Value, Refused> {
    match config.keys.iter().find(|key| *key.id == *id) {
        Some(key) => Ok(of_configured(key, now)),
        None => stored.key(id).map(|row| of_stored(row, false, now)).ok_or_else(|| no_such_key(config, stored, id)),
    }
}

/// What was set at run time, with what the configuration says and what holds.
pub fn limit_list(config: &Config, stored: &Stored) -> Value {
    let one = |row: &super::LimitRow| {
        let mut shown = row.shown();
        let id = ScopeId::parse(&row.scope);
        let configured = id.map(|id| configured(config, stored, &id)).unwrap_or_default();
        let now = configured.changed(&row.change());
        shown["configured"] = shown_limits(&configured);
        shown["in_force"] = shown_limits(&now);
        shown
    };
    json!({"limits": stored.limits.iter().map(one).collect::<Vec<_>>()})
}

/// Lines of the audit.
pub fn audit_list(rows: &[AuditRow]) -> Value {
    json!({"audit": rows.iter().map(AuditRow::shown).collect::<Vec<_>>()})
}

fn configured(config: &Config, stored: &Stored, scope: &ScopeId) -> Limits {
    let ScopeId::Key(id) = scope else { return config.gate.limits_of(scope).cloned().unwrap_or_default() };
    if let Some(key) = config.keys.iter().find(|key| key.id == *id) {
        return config.gate.key_limits(key);
    }
    let key = stored.key(id);
    let key = key.and_then(|row| waypost_core::config::stored_key(config, id, &row.terms, row.expires_ms));
    key.map_or_else(|| config.gate.key_default.clone(), |key| config.gate.key_limits(&key))
}

fn of_stored(row: &KeyRow, shadowed: bool, now: i64) -> Value {
    let mut shown = row.shown();
    let disabled = row.terms.get("enabled") == Some(&Value::Bool(false));
    let state = match () {
        () if shadowed => "shadowed",
        () if row.revoked_ms.is_some() => "revoked",
        () => state(!disabled, row.expires_ms, now),
    };
    shown["source"] = json!("stored");
    shown["state"] = json!(state);
    shown
}

fn of_configured(key: &Key, now: i64) -> Value {
    let mut shown = Map::new();
    let mut add = |name: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if !is_empty {
            shown.insert(name.to_owned(), value);
        }
    };
    add("id", json!(&*key.id));
    add("team", json!(key.team));
    add("tags", key.tags.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<Map<_, _>>().into());
    add("models", json!(key.models));
    add("routes", json!(key.routes));
    add("stages", json!(key.stages));
    add("providers", json!(key.providers));
    add("limits", shown_limits(&key.limits));
    add("package", json!(key.package));
    add("expires", json!(key.expires_ms.map(time)));
    add("source", json!("configuration"));
    add("state", json!(state(key.enabled, key.expires_ms, now)));
    Value::Object(shown)
}

fn state(enabled: bool, expires_ms: Option<i64>, now: i64) -> &'static str {
    match () {
        () if !enabled => "disabled",
        () if expires_ms.is_some_and(|at| at <= now) => "expired",
        () => "active",
    }
}

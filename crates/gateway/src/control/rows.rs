//! What is stored, as values: a key with its hashes, the limits of a scope, a line of the audit. And one change of it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use waypost_core::config::{Mistake, limit_change};
use waypost_core::gate::{LimitChange, Quota, ScopeId};

/// A secret under the key of all hashes.
pub type Hash = [u8; 32];

/// A stored key. Rows are never deleted: a revoked key keeps its place, and its id.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRow {
    /// Public name.
    pub id: Arc<str>,
    /// Of the secret that opens it.
    pub hash: Hash,
    /// The secret before the last rotation, and until when it opens the key, milliseconds since the Unix epoch.
    pub previous: Option<(Hash, i64)>,
    /// What it may do, as in the configuration.
    pub terms: Map<String, Value>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The same.
    pub expires_ms: Option<i64>,
    /// The same.
    pub revoked_ms: Option<i64>,
}

impl KeyRow {
    /// Without anything that is secret.
    pub fn shown(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("id".to_owned(), json!(&*self.id));
        shown.extend(self.terms.clone());
        shown.insert("created".to_owned(), json!(time(self.created_ms)));
        let mut when = |name: &str, at: Option<i64>| drop(at.map(|at| shown.insert(name.to_owned(), json!(time(at)))));
        when("expires", self.expires_ms);
        when("revoked", self.revoked_ms);
        when("previous_secret_until", self.previous.map(|(_, until)| until));
        Value::Object(shown)
    }

    /// From columns. What another program made of a row opens nothing.
    pub(super) fn of_columns(columns: Columns) -> Self {
        let hash = |bytes: Vec<u8>| Hash::try_from(bytes).ok();
        let terms = serde_json::from_str(&columns.body).ok();
        let (found, readable) = (hash(columns.hash), terms.is_some());
        if found.is_none() || !readable {
            tracing::error!(key = columns.id, "the stored key cannot be read: it opens nothing");
        }
        Self {
            id: columns.id.into(),
            hash: found.unwrap_or_default(),
            previous: columns.previous_hash.and_then(hash).zip(columns.previous_until_ms),
            terms: terms.unwrap_or_else(|| Map::from_iter([("enabled".to_owned(), json!(false))])),
            created_ms: columns.created_ms,
            expires_ms: columns.expires_ms,
            revoked_ms: columns.revoked_ms,
        }
    }

    pub(super) fn body(&self) -> String {
        Value::Object(self.terms.clone()).to_string()
    }
}

/// A row of `client_keys` as a database gives it.
pub(super) struct Columns {
    pub(super) id: String,
    pub(super) hash: Vec<u8>,
    pub(super) previous_hash: Option<Vec<u8>>,
    pub(super) previous_until_ms: Option<i64>,
    pub(super) body: String,
    pub(super) created_ms: i64,
    pub(super) expires_ms: Option<i64>,
    pub(super) revoked_ms: Option<i64>,
}

/// The stored limits of a scope.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRow {
    /// Its printed form.
    pub scope: Arc<str>,
    /// As in the configuration; null lifts a limit.
    pub limits: Map<String, Value>,
    /// Milliseconds since the Unix epoch.
    pub changed_ms: i64,
}

impl LimitRow {
    /// As it is told.
    pub fn shown(&self) -> Value {
        json!({"scope": &*self.scope, "limits": self.limits, "changed": time(self.changed_ms)})
    }

    /// From columns. Where another program made something else of a body, nothing passes: the limit may have been the
    /// only one.
    pub(super) fn of_columns(scope: String, body: &str, changed_ms: i64) -> Self {
        let limits = serde_json::from_str(body).unwrap_or_else(|_| {
            tracing::error!(scope, "{UNREADABLE}");
            Map::from_iter([(Quota::RequestsPerMinute.name().to_owned(), json!(0))])
        });
        Self { scope: scope.into(), limits, changed_ms }
    }

    /// What it changes. Where that cannot be read, nothing passes.
    pub(super) fn change(&self) -> LimitChange {
        limit_change(&self.limits).unwrap_or_else(|| {
            tracing::error!(scope = &*self.scope, "{UNREADABLE}");
            let mut closed = LimitChange::default();
            closed.set(Quota::RequestsPerMinute, Some(0));
            closed
        })
    }

    pub(super) fn body(&self) -> String {
        Value::Object(self.limits.clone()).to_string()
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Rises with each.
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Who asked for it.
    pub actor: String,
    /// `key.create`, `limit.set` and their like.
    pub action: String,
    /// Of what: a scope's printed form.
    pub target: String,
    /// As JSON.
    pub before: Option<String>,
    /// As JSON.
    pub after: Option<String>,
}

impl AuditRow {
    /// As it is told.
    pub fn shown(&self) -> Value {
        let parsed = |text: &Option<String>| text.as_deref().and_then(|t| serde_json::from_str::<Value>(t).ok());
        json!({"seq": self.seq, "time": time(self.unix_ms), "actor": self.actor, "action": self.action,
               "target": self.target, "before": parsed(&self.before), "after": parsed(&self.after)})
    }
}

const UNREADABLE: &str = "the stored limits cannot be read: nothing passes there until they are set or unset anew";

/// All that is stored, at one revision.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Rises with every change, by whichever gateway.
    pub revision: u64,
    /// The key of all hashes, the same for all gateways on one storage.
    pub pepper: Hash,
    /// By id.
    pub keys: Vec<KeyRow>,
    /// By scope.
    pub limits: Vec<LimitRow>,
}

impl Stored {
    /// The key of this id.
    pub fn key(&self, id: &str) -> Option<&KeyRow> {
        self.keys.iter().find(|row| &*row.id == id)
    }

    /// The limits that were changed, by scope. Those that cannot be read let nothing pass.
    pub fn overrides(&self) -> HashMap<ScopeId, LimitChange> {
        let one = |row: &LimitRow| {
            let Some(scope) = ScopeId::parse(&row.scope) else {
                tracing::error!(scope = &*row.scope, "limits are stored for what is no scope: they limit nothing");
                return None;
            };
            Some((scope, row.change()))
        };
        self.limits.iter().filter_map(one).collect()
    }
}

/// One row, of whichever table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Key(KeyRow),
    Limits(LimitRow),
}

impl Row {
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Key(row) => row.shown(),
            Self::Limits(row) => row.shown(),
        }
    }
}

/// Which row a change is about.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Key(String),
    Limits(String),
}

impl Target {
    /// As the audit names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Key(id) => format!("key/{id}"),
            Self::Limits(scope) => scope.clone(),
        }
    }
}

/// One change: the row as it is to be, of the row as it is. It is made, with its line of the audit, in one transaction.
pub(super) struct Edit {
    pub(super) target: Target,
    pub(super) action: &'static str,
    pub(super) actor: String,
    pub(super) unix_ms: i64,
    pub(super) change: Change,
}

/// `None`: there is no such row, or there is to be none.
pub(super) type Change = Box<dyn FnOnce(Option<Row>) -> Result<Option<Row>, Refused> + Send>;

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request is wrong.
    Invalid(Vec<Mistake>),
    /// There is no such thing.
    NotFound(String),
    /// It cannot be as things are.
    Conflict(String),
}

impl Refused {
    /// One mistake in one field.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Mistake { field: field.to_owned(), message: message.into() }])
    }
}

/// A moment for people and programs.
pub(super) fn time(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |t| t.to_string())
}

//! What an operator may ask for, from the admin API and from the command line alike: read, checked, and made into one
//! change of one row.

use super::rows::{Change, Edit, KeyRow, LimitRow, Refused, Row, Stored, Target, time};
use super::secret::{fresh, fresh_id, hash};
use serde_json::{Map, Value};
use std::sync::Arc;
use waypost_core::config::{Config, KeyChange, check_grace, check_key, check_limits};
use waypost_core::gate::ScopeId;
use waypost_core::nearest::nearest;
use waypost_core::units::Secret;

/// A change that is asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// With `id` where one is wanted, and terms as in the configuration.
    CreateKey(Value),
    /// Terms that are to be set; null takes away.
    UpdateKey(String, Value),
    /// For good.
    RevokeKey(String),
    /// A new secret; the old one is good for `grace` yet.
    RotateKey(String, Value),
    /// What is said at run time of a scope, as a whole.
    SetLimits(String, Value),
    /// Back to what the configuration says.
    UnsetLimits(String),
}

/// What is told once the change is made.
pub(super) struct Prepared {
    secret: Option<Secret>,
}

impl Prepared {
    /// The row as it is now; the only place where a secret is ever shown.
    pub(super) fn answer(self, after: Option<Row>) -> Value {
        let mut shown = after.map_or(Value::Null, |row| row.shown());
        if let (Some(secret), Some(members)) = (self.secret, shown.as_object_mut()) {
            members.insert("secret".to_owned(), secret.expose().into());
        }
        shown
    }
}

impl Command {
    pub(super) fn prepare(
        self,
        config: &Config,
        stored: &Stored,
        actor: &str,
        now: i64,
    ) -> Result<(Edit, Prepared), Refused> {
        let mut secret = None;
        let (action, target, change): (_, _, Change) = match self {
            Self::CreateKey(body) => {
                let (id, terms) = id_and_terms(config, body)?;
                let fresh = secret.insert(fresh().map_err(no_entropy)?);
                let hash = hash(&stored.pepper, fresh.expose().as_bytes());
                let row = created(&id, hash, &terms, now)?;
                ("key.create", Target::Key(id), Box::new(move |before| create(before, row)))
            }
            Self::UpdateKey(id, body) => {
                changeable(config, stored, &id)?;
                let change = check_key(config, &body).map_err(Refused::Invalid)?;
                ("key.update", Target::Key(id), on_key(move |row| update(row, &change)))
            }
            Self::RevokeKey(id) => {
                if stored.key(&id).is_none() {
                    changeable(config, stored, &id)?;
                }
                ("key.revoke", Target::Key(id), on_key(move |row| Ok(revoke(row, now))))
            }
            Self::RotateKey(id, body) => {
                changeable(config, stored, &id)?;
                let grace = grace(&body)?;
                let fresh = secret.insert(fresh().map_err(no_entropy)?);
                let hash = hash(&stored.pepper, fresh.expose().as_bytes());
                ("key.rotate", Target::Key(id), on_key(move |row| rotate(row, hash, now.saturating_add(grace))))
            }
            Self::SetLimits(scope, body) => {
                let ids = all_ids(config, stored);
                let checked = check_limits(config, ids.iter().map(|id| &**id), &scope, &body);
                let (scope, limits) = checked.map_err(Refused::Invalid)?;
                let scope = scope.to_string();
                let row = LimitRow { scope: scope.as_str().into(), limits, changed_ms: now };
                ("limit.set", Target::Limits(scope), Box::new(move |before| Ok(Some(set(before, row)))))
            }
            Self::UnsetLimits(scope) => {
                if ScopeId::parse(&scope).is_none() {
                    return Err(Refused::invalid("scope", format!("`{}` is no scope", scope.escape_debug())));
                }
                let target = Target::Limits(scope.clone());
                ("limit.unset", target, Box::new(move |before| unset(before.is_some(), &scope)))
            }
        };
        let edit = Edit { target, action, actor: actor.to_owned(), unix_ms: now, change };
        Ok((edit, Prepared { secret }))
    }
}

/// Ids of configured and of stored keys.
pub(super) fn all_ids(config: &Config, stored: &Stored) -> Vec<Arc<str>> {
    config.keys.iter().map(|key| key.id.clone()).chain(stored.keys.iter().map(|row| row.id.clone())).collect()
}

/// Why there is no such key, with the nearest ones.
pub(super) fn no_such_key(config: &Config, stored: &Stored, id: &str) -> Refused {
    let ids = all_ids(config, stored);
    let near = nearest(id, ids.iter().map(|id| &**id), 1);
    let hint = near.first().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let shown: String = id.chars().take(80).collect();
    Refused::NotFound(format!("there is no key `{}`{hint}", shown.escape_debug()))
}

/// What a stored key may be called: it goes into paths, headers and logs as it is.
///
/// # Errors
/// What would be right.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match (1..=64).contains(&id.len()) && id.bytes().all(good) {
        true if !id.bytes().all(|b| b == b'.') => Ok(()),
        _ => Err("expected 1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`, not dots alone"),
    }
}

fn id_and_terms(config: &Config, mut body: Value) -> Result<(String, KeyChange), Refused> {
    let id = match body.as_object_mut().and_then(|members| members.shift_remove("id")) {
        None | Some(Value::Null) => fresh_id().map_err(no_entropy)?,
        Some(Value::String(id)) => id,
        Some(_) => return Err(Refused::invalid("id", "expected text")),
    };
    let mut mistakes = Vec::new();
    if let Err(wanted) = check_id(&id)
        && let Refused::Invalid(mistake) = Refused::invalid("id", wanted)
    {
        mistakes.extend(mistake);
    }
    match check_key(config, &body) {
        Ok(_) if !mistakes.is_empty() => Err(Refused::Invalid(mistakes)),
        Ok(_) if config.keys.iter().any(|key| *key.id == *id) => Err(configured(&id)),
        Ok(terms) => Ok((id, terms)),
        Err(more) => Err(Refused::Invalid(mistakes.into_iter().chain(more).collect())),
    }
}

/// Stored keys can be changed, configured ones only in their file.
fn changeable(config: &Config, stored: &Stored, id: &str) -> Result<(), Refused> {
    if config.keys.iter().any(|key| *key.id == *id) {
        return Err(configured(id));
    }
    stored.key(id).map(|_| ()).ok_or_else(|| no_such_key(config, stored, id))
}

fn configured(id: &str) -> Refused {
    Refused::Conflict(format!("the key `{id}` is one of the configuration: change it there, under `keys`"))
}

fn no_entropy(error: std::io::Error) -> Refused {
    Refused::Conflict(format!("no secret can be made: {error}"))
}

fn created(id: &str, hash: super::Hash, change: &KeyChange, now: i64) -> Result<KeyRow, Refused> {
    let expires_ms = change.expires_ms.flatten();
    if let Some(at) = expires_ms.filter(|at| *at <= now) {
        return Err(Refused::invalid("expires", format!("{} has passed", time(at))));
    }
    let mut terms = Map::new();
    change.apply(&mut terms);
    Ok(KeyRow { id: id.into(), hash, previous: None, terms, created_ms: now, expires_ms, revoked_ms: None })
}

fn create(before: Option<Row>, row: KeyRow) -> Result<Option<Row>, Refused> {
    match before {
        None => Ok(Some(Row::Key(row))),
        Some(_) => {
            Err(Refused::Conflict(format!("there is a key `{}` already, or there was: choose another id", row.id)))
        }
    }
}

/// A change of a key that is there.
fn on_key(change: impl FnOnce(KeyRow) -> Result<KeyRow, Refused> + Send + 'static) -> Change {
    Box::new(|before| match before {
        Some(Row::Key(row)) => change(row).map(|row| Some(Row::Key(row))),
        _ => Err(Refused::NotFound("there is no such key any more".to_owned())),
    })
}

fn update(row: KeyRow, change: &KeyChange) -> Result<KeyRow, Refused> {
    let mut row = not_revoked(row)?;
    change.apply(&mut row.terms);
    row.expires_ms = change.expires_ms.unwrap_or(row.expires_ms);
    Ok(row)
}

fn revoke(row: KeyRow, now: i64) -> KeyRow {
    // Revoked once is revoked: the first time counts.
    KeyRow { revoked_ms: row.revoked_ms.or(Some(now)), ..row }
}

fn rotate(row: KeyRow, hash: super::Hash, until: i64) -> Result<KeyRow, Refused> {
    let row = not_revoked(row)?;
    Ok(KeyRow { previous: Some((row.hash, until)), hash, ..row })
}

fn not_revoked(row: KeyRow) -> Result<KeyRow, Refused> {
    match row.revoked_ms {
        Some(at) => Err(Refused::Conflict(format!(
            "the key `{}` was revoked at {}, and that is for good: create another one",
            row.id,
            time(at)
        ))),
        None => Ok(row),
    }
}

/// How long the old secret is good yet, milliseconds.
fn grace(body: &Value) -> Result<i64, Refused> {
    let nothing = Map::new();
    let members = match body {
        Value::Null => &nothing,
        Value::Object(members) => members,
        _ => return Err(Refused::invalid("", "expected {\"grace\": \"1h\"} or nothing")),
    };
    if let Some(name) = members.keys().find(|name| *name != "grace") {
        return Err(Refused::invalid(&name.escape_debug().to_string(), "unknown key; only `grace` can be given"));
    }
    match members.get("grace") {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => {
            let grace = check_grace(text).map_err(|wanted| Refused::invalid("grace", wanted))?;
            Ok(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX))
        }
        Some(_) => Err(Refused::invalid("grace", "expected text such as 1h")),
    }
}

fn set(before: Option<Row>, row: LimitRow) -> Row {
    match before {
        // The same again is no change.
        Some(Row::Limits(old)) if old.limits == row.limits => Row::Limits(old),
        _ => Row::Limits(row),
    }
}

fn unset(is_there: bool, scope: &str) -> Result<Option<Row>, Refused> {
    match is_there {
        true => Ok(None),
        false => Err(Refused::NotFound(format!("nothing was set at run time for `{}`", scope.escape_debug()))),
    }
}

//! Keys and limits that are made at run time: read by the schema of the file and held against the names of the
//! configuration in force, so that neither can be made that the file could not have.
//!
//! What is stored is the JSON as it was given. It is read again with every version of the configuration, and by then a
//! name in it may be gone: it stays, and allows nothing.

use super::check::{check, suggestion};
use super::resolve::limits;
use super::select::select;
use super::tree::Node;
use super::value::duration;
use super::{Config, Key, raw};
use crate::gate::{LimitChange, Limits, Quota, ScopeId};
use crate::units::NanoUsd;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Something wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `limits.usd_per_day`; empty for the whole.
    pub field: String,
    /// What, and what would be right.
    pub message: String,
}

/// Terms of a key that are to be set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyChange {
    /// By name, without `expires`; null takes away. Those of `limits` are set one by one.
    terms: Map<String, Value>,
    /// When it is to expire, milliseconds since the Unix epoch; `Some(None)`: never.
    pub expires_ms: Option<Option<i64>>,
}

impl KeyChange {
    /// Puts the change in force.
    pub fn apply(&self, terms: &mut Map<String, Value>) {
        for (name, value) in &self.terms {
            match (value, terms.get_mut(name)) {
                (Value::Null, _) => drop(terms.remove(name)),
                (Value::Object(new), Some(Value::Object(old))) if name == "limits" => merge(old, new),
                (Value::Object(new), None) if name == "limits" => {
                    let mut limits = Map::new();
                    merge(&mut limits, new);
                    terms.insert(name.clone(), Value::Object(limits));
                }
                (value, _) => drop(terms.insert(name.clone(), value.clone())),
            }
        }
    }
}

fn merge(old: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (name, value) in new {
        if value.is_null() {
            old.remove(name);
        } else {
            old.insert(name.clone(), value.clone());
        }
    }
}

/// Reads what a request says of a key: `team`, `tags`, `models`, `routes`, `stages`, `providers`, `limits`, `package`,
/// `expires`, `enabled`, as in the file.
///
/// # Errors
/// Every mistake at once.
pub fn check_key(config: &Config, body: &Value) -> Result<KeyChange, Vec<Mistake>> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(raw::schema_of::<raw::KeyTerms>);
    let (mut terms, mut mistakes) = checked(body, &SCHEMA);
    let read: Option<raw::KeyTerms> = serde_json::from_value(Value::Object(terms.clone())).ok();
    let Some(read) = read.filter(|_| mistakes.is_empty()) else {
        return Err(or_unreadable(mistakes));
    };
    unknown_names(config, &read, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let given = body.as_object();
    for (name, value) in &mut terms {
        if given.and_then(|g| g.get(name)).is_some_and(Value::is_null) {
            *value = Value::Null;
        }
    }
    let expires = terms.shift_remove("expires");
    let expires_ms = expires.map(|_| read.expires.map(|at| at.0.unix_ms(&config.time_zone)));
    Ok(KeyChange { terms, expires_ms })
}

/// The key that stored terms describe under this configuration. `None`: they cannot be read.
pub fn stored_key(config: &Config, id: &str, terms: &Map<String, Value>, expires_ms: Option<i64>) -> Option<Key> {
    let read: raw::KeyTerms = serde_json::from_value(Value::Object(terms.clone())).ok()?;
    let names = |list: &raw::List<String>| list.iter().map(|(_, name)| Arc::from(name.as_str())).collect();
    let mut models: Vec<Arc<str>> = Vec::new();
    for (_, selector) in read.models.iter() {
        // One without a model stays: an empty list would allow every model.
        let found = select(&config.registry, selector).unwrap_or_else(|_| vec![selector.as_str().into()]);
        models.extend(found);
    }
    Some(Key {
        team: read.team.as_deref().map(Arc::from),
        tags: read.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
        models,
        routes: names(&read.routes),
        stages: names(&read.stages),
        providers: names(&read.providers),
        limits: limits(&read.limits),
        package: read.package.as_deref().map(Arc::from),
        expires_ms,
        enabled: read.enabled.unwrap_or(true),
        ..Key::without_secret(id)
    })
}

/// How long the secret before a rotation is to be good yet: `1h`, `30m`, `0s`.
///
/// # Errors
/// What would be right.
pub fn check_grace(text: &str) -> Result<Duration, String> {
    duration(text)
}

/// The change that stored limits are. `None`: they cannot be read.
pub fn limit_change(body: &Map<String, Value>) -> Option<LimitChange> {
    let read: raw::LimitKeys = serde_json::from_value(Value::Object(body.clone())).ok()?;
    let (set, lifted) = (limits(&read), |name: &str| body.get(name).is_some_and(Value::is_null));
    let mut change = LimitChange::default();
    for quota in Quota::ALL {
        match set.of(quota) {
            None if lifted(quota.name()) => change.set(quota, None),
            None => {}
            limit => change.set(quota, limit),
        }
    }
    change.usd_per_request = set.usd_per_request.map(Some).or(lifted("usd_per_request").then_some(None));
    change.tokens_per_request = set.tokens_per_request.map(Some).or(lifted("tokens_per_request").then_some(None));
    change.on_exhausted = set.on_exhausted;
    change.thresholds = set.thresholds;
    Some(change)
}

/// Reads what a request says of a scope's limits: a value replaces the configured one, null lifts it, what is absent
/// keeps it. `keys` are the ids of all keys. The body comes back as it is to be stored.
///
/// # Errors
/// Every mistake at once.
pub fn check_limits<'k>(
    config: &Config,
    keys: impl Iterator<Item = &'k str>,
    scope: &str,
    body: &Value,
) -> Result<(ScopeId, Map<String, Value>), Vec<Mistake>> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(raw::schema_of::<raw::LimitKeys>);
    let (limits, mut mistakes) = checked(body, &SCHEMA);
    if mistakes.is_empty() && limits.is_empty() {
        mistakes.push(Mistake { field: String::new(), message: "name at least one limit".into() });
    }
    for name in ["on_exhausted", "thresholds"].into_iter().filter(|name| limits.get(*name).is_some_and(Value::is_null))
    {
        mistakes
            .push(Mistake { field: name.into(), message: "null lifts a limit, and this is none: leave it out".into() });
    }
    match known_scope(config, keys, scope) {
        Ok(id) if mistakes.is_empty() && limit_change(&limits).is_some() => Ok((id, limits)),
        Ok(_) => Err(or_unreadable(mistakes)),
        Err(message) => {
            mistakes.push(Mistake { field: "scope".into(), message });
            Err(mistakes)
        }
    }
}

/// Limits as the configuration would state them.
pub fn shown_limits(limits: &Limits) -> Value {
    let usd = |nano: u64| NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)).usd();
    let mut shown = Map::new();
    for quota in Quota::ALL {
        if let Some(limit) = limits.of(quota) {
            let limit = if matches!(quota, Quota::Usd(_)) { json!(usd(limit)) } else { json!(limit) };
            shown.insert(quota.name().to_owned(), limit);
        }
    }
    let mut add = |name: &str, value: Option<Value>| drop(value.map(|value| shown.insert(name.to_owned(), value)));
    add("usd_per_request", limits.usd_per_request.map(|most| json!(most.usd())));
    add("tokens_per_request", limits.tokens_per_request.map(|most| json!(most)));
    add("on_exhausted", limits.on_exhausted.map(|what| json!(what)));
    let share = |points: &u16| f64::from(*points) / 10_000.0;
    add("thresholds", limits.thresholds.as_ref().map(|all| all.iter().map(share).collect()));
    Value::Object(shown)
}

/// The members that fit the schema, and what does not.
fn checked(body: &Value, schema: &Value) -> (Map<String, Value>, Vec<Mistake>) {
    let found = check(&Node::from_json(body), schema, &|_| None, false);
    let wrong = found.errors.into_iter().map(|(path, message)| Mistake { field: path.to_string(), message });
    let mut mistakes: Vec<Mistake> = wrong.collect();
    no_controls(body, &mut String::new(), &mut mistakes);
    let Value::Object(members) = found.value else { return (Map::new(), mistakes) };
    (members, mistakes)
}

/// No text that is stored, logged or sent in a header holds a control character.
fn no_controls(value: &Value, at: &mut String, mistakes: &mut Vec<Mistake>) {
    let mut refuse = |text: &str, at: &str| {
        if text.chars().any(char::is_control) {
            let message = "must not hold control characters".to_owned();
            mistakes.push(Mistake { field: at.escape_debug().to_string(), message });
        }
    };
    match value {
        Value::String(text) => refuse(text, at),
        Value::Array(items) => items.iter().for_each(|item| no_controls(item, at, mistakes)),
        Value::Object(members) => {
            members.keys().for_each(|name| refuse(name, at));
            for (name, value) in members {
                let length = at.len();
                at.push_str(if at.is_empty() { "" } else { "." });
                at.extend(name.chars().take(80));
                no_controls(value, at, mistakes);
                at.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn or_unreadable(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    if mistakes.is_empty() {
        mistakes.push(Mistake { field: String::new(), message: "it cannot be read".into() });
    }
    mistakes
}

fn unknown_names(config: &Config, read: &raw::KeyTerms, mistakes: &mut Vec<Mistake>) {
    for (i, selector) in read.models.iter() {
        if let Err(why) = select(&config.registry, selector) {
            mistakes.push(Mistake { field: format!("models[{i}]"), message: why.to_string() });
        }
    }
    let routes = || config.routes.iter().map(|r| &*r.name);
    let stages = || config.stages.iter().map(|s| &*s.name);
    let providers = || config.registry.providers.iter().map(|p| &*p.name);
    for (i, name) in read.routes.iter().filter(|(_, name)| !routes().any(|known| known == *name)) {
        mistakes.push(unknown(format!("routes[{i}]"), "route", name, routes()));
    }
    for (i, name) in read.stages.iter().filter(|(_, name)| !stages().any(|known| known == *name)) {
        mistakes.push(unknown(format!("stages[{i}]"), "stage", name, stages()));
    }
    for (i, name) in read.providers.iter().filter(|(_, name)| !providers().any(|known| known == *name)) {
        mistakes.push(unknown(format!("providers[{i}]"), "provider", name, providers()));
    }
    if let Some(name) = read.package.as_deref().filter(|name| config.gate.package(name).is_none()) {
        let known = config.gate.packages.iter().map(|p| &*p.name);
        mistakes.push(unknown("package".into(), "package", name, known));
    }
}

fn unknown<'n>(field: String, kind: &str, name: &str, known: impl Iterator<Item = &'n str>) -> Mistake {
    Mistake { field, message: format!("unknown {kind} {}{}", quoted(name), suggestion(name, known)) }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.chars().take(80).collect::<String>().escape_debug())
}

/// The scope of this name, where what it names is there. Teams and tags are whatever keys and requests say.
fn known_scope<'k>(config: &Config, keys: impl Iterator<Item = &'k str>, scope: &str) -> Result<ScopeId, String> {
    if scope.chars().count() > 400 || scope.chars().any(char::is_control) {
        return Err("a scope has at most 400 characters and no control characters".into());
    }
    let wrong = || {
        let kinds = "global, team/NAME, key/ID, stage/NAME, route/NAME, model/NAME or tag/NAME=VALUE";
        format!("{} is no scope: {kinds}", quoted(scope))
    };
    let id = ScopeId::parse(scope).ok_or_else(wrong)?;
    let names: Vec<&str> = match &id {
        ScopeId::Global | ScopeId::Team(_) => return Ok(id),
        ScopeId::Tag(name, value) if name.is_empty() || value.is_empty() => return Err(wrong()),
        ScopeId::Tag(..) => return Ok(id),
        ScopeId::Key(_) => keys.collect(),
        ScopeId::Stage(_) => config.stages.iter().map(|s| &*s.name).collect(),
        ScopeId::Route(_) => config.routes.iter().map(|r| &*r.name).collect(),
        ScopeId::Model(_) => config.registry.models.iter().map(|m| &*m.name).collect(),
    };
    let kind = id.kind();
    let name = scope.split_once('/').map_or(scope, |(_, name)| name);
    if names.contains(&name) {
        return Ok(id);
    }
    Err(format!("unknown {kind} {}{}", quoted(name), suggestion(name, names.into_iter())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "
time_zone: Europe/Berlin
providers: { sim: { dialect: simulated } }
models:
  alpha: { endpoints: [{ provider: sim }], tags: [eu], price: { input: 1, output: 1 } }
  beta: { endpoints: [{ provider: sim }], price: { input: 1, output: 1 } }
routes: { cheap: { strategy: cost } }
stages: { draft: { strategy: cost } }
gate: { packages: { gold: { limits: { usd_per_day: 9 } } } }
keys: [{ id: team-a, secret: sk-a }]
";
        let parsed = super::super::parse(text, &|_| None, jiff::civil::date(2026, 1, 1));
        parsed.unwrap_or_else(|e| panic!("{e:?}")).config
    }

    fn said(mistakes: &[Mistake]) -> String {
        mistakes.iter().map(|m| format!("{}: {}\n", m.field, m.message)).collect()
    }

    #[test]
    fn a_request_for_a_key_is_checked_as_the_file_is() {
        let config = config();
        for (body, message) in [
            (json!({"colour": 1}), "colour: unknown key"),
            (json!({"secret": "sk"}), "secret: unknown key"),
            (json!([]), ": expected a mapping, found a list"),
            (json!({"model": ["alpha"]}), "model: unknown key; did you mean `models`?"),
            (json!({"models": ["alhpa"]}), "models[0]: unknown model `alhpa`; did you mean `alpha`?"),
            (json!({"models": ["beta", "tag:ue"]}), "models[1]: no model has the tag `ue`"),
            (json!({"models": "beta"}), "models: expected a list, found text"),
            (json!({"routes": ["chaep"]}), "routes[0]: unknown route `chaep`; did you mean `cheap`?"),
            (json!({"stages": ["cheap"]}), "stages[0]: unknown stage `cheap`"),
            (json!({"providers": ["sin"]}), "providers[0]: unknown provider `sin`; did you mean `sim`?"),
            (json!({"package": "godl"}), "package: unknown package `godl`; did you mean `gold`?"),
            (json!({"package": "'; DROP TABLE client_keys; --"}), "package: unknown package `\\'; DROP"),
            (json!({"team": "a\r\nx-evil: 1"}), "team: must not hold control characters"),
            (json!({"team": ""}), "team: must not be empty"),
            (json!({"tags": {"a\u{7f}": "b"}}), "tags: must not hold control characters"),
            (json!({"tags": {"a": 1}}), "tags.a: expected text, found a whole number"),
            (json!({"expires": "soon"}), "expires: expected a day such as 2027-01-31"),
            (json!({"enabled": "yes"}), "enabled: expected true or false, found text"),
            (json!({"limits": {"usd_per_day": -1}}), "limits.usd_per_day: must be between 0 and 1000000000"),
            (json!({"limits": {"usd_per_day": 1e300}}), "limits.usd_per_day: must be between 0 and 1000000000"),
            (json!({"limits": {"tokens_per_day": u64::MAX}}), "limits.tokens_per_day: must be between 0 and"),
            (json!({"limits": {"tokens_per_day": 1.5}}), "limits.tokens_per_day: expected a whole number"),
            (json!({"limits": {"usd_a_day": 1}}), "limits.usd_a_day: unknown key; did you mean `usd_per_day`?"),
            (json!({"limits": {"thresholds": [0.5, 2]}}), "limits.thresholds[1]: must be between 0.0001 and 1"),
        ] {
            let wrong = check_key(&config, &body).expect_err(&body.to_string());
            assert!(said(&wrong).contains(message), "{body}: {}", said(&wrong));
        }
    }

    #[test]
    fn terms_are_merged_and_become_a_key() {
        let config = config();
        let mut terms = Map::new();
        let change = |body: Value| check_key(&config, &body).unwrap_or_else(|e| panic!("{body}: {}", said(&e)));
        let first = change(json!({"team": "a", "models": ["tag:eu"], "tags": {"x": "${HOME}"}, "package": "gold",
            "limits": {"usd_per_day": 5, "concurrency": 2}, "expires": "2027-01-31"}));
        // Midnight at the end of that day, in Berlin.
        assert_eq!(first.expires_ms, Some(Some(1_801_436_400_000)));
        first.apply(&mut terms);
        let key = stored_key(&config, "k", &terms, Some(7)).unwrap();
        assert_eq!((&*key.models, key.team.as_deref()), (&["alpha".into()][..], Some("a")));
        assert_eq!(key.tags, [("x".into(), "${HOME}".into())]);
        assert_eq!(config.gate.key_limits(&key).of(Quota::Concurrency), Some(2));
        assert!(key.secret.is_none() && key.enabled && key.expires_ms == Some(7));
        let second = change(json!({"team": null, "models": null, "limits": {"usd_per_day": null, "concurrency": 3},
            "enabled": false, "expires": null}));
        assert_eq!(second.expires_ms, Some(None));
        second.apply(&mut terms);
        let kept = json!({"tags": {"x": "${HOME}"}, "package": "gold", "limits": {"concurrency": 3}, "enabled": false});
        assert_eq!(Value::Object(terms.clone()), kept);
        change(json!({"limits": null})).apply(&mut terms);
        assert_eq!(terms.get("limits"), None);
        assert_eq!(change(json!({})).expires_ms, None);
    }

    #[test]
    fn a_stored_name_that_is_gone_allows_nothing() {
        let config = config();
        let terms = json!({"models": ["gone", "tag:none"], "package": "gone"});
        let key = stored_key(&config, "k", terms.as_object().unwrap(), None).unwrap();
        assert_eq!(&*key.models, ["gone".into(), "tag:none".into()]);
        assert!(config.gate.allows(&key, "alpha").is_err());
    }

    #[test]
    fn limits_are_set_lifted_and_kept() {
        let config = config();
        let mut configured = Limits::default();
        configured.set(Quota::RequestsPerMinute, Some(9));
        configured.set(Quota::Concurrency, Some(4));
        configured.tokens_per_request = Some(5);
        let body = json!({"usd_per_day": 5, "requests_per_minute": null, "tokens_per_request": null});
        let (scope, body) = check_limits(&config, std::iter::empty(), "global", &body).unwrap();
        assert_eq!(scope, ScopeId::Global);
        let now = configured.changed(&limit_change(&body).unwrap());
        assert_eq!(shown_limits(&now), json!({"concurrency": 4, "usd_per_day": 5.0}));
    }

    #[test]
    fn limits_of_unknown_scopes_and_of_nothing_are_refused() {
        let config = config();
        let known = || ["team-a", "stored-1"].into_iter();
        for scope in ["global", "team/any", "key/stored-1", "stage/draft", "route/cheap", "model/beta", "tag/k=v=w"] {
            assert!(check_limits(&config, known(), scope, &json!({"concurrency": 0})).is_ok(), "{scope}");
        }
        for (scope, message) in [
            ("key/team-b", "unknown key `team-b`; did you mean `team-a`?"),
            ("stage/darft", "unknown stage `darft`; did you mean `draft`?"),
            ("route/draft", "unknown route `draft`"),
            ("model/alpah", "unknown model `alpah`; did you mean `alpha`?"),
            ("tag/k", "`tag/k` is no scope: global, team/NAME"),
            ("tag/=v", "is no scope"),
            ("user/x", "is no scope"),
            ("", "is no scope"),
            ("team/a\nb", "no control characters"),
            ("global'; DROP TABLE audit", "is no scope"),
        ] {
            let wrong = check_limits(&config, known(), scope, &json!({"concurrency": 0})).unwrap_err();
            assert!(said(&wrong).starts_with("scope: ") && said(&wrong).contains(message), "{}", said(&wrong));
        }
        for (body, message) in [
            (json!({}), "name at least one limit"),
            (json!({"usd_per_day": -0.01}), "usd_per_day: must be between"),
            (json!({"usd_per_day": "5"}), "usd_per_day: expected a number, found text"),
            (json!({"tokens_per_minute": 1e18}), "tokens_per_minute: must be between"),
            (json!({"per_day": 1}), "per_day: unknown key"),
            (json!(null), "name at least one limit"),
            (json!({"on_exhausted": null}), "on_exhausted: null lifts a limit, and this is none"),
        ] {
            let wrong = check_limits(&config, known(), "global", &body).expect_err(&body.to_string());
            assert!(said(&wrong).contains(message), "{body}: {}", said(&wrong));
        }
    }
}

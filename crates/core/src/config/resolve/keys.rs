//! Client keys: each once, and every name in them known.

use super::gate::limits;
use super::{Resolver, name_mistake};
use crate::config::{Gate, Key, Path, raw};
use crate::registry::{ModelIx, Registry};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::Arc;

impl Resolver<'_> {
    pub(super) fn keys(&mut self, gate: &Gate, registry: &Registry, zone: &TimeZone) -> Vec<Key> {
        let (mut ids, mut secrets) = (HashMap::new(), HashMap::new());
        let mut keys = Vec::new();
        for (i, raw) in self.raw.keys.iter() {
            let at = Path::root().key("keys").index(i);
            if let Some(mistake) = name_mistake("keys", &raw.id) {
                self.error(&at.key("id"), mistake);
            }
            if let Some(first) = ids.insert(raw.id.as_str(), i) {
                self.error(&at.key("id"), format!("keys[{first}] has the same id"));
            }
            if let Some(first) = secrets.insert(raw.secret.0.expose(), i) {
                self.error(&at.key("secret"), format!("keys[{first}] has the same secret"));
            }
            let terms = &raw.terms;
            let key = Key {
                team: terms.team.as_deref().map(Arc::from),
                tags: terms.tags.iter().map(|(k, v)| (Arc::from(k.as_str()), Arc::from(v.as_str()))).collect(),
                models: self.pool(&at.key("models"), &terms.models, registry),
                routes: self.route_names(&at.key("routes"), &terms.routes),
                stages: self.stage_names(&at.key("stages"), &terms.stages),
                providers: self.provider_names(&at.key("providers"), &terms.providers),
                limits: limits(&terms.limits),
                package: terms.package.as_deref().and_then(|name| self.package(&at.key("package"), name, gate)),
                expires_ms: self.expiry(&at.key("expires"), terms, zone),
                enabled: terms.enabled.unwrap_or(true),
                ..Key::new(raw.id.as_str(), raw.secret.0.clone())
            };
            self.warn_of_an_empty_pool(&at, &key, gate, registry);
            keys.push(key);
        }
        keys
    }

    /// Its models, its package's and its providers may have nothing in common.
    fn warn_of_an_empty_pool(&mut self, at: &Path, key: &Key, gate: &Gate, registry: &Registry) {
        let may = |ix: ModelIx| {
            let model = registry.model(ix);
            let mut endpoints = model.endpoints.iter();
            gate.allows(key, &model.name).is_ok() && endpoints.any(|e| key.allows_endpoint(registry, *e))
        };
        if registry.model_ixs().len() > 0 && !registry.model_ixs().any(may) {
            self.warn(at, "no model is left that its `models`, its `package` and its `providers` allow together");
        }
    }

    fn provider_names(&mut self, at: &Path, wanted: &raw::List<String>) -> Vec<Arc<str>> {
        let known = self.names.providers.clone();
        self.known_names(at, "provider", wanted, &known)
    }

    fn package(&mut self, at: &Path, name: &str, gate: &Gate) -> Option<Arc<str>> {
        if gate.package(name).is_none() && !self.names.packages.contains(name) {
            let known: Vec<Arc<str>> = gate.packages.iter().map(|p| p.name.clone()).collect();
            self.unknown(at, "package", name, known.iter().map(|name| &**name));
        }
        Some(name.into())
    }

    fn expiry(&mut self, at: &Path, terms: &raw::KeyTerms, zone: &TimeZone) -> Option<i64> {
        let expires = terms.expires.as_ref()?.0.unix_ms(zone);
        let today = self.today.to_zoned(zone.clone()).map_or(i64::MIN, |z| z.timestamp().as_millisecond());
        if expires <= today {
            self.warn(at, "the key has expired: it opens nothing");
        }
        Some(expires)
    }
}

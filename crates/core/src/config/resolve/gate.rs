//! Limits and packages: amounts to a quota's own units, names that must exist, and which limits an unknown price closes.

use super::{Resolver, name_mistake};
use crate::config::check::suggestion;
use crate::config::{Gate, Key, Leases, OnStoreLoss, Package, Path, Tag, raw, select};
use crate::gate::{Limits, OnExhausted, Quota, Window};
use crate::registry::Registry;
use crate::units::NanoUsd;
use indexmap::{IndexMap, IndexSet};
use std::sync::Arc;
use std::time::Duration;

type ByName = Vec<(Arc<str>, Limits)>;

impl Resolver<'_> {
    pub(super) fn gate(&mut self, registry: &Registry) -> Gate {
        let raw = &self.raw.gate;
        let at = Path::root().key("gate");
        let (stages, routes) = (self.names.stages.clone(), self.names.routes.clone());
        self.known_scopes(&at.key("stages"), "stage", &raw.stages, &stages);
        self.known_scopes(&at.key("routes"), "route", &raw.routes, &routes);
        for name in raw.models.keys() {
            self.model(&at.key("models").key(name), name);
        }
        self.warn_of_strange_teams(&at.key("teams"));
        Gate {
            global: limits(&raw.global),
            teams: by_name(&raw.teams),
            stages: by_name(&raw.stages),
            routes: by_name(&raw.routes),
            models: by_name(&raw.models),
            tags: self.tag_limits(&at.key("tags")),
            key_default: limits(&raw.keys),
            packages: self.packages(&at.key("packages"), registry),
            on_store_loss: match raw.on_store_loss {
                Some(raw::OnStoreLoss::Closed) | None => OnStoreLoss::Closed,
                Some(raw::OnStoreLoss::Local) => OnStoreLoss::Local,
            },
            max_waiting: raw.max_waiting.unwrap_or(1000) as usize,
        }
    }

    pub(super) fn leases(&self) -> (Option<Leases>, Duration) {
        let leases = self.raw.leases.as_ref().map(|store| Leases { url: store.0.0.clone() });
        (leases, self.raw.lease_ttl.as_ref().map_or(Duration::from_secs(10), |ttl| ttl.0.0))
    }

    fn known_scopes(
        &mut self,
        at: &Path,
        kind: &str,
        given: &IndexMap<String, raw::LimitKeys>,
        known: &IndexSet<String>,
    ) {
        for name in given.keys().filter(|name| !known.contains(*name)) {
            self.unknown(&at.key(name), kind, name, known.iter().map(String::as_str));
        }
    }

    fn warn_of_strange_teams(&mut self, at: &Path) {
        let raw = self.raw;
        let teams = || raw.keys.iter().filter_map(|(_, key)| key.terms.team.as_deref());
        for name in raw.gate.teams.keys().filter(|name| !teams().any(|team| team == *name)) {
            let hint = suggestion(name, teams());
            let message = format!("no configured key is of the team {}{hint}", self.shown(at, name));
            self.warn(&at.key(name), message);
        }
    }

    fn tag_limits(&mut self, at: &Path) -> Vec<(Tag, Limits)> {
        let raw = self.raw;
        let mut found = Vec::new();
        for (tag, keys) in &raw.gate.tags {
            let at = at.key(tag);
            let Some((name, value)) = tag.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())
            else {
                self.error(&at, "expected NAME=VALUE, such as surface=support");
                continue;
            };
            let mut tags = raw.keys.iter().flat_map(|(_, key)| &key.terms.tags);
            if !tags.any(|(n, v)| n == name && v == value) {
                self.warn(&at, "no configured key carries this tag, so only requests that state it themselves count");
            }
            found.push(((name.into(), value.into()), limits(keys)));
        }
        found
    }

    /// The operator's, and the built-in ones that they do not replace.
    fn packages(&mut self, at: &Path, registry: &Registry) -> Vec<Package> {
        let raw = self.raw;
        let mut found = Vec::new();
        for (name, keys) in &raw.gate.packages {
            let at = at.key(name);
            if let Some(mistake) = name_mistake("packages", name) {
                self.error(&at, mistake);
            }
            let models = self.pool(&at.key("models"), &keys.models, registry);
            found.push(Package { name: name.as_str().into(), limits: limits(&keys.limits), models });
        }
        for package in built_in(registry) {
            if !raw.gate.packages.contains_key(&*package.name) {
                found.push(package);
            }
        }
        found
    }

    /// The models that a key or a package allows, each once. A selector without any model stays as it is.
    pub(super) fn pool(&mut self, at: &Path, selectors: &raw::List<String>, registry: &Registry) -> Vec<Arc<str>> {
        let mut pool: Vec<Arc<str>> = Vec::new();
        for (i, selector) in selectors.iter() {
            let at = at.index(i);
            match select(registry, selector) {
                Ok(names) => {
                    for name in names {
                        if !pool.contains(&name) {
                            pool.push(name);
                        }
                    }
                }
                Err(why) => {
                    let message = why.message(self.checked.is_variable(&at));
                    pool.push(selector.as_str().into());
                    if why.is_empty_tier() {
                        self.warn(&at, message + ", so it allows none");
                    } else if why.is_name() {
                        self.model(&at, selector);
                    } else {
                        self.missing(&at, &Path::root().key("models"), message);
                    }
                }
            }
        }
        pool
    }

    /// A model without a price is refused wherever dollars are limited.
    pub(super) fn warn_of_prices(&mut self, gate: &Gate, keys: &[Key], registry: &Registry) {
        let in_use = |p: &&Package| {
            let own = self.raw.gate.packages.contains_key(&*p.name);
            own || keys.iter().any(|k| k.package.as_ref() == Some(&p.name))
        };
        let mut places: Vec<String> = Vec::new();
        let mut add = |place: String, limits: &Limits| {
            if limits.limits_money() {
                places.push(place);
            }
        };
        add("gate.global".into(), &gate.global);
        for (section, list) in [("teams", &gate.teams), ("stages", &gate.stages), ("routes", &gate.routes)] {
            list.iter().for_each(|(name, limits)| add(format!("gate.{section}.{name}"), limits));
        }
        gate.tags.iter().for_each(|((k, v), limits)| add(format!("gate.tags.{k}={v}"), limits));
        add("gate.keys".into(), &gate.key_default);
        gate.packages.iter().filter(in_use).for_each(|p| add(format!("gate.packages.{}", p.name), &p.limits));
        keys.iter().for_each(|k| add(format!("the limits of key {}", k.id), &k.limits));
        let priceless = registry.model_ixs().map(|ix| registry.model(ix)).filter(|m| m.price.is_none());
        let mut found = Vec::new();
        for model in priceless {
            let own = gate.models.iter().find(|(name, limits)| *name == model.name && limits.limits_money());
            let own = own.map(|(name, _)| format!("gate.models.{name}"));
            let all: Vec<&str> = places.iter().map(String::as_str).chain(own.as_deref()).collect();
            let Some(first) = all.first() else { continue };
            let more = if all.len() > 1 { format!(" and {} more", all.len() - 1) } else { String::new() };
            let message = format!("its price is unknown, so it is refused where dollars are limited ({first}{more})");
            found.push((Path::root().key("models").key(&model.name), message));
        }
        for (at, message) in found {
            self.warn(&at, message + ": set `price`");
        }
    }
}

fn by_name(raw: &IndexMap<String, raw::LimitKeys>) -> ByName {
    raw.iter().map(|(name, keys)| (Arc::from(name.as_str()), limits(keys))).collect()
}

/// The limits that the keys state; the check has bounded the amounts.
pub(in crate::config) fn limits(raw: &raw::LimitKeys) -> Limits {
    let usd = |usd: Option<f64>| usd.map(|usd| u64::try_from(NanoUsd::from_usd(usd).0).unwrap_or(0));
    let mut limits = Limits::default();
    limits.usd_per_request = raw.usd_per_request.map(NanoUsd::from_usd);
    limits.tokens_per_request = raw.tokens_per_request;
    limits.on_exhausted = raw.on_exhausted.map(|what| match what {
        raw::OnExhausted::Deny => OnExhausted::Deny,
        raw::OnExhausted::Clamp => OnExhausted::Clamp,
        raw::OnExhausted::Queue => OnExhausted::Queue,
    });
    limits.thresholds = raw.thresholds.as_ref().map(thresholds);
    for (quota, limit) in [
        (Quota::Usd(Window::Day), usd(raw.usd_per_day)),
        (Quota::Usd(Window::Week), usd(raw.usd_per_week)),
        (Quota::Usd(Window::Month), usd(raw.usd_per_month)),
        (Quota::Tokens(Window::Day), raw.tokens_per_day),
        (Quota::Tokens(Window::Week), raw.tokens_per_week),
        (Quota::Tokens(Window::Month), raw.tokens_per_month),
        (Quota::RequestsPerMinute, raw.requests_per_minute),
        (Quota::TokensPerMinute, raw.tokens_per_minute),
        (Quota::Concurrency, raw.concurrency),
    ] {
        limits.set(quota, limit);
    }
    limits
}

/// In basis points, rising, each once.
fn thresholds(raw: &raw::List<raw::Threshold>) -> Vec<u16> {
    let mut points: Vec<u16> = raw.iter().map(|(_, share)| (share.0 * 10_000.0).round() as u16).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// `free`, `standard` and `premium`, as the schema's text says.
fn built_in(registry: &Registry) -> Vec<Package> {
    const STANDARD: [&str; 3] = ["tier:small", "tier:medium", "tier:large"];
    let packages: [(&str, &[&str], i64, u64, u64); 3] = [
        ("free", &STANDARD[..2], NanoUsd::USD.0 / 2, 20, 2),
        ("standard", &STANDARD, 20 * NanoUsd::USD.0, 120, 16),
        ("premium", &[], 200 * NanoUsd::USD.0, 600, 64),
    ];
    let package = |(name, tiers, usd, per_minute, at_once): (&str, &[&str], i64, u64, u64)| {
        let mut limits = Limits::default();
        limits.set(Quota::Usd(Window::Day), u64::try_from(usd).ok());
        limits.set(Quota::RequestsPerMinute, Some(per_minute));
        limits.set(Quota::Concurrency, Some(at_once));
        // A tier without models stays as it is: an empty pool would allow every model.
        let of_tier = |tier: &&str| select(registry, tier).unwrap_or_else(|_| vec![Arc::from(*tier)]);
        Package { name: name.into(), limits, models: tiers.iter().flat_map(of_tier).collect() }
    };
    packages.into_iter().map(package).collect()
}

//! What the configuration says of the token gate: limits by scope, packages of keys, and which models and providers a key
//! may use. Values and look-ups; nothing here counts.

use super::Key;
use crate::gate::{Limits, ScopeId};
use crate::units::Secret;
use std::sync::Arc;

/// A tag: its name and its value.
pub type Tag = (Arc<str>, Arc<str>);

/// Limits and packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Of everything together.
    pub global: Limits,
    /// Of the keys of a team together.
    pub teams: Vec<(Arc<str>, Limits)>,
    /// Of a stage.
    pub stages: Vec<(Arc<str>, Limits)>,
    /// Of a route.
    pub routes: Vec<(Arc<str>, Limits)>,
    /// Of the attempts at a model.
    pub models: Vec<(Arc<str>, Limits)>,
    /// Of one tag with one value.
    pub tags: Vec<(Tag, Limits)>,
    /// Of each key, in what neither the key nor its package says.
    pub key_default: Limits,
    /// Built-in and own, by name; each name once.
    pub packages: Vec<Package>,
    /// What happens once a slice is spent and the store cannot be asked.
    pub on_store_loss: OnStoreLoss,
    /// Requests that may wait for a budget at once (`on_exhausted: queue`).
    pub max_waiting: usize,
}

impl Gate {
    /// What the configuration limits in a scope; `None`: nothing. For a key these are the limits of every key: see
    /// [`Gate::key_limits`].
    pub fn limits_of(&self, scope: &ScopeId) -> Option<&Limits> {
        match scope {
            ScopeId::Global => Some(&self.global),
            ScopeId::Key(_) => Some(&self.key_default),
            ScopeId::Team(name) => named(&self.teams, name),
            ScopeId::Stage(name) => named(&self.stages, name),
            ScopeId::Route(name) => named(&self.routes, name),
            ScopeId::Model(name) => named(&self.models, name),
            ScopeId::Tag(k, v) => self.tags.iter().find(|((a, b), _)| a == k && b == v).map(|(_, limits)| limits),
        }
    }

    /// The package of this name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|p| &*p.name == name)
    }

    /// A key's limits: its own, else its package's, else those of every key; limit by limit.
    pub fn key_limits(&self, key: &Key) -> Limits {
        match key.package.as_ref().and_then(|name| self.package(name)) {
            Some(package) => key.limits.or(&package.limits).or(&self.key_default),
            None => key.limits.or(&self.key_default),
        }
    }

    /// Whether a key may use a model: it must be in the key's own pool and in its package's. A package that exists no
    /// more allows nothing.
    pub fn allows(&self, key: &Key, model: &str) -> Result<(), Denied> {
        let has = |pool: &[Arc<str>]| pool.is_empty() || pool.iter().any(|name| &**name == model);
        if !has(&key.models) {
            return Err(Denied::Key);
        }
        match &key.package {
            Some(name) if !self.package(name).is_some_and(|p| has(&p.models)) => Err(Denied::Package(name.clone())),
            _ => Ok(()),
        }
    }
}

fn named<'a>(list: &'a [(Arc<str>, Limits)], name: &str) -> Option<&'a Limits> {
    list.iter().find(|(n, _)| &**n == name).map(|(_, limits)| limits)
}

/// Why a key may not use a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not in the key's own `models`.
    Key,
    /// It is not among the models of the key's package.
    Package(Arc<str>),
    /// No provider that the key may use has it.
    Provider,
}

/// Limits and models that many keys share by name; each key has the limits to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// As keys name it.
    pub name: Arc<str>,
    /// Of each key with this package, where the key says nothing of its own.
    pub limits: Limits,
    /// Allowed models; empty: all. A selector that finds no model stays here as it is, and allows none.
    pub models: Vec<Arc<str>>,
}

/// What happens once a slice is spent and the store cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreLoss {
    /// Refused: never overspent.
    #[default]
    Closed,
    /// Each process goes on by what it knows: budgets may be overspent.
    Local,
}

/// The store that budgets are leased from, where it is not the storage itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// `redis://…` or `rediss://…`; it may hold a password.
    pub url: Secret,
}

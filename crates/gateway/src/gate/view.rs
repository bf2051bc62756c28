//! Which scopes are limited at present: the configuration, the stored keys and the operator's changes put together. Read by
//! every request without a lock; made anew when one of the three changes.

use super::{Cell, Gate, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use waypost_core::config::{Config, Key, OnStoreLoss};
use waypost_core::gate::{LimitChange, Limits, Scope, ScopeId};
use waypost_core::route::Place;
use waypost_core::units::Instant;

/// What operators changed at run time, by scope.
pub type Overrides = HashMap<ScopeId, LimitChange>;

/// The scopes that are limited, by name.
#[derive(Debug, Default)]
pub struct View {
    global: Option<Arc<Cell>>,
    teams: HashMap<Arc<str>, Arc<Cell>>,
    keys: HashMap<Arc<str>, Arc<Cell>>,
    stages: HashMap<Arc<str>, Arc<Cell>>,
    routes: HashMap<Arc<str>, Arc<Cell>>,
    tags: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Cell>>>,
    models: HashMap<Arc<str>, Arc<Cell>>,
    /// What happens once a slice is spent and the store cannot be asked.
    pub on_store_loss: OnStoreLoss,
    /// Requests that may wait for room at once.
    pub max_waiting: usize,
    /// How long a lease lasts.
    pub lease_ttl: Duration,
}

/// What of a request says which scopes it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Belongs<'a> {
    /// The client key.
    pub key: Option<&'a Key>,
    /// The stage that was named.
    pub stage: Option<&'a str>,
    /// The route that decides.
    pub route: Option<&'a str>,
    /// Tags of the key and the request.
    pub tags: &'a [(Arc<str>, Arc<str>)],
}

impl<'a> Belongs<'a> {
    /// Of a request with this key and these tags that was put there.
    pub fn new(config: &'a Config, key: Option<&'a Key>, tags: &'a [(Arc<str>, Arc<str>)], place: Place) -> Self {
        let stage = place.stage.map(|s| &*config.stages[s].name);
        let route = place.route.map(|r| &*config.routes[r].name);
        Self { key, stage, route, tags }
    }
}

impl View {
    /// The limited scopes of a request, the model's left out, in the order of locking.
    pub fn scopes(&self, of: &Belongs<'_>) -> Vec<Arc<Cell>> {
        let mut found = Vec::new();
        found.extend(self.global.clone());
        let by_name = |map: &HashMap<Arc<str>, Arc<Cell>>, name: Option<&str>| {
            if map.is_empty() { None } else { map.get(name?).cloned() }
        };
        found.extend(by_name(&self.teams, of.key.and_then(|k| k.team.as_deref())));
        found.extend(by_name(&self.keys, of.key.map(|k| &*k.id)));
        found.extend(by_name(&self.stages, of.stage));
        found.extend(by_name(&self.routes, of.route));
        if !self.tags.is_empty() {
            let first = found.len();
            found.extend(of.tags.iter().filter_map(|(k, v)| self.tags.get(k)?.get(v).cloned()));
            if found.len() > first + 1 {
                found[first..].sort_by_cached_key(|cell| cell.id().clone());
                found.dedup_by(|a, b| Arc::ptr_eq(a, b));
            }
        }
        found
    }

    /// The scope of a model, where it is limited.
    pub fn model(&self, name: &str) -> Option<&Arc<Cell>> {
        if self.models.is_empty() { None } else { self.models.get(name) }
    }

    /// The scope whose money paces a request that was put there: its route's, else its stage's, else the global one.
    pub fn pacer(&self, route: Option<&str>, stage: Option<&str>) -> Option<&Arc<Cell>> {
        let route = route.and_then(|name| self.routes.get(name));
        let stage = stage.and_then(|name| self.stages.get(name));
        [route, stage, self.global.as_ref()].into_iter().flatten().find(|cell| cell.has_budget())
    }

    /// The scopes that pace some policy.
    fn paced(&self, config: &Config) -> Vec<Arc<Cell>> {
        let routes = config.routes.iter().filter(|r| r.policy.pacing).map(|r| self.pacer(Some(&r.name), None));
        let stages = config.stages.iter().filter(|s| s.policy.pacing).map(|s| self.pacer(None, Some(&s.name)));
        let auto = config.auto.pacing.then(|| self.pacer(None, None));
        routes.chain(stages).chain(auto).flatten().cloned().collect()
    }

    fn insert(&mut self, id: &ScopeId, cell: Arc<Cell>) {
        let (map, name) = match id {
            ScopeId::Global => return self.global = Some(cell),
            ScopeId::Tag(k, v) => {
                self.tags.entry(k.clone()).or_default().insert(v.clone(), cell);
                return;
            }
            ScopeId::Team(n) => (&mut self.teams, n),
            ScopeId::Key(n) => (&mut self.keys, n),
            ScopeId::Stage(n) => (&mut self.stages, n),
            ScopeId::Route(n) => (&mut self.routes, n),
            ScopeId::Model(n) => (&mut self.models, n),
        };
        map.insert(name.clone(), cell);
    }
}

impl Gate {
    /// Puts other limits in force. Scopes keep what they have spent and hold.
    pub fn configure<'k>(&self, config: &Config, keys: impl Iterator<Item = &'k Key>, overrides: &Overrides) {
        let limited = limits(config, keys, overrides);
        let now = self.now();
        let mut view = View {
            on_store_loss: config.gate.on_store_loss,
            max_waiting: config.gate.max_waiting,
            lease_ttl: config.lease_ttl,
            ..View::default()
        };
        let mut cells = lock(&self.cells);
        for (id, cell) in cells.iter() {
            if !limited.contains_key(id) {
                let mut scope = cell.lock();
                scope.configure(Limits::default(), config.time_zone.clone(), now.unix_ms);
                cell.read(&scope);
            }
        }
        for (id, limits) in limited {
            let cell = match cells.get(&id) {
                Some(cell) => {
                    let mut scope = cell.lock();
                    scope.configure(limits, config.time_zone.clone(), now.unix_ms);
                    cell.read(&scope);
                    drop(scope);
                    cell.clone()
                }
                None => Cell::new(Scope::new(id.clone(), limits, config.time_zone.clone(), now.unix_ms)),
            };
            view.insert(&id, cell.clone());
            cells.insert(id, cell);
        }
        let paced = view.paced(config);
        for cell in cells.values() {
            cell.pace(paced.iter().any(|p| Arc::ptr_eq(p, cell)));
        }
        self.view.store(Arc::new(view));
    }

    /// Forgets scopes that are no longer limited and have nothing left to report.
    pub(super) fn forget_idle(&self) {
        let idle = |cell: &Arc<Cell>| {
            let scope = cell.lock();
            scope.limits().is_empty() && scope.is_idle()
        };
        lock(&self.cells).retain(|_, cell| !idle(cell));
    }

    /// Monotonic time.
    pub fn instant(&self) -> Instant {
        self.clock.instant()
    }
}

/// The limits of every scope that has any.
pub fn limits<'k>(
    config: &Config,
    keys: impl Iterator<Item = &'k Key>,
    overrides: &Overrides,
) -> HashMap<ScopeId, Limits> {
    let gate = &config.gate;
    let mut all: HashMap<ScopeId, Limits> = HashMap::new();
    all.insert(ScopeId::Global, gate.global.clone());
    all.extend(gate.teams.iter().map(|(n, l)| (ScopeId::Team(n.clone()), l.clone())));
    all.extend(gate.stages.iter().map(|(n, l)| (ScopeId::Stage(n.clone()), l.clone())));
    all.extend(gate.routes.iter().map(|(n, l)| (ScopeId::Route(n.clone()), l.clone())));
    all.extend(gate.models.iter().map(|(n, l)| (ScopeId::Model(n.clone()), l.clone())));
    all.extend(gate.tags.iter().map(|((k, v), l)| (ScopeId::Tag(k.clone(), v.clone()), l.clone())));
    all.extend(keys.map(|k| (ScopeId::Key(k.id.clone()), gate.key_limits(k))));
    for (scope, change) in overrides {
        let changed = all.get(scope).cloned().unwrap_or_default().changed(change);
        all.insert(scope.clone(), changed);
    }
    let usual = all.get(&ScopeId::Global).and_then(|global| global.on_exhausted);
    all.values_mut().for_each(|limits| limits.on_exhausted = limits.on_exhausted.or(usual));
    all.retain(|_, limits| !limits.is_empty());
    all
}

//! Which scopes are limited at present: the configuration, the stored keys and the operator's changes put together. Read by
//! every request without a lock; made anew when one of the three changes.
//!
//! Routes, stages and models are found by their index in the configuration that the view was made from. A request may still
//! be served on another configuration: then by their names.

use super::{Cell, Cells, Gate, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use waypost_core::config::{Config, Key, OnStoreLoss};
use waypost_core::gate::{LimitChange, Limits, Scope, ScopeId};
use waypost_core::registry::ModelIx;
use waypost_core::route::{Gated, Place};
use waypost_core::units::Instant;

/// What operators changed at run time, by scope.
pub type Overrides = HashMap<ScopeId, LimitChange>;

/// Cells by name, with the hash that is quick: the names in it are the operator's.
type Names = hashbrown::HashMap<Arc<str>, Arc<Cell>>;

/// The scopes that are limited.
#[derive(Debug, Default)]
pub struct View {
    /// Differs from that of every other view of this gate; 0: nothing was configured yet.
    version: u64,
    global: Option<Arc<Cell>>,
    teams: Names,
    keys: Names,
    stages: Listed,
    routes: Listed,
    tags: hashbrown::HashMap<Arc<str>, Names>,
    models: Listed,
    /// What happens once a slice is spent and the store cannot be asked.
    pub on_store_loss: OnStoreLoss,
    /// Requests that may wait for room at once.
    pub max_waiting: usize,
    /// How long a lease lasts.
    pub lease_ttl: Duration,
}

/// Cells by index in one configuration, and by name in any.
#[derive(Debug, Default)]
struct Listed {
    by_name: Names,
    /// The names are the configuration's own, and are kept: who has the same one has the same configuration.
    by_index: Vec<(Arc<str>, Option<Arc<Cell>>)>,
}

impl Listed {
    fn of(&self, index: usize, name: &Arc<str>) -> Option<&Arc<Cell>> {
        match self.by_index.get(index) {
            _ if self.by_name.is_empty() => None,
            Some((known, cell)) if Arc::ptr_eq(known, name) => cell.as_ref(),
            _ => self.by_name.get(name),
        }
    }

    fn align<'c>(&mut self, names: impl Iterator<Item = &'c Arc<str>>) {
        self.by_index = names.map(|name| (name.clone(), self.by_name.get(name).cloned())).collect();
    }
}

/// What of a request says which scopes it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Belongs<'a> {
    /// The configuration that it is served on.
    pub config: &'a Config,
    /// The client key.
    pub key: Option<&'a Key>,
    /// Tags of the key and the request.
    pub tags: &'a [(Arc<str>, Arc<str>)],
    /// The route that decides and the stage that was named.
    pub place: Place,
}

/// The limited scopes of one request, the models' left out, as one view has them.
#[derive(Clone, Debug)]
pub struct Scopes {
    /// Of the view.
    version: u64,
    /// For which place.
    pub place: Place,
    /// In the order of locking.
    pub cells: Cells,
    /// What they ask of candidates together.
    pub asked: Gated,
}

impl View {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.global.is_none()
            && [&self.stages, &self.routes, &self.models].iter().all(|l| l.by_name.is_empty())
            && self.teams.is_empty()
            && self.keys.is_empty()
            && self.tags.is_empty()
    }

    /// The limited scopes of a request.
    pub fn find(&self, of: &Belongs<'_>) -> Scopes {
        let mut cells = Cells::new();
        let team = of.key.and_then(|k| self.teams.get(k.team.as_deref()?));
        let key = of.key.and_then(|k| self.keys.get(&*k.id));
        let (stage, route) = (self.stage(of.config, of.place), self.route(of.config, of.place));
        for cell in [self.global.as_ref(), team, key, stage, route].into_iter().flatten() {
            cells.push(cell.clone());
        }
        if !self.tags.is_empty() {
            let first = cells.len();
            cells.extend(of.tags.iter().filter_map(|(k, v)| self.tags.get(k)?.get(v).cloned()));
            if cells.len() > first + 1 {
                cells[first..].sort_by_cached_key(|cell| cell.id().clone());
                cells.dedup_by(|a, b| Arc::ptr_eq(a, b));
            }
        }
        let asked = cells.iter().fold(Gated::default(), |all, cell| all.and(cell.asks()));
        Scopes { version: self.version, place: of.place, cells, asked }
    }

    /// What was found before, where it still holds; else what is found now. Limits may have been set since.
    pub fn refind(&self, found: Option<Scopes>, of: &Belongs<'_>) -> Scopes {
        let same = |found: &Scopes| found.version == self.version && found.place == of.place;
        found.filter(same).unwrap_or_else(|| self.find(of))
    }

    /// The scope of a model, where it is limited.
    pub fn model(&self, config: &Config, ix: ModelIx) -> Option<&Arc<Cell>> {
        self.models.of(usize::from(ix.0), &config.registry.model(ix).name)
    }

    fn route(&self, config: &Config, place: Place) -> Option<&Arc<Cell>> {
        place.route.and_then(|r| self.routes.of(r, &config.routes[r].name))
    }

    fn stage(&self, config: &Config, place: Place) -> Option<&Arc<Cell>> {
        place.stage.and_then(|s| self.stages.of(s, &config.stages[s].name))
    }

    /// The scope whose money paces a request that was put there: its route's, else its stage's, else the global one.
    pub fn pacer(&self, config: &Config, place: Place) -> Option<&Arc<Cell>> {
        let own = [self.route(config, place), self.stage(config, place), self.global.as_ref()];
        own.into_iter().flatten().find(|cell| cell.has_budget())
    }

    /// The scopes that pace some policy.
    fn paced(&self, config: &Config) -> Vec<Arc<Cell>> {
        let all = |n: usize| 0..n;
        let routes = all(config.routes.len()).filter(|r| config.routes[*r].policy.pacing);
        let stages = all(config.stages.len()).filter(|s| config.stages[*s].policy.pacing);
        let routes = routes.map(|r| Place { route: Some(r), stage: None });
        let places = routes.chain(stages.map(|s| Place { route: None, stage: Some(s) }));
        let places = places.chain(config.auto.pacing.then(Place::default));
        places.filter_map(|place| self.pacer(config, place)).cloned().collect()
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
            ScopeId::Stage(n) => (&mut self.stages.by_name, n),
            ScopeId::Route(n) => (&mut self.routes.by_name, n),
            ScopeId::Model(n) => (&mut self.models.by_name, n),
        };
        map.insert(name.clone(), cell);
    }

    /// Indices of this configuration from now on.
    fn align(&mut self, config: &Config) {
        self.stages.align(config.stages.iter().map(|s| &s.name));
        self.routes.align(config.routes.iter().map(|r| &r.name));
        self.models.align(config.registry.models.iter().map(|m| &m.name));
    }
}

impl Gate {
    /// Puts other limits in force. Scopes keep what they have spent and hold.
    pub fn configure<'k>(&self, config: &Config, keys: impl Iterator<Item = &'k Key>, overrides: &Overrides) {
        let limited = limits(config, keys, overrides);
        let now = self.now();
        let mut view = View {
            version: self.versions.fetch_add(1, Ordering::Relaxed) + 1,
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
        view.align(config);
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

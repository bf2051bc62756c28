//! The snapshot's live state, and the gate's, as deciding reads them. It reserves nothing.

use crate::gate::{Belongs, Cell, Gate};
use crate::snapshot::Snapshot;
use std::cell::RefCell;
use std::sync::Arc;
use waypost_core::config::Key;
use waypost_core::gate::{Amounts, Exceeded};
use waypost_core::health::EndpointView;
use waypost_core::profile::Task;
use waypost_core::registry::{EndpointIx, ModelIx};
use waypost_core::route::{Gated, Live, Place};
use waypost_core::units::Instant;

/// Live views at one moment.
#[derive(Debug)]
pub struct LiveView<'a> {
    snapshot: &'a Snapshot,
    now: Instant,
    gate: Option<GateView<'a>>,
}

/// The gate as one request meets it.
#[derive(Debug)]
struct GateView<'a> {
    gate: &'a Gate,
    key: Option<&'a Key>,
    tags: &'a [(Arc<str>, Arc<str>)],
    /// The scopes of the place that was asked about last: one a request, as a rule.
    scopes: RefCell<Option<(Place, Vec<Arc<Cell>>)>>,
}

impl<'a> LiveView<'a> {
    /// Without a gate.
    pub fn new(snapshot: &'a Snapshot, now: Instant) -> Self {
        Self { snapshot, now, gate: None }
    }

    /// With the gate, for a request of this key with these tags.
    pub fn gated(self, gate: &'a Gate, key: Option<&'a Key>, tags: &'a [(Arc<str>, Arc<str>)]) -> Self {
        Self { gate: Some(GateView { gate, key, tags, scopes: RefCell::new(None) }), ..self }
    }

    fn model_name(&self, model: ModelIx) -> &str {
        &self.snapshot.config.registry.model(model).name
    }

    /// Calls with the scopes of a request that was put there.
    fn with_scopes<T>(&self, gate: &GateView<'_>, place: Place, call: impl FnOnce(&[Arc<Cell>]) -> T) -> T {
        let mut known = gate.scopes.borrow_mut();
        let scopes = match &*known {
            Some((of, scopes)) if *of == place => scopes,
            _ => {
                let config = &self.snapshot.config;
                let belongs = Belongs {
                    key: gate.key,
                    stage: place.stage.map(|s| &*config.stages[s].name),
                    route: place.route.map(|r| &*config.routes[r].name),
                    tags: gate.tags,
                };
                &known.insert((place, gate.gate.view().scopes(&belongs))).1
            }
        };
        call(scopes)
    }
}

impl Live for LiveView<'_> {
    fn endpoint(&self, ix: EndpointIx) -> EndpointView {
        self.snapshot.health[usize::from(ix.0)].view(self.now)
    }

    fn token_factor(&self, model: ModelIx) -> f32 {
        self.snapshot.learned[usize::from(model.0)].factor.factor()
    }

    fn expected_output(&self, model: ModelIx, task: Task) -> f32 {
        self.snapshot.learned[usize::from(model.0)].output.tokens(task)
    }

    fn gate(&self, place: Place, model: ModelIx) -> Gated {
        let Some(gate) = &self.gate else { return Gated::default() };
        let view = gate.gate.view();
        let own = view.model(self.model_name(model));
        self.with_scopes(gate, place, |scopes| {
            let all = || scopes.iter().chain(own);
            Gated {
                money: all().any(|c| c.limits_money()),
                tight: all().any(|c| c.is_tight()),
                clamp: all().any(|c| c.is_clamped()),
            }
        })
    }

    fn lambda(&self, place: Place) -> Option<f64> {
        let (gate, config) = (self.gate.as_ref()?, &self.snapshot.config);
        let route = place.route.map(|r| &*config.routes[r].name);
        let stage = place.stage.map(|s| &*config.stages[s].name);
        gate.gate.view().pacer(route, stage)?.lambda()
    }

    fn room(&self, place: Place, model: ModelIx, need: &Amounts) -> Result<(), Box<Exceeded>> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let view = gate.gate.view();
        let own = view.model(self.model_name(model));
        self.with_scopes(gate, place, |scopes| gate.gate.room(&mut scopes.iter().chain(own).map(|cell| (cell, *need))))
    }
}

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
use waypost_core::route::{Gated, Live, Place, UNKNOWN_QUALITY};
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
    /// What was found for the place that was asked about last: one a request, as a rule.
    put: RefCell<Option<Put>>,
}

/// The limited scopes of a request that was put there, the model's left out, and what they ask together.
#[derive(Debug)]
struct Put {
    place: Place,
    scopes: Vec<Arc<Cell>>,
    gated: Gated,
}

impl<'a> LiveView<'a> {
    /// Without a gate.
    pub fn new(snapshot: &'a Snapshot, now: Instant) -> Self {
        Self { snapshot, now, gate: None }
    }

    /// With the gate, for a request of this key with these tags.
    pub fn gated(self, gate: &'a Gate, key: Option<&'a Key>, tags: &'a [(Arc<str>, Arc<str>)]) -> Self {
        Self { gate: Some(GateView { gate, key, tags, put: RefCell::new(None) }), ..self }
    }

    fn model_name(&self, model: ModelIx) -> &str {
        &self.snapshot.config.registry.model(model).name
    }

    /// Calls with what is found for a request that was put there.
    fn put<T>(&self, gate: &GateView<'_>, place: Place, call: impl FnOnce(&Put) -> T) -> T {
        let mut known = gate.put.borrow_mut();
        let put = match &*known {
            Some(put) if put.place == place => put,
            _ => {
                let belongs = Belongs::new(&self.snapshot.config, gate.key, gate.tags, place);
                let scopes = gate.gate.view().scopes(&belongs);
                let gated = asked(scopes.iter(), Gated::default());
                &*known.insert(Put { place, scopes, gated })
            }
        };
        call(put)
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

    fn quality(&self, model: ModelIx, task: Task, configured: Option<f32>) -> Option<f32> {
        if self.snapshot.config.learning.is_none() {
            return configured;
        }
        let corrections = self.snapshot.corrections.load();
        corrections.quality(self.model_name(model), task.name(), configured.unwrap_or(UNKNOWN_QUALITY)).or(configured)
    }

    fn gate(&self, place: Place, model: ModelIx) -> Gated {
        let Some(gate) = &self.gate else { return Gated::default() };
        let view = gate.gate.view();
        let own = view.model(self.model_name(model));
        self.put(gate, place, |put| asked(own.into_iter(), put.gated))
    }

    fn lambda(&self, place: Place) -> Option<f64> {
        let gate = self.gate.as_ref()?;
        let belongs = Belongs::new(&self.snapshot.config, gate.key, gate.tags, place);
        gate.gate.view().pacer(belongs.route, belongs.stage)?.lambda()
    }

    fn room(&self, place: Place, model: ModelIx, need: &Amounts) -> Result<(), Box<Exceeded>> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let view = gate.gate.view();
        let own = view.model(self.model_name(model));
        self.put(gate, place, |put| gate.gate.room(&mut put.scopes.iter().chain(own).map(|cell| (cell, *need))))
    }
}

/// What `before` asks, and these scopes with it.
fn asked<'c>(cells: impl Iterator<Item = &'c Arc<Cell>>, before: Gated) -> Gated {
    cells.fold(before, |all, cell| Gated {
        money: all.money || cell.limits_money(),
        tight: all.tight || cell.is_tight(),
        clamp: all.clamp || cell.is_clamped(),
    })
}

//! The snapshot's live state, and the gate's, as deciding reads them. It reserves nothing.

use crate::gate::{Belongs, Gate, Scopes, View};
use crate::predict::Predictions;
use crate::snapshot::Snapshot;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use waypost_core::config::Key;
use waypost_core::gate::{Amounts, Exceeded};
use waypost_core::health::EndpointView;
use waypost_core::profile::Task;
use waypost_core::registry::{EndpointIx, ModelIx};
use waypost_core::route::{Gated, Live, Place, Predicted, UNKNOWN_QUALITY};
use waypost_core::units::Instant;
use waypost_learn::online::{Corrections, shifted};

/// Live views at one moment.
pub struct LiveView<'a> {
    snapshot: &'a Snapshot,
    now: Instant,
    gate: Option<GateView<'a>>,
    predict: Option<&'a Predict<'a>>,
    /// What was predicted for the place that decides; asked at most once.
    predictions: OnceCell<Option<Predictions>>,
    /// What scores taught, as it was when it was first asked for: one decision sees one state of it.
    corrections: OnceCell<arc_swap::Guard<Arc<Corrections>>>,
}

/// What is predicted of a request that was put there.
pub type Predict<'a> = dyn Fn(Place) -> Option<Predictions> + 'a;

/// The gate as one request meets it.
#[derive(Debug)]
struct GateView<'a> {
    gate: &'a Gate,
    /// What is limited, as it was when the request came: one decision sees one state of it.
    view: arc_swap::Guard<Arc<View>>,
    key: Option<&'a Key>,
    tags: &'a [(Arc<str>, Arc<str>)],
    /// What was found for the place that was asked about last: one a request, as a rule.
    found: RefCell<Option<Scopes>>,
}

impl<'a> LiveView<'a> {
    /// Without a gate.
    pub fn new(snapshot: &'a Snapshot, now: Instant) -> Self {
        Self { snapshot, now, gate: None, predict: None, predictions: OnceCell::new(), corrections: OnceCell::new() }
    }

    /// With the gate, for a request of this key with these tags.
    pub fn gated(self, gate: &'a Gate, key: Option<&'a Key>, tags: &'a [(Arc<str>, Arc<str>)]) -> Self {
        let view = gate.view();
        let gate = (!view.is_empty()).then(|| GateView { gate, view, key, tags, found: RefCell::new(None) });
        Self { gate, ..self }
    }

    /// With a predictor's word, which is asked for only where it is needed.
    pub fn predicting(self, predict: &'a Predict<'a>) -> Self {
        Self { predict: Some(predict), ..self }
    }

    /// What was found while it was read: the scopes, for who reserves next, and what was predicted.
    pub fn into_found(self) -> (Option<Scopes>, Option<Predictions>) {
        let scopes = self.gate.and_then(|gate| gate.found.into_inner());
        (scopes, self.predictions.into_inner().flatten())
    }

    /// What scores taught; `None`: nothing is to be learned from them.
    fn corrections(&self) -> Option<&Corrections> {
        self.snapshot.config.learning.as_ref()?;
        Some(self.corrections.get_or_init(|| self.snapshot.corrections.load()))
    }

    /// Calls with what is found for a request that was put there.
    fn found<T>(&self, gate: &GateView<'_>, place: Place, call: impl FnOnce(&Scopes) -> T) -> T {
        let mut known = gate.found.borrow_mut();
        let found = match &*known {
            Some(found) if found.place == place => found,
            _ => {
                let belongs = Belongs { config: &self.snapshot.config, key: gate.key, tags: gate.tags, place };
                &*known.insert(gate.view.find(&belongs))
            }
        };
        call(found)
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
        let Some(corrections) = self.corrections() else { return configured };
        let name = &self.snapshot.config.registry.model(model).name;
        corrections.quality(name, task.name(), configured.unwrap_or(UNKNOWN_QUALITY)).or(configured)
    }

    fn predicted(&self, place: Place, model: ModelIx) -> Option<Predicted> {
        let predict = self.predict?;
        let predicted = self.predictions.get_or_init(|| predict(place)).as_ref()?.of(model)?;
        let Some(corrections) = self.corrections() else { return Some(predicted) };
        let config = &self.snapshot.config;
        let route = place.route.map_or("", |r| &*config.routes[r].name);
        let shift = corrections.shift(&config.registry.model(model).name, route);
        let of = |score| shifted(score, shift);
        Some(Predicted {
            quality: of(predicted.quality),
            low: of(predicted.low),
            high: of(predicted.high),
            ..predicted
        })
    }

    fn gate(&self, place: Place) -> Gated {
        self.gate.as_ref().map_or_else(Gated::default, |gate| self.found(gate, place, |found| found.asked))
    }

    fn gate_model(&self, model: ModelIx) -> Gated {
        let own = self.gate.as_ref().and_then(|gate| gate.view.model(&self.snapshot.config, model));
        own.map_or_else(Gated::default, |own| own.asks())
    }

    fn lambda(&self, place: Place) -> Option<f64> {
        let gate = self.gate.as_ref()?;
        gate.view.pacer(&self.snapshot.config, place)?.lambda()
    }

    fn room(&self, place: Place, model: ModelIx, need: &Amounts) -> Result<(), Box<Exceeded>> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let own = gate.view.model(&self.snapshot.config, model);
        let room = |found: &Scopes| gate.gate.room(&mut found.cells.iter().chain(own).map(|cell| (cell, *need)));
        self.found(gate, place, room)
    }
}

//! The snapshot's live state as deciding reads it.

use crate::snapshot::Snapshot;
use waypost_core::health::EndpointView;
use waypost_core::profile::Task;
use waypost_core::registry::{EndpointIx, ModelIx};
use waypost_core::route::Live;
use waypost_core::units::Instant;

/// Live views at one moment.
#[derive(Clone, Copy, Debug)]
pub struct LiveView<'a> {
    /// Whose state.
    pub snapshot: &'a Snapshot,
    /// When.
    pub now: Instant,
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
}

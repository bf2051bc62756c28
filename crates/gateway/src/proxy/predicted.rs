//! What a predictor needs of a request, and what it says: features of the last user turn and labels, each made once and
//! only where a policy asks.

use super::prepare::{Call, Prepared};
use crate::predict::Predictions;
use waypost_core::profile::last_turn;
use waypost_core::route::Place;
use waypost_core::scan::Role;
use waypost_learn::features::Features;
use waypost_learn::labels::{Known, system_hash};

impl Prepared {
    /// Features of the last user turn; `None` where it has no text, or the request is no chat.
    pub fn features(&self) -> Option<&Features> {
        let made = self.features.get_or_init(|| {
            if self.call != Call::Chat {
                return None;
            }
            last_turn(&self.body, &self.scan).map(|text| Box::new(Features::of(&text)))
        });
        made.as_deref()
    }

    /// What the predictor of the policy in this place says; `None` without a predictor or a text.
    pub fn predict(&self, place: Place) -> Option<Predictions> {
        let snapshot = &self.snapshot;
        let file = snapshot.config.policy(place.route, place.stage).predicting.file?;
        let predictor = snapshot.predictors.of(file)?;
        Some(predictor.predict(self.features()?, &self.known(place)))
    }

    /// What the request says of itself besides its text.
    fn known(&self, place: Place) -> Known<'_> {
        let tagged = self.tags.iter().find(|(name, _)| &**name == "task").map(|(_, value)| &**value);
        let classified = self.profile.classified.then(|| self.profile.task.name());
        let key = self.key.as_deref();
        let system = self.scan.texts.iter().find(|t| t.role == Role::System);
        Known {
            task: tagged.or(classified),
            route: place.route.map(|r| &*self.snapshot.config.routes[r].name),
            tenant: key.map(|key| key.team.as_deref().unwrap_or(&key.id)),
            system: system.map(|t| system_hash(&self.body[t.range.clone()])),
        }
    }
}

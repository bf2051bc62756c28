//! What of a request is held back until it is answered, so that predictors can learn from it.

use super::{Call, Prepared};
use crate::store::{Lesson, Material};
use std::sync::Arc;
use waypost_core::profile::last_turn;

/// The last user turn of a chat, where rows are kept for learning: its features, where deciding made them, else its text,
/// of which the ledger's thread makes them.
pub(super) fn of(prepared: &Prepared) -> Option<Box<Lesson>> {
    prepared.snapshot.config.learning?;
    if prepared.call != Call::Chat {
        return None;
    }
    let material = match prepared.features.get() {
        Some(made) => Material::Made(Arc::new((**made.as_ref()?).clone())),
        None => Material::Turn(last_turn(&prepared.body, &prepared.scan)?),
    };
    Some(Box::new(Lesson { material, predicted: None, propensity: None }))
}

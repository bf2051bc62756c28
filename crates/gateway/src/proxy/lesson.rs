//! What of a request is held back until it is answered, so that predictors can learn from it.

use super::{Call, Prepared};
use crate::store::{Lesson, Material};
use bytes::Bytes;
use waypost_core::scan::Role;

/// A text up to so long is copied: it is held until the record is written, and the body it stands in may be long.
const COPIED: usize = 16 << 10;

/// The last user turn of a chat, where rows are kept for learning.
pub(super) fn of(prepared: &Prepared) -> Option<Box<Lesson>> {
    prepared.snapshot.config.learning?;
    if prepared.call != Call::Chat {
        return None;
    }
    let pieces = prepared.last_user_turn();
    let material = (!pieces.is_empty()).then_some(Material::Turn(pieces))?;
    Some(Box::new(Lesson { material, predicted: None, propensity: None }))
}

impl Prepared {
    /// The texts of the last user turn, as they stand in the body: raw JSON without quotes. Turns that follow one another
    /// are one.
    pub(super) fn last_user_turn(&self) -> Vec<Bytes> {
        let texts = &self.scan.texts;
        let is_user = |i: &usize| texts[*i].role == Role::User;
        let Some(last) = (0..texts.len()).rev().find(is_user) else { return Vec::new() };
        let first = (0..=last).rev().take_while(is_user).last().unwrap_or(last);
        let piece = |range: std::ops::Range<usize>| match range.len() {
            0..=COPIED => Bytes::copy_from_slice(&self.body[range]),
            _ => self.body.slice(range),
        };
        texts[first..=last].iter().map(|text| piece(text.range.clone())).collect()
    }
}

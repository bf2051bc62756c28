//! What of an answered request is kept for learning: features of its prompt, who answered, tokens and cost. The prompt is
//! held until the ledger's thread has made features of it, within a batch, and is never written.

use super::{AttemptRecord, RequestOutcome, RequestRecord};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use waypost_core::json;
use waypost_core::units::{NanoUsd, RequestId};
use waypost_learn::features::Features;
use waypost_learn::kept;
use waypost_learn::outcome::{Outcome, Row};
use waypost_learn::prior::Label;
use waypost_learn::train::{RouteKey, Sample};

/// A request as predictors learn from it; what else they need stands in its [`RequestRecord`].
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Its features, or what they are made of.
    pub material: Material,
    /// The score that was expected of the model that answered, 0 to 1.
    pub predicted: Option<f32>,
    /// The probability with which that model was chosen, 0 to 1.
    pub propensity: Option<f32>,
}

/// Features, at the stages of their making.
#[derive(Clone)]
pub enum Material {
    /// The last user turn: pieces of raw JSON text, without their quotes.
    Turn(Vec<Bytes>),
    /// As they were made for deciding.
    Made(Arc<Features>),
    /// As they are kept.
    Packed(Vec<u8>),
}

impl fmt::Debug for Material {
    /// Without the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn(_) => "Turn(..)",
            Self::Made(_) => "Made(..)",
            Self::Packed(_) => "Packed(..)",
        })
    }
}

impl Material {
    /// Bytes of text that it holds.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Turn(pieces) => pieces.iter().map(Bytes::len).sum(),
            Self::Made(_) | Self::Packed(_) => 0,
        }
    }

    /// The bytes that are kept. Some ten to a hundred microseconds for a text: not on a request's path.
    pub(super) fn packed(self) -> Vec<u8> {
        match self {
            Self::Turn(pieces) => {
                let texts: Vec<_> = pieces.iter().map(|piece| json::unescape(piece)).collect();
                kept::pack(&Features::of(&texts.join("\n")))
            }
            Self::Made(features) => kept::pack(&features),
            Self::Packed(bytes) => bytes,
        }
    }
}

/// How long rows are kept for learning, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Until they are so old.
    pub age: Duration,
    /// The newest.
    pub rows: u64,
}

impl Keep {
    /// The oldest that is kept at this time.
    pub(crate) fn since(self, unix_ms: i64) -> i64 {
        unix_ms.saturating_sub(i64::try_from(self.age.as_millis()).unwrap_or(i64::MAX))
    }

    /// For the databases.
    pub(super) fn stored_rows(self) -> i64 {
        super::stored(self.rows)
    }
}

impl RequestRecord {
    /// The attempt whose answer the client had, whole or in part; `None`: it had none, or it came from a cache.
    pub fn answering(&self) -> Option<&AttemptRecord> {
        match self.outcome {
            RequestOutcome::Ok => self.attempts.iter().rev().find(|a| Some(&a.model) == self.model.as_ref()),
            RequestOutcome::Cut | RequestOutcome::Cancelled => {
                self.attempts.last().filter(|a| a.first_token_us.is_some() && a.usage.output_tokens > 0)
            }
            RequestOutcome::Refused | RequestOutcome::Failed => None,
        }
    }

    /// What is to be written for learning: the attempt that answered, and features.
    pub(super) fn lesson_row(&self) -> Option<LessonRow<'_>> {
        let lesson = self.lesson.as_ref()?;
        let Material::Packed(features) = &lesson.material else { return None };
        Some(LessonRow { record: self, answer: self.answering()?, lesson, features })
    }
}

/// One row of `lessons`, borrowed.
pub(super) struct LessonRow<'r> {
    pub(super) record: &'r RequestRecord,
    pub(super) answer: &'r AttemptRecord,
    pub(super) lesson: &'r Lesson,
    pub(super) features: &'r [u8],
}

impl LessonRow<'_> {
    /// Tokens in and out, where the provider reported them.
    pub(super) fn tokens(&self) -> Option<(u64, u64)> {
        (!self.answer.estimated).then_some((self.answer.usage.input_tokens, self.answer.usage.output_tokens))
    }
}

/// A row as it was kept, with the score of its request where a client reported one.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedRow {
    /// The request.
    pub id: RequestId,
    /// Arrival, milliseconds since the Unix epoch.
    pub unix_ms: i64,
    /// Public id of the client key.
    pub key: Option<String>,
    /// Team of the key.
    pub team: Option<String>,
    /// Route that decided.
    pub route: Option<String>,
    /// Stage that was named.
    pub stage: Option<String>,
    /// The model that answered.
    pub model: String,
    /// What was asked for.
    pub task: String,
    /// As the provider reported.
    pub input_tokens: Option<u64>,
    /// As the provider reported, reasoning included.
    pub output_tokens: Option<u64>,
    /// What the answer cost.
    pub cost_nano_usd: Option<i64>,
    /// Probability with which the model was chosen.
    pub propensity: Option<f32>,
    /// Score that was expected of it.
    pub predicted: Option<f32>,
    /// Of the last user turn.
    pub features: Features,
    /// The newest score that a client reported.
    pub score: Option<f32>,
}

impl LearnedRow {
    /// The labels that its request carried, the most general first: task, route, tenant.
    pub fn labels(&self) -> Vec<Label> {
        let route = self.route.as_deref().map(|route| Label::new("route", route));
        let tenant = self.team.as_deref().map(|team| Label::new("tenant", team));
        std::iter::once(Label::new("task", &self.task)).chain(route).chain(tenant).collect()
    }

    /// As a row to train on; None without a score. Its prompt is empty, and it has no words.
    pub fn sample(&self, route_key: Option<RouteKey>) -> Option<Sample> {
        let count = |tokens: Option<u64>| tokens.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let outcome = Outcome {
            score: f64::from(self.score?),
            input_tokens: count(self.input_tokens),
            output_tokens: count(self.output_tokens),
            cost_usd: self.cost_nano_usd.map(|cost| NanoUsd(cost).usd()),
        };
        let row = Row {
            id: self.id.to_string(),
            source: "feedback".to_owned(),
            task: self.task.clone(),
            prompt: String::new(),
            outcomes: [(self.model.clone(), outcome)].into_iter().collect(),
        };
        let labels = match route_key {
            Some(RouteKey::Task) => vec![Label::new("task", &self.task)],
            None => Vec::new(),
        };
        Some(Sample { row, features: self.features.clone(), labels })
    }
}

/// What was kept for learning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearnedRows {
    /// In the order in which they were written.
    pub rows: Vec<LearnedRow>,
    /// Rows that were left out, for their features are of another version or damaged.
    pub unusable: u64,
}

/// Scored rows that one key may have of one model on one route: a flood of outcomes does not drown everybody else's.
pub const ROWS_PER_KEY: usize = 2000;

impl LearnedRows {
    /// Those with a score, of each key, model and route the newest `per_key` at most; in their order.
    pub fn scored(self, per_key: usize) -> Vec<LearnedRow> {
        let mut seen = std::collections::HashMap::<_, usize>::new();
        let mut taken: Vec<LearnedRow> = Vec::new();
        for row in self.rows.into_iter().rev().filter(|row| row.score.is_some()) {
            let count = seen.entry((row.key.clone(), row.model.clone(), row.route.clone())).or_default();
            *count += 1;
            if *count <= per_key {
                taken.push(row);
            }
        }
        taken.reverse();
        taken
    }
}

/// A row's columns as both databases give them, in the order of [`LEARNED_COLUMNS`].
pub(super) struct LearnedColumns {
    pub(super) row: LearnedRow,
    pub(super) version: i64,
    pub(super) features: Vec<u8>,
}

pub(super) const LEARNED_COLUMNS: &str = "l.request, l.unix_ms, l.key, l.team, l.route, l.stage, l.model, l.task, \
    l.input_tokens, l.output_tokens, l.cost, l.propensity, l.predicted, l.version, l.features, f.score";

/// Collects rows, and counts those that cannot be used.
pub(super) fn collect<E>(columns: impl Iterator<Item = Result<LearnedColumns, E>>) -> Result<LearnedRows, E> {
    let mut found = LearnedRows::default();
    for columns in columns {
        let LearnedColumns { row, version, features } = columns?;
        match kept::unpack(version, &features) {
            Ok(features) => found.rows.push(LearnedRow { features, ..row }),
            Err(_) => found.unusable += 1,
        }
    }
    Ok(found)
}

/// An empty row's features, until they are unpacked.
pub(super) fn no_features() -> Features {
    Features { dense: [0.0; waypost_learn::features::DENSE], hashes: None }
}

/// An id as it is stored; what is no id of 16 bytes is no request's.
pub(super) fn id_of(bytes: &[u8]) -> RequestId {
    RequestId(bytes.try_into().map_or(0, u128::from_be_bytes))
}

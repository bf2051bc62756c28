//! What routing may give up, as a promise that can be kept or broken: "at most this much worse than the reference model,
//! with this confidence". [`certify()`] picks the cheapest operating point that keeps the promise on fresh rows, [`Watch`]
//! sees whether it still holds in traffic, [`better`] says whether a retrained predictor may replace the present one, and
//! [`fit()`] finds a threshold where no promise is wanted.
//!
//! Everything here is about the *mean quality loss*: the expected score of the reference minus the expected score of what
//! the router chose, over requests like those seen. It says nothing of a single request, of a group of requests inside the
//! traffic, or of traffic of another kind. It trains nothing and predicts nothing: who chose is the caller's affair.

mod certify;
mod fit;
mod mean;
mod promote;
#[cfg(test)]
mod simulation;
mod statement;
mod watch;

pub use certify::{Fresh, Point, Promise, certify};
pub use fit::{Fit, Goal, fit, threshold_for_share};
pub use mean::{Method, Scale};
pub use promote::{Bar, Comparison, Verdict as PromotionVerdict, better, confidence_of_attempt};
pub use statement::{Certificate, Interval, Shortfall, Statement, Step};
pub use watch::{Against, Broken, Influence, Observation, Verdict, Watch};

/// Why nothing could be said. Each sentence names the number that is wrong and the way out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No row to judge by.
    #[error("there are no fresh rows; a guarantee needs outcomes that were neither trained nor tuned on")]
    NoRows,
    /// No operating point to choose from.
    #[error("there are no operating points to choose from; give at least one threshold with its choices")]
    NoPoints,
    /// The reference model is none of the models with outcomes.
    #[error("the reference {model:?} has no outcomes; these models have: {known}")]
    UnknownModel {
        /// The model that was asked for.
        model: String,
        /// The models there are, with commas.
        known: String,
    },
    /// The loss to allow is out of range.
    #[error(
        "max_quality_loss is {0}; it is a share of the score, from 0 to below 1 (0.02 allows two points of a hundred)"
    )]
    QualityLoss(f64),
    /// The confidence is out of range.
    #[error("confidence is {0}; it is at least 0.5 and below 1 (0.95 is wrong once in twenty)")]
    Confidence(f64),
    /// A score that is none.
    #[error("row {row}: the score of {model:?} is {score}; a score is a number from 0 to 1")]
    Score {
        /// The row, from 0.
        row: usize,
        /// Whose score.
        model: String,
        /// The score.
        score: f64,
    },
    /// A row without an outcome of the reference or of the model chosen.
    #[error(
        "row {row} has no score of {model:?}, which is needed there; leave the row out of every point, or grade it"
    )]
    Missing {
        /// The row, from 0.
        row: usize,
        /// Whose score is missing.
        model: String,
    },
    /// A cost that cannot be.
    #[error("row {row}: the cost of {model:?} is {cost}; a cost is US dollars, 0 or more")]
    Cost {
        /// The row, from 0.
        row: usize,
        /// Whose cost.
        model: String,
        /// The cost.
        cost: f64,
    },
    /// A graded score where only 0 and 1 were announced.
    #[error(
        "row {row}: the score of {model:?} is {score}, but scores were said to be 0 or 1 only; say Scale::Graded (and do so \
         before looking at fresh rows)"
    )]
    NotBinary {
        /// The row, from 0.
        row: usize,
        /// Whose score.
        model: String,
        /// The score.
        score: f64,
    },
    /// A point that has not one choice for each row.
    #[error("the point at {setting} has {picks} choices for {rows} rows; it needs one for each")]
    Picks {
        /// The point's setting.
        setting: f64,
        /// Its choices.
        picks: usize,
        /// The rows.
        rows: usize,
    },
    /// A choice of a model that is not there.
    #[error("the point at {setting} chooses model number {pick} at row {row}, but there are only {models} models")]
    Pick {
        /// The point's setting.
        setting: f64,
        /// The row, from 0.
        row: usize,
        /// The choice.
        pick: usize,
        /// The number of models.
        models: usize,
    },
    /// A setting that is no number.
    #[error("operating point {index} has the setting {setting}; a setting is a finite number")]
    Setting {
        /// The point's place, from 0.
        index: usize,
        /// The setting.
        setting: f64,
    },
    /// A goal out of range.
    #[error("the wanted {what} is {value}; it must be {range}")]
    Goal {
        /// What was wanted.
        what: &'static str,
        /// The value asked for.
        value: f64,
        /// What is possible.
        range: &'static str,
    },
    /// No operating point reaches the goal.
    #[error("no operating point reaches a {what} of {wanted}; the nearest, at {setting}, has {nearest:.6}")]
    OutOfReach {
        /// What was wanted.
        what: &'static str,
        /// How much.
        wanted: f64,
        /// The point that comes nearest.
        setting: f64,
        /// What it has.
        nearest: f64,
    },
    /// A probability of being observed that cannot be, or that is below the one announced.
    #[error("propensity is {propensity}; it is a probability from least_propensity ({least}) to 1")]
    Propensity {
        /// The probability given.
        propensity: f64,
        /// The least one announced.
        least: f64,
    },
    /// An observation of the other kind than the watch's.
    #[error("this watch compares with {wanted}, but the observation has {found}")]
    WrongObservation {
        /// What the watch needs.
        wanted: &'static str,
        /// What came.
        found: &'static str,
    },
    /// Two lists of scores that are not about the same rows.
    #[error(
        "there are {present} scores of the present predictor and {candidate} of the candidate; they must be of the same rows"
    )]
    Unpaired {
        /// Scores of the present one.
        present: usize,
        /// Scores of the candidate.
        candidate: usize,
    },
    /// A window in which no key could be counted.
    #[error(
        "influence: {most} observations of a key in a window of {window}; it must be from 1 to the window's length"
    )]
    Influence {
        /// Observations of one key.
        most: u32,
        /// The window.
        window: u32,
    },
}

/// A score from 0 to 1, or the error that says whose it is.
fn score(row: usize, model: &str, score: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&score) { Ok(score) } else { Err(Error::Score { row, model: model.to_owned(), score }) }
}

/// The probability of being wrong that goes with a confidence.
fn risk(confidence: f64) -> Result<f64, Error> {
    if (0.5..1.0).contains(&confidence) { Ok(1.0 - confidence) } else { Err(Error::Confidence(confidence)) }
}

/// A share as percent, without zeros that say nothing: 95, 99.9.
fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

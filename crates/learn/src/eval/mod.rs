//! What routing with a predictor is worth: from outcomes and predictions to figures, their intervals and the control arms
//! beside them, as data ([`Report`]) and as a page ([`html`]). Takes predictions as they are, however they were made:
//! it trains nothing, opens no file, and chooses nothing for a request.
//!
//! The definitions, from the inside out:
//!
//! - [`curve`](Point): at an exchange rate λ a router takes the model with the largest `quality − λ·cost`. Over all λ that
//!   is a curve of mean cost against mean quality; its hull is what mixing its points buys.
//! - two models ([`Metrics::apgr`], [`Metrics::cpt50`]): who gets the strong model first, money apart. RouteLLM's.
//! - any number ([`Metrics::aiq`], [`Metrics::hgr`], [`Metrics::save95`]): areas under the hull, and what it costs to reach
//!   a share of the best single model's quality. AIQ is RouterBench's.
//! - calibration ([`Metrics::ece`]): whether a predicted 70 % comes true in 70 of 100 cases.
//! - intervals resample rows; the spread over trainings is another matter ([`Report::spread`]).
//! - the controls are judged by the same code: random, best single model, static mixing, length, oracle.
//! - an operating point is chosen on other rows than it is judged on ([`OperatingPoints`]).

mod bootstrap;
mod calibration;
mod control;
mod curve;
mod figures;
pub mod html;
mod many;
mod metrics;
mod operating;
mod panel;
mod predictions;
mod report;
mod sample;
mod two_model;

pub use calibration::{BINS, Bin};
pub use curve::{LAMBDAS, Point, lambdas};
pub use figures::{Budget, CurvePoint, Efficiency, Figures, Mix, Named};
pub use metrics::{Metrics, Spread};
pub use operating::{OperatingPoint, OperatingPoints, Threshold};
pub use predictions::{Predictions, write_predictions};
pub use report::{Controls, Estimate, ModelReport, Report, TaskReport, WorkingPoint, evaluate};

/// How an evaluation is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Resamples for each interval; 0 gives none.
    pub resamples: usize,
    /// The seed they are drawn from.
    pub seed: u64,
    /// Threads to resample on; changes nothing but the time.
    pub threads: usize,
    /// Which two models APGR and CPT are about. Without it they need exactly two models, and the better one is strong.
    pub pair: Option<StrongWeak>,
}

/// Two models by name.
#[derive(Debug, Clone, PartialEq)]
pub struct StrongWeak {
    /// The one that should be better.
    pub strong: String,
    /// The one that should do where it can.
    pub weak: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resamples: 500, seed: 7, threads: 1, pair: None }
    }
}

/// Why an evaluation cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// Nothing was predicted for anything.
    #[error("the predictions name no model")]
    NoModel,
    /// No set of predictions was given.
    #[error("there are no predictions to evaluate")]
    NoPredictions,
    /// A model stands twice.
    #[error("the predictions name the model {0:?} twice")]
    ModelTwice(String),
    /// Every row lacks the outcome of some model.
    #[error(
        "none of the {rows} rows has an outcome of all {models} models; {model:?} answered {answered} of them. Leave that \
         model out, or have it answer the rows of the others"
    )]
    NoCompleteRow {
        /// The rows given.
        rows: usize,
        /// The models predicted.
        models: usize,
        /// The model that answered the fewest rows.
        model: String,
        /// How many it answered.
        answered: usize,
    },
    /// There are more or fewer rows of predictions than rows.
    #[error("{found} rows of predicted {what} for {expected} rows; each row needs its own, in the same order")]
    Rows {
        /// Quality or cost.
        what: &'static str,
        /// Rows given.
        expected: usize,
        /// Rows predicted.
        found: usize,
    },
    /// A row of predictions has the wrong number of models.
    #[error("row {id:?} has {found} predictions of {what}, for {expected} models")]
    Columns {
        /// Quality or cost.
        what: &'static str,
        /// The row.
        id: String,
        /// Models named.
        expected: usize,
        /// Numbers found.
        found: usize,
    },
    /// A prediction is not a finite number.
    #[error("the predicted {what} of {model:?} for row {id:?} is {value}; a prediction is a finite number")]
    NotANumber {
        /// Quality or cost.
        what: &'static str,
        /// The row.
        id: String,
        /// The model.
        model: String,
        /// What was predicted.
        value: f64,
    },
    /// A model that other predictions of the same evaluation know.
    #[error("the other predictions say nothing of {model:?}; all sets must be about the same models")]
    Unpredicted {
        /// The model.
        model: String,
    },
    /// A further set of predictions has more models.
    #[error("the other predictions are about {found} models, the first about {expected}; they must be the same")]
    OtherModels {
        /// Models of the first set.
        expected: usize,
        /// Models of this set.
        found: usize,
    },
    /// The strong or weak model was not predicted.
    #[error("the pair names {model:?}, of which nothing was predicted; the models are {known}")]
    UnknownModel {
        /// The model.
        model: String,
        /// Those predicted.
        known: String,
    },
    /// Strong and weak are the same.
    #[error("{0:?} is both the strong and the weak model; name two")]
    OneModelPair(String),
    /// The rows that operating points are chosen on, or their predictions, are at fault.
    #[error("of the rows set aside to choose operating points on: {0}")]
    Dev(Box<Self>),
    /// A prediction could not be written.
    #[error("predictions cannot be written: {0}")]
    Write(String),
}

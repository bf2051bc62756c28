//! What was promised and how it came to that, as plain data to keep beside a predictor, and in sentences. Computes nothing.

use super::mean::Method;
use super::percent;
use serde::{Deserialize, Serialize};

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The number observed.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What is promised, to be kept beside the predictor. [`Display`](std::fmt::Display) says it in sentences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The model that quality is measured against.
    pub reference: String,
    /// The mean quality loss that is not exceeded, in score.
    pub max_quality_loss: f64,
    /// The confidence of the promise.
    pub confidence: f64,
    /// Fresh rows used.
    pub rows: usize,
    /// Rows where the chosen point picks another model than the reference.
    pub differing: usize,
    /// The chosen point's setting; none where nothing could be promised but the reference itself.
    pub setting: Option<f64>,
    /// Mean loss over the rows: reference's score minus routed score. Negative where routing is better.
    pub observed_loss: f64,
    /// Upper bound of the mean loss, alone valid at `confidence`; at most `max_quality_loss` up to rounding. 0 for the
    /// reference itself.
    pub loss_at_most: f64,
    /// The reference's mean score; `low` is a lower bound at `confidence` (for [`Watch`](super::Watch)), `high` is 1 where
    /// nothing sharper is needed.
    pub reference_score: Interval,
    /// The share of the reference's cost that is saved, with a two-sided normal interval at `confidence` (delta method of
    /// a ratio). An estimate: not part of the promise. All 0 where the reference costs nothing.
    pub saving: Interval,
    /// How the loss was bounded.
    pub method: Method,
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (percent, rows) = (percent(self.confidence), self.rows);
        let Some(setting) = self.setting else {
            return write!(
                f,
                "Every request goes to {}: on {rows} fresh rows no bolder setting could be shown to lose at most {} of the score \
                 with {percent}% confidence. Nothing is lost and nothing is saved.",
                self.reference, self.max_quality_loss
            );
        };
        write!(
            f,
            "With {percent}% confidence, routing at {setting} scores on average at most {} below {} (observed {:.4} on {rows} \
             fresh rows, of which {} went to another model; at most {:.4} by {}). It saves {:.1}% of the cost ({:.1}% to \
             {:.1}%). This holds for traffic like those rows, as if both were drawn from the same urn, and for the mean: \
             single requests or groups of them may lose more.",
            self.max_quality_loss,
            self.reference,
            self.observed_loss,
            self.differing,
            self.loss_at_most,
            self.method,
            self.saving.value * 100.0,
            self.saving.low * 100.0,
            self.saving.high * 100.0,
        )
    }
}

/// One point that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its setting.
    pub setting: f64,
    /// Rows where it picks another model than the reference.
    pub differing: usize,
    /// Its mean loss over the rows.
    pub observed_loss: f64,
    /// Its mean cost of a row, in US dollars.
    pub cost: f64,
    /// Whether its loss was shown to be within the promise.
    pub passed: bool,
}

/// Why the sequence ended before its last point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shortfall {
    /// The first point that failed.
    pub setting: f64,
    /// Its mean loss over the rows.
    pub observed_loss: f64,
    /// Rows with which it would about pass if they were like these; none where its observed loss is not below what is
    /// allowed, so that more rows would not help, or where even 100 times as many, or a million, are too few.
    pub rows_needed: Option<usize>,
}

/// The outcome of [`certify`](super::certify()).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What is promised.
    pub statement: Statement,
    /// The points looked at, in order, the failed one last.
    pub steps: Vec<Step>,
    /// Why bolder points were not passed; none where all were.
    pub shortfall: Option<Shortfall>,
    /// The fewest rows that can show anything at this loss and confidence: so many, and no loss on any of them. None where
    /// a million are too few, as for a loss of 0.
    pub least_rows: Option<usize>,
}

impl std::fmt::Display for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.statement.fmt(f)?;
        let Some(short) = self.shortfall else { return Ok(()) };
        write!(f, " The setting {} (observed loss {:.4}) did not pass", short.setting, short.observed_loss)?;
        match short.rows_needed {
            Some(rows) => write!(f, ": about {rows} fresh rows like these would be needed")?,
            None if short.observed_loss < self.statement.max_quality_loss => {
                f.write_str(": it is too near to what is allowed for any practical number of rows")?;
            }
            None => f.write_str(": it loses too much, and more rows like these would not help")?,
        }
        if let Some(least) = self.least_rows.filter(|least| self.statement.rows < *least) {
            write!(f, " (and never fewer than {least})")?;
        }
        f.write_str(".")
    }
}

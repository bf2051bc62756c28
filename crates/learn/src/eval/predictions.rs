//! Predictions as plain data, however they were made, and their file.

use super::EvalError;
use crate::outcome::Row;
use indexmap::IndexMap;
use serde::Serialize;

/// What a predictor says of rows and models, before the outcomes are looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// The models, in the order of the columns below; only these take part.
    pub models: Vec<String>,
    /// Predicted probability of a good answer, for each row and model. Any finite number will do for an order; only
    /// calibration reads it as a probability.
    pub quality: Vec<Vec<f64>>,
    /// Predicted US dollars, for each row and model; `None` decides by each model's mean cost over the judged rows.
    pub cost: Option<Vec<Vec<f64>>>,
}

impl Predictions {
    /// Whether the shape is that of the rows, and every number a number.
    pub(crate) fn check(&self, rows: &[Row]) -> Result<(), EvalError> {
        for (what, table) in [("quality", Some(&self.quality)), ("cost", self.cost.as_ref())] {
            let Some(table) = table else { continue };
            if table.len() != rows.len() {
                return Err(EvalError::Rows { what, expected: rows.len(), found: table.len() });
            }
            for (row, values) in rows.iter().zip(table) {
                if values.len() != self.models.len() {
                    let (expected, found) = (self.models.len(), values.len());
                    return Err(EvalError::Columns { what, id: row.id.clone(), expected, found });
                }
                if let Some(k) = values.iter().position(|v| !v.is_finite()) {
                    let (id, model) = (row.id.clone(), self.models[k].clone());
                    return Err(EvalError::NotANumber { what, id, model, value: values[k] });
                }
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    scores: IndexMap<&'a str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<IndexMap<&'a str, f64>>,
}

/// Predictions as JSON lines, `{"id", "scores": {model: P(good)}, "costs": {model: US dollars}}` (`costs` where they were
/// predicted): each number in the shortest form that reads back as the same 64 bits.
///
/// # Errors
/// Predictions that do not fit the rows, or a number that is none.
pub fn write_predictions(rows: &[Row], predictions: &Predictions) -> Result<String, EvalError> {
    predictions.check(rows)?;
    let named = |values: &[f64]| predictions.models.iter().map(String::as_str).zip(values.iter().copied()).collect();
    let mut text = String::new();
    for (ix, row) in rows.iter().enumerate() {
        let scores = named(&predictions.quality[ix]);
        let costs = predictions.cost.as_ref().map(|costs| named(&costs[ix]));
        let line = serde_json::to_string(&Line { id: &row.id, scores, costs });
        text.push_str(&line.map_err(|e| EvalError::Write(e.to_string()))?);
        text.push('\n');
    }
    Ok(text)
}

//! What is judged: rows that every model answered, beside what was predicted for them. Rows with gaps are left out and
//! counted, since a router cannot be charged for an answer that nobody has.

use super::{EvalError, Predictions};
use crate::outcome::{Matrix, Row};
use std::collections::HashSet;

/// A number for each row and model, in one piece.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    width: usize,
    values: Vec<f64>,
}

impl Grid {
    pub(crate) fn new(width: usize, values: Vec<f64>) -> Self {
        Self { width, values }
    }

    /// One row of numbers, repeated.
    pub(crate) fn repeat(row: &[f64], rows: usize) -> Self {
        Self { width: row.len(), values: row.repeat(rows) }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub(crate) fn row(&self, ix: usize) -> &[f64] {
        &self.values[ix * self.width..(ix + 1) * self.width]
    }

    pub(crate) fn at(&self, row: usize, model: usize) -> f64 {
        self.values[row * self.width + model]
    }

    pub(crate) fn column(&self, model: usize) -> impl Iterator<Item = f64> {
        self.values.iter().skip(model).step_by(self.width).copied()
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Each model's mean, summed in the order of the rows.
    pub(crate) fn means(&self) -> Vec<f64> {
        (0..self.width).map(|k| self.column(k).sum::<f64>() / self.len() as f64).collect()
    }

    pub(crate) fn of(&self, rows: &[usize]) -> Self {
        Self { width: self.width, values: rows.iter().flat_map(|&i| self.row(i)).copied().collect() }
    }
}

/// Rows that every model answered. Models stand in the order of their names, whatever the order of the files, so that
/// ties between them fall the same way every time.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) models: Vec<String>,
    /// Scores, 0 to 1.
    pub(crate) score: Grid,
    /// What was paid, in US dollars.
    pub(crate) cost: Grid,
    /// Which of the given rows these are.
    pub(crate) rows: Vec<usize>,
    /// How many of the given rows lack an outcome of one of the models.
    pub(crate) left_out: usize,
}

/// What was predicted for the rows of a [`Sample`], in its order.
#[derive(Debug, Clone)]
pub(crate) struct Forecast {
    pub(crate) quality: Grid,
    /// Predicted dollars; where none were predicted, each model's mean cost over the sample.
    pub(crate) cost: Grid,
}

impl Sample {
    pub(crate) fn new(rows: &[Row], models: &[String]) -> Result<Self, EvalError> {
        let mut models = models.to_vec();
        models.sort();
        if models.is_empty() {
            return Err(EvalError::NoModel);
        }
        if let Some(twice) = models.windows(2).find(|w| w[0] == w[1]) {
            return Err(EvalError::ModelTwice(twice[0].clone()));
        }
        let matrix = Matrix::new(rows, Some(&models));
        let whole = |row: &Vec<f64>| row.iter().all(|score| !score.is_nan());
        let kept: Vec<usize> = (0..rows.len()).filter(|&i| whole(&matrix.score[i])).collect();
        if kept.is_empty() {
            let answered = |k: usize| matrix.score.iter().filter(|row| !row[k].is_nan()).count();
            let rarest = (0..models.len()).min_by_key(|&k| answered(k)).unwrap_or(0);
            return Err(EvalError::NoCompleteRow {
                rows: rows.len(),
                models: models.len(),
                model: models[rarest].clone(),
                answered: answered(rarest),
            });
        }
        let grid =
            |of: &[Vec<f64>]| Grid::new(models.len(), kept.iter().flat_map(|&i| of[i].iter().copied()).collect());
        let (score, cost) = (grid(&matrix.score), grid(&matrix.cost));
        Ok(Self { models, score, cost, left_out: rows.len() - kept.len(), rows: kept })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// These of its rows, as a sample.
    pub(crate) fn of(&self, rows: &[usize]) -> Self {
        Self {
            models: self.models.clone(),
            score: self.score.of(rows),
            cost: self.cost.of(rows),
            rows: rows.iter().map(|&i| self.rows[i]).collect(),
            left_out: 0,
        }
    }

    /// Brings predictions into the sample's order of models and rows.
    pub(crate) fn forecast(&self, all: &[Row], predictions: &Predictions) -> Result<Forecast, EvalError> {
        predictions.check(all)?;
        let known: HashSet<&String> = predictions.models.iter().collect();
        if let Some(model) = self.models.iter().find(|m| !known.contains(m)).cloned() {
            return Err(EvalError::Unpredicted { model });
        }
        if predictions.models.len() != self.models.len() {
            return Err(EvalError::OtherModels { expected: self.models.len(), found: predictions.models.len() });
        }
        let place = |m: &String| predictions.models.iter().position(|p| p == m).unwrap_or(0);
        let order: Vec<usize> = self.models.iter().map(place).collect();
        let grid = |of: &[Vec<f64>]| {
            let values = self.rows.iter().flat_map(|&i| order.iter().map(move |&k| of[i][k])).collect();
            Grid::new(self.models.len(), values)
        };
        let cost = match &predictions.cost {
            Some(cost) => grid(cost),
            None => Grid::repeat(&self.cost.means(), self.len()),
        };
        Ok(Forecast { quality: grid(&predictions.quality), cost })
    }
}

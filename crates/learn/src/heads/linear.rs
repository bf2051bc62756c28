//! Ridge regression over dense features, in closed form: one factorisation serves all outputs that know the same rows.

use super::{Dense, Targets, add_scaled};
use nalgebra::{DMatrix, DVector};
use std::collections::HashMap;

/// How far a standardised feature may lie from its mean: what no training row was like counts as the most unusual one.
const CLIP: f32 = 4.0;

/// Brings each feature to mean 0 and deviation 1 over the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Mean of each feature.
    pub mean: Vec<f32>,
    /// One over its deviation; 0 for a feature that never varies.
    pub inverse: Vec<f32>,
}

impl Scale {
    /// The scale of some rows.
    pub fn of(dense: &Dense, rows: &[usize]) -> Self {
        let n = rows.len().max(1) as f64;
        let (mut mean, mut square) = (vec![0f64; dense.width], vec![0f64; dense.width]);
        for &row in rows {
            for (ix, &x) in dense.row(row).iter().enumerate() {
                mean[ix] += f64::from(x);
                square[ix] += f64::from(x) * f64::from(x);
            }
        }
        let inverse = mean
            .iter()
            .zip(&square)
            .map(|(m, s)| {
                let variance = s / n - (m / n) * (m / n);
                if variance > 1e-9 { (1.0 / variance.sqrt()) as f32 } else { 0.0 }
            })
            .collect();
        Self { mean: mean.iter().map(|m| (m / n) as f32).collect(), inverse }
    }

    /// Standardises one row.
    pub fn apply(&self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        let scaled = row.iter().zip(&self.mean).zip(&self.inverse).map(|((x, m), i)| ((x - m) * i).clamp(-CLIP, CLIP));
        out.extend(scaled);
    }
}

/// A linear map of standardised features.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Outputs.
    pub outputs: usize,
    /// What each output is where every feature is at its mean.
    pub bias: Vec<f32>,
    /// Weights, feature by feature, `outputs` for each.
    pub weights: Vec<f32>,
}

impl Linear {
    /// Fits `rows` of the standardised `dense` to the targets with this much shrinkage (in rows: a penalty of 100 weighs as
    /// much against a weight as 100 rows for it).
    pub fn fit(dense: &Dense, targets: &Targets, rows: &[usize], penalty: f64) -> Self {
        let (width, outputs) = (dense.width, targets.outputs);
        let mut fitted = Self { outputs, bias: vec![0.0; outputs], weights: vec![0.0; width * outputs] };
        for (known, members) in by_known_rows(targets, rows) {
            if known.is_empty() {
                continue;
            }
            let n = known.len() as f64;
            let x = DMatrix::from_fn(known.len(), width, |r, c| f64::from(dense.row(known[r])[c]));
            let mean = DVector::from_fn(width, |c, _| x.column(c).sum() / n);
            let mut gram = x.tr_mul(&x) - &mean * mean.transpose() * n;
            for ix in 0..width {
                gram[(ix, ix)] += penalty.max(1e-6);
            }
            // A Gram matrix with something on its diagonal is positive definite; were it not, no weight is the answer.
            let Some(factor) = gram.cholesky() else { continue };
            for &output in &members {
                let y = DVector::from_fn(known.len(), |r, _| f64::from(targets.row(known[r])[output]));
                let level = y.sum() / n;
                let w = factor.solve(&(x.tr_mul(&y) - &mean * (level * n)));
                fitted.bias[output] = (level - mean.dot(&w)) as f32;
                for ix in 0..width {
                    fitted.weights[ix * outputs + output] = w[ix] as f32;
                }
            }
        }
        fitted
    }

    /// Adds `factor` times what this head says of a standardised row.
    pub fn add(&self, row: &[f32], factor: f32, sum: &mut [f32]) {
        add_scaled(sum, &self.bias, factor);
        for (x, weights) in row.iter().zip(self.weights.chunks_exact(self.outputs)) {
            add_scaled(sum, weights, factor * x);
        }
    }
}

/// Outputs that know the same rows, with those rows.
fn by_known_rows(targets: &Targets, rows: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut seen: HashMap<Vec<usize>, usize> = HashMap::new();
    for output in 0..targets.outputs {
        let known: Vec<usize> = rows.iter().copied().filter(|&r| !targets.row(r)[output].is_nan()).collect();
        let ix = *seen.entry(known.clone()).or_insert_with(|| {
            order.push((known, Vec::new()));
            order.len() - 1
        });
        order[ix].1.push(output);
    }
    order
}

//! Heads: regressions from features to several outputs at once, trained by least squares on scores (so that what they say
//! are expectations). Each is small, deterministic and quick to ask; none knows what its outputs mean.

pub mod boost;
pub mod grams;
pub mod linear;

/// What heads are trained towards: rows × outputs, with gaps.
#[derive(Debug, Clone)]
pub struct Targets {
    /// Outputs a row.
    pub outputs: usize,
    /// Row by row; NaN where a row says nothing of an output.
    pub values: Vec<f32>,
}

impl Targets {
    /// Targets of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.outputs..][..self.outputs]
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.outputs.max(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Rows of equal length, one after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dense {
    /// Numbers a row.
    pub width: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Dense {
    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Adds `factor * values` to `sum`.
#[inline]
pub(crate) fn add_scaled(sum: &mut [f32], values: &[f32], factor: f32) {
    for (s, v) in sum.iter_mut().zip(values) {
        *s += factor * v;
    }
}

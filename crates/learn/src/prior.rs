//! Priors: what is expected before the text is read, from labels that a request carries (task, route, tenant, system
//! prompt). Means over the rows of a label, shrunk towards the mean of all by how few they are.

use crate::heads::{Targets, add_scaled};
use std::collections::BTreeMap;

/// How many rows the mean of all weighs against a label's own, tried in turn.
pub const STRENGTHS: [f32; 4] = [5.0, 15.0, 50.0, 200.0];

/// A label, hashed with its kind: `task=math`, `route=support`. What it said is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub u64);

impl Label {
    /// The label of a kind with a value (FNV-1a: stable over versions and machines, and not for secrets).
    pub fn new(kind: &str, value: &str) -> Self {
        let bytes = kind.bytes().chain([b'=']).chain(value.bytes());
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
    }
}

/// Means of all rows, and what each label changes about them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Priors {
    /// The mean of each output.
    pub base: Vec<f32>,
    /// What each label adds, with its number of rows.
    pub of: BTreeMap<Label, (Vec<f32>, u32)>,
}

impl Priors {
    /// From `rows`; their labels count in turn, each on what those before it left unexplained.
    pub fn fit(labels: &[Vec<Label>], targets: &Targets, rows: &[usize], strength: f32) -> Self {
        let outputs = targets.outputs;
        let base = means(targets, rows, 1e-6);
        let mut priors = Self { base, of: BTreeMap::new() };
        let deepest = rows.iter().map(|&r| labels[r].len()).max().unwrap_or(0);
        for level in 0..deepest {
            let mut rest = targets.clone();
            let mut members: BTreeMap<Label, Vec<usize>> = BTreeMap::new();
            for &row in rows {
                let mut said = vec![0.0; outputs];
                priors.add(&labels[row], &mut said);
                add_scaled(&mut rest.values[row * outputs..][..outputs], &said, -1.0);
                if let Some(label) = labels[row].get(level) {
                    members.entry(*label).or_default().push(row);
                }
            }
            let found: Vec<_> = members
                .into_iter()
                .map(|(label, rows)| (label, (means(&rest, &rows, strength), rows.len() as u32)))
                .collect();
            priors.of.extend(found);
        }
        priors
    }

    /// Adds what is expected of a request with these labels. Unknown labels change nothing.
    pub fn add(&self, labels: &[Label], sum: &mut [f32]) {
        add_scaled(sum, &self.base, 1.0);
        for label in labels {
            if let Some((change, _)) = self.of.get(label) {
                add_scaled(sum, change, 1.0);
            }
        }
    }
}

/// Mean of each output over rows, with `strength` rows of 0 mixed in.
fn means(targets: &Targets, rows: &[usize], strength: f32) -> Vec<f32> {
    let (mut sums, mut known) = (vec![0f64; targets.outputs], vec![0f32; targets.outputs]);
    for &row in rows {
        for (k, &value) in targets.row(row).iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            sums[k] += f64::from(value);
            known[k] += 1.0;
        }
    }
    sums.iter().zip(&known).map(|(s, n)| (s / f64::from(n + strength)) as f32).collect()
}

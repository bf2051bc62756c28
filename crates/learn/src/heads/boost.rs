//! Gradient-boosted trees whose leaves hold one number for every output, so that many models share their trees: a prompt
//! walks each tree once, whatever the number of models. Splits are found on histograms of a few outputs at a time
//! (Iosipoi and Vakhrushev, "SketchBoost", 2022). No crate for boosting has such leaves, and none has a model of tens of kilobytes.

use super::{Dense, Targets, add_scaled};
use crate::rng::Rng;

/// Levels of a tree.
pub(crate) const DEPTH: usize = 3;
pub(crate) const LEAVES: usize = 1 << DEPTH;
pub(crate) const SPLITS: usize = LEAVES - 1;
/// Bins of a feature.
const BINS: usize = 32;
/// Outputs that vote on a split.
const SKETCH: usize = 5;

/// How trees are grown.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Trees.
    pub trees: usize,
    /// What of each tree's answer counts.
    pub rate: f32,
    /// Shrinkage of a leaf towards 0, in rows.
    pub penalty: f32,
    /// Rows that each side of a split must have.
    pub leaf_rows: usize,
    /// Shares of rows and of features that a tree sees.
    pub row_share: f64,
    /// See `row_share`.
    pub feature_share: f64,
}

/// One tree: a full binary one, split by split from the root, then its leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The feature of each split.
    pub feature: [u16; SPLITS],
    /// What goes right is above this.
    pub above: [f32; SPLITS],
}

/// Trees, and what their leaves say.
#[derive(Debug, Clone, PartialEq)]
pub struct Boost {
    /// Outputs.
    pub outputs: usize,
    /// The trees.
    pub trees: Vec<Tree>,
    /// Tree by tree, leaf by leaf, `outputs` for each.
    pub leaves: Vec<f32>,
}

/// Features of all rows as bin numbers, feature by feature.
pub struct Binned {
    bins: Vec<Vec<u8>>,
    /// The upper bounds of each feature's bins but the last.
    bounds: Vec<Vec<f32>>,
}

impl Binned {
    /// Bins of about equally many of the given rows.
    pub fn of(dense: &Dense) -> Self {
        let n = dense.len();
        let mut bounds = Vec::with_capacity(dense.width);
        let mut bins = Vec::with_capacity(dense.width);
        for feature in 0..dense.width {
            let mut values: Vec<f32> = (0..n).map(|r| dense.row(r)[feature]).collect();
            values.sort_by(f32::total_cmp);
            let mut of: Vec<f32> = Vec::new();
            for bin in 1..BINS {
                let at = bin * n / BINS;
                let (Some(&below), Some(&value)) = (values.get(at.wrapping_sub(1)), values.get(at)) else { continue };
                // Between two values, so that rounding in the file moves no row; where one value fills bins, above it.
                let bound = if below < value { f32::midpoint(below, value) } else { value };
                if of.last().is_none_or(|last| *last < bound) && values.last().is_some_and(|max| bound < *max) {
                    of.push(bound);
                }
            }
            bins.push((0..n).map(|r| of.partition_point(|b| *b < dense.row(r)[feature]) as u8).collect());
            bounds.push(of);
        }
        Self { bins, bounds }
    }
}

impl Boost {
    /// Grows trees over the first `width` features of `rows`; the targets should have mean 0.
    pub fn fit(binned: &Binned, width: usize, targets: &Targets, rows: &[usize], growth: Growth, mut rng: Rng) -> Self {
        let outputs = targets.outputs;
        let mut residual = targets.values.clone();
        let mut boost = Self { outputs, trees: Vec::new(), leaves: Vec::new() };
        let mut leaf_of = vec![0u8; targets.len()];
        for _ in 0..growth.trees {
            let sample: Vec<usize> = rows.iter().copied().filter(|_| rng.unit() < growth.row_share).collect();
            let features: Vec<usize> =
                (0..width).filter(|&f| rng.unit() < growth.feature_share && !binned.bounds[f].is_empty()).collect();
            let sketch = sketch(&residual, outputs, &sample, &mut rng);
            let mut grower = Grower { binned, growth, sketch: &sketch, sample: &sample, leaf_of: &mut leaf_of };
            let Some((tree, cuts)) = grower.grow(&features) else { continue };
            for &row in rows {
                leaf_of[row] = leaf_by_bins(&cuts, binned, row);
            }
            let leaves = leaf_values(&residual, outputs, &sample, &leaf_of, growth);
            for &row in rows {
                let said = &leaves[usize::from(leaf_of[row]) * outputs..][..outputs];
                add_scaled(&mut residual[row * outputs..][..outputs], said, -1.0);
            }
            boost.trees.push(tree);
            boost.leaves.extend(leaves);
        }
        boost
    }

    /// Adds `factor` times what the trees say of a row.
    pub fn add(&self, row: &[f32], factor: f32, sum: &mut [f32]) {
        for (tree, leaves) in self.trees.iter().zip(self.leaves.chunks_exact(LEAVES * self.outputs)) {
            add_scaled(sum, &leaves[tree.leaf(row) * self.outputs..][..self.outputs], factor);
        }
    }
}

impl Tree {
    fn leaf(&self, row: &[f32]) -> usize {
        let mut node = 0;
        for _ in 0..DEPTH {
            node = 2 * node + 1 + usize::from(row[usize::from(self.feature[node])] > self.above[node]);
        }
        node - SPLITS
    }
}

type Cuts = [(u16, u8); SPLITS];

fn leaf_by_bins(cuts: &Cuts, binned: &Binned, row: usize) -> u8 {
    let mut node = 0;
    for _ in 0..DEPTH {
        let (feature, bin) = cuts[node];
        node = 2 * node + 1 + usize::from(binned.bins[usize::from(feature)][row] > bin);
    }
    (node - SPLITS) as u8
}

/// A few outputs for all rows: the outputs with the most left to explain and random ones, or all where they are few. NaN stays.
fn sketch(residual: &[f32], outputs: usize, sample: &[usize], rng: &mut Rng) -> Vec<[f32; SKETCH]> {
    let chosen: Vec<usize> = if outputs <= SKETCH {
        (0..outputs).collect()
    } else {
        let mut energy: Vec<(f64, usize)> = (0..outputs)
            .map(|k| {
                let left: f64 = sample
                    .iter()
                    .map(|r| residual[r * outputs + k])
                    .filter(|v| !v.is_nan())
                    .map(|v| f64::from(v) * f64::from(v))
                    .sum();
                // A random factor: each tree sees others, those with most to explain more often.
                (left * -rng.unit().max(1e-12).ln(), k)
            })
            .collect();
        energy.sort_by(|a, b| b.0.total_cmp(&a.0));
        energy[..SKETCH].iter().map(|e| e.1).collect()
    };
    residual
        .chunks_exact(outputs)
        .map(|row| {
            let mut few = [0f32; SKETCH];
            for (slot, &k) in few.iter_mut().zip(&chosen) {
                *slot = row[k];
            }
            few
        })
        .collect()
}

struct Grower<'a> {
    binned: &'a Binned,
    growth: Growth,
    sketch: &'a [[f32; SKETCH]],
    sample: &'a [usize],
    leaf_of: &'a mut [u8],
}

#[derive(Clone, Copy, Default)]
struct Bin {
    rows: f32,
    sum: [f32; SKETCH],
    known: [f32; SKETCH],
}

impl Bin {
    fn add(&mut self, few: &[f32; SKETCH]) {
        self.rows += 1.0;
        for ((sum, known), value) in self.sum.iter_mut().zip(&mut self.known).zip(few) {
            let there = !value.is_nan();
            *sum += if there { *value } else { 0.0 };
            *known += f32::from(u8::from(there));
        }
    }

    fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        for k in 0..SKETCH {
            self.sum[k] += other.sum[k];
            self.known[k] += other.known[k];
        }
    }

    fn without(&self, other: &Self) -> Self {
        let mut rest = *self;
        rest.rows -= other.rows;
        for k in 0..SKETCH {
            rest.sum[k] -= other.sum[k];
            rest.known[k] -= other.known[k];
        }
        rest
    }

    /// What a leaf of these rows would explain.
    fn explained(&self, penalty: f32) -> f32 {
        (0..SKETCH).map(|k| self.sum[k] * self.sum[k] / (self.known[k] + penalty)).sum()
    }
}

impl Grower<'_> {
    /// Splits level by level. None where not even the root gains by a split.
    fn grow(&mut self, features: &[usize]) -> Option<(Tree, Cuts)> {
        let mut cuts: Cuts = [(0, u8::MAX); SPLITS];
        for &row in self.sample {
            self.leaf_of[row] = 0;
        }
        for level in 0..DEPTH {
            let first = (1 << level) - 1;
            let best = self.best_splits(features, 1 << level);
            if level == 0 && best[0].is_none() {
                return None;
            }
            for (node, split) in best.iter().enumerate() {
                if let Some((_, feature, bin)) = split {
                    cuts[first + node] = (*feature as u16, *bin);
                }
            }
            for &row in self.sample {
                let node = usize::from(self.leaf_of[row]);
                let (feature, bin) = cuts[first + node];
                let right = self.binned.bins[usize::from(feature)][row] > bin;
                self.leaf_of[row] = (2 * node + usize::from(right)) as u8;
            }
        }
        let mut tree = Tree { feature: [0; SPLITS], above: [f32::INFINITY; SPLITS] };
        for (node, &(feature, bin)) in cuts.iter().enumerate() {
            tree.feature[node] = feature;
            // A node without a split sends everything left.
            tree.above[node] =
                self.binned.bounds[usize::from(feature)].get(usize::from(bin)).copied().unwrap_or(f32::INFINITY);
        }
        Some((tree, cuts))
    }

    /// The best split of each node of a level: gain, feature, bin.
    fn best_splits(&self, features: &[usize], nodes: usize) -> Vec<Option<(f32, usize, u8)>> {
        let mut best: Vec<Option<(f32, usize, u8)>> = vec![None; nodes];
        let mut bins = vec![[Bin::default(); BINS]; nodes];
        for &feature in features {
            bins.iter_mut().for_each(|b| b.fill(Bin::default()));
            let of = &self.binned.bins[feature];
            for &row in self.sample {
                bins[usize::from(self.leaf_of[row])][usize::from(of[row])].add(&self.sketch[row]);
            }
            for (node, bins) in bins.iter().enumerate() {
                let mut all = Bin::default();
                bins.iter().for_each(|b| all.join(b));
                let whole = all.explained(self.growth.penalty);
                let mut left = Bin::default();
                for (bin, of) in bins[..self.binned.bounds[feature].len()].iter().enumerate() {
                    left.join(of);
                    let right = all.without(&left);
                    if left.rows.min(right.rows) < self.growth.leaf_rows as f32 {
                        continue;
                    }
                    let gain = left.explained(self.growth.penalty) + right.explained(self.growth.penalty) - whole;
                    if gain > 1e-6 && best[node].is_none_or(|b| gain > b.0) {
                        best[node] = Some((gain, feature, bin as u8));
                    }
                }
            }
        }
        best
    }
}

fn leaf_values(residual: &[f32], outputs: usize, sample: &[usize], leaf_of: &[u8], growth: Growth) -> Vec<f32> {
    let (mut sums, mut known) = (vec![0f32; LEAVES * outputs], vec![0f32; LEAVES * outputs]);
    for &row in sample {
        let at = usize::from(leaf_of[row]) * outputs;
        for k in 0..outputs {
            let value = residual[row * outputs + k];
            if !value.is_nan() {
                sums[at + k] += value;
                known[at + k] += 1.0;
            }
        }
    }
    sums.iter().zip(&known).map(|(s, n)| growth.rate * s / (n + growth.penalty)).collect()
}

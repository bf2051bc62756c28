//! Ridge regression over hashed words and word pairs (Weinberger et al., "Feature hashing for large scale multitask
//! learning", 2009), solved by conjugate gradients. Which words fell into a bucket is not kept.

use super::{Targets, add_scaled};

/// Steps of the solver: what is left after these is far below the noise of the outcomes.
const STEPS: usize = 24;
const DONE: f64 = 1e-4;

/// The words and word pairs of rows, as buckets with weights; each row has length 1.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    starts: Vec<usize>,
    buckets: Vec<u32>,
    weights: Vec<f32>,
}

impl Sparse {
    /// The buckets of one row, and its weight of each.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.buckets[range.clone()], &self.weights[range])
    }

    /// Adds a row.
    pub fn push(&mut self, buckets: &[u32], weights: &[f32]) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.buckets.extend_from_slice(buckets);
        self.weights.extend_from_slice(weights);
        self.starts.push(self.buckets.len());
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How rare each bucket is: what nearly every prompt has says little.
#[derive(Debug, Clone, PartialEq)]
pub struct Rarity {
    /// One weight a bucket; 0 for one that too few rows had.
    pub of: Vec<f32>,
}

impl Rarity {
    /// From the hashes of `rows`, over a power of two of buckets. What fewer than two rows have counts nothing: it would
    /// only be learned by heart.
    pub fn of(hashes: &[Vec<u32>], rows: &[usize], buckets: usize) -> Self {
        let mut counts = vec![0u32; buckets];
        let mut seen: Vec<usize> = vec![usize::MAX; buckets];
        for &row in rows {
            for hash in &hashes[row] {
                let bucket = *hash as usize & (buckets - 1);
                if seen[bucket] != row {
                    seen[bucket] = row;
                    counts[bucket] += 1;
                }
            }
        }
        let n = rows.len() as f32;
        let of = counts.iter().map(|&c| if c < 2 { 0.0 } else { 1.0 + ((1.0 + n) / (1.0 + c as f32)).ln() });
        Self { of: of.collect() }
    }

    /// The buckets of one prompt, each once, with their weights; length 1.
    pub fn weigh(&self, hashes: &[u32], buckets: &mut Vec<u32>, weights: &mut Vec<f32>) {
        buckets.clear();
        weights.clear();
        buckets.extend(hashes.iter().map(|h| h & (self.of.len() as u32 - 1)).filter(|b| self.of[*b as usize] > 0.0));
        buckets.sort_unstable();
        buckets.dedup();
        weights.extend(buckets.iter().map(|b| self.of[*b as usize]));
        let length = weights.iter().map(|w| w * w).sum::<f32>().sqrt();
        if length > 0.0 {
            weights.iter_mut().for_each(|w| *w /= length);
        }
    }
}

/// A linear map of buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Grams {
    /// Outputs.
    pub outputs: usize,
    /// Weights, bucket by bucket, `outputs` for each.
    pub weights: Vec<f32>,
}

impl Grams {
    /// Fits `rows` to the targets, which should have mean 0, with this much shrinkage (in rows).
    pub fn fit(sparse: &Sparse, targets: &Targets, rows: &[usize], buckets: usize, penalty: f64) -> Self {
        let outputs = targets.outputs;
        let mut w = vec![0f32; buckets * outputs];
        let mut residual = vec![0f32; buckets * outputs];
        for &row in rows {
            let (at, by) = sparse.row(row);
            let y: Vec<f32> = targets.row(row).iter().map(|y| if y.is_nan() { 0.0 } else { *y }).collect();
            for (&bucket, &x) in at.iter().zip(by) {
                add_scaled(&mut residual[bucket as usize * outputs..][..outputs], &y, x);
            }
        }
        let mut direction = residual.clone();
        let mut energy = per_output(&residual, &residual, outputs);
        let goal: Vec<f64> = energy.iter().map(|e| e * DONE * DONE).collect();
        let mut product = vec![0f32; buckets * outputs];
        for _ in 0..STEPS {
            if energy.iter().zip(&goal).all(|(e, g)| e <= g) {
                break;
            }
            apply(sparse, targets, rows, penalty as f32, &direction, &mut product);
            let curvature = per_output(&direction, &product, outputs);
            let step: Vec<f32> = ratio(&energy, &curvature);
            for ((w, r), (d, p)) in w
                .chunks_exact_mut(outputs)
                .zip(residual.chunks_exact_mut(outputs))
                .zip(direction.chunks_exact(outputs).zip(product.chunks_exact(outputs)))
            {
                for k in 0..outputs {
                    w[k] += step[k] * d[k];
                    r[k] -= step[k] * p[k];
                }
            }
            let next = per_output(&residual, &residual, outputs);
            let turn = ratio(&next, &energy);
            energy = next;
            for (d, r) in direction.chunks_exact_mut(outputs).zip(residual.chunks_exact(outputs)) {
                for k in 0..outputs {
                    d[k] = r[k] + turn[k] * d[k];
                }
            }
        }
        Self { outputs, weights: w }
    }

    /// Adds `factor` times what this head says of a prompt's buckets.
    pub fn add(&self, (buckets, weights): (&[u32], &[f32]), factor: f32, sum: &mut [f32]) {
        for (&bucket, &x) in buckets.iter().zip(weights) {
            add_scaled(sum, &self.weights[bucket as usize * self.outputs..][..self.outputs], factor * x);
        }
    }
}

/// `(XᵀX + penalty) direction`, for each output over the rows that it knows.
fn apply(sparse: &Sparse, targets: &Targets, rows: &[usize], penalty: f32, direction: &[f32], product: &mut [f32]) {
    let outputs = targets.outputs;
    for (p, d) in product.iter_mut().zip(direction) {
        *p = penalty * d;
    }
    let mut said = vec![0f32; outputs];
    for &row in rows {
        let (at, by) = sparse.row(row);
        said.fill(0.0);
        for (&bucket, &x) in at.iter().zip(by) {
            add_scaled(&mut said, &direction[bucket as usize * outputs..][..outputs], x);
        }
        for (s, y) in said.iter_mut().zip(targets.row(row)) {
            if y.is_nan() {
                *s = 0.0;
            }
        }
        for (&bucket, &x) in at.iter().zip(by) {
            add_scaled(&mut product[bucket as usize * outputs..][..outputs], &said, x);
        }
    }
}

fn per_output(a: &[f32], b: &[f32], outputs: usize) -> Vec<f64> {
    let mut sums = vec![0f64; outputs];
    for (a, b) in a.chunks_exact(outputs).zip(b.chunks_exact(outputs)) {
        for k in 0..outputs {
            sums[k] += f64::from(a[k]) * f64::from(b[k]);
        }
    }
    sums
}

fn ratio(a: &[f64], b: &[f64]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| if *b > 1e-30 { (a / b) as f32 } else { 0.0 }).collect()
}

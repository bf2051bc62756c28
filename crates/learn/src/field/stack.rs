//! Stacking (Wolpert, 1992; with weights that are not negative, Breiman, "Stacked regressions", 1996): how much each head
//! counts, from what it said of rows that it had not seen. Weights below one in sum shrink towards the prior, so a head that
//! only ever guessed counts little.
//!
//! Heads are not weighed output by output but along the directions in which outputs vary together: the first is how hard
//! a prompt is for all models (the stronger of which suffer less), the next are what tells groups of models apart, and
//! what is left is mostly luck. Each direction has weights of its own, which is what shrinks the differences between many
//! models enough that the luckiest one does not win.

use nalgebra::{DMatrix, SymmetricEigen};

/// Directions with weights of their own; all further ones share the last weights.
const DIRECTIONS: usize = 4;
/// How far weights are believed to lie from equal ones (a standard deviation), before the rows speak. What text tells is
/// often a few per cent of the variance; weights from that alone are luck.
const BELIEF: f64 = 0.5;

/// What heads said of unseen rows, and what was true.
pub(super) struct Stack {
    outputs: usize,
    heads: usize,
    rows: Vec<Row>,
}

struct Row {
    row: usize,
    fold: usize,
    /// Heads × outputs.
    said: Vec<f32>,
    /// What the prior left to explain; NaN where nothing is known.
    rest: Vec<f32>,
}

/// What the heads are worth.
pub(super) struct Solved {
    /// Predictions for each row, with weights from the other folds: rows × outputs.
    pub(super) unseen: Vec<f32>,
    /// For each head, a matrix of outputs × outputs, row by row: what it counts in each output.
    pub(super) mixes: Vec<Vec<f32>>,
    /// For each head, its weight in each direction.
    pub(super) weights: Vec<Vec<f32>>,
}

impl Stack {
    pub(super) fn new(outputs: usize, heads: usize) -> Self {
        Self { outputs, heads, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: usize, fold: usize, said: Vec<f32>, truth: &[f32], prior: &[f32]) {
        let rest = truth.iter().zip(prior).map(|(t, p)| t - p).collect();
        self.rows.push(Row { row, fold, said, rest });
    }

    pub(super) fn solve(&self, prior: &[f32], folds: usize) -> Solved {
        if self.heads == 0 {
            return Solved { unseen: prior.to_vec(), mixes: Vec::new(), weights: Vec::new() };
        }
        let directions = self.directions();
        let groups = directions.len();
        let turned: Vec<Vec<f64>> = self.rows.iter().map(|row| self.turn(row, &directions)).collect();
        let of_fold: Vec<Moments> = (0..folds).map(|fold| self.moments(fold, &turned, groups)).collect();
        let mut all = Moments::zero(self.heads * groups, self.heads);
        of_fold.iter().for_each(|m| all.add(m, 1.0));
        let apart: Vec<Vec<f64>> = of_fold
            .iter()
            .map(|m| {
                let mut others = all.clone();
                others.add(m, -1.0);
                others.solve()
            })
            .collect();
        let mut unseen = prior.to_vec();
        for (row, turned) in self.rows.iter().zip(&turned) {
            for (k, terms) in turned.chunks_exact(self.heads * groups).enumerate() {
                let said: f64 = terms.iter().zip(&apart[row.fold]).map(|(t, w)| t * w).sum();
                unseen[row.row * self.outputs + k] += said as f32;
            }
        }
        let weights = all.solve();
        let mixes = (0..self.heads)
            .map(|head| {
                let mut mix = DMatrix::zeros(self.outputs, self.outputs);
                for (group, projection) in directions.iter().enumerate() {
                    mix += projection * weights[head * groups + group];
                }
                mix.transpose().iter().map(|v| *v as f32).collect()
            })
            .collect();
        let weights = weights.chunks(groups).map(|w| w.iter().map(|v| *v as f32).collect()).collect();
        Solved { unseen, mixes, weights }
    }

    /// Projections onto the directions in which outputs vary together, the strongest first; they add up to the identity.
    fn directions(&self) -> Vec<DMatrix<f64>> {
        let k = self.outputs;
        let (mut sums, mut counts) = (DMatrix::<f64>::zeros(k, k), DMatrix::<f64>::from_element(k, k, 1e-9));
        for row in &self.rows {
            for a in (0..k).filter(|&a| !row.rest[a].is_nan()) {
                for b in (0..k).filter(|&b| !row.rest[b].is_nan()) {
                    sums[(a, b)] += f64::from(row.rest[a]) * f64::from(row.rest[b]);
                    counts[(a, b)] += 1.0;
                }
            }
        }
        let mut order: Vec<usize> = (0..k).collect();
        let eigen = SymmetricEigen::new(sums.component_div(&counts));
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let mut projections: Vec<DMatrix<f64>> = Vec::new();
        for (rank, &ix) in order.iter().enumerate() {
            let vector = eigen.eigenvectors.column(ix);
            let projection = vector * vector.transpose();
            if rank < DIRECTIONS {
                projections.push(projection);
            } else if let Some(last) = projections.last_mut() {
                *last += projection;
            }
        }
        projections
    }

    /// For each output, what each head says of it along each direction: outputs × heads × directions.
    fn turn(&self, row: &Row, directions: &[DMatrix<f64>]) -> Vec<f64> {
        let groups = directions.len();
        let mut turned = vec![0f64; self.outputs * self.heads * groups];
        for (head, said) in row.said.chunks_exact(self.outputs).enumerate() {
            for (group, projection) in directions.iter().enumerate() {
                for k in 0..self.outputs {
                    let along = (0..self.outputs).map(|o| projection[(k, o)] * f64::from(said[o]));
                    turned[(k * self.heads + head) * groups + group] = along.sum();
                }
            }
        }
        turned
    }

    fn moments(&self, fold: usize, turned: &[Vec<f64>], groups: usize) -> Moments {
        let width = self.heads * groups;
        let mut moments = Moments::zero(width, self.heads);
        for (row, turned) in self.rows.iter().zip(turned).filter(|(r, _)| r.fold == fold) {
            for k in (0..self.outputs).filter(|&k| !row.rest[k].is_nan()) {
                moments.learn(&turned[k * width..][..width], f64::from(row.rest[k]));
            }
        }
        moments
    }
}

/// Sums of products over rows: what least squares needs.
#[derive(Clone)]
struct Moments {
    gram: Vec<f64>,
    with_truth: Vec<f64>,
    heads: usize,
    /// Sum of squares of what was to be explained, and the number of values.
    square: f64,
    count: f64,
}

impl Moments {
    fn zero(width: usize, heads: usize) -> Self {
        Self { heads, gram: vec![0.0; width * width], with_truth: vec![0.0; width], square: 0.0, count: 0.0 }
    }

    fn learn(&mut self, x: &[f64], truth: f64) {
        self.square += truth * truth;
        self.count += 1.0;
        for (a, xa) in x.iter().enumerate() {
            self.with_truth[a] += xa * truth;
            for (b, xb) in x.iter().enumerate() {
                self.gram[a * x.len() + b] += xa * xb;
            }
        }
    }

    fn add(&mut self, other: &Self, sign: f64) {
        self.square += sign * other.square;
        self.count += sign * other.count;
        self.gram.iter_mut().zip(&other.gram).for_each(|(a, b)| *a += sign * b);
        self.with_truth.iter_mut().zip(&other.with_truth).for_each(|(a, b)| *a += sign * b);
    }

    /// Variance of a value.
    fn noise(&self) -> f64 {
        if self.count > 0.0 { self.square / self.count } else { 1.0 }
    }

    /// Non-negative least squares by coordinate descent, towards equal weights.
    fn solve(&self) -> Vec<f64> {
        let width = self.with_truth.len();
        let start = 1.0 / self.heads as f64;
        let pull = self.noise() / (BELIEF * BELIEF);
        let mut w = vec![start; width];
        for _ in 0..300 {
            for a in 0..width {
                let others: f64 = (0..width).filter(|b| *b != a).map(|b| self.gram[a * width + b] * w[b]).sum();
                let own = self.gram[a * width + a];
                w[a] = ((self.with_truth[a] - others + pull * start) / (own + pull)).max(0.0);
            }
        }
        w
    }
}

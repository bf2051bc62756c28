//! A field: what is expected of every output for any prompt. Priors first, then heads on what they leave, weighed by how
//! well each did on rows that it had not seen. Quality is one field, the length of answers another.

mod stack;

use crate::heads::boost::{Binned, Boost, Growth};
use crate::heads::grams::{Grams, Rarity, Sparse};
use crate::heads::linear::{Linear, Scale};
use crate::heads::{Dense, Targets, add_scaled};
use crate::prior::{Label, Priors, STRENGTHS};
use crate::rng::Rng;
use crate::text::hand::HAND;
use stack::Stack;

/// Folds of the cross-validation.
const FOLDS: usize = 5;
/// Rows below which there are only priors: what a text says cannot be learned from fewer.
pub const ROWS_FOR_TEXT: usize = 150;
/// Rows below which only the features that a person would name are used.
const ROWS_FOR_WORDS: usize = 300;
/// Shrinkage of each head, in rows. Found on the development rows of public benchmarks; the curve is flat around them.
const HAND_PENALTY: f64 = 100.0;
const DENSE_PENALTY: f64 = 1000.0;
const WORDS_PENALTY: f64 = 3.0;

/// What fields are trained from: one entry a row in each list.
pub struct Inputs {
    /// Hand features, then the embedding.
    pub dense: Dense,
    /// Hashes of words and word pairs; None where only features were kept.
    pub hashes: Option<Vec<Vec<u32>>>,
    /// Labels, the most general first.
    pub labels: Vec<Vec<Label>>,
}

/// How to train a field.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Buckets of words, a power of two; 0 for none.
    pub buckets: usize,
    /// Trees.
    pub trees: usize,
    /// Threads; what is learned does not depend on it.
    pub threads: usize,
}

/// Expectations of every output for any prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Outputs.
    pub outputs: usize,
    /// Before the text is read.
    pub priors: Priors,
    /// Brings dense features to one scale.
    pub scale: Scale,
    /// Over standardised features.
    pub linear: Option<Linear>,
    /// Over words and word pairs.
    pub grams: Option<(Rarity, Grams)>,
    /// Over hand features.
    pub boost: Option<Boost>,
}

/// A trained field and what its training saw.
pub struct Trained {
    /// The field, from all rows.
    pub field: Field,
    /// What was predicted for each row by heads and weights that had not seen it: rows × outputs.
    pub unseen: Vec<f32>,
    /// Likewise, from the priors alone.
    pub unseen_prior: Vec<f32>,
    /// The weight of each head along each direction in which outputs vary together, the strongest first.
    pub weights: Vec<(&'static str, Vec<f32>)>,
}

/// Room for one prediction, used again.
#[derive(Debug, Default)]
pub struct Scratch {
    scaled: Vec<f32>,
    buckets: Vec<u32>,
    weights: Vec<f32>,
}

impl Field {
    /// Adds what the text says to `sum`, which holds what the priors said.
    pub fn add_text(&self, dense: &[f32], hashes: Option<&[u32]>, scratch: &mut Scratch, sum: &mut [f32]) {
        self.add_linear(dense, scratch, sum);
        self.add_words(hashes, scratch, sum);
        self.add_trees(dense, sum);
    }

    /// Adds what hand features and the embedding say, line by line.
    pub(crate) fn add_linear(&self, dense: &[f32], scratch: &mut Scratch, sum: &mut [f32]) {
        if let Some(linear) = &self.linear {
            self.scale.apply(dense, &mut scratch.scaled);
            linear.add(&scratch.scaled, 1.0, sum);
        }
    }

    /// Adds what words and word pairs say; nothing where they were not kept.
    pub(crate) fn add_words(&self, hashes: Option<&[u32]>, scratch: &mut Scratch, sum: &mut [f32]) {
        if let (Some((rarity, grams)), Some(hashes)) = (&self.grams, hashes) {
            rarity.weigh(hashes, &mut scratch.buckets, &mut scratch.weights);
            grams.add((&scratch.buckets, &scratch.weights), 1.0, sum);
        }
    }

    /// Adds what the trees say.
    pub(crate) fn add_trees(&self, dense: &[f32], sum: &mut [f32]) {
        if let Some(boost) = &self.boost {
            boost.add(dense, 1.0, sum);
        }
    }

    /// Trains a field.
    pub fn train(inputs: &Inputs, targets: &Targets, settings: Settings, rng: &Rng) -> Trained {
        let n = targets.len();
        let folds = folds(n, &mut rng.fork(1));
        let binned = Binned::of(&inputs.dense);
        let all: Vec<usize> = (0..n).collect();
        let strength = prior_strength(inputs, targets, &folds);
        let jobs: Vec<Vec<usize>> = (0..FOLDS)
            .map(|fold| all.iter().copied().filter(|&r| folds[r] != fold).collect())
            .chain([all.clone()])
            .collect();
        let fits = in_parallel(settings.threads, jobs.len(), |job| {
            Heads::fit(inputs, targets, &jobs[job], &binned, strength, settings, &rng.fork(100 + job as u64))
        });
        let mut stack = Stack::new(targets.outputs, fits.last().map_or(0, Heads::count));
        let mut unseen_prior = vec![0f32; targets.values.len()];
        for (fold, heads) in fits[..FOLDS].iter().enumerate() {
            for row in all.iter().copied().filter(|&r| folds[r] == fold) {
                let prior = &mut unseen_prior[row * targets.outputs..][..targets.outputs];
                heads.priors.add(&inputs.labels[row], prior);
                stack.push(row, fold, heads.say(inputs, row), targets.row(row), prior);
            }
        }
        let solved = stack.solve(&unseen_prior, FOLDS);
        let names = fits.last().map(Heads::names).unwrap_or_default();
        let field = fits.into_iter().next_back().map(|heads| heads.mixed(&solved.mixes));
        Trained {
            // There is always the fit of all rows.
            field: field.unwrap_or_else(|| Self::of_priors(Priors::default(), targets.outputs)),
            unseen: solved.unseen,
            unseen_prior,
            weights: names.into_iter().zip(solved.weights).collect(),
        }
    }

    /// A field that knows priors only.
    pub fn of_priors(priors: Priors, outputs: usize) -> Self {
        let scale = Scale { mean: Vec::new(), inverse: Vec::new() };
        Self { outputs, priors, scale, linear: None, grams: None, boost: None }
    }
}

/// The heads of one fit, unweighted.
struct Heads {
    outputs: usize,
    priors: Priors,
    scale: Scale,
    linear: Option<Linear>,
    grams: Option<(Rarity, Grams)>,
    boost: Option<Boost>,
}

impl Heads {
    fn fit(
        inputs: &Inputs,
        targets: &Targets,
        rows: &[usize],
        binned: &Binned,
        strength: f32,
        settings: Settings,
        rng: &Rng,
    ) -> Self {
        let outputs = targets.outputs;
        let priors = Priors::fit(&inputs.labels, targets, rows, strength);
        let mut heads =
            Self { outputs, priors, scale: Scale::of(&inputs.dense, rows), linear: None, grams: None, boost: None };
        if targets.len() < ROWS_FOR_TEXT {
            return heads;
        }
        let mut rest = targets.clone();
        for &row in rows {
            let mut said = vec![0.0; outputs];
            heads.priors.add(&inputs.labels[row], &mut said);
            add_scaled(&mut rest.values[row * outputs..][..outputs], &said, -1.0);
        }
        heads.fit_linear(inputs, &rest, rows);
        if let Some(hashes) = inputs.hashes.as_ref().filter(|_| settings.buckets > 0 && targets.len() >= ROWS_FOR_WORDS)
        {
            heads.fit_grams(hashes, &rest, rows, settings.buckets);
        }
        if settings.trees > 0 && targets.len() >= ROWS_FOR_WORDS {
            let growth = Growth {
                trees: settings.trees,
                rate: 0.05,
                penalty: 10.0,
                leaf_rows: 15,
                row_share: 0.6,
                feature_share: 0.4,
            };
            heads.boost = Some(Boost::fit(binned, HAND, &rest, rows, growth, rng.fork(7)));
        }
        heads
    }

    fn fit_linear(&mut self, inputs: &Inputs, rest: &Targets, rows: &[usize]) {
        // Few rows cannot tell which of the embedding's directions matter.
        let few = rest.len() < ROWS_FOR_WORDS;
        let (width, penalty) = if few { (HAND, HAND_PENALTY) } else { (inputs.dense.width, DENSE_PENALTY) };
        let mut scaled = Dense { width, values: Vec::with_capacity(width * inputs.dense.len()) };
        let mut row_of = Vec::new();
        for row in 0..inputs.dense.len() {
            self.scale.apply(inputs.dense.row(row), &mut row_of);
            scaled.values.extend_from_slice(&row_of[..width]);
        }
        let mut linear = Linear::fit(&scaled, rest, rows, penalty);
        linear.weights.resize(inputs.dense.width * self.outputs, 0.0);
        self.linear = Some(linear);
    }

    fn fit_grams(&mut self, hashes: &[Vec<u32>], rest: &Targets, rows: &[usize], buckets: usize) {
        let rarity = Rarity::of(hashes, rows, buckets);
        let mut sparse = Sparse::default();
        let (mut at, mut by) = (Vec::new(), Vec::new());
        for hashes in hashes {
            rarity.weigh(hashes, &mut at, &mut by);
            sparse.push(&at, &by);
        }
        let grams = Grams::fit(&sparse, rest, rows, buckets, WORDS_PENALTY);
        self.grams = Some((rarity, grams));
    }

    fn count(&self) -> usize {
        self.names().len()
    }

    fn names(&self) -> Vec<&'static str> {
        let linear = self.linear.iter().map(|_| "linear");
        linear.chain(self.grams.iter().map(|_| "words")).chain(self.boost.iter().map(|_| "trees")).collect()
    }

    /// What each head says of a row: heads × outputs.
    fn say(&self, inputs: &Inputs, row: usize) -> Vec<f32> {
        let mut said = vec![0f32; self.count() * self.outputs];
        let mut slots = said.chunks_exact_mut(self.outputs);
        let (mut scaled, mut at, mut by) = (Vec::new(), Vec::new(), Vec::new());
        if let (Some(linear), Some(slot)) = (&self.linear, slots.next()) {
            self.scale.apply(inputs.dense.row(row), &mut scaled);
            linear.add(&scaled, 1.0, slot);
        }
        if let (Some((rarity, grams)), Some(hashes)) = (&self.grams, &inputs.hashes)
            && let Some(slot) = slots.next()
        {
            rarity.weigh(&hashes[row], &mut at, &mut by);
            grams.add((&at, &by), 1.0, slot);
        }
        if let (Some(boost), Some(slot)) = (&self.boost, slots.next()) {
            boost.add(inputs.dense.row(row), 1.0, slot);
        }
        said
    }

    /// The heads as a field, each mixed by its matrix: what it counts in each output.
    fn mixed(self, mixes: &[Vec<f32>]) -> Field {
        let outputs = self.outputs;
        let mut mixes = mixes.iter();
        let mut mixed = |values: &mut [f32]| {
            let Some(mix) = mixes.next() else { return };
            let mut sum = vec![0f32; outputs];
            for values in values.chunks_exact_mut(outputs) {
                for (sum, mix) in sum.iter_mut().zip(mix.chunks_exact(outputs)) {
                    *sum = mix.iter().zip(&*values).map(|(m, v)| m * v).sum();
                }
                values.copy_from_slice(&sum);
            }
        };
        let mut field = Field { scale: self.scale, ..Field::of_priors(self.priors, outputs) };
        field.linear = self.linear.map(|mut linear| {
            linear.weights.extend_from_slice(&linear.bias);
            mixed(&mut linear.weights);
            linear.bias = linear.weights.split_off(linear.weights.len() - outputs);
            linear
        });
        field.grams = self.grams.map(|(rarity, mut grams)| {
            mixed(&mut grams.weights);
            (rarity, grams)
        });
        field.boost = self.boost.map(|mut boost| {
            mixed(&mut boost.leaves);
            boost
        });
        field
    }
}

/// The fold of each row.
fn folds(rows: usize, rng: &mut Rng) -> Vec<usize> {
    let mut folds: Vec<usize> = (0..rows).map(|r| r % FOLDS).collect();
    rng.shuffle(&mut folds);
    folds
}

/// The shrinkage of labels that did best on rows not seen.
fn prior_strength(inputs: &Inputs, targets: &Targets, folds: &[usize]) -> f32 {
    if inputs.labels.iter().all(Vec::is_empty) {
        return STRENGTHS[0];
    }
    let error = |strength: f32| -> f64 {
        (0..FOLDS)
            .map(|fold| {
                let rows: Vec<usize> = (0..targets.len()).filter(|&r| folds[r] != fold).collect();
                let priors = Priors::fit(&inputs.labels, targets, &rows, strength);
                let held = (0..targets.len()).filter(|&r| folds[r] == fold);
                held.map(|row| {
                    let mut said = vec![0.0; targets.outputs];
                    priors.add(&inputs.labels[row], &mut said);
                    let off = said.iter().zip(targets.row(row)).filter(|(_, y)| !y.is_nan());
                    off.map(|(s, y)| f64::from(s - y).powi(2)).sum::<f64>()
                })
                .sum::<f64>()
            })
            .sum()
    };
    let mut best = (f64::INFINITY, STRENGTHS[0]);
    for strength in STRENGTHS {
        let error = error(strength);
        if error < best.0 {
            best = (error, strength);
        }
    }
    best.1
}

/// The results of `count` jobs, in order, from several threads.
pub(crate) fn in_parallel<T: Send>(threads: usize, count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, count.max(1)))
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    loop {
                        let ix = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if ix >= count {
                            return mine;
                        }
                        mine.push((ix, job(ix)));
                    }
                })
            })
            .collect();
        let joined = workers.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    done.sort_by_key(|(ix, _)| *ix);
    done.into_iter().map(|(_, result)| result).collect()
}

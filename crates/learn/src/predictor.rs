//! The predictor: what to expect of each model on a prompt. A value; training makes it, a file keeps it, requests ask it.

use crate::features::Features;
use crate::field::{Field, Scratch};
use crate::guarantee::Statement;
use crate::length::{Lengths, Rate};
use crate::prior::Label;
use serde::{Deserialize, Serialize};

/// Predicted quality stays this far from what no one can promise.
const CERTAIN: f32 = 0.002;

/// What a predictor expects of one model's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Expected score, 0 to 1: the probability that the answer is good, where scores are good or bad.
    pub quality: f32,
    /// Where the mean score of prompts that look like this one lies, with 95 % confidence.
    pub low: f32,
    /// See `low`.
    pub high: f32,
    /// What was expected before the text was read.
    pub prior: f32,
    /// Expected tokens of the answer; None where no training row said any.
    pub output_tokens: Option<f32>,
}

/// How much each part of a predictor moved one model's expected score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Moved {
    /// The mean of all training rows.
    pub base: f32,
    /// Labels: task, route, tenant, system prompt.
    pub labels: f32,
    /// Hand features and embedding.
    pub linear: f32,
    /// Words and word pairs.
    pub words: f32,
    /// Trees over hand features.
    pub trees: f32,
}

/// What a model file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The method's name: `learned`.
    pub method: String,
    /// The seed of its training.
    pub seed: u64,
    /// Rows that it was trained on.
    pub rows: usize,
    /// Models, with their rows and their mean score.
    pub models: Vec<ModelSummary>,
    /// What labels its priors know, by kind; empty for none.
    pub route_key: Option<String>,
    /// How much of the predicted differences between models is believed: 0 is static mixing, 1 is all of it.
    pub belief: f64,
    /// The weight of each head along each direction in which models vary together.
    pub heads: Vec<(String, Vec<f32>)>,
    /// What cross-validation measured, by the names of `eval`; intervals at 95 %.
    pub cross_validated: Vec<(String, f64, Option<[f64; 2]>)>,
    /// What there was too little data for, and what was left out; sentences.
    pub notes: Vec<String>,
    /// What was promised of it, and on which data; None where nothing was.
    #[serde(default)]
    pub guarantee: Option<Statement>,
    /// What the shipped parts are licensed under.
    pub licences: String,
}

/// One model in a [`Summary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Its name.
    pub name: String,
    /// Rows with an outcome of it.
    pub rows: usize,
    /// Its mean score.
    pub score: f64,
    /// What its tokens cost in the training rows, where they say so.
    pub rate: Option<Rate>,
}

/// Expected scores, and how they are kept from promising too much.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Scores of every model.
    pub field: Field,
    /// See [`Summary::belief`].
    pub belief: f32,
    /// For each model, half widths of the interval by ten classes of expected score.
    pub half_width: Vec<[f32; 10]>,
}

/// A trained predictor.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictor {
    /// What it is and what its training measured.
    pub summary: Summary,
    /// How good answers will be.
    pub quality: Quality,
    /// How long answers will be.
    pub lengths: Option<Lengths>,
}

impl Quality {
    /// Expected scores of all models: priors and scores, each as long as there are models.
    pub fn expect(
        &self,
        features: &Features,
        labels: &[Label],
        scratch: &mut Scratch,
        prior: &mut [f32],
        score: &mut [f32],
    ) {
        prior.fill(0.0);
        score.fill(0.0);
        self.field.priors.add(labels, prior);
        self.field.add_text(&features.dense, features.hashes.as_deref(), scratch, score);
        believe(self.belief, prior, score);
    }
}

/// Turns what the text says into scores: how hard it is for all models counts in full, differences as far as they are
/// believed.
pub(crate) fn believe(belief: f32, prior: &[f32], text: &mut [f32]) {
    let shared = text.iter().sum::<f32>() / text.len().max(1) as f32;
    for (text, prior) in text.iter_mut().zip(prior) {
        *text = (prior + shared + belief * (*text - shared)).clamp(CERTAIN, 1.0 - CERTAIN);
    }
}

impl Predictor {
    /// The models that it knows, in the order of what [`Predictor::predict`] gives.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &str> {
        self.summary.models.iter().map(|m| m.name.as_str())
    }

    /// What to expect of each model. Labels that training did not know change nothing.
    pub fn predict(&self, features: &Features, labels: &[Label], scratch: &mut Scratch) -> Vec<Expected> {
        let models = self.summary.models.len();
        let mut room = vec![0f32; 3 * models];
        let (prior, rest) = room.split_at_mut(models);
        let (score, tokens) = rest.split_at_mut(models);
        self.quality.expect(features, labels, scratch, prior, score);
        if let Some(lengths) = &self.lengths {
            lengths.expected(&features.dense, features.hashes.as_deref(), labels, scratch, tokens);
        }
        (0..models)
            .map(|m| {
                let half = self.quality.half_width[m][class(score[m])];
                Expected {
                    quality: score[m],
                    low: (score[m] - half).max(0.0),
                    high: (score[m] + half).min(1.0),
                    prior: prior[m].clamp(0.0, 1.0),
                    output_tokens: self.lengths.as_ref().map(|_| tokens[m]),
                }
            })
            .collect()
    }

    /// What moved the expected score of each model, part by part.
    pub fn moved(&self, features: &Features, labels: &[Label]) -> Vec<Moved> {
        let field = &self.quality.field;
        let belief = self.quality.belief;
        let part = |add: &mut dyn FnMut(&mut [f32])| {
            let mut said = vec![0f32; field.outputs];
            add(&mut said);
            let shared = said.iter().sum::<f32>() / field.outputs.max(1) as f32;
            said.iter_mut().for_each(|s| *s = shared + belief * (*s - shared));
            said
        };
        let mut scratch = Scratch::default();
        let linear = part(&mut |sum| field.add_linear(&features.dense, &mut scratch, sum));
        let words = part(&mut |sum| field.add_words(features.hashes.as_deref(), &mut scratch, sum));
        let trees = part(&mut |sum| field.add_trees(&features.dense, sum));
        let mut labelled = vec![0f32; field.outputs];
        field.priors.add(labels, &mut labelled);
        (0..field.outputs)
            .map(|m| {
                let base = field.priors.base[m];
                Moved { base, labels: labelled[m] - base, linear: linear[m], words: words[m], trees: trees[m] }
            })
            .collect()
    }
}

/// The class of an expected score: tenths.
pub(crate) fn class(score: f32) -> usize {
    ((score * 10.0) as usize).min(9)
}

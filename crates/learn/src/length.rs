//! How long answers will be: output tokens by model and prompt, and how far a model's own count of input tokens is from
//! Waypost's estimate. Cost follows from these and from prices, which change without anything being learned anew.

use crate::field::{Field, Inputs, Scratch, Settings};
use crate::heads::Targets;
use crate::outcome::Row;
use crate::prior::Label;
use crate::rng::Rng;

/// Rows that must say an answer's length before lengths are learned.
pub const ROWS_FOR_LENGTH: usize = 30;
/// Answers longer than any model's: what is predicted stays below.
const LONGEST: f32 = 200_000.0;

/// Expected lengths of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Lengths {
    /// Logarithms of output tokens.
    pub field: Field,
    /// For each model, mean over exponential of the mean logarithm: answers are skewed.
    pub stretch: Vec<f32>,
    /// For each model, its input tokens over bytes of the prompt; 0 where nothing is known.
    pub input_per_byte: Vec<f32>,
}

impl Lengths {
    /// From the rows that say tokens, with what was expected of each row before it was seen (rows × models); None where too
    /// few rows say any.
    pub fn train(
        rows: &[Row],
        models: &[String],
        inputs: &Inputs,
        settings: Settings,
        rng: &Rng,
    ) -> Option<(Self, Vec<f32>)> {
        let told = |r: &Row, m: &String| r.outcomes.get(m).and_then(|o| o.output_tokens);
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|r| models.iter().map(move |m| told(r, m).map_or(f32::NAN, |t| (t as f32).max(1.0).ln())))
            .collect();
        if rows.iter().filter(|r| models.iter().any(|m| told(r, m).is_some())).count() < ROWS_FOR_LENGTH {
            return None;
        }
        let targets = Targets { outputs: models.len(), values };
        let trained = Field::train(inputs, &targets, settings, rng);
        let stretch: Vec<f32> = (0..models.len())
            .map(|m| {
                let column = || trained.unseen.iter().zip(&targets.values).skip(m).step_by(models.len());
                let known = || column().filter(|(_, t)| !t.is_nan());
                let truth: f64 = known().map(|(_, t)| f64::from(*t).exp()).sum();
                let said: f64 = known().map(|(p, _)| f64::from(*p).exp()).sum();
                if said > 0.0 { (truth / said).clamp(0.5, 4.0) as f32 } else { 1.0 }
            })
            .collect();
        let input_per_byte = models
            .iter()
            .map(|m| {
                let pairs = rows
                    .iter()
                    .filter(|r| !r.prompt.is_empty())
                    .filter_map(|r| Some((r.outcomes.get(m)?.input_tokens? as f64, r.prompt.len() as f64)));
                let (tokens, bytes) = pairs.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
                if bytes > 0.0 { (tokens / bytes) as f32 } else { 0.0 }
            })
            .collect();
        let stretched = |(ix, said): (usize, &f32)| (said.exp() * stretch[ix % models.len()]).clamp(1.0, LONGEST);
        let unseen = trained.unseen.iter().enumerate().map(stretched).collect();
        Some((Self { field: trained.field, stretch, input_per_byte }, unseen))
    }

    /// Expected output tokens of each model.
    pub fn expected(
        &self,
        dense: &[f32],
        hashes: Option<&[u32]>,
        labels: &[Label],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        out.fill(0.0);
        self.field.priors.add(labels, out);
        self.field.add_text(dense, hashes, scratch, out);
        for (tokens, stretch) in out.iter_mut().zip(&self.stretch) {
            *tokens = (tokens.exp() * stretch).clamp(1.0, LONGEST);
        }
    }
}

/// What one model's tokens cost in a set of outcomes, in US dollars: a fit, since outcome files say costs and no prices.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rate {
    /// A token of the prompt.
    pub input: f64,
    /// A token of the answer.
    pub output: f64,
}

impl Rate {
    /// The rate of a model by least squares over its outcomes; None where they do not say tokens and costs.
    pub fn of(rows: &[Row], model: &str) -> Option<Self> {
        let told: Vec<(f64, f64, f64)> = rows
            .iter()
            .filter_map(|r| r.outcomes.get(model))
            .filter_map(|o| Some((f64::from(o.input_tokens?), f64::from(o.output_tokens?), o.cost_usd?)))
            .collect();
        let sum = |f: fn(&(f64, f64, f64)) -> f64| told.iter().map(f).sum::<f64>();
        let (ii, io, oo) = (sum(|t| t.0 * t.0), sum(|t| t.0 * t.1), sum(|t| t.1 * t.1));
        let (ic, oc) = (sum(|t| t.0 * t.2), sum(|t| t.1 * t.2));
        let determinant = ii * oo - io * io;
        if told.len() < 3 || determinant <= 1e-9 * ii * oo {
            return None;
        }
        let (input, output) = ((ic * oo - oc * io) / determinant, (oc * ii - ic * io) / determinant);
        // Rounding of costs may turn a small price below zero.
        (input.is_finite() && output.is_finite()).then_some(Self { input: input.max(0.0), output: output.max(0.0) })
    }
}

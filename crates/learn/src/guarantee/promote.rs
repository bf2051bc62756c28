//! Whether a retrained predictor may replace the present one: only where it is better on fresh rows, with confidence. One
//! test over a fixed set of rows, each judged under both; looking again after more rows, or trying again with another
//! candidate, is another attempt and takes its own part of the risk ([`confidence_of_attempt`]). What happens after the swap
//! is [`Watch`](super::Watch)'s affair.

use super::mean::{Method, Sample, Scale};
use super::{Error, percent, risk, score};
use serde::{Deserialize, Serialize};

/// What a candidate has to show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// The mean gain in score that it must exceed: 0 for "better at all". From 0 to below 1.
    pub least_gain: f64,
    /// The probability that a candidate which is not better is kept out: from 0.5 to below 1.
    pub confidence: f64,
    /// Fresh rows below which nothing is decided, however clear it looks: a handful may all be of one kind.
    pub least_rows: usize,
    /// What the scores can be; known before the rows are looked at.
    pub scale: Scale,
}

/// What becomes of the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is better: swap it in.
    Replace,
    /// It was not shown to be better: keep the present one.
    Keep,
    /// There are fewer rows than the bar asks for: keep the present one and come again.
    TooFewRows,
}

/// Both predictors on the same fresh rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What becomes of the candidate.
    pub verdict: Verdict,
    /// Rows compared.
    pub rows: usize,
    /// Rows where the two scores differ.
    pub differing: usize,
    /// Mean gain in score; negative where the candidate is worse.
    pub gain: f64,
    /// A lower bound of the gain, at `confidence`; -1 where nothing can be said.
    pub gain_at_least: f64,
    /// The bar that was to be exceeded.
    pub least_gain: f64,
    /// The confidence of the test.
    pub confidence: f64,
    /// How the gain was bounded.
    pub method: Method,
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Replace => "The candidate replaces the present predictor",
            Verdict::Keep => "The present predictor stays",
            Verdict::TooFewRows => "The present predictor stays: there are too few fresh rows to judge",
        };
        write!(
            f,
            "{verdict}. On {} fresh rows ({} differing) the candidate gains {:.4} of the score, at least {:.4} with {}% \
             confidence ({}); more than {} was asked for.",
            self.rows,
            self.differing,
            self.gain,
            self.gain_at_least,
            percent(self.confidence),
            self.method,
            self.least_gain
        )
    }
}

/// Compares two predictors by what they make of the same rows, neither trained nor tuned on: `present[i]` and
/// `candidate[i]` are scores of row `i` from 0 to 1, higher is better: of the model each would choose, or 1 minus the
/// squared error of its prediction. One-sided and paired: rows drawn alike, of any distribution.
///
/// # Errors
/// Lists of different lengths or none, a score out of range, or a bar that cannot be.
pub fn better(present: &[f64], candidate: &[f64], bar: &Bar) -> Result<Comparison, Error> {
    let risk = risk(bar.confidence)?;
    if !(0.0..1.0).contains(&bar.least_gain) {
        return Err(Error::Goal {
            what: "least gain",
            value: bar.least_gain,
            range: "a share of the score, from 0 to below 1",
        });
    }
    if present.len() != candidate.len() {
        return Err(Error::Unpaired { present: present.len(), candidate: candidate.len() });
    }
    if present.is_empty() {
        return Err(Error::NoRows);
    }
    let mut losses = Vec::with_capacity(present.len());
    for (row, (old, new)) in present.iter().zip(candidate).enumerate() {
        for (name, value) in [("the present predictor", *old), ("the candidate", *new)] {
            score(row, name, value)?;
            if bar.scale == Scale::Binary && value != 0.0 && value != 1.0 {
                return Err(Error::NotBinary { row, model: name.to_owned(), score: value });
            }
        }
        losses.push(old - new);
    }
    let sample = Sample::new(&losses, bar.scale);
    let verdict = if losses.len() < bar.least_rows {
        Verdict::TooFewRows
    } else if sample.is_below(-bar.least_gain, risk) {
        Verdict::Replace
    } else {
        Verdict::Keep
    };
    Ok(Comparison {
        verdict,
        rows: losses.len(),
        differing: losses.iter().filter(|l| **l != 0.0).count(),
        gain: -losses.iter().sum::<f64>() / losses.len() as f64,
        gain_at_least: -sample.upper_bound(risk),
        least_gain: bar.least_gain,
        confidence: bar.confidence,
        method: bar.scale.method(),
    })
}

/// The confidence for the `attempt`-th try (from 1), so that over all tries for ever the chance of one wrong replacement
/// stays within `1 - confidence`: the k-th takes 1 / (k·(k + 1)) of the risk. Count on from the last replacement, if the
/// confidence is to be of each replacement; never start anew because a candidate failed.
pub fn confidence_of_attempt(confidence: f64, attempt: u32) -> f64 {
    let k = f64::from(attempt.max(1));
    1.0 - (1.0 - confidence) / (k * (k + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAR: Bar = Bar { least_gain: 0.0, confidence: 0.95, least_rows: 100, scale: Scale::Binary };

    /// The present one is wrong on every tenth row; the candidate mends every second of those.
    fn rows(n: usize) -> (Vec<f64>, Vec<f64>) {
        let right = |wrong: bool| f64::from(u8::from(!wrong));
        ((0..n).map(|r| right(r % 10 == 0)).collect(), (0..n).map(|r| right(r % 20 == 0)).collect())
    }

    #[test]
    fn only_what_is_better_replaces() {
        for scale in [Scale::Binary, Scale::Graded] {
            let bar = Bar { scale, ..BAR };
            let (old, new) = rows(400);
            let verdict = |old: &[f64], new: &[f64], bar: &Bar| better(old, new, bar).expect("good").verdict;
            assert_eq!(verdict(&old, &new, &bar), Verdict::Replace, "{scale:?}");
            assert_eq!(verdict(&new, &old, &bar), Verdict::Keep);
            assert_eq!(verdict(&old, &old, &bar), Verdict::Keep);
            assert_eq!(verdict(&old, &new, &Bar { least_gain: 0.05, ..bar }), Verdict::Keep);
            assert_eq!(verdict(&old, &new, &Bar { least_gain: 0.01, ..bar }), Verdict::Replace);
            assert_eq!(verdict(&old, &new, &Bar { least_rows: 401, ..bar }), Verdict::TooFewRows);
            let told = better(&old, &new, &bar).expect("good");
            assert!((told.gain - 0.05).abs() < 1e-9 && (0.01..0.05).contains(&told.gain_at_least), "{told}");
            assert_eq!(told.differing, 20);
            assert!(
                told.to_string()
                    .starts_with("The candidate replaces the present predictor. On 400 fresh rows (20 diff")
            );
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let refused = |old: &[f64], new: &[f64], bar: Bar| better(old, new, &bar).expect_err("bad").to_string();
        assert!(
            refused(&[1.0], &[], BAR).starts_with("there are 1 scores of the present predictor and 0 of the candidate")
        );
        assert!(refused(&[], &[], BAR).starts_with("there are no fresh rows"));
        assert!(refused(&[1.0], &[f64::NAN], BAR).starts_with("row 0: the score of \"the candidate\" is NaN"));
        assert!(refused(&[0.5], &[1.0], BAR).contains("Scale::Graded"));
        assert!(refused(&[1.0], &[1.0], Bar { least_gain: -0.1, ..BAR }).starts_with("the wanted least gain is -0.1"));
        assert!(refused(&[1.0], &[1.0], Bar { confidence: 1.0, ..BAR }).starts_with("confidence is 1;"));
    }

    #[test]
    fn attempts_share_the_risk() {
        let spent: f64 = (1..10_000).map(|k| 1.0 - confidence_of_attempt(0.95, k)).sum();
        assert!((0.0499..0.05).contains(&spent), "{spent}");
        assert_eq!(confidence_of_attempt(0.95, 0), confidence_of_attempt(0.95, 1));
    }
}

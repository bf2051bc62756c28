//! Calibration: of answers predicted good with 70 %, are 70 % good? Over all pairs of a row and a model, in bins of equal
//! numbers of pairs. Corrects nothing.

use serde::Serialize;
use std::collections::HashMap;

/// How many bins a prediction's range is cut into.
pub const BINS: usize = 15;

/// Pairs that were predicted alike, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// The mean prediction.
    pub predicted: f64,
    /// The mean score.
    pub observed: f64,
    /// How many pairs.
    pub pairs: f64,
}

/// Predictions in rising order, with what was observed and whose row it is. Equal predictions stay in the order of rows.
#[derive(Debug, Clone)]
pub(crate) struct Reliability(Vec<Pair>);

#[derive(Debug, Clone, Copy)]
struct Pair {
    predicted: f64,
    observed: f64,
    row: usize,
}

impl Reliability {
    /// Takes `(predicted, observed)` of each pair, row by row, `width` pairs a row.
    pub(crate) fn new(pairs: impl Iterator<Item = (f64, f64)>, width: usize) -> Self {
        let pair = |(ix, (predicted, observed))| Pair { predicted, observed, row: ix / width };
        let mut sorted: Vec<Pair> = pairs.enumerate().map(pair).collect();
        sorted.sort_by(|a, b| a.predicted.partial_cmp(&b.predicted).unwrap_or(std::cmp::Ordering::Equal));
        Self(sorted)
    }

    /// The same of these rows only.
    pub(crate) fn of(&self, rows: &[usize]) -> Self {
        let place: HashMap<usize, usize> = rows.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        Self(self.0.iter().filter_map(|p| Some(Pair { row: *place.get(&p.row)?, ..*p })).collect())
    }

    /// The bins when each row counts as often as `weights` (whole numbers) says. With fewer pairs than bins some stay empty
    /// and are left out.
    pub(crate) fn bins(&self, weights: &[f64]) -> Vec<Bin> {
        let all: f64 = self.0.iter().map(|p| weights[p.row]).sum();
        let (size, larger) = ((all / BINS as f64).floor(), all % BINS as f64);
        // The first bins take one pair more, until the remainder is used up.
        let capacity = |bin: usize| if (bin as f64) < larger { size + 1.0 } else { size };
        let mut bins = Vec::with_capacity(BINS);
        let mut bin = Bin { predicted: 0.0, observed: 0.0, pairs: 0.0 };
        for pair in &self.0 {
            let mut left = weights[pair.row];
            while left > 0.0 {
                let taken = left.min(capacity(bins.len()) - bin.pairs);
                bin.pairs += taken;
                bin.predicted += taken * pair.predicted;
                bin.observed += taken * pair.observed;
                left -= taken;
                if bin.pairs >= capacity(bins.len()) {
                    bins.push(std::mem::replace(&mut bin, Bin { predicted: 0.0, observed: 0.0, pairs: 0.0 }));
                }
            }
        }
        for bin in &mut bins {
            bin.predicted /= bin.pairs;
            bin.observed /= bin.pairs;
        }
        bins
    }

    /// How many pairs were predicted in each of so many equal parts of 0 to 1.
    pub(crate) fn counts(&self, parts: usize) -> Vec<usize> {
        let mut counts = vec![0; parts];
        for pair in &self.0 {
            let part = (pair.predicted * parts as f64).floor().clamp(0.0, (parts - 1) as f64);
            counts[part as usize] += 1;
        }
        counts
    }

    /// The expected calibration error: how far off a bin's mean prediction is from what was observed, in the mean over
    /// pairs. 0 is perfect.
    pub(crate) fn error(&self, weights: &[f64]) -> f64 {
        let bins = self.bins(weights);
        let off: f64 = bins.iter().map(|b| (b.predicted - b.observed).abs() * b.pairs).sum();
        off / bins.iter().map(|b| b.pairs).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_equal_numbers_and_the_first_ones_the_rest() {
        let pairs = Reliability::new((0..32).map(|i| (f64::from(31 - i), 0.0)), 1);
        let bins = pairs.bins(&[1.0; 32]);
        let sizes: Vec<f64> = bins.iter().map(|b| b.pairs).collect();
        assert_eq!(sizes, [[3.0; 2].as_slice(), &[2.0; 13]].concat());
        assert_eq!((bins[0].predicted, bins[14].predicted), (1.0, 30.5));
    }

    #[test]
    fn a_row_drawn_twice_is_two_rows() {
        let values = [(0.1, 0.0), (0.4, 1.0), (0.35, 0.5), (0.8, 1.0)];
        let twice = Reliability::new(values.iter().flat_map(|v| [*v, *v]), 1).error(&[1.0; 8]);
        let weighted = Reliability::new(values.into_iter(), 1).error(&[2.0; 4]);
        assert!((twice - weighted).abs() < 1e-15);
        assert!((Reliability::new(values.into_iter(), 2).bins(&[1.0, 0.0]).len()) == 2);
    }

    #[test]
    fn what_comes_true_has_no_error() {
        let same = Reliability::new((0..100).map(|i| (f64::from(i) / 100.0, f64::from(i) / 100.0)), 4);
        assert!(same.error(&[1.0; 25]) < 1e-15);
    }
}

//! How sure a figure is: it is computed again over rows drawn anew, with replacement (Efron's bootstrap). An interval says
//! what another sample of the same queries would give; it says nothing of other queries, nor of another training.

use crate::rng::Rng;
use std::thread;

/// So many resamples are summed side by side, one a lane of the processor's vectors.
pub(crate) const LANES: usize = 8;

/// How often each row was drawn, in [`LANES`] resamples.
#[derive(Debug, Clone)]
pub(crate) struct Block(Vec<[f64; LANES]>);

impl Block {
    /// Each row once: the sample itself, in every lane.
    pub(crate) fn ones(rows: usize) -> Self {
        Self(vec![[1.0; LANES]; rows])
    }

    /// A block of resamples. Each draws from a generator of its own, so it is the same whoever computes it.
    fn draw(rows: usize, rng: &Rng, block: usize) -> Self {
        let mut drawn = vec![[0.0; LANES]; rows];
        let mut lanes: [Rng; LANES] = std::array::from_fn(|lane| rng.fork((block * LANES + lane) as u64));
        for _ in 0..rows {
            for (lane, rng) in lanes.iter_mut().enumerate() {
                drawn[rng.below(rows)][lane] += 1.0;
            }
        }
        Self(drawn)
    }

    /// How often each row was drawn in one resample.
    pub(crate) fn lane(&self, lane: usize) -> Vec<f64> {
        self.0.iter().map(|weights| weights[lane]).collect()
    }

    /// The weighted means of two numbers a row, in each resample. Rows are added in their order, so equal numbers give equal
    /// sums.
    pub(crate) fn means(&self, values: impl Iterator<Item = (f64, f64)>) -> [(f64, f64); LANES] {
        let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
        for (weights, (a, b)) in self.0.iter().zip(values) {
            for lane in 0..LANES {
                first[lane] += weights[lane] * a;
                second[lane] += weights[lane] * b;
            }
        }
        // A resample has as many rows as the sample.
        let n = self.0.len() as f64;
        std::array::from_fn(|lane| (first[lane] / n, second[lane] / n))
    }
}

/// How many resamples, and from which seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resampling {
    pub(crate) resamples: usize,
    pub(crate) rng_seed: u64,
    pub(crate) threads: usize,
}

/// Computes `figures` over resamples of `rows` rows. The result does not depend on the number of threads.
pub(crate) fn resample<T: Send>(rows: usize, how: Resampling, figures: impl Fn(&Block) -> [T; LANES] + Sync) -> Vec<T> {
    let rng = Rng::new(how.rng_seed);
    let blocks = how.resamples.div_ceil(LANES);
    let threads = how.threads.clamp(1, blocks.max(1));
    let share = |thread: usize| {
        let range = blocks * thread / threads..blocks * (thread + 1) / threads;
        range.flat_map(|block| figures(&Block::draw(rows, &rng, block))).collect::<Vec<T>>()
    };
    let mut all: Vec<T> = if threads == 1 {
        share(0)
    } else {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|t| scope.spawn(move || share(t))).collect();
            workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
        })
    };
    all.truncate(how.resamples);
    all
}

/// The middle 95 % of a figure's resamples. `None` where half of them or more have no such figure: then the rest says
/// nothing of it.
pub(crate) fn interval(resamples: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let mut all = 0;
    let mut finite: Vec<f64> = resamples.inspect(|_| all += 1).filter(|x| x.is_finite()).collect();
    if finite.len() * 2 <= all {
        return None;
    }
    finite.sort_by(f64::total_cmp);
    Some([percentile(&finite, 0.025), percentile(&finite, 0.975)])
}

/// The number below which this share of sorted numbers lies, on the straight line between its neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resamples_are_the_same_on_any_number_of_threads_and_draw_each_row_once_in_the_mean() {
        let draw = |threads| {
            let how = Resampling { resamples: 45, rng_seed: 3, threads };
            resample(50, how, |block| std::array::from_fn(|lane| block.lane(lane)))
        };
        let one = draw(1);
        assert_eq!(one.len(), 45);
        assert!(one.iter().all(|weights| weights.iter().sum::<f64>() == 50.0));
        assert!((1..45).all(|n| !one[..n].contains(&one[n])), "a resample is drawn twice");
        assert_eq!(one, draw(2));
        assert_eq!(one, draw(7));
        let often: f64 = one.iter().map(|w| w[17]).sum();
        assert!((30.0..60.0).contains(&often), "{often}");
    }

    #[test]
    fn an_interval_needs_more_than_half_of_the_resamples() {
        let some = |finite: usize| (0..100).map(move |i| if i < finite { i as f64 } else { f64::NAN });
        assert_eq!(interval(some(50)), None);
        assert_eq!(interval(some(51)), Some([1.25, 48.75]));
        assert_eq!(interval(std::iter::empty()), None);
        assert_eq!(interval([7.0].into_iter()), Some([7.0, 7.0]));
    }
}

//! Finding a threshold where no promise is wanted: for a share of calls to the strong model, a quality or a cost. What is
//! found is the best *on these rows*; it comes without a confidence, and a threshold that was picked as the best of many
//! does worse on others. Where that matters, [`certify`](super::certify()).

use super::Error;
use super::certify::{Point, check_point, mean, model_number, outcome};
use crate::outcome::Matrix;
use serde::{Deserialize, Serialize};

/// What a threshold is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So large a share of rows at the strong model, as nearly as the points allow; of two as near the cheaper.
    StrongShare(f64),
    /// At least this mean score, at the lowest cost.
    Quality(f64),
    /// At most this mean cost of a row in US dollars, at the best score.
    CostUsd(f64),
}

/// A point and what it has on the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The point's place among those given.
    pub index: usize,
    /// Its setting.
    pub setting: f64,
    /// The share of rows that go to the strong model.
    pub strong_share: f64,
    /// Mean score.
    pub quality: f64,
    /// Mean cost of a row in US dollars.
    pub cost_usd: f64,
}

/// The operating point that reaches the goal on these rows; points may come in any order.
///
/// # Errors
/// A goal out of range, rows or points that cannot be ([`Error`]'s input variants), or [`Error::OutOfReach`] with the point
/// that comes nearest.
pub fn fit(matrix: &Matrix, strong: &str, points: &[Point<'_>], goal: Goal) -> Result<Fit, Error> {
    goal.check()?;
    let strong = model_number(matrix, strong)?;
    if points.is_empty() {
        return Err(Error::NoPoints);
    }
    let fits =
        points.iter().enumerate().map(|(ix, p)| measure(matrix, strong, ix, p)).collect::<Result<Vec<_>, _>>()?;
    // Each goal is an order: the least key is the best, with infinity for what does not reach it.
    let key = |f: &Fit| match goal {
        Goal::StrongShare(wanted) => ((f.strong_share - wanted).abs(), f.cost_usd),
        Goal::Quality(wanted) if f.quality < wanted => (f64::INFINITY, -f.quality),
        Goal::Quality(_) => (f.cost_usd, -f.quality),
        Goal::CostUsd(wanted) if f.cost_usd > wanted => (f64::INFINITY, f.cost_usd),
        Goal::CostUsd(_) => (-f.quality, f.cost_usd),
    };
    let order = |a: &&Fit, b: &&Fit| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    let best = fits.iter().min_by(order).ok_or(Error::NoPoints)?;
    if key(best).0 == f64::INFINITY {
        let (what, wanted, nearest) = match goal {
            Goal::CostUsd(wanted) => ("mean cost (US dollars)", wanted, best.cost_usd),
            Goal::Quality(wanted) | Goal::StrongShare(wanted) => ("mean score", wanted, best.quality),
        };
        return Err(Error::OutOfReach { what, wanted, setting: best.setting, nearest });
    }
    Ok(*best)
}

/// The threshold at or above which so large a share of scores lies: for traffic without outcomes, where a score (the
/// predicted gain of the strong model, say) sends a request to the strong model when it is *at least* the threshold. Ties
/// at the threshold go along: never fewer than wanted. A share of 0 gives infinity: nothing goes.
///
/// # Errors
/// A share outside 0..=1, no scores, or one that is NaN.
pub fn threshold_for_share(scores: &[f64], share: f64) -> Result<f64, Error> {
    Goal::StrongShare(share).check()?;
    if scores.is_empty() {
        return Err(Error::NoRows);
    }
    if let Some(row) = scores.iter().position(|s| s.is_nan()) {
        return Err(Error::Score { row, model: "the strong model".to_owned(), score: f64::NAN });
    }
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let wanted = (share * sorted.len() as f64).round() as usize;
    Ok(if wanted == 0 { f64::INFINITY } else { sorted[wanted - 1] })
}

impl Goal {
    fn check(self) -> Result<(), Error> {
        let (what, value, most, range) = match self {
            Self::StrongShare(value) => ("share of strong calls", value, 1.0, "a share from 0 to 1"),
            Self::Quality(value) => ("quality", value, 1.0, "a mean score from 0 to 1"),
            Self::CostUsd(value) => ("cost", value, f64::MAX, "US dollars for a request, 0 or more"),
        };
        if (0.0..=most).contains(&value) { Ok(()) } else { Err(Error::Goal { what, value, range }) }
    }
}

fn measure(matrix: &Matrix, strong: usize, index: usize, point: &Point<'_>) -> Result<Fit, Error> {
    check_point(matrix, index, point)?;
    let graded = point.picks.iter().enumerate().map(|(row, pick)| outcome(matrix, row, *pick));
    let (scores, costs): (Vec<f64>, Vec<f64>) = graded.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let strong = point.picks.iter().filter(|p| **p == strong).count();
    Ok(Fit {
        index,
        setting: point.setting,
        strong_share: strong as f64 / matrix.len() as f64,
        quality: mean(&scores),
        cost_usd: mean(&costs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goal_finds_its_point_or_says_the_nearest() {
        // Ten rows; at a share s the strong model (score 1, cost 10) answers the first rows, the weak (0.5, 1) the others.
        let matrix = Matrix {
            models: vec!["strong".into(), "weak".into()],
            score: vec![vec![1.0, 0.5]; 10],
            cost: vec![vec![10.0, 1.0]; 10],
        };
        let shares = [0usize, 2, 5, 8];
        let picks = shares.map(|s| (0..10).map(|r| usize::from(r >= s)).collect::<Vec<_>>());
        let points: Vec<_> = shares.iter().zip(&picks).map(|(s, p)| Point { setting: *s as f64, picks: p }).collect();
        let setting = |goal| fit(&matrix, "strong", &points, goal).map(|f| f.setting).map_err(|e| e.to_string());
        assert_eq!(setting(Goal::StrongShare(0.6)), Ok(5.0));
        assert_eq!(setting(Goal::StrongShare(1.0)), Ok(8.0));
        assert_eq!(setting(Goal::Quality(0.6)), Ok(2.0));
        assert_eq!(setting(Goal::Quality(0.61)), Ok(5.0));
        assert_eq!(setting(Goal::CostUsd(5.5)), Ok(5.0));
        assert_eq!(setting(Goal::CostUsd(1.0)), Ok(0.0));
        let nearest = "no operating point reaches a mean score of 0.95; the nearest, at 8, has 0.900000";
        assert_eq!(setting(Goal::Quality(0.95)), Err(nearest.to_owned()));
        assert!(setting(Goal::CostUsd(0.5)).expect_err("too little").contains("the nearest, at 0, has 1.000000"));
        for (goal, said) in [
            (Goal::StrongShare(1.5), "the wanted share of strong calls is 1.5; it must be a share from 0 to 1"),
            (Goal::Quality(f64::NAN), "the wanted quality is NaN"),
            (Goal::CostUsd(-1.0), "the wanted cost is -1"),
        ] {
            assert!(setting(goal).expect_err("out of range").starts_with(said));
        }
        assert!(matches!(fit(&matrix, "x", &points, Goal::Quality(0.5)), Err(Error::UnknownModel { .. })));
        assert_eq!(fit(&matrix, "weak", &[], Goal::Quality(0.5)), Err(Error::NoPoints));
    }

    #[test]
    fn a_threshold_sends_the_wanted_share() {
        let scores = [0.1, 0.9, 0.5, 0.5, 0.3];
        for (share, threshold) in [(0.2, 0.9), (0.4, 0.5), (0.6, 0.5), (0.8, 0.3), (1.0, 0.1), (0.0, f64::INFINITY)] {
            assert_eq!(threshold_for_share(&scores, share), Ok(threshold));
        }
        assert_eq!(threshold_for_share(&[], 0.5), Err(Error::NoRows));
        assert!(threshold_for_share(&[f64::NAN], 0.5).is_err() && threshold_for_share(&scores, -0.1).is_err());
    }
}

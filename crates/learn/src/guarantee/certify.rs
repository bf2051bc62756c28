//! The promise, checked before routing begins: of operating points in order of boldness, the cheapest whose mean quality
//! loss against the reference is at most so much, with confidence. Learn-then-Test (Angelopoulos, Bates, Candès, Jordan
//! and Lei, 2021) in fixed sequence: each point is tested at the whole risk, from careful to bold, and the first that fails
//! ends it, so however many points there are, the chance that any one is passed wrongly stays within the risk.

use super::mean::{Sample, Scale};
use super::statement::{Certificate, Interval, Shortfall, Statement, Step};
use super::{Error, risk, score};
use crate::outcome::Matrix;

/// Rows that were neither trained nor tuned on, and the model that routing is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Scores and costs by row and model. Gaps (NaN) are allowed where no point needs them. What is no single model, a
    /// cascade for one, comes in as a column of its own.
    pub matrix: &'a Matrix,
    /// The model that would answer everything if there were no router.
    pub reference: &'a str,
}

/// A setting of the router and what it would choose there.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// The threshold, or whatever the router is set by: given back, not interpreted.
    pub setting: f64,
    /// For each row the chosen model's number in the matrix. Where it is the reference, the loss is 0.
    pub picks: &'a [usize],
}

/// What is to be promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// The largest mean quality loss, in score: from 0 to below 1.
    pub max_quality_loss: f64,
    /// The probability that the promise is right, over draws of the fresh rows: from 0.5 to below 1.
    pub confidence: f64,
    /// What the grader can give; known before the fresh rows are looked at, for instance [`Scale::of`] the training rows.
    pub scale: Scale,
}

/// Picks the cheapest operating point whose mean quality loss is at most `promise.max_quality_loss`, with
/// `promise.confidence`. Points come in order, the careful first, and the order must not have been made from these rows
/// (that of a threshold has not). Always the reference is the point before the first: it needs no test, and it is what is
/// left where no point passes or none is cheaper.
///
/// The promise is about fresh rows drawn like the traffic. For rows that differ in kind along the file (independent, but
/// not alike) the exact test is about their average; the betting test then is simulated, not proven.
///
/// # Errors
/// Any of [`Error`]'s input variants; a point's gaps and scores are looked at before anything is tested.
pub fn certify(fresh: &Fresh<'_>, points: &[Point<'_>], promise: &Promise) -> Result<Certificate, Error> {
    let risk = risk(promise.confidence)?;
    let limit = promise.max_quality_loss;
    if !(0.0..1.0).contains(&limit) {
        return Err(Error::QualityLoss(limit));
    }
    if points.is_empty() {
        return Err(Error::NoPoints);
    }
    let (base, arms) = (Arm::reference(fresh, promise.scale)?, Arm::all(fresh, points, promise.scale)?);
    let Sequence { best, steps, failed } = Sequence::run(&base, &arms, promise, risk);
    let shortfall = failed.zip(steps.last()).map(|(sample, step)| Shortfall {
        setting: step.setting,
        observed_loss: step.observed_loss,
        rows_needed: rows_needed(&sample, step.observed_loss, limit, risk),
    });
    Ok(Certificate {
        statement: best.statement(&base, fresh.reference, promise, risk),
        steps,
        shortfall,
        least_rows: least_rows(promise.scale, limit, risk),
    })
}

/// The tests in their order, up to the first that failed.
pub(super) struct Sequence<'a> {
    pub(super) best: &'a Arm,
    steps: Vec<Step>,
    failed: Option<Sample>,
}

impl<'a> Sequence<'a> {
    pub(super) fn run(base: &'a Arm, arms: &'a [Arm], promise: &Promise, risk: f64) -> Self {
        let mut sequence = Self { best: base, steps: Vec::new(), failed: None };
        for arm in arms {
            let sample = Sample::new(&arm.losses, promise.scale);
            let passed = sample.is_below(promise.max_quality_loss, risk);
            sequence.steps.push(arm.step(passed));
            if !passed {
                sequence.failed = Some(sample);
                break;
            }
            if mean(&arm.costs) < mean(&sequence.best.costs) {
                sequence.best = arm;
            }
        }
        sequence
    }
}

/// A point's losses and costs, checked.
pub(super) struct Arm {
    /// None for the reference.
    pub(super) setting: Option<f64>,
    differing: usize,
    losses: Vec<f64>,
    costs: Vec<f64>,
    /// Scores of what was picked.
    scores: Vec<f64>,
}

impl Arm {
    pub(super) fn all(fresh: &Fresh<'_>, points: &[Point<'_>], scale: Scale) -> Result<Vec<Self>, Error> {
        points.iter().enumerate().map(|(ix, p)| Self::new(fresh, ix, p, scale)).collect()
    }

    pub(super) fn reference(fresh: &Fresh<'_>, scale: Scale) -> Result<Self, Error> {
        let reference = model_number(fresh.matrix, fresh.reference)?;
        let picks = vec![reference; fresh.matrix.len()];
        let arm = Self::new(fresh, 0, &Point { setting: 0.0, picks: &picks }, scale)?;
        Ok(Self { setting: None, ..arm })
    }

    fn new(fresh: &Fresh<'_>, index: usize, point: &Point<'_>, scale: Scale) -> Result<Self, Error> {
        let matrix = fresh.matrix;
        let reference = model_number(matrix, fresh.reference)?;
        check_point(matrix, index, point)?;
        let mut arm = Self {
            setting: Some(point.setting),
            differing: 0,
            losses: Vec::with_capacity(matrix.len()),
            costs: Vec::with_capacity(matrix.len()),
            scores: Vec::with_capacity(matrix.len()),
        };
        for (row, &pick) in point.picks.iter().enumerate() {
            let graded = |model: usize| {
                let graded = outcome(matrix, row, model)?;
                if scale == Scale::Binary && graded.0 != 0.0 && graded.0 != 1.0 {
                    return Err(Error::NotBinary { row, model: matrix.models[model].clone(), score: graded.0 });
                }
                Ok(graded)
            };
            let ((wanted, _), (given, cost)) = (graded(reference)?, graded(pick)?);
            arm.differing += usize::from(pick != reference);
            arm.losses.push(wanted - given);
            arm.costs.push(cost);
            arm.scores.push(given);
        }
        Ok(arm)
    }

    fn step(&self, passed: bool) -> Step {
        Step {
            setting: self.setting.unwrap_or_default(),
            differing: self.differing,
            observed_loss: mean(&self.losses),
            cost: mean(&self.costs),
            passed,
        }
    }

    fn statement(&self, base: &Self, reference: &str, promise: &Promise, risk: f64) -> Statement {
        let loss_at_most = match self.setting {
            Some(_) => Sample::new(&self.losses, promise.scale).upper_bound(risk),
            None => 0.0,
        };
        let negated: Vec<f64> = base.scores.iter().map(|s| -s).collect();
        let score_at_least = (-Sample::new(&negated, promise.scale).upper_bound(risk)).clamp(0.0, 1.0);
        Statement {
            reference: reference.to_owned(),
            max_quality_loss: promise.max_quality_loss,
            confidence: promise.confidence,
            rows: self.losses.len(),
            differing: self.differing,
            setting: self.setting,
            observed_loss: mean(&self.losses),
            loss_at_most,
            reference_score: Interval { value: mean(&base.scores), low: score_at_least, high: 1.0 },
            saving: saving(&self.costs, &base.costs, promise.confidence),
            method: promise.scale.method(),
        }
    }
}

pub(super) fn model_number(matrix: &Matrix, model: &str) -> Result<usize, Error> {
    if matrix.is_empty() {
        return Err(Error::NoRows);
    }
    let found = matrix.models.iter().position(|m| m == model);
    found.ok_or_else(|| Error::UnknownModel { model: model.to_owned(), known: matrix.models.join(", ") })
}

/// That a point's setting is a number and its picks are models, one for each row.
pub(super) fn check_point(matrix: &Matrix, index: usize, point: &Point<'_>) -> Result<(), Error> {
    let setting = point.setting;
    if !setting.is_finite() {
        return Err(Error::Setting { index, setting });
    }
    if point.picks.len() != matrix.len() {
        return Err(Error::Picks { setting, picks: point.picks.len(), rows: matrix.len() });
    }
    match point.picks.iter().enumerate().find(|(_, pick)| **pick >= matrix.models.len()) {
        Some((row, &pick)) => Err(Error::Pick { setting, row, pick, models: matrix.models.len() }),
        None => Ok(()),
    }
}

/// A row's score and cost of a model.
pub(super) fn outcome(matrix: &Matrix, row: usize, model: usize) -> Result<(f64, f64), Error> {
    let (given, cost, name) = (matrix.score[row][model], matrix.cost[row][model], &matrix.models[model]);
    if given.is_nan() {
        return Err(Error::Missing { row, model: name.clone() });
    }
    if !(cost.is_finite() && cost >= 0.0) {
        return Err(Error::Cost { row, model: name.clone(), cost });
    }
    Ok((score(row, name, given)?, cost))
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The share saved, `1 - Σ routed / Σ reference`, with the standard error of a ratio of means.
fn saving(routed: &[f64], reference: &[f64], confidence: f64) -> Interval {
    let (n, base) = (routed.len() as f64, mean(reference));
    if base <= 0.0 {
        return Interval { value: 0.0, low: 0.0, high: 0.0 };
    }
    let ratio = mean(routed) / base;
    let squares: f64 = routed.iter().zip(reference).map(|(c, r)| (c - ratio * r).powi(2)).sum();
    let error = (squares / n / (n - 1.0).max(1.0)).sqrt() / base;
    let reach = two_sided(confidence) * error;
    Interval { value: 1.0 - ratio, low: 1.0 - ratio - reach, high: (1.0 - ratio + reach).min(1.0) }
}

/// The number of standard errors on either side that a normal variable stays within with this probability.
fn two_sided(confidence: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if libm::erfc(middle / std::f64::consts::SQRT_2) > 1.0 - confidence {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The fewest rows without any loss that show a loss below `limit`; none where a million do not.
fn least_rows(scale: Scale, limit: f64, risk: f64) -> Option<usize> {
    const MOST: usize = 1_000_000;
    let passes = |rows: usize| Sample::zeros(rows, scale).is_below(limit, risk);
    // Even a test that knew there is no loss needs (1 - limit)^rows <= risk.
    let floor = (risk.ln() / (-limit).ln_1p()).ceil();
    if limit <= 0.0 || floor > MOST as f64 {
        return None;
    }
    let (mut few, mut enough) = (0, floor as usize);
    while !passes(enough) {
        (few, enough) = (enough, enough * 2);
        if enough > MOST {
            return None;
        }
    }
    while enough - few > 1 {
        let middle = usize::midpoint(few, enough);
        if passes(middle) {
            enough = middle;
        } else {
            few = middle;
        }
    }
    Some(enough)
}

/// About how many rows like those of the sample would pass, to a tenth.
fn rows_needed(sample: &Sample, observed: f64, limit: f64, risk: f64) -> Option<usize> {
    if observed >= limit {
        return None;
    }
    let times = std::iter::successors(Some(1.1), |t| Some(t * 1.1)).take_while(|t| *t < 100.0);
    // A forecast of more than a million rows helps nobody, and would take long.
    let mut times = times.filter(|t| t * (sample.len() as f64) < 1e6);
    let enough = times.find(|t| sample.scaled(*t).is_below(limit, risk))?;
    Some((sample.len() as f64 * enough).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const PROMISE: Promise = Promise { max_quality_loss: 0.05, confidence: 0.95, scale: Scale::Binary };

    /// Two models, the strong one right on all rows and ten times as dear, the cheap one wrong on every `wrong`-th.
    fn matrix(rows: usize, wrong: usize) -> Matrix {
        Matrix {
            models: vec!["strong".into(), "cheap".into()],
            score: (0..rows).map(|r| vec![1.0, f64::from(u8::from(r % wrong != 0))]).collect(),
            cost: vec![vec![0.01, 0.001]; rows],
        }
    }

    /// Picks the cheap model on the first `share` of rows.
    fn picks(rows: usize, share: f64) -> Vec<usize> {
        (0..rows).map(|r| usize::from((r as f64) < rows as f64 * share)).collect()
    }

    fn run(matrix: &Matrix, shares: &[f64], promise: &Promise) -> Result<Certificate, Error> {
        let picks: Vec<_> = shares.iter().map(|s| picks(matrix.len(), *s)).collect();
        let points: Vec<_> = shares.iter().zip(&picks).map(|(s, p)| Point { setting: *s, picks: p }).collect();
        certify(&Fresh { matrix, reference: "strong" }, &points, promise)
    }

    #[test]
    fn the_boldest_point_that_keeps_the_promise_is_chosen_and_told() {
        for scale in [Scale::Binary, Scale::Graded] {
            // At a share s the loss is s / 10.
            let done =
                run(&matrix(2_000, 10), &[0.1, 0.2, 0.3, 0.6, 1.0], &Promise { scale, ..PROMISE }).expect("good");
            let statement = &done.statement;
            assert_eq!(statement.setting, Some(0.3), "{done:?}");
            assert!((statement.observed_loss - 0.03).abs() < 1e-9 && statement.loss_at_most <= 0.05);
            assert!((statement.saving.value - 0.27).abs() < 1e-9 && statement.saving.low > 0.24, "{statement:?}");
            assert!((0.99..1.0).contains(&statement.reference_score.low), "{statement:?}");
            assert_eq!(done.steps.iter().map(|s| s.passed).collect::<Vec<_>>(), [true, true, true, false]);
            let short = done.shortfall.expect("0.6 loses 0.06");
            assert_eq!((short.setting, short.rows_needed), (0.6, None));
            let said = done.to_string();
            assert!(
                said.starts_with("With 95% confidence, routing at 0.3 scores on average at most 0.05 below strong")
            );
            assert!(said.contains("600 went to another model") && said.contains("saves 27.0%"), "{said}");
            let json = serde_json::to_string(&done).expect("plain data");
            assert_eq!(serde_json::from_str::<Certificate>(&json).expect("as written").to_string(), said);
        }
    }

    #[test]
    fn too_few_rows_leave_the_reference_and_say_how_many_are_needed() {
        for scale in [Scale::Binary, Scale::Graded] {
            let promise = Promise { scale, ..PROMISE };
            let done = run(&matrix(30, 100), &[0.5, 1.0], &promise).expect("good");
            let statement = &done.statement;
            assert_eq!((statement.setting, statement.observed_loss, statement.loss_at_most), (None, 0.0, 0.0));
            assert_eq!(statement.saving.value, 0.0);
            let needed = done.shortfall.expect("too few").rows_needed.expect("rows help");
            // One loss in 30 was seen. The least number is with none at all: ln 0.05 / ln 0.95 is 59.
            let least = done.least_rows.expect("not many");
            assert!(needed > 150 && (59..110).contains(&least), "{scale:?} {done:?}");
            let said = done.to_string();
            assert!(said.starts_with("Every request goes to strong: on 30 fresh rows"), "{said}");
            assert!(said.contains(&format!("never fewer than {least}")), "{said}");
            assert!(Sample::zeros(least, scale).is_below(0.05, 0.05));
            assert!(!Sample::zeros(least - 1, scale).is_below(0.05, 0.05));
        }
    }

    #[test]
    fn whatever_the_rows_the_figures_are_numbers_that_agree() {
        let mut rng = Rng::new(11);
        for _ in 0..200 {
            let scale = if rng.unit() < 0.5 { Scale::Binary } else { Scale::Graded };
            let rows = 1 + rng.below(200);
            let grade = |rng: &mut Rng| if scale == Scale::Binary { (rng.unit() + 0.4).floor() } else { rng.unit() };
            let matrix = Matrix {
                models: vec!["strong".into(), "cheap".into()],
                score: (0..rows).map(|_| vec![grade(&mut rng), grade(&mut rng)]).collect(),
                cost: (0..rows).map(|_| vec![(rng.unit() * 3.0).floor(), (rng.unit() * 1.5).floor()]).collect(),
            };
            let promise = Promise { max_quality_loss: rng.unit() * 0.999, confidence: 0.5 + rng.unit() * 0.499, scale };
            let done = run(&matrix, &[0.1, 0.5, 1.0], &promise).expect("good");
            let told = &done.statement;
            let figures =
                [told.observed_loss, told.loss_at_most, told.saving.low, told.saving.high, told.reference_score.low];
            assert!(figures.iter().all(|f| f.is_finite()), "{done:?}");
            assert!(told.loss_at_most <= promise.max_quality_loss + 1e-5, "{done:?}");
            assert!(told.observed_loss <= told.loss_at_most && told.saving.value >= 0.0, "{done:?}");
            assert!(told.reference_score.low <= told.reference_score.value, "{done:?}");
        }
    }

    #[test]
    fn intervals_reach_as_far_as_the_normal_table_says() {
        for (confidence, errors) in [(0.5, 0.674_490), (0.9, 1.644_854), (0.95, 1.959_964), (0.999, 3.290_527)] {
            assert!((two_sided(confidence) - errors).abs() < 1e-6, "{confidence}");
        }
    }

    #[test]
    fn the_first_failure_ends_the_sequence_even_if_later_points_would_pass() {
        let done = run(&matrix(2_000, 10), &[1.0, 0.1], &PROMISE).expect("good");
        assert_eq!((done.statement.setting, done.steps.len()), (None, 1));
    }

    #[test]
    fn a_point_that_is_not_cheaper_is_not_chosen() {
        let mut dear = matrix(500, 1_000);
        dear.cost = vec![vec![0.01, 0.02]; 500];
        let done = run(&dear, &[0.5, 1.0], &PROMISE).expect("good");
        assert!(done.statement.setting.is_none() && done.steps[1].passed && done.shortfall.is_none());
    }

    #[test]
    fn bad_input_is_refused_with_its_place() {
        let good = matrix(20, 10);
        let with = |change: &dyn Fn(&mut Matrix)| {
            let mut bad = good.clone();
            change(&mut bad);
            run(&bad, &[0.5], &PROMISE).expect_err("bad").to_string()
        };
        let cases = [
            (with(&|m| m.score[3][1] = f64::NAN), "row 3 has no score of \"cheap\""),
            (with(&|m| m.score[19][0] = f64::NAN), "row 19 has no score of \"strong\""),
            (with(&|m| m.score[3][1] = 1.5), "row 3: the score of \"cheap\" is 1.5; a score is a number from 0 to 1"),
            (with(&|m| m.score[3][1] = f64::INFINITY), "is inf; a score"),
            (with(&|m| m.score[3][1] = 0.5), "say Scale::Graded"),
            (with(&|m| m.cost[3][1] = -1.0), "the cost of \"cheap\" is -1"),
            (with(&|m| m.models[0] = "other".into()), "\"strong\" has no outcomes; these models have: other, cheap"),
            (with(&|m| *m = matrix(0, 10)), "no fresh rows"),
        ];
        for (said, wanted) in cases {
            assert!(said.contains(wanted), "{said}");
        }
        // A gap that no point needs is none.
        let mut gap = good.clone();
        gap.score[19][1] = f64::NAN;
        run(&gap, &[0.5], &PROMISE).expect("row 19 goes to the reference");

        let fresh = Fresh { matrix: &good, reference: "strong" };
        let refused = |points: &[Point<'_>], promise: Promise| certify(&fresh, points, &promise).expect_err("bad");
        let (ones, short, far) = (vec![1; 20], vec![1; 19], vec![2; 20]);
        let point = |picks| [Point { setting: 0.5, picks }];
        for loss in [f64::NAN, -0.1, 1.0] {
            let error = refused(&point(&ones), Promise { max_quality_loss: loss, ..PROMISE });
            assert!(error.to_string().starts_with(&format!("max_quality_loss is {loss};")));
        }
        for confidence in [f64::NAN, 0.0, 0.4, 1.0, 95.0] {
            let error = refused(&point(&ones), Promise { confidence, ..PROMISE });
            assert!(error.to_string().starts_with(&format!("confidence is {confidence};")));
        }
        assert_eq!(refused(&[], PROMISE), Error::NoPoints);
        assert_eq!(refused(&point(&short), PROMISE), Error::Picks { setting: 0.5, picks: 19, rows: 20 });
        assert_eq!(refused(&point(&far), PROMISE), Error::Pick { setting: 0.5, row: 0, pick: 2, models: 2 });
        let nan = [Point { setting: f64::NAN, picks: &ones }];
        assert!(refused(&nan, PROMISE).to_string().contains("operating point 0 has the setting NaN"));
    }
}

//! The report: all figures of an evaluation, as `waypost eval --json` prints them. A figure that does not apply is null.

use super::EvalError;
use super::Predictions;
use super::Settings;
use super::bootstrap::{Block, LANES, Resampling, interval, resample};
use super::calibration::Reliability;
use super::control::{best_model, cheapest_enough, panel};
use super::curve::{Choices, Hull, Point, lambdas};
use super::figures::{Figures, Scale, figures};
use super::metrics::{Metrics, Spread};
use super::operating::{OperatingPoints, Side, operating_points};
use super::panel::{ARMS, Arm, BEST_SINGLE, LENGTH, ORACLE, Outcome, Panel, RANDOM, ROUTER, STATIC};
use super::sample::{Forecast, Sample};
use super::two_model::Roles;
use crate::outcome::Row;
use crate::rng::Rng;
use indexmap::IndexMap;
use serde::Serialize;

/// An evaluation's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rows that were judged: those that every model answered.
    pub rows: usize,
    /// Rows that were left out, since a model has no outcome there.
    pub left_out: usize,
    /// The models, in the order of their names.
    pub models: Vec<String>,
    /// The seed of the resamples.
    pub seed: u64,
    /// How many resamples the intervals rest on.
    pub resamples: usize,
    /// The single model of the highest mean score, of equals the cheaper.
    pub best_single: String,
    /// The strong and the weak model of APGR and CPT, where they apply.
    pub pair: Option<[String; 2]>,
    /// The router's metrics; of several sets of predictions, the first one's.
    pub metrics: Metrics<Option<f64>>,
    /// The middle 95 % over resampled rows: `[low, high]`.
    pub intervals: Metrics<Option<[f64; 2]>>,
    /// Over several trainings: their mean and spread. `None` for one.
    pub spread: Option<Metrics<Option<Spread>>>,
    /// The control arms' metrics.
    pub controls: Controls<Metrics<Option<f64>>>,
    /// The control arms' intervals.
    pub control_intervals: Controls<Metrics<Option<[f64; 2]>>>,
    /// The setting at which tasks and models below are looked at.
    pub working_point: WorkingPoint,
    /// Settings that were chosen on other rows, where such were given.
    pub operating_points: Option<OperatingPoints>,
    /// Each task alone. Rows without one are under the empty name.
    pub per_task: IndexMap<String, TaskReport>,
    /// Each model alone.
    pub per_model: IndexMap<String, ModelReport>,
    /// The data of the figures.
    pub figures: Figures,
}

/// One `T` for each control arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Controls<T> {
    /// Every model with the same chance.
    pub random: T,
    /// The model of the highest mean quality, for all rows.
    pub best_single: T,
    /// Blind mixtures of single models.
    #[serde(rename = "static")]
    pub mixing: T,
    /// Mixtures in which long prompts go to the dearer model.
    pub length: T,
    /// Knows the outcomes.
    pub oracle: T,
}

/// A figure with its interval over resampled rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The lower end of its 95 % interval; `None` where too few resamples have the figure.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

impl Estimate {
    pub(crate) fn new(value: f64, interval: Option<[f64; 2]>) -> Self {
        Self { value, low: interval.map(|i| i[0]), high: interval.map(|i| i[1]) }
    }
}

/// A router's setting and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WorkingPoint {
    /// The exchange rate: with operating points their 100 %, else the cheapest that keeps the best single model's quality on
    /// the judged rows themselves, or comes closest.
    pub lambda: f64,
    /// Mean US dollars a row.
    pub cost: f64,
    /// Mean score.
    pub quality: f64,
}

/// One task's rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// How many.
    pub rows: usize,
    /// The router's metrics over them; its predictions and settings are those of all rows.
    pub metrics: Metrics<Option<f64>>,
    /// Their intervals.
    pub intervals: Metrics<Option<[f64; 2]>>,
    /// The router at its working point.
    pub router: Point,
    /// The model that is best over all rows, on this task.
    pub best_single: Point,
    /// The router's quality less that model's.
    pub gain_over_best: Estimate,
    /// The router's quality less that of mixing single models blindly at the same cost in this task.
    pub gain_over_static: Estimate,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// Its mean score.
    pub quality: Estimate,
    /// Its mean cost, in US dollars.
    pub cost: Estimate,
    /// The calibration error of its predictions.
    pub ece: Option<f64>,
    /// Its mean predicted quality less its mean score.
    pub bias: f64,
    /// The share of rows that the router sends to it at its working point.
    pub share: f64,
    /// The share of rows for which the oracle would take it where money is no object.
    pub oracle_share: f64,
}

/// Evaluates predictions for rows. Of several sets (trainings that differ by their seed) the first is the one reported, and
/// all make up [`Report::spread`]. `dev`, rows set aside with their predictions, gives operating points.
///
/// # Errors
/// Predictions that do not fit the rows, a number that is none, or no row that all models answered.
pub fn evaluate(
    rows: &[Row],
    sets: &[Predictions],
    dev: Option<(&[Row], &Predictions)>,
    settings: &Settings,
) -> Result<Report, EvalError> {
    let first = sets.first().ok_or(EvalError::NoPredictions)?;
    first.check(rows)?;
    let sample = Sample::new(rows, &first.models)?;
    let roles = roles(&sample, settings)?;
    let forecast = sample.forecast(rows, first)?;
    let choices = Choices::new(&forecast.quality, &forecast.cost);
    let router = Arm::router(&sample, &forecast, &choices, roles);
    let panel = panel(&sample, rows, router, roles);
    let outcome = panel.judge_sample();
    let side = Side { sample: &sample, forecast: &forecast, choices: &choices };
    let operating_points = dev.map(|(rows, predictions)| on_dev(rows, predictions, &side));
    let operating_points = operating_points.transpose().map_err(|e| EvalError::Dev(Box::new(e)))?;
    let working = working_point(&outcome, &choices, operating_points.as_ref());
    let how = Resampling { resamples: settings.resamples, rng_seed: settings.seed, threads: settings.threads };
    let scale = Scale::new(&outcome);
    let draws = resample(sample.len(), how, |block| panel.judge(block).map(|outcome| Draw::of(&outcome, &scale)));
    let intervals = |arm: usize| Metrics::each(|of| interval(draws.iter().map(|d| *of(&d.metrics[arm]))));
    let curves: Vec<&[f64]> = draws.iter().map(|d| d.curve.as_slice()).collect();
    Ok(Report {
        rows: sample.len(),
        left_out: sample.left_out,
        models: sample.models.clone(),
        seed: settings.seed,
        resamples: settings.resamples,
        best_single: sample.models[best_model(&sample)].clone(),
        pair: roles.map(|r| [r.strong, r.weak].map(|k| sample.models[k].clone())),
        metrics: outcome.metrics[ROUTER].known(),
        intervals: intervals(ROUTER),
        spread: spread(rows, sets, &panel, roles)?,
        controls: Controls::each(|arm| outcome.metrics[arm].known()),
        control_intervals: Controls::each(intervals),
        working_point: working.0,
        operating_points,
        per_task: per_task(rows, &panel, &choices, working.1, settings),
        per_model: per_model(&side, &panel, working.1, &outcome, &draws),
        figures: figures(&panel, &outcome, &scale, &curves),
    })
}

impl<T> Controls<T> {
    fn each(of: impl Fn(usize) -> T) -> Self {
        Self {
            random: of(RANDOM),
            best_single: of(BEST_SINGLE),
            mixing: of(STATIC),
            length: of(LENGTH),
            oracle: of(ORACLE),
        }
    }

    /// The arms with their names, in the order of the report.
    pub fn named(&self) -> [(&'static str, &T); 5] {
        [
            ("random", &self.random),
            ("best_single", &self.best_single),
            ("static", &self.mixing),
            ("length", &self.length),
            ("oracle", &self.oracle),
        ]
    }
}

/// What a resample leaves behind.
struct Draw {
    metrics: [Metrics<f64>; ARMS],
    singles: Vec<Point>,
    curve: Vec<f64>,
}

impl Draw {
    fn of(outcome: &Outcome, scale: &Scale) -> Self {
        let curve = outcome.hull(ROUTER).map_or_else(Vec::new, |hull| scale.read(&hull));
        Self { metrics: outcome.metrics, singles: outcome.singles.clone(), curve }
    }
}

fn roles(sample: &Sample, settings: &Settings) -> Result<Option<Roles>, EvalError> {
    let Some(pair) = &settings.pair else { return Ok(Roles::of(&sample.score)) };
    let place = |model: &String| {
        let unknown = || EvalError::UnknownModel { model: model.clone(), known: sample.models.join(", ") };
        sample.models.iter().position(|m| m == model).ok_or_else(unknown)
    };
    let roles = Roles { strong: place(&pair.strong)?, weak: place(&pair.weak)? };
    if roles.strong == roles.weak {
        return Err(EvalError::OneModelPair(pair.strong.clone()));
    }
    Ok(Some(roles))
}

fn on_dev(rows: &[Row], predictions: &Predictions, test: &Side<'_>) -> Result<OperatingPoints, EvalError> {
    let sample = Sample::new(rows, &test.sample.models)?;
    let forecast = sample.forecast(rows, predictions)?;
    let choices = Choices::new(&forecast.quality, &forecast.cost);
    let dev = Side { sample: &sample, forecast: &forecast, choices: &choices };
    // A threshold between two models stands for the whole choice only where there are no others.
    Ok(operating_points(&dev, test, Roles::of(&sample.score)))
}

/// The working point, and its column.
fn working_point(outcome: &Outcome, choices: &Choices, chosen: Option<&OperatingPoints>) -> (WorkingPoint, usize) {
    let points = &outcome.points[ROUTER];
    let all = lambdas();
    let rate = match chosen {
        Some(chosen) => all.iter().position(|&l| l == chosen.op100.lambda),
        None => {
            let column = cheapest_enough(points, outcome.frame.best.quality);
            choices.column_of.iter().position(|&c| c == column)
        }
    }
    .unwrap_or(0);
    let column = choices.column_of[rate];
    (WorkingPoint { lambda: all[rate], cost: points[column].cost, quality: points[column].quality }, column)
}

fn spread(
    rows: &[Row],
    sets: &[Predictions],
    panel: &Panel<'_>,
    roles: Option<Roles>,
) -> Result<Option<Metrics<Option<Spread>>>, EvalError> {
    if sets.len() < 2 {
        return Ok(None);
    }
    let mut all = Vec::new();
    for set in sets {
        let forecast = panel.sample.forecast(rows, set)?;
        let choices = Choices::new(&forecast.quality, &forecast.cost);
        let router = Arm::router(panel.sample, &forecast, &choices, roles);
        let mut arms = [const { None }; ARMS];
        arms[ROUTER] = Some(router);
        let panel = Panel { arms, ..panel.clone() };
        all.push(panel.judge_sample().metrics[ROUTER]);
    }
    Ok(Some(Metrics::each(|of| Spread::of(all.iter().map(of).copied().filter(|x| x.is_finite())))))
}

fn per_task(
    rows: &[Row],
    whole: &Panel<'_>,
    choices: &Choices,
    working: usize,
    settings: &Settings,
) -> IndexMap<String, TaskReport> {
    let mut tasks: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
    for (at, &i) in whole.sample.rows.iter().enumerate() {
        tasks.entry(&rows[i].task).or_default().push(at);
    }
    let best = best_model(whole.sample);
    let one = |(number, (task, at)): (usize, (&str, Vec<usize>))| {
        let seed = Rng::new(settings.seed).fork(1 + number as u64).u64();
        let how = Resampling { resamples: settings.resamples, rng_seed: seed, threads: settings.threads };
        (task.to_owned(), task_report(&at, whole, choices, [working, best], how))
    };
    tasks.into_iter().enumerate().map(one).collect()
}

fn task_report(
    at: &[usize],
    whole: &Panel<'_>,
    choices: &Choices,
    [working, best]: [usize; 2],
    how: Resampling,
) -> TaskReport {
    let sample = whole.sample.of(at);
    let mut arms = [const { None }; ARMS];
    arms[ROUTER] = whole.arms[ROUTER].as_ref().map(|arm| arm.of(at, choices));
    let panel = Panel { sample: &sample, oracle: whole.oracle.of(at), arms };
    let here = |outcome: &Outcome| {
        let (router, best) = (outcome.points[ROUTER][working], outcome.singles[best]);
        let mixed = mixing_at(&outcome.frame.singles, router.cost);
        (router, best, router.quality - best.quality, router.quality - mixed)
    };
    let outcome = panel.judge_sample();
    let (router, best_single, over_best, over_static) = here(&outcome);
    let draws: Vec<(Metrics<f64>, f64, f64)> = resample(at.len(), how, |block: &Block| -> [_; LANES] {
        panel.judge(block).map(|outcome| {
            let (_, _, over_best, over_static) = here(&outcome);
            (outcome.metrics[ROUTER], over_best, over_static)
        })
    });
    TaskReport {
        rows: at.len(),
        metrics: outcome.metrics[ROUTER].known(),
        intervals: Metrics::each(|of| interval(draws.iter().map(|(m, ..)| *of(m)))),
        router,
        best_single,
        gain_over_best: Estimate::new(over_best, interval(draws.iter().map(|d| d.1))),
        gain_over_static: Estimate::new(over_static, interval(draws.iter().map(|d| d.2))),
    }
}

/// The quality of blind mixing at this cost; below the cheapest single model, that one's.
fn mixing_at(singles: &Hull, cost: f64) -> f64 {
    singles.quality_at(cost).unwrap_or_else(|| singles.corners().first().map_or(f64::NAN, |p| p.quality))
}

fn per_model(
    side: &Side<'_>,
    panel: &Panel<'_>,
    working: usize,
    outcome: &Outcome,
    draws: &[Draw],
) -> IndexMap<String, ModelReport> {
    let (sample, forecast): (&Sample, &Forecast) = (side.sample, side.forecast);
    let n = sample.len() as f64;
    let share = |column: &[u32], k: usize| column.iter().filter(|&&c| c as usize == k).count() as f64 / n;
    let of = |k: usize| {
        let estimate = |value: fn(&Point) -> f64| {
            Estimate::new(value(&outcome.singles[k]), interval(draws.iter().map(|d| value(&d.singles[k]))))
        };
        let reliability = Reliability::new(forecast.quality.column(k).zip(sample.score.column(k)), 1);
        ModelReport {
            quality: estimate(|p| p.quality),
            cost: estimate(|p| p.cost),
            ece: Some(reliability.error(&vec![1.0; sample.len()])).filter(|x| x.is_finite()),
            bias: forecast.quality.column(k).sum::<f64>() / n - outcome.singles[k].quality,
            share: share(&side.choices.columns[working], k),
            oracle_share: share(&panel.oracle.columns[0], k),
        }
    };
    sample.models.iter().enumerate().map(|(k, model)| (model.clone(), of(k))).collect()
}

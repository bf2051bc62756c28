//! Ranking: from what models made of tasks to one figure for each task and model. Pure arithmetic over trials.
//!
//! The composite is .60 quality + .20 success + .12 cost + .08 latency, each from 0 to 1:
//! - quality: the mean score; a call that failed scores 0;
//! - success: the part of the calls that gave an answer;
//! - cost and latency: 1 for the best model of the task, a third less for each factor of ten above it, 0 from a factor of
//!   1,000 on. Equal models get the same, and a model is not worse because another is much worse still. What is unknown
//!   counts 0.

use indexmap::IndexMap;
use serde::Serialize;

/// What one model made of one task's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What kind of task it was.
    pub task: String,
    /// Who answered.
    pub model: String,
    /// 0 to 1; 0 where the call failed.
    pub score: f64,
    /// Whether there was an answer.
    pub success: bool,
    /// Whether the answer had the form asked for, 0 to 1.
    pub format: f64,
    /// US dollars; `None` where the price is unknown.
    pub cost_usd: Option<f64>,
    /// To the whole answer; `None` where there was none.
    pub latency_ms: Option<f64>,
}

/// A model's place in a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The model.
    pub model: String,
    /// .60 quality + .20 success + .12 cost + .08 latency.
    pub composite: f64,
    /// Mean score.
    pub quality: f64,
    /// Standard error of the mean score; `None` for a single trial.
    pub quality_error: Option<f64>,
    /// Part of the calls that gave an answer.
    pub success: f64,
    /// Cost on its scale of 0 to 1.
    pub cost: f64,
    /// Latency on its scale of 0 to 1.
    pub latency: f64,
    /// Mean compliance with the form asked for, over answers.
    pub format: f64,
    /// Mean US dollars of an answer; `None` where one is unknown.
    pub cost_usd: Option<f64>,
    /// Median time to the whole answer.
    pub latency_ms: Option<f64>,
    /// Trials behind the figures.
    pub trials: usize,
}

/// A task's models, best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskProfile {
    /// The kind of task.
    pub task: String,
    /// Best composite first; equals in the order of the trials.
    pub models: Vec<Ranked>,
}

/// Parts of the composite.
const WEIGHTS: [f64; 4] = [0.60, 0.20, 0.12, 0.08];
/// Below this, dollars and milliseconds are the same: a free model is not infinitely cheaper.
const LEAST_USD: f64 = 1e-6;
const LEAST_MS: f64 = 1.0;

/// Ranks the models of each task, tasks in the order of their first trials.
pub fn rank(trials: &[Trial]) -> Vec<TaskProfile> {
    let mut tasks: IndexMap<&str, IndexMap<&str, Vec<&Trial>>> = IndexMap::new();
    for trial in trials {
        tasks.entry(&trial.task).or_default().entry(&trial.model).or_default().push(trial);
    }
    let profile = |(task, models): (&str, IndexMap<&str, Vec<&Trial>>)| {
        let mut models: Vec<Ranked> = models.into_iter().map(|(model, trials)| figures(model, &trials)).collect();
        let least = |value: fn(&Ranked) -> Option<f64>| models.iter().filter_map(value).fold(f64::INFINITY, f64::min);
        let (cheapest, fastest) = (least(|m| m.cost_usd), least(|m| m.latency_ms));
        for m in &mut models {
            m.cost = scaled(m.cost_usd, cheapest, LEAST_USD);
            m.latency = scaled(m.latency_ms, fastest, LEAST_MS);
            let parts = [m.quality, m.success, m.cost, m.latency];
            m.composite = WEIGHTS.iter().zip(parts).map(|(w, p)| w * p).sum();
        }
        models.sort_by(|a, b| b.composite.total_cmp(&a.composite));
        TaskProfile { task: task.to_owned(), models }
    };
    tasks.into_iter().map(profile).collect()
}

fn figures(model: &str, trials: &[&Trial]) -> Ranked {
    let n = trials.len() as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>, n: f64| values.sum::<f64>() / n;
    let quality = mean(&mut trials.iter().map(|t| t.score), n);
    let spread = trials.iter().map(|t| (t.score - quality).powi(2)).sum::<f64>();
    let answered: Vec<&&Trial> = trials.iter().filter(|t| t.success).collect();
    let of = answered.len() as f64;
    let mut latencies: Vec<f64> = answered.iter().filter_map(|t| t.latency_ms).collect();
    latencies.sort_by(f64::total_cmp);
    let costs: Option<Vec<f64>> = answered.iter().map(|t| t.cost_usd).collect();
    Ranked {
        model: model.to_owned(),
        composite: 0.0,
        quality,
        quality_error: (trials.len() > 1).then(|| (spread / (n - 1.0) / n).sqrt()),
        success: of / n,
        cost: 0.0,
        latency: 0.0,
        format: if answered.is_empty() { 0.0 } else { mean(&mut answered.iter().map(|t| t.format), of) },
        cost_usd: costs.filter(|c| !c.is_empty()).map(|c| mean(&mut c.into_iter(), of)),
        latency_ms: latencies.get(latencies.len() / 2).copied(),
        trials: trials.len(),
    }
}

fn scaled(value: Option<f64>, best: f64, least: f64) -> f64 {
    value.map_or(0.0, |v| (1.0 - (v.max(least) / best.max(least)).log10() / 3.0).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(model: &str, score: f64, cost_usd: Option<f64>, latency_ms: f64) -> Trial {
        let (task, model) = ("t".to_owned(), model.to_owned());
        Trial { task, model, score, success: true, format: 1.0, cost_usd, latency_ms: Some(latency_ms) }
    }

    #[test]
    fn equal_models_are_equal_and_the_best_has_all() {
        let trials = [trial("a", 1.0, Some(0.01), 100.0), trial("b", 1.0, Some(0.01), 100.0)];
        let ranked = &rank(&trials)[0].models;
        assert!(ranked.iter().all(|m| (m.composite - 1.0).abs() < 1e-12), "{ranked:?}");
    }

    #[test]
    fn dearer_slower_failing_and_unpriced_models_lose_what_was_said() {
        let mut failed = trial("d", 0.0, None, 0.0);
        (failed.success, failed.latency_ms, failed.format) = (false, None, 0.0);
        let trials = [
            failed,
            trial("d", 1.0, Some(0.001), 100.0),
            trial("b", 1.0, Some(0.01), 1000.0),
            trial("free", 0.5, Some(0.0), 100.0),
            trial("a", 1.0, Some(0.001), 100.0),
            trial("c", 1.0, None, 100.0),
        ];
        let ranked = rank(&trials).remove(0).models;
        let figure = |name: &str| ranked.iter().find(|m| m.model == name).expect("ranked");
        assert_eq!(ranked[0].model, "a");
        let (a, b) = (figure("a"), figure("b"));
        // Free is as good as a millionth of a dollar: a thousandth is a factor of 1,000 above it.
        assert!(a.cost.abs() < 1e-9 && figure("free").cost == 1.0, "{a:?}");
        assert!((a.latency - 1.0).abs() < 1e-12 && (b.latency - 2.0 / 3.0).abs() < 1e-12, "{b:?}");
        assert_eq!((figure("c").cost, figure("c").cost_usd), (0.0, None));
        let d = figure("d");
        assert_eq!((d.quality, d.success, d.format, d.cost_usd, d.trials), (0.5, 0.5, 1.0, Some(0.001), 2));
        assert!((d.quality_error.expect("two trials") - 0.5).abs() < 1e-12);
        assert!((d.composite - (0.3 + 0.1 + 0.12 * d.cost + 0.08)).abs() < 1e-12);
    }

    #[test]
    fn a_model_that_never_answered_has_nothing() {
        let mut failed = trial("x", 0.0, None, 0.0);
        (failed.success, failed.latency_ms) = (false, None);
        let ranked = rank(&[failed]).remove(0).models.remove(0);
        assert_eq!((ranked.composite, ranked.cost_usd, ranked.latency_ms), (0.0, None, None));
        assert_eq!(rank(&[]), []);
    }

    proptest::proptest! {
        #[test]
        fn figures_stay_within_bounds(rows in proptest::collection::vec((0usize..3, 0.0f64..=1.0, proptest::option::of(0.0f64..100.0), 0.0f64..1e6), 1..20)) {
            let trials: Vec<_> = rows.iter().map(|(m, s, c, l)| trial(["a", "b", "c"][*m], *s, *c, *l)).collect();
            for m in rank(&trials).remove(0).models {
                for value in [m.composite, m.quality, m.success, m.cost, m.latency, m.format] {
                    proptest::prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{:?}", m);
                }
            }
        }
    }
}

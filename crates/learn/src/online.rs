//! What outcomes teach at once, between two trainings: by how much a predictor is off on one route, and how good a model
//! is at a task where nothing was trained. Everything follows from the newest outcomes alone, so that a second outcome of
//! a request replaces the first, the order hardly matters, and whoever reads the same rows from the storage knows the
//! same. It trains no predictor, chooses nothing and keeps no text.
//!
//! An intercept is the most probable shift in logits under a Gaussian prior, in which what one key says pulls only so
//! hard; it is believed as far as the outcomes speak for a shift at all (a spike at zero against that Gaussian), so that
//! a predictor that is right is left alone.

use std::collections::{HashMap, HashSet, VecDeque};

/// Outcomes of one model on one route, or at one task, that are remembered: the newest.
pub const WINDOW: usize = 400;
/// Of these, outcomes of one key.
pub const PER_KEY: usize = 200;
/// Outcomes at a task that the configured quality weighs.
pub const PRIOR_WEIGHT: f32 = 20.0;
/// Outcomes at a task that all of one key's weigh at most: alone, it moves a quality two thirds of the way to its own.
pub const KEY_WEIGHT: f32 = 40.0;
/// Furthest that an intercept shifts, in logits; as far as a flood of one key moves it where nobody else says anything.
pub const FURTHEST: f64 = 1.5;
/// Furthest that it shifts for each outcome that there is, in logits.
pub const STEP: f64 = 0.05;

/// How narrow intercepts lie around zero: the inverse variance of the prior, per squared logit.
const NARROW: f64 = 1.0;
/// Hardest pull of one key, as the sum of (score - predicted). Beside others it shifts by some `PULL` over what they have
/// said in information (about 0.2 an outcome): 0.15 logits beside a hundred outcomes of others.
const PULL: f64 = 3.0;
/// How probable it is, before any outcome, that a predictor is off on a route.
const OFF: f64 = 0.3;
/// Predictions are kept this far from 0 and 1: their logits are finite, and no outcome refutes them alone.
const CERTAIN: f32 = 0.01;

/// One outcome as it teaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// The request. A later outcome of the same one replaces this one.
    pub id: u128,
    /// Who says so, as a hash; all who have no key are one.
    pub key: u64,
    /// The score that was expected of the answer, 0 to 1, before any shift; None where nothing was predicted.
    pub predicted: Option<f32>,
    /// The score that it was given, 0 to 1.
    pub score: f32,
}

/// Where an outcome belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The model that answered.
    pub model: &'a str,
    /// The route that decided; empty for none.
    pub route: &'a str,
    /// The task of the request.
    pub task: &'a str,
}

/// Something for each route or task, and each model: both are looked up by borrowed names.
type Pairs<T> = HashMap<Box<str>, HashMap<Box<str>, T>>;

/// All that was heard lately. A value of whoever listens; requests read its [`Corrections`].
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    intercepts: Pairs<Window>,
    tasks: Pairs<Window>,
    corrections: Corrections,
}

/// What was learned, to be read by requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corrections {
    /// Shifts in logits, by route and model.
    shifts: Pairs<f32>,
    /// Sums of scores and of weights, by task and model.
    tasks: Pairs<(f32, f32)>,
}

impl Outcomes {
    /// Takes note of an outcome. One that says nothing (a score that is no number from 0 to 1) is left out.
    pub fn observe(&mut self, place: Place<'_>, heard: Heard) {
        self.extend([(place, heard)]);
    }

    /// Takes note of many, in their order. What was heard already changes nothing.
    pub fn extend<'a>(&mut self, all: impl IntoIterator<Item = (Place<'a>, Heard)>) {
        let (mut routes, mut tasks) = (HashSet::new(), HashSet::new());
        for (place, heard) in all {
            if !(0.0..=1.0).contains(&heard.score) {
                continue;
            }
            if entry(&mut self.tasks, place.task, place.model).put(heard) {
                tasks.insert((place.task, place.model));
            }
            let is_predicted = heard.predicted.is_some_and(|p| (0.0..=1.0).contains(&p));
            if is_predicted && entry(&mut self.intercepts, place.route, place.model).put(heard) {
                routes.insert((place.route, place.model));
            }
        }
        for (task, model) in tasks {
            *entry(&mut self.corrections.tasks, task, model) = entry(&mut self.tasks, task, model).weighted();
        }
        for (route, model) in routes {
            *entry(&mut self.corrections.shifts, route, model) =
                entry(&mut self.intercepts, route, model).shift() as f32;
        }
    }

    /// What follows from all of it.
    pub fn corrections(&self) -> &Corrections {
        &self.corrections
    }
}

impl Corrections {
    /// By how much predictions of a model on a route are off, in logits; to be added to theirs.
    pub fn shift(&self, model: &str, route: &str) -> f32 {
        self.shifts.get(route).and_then(|models| models.get(model)).copied().unwrap_or(0.0)
    }

    /// A predicted score, 0 to 1, with its shift.
    pub fn corrected(&self, model: &str, route: &str, predicted: f32) -> f32 {
        shifted(predicted, self.shift(model, route))
    }

    /// How good a model is at a task where nothing predicts it: its configured quality, 0 to 1, which weighs as
    /// [`PRIOR_WEIGHT`] outcomes, and the outcomes. None where there are none: it is as configured.
    pub fn quality(&self, model: &str, task: &str, configured: f32) -> Option<f32> {
        let (sum, weight) = self.tasks.get(task)?.get(model)?;
        Some((PRIOR_WEIGHT * configured + sum) / (PRIOR_WEIGHT + weight))
    }
}

/// A score moved by so many logits.
pub fn shifted(score: f32, shift: f32) -> f32 {
    if shift == 0.0 { score } else { sigmoid(logit(score) + f64::from(shift)) as f32 }
}

fn entry<'m, T: Default>(map: &'m mut Pairs<T>, a: &str, b: &str) -> &'m mut T {
    // Two look-ups where it is there, which is nearly always: no text is copied then.
    if !map.contains_key(a) {
        map.insert(a.into(), HashMap::new());
    }
    let inner = map.get_mut(a).expect("it was put there");
    if !inner.contains_key(b) {
        inner.insert(b.into(), T::default());
    }
    inner.get_mut(b).expect("it was put there")
}

/// The newest outcomes of one place, oldest first.
#[derive(Debug, Clone, Default)]
struct Window(VecDeque<Heard>);

impl Window {
    /// False: it is there already.
    fn put(&mut self, heard: Heard) -> bool {
        if self.0.contains(&heard) {
            return false;
        }
        self.0.retain(|h| h.id != heard.id);
        self.0.push_back(heard);
        let of_key = |window: &VecDeque<Heard>, key: u64| window.iter().filter(|h| h.key == key).count();
        let crowded = if of_key(&self.0, heard.key) > PER_KEY {
            Some(heard.key)
        } else if self.0.len() > WINDOW {
            // Whoever has the most makes room: a flood drives nobody else out.
            self.0.iter().map(|h| h.key).max_by_key(|key| of_key(&self.0, *key))
        } else {
            None
        };
        if let Some(oldest) = crowded.and_then(|key| self.0.iter().position(|h| h.key == key)) {
            self.0.remove(oldest);
        }
        true
    }

    /// The sums of scores and of weights, no key with more than [`KEY_WEIGHT`].
    fn weighted(&self) -> (f32, f32) {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (_, heard) in self.by_key() {
            let one = (KEY_WEIGHT / heard.len() as f32).min(1.0);
            sum += one * heard.iter().map(|h| h.score).sum::<f32>();
            weight += one * heard.len() as f32;
        }
        (sum, weight)
    }

    /// By how many logits predictions are off.
    fn shift(&self) -> f64 {
        let keys: Vec<Vec<(f64, f64)>> = self
            .by_key()
            .into_iter()
            .map(|(_, heard)| heard.iter().filter_map(|h| Some((logit(h.predicted?), f64::from(h.score)))).collect())
            .collect();
        let pull = |shift: f64| {
            let of = |heard: &Vec<(f64, f64)>| heard.iter().map(|(l, score)| score - sigmoid(l + shift)).sum::<f64>();
            keys.iter().map(|heard| of(heard).clamp(-PULL, PULL)).sum::<f64>() - NARROW * shift
        };
        // It falls all the way, so there is one root; twice as fine with each step.
        let (mut low, mut high) = (-FURTHEST, FURTHEST);
        for _ in 0..24 {
            let middle = f64::midpoint(low, high);
            if pull(middle) > 0.0 { low = middle } else { high = middle }
        }
        let found = f64::midpoint(low, high);
        let said = keys.iter().flatten().map(|(l, _)| sigmoid(l + found)).map(|p| p * (1.0 - p)).sum::<f64>();
        let odds =
            OFF / (1.0 - OFF) * (NARROW / (NARROW + said)).sqrt() * (found * found * (NARROW + said) / 2.0).exp();
        let furthest = (STEP * self.0.len() as f64).min(FURTHEST);
        (found * odds / (1.0 + odds)).clamp(-furthest, furthest)
    }

    /// The outcomes of each key, in an order that does not depend on hashes of maps: sums are the same everywhere.
    fn by_key(&self) -> Vec<(u64, Vec<Heard>)> {
        let mut sorted: Vec<Heard> = self.0.iter().copied().collect();
        sorted.sort_by_key(|h| (h.key, h.id));
        sorted.chunk_by(|a, b| a.key == b.key).map(|heard| (heard[0].key, heard.to_vec())).collect()
    }
}

fn logit(p: f32) -> f64 {
    let p = f64::from(p.clamp(CERTAIN, 1.0 - CERTAIN));
    (p / (1.0 - p)).ln()
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests;

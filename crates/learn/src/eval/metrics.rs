//! The figures of a report under their names, whatever is said of each: its value, its interval, its spread over trainings.

use super::calibration::Reliability;
use super::many::Worth;
use super::two_model::Pair;
use serde::Serialize;

/// One `T` for each metric.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Metrics<T> {
    /// Two models: the mean share of the quality gap recovered, over all shares of strong calls; chance gives 0.5.
    pub apgr: T,
    /// Two models: the least share of strong calls (0 to 1) that recovers half of the gap.
    pub cpt50: T,
    /// Two models: the least share of strong calls that recovers 80 % of the gap.
    pub cpt80: T,
    /// The share of the gap between static mixing (0) and the oracle (1) that is recovered, over the logarithm of budgets.
    pub hgr: T,
    /// Mean quality over budgets from 0 to the dearest single model's cost.
    pub aiq: T,
    /// Mean quality over the logarithm of budgets, from the cheapest to the dearest single model's cost.
    pub aiq_log: T,
    /// What is saved at 95 % of the best single model's quality, as a share of that model's cost.
    pub save95: T,
    /// The same at 99 %.
    pub save99: T,
    /// The same at 100 %.
    pub save100: T,
    /// What static mixing saves at 95 %.
    pub static95: T,
    /// What static mixing saves at 99 %.
    pub static99: T,
    /// The best mean quality reached at any budget.
    pub maxq: T,
    /// What a row costs there, in US dollars.
    pub cost_maxq: T,
    /// The best quality reached over the best single model's, less 1.
    pub perfgain: T,
    /// The oracle's best quality less the best reached.
    pub regret: T,
    /// The expected calibration error of predicted quality.
    pub ece: T,
}

impl<T> Metrics<T> {
    /// The metrics with their names, in the order of the report.
    pub fn named(&self) -> [(&'static str, &T); 16] {
        [
            ("apgr", &self.apgr),
            ("cpt50", &self.cpt50),
            ("cpt80", &self.cpt80),
            ("hgr", &self.hgr),
            ("aiq", &self.aiq),
            ("aiq_log", &self.aiq_log),
            ("save95", &self.save95),
            ("save99", &self.save99),
            ("save100", &self.save100),
            ("static95", &self.static95),
            ("static99", &self.static99),
            ("maxq", &self.maxq),
            ("cost_maxq", &self.cost_maxq),
            ("perfgain", &self.perfgain),
            ("regret", &self.regret),
            ("ece", &self.ece),
        ]
    }

    /// The same metrics, with `said(value)` for each; `said` is given a way to read this metric of any other `Metrics<T>`.
    pub(crate) fn each<U>(said: impl Fn(fn(&Self) -> &T) -> U) -> Metrics<U> {
        Metrics {
            apgr: said(|m| &m.apgr),
            cpt50: said(|m| &m.cpt50),
            cpt80: said(|m| &m.cpt80),
            hgr: said(|m| &m.hgr),
            aiq: said(|m| &m.aiq),
            aiq_log: said(|m| &m.aiq_log),
            save95: said(|m| &m.save95),
            save99: said(|m| &m.save99),
            save100: said(|m| &m.save100),
            static95: said(|m| &m.static95),
            static99: said(|m| &m.static99),
            maxq: said(|m| &m.maxq),
            cost_maxq: said(|m| &m.cost_maxq),
            perfgain: said(|m| &m.perfgain),
            regret: said(|m| &m.regret),
            ece: said(|m| &m.ece),
        }
    }
}

impl Metrics<f64> {
    /// Puts the parts together. `static_save` is what static mixing saves at 95 and at 99 %.
    pub(crate) fn of(pair: Pair, worth: &Worth, static_save: [f64; 2], ece: f64) -> Self {
        Self {
            apgr: pair.apgr,
            cpt50: pair.cpt50,
            cpt80: pair.cpt80,
            hgr: worth.hgr,
            aiq: worth.aiq,
            aiq_log: worth.aiq_log,
            save95: worth.save[0],
            save99: worth.save[1],
            save100: worth.save[2],
            static95: static_save[0],
            static99: static_save[1],
            maxq: worth.best.quality,
            cost_maxq: worth.best.cost,
            perfgain: worth.perfgain,
            regret: worth.regret,
            ece,
        }
    }

    /// What applies: everything that is a number.
    pub(crate) fn known(&self) -> Metrics<Option<f64>> {
        Self::each(|of| Some(*of(self)).filter(|x| x.is_finite()))
    }
}

/// A metric over several trainings that differ by their seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How many trainings have the metric.
    pub trainings: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (with `n − 1`); 0 for one.
    pub sd: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// The spread of these values; `None` without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Self {
            trainings: values.len(),
            mean,
            sd: (squares / (n - 1.0).max(1.0)).sqrt(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The calibration error, where there is something to calibrate.
pub(crate) fn error_of(reliability: Option<&Reliability>, weights: &[f64]) -> f64 {
    reliability.map_or(f64::NAN, |r| r.error(weights))
}

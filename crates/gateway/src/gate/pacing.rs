//! The pace of budgets that policies of strategy `value` follow. The arithmetic is the core's (`gate::Pace`).

use super::{Cell, Gate, lock};
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use waypost_core::gate::{Pace, Quota};
use waypost_core::units::Now;

/// One scope's λ.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Some policy follows it.
    on: AtomicBool,
    /// As the bits of an `f64`; 0: not known yet.
    lambda: AtomicU64,
    /// Reservations that were made here while it was followed.
    requests: AtomicU64,
    /// By budget of money.
    paces: Mutex<Vec<(Quota, Pace)>>,
}

/// How one budget is paced, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct PaceStatus {
    /// Whose budget.
    pub scope: String,
    /// Which one.
    pub budget: &'static str,
    /// What a US dollar is worth in quality now.
    pub lambda: f64,
    /// US dollars that the plan has spent by now.
    pub planned_usd: f64,
    /// US dollars spent.
    pub spent_usd: f64,
    /// Planned, US dollars an hour from now on.
    pub planned_usd_per_hour: f64,
    /// Actual, US dollars an hour over the last minutes.
    pub usd_per_hour: f64,
}

impl Cell {
    /// What a US dollar is worth in quality, where a policy is paced by this scope and its pace is known.
    pub fn lambda(&self) -> Option<f64> {
        let bits = self.pacing.lambda.load(Ordering::Relaxed);
        (bits != 0).then(|| f64::from_bits(bits))
    }

    /// Whether some policy follows this scope's pace.
    pub(super) fn pace(&self, on: bool) {
        self.pacing.on.store(on, Ordering::Relaxed);
        if !on {
            self.pacing.lambda.store(0, Ordering::Relaxed);
            lock(&self.pacing.paces).clear();
        }
    }

    /// A reservation was made. Counted only where somebody asks: it is one more write that all workers share.
    pub(super) fn counted(&self) {
        if self.pacing.on.load(Ordering::Relaxed) {
            self.pacing.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at what was spent; the dearest λ of the scope's budgets holds.
    fn observe(&self, now: Now) {
        if !self.pacing.on.load(Ordering::Relaxed) {
            return;
        }
        let mut paces = lock(&self.pacing.paces);
        let mut dearest: f64 = 0.0;
        let scope = self.lock();
        for known in scope.known().filter(|k| matches!(k.part.quota, Quota::Usd(_))) {
            let Some(period) = known.part.period else { continue };
            let at = match paces.iter().position(|(quota, _)| *quota == known.part.quota) {
                Some(at) => at,
                None => {
                    paces.push((known.part.quota, Pace::default()));
                    paces.len() - 1
                }
            };
            let pace = &mut paces[at].1;
            let requests = self.pacing.requests.load(Ordering::Relaxed);
            pace.observe((now.instant, now.unix_ms), &period, (known.slice.spent(), known.limit), requests);
            dearest = dearest.max(pace.lambda());
        }
        self.pacing.lambda.store(dearest.to_bits(), Ordering::Relaxed);
    }
}

impl Gate {
    /// Moves every λ. Called once a second.
    pub(super) fn observe_paces(&self) {
        let now = self.now();
        self.cells().iter().for_each(|cell| cell.observe(now));
    }

    /// Every budget that is paced.
    pub fn paces(&self) -> Vec<PaceStatus> {
        let now = self.now();
        let usd = |nano: f64| nano / 1e9;
        let mut all = Vec::new();
        for cell in self.cells() {
            let paces = lock(&cell.pacing.paces);
            let scope = cell.lock();
            for known in scope.known() {
                let (Some(period), Some((quota, pace))) =
                    (known.part.period, paces.iter().find(|(quota, _)| *quota == known.part.quota))
                else {
                    continue;
                };
                let (plan, rate) = pace.rates();
                all.push(PaceStatus {
                    scope: cell.id().to_string(),
                    budget: quota.name(),
                    lambda: pace.lambda(),
                    planned_usd: usd(pace.planned(&period, now.unix_ms) * known.limit as f64),
                    spent_usd: usd(known.slice.spent() as f64),
                    planned_usd_per_hour: usd(plan * 3600.0),
                    usd_per_hour: usd(rate * 3600.0),
                });
            }
        }
        all
    }
}

//! One scope of this process: its slices behind a lock, and what deciding reads of them without it.

use super::{lock, pacing};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use waypost_core::gate::{self, Amounts, Kind, OnExhausted, Quota, Scope, ScopeId};
use waypost_core::route::Gated;

/// Where less than so many of the last request's worst case is left, room is scarce.
const FEW: u64 = 20;
/// A limit of so few requests is a small one: each is counted exactly from the first on.
const SMALL: u64 = 1000;

/// One scope with its lock, and what deciding reads of it without the lock.
#[derive(Debug)]
pub struct Cell {
    pub(super) id: ScopeId,
    scope: Mutex<Scope>,
    /// It stands in [`super::Gate::wanting`].
    pub(super) queued: AtomicBool,
    /// [`TIGHT`] and its like.
    flags: AtomicU8,
    /// What λ is here, where some policy is paced by this scope's money.
    pub(super) pacing: pacing::Pacing,
}

/// Some quota has little room, or single requests are capped: a candidate's worst case is to be looked at.
const TIGHT: u8 = 1;
/// Money is limited here.
const MONEY: u8 = 2;
/// Output is to be capped here.
const OUTPUT: u8 = 4;
/// The operator wants cheap candidates from here on.
const CLAMPED: u8 = 8;

impl Cell {
    pub(super) fn new(scope: Scope) -> Arc<Self> {
        let cell = Self {
            id: scope.id().clone(),
            queued: AtomicBool::new(false),
            flags: AtomicU8::new(0),
            pacing: pacing::Pacing::default(),
            scope: Mutex::new(scope),
        };
        cell.read(&cell.lock());
        Arc::new(cell)
    }

    /// Whose it is.
    pub fn id(&self) -> &ScopeId {
        &self.id
    }

    /// The scope's state.
    pub fn lock(&self) -> MutexGuard<'_, Scope> {
        lock(&self.scope)
    }

    /// Whether a candidate's worst case is to be looked at before it is chosen.
    pub fn is_tight(&self) -> bool {
        self.has(TIGHT)
    }

    /// Whether so little may be left, or is there at all, that a need is to be known exactly. What was never asked about
    /// counts as whole.
    pub fn is_near(&self, need: &Amounts) -> bool {
        let scope = self.lock();
        let near = |k: gate::Known<'_>| {
            let n = need.of(k.part.quota);
            match k.slice.answered_at() {
                _ if n == 0 => false,
                Some(_) => k.slice.attainable() <= (k.limit / 20).max(n.saturating_mul(FEW)),
                None => k.limit <= n.saturating_mul(SMALL),
            }
        };
        let (usd, tokens) = (scope.limits().usd_per_request, scope.limits().tokens_per_request);
        usd.is_some_and(|cap| need.usd.saturating_mul(2) > cap.0.unsigned_abs())
            || tokens.is_some_and(|cap| need.tokens.saturating_mul(2) > cap)
            || scope.known().any(near)
    }

    /// Whether money is limited here.
    pub fn limits_money(&self) -> bool {
        self.has(MONEY)
    }

    /// Whether money is limited over a window.
    pub fn has_budget(&self) -> bool {
        let scope = self.lock();
        gate::Window::ALL.iter().any(|w| scope.limits().of(Quota::Usd(*w)).is_some())
    }

    /// Whether output is to be capped here.
    pub fn limits_output(&self) -> bool {
        self.has(OUTPUT)
    }

    /// What this scope asks of a candidate.
    pub fn asks(&self) -> Gated {
        let flags = self.flags.load(Ordering::Relaxed);
        Gated { money: flags & MONEY != 0, tight: flags & TIGHT != 0, clamp: flags & CLAMPED != 0 }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Takes over what deciding reads without the lock.
    pub(super) fn read(&self, scope: &Scope) {
        let limits = scope.limits();
        let capped = limits.usd_per_request.is_some() || limits.tokens_per_request.is_some();
        // So little that some candidate's worst case may not fit where another's does.
        let few = |k: &gate::Known<'_>| (k.limit / 20).max(k.slice.usual().saturating_mul(FEW));
        let scarce = scope.known().any(|k| k.slice.attainable() <= few(&k));
        let last = limits.thresholds().last().copied().unwrap_or(10_000);
        let late = |k: &gate::Known<'_>| {
            k.part.quota.kind() == Kind::Budget
                && u128::from(k.slice.spent()) * 10_000 >= u128::from(last) * u128::from(k.limit)
        };
        let clamps = limits.on_exhausted == Some(OnExhausted::Clamp);
        let flags = [
            (TIGHT, capped || scarce),
            (MONEY, limits.limits_money()),
            (OUTPUT, limits.limits_output()),
            (CLAMPED, clamps && scope.known().any(|k| late(&k))),
        ];
        let flags = flags.into_iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag);
        self.flags.store(flags, Ordering::Relaxed);
    }
}

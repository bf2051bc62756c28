//! How budgets stand, for people. Read from the store's books: nothing is consumed, leased or reported by it.

use super::Gate;
use super::lock;
use crate::books::{Books, StoreAway};
use serde::Serialize;
use std::collections::HashMap;
use waypost_core::gate::{Limits, Part, Period, Quota, ScopeId, Standing};

/// The limits of one scope and how they stand.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeStatus {
    /// `global`, `team/a`, …
    pub scope: String,
    /// What happens where there is no room.
    pub on_exhausted: &'static str,
    /// Most that one request may cost, US dollars.
    pub usd_per_request: Option<f64>,
    /// Most tokens of one request.
    pub tokens_per_request: Option<u64>,
    /// Each quota that is limited.
    pub budgets: Vec<BudgetStatus>,
}

/// How one quota stands over all processes. Amounts are US dollars, tokens or requests.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetStatus {
    /// As in the configuration.
    pub budget: &'static str,
    /// The limit in force.
    pub limit: f64,
    /// Spent.
    pub spent: f64,
    /// Of that: charged for slices of processes that died and never accounted for them.
    pub lost: f64,
    /// Reserved by requests under way, as reported.
    pub reserved: f64,
    /// Leased by processes and not reserved.
    pub leased: f64,
    /// Neither spent nor reserved.
    pub left: f64,
    /// When the window began; RFC 3339.
    pub since: Option<String>,
    /// When it turns; RFC 3339.
    pub resets_at: Option<String>,
    /// What will be spent when the window turns, at the pace so far.
    pub forecast: Option<f64>,
}

/// As [`status`], where no runtime is at hand; blocks for as long as the store takes.
///
/// # Errors
/// The store cannot be asked.
pub fn status_blocking(
    limits: &HashMap<ScopeId, Limits>,
    zone: &jiff::tz::TimeZone,
    books: &mut Books,
    now_ms: i64,
) -> Result<Vec<ScopeStatus>, StoreAway> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| StoreAway(format!("it cannot be asked: {e}")))?;
    runtime.block_on(status(limits, zone, books, now_ms))
}

/// Reads how every limited scope stands. `now_ms` is used where the store's clock is not told.
///
/// # Errors
/// The store cannot be asked.
pub async fn status(
    limits: &HashMap<ScopeId, Limits>,
    zone: &jiff::tz::TimeZone,
    books: &mut Books,
    now_ms: i64,
) -> Result<Vec<ScopeStatus>, StoreAway> {
    let mut scopes: Vec<(&ScopeId, &Limits)> = limits.iter().collect();
    scopes.sort_by_key(|(id, _)| *id);
    let mut parts = Vec::new();
    for (id, limits) in &scopes {
        for quota in Quota::ALL {
            if let Some(limit) = limits.of(quota) {
                let period = quota.window().map(|w| Period::containing(w, now_ms, zone));
                parts.push((*id, Part { quota, period }, limit));
            }
        }
    }
    let ids: Vec<String> = parts.iter().map(|(id, part, _)| part.book_id(id)).collect();
    let (stored, store_ms) = if ids.is_empty() { (Vec::new(), now_ms) } else { books.read(&ids).await? };
    let mut by_scope: HashMap<&ScopeId, Vec<BudgetStatus>> = HashMap::new();
    for ((id, part, limit), stored) in parts.into_iter().zip(stored) {
        let standing = stored.book.standing(part.quota.kind(), limit, store_ms);
        by_scope.entry(id).or_default().push(shown(&part, limit, &standing, store_ms));
    }
    let one = |(id, limits): (&ScopeId, &Limits)| ScopeStatus {
        scope: id.to_string(),
        on_exhausted: limits.on_exhausted.unwrap_or_default().name(),
        usd_per_request: limits.usd_per_request.map(|cap| cap.usd()),
        tokens_per_request: limits.tokens_per_request,
        budgets: by_scope.remove(id).unwrap_or_default(),
    };
    Ok(scopes.into_iter().map(one).collect())
}

fn shown(part: &Part, limit: u64, standing: &Standing, now_ms: i64) -> BudgetStatus {
    let is_money = matches!(part.quota, Quota::Usd(_));
    let amount = |n: u64| if is_money { n as f64 / 1e9 } else { n as f64 };
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok().map(|t| t.to_string());
    let forecast = part.period.map(|period| {
        // In the first hundredth of a window nothing can be said but what was spent.
        let whole = (period.end_ms - period.start_ms).max(1) as f64;
        let passed = ((now_ms - period.start_ms) as f64 / whole).clamp(0.01, 1.0);
        amount(standing.spent) / passed
    });
    BudgetStatus {
        budget: part.quota.name(),
        limit: amount(limit),
        spent: amount(standing.spent),
        lost: amount(standing.lost),
        reserved: amount(standing.reserved),
        leased: amount(standing.leased),
        left: amount(standing.free.saturating_add(standing.leased)),
        since: part.period.and_then(|p| time(p.start_ms)),
        resets_at: part.period.and_then(|p| time(p.end_ms)),
        forecast,
    }
}

impl Gate {
    /// The limits in force, by scope.
    pub fn limits(&self) -> HashMap<ScopeId, Limits> {
        let limited = |(id, cell): (&ScopeId, &std::sync::Arc<super::Cell>)| {
            let limits = cell.lock().limits().clone();
            (!limits.is_empty()).then(|| (id.clone(), limits))
        };
        lock(&self.cells).iter().filter_map(limited).collect()
    }
}

//! `/admin/budgets`: how every limited scope stands. Read from the store; nothing is consumed by it.

use crate::app::State;
use crate::error::{Error, Kind};
use crate::gate;
use crate::proxy::Reply;
use crate::server::edge::reply;
use crate::snapshot::Snapshot;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Budgets over all processes, and what this process holds.
pub(super) async fn shown(state: &Arc<State>, snapshot: &Arc<Snapshot>) -> Result<Reply, Error> {
    let (limits, zone) = (state.gate.limits(), snapshot.config.time_zone.clone());
    let (mut books, now_ms) = (state.books(), state.gate.now().unix_ms);
    let read = move || gate::status_blocking(&limits, &zone, &mut books, now_ms).map_err(|e| e.to_string());
    let unavailable = |e: String| Error::new(Kind::BudgetUnavailable, format!("the store of budgets: {e}"));
    let scopes = tokio::task::spawn_blocking(read).await.map_err(|e| unavailable(e.to_string()))?;
    let scopes = scopes.map_err(unavailable)?;
    let gate = &state.gate;
    let body = json!({
        "scopes": scopes,
        "pacing": gate.paces(),
        "events": gate.events(),
        "process": {
            "reservations": gate.reservations(),
            "waiting": gate.queued.load(Ordering::Relaxed),
            "store_away": gate.store_away(),
        },
    });
    Ok(reply(StatusCode::OK, &body))
}

//! The ledger: newest requests, one request, sums.

use super::parameter;
use crate::app::State;
use crate::error::{Error, Kind};
use crate::proxy::Reply;
use crate::server::edge::{percent_decoded, reply};
use crate::store::By;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use waypost_core::units::RequestId;

pub(super) async fn recent(state: &Arc<State>, query: &str) -> Result<Reply, Error> {
    let limit = parameter(query, "limit").and_then(|l| l.parse().ok()).unwrap_or(50usize).min(1000);
    let rows = read(state, move |reader| reader.recent(limit)).await?;
    Ok(reply(StatusCode::OK, &json!({"data": rows})))
}

pub(super) async fn report(state: &Arc<State>, query: &str) -> Result<Reply, Error> {
    let by = parameter(query, "by").map_or(Some(By::Model), |b| By::from_name(&b));
    let by = by.ok_or_else(|| {
        Error::new(Kind::InvalidRequest, format!("`by` is one of {}", By::ALL.map(By::name).join(", ")))
    })?;
    let since = parameter(query, "since").unwrap_or_else(|| "24h".to_owned());
    let since =
        crate::cli::report::parse_since(&since).map_err(|e| Error::new(Kind::InvalidRequest, e).param("since"))?;
    let from = crate::clock::unix_ms() - since.as_millis() as i64;
    let report = read(state, move |reader| reader.report(by, from)).await?;
    Ok(reply(StatusCode::OK, &serde_json::from_str(&crate::cli::report::json(&report)).unwrap_or_default()))
}

/// `id` as it stands in the path.
pub(super) async fn request(state: &Arc<State>, id: &str) -> Result<Reply, Error> {
    let id = percent_decoded(id);
    let parsed = u128::from_str_radix(&id, 16).map(RequestId);
    let parsed = parsed.map_err(|_| Error::new(Kind::InvalidRequest, "a request id is 32 hexadecimal digits"))?;
    let found = read(state, move |reader| reader.request(parsed)).await?;
    let found = found.ok_or_else(|| Error::new(Kind::NotFound, format!("no request `{id}` is in the ledger")))?;
    Ok(reply(StatusCode::OK, &json!(found)))
}

/// Reads the ledger on a thread that may block.
async fn read<T: Send + 'static>(
    state: &Arc<State>,
    read: impl FnOnce(&crate::store::Reader) -> Result<T, crate::store::LedgerError> + Send + 'static,
) -> Result<T, Error> {
    let state = state.clone();
    let task = tokio::task::spawn_blocking(move || state.ledger.reader().and_then(|reader| read(&reader)));
    let failed = |e: String| Error::new(Kind::Internal, format!("the ledger cannot be read: {e}"));
    task.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

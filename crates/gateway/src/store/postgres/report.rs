//! Reports over Postgres: one statement gives requests with their attempts, in order, and rows are summed as they come.

use super::read::count;
use super::{Server, Session, within};
use crate::store::error::LedgerError;
use crate::store::report::{By, Report};
use crate::store::tally::{AttemptRow, Outcome, RequestRow, Tally};
use futures_util::TryStreamExt;
use std::pin::pin;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// Until the first row, for which the server may have to sort, and from one to the next.
const ROW_TIMEOUT: Duration = Duration::from_secs(60);

/// The sums over requests that arrived at `since_unix_ms` or later.
pub(super) async fn report(
    server: &Server,
    session: &Session,
    by: By,
    since_unix_ms: i64,
) -> Result<Report, LedgerError> {
    let (of_request, of_attempt) = match by {
        By::Model => ("NULL", "a.model"),
        By::Provider => ("NULL", "a.provider"),
        By::Route => ("r.route", "NULL"),
        By::Stage => ("r.stage", "NULL"),
        By::Key => ("r.key", "NULL"),
        By::Strategy => ("r.strategy", "NULL"),
        By::Tag => ("r.tags", "NULL"),
        By::Team => ("r.team", "NULL"),
    };
    let sql = format!(
        "SELECT r.seq, r.outcome, {of_request}::text, r.duration_us, r.cost, r.baseline_cost, \
         a.outcome, {of_attempt}::text, a.estimated, a.moved, a.start_us, a.first_token_us, a.duration_us, \
         a.input_tokens, a.output_tokens, a.cache_read_tokens, a.cache_write_tokens, a.reasoning_tokens, a.cost \
         FROM requests r LEFT JOIN attempts a ON a.request = r.seq WHERE r.unix_ms >= $1 ORDER BY r.seq, a.n"
    );
    let since: [&(dyn ToSql + Sync); 1] = [&since_unix_ms];
    let rows = within(server, ROW_TIMEOUT, session.query_raw(&sql, since)).await?;
    let mut rows = pin!(rows);
    let mut tally = Tally::new(by, since_unix_ms);
    let mut current: Option<RequestRow> = None;
    let mut attempts = Vec::new();
    while let Some(row) = within(server, ROW_TIMEOUT, rows.try_next()).await? {
        let seq = row.try_get(0).map_err(|e| server.explain(e))?;
        if current.as_ref().is_none_or(|c| c.seq != seq) {
            if let Some(done) = current.take() {
                tally.add(&done, &attempts);
            }
            attempts.clear();
            current = Some(request_row(&row, seq, &mut tally).map_err(|e| server.explain(e))?);
        }
        attempts.extend(attempt_row(&row, &mut tally).map_err(|e| server.explain(e))?);
    }
    if let Some(done) = current {
        tally.add(&done, &attempts);
    }
    Ok(tally.finish())
}

fn request_row(row: &Row, seq: i64, tally: &mut Tally) -> Result<RequestRow, Error> {
    let of = row.try_get(2)?;
    let groups = match tally.by() {
        By::Model | By::Provider => Vec::new(),
        By::Tag => tally.tags(of),
        By::Route | By::Stage | By::Key | By::Strategy | By::Team => vec![tally.group(of)],
    };
    Ok(RequestRow {
        seq,
        outcome: Outcome::from_name(row.try_get(1)?),
        groups,
        duration_us: count(row, 3)?,
        cost: row.try_get(4)?,
        baseline: row.try_get(5)?,
    })
}

/// `None`: the request has no attempt.
fn attempt_row(row: &Row, tally: &mut Tally) -> Result<Option<AttemptRow>, Error> {
    let Some(outcome) = row.try_get(6)? else { return Ok(None) };
    let group = if tally.by().over_attempts() { tally.group(row.try_get(7)?) } else { 0 };
    let mut tokens = [0; 5];
    for (i, slot) in tokens.iter_mut().enumerate() {
        *slot = count(row, 13 + i)?;
    }
    Ok(Some(AttemptRow {
        outcome: Outcome::from_name(outcome),
        estimated: row.try_get(8)?,
        moved: row.try_get(9)?,
        group,
        start_us: count(row, 10)?,
        first_token_us: row.try_get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
        duration_us: count(row, 12)?,
        tokens,
        cost: row.try_get(18)?,
    }))
}

//! Reads of single requests. Its calls block and may come from any thread, also from one that runs async code: each
//! question is asked on a thread of its own.

use super::rows::is_lost;
use super::{Blocking, Server, Session, connect, feedback, report, schema, within};
use crate::store::error::LedgerError;
use crate::store::lesson::LearnedRows;
use crate::store::read::counted;
use crate::store::report::{By, Report};
use crate::store::tags::parse_tags;
use crate::store::{StoredAttempt, StoredRequest};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::{Error, Row};
use waypost_core::gate::ScopeId;
use waypost_core::units::RequestId;

const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Some hundred thousand rows for a training.
const LEARN_TIMEOUT: Duration = Duration::from_secs(120);

const REQUEST_COLUMNS: &str = "seq, id, unix_ms, key, team, route, stage, level, strategy, class, task, \
    estimated_input_tokens, complexity, stream, model, degraded, outcome, status, code, reason, duration_us, cost, \
    baseline_cost, tags, propensity";

/// Reads a ledger in Postgres; [`crate::store::Reader`] says what each call gives.
#[derive(Debug)]
pub(in crate::store) struct Reader {
    server: Server,
    /// Kept between calls; who comes while it is in use opens another.
    session: Mutex<Option<Session>>,
    runtime: Blocking,
}

impl Reader {
    pub(in crate::store) fn open(server: &Server) -> Result<Self, LedgerError> {
        let new = Self { server: server.clone(), session: Mutex::new(None), runtime: Blocking::new()? };
        let session = new.on_a_thread(async || schema::open_reader(server).await)?;
        new.keep(session);
        Ok(new)
    }

    pub(in crate::store) fn spent(&self, scope: &ScopeId, since_unix_ms: i64) -> Result<(i64, i64), LedgerError> {
        let tagged = "EXISTS (SELECT 1 FROM json_each_text(r.tags::json) t WHERE t.key = $2 AND t.value = $3)";
        let (counted, name, value) = counted(scope, '$', tagged);
        let sql = format!(
            "SELECT coalesce(sum(a.cost), 0)::bigint, coalesce(sum(a.input_tokens + a.output_tokens), 0)::bigint \
             FROM requests r JOIN attempts a ON a.request = r.seq WHERE r.unix_ms >= $1 AND {counted}"
        );
        self.ask(async |session| {
            let row =
                within(&self.server, READ_TIMEOUT, session.query_one(&sql, &[&since_unix_ms, &name, &value])).await?;
            let sums = || Ok((row.try_get(0)?, row.try_get(1)?));
            sums().map_err(|e| self.server.explain(e))
        })
    }

    pub(in crate::store) fn recent(&self, limit: usize) -> Result<Vec<StoredRequest>, LedgerError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ask(async |session| {
            let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests ORDER BY seq DESC LIMIT $1");
            let rows = within(&self.server, READ_TIMEOUT, session.query(&sql, &[&limit])).await?;
            let requests = rows.iter().map(|row| stored_request(row).map(|(_, request)| request));
            requests.collect::<Result<_, _>>().map_err(|e| self.server.explain(e))
        })
    }

    pub(in crate::store) fn request(&self, id: RequestId) -> Result<Option<StoredRequest>, LedgerError> {
        self.ask(async |session| within(&self.server, READ_TIMEOUT, request(session, id)).await)
    }

    pub(in crate::store) fn learned_rows(&self, since_unix_ms: i64) -> Result<LearnedRows, LedgerError> {
        self.ask(async |session| within(&self.server, LEARN_TIMEOUT, feedback::lessons(session, since_unix_ms)).await)
    }

    pub(in crate::store) fn report(&self, by: By, since_unix_ms: i64) -> Result<Report, LedgerError> {
        self.ask(async |session| report::report(&self.server, session, by, since_unix_ms).await)
    }

    /// Asks over the kept connection, or over a new one where it was lost meanwhile.
    fn ask<T: Send>(
        &self,
        question: impl AsyncFn(&Session) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        let kept = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (answer, session) = self.on_a_thread(async move || {
            if let Some(session) = kept {
                match question(&session).await {
                    Err(error) if is_lost(&error) => {}
                    answer => return Ok((answer?, session)),
                }
            }
            let session = connect(&self.server).await?;
            Ok((question(&session).await?, session))
        })?;
        self.keep(session);
        Ok(answer)
    }

    fn keep(&self, session: Session) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    fn on_a_thread<T: Send>(
        &self,
        work: impl AsyncFnOnce() -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("ledger-reader".to_owned());
            let thread = thread.spawn_scoped(scope, || self.runtime.wait(work()))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

async fn request(session: &Session, id: RequestId) -> Result<Option<StoredRequest>, Error> {
    let id = id.0.to_be_bytes();
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests WHERE id = $1 ORDER BY seq DESC LIMIT 1");
    let Some(row) = session.query_opt(&sql, &[&id.as_slice()]).await? else { return Ok(None) };
    let (seq, mut request) = stored_request(&row)?;
    let sql = "SELECT model, provider, endpoint, outcome, status, start_us, first_token_us, duration_us, input_tokens, \
               output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, estimated, cost \
               FROM attempts WHERE request = $1 ORDER BY n";
    let rows = session.query(sql, &[&seq]).await?;
    request.attempts = rows.iter().map(stored_attempt).collect::<Result<_, _>>()?;
    let detail = session.query_opt("SELECT detail FROM decisions WHERE request = $1", &[&seq]).await?;
    request.decision = detail.map(|row| row.try_get(0)).transpose()?.map(StoredRequest::detail);
    Ok(Some(request))
}

fn stored_request(row: &Row) -> Result<(i64, StoredRequest), Error> {
    let id: &[u8] = row.try_get(1)?;
    let request = StoredRequest {
        id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        unix_ms: row.try_get(2)?,
        key: row.try_get(3)?,
        team: row.try_get(4)?,
        route: row.try_get(5)?,
        stage: row.try_get(6)?,
        level: row.try_get(7)?,
        strategy: row.try_get(8)?,
        class: row.try_get(9)?,
        task: row.try_get(10)?,
        estimated_input_tokens: count(row, 11)?.try_into().unwrap_or(u32::MAX),
        complexity: row.try_get(12)?,
        stream: row.try_get(13)?,
        model: row.try_get(14)?,
        degraded: row.try_get(15)?,
        outcome: row.try_get(16)?,
        status: status(row, 17)?,
        code: row.try_get(18)?,
        reason: row.try_get(19)?,
        duration_us: count(row, 20)?,
        cost_nano_usd: row.try_get(21)?,
        baseline_nano_usd: row.try_get(22)?,
        propensity: row.try_get(24)?,
        tags: row.try_get::<_, Option<&str>>(23)?.map(parse_tags).unwrap_or_default(),
        attempts: Vec::new(),
        decision: None,
    };
    Ok((row.try_get(0)?, request))
}

fn stored_attempt(row: &Row) -> Result<StoredAttempt, Error> {
    Ok(StoredAttempt {
        model: row.try_get(0)?,
        provider: row.try_get(1)?,
        endpoint: row.try_get(2)?,
        outcome: row.try_get(3)?,
        status: status(row, 4)?,
        start_us: count(row, 5)?,
        first_token_us: row.try_get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
        duration_us: count(row, 7)?,
        input_tokens: count(row, 8)?,
        output_tokens: count(row, 9)?,
        cache_read_tokens: count(row, 10)?,
        cache_write_tokens: count(row, 11)?,
        reasoning_tokens: count(row, 12)?,
        estimated: row.try_get(13)?,
        cost_nano_usd: row.try_get(14)?,
    })
}

/// A count; what is stored is never negative.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, Error> {
    row.try_get::<_, i64>(column).map(i64::unsigned_abs)
}

fn status(row: &Row, column: usize) -> Result<u16, Error> {
    row.try_get::<_, i32>(column).map(|status| status.try_into().unwrap_or(0))
}

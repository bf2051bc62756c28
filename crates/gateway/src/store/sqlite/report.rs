//! Reports over SQLite: one pass over requests and their attempts, both in order of `seq`, in one snapshot.

use super::read::count;
use super::schema::{ATTEMPT_BITS, SEQ_BITS};
use crate::store::is_aside;
use crate::store::report::{By, Report};
use crate::store::tally::{AttemptRow, Outcome, RequestRow, Tally};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::HashMap;

/// The sums over requests that arrived at `since_unix_ms` or later.
pub(super) fn report(conn: &Connection, by: By, since_unix_ms: i64) -> rusqlite::Result<Report> {
    // One snapshot for all statements, whatever is written meanwhile.
    let snapshot = conn.unchecked_transaction()?;
    let mut scan = Scan::prepare(&snapshot, by, since_unix_ms)?;
    scan.run(&snapshot)?;
    Ok(scan.tally.finish())
}

/// The state of the pass.
struct Scan {
    since_unix_ms: i64,
    /// How each kind of request ended.
    request_outcomes: HashMap<i64, Outcome>,
    attempt_kinds: HashMap<i64, AttemptKind>,
    grouping: Grouping,
    tally: Tally,
}

/// Which groups a row belongs to, by its dictionary number.
enum Grouping {
    RequestKind(HashMap<i64, usize>),
    Client(HashMap<i64, usize>),
    Tags(HashMap<i64, Vec<usize>>),
    AttemptKind,
}

#[derive(Clone, Copy)]
struct AttemptKind {
    outcome: Outcome,
    /// A classifier's call.
    aside: bool,
    estimated: bool,
    /// Equal where model, provider and endpoint are.
    endpoint: usize,
    /// Its group, where the report is over attempts.
    group: usize,
}

/// An attempt before it is known which one of its request it is.
struct Waiting {
    seq: i64,
    endpoint: usize,
    aside: bool,
    row: AttemptRow,
}

impl Scan {
    fn prepare(conn: &Connection, by: By, since_unix_ms: i64) -> rusqlite::Result<Self> {
        let mut tally = Tally::new(by, since_unix_ms);
        let grouping = match by {
            By::Route | By::Stage | By::Strategy => {
                Grouping::RequestKind(labels(conn, "request_kinds", by.name(), &mut tally)?)
            }
            By::Key | By::Team => Grouping::Client(labels(conn, "clients", by.name(), &mut tally)?),
            By::Tag => Grouping::Tags(HashMap::new()),
            By::Model | By::Provider => Grouping::AttemptKind,
        };
        let mut request_outcomes = HashMap::new();
        each(conn, "SELECT id, outcome FROM request_kinds", |row| {
            request_outcomes.insert(row.get(0)?, Outcome::from_name(row.get_ref(1)?.as_str()?));
            Ok(())
        })?;
        let (mut attempt_kinds, mut endpoints) = (HashMap::new(), HashMap::new());
        each(conn, "SELECT id, model, provider, endpoint, outcome, estimated FROM attempt_kinds", |row| {
            let (model, provider): (String, String) = (row.get(1)?, row.get(2)?);
            let group = match by {
                By::Model => tally.group(Some(&model)),
                By::Provider => tally.group(Some(&provider)),
                _ => 0,
            };
            let next = endpoints.len();
            let endpoint = *endpoints.entry((model, provider, row.get::<_, String>(3)?)).or_insert(next);
            let name = row.get_ref(4)?.as_str()?;
            let (outcome, aside) = (Outcome::from_name(name), is_aside(name));
            attempt_kinds.insert(row.get(0)?, AttemptKind { outcome, aside, estimated: row.get(5)?, endpoint, group });
            Ok(())
        })?;
        Ok(Self { since_unix_ms, request_outcomes, attempt_kinds, grouping, tally })
    }

    /// Joins attempts to requests as a merge: an attempt belongs to the last request at or below its number.
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let first = self.since_unix_ms.clamp(0, i64::MAX >> (SEQ_BITS + ATTEMPT_BITS)) << SEQ_BITS;
        let mut requests = conn.prepare(
            "SELECT seq, unix_ms, kind, client, tags, duration_us, cost, baseline_cost FROM requests WHERE seq >= ? \
             ORDER BY seq",
        )?;
        let mut attempts = conn.prepare(
            "SELECT seq, kind, start_us, first_token_us, duration_us, input_tokens, output_tokens, cache_read_tokens, \
             cache_write_tokens, reasoning_tokens, cost FROM attempts WHERE seq >= ? ORDER BY seq",
        )?;
        let mut requests = requests.query([first])?;
        let mut attempts = attempts.query([first << ATTEMPT_BITS])?;
        let mut waiting = next_attempt(&mut attempts, &self.attempt_kinds)?;
        // The request and whether it arrived in time to count; the endpoint of its first attempt.
        let mut current: Option<(RequestRow, bool)> = None;
        let (mut of_current, mut first_endpoint) = (Vec::new(), None);
        loop {
            let next = match requests.next()? {
                Some(row) => Some(self.request_row(conn, row)?),
                None => None,
            };
            let end = next.as_ref().map_or(i64::MAX, |(n, _)| n.seq << ATTEMPT_BITS);
            while let Some(mut attempt) = waiting.take_if(|a| a.seq < end) {
                if !attempt.aside {
                    attempt.row.moved = *first_endpoint.get_or_insert(attempt.endpoint) != attempt.endpoint;
                }
                of_current.push(attempt.row);
                waiting = next_attempt(&mut attempts, &self.attempt_kinds)?;
            }
            if let Some((request, true)) = current {
                self.tally.add(&request, &of_current);
            }
            of_current.clear();
            first_endpoint = None;
            if next.is_none() {
                return Ok(());
            }
            current = next;
        }
    }

    fn request_row(&mut self, conn: &Connection, row: &Row<'_>) -> rusqlite::Result<(RequestRow, bool)> {
        let kind: i64 = row.get(2)?;
        let client: Option<i64> = row.get(3)?;
        let counts = row.get::<_, i64>(1)? >= self.since_unix_ms;
        let groups = match &mut self.grouping {
            _ if !counts => Vec::new(),
            Grouping::AttemptKind => Vec::new(),
            Grouping::RequestKind(labels) => {
                vec![labels.get(&kind).copied().unwrap_or_else(|| self.tally.group(None))]
            }
            Grouping::Client(labels) => {
                vec![client.and_then(|c| labels.get(&c).copied()).unwrap_or_else(|| self.tally.group(None))]
            }
            Grouping::Tags(known) => match row.get_ref(4)? {
                ValueRef::Integer(number) => match known.get(&number) {
                    Some(groups) => groups.clone(),
                    None => {
                        let mut text = conn.prepare_cached("SELECT text FROM texts WHERE id = ?")?;
                        let text: String = text.query_row([number], |r| r.get(0))?;
                        known.entry(number).or_insert(self.tally.tags(Some(&text))).clone()
                    }
                },
                ValueRef::Text(text) => self.tally.tags(Some(&String::from_utf8_lossy(text))),
                _ => self.tally.tags(None),
            },
        };
        let request = RequestRow {
            seq: row.get(0)?,
            outcome: self.request_outcomes.get(&kind).copied().unwrap_or(Outcome::Error),
            groups,
            duration_us: count(row, 5)?,
            cost: row.get(6)?,
            baseline: row.get(7)?,
        };
        Ok((request, counts))
    }
}

/// Calls `visit` on each row of `sql`.
fn each(conn: &Connection, sql: &str, mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(row)?;
    }
    Ok(())
}

/// The group of each dictionary row of `table`, by its `column`; both names are ours, never a user's.
fn labels(conn: &Connection, table: &str, column: &str, tally: &mut Tally) -> rusqlite::Result<HashMap<i64, usize>> {
    let mut labels = HashMap::new();
    each(conn, &format!("SELECT id, {column} FROM {table}"), |row| {
        labels.insert(row.get(0)?, tally.group(row.get_ref(1)?.as_str_or_null()?));
        Ok(())
    })?;
    Ok(labels)
}

fn next_attempt(rows: &mut rusqlite::Rows<'_>, kinds: &HashMap<i64, AttemptKind>) -> rusqlite::Result<Option<Waiting>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let unknown =
        AttemptKind { outcome: Outcome::Error, aside: false, estimated: false, endpoint: usize::MAX, group: 0 };
    let kind = kinds.get(&row.get(1)?).copied().unwrap_or(unknown);
    let mut tokens = [0; 5];
    for (i, slot) in tokens.iter_mut().enumerate() {
        *slot = count(row, 5 + i)?;
    }
    let attempt = AttemptRow {
        outcome: kind.outcome,
        estimated: kind.estimated,
        moved: false,
        group: kind.group,
        start_us: count(row, 2)?,
        first_token_us: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
        duration_us: count(row, 4)?,
        tokens,
        cost: row.get(10)?,
    };
    Ok(Some(Waiting { seq: row.get(0)?, endpoint: kind.endpoint, aside: kind.aside, row: attempt }))
}

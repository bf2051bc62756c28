//! What the ledger says in sums: requests, errors, tokens, money and times by a dimension. Exact over the rows; it
//! formats nothing.
//!
//! By model and provider the rows are **attempts**: an error belongs to the model that made it, not to the one that
//! answered in the end. By anything else the rows are **requests**. `total` is always over requests.

use super::error::LedgerError;
use super::read::{Reader, count, parse_tags};
use super::sqlite::{ATTEMPT_BITS, SEQ_BITS};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde::Serialize;
use std::collections::HashMap;

/// What a report groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Registry model, over attempts.
    Model,
    /// Provider, over attempts.
    Provider,
    /// Route, over requests.
    Route,
    /// Stage, over requests.
    Stage,
    /// Client key, over requests.
    Key,
    /// Strategy, over requests.
    Strategy,
    /// Each `key=value`, over requests: one with two tags counts in both groups.
    Tag,
    /// Team, over requests.
    Team,
}

impl By {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 8] =
        [Self::Model, Self::Provider, Self::Route, Self::Stage, Self::Key, Self::Strategy, Self::Tag, Self::Team];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
            Self::Stage => "stage",
            Self::Key => "key",
            Self::Strategy => "strategy",
            Self::Tag => "tag",
            Self::Team => "team",
        }
    }

    /// The dimension of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name)
    }

    /// Whether the groups are over attempts; else over requests.
    pub const fn over_attempts(self) -> bool {
        matches!(self, Self::Model | Self::Provider)
    }
}

/// A ledger in sums.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What `groups` are.
    pub by: By,
    /// Requests that arrived at or after this time count, milliseconds since the Unix epoch.
    pub since_unix_ms: i64,
    /// Dearest first.
    pub groups: Vec<Group>,
    /// All requests.
    pub total: Figures,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The dimension's value; `None`: rows without one.
    pub name: Option<String>,
    /// Its sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The sums of a group. Shares are 0 to 1, and `None` where there is nothing to divide by.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests; over attempts: requests with at least one attempt in the group.
    pub requests: u64,
    /// Upstream tries.
    pub attempts: u64,
    /// Whole answers; over attempts: attempts that ended `ok`.
    pub ok: u64,
    /// Failed and cut requests; over attempts: those that ended neither `ok` nor `cancelled`.
    pub errors: u64,
    /// `errors / (ok + errors)`: who left and who was refused is in neither.
    pub error_rate: Option<f64>,
    /// The client went away.
    pub cancelled: u64,
    /// Refused before any attempt; never over attempts.
    pub refused: u64,
    /// Requests that tried a second endpoint; over attempts: attempts at another endpoint than their request's first.
    pub fallbacks: u64,
    /// Of the requests with an attempt; over attempts: of the attempts.
    pub fallback_share: Option<f64>,
    /// Input, cached included.
    pub input_tokens: u64,
    /// Output, reasoning included.
    pub output_tokens: u64,
    /// Of the input: read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of the input: written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Of the output: reasoning.
    pub reasoning_tokens: u64,
    /// Nano-US-dollars, of the attempts with a known price.
    pub cost_nano_usd: i64,
    /// Attempts whose cost is unknown.
    pub unpriced_attempts: u64,
    /// Attempts whose usage Waypost counted by itself.
    pub estimated_share: Option<f64>,
    /// Arrival to the end of whole answers; over attempts: duration of those that ended `ok`. Milliseconds.
    pub latency_ms: Option<Percentiles>,
    /// Arrival to the first real output of whole streamed answers; over attempts: from the attempt's start.
    pub first_token_ms: Option<Percentiles>,
    /// Output tokens over the whole duration of the `ok` attempts that gave them.
    pub output_tokens_per_second: Option<f64>,
    /// Against the best single model; over attempts it belongs to the group of a request's last attempt.
    pub saving: Saving,
}

/// Nearest-rank percentiles: each is a value that occurred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
}

impl Percentiles {
    /// Of microseconds, in milliseconds; `None` of nothing.
    fn of_us(mut us: Vec<u64>) -> Option<Self> {
        us.sort_unstable();
        let at = |percent: usize| us[(us.len() * percent).div_ceil(100) - 1] as f64 / 1e3;
        (!us.is_empty()).then(|| Self { p50: at(50), p90: at(90), p99: at(99) })
    }
}

/// What routing saved, over the requests where both figures are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// How many requests that is.
    pub requests: u64,
    /// What they would have cost at the best single model, nano-US-dollars.
    pub baseline_nano_usd: i64,
    /// What they did cost, nano-US-dollars.
    pub cost_nano_usd: i64,
}

impl Saving {
    /// The difference, nano-US-dollars; negative where routing cost more.
    pub fn saved_nano_usd(&self) -> i64 {
        self.baseline_nano_usd.saturating_sub(self.cost_nano_usd)
    }

    /// The difference as a share of the baseline.
    pub fn share(&self) -> Option<f64> {
        (self.baseline_nano_usd > 0).then(|| self.saved_nano_usd() as f64 / self.baseline_nano_usd as f64)
    }
}

impl Reader {
    /// The sums over requests that arrived at `since_unix_ms` or later.
    ///
    /// # Errors
    /// The database refused.
    pub fn report(&self, by: By, since_unix_ms: i64) -> Result<Report, LedgerError> {
        let conn = self.conn();
        let read = || {
            // One snapshot for all statements, whatever is written meanwhile.
            let snapshot = conn.unchecked_transaction()?;
            let mut scan = Scan::prepare(&snapshot, by, since_unix_ms)?;
            scan.run(&snapshot)?;
            Ok(scan.finish(by))
        };
        read().map_err(|e| self.location().explain(e))
    }
}

/// The state of one pass over requests and their attempts, both in order of `seq`.
struct Scan {
    since_unix_ms: i64,
    /// How each kind of request ended.
    request_outcomes: HashMap<i64, Outcome>,
    attempt_kinds: HashMap<i64, AttemptKind>,
    grouping: Grouping,
    groups: Groups,
    total: Sums,
}

/// Which groups a row belongs to, by its dictionary number.
enum Grouping {
    RequestKind(HashMap<i64, usize>),
    Client(HashMap<i64, usize>),
    Tags(HashMap<i64, Vec<usize>>),
    AttemptKind,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Ok,
    Error,
    Cancelled,
    Refused,
}

impl Outcome {
    fn from_name(name: &str) -> Self {
        match name {
            "ok" => Self::Ok,
            "cancelled" => Self::Cancelled,
            "refused" => Self::Refused,
            _ => Self::Error,
        }
    }
}

#[derive(Clone, Copy)]
struct AttemptKind {
    outcome: Outcome,
    estimated: bool,
    /// Equal where model, provider and endpoint are.
    endpoint: usize,
    /// Its group, where the report is over attempts.
    group: usize,
}

struct RequestRow {
    seq: i64,
    /// Whether it arrived in time to count.
    counts: bool,
    outcome: Outcome,
    groups: Vec<usize>,
    duration_us: u64,
    cost: i64,
    baseline: Option<i64>,
}

struct AttemptRow {
    seq: i64,
    kind: AttemptKind,
    start_us: u64,
    first_token_us: Option<u64>,
    duration_us: u64,
    tokens: [u64; 5],
    cost: Option<i64>,
}

impl Scan {
    fn prepare(conn: &Connection, by: By, since_unix_ms: i64) -> rusqlite::Result<Self> {
        let mut groups = Groups::default();
        let grouping = match by {
            By::Route | By::Stage | By::Strategy => {
                Grouping::RequestKind(labels(conn, "request_kinds", by.name(), &mut groups)?)
            }
            By::Key | By::Team => Grouping::Client(labels(conn, "clients", by.name(), &mut groups)?),
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
                By::Model => groups.index(Some(&model)),
                By::Provider => groups.index(Some(&provider)),
                _ => 0,
            };
            let next = endpoints.len();
            let endpoint = *endpoints.entry((model, provider, row.get::<_, String>(3)?)).or_insert(next);
            let outcome = Outcome::from_name(row.get_ref(4)?.as_str()?);
            attempt_kinds.insert(row.get(0)?, AttemptKind { outcome, estimated: row.get(5)?, endpoint, group });
            Ok(())
        })?;
        Ok(Self { since_unix_ms, request_outcomes, attempt_kinds, grouping, groups, total: Sums::default() })
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
        let mut current: Option<RequestRow> = None;
        let mut of_current = Vec::new();
        loop {
            let next = match requests.next()? {
                Some(row) => Some(self.request_row(conn, row)?),
                None => None,
            };
            let end = next.as_ref().map_or(i64::MAX, |n| n.seq << ATTEMPT_BITS);
            while let Some(attempt) = waiting.take_if(|a| a.seq < end) {
                of_current.push(attempt);
                waiting = next_attempt(&mut attempts, &self.attempt_kinds)?;
            }
            if let Some(request) = current.filter(|r| r.counts) {
                self.add(&request, &of_current);
            }
            of_current.clear();
            if next.is_none() {
                return Ok(());
            }
            current = next;
        }
    }

    fn request_row(&mut self, conn: &Connection, row: &Row<'_>) -> rusqlite::Result<RequestRow> {
        let kind: i64 = row.get(2)?;
        let client: Option<i64> = row.get(3)?;
        let counts = row.get::<_, i64>(1)? >= self.since_unix_ms;
        let groups = match &mut self.grouping {
            _ if !counts => Vec::new(),
            Grouping::AttemptKind => Vec::new(),
            Grouping::RequestKind(labels) => {
                vec![labels.get(&kind).copied().unwrap_or_else(|| self.groups.index(None))]
            }
            Grouping::Client(labels) => {
                vec![client.and_then(|c| labels.get(&c).copied()).unwrap_or_else(|| self.groups.index(None))]
            }
            Grouping::Tags(known) => match row.get_ref(4)? {
                ValueRef::Integer(number) => match known.get(&number) {
                    Some(groups) => groups.clone(),
                    None => {
                        let mut text = conn.prepare_cached("SELECT text FROM texts WHERE id = ?")?;
                        let text: String = text.query_row([number], |r| r.get(0))?;
                        known.entry(number).or_insert(self.groups.of_tags(&text)).clone()
                    }
                },
                ValueRef::Text(text) => self.groups.of_tags(&String::from_utf8_lossy(text)),
                _ => vec![self.groups.index(None)],
            },
        };
        Ok(RequestRow {
            seq: row.get(0)?,
            counts,
            outcome: self.request_outcomes.get(&kind).copied().unwrap_or(Outcome::Error),
            groups,
            duration_us: count(row, 5)?,
            cost: row.get(6)?,
            baseline: row.get(7)?,
        })
    }

    fn add(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        self.total.add_request(request, attempts);
        for group in &request.groups {
            self.groups.sums[*group].add_request(request, attempts);
        }
        if matches!(self.grouping, Grouping::AttemptKind) {
            for attempt in attempts {
                let fell_back = attempt.kind.endpoint != attempts[0].kind.endpoint;
                self.groups.sums[attempt.kind.group].add_attempt(request, attempt, fell_back);
            }
            if let Some(last) = attempts.last() {
                self.groups.sums[last.kind.group].add_saving(request, attempts);
            }
        }
    }

    fn finish(self, by: By) -> Report {
        let mut groups: Vec<Group> = self
            .groups
            .names
            .into_iter()
            .zip(self.groups.sums)
            .filter(|(_, sums)| sums.figures.requests > 0)
            .map(|(name, sums)| Group { name, figures: sums.finish() })
            .collect();
        let order = |g: &Group| (-g.figures.cost_nano_usd, -i128::from(g.figures.requests));
        groups.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
        Report { by, since_unix_ms: self.since_unix_ms, groups, total: self.total.finish() }
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
fn labels(conn: &Connection, table: &str, column: &str, groups: &mut Groups) -> rusqlite::Result<HashMap<i64, usize>> {
    let mut labels = HashMap::new();
    each(conn, &format!("SELECT id, {column} FROM {table}"), |row| {
        labels.insert(row.get(0)?, groups.index(row.get_ref(1)?.as_str_or_null()?));
        Ok(())
    })?;
    Ok(labels)
}

fn next_attempt(
    rows: &mut rusqlite::Rows<'_>,
    kinds: &HashMap<i64, AttemptKind>,
) -> rusqlite::Result<Option<AttemptRow>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let unknown = AttemptKind { outcome: Outcome::Error, estimated: false, endpoint: usize::MAX, group: 0 };
    let mut tokens = [0; 5];
    for (i, slot) in tokens.iter_mut().enumerate() {
        *slot = count(row, 5 + i)?;
    }
    Ok(Some(AttemptRow {
        seq: row.get(0)?,
        kind: kinds.get(&row.get(1)?).copied().unwrap_or(unknown),
        start_us: count(row, 2)?,
        first_token_us: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
        duration_us: count(row, 4)?,
        tokens,
        cost: row.get(10)?,
    }))
}

#[derive(Default)]
struct Groups {
    by_name: HashMap<Option<String>, usize>,
    names: Vec<Option<String>>,
    sums: Vec<Sums>,
}

impl Groups {
    fn index(&mut self, name: Option<&str>) -> usize {
        let name = name.map(str::to_owned);
        if let Some(index) = self.by_name.get(&name) {
            return *index;
        }
        self.names.push(name.clone());
        self.sums.push(Sums::default());
        self.by_name.insert(name, self.sums.len() - 1);
        self.sums.len() - 1
    }

    /// One group for each different tag.
    fn of_tags(&mut self, json: &str) -> Vec<usize> {
        let tags = parse_tags(json);
        let mut groups: Vec<usize> = tags.iter().map(|(k, v)| self.index(Some(&format!("{k}={v}")))).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// A group while it grows.
#[derive(Default)]
struct Sums {
    figures: Figures,
    /// The request that was counted last, so that two attempts of one count it once.
    last_request: Option<i64>,
    /// Requests with an attempt.
    tried: u64,
    estimated: u64,
    latency_us: Vec<u64>,
    first_token_us: Vec<u64>,
    timed_output_tokens: u64,
    timed_us: u64,
    over_attempts: bool,
}

impl Sums {
    fn add_request(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        self.figures.requests += 1;
        self.count_outcome(request.outcome);
        for attempt in attempts {
            self.add_usage(attempt);
        }
        self.tried += u64::from(!attempts.is_empty());
        let fell_back = attempts.iter().any(|a| a.kind.endpoint != attempts[0].kind.endpoint);
        self.figures.fallbacks += u64::from(fell_back);
        let f = &mut self.figures;
        f.cost_nano_usd = f.cost_nano_usd.saturating_add(request.cost);
        if request.outcome == Outcome::Ok {
            self.latency_us.push(request.duration_us);
            let answered = attempts.iter().rfind(|a| a.kind.outcome == Outcome::Ok);
            self.first_token_us.extend(answered.and_then(|a| Some(a.start_us + a.first_token_us?)));
        }
        self.add_saving(request, attempts);
    }

    fn add_attempt(&mut self, request: &RequestRow, attempt: &AttemptRow, fell_back: bool) {
        self.over_attempts = true;
        let first_of_request = self.last_request != Some(request.seq);
        self.last_request = Some(request.seq);
        self.figures.requests += u64::from(first_of_request);
        self.count_outcome(attempt.kind.outcome);
        self.add_usage(attempt);
        self.figures.fallbacks += u64::from(fell_back);
        let f = &mut self.figures;
        f.cost_nano_usd = f.cost_nano_usd.saturating_add(attempt.cost.unwrap_or(0));
        if attempt.kind.outcome == Outcome::Ok {
            self.latency_us.push(attempt.duration_us);
            self.first_token_us.extend(attempt.first_token_us);
        }
    }

    fn count_outcome(&mut self, outcome: Outcome) {
        let f = &mut self.figures;
        let counter = match outcome {
            Outcome::Ok => &mut f.ok,
            Outcome::Error => &mut f.errors,
            Outcome::Cancelled => &mut f.cancelled,
            Outcome::Refused => &mut f.refused,
        };
        *counter += 1;
    }

    fn add_usage(&mut self, attempt: &AttemptRow) {
        let f = &mut self.figures;
        f.attempts += 1;
        let sums = [
            &mut f.input_tokens,
            &mut f.output_tokens,
            &mut f.cache_read_tokens,
            &mut f.cache_write_tokens,
            &mut f.reasoning_tokens,
        ];
        for (sum, tokens) in sums.into_iter().zip(attempt.tokens) {
            *sum = sum.saturating_add(tokens);
        }
        f.unpriced_attempts += u64::from(attempt.cost.is_none());
        self.estimated += u64::from(attempt.kind.estimated);
        let output = attempt.tokens[1];
        if attempt.kind.outcome == Outcome::Ok && output > 0 {
            self.timed_output_tokens = self.timed_output_tokens.saturating_add(output);
            self.timed_us = self.timed_us.saturating_add(attempt.duration_us);
        }
    }

    fn add_saving(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        let Some(baseline) = request.baseline.filter(|_| attempts.iter().all(|a| a.cost.is_some())) else { return };
        let s = &mut self.figures.saving;
        s.requests += 1;
        s.baseline_nano_usd = s.baseline_nano_usd.saturating_add(baseline);
        s.cost_nano_usd = s.cost_nano_usd.saturating_add(request.cost);
    }

    fn finish(self) -> Figures {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let f = self.figures;
        let tried = if self.over_attempts { f.attempts } else { self.tried };
        Figures {
            error_rate: share(f.errors, f.ok + f.errors),
            fallback_share: share(f.fallbacks, tried),
            estimated_share: share(self.estimated, f.attempts),
            latency_ms: Percentiles::of_us(self.latency_us),
            first_token_ms: Percentiles::of_us(self.first_token_us),
            output_tokens_per_second: share(self.timed_output_tokens, self.timed_us).map(|per_us| per_us * 1e6),
            ..f
        }
    }
}

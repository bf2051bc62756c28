//! Records to rows: dictionaries and inserts, one transaction a batch. It owns no thread, no queue and no clock.

use super::feedback;
use super::schema::{ATTEMPT_BITS, SEQ_BITS};
use crate::store::feedback::LOOKED_AT;
use crate::store::lesson::Keep;
use crate::store::tags::push_tags;
use crate::store::{AttemptRecord, RequestOutcome, RequestRecord, stored};
use hashbrown::HashTable;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use waypost_core::profile::{Class, Task};

/// Entries of a dictionary of combinations before it starts again, with new numbers; some 3 MB each.
const MAX_KINDS: usize = 16_384;
/// Entries of a dictionary of texts; what comes later is stored in its row.
const MAX_TEXTS: usize = 4096;
/// Where old rows are deleted, one decision is kept for so many requests: it is some 30 times larger.
const DECISION_SHARE: u64 = 16;
/// A clock beyond this is wrong (year 4199); its numbers would leave no room for those of attempts.
const MAX_UNIX_MS: i64 = 1 << 46;
/// Longer texts are not worth a dictionary entry.
const MAX_TEXT_LEN: usize = 512;

const INSERT_REQUEST: &str = "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
const INSERT_ATTEMPT: &str = "INSERT INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,?)";
const INSERT_DECISION: &str = "INSERT INTO decisions VALUES (?,?)";
const INSERT_REQUEST_KIND: &str = "INSERT INTO request_kinds VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?)";
const INSERT_ATTEMPT_KIND: &str = "INSERT INTO attempt_kinds VALUES (NULL,?,?,?,?,?,?)";
const INSERT_CLIENT: &str = "INSERT INTO clients VALUES (NULL,?,?)";
const INSERT_TEXT: &str = "INSERT INTO texts VALUES (NULL,?)";
/// The last number in use: attempts beyond the room of their request reach into the numbers that follow it.
const LAST_SEQ: &str =
    "SELECT max(ifnull((SELECT max(seq) FROM requests), 0), ifnull((SELECT max(seq) FROM attempts), 0) >> 6)";

/// Writes batches of records through one connection.
pub(in crate::store) struct RowWriter {
    conn: Connection,
    dictionaries: Dictionaries,
    /// What is kept of requests, and of decisions, which are larger; `None`: all.
    retained: Option<[Retention; 2]>,
}

impl RowWriter {
    pub(in crate::store) fn new(conn: Connection, retain: Option<u64>) -> Self {
        conn.set_prepared_statement_cache_capacity(16);
        let retained = retain.map(|keep| [Retention::new(keep), Retention::new(keep / DECISION_SHARE)]);
        Self { conn, dictionaries: Dictionaries::default(), retained }
    }

    /// Writes all of `records` or, on an error, none.
    pub(in crate::store) fn write(&mut self, records: &[RequestRecord], lessons: Option<Keep>) -> rusqlite::Result<()> {
        let result = self.try_write(records, lessons);
        if result.is_err() {
            // Numbers given in the transaction that was rolled back do not exist.
            self.dictionaries = Dictionaries::default();
        }
        result
    }

    fn try_write(&mut self, records: &[RequestRecord], lessons: Option<Keep>) -> rusqlite::Result<()> {
        // Immediate: the numbers that this transaction continues must not move, another process may write here too.
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut last: i64 = tx.prepare_cached(LAST_SEQ)?.query_row([], |row| row.get(0))?;
        {
            let mut insert = Inserts::prepare(&tx)?;
            for record in records {
                let seq = (last + 1).max(record.unix_ms.clamp(0, MAX_UNIX_MS) << SEQ_BITS);
                insert.record(&mut self.dictionaries, seq, record)?;
                last = seq + (record.attempts.len().saturating_sub(1) >> ATTEMPT_BITS) as i64;
            }
        }
        if let Some([requests, decisions]) = &mut self.retained {
            let newest = (records.len() as u64, last);
            if let Some(expired) = requests.expired(newest) {
                tx.prepare_cached("DELETE FROM requests WHERE seq <= ?")?.execute([expired])?;
                tx.prepare_cached("DELETE FROM attempts WHERE seq < ?")?.execute([(expired + 1) << ATTEMPT_BITS])?;
            }
            if let Some(expired) = decisions.expired(newest) {
                tx.prepare_cached("DELETE FROM decisions WHERE seq <= ?")?.execute([expired])?;
            }
        }
        write_lessons(&tx, records, lessons)?;
        tx.commit()
    }
}

/// Rows for learning, and the end of those that are too old or too many.
fn write_lessons(tx: &Transaction<'_>, records: &[RequestRecord], keep: Option<Keep>) -> rusqlite::Result<()> {
    let mut written = 0;
    for row in records.iter().filter_map(RequestRecord::lesson_row) {
        feedback::insert_lesson(tx, &row)?;
        written += 1;
    }
    let newest = records.iter().map(|r| r.unix_ms).max();
    if let (Some(keep), Some(now), 1..) = (keep, newest, written) {
        feedback::forget(tx, "lessons", keep.since(now), keep.stored_rows(), LOOKED_AT.max(2 * written))?;
    }
    Ok(())
}

/// Finds what has become too old, by marks that it sets as rows are written. A mark of a batch that was rolled back makes
/// it delete a little early, never late.
struct Retention {
    keep: u64,
    written: u64,
    /// How much had been written up to which number; some 64 of them.
    marks: VecDeque<(u64, i64)>,
}

impl Retention {
    fn new(keep: u64) -> Self {
        Self { keep, written: 0, marks: VecDeque::new() }
    }

    /// Takes how many rows a batch wrote and its last number; gives the last number that is not to be kept, if it changed.
    fn expired(&mut self, (rows, last): (u64, i64)) -> Option<i64> {
        self.written += rows;
        if self.marks.back().is_none_or(|(written, _)| self.written - written > self.keep / 64) {
            self.marks.push_back((self.written, last));
        }
        let mut expired = None;
        while let Some((_, seq)) = self.marks.pop_front_if(|(written, _)| self.written - *written >= self.keep) {
            expired = Some(seq);
        }
        expired
    }
}

/// The statements of one transaction; the connection keeps them compiled between transactions.
struct Inserts<'tx> {
    tx: &'tx Transaction<'tx>,
    request: CachedStatement<'tx>,
    attempt: CachedStatement<'tx>,
}

impl<'tx> Inserts<'tx> {
    fn prepare(tx: &'tx Transaction<'tx>) -> rusqlite::Result<Self> {
        Ok(Self { tx, request: tx.prepare_cached(INSERT_REQUEST)?, attempt: tx.prepare_cached(INSERT_ATTEMPT)? })
    }

    fn record(&mut self, dictionaries: &mut Dictionaries, seq: i64, r: &RequestRecord) -> rusqlite::Result<()> {
        let tx = self.tx;
        let kind = dictionaries.request_kind(tx, r)?;
        let client = dictionaries.client(tx, r)?;
        let s = &mut *self.request;
        s.raw_bind_parameter(1, seq)?;
        s.raw_bind_parameter(2, r.id.0.to_be_bytes().as_slice())?;
        s.raw_bind_parameter(3, r.unix_ms)?;
        s.raw_bind_parameter(4, kind)?;
        s.raw_bind_parameter(5, client)?;
        match dictionaries.tags(tx, &r.tags)? {
            Text::Number(number) => s.raw_bind_parameter(6, number)?,
            Text::Inline(text) => s.raw_bind_parameter(6, text)?,
        }
        match dictionaries.reasons.number(tx, &r.reason)? {
            Text::Number(number) => s.raw_bind_parameter(7, number)?,
            Text::Inline(text) => s.raw_bind_parameter(7, text)?,
        }
        s.raw_bind_parameter(8, r.estimated_input_tokens)?;
        // SQLite stores NaN as NULL, which the column refuses.
        s.raw_bind_parameter(9, if r.complexity.is_nan() { 0.0 } else { f64::from(r.complexity) })?;
        s.raw_bind_parameter(10, stored(r.duration_us))?;
        s.raw_bind_parameter(11, r.cost.0)?;
        s.raw_bind_parameter(12, r.baseline_cost.map(|c| c.0))?;
        s.raw_bind_parameter(13, r.propensity)?;
        s.raw_execute()?;
        for (n, attempt) in r.attempts.iter().enumerate() {
            let kind = dictionaries.attempt_kind(tx, attempt)?;
            self.attempt((seq << ATTEMPT_BITS) + n as i64, kind, attempt)?;
        }
        if let Some(detail) = &r.decision {
            tx.prepare_cached(INSERT_DECISION)?.execute(params![seq, &**detail])?;
        }
        Ok(())
    }

    fn attempt(&mut self, seq: i64, kind: i64, a: &AttemptRecord) -> rusqlite::Result<()> {
        let s = &mut *self.attempt;
        s.raw_bind_parameter(1, seq)?;
        s.raw_bind_parameter(2, kind)?;
        s.raw_bind_parameter(3, stored(a.start_us))?;
        s.raw_bind_parameter(4, a.first_token_us.map(stored))?;
        s.raw_bind_parameter(5, stored(a.duration_us))?;
        s.raw_bind_parameter(6, stored(a.usage.input_tokens))?;
        s.raw_bind_parameter(7, stored(a.usage.output_tokens))?;
        s.raw_bind_parameter(8, stored(a.usage.cache_read_tokens))?;
        s.raw_bind_parameter(9, stored(a.usage.cache_write_tokens))?;
        s.raw_bind_parameter(10, stored(a.usage.reasoning_tokens))?;
        s.raw_bind_parameter(11, a.cost.map(|c| c.0))?;
        s.raw_execute()?;
        Ok(())
    }
}

/// What this process has numbered so far.
#[derive(Default)]
struct Dictionaries {
    request_kinds: Kinds<RequestKind>,
    attempt_kinds: Kinds<AttemptKind>,
    clients: Kinds<Client>,
    tag_sets: Texts,
    reasons: Texts,
    scratch: String,
}

impl Dictionaries {
    fn request_kind(&mut self, tx: &Transaction<'_>, r: &RequestRecord) -> rusqlite::Result<i64> {
        self.request_kinds.number(
            |h| RequestKind::hash_of(r, h),
            |k| k.is_of(r),
            || {
                let k = RequestKind::of(r);
                tx.prepare_cached(INSERT_REQUEST_KIND)?.execute(params![
                    k.route.as_deref(),
                    k.stage.as_deref(),
                    k.level,
                    k.strategy,
                    k.class.name(),
                    k.task.name(),
                    k.stream,
                    k.model.as_deref(),
                    k.degraded,
                    k.outcome.name(),
                    k.status,
                    k.code,
                ])?;
                Ok((k, tx.last_insert_rowid()))
            },
        )
    }

    fn attempt_kind(&mut self, tx: &Transaction<'_>, a: &AttemptRecord) -> rusqlite::Result<i64> {
        self.attempt_kinds.number(
            |h| AttemptKind::hash_of(a, h),
            |k| k.is_of(a),
            || {
                let k = AttemptKind::of(a);
                tx.prepare_cached(INSERT_ATTEMPT_KIND)?.execute(params![
                    &*k.model,
                    &*k.provider,
                    &*k.endpoint,
                    k.outcome,
                    k.status,
                    k.estimated
                ])?;
                Ok((k, tx.last_insert_rowid()))
            },
        )
    }

    fn client(&mut self, tx: &Transaction<'_>, r: &RequestRecord) -> rusqlite::Result<Option<i64>> {
        if r.key.is_none() && r.team.is_none() {
            return Ok(None);
        }
        self.clients
            .number(
                |h| (&r.key, &r.team).hash(h),
                |k| k.key == r.key && k.team == r.team,
                || {
                    let k = Client { key: r.key.clone(), team: r.team.clone() };
                    tx.prepare_cached(INSERT_CLIENT)?.execute(params![k.key.as_deref(), k.team.as_deref()])?;
                    Ok((k, tx.last_insert_rowid()))
                },
            )
            .map(Some)
    }

    /// Tags as a JSON object, in their order.
    fn tags(&mut self, tx: &Transaction<'_>, tags: &[(Arc<str>, Arc<str>)]) -> rusqlite::Result<Text<'_>> {
        if tags.is_empty() {
            return Ok(Text::Number(None));
        }
        self.scratch.clear();
        push_tags(&mut self.scratch, tags);
        self.tag_sets.number(tx, &self.scratch)
    }
}

/// Numbers of combinations. A full one forgets everything and numbers anew, so that memory stays bounded; rows that
/// name the same thing by two numbers are harmless, for reports group by what is named.
struct Kinds<K> {
    table: HashTable<(u64, K, i64)>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Self { table: HashTable::new(), hasher: hashbrown::DefaultHashBuilder::default() }
    }
}

impl<K> Kinds<K> {
    fn number<H: Hasher>(
        &mut self,
        hash: impl FnOnce(&mut H),
        same: impl Fn(&K) -> bool,
        insert: impl FnOnce() -> rusqlite::Result<(K, i64)>,
    ) -> rusqlite::Result<i64>
    where
        hashbrown::DefaultHashBuilder: BuildHasher<Hasher = H>,
    {
        let mut state = self.hasher.build_hasher();
        hash(&mut state);
        let hash = state.finish();
        if let Some((_, _, number)) = self.table.find(hash, |(h, k, _)| *h == hash && same(k)) {
            return Ok(*number);
        }
        if self.table.len() >= MAX_KINDS {
            self.table.clear();
        }
        let (kind, number) = insert()?;
        self.table.insert_unique(hash, (hash, kind, number), |(h, _, _)| *h);
        Ok(number)
    }
}

/// Numbers of texts. A full one takes no more: texts with figures in them would otherwise push out those that repeat.
#[derive(Default)]
struct Texts(hashbrown::HashMap<Box<str>, i64>);

/// How a row holds a text.
enum Text<'t> {
    /// By its number; `None`: there is no text.
    Number(Option<i64>),
    /// Itself.
    Inline(&'t str),
}

impl Texts {
    fn number<'t>(&mut self, tx: &Transaction<'_>, text: &'t str) -> rusqlite::Result<Text<'t>> {
        if let Some(number) = self.0.get(text) {
            return Ok(Text::Number(Some(*number)));
        }
        if self.0.len() >= MAX_TEXTS || text.len() > MAX_TEXT_LEN {
            return Ok(Text::Inline(text));
        }
        tx.prepare_cached(INSERT_TEXT)?.execute([text])?;
        let number = tx.last_insert_rowid();
        self.0.insert(text.into(), number);
        Ok(Text::Number(Some(number)))
    }
}

struct Client {
    key: Option<Arc<str>>,
    team: Option<Arc<str>>,
}

struct RequestKind {
    route: Option<Arc<str>>,
    stage: Option<Arc<str>>,
    level: &'static str,
    strategy: &'static str,
    class: Class,
    task: Task,
    stream: bool,
    model: Option<Arc<str>>,
    degraded: bool,
    outcome: RequestOutcome,
    status: u16,
    code: Option<&'static str>,
}

impl RequestKind {
    fn of(r: &RequestRecord) -> Self {
        Self {
            route: r.route.clone(),
            stage: r.stage.clone(),
            level: r.level,
            strategy: r.strategy,
            class: r.class,
            task: r.task,
            stream: r.stream,
            model: r.model.clone(),
            degraded: r.degraded,
            outcome: r.outcome,
            status: r.status,
            code: r.code,
        }
    }

    fn is_of(&self, r: &RequestRecord) -> bool {
        self.small() == small(r)
            && self.level == r.level
            && self.strategy == r.strategy
            && self.code == r.code
            && self.model == r.model
            && self.route == r.route
            && self.stage == r.stage
    }

    fn hash_of(r: &RequestRecord, h: &mut impl Hasher) {
        h.write_u64(small(r));
        (&r.model, &r.route, &r.stage, r.strategy, r.level, r.code).hash(h);
    }

    fn small(&self) -> u64 {
        pack(self.class, self.task, self.stream, self.degraded, self.outcome, self.status)
    }
}

fn small(r: &RequestRecord) -> u64 {
    pack(r.class, r.task, r.stream, r.degraded, r.outcome, r.status)
}

/// The small fields in one word, for one comparison.
fn pack(class: Class, task: Task, stream: bool, degraded: bool, outcome: RequestOutcome, status: u16) -> u64 {
    u64::from(status)
        | (class as u64) << 16
        | (task as u64) << 24
        | u64::from(stream) << 32
        | u64::from(degraded) << 33
        | (outcome as u64) << 40
}

struct AttemptKind {
    model: Arc<str>,
    provider: Arc<str>,
    endpoint: Arc<str>,
    outcome: &'static str,
    status: u16,
    estimated: bool,
}

impl AttemptKind {
    fn of(a: &AttemptRecord) -> Self {
        Self {
            model: a.model.clone(),
            provider: a.provider.clone(),
            endpoint: a.endpoint.clone(),
            outcome: a.outcome,
            status: a.status,
            estimated: a.estimated,
        }
    }

    fn is_of(&self, a: &AttemptRecord) -> bool {
        (self.status, self.estimated) == (a.status, a.estimated)
            && self.outcome == a.outcome
            && self.model == a.model
            && self.provider == a.provider
            && self.endpoint == a.endpoint
    }

    fn hash_of(a: &AttemptRecord, h: &mut impl Hasher) {
        h.write_u32(u32::from(a.status) << 1 | u32::from(a.estimated));
        (&a.model, &a.provider, &a.endpoint, a.outcome).hash(h);
    }
}

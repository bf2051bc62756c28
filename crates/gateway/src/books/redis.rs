//! Books at a Redis server: one key each, whose value is the version, a space and the book. A swap is one small script a
//! book, all of them and the server's clock in one round trip. Not for Redis Cluster. A server that forgets keys before
//! their time (`maxmemory-policy`) or its last writes (no append-only file) forgets spend.

use super::{Change, LISTING, MAX_VERSION, StoreAway, Stored, Swapped, away, body_of, parse, within};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Before the name of a book in its key.
const PREFIX: &str = "waypost:book:";
/// Keys that one step of a listing looks at, and books that it reads.
const STEP: usize = 1000;
/// Until the year 9999: what Redis takes as a time.
const LATEST_MS: i64 = 253_402_300_799_999;

/// Sent whole each time: it is short, and there is no second path for a server that has forgotten it.
const SWAP: &str = "\
local found = redis.call('GET', KEYS[1])
local version = '0'
if found then version = string.match(found, '^([1-9]%d*) ') end
if version ~= ARGV[1] then return {'changed', found} end
local time = redis.call('TIME')
local next = string.format('%.0f', math.max(tonumber(version) + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[1], next .. ' ' .. ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return {'done', next}";

/// Books at a Redis server.
pub struct Redis {
    client: Client,
    name: String,
    timeout: Duration,
    connection: Option<MultiplexedConnection>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.name).finish()
    }
}

impl Redis {
    /// Reads `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://` for TLS.
    pub(super) fn parse(url: &str, timeout: Duration) -> Result<Self, String> {
        // The crate's message may quote the URL.
        let wrong = "this Redis URL cannot be read: expected redis://USER:PASSWORD@HOST:PORT/DATABASE or, for TLS, \
                     rediss://…; special characters in a name or password as %XX";
        let client = Client::open(url).map_err(|_| wrong.to_owned())?;
        Ok(Self::new(client, timeout))
    }

    fn new(client: Client, timeout: Duration) -> Self {
        let info = client.get_connection_info();
        let name = format!("the budgets at Redis {}, database {}", info.addr(), info.redis_settings().db());
        Self { client, name, timeout, connection: None }
    }

    pub(super) fn another(&self) -> Self {
        Self::new(self.client.clone(), self.timeout)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn read(&mut self, ids: &[String]) -> Result<(Vec<Stored>, i64), StoreAway> {
        let mut pipeline = ::redis::pipe();
        for id in ids {
            pipeline.cmd("GET").arg(key(id));
        }
        self.call(1, async |link| {
            let (answers, now_ms) = link.ask(pipeline).await?;
            let stored = ids.iter().zip(answers).map(|(id, value)| link.stored(id, value));
            Ok((stored.map(|stored| stored.map(Option::unwrap_or_default)).collect::<Result<_, _>>()?, now_ms))
        })
        .await
    }

    pub(super) async fn swap(&mut self, changes: &[Change]) -> Result<(Vec<Swapped>, i64), StoreAway> {
        let mut pipeline = ::redis::pipe();
        for change in changes {
            let until = change.keep_until_ms.clamp(0, LATEST_MS);
            let body = body_of(&self.name, change)?;
            pipeline.cmd("EVAL").arg(SWAP).arg(1).arg(key(&change.id)).arg(change.expected).arg(body).arg(until);
        }
        self.call(1, async |link| {
            let (answers, now_ms) = link.ask(pipeline).await?;
            let swapped = changes.iter().zip(answers).map(|(change, value)| link.swapped(&change.id, value));
            Ok((swapped.collect::<Result<_, _>>()?, now_ms))
        })
        .await
    }

    pub(super) async fn list(&mut self, prefix: &str) -> Result<(Vec<(String, Stored)>, i64), StoreAway> {
        self.call(LISTING.0, async |link| {
            let ids = link.names(prefix).await?;
            let mut listed = Vec::new();
            let mut clock = link.ask(::redis::pipe()).await?.1;
            for step in ids.chunks(STEP) {
                let mut pipeline = ::redis::pipe();
                for id in step {
                    pipeline.cmd("GET").arg(key(id));
                }
                let (answers, now_ms) = link.ask(pipeline).await?;
                clock = now_ms;
                for (id, value) in step.iter().zip(answers) {
                    listed.extend(link.stored(id, value)?.map(|stored| (id.clone(), stored)));
                }
            }
            Ok((listed, clock))
        })
        .await
    }

    /// Runs `call` over the connection, or a new one. A connection that failed is not used again.
    async fn call<T>(
        &mut self,
        patience: u32,
        call: impl AsyncFnOnce(&mut Link<'_>) -> Result<T, StoreAway>,
    ) -> Result<T, StoreAway> {
        let (name, client, limit) = (self.name.as_str(), &self.client, self.timeout * patience);
        let present = self.connection.take();
        let is_new = present.is_none();
        let calling = async {
            let connection = match present {
                Some(connection) => connection,
                None => Box::pin(connect(client)).await.map_err(|e| refused(name, client, &e))?,
            };
            let mut link = Link { name, client, connection };
            if is_new {
                link.warn_of_evictions().await?;
            }
            let result = call(&mut link).await?;
            Ok((result, link.connection))
        };
        let (result, connection) = within(name, limit, calling).await?;
        self.connection = Some(connection);
        Ok(result)
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, ::redis::RedisError> {
    // The time is limited around all of it.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A connection in use.
struct Link<'a> {
    name: &'a str,
    client: &'a Client,
    connection: MultiplexedConnection,
}

impl Link<'_> {
    /// The answers to `commands`, of which none is an error, and the server's clock.
    async fn ask(&mut self, commands: Pipeline) -> Result<(Vec<Value>, i64), StoreAway> {
        let mut pipeline = ::redis::pipe();
        pipeline.cmd("TIME");
        for command in commands.cmd_iter() {
            pipeline.add_command(command.clone());
        }
        let asked = commands.len();
        let answers: Vec<Value> =
            pipeline.query_async(&mut self.connection).await.map_err(|e| refused(self.name, self.client, &e))?;
        if answers.len() != asked + 1 {
            return Err(away(self.name, format!("{} answers came to {} questions", answers.len(), asked + 1)));
        }
        let mut answers = answers.into_iter();
        let time = answers.next().unwrap_or_default();
        let now_ms = clock(&time).ok_or_else(|| self.nonsense("TIME", &time))?;
        Ok((answers.collect(), now_ms))
    }

    /// A server that makes room by forgetting keys forgets what was spent.
    async fn warn_of_evictions(&mut self) -> Result<(), StoreAway> {
        let mut info = Cmd::new();
        info.arg("INFO").arg("memory");
        // Where the account may not ask, there is nothing to say.
        let told = match info.query_async::<Value>(&mut self.connection).await {
            Ok(Value::BulkString(text)) => text,
            Ok(_) => return Ok(()),
            Err(error) if error.is_io_error() => return Err(refused(self.name, self.client, &error)),
            Err(_) => return Ok(()),
        };
        let told = String::from_utf8_lossy(&told);
        let value = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let policy = value("maxmemory_policy:").unwrap_or("noeviction");
        if policy != "noeviction" && value("maxmemory:").is_some_and(|bytes| bytes != "0") {
            tracing::warn!(
                store = self.name,
                policy,
                "this Redis forgets keys when its memory is full, and with them what was spent: set \
                 `maxmemory-policy noeviction`"
            );
        }
        Ok(())
    }

    /// Names of books that begin so, in order.
    async fn names(&mut self, prefix: &str) -> Result<Vec<String>, StoreAway> {
        let pattern = format!("{}{}*", PREFIX, escaped(prefix));
        let mut names = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let mut pipeline = ::redis::pipe();
            pipeline.add_command(scan);
            let mut answer = self.ask(pipeline).await?.0.pop().unwrap_or_default();
            let Value::Array(parts) = &mut answer else { return Err(self.nonsense("SCAN", &answer)) };
            let [Value::BulkString(next), Value::Array(keys)] = parts.as_mut_slice() else {
                return Err(self.nonsense("SCAN", &answer));
            };
            cursor.clone_from(next);
            for key in keys {
                // A key of other bytes is not ours.
                if let Value::BulkString(key) = key
                    && let Some(id) = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix(PREFIX))
                {
                    names.insert(id.to_owned());
                }
            }
            if cursor == b"0" || names.len() >= LISTING.1 {
                return Ok(names.into_iter().take(LISTING.1).collect());
            }
        }
    }

    /// A book, where there is one.
    fn stored(&self, id: &str, value: Value) -> Result<Option<Stored>, StoreAway> {
        let value = match value {
            Value::Nil => return Ok(None),
            Value::BulkString(value) => value,
            other => return Err(self.nonsense(id, &other)),
        };
        let mut parts = value.splitn(2, |b| *b == b' ');
        let version = parts.next().and_then(version).ok_or_else(|| self.garbled(id, &value))?;
        let body = parts.next().ok_or_else(|| self.garbled(id, &value))?;
        parse(self.name, id, version, body).map(Some)
    }

    fn swapped(&self, id: &str, value: Value) -> Result<Swapped, StoreAway> {
        let Value::Array(mut parts) = value else { return Err(self.nonsense(id, &value)) };
        match parts.as_mut_slice() {
            [Value::BulkString(what), present] if what == b"changed" => {
                let present = std::mem::take(present);
                Ok(Swapped::Changed(self.stored(id, present)?.unwrap_or_default()))
            }
            [Value::BulkString(what), Value::BulkString(new)] if what == b"done" => match version(new) {
                Some(version @ 1..) if version as u64 <= MAX_VERSION => Ok(Swapped::Done(version as u64)),
                _ => Err(self.garbled(id, new)),
            },
            _ => Err(self.nonsense(id, &Value::Array(parts))),
        }
    }

    fn nonsense(&self, question: &str, answer: &Value) -> StoreAway {
        let answer = shortened(&format!("{answer:?}"));
        away(self.name, format!("its answer to `{}` makes no sense: {answer}", question.escape_debug()))
    }

    fn garbled(&self, id: &str, value: &[u8]) -> StoreAway {
        let value = shortened(&String::from_utf8_lossy(value));
        let id = id.escape_debug();
        away(self.name, format!("the book `{id}` cannot be read: it is not a version and a book: {value}"))
    }
}

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// As Redis' patterns take it literally.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '?' | '[' | ']' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Seconds and microseconds as Redis tells the time, in milliseconds.
fn clock(time: &Value) -> Option<i64> {
    let Value::Array(parts) = time else { return None };
    let [Value::BulkString(seconds), Value::BulkString(micros)] = parts.as_slice() else { return None };
    version(seconds)?.checked_mul(1000)?.checked_add(version(micros)? / 1000)
}

/// A count as the script writes it; any other spelling would never equal what a swap expects.
fn version(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|n: &i64| *n >= 0 && n.to_string() == text)
}

/// What the server or the connection said, without the password, which some servers repeat.
fn refused(name: &str, client: &Client, error: &::redis::RedisError) -> StoreAway {
    let mut said = error.to_string();
    if let Some(password) = client.get_connection_info().redis_settings().password().filter(|p| !p.is_empty()) {
        said = said.replace(password, "***");
    }
    away(name, shortened(&said))
}

fn shortened(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

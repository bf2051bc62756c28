-- Version 1: requests and attempts as narrow rows over dictionaries; views with names for people.
-- Money is nano-US-dollars, times are microseconds unless their name says otherwise. See schema.rs for `seq`.

CREATE TABLE request_kinds (
  id INTEGER PRIMARY KEY,
  route TEXT, stage TEXT, level TEXT NOT NULL, strategy TEXT NOT NULL, class TEXT NOT NULL, task TEXT NOT NULL,
  stream INTEGER NOT NULL, model TEXT, degraded INTEGER NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL, code TEXT
) STRICT;

CREATE TABLE attempt_kinds (
  id INTEGER PRIMARY KEY,
  model TEXT NOT NULL, provider TEXT NOT NULL, endpoint TEXT NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL,
  estimated INTEGER NOT NULL
) STRICT;

CREATE TABLE clients (id INTEGER PRIMARY KEY, key TEXT, team TEXT) STRICT;

CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;

CREATE TABLE requests (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,                 -- 16 bytes, big-endian
  unix_ms INTEGER NOT NULL,
  kind INTEGER NOT NULL,            -- request_kinds
  client INTEGER,                   -- clients
  tags ANY,                         -- a JSON object, or its number in texts
  reason ANY,                       -- a sentence, or its number in texts
  estimated_input_tokens INTEGER NOT NULL,
  complexity REAL NOT NULL,
  duration_us INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  baseline_cost INTEGER
) STRICT;

CREATE TABLE attempts (
  seq INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,            -- attempt_kinds
  start_us INTEGER NOT NULL,
  first_token_us INTEGER,
  duration_us INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost INTEGER                      -- NULL: price unknown
) STRICT;

-- Candidates and exclusions in full, for the requests where they were kept; `seq` is the request's.
CREATE TABLE decisions (seq INTEGER PRIMARY KEY, detail TEXT NOT NULL) STRICT;

CREATE VIEW requests_v AS
SELECT r.seq, lower(hex(r.id)) AS id, r.unix_ms, strftime('%Y-%m-%dT%H:%M:%fZ', r.unix_ms / 1000.0, 'unixepoch') AS time,
  c.key, c.team, k.route, k.stage, k.level, k.strategy, k.class, k.task, k.stream, k.model, k.degraded, k.outcome, k.status,
  k.code, CASE typeof(r.reason) WHEN 'integer' THEN (SELECT text FROM texts WHERE id = r.reason) ELSE r.reason END AS reason,
  CASE typeof(r.tags) WHEN 'integer' THEN (SELECT text FROM texts WHERE id = r.tags) ELSE r.tags END AS tags,
  r.estimated_input_tokens, r.complexity, r.duration_us, r.cost, r.baseline_cost, r.cost / 1e9 AS cost_usd
FROM requests r JOIN request_kinds k ON k.id = r.kind LEFT JOIN clients c ON c.id = r.client;

CREATE VIEW attempts_v AS
SELECT a.seq, (SELECT max(seq) FROM requests WHERE seq <= a.seq >> 6) AS request_seq,
  k.model, k.provider, k.endpoint, k.outcome, k.status, a.start_us, a.first_token_us, a.duration_us,
  a.input_tokens, a.output_tokens, a.cache_read_tokens, a.cache_write_tokens, a.reasoning_tokens, k.estimated, a.cost,
  a.cost / 1e9 AS cost_usd
FROM attempts a JOIN attempt_kinds k ON k.id = a.kind;

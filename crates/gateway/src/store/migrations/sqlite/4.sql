-- Version 4: what predictors learn from. No prompt and nothing that its words could be guessed from.

-- One row an answered request; `seq` grows as rows are written, and the oldest go first.
CREATE TABLE lessons (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  request BLOB NOT NULL UNIQUE,     -- its id: 16 bytes, big-endian
  unix_ms INTEGER NOT NULL,
  key TEXT, team TEXT, route TEXT, stage TEXT,
  model TEXT NOT NULL,              -- that answered
  task TEXT NOT NULL,
  input_tokens INTEGER, output_tokens INTEGER,  -- NULL: not reported
  cost INTEGER,                     -- of that answer, nano-US-dollars; NULL: price unknown
  propensity REAL,                  -- probability with which this model was chosen; NULL: not known
  predicted REAL,                   -- score expected of the answer; NULL: nothing was predicted
  version INTEGER NOT NULL,         -- of the features
  features BLOB NOT NULL
) STRICT;

-- The newest score that a client reported of a request; a later one replaces it, under a new `seq`.
CREATE TABLE feedback (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  request BLOB NOT NULL UNIQUE,
  unix_ms INTEGER NOT NULL,         -- when it came
  key TEXT, route TEXT,
  model TEXT NOT NULL, task TEXT NOT NULL,
  score REAL NOT NULL,
  predicted REAL
) STRICT;

-- Version 2: client keys, limits changed at run time, what was changed and by whom, budgets.

CREATE TABLE client_keys (
  id TEXT PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  previous_hash BLOB,               -- of the secret before a rotation, while it is still good
  previous_until_ms INTEGER,
  body TEXT NOT NULL,               -- JSON
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  revoked_ms INTEGER
) STRICT;

CREATE TABLE scope_limits (scope TEXT PRIMARY KEY, body TEXT NOT NULL, changed_ms INTEGER NOT NULL) STRICT;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  unix_ms INTEGER NOT NULL,
  actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
  before TEXT, after TEXT
) STRICT;

-- One budget each, as JSON; a writer names the version that it has read. After `expires_ms` nobody needs it.
CREATE TABLE budget_books (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT;

-- What all processes on this storage share, such as the key of the hashes.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

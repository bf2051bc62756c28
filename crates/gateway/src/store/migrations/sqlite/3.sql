-- Version 3: with which probability the policy put its first choice first, for what other policies would have done.

ALTER TABLE requests ADD COLUMN propensity REAL;   -- NULL: no policy chose, or the row is older

DROP VIEW requests_v;
CREATE VIEW requests_v AS
SELECT r.seq, lower(hex(r.id)) AS id, r.unix_ms, strftime('%Y-%m-%dT%H:%M:%fZ', r.unix_ms / 1000.0, 'unixepoch') AS time,
  c.key, c.team, k.route, k.stage, k.level, k.strategy, k.class, k.task, k.stream, k.model, k.degraded, k.outcome, k.status,
  k.code, CASE typeof(r.reason) WHEN 'integer' THEN (SELECT text FROM texts WHERE id = r.reason) ELSE r.reason END AS reason,
  CASE typeof(r.tags) WHEN 'integer' THEN (SELECT text FROM texts WHERE id = r.tags) ELSE r.tags END AS tags,
  r.estimated_input_tokens, r.complexity, r.duration_us, r.cost, r.baseline_cost, r.cost / 1e9 AS cost_usd,
  r.propensity
FROM requests r JOIN request_kinds k ON k.id = r.kind LEFT JOIN clients c ON c.id = r.client;

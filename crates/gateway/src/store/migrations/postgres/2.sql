-- Version 2: with which probability the policy put its first choice first, for what other policies would have done.

ALTER TABLE requests ADD COLUMN propensity DOUBLE PRECISION;   -- NULL: no policy chose, or the row is older

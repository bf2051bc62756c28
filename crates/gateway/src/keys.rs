//! Client keys: from what a client sends to the key that it opens, configured or stored. One look-up for both; how
//! secrets are hashed, and why so, is the control plane's to say (`control::hash`).

use crate::control::{Hash, Stored, hash};
use std::collections::HashMap;
use std::sync::Arc;
use waypost_core::config::{Config, Key, stored_key};

/// All keys under one configuration, by hash.
#[derive(Debug)]
pub struct Keyring {
    pepper: Hash,
    by_hash: HashMap<Hash, Entry>,
    /// All but the revoked ones.
    keys: Vec<Arc<Key>>,
    has_stored: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Arc<Key>,
    stored: bool,
    revoked: bool,
    /// This secret was replaced by another one, and is good until then.
    until_ms: Option<i64>,
}

/// Why a secret opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is no key's.
    Unknown,
    /// It is a key's, which is not good: which one, and why.
    NotGood(String),
    /// It is a stored key's, and whether that is still good is not known.
    Stale,
}

impl Keyring {
    /// Hashes the configured secrets and reads the stored terms under this configuration.
    pub fn new(config: &Config, stored: &Stored) -> Self {
        let (mut by_hash, mut keys) = (HashMap::new(), Vec::new());
        for row in &stored.keys {
            if config.keys.iter().any(|key| key.id == row.id) {
                tracing::warn!(key = &*row.id, "a stored key has this id as well: the configuration's counts");
                continue;
            }
            let Some(key) = stored_key(config, &row.id, &row.terms, row.expires_ms) else {
                tracing::error!(key = &*row.id, "the terms of the stored key cannot be read: it opens nothing");
                continue;
            };
            let (key, revoked) = (Arc::new(key), row.revoked_ms.is_some());
            if !revoked {
                keys.push(key.clone());
            }
            let entry = Entry { key, stored: true, revoked, until_ms: None };
            if let Some((previous, until)) = row.previous {
                by_hash.insert(previous, Entry { until_ms: Some(until), ..entry.clone() });
            }
            by_hash.insert(row.hash, entry);
        }
        for key in &config.keys {
            let key = Arc::new(key.clone());
            keys.push(key.clone());
            let Some(secret) = key.secret.clone() else { continue };
            let entry = Entry { key, stored: false, revoked: false, until_ms: None };
            by_hash.insert(hash(&stored.pepper, secret.expose().as_bytes()), entry);
        }
        Self { pepper: stored.pepper, by_hash, keys, has_stored: !stored.keys.is_empty() }
    }

    /// All keys that are not revoked.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|key| &**key)
    }

    /// Whether any key was ever stored. Revoked ones count: with the last of them the gateway must not fall open.
    pub fn has_stored(&self) -> bool {
        self.has_stored
    }

    /// The key that this secret opens. `unix_ms`: the time; `fresh`: what is known of stored keys can be relied on.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn find(&self, secret: &[u8], unix_ms: i64, fresh: bool) -> Result<&Arc<Key>, Denied> {
        let entry = self.by_hash.get(&hash(&self.pepper, secret)).ok_or(Denied::Unknown)?;
        if entry.stored && !fresh {
            return Err(Denied::Stale);
        }
        let key = &entry.key;
        let not_good = |why: &str| Err(Denied::NotGood(format!("the key `{}` {why}", key.id)));
        match () {
            () if entry.revoked => not_good("was revoked"),
            () if !key.enabled => not_good("is disabled"),
            () if !key.is_valid(unix_ms) => not_good(&format!("expired at {}", time(key.expires_ms))),
            () if entry.until_ms.is_some_and(|until| until <= unix_ms) => {
                not_good("has a new secret since its rotation: this one is not good any more")
            }
            () => Ok(key),
        }
    }
}

fn time(unix_ms: Option<i64>) -> String {
    let time = unix_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "some time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::KeyRow;
    use serde_json::{Map, Value, json};

    const PEPPER: Hash = [7; 32];

    fn config(keys: &str) -> Config {
        let text = format!("keys: [{keys}]");
        waypost_core::config::parse(&text, &|_| None, jiff::civil::date(2026, 1, 1)).unwrap().config
    }

    fn row(id: &str, secret: &str, terms: Value) -> KeyRow {
        let terms = terms.as_object().cloned().unwrap_or_else(Map::new);
        let hash = hash(&PEPPER, secret.as_bytes());
        KeyRow { id: id.into(), hash, previous: None, terms, created_ms: 0, expires_ms: None, revoked_ms: None }
    }

    fn ring(keys: &str, rows: Vec<KeyRow>) -> Keyring {
        Keyring::new(&config(keys), &Stored { pepper: PEPPER, keys: rows, ..Stored::default() })
    }

    fn opened(ring: &Keyring, secret: &str, now: i64) -> Result<String, String> {
        match ring.find(secret.as_bytes(), now, true) {
            Ok(key) => Ok(key.id.to_string()),
            Err(Denied::NotGood(why)) => Err(why),
            Err(denied) => Err(format!("{denied:?}")),
        }
    }

    #[test]
    fn only_the_secret_itself_opens() {
        let ring = ring("{ id: a, secret: sk-one }, { id: b, secret: sk-two }", vec![row("c", "wp-three", json!({}))]);
        for (secret, found) in [
            ("sk-two", Some("b")),
            ("sk-one", Some("a")),
            ("wp-three", Some("c")),
            ("sk-on", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(opened(&ring, secret, 0).ok().as_deref(), found, "{secret}");
        }
        for odd in [&[0xff_u8, 0, 7][..], &[b'x'; 100_000]] {
            assert_eq!(ring.find(odd, 0, true).err(), Some(Denied::Unknown));
        }
    }

    #[test]
    fn a_key_that_is_not_good_says_why() {
        let (mut expired, mut revoked, mut rotated) =
            (row("e", "e", json!({})), row("r", "r", json!({})), row("n", "new", json!({})));
        expired.expires_ms = Some(1000);
        revoked.revoked_ms = Some(5);
        rotated.previous = Some((hash(&PEPPER, b"old"), 1000));
        let rows = vec![
            expired,
            revoked,
            rotated,
            row("d", "d", json!({"enabled": false})),
            row("u", "u", json!({"team": 7})),
        ];
        let ring =
            ring("{ id: off, secret: off, enabled: false }, { id: past, secret: past, expires: 1970-01-01 }", rows);
        for (secret, now, said) in [
            ("e", 999, Ok("e")),
            ("e", 1000, Err("the key `e` expired at 1970-01-01T00:00:01Z")),
            ("r", 0, Err("the key `r` was revoked")),
            ("d", 0, Err("the key `d` is disabled")),
            ("old", 999, Ok("n")),
            ("old", 1000, Err("the key `n` has a new secret since its rotation: this one is not good any more")),
            ("new", 1000, Ok("n")),
            ("off", 0, Err("the key `off` is disabled")),
            ("past", 86_400_000, Err("the key `past` expired at 1970-01-02T00:00:00Z")),
            ("u", 0, Err("Unknown")),
        ] {
            assert_eq!(opened(&ring, secret, now), said.map(str::to_owned).map_err(str::to_owned), "{secret} at {now}");
        }
    }

    #[test]
    fn stored_keys_wait_for_a_storage_that_can_be_read_and_configured_ones_do_not() {
        let ring = ring("{ id: a, secret: sk-a }", vec![row("b", "wp-b", json!({}))]);
        assert_eq!(ring.find(b"wp-b", 0, false).err(), Some(Denied::Stale));
        assert!(ring.find(b"sk-a", 0, false).is_ok());
    }

    #[test]
    fn the_configuration_wins_over_a_stored_key_of_its_id() {
        let ring = ring("{ id: a, secret: sk-a }", vec![row("a", "wp-a", json!({}))]);
        assert_eq!(opened(&ring, "wp-a", 0), Err("Unknown".to_owned()));
        assert_eq!(opened(&ring, "sk-a", 0), Ok("a".to_owned()));
        assert!(ring.has_stored());
    }
}

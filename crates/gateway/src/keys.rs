//! Client keys: from what a client sends to the key of the configuration.
//!
//! Secrets are kept as keyed BLAKE3 hashes under a key of this process. A fast hash is right for random keys of 128 bits
//! and more: there is no dictionary to try. Looking the hash up compares no secret byte by byte, so timing tells nothing.

use std::collections::HashMap;
use std::sync::Arc;
use waypost_core::config::Key;

/// The configured keys, by hash.
#[derive(Debug)]
pub struct Keyring {
    hash_key: [u8; 32],
    by_hash: HashMap<[u8; 32], Arc<Key>>,
}

impl Keyring {
    /// Hashes the secrets of `keys`.
    pub fn new(keys: &[Key]) -> Self {
        let hash_key = random_key();
        let hash = |k: &Key| *blake3::keyed_hash(&hash_key, k.secret.expose().as_bytes()).as_bytes();
        let by_hash = keys.iter().map(|k| (hash(k), Arc::new(k.clone()))).collect();
        Self { hash_key, by_hash }
    }

    /// Whether there are no keys at all.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The key that this secret opens.
    pub fn find(&self, secret: &[u8]) -> Option<&Arc<Key>> {
        self.by_hash.get(blake3::keyed_hash(&self.hash_key, secret).as_bytes())
    }
}

/// 32 bytes that nobody outside of the process can guess: the seeds of std's hash maps come from the system.
fn random_key() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut key = [0; 32];
    for (i, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(i).to_ne_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_core::units::Secret;

    #[test]
    fn only_the_secret_itself_opens() {
        let key = |id: &str, secret: &str| Key::new(id, Secret::new(secret));
        let ring = Keyring::new(&[key("a", "sk-one"), key("b", "sk-two")]);
        for (secret, found) in [("sk-two", Some("b")), ("sk-one", Some("a")), ("sk-on", None), ("", None), ("a", None)]
        {
            assert_eq!(ring.find(secret.as_bytes()).map(|k| &*k.id), found, "{secret}");
        }
    }
}

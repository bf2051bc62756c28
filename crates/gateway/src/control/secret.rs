//! Secrets of keys: made here, shown once, and known afterwards by their hash only.
//!
//! The hash is BLAKE3 under a key of the storage (`meta.key_pepper`), which takes 100 ns. Slow hashes (Argon2, bcrypt)
//! are for passwords, which people choose: they make each guess of a small space dear. A secret of 256 random bits leaves
//! nothing to guess, at any speed, and a slow hash on every request would only be a way to bring the gateway down. The
//! pepper keeps whoever reads one table from testing a secret found elsewhere against it.
//!
//! Secrets are compared by looking their hash up. How far the look-up gets tells at most of the bits of a keyed hash,
//! which nobody outside can compute, so nothing of a secret can be learned from its timing.

use super::rows::Hash;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use waypost_core::units::Secret;

/// What a secret is known by.
pub fn hash(pepper: &Hash, secret: &[u8]) -> Hash {
    *blake3::keyed_hash(pepper, secret).as_bytes()
}

/// 32 bytes from the operating system.
pub(super) fn random() -> io::Result<Hash> {
    let mut bytes = Hash::default();
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("the operating system gives no random bytes"))
}

/// A new secret of 256 bits.
pub(super) fn fresh() -> io::Result<Secret> {
    Ok(Secret::new(format!("wp-{}", BASE64_URL_SAFE_NO_PAD.encode(random()?))))
}

/// A new id, for keys that are given none.
pub(super) fn fresh_id() -> io::Result<String> {
    let digits: String = random()?[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("key-{digits}"))
}

//! Features as they are kept beside an outcome: hand features in full, the embedding in one byte a number with one scale.
//! No words and no hashes of words, from which words could be guessed. Knows no database.

use crate::features::{DENSE, Features};
use crate::text::DIMENSIONS;
use crate::text::hand::HAND;

/// Version of what is kept. It rises whenever a hand feature or the table of the embedding changes its meaning: rows of
/// another version teach nothing, and are left out.
pub const VERSION: u16 = 1;
/// Bytes of the features of one prompt.
pub const BYTES: usize = 4 * HAND + 4 + DIMENSIONS;

/// Why kept features cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// They were made by another version.
    #[error("features of version {0}; this Waypost makes and reads version {VERSION}")]
    Version(i64),
    /// They are not whole.
    #[error("features of {0} bytes, and version {VERSION} has {BYTES}")]
    Length(usize),
    /// A number in them is none.
    #[error("features with a number that is none")]
    NotANumber,
}

/// As bytes.
pub fn pack(features: &Features) -> Vec<u8> {
    let (hand, embedding) = features.dense.split_at(HAND);
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend(hand.iter().flat_map(|x| x.to_le_bytes()));
    let most = embedding.iter().fold(0f32, |most, x| most.max(x.abs()));
    bytes.extend((most / 127.0).to_le_bytes());
    let one = |x: &f32| if most > 0.0 { (x / most * 127.0).round() as i8 } else { 0 };
    bytes.extend(embedding.iter().map(|x| one(x).to_le_bytes()[0]));
    bytes
}

/// From bytes; what was kept without words.
///
/// # Errors
/// See [`Unusable`].
pub fn unpack(version: i64, bytes: &[u8]) -> Result<Features, Unusable> {
    if version != i64::from(VERSION) {
        return Err(Unusable::Version(version));
    }
    if bytes.len() != BYTES {
        return Err(Unusable::Length(bytes.len()));
    }
    let (numbers, embedding) = bytes.split_at(4 * HAND + 4);
    let mut dense = [0.0; DENSE];
    let (words, _) = numbers.as_chunks::<4>();
    for (value, bytes) in dense.iter_mut().zip(&words[..HAND]) {
        *value = f32::from_le_bytes(*bytes);
    }
    let scale = f32::from_le_bytes(words[HAND]);
    for (value, byte) in dense[HAND..].iter_mut().zip(embedding) {
        *value = f32::from(i8::from_le_bytes([*byte])) * scale;
    }
    if dense.iter().any(|x| !x.is_finite()) {
        return Err(Unusable::NotANumber);
    }
    Ok(Features { dense, hashes: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_comes_back(text in any::<String>()) {
            let made = Features::of(&text);
            let bytes = pack(&made);
            prop_assert_eq!(bytes.len(), BYTES);
            let kept = unpack(i64::from(VERSION), &bytes).unwrap();
            prop_assert_eq!(&kept.hashes, &None);
            prop_assert_eq!(&kept.dense[..HAND], &made.dense[..HAND]);
            let most = made.embedding().iter().fold(0f32, |m, x| m.max(x.abs()));
            for (a, b) in kept.embedding().iter().zip(made.embedding()) {
                prop_assert!((a - b).abs() <= most / 127.0 * 0.51, "{} for {}", a, b);
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let bytes = pack(&Features::of("Why is the sky blue?"));
        assert_eq!(unpack(2, &bytes), Err(Unusable::Version(2)));
        assert_eq!(unpack(1, &bytes[1..]), Err(Unusable::Length(BYTES - 1)));
        assert_eq!(unpack(1, &[]), Err(Unusable::Length(0)));
        assert_eq!(unpack(1, &vec![0xff; BYTES]), Err(Unusable::NotANumber));
    }
}

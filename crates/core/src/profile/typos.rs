//! Key words with one letter wrong. Every key word is indexed under itself and under itself with one letter left out; so is
//! a word of the text looked up, which meets a missing, added, swapped or wrong letter in a few table reads.

use super::cues::{CUES, MISSPELT, Sign};
use std::sync::LazyLock;

/// Words shorter than this have too many honest neighbours.
const MIN: usize = 5;
/// Longer words are not looked up.
const MAX: usize = 15;
/// At most so many words of a text are looked up.
const WORDS: usize = 24;
/// Base of the polynomial hash, odd, and its inverse modulo 2⁶⁴.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = inverse(BASE);

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::new);

struct Keys {
    words: Vec<Key>,
    /// Open addressing by hash; the word's number plus one, zero is free.
    slots: Vec<(u64, u16)>,
}

/// A word with the phrases of the table that it is or begins.
struct Key {
    word: &'static [u8],
    signs: Vec<(usize, Sign)>,
}

/// Calls `found` with what a misspelt key word in `text` would be a sign of.
pub(super) fn find(text: &[u8], mut found: impl FnMut(usize, Sign)) {
    let keys = &*KEYS;
    let words = text.split(|b| !b.is_ascii_alphabetic()).filter(|w| (MIN..=MAX).contains(&w.len()));
    for word in words.take(WORDS) {
        let mut lower = [0; MAX];
        lower[..word.len()].copy_from_slice(word);
        lower.make_ascii_lowercase();
        if let Some(key) = keys.look_up(&lower[..word.len()]) {
            key.iter().for_each(|(ix, sign)| found(*ix, *sign));
        }
    }
}

impl Keys {
    fn new() -> Self {
        let mut keys = Self { words: Vec::new(), slots: vec![(0, 0); 4096] };
        for word in MISSPELT.split_whitespace().map(str::as_bytes).filter(|w| w.len() <= MAX) {
            let mut signs = Vec::new();
            CUES.find(word, |ix, sign, at| {
                if at.start == 0 {
                    signs.push((ix, sign));
                }
            });
            keys.words.push(Key { word, signs });
            let number = keys.words.len() as u16;
            variants(word, |hash| {
                let mut slot = hash as usize % keys.slots.len();
                while keys.slots[slot].1 != 0 {
                    slot = (slot + 1) % keys.slots.len();
                }
                keys.slots[slot] = (hash, number);
                None::<()>
            });
        }
        keys
    }

    /// The signs of the key word that `word` is one slip away from.
    fn look_up(&self, word: &[u8]) -> Option<&[(usize, Sign)]> {
        variants(word, |hash| {
            let mut slot = hash as usize % self.slots.len();
            while self.slots[slot].1 != 0 {
                let (of, number) = self.slots[slot];
                let key = &self.words[number as usize - 1];
                if of == hash && one_slip(word, key.word) {
                    return Some(&key.signs[..]);
                }
                slot = (slot + 1) % self.slots.len();
            }
            None
        })
    }
}

/// Calls `each` with the hash of the word and of the word without each of its letters, until it returns something.
fn variants<T>(word: &[u8], mut each: impl FnMut(u64) -> Option<T>) -> Option<T> {
    let (mut prefix, mut power) = (0u64, 1u64);
    let whole = word.iter().rev().fold(0u64, |h, &b| h.wrapping_mul(BASE).wrapping_add(u64::from(b)));
    if let Some(found) = each(whole) {
        return Some(found);
    }
    for &b in word {
        let letter = u64::from(b).wrapping_mul(power);
        let after = whole.wrapping_sub(prefix).wrapping_sub(letter);
        if let Some(found) = each(prefix.wrapping_add(after.wrapping_mul(INVERSE))) {
            return Some(found);
        }
        prefix = prefix.wrapping_add(letter);
        power = power.wrapping_mul(BASE);
    }
    None
}

/// A letter missing or added, two swapped, or (in longer words) one wrong; the word itself is no slip.
fn one_slip(word: &[u8], key: &[u8]) -> bool {
    let same = word.iter().zip(key).take_while(|(a, b)| a == b).count();
    let (a, b) = (&word[same..], &key[same..]);
    match (a, b) {
        ([], []) => false,
        ([_, a @ ..], b) if a == b => true,
        (a, [_, b @ ..]) if a == b => true,
        ([a1, a2, a @ ..], [b1, b2, b @ ..]) if (a1, a2) == (b2, b1) => a == b,
        ([_, a @ ..], [_, b @ ..]) => key.len() >= 7 && a == b,
        _ => false,
    }
}

/// The inverse of an odd number modulo 2⁶⁴, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

//! Text to the tokens of BERT's uncased vocabulary, as all-MiniLM-L6-v2 reads it: lower case, no accents, words split at
//! spaces, punctuation and Chinese characters, each word into the longest pieces that the vocabulary has.
//!
//! By hand, since the published crate takes ten times what a whole routing decision may; it judges this one, through
//! `tests/fixtures/wordpiece.json`. What differs: special tokens written out in a text (`[SEP]`) are text here, since a
//! prompt comes from anybody; and characters have the classes of today's Unicode, not those of 2015. Adds no `[CLS]` and
//! `[SEP]`, pads nothing, cuts nothing.

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// The token that stands for a word which the vocabulary cannot spell.
pub const UNKNOWN: u32 = 100;

/// A word of more characters is unknown, whatever it is.
const LONGEST_WORD: usize = 100;
/// Bytes of the longest entry that a vocabulary may have.
const LONGEST_ENTRY: usize = 0x7f;
/// Marks, in an entry's length, a piece that continues a word.
const CONTINUES: u8 = 0x80;
const EMPTY: u32 = u32::MAX;

/// The entries of a vocabulary, one a row of the table, found by hash.
pub(super) struct Vocabulary {
    /// Each entry: its length (with [`CONTINUES`]), its bytes.
    packed: &'static [u8],
    /// Where in `packed` the entry of a row begins.
    starts: Vec<u32>,
    /// Open addressing: the row below, 16 more bits of the hash above.
    slots: Vec<u32>,
    /// Bits of a hash that choose a slot.
    bits: u32,
    /// Bytes of the longest entry.
    longest: usize,
    /// Token of row 0.
    first: u32,
}

impl Vocabulary {
    /// Reads `rows` entries; `None` where there are not exactly as many, or one is empty, no UTF-8, or there twice.
    pub(super) fn parse(packed: &'static [u8], rows: usize, first: u32) -> Option<Self> {
        // A row has 16 bits in a slot, and the last value would look like an empty one.
        if rows >= usize::from(u16::MAX) {
            return None;
        }
        let bits = (rows * 2).next_power_of_two().trailing_zeros().max(1);
        let slots = vec![EMPTY; 1 << bits];
        let mut vocabulary = Self { packed, starts: Vec::with_capacity(rows), slots, bits, longest: 0, first };
        let mut at = 0;
        for row in 0..rows {
            let (continues, entry) = entry(packed, at)?;
            if entry.is_empty() || std::str::from_utf8(entry).is_err() {
                return None;
            }
            let hash = entry.iter().fold(seed(continues), |hash, byte| mix(hash, *byte));
            if vocabulary.find(hash, continues, entry).is_some() {
                return None;
            }
            vocabulary.starts.push(u32::try_from(at).ok()?);
            let mask = vocabulary.slots.len() - 1;
            let mut slot = vocabulary.slot(hash);
            while vocabulary.slots[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            vocabulary.slots[slot] = tag(hash) | u32::try_from(row).ok()?;
            vocabulary.longest = vocabulary.longest.max(entry.len());
            at += 1 + entry.len();
        }
        (at == packed.len()).then_some(vocabulary)
    }

    /// Calls `emit` with each token of the text.
    pub(super) fn tokenize(&self, text: &str, emit: &mut impl FnMut(u32)) {
        let mut words = Words { vocabulary: self, emit, word: Word::new(), hashes: [0; LONGEST_ENTRY + 1] };
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match CLASSES[usize::from(byte)] {
                SPACE => words.end(),
                PUNCTUATION => {
                    words.end();
                    words.word.push_ascii(byte);
                    words.end();
                }
                DROPPED => {}
                FOREIGN => {
                    let end = bytes[at..].iter().position(u8::is_ascii).map_or(bytes.len(), |ascii| at + ascii);
                    // A run from a first byte to the next ASCII byte is whole characters.
                    text[at..end].chars().for_each(|c| words.foreign(c));
                    at = end;
                    continue;
                }
                letter => words.word.push_ascii(letter),
            }
            at += 1;
        }
        words.end();
    }

    fn find(&self, hash: u64, continues: bool, wanted: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = self.slot(hash);
        loop {
            let held = self.slots[slot];
            if held == EMPTY {
                return None;
            }
            if held & 0xffff_0000 == tag(hash) {
                let row = held & 0xffff;
                let start = self.starts[row as usize] as usize;
                if entry(self.packed, start) == Some((continues, wanted)) {
                    return Some(row);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn slot(&self, hash: u64) -> usize {
        (hash >> (64 - self.bits)) as usize
    }
}

fn entry(packed: &[u8], at: usize) -> Option<(bool, &[u8])> {
    let length = *packed.get(at)?;
    let bytes = packed.get(at + 1..at + 1 + usize::from(length & !CONTINUES))?;
    Some((length & CONTINUES != 0, bytes))
}

/// A multiplicative hash, byte by byte, so that the hashes of all prefixes of a word come out of one pass.
fn mix(hash: u64, byte: u8) -> u64 {
    (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The same letters are two entries where one begins a word and one continues it.
fn seed(continues: bool) -> u64 {
    u64::from(continues) << 32
}

/// Bits of the hash below those of the slot, in the upper half of a slot.
fn tag(hash: u64) -> u32 {
    (hash >> 24) as u32 & 0xffff_0000
}

/// The word being read.
struct Word {
    bytes: [u8; 4 * LONGEST_WORD],
    len: usize,
    chars: usize,
}

impl Word {
    const fn new() -> Self {
        Self { bytes: [0; 4 * LONGEST_WORD], len: 0, chars: 0 }
    }

    fn push_ascii(&mut self, byte: u8) {
        if self.chars < LONGEST_WORD {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        self.chars += 1;
    }

    fn push(&mut self, c: char) {
        if self.chars < LONGEST_WORD {
            self.len += c.encode_utf8(&mut self.bytes[self.len..]).len();
        }
        self.chars += 1;
    }
}

struct Words<'v, E> {
    vocabulary: &'v Vocabulary,
    emit: &'v mut E,
    word: Word,
    /// Scratch of `piece`: the hash of each prefix.
    hashes: [u64; LONGEST_ENTRY + 1],
}

impl<E: FnMut(u32)> Words<'_, E> {
    /// A character beyond ASCII, through the steps of the normaliser in its order.
    fn foreign(&mut self, c: char) {
        let category = c.general_category();
        let control =
            matches!(category, GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse);
        if control || c == char::REPLACEMENT_CHARACTER {
            return;
        }
        if c.is_whitespace() {
            return self.end();
        }
        let alone = is_chinese(c);
        if alone {
            self.end();
        }
        decompose_canonical(c, |part| {
            if part.general_category() != GeneralCategory::NonspacingMark {
                part.to_lowercase().for_each(|lower| self.normal(lower));
            }
        });
        if alone {
            self.end();
        }
    }

    /// A character after normalisation: in decomposed texts, spaces and punctuation come up again, ASCII ones as well.
    fn normal(&mut self, c: char) {
        if c.is_whitespace() {
            self.end();
        } else if c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation {
            self.end();
            self.word.push(c);
            self.end();
        } else {
            self.word.push(c);
        }
    }

    /// The word is complete: its pieces, or the one token of the unknown.
    fn end(&mut self) {
        if self.word.len == 0 {
            return;
        }
        let mut pieces = [0; LONGEST_WORD];
        let mut count = 0;
        let mut at = 0;
        let spelled = self.word.chars <= LONGEST_WORD
            && loop {
                if at == self.word.len {
                    break true;
                }
                let Some((token, length)) = self.piece(at) else { break false };
                pieces[count] = token;
                count += 1;
                at += length;
            };
        if spelled {
            pieces[..count].iter().for_each(|token| (self.emit)(*token));
        } else {
            (self.emit)(UNKNOWN);
        }
        self.word.len = 0;
        self.word.chars = 0;
    }

    /// The longest entry that the rest of the word begins with: its token and its bytes.
    fn piece(&mut self, at: usize) -> Option<(u32, usize)> {
        let continues = at > 0;
        let rest = &self.word.bytes[at..self.word.len];
        let longest = rest.len().min(self.vocabulary.longest);
        let mut hash = seed(continues);
        for (byte, prefix) in rest[..longest].iter().zip(&mut self.hashes) {
            hash = mix(hash, *byte);
            *prefix = hash;
        }
        // A prefix that ends within a character equals no entry, since entries are UTF-8.
        (1..=longest).rev().find_map(|length| {
            let row = self.vocabulary.find(self.hashes[length - 1], continues, &rest[..length])?;
            Some((self.vocabulary.first + row, length))
        })
    }
}

/// The blocks that BERT sets spaces around; not all that Unicode calls ideographs.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x2a6df | 0x2a700..=0x2b73f
        | 0x2b740..=0x2b81f | 0x2b920..=0x2ceaf | 0x2f800..=0x2fa1f)
}

const DROPPED: u8 = 0;
const SPACE: u8 = 1;
const PUNCTUATION: u8 = 2;
const FOREIGN: u8 = 3;

/// Of each byte: one of the classes above, or the letter or digit in lower case.
const CLASSES: [u8; 256] = {
    let mut classes = [FOREIGN; 256];
    let mut byte = 0u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => SPACE,
            _ if byte.is_ascii_control() => DROPPED,
            _ if byte.is_ascii_punctuation() => PUNCTUATION,
            _ => byte.to_ascii_lowercase(),
        };
        byte += 1;
    }
    classes
};

//! Counts over raw text, in one vectorised loop: the raw material of a token estimate, which is made elsewhere.

use crate::json::{self, Str};

/// Counts over raw text, cheap enough to take on the way: what a token estimate needs. Characters that are written as
/// `\uXXXX` count as the characters that they are; their hexadecimal digits count as nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStats {
    /// All bytes, escapes included.
    pub bytes: u64,
    /// Space characters (runs of words).
    pub spaces: u64,
    /// ASCII digits.
    pub digits: u64,
    /// ASCII punctuation, without the backslashes that begin an escape.
    pub punctuation: u64,
    /// Escapes (backslashes that begin one).
    pub escapes: u64,
    /// Of the escapes: `\uXXXX`, six bytes each (a pair of them is one character of four bytes).
    pub unicode_escapes: u64,
    /// Characters of two bytes: Latin with marks, Greek, Cyrillic, Hebrew, Arabic.
    pub two_byte: u64,
    /// Characters of three bytes: CJK, Indic, Thai, symbols.
    pub three_byte: u64,
    /// Characters of four bytes: emoji, rare CJK.
    pub four_byte: u64,
}

impl TextStats {
    /// Adds the counts of one string.
    pub fn add(&mut self, text: &Str<'_>) {
        // Blocks of at most 255 bytes let the counters be bytes, sixteen to a vector; 240 is a whole number of vectors.
        for block in text.raw.chunks(240) {
            let [mut spaces, mut digits, mut letters, mut graphic] = [0u8; 4];
            let [mut two, mut three, mut four] = [0u8; 3];
            for b in block {
                spaces += u8::from(*b == b' ');
                digits += u8::from(b.is_ascii_digit());
                letters += u8::from(b.is_ascii_alphabetic());
                graphic += u8::from(b.is_ascii_graphic());
                two += u8::from(*b >= 0xc0);
                three += u8::from(*b >= 0xe0);
                four += u8::from(*b >= 0xf0);
            }
            self.spaces += u64::from(spaces);
            self.digits += u64::from(digits);
            self.punctuation += u64::from(graphic - letters - digits);
            self.two_byte += u64::from(two - three);
            self.three_byte += u64::from(three - four);
            self.four_byte += u64::from(four);
        }
        self.bytes += text.raw.len() as u64;
        self.escapes += u64::from(text.escapes);
        // Every escape's own backslash was counted above, in this text.
        self.punctuation -= u64::from(text.escapes);
        if text.unicode_escapes > 0 {
            self.unicode_escapes += u64::from(text.unicode_escapes);
            self.count_unicode_escapes(text.raw);
        }
    }

    /// Takes back the hexadecimal digits of `\uXXXX` and counts the characters.
    fn count_unicode_escapes(&mut self, mut rest: &[u8]) {
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (c, used) = json::decode_escape(&rest[at..]);
            if used >= 6 {
                let hex = rest[at..at + used].iter().filter(|b| b.is_ascii_digit()).count();
                self.digits -= hex as u64;
                match c.len_utf8() {
                    1 => {}
                    2 => self.two_byte += 1,
                    3 => self.three_byte += 1,
                    _ => self.four_byte += 1,
                }
            }
            rest = &rest[at + used..];
        }
    }
}

//! A validating forward reader over JSON text: skips what it is not asked for, hands out raw slices, copies nothing.
//!
//! It accepts what RFC 8259 and `serde_json` (reading into `IgnoredAny`) accept, with two limits of its own: containers
//! nest at most [`MAX_DEPTH`] deep, and the text must be UTF-8, checked once up front. A lone surrogate escape
//! (`"\ud800"`) is accepted, as it is there: it is only decoded when asked for, and then becomes U+FFFD. It builds no
//! tree, converts no number unasked, and does not look for duplicate keys.

use std::borrow::Cow;
use std::ops::Range;

mod error;
mod escape;

pub use error::{Error, ErrorKind, Position};
pub(crate) use escape::decode_escape;
pub use escape::{escape_into, quote_into, unescape};

/// How deep containers may nest: as deep as `serde_json` reads them into a value.
pub const MAX_DEPTH: u8 = 127;

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Digits.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// As messages name it, with its article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Null => "null",
        }
    }
}

/// A string as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Str<'a> {
    /// What is between the quotes, still escaped.
    pub raw: &'a [u8],
    /// Offset of `raw` in the text (the quote is one before).
    pub start: usize,
    /// How many escapes it holds.
    pub escapes: u32,
    /// How many of them are `\uXXXX`.
    pub unicode_escapes: u32,
}

impl<'a> Str<'a> {
    /// Offsets of the content in the text, without quotes.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }

    /// Offsets in the text, with quotes.
    pub fn quoted(&self) -> Range<usize> {
        self.start - 1..self.start + self.raw.len() + 1
    }

    /// Decoded bytes, borrowed where there is nothing to decode: for comparing with ASCII names.
    #[inline]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if self.escapes == 0 { Cow::Borrowed(self.raw) } else { self.decoded() }
    }

    #[cold]
    fn decoded(&self) -> Cow<'a, [u8]> {
        Cow::Owned(unescape(self.raw).into_owned().into_bytes())
    }

    /// Decoded text.
    pub fn text(&self) -> Cow<'a, str> {
        unescape(self.raw)
    }
}

/// A member's key.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// Decoded.
    pub name: &'k [u8],
    /// Offset of its opening quote in the text.
    pub start: usize,
}

/// The reader. Values are consumed one after the other; every method skips the whitespace before its value.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    pos: usize,
    depth: u8,
    /// Escapes in the last string, and how many of them are `\uXXXX`. Here, and not in a result, since a result of their
    /// size would travel through memory, which costs more than reading a short string.
    escapes: u32,
    unicode_escapes: u32,
}

impl<'a> Cursor<'a> {
    /// A reader over `text`, which it checks to be UTF-8.
    pub fn new(text: &'a [u8]) -> Result<Self, Error> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self { text, pos: 0, depth: 0, escapes: 0, unicode_escapes: 0 }),
            Err(e) => Err(Error::new(ErrorKind::InvalidUtf8, e.valid_up_to())),
        }
    }

    /// The text that it reads.
    pub fn source(&self) -> &'a [u8] {
        self.text
    }

    /// Where it stands: after the last value, before any whitespace.
    pub fn offset(&self) -> usize {
        self.pos
    }

    /// The kind of the next value.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, Error> {
        match self.peek() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            other => Err(self.unexpected(other, ErrorKind::ExpectedValue)),
        }
    }

    /// Consumes any value.
    pub fn skip(&mut self) -> Result<(), Error> {
        match self.kind()? {
            Kind::String => self.end_string(),
            Kind::Object => self.object(|c, _| c.skip()).map(drop),
            Kind::Array => self.array(Self::skip).map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null(),
        }
    }

    /// Consumes any value; returns its place.
    pub fn value(&mut self) -> Result<Range<usize>, Error> {
        self.kind()?;
        let start = self.pos;
        self.skip()?;
        Ok(start..self.pos)
    }

    /// Consumes a string.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, Error> {
        match self.peek() {
            Some(b'"') => {
                let start = self.pos + 1;
                self.end_string()?;
                Ok(self.string_from(start))
            }
            other => Err(self.unexpected(other, ErrorKind::ExpectedType(Kind::String))),
        }
    }

    /// Consumes a string where one is next; otherwise consumes whatever value is and returns `None`.
    #[inline]
    pub fn string_or_skip(&mut self) -> Result<Option<Str<'a>>, Error> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        self.skip().map(|()| None)
    }

    /// Consumes an object, calling `member` with each key; `member` must consume the value. Returns the object's place.
    #[inline]
    pub fn object<E: From<Error>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Key<'_>) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        let start = self.open(b'{', Kind::Object)?;
        if self.peek() == Some(b'}') {
            return Ok(self.close(start));
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                other => return Err(self.unexpected(other, ErrorKind::ExpectedKey).into()),
            }
            let key_start = self.pos;
            self.end_string()?;
            let key = self.string_from(key_start + 1);
            match self.peek() {
                Some(b':') => self.pos += 1,
                other => return Err(self.unexpected(other, ErrorKind::ExpectedColon).into()),
            }
            let decoded;
            let name = if key.escapes == 0 {
                key.raw
            } else {
                decoded = key.decoded();
                &decoded
            };
            member(self, Key { name, start: key_start })?;
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => return Ok(self.close(start)),
                other => return Err(self.unexpected(other, ErrorKind::ExpectedCommaOrBrace).into()),
            }
        }
    }

    /// Consumes an array, calling `element` before each element; `element` must consume it. Returns the array's place.
    #[inline]
    pub fn array<E: From<Error>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        let start = self.open(b'[', Kind::Array)?;
        if self.peek() == Some(b']') {
            return Ok(self.close(start));
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => return Ok(self.close(start)),
                other => return Err(self.unexpected(other, ErrorKind::ExpectedCommaOrBracket).into()),
            }
        }
    }

    /// Consumes a number; returns its digits as they stand (ASCII).
    pub fn number(&mut self) -> Result<&'a [u8], Error> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {}
            other => return Err(self.unexpected(other, ErrorKind::ExpectedType(Kind::Number))),
        }
        let start = self.pos;
        if self.at(b'-') {
            self.pos += 1;
        }
        if self.at(b'0') {
            self.pos += 1;
            if self.digit() {
                return Err(self.error(ErrorKind::InvalidNumber));
            }
        } else {
            self.digits()?;
        }
        if self.at(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if self.at(b'e') || self.at(b'E') {
            self.pos += 1;
            if self.at(b'+') || self.at(b'-') {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.pos])
    }

    /// Consumes `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b't') => self.literal(b"true").map(|()| true),
            Some(b'f') => self.literal(b"false").map(|()| false),
            other => Err(self.unexpected(other, ErrorKind::ExpectedType(Kind::Bool))),
        }
    }

    /// Consumes `null`.
    pub fn null(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'n') => self.literal(b"null"),
            other => Err(self.unexpected(other, ErrorKind::ExpectedType(Kind::Null))),
        }
    }

    /// Consumes `null` if it is next and says so; otherwise consumes nothing.
    #[inline]
    pub fn null_if_next(&mut self) -> Result<bool, Error> {
        if self.peek() == Some(b'n') { self.literal(b"null").map(|()| true) } else { Ok(false) }
    }

    /// Checks that only whitespace is left.
    pub fn finish(mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(ErrorKind::TrailingData)),
        }
    }

    /// The next byte that is not whitespace, not consumed.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.pos) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                other => return other.copied(),
            }
        }
    }

    fn open(&mut self, bracket: u8, kind: Kind) -> Result<usize, Error> {
        match self.peek() {
            Some(b) if b == bracket => {}
            other => return Err(self.unexpected(other, ErrorKind::ExpectedType(kind))),
        }
        if self.depth == MAX_DEPTH {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.depth += 1;
        self.pos += 1;
        Ok(self.pos - 1)
    }

    fn close(&mut self, start: usize) -> Range<usize> {
        self.depth -= 1;
        self.pos += 1;
        start..self.pos
    }

    /// Consumes the string whose opening quote is at the cursor; leaves its escapes in the counters.
    #[inline]
    fn end_string(&mut self) -> Result<(), Error> {
        self.escapes = 0;
        self.unicode_escapes = 0;
        self.pos += 1;
        // Most strings are keys and short values: found within two words, without escapes.
        for _ in 0..2 {
            let Some(word) = self.text.get(self.pos..).and_then(<[u8]>::first_chunk::<8>) else { break };
            let Some(i) = special_in_word(u64::from_le_bytes(*word)) else {
                self.pos += 8;
                continue;
            };
            self.pos += i;
            if self.at(b'"') {
                self.pos += 1;
                return Ok(());
            }
            break;
        }
        self.end_long_string()
    }

    /// The same for a string whose first bytes are behind the cursor.
    fn end_long_string(&mut self) -> Result<(), Error> {
        loop {
            self.pos += plain_length(&self.text[self.pos..]);
            match self.text.get(self.pos) {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.error(ErrorKind::ControlCharacter)),
                None => return Err(self.error(ErrorKind::Truncated)),
            }
        }
    }

    /// The string just consumed, whose content began at `start`.
    #[inline]
    fn string_from(&self, start: usize) -> Str<'a> {
        let raw = &self.text[start..self.pos - 1];
        Str { raw, start, escapes: self.escapes, unicode_escapes: self.unicode_escapes }
    }

    /// Consumes an escape and counts it.
    fn escape(&mut self) -> Result<(), Error> {
        self.escapes += 1;
        self.pos += 1;
        match self.text.get(self.pos) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 1;
                Ok(())
            }
            Some(b'u') => {
                self.unicode_escapes += 1;
                self.pos += 1;
                for _ in 0..4 {
                    match self.text.get(self.pos) {
                        Some(b) if b.is_ascii_hexdigit() => self.pos += 1,
                        other => return Err(self.unexpected(other.copied(), ErrorKind::InvalidEscape)),
                    }
                }
                Ok(())
            }
            other => Err(self.unexpected(other.copied(), ErrorKind::InvalidEscape)),
        }
    }

    #[inline]
    fn literal(&mut self, word: &[u8]) -> Result<(), Error> {
        let rest = &self.text[self.pos..];
        if rest.starts_with(word) {
            self.pos += word.len();
            return Ok(());
        }
        self.pos += rest.iter().zip(word).take_while(|(a, b)| a == b).count();
        Err(self.unexpected(self.text.get(self.pos).copied(), ErrorKind::InvalidLiteral))
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Error> {
        if !self.digit() {
            return Err(self.unexpected(self.text.get(self.pos).copied(), ErrorKind::InvalidNumber));
        }
        while self.digit() {
            self.pos += 1;
        }
        Ok(())
    }

    fn digit(&self) -> bool {
        matches!(self.text.get(self.pos), Some(b'0'..=b'9'))
    }

    fn at(&self, byte: u8) -> bool {
        self.text.get(self.pos) == Some(&byte)
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.pos)
    }

    /// `kind`, unless the text simply ends here.
    #[cold]
    fn unexpected(&self, found: Option<u8>, kind: ErrorKind) -> Error {
        self.error(if found.is_none() { ErrorKind::Truncated } else { kind })
    }
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    const WIDE: usize = 32;
    let mut at = 0;
    // Keys and short values end within two words; only longer strings pay for the wide loop's set-up.
    for _ in 0..2 {
        match text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            Some(word) => match special_in_word(u64::from_le_bytes(*word)) {
                Some(i) => return at + i,
                None => at += 8,
            },
            None => return at + special_in_tail(&text[at..]),
        }
    }
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<WIDE>) {
        // No early exit, so that it compiles to vector compares.
        let special = block.iter().fold(false, |any, b| any | is_special(*b));
        if special {
            break;
        }
        at += WIDE;
    }
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        if let Some(i) = special_in_word(u64::from_le_bytes(*word)) {
            return at + i;
        }
        at += 8;
    }
    at + special_in_tail(&text[at..])
}

const fn is_special(b: u8) -> bool {
    (b == b'"') | (b == b'\\') | (b < 0x20)
}

fn special_in_tail(text: &[u8]) -> usize {
    text.iter().position(|b| is_special(*b)).unwrap_or(text.len())
}

/// Index of the first special byte of eight, the first in memory being the lowest of the word. The usual carry tricks:
/// a false hit can only stand above a true one, so the lowest is right.
#[inline]
const fn special_in_word(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let hits = ((quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word))
        & HIGH;
    if hits == 0 { None } else { Some((hits.trailing_zeros() / 8) as usize) }
}

#[cfg(test)]
mod tests;

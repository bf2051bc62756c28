//! What can be wrong with a JSON text, and where.

use std::fmt;

use super::Kind;
#[cfg(doc)]
use super::MAX_DEPTH;

/// What is wrong with a JSON text, and where. Eight bytes, so that results travel in registers: that is a third of the
/// time of reading a small text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What.
    pub kind: ErrorKind,
    /// Byte offset of the first byte that does not fit; beyond 4 GiB it is that.
    pub offset: u32,
}

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text ends inside a value.
    Truncated,
    /// Something else stands where a value must begin.
    ExpectedValue,
    /// Another kind of value than the reader asked for.
    ExpectedType(Kind),
    /// An object's member does not begin with a string.
    ExpectedKey,
    /// No colon after a key.
    ExpectedColon,
    /// Neither comma nor closing brace after a member.
    ExpectedCommaOrBrace,
    /// Neither comma nor closing bracket after an element.
    ExpectedCommaOrBracket,
    /// A word other than `true`, `false` and `null`.
    InvalidLiteral,
    /// Digits that are no JSON number: `01`, `1.`, `-`.
    InvalidNumber,
    /// A backslash followed by what is no escape.
    InvalidEscape,
    /// A raw control character inside a string.
    ControlCharacter,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More text after the value.
    TrailingData,
    /// The text is not UTF-8.
    InvalidUtf8,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "unexpected end",
            Self::ExpectedValue => "expected a value",
            Self::ExpectedType(kind) => return write!(f, "expected {}", kind.name()),
            Self::ExpectedKey => "expected a string as key",
            Self::ExpectedColon => "expected `:`",
            Self::ExpectedCommaOrBrace => "expected `,` or `}`",
            Self::ExpectedCommaOrBracket => "expected `,` or `]`",
            Self::InvalidLiteral => "expected `true`, `false` or `null`",
            Self::InvalidNumber => "invalid number",
            Self::InvalidEscape => "invalid escape",
            Self::ControlCharacter => "control character in a string",
            Self::TooDeep => "nested too deep",
            Self::TrailingData => "expected the end",
            Self::InvalidUtf8 => "invalid UTF-8",
        })
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    /// The error's place in `text` for people.
    pub fn position(&self, text: &[u8]) -> Position {
        let before = &text[..text.len().min(self.offset as usize)];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let characters = before[line_start..].iter().filter(|b| **b & 0xc0 != 0x80).count();
        Position { line: memchr::memchr_iter(b'\n', before).count() + 1, column: characters + 1 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl std::error::Error for Error {}

/// A place in a text for people: both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character in the line.
    pub column: usize,
}

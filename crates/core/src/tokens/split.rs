//! The pre-tokenisers of o200k_base and cl100k_base, by hand: where a text is cut before byte-pair encoding. Their
//! published definition is a regular expression; run as one it costs more than all the rest, so that the same cuts are
//! made here by one look at each character's class. Equality with the expressions is tested, not argued.

use crate::registry::Tokenizer;
use regex_syntax::hir::{Class, HirKind};
use std::sync::LazyLock;

/// `\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}`: what may begin a word in o200k.
const UPPER: u8 = 1;
/// `\p{Ll}\p{Lm}\p{Lo}\p{M}`: what may end a word in o200k.
const LOWER: u8 = 1 << 1;
/// `\p{L}`.
const LETTER: u8 = 1 << 2;
/// `\p{N}`.
const NUMBER: u8 = 1 << 3;
/// `\s`.
const SPACE: u8 = 1 << 4;
/// Carriage return or line feed, which are also `SPACE`.
const NEWLINE: u8 = 1 << 5;
/// In neither of these: punctuation, symbols, marks, controls.
const OTHER_THAN: u8 = LETTER | NUMBER | SPACE;

/// Calls `piece` with every piece of `text`, in order; together they are the text.
pub(super) fn split<'a>(tokenizer: Tokenizer, text: &'a str, mut piece: impl FnMut(&'a [u8])) {
    let cursor = Cursor::<'a> { bytes: text.as_bytes(), text, classes: &CLASSES };
    let mut at = 0;
    while at < text.len() {
        let end = match tokenizer {
            Tokenizer::O200k => cursor.o200k(at),
            Tokenizer::Cl100k => cursor.cl100k(at),
        };
        debug_assert!(end > at, "every alternative consumes a character");
        piece(&cursor.bytes[at..end]);
        at = end;
    }
}

/// Character classes in two steps: the block of 256 characters, then the character in it.
struct Classes {
    ascii: [u8; 128],
    block_of: Vec<u16>,
    blocks: Vec<[u8; 256]>,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::new);

impl Classes {
    /// From the Unicode tables of regex-syntax, so that classes are those of the published expressions.
    fn new() -> Self {
        let mut flat = vec![0u8; 0x11_0000];
        let sets = [
            (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", UPPER),
            (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", LOWER),
            (r"\p{L}", LETTER),
            (r"\p{N}", NUMBER),
            (r"\s", SPACE),
            (r"[\r\n]", NEWLINE),
        ];
        for (pattern, bit) in sets {
            for (first, last) in ranges(pattern) {
                flat[first as usize..=last as usize].iter_mut().for_each(|c| *c |= bit);
            }
        }
        let mut classes = Self { ascii: [0; 128], block_of: Vec::with_capacity(flat.len() / 256), blocks: Vec::new() };
        classes.ascii.copy_from_slice(&flat[..128]);
        for block in flat.as_chunks::<256>().0 {
            let known = classes.blocks.iter().position(|b| b == block);
            let ix = known.unwrap_or_else(|| {
                classes.blocks.push(*block);
                classes.blocks.len() - 1
            });
            classes.block_of.push(ix as u16);
        }
        classes
    }

    fn of(&self, c: char) -> u8 {
        let c = c as usize;
        self.blocks[self.block_of[c >> 8] as usize][c & 0xff]
    }
}

/// The characters of a class, as inclusive ranges.
fn ranges(pattern: &str) -> Vec<(char, char)> {
    let hir = regex_syntax::parse(pattern).expect("the patterns above are valid");
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => class.iter().map(|r| (r.start(), r.end())).collect(),
        other => unreachable!("a bracketed class parses as a class, not {other:?}"),
    }
}

/// A text, looked at by position.
struct Cursor<'a> {
    bytes: &'a [u8],
    text: &'a str,
    classes: &'a Classes,
}

impl Cursor<'_> {
    /// Class and length of the character at a boundary; class `SPACE` without length at the end.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.bytes.get(at) {
            Some(&b) if b < 128 => (self.classes.ascii[b as usize], 1),
            Some(_) => self.wide(at),
            None => (SPACE | NEWLINE, 0),
        }
    }

    #[cold]
    fn wide(&self, at: usize) -> (u8, usize) {
        let c = self.text[at..].chars().next().expect("`at` is a boundary before the end");
        (self.classes.of(c), c.len_utf8())
    }

    /// End of the run of characters from `at` of which `keep` holds.
    #[inline]
    fn run(&self, mut at: usize, keep: impl Fn(u8) -> bool) -> usize {
        loop {
            let (class, len) = self.class(at);
            if len == 0 || !keep(class) {
                return at;
            }
            at += len;
        }
    }

    /// ```text
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// \p{N}{1,3} |  ?[^\s\p{L}\p{N}]+[\r\n/]* | \s*[\r\n]+ | \s+(?!\S) | \s+
    /// ```
    fn o200k(&self, at: usize) -> usize {
        let (class, len) = self.class(at);
        if class & NUMBER != 0 {
            return self.number(at);
        }
        let word = if class & LETTER != 0 {
            Some(self.cased(at).unwrap_or_else(|upper| upper))
        } else if class & NEWLINE == 0 {
            // An optional first character. A mark may also be part of the word, and is where nothing follows it.
            match self.cased(at + len) {
                Ok(end) => Some(end),
                Err(_) if class & LOWER != 0 => self.cased(at).ok(),
                Err(upper) => (upper > at + len).then_some(upper),
            }
        } else {
            None
        };
        match word {
            Some(end) => end + contraction(&self.bytes[end..]),
            None => self.rest(at, class, |b| matches!(b, b'\r' | b'\n' | b'/')).unwrap_or_else(|| self.blank(at)),
        }
    }

    /// The end of `[upper]*[lower]+` from `at`, as a backtracking engine finds it; else the end of `[upper]*`.
    #[inline]
    fn cased(&self, mut at: usize) -> Result<usize, usize> {
        let mut last_lower = None;
        loop {
            let (class, len) = self.class(at);
            if len == 0 || class & UPPER == 0 {
                if class & LOWER != 0 {
                    return Ok(self.run(at + len, |c| c & LOWER != 0));
                }
                return last_lower.ok_or(at);
            }
            at += len;
            if class & LOWER != 0 {
                last_lower = Some(at);
            }
        }
    }

    /// ```text
    /// '(?i:[sdmt]|ll|ve|re) | [^\r\n\p{L}\p{N}]?+\p{L}++ | \p{N}{1,3}+ |  ?[^\s\p{L}\p{N}]++[\r\n]*+
    /// \s++$ | \s*[\r\n] | \s+(?!\S) | \s
    /// ```
    fn cl100k(&self, at: usize) -> usize {
        let (class, len) = self.class(at);
        if class & NUMBER != 0 {
            return self.number(at);
        }
        let suffix = contraction(&self.bytes[at..]);
        if suffix > 0 {
            return at + suffix;
        }
        let word = if class & (LETTER | NEWLINE) == 0 { at + len } else { at };
        let end = self.run(word, |c| c & LETTER != 0);
        if end > word {
            return end;
        }
        self.rest(at, class, |b| matches!(b, b'\r' | b'\n')).unwrap_or_else(|| {
            let end = self.run(at, |c| c & SPACE != 0);
            if end == self.bytes.len() { end } else { self.blank(at) }
        })
    }

    fn number(&self, at: usize) -> usize {
        let mut end = at;
        for _ in 0..3 {
            let (class, len) = self.class(end);
            if class & NUMBER == 0 {
                break;
            }
            end += len;
        }
        end
    }

    /// ` ?[^\s\p{L}\p{N}]+` and what `tail` adds.
    #[inline]
    fn rest(&self, at: usize, class: u8, tail: impl Fn(u8) -> bool) -> Option<usize> {
        let first = if self.bytes[at] == b' ' { at + 1 } else { at };
        if first == at && class & OTHER_THAN != 0 {
            return None;
        }
        let end = self.run(first, |c| c & OTHER_THAN == 0);
        (end > first).then(|| end + self.bytes[end..].iter().take_while(|&&b| tail(b)).count())
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline of the run, else all of it but the character before a word.
    fn blank(&self, at: usize) -> usize {
        let (mut end, mut last, mut newline) = (at, at, None);
        loop {
            let (class, len) = self.class(end);
            if len == 0 || class & SPACE == 0 {
                break;
            }
            (last, end) = (end, end + len);
            if class & NEWLINE != 0 {
                newline = Some(end);
            }
        }
        match newline {
            Some(end) => end,
            None if end == self.bytes.len() || last == at => end,
            None => last,
        }
    }
}

/// Length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at the beginning of `rest`, else 0. Case folding lets `ſ` stand for `s`.
#[inline]
fn contraction(rest: &[u8]) -> usize {
    let [b'\'', first, rest @ ..] = rest else { return 0 };
    match (first.to_ascii_lowercase(), rest.first()) {
        (b's' | b't' | b'm' | b'd', _) => 2,
        (0xc5, Some(0xbf)) => 3,
        (b'r' | b'v', Some(b'e' | b'E')) | (b'l', Some(b'l' | b'L')) => 3,
        _ => 0,
    }
}

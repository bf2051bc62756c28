//! Server-sent events: where one ends in a stream of chunks, and what its lines say.
//!
//! The splitter keeps every byte: the pieces that it yields, joined, are the stream, so what is passed on is what came.
//! A piece inside one chunk is a range of it, not a copy; only an event that spans chunks is gathered. Line ends are LF,
//! CRLF or CR, as the specification allows. It knows nothing of what the data mean, and ignores `id` and `retry`.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use bytes::Bytes;

/// The most bytes that one event may have.
pub const MAX_EVENT: usize = 1 << 20;

/// An event longer than [`MAX_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversized;

/// One event's bytes, its closing blank line included. Extra blank lines come as pieces without data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Inside the chunk at hand.
    Chunk(Range<usize>),
    /// Gathered from several chunks.
    Gathered(Bytes),
}

impl Piece {
    /// The bytes, where `chunk` is the chunk at hand.
    pub fn bytes<'a>(&'a self, chunk: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Chunk(range) => &chunk[range.clone()],
            Self::Gathered(bytes) => bytes,
        }
    }
}

/// Finds the ends of events in chunks of any size.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// The beginning of an event whose end has not come.
    carry: Vec<u8>,
    /// Nothing yet on the current line.
    line_empty: bool,
    /// The last byte was a CR: an LF would belong to it.
    after_cr: bool,
    /// The last line that ended did so in CRLF.
    crlf: bool,
    /// A blank line ended in a CR that most likely has an LF to come.
    blank_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { carry: Vec::new(), line_empty: true, after_cr: false, crlf: false, blank_cr: false }
    }
}

impl Splitter {
    /// The next event that ends in `chunk` at or after `at`, which moves behind it. Without one the rest of the chunk is
    /// kept for the next call, which must come with the next chunk and `at` 0.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Piece>, Oversized> {
        let rest = &chunk[*at..];
        let end = self.boundary(rest);
        let taken = end.unwrap_or(rest.len());
        if self.carry.len() + taken > MAX_EVENT {
            return Err(Oversized);
        }
        let start = mem::replace(at, *at + taken);
        if end.is_some() && self.carry.is_empty() {
            return Ok(Some(Piece::Chunk(start..*at)));
        }
        self.carry.extend_from_slice(&rest[..taken]);
        Ok(end.map(|_| Piece::Gathered(mem::take(&mut self.carry).into())))
    }

    /// Whether the beginning of an event is waiting for its end.
    pub fn is_inside(&self) -> bool {
        !self.carry.is_empty()
    }

    /// At the stream's end: what came after the last complete event.
    pub fn finish(&mut self) -> Bytes {
        let rest = mem::take(&mut self.carry);
        *self = Self::default();
        rest.into()
    }

    /// The index behind the blank line that ends the event, where it is in `bytes`.
    fn boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let first = *bytes.first()?;
        let mut at = 0;
        if mem::take(&mut self.after_cr) {
            self.crlf = first == b'\n';
            at = usize::from(self.crlf);
            if mem::take(&mut self.blank_cr) {
                return Some(at);
            }
        }
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) {
            let blank = mem::replace(&mut self.line_empty, true) && length == 0;
            let cr = bytes[at + length] == b'\r';
            at += length + 1;
            let lf = cr && bytes.get(at) == Some(&b'\n');
            at += usize::from(lf);
            self.after_cr = cr && at == bytes.len() && !lf;
            if blank && self.after_cr && self.crlf {
                // Where lines end in CRLF, the LF is on its way.
                self.blank_cr = true;
                return None;
            }
            self.crlf = lf;
            if blank {
                return Some(at);
            }
        }
        self.line_empty &= at == bytes.len();
        None
    }
}

/// What an event's lines say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Value of `event`, empty where absent.
    pub name: &'a [u8],
    /// The data lines, joined by LF; `None` without any (comments, blank lines).
    pub data: Option<Cow<'a, [u8]>>,
}

impl<'a> Event<'a> {
    /// Reads the lines of one event. A byte order mark before the first line is skipped.
    pub fn parse(raw: &'a [u8]) -> Self {
        let mut rest = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
        let mut event = Self::default();
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            // A CRLF gives an empty line too many, which means nothing inside one event.
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some(value) = field(line, b"data") {
                event.data = Some(match event.data.take() {
                    None => Cow::Borrowed(value),
                    Some(before) => {
                        let mut joined = before.into_owned();
                        joined.push(b'\n');
                        joined.extend_from_slice(value);
                        Cow::Owned(joined)
                    }
                });
            } else if let Some(value) = field(line, b"event") {
                event.name = value;
            }
        }
        event
    }
}

/// The line's value, where it is of this field: what follows the colon and one space.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', value @ ..] => Some(value.strip_prefix(b" ").unwrap_or(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pieces of `stream`, cut at `cuts`, and what is left at the end.
    fn split(stream: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut splitter = Splitter::default();
        let mut pieces = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([stream.len()]) {
            let chunk = &stream[from..to.max(from)];
            from = to.max(from);
            let mut at = 0;
            while let Some(piece) = splitter.next(chunk, &mut at).unwrap() {
                pieces.push(piece.bytes(chunk).to_vec());
            }
        }
        (pieces, splitter.finish().to_vec())
    }

    fn data(raw: &str) -> Option<String> {
        Event::parse(raw.as_bytes()).data.map(|d| String::from_utf8(d.into_owned()).unwrap())
    }

    #[test]
    fn lines_are_read_as_the_specification_says() {
        let cases = [
            ("data: x\n\n", Some("x")),
            ("data:x\r\n\r\n", Some("x")),
            ("data:  x \r\r", Some(" x ")),
            ("data: a\ndata:b\ndata\n\n", Some("a\nb\n")),
            ("\u{feff}data: x\n\n", Some("x")),
            ("id: 1\nretry: 5\nevent: ping\ndata: {}\n\n", Some("{}")),
            ("data: x", Some("x")),
            (": comment\n\n", None),
            ("\n", None),
            ("database: x\n\n", None),
            ("DATA: x\n\n", None),
            (" data: x\n\n", None),
            ("data:\n\n", Some("")),
        ];
        for (raw, want) in cases {
            assert_eq!(data(raw).as_deref(), want, "{raw:?}");
        }
        assert_eq!(Event::parse(b"event: error\ndata: x\n\n").name, b"error");
        assert!(matches!(Event::parse(b": c\r\ndata: x\r\n\r\n").data, Some(Cow::Borrowed(_))));
    }

    #[test]
    fn every_byte_is_in_a_piece_and_events_end_at_blank_lines() {
        let cases: [(&str, &[&str], &str); 8] = [
            ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"], ""),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["data: a\r\n\r\n", "data: b\r\n\r\n"], ""),
            ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"], ""),
            (": ping\n\n\ndata: b", &[": ping\n\n", "\n"], "data: b"),
            ("data: a\n: c\nevent: e\n\n", &["data: a\n: c\nevent: e\n\n"], ""),
            ("data: a\r\n\ndata: b\n\r\n", &["data: a\r\n\n", "data: b\n\r\n"], ""),
            ("data: a\n", &[], "data: a\n"),
            ("", &[], ""),
        ];
        for (stream, want, rest) in cases {
            let (pieces, left) = split(stream.as_bytes(), &[]);
            let pieces: Vec<_> = pieces.iter().map(|p| std::str::from_utf8(p).unwrap()).collect();
            assert_eq!((pieces.as_slice(), left.as_slice()), (want, rest.as_bytes()), "{stream:?}");
        }
    }

    #[test]
    fn an_event_in_one_chunk_is_not_copied() {
        let mut splitter = Splitter::default();
        let mut at = 0;
        let chunk = b"data: a\n\ndata: b\n\ndat";
        assert_eq!(splitter.next(chunk, &mut at), Ok(Some(Piece::Chunk(0..9))));
        assert_eq!(splitter.next(chunk, &mut at), Ok(Some(Piece::Chunk(9..18))));
        assert_eq!((splitter.next(chunk, &mut at), at, splitter.is_inside()), (Ok(None), 21, true));
        let mut at = 0;
        assert_eq!(splitter.next(b"a: c\n\n", &mut at), Ok(Some(Piece::Gathered("data: c\n\n".into()))));
    }

    #[test]
    fn an_event_that_ends_in_cr_does_not_wait_where_lines_end_in_cr() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.next(b"data: a\r\r", &mut 0), Ok(Some(Piece::Chunk(0..9))));
        // And where they end in CRLF, it takes its LF along.
        let mut splitter = Splitter::default();
        assert_eq!(splitter.next(b"data: a\r\n\r", &mut 0), Ok(None));
        assert_eq!(splitter.next(b"\n", &mut 0), Ok(Some(Piece::Gathered("data: a\r\n\r\n".into()))));
    }

    #[test]
    fn events_are_limited_in_size_in_any_chunking() {
        for (length, fits) in [(MAX_EVENT, true), (MAX_EVENT + 1, false)] {
            let mut event = vec![b'x'; length - 2];
            event.extend(b"\n\n");
            for step in [length, 65536, 4096] {
                let mut splitter = Splitter::default();
                let result: Result<Vec<_>, _> = event.chunks(step).map(|c| splitter.next(c, &mut 0)).collect();
                assert_eq!(result.is_ok(), fits, "{length} by {step}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_pieces(
            lines in prop::collection::vec(prop::sample::select(vec!["data: x", "data: {\"a\":1}", ": c", "event: e", "", "", ""]), 0..20),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream: String = ["data: s"].iter().chain(&lines).flat_map(|l| [*l, end]).collect();
            let mut cuts: Vec<_> = cuts.iter().map(|i| i.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(split(stream.as_bytes(), &cuts), split(stream.as_bytes(), &[]));
        }

        #[test]
        fn arbitrary_bytes_are_kept_whole(stream in "[\\r\\n:adt ]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let mut cuts: Vec<_> = cuts.iter().map(|i| i.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let (pieces, rest) = split(stream.as_bytes(), &cuts);
            let joined: Vec<u8> = pieces.concat().into_iter().chain(rest).collect();
            prop_assert_eq!(joined, stream.as_bytes());
        }
    }
}

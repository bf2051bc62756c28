//! The table of token vectors, and texts pooled from it.
//!
//! `data/embedding.bin` is distilled from all-MiniLM-L6-v2 by `tools/embedding`, whose README states how and how much is
//! lost. Layout, little-endian: 64 bytes of header (eight of magic; CRC-32 of all that follows it, version, dimensions, token of
//! the first row, rows, bytes of vocabulary, each a u32; zeros), then rows of one i8 a dimension, then a u16
//! a row, what a row's numbers are multiplied by (its scale and its weight in one), then the vocabulary.
//!
//! Pooling is in integers, so that an embedding has the same bits on every machine. The order of words is lost; whoever
//! needs it has the tokens.

use super::wordpiece::{UNKNOWN, Vocabulary};
use std::sync::LazyLock;
use thiserror::Error;

/// Numbers in an embedding.
pub const DIMENSIONS: usize = 64;
/// Bytes at the start of a text that are read.
pub const HEAD: usize = 1024;
/// Bytes at the end of a text that are read, where it is longer than [`HEAD`] and these.
pub const TAIL: usize = 512;

const MAGIC: &[u8; 8] = b"WAYPOSTE";
const VERSION: u32 = 1;
const HEADER: usize = 64;
/// Where what the checksum covers begins.
const CHECKED: usize = 12;
/// Tokens whose sum certainly fits an i32: 2^31 / (2^7 * 2^12).
const CHUNK: usize = 4096;
const HEAVIEST: u16 = 4095;

/// A text as a point: texts of like meaning have like directions. Of length 1, or zero for a text without known words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Embedding(pub [f32; DIMENSIONS]);

impl Embedding {
    /// The embedding of a text in the built-in table.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Table::built_in().embed(text)
    }

    /// The cosine of the angle to another, -1 to 1; 0 where either is zero.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }
}

/// Why bytes are no table that this version reads.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// The bytes begin otherwise.
    #[error("this is no embedding table")]
    NotATable,
    /// Written by another version of the tool.
    #[error("the embedding table has version {0}, and only version 1 is read: make it again with tools/embedding")]
    Version(u32),
    /// Vectors of another length.
    #[error("the embedding table has {0} dimensions, and only 64 are read")]
    Dimensions(u32),
    /// Cut off, or with something behind it.
    #[error("the embedding table should have {stated} bytes, and has {found}")]
    Length {
        /// Bytes by its header.
        stated: u64,
        /// Bytes that are there.
        found: usize,
    },
    /// Changed since it was written.
    #[error("the embedding table is damaged: its checksum is {found:08x} and should be {stated:08x}")]
    Checksum {
        /// CRC-32 in its header.
        stated: u32,
        /// CRC-32 of its bytes.
        found: u32,
    },
    /// The checksum holds, so whoever wrote it went wrong.
    #[error("the embedding table's {0} cannot be read")]
    Content(&'static str),
}

/// A vocabulary with a vector for each token.
pub struct Table {
    vocabulary: Vocabulary,
    /// Bytes as they stand in the file; each is an i8.
    rows: &'static [[u8; DIMENSIONS]],
    weights: Vec<u16>,
    first: u32,
}

/// A row is a cache line where the file begins at one.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../data/embedding.bin"));

static BUILT_IN: LazyLock<Table> =
    LazyLock::new(|| Table::parse(&FILE.0).expect("the table in the binary is one that a test has read"));

impl Table {
    /// The table in the binary. The first call reads it, which takes some milliseconds: call it at start.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Reads a table, which stays where it is: only the index of the vocabulary is made.
    ///
    /// # Errors
    /// Bytes that are no table, of another version or size, or damaged.
    pub fn parse(file: &'static [u8]) -> Result<Self, TableError> {
        let header = file.get(..HEADER).filter(|header| header.starts_with(MAGIC)).ok_or(TableError::NotATable)?;
        let field = |i: usize| {
            let at = MAGIC.len() + 4 * i;
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let [stated, version, dimensions, first, rows, vocabulary] = std::array::from_fn(field);
        if version != VERSION {
            return Err(TableError::Version(version));
        }
        if dimensions as usize != DIMENSIONS {
            return Err(TableError::Dimensions(dimensions));
        }
        let size = HEADER as u64 + u64::from(rows) * (DIMENSIONS as u64 + 2) + u64::from(vocabulary);
        if size != file.len() as u64 {
            return Err(TableError::Length { stated: size, found: file.len() });
        }
        let found = crc32fast::hash(&file[CHECKED..]);
        if found != stated {
            return Err(TableError::Checksum { stated, found });
        }
        let count = rows as usize;
        let (vectors, rest) = file[HEADER..].split_at(count * DIMENSIONS);
        let (weights, packed) = rest.split_at(count * 2);
        let weights: Vec<_> = weights.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        if weights.iter().any(|weight| *weight > HEAVIEST) {
            return Err(TableError::Content("weights"));
        }
        // Else a row would have the token that means no row, or none in 32 bits.
        if first <= UNKNOWN || first.checked_add(rows).is_none() {
            return Err(TableError::Content("first token"));
        }
        let vocabulary = Vocabulary::parse(packed, count, first).ok_or(TableError::Content("vocabulary"))?;
        Ok(Self { vocabulary, rows: vectors.as_chunks().0, weights, first })
    }

    /// Appends the tokens of a text: numbers of BERT's uncased vocabulary, [`UNKNOWN`](super::UNKNOWN) for a word that it
    /// cannot spell. Of a text longer than [`HEAD`] + [`TAIL`] bytes only the first [`HEAD`] and the last [`TAIL`] are read,
    /// cut between characters (not words), so that the costs have a bound.
    pub fn tokens(&self, text: &str, tokens: &mut Vec<u32>) {
        let (head, tail) = window(text);
        let mut push = |token| tokens.push(token);
        self.vocabulary.tokenize(head, &mut push);
        self.vocabulary.tokenize(tail, &mut push);
    }

    /// The embedding of a text, of which as much is read as [`Self::tokens`] reads: the mean of its tokens' vectors, each
    /// weighted by how rare the token is, scaled to length 1.
    #[must_use]
    pub fn embed(&self, text: &str) -> Embedding {
        let mut tokens = Vec::with_capacity(text.len().min(HEAD + TAIL) / 2);
        self.tokens(text, &mut tokens);
        self.pool(&tokens)
    }

    /// The embedding of a text whose tokens are known.
    #[must_use]
    pub fn pool(&self, tokens: &[u32]) -> Embedding {
        let mut total = [0i64; DIMENSIONS];
        for chunk in tokens.chunks(CHUNK) {
            let sum = self.sum(chunk);
            total.iter_mut().zip(sum).for_each(|(total, sum)| *total += i64::from(sum));
        }
        let length = total.iter().map(|x| (*x as f64) * (*x as f64)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        Embedding(total.map(|x| (x as f64 * scale) as f32))
    }

    fn sum(&self, tokens: &[u32]) -> [i32; DIMENSIONS] {
        let mut sum = [0; DIMENSIONS];
        for token in tokens {
            let row = token.wrapping_sub(self.first) as usize;
            if let (Some(row), Some(weight)) = (self.rows.get(row), self.weights.get(row)) {
                let weight = i32::from(*weight);
                for (sum, x) in sum.iter_mut().zip(row) {
                    *sum += i32::from(x.cast_signed()) * weight;
                }
            }
        }
        sum
    }
}

/// The parts of a text that are read.
pub(super) fn window(text: &str) -> (&str, &str) {
    if text.len() <= HEAD + TAIL {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(HEAD)], &text[text.ceil_char_boundary(text.len() - TAIL)..])
}

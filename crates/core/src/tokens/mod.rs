//! Exact token counts with OpenAI's public encodings. The byte-pair tables are the `bpe-openai` crate's, embedded in the
//! binary and loaded on first use; the cutting into pieces is our own (see `split`). Estimates, which need no tables, are
//! the profile's; this is for where a count decides: near a window, a cap or a budget's end.

mod chat;
mod split;

pub use chat::count_chat;

use crate::registry::Tokenizer;
use bpe_openai::byte_pair_encoding::BytePairEncoding;
use std::sync::LazyLock;

/// Tokens of `text`, without special tokens: `<|endoftext|>` in a text counts as its characters.
pub fn count(tokenizer: Tokenizer, text: &str) -> usize {
    let table = table(tokenizer);
    // What was merged lately; a short text would not get its worth back.
    let slots = if text.len() < 8192 { 1 } else { 4096 };
    let mut merged = vec![(&[][..], 0); slots];
    let mut tokens = 0;
    split::split(tokenizer, text, |piece| {
        tokens += table.count(piece).unwrap_or_else(|hash| {
            let last = &mut merged[hash as usize & (slots - 1)];
            if last.0 != piece {
                *last = (piece, table.bpe.count(piece));
            }
            last.1
        })
    });
    tokens
}

/// Loads a tokenizer's tables now (tens of milliseconds), so that no request waits for them.
pub fn load(tokenizer: Tokenizer) {
    count(tokenizer, "tables");
}

/// An encoding with an index of its tokens.
struct Table {
    bpe: &'static BytePairEncoding,
    /// Open addressing by [`hash`]: its high half beside the token's number plus one; zero is free.
    slots: Vec<(u32, u32)>,
    longest: usize,
}

static O200K: LazyLock<Table> = LazyLock::new(|| Table::new(&bpe_openai::o200k_base().bpe));
static CL100K: LazyLock<Table> = LazyLock::new(|| Table::new(&bpe_openai::cl100k_base().bpe));

fn table(tokenizer: Tokenizer) -> &'static Table {
    match tokenizer {
        Tokenizer::O200k => &O200K,
        Tokenizer::Cl100k => &CL100K,
    }
}

impl Table {
    fn new(bpe: &'static BytePairEncoding) -> Self {
        let size = (bpe.num_tokens() * 2).next_power_of_two();
        let mut table = Self { bpe, slots: vec![(0, 0); size], longest: 0 };
        for token in 0..bpe.num_tokens() as u32 {
            let bytes = bpe.token_bytes(token);
            let hash = hash(bytes);
            let mut slot = hash as usize & (size - 1);
            while table.slots[slot].1 != 0 {
                slot = (slot + 1) & (size - 1);
            }
            table.slots[slot] = ((hash >> 32) as u32, token + 1);
            table.longest = table.longest.max(bytes.len());
        }
        table
    }

    /// One, where a piece is a token itself, as most are: byte-pair encoding makes that token of it. Else its hash.
    #[inline]
    fn count(&self, piece: &[u8]) -> Result<usize, u64> {
        if piece.len() == 1 {
            return Ok(1);
        }
        if piece.len() > self.longest {
            return Err(0);
        }
        let hash = hash(piece);
        let mut slot = hash as usize & (self.slots.len() - 1);
        loop {
            match self.slots[slot] {
                (_, 0) => return Err(hash),
                (high, token) if high == (hash >> 32) as u32 && self.bpe.token_bytes(token - 1) == piece => {
                    return Ok(1);
                }
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }
}

/// A quick hash of a short byte string; its quality matters for speed only. The tokens are public and fixed, so that no
/// text can make their chains longer.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut h = (bytes.len() as u64).wrapping_mul(K);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        h = (h ^ u64::from_le_bytes(*word)).wrapping_mul(K).rotate_left(29);
    }
    let tail = rest.iter().fold(0u64, |tail, &b| (tail << 8) | u64::from(b));
    h = (h ^ tail).wrapping_mul(K);
    h ^ (h >> 29)
}

#[cfg(test)]
mod tests;

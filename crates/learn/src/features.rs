//! What is known of a prompt: hand features, its embedding and, for the time of a request, hashes of its words. The text
//! itself is not kept, and neither are the hashes, from which words could be guessed.

use crate::heads::Dense;
use crate::text::hand::{HAND, Hand};
use crate::text::{DIMENSIONS, Embedding, Table};

/// Numbers in a row of dense features: hand features, then the embedding.
pub const DENSE: usize = HAND + DIMENSIONS;

/// The features of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Hand features, then the embedding.
    pub dense: [f32; DENSE],
    /// Hashes of words and word pairs; None where only the rest was kept.
    pub hashes: Option<Vec<u32>>,
}

impl Features {
    /// The features of a text: the last user turn of a request, without system and few-shot text.
    pub fn of(text: &str) -> Self {
        let table = Table::built_in();
        let mut tokens = Vec::with_capacity(text.len().min(2048) / 4 + 8);
        table.tokens(text, &mut tokens);
        let embedding = table.pool(&tokens);
        let pairs = tokens.windows(2).map(|w| mix((u64::from(w[0]) << 32) | u64::from(w[1])));
        let hashes = tokens.iter().map(|t| mix(u64::from(*t) | 1 << 63)).chain(pairs).collect();
        Self { hashes: Some(hashes), ..Self::kept(Hand::of(text), embedding) }
    }

    /// Features that were kept, without words.
    pub fn kept(hand: Hand, embedding: Embedding) -> Self {
        let mut dense = [0.0; DENSE];
        dense[..HAND].copy_from_slice(&hand.0);
        dense[HAND..].copy_from_slice(&embedding.0);
        Self { dense, hashes: None }
    }

    /// The embedding.
    pub fn embedding(&self) -> &[f32] {
        &self.dense[HAND..]
    }
}

/// Many prompts' features as one matrix, and their hashes where all have them.
pub fn columns<'a>(features: impl Iterator<Item = &'a Features> + Clone) -> (Dense, Option<Vec<Vec<u32>>>) {
    let values = features.clone().flat_map(|f| f.dense).collect();
    (Dense { width: DENSE, values }, features.map(|f| f.hashes.clone()).collect())
}

/// A number well mixed (the finaliser of MurmurHash3), its upper half.
fn mix(a: u64) -> u32 {
    let a = (a ^ (a >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let a = (a ^ (a >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (a >> 32) as u32
}

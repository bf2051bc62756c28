//! The built-in facts about models and known providers.

use crate::registry::{Capabilities, Dialect, Price, Tier, Tokenizer};

/// What the catalogue states of one model at one vendor.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Known provider that sells it.
    pub provider: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Largest sum of input and output tokens.
    pub context_window: Option<u32>,
    /// Longest answer.
    pub max_output_tokens: Option<u32>,
    /// `None`: not stated.
    pub capabilities: Option<Capabilities>,
    /// `None`: not stated.
    pub price: Option<Price>,
    /// Size tier by the generator's rule; `None` for embeddings and unknown families.
    pub tier: Option<Tier>,
    /// Day from which the vendor calls it deprecated.
    pub deprecated: Option<jiff::civil::Date>,
    /// Exact or nearest public tokenizer.
    pub tokenizer: Tokenizer,
}

/// A provider that needs no `base_url`.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownProvider {
    /// Name in the configuration.
    pub name: &'static str,
    /// Dialects, preferred first.
    pub dialects: &'static [Dialect],
    /// Where its paths begin; `None` where the account decides (Azure, Vertex).
    pub base_url: Option<&'static str>,
    /// Environment variables that may hold its key, in order.
    pub env: &'static [&'static str],
    /// Whether a stream may be asked for usage with `stream_options`.
    pub stream_usage: bool,
    /// A few current chat models offered by a start without configuration, cheap to dear.
    pub starters: &'static [&'static str],
}

/// stand-in
pub fn find(_provider: Option<&str>, _name: &str) -> Option<Facts> { None }

//! The built-in facts about models and known providers.
//!
//! The facts are lines of `data/catalogue.tsv`, which `tools/catalogue` makes from LiteLLM's price list (its README has
//! the rules). They stay text in the binary: the first look-up builds an index of lines, and a line is parsed when it is
//! asked for. The catalogue guesses nothing: a name that the data does not have is not found.

mod providers;
#[cfg(test)]
mod tests;

use crate::registry::{Capabilities, Dialect, Kind, LongPrice, Price, Quirks, Tier, Tokenizer};
pub use providers::{known_provider, known_providers};
use std::ops::Range;
use std::sync::OnceLock;

/// What the catalogue states of one model at one vendor.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Known provider that sells it.
    pub provider: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it is called for.
    pub kind: Kind,
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
    /// How its chat API differs from OpenAI's own.
    pub quirks: Quirks,
    /// A few current chat models offered by a start without configuration, cheap to dear; empty where the catalogue
    /// cannot know what is there.
    pub starters: &'static [&'static str],
}

/// The facts of `name` at `provider`, or without a provider at the first of [`known_providers`] that has it (makers
/// before resellers). `provider/name` is understood, and Ollama's `:latest` is no part of a name. The exact spelling
/// wins; else upper and lower case are the same.
pub fn find(provider: Option<&str>, name: &str) -> Option<Facts> {
    let index = index();
    let line = match provider {
        Some(provider) => {
            let own = name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
            let plain = if provider == "ollama" { name.strip_suffix(":latest") } else { None };
            let names = [Some(name), own, plain];
            let mut names = names.into_iter().flatten();
            names
                .find_map(|n| index.exact(provider, n))
                .or_else(|| index.provider(provider).iter().find(|l| name_of(l).eq_ignore_ascii_case(name)).copied())
        }
        None => {
            let (makers, others) = known_providers().split_at(providers::MAKERS);
            let exact = |at: &[KnownProvider], name| at.iter().find_map(|p| index.exact(p.name, name));
            let at_prefix = || {
                let (provider, rest) = name.split_once('/')?;
                index.exact(provider, rest)
            };
            exact(makers, name)
                .or_else(at_prefix)
                .or_else(|| exact(others, name))
                .or_else(|| index.exact("ollama", name.strip_suffix(":latest")?))
                .or_else(|| {
                    let mut lines = known_providers().iter().flat_map(|p| index.provider(p.name));
                    lines.find(|l| name_of(l).eq_ignore_ascii_case(name)).copied()
                })
        }
    };
    line.and_then(parse)
}

/// Every fact, sorted by provider and name.
pub fn all() -> impl Iterator<Item = Facts> {
    index().lines.iter().filter_map(|line| parse(line))
}

/// Generated; a header, then tab-separated lines sorted by provider and name.
const DATA: &str = include_str!("../data/catalogue.tsv");

struct Index {
    lines: Vec<&'static str>,
    providers: Vec<(&'static str, Range<usize>)>,
}

impl Index {
    fn provider(&self, provider: &str) -> &[&'static str] {
        let found = self.providers.iter().find(|(name, _)| *name == provider);
        found.map_or(&[], |(_, range)| &self.lines[range.clone()])
    }

    fn exact(&self, provider: &str, name: &str) -> Option<&'static str> {
        let lines = self.provider(provider);
        lines.binary_search_by(|line| name_of(line).cmp(name)).ok().map(|at| lines[at])
    }
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let lines: Vec<&'static str> = DATA.lines().skip(1).collect();
        let mut providers: Vec<(&'static str, Range<usize>)> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let provider = column(line, 0);
            match providers.last_mut() {
                Some((last, range)) if *last == provider => range.end = at + 1,
                _ => providers.push((provider, at..at + 1)),
            }
        }
        Index { lines, providers }
    })
}

fn column(line: &str, at: usize) -> &str {
    line.split('\t').nth(at).unwrap_or_default()
}

fn name_of(line: &str) -> &str {
    column(line, 1)
}

/// One line of the data. `None` would be a mistake of the generator; a test reads every line.
fn parse(line: &'static str) -> Option<Facts> {
    let mut cells = line.split('\t');
    // Empty cells at the end of a line are not written.
    let mut cell = || cells.next().unwrap_or_default();
    let facts = Facts {
        provider: cell(),
        name: cell(),
        kind: match cell() {
            "chat" => Kind::Chat,
            "responses" => Kind::Responses,
            "embedding" => Kind::Embedding,
            _ => return None,
        },
        context_window: optional(cell(), |text| text.parse().ok())?,
        max_output_tokens: optional(cell(), |text| text.parse().ok())?,
        capabilities: optional(cell(), capabilities)?,
        tier: optional(cell(), tier)?,
        price: price([cell(), cell(), cell(), cell(), cell(), cell(), cell()])?,
        deprecated: optional(cell(), |text| text.parse().ok())?,
        tokenizer: match cell() {
            "" => Tokenizer::O200k,
            "cl100k" => Tokenizer::Cl100k,
            _ => return None,
        },
    };
    cells.next().is_none().then_some(facts)
}

/// An empty cell is a fact that is not stated; the outer `None` is a cell that cannot be read.
fn optional<T>(cell: &'static str, read: impl Fn(&'static str) -> Option<T>) -> Option<Option<T>> {
    if cell.is_empty() { Some(None) } else { read(cell).map(Some) }
}

/// A complete list: what is not named, the model cannot do. Every model streams that does not say `no_streaming`.
fn capabilities(list: &str) -> Option<Capabilities> {
    let mut set = Capabilities::STREAMING;
    for name in list.split(',').filter(|name| *name != "none") {
        set = match Capabilities::NAMES.iter().find(|(_, known)| *known == name) {
            Some((one, _)) => set.with(*one),
            None if name == "no_streaming" => set.without(Capabilities::STREAMING),
            None => return None,
        };
    }
    Some(set)
}

fn tier(name: &str) -> Option<Tier> {
    Some(match name {
        "small" => Tier::Small,
        "medium" => Tier::Medium,
        "large" => Tier::Large,
        "frontier" => Tier::Frontier,
        _ => return None,
    })
}

fn price(cells: [&'static str; 7]) -> Option<Option<Price>> {
    let [input, output, cache_read, cache_write, reasoning, long, batch] = cells;
    if input.is_empty() {
        return Some(None);
    }
    Some(Some(Price {
        input: nano_usd(input)?,
        output: nano_usd(output)?,
        cache_read: optional(cache_read, nano_usd)?,
        cache_write: optional(cache_write, nano_usd)?,
        reasoning: optional(reasoning, nano_usd)?,
        long: optional(long, long_price)?,
        batch: optional(batch, |cell| {
            let (input, output) = cell.split_once(':')?;
            Some((nano_usd(input)?, nano_usd(output)?))
        })?,
    }))
}

/// `above:input:output:cache_read:cache_write`, the last two perhaps empty.
fn long_price(cell: &'static str) -> Option<LongPrice> {
    let mut parts = cell.split(':');
    let mut part = || parts.next();
    Some(LongPrice {
        above: part()?.parse().ok()?,
        input: nano_usd(part()?)?,
        output: nano_usd(part()?)?,
        cache_read: optional(part()?, nano_usd)?,
        cache_write: optional(part()?, nano_usd)?,
    })
}

/// Dollars as decimal text, with at most nine digits after the point, to nano-dollars. Exact.
fn nano_usd(dollars: &str) -> Option<i64> {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nano: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nano)
}

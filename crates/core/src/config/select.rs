//! Which models a selector of a key or a package means: a name, `tag:WORD`, or `tier:small|medium|large|frontier`.

use super::check::suggestion;
use crate::registry::{Model, Registry, Tier};
use std::fmt;
use std::sync::Arc;

/// Names of the models that `selector` means, in file order; never none. For configured keys and for those that are made
/// at run time.
///
/// # Errors
/// It means no model. Whoever keeps it all the same must not keep an empty list, which would allow every model.
pub fn select(registry: &Registry, selector: &str) -> Result<Vec<Arc<str>>, Unselected> {
    let listed = || registry.model_ixs().map(|ix| registry.model(ix));
    let names = |test: &dyn Fn(&Model) -> bool| listed().filter(|m| test(m)).map(|m| m.name.clone()).collect();
    if let Some(word) = selector.strip_prefix("tier:") {
        let Some(tier) = tier(word) else {
            let hint = suggestion(word, TIERS.iter().map(|(name, _)| *name));
            return Err(Unselected { why: Why::UnknownTier, selector: word.into(), hint });
        };
        let found: Vec<_> = names(&|m| m.tier == Some(tier));
        return if found.is_empty() { Err(Unselected::new(Why::EmptyTier, word)) } else { Ok(found) };
    }
    if let Some(word) = selector.strip_prefix("tag:") {
        let found: Vec<_> = names(&|m| m.has_tag(word));
        if !found.is_empty() {
            return Ok(found);
        }
        let hint = suggestion(word, listed().flat_map(|m| m.tags.iter().map(|t| &**t)));
        return Err(Unselected { why: Why::Tag, selector: word.into(), hint });
    }
    if let Some(ix) = registry.find(selector) {
        return Ok(vec![registry.model(ix).name.clone()]);
    }
    let hint = suggestion(selector, listed().map(|m| &*m.name));
    Err(Unselected { why: Why::Model, selector: selector.into(), hint })
}

/// A selector that means no model. `Display` tells the user, with the nearest name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unselected {
    why: Why,
    selector: String,
    hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Model,
    Tag,
    UnknownTier,
    EmptyTier,
}

impl Unselected {
    fn new(why: Why, selector: &str) -> Self {
        Self { why, selector: selector.to_owned(), hint: String::new() }
    }

    /// Whether it is a tier that exists, and only no model is of it.
    pub fn is_empty_tier(&self) -> bool {
        self.why == Why::EmptyTier
    }

    /// Whether a single model was named.
    pub(super) fn is_name(&self) -> bool {
        self.why == Why::Model
    }

    /// The message around another form of the selector; without one, what came from the environment is not shown.
    pub(super) fn message(&self, hidden: bool) -> String {
        let (shown, hint) = match hidden {
            true => ("the value of the variable".to_owned(), ""),
            false => {
                let shown: String = self.selector.chars().take(80).collect();
                (format!("`{}`", shown.escape_debug()), self.hint.as_str())
            }
        };
        match self.why {
            Why::Model => format!("unknown model {shown}{hint}"),
            Why::Tag => format!("no model has the tag {shown}{hint}"),
            Why::UnknownTier => format!("unknown tier {shown}: small, medium, large or frontier{hint}"),
            Why::EmptyTier => format!("no model is known to be of the tier {shown}"),
        }
    }
}

impl fmt::Display for Unselected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(false))
    }
}

const TIERS: [(&str, Tier); 4] =
    [("small", Tier::Small), ("medium", Tier::Medium), ("large", Tier::Large), ("frontier", Tier::Frontier)];

fn tier(word: &str) -> Option<Tier> {
    TIERS.iter().find(|(name, _)| *name == word).map(|(_, tier)| *tier)
}

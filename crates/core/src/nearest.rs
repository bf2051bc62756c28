//! Nearest names, for "did you mean": one measure for models, routes and configuration keys.

/// Names looked at, and bytes of a name: bounds the work for absurd inputs.
const MOST_KNOWN: usize = 2000;
const LONGEST: usize = 100;

/// Up to `most` of `known` that resemble `name`, nearest first; among equally near ones the order of `known`. Near is a
/// third of the name's characters mistyped (inserted, left out, changed or swapped), or a name inside the other.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let length = name.chars().count();
    if length > LONGEST {
        return Vec::new();
    }
    let wanted = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .take(MOST_KNOWN)
        .filter(|k| !k.is_empty() && k.len() <= LONGEST)
        .filter_map(|k| {
            let lower = k.to_lowercase();
            let mistyped = strsim::damerau_levenshtein(&wanted, &lower);
            // A name inside the other is near too: `gpt-4o` and `openai/gpt-4o`, `opus` and `claude-opus-4-5`.
            let holds =
                |long: &str, short: &str| short.len() >= 3 && short.len() * 3 >= long.len() && long.contains(short);
            let inside = holds(&lower, &wanted) || holds(&wanted, &lower);
            let distance = if inside { mistyped.min(2) } else { mistyped };
            let is_part = wanted.len() >= 4 && lower.contains(&wanted);
            (is_part || distance <= (length / 3).max(1)).then_some((distance, k))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().take(most).map(|(_, k)| k).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_find_their_name_and_strangers_nothing() {
        let known = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "claude-opus-4-5", "route", "auto"];
        for (name, near) in [
            ("gpt-4o-mni", &["gpt-4o-mini", "gpt-4o"][..]),
            ("GPT-4o-Mini", &["gpt-4o-mini", "gpt-4o"]),
            ("openai/gpt-4o", &["gpt-4o"]),
            ("claude-sonet-4-5", &["claude-sonnet-4-5", "claude-opus-4-5"]),
            ("opus", &["claude-opus-4-5"]),
            ("rotue", &["route"]),
            ("atuo", &["auto"]),
            ("zzz", &[]),
            // A short name inside a long one is chance.
            ("an-automatic-model", &[]),
            ("a", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(name, known.into_iter(), 2), near, "{name}");
        }
        assert!(nearest(&"gpt".repeat(50), known.into_iter(), 2).is_empty());
    }

    #[test]
    fn equally_near_names_keep_their_order_and_only_so_many_are_given() {
        let known = ["model-b", "model-a", "model-c"];
        assert_eq!(nearest("model-x", known.into_iter(), 2), ["model-b", "model-a"]);
    }
}

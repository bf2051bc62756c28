//! Nearest names, for "did you mean": one measure for models, routes and configuration keys.

/// Up to `most` of `known` that resemble `name`, nearest first. A name that shares nothing is not suggested.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let wanted: String = name.chars().take(64).collect::<String>().to_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .map(|k| {
            let lower = k.to_lowercase();
            let contained = wanted.len() >= 3 && (lower.contains(&wanted) || wanted.contains(&lower));
            let similar = strsim::jaro_winkler(&wanted, &lower) + if contained { 0.15 } else { 0.0 };
            (similar, k)
        })
        .filter(|(s, _)| *s >= 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(most).map(|(_, k)| k).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_find_their_name_and_strangers_nothing() {
        let known = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "route"];
        let near = |name| nearest(name, known.into_iter(), 2);
        assert_eq!(near("gpt-4o-mni")[0], "gpt-4o-mini");
        assert_eq!(near("claude-sonet-4-5")[0], "claude-sonnet-4-5");
        assert!(near("zzz").is_empty());
    }
}

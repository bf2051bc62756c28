//! What is kept for learning.

use super::*;

#[test]
fn rows_are_kept_where_it_is_said() {
    let of = |text: &str| parsed(&with_models(text)).config.learning.map(|l| (l.keep.as_secs() / 3600, l.max_rows));
    for (text, kept) in [
        ("", None),
        ("learning: {}", Some((720, 200_000))),
        ("learning: { enabled: true }", Some((720, 200_000))),
        ("learning: { enabled: false, keep: 1h }", None),
        ("learning: { keep: 7d, max_rows: 1_000 }", Some((168, 1000))),
        ("learning: { keep: 90m }", Some((1, 200_000))),
    ] {
        assert_eq!(of(text), kept, "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    for (text, wanted) in [
        ("learning: { keep: 30 }", "5: learning.keep: "),
        ("learning: { keep: 30m }", "5: learning.keep: must be between 1h and 366d"),
        ("learning: { keep: forever }", "5: learning.keep: expected hours or days, such as 12h or 30d"),
        ("learning: { max_rows: 0 }", "5: learning.max_rows: "),
        ("learning: { keeps: 3d }", "5: learning.keeps: unknown key"),
        ("learning: { enabled: maybe }", "5: learning.enabled: expected true or false"),
    ] {
        let found = errors(&with_models(text));
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{text}: {found:?}");
    }
}

//! Texts: equal, equal but for dress, contained, or overlapping in words. Knows no meaning: a paraphrase is wrong, and
//! `contains` is fooled by "not Paris"; `max_words` keeps it from accepting an answer that names everything.

use super::Grade;
use super::form::announced;
use serde::Deserialize;
use std::collections::HashMap;

/// The accepted texts and how they are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    accepted: Vec<String>,
    mode: Mode,
    max_words: Option<usize>,
}

/// How an answer is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Equal but for white space around it.
    Exact,
    /// Equal in lower case without punctuation and articles; what follows "the answer is" counts as the answer.
    #[default]
    Normalized,
    /// The words of an accepted text follow each other in the answer.
    Contains,
    /// Overlap of words: the harmonic mean of precision and recall, 0 to 1.
    F1,
}

/// A task line's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    mode: Mode,
    max_words: Option<usize>,
}

impl Text {
    pub(super) fn new(options: Options, expected: &[serde_json::Value]) -> Result<Self, String> {
        let accepted = expected.iter().map(|v| {
            let text = v.as_str().ok_or_else(|| format!("expected: {v} is no text"))?;
            let empty = match options.mode {
                Mode::Exact => text.trim().is_empty(),
                _ => words(text).is_empty(),
            };
            if empty {
                return Err(format!("expected: {v} has no words in it; every answer, or an empty one, would be right"));
            }
            Ok(text.to_owned())
        });
        if options.max_words == Some(0) {
            return Err("grader.max_words is 0; no answer could be right".to_owned());
        }
        Ok(Self { accepted: accepted.collect::<Result<_, _>>()?, mode: options.mode, max_words: options.max_words })
    }

    /// The best score over the accepted texts; 0 for an answer of more than `max_words` words.
    pub fn grade(&self, answer: &str) -> Grade {
        let length = answer.split_whitespace().count();
        if let Some(most) = self.max_words.filter(|most| length > *most) {
            return Grade::new(false, format!("{length} words, at most {most} were asked for"));
        }
        let best = self.accepted.iter().map(|text| self.score(answer, text)).fold(0.0, f64::max);
        let first = self.accepted.first().map_or("", String::as_str);
        let more = if self.accepted.len() > 1 { " or another" } else { "" };
        Grade { score: best, why: format!("{} {best:.2} against {first:?}{more}", self.mode.name()) }
    }

    fn score(&self, answer: &str, text: &str) -> f64 {
        let wanted = words(text);
        let right = match self.mode {
            Mode::Exact => answer.trim() == text.trim(),
            Mode::Normalized => {
                let last = announced(answer).into_iter().next_back().flatten();
                words(answer) == wanted || last.is_some_and(|rest| words(rest) == wanted)
            }
            Mode::Contains => words(answer).windows(wanted.len()).any(|window| window == wanted),
            Mode::F1 => return f1(&words(answer), &wanted),
        };
        f64::from(u8::from(right))
    }
}

impl Mode {
    /// The name that task files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalized => "normalized",
            Self::Contains => "contains",
            Self::F1 => "f1",
        }
    }
}

/// The words of a text in lower case, without punctuation and without the articles a, an, the, as the SQuAD benchmark
/// compares answers. A point, comma or apostrophe between two alphanumerics stays (`3.5`, `1,000`), so that 3.5 is not
/// 35; a sign before a digit stays.
pub fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    let mut words = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let next = chars.get(at + 1);
        let inside = at > 0 && chars[at - 1].is_alphanumeric() && next.is_some_and(|n| n.is_alphanumeric());
        let last = words.len() - 1;
        if c.is_alphanumeric() || (inside && matches!(c, '.' | ',' | '\'' | '\u{2019}')) {
            words[last].push(*c);
        } else if *c == '-' && words[last].is_empty() && next.is_some_and(char::is_ascii_digit) {
            words[last].push('-');
        } else if !words[last].is_empty() {
            words.push(String::new());
        }
    }
    words.retain(|w| !w.is_empty() && !matches!(w.as_str(), "a" | "an" | "the"));
    words
}

/// Overlap of two lists of words, each word as often as it stands in both: the harmonic mean of precision and recall.
pub fn f1(a: &[String], b: &[String]) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in a {
        *counts.entry(word).or_default() += 1;
    }
    let mut common = 0usize;
    for word in b {
        if let Some(left) = counts.get_mut(word.as_str()).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    if common == 0 { 0.0 } else { 2.0 * common as f64 / (a.len() + b.len()) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(options: serde_json::Value, expected: &[&str]) -> Text {
        let list: Vec<_> = expected.iter().map(|e| json!(e)).collect();
        Text::new(serde_json::from_value(options).expect("options"), &list).expect("a grader")
    }

    #[test]
    fn each_mode_accepts_what_it_says_and_no_more() {
        let cases: &[(&str, &str, &str, f64)] = &[
            ("exact", "Paris", " Paris\n", 1.0),
            ("exact", "Paris", "paris", 0.0),
            ("exact", "Paris", "Paris.", 0.0),
            ("normalized", "The Eiffel Tower", "eiffel tower!", 1.0),
            ("normalized", "Paris", "**Paris**", 1.0),
            ("normalized", "Paris", "The answer is Paris.", 1.0),
            ("normalized", "Paris", "Answer: Paris", 1.0),
            ("normalized", "Paris", "The answer is not Paris.", 0.0),
            ("normalized", "Paris", "Paris is nice, but the answer is Rome.", 0.0),
            ("normalized", "Paris", "Paris, France", 0.0),
            ("normalized", "Paris", "", 0.0),
            ("normalized", "3.5", "35", 0.0),
            ("normalized", "3.5", "3.5.", 1.0),
            ("normalized", "-5", "5", 0.0),
            ("normalized", "well-known", "well known", 1.0),
            ("contains", "Paris", "It is Paris, of course.", 1.0),
            ("contains", "Paris", "Parisian", 0.0),
            ("contains", "art", "It starts", 0.0),
            ("contains", "New York", "york, new", 0.0),
            ("contains", "New York", "in NEW\nYork", 1.0),
            ("contains", "cat", "", 0.0),
            ("f1", "red green blue", "red green blue", 1.0),
            ("f1", "red green blue", "blue, red", 0.8),
            ("f1", "red green blue", "red red red", 2.0 / 6.0),
            ("f1", "red", "yellow", 0.0),
            ("f1", "red", "", 0.0),
        ];
        for (mode, expected, answer, score) in cases {
            let grade = text(json!({"mode": mode}), &[expected]).grade(answer);
            assert!((grade.score - score).abs() < 1e-12, "{mode} {expected:?} {answer:?}: {}", grade.why);
        }
        let several = text(json!({}), &["USA", "United States"]);
        assert_eq!((several.grade("united states").score, several.grade("America").score), (1.0, 0.0));
        let short = text(json!({"mode": "contains", "max_words": 3}), &["Paris"]);
        assert_eq!((short.grade("Paris, France").score, short.grade("Rome or Bern or Paris").score), (1.0, 0.0));
    }

    #[test]
    fn what_would_accept_any_answer_is_refused() {
        for (options, expected) in [
            (json!({}), json!("")),
            (json!({}), json!("The")),
            (json!({"mode": "contains"}), json!("!!!")),
            (json!({"mode": "exact"}), json!(" ")),
            (json!({}), json!(5)),
            (json!({"max_words": 0}), json!("x")),
        ] {
            let built =
                Text::new(serde_json::from_value(options.clone()).expect("options"), std::slice::from_ref(&expected));
            assert!(built.is_err(), "{options} {expected}");
        }
    }

    proptest::proptest! {
        #[test]
        fn overlap_is_symmetric_and_within_bounds(a in "[a-d ]{0,20}", b in "[a-d ]{0,20}") {
            let (a, b) = (words(&a), words(&b));
            let score = f1(&a, &b);
            proptest::prop_assert!((0.0..=1.0).contains(&score));
            proptest::prop_assert_eq!(score, f1(&b, &a));
            proptest::prop_assert!(a.is_empty() || f1(&a, &a) == 1.0);
        }
    }
}

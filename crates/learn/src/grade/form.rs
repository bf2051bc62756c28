//! Where in an answer its conclusion stands: fenced blocks, `\boxed{…}`, and what follows words such as "the answer is".
//! Knows nothing of what is right.

/// A fenced block of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence<'a> {
    /// The word after the opening fence; empty where there is none.
    pub language: &'a str,
    /// What stands inside.
    pub text: &'a str,
    /// Whether the closing fence is there; an answer that was cut ends without.
    pub closed: bool,
}

/// The fenced blocks (three or more backticks or tildes), in order. A block ends with a fence of its own kind that is at
/// least as long; else with the text.
pub fn fences(answer: &str) -> Vec<Fence<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, &str)> = None;
    let mut at = 0;
    for line in answer.split_inclusive('\n') {
        let (from, to) = (at, at + line.len());
        at = to;
        let trimmed = line.trim();
        let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~')).unwrap_or(' ');
        let length = trimmed.chars().take_while(|c| *c == mark).count();
        match open {
            None if length >= 3 => {
                let language = trimmed[length..].split_whitespace().next().unwrap_or_default();
                // ```` ```x``` ```` in a line is code in the text, no block.
                if !language.contains('`') {
                    open = Some((&trimmed[..length], to, language));
                }
            }
            Some((fence, start, language)) if trimmed.starts_with(fence) && length == trimmed.len() => {
                found.push(Fence { language, text: &answer[start..from], closed: true });
                open = None;
            }
            _ => {}
        }
    }
    if let Some((_, start, language)) = open {
        found.push(Fence { language, text: &answer[start..], closed: false });
    }
    found
}

/// The inside of the last `\boxed{…}` (braces balanced; to the end where it was cut).
pub(super) fn boxed(answer: &str) -> Option<&str> {
    let at = answer.rfind("\\boxed{")? + "\\boxed{".len();
    let mut depth = 1;
    for (i, c) in answer[at..].char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(&answer[at..at + i]);
        }
    }
    Some(&answer[at..])
}

/// Words after which an answer's conclusion stands, longest first.
const MARKERS: &[&str] =
    &["answer is", "answer:", "answer**:", "answer =", "answer would be", "answer must be", "####"];

/// What follows each place that announces the answer, in order, to the end of the text. A marker that is taken back ("is
/// not") gives `None`.
pub(super) fn announced(answer: &str) -> Vec<Option<&str>> {
    // ASCII lower case keeps every byte's place.
    let lower = answer.to_ascii_lowercase();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for marker in MARKERS {
        found.extend(lower.match_indices(marker).map(|(at, m)| (at, at + m.len())));
    }
    found.sort_unstable();
    let after = found.into_iter().map(|(_, end)| {
        let rest = answer[end..].trim_start_matches([' ', '\t', '*', ':', '_', '`']);
        let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        (!matches!(word.to_ascii_lowercase().as_str(), "not" | "never" | "neither")).then_some(rest)
    });
    after.collect()
}

/// The first sentence or line of a text that has something in it: to a line break, or a full stop before white space.
pub(super) fn first_sentence(text: &str) -> &str {
    let text = text.trim_start();
    let line = text.lines().next().unwrap_or_default();
    let stop = line.char_indices().find(|(i, c)| {
        matches!(c, '.' | ';' | '?' | '!') && line[i + 1..].chars().next().is_some_and(char::is_whitespace)
    });
    stop.map_or(line, |(i, _)| &line[..i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_closed_nested_and_cut() {
        type Block = (&'static str, &'static str, bool);
        let cases: &[(&str, &[Block])] = &[
            ("no block", &[]),
            ("a\n```python\nx = 1\n```\nb", &[("python", "x = 1\n", true)]),
            ("```\nx\n```\n~~~json\n{}\n~~~", &[("", "x\n", true), ("json", "{}\n", true)]),
            ("````md\n```\ninner\n```\n````", &[("md", "```\ninner\n```\n", true)]),
            ("```py\ncut", &[("py", "cut", false)]),
            ("```x``` is inline", &[]),
            ("``` not code", &[("not", "", false)]),
        ];
        for (text, want) in cases {
            let got: Vec<_> = fences(text).iter().map(|f| (f.language, f.text, f.closed)).collect();
            assert_eq!(got, *want, "{text}");
        }
    }

    #[test]
    fn the_last_box_counts_with_its_braces() {
        assert_eq!(boxed(r"\boxed{1} and \boxed{\frac{3}{4}}."), Some(r"\frac{3}{4}"));
        assert_eq!(boxed(r"\boxed{12"), Some("12"));
        assert_eq!(boxed("boxed{1}"), None);
    }
}

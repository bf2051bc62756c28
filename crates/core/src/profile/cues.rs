//! The phrases that tell what a request asks for and how hard it looks: one table (`cues.txt`), one automaton.
//!
//! In the table ` | ` and line ends separate phrases. A phrase matches whole words, or any ending where it ends in `*`, any
//! beginning where it begins with one; `_` at an edge is a space. It is written as in JSON, so that `\n` is a line break.
//! Case of ASCII does not matter, nor that of a first letter outside it. A phrase that begins or ends outside ASCII (Chinese,
//! Japanese, accents) needs no word boundary there, and is also found written in `\uXXXX`. Weights: 1 is a hint, 3 by itself
//! decides.

use super::Task;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use std::sync::LazyLock;

/// What a phrase is a sign of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// A task, with a weight.
    For(Task, f32),
    /// A task, and a term of a hard field: the weight of each.
    HardFor(Task, f32, f32),
    /// Something trivial.
    Easy,
    /// A requirement on the answer: each occurrence counts.
    Constraint,
    /// A word of a sum in words, which is one where numbers stand beside several of them.
    Quantity,
    /// Asks for thinking in steps.
    Think,
    /// Refers to what was said before.
    FollowUp,
    /// Opens or closes a conversation.
    Greeting,
    /// A quotation mark: what it encloses is material rather than instruction.
    Quote,
    /// Material follows, to the end of the text.
    Material,
}

/// Unindented lines name a sign, `task weight`, `task weight hard weight` or a word; the indented ones below list its phrases.
const TABLE: &str = include_str!("cues.txt");

/// Words that are also recognised with one letter wrong, missing, added or swapped. What they are signs of is what the table
/// says of them.
pub(super) const MISSPELT: &str = "translate translation summarize summarise summary classify categorize sentiment extract calculate python javascript \
    typescript refactor function algorithm theorem prove lemma conjecture primes infinite irrational integral derivative equation probability \
    polynomial eigenvalue convergence diagnosis symptoms contraindicated jurisdiction plaintiff defendant liability negligence statute deadlock concurrency \
    linearizable consensus invariant premise syllogism derivation rewrite paraphrase essay poem capital hauptstadt übersetze zusammenfassung beweise";

/// One phrase of the table.
struct Cue {
    sign: Sign,
    open_start: bool,
    open_end: bool,
}

/// The compiled table.
pub(super) struct Cues {
    dfa: DFA,
    /// By pattern of the automaton.
    cues: Vec<Cue>,
}

pub(super) static CUES: LazyLock<Cues> = LazyLock::new(Cues::new);

impl Cues {
    /// At most so many phrases, spellings in escapes included; a test counts them.
    pub(super) const MAX: usize = 2048;

    fn new() -> Self {
        let (mut patterns, mut cues) = (Vec::new(), Vec::new());
        for (sign, phrase) in table() {
            let bare = phrase.strip_prefix('*').unwrap_or(phrase);
            let stem = bare.strip_suffix('*').unwrap_or(bare);
            let edge = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric());
            let mut add = |pattern: String| {
                let bytes = pattern.as_bytes();
                let open_start = bare.len() < phrase.len() || edge(bytes.first());
                let open_end = stem.len() < bare.len() || edge(stem.as_bytes().last());
                patterns.push(pattern);
                cues.push(Cue { sign, open_start, open_end });
            };
            let text = spaced(stem);
            if !text.is_ascii() {
                let upper = capitalised(&text);
                add(escape(&text));
                if upper != text {
                    add(escape(&upper));
                    add(upper);
                }
            }
            add(text);
        }
        let dfa = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(&patterns)
            .expect("a table of short phrases makes a small automaton");
        Self { dfa, cues }
    }

    /// Calls `found` with every phrase in `text`: its number, its sign and where it is.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize, Sign, std::ops::Range<usize>)) {
        let Ok(mut state) = self.dfa.start_state(Anchored::No) else { return };
        for (at, &b) in text.iter().enumerate() {
            state = self.dfa.next_state(Anchored::No, state, b);
            if !self.dfa.is_special(state) || !self.dfa.is_match(state) {
                continue;
            }
            for ix in 0..self.dfa.match_len(state) {
                let pattern = self.dfa.match_pattern(state, ix);
                let cue = &self.cues[pattern.as_usize()];
                let range = at + 1 - self.dfa.pattern_len(pattern)..at + 1;
                if (cue.open_start || word_begins(text, range.start)) && (cue.open_end || word_ends(text, range.end)) {
                    found(pattern.as_usize(), cue.sign, range);
                }
            }
        }
    }

    /// How many patterns there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cues.len()
    }

    /// Bytes that the automaton takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.dfa.memory_usage()
    }
}

/// No letter or digit before `at`, or one that belongs to an escape such as `\n`.
fn word_begins(text: &[u8], at: usize) -> bool {
    match &text[..at] {
        [.., b'\\', b'n' | b't' | b'r'] | [] => true,
        [.., last] => !last.is_ascii_alphanumeric(),
    }
}

fn word_ends(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|b| !b.is_ascii_alphanumeric())
}

/// Every phrase of the table with its sign.
fn table() -> impl Iterator<Item = (Sign, &'static str)> {
    let mut sign = None;
    TABLE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).flat_map(move |line| {
        let phrases = match line.strip_prefix("    ") {
            Some(phrases) => phrases,
            None => {
                sign = Some(Sign::read(line.trim_end_matches(':')).expect("the table is tested"));
                ""
            }
        };
        let sign = sign.expect("the table begins with a sign");
        phrases.split(" | ").filter(|p| !p.is_empty()).map(move |phrase| (sign, phrase))
    })
}

impl Sign {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words[..] {
            ["easy"] => Self::Easy,
            ["constraint"] => Self::Constraint,
            ["quantity"] => Self::Quantity,
            ["think"] => Self::Think,
            ["follow-up"] => Self::FollowUp,
            ["greeting"] => Self::Greeting,
            ["quote"] => Self::Quote,
            ["material"] => Self::Material,
            [task, weight] => Self::For(Task::from_name(task)?, weight.parse().ok()?),
            [task, weight, "hard", hard] => {
                Self::HardFor(Task::from_name(task)?, weight.parse().ok()?, hard.parse().ok()?)
            }
            _ => return None,
        })
    }
}

/// With the spaces that `_` stands for at its edges.
fn spaced(stem: &str) -> String {
    let start = stem.strip_prefix('_').map_or(String::new(), |_| " ".to_owned());
    let end = if stem.ends_with('_') { " " } else { "" };
    start + stem.trim_matches('_') + end
}

/// With its first letter in upper case.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// With what is not ASCII written as JSON's `\uXXXX`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}")));
        }
    }
    out
}

//! The phrases that tell what a request asks for and how hard it looks: one table (`cues.txt`), one automaton.
//!
//! In the table ` | ` and line ends separate phrases. A phrase matches whole words, or any ending where it ends in `*`, any
//! beginning where it begins with one; `_` at an edge is a space. It is written as in JSON, so that `\n` is a line break.
//! Case of ASCII does not matter, nor that of a first letter outside it. A phrase that begins or ends outside ASCII (Chinese,
//! Japanese, accents) needs no word boundary there, and is also found written in `\uXXXX`. Weights: 1 is a hint, 3 by itself
//! decides.

use super::Task;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, StartKind};
use memchr::memmem;
use std::ops::Range;
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

/// One spelling of a phrase.
struct Pattern {
    /// The phrase, by number.
    phrase: u16,
    sign: Sign,
    open_start: bool,
    open_end: bool,
}

/// The compiled table, in three automata: one for all would be five times as large, and most texts need the first alone.
pub(super) struct Cues {
    ascii: Spellings<DFA>,
    /// For texts with characters outside ASCII.
    wide: Spellings<NFA>,
    /// For texts with `\uXXXX`.
    escaped: Spellings<NFA>,
    #[cfg(test)]
    phrases: usize,
}

/// Some of the patterns and the automaton that finds them.
struct Spellings<A> {
    automaton: A,
    patterns: Vec<Pattern>,
}

pub(super) static CUES: LazyLock<Cues> = LazyLock::new(Cues::new);

impl Cues {
    /// At most so many phrases; a test counts them.
    pub(super) const MAX: usize = 2048;

    fn new() -> Self {
        let mut spellings: [(Vec<String>, Vec<Pattern>); 3] = Default::default();
        let mut phrases = 0;
        for (number, (sign, phrase)) in table().enumerate() {
            let bare = phrase.strip_prefix('*').unwrap_or(phrase);
            let stem = bare.strip_suffix('*').unwrap_or(bare);
            let edge = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric());
            let mut add = |to: usize, spelling: String| {
                let open_start = bare.len() < phrase.len() || edge(spelling.as_bytes().first());
                let open_end = stem.len() < bare.len() || edge(stem.as_bytes().last());
                spellings[to].0.push(spelling);
                spellings[to].1.push(Pattern { phrase: number as u16, sign, open_start, open_end });
            };
            let text = spaced(stem);
            let layout = matches!(sign, Sign::Quote | Sign::Material);
            if text.is_ascii() {
                add(0, text.clone());
            }
            for text in [capitalised(&text), text] {
                if layout || !text.is_ascii() {
                    add(2, escape(&text));
                    add(1, text);
                }
            }
            phrases = number + 1;
        }
        debug_assert!(phrases <= Self::MAX, "{phrases}");
        let [ascii, wide, escaped] = spellings;
        let dfa = DFA::builder().start_kind(StartKind::Unanchored).ascii_case_insensitive(true).build(&ascii.0);
        let nfa = |patterns: &[String]| NFA::builder().ascii_case_insensitive(true).build(patterns);
        let small = "a table of short phrases makes a small automaton";
        Self {
            ascii: Spellings { automaton: dfa.expect(small), patterns: ascii.1 },
            wide: Spellings { automaton: nfa(&wide.0).expect(small), patterns: wide.1 },
            escaped: Spellings { automaton: nfa(&escaped.0).expect(small), patterns: escaped.1 },
            #[cfg(test)]
            phrases,
        }
    }

    /// Calls `found` with every phrase in `text`: its number, its sign and where it is. In order within ASCII, then
    /// again from the beginning for other spellings.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize, Sign, Range<usize>)) {
        self.ascii.find(text, &mut found);
        if !text.is_ascii() {
            self.wide.find(text, &mut found);
        }
        if memmem::find(text, b"\\u").is_some() {
            self.escaped.find(text, &mut found);
        }
    }

    /// How many phrases there are, and the bytes that the automata take.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let automata = [self.ascii.automaton.memory_usage(), self.wide.automaton.memory_usage()];
        (self.phrases, automata.iter().sum::<usize>() + self.escaped.automaton.memory_usage())
    }
}

/// Lanes that a text is read in, and where they begin to pay.
const LANES: usize = 4;
const LONG: usize = 256;

impl<A: Automaton> Spellings<A> {
    /// A step of an automaton waits for the step before it. A longer text is therefore read in lanes that a processor runs
    /// side by side; each begins as far before its part as a phrase is long, so that none is missed at a seam.
    fn find(&self, text: &[u8], found: &mut impl FnMut(usize, Sign, Range<usize>)) {
        let Ok(start) = self.automaton.start_state(Anchored::No) else { return };
        let overlap = self.automaton.max_pattern_len();
        if text.len() < LONG || text.len() < LANES * overlap || !self.find_in_lanes(text, start, overlap, found) {
            self.find_in_order(text, start, found);
        }
    }

    fn find_in_order(&self, text: &[u8], start: StateID, found: &mut impl FnMut(usize, Sign, Range<usize>)) {
        let mut state = start;
        for (at, &b) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, b);
            if self.automaton.is_special(state) {
                self.report(text, state, at + 1, found);
            }
        }
    }

    /// Whether the matches were few enough to keep until they are in order.
    #[expect(clippy::needless_range_loop, reason = "one index runs over all lanes")]
    fn find_in_lanes(
        &self,
        text: &[u8],
        start: StateID,
        overlap: usize,
        found: &mut impl FnMut(usize, Sign, Range<usize>),
    ) -> bool {
        let part = text.len() / LANES;
        // The last part is the longest.
        let span = text.len() - (LANES - 1) * part + overlap;
        let begins: [usize; LANES] = std::array::from_fn(|l| (l * part).saturating_sub(overlap).min(text.len() - span));
        let lanes = begins.map(|begin| &text[begin..begin + span]);
        let mut states = [start; LANES];
        let mut hits = [(0, 0, start); 160];
        let mut count = 0;
        for at in 0..span {
            for (lane, state) in states.iter_mut().enumerate() {
                *state = self.automaton.next_state(Anchored::No, *state, lanes[lane][at]);
                if self.automaton.is_special(*state) {
                    let Some(hit) = hits.get_mut(count) else { return false };
                    *hit = (lane, begins[lane] + at + 1, *state);
                    count += 1;
                }
            }
        }
        for lane in 0..LANES {
            let own = lane * part + 1..if lane + 1 == LANES { text.len() + 1 } else { (lane + 1) * part + 1 };
            for (_, end, state) in hits[..count].iter().filter(|h| h.0 == lane && own.contains(&h.1)) {
                self.report(text, *state, *end, found);
            }
        }
        true
    }

    fn report(&self, text: &[u8], state: StateID, end: usize, found: &mut impl FnMut(usize, Sign, Range<usize>)) {
        if !self.automaton.is_match(state) {
            return;
        }
        for ix in 0..self.automaton.match_len(state) {
            let id = self.automaton.match_pattern(state, ix);
            let pattern = &self.patterns[id.as_usize()];
            let start = end - self.automaton.pattern_len(id);
            if (pattern.open_start || word_begins(text, start)) && (pattern.open_end || word_ends(text, end)) {
                found(pattern.phrase as usize, pattern.sign, start..end);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rng;

    /// Read in lanes, a text says the same in the same order as read from end to end, wherever the seams fall.
    #[test]
    fn lanes_miss_nothing() {
        let pieces = [
            "prove ",
            "über ",
            "write a python function ",
            "证明",
            "\\n",
            "of the ",
            "infinitely many primes",
            ": ",
            "x",
        ];
        let mut rng = Rng::new(11);
        let mut laned = 0;
        for _ in 0..500 {
            let text: String = (0..40 + rng.below(160)).map(|_| pieces[rng.below(pieces.len())]).collect();
            let text = text.as_bytes();
            let spellings = &CUES.ascii;
            let start = spellings.automaton.start_state(Anchored::No).unwrap();
            let (mut lanes, mut whole) = (Vec::new(), Vec::new());
            let overlap = spellings.automaton.max_pattern_len();
            if text.len() >= LANES * overlap {
                let mut keep = |ix, _: Sign, at: Range<usize>| lanes.push((at.end, ix));
                if spellings.find_in_lanes(text, start, overlap, &mut keep) {
                    laned += 1;
                    spellings.find_in_order(text, start, &mut |ix, _, at| whole.push((at.end, ix)));
                    assert_eq!(lanes, whole);
                }
            }
        }
        assert!(laned > 100, "{laned}");
    }

    /// Phrases that no text can match would be dead weight: each is found in itself.
    #[test]
    fn every_phrase_is_found() {
        for (number, (_, phrase)) in table().enumerate() {
            let text = spaced(phrase.trim_matches('*'));
            for text in [escape(&text), escape(&capitalised(&text)), capitalised(&text), text] {
                let mut seen = false;
                CUES.find(text.as_bytes(), |ix, _, _| seen |= ix == number);
                assert!(seen, "{phrase} in {text}");
            }
        }
    }
}

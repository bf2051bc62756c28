//! Multiple choice: which letter an answer chooses. The article "A" is no choice, and neither are two letters.

use super::Grade;
use super::form::{announced, boxed};
use super::text::words;
use serde::Deserialize;

/// The letters to choose from and the right one.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    letters: Vec<char>,
    /// The choices' texts, where the task gives them.
    options: Vec<String>,
    accepted: Vec<char>,
}

/// A task line's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    letters: Option<String>,
    options: Option<Vec<String>>,
}

/// What may follow "the answer is A" so that the A is no article.
const GO_ON: [&str; 9] = ["because", "since", "as", "for", "which", "due", "given", "with", "based"];

impl Letter {
    pub(super) fn new(options: Options, expected: &[serde_json::Value]) -> Result<Self, String> {
        let letters: Vec<char> = match (&options.letters, &options.options) {
            (Some(_), Some(_)) => return Err("grader: say letters or options, not both".to_owned()),
            (Some(letters), None) => letters.to_ascii_uppercase().chars().collect(),
            (None, Some(options)) => ('A'..='Z').take(options.len()).collect(),
            (None, None) => ('A'..='E').collect(),
        };
        let distinct = letters.iter().collect::<std::collections::BTreeSet<_>>().len() == letters.len();
        let too_many = options.options.as_ref().is_some_and(|o| o.len() > 26);
        if letters.len() < 2 || !distinct || too_many || !letters.iter().all(char::is_ascii_uppercase) {
            return Err("grader: letters (or options) must be 2 to 26 different choices, A to Z".to_owned());
        }
        let accepted = expected.iter().map(|v| {
            let one = v.as_str().map(|s| s.trim().to_ascii_uppercase());
            let one = one.filter(|s| s.chars().count() == 1).and_then(|s| s.chars().next());
            one.filter(|c| letters.contains(c)).ok_or_else(|| {
                let all = letters.iter().collect::<String>();
                format!("expected: {v} is none of the letters {all:?}")
            })
        });
        let accepted = accepted.collect::<Result<Vec<_>, _>>()?;
        if accepted.len() >= letters.len() {
            return Err("expected: every letter is accepted; no answer could be wrong".to_owned());
        }
        Ok(Self { letters, options: options.options.unwrap_or_default(), accepted })
    }

    /// The letter that the answer chooses. In this order: the whole answer, the last `\boxed{}`, the last "answer is", a
    /// last line of a letter alone, the one letter that begins a line (`B. Paris`), the one in brackets or bold, the
    /// answer that is a choice's text. `None` where several are named in the same place.
    pub fn read(&self, answer: &str) -> Option<char> {
        let answer = answer.trim();
        if let Some(letter) = self.alone(answer) {
            return Some(letter);
        }
        if let Some(inside) = boxed(answer) {
            let inside = inside.strip_prefix("\\text{").unwrap_or(inside);
            return self.alone(inside.trim_end_matches('}')).or_else(|| self.leading(inside));
        }
        let announced = announced(answer);
        if !announced.is_empty() {
            let last = announced.into_iter().rev().flatten().next()?;
            return self.announced_by(last).or_else(|| self.option(last.lines().next().unwrap_or_default()));
        }
        let last = answer.lines().rev().map(str::trim).find(|l| !l.is_empty());
        last.and_then(|line| self.alone(line))
            .or_else(|| self.only(answer.lines().filter_map(|line| self.leading(line))))
            .or_else(|| if self.lists(answer) { None } else { self.only(self.marked(answer)) })
            .or_else(|| self.option(answer))
    }

    /// 1 where the answer chooses a right letter.
    pub fn grade(&self, answer: &str) -> Grade {
        let wanted = self.accepted.iter().collect::<String>();
        match self.read(answer) {
            None => Grade::new(false, format!("no letter is chosen; expected {wanted}")),
            Some(letter) => Grade::new(self.accepted.contains(&letter), format!("found {letter}, expected {wanted}")),
        }
    }

    fn letter(&self, c: char) -> Option<char> {
        let upper = c.to_ascii_uppercase();
        self.letters.contains(&upper).then_some(upper)
    }

    /// The text is a letter and its dress: `B`, `b.`, `(B)`, `**B**`, `Option B`.
    fn alone(&self, text: &str) -> Option<char> {
        let bare = text.trim().trim_matches(|c: char| c.is_whitespace() || "()[]{}*_`\"'.:$".contains(c));
        let bare = ["option ", "choice "].iter().find_map(|p| strip_prefix_ignoring_case(bare, p)).unwrap_or(bare);
        let mut chars = bare.chars();
        let first = chars.next()?;
        chars.next().is_none().then(|| self.letter(first)).flatten()
    }

    /// The line begins with a letter as lists do: `B.`, `B)`, `(B)`, `**B.**`, `B:`.
    fn leading(&self, line: &str) -> Option<char> {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || "*_#>-`".contains(c));
        let (bracket, line) = line.strip_prefix(['(', '[']).map_or((false, line), |l| (true, l));
        let mut chars = line.chars();
        let letter = chars.next().filter(|c| c.is_ascii_uppercase() || bracket).and_then(|c| self.letter(c))?;
        let rest = chars.as_str();
        let closes = if bracket { rest.starts_with([')', ']']) } else { rest.starts_with([')', '.', ':']) };
        // `A.M.`, `B.C.` are words.
        let next = rest.chars().nth(1);
        let hedges = self.hedges(rest.trim_start_matches([')', ']', '.', ':']));
        (closes && !hedges && next.is_none_or(|c| !c.is_alphanumeric())).then_some(letter)
    }

    /// What stands right after "the answer is".
    fn announced_by(&self, rest: &str) -> Option<char> {
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "*_`\"'$:".contains(c));
        let rest = ["option ", "choice ", "letter ", "\\text{", "either "]
            .iter()
            .find_map(|p| strip_prefix_ignoring_case(rest, p))
            .unwrap_or(rest);
        let rest = rest.trim_start_matches(['*', '_', '`', '"', '\'']);
        let (bracket, rest) = rest.strip_prefix(['(', '[']).map_or((false, rest), |r| (true, r));
        let mut chars = rest.chars();
        let first = chars.next()?;
        let after = chars.as_str();
        if after.starts_with(|c: char| c.is_alphanumeric() || c == '\'' || c == '\u{2019}' || c == '-') {
            return None;
        }
        let bare = after.trim_start_matches(|c: char| "*_`\"')]}$".contains(c));
        if first.is_ascii_lowercase() && !(bracket || bare.trim().is_empty() || bare.starts_with(['.', '\n'])) {
            return None;
        }
        let word = bare.split_whitespace().next().unwrap_or_default();
        let begins_word = bare.starts_with(' ') && word.starts_with(|c: char| c.is_alphabetic());
        if first == 'A' && !bracket && begins_word && !GO_ON.contains(&word.trim_end_matches(',')) && !self.hedges(bare)
        {
            return None;
        }
        if self.hedges(bare) { None } else { self.letter(first) }
    }

    /// `… or C`, `/C`, `, C`, `and C`: a second letter in the same breath.
    fn hedges(&self, after: &str) -> bool {
        let after = after.trim_start();
        let joined = ["or ", "and ", "/", ", ", "& "].iter().find_map(|j| strip_prefix_ignoring_case(after, j));
        let Some(next) = joined else { return false };
        let next = next.trim_start_matches(|c: char| c.is_whitespace() || "*_`(\"'".contains(c));
        let next = strip_prefix_ignoring_case(next, "or ").unwrap_or(next).trim_start_matches(['(', '*']);
        let mut chars = next.chars();
        let is_letter = chars.next().is_some_and(|c| c.is_ascii_uppercase() && self.letters.contains(&c));
        is_letter && !chars.next().is_some_and(|c| c.is_alphanumeric() || c == '\'')
    }

    /// Letters in brackets or in bold anywhere: `(B)`, `**B**`.
    fn marked<'a>(&'a self, answer: &'a str) -> impl Iterator<Item = char> + 'a {
        let pairs = [("(", ")"), ("**", "**"), ("[", "]"), ("**(", ")**")];
        pairs.into_iter().flat_map(move |(open, close)| {
            answer.match_indices(open).filter_map(move |(at, _)| {
                let mut chars = answer[at + open.len()..].chars();
                let letter = chars.next().filter(char::is_ascii_uppercase).and_then(|c| self.letter(c))?;
                chars.as_str().starts_with(close).then_some(letter)
            })
        })
    }

    /// Several lines begin with letters: the choices are repeated, none is chosen.
    fn lists(&self, answer: &str) -> bool {
        answer.lines().filter_map(|line| self.leading(line)).nth(1).is_some()
    }

    fn only(&self, found: impl Iterator<Item = char>) -> Option<char> {
        let distinct: std::collections::BTreeSet<char> = found.collect();
        let mut distinct = distinct.into_iter();
        distinct.next().filter(|_| distinct.next().is_none())
    }

    /// The text is that of one choice.
    fn option(&self, text: &str) -> Option<char> {
        let said = words(text);
        if said.is_empty() {
            return None;
        }
        let same = self.options.iter().zip(&self.letters).filter(|(option, _)| words(option) == said);
        self.only(same.map(|(_, letter)| *letter))
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn letter(options: serde_json::Value, expected: &str) -> Letter {
        Letter::new(serde_json::from_value(options).expect("options"), &[json!(expected)]).expect("a grader")
    }

    #[test]
    fn a_choice_is_read_in_its_usual_forms() {
        let b = letter(json!({}), "B");
        for answer in [
            "B",
            "b",
            "B.",
            "(B)",
            "**B**",
            "[B]",
            "`B`",
            "\"B\"",
            "Option B",
            "The answer is B.",
            "The answer is (B).",
            "The correct answer is **B**",
            "The answer is: B",
            "Answer: B",
            "**Answer:** B",
            "answer: b",
            "**Answer**: B",
            "The answer is B because A is too small.",
            "The answer is option B, not C.",
            r"\boxed{B}",
            r"So \boxed{\text{B}}",
            r"\boxed{(B)}",
            "B) Paris",
            "B. Paris",
            "B: Paris",
            "**B. Paris**",
            "(B) Paris",
            "I think it is (B).",
            "Clearly **B** holds.",
            "First A, then C.\n\nB",
            "A is wrong.\nThe answer is B",
            "I first thought that the answer is A. But the answer is B.",
            "#### B",
            "Answer:\nB",
            "The answer is \"B\".",
            "- B. Paris",
            "The answer is **(B)**.",
        ] {
            assert_eq!(b.read(answer), Some('B'), "{answer:?}");
        }
    }

    #[test]
    fn articles_hedges_lists_and_letters_in_words_choose_nothing() {
        let a = letter(json!({}), "A");
        for answer in [
            "",
            "A dog is an animal.",
            "A good question!",
            "The answer is a matter of taste.",
            "The answer is A dog.",
            "a",
            "The answer is not A.",
            "The answer is A or B.",
            "The answer is A and B.",
            "The answer is A/B.",
            "The answer is (A) or (C).",
            "A. Rome\nB. Paris\nC. Bern",
            "(A) and (B) are both fine",
            "I don't know",
            "Answer:",
            "The answer is Athens.",
            "The answer is F.",
            "A.M. is right",
            "AB",
            "The answer is A's.",
            "The answer is A-grade work.",
            "Apples",
            "Option",
            "**A** or **B**",
            r"\boxed{AB}",
            r"\boxed{42}",
            "A B",
        ] {
            if answer == "a" {
                assert_eq!(a.read(answer), Some('A'));
            } else {
                assert_eq!(a.grade(answer).score, 0.0, "{answer:?}: {:?}", a.read(answer));
            }
        }
        assert_eq!(a.read("The answer is A because it fits."), Some('A'));
        assert_eq!(a.read("The answer is A."), Some('A'));
        assert_eq!(a.read("The answer is A, the smallest."), Some('A'));
    }

    #[test]
    fn a_choices_text_is_a_choice_where_it_is_known() {
        let grader = letter(json!({"options": ["Rome", "Paris", "Bern"]}), "B");
        for answer in ["Paris", "paris.", "The answer is Paris", "**Paris**"] {
            assert_eq!(grader.grade(answer).score, 1.0, "{answer:?}");
        }
        for answer in ["Rome", "Not Paris", "Paris or Rome", "D", "The answer is D."] {
            assert_eq!(grader.grade(answer).score, 0.0, "{answer:?}");
        }
    }

    #[test]
    fn a_grader_that_could_not_be_wrong_is_refused() {
        for (options, expected) in [
            (json!({}), json!(["F"])),
            (json!({}), json!([""])),
            (json!({}), json!(["AB"])),
            (json!({}), json!([1])),
            (json!({"letters": "AB"}), json!(["A", "B"])),
            (json!({"letters": "A"}), json!(["A"])),
            (json!({"letters": "AAB"}), json!(["A"])),
            (json!({"letters": "AB", "options": ["x", "y"]}), json!(["A"])),
        ] {
            let list = expected.as_array().cloned().expect("a list");
            let built = Letter::new(serde_json::from_value(options.clone()).expect("options"), &list);
            assert!(built.is_err(), "{options} {expected}");
        }
    }

    proptest::proptest! {
        /// Whatever an answer says, it is read without a panic and gives a letter of the set or none.
        #[test]
        fn any_text_is_read(text in "(the answer is |Answer: |\\\\boxed\\{|)?.{0,40}") {
            let read = letter(json!({"letters": "ABC"}), "B").read(&text);
            proptest::prop_assert!(read.is_none_or(|c| "ABC".contains(c)));
        }
    }
}

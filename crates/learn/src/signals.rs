//! What an answer itself says of how far to trust it: whether it has the form that was asked for, and whether the same
//! model says the same when it is asked again. For cascades that ask a better model where a cheap one's answer is
//! doubtful. Asks nobody: answers come in, signals go out; knows no right answer.

use crate::grade::{Grader, f1, words};
use std::collections::BTreeMap;

/// The form that was asked for.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// Any text.
    Free,
    /// What this grader can read: a number, a letter, JSON of a schema, code.
    Of(&'a Grader),
}

/// An answer as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether it ended because no more tokens were allowed (`finish_reason: length`).
    pub cut: bool,
    /// Whether the provider marked it as a refusal (`refusal`, `finish_reason: content_filter`).
    pub refused: bool,
}

/// How far an answer has the form asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compliance {
    /// There is a text.
    pub present: bool,
    /// It came to its end.
    pub whole: bool,
    /// It is no refusal.
    pub willing: bool,
    /// What was asked for can be read from it, and satisfies the schema where one was given.
    pub readable: bool,
}

impl Compliance {
    /// 0 to 1. Without a text or with a refusal 0; else half for what was asked for being readable, of which JSON that
    /// breaks its schema is not; a quarter for the end; a quarter for being there.
    pub fn score(&self) -> f64 {
        if !(self.present && self.willing) {
            return 0.0;
        }
        0.25 + 0.25 * f64::from(u8::from(self.whole)) + 0.5 * f64::from(u8::from(self.readable))
    }
}

/// Whether an answer has the form asked for.
pub fn compliance(form: Form<'_>, answer: Answer<'_>) -> Compliance {
    let present = !answer.text.trim().is_empty();
    let readable = present
        && match form {
            Form::Free => true,
            Form::Of(Grader::Json(schema)) => schema.read(answer.text).is_ok_and(|value| schema.check(&value).is_ok()),
            Form::Of(grader) => grader.says(answer.text).is_some(),
        };
    Compliance { present, whole: !answer.cut, willing: !answer.refused && !reads_as_refusal(answer.text), readable }
}

/// How refusals begin, in lower case and with a plain apostrophe.
const REFUSALS: [&str; 16] = [
    "i can't help with",
    "i can't help you",
    "i can't assist",
    "i can't provide",
    "i can't fulfill",
    "i cannot help with",
    "i cannot help you",
    "i cannot assist",
    "i cannot provide",
    "i cannot fulfill",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i won't be able to",
    "as an ai language model, i",
    "i must decline",
];

/// Whether a short text begins as refusals do, after an apology. English only; a cue, no proof: an answer that is longer
/// than such an excuse is taken as one.
pub fn reads_as_refusal(text: &str) -> bool {
    let lower = text.trim().to_lowercase().replace('\u{2019}', "'");
    if lower.chars().count() > 600 {
        return false;
    }
    let apologies = [
        "i'm sorry, but ",
        "i'm sorry but ",
        "i'm sorry. ",
        "i am sorry, but ",
        "sorry, but ",
        "sorry, ",
        "unfortunately, ",
    ];
    let said = apologies.iter().find_map(|a| lower.strip_prefix(a)).unwrap_or(&lower);
    REFUSALS.iter().any(|refusal| said.starts_with(refusal))
}

/// One of several answers to the same question, with what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The answer; `None` where the call failed: it was paid for and agrees with nobody.
    pub text: Option<String>,
    /// Tokens of the prompt, as billed.
    pub input_tokens: u64,
    /// Tokens of the answer, as billed.
    pub output_tokens: u64,
    /// What it cost in nano-dollars; `None` where the price is unknown.
    pub nano_usd: Option<i64>,
}

/// How far several answers to the same question agree, and what asking them cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Consistency {
    /// Answers asked for.
    pub samples: usize,
    /// What most of them say, in the words of [`Grader::says`], and how many do; the first of equals. `None` where none
    /// says anything.
    pub majority: Option<(String, usize)>,
    /// The majority's part of all samples, 0 to 1.
    pub share: f64,
    /// Shannon's entropy of what they say, over its most for so many samples: 0 where all agree, 1 where no two do. A
    /// sample that says nothing readable agrees with no other. 0 for a single sample, which says nothing about agreement.
    pub entropy: f64,
    /// Mean overlap of words over all pairs of answers, 0 to 1: agreement of free texts, which are hardly ever equal. A
    /// failed sample overlaps with none; 1 for a single answer.
    pub similarity: f64,
    /// Tokens of all prompts.
    pub input_tokens: u64,
    /// Tokens of all answers.
    pub output_tokens: u64,
    /// What they cost together, in nano-dollars; `None` where one cost is unknown.
    pub nano_usd: Option<i64>,
}

/// Agreement of answers to the same question. Answers count as the same where this grader reads the same from them;
/// without a grader where their words are the same. `None` without samples.
pub fn consistency(grader: Option<&Grader>, samples: &[Sample]) -> Option<Consistency> {
    if samples.is_empty() {
        return None;
    }
    let said = |sample: &Sample| {
        let text = sample.text.as_deref()?;
        match grader {
            Some(grader) => grader.says(text),
            None => Some(words(text).join(" ")).filter(|w| !w.is_empty()),
        }
    };
    let classes: Vec<Option<String>> = samples.iter().map(said).collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for class in classes.iter().flatten() {
        *sizes.entry(class).or_default() += 1;
    }
    let most = sizes.values().copied().max().unwrap_or(0);
    let majority = classes.iter().flatten().find(|c| sizes.get(c.as_str()) == Some(&most)).map(|c| (c.clone(), most));
    let alone = classes.iter().filter(|c| c.is_none()).count();
    let n = samples.len() as f64;
    let surprise = |size: usize| -(size as f64 / n) * (size as f64 / n).ln();
    let entropy = sizes.values().map(|s| surprise(*s)).sum::<f64>() + alone as f64 * surprise(1);
    Some(Consistency {
        samples: samples.len(),
        share: most as f64 / n,
        majority,
        entropy: if samples.len() == 1 { 0.0 } else { (entropy / n.ln()).clamp(0.0, 1.0) },
        similarity: similarity(samples),
        input_tokens: samples.iter().map(|s| s.input_tokens).sum(),
        output_tokens: samples.iter().map(|s| s.output_tokens).sum(),
        nano_usd: samples.iter().map(|s| s.nano_usd).try_fold(0i64, |sum, cost| sum.checked_add(cost?)),
    })
}

fn similarity(samples: &[Sample]) -> f64 {
    let words: Vec<Option<Vec<String>>> = samples.iter().map(|s| s.text.as_deref().map(words)).collect();
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (i, a) in words.iter().enumerate() {
        for b in &words[i + 1..] {
            pairs += 1;
            sum += match (a, b) {
                (Some(a), Some(b)) => f1(a, b),
                _ => 0.0,
            };
        }
    }
    if pairs == 0 { f64::from(u8::from(words.iter().all(Option::is_some))) } else { sum / pairs as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade;

    fn grader(said: &str) -> Grader {
        let line = format!(r#"{{"id":"1","task":"t","prompt":"p",{said}}}"#);
        grade::read("t", &line).expect("a task").remove(0).grader
    }

    fn number() -> Grader {
        grader(r#""grader":"number","expected":1"#)
    }

    fn samples(texts: &[Option<&str>]) -> Vec<Sample> {
        let sample = |t: &Option<&str>| Sample {
            text: t.map(str::to_owned),
            input_tokens: 10,
            output_tokens: 5,
            nano_usd: Some(7),
        };
        texts.iter().map(sample).collect()
    }

    #[test]
    fn the_form_is_judged_whatever_is_right() {
        let (number, letter) = (number(), grader(r#""grader":"letter","expected":"A""#));
        let json = grader(r#""grader":{"type":"json_schema","schema":{"type":"object","required":["n"]}}"#);
        let code = grader(r#""grader":{"type":"code","tests":"assert f","entry_point":"f"}"#);
        let cases: &[(Form<'_>, &str, f64)] = &[
            (Form::Of(&number), "The answer is 5.", 1.0),
            (Form::Of(&number), "I have no idea.", 0.5),
            (Form::Of(&number), "", 0.0),
            (Form::Of(&number), "I'm sorry, but I can\u{2019}t help with that 1 thing.", 0.0),
            (Form::Of(&letter), "(C)", 1.0),
            (Form::Of(&letter), "A nice day", 0.5),
            (Form::Of(&json), r#"{"n":1}"#, 1.0),
            (Form::Of(&json), r#"{"m":1}"#, 0.5),
            (Form::Of(&json), "{", 0.5),
            (Form::Of(&code), "```python\ndef f(): pass\n```", 1.0),
            (Form::Of(&code), "def g(): pass", 0.5),
            (Form::Free, "Anything.", 1.0),
            (Form::Free, " \n", 0.0),
            (Form::Free, "I can't help but smile: I cannot help it.", 1.0),
        ];
        for (form, text, score) in cases {
            let plain = Answer { text, cut: false, refused: false };
            assert_eq!(compliance(*form, plain).score(), *score, "{text:?}");
        }
        let whole = Answer { text: "5", cut: false, refused: false };
        assert_eq!(compliance(Form::Of(&number), Answer { cut: true, ..whole }).score(), 0.75);
        assert_eq!(compliance(Form::Of(&number), Answer { refused: true, ..whole }).score(), 0.0);
        assert!(!reads_as_refusal("We cannot help noticing that 5 is prime."));
        assert!(!reads_as_refusal(&format!("I cannot provide a short one, so here it is. {}", "word ".repeat(200))));
    }

    #[test]
    fn agreement_is_of_what_is_said_and_its_cost_is_summed() {
        let number = number();
        let all =
            consistency(Some(&number), &samples(&[Some("5"), Some("It is 5.0."), Some("#### 5")])).expect("samples");
        assert_eq!((all.majority, all.share, all.entropy), (Some(("5".to_owned(), 3)), 1.0, 0.0));
        assert_eq!((all.input_tokens, all.output_tokens, all.nano_usd), (30, 15, Some(21)));
        let none = consistency(Some(&number), &samples(&[Some("5"), Some("6"), Some("no"), None])).expect("samples");
        assert_eq!((none.share, none.majority), (0.25, Some(("5".to_owned(), 1))));
        assert!((none.entropy - 1.0).abs() < 1e-12, "{}", none.entropy);
        let two = consistency(Some(&number), &samples(&[Some("6"), Some("5"), Some("5"), Some("6")])).expect("samples");
        assert_eq!((two.majority, two.share), (Some(("6".to_owned(), 2)), 0.5));
        assert!((two.entropy - 0.5).abs() < 1e-12);
        let failed = consistency(Some(&number), &samples(&[None, None])).expect("samples");
        assert_eq!((failed.majority, failed.share, failed.similarity), (None, 0.0, 0.0));
        let mut unpriced = samples(&[Some("5"), Some("5")]);
        unpriced[1].nano_usd = None;
        assert_eq!(consistency(None, &unpriced).expect("samples").nano_usd, None);
        assert_eq!(consistency(None, &[]), None);
    }

    #[test]
    fn free_texts_agree_by_their_words() {
        let near = consistency(None, &samples(&[Some("The sky is blue."), Some("Blue is the sky")])).expect("samples");
        let far = consistency(None, &samples(&[Some("The sky is blue."), Some("Grass grows fast")])).expect("samples");
        assert_eq!((near.similarity, far.similarity), (1.0, 0.0));
        assert_eq!(near.share, 0.5);
        let one = consistency(None, &samples(&[Some("x")])).expect("a sample");
        assert_eq!((one.share, one.entropy, one.similarity), (1.0, 0.0, 1.0));
    }

    proptest::proptest! {
        #[test]
        fn signals_stay_within_bounds(texts in proptest::collection::vec(proptest::option::of("[0-3a-c ]{0,6}"), 1..8)) {
            let texts: Vec<_> = texts.iter().map(|t| t.as_deref()).collect();
            for grader in [None, Some(&number())] {
                let c = consistency(grader, &samples(&texts)).expect("samples");
                for value in [c.share, c.entropy, c.similarity] {
                    proptest::prop_assert!((0.0..=1.0).contains(&value), "{:?}", c);
                }
            }
        }
    }
}

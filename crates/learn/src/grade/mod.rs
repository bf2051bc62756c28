//! Grading: from a task and a model's answer to a score. Reads task files, and judges numbers, letters, texts, JSON and
//! code. It calls no model and runs no program: what is to be run is made here as a text ([`Program`]), and whoever runs
//! it says what came of it.
//!
//! A grader looks for the answer that a text *gives*, not for one that occurs in it: a right number on the way to a wrong
//! one, or the article "A", is not an answer. What cannot be told is wrong.
//!
//! # Task files
//! JSON lines, one task each:
//! ```json
//! {"id": "apples-1", "task": "math", "prompt": "How many …?", "grader": "number", "expected": 42}
//! ```
//!
//! | member | meaning |
//! | --- | --- |
//! | `id` | names the task; once in the file |
//! | `task` | what kind it is; profiles are made for each. The gateway's own names (`code`, `math`, `qa`, …) can be put into its configuration |
//! | `prompt`, `system` | what is asked, and what is said before it (optional) |
//! | `messages` | instead of both: `[{"role": "system" \| "user" \| "assistant", "content": "…"}]`, the user's last |
//! | `grader` | a name, or an object with `type` and the grader's options |
//! | `expected` (or `reference`) | what is right; a list where several are |
//! | `max_output_tokens`, `temperature` | sent along (optional) |
//! | `source` | where the task is from; goes to the outcomes (optional) |
//!
//! | grader | options | `expected` |
//! | --- | --- | --- |
//! | `number` | `tolerance` and `relative_tolerance` (default 0), `units`: `{"km": 1, "m": 0.001}` | numbers, or texts as `"3/4"`, `"1,234"`, `"25%"` |
//! | `letter` | `options`: the choices' texts, or `letters` (default `"ABCDE"`) | a letter |
//! | `text` | `mode`: `exact`, `normalized` (default), `contains` or `f1`; `max_words` of an answer | texts |
//! | `json_schema` | `schema`, complete in itself | optional: the value itself |
//! | `code` | `tests` (Python), `entry_point`, `setup`, `timeout_seconds` (default 10, at most 60) | none |

mod code;
mod form;
mod json;
mod letter;
mod number;
mod task;
mod text;

pub use code::{Code, Program, Ran};
pub use form::{Fence, fences};
pub use json::Schema;
pub use letter::Letter;
pub use number::Number;
pub use task::{Message, Role, Task, read};
pub use text::{Mode, Text, f1, words};

/// How good an answer is, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    /// 0 (wrong) to 1 (right).
    pub score: f64,
    /// For people: what was found and what was expected.
    pub why: String,
}

impl Grade {
    pub(crate) fn new(right: bool, why: impl Into<String>) -> Self {
        Self { score: f64::from(u8::from(right)), why: why.into() }
    }
}

/// What grading an answer comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// A grade.
    Grade(Grade),
    /// A program that has to be run first; [`Program::grade`] says what its end means.
    Run(Program),
}

/// Judges the answers to one task.
#[derive(Debug, Clone)]
pub enum Grader {
    /// A number.
    Number(Number),
    /// One of some choices.
    Letter(Letter),
    /// A text.
    Text(Text),
    /// JSON that satisfies a schema.
    Json(Schema),
    /// A program that passes tests.
    Code(Code),
}

impl Grader {
    /// The name that task files use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::Letter(_) => "letter",
            Self::Text(_) => "text",
            Self::Json(_) => "json_schema",
            Self::Code(_) => "code",
        }
    }

    /// Judges an answer. `nonce` is a word that the answer's author cannot have known: what proves that a program came to
    /// the end of its tests.
    pub fn judge(&self, answer: &str, nonce: &str) -> Judged {
        Judged::Grade(match self {
            Self::Number(number) => number.grade(answer),
            Self::Letter(letter) => letter.grade(answer),
            Self::Text(text) => text.grade(answer),
            Self::Json(schema) => schema.grade(answer),
            Self::Code(code) => match code.program(answer, nonce) {
                Some(program) => return Judged::Run(program),
                None => Grade::new(false, "no code in the answer"),
            },
        })
    }

    /// What the answer says, so that two answers that say the same are equal: the number, the letter, the normalised text,
    /// the JSON value, the code. `None` where it says nothing that this grader can read.
    pub fn says(&self, answer: &str) -> Option<String> {
        match self {
            Self::Number(number) => number.read(answer).map(|n| format!("{n}")),
            Self::Letter(letter) => letter.read(answer).map(String::from),
            Self::Text(_) => Some(words(answer).join(" ")).filter(|w| !w.is_empty()),
            Self::Json(schema) => schema.read(answer).ok().map(|v| v.to_string()),
            Self::Code(code) => code.extract(answer).map(str::to_owned),
        }
    }
}

//! Code: the block that an answer gives, and the program that tests it. Python only. Runs nothing.
//!
//! A program passes when it came to the end of its tests, not when it merely ended well: after the tests it prints a word
//! that its author cannot have known (`sys.exit(0)` in an answer passes nothing). An answer that searches its own
//! interpreter for that word could still cheat; this guards against accidents, the sandbox against harm.

use super::Grade;
use super::form::{Fence, fences};
use serde::Deserialize;

/// The tests of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    setup: String,
    tests: String,
    entry_point: Option<String>,
    timeout_seconds: u32,
}

/// A task line's options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    tests: String,
    #[serde(default)]
    setup: String,
    entry_point: Option<String>,
    timeout_seconds: Option<u32>,
    language: Option<String>,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Python source.
    pub text: String,
    /// How long it may run, in seconds.
    pub timeout_seconds: u32,
    nonce: String,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub exit_code: Option<i32>,
    /// What it printed, as far as that was kept.
    pub stdout: String,
    /// What it said of its errors, as far as that was kept.
    pub stderr: String,
    /// What it was stopped for, where it was: time, output.
    pub stopped: Option<String>,
}

const LONGEST: u32 = 60;

impl Code {
    pub(super) fn new(options: Options) -> Result<Self, String> {
        if !matches!(options.language.as_deref(), None | Some("python")) {
            return Err("grader.language: only python is known".to_owned());
        }
        if !options.tests.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')) {
            return Err("grader.tests has no statement; every program would pass".to_owned());
        }
        let identifier = |s: &str| {
            let begins = s.starts_with(|c: char| c.is_alphabetic() || c == '_');
            begins && s.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        if let Some(name) = options.entry_point.as_deref().filter(|n| !identifier(n)) {
            return Err(format!("grader.entry_point: {name:?} is no name of a function or class"));
        }
        let timeout_seconds = options.timeout_seconds.unwrap_or(10);
        if !(1..=LONGEST).contains(&timeout_seconds) {
            return Err(format!("grader.timeout_seconds is {timeout_seconds}; say 1 to {LONGEST}"));
        }
        Ok(Self { setup: options.setup, tests: options.tests, entry_point: options.entry_point, timeout_seconds })
    }

    /// The code that an answer gives: of its blocks of Python (or of no language), the last that defines the entry point,
    /// without an entry point the longest; without blocks the whole answer, where it begins as code does.
    pub fn extract<'a>(&self, answer: &'a str) -> Option<&'a str> {
        let fences = fences(answer);
        let python =
            |f: &&Fence<'_>| matches!(f.language.to_ascii_lowercase().as_str(), "" | "py" | "python" | "python3");
        let blocks: Vec<&Fence<'_>> = fences.iter().filter(python).filter(|f| !f.text.trim().is_empty()).collect();
        if fences.is_empty() {
            let text = answer.trim();
            let starts = ["def ", "class ", "import ", "from ", "@", "async def ", "#"];
            let code = starts.iter().any(|s| text.starts_with(s)) && self.defines(text);
            return code.then_some(text);
        }
        let found = match &self.entry_point {
            Some(_) => blocks.iter().rev().find(|f| self.defines(f.text)).copied(),
            // The first of the longest.
            None => blocks.iter().rev().max_by_key(|f| f.text.trim().len()).copied(),
        };
        found.map(|f| f.text)
    }

    fn defines(&self, text: &str) -> bool {
        let Some(name) = &self.entry_point else { return true };
        text.lines().any(|line| {
            let after = ["def ", "async def ", "class "].iter().find_map(|k| line.strip_prefix(k));
            let assigned =
                line.strip_prefix(name.as_str()).is_some_and(|rest| rest.trim_start().starts_with(['=', ':']));
            let rest = after.and_then(|rest| rest.trim_start().strip_prefix(name.as_str()));
            assigned || rest.is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    }

    /// The program that puts the answer's code to the tests; `None` where the answer has no code. The code runs as a
    /// module that is not `__main__`, so that what it would do as a script stays undone; the tests see its names.
    pub fn program(&self, answer: &str, nonce: &str) -> Option<Program> {
        let code = self.extract(answer)?;
        // A JSON text is a Python literal: its escapes are a part of Python's.
        let literal = |text: &str| serde_json::Value::from(text).to_string();
        let text = format!(
            "import sys, types\n\
             module = types.ModuleType('answer')\n\
             sys.modules['answer'] = module\n\
             exec(compile({setup}, 'setup.py', 'exec'), module.__dict__)\n\
             exec(compile({code}, 'answer.py', 'exec'), module.__dict__)\n\
             exec(compile({tests}, 'tests.py', 'exec'), module.__dict__)\n\
             sys.__stdout__.write('\\n' + {nonce} + '\\n')\n\
             sys.__stdout__.flush()\n",
            setup = literal(&self.setup),
            code = literal(code),
            tests = literal(&self.tests),
            nonce = literal(nonce),
        );
        Some(Program { text, timeout_seconds: self.timeout_seconds, nonce: nonce.to_owned() })
    }
}

impl Program {
    /// 1 where it came to the end of its tests and ended well.
    pub fn grade(&self, ran: &Ran) -> Grade {
        let last = ran.stdout.lines().rev().find(|l| !l.trim().is_empty()).map(str::trim);
        let why = match (&ran.stopped, ran.exit_code) {
            (Some(why), _) => format!("stopped: {why}"),
            (None, Some(0)) if last == Some(self.nonce.as_str()) => return Grade::new(true, "passed its tests"),
            (None, Some(0)) => "ended before its tests did".to_owned(),
            (None, code) => {
                let said = ran.stderr.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message").trim();
                let code = code.map_or("a signal".to_owned(), |c| format!("exit code {c}"));
                format!("failed with {code}: {said}")
            }
        };
        Grade::new(false, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(more: serde_json::Value) -> Result<Code, String> {
        let mut options = json!({"tests": "assert f(2) == 4"});
        options.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        Code::new(serde_json::from_value(options).map_err(|e| e.to_string())?)
    }

    #[test]
    fn the_block_that_answers_is_taken() {
        let f = code(json!({"entry_point": "f"})).expect("a grader");
        let any = code(json!({})).expect("a grader");
        let cases: &[(&Code, &str, Option<&str>)] = &[
            (&f, "Sure:\n```python\ndef f(x):\n  return x\n```", Some("def f(x):\n  return x\n")),
            (
                &f,
                "```python\ndef f(x): return 1\n```\nBetter:\n```python\ndef f(x): return 2\n```",
                Some("def f(x): return 2\n"),
            ),
            (&f, "```python\ndef f(x): return 1\n```\nUse:\n```python\nprint(f(1))\n```", Some("def f(x): return 1\n")),
            (&f, "```python\ndef foo(x): return 1\n```", None),
            (&f, "```\nf = lambda x: x\n```", Some("f = lambda x: x\n")),
            (&f, "```bash\ndef f\n```", None),
            (&f, "def f(x):\n    return 2 * x", Some("def f(x):\n    return 2 * x")),
            (&f, "You could define f(x) as 2x.", None),
            (&f, "", None),
            (&f, "```python\ndef f(x): return", Some("def f(x): return")),
            (&any, "```\na = 1\n```\n```py\nlonger = 12345\n```", Some("longer = 12345\n")),
            (&any, "I would not write code here", None),
        ];
        for (grader, answer, want) in cases {
            assert_eq!(grader.extract(answer), *want, "{answer:?}");
        }
    }

    #[test]
    fn only_the_end_of_the_tests_passes() {
        let grader = code(json!({})).expect("a grader");
        let program = grader.program("```\ndef f(x): return \"\\\"'\"\n```", "nonce-1").expect("code");
        let ran = |exit_code, stdout: &str, stopped: Option<&str>| Ran {
            exit_code,
            stdout: stdout.to_owned(),
            stderr: "Traceback\nAssertionError: no".to_owned(),
            stopped: stopped.map(str::to_owned),
        };
        assert_eq!(program.grade(&ran(Some(0), "hello\nnonce-1\n", None)).score, 1.0);
        for bad in [
            ran(Some(0), "", None),
            ran(Some(0), "passed\n", None),
            ran(Some(0), "nonce-1 nonce-1\n", None),
            ran(Some(0), "nonce-1\nmore\n", None),
            ran(Some(1), "nonce-1\n", None),
            ran(None, "nonce-1\n", None),
            ran(Some(0), "nonce-1\n", Some("it ran for 10 s")),
        ] {
            assert_eq!(program.grade(&bad).score, 0.0, "{bad:?}");
        }
        assert!(program.grade(&ran(Some(1), "", None)).why.ends_with("AssertionError: no"));
    }

    #[test]
    fn tests_that_test_nothing_are_refused() {
        for bad in [
            json!({"tests": ""}),
            json!({"tests": "# nothing\n\n"}),
            json!({"entry_point": "f; import os"}),
            json!({"timeout_seconds": 0}),
            json!({"timeout_seconds": 61}),
            json!({"language": "perl"}),
            json!({"test": "x"}),
        ] {
            assert!(code(bad.clone()).is_err(), "{bad}");
        }
    }
}

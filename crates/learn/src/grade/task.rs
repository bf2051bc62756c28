//! Task files: JSON lines to tasks, every bad line named.

use super::{Code, Grader, Letter, Number, Schema, Text};
use crate::outcome::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// One question with its grader.
#[derive(Debug, Clone)]
pub struct Task {
    /// Names it; once in a file.
    pub id: String,
    /// What kind it is; profiles are made for each.
    pub task: String,
    /// Where it is from; may be empty.
    pub source: String,
    /// The conversation to be continued; the last message is the user's.
    pub messages: Vec<Message>,
    /// The most output tokens of an answer.
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Judges the answer.
    pub grader: Grader,
}

/// A message of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl Task {
    /// The last thing that the user says: what outcomes name as the prompt.
    pub fn prompt(&self) -> &str {
        self.messages.last().map_or("", |m| m.content.as_str())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    task: String,
    #[serde(default)]
    source: String,
    prompt: Option<String>,
    system: Option<String>,
    messages: Option<Vec<Message>>,
    grader: Value,
    expected: Option<Value>,
    reference: Option<Value>,
    max_output_tokens: Option<u32>,
    temperature: Option<f64>,
}

/// Reads a task file's text. Empty lines are passed over. `file` is the name that problems say.
///
/// # Errors
/// Every problem of every line: no JSON, unknown or missing members, an id that was there before, a grader or an expected
/// answer that cannot be or that would accept anything, no task at all.
pub fn read(file: &str, text: &str) -> Result<Vec<Task>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut tasks = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (ix, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let mut wrong = |what: String| problems.push(Problem { file: file.to_owned(), line: ix + 1, what });
        let parsed: Line = match serde_json::from_str(line) {
            Ok(parsed) => parsed,
            Err(e) => {
                wrong(e.to_string());
                continue;
            }
        };
        if let Some(first) = seen.get(&parsed.id) {
            wrong(format!("id {:?} is also at line {first}; give each task a name of its own", parsed.id));
        }
        seen.entry(parsed.id.clone()).or_insert(ix + 1);
        match task(parsed) {
            Ok(task) => tasks.push(task),
            Err(all) => all.into_iter().for_each(wrong),
        }
    }
    if tasks.is_empty() && problems.is_empty() {
        problems.push(Problem { file: file.to_owned(), line: 1, what: "no task in it".to_owned() });
    }
    if problems.is_empty() { Ok(tasks) } else { Err(problems) }
}

/// A line checked; else everything that is wrong with it.
fn task(line: Line) -> Result<Task, Vec<String>> {
    let mut wrong = Vec::new();
    for (name, value) in [("id", &line.id), ("task", &line.task)] {
        if value.trim().is_empty() {
            wrong.push(format!("{name} is empty"));
        }
    }
    if line.max_output_tokens == Some(0) {
        wrong.push("max_output_tokens is 0; leave it out or say at least 1".to_owned());
    }
    if let Some(t) = line.temperature.filter(|t| !(0.0..=2.0).contains(t)) {
        wrong.push(format!("temperature is {t}; say 0 to 2"));
    }
    let messages = messages(line.prompt, line.system, line.messages).map_err(|e| wrong.push(e));
    let expected = match (line.expected, line.reference) {
        (Some(_), Some(_)) => Err("say expected or reference, not both".to_owned()),
        (one, other) => Ok(one.or(other)),
    };
    let grader = expected.and_then(|expected| grader(line.grader, expected)).map_err(|e| wrong.push(e));
    let (Ok(messages), Ok(grader), true) = (messages, grader, wrong.is_empty()) else { return Err(wrong) };
    Ok(Task {
        id: line.id,
        task: line.task,
        source: line.source,
        messages,
        max_output_tokens: line.max_output_tokens,
        temperature: line.temperature,
        grader,
    })
}

fn messages(
    prompt: Option<String>,
    system: Option<String>,
    messages: Option<Vec<Message>>,
) -> Result<Vec<Message>, String> {
    let messages = match (prompt, messages) {
        (Some(_), Some(_)) => return Err("say prompt or messages, not both".to_owned()),
        (None, None) => return Err("prompt (or messages) is missing".to_owned()),
        (None, Some(_)) if system.is_some() => {
            return Err("system goes with prompt; among messages it is one of role system".to_owned());
        }
        (Some(prompt), None) => {
            let system = system.map(|content| Message { role: Role::System, content });
            system.into_iter().chain([Message { role: Role::User, content: prompt }]).collect()
        }
        (None, Some(messages)) => messages,
    };
    match messages.last() {
        Some(last) if last.role == Role::User && !last.content.trim().is_empty() => Ok(messages),
        Some(last) if last.role == Role::User => Err("the prompt is empty".to_owned()),
        _ => Err("the last message must be the user's".to_owned()),
    }
}

/// A grader out of its name or object, and what it expects.
fn grader(said: Value, expected: Option<Value>) -> Result<Grader, String> {
    let mut options = match said {
        Value::String(name) => Map::from_iter([("type".to_owned(), Value::String(name))]),
        Value::Object(options) => options,
        _ => return Err("grader is a name or an object with a type".to_owned()),
    };
    let name = options.remove("type").and_then(|t| t.as_str().map(str::to_owned)).unwrap_or_default();
    let list = match expected {
        None => Vec::new(),
        // A JSON value to be compared may be a list itself; among several it stands in another list.
        Some(value) if name == "json_schema" => vec![value],
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let options = Value::Object(options);
    match name.as_str() {
        "number" | "letter" | "text" if list.is_empty() => {
            Err(format!("expected is missing; the grader {name} compares with it"))
        }
        "code" if !list.is_empty() => {
            Err("expected is not for the grader code; its tests say what is right".to_owned())
        }
        "number" => Number::new(read_options(options)?, &list).map(Grader::Number),
        "letter" => Letter::new(read_options(options)?, &list).map(Grader::Letter),
        "text" => Text::new(read_options(options)?, &list).map(Grader::Text),
        "json_schema" => Schema::new(&read_options(options)?, list).map(Grader::Json),
        "code" => Code::new(read_options(options)?).map(Grader::Code),
        other => Err(format!("grader.type is {other:?}; say number, letter, text, json_schema or code")),
    }
}

fn read_options<T: serde::de::DeserializeOwned>(options: Value) -> Result<T, String> {
    serde_json::from_value(options).map_err(|e| format!("grader: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_read_whole() {
        let text = r#"
{"id":"1","task":"math","prompt":"6*7?","grader":"number","expected":42}
{"id":"2","task":"math","system":"Be brief.","prompt":"?","grader":{"type":"number","tolerance":0.1},"reference":["1","2"],"max_output_tokens":5,"temperature":0}

{"id":"3","task":"qa","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"grader":"letter","expected":"B","source":"s"}
{"id":"4","task":"qa","prompt":"?","grader":{"type":"text","mode":"f1"},"expected":"x"}
{"id":"5","task":"extraction","prompt":"?","grader":{"type":"json_schema","schema":{"type":"array"}},"expected":[1]}
{"id":"6","task":"code","prompt":"?","grader":{"type":"code","tests":"assert f()","entry_point":"f"}}
"#;
        let tasks = read("t.jsonl", text).expect("good");
        let names: Vec<_> = tasks.iter().map(|t| t.grader.name()).collect();
        assert_eq!(names, ["number", "number", "letter", "text", "json_schema", "code"]);
        assert_eq!((tasks[1].messages.len(), tasks[1].messages[0].role), (2, Role::System));
        assert_eq!((tasks[2].prompt(), tasks[2].source.as_str()), ("c", "s"));
    }

    #[test]
    fn every_problem_is_named_by_its_line() {
        let cases = [
            ("{", "EOF"),
            ("[]", "invalid"),
            (r#"{"id":"1"}"#, "missing field `task`"),
            (r#"{"id":"","task":"t","prompt":"p","grader":"number","expected":1}"#, "id is empty"),
            (r#"{"id":"1","task":" ","prompt":"p","grader":"number","expected":1}"#, "task is empty"),
            (r#"{"id":"1","task":"t","grader":"number","expected":1}"#, "prompt (or messages) is missing"),
            (r#"{"id":"1","task":"t","prompt":" ","grader":"number","expected":1}"#, "the prompt is empty"),
            (r#"{"id":"1","task":"t","prompt":"p","messages":[],"grader":"number","expected":1}"#, "not both"),
            (r#"{"id":"1","task":"t","messages":[],"grader":"number","expected":1}"#, "must be the user's"),
            (
                r#"{"id":"1","task":"t","messages":[{"role":"bot","content":"x"}],"grader":"number","expected":1}"#,
                "unknown variant",
            ),
            (
                r#"{"id":"1","task":"t","system":"s","messages":[{"role":"user","content":"x"}],"grader":"number","expected":1}"#,
                "system goes",
            ),
            (r#"{"id":"1","task":"t","prompt":"p","grader":"number"}"#, "expected is missing"),
            (r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":[]}"#, "expected is missing"),
            (r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":1,"reference":1}"#, "not both"),
            (r#"{"id":"1","task":"t","prompt":"p","grader":"judge","expected":1}"#, "grader.type is \"judge\""),
            (r#"{"id":"1","task":"t","prompt":"p","grader":5,"expected":1}"#, "grader is a name"),
            (
                r#"{"id":"1","task":"t","prompt":"p","grader":{"type":"number","tol":1},"expected":1}"#,
                "unknown field `tol`",
            ),
            (r#"{"id":"1","task":"t","prompt":"p","grader":{"type":"json_schema"}}"#, "missing field `schema`"),
            (r#"{"id":"1","task":"t","prompt":"p","grader":{"type":"json_schema","schema":{}}}"#, "accepts every JSON"),
            (
                r#"{"id":"1","task":"t","prompt":"p","grader":{"type":"code","tests":"assert 1"},"expected":1}"#,
                "not for the grader code",
            ),
            (
                r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":1,"promt":"x"}"#,
                "unknown field `promt`",
            ),
            (
                r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":1,"temperature":3}"#,
                "temperature is 3",
            ),
            (
                r#"{"id":"1","task":"t","prompt":"p","grader":"number","expected":1,"max_output_tokens":0}"#,
                "max_output_tokens is 0",
            ),
            (r#"{"id":"1","id":"2","task":"t","prompt":"p","grader":"number","expected":1}"#, "duplicate field"),
        ];
        let good = r#"{"id":"good","task":"t","prompt":"p","grader":"number","expected":1}"#;
        for (line, said) in cases {
            let all = read("t.jsonl", &format!("{good}\n{line}\n")).expect_err(line);
            assert_eq!(all.len(), 1, "{line}: {all:?}");
            let text = all[0].to_string();
            assert!(text.starts_with("t.jsonl:2: ") && text.contains(said), "{line}: {text}");
        }
        let twice = read("t.jsonl", &format!("{good}\n\n{good}")).expect_err("twice");
        assert_eq!(twice[0].to_string(), "t.jsonl:3: id \"good\" is also at line 1; give each task a name of its own");
        let several = r#"{"id":"","task":"","prompt":"","grader":"x","temperature":9}"#;
        assert_eq!(read("t", several).expect_err("several").len(), 5);
        assert_eq!(read("t", "\n").expect_err("empty")[0].what, "no task in it");
    }
}

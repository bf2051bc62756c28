//! Outcomes: how well each model answered a prompt. Reads them from JSON lines and makes them a matrix. Opens no file:
//! texts come in with the name that problems will say.

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One query and what the models made of it: a line of an outcome file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Names the query; unique over all files of a run.
    pub id: String,
    /// Where the row comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The task it belongs to. For reports, unless training is told to use it as a label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The prompt; empty where only features were kept.
    #[serde(default)]
    pub prompt: String,
    /// What came of it, by model.
    pub outcomes: IndexMap<String, Outcome>,
}

/// What one model made of one query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How good the answer was: 0 (useless) to 1 (as good as can be).
    pub score: f64,
    /// Tokens of the prompt, as billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// Tokens of the answer, as billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// What the answer cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// What is wrong with a line of an outcome file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

/// Rows of one or several files, each id once.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    /// The rows, in the order of the files.
    pub rows: Vec<Row>,
    seen: HashMap<String, (String, usize)>,
}

impl Rows {
    /// Reads a file's text and adds its rows. Empty lines are passed over.
    ///
    /// # Errors
    /// Every bad line of this file, in order: no JSON, a score or a cost that cannot be, no outcome at all, or an id that was
    /// there before, here or in an earlier file (a row in two files would be trained on and tested with). Nothing of a file
    /// with problems is added.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut rows, mut ids) = (Vec::new(), HashMap::new());
        for (ix, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let checked = serde_json::from_str::<Row>(line).map_err(|e| e.to_string()).and_then(|row| {
                check(&row)?;
                let seen = self.seen.get(&row.id).or_else(|| ids.get(&row.id));
                match seen {
                    Some((file, line)) => Err(format!(
                        "id {:?} is also at {file}:{line}; a query may stand once over all files, else what is trained on is \
                         tested with",
                        row.id
                    )),
                    None => Ok(row),
                }
            });
            match checked {
                Ok(row) => {
                    ids.insert(row.id.clone(), (file.to_owned(), ix + 1));
                    rows.push(row);
                }
                Err(what) => problems.push(Problem { file: file.to_owned(), line: ix + 1, what }),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.seen.extend(ids);
        self.rows.append(&mut rows);
        Ok(())
    }
}

fn check(row: &Row) -> Result<(), String> {
    if row.id.is_empty() {
        return Err("id is empty; give each query a name of its own".to_owned());
    }
    if row.outcomes.is_empty() {
        return Err(format!("{:?} has no outcomes", row.id));
    }
    for (model, outcome) in &row.outcomes {
        if !(0.0..=1.0).contains(&outcome.score) {
            return Err(format!("outcomes.{model}.score is {}; a score is a number from 0 to 1", outcome.score));
        }
        if let Some(cost) = outcome.cost_usd.filter(|c| !(c.is_finite() && *c >= 0.0)) {
            return Err(format!("outcomes.{model}.cost_usd is {cost}; a cost is US dollars, 0 or more"));
        }
    }
    Ok(())
}

/// Outcomes as dense columns: `score[row][model]`, with NaN where a model did not answer a row. NaN never leaves this
/// type's users: each says what it does about gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// The models: in the order given, else as they first appear.
    pub models: Vec<String>,
    /// Scores, a vector of models for each row.
    pub score: Vec<Vec<f64>>,
    /// Costs in US dollars, likewise; a cost that is not said is 0, as `evaluate.py` has it.
    pub cost: Vec<Vec<f64>>,
}

impl Matrix {
    /// The matrix of rows over these models, or over all that appear.
    pub fn new(rows: &[Row], models: Option<&[String]>) -> Self {
        let models: Vec<String> = match models {
            Some(models) => models.to_vec(),
            None => {
                let seen: IndexSet<&String> = rows.iter().flat_map(|r| r.outcomes.keys()).collect();
                seen.into_iter().cloned().collect()
            }
        };
        let column = |row: &Row, value: fn(&Outcome) -> f64| -> Vec<f64> {
            models.iter().map(|m| row.outcomes.get(m).map_or(f64::NAN, value)).collect()
        };
        Self {
            score: rows.iter().map(|r| column(r, |o| o.score)).collect(),
            cost: rows.iter().map(|r| column(r, |o| o.cost_usd.unwrap_or(0.0))).collect(),
            models,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.score.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.score.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Rows::default().read("a.jsonl", text).expect_err("problems").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason() {
        let good = r#"{"id":"1","prompt":"p","outcomes":{"m":{"score":0.5}}}"#;
        let cases = [
            ("{", "a.jsonl:1: EOF"),
            (
                r#"{"id":"1","outcomes":{"m":{"score":1.5}}}"#,
                "outcomes.m.score is 1.5; a score is a number from 0 to 1",
            ),
            (r#"{"id":"1","outcomes":{"m":{"score":NaN}}}"#, "a.jsonl:1: expected value"),
            (r#"{"id":"1","outcomes":{"m":{"score":null}}}"#, "a.jsonl:1: invalid type: null"),
            (r#"{"id":"1","outcomes":{"m":{"score":1,"cost_usd":-1}}}"#, "cost_usd is -1"),
            (r#"{"id":"1","outcomes":{}}"#, "no outcomes"),
            (r#"{"id":"","outcomes":{"m":{"score":1}}}"#, "id is empty"),
        ];
        for (line, said) in cases {
            let all = problems(&format!("{line}\n\n{good}\n"));
            assert!(all.len() == 1 && all[0].contains(said), "{line}: {all:?}");
        }
        assert!(problems(&format!("{good}\n{good}"))[0].starts_with("a.jsonl:2: id \"1\" is also at a.jsonl:1"));
    }

    #[test]
    fn an_id_in_two_files_is_refused_and_nothing_of_the_second_is_kept() {
        let line = |id: &str| format!(r#"{{"id":"{id}","prompt":"p","outcomes":{{"m":{{"score":1}}}}}}"#);
        let mut rows = Rows::default();
        rows.read("a", &line("1")).expect("good");
        let problems = rows.read("b", &format!("{}\n{}", line("2"), line("1"))).expect_err("twice");
        assert!(problems[0].to_string().starts_with("b:2: id \"1\" is also at a:1"), "{problems:?}");
        assert_eq!(rows.rows.len(), 1);
        rows.read("b", &line("2")).expect("not seen yet");
    }

    #[test]
    fn a_matrix_has_gaps_where_a_model_did_not_answer() {
        let mut rows = Rows::default();
        let text = r#"{"id":"1","outcomes":{"a":{"score":1,"cost_usd":0.5},"b":{"score":0}}}
{"id":"2","outcomes":{"c":{"score":0.25}}}"#;
        rows.read("a", text).expect("good");
        let matrix = Matrix::new(&rows.rows, None);
        assert_eq!(matrix.models, ["a", "b", "c"]);
        assert_eq!(matrix.cost[0][0], 0.5);
        assert!(matrix.score[1][0].is_nan() && matrix.score[1][2] == 0.25);
    }
}

//! JSON answers: one value that satisfies a schema, alone or in one fenced block. Follows no reference out of the schema.

use super::Grade;
use super::form::fences;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// A compiled schema and, where the task knows it, the value itself.
#[derive(Debug, Clone)]
pub struct Schema {
    validator: Arc<jsonschema::Validator>,
    accepted: Vec<Value>,
}

/// A task line's options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    schema: Value,
}

impl Schema {
    pub(super) fn new(options: &Options, accepted: Vec<Value>) -> Result<Self, String> {
        if options.schema == Value::Bool(true) || options.schema.as_object().is_some_and(serde_json::Map::is_empty) {
            return Err("grader.schema accepts every JSON; say what it must have".to_owned());
        }
        let wrong = |e: jsonschema::ValidationError<'_>| format!("grader.schema{}: {e}", e.instance_path());
        let validator = jsonschema::validator_for(&options.schema).map_err(wrong)?;
        if let Some(value) = accepted.iter().find(|v| !validator.is_valid(v)) {
            return Err(format!("expected: {value} does not satisfy grader.schema"));
        }
        Ok(Self { validator: Arc::new(validator), accepted })
    }

    /// The value that the answer is: the whole text, else the only fenced block that is tagged `json` or untagged.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(&self, answer: &str) -> Result<Value, String> {
        let whole = serde_json::from_str(answer.trim()).map_err(|e| format!("no JSON: {e}"));
        let fences = fences(answer);
        let mut blocks = fences.iter().filter(|f| f.closed && matches!(f.language, "" | "json" | "JSON"));
        match (whole, blocks.next(), blocks.next()) {
            (Ok(value), ..) => Ok(value),
            (Err(_), Some(block), None) => {
                serde_json::from_str(block.text.trim()).map_err(|e| format!("no JSON in the block: {e}"))
            }
            (Err(_), Some(_), Some(_)) => Err("several blocks; one was asked for".to_owned()),
            (Err(e), None, _) => Err(e),
        }
    }

    /// Whether a value satisfies the schema; else the first thing that it breaks.
    ///
    /// # Errors
    /// Where and how it does not.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        self.validator.validate(value).map_err(|e| format!("{}: {e}", e.instance_path()))
    }

    /// 1 where the answer is JSON that satisfies the schema and, where the task says a value, is that value.
    pub fn grade(&self, answer: &str) -> Grade {
        let read = self.read(answer).and_then(|value| self.check(&value).map(|()| value));
        match read {
            Err(why) => Grade::new(false, why),
            Ok(_) if self.accepted.is_empty() => Grade::new(true, "satisfies the schema"),
            Ok(value) => {
                let right = self.accepted.iter().any(|want| same(want, &value));
                Grade::new(
                    right,
                    if right { "the expected value" } else { "satisfies the schema, but is another value" },
                )
            }
        }
    }
}

/// Equal as JSON means it: 1 and 1.0 are one number, the order of members says nothing.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(accepted: Vec<Value>) -> Schema {
        let schema = json!({"type": "object", "required": ["n"], "additionalProperties": false,
                            "properties": {"n": {"type": "integer", "minimum": 1}, "s": {"type": "string", "format": "date"}}});
        Schema::new(&Options { schema }, accepted).expect("a schema")
    }

    #[test]
    fn only_json_that_satisfies_the_schema_is_right() {
        let grader = schema(Vec::new());
        let right = [
            r#"{"n": 1}"#,
            " {\"n\":2,\"s\":\"x\"}\n",
            "```json\n{\"n\": 1}\n```",
            "Here it is:\n```\n{\"n\": 1}\n```\nFine?",
        ];
        let wrong = [
            "",
            "{}",
            r#"{"n": 0}"#,
            r#"{"n": "1"}"#,
            r#"{"n": 1, "m": 2}"#,
            r#"{"n": 1"#,
            r#"{"n": 1} and more"#,
            "Sure: {\"n\": 1}",
            "```json\n{\"n\": 1}",
            "```json\n{\"n\": 1}\n```\n```json\n{\"n\": 2}\n```",
            "n = 1",
            "null",
            "[1]",
            "```python\n{\"n\": 1}\n```",
            r#"{"n": 1,}"#,
            "{'n': 1}",
        ];
        for answer in right {
            assert_eq!(grader.grade(answer).score, 1.0, "{answer}");
        }
        for answer in wrong {
            assert_eq!(grader.grade(answer).score, 0.0, "{answer}");
        }
        let valued = schema(vec![json!({"n": 1})]);
        assert_eq!((valued.grade(r#"{"n": 1.0}"#).score, valued.grade(r#"{"n": 2}"#).score), (1.0, 0.0));
    }

    #[test]
    fn a_schema_that_is_none_or_accepts_all_or_refers_elsewhere_is_refused() {
        for bad in
            [json!({}), json!(true), json!({"type": "objekt"}), json!({"$ref": "https://example.com/s.json"}), json!(5)]
        {
            assert!(Schema::new(&Options { schema: bad.clone() }, Vec::new()).is_err(), "{bad}");
        }
        let options = Options { schema: json!({"type": "integer"}) };
        assert!(Schema::new(&options, vec![json!("x")]).is_err());
    }
}

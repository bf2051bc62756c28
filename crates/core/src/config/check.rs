//! Compares a tree with the schema: unknown keys, types, ranges, texts that do not parse, missing variables. It
//! collects every mistake and returns the tree without what was wrong, so that the rest can still be resolved.

use super::tree::{self, Node};
use super::value::check_format;
use super::{ConfigError, Path};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Errors reported by the check, and again by resolving. Nobody reads more, and a file made to be wrong everywhere must
/// not take for ever.
pub(super) const MAX_ERRORS: usize = 1000;

/// What was right, what was wrong, and where everything is.
pub(super) struct Checked {
    /// Fits the schema. Wrong items of lists are null, so that the others keep their index.
    pub(super) value: Value,
    pub(super) errors: Vec<(Path, String)>,
    pub(super) lines: Lines,
    /// Texts that came, in part, from the environment.
    variables: HashSet<Path>,
}

impl Checked {
    /// Whether the text at `path` came from the environment, so that no message may show it.
    pub(super) fn is_variable(&self, path: &Path) -> bool {
        self.variables.contains(path)
    }

    /// Whether something was wrong at `part` or below it.
    pub(super) fn has_error_in(&self, part: &Path) -> bool {
        self.errors.iter().any(|(path, _)| path.is_within(part))
    }
}

/// The line of every key that was visited.
#[derive(Default)]
pub(super) struct Lines(HashMap<Path, usize>);

impl Lines {
    /// The line of `path`, else of the nearest key above it.
    fn of(&self, path: &Path) -> usize {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if let Some(line) = self.0.get(&path) {
                return *line;
            }
            at = path.parent();
        }
        1
    }

    pub(super) fn error(&self, path: &Path, message: String) -> ConfigError {
        ConfigError { line: self.of(path), path: path.to_string(), message }
    }
}

/// Checks `root`. `cut`: a syntax error hides the end of the text, so nothing is reported as missing.
pub(super) fn check(root: &Node, schema: &Value, env: &dyn Fn(&str) -> Option<String>, cut: bool) -> Checked {
    let mut checker =
        Checker { schema, env, cut, errors: Vec::new(), lines: Lines::default(), variables: HashSet::new() };
    let value = checker.visit(root, schema, &Path::root());
    let value = value.filter(Value::is_object).unwrap_or_else(|| json!({}));
    Checked { value, errors: checker.errors, lines: checker.lines, variables: checker.variables }
}

struct Checker<'a> {
    schema: &'a Value,
    env: &'a dyn Fn(&str) -> Option<String>,
    cut: bool,
    errors: Vec<(Path, String)>,
    lines: Lines,
    variables: HashSet<Path>,
}

impl<'a> Checker<'a> {
    fn error(&mut self, path: &Path, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push((path.clone(), message.into()));
        }
    }

    /// Follows references and steps into the alternative that is not null. The flag: null is allowed.
    fn target(&self, mut schema: &'a Value) -> (&'a Value, bool) {
        let mut nullable = false;
        loop {
            if let Some(reference) = schema["$ref"].as_str() {
                schema = self.schema.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
            } else if let Some(alternatives) = schema["anyOf"].as_array() {
                nullable |= alternatives.iter().any(|a| a["type"] == "null");
                schema = alternatives.iter().find(|a| a["type"] != "null").unwrap_or(&Value::Null);
            } else {
                return (schema, nullable || allows(schema, "null"));
            }
        }
    }

    /// The value of `node` as far as it fits; `None`: it does not, and an error says why.
    fn visit(&mut self, node: &Node, schema: &'a Value, path: &Path) -> Option<Value> {
        self.lines.0.insert(path.clone(), node.line);
        let (schema, nullable) = self.target(schema);
        if schema.get("not").is_some() {
            self.error(path, "not supported by this version yet");
            return None;
        }
        match &node.value {
            tree::Value::Null if nullable => Some(Value::Null),
            tree::Value::Null if allows(schema, "array") => Some(json!([])),
            tree::Value::Null if allows(schema, "object") => self.object(&indexmap::IndexMap::new(), schema, path),
            tree::Value::Map(entries) if allows(schema, "object") => self.object(entries, schema, path),
            tree::Value::Seq(items) if allows(schema, "array") => self.array(items, schema, path),
            tree::Value::Str { text, .. } => self.text(text, schema, path),
            scalar => self.scalar(scalar, schema, path),
        }
    }

    fn object(&mut self, entries: &indexmap::IndexMap<String, Node>, schema: &'a Value, path: &Path) -> Option<Value> {
        let mut kept = Map::new();
        let mut whole = true;
        let mut hints = String::new();
        let properties = schema["properties"].as_object();
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (key, node) in entries {
            let at = path.key(key);
            let rest = schema.get("additionalProperties").filter(|s| s.is_object());
            match properties.and_then(|p| p.get(key)).or(rest) {
                Some(schema) => match self.visit(node, schema, &at) {
                    Some(value) => drop(kept.insert(key.clone(), value)),
                    None => whole &= !required.iter().any(|name| name == key),
                },
                None if self.errors.len() >= MAX_ERRORS => {}
                None => {
                    self.lines.0.insert(at.clone(), node.line);
                    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                    let hint = suggestion(key, known);
                    hints.push_str(&hint);
                    self.error(&at, format!("unknown key{hint}"));
                }
            }
        }
        let given = |name: &&str| entries.contains_key(*name);
        let missing: Vec<&str> = required.iter().filter_map(Value::as_str).filter(|name| !given(name)).collect();
        let is_misspelt = missing.iter().all(|name| hints.contains(&format!("`{name}`")));
        if !missing.is_empty() && !is_misspelt && !self.cut {
            self.error(path, format!("`{}` is missing", missing.join("` and `")));
        }
        (whole && missing.is_empty()).then_some(Value::Object(kept))
    }

    fn array(&mut self, items: &[Node], schema: &'a Value, path: &Path) -> Option<Value> {
        if items.len() < schema["minItems"].as_u64().unwrap_or(0) as usize && !self.cut {
            self.error(path, "must not be empty");
            return None;
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| items.len() as u64 > *most) {
            self.error(path, format!("must have at most {most} entries"));
            return None;
        }
        let visit = |(i, item): (usize, &Node)| {
            let at = path.index(i);
            if matches!(item.value, tree::Value::Null) {
                self.lines.0.insert(at.clone(), item.line);
                self.error(&at, format!("expected {}, found nothing", expected(self.target(&schema["items"]).0)));
                return Value::Null;
            }
            self.visit(item, &schema["items"], &at).unwrap_or(Value::Null)
        };
        Some(items.iter().enumerate().map(visit).collect())
    }

    /// A text, or a variable that stands for any scalar.
    fn text(&mut self, text: &str, schema: &'a Value, path: &Path) -> Option<Value> {
        let (text, variable) = match expand(text, self.env) {
            Ok(expanded) => expanded,
            Err(message) => {
                self.error(path, message);
                return None;
            }
        };
        if variable {
            self.variables.insert(path.clone());
        }
        if variable && !allows(schema, "string") {
            let value = match text.as_str() {
                "true" => Some(tree::Value::Bool(true)),
                "false" => Some(tree::Value::Bool(false)),
                number => tree::number(number),
            };
            if let Some(value) = value {
                return self.scalar(&value, schema, path);
            }
        }
        if !allows(schema, "string") && choices(schema).is_none() {
            let found = if variable { "the text of a variable" } else { "text" };
            self.error(path, format!("expected {}, found {found}", expected(schema)));
            return None;
        }
        let result = match (choices(schema), schema["format"].as_str()) {
            (Some(choices), _) => choose(&text, &choices),
            (None, Some(format)) => check_format(format, &text).unwrap_or(Ok(())),
            (None, None) => check_length(&text, schema),
        };
        match result {
            Ok(()) => Some(Value::String(text)),
            Err(message) if variable && message.starts_with("CEL: ") => {
                self.error(path, "CEL: the expression does not compile");
                None
            }
            Err(message) => {
                self.error(path, message);
                None
            }
        }
    }

    fn scalar(&mut self, value: &tree::Value, schema: &'a Value, path: &Path) -> Option<Value> {
        let wrong = || format!("expected {}, found {}", expected(schema), value.kind());
        let result = match *value {
            tree::Value::Bool(b) if schema.get("enum").is_some() => match choices(schema).unwrap_or_default() {
                choices if choices.contains(&Value::Bool(b)) => Ok(Value::Bool(b)),
                choices if choices.iter().all(Value::is_boolean) => {
                    Err(format!("{b} is not supported by this version yet"))
                }
                _ => Err(wrong()),
            },
            tree::Value::Bool(b) if allows(schema, "boolean") => Ok(Value::Bool(b)),
            // A size: its parser takes the digits.
            tree::Value::Int(n) if allows(schema, "string") && allows(schema, "integer") => {
                return self.text(&n.to_string(), schema, path);
            }
            tree::Value::Int(n) if allows(schema, "integer") => in_range(n as f64, schema).map(|()| json!(n)),
            tree::Value::Float(x)
                if allows(schema, "integer")
                    && x.fract() == 0.0
                    && (x.abs() < 9e15 || in_range(x, schema).is_err()) =>
            {
                in_range(x, schema).map(|()| json!(x as i64))
            }
            tree::Value::Int(n) if allows(schema, "number") => in_range(n as f64, schema).map(|()| json!(n)),
            tree::Value::Float(x) if allows(schema, "number") => in_range(x, schema).map(|()| json!(x)),
            tree::Value::Int(_) | tree::Value::Float(_) | tree::Value::Bool(_) if allows(schema, "string") => {
                Err(format!("{}: write it in quotes", wrong()))
            }
            _ => Err(wrong()),
        };
        result.map_err(|message| self.error(path, message)).ok()
    }
}

/// Whether the schema's `type` includes `name`.
fn allows(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|t| t == name),
        _ => false,
    }
}

/// The values of an enumeration.
fn choices(schema: &Value) -> Option<Vec<Value>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().filter(|v| !v.is_null()).cloned().collect());
    }
    let alternatives = schema["oneOf"].as_array()?;
    Some(
        alternatives
            .iter()
            .flat_map(|a| a.get("const").cloned().into_iter().chain(choices(a).unwrap_or_default()))
            .collect(),
    )
}

fn choose(text: &str, choices: &[Value]) -> Result<(), String> {
    let names: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
    if names.contains(&text) {
        return Ok(());
    }
    if names.is_empty() {
        return Err(format!("expected {}", choices.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ")));
    }
    Err(format!("expected one of {}{}", names.join(", "), suggestion(text, names.iter().copied())))
}

fn check_length(text: &str, schema: &Value) -> Result<(), String> {
    let length = text.chars().count() as u64;
    if text.trim().is_empty() && schema["minLength"].as_u64().is_some_and(|min| min > 0) {
        return Err("must not be empty".into());
    }
    match schema["maxLength"].as_u64() {
        Some(max) if length > max => Err(format!("must have at most {max} characters")),
        _ => Ok(()),
    }
}

fn in_range(x: f64, schema: &Value) -> Result<(), String> {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(min), Some(max)) if x < min || x > max => Err(format!("must be between {min} and {max}")),
        (Some(min), None) if x < min => Err(format!("must be at least {min}")),
        (None, Some(max)) if x > max => Err(format!("must be at most {max}")),
        _ => Ok(()),
    }
}

/// What the schema wants, for messages.
fn expected(schema: &Value) -> String {
    let wanted = if choices(schema).is_some() || allows(schema, "string") {
        "text"
    } else if allows(schema, "object") {
        "a mapping"
    } else if allows(schema, "array") {
        "a list"
    } else if allows(schema, "integer") {
        "a whole number"
    } else if allows(schema, "number") {
        "a number"
    } else {
        "true or false"
    };
    match schema["examples"][0].as_str() {
        Some(example) => format!("{wanted} such as {example}"),
        None => wanted.to_owned(),
    }
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. The flag: something was replaced.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(String, bool), String> {
    let (mut out, mut rest, mut variable) = (String::new(), text, false);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let Some((inside, after)) = rest[at + 2..].split_once('}') else {
            return Err("`${` without its `}`".into());
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err("`${…}` takes the name of an environment variable".into());
        }
        match (env(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("the environment variable {name} is not set, or empty")),
        }
        variable = true;
        rest = after;
    }
    out.push_str(rest);
    Ok((out, variable))
}

/// `; did you mean …?` with the nearest of `known`, or nothing where none is near.
pub(super) fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    match crate::nearest::nearest(name, known, 1).first() {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let env = |name: &str| match name {
            "A" => Some("alpha".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, result) in [
            ("plain $ {A}", Ok(("plain $ {A}", false))),
            ("${A}", Ok(("alpha", true))),
            ("<${A}-${A}>", Ok(("<alpha-alpha>", true))),
            ("${B:-beta}", Ok(("beta", true))),
            ("${EMPTY:-}", Ok(("", true))),
            ("$${A}", Ok(("${A}", false))),
            ("${B}", Err("the environment variable B is not set, or empty")),
            ("${EMPTY}", Err("the environment variable EMPTY is not set, or empty")),
            ("${A", Err("`${` without its `}`")),
            ("${}", Err("`${…}` takes the name of an environment variable")),
            ("${a b}", Err("`${…}` takes the name of an environment variable")),
        ] {
            let result = result.map(|(t, v)| (t.to_owned(), v)).map_err(str::to_owned);
            assert_eq!(expand(text, &env), result, "{text}");
        }
    }

    #[test]
    fn suggestions_are_near() {
        let known = ["dialect", "base_url", "openai/gpt-4o"];
        for (name, hint) in [
            ("dialct", "; did you mean `dialect`?"),
            ("baseurl", "; did you mean `base_url`?"),
            ("Dialect", "; did you mean `dialect`?"),
            ("gpt-4o", "; did you mean `openai/gpt-4o`?"),
            ("colour", ""),
            ("", ""),
        ] {
            assert_eq!(suggestion(name, known.into_iter()), hint, "{name}");
        }
    }
}

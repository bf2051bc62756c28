//! YAML text to a tree in which every node knows its line. Anchors, aliases and merge keys (`<<`) are expanded here,
//! within bounds on depth and size, so that no text of a given length can make the rest slow. What a node may hold is
//! not its concern.

use super::{ConfigError, Path};
use indexmap::IndexMap;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;

/// Deepest nesting; the configuration itself needs 8.
const MAX_DEPTH: usize = 64;
/// Nodes plus bytes of text after aliases are expanded.
const MAX_WEIGHT: usize = 4 << 20;
/// Longest text, bytes.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// A value with the line where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
    /// Nodes and bytes below and including this one.
    weight: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// `variable`: the environment's, so that its content is never shown and may stand for a number.
    Str {
        text: String,
        variable: bool,
    },
    Seq(Vec<Node>),
    Map(IndexMap<String, Node>),
}

impl Value {
    /// What it is, for messages; never its content.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Str { .. } => "text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Node {
    fn leaf(line: usize, value: Value) -> Self {
        let weight = 1 + if let Value::Str { text, .. } = &value { text.len() } else { 0 };
        Self { line, value, weight }
    }

    /// A value that came as JSON. All of it stands on line 1, and `${` means itself: nobody reaches the environment
    /// through a request.
    pub(super) fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(n) => Value::Int(n),
                None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Str { text: text.replace("${", "$${"), variable: false },
            Json::Array(items) => Value::Seq(items.iter().map(Self::from_json).collect()),
            Json::Object(members) => Value::Map(members.iter().map(|(k, v)| (k.clone(), Self::from_json(v))).collect()),
        };
        Self::leaf(1, value)
    }
}

/// The tree of a text, and what was wrong while it was built.
pub(super) struct Tree {
    pub(super) root: Node,
    /// A syntax error ended the text early: what follows it is missing.
    pub(super) cut: bool,
    pub(super) errors: Vec<ConfigError>,
}

/// Builds the tree. An empty text is an empty mapping.
pub(super) fn parse(text: &str) -> Tree {
    let mut builder = Builder::default();
    let mut cut = false;
    if text.len() > MAX_TEXT {
        builder.error(1, &Path::root(), format!("the file is longer than {} MiB", MAX_TEXT >> 20));
        return Tree { root: Node::leaf(1, Value::Map(IndexMap::new())), cut: true, errors: builder.errors };
    }
    for event in Parser::new_from_str(text) {
        let stop = match event {
            Ok((event, span)) => builder.event(event, span).is_none(),
            Err(e) => {
                let line = e.marker().line();
                let has_variable = text.lines().nth(line.saturating_sub(1)).is_some_and(|l| l.contains("${"));
                let hint = if has_variable { " (between braces or brackets, `${NAME}` needs quotes)" } else { "" };
                builder.error(line, &Path::root(), format!("YAML syntax: {}{hint}", e.info()));
                true
            }
        };
        if stop {
            cut = true;
            break;
        }
    }
    while !builder.open.is_empty() {
        builder.close();
    }
    let root = builder.root.unwrap_or_else(|| Node::leaf(1, Value::Map(IndexMap::new())));
    Tree { root, cut, errors: builder.errors }
}

/// A collection whose end was not seen yet.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key that waits for its value; `None` inside: a key that is no text.
    key: Option<Option<String>>,
    path: Path,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    weight: usize,
    documents: usize,
    errors: Vec<ConfigError>,
}

impl Builder {
    fn error(&mut self, line: usize, path: &Path, message: impl Into<String>) {
        self.errors.push(ConfigError { line: line.max(1), path: path.to_string(), message: message.into() });
    }

    /// Takes one event; `None`: the rest of the text cannot be used.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.error(line, &Path::root(), "a second YAML document (`---`); only one is read");
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let as_text = style != ScalarStyle::Plain || is_text_tag(tag.as_deref());
                let value = if as_text { string(&text) } else { plain(&text) };
                self.add(Node::leaf(line, value), anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.push(Node::leaf(line, Value::Seq(Vec::new())), anchor)?,
            Event::MappingStart(anchor, _) => self.push(Node::leaf(line, Value::Map(IndexMap::new())), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    self.error(line, &self.here(), "an alias to a value that contains it");
                    return None;
                };
                self.add(node, 0)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
        }
        Some(())
    }

    /// The path of the value that comes next.
    fn here(&self) -> Path {
        let Some(top) = self.open.last() else { return Path::root() };
        match (&top.node.value, &top.key) {
            (Value::Seq(items), _) => top.path.index(items.len()),
            (_, Some(Some(key))) => top.path.key(key),
            _ => top.path.clone(),
        }
    }

    fn push(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.grow(node.line, node.weight)?;
        let path = self.here();
        if self.open.len() >= MAX_DEPTH {
            self.error(node.line, &Path::root(), format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        self.open.push(Open { node, anchor, key: None, path });
        Some(())
    }

    /// Keeps the whole within [`MAX_WEIGHT`].
    fn grow(&mut self, line: usize, weight: usize) -> Option<()> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            self.error(line, &Path::root(), "too large once its aliases are expanded");
            return None;
        }
        Some(())
    }

    fn close(&mut self) {
        let Some(Open { mut node, anchor, path, .. }) = self.open.pop() else { return };
        if let Value::Map(entries) = &mut node.value
            && let Some(merged) = entries.shift_remove("<<")
        {
            self.merge(entries, merged, &path);
        }
        self.remember(anchor, &node);
        self.place(node);
    }

    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.grow(node.line, node.weight)?;
        self.remember(anchor, &node);
        self.place(node);
        Some(())
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor == 0 {
            return;
        }
        self.weight += node.weight; // where this is too much, the next event says so
        if self.weight <= MAX_WEIGHT {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) {
        let path = self.here();
        let Some(top) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let mut mistake = None;
        let line = node.line;
        match (&mut top.node.value, top.key.take()) {
            (Value::Seq(items), _) => {
                top.node.weight += node.weight;
                items.push(node);
            }
            (Value::Map(_), None) => {
                let key = key_text(node.value);
                if key.is_none() {
                    mistake = Some("a key must be plain text".to_owned());
                }
                top.key = Some(key);
            }
            (Value::Map(entries), Some(Some(key))) => {
                if let Some(first) = entries.get(&key) {
                    mistake = Some(format!("duplicate key; the first is on line {}", first.line));
                } else {
                    top.node.weight += node.weight + key.len();
                    entries.insert(key, node);
                }
            }
            _ => {}
        }
        if let Some(message) = mistake {
            self.error(line, &path, message);
        }
    }

    /// `<<`: keys of another mapping (or of several, the first wins) that this one does not have itself.
    fn merge(&mut self, into: &mut IndexMap<String, Node>, from: Node, path: &Path) {
        let sources = match from.value {
            Value::Seq(items) => items,
            _ => vec![from],
        };
        for source in sources {
            let Value::Map(entries) = source.value else {
                self.error(source.line, &path.key("<<"), "a merge takes a mapping or a list of mappings");
                continue;
            };
            for (key, node) in entries {
                into.entry(key).or_insert(node);
            }
        }
    }
}

/// `!!str`: what follows is text, whatever it looks like. Other tags change nothing.
fn is_text_tag(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str")
}

fn string(text: &str) -> Value {
    Value::Str { text: text.to_owned(), variable: false }
}

/// A key as text: `true:` and `2024:` are names here.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::Str { text, .. } => Some(text),
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        _ => None,
    }
}

/// A plain scalar by YAML's core schema, and digits grouped by underscores (`5_000_000`).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| string(text))
}

/// The number that `text` writes, if it is one.
pub(super) fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits.ends_with('_') || text.len() > 40 {
        return None;
    }
    if !digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let clean = text.replace('_', "");
    if let Ok(n) = clean.parse() {
        return Some(Value::Int(n));
    }
    clean.parse().ok().filter(|x: &f64| x.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => format!("i{n}"),
            Value::Float(x) => format!("f{x}"),
            Value::Str { text, .. } => format!("{text:?}"),
            Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let of = |(k, v): (&String, &Node)| format!("{k}@{}={}", v.line, show(v));
                format!("{{{}}}", entries.iter().map(of).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn text_becomes_a_tree_with_lines() {
        for (text, tree) in [
            ("", "{}"),
            ("# nothing\n", "{}"),
            ("{\"a\": [1, 2.5, \"1\", null]}", "{a@1=[i1 f2.5 \"1\" ~]}"),
            (
                "a: 5_000_000\nb: _5\nc: 1_\nd: -1e3\ne: 1.2.3",
                "{a@1=i5000000 b@2=\"_5\" c@3=\"1_\" d@4=f-1000 e@5=\"1.2.3\"}",
            ),
            ("a: !!str 5\nb: '6'", "{a@1=\"5\" b@2=\"6\"}"),
            ("a: true\nb: yes\n2024: x\n", "{a@1=true b@2=\"yes\" 2024@3=\"x\"}"),
            (
                "a: &x { k: 1, l: 2 }\nb: *x\nc:\n  <<: *x\n  l: 3\n",
                "{a@1={k@1=i1 l@1=i2} b@1={k@1=i1 l@1=i2} c@4={l@5=i3 k@1=i1}}",
            ),
            (
                "a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: { <<: [*x, *y] }",
                "{a@1={k@1=i1} b@2={k@2=i2 m@2=i3} c@3={k@1=i1 m@2=i3}}",
            ),
        ] {
            let parsed = parse(text);
            assert_eq!((show(&parsed.root).as_str(), parsed.errors.len()), (tree, 0), "{text}");
        }
    }

    #[test]
    fn mistakes_of_the_text_are_named() {
        for (text, error) in [
            ("a: 1\nb: 2\na: 3\n", "3: a: duplicate key; the first is on line 1"),
            ("a: 1\n---\nb: 2\n", "2: a second YAML document (`---`); only one is read"),
            ("[a, b]: 1\n", "1: a key must be plain text"),
            ("a:\n  <<: 3\n", "2: a.<<: a merge takes a mapping or a list of mappings"),
            ("a: [1, 2\nb: 3\n", "2: YAML syntax:"),
            ("a: \"x\n", "YAML syntax:"),
            ("a: &x [*x]\n", "1: a[0]: an alias to a value that contains it"),
            ("a: *nope\n", "1: YAML syntax:"),
        ] {
            let errors: Vec<String> = parse(text).errors.iter().map(ToString::to_string).collect();
            assert!(errors.len() == 1 && errors[0].contains(error), "{text}: {errors:?}");
        }
    }

    #[test]
    fn bombs_end_early() {
        let deep = "[".repeat(100_000);
        let mut laughs = "a0: &a0 [lol, lol, lol]\n".to_owned();
        for i in 1..40 {
            laughs += &format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i - 1).repeat(9));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 18), "*a,".repeat(1000));
        for text in [deep, "- ".repeat(100_000), "{a: ".repeat(5000), laughs, long] {
            let tree = parse(&text);
            assert!(tree.cut && tree.errors.len() == 1, "{:?}", tree.errors);
        }
    }
}

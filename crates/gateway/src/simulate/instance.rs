//! Small JSON values that conform to a JSON Schema: arguments of simulated tool calls and structured answers.
//!
//! It covers what structured outputs use: types, `required`, `properties`, arrays, `enum`, `const`, bounds, `pattern`,
//! common formats, local `$ref`, `anyOf`, `oneOf`, `allOf`. It is no solver: `not`, `if`, `dependent…` and branches
//! that only exclude each other by value are not looked at.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value, json};
use waypost_core::units::Rng;

/// Nesting beyond which the simplest branch is taken, so that recursive schemas end …
const PLAIN_DEPTH: usize = 12;
/// … and beyond which the schema is taken for endless, and nothing more is made.
const MAX_DEPTH: usize = 48;
/// Values in one instance.
const MAX_VALUES: usize = 2000;
/// Longest made-up string, in characters.
const MAX_STRING: usize = 10_000;

/// A small instance of `schema`; the same for the same `rng`.
pub(super) fn of(schema: &Value, rng: &mut Rng) -> Value {
    Maker { root: schema, rng, left: MAX_VALUES }.value(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    rng: &'a mut Rng,
    left: usize,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if self.left == 0 || depth > MAX_DEPTH {
            self.left = 0;
            return Value::Null;
        }
        self.left -= 1;
        let Some(object) = schema.as_object() else { return json!("simulated") };
        if let Some(whole) = self.combined(object, depth) {
            return self.value(&whole, depth + 1);
        }
        if let Some(value) = object.get("const") {
            return value.clone();
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array).filter(|values| !values.is_empty()) {
            return values[self.rng.below(values.len())].clone();
        }
        match kind(object, depth) {
            "object" => self.object(object, depth),
            "array" => self.array(object, depth),
            "integer" => integer(object, self.rng),
            "number" => number(object),
            "boolean" => Value::Bool(self.rng.below(2) == 1),
            "null" => Value::Null,
            _ => Value::String(string(object, self.rng)),
        }
    }

    /// The schema with its `$ref`, `allOf`, `anyOf` or `oneOf` resolved and merged; `None` where it has none of them.
    fn combined(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        const MAX_PARTS: usize = 64;
        if !["$ref", "allOf", "anyOf", "oneOf"].iter().any(|key| schema.contains_key(*key)) {
            return None;
        }
        let mut whole = schema.clone();
        let mut parts = Vec::new();
        if let Some(reference) = whole.remove("$ref") {
            parts.push(json!({ "$ref": reference }));
        }
        if let Some(Value::Array(all)) = whole.remove("allOf") {
            parts.extend(all);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = whole.remove(key) {
                parts.extend(self.branch(&branches, depth).cloned());
            }
        }
        for part in parts.into_iter().take(MAX_PARTS) {
            merge(&mut whole, self.resolved(part));
        }
        Some(Value::Object(whole))
    }

    /// What a schema that is a reference stands for, with the keywords beside the reference. The references of one
    /// part are followed here, since merging keeps only one.
    fn resolved(&self, mut part: Value) -> Value {
        for _ in 0..16 {
            let Some(Value::String(reference)) = part.as_object_mut().and_then(|part| part.remove("$ref")) else {
                break;
            };
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            if let (Some(object), Some(target)) = (part.as_object_mut(), target) {
                merge(object, target.clone());
            }
        }
        part
    }

    /// Any branch, but deep down one that does not nest, where there is one.
    fn branch<'b>(&mut self, branches: &'b [Value], depth: usize) -> Option<&'b Value> {
        let plain = |b: &&Value| b["$ref"].is_null() && !["object", "array"].iter().any(|t| b["type"] == *t);
        let simple = branches.iter().find(plain).filter(|_| depth >= PLAIN_DEPTH);
        simple.or_else(|| branches.get(self.rng.below(branches.len())))
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut names: Vec<&str> = required.filter_map(Value::as_str).collect();
        let least = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0) as usize;
        let optional: Vec<&str> = properties.keys().map(String::as_str).filter(|k| !names.contains(k)).collect();
        names.extend(optional.into_iter().take(least.saturating_sub(names.len())));
        let other = schema.get("additionalProperties").unwrap_or(&Value::Null);
        let mut made = Map::new();
        for name in names {
            let value = self.value(properties.get(name).unwrap_or(other), depth + 1);
            made.insert(name.to_owned(), value);
        }
        for extra in 1..=least.saturating_sub(made.len()) {
            if self.left == 0 {
                break;
            }
            let value = self.value(other, depth + 1);
            made.insert(format!("extra_{extra}"), value);
        }
        Value::Object(made)
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).map(|n| n as usize);
        let least = count("minItems").unwrap_or(0);
        // One element shows more than none, unless that could go on for ever.
        let wanted = least.max(usize::from(depth < PLAIN_DEPTH)).min(count("maxItems").unwrap_or(usize::MAX));
        let prefix = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let wanted = if items == &Value::Bool(false) { wanted.min(prefix.len()) } else { wanted };
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut made: Vec<Value> = Vec::new();
        for index in 0..wanted {
            if self.left == 0 {
                break;
            }
            let schema = prefix.get(index).unwrap_or(items);
            let mut value = self.value(schema, depth + 1);
            let mut tries = 0;
            while unique && tries < 32 && made.contains(&value) {
                value = self.value(schema, depth + 1);
                tries += 1;
            }
            made.push(value);
        }
        Value::Array(made)
    }
}

/// Adds the keywords of `part`: properties and required names are united, the rest replaces.
fn merge(whole: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { return };
    for (key, value) in part {
        match (key.as_str(), whole.get_mut(&key), value) {
            ("properties" | "$defs" | "definitions", Some(Value::Object(known)), Value::Object(more)) => {
                known.extend(more);
            }
            ("required" | "allOf", Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
            (_, _, value) => {
                whole.insert(key, value);
            }
        }
    }
}

/// The type to make: the first one that is named, or what the keywords imply.
fn kind(schema: &Map<String, Value>, depth: usize) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            let null = kinds.clone().any(|kind| kind == "null");
            kinds.find(|kind| *kind != "null").filter(|_| !null || depth < PLAIN_DEPTH).unwrap_or("null")
        }
        _ => {
            let has = |keys: &[&str]| keys.iter().any(|key| schema.contains_key(*key));
            match () {
                () if has(&["properties", "required", "additionalProperties", "minProperties"]) => "object",
                () if has(&["items", "prefixItems", "minItems"]) => "array",
                () if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) => "number",
                () => "string",
            }
        }
    }
}

/// The bounds of a number: each with whether it is itself excluded.
fn bounds(schema: &Map<String, Value>) -> [Option<(f64, bool)>; 2] {
    let bound = |key: &str, open: &str| {
        let of = |key: &str| schema.get(key).and_then(Value::as_f64);
        of(open).map(|n| (n, true)).or_else(|| of(key).map(|n| (n, false)))
    };
    [bound("minimum", "exclusiveMinimum"), bound("maximum", "exclusiveMaximum")]
}

fn integer(schema: &Map<String, Value>, rng: &mut Rng) -> Value {
    let [low, high] = bounds(schema);
    let low = low.map(|(n, open)| if open { (n.floor() as i64).saturating_add(1) } else { n.ceil() as i64 });
    let high = high.map(|(n, open)| if open { (n.ceil() as i64).saturating_sub(1) } else { n.floor() as i64 });
    let drawn = 1 + rng.below(9) as i64;
    let value = drawn.min(high.unwrap_or(i64::MAX)).max(low.unwrap_or(i64::MIN));
    match schema.get("multipleOf").and_then(Value::as_i64).filter(|step| *step > 0) {
        None => Value::from(value),
        Some(step) => {
            let up = value.div_euclid(step).saturating_mul(step).saturating_add(if value.rem_euclid(step) == 0 {
                0
            } else {
                step
            });
            Value::from(if high.is_some_and(|high| up > high) { up.saturating_sub(step) } else { up })
        }
    }
}

fn number(schema: &Map<String, Value>) -> Value {
    let value = match bounds(schema) {
        [Some((low, _)), Some((high, _))] => low + (high - low) / 2.0,
        [Some((low, _)), None] => low + 1.0,
        [None, Some((high, _))] => high - 1.0,
        [None, None] => 1.5,
    };
    let step = schema.get("multipleOf").and_then(Value::as_f64).filter(|step| *step > 0.0);
    json!(step.map_or(value, |step| (value / step).round() * step))
}

fn string(schema: &Map<String, Value>, rng: &mut Rng) -> String {
    let count = |key: &str| schema.get(key).and_then(Value::as_u64).map(|n| (n as usize).min(MAX_STRING));
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && let Ok(hir) = regex_syntax::parse(pattern)
    {
        let mut made = String::new();
        matching(&hir, count("minLength").unwrap_or(0), &mut made);
        return made;
    }
    let fixed = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "date" => "2026-01-31",
        "date-time" => "2026-01-31T12:00:00Z",
        "time" => "12:00:00Z",
        "duration" => "P1D",
        "email" | "idn-email" => "simulated@example.com",
        "uri" | "iri" | "uri-reference" => "https://example.com/simulated",
        "uuid" => "5e0c9f6a-0000-4000-8000-000000000000",
        "hostname" => "simulated.example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    let (least, most) = (count("minLength").unwrap_or(0), count("maxLength").unwrap_or(MAX_STRING));
    let word = ["simulated", "simulated value", "simulated text", "simulated name", "simulated item"][rng.below(5)];
    word.chars().chain(std::iter::repeat('x')).take(word.len().clamp(least, most.max(least))).collect()
}

/// Appends a text that matches, with as few repetitions as `least` characters in all need.
fn matching(hir: &Hir, least: usize, made: &mut String) {
    if made.len() > MAX_STRING {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => made.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            // A letter or digit where the class has one: `[^"]` starts at U+0000.
            let ranges = || class.ranges().iter();
            let has = |c: char| ranges().any(|range| (range.start()..=range.end()).contains(&c));
            let plain = ['s', 'S', '1', 'a', 'A', '0', ' '].into_iter().find(|c| has(*c));
            made.extend(plain.or_else(|| ranges().next().map(|range| range.start())));
        }
        HirKind::Class(Class::Bytes(class)) => {
            made.extend(class.ranges().first().map(|range| char::from(range.start())))
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.map_or(MAX_STRING, |max| max as usize);
            let mut times = 0;
            while times < repetition.min as usize || (made.chars().count() < least && times < most) {
                let before = made.len();
                matching(&repetition.sub, 0, made);
                times += 1;
                if made.len() == before || made.len() > MAX_STRING {
                    break;
                }
            }
        }
        HirKind::Capture(capture) => matching(&capture.sub, least, made),
        HirKind::Concat(parts) => parts.iter().for_each(|part| matching(part, least, made)),
        HirKind::Alternation(parts) => {
            if let Some(part) = parts.first() {
                matching(part, least, made);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many instances of each schema, judged by an independent validator that checks formats too.
    #[test]
    fn instances_conform_to_their_schemas() {
        let tree = json!({ "$ref": "#/$defs/node", "$defs": { "node": { "type": "object", "additionalProperties": false,
            "required": ["name", "left", "children"], "properties": {
                "name": { "type": "string" }, "left": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] },
                "children": { "type": "array", "items": { "$ref": "#/$defs/node" } } } } } });
        let formats = ["date", "date-time", "time", "duration", "email", "uri", "uuid", "hostname", "ipv4", "ipv6"];
        let formats: Map<_, _> =
            formats.iter().map(|f| ((*f).to_owned(), json!({ "type": "string", "format": f }))).collect();
        let schemas = [
            json!({}),
            json!(true),
            json!({ "type": "object" }),
            json!({ "type": "object", "required": ["a", "b"], "properties": { "a": { "type": "integer" }, "c": { "type": "string" } } }),
            json!({ "type": "object", "minProperties": 3, "properties": { "a": { "type": "integer" } }, "additionalProperties": { "type": "number" } }),
            json!({ "enum": ["red", 3, null, { "a": 1 }] }),
            json!({ "const": [1, 2] }),
            json!({ "type": ["null", "boolean"] }),
            json!({ "type": "array", "items": { "enum": ["a", "b", "c"] }, "minItems": 3, "uniqueItems": true }),
            json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "integer" }], "items": false, "minItems": 2 }),
            json!({ "type": "array", "maxItems": 0, "items": { "type": "string" } }),
            json!({ "type": "integer", "minimum": 17, "multipleOf": 5 }),
            json!({ "type": "integer", "exclusiveMinimum": -4, "exclusiveMaximum": -2 }),
            json!({ "type": "integer", "maximum": 11, "minimum": 9, "multipleOf": 10 }),
            json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.25 }),
            json!({ "type": "number", "minimum": 100.5 }),
            json!({ "type": "number", "maximum": -3 }),
            json!({ "type": "number", "multipleOf": 0.5, "minimum": 2, "maximum": 3 }),
            json!({ "type": "string", "minLength": 40 }),
            json!({ "type": "string", "maxLength": 3 }),
            json!({ "type": "string", "pattern": "^[A-Z]{2}-\\d{4}(-[a-z]+)?$" }),
            json!({ "type": "string", "pattern": "^(low|high)$" }),
            json!({ "type": "string", "pattern": "^[^\"]+$", "minLength": 12 }),
            json!({ "type": "object", "required": formats.keys().collect::<Vec<_>>(), "properties": formats.clone() }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "object", "required": ["x"], "properties": { "x": { "type": "null" } } }] }),
            json!({ "type": "object", "oneOf": [{ "required": ["a"], "properties": { "a": { "const": 1 } } }, { "required": ["b"], "properties": { "b": { "const": 2 } } }] }),
            json!({ "allOf": [{ "$ref": "#/$defs/a" }, { "$ref": "#/$defs/b" }], "$defs": {
                "a": { "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } },
                "b": { "type": "object", "required": ["b"], "properties": { "b": { "type": "boolean" } } } } }),
            json!({ "required": ["n"], "properties": { "n": { "minimum": 5 } } }),
            json!({ "type": ["null", "object"], "required": ["next"], "properties": { "next": { "$ref": "#" } } }),
            tree,
        ];
        for schema in schemas {
            let judge = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            for seed in 0..200 {
                let made = of(&schema, &mut Rng::new(seed));
                let errors: Vec<_> = judge.iter_errors(&made).map(|e| e.to_string()).collect();
                assert!(errors.is_empty(), "seed {seed}: {made} for {schema}: {errors:?}");
            }
        }
    }

    #[test]
    fn what_may_be_null_is_given_all_the_same() {
        for kind in ["string", "integer", "boolean", "object", "array"] {
            assert!(!of(&json!({ "type": ["null", kind] }), &mut Rng::new(1)).is_null(), "{kind}");
        }
    }

    #[test]
    fn hostile_schemas_end() {
        let r = json!({ "$ref": "#" });
        let schemas = [
            json!({ "$ref": "#" }),
            json!({ "$ref": "http://elsewhere/" }),
            json!({ "allOf": [r, r, { "allOf": [r, r] }] }),
            json!({ "type": "array", "minItems": 4_000_000_000u64, "items": { "$ref": "#" } }),
            json!({ "type": "string", "minLength": 4_000_000_000u64 }),
            json!({ "type": "string", "pattern": "((x{1000}){1000}){1000}" }),
            json!({ "type": "string", "pattern": "((){4000000000}){4000000000}" }),
            json!({ "type": "string", "pattern": "(" }),
            json!({ "type": "object", "minProperties": 4_000_000_000u64, "additionalProperties": { "$ref": "#" } }),
            json!({ "type": "integer", "minimum": 1e300, "maximum": -1e300, "multipleOf": i64::MAX }),
            json!({ "type": "integer", "minimum": i64::MAX, "exclusiveMinimum": 1e300 }),
            json!({ "type": 3, "enum": [], "anyOf": [] }),
        ];
        for schema in schemas {
            let made = of(&schema, &mut Rng::new(1)).to_string();
            assert!(made.len() < 1_000_000, "{} bytes for {schema}", made.len());
        }
    }
}

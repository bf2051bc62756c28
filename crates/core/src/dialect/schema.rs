//! Which JSON schemas Claude's hosts take for structured output and strict tools: objects closed to further members, and
//! few constraints.

use serde_json::{Map, Value};

/// Constraints that they do not enforce and refuse.
const REFUSED: [&str; 17] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "oneOf",
    "not",
    "if",
];

/// The schema as they take it: what fits it fits `schema` too. `None` where there is no such schema that means the
/// same: the constraints are others, or an object may hold members that it does not name.
pub(super) fn native(schema: &Value) -> Option<Value> {
    let mut object = schema.as_object()?.clone();
    close(&mut object).then_some(Value::Object(object))
}

/// False where it cannot be closed.
fn close(schema: &mut Map<String, Value>) -> bool {
    let few_items = schema.get("minItems").is_none_or(|n| n.as_u64().is_some_and(|n| n <= 1));
    if REFUSED.iter().any(|keyword| schema.contains_key(*keyword)) || !few_items {
        return false;
    }
    for keyword in ["properties", "$defs", "definitions"] {
        let Some(children) = schema.get_mut(keyword) else { continue };
        let Some(children) = children.as_object_mut() else { return false };
        if !children.values_mut().all(child) {
            return false;
        }
    }
    for keyword in ["anyOf", "allOf", "prefixItems"] {
        let Some(children) = schema.get_mut(keyword) else { continue };
        let Some(children) = children.as_array_mut() else { return false };
        if !children.iter_mut().all(child) {
            return false;
        }
    }
    if schema.get_mut("items").is_some_and(|items| !child(items)) {
        return false;
    }
    let is_object = schema.contains_key("properties") || schema.get("type").is_some_and(|t| names(t, "object"));
    if !is_object {
        return true;
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => true,
        // An object without named members is open on purpose.
        None if schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty()) => {
            // Extra members are allowed by default, hardly ever by intent, and leaving them out is valid.
            schema.insert("additionalProperties".into(), false.into());
            true
        }
        _ => false,
    }
}

fn child(schema: &mut Value) -> bool {
    schema.as_object_mut().is_some_and(close)
}

/// Whether a `type` is or lists this one.
pub(super) fn names(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|k| k == name))
}

//! Which JSON schemas OpenAI's dialects take as strict ones. Others promise output that matches exactly for any schema of
//! theirs; OpenAI refuses the request where an object may have members beyond those named, or leaves one optional.

use serde_json::{Map, Value};

/// Whether a schema may be called strict.
pub(super) fn may_be_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => is_closed(map) && subschemas(map).all(may_be_strict),
        _ => false,
    }
}

/// What it says of an object is all that there is, and all of it comes.
fn is_closed(schema: &Map<String, Value>) -> bool {
    if ["allOf", "oneOf", "not", "if", "patternProperties"].iter().any(|word| schema.contains_key(*word)) {
        return false;
    }
    let kind = schema.get("type");
    let object = schema.contains_key("properties")
        || kind.is_some_and(|k| k == "object" || k.as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "object")));
    if !object {
        return true;
    }
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && names.all(|name| required.iter().any(|r| r.as_str() == Some(name)))
}

fn subschemas(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|word| schema.get(word)?.as_object());
    let listed = ["anyOf", "prefixItems"].into_iter().filter_map(|word| schema.get(word)?.as_array());
    named.flat_map(Map::values).chain(listed.flatten()).chain(schema.get("items"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_closed_objects_are_strict() {
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
            "additionalProperties": false});
        let optional =
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
        let within = |inner: &Value| {
            json!({"type": "object", "properties": {"a": {"type": "array", "items": inner}}, "required": ["a"],
                "additionalProperties": false})
        };
        let either = |inner: &Value| json!({"anyOf": [{"type": "null"}, inner]});
        for good in [&closed, &within(&closed), &either(&closed), &json!({"$ref": "#/$defs/a", "$defs": {"a": closed}})]
        {
            assert!(may_be_strict(good), "{good}");
        }
        let nullable = json!({"type": ["object", "null"]});
        for bad in
            [&optional, &open, &nullable, &within(&open), &either(&optional), &json!({"oneOf": [closed]}), &json!(true)]
        {
            assert!(!may_be_strict(bad), "{bad}");
        }
    }
}

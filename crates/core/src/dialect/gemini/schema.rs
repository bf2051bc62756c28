//! Gemini's own schemas, a dialect of OpenAPI 3.0, as JSON Schema.

use serde_json::{Map, Value};

/// Members that count something and come as text, as 64-bit numbers do in this API.
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// The JSON Schema that an OpenAPI schema stands for: types in lower case, `nullable` as a type.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(map) = schema else { return schema };
    let mut out = Map::with_capacity(map.len());
    let mut nullable = false;
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("nullable", Value::Bool(yes)) => {
                nullable = yes;
                continue;
            }
            ("type", Value::String(name)) if name == "TYPE_UNSPECIFIED" => continue,
            ("type", Value::String(name)) => Value::String(name.to_ascii_lowercase()),
            ("properties" | "$defs" | "defs", Value::Object(inner)) => {
                Value::Object(inner.into_iter().map(|(name, schema)| (name, to_json_schema(schema))).collect())
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(items)) => {
                Value::Array(items.into_iter().map(to_json_schema).collect())
            }
            ("items" | "additionalProperties" | "not", value) => to_json_schema(value),
            (name, Value::String(text)) if COUNTS.contains(&name) => match text.parse::<u64>() {
                Ok(count) => count.into(),
                Err(_) => Value::String(text),
            },
            (_, value) => value,
        };
        out.insert(key, value);
    }
    if nullable {
        allow_null(&mut out);
    }
    Value::Object(out)
}

fn allow_null(schema: &mut Map<String, Value>) {
    let null = || Value::String("null".into());
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = Value::Array(vec![kind.take(), null()]);
        if let Some(Value::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    } else if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.push(Value::Object(Map::from_iter([("type".to_owned(), null())])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn openapi_becomes_json_schema() {
        for (openapi, want) in [
            (json!({"type": "STRING"}), json!({"type": "string"})),
            (json!({"type": "STRING", "nullable": true}), json!({"type": ["string", "null"]})),
            (json!({"type": "STRING", "nullable": false}), json!({"type": "string"})),
            (
                json!({"type": "STRING", "enum": ["a"], "nullable": true}),
                json!({"type": ["string", "null"], "enum": ["a", null]}),
            ),
            (
                json!({"anyOf": [{"type": "INTEGER"}], "nullable": true}),
                json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            ),
            (
                json!({"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "2", "maxItems": 3}),
                json!({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}),
            ),
            (
                json!({"type": "OBJECT", "properties": {"type": {"type": "BOOLEAN"}}, "required": ["type"]}),
                json!({"type": "object", "properties": {"type": {"type": "boolean"}}, "required": ["type"]}),
            ),
            (json!({"type": "TYPE_UNSPECIFIED", "title": "T"}), json!({"title": "T"})),
            (json!(true), json!(true)),
        ] {
            assert_eq!(to_json_schema(openapi.clone()), want, "{openapi}");
        }
    }
}

//! Tools on offer, and which of them must be called.

use crate::chat::{CacheMark, Tool, ToolChoice, ToolKind};
use crate::dialect::Malformed;
use crate::dialect::wire::{Fields, kind};
use serde_json::Value;

use super::request::present;

/// Takes `tools`, and `functions` of old.
pub(super) fn decode_all(fields: &mut Fields) -> Result<Vec<Tool>, Malformed> {
    let mut tools = fields.objects("tools")?.into_iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    for function in fields.objects("functions")? {
        tools.push(self::function(function)?);
    }
    Ok(tools)
}

fn tool(mut fields: Fields) -> Result<Tool, Malformed> {
    let kind = fields.peek("type").and_then(Value::as_str).map(str::to_owned);
    match kind.as_deref() {
        Some("function") => {
            fields.take("type");
            let inner = fields.object("function")?.ok_or_else(|| fields.wrong("function", "is required"))?;
            let mut tool = function(inner)?;
            tool.cache = cache_mark(&mut fields)?.or(tool.cache);
            let inner = std::mem::take(&mut tool.extras);
            tool.extras = present(fields.rest());
            if !inner.is_empty() {
                tool.extras.insert("function".into(), inner.into());
            }
            Ok(tool)
        }
        Some("custom") => {
            fields.take("type");
            let mut inner = fields.object("custom")?.ok_or_else(|| fields.wrong("custom", "is required"))?;
            let kind = ToolKind::Custom {
                name: name(&mut inner)?,
                description: inner.string("description")?,
                format: inner.object("format")?.map(flat_grammar),
            };
            let cache = cache_mark(&mut fields)?;
            Ok(Tool { kind, cache, extras: present(fields.rest()) })
        }
        Some(_) => Ok(Tool { kind: ToolKind::Native(fields.into_value()), cache: None, extras: Default::default() }),
        None => Err(fields.wrong("type", "is required (`function` for a tool of your own)")),
    }
}

/// The canonical form has a grammar's members beside its type.
fn flat_grammar(format: Fields) -> Value {
    let mut format = format.rest();
    if let Some(Value::Object(grammar)) = format.get("grammar").cloned() {
        format.shift_remove("grammar");
        format.extend(grammar);
    }
    format.into()
}

/// A function's definition; its extras are what else stood in it.
fn function(mut fields: Fields) -> Result<Tool, Malformed> {
    let kind = ToolKind::Function {
        name: name(&mut fields)?,
        description: fields.string("description")?,
        schema: fields.object("parameters")?.map(Fields::into_value),
        strict: fields.boolean("strict")?,
    };
    let cache = cache_mark(&mut fields)?;
    Ok(Tool { kind, cache, extras: present(fields.rest()) })
}

fn name(fields: &mut Fields) -> Result<String, Malformed> {
    let name = fields.required_string("name")?;
    if name.is_empty() { Err(fields.wrong("name", "is empty")) } else { Ok(name) }
}

/// `cache_control`, which OpenAI does not have and its look-alikes took from Anthropic.
pub(super) fn cache_mark(fields: &mut Fields) -> Result<Option<CacheMark>, Malformed> {
    let Some(mut mark) = fields.object("cache_control")? else { return Ok(None) };
    Ok(Some(CacheMark { ttl: mark.string("ttl")? }))
}

/// Takes `tool_choice`, or `function_call` of old.
pub(super) fn decode_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, Malformed> {
    let at = if fields.peek("tool_choice").is_some_and(|v| !v.is_null()) { "tool_choice" } else { "function_call" };
    let at_path = fields.at(at);
    let mut choice = match fields.take(at) {
        None => return Ok(None),
        Some(Value::String(word)) => return word_of_choice(&word, &at_path).map(Some),
        Some(value @ Value::Object(_)) => Fields::of(value, at_path.as_str())?,
        Some(other) => {
            return Err(Malformed::new(at_path, format!("must be a string or an object, not {}", kind(&other))));
        }
    };
    if at == "function_call" {
        return Ok(Some(ToolChoice::Tool(choice.required_string("name")?)));
    }
    let kind = choice.peek("type").and_then(Value::as_str).unwrap_or("function").to_owned();
    match kind.as_str() {
        "function" | "custom" => {
            let mut inner = choice.object(&kind)?.ok_or_else(|| choice.wrong(&kind, "is required"))?;
            Ok(Some(ToolChoice::Tool(inner.required_string("name")?)))
        }
        _ => Ok(Some(ToolChoice::Native(choice.into_value()))),
    }
}

fn word_of_choice(word: &str, at: &str) -> Result<ToolChoice, Malformed> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        // Mistral's word for it is `any`.
        "required" | "any" => Ok(ToolChoice::Required),
        _ => Err(Malformed::new(
            at,
            format!("must be auto, none, required or an object that names a tool, not `{word}`"),
        )),
    }
}

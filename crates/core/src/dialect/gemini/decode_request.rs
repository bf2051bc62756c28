//! Requests, read.

use super::parts::{self, Ids, inner, object, objects};
use super::{nest, schema};
use crate::chat::{Effort, Extras, Format, Message, Request, Role, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::wire::{Fields, Malformed, Result, put};
use crate::registry::Dialect;
use serde_json::Value;

/// Reads a request. The model and whether the answer streams stand in its URL: a caller that has them sets them.
pub fn decode_request(body: &[u8]) -> Result<Request> {
    let mut top = object(parts::parse(body)?, "")?;
    let model = top.string("model")?.unwrap_or_default();
    let mut request = Request::new(Dialect::Gemini, model.strip_prefix("models/").unwrap_or(&model));
    let mut ids = Ids::new("history".into());
    if let Some(mut system) = inner(&mut top, "systemInstruction")? {
        system.string("role")?;
        let parts = parts::take(&mut system, &mut ids)?;
        request.messages.push(Message { extras: system.rest(), ..Message::new(Role::System, parts) });
    }
    let contents = objects(&mut top, "contents")?;
    if contents.is_empty() {
        return Err(Malformed::new("contents", "is required, with at least one entry"));
    }
    for content in contents {
        request.messages.push(message(content, &mut ids)?);
    }
    for tool in objects(&mut top, "tools")? {
        tools(tool, &mut request.tools)?;
    }
    let mut extras = Extras::new();
    if let Some(config) = inner(&mut top, "toolConfig")? {
        tool_config(config, &mut request, &mut extras)?;
    }
    if let Some(config) = inner(&mut top, "generationConfig")? {
        generation_config(config, &mut request, &mut extras)?;
    }
    request.extras = top.rest();
    request.extras.append(&mut extras);
    Ok(request)
}

fn message(mut content: Fields, ids: &mut Ids) -> Result<Message> {
    let role = match content.string("role")?.as_deref() {
        // Results of functions once had a role of their own.
        None | Some("" | "user" | "function") => Role::User,
        Some("model") => Role::Assistant,
        Some(other) => return Err(content.wrong("role", format!("must be `user` or `model`, not `{other}`"))),
    };
    let parts = parts::take(&mut content, ids)?;
    Ok(Message { extras: content.rest(), ..Message::new(role, parts) })
}

/// One entry of `tools` holds functions, tools of the provider, or both.
fn tools(mut tool: Fields, out: &mut Vec<Tool>) -> Result<()> {
    for mut declaration in objects(&mut tool, "functionDeclarations")? {
        let name = declaration.required_string("name")?;
        let description = declaration.string("description")?;
        let openapi = declaration.take("parameters").map(schema::to_json_schema);
        let schema = declaration.take("parametersJsonSchema").or(openapi);
        let kind = ToolKind::Function { name, description, schema, strict: None };
        out.push(Tool { kind, cache: None, extras: declaration.rest() });
    }
    for (name, value) in tool.rest() {
        if !value.is_null() {
            let whole = Value::Object([(name, value)].into_iter().collect());
            out.push(Tool { kind: ToolKind::Native(whole), cache: None, extras: Extras::new() });
        }
    }
    Ok(())
}

fn tool_config(mut config: Fields, request: &mut Request, extras: &mut Extras) -> Result<()> {
    if let Some(mut calling) = inner(&mut config, "functionCallingConfig")? {
        let mode = calling.string("mode")?;
        let names = calling.array("allowedFunctionNames")?.unwrap_or_default();
        let rest = calling.rest();
        let plain = rest.is_empty();
        request.tool_choice = match (mode.as_deref(), names.as_slice()) {
            (Some("AUTO"), []) if plain => Some(ToolChoice::Auto),
            (Some("NONE"), []) if plain => Some(ToolChoice::None),
            (Some("ANY"), []) if plain => Some(ToolChoice::Required),
            (Some("ANY"), [Value::String(name)]) if plain => Some(ToolChoice::Tool(name.clone())),
            (None | Some("MODE_UNSPECIFIED"), []) if plain => None,
            _ => {
                let mut whole = Extras::new();
                put(&mut whole, "mode", mode);
                put(&mut whole, "allowedFunctionNames", (!names.is_empty()).then_some(names));
                whole.extend(rest);
                Some(ToolChoice::Native(Value::Object(whole)))
            }
        };
    }
    nest(extras, "toolConfig", config.rest());
    Ok(())
}

fn generation_config(mut config: Fields, request: &mut Request, extras: &mut Extras) -> Result<()> {
    request.max_output_tokens = config.count("maxOutputTokens")?;
    request.temperature = config.number("temperature")?;
    request.top_p = config.number("topP")?;
    request.top_k = config.count("topK")?;
    request.frequency_penalty = config.number("frequencyPenalty")?;
    request.presence_penalty = config.number("presencePenalty")?;
    if let Some(seed) = config.number("seed")? {
        request.seed = Some(seed.as_i64().ok_or_else(|| config.wrong("seed", "must be a whole number"))?);
    }
    if let Some(n) = config.count("candidateCount")? {
        let n = u32::try_from(n).ok().filter(|n| *n > 0);
        request.n = Some(n.ok_or_else(|| config.wrong("candidateCount", "must be from 1"))?);
    }
    for stop in config.array("stopSequences")?.unwrap_or_default() {
        match stop {
            Value::String(stop) => request.stop.push(stop),
            _ => return Err(config.wrong("stopSequences", "must hold strings")),
        }
    }
    if config.peek("responseLogprobs") == Some(&Value::Bool(true)) {
        config.take("responseLogprobs");
        let top = config.count("logprobs")?.unwrap_or(0);
        request.logprobs = Some(u32::try_from(top).map_err(|_| config.wrong("logprobs", "is too many"))?);
    }
    request.format = format(&mut config)?;
    if let Some(thinking) = inner(&mut config, "thinkingConfig")? {
        let (thinking, rest) = read_thinking(thinking)?;
        let mut kept = Extras::new();
        nest(&mut kept, "thinkingConfig", rest);
        request.reasoning = Some(thinking);
        let mut rest = config.rest();
        rest.append(&mut kept);
        nest(extras, "generationConfig", rest);
        return Ok(());
    }
    nest(extras, "generationConfig", config.rest());
    Ok(())
}

/// JSON, with a schema or without. Other media types (an enumeration as text) have no canonical word and stay.
fn format(config: &mut Fields) -> Result<Format> {
    if config.peek("responseMimeType").and_then(Value::as_str) != Some("application/json") {
        return Ok(Format::Text);
    }
    config.take("responseMimeType");
    let openapi = config.take("responseSchema").map(schema::to_json_schema);
    Ok(match config.take("responseJsonSchema").or(openapi) {
        Some(schema) => Format::JsonSchema { name: None, description: None, schema, strict: None },
        None => Format::JsonObject,
    })
}

fn read_thinking(mut config: Fields) -> Result<(Thinking, Extras)> {
    let mut thinking = Thinking { show: config.boolean("includeThoughts")?, ..Thinking::default() };
    match config.number("thinkingBudget")? {
        None => {}
        Some(budget) => match budget.as_i64() {
            Some(0) => thinking.enabled = Some(false),
            // As much as it likes.
            Some(-1) => thinking.enabled = Some(true),
            Some(tokens) if tokens > 0 => thinking.budget_tokens = Some(tokens.unsigned_abs()),
            _ => return Err(config.wrong("thinkingBudget", "must be a whole number from -1")),
        },
    }
    if let Some(level) = config.string("thinkingLevel")? {
        let name = level.to_ascii_lowercase();
        if name != "thinking_level_unspecified" {
            let effort = Effort::from_name(&name);
            thinking.effort = Some(effort.ok_or_else(|| {
                config.wrong("thinkingLevel", format!("must be MINIMAL, LOW, MEDIUM or HIGH, not `{level}`"))
            })?);
        }
    }
    Ok((thinking, config.rest()))
}

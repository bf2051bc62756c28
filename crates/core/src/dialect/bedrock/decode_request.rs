//! Reading a request. The model and whether it streams stand in its path, not here.

use serde_json::{Map, Value};

use super::blocks;
use crate::chat::{Effort, Extras, Format, Message, Request, Role, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::wire::{Fields, Malformed, Result};
use crate::registry::Dialect;

/// Reads a request.
pub fn decode_request(body: &[u8]) -> Result<Request> {
    let mut fields = Fields::parse(body)?;
    let mut request = Request::new(Dialect::Bedrock, "");
    if let Some(system) = fields.array("system")?.filter(|s| !s.is_empty()) {
        request.messages.push(Message::new(Role::System, blocks::read(system, "system")?));
    }
    if fields.peek("messages").is_none() {
        return Err(fields.wrong("messages", "is required"));
    }
    for message in fields.objects("messages")? {
        request.messages.push(read_message(message)?);
    }
    let mut extras = Extras::new();
    if let Some(config) = fields.object("toolConfig")? {
        keep(&mut extras, "toolConfig", tools(config, &mut request)?);
    }
    if let Some(config) = fields.object("inferenceConfig")? {
        keep(&mut extras, "inferenceConfig", inference(config, &mut request)?);
    }
    if let Some(own) = fields.object("additionalModelRequestFields")? {
        keep(&mut extras, "additionalModelRequestFields", model_fields(own, &mut request)?);
    }
    if let Some(config) = fields.object("outputConfig")? {
        keep(&mut extras, "outputConfig", output(config, &mut request)?);
    }
    request.extras = fields.rest();
    request.extras.extend(extras);
    Ok(request)
}

/// What is left of an object rides along under its name.
fn keep(extras: &mut Extras, name: &str, rest: Map<String, Value>) {
    if !rest.is_empty() {
        extras.insert(name.into(), rest.into());
    }
}

fn read_message(mut fields: Fields) -> Result<Message> {
    let role = match fields.required_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Instructions in the middle of a conversation.
        "system" => Role::System,
        other => return Err(fields.wrong("role", format!("must be `user` or `assistant`, not `{other}`"))),
    };
    let Some(content) = fields.array("content")? else { return Err(fields.wrong("content", "is required")) };
    let parts = blocks::read(content, &fields.at("content"))?;
    Ok(Message { extras: fields.rest(), ..Message::new(role, parts) })
}

fn tools(mut config: Fields, request: &mut Request) -> Result<Map<String, Value>> {
    let at = config.at("tools");
    for (i, item) in config.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        match (blocks::cache_mark(&item), request.tools.last_mut()) {
            (Some(mark), Some(tool)) if tool.cache.is_none() => tool.cache = Some(mark),
            _ => request.tools.push(tool(item, format!("{at}[{i}]"))?),
        }
    }
    if let Some(mut choice) = config.object("toolChoice")? {
        request.tool_choice = Some(if choice.take("auto").is_some() {
            ToolChoice::Auto
        } else if choice.take("any").is_some() {
            ToolChoice::Required
        } else if let Some(mut named) = choice.object("tool")? {
            ToolChoice::Tool(named.required_string("name")?)
        } else {
            ToolChoice::Native(choice.into_value())
        });
    }
    Ok(config.rest())
}

fn tool(item: Value, at: String) -> Result<Tool> {
    let native = item.clone();
    let mut outer = Fields::of(item, at)?;
    let Some(mut spec) = outer.object("toolSpec")? else {
        return Ok(Tool { kind: ToolKind::Native(native), cache: None, extras: Extras::new() });
    };
    let name = spec.required_string("name")?;
    let description = spec.string("description")?;
    let strict = spec.boolean("strict")?;
    let schema = match spec.object("inputSchema")? {
        Some(mut schema) => schema.take("json"),
        None => return Err(spec.wrong("inputSchema", "is required")),
    };
    let kind = ToolKind::Function { name, description, schema, strict };
    Ok(Tool { kind, cache: None, extras: spec.rest() })
}

fn inference(mut config: Fields, request: &mut Request) -> Result<Map<String, Value>> {
    request.max_output_tokens = config.count("maxTokens")?;
    request.temperature = config.number("temperature")?;
    request.top_p = config.number("topP")?;
    let at = config.at("stopSequences");
    for (i, stop) in config.array("stopSequences")?.unwrap_or_default().into_iter().enumerate() {
        match stop {
            Value::String(stop) => request.stop.push(stop),
            _ => return Err(Malformed::new(format!("{at}[{i}]"), "must be a string")),
        }
    }
    Ok(config.rest())
}

/// The model's own parameters: those with a word of ours.
fn model_fields(mut own: Fields, request: &mut Request) -> Result<Map<String, Value>> {
    request.top_k = own.count("top_k")?;
    let mut rest = Extras::new();
    // Nova keeps its `topK` one level deeper.
    if let Some(mut nova) = own.object("inferenceConfig")? {
        request.top_k = nova.count("topK")?.or(request.top_k);
        keep(&mut rest, "inferenceConfig", nova.rest());
    }
    let mut thinking = Thinking::default();
    if let Some(mut claude) = own.object("thinking")? {
        thinking.enabled = match claude.required_string("type")?.as_str() {
            "disabled" => Some(false),
            "enabled" | "adaptive" => Some(true),
            other => return Err(claude.wrong("type", format!("`{other}` is not known"))),
        };
        thinking.budget_tokens = claude.count("budget_tokens")?;
        thinking.show = claude.string("display")?.map(|display| display != "omitted");
    }
    if let Some(mut config) = own.object("output_config")? {
        thinking.effort = effort(&mut config, "effort")?;
        keep(&mut rest, "output_config", config.rest());
    }
    if let Some(mut nova) = own.object("reasoningConfig")? {
        thinking.enabled = Some(nova.string("type")?.as_deref() == Some("enabled"));
        thinking.effort = effort(&mut nova, "maxReasoningEffort")?;
    }
    if let Some(effort) = effort(&mut own, "reasoning_effort")? {
        thinking.effort = Some(effort);
    }
    if thinking != Thinking::default() {
        request.reasoning = Some(thinking);
    }
    let mut left = own.rest();
    left.extend(rest);
    Ok(left)
}

fn effort(fields: &mut Fields, key: &str) -> Result<Option<Effort>> {
    let Some(name) = fields.string(key)? else { return Ok(None) };
    match Effort::from_name(&name) {
        Some(effort) => Ok(Some(effort)),
        None => Err(fields.wrong(key, format!("`{name}` is not known"))),
    }
}

fn output(mut config: Fields, request: &mut Request) -> Result<Map<String, Value>> {
    if let Some(effort) = effort(&mut config, "effort")? {
        request.reasoning.get_or_insert_default().effort = Some(effort);
    }
    if let Some(mut format) = config.object("textFormat")? {
        if format.required_string("type")? != "json_schema" {
            return Err(format.wrong("type", "must be `json_schema`"));
        }
        let definition = format.object("structure")?.map(|mut s| s.object("jsonSchema")).transpose()?.flatten();
        let Some(mut definition) = definition else { return Err(format.wrong("structure.jsonSchema", "is required")) };
        // The schema is JSON in a string.
        let text = definition.required_string("schema")?;
        let schema = serde_json::from_str(&text).map_err(|e| definition.wrong("schema", format!("not JSON: {e}")))?;
        request.format = Format::JsonSchema {
            name: definition.string("name")?,
            description: definition.string("description")?,
            schema,
            strict: None,
        };
    }
    Ok(config.rest())
}

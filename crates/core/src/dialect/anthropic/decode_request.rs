//! A client's request into canonical form.

use serde_json::Value;

use super::block::{Place, read_cache, read_content};
use super::shared::HOME;
use crate::chat::{Effort, Format, Message, Request, Role, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::wire::{Fields, Malformed, Result};

/// Reads a request.
pub fn decode_request(body: &[u8]) -> Result<Request> {
    let mut top = Fields::parse(body)?;
    let mut request = Request::new(HOME, top.required_string("model")?);
    // The gateway's own.
    top.take("waypost");
    if let Some(system) = top.take("system") {
        let parts = read_content(system, "system", Place::System)?;
        request.messages.push(Message::new(Role::System, parts));
    }
    let messages = top.objects("messages")?;
    if messages.is_empty() {
        return Err(top.wrong("messages", "must hold at least one message"));
    }
    for message in messages {
        request.messages.push(read_message(message)?);
    }
    for tool in top.objects("tools")? {
        request.tools.push(read_tool(tool)?);
    }
    if let Some(choice) = top.object("tool_choice")? {
        read_choice(choice, &mut request)?;
    }
    request.max_output_tokens = top.count("max_tokens")?;
    request.temperature = top.number("temperature")?;
    request.top_p = top.number("top_p")?;
    request.top_k = top.count("top_k")?;
    request.stop = read_stop(&mut top)?;
    request.stream = top.boolean("stream")?.unwrap_or(false);
    // Every stream of this API reports usage.
    request.include_usage = request.stream;
    read_thinking(&mut top, &mut request)?;
    read_output(&mut top, &mut request)?;
    read_metadata(&mut top, &mut request)?;
    request.extras.extend(top.rest());
    Ok(request)
}

fn read_message(mut message: Fields) -> Result<Message> {
    let role = message.required_string("role")?;
    let (role, place) = match role.as_str() {
        "user" => (Role::User, Place::User),
        "assistant" => (Role::Assistant, Place::Assistant),
        "system" => (Role::System, Place::System),
        other => return Err(message.wrong("role", format!("must be user, assistant or system, not `{other}`"))),
    };
    let content = message.require("content")?;
    let parts = read_content(content, &message.at("content"), place)?;
    Ok(Message { role, parts, name: None, extras: message.rest() })
}

fn read_tool(mut tool: Fields) -> Result<Tool> {
    let kind = tool.peek("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != "custom") {
        return Ok(Tool { kind: ToolKind::Native(tool.into_value()), cache: None, extras: Default::default() });
    }
    tool.string("type")?;
    let name = tool.required_string("name")?;
    if name.is_empty() {
        return Err(tool.wrong("name", "must not be empty"));
    }
    let description = tool.string("description")?;
    let at = tool.at("input_schema");
    let schema = match tool.take("input_schema") {
        None => None,
        Some(schema @ Value::Object(_)) => Some(schema),
        Some(_) => return Err(Malformed::new(at, "must be a JSON schema, which is an object")),
    };
    let strict = tool.boolean("strict")?;
    let cache = read_cache(&mut tool)?;
    Ok(Tool { kind: ToolKind::Function { name, description, schema, strict }, cache, extras: tool.rest() })
}

fn read_choice(mut choice: Fields, request: &mut Request) -> Result<()> {
    let known = match choice.peek("type").and_then(Value::as_str) {
        Some("auto") => Some(ToolChoice::Auto),
        Some("any") => Some(ToolChoice::Required),
        Some("none") => Some(ToolChoice::None),
        Some("tool") => Some(ToolChoice::Tool(choice.required_string("name")?)),
        Some(_) => None,
        None => return Err(choice.wrong("type", "is required")),
    };
    request.tool_choice = Some(match known {
        Some(known) => {
            request.parallel_tools = choice.boolean("disable_parallel_tool_use")?.map(|disabled| !disabled);
            known
        }
        None => ToolChoice::Native(choice.into_value()),
    });
    Ok(())
}

fn read_stop(top: &mut Fields) -> Result<Vec<String>> {
    let items = top.array("stop_sequences")?.unwrap_or_default();
    let text = |(i, item)| match item {
        Value::String(text) => Ok(text),
        _ => Err(top.wrong(&format!("stop_sequences[{i}]"), "must be a string")),
    };
    items.into_iter().enumerate().map(text).collect()
}

/// A way of thinking that the canonical form has no word for stays as it is, for its own API.
fn read_thinking(top: &mut Fields, request: &mut Request) -> Result<()> {
    let kind = top.peek("thinking").and_then(|t| t.get("type")).and_then(Value::as_str);
    if !matches!(kind, Some("enabled" | "adaptive" | "disabled")) {
        if let Some(thinking) = top.object("thinking")? {
            request.extras.insert("thinking".into(), thinking.into_value());
        }
        return Ok(());
    }
    let Some(mut thinking) = top.object("thinking")? else { return Ok(()) };
    let kind = thinking.required_string("type")?;
    let budget_tokens = thinking.count("budget_tokens")?;
    if kind == "enabled" && budget_tokens.is_none() {
        return Err(thinking.wrong("budget_tokens", "is required where thinking is `enabled`"));
    }
    let show = match thinking.string("display")?.as_deref() {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(other) => {
            return Err(thinking.wrong("display", format!("must be summarized or omitted, not `{other}`")));
        }
    };
    let enabled = Some(kind != "disabled");
    request.reasoning = Some(Thinking { enabled, effort: None, budget_tokens, show });
    Ok(())
}

/// `output_config`: what it holds beside effort and format stays as it is.
fn read_output(top: &mut Fields, request: &mut Request) -> Result<()> {
    let Some(mut output) = top.object("output_config")? else { return Ok(()) };
    if let Some(name) = output.string("effort")? {
        let effort = Effort::from_name(&name);
        let effort = effort.ok_or_else(|| output.wrong("effort", format!("is not an effort: `{name}`")))?;
        request.reasoning.get_or_insert_default().effort = Some(effort);
    }
    if let Some(mut format) = output.object("format")? {
        match format.required_string("type")?.as_str() {
            "json_schema" => {
                let schema = format.require("schema")?;
                request.format = Format::JsonSchema { name: None, description: None, schema, strict: Some(true) };
            }
            other => return Err(format.wrong("type", format!("must be json_schema, not `{other}`"))),
        }
    }
    let rest = output.rest();
    if !rest.is_empty() {
        request.extras.insert("output_config".into(), rest.into());
    }
    Ok(())
}

fn read_metadata(top: &mut Fields, request: &mut Request) -> Result<()> {
    let Some(mut metadata) = top.object("metadata")? else { return Ok(()) };
    request.user = metadata.string("user_id")?;
    let rest = metadata.rest();
    if !rest.is_empty() {
        request.extras.insert("metadata".into(), rest.into());
    }
    Ok(())
}

//! A client's request into the canonical form.

use serde_json::Value;

use super::items::Turns;
use super::shared::HOME;
use crate::chat::{Effort, Extras, Format, Message, Part, Request, Role, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::wire::{Fields, Result, kind};

/// What `include` asks for the likelihoods of text.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";
/// What `include` asks for reasoning that comes back.
pub(super) const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Reads a request. Whatever means something that a provider keeps is refused: nobody else has it.
pub fn decode_request(body: &[u8]) -> Result<Request> {
    let mut f = Fields::parse(body)?;
    refuse_state(&f)?;
    f.take("waypost");
    let mut request = Request::new(HOME, f.required_string("model")?);
    if let Some(text) = f.string("instructions")?.filter(|t| !t.is_empty()) {
        request.messages.push(Message::new(Role::System, vec![Part::text(text)]));
    }
    match f.require("input")? {
        Value::String(text) => request.messages.push(Message::new(Role::User, vec![Part::text(text)])),
        Value::Array(items) if items.is_empty() => return Err(f.wrong("input", "must not be empty")),
        Value::Array(items) => request.messages.append(&mut Turns::read(items)?),
        other => return Err(f.wrong("input", format!("must be a string or an array of items, not {}", kind(&other)))),
    }
    request.tools = f.objects("tools")?.into_iter().map(tool).collect::<Result<_>>()?;
    request.tool_choice = f.take("tool_choice").map(|value| tool_choice(&f, value)).transpose()?;
    request.parallel_tools = f.boolean("parallel_tool_calls")?;
    request.max_output_tokens = f.count("max_output_tokens")?;
    request.temperature = f.number("temperature")?;
    request.top_p = f.number("top_p")?;
    request.user = f.string("user")?;
    request.stream = f.boolean("stream")?.unwrap_or(false);
    // Every stream of this dialect ends with its usage.
    request.include_usage = request.stream;
    let mut nested = Extras::new();
    read_text(&mut f, &mut request, &mut nested)?;
    read_reasoning(&mut f, &mut request, &mut nested)?;
    read_include(&mut f, &mut request, &mut nested)?;
    request.extras = f.rest();
    request.extras.retain(|_, value| !value.is_null());
    request.extras.append(&mut nested);
    Ok(request)
}

/// The field that can only mean something to the provider that keeps it.
fn refuse_state(f: &Fields) -> Result<()> {
    let given = |key: &str| f.peek(key).is_some_and(|v| !v.is_null());
    for field in ["previous_response_id", "conversation"] {
        if given(field) {
            let why = format!("only a provider that speaks the Responses API keeps {field}");
            return Err(f.wrong(field, format!("{why}; send the whole conversation as input")));
        }
    }
    if given("prompt") {
        let why =
            "only a provider that speaks the Responses API keeps prompts; send its text as instructions and input";
        return Err(f.wrong("prompt", why));
    }
    if f.peek("background") == Some(&Value::Bool(true)) {
        let why = "only a provider that speaks the Responses API answers in the background; leave it out";
        return Err(f.wrong("background", why));
    }
    Ok(())
}

fn tool(mut f: Fields) -> Result<Tool> {
    let kind = match f.peek("type").and_then(Value::as_str) {
        Some("function") => ToolKind::Function {
            name: f.required_string("name")?,
            description: f.string("description")?,
            schema: f.object("parameters")?.map(Fields::into_value),
            strict: f.boolean("strict")?,
        },
        Some("custom") => ToolKind::Custom {
            name: f.required_string("name")?,
            description: f.string("description")?,
            format: f.object("format")?.map(Fields::into_value),
        },
        Some(_) => return Ok(Tool { kind: ToolKind::Native(f.into_value()), cache: None, extras: Extras::new() }),
        None => return Err(f.wrong("type", "is required, as a string")),
    };
    f.take("type");
    Ok(Tool { kind, cache: None, extras: f.rest() })
}

fn tool_choice(f: &Fields, value: Value) -> Result<ToolChoice> {
    Ok(match &value {
        Value::String(mode) => match mode.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            other => {
                return Err(f.wrong("tool_choice", format!("must be auto, none, required or an object, not `{other}`")));
            }
        },
        Value::Object(choice) => match choice.get("type").and_then(Value::as_str) {
            Some("function" | "custom") => match choice.get("name").and_then(Value::as_str) {
                Some(name) => ToolChoice::Tool(name.to_owned()),
                None => return Err(f.wrong("tool_choice.name", "is required, as a string")),
            },
            Some(_) => ToolChoice::Native(value),
            None => return Err(f.wrong("tool_choice.type", "is required, as a string")),
        },
        other => return Err(f.wrong("tool_choice", format!("must be a string or an object, not {}", kind(other)))),
    })
}

/// `text`: the format and how long the answer should be. What else is in it rides along under its whole path.
fn read_text(f: &mut Fields, request: &mut Request, nested: &mut Extras) -> Result<()> {
    let Some(mut text) = f.object("text")? else { return Ok(()) };
    request.verbosity = text.string("verbosity")?;
    if let Some(mut format) = text.object("format")? {
        request.format = match format.required_string("type")?.as_str() {
            "text" => Format::Text,
            "json_object" => Format::JsonObject,
            "json_schema" => Format::JsonSchema {
                name: format.string("name")?,
                description: format.string("description")?,
                schema: Fields::of(format.require("schema")?, format.at("schema"))?.into_value(),
                strict: format.boolean("strict")?,
            },
            other => {
                return Err(format.wrong("type", format!("must be text, json_object or json_schema, not `{other}`")));
            }
        };
        keep(format, "text.format", nested);
    }
    keep(text, "text", nested);
    Ok(())
}

fn read_reasoning(f: &mut Fields, request: &mut Request, nested: &mut Extras) -> Result<()> {
    let Some(mut reasoning) = f.object("reasoning")? else { return Ok(()) };
    let mut thinking = Thinking::default();
    if let Some(name) = reasoning.string("effort")? {
        let Some(effort) = Effort::from_name(&name) else {
            let known: Vec<_> = Effort::ALL.iter().map(|e| e.name()).collect();
            return Err(reasoning.wrong("effort", format!("must be one of {}, not `{name}`", known.join(", "))));
        };
        thinking.effort = Some(effort);
        thinking.enabled = Some(effort != Effort::None);
    }
    let older = reasoning.string("generate_summary")?;
    if let Some(style) = reasoning.string("summary")?.or(older) {
        thinking.show = Some(true);
        // How long the summary is to be is a wish that only this dialect knows.
        if style != "auto" {
            nested.insert("reasoning.summary".into(), style.into());
        }
    }
    keep(reasoning, "reasoning", nested);
    if thinking != Thinking::default() {
        request.reasoning = Some(thinking);
    }
    Ok(())
}

/// `include`: likelihoods have a word of their own, encrypted reasoning comes anyway where there is any; the rest rides along.
fn read_include(f: &mut Fields, request: &mut Request, nested: &mut Extras) -> Result<()> {
    let mut include = f.array("include")?.unwrap_or_default();
    let before = include.len();
    include.retain(|v| v != LOGPROBS);
    if include.len() < before {
        let top = f.count("top_logprobs")?.unwrap_or(0);
        request.logprobs = Some(u32::try_from(top).map_err(|_| f.wrong("top_logprobs", "is too large"))?);
    }
    include.retain(|v| v != ENCRYPTED);
    if !include.is_empty() {
        nested.insert("include".into(), include.into());
    }
    Ok(())
}

/// Keeps what is left of a nested object under its path.
fn keep(f: Fields, path: &str, nested: &mut Extras) {
    for (key, value) in f.rest().into_iter().filter(|(_, v)| !v.is_null()) {
        nested.insert(format!("{path}.{key}"), value);
    }
}

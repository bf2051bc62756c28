//! Tools, the choice among them, and structured output, which is a forced tool where the schema is not one that the API
//! takes for output.

use serde_json::{Value, json};

use super::block;
use super::encode_request::{Result, Writer};
use super::shared::cache_control;
use super::thinking::takes_schema;
use crate::chat::{Format, Tool, ToolChoice, ToolKind};
use crate::dialect::names::Name;
use crate::dialect::schema;
use crate::dialect::wire::put;

/// What a request says of tools and of its output.
pub(super) struct Tools {
    pub(super) tools: Option<Vec<Value>>,
    pub(super) choice: Option<Value>,
    /// Some call must come.
    pub(super) forced: bool,
    /// `output_config.format`.
    pub(super) format: Option<Value>,
    /// The tool whose call is the output.
    pub(super) json_tool: Option<String>,
}

/// The name of the output's tool where the client's schema has none that will do.
const JSON_TOOL: &str = "json_output";

/// Writes them.
pub(super) fn write(writer: &mut Writer<'_>) -> Result<Tools> {
    let mut tools = Vec::with_capacity(writer.request.tools.len());
    for tool in &writer.request.tools {
        tools.extend(writer.tool(tool)?);
    }
    let choice = writer.choice(!tools.is_empty())?;
    let forced = matches!(writer.request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    let mut written = Tools { tools: None, choice, forced, format: None, json_tool: None };
    writer.format(&mut tools, &mut written)?;
    written.tools = (!tools.is_empty()).then_some(tools);
    Ok(written)
}

impl Writer<'_> {
    fn tool(&mut self, tool: &Tool) -> Result<Option<Value>> {
        let (name, description, schema, strict) = match &tool.kind {
            ToolKind::Function { name, description, schema, strict } => (name, description, schema, strict),
            ToolKind::Native(native) if self.home => return Ok(Some(native.clone())),
            ToolKind::Native(native) => {
                let kind = native["type"].as_str().unwrap_or("tool");
                return self.losses.drop(format!("tools[].{kind}")).map(|()| None);
            }
            ToolKind::Custom { name, .. } => {
                let why = format!("`{name}` takes free text, and tools of the model's API take JSON only");
                return self.losses.refuse("tools[].custom", why);
            }
        };
        let mut written = block::map(json!({"name": name}));
        put(&mut written, "description", description.as_deref());
        match schema {
            schema if self.home => put(&mut written, "input_schema", schema.clone()),
            _ => {
                let closed = schema.as_ref().and_then(schema::native).filter(|_| *strict == Some(true));
                if closed.is_some() && takes_schema(self.target) {
                    written.insert("strict".into(), true.into());
                    put(&mut written, "input_schema", closed);
                } else {
                    if *strict == Some(true) {
                        self.losses.drop(self.name(Name::ToolStrict))?;
                    }
                    written.insert("input_schema".into(), object_schema(schema.as_ref()));
                }
            }
        }
        if self.home {
            put(&mut written, "strict", *strict);
            written.extend(tool.extras.clone());
        } else {
            self.drop_members("tools[].", &tool.extras)?;
        }
        put(&mut written, "cache_control", tool.cache.as_ref().map(cache_control));
        Ok(Some(written.into()))
    }

    fn choice(&mut self, offered: bool) -> Result<Option<Value>> {
        let request = self.request;
        let parallel = request.parallel_tools;
        let mut choice = match &request.tool_choice {
            Some(ToolChoice::Native(native)) if self.home => return Ok(Some(native.clone())),
            Some(ToolChoice::Native(_)) => {
                return self.losses.refuse("tool_choice", "the model's API has no such choice of tools");
            }
            // The API refuses a choice without tools.
            Some(ToolChoice::Auto | ToolChoice::None) | None if !offered && !self.home => return Ok(None),
            Some(ToolChoice::Required | ToolChoice::Tool(_)) if !offered && !self.home => {
                return self.losses.refuse("tool_choice", "asks for a call, and there is no tool to call");
            }
            None if parallel == Some(false) => block::map(json!({"type": "auto"})),
            None => return Ok(None),
            Some(ToolChoice::Auto) => block::map(json!({"type": "auto"})),
            Some(ToolChoice::None) => return Ok(Some(json!({"type": "none"}))),
            Some(ToolChoice::Required) => block::map(json!({"type": "any"})),
            Some(ToolChoice::Tool(name)) => block::map(json!({"type": "tool", "name": name})),
        };
        let disabled = parallel.map(|parallel| !parallel).filter(|disabled| *disabled || self.home);
        put(&mut choice, "disable_parallel_tool_use", disabled);
        Ok(Some(choice.into()))
    }

    fn format(&mut self, tools: &mut Vec<Value>, written: &mut Tools) -> Result<()> {
        let free = json!({"type": "object"});
        let (name, description, wanted) = match &self.request.format {
            Format::Text => return Ok(()),
            Format::JsonObject => (None, None, &free),
            Format::JsonSchema { name, description, schema, .. } => (name.as_deref(), description.as_deref(), schema),
        };
        let native = if self.home { Some(wanted.clone()) } else { schema::native(wanted) };
        if let Some(native) = native.filter(|_| self.home || takes_schema(self.target)) {
            written.format = Some(json!({"type": "json_schema", "schema": native}));
            return Ok(());
        }
        if !tools.is_empty() {
            let why = "the model's API cannot promise output of this form and offer tools as well";
            return self.losses.refuse(self.name(Name::Format), why);
        }
        let is_object = wanted.get("type").is_none_or(|t| schema::names(t, "object"))
            && wanted.as_object().is_some_and(|s| !["anyOf", "oneOf", "$ref"].iter().any(|k| s.contains_key(*k)));
        if !is_object {
            let why = "the model's API can promise output of this form only where it is an object";
            return self.losses.refuse(self.name(Name::Format), why);
        }
        let valid =
            |name: &&str| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let name = name.filter(|n| !n.is_empty()).filter(valid).unwrap_or(JSON_TOOL);
        let description = description.unwrap_or("Takes the answer to the user.");
        tools.push(json!({"name": name, "description": description, "input_schema": object_schema(Some(wanted))}));
        written.choice = Some(json!({"type": "tool", "name": name, "disable_parallel_tool_use": true}));
        written.forced = true;
        written.json_tool = Some(name.to_owned());
        Ok(())
    }
}

/// A schema of arguments, which says that they are an object.
fn object_schema(schema: Option<&Value>) -> Value {
    match schema.and_then(Value::as_object) {
        None => json!({"type": "object", "properties": {}}),
        Some(schema) if schema.contains_key("type") => schema.clone().into(),
        Some(schema) => {
            let mut written = block::map(json!({"type": "object"}));
            written.extend(schema.clone());
            written.into()
        }
    }
}

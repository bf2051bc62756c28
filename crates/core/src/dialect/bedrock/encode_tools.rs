//! Writing tools, the choice among them, and what the answer's text must be.

use serde_json::{Map, Value, json};

use super::encode_request::Writer;
use super::models::Caching;
use crate::chat::{Content, Format, Request, Tool, ToolChoice, ToolKind};
use crate::dialect::Inexpressible;
use crate::dialect::names::Name;
use crate::dialect::schema;

impl Writer<'_> {
    /// `toolConfig` and `outputConfig.textFormat`.
    pub(super) fn tools(&mut self, body: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        let request = self.request;
        let none = request.tool_choice == Some(ToolChoice::None);
        let called = called_tools(request);
        let mut tools = Vec::new();
        if !none || !called.is_empty() {
            for (i, tool) in request.tools.iter().enumerate() {
                self.tool(tool, i, &mut tools)?;
            }
        }
        let offered = !tools.is_empty();
        if !offered {
            // The history needs what it names.
            tools.extend(called.iter().map(|name| spec(name, None, None)));
        } else if none {
            self.losses.drop("tool_choice")?;
        }
        let mut choice = self.choice(offered)?;
        if let Some((tool, forced)) = self.json(body, offered, !called.is_empty())? {
            tools.push(tool);
            choice = Some(forced);
        }
        if request.parallel_tools == Some(false) && offered {
            self.losses.drop(self.name(Name::ParallelTools))?;
        }
        if !tools.is_empty() {
            let config = within(body, "toolConfig");
            config.insert("tools".into(), tools.into());
            if let Some(choice) = choice {
                config.insert("toolChoice".into(), choice);
            }
        }
        Ok(())
    }

    fn tool(&mut self, tool: &Tool, i: usize, out: &mut Vec<Value>) -> Result<(), Inexpressible> {
        match &tool.kind {
            ToolKind::Function { name, description, schema, strict } => {
                self.check_tool_name(name, || format!("tools[{i}].name"))?;
                let mut written = spec(name, description.as_deref(), schema.as_ref());
                if self.home {
                    if schema.is_some() {
                        written["toolSpec"]["inputSchema"] = json!({"json": schema});
                    }
                    tool.extras.iter().for_each(|(key, value)| written["toolSpec"][key] = value.clone());
                } else {
                    tool.extras.keys().try_for_each(|key| self.losses.drop(format!("tools[].{key}")))?;
                }
                let closed = schema.as_ref().and_then(schema::native);
                match (strict, closed) {
                    (Some(strict), _) if self.home => written["toolSpec"]["strict"] = (*strict).into(),
                    (Some(true), Some(closed)) if self.habits.json_schema => {
                        written["toolSpec"]["inputSchema"] = json!({"json": closed});
                        written["toolSpec"]["strict"] = true.into();
                    }
                    (Some(true), _) => self.losses.drop(self.name(Name::ToolStrict))?,
                    (Some(false) | None, _) => {}
                }
                out.push(written);
            }
            ToolKind::Custom { .. } => self.losses.drop("tools[].custom")?,
            ToolKind::Native(value) if self.home => out.push(value.clone()),
            ToolKind::Native(value) => {
                let kind = value["type"].as_str().or_else(|| value["name"].as_str());
                let member = value.as_object().and_then(|o| o.keys().next()).map(String::as_str);
                self.losses.drop(format!("tools[].{}", kind.or(member).unwrap_or("native")))?;
            }
        }
        if let Some(mark) = &tool.cache
            && !out.is_empty()
        {
            out.extend(self.cache_point(mark, Caching::All)?);
        }
        Ok(())
    }

    /// The choice, where one must be written.
    fn choice(&mut self, offered: bool) -> Result<Option<Value>, Inexpressible> {
        let choice = match &self.request.tool_choice {
            None | Some(ToolChoice::None) => return Ok(None),
            // Their habit; not every model takes it in words.
            Some(ToolChoice::Auto) => return Ok((self.home && offered).then(|| json!({"auto": {}}))),
            Some(ToolChoice::Native(value)) if self.home => return Ok(Some(value.clone())),
            Some(ToolChoice::Native(_)) => {
                return self.losses.refuse("tool_choice", "this form of it cannot be expressed for this model");
            }
            Some(ToolChoice::Required) => json!({"any": {}}),
            Some(ToolChoice::Tool(name)) => json!({"tool": {"name": name}}),
        };
        if !offered {
            return self.losses.refuse("tool_choice", "it demands a tool, and none can be offered to this model");
        }
        if let Some(ToolChoice::Tool(name)) = &self.request.tool_choice {
            let custom = |t: &Tool| matches!(&t.kind, ToolKind::Custom { name: n, .. } if n == name);
            if self.request.tools.iter().any(custom) {
                let why = "it demands a tool of free-form input, which cannot be offered to this model";
                return self.losses.refuse("tool_choice", why);
            }
        }
        if !self.habits.forced_tools {
            return self.losses.refuse("tool_choice", "this model lets no call be forced: only `auto`");
        }
        Ok(Some(choice))
    }

    /// JSON output: by the API's own means where the model has them, else by a forced tool, which is returned with the
    /// choice that forces it.
    fn json(
        &mut self,
        body: &mut Map<String, Value>,
        offered: bool,
        called: bool,
    ) -> Result<Option<(Value, Value)>, Inexpressible> {
        let field = self.name(Name::Format);
        let open = json!({"type": "object"});
        let (name, description, schema) = match &self.request.format {
            Format::Text => return Ok(None),
            Format::JsonObject => (None, None, &open),
            Format::JsonSchema { name, description, schema, .. } => (name.as_deref(), description.as_deref(), schema),
        };
        let any_object = self.request.format == Format::JsonObject;
        let native = if self.home { Some(schema.clone()) } else { schema::native(schema) };
        if let Some(native) = native.filter(|_| !any_object && (self.home || self.habits.json_schema)) {
            let mut definition = Map::from_iter([("schema".to_owned(), Value::from(native.to_string()))]);
            for (key, value) in [("name", name), ("description", description)] {
                if let Some(value) = value {
                    definition.insert(key.into(), value.into());
                }
            }
            let format = json!({"type": "json_schema", "structure": {"jsonSchema": definition}});
            within(body, "outputConfig").insert("textFormat".into(), format);
            return Ok(None);
        }
        if any_object && (offered || !self.habits.forced_tools) {
            // A prompt that wants JSON says so; only the guarantee is lost.
            self.losses.drop(field)?;
            return Ok(None);
        }
        if offered {
            let why =
                "this model gives JSON of a schema only through a tool of ours, and the request has tools of its own";
            return self.losses.refuse(field, why);
        }
        if schema["type"].as_str().is_some_and(|t| t != "object") {
            let why = "this model gives JSON of a schema only as a tool's arguments: the schema must be of an object";
            return self.losses.refuse(field, why);
        }
        let clean: String = name
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
            .take(64)
            .collect();
        let name = if clean.is_empty() { "json_response".to_owned() } else { clean };
        let description = description.unwrap_or("Gives the final answer.");
        let tool = spec(&name, Some(description), Some(schema));
        // More models take `any`; among several only the name is sure.
        let forced = if called { json!({"tool": {"name": name}}) } else { json!({"any": {}}) };
        self.json_tool = Some(name);
        Ok(Some((tool, forced)))
    }
}

/// Names of the tools that the history calls, each once.
fn called_tools(request: &Request) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for part in request.messages.iter().flat_map(|m| &m.parts) {
        if let Content::ToolCall(call) = &part.content
            && !names.contains(&call.name.as_str())
        {
            names.push(&call.name);
        }
    }
    names
}

/// A tool's declaration. The schema of its arguments must be there, and an object's.
fn spec(name: &str, description: Option<&str>, schema: Option<&Value>) -> Value {
    let mut schema = schema.cloned().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    if let Some(schema) = schema.as_object_mut()
        && !schema.contains_key("type")
    {
        schema.insert("type".into(), "object".into());
    }
    let mut spec = json!({"name": name});
    if let Some(description) = description.filter(|d| !d.is_empty()) {
        spec["description"] = description.into();
    }
    spec["inputSchema"] = json!({"json": schema});
    json!({"toolSpec": spec})
}

/// The object of this name in the body.
pub(super) fn within<'m>(body: &'m mut Map<String, Value>, name: &str) -> &'m mut Map<String, Value> {
    let value = body.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object just now")
}

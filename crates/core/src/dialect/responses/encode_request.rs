//! The canonical form into a request to a provider of this dialect: everything but the items of `input`.

use serde_json::{Map, Value, json};

use super::decode_request::{ENCRYPTED, LOGPROBS};
use super::encode_items::Items;
use super::shared::HOME;
use super::write::json as write_json;
use crate::chat::{Content, Effort, Format, Request, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::strictness::may_be_strict;
use crate::dialect::wire::put;
use crate::dialect::{Encoded, Inexpressible, Losses, Target};
use crate::registry::{Capabilities, Dialect};

/// What OpenAI's two dialects call by the same name and mean by it the same.
const SHARED: [&str; 6] =
    ["metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"];

/// The least that the API takes as `max_output_tokens`.
const LEAST_OUTPUT: u64 = 16;

/// The name of a schema that came without one, which this API demands.
const SCHEMA_NAME: &str = "answer";

type Result<T> = std::result::Result<T, Inexpressible>;

/// Writes a request.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let mut writer = Writer {
        request,
        target,
        home: request.origin == HOME,
        losses: Losses::new(target.strict),
        body: Map::new(),
        include: Vec::new(),
    };
    writer.body.insert("model".into(), target.model.into());
    let mut items = Items::new(request, &mut writer.losses);
    let (instructions, input) = items.write()?;
    put(&mut writer.body, "instructions", instructions);
    writer.body.insert("input".into(), input);
    writer.tools()?;
    writer.text()?;
    writer.sampling()?;
    writer.reasoning()?;
    writer.extras()?;
    let mut body = Vec::with_capacity(1024);
    write_json(&writer.body.into(), &mut body);
    Ok(Encoded { body, dropped: writer.losses.into_names(), json_tool: None })
}

struct Writer<'a> {
    request: &'a Request,
    target: &'a Target<'a>,
    /// The request is of this dialect itself.
    home: bool,
    losses: Losses,
    body: Map<String, Value>,
    include: Vec<Value>,
}

impl Writer<'_> {
    fn tools(&mut self) -> Result<()> {
        let request = self.request;
        let mut tools = Vec::with_capacity(request.tools.len());
        for tool in &request.tools {
            tools.extend(self.tool(tool)?);
        }
        let none = tools.is_empty();
        if !none {
            self.body.insert("tools".into(), tools.into());
        }
        let choice = match &request.tool_choice {
            None => None,
            // Without tools there is nothing to choose, and other APIs refuse to hear of it.
            Some(ToolChoice::Auto | ToolChoice::None) if none && !self.home => None,
            Some(ToolChoice::Auto) => Some("auto".into()),
            Some(ToolChoice::None) => Some("none".into()),
            Some(ToolChoice::Required) if none && !self.home => {
                let why = "a tool must be called, and the Responses API knows none of those on offer";
                return self.losses.refuse("tool_choice", why);
            }
            Some(ToolChoice::Tool(name)) if !self.home && !self.offers(name) => {
                let why = "the tool that must be called is none that the Responses API knows";
                return self.losses.refuse("tool_choice", why);
            }
            Some(ToolChoice::Required) => Some("required".into()),
            Some(ToolChoice::Tool(name)) => Some(json!({"type": self.kind_of(name), "name": name})),
            Some(ToolChoice::Native(choice)) if self.home => Some(choice.clone()),
            Some(ToolChoice::Native(_)) => {
                return self.losses.refuse("tool_choice", "the Responses API has no such choice of tools");
            }
        };
        put(&mut self.body, "tool_choice", choice);
        put(&mut self.body, "parallel_tool_calls", request.parallel_tools.filter(|_| self.home || !none));
        Ok(())
    }

    fn offers(&self, wanted: &str) -> bool {
        self.request.tools.iter().any(|tool| match &tool.kind {
            ToolKind::Function { name, .. } | ToolKind::Custom { name, .. } => name == wanted,
            ToolKind::Native(_) => false,
        })
    }

    fn kind_of(&self, name: &str) -> &'static str {
        let custom = |t: &Tool| matches!(&t.kind, ToolKind::Custom { name: n, .. } if n == name);
        if self.request.tools.iter().any(custom) { "custom" } else { "function" }
    }

    fn tool(&mut self, tool: &Tool) -> Result<Option<Value>> {
        let mut value = Map::new();
        match &tool.kind {
            ToolKind::Function { name, description, schema, strict } => {
                value.insert("type".into(), "function".into());
                value.insert("name".into(), name.as_str().into());
                put(&mut value, "description", description.as_deref());
                let nothing = || json!({"type": "object", "properties": {}});
                match schema {
                    Some(schema) => value.insert("parameters".into(), schema.clone()),
                    None if self.home => value.insert("parameters".into(), Value::Null),
                    None => value.insert("parameters".into(), nothing()),
                };
                // Here what is not said is strict, elsewhere it is not.
                let strict = self.strict(*strict, schema.as_ref(), "tools[].strict")?;
                let strict = if self.home { strict } else { Some(strict.unwrap_or(false)) };
                put(&mut value, "strict", strict);
            }
            ToolKind::Custom { name, description, format } => {
                value.insert("type".into(), "custom".into());
                value.insert("name".into(), name.as_str().into());
                put(&mut value, "description", description.as_deref());
                put(&mut value, "format", format.clone());
            }
            ToolKind::Native(native) if self.home => return Ok(Some(native.clone())),
            ToolKind::Native(native) => {
                let name = ["type", "name"].into_iter().find_map(|k| native.get(k).and_then(Value::as_str));
                let name = name.or_else(|| native.as_object()?.keys().next().map(String::as_str));
                self.losses.drop(format!("tools[].{}", name.unwrap_or("native")))?;
                return Ok(None);
            }
        }
        if tool.cache.is_some() {
            self.losses.drop("tools[].cache_control")?;
        }
        for (key, extra) in &tool.extras {
            if self.home {
                value.insert(key.clone(), extra.clone());
            } else {
                self.losses.drop(format!("tools[].{key}"))?;
            }
        }
        Ok(Some(value.into()))
    }

    /// What another dialect calls strict need not be that here: a schema is used all the same, and what is lost is named.
    fn strict(&mut self, strict: Option<bool>, schema: Option<&Value>, name: &str) -> Result<Option<bool>> {
        let ours = matches!(self.request.origin, Dialect::OpenAi | HOME);
        if ours || strict != Some(true) || schema.is_none_or(may_be_strict) {
            return Ok(strict);
        }
        self.losses.drop(name)?;
        Ok(Some(false))
    }

    fn text(&mut self) -> Result<()> {
        let mut text = Map::new();
        let format = match &self.request.format {
            Format::Text => None,
            Format::JsonObject => Some(json!({"type": "json_object"})),
            Format::JsonSchema { name, description, schema, strict } => {
                let mut format = Map::new();
                format.insert("type".into(), "json_schema".into());
                format.insert("name".into(), self.schema_name(name.as_deref()).into());
                put(&mut format, "description", description.as_deref());
                format.insert("schema".into(), schema.clone());
                let strict = self.strict(*strict, Some(schema), "strict")?;
                put(&mut format, "strict", strict);
                Some(format.into())
            }
        };
        put(&mut text, "format", format);
        put(&mut text, "verbosity", self.request.verbosity.as_deref());
        if !text.is_empty() {
            self.body.insert("text".into(), text.into());
        }
        Ok(())
    }

    /// A schema's name as this API allows it, and demands one.
    fn schema_name(&self, name: Option<&str>) -> String {
        let name = name.filter(|n| !n.is_empty()).unwrap_or(SCHEMA_NAME);
        if self.home {
            return name.to_owned();
        }
        let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
        name.chars().take(64).map(fit).collect()
    }

    fn sampling(&mut self) -> Result<()> {
        let request = self.request;
        if request.n.is_some_and(|n| n > 1) {
            return self.losses.refuse(self.name("n"), "the Responses API gives one answer");
        }
        let cap = self.output_cap()?;
        put(&mut self.body, "max_output_tokens", cap);
        for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
            match value {
                Some(_) if self.target.no_sampling => self.losses.drop(self.name(name))?,
                value => put(&mut self.body, name, value.clone()),
            }
        }
        let unknown = [
            ("top_k", request.top_k.is_some()),
            ("stop", !request.stop.is_empty()),
            ("frequency_penalty", request.frequency_penalty.is_some()),
            ("presence_penalty", request.presence_penalty.is_some()),
            ("seed", request.seed.is_some()),
        ];
        for (name, given) in unknown {
            if given {
                self.losses.drop(self.name(name))?;
            }
        }
        if let Some(top) = request.logprobs {
            self.include.push(LOGPROBS.into());
            put(&mut self.body, "top_logprobs", (top > 0).then_some(top));
        }
        if request.stream {
            self.body.insert("stream".into(), true.into());
        }
        put(&mut self.body, "user", request.user.as_deref());
        Ok(())
    }

    /// The smaller of the client's cap and the target's. A client of another dialect may ask for less than this API takes.
    fn output_cap(&mut self) -> Result<Option<u64>> {
        let limit = self.target.cap;
        let asked = self.request.max_output_tokens;
        let Some(cap) = asked.into_iter().chain(limit).min() else { return Ok(None) };
        if self.home || cap >= LEAST_OUTPUT || limit.is_some_and(|l| l < LEAST_OUTPUT) {
            return Ok(Some(cap));
        }
        self.losses.drop(self.name("max_tokens"))?;
        Ok(Some(LEAST_OUTPUT))
    }

    fn reasoning(&mut self) -> Result<()> {
        let mut reasoning = Map::new();
        let thinking = self.request.reasoning.as_ref();
        let cannot = self.target.capabilities.is_some_and(|c| !c.has(Capabilities::REASONING));
        let mut asked = false;
        if let Some(thinking) = thinking {
            let effort = effort(thinking);
            asked = effort != Some(Effort::None);
            // A model that cannot reason refuses to hear of it, and not reasoning is all that it does.
            if cannot && asked {
                self.losses.drop("reasoning")?;
                asked = false;
            }
            put(&mut reasoning, "effort", effort.filter(|_| !cannot).map(Effort::name));
            if asked && self.shows(thinking) {
                reasoning.insert("summary".into(), "auto".into());
            }
        }
        if !reasoning.is_empty() {
            self.body.insert("reasoning".into(), reasoning.into());
        }
        // Without it, what the model thought could not be brought back, as nothing is stored.
        if asked || self.carries_reasoning() {
            self.include.push(ENCRYPTED.into());
        }
        Ok(())
    }

    /// Whether the thoughts are to be seen. Where a client of these dialects turns reasoning on, they are, unless it says
    /// otherwise.
    fn shows(&self, thinking: &Thinking) -> bool {
        let habit = matches!(self.request.origin, Dialect::Anthropic | Dialect::Bedrock);
        thinking.show.unwrap_or(habit && thinking.enabled == Some(true))
    }

    fn carries_reasoning(&self) -> bool {
        let mut parts = self.request.messages.iter().flat_map(|m| &m.parts);
        parts.any(|p| {
            let ours = p.signature.as_ref().is_some_and(|s| s.dialect == HOME && !s.value.is_empty());
            ours && matches!(p.content, Content::Reasoning { .. })
        })
    }

    fn extras(&mut self) -> Result<()> {
        let request = self.request;
        for (key, value) in &request.extras {
            let shared = request.origin == Dialect::OpenAi && SHARED.contains(&key.as_str());
            if !self.home && !shared {
                self.losses.drop(key.as_str())?;
            } else if let ("include", Value::Array(wanted)) = (key.as_str(), value) {
                self.include.extend(wanted.iter().cloned());
            } else {
                self.put_at(key, value.clone());
            }
        }
        if !self.include.is_empty() {
            self.body.insert("include".into(), std::mem::take(&mut self.include).into());
        }
        // The clients of other dialects send the whole conversation; nobody would ever ask for what is stored.
        if !self.home && !self.body.contains_key("store") {
            self.body.insert("store".into(), false.into());
        }
        Ok(())
    }

    /// Puts a member back that was kept under its path.
    fn put_at(&mut self, path: &str, value: Value) {
        let mut parts = path.split('.');
        let mut at = &mut self.body;
        let mut name = parts.next().unwrap_or(path);
        for next in parts {
            let inner = at.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { return };
            (at, name) = (inner, next);
        }
        at.insert(name.to_owned(), value);
    }

    /// A parameter as the client's dialect calls it.
    fn name(&self, parameter: &'static str) -> &'static str {
        match (self.request.origin, parameter) {
            (Dialect::Responses, "max_tokens") => "max_output_tokens",
            (Dialect::Anthropic, "stop") => "stop_sequences",
            (Dialect::Gemini, "stop") => "generationConfig.stopSequences",
            (Dialect::Gemini, "n") => "generationConfig.candidateCount",
            (Dialect::Gemini, "max_tokens") => "generationConfig.maxOutputTokens",
            (Dialect::Gemini, "temperature") => "generationConfig.temperature",
            (Dialect::Gemini, "top_p") => "generationConfig.topP",
            (Dialect::Gemini, "top_k") => "generationConfig.topK",
            (Dialect::Gemini, "seed") => "generationConfig.seed",
            (Dialect::Gemini, "frequency_penalty") => "generationConfig.frequencyPenalty",
            (Dialect::Gemini, "presence_penalty") => "generationConfig.presencePenalty",
            (Dialect::Bedrock, "stop") => "inferenceConfig.stopSequences",
            (Dialect::Bedrock, "max_tokens") => "inferenceConfig.maxTokens",
            (Dialect::Bedrock, "temperature") => "inferenceConfig.temperature",
            (Dialect::Bedrock, "top_p") => "inferenceConfig.topP",
            (_, same) => same,
        }
    }
}

/// The effort that stands for what the client says; `None` leaves it to the model.
fn effort(thinking: &Thinking) -> Option<Effort> {
    if thinking.enabled == Some(false) {
        return Some(Effort::None);
    }
    // Not every model knows more than these of what a budget may stand for.
    let of_budget = |budget| Effort::of_budget(budget).clamp(Effort::Low, Effort::High);
    thinking.effort.or_else(|| thinking.budget_tokens.map(of_budget))
}

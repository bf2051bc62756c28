//! Requests, written: tools and settings.

use super::encode_request::Writer;
use super::merge;
use super::models::ThinkingBy;
use crate::chat::{Effort, Format, Thinking, Tool, ToolChoice, ToolKind};
use crate::dialect::Inexpressible;
use crate::dialect::names::Name;
use crate::dialect::wire::put;
use crate::registry::{Capabilities, Dialect};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// The most stop sequences that the API takes.
const MAX_STOPS: usize = 5;

/// Writes `tools`, `toolConfig` and `generationConfig`.
pub(super) fn write(w: &mut Writer<'_>, body: &mut Map<String, Value>) -> Result<(), Inexpressible> {
    let functions = w.tools(body)?;
    w.tool_choice(body, functions)?;
    let mut config = Map::new();
    w.sampling(&mut config)?;
    w.format(&mut config, functions)?;
    w.thinking(&mut config)?;
    put(body, "generationConfig", (!config.is_empty()).then_some(Value::Object(config)));
    let request = w.request;
    for (field, given) in [(w.name(Name::User), request.user.is_some()), ("verbosity", request.verbosity.is_some())] {
        if given {
            w.losses.drop(field)?;
        }
    }
    Ok(())
}

impl Writer<'_> {
    /// Writes the tools; returns whether there are functions among them.
    fn tools(&mut self, body: &mut Map<String, Value>) -> Result<bool, Inexpressible> {
        let mut functions = Vec::new();
        let mut tools = Vec::new();
        for tool in &self.request.tools {
            if tool.cache.is_some() {
                self.losses.drop("cache_control")?;
            }
            match &tool.kind {
                ToolKind::Function { name, description, schema, .. } => {
                    let mut declaration = Map::from_iter([("name".to_owned(), name.as_str().into())]);
                    put(&mut declaration, "description", description.as_deref());
                    put(&mut declaration, "parametersJsonSchema", schema.clone());
                    self.tool_extras(tool, &mut declaration)?;
                    if functions.is_empty() {
                        // Its place among the others.
                        tools.push(Value::Null);
                    }
                    functions.push(Value::Object(declaration));
                }
                ToolKind::Native(native) if self.home => tools.push(native.clone()),
                ToolKind::Native(native) => {
                    let kind = native.get("type").and_then(Value::as_str).unwrap_or("native");
                    self.losses.drop(format!("tools[].{kind}"))?;
                }
                // Its input is free text, and so would the model's call have to be.
                ToolKind::Custom { .. } => self.losses.drop("tools[].custom")?,
            }
        }
        let any = !functions.is_empty();
        if let Some(place) = tools.iter_mut().find(|tool| tool.is_null()) {
            *place = json!({"functionDeclarations": functions});
        }
        put(body, "tools", (!tools.is_empty()).then_some(tools));
        Ok(any)
    }

    fn tool_extras(&mut self, tool: &Tool, into: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        if self.home {
            merge(into, &tool.extras);
            return Ok(());
        }
        tool.extras.keys().try_for_each(|name| self.losses.drop(format!("tools[].{name}")))
    }

    fn tool_choice(&mut self, body: &mut Map<String, Value>, functions: bool) -> Result<(), Inexpressible> {
        let is_strict = |tool: &Tool| matches!(tool.kind, ToolKind::Function { strict: Some(true), .. });
        let strict = self.request.tools.iter().any(is_strict);
        let is_there = |wanted: &str| {
            let mut kinds = self.request.tools.iter().map(|tool| &tool.kind);
            kinds.any(|kind| matches!(kind, ToolKind::Function { name, .. } if name == wanted))
        };
        let config = match &self.request.tool_choice {
            // Calls that match their schemas, or text: what `strict` asks for.
            None | Some(ToolChoice::Auto) if functions && strict => json!({"mode": "VALIDATED"}),
            None => Value::Null,
            Some(ToolChoice::Native(native)) if self.home => native.clone(),
            Some(ToolChoice::Auto) if functions || self.home => json!({"mode": "AUTO"}),
            Some(ToolChoice::None) if functions || self.home => json!({"mode": "NONE"}),
            Some(ToolChoice::Auto | ToolChoice::None) => Value::Null,
            Some(ToolChoice::Required) if functions || self.home => json!({"mode": "ANY"}),
            Some(ToolChoice::Tool(name)) if is_there(name) || self.home => {
                json!({"mode": "ANY", "allowedFunctionNames": [name]})
            }
            Some(ToolChoice::Required | ToolChoice::Tool(_)) => {
                return self.losses.refuse("tool_choice", "it demands a tool that cannot be offered to this model");
            }
            Some(ToolChoice::Native(_)) => {
                return self.losses.refuse("tool_choice", "this form of it cannot be expressed for this model");
            }
        };
        if !config.is_null() {
            body.insert("toolConfig".into(), json!({"functionCallingConfig": config}));
        }
        if self.request.parallel_tools == Some(false) && functions {
            self.losses.drop(self.name(Name::ParallelTools))?;
        }
        Ok(())
    }

    fn sampling(&mut self, config: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        let request = self.request;
        let cap = self.target.cap;
        let most = request.max_output_tokens.map_or(cap, |asked| Some(cap.map_or(asked, |cap| asked.min(cap))));
        if most == Some(0) && !self.home {
            let why = "this model's API takes no request for an answer of no tokens";
            return self.losses.refuse(self.name(Name::MaxTokens), why);
        }
        put(config, "maxOutputTokens", most);
        let sampling = [
            ("temperature", "temperature", request.temperature.clone().map(Value::Number)),
            ("topP", "top_p", request.top_p.clone().map(Value::Number)),
            ("topK", "top_k", request.top_k.map(Value::from)),
        ];
        for (key, name, value) in sampling {
            match value {
                Some(_) if self.target.no_sampling => self.losses.drop(name)?,
                value => put(config, key, value),
            }
        }
        let penalties = [
            ("frequencyPenalty", "frequency_penalty", &request.frequency_penalty),
            ("presencePenalty", "presence_penalty", &request.presence_penalty),
        ];
        for (key, name, value) in penalties {
            match value {
                Some(_) if !self.habits.penalties && !self.home => self.losses.drop(name)?,
                value => put(config, key, value.clone().map(Value::Number)),
            }
        }
        if request.stop.len() > MAX_STOPS {
            let field = self.name(Name::Stop);
            return self.losses.refuse(field, format!("the model's API takes at most {MAX_STOPS} stop sequences"));
        }
        put(config, "stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone()));
        match request.seed {
            Some(seed) if i32::try_from(seed).is_err() => self.losses.drop("seed")?,
            seed => put(config, "seed", seed),
        }
        put(config, "candidateCount", request.n.filter(|n| *n > 1 || self.home));
        if let Some(top) = request.logprobs {
            put(config, "responseLogprobs", Some(true));
            put(config, "logprobs", (top > 0).then_some(top));
        }
        Ok(())
    }

    fn format(&mut self, config: &mut Map<String, Value>, functions: bool) -> Result<(), Inexpressible> {
        let schema = match &self.request.format {
            Format::Text => return Ok(()),
            Format::JsonObject => None,
            Format::JsonSchema { schema, description, .. } => {
                let mut schema = schema.clone();
                if let (Some(description), Value::Object(map)) = (description, &mut schema) {
                    map.entry("description").or_insert_with(|| description.as_str().into());
                }
                Some(schema)
            }
        };
        if functions && !self.habits.json_with_tools && !self.home {
            let why = "this model cannot be asked for JSON output and offered tools at once";
            return self.losses.refuse(self.name(Name::Format), why);
        }
        put(config, "responseMimeType", Some("application/json"));
        put(config, "responseJsonSchema", schema);
        Ok(())
    }

    fn thinking(&mut self, config: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        let Some(thinking) = &self.request.reasoning else { return Ok(()) };
        let unable = self.target.capabilities.is_some_and(|c| !c.has(Capabilities::REASONING));
        let mut wanted = match self.habits.thinking {
            _ if self.home => as_it_was(thinking),
            ThinkingBy::Nothing => return self.cannot_think(thinking),
            _ if unable => return self.cannot_think(thinking),
            ThinkingBy::Budget { off, least, most } => {
                by_budget(thinking, off, least..=most, config.get("maxOutputTokens").and_then(Value::as_u64))
            }
            ThinkingBy::Level { minimal } => by_level(thinking, minimal),
        };
        // Where a client of these dialects turns reasoning on, it sees the thoughts, unless it says otherwise.
        let habit = matches!(self.request.origin, Dialect::Anthropic | Dialect::Bedrock);
        let shown = (habit && thinking.enabled == Some(true)).then_some(true);
        put(&mut wanted, "includeThoughts", thinking.show.or(shown));
        put(config, "thinkingConfig", (!wanted.is_empty()).then_some(Value::Object(wanted)));
        Ok(())
    }

    /// Not to think is what it does anyway.
    fn cannot_think(&mut self, thinking: &Thinking) -> Result<(), Inexpressible> {
        if is_off(thinking) { Ok(()) } else { self.losses.drop(self.name(Name::Reasoning)) }
    }
}

fn is_off(thinking: &Thinking) -> bool {
    thinking.enabled == Some(false) || thinking.effort == Some(Effort::None) || thinking.budget_tokens == Some(0)
}

/// A Gemini client's own words.
fn as_it_was(thinking: &Thinking) -> Map<String, Value> {
    let mut out = Map::new();
    let budget = match thinking.enabled {
        Some(false) => Some(0.into()),
        Some(true) if thinking.budget_tokens.is_none() => Some((-1).into()),
        _ => thinking.budget_tokens.map(Value::from),
    };
    put(&mut out, "thinkingBudget", budget);
    put(&mut out, "thinkingLevel", thinking.effort.map(|effort| effort.name().to_ascii_uppercase()));
    out
}

/// A budget within the model's bounds; −1 is as much as it likes. The cap on output includes it, so that something must be
/// left for the answer: how much is the client's business where it states a budget.
fn by_budget(thinking: &Thinking, off: u64, bounds: RangeInclusive<u64>, cap: Option<u64>) -> Map<String, Value> {
    let left = |cap: u64| if thinking.budget_tokens.is_some() { 1 } else { cap / 4 };
    let room = cap.map_or(u64::MAX, |cap| cap.saturating_sub(left(cap)));
    let budget = if is_off(thinking) {
        Some(off.into())
    } else if let Some(tokens) = thinking.budget_tokens.or(thinking.effort.map(Effort::budget_tokens)) {
        Some(tokens.min(room).clamp(*bounds.start(), *bounds.end()).into())
    } else {
        (thinking.enabled == Some(true)).then(|| Value::from(-1))
    };
    let mut out = Map::new();
    put(&mut out, "thinkingBudget", budget);
    out
}

/// A level: these models always think, at the least a little.
fn by_level(thinking: &Thinking, minimal: bool) -> Map<String, Value> {
    let least = if minimal { "MINIMAL" } else { "LOW" };
    let effort = thinking.effort.or(thinking.budget_tokens.map(Effort::of_budget));
    let level = match effort {
        _ if is_off(thinking) => Some(least),
        Some(Effort::None | Effort::Minimal) => Some(least),
        Some(Effort::Low) => Some("LOW"),
        Some(Effort::Medium) => Some("MEDIUM"),
        Some(Effort::High | Effort::XHigh | Effort::Max) => Some("HIGH"),
        None => None,
    };
    let mut out = Map::new();
    put(&mut out, "thinkingLevel", level);
    out
}

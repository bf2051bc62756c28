//! Requests, for OpenAI and for whoever looks like it: [`Quirks`] say what may be written.

use super::{message, tools};
use crate::chat::{Effort, Format, Request, Thinking};
use crate::dialect::strictness::may_be_strict;
use crate::dialect::wire::put;
use crate::dialect::{Encoded, Inexpressible, Losses, Target};
use crate::registry::{Capabilities, Dialect, Quirks, ThinkingSwitch};
use serde_json::{Map, Value, json};

/// What the Responses API and this one call by the same name.
const SHARED_WITH_RESPONSES: [&str; 6] =
    ["metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"];

/// A request on its way.
pub(super) struct Writing<'a> {
    pub(super) request: &'a Request,
    pub(super) target: &'a Target<'a>,
    pub(super) losses: Losses,
    pub(super) body: Map<String, Value>,
    json_tool: Option<String>,
}

/// Writes a request.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    let losses = Losses::new(target.strict);
    let mut writing = Writing { request, target, losses, body: Map::new(), json_tool: None };
    writing.body.insert("model".into(), target.model.into());
    message::encode_all(&mut writing)?;
    tools::encode_all(&mut writing)?;
    writing.format()?;
    writing.sampling()?;
    writing.reasoning()?;
    writing.rest()?;
    let body = serde_json::to_vec(&writing.body).expect("a value of JSON has string keys and no fallible part");
    Ok(Encoded { body, dropped: writing.losses.into_names(), json_tool: writing.json_tool })
}

impl Writing<'_> {
    pub(super) fn quirks(&self) -> Quirks {
        self.target.quirks
    }

    /// Whether extras and native blocks are this dialect's own.
    pub(super) fn at_home(&self) -> bool {
        self.request.origin == Dialect::OpenAi
    }

    /// Writes a field, or names it as lost where the target does not take it.
    fn put_if(&mut self, taken: bool, key: &str, value: Option<impl Into<Value>>) -> Result<(), Inexpressible> {
        match value {
            Some(_) if !taken => self.losses.drop(key),
            value => {
                put(&mut self.body, key, value);
                Ok(())
            }
        }
    }

    fn format(&mut self) -> Result<(), Inexpressible> {
        let quirks = self.quirks();
        match &self.request.format {
            Format::Text => {}
            Format::JsonObject if quirks.json_object => {
                self.body.insert("response_format".into(), json!({"type": "json_object"}));
            }
            // Any object is what this schema says.
            Format::JsonObject if quirks.json_schema => {
                let schema =
                    json!({"type": "json_schema", "json_schema": {"name": "object", "schema": {"type": "object"}}});
                self.body.insert("response_format".into(), schema);
            }
            Format::JsonObject => {
                return self.losses.refuse("response_format", "the model's API has no mode for JSON output");
            }
            Format::JsonSchema { name, description, schema, strict } if quirks.json_schema => {
                let mut inner = Map::new();
                inner.insert("name".into(), format_name(name.as_deref()).into());
                put(&mut inner, "description", description.as_deref());
                inner.insert("schema".into(), schema.clone());
                let strict = self.strict(*strict, Some(schema), "strict")?;
                put(&mut inner, "strict", strict);
                let format = json!({"type": "json_schema", "json_schema": inner});
                self.body.insert("response_format".into(), format);
            }
            Format::JsonSchema { name, description, schema, .. } => {
                self.forced_tool(&format_name(name.as_deref()), description.as_deref(), schema)?;
            }
        }
        Ok(())
    }

    /// What another dialect calls strict need not be that here: a schema is used all the same, and what is lost is named.
    pub(super) fn strict(
        &mut self,
        strict: Option<bool>,
        schema: Option<&Value>,
        name: &str,
    ) -> Result<Option<bool>, Inexpressible> {
        let ours = matches!(self.request.origin, Dialect::OpenAi | Dialect::Responses);
        if ours || strict != Some(true) || schema.is_none_or(may_be_strict) {
            return Ok(strict);
        }
        self.losses.drop(name)?;
        Ok(Some(false))
    }

    /// JSON output as the arguments of a tool that must be called.
    fn forced_tool(&mut self, name: &str, description: Option<&str>, schema: &Value) -> Result<(), Inexpressible> {
        const FIELD: &str = "response_format";
        if !self.request.tools.is_empty() {
            let why =
                "the model's API has no JSON schema output, and the tools of the request leave no room for another way";
            return self.losses.refuse(FIELD, why);
        }
        let object = schema.get("type").is_some_and(|t| t == "object");
        let Some(choice) = tools::force(self, name, &[]).filter(|_| object) else {
            let why = "the model's API has no JSON schema output, and a forced tool cannot stand for it here";
            return self.losses.refuse(FIELD, why);
        };
        let mut function = Map::new();
        function.insert("name".into(), name.into());
        function.insert("description".into(), description.unwrap_or("Gives the answer.").into());
        function.insert("parameters".into(), schema.clone());
        self.body.insert("tools".into(), json!([{"type": "function", "function": function}]));
        self.body.insert("tool_choice".into(), choice);
        self.json_tool = Some(name.to_owned());
        Ok(())
    }

    fn sampling(&mut self) -> Result<(), Inexpressible> {
        let (request, quirks) = (self.request, self.quirks());
        let cap = if quirks.max_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
        let most = match (request.max_output_tokens, self.target.cap) {
            (Some(wanted), Some(cap)) => Some(wanted.min(cap)),
            (wanted, cap) => wanted.or(cap),
        };
        put(&mut self.body, cap, most);
        let sampling = !self.target.no_sampling;
        self.put_if(sampling, "temperature", request.temperature.clone().map(Value::Number))?;
        self.put_if(sampling, "top_p", request.top_p.clone().map(Value::Number))?;
        self.put_if(sampling && quirks.top_k, "top_k", request.top_k)?;
        if !request.stop.is_empty() {
            self.body.insert("stop".into(), request.stop.clone().into());
        }
        let penalty = |p: &Option<serde_json::Number>| p.clone().map(Value::Number);
        self.put_if(quirks.penalties, "frequency_penalty", penalty(&request.frequency_penalty))?;
        self.put_if(quirks.penalties, "presence_penalty", penalty(&request.presence_penalty))?;
        match quirks.seed {
            Some(name) => put(&mut self.body, name, request.seed),
            None => self.put_if(false, "seed", request.seed)?,
        }
        self.put_if(quirks.n, "n", request.n.filter(|n| *n > 1))?;
        if let Some(top) = request.logprobs {
            self.put_if(quirks.logprobs, "logprobs", Some(true))?;
            if quirks.logprobs {
                put(&mut self.body, "top_logprobs", Some(top).filter(|top| *top > 0));
            }
        }
        Ok(())
    }

    fn reasoning(&mut self) -> Result<(), Inexpressible> {
        let Some(thinking) = &self.request.reasoning else { return Ok(()) };
        let quirks = self.quirks();
        if self.target.capabilities.is_some_and(|c| !c.has(Capabilities::REASONING)) {
            // A model that cannot reason does as it is told where it is told not to.
            return if is_off(thinking) { Ok(()) } else { self.losses.drop("reasoning") };
        }
        match quirks.thinking {
            ThinkingSwitch::Absent => {}
            ThinkingSwitch::Kind => {
                if let Some(on) = is_on(thinking) {
                    let kind = if on { "enabled" } else { "disabled" };
                    self.body.insert("thinking".into(), json!({"type": kind}));
                }
            }
            ThinkingSwitch::Flag => {
                put(&mut self.body, "enable_thinking", is_on(thinking));
                let budget = thinking.budget_tokens.or(thinking.effort.map(Effort::budget_tokens));
                put(&mut self.body, "thinking_budget", budget.filter(|b| *b > 0));
                return Ok(());
            }
            ThinkingSwitch::Object => {
                self.body.insert("reasoning".into(), reasoning_object(thinking));
                return Ok(());
            }
        }
        let Some(effort) = effort(thinking) else { return Ok(()) };
        let told = quirks.thinking == ThinkingSwitch::Kind;
        match effort {
            Effort::None if told => Ok(()),
            Effort::None => {
                self.put_if(quirks.reasoning_effort && quirks.wide_efforts, "reasoning_effort", Some("none"))
            }
            _ if !quirks.reasoning_effort && told && thinking.effort.is_none() => Ok(()),
            effort => {
                let effort = if quirks.wide_efforts { effort } else { effort.clamp(Effort::Low, Effort::High) };
                self.put_if(quirks.reasoning_effort, "reasoning_effort", Some(effort.name()))
            }
        }
    }

    fn rest(&mut self) -> Result<(), Inexpressible> {
        let (request, quirks) = (self.request, self.quirks());
        self.put_if(quirks.verbosity, "verbosity", request.verbosity.as_deref())?;
        self.put_if(quirks.user, "user", request.user.as_deref())?;
        let mut options = None;
        for (name, value) in &request.extras {
            let crosses = request.origin == Dialect::Responses
                && quirks.account_fields
                && SHARED_WITH_RESPONSES.contains(&name.as_str());
            if !self.at_home() && !crosses {
                self.losses.drop(name.as_str())?;
            } else if name == "stream_options" {
                options = value.as_object().cloned();
            } else {
                self.body.insert(name.clone(), value.clone());
            }
        }
        if request.stream {
            self.body.insert("stream".into(), true.into());
            if quirks.stream_options {
                // The gateway wants usage whether or not the client does.
                let mut options = options.unwrap_or_default();
                options.insert("include_usage".into(), true.into());
                self.body.insert("stream_options".into(), options.into());
            }
        }
        Ok(())
    }
}

/// A name of a format as OpenAI allows it.
fn format_name(name: Option<&str>) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    name.filter(|n| !n.is_empty()).unwrap_or("answer").chars().take(64).map(fit).collect()
}

/// Whether it asks for no reasoning at all.
fn is_off(thinking: &Thinking) -> bool {
    is_on(thinking) == Some(false)
}

fn is_on(thinking: &Thinking) -> Option<bool> {
    let by_effort = thinking.effort.map(|e| e != Effort::None);
    thinking.enabled.or(by_effort).or(thinking.budget_tokens.map(|b| b > 0))
}

/// As an effort. A budget becomes one that every model knows, and reasoning without a measure the usual one.
fn effort(thinking: &Thinking) -> Option<Effort> {
    if is_off(thinking) {
        return Some(Effort::None);
    }
    let of_budget = || thinking.budget_tokens.map(|b| Effort::of_budget(b).clamp(Effort::Low, Effort::High));
    thinking.effort.or_else(of_budget).or(thinking.enabled.map(|_| Effort::Medium))
}

fn reasoning_object(thinking: &Thinking) -> Value {
    let mut object = Map::new();
    match (thinking.effort, thinking.budget_tokens) {
        // It takes one of them.
        (Some(effort), _) => put(&mut object, "effort", Some(effort.name())),
        (None, Some(budget)) if budget > 0 => put(&mut object, "max_tokens", Some(budget)),
        _ => put(&mut object, "enabled", is_on(thinking)),
    }
    put(&mut object, "exclude", thinking.show.map(|show| !show));
    object.into()
}

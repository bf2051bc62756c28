//! Requests.
//!
//! What is normalised on the way: `max_tokens` and `max_completion_tokens` are one cap (the latter wins), a single `stop`
//! is a list of one, `functions` and `function_call` become tools, a content of one plain text is a string, nulls are
//! absent. `thinking` (Anthropic's field, which several look-alikes took over) and `reasoning` (OpenRouter's) count as
//! what the client says about reasoning.

use super::{message, tools};
use crate::chat::{Effort, Extras, Format, Request, Thinking};
use crate::dialect::Malformed;
use crate::dialect::wire::{Fields, kind};
use crate::registry::Dialect;
use serde_json::Value;

/// Reads a request.
pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Fields::parse(body)?;
    let mut request = Request::new(Dialect::OpenAi, fields.required_string("model")?);
    let messages = fields.objects("messages")?;
    if messages.is_empty() {
        return Err(Malformed::new("messages", "needs at least one message"));
    }
    request.messages = message::decode_all(messages)?;
    request.tools = tools::decode_all(&mut fields)?;
    request.tool_choice = tools::decode_choice(&mut fields)?;
    request.parallel_tools = fields.boolean("parallel_tool_calls")?;
    request.format = format(&mut fields)?;
    let older = fields.count("max_tokens")?;
    request.max_output_tokens = fields.count("max_completion_tokens")?.or(older);
    request.temperature = fields.number("temperature")?;
    request.top_p = fields.number("top_p")?;
    request.top_k = fields.count("top_k")?;
    request.stop = stop(&mut fields)?;
    request.frequency_penalty = fields.number("frequency_penalty")?;
    request.presence_penalty = fields.number("presence_penalty")?;
    request.seed = match fields.number("seed")? {
        Some(seed) => Some(seed.as_i64().ok_or_else(|| fields.wrong("seed", "must be a whole number"))?),
        None => None,
    };
    request.n = match fields.count("n")? {
        Some(0) => return Err(fields.wrong("n", "must be at least 1")),
        Some(n) => Some(u32::try_from(n).map_err(|_| fields.wrong("n", "is too large"))?),
        None => None,
    };
    request.logprobs = logprobs(&mut fields)?;
    request.reasoning = reasoning(&mut fields)?;
    request.verbosity = fields.string("verbosity")?;
    request.user = fields.string("user")?;
    request.stream = fields.boolean("stream")?.unwrap_or(false);
    if let Some(mut options) = fields.object("stream_options")? {
        request.include_usage = options.boolean("include_usage")?.unwrap_or(false);
        let rest = present(options.rest());
        if !rest.is_empty() {
            request.extras.insert("stream_options".into(), rest.into());
        }
    }
    request.extras.extend(present(fields.rest()));
    Ok(request)
}

/// Without the nulls.
pub(super) fn present(mut extras: Extras) -> Extras {
    extras.retain(|_, value| !value.is_null());
    extras
}

fn format(fields: &mut Fields) -> Result<Format, Malformed> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(Format::Text) };
    match format.required_string("type")?.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => {
            let mut schema = format.object("json_schema")?.ok_or_else(|| format.wrong("json_schema", "is required"))?;
            Ok(Format::JsonSchema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                strict: schema.boolean("strict")?,
                // OpenAI takes a format without a schema as one that allows anything.
                schema: schema.object("schema")?.map_or_else(|| Value::Object(Extras::new()), Fields::into_value),
            })
        }
        other => Err(format.wrong("type", format!("must be text, json_object or json_schema, not `{other}`"))),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Malformed> {
    let at = fields.at("stop");
    let text = |value: Value| match value {
        Value::String(s) => Ok(s),
        other => Err(Malformed::new(at.as_str(), format!("must hold strings, not {}", kind(&other)))),
    };
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.into_iter().map(text).collect(),
        Some(one) => Ok(vec![text(one)?]),
    }
}

fn logprobs(fields: &mut Fields) -> Result<Option<u32>, Malformed> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    match (wanted, fields.count("top_logprobs")?) {
        (true, top) => Ok(Some(u32::try_from(top.unwrap_or(0)).unwrap_or(u32::MAX))),
        (false, Some(1..)) => Err(fields.wrong("top_logprobs", "needs `logprobs: true`")),
        (false, _) => Ok(None),
    }
}

/// `reasoning_effort`, and what look-alikes have beside or instead of it.
fn reasoning(fields: &mut Fields) -> Result<Option<Thinking>, Malformed> {
    let mut thinking = Thinking::default();
    if let Some(mut object) = fields.object("reasoning")? {
        thinking.enabled = object.boolean("enabled")?;
        thinking.effort = effort(&mut object, "effort")?;
        thinking.budget_tokens = object.count("max_tokens")?;
        thinking.show = object.boolean("exclude")?.map(|exclude| !exclude);
    }
    if let Some(mut object) = fields.object("thinking")? {
        let kind = object.required_string("type")?;
        thinking.enabled = match kind.as_str() {
            "enabled" | "adaptive" => Some(true),
            "disabled" => Some(false),
            _ => return Err(object.wrong("type", format!("must be enabled, adaptive or disabled, not `{kind}`"))),
        };
        thinking.budget_tokens = object.count("budget_tokens")?.or(thinking.budget_tokens);
    }
    thinking.effort = effort(fields, "reasoning_effort")?.or(thinking.effort);
    Ok(Some(thinking).filter(|t| *t != Thinking::default()))
}

fn effort(fields: &mut Fields, key: &str) -> Result<Option<Effort>, Malformed> {
    let Some(name) = fields.string(key)? else { return Ok(None) };
    let names = || Effort::ALL.map(Effort::name).join(", ");
    Effort::from_name(&name)
        .map(Some)
        .ok_or_else(|| fields.wrong(key, format!("must be one of {}, not `{name}`", names())))
}

//! Whole answers.

use serde_json::{Map, Value, json};

use super::block::{self, Place, read_blocks};
use super::parse_error;
use super::shared::{
    Counts, HOME, Said, call_token, finish_named, media_text, stop_reason, usage_value, write_citation,
};
use crate::chat::{Choice, Content, Finish, Part, Response};
use crate::dialect::wire::{Fields, Malformed, put};
use crate::dialect::{BadCompletion, ReplyContext};
use crate::json::{self, Cursor};
use crate::registry::Usage;

impl From<Malformed> for BadCompletion {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Reads a whole answer.
pub fn decode_response(body: &[u8]) -> Result<Response, BadCompletion> {
    check(body).map_err(BadCompletion::Json)?;
    let mut top = Fields::parse(body)?;
    if top.peek("type").is_some_and(|t| t == "error") || top.peek("error").is_some_and(|e| !e.is_null()) {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    let Some(content) = top.array("content")? else { return Err(BadCompletion::NoChoices) };
    let parts = read_blocks(content, "content", Place::Answer)?;
    let mut choice = Choice { parts, ..Choice::default() };
    let stop_sequence = top.string("stop_sequence")?;
    if let Some(reason) = top.string("stop_reason")? {
        let finish = Finish { reason: finish_named(reason.as_bytes()), stop_sequence };
        // A name that the canonical form merges with others.
        if stop_reason(Some(&finish), Said::default()) != reason {
            choice.extras.insert("stop_reason".into(), reason.into());
        }
        choice.finish = Some(finish);
    }
    let id = top.string("id")?.unwrap_or_default();
    let model = top.string("model")?.unwrap_or_default();
    let mut extras = Map::new();
    let usage = match top.object("usage")? {
        Some(mut usage) => {
            let counts = read_usage(&mut usage)?;
            let rest = usage.rest();
            if !rest.is_empty() {
                extras.insert("usage".into(), rest.into());
            }
            counts
        }
        None => None,
    };
    for known in ["type", "role"] {
        top.take(known);
    }
    extras.extend(top.rest());
    Ok(Response { origin: HOME, id, model, created: None, choices: vec![choice], usage, extras })
}

/// That the text is JSON, with the error's place.
fn check(body: &[u8]) -> Result<(), json::Error> {
    let mut c = Cursor::new(body)?;
    c.object(|c, _| c.skip())?;
    c.finish()
}

fn read_usage(usage: &mut Fields) -> Result<Option<Usage>, Malformed> {
    let mut counts = Counts {
        input: usage.count("input_tokens")?,
        output: usage.count("output_tokens")?,
        cache_read: usage.count("cache_read_input_tokens")?,
        cache_write: usage.count("cache_creation_input_tokens")?,
        thinking: None,
    };
    if let Some(mut details) = usage.object("output_tokens_details")? {
        counts.thinking = details.count("thinking_tokens")?;
    }
    Ok(counts.usage())
}

/// Writes a whole answer: the first, where there are several, since this API gives one.
pub fn encode_response(response: &Response, context: &ReplyContext) -> Vec<u8> {
    let home = response.origin == HOME;
    let choice = response.choices.first().cloned().unwrap_or_default();
    let said = Said {
        calls: choice.parts.iter().any(|p| matches!(p.content, Content::ToolCall(_))),
        refusal: choice.parts.iter().any(|p| matches!(p.content, Content::Refusal(_))),
    };
    let own_reason = choice.extras.get("stop_reason").filter(|_| home);
    let reason = own_reason.cloned().unwrap_or_else(|| stop_reason(choice.finish.as_ref(), said).into());
    let id = if response.id.is_empty() { format!("msg_{}", context.id) } else { response.id.clone() };
    let model = if response.model.is_empty() { &context.model } else { &response.model };
    let mut usage = usage_value(&response.usage.unwrap_or_default());
    let mut body = block::map(json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": choice.parts.iter().flat_map(|p| answer_blocks(p, home)).collect::<Vec<_>>(),
        "stop_reason": reason,
        "stop_sequence": choice.finish.as_ref().and_then(|f| f.stop_sequence.as_deref()),
    }));
    if let Some(Value::Object(more)) = response.extras.get("usage").filter(|_| home) {
        usage.extend(more.clone());
    }
    body.insert("usage".into(), usage.into());
    if home {
        response.extras.iter().filter(|(k, _)| *k != "usage").for_each(|(k, v)| put(&mut body, k, Some(v.clone())));
    }
    Value::Object(body).to_string().into_bytes()
}

/// The blocks of one part; none for what an answer of this API cannot hold.
fn answer_blocks(part: &Part, home: bool) -> Vec<Value> {
    let block = match &part.content {
        Content::Text { text, citations } if !home => {
            let text = (!text.is_empty()).then(|| block::text(text, citations, write_citation).into());
            // It has no place in a block of text: empty thoughts carry it, as in streams.
            let signature = part.signature.as_ref().map(|s| block::thinking("", Some(s), false).into());
            return text.into_iter().chain(signature).collect();
        }
        Content::Text { text, citations } => block::text(text, citations, write_citation),
        Content::Refusal(text) => block::text(text, &[], |_| None),
        Content::Reasoning { text, redacted, .. } => block::thinking(text, part.signature.as_ref(), *redacted),
        Content::ToolCall(call) => {
            let call = block::tool_use(&call.id, &call.name, input(&call.arguments, call.custom));
            let token = part.signature.as_ref().map(call_token);
            let before = token.map(|token| json!({"type": "redacted_thinking", "data": token}));
            return before.into_iter().chain([block::finish(call, part, home)]).collect();
        }
        Content::Media(media) => block::text(&media_text(media), &[], |_| None),
        Content::Native(native) if home => return vec![native.clone()],
        Content::Native(_) | Content::ToolResult(_) => return Vec::new(),
    };
    vec![block::finish(block, part, home)]
}

/// A call's input, an object wherever the model wrote one.
fn input(arguments: &str, custom: bool) -> Value {
    if custom {
        return json!({"input": arguments});
    }
    if arguments.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| json!({"arguments": arguments}))
}

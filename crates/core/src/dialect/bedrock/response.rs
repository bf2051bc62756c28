//! Whole answers, read and written.

use serde_json::{Map, Value, json};

use super::encode_parts::{arguments, spoken, tool_id};
use super::media::{block_name, format_of};
use super::{Counts, blocks, finish_name, finish_named, parse_error};
use crate::chat::{
    Choice, Citation, Content, Finish, FinishReason, Media, Part, Response, Signature, Source, ToolCall,
};
use crate::dialect::wire::{Fields, Malformed};
use crate::dialect::{BadCompletion, ReplyContext};
use crate::json::{self, Cursor};
use crate::registry::{Dialect, Usage};

/// The key of a choice's extras under which a reason rides along that ours does not tell apart.
const STOP_REASON: &str = "stopReason";

/// Reads a whole answer.
pub fn decode_response(body: &[u8]) -> Result<Response, BadCompletion> {
    let whole = || {
        let mut c = Cursor::new(body)?;
        c.object(|c, _| c.skip())?;
        c.finish()
    };
    whole().map_err(|e: json::Error| BadCompletion::Json(e))?;
    let fields = Fields::parse(body).map_err(BadCompletion::Malformed)?;
    if !fields.peek("output").is_some_and(Value::is_object) {
        return Err(no_answer(body, ["message", "Message", "__type", "error", "Output"].map(|key| fields.peek(key))));
    }
    answer(fields).map_err(BadCompletion::Malformed)
}

/// An error under a success status, or something else without an answer.
fn no_answer(body: &[u8], signs: [Option<&Value>; 5]) -> BadCompletion {
    if signs.into_iter().flatten().any(|sign| !sign.is_null()) {
        return BadCompletion::Error(Box::new(parse_error(None, body)));
    }
    BadCompletion::NoChoices
}

fn answer(mut fields: Fields) -> Result<Response, Malformed> {
    let message = fields.object("output")?.map(|mut output| output.object("message")).transpose()?.flatten();
    let Some(mut message) = message else { return Err(fields.wrong("output.message", "is required")) };
    match message.string("role")?.as_deref() {
        None | Some("assistant") => {}
        Some(other) => return Err(message.wrong("role", format!("must be `assistant`, not `{other}`"))),
    }
    let at = message.at("content");
    let parts = blocks::read(message.array("content")?.unwrap_or_default(), &at)?;
    let mut extras = message.rest();
    let finish = fields.string(STOP_REASON)?.map(|name| {
        let reason = finish_named(&name);
        let stop_sequence = stop_sequence(fields.peek("additionalModelResponseFields"));
        if finish_name(reason, stop_sequence.is_some()) != name {
            extras.insert(STOP_REASON.into(), name.into());
        }
        Finish { reason, stop_sequence }
    });
    let usage = fields.object("usage")?.map(read_usage).transpose()?.flatten();
    let routed = fields.peek("trace").and_then(|trace| trace["promptRouter"]["invokedModelId"].as_str());
    Ok(Response {
        origin: Dialect::Bedrock,
        id: String::new(),
        // Only a router says which model it was.
        model: routed.unwrap_or_default().to_owned(),
        created: None,
        choices: vec![Choice { parts, finish, logprobs: Vec::new(), extras }],
        usage,
        extras: fields.rest(),
    })
}

/// The sequence that the model met, where it was asked to say so.
pub(super) fn stop_sequence(fields: Option<&Value>) -> Option<String> {
    let fields = fields?;
    // By its name, or by the pointer that asked for it.
    let value = fields.get("stop_sequence").or_else(|| fields.get("/stop_sequence"))?;
    value.as_str().map(str::to_owned)
}

/// A `usage` object; `None` without counts.
pub(super) fn read_usage(mut fields: Fields) -> Result<Option<Usage>, Malformed> {
    let counts = Counts {
        input: fields.count("inputTokens")?,
        output: fields.count("outputTokens")?,
        cache_read: fields.count("cacheReadInputTokens")?.unwrap_or(0),
        cache_write: fields.count("cacheWriteInputTokens")?.unwrap_or(0),
    };
    Ok(counts.usage())
}

/// Writes a whole answer: the first choice of it. An id and a model have no place here.
pub fn encode_response(response: &Response, _context: &ReplyContext) -> Vec<u8> {
    let home = response.origin == Dialect::Bedrock;
    let mut body = if home { response.extras.clone() } else { Map::new() };
    let nothing = Choice::default();
    let choice = response.choices.first().unwrap_or(&nothing);
    let content: Vec<Value> = choice.parts.iter().filter_map(|part| block(part, home)).collect();
    let mut message = if home { choice.extras.clone() } else { Map::new() };
    let stop_reason = message.shift_remove(STOP_REASON);
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), content.into());
    body.insert("output".into(), json!({"message": message}));
    let stop_sequence = choice.finish.as_ref().and_then(|finish| finish.stop_sequence.as_deref());
    let reason = choice.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    let name = stop_reason.unwrap_or_else(|| finish_name(reason, stop_sequence.is_some()).into());
    body.insert(STOP_REASON.into(), name);
    if let Some(sequence) = stop_sequence
        && !home
    {
        body.insert("additionalModelResponseFields".into(), json!({"stop_sequence": sequence}));
    }
    body.insert("usage".into(), usage(&response.usage.unwrap_or_default()));
    body.entry("metrics").or_insert_with(|| json!({"latencyMs": 0}));
    Value::Object(body).to_string().into_bytes()
}

/// Counts in Bedrock's convention: the cache beside the input.
pub(super) fn usage(usage: &Usage) -> Value {
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    json!({
        "inputTokens": usage.input_tokens.saturating_sub(cached),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    })
}

/// The block for a part of an answer; `None` for what has no equal.
fn block(part: &Part, home: bool) -> Option<Value> {
    let extras = if home { part.extras.clone() } else { Map::new() };
    Some(match &part.content {
        Content::Text { text, citations } if !citations.is_empty() => {
            let mut inner = extras;
            inner.insert("content".into(), json!([{"text": text}]));
            inner.insert("citations".into(), citations.iter().map(citation).collect());
            json!({"citationsContent": inner})
        }
        Content::Text { text, .. } | Content::Refusal(text) => {
            if !home && !spoken(text) {
                return None;
            }
            json!({"text": text})
        }
        Content::Media(media) => self::media(media, extras)?,
        // What another dialect encrypted is no base64: it travels as a signature.
        Content::Reasoning { redacted: true, .. } if part.signature.as_ref()?.dialect == Dialect::Bedrock => {
            json!({"reasoningContent": {"redactedContent": token(part.signature.as_ref()?)}})
        }
        Content::Reasoning { text, .. } => {
            let mut inner = extras;
            inner.insert("text".into(), text.as_str().into());
            if let Some(signature) = &part.signature {
                inner.insert("signature".into(), token(signature).into());
            }
            json!({"reasoningContent": {"reasoningText": inner}})
        }
        Content::ToolCall(call) => tool_use(call, extras, home),
        Content::Native(value) if home => value.clone(),
        Content::ToolResult(_) | Content::Native(_) => return None,
    })
}

/// A signature as it travels here.
pub(super) fn token(signature: &Signature) -> String {
    signature.token(Dialect::Bedrock)
}

fn tool_use(call: &ToolCall, mut inner: Map<String, Value>, home: bool) -> Value {
    // Whatever it is that is no object, the client sees it.
    let input = arguments(&call.arguments).filter(|_| !call.custom);
    inner.insert("toolUseId".into(), tool_id(&call.id, home).into());
    inner.insert("name".into(), call.name.as_str().into());
    inner.insert("input".into(), input.unwrap_or_else(|| json!({"input": call.arguments})));
    json!({"toolUse": inner})
}

fn media(media: &Media, mut inner: Map<String, Value>) -> Option<Value> {
    let Source::Data { mime, base64 } = &media.source else { return None };
    inner.insert("format".into(), format_of(media.kind, mime)?.into());
    if let Some(name) = &media.name {
        inner.insert("name".into(), name.as_str().into());
    }
    inner.insert("source".into(), json!({"bytes": base64}));
    Some(json!({block_name(media.kind): inner}))
}

/// A source as Bedrock writes it.
pub(super) fn citation(citation: &Citation) -> Value {
    if citation.origin == Dialect::Bedrock {
        return citation.native.clone();
    }
    let mut out = Map::new();
    if let Some(title) = &citation.title {
        out.insert("title".into(), title.as_str().into());
    }
    if let Some(quote) = &citation.quote {
        out.insert("sourceContent".into(), json!([{"text": quote}]));
    }
    if let Some(url) = &citation.url {
        out.insert("location".into(), json!({"web": {"url": url}}));
    }
    Value::Object(out)
}

//! Whole answers, read and written.

use super::grounding::{self, Spoken};
use super::parts::{self, Ids, id_base, inner, object, objects};
use super::{
    Counts, encode_request, fault, finish_name, finish_named, is_fault, logprobs, merge, nest, usage_metadata,
};
use crate::chat::{Choice, Content, Extras, Finish, FinishReason, Part, Response};
use crate::dialect::wire::{Fields, put};
use crate::dialect::{BadCompletion, Malformed, ReplyContext};
use crate::json::Cursor;
use crate::registry::{Dialect, Usage};
use serde_json::{Map, Value, json};

/// Reads a whole answer.
pub fn decode_response(body: &[u8]) -> Result<Response, BadCompletion> {
    let top = object(read_object(body)?, "").map_err(BadCompletion::Malformed)?;
    response(top, body).map_err(|unusable| unusable.0)
}

/// Why an answer cannot be used.
struct Unusable(BadCompletion);

impl From<Malformed> for Unusable {
    fn from(malformed: Malformed) -> Self {
        Self(BadCompletion::Malformed(malformed))
    }
}

fn response(mut top: Fields, body: &[u8]) -> Result<Response, Unusable> {
    let id = top.string("responseId")?.unwrap_or_default();
    let model = top.string("modelVersion")?.unwrap_or_default();
    let created = top.peek("createTime").and_then(Value::as_str).and_then(seconds);
    let mut extras = Extras::new();
    let usage = take_usage(&mut top, &mut extras)?;
    let blocked = is_blocked(&top);
    let mut ids = Ids::new(id_base(&id, body));
    let mut choices = Vec::new();
    for candidate in objects(&mut top, "candidates")? {
        choices.push(choice(candidate, &mut ids)?);
    }
    choices.sort_by_key(|(index, _)| *index);
    let mut choices: Vec<_> = choices.into_iter().map(|(_, choice)| choice).collect();
    if choices.is_empty() {
        if !blocked {
            return Err(Unusable(BadCompletion::NoChoices));
        }
        // The prompt itself was refused: no answer was begun.
        choices.push(Choice { finish: Some(FinishReason::ContentFilter.into()), ..Choice::default() });
    }
    let mut rest = top.rest();
    rest.append(&mut extras);
    Ok(Response { origin: Dialect::Gemini, id, model, created, choices, usage, extras: rest })
}

/// The body as a value; errors under a success status are found first.
fn read_object(body: &[u8]) -> Result<Value, BadCompletion> {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        // Our own reader says where; what only the other refuses is malformed.
        Err(e) => {
            let whole = Cursor::new(body).and_then(|mut c| c.skip().and_then(|()| c.finish()));
            whole.map_err(BadCompletion::Json)?;
            return Err(BadCompletion::Malformed(Malformed::new("", format!("not JSON: {e}"))));
        }
    };
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
    if first.get("error").is_some_and(|e| !e.is_null()) {
        return Err(BadCompletion::Error(Box::new(super::parse_error(None, body))));
    }
    Ok(value)
}

/// Seconds since the epoch of a timestamp.
pub(super) fn seconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second())
}

/// Whether the prompt was refused.
pub(super) fn is_blocked(top: &Fields) -> bool {
    let reason = top.peek("promptFeedback").and_then(|f| f.get("blockReason")).and_then(Value::as_str);
    reason.is_some_and(|r| !matches!(r, "" | "BLOCKED_REASON_UNSPECIFIED" | "BLOCK_REASON_UNSPECIFIED"))
}

/// Takes the usage; its details ride along.
pub(super) fn take_usage(top: &mut Fields, extras: &mut Extras) -> Result<Option<Usage>, Malformed> {
    let Some(metadata) = inner(top, "usageMetadata")? else { return Ok(None) };
    let mut rest = metadata.rest();
    let usage = Counts::take(&mut rest).usage();
    nest(extras, "usageMetadata", rest);
    Ok(usage)
}

fn choice(mut candidate: Fields, ids: &mut Ids) -> Result<(u64, Choice), Unusable> {
    // The API leaves out a zero.
    let index = candidate.count("index")?.unwrap_or(0);
    let mut extras = Extras::new();
    let mut choice = Choice::default();
    if let Some(mut content) = inner(&mut candidate, "content")? {
        content.string("role")?;
        choice.parts = parts::take(&mut content, ids)?;
        nest(&mut extras, "content", content.rest());
    }
    choice.finish = finish(&mut candidate, &choice.parts, &mut extras)?;
    if let Some(result) = inner(&mut candidate, "logprobsResult")? {
        choice.logprobs = logprobs::read(result)?;
    }
    cite(&candidate, &mut choice.parts);
    choice.extras = candidate.rest();
    choice.extras.append(&mut extras);
    Ok((index, choice))
}

/// The reason's own name rides along where the canonical one does not say it.
fn finish(candidate: &mut Fields, parts: &[Part], extras: &mut Extras) -> Result<Option<Finish>, Unusable> {
    let Some(name) = candidate.string("finishReason")? else { return Ok(None) };
    if is_fault(name.as_bytes()) {
        let message = candidate.peek("finishMessage").and_then(Value::as_str);
        return Err(Unusable(BadCompletion::Error(Box::new(fault(&name, message)))));
    }
    let Some(reason) = finish_named(name.as_bytes()) else { return Ok(None) };
    if name != finish_name(reason) {
        extras.insert("finishReason".into(), name.into());
    }
    let calls = parts.iter().any(|p| matches!(p.content, Content::ToolCall(_)));
    Ok(Some(if reason == FinishReason::Stop && calls { FinishReason::ToolCalls } else { reason }.into()))
}

/// Hangs each source on the text that it is cited for, or on the last one.
fn cite(candidate: &Fields, parts: &mut [Part]) {
    let mut spoken = Spoken::default();
    for part in parts.iter() {
        spoken.starts.push(spoken.text.len());
        if let Content::Text { text, .. } = &part.content {
            spoken.text.push_str(text);
        }
    }
    let found = grounding::read(candidate.peek("groundingMetadata"), candidate.peek("citationMetadata"), &spoken);
    for citation in found {
        let mut before = 0;
        let mut at = None;
        for (i, part) in parts.iter().enumerate() {
            let Content::Text { text, .. } = &part.content else { continue };
            at = Some(i);
            before += text.chars().count() as u64;
            if citation.range.is_some_and(|(start, _)| start < before) {
                break;
            }
        }
        let holder = at.and_then(|i| parts.get_mut(i));
        if let Some(Part { content: Content::Text { citations, .. }, .. }) = holder {
            citations.push(citation);
        }
    }
}

/// Writes a whole answer.
pub fn encode_response(response: &Response, context: &ReplyContext) -> Vec<u8> {
    let home = response.origin == Dialect::Gemini;
    let mut top = Map::new();
    // A refused prompt has no candidates: its own words for it ride along.
    let refused = home && response.extras.contains_key("promptFeedback");
    let begun = |choice: &Choice| !refused || !choice.parts.is_empty() || !choice.extras.is_empty();
    let candidates: Vec<_> =
        response.choices.iter().enumerate().filter(|(_, c)| begun(c)).map(|(i, c)| candidate(i, c, home)).collect();
    put(&mut top, "candidates", (!candidates.is_empty()).then_some(candidates));
    put(&mut top, "usageMetadata", response.usage.as_ref().map(usage_metadata));
    let or = |given: &str, other: &str| if given.is_empty() { other.to_owned() } else { given.to_owned() };
    put(&mut top, "modelVersion", Some(or(&response.model, &context.model)).filter(|m| !m.is_empty()));
    put(&mut top, "responseId", Some(or(&response.id, &context.id)).filter(|id| !id.is_empty()));
    if home {
        merge(&mut top, &response.extras);
    }
    Value::Object(top).to_string().into_bytes()
}

fn candidate(index: usize, choice: &Choice, home: bool) -> Value {
    let mut candidate = Map::new();
    let parts: Vec<_> = choice.parts.iter().filter_map(|part| answer_part(part, home)).collect();
    candidate.insert("content".into(), json!({"parts": parts, "role": "model"}));
    let kept = choice.extras.get("finishReason").filter(|_| home).cloned();
    let finish = choice.finish.as_ref().map(|f| Value::from(finish_name(f.reason)));
    put(&mut candidate, "finishReason", kept.or(finish));
    candidate.insert("index".into(), index.into());
    if !choice.logprobs.is_empty() {
        candidate.insert("logprobsResult".into(), logprobs::write(&choice.logprobs));
    }
    if home {
        merge(&mut candidate, &choice.extras);
        return Value::Object(candidate);
    }
    let mut text = String::new();
    let mut cited = Vec::new();
    for part in &choice.parts {
        if let Content::Text { text: more, citations } = &part.content {
            text.push_str(more);
            cited.extend(citations.iter().cloned());
        }
    }
    grounding::write(&cited, &text, &mut candidate);
    Value::Object(candidate)
}

/// A part of an answer; `None` for what only another dialect knows.
fn answer_part(part: &Part, home: bool) -> Option<Value> {
    let mut object = Map::new();
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) => put(&mut object, "text", Some(text.as_str())),
        Content::Reasoning { text, .. } => {
            put(&mut object, "text", Some(text.as_str()));
            put(&mut object, "thought", (!text.is_empty()).then_some(true));
        }
        Content::Media(media) => {
            let (key, data) = encode_request::media_data(media, home)?;
            object.insert(key.to_owned(), data);
        }
        Content::ToolCall(call) => {
            let args = parts::parse_object(&call.arguments).unwrap_or_else(|| {
                // Free text has no other place in an object.
                let text = call.arguments.trim();
                let whole = (!text.is_empty()).then(|| ("input".to_owned(), call.arguments.as_str().into()));
                whole.into_iter().collect()
            });
            put(&mut object, "functionCall", Some(json!({"id": call.id, "name": call.name, "args": args})));
        }
        Content::Native(native) if home => return Some(native.clone()),
        Content::ToolResult(_) | Content::Native(_) => return None,
    }
    put(&mut object, "thoughtSignature", part.signature.as_ref().map(|s| s.token(Dialect::Gemini)));
    if home {
        merge(&mut object, &part.extras);
    }
    Some(Value::Object(object))
}

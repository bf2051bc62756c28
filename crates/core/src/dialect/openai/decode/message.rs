//! Messages: what the roles say, and the assistant's calls and thoughts in either direction.

use super::request::present;
use super::tools::cache_mark;
use crate::chat::{Content, Media, MediaKind, Message, Part, Role, Signature, ToolCall, ToolResult};
use crate::dialect::Malformed;
use crate::dialect::openai::{details, media};
use crate::dialect::wire::{Fields, kind};
use crate::registry::Dialect;
use serde_json::Value;

/// The roles that there are.
const ROLES: &str = "system, developer, user, assistant, tool or function";

/// Reads a conversation.
pub(super) fn decode_all(messages: Vec<Fields>) -> Result<Vec<Message>, Malformed> {
    let mut decoded: Vec<Message> = Vec::with_capacity(messages.len());
    for (i, mut fields) in messages.into_iter().enumerate() {
        let role = fields.required_string("role")?;
        let message = match role.as_str() {
            "system" => plain(fields, Role::System)?,
            "developer" => plain(fields, Role::Developer)?,
            "user" => plain(fields, Role::User)?,
            "assistant" => assistant(fields, i)?,
            "tool" => {
                let id = fields.required_string("tool_call_id")?;
                result(fields, id, &decoded)?
            }
            "function" => {
                let name = fields.peek("name").and_then(Value::as_str).unwrap_or("");
                let id = pending_function(&decoded, name)
                    .ok_or_else(|| fields.wrong("name", "answers no `function_call` before it"))?;
                result(fields, id, &decoded)?
            }
            _ => return Err(fields.wrong("role", format!("must be {ROLES}, not `{role}`"))),
        };
        decoded.push(message);
    }
    Ok(decoded)
}

fn plain(mut fields: Fields, role: Role) -> Result<Message, Malformed> {
    let mut parts = content(&mut fields)?.ok_or_else(|| fields.wrong("content", "is required"))?;
    mark_last(&mut parts, &mut fields)?;
    let name = fields.string("name")?;
    Ok(Message { role, parts, name, extras: present(fields.rest()) })
}

/// A mark on the message itself holds for its end.
fn mark_last(parts: &mut [Part], fields: &mut Fields) -> Result<(), Malformed> {
    if let (Some(mark), Some(last)) = (cache_mark(fields)?, parts.last_mut()) {
        last.cache.get_or_insert(mark);
    }
    Ok(())
}

fn assistant(mut fields: Fields, place: usize) -> Result<Message, Malformed> {
    let mut parts = spoken(&mut fields, &format!("call_function_{place}"))?;
    mark_last(&mut parts, &mut fields)?;
    let name = fields.string("name")?;
    Ok(Message { role: Role::Assistant, parts, name, extras: present(fields.rest()) })
}

/// What a model said, in a request's history or in an answer: thoughts, text, a refusal, pictures, calls. `made_up` is
/// the id of a `function_call`, which has none, and begins the ids of calls that lack one.
pub(super) fn spoken(fields: &mut Fields, made_up: &str) -> Result<Vec<Part>, Malformed> {
    let mut calls = calls(fields, made_up)?;
    let mut parts = thoughts(fields, &mut calls)?;
    let mut said = content(fields)?.unwrap_or_default();
    // Without words beside calls, an empty string is how some clients write null.
    if said.iter().all(is_empty_text) {
        said.clear();
    }
    if let Some(signature) = details::take_thought_signature(fields) {
        sign_text(&mut said, signature);
    }
    parts.append(&mut said);
    if let Some(refusal) = fields.string("refusal")?.filter(|r| !r.is_empty()) {
        parts.push(Content::Refusal(refusal).into());
    }
    for mut image in fields.objects("images")? {
        parts.push(Content::Media(media::decode_url(&mut image, "image_url", MediaKind::Image)?).into());
    }
    parts.append(&mut calls);
    Ok(parts)
}

fn is_empty_text(part: &Part) -> bool {
    matches!(&part.content, Content::Text { text, .. } if text.is_empty())
        && part.cache.is_none()
        && part.extras.is_empty()
}

/// The signature of an answer's text is that of its last text; Gemini also signs an empty one.
fn sign_text(said: &mut Vec<Part>, signature: Signature) {
    match said.iter_mut().rev().find(|p| matches!(p.content, Content::Text { .. })) {
        Some(part) => part.signature = Some(signature),
        None => said.push(Part { signature: Some(signature), ..Part::text("") }),
    }
}

/// Thoughts: signed ones come in a list; text beside it repeats them and counts only where the list has none.
fn thoughts(fields: &mut Fields, calls: &mut [Part]) -> Result<Vec<Part>, Malformed> {
    let mut parts = details::decode(fields.objects("reasoning_details")?, calls)?;
    let blocks = fields.objects("thinking_blocks")?;
    if parts.is_empty() {
        for block in blocks {
            parts.extend(thinking_block(block)?);
        }
    }
    let mut text = None;
    for key in ["reasoning_content", "reasoning", "reasoning_text"] {
        text = text.or(fields.string(key)?.filter(|t| !t.is_empty()));
    }
    let told = parts.iter().any(|p| matches!(&p.content, Content::Reasoning { text, .. } if !text.is_empty()));
    if let Some(text) = text.filter(|_| !told) {
        parts.insert(0, Content::Reasoning { text, summary: false, redacted: false }.into());
    }
    Ok(parts)
}

/// An Anthropic block, as LiteLLM's clients hold on to it.
fn thinking_block(mut fields: Fields) -> Result<Option<Part>, Malformed> {
    let kind = fields.required_string("type")?;
    let (text, token) = match kind.as_str() {
        "thinking" => (fields.string("thinking")?.unwrap_or_default(), fields.string("signature")?),
        "redacted_thinking" => (String::new(), Some(fields.required_string("data")?)),
        _ => return Ok(None),
    };
    let redacted = kind == "redacted_thinking";
    let mut part: Part = Content::Reasoning { text, summary: false, redacted }.into();
    let token = token.filter(|t| !t.is_empty());
    part.signature = token.map(|t| Signature::from_token(Dialect::Anthropic, &t));
    Ok(Some(part))
}

fn calls(fields: &mut Fields, made_up: &str) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    for (i, call) in fields.objects("tool_calls")?.into_iter().enumerate() {
        parts.push(call_part(call, || format!("{made_up}_{i}"))?);
    }
    if let Some(mut function) = fields.object("function_call")? {
        let name = function.required_string("name")?;
        let arguments = arguments(&mut function, "arguments")?;
        parts.push(Content::ToolCall(ToolCall { id: made_up.to_owned(), name, arguments, custom: false }).into());
    }
    Ok(parts)
}

fn call_part(mut fields: Fields, made_up: impl FnOnce() -> String) -> Result<Part, Malformed> {
    let id = fields.string("id")?.filter(|id| !id.is_empty()).unwrap_or_else(made_up);
    let custom = fields.peek("custom").is_some_and(Value::is_object);
    let kind = fields.string("type")?.unwrap_or_else(|| "function".into());
    let (key, text) = if custom { ("custom", "input") } else { ("function", "arguments") };
    if kind != key {
        return Err(fields.wrong("type", format!("must be function or custom and have that member, not `{kind}`")));
    }
    let mut inner = fields.object(key)?.ok_or_else(|| fields.wrong(key, "is required"))?;
    let name = inner.required_string("name")?;
    if name.is_empty() {
        return Err(inner.wrong("name", "is empty"));
    }
    let arguments = if custom { inner.string(text)?.unwrap_or_default() } else { arguments(&mut inner, text)? };
    let signature = details::take_thought_signature(&mut fields);
    // Only a place in a stream's list.
    fields.take("index");
    let extras = present(fields.rest());
    Ok(Part { signature, extras, ..Content::ToolCall(ToolCall { id, name, arguments, custom }).into() })
}

/// A string of JSON; some write the object itself.
fn arguments(fields: &mut Fields, key: &str) -> Result<String, Malformed> {
    match fields.take(key) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(value @ Value::Object(_)) => Ok(value.to_string()),
        Some(other) => Err(fields.wrong(key, format!("must be a string of JSON, not {}", kind(&other)))),
    }
}

fn result(mut fields: Fields, call_id: String, before: &[Message]) -> Result<Message, Malformed> {
    let parts = content(&mut fields)?.ok_or_else(|| fields.wrong("content", "is required"))?;
    let name = fields.string("name")?;
    let calls = before.iter().flat_map(|m| &m.parts).filter_map(|p| match &p.content {
        Content::ToolCall(call) => Some(call),
        _ => None,
    });
    let custom = calls.into_iter().any(|c| c.id == call_id && c.custom);
    let mut part: Part = Content::ToolResult(ToolResult { call_id, name, parts, is_error: false, custom }).into();
    part.cache = cache_mark(&mut fields)?;
    Ok(Message { extras: present(fields.rest()), ..Message::new(Role::User, vec![part]) })
}

/// The id that stands for the last `function_call` of this name without an answer.
fn pending_function(before: &[Message], name: &str) -> Option<String> {
    let parts = before.iter().flat_map(|m| &m.parts);
    let mut pending = None;
    for part in parts {
        match &part.content {
            Content::ToolCall(call) if call.name == name => pending = Some(call.id.as_str()),
            Content::ToolResult(result) if pending == Some(result.call_id.as_str()) => pending = None,
            _ => {}
        }
    }
    pending.map(str::to_owned)
}

/// Takes `content`: text or a list of parts; `None` where it is absent or null.
fn content(fields: &mut Fields) -> Result<Option<Vec<Part>>, Malformed> {
    match fields.peek("content") {
        None | Some(Value::Null) => {
            fields.take("content");
            Ok(None)
        }
        Some(Value::Array(_)) => fields.objects("content")?.into_iter().map(part).collect::<Result<_, _>>().map(Some),
        Some(Value::String(_)) => Ok(Some(vec![Part::text(fields.required_string("content")?)])),
        Some(other) => {
            Err(fields.wrong("content", format!("must be a string or an array of parts, not {}", kind(other))))
        }
    }
}

fn part(mut fields: Fields) -> Result<Part, Malformed> {
    let kind = fields.peek("type").and_then(Value::as_str).map(str::to_owned);
    let kind = kind.ok_or_else(|| fields.wrong("type", "is required, and a string"))?;
    let content = match kind.as_str() {
        "text" => Content::Text { text: fields.required_string("text")?, citations: Vec::new() },
        "image_url" => picture(media::decode_url(&mut fields, "image_url", MediaKind::Image)?),
        "video_url" => picture(media::decode_url(&mut fields, "video_url", MediaKind::Video)?),
        "input_audio" => picture(media::decode_audio(&mut fields)?),
        "file" => picture(media::decode_file(&mut fields)?),
        "refusal" => Content::Refusal(fields.required_string("refusal")?),
        "thinking" => Content::Reasoning { text: thinking_text(&mut fields)?, summary: false, redacted: false },
        _ => return Ok(Content::Native(fields.into_value()).into()),
    };
    fields.take("type");
    let cache = cache_mark(&mut fields)?;
    Ok(Part { content, cache, signature: None, extras: present(fields.rest()) })
}

fn picture(media: Media) -> Content {
    Content::Media(media)
}

/// Mistral's thoughts are a list of texts.
pub(super) fn thinking_text(fields: &mut Fields) -> Result<String, Malformed> {
    if let Some(Value::String(_)) = fields.peek("thinking") {
        return fields.required_string("thinking");
    }
    let mut text = String::new();
    for mut piece in fields.objects("thinking")? {
        text.push_str(&piece.string("text")?.unwrap_or_default());
    }
    Ok(text)
}

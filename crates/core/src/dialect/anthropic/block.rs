//! Content blocks to parts, and the parts that requests and answers write alike back to blocks.

use serde_json::{Map, Value, json};

use super::media;
use super::shared::{HOME, cache_control, read_citation, reunite_calls, signature};
use crate::chat::{CacheMark, Citation, Content, Media, MediaKind, Part, Signature, Source, ToolCall, ToolResult};
use crate::dialect::wire::{Fields, Malformed, Result, kind};
use crate::registry::Dialect;

/// Where blocks stand, which decides what they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    System,
    User,
    Assistant,
    ToolResult,
    Answer,
}

/// A `content` that is a string or a list of blocks.
pub(super) fn read_content(value: Value, path: &str, place: Place) -> Result<Vec<Part>> {
    match value {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(blocks) => read_blocks(blocks, path, place),
        other => Err(Malformed::new(path, format!("must be a string or an array of blocks, not {}", kind(&other)))),
    }
}

/// A list of blocks.
pub(super) fn read_blocks(blocks: Vec<Value>, path: &str, place: Place) -> Result<Vec<Part>> {
    let read = |(i, value)| read_block(Fields::of(value, format!("{path}[{i}]"))?, place);
    let mut parts = blocks.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    reunite_calls(&mut parts);
    Ok(parts)
}

fn read_block(mut block: Fields, place: Place) -> Result<Part> {
    let Some(Value::String(name)) = block.peek("type") else {
        return Err(block.wrong("type", "is required: a block says what it is"));
    };
    let name = name.clone();
    let allowed = match name.as_str() {
        "text" => true,
        _ if place == Place::System => false,
        "tool_use" => !matches!(place, Place::User | Place::ToolResult),
        "tool_result" => place == Place::User,
        "thinking" | "redacted_thinking" => matches!(place, Place::Assistant | Place::Answer),
        _ => true,
    };
    if !allowed {
        return Err(block.wrong("type", format!("`{name}` cannot stand here")));
    }
    let (content, signature) = match name.as_str() {
        "text" => (read_text(&mut block)?, None),
        "image" | "document" => match read_media(&mut block, &name)? {
            Some(media) => (Content::Media(media), None),
            None => return Ok(Content::Native(block.into_value()).into()),
        },
        "thinking" | "redacted_thinking" => read_thinking(&mut block, name == "redacted_thinking")?,
        "tool_use" => (Content::ToolCall(read_call(&mut block)?), None),
        "tool_result" => (Content::ToolResult(read_result(&mut block)?), None),
        SEARCH_RESULT => return Ok(read_search_result(block.into_value())),
        _ => return Ok(Content::Native(block.into_value()).into()),
    };
    block.take("type");
    let cache = read_cache(&mut block)?;
    Ok(Part { content, cache, signature, extras: block.rest() })
}

/// A block of what the client itself has found.
const SEARCH_RESULT: &str = "search_result";

/// What was found is text wherever it goes; the block rides along and returns whole.
fn read_search_result(block: Value) -> Part {
    let pieces = || block.get("content")?.as_array()?.iter().map(|b| b.get("text")?.as_str()).collect();
    let Some(pieces): Option<Vec<&str>> = pieces() else { return Content::Native(block).into() };
    let heads = ["title", "source"].into_iter().filter_map(|key| block.get(key)?.as_str());
    let text = heads.chain(pieces).collect::<Vec<_>>().join("\n");
    let cache = block.get("cache_control").filter(|c| c.is_object());
    let cache = cache.map(|c| CacheMark { ttl: c.get("ttl").and_then(Value::as_str).map(str::to_owned) });
    Part { cache, extras: Map::from_iter([(SEARCH_RESULT.to_owned(), block)]), ..Part::text(text) }
}

/// `cache_control`.
pub(super) fn read_cache(fields: &mut Fields) -> Result<Option<CacheMark>> {
    let Some(mut control) = fields.object("cache_control")? else { return Ok(None) };
    Ok(Some(CacheMark { ttl: control.string("ttl")? }))
}

fn read_text(block: &mut Fields) -> Result<Content> {
    let text = block.required_string("text")?;
    let citations = block.array("citations")?.unwrap_or_default().into_iter().map(read_citation).collect();
    Ok(Content::Text { text, citations })
}

fn read_media(block: &mut Fields, name: &str) -> Result<Option<Media>> {
    let kind = if name == "image" { MediaKind::Image } else { MediaKind::Document };
    let source = match media::chunks(block) {
        // How it is cut rides along.
        Some(text) if kind == MediaKind::Document => Source::Text(text),
        _ => match media::read(block, kind)? {
            Some(source) => source,
            None => return Ok(None),
        },
    };
    let name = if kind == MediaKind::Document { block.string("title")? } else { None };
    Ok(Some(Media { kind, source, name, detail: None }))
}

fn read_thinking(block: &mut Fields, redacted: bool) -> Result<(Content, Option<Signature>)> {
    let (text, token) = match redacted {
        true => (String::new(), block.required_string("data")?),
        false => (block.required_string("thinking")?, block.string("signature")?.unwrap_or_default()),
    };
    let signature = signature(&token);
    // OpenAI shows summaries of encrypted thoughts only.
    let summary = !redacted && signature.as_ref().is_some_and(|s| s.dialect == Dialect::Responses);
    Ok((Content::Reasoning { text, summary, redacted }, signature))
}

fn read_call(block: &mut Fields) -> Result<ToolCall> {
    let (id, name) = (named(block, "id")?, named(block, "name")?);
    let arguments = match block.require("input")? {
        input @ Value::Object(_) => input.to_string(),
        other => return Err(block.wrong("input", format!("must be an object, not {}", kind(&other)))),
    };
    Ok(ToolCall { id, name, arguments, custom: false })
}

fn named(block: &mut Fields, key: &str) -> Result<String> {
    let name = block.required_string(key)?;
    if name.is_empty() { Err(block.wrong(key, "must not be empty")) } else { Ok(name) }
}

fn read_result(block: &mut Fields) -> Result<ToolResult> {
    let call_id = named(block, "tool_use_id")?;
    let parts = match block.take("content") {
        Some(content) => read_content(content, &block.at("content"), Place::ToolResult)?,
        None => Vec::new(),
    };
    let is_error = block.boolean("is_error")?.unwrap_or(false);
    Ok(ToolResult { call_id, name: None, parts, is_error, custom: false })
}

/// A block of text. `write` says how a citation is written, if at all.
pub(super) fn text(
    text: &str,
    citations: &[Citation],
    write: impl Fn(&Citation) -> Option<Value>,
) -> Map<String, Value> {
    let mut block = map(json!({"type": "text", "text": text}));
    let citations: Vec<_> = citations.iter().filter_map(write).collect();
    if !citations.is_empty() {
        block.insert("citations".into(), citations.into());
    }
    block
}

/// A block of thoughts; whoever signed them.
pub(super) fn thinking(text: &str, signature: Option<&Signature>, redacted: bool) -> Map<String, Value> {
    let token = signature.map(|s| s.token(HOME)).unwrap_or_default();
    map(match redacted {
        true => json!({"type": "redacted_thinking", "data": token}),
        false => json!({"type": "thinking", "thinking": text, "signature": token}),
    })
}

/// A call.
pub(super) fn tool_use(id: &str, name: &str, input: Value) -> Map<String, Value> {
    map(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
}

/// Adds what a part carries beside its content.
pub(super) fn finish(mut block: Map<String, Value>, part: &Part, home: bool) -> Value {
    if let Some(mark) = &part.cache {
        block.insert("cache_control".into(), cache_control(mark));
    }
    if home {
        if let Some(found) = part.extras.get(SEARCH_RESULT).filter(|found| found["type"] == SEARCH_RESULT) {
            return found.clone();
        }
        block.extend(part.extras.clone());
    }
    block.into()
}

/// A list of blocks; one plain text alone is a string.
pub(super) fn content(mut blocks: Vec<Value>) -> Value {
    if let [block] = blocks.as_mut_slice()
        && block["type"] == "text"
        && block.as_object().is_some_and(|b| b.len() == 2)
    {
        return block["text"].take();
    }
    blocks.into()
}

/// The members of what is an object by construction.
pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

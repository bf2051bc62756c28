//! Reading content blocks, as requests and answers share them. A block is an object with one member that says what it is.

use serde_json::{Map, Value};

use super::media::{format_names, kind_named, mime_of, take_base64};
use crate::chat::{CacheMark, Citation, Content, Media, MediaKind, Part, Signature, Source, ToolCall, ToolResult};
use crate::dialect::wire::{Fields, Malformed, Result};
use crate::registry::Dialect;

/// The key of a part's extras under which a tool result's `json` rides along: its text is the part's.
pub(super) const JSON: &str = "json";

/// Reads the blocks of a turn, of a system prompt or of an answer. A cache point belongs to the block before it; one that
/// has none stays a block.
pub(super) fn read(items: Vec<Value>, at: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        match (cache_mark(&item), parts.last_mut()) {
            (Some(mark), Some(part)) if part.cache.is_none() => part.cache = Some(mark),
            _ => parts.push(part(item, &format!("{at}[{i}]"))?),
        }
    }
    Ok(parts)
}

/// What a `cachePoint` block says, where it says nothing that we have no word for.
pub(super) fn cache_mark(block: &Value) -> Option<CacheMark> {
    let point = block.get("cachePoint")?.as_object()?;
    if point.get("type")?.as_str()? != "default" || point.keys().any(|key| key != "type" && key != "ttl") {
        return None;
    }
    match point.get("ttl") {
        None => Some(CacheMark::default()),
        Some(ttl) => Some(CacheMark { ttl: Some(ttl.as_str()?.to_owned()) }),
    }
}

fn part(item: Value, at: &str) -> Result<Part> {
    let Value::Object(mut block) = item else { return Err(Malformed::new(at, "must be an object")) };
    block.retain(|_, value| !value.is_null());
    let mut members = block.keys();
    let (Some(kind), None) = (members.next().cloned(), members.next()) else {
        return Err(Malformed::new(at, "must have exactly one member, which says what it is"));
    };
    let mut outer = Fields::of(Value::Object(block.clone()), at)?;
    if kind == "text" {
        return Ok(Part::text(outer.required_string("text")?));
    }
    let inside = |outer: &mut Fields| outer.object(&kind)?.ok_or_else(|| outer.wrong(&kind, "is required"));
    match kind.as_str() {
        // Calls of tools that the provider runs have a type, and so do their results; only their own dialect knows them.
        "toolUse" | "toolResult" if block[kind.as_str()].get("type").is_some_and(|t| !t.is_null()) => native(block),
        "toolUse" => tool_use(inside(&mut outer)?),
        "toolResult" => tool_result(inside(&mut outer)?),
        "reasoningContent" => reasoning(inside(&mut outer)?),
        "citationsContent" => cited(inside(&mut outer)?),
        _ => match kind_named(&kind) {
            // A document in pieces has no equal elsewhere.
            Some(MediaKind::Document) if block["document"]["source"].get("content").is_some() => native(block),
            Some(media_kind) => media(inside(&mut outer)?, media_kind),
            None => native(block),
        },
    }
}

fn native(block: Map<String, Value>) -> Result<Part> {
    Ok(Content::Native(Value::Object(block)).into())
}

fn tool_use(mut fields: Fields) -> Result<Part> {
    let id = fields.required_string("toolUseId")?;
    let name = fields.required_string("name")?;
    for (key, value) in [("toolUseId", &id), ("name", &name)] {
        if value.is_empty() {
            return Err(fields.wrong(key, "must not be empty"));
        }
    }
    let input = fields.require("input")?;
    if !input.is_object() {
        return Err(fields.wrong("input", "must be an object: the tool's arguments"));
    }
    let call = ToolCall { id, name, arguments: input.to_string(), custom: false };
    Ok(Part { extras: fields.rest(), ..Content::ToolCall(call).into() })
}

fn tool_result(mut fields: Fields) -> Result<Part> {
    let call_id = fields.required_string("toolUseId")?;
    let at = fields.at("content");
    let mut parts = Vec::new();
    for (i, item) in fields.array("content")?.unwrap_or_default().into_iter().enumerate() {
        match item.get(JSON) {
            Some(json) if !json.is_null() => {
                let mut text = Part::text(json.to_string());
                text.extras.insert(JSON.into(), json.clone());
                parts.push(text);
            }
            _ => parts.push(part(item, &format!("{at}[{i}]"))?),
        }
    }
    let is_error = match fields.peek("status").and_then(Value::as_str) {
        Some("error") => {
            fields.take("status");
            true
        }
        Some("success") | None => false,
        Some(_) => return Err(fields.wrong("status", "must be `success` or `error`")),
    };
    let result = ToolResult { call_id, name: None, parts, is_error, custom: false };
    Ok(Part { extras: fields.rest(), ..Content::ToolResult(result).into() })
}

fn reasoning(mut fields: Fields) -> Result<Part> {
    let signed = |value| Signature { dialect: Dialect::Bedrock, value, id: None };
    if let Some(secret) = take_base64(&mut fields, "redactedContent")? {
        let content = Content::Reasoning { text: String::new(), summary: false, redacted: true };
        return Ok(Part { signature: Some(signed(secret)), ..content.into() });
    }
    let Some(mut inner) = fields.object("reasoningText")? else {
        return Err(fields.wrong("reasoningText", "is required, or `redactedContent`"));
    };
    let text = inner.required_string("text")?;
    let signature = inner.string("signature")?.map(signed);
    let content = Content::Reasoning { text, summary: false, redacted: false };
    Ok(Part { signature, extras: inner.rest(), ..content.into() })
}

fn cited(mut fields: Fields) -> Result<Part> {
    let mut text = String::new();
    for mut piece in fields.objects("content")? {
        text.push_str(&piece.required_string("text")?);
    }
    let mut citations = Vec::new();
    for item in fields.objects("citations")? {
        citations.push(citation(item.into_value()));
    }
    Ok(Part { extras: fields.rest(), ..Content::Text { text, citations }.into() })
}

/// A source, as answers and streams give it.
pub(super) fn citation(native: Value) -> Citation {
    let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    // The words of the source are a list of pieces.
    let words: String =
        native["sourceContent"].as_array().into_iter().flatten().filter_map(|piece| piece["text"].as_str()).collect();
    Citation {
        origin: Dialect::Bedrock,
        url: text(&native["location"]["web"]["url"]).or_else(|| text(&native["source"]).filter(is_url)),
        title: text(&native["title"]),
        quote: (!words.is_empty()).then_some(words),
        range: None,
        native,
    }
}

fn media(mut fields: Fields, kind: MediaKind) -> Result<Part> {
    let Some(mut place) = fields.object("source")? else { return Err(fields.wrong("source", "is required")) };
    let name = if kind == MediaKind::Document { Some(fields.required_string("name")?) } else { None };
    let mut owner = Map::new();
    let source = if let Some(text) = place.string("text")?.filter(|_| kind == MediaKind::Document) {
        // A format, where there is one, rides along.
        Source::Text(text)
    } else {
        let format = fields.required_string("format")?;
        let Some(mime) = mime_of(kind, &format) else {
            return Err(fields.wrong("format", format!("must be one of {}", format_names(kind))));
        };
        if let Some(base64) = take_base64(&mut place, "bytes")? {
            Source::Data { mime: mime.into(), base64 }
        } else if let Some(mut stored) = place.object("s3Location")? {
            let url = stored.required_string("uri")?;
            if !url.starts_with("s3://") {
                return Err(stored.wrong("uri", "must begin with `s3://`"));
            }
            owner = stored.rest();
            Source::Url { url, mime: Some(mime.into()) }
        } else {
            return Err(fields.wrong("source", "must hold `bytes` or `s3Location`"));
        }
    };
    let mut extras = fields.rest();
    if !owner.is_empty() {
        extras.insert("s3Location".into(), owner.into());
    }
    Ok(Part { extras, ..Content::Media(Media { kind, source, name, detail: None }).into() })
}

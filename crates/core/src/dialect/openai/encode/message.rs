//! Messages. A user's turn gives its tool results first, each in a message of its own, as the API wants them right after
//! the calls; what a result holds beside text follows in the next message of the user, since results are only text here.

use super::request::Writing;
use super::tools::mark;
use crate::chat::{Content, Message, Part, Role, ToolCall, ToolResult};
use crate::dialect::Inexpressible;
use crate::dialect::openai::{details, media};
use crate::dialect::wire::put;
use crate::registry::Thoughts;
use serde_json::{Map, Value, json};

/// Writes `messages`.
pub(super) fn encode_all(writing: &mut Writing<'_>) -> Result<(), Inexpressible> {
    let mut out = Vec::with_capacity(writing.request.messages.len());
    // What results hold beside text, until the results are all given.
    let mut beside = Vec::new();
    for message in &writing.request.messages {
        match message.role {
            Role::User => user(writing, message, &mut out, &mut beside)?,
            role => {
                flush(&mut out, &mut beside);
                match role {
                    Role::Assistant => assistant(writing, message, &mut out)?,
                    Role::Developer if writing.quirks().developer => plain(writing, message, "developer", &mut out)?,
                    _ => plain(writing, message, "system", &mut out)?,
                }
            }
        }
    }
    flush(&mut out, &mut beside);
    writing.body.insert("messages".into(), out.into());
    Ok(())
}

fn flush(out: &mut Vec<Value>, beside: &mut Vec<Value>) {
    if !beside.is_empty() {
        out.push(json!({"role": "user", "content": std::mem::take(beside)}));
    }
}

fn user(
    writing: &mut Writing<'_>,
    message: &Message,
    out: &mut Vec<Value>,
    beside: &mut Vec<Value>,
) -> Result<(), Inexpressible> {
    let mut said = Vec::new();
    for part in &message.parts {
        match &part.content {
            Content::ToolResult(result) => {
                let mut written = tool_message(writing, result, beside)?;
                mark(writing, part.cache.as_ref(), &mut written)?;
                if message.parts.len() == 1 {
                    extras(writing, message, &mut written)?;
                }
                out.push(written.into());
            }
            _ => said.push(part),
        }
    }
    if said.is_empty() && !message.parts.is_empty() {
        return Ok(());
    }
    let parts = parts(writing, true, said)?;
    let content = if beside.is_empty() {
        joined(writing, parts, PARAGRAPH)
    } else {
        beside.extend(parts);
        std::mem::take(beside).into()
    };
    push(writing, message, "user", content, out)
}

fn plain(writing: &mut Writing<'_>, message: &Message, role: &str, out: &mut Vec<Value>) -> Result<(), Inexpressible> {
    let parts = parts(writing, true, message.parts.iter())?;
    let content = joined(writing, parts, PARAGRAPH);
    push(writing, message, role, content, out)
}

fn push(
    writing: &mut Writing<'_>,
    message: &Message,
    role: &str,
    content: Value,
    out: &mut Vec<Value>,
) -> Result<(), Inexpressible> {
    let mut written = Map::from_iter([("role".into(), role.into()), ("content".into(), content)]);
    name(writing, message, &mut written)?;
    extras(writing, message, &mut written)?;
    out.push(written.into());
    Ok(())
}

fn name(writing: &mut Writing<'_>, message: &Message, into: &mut Map<String, Value>) -> Result<(), Inexpressible> {
    match &message.name {
        Some(name) if writing.quirks().names => {
            into.insert("name".into(), name.as_str().into());
            Ok(())
        }
        Some(_) => writing.losses.drop("messages[].name"),
        None => Ok(()),
    }
}

fn extras(writing: &mut Writing<'_>, message: &Message, into: &mut Map<String, Value>) -> Result<(), Inexpressible> {
    for (key, value) in &message.extras {
        if writing.at_home() {
            into.insert(key.clone(), value.clone());
        } else {
            writing.losses.drop(format!("messages[].{key}"))?;
        }
    }
    Ok(())
}

/// Content parts of text, media and what only this dialect knows. `said_to_model`: they are not the model's own words.
fn parts<'a>(
    writing: &mut Writing<'_>,
    said_to_model: bool,
    parts: impl IntoIterator<Item = &'a Part>,
) -> Result<Vec<Value>, Inexpressible> {
    let mut out = Vec::new();
    for part in parts {
        let mut written = match &part.content {
            Content::Text { text, citations } => {
                if !citations.is_empty() {
                    writing.losses.drop("citations")?;
                }
                text_part(text)
            }
            Content::Refusal(text) => text_part(text),
            Content::Media(item) => match media::encode(item, writing.request.origin, writing.quirks().video) {
                Ok(written) => written,
                Err(why) => return writing.losses.refuse("messages[].content", why),
            },
            Content::Native(value) if writing.at_home() => {
                out.push(value.clone());
                continue;
            }
            Content::Native(value) => {
                let kind = value.get("type").and_then(Value::as_str).unwrap_or("native");
                writing.losses.drop_block(said_to_model, kind)?;
                continue;
            }
            Content::Reasoning { .. } => {
                writing.losses.drop("reasoning")?;
                continue;
            }
            Content::ToolCall(_) => return writing.losses.refuse("messages[].role", "only an assistant calls tools"),
            Content::ToolResult(_) => {
                return writing.losses.refuse("messages[].role", "only a user's turn has results");
            }
        };
        mark(writing, part.cache.as_ref(), &mut written)?;
        for (key, value) in &part.extras {
            if writing.at_home() {
                written.insert(key.clone(), value.clone());
            } else {
                writing.losses.drop(format!("messages[].content[].{key}"))?;
            }
        }
        out.push(written.into());
    }
    Ok(out)
}

fn text_part(text: &str) -> Map<String, Value> {
    Map::from_iter([("type".into(), "text".into()), ("text".into(), text.into())])
}

/// Between texts that somebody wrote one by one, once they are a string.
const PARAGRAPH: &str = "\n\n";

/// One plain text, or several where the target takes no list, as a string.
fn joined(writing: &Writing<'_>, mut parts: Vec<Value>, between: &str) -> Value {
    let is_text = |map: &Map<String, Value>| map.len() == 2 && map.get("type").is_some_and(|t| t == "text");
    let plain = |part: &Value| part.as_object().is_some_and(is_text);
    if !parts.iter().all(plain) || (parts.len() > 1 && writing.quirks().text_parts) {
        return parts.into();
    }
    match parts.as_mut_slice() {
        [one] => one["text"].take(),
        many => many.iter().filter_map(|p| p["text"].as_str()).collect::<Vec<_>>().join(between).into(),
    }
}

fn tool_message(
    writing: &mut Writing<'_>,
    result: &ToolResult,
    beside: &mut Vec<Value>,
) -> Result<Map<String, Value>, Inexpressible> {
    let is_media = |p: &&Part| matches!(p.content, Content::Media(_)) && !is_text_document(p);
    let mut texts = parts(writing, true, result.parts.iter().filter(|p| !is_media(p)))?;
    let attached = parts(writing, true, result.parts.iter().filter(is_media))?;
    if !attached.is_empty() {
        if texts.is_empty() {
            texts.push(text_part("The output is attached to the next message of the user.").into());
        }
        beside.push(text_part(&format!("Output of the tool call {}:", result.call_id)).into());
        beside.extend(attached);
    }
    let mut content = joined(writing, texts, PARAGRAPH);
    if result.is_error {
        mark_error(&mut content);
    }
    let id = result.call_id.as_str();
    Ok(Map::from_iter([
        ("role".into(), "tool".into()),
        ("tool_call_id".into(), id.into()),
        ("content".into(), content),
    ]))
}

fn is_text_document(part: &Part) -> bool {
    matches!(&part.content, Content::Media(m) if matches!(m.source, crate::chat::Source::Text(_)))
}

/// There is no flag for a tool that failed: its output says so.
fn mark_error(content: &mut Value) {
    const WORD: &str = "Error: ";
    let text = match content {
        Value::Array(parts) => parts.iter_mut().find_map(|p| p.get_mut("text")),
        text => Some(text),
    };
    if let Some(Value::String(text)) = text
        && !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"))
    {
        text.insert_str(0, WORD);
    }
}

fn assistant(writing: &mut Writing<'_>, message: &Message, out: &mut Vec<Value>) -> Result<(), Inexpressible> {
    let quirks = writing.quirks();
    let mut said = Vec::new();
    let mut calls = Vec::new();
    let mut images = Vec::new();
    let mut refusal = String::new();
    let mut signature = None;
    let mut written = Map::from_iter([("role".into(), "assistant".into()), ("content".into(), Value::Null)]);
    for part in &message.parts {
        match &part.content {
            Content::ToolCall(call) => calls.push(tool_call(writing, call, part)?),
            Content::Reasoning { .. } => {}
            Content::Refusal(text) if quirks.refusal => refusal.push_str(text),
            Content::Media(item) if quirks.images => match media::encode(item, writing.request.origin, false) {
                Ok(image) => images.push(image.into()),
                Err(why) => return writing.losses.refuse("messages[].images", why),
            },
            Content::Media(_) => {
                let why = "the model's API takes no pictures in the model's own messages; send them as the user's";
                return writing.losses.refuse("messages[].images", why);
            }
            _ => {
                signature = part.signature.as_ref().or(signature);
                // An empty text is where Gemini hangs a signature.
                if !matches!(&part.content, Content::Text { text, .. } if text.is_empty() && part.cache.is_none()) {
                    said.push(part);
                }
            }
        }
    }
    thoughts(writing, &message.parts, &mut written)?;
    let said = parts(writing, false, said)?;
    let silent = said.is_empty();
    if !silent {
        // What a model said in several texts goes on where it left off: citations part it in mid-sentence.
        let declined = message.parts.iter().any(|p| matches!(p.content, Content::Refusal(_)));
        written.insert("content".into(), joined(writing, said, if declined { PARAGRAPH } else { "" }));
    }
    if !refusal.is_empty() {
        written.insert("refusal".into(), refusal.into());
    }
    if quirks.thought_signatures
        && let Some(signature) = signature
    {
        written.insert("extra_content".into(), details::thought_signature(signature));
    }
    for (key, list) in [("images", images), ("tool_calls", calls)] {
        if !list.is_empty() {
            written.insert(key.to_owned(), list.into());
        }
    }
    name(writing, message, &mut written)?;
    extras(writing, message, &mut written)?;
    // Nothing may be left of a turn that only thought. One that was empty from the start stays.
    if written.len() == 2 && silent {
        if !message.parts.is_empty() {
            return Ok(());
        }
        written.insert("content".into(), "".into());
    }
    out.push(written.into());
    Ok(())
}

/// Gives earlier thoughts back, as the target wants them.
fn thoughts(writing: &mut Writing<'_>, parts: &[Part], into: &mut Map<String, Value>) -> Result<(), Inexpressible> {
    let quirks = writing.quirks();
    let (mut text, mut entries, mut lost, mut blocks) = (String::new(), Vec::new(), false, 0);
    for part in parts {
        match (&part.content, quirks.thoughts) {
            (Content::Reasoning { .. }, Thoughts::Details) => {
                details::encode(part, blocks, &mut entries);
                blocks += 1;
            }
            (Content::Reasoning { text: thought, .. }, Thoughts::Content) if !thought.is_empty() => {
                text.push_str(thought);
            }
            (Content::Reasoning { .. }, _) => lost = true,
            (Content::ToolCall(call), Thoughts::Details) if !quirks.thought_signatures => {
                if let Some(signature) = &part.signature {
                    entries.push(details::encode_call(&call.id, signature, blocks));
                    blocks += 1;
                }
            }
            _ => {}
        }
    }
    if lost {
        writing.losses.drop("reasoning")?;
    }
    put(into, "reasoning_content", Some(text).filter(|t| !t.is_empty()));
    put(into, "reasoning_details", Some(entries).filter(|e| !e.is_empty()));
    Ok(())
}

fn tool_call(writing: &mut Writing<'_>, call: &ToolCall, part: &Part) -> Result<Value, Inexpressible> {
    let inner = match (call.custom, call.arguments.as_str()) {
        (true, input) => json!({"name": call.name, "input": input}),
        // Whoever parses it finds nothing in an empty string.
        (false, "") => json!({"name": call.name, "arguments": "{}"}),
        (false, arguments) => json!({"name": call.name, "arguments": arguments}),
    };
    if call.custom && !writing.quirks().custom_tools {
        return writing.losses.refuse("messages[].tool_calls", "the model's API has no tools with free-form input");
    }
    let kind = if call.custom { "custom" } else { "function" };
    let mut written =
        Map::from_iter([("id".into(), call.id.as_str().into()), ("type".into(), kind.into()), (kind.into(), inner)]);
    if let Some(signature) = part.signature.as_ref().filter(|_| writing.quirks().thought_signatures) {
        written.insert("extra_content".into(), details::thought_signature(signature));
    }
    mark(writing, part.cache.as_ref(), &mut written)?;
    for (key, value) in &part.extras {
        if writing.at_home() {
            written.insert(key.clone(), value.clone());
        } else {
            writing.losses.drop(format!("messages[].tool_calls[].{key}"))?;
        }
    }
    Ok(written.into())
}

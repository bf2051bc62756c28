//! Turns into the items of `input`: an assistant's turn becomes its reasoning, messages and calls one by one, a user's
//! turn the outputs of calls and then one message.

use serde_json::{Map, Value, json};

use super::items::is_message_part;
use super::media::knows_files_of;
use super::shared::{HOME, reasoning_item};
use crate::chat::{Content, Media, MediaKind, Message, Part, Request, Role, Source, ToolCall, ToolResult};
use crate::dialect::wire::put;
use crate::dialect::{Inexpressible, Losses};

type Result<T> = std::result::Result<T, Inexpressible>;

/// Writes the conversation of one request.
pub(super) struct Items<'a, 'l> {
    request: &'a Request,
    losses: &'l mut Losses,
    home: bool,
    /// Ids of calls of tools with free-form input.
    custom: Vec<&'a str>,
    items: Vec<Value>,
}

impl<'a, 'l> Items<'a, 'l> {
    /// For the conversation of this request.
    pub(super) fn new(request: &'a Request, losses: &'l mut Losses) -> Self {
        let parts = request.messages.iter().flat_map(|m| &m.parts);
        let custom = parts.filter_map(|p| match &p.content {
            Content::ToolCall(call) if call.custom => Some(call.id.as_str()),
            _ => None,
        });
        Self { home: request.origin == HOME, custom: custom.collect(), items: Vec::new(), losses, request }
    }

    /// `instructions` and `input`.
    pub(super) fn write(&mut self) -> Result<(Option<&'a str>, Value)> {
        let messages = &self.request.messages;
        // There must be input, so instructions alone stay a message.
        let instructions = messages.first().filter(|_| messages.len() > 1).and_then(instructions);
        let rest = &messages[usize::from(instructions.is_some())..];
        if let [only] = rest
            && let Some(text) = plain(only, Role::User)
        {
            return Ok((instructions, text.into()));
        }
        for message in rest {
            self.message(message)?;
        }
        Ok((instructions, std::mem::take(&mut self.items).into()))
    }

    fn message(&mut self, message: &'a Message) -> Result<()> {
        if message.name.is_some() {
            self.losses.drop("messages[].name")?;
        }
        if !self.home {
            for key in message.extras.keys() {
                self.losses.drop(format!("messages[].{key}"))?;
            }
        }
        if message.role == Role::Assistant {
            return self.assistant(message);
        }
        for part in message.parts.iter().filter(|p| !is_message_part(p)) {
            match &part.content {
                Content::ToolResult(result) => self.result(part, result)?,
                Content::Native(native) => self.native(native, true)?,
                // Thoughts and calls of a user are none; no decoder makes them.
                _ => self.losses.drop("messages[].content[]")?,
            }
        }
        let spoken: Vec<_> = message.parts.iter().filter(|p| is_message_part(p)).collect();
        let apart = message.parts.len() > spoken.len();
        if spoken.is_empty() && apart {
            return Ok(());
        }
        let role = match message.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User | Role::Assistant => "user",
        };
        let content = self.content(&spoken)?;
        self.say(role, content, message);
        Ok(())
    }

    fn say(&mut self, role: &str, content: Value, message: &Message) {
        let mut item = Map::new();
        item.insert("type".into(), "message".into());
        item.insert("role".into(), role.into());
        item.insert("content".into(), content);
        if self.home {
            item.extend(message.extras.clone());
        }
        self.items.push(item.into());
    }

    fn assistant(&mut self, message: &'a Message) -> Result<()> {
        let mut content = Vec::new();
        for part in &message.parts {
            let spoken = match &part.content {
                Content::Text { text, citations } => {
                    let ours = citations.iter().filter(|c| c.origin == HOME && self.home);
                    let annotations: Vec<_> = ours.map(|c| c.native.clone()).collect();
                    if annotations.len() < citations.len() {
                        self.losses.drop("citations")?;
                    }
                    Some(json!({"type": "output_text", "text": text, "annotations": annotations}))
                }
                Content::Refusal(text) => Some(json!({"type": "refusal", "refusal": text})),
                _ => None,
            };
            if let Some(mut spoken) = spoken {
                self.finish_part(&mut spoken, part)?;
                content.push(spoken);
                continue;
            }
            if !content.is_empty() {
                self.say("assistant", std::mem::take(&mut content).into(), message);
            }
            match &part.content {
                Content::Reasoning { text, summary, .. } => self.reasoning(part, text, *summary)?,
                Content::ToolCall(call) => self.call(part, call)?,
                Content::Native(native) => self.native(native, false)?,
                Content::Media(_) => {
                    let why = "the Responses API takes no media in an assistant's turn; send it in a user's";
                    return self.losses.refuse("messages[].content", why);
                }
                _ => self.losses.drop("messages[].content[]")?,
            }
        }
        if !content.is_empty() {
            self.say("assistant", content.into(), message);
        }
        Ok(())
    }

    /// Reasoning goes back to whom it came from; another provider can neither check nor use it.
    fn reasoning(&mut self, part: &Part, text: &str, summary: bool) -> Result<()> {
        let signature = part.signature.as_ref().filter(|s| s.dialect == HOME);
        let unsigned = part.signature.is_none() && self.home && !text.is_empty();
        if signature.is_none() && !unsigned {
            return self.losses.drop("reasoning");
        }
        let token = signature.map(|s| s.value.clone()).filter(|t| !t.is_empty());
        let mut item = reasoning_item(text, !summary && !text.is_empty(), token);
        put(&mut item, "id", signature.and_then(|s| s.id.as_deref()));
        self.push(item, part)
    }

    fn call(&mut self, part: &Part, call: &ToolCall) -> Result<()> {
        let mut item = Map::new();
        let kind = if call.custom { "custom_tool_call" } else { "function_call" };
        item.insert("type".into(), kind.into());
        item.insert("call_id".into(), call.id.as_str().into());
        item.insert("name".into(), call.name.as_str().into());
        if call.custom {
            item.insert("input".into(), call.arguments.as_str().into());
        } else {
            let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
            item.insert("arguments".into(), arguments.into());
        }
        self.push(item, part)
    }

    fn result(&mut self, part: &Part, result: &ToolResult) -> Result<()> {
        let mut item = Map::new();
        let custom = result.custom || self.custom.contains(&result.call_id.as_str());
        let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
        item.insert("type".into(), kind.into());
        item.insert("call_id".into(), result.call_id.as_str().into());
        if self.home {
            put(&mut item, "name", result.name.as_deref());
        }
        let parts: Vec<_> = result.parts.iter().collect();
        let mut output = self.content(&parts)?;
        if result.is_error {
            mark_error(&mut output);
        }
        item.insert("output".into(), output);
        self.push(item, part)
    }

    /// Adds what else an item of its own holds, and the item.
    fn push(&mut self, item: Map<String, Value>, part: &Part) -> Result<()> {
        let mut item = item.into();
        self.finish_part(&mut item, part)?;
        self.items.push(item);
        Ok(())
    }

    fn native(&mut self, native: &Value, said_to_model: bool) -> Result<()> {
        if self.home {
            self.items.push(native.clone());
            return Ok(());
        }
        self.losses.drop_block(said_to_model, native_name(native))
    }

    /// A list of parts; one plain text stands alone, and nothing is the empty text.
    fn content(&mut self, parts: &[&Part]) -> Result<Value> {
        match parts {
            [] => return Ok("".into()),
            [part] if bare(part).is_some() => return Ok(bare(part).into()),
            _ => {}
        }
        let mut content = Vec::with_capacity(parts.len());
        for part in parts {
            let mut value = match &part.content {
                Content::Text { text, .. } | Content::Refusal(text) => json!({"type": "input_text", "text": text}),
                Content::Media(media) => self.media(media)?,
                Content::Native(native) => {
                    self.losses.drop_block(true, native_name(native))?;
                    continue;
                }
                _ => {
                    self.losses.drop("messages[].content[]")?;
                    continue;
                }
            };
            self.finish_part(&mut value, part)?;
            content.push(value);
        }
        Ok(content.into())
    }

    /// The cache mark, and what else stood in a part.
    fn finish_part(&mut self, value: &mut Value, part: &Part) -> Result<()> {
        if let Some(mark) = &part.cache {
            if self.home {
                let mut point = json!({"mode": "explicit"});
                if let Some(ttl) = &mark.ttl {
                    point["ttl"] = ttl.as_str().into();
                }
                value["prompt_cache_breakpoint"] = point;
            } else {
                // This provider caches by itself.
                self.losses.drop("cache_control")?;
            }
        }
        for (key, extra) in &part.extras {
            if self.home {
                value[key.as_str()] = extra.clone();
            } else {
                self.losses.drop(format!("messages[].content[].{key}"))?;
            }
        }
        Ok(())
    }

    fn media(&mut self, media: &Media) -> Result<Value> {
        let field = "messages[].content";
        if let Source::File(_) = media.source
            && !knows_files_of(self.request.origin)
        {
            return self.losses.refuse(field, "the file was uploaded to another provider; send it inline");
        }
        if let Source::Url { url, .. } = &media.source
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            return self.losses.refuse(field, "the Responses API fetches from the web only; send it inline");
        }
        let mut value = match media.kind {
            MediaKind::Image => self.image(media)?,
            MediaKind::Document => document(media, self.home),
            MediaKind::Audio => self.audio(media)?,
            MediaKind::Video => return self.losses.refuse(field, "the Responses API takes no video"),
        };
        let detail = match media.kind {
            MediaKind::Image => Some(media.detail.as_deref().unwrap_or("auto")),
            _ => media.detail.as_deref(),
        };
        if let Some(detail) = detail {
            value["detail"] = detail.into();
        }
        Ok(value)
    }

    fn image(&self, media: &Media) -> Result<Value> {
        match (&media.source, media.source.to_url()) {
            (Source::File(id), _) => Ok(json!({"type": "input_image", "file_id": id})),
            (_, Some(url)) => Ok(json!({"type": "input_image", "image_url": url})),
            (_, None) => self.losses.refuse("messages[].content", "an image must be data or an address"),
        }
    }

    fn audio(&self, media: &Media) -> Result<Value> {
        let Source::Data { mime, base64 } = &media.source else {
            return self.losses.refuse("messages[].content", "the Responses API takes sound inline only");
        };
        let subtype = mime.strip_prefix("audio/").unwrap_or(mime);
        let format = match subtype {
            "mpeg" | "mp3" => "mp3",
            "wav" | "x-wav" | "wave" | "vnd.wave" => "wav",
            other => other,
        };
        Ok(json!({"type": "input_audio", "input_audio": {"data": base64, "format": format}}))
    }
}

/// There is no flag for a tool that failed: its output says so.
fn mark_error(output: &mut Value) {
    let text = match output {
        Value::Array(parts) => parts.iter_mut().find_map(|p| p.get_mut("text")),
        text => Some(text),
    };
    if let Some(Value::String(text)) = text
        && !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"))
    {
        text.insert_str(0, "Error: ");
    }
}

fn document(media: &Media, home: bool) -> Value {
    let name = media.name.as_deref();
    match &media.source {
        Source::File(id) => json!({"type": "input_file", "file_id": id}),
        Source::Url { url, .. } => {
            let mut value = json!({"type": "input_file", "file_url": url});
            if let Some(name) = name {
                value["filename"] = name.into();
            }
            value
        }
        Source::Data { mime, base64 } => {
            let name = file_name(name, mime, home);
            json!({"type": "input_file", "filename": name, "file_data": format!("data:{mime};base64,{base64}")})
        }
        // Plain text needs no file around it.
        Source::Text(text) => {
            let text = name.map(|n| format!("{n}\n\n{text}")).unwrap_or_else(|| text.clone());
            json!({"type": "input_text", "text": text})
        }
    }
}

/// Inline files need a name, whose ending says what they are; the titles of documents elsewhere have none.
fn file_name(name: Option<&str>, mime: &str, as_is: bool) -> String {
    let ending = |e: &str| (1..=5).contains(&e.len()) && e.bytes().all(|b| b.is_ascii_alphanumeric());
    match name {
        Some(name) if as_is || name.rsplit_once('.').is_some_and(|(_, e)| ending(e)) => name.to_owned(),
        name => format!("{}.{}", name.unwrap_or("document"), ending_of(mime)),
    }
}

fn ending_of(mime: &str) -> &str {
    match mime {
        "text/plain" => "txt",
        "text/markdown" => "md",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        other => other.rsplit_once('/').map_or("pdf", |(_, subtype)| subtype),
    }
}

/// The name of a block that only its origin knows.
fn native_name(native: &Value) -> &str {
    let named = native.get("type").and_then(Value::as_str);
    named.or_else(|| native.as_object()?.keys().next().map(String::as_str)).unwrap_or("native")
}

/// Text and nothing else.
fn bare(part: &Part) -> Option<&str> {
    match &part.content {
        Content::Text { text, citations } if citations.is_empty() && part.cache.is_none() && part.extras.is_empty() => {
            Some(text)
        }
        _ => None,
    }
}

/// The text of a message that is nothing but that.
fn plain(message: &Message, role: Role) -> Option<&str> {
    match message.parts.as_slice() {
        [part] if message.role == role && message.name.is_none() && message.extras.is_empty() => bare(part),
        _ => None,
    }
}

/// A system prompt that can stand in `instructions`.
fn instructions(message: &Message) -> Option<&str> {
    plain(message, Role::System)
}

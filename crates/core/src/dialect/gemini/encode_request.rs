//! Requests, written: the conversation. The rest is `encode_config`'s.

use super::encode_config;
use super::merge;
use super::models::Habits;
use super::parts::{mime_of, parse_object};
use crate::chat::{Content, Extras, Media, MediaKind, Message, Part, Request, Role, Source, ToolCall, ToolResult};
use crate::dialect::names::{Name, name};
use crate::dialect::wire::{self, put};
use crate::dialect::{Encoded, Inexpressible, Losses, Target};
use crate::registry::Dialect;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What newer models accept on the first call of a turn whose thought signature is lost; they refuse a turn without one.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request for a model, which its URL names.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    let mut writer = Writer {
        request,
        target,
        home: request.origin == Dialect::Gemini,
        habits: Habits::of(target.model),
        losses: Losses::new(target.strict),
        beside: Vec::new(),
    };
    let mut body = Map::new();
    writer.conversation(&mut body)?;
    encode_config::write(&mut writer, &mut body)?;
    if writer.home {
        merge(&mut body, &request.extras);
    } else {
        writer.losses.drop_extras(request.extras.keys())?;
    }
    let body = Value::Object(body).to_string().into_bytes();
    Ok(Encoded { body, dropped: writer.losses.into_names(), json_tool: None })
}

/// What all steps of the writing share.
pub(super) struct Writer<'a> {
    pub(super) request: &'a Request,
    pub(super) target: &'a Target<'a>,
    /// The request is Gemini's own: its extras and native blocks return, and its turns stay as they are.
    pub(super) home: bool,
    pub(super) habits: Habits,
    pub(super) losses: Losses,
    /// Media of a tool's result that must stand beside it.
    beside: Vec<Value>,
}

/// Where in a request something stands, for messages.
fn at(message: usize, what: &str) -> String {
    format!("messages[{message}].{what}")
}

impl Writer<'_> {
    fn conversation(&mut self, body: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        let mut system = Map::new();
        let mut contents: Vec<(Role, Map<String, Value>)> = Vec::new();
        for (i, message) in self.request.messages.iter().enumerate() {
            let parts = self.parts(i, message)?;
            if message.name.is_some() {
                self.losses.drop("messages[].name")?;
            }
            let is_system = matches!(message.role, Role::System | Role::Developer);
            if parts.is_empty() && !self.home {
                self.drop_extras("messages[]", &message.extras)?;
                continue;
            }
            let content = if is_system {
                &mut system
            } else {
                // One turn, one content: all results of a turn's calls must stand in the next one.
                let same = contents.last().is_some_and(|(role, _)| !self.home && *role == message.role);
                if !same {
                    let name = if message.role == Role::Assistant { "model" } else { "user" };
                    contents.push((message.role, Map::from_iter([("role".to_owned(), name.into())])));
                }
                match contents.last_mut() {
                    Some((_, content)) => content,
                    None => continue,
                }
            };
            match content.get_mut("parts") {
                Some(Value::Array(before)) => before.extend(parts),
                _ => put(content, "parts", Some(parts)),
            }
            if self.home {
                merge(content, &message.extras);
            } else {
                self.drop_extras("messages[]", &message.extras)?;
            }
        }
        if contents.is_empty() {
            let why = "the model's API needs at least one message besides the system prompt";
            return self.losses.refuse("messages", why);
        }
        if !self.home {
            contents.iter_mut().for_each(|(role, content)| sign_first_call(*role, content));
            if !self.habits.system {
                say_first(&mut system, &mut contents);
            }
        }
        put(body, "systemInstruction", (!system.is_empty()).then_some(Value::Object(system)));
        put(body, "contents", Some(contents.into_iter().map(|(_, c)| Value::Object(c)).collect::<Vec<_>>()));
        Ok(())
    }

    fn drop_extras(&mut self, within: &str, extras: &Extras) -> Result<(), Inexpressible> {
        extras.keys().try_for_each(|name| self.losses.drop(format!("{within}.{name}")))
    }

    fn parts(&mut self, i: usize, message: &Message) -> Result<Vec<Value>, Inexpressible> {
        let mut out = Vec::with_capacity(message.parts.len());
        let system = matches!(message.role, Role::System | Role::Developer);
        for part in &message.parts {
            if system && !self.home && !matches!(part.content, Content::Text { .. }) {
                return self.losses.refuse(at(i, "content"), "a system prompt can only hold text for this model");
            }
            if part.cache.is_some() && !self.home {
                self.losses.drop("cache_control")?;
            }
            let Some(mut object) = self.part(i, part, message.role == Role::User)? else { continue };
            if self.home {
                merge(&mut object, &part.extras);
            } else {
                self.drop_extras("messages[].content[]", &part.extras)?;
            }
            out.push(Value::Object(object));
            out.append(&mut self.beside);
        }
        Ok(out)
    }

    /// The client's name for a field.
    pub(super) fn name(&self, field: Name) -> &'static str {
        name(field, self.request.origin)
    }

    /// A part; `None` where nothing of it can or need be sent. `said_to_model`: it is the user's.
    fn part(
        &mut self,
        i: usize,
        part: &Part,
        said_to_model: bool,
    ) -> Result<Option<Map<String, Value>>, Inexpressible> {
        let ours = part.signature.as_ref().filter(|s| s.dialect == Dialect::Gemini).map(|s| s.value.as_str());
        if part.signature.is_some() && ours.is_none() && !self.home {
            // The cipher of another provider: what stands in the clear still goes.
            self.losses.drop("reasoning")?;
        }
        let mut object = Map::new();
        match &part.content {
            Content::Text { text, citations } => {
                if !citations.is_empty() && !self.home {
                    self.losses.drop(self.name(Name::Citations))?;
                }
                if text.is_empty() && ours.is_none() && !self.home {
                    return Ok(None);
                }
                put(&mut object, "text", Some(text.as_str()));
            }
            Content::Refusal(text) => {
                if text.is_empty() && ours.is_none() && !self.home {
                    return Ok(None);
                }
                put(&mut object, "text", Some(text.as_str()));
            }
            Content::Reasoning { text, .. } => {
                if text.is_empty() && ours.is_none() {
                    return Ok(None);
                }
                put(&mut object, "text", Some(text.as_str()));
                put(&mut object, "thought", (!text.is_empty()).then_some(true));
            }
            Content::Media(media) => self.media(&mut object, i, media)?,
            Content::ToolCall(call) => put(&mut object, "functionCall", Some(self.call(i, call)?)),
            Content::ToolResult(result) => put(&mut object, "functionResponse", Some(self.result(i, result)?)),
            Content::Native(Value::Object(native)) if self.home => return Ok(Some(native.clone())),
            Content::Native(native) => {
                let kind = native.get("type").and_then(Value::as_str).unwrap_or("block");
                self.losses.drop_block(said_to_model, kind)?;
                return Ok(None);
            }
        }
        put(&mut object, "thoughtSignature", ours);
        Ok(Some(object))
    }

    fn media(&mut self, object: &mut Map<String, Value>, i: usize, media: &Media) -> Result<(), Inexpressible> {
        let Some((key, mut data)) = media_data(media, self.home) else {
            let why = "a file uploaded to another provider cannot be read by this model: send it inline";
            return self.losses.refuse(at(i, "content"), why);
        };
        match &media.name {
            Some(name) if self.home => data["displayName"] = name.as_str().into(),
            Some(_) => self.losses.drop("messages[].content[].filename")?,
            None => {}
        }
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.losses.drop("messages[].content[].detail")?;
        }
        object.insert(key.to_owned(), data);
        Ok(())
    }

    fn call(&self, i: usize, call: &ToolCall) -> Result<Value, Inexpressible> {
        let args = if call.custom {
            Value::Object(Map::from_iter([("input".to_owned(), call.arguments.as_str().into())]))
        } else if call.arguments.trim().is_empty() {
            Value::Object(Map::new())
        } else {
            match parse_object(&call.arguments) {
                Some(args) => Value::Object(args),
                None => {
                    let why = format!("the arguments of the call `{}` are not a JSON object", call.id);
                    return self.losses.refuse(at(i, "tool_calls[].arguments"), why);
                }
            }
        };
        Ok(json!({"id": call.id, "name": call.name, "args": args}))
    }

    fn result(&mut self, i: usize, result: &ToolResult) -> Result<Value, Inexpressible> {
        let Some(name) = result.name.as_deref().or_else(|| self.request.called_tool(&result.call_id)) else {
            let why = format!("no call `{}` says which tool this result is of", result.call_id);
            return self.losses.refuse(at(i, "tool_call_id"), why);
        };
        let mut texts: Vec<&str> = Vec::new();
        let mut media = Vec::new();
        for part in &result.parts {
            match &part.content {
                Content::Text { text, .. } => texts.push(text),
                Content::Media(item) => {
                    let mut object = Map::new();
                    self.media(&mut object, i, item)?;
                    if self.home {
                        merge(&mut object, &part.extras);
                    }
                    let inside = self.home || (self.habits.media_in_results && object.contains_key("inlineData"));
                    if inside { &mut media } else { &mut self.beside }.push(Value::Object(object));
                }
                Content::Native(native) if self.home => media.push(native.clone()),
                _ => {
                    let why = "a tool's result can only hold text and media for this model";
                    return self.losses.refuse(at(i, "content"), why);
                }
            }
            if !self.home {
                if part.cache.is_some() {
                    self.losses.drop("cache_control")?;
                }
                self.drop_extras("messages[].content[]", &part.extras)?;
            }
        }
        let text = texts.join("\n");
        let response = match parse_object(&text) {
            _ if result.is_error => json!({"error": text}),
            Some(object) => Value::Object(object),
            None => json!({"result": text}),
        };
        let mut object = json!({"id": result.call_id, "name": name, "response": response});
        if !media.is_empty() {
            object["parts"] = media.into();
        }
        Ok(object)
    }
}

/// `inlineData` or `fileData`; `None` for a file of another provider.
pub(super) fn media_data(media: &Media, home: bool) -> Option<(&'static str, Value)> {
    Some(match &media.source {
        Source::Data { mime, base64 } => {
            let mime = if home { mime } else { wire::registered_mime(mime) };
            ("inlineData", json!({"mimeType": mime, "data": base64}))
        }
        Source::Text(text) => ("inlineData", json!({"mimeType": "text/plain", "data": STANDARD.encode(text)})),
        Source::Url { url, mime } => {
            let mime = mime.as_deref().or_else(|| mime_of(url));
            // The API asks for a type; only its own clients may leave it out.
            let mime = mime.or((!home).then_some(usual_mime(media.kind)));
            let mut data = json!({"fileUri": url});
            if let Some(mime) = mime {
                data["mimeType"] = mime.into();
            }
            ("fileData", data)
        }
        Source::File(id) if home => ("fileData", json!({"fileUri": id})),
        Source::File(_) => return None,
    })
}

/// What an address without a telling end most likely holds.
fn usual_mime(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/mpeg",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    }
}

/// Puts the system prompt before the user's first words, for models that take none.
fn say_first(system: &mut Map<String, Value>, contents: &mut [(Role, Map<String, Value>)]) {
    let user = contents.iter_mut().find(|(role, _)| *role == Role::User);
    if let Some(Value::Array(parts)) = user.and_then(|(_, content)| content.get_mut("parts"))
        && let Some(Value::Array(mut prompt)) = system.remove("parts")
    {
        prompt.append(parts);
        *parts = prompt;
    }
}

/// Gives the first call of a model's turn a signature where it has none; the others of the turn need none.
fn sign_first_call(role: Role, content: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = content.get_mut("parts").filter(|_| role == Role::Assistant) else { return };
    let calls = parts.iter_mut().filter_map(Value::as_object_mut);
    if let Some(first) = calls.into_iter().find(|p| p.contains_key("functionCall")) {
        first.entry("thoughtSignature").or_insert_with(|| NO_SIGNATURE.into());
    }
}

//! Writing the parts of a request's messages as blocks.

use serde_json::{Map, Value, json};

use super::blocks::JSON;
use super::encode_request::Writer;
use super::media::{base64_of, block_name, format_names, format_of, is_base64};
use crate::chat::{Citation, Content, Media, MediaKind, Part, Source, ToolCall, ToolResult};
use crate::dialect::Inexpressible;
use crate::dialect::names::Name;
use crate::registry::Dialect;

impl Writer<'_> {
    /// The block for a part of message `i`; `None` where nothing is left of it. `said_to_model`: it is the user's or a
    /// tool's.
    pub(super) fn part(&mut self, part: &Part, i: usize, said_to_model: bool) -> Result<Option<Value>, Inexpressible> {
        // A thought's signature is judged with the thought. Any other is of another dialect, always.
        if part.signature.is_some() && !self.home && !matches!(part.content, Content::Reasoning { .. }) {
            self.losses.drop("reasoning")?;
        }
        match &part.content {
            Content::Text { text, citations } => self.text(part, text, citations),
            Content::Refusal(text) => {
                self.part_extras(part)?;
                Ok(spoken(text).then(|| json!({"text": text})))
            }
            Content::Media(media) => self.media(part, media, i).map(Some),
            Content::Reasoning { text, redacted, .. } => self.reasoning_part(part, text, *redacted),
            Content::ToolCall(call) => self.tool_use(part, call, i).map(Some),
            Content::ToolResult(result) => self.tool_result(part, result, i).map(Some),
            Content::Native(value) if self.home => Ok(Some(value.clone())),
            Content::Native(value) => {
                let member = value.as_object().and_then(|o| o.keys().next()).map(String::as_str);
                let kind = value["type"].as_str().or(member).unwrap_or("block");
                self.losses.drop_block(said_to_model, kind)?;
                Ok(None)
            }
        }
    }

    /// What else stood in a part: at home it returns, otherwise it is dropped by name.
    fn part_extras(&mut self, part: &Part) -> Result<Map<String, Value>, Inexpressible> {
        if self.home {
            return Ok(part.extras.clone());
        }
        part.extras.keys().try_for_each(|key| self.losses.drop(format!("messages[].content[].{key}")))?;
        Ok(Map::new())
    }

    fn text(&mut self, part: &Part, text: &str, citations: &[Citation]) -> Result<Option<Value>, Inexpressible> {
        let mut extras = self.part_extras(part)?;
        if !citations.is_empty() {
            if self.home {
                extras.insert("content".into(), json!([{"text": text}]));
                extras.insert("citations".into(), citations.iter().map(|c| c.native.clone()).collect());
                return Ok(Some(json!({"citationsContent": extras})));
            }
            self.losses.drop(self.name(Name::Citations))?;
        }
        // Blank text is refused there, and says nothing.
        Ok((self.home || spoken(text)).then(|| json!({"text": text})))
    }

    fn reasoning_part(&mut self, part: &Part, text: &str, redacted: bool) -> Result<Option<Value>, Inexpressible> {
        let mut inner = self.part_extras(part)?;
        let usable = part.signature.as_ref().filter(|signature| match signature.dialect {
            Dialect::Bedrock => true,
            // Claude's own signatures are the same wherever it is served; what it encrypts whole is wrapped differently.
            Dialect::Anthropic => self.habits.claude && !redacted,
            _ => false,
        });
        match usable {
            Some(secret) if redacted => Ok(Some(json!({"reasoningContent": {"redactedContent": secret.value}}))),
            None if !self.home || self.habits.claude || redacted => {
                self.losses.drop("reasoning")?;
                Ok(None)
            }
            signature => {
                inner.insert("text".into(), text.into());
                if let Some(signature) = signature {
                    inner.insert("signature".into(), signature.value.as_str().into());
                }
                Ok(Some(json!({"reasoningContent": {"reasoningText": inner}})))
            }
        }
    }

    fn tool_use(&mut self, part: &Part, call: &ToolCall, i: usize) -> Result<Value, Inexpressible> {
        let mut inner = self.part_extras(part)?;
        let input = if call.custom {
            // A tool that takes free text: the nearest object.
            json!({"input": call.arguments})
        } else {
            match arguments(&call.arguments) {
                Some(input) => input,
                None => {
                    let why = format!(
                        "the arguments of the call `{}` must be a JSON object for this model, not {}",
                        call.id,
                        if serde_json::from_str::<Value>(&call.arguments).is_ok() {
                            "another value"
                        } else {
                            "other text"
                        },
                    );
                    return self.losses.refuse(format!("messages[{i}].tool_calls[].arguments"), why);
                }
            }
        };
        self.check_tool_name(&call.name, || format!("messages[{i}].tool_calls[].name"))?;
        inner.insert("toolUseId".into(), tool_id(&call.id, self.home).into());
        inner.insert("name".into(), call.name.as_str().into());
        inner.insert("input".into(), input);
        Ok(json!({"toolUse": inner}))
    }

    /// A name that the API refuses cannot be changed: the model's calls would not be the client's.
    pub(super) fn check_tool_name(&self, name: &str, at: impl FnOnce() -> String) -> Result<(), Inexpressible> {
        if !is_plain(name) {
            let why =
                format!("the model's API takes tool names of up to 64 letters, digits, `_` and `-`, not `{name}`");
            return self.losses.refuse(at(), why);
        }
        Ok(())
    }

    fn tool_result(&mut self, part: &Part, result: &ToolResult, i: usize) -> Result<Value, Inexpressible> {
        let mut inner = self.part_extras(part)?;
        let mut content = Vec::with_capacity(result.parts.len());
        for piece in &result.parts {
            match (&piece.content, piece.extras.get(JSON)) {
                (_, Some(json)) if self.home => content.push(json!({"json": json})),
                (Content::ToolCall(_) | Content::ToolResult(_), _) => {
                    let why = "a tool's result can hold text and media, not calls";
                    return self.losses.refuse(format!("messages[{i}].content"), why);
                }
                _ => content.extend(self.part(piece, i, true)?),
            }
        }
        if result.is_error {
            if self.home || self.habits.result_status {
                inner.insert("status".into(), "error".into());
            } else {
                self.losses.drop("messages[].content[].is_error")?;
            }
        }
        inner.insert("toolUseId".into(), tool_id(&result.call_id, self.home).into());
        inner.insert("content".into(), content.into());
        Ok(json!({"toolResult": inner}))
    }

    fn media(&mut self, part: &Part, media: &Media, i: usize) -> Result<Value, Inexpressible> {
        let at = || format!("messages[{i}].content");
        let mut inner = self.part_extras(part)?;
        if matches!(media.detail.as_deref(), Some(detail) if detail != "auto") {
            self.losses.drop("messages[].content[].detail")?;
        }
        let kind = block_name(media.kind);
        let (mime, source) = match &media.source {
            Source::Data { mime, base64 } if is_base64(base64) => (mime.as_str(), json!({"bytes": base64})),
            Source::Data { .. } => return self.losses.refuse(at(), format!("the {kind}'s data are not base64")),
            Source::Url { url, mime } if url.starts_with("s3://") => {
                let mut place = json!({"uri": url});
                if let Some(Value::Object(rest)) = inner.remove("s3Location") {
                    rest.into_iter().for_each(|(key, value)| place[key] = value);
                }
                let mime = mime.as_deref().unwrap_or_else(|| mime_of_path(media.kind, url));
                (mime, json!({"s3Location": place}))
            }
            Source::Url { .. } => {
                let why =
                    format!("the model's API fetches no URLs: send the {kind} inline, as a `data:` URL or base64");
                return self.losses.refuse(at(), why);
            }
            Source::Text(text) if self.home => ("", json!({"text": text})),
            Source::Text(text) => ("text/plain", json!({"bytes": base64_of(text)})),
            Source::File(_) => {
                let why = format!("a file uploaded elsewhere is not there for this model: send the {kind} inline");
                return self.losses.refuse(at(), why);
            }
        };
        match format_of(media.kind, mime) {
            Some(format) => {
                inner.insert("format".into(), format.into());
            }
            // Text at home needs none, or brought its own.
            None if mime.is_empty() => {}
            None => {
                let why = format!("the model's API takes {kind}s as {}, not `{mime}`", format_names(media.kind));
                return self.losses.refuse(at(), why);
            }
        }
        if media.kind == MediaKind::Document {
            let name = match &media.name {
                Some(name) if self.home => name.clone(),
                name => self.document_name(name.as_deref()),
            };
            inner.insert("name".into(), name.into());
        }
        inner.insert("source".into(), source);
        Ok(json!({kind: inner}))
    }
}

/// The media type by the end of a path, for what lies in a store.
fn mime_of_path(kind: MediaKind, path: &str) -> &'static str {
    let end = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let end = match end.as_str() {
        "jpg" => "jpeg",
        "3gp" => "three_gp",
        other => other,
    };
    super::media::mime_of(kind, end).unwrap_or("application/octet-stream")
}

/// More than blanks.
pub(super) fn spoken(text: &str) -> bool {
    !text.trim().is_empty()
}

/// A call's arguments as the object that the API wants; nothing at all is an empty one.
pub(super) fn arguments(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::Object(Map::new()));
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Up to 64 letters, digits, `_` and `-`.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A call's id that the models behind the API take. Others than those become one that is the same wherever the id stands
/// and, for all practical purposes, only there.
pub(super) fn tool_id(id: &str, home: bool) -> String {
    let bedrock = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
    if is_plain(id) || home && (1..=64).contains(&id.len()) && id.bytes().all(bedrock) {
        return id.to_owned();
    }
    // FNV-1a: stable across versions and platforms, which the standard hasher does not promise.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let clean: String = id.chars().take(40).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{clean}_{hash:016x}")
}

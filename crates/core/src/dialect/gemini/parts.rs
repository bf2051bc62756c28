//! Parts, the one form of all content here: in prompts and in answers.

use super::nest;
use crate::chat::{Content, Extras, Media, MediaKind, Part, Signature, Source, ToolCall, ToolResult};
use crate::dialect::wire::{Fields, Malformed, Result};
use crate::registry::Dialect;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// The API's clients write base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// An object at a path, its members' names in camel case: the API takes both.
pub(super) fn object(value: Value, path: impl Into<String>) -> Result<Fields> {
    Fields::of(camel_members(value), path)
}

/// The same for an object that may be absent.
pub(super) fn inner(fields: &mut Fields, key: &str) -> Result<Option<Fields>> {
    let at = fields.at(key);
    fields.take(key).map(|value| object(value, at)).transpose()
}

/// The same for an array of objects.
pub(super) fn objects(fields: &mut Fields, key: &str) -> Result<Vec<Fields>> {
    let at = fields.at(key);
    let items = fields.array(key)?.unwrap_or_default();
    items.into_iter().enumerate().map(|(i, item)| object(item, format!("{at}[{i}]"))).collect()
}

fn camel_members(value: Value) -> Value {
    match value {
        Value::Object(map) if map.keys().any(|k| k.contains('_')) => {
            Value::Object(map.into_iter().map(|(k, v)| (camel(&k), v)).collect())
        }
        other => other,
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// Ids of calls: as they came, made up where none came; results find theirs by id or by name.
#[derive(Debug, Default)]
pub(super) struct Ids {
    base: String,
    made: u32,
    open: Vec<(String, String)>,
}

impl Ids {
    /// `base` makes them unique among the answers of a conversation.
    pub(super) fn new(base: String) -> Self {
        Self { base, ..Self::default() }
    }

    /// The id of a call.
    pub(super) fn call(&mut self, given: Option<String>, name: &str) -> String {
        let id = given.filter(|id| !id.is_empty()).unwrap_or_else(|| {
            self.made += 1;
            format!("call_{}_{}", self.base, self.made - 1)
        });
        self.open.push((id.clone(), name.to_owned()));
        id
    }

    /// The id of the call that a result answers: without one of its own the first open call of its name.
    fn answered(&mut self, given: Option<String>, name: &str) -> String {
        let by_id = given.as_ref().and_then(|id| self.open.iter().position(|(open, _)| open == id));
        let found = by_id.or_else(|| self.open.iter().position(|(_, called)| called == name));
        match found {
            Some(at) => self.open.remove(at).0,
            None => given.unwrap_or_else(|| name.to_owned()),
        }
    }
}

/// The base of made-up ids: the answer's own id where it is short and plain (some dialects allow few characters, and not
/// many of them), otherwise a hash.
pub(super) fn id_base(id: &str, body: &[u8]) -> String {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !id.is_empty() && id.len() <= 28 && plain {
        return id.to_owned();
    }
    let of = if id.is_empty() { body } else { id.as_bytes() };
    // FNV-1a.
    let hash = of.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Takes the parts of a content.
pub(super) fn take(content: &mut Fields, ids: &mut Ids) -> Result<Vec<Part>> {
    let at = content.at("parts");
    let items = content.array("parts")?.unwrap_or_default();
    items.into_iter().enumerate().map(|(i, item)| decode(item, format!("{at}[{i}]"), ids)).collect()
}

/// Reads a part. What holds nothing that the canonical form has a word for rides along whole.
fn decode(value: Value, path: String, ids: &mut Ids) -> Result<Part> {
    let value = camel_members(value);
    let has = |key: &str| value.get(key).is_some_and(|v| !v.is_null());
    let thought = value.get("thought") == Some(&Value::Bool(true));
    let media = has("inlineData") || has("fileData");
    let spoken = has("text") || has("functionCall") || has("functionResponse");
    let signature_only = has("thoughtSignature")
        && value.as_object().is_some_and(|m| m.keys().all(|k| matches!(k.as_str(), "thought" | "thoughtSignature")));
    if value.is_object() && !(spoken || signature_only || (media && !thought)) {
        return Ok(Content::Native(value).into());
    }
    let mut fields = Fields::of(value, path)?;
    let signature = fields.string("thoughtSignature")?.map(|token| Signature::from_token(Dialect::Gemini, &token));
    fields.boolean("thought")?;
    let mut extras = Extras::new();
    let content = if let Some(mut call) = inner(&mut fields, "functionCall")? {
        let content = Content::ToolCall(tool_call(&mut call, ids)?);
        nest(&mut extras, "functionCall", call.rest());
        content
    } else if let Some(mut response) = inner(&mut fields, "functionResponse")? {
        let content = Content::ToolResult(tool_result(&mut response, ids)?);
        nest(&mut extras, "functionResponse", response.rest());
        content
    } else if let Some((key, media, rest)) = media_of(&mut fields)? {
        nest(&mut extras, key, rest);
        Content::Media(media)
    } else {
        let text = fields.string("text")?.unwrap_or_default();
        // A signature without text belongs to what was thought, shown or not.
        if thought || (text.is_empty() && signature.is_some()) {
            Content::Reasoning { text, summary: thought, redacted: false }
        } else {
            Content::Text { text, citations: Vec::new() }
        }
    };
    let mut rest = fields.rest();
    rest.append(&mut extras);
    Ok(Part { content, cache: None, signature, extras: rest })
}

/// A call's arguments come as an object; they are kept as compact text.
fn tool_call(call: &mut Fields, ids: &mut Ids) -> Result<ToolCall> {
    if call.peek("partialArgs").is_some_and(|v| !v.is_null()) {
        return Err(call.wrong("partialArgs", "nobody asked for arguments in pieces"));
    }
    let given = call.string("id")?;
    let name = call.required_string("name")?;
    if name.is_empty() {
        return Err(call.wrong("name", "must not be empty"));
    }
    let arguments = match call.take("args") {
        None => "{}".to_owned(),
        Some(args @ Value::Object(_)) => args.to_string(),
        Some(_) => return Err(call.wrong("args", "must be an object")),
    };
    Ok(ToolCall { id: ids.call(given, &name), name, arguments, custom: false })
}

/// `{"result": text}` and `{"error": text}` are what we write for text; any other object is its own text.
fn tool_result(response: &mut Fields, ids: &mut Ids) -> Result<ToolResult> {
    let given = response.string("id")?;
    let name = response.required_string("name")?;
    let mut is_error = false;
    let text = match response.take("response") {
        None => "{}".to_owned(),
        Some(Value::Object(map)) => {
            let only = |key: &str| map.get(key).and_then(Value::as_str).filter(|_| map.len() == 1);
            if let Some(text) = only("error") {
                is_error = true;
                text.to_owned()
            } else if let Some(text) = only("result").filter(|t| parse_object(t).is_none()) {
                text.to_owned()
            } else {
                Value::Object(map).to_string()
            }
        }
        Some(_) => return Err(response.wrong("response", "must be an object")),
    };
    let mut parts = vec![Part::text(text)];
    for mut part in objects(response, "parts")? {
        let Some((key, media, rest)) = media_of(&mut part)? else {
            parts.push(Content::Native(part.into_value()).into());
            continue;
        };
        let mut extras = part.rest();
        nest(&mut extras, key, rest);
        parts.push(Part { extras, ..Content::Media(media).into() });
    }
    let call_id = ids.answered(given, &name);
    Ok(ToolResult { call_id, name: Some(name), parts, is_error, custom: false })
}

/// Text that is a JSON object.
pub(super) fn parse_object(text: &str) -> Option<Map<String, Value>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Under which name media stood, and what else stood there.
type Found = (&'static str, Media, Map<String, Value>);

/// Takes `inlineData` or `fileData`.
fn media_of(fields: &mut Fields) -> Result<Option<Found>> {
    if let Some(mut blob) = inner(fields, "inlineData")? {
        let mime = blob.required_string("mimeType")?;
        let Some(base64) = standard_base64(blob.required_string("data")?) else {
            return Err(blob.wrong("data", "is not base64"));
        };
        let media = Media {
            kind: kind_of(&mime),
            source: Source::Data { mime, base64 },
            name: blob.string("displayName")?,
            detail: None,
        };
        return Ok(Some(("inlineData", media, blob.rest())));
    }
    let Some(mut file) = inner(fields, "fileData")? else { return Ok(None) };
    let mime = file.string("mimeType")?;
    let url = file.required_string("fileUri")?;
    let kind = kind_of(mime.as_deref().or_else(|| mime_of(&url)).unwrap_or_default());
    let name = file.string("displayName")?;
    Ok(Some(("fileData", Media { kind, source: Source::Url { url, mime }, name, detail: None }, file.rest())))
}

/// In the standard alphabet and padded, where it decodes.
fn standard_base64(mut data: String) -> Option<String> {
    if data.contains(['-', '_']) {
        data = data.replace('-', "+").replace('_', "/");
    }
    LENIENT.decode(&data).ok()?;
    data.extend(std::iter::repeat_n('=', data.len().next_multiple_of(4) - data.len()));
    Some(data)
}

/// The kind of media that a media type names.
fn kind_of(mime: &str) -> MediaKind {
    match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// Endings of names, and the media types that they stand for.
const ENDINGS: [(&str, &str); 33] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("aac", "audio/aac"),
    ("aiff", "audio/aiff"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/opus"),
    ("m4a", "audio/mp4"),
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
    ("mpg", "video/mpeg"),
    ("mpeg", "video/mpeg"),
    ("avi", "video/x-msvideo"),
    ("wmv", "video/x-ms-wmv"),
    ("flv", "video/x-flv"),
    ("3gp", "video/3gpp"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("csv", "text/csv"),
    ("xml", "text/xml"),
    ("json", "application/json"),
    ("rtf", "text/rtf"),
];

/// The media type that an address ends like.
pub(super) fn mime_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let ending = path.rsplit('/').next()?.rsplit_once('.')?.1;
    ENDINGS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, mime)| *mime)
}

/// A malformed body that is not JSON.
pub(super) fn parse(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|e| Malformed::new("", format!("not JSON: {e}")))
}

//! Images and documents: their sources in this API and back.

use serde_json::{Value, json};

use crate::chat::{Media, MediaKind, Source};
use crate::dialect::wire::{self, Fields, Result};

/// What the API takes inline as an image.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Reads a block's `source`; `None` where only this API knows that kind of source. The source stays in the block then.
pub(super) fn read(block: &mut Fields, kind: MediaKind) -> Result<Option<Source>> {
    let known = ["base64", "url", "file", "text"];
    match block.peek("source").and_then(|s| s.get("type")).and_then(Value::as_str) {
        Some(other) if !known.contains(&other) => return Ok(None),
        Some("text") if kind == MediaKind::Image => return Ok(None),
        _ => {}
    }
    let Some(mut source) = block.object("source")? else { return Err(block.wrong("source", "is required")) };
    let found = match source.required_string("type")?.as_str() {
        "base64" => {
            let mime = source.required_string("media_type")?;
            if kind == MediaKind::Image && !mime.starts_with("image/") {
                return Err(source.wrong("media_type", format!("must be an image's (image/png), not `{mime}`")));
            }
            let base64 = source.required_string("data")?;
            if !is_base64(&base64) {
                return Err(source.wrong("data", "must be base64 of the file's bytes"));
            }
            Source::Data { mime, base64 }
        }
        "url" => Source::from_url(&source.required_string("url")?),
        "file" => Source::File(source.required_string("file_id")?),
        // Text, the only kind left.
        _ => Source::Text(source.required_string("data")?),
    };
    Ok(Some(found))
}

/// The text of a source that is cut into blocks of text; the source stays in the block.
pub(super) fn chunks(block: &Fields) -> Option<String> {
    let source = block.peek("source").filter(|s| s["type"] == "content")?;
    match source.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let texts: Option<Vec<_>> = blocks.iter().map(|b| b.get("text")?.as_str()).collect();
            Some(texts?.join("\n"))
        }
        _ => None,
    }
}

/// The block of an image or a document, without what surrounds it; an error says what the client can do.
pub(super) fn write(media: &Media, home: bool) -> std::result::Result<Value, String> {
    let source = match (&media.source, media.kind) {
        (Source::Data { mime, base64 }, MediaKind::Image) => {
            let mime = if home { mime } else { wire::registered_mime(mime) };
            if !IMAGES.contains(&mime) && !home {
                return Err(format!("the API takes images as JPEG, PNG, GIF and WebP, not as {mime}"));
            }
            json!({"type": "base64", "media_type": mime, "data": base64})
        }
        (Source::Data { mime, base64 }, MediaKind::Document) if mime == "application/pdf" || home => {
            json!({"type": "base64", "media_type": mime, "data": base64})
        }
        (Source::Data { mime, base64 }, MediaKind::Document) if mime.starts_with("text/") => {
            let bytes = decode_base64(base64).ok_or("the document is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "the document says that it is text, but is not UTF-8")?;
            text_source(&text)
        }
        (Source::Data { mime, .. }, MediaKind::Document) => {
            return Err(format!("the API takes documents as PDF and plain text, not as {mime}"));
        }
        (Source::Url { url, .. }, MediaKind::Image | MediaKind::Document) if is_web(url) || home => {
            json!({"type": "url", "url": url})
        }
        (Source::Url { .. }, MediaKind::Image | MediaKind::Document) => {
            return Err("the API fetches http(s) addresses only; send the file inline, as base64".into());
        }
        (Source::Text(text), MediaKind::Document) => text_source(text),
        (Source::File(id), MediaKind::Image | MediaKind::Document) if home => json!({"type": "file", "file_id": id}),
        (Source::File(_), MediaKind::Image | MediaKind::Document) => {
            return Err("the file was uploaded to another provider; send it inline, as base64".into());
        }
        (_, MediaKind::Audio) => return Err("the API takes no audio".into()),
        (_, MediaKind::Video) => return Err("the API takes no video".into()),
        (Source::Text(_), MediaKind::Image) => return Err("an image cannot be text".into()),
    };
    let kind = if media.kind == MediaKind::Image { "image" } else { "document" };
    let mut block = json!({"type": kind, "source": source});
    if let (MediaKind::Document, Some(name)) = (media.kind, &media.name) {
        block["title"] = name.as_str().into();
    }
    Ok(block)
}

fn text_source(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Standard base64, its padding optional; line ends are not allowed.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let padded = padding == 0 || (padding <= 2 && text.len().is_multiple_of(4));
    padded && !body.is_empty() && body.len() % 4 != 1 && body.bytes().all(|b| sextet(b).is_some())
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for b in text.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(sextet(b)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

const fn sextet(b: u8) -> Option<u8> {
    Some(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

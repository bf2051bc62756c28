//! Pictures, recordings, films and files as parts of a message.

use crate::chat::{Media, MediaKind, Source};
use crate::dialect::wire::{Fields, Malformed};
use crate::registry::Dialect;
use serde_json::{Map, Value, json};

/// Whether it is standard base64, padded, as every provider demands it.
pub(super) fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let body = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    !bytes.is_empty() && bytes.len().is_multiple_of(4) && body.iter().all(plain)
}

/// A URL of a certain kind of media, at this path.
pub(super) fn from_url(url: &str, kind: MediaKind, at: &str) -> Result<Source, Malformed> {
    let source = Source::from_url(url);
    match &source {
        Source::Data { mime, base64 } => {
            let family = family(kind);
            if !family.is_empty() && !mime.starts_with(family) {
                return Err(Malformed::new(at, format!("has the media type `{mime}`, which is not {family}*")));
            }
            if !is_base64(base64) {
                return Err(Malformed::new(at, "its data are not base64"));
            }
        }
        Source::Url { url, .. } => {
            let known = ["https://", "http://", "gs://", "s3://"];
            if !known.iter().any(|scheme| url.get(..scheme.len()).is_some_and(|u| u.eq_ignore_ascii_case(scheme))) {
                return Err(Malformed::new(
                    at,
                    "must be an `https` URL, or `data:` with a media type and base64: `data:image/png;base64,…`",
                ));
            }
        }
        Source::Text(_) | Source::File(_) => {}
    }
    Ok(source)
}

/// What a media type of this kind begins with; empty where it may be anything.
const fn family(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/",
        MediaKind::Audio => "audio/",
        MediaKind::Video => "video/",
        MediaKind::Document => "",
    }
}

/// `image_url` and `video_url`: an object with the URL, or (of old) the URL itself.
pub(super) fn decode_url(fields: &mut Fields, key: &str, kind: MediaKind) -> Result<Media, Malformed> {
    let at = fields.at(key);
    let (url, detail) = match fields.require(key)? {
        Value::String(url) => (url, None),
        value => {
            let mut inner = Fields::of(value, at.as_str())?;
            (inner.required_string("url")?, inner.string("detail")?)
        }
    };
    Ok(Media { kind, source: from_url(&url, kind, &format!("{at}.url"))?, name: None, detail })
}

/// `input_audio`.
pub(super) fn decode_audio(fields: &mut Fields) -> Result<Media, Malformed> {
    let mut audio = fields.object("input_audio")?.ok_or_else(|| fields.wrong("input_audio", "is required"))?;
    let base64 = audio.required_string("data")?;
    if !is_base64(&base64) {
        return Err(audio.wrong("data", "is not base64"));
    }
    let mime = match audio.required_string("format")?.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        format => format!("audio/{format}"),
    };
    Ok(Media { kind: MediaKind::Audio, source: Source::Data { mime, base64 }, name: None, detail: None })
}

/// `file`: its data (a `data:` URL, bare base64, or at some look-alikes a URL) or the id of an uploaded one.
pub(super) fn decode_file(fields: &mut Fields) -> Result<Media, Malformed> {
    let mut file = fields.object("file")?.ok_or_else(|| fields.wrong("file", "is required"))?;
    let name = file.string("filename")?;
    let source = match (file.string("file_data")?, file.string("file_id")?) {
        (Some(data), None) if is_base64(&data) => {
            Source::Data { mime: mime_of(name.as_deref()).to_owned(), base64: data }
        }
        (Some(data), None) => from_url(&data, MediaKind::Document, &file.at("file_data"))?,
        (None, Some(id)) => Source::File(id),
        _ => return Err(Malformed::new(file.path(), "needs either `file_data` or `file_id`")),
    };
    let kind = match &source {
        Source::Data { mime, .. } => kind_of(mime),
        _ => MediaKind::Document,
    };
    Ok(Media { kind, source, name, detail: None })
}

/// By the ending of a file's name; without one a PDF, which is what the field was made for.
fn mime_of(name: Option<&str>) -> &'static str {
    let ending = name.and_then(|n| n.rsplit_once('.')).map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/pdf",
    }
}

fn kind_of(mime: &str) -> MediaKind {
    let kinds = [MediaKind::Image, MediaKind::Audio, MediaKind::Video];
    kinds.into_iter().find(|k| mime.starts_with(family(*k))).unwrap_or(MediaKind::Document)
}

/// A part of a message of a request from this dialect; the error says why there is none.
pub(super) fn encode(media: &Media, origin: Dialect, video: bool) -> Result<Map<String, Value>, String> {
    let part = match (media.kind, &media.source) {
        // Ids mean something only to whom the file was given.
        (_, Source::File(_)) if !matches!(origin, Dialect::OpenAi | Dialect::Responses) => {
            return Err("the file was uploaded to another provider; send it inline".into());
        }
        (MediaKind::Image, Source::File(_)) => {
            return Err("the model's API takes pictures by URL or inline, not by the id of an uploaded file".into());
        }
        (_, Source::File(id)) => json!({"type": "file", "file": {"file_id": id}}),
        (MediaKind::Image, source) => {
            let url = source.to_url().ok_or("a picture needs a URL or data")?;
            let mut image = json!({"url": url});
            if let Some(detail) = &media.detail {
                image["detail"] = detail.as_str().into();
            }
            json!({"type": "image_url", "image_url": image})
        }
        (MediaKind::Audio, Source::Data { mime, base64 }) => {
            let format = audio_format(mime)
                .ok_or_else(|| format!("the model's API takes recordings as wav or mp3, not `{mime}`"))?;
            json!({"type": "input_audio", "input_audio": {"data": base64, "format": format}})
        }
        (MediaKind::Audio, _) => return Err("the model's API takes recordings only inline, as base64".into()),
        (MediaKind::Video, source) if video => {
            let url = source.to_url().ok_or("a film needs a URL or data")?;
            json!({"type": "video_url", "video_url": {"url": url}})
        }
        (MediaKind::Video, _) => return Err("the model's API takes no films".into()),
        (MediaKind::Document, Source::Data { mime, base64 }) => {
            let name = named(media.name.as_deref(), mime, origin == Dialect::OpenAi);
            json!({"type": "file", "file": {"filename": name, "file_data": format!("data:{mime};base64,{base64}")}})
        }
        (MediaKind::Document, Source::Text(text)) => {
            let text = match &media.name {
                Some(name) => format!("{name}:\n\n{text}"),
                None => text.clone(),
            };
            json!({"type": "text", "text": text})
        }
        (MediaKind::Document, Source::Url { .. }) => {
            return Err("the model's API takes documents only inline (base64) or by the id of an uploaded file".into());
        }
    };
    match part {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// A file's name. The API goes by its ending, which the titles of documents elsewhere do not have.
fn named(name: Option<&str>, mime: &str, as_is: bool) -> String {
    let name = name.unwrap_or("document");
    let ending = |e: &str| (1..=5).contains(&e.len()) && e.bytes().all(|b| b.is_ascii_alphanumeric());
    if as_is || name.rsplit_once('.').is_some_and(|(_, e)| ending(e)) {
        return name.to_owned();
    }
    format!("{name}.{}", ending_of(mime))
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

fn audio_format(mime: &str) -> Option<&'static str> {
    match mime {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

//! Parts of a turn's content on their way in: text, and media with a check that they are what they say.

use serde_json::Value;

use super::shared::{HOME, citation};
use crate::chat::{CacheMark, Content, Media, MediaKind, Part, Source};
use crate::dialect::wire::{Fields, Malformed, Result, kind};

/// The parts of a `content` or `output`: a string, or a list.
pub(super) fn parts(value: Option<Value>, at: &str) -> Result<Vec<Part>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(list)) => {
            let each = list.into_iter().enumerate();
            each.map(|(i, value)| part(Fields::of(value, format!("{at}[{i}]"))?)).collect()
        }
        Some(other) => Err(Malformed::new(at, format!("must be a string or an array of parts, not {}", kind(&other)))),
    }
}

fn part(mut f: Fields) -> Result<Part> {
    let cache = cache_mark(&mut f)?;
    let content = match f.required_string("type")?.as_str() {
        "input_text" | "output_text" | "text" => {
            let text = f.required_string("text")?;
            let annotations = f.array("annotations")?.unwrap_or_default();
            // Likelihoods come back with an assistant's turn; nobody reads them there.
            f.take("logprobs");
            Content::Text { text, citations: annotations.into_iter().map(|a| citation(a, 0)).collect() }
        }
        "refusal" => Content::Refusal(f.required_string("refusal")?),
        "input_image" => Content::Media(image(&mut f)?),
        "input_file" => Content::Media(file(&mut f)?),
        "input_audio" => Content::Media(audio(&mut f)?),
        other => {
            let known = "input_text, output_text, refusal, input_image, input_file and input_audio";
            return Err(f.wrong("type", format!("must be one of {known}, not `{other}`")));
        }
    };
    Ok(Part { content, cache, signature: None, extras: f.rest() })
}

fn cache_mark(f: &mut Fields) -> Result<Option<CacheMark>> {
    let Some(mut mark) = f.object("prompt_cache_breakpoint")? else { return Ok(None) };
    Ok(Some(CacheMark { ttl: mark.string("ttl")? }))
}

fn image(f: &mut Fields) -> Result<Media> {
    let url = f.string("image_url")?;
    let source = match (url, f.string("file_id")?) {
        (Some(url), _) => {
            let source = Source::from_url(&url);
            if let Source::Data { mime, base64 } = &source {
                if !mime.starts_with("image/") {
                    return Err(f.wrong("image_url", format!("must be an image, not {mime}")));
                }
                check_base64(f, "image_url", base64)?;
            }
            check_url(f, "image_url", source)?
        }
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(Malformed::new(f.path(), "an image needs `image_url` or `file_id`")),
    };
    Ok(Media { kind: MediaKind::Image, source, name: None, detail: f.string("detail")? })
}

fn file(f: &mut Fields) -> Result<Media> {
    let name = f.string("filename")?;
    let (data, url, id) = (f.string("file_data")?, f.string("file_url")?, f.string("file_id")?);
    let source = match (data, url, id) {
        (Some(data), ..) => {
            let source = match Source::from_url(&data) {
                // Bare base64 says no type; its name may.
                Source::Url { .. } if !data.starts_with("data:") => {
                    Source::Data { mime: mime_of(name.as_deref()).to_owned(), base64: data }
                }
                source => check_url(f, "file_data", source)?,
            };
            if let Source::Data { base64, .. } = &source {
                check_base64(f, "file_data", base64)?;
            }
            source
        }
        (None, Some(url), _) => check_url(f, "file_url", Source::from_url(&url))?,
        (None, None, Some(id)) => Source::File(id),
        (None, None, None) => {
            return Err(Malformed::new(f.path(), "a file needs `file_data`, `file_url` or `file_id`"));
        }
    };
    Ok(Media { kind: MediaKind::Document, source, name, detail: f.string("detail")? })
}

fn audio(f: &mut Fields) -> Result<Media> {
    let mut audio = Fields::of(f.require("input_audio")?, f.at("input_audio"))?;
    let base64 = audio.required_string("data")?;
    check_base64(&audio, "data", &base64)?;
    let format = audio.required_string("format")?;
    let mime = match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    };
    Ok(Media { kind: MediaKind::Audio, source: Source::Data { mime, base64 }, name: None, detail: None })
}

/// A `data:` URL that could not be read as one is no address either.
fn check_url(f: &Fields, key: &str, source: Source) -> Result<Source> {
    match &source {
        Source::Url { url, .. } if url.starts_with("data:") => {
            Err(f.wrong(key, "must be a data URL of the form `data:<type>;base64,<data>`"))
        }
        Source::Url { url, .. } if url.is_empty() => Err(f.wrong(key, "must not be empty")),
        _ => Ok(source),
    }
}

fn check_base64(f: &Fields, key: &str, text: &str) -> Result<()> {
    if is_base64(text.as_bytes()) { Ok(()) } else { Err(f.wrong(key, "its data are not base64")) }
}

/// Standard base64, padding optional, that holds at least one byte.
fn is_base64(text: &[u8]) -> bool {
    let padding = text.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let digits = &text[..text.len() - padding];
    let whole = if padding > 0 { text.len().is_multiple_of(4) } else { digits.len() % 4 != 1 };
    !digits.is_empty() && whole && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn mime_of(name: Option<&str>) -> &'static str {
    let extension = name.and_then(|n| n.rsplit_once('.')).map(|(_, e)| e.to_ascii_lowercase());
    match extension.as_deref() {
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/pdf",
    }
}

/// Whether ids of uploaded files mean anything to this dialect's provider: only where the same provider gave them.
pub(super) fn knows_files_of(origin: crate::registry::Dialect) -> bool {
    matches!(origin, HOME | crate::registry::Dialect::OpenAi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_told_from_other_text() {
        for good in ["QQ==", "QUI=", "QUJD", "QQ", "QUI", "+/+/"] {
            assert!(is_base64(good.as_bytes()), "{good}");
        }
        for bad in ["", "=", "==", "Q", "QUJDR", "Q Q=", "QQ=", "QUJD=", "a-b_", "QQ===", "Q=Q="] {
            assert!(!is_base64(bad.as_bytes()), "{bad}");
        }
    }
}

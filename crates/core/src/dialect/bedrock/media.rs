//! Formats of media, base64, and names of documents.

use crate::chat::MediaKind;
use crate::dialect::wire::{self, Fields};

/// Formats with their media types, the usual one first.
type Formats = &'static [(&'static str, &'static [&'static str])];

const IMAGES: Formats = &[
    ("png", &["image/png"]),
    ("jpeg", &["image/jpeg", "image/jpg"]),
    ("gif", &["image/gif"]),
    ("webp", &["image/webp"]),
];
const DOCUMENTS: Formats = &[
    ("pdf", &["application/pdf"]),
    ("csv", &["text/csv"]),
    ("doc", &["application/msword"]),
    ("docx", &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"]),
    ("xls", &["application/vnd.ms-excel"]),
    ("xlsx", &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"]),
    ("html", &["text/html"]),
    ("txt", &["text/plain", "application/json", "application/xml", "text/xml"]),
    ("md", &["text/markdown", "text/x-markdown"]),
];
const VIDEOS: Formats = &[
    ("mp4", &["video/mp4"]),
    ("mov", &["video/quicktime"]),
    ("mkv", &["video/x-matroska"]),
    ("webm", &["video/webm"]),
    ("flv", &["video/x-flv"]),
    ("mpeg", &["video/mpeg"]),
    ("mpg", &["video/mpg"]),
    ("wmv", &["video/x-ms-wmv"]),
    ("three_gp", &["video/3gpp"]),
];
const SOUNDS: Formats = &[
    ("mp3", &["audio/mpeg", "audio/mp3"]),
    ("wav", &["audio/wav", "audio/x-wav", "audio/wave"]),
    ("opus", &["audio/opus"]),
    ("aac", &["audio/aac"]),
    ("flac", &["audio/flac"]),
    ("ogg", &["audio/ogg"]),
    ("m4a", &["audio/mp4", "audio/m4a", "audio/x-m4a"]),
    ("mp4", &["video/mp4"]),
    ("mkv", &["video/x-matroska"]),
    ("mka", &["audio/x-matroska"]),
    ("x-aac", &["audio/x-aac"]),
    ("mpeg", &["audio/x-mpeg"]),
    ("mpga", &["audio/mpga"]),
    ("pcm", &["audio/pcm", "audio/l16"]),
    ("webm", &["audio/webm"]),
];

/// The member that a block of this kind has.
pub(super) const fn block_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Document => "document",
    }
}

/// The kind of a block with this member.
pub(super) fn kind_named(member: &str) -> Option<MediaKind> {
    [MediaKind::Image, MediaKind::Audio, MediaKind::Video, MediaKind::Document]
        .into_iter()
        .find(|kind| block_name(*kind) == member)
}

const fn formats(kind: MediaKind) -> Formats {
    match kind {
        MediaKind::Image => IMAGES,
        MediaKind::Audio => SOUNDS,
        MediaKind::Video => VIDEOS,
        MediaKind::Document => DOCUMENTS,
    }
}

/// The media type of a format.
pub(super) fn mime_of(kind: MediaKind, format: &str) -> Option<&'static str> {
    formats(kind).iter().find(|(name, _)| *name == format).and_then(|(_, mimes)| mimes.first().copied())
}

/// The format of a media type, parameters aside. Documents of other kinds of text are plain text.
pub(super) fn format_of(kind: MediaKind, mime: &str) -> Option<&'static str> {
    let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = formats(kind).iter().find(|(_, mimes)| mimes.contains(&mime.as_str())).map(|(name, _)| *name);
    known.or_else(|| (kind == MediaKind::Document && mime.starts_with("text/")).then_some("txt"))
}

/// The formats of a kind, for messages.
pub(super) fn format_names(kind: MediaKind) -> String {
    formats(kind).iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Takes base64 that must decode to something.
pub(super) fn take_base64(fields: &mut Fields, key: &str) -> wire::Result<Option<String>> {
    match fields.string(key)? {
        Some(text) if is_base64(&text) => Ok(Some(text)),
        Some(_) => Err(fields.wrong(key, "must be standard base64 and not empty")),
        None => Ok(None),
    }
}

/// Whether it is standard base64, padded, of at least one byte.
pub(super) fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let digits = &bytes[..bytes.len() - padding];
    !digits.is_empty()
        && bytes.len().is_multiple_of(4)
        && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// Text as base64.
pub(super) fn base64_of(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(text.len().div_ceil(3) * 4);
    for group in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0u32, |n, i| n << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A name that Bedrock takes and that no other document of the request has: letters, digits, single spaces, hyphens,
/// parentheses and square brackets, 200 at most.
pub(super) fn document_name(name: Option<&str>, used: &mut Vec<String>) -> String {
    const LONGEST: usize = 190;
    let name = name.unwrap_or_default();
    // The format says what an extension would.
    let stem = match name.rsplit_once('.') {
        Some((stem, end)) if formats(MediaKind::Document).iter().any(|(f, _)| end.eq_ignore_ascii_case(f)) => stem,
        _ => name,
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let clean: String = stem.chars().map(|c| if allowed(c) || c.is_whitespace() { c } else { '-' }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    // All ASCII by now.
    let base = clean.get(..LONGEST).unwrap_or(&clean).trim();
    let base = if base.bytes().any(|b| b.is_ascii_alphanumeric()) { base } else { "document" };
    let mut unique = base.to_owned();
    let mut count = 1;
    while used.contains(&unique) {
        count += 1;
        unique = format!("{base} {count}");
    }
    used.push(unique.clone());
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_get_names_that_are_taken() {
        let mut used = Vec::new();
        let names = [
            (Some("report.pdf"), "report"),
            (Some("report.PDF"), "report 2"),
            (Some("q3_figures v1.2  (draft).xlsx"), "q3-figures v1-2 (draft)"),
            (Some("…"), "document"),
            (None, "document 2"),
            (Some(" [a] \n b"), "[a] b"),
        ];
        for (name, want) in names {
            assert_eq!(document_name(name, &mut used), want);
        }
        assert_eq!(document_name(Some(&"x".repeat(300)), &mut used).len(), 190);
    }

    #[test]
    fn base64_is_told_from_other_text() {
        for good in ["AAAA", "AA==", "AAA=", "a+/9"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["", "A", "AA", "====", "AA=A", "A===", "AAA\n", "_-AA", "é==="] {
            assert!(!is_base64(bad), "{bad}");
        }
        for (text, want) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("hi é", "aGkgw6k=")] {
            assert_eq!(base64_of(text), want);
        }
    }

    #[test]
    fn formats_and_media_types_agree() {
        for kind in [MediaKind::Image, MediaKind::Audio, MediaKind::Video, MediaKind::Document] {
            for (format, _) in formats(kind) {
                assert_eq!(mime_of(kind, format).and_then(|mime| format_of(kind, mime)), Some(*format));
            }
        }
        assert_eq!(format_of(MediaKind::Image, "IMAGE/JPG; q=1"), Some("jpeg"));
        assert_eq!(format_of(MediaKind::Document, "text/x-rust"), Some("txt"));
        assert_eq!(format_of(MediaKind::Image, "image/svg+xml"), None);
    }
}

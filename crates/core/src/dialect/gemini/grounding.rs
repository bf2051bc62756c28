//! Sources of an answer: `groundingMetadata` (from searches) and `citationMetadata` (recited texts), both ways.
//!
//! It is lenient: what it cannot make sense of is no source. Places in the text count bytes here and characters there.

use crate::chat::Citation;
use crate::registry::Dialect;
use serde_json::{Map, Value, json};

/// The text of an answer, and where in it each of the wire's parts began.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// All text, without thoughts.
    pub(super) text: String,
    /// Byte offsets, one for every part; those without text count as the place where they stand.
    pub(super) starts: Vec<usize>,
}

/// The sources that a candidate names.
pub(super) fn read(grounding: Option<&Value>, recited: Option<&Value>, spoken: &Spoken) -> Vec<Citation> {
    let mut citations = Vec::new();
    if let Some(grounding) = grounding {
        grounded(grounding, spoken, &mut citations);
    }
    let recited = recited.and_then(|r| r.get("citations").or_else(|| r.get("citationSources")));
    for source in recited.and_then(Value::as_array).into_iter().flatten() {
        let at = |key: &str| source.get(key).and_then(Value::as_u64);
        let range = at("endIndex").and_then(|end| characters(&spoken.text, at("startIndex").unwrap_or(0), end));
        citations.push(Citation {
            origin: Dialect::Gemini,
            url: text_of(source, "uri"),
            title: text_of(source, "title"),
            quote: None,
            range,
            native: json!({"citation": source}),
        });
    }
    citations
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

fn grounded(grounding: &Value, spoken: &Spoken, out: &mut Vec<Citation>) {
    let list = |key: &str| grounding.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let chunks = list("groundingChunks");
    let supports = list("groundingSupports");
    for support in supports {
        let segment = support.get("segment").unwrap_or(&Value::Null);
        let range = place(segment, spoken);
        let chosen = support.get("groundingChunkIndices").and_then(Value::as_array).into_iter().flatten();
        let chosen = chosen.filter_map(|i| chunks.get(usize::try_from(i.as_u64()?).ok()?));
        for chunk in chosen {
            out.push(Citation { range, quote: text_of(segment, "text"), ..of_chunk(chunk, segment) });
        }
    }
    if supports.is_empty() {
        out.extend(chunks.iter().map(|chunk| of_chunk(chunk, &Value::Null)));
    }
}

/// A chunk has one member, named by its kind: `web`, `maps`, `retrievedContext`.
fn of_chunk(chunk: &Value, segment: &Value) -> Citation {
    let source = chunk.as_object().and_then(|c| c.values().next()).unwrap_or(&Value::Null);
    let mut native = json!({"chunk": chunk});
    if !segment.is_null() {
        native["segment"] = segment.clone();
    }
    Citation {
        origin: Dialect::Gemini,
        url: text_of(source, "uri").or_else(|| text_of(source, "sourceUri")),
        title: text_of(source, "title"),
        quote: None,
        range: None,
        native,
    }
}

/// The characters that a segment stands for: where its own text bears the offsets out, else where that text stands.
fn place(segment: &Value, spoken: &Spoken) -> Option<(u64, u64)> {
    let at = |key: &str| segment.get(key).and_then(Value::as_u64);
    let part = at("partIndex").and_then(|i| usize::try_from(i).ok()).unwrap_or(0);
    let base = spoken.starts.get(part).copied().unwrap_or(0) as u64;
    let range =
        at("endIndex").map(|end| (base.saturating_add(at("startIndex").unwrap_or(0)), base.saturating_add(end)));
    let words = segment.get("text").and_then(Value::as_str).filter(|t| !t.is_empty());
    let borne_out = |&(start, end): &(u64, u64)| {
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        let there = spoken.text.get(range)?;
        words.is_none_or(|words| words == there).then_some((start, end))
    };
    let found = || {
        let words = words?;
        let start = spoken.text.find(words)?;
        Some((start as u64, (start + words.len()) as u64))
    };
    let (start, end) = range.as_ref().and_then(borne_out).or_else(found)?;
    characters(&spoken.text, start, end)
}

/// Bytes to characters.
fn characters(text: &str, start: u64, end: u64) -> Option<(u64, u64)> {
    let count = |to: u64| Some(text.get(..usize::try_from(to).ok()?)?.chars().count() as u64);
    (start <= end).then_some((count(start)?, count(end)?))
}

/// Characters to bytes.
fn bytes(text: &str, range: (u64, u64)) -> Option<(usize, usize)> {
    let byte = |at: u64| {
        let at = usize::try_from(at).ok()?;
        text.char_indices().map(|(i, _)| i).chain([text.len()]).nth(at)
    };
    Some((byte(range.0)?, byte(range.1)?)).filter(|(start, end)| start <= end)
}

/// Writes the members of a candidate that name these sources of its text.
pub(super) fn write(citations: &[Citation], text: &str, candidate: &mut Map<String, Value>) {
    let mut chunks: Vec<Value> = Vec::new();
    let mut supports = Vec::new();
    let mut recited = Vec::new();
    for citation in citations {
        let native = |key: &str| citation.native.get(key).filter(|_| citation.origin == Dialect::Gemini);
        if let Some(source) = native("citation") {
            recited.push(source.clone());
            continue;
        }
        let chunk = native("chunk").cloned().unwrap_or_else(|| web_chunk(citation));
        let index = chunks.iter().position(|c| *c == chunk).unwrap_or_else(|| {
            chunks.push(chunk);
            chunks.len() - 1
        });
        if let Some(segment) = native("segment").cloned().or_else(|| segment(citation, text)) {
            supports.push(json!({"segment": segment, "groundingChunkIndices": [index]}));
        }
    }
    if !chunks.is_empty() {
        let mut grounding = json!({"groundingChunks": chunks});
        if !supports.is_empty() {
            grounding["groundingSupports"] = supports.into();
        }
        candidate.insert("groundingMetadata".into(), grounding);
    }
    if !recited.is_empty() {
        candidate.insert("citationMetadata".into(), json!({"citations": recited}));
    }
}

fn web_chunk(citation: &Citation) -> Value {
    let mut web = Map::new();
    for (key, value) in [("uri", &citation.url), ("title", &citation.title)] {
        if let Some(value) = value {
            web.insert(key.to_owned(), value.as_str().into());
        }
    }
    json!({"web": web})
}

fn segment(citation: &Citation, text: &str) -> Option<Value> {
    let (start, end) = bytes(text, citation.range?)?;
    Some(json!({"startIndex": start, "endIndex": end, "text": text.get(start..end)?}))
}

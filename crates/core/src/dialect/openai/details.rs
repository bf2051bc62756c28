//! Thoughts and their signatures, as `reasoning_details` carry them.
//!
//! OpenAI's chat API has no place for thoughts. Its look-alikes write them as text (`reasoning_content`), and the one
//! convention that also carries what the maker wants back is a list beside it: `reasoning.text` with a `signature`,
//! `reasoning.summary`, and `reasoning.encrypted`. Each entry's `format` says who made the signature, so one made by any
//! dialect can travel through a client of this one.

use crate::chat::{Content, Part, Signature};
use crate::dialect::wire::{Fields, Malformed, put};
use crate::registry::Dialect;
use serde_json::{Value, json};

/// The `format` of signatures that a dialect made.
pub(super) const fn format_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "anthropic-claude-v1",
        Dialect::Gemini => "google-gemini-v1",
        Dialect::Responses => "openai-responses-v1",
        // Nobody else has a name for Bedrock's, which only Bedrock itself checks.
        Dialect::Bedrock => "waypost-bedrock-v1",
        Dialect::OpenAi | Dialect::Simulated => "unknown",
    }
}

/// Who made signatures of this `format`; what no other dialect knows is the look-alike's own.
pub(super) fn dialect_of(format: Option<&str>) -> Dialect {
    let dialects = [Dialect::Anthropic, Dialect::Gemini, Dialect::Responses, Dialect::Bedrock];
    dialects.into_iter().find(|d| format == Some(format_of(*d))).unwrap_or(Dialect::OpenAi)
}

/// One entry.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Thoughts, or their summary.
    pub(super) text: String,
    /// `reasoning.summary`.
    pub(super) summary: bool,
    /// `reasoning.encrypted`: the signature is all there is.
    pub(super) encrypted: bool,
    pub(super) signature: Option<Signature>,
    pub(super) index: Option<u64>,
    /// A name of the item or (Gemini) of the call that it belongs to.
    pub(super) id: Option<String>,
    /// The `format`, where no dialect here has it.
    pub(super) format: Option<String>,
}

impl Detail {
    /// Reads one; `None` for a type that nobody knows yet.
    pub(super) fn decode(mut fields: Fields) -> Result<Option<Self>, Malformed> {
        let kind = fields.required_string("type")?;
        let opaque = match kind.as_str() {
            "reasoning.text" | "reasoning.summary" => fields.string("signature")?,
            "reasoning.encrypted" => fields.string("data")?,
            _ => return Ok(None),
        };
        // Clients that gather a stream make one entry of all that share a place, and the last type holds: its text may
        // stand under the name that an earlier one has for it.
        let (text, told) = (fields.string("text")?, fields.string("summary")?.filter(|t| !t.is_empty()));
        let summary = kind == "reasoning.summary" || told.is_some();
        let text = text.filter(|t| !t.is_empty()).or(told).unwrap_or_default();
        let format = fields.string("format")?;
        let id = fields.string("id")?;
        let dialect = dialect_of(format.as_deref());
        let signature = opaque.filter(|value| !value.is_empty()).map(|value| {
            let id = id.clone().filter(|_| dialect == Dialect::Responses);
            Signature { dialect, value, id }
        });
        Ok(Some(Self {
            encrypted: kind == "reasoning.encrypted" && text.is_empty(),
            text,
            summary,
            signature,
            index: fields.count("index")?,
            id,
            format: format.filter(|f| dialect == Dialect::OpenAi && f != "unknown"),
        }))
    }

    /// Whether the entry goes on where `before` left off: a client may hand back a stream's pieces as they came, and an
    /// item of the Responses API has its summary and its encrypted thoughts in two entries.
    fn continues(&self, before: &Self) -> bool {
        let same = before.index.is_some() && self.index == before.index;
        let own = before.encrypted || before.signature.is_some();
        same && !own && (!self.encrypted || self.belongs_to_summary())
    }

    fn belongs_to_summary(&self) -> bool {
        self.signature.as_ref().is_some_and(|s| s.dialect == Dialect::Responses)
    }

    fn absorb(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.summary |= next.summary;
        self.signature = next.signature;
        self.format = next.format.or(self.format.take());
    }

    fn into_part(self) -> Part {
        let redacted = self.encrypted;
        let mut part: Part = Content::Reasoning { text: self.text, summary: self.summary, redacted }.into();
        part.signature = self.signature;
        put(&mut part.extras, "format", self.format);
        part
    }
}

/// Reads a whole list into parts; what belongs to a call is put there.
pub(super) fn decode(entries: Vec<Fields>, calls: &mut [Part]) -> Result<Vec<Part>, Malformed> {
    let mut details: Vec<Detail> = Vec::new();
    for entry in entries {
        let Some(detail) = Detail::decode(entry)? else { continue };
        if let Some(call) = owner(&detail, calls) {
            call.signature = detail.signature;
            continue;
        }
        match details.last_mut() {
            Some(before) if detail.continues(before) => before.absorb(detail),
            _ => details.push(detail),
        }
    }
    Ok(details.into_iter().filter(|d| !d.text.is_empty() || d.signature.is_some()).map(Detail::into_part).collect())
}

/// Gemini signs its calls; a look-alike that has no other place for it names the call here.
fn owner<'a>(detail: &Detail, calls: &'a mut [Part]) -> Option<&'a mut Part> {
    let id =
        detail.id.as_deref().filter(|_| detail.signature.as_ref().is_some_and(|s| s.dialect == Dialect::Gemini))?;
    calls.iter_mut().find(|p| p.signature.is_none() && matches!(&p.content, Content::ToolCall(c) if c.id == id))
}

/// The entries of one reasoning part.
pub(super) fn encode(part: &Part, index: usize, out: &mut Vec<Value>) {
    let Content::Reasoning { text, summary, redacted } = &part.content else { return };
    let signature = part.signature.as_ref();
    let opaque = *redacted || signature.is_some_and(|s| s.dialect == Dialect::Responses);
    if !text.is_empty() || !opaque {
        let (kind, member) = if *summary { ("reasoning.summary", "summary") } else { ("reasoning.text", "text") };
        let mut entry = json!({"type": kind, member: text});
        if let Some(signature) = signature.filter(|_| !opaque) {
            entry["signature"] = signature.value.as_str().into();
        }
        finish(&mut entry, part, index, out);
    }
    if let Some(signature) = signature.filter(|_| opaque) {
        finish(&mut json!({"type": "reasoning.encrypted", "data": signature.value}), part, index, out);
    }
}

/// The entry of a signed call, for whoever takes its signature nowhere else.
pub(super) fn encode_call(id: &str, signature: &Signature, index: usize) -> Value {
    let format = format_of(signature.dialect);
    json!({"type": "reasoning.encrypted", "data": signature.value, "id": id, "format": format, "index": index})
}

/// What every entry ends with.
fn finish(entry: &mut Value, part: &Part, index: usize, out: &mut Vec<Value>) {
    let own = part.extras.get("format").and_then(Value::as_str);
    if let Some(signature) = &part.signature {
        if let Some(id) = &signature.id {
            entry["id"] = id.as_str().into();
        }
        entry["format"] = own.unwrap_or(format_of(signature.dialect)).into();
    } else if let Some(own) = own {
        entry["format"] = own.into();
    }
    entry["index"] = index.into();
    out.push(entry.take());
}

/// Gemini's signature on what is not a thought, as `extra_content` carries it.
pub(super) fn thought_signature(signature: &Signature) -> Value {
    json!({"google": {"thought_signature": signature.token(Dialect::Gemini)}})
}

/// Takes `extra_content` where it holds `google.thought_signature`.
pub(super) fn take_thought_signature(fields: &mut Fields) -> Option<Signature> {
    let token = fields.peek("extra_content")?.get("google")?.get("thought_signature")?.as_str()?;
    let signature = (!token.is_empty()).then(|| Signature::from_token(Dialect::Gemini, token));
    fields.take("extra_content");
    signature
}

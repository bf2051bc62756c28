//! What requests, answers and streams of this dialect have in common: reasoning items, annotations, likelihoods, usage.

use serde_json::{Map, Number, Value, json};

use crate::chat::{Citation, Signature, TokenLogprob};
use crate::dialect::wire::{Fields, Result};
use crate::registry::{Dialect, Usage};

/// This dialect.
pub(super) const HOME: Dialect = Dialect::Responses;

/// Between two parts of a summary once they are one text.
pub(super) const PARAGRAPH: &str = "\n\n";

/// Stands in the id of a signature from abroad: the whole block is encrypted in it.
const REDACTED: &str = "redacted";
/// Likewise: it belongs to the call that follows, since calls have no opaque field here.
const CALL: &str = "call";

/// What a signature from abroad signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signs {
    /// The thoughts in the same item.
    Thoughts,
    /// Nothing that can be read.
    Redacted,
    /// The next call.
    Call,
}

/// The value of `encrypted_content` for a signature.
pub(super) fn carry(signature: &Signature, signs: Signs) -> String {
    let id = match signs {
        Signs::Thoughts => return signature.token(HOME),
        Signs::Redacted => REDACTED,
        Signs::Call => CALL,
    };
    Signature { id: Some(id.to_owned()), ..signature.clone() }.token(HOME)
}

/// Reads what [`carry`] wrote, or this dialect's own token, which belongs to the item of this id.
fn uncarry(token: &str, item: Option<String>) -> (Signature, Signs) {
    let mut signature = Signature::from_token(HOME, token);
    if signature.dialect == HOME {
        signature.id = item.or(signature.id);
        return (signature, Signs::Thoughts);
    }
    let signs = match signature.id.as_deref() {
        Some(REDACTED) => Signs::Redacted,
        Some(CALL) => Signs::Call,
        _ => return (signature, Signs::Thoughts),
    };
    signature.id = None;
    (signature, signs)
}

/// A `reasoning` item.
#[derive(Debug)]
pub(super) struct Reasoning {
    /// Its text; the raw thoughts where it has them, else the summary.
    pub(super) text: String,
    /// The text is a summary.
    pub(super) summary: bool,
    /// Its id.
    pub(super) id: Option<String>,
    /// What its encrypted content says.
    pub(super) signature: Option<(Signature, Signs)>,
}

impl Reasoning {
    /// Takes an item's members.
    pub(super) fn take(item: &mut Fields) -> Result<Self> {
        let id = item.string("id")?;
        let summary = texts(item, "summary")?;
        let content = texts(item, "content")?;
        let token = item.string("encrypted_content")?.filter(|t| !t.is_empty());
        let signature = token.map(|t| uncarry(&t, id.clone()));
        let is_summary = content.is_empty();
        let text = if is_summary { summary } else { content }.join(PARAGRAPH);
        // What another dialect thought went out as a summary, since there is no other place for it to be seen.
        let foreign = signature.as_ref().is_some_and(|(s, _)| s.dialect != HOME);
        Ok(Self { summary: is_summary && !foreign && !text.is_empty(), text, id, signature })
    }

    /// Whether the signature holds all of it.
    pub(super) fn redacted(&self) -> bool {
        match &self.signature {
            Some((signature, signs)) => {
                *signs == Signs::Redacted || (signature.dialect == HOME && self.text.is_empty())
            }
            None => false,
        }
    }
}

fn texts(item: &mut Fields, key: &str) -> Result<Vec<String>> {
    item.objects(key)?.into_iter().map(|mut part| part.required_string("text")).collect()
}

/// A `reasoning` item without its id. `raw`: the text is not a summary and the reader knows raw thoughts.
pub(super) fn reasoning_item(text: &str, raw: bool, token: Option<String>) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert("type".into(), "reasoning".into());
    let part = |kind: &str| if text.is_empty() { json!([]) } else { json!([{"type": kind, "text": text}]) };
    item.insert("summary".into(), if raw { json!([]) } else { part("summary_text") });
    if raw {
        item.insert("content".into(), part("reasoning_text"));
    }
    if let Some(token) = token {
        item.insert("encrypted_content".into(), token.into());
    }
    item
}

/// Reads an annotation of a text before which the answer said so many characters: places here are places in that text.
pub(super) fn citation(native: Value, before: u64) -> Citation {
    let text = |key: &str| native.get(key).and_then(Value::as_str).map(str::to_owned);
    let count = |key: &str| native.get(key).and_then(Value::as_u64);
    let place = |key: &str| count(key).map(|n| n.saturating_add(before));
    let range = place("start_index").zip(place("end_index"));
    Citation {
        origin: HOME,
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        quote: None,
        range,
        native,
    }
}

/// A citation as an annotation of a text before which the answer said so many characters; `None` for a source without an
/// address, which has no form here. `place` in that text is what it is cited for where its origin does not say.
pub(super) fn annotation(citation: &Citation, before: u64, place: (u64, u64)) -> Option<Value> {
    if citation.origin == HOME {
        return Some(citation.native.clone());
    }
    let url = citation.url.as_deref()?;
    let within = |(start, end): (u64, u64)| (start.saturating_sub(before), end.saturating_sub(before));
    let (start, end) = citation.range.map_or(place, within);
    Some(json!({
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "url": url,
        "title": citation.title.as_deref().unwrap_or(url),
    }))
}

/// Reads `logprobs`; entries that are none are passed over, as likelihoods are no reason to lose an answer.
pub(super) fn logprobs(value: &Value) -> Vec<TokenLogprob> {
    value.as_array().into_iter().flatten().filter_map(logprob).collect()
}

fn logprob(value: &Value) -> Option<TokenLogprob> {
    let token = value.get("token")?.as_str()?.to_owned();
    let Value::Number(logprob) = value.get("logprob")? else { return None };
    let byte = |b: &Value| b.as_u64().and_then(|b| u8::try_from(b).ok());
    let bytes: Option<Vec<u8>> =
        value.get("bytes").and_then(Value::as_array).and_then(|b| b.iter().map(byte).collect());
    Some(TokenLogprob {
        logprob: logprob.clone(),
        bytes: bytes.filter(|b| b != token.as_bytes()),
        top: value.get("top_logprobs").map(logprobs).unwrap_or_default(),
        token,
    })
}

/// One entry of `logprobs`.
pub(super) fn logprob_value(token: &TokenLogprob) -> Value {
    let entry = |t: &TokenLogprob| {
        let bytes = t.bytes.as_deref().unwrap_or(t.token.as_bytes());
        json!({"token": t.token, "bytes": bytes, "logprob": t.logprob})
    };
    let mut value = entry(token);
    value["top_logprobs"] = token.top.iter().map(entry).collect();
    value
}

/// Reads `usage`; `None` where it counts nothing. An explicit zero is a count.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let count = |at: &str| value.pointer(at).and_then(Value::as_number).and_then(whole);
    let (input, output) = (count("/input_tokens"), count("/output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let input = input.unwrap_or(0);
    let cached = count("/input_tokens_details/cached_tokens").unwrap_or(0).min(input);
    let written = count("/input_tokens_details/cache_write_tokens").unwrap_or(0);
    Some(Usage {
        input_tokens: input,
        output_tokens: output.unwrap_or(0),
        cache_read_tokens: cached,
        cache_write_tokens: written.min(input - cached),
        reasoning_tokens: count("/output_tokens_details/reasoning_tokens").unwrap_or(0),
    })
}

fn whole(n: &Number) -> Option<u64> {
    n.as_u64().or_else(|| n.as_f64().filter(|f| *f >= 0.0).map(|f| f as u64))
}

/// The `usage` object.
pub(super) fn usage_value(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
    })
}

//! What requests, answers and streams have in common: tokens of other dialects, reasons to stop, token counts, citations.

use serde_json::{Map, Value, json};

use crate::chat::{CacheMark, Citation, Content, Finish, FinishReason, Media, Part, Signature, Source};
use crate::registry::{Dialect, Usage};

/// This dialect.
pub(super) const HOME: Dialect = Dialect::Anthropic;

/// A signature as it came in `signature` or `data`; none where that is empty, as in thoughts of providers that sign
/// nothing.
pub(super) fn signature(token: &str) -> Option<Signature> {
    (!token.is_empty()).then(|| Signature::from_token(HOME, token))
}

/// Stands in the id of a token from abroad: it belongs to the call that follows, since calls have no opaque field here.
const CALL: &str = "call";

/// The token of a call's signature, for a redacted block before the call.
pub(super) fn call_token(signature: &Signature) -> String {
    Signature { id: Some(CALL.to_owned()), ..signature.clone() }.token(HOME)
}

/// Puts signatures that [`call_token`] wrote back on their calls.
pub(super) fn reunite_calls(parts: &mut Vec<Part>) {
    let is_call = |part: Option<&Part>| matches!(part.map(|p| &p.content), Some(Content::ToolCall(_)));
    let mut at = 0;
    while at < parts.len() {
        let carried = matches!(parts[at].content, Content::Reasoning { redacted: true, .. })
            && parts[at].signature.as_ref().is_some_and(|s| s.dialect != HOME && s.id.as_deref() == Some(CALL))
            && is_call(parts.get(at + 1));
        if carried {
            let signature = parts.remove(at).signature;
            parts[at].signature = signature.map(|s| Signature { id: None, ..s });
        }
        at += 1;
    }
}

/// The reason of this name.
pub(super) fn finish_named(name: &[u8]) -> FinishReason {
    match name {
        b"end_turn" | b"stop_sequence" => FinishReason::Stop,
        b"max_tokens" | b"model_context_window_exceeded" => FinishReason::Length,
        b"tool_use" => FinishReason::ToolCalls,
        b"refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// What else an answer holds that decides how its end is called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// A call of a tool.
    pub(super) calls: bool,
    /// A refusal in words.
    pub(super) refusal: bool,
}

/// The name of a reason. An answer with calls ends in `tool_use` even where its provider says that it just stopped:
/// clients go by this name when they run tools.
pub(super) fn stop_reason(finish: Option<&Finish>, said: Said) -> &'static str {
    match finish {
        Some(Finish { reason: FinishReason::Length, .. }) => "max_tokens",
        Some(Finish { reason: FinishReason::ContentFilter, .. }) => "refusal",
        Some(Finish { reason: FinishReason::ToolCalls, .. }) => "tool_use",
        _ if said.calls => "tool_use",
        _ if said.refusal => "refusal",
        Some(Finish { stop_sequence: Some(_), .. }) => "stop_sequence",
        Some(Finish { reason: FinishReason::Stop | FinishReason::Other, .. }) | None => "end_turn",
    }
}

/// Token counts as they stand here: input without what the cache read or took in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) thinking: Option<u64>,
}

impl Counts {
    /// Takes over what is newly counted: counts of a stream are totals so far.
    pub(super) fn merge(&mut self, newer: Self) {
        self.input = newer.input.or(self.input);
        self.output = newer.output.or(self.output);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.cache_write = newer.cache_write.or(self.cache_write);
        self.thinking = newer.thinking.or(self.thinking);
    }

    /// In our convention; `None` where nothing is counted.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let count = |n: Option<u64>| n.unwrap_or(0);
        let output = count(self.output);
        Some(Usage {
            input_tokens: count(self.input)
                .saturating_add(count(self.cache_read))
                .saturating_add(count(self.cache_write)),
            output_tokens: output,
            cache_read_tokens: count(self.cache_read),
            cache_write_tokens: count(self.cache_write),
            reasoning_tokens: count(self.thinking).min(output),
        })
    }
}

/// Token counts in this API's convention.
pub(super) fn usage_value(usage: &Usage) -> Map<String, Value> {
    let fresh = usage.input_tokens.saturating_sub(usage.cache_read_tokens.saturating_add(usage.cache_write_tokens));
    let mut counts = Map::new();
    counts.insert("input_tokens".into(), fresh.into());
    counts.insert("cache_creation_input_tokens".into(), usage.cache_write_tokens.into());
    counts.insert("cache_read_input_tokens".into(), usage.cache_read_tokens.into());
    counts.insert("output_tokens".into(), usage.output_tokens.into());
    if usage.reasoning_tokens > 0 {
        counts.insert("output_tokens_details".into(), json!({"thinking_tokens": usage.reasoning_tokens}));
    }
    counts
}

/// What stands for a picture or a recording in an answer, which can hold none here: its address, else a word about it.
pub(super) fn media_text(media: &Media) -> String {
    let what = match &media.source {
        Source::Url { url, .. } => return url.clone(),
        Source::Text(text) => return text.clone(),
        Source::Data { mime, .. } => mime,
        Source::File(id) => id,
    };
    format!("[{what}: the model made this, and answers of the Messages API cannot hold it]")
}

/// `cache_control`.
pub(super) fn cache_control(mark: &CacheMark) -> Value {
    match &mark.ttl {
        Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}),
        None => json!({"type": "ephemeral"}),
    }
}

/// A citation as it came from this API.
pub(super) fn read_citation(native: Value) -> Citation {
    let text = |key: &str| native.get(key).and_then(Value::as_str).map(str::to_owned);
    Citation {
        origin: HOME,
        url: text("url"),
        title: text("title").or_else(|| text("document_title")),
        quote: text("cited_text"),
        range: None,
        native,
    }
}

/// A citation as this API has it: its own as it came, one of another dialect as a page of the web. The latter has no
/// `encrypted_index`, by which it is known when it comes back.
pub(super) fn write_citation(citation: &Citation) -> Option<Value> {
    if citation.origin == HOME {
        return Some(citation.native.clone());
    }
    let url = citation.url.as_deref()?;
    Some(json!({
        "type": "web_search_result_location",
        "cited_text": citation.quote.as_deref().unwrap_or_default(),
        "url": url,
        "title": citation.title,
        "encrypted_index": "",
    }))
}

/// Whether a citation can go upstream: not one that [`write_citation`] made up for a client.
pub(super) fn is_own(citation: &Citation) -> bool {
    citation.origin == HOME && citation.native.get("encrypted_index").is_none_or(|index| index != "")
}

//! Whole answers.

use crate::chat::{Choice, Citation, Content, FinishReason, Media, MediaKind, Part, Response, Source, TokenLogprob};
use crate::dialect::ReplyContext;
use crate::dialect::openai::details;
use crate::dialect::wire::put;
use crate::registry::{Dialect, Usage};
use serde_json::{Map, Value, json};

/// Writes a whole answer.
pub fn encode_response(response: &Response, context: &ReplyContext) -> Vec<u8> {
    let at_home = response.origin == Dialect::OpenAi;
    let mut body = Map::new();
    body.insert("id".into(), answer_id(&response.id, context).into());
    body.insert("object".into(), "chat.completion".into());
    body.insert("created".into(), response.created.unwrap_or(context.created).into());
    body.insert("model".into(), model_name(&response.model, context).into());
    let choices = response.choices.iter().enumerate();
    let choices: Vec<Value> = choices.map(|(i, c)| choice(c, i, context, at_home)).collect();
    body.insert("choices".into(), choices.into());
    put(&mut body, "usage", response.usage.map(|u| usage(&u)));
    if at_home {
        body.extend(response.extras.clone());
    }
    serde_json::to_vec(&body).expect("a value of JSON has string keys and no fallible part")
}

/// The provider's id where it has the form that clients know, else one made of the request's.
pub(super) fn answer_id(given: &str, context: &ReplyContext) -> String {
    if given.starts_with("chatcmpl-") { given.to_owned() } else { format!("chatcmpl-{}", context.id) }
}

pub(super) fn model_name<'a>(given: &'a str, context: &'a ReplyContext) -> &'a str {
    if given.is_empty() { &context.model } else { given }
}

/// In OpenAI's convention, which is ours.
pub(super) fn usage(usage: &Usage) -> Value {
    let mut prompt = Map::from_iter([("cached_tokens".into(), usage.cache_read_tokens.into())]);
    put(&mut prompt, "cache_write_tokens", Some(usage.cache_write_tokens).filter(|n| *n > 0));
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

pub(super) const fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Other => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

fn choice(choice: &Choice, index: usize, context: &ReplyContext, at_home: bool) -> Value {
    let mut message = message(&choice.parts, context);
    let calls = message.contains_key("tool_calls");
    let mut extras = if at_home { choice.extras.clone() } else { Map::new() };
    if let Some(Value::Object(rest)) = extras.shift_remove("message") {
        message.extend(rest);
    }
    let unsaid = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
    let reason = choice.finish.as_ref().map_or(unsaid, |f| f.reason);
    let mut written = Map::from_iter([
        ("index".into(), index.into()),
        ("message".into(), message.into()),
        ("logprobs".into(), logprobs(&choice.logprobs)),
        ("finish_reason".into(), finish_reason(reason).into()),
    ]);
    let met = choice.finish.as_ref().and_then(|f| f.stop_sequence.as_deref());
    put(&mut written, "stop_reason", met.filter(|_| at_home));
    written.extend(extras);
    written.into()
}

fn message(parts: &[Part], context: &ReplyContext) -> Map<String, Value> {
    let (mut text, mut refusal, mut thoughts) = (String::new(), String::new(), String::new());
    let (mut entries, mut calls, mut images, mut annotations) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut audio, mut signature) = (None, None);
    let mut blocks = 0;
    for part in parts {
        match &part.content {
            Content::Text { text: more, citations } => {
                let length = |text: &str| text.chars().count() as u64;
                let start = if citations.is_empty() { 0 } else { length(&text) };
                text.push_str(more);
                annotations.extend(citations.iter().filter_map(|c| annotation(c, (start, start + length(more)))));
                signature = part.signature.as_ref().or(signature);
            }
            Content::Refusal(more) => refusal.push_str(more),
            Content::Reasoning { text: more, .. } => {
                thoughts.push_str(more);
                details::encode(part, blocks, &mut entries);
                blocks += 1;
            }
            Content::ToolCall(_) => calls.push(call(part)),
            Content::Media(media) if media.kind == MediaKind::Audio => audio = recording(media, context).or(audio),
            Content::Media(media) => images.extend(image(media)),
            Content::ToolResult(_) | Content::Native(_) => {}
        }
    }
    let silent = text.is_empty() && !(calls.is_empty() && refusal.is_empty() && images.is_empty() && audio.is_none());
    let mut message = Map::from_iter([
        ("role".into(), "assistant".into()),
        ("content".into(), if silent { Value::Null } else { text.into() }),
        ("refusal".into(), if refusal.is_empty() { Value::Null } else { refusal.into() }),
    ]);
    put(&mut message, "reasoning_content", Some(thoughts).filter(|t| !t.is_empty()));
    let lists =
        [("reasoning_details", entries), ("annotations", annotations), ("images", images), ("tool_calls", calls)];
    for (key, list) in lists {
        put(&mut message, key, Some(list).filter(|l| !l.is_empty()));
    }
    put(&mut message, "audio", audio);
    put(&mut message, "extra_content", signature.map(details::thought_signature));
    message
}

fn call(part: &Part) -> Value {
    let Content::ToolCall(call) = &part.content else { return Value::Null };
    let mut written = if call.custom {
        json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}})
    } else {
        json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
    };
    if let Some(signature) = &part.signature {
        written["extra_content"] = details::thought_signature(signature);
    }
    written
}

/// As OpenRouter gives pictures.
pub(super) fn image(media: &Media) -> Option<Value> {
    Some(json!({"type": "image_url", "image_url": {"url": media.source.to_url()?}}))
}

fn recording(media: &Media, context: &ReplyContext) -> Option<Value> {
    let Source::Data { base64, .. } = &media.source else { return None };
    let id = format!("audio_{}", context.id);
    Some(json!({"id": id, "data": base64, "expires_at": context.created, "transcript": ""}))
}

/// What has a URL; other sources (a document of the request) have no form here. `place` is the text that rests on it, where
/// the source's own dialect does not say.
pub(super) fn annotation(citation: &Citation, place: (u64, u64)) -> Option<Value> {
    if citation.origin == Dialect::OpenAi {
        return Some(citation.native.clone());
    }
    let url = citation.url.as_deref()?;
    let (start, end) = citation.range.unwrap_or(place);
    let title = citation.title.as_deref().unwrap_or("");
    let mut cited = json!({"url": url, "title": title, "start_index": start, "end_index": end});
    if let Some(quote) = &citation.quote {
        cited["content"] = quote.as_str().into();
    }
    Some(json!({"type": "url_citation", "url_citation": cited}))
}

/// A choice's `logprobs`; null without any.
pub(super) fn logprobs(tokens: &[TokenLogprob]) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let entry = |t: &TokenLogprob| {
        let mut entry = token(t);
        entry["top_logprobs"] = t.top.iter().map(token).collect();
        entry
    };
    json!({"content": tokens.iter().map(entry).collect::<Vec<_>>(), "refusal": null})
}

fn token(token: &TokenLogprob) -> Value {
    json!({"token": token.token, "logprob": token.logprob, "bytes": token.bytes})
}

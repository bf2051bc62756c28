//! Whole answers.
//!
//! An answer that calls tools stops for them, whatever it says: OpenAI itself says `stop` where a certain tool was forced,
//! and some look-alikes always do.

use super::message::spoken;
use super::request::present;
use crate::chat::{
    Choice, Citation, Content, Extras, Finish, FinishReason, Media, MediaKind, Part, Response, Source, TokenLogprob,
};
use crate::dialect::openai::inspect::{Answer, finish_named};
use crate::dialect::openai::parse_error;
use crate::dialect::wire::{Fields, put};
use crate::dialect::{BadCompletion, Malformed};
use crate::registry::Dialect;
use serde_json::Value;

/// Reads a whole answer.
pub fn decode_response(body: &[u8]) -> Result<Response, BadCompletion> {
    // It reads usage as every look-alike writes it, and tells an error and what is no JSON.
    let answer = Answer::read(body).map_err(BadCompletion::Json)?;
    if answer.failed {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if answer.entries == 0 {
        return Err(BadCompletion::NoChoices);
    }
    let mut response = decode(body).map_err(BadCompletion::Malformed)?;
    response.usage = answer.usage;
    Ok(response)
}

fn decode(body: &[u8]) -> Result<Response, Malformed> {
    let mut fields = Fields::parse(body)?;
    let id = fields.string("id")?.unwrap_or_default();
    let model = fields.string("model")?.unwrap_or_default();
    let created = fields.number("created")?.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)));
    let mut choices: Vec<(u64, Choice)> = Vec::new();
    for (i, mut entry) in fields.objects("choices")?.into_iter().enumerate() {
        let index = entry.count("index")?.unwrap_or(i as u64);
        choices.push((index, choice(entry, &format!("call_{id}_{index}"))?));
    }
    choices.sort_by_key(|(index, _)| *index);
    let choices = choices.into_iter().map(|(_, choice)| choice).collect();
    let mut extras = present(fields.rest());
    for known in ["object", "usage"] {
        extras.shift_remove(known);
    }
    Ok(Response { origin: Dialect::OpenAi, id, model, created, choices, usage: None, extras })
}

fn choice(mut fields: Fields, made_up: &str) -> Result<Choice, Malformed> {
    let mut message = fields.object("message")?.ok_or_else(|| fields.wrong("message", "is required"))?;
    message.take("role");
    let annotations = message.take("annotations");
    let audio = message.take("audio");
    let at = message.path().to_owned();
    let mut parts = spoken(&mut message, made_up)?;
    whole_arguments(&mut parts, &at)?;
    if let Some(audio) = audio {
        parts.extend(recording(&audio));
    }
    cite(&mut parts, annotations.as_ref());
    let calls = parts.iter().any(|p| matches!(p.content, Content::ToolCall(_)));
    let reason = fields.string("finish_reason")?.filter(|r| !r.is_empty());
    let stop_sequence = fields.peek("stop_reason").and_then(Value::as_str).map(str::to_owned);
    let finish = reason.map(|reason| finish(finish_named(reason.as_bytes()), calls, stop_sequence));
    let logprobs = fields.take("logprobs").map(|l| token_logprobs(&l)).unwrap_or_default();
    let mut extras = present(fields.rest());
    extras.shift_remove("stop_reason");
    let rest: Extras = present(message.rest());
    put(&mut extras, "message", (!rest.is_empty()).then_some(rest));
    Ok(Choice { parts, finish, logprobs, extras })
}

/// Why a choice stopped, given whether it calls tools.
pub(super) fn finish(reason: FinishReason, calls: bool, stop_sequence: Option<String>) -> Finish {
    let reason = if calls && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason };
    Finish { reason, stop_sequence: stop_sequence.filter(|_| reason == FinishReason::Stop) }
}

/// Other dialects need an object: an empty string counts as one, anything else is the provider's fault.
fn whole_arguments(parts: &mut [Part], at: &str) -> Result<(), Malformed> {
    let mut place = 0;
    for part in parts {
        let Content::ToolCall(call) = &mut part.content else { continue };
        if !call.custom {
            if call.arguments.trim_ascii().is_empty() {
                call.arguments = "{}".into();
            }
            if !serde_json::from_str::<Value>(&call.arguments).is_ok_and(|v| v.is_object()) {
                let field = format!("{at}.tool_calls[{place}].function.arguments");
                return Err(Malformed::new(field, format!("the arguments of `{}` are not a JSON object", call.name)));
            }
        }
        place += 1;
    }
    Ok(())
}

/// Spoken output: its text where there is a transcript, and its sound.
fn recording(audio: &Value) -> Vec<Part> {
    let text = |key: &str| audio.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let said = text("transcript").map(Part::text);
    // The request's `audio.format` says what it is; the answer does not.
    let sound = text("data").map(|base64| {
        let source = Source::Data { mime: "audio/wav".into(), base64 };
        Content::Media(Media { kind: MediaKind::Audio, source, name: None, detail: None }).into()
    });
    said.into_iter().chain(sound).collect()
}

/// Puts what the answer cites to its last text.
fn cite(parts: &mut [Part], annotations: Option<&Value>) {
    let text = parts.iter_mut().rev().find_map(|p| match &mut p.content {
        Content::Text { citations, .. } => Some(citations),
        _ => None,
    });
    if let (Some(citations), Some(Value::Array(entries))) = (text, annotations) {
        citations.extend(entries.iter().filter_map(citation));
    }
}

/// A `url_citation`; others are about files of OpenAI's own.
pub(super) fn citation(entry: &Value) -> Option<Citation> {
    let cited = entry.get("url_citation")?;
    let text = |key: &str| cited.get(key).and_then(Value::as_str).map(str::to_owned);
    let place = |key: &str| cited.get(key).and_then(Value::as_u64);
    Some(Citation {
        origin: Dialect::OpenAi,
        url: Some(text("url")?),
        title: text("title"),
        quote: text("content"),
        range: place("start_index").zip(place("end_index")),
        native: entry.clone(),
    })
}

/// `logprobs.content`.
pub(super) fn token_logprobs(logprobs: &Value) -> Vec<TokenLogprob> {
    let entries = logprobs.get("content").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| token_logprob(entry, true)).collect()
}

fn token_logprob(entry: &Value, with_top: bool) -> Option<TokenLogprob> {
    let bytes = entry.get("bytes").and_then(Value::as_array);
    let byte = |v: &Value| v.as_u64().and_then(|b| u8::try_from(b).ok());
    let top = entry.get("top_logprobs").and_then(Value::as_array).filter(|_| with_top);
    Some(TokenLogprob {
        token: entry.get("token")?.as_str()?.to_owned(),
        logprob: entry.get("logprob")?.as_number()?.clone(),
        bytes: bytes.and_then(|b| b.iter().map(byte).collect()),
        top: top.into_iter().flatten().filter_map(|t| token_logprob(t, false)).collect(),
    })
}

//! Streams, read: every event is an answer that holds what is new.

use super::grounding::{self, Spoken};
use super::parts::{self, Ids, id_base, inner, object, objects};
use super::response::{is_blocked, seconds, take_usage};
use super::{fault, finish_named, is_fault, logprobs, parse_error};
use crate::chat::{Citation, Content, Event, Extras, FinishReason, Part};
use crate::dialect::EventFault;
use crate::dialect::wire::{Fields, Malformed};
use crate::registry::Usage;
use serde_json::Value;

/// Reads a stream. It has no end marker, so it never says [`Event::Done`]: its caller does, at the body's end.
#[derive(Debug, Default)]
pub struct Decoder {
    ids: Option<Ids>,
    choices: Vec<Progress>,
    usage: Option<Usage>,
}

/// What is known of one answer so far.
#[derive(Debug, Default)]
struct Progress {
    choice: u32,
    spoken: Spoken,
    calls: u32,
    finish: Option<FinishReason>,
    cited: Vec<Citation>,
}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), EventFault> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if name == b"error" {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        let value = parts::parse(data)?;
        let first = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
        if first.get("error").is_some_and(|e| !e.is_null()) {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        let mut chunk = object(value, "")?;
        if self.ids.is_none() {
            self.ids = Some(start(&mut chunk, data, out)?);
        }
        let candidates = objects(&mut chunk, "candidates")?;
        if candidates.is_empty() && is_blocked(&chunk) {
            self.progress(0).finish(FinishReason::ContentFilter, out);
        }
        for candidate in candidates {
            self.candidate(candidate, out)?;
        }
        if let Some(usage) = take_usage(&mut chunk, &mut Extras::new())?
            && self.usage != Some(usage)
        {
            self.usage = Some(usage);
            out.push(Event::Usage(usage));
        }
        Ok(())
    }

    fn progress(&mut self, choice: u32) -> &mut Progress {
        let at = self.choices.iter().position(|p| p.choice == choice).unwrap_or_else(|| {
            self.choices.push(Progress { choice, ..Progress::default() });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }

    fn candidate(&mut self, mut candidate: Fields, out: &mut Vec<Event>) -> Result<(), EventFault> {
        // The API leaves out a zero.
        let index = candidate.count("index")?.unwrap_or(0);
        let choice = u32::try_from(index).map_err(|_| candidate.wrong("index", "is too large"))?;
        let mut ids = self.ids.take().unwrap_or_default();
        let progress = self.progress(choice);
        let result = progress.candidate(candidate, &mut ids, out);
        self.ids = Some(ids);
        result
    }
}

fn start(chunk: &mut Fields, data: &[u8], out: &mut Vec<Event>) -> Result<Ids, Malformed> {
    let id = chunk.string("responseId")?.unwrap_or_default();
    let model = chunk.string("modelVersion")?.unwrap_or_default();
    let created = chunk.peek("createTime").and_then(Value::as_str).and_then(seconds);
    let ids = Ids::new(id_base(&id, data));
    out.push(Event::Start { id, model, created });
    Ok(ids)
}

impl Progress {
    fn candidate(&mut self, mut candidate: Fields, ids: &mut Ids, out: &mut Vec<Event>) -> Result<(), EventFault> {
        if let Some(mut content) = inner(&mut candidate, "content")? {
            for part in parts::take(&mut content, ids)? {
                self.part(part, out);
            }
        }
        let sources = (candidate.peek("groundingMetadata"), candidate.peek("citationMetadata"));
        if sources.0.is_some() || sources.1.is_some() {
            for citation in grounding::read(sources.0, sources.1, &self.spoken) {
                // They may be repeated from chunk to chunk.
                if !self.cited.contains(&citation) {
                    self.cited.push(citation.clone());
                    out.push(Event::Citation { choice: self.choice, citation: Box::new(citation) });
                }
            }
        }
        if let Some(result) = inner(&mut candidate, "logprobsResult")? {
            let tokens = logprobs::read(result)?;
            if !tokens.is_empty() {
                out.push(Event::Logprobs { choice: self.choice, tokens });
            }
        }
        let Some(name) = candidate.string("finishReason")? else { return Ok(()) };
        if is_fault(name.as_bytes()) {
            let message = candidate.string("finishMessage")?;
            return Err(EventFault::Error(Box::new(fault(&name, message.as_deref()))));
        }
        match finish_named(name.as_bytes()) {
            Some(FinishReason::Stop) if self.calls > 0 => self.finish(FinishReason::ToolCalls, out),
            Some(reason) => self.finish(reason, out),
            None => {}
        }
        Ok(())
    }

    /// Older models say it with every chunk: once is enough, unless it changes.
    fn finish(&mut self, reason: FinishReason, out: &mut Vec<Event>) {
        if self.finish != Some(reason) {
            self.finish = Some(reason);
            out.push(Event::Finish { choice: self.choice, finish: reason.into() });
        }
    }

    fn part(&mut self, part: Part, out: &mut Vec<Event>) {
        let choice = self.choice;
        self.spoken.starts.push(self.spoken.text.len());
        let mut signature = part.signature;
        match part.content {
            Content::Text { text, .. } if text.is_empty() => {}
            Content::Text { text, .. } => {
                self.spoken.text.push_str(&text);
                out.push(Event::Text { choice, text });
            }
            Content::Reasoning { text, .. } if text.is_empty() => {}
            Content::Reasoning { text, summary, .. } => out.push(Event::Reasoning { choice, text, summary }),
            Content::ToolCall(call) => {
                let (index, signature) = (self.calls, signature.take());
                self.calls += 1;
                let (id, name) = (call.id, call.name);
                out.push(Event::ToolCall { choice, index, id, name, custom: false, signature });
                out.push(Event::Arguments { choice, index, text: call.arguments });
            }
            Content::Media(media) => out.push(Event::Media { choice, media: Box::new(media) }),
            // The provider's own tools at work: only its own clients can show them.
            Content::Refusal(_) | Content::ToolResult(_) | Content::Native(_) => {}
        }
        if let Some(signature) = signature {
            out.push(Event::Signature { choice, signature, redacted: false });
        }
    }
}

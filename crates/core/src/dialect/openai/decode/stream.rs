//! Streams, chunk by chunk.
//!
//! Chunks are read with the cursor, without a tree: text, thoughts and arguments go straight into events; only what is
//! rare (signed thoughts, citations, pictures, log-probabilities) is parsed into values. Look-alikes repeat a call's id,
//! name and type, leave out its index or id, send it whole, repeat the finish reason, or put usage into every chunk: the
//! events are the same.

use super::chunk::{CallChunk, ChoiceChunk, Chunk, Rare};
use super::message::thinking_text;
use super::response::{citation, finish, token_logprobs};
use crate::chat::{Event, Media, MediaKind, Signature};
use crate::dialect::openai::details::{self, Detail};
use crate::dialect::openai::{media, parse_error};
use crate::dialect::wire::Fields;
use crate::dialect::{EventFault, Malformed};
use crate::registry::Dialect;
use serde_json::Value;
use std::mem;

/// More choices than any API gives; a stream that names more is broken.
const MAX_CHOICES: usize = 128;
/// More calls than any answer has.
const MAX_CALLS: usize = 1024;

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    done: bool,
    /// The answer's id, for the calls that have none.
    id: String,
    choices: Vec<ChoiceState>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    calls: Vec<CallState>,
    finished: bool,
    /// The last event was a thought, whose signature may follow.
    thinking: bool,
}

/// A call, from its first piece on.
#[derive(Debug, Default)]
struct CallState {
    /// Its index on the wire.
    place: Option<u64>,
    id: String,
    /// Its beginning was told: it has a name.
    begun: bool,
    /// Arguments that came before the name.
    early: String,
    custom: bool,
}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), EventFault> {
        let data = data.trim_ascii();
        if self.done || data.is_empty() || matches!(name, b"ping" | b"heartbeat" | b"keepalive") {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.done = true;
            out.push(Event::Done);
            return Ok(());
        }
        if name == b"error" {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        let chunk = Chunk::read(data, !self.started).map_err(|e| Malformed::new("", e.to_string()))?;
        if chunk.failed {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        // Azure begins with a chunk about its filters, which is not the answer's.
        if !self.started && (!chunk.choices.is_empty() || chunk.usage.is_some()) {
            self.started = true;
            self.id.clone_from(&chunk.id);
            out.push(Event::Start { id: chunk.id, model: chunk.model, created: chunk.created });
        }
        for choice in chunk.choices {
            self.choice(choice, out)?;
        }
        out.extend(chunk.usage.map(Event::Usage));
        Ok(())
    }

    fn choice(&mut self, chunk: ChoiceChunk, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let at = match self.choices.iter().position(|c| c.index == chunk.index) {
            Some(at) => at,
            None if self.choices.len() < MAX_CHOICES => {
                self.choices.push(ChoiceState { index: chunk.index, ..ChoiceState::default() });
                self.choices.len() - 1
            }
            None => return Err(Malformed::new("choices", "there are too many of them")),
        };
        self.choices[at].read(chunk, &self.id, out)
    }
}

impl ChoiceState {
    /// Thoughts first, whatever the order of the members.
    fn read(&mut self, mut chunk: ChoiceChunk, id: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let choice = self.index;
        self.thoughts(&mut chunk, out)?;
        for part in mem::take(&mut chunk.parts) {
            self.part(part, out)?;
        }
        self.say(chunk.text.is_empty(), out, || Event::Text { choice, text: mem::take(&mut chunk.text) });
        self.say(chunk.refusal.is_empty(), out, || Event::Refusal { choice, text: mem::take(&mut chunk.refusal) });
        for call in mem::take(&mut chunk.calls) {
            self.call(call, id, out)?;
        }
        if !chunk.rare.is_empty() {
            self.rare(&mut chunk, out)?;
        }
        if let Some(reason) = chunk.finish.filter(|_| !self.finished) {
            if self.calls.iter().any(|c| !c.begun) {
                return Err(Malformed::new("choices[].delta.tool_calls", "a call ended without a name"));
            }
            self.finished = true;
            let finish = finish(reason, !self.calls.is_empty(), chunk.stop_sequence);
            out.push(Event::Finish { choice, finish });
        }
        Ok(())
    }

    /// An event that is no thought, unless it would be empty.
    fn say(&mut self, empty: bool, out: &mut Vec<Event>, event: impl FnOnce() -> Event) {
        if !empty {
            self.thinking = false;
            out.push(event());
        }
    }

    fn think(&mut self, text: String, summary: bool, out: &mut Vec<Event>) {
        if !text.is_empty() {
            self.thinking = true;
            out.push(Event::Reasoning { choice: self.index, text, summary });
        }
    }

    /// Text, and the signatures of `reasoning_details`; their own text counts where no other member has it.
    fn thoughts(&mut self, chunk: &mut ChoiceChunk, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut details = Vec::new();
        for entry in chunk.kept(Rare::Details) {
            details.extend(Detail::decode(Fields::of(entry, "choices[].delta.reasoning_details[]")?)?);
        }
        let summary = details.iter().any(|d| d.summary);
        let told = chunk.thoughts.is_some();
        self.think(chunk.thoughts.take().unwrap_or_default(), summary, out);
        for detail in details {
            if !told {
                self.think(detail.text, detail.summary, out);
            }
            if let Some(signature) = detail.signature {
                // What Anthropic redacts is a block of its own; encrypted thoughts of the Responses API belong to their summary.
                let redacted = detail.encrypted && (signature.dialect == Dialect::Anthropic || !self.thinking);
                self.sign(signature, redacted, out);
            }
        }
        Ok(())
    }

    fn sign(&mut self, signature: Signature, redacted: bool, out: &mut Vec<Event>) {
        self.thinking = false;
        out.push(Event::Signature { choice: self.index, signature, redacted });
    }

    /// A part of a content that is a list.
    fn part(&mut self, part: Value, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let choice = self.index;
        let mut fields = Fields::of(part, "choices[].delta.content[]")?;
        match fields.peek("type").and_then(Value::as_str) {
            Some("thinking") => self.think(thinking_text(&mut fields)?, false, out),
            Some("text") => {
                let text = fields.string("text")?.unwrap_or_default();
                self.say(text.is_empty(), out, || Event::Text { choice, text });
            }
            _ => {}
        }
        Ok(())
    }

    fn rare(&mut self, chunk: &mut ChoiceChunk, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let choice = self.index;
        for extra in chunk.kept(Rare::Extra) {
            if let Some(signature) = thought_signature(&extra) {
                self.sign(signature, false, out);
            }
        }
        for image in chunk.kept(Rare::Images) {
            let mut fields = Fields::of(image, "choices[].delta.images[]")?;
            let media: Media = media::decode_url(&mut fields, "image_url", MediaKind::Image)?;
            self.say(false, out, || Event::Media { choice, media: Box::new(media) });
        }
        for annotation in chunk.kept(Rare::Annotations) {
            if let Some(citation) = citation(&annotation) {
                out.push(Event::Citation { choice, citation: Box::new(citation) });
            }
        }
        for logprobs in chunk.kept(Rare::Logprobs) {
            let tokens = token_logprobs(&logprobs);
            if !tokens.is_empty() {
                out.push(Event::Logprobs { choice, tokens });
            }
        }
        Ok(())
    }

    fn call(&mut self, chunk: CallChunk, answer: &str, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let at = match self.continued(&chunk) {
            Some(at) => at,
            None if self.calls.len() < MAX_CALLS => {
                // A call of old has an index that no other can have.
                let place = if chunk.old { Some(u64::MAX) } else { chunk.place };
                self.calls.push(CallState { place, custom: chunk.custom, ..CallState::default() });
                self.calls.len() - 1
            }
            None => return Err(Malformed::new("choices[].delta.tool_calls", "there are too many of them")),
        };
        let (choice, index) = (self.index, at as u32);
        self.thinking = false;
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = chunk.id;
        }
        if !call.begun {
            call.early.push_str(&chunk.arguments);
            if chunk.name.is_empty() {
                return Ok(());
            }
            if call.id.is_empty() {
                call.id = format!("call_{answer}_{choice}_{index}");
            }
            call.begun = true;
            let signature = chunk.extra.as_ref().and_then(thought_signature);
            let (id, custom) = (call.id.clone(), call.custom);
            out.push(Event::ToolCall { choice, index, id, name: chunk.name, custom, signature });
            let text = mem::take(&mut call.early);
            out.extend((!text.is_empty()).then_some(Event::Arguments { choice, index, text }));
        } else if !chunk.arguments.is_empty() {
            out.push(Event::Arguments { choice, index, text: chunk.arguments });
        }
        Ok(())
    }

    /// The call that a piece goes on with. A new id with a name is a new call, even where the index is another's.
    fn continued(&self, chunk: &CallChunk) -> Option<usize> {
        let with_id = |id: &str| self.calls.iter().rposition(|c| c.id == id);
        if chunk.old {
            return self.calls.iter().rposition(|c| c.place == Some(u64::MAX));
        }
        match (chunk.place, chunk.id.as_str()) {
            (Some(place), id) => {
                let at = self.calls.iter().rposition(|c| c.place == Some(place))?;
                let other = !id.is_empty() && !chunk.name.is_empty() && self.calls[at].begun && self.calls[at].id != id;
                if other { with_id(id) } else { Some(at) }
            }
            (None, "") if chunk.name.is_empty() => self.calls.len().checked_sub(1),
            (None, "") => None,
            (None, id) => with_id(id),
        }
    }
}

fn thought_signature(extra: &Value) -> Option<Signature> {
    let mut fields = Fields::of(serde_json::json!({"extra_content": extra}), "").ok()?;
    details::take_thought_signature(&mut fields)
}

//! Streams, chunk by chunk.
//!
//! Chunks are read with the cursor, without a tree: text, thoughts and arguments go straight into events; only what is
//! rare (signed thoughts, citations, pictures, log-probabilities) is parsed into values. Look-alikes repeat a call's id,
//! name and type, leave out its index or id, send it whole, repeat the finish reason, or put usage into every chunk: the
//! events are the same.

use super::message::thinking_text;
use super::response::{citation, finish, token_logprobs};
use crate::chat::{Event, FinishReason, Media, MediaKind, Signature};
use crate::dialect::openai::details::{self, Detail};
use crate::dialect::openai::inspect::{each_element, each_member, finish_named, number_or_skip, read_usage};
use crate::dialect::openai::{media, parse_error};
use crate::dialect::wire::Fields;
use crate::dialect::{EventFault, Malformed};
use crate::json::{self, Cursor, Kind};
use crate::registry::{Dialect, Usage};
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
        let chunk = Chunk::read(data).map_err(|e| Malformed::new("", e.to_string()))?;
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

/// What a chunk says.
#[derive(Default)]
struct Chunk {
    id: String,
    model: String,
    created: Option<i64>,
    choices: Vec<ChoiceChunk>,
    usage: Option<Usage>,
    failed: bool,
}

#[derive(Default)]
struct ChoiceChunk {
    index: u32,
    thoughts: Option<String>,
    text: String,
    refusal: String,
    /// Thoughts among the parts of a content (Mistral).
    parts: Vec<Value>,
    calls: Vec<CallChunk>,
    finish: Option<FinishReason>,
    stop_sequence: Option<String>,
    /// Members that are parsed as they are needed.
    rare: Vec<(Rare, Value)>,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rare {
    Details,
    Extra,
    Images,
    Annotations,
    Logprobs,
}

#[derive(Default)]
struct CallChunk {
    place: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    custom: bool,
    /// It came as `function_call`.
    old: bool,
    extra: Option<Value>,
}

impl Chunk {
    fn read(data: &[u8]) -> Result<Self, json::Error> {
        let mut chunk = Self::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| match key.name {
            b"id" => text_into(c, &mut chunk.id),
            b"model" => text_into(c, &mut chunk.model),
            b"created" => {
                chunk.created = number_or_skip(c)?.and_then(|n| i64::try_from(n).ok());
                Ok(())
            }
            b"choices" => each_element(c, |c| {
                let mut choice = ChoiceChunk::read(c, chunk.choices.len())?;
                chunk.usage = choice.usage.take().or(chunk.usage);
                chunk.choices.push(choice);
                Ok(())
            }),
            b"usage" => {
                chunk.usage = read_usage(c)?.or(chunk.usage);
                Ok(())
            }
            b"x_groq" => each_member(c, |c, key| match key {
                b"usage" => {
                    chunk.usage = read_usage(c)?.or(chunk.usage);
                    Ok(())
                }
                b"error" => fails(c, &mut chunk.failed),
                _ => c.skip(),
            }),
            b"error" => fails(c, &mut chunk.failed),
            b"object" => {
                chunk.failed |= c.string_or_skip()?.is_some_and(|s| s.raw == b"error");
                Ok(())
            }
            _ => c.skip(),
        })?;
        c.finish()?;
        Ok(chunk)
    }
}

impl ChoiceChunk {
    fn read(c: &mut Cursor<'_>, place: usize) -> Result<Self, json::Error> {
        let mut choice = Self { index: u32::try_from(place).unwrap_or(u32::MAX), ..Self::default() };
        each_member(c, |c, key| match key {
            b"index" => {
                choice.index = number_or_skip(c)?.map_or(choice.index, |n| u32::try_from(n).unwrap_or(u32::MAX));
                Ok(())
            }
            b"delta" | b"message" => choice.delta(c),
            b"finish_reason" => {
                if let Some(reason) = c.string_or_skip()?
                    && !reason.raw.is_empty()
                {
                    choice.finish = Some(finish_named(&reason.bytes()));
                }
                Ok(())
            }
            b"stop_reason" => {
                choice.stop_sequence = c.string_or_skip()?.map(|s| s.text().into_owned());
                Ok(())
            }
            b"logprobs" => choice.keep(c, Rare::Logprobs),
            b"usage" => {
                choice.usage = read_usage(c)?;
                Ok(())
            }
            _ => c.skip(),
        })?;
        Ok(choice)
    }

    fn delta(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"content" if c.kind()? == Kind::Array => each_element(c, |c| {
                self.parts.push(value(c)?);
                Ok(())
            }),
            b"content" => text_into(c, &mut self.text),
            // Several names of one thing, some of them side by side.
            b"reasoning_content" | b"reasoning" | b"reasoning_text" => {
                let text = c.string_or_skip()?.map(|s| s.text().into_owned());
                self.thoughts = self.thoughts.take().or(text.filter(|t| !t.is_empty()));
                Ok(())
            }
            b"refusal" => text_into(c, &mut self.refusal),
            b"tool_calls" => each_element(c, |c| {
                self.calls.push(CallChunk::read(c)?);
                Ok(())
            }),
            b"function_call" if c.kind()? == Kind::Object => {
                let mut call = CallChunk { old: true, ..CallChunk::default() };
                each_member(c, |c, key| call.function(c, key))?;
                self.calls.push(call);
                Ok(())
            }
            b"audio" => each_member(c, |c, key| match key {
                b"transcript" => text_into(c, &mut self.text),
                _ => c.skip(),
            }),
            b"reasoning_details" => self.keep(c, Rare::Details),
            b"extra_content" => self.keep(c, Rare::Extra),
            b"images" => self.keep(c, Rare::Images),
            b"annotations" => self.keep(c, Rare::Annotations),
            _ => c.skip(),
        })
    }

    fn keep(&mut self, c: &mut Cursor<'_>, what: Rare) -> Result<(), json::Error> {
        if matches!(c.kind()?, Kind::Array | Kind::Object) {
            self.rare.push((what, value(c)?));
            return Ok(());
        }
        c.skip()
    }

    /// The values kept of one kind, an array's elements one by one.
    fn kept(&mut self, what: Rare) -> Vec<Value> {
        let mut values = Vec::new();
        for (_, value) in self.rare.iter_mut().filter(|(kind, _)| *kind == what) {
            match value.take() {
                Value::Array(items) => values.extend(items),
                one => values.push(one),
            }
        }
        values
    }
}

impl CallChunk {
    fn read(c: &mut Cursor<'_>) -> Result<Self, json::Error> {
        let mut call = Self::default();
        each_member(c, |c, key| match key {
            b"index" => {
                call.place = number_or_skip(c)?;
                Ok(())
            }
            b"id" => text_into(c, &mut call.id),
            b"function" => each_member(c, |c, key| call.function(c, key)),
            b"custom" if c.kind()? == Kind::Object => {
                call.custom = true;
                each_member(c, |c, key| match key {
                    b"name" => text_into(c, &mut call.name),
                    b"input" => text_into(c, &mut call.arguments),
                    _ => c.skip(),
                })
            }
            b"extra_content" => {
                call.extra = Some(value(c)?);
                Ok(())
            }
            _ => c.skip(),
        })?;
        Ok(call)
    }

    fn function(&mut self, c: &mut Cursor<'_>, key: &[u8]) -> Result<(), json::Error> {
        match key {
            b"name" => text_into(c, &mut self.name),
            b"arguments" if c.kind()? == Kind::Object => {
                let place = c.value()?;
                self.arguments.push_str(&String::from_utf8_lossy(&c.source()[place]));
                Ok(())
            }
            b"arguments" => text_into(c, &mut self.arguments),
            _ => c.skip(),
        }
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

/// Appends a string; any other value is skipped.
fn text_into(c: &mut Cursor<'_>, into: &mut String) -> Result<(), json::Error> {
    if let Some(text) = c.string_or_skip()? {
        into.push_str(&text.text());
    }
    Ok(())
}

/// An `error` member: null, false and the empty string are none.
fn fails(c: &mut Cursor<'_>, failed: &mut bool) -> Result<(), json::Error> {
    let value = c.value()?;
    *failed |= !matches!(&c.source()[value], b"null" | b"false" | b"\"\"");
    Ok(())
}

/// A value as a tree; the cursor has checked its text.
fn value(c: &mut Cursor<'_>) -> Result<Value, json::Error> {
    let place = c.value()?;
    Ok(serde_json::from_slice(&c.source()[place]).unwrap_or(Value::Null))
}

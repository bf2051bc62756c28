//! A stream of this API into canonical events.

use std::ops::Range;

use serde_json::Value;

use super::inspect::{EventKind, Said};
use super::parse_error;
use super::shared::{Counts, finish_named, read_citation, signature};
use crate::chat::{Event, Finish, Signature};
use crate::dialect::EventFault;
use crate::dialect::wire::{Fields, Malformed};
use crate::json::Str;
use crate::registry::Usage;

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    finished: bool,
    done: bool,
    /// Blocks that are open, by their index.
    open: Vec<(u64, Block)>,
    /// Calls so far.
    calls: u32,
    counts: Counts,
    reported: Option<Usage>,
}

/// An open block.
#[derive(Debug)]
enum Block {
    Text,
    /// With the signature, where one stood in the block's beginning.
    Thinking(Option<Signature>),
    Call {
        index: u32,
        /// What the arguments are, should none come.
        input: String,
        empty: bool,
    },
    /// Known to this API alone, or complete from its beginning.
    Other,
}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), EventFault> {
        if self.done || name == b"ping" || data.trim_ascii().is_empty() {
            return Ok(());
        }
        if name == b"error" {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        let said = Said::read(data).map_err(|e| Malformed::new("", format!("not JSON: {e}")))?;
        let kind = said.kind(name);
        match kind {
            EventKind::Error => return Err(EventFault::Error(Box::new(parse_error(None, data)))),
            EventKind::Other => return Ok(()),
            EventKind::Start if self.started => {
                return Err(Malformed::new("type", "message_start came twice").into());
            }
            EventKind::Start => {}
            _ if !self.started => {
                return Err(Malformed::new("type", "the stream does not begin with message_start").into());
            }
            _ => {}
        }
        match kind {
            EventKind::Start => self.start(data, &said, out)?,
            EventKind::BlockStart => self.block_start(data, &said, out)?,
            EventKind::BlockDelta => self.block_delta(data, &said, out)?,
            EventKind::BlockStop => {
                let index = index(&said)?;
                let at = self.open.iter().position(|(i, _)| *i == index);
                let (_, block) = self.open.remove(at.ok_or_else(|| unopened(index))?);
                close(block, out);
            }
            EventKind::Delta => self.delta(&said, out),
            EventKind::Stop => {
                self.open.drain(..).for_each(|(_, block)| close(block, out));
                self.done = true;
                out.push(Event::Done);
            }
            EventKind::Error | EventKind::Other => {}
        }
        Ok(())
    }

    fn start(&mut self, data: &[u8], said: &Said<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut message = fields(data, said.message.as_ref(), "message")?;
        let id = message.string("id")?.unwrap_or_default();
        let model = message.string("model")?.unwrap_or_default();
        self.started = true;
        out.push(Event::Start { id, model, created: None });
        self.counts.merge(said.message_counts);
        self.usage(out);
        Ok(())
    }

    fn block_start(&mut self, data: &[u8], said: &Said<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = index(said)?;
        if self.open.iter().any(|(i, _)| *i == index) {
            return Err(Malformed::new("index", format!("block {index} begins twice")));
        }
        let mut fields = fields(data, said.block.as_ref(), "content_block")?;
        let block = match fields.required_string("type")?.as_str() {
            "text" => {
                text(fields.string("text")?.unwrap_or_default(), out);
                let citations = fields.array("citations")?.unwrap_or_default();
                out.extend(citations.into_iter().map(citation));
                Block::Text
            }
            "thinking" => {
                reasoning(fields.string("thinking")?.unwrap_or_default(), out);
                Block::Thinking(fields.string("signature")?.as_deref().and_then(signature))
            }
            "redacted_thinking" => {
                let data = fields.required_string("data")?;
                let signature = signature(&data).ok_or_else(|| fields.wrong("data", "must not be empty"))?;
                out.push(Event::Signature { choice: 0, signature, redacted: true });
                Block::Other
            }
            "tool_use" => self.call_start(&mut fields, out)?,
            _ => Block::Other,
        };
        self.open.push((index, block));
        Ok(())
    }

    fn call_start(&mut self, fields: &mut Fields, out: &mut Vec<Event>) -> Result<Block, Malformed> {
        let (id, name) = (fields.required_string("id")?, fields.required_string("name")?);
        if id.is_empty() || name.is_empty() {
            return Err(fields.wrong(if id.is_empty() { "id" } else { "name" }, "must not be empty"));
        }
        let input = fields.take("input").filter(Value::is_object).map_or_else(|| "{}".to_owned(), |v| v.to_string());
        let index = self.calls;
        self.calls += 1;
        out.push(Event::ToolCall { choice: 0, index, id, name, custom: false, signature: None });
        Ok(Block::Call { index, input, empty: true })
    }

    fn block_delta(&mut self, data: &[u8], said: &Said<'_>, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = index(said)?;
        let block = self.open.iter_mut().rev().find(|(i, _)| *i == index);
        let (_, block) = block.ok_or_else(|| unopened(index))?;
        let kind = said.delta_kind.as_ref().map(Str::bytes).unwrap_or_default();
        let words = || said.delta_text.as_ref().map(|s| s.text().into_owned()).unwrap_or_default();
        match (&*kind, block) {
            (_, Block::Other) => {}
            (b"text_delta", Block::Text) => text(words(), out),
            (b"citations_delta", Block::Text) => {
                let range = said.citation.clone().and_then(|range| data.get(range)).unwrap_or_default();
                let native = serde_json::from_slice(range);
                let native = native.map_err(|e| Malformed::new("delta.citation", format!("not JSON: {e}")))?;
                out.push(citation(native));
            }
            (b"thinking_delta", Block::Thinking(_)) => reasoning(words(), out),
            (b"signature_delta", Block::Thinking(held)) => {
                if let Some(signature) = signature(&words()) {
                    *held = None;
                    out.push(Event::Signature { choice: 0, signature, redacted: false });
                }
            }
            (b"input_json_delta", Block::Call { index, empty, .. }) => {
                let text = words();
                if !text.is_empty() {
                    *empty = false;
                    out.push(Event::Arguments { choice: 0, index: *index, text });
                }
            }
            (b"text_delta" | b"citations_delta" | b"thinking_delta" | b"signature_delta" | b"input_json_delta", _) => {
                let kind = String::from_utf8_lossy(&kind);
                return Err(Malformed::new("delta.type", format!("{kind} does not belong to block {index}")));
            }
            // Kinds of deltas yet to come.
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, said: &Said<'_>, out: &mut Vec<Event>) {
        if let Some(reason) = said.stop_reason.as_ref().filter(|_| !self.finished) {
            self.finished = true;
            let stop_sequence = said.stop_sequence.as_ref().map(|s| s.text().into_owned());
            out.push(Event::Finish {
                choice: 0,
                finish: Finish { reason: finish_named(&reason.bytes()), stop_sequence },
            });
        }
        self.counts.merge(said.counts);
        self.usage(out);
    }

    fn usage(&mut self, out: &mut Vec<Event>) {
        let usage = self.counts.usage();
        if let Some(usage) = usage.filter(|_| usage != self.reported) {
            self.reported = Some(usage);
            out.push(Event::Usage(usage));
        }
    }
}

fn close(block: Block, out: &mut Vec<Event>) {
    match block {
        Block::Thinking(Some(signature)) => out.push(Event::Signature { choice: 0, signature, redacted: false }),
        Block::Call { index, input, empty: true } => out.push(Event::Arguments { choice: 0, index, text: input }),
        Block::Text | Block::Thinking(None) | Block::Call { .. } | Block::Other => {}
    }
}

fn text(text: String, out: &mut Vec<Event>) {
    if !text.is_empty() {
        out.push(Event::Text { choice: 0, text });
    }
}

fn reasoning(text: String, out: &mut Vec<Event>) {
    if !text.is_empty() {
        out.push(Event::Reasoning { choice: 0, text, summary: false });
    }
}

fn citation(native: Value) -> Event {
    Event::Citation { choice: 0, citation: Box::new(read_citation(native)) }
}

fn index(said: &Said<'_>) -> Result<u64, Malformed> {
    said.index.ok_or_else(|| Malformed::new("index", "is required"))
}

fn unopened(index: u64) -> Malformed {
    Malformed::new("index", format!("block {index} is not open"))
}

/// An object inside the event's data.
fn fields(data: &[u8], place: Option<&Range<usize>>, path: &str) -> Result<Fields, Malformed> {
    let text = place.and_then(|range| data.get(range.clone())).ok_or_else(|| Malformed::new(path, "is required"))?;
    let value = serde_json::from_slice(text).map_err(|e| Malformed::new(path, format!("not JSON: {e}")))?;
    Fields::of(value, path)
}

//! A provider's stream into canonical events.
//!
//! What the deltas said is never said again by the events that close a part, an item or the answer; what only those say
//! (some hosts send no deltas) comes from them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::error::parse_error;
use super::response::{decode_call, finish, picture};
use super::shared::{PARAGRAPH, Reasoning, Signs, citation, logprobs, usage};
use crate::chat::{Event, Finish, FinishReason};
use crate::dialect::EventFault;
use crate::dialect::wire::{Fields, Malformed, Result};
use crate::json::{self, Cursor, Str};

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    created: bool,
    done: bool,
    calls: u32,
    /// Characters of text so far.
    said: u64,
    /// The part whose text came last, by item and place in it, and what had been said before it.
    part: (u64, u64),
    before: u64,
    /// By `output_index`.
    items: BTreeMap<u64, Item>,
}

/// What is known of one item of the output.
#[derive(Debug, Default)]
struct Item {
    /// Which call it is.
    call: Option<u32>,
    /// Some of its arguments came.
    argued: bool,
    /// The parts of its content of which text came, a bit each; the last bit stands for all beyond.
    heard: u64,
    /// It thinks: in raw thoughts or in a summary, and which part of them came last.
    thought: Option<(Thought, u64)>,
    /// It is complete.
    closed: bool,
}

/// Two ways to say what the model thought; the first one that an item uses holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thought {
    Raw,
    Summary,
}

/// The members of an event that this reader knows.
#[derive(Default)]
struct Frame<'a> {
    data: &'a [u8],
    kind: Cow<'a, str>,
    output: u64,
    content: u64,
    summary: u64,
    delta: Option<Str<'a>>,
    /// What a closing event repeats: `text`, `refusal`, `arguments` or `input`.
    whole: Option<Str<'a>>,
    item: Option<Range<usize>>,
    response: Option<Range<usize>>,
    annotation: Option<Range<usize>>,
    logprobs: Option<Range<usize>>,
}

impl<'a> Frame<'a> {
    fn read(name: &'a [u8], data: &'a [u8]) -> std::result::Result<Self, json::Error> {
        let mut frame = Self { data, ..Self::default() };
        let mut c = Cursor::new(data)?;
        c.object(|c, key| {
            match key.name {
                b"type" => frame.kind = c.string_or_skip()?.map(|s| s.text()).unwrap_or_default(),
                b"delta" => frame.delta = c.string_or_skip()?,
                b"text" | b"refusal" | b"arguments" | b"input" => frame.whole = c.string_or_skip()?,
                b"output_index" => frame.output = index(c)?,
                b"content_index" => frame.content = index(c)?,
                b"summary_index" => frame.summary = index(c)?,
                b"item" => frame.item = Some(c.value()?),
                b"response" => frame.response = Some(c.value()?),
                b"annotation" => frame.annotation = Some(c.value()?),
                b"logprobs" => frame.logprobs = Some(c.value()?),
                _ => c.skip()?,
            }
            Ok::<_, json::Error>(())
        })?;
        c.finish()?;
        if frame.kind.is_empty() {
            frame.kind = String::from_utf8_lossy(name);
        }
        Ok(frame)
    }

    fn value(&self, range: &Option<Range<usize>>) -> Option<Value> {
        // The reader has been over it, so this can only be a value.
        range.clone().and_then(|r| serde_json::from_slice(&self.data[r]).ok())
    }

    fn object(&self, range: &Option<Range<usize>>, name: &str) -> Result<Fields> {
        let value = self.value(range).ok_or_else(|| Malformed::new(name, "is required"))?;
        Fields::of(value, name)
    }
}

fn index(c: &mut Cursor<'_>) -> std::result::Result<u64, json::Error> {
    let range = c.value()?;
    Ok(std::str::from_utf8(&c.source()[range]).ok().and_then(|s| s.parse().ok()).unwrap_or(0))
}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> std::result::Result<(), EventFault> {
        let data = data.trim_ascii();
        if self.done || data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        if name == b"error" {
            return Err(EventFault::Error(Box::new(parse_error(None, data))));
        }
        let frame = Frame::read(name, data).map_err(|e| Malformed::new("", format!("not JSON: {e}")))?;
        match &*frame.kind {
            "error" | "response.failed" => return Err(EventFault::Error(Box::new(parse_error(None, data)))),
            "response.created" if std::mem::replace(&mut self.created, true) => {
                return Err(Malformed::new("type", "`response.created` came twice").into());
            }
            "response.created" | "response.in_progress" | "response.queued" => self.start(&frame, out),
            kind => {
                let before = out.len();
                self.content(kind.strip_prefix("response.").unwrap_or(kind), &frame, out)?;
                // Whoever begins without a beginning has begun all the same.
                self.started |= out.len() > before;
            }
        }
        Ok(())
    }

    fn start(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let response = frame.value(&frame.response).unwrap_or_default();
        let text = |key: &str| response.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let created = response.get("created_at").and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)));
        out.push(Event::Start { id: text("id"), model: text("model"), created });
    }

    fn content(&mut self, kind: &str, frame: &Frame<'_>, out: &mut Vec<Event>) -> Result<()> {
        match kind {
            "output_text.delta" => {
                self.heard(frame);
                let text = delta(frame)?;
                self.said((frame.output, frame.content), &text);
                if !text.is_empty() {
                    out.push(Event::Text { choice: 0, text });
                }
                if let Some(value) = frame.value(&frame.logprobs) {
                    push_logprobs(&value, out);
                }
            }
            "refusal.delta" => {
                self.heard(frame);
                out.push(Event::Refusal { choice: 0, text: delta(frame)? });
            }
            "output_text.done" | "refusal.done" => {
                if let Some(text) = whole(frame).filter(|_| !self.heard(frame)) {
                    let refusal = kind == "refusal.done";
                    if !refusal {
                        self.said((frame.output, frame.content), &text);
                    }
                    out.push(spoken(refusal, text));
                    if let Some(value) = frame.value(&frame.logprobs) {
                        push_logprobs(&value, out);
                    }
                }
            }
            "output_text.annotation.added" => {
                if let Some(native) = frame.value(&frame.annotation).filter(Value::is_object) {
                    let part = (frame.output, frame.content);
                    // A source that comes before its text is one of what comes next.
                    let before = if part == self.part { self.before } else { self.said };
                    out.push(Event::Citation { choice: 0, citation: Box::new(citation(native, before)) });
                }
            }
            "reasoning_summary_text.delta" => {
                self.think(Thought::Summary, frame.output, frame.summary, delta(frame)?, out)
            }
            "reasoning_text.delta" => self.think(Thought::Raw, frame.output, frame.content, delta(frame)?, out),
            "reasoning_summary_text.done" => self.think_whole(Thought::Summary, frame.summary, frame, out),
            "reasoning_text.done" => self.think_whole(Thought::Raw, frame.content, frame, out),
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.argue(frame.output, delta(frame)?, out)?;
            }
            "function_call_arguments.done" | "custom_tool_call_input.done" => {
                let argued = self.items.get(&frame.output).is_some_and(|item| item.argued);
                if let Some(text) = whole(frame).filter(|_| !argued) {
                    self.argue(frame.output, text, out)?;
                }
            }
            "output_item.added" => self.open(frame.output, frame.object(&frame.item, "item")?, out)?,
            "output_item.done" => self.close(frame.output, frame.object(&frame.item, "item")?, out)?,
            "completed" | "incomplete" => self.end(kind, frame, out)?,
            _ => {}
        }
        Ok(())
    }

    /// Keeps count of the text.
    fn said(&mut self, part: (u64, u64), text: &str) {
        if part != self.part {
            self.part = part;
            self.before = self.said;
        }
        self.said += text.chars().count() as u64;
    }

    /// Marks the part of the event as heard; says whether it was.
    fn heard(&mut self, frame: &Frame<'_>) -> bool {
        let bit = 1 << frame.content.min(63);
        let item = self.items.entry(frame.output).or_default();
        let before = item.heard & bit != 0;
        item.heard |= bit;
        before
    }

    fn think(&mut self, thought: Thought, output: u64, part: u64, text: String, out: &mut Vec<Event>) {
        let item = self.items.entry(output).or_default();
        let summary = thought == Thought::Summary;
        match item.thought {
            Some((other, _)) if other != thought => return,
            Some((_, before)) if before != part => {
                out.push(Event::Reasoning { choice: 0, text: PARAGRAPH.into(), summary });
            }
            _ => {}
        }
        item.thought = Some((thought, part));
        if !text.is_empty() {
            out.push(Event::Reasoning { choice: 0, text, summary });
        }
    }

    fn think_whole(&mut self, thought: Thought, part: u64, frame: &Frame<'_>, out: &mut Vec<Event>) {
        let said = self.items.get(&frame.output).and_then(|item| item.thought) == Some((thought, part));
        if let Some(text) = whole(frame).filter(|_| !said) {
            self.think(thought, frame.output, part, text, out);
        }
    }

    fn argue(&mut self, output: u64, text: String, out: &mut Vec<Event>) -> Result<()> {
        let item = self.items.get_mut(&output);
        let Some((item, index)) = item.and_then(|item| item.call.map(|index| (item, index))) else {
            return Err(Malformed::new("output_index", format!("item {output} is no call that has begun")));
        };
        item.argued = true;
        if !text.is_empty() {
            out.push(Event::Arguments { choice: 0, index, text });
        }
        Ok(())
    }

    fn open(&mut self, output: u64, mut item: Fields, out: &mut Vec<Event>) -> Result<()> {
        let kind = item.peek("type").and_then(Value::as_str).map(str::to_owned);
        match kind.as_deref() {
            Some("function_call") => self.call(output, &mut item, false, out).map(drop),
            Some("custom_tool_call") => self.call(output, &mut item, true, out).map(drop),
            _ => Ok(()),
        }
    }

    /// Begins a call, unless it has begun; returns the arguments that the item holds.
    fn call(&mut self, output: u64, item: &mut Fields, custom: bool, out: &mut Vec<Event>) -> Result<String> {
        let call = decode_call(item, custom)?;
        let known = self.items.entry(output).or_default();
        if known.call.is_none() {
            let index = self.calls;
            self.calls += 1;
            known.call = Some(index);
            out.push(Event::ToolCall { choice: 0, index, id: call.id, name: call.name, custom, signature: None });
        }
        Ok(call.arguments)
    }

    /// A complete item: says what of it has not been said.
    fn close(&mut self, output: u64, mut item: Fields, out: &mut Vec<Event>) -> Result<()> {
        let known = self.items.entry(output).or_default();
        if std::mem::replace(&mut known.closed, true) {
            return Ok(());
        }
        let kind = item.peek("type").and_then(Value::as_str).map(str::to_owned);
        match kind.as_deref() {
            Some("message") => self.close_message(output, &mut item, out),
            Some("reasoning") => self.close_reasoning(output, &mut item, out),
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let arguments = self.call(output, &mut item, kind == "custom_tool_call", out)?;
                let argued = self.items.get(&output).is_some_and(|item| item.argued);
                if argued { Ok(()) } else { self.argue(output, arguments, out) }
            }
            Some("image_generation_call") if item.peek("result").is_some_and(Value::is_string) => {
                out.push(Event::Media { choice: 0, media: Box::new(picture(&mut item)?) });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn close_message(&mut self, output: u64, item: &mut Fields, out: &mut Vec<Event>) -> Result<()> {
        let heard = self.items.get(&output).map_or(0, |item| item.heard);
        for (i, mut part) in item.objects("content")?.into_iter().enumerate() {
            if heard & (1 << i.min(63)) != 0 {
                continue;
            }
            let refusal = part.peek("type").and_then(Value::as_str) == Some("refusal");
            let Some(text) = part.string(if refusal { "refusal" } else { "text" })?.filter(|t| !t.is_empty()) else {
                continue;
            };
            if !refusal {
                self.said((output, i as u64), &text);
            }
            out.push(spoken(refusal, text));
            for native in part.array("annotations")?.unwrap_or_default() {
                out.push(Event::Citation { choice: 0, citation: Box::new(citation(native, self.before)) });
            }
            if let Some(value) = part.take("logprobs") {
                push_logprobs(&value, out);
            }
        }
        Ok(())
    }

    fn close_reasoning(&mut self, output: u64, item: &mut Fields, out: &mut Vec<Event>) -> Result<()> {
        let reasoning = Reasoning::take(item)?;
        let thought = self.items.get(&output).is_some_and(|item| item.thought.is_some());
        let redacted = !thought && reasoning.redacted();
        let Reasoning { text, summary, signature, .. } = reasoning;
        if !thought && !text.is_empty() {
            out.push(Event::Reasoning { choice: 0, text, summary });
        }
        match signature {
            // It belongs to a call, and calls of a stream have begun by the time that it could be told them.
            None | Some((_, Signs::Call)) => {}
            Some((signature, _)) => out.push(Event::Signature { choice: 0, signature, redacted }),
        }
        Ok(())
    }

    fn end(&mut self, kind: &str, frame: &Frame<'_>, out: &mut Vec<Event>) -> Result<()> {
        self.start(frame, out);
        let mut response = match &frame.response {
            Some(_) => frame.object(&frame.response, "response")?,
            None => Fields::of(Value::Object(serde_json::Map::new()), "response")?,
        };
        // Positions here need not be those that the events named, so it is for streams that named none.
        if self.items.is_empty() {
            for (i, item) in response.objects("output")?.into_iter().enumerate() {
                self.close(i as u64, item, out)?;
            }
        }
        let details = response.take("incomplete_details");
        // Some name the event `completed` and say in the answer that it is not.
        let status = response.string("status")?.filter(|status| status == "incomplete");
        let reason =
            finish(status.as_deref().or(Some(kind)), details.as_ref(), self.calls > 0).unwrap_or(FinishReason::Other);
        out.push(Event::Finish { choice: 0, finish: Finish::from(reason) });
        if let Some(usage) = response.take("usage").as_ref().and_then(usage) {
            out.push(Event::Usage(usage));
        }
        out.push(Event::Done);
        self.done = true;
        Ok(())
    }
}

fn delta(frame: &Frame<'_>) -> Result<String> {
    match &frame.delta {
        Some(text) => Ok(text.text().into_owned()),
        None => Err(Malformed::new("delta", "is required, as a string")),
    }
}

fn whole(frame: &Frame<'_>) -> Option<String> {
    frame.whole.as_ref().map(|s| s.text().into_owned()).filter(|t| !t.is_empty())
}

fn spoken(refusal: bool, text: String) -> Event {
    if refusal { Event::Refusal { choice: 0, text } } else { Event::Text { choice: 0, text } }
}

fn push_logprobs(value: &Value, out: &mut Vec<Event>) {
    let tokens = logprobs(value);
    if !tokens.is_empty() {
        out.push(Event::Logprobs { choice: 0, tokens });
    }
}

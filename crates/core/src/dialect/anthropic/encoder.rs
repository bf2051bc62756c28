//! Canonical events into a stream of this API.
//!
//! Blocks are serial here: one ends before the next begins, in order of their indices. Most providers stream calls that
//! way too, but nothing makes them: two calls can be announced first and get their arguments in turn. So the call that
//! is open stays open until its arguments are a complete JSON object; whatever belongs after it is held until then, and
//! at the latest until the answer's end. Nothing is lost or reordered inside a block, and while one call follows the
//! other nothing waits.

use serde_json::Value;

use super::shared::{HOME, Said, call_token, media_text, stop_reason, usage_value, write_citation};
use crate::chat::{Event, Finish};
use crate::dialect::ReplyContext;
use crate::dialect::wire::write_event;
use crate::json;
use crate::registry::Usage;

/// Writes a stream. This API gives one answer: others than the first are left out.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    id: String,
    model: String,
    begun: bool,
    done: bool,
    /// Index of the next block.
    next: u32,
    open: Open,
    /// What waits for the open call's end, in order.
    held: Vec<Held>,
    /// Citations that came before their text.
    citations: Vec<Value>,
    said: Said,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// The open block.
#[derive(Debug)]
enum Open {
    None,
    Text,
    Thinking,
    /// `custom`: its arguments are free text, which goes out as the one member of an object.
    Call {
        index: u32,
        custom: bool,
        extent: Extent,
    },
}

/// A block, or an event, that waits.
#[derive(Debug)]
enum Held {
    Call { call: Event, index: u32, arguments: String },
    Other(Event),
}

/// Where in a JSON text the arguments are: whether the object that they are is complete.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    depth: u32,
    in_string: bool,
    escaped: bool,
    complete: bool,
}

impl Extent {
    fn add(&mut self, text: &str) {
        for b in text.bytes() {
            match b {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

impl Encoder {
    /// For one answer.
    pub fn new(context: ReplyContext) -> Self {
        Self {
            context,
            id: String::new(),
            model: String::new(),
            begun: false,
            done: false,
            next: 0,
            open: Open::None,
            held: Vec::new(),
            citations: Vec::new(),
            said: Said::default(),
            finish: None,
            usage: None,
        }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            // What begins the stream is written with the first output: the input's usage is known by then.
            Event::Start { id, model, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            Event::Done => self.end(out),
            Event::Arguments { choice: 0, index, text } if !text.is_empty() => self.arguments(*index, text, out),
            other if is_output(other) => self.output(other, out),
            _ => {}
        }
    }

    fn arguments(&mut self, index: u32, text: &str, out: &mut Vec<u8>) {
        if matches!(self.open, Open::Call { index: open, .. } if open == index) {
            self.fragment(text, out);
            self.release(false, out);
            return;
        }
        let waiting = self.held.iter_mut().rev().find_map(|held| match held {
            Held::Call { index: of, arguments, .. } if *of == index => Some(arguments),
            _ => None,
        });
        // What comes after a call's object was complete belongs to nothing that a client could read.
        if let Some(arguments) = waiting {
            arguments.push_str(text);
        }
    }

    /// Writes more of the open call's arguments.
    fn fragment(&mut self, text: &str, out: &mut Vec<u8>) {
        match &mut self.open {
            Open::Call { custom: true, .. } => {
                let mut quoted = Vec::with_capacity(text.len() + 2);
                json::quote_into(text, &mut quoted);
                let inside = quoted.get(1..quoted.len() - 1).unwrap_or_default();
                input_delta(out, self.next - 1, &String::from_utf8_lossy(inside));
            }
            Open::Call { extent, .. } => {
                extent.add(text);
                input_delta(out, self.next - 1, text);
            }
            _ => {}
        }
    }

    /// Writes what is not arguments, or holds it.
    fn output(&mut self, event: &Event, out: &mut Vec<u8>) {
        match (&self.open, event) {
            (Open::Call { extent, .. }, _) if !extent.complete || !self.held.is_empty() => {
                self.held.push(match event {
                    Event::ToolCall { index, .. } => {
                        Held::Call { call: event.clone(), index: *index, arguments: String::new() }
                    }
                    other => Held::Other(other.clone()),
                })
            }
            _ => self.write(event, out),
        }
    }

    /// Writes what is held, as far as the open call lets it; `all`: to the end.
    fn release(&mut self, all: bool, out: &mut Vec<u8>) {
        let may = |open: &Open| all || !matches!(open, Open::Call { extent, .. } if !extent.complete);
        if self.held.is_empty() || !may(&self.open) {
            return;
        }
        let mut held = std::mem::take(&mut self.held).into_iter();
        while may(&self.open) {
            match held.next() {
                None => return,
                Some(Held::Other(event)) => self.write(&event, out),
                Some(Held::Call { call, arguments, .. }) => {
                    self.write(&call, out);
                    if !arguments.is_empty() {
                        self.fragment(&arguments, out);
                    }
                }
            }
        }
        self.held = held.collect();
    }

    /// Writes one event whose turn it is.
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text { text, .. } | Event::Refusal { text, .. } => {
                self.said.refusal |= matches!(event, Event::Refusal { .. });
                if !matches!(self.open, Open::Text) {
                    self.begin(Open::Text, r#""type":"text","text":"""#, out);
                    for citation in std::mem::take(&mut self.citations) {
                        self.cite(&citation, out);
                    }
                }
                delta(out, self.next - 1, "text_delta", "text", text);
            }
            Event::Citation { citation, .. } => {
                let Some(citation) = write_citation(citation) else { return };
                match self.open {
                    Open::Text => self.cite(&citation, out),
                    _ => self.citations.push(citation),
                }
            }
            Event::Reasoning { text, .. } => {
                self.think(out);
                delta(out, self.next - 1, "thinking_delta", "thinking", text);
            }
            Event::Signature { signature, redacted: false, .. } => {
                self.think(out);
                delta(out, self.next - 1, "signature_delta", "signature", &signature.token(HOME));
                self.close(out);
            }
            Event::Signature { signature, redacted: true, .. } => self.redacted(&signature.token(HOME), out),
            Event::ToolCall { .. } => self.call(event, out),
            Event::Media { media, .. } => {
                self.begin(Open::Text, r#""type":"text","text":"""#, out);
                delta(out, self.next - 1, "text_delta", "text", &media_text(media));
                self.close(out);
            }
            _ => {}
        }
    }

    fn think(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Thinking) {
            self.begin(Open::Thinking, r#""type":"thinking","thinking":"","signature":"""#, out);
        }
    }

    fn redacted(&mut self, token: &str, out: &mut Vec<u8>) {
        let mut block = br#""type":"redacted_thinking","data":"#.to_vec();
        json::quote_into(token, &mut block);
        self.begin(Open::None, &block, out);
        stop(out, self.next - 1);
    }

    fn call(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Event::ToolCall { index, id, name, custom, signature, .. } = event else { return };
        if let Some(signature) = signature {
            self.redacted(&call_token(signature), out);
        }
        self.said.calls = true;
        let mut block = br#""type":"tool_use","id":"#.to_vec();
        json::quote_into(id, &mut block);
        block.extend_from_slice(br#","name":"#);
        json::quote_into(name, &mut block);
        block.extend_from_slice(br#","input":{}"#);
        self.begin(Open::Call { index: *index, custom: *custom, extent: Extent::default() }, &block, out);
        if *custom {
            input_delta(out, self.next - 1, r#"{"input":""#);
        }
    }

    fn cite(&self, citation: &Value, out: &mut Vec<u8>) {
        let index = self.next.saturating_sub(1);
        let delta = serde_json::json!({"type": "citations_delta", "citation": citation});
        let event = serde_json::json!({"type": "content_block_delta", "index": index, "delta": delta});
        write_event(out, "content_block_delta", &event);
    }

    /// Ends the open block and begins the next, whose members are given.
    fn begin(&mut self, open: Open, members: impl AsRef<[u8]>, out: &mut Vec<u8>) {
        self.begin_message(out);
        self.close(out);
        out.extend_from_slice(b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
        number(out, self.next);
        out.extend_from_slice(b",\"content_block\":{");
        out.extend_from_slice(members.as_ref());
        out.extend_from_slice(b"}}\n\n");
        self.next += 1;
        self.open = open;
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => return,
            Open::Call { custom: true, .. } => input_delta(out, self.next - 1, r#""}"#),
            Open::Text | Open::Thinking | Open::Call { .. } => {}
        }
        stop(out, self.next - 1);
    }

    fn begin_message(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let id = if self.id.is_empty() { format!("msg_{}", self.context.id) } else { self.id.clone() };
        let model = if self.model.is_empty() { &self.context.model } else { &self.model };
        let message = serde_json::json!({
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage_value(&self.usage.unwrap_or_default()),
        });
        write_event(out, "message_start", &serde_json::json!({"type": "message_start", "message": message}));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.release(true, out);
        self.begin_message(out);
        self.close(out);
        self.done = true;
        let reason = stop_reason(self.finish.as_ref(), self.said);
        let sequence = self.finish.as_ref().and_then(|f| f.stop_sequence.as_deref());
        let event = serde_json::json!({
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence},
            "usage": usage_value(&self.usage.unwrap_or_default()),
        });
        write_event(out, "message_delta", &event);
        out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

/// Whether an event is output of the answer that this API gives, and not empty.
fn is_output(event: &Event) -> bool {
    match event {
        Event::Text { choice, text } | Event::Refusal { choice, text } | Event::Reasoning { choice, text, .. } => {
            *choice == 0 && !text.is_empty()
        }
        Event::Citation { choice, .. }
        | Event::Signature { choice, .. }
        | Event::ToolCall { choice, .. }
        | Event::Media { choice, .. } => *choice == 0,
        _ => false,
    }
}

fn delta(out: &mut Vec<u8>, index: u32, kind: &str, member: &str, text: &str) {
    out.reserve(text.len() + 128);
    out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    number(out, index);
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":");
    json::quote_into(text, out);
    out.extend_from_slice(b"}}\n\n");
}

fn input_delta(out: &mut Vec<u8>, index: u32, text: &str) {
    delta(out, index, "input_json_delta", "partial_json", text);
}

fn stop(out: &mut Vec<u8>, index: u32) {
    out.extend_from_slice(b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
    number(out, index);
    out.extend_from_slice(b"}\n\n");
}

fn number(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(n.to_string().as_bytes());
}

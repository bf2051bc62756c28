//! Canonical events into a stream for a client.
//!
//! Texts are escaped once, when they come; what closes a part, an item and the answer repeats the escaped bytes. Calls stay
//! open until the model stops: their arguments may come in any order.

use serde_json::{Map, Value};

use super::pieces::{Call, Message, Part, Thoughts, end, separate, write_call, write_message, write_thoughts};
use super::response::{call_form, picture_item};
use super::shared::{Signs, annotation, carry, logprob_value};
use super::shell::{Status, item_id, settle, shell};
use super::write::{decimal, json, member, pair, quoted};
use crate::chat::{Citation, Event, Finish, Media, Signature, TokenLogprob};
use crate::dialect::ReplyContext;
use crate::json::escape_into;
use crate::registry::Usage;

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    shell: Map<String, Value>,
    sequence: u64,
    started: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    done: bool,
    /// Characters of text in parts that are complete.
    said: u64,
    /// Complete items by their index in the output, as JSON; empty while open.
    items: Vec<Vec<u8>>,
    message: Option<Box<Message>>,
    thoughts: Option<Box<Thoughts>>,
    calls: Vec<Call>,
}

impl Encoder {
    /// For one answer.
    pub fn new(context: ReplyContext) -> Self {
        Self {
            context,
            shell: Map::new(),
            sequence: 0,
            started: false,
            finish: None,
            usage: None,
            done: false,
            said: 0,
            items: Vec::new(),
            message: None,
            thoughts: None,
            calls: Vec::new(),
        }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { model, created, .. } => self.start(*created, model, out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Done => self.end(out),
            // Clients of this dialect cannot ask for more than one answer.
            event if choice(event) != 0 => {}
            // A fragment of nothing must not open an item.
            Event::Text { text, .. }
            | Event::Refusal { text, .. }
            | Event::Reasoning { text, .. }
            | Event::Arguments { text, .. }
                if text.is_empty() => {}
            event => {
                self.start(None, "", out);
                self.output(event, out);
            }
        }
    }

    fn output(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text { text, .. } => self.say(false, text, out),
            Event::Refusal { text, .. } => self.say(true, text, out),
            Event::Citation { citation, .. } => self.cite(citation, out),
            Event::Logprobs { tokens, .. } => self.weigh(tokens, out),
            Event::Reasoning { text, .. } => self.think(text, out),
            Event::Signature { signature, redacted, .. } => {
                let signs = if *redacted { Signs::Redacted } else { Signs::Thoughts };
                self.sign(signature, signs, out);
            }
            Event::ToolCall { index, id, name, custom, signature, .. } => {
                if let Some(signature) = signature {
                    self.close_thoughts(None, out);
                    self.sign(signature, Signs::Call, out);
                }
                self.call(*index, id, name, *custom, out);
            }
            Event::Arguments { index, text, .. } => self.argue(*index, text, out),
            Event::Media { media, .. } => self.picture(media, out),
            Event::Finish { finish, .. } => {
                self.finish = Some(finish.clone());
                self.close_all(out);
            }
            Event::Start { .. } | Event::Usage(_) | Event::Done => {}
        }
    }

    fn start(&mut self, created: Option<i64>, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.shell = shell(&self.context, created, model);
        for kind in ["response.created", "response.in_progress"] {
            self.begin(kind, out);
            self.write_response(out);
            end(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start(None, "", out);
        self.close_all(out);
        let status = self.status();
        settle(&mut self.shell, status, self.usage.as_ref());
        self.begin(if status == Status::Completed { "response.completed" } else { "response.incomplete" }, out);
        self.write_response(out);
        end(out);
        self.done = true;
    }

    fn status(&self) -> Status {
        Status::of(self.finish.as_ref())
    }

    fn write_response(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"response\":{");
        for (i, (key, value)) in self.shell.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            quoted(key, out);
            out.push(b':');
            if key != "output" {
                json(value, out);
                continue;
            }
            out.push(b'[');
            for (i, item) in self.items.iter().filter(|item| !item.is_empty()).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(item);
            }
            out.push(b']');
        }
        out.push(b'}');
    }

    /// The start of an event: its name, type and number.
    fn begin(&mut self, kind: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"sequence_number\":");
        decimal(self.sequence, out);
        self.sequence += 1;
    }

    /// Announces an item, whose JSON `write` appends; returns its place in the output.
    fn add_item(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let item = self.items.len();
        self.items.push(Vec::new());
        self.begin("response.output_item.added", out);
        member("output_index", item as u64, out);
        out.extend_from_slice(b",\"item\":");
        write(out);
        end(out);
        item
    }

    /// Ends an item.
    fn end_item(&mut self, item: usize, json: Vec<u8>, out: &mut Vec<u8>) {
        self.begin("response.output_item.done", out);
        member("output_index", item as u64, out);
        out.extend_from_slice(b",\"item\":");
        out.extend_from_slice(&json);
        end(out);
        self.items[item] = json;
    }

    fn new_id(&self, prefix: &str) -> String {
        item_id(prefix, &self.context, self.items.len())
    }

    fn say(&mut self, refusal: bool, text: &str, out: &mut Vec<u8>) {
        let kind = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.open_part(refusal, out);
        self.begin(kind, out);
        let Some(part) = self.message.as_mut().and_then(|m| m.part.as_mut()) else { return end(out) };
        out.extend_from_slice(&part.address);
        let start = part.text.len();
        escape_into(text, &mut part.text);
        part.characters += text.chars().count() as u64;
        out.extend_from_slice(b",\"delta\":\"");
        out.extend_from_slice(&part.text[start..]);
        out.extend_from_slice(if refusal { b"\"" } else { b"\",\"logprobs\":[]" });
        end(out);
    }

    /// Likelihoods come in a delta without text, behind the text that they are of.
    fn weigh(&mut self, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        self.open_part(false, out);
        self.begin("response.output_text.delta", out);
        let Some(part) = self.message.as_mut().and_then(|m| m.part.as_mut()) else { return end(out) };
        out.extend_from_slice(&part.address);
        out.extend_from_slice(b",\"delta\":\"\",\"logprobs\":[");
        for (i, token) in tokens.iter().enumerate() {
            let mut one = Vec::new();
            json(&logprob_value(token), &mut one);
            separate(&mut part.logprobs);
            part.logprobs.extend_from_slice(&one);
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&one);
        }
        out.push(b']');
        end(out);
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let open = self.message.as_mut().and_then(|m| m.part.as_mut()).filter(|p| !p.refusal);
        let place = open.map_or((0, 0), Part::cite);
        let Some(annotation) = annotation(citation, self.said, place) else { return };
        self.open_part(false, out);
        self.begin("response.output_text.annotation.added", out);
        let Some(part) = self.message.as_mut().and_then(|m| m.part.as_mut()) else { return end(out) };
        out.extend_from_slice(&part.address);
        member("annotation_index", part.annotated, out);
        out.extend_from_slice(b",\"annotation\":");
        separate(&mut part.annotations);
        let start = part.annotations.len();
        json(&annotation, &mut part.annotations);
        out.extend_from_slice(&part.annotations[start..]);
        part.annotated += 1;
        end(out);
    }

    /// Makes sure that a message is open and in it a part of this kind.
    fn open_part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        if self.message.as_ref().and_then(|m| m.part.as_ref()).is_some_and(|p| p.refusal == refusal) {
            return;
        }
        self.close_thoughts(None, out);
        self.close_part(out);
        if self.message.is_none() {
            let id = self.new_id("msg");
            let item = self.add_item(out, |out| write_message(&id, "in_progress", b"", out));
            self.message = Some(Box::new(Message { item, id, parts: Vec::new(), count: 0, part: None }));
        }
        let Some(message) = self.message.as_mut() else { return };
        let mut address = Vec::with_capacity(96);
        pair("item_id", &message.id, &mut address);
        member("output_index", message.item as u64, &mut address);
        member("content_index", message.count, &mut address);
        let part = Part {
            refusal,
            address,
            text: Vec::new(),
            characters: 0,
            cited: (0, 0),
            annotations: Vec::new(),
            annotated: 0,
            logprobs: Vec::new(),
        };
        self.begin("response.content_part.added", out);
        out.extend_from_slice(&part.address);
        out.extend_from_slice(b",\"part\":");
        part.write(out);
        end(out);
        if let Some(message) = self.message.as_mut() {
            message.part = Some(part);
        }
    }

    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some(part) = self.message.as_mut().and_then(|m| m.part.take()) else { return };
        if !part.refusal {
            self.said += part.characters;
        }
        self.begin(if part.refusal { "response.refusal.done" } else { "response.output_text.done" }, out);
        out.extend_from_slice(&part.address);
        out.extend_from_slice(if part.refusal { b",\"refusal\":\"" } else { b",\"text\":\"" });
        out.extend_from_slice(&part.text);
        out.push(b'"');
        if !part.refusal {
            out.extend_from_slice(b",\"logprobs\":[");
            out.extend_from_slice(&part.logprobs);
            out.push(b']');
        }
        end(out);
        self.begin("response.content_part.done", out);
        out.extend_from_slice(&part.address);
        out.extend_from_slice(b",\"part\":");
        let start = out.len();
        part.write(out);
        if let Some(message) = self.message.as_mut() {
            separate(&mut message.parts);
            message.parts.extend_from_slice(&out[start..]);
            message.count += 1;
        }
        end(out);
    }

    fn close_message(&mut self, out: &mut Vec<u8>) {
        self.close_part(out);
        let Some(message) = self.message.take() else { return };
        let mut json = Vec::with_capacity(message.parts.len() + 128);
        write_message(&message.id, self.status().name(), &message.parts, &mut json);
        self.end_item(message.item, json, out);
    }

    fn think(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.thoughts.is_none() {
            self.close_message(out);
            let id = self.new_id("rs");
            let item = self.add_item(out, |out| write_thoughts(&id, None, None, out));
            let mut address = Vec::with_capacity(96);
            pair("item_id", &id, &mut address);
            member("output_index", item as u64, &mut address);
            member("summary_index", 0, &mut address);
            self.begin("response.reasoning_summary_part.added", out);
            out.extend_from_slice(&address);
            out.extend_from_slice(b",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}");
            end(out);
            self.thoughts = Some(Box::new(Thoughts { item, id, address, text: Vec::new() }));
        }
        self.begin("response.reasoning_summary_text.delta", out);
        if let Some(thoughts) = self.thoughts.as_mut() {
            let start = thoughts.text.len();
            escape_into(text, &mut thoughts.text);
            out.extend_from_slice(&thoughts.address);
            out.extend_from_slice(b",\"delta\":\"");
            out.extend_from_slice(&thoughts.text[start..]);
            out.push(b'"');
        }
        end(out);
    }

    /// The signature of the reasoning that is open, or of an empty one.
    fn sign(&mut self, signature: &Signature, signs: Signs, out: &mut Vec<u8>) {
        let token = carry(signature, signs);
        if self.thoughts.is_some() {
            return self.close_thoughts(Some(&token), out);
        }
        self.close_message(out);
        let id = self.new_id("rs");
        let item = self.add_item(out, |out| write_thoughts(&id, None, None, out));
        let mut json = Vec::with_capacity(token.len() + 96);
        write_thoughts(&id, None, Some(&token), &mut json);
        self.end_item(item, json, out);
    }

    fn close_thoughts(&mut self, token: Option<&str>, out: &mut Vec<u8>) {
        let Some(thoughts) = self.thoughts.take() else { return };
        self.begin("response.reasoning_summary_text.done", out);
        out.extend_from_slice(&thoughts.address);
        out.extend_from_slice(b",\"text\":\"");
        out.extend_from_slice(&thoughts.text);
        out.push(b'"');
        end(out);
        self.begin("response.reasoning_summary_part.done", out);
        out.extend_from_slice(&thoughts.address);
        out.extend_from_slice(b",\"part\":{\"type\":\"summary_text\",\"text\":\"");
        out.extend_from_slice(&thoughts.text);
        out.extend_from_slice(b"\"}");
        end(out);
        let mut json = Vec::with_capacity(thoughts.text.len() + token.map_or(0, str::len) + 128);
        write_thoughts(&thoughts.id, Some(&thoughts.text), token, &mut json);
        self.end_item(thoughts.item, json, out);
    }

    fn call(&mut self, index: u32, id: &str, name: &str, custom: bool, out: &mut Vec<u8>) {
        self.close_thoughts(None, out);
        self.close_message(out);
        let (prefix, kind, input) = call_form(custom);
        let item_id = self.new_id(prefix);
        let mut head = Vec::with_capacity(160);
        head.extend_from_slice(b"{\"id\":");
        quoted(&item_id, &mut head);
        pair("type", kind, &mut head);
        pair("call_id", id, &mut head);
        pair("name", name, &mut head);
        head.extend_from_slice(b",\"");
        head.extend_from_slice(input.as_bytes());
        head.extend_from_slice(b"\":\"");
        let item = self.add_item(out, |out| write_call(&head, b"", "in_progress", out));
        let mut address = Vec::with_capacity(96);
        pair("item_id", &item_id, &mut address);
        member("output_index", item as u64, &mut address);
        self.calls.push(Call { index, item, custom, address, head, arguments: Vec::new() });
    }

    fn argue(&mut self, index: u32, text: &str, out: &mut Vec<u8>) {
        let Some(at) = self.calls.iter().rposition(|call| call.index == index) else { return };
        let custom = self.calls[at].custom;
        self.begin(
            if custom { "response.custom_tool_call_input.delta" } else { "response.function_call_arguments.delta" },
            out,
        );
        let call = &mut self.calls[at];
        let start = call.arguments.len();
        escape_into(text, &mut call.arguments);
        out.extend_from_slice(&call.address);
        out.extend_from_slice(b",\"delta\":\"");
        out.extend_from_slice(&call.arguments[start..]);
        out.push(b'"');
        end(out);
    }

    fn close_calls(&mut self, out: &mut Vec<u8>) {
        for call in std::mem::take(&mut self.calls) {
            let kind = if call.custom {
                "response.custom_tool_call_input.done"
            } else {
                "response.function_call_arguments.done"
            };
            self.begin(kind, out);
            out.extend_from_slice(&call.address);
            out.extend_from_slice(if call.custom { b",\"input\":\"" } else { b",\"arguments\":\"" });
            out.extend_from_slice(&call.arguments);
            out.push(b'"');
            end(out);
            let mut json = Vec::with_capacity(call.head.len() + call.arguments.len() + 32);
            write_call(&call.head, &call.arguments, self.status().name(), &mut json);
            self.end_item(call.item, json, out);
        }
    }

    fn picture(&mut self, media: &Media, out: &mut Vec<u8>) {
        let Some(mut picture) = picture_item(media) else { return };
        self.close_thoughts(None, out);
        self.close_message(out);
        picture.insert("id".into(), self.new_id("ig").into());
        let mut whole = Vec::new();
        json(&Value::Object(picture.clone()), &mut whole);
        picture.insert("status".into(), "in_progress".into());
        picture.insert("result".into(), Value::Null);
        let item = self.add_item(out, |out| json(&Value::Object(picture), out));
        self.end_item(item, whole, out);
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        self.close_thoughts(None, out);
        self.close_message(out);
        self.close_calls(out);
    }
}

fn choice(event: &Event) -> u32 {
    match event {
        Event::Text { choice, .. }
        | Event::Citation { choice, .. }
        | Event::Reasoning { choice, .. }
        | Event::Signature { choice, .. }
        | Event::Refusal { choice, .. }
        | Event::ToolCall { choice, .. }
        | Event::Arguments { choice, .. }
        | Event::Media { choice, .. }
        | Event::Logprobs { choice, .. }
        | Event::Finish { choice, .. } => *choice,
        Event::Start { .. } | Event::Usage(_) | Event::Done => 0,
    }
}

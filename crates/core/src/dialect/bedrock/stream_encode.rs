//! Writing a stream: canonical events into frames.

use serde_json::Value;

use super::encode_parts::tool_id;
use super::finish_name;
use super::frames::write_event;
use super::media::format_of;
use super::response::{citation, token, usage};
use crate::chat::{Event, Finish, FinishReason, Media, Source};
use crate::dialect::ReplyContext;
use crate::json;
use crate::registry::Usage;

/// Writes a stream.
#[derive(Debug, Default)]
pub struct Encoder {
    started: bool,
    stopped: bool,
    done: bool,
    /// Index of the next block.
    next: u64,
    /// The block of text or thoughts that is open.
    open: Option<(Kind, u64)>,
    /// Calls and the blocks that they are; those from `closed` on are open. Arguments of several calls may come mixed.
    calls: Vec<(u32, u64)>,
    closed: usize,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thoughts,
}

impl Encoder {
    /// For one answer. Converse names neither the answer nor the model.
    pub fn new(_context: ReplyContext) -> Self {
        Self::default()
    }

    /// Writes one event: whole frames, or nothing yet. Answers beyond the first have no place.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { .. } => self.start(out),
            Event::Text { choice: 0, text } | Event::Refusal { choice: 0, text } => {
                self.piece(Kind::Text, out, br#""delta":{"text":"#, text, b"}");
            }
            Event::Reasoning { choice: 0, text, .. } => {
                self.piece(Kind::Thoughts, out, br#""delta":{"reasoningContent":{"text":"#, text, b"}}");
            }
            Event::Signature { choice: 0, signature, redacted } => {
                let member: &[u8] = if *redacted {
                    // A block of its own.
                    self.close(out);
                    br#""delta":{"reasoningContent":{"redactedContent":"#
                } else {
                    br#""delta":{"reasoningContent":{"signature":"#
                };
                self.piece(Kind::Thoughts, out, member, &token(signature), b"}}");
                self.close(out);
            }
            Event::Citation { choice: 0, citation: source } => {
                let index = self.block(Kind::Text, out);
                let source = citation(source);
                write_event(out, "contentBlockDelta", |out| {
                    number(out, index);
                    out.extend_from_slice(br#","delta":{"citation":"#);
                    value(out, &source);
                    out.extend_from_slice(b"}}");
                });
            }
            Event::ToolCall { choice: 0, index, id, name, .. } => self.call(*index, id, name, out),
            Event::Arguments { choice: 0, index, text } => {
                if let Some((_, block)) = self.calls.iter().rfind(|(call, _)| call == index) {
                    delta(out, *block, br#""delta":{"toolUse":{"input":"#, text, b"}}");
                }
            }
            Event::Media { choice: 0, media } => self.picture(media, out),
            Event::Finish { choice: 0, finish } => self.stop(finish, out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Done => self.end(out),
            // Likelihoods have no place; the rest is of other answers.
            _ => {}
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            self.started = true;
            write_event(out, "messageStart", |out| out.extend_from_slice(br#"{"role":"assistant"}"#));
        }
    }

    /// More of the open block, or of a new one.
    fn piece(&mut self, kind: Kind, out: &mut Vec<u8>, before: &[u8], text: &str, after: &[u8]) {
        let index = self.block(kind, out);
        delta(out, index, before, text, after);
    }

    /// The open block of this kind; opens one where none is. (Only calls and pictures are announced.)
    fn block(&mut self, kind: Kind, out: &mut Vec<u8>) -> u64 {
        match self.open {
            Some((open, index)) if open == kind && self.closed == self.calls.len() => index,
            _ => {
                self.close(out);
                self.start(out);
                let index = self.take_index();
                self.open = Some((kind, index));
                index
            }
        }
    }

    fn take_index(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn call(&mut self, index: u32, id: &str, name: &str, out: &mut Vec<u8>) {
        self.close_block(out);
        self.start(out);
        let block = self.take_index();
        self.calls.push((index, block));
        write_event(out, "contentBlockStart", |out| {
            number(out, block);
            out.extend_from_slice(br#","start":{"toolUse":{"toolUseId":"#);
            json::quote_into(&tool_id(id, true), out);
            out.extend_from_slice(br#","name":"#);
            json::quote_into(name, out);
            out.extend_from_slice(b"}}}");
        });
    }

    fn picture(&mut self, media: &Media, out: &mut Vec<u8>) {
        let Source::Data { mime, base64 } = &media.source else { return };
        let Some(format) = format_of(crate::chat::MediaKind::Image, mime) else { return };
        self.close(out);
        self.start(out);
        let index = self.take_index();
        write_event(out, "contentBlockStart", |out| {
            number(out, index);
            out.extend_from_slice(br#","start":{"image":{"format":"#);
            json::quote_into(format, out);
            out.extend_from_slice(b"}}}");
        });
        delta(out, index, br#""delta":{"image":{"source":{"bytes":"#, base64, b"}}}");
        block_stop(out, index);
    }

    /// Closes what is open: text, thoughts, calls.
    fn close(&mut self, out: &mut Vec<u8>) {
        self.close_block(out);
        for (_, block) in &self.calls[self.closed..] {
            block_stop(out, *block);
        }
        self.closed = self.calls.len();
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        if let Some((_, index)) = self.open.take() {
            block_stop(out, index);
        }
    }

    fn stop(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        if self.stopped {
            return;
        }
        self.close(out);
        self.start(out);
        self.stopped = true;
        write_event(out, "messageStop", |out| {
            out.extend_from_slice(br#"{"stopReason":"#);
            json::quote_into(finish_name(finish.reason, finish.stop_sequence.is_some()), out);
            if let Some(sequence) = &finish.stop_sequence {
                out.extend_from_slice(br#","additionalModelResponseFields":{"stop_sequence":"#);
                json::quote_into(sequence, out);
                out.push(b'}');
            }
            out.push(b'}');
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.stop(&FinishReason::Stop.into(), out);
        self.done = true;
        let usage = usage(&self.usage.unwrap_or_default());
        write_event(out, "metadata", |out| {
            out.extend_from_slice(br#"{"usage":"#);
            value(out, &usage);
            out.extend_from_slice(br#","metrics":{"latencyMs":0}}"#);
        });
    }
}

fn delta(out: &mut Vec<u8>, index: u64, before: &[u8], text: &str, after: &[u8]) {
    write_event(out, "contentBlockDelta", |out| {
        number(out, index);
        out.push(b',');
        out.extend_from_slice(before);
        json::quote_into(text, out);
        out.extend_from_slice(after);
        out.push(b'}');
    });
}

fn block_stop(out: &mut Vec<u8>, index: u64) {
    write_event(out, "contentBlockStop", |out| {
        number(out, index);
        out.push(b'}');
    });
}

/// An object's beginning, with the block's index.
fn number(out: &mut Vec<u8>, index: u64) {
    out.extend_from_slice(br#"{"contentBlockIndex":"#);
    out.extend_from_slice(index.to_string().as_bytes());
}

fn value(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a value of JSON has string keys and no fallible part");
}

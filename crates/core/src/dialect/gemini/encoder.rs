//! Streams, written: chunks of what is new, and at the end one with the reasons, the sources and the usage.

use super::grounding;
use super::{encode_request, finish_name, logprobs, parts, usage_metadata};
use crate::chat::{Citation, Event, FinishReason, Media, Signature};
use crate::dialect::ReplyContext;
use crate::dialect::wire::{put, write_event};
use crate::json;
use crate::registry::{Dialect, Usage};
use serde_json::{Map, Value, json};

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    id: String,
    model: String,
    choices: Vec<Choice>,
    usage: Option<Usage>,
    done: bool,
}

/// What is known of one answer so far.
#[derive(Debug, Default)]
struct Choice {
    index: u32,
    /// What citations count in.
    text: String,
    thinking: bool,
    calls: Vec<Call>,
    cited: Vec<Citation>,
    finish: Option<FinishReason>,
    /// A call could not be written.
    broken: Option<String>,
}

/// A call whose arguments are still coming: here a call is written whole.
#[derive(Debug)]
struct Call {
    index: u32,
    id: String,
    name: String,
    arguments: String,
    custom: bool,
    signature: Option<Signature>,
}

impl Encoder {
    /// For one answer.
    pub fn new(context: ReplyContext) -> Self {
        Self { id: context.id, model: context.model, choices: Vec::new(), usage: None, done: false }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { id, model, .. } => {
                for (ours, theirs) in [(&mut self.id, id), (&mut self.model, model)] {
                    if !theirs.is_empty() {
                        ours.clone_from(theirs);
                    }
                }
            }
            Event::Text { choice, text } | Event::Refusal { choice, text } => {
                let state = self.speak(*choice, out);
                state.thinking = false;
                state.text.push_str(text);
                self.text(*choice, text, b"\"}", out);
            }
            Event::Reasoning { choice, text, .. } => {
                self.speak(*choice, out).thinking = true;
                self.text(*choice, text, b"\",\"thought\":true}", out);
            }
            Event::Signature { choice, signature, .. } => {
                let thinking = std::mem::take(&mut self.speak(*choice, out).thinking);
                let mut part = json!({"text": "", "thoughtSignature": signature.token(Dialect::Gemini)});
                if thinking {
                    part["thought"] = true.into();
                }
                self.part(*choice, &part, out);
            }
            Event::Citation { choice, citation } => self.choice(*choice).cited.push(citation.as_ref().clone()),
            Event::ToolCall { choice, index, id, name, custom, signature } => {
                let state = self.choice(*choice);
                state.thinking = false;
                let (id, name, signature) = (id.clone(), name.clone(), signature.clone());
                state.calls.push(Call {
                    index: *index,
                    id,
                    name,
                    arguments: String::new(),
                    custom: *custom,
                    signature,
                });
            }
            Event::Arguments { choice, index, text } => {
                let calls = &mut self.choice(*choice).calls;
                if let Some(call) = calls.iter_mut().rev().find(|c| c.index == *index) {
                    call.arguments.push_str(text);
                }
            }
            Event::Media { choice, media } => self.media(*choice, media, out),
            Event::Logprobs { choice, tokens } => {
                self.flush(*choice, out);
                let result = logprobs::write(tokens);
                self.chunk(json!([{"index": choice, "logprobsResult": result}]), None, out);
            }
            Event::Finish { choice, finish } => {
                self.flush(*choice, out);
                self.choice(*choice).finish = Some(finish.reason);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Done => self.end(out),
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let at = self.choices.iter().position(|c| c.index == index).unwrap_or_else(|| {
            self.choices.push(Choice { index, ..Choice::default() });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }

    /// The choice, its finished calls written.
    fn speak(&mut self, choice: u32, out: &mut Vec<u8>) -> &mut Choice {
        self.flush(choice, out);
        self.choice(choice)
    }

    /// A piece of text, the commonest event: written without building values.
    fn text(&self, choice: u32, text: &str, close: &[u8], out: &mut Vec<u8>) {
        self.open(out);
        out.extend_from_slice(b"{\"text\":\"");
        json::escape_into(text, out);
        out.extend_from_slice(close);
        self.close(choice, out);
    }

    fn part(&self, choice: u32, part: &Value, out: &mut Vec<u8>) {
        self.open(out);
        out.extend_from_slice(part.to_string().as_bytes());
        self.close(choice, out);
    }

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: {\"candidates\":[{\"content\":{\"parts\":[");
    }

    fn close(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"role\":\"model\"},\"index\":");
        out.extend_from_slice(choice.to_string().as_bytes());
        out.extend_from_slice(b"}]");
        for (key, value) in [("modelVersion", &self.model), ("responseId", &self.id)] {
            if !value.is_empty() {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(b"\":");
                json::quote_into(value, out);
            }
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn media(&mut self, choice: u32, media: &Media, out: &mut Vec<u8>) {
        self.speak(choice, out).thinking = false;
        if let Some((key, data)) = encode_request::media_data(media, false) {
            self.part(choice, &Value::Object(Map::from_iter([(key.to_owned(), data)])), out);
        }
    }

    /// Writes the calls that are complete, since something else begins.
    fn flush(&mut self, choice: u32, out: &mut Vec<u8>) {
        let state = self.choice(choice);
        for call in std::mem::take(&mut state.calls) {
            let args = match parts::parse_object(&call.arguments) {
                Some(args) if !call.custom => args,
                _ if call.custom => Map::from_iter([("input".to_owned(), call.arguments.into())]),
                _ if call.arguments.trim().is_empty() => Map::new(),
                _ => {
                    let state = self.choice(choice);
                    state.broken = Some(format!("the arguments of `{}` are not a JSON object", call.name));
                    continue;
                }
            };
            let mut part = json!({"functionCall": {"id": call.id, "name": call.name, "args": args}});
            if let Some(signature) = call.signature {
                part["thoughtSignature"] = signature.token(Dialect::Gemini).into();
            }
            self.part(choice, &part, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let indices: Vec<u32> = self.choices.iter().map(|c| c.index).collect();
        indices.into_iter().for_each(|choice| self.flush(choice, out));
        let candidates: Vec<Value> = self.choices.iter().map(Choice::last).collect();
        self.chunk(candidates.into(), self.usage.as_ref(), out);
        self.done = true;
    }

    /// A chunk of whole candidates.
    fn chunk(&self, candidates: Value, usage: Option<&Usage>, out: &mut Vec<u8>) {
        let mut chunk = Map::new();
        chunk.insert("candidates".into(), candidates);
        put(&mut chunk, "usageMetadata", usage.map(usage_metadata));
        put(&mut chunk, "modelVersion", Some(self.model.as_str()).filter(|m| !m.is_empty()));
        put(&mut chunk, "responseId", Some(self.id.as_str()).filter(|id| !id.is_empty()));
        write_event(out, "", &Value::Object(chunk));
    }
}

impl Choice {
    /// Its last words: why it stopped, and its sources.
    fn last(&self) -> Value {
        let mut candidate = Map::new();
        candidate.insert("content".into(), json!({"parts": [{"text": ""}], "role": "model"}));
        match &self.broken {
            Some(why) => {
                candidate.insert("finishReason".into(), "MALFORMED_FUNCTION_CALL".into());
                candidate.insert("finishMessage".into(), why.as_str().into());
            }
            None => put(&mut candidate, "finishReason", self.finish.map(finish_name)),
        }
        candidate.insert("index".into(), self.index.into());
        grounding::write(&self.cited, &self.text, &mut candidate);
        Value::Object(candidate)
    }
}

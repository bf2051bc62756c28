//! Streams. What comes most (text, thoughts, arguments) is written without a tree.

use super::response::{annotation, answer_id, finish_reason, image, logprobs, model_name, usage};
use crate::chat::{Event, Signature};
use crate::dialect::ReplyContext;
use crate::dialect::openai::{DONE_EVENT, details};
use crate::json;
use crate::registry::{Dialect, Usage};
use serde_json::{Value, json};

/// Writes a stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    /// What every chunk begins with, up to its choices; empty before the first.
    head: Vec<u8>,
    /// What every chunk of a choice ends with.
    tail: &'static [u8],
    choices: Vec<ChoiceState>,
    usage: Option<Usage>,
    done: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    /// The place of the open (or next) block of thoughts.
    block: u32,
    thinking: bool,
    /// Calls with free-form input.
    custom: Vec<u32>,
    /// Characters of text so far.
    said: u64,
    /// The text that the last source was cited for.
    cited: (u64, u64),
    /// Sources. They go out as one list once the answer is whole, as OpenAI's do: clients that gather a stream know how
    /// to put pieces of a list together only where each names its place, or not at all.
    annotations: Vec<Value>,
    pictures: u32,
}

impl ChoiceState {
    /// The text that a source without a place of its own is cited for: what was said since the last one.
    fn cite(&mut self) -> (u64, u64) {
        if self.cited.1 < self.said {
            self.cited = (self.cited.1, self.said);
        }
        self.cited
    }
}

impl Encoder {
    /// For one answer.
    pub fn new(context: ReplyContext) -> Self {
        let tail: &[u8] = if context.include_usage { br#"}],"usage":null}"# } else { b"}]}" };
        Self { context, head: Vec::new(), tail, choices: Vec::new(), usage: None, done: false }
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { id, model, created } => {
                self.begin(id, model, *created);
                self.choice(0, out);
            }
            Event::Text { choice, text } => {
                self.text(*choice, r#"{"content":"#, text, out);
                if let Some(state) = self.choices.iter_mut().find(|c| c.index == *choice) {
                    state.said += text.chars().count() as u64;
                }
            }
            Event::Refusal { choice, text } => self.text(*choice, r#"{"refusal":"#, text, out),
            Event::Reasoning { choice, text, summary } => self.thought(*choice, text, *summary, out),
            Event::Signature { choice, signature, redacted } => self.signature(*choice, signature, *redacted, out),
            Event::ToolCall { choice, index, id, name, custom, signature } => {
                let state = self.spoken(*choice, out);
                if *custom {
                    state.custom.push(*index);
                }
                let call = call_start(*index, id, name, *custom, signature.as_ref());
                self.delta(*choice, &json!({"tool_calls": [call]}), out);
            }
            Event::Arguments { choice, index, text } => self.arguments(*choice, *index, text, out),
            Event::Citation { choice, citation } => {
                let place = self.choice(*choice, out).cite();
                let annotation = annotation(citation, place);
                self.choice(*choice, out).annotations.extend(annotation);
            }
            Event::Media { choice, media } => {
                if let Some(mut image) = image(media) {
                    let state = self.spoken(*choice, out);
                    image["index"] = state.pictures.into();
                    state.pictures += 1;
                    self.delta(*choice, &json!({"images": [image]}), out);
                }
            }
            Event::Logprobs { choice, tokens } => {
                self.choice(*choice, out);
                self.open(*choice, out);
                out.extend_from_slice(br#"{},"logprobs":"#);
                write(&logprobs(tokens), out);
                self.close("null", out);
            }
            Event::Finish { choice, finish } => {
                self.cited(*choice, out);
                self.open(*choice, out);
                out.extend_from_slice(b"{}");
                self.close(&format!("\"{}\"", finish_reason(finish.reason)), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Done => self.finish(out),
        }
    }

    fn begin(&mut self, id: &str, model: &str, created: Option<i64>) {
        self.head = br#"data: {"id":"#.to_vec();
        json::quote_into(&answer_id(id, &self.context), &mut self.head);
        self.head.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        self.head.extend_from_slice(created.unwrap_or(self.context.created).to_string().as_bytes());
        self.head.extend_from_slice(br#","model":"#);
        json::quote_into(model_name(model, &self.context), &mut self.head);
        self.head.extend_from_slice(br#","choices":["#);
    }

    /// The state of a choice, whose first chunk names the role.
    fn choice(&mut self, index: u32, out: &mut Vec<u8>) -> &mut ChoiceState {
        if self.head.is_empty() {
            self.begin("", "", None);
        }
        let at = match self.choices.iter().position(|c| c.index == index) {
            Some(at) => at,
            None => {
                self.choices.push(ChoiceState { index, ..ChoiceState::default() });
                self.open(index, out);
                out.extend_from_slice(br#"{"role":"assistant","content":""}"#);
                self.close("null", out);
                self.choices.len() - 1
            }
        };
        &mut self.choices[at]
    }

    /// The same, for what ends a block of thoughts.
    fn spoken(&mut self, index: u32, out: &mut Vec<u8>) -> &mut ChoiceState {
        let state = self.choice(index, out);
        if std::mem::take(&mut state.thinking) {
            state.block += 1;
        }
        state
    }

    fn open(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"{"index":"#);
        number(choice, out);
        out.extend_from_slice(br#","delta":"#);
    }

    fn close(&self, finish: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","finish_reason":"#);
        out.extend_from_slice(finish.as_bytes());
        out.extend_from_slice(self.tail);
        out.extend_from_slice(b"\n\n");
    }

    fn delta(&self, choice: u32, delta: &Value, out: &mut Vec<u8>) {
        self.open(choice, out);
        write(delta, out);
        self.close("null", out);
    }

    fn text(&mut self, choice: u32, start: &str, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        self.spoken(choice, out);
        self.open(choice, out);
        out.extend_from_slice(start.as_bytes());
        json::quote_into(text, out);
        out.push(b'}');
        self.close("null", out);
    }

    /// Writes the sources of a choice.
    fn cited(&mut self, choice: u32, out: &mut Vec<u8>) {
        let annotations = std::mem::take(&mut self.choice(choice, out).annotations);
        if !annotations.is_empty() {
            self.delta(choice, &json!({"annotations": annotations}), out);
        }
    }

    /// Both as the text that most clients read and as the entry that a signature completes.
    fn thought(&mut self, choice: u32, text: &str, summary: bool, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let state = self.choice(choice, out);
        state.thinking = true;
        let block = state.block;
        self.open(choice, out);
        out.extend_from_slice(br#"{"reasoning_content":"#);
        let start = out.len();
        json::quote_into(text, out);
        let end = out.len();
        let member: &[u8] = if summary {
            br#","reasoning_details":[{"type":"reasoning.summary","summary":"#
        } else {
            br#","reasoning_details":[{"type":"reasoning.text","text":"#
        };
        out.extend_from_slice(member);
        out.extend_from_within(start..end);
        out.extend_from_slice(br#","index":"#);
        number(block, out);
        out.extend_from_slice(b"}]}");
        self.close("null", out);
    }

    fn signature(&mut self, choice: u32, signature: &Signature, redacted: bool, out: &mut Vec<u8>) {
        let state = self.choice(choice, out);
        let open = std::mem::take(&mut state.thinking);
        // Gemini signs texts too; thoughts of its own would be open.
        if signature.dialect == Dialect::Gemini && !open && !redacted {
            let delta = json!({"extra_content": details::thought_signature(signature)});
            return self.delta(choice, &delta, out);
        }
        // A redacted block is one of its own, except that what the Responses API encrypts belongs to its summary.
        if open && redacted && signature.dialect != Dialect::Responses {
            state.block += 1;
        }
        let block = state.block;
        state.block += 1;
        let opaque = redacted || signature.dialect == Dialect::Responses;
        let (kind, member) = if opaque { ("reasoning.encrypted", "data") } else { ("reasoning.text", "signature") };
        let mut entry = json!({"type": kind, member: signature.value});
        if let Some(id) = &signature.id {
            entry["id"] = id.as_str().into();
        }
        entry["format"] = details::format_of(signature.dialect).into();
        entry["index"] = block.into();
        self.delta(choice, &json!({"reasoning_details": [entry]}), out);
    }

    fn arguments(&mut self, choice: u32, index: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let custom = self.spoken(choice, out).custom.contains(&index);
        self.open(choice, out);
        out.extend_from_slice(br#"{"tool_calls":[{"index":"#);
        number(index, out);
        let member: &[u8] = if custom { br#","custom":{"input":"# } else { br#","function":{"arguments":"# };
        out.extend_from_slice(member);
        json::quote_into(text, out);
        out.extend_from_slice(b"}}]}");
        self.close("null", out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.done = true;
        for choice in self.choices.iter().map(|c| c.index).collect::<Vec<_>>() {
            self.cited(choice, out);
        }
        if self.context.include_usage {
            if self.head.is_empty() {
                self.begin("", "", None);
            }
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#"],"usage":"#);
            write(&usage(&self.usage.unwrap_or_default()), out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE_EVENT);
    }
}

fn call_start(index: u32, id: &str, name: &str, custom: bool, signature: Option<&Signature>) -> Value {
    let mut call = if custom {
        json!({"index": index, "id": id, "type": "custom", "custom": {"name": name, "input": ""}})
    } else {
        json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}})
    };
    if let Some(signature) = signature {
        call["extra_content"] = details::thought_signature(signature);
    }
    call
}

fn number(n: u32, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..=9) = u8::try_from(n) {
        out.push(b'0' + digit);
    } else {
        out.extend_from_slice(n.to_string().as_bytes());
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a value of JSON has string keys and no fallible part");
}

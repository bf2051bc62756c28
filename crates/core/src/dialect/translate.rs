//! From one dialect's answer to another's: whole, or event by event. It joins a decoder and an encoder and takes from the
//! canonical form between them what accounting and the stream gate must know. It knows no wire format itself.

use super::bedrock::frames::{Frame, FrameFault, Frames};
use super::gate::{StreamFault, Tally};
use super::sse::{self, Splitter};
use super::{BadCompletion, ChunkFacts, CompletionFacts, Decoder, Encoder, Malformed, ReplyContext};
use super::{decode_response, encode_response};
use crate::chat::{Choice, Content, Event, FinishReason, Part, Response};
use crate::registry::Dialect;

/// A provider's whole answer as the client's dialect has it, and what it says. `json_tool`: the call of this tool is the
/// answer's text.
pub fn translate_response(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    context: &ReplyContext,
    json_tool: Option<&str>,
) -> Result<(Vec<u8>, CompletionFacts), BadCompletion> {
    let mut response = decode_response(from, body)?;
    if let Some(tool) = json_tool {
        response.choices.iter_mut().for_each(|choice| unwrap_choice(choice, tool));
    }
    Ok((encode_response(to, &response, context), facts(&response)))
}

/// What a whole answer says.
fn facts(response: &Response) -> CompletionFacts {
    let parts = response.choices.iter().flat_map(|c| &c.parts);
    let text_bytes: u64 = parts.clone().map(text_bytes).sum();
    CompletionFacts {
        output: text_bytes > 0 || parts.clone().any(|p| !matches!(p.content, Content::Text { .. })),
        text_bytes,
        usage: response.usage,
        finish: response.choices.iter().rev().find_map(|c| Some(c.finish.as_ref()?.reason)),
    }
}

fn text_bytes(part: &Part) -> u64 {
    let bytes = match &part.content {
        Content::Text { text, .. } | Content::Reasoning { text, .. } | Content::Refusal(text) => text.len(),
        Content::ToolCall(call) => call.name.len() + call.arguments.len(),
        _ => 0,
    };
    bytes as u64
}

/// The forced tool's call becomes text; a finish that only it caused becomes a stop.
fn unwrap_choice(choice: &mut Choice, tool: &str) {
    for part in &mut choice.parts {
        if let Content::ToolCall(call) = &mut part.content
            && call.name == tool
        {
            *part = Part::text(std::mem::take(&mut call.arguments));
        }
    }
    let calls = choice.parts.iter().any(|p| matches!(p.content, Content::ToolCall(_)));
    if let Some(finish) = choice.finish.as_mut().filter(|f| f.reason == FinishReason::ToolCalls && !calls) {
        finish.reason = FinishReason::Stop;
    }
}

/// How a provider's bytes are cut into events.
#[derive(Debug)]
enum Framing {
    Sse(Splitter),
    Frames(Frames),
}

impl From<FrameFault> for StreamFault {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::Oversized => Self::Oversized,
            FrameFault::Prelude | FrameFault::Checksum | FrameFault::Headers => {
                Self::Unexpected(Malformed::new("", "the stream's binary framing is broken"))
            }
        }
    }
}

/// One stream's translation.
#[derive(Debug)]
pub(super) struct Translation {
    framing: Framing,
    decoder: Decoder,
    encoder: Encoder,
    unwrap: Option<Unwrap>,
    /// Reused from event to event.
    events: Vec<Event>,
    ended: bool,
}

impl Translation {
    pub(super) fn new(from: Dialect, to: Dialect, context: ReplyContext, json_tool: Option<String>) -> Self {
        Self {
            framing: match from {
                Dialect::Bedrock => Framing::Frames(Frames::default()),
                _ => Framing::Sse(Splitter::default()),
            },
            decoder: Decoder::new(from),
            encoder: Encoder::new(to, context),
            unwrap: json_tool.map(Unwrap::new),
            events: Vec::new(),
            ended: false,
        }
    }

    /// Takes the next bytes from upstream and appends what they say in the client's dialect. On a fault `out` holds what
    /// came before the faulty event.
    pub(super) fn push(&mut self, chunk: &[u8], tally: &mut Tally, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let mut at = 0;
        while !tally.done {
            match &mut self.framing {
                Framing::Sse(splitter) => {
                    let Some(piece) = splitter.next(chunk, &mut at)? else { break };
                    let event = sse::Event::parse(piece.bytes(chunk));
                    let Some(data) = event.data else { continue };
                    self.event(event.name, &data, tally, out)?;
                }
                Framing::Frames(frames) => {
                    let Some(piece) = frames.next(chunk, &mut at)? else { break };
                    let frame = Frame::parse(piece.bytes(chunk))?;
                    self.event(frame.name.as_bytes(), &frame.payload, tally, out)?;
                }
            }
        }
        Ok(())
    }

    /// Upstream's body ended: a last event without its blank line is one still.
    pub(super) fn finish(&mut self, tally: &mut Tally, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let Framing::Sse(splitter) = &mut self.framing else { return Ok(()) };
        let rest = splitter.finish();
        let event = sse::Event::parse(&rest);
        match event.data {
            Some(data) if !tally.done => match self.event(event.name, &data, tally, out) {
                // A torn event is not a malformed one.
                Err(StreamFault::Unexpected(_)) => Err(StreamFault::Cut),
                other => other,
            },
            _ => Ok(()),
        }
    }

    /// The answer is complete, whether or not upstream said so.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.encoder.event(&Event::Done, out);
        }
    }

    fn event(&mut self, name: &[u8], data: &[u8], tally: &mut Tally, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        tally.events += 1;
        let mut events = std::mem::take(&mut self.events);
        let result = self.decoder.event(name, data, &mut events);
        for event in events.drain(..) {
            let Some(event) = (match &mut self.unwrap {
                Some(unwrap) => unwrap.event(event),
                None => Some(event),
            }) else {
                continue;
            };
            tally.add(&event_facts(&event));
            if event == Event::Done {
                self.end(out);
            } else {
                self.encoder.event(&event, out);
            }
        }
        self.events = events;
        Ok(result?)
    }
}

/// What one canonical event says.
fn event_facts(event: &Event) -> ChunkFacts {
    let mut facts = ChunkFacts::default();
    let mut said = |choice: &u32, bytes: usize, output: bool| {
        facts.text_bytes = bytes as u64;
        facts.output = output;
        facts.choices = bit(*choice);
    };
    match event {
        Event::Text { choice, text } | Event::Refusal { choice, text } | Event::Reasoning { choice, text, .. } => {
            said(choice, text.len(), !text.is_empty());
        }
        Event::Signature { choice, redacted, .. } => said(choice, 0, *redacted),
        Event::ToolCall { choice, name, .. } => said(choice, name.len(), true),
        Event::Arguments { choice, text, .. } => said(choice, text.len(), true),
        Event::Media { choice, .. } => said(choice, 0, true),
        Event::Finish { choice, finish } => {
            facts.choices = bit(*choice);
            facts.finished = bit(*choice);
            facts.finish = Some(finish.reason);
        }
        Event::Usage(usage) => facts.usage = Some(*usage),
        Event::Done => facts.done = true,
        Event::Start { .. } | Event::Citation { .. } | Event::Logprobs { .. } => {}
    }
    facts
}

fn bit(choice: u32) -> u64 {
    1u64.checked_shl(choice).unwrap_or(0)
}

/// Turns the call of the forced tool back into text, event by event.
#[derive(Debug)]
struct Unwrap {
    tool: String,
    /// Calls of that tool, as (choice, index).
    text: Vec<(u32, u32)>,
    /// Choices that call another tool.
    others: u64,
}

impl Unwrap {
    fn new(tool: String) -> Self {
        Self { tool, text: Vec::new(), others: 0 }
    }

    fn event(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::ToolCall { choice, index, ref name, .. } => {
                if *name == self.tool {
                    self.text.push((choice, index));
                    return None;
                }
                self.others |= bit(choice);
                Some(event)
            }
            Event::Arguments { choice, index, text } if self.text.contains(&(choice, index)) => {
                Some(Event::Text { choice, text })
            }
            Event::Finish { choice, mut finish } => {
                let unwrapped = self.text.iter().any(|(c, _)| *c == choice) && self.others & bit(choice) == 0;
                if unwrapped && finish.reason == FinishReason::ToolCalls {
                    finish.reason = FinishReason::Stop;
                }
                Some(Event::Finish { choice, finish })
            }
            other => Some(other),
        }
    }
}

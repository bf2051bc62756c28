//! What events and answers say that pass as they are.
//!
//! It reads what accounting and the stream gate need and validates the JSON on the way; it rebuilds nothing.

use super::error::parse_error;
use crate::dialect::{BadCompletion, ChunkFacts, CompletionFacts, FinishReason};
use crate::json::{self, Cursor, Kind, Str};
use crate::registry::Usage;

/// Reads one event of a stream: the value of its `event` field and its data.
pub fn inspect_event(name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    let data = data.trim_ascii();
    let mut facts = ChunkFacts::default();
    if data.is_empty() || data == b"[DONE]" || matches!(name, b"ping" | b"heartbeat" | b"keepalive") {
        return Ok(facts);
    }
    if name == b"error" {
        // Whatever its data are, JSON or not.
        facts.error = Some(Box::new(parse_error(None, data)));
        return Ok(facts);
    }
    let frame = Frame::read(data)?;
    let kind = frame.kind.as_deref().unwrap_or(name);
    match kind {
        b"response.created" => facts.start = true,
        b"error" | b"response.failed" => facts.error = Some(Box::new(parse_error(None, data))),
        b"response.completed" | b"response.incomplete" => {
            let response = frame.response.unwrap_or_default();
            facts.finish = Some(response.finish().unwrap_or(FinishReason::Other));
            facts.usage = response.usage;
            facts.output = response.output;
            facts.done = true;
            facts.choices = 1;
            facts.finished = 1;
        }
        _ if is_text_delta(kind) => {
            facts.text_bytes = frame.delta;
            facts.output = frame.delta > 0;
        }
        // A call begins, or an item is there of which no delta spoke.
        b"response.output_item.added" | b"response.output_item.done" => facts.output = frame.item.output,
        _ => {}
    }
    facts.choices |= u64::from(facts.output);
    Ok(facts)
}

/// Deltas that the model wrote.
fn is_text_delta(kind: &[u8]) -> bool {
    matches!(
        kind.strip_prefix(b"response.").unwrap_or(kind),
        b"output_text.delta"
            | b"refusal.delta"
            | b"reasoning_summary_text.delta"
            | b"reasoning_text.delta"
            | b"function_call_arguments.delta"
            | b"custom_tool_call_input.delta"
            | b"mcp_call_arguments.delta"
            | b"code_interpreter_call_code.delta"
            | b"audio.transcript.delta"
    )
}

/// Reads a whole answer that came with a success status.
pub fn inspect_completion(body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    let mut c = Cursor::new(body).map_err(BadCompletion::Json)?;
    let mut answer = Answer::default();
    answer.read(&mut c).and_then(|()| c.finish()).map_err(BadCompletion::Json)?;
    if answer.failed || answer.status == Status::Failed {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if !answer.has_output {
        return Err(BadCompletion::NoChoices);
    }
    // An answer that is made in the background is not empty, only not there yet.
    let pending = (answer.status == Status::Pending).then_some(FinishReason::Other);
    let finish = answer.finish().or(pending);
    Ok(CompletionFacts { output: answer.output, text_bytes: answer.text_bytes, usage: answer.usage, finish })
}

/// The members of an event that count.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<std::borrow::Cow<'a, [u8]>>,
    /// Bytes of `delta`, decoded.
    delta: u64,
    item: Answer,
    response: Option<Answer>,
}

impl Frame<'_> {
    fn read(data: &[u8]) -> Result<Frame<'_>, json::Error> {
        let mut frame = Frame::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| {
            match key.name {
                b"type" => frame.kind = c.string_or_skip()?.map(|s| s.bytes()),
                b"delta" => frame.delta = c.string_or_skip()?.as_ref().map_or(0, decoded_length),
                b"item" => frame.item.item(c)?,
                b"response" if c.kind()? == Kind::Object => {
                    let mut answer = Answer::default();
                    answer.read(c)?;
                    frame.response = Some(answer);
                }
                _ => c.skip()?,
            }
            Ok::<_, json::Error>(())
        })?;
        c.finish()?;
        Ok(frame)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Unknown,
    Completed,
    Incomplete,
    Failed,
    Pending,
}

/// What a `response` object says.
#[derive(Default)]
struct Answer {
    status: Status,
    failed: bool,
    has_output: bool,
    output: bool,
    calls: bool,
    text_bytes: u64,
    reason: Option<FinishReason>,
    usage: Option<Usage>,
}

impl Answer {
    fn read(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        c.object(|c, key| match key.name {
            b"status" => {
                if let Some(status) = c.string_or_skip()? {
                    self.status = match &*status.bytes() {
                        b"completed" => Status::Completed,
                        b"incomplete" => Status::Incomplete,
                        b"failed" | b"cancelled" => Status::Failed,
                        b"queued" | b"in_progress" => Status::Pending,
                        _ => Status::Unknown,
                    };
                }
                Ok(())
            }
            b"error" => {
                let value = c.value()?;
                self.failed |= !matches!(&c.source()[value], b"null" | b"false" | b"\"\"");
                Ok(())
            }
            b"incomplete_details" => each_member(c, |c, key| {
                if key != b"reason" {
                    return c.skip();
                }
                self.reason = c.string_or_skip()?.map(|reason| match &*reason.bytes() {
                    b"max_output_tokens" | b"max_tokens" => FinishReason::Length,
                    b"content_filter" => FinishReason::ContentFilter,
                    _ => FinishReason::Length,
                });
                Ok(())
            }),
            b"output" if c.kind()? == Kind::Array => {
                self.has_output = true;
                c.array(|c| self.item(c)).map(drop)
            }
            b"usage" => {
                self.usage = read_usage(c)?.or(self.usage);
                Ok(())
            }
            _ => c.skip(),
        })
        .map(drop)
    }

    /// Why the model stopped; `None` while it has not.
    fn finish(&self) -> Option<FinishReason> {
        match self.status {
            Status::Pending => None,
            Status::Incomplete => Some(self.reason.unwrap_or(FinishReason::Length)),
            _ => self.reason.or(Some(if self.calls { FinishReason::ToolCalls } else { FinishReason::Stop })),
        }
    }

    /// An item of the output: anything but an empty message and thoughts without words is output.
    fn item(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let mut other = false;
        each_member(c, |c, key| match key {
            b"type" => {
                if let Some(kind) = c.string_or_skip()? {
                    let kind = kind.bytes();
                    self.calls |= matches!(&*kind, b"function_call" | b"custom_tool_call");
                    other = !matches!(&*kind, b"message" | b"reasoning");
                }
                Ok(())
            }
            b"content" | b"summary" => each_element(c, |c| {
                each_member(c, |c, key| match key {
                    b"text" | b"refusal" | b"transcript" => self.text(c),
                    _ => c.skip(),
                })
            }),
            b"arguments" | b"input" => self.text(c),
            _ => c.skip(),
        })?;
        self.output |= other;
        Ok(())
    }

    fn text(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let bytes = c.string_or_skip()?.as_ref().map_or(0, decoded_length);
        self.text_bytes += bytes;
        self.output |= bytes > 0;
        Ok(())
    }
}

/// A `usage` object; `None` for null and for an object without counts. An explicit zero is a count.
fn read_usage(c: &mut Cursor<'_>) -> Result<Option<Usage>, json::Error> {
    let (mut input, mut output) = (None, None);
    let mut usage = Usage::default();
    each_member(c, |c, key| match key {
        b"input_tokens" => set(c, &mut input),
        b"output_tokens" => set(c, &mut output),
        b"input_tokens_details" => each_member(c, |c, key| match key {
            b"cached_tokens" => add(c, &mut usage.cache_read_tokens),
            b"cache_write_tokens" => add(c, &mut usage.cache_write_tokens),
            _ => c.skip(),
        }),
        b"output_tokens_details" => each_member(c, |c, key| match key {
            b"reasoning_tokens" => add(c, &mut usage.reasoning_tokens),
            _ => c.skip(),
        }),
        _ => c.skip(),
    })?;
    if input.is_none() && output.is_none() {
        return Ok(None);
    }
    usage.input_tokens = input.unwrap_or(0);
    usage.output_tokens = output.unwrap_or(0);
    usage.cache_read_tokens = usage.cache_read_tokens.min(usage.input_tokens);
    usage.cache_write_tokens = usage.cache_write_tokens.min(usage.input_tokens - usage.cache_read_tokens);
    Ok(Some(usage))
}

fn set(c: &mut Cursor<'_>, into: &mut Option<u64>) -> Result<(), json::Error> {
    *into = number_or_skip(c)?.or(*into);
    Ok(())
}

fn add(c: &mut Cursor<'_>, into: &mut u64) -> Result<(), json::Error> {
    *into = number_or_skip(c)?.unwrap_or(*into);
    Ok(())
}

/// A count; what is no number from 0 is skipped.
fn number_or_skip(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|()| None);
    }
    let text = std::str::from_utf8(c.number()?).unwrap_or_default();
    let float = || text.parse::<f64>().ok().filter(|f| *f >= 0.0).map(|f| f as u64);
    Ok(text.parse().ok().or_else(float))
}

/// As many bytes as the text has once decoded; characters written as `\uXXXX` count as three.
fn decoded_length(s: &Str<'_>) -> u64 {
    s.raw.len() as u64 - u64::from(s.escapes) - 2 * u64::from(s.unicode_escapes)
}

/// The members of an object; any other value is skipped.
#[inline]
fn each_member<'a>(
    c: &mut Cursor<'a>,
    mut member: impl FnMut(&mut Cursor<'a>, &[u8]) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    if c.kind()? != Kind::Object {
        return c.skip();
    }
    c.object(|c, key| member(c, key.name)).map(drop)
}

/// The elements of an array; any other value is skipped.
#[inline]
fn each_element<'a>(
    c: &mut Cursor<'a>,
    element: impl FnMut(&mut Cursor<'a>) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    if c.kind()? != Kind::Array {
        return c.skip();
    }
    c.array(element).map(drop)
}

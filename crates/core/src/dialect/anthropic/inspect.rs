//! What events and answers say that pass as they are, and the one reading of an event that decoding shares. It validates
//! the JSON on the way and builds no tree.

use std::ops::Range;

use super::parse_error;
use super::shared::{Counts, finish_named};
use crate::dialect::{BadCompletion, ChunkFacts, CompletionFacts, FinishReason};
use crate::json::{self, Cursor, Kind, Str};

/// Reads one event of a stream: the value of its `event` field and its data.
pub fn inspect_event(name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    let mut facts = ChunkFacts::default();
    if name == b"ping" || data.trim_ascii().is_empty() {
        return Ok(facts);
    }
    if name == b"error" {
        // Whatever its data are, JSON or not.
        facts.error = Some(Box::new(parse_error(None, data)));
        return Ok(facts);
    }
    let said = Said::read(data)?;
    match said.kind(name) {
        EventKind::Start => {
            facts.start = true;
            facts.choices = 1;
            facts.usage = said.message_counts.usage();
        }
        EventKind::BlockStart | EventKind::BlockDelta => {
            facts.choices = 1;
            facts.output = said.output;
            facts.text_bytes = said.text_bytes;
        }
        EventKind::Delta => {
            facts.usage = said.counts.usage();
            facts.finish = said.stop_reason.as_ref().map(|s| finish_named(&s.bytes()));
            facts.choices = 1;
            facts.finished = u64::from(facts.finish.is_some());
        }
        EventKind::Stop => facts.done = true,
        EventKind::Error => facts.error = Some(Box::new(parse_error(None, data))),
        EventKind::BlockStop | EventKind::Other => {}
    }
    Ok(facts)
}

/// Reads a whole answer that came with a success status.
pub fn inspect_completion(body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    let said = Said::read(body).map_err(BadCompletion::Json)?;
    if said.failed || said.is_named(b"error") {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if !said.has_content {
        return Err(BadCompletion::NoChoices);
    }
    let finish: Option<FinishReason> = said.stop_reason.as_ref().map(|s| finish_named(&s.bytes()));
    Ok(CompletionFacts { output: said.output, text_bytes: said.text_bytes, usage: said.counts.usage(), finish })
}

/// The events that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Start,
    BlockStart,
    BlockDelta,
    BlockStop,
    Delta,
    Stop,
    Error,
    Other,
}

/// What one event, or a whole answer, says: strings and places in the data.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    kind: Option<Str<'a>>,
    pub(super) index: Option<u64>,
    /// Places of what is seldom wanted.
    pub(super) message: Option<Range<usize>>,
    pub(super) block: Option<Range<usize>>,
    pub(super) citation: Option<Range<usize>>,
    /// Of a delta.
    pub(super) delta_kind: Option<Str<'a>>,
    /// Its `text`, `thinking`, `partial_json` or `signature`.
    pub(super) delta_text: Option<Str<'a>>,
    pub(super) stop_reason: Option<Str<'a>>,
    pub(super) stop_sequence: Option<Str<'a>>,
    pub(super) counts: Counts,
    /// Those of the message that begins.
    pub(super) message_counts: Counts,
    output: bool,
    text_bytes: u64,
    failed: bool,
    has_content: bool,
}

impl<'a> Said<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, json::Error> {
        let mut said = Self::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| match key.name {
            b"type" => text_into(c, &mut said.kind),
            b"index" => {
                said.index = number_or_skip(c)?;
                Ok(())
            }
            b"delta" => said.delta(c),
            b"content_block" => {
                said.block = Some(said.content_block(c)?);
                Ok(())
            }
            b"message" => {
                said.message = Some(each_member(c, |c, key| match key {
                    b"usage" => read_counts(c, &mut said.message_counts),
                    _ => c.skip(),
                })?);
                Ok(())
            }
            b"usage" => read_counts(c, &mut said.counts),
            b"content" if c.kind()? == Kind::Array => {
                said.has_content = true;
                c.array(|c| said.content_block(c).map(drop)).map(drop)
            }
            b"stop_reason" => text_into(c, &mut said.stop_reason),
            b"error" => {
                let value = c.value()?;
                said.failed = &c.source()[value] != b"null";
                Ok(())
            }
            _ => c.skip(),
        })?;
        c.finish()?;
        Ok(said)
    }

    /// By the data's `type`; by the event's name where they have none.
    pub(super) fn kind(&self, name: &[u8]) -> EventKind {
        let kind = self.kind.as_ref().map(Str::bytes);
        match kind.as_deref().unwrap_or(name) {
            b"message_start" => EventKind::Start,
            b"content_block_start" => EventKind::BlockStart,
            b"content_block_delta" => EventKind::BlockDelta,
            b"content_block_stop" => EventKind::BlockStop,
            b"message_delta" => EventKind::Delta,
            b"message_stop" => EventKind::Stop,
            b"error" => EventKind::Error,
            // Gateways in between put their errors in without a type.
            _ if self.failed => EventKind::Error,
            _ => EventKind::Other,
        }
    }

    fn is_named(&self, name: &[u8]) -> bool {
        self.kind.as_ref().is_some_and(|kind| &*kind.bytes() == name)
    }

    fn delta(&mut self, c: &mut Cursor<'a>) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"type" => text_into(c, &mut self.delta_kind),
            b"text" | b"thinking" | b"partial_json" => {
                let Some(text) = c.string_or_skip()? else { return Ok(()) };
                self.count(&text);
                self.delta_text = Some(text);
                Ok(())
            }
            b"signature" => text_into(c, &mut self.delta_text),
            b"citation" => {
                self.citation = Some(c.value()?);
                Ok(())
            }
            b"stop_reason" => text_into(c, &mut self.stop_reason),
            b"stop_sequence" => text_into(c, &mut self.stop_sequence),
            _ => c.skip(),
        })
        .map(drop)
    }

    /// A block that begins, or one of a whole answer. Whatever is not text or thoughts counts as output by itself.
    fn content_block(&mut self, c: &mut Cursor<'a>) -> Result<Range<usize>, json::Error> {
        let mut wordy = false;
        let place = each_member(c, |c, key| match key {
            b"type" => {
                let kind = c.string_or_skip()?;
                wordy = kind.is_some_and(|kind| matches!(&*kind.bytes(), b"text" | b"thinking"));
                Ok(())
            }
            b"text" | b"thinking" | b"name" => {
                if let Some(text) = c.string_or_skip()? {
                    self.count(&text);
                }
                Ok(())
            }
            b"input" => {
                let input = c.value()?;
                // An empty object stands at the start of every streamed call.
                self.text_bytes += input.len() as u64 * u64::from(input.len() > 2);
                Ok(())
            }
            _ => c.skip(),
        })?;
        self.output |= !wordy;
        Ok(place)
    }

    fn count(&mut self, text: &Str<'_>) {
        // Characters written as `\uXXXX` count as three bytes.
        let bytes = text.raw.len() as u64 - u64::from(text.escapes) - 2 * u64::from(text.unicode_escapes);
        self.text_bytes += bytes;
        self.output |= bytes > 0;
    }
}

/// Takes a string; any other value is skipped and none.
fn text_into<'a>(c: &mut Cursor<'a>, into: &mut Option<Str<'a>>) -> Result<(), json::Error> {
    *into = c.string_or_skip()?;
    Ok(())
}

/// `usage`; what is no count is skipped.
fn read_counts(c: &mut Cursor<'_>, counts: &mut Counts) -> Result<(), json::Error> {
    let mut by_lifetime = None;
    each_member(c, |c, key| {
        let count = match key {
            b"input_tokens" => &mut counts.input,
            b"output_tokens" => &mut counts.output,
            b"cache_read_input_tokens" => &mut counts.cache_read,
            b"cache_creation_input_tokens" => &mut counts.cache_write,
            b"output_tokens_details" => {
                return each_member(c, |c, key| match key {
                    b"thinking_tokens" => number_into(c, &mut counts.thinking),
                    _ => c.skip(),
                })
                .map(drop);
            }
            b"cache_creation" => {
                return each_member(c, |c, _| {
                    let mut tokens = None;
                    number_into(c, &mut tokens)?;
                    by_lifetime = tokens.map(|t: u64| t.saturating_add(by_lifetime.unwrap_or(0))).or(by_lifetime);
                    Ok(())
                })
                .map(drop);
            }
            _ => return c.skip(),
        };
        number_into(c, count)
    })?;
    counts.cache_write = counts.cache_write.or(by_lifetime);
    Ok(())
}

fn number_into(c: &mut Cursor<'_>, into: &mut Option<u64>) -> Result<(), json::Error> {
    *into = number_or_skip(c)?.or(*into);
    Ok(())
}

/// A count; what is no number from 0 is skipped.
fn number_or_skip(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|_| None);
    }
    let digits = std::str::from_utf8(c.number()?).unwrap_or_default();
    let float = || digits.parse::<f64>().ok().filter(|f| *f >= 0.0).map(|f| f as u64);
    Ok(digits.parse().ok().or_else(float))
}

/// The members of an object; any other value is skipped. Returns its place.
#[inline]
fn each_member<'a>(
    c: &mut Cursor<'a>,
    mut member: impl FnMut(&mut Cursor<'a>, &[u8]) -> Result<(), json::Error>,
) -> Result<Range<usize>, json::Error> {
    if c.kind()? != Kind::Object {
        return c.value();
    }
    c.object(|c, key| member(c, key.name))
}

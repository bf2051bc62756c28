//! What events and answers say that pass as they are.

use super::delta::{Delta, Piece, count, each_element, each_member};
use super::error::{EXCEPTION, stream_error};
use super::{Counts, finish_named, parse_error};
use crate::dialect::{BadCompletion, ChunkFacts, CompletionFacts, FinishReason};
use crate::json::{self, Cursor, Kind, Str};
use crate::registry::Usage;

/// Reads one event of a stream: its name and its data.
pub fn inspect_event(name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    let mut facts = ChunkFacts::default();
    match name {
        b"messageStart" => {
            each(data, |c, _| c.skip())?;
            facts.choices = 1;
        }
        b"contentBlockStart" => {
            each(data, |c, key| if key == b"start" { started(c, &mut facts) } else { c.skip() })?;
            facts.choices = 1;
        }
        b"contentBlockDelta" => {
            facts.choices = 1;
            match Delta::read(data)?.piece {
                Some(Piece::Text(text) | Piece::Thought(text)) => {
                    facts.text_bytes = decoded_length(&text);
                    facts.output = facts.text_bytes > 0;
                }
                Some(Piece::Input(text)) => {
                    facts.text_bytes = decoded_length(&text);
                    facts.output = true;
                }
                Some(Piece::Redacted(_) | Piece::Image) => facts.output = true,
                Some(Piece::Signature(_) | Piece::Citation | Piece::Wrong | Piece::Other) | None => {}
            }
        }
        b"messageStop" => {
            each(data, |c, key| {
                if key != b"stopReason" {
                    return c.skip();
                }
                facts.finish = finish(c)?;
                Ok(())
            })?;
            (facts.choices, facts.finished) = (1, 1);
        }
        b"metadata" => {
            each(data, |c, key| {
                if key != b"usage" {
                    return c.skip();
                }
                facts.usage = usage(c)?;
                Ok(())
            })?;
            facts.done = true;
        }
        _ => {
            // A name that is no text is no exception's.
            if let Some(name) = std::str::from_utf8(name).ok().filter(|n| n.ends_with(EXCEPTION)) {
                facts.error = Some(Box::new(stream_error(name, data)));
            }
        }
    }
    Ok(facts)
}

/// What a block starts with.
fn started(c: &mut Cursor<'_>, facts: &mut ChunkFacts) -> Result<(), json::Error> {
    each_member(c, |c, key| match key {
        b"toolUse" if c.kind()? == Kind::Object => {
            facts.output = true;
            each_member(c, |c, key| {
                if key != b"name" {
                    return c.skip();
                }
                facts.text_bytes += c.string_or_skip()?.map_or(0, |name| decoded_length(&name));
                Ok(())
            })
        }
        _ => c.skip(),
    })
}

/// The members of a whole text that must be an object.
fn each<'a>(
    data: &'a [u8],
    mut member: impl FnMut(&mut Cursor<'a>, &[u8]) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    let mut c = Cursor::new(data)?;
    c.object(|c, key| member(c, key.name))?;
    c.finish()
}

/// Reads a whole answer that came with a success status.
pub fn inspect_completion(body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    let mut answer = Answer::default();
    each(body, |c, key| answer.member(c, key)).map_err(BadCompletion::Json)?;
    match (answer.has_output, answer.failed) {
        (true, _) => Ok(answer.facts),
        (false, true) => Err(BadCompletion::Error(Box::new(parse_error(None, body)))),
        (false, false) => Err(BadCompletion::NoChoices),
    }
}

#[derive(Default)]
struct Answer {
    facts: CompletionFacts,
    has_output: bool,
    /// It has a member that errors have.
    failed: bool,
}

impl Answer {
    fn member(&mut self, c: &mut Cursor<'_>, key: &[u8]) -> Result<(), json::Error> {
        match key {
            b"output" if c.kind()? == Kind::Object => {
                self.has_output = true;
                each_member(c, |c, key| match key {
                    b"message" => each_member(c, |c, key| match key {
                        b"content" => each_element(c, |c| self.block(c)),
                        _ => c.skip(),
                    }),
                    _ => c.skip(),
                })
            }
            b"stopReason" => {
                self.facts.finish = finish(c)?;
                Ok(())
            }
            b"usage" => {
                self.facts.usage = usage(c)?;
                Ok(())
            }
            b"message" | b"Message" | b"__type" | b"error" | b"Output" => {
                self.failed |= c.kind()? != Kind::Null;
                c.skip()
            }
            _ => c.skip(),
        }
    }

    fn block(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"text" => self.text(c),
            b"reasoningContent" => each_member(c, |c, key| match key {
                b"reasoningText" => self.texts(c),
                b"redactedContent" => self.thing(c),
                _ => c.skip(),
            }),
            b"citationsContent" => each_member(c, |c, key| match key {
                b"content" => each_element(c, |c| self.texts(c)),
                _ => c.skip(),
            }),
            b"toolUse" if c.kind()? == Kind::Object => {
                self.facts.output = true;
                each_member(c, |c, key| match key {
                    b"name" => self.text(c),
                    b"input" => {
                        self.facts.text_bytes += c.value()?.len() as u64;
                        Ok(())
                    }
                    _ => c.skip(),
                })
            }
            b"image" | b"audio" | b"video" | b"document" => self.thing(c),
            _ => c.skip(),
        })
    }

    /// An object's `text`.
    fn texts(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        each_member(c, |c, key| if key == b"text" { self.text(c) } else { c.skip() })
    }

    fn text(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let bytes = c.string_or_skip()?.map_or(0, |text| decoded_length(&text));
        self.facts.text_bytes += bytes;
        self.facts.output |= bytes > 0;
        Ok(())
    }

    fn thing(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        self.facts.output |= c.kind()? != Kind::Null;
        c.skip()
    }
}

fn finish(c: &mut Cursor<'_>) -> Result<Option<FinishReason>, json::Error> {
    Ok(c.string_or_skip()?.map(|name| finish_named(&name.text())))
}

fn usage(c: &mut Cursor<'_>) -> Result<Option<Usage>, json::Error> {
    let mut counts = Counts::default();
    each_member(c, |c, key| {
        match key {
            b"inputTokens" => counts.input = count(c)?.or(counts.input),
            b"outputTokens" => counts.output = count(c)?.or(counts.output),
            b"cacheReadInputTokens" => counts.cache_read = count(c)?.unwrap_or(0),
            b"cacheWriteInputTokens" => counts.cache_write = count(c)?.unwrap_or(0),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok(counts.usage())
}

/// As many bytes as the text has once decoded; characters written as `\uXXXX` count as three.
fn decoded_length(s: &Str<'_>) -> u64 {
    s.raw.len() as u64 - u64::from(s.escapes) - 2 * u64::from(s.unicode_escapes)
}

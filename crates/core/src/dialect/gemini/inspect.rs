//! What chunks and answers say that pass as they are: chunks of a stream are answers too.

use super::{Counts, fault, finish_named, is_fault, parse_error};
use crate::dialect::{BadCompletion, ChunkFacts, CompletionFacts, FinishReason, UpstreamError};
use crate::json::{self, Cursor, Kind, Str};
use crate::registry::Usage;

/// Inspects one event of a stream that passes as it is.
pub fn inspect_event(name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    let data = data.trim_ascii();
    if data.is_empty() {
        return Ok(ChunkFacts::default());
    }
    if name == b"error" {
        return Ok(ChunkFacts { error: Some(Box::new(parse_error(None, data))), ..ChunkFacts::default() });
    }
    let answer = Answer::read(data)?;
    Ok(ChunkFacts {
        // Nothing marks the beginning.
        start: false,
        output: answer.output,
        text_bytes: answer.text_bytes,
        usage: answer.usage,
        // Its clients look for usage in any chunk.
        usage_only: false,
        error: if answer.failed { Some(Box::new(parse_error(None, data))) } else { answer.fault.map(Box::new) },
        finish: answer.finish,
        done: false,
        choices: answer.choices,
        finished: answer.finished,
    })
}

/// Inspects a whole answer that passes as it is.
pub fn inspect_completion(body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    let answer = Answer::read(body).map_err(BadCompletion::Json)?;
    if answer.failed {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if let Some(fault) = answer.fault {
        return Err(BadCompletion::Error(Box::new(fault)));
    }
    if answer.choices == 0 {
        return Err(BadCompletion::NoChoices);
    }
    let Answer { output, text_bytes, usage, finish, .. } = answer;
    Ok(CompletionFacts { output, text_bytes, usage, finish })
}

#[derive(Default)]
struct Answer {
    output: bool,
    text_bytes: u64,
    usage: Option<Usage>,
    failed: bool,
    /// The model failed.
    fault: Option<UpstreamError>,
    finish: Option<FinishReason>,
    choices: u64,
    finished: u64,
}

impl Answer {
    fn read(data: &[u8]) -> Result<Self, json::Error> {
        let mut answer = Self::default();
        let mut c = Cursor::new(data)?;
        // Errors come in a list as well.
        if c.kind()? == Kind::Array {
            c.array(|c| answer.chunk(c))?;
        } else {
            answer.chunk(&mut c)?;
        }
        c.finish()?;
        Ok(answer)
    }

    fn chunk(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let mut blocked = false;
        c.object(|c, key| match key.name {
            b"candidates" => each_element(c, |c| self.candidate(c)),
            b"usageMetadata" => self.usage(c),
            b"promptFeedback" => each_member(c, |c, key| match key {
                b"blockReason" => {
                    let reason = c.string_or_skip()?;
                    blocked = reason.is_some_and(|r| !r.raw.is_empty() && !r.raw.ends_with(b"REASON_UNSPECIFIED"));
                    Ok(())
                }
                _ => c.skip(),
            }),
            b"error" => {
                let value = c.value()?;
                self.failed |= &c.source()[value] != b"null";
                Ok(())
            }
            _ => c.skip(),
        })?;
        if blocked && self.choices == 0 {
            self.finish = Some(FinishReason::ContentFilter);
            self.choices = 1;
            self.finished = 1;
        }
        Ok(())
    }

    fn candidate(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        // The API leaves out a zero.
        let (mut index, mut reason, mut calls) = (0, None, false);
        let mut message = None;
        each_member(c, |c, key| match key {
            b"index" => {
                index = count(c)?.unwrap_or(0);
                Ok(())
            }
            b"content" => each_member(c, |c, key| match key {
                b"parts" => each_element(c, |c| self.part(c, &mut calls)),
                _ => c.skip(),
            }),
            b"finishReason" => {
                reason = c.string_or_skip()?;
                Ok(())
            }
            b"finishMessage" => {
                message = c.string_or_skip()?;
                Ok(())
            }
            _ => c.skip(),
        })?;
        let bit = 1u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
        self.choices |= bit;
        let Some(reason) = reason else { return Ok(()) };
        let name = reason.text();
        if is_fault(name.as_bytes()) {
            self.fault = Some(fault(&name, message.map(|m| m.text()).as_deref()));
        }
        if let Some(finish) = finish_named(name.as_bytes()) {
            let calls = calls && finish == FinishReason::Stop;
            self.finish = Some(if calls { FinishReason::ToolCalls } else { finish });
            self.finished |= bit;
        }
        Ok(())
    }

    fn part(&mut self, c: &mut Cursor<'_>, calls: &mut bool) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"text" => {
                if let Some(text) = c.string_or_skip()? {
                    let bytes = decoded_length(&text);
                    self.text_bytes += bytes;
                    self.output |= bytes > 0;
                }
                Ok(())
            }
            b"functionCall" if c.kind()? == Kind::Object => {
                self.output = true;
                *calls = true;
                each_member(c, |c, key| match key {
                    b"name" => {
                        self.text_bytes += c.string_or_skip()?.map_or(0, |s| decoded_length(&s));
                        Ok(())
                    }
                    b"args" => {
                        self.text_bytes += c.value()?.len() as u64;
                        Ok(())
                    }
                    _ => c.skip(),
                })
            }
            b"inlineData" | b"fileData" | b"executableCode" | b"codeExecutionResult" | b"toolCall" => {
                self.output |= c.kind()? == Kind::Object;
                c.skip()
            }
            _ => c.skip(),
        })
    }

    fn usage(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let mut counts = Counts::default();
        each_member(c, |c, key| match counts.place(key) {
            Some(place) => {
                *place = count(c)?;
                Ok(())
            }
            None => c.skip(),
        })?;
        self.usage = counts.usage().or(self.usage);
        Ok(())
    }
}

/// As many bytes as the text has once decoded; characters written as `\uXXXX` count as three.
fn decoded_length(s: &Str<'_>) -> u64 {
    s.raw.len() as u64 - u64::from(s.escapes) - 2 * u64::from(s.unicode_escapes)
}

/// The members of an object; any other value is skipped.
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
fn each_element<'a>(
    c: &mut Cursor<'a>,
    element: impl FnMut(&mut Cursor<'a>) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    if c.kind()? != Kind::Array {
        return c.skip();
    }
    c.array(element).map(drop)
}

/// A count; what is none is skipped.
fn count(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|()| None);
    }
    let digits = c.number()?;
    Ok(std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()))
}

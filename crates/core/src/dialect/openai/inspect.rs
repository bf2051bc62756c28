//! What chunks and answers say that pass as they are.
//!
//! It reads what accounting and the stream gate need and validates the JSON on the way; it rebuilds nothing. Where
//! look-alikes differ (DeepSeek's cache counts, Groq's `x_groq`, Mistral's lists of parts, xAI's and Gemini's separate
//! reasoning tokens), the difference ends here.

use super::parse_error;
use crate::dialect::{BadCompletion, ChunkFacts, CompletionFacts, FinishReason};
use crate::json::{self, Cursor, Kind, Str};
use crate::registry::Usage;

/// Reads one event of a stream: the value of its `event` field (mostly empty) and its data.
pub fn inspect_event(name: &[u8], data: &[u8]) -> Result<ChunkFacts, json::Error> {
    let data = data.trim_ascii();
    let mut facts = ChunkFacts::default();
    if data == b"[DONE]" {
        facts.done = true;
        return Ok(facts);
    }
    if data.is_empty() || matches!(name, b"ping" | b"heartbeat" | b"keepalive") {
        return Ok(facts);
    }
    if name == b"error" {
        // Whatever its data are, JSON or not.
        facts.error = Some(Box::new(parse_error(None, data)));
        return Ok(facts);
    }
    let answer = Answer::read(data)?;
    if answer.failed {
        facts.error = Some(Box::new(parse_error(None, data)));
    }
    facts.output = answer.output;
    facts.text_bytes = answer.text_bytes;
    facts.usage = answer.usage;
    facts.usage_only = answer.usage.is_some() && answer.entries == 0 && !answer.failed;
    facts.finish = answer.finish;
    facts.choices = answer.choices;
    facts.finished = answer.finished;
    Ok(facts)
}

/// Reads a whole answer that came with a success status.
pub fn inspect_completion(body: &[u8]) -> Result<CompletionFacts, BadCompletion> {
    let answer = Answer::read(body).map_err(BadCompletion::Json)?;
    if answer.failed {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if !answer.has_choices {
        return Err(BadCompletion::NoChoices);
    }
    let Answer { output, text_bytes, usage, finish, .. } = answer;
    Ok(CompletionFacts { output, text_bytes, usage, finish })
}

/// What a chunk and a whole answer have in common.
#[derive(Default)]
pub(super) struct Answer {
    output: bool,
    text_bytes: u64,
    pub(super) usage: Option<Usage>,
    pub(super) failed: bool,
    finish: Option<FinishReason>,
    has_choices: bool,
    /// Entries of `choices`.
    pub(super) entries: u32,
    choices: u64,
    finished: u64,
}

impl Answer {
    pub(super) fn read(data: &[u8]) -> Result<Self, json::Error> {
        let mut answer = Self::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| match key.name {
            b"choices" if c.kind()? == Kind::Array => {
                answer.has_choices = true;
                c.array(|c| answer.choice(c)).map(drop)
            }
            b"usage" => answer.usage(c),
            b"x_groq" => each_member(c, |c, key| match key {
                b"usage" => answer.usage(c),
                b"error" => answer.error(c),
                _ => c.skip(),
            }),
            b"error" => answer.error(c),
            // vLLM of old puts the error itself into the stream: {"object":"error","message":…}.
            b"object" => {
                answer.failed |= c.string_or_skip()?.is_some_and(|s| s.raw == b"error");
                Ok(())
            }
            _ => c.skip(),
        })?;
        c.finish()?;
        Ok(answer)
    }

    fn choice(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let place = self.entries;
        self.entries += 1;
        let (mut index, mut stopped) = (u64::from(place), false);
        each_member(c, |c, key| match key {
            b"index" => {
                index = number_or_skip(c)?.unwrap_or(index);
                Ok(())
            }
            b"delta" | b"message" => self.spoken(c),
            // Completions of old, in the chat format of some look-alikes.
            b"text" => self.text(c),
            b"finish_reason" => {
                if let Some(reason) = c.string_or_skip()?
                    && !reason.raw.is_empty()
                {
                    self.finish = Some(finish_named(&reason.bytes()));
                    stopped = true;
                }
                Ok(())
            }
            // Moonshot puts a stream's usage here.
            b"usage" => self.usage(c),
            _ => c.skip(),
        })?;
        let bit = 1u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
        self.choices |= bit;
        self.finished |= if stopped { bit } else { 0 };
        Ok(())
    }

    /// A `delta` or `message`.
    fn spoken(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"content" | b"reasoning_content" | b"reasoning" | b"reasoning_text" | b"refusal" => self.text(c),
            b"tool_calls" => each_element(c, |c| self.call(c)),
            b"function_call" if c.kind()? == Kind::Object => self.call(c),
            b"audio" if c.kind()? == Kind::Object => {
                self.output = true;
                each_member(c, |c, key| if key == b"transcript" { self.text(c) } else { c.skip() })
            }
            // OpenRouter: pictures, and reasoning whose text (if any) stands in `reasoning` too.
            b"images" | b"reasoning_details" => each_element(c, |c| {
                self.output = true;
                c.skip()
            }),
            _ => c.skip(),
        })
    }

    /// A tool call or a piece of one: its arguments are text.
    fn call(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        self.output = true;
        each_member(c, |c, key| match key {
            b"function" | b"custom" => each_member(c, |c, key| match key {
                b"name" | b"arguments" | b"input" => self.text(c),
                _ => c.skip(),
            }),
            b"name" | b"arguments" => self.text(c),
            _ => c.skip(),
        })
    }

    /// Text, or (Mistral) a list of parts that hold text, thoughts being lists again.
    fn text(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        match c.kind()? {
            Kind::String => {
                let bytes = decoded_length(&c.string()?);
                self.text_bytes += bytes;
                self.output |= bytes > 0;
                Ok(())
            }
            Kind::Array => each_element(c, |c| self.text(c)),
            Kind::Object => each_member(c, |c, key| match key {
                b"text" | b"thinking" => self.text(c),
                _ => c.skip(),
            }),
            _ => c.skip(),
        }
    }

    fn usage(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        if let Some(usage) = read_usage(c)? {
            self.usage = Some(usage);
        }
        Ok(())
    }

    /// An `error` member: null, false and the empty string are none.
    fn error(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        let value = c.value()?;
        self.failed |= !matches!(&c.source()[value], b"null" | b"false" | b"\"\"");
        Ok(())
    }
}

/// As many bytes as the text has once decoded; characters written as `\uXXXX` count as three.
fn decoded_length(s: &Str<'_>) -> u64 {
    s.raw.len() as u64 - u64::from(s.escapes) - 2 * u64::from(s.unicode_escapes)
}

pub(super) fn finish_named(name: &[u8]) -> FinishReason {
    match name {
        b"stop" | b"eos" | b"end_turn" => FinishReason::Stop,
        b"length" | b"max_tokens" | b"model_length" => FinishReason::Length,
        b"tool_calls" | b"function_call" => FinishReason::ToolCalls,
        b"content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// Token counts as they stand.
#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: u64,
    cached: u64,
    cache_write: u64,
    reasoning: u64,
}

/// A `usage` object; `None` for null and for an object without counts. An explicit zero is a count.
pub(super) fn read_usage(c: &mut Cursor<'_>) -> Result<Option<Usage>, json::Error> {
    let mut n = Counts::default();
    each_member(c, |c, key| {
        let count = match key {
            b"prompt_tokens_details" => {
                return each_member(c, |c, key| match key {
                    b"cached_tokens" => number_into(c, &mut n.cached),
                    b"cache_write_tokens" | b"cache_creation_tokens" => number_into(c, &mut n.cache_write),
                    _ => c.skip(),
                });
            }
            b"completion_tokens_details" => {
                return each_member(c, |c, key| match key {
                    b"reasoning_tokens" => number_into(c, &mut n.reasoning),
                    _ => c.skip(),
                });
            }
            b"prompt_tokens" => &mut n.prompt,
            b"completion_tokens" => &mut n.completion,
            b"total_tokens" => return number_into(c, &mut n.total),
            // DeepSeek, and Moonshot.
            b"prompt_cache_hit_tokens" | b"cached_tokens" => return number_into(c, &mut n.cached),
            b"reasoning_tokens" => return number_into(c, &mut n.reasoning),
            _ => return c.skip(),
        };
        *count = number_or_skip(c)?.or(*count);
        Ok(())
    })?;
    Ok(n.usage())
}

impl Counts {
    /// In our convention: input includes cached tokens (as here), output includes reasoning (as here, mostly).
    fn usage(&self) -> Option<Usage> {
        if self.prompt.is_none() && self.completion.is_none() {
            return None;
        }
        let input = self.prompt.unwrap_or(0);
        let completion = self.completion.unwrap_or(0);
        let beyond = self.total.saturating_sub(input.saturating_add(completion));
        // xAI counts reasoning beside the completion, and only the total shows it; so does Gemini's compatible API,
        // without saying how much. Reasoning that is more than the completion cannot be inside it either.
        let reasoning = if self.reasoning == 0 { beyond } else { self.reasoning };
        let beside = reasoning > 0 && (beyond == reasoning || reasoning > completion);
        Some(Usage {
            input_tokens: input,
            output_tokens: completion.saturating_add(if beside { reasoning } else { 0 }),
            cache_read_tokens: self.cached.min(input),
            cache_write_tokens: self.cache_write.min(input.saturating_sub(self.cached)),
            reasoning_tokens: reasoning,
        })
    }
}

/// The members of an object; any other value is skipped.
#[inline]
pub(super) fn each_member<'a>(
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
pub(super) fn each_element<'a>(
    c: &mut Cursor<'a>,
    element: impl FnMut(&mut Cursor<'a>) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    if c.kind()? != Kind::Array {
        return c.skip();
    }
    c.array(element).map(drop)
}

/// A count; what is no number from 0 is skipped.
pub(super) fn number_or_skip(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|_| None);
    }
    let digits = c.number()?;
    let small = digits
        .iter()
        .try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))));
    // `12.0`, `1e3` and negative numbers go the long way.
    let float = || std::str::from_utf8(digits).ok()?.parse::<f64>().ok().filter(|f| *f >= 0.0).map(|f| f as u64);
    Ok(small.or_else(float))
}

fn number_into(c: &mut Cursor<'_>, into: &mut u64) -> Result<(), json::Error> {
    if let Some(n) = number_or_skip(c)? {
        *into = n;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

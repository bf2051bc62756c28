//! One chunk of a stream, read with the cursor. It knows nothing of the chunks before.

use crate::chat::FinishReason;
use crate::dialect::openai::inspect::{each_element, each_member, finish_named, number_or_skip, read_usage};
use crate::json::{self, Cursor, Kind};
use crate::registry::Usage;
use serde_json::Value;

/// What a chunk says.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: Option<i64>,
    pub(super) choices: Vec<ChoiceChunk>,
    pub(super) usage: Option<Usage>,
    pub(super) failed: bool,
}

#[derive(Default)]
pub(super) struct ChoiceChunk {
    pub(super) index: u32,
    pub(super) thoughts: Option<String>,
    pub(super) text: String,
    pub(super) refusal: String,
    /// Thoughts among the parts of a content (Mistral).
    pub(super) parts: Vec<Value>,
    pub(super) calls: Vec<CallChunk>,
    pub(super) finish: Option<FinishReason>,
    pub(super) stop_sequence: Option<String>,
    /// Members that are parsed as they are needed.
    pub(super) rare: Vec<(Rare, Value)>,
    pub(super) usage: Option<Usage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rare {
    Details,
    Extra,
    Images,
    Annotations,
    Logprobs,
}

#[derive(Default)]
pub(super) struct CallChunk {
    pub(super) place: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) custom: bool,
    /// It came as `function_call`.
    pub(super) old: bool,
    pub(super) extra: Option<Value>,
}

impl Chunk {
    /// Reads one; only the first that matters must say whose it is (`head`).
    pub(super) fn read(data: &[u8], head: bool) -> Result<Self, json::Error> {
        let mut chunk = Self::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| match key.name {
            b"id" if head => text_into(c, &mut chunk.id),
            b"model" if head => text_into(c, &mut chunk.model),
            b"created" => {
                chunk.created = number_or_skip(c)?.and_then(|n| i64::try_from(n).ok());
                Ok(())
            }
            b"choices" => each_element(c, |c| {
                let mut choice = ChoiceChunk::read(c, chunk.choices.len())?;
                chunk.usage = choice.usage.take().or(chunk.usage);
                chunk.choices.push(choice);
                Ok(())
            }),
            b"usage" => {
                chunk.usage = read_usage(c)?.or(chunk.usage);
                Ok(())
            }
            b"x_groq" => each_member(c, |c, key| match key {
                b"usage" => {
                    chunk.usage = read_usage(c)?.or(chunk.usage);
                    Ok(())
                }
                b"error" => fails(c, &mut chunk.failed),
                _ => c.skip(),
            }),
            b"error" => fails(c, &mut chunk.failed),
            b"object" => {
                chunk.failed |= c.string_or_skip()?.is_some_and(|s| s.raw == b"error");
                Ok(())
            }
            _ => c.skip(),
        })?;
        c.finish()?;
        Ok(chunk)
    }
}

impl ChoiceChunk {
    fn read(c: &mut Cursor<'_>, place: usize) -> Result<Self, json::Error> {
        let mut choice = Self { index: u32::try_from(place).unwrap_or(u32::MAX), ..Self::default() };
        each_member(c, |c, key| match key {
            b"index" => {
                choice.index = number_or_skip(c)?.map_or(choice.index, |n| u32::try_from(n).unwrap_or(u32::MAX));
                Ok(())
            }
            b"delta" | b"message" => choice.delta(c),
            b"finish_reason" => {
                if let Some(reason) = c.string_or_skip()?
                    && !reason.raw.is_empty()
                {
                    choice.finish = Some(finish_named(&reason.bytes()));
                }
                Ok(())
            }
            b"stop_reason" => {
                choice.stop_sequence = c.string_or_skip()?.map(|s| s.text().into_owned());
                Ok(())
            }
            b"logprobs" => choice.keep(c, Rare::Logprobs),
            b"usage" => {
                choice.usage = read_usage(c)?;
                Ok(())
            }
            _ => c.skip(),
        })?;
        Ok(choice)
    }

    fn delta(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        each_member(c, |c, key| match key {
            b"content" if c.kind()? == Kind::Array => each_element(c, |c| {
                self.parts.push(value(c)?);
                Ok(())
            }),
            b"content" => text_into(c, &mut self.text),
            // Several names of one thing, some of them side by side.
            b"reasoning_content" | b"reasoning" | b"reasoning_text" => {
                let text = c.string_or_skip()?.map(|s| s.text().into_owned());
                self.thoughts = self.thoughts.take().or(text.filter(|t| !t.is_empty()));
                Ok(())
            }
            b"refusal" => text_into(c, &mut self.refusal),
            b"tool_calls" => each_element(c, |c| {
                self.calls.push(CallChunk::read(c)?);
                Ok(())
            }),
            b"function_call" if c.kind()? == Kind::Object => {
                let mut call = CallChunk { old: true, ..CallChunk::default() };
                each_member(c, |c, key| call.function(c, key))?;
                self.calls.push(call);
                Ok(())
            }
            b"audio" => each_member(c, |c, key| match key {
                b"transcript" => text_into(c, &mut self.text),
                _ => c.skip(),
            }),
            b"reasoning_details" => self.keep(c, Rare::Details),
            b"extra_content" => self.keep(c, Rare::Extra),
            b"images" => self.keep(c, Rare::Images),
            b"annotations" => self.keep(c, Rare::Annotations),
            _ => c.skip(),
        })
    }

    fn keep(&mut self, c: &mut Cursor<'_>, what: Rare) -> Result<(), json::Error> {
        if matches!(c.kind()?, Kind::Array | Kind::Object) {
            self.rare.push((what, value(c)?));
            return Ok(());
        }
        c.skip()
    }

    /// The values kept of one kind, an array's elements one by one.
    pub(super) fn kept(&mut self, what: Rare) -> Vec<Value> {
        let mut values = Vec::new();
        for (_, value) in self.rare.iter_mut().filter(|(kind, _)| *kind == what) {
            match value.take() {
                Value::Array(items) => values.extend(items),
                one => values.push(one),
            }
        }
        values
    }
}

impl CallChunk {
    fn read(c: &mut Cursor<'_>) -> Result<Self, json::Error> {
        let mut call = Self::default();
        each_member(c, |c, key| match key {
            b"index" => {
                call.place = number_or_skip(c)?;
                Ok(())
            }
            b"id" => text_into(c, &mut call.id),
            b"function" => each_member(c, |c, key| call.function(c, key)),
            b"custom" if c.kind()? == Kind::Object => {
                call.custom = true;
                each_member(c, |c, key| match key {
                    b"name" => text_into(c, &mut call.name),
                    b"input" => text_into(c, &mut call.arguments),
                    _ => c.skip(),
                })
            }
            b"extra_content" => {
                call.extra = Some(value(c)?);
                Ok(())
            }
            _ => c.skip(),
        })?;
        Ok(call)
    }

    fn function(&mut self, c: &mut Cursor<'_>, key: &[u8]) -> Result<(), json::Error> {
        match key {
            b"name" => text_into(c, &mut self.name),
            b"arguments" if c.kind()? == Kind::Object => {
                let place = c.value()?;
                self.arguments.push_str(&String::from_utf8_lossy(&c.source()[place]));
                Ok(())
            }
            b"arguments" => text_into(c, &mut self.arguments),
            _ => c.skip(),
        }
    }
}

/// Appends a string; any other value is skipped.
fn text_into(c: &mut Cursor<'_>, into: &mut String) -> Result<(), json::Error> {
    if let Some(text) = c.string_or_skip()? {
        into.push_str(&text.text());
    }
    Ok(())
}

/// An `error` member: null, false and the empty string are none.
fn fails(c: &mut Cursor<'_>, failed: &mut bool) -> Result<(), json::Error> {
    let value = c.value()?;
    *failed |= !matches!(&c.source()[value], b"null" | b"false" | b"\"\"");
    Ok(())
}

/// A value as a tree; the cursor has checked its text.
fn value(c: &mut Cursor<'_>) -> Result<Value, json::Error> {
    let place = c.value()?;
    Ok(serde_json::from_slice(&c.source()[place]).unwrap_or(Value::Null))
}

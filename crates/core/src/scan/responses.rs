//! The same pass over the body of a Responses request.
//!
//! Its items are turns in pieces: each counts as a message, and its texts belong to whoever its type says speaks. It also
//! finds what only the provider that keeps it can know, so that such a body goes nowhere else.

use std::ops::Range;

use super::reader::{Media, Reader, Seen, Stop, expect, expect_or_null, flag, refuse_misspelling, role_named, whole};
use super::{CARRIED, Role, Scan, ScanError};
use crate::json::{Cursor, Key, Kind};

/// Reads a Responses request's body once. `model` may be absent here: whether that is an error is the caller's to say.
pub fn scan_responses(body: &[u8]) -> Result<Scan, ScanError> {
    read_object(body).map_err(|stop| match stop {
        Stop::Json(error) => ScanError::Json { error, position: error.position(body) },
        Stop::Refused(error) => *error,
    })
}

fn read_object(body: &[u8]) -> Result<Scan, Stop> {
    let mut cursor = Cursor::new(body)?;
    let kind = cursor.kind()?;
    if kind != Kind::Object {
        // A broken text is an error of its own before it is the wrong type.
        cursor.skip()?;
        return Err(ScanError::NotAnObject { found: kind }.into());
    }
    let mut items = Items::default();
    items.reader.scan.texts.reserve(8);
    let object = cursor.object(|c, key| items.member(c, key))?;
    cursor.finish()?;
    let mut scan = items.reader.scan;
    scan.end = object.end - 1;
    // Who names what a provider keeps need not say more.
    if !items.has_input && !matches!(scan.stateful, Some(field) if field != BACKGROUND) {
        return Err(ScanError::Missing { field: "input".into() }.into());
    }
    scan.max_output_tokens = scan.max_output_tokens_field.as_ref().and_then(|(n, _)| *n);
    // Every stream of this dialect ends with its usage: there is nothing to ask for.
    scan.include_usage = Some((true, 0..0));
    Ok(scan)
}

/// Top-level fields that Waypost acts on, in the order of [`FIELDS`].
#[derive(Clone, Copy)]
enum Field {
    Model,
    Stream,
    Waypost,
    Instructions,
    Input,
    Tools,
    Text,
    ParallelToolCalls,
    MaxOutputTokens,
    Reasoning,
    PreviousResponseId,
    Conversation,
    Prompt,
    Background,
}

const FIELDS: [&str; 14] = [
    "model",
    "stream",
    "waypost",
    "instructions",
    "input",
    "tools",
    "text",
    "parallel_tool_calls",
    "max_output_tokens",
    "reasoning",
    "previous_response_id",
    "conversation",
    "prompt",
    BACKGROUND,
];

const BACKGROUND: &str = "background";

const ITEM_FIELDS: [&str; 3] = ["type", "role", "content"];

impl Field {
    const ALL: [Self; 14] = [
        Self::Model,
        Self::Stream,
        Self::Waypost,
        Self::Instructions,
        Self::Input,
        Self::Tools,
        Self::Text,
        Self::ParallelToolCalls,
        Self::MaxOutputTokens,
        Self::Reasoning,
        Self::PreviousResponseId,
        Self::Conversation,
        Self::Prompt,
        Self::Background,
    ];

    fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name().as_bytes() == name)
    }

    const fn name(self) -> &'static str {
        FIELDS[self as usize]
    }
}

#[derive(Default)]
struct Items {
    /// The chat's reader, for what the two bodies have in common.
    reader: Reader,
    /// `input` came and is not null.
    has_input: bool,
}

impl Items {
    fn member(&mut self, c: &mut Cursor<'_>, key: Key<'_>) -> Result<(), Stop> {
        let (name, key_start) = (key.name, key.start);
        let reader = &mut self.reader;
        if let (true, Some(cut)) = (reader.cut_open, reader.scan.waypost_member.as_mut()) {
            cut.end = key_start;
            reader.cut_open = false;
        }
        let field = Field::of(name);
        match field {
            Some(field) => {
                reader.seen.once(field as u8, || field.name().into())?;
                self.field(c, field, key_start)?;
            }
            None => {
                refuse_misspelling(name, &FIELDS, String::new)?;
                c.skip()?;
            }
        }
        self.reader.scan.has_members |= !matches!(field, Some(Field::Waypost));
        self.reader.last_end = c.offset();
        Ok(())
    }

    fn field(&mut self, c: &mut Cursor<'_>, field: Field, key_start: usize) -> Result<(), Stop> {
        let path = || field.name().into();
        let reader = &mut self.reader;
        match field {
            Field::Model => {
                expect(c, Kind::String, path)?;
                reader.scan.model = Some(c.string()?.quoted());
            }
            Field::Stream => reader.scan.stream = Some(flag(c, "stream")?),
            Field::Waypost => {
                let value = c.value()?;
                reader.cut_open = reader.last_end == 0;
                let start = if reader.cut_open { key_start } else { reader.last_end };
                reader.scan.waypost_member = Some(start..value.end);
                reader.scan.waypost = Some(value);
            }
            Field::Instructions => {
                if expect_or_null(c, Kind::String, path)? {
                    let first = reader.scan.texts.len();
                    reader.text_or_skip(c)?;
                    self.speak(first, Role::System);
                    self.reader.scan.messages += 1;
                }
            }
            Field::Input => self.input(c)?,
            Field::Tools => self.tools(c)?,
            Field::Text => self.text(c)?,
            Field::ParallelToolCalls => {
                if expect_or_null(c, Kind::Bool, path)? {
                    reader.scan.parallel_tool_calls = Some(c.boolean()?);
                }
            }
            Field::MaxOutputTokens => reader.scan.max_output_tokens_field = Some(whole(c, "max_output_tokens")?),
            Field::Reasoning => self.reasoning(c)?,
            Field::PreviousResponseId | Field::Conversation | Field::Prompt => {
                if !c.null_if_next()? {
                    c.skip()?;
                    reader.scan.stateful = Some(field.name());
                }
            }
            Field::Background => {
                if flag(c, BACKGROUND)?.0 {
                    reader.scan.stateful.get_or_insert(BACKGROUND);
                }
            }
        }
        Ok(())
    }

    /// Fills in who spoke the texts from `first` on.
    fn speak(&mut self, first: usize, role: Role) {
        for text in &mut self.reader.scan.texts[first..] {
            text.role = role;
        }
    }

    fn input(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        let before = self.reader.scan.messages;
        self.has_input = true;
        match c.kind()? {
            Kind::Null => {
                self.has_input = false;
                return Ok(c.null()?);
            }
            Kind::String => {
                self.reader.text_or_skip(c)?;
                self.reader.scan.messages += 1;
            }
            Kind::Array => {
                let mut index = 0;
                c.array(|c| {
                    index += 1;
                    self.item(c, index - 1)
                })?;
            }
            found => {
                c.skip()?;
                let expected = "a string or an array of items";
                return Err(ScanError::WrongType { field: "input".into(), expected, found }.into());
            }
        }
        if self.reader.scan.messages == before {
            return Err(ScanError::Invalid { field: "input".into(), expected: "not empty" }.into());
        }
        Ok(())
    }

    fn item(&mut self, c: &mut Cursor<'_>, index: u32) -> Result<(), Stop> {
        let path = |field: &str| format!("input[{index}].{field}");
        expect(c, Kind::Object, || format!("input[{index}]"))?;
        let first = self.reader.scan.texts.len();
        let (mut kind, mut role, mut has_id) = (None, None, false);
        let mut seen = Seen::default();
        c.object(|c, key| {
            match key.name {
                b"type" => {
                    seen.once(0, || path("type"))?;
                    if expect_or_null(c, Kind::String, || path("type"))? {
                        kind = Some(Item::of(&c.string()?.bytes()));
                    }
                }
                b"role" => {
                    seen.once(1, || path("role"))?;
                    expect(c, Kind::String, || path("role"))?;
                    let known = role_named(&c.string()?.bytes()).filter(|role| *role != Role::Tool);
                    role = Some(known.ok_or_else(|| ScanError::Invalid {
                        field: path("role"),
                        expected: "one of user, assistant, system and developer",
                    })?);
                }
                b"content" => {
                    seen.once(2, || path("content"))?;
                    self.content(c, || path("content"))?;
                }
                b"output" | b"summary" | b"arguments" | b"input" => self.parts_or_text(c)?,
                b"encrypted_content" => {
                    if let Some(token) = c.string_or_skip()? {
                        self.reader.scan.carries_foreign |= token.raw.starts_with(CARRIED);
                    }
                }
                b"id" => has_id = c.string_or_skip()?.is_some(),
                other => {
                    refuse_misspelling(other, &ITEM_FIELDS, || path(""))?;
                    c.skip()?;
                }
            }
            Ok::<_, Stop>(())
        })?;
        let kind = match kind {
            Some(kind) => kind,
            None if role.is_some() => Item::Message,
            None if has_id => Item::Reference,
            None => return Err(ScanError::Missing { field: path("type") }.into()),
        };
        let role = match kind {
            Item::Message => role.ok_or_else(|| ScanError::Missing { field: path("role") })?,
            Item::Call | Item::Other => Role::Assistant,
            Item::Output => Role::Tool,
            Item::Reference => {
                self.reader.scan.stateful = Some("item_reference");
                Role::User
            }
        };
        self.speak(first, role);
        self.reader.scan.tool_turns += u32::from(matches!(kind, Item::Call | Item::Output));
        self.reader.scan.messages += 1;
        Ok(())
    }

    fn content(&mut self, c: &mut Cursor<'_>, path: impl FnOnce() -> String) -> Result<(), Stop> {
        match c.kind()? {
            Kind::String | Kind::Null | Kind::Array => self.parts_or_text(c),
            found => {
                c.skip()?;
                let expected = "a string or an array of parts";
                Err(ScanError::WrongType { field: path(), expected, found }.into())
            }
        }
    }

    fn parts_or_text(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        match c.kind()? {
            Kind::Array => c.array(|c| self.part(c)).map(drop),
            Kind::Object => self.part(c),
            _ => self.reader.text_or_skip(c),
        }
    }

    /// A part of content. Any `text` or `refusal` in it counts as text, whatever its type.
    fn part(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if c.kind()? != Kind::Object {
            return self.reader.text_or_skip(c);
        }
        let (mut media, mut low_detail) = (None, false);
        c.object(|c, key| {
            match key.name {
                b"type" => media = c.string_or_skip()?.and_then(|s| Media::of(&s.bytes())),
                b"text" | b"refusal" => self.reader.text_or_skip(c)?,
                b"image_url" | b"input_audio" => low_detail |= self.reader.media(c)?,
                b"file_data" => {
                    if let Some(data) = c.string_or_skip()? {
                        self.reader.scan.media_bytes += data.raw.len() as u64;
                    }
                }
                b"detail" => low_detail |= c.string_or_skip()?.is_some_and(|s| &*s.bytes() == b"low"),
                _ => c.skip()?,
            }
            Ok::<_, Stop>(())
        })?;
        let scan = &mut self.reader.scan;
        match media {
            Some(Media::Image) => {
                scan.images += 1;
                scan.images_low_detail += u32::from(low_detail);
            }
            Some(Media::Audio) => scan.audio += 1,
            Some(Media::Video) => scan.video += 1,
            Some(Media::Document) => scan.documents += 1,
            None => {}
        }
        Ok(())
    }

    fn tools(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if !expect_or_null(c, Kind::Array, || "tools".into())? {
            return Ok(());
        }
        let scan = &mut self.reader.scan;
        let range: Range<usize> = c.array(|c| {
            scan.tools += 1;
            c.skip()
        })?;
        scan.tools_bytes = u32::try_from(range.len()).unwrap_or(u32::MAX);
        Ok(())
    }

    /// `text.format.type`.
    fn text(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if !expect_or_null(c, Kind::Object, || "text".into())? {
            return Ok(());
        }
        let scan = &mut self.reader.scan;
        c.object(|c, key| {
            if key.name != b"format" || c.kind()? != Kind::Object {
                return c.skip();
            }
            c.object(|c, key| {
                if key.name != b"type" {
                    return c.skip();
                }
                if let Some(format) = c.string_or_skip()? {
                    scan.json_schema = &*format.bytes() == b"json_schema";
                    scan.json_object = &*format.bytes() == b"json_object";
                }
                Ok(())
            })
            .map(drop)
        })?;
        Ok(())
    }

    /// An effort, or a summary of it, asks for reasoning; `none` does not, and neither does an object of nulls.
    fn reasoning(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if !expect_or_null(c, Kind::Object, || "reasoning".into())? {
            return Ok(());
        }
        let (mut effort, mut summary) = (None, false);
        c.object(|c, key| {
            match key.name {
                b"effort" => effort = c.string_or_skip()?.map(|s| &*s.bytes() != b"none"),
                b"summary" | b"generate_summary" => summary |= c.string_or_skip()?.is_some(),
                _ => c.skip()?,
            }
            Ok::<_, Stop>(())
        })?;
        self.reader.scan.reasoning = effort.unwrap_or(summary);
        Ok(())
    }
}

/// What an item is, as far as it matters here.
#[derive(Clone, Copy)]
enum Item {
    Message,
    Call,
    Output,
    Reference,
    /// Reasoning, and what the provider's own tools did.
    Other,
}

impl Item {
    fn of(name: &[u8]) -> Self {
        match name {
            b"message" => Self::Message,
            b"item_reference" => Self::Reference,
            name if name.ends_with(b"_call_output") => Self::Output,
            b"function_call" | b"custom_tool_call" => Self::Call,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;

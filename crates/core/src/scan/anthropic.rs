//! The pass over a body of Anthropic's Messages API.

use std::ops::Range;

use super::reader::{Reader, Seen, Stop, expect, expect_or_null, flag, refuse_misspelling, whole};
use super::{CARRIED, Role, Scan, ScanError, Text};
use crate::json::{Cursor, Key, Kind, Str};

/// Reads a Messages request's body once. `model` and `max_tokens` may be absent here: whether that is an error is the
/// caller's to say.
pub fn scan_messages(body: &[u8]) -> Result<Scan, ScanError> {
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
    let mut reader = Reader::default();
    reader.scan.texts.reserve(8);
    let object = cursor.object(|c, key| member(&mut reader, c, key))?;
    cursor.finish()?;
    if !reader.seen.has(Field::Messages as u8) {
        return Err(ScanError::Missing { field: "messages".into() }.into());
    }
    let mut scan = reader.scan;
    scan.end = object.end - 1;
    scan.max_output_tokens = scan.max_tokens.as_ref().and_then(|(n, _)| *n);
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
    Messages,
    System,
    Tools,
    ToolChoice,
    MaxTokens,
    Thinking,
    OutputConfig,
}

const FIELDS: [&str; 10] = [
    "model",
    "stream",
    "waypost",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "max_tokens",
    "thinking",
    "output_config",
];

const MESSAGE_FIELDS: [&str; 2] = ["role", "content"];

impl Field {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"waypost" => Self::Waypost,
            b"messages" => Self::Messages,
            b"system" => Self::System,
            b"tools" => Self::Tools,
            b"tool_choice" => Self::ToolChoice,
            b"max_tokens" => Self::MaxTokens,
            b"thinking" => Self::Thinking,
            b"output_config" => Self::OutputConfig,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        FIELDS[self as usize]
    }
}

fn member(r: &mut Reader, c: &mut Cursor<'_>, key: Key<'_>) -> Result<(), Stop> {
    r.begin_member(key.start);
    let known = Field::of(key.name);
    match known {
        Some(known) => {
            r.seen.once(known as u8, || known.name().into())?;
            field(r, c, known, key.start)?;
        }
        None => {
            refuse_misspelling(key.name, &FIELDS, String::new)?;
            c.skip()?;
        }
    }
    r.end_member(!matches!(known, Some(Field::Waypost)), c.offset());
    Ok(())
}

fn field(r: &mut Reader, c: &mut Cursor<'_>, field: Field, key_start: usize) -> Result<(), Stop> {
    match field {
        Field::Model => {
            expect(c, Kind::String, || "model".into())?;
            r.scan.model = Some(c.string()?.quoted());
        }
        Field::Stream => r.scan.stream = Some(flag(c, "stream")?),
        Field::Waypost => r.waypost(c, key_start)?,
        Field::Messages => {
            expect(c, Kind::Array, || "messages".into())?;
            c.array(|c| message(r, c))?;
            if r.scan.messages == 0 {
                return Err(ScanError::Invalid { field: "messages".into(), expected: "not empty" }.into());
            }
        }
        Field::System => {
            let first = r.scan.texts.len();
            if !c.null_if_next()? {
                content(r, c, false, || "system".into())?;
            }
            speak(r, first, Role::System);
        }
        Field::Tools => {
            if expect_or_null(c, Kind::Array, || "tools".into())? {
                let range = c.array(|c| {
                    r.scan.tools += 1;
                    c.skip()
                })?;
                r.scan.tools_bytes = u32::try_from(range.len()).unwrap_or(u32::MAX);
            }
        }
        Field::ToolChoice => {
            if expect_or_null(c, Kind::Object, || "tool_choice".into())? {
                c.object(|c, key| {
                    if key.name == b"disable_parallel_tool_use" && c.kind()? == Kind::Bool {
                        r.scan.parallel_tool_calls = Some(!c.boolean()?);
                        return Ok(());
                    }
                    c.skip()
                })?;
            }
        }
        Field::MaxTokens => r.scan.max_tokens = Some(whole(c, "max_tokens")?),
        Field::Thinking => {
            if expect_or_null(c, Kind::Object, || "thinking".into())? {
                r.scan.reasoning |= !is(kind_of(c)?, b"disabled");
            }
        }
        Field::OutputConfig => {
            if expect_or_null(c, Kind::Object, || "output_config".into())? {
                c.object(|c, key| match key.name {
                    b"effort" => {
                        r.scan.reasoning |= c.string_or_skip()?.is_some();
                        Ok::<_, Stop>(())
                    }
                    b"format" if c.kind()? == Kind::Object => {
                        r.scan.json_schema = is(kind_of(c)?, b"json_schema");
                        Ok(())
                    }
                    _ => Ok(c.skip()?),
                })?;
            }
        }
    }
    Ok(())
}

fn message(r: &mut Reader, c: &mut Cursor<'_>) -> Result<(), Stop> {
    let index = r.scan.messages;
    let path = |field: &str| format!("messages[{index}].{field}");
    expect(c, Kind::Object, || format!("messages[{index}]"))?;
    let first = r.scan.texts.len();
    let mut role = None;
    let mut seen = Seen::default();
    c.object(|c, key| {
        match key.name {
            b"role" => {
                seen.once(0, || path("role"))?;
                expect(c, Kind::String, || path("role"))?;
                role = Some(role_named(&c.string()?.bytes()).ok_or_else(|| ScanError::Invalid {
                    field: path("role"),
                    expected: "one of user, assistant and system",
                })?);
            }
            b"content" => {
                seen.once(1, || path("content"))?;
                content(r, c, false, || path("content"))?;
            }
            other => {
                refuse_misspelling(other, &MESSAGE_FIELDS, || path(""))?;
                c.skip()?;
            }
        }
        Ok::<_, Stop>(())
    })?;
    let role = role.ok_or_else(|| ScanError::Missing { field: path("role") })?;
    speak(r, first, role);
    r.scan.messages += 1;
    Ok(())
}

fn role_named(name: &[u8]) -> Option<Role> {
    Some(match name {
        b"user" => Role::User,
        b"assistant" => Role::Assistant,
        b"system" => Role::System,
        _ => return None,
    })
}

/// Gives the texts from `first` on to who speaks; what a tool said stays its own.
fn speak(r: &mut Reader, first: usize, role: Role) {
    for text in r.scan.texts[first..].iter_mut().filter(|t| t.role != Role::Tool) {
        text.role = role;
    }
}

/// A string or a list of blocks. `of_tool`: in the result of a tool.
fn content(r: &mut Reader, c: &mut Cursor<'_>, of_tool: bool, path: impl Fn() -> String) -> Result<(), Stop> {
    match c.kind()? {
        Kind::String => text(r, &c.string()?, of_tool),
        Kind::Array => {
            c.array(|c| block(r, c, of_tool))?;
        }
        found => {
            c.skip()?;
            let expected = "a string or an array of blocks";
            return Err(ScanError::WrongType { field: path(), expected, found }.into());
        }
    }
    Ok(())
}

/// Content further inside, where nobody relies on its type.
fn inner(r: &mut Reader, c: &mut Cursor<'_>, of_tool: bool) -> Result<(), Stop> {
    match c.kind()? {
        Kind::String => text(r, &c.string()?, of_tool),
        Kind::Array => {
            c.array(|c| block(r, c, of_tool))?;
        }
        _ => c.skip()?,
    }
    Ok(())
}

/// A block. Its `text`, `thinking` and `content` count as text and its `input` as it stands, whatever the type calls
/// itself; signatures and encrypted data do not, but
/// are looked at, as ids are: those that no server of this API made cannot go to one.
fn block(r: &mut Reader, c: &mut Cursor<'_>, of_tool: bool) -> Result<(), Stop> {
    if c.kind()? != Kind::Object {
        return inner(r, c, of_tool);
    }
    let first = r.scan.texts.len();
    let (mut kind, mut asks) = (None, false);
    c.object(|c, key| {
        match key.name {
            b"type" => text_into(c, &mut kind)?,
            b"text" | b"thinking" => r.text_or_skip(c)?,
            b"content" => inner(r, c, of_tool)?,
            b"source" => source(r, c, of_tool)?,
            b"signature" | b"data" => {
                let token = c.string_or_skip()?.map(|token| token.raw);
                r.scan.carries_foreign |= token.is_some_and(|token| token.is_empty() || token.starts_with(CARRIED));
            }
            b"id" => {
                let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
                r.scan.carries_foreign |= c.string_or_skip()?.is_some_and(|id| !id.raw.iter().all(allowed));
            }
            b"citations" => citations(r, c)?,
            b"input" => {
                asks = true;
                let place = c.value()?;
                raw(r, c.source(), place);
            }
            _ => c.skip()?,
        }
        Ok::<_, Stop>(())
    })?;
    let of_tool = of_tool || is(kind, b"tool_result");
    if of_tool {
        r.scan.texts[first..].iter_mut().for_each(|t| t.role = Role::Tool);
    }
    r.scan.images += u32::from(is(kind, b"image"));
    r.scan.documents += u32::from(is(kind, b"document"));
    let turn = asks || kind.is_some_and(|k| k.bytes().ends_with(b"tool_result"));
    r.scan.tool_turns += u32::from(turn);
    Ok(())
}

/// What a text cites: a source of another dialect was given to the client without an index.
fn citations(r: &mut Reader, c: &mut Cursor<'_>) -> Result<(), Stop> {
    if c.kind()? != Kind::Array {
        return Ok(c.skip()?);
    }
    c.array(|c| {
        if c.kind()? != Kind::Object {
            return Ok::<_, Stop>(c.skip()?);
        }
        c.object(|c, key| {
            if key.name == b"encrypted_index" {
                r.scan.carries_foreign |= c.string_or_skip()?.is_some_and(|index| index.raw.is_empty());
                return Ok(());
            }
            c.skip()
        })?;
        Ok(())
    })?;
    Ok(())
}

/// Where an image or a document comes from: data inline, blocks, or plain text.
fn source(r: &mut Reader, c: &mut Cursor<'_>, of_tool: bool) -> Result<(), Stop> {
    if c.kind()? != Kind::Object {
        return Ok(c.skip()?);
    }
    let (mut kind, mut data) = (None, None);
    c.object(|c, key| {
        match key.name {
            b"type" => text_into(c, &mut kind)?,
            b"data" => text_into(c, &mut data)?,
            b"url" => {
                let url = c.string_or_skip()?;
                let inline = url.filter(|url| url.raw.starts_with(b"data:"));
                r.scan.media_bytes += inline.map_or(0, |url| url.raw.len() as u64);
            }
            b"content" => inner(r, c, of_tool)?,
            _ => c.skip()?,
        }
        Ok::<_, Stop>(())
    })?;
    match data {
        Some(data) if is(kind, b"text") => text(r, &data, of_tool),
        Some(data) => r.scan.media_bytes += data.raw.len() as u64,
        None => {}
    }
    Ok(())
}

/// Notes a text; its role is filled in at the message's end.
fn text(r: &mut Reader, text: &Str<'_>, of_tool: bool) {
    let role = if of_tool { Role::Tool } else { Role::User };
    r.scan.texts.push(Text { role, range: text.range() });
    r.scan.stats.add(text);
}

/// Notes a call's input as text: its JSON as it stands, which escapes what it quotes as a string of JSON would.
fn raw(r: &mut Reader, body: &[u8], place: Range<usize>) {
    let raw = &body[place.clone()];
    let (mut escapes, mut unicode_escapes) = (0, 0);
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'\\', &raw[at..]) {
        escapes += 1;
        unicode_escapes += u32::from(raw.get(at + next + 1) == Some(&b'u'));
        at += next + 2;
    }
    text(r, &Str { raw, start: place.start, escapes, unicode_escapes }, false);
}

/// The `type` of an object.
fn kind_of<'a>(c: &mut Cursor<'a>) -> Result<Option<Str<'a>>, Stop> {
    let mut kind = None;
    c.object(|c, key| match key.name {
        b"type" => text_into(c, &mut kind),
        _ => Ok(c.skip()?),
    })?;
    Ok(kind)
}

fn text_into<'a>(c: &mut Cursor<'a>, into: &mut Option<Str<'a>>) -> Result<(), Stop> {
    *into = c.string_or_skip()?;
    Ok(())
}

fn is(text: Option<Str<'_>>, name: &[u8]) -> bool {
    text.is_some_and(|text| &*text.bytes() == name)
}

#[cfg(test)]
mod tests;

//! The pass itself: which members it looks at, what it checks of them, where it writes what it found.

use std::ops::Range;

use super::{Role, Scan, ScanError, Text};
use crate::json::{self, Cursor, Kind, Str};

/// Reads a chat request's body.
pub(super) fn read(body: &[u8]) -> Result<Scan, ScanError> {
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
    let mut reader = Reader { scan: Scan { texts: Vec::with_capacity(8), ..Scan::default() }, ..Reader::default() };
    let object = cursor.object(|c, key| reader.member(c, key))?;
    cursor.finish()?;
    let mut scan = reader.scan;
    scan.end = object.end - 1;
    if !reader.seen.has(Field::Messages as u8) {
        return Err(ScanError::Missing { field: "messages".into() }.into());
    }
    let cap = |field: &Option<(Option<u32>, Range<usize>)>| field.as_ref().and_then(|(n, _)| *n);
    scan.max_output_tokens = cap(&scan.max_completion_tokens).or(cap(&scan.max_tokens));
    Ok(scan)
}

/// Why reading ends early; a JSON error gets its line and column only at the end. Boxed to keep the happy path's results small.
pub(super) enum Stop {
    Json(json::Error),
    Refused(Box<ScanError>),
}

impl From<json::Error> for Stop {
    fn from(error: json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// Top-level fields that Waypost acts on, in the order of [`FIELDS`].
#[derive(Clone, Copy)]
enum Field {
    Model,
    Stream,
    StreamOptions,
    Waypost,
    Messages,
    Tools,
    Functions,
    ResponseFormat,
    ParallelToolCalls,
    MaxTokens,
    MaxCompletionTokens,
    N,
    ReasoningEffort,
    Reasoning,
}

const FIELDS: [&str; 14] = [
    "model",
    "stream",
    "stream_options",
    "waypost",
    "messages",
    "tools",
    "functions",
    "response_format",
    "parallel_tool_calls",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "reasoning_effort",
    "reasoning",
];

const MESSAGE_FIELDS: [&str; 3] = ["role", "content", "tool_calls"];

impl Field {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"waypost" => Self::Waypost,
            b"messages" => Self::Messages,
            b"tools" => Self::Tools,
            b"functions" => Self::Functions,
            b"response_format" => Self::ResponseFormat,
            b"parallel_tool_calls" => Self::ParallelToolCalls,
            b"max_tokens" => Self::MaxTokens,
            b"max_completion_tokens" => Self::MaxCompletionTokens,
            b"n" => Self::N,
            b"reasoning_effort" => Self::ReasoningEffort,
            b"reasoning" => Self::Reasoning,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        FIELDS[self as usize]
    }
}

/// Which fields of one object came already.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen(u32);

impl Seen {
    pub(super) fn has(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }

    /// Marks the field; refuses it the second time.
    #[inline]
    pub(super) fn once(&mut self, bit: u8, path: impl FnOnce() -> String) -> Result<(), Stop> {
        if self.has(bit) {
            return Err(ScanError::Duplicate { field: path() }.into());
        }
        self.0 |= 1 << bit;
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) scan: Scan,
    pub(super) seen: Seen,
    /// End of the last member's value; 0 before the first.
    pub(super) last_end: usize,
    /// `waypost` came first: its cut runs to the next key.
    pub(super) cut_open: bool,
}

impl Reader {
    fn member(&mut self, c: &mut Cursor<'_>, key: json::Key<'_>) -> Result<(), Stop> {
        let key_start = key.start;
        self.begin_member(key_start);
        let name = key.name;
        let field = Field::of(name);
        match field {
            Some(field) => {
                self.seen.once(field as u8, || field.name().into())?;
                self.field(c, field, key_start)?;
            }
            None => {
                refuse_misspelling(name, &FIELDS, String::new)?;
                c.skip()?;
            }
        }
        self.end_member(!matches!(field, Some(Field::Waypost)), c.offset());
        Ok(())
    }

    /// A member's key comes: where `waypost` stood first, its cut runs to here.
    pub(super) fn begin_member(&mut self, key_start: usize) {
        if let (true, Some(cut)) = (self.cut_open, self.scan.waypost_member.as_mut()) {
            cut.end = key_start;
            self.cut_open = false;
        }
    }

    /// A member was read to `end`; `stays`: it is not `waypost`, which is cut.
    pub(super) fn end_member(&mut self, stays: bool, end: usize) {
        self.scan.has_members |= stays;
        self.last_end = end;
    }

    /// The value of `waypost`, and the range to cut: with the comma before it, or, where it comes first, the one after.
    pub(super) fn waypost(&mut self, c: &mut Cursor<'_>, key_start: usize) -> Result<(), Stop> {
        let value = c.value()?;
        self.cut_open = self.last_end == 0;
        let start = if self.cut_open { key_start } else { self.last_end };
        self.scan.waypost_member = Some(start..value.end);
        self.scan.waypost = Some(value);
        Ok(())
    }

    fn field(&mut self, c: &mut Cursor<'_>, field: Field, key_start: usize) -> Result<(), Stop> {
        let scan = &mut self.scan;
        match field {
            Field::Model => {
                expect(c, Kind::String, || "model".into())?;
                scan.model = Some(c.string()?.quoted());
            }
            Field::Stream => scan.stream = Some(flag(c, "stream")?),
            Field::StreamOptions => self.stream_options(c)?,
            Field::Waypost => self.waypost(c, key_start)?,
            Field::Messages => {
                expect(c, Kind::Array, || "messages".into())?;
                c.array(|c| self.message(c))?;
                if self.scan.messages == 0 {
                    return Err(ScanError::Invalid { field: "messages".into(), expected: "not empty" }.into());
                }
            }
            Field::Tools | Field::Functions => {
                if expect_or_null(c, Kind::Array, || field.name().into())? {
                    let range = c.array(|c| {
                        scan.tools += 1;
                        c.skip()
                    })?;
                    let bytes = u32::try_from(range.len()).unwrap_or(u32::MAX);
                    scan.tools_bytes = scan.tools_bytes.saturating_add(bytes);
                }
            }
            Field::ResponseFormat => {
                if expect_or_null(c, Kind::Object, || "response_format".into())? {
                    c.object(|c, key| {
                        if key.name != b"type" {
                            return c.skip();
                        }
                        if let Some(format) = c.string_or_skip()? {
                            scan.json_schema = &*format.bytes() == b"json_schema";
                            scan.json_object = &*format.bytes() == b"json_object";
                        }
                        Ok(())
                    })?;
                }
            }
            Field::ParallelToolCalls => {
                if expect_or_null(c, Kind::Bool, || field.name().into())? {
                    scan.parallel_tool_calls = Some(c.boolean()?);
                }
            }
            Field::MaxTokens => scan.max_tokens = Some(whole(c, "max_tokens")?),
            Field::MaxCompletionTokens => scan.max_completion_tokens = Some(whole(c, "max_completion_tokens")?),
            Field::N => {
                scan.n = whole(c, "n")?.0;
                if scan.n == Some(0) {
                    return Err(ScanError::Invalid { field: "n".into(), expected: "at least 1" }.into());
                }
            }
            Field::ReasoningEffort => {
                if expect_or_null(c, Kind::String, || field.name().into())? {
                    scan.reasoning |= &*c.string()?.bytes() != b"none";
                }
            }
            Field::Reasoning => {
                scan.reasoning |= c.kind()? == Kind::Object;
                c.skip()?;
            }
        }
        Ok(())
    }

    fn stream_options(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        let scan = &mut self.scan;
        if c.kind()? == Kind::Null {
            scan.stream_options = Some(c.value()?);
            return Ok(());
        }
        expect(c, Kind::Object, || "stream_options".into())?;
        let mut seen = Seen::default();
        let range = c.object(|c, key| {
            scan.stream_options_members = true;
            if key.name != b"include_usage" {
                refuse_misspelling(key.name, &["include_usage"], || "stream_options.".into())?;
                c.skip()?;
                return Ok::<_, Stop>(());
            }
            seen.once(0, || "stream_options.include_usage".into())?;
            scan.include_usage = Some(flag(c, "stream_options.include_usage")?);
            Ok(())
        })?;
        scan.stream_options = Some(range);
        Ok(())
    }

    fn message(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        let index = self.scan.messages;
        let path = |field: &str| format!("messages[{index}].{field}");
        expect(c, Kind::Object, || format!("messages[{index}]"))?;
        let first_text = self.scan.texts.len();
        let mut role = None;
        let mut seen = Seen::default();
        c.object(|c, key| {
            match key.name {
                b"role" => {
                    seen.once(0, || path("role"))?;
                    expect(c, Kind::String, || path("role"))?;
                    role = Some(role_named(&c.string()?.bytes()).ok_or_else(|| ScanError::Invalid {
                        field: path("role"),
                        expected: "one of system, developer, user, assistant, tool and function",
                    })?);
                }
                b"content" => {
                    seen.once(1, || path("content"))?;
                    self.content(c, &path)?;
                }
                b"tool_calls" => {
                    seen.once(2, || path("tool_calls"))?;
                    if expect_or_null(c, Kind::Array, || path("tool_calls"))? {
                        c.array(|c| self.tool_call(c))?;
                    }
                }
                b"function_call" => self.tool_call(c)?,
                b"refusal" | b"reasoning_content" => self.text_or_skip(c)?,
                other => {
                    refuse_misspelling(other, &MESSAGE_FIELDS, || path(""))?;
                    c.skip()?;
                }
            }
            Ok::<_, Stop>(())
        })?;
        let role = role.ok_or_else(|| ScanError::Missing { field: path("role") })?;
        for text in &mut self.scan.texts[first_text..] {
            text.role = role;
        }
        self.scan.tool_turns += u32::from(role == Role::Tool);
        self.scan.messages += 1;
        Ok(())
    }

    fn content(&mut self, c: &mut Cursor<'_>, path: &impl Fn(&str) -> String) -> Result<(), Stop> {
        match c.kind()? {
            Kind::String => self.text_or_skip(c)?,
            Kind::Null => c.null()?,
            Kind::Array => {
                c.array(|c| self.part(c))?;
            }
            found => {
                let expected = "a string or an array of parts";
                return Err(ScanError::WrongType { field: path("content"), expected, found }.into());
            }
        }
        Ok(())
    }

    /// A part of a message's content. Any `text` or `refusal` in it counts as text, whatever the type calls itself.
    fn part(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if c.kind()? != Kind::Object {
            return self.text_or_skip(c);
        }
        let mut media = None;
        let mut low_detail = false;
        c.object(|c, key| {
            match key.name {
                b"type" => media = c.string_or_skip()?.and_then(|s| Media::of(&s.bytes())),
                b"text" | b"refusal" => self.text_or_skip(c)?,
                b"image_url" | b"input_audio" | b"audio_url" | b"video_url" | b"file" | b"document_url" => {
                    low_detail |= self.media(c)?;
                }
                _ => c.skip()?,
            }
            Ok::<_, Stop>(())
        })?;
        match media {
            Some(Media::Image) => {
                self.scan.images += 1;
                self.scan.images_low_detail += u32::from(low_detail);
            }
            Some(Media::Audio) => self.scan.audio += 1,
            Some(Media::Video) => self.scan.video += 1,
            Some(Media::Document) => self.scan.documents += 1,
            None => {}
        }
        Ok(())
    }

    /// The source of a media part: a URL, or an object that holds one or the data itself. True where it asks for low detail.
    pub(super) fn media(&mut self, c: &mut Cursor<'_>) -> Result<bool, Stop> {
        let mut low_detail = false;
        let mut count = |s: Str<'_>, is_data: bool| {
            if is_data || s.raw.starts_with(b"data:") {
                self.scan.media_bytes += s.raw.len() as u64;
            }
        };
        if c.kind()? != Kind::Object {
            if let Some(url) = c.string_or_skip()? {
                count(url, false);
            }
            return Ok(false);
        }
        c.object(|c, key| {
            if let Some(value) = c.string_or_skip()? {
                let name = key.name;
                count(value, matches!(name, b"data" | b"file_data"));
                low_detail |= name == b"detail" && &*value.bytes() == b"low";
            }
            Ok::<_, Stop>(())
        })?;
        Ok(low_detail)
    }

    /// One call of a tool: its arguments are text.
    fn tool_call(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if c.kind()? != Kind::Object {
            c.skip()?;
            return Ok(());
        }
        self.scan.tool_turns += 1;
        c.object(|c, key| match key.name {
            b"function" | b"custom" if c.kind()? == Kind::Object => c
                .object(|c, key| match key.name {
                    b"arguments" | b"input" => self.text_or_skip(c),
                    _ => c.skip().map_err(Stop::from),
                })
                .map(drop),
            b"arguments" => self.text_or_skip(c),
            _ => c.skip().map_err(Stop::from),
        })?;
        Ok(())
    }

    /// Notes a string as text of the message at hand; its role is filled in at the message's end.
    pub(super) fn text_or_skip(&mut self, c: &mut Cursor<'_>) -> Result<(), Stop> {
        if let Some(text) = c.string_or_skip()? {
            self.scan.texts.push(Text { role: Role::User, range: text.range() });
            self.scan.stats.add(&text);
        }
        Ok(())
    }
}

pub(super) enum Media {
    Image,
    Audio,
    Video,
    Document,
}

impl Media {
    /// By the part's `type`: OpenAI's names, and those of Mistral, vLLM and Responses that turn up in chat.
    pub(super) fn of(part_type: &[u8]) -> Option<Self> {
        match part_type {
            b"image_url" | b"input_image" | b"image" => Some(Self::Image),
            b"input_audio" | b"audio_url" | b"audio" => Some(Self::Audio),
            b"video_url" | b"input_video" | b"video" => Some(Self::Video),
            b"file" | b"input_file" | b"document_url" | b"document" => Some(Self::Document),
            _ => None,
        }
    }
}

pub(super) fn role_named(name: &[u8]) -> Option<Role> {
    Some(match name {
        b"user" => Role::User,
        b"assistant" => Role::Assistant,
        b"system" | b"developer" => Role::System,
        b"tool" | b"function" => Role::Tool,
        _ => return None,
    })
}

/// Refuses a next value of another kind.
#[inline]
pub(super) fn expect(c: &mut Cursor<'_>, kind: Kind, path: impl FnOnce() -> String) -> Result<(), Stop> {
    let found = c.kind()?;
    if found == kind {
        return Ok(());
    }
    c.skip()?;
    Err(ScanError::WrongType { field: path(), expected: kind.name(), found }.into())
}

/// As [`expect`]; a null is consumed and gives false.
#[inline]
pub(super) fn expect_or_null(c: &mut Cursor<'_>, kind: Kind, path: impl FnOnce() -> String) -> Result<bool, Stop> {
    if c.null_if_next()? {
        return Ok(false);
    }
    expect(c, kind, path).map(|()| true)
}

/// A boolean, null being false, with its place.
pub(super) fn flag(c: &mut Cursor<'_>, path: &'static str) -> Result<(bool, Range<usize>), Stop> {
    let value = expect_or_null(c, Kind::Bool, || path.into())? && c.boolean()?;
    let end = c.offset();
    let length = if c.source()[..end].ends_with(b"false") { 5 } else { 4 };
    Ok((value, end - length..end))
}

/// A whole number from 0, or null, with its place; above the range of `u32` it counts as that range's end.
pub(super) fn whole(c: &mut Cursor<'_>, path: &'static str) -> Result<(Option<u32>, Range<usize>), Stop> {
    if c.null_if_next()? {
        return Ok((None, c.offset() - 4..c.offset()));
    }
    expect(c, Kind::Number, || path.into())?;
    let digits = c.number()?;
    let range = c.offset() - digits.len()..c.offset();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    // `1e3` and `100.0` are whole numbers too.
    let value = text.parse::<f64>().unwrap_or(-1.0);
    if value < 0.0 || (value.fract() != 0.0 && value.is_finite()) {
        return Err(ScanError::Invalid { field: path.into(), expected: "a whole number from 0" }.into());
    }
    Ok((Some(value as u32), range))
}

/// Refuses `Model` for `model`: Go's parsers, Ollama's among them, take the one for the other. They also fold two
/// letters from outside ASCII, the long s and the Kelvin sign.
pub(super) fn refuse_misspelling(name: &[u8], fields: &[&str], parent: impl FnOnce() -> String) -> Result<(), Stop> {
    let folded;
    let name = if name.is_ascii() {
        name
    } else {
        folded = String::from_utf8_lossy(name).replace('\u{17f}', "s").replace('\u{212a}', "k").into_bytes();
        &folded
    };
    match fields.iter().find(|f| f.as_bytes().eq_ignore_ascii_case(name)) {
        Some(field) => Err(ScanError::Misspelled { field: parent() + field }.into()),
        None => Ok(()),
    }
}

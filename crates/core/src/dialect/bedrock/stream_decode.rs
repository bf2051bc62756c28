//! Reading a stream: its events, as the frames name them, into canonical ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::delta::{Delta, Piece};
use super::error::{EXCEPTION, stream_error};
use super::media::{is_base64, mime_of};
use super::response::{read_usage, stop_sequence};
use super::{blocks, finish_named};
use crate::chat::{Event, Finish, Media, MediaKind, Signature, Source};
use crate::dialect::EventFault;
use crate::dialect::wire::{Fields, Malformed};
use crate::json;
use crate::registry::Dialect;

/// The most base64 that one picture of a stream may have.
const MAX_PICTURE: usize = 32 << 20;

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    stopped: bool,
    counted: bool,
    done: bool,
    calls: u32,
    /// Blocks that began with more than text.
    open: BTreeMap<u64, Block>,
}

/// A block that is open.
#[derive(Debug)]
enum Block {
    /// A call, which so many came before.
    Call(u32),
    /// A picture: its media type and what came of it.
    Picture { mime: &'static str, base64: String },
    /// What nobody but Bedrock knows: a tool that it runs itself, and the like.
    Foreign,
}

impl Decoder {
    /// Reads one event.
    pub fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), EventFault> {
        if self.done {
            return Ok(());
        }
        match name {
            b"contentBlockDelta" => self.delta(data, out).map_err(EventFault::from),
            b"contentBlockStart" => Ok(self.block_start(data, out)?),
            b"contentBlockStop" => Ok(self.block_stop(data, out)?),
            b"messageStart" => Ok(self.message_start(data, out)?),
            b"messageStop" => Ok(self.message_stop(data, out)?),
            b"metadata" => Ok(self.metadata(data, out)?),
            _ => match std::str::from_utf8(name) {
                Ok(name) if name.ends_with(EXCEPTION) => Err(EventFault::Error(Box::new(stream_error(name, data)))),
                // New kinds of events may come.
                _ => Ok(()),
            },
        }
    }

    fn message_start(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        let mut fields = Fields::parse(data)?;
        if self.started {
            return Err(Malformed::new("messageStart", "came twice"));
        }
        match fields.string("role")?.as_deref() {
            None | Some("assistant") => {}
            Some(other) => return Err(fields.wrong("role", format!("must be `assistant`, not `{other}`"))),
        }
        self.start(out);
        Ok(())
    }

    /// The answer begins; in a stream without its start, with the first event.
    fn start(&mut self, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            out.push(Event::Start { id: String::new(), model: String::new(), created: None });
        }
    }

    fn block_start(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        self.start(out);
        let mut fields = Fields::parse(data)?;
        let Some(index) = fields.count("contentBlockIndex")? else {
            return Err(fields.wrong("contentBlockIndex", "is required"));
        };
        if self.open.contains_key(&index) {
            return Err(fields.wrong("contentBlockIndex", "is that of a block which is open"));
        }
        let Some(mut start) = fields.object("start")? else { return Ok(()) };
        if let Some(mut call) = start.object("toolUse")? {
            if call.take("type").is_some() {
                self.open.insert(index, Block::Foreign);
                return Ok(());
            }
            let (id, name) = (call.required_string("toolUseId")?, call.required_string("name")?);
            if id.is_empty() || name.is_empty() {
                return Err(Malformed::new(call.path(), "must have an id and a name that are not empty"));
            }
            self.open.insert(index, Block::Call(self.calls));
            out.push(Event::ToolCall { choice: 0, index: self.calls, id, name, custom: false, signature: None });
            self.calls += 1;
        } else if let Some(mut image) = start.object("image")? {
            let format = image.required_string("format")?;
            let Some(mime) = mime_of(MediaKind::Image, &format) else {
                return Err(image.wrong("format", format!("`{format}` is not known")));
            };
            self.open.insert(index, Block::Picture { mime, base64: String::new() });
        } else if start.take("toolResult").is_some() {
            self.open.insert(index, Block::Foreign);
        }
        Ok(())
    }

    fn delta(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        self.start(out);
        let delta = Delta::read(data).map_err(|e| broken(&e))?;
        let wrong = |problem: &str| Malformed::new("contentBlockDelta.delta", problem);
        let Some(piece) = delta.piece else { return Ok(()) };
        let block = delta.index.and_then(|index| self.open.get_mut(&index));
        if matches!(block, Some(Block::Foreign)) {
            return Ok(());
        }
        let choice = 0;
        let signed = |value, redacted| {
            let signature = Signature { dialect: Dialect::Bedrock, value, id: None };
            Event::Signature { choice, signature, redacted }
        };
        match piece {
            Piece::Text(text) if !text.raw.is_empty() => {
                out.push(Event::Text { choice, text: text.text().into_owned() });
            }
            Piece::Thought(text) if !text.raw.is_empty() => {
                out.push(Event::Reasoning { choice, text: text.text().into_owned(), summary: false });
            }
            Piece::Input(text) => {
                let Some(Block::Call(index)) = block else { return Err(wrong("arguments without a call")) };
                if !text.raw.is_empty() {
                    out.push(Event::Arguments { choice, index: *index, text: text.text().into_owned() });
                }
            }
            Piece::Signature(value) if !value.raw.is_empty() => out.push(signed(value.text().into_owned(), false)),
            Piece::Redacted(value) => {
                let value = value.text().into_owned();
                if !is_base64(&value) {
                    return Err(wrong("`redactedContent` must be base64"));
                }
                out.push(signed(value, true));
            }
            Piece::Citation => {
                let mut fields = Fields::parse(data)?;
                let source = fields.object("delta")?.and_then(|mut delta| delta.take("citation"));
                let Some(native @ Value::Object(_)) = source else { return Err(wrong("`citation` must be an object")) };
                out.push(Event::Citation { choice, citation: Box::new(blocks::citation(native)) });
            }
            Piece::Image => {
                let Some(Block::Picture { base64, .. }) = block else { return Err(wrong("an image without a start")) };
                gather_picture(data, base64)?;
            }
            Piece::Wrong => return Err(wrong("a member is of the wrong type")),
            Piece::Text(_) | Piece::Thought(_) | Piece::Signature(_) | Piece::Other => {}
        }
        Ok(())
    }

    fn block_stop(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        self.start(out);
        let mut fields = Fields::parse(data)?;
        let index = fields.count("contentBlockIndex")?.unwrap_or(0);
        if let Some(Block::Picture { mime, base64 }) = self.open.remove(&index) {
            if !is_base64(&base64) {
                return Err(Malformed::new("contentBlockStop", "the image is not base64"));
            }
            let source = Source::Data { mime: mime.into(), base64 };
            let media = Media { kind: MediaKind::Image, source, name: None, detail: None };
            out.push(Event::Media { choice: 0, media: Box::new(media) });
        }
        Ok(())
    }

    fn message_stop(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        self.start(out);
        if self.stopped {
            return Err(Malformed::new("messageStop", "came twice"));
        }
        self.stopped = true;
        let mut fields = Fields::parse(data)?;
        let reason = finish_named(&fields.required_string("stopReason")?);
        let stop_sequence = stop_sequence(fields.take("additionalModelResponseFields").as_ref());
        out.push(Event::Finish { choice: 0, finish: Finish { reason, stop_sequence } });
        self.end(out);
        Ok(())
    }

    fn metadata(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Malformed> {
        self.start(out);
        let mut fields = Fields::parse(data)?;
        if let Some(usage) = fields.object("usage")?.map(read_usage).transpose()?.flatten() {
            out.push(Event::Usage(usage));
        }
        self.counted = true;
        self.end(out);
        Ok(())
    }

    /// The counts come last; where they came before, the stop ends it.
    fn end(&mut self, out: &mut Vec<Event>) {
        if self.stopped && self.counted {
            self.done = true;
            out.push(Event::Done);
        }
    }
}

fn broken(error: &json::Error) -> Malformed {
    Malformed::new("", format!("not JSON: {} at byte {}", error.kind, error.offset))
}

/// More of a picture. Pieces of base64 join where no piece but the last is padded.
fn gather_picture(data: &[u8], base64: &mut String) -> Result<(), Malformed> {
    let mut fields = Fields::parse(data)?;
    let mut image = match fields.object("delta")? {
        Some(mut delta) => delta.object("image")?,
        None => None,
    };
    let source = image.as_mut().map(|image| image.object("source")).transpose()?.flatten();
    let Some(bytes) = source.map(|mut source| source.string("bytes")).transpose()?.flatten() else {
        return Err(Malformed::new("contentBlockDelta.delta.image", "has no bytes"));
    };
    if base64.ends_with('=') || base64.len() + bytes.len() > MAX_PICTURE {
        return Err(Malformed::new("contentBlockDelta.delta.image", "does not fit what came of the image before"));
    }
    base64.push_str(&bytes);
    Ok(())
}

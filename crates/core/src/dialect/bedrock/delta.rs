//! Reading a `contentBlockDelta`, nearly all of a stream's events, without building a tree.

use crate::json::{self, Cursor, Kind, Str};

/// What one delta says.
#[derive(Debug, Default)]
pub(super) struct Delta<'a> {
    /// Which block.
    pub(super) index: Option<u64>,
    /// `None` where `delta` is missing or says nothing.
    pub(super) piece: Option<Piece<'a>>,
}

/// More of a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    Text(Str<'a>),
    /// A call's arguments.
    Input(Str<'a>),
    Thought(Str<'a>),
    /// Of the thoughts.
    Signature(Str<'a>),
    /// Thoughts, encrypted.
    Redacted(Str<'a>),
    /// A source.
    Citation,
    /// A part of a picture.
    Image,
    /// A known member with a value of the wrong type.
    Wrong,
    /// What we do not know (yet).
    Other,
}

impl<'a> Delta<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, json::Error> {
        let mut delta = Self::default();
        let mut c = Cursor::new(data)?;
        c.object(|c, key| match key.name {
            b"contentBlockIndex" => {
                delta.index = count(c)?;
                Ok(())
            }
            b"delta" => each_member(c, |c, key| {
                delta.piece = Some(match key {
                    b"text" => string(c, Piece::Text)?,
                    b"toolUse" => member(c, b"input", Piece::Input)?,
                    b"reasoningContent" => thought(c)?,
                    b"citation" => skipped(c, Piece::Citation)?,
                    b"image" => skipped(c, Piece::Image)?,
                    _ if c.null_if_next()? => return Ok(()),
                    _ => skipped(c, Piece::Other)?,
                });
                Ok(())
            }),
            // A padding that hides the text's length comes along.
            _ => c.skip(),
        })?;
        c.finish()?;
        Ok(delta)
    }
}

fn string<'a>(c: &mut Cursor<'a>, piece: fn(Str<'a>) -> Piece<'a>) -> Result<Piece<'a>, json::Error> {
    Ok(c.string_or_skip()?.map_or(Piece::Wrong, piece))
}

fn skipped<'a>(c: &mut Cursor<'a>, piece: Piece<'a>) -> Result<Piece<'a>, json::Error> {
    c.skip()?;
    Ok(piece)
}

/// An object's member of this name.
fn member<'a>(c: &mut Cursor<'a>, name: &[u8], piece: fn(Str<'a>) -> Piece<'a>) -> Result<Piece<'a>, json::Error> {
    let mut found = Piece::Wrong;
    each_member(c, |c, key| {
        if key != name {
            return c.skip();
        }
        found = string(c, piece)?;
        Ok(())
    })?;
    Ok(found)
}

fn thought<'a>(c: &mut Cursor<'a>) -> Result<Piece<'a>, json::Error> {
    let mut found = Piece::Other;
    each_member(c, |c, key| {
        found = match key {
            b"text" => string(c, Piece::Thought)?,
            b"signature" => string(c, Piece::Signature)?,
            b"redactedContent" => string(c, Piece::Redacted)?,
            _ => return c.skip(),
        };
        Ok(())
    })?;
    Ok(found)
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
pub(super) fn count(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|()| None);
    }
    let digits = c.number()?;
    let small = digits
        .iter()
        .try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))));
    // `12.0`, `1e3` and negative numbers go the long way.
    let float = || std::str::from_utf8(digits).ok()?.parse::<f64>().ok().filter(|f| *f >= 0.0).map(|f| f as u64);
    Ok(small.or_else(float))
}

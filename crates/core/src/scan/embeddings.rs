//! The same pass over the body of an embeddings request of OpenAI's: what is embedded is text of the user's.

use super::reader::{Reader, Stop, expect, refuse_misspelling};
use super::{Role, Scan, ScanError};
use crate::json::{Cursor, Key, Kind};

/// Reads an embeddings request's body once. `model` may be absent here: whether that is an error is the caller's to say.
pub fn scan_embeddings(body: &[u8]) -> Result<Scan, ScanError> {
    read_object(body).map_err(|stop| match stop {
        Stop::Json(error) => ScanError::Json { error, position: error.position(body) },
        Stop::Refused(error) => *error,
    })
}

const FIELDS: [&str; 3] = ["model", "waypost", "input"];

fn read_object(body: &[u8]) -> Result<Scan, Stop> {
    let mut cursor = Cursor::new(body)?;
    let kind = cursor.kind()?;
    if kind != Kind::Object {
        // A broken text is an error of its own before it is the wrong type.
        cursor.skip()?;
        return Err(ScanError::NotAnObject { found: kind }.into());
    }
    let mut reader = Reader::default();
    let object = cursor.object(|c, key| member(&mut reader, c, key))?;
    cursor.finish()?;
    if !reader.seen.has(2) {
        return Err(ScanError::Missing { field: "input".into() }.into());
    }
    let mut scan = reader.scan;
    scan.end = object.end - 1;
    scan.messages = 1;
    scan.embeddings = true;
    Ok(scan)
}

fn member(reader: &mut Reader, c: &mut Cursor<'_>, key: Key<'_>) -> Result<(), Stop> {
    reader.begin_member(key.start);
    let field = FIELDS.iter().position(|f| f.as_bytes() == key.name);
    match field {
        Some(field) => reader.seen.once(field as u8, || FIELDS[field].into())?,
        None => refuse_misspelling(key.name, &FIELDS, String::new)?,
    }
    match field {
        Some(0) => {
            expect(c, Kind::String, || "model".into())?;
            reader.scan.model = Some(c.string()?.quoted());
        }
        Some(1) => reader.waypost(c, key.start)?,
        Some(_) => input(reader, c)?,
        None => c.skip()?,
    }
    reader.end_member(field != Some(1), c.offset());
    Ok(())
}

/// A text, a list of texts, or tokens, which count as nothing known.
fn input(reader: &mut Reader, c: &mut Cursor<'_>) -> Result<(), Stop> {
    match c.kind()? {
        Kind::Array => c.array(|c| reader.text_or_skip(c)).map(drop)?,
        Kind::String => reader.text_or_skip(c)?,
        found => {
            c.skip()?;
            let expected = "a string or an array";
            return Err(ScanError::WrongType { field: "input".into(), expected, found }.into());
        }
    }
    reader.scan.texts.iter_mut().for_each(|text| text.role = Role::User);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_ranges_are_found() {
        let body = br#"{"waypost":{"stage":"s"},"model":"m","input":["one",[1,2],"two"],"x":1}"#;
        let scan = scan_embeddings(body).unwrap();
        let texts: Vec<_> = scan.texts.iter().map(|t| std::str::from_utf8(&body[t.range.clone()]).unwrap()).collect();
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(&body[scan.model.unwrap()], b"\"m\"");
        assert_eq!(&body[scan.waypost_member.unwrap()], br#""waypost":{"stage":"s"},"#);
        assert_eq!((body[scan.end], scan.has_members), (b'}', true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, problem) in [
            (r#"{"model":"m"}"#, "`input` is required"),
            (r#"{"input":7}"#, "`input` must be a string or an array, not a number"),
            (r#"{"input":"a","input":"b"}"#, "`input` is given more than once"),
            (r#"{"Input":"a"}"#, "`input` must be written in lower case"),
            (r#"{"model":1,"input":"a"}"#, "`model` must be a string, not a number"),
            ("[]", "the body must be a JSON object, not an array"),
        ] {
            assert_eq!(scan_embeddings(body.as_bytes()).unwrap_err().to_string(), problem, "{body}");
        }
    }
}

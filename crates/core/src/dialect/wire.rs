//! Reading JSON objects of a wire format member by member: what is known is taken out, what is left rides along.
//! It knows no dialect. Errors name the member by its path, as the dialect writes it.

use serde_json::{Map, Number, Value};
use std::fmt;

/// A body that is not the dialect's: where, and what is wrong there. The text is for whoever wrote the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Path of the member (`messages[2].content`); empty for the body itself.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Malformed {
    /// At a member.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.problem) } else { write!(f, "`{}`: {}", self.field, self.problem) }
    }
}

/// What every reading here returns.
pub(super) type Result<T> = std::result::Result<T, Malformed>;

/// An object whose members are taken out one by one. A member that is null counts as absent and is gone.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    path: String,
}

impl Fields {
    /// A whole body.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        let value = serde_json::from_slice(body).map_err(|e| Malformed::new("", format!("not JSON: {e}")))?;
        Self::of(value, "")
    }

    /// A value that must be an object, at this path.
    pub(super) fn of(value: Value, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(Malformed::new(path, format!("must be an object, not {}", kind(&other)))),
        }
    }

    /// Where this object is.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a member.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error at a member.
    pub(super) fn wrong(&self, key: &str, problem: impl Into<String>) -> Malformed {
        Malformed::new(self.at(key), problem)
    }

    /// Looks at a member without taking it.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Takes any value.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        // `shift_remove` keeps the order of the rest, which rides along as it stood.
        self.map.shift_remove(key).filter(|v| !v.is_null())
    }

    /// Takes a value that must be there.
    pub(super) fn require(&mut self, key: &str) -> Result<Value> {
        self.take(key).ok_or_else(|| self.wrong(key, "is required"))
    }

    /// Takes a string.
    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(other) => Err(self.wrong(key, format!("must be a string, not {}", kind(&other)))),
        }
    }

    /// Takes a string that must be there.
    pub(super) fn required_string(&mut self, key: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| self.wrong(key, "is required"))
    }

    /// Takes a boolean.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(other) => Err(self.wrong(key, format!("must be true or false, not {}", kind(&other)))),
        }
    }

    /// Takes a number as it stands.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<Number>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(n)) => Ok(Some(n)),
            Some(other) => Err(self.wrong(key, format!("must be a number, not {}", kind(&other)))),
        }
    }

    /// Takes a whole number from 0; `12.0` is one.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        let whole = || number.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64);
        let count = number.as_u64().or_else(whole);
        count.map(Some).ok_or_else(|| self.wrong(key, "must be a whole number from 0"))
    }

    /// Takes an array.
    pub(super) fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(key, format!("must be an array, not {}", kind(&other)))),
        }
    }

    /// Takes an array of objects; empty where absent.
    pub(super) fn objects(&mut self, key: &str) -> Result<Vec<Self>> {
        let items = self.array(key)?.unwrap_or_default();
        let at = self.at(key);
        items.into_iter().enumerate().map(|(i, item)| Self::of(item, format!("{at}[{i}]"))).collect()
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Self>> {
        let at = self.at(key);
        self.take(key).map(|value| Self::of(value, at)).transpose()
    }

    /// What nobody took, nulls included.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Everything that is left as one value: for blocks that ride along whole.
    pub(super) fn into_value(self) -> Value {
        Value::Object(self.map)
    }
}

/// A value's kind with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The registered name of a media type: some clients write another, and most APIs know only that.
pub(super) fn registered_mime(mime: &str) -> &str {
    const OTHERS: [(&str, &str); 4] = [
        ("image/jpg", "image/jpeg"),
        ("image/pjpeg", "image/jpeg"),
        ("audio/x-wav", "audio/wav"),
        ("application/x-pdf", "application/pdf"),
    ];
    OTHERS.iter().find(|(other, _)| mime.eq_ignore_ascii_case(other)).map_or(mime, |(_, name)| name)
}

/// Inserts a member where there is a value.
pub(super) fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

/// Appends a server-sent event with data of ours, named where `name` is not empty.
pub(super) fn write_event(out: &mut Vec<u8>, name: &str, data: &Value) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, data).expect("a value of JSON has string keys and no fallible part");
    out.extend_from_slice(b"\n\n");
}

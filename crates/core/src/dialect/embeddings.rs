//! Embeddings: OpenAI's request and answer, and Gemini's batches behind them.
//!
//! Between an OpenAI client and an OpenAI provider the bytes pass, inspected only. Vectors are never built as trees: an
//! answer may hold megabytes of numbers, which go over digit by digit, or into base64.

use super::wire::{self, Fields, Malformed, put};
use super::{BadCompletion, CompletionFacts, Encoded, Inexpressible, Losses, Target, gemini, openai};
use crate::chat::Extras;
use crate::json::{self, Cursor, Kind};
use crate::registry::Usage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A request for embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// As the client wrote it.
    pub model: String,
    /// What to embed.
    pub input: Input,
    /// Length of the vectors; `None`: the model's own.
    pub dimensions: Option<u64>,
    /// How the vectors are to be written.
    pub encoding: Encoding,
    /// The client's name for its own user.
    pub user: Option<String>,
    /// What else stood in it.
    pub extras: Extras,
}

/// What to embed: at least one, none empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Texts.
    Texts(Vec<String>),
    /// Texts as tokens of the provider's own tokenizer.
    Tokens(Vec<Vec<u64>>),
}

impl Input {
    /// How many vectors they become.
    pub fn count(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Tokens(texts) => texts.len(),
        }
    }
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// Base64 of 32-bit floats, little-endian.
    Base64,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How many vectors it holds.
    pub vectors: usize,
    /// Usage, where given.
    pub usage: Option<Usage>,
}

impl From<Facts> for CompletionFacts {
    fn from(facts: Facts) -> Self {
        Self { output: facts.vectors > 0, usage: facts.usage, ..Self::default() }
    }
}

/// An answer in OpenAI's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body for the client.
    pub body: Vec<u8>,
    /// What it says.
    pub facts: Facts,
}

/// Reads a client's request.
pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Fields::parse(body)?;
    let model = fields.required_string("model")?;
    if model.is_empty() {
        return Err(fields.wrong("model", "must not be empty"));
    }
    let input = input(fields.require("input")?)?;
    let dimensions = fields.count("dimensions")?;
    if dimensions == Some(0) {
        return Err(fields.wrong("dimensions", "must be from 1"));
    }
    let encoding = match fields.string("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            return Err(fields.wrong("encoding_format", format!("must be `float` or `base64`, not `{other}`")));
        }
    };
    let user = fields.string("user")?;
    Ok(Request { model, input, dimensions, encoding, user, extras: fields.rest() })
}

fn input(value: Value) -> Result<Input, Malformed> {
    let items = match value {
        Value::String(text) => vec![Value::String(text)],
        Value::Array(items) => items,
        other => {
            let problem = format!("must be a string or an array, not {}", wire::kind(&other));
            return Err(Malformed::new("input", problem));
        }
    };
    match items.first() {
        None => Err(Malformed::new("input", "must not be empty")),
        Some(Value::String(_)) => {
            let texts = items.into_iter().enumerate().map(|(i, item)| match item {
                Value::String(text) if !text.is_empty() => Ok(text),
                Value::String(_) => Err(Malformed::new(format!("input[{i}]"), "must not be empty")),
                other => Err(not_like_the_first(i, "a string", &other)),
            });
            texts.collect::<Result<_, _>>().map(Input::Texts)
        }
        Some(Value::Array(_)) => {
            let texts = items.into_iter().enumerate().map(|(i, item)| match item {
                Value::Array(tokens) if tokens.is_empty() => {
                    Err(Malformed::new(format!("input[{i}]"), "must not be empty"))
                }
                Value::Array(tokens) => self::tokens(&tokens, &format!("input[{i}]")),
                other => Err(not_like_the_first(i, "an array of tokens", &other)),
            });
            texts.collect::<Result<_, _>>().map(Input::Tokens)
        }
        Some(_) => Ok(Input::Tokens(vec![tokens(&items, "input")?])),
    }
}

fn not_like_the_first(i: usize, wanted: &str, found: &Value) -> Malformed {
    Malformed::new(format!("input[{i}]"), format!("must be {wanted} like the first, not {}", wire::kind(found)))
}

fn tokens(items: &[Value], at: &str) -> Result<Vec<u64>, Malformed> {
    let token = |(i, item): (usize, &Value)| {
        item.as_u64().ok_or_else(|| Malformed::new(format!("{at}[{i}]"), "must be a token, a whole number from 0"))
    };
    items.iter().enumerate().map(token).collect()
}

/// Writes a request as a batch for Gemini.
pub fn encode_gemini(request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    let mut losses = Losses::new(target.strict);
    let texts = match &request.input {
        Input::Texts(texts) => texts,
        Input::Tokens(_) => {
            let why = "this model's tokenizer is another one: send text instead of tokens";
            return losses.refuse("input", why);
        }
    };
    if request.user.is_some() {
        losses.drop("user")?;
    }
    losses.drop_extras(request.extras.keys())?;
    let model = gemini::resource(target.model);
    let one = |text: &String| {
        let mut one = Map::new();
        put(&mut one, "model", Some(model.as_str()));
        put(&mut one, "content", Some(json!({"parts": [{"text": text}]})));
        put(&mut one, "outputDimensionality", request.dimensions);
        Value::Object(one)
    };
    let body = json!({"requests": texts.iter().map(one).collect::<Vec<_>>()});
    Ok(Encoded { body: body.to_string().into_bytes(), dropped: losses.into_names(), json_tool: None })
}

/// Turns Gemini's answer to `request` into OpenAI's. `model` is the name to put into it.
pub fn translate_gemini(body: &[u8], request: &Request, model: &str) -> Result<Answer, BadCompletion> {
    let mut batch = Batch { encoding: request.encoding, ..Batch::default() };
    batch.out.reserve(body.len());
    batch.out.extend_from_slice(br#"{"object":"list","data":["#);
    batch.read(body).map_err(BadCompletion::Json)?;
    if batch.failed {
        return Err(BadCompletion::Error(Box::new(gemini::parse_error(None, body))));
    }
    if !batch.answered {
        return Err(BadCompletion::NoChoices);
    }
    if let Some(problem) = batch.odd {
        return Err(BadCompletion::Malformed(Malformed::new("embeddings", problem)));
    }
    let wanted = request.input.count();
    if batch.vectors != wanted {
        let problem = format!("{} vectors for {wanted} texts", batch.vectors);
        return Err(BadCompletion::Malformed(Malformed::new("embeddings", problem)));
    }
    let tokens = batch.tokens.or(batch.counted);
    let mut out = batch.out;
    out.extend_from_slice(br#"],"model":"#);
    json::quote_into(model, &mut out);
    let n = tokens.unwrap_or(0);
    out.extend_from_slice(format!(r#","usage":{{"prompt_tokens":{n},"total_tokens":{n}}}}}"#).as_bytes());
    let usage = tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() });
    Ok(Answer { body: out, facts: Facts { vectors: batch.vectors, usage } })
}

/// Gemini's answer on its way.
#[derive(Default)]
struct Batch {
    encoding: Encoding,
    out: Vec<u8>,
    /// Bytes of the vector at hand.
    floats: Vec<u8>,
    vectors: usize,
    answered: bool,
    failed: bool,
    odd: Option<&'static str>,
    /// Tokens of the whole, as `usageMetadata` says.
    tokens: Option<u64>,
    /// The same, summed up from what is said of each vector.
    counted: Option<u64>,
}

impl Batch {
    fn read(&mut self, body: &[u8]) -> Result<(), json::Error> {
        let mut c = Cursor::new(body)?;
        if c.kind()? == Kind::Array {
            // Errors come in a list as well.
            self.failed = true;
            return c.skip();
        }
        c.object(|c, key| match key.name {
            b"embeddings" if c.kind()? == Kind::Array => {
                self.answered = true;
                c.array(|c| self.embedding(c)).map(drop)
            }
            b"embedding" if c.kind()? == Kind::Object => {
                self.answered = true;
                self.embedding(c)
            }
            b"usageMetadata" if c.kind()? == Kind::Object => c
                .object(|c, key| match key.name {
                    b"promptTokenCount" => {
                        self.tokens = count(c)?;
                        Ok(())
                    }
                    _ => c.skip(),
                })
                .map(drop),
            b"error" => {
                self.failed |= !c.null_if_next()?;
                if self.failed { c.skip() } else { Ok(()) }
            }
            _ => c.skip(),
        })?;
        c.finish()
    }

    fn embedding(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        if c.kind()? != Kind::Object {
            self.odd = Some("an embedding that is no object");
            return c.skip();
        }
        let mut seen = false;
        c.object(|c, key| match key.name {
            b"values" if !seen && c.kind()? == Kind::Array => {
                seen = true;
                self.values(c)
            }
            b"statistics" if c.kind()? == Kind::Object => c
                .object(|c, key| match key.name {
                    b"tokenCount" => {
                        self.counted = count(c)?.map(|n| n.saturating_add(self.counted.unwrap_or(0))).or(self.counted);
                        Ok(())
                    }
                    _ => c.skip(),
                })
                .map(drop),
            _ => c.skip(),
        })?;
        if !seen {
            self.odd = Some("an embedding without values");
        }
        Ok(())
    }

    fn values(&mut self, c: &mut Cursor<'_>) -> Result<(), json::Error> {
        if self.vectors > 0 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(br#"{"object":"embedding","index":"#);
        self.out.extend_from_slice(self.vectors.to_string().as_bytes());
        self.out.extend_from_slice(br#","embedding":"#);
        self.vectors += 1;
        let floats = self.encoding == Encoding::Float;
        self.floats.clear();
        let mut any = false;
        c.array(|c| {
            if c.kind()? != Kind::Number {
                self.odd = Some("a value that is no number");
                return c.skip();
            }
            let digits = c.number()?;
            if floats {
                self.out.push(if any { b',' } else { b'[' });
                self.out.extend_from_slice(digits);
            } else {
                match std::str::from_utf8(digits).ok().and_then(|d| d.parse::<f32>().ok()).filter(|f| f.is_finite()) {
                    Some(value) => self.floats.extend_from_slice(&value.to_le_bytes()),
                    None => self.odd = Some("a value that is no 32-bit float"),
                }
            }
            any = true;
            Ok(())
        })?;
        if !any {
            self.odd = Some("an embedding without values");
        }
        if floats {
            self.out.extend_from_slice(b"]}");
        } else {
            self.out.push(b'"');
            self.out.extend_from_slice(STANDARD.encode(&self.floats).as_bytes());
            self.out.extend_from_slice(b"\"}");
        }
        Ok(())
    }
}

/// A count, which may be written as a float; anything else is skipped.
fn count(c: &mut Cursor<'_>) -> Result<Option<u64>, json::Error> {
    if c.kind()? != Kind::Number {
        return c.skip().map(|()| None);
    }
    let digits = std::str::from_utf8(c.number()?).ok();
    let float = |d: &str| d.parse::<f64>().ok().filter(|f| *f >= 0.0).map(|f| f as u64);
    Ok(digits.and_then(|d| d.parse().ok().or_else(|| float(d))))
}

/// Inspects an OpenAI answer that passes as it is.
pub fn inspect_answer(body: &[u8]) -> Result<Facts, BadCompletion> {
    let mut facts = Facts::default();
    let (mut failed, mut answered, mut empty) = (false, false, false);
    let mut read = || -> Result<(), json::Error> {
        let mut c = Cursor::new(body)?;
        c.object(|c, key| match key.name {
            b"data" if c.kind()? == Kind::Array => {
                answered = true;
                c.array(|c| {
                    facts.vectors += 1;
                    vector(c, &mut empty)
                })
                .map(drop)
            }
            b"usage" if c.kind()? == Kind::Object => {
                facts.usage = usage(c)?.or(facts.usage);
                Ok(())
            }
            b"error" => {
                let value = c.value()?;
                failed |= !matches!(&c.source()[value], b"null" | b"false" | b"\"\"");
                Ok(())
            }
            b"object" => {
                failed |= c.string_or_skip()?.is_some_and(|s| s.raw == b"error");
                Ok(())
            }
            _ => c.skip(),
        })?;
        c.finish()
    };
    read().map_err(BadCompletion::Json)?;
    if failed {
        return Err(BadCompletion::Error(Box::new(openai::parse_error(None, body))));
    }
    if !answered || facts.vectors == 0 {
        return Err(BadCompletion::NoChoices);
    }
    if empty {
        return Err(BadCompletion::Malformed(Malformed::new("data[].embedding", "a vector that is missing or empty")));
    }
    Ok(facts)
}

/// Looks whether an entry of `data` holds a vector.
fn vector(c: &mut Cursor<'_>, empty: &mut bool) -> Result<(), json::Error> {
    let mut there = false;
    if c.kind()? != Kind::Object {
        *empty = true;
        return c.skip();
    }
    c.object(|c, key| match key.name {
        b"embedding" => match c.kind()? {
            Kind::String => {
                there |= !c.string()?.raw.is_empty();
                Ok(())
            }
            Kind::Array => c
                .array(|c| {
                    there = true;
                    c.skip()
                })
                .map(drop),
            _ => c.skip(),
        },
        _ => c.skip(),
    })?;
    *empty |= !there;
    Ok(())
}

fn usage(c: &mut Cursor<'_>) -> Result<Option<Usage>, json::Error> {
    let (mut prompt, mut total) = (None, None);
    c.object(|c, key| match key.name {
        b"prompt_tokens" => {
            prompt = count(c)?;
            Ok(())
        }
        b"total_tokens" => {
            total = count(c)?;
            Ok(())
        }
        _ => c.skip(),
    })?;
    Ok(prompt.or(total).map(|input_tokens| Usage { input_tokens, ..Usage::default() }))
}

#[cfg(test)]
mod tests;

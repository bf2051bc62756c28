//! Whole answers, in and out.

use serde_json::{Map, Value, json};

use super::error::parse_error;
use super::shared::{
    HOME, Reasoning, Signs, annotation, carry, citation, logprob_value, logprobs, reasoning_item, usage,
};
use super::shell::{Status, item_id, settle, shell};
use super::write::json as write_json;
use crate::chat::{
    Choice, Content, Extras, Finish, FinishReason, Media, MediaKind, Part, Response, Source, TokenLogprob, ToolCall,
};
use crate::dialect::wire::{Fields, Malformed};
use crate::dialect::{BadCompletion, ReplyContext};

/// Reads a whole answer.
pub fn decode_response(body: &[u8]) -> Result<Response, BadCompletion> {
    let mut f = Fields::parse(body).map_err(BadCompletion::Malformed)?;
    let failed = matches!(f.peek("status").and_then(Value::as_str), Some("failed" | "cancelled"));
    if f.take("error").is_some() || failed {
        return Err(BadCompletion::Error(Box::new(parse_error(None, body))));
    }
    if !f.peek("output").is_some_and(Value::is_array) {
        return Err(BadCompletion::NoChoices);
    }
    decode_answer(f).map_err(BadCompletion::Malformed)
}

fn decode_answer(mut f: Fields) -> Result<Response, Malformed> {
    let status = f.string("status")?;
    let mut choice = Choice::default();
    for item in f.objects("output")? {
        decode_item(item, &mut choice)?;
    }
    let reason = f.take("incomplete_details");
    choice.finish = finish(status.as_deref(), reason.as_ref(), calls(&choice.parts)).map(Finish::from);
    f.take("object");
    let created = f.number("created_at")?.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)));
    Ok(Response {
        origin: HOME,
        id: f.string("id")?.unwrap_or_default(),
        model: f.string("model")?.unwrap_or_default(),
        created,
        choices: vec![choice],
        usage: f.take("usage").as_ref().and_then(usage),
        extras: f.rest(),
    })
}

fn calls(parts: &[Part]) -> bool {
    parts.iter().any(|p| matches!(p.content, Content::ToolCall(_)))
}

/// Why the model stopped, from the answer's status; `None` while it has not. A refusal is an answer like any other here.
pub(super) fn finish(status: Option<&str>, details: Option<&Value>, calls: bool) -> Option<FinishReason> {
    let reason = details.and_then(|d| d.get("reason")).and_then(Value::as_str);
    Some(match (status, reason) {
        (_, Some("max_output_tokens" | "max_tokens")) => FinishReason::Length,
        (_, Some("content_filter")) => FinishReason::ContentFilter,
        (Some("in_progress" | "queued"), _) => return None,
        // Cut short, and nearly always by its cap: never a clean stop.
        (Some("incomplete"), _) => FinishReason::Length,
        _ if calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    })
}

/// Reads an item of `output`.
fn decode_item(mut item: Fields, choice: &mut Choice) -> Result<(), Malformed> {
    match item.peek("type").and_then(Value::as_str) {
        Some("message") => return decode_message(item, choice),
        Some("reasoning") => choice.parts.push(decode_reasoning(item)?),
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            let custom = kind == "custom_tool_call";
            let call = decode_call(&mut item, custom)?;
            choice.parts.push(Part { extras: rest(item), ..Content::ToolCall(call).into() });
        }
        Some("image_generation_call") if item.peek("result").is_some_and(Value::is_string) => {
            let media = picture(&mut item)?;
            choice.parts.push(Part { extras: rest(item), ..Content::Media(media).into() });
        }
        Some(_) => choice.parts.push(Content::Native(item.into_value()).into()),
        None => return Err(item.wrong("type", "is required, as a string")),
    }
    Ok(())
}

/// What else stands in an item: its id among it, which an answer to a client of this dialect keeps.
fn rest(mut item: Fields) -> Extras {
    item.take("type");
    item.take("status");
    let mut extras = item.rest();
    extras.retain(|_, v| !v.is_null());
    extras
}

fn decode_message(mut item: Fields, choice: &mut Choice) -> Result<(), Malformed> {
    let first = choice.parts.len();
    let mut said = characters(&choice.parts);
    for mut part in item.objects("content")? {
        let content = match part.required_string("type")?.as_str() {
            "output_text" | "text" => {
                choice.logprobs.extend(part.take("logprobs").as_ref().map(logprobs).unwrap_or_default());
                let annotations = part.array("annotations")?.unwrap_or_default();
                let citations = annotations.into_iter().map(|a| citation(a, said)).collect();
                let text = part.required_string("text")?;
                said += text.chars().count() as u64;
                Content::Text { text, citations }
            }
            "refusal" => Content::Refusal(part.required_string("refusal")?),
            _ => continue,
        };
        choice.parts.push(content.into());
    }
    item.take("role");
    if let Some(part) = choice.parts.get_mut(first) {
        part.extras = rest(item);
    }
    Ok(())
}

/// How much of an answer's text stands in these parts.
fn characters(parts: &[Part]) -> u64 {
    let texts = parts.iter().filter_map(|p| match &p.content {
        Content::Text { text, .. } => Some(text.chars().count() as u64),
        _ => None,
    });
    texts.sum()
}

fn decode_reasoning(mut item: Fields) -> Result<Part, Malformed> {
    let reasoning = Reasoning::take(&mut item)?;
    let redacted = reasoning.redacted();
    let Reasoning { text, summary, id, signature } = reasoning;
    let mut extras = rest(item);
    if let (None, Some(id)) = (&signature, id) {
        extras.insert("id".into(), id.into());
    }
    let content = Content::Reasoning { text, summary, redacted };
    Ok(Part { signature: signature.map(|(s, _)| s), extras, ..content.into() })
}

/// Reads the members of a call; some hosts name it by its item's id alone.
pub(super) fn decode_call(item: &mut Fields, custom: bool) -> Result<ToolCall, Malformed> {
    let id = item.string("call_id")?.filter(|id| !id.is_empty());
    let id = match id {
        Some(id) => id,
        None => item.required_string("id").map_err(|_| item.wrong("call_id", "is required"))?,
    };
    let name = item.required_string("name")?;
    if id.is_empty() || name.is_empty() {
        return Err(item.wrong(if id.is_empty() { "call_id" } else { "name" }, "must not be empty"));
    }
    let arguments = item.string(if custom { "input" } else { "arguments" })?.unwrap_or_default();
    Ok(ToolCall { id, name, arguments, custom })
}

/// Reads the picture of an `image_generation_call`.
pub(super) fn picture(item: &mut Fields) -> Result<Media, Malformed> {
    let base64 = item.required_string("result")?;
    let format = item.string("output_format")?;
    let mime = match format.as_deref() {
        None => "image/png".to_owned(),
        Some("svg") => "image/svg+xml".to_owned(),
        Some(format) => format!("image/{format}"),
    };
    Ok(Media { kind: MediaKind::Image, source: Source::Data { mime, base64 }, name: None, detail: None })
}

/// An `image_generation_call` without its id; `None` for what is no inline picture.
pub(super) fn picture_item(media: &Media) -> Option<Map<String, Value>> {
    let (MediaKind::Image, Source::Data { mime, base64 }) = (media.kind, &media.source) else { return None };
    let format = mime.strip_prefix("image/").unwrap_or(mime);
    let format = if format == "svg+xml" { "svg" } else { format };
    let mut item = Map::new();
    item.insert("type".into(), "image_generation_call".into());
    item.insert("status".into(), "completed".into());
    item.insert("output_format".into(), format.into());
    item.insert("result".into(), base64.as_str().into());
    Some(item)
}

/// Writes a whole answer.
pub fn encode_response(response: &Response, context: &ReplyContext) -> Vec<u8> {
    let mut body = shell(context, response.created, &response.model);
    let home = response.origin == HOME;
    let choice = response.choices.first();
    let status = Status::of(choice.and_then(|c| c.finish.as_ref()));
    settle(&mut body, status, response.usage.as_ref());
    let output = choice.map(|choice| Output::write(choice, home, status, context)).unwrap_or_default();
    body.insert("output".into(), output.into());
    if home {
        if !response.id.is_empty() {
            body.insert("id".into(), response.id.as_str().into());
        }
        body.extend(response.extras.clone());
    }
    let mut out = Vec::with_capacity(1024);
    write_json(&body.into(), &mut out);
    out
}

/// The items of one answer in the making.
struct Output<'a> {
    home: bool,
    status: Status,
    context: &'a ReplyContext,
    items: Vec<Value>,
    /// Parts of the message that is open, and what else it holds.
    content: Vec<Value>,
    extras: Extras,
    /// Likelihoods that no text has taken yet.
    logprobs: &'a [TokenLogprob],
    /// Characters of text so far.
    said: u64,
}

impl<'a> Output<'a> {
    fn write(choice: &'a Choice, home: bool, status: Status, context: &'a ReplyContext) -> Vec<Value> {
        let mut output = Self {
            home,
            status,
            context,
            items: Vec::with_capacity(choice.parts.len()),
            content: Vec::new(),
            extras: Extras::new(),
            logprobs: &choice.logprobs,
            said: 0,
        };
        let last = choice.parts.iter().rposition(|p| matches!(p.content, Content::Text { .. }));
        for (i, part) in choice.parts.iter().enumerate() {
            output.part(part, Some(i) == last);
        }
        output.close_message();
        output.items
    }

    fn part(&mut self, part: &Part, last_text: bool) {
        let spoken = match &part.content {
            Content::Text { text, citations } => {
                let length = text.chars().count() as u64;
                let annotations = citations.iter().filter_map(|c| annotation(c, self.said, (0, length)));
                let annotations: Vec<_> = annotations.collect();
                self.said += length;
                let logprobs = self.take_logprobs(text.len(), last_text);
                json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs})
            }
            Content::Refusal(text) => json!({"type": "refusal", "refusal": text}),
            _ => {
                self.close_message();
                return self.item(part);
            }
        };
        if self.home && !part.extras.is_empty() {
            self.close_message();
            self.extras.clone_from(&part.extras);
        }
        self.content.push(spoken);
        if let Some(signature) = &part.signature {
            self.close_message();
            self.push("rs", reasoning_item("", false, Some(carry(signature, Signs::Thoughts))), None);
        }
    }

    /// A part that is an item of its own.
    fn item(&mut self, part: &Part) {
        match &part.content {
            Content::Reasoning { text, summary, redacted } => {
                let signs = if *redacted { Signs::Redacted } else { Signs::Thoughts };
                let token = part.signature.as_ref().map(|s| carry(s, signs));
                let raw = self.home && !summary && !text.is_empty();
                let mut item = reasoning_item(text, raw, token);
                let id = part.signature.as_ref().filter(|s| s.dialect == HOME).and_then(|s| s.id.as_deref());
                if let Some(id) = id {
                    item.insert("id".into(), id.into());
                }
                self.push("rs", item, Some(part));
            }
            Content::ToolCall(call) => {
                if let Some(signature) = &part.signature {
                    self.push("rs", reasoning_item("", false, Some(carry(signature, Signs::Call))), None);
                }
                let (prefix, kind, input) = call_form(call.custom);
                let mut item = Map::new();
                item.insert("type".into(), kind.into());
                item.insert("status".into(), self.status.name().into());
                item.insert("call_id".into(), call.id.as_str().into());
                item.insert("name".into(), call.name.as_str().into());
                item.insert(input.into(), call.arguments.as_str().into());
                self.push(prefix, item, Some(part));
            }
            Content::Media(media) => {
                if let Some(item) = picture_item(media) {
                    self.push("ig", item, Some(part));
                }
            }
            Content::Native(native) if self.home => self.items.push(native.clone()),
            // A block of another provider's has no form here.
            _ => {}
        }
    }

    fn push(&mut self, prefix: &str, mut item: Map<String, Value>, part: Option<&Part>) {
        if let Some(part) = part.filter(|_| self.home) {
            item.extend(part.extras.clone());
        }
        let id = item.shift_remove("id").unwrap_or_else(|| item_id(prefix, self.context, self.items.len()).into());
        item.shift_insert(0, "id".into(), id);
        self.items.push(item.into());
    }

    fn close_message(&mut self) {
        if self.content.is_empty() {
            return;
        }
        let mut item = Map::new();
        item.insert("type".into(), "message".into());
        item.insert("status".into(), self.status.name().into());
        item.insert("role".into(), "assistant".into());
        item.insert("content".into(), std::mem::take(&mut self.content).into());
        item.extend(std::mem::take(&mut self.extras));
        self.push("msg", item, None);
    }

    /// The likelihoods of a text of this length: as many tokens as fill it; of the last text, all that are left.
    fn take_logprobs(&mut self, length: usize, last: bool) -> Vec<Value> {
        let mut filled = 0;
        let mut count = 0;
        while count < self.logprobs.len() && (last || filled < length) {
            filled += self.logprobs[count].token.len();
            count += 1;
        }
        let (taken, left) = self.logprobs.split_at(count);
        self.logprobs = left;
        taken.iter().map(logprob_value).collect()
    }
}

/// Prefix of the id, type and name of the argument member of a call's item.
pub(super) const fn call_form(custom: bool) -> (&'static str, &'static str, &'static str) {
    if custom { ("ctc", "custom_tool_call", "input") } else { ("fc", "function_call", "arguments") }
}

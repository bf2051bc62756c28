//! From a client's body to the one that is forwarded: a few byte ranges replaced, the rest copied once, byte for byte.
//! It decides nothing: which model, whether to ask for usage and which cap apply come in as arguments.

use std::ops::Range;

use bytes::Bytes;

use crate::json;
use crate::scan::Scan;

/// One replacement: `text` in place of `range`. An empty range inserts before it, an empty text cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the original that go.
    pub range: Range<usize>,
    /// What comes instead.
    pub text: Vec<u8>,
}

/// What the forwarded body must say.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// Have a stream end with its usage (without effect on a request that does not stream).
    pub usage: bool,
    /// The most output tokens that may be asked for, where there is a limit.
    pub cap: Option<OutputCap>,
}

/// A limit on output tokens to write into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCap {
    /// The limit.
    pub tokens: u32,
    /// Which field says it where the client's body has none: a property of the provider.
    pub field: CapField,
}

/// The names of the cap. In chat OpenAI's reasoning models refuse the old one and many look-alikes ignore the new one;
/// the Responses API has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapField {
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
    /// `max_output_tokens`
    MaxOutputTokens,
}

impl CapField {
    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
        }
    }
}

impl Scan {
    /// Whether the client asked for usage in the stream.
    pub fn usage_asked(&self) -> bool {
        matches!(self.include_usage, Some((true, _)))
    }

    /// What to change in `body`, which must be the body that was scanned.
    pub fn upstream_edits(&self, body: &[u8], forward: &Forward<'_>) -> Vec<Edit> {
        let mut edits = Vec::with_capacity(4);
        let mut members = Vec::new();
        let mut model = Vec::with_capacity(forward.model.len() + 2);
        json::quote_into(forward.model, &mut model);
        match &self.model {
            Some(range) if body.get(range.clone()) == Some(&*model) => {}
            Some(range) => edits.push(Edit { range: range.clone(), text: model }),
            None => push_member(&mut members, "model", &model),
        }
        if let Some(range) = &self.waypost_member {
            edits.push(Edit { range: range.clone(), text: Vec::new() });
        }
        if forward.usage && matches!(self.stream, Some((true, _))) && !self.usage_asked() {
            self.ask_usage(&mut edits, &mut members);
        }
        if let Some(cap) = forward.cap {
            self.cap_output(body, cap, &mut edits, &mut members);
        }
        if !members.is_empty() {
            if self.has_members {
                members.insert(0, b',');
            }
            edits.push(Edit { range: self.end..self.end, text: members });
        }
        edits
    }

    /// The body to forward: the same bytes where nothing changes, else a new buffer.
    pub fn upstream_body(&self, body: &Bytes, forward: &Forward<'_>) -> Bytes {
        let mut edits = self.upstream_edits(body, forward);
        if edits.is_empty() { body.clone() } else { splice(body, &mut edits).into() }
    }

    fn ask_usage(&self, edits: &mut Vec<Edit>, members: &mut Vec<u8>) {
        let edit = match (&self.include_usage, &self.stream_options) {
            (Some((_, value)), _) => Edit { range: value.clone(), text: b"true".to_vec() },
            (None, None) => return push_member(members, "stream_options", br#"{"include_usage":true}"#),
            (None, Some(options)) if self.stream_options_members => {
                let inside = options.start + 1;
                Edit { range: inside..inside, text: br#""include_usage":true,"#.to_vec() }
            }
            // Null or an empty object.
            (None, Some(options)) => Edit { range: options.clone(), text: br#"{"include_usage":true}"#.to_vec() },
        };
        edits.push(edit);
    }

    /// Lowers every cap of the client that is above the limit; adds one where it has none. One that stands only under
    /// the newer name goes under the older one where that is the provider's: who does not know the newer one ignores it.
    fn cap_output(&self, body: &[u8], cap: OutputCap, edits: &mut Vec<Edit>, members: &mut Vec<u8>) {
        let number = || cap.tokens.to_string().into_bytes();
        let fields = [
            (CapField::MaxTokens, &self.max_tokens),
            (CapField::MaxCompletionTokens, &self.max_completion_tokens),
            (CapField::MaxOutputTokens, &self.max_output_tokens_field),
        ];
        for (_, given) in &fields {
            if let Some((Some(tokens), range)) = given
                && *tokens > cap.tokens
            {
                edits.push(Edit { range: range.clone(), text: number() });
            }
        }
        if self.max_output_tokens.is_some() {
            if let (CapField::MaxTokens, Some((Some(newer), value))) = (cap.field, &self.max_completion_tokens) {
                match &self.max_tokens {
                    Some((None, null)) => {
                        edits.push(Edit { range: null.clone(), text: cap.tokens.min(*newer).to_string().into() });
                    }
                    Some(_) => {}
                    None => edits.extend(
                        name_before(body, value.start).map(|range| Edit { range, text: cap.field.name().into() }),
                    ),
                }
            }
            return;
        }
        let null = fields.iter().find(|(field, _)| *field == cap.field).and_then(|(_, given)| given.as_ref());
        match null {
            Some((_, range)) => edits.push(Edit { range: range.clone(), text: number() }),
            None => push_member(members, cap.field.name(), &number()),
        }
    }
}

/// Where the name of the member stands, without its quotes, whose value begins at `value`. The name holds no quote.
fn name_before(body: &[u8], value: usize) -> Option<Range<usize>> {
    let quote = |upto: usize| body.get(..upto)?.iter().rposition(|b| *b == b'"');
    let end = quote(value)?;
    Some(quote(end)? + 1..end)
}

fn push_member(members: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !members.is_empty() {
        members.push(b',');
    }
    json::quote_into(name, members);
    members.push(b':');
    members.extend_from_slice(value);
}

/// `body` with the edits applied, in one allocation. The edits, which this sorts, must lie in the body and not overlap;
/// what does is held to the place where the last one ended.
pub fn splice(body: &[u8], edits: &mut [Edit]) -> Vec<u8> {
    edits.sort_by_key(|e| e.range.start);
    let added: usize = edits.iter().map(|e| e.text.len()).sum();
    let cut: usize = edits.iter().map(|e| e.range.len()).sum();
    let mut out = Vec::with_capacity((body.len() + added).saturating_sub(cut));
    let mut at = 0;
    for edit in edits {
        let start = edit.range.start.clamp(at, body.len());
        out.extend_from_slice(&body[at..start]);
        out.extend_from_slice(&edit.text);
        at = edit.range.end.clamp(start, body.len());
    }
    out.extend_from_slice(&body[at..]);
    out
}

#[cfg(test)]
mod tests;

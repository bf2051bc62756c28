//! What is open in a stream on its way to a client, and the JSON of items and parts. Texts in it are escaped already.

use super::write::{pair, quoted};

/// The message that is open.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) item: usize,
    pub(super) id: String,
    /// Complete parts as JSON, comma after comma.
    pub(super) parts: Vec<u8>,
    pub(super) count: u64,
    pub(super) part: Option<Part>,
}

/// The part that is open.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) refusal: bool,
    /// Item and indices, as every event of the part names them.
    pub(super) address: Vec<u8>,
    /// Escaped.
    pub(super) text: Vec<u8>,
    pub(super) characters: u64,
    /// The text that the last source was cited for.
    pub(super) cited: (u64, u64),
    pub(super) annotations: Vec<u8>,
    pub(super) annotated: u64,
    pub(super) logprobs: Vec<u8>,
}

/// The reasoning that is open: always as a summary, which is what clients show.
#[derive(Debug)]
pub(super) struct Thoughts {
    pub(super) item: usize,
    pub(super) id: String,
    pub(super) address: Vec<u8>,
    pub(super) text: Vec<u8>,
}

/// A call that is open.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) index: u32,
    pub(super) item: usize,
    pub(super) custom: bool,
    pub(super) address: Vec<u8>,
    /// The item's members up to the arguments' opening quote, without its status.
    pub(super) head: Vec<u8>,
    pub(super) arguments: Vec<u8>,
}

impl Part {
    /// The text that a source without a place of its own is cited for: what was said since the last one.
    pub(super) fn cite(&mut self) -> (u64, u64) {
        if self.cited.1 < self.characters {
            self.cited = (self.cited.1, self.characters);
        }
        self.cited
    }

    /// The part as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.refusal {
            out.extend_from_slice(b"{\"type\":\"refusal\",\"refusal\":\"");
            out.extend_from_slice(&self.text);
            out.extend_from_slice(b"\"}");
            return;
        }
        out.extend_from_slice(b"{\"type\":\"output_text\",\"text\":\"");
        out.extend_from_slice(&self.text);
        out.extend_from_slice(b"\",\"annotations\":[");
        out.extend_from_slice(&self.annotations);
        out.extend_from_slice(b"],\"logprobs\":[");
        out.extend_from_slice(&self.logprobs);
        out.extend_from_slice(b"]}");
    }
}

pub(super) fn write_message(id: &str, status: &str, parts: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    quoted(id, out);
    out.extend_from_slice(b",\"type\":\"message\",\"status\":");
    quoted(status, out);
    out.extend_from_slice(b",\"role\":\"assistant\",\"content\":[");
    out.extend_from_slice(parts);
    out.extend_from_slice(b"]}");
}

/// A reasoning item; `text` is escaped.
pub(super) fn write_thoughts(id: &str, text: Option<&[u8]>, token: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    quoted(id, out);
    out.extend_from_slice(b",\"type\":\"reasoning\",\"summary\":[");
    if let Some(text) = text {
        out.extend_from_slice(b"{\"type\":\"summary_text\",\"text\":\"");
        out.extend_from_slice(text);
        out.extend_from_slice(b"\"}");
    }
    out.push(b']');
    if let Some(token) = token {
        pair("encrypted_content", token, out);
    }
    out.push(b'}');
}

/// A call's item from its head; `arguments` are escaped.
pub(super) fn write_call(head: &[u8], arguments: &[u8], status: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend_from_slice(arguments);
    out.push(b'"');
    pair("status", status, out);
    out.push(b'}');
}

pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n\n");
}

pub(super) fn separate(list: &mut Vec<u8>) {
    if !list.is_empty() {
        list.push(b',');
    }
}

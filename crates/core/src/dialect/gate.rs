//! The gate that a stream passes on its way to the client: it holds the preamble until the model's first real output,
//! and knows at the end whether the stream really ended.
//!
//! Until then nothing was promised to the client, so an error, an empty stream or a cut can still become another attempt.
//! Afterwards the bytes pass as they came, whole events only, so that an error event of ours never lands inside one of
//! theirs; where client and provider speak different dialects, what passes is each event's translation. It opens no
//! connection, keeps no time and writes no error event: its caller does.

use bytes::Bytes;

use super::sse::{Event, Oversized, Piece, Splitter};
use super::translate::Translation;
use super::{ChunkFacts, EventFault, FinishReason, Malformed, ReplyContext, UpstreamError, inspect_event, openai};
use crate::json;
use crate::registry::{Dialect, Usage};

/// The most bytes of preamble that are held.
pub const MAX_PREAMBLE: usize = 256 << 10;

/// How far the gate is open after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No real output yet; nothing may go to the client.
    Holding,
    /// This chunk brought the first real output: commit, then send what was put out.
    Committed,
    /// Committed before; send what was put out.
    Passing,
}

/// Why a stream is no good answer. Before commitment each is a failed attempt; afterwards the client must see an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// The provider reported an error inside the stream.
    Error(Box<UpstreamError>),
    /// An event's data are not JSON.
    Malformed(json::Error),
    /// An event's data are not the dialect's.
    Unexpected(Malformed),
    /// One event, or the preamble, is larger than allowed.
    Oversized,
    /// It ended without a single event of data.
    Empty,
    /// It ended as it should, but the model said nothing.
    EmptyAnswer,
    /// It ended in the middle: no end marker, and not every choice had finished.
    Cut,
}

impl From<Oversized> for StreamFault {
    fn from(_: Oversized) -> Self {
        Self::Oversized
    }
}

impl From<EventFault> for StreamFault {
    fn from(fault: EventFault) -> Self {
        match fault {
            EventFault::Error(error) => Self::Error(error),
            EventFault::Malformed(malformed) => Self::Unexpected(malformed),
        }
    }
}

/// What has passed so far: all that is known of an interrupted stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events with data.
    pub events: u64,
    /// There was real output.
    pub output: bool,
    /// Bytes of text, decoded.
    pub text_bytes: u64,
    /// The last usage given.
    pub usage: Option<Usage>,
    /// The last reason given for stopping.
    pub finish: Option<FinishReason>,
    /// The end marker came.
    pub done: bool,
    /// The answer began, in the dialects that say so.
    started: bool,
    choices: u64,
    finished: u64,
}

impl Tally {
    pub(super) fn add(&mut self, facts: &ChunkFacts) {
        self.output |= facts.output;
        self.text_bytes += facts.text_bytes;
        self.usage = facts.usage.or(self.usage);
        self.finish = facts.finish.or(self.finish);
        self.done |= facts.done;
        self.choices |= facts.choices;
        self.finished |= facts.finished;
    }

    /// A real end: the marker, or, in the dialects whose marker is often left out or does not exist, a finish of every
    /// choice that spoke.
    fn ended(&self, dialect: Dialect) -> bool {
        let strict = matches!(dialect, Dialect::Anthropic | Dialect::Responses);
        self.done || (!strict && self.finish.is_some() && self.finished == self.choices)
    }
}

/// What becomes of an event.
#[derive(Debug)]
enum Way {
    /// Client and provider speak the same.
    Pass,
    /// They do not.
    Translate(Box<Translation>),
}

/// The state of one stream.
#[derive(Debug)]
pub struct StreamGate {
    /// What the provider speaks.
    dialect: Dialect,
    way: Way,
    /// The client asked for usage: its event stays in.
    keep_usage: bool,
    splitter: Splitter,
    held: Vec<Bytes>,
    held_bytes: usize,
    committed: bool,
    tally: Tally,
}

impl StreamGate {
    /// For a stream that passes as it is. `keep_usage`: the client itself asked for the usage event (of OpenAI's chat).
    pub fn pass(dialect: Dialect, keep_usage: bool) -> Self {
        Self::new(dialect, Way::Pass, keep_usage)
    }

    /// For a stream that is translated from one dialect to another. `json_tool`: as [`super::Encoded`] says.
    pub fn translate(from: Dialect, to: Dialect, context: ReplyContext, json_tool: Option<String>) -> Self {
        Self::new(from, Way::Translate(Box::new(Translation::new(from, to, context, json_tool))), false)
    }

    fn new(dialect: Dialect, way: Way, keep_usage: bool) -> Self {
        Self {
            dialect,
            way,
            keep_usage,
            splitter: Splitter::default(),
            held: Vec::new(),
            held_bytes: 0,
            committed: false,
            tally: Tally::default(),
        }
    }

    /// What has passed so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether bytes may have gone to the client.
    pub fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whether the end marker came: the caller need not wait for the connection's end. What follows it is dropped.
    pub fn is_done(&self) -> bool {
        self.tally.done
    }

    /// Takes the next bytes from upstream and appends to `out` what may go to the client: complete events, in order,
    /// without the usage event that the client did not ask for. A chunk that passes whole is passed on itself. On a fault
    /// `out` holds what came before the faulty event, nothing if the gate was still closed. (Where it was closed before
    /// this call, the caller may drop `out` and try elsewhere even if the first output came in the same chunk.)
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<Progress, StreamFault> {
        let was_committed = self.committed;
        match self.way {
            Way::Pass => self.pass_chunk(chunk, out)?,
            Way::Translate(_) => self.translate_chunk(chunk, out)?,
        }
        Ok(match (was_committed, self.committed) {
            (true, _) => Progress::Passing,
            (false, true) => Progress::Committed,
            (false, false) => Progress::Holding,
        })
    }

    fn translate_chunk(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        let Way::Translate(translation) = &mut self.way else { return Ok(()) };
        let mut text = Vec::new();
        let result = translation.push(chunk, &mut self.tally, &mut text);
        self.committed |= self.tally.output;
        // Also without text of its own, output that the client's dialect has no word for lets out what was held.
        if !text.is_empty() || self.committed {
            self.put(text.into(), out)?;
        }
        result
    }

    fn pass_chunk(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        // `passed..at` is what may pass but was not put out yet: one slice for as long as nothing interrupts it.
        let (mut at, mut passed) = (0, 0);
        while !self.tally.done {
            let start = at;
            let piece = match self.splitter.next(chunk, &mut at) {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    at = start;
                    break;
                }
                Err(oversized) => {
                    self.emit(chunk, passed, start, out)?;
                    return Err(oversized.into());
                }
            };
            let keep = match self.judge(piece.bytes(chunk)) {
                Ok(keep) => keep,
                Err(fault) => {
                    self.emit(chunk, passed, start, out)?;
                    return Err(fault);
                }
            };
            match piece {
                Piece::Gathered(bytes) => {
                    if keep {
                        self.put(bytes, out)?;
                    }
                    passed = at;
                }
                Piece::Chunk(_) if keep => {}
                Piece::Chunk(_) => {
                    self.emit(chunk, passed, start, out)?;
                    passed = at;
                }
            }
        }
        self.emit(chunk, passed, at, out)
    }

    /// Takes note that upstream's body ended without an error. Appends to `out` what was left: a last event without its
    /// blank line, the held events of an answer that is empty for a reason (its filter, its cap), and the end marker where
    /// upstream omitted it. An error means that the stream did not really end, or said nothing.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<Tally, StreamFault> {
        match self.way {
            Way::Pass => self.pass_rest(out)?,
            Way::Translate(_) => self.translate_rest(out)?,
        }
        if self.tally.events == 0 {
            return Err(StreamFault::Empty);
        }
        if !self.tally.ended(self.dialect) {
            return Err(StreamFault::Cut);
        }
        if !self.tally.output && matches!(self.tally.finish, None | Some(FinishReason::Stop)) {
            return Err(StreamFault::EmptyAnswer);
        }
        self.release(out);
        Ok(self.tally)
    }

    fn pass_rest(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        let rest = self.splitter.finish();
        if self.tally.done || Event::parse(&rest).data.is_none() {
            return Ok(());
        }
        match self.judge(&rest) {
            Ok(true) => {
                let blank: &[u8] = if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" };
                self.put([&rest, blank].concat().into(), out)
            }
            Ok(false) => Ok(()),
            // A torn event is not a malformed one.
            Err(StreamFault::Malformed(_)) => Err(StreamFault::Cut),
            Err(fault) => Err(fault),
        }
    }

    fn translate_rest(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        let Way::Translate(translation) = &mut self.way else { return Ok(()) };
        let mut text = Vec::new();
        let result = translation.finish(&mut self.tally, &mut text);
        self.committed |= self.tally.output;
        // Also without text of its own, output that the client's dialect has no word for lets out what was held.
        if !text.is_empty() || self.committed {
            self.put(text.into(), out)?;
        }
        result
    }

    /// Opens the gate whatever came, and writes the end marker where upstream omitted it: also for an empty answer that
    /// is to be returned after all.
    pub fn release(&mut self, out: &mut Vec<Bytes>) {
        self.committed = true;
        out.append(&mut self.held);
        match &mut self.way {
            Way::Pass if !self.tally.done && self.dialect == Dialect::OpenAi => {
                out.push(Bytes::from_static(openai::DONE_EVENT));
            }
            Way::Pass => {}
            Way::Translate(translation) => {
                let mut text = Vec::new();
                translation.end(&mut text);
                if !text.is_empty() {
                    out.push(text.into());
                }
            }
        }
    }

    /// Reads one event into the tally; false where it is not for the client.
    fn judge(&mut self, raw: &[u8]) -> Result<bool, StreamFault> {
        let event = Event::parse(raw);
        let Some(data) = event.data else { return Ok(true) };
        let mut facts = inspect_event(self.dialect, event.name, &data).map_err(StreamFault::Malformed)?;
        self.tally.events += 1;
        if facts.start && std::mem::replace(&mut self.tally.started, true) {
            return Err(StreamFault::Unexpected(Malformed::new("", "the answer begins twice")));
        }
        if self.dialect == Dialect::Anthropic {
            // Its first event counts the input, its last one the output; each count only grows.
            facts.usage = facts.usage.map(|u| self.tally.usage.map_or(u, |before| u.max(before)));
        }
        self.tally.add(&facts);
        if let Some(error) = facts.error {
            return Err(StreamFault::Error(error));
        }
        self.committed |= facts.output;
        Ok(self.keep_usage || !facts.usage_only)
    }

    /// Puts out a part of the chunk, the chunk itself where it is the whole.
    fn emit(&mut self, chunk: &Bytes, from: usize, to: usize, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if from == to {
            return Ok(());
        }
        let whole = from == 0 && to == chunk.len();
        self.put(if whole { chunk.clone() } else { chunk.slice(from..to) }, out)
    }

    fn put(&mut self, bytes: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if self.committed {
            out.append(&mut self.held);
            if !bytes.is_empty() {
                out.push(bytes);
            }
            return Ok(());
        }
        self.held_bytes += bytes.len();
        if self.held_bytes > MAX_PREAMBLE {
            return Err(StreamFault::Oversized);
        }
        self.held.push(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

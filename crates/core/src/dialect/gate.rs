//! The gate that a stream passes on its way to the client: it holds the preamble until the model's first real output,
//! and knows at the end whether the stream really ended.
//!
//! Until then nothing was promised to the client, so an error, an empty stream or a cut can still become another attempt.
//! Afterwards the bytes pass as they came, whole events only, so that an error event of ours never lands inside one of
//! theirs. It opens no connection, keeps no time and writes no error event: its caller does.

use bytes::Bytes;

use super::sse::{Event, Oversized, Piece, Splitter};
use super::{ChunkFacts, FinishReason, UpstreamError, openai};
use crate::json;
use crate::registry::Usage;

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
    /// An event's data are not the dialect's.
    Malformed(json::Error),
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
    choices: u64,
    finished: u64,
}

impl Tally {
    fn add(&mut self, facts: &ChunkFacts) {
        self.output |= facts.output;
        self.text_bytes += facts.text_bytes;
        self.usage = facts.usage.or(self.usage);
        self.finish = facts.finish.or(self.finish);
        self.done |= facts.done;
        self.choices |= facts.choices;
        self.finished |= facts.finished;
    }

    /// A real end: the marker, or every choice that spoke has finished (many look-alikes omit the marker).
    fn ended(&self) -> bool {
        self.done || (self.finish.is_some() && self.finished == self.choices)
    }
}

/// The formats that it can read; the next ones become variants.
#[derive(Clone, Copy, Debug)]
enum Wire {
    OpenAi,
}

/// The state of one stream.
#[derive(Debug)]
pub struct StreamGate {
    wire: Wire,
    /// The client asked for usage: its event stays in.
    keep_usage: bool,
    splitter: Splitter,
    held: Vec<Bytes>,
    held_bytes: usize,
    committed: bool,
    tally: Tally,
}

impl StreamGate {
    /// For a stream in OpenAI's dialect. `keep_usage`: the client itself asked for the usage event.
    pub fn openai(keep_usage: bool) -> Self {
        Self {
            wire: Wire::OpenAi,
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
        self.emit(chunk, passed, at, out)?;
        Ok(match (was_committed, self.committed) {
            (true, _) => Progress::Passing,
            (false, true) => Progress::Committed,
            (false, false) => Progress::Holding,
        })
    }

    /// Takes note that upstream's body ended without an error. Appends to `out` what was left: a last event without its
    /// blank line, the held events of an answer that is empty for a reason (its filter, its cap), and the end marker where
    /// upstream omitted it. An error means that the stream did not really end, or said nothing.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<Tally, StreamFault> {
        let rest = self.splitter.finish();
        if !self.tally.done && Event::parse(&rest).data.is_some() {
            match self.judge(&rest) {
                Ok(true) => {
                    let blank: &[u8] = if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" };
                    self.put([&rest, blank].concat().into(), out)?;
                }
                Ok(false) => {}
                // A torn event is not a malformed one.
                Err(StreamFault::Malformed(_)) => return Err(StreamFault::Cut),
                Err(fault) => return Err(fault),
            }
        }
        if self.tally.events == 0 {
            return Err(StreamFault::Empty);
        }
        if !self.tally.ended() {
            return Err(StreamFault::Cut);
        }
        if !self.tally.output && matches!(self.tally.finish, None | Some(FinishReason::Stop)) {
            return Err(StreamFault::EmptyAnswer);
        }
        self.release(out);
        if !self.tally.done {
            out.push(Bytes::from_static(openai::DONE_EVENT));
        }
        Ok(self.tally)
    }

    /// Opens the gate whatever came: for an empty answer that is to be returned after all.
    pub fn release(&mut self, out: &mut Vec<Bytes>) {
        self.committed = true;
        out.append(&mut self.held);
    }

    /// Reads one event into the tally; false where it is not for the client.
    fn judge(&mut self, raw: &[u8]) -> Result<bool, StreamFault> {
        let event = Event::parse(raw);
        let Some(data) = event.data else { return Ok(true) };
        let facts = match self.wire {
            Wire::OpenAi => openai::inspect_event(event.name, &data),
        };
        let facts = facts.map_err(StreamFault::Malformed)?;
        self.tally.events += 1;
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
            out.push(bytes);
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

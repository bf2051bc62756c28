//! Response bodies of the simulated provider: one piece, or chunks in real time. A body is polled where it is read; no
//! task, no channel, and a timer only while there is something to wait for.

use super::answer::Answer;
use super::plan::Rhythm;
use super::{FINGERPRINT, Head, usage};
use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The body of a simulated response; reads like the body of an HTTP response.
#[derive(Debug)]
pub struct SimulatedBody(Inner);

#[derive(Debug)]
enum Inner {
    /// What is left to send, and whether the connection breaks after it.
    Whole(Option<Bytes>, bool),
    Stream(Box<Paced>),
}

impl SimulatedBody {
    /// A body in one piece; with `cut`, its first so many bytes and then an error.
    pub(super) fn whole(data: Bytes, cut: Option<usize>) -> Self {
        Self(Inner::Whole(Some(data.slice(..cut.unwrap_or(data.len()))), cut.is_some()))
    }

    /// A stream that starts now.
    pub(super) fn stream(stream: Stream) -> Self {
        Self(Inner::Stream(Box::new(Paced { stream, due: Instant::now(), sleep: None, next: None, over: false })))
    }
}

impl Body for SimulatedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.get_mut().0 {
            Inner::Whole(data, cut) => Poll::Ready(match data.take() {
                Some(data) if !data.is_empty() => Some(Ok(Frame::data(data))),
                _ => std::mem::take(cut).then(|| Err(cut_error())),
            }),
            Inner::Stream(paced) => paced.poll(cx).map(|chunk| chunk.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(data, cut) => data.as_ref().is_none_or(Bytes::is_empty) && !cut,
            Inner::Stream(paced) => paced.over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(data, false) => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            _ => SizeHint::default(),
        }
    }
}

fn cut_error() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "simulated: the connection broke in the middle of the answer")
}

/// A stream and its clock. Each chunk is due at a point of time, so that late wake-ups do not add up.
#[derive(Debug)]
struct Paced {
    stream: Stream,
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    next: Option<Event>,
    over: bool,
}

impl Paced {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.next.is_none() {
            let (delay, event) = self.stream.next();
            self.next = Some(event);
            self.due += delay;
            if !delay.is_zero() && self.due > Instant::now() {
                match &mut self.sleep {
                    Some(sleep) => sleep.as_mut().reset(self.due),
                    None => self.sleep = Some(Box::pin(tokio::time::sleep_until(self.due))),
                }
                ready!(self.wait(cx));
            }
        } else {
            ready!(self.wait(cx));
        }
        if matches!(self.next, Some(Event::Hang)) {
            return Poll::Pending;
        }
        self.over = matches!(self.next, Some(Event::Fail | Event::End));
        Poll::Ready(match self.next.take() {
            Some(Event::Send(data)) => Some(Ok(data)),
            Some(Event::Fail) => Some(Err(cut_error())),
            _ => None,
        })
    }

    /// Ready once the timer, where one was set, has run out.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if !sleep.is_elapsed() => sleep.as_mut().poll(cx),
            _ => Poll::Ready(()),
        }
    }
}

/// How a stream ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// With `[DONE]`.
    Done,
    /// With a broken connection after so many tokens.
    Cut(usize),
    /// Never: silence after so many tokens.
    Stall(usize),
    /// With this error object in place of the answer.
    Error(Value),
}

/// What comes next on a stream.
#[derive(Debug)]
enum Event {
    Send(Bytes),
    Fail,
    Hang,
    End,
}

/// The chunks of a streaming answer, in order, each with its delay after the one before.
#[derive(Debug)]
pub(super) struct Stream {
    /// Each chunk up to the elements of `choices`.
    head: String,
    /// Each chunk after them.
    tail: &'static str,
    answers: Vec<Answer>,
    rhythm: Rhythm,
    ending: Ending,
    /// Where usage was asked for.
    prompt_tokens: Option<u64>,
    phase: Phase,
    sent: usize,
    /// Delay before the next chunk.
    owed: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Role { choice: usize },
    Token { step: usize, choice: usize },
    Usage,
    Done,
    Over,
}

impl Stream {
    pub(super) fn new(
        head: &Head<'_>,
        answers: Vec<Answer>,
        rhythm: Rhythm,
        ending: Ending,
        prompt_tokens: Option<u64>,
    ) -> Self {
        let common = json!({
            "id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model,
            "system_fingerprint": FINGERPRINT,
        });
        let common = common.to_string();
        Self {
            head: format!("data: {},\"choices\":[", &common[..common.len() - 1]),
            tail: if prompt_tokens.is_some() { "],\"usage\":null}\n\n" } else { "]}\n\n" },
            answers,
            rhythm,
            ending,
            prompt_tokens,
            phase: Phase::Role { choice: 0 },
            sent: 0,
            owed: Duration::ZERO,
        }
    }

    /// The next chunk and the delay before it.
    fn next(&mut self) -> (Duration, Event) {
        let event = self.event();
        (std::mem::take(&mut self.owed), event)
    }

    fn event(&mut self) -> Event {
        if let Ending::Error(error) = &self.ending {
            if matches!(self.phase, Phase::Over) {
                return Event::End;
            }
            self.phase = Phase::Over;
            self.owed = self.rhythm.first();
            return Event::Send(Bytes::from(format!("data: {error}\n\n")));
        }
        loop {
            match self.phase {
                Phase::Role { choice } if choice < self.answers.len() => {
                    self.phase = Phase::Role { choice: choice + 1 };
                    let content = if self.answers[choice].tool.is_some() { Value::Null } else { json!("") };
                    let delta = json!({ "role": "assistant", "content": content, "refusal": null });
                    return self.chunk(choice, &delta.to_string(), None);
                }
                Phase::Role { .. } => {
                    self.phase = Phase::Token { step: 0, choice: 0 };
                    self.owed = self.rhythm.first();
                }
                Phase::Token { step, choice } if choice == self.answers.len() => {
                    let longest = self.answers.iter().map(Answer::tokens).max().unwrap_or(0);
                    if step + 1 < longest {
                        self.owed += self.rhythm.gap();
                    }
                    self.phase = if step < longest { Phase::Token { step: step + 1, choice: 0 } } else { Phase::Usage };
                }
                Phase::Token { step, choice } => {
                    if let Some(event) = self.token(step, choice) {
                        return event;
                    }
                }
                Phase::Usage => {
                    self.phase = Phase::Done;
                    if let Some(prompt) = self.prompt_tokens {
                        let usage = usage(prompt, self.sent as u64);
                        return Event::Send(Bytes::from(format!("{}],\"usage\":{usage}}}\n\n", self.head)));
                    }
                }
                Phase::Done => {
                    self.phase = Phase::Over;
                    return Event::Send(Bytes::from_static(b"data: [DONE]\n\n"));
                }
                Phase::Over => return Event::End,
            }
        }
    }

    /// What a choice says at a step: a token, its end, or nothing any more.
    fn token(&mut self, step: usize, choice: usize) -> Option<Event> {
        let answer = &self.answers[choice];
        let Some(piece) = answer.pieces.get(step) else {
            self.phase = Phase::Token { step, choice: choice + 1 };
            let finish = answer.finish.filter(|_| step == answer.tokens());
            return finish.map(|finish| self.chunk(choice, "{}", Some(finish)));
        };
        match self.ending {
            Ending::Cut(at) if self.sent >= at => {
                self.phase = Phase::Over;
                return Some(Event::Fail);
            }
            Ending::Stall(at) if self.sent >= at => return Some(Event::Hang),
            _ => {}
        }
        let text = || Value::from(piece.as_ref()).to_string();
        let delta = match &answer.tool {
            None => format!("{{\"content\":{}}}", text()),
            Some(tool) if step == 0 => json!({ "tool_calls": [{
                "index": 0, "id": tool.id, "type": "function",
                "function": { "name": tool.name, "arguments": "" },
            }] })
            .to_string(),
            Some(_) => format!("{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{}}}}}]}}", text()),
        };
        self.phase = Phase::Token { step, choice: choice + 1 };
        self.sent += 1;
        Some(self.chunk(choice, &delta, None))
    }

    fn chunk(&self, choice: usize, delta: &str, finish: Option<&str>) -> Event {
        let mut data = BytesMut::with_capacity(self.head.len() + delta.len() + 96);
        data.put(self.head.as_bytes());
        data.put(format!("{{\"index\":{choice},\"delta\":{delta},\"logprobs\":null,\"finish_reason\":").as_bytes());
        match finish {
            None => data.put_slice(b"null}"),
            Some(finish) => data.put(format!("\"{finish}\"}}").as_bytes()),
        }
        data.put(self.tail.as_bytes());
        Event::Send(data.freeze())
    }
}

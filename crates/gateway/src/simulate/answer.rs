//! What the simulated model says: text, JSON or a tool call, cut into tokens.

use super::ask::{Ask, Reply};
use super::plan::Plan;
use serde_json::{Value, json};
use std::borrow::Cow;
use waypost_core::units::Rng;

/// One choice of an answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The function called and the call's id, where it is a tool call; `pieces` are then its arguments.
    pub(super) tool: Option<Tool>,
    /// The tokens. Joined they are the content, or the arguments after a first empty piece (the tool's name).
    pub(super) pieces: Vec<Cow<'static, str>>,
    /// `finish_reason`; `None` where the stream does not even say that.
    pub(super) finish: Option<&'static str>,
}

/// A tool call's head.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) id: String,
    pub(super) name: String,
}

impl Answer {
    /// All choices that the request asks for.
    pub(super) fn draw_all(ask: &Ask, plan: &mut Plan) -> Vec<Self> {
        (0..ask.choices).map(|_| Self::draw(ask, plan)).collect()
    }

    fn draw(ask: &Ask, plan: &mut Plan) -> Self {
        let rng = &mut plan.content;
        let mut answer = match &ask.reply {
            Reply::Text => Self { tool: None, pieces: text(plan.length.draw(rng), rng), finish: Some("stop") },
            Reply::Json(text) => Self { tool: None, pieces: fragments(text).collect(), finish: Some("stop") },
            Reply::Tool(name, arguments) => {
                let tool = Tool { id: format!("call_sim{:016x}", rng.next_u64()), name: name.clone() };
                let pieces = std::iter::once(Cow::Borrowed("")).chain(fragments(arguments)).collect();
                Self { tool: Some(tool), pieces, finish: Some("tool_calls") }
            }
        };
        if let Some(max) = ask.max_tokens.filter(|max| *max < answer.pieces.len()) {
            answer.pieces.truncate(max);
            answer.finish = Some("length");
        }
        answer
    }

    /// The faulty answer without content; `finished`: it says `stop` all the same.
    pub(super) fn empty(finished: bool) -> Self {
        Self { tool: None, pieces: Vec::new(), finish: finished.then_some("stop") }
    }

    /// Number of tokens.
    pub(super) fn tokens(&self) -> usize {
        self.pieces.len()
    }

    /// As an element of `choices` in an answer that does not stream.
    pub(super) fn into_choice(self, index: usize) -> Value {
        let said = self.pieces.concat();
        let message = match self.tool {
            None => json!({ "role": "assistant", "content": said, "refusal": null }),
            Some(tool) => json!({
                "role": "assistant", "content": null, "refusal": null,
                "tool_calls": [{
                    "id": tool.id, "type": "function",
                    "function": { "name": tool.name, "arguments": said },
                }],
            }),
        };
        json!({ "index": index, "message": message, "logprobs": null, "finish_reason": self.finish })
    }
}

/// Exactly `length` (at least 1) tokens of prose, the mark first; whole sentences but for the last.
fn text(length: usize, rng: &mut Rng) -> Vec<Cow<'static, str>> {
    let sentences = std::iter::repeat_with(|| SENTENCES[rng.below(SENTENCES.len())]);
    let words = sentences.flat_map(|sentence| sentence.split_inclusive(' '));
    let mut pieces: Vec<_> = std::iter::once("[simulated] ").chain(words).take(length).map(Cow::Borrowed).collect();
    if let Some(last) = pieces.last_mut() {
        let word = last.trim_end().trim_end_matches([',', ';', ':', '.']);
        *last = if length == 1 { Cow::Borrowed("[simulated]") } else { Cow::Owned(format!("{word}.")) };
    }
    pieces
}

/// A text in pieces of about four bytes, as tokenizers cut JSON.
fn fragments(text: &str) -> impl Iterator<Item = Cow<'static, str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (4.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at)).filter(|at| *at > 0)?;
        let (piece, left) = rest.split_at(end);
        rest = left;
        Some(Cow::Owned(piece.to_owned()))
    })
}

/// Prose about nothing in particular: nobody shall take it for an answer, but it has the shape of one. Each sentence
/// ends in a space, since the next one follows.
const SENTENCES: [&str; 24] = [
    "In short, the main point holds under the assumptions that you gave. ",
    "First, consider what is known and what would change the conclusion. ",
    "There are three parts to this, and the second one matters most. ",
    "A simple example makes the difference clear. ",
    "That said, the edge cases deserve a closer look before you rely on it. ",
    "The usual approach is to start small, measure, and then widen the scope. ",
    "If the input is empty, the result is empty as well. ",
    "Both options are reasonable; the first is cheaper, the second is more robust. ",
    "Note that the order of the steps is important here. ",
    "The figures in the text agree with each other within rounding. ",
    "It follows from the definition, so no further assumption is needed. ",
    "You may want to check the dates, because two of them contradict each other. ",
    "This depends on the context: a short answer is enough for most readers. ",
    "The cause is most likely upstream, where the value is first written. ",
    "As a next step, write down the expected result and compare. ",
    "On balance, the evidence supports the more cautious reading. ",
    "The remaining risk is small and can be monitored. ",
    "Finally, keep a record of the decision and of the reasons for it. ",
    "A test that fails before the change and passes after it would settle the matter. ",
    "None of the alternatives removes the need for a review. ",
    "The second paragraph repeats the first one in other words. ",
    "In practice the two methods give the same answer. ",
    "Here the exception proves more useful than the rule. ",
    "To summarise, the proposal is sound and its costs are known. ",
];

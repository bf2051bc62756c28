//! Every fixture into every other dialect and back: the meaning is the same, or what was lost is named. And through the
//! gate in frames: Bedrock's streams as they come over the network.

use crate::translating::{DIALECTS, context, fixtures, target};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use waypost_core::chat::{Choice, Content, Format, Part, Request, Response, Role, Source, ToolChoice, ToolKind};
use waypost_core::dialect;
use waypost_core::dialect::bedrock::frames;
use waypost_core::dialect::gate::StreamGate;
use waypost_core::registry::{Dialect, Quirks};

/// What a request asks, in no dialect's words.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    system: String,
    user: String,
    assistant: String,
    /// Names and arguments, in order.
    calls: Vec<(String, Value)>,
    results: String,
    tools: Vec<String>,
    media: usize,
    /// Documents that are plain text.
    documents: usize,
    schema: bool,
}

/// Words only: how a dialect joins parts is its own affair.
fn add(to: &mut String, text: &str) {
    to.extend(text.split_whitespace());
}

fn meaning(request: &Request) -> Meaning {
    let mut m = Meaning { schema: matches!(request.format, Format::JsonSchema { .. }), ..Meaning::default() };
    for message in &request.messages {
        for part in &message.parts {
            match &part.content {
                Content::Text { text, .. } => match message.role {
                    Role::System | Role::Developer => add(&mut m.system, text),
                    Role::User => add(&mut m.user, text),
                    Role::Assistant => add(&mut m.assistant, text),
                },
                Content::Refusal(text) => add(&mut m.assistant, text),
                Content::Media(media) if matches!(media.source, Source::Text(_)) => m.documents += 1,
                Content::Media(_) => m.media += 1,
                Content::ToolCall(call) => {
                    let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
                    m.calls.push((call.name.clone(), arguments));
                }
                Content::ToolResult(result) => result.parts.iter().for_each(|p| m.result(p)),
                Content::Reasoning { .. } | Content::Native(_) => {}
            }
        }
    }
    m.tools = request.tools.iter().filter_map(|t| Some(name(&t.kind)?.to_owned())).collect();
    m
}

impl Meaning {
    fn result(&mut self, part: &Part) {
        match &part.content {
            Content::Text { text, .. } => add(&mut self.results, text),
            Content::Media(_) => self.media += 1,
            _ => {}
        }
    }
}

fn name(kind: &ToolKind) -> Option<&str> {
    match kind {
        ToolKind::Function { name, .. } => Some(name),
        ToolKind::Custom { .. } | ToolKind::Native(_) => None,
    }
}

#[test]
fn requests_come_back_with_their_meaning() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for from in DIALECTS {
        for (fixture, body) in fixtures(from, "requests") {
            let Ok(request) = dialect::decode_request(from, &body) else { continue };
            for to in DIALECTS {
                let Ok(there) = dialect::encode_request(to, &request, &target(Quirks::OPENAI)) else { continue };
                let at = format!("{} {fixture} to {}", from.name(), to.name());
                let back = match dialect::decode_request(to, &there.body) {
                    Ok(back) => back,
                    Err(e) => {
                        wrong.push(format!("{at}: cannot be read: {e}"));
                        continue;
                    }
                };
                let (mut was, mut is) = (meaning(&request), meaning(&back));
                if request.tool_choice == Some(ToolChoice::None) {
                    // Where nothing says so, the tools are left out.
                    was.tools.retain(|t| is.tools.contains(t));
                }
                forgive(&mut was, &mut is, &there, to);
                compared += 1;
                if was != is {
                    wrong.push(format!("{at} (dropped {:?}):\n  was {was:?}\n  is  {is:?}", there.dropped));
                }
            }
        }
    }
    assert!(compared > 500, "{compared} pairs");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What differs for a reason that the client is told, or that is the target's form and not its meaning.
fn forgive(was: &mut Meaning, is: &mut Meaning, there: &dialect::Encoded, to: Dialect) {
    let dropped = |what: &str| there.dropped.iter().any(|d| d.contains(what));
    // A document of text may become text, or media like any other.
    if (was.media..=was.media + was.documents).contains(&(is.media + is.documents)) {
        (was.media, was.documents) = (is.media, is.documents);
    }
    if let Some(tool) = &there.json_tool {
        // The schema is the forced tool's.
        was.schema = false;
        is.tools.retain(|t| t != tool);
    }
    if dropped("tools") {
        was.tools.retain(|t| is.tools.contains(t));
    }
    if dropped("messages") || dropped("input") {
        was.assistant = is.assistant.clone();
    }
    if to == Dialect::OpenAi || to == Dialect::Responses {
        // Media of tool results move to the user's next turn, with a label.
        (was.user, is.user) = (String::new(), String::new());
        (was.results, is.results) = (String::new(), String::new());
    }
    if to == Dialect::Bedrock && was.tools.is_empty() && !was.calls.is_empty() {
        // A history of calls needs its tools declared there.
        is.tools.clear();
    }
    if to == Dialect::Gemini || to == Dialect::Bedrock {
        // Results are objects or marked as errors there, and documents may be text.
        (was.results, is.results) = (String::new(), String::new());
    }
}

/// Text, calls with their arguments, and why it stopped.
type Said = (String, Vec<(String, Value)>, Option<&'static str>);

/// What an answer says.
fn said(response: &Response) -> Vec<Said> {
    let choice = |c: &Choice| {
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in &c.parts {
            match &part.content {
                Content::Text { text: t, .. } | Content::Refusal(t) => text.push_str(t),
                Content::ToolCall(call) => {
                    calls.push((call.name.clone(), serde_json::from_str(&call.arguments).unwrap_or(Value::Null)));
                }
                _ => {}
            }
        }
        (text, calls, c.finish.as_ref().map(|f| f.reason.name()))
    };
    response.choices.iter().map(choice).collect()
}

fn pictures(response: &Response) -> bool {
    response.choices.iter().flat_map(|c| &c.parts).any(|p| matches!(p.content, Content::Media(_)))
}

fn refused(response: &Response) -> bool {
    response.choices.iter().flat_map(|c| &c.parts).any(|p| matches!(p.content, Content::Refusal(_)))
}

#[test]
fn answers_come_back_with_their_meaning() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for from in DIALECTS {
        for (fixture, body) in fixtures(from, "answers") {
            let Ok(response) = dialect::decode_response(from, &body) else { continue };
            for to in DIALECTS {
                let there = dialect::encode_response(to, &response, &context());
                let at = format!("{} {fixture} to {}", from.name(), to.name());
                let back = match dialect::decode_response(to, &there) {
                    Ok(back) => back,
                    Err(e) => {
                        wrong.push(format!("{at}: cannot be read: {e:?}"));
                        continue;
                    }
                };
                let (was, is) = (said(&response), said(&back));
                compared += 1;
                // Only OpenAI's chat and Gemini have several answers in one.
                let was = &was[..was.len().min(is.len())];
                let same = was.iter().zip(&is).all(|(w, i)| {
                    // Not every dialect has a word for the rarer reasons; a refusal in words stops by its filter in some.
                    let rare = matches!(w.2, None | Some("other" | "content_filter" | "length"));
                    let finish = w.2 == i.2 || rare || (refused(&response) && i.2 == Some("content_filter"));
                    // Free text is an object's only member where calls take objects.
                    let calls = w.1.iter().zip(&i.1).all(|(w, i)| w.0 == i.0 && (w.1 == i.1 || w.1.is_null()));
                    // A picture that the target's answers cannot hold leaves a word of itself.
                    let text = w.0 == i.0 || (pictures(&response) && i.0.starts_with(&w.0));
                    text && calls && w.1.len() == i.1.len() && finish
                });
                if !same {
                    wrong.push(format!("{at}:\n  was {was:?}\n  is  {is:?}"));
                }
                let tokens = |r: &Response| r.usage.map(|u| (u.input_tokens, u.output_tokens, u.cache_read_tokens));
                if response.usage.is_some() && tokens(&response) != tokens(&back) {
                    wrong.push(format!("{at}: usage {:?} became {:?}", response.usage, back.usage));
                }
            }
        }
    }
    assert!(compared > 300, "{compared} pairs");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Bedrock's stream fixtures as the frames that carry them.
fn framed() -> Vec<(String, Vec<u8>)> {
    let frame = |(name, lines): (String, Vec<u8>)| {
        let mut out = Vec::new();
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()) {
            let line: Value = serde_json::from_slice(line).expect("a line is an event");
            let event = line["event"].as_str().unwrap_or_default();
            let data = line["data"].to_string();
            let write = |out: &mut Vec<u8>| out.extend_from_slice(data.as_bytes());
            match event.ends_with("Exception") {
                true => frames::write_exception(&mut out, event, write),
                false => frames::write_event(&mut out, event, write),
            }
        }
        (name, out)
    };
    fixtures(Dialect::Bedrock, "streams").into_iter().map(frame).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_may_come_in_any_chunks(which: Index, places in prop::collection::vec(any::<Index>(), 0..30)) {
        let streams = framed();
        let (name, stream) = which.get(&streams);
        let mut cuts: Vec<usize> = places.iter().map(|p| p.index(stream.len() + 1)).chain([stream.len()]).collect();
        cuts.sort_unstable();
        for to in DIALECTS {
            let run = |cuts: &[usize]| {
                let mut gate = StreamGate::translate(Dialect::Bedrock, to, context(), None);
                let (mut out, mut from) = (Vec::new(), 0);
                for end in cuts {
                    let chunk = Bytes::copy_from_slice(&stream[from..*end]);
                    from = *end;
                    if gate.push(&chunk, &mut out).is_err() {
                        return (out.concat(), *gate.tally(), false);
                    }
                }
                let ended = gate.finish(&mut out).is_ok();
                (out.concat(), *gate.tally(), ended)
            };
            prop_assert_eq!(run(&cuts), run(&[stream.len()]), "{} to {}", name, to.name());
        }
    }
}

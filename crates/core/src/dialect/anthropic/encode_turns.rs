//! The conversation of a request: system prompt, turns, blocks.

use serde_json::{Map, Value, json};

use super::encode_request::{Result, Writer};
use super::shared::{HOME, is_own};
use super::{block, media};
use crate::chat::{Content, Message, Part, Role, ToolCall, ToolResult};
use crate::dialect::names::Name;

/// One message as it goes out.
pub(super) struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
    extras: Map<String, Value>,
}

impl Turn {
    /// The message.
    pub(super) fn value(self) -> Value {
        let mut message = block::map(json!({"role": self.role, "content": block::content(self.blocks)}));
        message.extend(self.extras);
        message.into()
    }

    fn has(&self, kind: &str) -> bool {
        self.blocks.iter().any(|b| b["type"] == kind)
    }
}

/// Whether a call that is being answered was made without thoughts before it: with a budget, the API wants them back.
/// Only the last turns matter, from the user's last words on.
pub(super) fn unsigned_loop(turns: &[Turn]) -> bool {
    let mut turns = turns.iter().rev().filter(|t| t.role != "system");
    while let Some(results) = turns.next() {
        if results.role != "user" || !results.has("tool_result") {
            return false;
        }
        let Some(calls) = turns.next() else { return false };
        let thought = calls.blocks.first().is_some_and(|b| b["type"] == "thinking" || b["type"] == "redacted_thinking");
        if calls.has("tool_use") && !thought {
            return true;
        }
    }
    false
}

/// The system prompt's blocks, and the turns.
pub(super) fn write(writer: &mut Writer<'_>) -> Result<(Vec<Value>, Vec<Turn>)> {
    let (mut system, mut turns) = (Vec::new(), Vec::<Turn>::new());
    for (i, message) in writer.request.messages.iter().enumerate() {
        if message.name.is_some() {
            writer.losses.drop("messages[].name")?;
        }
        let blocks = writer.blocks(message)?;
        let top = is_system(message) && (turns.is_empty() || !writer.stays(i));
        let extras = if writer.home && !top {
            message.extras.clone()
        } else {
            writer.drop_members("messages[].", &message.extras)?;
            Map::new()
        };
        let role = match message.role {
            _ if top => {
                system.extend(blocks);
                continue;
            }
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        match turns.last_mut() {
            // Results of parallel calls must be one turn.
            Some(last) if last.role == role && !writer.home => last.blocks.extend(blocks),
            // Of this turn nothing is left, or nothing was said.
            _ if blocks.is_empty() && (!writer.home || !message.parts.is_empty()) => {}
            _ => turns.push(Turn { role, blocks, extras }),
        }
    }
    if !writer.home {
        for turn in &mut turns {
            // The API wants results before anything else that the user says.
            turn.blocks.sort_by_key(|b| b["type"] != "tool_result");
        }
    }
    if !writer.home {
        turns.last_mut().filter(|t| t.role == "assistant").and_then(|t| t.blocks.last_mut()).map(trim_end);
    }
    if turns.is_empty() {
        let why = "the model's API needs at least one message beside the system prompt";
        return writer.losses.refuse("messages", why);
    }
    Ok((system, turns))
}

/// The API refuses an answer begun for it that ends in white space.
fn trim_end(block: &mut Value) {
    if let Some(Value::String(text)) = block.get_mut("text") {
        text.truncate(text.trim_end().len());
    }
}

fn is_system(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

impl Writer<'_> {
    /// Whether instructions in the middle stay where they are: the API takes them there from 2026-10-21 on, though not
    /// between a call and its result. Elsewhere they join the system prompt.
    fn stays(&self, at: usize) -> bool {
        let answers = |m: &Message| m.parts.iter().any(|p| matches!(p.content, Content::ToolResult(_)));
        let before_results = || self.request.messages[at + 1..].iter().find(|m| !is_system(m)).is_some_and(answers);
        self.home || (self.target.no_sampling && !before_results())
    }

    fn blocks(&mut self, message: &Message) -> Result<Vec<Value>> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            if is_system(message) && !matches!(part.content, Content::Text { .. }) {
                return self.losses.refuse(self.name(Name::Block), "a system prompt can hold text only");
            }
            blocks.extend(self.block(part, message.role == Role::User)?);
        }
        Ok(blocks)
    }

    /// `None` for what is left out. `said_to_model`: it is the user's or a tool's.
    fn block(&mut self, part: &Part, said_to_model: bool) -> Result<Option<Value>> {
        // A thought's signature is judged with the thought. Any other is of another dialect, always.
        if part.signature.is_some() && !self.home && !matches!(part.content, Content::Reasoning { .. }) {
            self.losses.drop("reasoning")?;
        }
        let block = match &part.content {
            // The API refuses text without anything to see.
            Content::Text { text, .. } | Content::Refusal(text) if text.trim().is_empty() && !self.home => {
                return Ok(None);
            }
            Content::Text { text, citations } => {
                if !citations.iter().all(is_own) {
                    self.losses.drop(self.name(Name::Citations))?;
                }
                block::text(text, citations, |c| is_own(c).then(|| c.native.clone()))
            }
            Content::Refusal(text) => block::text(text, &[], |_| None),
            Content::Media(media) => {
                if media.detail.as_deref().is_some_and(|d| d != "auto") {
                    self.losses.drop("messages[].content[].detail")?;
                }
                match media::write(media, self.home) {
                    Ok(block) => block::map(block),
                    Err(why) => return self.losses.refuse(self.name(Name::Block), why),
                }
            }
            Content::Reasoning { text, redacted, .. } => match &part.signature {
                Some(signature) if signature.dialect == HOME => block::thinking(text, Some(signature), *redacted),
                _ => return self.losses.drop("reasoning").map(|()| None),
            },
            Content::ToolCall(call) => self.call(call)?,
            Content::ToolResult(result) => self.result(result)?,
            Content::Native(native) if self.home => block::map(native.clone()),
            Content::Native(native) => {
                let kind = native["type"].as_str().unwrap_or("block");
                return self.losses.drop_block(said_to_model, kind).map(|()| None);
            }
        };
        if !self.home {
            self.drop_members("messages[].content[].", &part.extras)?;
        }
        Ok(Some(block::finish(block, part, self.home)))
    }

    fn call(&mut self, call: &ToolCall) -> Result<Map<String, Value>> {
        if call.custom {
            let why = format!("`{}` was called with free text, and the model's API knows JSON only", call.name);
            return self.losses.refuse(self.name(Name::CallArguments), why);
        }
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        match serde_json::from_str(text) {
            Ok(input @ Value::Object(_)) => Ok(block::tool_use(&Self::call_id(&call.id), &call.name, input)),
            _ => {
                let why = format!("the arguments of the call `{}` are not a JSON object", call.id);
                self.losses.refuse(self.name(Name::CallArguments), why)
            }
        }
    }

    fn result(&mut self, result: &ToolResult) -> Result<Map<String, Value>> {
        let mut block = block::map(json!({"type": "tool_result", "tool_use_id": Self::call_id(&result.call_id)}));
        let mut blocks = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            blocks.extend(self.block(part, true)?);
        }
        if !blocks.is_empty() {
            block.insert("content".into(), block::content(blocks));
        }
        if result.is_error {
            block.insert("is_error".into(), true.into());
        }
        Ok(block)
    }

    /// The API takes letters, digits, `_` and `-` in ids. Others are replaced, the same in a call and its result, and
    /// told apart by a hash of the whole.
    fn call_id(id: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !id.is_empty() && id.chars().all(allowed) {
            return id.to_owned();
        }
        // FNV-1a.
        let hash = id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        let plain: String = id.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        format!("{plain}_{hash:016x}")
    }
}

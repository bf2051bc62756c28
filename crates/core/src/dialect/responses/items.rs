//! The items of `input` on their way in. What this API lists item by item is turns elsewhere: an assistant's reasoning,
//! words and calls up to the next word of somebody else become one turn, and the outputs of its calls another.

use serde_json::Value;

use super::media::parts;
use super::shared::{Reasoning, Signs};
use crate::chat::{Content, Extras, Message, Part, Role, Signature, ToolCall, ToolResult};
use crate::dialect::wire::{Fields, Malformed, Result};

/// Turns in the making.
#[derive(Debug, Default)]
pub(super) struct Turns {
    messages: Vec<Message>,
    /// Of the call that comes next.
    signature: Option<Signature>,
}

impl Turns {
    /// Reads all items of `input`.
    pub(super) fn read(items: Vec<Value>) -> Result<Vec<Message>> {
        let mut turns = Self::default();
        for (i, item) in items.into_iter().enumerate() {
            turns.item(Fields::of(item, format!("input[{i}]"))?)?;
        }
        Ok(turns.messages)
    }

    fn item(&mut self, f: Fields) -> Result<()> {
        let kind = f.peek("type").and_then(Value::as_str).map(str::to_owned);
        match kind.as_deref() {
            Some("message") => self.message(f),
            None if f.peek("role").is_some() => self.message(f),
            None if f.peek("id").is_none() => Err(f.wrong("type", "is required")),
            None | Some("item_reference") => Err(Malformed::new(
                f.path(),
                "only a provider that speaks the Responses API keeps the items that an `item_reference` means; send the \
                 whole items as `input` (clients do so where `store` is false)",
            )),
            Some("reasoning") => self.reasoning(f),
            Some("function_call") => self.call(f, false),
            Some("custom_tool_call") => self.call(f, true),
            Some("function_call_output") => self.output(f, false),
            Some("custom_tool_call_output") => self.output(f, true),
            Some(other) => {
                let role = if other.ends_with("_output") || other == "mcp_approval_response" {
                    Role::User
                } else {
                    Role::Assistant
                };
                let part = Content::Native(f.into_value()).into();
                self.open(role).parts.push(part);
                Ok(())
            }
        }
    }

    fn message(&mut self, mut f: Fields) -> Result<()> {
        f.take("type");
        let role = match f.required_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            other => {
                let known = "user, assistant, system and developer";
                return Err(f.wrong("role", format!("must be one of {known}, not `{other}`")));
            }
        };
        let at = f.at("content");
        let mut parts = parts(f.take("content"), &at)?;
        let extras = rest(f);
        if role == Role::Assistant
            && let Some(turn) = self.messages.last_mut().filter(|m| m.role == role)
            && (!turn.parts.iter().any(is_spoken) || (turn.extras.is_empty() && extras.is_empty()))
        {
            turn.parts.append(&mut parts);
            turn.extras.extend(extras);
            return Ok(());
        }
        self.messages.push(Message { extras, ..Message::new(role, parts) });
        Ok(())
    }

    fn reasoning(&mut self, mut f: Fields) -> Result<()> {
        let reasoning = Reasoning::take(&mut f)?;
        f.take("type");
        let redacted = reasoning.redacted();
        let Reasoning { text, summary, id, signature } = reasoning;
        let signature = match signature {
            Some((signature, Signs::Call)) => {
                self.signature = Some(signature);
                return Ok(());
            }
            Some((signature, _)) => Some(signature),
            // Nothing to prove it; its name may be all that its provider wants.
            None => id.map(|id| Signature { dialect: super::shared::HOME, value: String::new(), id: Some(id) }),
        };
        let content = Content::Reasoning { text, summary, redacted };
        self.open(Role::Assistant).parts.push(Part { signature, extras: rest(f), ..content.into() });
        Ok(())
    }

    fn call(&mut self, mut f: Fields, custom: bool) -> Result<()> {
        f.take("type");
        let call = ToolCall {
            id: required_name(&mut f, "call_id")?,
            name: required_name(&mut f, "name")?,
            arguments: f.string(if custom { "input" } else { "arguments" })?.unwrap_or_default(),
            custom,
        };
        let signature = self.signature.take();
        let part = Part { signature, extras: rest(f), ..Content::ToolCall(call).into() };
        self.open(Role::Assistant).parts.push(part);
        Ok(())
    }

    fn output(&mut self, mut f: Fields, custom: bool) -> Result<()> {
        f.take("type");
        let at = f.at("output");
        let result = ToolResult {
            call_id: required_name(&mut f, "call_id")?,
            name: f.string("name")?,
            parts: parts(f.take("output"), &at)?,
            is_error: false,
            custom,
        };
        let part = Part { extras: rest(f), ..Content::ToolResult(result).into() };
        self.open(Role::User).parts.push(part);
        Ok(())
    }

    /// The turn that an item other than a message joins: the last one where it is of this role (for a user: where it
    /// holds nothing but outputs), else a new one.
    fn open(&mut self, role: Role) -> &mut Message {
        let joins = |m: &Message| m.role == role && (role == Role::Assistant || !m.parts.iter().any(is_message_part));
        if !self.messages.last().is_some_and(joins) {
            self.messages.push(Message::new(role, Vec::new()));
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }
}

/// A part that stands in a message item, and not in one of its own.
pub(super) fn is_message_part(part: &Part) -> bool {
    is_spoken(part) || matches!(part.content, Content::Media(_))
}

fn is_spoken(part: &Part) -> bool {
    matches!(part.content, Content::Text { .. } | Content::Refusal(_))
}

fn required_name(f: &mut Fields, key: &str) -> Result<String> {
    let name = f.required_string(key)?;
    if name.is_empty() { Err(f.wrong(key, "must not be empty")) } else { Ok(name) }
}

/// What else stands in an item. Its id and status only mean something where the provider keeps items.
fn rest(mut f: Fields) -> Extras {
    f.take("id");
    f.take("status");
    f.rest()
}

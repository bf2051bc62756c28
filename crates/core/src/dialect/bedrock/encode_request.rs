//! Writing a request: system prompts, turns, and what holds them together.
//!
//! Tools: a history with calls or results needs `toolConfig` even where the client offers no tools any more; the called
//! tools are then declared by name. Converse has no `none` among its choices, so `tool_choice: none` leaves the tools out,
//! or, where such a history needs them, is dropped by name.

use serde_json::{Map, Value, json};

use super::media;
use super::models::{Caching, Habits};
use crate::chat::{CacheMark, Content, Message, Part, Request, Role};
use crate::dialect::names::{Name, name};
use crate::dialect::{Encoded, Inexpressible, Losses, Target};
use crate::registry::Dialect;

/// Writes a request.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, Inexpressible> {
    let mut writer = Writer {
        request,
        target,
        habits: Habits::of(target.model),
        home: request.origin == Dialect::Bedrock,
        losses: Losses::new(target.strict),
        documents: Vec::new(),
        json_tool: None,
    };
    let body = Value::Object(writer.body()?);
    let Writer { losses, json_tool, .. } = writer;
    Ok(Encoded { body: body.to_string().into_bytes(), dropped: losses.into_names(), json_tool })
}

/// One request on its way out.
pub(super) struct Writer<'a> {
    pub(super) request: &'a Request,
    pub(super) target: &'a Target<'a>,
    pub(super) habits: Habits,
    /// The request is Bedrock's own: what only it knows returns.
    pub(super) home: bool,
    pub(super) losses: Losses,
    /// Names of documents so far.
    pub(super) documents: Vec<String>,
    pub(super) json_tool: Option<String>,
}

/// A block, and what decides its place.
struct Block {
    value: Value,
    /// A tool's result: these come first in a turn.
    result: bool,
    cache: Option<CacheMark>,
}

/// Consecutive messages of one speaker.
struct Turn {
    role: &'static str,
    blocks: Vec<Block>,
    extras: Map<String, Value>,
}

impl Writer<'_> {
    fn body(&mut self) -> Result<Map<String, Value>, Inexpressible> {
        let request = self.request;
        if request.n.is_some_and(|n| n > 1) {
            return self.losses.refuse("n", "the model's API gives one answer a request");
        }
        let mut body = if self.home {
            request.extras.clone()
        } else {
            self.losses.drop_extras(request.extras.keys())?;
            Map::new()
        };
        let (system, turns) = self.conversation()?;
        if !system.is_empty() {
            body.insert("system".into(), Value::Array(self.flatten(system)?));
        }
        let mut messages = Vec::with_capacity(turns.len());
        for turn in turns {
            let mut message = turn.extras;
            message.insert("role".into(), turn.role.into());
            message.insert("content".into(), Value::Array(self.flatten(turn.blocks)?));
            messages.push(Value::Object(message));
        }
        body.insert("messages".into(), messages.into());
        self.tools(&mut body)?;
        self.config(&mut body)?;
        Ok(body)
    }

    /// System prompts go to the front, wherever they stood; at home those inside the conversation stay.
    fn conversation(&mut self) -> Result<(Vec<Block>, Vec<Turn>), Inexpressible> {
        let mut system = Vec::new();
        let mut turns: Vec<Turn> = Vec::new();
        for (i, message) in self.request.messages.iter().enumerate() {
            let role = match message.role {
                Role::Assistant => "assistant",
                Role::User => "user",
                Role::System if self.home && !turns.is_empty() => "system",
                Role::System | Role::Developer => {
                    system.extend(self.system(message, i)?);
                    continue;
                }
            };
            let blocks = self.blocks(message, i)?;
            let extras = self.message_extras(message)?;
            match turns.last_mut() {
                Some(turn) if turn.role == role => {
                    turn.blocks.extend(blocks);
                    turn.extras.extend(extras);
                }
                // A turn of nothing but blank text is no turn.
                _ if blocks.is_empty() => {}
                _ => turns.push(Turn { role, blocks, extras }),
            }
        }
        match turns.first() {
            None => self.losses.refuse("messages", "the model's API needs a turn of the user"),
            Some(turn) if turn.role != "user" => {
                self.losses.refuse("messages", "for this model the conversation must begin with the user's turn")
            }
            Some(_) => {
                if !self.home {
                    // Claude wants the results of its calls before anything else.
                    turns.iter_mut().for_each(|turn| turn.blocks.sort_by_key(|block| !block.result));
                }
                Ok((system, turns))
            }
        }
    }

    fn message_extras(&mut self, message: &Message) -> Result<Map<String, Value>, Inexpressible> {
        if message.name.is_some() {
            self.losses.drop("messages[].name")?;
        }
        if self.home {
            return Ok(message.extras.clone());
        }
        message.extras.keys().try_for_each(|key| self.losses.drop(format!("messages[].{key}")))?;
        Ok(Map::new())
    }

    fn system(&mut self, message: &Message, i: usize) -> Result<Vec<Block>, Inexpressible> {
        self.message_extras(message)?;
        let known =
            |part: &Part| matches!(part.content, Content::Text { .. } | Content::Refusal(_) | Content::Native(_));
        if !message.parts.iter().all(known) {
            let why = "a system prompt can only hold text for this model";
            return self.losses.refuse(format!("messages[{i}].content"), why);
        }
        self.blocks(message, i)
    }

    /// A message's blocks; parts that have no equal are dropped by name or refused.
    fn blocks(&mut self, message: &Message, i: usize) -> Result<Vec<Block>, Inexpressible> {
        let mut blocks: Vec<Block> = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            let mut cache = part.cache.clone();
            if let Content::ToolResult(result) = &part.content {
                // Inside of a result no cache point can stand.
                cache = cache.or_else(|| result.parts.iter().find_map(|inner| inner.cache.clone()));
            }
            match self.part(part, i, message.role == Role::User)? {
                Some(value) => {
                    let result = matches!(part.content, Content::ToolResult(_));
                    blocks.push(Block { value, result, cache });
                }
                // The prefix still ends here.
                None => {
                    if let Some(last) = blocks.last_mut() {
                        last.cache = last.cache.take().or(cache);
                    }
                }
            }
        }
        Ok(blocks)
    }

    /// Blocks with their cache points behind them.
    fn flatten(&mut self, blocks: Vec<Block>) -> Result<Vec<Value>, Inexpressible> {
        let mut values = Vec::with_capacity(blocks.len());
        for block in blocks {
            values.push(block.value);
            if let Some(mark) = block.cache {
                values.extend(self.cache_point(&mark, Caching::Prompt)?);
            }
        }
        Ok(values)
    }

    /// A cache point, where the model takes one in this place.
    pub(super) fn cache_point(&mut self, mark: &CacheMark, place: Caching) -> Result<Option<Value>, Inexpressible> {
        if !self.home && self.habits.caching < place {
            self.losses.drop("cache_control")?;
            return Ok(None);
        }
        let mut point = json!({"type": "default"});
        match mark.ttl.as_deref() {
            Some(ttl) if self.home || self.habits.caching == Caching::Hour => point["ttl"] = ttl.into(),
            // Five minutes are what it lasts anyway.
            None | Some("5m") => {}
            Some(_) => self.losses.drop("cache_control.ttl")?,
        }
        Ok(Some(json!({"cachePoint": point})))
    }

    /// The client's name for a field.
    pub(super) fn name(&self, field: Name) -> &'static str {
        name(field, self.request.origin)
    }

    /// A name for a document that the request has not used yet.
    pub(super) fn document_name(&mut self, name: Option<&str>) -> String {
        media::document_name(name, &mut self.documents)
    }
}

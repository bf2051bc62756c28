//! What a chat request asks for, as far as the simulated provider cares. Unknown fields are passed over.

use super::instance;
use serde::Deserialize;
use serde_json::{Value, json};
use waypost_core::units::Rng;

/// Most choices that one request gets, as with OpenAI.
const MAX_CHOICES: usize = 128;

/// A request, read.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) choices: usize,
    /// Cap on the tokens of each choice; at least 1.
    pub(super) max_tokens: Option<usize>,
    /// A quarter of the prompt's bytes, and a little a message: an estimate, but always the same one.
    pub(super) prompt_tokens: u64,
    pub(super) reply: Reply,
}

/// The kind of answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Text,
    /// A JSON text.
    Json(String),
    /// A call of the named tool with these arguments.
    Tool(String, String),
}

impl Ask {
    /// Reads a request's body; draws the values of tool arguments and structured answers from `rng`.
    ///
    /// # Errors
    /// A message for the client where the body is no chat request.
    pub(super) fn parse(body: &[u8], rng: &mut Rng) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body).map_err(|e| format!("invalid request body: {e}"))?;
        if body.messages.is_empty() {
            return Err("messages must not be empty".into());
        }
        let reply = body.reply(rng);
        Ok(Self {
            stream: body.stream.unwrap_or(false),
            include_usage: body.stream_options.as_ref().is_some_and(|o| o.include_usage.unwrap_or(false)),
            choices: (body.n.unwrap_or(1) as usize).clamp(1, MAX_CHOICES),
            max_tokens: body.max_completion_tokens.or(body.max_tokens).map(|n| (n as usize).max(1)),
            prompt_tokens: body.prompt_tokens(),
            reply,
        })
    }
}

#[derive(Deserialize)]
struct Body {
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    tool_calls: Value,
}

impl Message {
    /// The text of the message: a string, or the text parts of a list.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let parts = self.content.as_array().into_iter().flatten();
        self.content.as_str().into_iter().chain(parts.filter_map(|part| part["text"].as_str()))
    }

    /// Parts that are not text: images, audio, files.
    fn media(&self) -> usize {
        self.content.as_array().map_or(0, |parts| parts.iter().filter(|part| part["text"].is_null()).count())
    }
}

impl Body {
    fn prompt_tokens(&self) -> u64 {
        const A_MESSAGE: usize = 4;
        const AN_IMAGE: usize = 300;
        let json_len = |value: &Value| if value.is_null() { 0 } else { value.to_string().len() };
        let message = |m: &Message| {
            let bytes = m.texts().map(str::len).sum::<usize>() + json_len(&m.tool_calls);
            bytes.div_ceil(4) + A_MESSAGE + m.media() * AN_IMAGE
        };
        let tools: usize = self.tools.iter().flatten().map(json_len).sum();
        let schema = self.response_format.as_ref().map_or(0, json_len);
        (self.messages.iter().map(message).sum::<usize>() + (tools + schema).div_ceil(4)) as u64
    }

    fn reply(&self, rng: &mut Rng) -> Reply {
        if let Some(function) = self.wanted_tool() {
            let name = function["name"].as_str().unwrap_or_default().to_owned();
            let parameters = function.get("parameters");
            let arguments = parameters.map_or_else(|| json!({}), |schema| instance::of(schema, rng));
            return Reply::Tool(name, arguments.to_string());
        }
        let Some(format) = &self.response_format else { return Reply::Text };
        match format["type"].as_str() {
            Some("json_schema") => {
                let schema = &format["json_schema"]["schema"];
                let value = if schema.is_null() { json!({}) } else { instance::of(schema, rng) };
                Reply::Json(value.to_string())
            }
            Some("json_object") => Reply::Json(json!({ "simulated": true }).to_string()),
            _ => Reply::Text,
        }
    }

    /// The function to call, where one is forced, required, or asked for in words by the last message.
    fn wanted_tool(&self) -> Option<&Value> {
        let functions = || self.tools.iter().flatten().map(|tool| &tool["function"]).filter(|f| f["name"].is_string());
        let named = |name: &str| functions().find(|f| f["name"] == name);
        let choice = self.tool_choice.as_ref().unwrap_or(&Value::Null);
        if let Some(name) = choice["function"]["name"].as_str() {
            return named(name);
        }
        let allowed = &choice["allowed_tools"];
        if allowed["mode"] == "required" {
            return allowed["tools"][0]["function"]["name"].as_str().and_then(named);
        }
        if choice == "none" {
            return None;
        }
        let last = self.messages.last().filter(|m| m.role == "user");
        let said = last.map_or_else(String::new, |m| m.texts().collect::<Vec<_>>().join("\n").to_lowercase());
        let asked = |f: &&Value| f["name"].as_str().is_some_and(|name| said.contains(&name.to_lowercase()));
        if choice == "required" {
            return functions().find(asked).or_else(|| functions().next());
        }
        let in_words = said.contains("use the tool") || said.contains("use a tool");
        functions().find(|f| said.contains("use ") && asked(f)).or_else(|| functions().next().filter(|_| in_words))
    }
}

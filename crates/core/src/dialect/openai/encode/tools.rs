//! Tools on offer, and which of them must be called.

use super::request::Writing;
use crate::chat::{CacheMark, Tool, ToolChoice, ToolKind};
use crate::dialect::Inexpressible;
use crate::dialect::wire::put;
use crate::registry::ToolForcing;
use serde_json::{Map, Value, json};

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn encode_all(writing: &mut Writing<'_>) -> Result<(), Inexpressible> {
    let request = writing.request;
    let forcing = writing.quirks().tool_choice;
    // Where calls cannot be forbidden, tools that must not be called are not offered.
    if forcing == ToolForcing::Never && request.tool_choice == Some(ToolChoice::None) {
        return Ok(());
    }
    let mut tools = Vec::with_capacity(request.tools.len());
    for (i, tool) in request.tools.iter().enumerate() {
        tools.extend(encode(writing, tool, i)?);
    }
    let any = !tools.is_empty();
    if any {
        writing.body.insert("tools".into(), tools.into());
    }
    if let Some(choice) = &request.tool_choice {
        if !writing.at_home()
            && let Some(why) = unforceable(choice, &request.tools)
        {
            return writing.losses.refuse("tool_choice", why);
        }
        let choice = encode_choice(writing, choice)?;
        // Without tools, `auto` and `none` say nothing, and OpenAI refuses them.
        let idle = !any && (choice == "auto" || choice == "none");
        if !idle {
            writing.body.insert("tool_choice".into(), choice);
        }
    }
    if any && let Some(parallel) = request.parallel_tools {
        if writing.quirks().parallel_tool_calls {
            writing.body.insert("parallel_tool_calls".into(), parallel.into());
        } else if !parallel {
            writing.losses.drop("parallel_tool_calls")?;
        }
    }
    Ok(())
}

/// Why a choice cannot be kept once the tools of the origin's provider are gone.
fn unforceable(choice: &ToolChoice, tools: &[Tool]) -> Option<&'static str> {
    let names = || {
        tools.iter().filter_map(|tool| match &tool.kind {
            ToolKind::Function { name, .. } | ToolKind::Custom { name, .. } => Some(name),
            ToolKind::Native(_) => None,
        })
    };
    match choice {
        ToolChoice::Tool(wanted) if !names().any(|name| name == wanted) => {
            Some("the tool that must be called is none that the model's API knows")
        }
        ToolChoice::Required if names().next().is_none() => {
            Some("a tool must be called, and the model's API knows none of those on offer")
        }
        _ => None,
    }
}

fn encode(writing: &mut Writing<'_>, tool: &Tool, place: usize) -> Result<Option<Value>, Inexpressible> {
    let quirks = writing.quirks();
    let mut written = Map::new();
    match &tool.kind {
        ToolKind::Function { name, description, schema, strict } => {
            let mut function = Map::new();
            function.insert("name".into(), name.as_str().into());
            put(&mut function, "description", description.as_deref());
            put(&mut function, "parameters", schema.clone());
            if quirks.strict_tools {
                let strict = writing.strict(*strict, schema.as_ref(), "tools[].strict")?;
                put(&mut function, "strict", strict);
            } else if *strict == Some(true) {
                writing.losses.drop("tools[].strict")?;
            }
            written.insert("type".into(), "function".into());
            written.insert("function".into(), function.into());
        }
        ToolKind::Custom { name, description, format } => {
            if !quirks.custom_tools {
                let why = "the model's API has no tools with free-form input; offer a function with one string";
                return writing.losses.refuse(format!("tools[{place}]"), why);
            }
            let mut custom = Map::new();
            custom.insert("name".into(), name.as_str().into());
            put(&mut custom, "description", description.as_deref());
            put(&mut custom, "format", format.clone().map(nested_grammar));
            written = Map::from_iter([("type".into(), "custom".into()), ("custom".into(), custom.into())]);
        }
        ToolKind::Native(value) if writing.at_home() => return Ok(Some(value.clone())),
        ToolKind::Native(value) => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("native");
            writing.losses.drop(format!("tools[].{kind}"))?;
            return Ok(None);
        }
    }
    mark(writing, tool.cache.as_ref(), &mut written)?;
    for (key, value) in &tool.extras {
        if !writing.at_home() {
            writing.losses.drop(format!("tools[].{key}"))?;
        } else if let (Some(Value::Object(inner)), Value::Object(more)) = (written.get_mut(key), value) {
            inner.extend(more.clone());
        } else {
            written.insert(key.clone(), value.clone());
        }
    }
    Ok(Some(written.into()))
}

/// A grammar stands in an object of its own here.
fn nested_grammar(mut format: Value) -> Value {
    if let Value::Object(map) = &mut format
        && map.get("type").is_some_and(|t| t == "grammar")
        && !map.contains_key("grammar")
    {
        let inner = map.iter().filter(|(key, _)| *key != "type");
        let inner: Map<String, Value> = inner.map(|(key, value)| (key.clone(), value.clone())).collect();
        map.retain(|key, _| key == "type");
        map.insert("grammar".into(), inner.into());
    }
    format
}

/// Writes `cache_control`. Whoever does not take it caches on its own, or not at all.
pub(super) fn mark(
    writing: &mut Writing<'_>,
    mark: Option<&CacheMark>,
    into: &mut Map<String, Value>,
) -> Result<(), Inexpressible> {
    let Some(mark) = mark else { return Ok(()) };
    if !writing.quirks().cache_control {
        return writing.losses.drop("cache_control");
    }
    let mut control = json!({"type": "ephemeral"});
    if let Some(ttl) = &mark.ttl {
        control["ttl"] = ttl.as_str().into();
    }
    into.insert("cache_control".into(), control);
    Ok(())
}

fn encode_choice(writing: &Writing<'_>, choice: &ToolChoice) -> Result<Value, Inexpressible> {
    const FIELD: &str = "tool_choice";
    match choice {
        ToolChoice::Auto => Ok("auto".into()),
        ToolChoice::None => Ok("none".into()),
        ToolChoice::Required => match (writing.quirks().tool_choice, writing.request.tools.as_slice()) {
            (ToolForcing::Any | ToolForcing::Unnamed, _) => Ok("required".into()),
            (ToolForcing::Named, [Tool { kind: ToolKind::Function { name, .. }, .. }]) => Ok(named(name, false)),
            _ => writing.losses.refuse(FIELD, "the model's API cannot be made to call one of several tools"),
        },
        ToolChoice::Tool(wanted) => match force(writing, wanted, &writing.request.tools) {
            Some(choice) => Ok(choice),
            None => writing.losses.refuse(FIELD, "the model's API cannot be made to call a certain tool"),
        },
        ToolChoice::Native(value) if writing.at_home() => Ok(value.clone()),
        ToolChoice::Native(_) => {
            writing.losses.refuse(FIELD, "only the API that this choice was written for understands it")
        }
    }
}

/// How to force a certain one of these tools.
pub(super) fn force(writing: &Writing<'_>, wanted: &str, tools: &[Tool]) -> Option<Value> {
    match writing.quirks().tool_choice {
        ToolForcing::Any | ToolForcing::Named => {
            let custom = |t: &Tool| matches!(&t.kind, ToolKind::Custom { name, .. } if name == wanted);
            Some(named(wanted, tools.iter().any(custom)))
        }
        // Any one of one tool is that tool.
        ToolForcing::Unnamed => (tools.len() < 2).then(|| "required".into()),
        ToolForcing::Never => None,
    }
}

fn named(name: &str, custom: bool) -> Value {
    let kind = if custom { "custom" } else { "function" };
    json!({"type": kind, kind: {"name": name}})
}

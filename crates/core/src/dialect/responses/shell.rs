//! The `response` object without its output: what answers and the events of a stream have in common.

use serde_json::{Map, Value, json};

use super::shared::usage_value;
use crate::chat::{Finish, FinishReason};
use crate::dialect::ReplyContext;
use crate::registry::Usage;

/// How an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is whole.
    Completed,
    /// It was cut off, for this reason.
    Incomplete(&'static str),
}

impl Status {
    /// Of an answer that ended so.
    pub(super) fn of(finish: Option<&Finish>) -> Self {
        match finish.map(|f| f.reason) {
            Some(FinishReason::Length) => Self::Incomplete("max_output_tokens"),
            Some(FinishReason::ContentFilter) => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    /// As the wire says it, of the answer and of its last item.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
        }
    }
}

/// The object as clients' types demand it. What the request said is not known here; those members hold the API's defaults.
pub(super) fn shell(context: &ReplyContext, created: Option<i64>, model: &str) -> Map<String, Value> {
    let model = if model.is_empty() { context.model.as_str() } else { model };
    let members = [
        ("id", format!("resp_{}", context.id).into()),
        ("object", "response".into()),
        ("created_at", created.unwrap_or(context.created).into()),
        ("status", "in_progress".into()),
        ("background", false.into()),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("model", model.into()),
        ("output", json!([])),
        ("parallel_tool_calls", true.into()),
        ("previous_response_id", Value::Null),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("store", false.into()),
        ("temperature", Value::Null),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", "auto".into()),
        ("tools", json!([])),
        ("top_p", Value::Null),
        ("truncation", "disabled".into()),
        ("usage", Value::Null),
        ("user", Value::Null),
        ("metadata", json!({})),
    ];
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes how the answer stands into its object.
pub(super) fn settle(shell: &mut Map<String, Value>, status: Status, usage: Option<&Usage>) {
    shell.insert("status".into(), status.name().into());
    if let Status::Incomplete(reason) = status {
        shell.insert("incomplete_details".into(), json!({"reason": reason}));
    }
    if let Some(usage) = usage {
        shell.insert("usage".into(), usage_value(usage));
    }
}

/// The id of an answer's item, unique in it and, with the request's own id in it, beyond.
pub(super) fn item_id(prefix: &str, context: &ReplyContext, index: usize) -> String {
    format!("{prefix}_{}{index:04x}", context.id)
}

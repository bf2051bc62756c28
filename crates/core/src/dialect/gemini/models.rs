//! How the generations of models differ in what they take. Unknown names count as the newest: names are open-ended, and
//! only what is known to be old needs an exception.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingBy {
    /// Not at all: it refuses the setting.
    Nothing,
    /// By a budget between these bounds; from 0 only where it can be told not to think.
    Budget { least: u64, most: u64 },
    /// By a level; `MINIMAL` only where there is one.
    Level { minimal: bool },
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Habits {
    pub(super) thinking: ThinkingBy,
    /// JSON output and functions in one request.
    pub(super) json_with_tools: bool,
    /// Frequency and presence penalties.
    pub(super) penalties: bool,
}

impl Habits {
    /// Of the model of this name.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let is = |prefix: &str| name.starts_with(prefix);
        if is("gemini-2.5") {
            let least = if is("gemini-2.5-pro") { 128 } else { 0 };
            let most = if is("gemini-2.5-pro") { 32_768 } else { 24_576 };
            let thinking = ThinkingBy::Budget { least, most };
            return Self { thinking, json_with_tools: false, penalties: false };
        }
        if is("gemini-1") || is("gemini-2") || is("gemini-pro") || is("gemma") || is("learnlm") {
            return Self { thinking: ThinkingBy::Nothing, json_with_tools: false, penalties: true };
        }
        let thinking = ThinkingBy::Level { minimal: !name.contains("pro") };
        Self { thinking, json_with_tools: true, penalties: true }
    }
}

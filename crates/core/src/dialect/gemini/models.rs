//! How the generations of models differ in what they take. Unknown names count as the newest: names are open-ended, and
//! only what is known to be old needs an exception.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingBy {
    /// Not at all: it refuses the setting.
    Nothing,
    /// By a budget between these bounds; `off` is what comes closest to not thinking, 0 where it can be told not to.
    Budget { off: u64, least: u64, most: u64 },
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
    /// Media inside of a tool's result: others take them beside it.
    pub(super) media_in_results: bool,
    /// System prompts.
    pub(super) system: bool,
}

impl Habits {
    /// Of the model of this name.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let is = |prefix: &str| name.starts_with(prefix);
        let (thinking, old, penalties) = if is("gemini-2.5-pro") {
            (ThinkingBy::Budget { off: 128, least: 128, most: 32_768 }, true, false)
        } else if is("gemini-2.5-flash-lite") {
            (ThinkingBy::Budget { off: 0, least: 512, most: 24_576 }, true, false)
        } else if is("gemini-2.5") {
            (ThinkingBy::Budget { off: 0, least: 1, most: 24_576 }, true, false)
        } else if is("gemini-1") || is("gemini-2") || is("gemini-pro") || is("gemma") || is("learnlm") {
            (ThinkingBy::Nothing, true, true)
        } else {
            (ThinkingBy::Level { minimal: !name.contains("pro") }, false, true)
        };
        let system = !["gemma-2", "gemma-3"].into_iter().any(is);
        Self { thinking, json_with_tools: !old, penalties, media_in_results: !old, system }
    }
}

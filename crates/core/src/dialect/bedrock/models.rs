//! What the models behind Converse take and refuse, by the model's name: facts that the API does not state itself.
//!
//! A name is a model's id (`anthropic.claude-opus-4-5-20251101-v1:0`), an inference profile's (`eu.amazon.nova-pro-v1:0`)
//! or an ARN that ends in one. Of names that say nothing (an application's own profile) only what every model takes is
//! assumed.

/// How a model is asked to reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thought {
    /// It cannot be asked.
    No,
    /// Claude: `thinking` with a budget of tokens.
    Budget,
    /// Claude from 4.6: adaptive `thinking`, with an effort.
    Adaptive,
    /// Nova from 2: `reasoningConfig`, with an effort.
    Nova,
    /// `reasoning_effort`.
    Effort,
}

/// Where `top_k` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopK {
    /// Nowhere.
    No,
    /// `top_k` among the model's own parameters.
    Plain,
    /// `inferenceConfig.topK` among them.
    Nova,
}

/// Where cache points may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caching {
    /// Nowhere.
    No,
    /// In system prompts and messages.
    Prompt,
    /// After tools as well.
    All,
    /// And they may last an hour.
    Hour,
}

/// Which of `temperature` and `topP` a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampling {
    /// Both.
    Both,
    /// One of them.
    One,
    /// None.
    No,
}

/// What a model takes and refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Habits {
    /// Anthropic's: signed reasoning, stop sequences with something to see.
    pub(super) claude: bool,
    /// A later Claude, which has more levels of effort.
    pub(super) many_efforts: bool,
    /// It reasons unless told not to.
    pub(super) thinks_unasked: bool,
    /// It cannot be told not to reason.
    pub(super) always_thinks: bool,
    pub(super) thought: Thought,
    pub(super) top_k: TopK,
    pub(super) caching: Caching,
    pub(super) sampling: Sampling,
    /// `outputConfig.textFormat` works.
    pub(super) json_schema: bool,
    /// A call can be forced.
    pub(super) forced_tools: bool,
    /// A call can be forced while it reasons.
    pub(super) thinks_when_forced: bool,
    /// A tool result can say that the tool failed.
    pub(super) result_status: bool,
}

/// Where the name says nothing.
const UNKNOWN: Habits = Habits {
    claude: false,
    many_efforts: false,
    thinks_unasked: false,
    always_thinks: false,
    thought: Thought::No,
    top_k: TopK::No,
    caching: Caching::All,
    sampling: Sampling::Both,
    json_schema: false,
    forced_tools: true,
    thinks_when_forced: true,
    result_status: true,
};

/// Makers whose models take a schema for their text, where it is not all of them: by the beginning of the names.
const SCHEMA_TAKERS: [&str; 11] = [
    "openai.",
    "qwen.",
    "deepseek.v3",
    "google.gemma-3",
    "minimax.",
    "moonshot",
    "nvidia.",
    "mistral.ministral-3",
    "mistral.mistral-large-3",
    "mistral.magistral",
    "mistral.voxtral",
];

impl Habits {
    /// Of the model of this name.
    pub(super) fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        // What an ARN ends in; then without the region of an inference profile.
        let id = model.rsplit('/').next().unwrap_or(&model);
        if let Some(at) = id.find("claude-") {
            return claude(&id[at + "claude-".len()..]);
        }
        let id = match id.split_once('.') {
            Some((region, rest)) if rest.contains('.') && is_region(region) => rest,
            _ => id,
        };
        let Some((maker, name)) = id.split_once('.') else { return UNKNOWN };
        let other = Self {
            caching: Caching::No,
            json_schema: SCHEMA_TAKERS.iter().any(|known| id.starts_with(known)),
            result_status: false,
            ..UNKNOWN
        };
        match maker {
            "amazon" if name.starts_with("nova") => Self {
                thought: if name.starts_with("nova-2") { Thought::Nova } else { Thought::No },
                top_k: TopK::Nova,
                caching: Caching::Prompt,
                result_status: true,
                ..other
            },
            "openai" | "moonshot" | "moonshotai" => Self { thought: Thought::Effort, ..other },
            "mistral" => Self { top_k: TopK::Plain, ..other },
            _ => other,
        }
    }
}

fn is_region(prefix: &str) -> bool {
    matches!(prefix, "us" | "eu" | "apac" | "au" | "jp" | "ca" | "sa" | "me" | "il" | "in" | "global" | "us-gov")
}

/// By what follows `claude-`: `sonnet-4-5-20250929-v1:0`, `3-7-sonnet-20250219-v1:0`.
fn claude(name: &str) -> Habits {
    let mut words = name.split(['-', ':', '@']);
    // Dates are numbers too, but longer.
    let small = |word: Option<&str>| word.filter(|w| w.len() <= 2).and_then(|w| w.parse::<u8>().ok());
    let first = words.next().unwrap_or_default();
    let (tier, major) = match small(Some(first)) {
        Some(major) => ("", Some(major)),
        None => (first, small(words.next())),
    };
    let version = (major.unwrap_or(0), small(words.next()).unwrap_or(0));
    let (five_five, fable) = (version >= (5, 5), matches!(tier, "fable" | "mythos"));
    let forced_tools = !(fable && version >= (5, 1) || five_five && matches!(tier, "sonnet" | "opus"));
    Habits {
        claude: true,
        many_efforts: version >= (4, 7),
        thinks_unasked: version >= (5, 0),
        always_thinks: !forced_tools || fable,
        thought: match version {
            v if v >= (4, 6) => Thought::Adaptive,
            v if v >= (3, 7) => Thought::Budget,
            _ => Thought::No,
        },
        top_k: if version >= (4, 7) { TopK::No } else { TopK::Plain },
        caching: match version {
            v if v >= (4, 5) => Caching::Hour,
            v if v >= (3, 5) => Caching::All,
            _ => Caching::No,
        },
        sampling: match version {
            v if v >= (4, 7) => Sampling::No,
            v if v >= (4, 1) => Sampling::One,
            _ => Sampling::Both,
        },
        // Documented for more, but refused or ignored by the others as served; where no call can be forced, it must do.
        json_schema: !forced_tools || matches!((tier, version), ("sonnet" | "opus", (4, 5)) | ("opus", (4, 6))),
        forced_tools,
        thinks_when_forced: version >= (4, 8),
        result_status: version >= (3, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let of = Habits::of;
        let arn =
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0";
        // (name, thought, sampling, caching, schema)
        let cases = [
            ("anthropic.claude-3-haiku-20240307-v1:0", Thought::No, Sampling::Both, Caching::No, false),
            ("anthropic.claude-3-5-sonnet-20240620-v1:0", Thought::No, Sampling::Both, Caching::All, false),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Thought::Budget, Sampling::Both, Caching::All, false),
            ("anthropic.claude-sonnet-4-20250514-v1:0", Thought::Budget, Sampling::Both, Caching::All, false),
            ("anthropic.claude-opus-4-1-20250805-v1:0", Thought::Budget, Sampling::One, Caching::All, false),
            (arn, Thought::Budget, Sampling::One, Caching::Hour, true),
            ("global.anthropic.claude-opus-4-6-v1", Thought::Adaptive, Sampling::One, Caching::Hour, true),
            ("anthropic.claude-opus-4-7", Thought::Adaptive, Sampling::No, Caching::Hour, false),
            ("anthropic.claude-sonnet-5", Thought::Adaptive, Sampling::No, Caching::Hour, false),
            ("anthropic.claude-opus-5-5", Thought::Adaptive, Sampling::No, Caching::Hour, true),
            ("eu.amazon.nova-pro-v1:0", Thought::No, Sampling::Both, Caching::Prompt, false),
            ("global.amazon.nova-2-lite-v1:0", Thought::Nova, Sampling::Both, Caching::Prompt, false),
            ("openai.gpt-oss-120b-1:0", Thought::Effort, Sampling::Both, Caching::No, true),
            ("qwen.qwen3-32b-v1:0", Thought::No, Sampling::Both, Caching::No, true),
            ("us.meta.llama3-3-70b-instruct-v1:0", Thought::No, Sampling::Both, Caching::No, false),
            ("us.deepseek.r1-v1:0", Thought::No, Sampling::Both, Caching::No, false),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
                Thought::No,
                Sampling::Both,
                Caching::All,
                false,
            ),
        ];
        for (name, thought, sampling, caching, schema) in cases {
            let h = of(name);
            assert_eq!(
                (h.thought, h.sampling, h.caching, h.json_schema),
                (thought, sampling, caching, schema),
                "{name}"
            );
        }
        for (name, forced) in [("anthropic.claude-opus-5-5", false), ("anthropic.claude-fable-5", true)] {
            assert_eq!(of(name).forced_tools, forced, "{name}");
        }
        assert!(of("anthropic.claude-fable-5").always_thinks);
        assert_eq!(of("anthropic.claude-instant-v1").thought, Thought::No);
    }
}

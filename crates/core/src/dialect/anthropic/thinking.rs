//! How a request asks this API for thoughts: a budget (models up to 4.5), or as the model sees fit with an effort.

use super::shared::HOME;
use crate::chat::{Effort, Request, Thinking};
use crate::dialect::names::{Name, name};
use crate::dialect::{Inexpressible, Losses, Target};
use crate::registry::Capabilities;

/// The least budget that the API takes.
const MIN_BUDGET: u64 = 1024;

/// As many tokens as every model that thinks can put out.
const MAX_RAISED: u64 = 32_000;

/// What `thinking` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing.
    Silent,
    Disabled,
    Adaptive,
    /// A budget in tokens.
    Budget(u64),
}

/// What a request says of thoughts and of the cap, which includes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) effort: Option<Effort>,
    pub(super) show: Option<bool>,
    pub(super) max_tokens: u64,
}

/// What about the rest of the request matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// A call is forced.
    pub(super) forced: bool,
    /// The calls that are being answered began without thoughts of this API's own.
    pub(super) unsigned_loop: bool,
}

/// The plan; what it cannot keep is named in `losses`.
pub(super) fn plan(
    request: &Request,
    target: &Target<'_>,
    around: Around,
    losses: &mut Losses,
) -> Result<Plan, Inexpressible> {
    let capped = |tokens: u64| target.cap.map_or(tokens, |cap| tokens.min(cap));
    let plain = capped(request.max_output_tokens.unwrap_or(target.default_cap));
    let silent = Plan { mode: Mode::Silent, effort: None, show: None, max_tokens: plain };
    let Some(thinking) = &request.reasoning else { return Ok(silent) };
    let home = request.origin == HOME;
    let wanted = if home { as_written(thinking) } else { translated(thinking, target) };
    let plan = Plan { effort: effort(thinking, target, home), show: thinking.show, ..silent };
    let lost = |losses: &mut Losses| losses.drop(name(Name::Reasoning, request.origin)).map(|()| silent);
    match wanted {
        Mode::Silent => Ok(Plan { effort: if home { plan.effort } else { None }, show: None, ..plan }),
        Mode::Disabled => Ok(Plan { mode: wanted, effort: if home { plan.effort } else { None }, show: None, ..plan }),
        _ if target.capabilities.is_some_and(|c| !c.has(Capabilities::REASONING)) => lost(losses),
        Mode::Adaptive if around.forced && !home => lost(losses),
        Mode::Adaptive => Ok(Plan { mode: wanted, ..plan }),
        // The API refuses both with a budget.
        Mode::Budget(_) if around.forced || around.unsigned_loop => lost(losses),
        Mode::Budget(budget) => {
            let budget = budget.max(MIN_BUDGET);
            let max_tokens = match request.max_output_tokens {
                Some(_) => plain,
                // Nobody set a limit, so the usual one makes room for thoughts where it is small.
                None => {
                    let visible = target.default_cap.min(4 * MIN_BUDGET);
                    capped(target.default_cap.max(budget.saturating_add(visible).min(MAX_RAISED)))
                }
            };
            // A budget that the client wrote itself and that fits is its own business; else what is usual without
            // thoughts stays visible, or a quarter.
            let visible = if home { 1 } else { target.default_cap.min(max_tokens / 4) };
            let fits = budget.saturating_add(visible) <= max_tokens;
            let budget = if fits { budget } else { max_tokens - max_tokens / 4 };
            if budget < MIN_BUDGET || budget >= max_tokens {
                return lost(losses);
            }
            let effort = if home { plan.effort } else { None };
            Ok(Plan { mode: Mode::Budget(budget), effort, max_tokens, ..plan })
        }
    }
}

/// From this API: as its client wrote it.
fn as_written(thinking: &Thinking) -> Mode {
    match (thinking.enabled, thinking.budget_tokens) {
        (Some(true), Some(budget)) => Mode::Budget(budget),
        (Some(true), None) => Mode::Adaptive,
        (Some(false), _) => Mode::Disabled,
        (None, _) => Mode::Silent,
    }
}

fn translated(thinking: &Thinking, target: &Target<'_>) -> Mode {
    let budget = thinking.budget_tokens.or(thinking.effort.map(Effort::budget_tokens));
    let off = thinking.enabled == Some(false) || budget == Some(0);
    let on = thinking.enabled == Some(true) || budget.is_some();
    match (takes_adaptive(target), off, on) {
        (true, true, _) => Mode::Disabled,
        // These models do not think unless they are told to.
        (false, true, _) | (_, _, false) => Mode::Silent,
        (true, false, true) => Mode::Adaptive,
        (false, false, true) => Mode::Budget(budget.unwrap_or(Effort::Medium.budget_tokens())),
    }
}

/// `output_config.effort`, which has neither `none` nor `minimal`, and `xhigh` from 4.7 on only.
fn effort(thinking: &Thinking, target: &Target<'_>, home: bool) -> Option<Effort> {
    let effort = thinking.effort.or(thinking.budget_tokens.map(Effort::of_budget).filter(|_| !home))?;
    Some(match effort {
        own if home => own,
        Effort::None | Effort::Minimal => Effort::Low,
        Effort::XHigh if version(target.model).is_some_and(|v| v < (4, 7)) => Effort::High,
        other => other,
    })
}

/// Whether the model decides itself how long to think. Where the name does not say which model it is, the version of
/// the API does.
pub(super) fn takes_adaptive(target: &Target<'_>) -> bool {
    version(target.model).map_or(target.no_sampling, |v| v >= (4, 6))
}

/// Whether the model takes a JSON schema for its output.
pub(super) fn takes_schema(target: &Target<'_>) -> bool {
    version(target.model).is_none_or(|v| v >= (4, 1))
}

/// Whether the model takes only one of `temperature` and `top_p`.
pub(super) fn samples_one_way(target: &Target<'_>) -> bool {
    version(target.model).is_some_and(|v| v >= (4, 1))
}

/// The version in names like `claude-opus-4-1-20250805`, `claude-3-5-haiku-latest`, `anthropic/claude-sonnet-4.5`.
pub(super) fn version(model: &str) -> Option<(u32, u32)> {
    let (_, rest) = model.split_once("claude")?;
    let words: Vec<_> = rest.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    // Longer numbers are dates.
    let number = |word: &str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
    let at = words.iter().position(|word| number(word).is_some())?;
    let minor = words.get(at + 1).and_then(|word| number(word));
    Some((number(words[at])?, minor.unwrap_or(0)))
}

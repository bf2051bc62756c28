//! Writing the parameters of the answer: caps, sampling, reasoning.

use serde_json::{Map, Number, Value, json};

use super::encode_parts::spoken;
use super::encode_request::Writer;
use super::encode_tools::within;
use super::models::{Sampling, Thought, TopK};
use crate::chat::{Content, Effort, Message, Part, Role, Signature, Thinking, ToolChoice};
use crate::dialect::Inexpressible;
use crate::dialect::names::Name;
use crate::registry::Dialect;

/// The smallest budget of thought that Claude takes.
const LEAST_BUDGET: u64 = 1_024;
/// Where the model's own parameters go.
const OWN: &str = "additionalModelRequestFields";

impl Writer<'_> {
    /// `inferenceConfig` and the model's own parameters.
    pub(super) fn config(&mut self, body: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        let request = self.request;
        for (name, given) in [
            ("frequency_penalty", request.frequency_penalty.is_some()),
            ("presence_penalty", request.presence_penalty.is_some()),
            ("seed", request.seed.is_some()),
            ("logprobs", request.logprobs.is_some()),
            ("verbosity", request.verbosity.is_some()),
            (self.name(Name::User), request.user.is_some()),
        ] {
            if given {
                self.losses.drop(name)?;
            }
        }
        let cap = match (request.max_output_tokens, self.target.cap) {
            (Some(wanted), Some(cap)) => Some(wanted.min(cap)),
            (wanted, cap) => wanted.or(cap),
        };
        if cap == Some(0) && !self.home {
            let why = "this model's API takes no request for an answer of no tokens";
            return self.losses.refuse(self.name(Name::MaxTokens), why);
        }
        if let Some(cap) = cap {
            within(body, "inferenceConfig").insert("maxTokens".into(), cap.into());
        }
        self.stops(body)?;
        let thinks = self.reasoning(body, cap)?;
        self.sampling(body, thinks)
    }

    fn stops(&mut self, body: &mut Map<String, Value>) -> Result<(), Inexpressible> {
        // Claude refuses sequences that show nothing, and every model empty ones.
        let taken = |stop: &&String| if self.habits.claude && !self.home { spoken(stop) } else { !stop.is_empty() };
        let stops: Vec<&String> = self.request.stop.iter().filter(taken).collect();
        if stops.len() < self.request.stop.len() {
            self.losses.drop(self.name(Name::Stop))?;
        }
        if stops.is_empty() {
            return Ok(());
        }
        within(body, "inferenceConfig").insert("stopSequences".into(), json!(stops));
        if self.habits.claude && !self.home {
            // Which sequence it was comes back only if asked for.
            body.insert("additionalModelResponseFieldPaths".into(), json!(["/stop_sequence"]));
        }
        Ok(())
    }

    /// Asks for reasoning; returns whether the model will.
    fn reasoning(&mut self, body: &mut Map<String, Value>, cap: Option<u64>) -> Result<bool, Inexpressible> {
        let habits = self.habits;
        let Some(thinking) = &self.request.reasoning else { return Ok(habits.thinks_unasked) };
        let off = thinking.enabled == Some(false)
            || thinking.effort == Some(Effort::None)
            || thinking.budget_tokens == Some(0);
        // At home a name that says nothing gets what the client wrote, which is mostly Claude's.
        let thought = match habits.thought {
            Thought::No if self.home && thinking.budget_tokens.is_some() => Thought::Budget,
            Thought::No if self.home => Thought::Adaptive,
            thought => thought,
        };
        if off {
            return self.no_reasoning(body, thought);
        }
        let given = thinking.effort.or_else(|| thinking.budget_tokens.map(Effort::of_budget));
        match thought {
            Thought::No => {
                self.losses.drop(self.name(Name::Reasoning))?;
                return Ok(false);
            }
            Thought::Budget | Thought::Adaptive if self.forces_call() && !habits.thinks_when_forced => {
                self.losses.drop(self.name(Name::Reasoning))?;
                return Ok(false);
            }
            Thought::Budget => return self.budget(body, thinking, cap),
            Thought::Adaptive => {
                let mut claude = json!({"type": "adaptive"});
                display(thinking, &mut claude);
                within(body, OWN).insert("thinking".into(), claude);
                if let Some(effort) = given {
                    let effort = self.claude_effort(effort);
                    within(within(body, OWN), "output_config").insert("effort".into(), effort.into());
                }
            }
            Thought::Nova => {
                // At its highest effort Nova lets nothing else be said about the answer's length or sampling.
                let said = cap.is_some() || self.request.temperature.is_some() || self.request.top_p.is_some();
                let effort = match given {
                    Some(Effort::High | Effort::XHigh | Effort::Max) if !said => "high",
                    Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
                    _ => "medium",
                };
                let nova = json!({"type": "enabled", "maxReasoningEffort": effort});
                within(body, OWN).insert("reasoningConfig".into(), nova);
            }
            Thought::Effort => {
                let effort = match given {
                    Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
                    Some(Effort::Medium) | None => "medium",
                    Some(Effort::High | Effort::XHigh | Effort::Max) => "high",
                };
                within(body, OWN).insert("reasoning_effort".into(), effort.into());
            }
        }
        Ok(true)
    }

    fn no_reasoning(&mut self, body: &mut Map<String, Value>, thought: Thought) -> Result<bool, Inexpressible> {
        match thought {
            Thought::Budget | Thought::Adaptive if self.habits.always_thinks => {
                self.losses.drop(self.name(Name::Reasoning))?;
                return Ok(true);
            }
            Thought::Budget | Thought::Adaptive if self.home || self.habits.thinks_unasked => {
                within(body, OWN).insert("thinking".into(), json!({"type": "disabled"}));
            }
            Thought::Nova if self.home => {
                within(body, OWN).insert("reasoningConfig".into(), json!({"type": "disabled"}));
            }
            // It always reasons a little.
            Thought::Effort => {
                within(body, OWN).insert("reasoning_effort".into(), "low".into());
            }
            // Their habit.
            Thought::Budget | Thought::Adaptive | Thought::Nova | Thought::No => {}
        }
        Ok(false)
    }

    fn budget(
        &mut self,
        body: &mut Map<String, Value>,
        thinking: &Thinking,
        cap: Option<u64>,
    ) -> Result<bool, Inexpressible> {
        let wanted =
            thinking.budget_tokens.unwrap_or_else(|| thinking.effort.unwrap_or(Effort::Medium).budget_tokens());
        let wanted = wanted.max(LEAST_BUDGET);
        // Something must be left for the answer: how much is the client's business where it states a budget.
        let left = |cap: u64| if thinking.budget_tokens.is_some() { 1 } else { cap / 4 };
        let budget = cap.map_or(wanted, |cap| wanted.min(cap.saturating_sub(left(cap))));
        if budget < LEAST_BUDGET || self.lost_thoughts() {
            self.losses.drop(self.name(Name::Reasoning))?;
            return Ok(false);
        }
        let mut claude = json!({"type": "enabled", "budget_tokens": budget});
        if self.home {
            display(thinking, &mut claude);
        } else if thinking.show == Some(false) {
            // These always show them.
            self.losses.drop(self.name(Name::ShowThoughts))?;
        }
        within(body, OWN).insert("thinking".into(), claude);
        Ok(true)
    }

    /// The effort's name for an adaptive Claude.
    fn claude_effort(&self, effort: Effort) -> &'static str {
        let opus = self.target.model.contains("opus");
        match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh if self.habits.many_efforts => "xhigh",
            Effort::Max if self.habits.many_efforts || opus => "max",
            Effort::XHigh | Effort::Max => "high",
        }
    }

    fn forces_call(&self) -> bool {
        self.json_tool.is_some() || matches!(self.request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)))
    }

    /// The turn that the tools' results answer began with thoughts which the client lost: Claude would refuse to think on.
    fn lost_thoughts(&self) -> bool {
        let mut turns = self.request.messages.iter().rev();
        let answered = |m: &&Message| m.parts.iter().any(|p| matches!(p.content, Content::ToolResult(_)));
        let Some(last) = turns.find(|m| m.role == Role::Assistant || answered(m)) else { return false };
        if last.role == Role::Assistant {
            return false;
        }
        let Some(calls) = turns.find(|m| m.role == Role::Assistant) else { return false };
        let kept = |s: &Signature| matches!(s.dialect, Dialect::Bedrock | Dialect::Anthropic);
        let thought =
            |p: &Part| matches!(p.content, Content::Reasoning { .. }) && p.signature.as_ref().is_some_and(kept);
        !calls.parts.iter().any(thought)
    }

    fn sampling(&mut self, body: &mut Map<String, Value>, thinks: bool) -> Result<(), Inexpressible> {
        let request = self.request;
        let none = self.target.no_sampling || self.habits.sampling == Sampling::No;
        let thinking_claude = thinks && self.habits.claude;
        let value = |number: &Number| number.as_f64().unwrap_or(0.0);
        let mut both = false;
        if let Some(temperature) = &request.temperature {
            if none || thinking_claude && value(temperature) != 1.0 {
                self.losses.drop("temperature")?;
            } else {
                let mut written = Value::from(temperature.clone());
                if value(temperature) > 1.0 {
                    // The scale ends there.
                    self.losses.drop("temperature")?;
                    written = 1.into();
                }
                within(body, "inferenceConfig").insert("temperature".into(), written);
                both = true;
            }
        }
        if let Some(top_p) = &request.top_p {
            let clash = both && self.habits.sampling == Sampling::One;
            if none || clash || thinking_claude && value(top_p) < 0.95 {
                self.losses.drop("top_p")?;
            } else {
                within(body, "inferenceConfig").insert("topP".into(), top_p.clone().into());
            }
        }
        if let Some(top_k) = request.top_k {
            match self.habits.top_k {
                _ if none || thinking_claude => self.losses.drop("top_k")?,
                TopK::Nova => {
                    within(within(body, OWN), "inferenceConfig").insert("topK".into(), top_k.into());
                }
                TopK::No if !self.home => self.losses.drop("top_k")?,
                TopK::No | TopK::Plain => {
                    within(body, OWN).insert("top_k".into(), top_k.into());
                }
            }
        }
        Ok(())
    }
}

/// Whether the thoughts are to be shown, where the client says.
fn display(thinking: &Thinking, claude: &mut Value) {
    if let Some(show) = thinking.show {
        claude["display"] = if show { "summarized" } else { "omitted" }.into();
    }
}

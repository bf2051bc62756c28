//! A request in canonical form into this API's: what stands beside the conversation and the tools.

use serde_json::{Map, Number, Value, json};

use super::block;
use super::encode_tools::{self, Tools};
use super::encode_turns::{self, Turn, unsigned_loop};
use super::shared::HOME;
use super::thinking::{self, Around, Mode, Plan, samples_one_way};
use crate::chat::{Extras, Request};
use crate::dialect::names::{Name, name};
use crate::dialect::wire::put;
use crate::dialect::{Encoded, Inexpressible, Losses, Target};

/// What every writing of a request returns.
pub(super) type Result<T> = std::result::Result<T, Inexpressible>;

/// Writes a request.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let mut writer = Writer { request, target, home: request.origin == HOME, losses: Losses::new(target.strict) };
    let (system, turns) = encode_turns::write(&mut writer)?;
    let Tools { tools, choice, forced, format, json_tool } = encode_tools::write(&mut writer)?;
    let around = Around { forced, unsigned_loop: unsigned_loop(&turns) };
    let plan = thinking::plan(request, target, around, &mut writer.losses)?;

    let mut body = Map::new();
    body.insert("model".into(), target.model.into());
    body.insert("max_tokens".into(), plan.max_tokens.into());
    if !system.is_empty() {
        body.insert("system".into(), block::content(system));
    }
    body.insert("messages".into(), turns.into_iter().map(Turn::value).collect());
    put(&mut body, "tools", tools);
    put(&mut body, "tool_choice", choice);
    put(&mut body, "thinking", thinking_value(&plan));
    let mut output = Map::new();
    put(&mut output, "effort", plan.effort.map(|e| e.name()));
    put(&mut output, "format", format);
    if !output.is_empty() {
        body.insert("output_config".into(), output.into());
    }
    writer.sampling(&plan, &mut body)?;
    writer.stops(&mut body)?;
    if let Some(user) = &request.user {
        body.insert("metadata".into(), json!({"user_id": user}));
    }
    if request.stream {
        body.insert("stream".into(), true.into());
    }
    writer.others(&mut body)?;
    let body = Value::Object(body).to_string().into_bytes();
    Ok(Encoded { body, dropped: writer.losses.into_names(), json_tool })
}

fn thinking_value(plan: &Plan) -> Option<Value> {
    let mut thinking = block::map(match plan.mode {
        Mode::Silent => return None,
        Mode::Disabled => json!({"type": "disabled"}),
        Mode::Adaptive => json!({"type": "adaptive"}),
        Mode::Budget(tokens) => json!({"type": "enabled", "budget_tokens": tokens}),
    });
    put(&mut thinking, "display", plan.show.map(|show| if show { "summarized" } else { "omitted" }));
    Some(thinking.into())
}

/// One request on its way out.
pub(super) struct Writer<'a> {
    pub(super) request: &'a Request,
    pub(super) target: &'a Target<'a>,
    /// The request came from this API.
    pub(super) home: bool,
    pub(super) losses: Losses,
}

impl Writer<'_> {
    /// The client's name for a field.
    pub(super) fn name(&self, field: Name) -> &'static str {
        name(field, self.request.origin)
    }

    /// Leaves out the extras of something in `parent`.
    pub(super) fn drop_members(&mut self, parent: &str, extras: &Extras) -> Result<()> {
        extras.keys().try_for_each(|name| self.losses.drop(format!("{parent}{name}")))
    }

    /// Temperature goes to 1 here; with thoughts it is fixed, and so is most of the rest.
    fn sampling(&mut self, plan: &Plan, body: &mut Map<String, Value>) -> Result<()> {
        let request = self.request;
        let thinks = matches!(plan.mode, Mode::Adaptive | Mode::Budget(_)) && !self.home;
        let none = self.target.no_sampling;
        let float = |n: &Number| n.as_f64().unwrap_or_default();
        if let Some(temperature) = &request.temperature {
            let (high, one) = (float(temperature) > 1.0, float(temperature) == 1.0);
            if none || high || (thinks && !one) {
                self.losses.drop("temperature")?;
            }
            if !none && !thinks {
                body.insert("temperature".into(), if high { 1.into() } else { temperature.clone().into() });
            }
        }
        if let Some(top_p) = &request.top_p {
            let second = !self.home && body.contains_key("temperature") && samples_one_way(self.target);
            if none || second || (thinks && float(top_p) < 0.95) {
                self.losses.drop("top_p")?;
            } else {
                body.insert("top_p".into(), top_p.clone().into());
            }
        }
        if let Some(top_k) = request.top_k {
            if none || thinks {
                self.losses.drop("top_k")?;
            } else {
                body.insert("top_k".into(), top_k.into());
            }
        }
        Ok(())
    }

    /// The API refuses sequences of white space alone.
    fn stops(&mut self, body: &mut Map<String, Value>) -> Result<()> {
        let blank = |stop: &&String| !self.home && stop.trim().is_empty();
        if self.request.stop.iter().any(|s| blank(&s)) {
            self.losses.drop(self.name(Name::Stop))?;
        }
        let kept: Vec<_> = self.request.stop.iter().filter(|s| self.home || !s.trim().is_empty()).cloned().collect();
        if !kept.is_empty() {
            body.insert("stop_sequences".into(), kept.into());
        }
        Ok(())
    }

    /// What this API has no field for, and the extras.
    fn others(&mut self, body: &mut Map<String, Value>) -> Result<()> {
        let request = self.request;
        if request.n.is_some_and(|n| n > 1) {
            return self.losses.refuse("n", "the model's API gives one answer");
        }
        let unknown = [
            ("frequency_penalty", request.frequency_penalty.is_some()),
            ("presence_penalty", request.presence_penalty.is_some()),
            ("seed", request.seed.is_some()),
            ("logprobs", request.logprobs.is_some()),
            ("verbosity", request.verbosity.is_some()),
        ];
        for (field, _) in unknown.into_iter().filter(|(_, given)| *given) {
            self.losses.drop(field)?;
        }
        if !self.home {
            return self.drop_members("", &request.extras);
        }
        for (key, value) in &request.extras {
            match (body.get_mut(key), value) {
                // `metadata` and `output_config`: the rest of what is there in part.
                (Some(Value::Object(present)), Value::Object(more)) => {
                    for (k, v) in more {
                        present.entry(k).or_insert_with(|| v.clone());
                    }
                }
                (Some(_), _) => {}
                (None, _) => drop(body.insert(key.clone(), value.clone())),
            }
        }
        Ok(())
    }
}

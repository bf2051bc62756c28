//! What the caller says about a request beside the request: the body's `waypost` member and the `x-waypost-*` headers.
//! It parses and checks; what the hints mean is decided in [`crate::route`].

use crate::profile::Class;
use crate::units::NanoUsd;
use serde_json::{Map, Value};
use std::time::Duration;

/// Hints of one request. The body wins over headers, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Named step of the client's pipeline.
    pub stage: Option<String>,
    /// Named route.
    pub route: Option<String>,
    /// Who waits.
    pub class: Option<Class>,
    /// The request's own tags.
    pub tags: Vec<(String, String)>,
    /// Conversation, for stickiness.
    pub session: Option<String>,
    /// The request holds personal data or secrets.
    pub sensitive: Option<bool>,
    /// Ceiling of the expected cost.
    pub max_cost: Option<NanoUsd>,
    /// Ceiling of the expected latency, milliseconds.
    pub max_latency_ms: Option<f32>,
    /// Floor of the expected quality.
    pub min_quality: Option<f32>,
    /// What matters most to the caller at level `auto`.
    pub prefer: Option<Prefer>,
    /// Time that the caller waits for the whole answer.
    pub deadline: Option<Duration>,
}

/// What `prefer` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// Cheapest first.
    Cost,
    /// Fastest first.
    Latency,
    /// Best first.
    Quality,
    /// The usual weights.
    Balanced,
}

/// A hint that cannot be understood: where, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintError {
    /// `waypost.hints.min_quality` or `x-waypost-min-quality`.
    pub field: String,
    /// What it takes.
    pub message: String,
}

impl std::fmt::Display for HintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.field, self.message)
    }
}

fn error<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, HintError> {
    Err(HintError { field: field.into(), message: message.into() })
}

/// Longest tag, session or name accepted, bytes.
const LONGEST: usize = 256;
/// Most tags accepted.
const MOST_TAGS: usize = 32;

impl Hints {
    /// Takes one header (name in lower case, without `x-waypost-`); a field that is set already stays, so the body is
    /// read first. Unknown names are ignored: newer clients may send more.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), HintError> {
        let field = || format!("x-waypost-{name}");
        match name {
            "stage" => fill(&mut self.stage, || text(field(), value)),
            "route" => fill(&mut self.route, || text(field(), value)),
            "session" => fill(&mut self.session, || text(field(), value)),
            "class" => fill(&mut self.class, || class(field(), value)),
            "prefer" => fill(&mut self.prefer, || prefer(field(), value)),
            "sensitive" => fill(&mut self.sensitive, || match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => error(field(), "must be true or false"),
            }),
            "max-cost-usd" => fill(&mut self.max_cost, || number(field(), value).and_then(|n| cost(field(), n))),
            "max-latency-ms" => {
                fill(&mut self.max_latency_ms, || number(field(), value).and_then(|n| latency(field(), n)))
            }
            "min-quality" => fill(&mut self.min_quality, || number(field(), value).and_then(|n| quality(field(), n))),
            "deadline-ms" => fill(&mut self.deadline, || number(field(), value).and_then(|n| deadline(field(), n))),
            "tags" => self.header_tags(&field(), value),
            _ => Ok(()),
        }
    }

    fn header_tags(&mut self, field: &str, value: &str) -> Result<(), HintError> {
        for pair in value.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((k, v)) = pair.split_once('=') else {
                return error(field, "must be a list like surface=support,tenant=acme");
            };
            self.tag(field, k.trim(), v.trim())?;
        }
        Ok(())
    }

    fn tag(&mut self, field: &str, key: &str, value: &str) -> Result<(), HintError> {
        let (key, value) = (text(field.into(), key)?, text(field.into(), value)?);
        if self.tags.iter().any(|(k, _)| *k == key) {
            return Ok(());
        }
        if self.tags.len() == MOST_TAGS {
            return error(field, format!("has more than {MOST_TAGS} tags"));
        }
        self.tags.push((key, value));
        Ok(())
    }

    /// Parses the value of the body's `waypost` member (valid JSON already).
    pub fn body(json: &[u8]) -> Result<Self, HintError> {
        let mut hints = Self::default();
        let value = serde_json::from_slice(json);
        let Ok(Value::Object(members)) = value else { return error("waypost", "must be an object") };
        for (name, value) in &members {
            let field = format!("waypost.{name}");
            match name.as_str() {
                _ if value.is_null() => {}
                "stage" => hints.stage = Some(string(field, value)?),
                "route" => hints.route = Some(string(field, value)?),
                "session" => hints.session = Some(string(field, value)?),
                "class" => hints.class = Some(class(field.clone(), &string(field, value)?)?),
                "sensitive" => match value {
                    Value::Bool(b) => hints.sensitive = Some(*b),
                    _ => return error(field, "must be true or false"),
                },
                "tags" => match value {
                    Value::Object(tags) => hints.body_tags(tags)?,
                    _ => return error(field, "must be an object of strings"),
                },
                "hints" => match value {
                    Value::Object(inner) => hints.wishes(inner)?,
                    _ => return error(field, "must be an object"),
                },
                "deadline_ms" => hints.deadline = Some(deadline(field.clone(), json_number(field, value)?)?),
                _ => {
                    return error(
                        field,
                        "is unknown; known: stage, route, class, tags, hints, session, sensitive, deadline_ms",
                    );
                }
            }
        }
        Ok(hints)
    }

    fn body_tags(&mut self, tags: &Map<String, Value>) -> Result<(), HintError> {
        for (key, value) in tags {
            let field = format!("waypost.tags.{key}");
            let value = match value {
                Value::String(s) => s.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return error(field, "must be a string"),
            };
            self.tag(&field, key, &value)?;
        }
        Ok(())
    }

    fn wishes(&mut self, inner: &Map<String, Value>) -> Result<(), HintError> {
        for (name, value) in inner {
            let field = format!("waypost.hints.{name}");
            match name.as_str() {
                _ if value.is_null() => {}
                "max_cost_usd" => self.max_cost = Some(cost(field.clone(), json_number(field, value)?)?),
                "max_latency_ms" => self.max_latency_ms = Some(latency(field.clone(), json_number(field, value)?)?),
                "min_quality" => self.min_quality = Some(quality(field.clone(), json_number(field, value)?)?),
                "prefer" => self.prefer = Some(prefer(field.clone(), &string(field, value)?)?),
                "deadline_ms" => self.deadline = Some(deadline(field.clone(), json_number(field, value)?)?),
                _ => {
                    let known = "known: max_cost_usd, max_latency_ms, min_quality, prefer, deadline_ms";
                    return error(field, format!("is unknown; {known}"));
                }
            }
        }
        Ok(())
    }
}

fn fill<T>(slot: &mut Option<T>, parse: impl FnOnce() -> Result<T, HintError>) -> Result<(), HintError> {
    if slot.is_none() {
        *slot = Some(parse()?);
    }
    Ok(())
}

/// Names and tags travel on in records and headers: printable, and not long.
fn text(field: String, value: &str) -> Result<String, HintError> {
    if value.is_empty() || value.len() > LONGEST {
        return error(field, format!("must have 1 to {LONGEST} bytes"));
    }
    if value.chars().any(char::is_control) {
        return error(field, "must not contain control characters");
    }
    Ok(value.to_owned())
}

fn string(field: String, value: &Value) -> Result<String, HintError> {
    match value {
        Value::String(s) => text(field, s),
        _ => error(field, "must be a string"),
    }
}

fn json_number(field: String, value: &Value) -> Result<f64, HintError> {
    value.as_f64().map_or_else(|| error(field, "must be a number"), Ok)
}

fn number(field: String, value: &str) -> Result<f64, HintError> {
    value.trim().parse().ok().filter(|n: &f64| n.is_finite()).map_or_else(|| error(field, "must be a number"), Ok)
}

fn class(field: String, value: &str) -> Result<Class, HintError> {
    Class::from_name(value).map_or_else(|| error(field, "must be interactive or background"), Ok)
}

fn prefer(field: String, value: &str) -> Result<Prefer, HintError> {
    match value {
        "cost" => Ok(Prefer::Cost),
        "latency" => Ok(Prefer::Latency),
        "quality" => Ok(Prefer::Quality),
        "balanced" => Ok(Prefer::Balanced),
        _ => error(field, "must be cost, latency, quality or balanced"),
    }
}

fn cost(field: String, usd: f64) -> Result<NanoUsd, HintError> {
    if usd >= 0.0 { Ok(NanoUsd::from_usd(usd)) } else { error(field, "must not be negative") }
}

fn latency(field: String, ms: f64) -> Result<f32, HintError> {
    if ms > 0.0 { Ok(ms as f32) } else { error(field, "must be more than 0") }
}

fn quality(field: String, q: f64) -> Result<f32, HintError> {
    if (0.0..=1.0).contains(&q) { Ok(q as f32) } else { error(field, "must be between 0 and 1") }
}

fn deadline(field: String, ms: f64) -> Result<Duration, HintError> {
    const DAY_MS: f64 = 86_400_000.0;
    if ms > 0.0 && ms <= DAY_MS {
        Ok(Duration::from_secs_f64(ms / 1000.0))
    } else {
        error(field, "must be more than 0 and at most a day of milliseconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_wins_over_headers_and_tags_merge() {
        let body = br#"{"stage":"ui","tags":{"a":"1"},"hints":{"min_quality":0.8,"prefer":"cost"},"session":null}"#;
        let mut h = Hints::body(body).unwrap();
        for (k, v) in [("stage", "other"), ("tags", "a=2, b = 3"), ("min-quality", "0.1"), ("deadline-ms", "1500")] {
            h.header(k, v).unwrap();
        }
        assert_eq!(h.stage.as_deref(), Some("ui"));
        assert_eq!(h.tags, [("a".into(), "1".into()), ("b".into(), "3".into())]);
        assert_eq!((h.min_quality, h.prefer), (Some(0.8), Some(Prefer::Cost)));
        assert_eq!(h.deadline, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn wrong_hints_name_their_field() {
        for (json, field) in [
            (r#"[]"#, "waypost"),
            (r#"{"stages":"x"}"#, "waypost.stages"),
            (r#"{"stage":7}"#, "waypost.stage"),
            (r#"{"stage":"a\nb"}"#, "waypost.stage"),
            (r#"{"class":"urgent"}"#, "waypost.class"),
            (r#"{"hints":{"min_quality":2}}"#, "waypost.hints.min_quality"),
            (r#"{"hints":{"max_cost_usd":-1}}"#, "waypost.hints.max_cost_usd"),
            (r#"{"hints":{"cheap":true}}"#, "waypost.hints.cheap"),
            (r#"{"tags":{"a":[]}}"#, "waypost.tags.a"),
        ] {
            assert_eq!(Hints::body(json.as_bytes()).unwrap_err().field, field, "{json}");
        }
        for (name, value) in [("tags", "novalue"), ("max-cost-usd", "NaN"), ("deadline-ms", "0"), ("prefer", "best")] {
            assert_eq!(Hints::default().header(name, value).unwrap_err().field, format!("x-waypost-{name}"));
        }
    }
}

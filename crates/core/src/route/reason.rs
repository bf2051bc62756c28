//! Why a model may not answer: typed, each with its stable name and its text for users. It decides nothing.

use crate::config::Denied;
use crate::gate::Exceeded;
use crate::registry::{Capabilities, Kind, ModelIx};
use crate::units::NanoUsd;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A model that may not answer, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclusion {
    /// Which model.
    pub model: ModelIx,
    /// The first constraint that it breaks.
    pub reason: Reason,
}

/// Why a model may not answer; `Display` is the detail for users.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It lacks a tag that this request needs.
    Compliance(Arc<str>),
    /// The key may not use it.
    NotAllowed(Denied),
    /// It embeds and answers nothing, or the other way round.
    Kind(Kind),
    /// It cannot do what the request needs.
    Capability(Capabilities),
    /// The request does not fit.
    ContextWindow {
        /// Input tokens.
        input: u32,
        /// Output tokens kept free.
        output: u32,
        /// What the model has.
        window: u32,
    },
    /// Its expected cost is over a cap.
    PriceCap(NanoUsd, NanoUsd),
    /// Its expected latency is over a cap, milliseconds.
    LatencyCap(f32, f32),
    /// Its expected quality is under the floor.
    QualityFloor(Option<f32>, f32),
    /// Out of service by configuration.
    Offline,
    /// Deprecated; only a pin reaches it.
    Deprecated,
    /// Every endpoint's breaker is open, until this instant where known.
    BreakerOpen(Option<Duration>),
    /// Every endpoint asked to be left alone for so long.
    RateLimited(Duration),
    /// A cap or a budget depends on its price, which nobody stated.
    NoPrice,
    /// Its worst case does not fit a budget or a rate.
    Budget(Box<Exceeded>),
}

impl Reason {
    /// The stable name (INTERFACE.md).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Compliance(_) => "compliance",
            Self::NotAllowed(_) => "not_allowed",
            Self::Kind(_) | Self::Capability(_) => "capability",
            Self::ContextWindow { .. } => "context_window",
            Self::PriceCap(..) => "price_cap",
            Self::LatencyCap(..) => "latency_cap",
            Self::QualityFloor(..) => "quality_floor",
            Self::Offline => "offline",
            Self::Deprecated => "deprecated",
            Self::BreakerOpen(_) => "breaker_open",
            Self::RateLimited(_) => "rate_limited",
            Self::NoPrice => "no_price",
            Self::Budget(_) => "budget",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compliance(tag) => write!(f, "lacks the tag `{tag}` that this request requires"),
            Self::NotAllowed(Denied::Key) => f.write_str("not in the key's `models`"),
            Self::NotAllowed(Denied::Package(name)) => write!(f, "not among the models of the key's package `{name}`"),
            Self::NotAllowed(Denied::Provider) => f.write_str("none of the key's `providers` has it"),
            Self::Kind(Kind::Embedding) => f.write_str("makes embeddings, no answers"),
            Self::Kind(Kind::Chat | Kind::Responses) => f.write_str("makes answers, no embeddings"),
            Self::Capability(missing) => {
                write!(f, "cannot do {}", missing.names().collect::<Vec<_>>().join(", "))
            }
            Self::ContextWindow { input, output, window } => {
                let needs = u64::from(*input) + u64::from(*output);
                write!(
                    f,
                    "needs {} tokens ({} in, {} reserved for the answer), has {}",
                    grouped(needs),
                    grouped(u64::from(*input)),
                    grouped(u64::from(*output)),
                    grouped(u64::from(*window))
                )
            }
            Self::PriceCap(cost, cap) => write!(f, "expected to cost ${cost}, the cap is ${cap}"),
            Self::LatencyCap(ms, cap) => write!(f, "expected to take {ms:.0} ms, the cap is {cap:.0} ms"),
            Self::QualityFloor(Some(q), floor) => write!(f, "expected quality {q:.2}, the floor is {floor:.2}"),
            Self::QualityFloor(None, floor) => write!(f, "its quality is unknown, the floor is {floor:.2}"),
            Self::Offline => f.write_str("`status: offline` in the configuration"),
            Self::Deprecated => f.write_str("`status: deprecated`: only a request that names it reaches it"),
            Self::BreakerOpen(Some(left)) => {
                write!(f, "every endpoint failed lately; the next try is in {:.1} s", left.as_secs_f64())
            }
            Self::BreakerOpen(None) => f.write_str("every endpoint failed lately and is being tried"),
            Self::RateLimited(left) => {
                write!(f, "the provider asked to wait {:.1} s more; stands behind the others", left.as_secs_f64())
            }
            Self::NoPrice => f.write_str("its price is unknown, and a budget or a cap depends on it: set `price`"),
            Self::Budget(exceeded) => write!(f, "{exceeded}"),
        }
    }
}

/// 9112 as `9,112`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

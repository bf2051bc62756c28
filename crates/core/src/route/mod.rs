//! Deciding: which models may answer a request, in which order, and why.
//!
//! [`decide`] is a pure function of the configuration, the request, the live views, the time and a seed. It calls no
//! model, changes no state and logs nothing: its reasons are values. Wire formats never appear here.

mod constrain;
mod estimate;
mod explain;
mod explore;
mod order;
mod predicted;
mod reason;
mod resolve;
#[cfg(test)]
mod tests;
mod worst;

pub use constrain::exceeded_refusal;
pub use estimate::{Estimate, UNKNOWN_QUALITY};
pub use explain::{Explanation, explain};
pub use predicted::{Confidence, Judge, Predicted};
pub use reason::{Exclusion, Reason};
pub use resolve::Level;
pub use worst::Worst;

use crate::config::{Config, Key};
use crate::expr::{Headers, Vars};
use crate::gate::{Amounts, Exceeded};
use crate::health::EndpointView;
use crate::hints::Hints;
use crate::policy::{Strategy, Translation};
use crate::profile::{Profile, Task};
use crate::registry::{EndpointIx, ModelIx, Price, ProviderIx, Registry, Tokenizer};
use crate::units::{Now, Rng};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

/// One request, as deciding sees it.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The `model` that the client sent.
    pub model: &'a str,
    /// What the request looks like.
    pub profile: &'a Profile,
    /// What the caller says beside it.
    pub hints: &'a Hints,
    /// Tags of the key and the request together; the key's win.
    pub tags: &'a [(Arc<str>, Arc<str>)],
    /// The client key, where keys are asked for.
    pub key: Option<&'a Key>,
    /// The request's headers, for expressions.
    pub headers: &'a Headers<'a>,
    /// Exact input tokens by a public tokenizer; called only where it decides.
    pub exact_tokens: &'a dyn Fn(Tokenizer) -> u32,
}

/// Live state that deciding reads.
pub trait Live {
    /// Breaker, hints and latencies of one endpoint.
    fn endpoint(&self, ix: EndpointIx) -> EndpointView;
    /// Factor from the estimated to the billed input tokens of a model; 1 until something was learned.
    fn token_factor(&self, model: ModelIx) -> f32;
    /// Expected output tokens of a task at a model; the prior until something was learned.
    fn expected_output(&self, model: ModelIx, task: Task) -> f32;
    /// Quality of a model at a task, from what is configured and what clients reported; `None`: unknown.
    fn quality(&self, _model: ModelIx, _task: Task, configured: Option<f32>) -> Option<f32> {
        configured
    }
    /// What the gate asks of every candidate in this place.
    fn gate(&self, _place: Place) -> Gated {
        Gated::default()
    }
    /// What it asks of this model besides.
    fn gate_model(&self, _model: ModelIx) -> Gated {
        Gated::default()
    }
    /// Whether a worst case has room, as far as is known; nothing is reserved. Asked where [`Gated::tight`].
    fn room(&self, _place: Place, _model: ModelIx, _need: &Amounts) -> Result<(), Box<Exceeded>> {
        Ok(())
    }
    /// What the predictor of the policy in this place expects of a model's answer to this request; `None`: there is no
    /// predictor, it does not know the model, or the request has no text. Asked only where quality decides.
    fn predicted(&self, _place: Place, _model: ModelIx) -> Option<Predicted> {
        None
    }
    /// What a US dollar is worth in quality on a route or stage that is paced; `None`: as the policy says.
    fn lambda(&self, _place: Place) -> Option<f64> {
        None
    }
}

/// Where a request was put: what of its scopes the key and the tags do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the route that decides.
    pub route: Option<usize>,
    /// Index of the stage that was named.
    pub stage: Option<usize>,
}

/// What the gate asks of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gated {
    /// Money is limited: without a price it may not answer.
    pub money: bool,
    /// Room may be short: its worst case is to be looked at.
    pub tight: bool,
    /// A budget nears its end and the operator wants the cheapest candidate.
    pub clamp: bool,
}

impl Gated {
    /// What either of them asks.
    pub fn and(self, other: Self) -> Self {
        Self { money: self.money || other.money, tight: self.tight || other.tight, clamp: self.clamp || other.clamp }
    }
}

/// A model that may answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which model.
    pub model: ModelIx,
    /// Only its endpoints at this provider (`provider/model`).
    pub provider: Option<ProviderIx>,
    /// What is forwarded under a name that the registry does not know.
    pub passed_through: Option<Arc<PassedThrough>>,
    /// What it is expected to do.
    pub estimate: Estimate,
    /// By the strategy: higher goes first.
    pub score: f64,
    /// An emergency model, or the global fallback: its use is marked.
    pub degraded: bool,
    /// Every endpoint in service asked to be left alone for a while: goes behind those that did not.
    pub rate_limited: bool,
}

/// A name that a provider takes though the registry does not know it (`passthrough: true`).
#[derive(Clone, Debug, PartialEq)]
pub struct PassedThrough {
    /// The model's name at the provider.
    pub name: Arc<str>,
    /// Where the catalogue knows it.
    pub price: Option<Price>,
}

impl Candidate {
    /// Prices that hold for it; `None`: unknown.
    pub fn price<'a>(&'a self, registry: &'a Registry) -> Option<&'a Price> {
        price(registry, self.model, self.passed_through.as_deref())
    }

    /// The name to send upstream where it is not the endpoint's own.
    pub fn upstream_name(&self) -> Option<&Arc<str>> {
        self.passed_through.as_ref().map(|passed| &passed.name)
    }
}

/// The registry's price, or that of the name that is passed through.
fn price<'a>(registry: &'a Registry, model: ModelIx, passed: Option<&'a PassedThrough>) -> Option<&'a Price> {
    match passed {
        Some(passed) => passed.price.as_ref(),
        None => registry.model(model).price.as_ref(),
    }
}

/// What was decided, and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Who proposed the candidates.
    pub level: Level,
    /// Index of the route that decided.
    pub route: Option<usize>,
    /// Index of the stage that was named, for records and floors even where a pin decided.
    pub stage: Option<usize>,
    /// Name of the strategy that ordered them; `pin` where nothing was to order.
    pub strategy: &'static str,
    /// One sentence.
    pub reason: String,
    /// In the order of trying.
    pub candidates: Vec<Candidate>,
    /// Everything that was considered and may not answer.
    pub excluded: Vec<Exclusion>,
    /// How sure the choice is; `None` where nothing was to judge: a pin, one candidate, an order that no quality moves.
    pub confidence: Option<Confidence>,
    /// The probability with which this policy puts the first candidate first on such a request; below 1 where it explores
    /// or splits traffic by chance. `None` where no policy chose.
    pub propensity: Option<f64>,
    /// The first candidate was drawn, not ranked.
    pub explored: bool,
    /// Only the first candidate may be tried; the others are there to explain the choice.
    pub no_fallback: bool,
    /// Whether a translation for another dialect may leave anything out.
    pub translation: Translation,
    /// Why nobody may answer; set exactly where `candidates` is empty.
    pub refusal: Option<Refusal>,
}

/// Why a request is refused before any attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Stable kind; the shell maps it to a status and a code.
    pub kind: RefusalKind,
    /// For the user: what, where, how much, and the way out.
    pub message: String,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
    /// The limit of the gate that leaves no room, where that is why.
    pub exceeded: Option<Box<Exceeded>>,
}

/// Kinds of refusal (INTERFACE.md, "Errors").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request itself is malformed.
    InvalidRequest,
    /// Unknown model, route or stage.
    ModelNotFound,
    /// Key, stage or model not allowed.
    NotAllowed,
    /// Larger than every allowed model's window.
    ContextLengthExceeded,
    /// A hard constraint leaves nothing.
    ConstraintViolated,
    /// Nothing healthy.
    NoCandidates,
    /// A budget has no room.
    BudgetExceeded,
    /// A rate or a concurrency of the gate has no room.
    RateLimitExceeded,
}

/// Decides one request. The same arguments give the same decision.
pub fn decide(config: &Config, ask: &Ask<'_>, live: &dyn Live, now: Now, rng: &mut Rng) -> Decision {
    let vars = LazyVars { config, ask, now, cell: OnceCell::new() };
    let proposal = match resolve::propose(config, ask, &vars) {
        Ok(proposal) => proposal,
        Err(refusal) => return Decision::refused(Level::Pin, refusal),
    };
    let mut search = constrain::Search::new(config, ask, live, now, &vars, &proposal);
    search.consider_all();
    let order::Ordered { mut candidates, confidence, propensity, explored } = order::order(&mut search, &proposal, rng);
    let no_fallback = proposal.policy.no_fallback;
    if candidates.is_empty() && !no_fallback && search.only_hints_excluded() {
        candidates = search.global_fallback();
    }
    if !no_fallback {
        candidates.extend(search.emergency(&candidates));
    }
    let mut level = proposal.level;
    if candidates.first().is_some_and(|c| c.degraded && Some(c.model) == config.fallback_model && search.fell_back) {
        level = Level::Fallback;
    }
    let refusal = candidates.is_empty().then(|| constrain::refusal(config, &search.excluded, proposal.level, now));
    let words = order::Words { level, task: ask.profile.task, explored, excluded: search.excluded.len() };
    let reason = order::reason(config, &proposal, &candidates, &words);
    Decision {
        level,
        route: proposal.route,
        stage: proposal.stage,
        strategy: if proposal.level == Level::Pin { "pin" } else { proposal.strategy().name() },
        reason,
        candidates,
        excluded: search.excluded,
        confidence,
        propensity,
        explored,
        no_fallback,
        translation: proposal.policy.translation,
        refusal,
    }
}

impl Decision {
    /// Where the request was put.
    pub fn place(&self) -> Place {
        Place { route: self.route, stage: self.stage }
    }

    /// A decision that nobody may answer, for reasons that lie in the request.
    pub fn refused(level: Level, refusal: Refusal) -> Self {
        Self {
            level,
            route: None,
            stage: None,
            strategy: "none",
            reason: refusal.message.clone(),
            candidates: Vec::new(),
            excluded: Vec::new(),
            confidence: None,
            propensity: None,
            explored: false,
            no_fallback: false,
            translation: Translation::default(),
            refusal: Some(refusal),
        }
    }
}

/// The variables of expressions, built only when one is evaluated.
struct LazyVars<'a> {
    config: &'a Config,
    ask: &'a Ask<'a>,
    now: Now,
    cell: OnceCell<Vars>,
}

impl<'a> LazyVars<'a> {
    fn read(&self) -> &Vars {
        self.cell.get_or_init(|| self.fresh())
    }

    fn fresh(&self) -> Vars {
        let local = jiff::Timestamp::from_millisecond(self.now.unix_ms)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(self.config.time_zone.clone());
        let ask = self.ask;
        Vars::request(ask.profile, ask.hints, ask.tags, ask.key, ask.headers, &local)
    }
}

/// The strategy in force for a proposal: the peak rule's, the caller's preference, else the policy's.
impl resolve::Proposal<'_> {
    fn strategy(&self) -> &Strategy {
        self.override_strategy.as_ref().unwrap_or(&self.policy.strategy)
    }
}

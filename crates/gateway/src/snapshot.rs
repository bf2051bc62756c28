//! One version of the configuration with everything that is derived from it: targets, live state, ready header
//! values. A request holds one for its whole life; a reload swaps in the next one.

use crate::cache::ExactCache;
use crate::predict::Predictors;
use crate::store::DecisionSampler;
use crate::upstream::{Auth, GoogleAccount, Shared, Target};
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use waypost_core::config::Config;
use waypost_core::health::{EndpointHealth, ExpectedOutput, PRIOR_OUTPUT_TOKENS, TokenFactor};
use waypost_core::policy::{Policy, Strategy};
use waypost_core::registry::{Dialect, EndpointIx, ModelIx, ProviderIx, Registry, Simulated, Status, Usage};
use waypost_core::route::{Decision, Level};
use waypost_core::units::NanoUsd;
use waypost_learn::online::Corrections;

/// One version of the configuration, ready to serve.
#[derive(Debug)]
pub struct Snapshot {
    /// What the operator wrote, checked.
    pub config: Config,
    /// Counts up from 1 with each reload.
    pub version: u64,
    /// Where each endpoint is, by [`EndpointIx`].
    pub links: Vec<Link>,
    /// Live state of each endpoint, by [`EndpointIx`]; carried over a reload.
    pub health: Vec<Arc<EndpointHealth>>,
    /// What was learned of each model, by [`ModelIx`]; carried over a reload.
    pub learned: Vec<Arc<Learned>>,
    /// What clients' scores taught; one for the life of the process.
    pub corrections: Arc<ArcSwap<Corrections>>,
    /// Attempts under way at each provider; carried over a reload.
    pub provider_load: Vec<Arc<AtomicU32>>,
    /// `x-waypost-model`, by [`ModelIx`].
    pub model_headers: Vec<HeaderValue>,
    /// `x-waypost-provider`, by provider.
    pub provider_headers: Vec<HeaderValue>,
    /// The best single model by configured quality, against which savings are counted.
    pub baseline: Option<ModelIx>,
    /// Some rule asks whether a request is sensitive.
    pub asks_sensitive: bool,
    /// The exact caches of the policies that have one; carried over a reload that leaves their bounds alone.
    pub caches: Caches,
    /// The learned predictors that policies name; their files are read again on each reload.
    pub predictors: Predictors,
    /// Which decisions are stored in full.
    pub sampler: DecisionSampler,
}

/// Exact caches, beside the policies that ask for them.
#[derive(Debug, Default)]
pub struct Caches {
    routes: Vec<Option<Arc<ExactCache>>>,
    stages: Vec<Option<Arc<ExactCache>>>,
    auto: Option<Arc<ExactCache>>,
}

impl Caches {
    fn new(config: &Config, previous: Option<&Snapshot>) -> Self {
        let kept = |old: Option<(&Policy, &Option<Arc<ExactCache>>)>, new: &Policy| {
            let wanted = new.cache?;
            match old {
                Some((policy, Some(cache))) if policy.cache == Some(wanted) => Some(cache.clone()),
                _ => Some(Arc::new(ExactCache::new(wanted.ttl, wanted.max_bytes as u64))),
            }
        };
        let route = |name: &str| {
            let (p, at) = previous.and_then(|p| Some((p, p.config.routes.iter().position(|r| &*r.name == name)?)))?;
            Some((&p.config.routes[at].policy, &p.caches.routes[at]))
        };
        let stage = |name: &str| {
            let (p, at) = previous.and_then(|p| Some((p, p.config.stages.iter().position(|s| &*s.name == name)?)))?;
            Some((&p.config.stages[at].policy, &p.caches.stages[at]))
        };
        Self {
            routes: config.routes.iter().map(|r| kept(route(&r.name), &r.policy)).collect(),
            stages: config.stages.iter().map(|s| kept(stage(&s.name), &s.policy)).collect(),
            auto: kept(previous.map(|p| (&p.config.auto, &p.caches.auto)), &config.auto),
        }
    }

    /// The cache of the policy that a decision followed, and whether keys share its answers. A pin has none.
    pub fn of(&self, decision: &Decision, config: &Config) -> Option<(&Arc<ExactCache>, bool)> {
        let (cache, policy) = match (decision.route, decision.stage) {
            _ if decision.level == Level::Pin => return None,
            (Some(r), _) => (&self.routes[r], &config.routes[r].policy),
            (None, Some(s)) => (&self.stages[s], &config.stages[s].policy),
            (None, None) => (&self.auto, &config.auto),
        };
        Some((cache.as_ref()?, policy.cache?.shared))
    }
}

/// How an endpoint is reached.
#[derive(Debug)]
pub enum Link {
    /// Over HTTP.
    Http(Doors),
    /// Inside the process.
    Simulated(Box<Simulated>),
}

/// One endpoint in each of its dialects, preferred first.
#[derive(Debug)]
pub struct Doors(Vec<(Dialect, Target)>);

impl Doors {
    /// Where it speaks this dialect.
    pub fn of(&self, dialect: Dialect) -> Option<&Target> {
        self.0.iter().find(|(d, _)| *d == dialect).map(|(_, target)| target)
    }
}

/// What answers taught of one model.
#[derive(Debug)]
pub struct Learned {
    /// From estimated to billed input tokens.
    pub factor: TokenFactor,
    /// Output tokens by task.
    pub output: ExpectedOutput,
}

impl Default for Learned {
    fn default() -> Self {
        Self { factor: TokenFactor::default(), output: ExpectedOutput::new(PRIOR_OUTPUT_TOKENS) }
    }
}

impl Snapshot {
    /// Builds what is derived; live state of what `previous` knew too is kept. The errors are for the operator.
    pub fn build(config: Config, previous: Option<&Self>) -> Result<Self, Vec<String>> {
        let registry = &config.registry;
        let mut shared = previous.map(|p| Shared::of(p.targets())).unwrap_or_default();
        let mut errors = Vec::new();
        let mut links = Vec::with_capacity(registry.endpoints.len());
        for ix in 0..registry.endpoints.len() as u16 {
            match link(registry, EndpointIx(ix), &mut shared) {
                Ok(link) => links.push(link),
                Err(e) => errors.push(e),
            }
        }
        let predictors = Predictors::load(&config).unwrap_or_else(|wrong| {
            errors.extend(wrong.iter().map(|e| format!("line {}: {}: {}", e.line, e.path, e.message)));
            Predictors::default()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let health = carry_health(&config, previous);
        let learned = carry(
            registry.models.iter().map(|m| &*m.name),
            previous.map(|p| p.config.registry.models.iter().map(|m| &*m.name).zip(&p.learned)),
        );
        let provider_load = carry(
            registry.providers.iter().map(|p| &*p.name),
            previous.map(|p| p.config.registry.providers.iter().map(|p| &*p.name).zip(&p.provider_load)),
        );
        Ok(Self {
            version: previous.map_or(1, |p| p.version + 1),
            links,
            health,
            learned,
            corrections: previous.map_or_else(Arc::default, |p| p.corrections.clone()),
            provider_load,
            model_headers: registry.models.iter().map(|m| header_value(&m.name)).collect(),
            provider_headers: registry.providers.iter().map(|p| header_value(&p.name)).collect(),
            baseline: baseline(registry),
            asks_sensitive: asks_sensitive(&config),
            caches: Caches::new(&config, previous),
            predictors,
            sampler: DecisionSampler::new(config.telemetry.decisions),
            config,
        })
    }

    /// A provider's text without our credentials, should it have echoed one.
    pub fn scrub(&self, ix: ProviderIx, text: &str) -> String {
        let provider = self.config.registry.provider(ix);
        let mut secrets: Vec<&str> = provider.secrets().map(|s| s.expose()).filter(|s| s.len() >= 6).collect();
        // The longest first: of a key that begins with another one, the rest would stay.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        let text = secrets.into_iter().fold(text.to_owned(), |t, s| without_cut(t.replace(s, "***"), s));
        self.accounts(ix).fold(text, |text, account| account.scrub(text))
    }

    /// The accounts whose tokens a provider is sent.
    fn accounts(&self, provider: ProviderIx) -> impl Iterator<Item = &GoogleAccount> {
        let links = self.links.iter().zip(&self.config.registry.endpoints).filter(move |(_, e)| e.provider == provider);
        let doors = links.filter_map(|(link, _)| if let Link::Http(doors) = link { Some(&doors.0) } else { None });
        doors.flatten().filter_map(|(_, t)| if let Auth::Google(account) = &t.auth { Some(&**account) } else { None })
    }

    /// What `usage` would have cost at the best single model; `None` where there is none with a price.
    pub fn baseline_cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let price = self.config.registry.model(self.baseline?).price?;
        Some(price.cost(usage))
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        let doors =
            self.links.iter().filter_map(|link| if let Link::Http(doors) = link { Some(&doors.0) } else { None });
        doors.flatten().map(|(_, target)| target)
    }
}

/// A long message is cut before it comes here: what is left of a secret at its end goes as well.
fn without_cut(mut text: String, secret: &str) -> String {
    let Some(kept) = text.strip_suffix('…') else { return text };
    let begun = (6..secret.len()).rev().filter_map(|end| secret.get(..end)).find(|begun| kept.ends_with(begun));
    if let Some(begun) = begun {
        text.truncate(kept.len() - begun.len());
        text.push_str("***…");
    }
    text
}

fn link(registry: &Registry, ix: EndpointIx, shared: &mut Shared) -> Result<Link, String> {
    let endpoint = registry.endpoint(ix);
    let provider = registry.provider(endpoint.provider);
    if provider.dialects.contains(&Dialect::Simulated) {
        return Ok(Link::Simulated(Box::new(provider.simulated.clone().unwrap_or_default())));
    }
    let key = endpoint.key.and_then(|k| provider.api_keys.get(usize::from(k)));
    let door = |dialect: &Dialect| Ok((*dialect, Target::new(shared, provider, *dialect, key)?));
    let doors: Result<_, String> = provider.dialects.iter().map(door).collect();
    doors.map(|doors| Link::Http(Doors(doors))).map_err(|e| format!("providers.{}: {e}", provider.name))
}

/// Health of the endpoints that the previous snapshot knew (same model, provider, name and credential) is kept.
fn carry_health(config: &Config, previous: Option<&Snapshot>) -> Vec<Arc<EndpointHealth>> {
    let identity = |registry: &Registry, i: usize| {
        let e = &registry.endpoints[i];
        (registry.model(e.model).name.clone(), registry.provider(e.provider).name.clone(), e.name.clone(), e.key)
    };
    let mut known = HashMap::new();
    if let Some(p) = previous {
        known.extend((0..p.health.len()).map(|i| (identity(&p.config.registry, i), p.health[i].clone())));
    }
    let registry = &config.registry;
    let one = |i: usize| {
        let (endpoint, breaker) = (&registry.endpoints[i], config.execution.breaker);
        let prior = registry.model(endpoint.model).latency;
        match known.get(&identity(registry, i)) {
            Some(health) => {
                health.configure(breaker, prior, endpoint.weight);
                health.clone()
            }
            None => Arc::new(EndpointHealth::new(breaker, prior, endpoint.weight)),
        }
    };
    (0..registry.endpoints.len()).map(one).collect()
}

/// State by name: what `previous` has under the same name, else new.
fn carry<'a, T: Default + 'a>(
    names: impl Iterator<Item = &'a str>,
    previous: Option<impl Iterator<Item = (&'a str, &'a Arc<T>)>>,
) -> Vec<Arc<T>> {
    let known: HashMap<&str, &Arc<T>> = previous.into_iter().flatten().collect();
    names.map(|n| known.get(n).map_or_else(Arc::default, |known| Arc::clone(known))).collect()
}

/// Whether any expression names `sensitive`; compliance rules are about nothing else, mostly.
fn asks_sensitive(config: &Config) -> bool {
    let compliance = config.compliance.iter().map(|c| &c.when);
    let routes = config.routes.iter().filter_map(|r| r.matches.as_ref());
    let surfaces = config.surfaces.iter().filter_map(|s| s.matches.as_ref());
    let peak = config.peak.iter().map(|p| &p.when);
    let policies = config.routes.iter().map(|r| &r.policy).chain(config.stages.iter().map(|s| &s.policy));
    let strategies = policies.chain([&config.auto]).map(|p| &p.strategy);
    let strategies = strategies.chain(config.peak.iter().filter_map(|p| p.strategy.as_ref()));
    let scores = strategies.filter_map(|s| if let Strategy::Score(expr) = s { Some(expr) } else { None });
    let mut all = compliance.chain(routes).chain(surfaces).chain(peak).chain(scores);
    all.any(|expr| expr.source().contains("sensitive"))
}

fn baseline(registry: &Registry) -> Option<ModelIx> {
    let serving = registry.model_ixs().filter(|m| registry.model(*m).status == Status::Active);
    let quality = |m: &ModelIx| registry.model(*m).quality.default;
    let priced = serving.filter(|m| registry.model(*m).price.is_some() && quality(m).is_some());
    priced.reduce(|best, m| if quality(&m) > quality(&best) { m } else { best })
}

/// A name as a header value; what no header may carry becomes `?`.
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let safe: String = text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        HeaderValue::from_str(&safe).unwrap_or_else(|_| HeaderValue::from_static("?"))
    })
}

//! Models: where each can be reached, and its facts: the operator's figures over the catalogue's, field by field.

use super::{Resolver, server::timeouts};
use crate::catalogue::{self, Facts};
use crate::config::{Path, raw};
use crate::profile::Task;
use crate::registry::{
    Capabilities, Endpoint, EndpointIx, Latency, LongPrice, Model, ModelIx, Price, Provider, ProviderIx, Quality,
    Status,
};
use std::collections::HashSet;
use std::sync::Arc;

/// A model at a provider, before it is multiplied by the provider's credentials.
struct Place {
    provider: ProviderIx,
    name: String,
    weight: f32,
}

impl Resolver<'_> {
    pub(super) fn models(&mut self, providers: &[Provider]) -> (Vec<Model>, Vec<Endpoint>) {
        let usual = raw::Model::default();
        let (mut models, mut endpoints) = (Vec::new(), Vec::new());
        for (i, (name, raw)) in self.raw.models.iter().enumerate() {
            let raw = raw.as_ref().unwrap_or(&usual);
            let at = Path::root().key("models").key(name);
            let places = self.places(&at, name, raw, providers);
            let first = endpoints.len();
            for place in &places {
                let keys = providers[usize::from(place.provider.0)].api_keys.len();
                let of_keys = (0..keys).map(|k| Some(k as u16)).chain((keys == 0).then_some(None));
                endpoints.extend(of_keys.map(|key| Endpoint {
                    model: ModelIx(i as u16),
                    provider: place.provider,
                    name: place.name.as_str().into(),
                    weight: place.weight,
                    key,
                }));
            }
            if endpoints.len() > usize::from(u16::MAX) {
                self.error(&at, "more than 65535 endpoints (models times credentials)");
                endpoints.truncate(usize::from(u16::MAX));
            }
            let mine = (first.min(endpoints.len())..endpoints.len()).map(|e| EndpointIx(e as u16)).collect();
            models.push(self.facts(&at, name, raw, mine, &places, providers));
        }
        (models, endpoints)
    }

    /// Where the model is: as configured, else as the catalogue or the names suggest.
    fn places(&mut self, at: &Path, name: &str, raw: &raw::Model, providers: &[Provider]) -> Vec<Place> {
        let Some(listed) = &raw.endpoints else {
            let place = self.guess(name, providers);
            if place.is_none() && !self.would_guess_broken(name) {
                let message = if self.names.providers.is_empty() {
                    "no provider is configured: add one to `providers`".to_owned()
                } else {
                    "no provider is known to serve it: add `endpoints: [{ provider: NAME }]`".to_owned()
                };
                self.missing(at, at, message);
            }
            return place.into_iter().collect();
        };
        let at = at.key("endpoints");
        if listed.is_empty() {
            self.error(&at, "must not be empty");
        }
        let (mut places, mut seen) = (Vec::new(), HashSet::new());
        for (i, endpoint) in listed.iter() {
            let Some(provider) = self.providers.get(&endpoint.provider).copied() else {
                if !self.names.providers.contains(&endpoint.provider) {
                    let known = self.names.providers.clone();
                    let at = at.index(i).key("provider");
                    self.unknown(&at, "provider", &endpoint.provider, known.iter().map(String::as_str));
                }
                continue;
            };
            let name = endpoint.name.as_deref().unwrap_or(name).to_owned();
            if !seen.insert((provider, name.clone())) {
                self.error(&at.index(i), "the same endpoint twice");
            }
            places.push(Place { provider, name, weight: endpoint.weight.unwrap_or(1.0) as f32 });
        }
        places
    }

    /// The place of a model without `endpoints`.
    fn guess(&self, name: &str, providers: &[Provider]) -> Option<Place> {
        let place = |provider: ProviderIx, name: &str| Some(Place { provider, name: name.to_owned(), weight: 1.0 });
        let prefixed = name.split_once('/').filter(|(_, rest)| !rest.is_empty());
        let prefixed = prefixed.and_then(|(prefix, rest)| Some((*self.providers.get(prefix)?, prefix, rest)));
        // `openai/gpt-4o` is OpenAI's where that is configured, although others sell a model of that very name.
        if let Some((provider, prefix, rest)) = prefixed
            && catalogue::find(Some(prefix), rest).is_some()
        {
            return place(provider, rest);
        }
        // Who makes it comes before who sells it too.
        if let Some(provider) = catalogue::find(None, name).and_then(|facts| self.providers.get(facts.provider)) {
            return place(*provider, name);
        }
        let sells = |p: &&Provider| catalogue::find(Some(&p.name), name).is_some();
        if let Some(provider) = providers.iter().find(sells).and_then(|p| self.providers.get(&*p.name)) {
            return place(*provider, name);
        }
        if let Some((provider, _, rest)) = prefixed {
            return place(provider, rest);
        }
        let only = (self.names.providers.len() == 1 && providers.len() == 1).then_some(ProviderIx(0));
        only.and_then(|provider| place(provider, name))
    }

    /// Whether the provider that would have been guessed is there, but was taken out by the check.
    fn would_guess_broken(&self, name: &str) -> bool {
        let is_broken = |p: &str| self.names.providers.contains(p) && !self.providers.contains_key(p);
        let maker = catalogue::find(None, name).map(|facts| facts.provider);
        let prefix = name.split_once('/').map(|(prefix, _)| prefix);
        maker.into_iter().chain(prefix).any(is_broken) || (self.names.providers.len() == 1 && self.providers.is_empty())
    }

    fn facts(
        &mut self,
        at: &Path,
        name: &str,
        raw: &raw::Model,
        endpoints: Vec<EndpointIx>,
        places: &[Place],
        providers: &[Provider],
    ) -> Model {
        let first = places.first().map(|p| (&*providers[usize::from(p.provider.0)].name, p.name.as_str()));
        let facts = known_facts(name, first);
        let facts = facts.as_ref();
        let mut quality = Quality { default: raw.quality.get("default").map(|u| u.0 as f32), ..Quality::default() };
        for task in Task::ALL {
            quality.by_task[task.index()] = raw.quality.get(task.name()).map(|u| u.0 as f32);
        }
        if quality.default.is_none() {
            quality.default = facts.and_then(|f| f.tier).map(|tier| tier.prior_quality());
            quality.prior = quality.default.is_some();
        }
        let usual = Latency::default();
        let model = Model {
            name: name.into(),
            endpoints,
            context_window: raw.context_window.or(facts.and_then(|f| f.context_window)),
            max_output_tokens: raw.max_output_tokens.or(facts.and_then(|f| f.max_output_tokens)),
            kind: facts.map(|f| f.kind),
            capabilities: self.capabilities(at, raw).or(facts.and_then(|f| f.capabilities)),
            price: self.price(at, raw, facts.and_then(|f| f.price)),
            quality,
            latency: Latency {
                first_token_ms: raw.latency.first_token_ms.map_or(usual.first_token_ms, |x| x as f32),
                per_token_ms: raw.latency.per_token_ms.map_or(usual.per_token_ms, |x| x as f32),
            },
            tags: raw.tags.iter().map(|(_, tag)| Arc::from(tag.as_str())).collect(),
            status: match raw.status {
                Some(raw::Status::Active) | None => Status::Active,
                Some(raw::Status::Degraded) => Status::Degraded,
                Some(raw::Status::Deprecated) => Status::Deprecated,
                Some(raw::Status::Offline) => Status::Offline,
            },
            timeouts: timeouts(&raw.timeouts),
            tier: facts.and_then(|f| f.tier),
            tokenizer: facts.map(|f| f.tokenizer).unwrap_or_default(),
        };
        self.warn_of_unknowns(at, &model);
        if let Some(day) = facts.and_then(|f| f.deprecated).filter(|day| *day <= self.today && raw.status.is_none()) {
            self.warn(at, format!("its vendor calls it deprecated since {day}"));
        }
        model
    }

    fn warn_of_unknowns(&mut self, at: &Path, model: &Model) {
        let unknown: Vec<&str> = [
            ("price", model.price.is_none()),
            ("context window", model.context_window.is_none()),
            ("capabilities", model.capabilities.is_none()),
            ("quality", model.quality.default.is_none()),
        ]
        .into_iter()
        .filter_map(|(fact, is_unknown)| is_unknown.then_some(fact))
        .collect();
        if !unknown.is_empty() {
            self.warn(at, format!("unknown: {} (neither configured nor in the catalogue)", unknown.join(", ")));
        }
        if let Some(quality) = model.quality.default.filter(|_| model.quality.prior) {
            self.warn(at, format!("its quality is only a prior, {quality:.2} by its size tier"));
        }
    }

    fn capabilities(&mut self, at: &Path, raw: &raw::Model) -> Option<Capabilities> {
        use raw::Capability as C;
        let listed = raw.capabilities.as_ref()?;
        let has = |wanted: C| listed.iter().any(|(_, c)| *c == wanted);
        if has(C::ParallelTools) && has(C::NoParallelTools) {
            self.error(&at.key("capabilities"), "`parallel_tools` and `no_parallel_tools` contradict each other");
        }
        let mut set = Capabilities::STREAMING;
        for (_, capability) in listed.iter() {
            set = match capability {
                C::Vision => set.with(Capabilities::VISION),
                C::Audio => set.with(Capabilities::AUDIO),
                C::Video => set.with(Capabilities::VIDEO),
                C::Documents => set.with(Capabilities::DOCUMENTS),
                C::Tools | C::ParallelTools => set.with(Capabilities::TOOLS).with(Capabilities::PARALLEL_TOOLS),
                C::StructuredOutput => set.with(Capabilities::STRUCTURED_OUTPUT),
                C::Reasoning => set.with(Capabilities::REASONING),
                C::NoParallelTools | C::NoStreaming => set,
            };
        }
        if has(C::NoParallelTools) {
            set = set.without(Capabilities::PARALLEL_TOOLS);
        }
        Some(if has(C::NoStreaming) { set.without(Capabilities::STREAMING) } else { set })
    }

    /// The operator's rates over the catalogue's. With `input` and `output` of its own the block stands alone: a
    /// catalogue's cache rate beside another input price would be nobody's price.
    fn price(&mut self, at: &Path, raw: &raw::Model, known: Option<Price>) -> Option<Price> {
        let Some(raw) = &raw.price else { return known };
        let known = known.filter(|_| raw.input.is_none() || raw.output.is_none());
        let (Some(input), Some(output)) =
            (raw.input.map(nano).or(known.map(|k| k.input)), raw.output.map(nano).or(known.map(|k| k.output)))
        else {
            let at = at.key("price");
            self.missing(&at, &at, "needs `input` and `output`: the catalogue does not know this model's");
            return None;
        };
        let long = raw.long.as_ref().map(|l| LongPrice {
            above: l.above,
            input: nano(l.input),
            output: nano(l.output),
            cache_read: l.cache_read.map(nano),
            cache_write: l.cache_write.map(nano),
        });
        Some(Price {
            input,
            output,
            cache_read: raw.cache_read.map(nano).or(known.and_then(|k| k.cache_read)),
            cache_write: raw.cache_write.map(nano).or(known.and_then(|k| k.cache_write)),
            reasoning: raw.reasoning.map(nano).or(known.and_then(|k| k.reasoning)),
            long: long.or(known.and_then(|k| k.long)),
            batch: raw.batch.as_ref().map(|b| (nano(b.input), nano(b.output))).or(known.and_then(|k| k.batch)),
        })
    }
}

/// US dollars to nano-dollars; the check bounds the amount.
fn nano(usd: f64) -> i64 {
    crate::units::NanoUsd::from_usd(usd).0
}

/// By the model's name, at its first provider or anywhere; else by its first endpoint's name.
fn known_facts(name: &str, first: Option<(&str, &str)>) -> Option<Facts> {
    let find = |name: &str| {
        let there = first.and_then(|(provider, _)| catalogue::find(Some(provider), name));
        there.or_else(|| catalogue::find(None, name))
    };
    find(name).or_else(|| find(first?.1))
}

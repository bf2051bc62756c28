//! Routes, stages, surfaces, compliance and peak hours: names to models, and which keys belong together.

use super::Resolver;
use crate::config::check::suggestion;
use crate::config::{Path, raw};
use crate::expr::{Expr, VARIABLES};
use crate::policy::{
    CachePolicy, Compliance, Lambda, PeakRule, Policy, Predicting, Route, Stage, Strategy, Surface, Translation,
    Weights,
};
use crate::profile::{Class, Task};
use crate::registry::{Model, ModelIx};
use crate::units::NanoUsd;
use std::sync::Arc;

impl Resolver<'_> {
    /// What every policy begins with: the top level's `predictor`.
    pub(super) fn usual_policy(&mut self, models: &[Model]) -> Policy {
        let raw = &self.raw.predictor;
        let predicting = self.predicting(&Path::root().key("predictor"), raw, Predicting::default(), models);
        Policy { predicting, ..Policy::default() }
    }

    pub(super) fn auto(&mut self, models: &[Model], usual: &Policy) -> Policy {
        self.policy(&Path::root().key("auto"), &self.raw.auto, usual.clone(), models)
    }

    pub(super) fn routes(&mut self, models: &[Model], usual: &Policy) -> Vec<Route> {
        let mut routes = Vec::new();
        for (name, raw) in &self.raw.routes {
            let at = Path::root().key("routes").key(name);
            routes.push(Route {
                name: name.as_str().into(),
                matches: raw.matches.as_ref().map(|m| self.expression(&at.key("match"), &m.0, VARIABLES)),
                policy: self.policy(&at, &raw.policy, usual.clone(), models),
                surface: raw.surface.as_ref().and_then(|s| self.surface(&at.key("surface"), s)),
            });
        }
        routes
    }

    pub(super) fn stages(&mut self, models: &[Model], auto: &Policy, usual: &Policy) -> Vec<Stage> {
        let empty = raw::Stage::default();
        let mut stages = Vec::new();
        for (name, raw) in &self.raw.stages {
            let raw = raw.as_ref().unwrap_or(&empty);
            let at = Path::root().key("stages").key(name);
            if raw.model.is_some() && (raw.policy.candidates.is_some() || raw.policy.strategy.strategy.is_some()) {
                self.warn(&at, "with a `model` of its own, `strategy` and `candidates` have no effect");
            }
            // Without a model the stage is `auto` with its own keys on top.
            let base = if raw.model.is_some() { usual.clone() } else { auto.clone() };
            stages.push(Stage {
                name: name.as_str().into(),
                model: raw.model.as_ref().and_then(|m| self.model(&at.key("model"), m)),
                policy: self.policy(&at, &raw.policy, base, models),
                surface: raw.surface.as_ref().and_then(|s| self.surface(&at.key("surface"), s)),
            });
        }
        stages
    }

    pub(super) fn surfaces(&mut self) -> Vec<Surface> {
        let mut surfaces = Vec::new();
        for (name, raw) in &self.raw.surfaces {
            let at = Path::root().key("surfaces").key(name);
            surfaces.push(Surface {
                name: name.as_str().into(),
                min_quality: raw.min_quality.map(|u| u.0 as f32),
                require: self.required(&at.key("require"), &raw.require),
                matches: raw.matches.as_ref().map(|m| self.expression(&at.key("match"), &m.0, VARIABLES)),
            });
        }
        surfaces
    }

    pub(super) fn compliance(&mut self) -> Vec<Compliance> {
        let mut rules = Vec::new();
        for (i, raw) in self.raw.compliance.iter() {
            let at = Path::root().key("compliance").index(i);
            let when = self.expression(&at.key("when"), &raw.when.0, VARIABLES);
            rules.push(Compliance { when, require: self.required(&at.key("require"), &raw.require) });
        }
        rules
    }

    pub(super) fn peak(&mut self) -> Vec<PeakRule> {
        let mut rules = Vec::new();
        for (i, raw) in self.raw.peak.iter() {
            let at = Path::root().key("peak").index(i);
            let strategy = self.strategy(&at, &raw.strategy);
            if strategy.is_none() && raw.min_quality.is_none() && raw.max_cost_usd.is_none() {
                self.missing(&at, &at, "changes nothing: give `strategy`, `min_quality` or `max_cost_usd`");
            }
            rules.push(PeakRule {
                when: self.expression(&at.key("when"), &raw.when.0, VARIABLES),
                routes: self.route_names(&at.key("routes"), &raw.routes),
                strategy,
                min_quality: raw.min_quality.map(|u| u.0 as f32),
                max_cost: raw.max_cost_usd.map(NanoUsd::from_usd),
            });
        }
        rules
    }

    /// A condition; a variable that it will never find is worth a warning. What a macro binds (`all(x, …)`) is no such.
    fn expression(&mut self, at: &Path, expr: &Expr, known: &[&str]) -> Expr {
        let source: String = expr.source().split_whitespace().collect();
        let is_bound = |name: &str| source.contains(&format!("({name},"));
        let mut strange = expr.variables();
        strange.retain(|name| !known.contains(&name.as_str()) && !is_bound(name));
        strange.sort_unstable();
        for name in &strange {
            let hint = suggestion(name, known.iter().copied());
            let message = format!("there is no variable {}{hint}", self.shown(at, name));
            self.warn(at, message);
        }
        expr.clone()
    }

    /// `raw` over `base`.
    fn policy(&mut self, at: &Path, raw: &raw::PolicyKeys, base: Policy, models: &[Model]) -> Policy {
        let own = self.strategy(at, &raw.strategy);
        let listed = raw.candidates.as_ref().map(|list| self.model_list(&at.key("candidates"), list, models));
        if raw.no_fallback == Some(true) && !raw.emergency.is_empty() {
            self.error(&at.key("emergency"), "contradicts `no_fallback: true`");
        }
        let mut tasks = base.tasks;
        for task in Task::ALL {
            if let Some(name) = raw.tasks.get(task.name()) {
                let at = at.key("tasks").key(task.name());
                let model = self.model(&at, name);
                self.among(&at, model, listed.as_deref());
                tasks[task.index()] = model.or(tasks[task.index()]);
            }
        }
        if let Some(Strategy::Weighted(split)) = &own {
            for (model, _) in split {
                let name = &models[usize::from(model.0)].name;
                self.among(&at.key("split").key(name), Some(*model), listed.as_deref());
            }
        }
        let of_split = match &own {
            Some(Strategy::Weighted(split)) => Some(split.iter().map(|(model, _)| *model).collect()),
            _ => None,
        };
        let emergency = self.model_list(&at.key("emergency"), &raw.emergency, models);
        let mut require = base.require;
        require.extend(self.required(&at.key("require"), &raw.require));
        let strategy = own.unwrap_or(base.strategy);
        let is_value = matches!(strategy, Strategy::Value(_));
        if raw.pacing == Some(true) && !is_value {
            self.missing(&at.key("pacing"), at, "only with `strategy: value`");
        }
        Policy {
            strategy,
            candidates: listed.or(of_split).unwrap_or(base.candidates),
            emergency: if raw.emergency.is_empty() { base.emergency } else { emergency },
            require,
            min_quality: raw.min_quality.map(|u| u.0 as f32).or(base.min_quality),
            max_cost: raw.max_cost_usd.map(NanoUsd::from_usd).or(base.max_cost),
            max_latency_ms: raw.max_latency_ms.map(|x| x as f32).or(base.max_latency_ms),
            class: raw.class.map(class).or(base.class),
            no_fallback: raw.no_fallback.unwrap_or(base.no_fallback),
            tasks,
            expected_output_tokens: raw.expected_output_tokens.or(base.expected_output_tokens),
            translation: raw.translation.map_or(base.translation, translation),
            cache: raw.cache.map_or(base.cache, cache),
            pacing: raw.pacing.unwrap_or(base.pacing) && is_value,
            predicting: self.predicting(&at.key("predictor"), &raw.predictor, base.predicting, models),
        }
    }

    /// A preferred model that is no candidate would never be tried.
    fn among(&mut self, at: &Path, model: Option<ModelIx>, candidates: Option<&[ModelIx]>) {
        if let (Some(model), Some(candidates)) = (model, candidates)
            && !candidates.is_empty()
            && !candidates.contains(&model)
        {
            self.error(at, "not among the `candidates`");
        }
    }

    /// The strategy with its own keys; `None` where none is given.
    fn strategy(&mut self, at: &Path, raw: &raw::StrategyKeys) -> Option<Strategy> {
        use raw::StrategyName as Name;
        // `balanced` is what `weights` alone can only mean.
        let name = raw.strategy.or(raw.weights.is_some().then_some(Name::Balanced));
        let owned = [
            ("weights", raw.weights.is_some(), Name::Balanced, "balanced"),
            ("lambda", raw.lambda.is_some(), Name::Value, "value"),
            ("budget_usd_per_request", raw.budget_usd_per_request.is_some(), Name::Value, "value"),
            ("split", raw.split.is_some(), Name::Weighted, "weighted"),
            ("score", raw.score.is_some(), Name::Score, "score"),
        ];
        for (key, _, _, wanted) in owned.into_iter().filter(|(_, given, owner, _)| *given && name != Some(*owner)) {
            self.missing(&at.key(key), at, format!("only with `strategy: {wanted}`"));
        }
        Some(match name? {
            Name::Cost => Strategy::Cost,
            Name::Latency => Strategy::Latency,
            Name::Quality => Strategy::Quality,
            Name::Balanced => Strategy::Balanced(self.weights(at, raw.weights)),
            Name::Value => Strategy::Value(self.lambda(at, raw)),
            Name::Weighted => Strategy::Weighted(self.split(at, raw)),
            Name::Score => match &raw.score {
                Some(score) => Strategy::Score(score.0.clone()),
                None => {
                    self.missing(at, at, "`strategy: score` needs `score`, a CEL expression");
                    Strategy::Cost
                }
            },
        })
    }

    fn weights(&mut self, at: &Path, raw: Option<raw::WeightKeys>) -> Weights {
        let Some(raw) = raw else { return Weights::default() };
        let of = |share: Option<raw::Share>| share.map_or(0.0, |s| s.0 as f32);
        let weights = Weights {
            cost: of(raw.cost),
            latency: of(raw.latency),
            quality: of(raw.quality),
            capability: of(raw.capability),
        };
        if weights.cost + weights.latency + weights.quality + weights.capability <= 0.0 {
            let at = at.key("weights");
            self.missing(&at, &at, "at least one weight must be more than 0");
        }
        weights
    }

    fn lambda(&mut self, at: &Path, raw: &raw::StrategyKeys) -> Lambda {
        match (raw.lambda, raw.budget_usd_per_request) {
            (Some(lambda), None) => Lambda::Fixed(lambda),
            (None, Some(usd)) => Lambda::Budget(NanoUsd::from_usd(usd)),
            (Some(lambda), Some(_)) => {
                let at = at.key("budget_usd_per_request");
                self.error(&at, "`lambda` and `budget_usd_per_request` are both given: keep one");
                Lambda::Fixed(lambda)
            }
            (None, None) => {
                self.missing(at, at, "`strategy: value` needs `lambda` or `budget_usd_per_request`");
                Lambda::Fixed(0.0)
            }
        }
    }

    fn split(&mut self, at: &Path, raw: &raw::StrategyKeys) -> Vec<(ModelIx, f32)> {
        let Some(raw) = &raw.split else {
            self.missing(at, at, "`strategy: weighted` needs `split`, a share for each model");
            return Vec::new();
        };
        let at = at.key("split");
        let shares = raw.iter().map(|(name, share)| (self.model(&at.key(name), name), share.0 as f32));
        let split: Vec<(Option<ModelIx>, f32)> = shares.collect();
        if !split.iter().any(|(_, share)| *share > 0.0) {
            self.missing(&at, &at, "at least one share must be more than 0");
        }
        split.into_iter().filter_map(|(model, share)| Some((model?, share))).collect()
    }

    /// Models by name, or all with a tag (`tag:local`) in file order; each once.
    fn model_list(&mut self, at: &Path, list: &raw::List<String>, models: &[Model]) -> Vec<ModelIx> {
        let mut found: Vec<ModelIx> = Vec::new();
        for (i, name) in list.iter() {
            let at = at.index(i);
            let Some(tag) = name.strip_prefix("tag:") else {
                if let Some(model) = self.model(&at, name) {
                    if found.contains(&model) {
                        self.error(&at, "listed twice");
                    } else {
                        found.push(model);
                    }
                }
                continue;
            };
            let tagged = |m: &Model| m.has_tag(tag);
            if !self.tags.contains(tag) {
                let hint = suggestion(tag, self.tags.iter().map(|t| &**t));
                let message = format!("no model has the tag {}{hint}", self.shown(&at, tag));
                self.missing(&at, &Path::root().key("models"), message);
            }
            for ix in (0..models.len()).filter(|&i| tagged(&models[i])).map(|i| ModelIx(i as u16)) {
                if !found.contains(&ix) {
                    found.push(ix);
                }
            }
        }
        found
    }

    /// Required tags; one that no model carries refuses everything, which is worth a warning.
    fn required(&mut self, at: &Path, raw: &raw::List<String>) -> Vec<Arc<str>> {
        for (i, tag) in raw.iter() {
            if !self.tags.contains(tag.as_str()) {
                let hint = suggestion(tag, self.tags.iter().map(|t| &**t));
                let at = at.index(i);
                let message = format!("no model has the tag {}, so nothing can pass{hint}", self.shown(&at, tag));
                self.warn(&at, message);
            }
        }
        raw.iter().map(|(_, tag)| Arc::from(tag.as_str())).collect()
    }

    fn surface(&mut self, at: &Path, name: &str) -> Option<usize> {
        let found = self.raw.surfaces.get_index_of(name);
        if found.is_none() && !self.names.surfaces.contains(name) {
            let known = self.names.surfaces.clone();
            self.unknown(at, "surface", name, known.iter().map(String::as_str));
        }
        found
    }
}

fn class(raw: raw::Class) -> Class {
    match raw {
        raw::Class::Interactive => Class::Interactive,
        raw::Class::Background => Class::Background,
    }
}

fn translation(raw: raw::Translation) -> Translation {
    match raw {
        raw::Translation::Strict => Translation::Strict,
        raw::Translation::Lenient => Translation::Lenient,
    }
}

/// `None` where nothing would be kept.
fn cache(raw: raw::CacheKeys) -> Option<CachePolicy> {
    let usual = CachePolicy::default();
    let policy = CachePolicy {
        ttl: raw.ttl.map_or(usual.ttl, |ttl| ttl.0.0),
        max_bytes: raw.max_bytes.map_or(usual.max_bytes, |size| size.0.0),
        shared: raw.shared.unwrap_or(usual.shared),
    };
    (!policy.ttl.is_zero()).then_some(policy)
}

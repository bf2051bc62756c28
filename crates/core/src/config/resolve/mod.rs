//! Names to indices, facts from the catalogue, rules between keys: a checked tree to a [`Config`]. It looks at every
//! part whatever is wrong in another; what refers to a part that the check took out is not reported again.

mod accounts;
mod gate;
mod keys;
mod models;
mod policies;
mod predictor;
mod providers;
mod server;

pub(super) use gate::limits;

use super::check::{Checked, MAX_ERRORS, suggestion};
use super::tree::{Node, Value};
use super::{Config, Path, PredictorFile, Storage, raw};
use crate::catalogue;
use crate::registry::{ModelIx, ProviderIx, Registry};
use indexmap::IndexSet;
use std::collections::HashMap;
use std::sync::Arc;

/// What resolving found.
pub(super) struct Resolved {
    /// Usable only where there was no error, in the check neither.
    pub(super) config: Config,
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// Something wrong, or worth a warning.
pub(super) struct Finding {
    pub(super) path: Path,
    pub(super) message: String,
    /// Set where something is absent: any error of the check in this part may have taken it out, and explains it.
    pub(super) absent_from: Option<Path>,
}

/// Resolves what the check let through. `root` is the whole tree: it still has the names of parts that were taken out.
pub(super) fn resolve(raw: &raw::Config, checked: &Checked, root: &Node, today: jiff::civil::Date) -> Resolved {
    let mut r = Resolver {
        raw,
        checked,
        today,
        names: Names::of(root),
        models: raw.models.keys().enumerate().map(|(i, name)| (name.clone(), ModelIx(i as u16))).collect(),
        providers: raw.providers.keys().enumerate().map(|(i, name)| (name.clone(), ProviderIx(i as u16))).collect(),
        tags: IndexSet::new(),
        predictors: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    r.check_names();
    let server = r.server();
    let providers = r.providers();
    let (models, endpoints) = r.models(&providers);
    r.tags = models.iter().flat_map(|m| m.tags.iter().cloned()).collect();
    let surfaces = r.surfaces();
    let usual = r.usual_policy(&models);
    let auto = r.auto(&models, &usual);
    let stages = r.stages(&models, &auto, &usual);
    let routes = r.routes(&models, &usual);
    let compliance = r.compliance();
    let peak = r.peak();
    let fallback_model =
        raw.fallback_model.as_ref().and_then(|name| r.model(&Path::root().key("fallback_model"), name));
    let time_zone = raw.time_zone.as_ref().map_or(jiff::tz::TimeZone::UTC, |z| z.0.clone());
    let registry = Registry::new(providers, models, endpoints);
    let gate = r.gate(&registry);
    let keys = r.keys(&gate, &registry, &time_zone);
    r.warn_of_prices(&gate, &keys, &registry);
    let (leases, lease_ttl) = r.leases();
    let config = Config {
        server,
        storage: raw.storage.as_ref().map_or_else(|| Storage::Sqlite("waypost.db".into()), |s| s.0.clone()),
        time_zone,
        execution: server::execution(&raw.execution),
        keys,
        gate,
        leases,
        lease_ttl,
        registry,
        routes,
        stages,
        surfaces,
        compliance,
        peak,
        auto,
        fallback_model,
        predictors: r.predictors,
        telemetry: server::telemetry(&raw.telemetry),
        learning: server::learning(raw.learning.as_ref()),
        default_max_output_tokens: raw.default_max_output_tokens.unwrap_or(4096),
    };
    Resolved { config, errors: r.errors, warnings: r.warnings }
}

/// Names as the text defines them, those of wrong parts too.
struct Names {
    providers: IndexSet<String>,
    models: IndexSet<String>,
    routes: IndexSet<String>,
    stages: IndexSet<String>,
    surfaces: IndexSet<String>,
    packages: IndexSet<String>,
}

impl Names {
    fn of(root: &Node) -> Self {
        let entries = |node: &Node| if let Value::Map(entries) = &node.value { Some(entries.clone()) } else { None };
        let top = entries(root).unwrap_or_default();
        let names = |section: &str| {
            let section = top.get(section).and_then(entries).unwrap_or_default();
            section.into_keys().collect()
        };
        let packages = top.get("gate").and_then(entries).and_then(|gate| gate.get("packages").and_then(entries));
        Self {
            providers: names("providers"),
            models: names("models"),
            routes: names("routes"),
            stages: names("stages"),
            surfaces: names("surfaces"),
            packages: packages.unwrap_or_default().into_keys().collect(),
        }
    }
}

struct Resolver<'a> {
    raw: &'a raw::Config,
    checked: &'a Checked,
    today: jiff::civil::Date,
    names: Names,
    models: HashMap<String, ModelIx>,
    providers: HashMap<String, ProviderIx>,
    /// Tags that some model carries, in file order.
    tags: IndexSet<Arc<str>>,
    /// Model files, each once.
    predictors: Vec<PredictorFile>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Resolver<'_> {
    fn error(&mut self, path: &Path, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(Finding { path: path.clone(), message: message.into(), absent_from: None });
        }
    }

    /// Something is absent from `part`.
    fn missing(&mut self, path: &Path, part: &Path, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            let absent_from = Some(part.clone());
            self.errors.push(Finding { path: path.clone(), message: message.into(), absent_from });
        }
    }

    fn warn(&mut self, path: &Path, message: impl Into<String>) {
        self.warnings.push(Finding { path: path.clone(), message: message.into(), absent_from: None });
    }

    /// `name` for a message; not where it came from the environment.
    fn shown(&self, path: &Path, name: &str) -> String {
        if self.checked.is_variable(path) {
            return "the value of the variable".into();
        }
        format!("`{}`", name.chars().take(80).collect::<String>().escape_debug())
    }

    /// Reports a reference to nothing.
    fn unknown<'n>(&mut self, path: &Path, kind: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let hint = if self.checked.is_variable(path) { String::new() } else { suggestion(name, known) };
        let message = format!("unknown {kind} {}{hint}", self.shown(path, name));
        self.error(path, message);
    }

    /// The model of this name; unknown names are reported.
    fn model(&mut self, path: &Path, name: &str) -> Option<ModelIx> {
        let found = self.models.get(name).copied();
        if found.is_none() && !self.names.models.contains(name) && self.errors.len() < MAX_ERRORS {
            let names = self.names.models.clone();
            self.unknown(path, "model", name, names.iter().map(String::as_str));
        }
        found
    }

    /// Names that cannot be told apart, or that the name resolution can never reach.
    fn check_names(&mut self) {
        let raw = self.raw;
        let sections: [(&str, Vec<&String>, usize); 5] = [
            ("providers", raw.providers.keys().collect(), usize::from(u16::MAX)),
            ("models", raw.models.keys().collect(), usize::from(u16::MAX)),
            ("routes", raw.routes.keys().collect(), usize::MAX),
            ("stages", raw.stages.keys().collect(), usize::MAX),
            ("surfaces", raw.surfaces.keys().collect(), usize::MAX),
        ];
        for (section, names, most) in sections {
            let at = Path::root().key(section);
            if names.len() > most {
                self.error(&at, format!("at most {most} are possible"));
            }
            for name in names {
                if let Some(mistake) = name_mistake(section, name) {
                    self.error(&at.key(name), mistake);
                }
            }
        }
        for name in raw.routes.keys().filter(|name| raw.models.contains_key(*name)) {
            self.error(&Path::root().key("routes").key(name), "a model has this name too");
        }
        for name in raw.stages.keys() {
            let at = Path::root().key("stages").key(name);
            if raw.models.contains_key(name) {
                self.error(&at, "a model has this name too");
            } else if raw.routes.contains_key(name) {
                self.warn(
                    &at,
                    format!("a route has this name too: `{name}` means the route, `stage/{name}` this stage"),
                );
            }
        }
    }

    fn route_names(&mut self, path: &Path, wanted: &raw::List<String>) -> Vec<Arc<str>> {
        let known = self.names.routes.clone();
        self.known_names(path, "route", wanted, &known)
    }

    fn stage_names(&mut self, path: &Path, wanted: &raw::List<String>) -> Vec<Arc<str>> {
        let known = self.names.stages.clone();
        self.known_names(path, "stage", wanted, &known)
    }

    fn known_names(
        &mut self,
        at: &Path,
        kind: &str,
        wanted: &raw::List<String>,
        known: &IndexSet<String>,
    ) -> Vec<Arc<str>> {
        for (i, name) in wanted.iter().filter(|(_, name)| !known.contains(*name)) {
            self.unknown(&at.index(i), kind, name, known.iter().map(String::as_str));
        }
        wanted.iter().map(|(_, name)| Arc::from(name.as_str())).collect()
    }
}

/// What is wrong with a name of this section.
fn name_mistake(section: &str, name: &str) -> Option<&'static str> {
    if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) || name.chars().count() > 200 {
        return Some("a name has 1 to 200 characters, without control characters or blanks around it");
    }
    match section {
        "models" | "routes" | "stages" if name == "auto" => Some("`auto` is reserved"),
        "models" if name.starts_with("route/") || name.starts_with("stage/") => {
            Some("`route/` and `stage/` begin the names of routes and stages")
        }
        "models" | "routes" | "stages" if name.starts_with("tag:") || name.starts_with("tier:") => {
            Some("`tag:` and `tier:` begin lists of models")
        }
        "providers" if name.contains('/') => Some("a provider's name must not contain `/`"),
        "providers" if name == "route" || name == "stage" => Some("`route` and `stage` are reserved"),
        _ => None,
    }
}

/// Names of the catalogue's providers, for messages.
fn known_provider_names() -> Vec<&'static str> {
    catalogue::known_providers().iter().map(|p| p.name).collect()
}

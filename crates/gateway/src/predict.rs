//! Learned predictors: reads their files, joins their models with the registry's, and asks them once a request. What a
//! figure means and who goes first is the core's to say.

use smallvec::SmallVec;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use waypost_core::config::{Config, ConfigError, PredictorFile};
use waypost_core::registry::{ModelIx, Registry};
use waypost_core::route::Predicted;
use waypost_learn::features::Features;
use waypost_learn::field::Scratch;
use waypost_learn::labels::Known;
use waypost_learn::predictor::{Expected, Predictor};
use waypost_learn::prior::Label;

/// The predictors of one configuration, by the index of their file in [`Config::predictors`].
#[derive(Debug, Default)]
pub struct Predictors {
    loaded: Vec<Arc<Loaded>>,
    /// What the operator should know of them.
    pub warnings: Vec<ConfigError>,
}

/// A predictor beside the registry that it is asked about.
pub struct Loaded {
    predictor: Predictor,
    /// The predictor's column of each model, by [`ModelIx`]; `None`: it does not know the model.
    columns: Vec<Option<u16>>,
    /// Whether any label says anything.
    has_labels: bool,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("summary", &self.predictor.summary).finish_non_exhaustive()
    }
}

impl Predictors {
    /// Reads every file that a policy names.
    ///
    /// # Errors
    /// Each file that cannot be read or used: its key, its line and what to do.
    pub fn load(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let (mut loaded, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for file in &config.predictors {
            match read(file) {
                Ok(predictor) => {
                    let one = Loaded::new(predictor, &config.registry);
                    warnings.extend(one.mismatch(&config.registry).map(|message| at(file, message)));
                    loaded.push(Arc::new(one));
                }
                Err(message) => errors.push(at(file, message)),
            }
        }
        if errors.is_empty() { Ok(Self { loaded, warnings }) } else { Err(errors) }
    }

    /// Logs what the operator should know.
    pub fn say_warnings(&self) {
        for warning in &self.warnings {
            tracing::warn!("line {}: {}: {}", warning.line, warning.path, warning.message);
        }
    }

    /// The predictor of the file with this index.
    pub fn of(&self, file: usize) -> Option<&Arc<Loaded>> {
        self.loaded.get(file)
    }
}

fn at(file: &PredictorFile, message: String) -> ConfigError {
    ConfigError { line: file.line, path: file.key.clone(), message }
}

fn read(file: &PredictorFile) -> Result<Predictor, String> {
    let shown = file.path.display();
    let bytes = std::fs::read(&file.path).map_err(|e| {
        format!("cannot read `{shown}`: {e}; train it with `waypost train --out {shown}`, or write `model: none`")
    })?;
    Predictor::read(&bytes).map_err(|e| format!("cannot use `{shown}`: {e}"))
}

impl Loaded {
    /// Joins a predictor with a registry.
    pub fn new(predictor: Predictor, registry: &Registry) -> Self {
        let column = |ix: ModelIx| {
            let name = &*registry.model(ix).name;
            predictor.models().position(|known| known == name).and_then(|column| u16::try_from(column).ok())
        };
        let columns = registry.model_ixs().map(column).collect();
        let of_lengths = predictor.lengths.iter().map(|lengths| &lengths.field);
        let has_labels = of_lengths.chain([&predictor.quality.field]).any(|field| !field.priors.of.is_empty());
        Self { predictor, columns, has_labels }
    }

    /// The predictor itself.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// What the predictor and the registry do not know of each other.
    fn mismatch(&self, registry: &Registry) -> Option<String> {
        let strangers: Vec<&str> = self.predictor.models().filter(|name| registry.find(name).is_none()).collect();
        if self.columns.iter().all(Option::is_none) {
            return Some(format!(
                "knows none of the models configured here, so that nothing is predicted; it was trained on: {}",
                strangers.join(", ")
            ));
        }
        (!strangers.is_empty()).then(|| {
            format!(
                "was trained on models that are not configured here: {}; what it says of them is not used",
                strangers.join(", ")
            )
        })
    }

    /// Asks the predictor about a request.
    pub fn predict(self: &Arc<Self>, features: &Features, known: &Known<'_>) -> Predictions {
        thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
        let labels = if self.has_labels { known.labels() } else { Vec::new() };
        let expected = SCRATCH.with_borrow_mut(|scratch| self.predictor.predict(features, &labels, scratch));
        Predictions { loaded: self.clone(), labels: labels.into(), expected }
    }
}

/// What a predictor expects of one request. It keeps no text.
#[derive(Debug, Clone)]
pub struct Predictions {
    loaded: Arc<Loaded>,
    labels: SmallVec<[Label; 4]>,
    expected: Vec<Expected>,
}

impl Predictions {
    /// What is expected of a model; `None`: the predictor does not know it.
    pub fn of(&self, model: ModelIx) -> Option<Predicted> {
        let column = (*self.loaded.columns.get(usize::from(model.0))?)?;
        let Expected { quality, low, high, prior, output_tokens } = *self.expected.get(usize::from(column))?;
        Some(Predicted { quality, low, high, prior, output_tokens })
    }

    /// The labels that it was asked with, the most general first.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Each of the predictor's models with what is expected of it.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Expected)> {
        self.loaded.predictor.models().zip(&self.expected)
    }

    /// What moved the expectation of each registry model, as JSON; dear, for explanations only.
    pub fn moved(&self, features: &Features) -> impl Fn(ModelIx) -> Option<serde_json::Value> + use<> {
        let (loaded, parts) = (self.loaded.clone(), self.loaded.predictor.moved(features, &self.labels));
        move |model| {
            let column = (*loaded.columns.get(usize::from(model.0))?)?;
            let part = parts.get(usize::from(column))?;
            let three = |x: f32| (f64::from(x) * 1000.0).round() / 1000.0;
            Some(serde_json::json!({
                "base": three(part.base), "labels": three(part.labels), "linear": three(part.linear),
                "words": three(part.words), "trees": three(part.trees),
            }))
        }
    }
}

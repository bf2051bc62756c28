//! The keys of `predictor`: model files, each once, and the classifier. The files are the shell's to read.

use super::Resolver;
use crate::config::{Path, PredictorFile, raw};
use crate::policy::Predicting;
use crate::registry::Model;
use std::path::PathBuf;

/// What turns off what would be inherited.
const NONE: &str = "none";

impl Resolver<'_> {
    /// `raw` over `base`, key by key.
    pub(super) fn predicting(
        &mut self,
        at: &Path,
        raw: &raw::PredictorKeys,
        base: Predicting,
        models: &[Model],
    ) -> Predicting {
        let file = match raw.model.as_deref() {
            None => base.file,
            Some(NONE) => None,
            Some(path) => Some(self.model_file(&at.key("model"), path)),
        };
        let classifier = match raw.classifier.as_deref() {
            None => base.classifier,
            Some(NONE) => None,
            Some(name) => self.classifier(&at.key("classifier"), name, models),
        };
        // At the top level it is there for those that name one.
        let is_top = at.parent().is_some_and(|above| above == Path::root());
        if raw.confidence.is_some() && classifier.is_none() && raw.classifier.is_none() && !is_top {
            self.warn(&at.key("confidence"), "has no effect without a `classifier`");
        }
        Predicting {
            file,
            confidence: raw.confidence.map_or(base.confidence, |u| u.0 as f32),
            classifier,
            epsilon: raw.epsilon.map_or(base.epsilon, |u| u.0),
        }
    }

    /// The index of a model file; the first place that names it stands for all.
    fn model_file(&mut self, at: &Path, path: &str) -> usize {
        let path = PathBuf::from(path);
        if let Some(known) = self.predictors.iter().position(|file| file.path == path) {
            return known;
        }
        let place = self.checked.lines.error(at, String::new());
        self.predictors.push(PredictorFile { path, line: place.line, key: place.path });
        self.predictors.len() - 1
    }

    fn classifier(&mut self, at: &Path, name: &str, models: &[Model]) -> Option<crate::registry::ModelIx> {
        let found = self.model(at, name)?;
        if models[usize::from(found.0)].kind.is_some_and(|kind| !kind.takes(false)) {
            let message = format!("{} embeds and answers nothing: name a model that chats", self.shown(at, name));
            self.error(at, message);
        }
        Some(found)
    }
}

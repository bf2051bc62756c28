//! A configuration for a start without a file: what the environment's keys and a local Ollama allow, else a simulation.

use crate::catalogue::{self, KnownProvider};
use std::collections::HashSet;
use std::fmt::Write;

/// A configuration built from what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeroConfig {
    /// YAML for [`super::parse`]. Keys stay `${NAME}`.
    pub text: String,
    /// What was found and could not be used, and why; one sentence each.
    pub notes: Vec<String>,
}

/// Builds the text. `env` looks up environment variables; `ollama` lists the models of an Ollama that answers on
/// 127.0.0.1:11434, `None` where none answers.
pub fn from_env(env: &dyn Fn(&str) -> Option<String>, ollama: Option<&[String]>) -> ZeroConfig {
    let mut found = Found::default();
    for provider in catalogue::known_providers() {
        let Some(variable) = provider.env.iter().find(|name| env(name).is_some_and(|value| !value.is_empty())) else {
            continue;
        };
        match obstacle(provider) {
            Some(why) => {
                found.notes.push(format!("{variable} is set, but {why}; provider {} is left out.", provider.name))
            }
            None => found.vendor(provider, variable),
        }
    }
    if let Some(models) = ollama {
        found.ollama(models);
    }
    let text = if found.models.is_empty() { SIMULATION.to_owned() } else { found.text() };
    ZeroConfig { text, notes: found.notes }
}

/// Why a known provider cannot be used.
fn obstacle(provider: &KnownProvider) -> Option<&'static str> {
    if provider.base_url.is_none() {
        return Some("its base URL depends on the account and needs a configuration file");
    }
    if provider.starters.is_empty() {
        return Some("the catalogue offers no model of it");
    }
    None
}

#[derive(Default)]
struct Found {
    providers: String,
    models: String,
    names: HashSet<String>,
    first: Option<String>,
    notes: Vec<String>,
}

impl Found {
    fn vendor(&mut self, provider: &KnownProvider, variable: &str) {
        // Whatever else the account offers can be asked for as `provider/model`.
        let _ = writeln!(self.providers, "  {}: {{ api_key: \"${{{variable}}}\", passthrough: true }}", provider.name);
        for model in provider.starters {
            self.model(provider.name, model, "");
        }
    }

    fn ollama(&mut self, models: &[String]) {
        if models.is_empty() {
            self.notes.push("Ollama answers, but has no model; provider ollama is left out.".into());
            return;
        }
        let known = catalogue::known_provider("ollama").is_some();
        let address = if known { "" } else { "dialect: openai, base_url: \"http://127.0.0.1:11434/v1\", " };
        let _ = writeln!(self.providers, "  ollama: {{ {address}passthrough: true }}");
        for model in models {
            self.model("ollama", model, ", tags: [local], price: { input: 0, output: 0 }");
        }
    }

    /// One model; under `provider/model` where its own name is taken or reads as another provider's.
    fn model(&mut self, provider: &str, model: &str, rest: &str) {
        // `openai/gpt-…` sold by another would stand in the way of the account at OpenAI.
        let is_foreign = |prefix: &str| prefix != provider && catalogue::known_provider(prefix).is_some();
        let clash = self.names.contains(model)
            || model == "auto"
            || model.split_once('/').is_some_and(|(prefix, _)| is_foreign(prefix));
        let name = if clash { format!("{provider}/{model}") } else { model.to_owned() };
        if !self.names.insert(name.clone()) {
            return;
        }
        let (key, upstream) = (serde_json::Value::from(name.as_str()), quoted(model));
        let _ = writeln!(self.models, "  {key}: {{ endpoints: [{{ provider: {provider}, name: {upstream} }}]{rest} }}");
        self.first.get_or_insert(name);
    }

    fn text(&self) -> String {
        let fallback = self.first.as_deref().map(quoted).unwrap_or_default();
        format!(
            "# Built from the environment; `${{NAME}}` is read from it.\nproviders:\n{}models:\n{}fallback_model: {fallback}\n",
            self.providers, self.models
        )
    }
}

/// A JSON string, which is a YAML scalar; `${` is kept from being read as a variable (in values; keys hold none).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

/// Three price classes that need nothing and answer nothing real. Each is a provider, since speed is the provider's.
const SIMULATION: &str = "\
# No provider's key was found in the environment: every answer is simulated, and says so.
providers:
  simulated-small:  { dialect: simulated, simulated: { seed: 1, first_token: 120ms, per_token: 4ms, output_tokens: 100 } }
  simulated-medium: { dialect: simulated, simulated: { seed: 2, first_token: 250ms, per_token: 8ms, output_tokens: 140 } }
  simulated-large:  { dialect: simulated, simulated: { seed: 3, first_token: 600ms, per_token: 16ms, output_tokens: 180 } }
models:
  sim-small:
    endpoints: [{ provider: simulated-small }]
    context_window: 128000
    max_output_tokens: 16000
    capabilities: [vision, tools, structured_output]
    price: { input: 0.10, output: 0.40 }
    quality: { default: 0.60 }
    latency: { first_token_ms: 120, per_token_ms: 4 }
  sim-medium:
    endpoints: [{ provider: simulated-medium }]
    context_window: 200000
    max_output_tokens: 32000
    capabilities: [vision, tools, structured_output]
    price: { input: 0.80, output: 3.20 }
    quality: { default: 0.75 }
    latency: { first_token_ms: 250, per_token_ms: 8 }
  sim-large:
    endpoints: [{ provider: simulated-large }]
    context_window: 400000
    max_output_tokens: 64000
    capabilities: [vision, audio, documents, tools, structured_output, reasoning]
    price: { input: 3.00, output: 15.00, cache_read: 0.30 }
    quality: { default: 0.90 }
    latency: { first_token_ms: 600, per_token_ms: 16 }
fallback_model: sim-small
";

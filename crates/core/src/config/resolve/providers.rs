//! Providers: what the catalogue brings for a known name, and what the operator gives.

use super::accounts::Draft;
use super::{Resolver, known_provider_names, server::timeouts};
use crate::catalogue::{self, KnownProvider};
use crate::config::check::suggestion;
use crate::config::value::Checked;
use crate::config::{Path, raw};
use crate::registry::{Dialect, Faults, Provider, Quirks, Simulated};
use crate::units::Secret;
use std::collections::{HashMap, HashSet};

impl Resolver<'_> {
    pub(super) fn providers(&mut self) -> Vec<Provider> {
        let usual = raw::Provider::default();
        let all = self.raw.providers.iter();
        all.map(|(name, provider)| self.provider(name, provider.as_ref().unwrap_or(&usual))).collect()
    }

    fn provider(&mut self, name: &str, raw: &raw::Provider) -> Provider {
        let at = Path::root().key("providers").key(name);
        let known = catalogue::known_provider(name);
        let dialects = self.dialects(&at, name, raw, known);
        let simulated = dialects.contains(&Dialect::Simulated);
        if !simulated && !dialects.is_empty() && raw.simulated.is_some() {
            self.error(&at.key("simulated"), "only with `dialect: simulated`");
        }
        let (base_url, account) = self.account(Draft { at: &at, name, raw, known, dialects: &dialects });
        let api_keys = self.api_keys(&at, raw);
        let stream_usage = raw.stream_usage.or(known.map(|k| k.stream_usage)).unwrap_or(true);
        Provider {
            name: name.into(),
            base_url,
            api_keys,
            headers: self.headers(&at, raw),
            account,
            passthrough: raw.passthrough.unwrap_or(false),
            stream_usage,
            quirks: Quirks { stream_options: stream_usage, ..known.map(|k| k.quirks).unwrap_or_default() },
            timeouts: timeouts(&raw.timeouts),
            max_concurrency: raw.max_concurrency,
            simulated: simulated.then(|| self.simulated(&at, raw.simulated.as_ref())),
            dialects,
        }
    }

    /// What it speaks; empty where that is not known, which is an error.
    fn dialects(&mut self, at: &Path, name: &str, raw: &raw::Provider, known: Option<&KnownProvider>) -> Vec<Dialect> {
        if raw.dialect.is_some() && raw.dialects.is_some() {
            self.error(&at.key("dialects"), "`dialect` and `dialects` are both given: keep one");
        }
        let (given, part) = match (&raw.dialect, &raw.dialects) {
            (Some(one), _) => (vec![dialect(*one)], at.key("dialect")),
            (None, Some(several)) => (several.iter().map(|(_, d)| dialect(*d)).collect(), at.key("dialects")),
            (None, None) => (known.map(|k| k.dialects.to_vec()).unwrap_or_default(), at.clone()),
        };
        if given.is_empty() {
            let names = known_provider_names();
            let hint = suggestion(name, names.iter().copied());
            let url = if raw.base_url.is_none() { " and `base_url`" } else { "" };
            self.missing(at, at, format!("the catalogue does not know this provider: it needs `dialect`{url}{hint}"));
        } else if let Some(alone) = given.iter().find(|d| given.len() > 1 && !shares(**d)) {
            let message =
                format!("`{}` cannot be one of several dialects: make it a provider of its own", alone.name());
            self.error(&part, message);
        } else if let Some(i) = (1..given.len()).find(|i| given[..*i].contains(&given[*i])) {
            self.error(&part.index(i), "listed twice");
        }
        given
    }

    fn api_keys(&mut self, at: &Path, raw: &raw::Provider) -> Vec<Secret> {
        if raw.api_key.is_some() && raw.api_keys.is_some() {
            self.error(&at.key("api_keys"), "`api_key` and `api_keys` are both given: keep one");
        }
        let mut seen = HashMap::new();
        for (i, Checked(key)) in raw.api_keys.iter().flat_map(|keys| keys.iter()) {
            if let Some(first) = seen.insert(key.expose(), i) {
                self.error(&at.key("api_keys").index(i), format!("the same key as api_keys[{first}]"));
            }
        }
        let several = raw.api_keys.iter().flat_map(|keys| keys.iter().map(|(_, key)| key));
        raw.api_key.iter().chain(several).map(|Checked(key)| key.clone()).collect()
    }

    fn headers(&mut self, at: &Path, raw: &raw::Provider) -> Vec<(String, Secret)> {
        /// Headers that the HTTP client writes itself.
        const OWN: [&str; 6] = ["host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade"];
        let (mut headers, mut seen) = (Vec::new(), HashSet::new());
        for (name, Checked(value)) in &raw.headers {
            let at = at.key("headers").key(name);
            let Ok(header) = name.parse::<http::HeaderName>() else {
                self.error(&at, "not a header name");
                continue;
            };
            if OWN.contains(&header.as_str()) {
                self.error(&at, "Waypost writes this header itself");
            }
            if !seen.insert(header.clone()) {
                self.error(&at, "the same header twice (case does not matter)");
            }
            headers.push((header.as_str().to_owned(), value.clone()));
        }
        headers
    }

    fn simulated(&mut self, at: &Path, raw: Option<&raw::Simulated>) -> Simulated {
        let usual = Simulated::default();
        let Some(raw) = raw else { return usual };
        let rate = |unit: Option<raw::Unit>| unit.map_or(0.0, |u| u.0);
        let f = &raw.faults;
        let faults = Faults {
            rate_limit: rate(f.rate_limit),
            server_error: rate(f.server_error),
            stall: rate(f.stall),
            cut: rate(f.cut),
            slow_first_token: rate(f.slow_first_token),
            empty: rate(f.empty),
            in_band_error: rate(f.in_band_error),
        };
        let Faults { rate_limit, server_error, stall, cut, slow_first_token, empty, in_band_error } = faults;
        let sum = rate_limit + server_error + stall + cut + slow_first_token + empty + in_band_error;
        if sum > 1.0 + 1e-9 {
            self.error(&at.key("simulated").key("faults"), format!("the rates add up to {sum:.3}, more than 1"));
        }
        Simulated {
            seed: raw.seed.unwrap_or(usual.seed),
            first_token: raw.first_token.as_ref().map_or(usual.first_token, |d| d.0.0),
            per_token: raw.per_token.as_ref().map_or(usual.per_token, |d| d.0.0),
            jitter: raw.jitter.unwrap_or(usual.jitter),
            output_tokens: raw.output_tokens.unwrap_or(usual.output_tokens),
            faults,
            retry_after: raw.retry_after.as_ref().map_or(usual.retry_after, |d| d.0.0),
        }
    }
}

/// Whether one base URL can serve it along with others.
fn shares(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic)
}

fn dialect(raw: raw::Dialect) -> Dialect {
    match raw {
        raw::Dialect::OpenAi => Dialect::OpenAi,
        raw::Dialect::Responses => Dialect::Responses,
        raw::Dialect::Anthropic => Dialect::Anthropic,
        raw::Dialect::Gemini => Dialect::Gemini,
        raw::Dialect::Bedrock => Dialect::Bedrock,
        raw::Dialect::Simulated => Dialect::Simulated,
    }
}

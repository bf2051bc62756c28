//! Any text as a configuration: it ends in a configuration that decides, or in errors with lines; no message shows a
//! secret.
#![no_main]

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use waypost_core::config::{self, Config, ConfigError};
use waypost_core::expr::Headers;
use waypost_core::health::{EndpointHealth, EndpointView};
use waypost_core::hints::Hints;
use waypost_core::profile::{Declared, Profile, Task, profile};
use waypost_core::registry::{EndpointIx, Latency, ModelIx};
use waypost_core::route::{Ask, Live, decide, explain};
use waypost_core::scan::scan_chat;
use waypost_core::units::{Instant, Now, Rng};

const SECRET: &str = "hush-7f3a9c";
const BODY: &[u8] = br#"{"model":"auto","messages":[{"role":"user","content":"Write a function that sorts a list."}]}"#;

fuzz_target!(|text: &str| {
    let env = |name: &str| (!name.starts_with("NO")).then(|| SECRET.to_owned());
    let told = |messages: &[ConfigError]| {
        for message in messages {
            assert!(message.line > 0);
            let shown = message.to_string();
            assert!(!shown.contains(SECRET) || text.contains(SECRET), "{shown}");
        }
    };
    match config::parse(text, &env, date(2026, 11, 20)) {
        Err(errors) => {
            assert!(!errors.is_empty());
            told(&errors);
        }
        Ok(parsed) => {
            told(&parsed.warnings);
            decides(&parsed.config);
        }
    }
});

/// Whatever is accepted answers any name with candidates or with a reason.
fn decides(config: &Config) {
    let scan = scan_chat(BODY).expect("the body is a chat request");
    let profile = profile(BODY, &scan, Declared::default());
    let models = config.registry.models.iter().map(|m| m.name.to_string());
    let routes = config.routes.iter().map(|r| format!("route/{}", r.name));
    let stages = config.stages.iter().map(|s| format!("stage/{}", s.name));
    let names = ["auto".to_owned(), "unheard-of".to_owned()].into_iter();
    for model in names.chain(models.take(3)).chain(routes.take(3)).chain(stages.take(3)) {
        decides_one(config, &profile, &model);
    }
}

fn decides_one(config: &Config, profile: &Profile, model: &str) {
    let (hints, tags) = (Hints::default(), [(Arc::from("tenant"), Arc::from("acme"))]);
    let headers: &Headers<'_> = &|visit: &mut dyn FnMut(&str, &str)| visit("user-agent", "fuzz");
    let ask =
        Ask { model, profile, hints: &hints, tags: &tags, key: config.keys.first(), headers, exact_tokens: &|_| 20 };
    let now = Now { instant: Instant(1), unix_ms: 1_795_000_000_000 };
    let live = Cold(config);
    let decision = decide(config, &ask, &live, now, &mut Rng::new(1));
    assert_eq!(decision.candidates.is_empty(), decision.refusal.is_some(), "{decision:?}");
    assert!(decision.candidates.iter().all(|c| !c.score.is_nan()), "{decision:?}");
    serde_json::to_string(&explain(config, profile, &decision)).expect("a decision can be explained");
}

struct Cold<'a>(&'a Config);

impl Live for Cold<'_> {
    fn endpoint(&self, _: EndpointIx) -> EndpointView {
        EndpointHealth::new(self.0.execution.breaker, Latency::default(), 20.0).view(Instant(1))
    }

    fn token_factor(&self, _: ModelIx) -> f32 {
        1.0
    }

    fn expected_output(&self, _: ModelIx, _: Task) -> f32 {
        300.0
    }
}

use super::*;
use crate::policy::{Lambda, Strategy};
use crate::profile::{Class, Task};
use crate::registry::{Capabilities, Dialect, ProviderIx};
use jiff::civil::{Date, date};

const TODAY: Date = date(2026, 11, 20);

/// The environment of every test.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-openai-secret",
        "ANTHROPIC_API_KEY" => "sk-anthropic-secret",
        "TEAM_A_KEY" => "sk-team-a-secret",
        "WAYPOST_ADMIN" => "admin-secret",
        "ATTEMPTS" => "7",
        "LINE_BREAK" => "sk-secret\n",
        "WORD" => "word-secret",
        _ => return None,
    };
    Some(value.to_owned())
}

fn errors(text: &str) -> Vec<String> {
    match parse(text, &env, TODAY) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn parsed(text: &str) -> Parsed {
    parse(text, &env, TODAY).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

#[test]
fn smoke() {
    let p = parsed(include_str!("../../tests/fixtures/config/bench.yaml"));
    println!("{:#?}", p.warnings);
    println!("{:#?}", errors(include_str!("../../tests/fixtures/config/design.yaml")));
    println!("{}", serde_json::to_string_pretty(&schema()).unwrap());
}

//! Evaluation: the reference's figures, what must hold for any rows, and input that has no figures.

mod degenerate;
mod laws;
mod page;
mod reference;

use waypost_learn::eval::{Predictions, Settings};
use waypost_learn::outcome::{Outcome, Row, Rows};
use waypost_learn::rng::Rng;

/// Few resamples: intervals are beside the point of most tests.
fn quick() -> Settings {
    Settings { resamples: 40, ..Settings::default() }
}

fn no_intervals() -> Settings {
    Settings { resamples: 0, ..Settings::default() }
}

fn read(name: &str, text: &str) -> Vec<Row> {
    let mut rows = Rows::default();
    rows.read(name, text).expect("a fixture is good");
    rows.rows
}

/// Rows of models `m0`, `m1`, … with scores in quarters, dearer models better in the mean; and blurred predictions.
fn synthetic(seed: u64, rows: usize, models: usize) -> (Vec<Row>, Predictions) {
    let mut rng = Rng::new(seed);
    let names: Vec<String> = (0..models).map(|k| format!("m{k}")).collect();
    let mut quality = Vec::new();
    let made = (0..rows)
        .map(|i| {
            let hard = rng.unit();
            let mut guesses = Vec::new();
            let outcomes = names.iter().enumerate().map(|(k, name)| {
                let able = 0.3 + 0.6 * (k as f64 + 1.0) / models as f64;
                let score = (4.0 * (able * 1.4 - hard * 0.9 + 0.4 * (rng.unit() - 0.5)).clamp(0.0, 1.0)).round() / 4.0;
                guesses.push((0.6 * score + 0.4 * rng.unit()).clamp(0.0, 1.0));
                let cost_usd = Some(1e-5 * 4f64.powi(k as i32) * (0.5 + rng.unit()));
                (name.clone(), Outcome { score, input_tokens: None, output_tokens: None, cost_usd })
            });
            let outcomes = outcomes.collect();
            quality.push(guesses);
            let prompt = "x".repeat(1 + (hard * 60.0) as usize + rng.below(30));
            Row { id: format!("q{i}"), source: String::new(), task: format!("t{}", i % 3), prompt, outcomes }
        })
        .collect();
    (made, Predictions { models: names, quality, cost: None })
}

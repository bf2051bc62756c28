//! Training seen from outside: it learns what is there, claims nothing that is not, and repeats itself.

use indexmap::IndexMap;
use proptest::prelude::*;
use waypost_learn::features::Features;
use waypost_learn::field::Scratch;
use waypost_learn::file::FileError;
use waypost_learn::outcome::{Outcome, Row};
use waypost_learn::predictor::Predictor;
use waypost_learn::prior::Label;
use waypost_learn::rng::Rng;
use waypost_learn::train::{
    Options, PromiseError, RouteKey, Sample, TrainError, Trained, Wanted, train, train_with_promise,
};

/// How likely each model is to answer a prompt well.
type World = fn(kind: usize) -> [(&'static str, f64); 2];

const KINDS: [&str; 3] = ["Add the numbers", "Prove the theorem about", "Translate the sentence on"];
const TOPICS: [&str; 8] = ["whales", "trams", "lenses", "rivers", "violins", "glaciers", "bridges", "tea"];

/// Small costs a tenth; on proofs only large is good.
fn proofs_need_large(kind: usize) -> [(&'static str, f64); 2] {
    [("large", 0.92), ("small", if kind == 1 { 0.15 } else { 0.9 })]
}

/// What a prompt says changes nothing.
fn luck(_: usize) -> [(&'static str, f64); 2] {
    [("large", 0.8), ("small", 0.6)]
}

fn rows(world: World, count: usize, seed: u64) -> Vec<Row> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|ix| {
            let kind = rng.below(3);
            let prompt = format!(
                "{} {} and {}, number {}.",
                KINDS[kind],
                TOPICS[rng.below(8)],
                TOPICS[rng.below(8)],
                rng.below(1000)
            );
            let outcomes: IndexMap<String, Outcome> = world(kind)
                .into_iter()
                .map(|(model, good)| {
                    let score = f64::from(u8::from(rng.unit() < good));
                    let tokens = [20, 400, 60][kind] + rng.below(10) as u32;
                    let rate = if model == "large" { 1e-5 } else { 1e-6 };
                    let cost = rate * f64::from(tokens);
                    let outcome =
                        Outcome { score, input_tokens: Some(12), output_tokens: Some(tokens), cost_usd: Some(cost) };
                    (model.to_owned(), outcome)
                })
                .collect();
            Row { id: format!("{seed}-{ix}"), source: String::new(), task: KINDS[kind].to_owned(), prompt, outcomes }
        })
        .collect()
}

fn samples(rows: Vec<Row>, key: Option<RouteKey>) -> Vec<Sample> {
    rows.into_iter().map(|row| Sample::of(row, key)).collect()
}

fn trained(world: World, count: usize, key: Option<RouteKey>) -> Trained {
    let options = Options { route_key: key, ..Options::default() };
    train(&samples(rows(world, count, 1), key), options, &|_| ()).expect("trained")
}

fn refused(rows: Vec<Row>) -> TrainError {
    train(&samples(rows, None), Options::default(), &|_| ()).expect_err("refused")
}

/// Expected quality of `[large, small]`, and of their answers' lengths.
fn expected(predictor: &Predictor, text: &str) -> ([f32; 2], [f32; 2]) {
    let said = predictor.predict(&Features::of(text), &[], &mut Scratch::default());
    assert_eq!(predictor.models().collect::<Vec<_>>(), ["large", "small"]);
    ([said[0].quality, said[1].quality], [0, 1].map(|m: usize| said[m].output_tokens.expect("learned")))
}

#[test]
fn it_learns_where_the_small_model_will_do_and_how_long_answers_are() {
    let trained = trained(proofs_need_large, 600, None);
    let (proof, long) = expected(&trained.predictor, "Prove the theorem about lenses and tea, number 7.");
    let (sum, short) = expected(&trained.predictor, "Add the numbers rivers and trams, number 7.");
    assert!(proof[0] > 0.8 && proof[1] < 0.4, "{proof:?}");
    assert!(sum[0] > 0.8 && sum[1] > 0.75, "{sum:?}");
    assert!(long[0] > 300.0 && short[0] < 60.0, "{long:?} {short:?}");
    let report = trained.report.expect("judged");
    assert!(report.metrics.apgr.expect("two models") > 0.7, "{:?}", report.metrics.apgr);
    assert!(report.metrics.ece.expect("scores") < 0.06, "{:?}", report.metrics.ece);
}

#[test]
fn what_moved_an_expectation_adds_up_to_it() {
    let predictor = trained(proofs_need_large, 600, Some(RouteKey::Task)).predictor;
    let (features, labels) = (Features::of("Prove the theorem about tea."), [Label::new("task", KINDS[1])]);
    let said = predictor.predict(&features, &labels, &mut Scratch::default());
    for (moved, said) in predictor.moved(&features, &labels).iter().zip(said) {
        let sum = moved.base + moved.labels + moved.linear + moved.words + moved.trees;
        assert!((sum.clamp(0.002, 0.998) - said.quality).abs() < 1e-4, "{moved:?} {said:?}");
        assert!((moved.base + moved.labels - said.prior).abs() < 1e-4, "{moved:?} {said:?}");
        assert!(said.low <= said.quality && said.quality <= said.high, "{said:?}");
    }
}

#[test]
fn luck_is_not_claimed_as_a_gain() {
    let mut claimed = 0;
    for seed in 0..8 {
        let rows = rows(luck, 400, 100 + seed);
        let trained = train(&samples(rows, None), Options { seed, ..Options::default() }, &|_| ()).expect("trained");
        let notes = &trained.predictor.summary.notes;
        claimed += usize::from(!notes.iter().any(|n| n.contains("no gain is shown, and none is claimed")));
    }
    assert!(claimed <= 1, "{claimed} of 8 worlds of luck were claimed as a gain");
}

#[test]
fn the_same_seed_gives_the_same_file_on_any_number_of_threads_and_in_any_order_of_models() {
    let all = rows(proofs_need_large, 320, 1);
    let file = |rows: &[Row], threads: usize, seed: u64| {
        let options = Options { threads, seed, ..Options::default() };
        train(&samples(rows.to_vec(), None), options, &|_| ()).expect("trained").predictor.write()
    };
    let turned: Vec<Row> = all
        .iter()
        .map(|row| Row { outcomes: row.outcomes.clone().into_iter().rev().collect(), ..row.clone() })
        .collect();
    assert!(file(&all, 1, 5) == file(&all, 3, 5));
    assert!(file(&all, 1, 5) == file(&turned, 2, 5));
    assert!(file(&all, 1, 5) != file(&all, 1, 6));
}

#[test]
fn a_label_is_known_before_the_text() {
    let predictor = trained(proofs_need_large, 120, Some(RouteKey::Task)).predictor;
    let quality = |labels: &[Label]| {
        let said = predictor.predict(&Features::of("hm"), labels, &mut Scratch::default());
        (said[1].prior, said[1].quality)
    };
    let (prior, quality_of_proofs) = quality(&[Label::new("task", KINDS[1])]);
    assert!(prior < 0.35 && quality_of_proofs < 0.4, "{prior} {quality_of_proofs}");
    assert!(quality(&[Label::new("task", KINDS[0])]).0 > 0.7);
    assert_eq!(quality(&[Label::new("task", "never seen")]), quality(&[]));
    assert!(predictor.summary.notes.iter().any(|n| n.contains("priors only")), "{:?}", predictor.summary.notes);
}

#[test]
fn too_little_is_refused_with_what_would_be_enough() {
    assert_eq!(refused(rows(luck, 10, 1)), TrainError::Few { rows: 10 });
    assert!(refused(rows(luck, 10, 1)).to_string().contains("20 give priors"));
    fn always(_: usize) -> [(&'static str, f64); 2] {
        [("large", 2.0), ("small", 2.0)]
    }
    assert_eq!(refused(rows(always, 50, 1)), TrainError::OneClass { score: 1.0 });
    let mut one = rows(luck, 50, 1);
    for row in one.iter_mut().skip(5) {
        row.outcomes.shift_remove("small");
    }
    let said = refused(one).to_string();
    assert!(said.contains("there is one model") && said.contains("\"small\" has 5 outcomes"), "{said}");
}

#[test]
fn models_missing_in_most_rows_are_learned_from_the_rows_they_have() {
    let mut all = rows(proofs_need_large, 900, 1);
    let mut rng = Rng::new(3);
    for row in &mut all {
        // As traffic leaves it: one answer a request.
        row.outcomes.shift_remove(if rng.unit() < 0.5 { "large" } else { "small" });
    }
    let trained = train(&samples(all, None), Options::default(), &|_| ()).expect("trained");
    assert!(trained.report.is_none());
    assert!(trained.predictor.summary.notes.iter().any(|n| n.contains("0 rows have an outcome of every model")));
    let (proof, _) = expected(&trained.predictor, "Prove the theorem about lenses and tea, number 7.");
    assert!(proof[0] - proof[1] > 0.25, "{proof:?}");
}

#[test]
fn rows_without_prompts_are_learned_from_by_what_was_kept_of_them() {
    let mut kept = samples(rows(proofs_need_large, 600, 1), None);
    for sample in &mut kept {
        sample.features.hashes = None;
        sample.row.prompt.clear();
    }
    let trained = train(&kept, Options::default(), &|_| ()).expect("trained");
    let (proof, _) = expected(&trained.predictor, "Prove the theorem about lenses and tea, number 7.");
    assert!(proof[0] > 0.7 && proof[1] < 0.5, "{proof:?}");
}

#[test]
fn odd_prompts_have_finite_expectations_within_bounds() {
    let predictor = trained(proofs_need_large, 600, None).predictor;
    let million = "a ".repeat(500_000);
    for text in ["", "   ", "😀😀😀", "\u{0}", "?!…", "字字字", "x".repeat(100_000).as_str(), million.as_str()]
    {
        for said in predictor.predict(&Features::of(text), &[], &mut Scratch::default()) {
            let shown = &text[..text.floor_char_boundary(20)];
            assert!((0.0..=1.0).contains(&said.quality), "{shown:?}: {said:?}");
            assert!(said.low <= said.high && said.output_tokens.is_some_and(|t| t.is_finite() && t >= 1.0), "{said:?}");
        }
    }
}

#[test]
fn a_promise_is_stored_with_its_data_and_an_unknown_reference_refused() {
    let all = samples(rows(proofs_need_large, 2_000, 4), None);
    let wanted = |reference: &str| Wanted { reference: reference.to_owned(), max_quality_loss: 0.1, confidence: 0.95 };
    let (trained, certificate) =
        train_with_promise(&all, &wanted("large"), Options::default(), &|_| ()).expect("promised");
    let statement = Predictor::read(&trained.predictor.write()).expect("read").summary.guarantee.expect("kept");
    assert_eq!((statement.rows, statement.reference.as_str()), (600, "large"));
    assert!(statement.setting.is_some() && statement.loss_at_most <= 0.1, "{certificate}");
    assert!(statement.saving.value > 0.08, "{certificate}");
    let error = train_with_promise(&all, &wanted("huge"), Options::default(), &|_| ()).expect_err("unknown");
    assert!(matches!(error, PromiseError::Reference { .. }), "{error}");
}

#[test]
fn a_file_that_was_cut_altered_or_is_of_another_version_is_refused() {
    let file = trained(proofs_need_large, 200, None).predictor.write();
    assert_eq!(Predictor::read(b"no model"), Err(FileError::Foreign));
    assert!(matches!(Predictor::read(&file[..file.len() - 1]), Err(FileError::Length { .. })));
    assert_eq!(Predictor::read(&file[..10]), Err(FileError::Foreign));
    let mut other = file.clone();
    other[8] = 9;
    assert_eq!(Predictor::read(&other), Err(FileError::Version { found: 9 }));
    let mut altered = file.clone();
    altered[200] ^= 1;
    assert_eq!(Predictor::read(&altered), Err(FileError::Checksum));
    assert!(Predictor::read(&file).is_ok());
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(cut in 0usize..3_000, at in 0usize..3_000, byte: u8) {
        static FILE: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| trained(proofs_need_large, 60, None).predictor.write());
        let mut file = FILE[..FILE.len() - cut.min(FILE.len())].to_vec();
        if let Some(slot) = file.get_mut(at) {
            *slot = byte;
        }
        // A checksum that fits, so that what is behind it is read.
        if file.len() > 24 {
            let body = (file.len() - 24) as u64;
            file[16..24].copy_from_slice(&body.to_le_bytes());
            let sum = crc32fast::hash(&file[24..]);
            file[12..16].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(predictor) = Predictor::read(&file) {
            let said = predictor.predict(&Features::of("Add 2 and 3"), &[], &mut Scratch::default());
            prop_assert!(said.iter().all(|s| s.quality.is_finite()));
        }
    }
}

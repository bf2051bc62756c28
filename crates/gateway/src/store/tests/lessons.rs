//! What is kept for learning: it comes back with its scores, is bounded, is dropped before anything that counts.

use super::*;
use crate::store::feedback::FeedbackStore;
use bytes::Bytes;
use waypost_learn::features::Features;
use waypost_learn::text::hand::HAND;

/// An answered request with a prompt.
fn answered(rng: &mut Rng, unix_ms: i64, prompt: &str) -> RequestRecord {
    let mut r = record(rng);
    (r.unix_ms, r.outcome) = (unix_ms, RequestOutcome::Ok);
    r.attempts =
        vec![AttemptRecord { outcome: "http_500", ..attempt(rng) }, AttemptRecord { outcome: "ok", ..attempt(rng) }];
    r.attempts[0].model = name("other", 0);
    r.model = Some(r.attempts[1].model.clone());
    let material = Material::Turn(vec![Bytes::from(prompt.to_owned())]);
    r.lesson = Some(Box::new(Lesson { material, predicted: Some(0.25), propensity: Some(0.5) }));
    r
}

fn score(r: &RequestRecord, score: f32) -> FeedbackRow {
    let owned = |s: &Option<Arc<str>>| s.as_deref().map(str::to_owned);
    FeedbackRow {
        request: r.id,
        unix_ms: r.unix_ms,
        key: owned(&r.key),
        route: owned(&r.route),
        model: r.model.as_deref().unwrap().to_owned(),
        task: r.task.name().to_owned(),
        score,
        predicted: None,
    }
}

#[test]
fn lessons_come_back_with_the_newest_score_on_every_storage() {
    for (storage, _alive) in everywhere() {
        let ledger = open(&storage);
        let mut rng = Rng::new(70);
        let written: Vec<_> = (0..5).map(|i| answered(&mut rng, 1_000 + i, "Say \\\"hi\\\" to Zyx.\\n")).collect();
        let mut failed = answered(&mut rng, 2_000, "nobody answered");
        failed.outcome = RequestOutcome::Failed;
        write(&ledger, &[written.clone(), vec![failed]].concat());
        let mut scores = FeedbackStore::open(ledger.place()).unwrap();
        assert_eq!(scores.newest().unwrap(), 0);
        assert_eq!(
            scores.put(score(&written[1], 0.75)).unwrap(),
            (FeedbackRow { predicted: Some(0.25), ..score(&written[1], 0.75) }, false)
        );
        scores.put(score(&written[2], 1.0)).unwrap();
        let before = scores.newest().unwrap();
        assert!(scores.put(score(&written[1], 0.5)).unwrap().1, "replaced");
        let after = scores.after(before).unwrap();
        assert_eq!(after, [FeedbackRow { predicted: Some(0.25), ..score(&written[1], 0.5) }]);
        assert_eq!(scores.after(0).unwrap().len(), 2);

        let found = ledger.reader().unwrap().learned_rows(1_001).unwrap();
        assert_eq!((found.unusable, found.rows.len()), (0, 4), "{storage:?}");
        for (row, r) in found.rows.iter().zip(&written[1..]) {
            let answer = &r.attempts[1];
            assert_eq!((row.id, row.model.as_str(), row.unix_ms), (r.id, &*answer.model, r.unix_ms));
            assert_eq!(row.output_tokens, (!answer.estimated).then_some(answer.usage.output_tokens));
            assert_eq!(
                (row.cost_nano_usd, row.predicted, row.propensity),
                (answer.cost.map(|c| c.0), Some(0.25), Some(0.5))
            );
            assert_eq!(row.features.dense[..HAND], Features::of("Say \"hi\" to Zyx.\n").dense[..HAND]);
        }
        assert_eq!(found.rows.iter().map(|r| r.score).collect::<Vec<_>>(), [Some(0.5), Some(1.0), None, None]);
        let scored = found.scored(10);
        assert_eq!(scored.len(), 2);
        let sample = scored[0].sample(None).unwrap();
        assert_eq!((sample.row.outcomes[&scored[0].model].score, sample.row.prompt.as_str()), (0.5, ""));
    }
}

#[test]
fn lessons_are_bounded_in_age_and_number_on_every_storage() {
    for (storage, _alive) in everywhere() {
        let ledger = open(&storage);
        let mut rng = Rng::new(71);
        let hour = 3_600_000;
        ledger.keep_lessons(Some(Keep { age: Duration::from_secs(3600), rows: 10 }));
        write(&ledger, &(0..5).map(|i| answered(&mut rng, i, "old")).collect::<Vec<_>>());
        write(&ledger, &(0..3).map(|i| answered(&mut rng, 2 * hour + i, "new")).collect::<Vec<_>>());
        let count = |ledger: &Ledger| ledger.reader().unwrap().learned_rows(0).unwrap().rows.len();
        assert_eq!(count(&ledger), 3, "{storage:?}: the old ones have gone");
        write(&ledger, &(0..20).map(|i| answered(&mut rng, 2 * hour + 10 + i, "newer")).collect::<Vec<_>>());
        assert_eq!(count(&ledger), 10, "{storage:?}");
        let mut scores = FeedbackStore::open(ledger.place()).unwrap();
        for i in 0..20 {
            scores.put(score(&answered(&mut rng, i * hour, "x"), 0.5)).unwrap();
        }
        scores.forget(Keep { age: Duration::from_secs(3600 * 5), rows: 100 }, 20 * hour).unwrap();
        assert_eq!(scores.after(0).unwrap().len(), 5);
        scores.forget(Keep { age: Duration::from_secs(3600 * 5), rows: 2 }, 20 * hour).unwrap();
        assert_eq!(scores.after(0).unwrap().len(), 2);
    }
}

#[test]
fn lessons_are_dropped_under_load_and_spend_is_not() {
    let options =
        LedgerOptions { lesson_bytes: 100, batch_interval: Duration::from_secs(3600), ..LedgerOptions::default() };
    let ledger = Ledger::open(&Storage::Memory, options).unwrap();
    let mut rng = Rng::new(72);
    let prompt = "x".repeat(40);
    let written: Vec<_> = (0..10).map(|i| answered(&mut rng, i, &prompt)).collect();
    written.iter().for_each(|r| ledger.record(r.clone()));
    assert_eq!(ledger.stats().lessons_shed, 8);
    ledger.flush(LONG).unwrap();
    ledger.record(answered(&mut rng, 11, &prompt));
    ledger.flush(LONG).unwrap();
    assert_eq!((ledger.stats().lessons_shed, ledger.stats().written), (8, 11));
    assert_eq!(ledger.reader().unwrap().learned_rows(0).unwrap().rows.len(), 3);
}

#[test]
fn features_of_another_version_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let ledger = open(&Storage::Sqlite(path.clone()));
    let mut rng = Rng::new(73);
    write(&ledger, &(0..3).map(|i| answered(&mut rng, i, "x")).collect::<Vec<_>>());
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "UPDATE lessons SET version = 99 WHERE seq = 1; UPDATE lessons SET features = x'00' WHERE seq = 2",
    )
    .unwrap();
    let found = ledger.reader().unwrap().learned_rows(0).unwrap();
    assert_eq!((found.unusable, found.rows.len()), (2, 1));
}

#[test]
fn a_prompt_is_never_shown() {
    let lesson = answered(&mut Rng::new(74), 0, "secret words").lesson.unwrap();
    assert!(!format!("{lesson:?}").contains("secret"), "{lesson:?}");
}

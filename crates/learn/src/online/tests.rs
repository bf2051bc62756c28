use super::*;
use crate::rng::Rng;
use proptest::prelude::*;

const AT: Place<'static> = Place { model: "m", route: "support", task: "qa" };

/// Outcomes of a route where answers are as good as `truth` says and predicted as `predicted` says.
fn taught(seed: u64, n: usize, keys: u64, predicted: impl Fn(f32) -> f32, graded: bool) -> Outcomes {
    let mut rng = Rng::new(seed);
    let mut outcomes = Outcomes::default();
    for id in 0..n {
        let truth = truth(&mut rng);
        let noise = rng.unit() as f32;
        let score =
            if graded { (truth + (noise - 0.5) * 0.8).clamp(0.0, 1.0) } else { f32::from(u8::from(noise < truth)) };
        let heard = Heard { id: id as u128, key: rng.u64() % keys, predicted: Some(predicted(truth)), score };
        outcomes.observe(AT, heard);
    }
    outcomes
}

fn truth(rng: &mut Rng) -> f32 {
    0.1 + 0.65 * rng.unit() as f32
}

/// The expected calibration error over ten classes of what is said, on fresh prompts.
fn ece(seed: u64, said: impl Fn(f32) -> f32) -> f64 {
    let mut rng = Rng::new(seed ^ 0xfeed);
    let mut classes = [(0.0f64, 0.0f64); 10];
    let n = 4000;
    for _ in 0..n {
        let truth = truth(&mut rng);
        let said = said(truth);
        let class = &mut classes[((said * 10.0) as usize).min(9)];
        *class = (class.0 + f64::from(said), class.1 + f64::from(truth));
    }
    classes.iter().map(|(said, truth)| (said - truth).abs()).sum::<f64>() / f64::from(n)
}

fn mean_ece(n: usize, keys: u64, predicted: impl Fn(f32) -> f32 + Copy, graded: bool) -> f64 {
    let seeds = 100;
    let of = |seed| {
        let outcomes = taught(seed, n, keys, predicted, graded);
        ece(seed, |truth| outcomes.corrections().corrected("m", "support", predicted(truth)))
    };
    (0..seeds).map(of).sum::<f64>() / seeds as f64
}

#[test]
fn a_hundred_outcomes_calibrate_a_predictor_that_is_off() {
    // Too high by 0.2 on average; and by 0.2 everywhere, which no shift of logits undoes whole.
    let shifted_off = |truth: f32| shifted(truth, 0.98);
    let added = |truth: f32| truth + 0.2;
    for keys in [1, 5] {
        let (before, graded, binary) =
            (ece(1, shifted_off), mean_ece(100, keys, shifted_off, true), mean_ece(100, keys, shifted_off, false));
        let (before_2, graded_2, binary_2) =
            (ece(1, added), mean_ece(100, keys, added, true), mean_ece(100, keys, added, false));
        println!("keys {keys}: before {before:.3}, graded {graded:.4}, binary {binary:.4}");
        println!("keys {keys}: before {before_2:.3}, graded {graded_2:.4}, binary {binary_2:.4}");
        println!("200: {:.4} {:.4}", mean_ece(200, keys, shifted_off, false), mean_ece(400, keys, shifted_off, false));
        assert!(before > 0.195 && graded <= 0.03 && binary <= 0.042, "{before} {graded} {binary}");
    }
}

#[test]
fn a_predictor_that_is_right_is_left_alone() {
    for keys in [1, 5] {
        let error = mean_ece(100, keys, |truth| truth, false);
        println!("keys {keys}: {error:.4}");
        assert!(error <= 0.015, "{error}");
    }
}

/// Whether it is off or not is the same to a flood: ten thousand zeros of one key.
#[test]
fn a_flood_of_one_key_is_bounded() {
    let flood = |outcomes: &mut Outcomes| {
        let heard = (0..10_000).map(|id| Heard { id: 1 << 64 | id, key: 99, predicted: Some(0.9), score: 0.0 });
        outcomes.extend(heard.map(|heard| (AT, heard)));
    };
    let mut alone = Outcomes::default();
    flood(&mut alone);
    let most = FURTHEST as f32;
    let shift = alone.corrections().shift("m", "support");
    assert!((-most - 1e-4..0.0).contains(&shift), "{shift}");
    let quality = alone.corrections().quality("m", "qa", 0.9).unwrap();
    assert!((quality - 0.3).abs() < 1e-3, "two thirds of the way from 0.9 to 0: {quality}");
    for seed in 0..20 {
        let mut crowd = taught(seed, 200, 10, |truth| truth, false);
        let before = crowd.corrections().shift("m", "support");
        let quality_before = crowd.corrections().quality("m", "qa", 0.5).unwrap();
        flood(&mut crowd);
        let after = crowd.corrections().shift("m", "support");
        let quality_after = crowd.corrections().quality("m", "qa", 0.5).unwrap();
        assert!((after - before).abs() < 0.25, "{before} to {after}");
        assert!(quality_before - quality_after < 0.1, "{quality_before} to {quality_after}");
    }
}

#[test]
fn what_is_said_again_replaces_and_a_route_knows_nothing_of_another() {
    let heard = |id, score| Heard { id, key: 1, predicted: Some(0.5), score };
    let (mut once, mut twice) = (Outcomes::default(), Outcomes::default());
    for id in 0..30 {
        twice.observe(AT, heard(id, 0.0));
    }
    for id in 0..30 {
        once.observe(AT, heard(id, 1.0));
        twice.observe(AT, heard(id, 1.0));
        twice.observe(AT, heard(id, 1.0));
    }
    assert_eq!(once.corrections(), twice.corrections());
    let learned = once.corrections();
    assert!(learned.shift("m", "support") > 0.5);
    assert_eq!((learned.shift("m", "other"), learned.shift("n", "support")), (0.0, 0.0));
    assert_eq!(learned.corrected("n", "support", 0.7), 0.7);
    assert!((learned.quality("m", "qa", 0.5).unwrap() - 0.8).abs() < 1e-6, "30 of 1 and 20 of 0.5");
    assert_eq!(learned.quality("m", "code", 0.5), None);
}

#[test]
fn what_is_no_score_teaches_nothing() {
    let mut outcomes = Outcomes::default();
    for score in [f32::NAN, f32::INFINITY, -0.1, 1.1] {
        outcomes.observe(AT, Heard { id: 1, key: 1, predicted: Some(0.5), score });
    }
    outcomes.observe(AT, Heard { id: 1, key: 1, predicted: Some(f32::NAN), score: 1.0 });
    assert_eq!(outcomes.corrections().shift("m", "support"), 0.0);
    assert!(outcomes.corrections().quality("m", "qa", 0.5).unwrap() > 0.5, "the score itself counts");
}

proptest! {
    /// Whatever comes, one outcome more moves a shift only so far, and none goes beyond its bounds.
    #[test]
    fn steps_and_sums_are_bounded(
        all in prop::collection::vec((0u64..4, 0.0f32..=1.0, 0.0f32..=1.0), 1..120),
    ) {
        let mut outcomes = Outcomes::default();
        let mut before = 0.0;
        for (id, (key, predicted, score)) in all.into_iter().enumerate() {
            outcomes.observe(AT, Heard { id: id as u128, key, predicted: Some(predicted), score });
            let after = outcomes.corrections().shift("m", "support");
            prop_assert!((after - before).abs() < 0.5, "{} to {}", before, after);
            prop_assert!(f64::from(after.abs()) <= FURTHEST.min(STEP * (id + 1) as f64) + 1e-6);
            let corrected = outcomes.corrections().corrected("m", "support", predicted);
            prop_assert!((0.0..=1.0).contains(&corrected));
            before = after;
        }
    }
}

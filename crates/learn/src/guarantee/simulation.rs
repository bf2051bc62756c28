//! Whether promises hold as often as they say: worlds whose true losses are known, drawn by seed, thousands of them. The
//! figures in docs come from here.

use super::certify::{Arm, Sequence};
use super::*;
use crate::outcome::Matrix;
use crate::rng::Rng;

/// How the loss of a row is distributed around its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// -1, 0, 1.
    Binary,
    /// The same, rising from nothing to twice the mean along the file.
    Drifting,
    /// Mostly next to nothing, sometimes four times the mean.
    Skewed,
    /// Slight gains, and seldom all of the score lost.
    RareLarge,
    /// Graded and rising along the file.
    GradedDrifting,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Binary, Self::Drifting, Self::Skewed, Self::RareLarge, Self::GradedDrifting];

    fn scale(self) -> Scale {
        if matches!(self, Self::Binary | Self::Drifting) { Scale::Binary } else { Scale::Graded }
    }

    /// A loss whose mean is `mean`, over all places of the file.
    fn draw(self, mean: f64, place: f64, rng: &mut Rng) -> f64 {
        let u = rng.unit();
        match self {
            Self::Binary => three(mean, 0.05, u),
            Self::Drifting => three(mean * 2.0 * place, 0.05, u),
            Self::Skewed => u.powi(3) * 4.0 * mean,
            Self::RareLarge => {
                if u < (mean + 0.05) / 1.05 {
                    1.0
                } else {
                    -0.05
                }
            }
            Self::GradedDrifting => three(mean * 2.0 * place, 0.05, u) * 0.999,
        }
    }
}

/// 1 or -1 or 0, with this mean and this chance of -1.
fn three(mean: f64, gain: f64, u: f64) -> f64 {
    if u < mean + gain { 1.0 } else { -f64::from(u8::from(u > 1.0 - gain)) }
}

/// Fresh rows of a world where a row is worth asking the cheap model (at all) with the given shares, and loses `mean` there.
struct World {
    kind: Kind,
    rows: usize,
    mean: f64,
    shares: Vec<f64>,
}

impl World {
    /// The setting that is promised, from rows of this seed.
    fn promised(&self, promise: &Promise, seed: u64) -> Option<f64> {
        let mut rng = Rng::new(seed);
        let mut matrix = Matrix {
            models: vec!["strong".into(), "cheap".into()],
            score: Vec::new(),
            cost: vec![vec![1.0, 0.1]; self.rows],
        };
        let mut easy = Vec::new();
        for row in 0..self.rows {
            let loss = self.kind.draw(self.mean, (row as f64 + 0.5) / self.rows as f64, &mut rng);
            matrix.score.push(vec![1.0 + loss.min(0.0), 1.0 - loss.max(0.0)]);
            easy.push(rng.unit());
        }
        let picks: Vec<Vec<usize>> =
            self.shares.iter().map(|s| easy.iter().map(|e| usize::from(e < s)).collect()).collect();
        let points: Vec<_> = self.shares.iter().zip(&picks).map(|(s, p)| Point { setting: *s, picks: p }).collect();
        let fresh = Fresh { matrix: &matrix, reference: "strong" };
        // What `certify` promises, without the figures that it tells with it.
        let base = Arm::reference(&fresh, promise.scale).expect("good");
        let arms = Arm::all(&fresh, &points, promise.scale).expect("good");
        Sequence::run(&base, &arms, promise, 1.0 - promise.confidence).best.setting
    }

    /// The share of worlds of this kind in which what is promised holds `what`.
    fn share(&self, promise: &Promise, worlds: u64, what: impl Fn(Option<f64>) -> bool) -> f64 {
        let hits = (0..worlds).filter(|seed| what(self.promised(promise, self.rows as u64 ^ seed << 16))).count();
        hits as f64 / worlds as f64
    }
}

#[test]
fn promises_are_broken_no_more_often_than_they_say() {
    let worlds = 1_000;
    for kind in Kind::ALL {
        for (limit, rows) in [(0.05, 150), (0.05, 600), (0.02, 300)] {
            let promise = Promise { max_quality_loss: limit, confidence: 0.9, scale: kind.scale() };
            // The loss of a share s is s · mean: the last two points lose just too much and far too much, which is where a
            // wrong promise is likeliest.
            let world = World { kind, rows, mean: limit * 2.0, shares: vec![0.1, 0.2, 0.501, 1.0] };
            let wrong = world.share(&promise, worlds, |setting| setting.is_some_and(|s| s > 0.5));
            let slack = 3.0 * (0.1 * 0.9 / worlds as f64).sqrt();
            println!("{kind:?}, limit {limit}, {rows} rows: wrong in {wrong}");
            assert!(wrong <= 0.1 + slack, "{kind:?}, limit {limit}, {rows} rows: wrong in {wrong}");
        }
    }
}

#[test]
fn settings_that_lose_little_are_found() {
    for (kind, rows, least) in [
        (Kind::Binary, 1_000, 0.8),
        (Kind::Drifting, 1_000, 0.8),
        (Kind::Skewed, 400, 0.9),
        (Kind::RareLarge, 1_000, 0.6),
        (Kind::GradedDrifting, 2_000, 0.8),
    ] {
        let promise = Promise { max_quality_loss: 0.05, confidence: 0.9, scale: kind.scale() };
        // The last point loses 0.02: a bit less than half of what is allowed.
        let world = World { kind, rows, mean: 0.02, shares: vec![0.25, 0.5, 1.0] };
        let found = world.share(&promise, 200, |setting| setting == Some(1.0));
        println!("{kind:?}, {rows} rows: found in {found}");
        assert!(found >= least, "{kind:?}, {rows} rows: found in {found}");
    }
}

#[test]
fn a_candidate_that_is_no_better_seldom_replaces() {
    for scale in [Scale::Binary, Scale::Graded] {
        let bar = Bar { least_gain: 0.0, confidence: 0.9, least_rows: 50, scale };
        let replaced = |gain: f64| {
            let runs = 300;
            let hits = (0..runs).filter(|seed| {
                let mut rng = Rng::new(*seed);
                let losses: Vec<f64> = (0..500).map(|_| three(-gain, 0.05 + gain, rng.unit())).collect();
                let old: Vec<f64> = losses.iter().map(|l| 1.0 + l.min(0.0)).collect();
                let new: Vec<f64> = losses.iter().map(|l| 1.0 - l.max(0.0)).collect();
                better(&old, &new, &bar).expect("good").verdict == PromotionVerdict::Replace
            });
            hits.count() as f64 / runs as f64
        };
        let (same, better) = (replaced(0.0), replaced(0.05));
        println!("{scale:?}: the same replaces in {same}, a better one in {better}");
        assert!(same <= 0.1 + 0.05 && better > 0.8, "{scale:?}: {same}, {better}");
    }
}

/// The first alarm of a watch over losses drawn by `draw(step, rng)`.
fn first_alarm(watch: &Watch, steps: u64, seed: u64, draw: &dyn Fn(u64, &mut Rng) -> Observation) -> Option<u64> {
    let (mut watch, mut rng) = (watch.clone(), Rng::new(seed));
    (0..steps).find_map(|step| match watch.observe(draw(step, &mut rng)).expect("good") {
        Verdict::Broken(broken) => Some(broken.at),
        Verdict::Holding { .. } => None,
    })
}

fn pair(loss: f64, propensity: f64) -> Observation {
    Observation::Paired { routed: 1.0 - loss.max(0.0), reference: 1.0 + loss.min(0.0), propensity }
}

const LIMIT: f64 = 0.02;

fn shadowing() -> Watch {
    Watch::new(Against::Reference { least_propensity: 0.05 }, LIMIT, 0.9).expect("good")
}

#[test]
fn a_kept_promise_is_seldom_called_broken_however_long_it_is_looked_at() {
    let expected = Watch::new(Against::Expected { score: 0.8 }, LIMIT, 0.9).expect("good");
    type Draw = Box<dyn Fn(u64, &mut Rng) -> Observation>;
    // All lose exactly what is allowed: nothing is harder to keep quiet about.
    let cases: Vec<(&str, Watch, Draw)> = vec![
        ("binary", shadowing(), Box::new(|_, r| pair(Kind::Binary.draw(LIMIT, 0.5, r), 0.05))),
        ("skewed", shadowing(), Box::new(|_, r| pair(Kind::Skewed.draw(LIMIT, 0.5, r), 0.05))),
        ("rare and large", shadowing(), Box::new(|_, r| pair(Kind::RareLarge.draw(LIMIT, 0.5, r), 0.05))),
        ("only losses", shadowing(), Box::new(|_, r| pair(three(LIMIT, 0.0, r.unit()), 0.05))),
        (
            "changing noise",
            shadowing(),
            Box::new(|t, r| pair(three(LIMIT, if t % 2_000 < 1_000 { 0.3 } else { 0.0 }, r.unit()), 0.05)),
        ),
        // Half of the requests lose 0.2 and are shadowed ten times as often as the others, which gain 0.16: on average 0.02
        // over requests, but 0.167 over shadow calls.
        (
            "uneven shadowing",
            shadowing(),
            Box::new(|_, r| {
                let hard = r.unit() < 0.5 / (0.5 + 0.05);
                if hard { pair(three(0.2, 0.0, r.unit()), 0.5) } else { pair(-three(0.16, 0.0, r.unit()), 0.05) }
            }),
        ),
        ("expected", expected, Box::new(|_, r| Observation::Routed { score: f64::from(u8::from(r.unit() < 0.78)) })),
    ];
    let runs = 400;
    for (name, watch, draw) in &cases {
        let alarms = (0..runs).filter(|seed| first_alarm(watch, 20_000, *seed, draw).is_some()).count();
        println!("{name}: {alarms} false alarms in {runs} runs");
        let rate = alarms as f64 / runs as f64;
        assert!(rate <= 0.1 + 3.0 * (0.09f64 / runs as f64).sqrt(), "{name}: {rate}");
    }
}

/// The median number of observations from a break, after so long a time of half the allowed loss, to the alarm.
fn delay(
    watch: &Watch,
    held: u64,
    before: &dyn Fn(&mut Rng) -> Observation,
    after: &dyn Fn(&mut Rng) -> Observation,
) -> u64 {
    let draw = |step: u64, rng: &mut Rng| if step < held { before(rng) } else { after(rng) };
    let mut delays: Vec<u64> = (0..101)
        .map(|seed| first_alarm(watch, held + 50_000, seed, &draw).map_or(u64::MAX, |at| at.saturating_sub(held)))
        .collect();
    delays.sort_unstable();
    delays[50]
}

#[test]
fn a_break_is_seen_soon() {
    let watch = Watch::new(Against::Reference { least_propensity: 0.05 }, LIMIT, 0.95).expect("good");
    let expected = Watch::new(Against::Expected { score: 0.8 }, LIMIT, 0.95).expect("good");
    let routed =
        |share: f64| move |rng: &mut Rng| Observation::Routed { score: f64::from(u8::from(rng.unit() < share)) };
    let lossy = |mean: f64| move |rng: &mut Rng| pair(three(mean, 0.05, rng.unit()), 0.05);
    for held in [0, 1_000, 20_000] {
        let paired = [0.05, 0.1, 0.2, 0.5].map(|mean| delay(&watch, held, &lossy(0.01), &lossy(mean)));
        let alone = [0.7, 0.6, 0.3].map(|share| delay(&expected, held, &routed(0.79), &routed(share)));
        println!("after {held}: paired {paired:?}, expected {alone:?}");
        let most = ([5_500, 1_000, 350, 120], [1_100, 270, 50]);
        let soon = |delays: &[u64], most: &[u64]| delays.iter().zip(most).all(|(delay, most)| delay <= most);
        assert!(soon(&paired, &most.0) && soon(&alone, &most.1), "after {held}: {paired:?}, {alone:?}");
    }
}

//! The promise, watched in traffic: is the mean quality loss still within what was promised? A test that may be looked at
//! after every observation, for ever: the chance that it ever calls a kept promise broken is at most `1 - confidence`. It
//! keeps a few numbers, costs some multiplications an observation, has no clock, and switches nothing off itself.
//!
//! How: gamblers with fixed stakes bet that the loss is above the limit. While it is not, each one's capital
//! `∏ 1 + stake·(loss - limit)` is a supermartingale (an e-process); a mixture of them is one too, and reaches
//! `1 / (1 - confidence)` with at most the risk (Ville). As a promise mostly holds for long before it breaks, and capital
//! would be gone by then, part of the money is held back and enters every sixteenth observation, the n-th time as
//! `T(n) - T(n + 1)` with `T(n) = 1 / (1 + ln(1 + n))`: mixtures of e-processes that start later still are one.
//!
//! How many observations a break takes to be seen (limit 0.02, confidence 0.95, one row in ten differing from noise alone,
//! loss 0.01 before; medians of the test `a_break_is_seen_soon`), by the loss after it:
//!
//! | before the break | 0.05 | 0.1 | 0.2 | 0.5 |
//! |---|---|---|---|---|
//! | nothing | 1,170 | 245 | 87 | 32 |
//! | 1,000 observations | 1,900 | 460 | 165 | 60 |
//! | 20,000 observations | 3,700 | 690 | 240 | 80 |
//!
//! For [`Against::Expected`] (0.8 of answers right) these are shadowed requests no more but all with a score: after 20,000,
//! 780 where the share of right answers falls to 0.7, 180 at 0.6, 32 at 0.3.

use super::{Error, risk, score};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What routed answers are compared with: two different tests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The reference model's own answer to the same request, from shadow calls. Tests the promise itself: the mean of
    /// reference's score minus routed score over all requests. Assumes that whether a request was shadowed depends only on
    /// what was known before the answers, with the probability that is given with it; harder or easier traffic does not
    /// matter, since both answer the same.
    Reference {
        /// The least probability with which any request is shadowed, above 0: rarer ones are refused. Requests that are
        /// shadowed more often count less by so much, so that all kinds of requests weigh as in the traffic.
        least_propensity: f64,
    },
    /// The quality that the reference was certified to have. Tests whether routed answers score on average at least this
    /// minus the allowed loss. It needs no shadow calls, but cannot tell a worse router from harder traffic: it assumes
    /// that the reference would score as it did, and that scores come as often for bad answers as for good ones (users who
    /// only complain break it at once). Give a lower bound ([`Statement::reference_score`](super::Statement)`.low`), or a
    /// lucky estimate is taken for a promise.
    Expected {
        /// The reference's mean score, from 0 to 1.
        score: f64,
    },
}

/// One outcome of a routed request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// Both answers were graded. Where the router chose the reference itself, both scores are the same one, and the
    /// propensity is 1 if that is always reported.
    Paired {
        /// Score of the routed answer.
        routed: f64,
        /// Score of the reference's answer to the same request.
        reference: f64,
        /// The probability with which this request was to be shadowed.
        propensity: f64,
    },
    /// The routed answer was graded.
    Routed {
        /// Its score.
        score: f64,
    },
}

/// How the promise stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it with enough weight. (Not a proof that it holds.)
    Holding {
        /// The evidence against it; at `1 / (1 - confidence)` it is broken. Expected to be at most 1 while it holds.
        e_value: f64,
    },
    /// It does not hold. Stays so until [`Watch::reset`].
    Broken(Broken),
}

/// When and how a promise was found broken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The observation that showed it, from 1.
    pub at: u64,
    /// The evidence then.
    pub e_value: f64,
    /// The weighted mean loss over all observations since the start: less than the loss since the break.
    pub mean_loss: f64,
}

/// A watch over one promise; to be stored and read back as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    against: Against,
    max_quality_loss: f64,
    confidence: f64,
    seen: u64,
    /// Each gambler's capital: what has entered, multiplied by its bets.
    capital: [f64; GAMBLERS],
    losses: f64,
    weights: f64,
    broken: Option<Broken>,
}

const GAMBLERS: usize = 6;
/// Observations between two entries of money.
const ENTRY: u64 = 16;

impl Watch {
    /// A watch of "the mean loss is at most `max_quality_loss`" that is wrong about a break with at most `1 - confidence`.
    ///
    /// # Errors
    /// A loss, confidence, expected score or least propensity out of range.
    pub fn new(against: Against, max_quality_loss: f64, confidence: f64) -> Result<Self, Error> {
        risk(confidence)?;
        if !(0.0..1.0).contains(&max_quality_loss) {
            return Err(Error::QualityLoss(max_quality_loss));
        }
        match against {
            Against::Reference { least_propensity: p } if !(p > 0.0 && p <= 1.0) => {
                return Err(Error::Goal {
                    what: "least propensity",
                    value: p,
                    range: "a probability above 0, up to 1",
                });
            }
            Against::Expected { score: s } if !(0.0..=1.0).contains(&s) => {
                return Err(Error::Goal { what: "expected score", value: s, range: "a score from 0 to 1" });
            }
            Against::Reference { .. } | Against::Expected { .. } => {}
        }
        Ok(Self {
            against,
            max_quality_loss,
            confidence,
            seen: 0,
            capital: [0.0; GAMBLERS],
            losses: 0.0,
            weights: 0.0,
            broken: None,
        })
    }

    /// Takes in one outcome. Which outcomes are given must not depend on their scores; give each once.
    ///
    /// # Errors
    /// A score or propensity out of range, or an observation of the other kind; it then counts for nothing.
    pub fn observe(&mut self, observation: Observation) -> Result<Verdict, Error> {
        let (loss, weight) = self.loss(observation)?;
        if let Some(broken) = self.broken {
            return Ok(Verdict::Broken(broken));
        }
        if self.seen.is_multiple_of(ENTRY) {
            let entering = held_back(self.seen / ENTRY) - held_back(self.seen / ENTRY + 1);
            self.capital.iter_mut().for_each(|c| *c += entering / GAMBLERS as f64);
        }
        self.seen += 1;
        let stakes = self.stakes();
        for (capital, stake) in self.capital.iter_mut().zip(stakes) {
            *capital *= 1.0 + stake * weight * (loss - self.max_quality_loss);
        }
        self.losses += weight * loss;
        self.weights += weight;
        let e_value = self.e_value();
        if e_value * (1.0 - self.confidence) >= 1.0 {
            let broken = Broken { at: self.seen, e_value, mean_loss: self.losses / self.weights };
            self.broken = Some(broken);
            return Ok(Verdict::Broken(broken));
        }
        Ok(Verdict::Holding { e_value })
    }

    /// How the promise stands, without a new observation.
    pub fn verdict(&self) -> Verdict {
        self.broken.map_or_else(|| Verdict::Holding { e_value: self.e_value() }, Verdict::Broken)
    }

    /// The weighted mean loss of the observations since the start; none before the first.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.seen > 0).then(|| self.losses / self.weights)
    }

    /// Observations taken in since the start.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Starts again, with the whole risk: after the cause was mended. A reset by schedule, or because the evidence looks
    /// bad, makes each period a promise of its own, with a risk of its own.
    pub fn reset(&mut self) {
        let fresh = Self { seen: 0, capital: [0.0; GAMBLERS], losses: 0.0, weights: 0.0, broken: None, ..self.clone() };
        *self = fresh;
    }

    /// The most worst-case observations in a row (weight 1, as bad as can be) after which a fresh watch still holds: the
    /// most that one key may be let add in a window without breaking a promise alone. See [`Influence`].
    pub fn harmless_observations(&self) -> u32 {
        let mut fresh = self.clone();
        fresh.reset();
        let worst = match self.against {
            Against::Reference { least_propensity: p } => {
                Observation::Paired { routed: 0.0, reference: 1.0, propensity: p }
            }
            Against::Expected { .. } => Observation::Routed { score: 0.0 },
        };
        // A score expected to be no more than the allowed loss can never break: any bound serves.
        (0..1_000).take_while(|_| matches!(fresh.observe(worst), Ok(Verdict::Holding { .. }))).count() as u32
    }

    /// The loss and its weight, both checked.
    fn loss(&self, observation: Observation) -> Result<(f64, f64), Error> {
        let row = usize::try_from(self.seen).unwrap_or(usize::MAX);
        match (self.against, observation) {
            (Against::Reference { least_propensity: least }, Observation::Paired { routed, reference, propensity }) => {
                if !(propensity >= least && propensity <= 1.0) {
                    return Err(Error::Propensity { propensity, least });
                }
                let loss = score(row, "the reference", reference)? - score(row, "the routed answer", routed)?;
                // E[(least / p)·(loss - limit) · shadowed] = least · E[loss - limit]: the sign is that of the promise,
                // over all requests, and a weight never exceeds 1.
                Ok((loss, least / propensity))
            }
            (Against::Expected { score: expected }, Observation::Routed { score: routed }) => {
                Ok((expected - score(row, "the routed answer", routed)?, 1.0))
            }
            (Against::Reference { .. }, Observation::Routed { .. }) => {
                Err(Error::WrongObservation { wanted: "the reference's own answers", found: "only the routed answer" })
            }
            (Against::Expected { .. }, Observation::Paired { .. }) => {
                Err(Error::WrongObservation { wanted: "an expected score", found: "a pair" })
            }
        }
    }

    /// Shares of the largest stake that the best possible observation cannot ruin, each half of the one before.
    fn stakes(&self) -> [f64; GAMBLERS] {
        let best = match self.against {
            Against::Reference { .. } => 1.0,
            Against::Expected { score } => 1.0 - score,
        };
        // With an expected score of 1 and no loss allowed, nothing can be ruined, and any stake is sound.
        let most = 0.95 / (best + self.max_quality_loss).max(0.01);
        std::array::from_fn(|ix| most * 0.5f64.powi(ix as i32 + 1))
    }

    /// What has entered, and what is held back.
    fn e_value(&self) -> f64 {
        self.capital.iter().sum::<f64>() + held_back(self.seen.div_ceil(ENTRY))
    }
}

/// The money not yet in play after so many entries.
fn held_back(entries: u64) -> f64 {
    1.0 / (1.0 + (entries as f64).ln_1p())
}

/// How much one key may say: of each window of counted observations at most so many. The others are passed over, and do
/// not move the window on: a flood from one key fills neither the window nor the watch. With [`Watch::harmless_observations`]
/// as the most, a key alone cannot break the promise of a fresh watch, whatever it reports. Once every
/// key has said its most, nothing counts until another comes: where few keys are in use, the most has to be a part of the
/// window that fits their number (all of it for a single key).
///
/// It decides by key and order only, never by score, so that the test stays valid; what is then watched is the traffic as
/// capped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Influence {
    window: u32,
    most: u32,
    counted: u32,
    by_key: BTreeMap<u64, u32>,
    passed_over: u64,
}

impl Influence {
    /// At most `most` observations of a key in `window` counted ones.
    ///
    /// # Errors
    /// A most of 0 or above the window.
    pub fn new(window: u32, most: u32) -> Result<Self, Error> {
        if most == 0 || most > window {
            return Err(Error::Influence { most, window });
        }
        Ok(Self { window, most, counted: 0, by_key: BTreeMap::new(), passed_over: 0 })
    }

    /// Whether this key's observation counts; to be asked once an observation. `key` is any number that is the same for the
    /// same key. Holds at most `window` keys.
    pub fn admit(&mut self, key: u64) -> bool {
        if self.counted == self.window {
            self.counted = 0;
            self.by_key.clear();
        }
        let said = self.by_key.entry(key).or_default();
        if *said == self.most {
            self.passed_over += 1;
            return false;
        }
        *said += 1;
        self.counted += 1;
        true
    }

    /// Observations passed over so far, to be shown: a large number means that the watch sees a few keys' traffic only in
    /// part.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(routed: f64, reference: f64, propensity: f64) -> Observation {
        Observation::Paired { routed, reference, propensity }
    }

    fn watch() -> Watch {
        Watch::new(Against::Reference { least_propensity: 0.1 }, 0.02, 0.95).expect("good")
    }

    #[test]
    fn a_broken_promise_stays_broken_until_reset_and_survives_being_stored() {
        let mut watch = watch();
        let mut at = 0;
        for n in 1..=100 {
            if let Verdict::Broken(broken) = watch.observe(paired(0.0, 1.0, 0.1)).expect("good") {
                assert!(broken.at == n && broken.e_value >= 20.0 && broken.mean_loss == 1.0, "{broken:?}");
                at = n;
                break;
            }
        }
        assert!((5..30).contains(&at), "{at}");
        assert_eq!(u64::from(watch.harmless_observations()), at - 1);
        for _ in 0..1_000 {
            watch.observe(paired(1.0, 0.0, 0.1)).expect("good");
        }
        let text = serde_json::to_string(&watch).expect("plain data");
        let mut read: Watch = serde_json::from_str(&text).expect("as written");
        assert_eq!(read, watch);
        assert!(matches!(read.verdict(), Verdict::Broken(Broken { at: broken, .. }) if broken == at));
        read.reset();
        assert_eq!(read, self::watch());
        assert!(matches!(read.verdict(), Verdict::Holding { e_value } if e_value == 1.0));
    }

    #[test]
    fn what_is_shadowed_often_counts_less() {
        let (mut often, mut seldom) = (watch(), watch());
        for _ in 0..10 {
            often.observe(paired(0.0, 1.0, 1.0)).expect("good");
        }
        seldom.observe(paired(0.0, 1.0, 0.1)).expect("good");
        assert!((often.weights - seldom.weights).abs() < 1e-12);
        assert_eq!(often.mean_loss(), seldom.mean_loss());
    }

    #[test]
    fn bad_observations_are_refused_and_count_for_nothing() {
        let mut watch = watch();
        let before = watch.clone();
        for (observation, said) in [
            (paired(f64::NAN, 1.0, 0.5), "the score of \"the routed answer\" is NaN"),
            (paired(1.0, 1.1, 0.5), "the score of \"the reference\" is 1.1"),
            (paired(1.0, 1.0, 0.05), "propensity is 0.05; it is a probability from least_propensity (0.1) to 1"),
            (paired(1.0, 1.0, f64::NAN), "propensity is NaN"),
            (Observation::Routed { score: 1.0 }, "this watch compares with the reference's own answers"),
        ] {
            let error = watch.observe(observation).expect_err("bad").to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(watch, before);
        let refused = |against, loss, confidence| Watch::new(against, loss, confidence).expect_err("bad").to_string();
        let expected = Against::Expected { score: 0.8 };
        assert!(refused(expected, -1.0, 0.9).starts_with("max_quality_loss is -1"));
        assert!(refused(expected, 0.1, f64::NAN).starts_with("confidence is NaN"));
        assert!(refused(Against::Expected { score: 1.1 }, 0.1, 0.9).starts_with("the wanted expected score is 1.1"));
        assert!(refused(Against::Reference { least_propensity: 0.0 }, 0.1, 0.9).contains("least propensity is 0"));
    }

    #[test]
    fn a_key_fills_neither_the_window_nor_the_watch() {
        let mut influence = Influence::new(100, 5).expect("good");
        let flood = (0..10_000).filter(|_| influence.admit(7)).count();
        assert_eq!((flood, influence.passed_over()), (5, 9_995));
        // Nineteen others fill the window; then the key may speak again.
        let others = (0..95u64).filter(|n| influence.admit(1_000 + n % 19)).count();
        assert_eq!(others, 95);
        assert_eq!((0..50).filter(|_| influence.admit(7)).count(), 5);
        assert!(Influence::new(100, 0).is_err() && Influence::new(4, 5).is_err());

        let mut watch = watch();
        let mut influence = Influence::new(1_000, watch.harmless_observations()).expect("good");
        for _ in 0..100_000 {
            if influence.admit(7) {
                watch.observe(paired(0.0, 1.0, 0.1)).expect("good");
            }
        }
        assert!(matches!(watch.verdict(), Verdict::Holding { .. }), "{watch:?}");
    }
}

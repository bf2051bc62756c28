//! All that chance decides about one answer, drawn before anything is sent.

use http::StatusCode;
use std::time::Duration;
use waypost_core::registry::{Faults, Simulated};
use waypost_core::units::{Rng, stable_hash};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    RateLimit,
    ServerError,
    Stall,
    Cut,
    SlowFirstToken,
    Empty,
    InBandError,
}

impl Fault {
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::RateLimit, "rate_limit"),
        (Self::ServerError, "server_error"),
        (Self::Stall, "stall"),
        (Self::Cut, "cut"),
        (Self::SlowFirstToken, "slow_first_token"),
        (Self::Empty, "empty"),
        (Self::InBandError, "in_band_error"),
    ];

    fn rate(self, faults: &Faults) -> f64 {
        match self {
            Self::RateLimit => faults.rate_limit,
            Self::ServerError => faults.server_error,
            Self::Stall => faults.stall,
            Self::Cut => faults.cut,
            Self::SlowFirstToken => faults.slow_first_token,
            Self::Empty => faults.empty,
            Self::InBandError => faults.in_band_error,
        }
    }

    /// One fault or none, each at its own rate.
    fn draw(faults: &Faults, rng: &mut Rng) -> Option<Self> {
        let mut left = rng.next_f64();
        Self::ALL.into_iter().map(|(fault, _)| fault).find(|fault| {
            left -= fault.rate(faults);
            left < 0.0
        })
    }
}

/// The draws for one answer.
pub(super) struct Plan {
    pub(super) fault: Option<Fault>,
    /// Status of a server error.
    pub(super) status: StatusCode,
    /// Tokens after which a stream stalls; `None`: before the response head.
    pub(super) stall_at: Option<usize>,
    /// Tokens of an answer, at least 1, where nothing else bounds it.
    pub(super) length: Length,
    /// When tokens come.
    pub(super) rhythm: Rhythm,
    /// Draws for text and values.
    pub(super) content: Rng,
    at: Option<usize>,
    place: f64,
}

/// How long answers are.
pub(super) struct Length {
    median: f64,
    jitter: f64,
    fixed: bool,
}

impl Length {
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        if self.fixed {
            return self.median as usize;
        }
        ((self.median * log_normal(self.jitter, rng)).round().min(100_000.0) as usize).max(1)
    }
}

impl Plan {
    /// Draws from the seed, the model and the request's number; directives in `body` override.
    pub(super) fn draw(settings: &Simulated, model: &str, number: u64, body: &[u8]) -> Self {
        let said = Directive::read(body, model);
        let mixed = Rng::new(settings.seed).next_u64() ^ Rng::new(number).next_u64().rotate_left(17);
        let mut rng = Rng::new(mixed ^ stable_hash(model.as_bytes()));
        // One generator for each concern, so that a longer answer does not change a latency.
        let (mut faults, timing, content) =
            (Rng::new(rng.next_u64()), Rng::new(rng.next_u64()), Rng::new(rng.next_u64()));
        let drawn = Fault::draw(&settings.faults, &mut faults);
        let fault = said.fault.unwrap_or(drawn);
        let statuses = [500u16, 502, 503];
        let status = said.status.unwrap_or(statuses[faults.below(statuses.len())]);
        // Half of the drawn stalls come after the head, where a stream's preamble hides them.
        let late = faults.below(2) == 1;
        let stall_at = said.at.or((said.fault.is_none() && late).then_some(0));
        let place = faults.next_f64();
        let slow = if fault == Some(Fault::SlowFirstToken) { 10 } else { 1 };
        Self {
            fault,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            stall_at,
            length: Length {
                median: f64::from(said.tokens.unwrap_or(settings.output_tokens).max(1)),
                jitter: settings.jitter,
                fixed: said.tokens.is_some(),
            },
            rhythm: Rhythm {
                first: said.first_token.unwrap_or(settings.first_token).saturating_mul(slow),
                per_token: said.per_token.unwrap_or(settings.per_token),
                jitter: settings.jitter,
                rng: timing,
            },
            content,
            at: said.at,
            place,
        }
    }

    /// Tokens that a cut stream of `tokens` still sends: at least one, never all.
    pub(super) fn cut_at(&self, tokens: usize) -> usize {
        let drawn = 1 + (self.place * tokens.saturating_sub(1) as f64) as usize;
        self.at.unwrap_or(drawn).min(tokens.saturating_sub(1))
    }
}

/// When tokens come: log-normal around medians.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    first: Duration,
    per_token: Duration,
    jitter: f64,
    rng: Rng,
}

impl Rhythm {
    /// Time to the first token; ask once, before any gap.
    pub(super) fn first(&mut self) -> Duration {
        Self::spread(self.first, self.jitter, &mut self.rng)
    }

    /// Time to the next token.
    pub(super) fn gap(&mut self) -> Duration {
        Self::spread(self.per_token, self.jitter, &mut self.rng)
    }

    fn spread(median: Duration, jitter: f64, rng: &mut Rng) -> Duration {
        const DAY: f64 = 86_400.0;
        if median.is_zero() {
            return median;
        }
        Duration::from_secs_f64((median.as_secs_f64() * log_normal(jitter, rng)).min(DAY))
    }
}

/// A factor around 1: log-normal with median 1 and this sigma (Box and Muller 1958). 1 where sigma is 0.
fn log_normal(sigma: f64, rng: &mut Rng) -> f64 {
    if sigma == 0.0 {
        return 1.0;
    }
    let (u, v) = (1.0 - rng.next_f64(), rng.next_f64());
    (sigma * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()).exp()
}

/// Overrides that a request's body asks for.
#[derive(Debug, Default, PartialEq)]
struct Directive {
    fault: Option<Option<Fault>>,
    first_token: Option<Duration>,
    per_token: Option<Duration>,
    tokens: Option<u32>,
    at: Option<usize>,
    status: Option<u16>,
}

impl Directive {
    /// Reads every `simulate[…]` in `body`; unknown keys and values that do not parse are passed over.
    fn read(body: &[u8], model: &str) -> Self {
        const OPEN: &[u8] = b"simulate[";
        let mut said = Self::default();
        let mut rest = body;
        while let Some(start) = memchr::memmem::find(rest, OPEN) {
            rest = &rest[start + OPEN.len()..];
            let end = memchr::memchr(b']', rest).unwrap_or(0);
            if let Ok(text) = std::str::from_utf8(&rest[..end]) {
                said.apply(text, model);
            }
        }
        said
    }

    fn apply(&mut self, text: &str, model: &str) {
        let pairs = || text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.trim(), v.trim()));
        if pairs().any(|(key, value)| key == "model" && value != model) {
            return;
        }
        let millis = |value: &str| value.parse().ok().map(Duration::from_millis);
        for (key, value) in pairs() {
            match key {
                "fault" if value == "none" => self.fault = Some(None),
                "fault" => {
                    let known = Fault::ALL.into_iter().find(|(_, name)| *name == value);
                    self.fault = known.map(|(fault, _)| Some(fault)).or(self.fault);
                }
                "first_token_ms" => self.first_token = millis(value).or(self.first_token),
                "per_token_ms" => self.per_token = millis(value).or(self.per_token),
                "tokens" => self.tokens = value.parse().ok().map(|n: u32| n.min(100_000)).or(self.tokens),
                "at" => self.at = value.parse().ok().or(self.at),
                "status" => self.status = value.parse().ok().filter(|s| (400..600).contains(s)).or(self.status),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_at_their_rates() {
        let faults = Faults {
            rate_limit: 0.10,
            server_error: 0.05,
            stall: 0.02,
            cut: 0.08,
            slow_first_token: 0.04,
            empty: 0.03,
            in_band_error: 0.06,
        };
        let settings = Simulated { seed: 11, faults, ..Simulated::default() };
        let mut seen = std::collections::HashMap::new();
        const DRAWS: u64 = 10_000;
        for number in 0..DRAWS {
            *seen.entry(Plan::draw(&settings, "m", number, b"").fault).or_insert(0u32) += 1;
        }
        for (fault, name) in Fault::ALL {
            let (expected, got) = (fault.rate(&faults) * DRAWS as f64, f64::from(seen[&Some(fault)]));
            let sigma = (expected * (1.0 - fault.rate(&faults))).sqrt();
            assert!((got - expected).abs() < 4.0 * sigma, "{name}: {got} of {DRAWS}, expected about {expected}");
        }
    }

    #[test]
    fn no_rates_no_faults_and_certain_ones_always() {
        let always = Faults { empty: 1.0, ..Faults::default() };
        for number in 0..1000 {
            let fault = |faults| {
                let settings = Simulated { faults, ..Simulated::default() };
                Plan::draw(&settings, "m", number, b"").fault
            };
            assert_eq!((fault(Faults::default()), fault(always)), (None, Some(Fault::Empty)));
        }
    }

    #[test]
    fn latencies_and_lengths_are_log_normal_around_their_medians() {
        let settings = Simulated { jitter: 0.5, ..Simulated::default() };
        let (mut firsts, mut gaps, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..10_001 {
            let mut plan = Plan::draw(&settings, "m", number, b"");
            firsts.push(plan.rhythm.first().as_secs_f64() / settings.first_token.as_secs_f64());
            gaps.push(plan.rhythm.gap().as_secs_f64() / settings.per_token.as_secs_f64());
            lengths.push(plan.length.draw(&mut plan.content) as f64 / f64::from(settings.output_tokens));
        }
        for (name, mut factors) in [("first", firsts), ("gap", gaps), ("length", lengths)] {
            factors.sort_by(f64::total_cmp);
            // The quantiles at one standard deviation are exp(±sigma).
            for (quantile, expected) in [(1587, (-0.5f64).exp()), (5000, 1.0), (8413, 0.5f64.exp())] {
                let got = factors[quantile];
                assert!((got / expected - 1.0).abs() < 0.05, "{name}: quantile {quantile} is {got}, not {expected}");
            }
        }
    }

    #[test]
    fn a_directive_overrides_where_it_applies() {
        let ms = Duration::from_millis;
        let cases: [(&str, Directive); 6] = [
            ("no directive", Directive::default()),
            (
                "a simulate[fault=cut,tokens=20, at=3] b",
                Directive { fault: Some(Some(Fault::Cut)), tokens: Some(20), at: Some(3), ..Directive::default() },
            ),
            (
                "simulate[fault=none,status=502]",
                Directive { fault: Some(None), status: Some(502), ..Directive::default() },
            ),
            (
                "simulate[fault=stall,model=other] simulate[per_token_ms=0,model=m]",
                Directive { per_token: Some(ms(0)), ..Directive::default() },
            ),
            ("simulate[fault=rain,status=200,tokens=-1,first_token_ms=7", Directive::default()),
            (
                "simulate[fault=rain,status=200,tokens=-1,first_token_ms=7]",
                Directive { first_token: Some(ms(7)), ..Directive::default() },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Directive::read(text.as_bytes(), "m"), expected, "{text}");
        }
    }
}

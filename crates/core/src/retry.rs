//! When and how often to repeat: what a provider's headers say, backoff, and the budget that keeps retries from
//! becoming the outage. It never sleeps and knows no request.

use crate::units::{Instant, Rng};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The first repeat waits at most this long.
pub const BACKOFF_BASE: Duration = Duration::from_millis(100);

/// Exponential backoff with full jitter: uniform between zero and `100 ms · 2^repeat`, at most `most`.
pub fn backoff(repeat: u32, most: Duration, rng: &mut Rng) -> Duration {
    BACKOFF_BASE.saturating_mul(1 << repeat.min(20)).min(most).mul_f64(rng.next_f64())
}

/// How long a provider asks to wait: `retry-after-ms` where there is one, else `retry-after` in seconds or as an HTTP
/// date, which is compared with the wall clock. A date in the past is no wait; what cannot be read is `None`.
pub fn retry_after(retry_after_ms: Option<&str>, retry_after: Option<&str>, unix_ms: i64) -> Option<Duration> {
    let millis = retry_after_ms.and_then(number).map(|ms| ms / 1000.0);
    if let Some(seconds) = millis.or_else(|| retry_after.and_then(number)) {
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    Some(until(http_date(retry_after?.trim())?, unix_ms))
}

/// The `…-remaining` and `…-reset` headers of rate limits, as OpenAI and its look-alikes and as Anthropic write them.
const LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// How long nothing is left of one of a provider's limits, by an answer's headers (asked for in lower case): a hint
/// for [`crate::health::EndpointHealth::rate_limited`]. `None` where something is left or nothing is said.
pub fn exhausted_for<'h>(header: impl Fn(&str) -> Option<&'h str>, unix_ms: i64) -> Option<Duration> {
    let spent = LIMITS.iter().filter(|(remaining, _)| header(remaining).is_some_and(|v| v.trim() == "0"));
    spent.filter_map(|(_, reset)| reset_after(header(reset)?.trim(), unix_ms)).max()
}

/// A reset: seconds (`12`), units (`6m0s`, `1.5s`, `20ms`) or an RFC 3339 time.
fn reset_after(value: &str, unix_ms: i64) -> Option<Duration> {
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(at) = value.parse::<Timestamp>() {
        return Some(until(at, unix_ms));
    }
    let (mut rest, mut seconds) = (value, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount = number(&rest[..digits])?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += amount
            * match &rest[..unit] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!value.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// A plain decimal number that is not negative: no sign, exponent, infinity.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse().ok())?
}

fn until(at: Timestamp, unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at.as_millisecond().saturating_sub(unix_ms)).unwrap_or(0))
}

/// The three forms of RFC 9110, all in GMT.
fn http_date(text: &str) -> Option<Timestamp> {
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = forms.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    TimeZone::UTC.to_timestamp(date).ok()
}

/// How many repeats all requests together may make: 20 % of the requests, and at least 10 a second, whichever is more.
/// A limit per request alone would multiply the load of an outage; this one bounds it.
///
/// Two token buckets in atomics: one gains a fifth of a token per request (at most 100, so that a quiet hour does not
/// pay for a storm), the other gains 10 a second (at most 10). A repeat needs a whole token of either and takes up to one
/// of both, so that the larger of the two rates holds and not their sum.
#[derive(Debug)]
pub struct RetryBudget {
    /// Thousandths of a token.
    earned: AtomicI64,
    /// When the second bucket will be full again, nanoseconds.
    full_at: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { earned: AtomicI64::new(0), full_at: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    const PER_REQUEST: i64 = 200;
    const REPEAT: i64 = 1000;
    const MOST: i64 = 100 * Self::REPEAT;
    const INTERVAL: u64 = 100_000_000;
    const BURST: u64 = 10 * Self::INTERVAL;

    /// A request came (not an attempt, not a repeat).
    pub fn request(&self) {
        let earn = |have: i64| (have < Self::MOST).then(|| (have + Self::PER_REQUEST).min(Self::MOST));
        let _ = self.earned.fetch_update(Relaxed, Relaxed, earn);
    }

    /// Asks for one repeat. `false`: there is none left, and nothing was taken.
    pub fn withdraw(&self, now: Instant) -> bool {
        let spend = |have: i64| (have >= Self::REPEAT).then(|| have - Self::REPEAT);
        let earned = self.earned.fetch_update(Relaxed, Relaxed, spend).is_ok();
        let take = |full_at: u64| {
            let next = full_at.max(now.0).saturating_add(Self::INTERVAL);
            (next <= now.0.saturating_add(Self::BURST)).then_some(next)
        };
        let given = self.full_at.fetch_update(Relaxed, Relaxed, take).is_ok();
        if earned && !given {
            self.full_at.fetch_max(now.0.saturating_add(Self::BURST), Relaxed);
        } else if given && !earned {
            let _ = self.earned.fetch_update(Relaxed, Relaxed, |have| (have < Self::REPEAT).then_some(0));
        }
        earned || given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const DATE_MS: i64 = 784_111_777_000;

    #[test]
    fn retry_after_in_every_form() {
        let ms = |n| Some(Duration::from_millis(n));
        for (millis, header, expected) in [
            (None, Some("2"), ms(2000)),
            (None, Some(" 0.25 "), ms(250)),
            (Some("30"), Some("2"), ms(30)),
            (Some("soon"), Some("2"), ms(2000)),
            (None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), ms(7000)),
            (None, Some("Sunday, 06-Nov-94 08:49:37 GMT"), ms(7000)),
            (None, Some("Sun Nov  6 08:49:37 1994"), ms(7000)),
            (None, Some("Sun, 06 Nov 1994 08:49:00 GMT"), ms(0)),
            (None, Some("99999999999999999999999"), Some(Duration::MAX)),
            (None, Some("-1"), None),
            (None, Some("1e3"), None),
            (None, Some("inf"), None),
            (None, Some(""), None),
            (None, Some("."), None),
            (None, Some("tomorrow"), None),
            (None, None, None),
        ] {
            assert_eq!(retry_after(millis, header, DATE_MS - 7000), expected, "{millis:?} {header:?}");
        }
    }

    #[test]
    fn spent_limits_are_hints() {
        let check = |headers: &[(&str, &'static str)], expected: Option<u64>| {
            let of = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            assert_eq!(exhausted_for(of, DATE_MS - 7000), expected.map(Duration::from_millis), "{headers:?}");
        };
        let (left, reset) = LIMITS[0];
        for (value, expected) in [
            ("6m0s", Some(360_000)),
            ("1.5s", Some(1500)),
            ("20ms", Some(20)),
            ("12", Some(12_000)),
            ("1h2m3s", Some(3_723_000)),
            ("1994-11-06T08:49:37Z", Some(7000)),
            ("5 parsecs", None),
            ("s", None),
            ("", None),
        ] {
            check(&[(left, "0"), (reset, value)], expected);
        }
        check(&[(left, "1"), (reset, "1s")], None);
        check(&[(left, "0")], None);
        check(&[(left, "0"), (reset, "1s"), (LIMITS[1].0, "0"), (LIMITS[1].1, "3s")], Some(3000));
    }

    #[test]
    fn backoff_grows_to_its_ceiling_with_full_jitter() {
        let (most, mut rng) = (Duration::from_secs(2), Rng::new(5));
        for (repeat, ceiling) in [(0, 100), (1, 200), (3, 800), (5, 2000), (40, 2000)] {
            let waits: Vec<_> = (0..500).map(|_| backoff(repeat, most, &mut rng)).collect();
            let ceiling = Duration::from_millis(ceiling);
            assert!(waits.iter().all(|w| *w <= ceiling) && waits.iter().any(|w| *w > ceiling.mul_f64(0.95)));
            assert!(waits.iter().any(|w| *w < ceiling.mul_f64(0.05)), "full jitter reaches down to zero");
        }
    }

    /// Repeats granted over ten seconds of so many requests a second, when each request asks five times.
    fn granted(per_second: u64) -> u64 {
        let budget = RetryBudget::default();
        let requests = 10 * per_second;
        let asks = (0..requests).map(|i| {
            budget.request();
            (0..5).filter(|_| budget.withdraw(Instant(i * 1_000_000_000 / per_second))).count() as u64
        });
        asks.sum()
    }

    #[test]
    fn budget_is_a_fifth_of_the_requests_and_at_least_ten_a_second() {
        for (per_second, at_least, at_most) in [(1, 50, 50), (20, 100, 112), (50, 100, 112), (1000, 1990, 2015)] {
            let n = granted(per_second);
            assert!((at_least..=at_most).contains(&n), "{per_second} a second: {n}");
        }
    }

    #[test]
    fn a_quiet_hour_does_not_pay_for_a_storm() {
        let budget = RetryBudget::default();
        for _ in 0..100_000 {
            budget.request();
        }
        let storm = (0..1000).filter(|_| budget.withdraw(Instant(3_600_000_000_000))).count();
        assert_eq!(storm, 100);
    }
}

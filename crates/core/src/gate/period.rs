//! Calendar windows: which day, week or month a moment belongs to, at the operator's own midnight.

use super::Window;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// One day, week or month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first day.
    pub first: Date,
    /// First millisecond, since the Unix epoch.
    pub start_ms: i64,
    /// First millisecond of the next one.
    pub end_ms: i64,
}

impl Period {
    /// The period that `unix_ms` lies in. Days are as long as the calendar makes them: 23 or 25 hours where clocks change.
    pub fn containing(window: Window, unix_ms: i64, zone: &TimeZone) -> Self {
        let at = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let today = zone.to_datetime(at).date();
        let first = match window {
            Window::Day => today,
            Window::Week => {
                let monday = jiff::Span::new().days(i64::from(today.weekday().to_monday_zero_offset()));
                today.checked_sub(monday).unwrap_or(today)
            }
            Window::Month => today.first_of_month(),
        };
        Self::starting(window, first, zone)
    }

    /// The period whose first day is `first`.
    pub(super) fn starting(window: Window, first: Date, zone: &TimeZone) -> Self {
        let span = match window {
            Window::Day => jiff::Span::new().days(1),
            Window::Week => jiff::Span::new().weeks(1),
            Window::Month => jiff::Span::new().months(1),
        };
        let next = first.checked_add(span).unwrap_or(Date::MAX);
        let (start_ms, end_ms) = (midnight(first, zone), midnight(next, zone));
        Self { first, start_ms, end_ms }
    }
}

/// The first moment of a day: midnight, or where the clock jumps over it, the moment after the jump.
fn midnight(day: Date, zone: &TimeZone) -> i64 {
    day.to_zoned(zone.clone()).and_then(|z| z.start_of_day()).map_or(i64::MAX, |z| z.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn check(window: Window, zone: &str, now: &str, start: &str, end: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let period = Period::containing(window, at(now), &zone);
        assert_eq!((period.start_ms, period.end_ms), (at(start), at(end)), "{window:?} {now}");
        // Every moment of it, and no other, lies in it.
        for inside in [period.start_ms, period.end_ms - 1] {
            assert_eq!(Period::containing(window, inside, &zone), period);
        }
        for outside in [period.start_ms - 1, period.end_ms] {
            assert_ne!(Period::containing(window, outside, &zone), period);
        }
    }

    #[test]
    fn days_turn_at_the_operators_midnight() {
        check(Window::Day, "UTC", "2026-11-26T12:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z");
        check(Window::Day, "Asia/Tokyo", "2026-11-26T15:00:00Z", "2026-11-26T15:00:00Z", "2026-11-27T15:00:00Z");
        check(Window::Day, "America/New_York", "2026-11-26T03:00:00Z", "2026-11-25T05:00:00Z", "2026-11-26T05:00:00Z");
    }

    #[test]
    fn days_are_longer_and_shorter_where_clocks_change() {
        // 25 hours and 23 hours in Berlin.
        check(Window::Day, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check(Window::Day, "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        // In São Paulo of 2018 midnight itself did not exist: the day began at one.
        check(Window::Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z");
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        check(Window::Week, "UTC", "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
        check(Window::Month, "UTC", "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Window::Month, "Europe/Berlin", "2026-10-31T23:30:00Z", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    }
}

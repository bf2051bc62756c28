//! Texts about budgets and keys: where leases come from, how long they last, when a key expires.

use super::{Text, duration};
use crate::units::Secret;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Address of a Redis; it may hold a password.
#[derive(Clone, Debug)]
pub(in crate::config) struct LeaseStore(pub(in crate::config) Secret);

impl Text for LeaseStore {
    const FORMAT: &'static str = "waypost-leases";
    const EXAMPLES: &'static [&'static str] =
        &["redis://127.0.0.1:6379", "rediss://:${REDIS_PASSWORD}@redis.example.com/0"];

    fn parse(text: &str) -> Result<Self, String> {
        let wanted = "expected redis://HOST:PORT or rediss://HOST:PORT, where a password is percent-encoded";
        let uri: http::Uri = text.parse().map_err(|_| wanted.to_owned())?;
        if !matches!(uri.scheme_str(), Some("redis" | "rediss")) || uri.host().is_none_or(str::is_empty) {
            return Err(wanted.into());
        }
        let authority = uri.authority().map_or("", |a| a.as_str());
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let port = place.rsplit_once(':').filter(|_| !place.ends_with(']')).map(|(_, port)| port);
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("the port must be a number up to 65535".into());
        }
        let database = uri.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err("after the host comes the number of a database, or nothing".into());
        }
        Ok(Self(Secret::new(text)))
    }
}

/// How long a lease lasts.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct LeaseTtl(pub(in crate::config) Duration);

impl Text for LeaseTtl {
    const FORMAT: &'static str = "waypost-lease-ttl";
    const EXAMPLES: &'static [&'static str] = &["10s", "1m"];

    fn parse(text: &str) -> Result<Self, String> {
        let ttl = duration(text)?;
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&ttl) {
            return Err("must be between 1s and 10m".into());
        }
        Ok(Self(ttl))
    }
}

/// When a key expires.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Expiry {
    /// At the end of this day.
    After(Date),
    /// At this moment.
    At(Timestamp),
}

impl Expiry {
    /// In milliseconds since the Unix epoch; days are those of `zone`.
    pub(in crate::config) fn unix_ms(self, zone: &TimeZone) -> i64 {
        match self {
            Self::At(moment) => moment.as_millisecond(),
            Self::After(day) => {
                let next = day.tomorrow().and_then(|day| day.to_zoned(zone.clone())).and_then(|z| z.start_of_day());
                next.map_or(i64::MAX, |z| z.timestamp().as_millisecond())
            }
        }
    }
}

impl Text for Expiry {
    const FORMAT: &'static str = "waypost-expiry";
    const EXAMPLES: &'static [&'static str] = &["2027-01-31", "2027-01-31T18:00:00Z"];

    fn parse(text: &str) -> Result<Self, String> {
        let wanted = "expected a day such as 2027-01-31, or a moment such as 2027-01-31T18:00:00Z";
        if text.len() > 40 || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(wanted.into());
        }
        if text.len() == 10 {
            return text.parse().map(Self::After).map_err(|_| wanted.into());
        }
        text.parse().map(Self::At).map_err(|_| wanted.into())
    }
}

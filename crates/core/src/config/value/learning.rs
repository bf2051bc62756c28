//! Texts of what is kept for learning.

use super::{Text, duration};
use std::time::Duration;

/// How long rows are kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Keep(pub(in crate::config) Duration);

impl Text for Keep {
    const FORMAT: &'static str = "waypost-keep";
    const EXAMPLES: &'static [&'static str] = &["12h", "7d", "30d"];

    fn parse(text: &str) -> Result<Self, String> {
        const HOUR: u64 = 3600;
        let wanted = "expected hours or days, such as 12h or 30d";
        let keep = match text.strip_suffix('d') {
            Some(days) => {
                let days: u64 = days.parse().map_err(|_| wanted.to_owned())?;
                Duration::from_secs(days.saturating_mul(24 * HOUR))
            }
            None => duration(text).map_err(|_| wanted.to_owned())?,
        };
        if !(Duration::from_secs(HOUR)..=Duration::from_secs(366 * 24 * HOUR)).contains(&keep) {
            return Err("must be between 1h and 366d".into());
        }
        Ok(Self(keep))
    }
}

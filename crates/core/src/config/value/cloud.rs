//! Words that become part of a cloud's address. They hold nothing that could change the host or the path.

use super::Text;

/// A region or location of a cloud.
#[derive(Clone, Debug)]
pub(in crate::config) struct Region(pub(in crate::config) String);

impl Text for Region {
    const FORMAT: &'static str = "waypost-region";
    const EXAMPLES: &'static [&'static str] = &["us-east-1", "europe-west4", "global"];

    fn parse(text: &str) -> Result<Self, String> {
        let is_word = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_word || text.len() > 63 || !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
            return Err("expected a region, such as us-east-1 or europe-west4".into());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A Google Cloud project.
#[derive(Clone, Debug)]
pub(in crate::config) struct Project(pub(in crate::config) String);

impl Text for Project {
    const FORMAT: &'static str = "waypost-project";
    const EXAMPLES: &'static [&'static str] = &["my-project-123456"];

    fn parse(text: &str) -> Result<Self, String> {
        // Old projects are `domain:name`; a number is good as well.
        let is_name = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b));
        if !is_name || text.len() > 100 || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("expected the id of a project, such as my-project-123456".into());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A version of Azure's API.
#[derive(Clone, Debug)]
pub(in crate::config) struct ApiVersion(pub(in crate::config) String);

impl Text for ApiVersion {
    const FORMAT: &'static str = "waypost-api-version";
    const EXAMPLES: &'static [&'static str] = &["2024-10-21", "2025-04-01-preview"];

    fn parse(text: &str) -> Result<Self, String> {
        let date = text.strip_suffix("-preview").unwrap_or(text);
        let is_written_so = date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if !is_written_so || date.parse::<jiff::civil::Date>().is_err() {
            return Err(
                "expected a date, such as 2024-10-21 or 2025-04-01-preview (leave it out for the v1 API)".into()
            );
        }
        Ok(Self(text.to_owned()))
    }
}

//! Keys of what is kept for learning.

use crate::config::value::{Checked, Keep};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::config) struct Learning {
    /// Whether rows are kept. Default `true`.
    pub(in crate::config) enabled: Option<bool>,
    /// How long a row, and an outcome that a client reported, is kept: hours or days, `1h` to `366d`. Default `30d`.
    pub(in crate::config) keep: Option<Checked<Keep>>,
    /// Rows kept, the newest; one has about 300 bytes. Default 200000.
    #[schemars(range(min = 100, max = 100_000_000))]
    pub(in crate::config) max_rows: Option<u32>,
}

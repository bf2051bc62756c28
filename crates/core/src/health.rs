//! stand-in until the health branch is merged
use crate::units::Instant;
/// State.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BreakerState {
    /// passes
    #[default]
    Closed,
    /// rejects
    Open,
    /// probes
    HalfOpen,
}
/// One endpoint, live.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct EndpointView {
    /// breaker lets a request through
    pub admits: bool,
    /// state
    pub breaker: BreakerState,
    /// when it may admit again
    pub retry_at: Option<Instant>,
    /// 429 hint
    pub rate_limited_until: Option<Instant>,
    /// running
    pub in_flight: u32,
    /// shrunk estimate, µs
    pub first_token_us: f32,
    /// shrunk estimate, µs
    pub per_token_us: f32,
    /// how many
    pub observations: u32,
}

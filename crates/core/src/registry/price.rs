//! What tokens cost: prices, what an attempt used, and the arithmetic between them. Integers only.

use crate::units::NanoUsd;

/// Prices in nano-US-dollars per million tokens. A rate that is absent falls back as its field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Input tokens.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens read from the provider's cache; else `input`.
    pub cache_read: Option<i64>,
    /// Input tokens written to the provider's cache; else `input`.
    pub cache_write: Option<i64>,
    /// Reasoning tokens; else `output`.
    pub reasoning: Option<i64>,
    /// Other rates for requests with a long input.
    pub long: Option<LongPrice>,
    /// Rates of the provider's batch API, input and output.
    pub batch: Option<(i64, i64)>,
}

/// Rates that replace the usual ones when the input is longer than `above`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrice {
    /// Input tokens beyond which these rates hold, for the whole request.
    pub above: u32,
    /// Input tokens.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Cached input; else `input`.
    pub cache_read: Option<i64>,
    /// Cache writes; else `input`.
    pub cache_write: Option<i64>,
}

/// What an attempt used. `input_tokens` includes cached tokens, `output_tokens` includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, cached tokens included.
    pub input_tokens: u64,
    /// All output, reasoning included.
    pub output_tokens: u64,
    /// Of the input: read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of the input: written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Of the output: reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Field by field the larger one: of counts that only grow.
    pub fn max(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.max(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.max(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.max(other.reasoning_tokens),
        }
    }
}

impl Price {
    /// What `usage` costs: summed in 128 bits, divided once, rounded half up.
    pub fn cost(&self, usage: &Usage) -> NanoUsd {
        NanoUsd(divided(self.micro_cost(usage) + 500_000))
    }

    /// As [`Price::cost`], rounded up: for reservations and caps.
    pub fn cost_ceil(&self, usage: &Usage) -> NanoUsd {
        NanoUsd(divided(self.micro_cost(usage) + 999_999))
    }

    /// The most that so many tokens, or fewer, can cost in any way of billing: all of the input written to a cache or read
    /// from one, all of the output reasoning, at the rates of a long input as soon as it may be one. Rounded up.
    pub fn worst_cost(&self, input: u64, output: u64) -> NanoUsd {
        let dearer = |rate: i64, other: Option<i64>| rate.max(other.unwrap_or(0));
        let mut inputs = dearer(dearer(self.input.max(0), self.cache_read), self.cache_write);
        let mut outputs = dearer(self.output.max(0), self.reasoning);
        if let Some(long) = self.long.as_ref().filter(|l| input > u64::from(l.above)) {
            inputs = dearer(dearer(inputs.max(long.input), long.cache_read), long.cache_write);
            outputs = outputs.max(long.output);
        }
        let term = |tokens: u64, rate: i64| i128::from(tokens) * i128::from(rate);
        let micro = term(input, inputs).saturating_add(term(output, outputs));
        NanoUsd(divided(micro.saturating_add(999_999)))
    }

    /// Tokens times rates, in nano-dollars per million.
    fn micro_cost(&self, u: &Usage) -> i128 {
        let (mut input, mut output, mut read, mut write) = (self.input, self.output, self.cache_read, self.cache_write);
        let mut reasoning = self.reasoning;
        if let Some(long) = self.long.filter(|l| u.input_tokens > u64::from(l.above)) {
            (input, output, read, write) = (long.input, long.output, long.cache_read, long.cache_write);
            reasoning = None;
        }
        let cached = u.cache_read_tokens.saturating_add(u.cache_write_tokens);
        let term = |tokens: u64, rate: i64| i128::from(tokens) * i128::from(rate);
        term(u.input_tokens.saturating_sub(cached), input)
            + term(u.cache_read_tokens, read.unwrap_or(input))
            + term(u.cache_write_tokens, write.unwrap_or(input))
            + term(u.output_tokens.saturating_sub(u.reasoning_tokens), output)
            + term(u.reasoning_tokens, reasoning.unwrap_or(output))
    }
}

/// A million of them are one nano-dollar. Saturates; nearly every sum fits 64 bits, where division is quick.
fn divided(micro: i128) -> i64 {
    match i64::try_from(micro) {
        Ok(micro) => micro / 1_000_000,
        Err(_) => i64::try_from(micro / 1_000_000).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    #[test]
    fn cached_tokens_are_charged_once() {
        let price =
            Price { input: 3_000_000_000, output: 15_000_000_000, cache_read: Some(300_000_000), ..Price::default() };
        let usage = Usage { input_tokens: 1000, cache_read_tokens: 800, output_tokens: 10, ..Usage::default() };
        // 200 × $3 + 800 × $0.3 + 10 × $15, a million
        assert_eq!(price.cost(&usage), NanoUsd(990_000));
    }

    #[test]
    fn costs_round_half_up_and_reservations_up() {
        let price = Price { input: 400_000, ..Price::default() };
        let one = Usage { input_tokens: 1, ..Usage::default() };
        assert_eq!((price.cost(&one), price.cost_ceil(&one)), (NanoUsd(0), NanoUsd(1)));
        let price = Price { input: 500_000, ..Price::default() };
        assert_eq!(price.cost(&one), NanoUsd(1));
        let huge = Usage { input_tokens: u64::from(u32::MAX), ..Usage::default() };
        assert_eq!(Price { input: 1_000_000_000_000, ..Price::default() }.cost(&huge), NanoUsd(4_294_967_295_000_000));
    }

    #[test]
    fn long_input_changes_every_rate() {
        let long = LongPrice { above: 100, input: 2_000_000, output: 4_000_000, cache_read: None, cache_write: None };
        let price = Price { input: 1_000_000, output: 1_000_000, long: Some(long), ..Price::default() };
        let at = |input| price.cost(&Usage { input_tokens: input, output_tokens: 10, ..Usage::default() });
        assert_eq!((at(100), at(101)), (NanoUsd(110), NanoUsd(242)));
    }

    fn rate() -> impl Strategy<Value = i64> {
        0..100_000_000_000i64
    }

    prop_compose! {
        fn prices()(
            (input, output) in (rate(), rate()),
            (cache_read, cache_write, reasoning) in (option::of(rate()), option::of(rate()), option::of(rate())),
            long in option::of((0..3_000u32, rate(), rate(), option::of(rate()), option::of(rate()))),
        ) -> Price {
            let long = long.map(|(above, input, output, cache_read, cache_write)| {
                LongPrice { above, input, output, cache_read, cache_write }
            });
            Price { input, output, cache_read, cache_write, reasoning, long, batch: None }
        }
    }

    proptest! {
        #[test]
        fn no_way_of_billing_costs_more_than_the_worst(
            price in prices(),
            (input, output) in (0..5_000u64, 0..5_000u64),
            parts in [0.0..=1.0f64, 0.0..=1.0, 0.0..=1.0, 0.9..=1.0, 0.9..=1.0],
        ) {
            let part = |n: u64, of: f64| (n as f64 * of) as u64;
            let (input_tokens, output_tokens) = (part(input, parts[3]), part(output, parts[4]));
            let cache_read_tokens = part(input_tokens, parts[0]);
            let cache_write_tokens = part(input_tokens - cache_read_tokens, parts[1]);
            let reasoning_tokens = part(output_tokens, parts[2]);
            let usage = Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens };
            prop_assert!(price.cost_ceil(&usage) <= price.worst_cost(input, output));
            prop_assert!(price.cost(&usage) <= price.worst_cost(input, output));
        }
    }

    #[test]
    fn the_worst_cost_is_no_more_than_it_must_be() {
        let price = Price { input: 3_000_000, output: 15_000_000, cache_write: Some(3_750_000), ..Price::default() };
        assert_eq!(price.worst_cost(1000, 10), NanoUsd(3_900));
        assert_eq!(price.worst_cost(0, 0), NanoUsd(0));
        assert_eq!(Price { input: i64::MAX, ..price }.worst_cost(u64::MAX, u64::MAX), NanoUsd(i64::MAX));
    }
}

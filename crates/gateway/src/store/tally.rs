//! The arithmetic of reports, for rows of whichever database: they come request by request, each with its attempts.

use super::report::{By, Figures, Group, Percentiles, Report};
use super::tags::parse_tags;
use std::collections::HashMap;

/// A report while it grows.
pub(super) struct Tally {
    by: By,
    since_unix_ms: i64,
    groups: Groups,
    total: Sums,
}

/// A request, as far as reports need it.
pub(super) struct RequestRow {
    /// Tells one request from the next.
    pub(super) seq: i64,
    pub(super) outcome: Outcome,
    /// By [`Tally::group`] or [`Tally::tags`]; empty where the report is over attempts.
    pub(super) groups: Vec<usize>,
    pub(super) duration_us: u64,
    pub(super) cost: i64,
    pub(super) baseline: Option<i64>,
}

/// An attempt, as far as reports need it.
pub(super) struct AttemptRow {
    pub(super) outcome: Outcome,
    pub(super) estimated: bool,
    /// At another endpoint than its request's first attempt.
    pub(super) moved: bool,
    /// By [`Tally::group`], where the report is over attempts.
    pub(super) group: usize,
    pub(super) start_us: u64,
    pub(super) first_token_us: Option<u64>,
    pub(super) duration_us: u64,
    /// Input, output, cache read, cache write, reasoning.
    pub(super) tokens: [u64; 5],
    pub(super) cost: Option<i64>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Ok,
    Error,
    Cancelled,
    Refused,
}

impl Outcome {
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "ok" | super::CLASSIFIED => Self::Ok,
            "cancelled" => Self::Cancelled,
            "refused" => Self::Refused,
            _ => Self::Error,
        }
    }
}

impl Tally {
    pub(super) fn new(by: By, since_unix_ms: i64) -> Self {
        Self { by, since_unix_ms, groups: Groups::default(), total: Sums::default() }
    }

    pub(super) const fn by(&self) -> By {
        self.by
    }

    /// The group of this name.
    pub(super) fn group(&mut self, name: Option<&str>) -> usize {
        self.groups.index(name)
    }

    /// The groups of a request with these tags.
    pub(super) fn tags(&mut self, json: Option<&str>) -> Vec<usize> {
        match json {
            Some(json) => self.groups.of_tags(json),
            None => vec![self.groups.index(None)],
        }
    }

    pub(super) fn add(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        self.total.add_request(request, attempts);
        for group in &request.groups {
            self.groups.sums[*group].add_request(request, attempts);
        }
        if self.by.over_attempts() {
            for attempt in attempts {
                self.groups.sums[attempt.group].add_attempt(request, attempt);
            }
            if let Some(last) = attempts.last() {
                self.groups.sums[last.group].add_saving(request, attempts);
            }
        }
    }

    pub(super) fn finish(self) -> Report {
        let mut groups: Vec<Group> = self
            .groups
            .names
            .into_iter()
            .zip(self.groups.sums)
            .filter(|(_, sums)| sums.figures.requests > 0)
            .map(|(name, sums)| Group { name, figures: sums.finish() })
            .collect();
        let order = |g: &Group| (-g.figures.cost_nano_usd, -i128::from(g.figures.requests));
        groups.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
        Report { by: self.by, since_unix_ms: self.since_unix_ms, groups, total: self.total.finish() }
    }
}

#[derive(Default)]
struct Groups {
    by_name: HashMap<Option<String>, usize>,
    names: Vec<Option<String>>,
    sums: Vec<Sums>,
}

impl Groups {
    fn index(&mut self, name: Option<&str>) -> usize {
        let name = name.map(str::to_owned);
        if let Some(index) = self.by_name.get(&name) {
            return *index;
        }
        self.names.push(name.clone());
        self.sums.push(Sums::default());
        self.by_name.insert(name, self.sums.len() - 1);
        self.sums.len() - 1
    }

    /// One group for each different tag.
    fn of_tags(&mut self, json: &str) -> Vec<usize> {
        let tags = parse_tags(json);
        let mut groups: Vec<usize> = tags.iter().map(|(k, v)| self.index(Some(&format!("{k}={v}")))).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// A group while it grows.
#[derive(Default)]
struct Sums {
    figures: Figures,
    /// The request that was counted last, so that two attempts of one count it once.
    last_request: Option<i64>,
    /// Requests with an attempt.
    tried: u64,
    estimated: u64,
    latency_us: Vec<u64>,
    first_token_us: Vec<u64>,
    timed_output_tokens: u64,
    timed_us: u64,
    over_attempts: bool,
}

impl Sums {
    fn add_request(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        self.figures.requests += 1;
        self.count_outcome(request.outcome);
        for attempt in attempts {
            self.add_usage(attempt);
        }
        self.tried += u64::from(!attempts.is_empty());
        let fell_back = attempts.iter().any(|a| a.moved);
        self.figures.fallbacks += u64::from(fell_back);
        let f = &mut self.figures;
        f.cost_nano_usd = f.cost_nano_usd.saturating_add(request.cost);
        if request.outcome == Outcome::Ok {
            self.latency_us.push(request.duration_us);
            let answered = attempts.iter().rfind(|a| a.outcome == Outcome::Ok);
            self.first_token_us.extend(answered.and_then(|a| Some(a.start_us + a.first_token_us?)));
        }
        self.add_saving(request, attempts);
    }

    fn add_attempt(&mut self, request: &RequestRow, attempt: &AttemptRow) {
        self.over_attempts = true;
        let first_of_request = self.last_request != Some(request.seq);
        self.last_request = Some(request.seq);
        self.figures.requests += u64::from(first_of_request);
        self.count_outcome(attempt.outcome);
        self.add_usage(attempt);
        self.figures.fallbacks += u64::from(attempt.moved);
        let f = &mut self.figures;
        f.cost_nano_usd = f.cost_nano_usd.saturating_add(attempt.cost.unwrap_or(0));
        if attempt.outcome == Outcome::Ok {
            self.latency_us.push(attempt.duration_us);
            self.first_token_us.extend(attempt.first_token_us);
        }
    }

    fn count_outcome(&mut self, outcome: Outcome) {
        let f = &mut self.figures;
        let counter = match outcome {
            Outcome::Ok => &mut f.ok,
            Outcome::Error => &mut f.errors,
            Outcome::Cancelled => &mut f.cancelled,
            Outcome::Refused => &mut f.refused,
        };
        *counter += 1;
    }

    fn add_usage(&mut self, attempt: &AttemptRow) {
        let f = &mut self.figures;
        f.attempts += 1;
        let sums = [
            &mut f.input_tokens,
            &mut f.output_tokens,
            &mut f.cache_read_tokens,
            &mut f.cache_write_tokens,
            &mut f.reasoning_tokens,
        ];
        for (sum, tokens) in sums.into_iter().zip(attempt.tokens) {
            *sum = sum.saturating_add(tokens);
        }
        f.unpriced_attempts += u64::from(attempt.cost.is_none());
        self.estimated += u64::from(attempt.estimated);
        let output = attempt.tokens[1];
        if attempt.outcome == Outcome::Ok && output > 0 {
            self.timed_output_tokens = self.timed_output_tokens.saturating_add(output);
            self.timed_us = self.timed_us.saturating_add(attempt.duration_us);
        }
    }

    fn add_saving(&mut self, request: &RequestRow, attempts: &[AttemptRow]) {
        let Some(baseline) = request.baseline.filter(|_| attempts.iter().all(|a| a.cost.is_some())) else { return };
        let s = &mut self.figures.saving;
        s.requests += 1;
        s.baseline_nano_usd = s.baseline_nano_usd.saturating_add(baseline);
        s.cost_nano_usd = s.cost_nano_usd.saturating_add(request.cost);
    }

    fn finish(self) -> Figures {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let f = self.figures;
        let tried = if self.over_attempts { f.attempts } else { self.tried };
        Figures {
            error_rate: share(f.errors, f.ok + f.errors),
            fallback_share: share(f.fallbacks, tried),
            estimated_share: share(self.estimated, f.attempts),
            latency_ms: Percentiles::of_us(self.latency_us),
            first_token_ms: Percentiles::of_us(self.first_token_us),
            output_tokens_per_second: share(self.timed_output_tokens, self.timed_us).map(|per_us| per_us * 1e6),
            ..f
        }
    }
}

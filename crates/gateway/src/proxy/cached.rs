//! Answers from the exact cache, and the recording of answers for it.

use super::Run;
use super::prepare::Prepared;
use crate::account::Account;
use crate::cache::{Entry, Found, Key, Lead};
use bytes::{Bytes, BytesMut};
use http::header::CACHE_CONTROL;
use waypost_core::registry::{Dialect, Registry, Usage};
use waypost_core::route::{Decision, Reason};
use waypost_core::units::Instant;

impl Run<'_> {
    /// What the cache of the policy in force has; `None` where it has none, or the client wants none.
    pub(super) async fn find_cached(&self, account: &Account) -> Option<Found> {
        let snapshot = &account.snapshot;
        let (cache, shared) = snapshot.caches.of(&account.decision, &snapshot.config)?;
        if self.prepared.refuses_cache() {
            return None;
        }
        let (clock, registry) = (self.state.clock, &snapshot.config.registry);
        let key = self.prepared.cache_key(shared);
        let now = clock.instant();
        // Half of the time is for an attempt of its own, should the call that it waits for bring nothing.
        let until = clock.timer(now + self.deadline.since(now) / 2);
        // Before a reload the route may have allowed losses.
        let lossy = |entry: &Entry| self.strict && !entry.dropped.is_empty();
        let allowed = |entry: &Entry| !lossy(entry) && may_answer(&account.decision, registry, &entry.model);
        Some(cache.find(key, || clock.instant(), until, allowed).await)
    }
}

/// Whether this request might have had an answer of that model: keys, tags and a reload change who may answer. What an
/// answer that is there already does not meet with any more (its price, its latency, its endpoint's health) does not count.
fn may_answer(decision: &Decision, registry: &Registry, model: &str) -> bool {
    let passing = |reason: &Reason| {
        use Reason::{BreakerOpen, Budget, LatencyCap, NoPrice, PriceCap, RateLimited};
        matches!(reason, BreakerOpen(_) | RateLimited(_) | LatencyCap(..) | PriceCap(..) | NoPrice | Budget(_))
    };
    let candidates = decision.candidates.iter().map(|c| c.model);
    let excluded = decision.excluded.iter().filter(|e| passing(&e.reason)).map(|e| e.model);
    candidates.chain(excluded).any(|ix| &*registry.model(ix).name == model)
}

impl Prepared {
    /// `cache-control: no-cache` or `no-store`.
    fn refuses_cache(&self) -> bool {
        let values = self.headers.get_all(CACHE_CONTROL).into_iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|d| matches!(d.trim(), "no-cache" | "no-store"))
    }

    /// The request's own bytes, who may share them, and what of the caller's hints bears on the answer. Tags and the
    /// session do not.
    fn cache_key(&self, shared: bool) -> Key {
        let mut hash = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.client.name().as_bytes());
        part(&[self.call as u8, u8::from(self.profile.sensitive)]);
        let key = self.key.as_ref().filter(|_| !shared).map(|k| &*k.id);
        part(key.unwrap_or("").as_bytes());
        let h = &self.hints;
        part(format!("{:?}", (h.max_cost, h.max_latency_ms, h.min_quality, h.prefer)).as_bytes());
        part(&self.own_body());
        // Beta features change what a provider answers.
        for (name, value) in &super::outgoing::of_the_api(&self.headers) {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        hash.finalize().into()
    }
}

/// An answer on its way to the cache: whole at once, or piece by piece. Dropped before [`Recorder::store`], it stores
/// nothing; whoever waits for it then takes its client to have left, unless [`Recorder::vain`] says otherwise.
#[derive(Debug)]
pub(super) struct Recorder {
    lead: Lead,
    pieces: Vec<Bytes>,
    size: usize,
}

impl Recorder {
    pub(super) fn new(lead: Lead) -> Self {
        Self { lead, pieces: Vec::new(), size: 0 }
    }

    /// Takes what goes to the client; gives up where the whole is too large.
    pub(super) fn push(mut self, pieces: &[Bytes]) -> Option<Self> {
        self.size += pieces.iter().map(Bytes::len).sum::<usize>();
        if self.size > self.lead.largest() {
            self.vain();
            return None;
        }
        self.pieces.extend_from_slice(pieces);
        self.lead.passes();
        Some(self)
    }

    /// There is no answer to keep.
    pub(super) fn vain(self) {
        self.lead.vain();
    }

    /// The answer came to its real end. An emergency model's is not kept.
    pub(super) fn store(self, account: &Account, stream: bool, usage: Option<Usage>, now: Instant) {
        let Some(by) = account.answering().filter(|by| !by.degraded) else { return self.vain() };
        let mut body = BytesMut::with_capacity(self.size);
        self.pieces.iter().for_each(|piece| body.extend_from_slice(piece));
        let registry = &account.snapshot.config.registry;
        let provider = registry.provider(by.provider);
        let entry = Entry {
            body: body.freeze(),
            stream,
            model: registry.model(by.model).name.clone(),
            provider: provider.name.clone(),
            simulated: provider.dialects.contains(&Dialect::Simulated),
            dropped: account.dropped.clone(),
            usage,
        };
        self.lead.store(entry, now);
    }
}

//! The exact cache of one route: whole answers by the request's own bytes, bounded in size and time. Concurrent requests
//! for the same answer make one call: the first leads, the others wait for what it brings. Where its client leaves, one of
//! them leads on; where it brings nothing to keep, or its client stops reading, each goes on by itself.
//!
//! Only answers that came to a real end are stored, as the client saw them, so a stream is replayed as a stream. It does
//! not know what is similar, keeps nothing over a restart and decides nothing: who may share is in the key.

use bytes::Bytes;
use moka::sync::Cache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use waypost_core::registry::Usage;
use waypost_core::units::Instant;

/// A request's identity: who may share it, what is asked, in which dialect.
pub type Key = [u8; 32];

/// An answer as its client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The body, or all events of the stream.
    pub body: Bytes,
    /// Whether it is a stream.
    pub stream: bool,
    /// Who answered.
    pub model: Arc<str>,
    /// Where.
    pub provider: Arc<str>,
    /// It was simulated.
    pub simulated: bool,
    /// What the translation of its request left out.
    pub dropped: Vec<String>,
    /// What it had used: what a hit saves.
    pub usage: Option<Usage>,
}

/// The cache of one route.
#[derive(Debug)]
pub struct ExactCache {
    ttl: Duration,
    max_bytes: u64,
    entries: Cache<Key, (Arc<Entry>, Instant)>,
    /// Calls under way that others wait for.
    leading: Mutex<HashMap<Key, watch::Receiver<Call>>>,
}

/// How far a call is that others wait for. One that goes before it says how it ended was left by its client.
#[derive(Clone, Debug)]
enum Call {
    /// Nothing has come.
    Asked,
    /// A stream passes; said again with each piece.
    Begun,
    /// The answer.
    Brought(Arc<Entry>),
    /// It brings nothing that is kept.
    Vain,
}

/// What a request finds.
#[derive(Debug)]
pub enum Found {
    /// The answer.
    Hit(Arc<Entry>),
    /// Nothing: this request fetches it for all that wait.
    Lead(Lead),
    /// Nothing, and the call that it waited for failed or took too long: it goes on by itself and stores nothing.
    Alone,
}

/// The duty to fetch an answer. Dropped without [`Lead::store`] or [`Lead::vain`], it goes to one of the waiting.
#[derive(Debug)]
pub struct Lead {
    cache: Arc<ExactCache>,
    key: Key,
    call: watch::Sender<Call>,
}

/// How long a stream that has begun may stand still before nobody waits for it any more: it goes at the pace of the one
/// client that reads it.
const QUIET: Duration = Duration::from_secs(10);

/// Room beside the body: the key, headers, bookkeeping.
const OVERHEAD: u64 = 512;

impl ExactCache {
    /// An empty cache of at most `max_bytes`, each answer for `ttl`.
    pub fn new(ttl: Duration, max_bytes: u64) -> Self {
        let weigh = |_: &Key, (entry, _): &(Arc<Entry>, Instant)| {
            u32::try_from(entry.body.len() as u64 + OVERHEAD).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder().max_capacity(max_bytes).time_to_live(ttl).weigher(weigh).build();
        Self { ttl, max_bytes, entries, leading: Mutex::default() }
    }

    /// The largest answer that is stored: one answer does not push out all others.
    pub fn largest(&self) -> usize {
        usize::try_from(self.max_bytes / 4).unwrap_or(usize::MAX)
    }

    /// The answer for `key`, at once or from the call that is under way for it, awaited at most until `until`. One that
    /// is not `allowed` to this caller is as good as none.
    pub async fn find(
        self: &Arc<Self>,
        key: Key,
        now: impl Fn() -> Instant,
        until: tokio::time::Instant,
        allowed: impl Fn(&Entry) -> bool,
    ) -> Found {
        loop {
            let call = match self.hit_or_lead(key, now(), &allowed) {
                Ok(found) => return found,
                Err(call) => call,
            };
            match ended(call, until).await {
                Some(Call::Brought(entry)) if allowed(&entry) => return Found::Hit(entry),
                // Its client left: somebody else leads.
                Some(Call::Asked | Call::Begun) => {}
                Some(Call::Brought(_) | Call::Vain) | None => return Found::Alone,
            }
        }
    }

    fn hit(&self, key: &Key, now: Instant) -> Option<Arc<Entry>> {
        let (entry, stored) = self.entries.get(key)?;
        (now.since(stored) < self.ttl).then_some(entry)
    }

    /// An answer or the lead; else whom to wait for.
    fn hit_or_lead(
        self: &Arc<Self>,
        key: Key,
        now: Instant,
        allowed: impl Fn(&Entry) -> bool,
    ) -> Result<Found, watch::Receiver<Call>> {
        let mut leading = self.leading();
        if let Some(entry) = self.hit(&key, now).filter(|entry| allowed(entry)) {
            return Ok(Found::Hit(entry));
        }
        if let Some(call) = leading.get(&key) {
            return Err(call.clone());
        }
        let (call, waiting) = watch::channel(Call::Asked);
        leading.insert(key, waiting);
        Ok(Found::Lead(Lead { cache: self.clone(), key, call }))
    }

    fn leading(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Call>>> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a call ended; `None` where it was not waited for any longer.
async fn ended(mut call: watch::Receiver<Call>, until: tokio::time::Instant) -> Option<Call> {
    loop {
        let state = call.borrow_and_update().clone();
        let patience = match state {
            Call::Brought(_) | Call::Vain => return Some(state),
            Call::Asked => until,
            Call::Begun => until.min(tokio::time::Instant::now() + QUIET),
        };
        match tokio::time::timeout_at(patience, call.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Some(call.borrow().clone()),
            Err(_) => return None,
        }
    }
}

impl Lead {
    /// The answer came to its real end: stores it and wakes who waits. One that is too large is not stored.
    pub fn store(self, entry: Entry, now: Instant) {
        let entry = Arc::new(entry);
        if entry.body.len() <= self.cache.largest() {
            self.cache.entries.insert(self.key, (entry.clone(), now));
        }
        self.call.send_replace(Call::Brought(entry));
    }

    /// A piece of a stream has passed.
    pub fn passes(&self) {
        self.call.send_replace(Call::Begun);
    }

    /// It failed, or is not to be kept: who waits goes on alone.
    pub fn vain(self) {
        self.call.send_replace(Call::Vain);
    }

    /// The largest answer that [`Lead::store`] takes.
    pub fn largest(&self) -> usize {
        self.cache.largest()
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Before the sender goes, so that who wakes finds either the entry or nobody leading.
        self.cache.leading().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn entry(body: &'static str) -> Entry {
        let (body, name) = (Bytes::from_static(body.as_bytes()), Arc::<str>::from("m"));
        let (model, provider) = (name.clone(), name);
        Entry { body, stream: false, model, provider, simulated: false, dropped: Vec::new(), usage: None }
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    async fn found(cache: &Arc<ExactCache>, seconds: u64) -> Found {
        found_within(cache, seconds, 5).await
    }

    async fn found_within(cache: &Arc<ExactCache>, seconds: u64, patience: u64) -> Found {
        let until = tokio::time::Instant::now() + Duration::from_secs(patience);
        cache.find([7; 32], || at(seconds), until, |entry| entry.body != "not for you").await
    }

    fn cache() -> Arc<ExactCache> {
        Arc::new(ExactCache::new(Duration::from_secs(60), 1 << 20))
    }

    #[tokio::test]
    async fn an_answer_is_found_until_its_time_is_over() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        lead.store(entry("a"), at(0));
        assert!(matches!(found(&cache, 59).await, Found::Hit(hit) if hit.body == "a"));
        assert!(matches!(found(&cache, 60).await, Found::Lead(_)));
    }

    #[tokio::test]
    async fn a_crowd_makes_one_call() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        let hits = Arc::new(AtomicU64::new(0));
        let crowd: Vec<_> = (0..50)
            .map(|_| {
                let (cache, hits) = (cache.clone(), hits.clone());
                tokio::spawn(async move {
                    if let Found::Hit(_) = found(&cache, 1).await {
                        hits.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        lead.store(entry("a"), at(1));
        for one in crowd {
            one.await.unwrap();
        }
        assert_eq!(hits.load(Ordering::Relaxed), 50);
    }

    #[tokio::test]
    async fn whoever_waited_for_a_failure_goes_on_alone() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        let waiting = tokio::spawn({
            let cache = cache.clone();
            async move { found(&cache, 1).await }
        });
        tokio::task::yield_now().await;
        lead.vain();
        assert!(matches!(waiting.await.unwrap(), Found::Alone));
        assert!(matches!(found(&cache, 2).await, Found::Lead(_)), "the next one leads again");
    }

    #[tokio::test]
    async fn when_the_leader_leaves_one_of_the_crowd_leads_on() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        let led = Arc::new(AtomicU64::new(0));
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let (cache, led) = (cache.clone(), led.clone());
                tokio::spawn(async move {
                    match found(&cache, 1).await {
                        Found::Lead(lead) => {
                            led.fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                            lead.store(entry("a"), at(1));
                        }
                        found => assert!(matches!(found, Found::Hit(_)), "{found:?}"),
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(lead);
        for one in crowd {
            one.await.unwrap();
        }
        assert_eq!(led.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stands_still_is_not_waited_for() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        let begun = tokio::time::Instant::now();
        let waiting = tokio::spawn({
            let cache = cache.clone();
            async move { found_within(&cache, 1, 600).await }
        });
        for _ in 0..3 {
            tokio::time::sleep(QUIET - Duration::from_secs(1)).await;
            lead.passes();
        }
        assert!(matches!(waiting.await.unwrap(), Found::Alone));
        assert_eq!(begun.elapsed(), 3 * (QUIET - Duration::from_secs(1)) + QUIET);
    }

    #[tokio::test]
    async fn what_a_caller_may_not_have_is_no_hit() {
        let cache = cache();
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        let waiting = tokio::spawn({
            let cache = cache.clone();
            async move { found(&cache, 1).await }
        });
        tokio::task::yield_now().await;
        lead.store(entry("not for you"), at(0));
        assert!(matches!(waiting.await.unwrap(), Found::Alone));
        assert!(matches!(found(&cache, 1).await, Found::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_own_deadline() {
        let cache = cache();
        let Found::Lead(_lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        assert!(matches!(found(&cache, 1).await, Found::Alone));
    }

    #[tokio::test]
    async fn one_answer_does_not_fill_the_cache() {
        let cache = Arc::new(ExactCache::new(Duration::from_secs(60), 8));
        let Found::Lead(lead) = found(&cache, 0).await else { panic!("nothing was stored") };
        lead.store(entry("longer than two"), at(0));
        assert!(matches!(found(&cache, 1).await, Found::Lead(_)));
    }
}

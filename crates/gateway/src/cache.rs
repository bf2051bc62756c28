//! The exact cache of one route: whole answers by the request's own bytes, bounded in size and time. Concurrent requests
//! for the same answer make one call: the first leads, the others wait for what it brings.
//!
//! Only answers that came to a real end are stored, as the client saw them, so a stream is replayed as a stream. It does
//! not know what is similar, keeps nothing over a restart and decides nothing: who may share is in the key.

use bytes::Bytes;
use http::HeaderValue;
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
    pub model: HeaderValue,
    /// Where.
    pub provider: HeaderValue,
    /// What it had used: what a hit saves.
    pub usage: Option<Usage>,
}

/// The cache of one route.
#[derive(Debug)]
pub struct ExactCache {
    ttl: Duration,
    max_bytes: u64,
    entries: Cache<Key, (Arc<Entry>, Instant)>,
    /// Calls under way that others wait for; the value says whether the call has brought an entry.
    leading: Mutex<HashMap<Key, watch::Receiver<()>>>,
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

/// The duty to fetch an answer. Dropped without [`Lead::store`], it lets the waiting go on by themselves.
#[derive(Debug)]
pub struct Lead {
    cache: Arc<ExactCache>,
    key: Key,
    _wake: watch::Sender<()>,
}

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

    /// The answer for `key`, at once or from the call that is under way for it, awaited at most until `until`.
    pub async fn find(self: &Arc<Self>, key: Key, now: impl Fn() -> Instant, until: tokio::time::Instant) -> Found {
        let mut waited = match self.hit_or_lead(key, now()) {
            Ok(found) => return found,
            Err(leader) => leader,
        };
        // An error says that the leader is done: it never sends.
        let _ = tokio::time::timeout_at(until, waited.changed()).await;
        self.hit(&key, now()).map_or(Found::Alone, Found::Hit)
    }

    fn hit(&self, key: &Key, now: Instant) -> Option<Arc<Entry>> {
        let (entry, stored) = self.entries.get(key)?;
        (now.since(stored) < self.ttl).then_some(entry)
    }

    /// An answer or the lead; else whom to wait for.
    fn hit_or_lead(self: &Arc<Self>, key: Key, now: Instant) -> Result<Found, watch::Receiver<()>> {
        let mut leading = self.leading();
        if let Some(entry) = self.hit(&key, now) {
            return Ok(Found::Hit(entry));
        }
        if let Some(leader) = leading.get(&key) {
            return Err(leader.clone());
        }
        let (wake, waiting) = watch::channel(());
        leading.insert(key, waiting);
        Ok(Found::Lead(Lead { cache: self.clone(), key, _wake: wake }))
    }

    fn leading(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<()>>> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// The answer came to its real end: stores it and wakes who waits. One that is too large is not stored.
    pub fn store(self, entry: Entry, now: Instant) {
        if entry.body.len() <= self.cache.largest() {
            self.cache.entries.insert(self.key, (Arc::new(entry), now));
        }
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
        let name = HeaderValue::from_static("m");
        Entry {
            body: Bytes::from_static(body.as_bytes()),
            stream: false,
            model: name.clone(),
            provider: name,
            usage: None,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    async fn found(cache: &Arc<ExactCache>, seconds: u64) -> Found {
        cache.find([7; 32], || at(seconds), tokio::time::Instant::now() + Duration::from_secs(5)).await
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
        drop(lead);
        assert!(matches!(waiting.await.unwrap(), Found::Alone));
        assert!(matches!(found(&cache, 2).await, Found::Lead(_)), "the next one leads again");
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

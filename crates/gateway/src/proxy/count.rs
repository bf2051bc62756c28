//! Counting the input of an Anthropic request: by the provider where an endpoint of the chosen model speaks that dialect
//! and takes requests, else by the public tokenizer with the model's learned correction. Costs nothing and leaves no
//! record; it needs a place like every other request, and one at the provider.

use super::outgoing::of_the_api;
use super::prepare::Prepared;
use crate::app::State;
use crate::error::Error;
use crate::snapshot::Link;
use crate::upstream::{self, Pool};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use waypost_core::registry::{Dialect, EndpointIx};
use waypost_core::route::Candidate;
use waypost_core::splice::Forward;
use waypost_core::units::RequestId;

/// A provider that takes longer is not waited for: our own count is at hand.
const LONGEST: Duration = Duration::from_secs(5);
/// The answer is one number.
const MOST_ANSWER: usize = 64 << 10;

/// Input tokens of a request at the model that would answer it.
pub async fn count_tokens(state: &State, pool: &Arc<Pool>, id: RequestId, prepared: &Prepared) -> Result<u64, Error> {
    let (server, until) = (&prepared.snapshot.config.server, Instant::now() + LONGEST);
    let class = prepared.profile.class;
    let _permit = state.admission.enter(class, server.max_concurrency, server.max_queue, until).await?;
    let decision = prepared.decide(&state.clock, None, id).decision;
    if let Some(refusal) = decision.refusal {
        return Err(refusal.into());
    }
    let Some(first) = decision.candidates.first() else { return Ok(own_count(prepared, None)) };
    match timeout_at(until, ask(state, pool, prepared, first)).await {
        Ok(Some(tokens)) => Ok(tokens),
        _ => Ok(own_count(prepared, Some(first))),
    }
}

/// The provider's own count; `None` where it has none or gives none.
async fn ask(state: &State, pool: &Arc<Pool>, prepared: &Prepared, candidate: &Candidate) -> Option<u64> {
    let (snapshot, now) = (&prepared.snapshot, state.clock.instant());
    let registry = &snapshot.config.registry;
    let key = prepared.key.as_deref();
    let allowed = |ix: &&EndpointIx| key.is_none_or(|k| k.allows_endpoint(registry, **ix));
    let here = |p| candidate.provider.is_none_or(|only| only == p);
    let open = |ix: usize| snapshot.health[ix].view(now).admits;
    let mut ways = registry.model(candidate.model).endpoints.iter().filter(allowed).filter_map(|ix| {
        let Link::Http(doors) = &snapshot.links[usize::from(ix.0)] else { return None };
        Some((usize::from(ix.0), registry.endpoint(*ix), doors.of(Dialect::Anthropic)?))
    });
    let (_, endpoint, target) = ways.find(|(ix, e, _)| here(e.provider) && open(*ix))?;
    let most = registry.provider(endpoint.provider).max_concurrency;
    let _place = Place::take(&snapshot.provider_load[usize::from(endpoint.provider.0)], most)?;
    let model = candidate.upstream_name().unwrap_or(&endpoint.name);
    let body = prepared.scan.upstream_body(&prepared.body, &Forward { model, usage: false, cap: None });
    let headers = of_the_api(&prepared.headers);
    let uri = target.uri(upstream::Call::CountTokens, model)?;
    let request = upstream::Outgoing { uri, headers, body };
    let (response, connection) = pool.send(target, request, LONGEST).await.ok()?;
    if response.status() != http::StatusCode::OK {
        return None;
    }
    let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await.ok()?.to_bytes();
    connection.give_back();
    serde_json::from_slice::<serde_json::Value>(&body).ok()?["input_tokens"].as_u64()
}

/// One of the requests that a provider takes at once.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn take(load: &'a AtomicU32, most: Option<u32>) -> Option<Self> {
        let place = Self(load);
        (load.fetch_add(1, Ordering::Relaxed) < most.unwrap_or(u32::MAX)).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn own_count(prepared: &Prepared, candidate: Option<&Candidate>) -> u64 {
    let snapshot = &prepared.snapshot;
    let (tokenizer, factor) = match candidate {
        Some(c) => {
            let model = snapshot.config.registry.model(c.model);
            (model.tokenizer, snapshot.learned[usize::from(c.model.0)].factor.factor())
        }
        None => (Default::default(), 1.0),
    };
    let counted = waypost_core::tokens::count_chat(&prepared.body, &prepared.scan, tokenizer);
    (f64::from(counted) * f64::from(factor)).ceil() as u64
}

//! Counting the input of an Anthropic request: by the provider where the chosen model's endpoint speaks that dialect,
//! else by the public tokenizer with the model's learned correction. Costs nothing and leaves no record.

use super::outgoing::of_the_api;
use super::prepare::Prepared;
use crate::app::State;
use crate::error::Error;
use crate::snapshot::Link;
use crate::upstream::{self, Pool};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::time::Duration;
use waypost_core::registry::Dialect;
use waypost_core::route::Candidate;
use waypost_core::splice::Forward;
use waypost_core::units::RequestId;

/// A provider that takes longer is not waited for: our own count is at hand.
const LONGEST: Duration = Duration::from_secs(5);
/// The answer is one number.
const MOST_ANSWER: usize = 64 << 10;

/// Input tokens of a request at the model that would answer it.
pub async fn count_tokens(state: &State, pool: &Arc<Pool>, id: RequestId, prepared: &Prepared) -> Result<u64, Error> {
    let (decision, _) = prepared.decide(&state.clock, id);
    if let Some(refusal) = decision.refusal {
        return Err(refusal.into());
    }
    let Some(first) = decision.candidates.first() else { return Ok(own_count(prepared, None)) };
    match tokio::time::timeout(LONGEST, ask(pool, prepared, first)).await {
        Ok(Some(tokens)) => Ok(tokens),
        _ => Ok(own_count(prepared, Some(first))),
    }
}

/// The provider's own count; `None` where it has none or gives none.
async fn ask(pool: &Arc<Pool>, prepared: &Prepared, candidate: &Candidate) -> Option<u64> {
    let snapshot = &prepared.snapshot;
    let registry = &snapshot.config.registry;
    let endpoints = &registry.model(candidate.model).endpoints;
    let here = |p| candidate.provider.is_none_or(|only| only == p);
    let (ix, endpoint) = endpoints.iter().map(|e| (e, registry.endpoint(*e))).find(|(_, e)| here(e.provider))?;
    let Link::Http(doors) = &snapshot.links[usize::from(ix.0)] else { return None };
    let target = doors.of(Dialect::Anthropic)?;
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

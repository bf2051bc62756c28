//! `logprobsResult`: the chosen tokens, and beside them the likeliest in the place of each.

use super::parts::object;
use crate::chat::TokenLogprob;
use crate::dialect::wire::{Fields, Result};
use serde_json::{Number, Value, json};

/// Reads one; ids of tokens mean nothing elsewhere and are left out.
pub(super) fn read(mut result: Fields) -> Result<Vec<TokenLogprob>> {
    let chosen = result.objects("chosenCandidates")?;
    let mut tokens = chosen.into_iter().map(token).collect::<Result<Vec<_>>>()?;
    let at = result.at("topCandidates");
    for (i, place) in result.array("topCandidates")?.unwrap_or_default().into_iter().enumerate() {
        let mut place = object(place, format!("{at}[{i}]"))?;
        if let Some(token_here) = tokens.get_mut(i) {
            token_here.top = place.objects("candidates")?.into_iter().map(token).collect::<Result<_>>()?;
        }
    }
    Ok(tokens)
}

fn token(mut fields: Fields) -> Result<TokenLogprob> {
    let token = fields.string("token")?.unwrap_or_default();
    // The API leaves out a zero.
    let logprob = fields.number("logProbability")?.unwrap_or_else(|| Number::from(0));
    Ok(TokenLogprob { token, logprob, bytes: None, top: Vec::new() })
}

/// Writes one.
pub(super) fn write(tokens: &[TokenLogprob]) -> Value {
    let one = |t: &TokenLogprob| json!({"token": t.token, "logProbability": t.logprob});
    let mut result = json!({"chosenCandidates": tokens.iter().map(one).collect::<Vec<_>>()});
    if tokens.iter().any(|t| !t.top.is_empty()) {
        let places = tokens.iter().map(|t| json!({"candidates": t.top.iter().map(one).collect::<Vec<_>>()}));
        result["topCandidates"] = places.collect();
    }
    result
}

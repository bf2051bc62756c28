//! The answer when no attempt brought one.

use super::attempt::Brought;
use super::outgoing::Unsayable;
use super::reply::{self, Replies, Reply};
use crate::account::Account;
use crate::admission::Permit;
use crate::error::{Error, Kind};
use crate::gate::Refused;
use crate::store::RequestOutcome;
use http::StatusCode;
use waypost_core::attempt::{Failure, GiveUp, Plan};
use waypost_core::units::{Now, RequestId};

/// Closes the account and makes the reply that `how` says.
pub(super) fn give_up(
    id: RequestId,
    mut account: Account,
    how: GiveUp,
    plan: &Plan<'_>,
    mut brought: Vec<Brought>,
    unsayable: &[Unsayable],
    _permit: Permit,
) -> Reply {
    let mut body_of = |attempt: usize| brought.get_mut(attempt).and_then(|b| Some((b.body.take()?, b.streams)));
    let error = match how {
        GiveUp::EmptyAnswer { attempt } => {
            if let Some((body, streams)) = body_of(attempt) {
                account.stands(plan.tried()[attempt].attempt);
                let reply = reply::as_is(id, &account, StatusCode::OK, body, streams);
                account.close(RequestOutcome::Ok, 200, None);
                return reply;
            }
            Error::new(Kind::UpstreamError, "the model's answer is empty")
        }
        GiveUp::AsIs { attempt } => {
            let status = plan.tried().get(attempt).map_or(400, |t| t.failure.status());
            if let Some((body, _)) = body_of(attempt) {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                let reply = reply::as_is(id, &account, status, body, false);
                account.close(RequestOutcome::Failed, status.as_u16(), Some("invalid_request"));
                return reply;
            }
            Error::new(Kind::Provider(status), said(&brought, attempt))
        }
        GiveUp::ContextOverflow { attempt } => Error::new(
            Kind::ContextLengthExceeded,
            format!(
                "the request does not fit the model's window, and no larger one is left: {}",
                said(&brought, attempt)
            ),
        ),
        GiveUp::RateLimited { retry_after, attempt } => {
            let message = format!("every provider refused with 429: {}", said(&brought, attempt));
            let error = Error::new(Kind::RateLimitExceeded, message);
            match retry_after {
                Some(wait) => error.retry_after(wait),
                None => error,
            }
        }
        GiveUp::Deadline => {
            let tried = list(&account, &brought);
            let error = Error::new(Kind::DeadlineExceeded, "the request's deadline passed before an answer came");
            if tried.is_empty() { error } else { Error::new(error.kind, format!("{}; tried: {tried}", error.message)) }
        }
        GiveUp::Upstream | GiveUp::Stopped => {
            Error::new(Kind::UpstreamError, format!("every attempt failed: {}", list(&account, &brought)))
        }
        GiveUp::Unavailable { retry_after } => {
            let error = Error::new(
                Kind::NoCandidates,
                "no endpoint takes requests at the moment: all failed lately or are full",
            );
            error.retry_after(retry_after.unwrap_or(std::time::Duration::from_secs(1)))
        }
        GiveUp::Inexpressible => inexpressible(unsayable),
        GiveUp::Budget => Error::new(Kind::BudgetExceeded, "no budget is left for any candidate"),
    };
    let (status, code, _) = error.kind.wire();
    let reply = Reply::error(id, account.client, Some(&account), error);
    account.close(RequestOutcome::Failed, status.as_u16(), Some(code));
    reply
}

/// The reply of a request that deciding refused.
pub(super) fn refused(id: RequestId, mut account: Account, error: Error) -> Reply {
    let (status, code, _) = error.kind.wire();
    account.close(RequestOutcome::Refused, status.as_u16(), Some(code));
    Reply::error(id, account.client, Some(&account), error)
}

/// The reply of a request that the gate has no room for.
pub(super) fn no_room(id: RequestId, account: Account, why: Refused, now: Now) -> Reply {
    refused(id, account, (why, now).into())
}

/// No endpoint's dialect can say it: the first reason, with its field.
fn inexpressible(unsayable: &[Unsayable]) -> Error {
    let Some(first) = unsayable.first() else {
        return Error::new(Kind::ConstraintViolated, "no candidate's API can express the request");
    };
    if first.field.is_empty() {
        return Error::new(Kind::InvalidRequest, first.why.clone());
    }
    let message = format!("`{}` cannot be sent to any candidate: {}", first.field, first.why);
    Error::new(Kind::InvalidRequest, message).param(first.field.clone())
}

/// What one attempt brought, in the provider's words.
fn said(brought: &[Brought], attempt: usize) -> String {
    brought.get(attempt).map(|b| b.message.clone()).unwrap_or_default()
}

/// Every attempt with its reason. The providers' words on our credentials are the operator's business, not the client's.
fn list(account: &Account, brought: &[Brought]) -> String {
    let one = |(a, b): (&crate::store::AttemptRecord, &Brought)| {
        let private = matches!(b.failure, Failure::Http { status: 401..=403 | 407, .. });
        let words = if private { "the provider refuses this gateway" } else { b.message.as_str() };
        format!("{} at {} ({}: {words})", a.model, a.provider, b.failure.name())
    };
    account.attempts().iter().zip(brought).map(one).collect::<Vec<_>>().join("; ")
}

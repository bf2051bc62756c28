//! The only table from what went wrong to what the client sees: status, code, type, body.
//!
//! An error has a public message, for the client, and may have a private one, for the log; neither ever holds a secret
//! or a prompt.

use crate::gate::Refused;
use bytes::Bytes;
use http::StatusCode;
use std::time::Duration;
use waypost_core::dialect::{self, ErrorText};
use waypost_core::registry::Dialect;
use waypost_core::route::{Refusal, RefusalKind, exceeded_refusal};
use waypost_core::units::Now;

/// What a client is told instead of an answer.
#[derive(Clone, Debug)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// For the user: what, where, how much, and the way out.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
}

/// Everything that can go wrong, as clients can tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Malformed request.
    InvalidRequest,
    /// A body that is not declared as JSON.
    UnsupportedMediaType,
    /// Larger than every allowed window.
    ContextLengthExceeded,
    /// A hard constraint leaves nothing.
    ConstraintViolated,
    /// No or unknown client key.
    InvalidApiKey,
    /// Key, origin, stage or model not allowed.
    NotAllowed,
    /// Unknown model, route or stage.
    ModelNotFound,
    /// Unknown path, or an admin's unknown key, limit or request.
    NotFound,
    /// An admin's change that cannot be made as things are.
    Conflict,
    /// Known path, other method; the methods that it takes, as `allow` lists them.
    MethodNotAllowed(&'static str),
    /// The client was too slow to send its request.
    RequestTimeout,
    /// Over the body limit.
    RequestTooLarge,
    /// Every provider answered 429, or a rate of the gate has no room.
    RateLimitExceeded,
    /// A budget of the gate has no room.
    BudgetExceeded,
    /// The store of budgets cannot be asked, and the gate stays closed.
    BudgetUnavailable,
    /// Every candidate failed.
    UpstreamError,
    /// Shed.
    Overloaded,
    /// Nothing healthy.
    NoCandidates,
    /// The caller's or the total deadline.
    DeadlineExceeded,
    /// A client's mistake that the provider found, with the provider's status (400, 413, 422 and the like).
    Provider(u16),
    /// A defect of Waypost's own.
    Internal,
}

impl Kind {
    /// Status, stable code, and the type in OpenAI's dialect.
    pub fn wire(self) -> (StatusCode, &'static str, &'static str) {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", INVALID),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", INVALID),
            Self::ContextLengthExceeded => (StatusCode::BAD_REQUEST, "context_length_exceeded", INVALID),
            Self::ConstraintViolated => (StatusCode::BAD_REQUEST, "constraint_violated", INVALID),
            Self::InvalidApiKey => (StatusCode::UNAUTHORIZED, "invalid_api_key", "authentication_error"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed", "permission_error"),
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "model_not_found", INVALID),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", INVALID),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", INVALID),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", INVALID),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout", INVALID),
            Self::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", INVALID),
            Self::RateLimitExceeded => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "rate_limit_error"),
            Self::BudgetExceeded => (StatusCode::TOO_MANY_REQUESTS, "budget_exceeded", "insufficient_quota"),
            Self::BudgetUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "budget_unavailable", "overloaded_error"),
            Self::UpstreamError => (StatusCode::BAD_GATEWAY, "upstream_error", "upstream_error"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "overloaded_error"),
            Self::NoCandidates => (StatusCode::SERVICE_UNAVAILABLE, "no_candidates", "overloaded_error"),
            Self::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", "timeout_error"),
            Self::Provider(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, "invalid_request", INVALID)
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "server_error"),
        }
    }
}

impl Error {
    /// An error with a message for the user.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, retry_after: None }
    }

    /// Names the field at fault.
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to come back.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The body in the client's dialect.
    pub fn body(&self, dialect: Dialect) -> Bytes {
        dialect::error_body(dialect, &self.text()).into()
    }

    /// The event that ends a stream of the client's dialect that had begun.
    pub fn event(&self, dialect: Dialect) -> Bytes {
        dialect::error_event(dialect, &self.text()).into()
    }

    fn text(&self) -> ErrorText<'_> {
        let (status, code, kind) = self.kind.wire();
        ErrorText { status: status.as_u16(), message: &self.message, kind, code, param: self.param.as_deref() }
    }

    /// The `error` member of the body in OpenAI's dialect.
    pub fn openai_value(&self) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_slice(&self.body(Dialect::OpenAi)).unwrap_or_default();
        body["error"].clone()
    }
}

impl From<(Refused, Now)> for Error {
    fn from((refused, now): (Refused, Now)) -> Self {
        match refused {
            Refused::Exceeded(exceeded) => exceeded_refusal(&exceeded, now).into(),
            Refused::Unavailable(why) => {
                tracing::debug!("refused without the store of budgets: {why}");
                let message =
                    "budgets cannot be checked at the moment, and nothing is spent unchecked; try again shortly";
                Self::new(Kind::BudgetUnavailable, message).retry_after(Duration::from_secs(1))
            }
            Refused::Deadline => {
                Self::new(Kind::DeadlineExceeded, "the request waited for its budget until its deadline")
            }
            Refused::NoPrice(scope) => {
                let message = format!(
                    "money is limited for {scope}, and the model's price is unknown: the operator can set `price`"
                );
                Self::new(Kind::ConstraintViolated, message).param("model")
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::InvalidRequest => Kind::InvalidRequest,
            RefusalKind::ModelNotFound => Kind::ModelNotFound,
            RefusalKind::NotAllowed => Kind::NotAllowed,
            RefusalKind::ContextLengthExceeded => Kind::ContextLengthExceeded,
            RefusalKind::ConstraintViolated => Kind::ConstraintViolated,
            RefusalKind::NoCandidates => Kind::NoCandidates,
            RefusalKind::BudgetExceeded => Kind::BudgetExceeded,
            RefusalKind::RateLimitExceeded => Kind::RateLimitExceeded,
        };
        let param = matches!(kind, Kind::ModelNotFound | Kind::ConstraintViolated).then(|| "model".to_owned());
        Self { kind, message: refusal.message, param, retry_after: refusal.retry_after }
    }
}

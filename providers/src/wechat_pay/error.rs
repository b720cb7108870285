//! What a reply without success means. The spelling of a code differs between calls and between
//! years (`ORDERPAID`, `ORDER_PAID`), so codes are compared without underscores.
//!
//! | status and code | meaning |
//! |---|---|
//! | 429, or `FREQUENCY_LIMITED`, `RATELIMIT_EXCEEDED` | busy: it had no effect |
//! | `SYSTEM_ERROR`, `BANK_ERROR` with any status | unknown |
//! | `OPENID_MISMATCH`, `INVALID_TRANSACTIONID` with any status | refused |
//! | 400, 401, 403, 404 with a code | what the call's own table says of the code, otherwise refused |
//! | any other | unknown |
//! | 200 or 204 whose signature or content is not what it should be | unknown |
//!
//! | code | order | close | refund |
//! |---|---|---|---|
//! | `ORDER_PAID` | `AlreadyPaid` | `AlreadyPaid` | refused |
//! | `ORDER_CLOSED` | `Closed` | `Closed` | refused |
//! | `OUT_TRADE_NO_USED`, or `INVALID_REQUEST` with the request number ending in 268498688 | `ParametersChanged` | unknown | refused |
//! | `ORDER_NOT_EXIST` | refused | `NotFound` | `NotFound` |
//! | `RESOURCE_NOT_EXISTS` | refused | unknown | `NotFound` |
//! | `NOT_ENOUGH` | refused | unknown | `NotEnough` |
//!
//! A query can only find out or not: `ORDER_NOT_EXIST` is `NotFound`, all else unknown.

use std::borrow::Cow;

use serde::Deserialize;

use super::wire::read_json;
use crate::http::{MAX_REPLY_BYTES, SignedReply};
use crate::payment::{Doubt, Refusal, clean};

/// The end of `Request-ID` when a number is asked for again with other parameters.
const REENTRY_WITH_OTHER_PARAMETERS: &str = "-268498688";

/// A reply that reports no success, or a success that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    status: u16,
    code: Option<String>,
    field: Option<String>,
    request_id: Option<String>,
    reason: Cow<'static, str>,
}

#[derive(Deserialize)]
struct ErrorWire {
    code: String,
    detail: Option<serde_json::Value>,
}

impl Failed {
    /// A reply whose status reports no success.
    pub fn by_reply(reply: SignedReply<'_>) -> Self {
        let wire: Option<ErrorWire> =
            (reply.body.len() <= MAX_REPLY_BYTES).then(|| read_json(reply.body)).flatten();
        let field = wire.as_ref().and_then(|wire| wire.detail.as_ref()?.get("field")?.as_str());
        Self {
            field: field.map(clean).filter(|field| !field.is_empty()),
            code: wire.as_ref().map(|wire| clean(&wire.code)).filter(|code| !code.is_empty()),
            ..Self::because(reply, "the service reports an error")
        }
    }

    /// A reply whose status reports success, and does not count.
    pub fn because(reply: SignedReply<'_>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: reply.status,
            code: None,
            field: None,
            request_id: reply.headers.get("Request-ID").map(clean),
            reason: reason.into(),
        }
    }

    /// The code without underscores, when it may be believed: a failing service's code is not.
    pub fn code(&self) -> Option<String> {
        let code = self.code.as_ref()?.replace('_', "");
        let certain = matches!(code.as_str(), "OPENIDMISMATCH" | "INVALIDTRANSACTIONID");
        let believed = matches!(self.status, 400 | 401 | 403 | 404 | 429) || certain;
        believed
            .then_some(code)
            .filter(|code| !matches!(code.as_str(), "SYSTEMERROR" | "BANKERROR"))
    }

    /// Whether this is the code, written without underscores.
    pub fn is(&self, code: &str) -> bool {
        self.code().as_deref() == Some(code)
    }

    pub fn is_busy(&self) -> bool {
        self.status == 429
            || matches!(self.code().as_deref(), Some("FREQUENCYLIMITED" | "RATELIMITEXCEEDED"))
    }

    pub fn parameters_changed(&self) -> bool {
        let reentry = self
            .request_id
            .as_deref()
            .is_some_and(|id| id.ends_with(REENTRY_WITH_OTHER_PARAMETERS));
        self.is("OUTTRADENOUSED") || (self.is("INVALIDREQUEST") && reentry)
    }

    /// The refusal this is, or the doubt.
    pub fn into_refusal(self) -> Result<Refusal, Doubt> {
        match (self.code(), &self.code) {
            (Some(_), Some(code)) if !self.is_busy() => Ok(Refusal {
                code: code.clone(),
                field: self.field.clone(),
                request_id: self.request_id.clone(),
            }),
            _ => Err(self.into_doubt()),
        }
    }

    pub fn into_doubt(self) -> Doubt {
        let Self { status, code, request_id, reason, .. } = self;
        Doubt { status, code, request_id, reason }
    }
}

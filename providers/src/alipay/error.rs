//! What a reply without success means. Alipay answers with HTTP status 200 whatever happened, a
//! `code`, and for most failures a `sub_code`.
//!
//! | code and sub_code | meaning |
//! |---|---|
//! | 10000 | success, if it is signed |
//! | 40005 | busy: it had no effect |
//! | 20001, 40001, 40002, 40003, 40004, 40006 with a sub_code | what the call's own table says of the sub_code, otherwise refused |
//! | 20000, a sub_code that begins with `isp.` or ends with `SYSTEM_ERROR` | unknown |
//! | any other | unknown |
//!
//! | sub_code | order | close | refund |
//! |---|---|---|---|
//! | `ACQ.TRADE_HAS_SUCCESS`, `ACQ.TRADE_HAS_FINISHED` | `AlreadyPaid` | `AlreadyPaid` | refused |
//! | `ACQ.TRADE_HAS_CLOSE` | `Closed` | `Closed` | refused |
//! | `ACQ.CONTEXT_INCONSISTENT` | `ParametersChanged` | unknown | refused |
//! | `ACQ.TRADE_NOT_EXIST` | refused | `NotFound` | `NotFound` |
//! | `ACQ.SELLER_BALANCE_NOT_ENOUGH` | refused | unknown | `NotEnough` |
//!
//! A query can only find out or not: `ACQ.TRADE_NOT_EXIST` is `NotFound`, all else unknown.

use std::borrow::Cow;

use serde::Deserialize;

use crate::payment::{Doubt, Refusal, clean};

/// A reply that reports no success, or a success that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    status: u16,
    code: String,
    sub_code: String,
    reason: Cow<'static, str>,
}

#[derive(Deserialize)]
struct CodeWire {
    code: String,
    sub_code: Option<String>,
}

impl Failed {
    /// A reply that does not count.
    pub fn because(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: String::new(), sub_code: String::new(), reason: reason.into() }
    }

    /// The failure a reply's object reports; `None` for a success.
    pub fn of_object(object: &str) -> Option<Self> {
        let Ok(wire) = serde_json::from_str::<CodeWire>(object) else {
            return Some(Self::because(200, "the reply holds no code"));
        };
        let sub_code = wire.sub_code.unwrap_or_default();
        (wire.code != "10000").then(|| Self {
            code: clean(&wire.code),
            // Some gateways put a prefix before the same codes.
            sub_code: clean(sub_code.strip_prefix("aop.").unwrap_or(&sub_code)),
            ..Self::because(200, "the service reports an error")
        })
    }

    /// The sub_code, when it may be believed: a failing service's code is not.
    pub fn sub_code(&self) -> Option<&str> {
        let certain =
            matches!(self.code.as_str(), "20001" | "40001" | "40002" | "40003" | "40004" | "40006")
                && !self.sub_code.is_empty()
                && !self.sub_code.starts_with("isp.")
                && !self.sub_code.ends_with("SYSTEM_ERROR");
        certain.then_some(self.sub_code.as_str())
    }

    pub fn is_busy(&self) -> bool {
        self.code == "40005"
    }

    /// Whether this is the sub_code, also of a call that knows what an `isp.` means.
    pub fn names(&self, sub_code: &str) -> bool {
        self.sub_code.eq_ignore_ascii_case(sub_code)
    }

    /// The refusal this is, or the doubt.
    pub fn into_refusal(self) -> Result<Refusal, Doubt> {
        match self.sub_code() {
            Some(code) => Ok(Refusal { code: code.to_owned(), field: None, request_id: None }),
            None => Err(self.into_doubt()),
        }
    }

    pub fn into_doubt(self) -> Doubt {
        let Self { status, code, sub_code, reason } = self;
        let code = if sub_code.is_empty() { code } else { format!("{code} {sub_code}") };
        let code = Some(code).filter(|code| !code.is_empty());
        Doubt { status, code, request_id: None, reason }
    }
}

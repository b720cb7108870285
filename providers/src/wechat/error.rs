//! What WeChat's server API may answer instead of what was asked for, and what each means here.

use thiserror::Error;

/// A call to WeChat's server API that did not succeed.
///
/// | errcode | WeChat's meaning | variant |
/// |---|---|---|
/// | -1, or HTTP 5xx | system busy | [`Busy`](Self::Busy) |
/// | 40029, 41008 | the code is invalid or too old, or missing | [`InvalidCode`](Self::InvalidCode) |
/// | 40163 | the code has been used | [`CodeUsed`](Self::CodeUsed) |
/// | 45009, 45011, or HTTP 429 | the day's or the minute's quota is used up | [`RateLimited`](Self::RateLimited) |
/// | 40226 | the user is high-risk and may not sign in | [`HighRiskUser`](Self::HighRiskUser) |
/// | 40001, 40014, 42001 on a call with an access token | the token is invalid, replaced or expired | [`TokenExpired`](Self::TokenExpired) |
/// | 40001 on a call with the AppSecret | the AppSecret is wrong | [`Misconfigured`](Self::Misconfigured) |
/// | 40013 | the appid is wrong, or not the one the code was made for | [`Misconfigured`](Self::Misconfigured) |
/// | 40125 | the AppSecret is wrong | [`Misconfigured`](Self::Misconfigured) |
/// | 40164 | our address is not in the IP allow-list | [`Misconfigured`](Self::Misconfigured) |
/// | 41002, 41004 | the appid or the AppSecret is missing | [`Misconfigured`](Self::Misconfigured) |
/// | 48001, 48004 | the mini program has no permission for this call, or lost it | [`Misconfigured`](Self::Misconfigured) |
/// | any other, and any reply that does not fit its description | | [`Unexpected`](Self::Unexpected) |
///
/// No variant holds WeChat's `errmsg`: it may quote what we sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WechatError {
    /// WeChat is busy: the same request may be tried again.
    #[error("WeChat is busy")]
    Busy,
    /// The code is not one WeChat gave this mini program in the last 5 minutes.
    #[error("the code is invalid or has expired")]
    InvalidCode,
    /// The code has been used before.
    #[error("the code has already been used")]
    CodeUsed,
    /// Too many calls, of this user in a minute or of the mini program in a day.
    #[error("WeChat's call quota is used up")]
    RateLimited,
    /// WeChat's risk control does not let this user sign in.
    #[error("WeChat's risk control refused this user")]
    HighRiskUser,
    /// The access token is no longer good: get it once more and repeat the call once.
    #[error("the access token is no longer valid")]
    TokenExpired,
    /// The number is not a mainland mobile number.
    #[error("the phone number is not a mainland mobile number")]
    UnsupportedPhone,
    /// The merchant's settings at WeChat or here are wrong; a person has to correct them.
    #[error("WeChat refuses this mini program's settings (errcode {errcode})")]
    Misconfigured {
        /// WeChat's errcode, which says what is wrong.
        errcode: i64,
    },
    /// The reply is none WeChat documents. Whether the call had an effect is not known.
    #[error("unexpected reply from WeChat (HTTP {status}, errcode {errcode:?}): {reason}")]
    Unexpected {
        /// The reply's HTTP status.
        status: u16,
        /// The reply's errcode, if it could be read.
        errcode: Option<i64>,
        /// What is wrong with the reply.
        reason: &'static str,
    },
}

/// What a call proves itself with: it decides what errcode 40001 ("invalid credential") means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    Secret,
    Token,
}

impl WechatError {
    /// The table above, for the errcode of a reply with status 200. It is not 0.
    pub(super) fn of_errcode(bearer: Bearer, errcode: i64) -> Self {
        match (errcode, bearer) {
            (-1, _) => Self::Busy,
            (40029 | 41008, _) => Self::InvalidCode,
            (40163, _) => Self::CodeUsed,
            (45009 | 45011, _) => Self::RateLimited,
            (40226, _) => Self::HighRiskUser,
            (40001 | 40014 | 42001, Bearer::Token) => Self::TokenExpired,
            (40001, Bearer::Secret)
            | (40013 | 40125 | 40164 | 41002 | 41004 | 48001 | 48004, _) => {
                Self::Misconfigured { errcode }
            }
            _ => Self::Unexpected {
                status: 200,
                errcode: Some(errcode),
                reason: "the errcode is not in the table",
            },
        }
    }
}

/// A reply with status 200 that does not fit its description.
pub(super) fn malformed(reason: &'static str) -> WechatError {
    WechatError::Unexpected { status: 200, errcode: None, reason }
}

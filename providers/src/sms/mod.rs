//! Short messages: one-time codes and reminders. One vendor so far, [`tencent`]; the outcome of a
//! message, [`Sent`] or [`SmsError`], is the same for any.

pub mod tencent;

use thiserror::Error;

/// The vendor has taken the message. It is on its way, not yet on the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The vendor's number of this message, for its delivery report and its support, if given.
    pub serial_no: Option<String>,
}

/// A message the vendor did not take. Each vendor's module has a table from its codes to these;
/// `code` is the vendor's, cut and cleaned so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SmsError {
    /// Too many messages, to this number or by the merchant in all: later, not again at once.
    #[error("too many messages ({code})")]
    RateLimited {
        /// The vendor's code, which says which limit it was.
        code: String,
    },
    /// The vendor says the number does not exist.
    #[error("the phone number is not valid")]
    InvalidPhone,
    /// This message will not be sent to this number, however often it is tried.
    #[error("the message was refused ({code})")]
    Refused {
        /// The vendor's code.
        code: String,
    },
    /// The account, keys, signature, template or balance is not in order; a person has to act.
    #[error("the SMS account's settings are refused ({code})")]
    Misconfigured {
        /// The vendor's code, which says what is wrong.
        code: String,
    },
    /// The vendor failed, or answered what its documents do not name. Whether the message was
    /// sent is not known.
    #[error("the SMS service is unavailable (HTTP {status}): {reason}")]
    Unavailable {
        /// The reply's HTTP status.
        status: u16,
        /// The vendor's code, or what is wrong with the reply.
        reason: String,
    },
}

//! The outside services Zhundian speaks to, without any I/O: a function builds the exact request
//! (method, address, headers, bytes), somebody else sends it, another function reads the reply.
//!
//! What may be used here: bytes, hashes and JSON. What may not: `worker`, JavaScript, a clock, a
//! random source, a log. Time is an argument, so every test runs on the host and repeats exactly.
//!
//! Rules every module keeps:
//! - An outcome the vendor's documents do not name is never a success.
//! - Wire types stay private; what leaves a module has been checked.
//! - No `Debug` or `Display` shows a secret, a token, an openid or a whole phone number.
//!
//! RSA and AES-GCM are the host's: [`crypto`] says what it must offer.
//!
//! Start at [`http`] for the types that cross the border, then [`wechat`] (signing in, the phone
//! number of a mini program's user, shipping information), [`sms`] (one-time codes and reminders), or
//! [`payment`] for what is common to the ways to pay: [`wechat_pay`] and [`alipay`].

#![allow(clippy::doc_markdown, reason = "WeChat, AppID and AppSecret are names, not code")]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod alipay;
pub mod crypto;
pub mod http;
pub mod payment;
pub mod phone;
pub mod sms;
mod time;
pub mod wechat;
pub mod wechat_pay;

pub use phone::{InvalidPhone, Phone};

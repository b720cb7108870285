//! Money: paying online and at the counter, refunds, what the providers say.
//!
//! D1 alone decides it. Whatever the way on which a payment becomes known, it is decided on and
//! written by [`record`], once. An unknown outcome stays pending and is asked about; only what a
//! provider's verified word says moves anything.
//!
//! - [`pay`]: `POST /api/v1/orders/{id}/pay`, what lets the customer pay;
//! - [`webhooks`]: the providers' notices;
//! - [`record`]: evidence of a payment, and what it does to its order;
//! - [`conclude`]: bringing a pending payment to its end;
//! - [`refund`]: giving money back; [`settle`]: taking it over the counter;
//! - [`staff`]: what staff see, and what they can do about what was given up;
//! - [`provider`], [`keys`], [`crypto`], [`channel`]: WeChat Pay and Alipay behind one set of calls;
//! - [`shipping`]: WeChat is told of what was delivered;
//! - [`unpack`]: what a bill is packed in.
//!
//! Jobs beside it: `expire_unpaid`, `reconcile_payments`, `compare_bills`.
//!
//! Start at [`record`].

pub mod channel;
pub mod conclude;
pub mod crypto;
pub mod keys;
pub mod pay;
pub mod provider;
pub mod queries;
pub mod record;
pub mod refund;
pub mod settle;
pub mod shipping;
pub mod staff;
pub mod unpack;
pub mod webhooks;

use crate::auth::permission::Permission::{
    PaymentRead, PaymentReconcile, PaymentRefund, PaymentTake,
};
use crate::http::Routes;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(webhooks::wechat_pay, webhooks::alipay))
        .member(routes!(pay::pay))
        .staff(PaymentTake, routes!(settle::settle))
        .staff(PaymentRefund, routes!(refund::refund_as_staff))
        .staff(PaymentRead, routes!(staff::payments, staff::refunds))
        .staff(PaymentReconcile, routes!(staff::differences, staff::resolve, staff::retry))
}

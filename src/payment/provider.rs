//! WeChat Pay and Alipay behind one set of calls: build the request, send it, read the reply. What is
//! answered is an outcome of `zhundian_providers::payment`; a service that does not answer leaves it
//! unknown, and unknown is never a no.

use zhundian_providers::alipay;
use zhundian_providers::http::Request;
use zhundian_providers::payment::{
    BuildError, CloseOutcome, Doubt, Order, PrepayOutcome, QueryOutcome, RefundOrder, RefundOutcome,
};
use zhundian_providers::wechat_pay::{Merchant, Stamp};

use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::context::{now_ms, random};
use crate::http::outbound::{self, Received, Unanswered};
use crate::payment::channel::{Channel, Provider};
use crate::payment::crypto::WebCrypto;
use crate::payment::keys;

/// Where WeChat Pay sends its notices.
pub const WECHAT_PAY_NOTICES: &str = "/webhooks/wechat-pay";
/// Where Alipay sends its notices.
pub const ALIPAY_NOTICES: &str = "/webhooks/alipay";

/// Now, in Unix seconds.
#[must_use]
pub fn seconds() -> i64 {
    now_ms().div_euclid(1000)
}

/// A fresh stamp for a request of WeChat Pay's.
///
/// # Errors
/// As [`random`].
pub fn stamp() -> Answer<Stamp> {
    Ok(Stamp { now_unix_seconds: seconds(), nonce: random()? })
}

/// A request that broke a rule is a fault of ours.
///
/// # Errors
/// That fault.
pub fn built(request: Result<Request, BuildError>) -> Answer<Request> {
    request.map_err(Problem::internal)
}

fn unanswered(error: &Unanswered) -> Doubt {
    Doubt { status: 0, code: None, request_id: None, reason: error.to_string().into() }
}

/// Alipay, when it is configured.
///
/// # Errors
/// `payment_not_offered`.
pub fn alipay(ctx: &Ctx) -> Answer<&alipay::App> {
    ctx.config().alipay.as_ref().ok_or_else(|| Code::PaymentNotOffered.into())
}

/// Sends to WeChat Pay: to its second host, signed anew, when the first does not answer. The number in
/// the request is the same, so it cannot happen twice.
///
/// # Errors
/// [`Unanswered`].
pub async fn to_wechat_pay(merchant: &Merchant, request: &Request) -> Result<Received, Unanswered> {
    let first = match outbound::send(request).await {
        Err(first) => first,
        received => return received,
    };
    let Ok(stamp) = stamp() else { return Err(first) };
    match merchant.at_fallback(&WebCrypto, stamp, request).await {
        Ok(Some(other)) => outbound::send(&other).await.map_err(|_| first),
        _ => Err(first),
    }
}

/// Asks for what lets the customer pay.
///
/// # Errors
/// `payment_not_offered`; a fault of ours.
pub async fn prepay(
    ctx: &Ctx,
    channel: Channel,
    order: &Order<'_>,
    openid: Option<&str>,
) -> Answer<PrepayOutcome> {
    Ok(if channel.provider() == Provider::Alipay {
        let app = alipay(ctx)?;
        let request = built(app.precreate(&WebCrypto, seconds(), order).await)?;
        match outbound::send(&request).await {
            Ok(received) => {
                app.read_precreate(&WebCrypto, received.reply(), order.out_trade_no).await
            }
            Err(error) => PrepayOutcome::Unknown(unanswered(&error)),
        }
    } else {
        let merchant = keys::merchant(ctx, None).await?;
        let request = match openid {
            Some(openid) => merchant.jsapi_order(&WebCrypto, stamp()?, order, openid).await,
            None => merchant.native_order(&WebCrypto, stamp()?, order).await,
        };
        match to_wechat_pay(&merchant, &built(request)?).await {
            Ok(received) => {
                let merchant = keys::merchant(ctx, received.serial()).await?;
                merchant.read_order(&WebCrypto, seconds(), received.signed()).await
            }
            Err(error) => PrepayOutcome::Unknown(unanswered(&error)),
        }
    })
}

/// Asks what became of a payment.
///
/// # Errors
/// As [`prepay`].
pub async fn query(ctx: &Ctx, provider: Provider, out_trade_no: &str) -> Answer<QueryOutcome> {
    Ok(if provider == Provider::Alipay {
        let app = alipay(ctx)?;
        let request = built(app.query_order(&WebCrypto, seconds(), out_trade_no).await)?;
        match outbound::send(&request).await {
            Ok(received) => app.read_query_order(&WebCrypto, received.reply(), out_trade_no).await,
            Err(error) => QueryOutcome::Unknown(unanswered(&error)),
        }
    } else {
        let merchant = keys::merchant(ctx, None).await?;
        let request = built(merchant.query_order(&WebCrypto, stamp()?, out_trade_no).await)?;
        match to_wechat_pay(&merchant, &request).await {
            Ok(received) => {
                let merchant = keys::merchant(ctx, received.serial()).await?;
                let reply = received.signed();
                merchant.read_query_order(&WebCrypto, seconds(), reply, out_trade_no).await
            }
            Err(error) => QueryOutcome::Unknown(unanswered(&error)),
        }
    })
}

/// Closes a payment, so that nobody can pay it any more.
///
/// # Errors
/// As [`prepay`].
pub async fn close(ctx: &Ctx, provider: Provider, out_trade_no: &str) -> Answer<CloseOutcome> {
    Ok(if provider == Provider::Alipay {
        let app = alipay(ctx)?;
        let request = built(app.close_order(&WebCrypto, seconds(), out_trade_no).await)?;
        match outbound::send(&request).await {
            Ok(received) => app.read_close_order(&WebCrypto, received.reply()).await,
            Err(error) => CloseOutcome::Unknown(unanswered(&error)),
        }
    } else {
        let merchant = keys::merchant(ctx, None).await?;
        let request = built(merchant.close_order(&WebCrypto, stamp()?, out_trade_no).await)?;
        match to_wechat_pay(&merchant, &request).await {
            Ok(received) => {
                let merchant = keys::merchant(ctx, received.serial()).await?;
                merchant.read_close_order(&WebCrypto, seconds(), received.signed()).await
            }
            Err(error) => CloseOutcome::Unknown(unanswered(&error)),
        }
    })
}

/// Whether a refund is asked for, or asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refunding {
    /// Asked for, or asked for again.
    Ask,
    /// Asked about.
    Query,
}

/// Asks for a refund, or how it stands.
///
/// # Errors
/// As [`prepay`].
pub async fn refund(
    ctx: &Ctx,
    provider: Provider,
    how: Refunding,
    order: &RefundOrder<'_>,
) -> Answer<RefundOutcome> {
    Ok(if provider == Provider::Alipay {
        let app = alipay(ctx)?;
        let request = match how {
            Refunding::Ask => app.refund(&WebCrypto, seconds(), order).await,
            Refunding::Query => app.query_refund(&WebCrypto, seconds(), order).await,
        };
        match outbound::send(&built(request)?).await {
            Ok(received) => match how {
                Refunding::Ask => app.read_refund(&WebCrypto, received.reply(), order).await,
                Refunding::Query => {
                    app.read_query_refund(&WebCrypto, received.reply(), order).await
                }
            },
            Err(error) => RefundOutcome::Unknown(unanswered(&error)),
        }
    } else {
        let merchant = keys::merchant(ctx, None).await?;
        let request = match how {
            Refunding::Ask => merchant.refund(&WebCrypto, stamp()?, order).await,
            Refunding::Query => merchant.query_refund(&WebCrypto, stamp()?, order).await,
        };
        match to_wechat_pay(&merchant, &built(request)?).await {
            Ok(received) => {
                let merchant = keys::merchant(ctx, received.serial()).await?;
                merchant.read_refund(&WebCrypto, seconds(), received.signed(), order).await
            }
            Err(error) => RefundOutcome::Unknown(unanswered(&error)),
        }
    })
}

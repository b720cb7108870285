//! Telling WeChat that what was paid for is delivered: a trading mini program that does not has its
//! money held back. A service counts as delivered in person.

use serde::Deserialize;
use zhundian_providers::wechat::{Delivery, Shipping, ShippingOutcome, WechatError};

use crate::error::{Answer, Code, Problem};
use crate::http::{Ctx, outbound};
use crate::member;
use crate::payment::{provider, queries};

/// What a report says of a payment.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Whose openid.
    pub payer: String,
    /// What was paid for.
    pub description: String,
    /// When, UTC milliseconds.
    pub paid_at: i64,
}

/// Reports a payment; one without a payer (a QR code paid by somebody unknown) cannot be. What is not
/// `known` of it is read.
///
/// # Errors
/// 503 when WeChat does not take it now.
pub async fn upload(ctx: &Ctx, payment_id: &str, known: Option<Report>) -> Answer<()> {
    let Some(merchant) = &ctx.config().wechat_pay else { return Ok(()) };
    let report = match known {
        Some(report) => Some(report),
        None => ctx.db()?.first(queries::shipping(payment_id)).await?,
    };
    let Some(report) = report else { return Ok(()) };
    let shipping = Shipping {
        mchid: &merchant.mchid,
        out_trade_no: payment_id,
        openid: &report.payer,
        item: &report.description,
        delivery: Delivery::InPerson,
        at_unix_seconds: report.paid_at.div_euclid(1000).max(provider::seconds() - 60),
    };
    let token = member::wechat::access_token(ctx, None).await?;
    let outcome = match tell(ctx, &token, &shipping).await? {
        Err(WechatError::TokenExpired) => {
            let token = member::wechat::access_token(ctx, Some(&token)).await?;
            tell(ctx, &token, &shipping).await?
        }
        told => told,
    };
    match outcome {
        Ok(ShippingOutcome::Recorded | ShippingOutcome::AlreadyRecorded) => Ok(()),
        Ok(ShippingOutcome::NotYetKnown) => {
            Err(Problem::unavailable("WeChat does not know it yet"))
        }
        Ok(ShippingOutcome::Refused { errcode }) => {
            Err(Problem::from(Code::WechatRefused).caused_by(format_args!("errcode {errcode}")))
        }
        Err(error) => Err(Problem::unavailable(error)),
    }
}

async fn tell(
    ctx: &Ctx,
    token: &str,
    shipping: &Shipping<'_>,
) -> Answer<Result<ShippingOutcome, WechatError>> {
    let program = &ctx.config().wechat;
    let request = program
        .upload_shipping(token, shipping)
        .ok_or_else(|| Problem::internal("nothing is left of a payment's description"))?;
    let received = outbound::send(&request).await.map_err(Problem::unavailable)?;
    Ok(program.read_upload_shipping(received.reply()))
}

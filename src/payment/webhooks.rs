//! Notices of WeChat Pay and Alipay: verified on their raw bytes, one D1 read, one D1 batch, answered.
//! No calendar object and no outside call is waited for.
//!
//! | notice | answer |
//! |---|---|
//! | does not verify, stale, of an unknown key | 401 |
//! | verified, and speaks of another payment, amount, currency, app or merchant | 422, and a difference |
//! | recorded, now or before; of no interest | 204 (WeChat Pay), `success` (Alipay) |
//! | D1 does not answer | 503: it comes again |

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use zhundian_domain::payment::RefundEvent;
use zhundian_providers::payment::{NoticeError, RefundStatus, VerifiedNotice};
use zhundian_providers::{alipay, http as wire, wechat_pay};

use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract;
use crate::payment::channel::Provider;
use crate::payment::crypto::WebCrypto;
use crate::payment::record::{self, Recorded};
use crate::payment::{keys, provider, queries, refund};

/// A notice of WeChat Pay
///
/// Called by WeChat Pay, and by nobody else: what its keys have not signed changes nothing.
#[utoipa::path(
    post, path = "/webhooks/wechat-pay", tag = "webhooks", operation_id = "wechat_pay_notice",
    request_body(content = String, content_type = "application/json"),
    responses((status = 204, description = "Taken")),
)]
pub(crate) async fn wechat_pay(ctx: Ctx, request: Request) -> Answer<Response> {
    let headers = owned(request.headers());
    let body = extract::bytes(request).await?;
    let headers = wire::Headers(&headers);
    let merchant = keys::merchant(&ctx, headers.get("wechatpay-serial")).await?;
    let notice = wechat_pay::Notice { headers, body: &body };
    let verified = notice.verify(&merchant, &WebCrypto, provider::seconds()).await;
    take(&ctx, Provider::WechatPay, verified.map_err(refused)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A notice of Alipay
///
/// Called by Alipay, and by nobody else: what its key has not signed changes nothing.
#[utoipa::path(
    post, path = "/webhooks/alipay", tag = "webhooks", operation_id = "alipay_notice",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Taken", body = String, content_type = "text/plain")),
)]
pub(crate) async fn alipay(ctx: Ctx, request: Request) -> Answer<Response> {
    let body = extract::bytes(request).await?;
    let app = provider::alipay(&ctx)?;
    let verified = alipay::Notice { body: &body }.verify(app, &WebCrypto).await;
    take(&ctx, Provider::Alipay, verified.map_err(refused)?).await?;
    Ok((StatusCode::OK, alipay::Notice::ACKNOWLEDGED).into_response())
}

/// Header values that are no text are as if they were not there.
fn owned(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}

fn refused(error: NoticeError) -> Problem {
    match error {
        NoticeError::NotVerified(_) => Problem::from(Code::NoticeNotVerified).caused_by(error),
        NoticeError::Unreadable(_) | NoticeError::Mismatch(_) => {
            Problem::from(Code::NoticeMismatch).caused_by(error)
        }
        // A key that cannot be imported, or a runtime that cannot: the notice comes again.
        NoticeError::Crypto(_) => Problem::unavailable(error),
    }
}

async fn take(ctx: &Ctx, from: Provider, notice: VerifiedNotice) -> Answer<()> {
    match notice {
        VerifiedNotice::Paid(said) => {
            let recorded = record::record(ctx, from, &said).await?;
            record::problem(&recorded).map_or(Ok(()), Err)
        }
        VerifiedNotice::Refund(status, said) => {
            let event = match status {
                RefundStatus::Succeeded => RefundEvent::Succeeded,
                RefundStatus::Processing => RefundEvent::Processing,
                RefundStatus::Abnormal => RefundEvent::Abnormal,
                RefundStatus::Closed => RefundEvent::Closed,
            };
            if refund::said(ctx, &said, event).await? {
                Ok(())
            } else {
                Err(Problem::from(Code::NoticeMismatch).caused_by("no such refund"))
            }
        }
        // Alipay tells of a sum; how each refund stands is asked after the answer.
        VerifiedNotice::Refunded { transaction, .. } => {
            let paid = record::record(ctx, from, &transaction).await?;
            if let Recorded::Done = paid {
                ask_about_refunds(ctx, &transaction.out_trade_no).await?;
            }
            record::problem(&paid).map_or(Ok(()), Err)
        }
        // Closed by its deadline; the job that ends unpaid orders asks once more before it believes so.
        VerifiedNotice::Closed { .. } | VerifiedNotice::Other { .. } => Ok(()),
    }
}

async fn ask_about_refunds(ctx: &Ctx, payment_id: &str) -> Answer<()> {
    let refunds: Vec<String> =
        ctx.db()?.read(vec![queries::refunds_under_way(payment_id)]).await?.all(0)?;
    let work = ctx.clone();
    ctx.after_response(async move {
        for id in refunds {
            // The reconciler asks again.
            let _ = refund::carry_on(&work, &id, None, &[]).await;
        }
    })
    .await;
    Ok(())
}

//! `POST /api/v1/orders/{id}/pay`: what lets the customer pay.
//!
//! An order has one pending payment at most (a unique index), so a double click and a second device
//! get the same number, and the provider takes money for a number once. Whoever chooses another
//! channel has the first one closed before.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::order::Status;
use zhundian_domain::zone::Zone;
use zhundian_providers::payment::{Order, Prepaid, PrepayOutcome};

use crate::auth::caller::TokenMember;
use crate::booking::claim::Operator;
use crate::error::{Answer, Code, Problem};
use crate::http::context::now_ms;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{At, Id};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, respond};
use crate::payment::channel::{Channel, Provider};
use crate::payment::conclude::{self, Ended, FIRST_CHECK_MS};
use crate::payment::crypto::WebCrypto;
use crate::payment::provider::{self, ALIPAY_NOTICES, WECHAT_PAY_NOTICES};
use crate::payment::{keys, queries};

/// The provider's deadline lies so long before the end of the hold: as long as WeChat Pay lengthens a
/// deadline that is near.
pub const BEFORE_HOLD_ENDS_MS: i64 = 60_000;
/// Numbers tried in one go: a second one after the first was found closed at the provider.
const NUMBERS: u32 = 2;

/// How the customer wants to pay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    channel: Channel,
}

/// What lets the customer pay.
#[derive(Serialize, ToSchema)]
pub struct PayAnswer {
    /// The payment.
    payment: Payment,
    /// For `wx.requestPayment`, as it is: `timeStamp`, `nonceStr`, `package`, `signType`, `paySign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    wechat_parameters: Option<serde_json::Value>,
    /// The text of the QR code to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    code_url: Option<String>,
}

/// A payment that waits for the customer.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenPayment)]
pub struct Payment {
    /// Its number; the provider knows it by the same (`out_trade_no`).
    id: Id,
    /// How it is paid.
    channel: Channel,
    /// In fen.
    amount_fen: i64,
    /// Until when it can be paid.
    expires_at: At,
}

#[derive(Deserialize)]
struct ToPay {
    member_id: Option<Id>,
    store_id: Id,
    status: Status,
    due_fen: i64,
    hold_expires_at: Option<i64>,
    openid: Option<String>,
    store_name: String,
    service_name: String,
    time_zone: Zone,
    pending: Option<Pending>,
}

#[derive(Deserialize)]
struct Pending {
    id: Id,
    channel: Channel,
    amount_fen: i64,
    description: String,
    payer: Option<String>,
    expires_at: i64,
}

/// Pay for an order
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/pay", tag = "payments", operation_id = "pay",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Pay,
    responses((status = 200, description = "The customer can pay", body = PayAnswer)),
)]
pub(crate) async fn pay(
    ctx: Ctx,
    member: TokenMember,
    PathId(order_id): PathId,
    operation: Operation<Pay>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let channel = operation.body.channel;
    let db = ctx.db()?;
    let reads = vec![operator.stored(), queries::to_pay(&order_id), member.check()];
    let rows = db.read(reads).await?;
    let member = member.checked(&rows, 2)?;
    let known: Option<ToPay> = rows.first(1)?;
    let mut known = known
        .filter(|known| known.member_id.as_ref() == Some(&member.id))
        .ok_or_else(|| Problem::from(Code::NotFound))?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    offered(&ctx, channel)?;
    let openid = match channel {
        Channel::WechatJsapi => Some(known.openid.clone().ok_or_else(|| {
            Problem::from(Code::PaymentNotOffered).at("channel").caused_by("no openid")
        })?),
        _ => None,
    };
    for _ in 0..NUMBERS {
        known.require_waiting(&ctx)?;
        let pending = match known.pending.take() {
            Some(pending) if pending.channel == channel && pending.payer == openid => pending,
            Some(other) => {
                give_up(&ctx, &other.id).await?;
                known.start(&ctx, &order_id, channel, openid.as_deref()).await?
            }
            None => known.start(&ctx, &order_id, channel, openid.as_deref()).await?,
        };
        match prepay(&ctx, &pending).await? {
            PrepayOutcome::Ready(prepaid) => {
                return ready(&ctx, &operator, &known, pending, prepaid).await;
            }
            // Closed at the provider, or asked for with other words by an older version of ours: this
            // number is of no use any more.
            PrepayOutcome::Closed | PrepayOutcome::ParametersChanged => {
                give_up(&ctx, &pending.id).await?;
            }
            PrepayOutcome::AlreadyPaid => {
                return match conclude::conclude(&ctx, pending.id.as_str()).await? {
                    Ended::Paid => Err(Code::OrderPaid.into()),
                    _ => Err(unavailable("paid, as it says, and not paid")),
                };
            }
            PrepayOutcome::Refused(refusal) => {
                return Err(Problem::from(Code::Misconfigured)
                    .with(channel.provider().as_str())
                    .retry_after(60)
                    .caused_by(refusal));
            }
            PrepayOutcome::Busy => return Err(unavailable("busy")),
            PrepayOutcome::Unknown(doubt) => return Err(unavailable(doubt)),
        }
    }
    Err(unavailable("a payment that the provider closes again and again"))
}

fn unavailable(cause: impl std::fmt::Display) -> Problem {
    Problem::from(Code::PaymentUnavailable).retry_after(3).caused_by(cause)
}

/// Refuses a channel that the merchant does not have.
fn offered(ctx: &Ctx, channel: Channel) -> Answer<()> {
    let config = ctx.config();
    let there = match channel.provider() {
        Provider::Alipay => config.alipay.is_some(),
        _ => config.wechat_pay.is_some(),
    };
    if there { Ok(()) } else { Err(Problem::from(Code::PaymentNotOffered).at("channel")) }
}

/// Closes a payment that is not wanted any more; one that was paid meanwhile has paid the order.
async fn give_up(ctx: &Ctx, payment_id: &Id) -> Answer<()> {
    match conclude::conclude(ctx, payment_id.as_str()).await {
        Ok(Ended::Closed) => Ok(()),
        Ok(Ended::Paid) => Err(Code::OrderPaid.into()),
        Ok(Ended::Pending) => Err(unavailable("the provider does not close a payment")),
        Err(problem) => Err(unavailable(problem.cause().unwrap_or_default())),
    }
}

impl ToPay {
    /// Refuses when there is nothing to pay, or no time left to pay it.
    fn require_waiting(&self, ctx: &Ctx) -> Answer<()> {
        match self.status {
            Status::PendingPayment => {}
            Status::Paid | Status::Confirmed | Status::InService | Status::Completed => {
                return Err(Code::OrderPaid.into());
            }
            _ => return Err(Code::OrderNotChangeable.into()),
        }
        if ctx.now >= self.expires_at() { Err(Code::PaymentExpired.into()) } else { Ok(()) }
    }

    fn expires_at(&self) -> i64 {
        self.hold_expires_at.unwrap_or(0) - BEFORE_HOLD_ENDS_MS
    }

    /// A payment of this order that waits: a new one, or the one that somebody else has just made.
    async fn start(
        &self,
        ctx: &Ctx,
        order_id: &Id,
        channel: Channel,
        openid: Option<&str>,
    ) -> Answer<Pending> {
        let id = ctx.new_id()?;
        let description = format!("{} {}", self.store_name, self.service_name);
        let payment = queries::NewPayment {
            id: &id,
            order_id,
            store_id: &self.store_id,
            channel,
            amount_fen: self.due_fen,
            description: &description,
            payer: openid,
            expires_at: self.expires_at(),
            check_at: now_ms() + FIRST_CHECK_MS,
            now: now_ms(),
        };
        let db = ctx.db()?;
        match db.batch(queries::insert_payment(&payment).into()).await {
            Ok(_) => Ok(Pending {
                id,
                channel,
                amount_fen: self.due_fen,
                description,
                payer: openid.map(str::to_owned),
                expires_at: self.expires_at(),
            }),
            Err(error) if error.is_constraint("payment_order_id") => {
                let now: Option<Self> = db.first(queries::to_pay(order_id)).await?;
                now.and_then(|now| now.pending)
                    .filter(|one| one.channel == channel && one.payer.as_deref() == openid)
                    .ok_or_else(|| Problem::from(Code::PaymentInProgress))
            }
            Err(error) if error.is_constraint("order_version") => Err(Code::OrderChanged.into()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn prepay(ctx: &Ctx, pending: &Pending) -> Answer<PrepayOutcome> {
    let path = match pending.channel.provider() {
        Provider::Alipay => ALIPAY_NOTICES,
        _ => WECHAT_PAY_NOTICES,
    };
    let notify_url = format!("{}{path}", ctx.config().public_url);
    let order = Order {
        out_trade_no: pending.id.as_str(),
        description: &pending.description,
        total_fen: pending.amount_fen,
        notify_url: &notify_url,
        expires_at_unix_seconds: Some(pending.expires_at.div_euclid(1000)),
    };
    provider::prepay(ctx, pending.channel, &order, pending.payer.as_deref()).await
}

async fn ready(
    ctx: &Ctx,
    operator: &Operator,
    known: &ToPay,
    pending: Pending,
    prepaid: Prepaid,
) -> Answer<Response> {
    let (wechat_parameters, code_url) = match prepaid {
        Prepaid::CodeUrl(text) => (None, Some(text)),
        Prepaid::PrepayId(id) => {
            let merchant = keys::merchant(ctx, None).await?;
            let parameters = merchant
                .jsapi_parameters(&WebCrypto, provider::stamp()?, &id)
                .await
                .map_err(Problem::internal)?;
            (Some(serde_json::to_value(parameters).map_err(Problem::internal)?), None)
        }
    };
    let payment = Payment {
        expires_at: At::new(known.time_zone, pending.expires_at),
        id: pending.id,
        channel: pending.channel,
        amount_fen: pending.amount_fen,
    };
    let answer = PayAnswer { payment, wechat_parameters, code_url };
    let response = serde_json::to_string(&answer).map_err(Problem::internal)?;
    match ctx.db()?.batch(vec![operator.store(StatusCode::OK, &response, ctx.now)]).await {
        Ok(_) => Ok(respond::json_bytes(StatusCode::OK, response.into_bytes())),
        Err(error) if error.is_constraint("idempotency_actor") => operator.replay_now(ctx).await,
        Err(error) => Err(error.into()),
    }
}

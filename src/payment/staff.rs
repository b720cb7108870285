//! What staff see of the money: payments, refunds, differences; and what they can do about what was
//! given up.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{At, Id, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::payment::queries;

/// A payment's state to filter by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentFilter {
    /// Asked for.
    Pending,
    /// Made.
    Paid,
    /// Given up.
    Closed,
}

impl From<PaymentFilter> for &'static str {
    fn from(status: PaymentFilter) -> Self {
        match status {
            PaymentFilter::Pending => "pending",
            PaymentFilter::Paid => "paid",
            PaymentFilter::Closed => "closed",
        }
    }
}

/// A refund's state to filter by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundFilter {
    /// Decided.
    Requested,
    /// The provider is at it.
    Processing,
    /// The customer has it.
    Succeeded,
    /// Staff must act at the provider.
    Abnormal,
    /// The provider has given it up.
    Closed,
}

impl From<RefundFilter> for &'static str {
    fn from(status: RefundFilter) -> Self {
        match status {
            RefundFilter::Requested => "requested",
            RefundFilter::Processing => "processing",
            RefundFilter::Succeeded => "succeeded",
            RefundFilter::Abnormal => "abnormal",
            RefundFilter::Closed => "closed",
        }
    }
}

/// Which payments or refunds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted<S: ToSchema> {
    #[param(inline)]
    store_id: Option<Id>,
    #[param(inline)]
    order_id: Option<Id>,
    #[param(inline)]
    status: Option<S>,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

impl<S: ToSchema + Copy + Into<&'static str>> Wanted<S> {
    /// As the list is asked for, if the member of staff may see it.
    fn filter(&self, staff: &Staff) -> Answer<queries::MoneyFilter<'_>> {
        if let Some(store) = &self.store_id {
            staff.require(Permission::PaymentRead, store)?;
        }
        Ok(queries::MoneyFilter {
            store_id: self.store_id.as_ref(),
            order_id: self.order_id.as_ref(),
            status: self.status.map(Into::into),
            scope: staff.scope(Permission::PaymentRead),
            after: page::decode(self.cursor.as_ref().map(Text::as_str))?,
            limit: size(self.limit),
        })
    }
}

/// A payment.
#[derive(Serialize, ToSchema)]
pub struct Payment {
    /// Its number; the provider knows it by the same (`out_trade_no`).
    id: Id,
    /// The order.
    order_id: Id,
    /// The store.
    store_id: Id,
    /// `wechat_pay`, `alipay`, `cash`, `at_store`.
    provider: String,
    /// `wechat_jsapi`, `wechat_native`, `alipay_qr`, `cash`, `at_store`.
    channel: String,
    /// In fen.
    amount_fen: i64,
    /// `pending`, `paid`, `closed`.
    status: String,
    /// The provider's number.
    transaction_id: Option<String>,
    /// When it was paid.
    paid_at: Option<At>,
    /// Who took it, over the counter.
    taken_by: Option<Id>,
    /// When it was asked for.
    created_at: At,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct PaymentRow {
    id: Id,
    order_id: Id,
    store_id: Id,
    provider: String,
    channel: String,
    amount_fen: i64,
    status: String,
    transaction_id: Option<String>,
    paid_at: Option<i64>,
    taken_by: Option<Id>,
    created_at: i64,
}

/// A refund.
#[derive(Serialize, ToSchema)]
pub struct Refund {
    /// Its number; the provider knows it by the same (`out_refund_no`).
    id: Id,
    /// The payment.
    payment_id: Id,
    /// The order.
    order_id: Id,
    /// The store.
    store_id: Id,
    /// In fen.
    amount_fen: i64,
    /// `requested`, `processing`, `succeeded`, `abnormal`, `closed`.
    status: String,
    /// `cancelled`, `claim_lost`, `paid_by_another`, `order_over`, `appointment_begun`, `no_show`,
    /// `staff`.
    cause: String,
    /// Why, in words.
    reason: String,
    /// Which staff wanted it.
    requested_by: Option<Id>,
    /// When it was decided.
    created_at: At,
    /// When the customer had it.
    succeeded_at: Option<At>,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct RefundRow {
    id: Id,
    payment_id: Id,
    order_id: Id,
    store_id: Id,
    amount_fen: i64,
    status: String,
    cause: String,
    reason: String,
    requested_by: Option<Id>,
    created_at: i64,
    succeeded_at: Option<i64>,
}

/// A store's payments
///
/// The latest first; of every store that one may see when none is named.
#[utoipa::path(
    get, path = "/api/v1/staff/payments", tag = "payments", operation_id = "payments",
    params(Wanted<PaymentFilter>), responses((status = 200, description = "A page", body = Page<Payment>)),
)]
pub(crate) async fn payments(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<Wanted<PaymentFilter>>,
) -> Answer<Json<Page<Payment>>> {
    let filter = wanted.filter(&staff)?;
    let rows: Vec<PaymentRow> = ctx.db()?.read(vec![queries::payments(&filter)]).await?.all(0)?;
    let items = rows.into_iter().map(|row| Payment {
        key: (row.created_at, row.id.clone()),
        id: row.id,
        order_id: row.order_id,
        store_id: row.store_id,
        provider: row.provider,
        channel: row.channel,
        amount_fen: row.amount_fen,
        status: row.status,
        transaction_id: row.transaction_id,
        paid_at: row.paid_at.map(At::utc),
        taken_by: row.taken_by,
        created_at: At::utc(row.created_at),
    });
    Ok(Json(Page::of(items.collect(), filter.limit, |item: &Payment| item.key.clone())))
}

/// A store's refunds
///
/// The latest first; of every store that one may see when none is named.
#[utoipa::path(
    get, path = "/api/v1/staff/refunds", tag = "payments", operation_id = "refunds",
    params(Wanted<RefundFilter>), responses((status = 200, description = "A page", body = Page<Refund>)),
)]
pub(crate) async fn refunds(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<Wanted<RefundFilter>>,
) -> Answer<Json<Page<Refund>>> {
    let filter = wanted.filter(&staff)?;
    let rows: Vec<RefundRow> = ctx.db()?.read(vec![queries::refunds(&filter)]).await?.all(0)?;
    let items = rows.into_iter().map(|row| Refund {
        key: (row.created_at, row.id.clone()),
        id: row.id,
        payment_id: row.payment_id,
        order_id: row.order_id,
        store_id: row.store_id,
        amount_fen: row.amount_fen,
        status: row.status,
        cause: row.cause,
        reason: row.reason,
        requested_by: row.requested_by,
        created_at: At::utc(row.created_at),
        succeeded_at: row.succeeded_at.map(At::utc),
    });
    Ok(Json(Page::of(items.collect(), filter.limit, |item: &Refund| item.key.clone())))
}

fn size(limit: Option<Int<1, 100>>) -> u32 {
    limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(DEFAULT_LIMIT)
}

/// What a provider's word or bill and our rows say differently.
#[derive(Serialize, ToSchema)]
pub struct Difference {
    /// Its id.
    id: Id,
    /// What kind: `payment_mismatch`, `unknown_payment`, `second_transaction`, `transaction_reused`,
    /// `refund_mismatch`, `refund_refused`, `refund_not_enough`, `refund_without_payment`,
    /// `refund_abnormal`, `refund_closed`, `refund_contradiction`, `bill_payment`, `bill_refund`,
    /// `bill_missing`.
    kind: String,
    /// Which provider.
    provider: String,
    /// The payment's or the refund's number.
    subject: String,
    /// What our rows say.
    #[schema(value_type = Object)]
    ours: serde_json::Value,
    /// What the provider says.
    #[schema(value_type = Object)]
    theirs: serde_json::Value,
    /// When it was found.
    found_at: At,
    /// When somebody had dealt with it.
    resolved_at: Option<At>,
    /// Who.
    resolved_by: Option<Id>,
    /// How.
    note: String,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct DifferenceRow {
    id: Id,
    kind: String,
    provider: String,
    subject: String,
    ours: serde_json::Value,
    theirs: serde_json::Value,
    found_at: i64,
    resolved_at: Option<i64>,
    resolved_by: Option<Id>,
    note: String,
}

/// Which differences.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WantedDifferences {
    /// Also those that were resolved, when `true`.
    #[param(inline)]
    resolved: Option<bool>,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// Differences with the providers
///
/// What is listed here moves no money by itself.
#[utoipa::path(
    get, path = "/api/v1/admin/differences", tag = "payments", operation_id = "differences",
    params(WantedDifferences), responses((status = 200, description = "A page", body = Page<Difference>)),
)]
pub(crate) async fn differences(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<WantedDifferences>,
) -> Answer<Json<Page<Difference>>> {
    staff.require_everywhere(Permission::PaymentReconcile)?;
    let limit = size(wanted.limit);
    let after: Option<(i64, String)> = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let open = wanted.resolved != Some(true);
    let rows: Vec<DifferenceRow> =
        ctx.db()?.read(vec![queries::differences(open, after.as_ref(), limit)]).await?.all(0)?;
    let items = rows.into_iter().map(|row| Difference {
        key: (row.found_at, row.id.clone()),
        id: row.id,
        kind: row.kind,
        provider: row.provider,
        subject: row.subject,
        ours: row.ours,
        theirs: row.theirs,
        found_at: At::utc(row.found_at),
        resolved_at: row.resolved_at.map(At::utc),
        resolved_by: row.resolved_by,
        note: row.note,
    });
    Ok(Json(Page::of(items.collect(), limit, |item: &Difference| item.key.clone())))
}

/// How a difference was dealt with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    note: Text<1, 200>,
}

/// Mark a difference as dealt with
#[utoipa::path(
    post, path = "/api/v1/admin/differences/{id}/resolve", tag = "payments", operation_id = "resolve_difference",
    params(("id" = Id, Path, description = "The difference")), request_body = Resolve,
    responses((status = 204, description = "Done")),
)]
pub(crate) async fn resolve(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(wish): Body<Resolve>,
) -> Answer<http::StatusCode> {
    staff.require_everywhere(Permission::PaymentReconcile)?;
    let note = wish.note.as_str();
    let detail = serde_json::json!({ "note": note });
    let audit_id = ctx.new_id()?;
    let (open, did) =
        ("difference WHERE id = ?5 AND resolved_at IS NULL", ("resolve_difference", &id));
    let statements = vec![
        queries::audit_if(open, &audit_id, &staff.id, did, &detail, ctx.now),
        queries::resolve_difference(&id, &staff.id, note, ctx.now),
    ];
    done(&ctx.db()?.batch(statements).await?)
}

/// Try an outbox row again that was given up
#[utoipa::path(
    post, path = "/api/v1/admin/outbox/{id}/retry", tag = "operations", operation_id = "retry_outbox",
    params(("id" = Id, Path, description = "The row, as operations list it")),
    responses((status = 204, description = "It is tried within a minute")),
)]
pub(crate) async fn retry(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<http::StatusCode> {
    staff.require_everywhere(Permission::PaymentReconcile)?;
    let audit_id = ctx.new_id()?;
    let detail = serde_json::json!({});
    let (dead, did) = ("outbox WHERE id = ?5 AND dead = 1", ("retry_outbox", &id));
    let statements = vec![
        queries::audit_if(dead, &audit_id, &staff.id, did, &detail, ctx.now),
        queries::retry_dead(&id, ctx.now),
    ];
    done(&ctx.db()?.batch(statements).await?)
}

/// Whether the second statement has found its row.
fn done(rows: &crate::d1::Rows) -> Answer<http::StatusCode> {
    match rows.text(1) {
        Some(_) => Ok(http::StatusCode::NO_CONTENT),
        None => Err(Problem::from(Code::NotFound)),
    }
}

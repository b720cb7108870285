//! The SQL of payments, refunds and the ledger.

use zhundian_domain::ledger::Entry;
use zhundian_domain::payment::{PaymentStatus, RefundStatus};

use crate::auth::caller::Scope;
use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::order::queries::{claims, live_claims};
use crate::payment::channel::{Channel, Provider};
use crate::sql;

/// Posts an entry; raises `ledger_entry_account_id` when the account has taken the operation, and
/// `account_balance` when it would go below zero.
#[must_use]
pub fn post(entry: &Entry, at: i64) -> Statement {
    sql!(
        "INSERT INTO ledger_entry (account_id, op_id, delta_fen, at) VALUES (?1, ?2, ?3, ?4)",
        &entry.account_id,
        &entry.op_id,
        entry.delta_fen,
        at
    )
}

/// What the order `o` has been paid and not promised back, without what was paid for nothing.
pub const PAID_FEN: &str =
    "coalesce((SELECT sum(p.amount_fen - coalesce((SELECT sum(r.amount_fen) FROM refund r
        WHERE r.payment_id = p.id AND r.status <> 'closed'), 0))
        FROM payment p WHERE p.order_id = o.id AND p.status = 'paid' AND p.surplus = 0), 0)";

// Payments ----------------------------------------------------------------------------------------

/// A payment with its order, as evidence of it is decided on.
#[must_use]
pub fn known(payment_id: &str) -> Statement {
    let claims = kept_claims("p.order_id", "");
    // A function of SQLite takes 32 arguments on D1.
    let sql = format!(
        "SELECT json_object('id', p.id, 'order_id', p.order_id, 'provider', p.provider,
    'status', p.status, 'amount_fen', p.amount_fen, 'transaction_id', p.transaction_id,
    'payer_and_description', json_array(p.payer, p.description), 'expires_at', p.expires_at,
    'checks', p.checks, 'order_status', o.status, 'order_version', o.version,
    'hold_expires_at', o.hold_expires_at,
    -- A session that was given up is over, whenever it would have begun.
    'start_at', CASE WHEN EXISTS (SELECT 1 FROM order_line l JOIN session s ON s.id = l.session_id
        WHERE l.order_id = o.id AND s.status = 'cancelled') THEN 0 ELSE o.start_at END,
    'paid_by_another', json(CASE WHEN EXISTS (SELECT 1 FROM payment other
        WHERE other.order_id = p.order_id AND other.id <> p.id AND other.status = 'paid')
        THEN 'true' ELSE 'false' END),
    'other_pending', (SELECT other.id FROM payment other
        WHERE other.order_id = p.order_id AND other.id <> p.id AND other.status = 'pending'),
    'claims', {claims}) AS json
         FROM payment p JOIN orders o ON o.id = p.order_id WHERE p.id = ?1"
    );
    Statement::new(sql, vec![payment_id.into()])
}

/// An order's claims as [`crate::booking::claim::Kept`] reads them: `order` is the SQL of its id, `only` a
/// WHERE.
fn kept_claims(order: &str, only: &str) -> String {
    format!(
        "(SELECT json_group_array(json_array(claim_id, calendar, store_id, start_at, end_at,
            block_start, block_end, quantity,
            json((SELECT l.home FROM order_line l WHERE l.id = line_id AND calendar LIKE 'technician:%'))))
            FROM {}{only})",
        claims(order)
    )
}

/// Stops the batch with `payment_known` unless the payment and its order are as they were read.
#[must_use]
pub fn still_known(
    payment_id: &str,
    status: PaymentStatus,
    order_id: &Id,
    order_version: i64,
) -> Statement {
    precondition(
        "payment_known",
        "EXISTS (SELECT 1 FROM payment WHERE id = ?1 AND status = ?2)
            AND EXISTS (SELECT 1 FROM orders WHERE id = ?3 AND version = ?4)",
        vec![payment_id.into(), status.as_str().into(), order_id.into(), order_version.into()],
    )
}

/// A payment is paid. Raises `payment_provider` (of `payment_transaction`) when the provider's number
/// is another payment's.
#[must_use]
pub fn paid(
    id: &str,
    transaction_id: &str,
    paid_at: i64,
    payer: Option<&str>,
    surplus: bool,
    now: i64,
) -> Statement {
    sql!(
        "UPDATE payment SET status = 'paid', transaction_id = ?2, paid_at = ?3,
            payer = coalesce(payer, ?4), updated_at = ?5, surplus = ?6 WHERE id = ?1",
        id,
        transaction_id,
        paid_at,
        payer,
        now,
        surplus
    )
}

/// An order's next state.
#[must_use]
pub fn order_is(order_id: &Id, status: &str, now: i64) -> Statement {
    sql!(
        "UPDATE orders SET status = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1",
        order_id,
        status,
        now
    )
}

/// An order's lines live again, with claims of other ids (`{old: new, …}`): the old ones were given back.
#[must_use]
pub fn revive_lines(order_id: &Id, claims: &str) -> [Statement; 2] {
    [
        sql!(
            "UPDATE order_line SET status = 'live', version = version + 1,
                claim_id = (SELECT value FROM json_each(?2) WHERE key = claim_id)
             WHERE order_id = ?1",
            order_id,
            claims
        ),
        sql!(
            "UPDATE line_claim SET status = 'live',
                claim_id = (SELECT value FROM json_each(?2) WHERE key = claim_id)
             WHERE order_id = ?1",
            order_id,
            claims
        ),
    ]
}

/// A payment that nobody can make any more.
#[must_use]
pub fn payment_closed(id: &str, now: i64) -> Statement {
    sql!(
        "UPDATE payment SET status = 'closed', updated_at = ?2 WHERE id = ?1 AND status = 'pending'",
        id,
        now
    )
}

/// The provider is asked about a payment again later.
#[must_use]
pub fn check_payment_at(id: &str, check_at: i64) -> Statement {
    sql!("UPDATE payment SET check_at = ?2, checks = checks + 1 WHERE id = ?1", id, check_at)
}

/// An order as paying needs it, with its member's openid and its pending payment.
#[must_use]
pub fn to_pay(order_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('member_id', o.member_id, 'store_id', o.store_id, 'status', o.status,
            'due_fen', o.due_fen, 'hold_expires_at', o.hold_expires_at,
            'openid', (SELECT openid FROM member WHERE id = o.member_id),
            'store_name', (SELECT name FROM store WHERE id = o.store_id),
            'service_name', coalesce((SELECT name FROM service WHERE id = o.service_id),
                (SELECT category FROM express WHERE order_id = o.id)),
            'time_zone', (SELECT time_zone FROM store WHERE id = o.store_id),
            'pending', json((SELECT json_object('id', id, 'channel', channel, 'provider', provider,
                'amount_fen', amount_fen, 'description', description, 'payer', payer,
                'expires_at', expires_at) FROM payment
                WHERE order_id = o.id AND status = 'pending'))) AS json
         FROM orders o WHERE o.id = ?1",
        order_id
    )
}

/// A payment as it is written.
pub struct NewPayment<'a> {
    /// Its number at the provider.
    pub id: &'a Id,
    /// The order.
    pub order_id: &'a Id,
    /// The order's store.
    pub store_id: &'a Id,
    /// How.
    pub channel: Channel,
    /// How much.
    pub amount_fen: i64,
    /// What the customer reads.
    pub description: &'a str,
    /// Who is to pay, where the channel asks for them.
    pub payer: Option<&'a str>,
    /// The provider's deadline.
    pub expires_at: i64,
    /// When the provider is asked about it first.
    pub check_at: i64,
    /// UTC milliseconds.
    pub now: i64,
}

/// Writes a pending payment of an order that waits for it. Raises `order_version` when the order does
/// not wait any more, and `payment_order_id` when it has a pending payment.
#[must_use]
pub fn insert_payment(payment: &NewPayment) -> [Statement; 2] {
    [
        precondition(
            "order_version",
            "EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND status = 'pending_payment')",
            vec![payment.order_id.into()],
        ),
        sql!(
            "INSERT INTO payment (id, order_id, store_id, provider, channel, amount_fen, status,
                description, payer, expires_at, check_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, ?8, ?9, ?10, ?11, ?11)",
            payment.id,
            payment.order_id,
            payment.store_id,
            payment.channel.provider().as_str(),
            payment.channel.as_str(),
            payment.amount_fen,
            payment.description,
            payment.payer,
            payment.expires_at,
            payment.check_at,
            payment.now
        ),
    ]
}

/// Writes a payment taken at the counter.
#[must_use]
pub fn insert_taken(
    id: &Id,
    (order_id, store_id): (&Id, &Id),
    provider: Provider,
    amount_fen: i64,
    staff_id: &Id,
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO payment (id, order_id, store_id, provider, channel, amount_fen, status,
            description, expires_at, paid_at, taken_by, check_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, 'paid', '', ?7, ?7, ?6, ?7, ?7, ?7)",
        id,
        order_id,
        store_id,
        provider.as_str(),
        amount_fen,
        staff_id,
        now
    )
}

/// Pending payments that are to be asked about.
#[must_use]
pub fn payments_to_check(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_quote(id) AS json FROM payment WHERE status = 'pending' AND check_at <= ?1
         ORDER BY check_at LIMIT ?2",
        now,
        limit
    )
}

/// Orders whose hold has ended before they were paid.
#[must_use]
pub fn unpaid(now: i64, limit: u32) -> Statement {
    let claims = live_claims("o.id", "");
    let sql = format!(
        "SELECT json_object('id', o.id, 'version', o.version, 'status', o.status,
            'pending', (SELECT id FROM payment WHERE order_id = o.id AND status = 'pending'),
            'claims', {claims}) AS json
         FROM orders o WHERE o.status = 'pending_payment' AND o.hold_expires_at <= ?1
         ORDER BY o.hold_expires_at LIMIT ?2"
    );
    Statement::new(sql, vec![now.into(), limit.into()])
}

/// Orders paid a while ago whose claim nobody is about to confirm: their outbox row is dead or gone.
#[must_use]
pub fn unconfirmed(before: i64, limit: u32) -> Statement {
    let claims = kept_claims("o.id", " WHERE status = 'live'");
    let sql = format!(
        "SELECT json_object('order_id', o.id, 'claims', {claims}) AS json
         FROM orders o WHERE o.status = 'paid' AND o.updated_at <= ?1
            AND NOT EXISTS (SELECT 1 FROM outbox WHERE dead = 0 AND topic = 'confirm'
                AND payload ->> 'order_id' = o.id)
         ORDER BY o.updated_at LIMIT ?2"
    );
    Statement::new(sql, vec![before.into(), limit.into()])
}

// Refunds -----------------------------------------------------------------------------------------

/// What of an order's payments can be refunded: each with what it paid less its refunds, and what it
/// paid, the latest first. What was paid for nothing is among it for staff alone: the order's own rules know nothing of it.
#[must_use]
pub fn refundable(order_id: &Id, with_surplus: bool) -> Statement {
    sql!(
        "SELECT json_group_array(json_array(id, provider, left_fen, amount_fen)) AS json FROM (
            SELECT p.id, p.provider, p.amount_fen, p.amount_fen - coalesce((SELECT sum(r.amount_fen) FROM refund r
                WHERE r.payment_id = p.id AND r.status <> 'closed'), 0) AS left_fen
            FROM payment p WHERE p.order_id = ?1 AND p.status = 'paid' AND (?2 = 1 OR p.surplus = 0)
            ORDER BY p.created_at DESC, p.id DESC)",
        order_id,
        with_surplus
    )
}

/// A refund as it is written.
pub struct NewRefund<'a> {
    /// Its number at the provider.
    pub id: &'a Id,
    /// The payment.
    pub payment_id: &'a str,
    /// The order.
    pub order_id: &'a Id,
    /// How much.
    pub amount_fen: i64,
    /// Why, in a word.
    pub cause: &'a str,
    /// Why, as the customer reads it.
    pub reason: &'a str,
    /// Which staff wanted it.
    pub staff_id: Option<&'a Id>,
    /// Whether the customer has it already, over the counter.
    pub done: bool,
    /// UTC milliseconds.
    pub now: i64,
}

/// Writes a refund.
#[must_use]
pub fn insert_refund(refund: &NewRefund) -> Statement {
    sql!(
        "INSERT INTO refund (id, payment_id, order_id, store_id, amount_fen, status, cause, reason,
            requested_by, check_at, succeeded_at, created_at, updated_at)
         SELECT ?1, ?2, ?3, store_id, ?4, CASE ?8 WHEN 1 THEN 'succeeded' ELSE 'requested' END, ?5, ?6,
            ?7, ?9 + 60000, CASE ?8 WHEN 1 THEN ?9 END, ?9, ?9 FROM orders WHERE id = ?3",
        refund.id,
        refund.payment_id,
        refund.order_id,
        refund.amount_fen,
        refund.cause,
        refund.reason,
        refund.staff_id,
        refund.done,
        refund.now
    )
}

/// Stops the batch with `payment_known` unless a payment has so much that was not refunded: refunds that
/// are decided at once may be spread over the same payments.
#[must_use]
pub fn has_left(payment_id: &str, amount_fen: i64) -> Statement {
    precondition(
        "payment_known",
        "coalesce((SELECT sum(amount_fen) FROM refund WHERE payment_id = ?1 AND status <> 'closed'), 0)
            + ?2 <= (SELECT amount_fen FROM payment WHERE id = ?1)",
        vec![payment_id.into(), amount_fen.into()],
    )
}

/// A refund with its payment.
#[must_use]
pub fn refund(id: &str) -> Statement {
    sql!(
        "SELECT json_object('id', r.id, 'payment_id', r.payment_id, 'order_id', r.order_id,
            'amount_fen', r.amount_fen, 'status', r.status, 'reason', r.reason, 'checks', r.checks,
            'provider', p.provider, 'total_fen', p.amount_fen) AS json
         FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.id = ?1",
        id
    )
}

/// The refunds of a payment that are under way.
#[must_use]
pub fn refunds_under_way(payment_id: &str) -> Statement {
    sql!(
        "SELECT json_quote(id) AS json FROM refund
         WHERE payment_id = ?1 AND status IN ('requested', 'processing', 'abnormal')",
        payment_id
    )
}

/// A refund's next state, if it is still as it was read (raises `refund_known`).
#[must_use]
pub fn refund_is(
    id: &str,
    (from, to): (RefundStatus, RefundStatus),
    provider_refund_id: Option<&str>,
    check_at: i64,
    now: i64,
) -> [Statement; 2] {
    [
        precondition(
            "refund_known",
            "EXISTS (SELECT 1 FROM refund WHERE id = ?1 AND status = ?2)",
            vec![id.into(), from.as_str().into()],
        ),
        sql!(
            "UPDATE refund SET status = ?2, provider_refund_id = coalesce(?3, provider_refund_id),
                check_at = ?4, checks = checks + 1, updated_at = ?5,
                succeeded_at = CASE ?2 WHEN 'succeeded' THEN ?5 ELSE succeeded_at END
             WHERE id = ?1",
            id,
            to.as_str(),
            provider_refund_id,
            check_at,
            now
        ),
    ]
}

/// The provider is asked about a refund again later.
#[must_use]
pub fn check_refund_at(id: &str, check_at: i64) -> Statement {
    sql!("UPDATE refund SET check_at = ?2, checks = checks + 1 WHERE id = ?1", id, check_at)
}

/// Refunds under way that are to be asked about.
#[must_use]
pub fn refunds_to_check(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_quote(id) AS json FROM refund
         WHERE status IN ('requested', 'processing') AND check_at <= ?1
         ORDER BY check_at LIMIT ?2",
        now,
        limit
    )
}

// Differences and bills ---------------------------------------------------------------------------

/// Notes a difference, once for each kind and number.
#[must_use]
pub fn note_difference(
    id: &Id,
    kind: &str,
    provider: Provider,
    subject: &str,
    (ours, theirs): (&str, &str),
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO difference (id, kind, provider, subject, ours, theirs, found_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (kind, provider, subject) DO NOTHING",
        id,
        kind,
        provider.as_str(),
        subject,
        ours,
        theirs,
        now
    )
}

/// Whether a provider's bill of a day has been compared.
#[must_use]
pub fn bill_compared(provider: Provider, date: chrono::NaiveDate) -> Statement {
    sql!(
        "SELECT 'true' AS json FROM bill WHERE provider = ?1 AND date = ?2",
        provider.as_str(),
        date
    )
}

/// Notes that a bill has been compared.
#[must_use]
pub fn keep_bill(
    provider: Provider,
    date: chrono::NaiveDate,
    (rows, differences): (u32, u32),
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO bill (provider, date, rows, differences, compared_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (provider, date) DO UPDATE SET rows = excluded.rows,
            differences = excluded.differences, compared_at = excluded.compared_at",
        provider.as_str(),
        date,
        rows,
        differences,
        now
    )
}

/// Payments by number (`ids` is a JSON list), as the bill is compared with them.
#[must_use]
pub fn payments_by_id(ids: &str) -> Statement {
    sql!(
        "SELECT json_array(id, status, amount_fen) AS json FROM payment
         WHERE id IN (SELECT value FROM json_each(?1))",
        ids
    )
}

/// Refunds by number, likewise.
#[must_use]
pub fn refunds_by_id(ids: &str) -> Statement {
    sql!(
        "SELECT json_array(id, status, amount_fen) AS json FROM refund
         WHERE id IN (SELECT value FROM json_each(?1))",
        ids
    )
}

/// Payments that a provider took in an interval, after an id.
#[must_use]
pub fn payments_between(provider: Provider, from: i64, until: i64) -> Statement {
    sql!(
        "SELECT json_array(id, status, amount_fen) AS json FROM payment
         WHERE provider = ?1 AND status = 'paid' AND paid_at >= ?2 AND paid_at < ?3
         ORDER BY paid_at LIMIT 10000",
        provider.as_str(),
        from,
        until
    )
}

/// Keys that a provider has handed out and that have not expired.
#[must_use]
pub fn keys(provider: &str, now: i64) -> Statement {
    sql!(
        "SELECT json_object('pem', pem) AS json FROM provider_key
         WHERE provider = ?1 AND expires_at > ?2 ORDER BY expires_at DESC LIMIT 16",
        provider,
        now
    )
}

/// Keeps such a key.
#[must_use]
pub fn keep_key(provider: &str, serial: &str, pem: &str, expires_at: i64) -> Statement {
    sql!(
        "INSERT INTO provider_key (provider, serial, pem, expires_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (provider, serial) DO UPDATE SET pem = excluded.pem,
            expires_at = excluded.expires_at",
        provider,
        serial,
        pem,
        expires_at
    )
}

// For staff ---------------------------------------------------------------------------------------

/// An order as settling and refunding need it.
#[must_use]
pub fn to_settle(order_id: &Id) -> Statement {
    Statement::new(
        format!(
            "SELECT json_object('store_id', o.store_id, 'status', o.status, 'version', o.version,
                'total_fen', o.total_fen, 'paid_fen', {PAID_FEN},
                'has_line', json(iif(EXISTS (SELECT 1 FROM order_line
                    WHERE order_id = o.id AND status = 'live'), 'true', 'false'))) AS json
             FROM orders o WHERE o.id = ?1"
        ),
        vec![order_id.into()],
    )
}

/// What a staff list of payments or refunds is asked for.
pub struct MoneyFilter<'a> {
    /// In this store.
    pub store_id: Option<&'a Id>,
    /// Of this order.
    pub order_id: Option<&'a Id>,
    /// In this state.
    pub status: Option<&'a str>,
    /// In these stores alone.
    pub scope: Scope,
    /// After the row with this instant and id.
    pub after: Option<(i64, String)>,
    /// How many at most.
    pub limit: u32,
}

/// A page and one more. Store and order have an index that ends in `(created_at, id)`, and so has the
/// whole table, so a page costs its own rows, however long the history.
fn money_list(filter: &MoneyFilter, row: &str, table: &str) -> Statement {
    let mut params: Vec<Param> = Vec::new();
    let mut terms: Vec<String> = vec!["true".to_owned()];
    let mut term = |text: &str, param: Option<Param>| {
        if let Some(param) = param {
            params.push(param);
            terms.push(text.replace('?', &format!("?{}", params.len())));
        }
    };
    term("m.store_id = ?", filter.store_id.map(Into::into));
    term("m.order_id = ?", filter.order_id.map(Into::into));
    term("m.status = ?", filter.status.map(Into::into));
    let scope = filter.scope.json();
    term("m.store_id IN (SELECT value FROM json_each(?))", scope.map(Into::into));
    if let Some((at, id)) = &filter.after {
        let (from, before) = (params.len() + 1, params.len() + 2);
        params.extend([Param::from(*at), Param::from(id)]);
        terms.push(format!(
            "m.created_at <= ?{from} AND (m.created_at < ?{from} OR m.id < ?{before})"
        ));
    }
    params.push(Param::from(filter.limit + 1));
    let (terms, limit) = (terms.join(" AND "), params.len());
    Statement::new(
        format!(
            "SELECT {row} AS json FROM {table} m WHERE {terms}
             ORDER BY m.created_at DESC, m.id DESC LIMIT ?{limit}"
        ),
        params,
    )
}

/// Payments, the latest first.
#[must_use]
pub fn payments(filter: &MoneyFilter) -> Statement {
    money_list(
        filter,
        "json_object('id', m.id, 'order_id', m.order_id, 'store_id', m.store_id,
            'provider', m.provider, 'channel', m.channel, 'amount_fen', m.amount_fen,
            'status', m.status, 'transaction_id', m.transaction_id, 'paid_at', m.paid_at,
            'taken_by', m.taken_by, 'created_at', m.created_at)",
        "payment",
    )
}

/// Refunds, the latest first.
#[must_use]
pub fn refunds(filter: &MoneyFilter) -> Statement {
    money_list(
        filter,
        "json_object('id', m.id, 'payment_id', m.payment_id, 'order_id', m.order_id,
            'store_id', m.store_id, 'amount_fen', m.amount_fen, 'status', m.status,
            'cause', m.cause, 'reason', m.reason, 'requested_by', m.requested_by,
            'created_at', m.created_at, 'succeeded_at', m.succeeded_at)",
        "refund",
    )
}

/// Differences, the latest first, after a row.
#[must_use]
pub fn differences(open: bool, after: Option<&(i64, String)>, limit: u32) -> Statement {
    let mut params = vec![Param::from(limit + 1)];
    let mut terms = if open { "resolved_at IS NULL".to_owned() } else { "true".to_owned() };
    if let Some((at, id)) = after {
        params.extend([Param::from(*at), Param::from(id)]);
        terms.push_str(" AND found_at <= ?2 AND (found_at < ?2 OR id < ?3)");
    }
    Statement::new(
        format!(
            "SELECT json_object('id', id, 'kind', kind, 'provider', provider, 'subject', subject,
                'ours', json(ours), 'theirs', json(theirs), 'found_at', found_at,
                'resolved_at', resolved_at, 'resolved_by', resolved_by, 'note', note) AS json
             FROM difference WHERE {terms} ORDER BY found_at DESC, id DESC LIMIT ?1"
        ),
        params,
    )
}

/// Resolves a difference; answers whether there was an open one.
#[must_use]
pub fn resolve_difference(id: &Id, staff_id: &Id, note: &str, now: i64) -> Statement {
    sql!(
        "UPDATE difference SET resolved_at = ?3, resolved_by = ?2, note = ?4
         WHERE id = ?1 AND resolved_at IS NULL RETURNING 'true' AS json",
        id,
        staff_id,
        now,
        note
    )
}

/// Brings a row that was given up back to the outbox; answers whether there was one.
#[must_use]
pub fn retry_dead(id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE outbox SET dead = 0, attempts = 0, due_at = ?2, lease_until = 0
         WHERE id = ?1 AND dead = 1 RETURNING 'true' AS json",
        id,
        now
    )
}

/// Notes what staff did.
#[must_use]
pub fn audit(
    id: &Id,
    staff_id: &Id,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO audit_entry (id, at, staff_id, action, subject, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        id,
        now,
        staff_id,
        action,
        subject,
        detail.to_string()
    )
}

/// As [`audit`], before the statement that does it and only if there is something to do: when a row
/// fits `rows`, a table and what of it is so, `?5` being the subject.
#[must_use]
pub fn audit_if(
    rows: &str,
    id: &Id,
    staff_id: &Id,
    (action, subject): (&str, &Id),
    detail: &serde_json::Value,
    now: i64,
) -> Statement {
    Statement::new(
        format!(
            "INSERT INTO audit_entry (id, at, staff_id, action, subject, detail)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM {rows})"
        ),
        vec![
            id.into(),
            now.into(),
            staff_id.into(),
            action.into(),
            subject.into(),
            detail.to_string().into(),
        ],
    )
}

/// What reporting a delivery to WeChat needs.
#[must_use]
pub fn shipping(payment_id: &str) -> Statement {
    sql!(
        "SELECT json_object('payer', p.payer, 'description', p.description, 'paid_at', p.paid_at)
            AS json FROM payment p WHERE p.id = ?1 AND p.payer IS NOT NULL AND p.status = 'paid'",
        payment_id
    )
}

//! The customer's answer to a proposal.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::order::Status;
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::{Assignment, answer_by};

use crate::auth::caller::TokenMember;
use crate::booking::book::OrderAnswer;
use crate::booking::claim::{self, Commit, Operator};
use crate::booking::queries as booking;
use crate::d1::Rows;
use crate::error::{Answer, Code, Problem};
use crate::express::{ExpressState, Known, Proposal, queries};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::Id;
use crate::http::limits::{self, Limiter};
use crate::order::{self, Actor};
use crate::outbox::{self, Claimed, Message};
use crate::payment;
use crate::payment::refund::{self, Refundables};
use crate::reminder;

/// Nothing more is to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalAnswer {}

/// Accept a proposal
///
/// The deposit counts towards its price; what is over goes back.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/proposal/accept", tag = "booking", operation_id = "accept_proposal",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = ProposalAnswer,
    responses((status = 200, description = "It is an appointment", body = OrderAnswer)),
)]
pub(crate) async fn accept(
    ctx: Ctx,
    member: TokenMember,
    PathId(order_id): PathId,
    operation: Operation<ProposalAnswer>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let reads = vec![
        operator.stored(),
        queries::known(&order_id),
        member.check(),
        payment::queries::refundable(&order_id, false),
    ];
    let rows = ctx.db()?.read(reads).await?;
    let member_id = member.checked(&rows, 2)?.id;
    let known = theirs(&rows, &member_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let proposal = open(&ctx, &known)?;
    // What the proposal has written of the projection may be overtaken by now.
    let anew = |one: &Claimed| Claimed { written: Vec::new(), ..one.clone() };
    let claims: Vec<Claimed> = proposal.claims.iter().map(anew).collect();
    let own = claims.first().ok_or_else(|| Problem::internal("a proposal without a claim"))?;
    let line = booking::Line {
        service_id: &proposal.service_id,
        store_id: &known.store_id,
        technician_id: &proposal.technician_id,
        claim_id: &own.spec.id,
        start_at: proposal.start_at,
        end_at: proposal.end_at,
        block_start: own.spec.block.start.ms(),
        block_end: own.spec.block.end.ms(),
        home: None,
        date: proposal.date,
        assignment: Assignment::Assigned,
        answer_by: None,
        add_ons: None,
        guest: None,
    };
    let json = serde_json::to_string(proposal).map_err(Problem::internal)?;
    let stands =
        booking::appointment_stands(&line, &own.spec.id, proposal.max_per_day, Some(&member_id));
    let mut statements = vec![stands];
    statements.extend(queries::set_state(&order_id, known.version, "accepted", None, None));
    statements.push(queries::become_appointment(&order_id, &json, ctx.now));
    statements.push(booking::insert_line(&order_id, proposal.total_fen, &line, &own.spec.id));
    let besides: Vec<_> = claims.iter().skip(1).map(Claimed::row).collect();
    if !besides.is_empty() {
        let besides = serde_json::to_string(&besides).map_err(Problem::internal)?;
        let (line_id, store_id) = (&own.spec.id, &known.store_id);
        statements.extend(booking::insert_line_claims(&order_id, line_id, store_id, &besides));
    }
    let (event_id, actor) = (ctx.new_id()?, Actor::Member(member_id.clone()));
    let detail = serde_json::json!({
        "service_id": line.service_id, "technician_id": line.technician_id, "start_at": line.start_at,
    });
    statements.push(order::queries::insert_event(
        &event_id, &order_id, ctx.now, "accepted", &actor, &detail,
    ));
    let terms = reminder::terms(&ctx, line.service_id, line.store_id).await?;
    statements.extend(terms.follow(&ctx, Change::Booked, &order_id, line.start_at, &actor)?);
    let confirm =
        Message::Confirm { claims: claims.clone(), order_id: Some(order_id.clone()), paid: false };
    let mut outbox_rows = vec![outbox::Row::new(&ctx, confirm)?];
    let refundables: Refundables = rows.one(3)?;
    let over_fen = (refundables.paid_fen() - proposal.total_fen).max(0);
    let (refunds, asked) = refund::wanted(
        &ctx,
        &refund::Wish {
            order_id: &order_id,
            payments: &refundables.payments(),
            amount_fen: over_fen,
            cause: "deposit_over_price",
            reason: "",
            staff_id: None,
        },
    )?;
    statements.extend(refunds);
    outbox_rows.extend(asked);
    let mut view = order::detail_view(&ctx, &order_id).await?;
    view.accepted(proposal, &own.spec.id, over_fen);
    let response =
        serde_json::to_string(&OrderAnswer { order: view }).map_err(Problem::internal)?;
    let commit = Commit { statements, rows: outbox_rows, status: StatusCode::OK, response };
    claim::commit(&ctx, &operator, Vec::new(), commit).await
}

/// Decline a proposal
///
/// Another one is waited for, as long as for the first; whoever wants none cancels the order.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/proposal/decline", tag = "booking", operation_id = "decline_proposal",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = ProposalAnswer,
    responses((status = 200, description = "Declined", body = OrderAnswer)),
)]
pub(crate) async fn decline(
    ctx: Ctx,
    member: TokenMember,
    PathId(order_id): PathId,
    operation: Operation<ProposalAnswer>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let reads = vec![operator.stored(), queries::known(&order_id), member.check()];
    let rows = ctx.db()?.read(reads).await?;
    let member_id = member.checked(&rows, 2)?.id;
    let known = theirs(&rows, &member_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let proposal = open(&ctx, &known)?;
    let claims = proposal.claims.iter();
    let claims = claims.map(|one| (one.calendar.clone(), one.spec.id.clone())).collect();
    let releases = outbox::releases(&ctx, claims)?;
    let due_at = answer_by(ctx.now, known.propose_minutes, known.until_at);
    let mut statements: Vec<_> =
        queries::set_state(&order_id, known.version, "waiting", Some(due_at), None).into();
    statements.push(queries::touch(&order_id, ctx.now));
    let (event_id, actor) = (ctx.new_id()?, Actor::Member(member_id));
    let detail = serde_json::json!({ "answer_by": due_at });
    statements.push(order::queries::insert_event(
        &event_id, &order_id, ctx.now, "declined", &actor, &detail,
    ));
    let mut view = order::detail_view(&ctx, &order_id).await?;
    view.waits_again(due_at);
    let response =
        serde_json::to_string(&OrderAnswer { order: view }).map_err(Problem::internal)?;
    let commit = Commit { statements, rows: releases, status: StatusCode::OK, response };
    claim::commit(&ctx, &operator, Vec::new(), commit).await
}

/// The order, when it is this member's.
fn theirs(rows: &Rows, member_id: &Id) -> Answer<Known> {
    let known: Option<Known> = rows.first(1)?;
    known
        .filter(|known| known.member_id.as_ref() == Some(member_id))
        .ok_or_else(|| Code::NotFound.into())
}

/// The proposal, when it may still be answered.
fn open<'a>(ctx: &Ctx, known: &'a Known) -> Answer<&'a Proposal> {
    let none = || Problem::from(Code::NoProposal);
    let proposal = known.proposal.as_ref().ok_or_else(none)?;
    match (known.state, known.due_at) {
        (ExpressState::Proposed, Some(due_at)) if known.status == Status::Confirmed => {
            if ctx.now < due_at { Ok(proposal) } else { Err(Code::ProposalExpired.into()) }
        }
        (ExpressState::Ended, _) => Err(Code::ProposalExpired.into()),
        _ => Err(none()),
    }
}

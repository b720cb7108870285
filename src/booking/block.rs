//! Time that staff take away from the calendar of a technician, a room or a piece of equipment: the same
//! claim path as a booking's (I2). It is taken whole, of what serves several at a time as well, so it is
//! refused over any appointment.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::calendar::{ClaimKind, ClaimSpec, MAX_BLOCK_TICKS, Refusal};
use zhundian_domain::time::Interval;
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::claim::{self, Commit, Holding, Operator};
use crate::booking::offer::resolve;
use crate::booking::queries;
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{At, Id, Instant, Text};
use crate::outbox::{self, Message};

/// Time to block.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBlock {
    store_id: Id,
    start_at: Instant,
    /// At most 24 hours later.
    end_at: Instant,
    reason: Option<Text<0, 100>>,
}

/// Blocked time.
#[derive(Serialize, ToSchema)]
pub struct Block {
    /// Its id.
    id: String,
    /// Whose time.
    technician_id: Option<Id>,
    /// Or that of which room or piece of equipment.
    resource_id: Option<Id>,
    /// In which store.
    store_id: Id,
    /// From.
    start_at: At,
    /// Until.
    end_at: At,
    /// Why.
    reason: String,
}

/// Block a technician's time
#[utoipa::path(
    post, path = "/api/v1/staff/technicians/{id}/blocks", tag = "staff", operation_id = "block_time",
    params(
        ("id" = Id, Path, description = "The technician"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = NewBlock,
    responses((status = 201, description = "Blocked for everybody, however many the technician serves at a time", body = Block)),
)]
pub(crate) async fn block_time(
    ctx: Ctx,
    staff: Staff,
    PathId(technician_id): PathId,
    operation: Operation<NewBlock>,
) -> Answer<Response> {
    block(ctx, staff, Whose::Technician(technician_id), operation).await
}

/// Block the time of a room or a piece of equipment
#[utoipa::path(
    post, path = "/api/v1/staff/resources/{id}/blocks", tag = "staff", operation_id = "block_resource",
    params(
        ("id" = Id, Path, description = "The room or piece of equipment"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = NewBlock,
    responses((status = 201, description = "Blocked for everybody, however many it has room for", body = Block)),
)]
pub(crate) async fn block_resource(
    ctx: Ctx,
    staff: Staff,
    PathId(resource_id): PathId,
    operation: Operation<NewBlock>,
) -> Answer<Response> {
    block(ctx, staff, Whose::Resource(resource_id), operation).await
}

/// Whose time is blocked.
enum Whose {
    Technician(Id),
    Resource(Id),
}

impl Whose {
    fn of(technician_id: Option<Id>, resource_id: Option<Id>) -> Answer<Self> {
        technician_id
            .map(Self::Technician)
            .or(resource_id.map(Self::Resource))
            .ok_or_else(|| Problem::internal("a block of nothing"))
    }

    /// The technician, or the room or piece of equipment.
    const fn ids(&self) -> (Option<&Id>, Option<&Id>) {
        match self {
            Self::Technician(id) => (Some(id), None),
            Self::Resource(id) => (None, Some(id)),
        }
    }

    fn calendar(&self) -> String {
        match self {
            Self::Technician(id) => calendars::technician(id),
            Self::Resource(id) => calendars::room(id),
        }
    }

    fn in_store(&self, store_id: &Id) -> Statement {
        match self {
            Self::Technician(id) => queries::technician_in_store(id, store_id),
            Self::Resource(id) => queries::resource_in_store(id, store_id),
        }
    }

    /// One's own time needs less than somebody else's.
    fn require(&self, staff: &Staff, store_id: &Id) -> Answer<()> {
        let own = matches!(self, Self::Technician(id) if staff.technician_id.as_ref() == Some(id));
        let permission = if own { Permission::CalendarBlockOwn } else { Permission::CalendarBlock };
        staff.require(permission, store_id)
    }
}

async fn block(
    ctx: Ctx,
    staff: Staff,
    whose: Whose,
    operation: Operation<NewBlock>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let wish = operation.body;
    whose.require(&staff, &wish.store_id)?;
    let reads = vec![operator.stored(), whose.in_store(&wish.store_id)];
    let rows = ctx.db()?.read(reads).await?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let zone: Zone = rows.first(1)?.ok_or_else(|| Problem::from(Code::NotFound))?;
    let at =
        |instant, field: &str| resolve(zone, instant).map_err(|code| Problem::from(code).at(field));
    let (start, end) = (at(wish.start_at, "start_at")?, at(wish.end_at, "end_at")?);
    let interval = Interval::new(start, end)
        .filter(|interval| interval.ticks() <= MAX_BLOCK_TICKS)
        .ok_or_else(|| Problem::from(Code::InvalidRange).at("end_at"))?;
    if end.ms() <= ctx.now {
        return Err(Problem::from(Code::StartInPast).at("end_at"));
    }
    let spec = ClaimSpec {
        id: ctx.new_id()?.to_string(),
        op: operator.op(),
        store_id: wish.store_id.to_string(),
        kind: ClaimKind::Block,
        service: interval,
        block: interval,
        // Not looked at: a block takes all there is.
        quantity: 1,
        replaces: Vec::new(),
        home: None,
    };
    let calendar = whose.calendar();
    let held = match claim::hold(&ctx, &calendar, &spec, claim::HOLD_MS).await? {
        Holding::Held(held) => held,
        Holding::Refused(Refusal::Taken, _) => {
            return Err(Problem::from(Code::SlotTaken).at("start_at"));
        }
        Holding::Refused(refusal, _) => {
            return Err(Problem::internal(format!("a block was refused: {refusal:?}")));
        }
    };
    let spec = held.claim.spec.clone();
    let reason = wish.reason.unwrap_or_default();
    let (technician_id, resource_id) = whose.ids();
    let view = Block {
        id: spec.id.clone(),
        technician_id: technician_id.cloned(),
        resource_id: resource_id.cloned(),
        store_id: wish.store_id.clone(),
        start_at: At::new(zone, start.ms()),
        end_at: At::new(zone, end.ms()),
        reason: reason.as_str().to_owned(),
    };
    let response = serde_json::to_string(&view).map_err(Problem::internal)?;
    let message = Message::Confirm { claims: vec![held.claimed()], order_id: None, paid: false };
    let row = outbox::Row::new(&ctx, message)?;
    let statements = vec![queries::insert_block(
        &spec.id,
        whose.ids(),
        &wish.store_id,
        (start.ms(), end.ms()),
        reason.as_str(),
        &staff.id,
        ctx.now,
    )];
    let commit = Commit { statements, rows: vec![row], status: StatusCode::CREATED, response };
    claim::commit(&ctx, &operator, vec![held], commit).await
}

/// Unblock time
#[utoipa::path(
    delete, path = "/api/v1/staff/blocks/{id}", tag = "staff", operation_id = "remove_block",
    params(("id" = Id, Path, description = "The block")),
    responses((status = 204, description = "It is gone, or was before")),
)]
pub(crate) async fn remove_block(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<StatusCode> {
    #[derive(Deserialize)]
    struct Known {
        technician_id: Option<Id>,
        resource_id: Option<Id>,
        store_id: Id,
        status: String,
    }
    let db = ctx.db()?;
    let known: Option<Known> = db.first(queries::block(&id)).await?;
    let known = known.ok_or_else(|| Problem::from(Code::NotFound))?;
    let whose = Whose::of(known.technician_id, known.resource_id)?;
    whose.require(&staff, &known.store_id)?;
    if known.status == "live" {
        let calendar = whose.calendar();
        let row = outbox::Row::new(&ctx, Message::Release { calendar, claim_id: id.to_string() })?;
        db.batch(vec![queries::remove_block(&id), row.insert(&ctx)?]).await?;
        outbox::deliver_soon(&ctx, vec![row]).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

//! Answering the form of a line's service after the booking: by the member until the visit begins, by staff
//! until it ends.

use serde::Deserialize;
use zhundian_domain::intake::Form;
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::extras::answers::LineIntake;
use crate::extras::queries;
use crate::extras::seen::AnsweredIntake;
use crate::http::extract::{Body, PathId};
use crate::http::fields::Id;
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::order::Actor;

#[derive(Deserialize)]
struct ToFill {
    member_id: Option<Id>,
    store_id: Id,
    start_at: i64,
    time_zone: Zone,
    /// With what their services ask.
    lines: Vec<(Id, Option<Form>)>,
}

impl ToFill {
    /// The line that is answered for: the one that is named, or the only one that asks something.
    fn line(&self, named: Option<&Id>) -> Answer<&(Id, Option<Form>)> {
        if let Some(named) = named {
            let line = self.lines.iter().find(|(id, _)| id == named);
            return line.ok_or_else(|| Code::NotFound.into());
        }
        let mut asking = self.lines.iter().filter(|(_, form)| form.is_some());
        match (asking.next(), asking.next()) {
            (None, _) => Err(Code::IntakeNotAsked.into()),
            (Some(line), None) => Ok(line),
            _ => Err(Problem::from(Code::MissingField).at("line_id")),
        }
    }
}

/// Answer what a service asks
///
/// For one line of the order, before the visit, in place of what was answered before.
#[utoipa::path(
    put, path = "/api/v1/orders/{id}/intake", tag = "orders", operation_id = "put_intake",
    params(("id" = Id, Path, description = "The order")), request_body = LineIntake,
    responses((status = 200, description = "Kept", body = AnsweredIntake)),
)]
pub(crate) async fn fill_as_member(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
    Body(intake): Body<LineIntake>,
) -> Answer<Json<AnsweredIntake>> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let known = read(&ctx, &id).await?;
    if known.member_id.as_ref() != Some(&member.id) {
        return Err(Code::NotFound.into());
    }
    if ctx.now >= known.start_at {
        return Err(Code::TooLate.into());
    }
    fill(&ctx, &id, known, intake, &Actor::Member(member.id)).await
}

/// Answer for a customer what a service asks
///
/// For one line of the order, until the visit is over, in place of what was answered before.
#[utoipa::path(
    put, path = "/api/v1/staff/orders/{id}/intake", tag = "orders", operation_id = "staff_put_intake",
    params(("id" = Id, Path, description = "The order")), request_body = LineIntake,
    responses((status = 200, description = "Kept", body = AnsweredIntake)),
)]
pub(crate) async fn fill_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(intake): Body<LineIntake>,
) -> Answer<Json<AnsweredIntake>> {
    let known = read(&ctx, &id).await?;
    staff.require(Permission::BookingWrite, &known.store_id)?;
    fill(&ctx, &id, known, intake, &Actor::Staff(staff.id)).await
}

async fn read(ctx: &Ctx, id: &Id) -> Answer<ToFill> {
    let known: Option<ToFill> = ctx.db()?.first(queries::to_fill(id)).await?;
    known.ok_or_else(|| Code::NotFound.into())
}

async fn fill(
    ctx: &Ctx,
    id: &Id,
    known: ToFill,
    intake: LineIntake,
    actor: &Actor,
) -> Answer<Json<AnsweredIntake>> {
    let (named, intake) = intake.into_parts();
    let (line_id, form) = known.line(named.as_ref())?;
    let answered = intake.checked(form.as_ref(), "")?;
    let mut statements = vec![queries::is_open(id)];
    statements.extend(queries::put_intake(line_id.as_str(), &answered, actor, ctx.now)?);
    ctx.db()?.batch(statements).await?;
    Ok(Json(AnsweredIntake::of(answered, known.time_zone, actor, ctx.now)))
}

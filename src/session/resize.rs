//! More seats or fewer. The calendar is asked first, because it alone knows of seats that are held at this
//! moment; a booking that runs beside the change is refused by the session's version.

use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_durable_objects::calls::{SetWindows, SetWindowsReply, WindowEdit};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::catalog::windows;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId};
use crate::http::fields::{Id, Int};
use crate::http::{Ctx, Json};
use crate::outbox::{self, Message, Row};
use crate::session::find::{self, ManagedSession};
use crate::session::{SeatCount, SessionStatus, queries};

/// How many seats a session is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeSession {
    /// Not fewer than are booked.
    capacity: SeatCount,
    /// The session's version.
    version: Int<1, 1_000_000_000>,
}

/// Change the seats of a session
#[utoipa::path(
    put, path = "/api/v1/admin/sessions/{id}", tag = "classes", operation_id = "resize_session",
    params(("id" = Id, Path, description = "The session")), request_body = ResizeSession,
    responses((status = 200, description = "Changed", body = ManagedSession)),
)]
pub(crate) async fn resize(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ResizeSession>,
) -> Answer<Json<ManagedSession>> {
    let session = find::row(&ctx, &id).await?;
    staff.require(Permission::ScheduleWrite, &session.store_id)?;
    if session.status == SessionStatus::Cancelled {
        return Err(Code::SessionCancelled.into());
    }
    if session.version != body.version.get() {
        return Err(Code::SessionChanged.into());
    }
    let seats = body.capacity.get();
    if let Some(most) = session.room.map(|room| room.capacity).filter(|most| seats > *most) {
        return Err(Problem::from(Code::SeatsOverCapacity).with(most).at("capacity"));
    }
    let calendar = calendars::session(&id);
    let capacity = WindowEdit::Capacity(u16::try_from(seats).unwrap_or(u16::MAX));
    let call = SetWindows { edits: vec![capacity], keep_appointments: false, dry_run: false };
    match ctx.calendars().call(&calendar, &call).await? {
        SetWindowsReply::Set { .. } => {}
        SetWindowsReply::Stranded { .. } => {
            return Err(Problem::from(Code::SeatsBooked).at("capacity"));
        }
        refused @ SetWindowsReply::TooMany { .. } => {
            return Err(Problem::internal(format!("{calendar}: {refused:?}")));
        }
    }
    let row = Row::new(&ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    let mut statements: Vec<_> = queries::resize(&id, body.version.get(), seats, ctx.now).into();
    statements.push(row.insert(&ctx)?);
    if let Err(error) = ctx.db()?.batch(statements).await {
        // What D1 says holds; the audit would bring it about, too.
        windows::sync(&ctx, &calendar).await?;
        return Err(error.into());
    }
    outbox::deliver_soon(&ctx, vec![row]).await;
    Ok(Json(find::row(&ctx, &id).await?.into()))
}

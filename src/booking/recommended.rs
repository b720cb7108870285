//! `GET /api/v1/availability/recommended`: of the free starts, the three that suit best. The same read as
//! availability and the member's last visits beside it, in one batch.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::recommendation::{self, Asked as Rules, Visit, recommend};
use zhundian_domain::time::{Bits, dates_interval};

use crate::auth::caller::TokenMember;
use crate::booking::offer::{Known, Row, days_around};
use crate::booking::queries::{self, Asked, Detail};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Query;
use crate::http::fields::{At, Date, Id, Int};
use crate::http::{Ctx, Json};

/// Which starts to choose from.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The store.
    #[param(inline)]
    store_id: Id,
    /// The service.
    #[param(inline)]
    service_id: Id,
    /// A technician; any who can do it when absent.
    #[param(inline)]
    technician_id: Option<Id>,
    /// First date, on the store's clock.
    #[param(inline)]
    from: Date,
    /// How many dates.
    #[param(inline)]
    days: Int<1, 31>,
}

/// The starts that suit best.
#[derive(Serialize, ToSchema)]
pub struct RecommendedStarts {
    /// The best first, three at most.
    items: Vec<RecommendedStart>,
}

/// A free start that suits.
#[derive(Serialize, ToSchema)]
pub struct RecommendedStart {
    /// When the service starts.
    start_at: At,
    /// Who can do it then: whom the member knows first.
    technician_ids: Vec<Id>,
    /// Why it is recommended.
    reason: Reason,
}

/// Why a start is recommended.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The weekday, the hour or the technician of the member's last visits.
    Habit,
    /// It fills an idle gap of a technician.
    FillsGap,
    /// The store is quiet then.
    Quiet,
}

/// The free starts that suit best
///
/// What is recommended here, availability offers (I7).
#[utoipa::path(
    get, path = "/api/v1/availability/recommended", tag = "booking", operation_id = "recommended",
    params(Wanted),
    responses((status = 200, description = "Three at most", body = RecommendedStarts)),
)]
pub(crate) async fn recommended(
    ctx: Ctx,
    member: TokenMember,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<RecommendedStarts>> {
    let days = u32::try_from(wanted.days.get()).unwrap_or(1);
    let from = wanted.from.0;
    let until = from.checked_add_days(chrono::Days::new(u64::from(days))).unwrap_or(from);
    let asked = Asked::Service {
        service_id: &wanted.service_id,
        store_id: &wanted.store_id,
        technician_id: wanted.technician_id.as_ref(),
    };
    let reads = vec![
        queries::offer(&asked, from, until, Detail::Starts),
        queries::last_visits(&member.id),
        member.check(),
    ];
    let rows = ctx.db()?.read(reads).await?;
    member.checked(&rows, 2)?;
    let offer = rows.one::<Row>(0)?.into_offer()?;
    if wanted.technician_id.is_some() && offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    let zone = offer.store.time_zone;
    let range = dates_interval(zone, from, days)
        .ok_or_else(|| Problem::from(Code::InvalidDate).at("from"))?;
    let mut allowed = offer.allowed(ctx.now, range, false);
    if !offer.is_open() {
        allowed = Bits::none(range);
    }
    let around = days_around(range);
    let known = Known { store_id: &offer.store.id, fresh: &[] };
    offer.keep_with_resources(&mut allowed, around, known);
    let shape = offer.shape();
    let technicians: Vec<(Bits, Bits)> = offer
        .technicians
        .iter()
        .map(|one| {
            let free = one.free(around);
            let starts = shape.attended_starts(&free);
            (free, starts)
        })
        .collect();
    let visits: Vec<(i64, Id)> = rows.one(1)?;
    let index = |id: &Id| offer.technicians.iter().position(|one| one.id() == id);
    let visits: Vec<Visit> = visits
        .iter()
        .map(|(start_at, id)| Visit { start_at: *start_at, technician: index(id) })
        .collect();
    let best = recommend(&Rules {
        zone,
        shape,
        allowed: &allowed,
        technicians: &technicians,
        visits: &visits,
    });
    let id = |one: &usize| offer.technicians.get(*one).map(|one| one.id().clone());
    let items = best.into_iter().map(|one| RecommendedStart {
        start_at: At::new(zone, one.start.ms()),
        technician_ids: one.technicians.iter().filter_map(id).collect(),
        reason: match one.reason {
            recommendation::Reason::Habit => Reason::Habit,
            recommendation::Reason::FillsGap => Reason::FillsGap,
            recommendation::Reason::Quiet => Reason::Quiet,
        },
    });
    Ok(Json(RecommendedStarts { items: items.collect() }))
}

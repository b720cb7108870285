//! Services: what is booked, where, by whom and for how much.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::availability::{MAX_BUFFER_MINUTES, MAX_DAYS_AHEAD, MAX_SERVICE_MINUTES};
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::intake::Form;
use zhundian_domain::reminder::{LEADS, MAX_LEAD_MINUTES, MAX_LEADS, MIN_LEAD_MINUTES};

use super::fields::{
    Cancellation, CancellationTier, Deposit, GridMinutes, LevelPrices, PhotoIds, Set, Skills, tiers,
};
use super::queries;
use super::record::{
    self, AtVersion, Cursor, Limit, ListQuery, Record, Refs, Table, after, document,
};
use super::resources::ResourceType;
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::extras::form::IntakeForm;
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Fen, Id, Int, List, LongText, Name, Text};
use crate::http::page::Page;
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::plan::feature;

/// Minutes of notice, at most: thirty days.
const MAX_NOTICE_MINUTES: i64 = 30 * 24 * 60;

/// Minutes by which an add-on lengthens a service, at most.
const MAX_ADD_ON_MINUTES: i64 = 240;

/// Where a service is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the store.
    Store,
    /// At the customer's home.
    Home,
}

/// How a service is booked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 指派: service and time; the merchant assigns the technician.
    Assigned,
    /// 直约: technician, service and time.
    Direct,
    /// 快速预约: a category and wishes; staff arranges.
    Express,
    /// 服务计划: only staff make it. Cannot be given or taken away once the service is saved.
    Plan,
    /// 团课: seats in the sessions of a timetable.
    Group,
}

impl Mode {
    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Direct => "direct",
            Self::Express => "express",
            Self::Plan => "plan",
            Self::Group => "group",
        }
    }
}

/// Whether something can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It can.
    Active,
    /// Not any more.
    Retired,
}

/// A step of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is done.
    pub name: Name,
    /// How long it takes.
    pub minutes: Int<1, 720>,
}

/// How long a service takes.
type ServiceMinutes = GridMinutes<5, MAX_SERVICE_MINUTES>;
/// Before or after it.
type BufferMinutes = GridMinutes<0, MAX_BUFFER_MINUTES>;
/// Notice that is asked for.
type NoticeMinutes = Int<0, MAX_NOTICE_MINUTES>;
type DaysAhead = Int<1, MAX_DAYS_AHEAD>;
type Steps = List<Step, 20>;
type Places = Set<Place, 2, 1>;
type Modes = Set<Mode, 5, 1>;
type OfferedIn = Set<Id, 200, 1>;
type Named = Set<Id, 200>;
/// Before the visit.
type ReminderMinutes = Set<Int<MIN_LEAD_MINUTES, MAX_LEAD_MINUTES>, MAX_LEADS>;

fn leads() -> ReminderMinutes {
    Set(vec![Int::of::<{ LEADS[0] }>(), Int::of::<{ LEADS[1] }>()])
}

/// A room or a piece of equipment that a service takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Needed {
    /// Any of this type in the store.
    pub r#type: ResourceType,
    /// This one alone, which is of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Id>,
}

type Resources = List<Needed, 4>;

/// What a customer may take with a service, as it is given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenAddOn {
    /// Of one that the service has already; a new one gets its id from us.
    #[serde(default)]
    pub id: Option<Id>,
    /// What it is called.
    pub name: Name,
    /// By how much it lengthens the service.
    pub minutes: AddOnMinutes,
    /// What it costs.
    pub price_fen: Fen,
}

/// What a customer may take with a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AddOn {
    /// Its id.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// By how much it lengthens the service.
    pub minutes: i64,
    /// What it costs, in fen.
    pub price_fen: i64,
}

type AddOns = List<GivenAddOn, 20>;
/// By how much an add-on lengthens a service.
type AddOnMinutes = GridMinutes<0, MAX_ADD_ON_MINUTES>;

/// Time within a service in which its technician is free; begins and ends within the service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Processing {
    /// From the start of the service on.
    pub after_minutes: ServiceMinutes,
    /// How long.
    pub minutes: ServiceMinutes,
}

document! {
    /// A service.
    NewService, ChangedService {
        /// Under which customers find it.
        category: Text<1, 32>,
        /// 1 to 64 characters.
        name: Name,
        /// In several lines.
        #[serde(default)]
        description: LongText,
        /// In order.
        #[serde(default)]
        steps: Steps,
        /// Ids of photos.
        #[serde(default)]
        photos: PhotoIds,
        /// As the customer sees it.
        duration_minutes: ServiceMinutes,
        /// Taken before the service.
        #[serde(default = "GridMinutes::of::<0>")]
        buffer_before_minutes: BufferMinutes,
        /// Taken after the service.
        #[serde(default = "GridMinutes::of::<0>")]
        buffer_after_minutes: BufferMinutes,
        /// For a technician of a level that has no price of its own.
        price_fen: Fen,
        /// For the others.
        #[serde(default)]
        level_prices: LevelPrices,
        /// What must be paid before the visit.
        deposit: Deposit,
        /// Where it is done.
        places: Places,
        /// How it is booked.
        modes: Modes,
        /// Least minutes from the booking to the start.
        #[serde(default = "Int::of::<60>")]
        min_notice_minutes: NoticeMinutes,
        /// Most days from the booking to the start.
        #[serde(default = "Int::of::<30>")]
        max_days_ahead: DaysAhead,
        /// Most appointments a store and date; null for no limit.
        #[serde(default)]
        max_per_day: Option<Int<1, 1000>>,
        /// Least minutes before the start for a member to cancel or move.
        #[serde(default = "Int::of::<120>")]
        change_notice_minutes: NoticeMinutes,
        /// How often a member may move an appointment; null for no limit.
        #[serde(default)]
        max_moves: Option<Int<0, 100>>,
        /// What comes back when a member cancels: the earliest tier first, each later and with less to
        /// come back than the one before; nothing after the last one. The store's when it is null.
        #[serde(default)]
        cancellation: Option<Cancellation>,
        /// Minutes before the visit at which customer and technician are reminded; none when it is empty.
        #[serde(default = "leads")]
        reminder_minutes: ReminderMinutes,
        /// What it takes besides a technician: at most one of each type.
        #[serde(default)]
        resources: Resources,
        /// When the treatment works by itself and the technician is free for somebody else.
        #[serde(default)]
        processing: Option<Processing>,
        /// What customers may take with it.
        #[serde(default)]
        add_ons: AddOns,
        /// What it asks its customers before the visit.
        #[serde(default)]
        intake: Option<IntakeForm>,
        /// Where it is offered.
        stores: OfferedIn,
        /// What a technician must know; of no account when `technicians` names any.
        #[serde(default)]
        skills: Skills,
        /// Who alone does it; when empty, all who have the skills.
        #[serde(default)]
        technicians: Named,
    }
}

impl NewService {
    fn refs(&self) -> Vec<Refs> {
        let named = self.resources.0.iter().enumerate().filter_map(|(at, needed)| {
            needed.resource_id.clone().map(|id| (format!("resources[{at}].resource_id"), id))
        });
        vec![
            Refs::list(Table::Store, "stores", &self.stores.0),
            Refs::list(Table::Technician, "technicians", &self.technicians.0),
            Refs::list(Table::Photo, "photos", &self.photos.0),
            Refs::new(Table::Resource, named),
        ]
    }

    /// The add-ons with their ids: those that the service has already keep theirs.
    fn add_ons(&self, ctx: &Ctx, current: &[AddOn]) -> Answer<Vec<AddOn>> {
        let mut all: Vec<AddOn> = Vec::new();
        for (at, given) in self.add_ons.0.iter().enumerate() {
            let refused = |code: Code| Problem::from(code).at(format!("add_ons[{at}].id"));
            let id = match &given.id {
                Some(id) if !current.iter().any(|one| one.id == *id) => {
                    return Err(refused(Code::UnknownAddOn));
                }
                Some(id) if all.iter().any(|one| one.id == *id) => {
                    return Err(refused(Code::DuplicateItem));
                }
                Some(id) => id.clone(),
                None => ctx.new_id()?,
            };
            let name = given.name.as_str().to_owned();
            let (minutes, price_fen) = (given.minutes.get(), given.price_fen.get());
            all.push(AddOn { id, name, minutes, price_fen });
        }
        Ok(all)
    }

    /// `before` is the service as it was.
    fn statements(&self, ctx: &Ctx, id: &Id, before: Option<&Service>) -> Answer<Vec<Statement>> {
        let version = before.map_or(1, |service| service.version + 1);
        let form = before.and_then(|service| service.intake.as_ref());
        let intake = match &self.intake {
            Some(intake) => intake.form(form, version)?,
            None => None,
        };
        let current = before.map_or(&[][..], |service| &service.add_ons);
        if let Deposit::Fixed { fen } = self.deposit
            && fen.get() > self.price_fen.get()
        {
            let range = format!("1..{}", self.price_fen.get());
            return Err(Problem::from(Code::OutOfRange).with(range).at("deposit.fen"));
        }
        let mut types = std::collections::BTreeSet::new();
        for (at, needed) in self.resources.0.iter().enumerate() {
            if !types.insert(needed.r#type.as_str()) {
                return Err(Problem::from(Code::DuplicateItem).at(format!("resources[{at}].type")));
            }
        }
        if let Some(processing) = &self.processing
            && processing.after_minutes.get() + processing.minutes.get()
                >= self.duration_minutes.get()
        {
            let range = format!("5..{}", self.duration_minutes.get() - 10);
            return Err(Problem::from(Code::OutOfRange).with(range).at("processing.minutes"));
        }
        let cancellation = self.cancellation.as_ref().map(|list| tiers(list, "cancellation"));
        let document = serde_json::json!({
            "category": self.category,
            "name": self.name,
            "description": self.description,
            "steps": self.steps,
            "photos": self.photos,
            "duration_minutes": self.duration_minutes,
            "buffer_before_minutes": self.buffer_before_minutes,
            "buffer_after_minutes": self.buffer_after_minutes,
            "price_fen": self.price_fen,
            "level_prices": self.level_prices.0,
            "deposit": self.deposit,
            "places": self.places,
            "modes": self.modes,
            "min_notice_minutes": self.min_notice_minutes,
            "max_days_ahead": self.max_days_ahead,
            "max_per_day": self.max_per_day,
            "change_notice_minutes": self.change_notice_minutes,
            "max_moves": self.max_moves,
            "cancellation": cancellation.transpose()?,
            "reminder_minutes": self.reminder_minutes,
            "resources": self.resources,
            "processing": self.processing,
            "intake": intake,
            "add_ons": self.add_ons(ctx, current)?,
            "stores": self.stores,
            "skills": self.skills,
            "technicians": self.technicians,
        });
        Ok(queries::put_service(id, &document.to_string(), ctx.now))
    }
}

/// A service as the merchant sees it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its id.
    pub id: Id,
    /// Under which customers find it.
    pub category: String,
    /// Its name.
    pub name: String,
    /// In several lines.
    pub description: String,
    /// In order.
    pub steps: Vec<Step>,
    /// Ids of photos.
    pub photos: Vec<Id>,
    /// As the customer sees it.
    pub duration_minutes: i64,
    /// Taken before the service.
    pub buffer_before_minutes: i64,
    /// Taken after the service.
    pub buffer_after_minutes: i64,
    /// For a technician of a level that has no price of its own.
    pub price_fen: i64,
    /// For the others.
    #[serde(deserialize_with = "LevelPrices::from_row")]
    pub level_prices: LevelPrices,
    /// What must be paid before the visit.
    pub deposit: Deposit,
    /// Where it is done.
    pub places: Vec<Place>,
    /// How it is booked.
    pub modes: Vec<Mode>,
    /// Least minutes from the booking to the start.
    pub min_notice_minutes: i64,
    /// Most days from the booking to the start.
    pub max_days_ahead: i64,
    /// Most appointments a store and date; null for no limit.
    pub max_per_day: Option<i64>,
    /// Least minutes before the start for a member to cancel or move.
    pub change_notice_minutes: i64,
    /// How often a member may move an appointment; null for no limit.
    pub max_moves: Option<i64>,
    /// What comes back when a member cancels; null when it is the store's.
    #[schema(value_type = Option<Vec<CancellationTier>>)]
    pub cancellation: Option<Tiers>,
    /// Minutes before the visit at which customer and technician are reminded.
    pub reminder_minutes: Vec<i64>,
    /// What it takes besides a technician.
    pub resources: Vec<Needed>,
    /// When the technician is free within it.
    pub processing: Option<Processing>,
    /// What customers may take with it.
    pub add_ons: Vec<AddOn>,
    /// What it asks its customers before the visit.
    #[schema(value_type = Option<IntakeForm>)]
    pub intake: Option<Form>,
    /// Where it is offered; stores that are retired are left out.
    pub stores: Vec<Id>,
    /// What a technician must know.
    pub skills: Vec<String>,
    /// Who alone does it; when empty, all who have the skills.
    pub technicians: Vec<Id>,
    /// Whether it can be booked.
    pub status: Status,
    /// Grows with each change.
    pub version: i64,
}

impl Record for Service {
    const TABLE: Table = Table::Service;

    fn version(&self) -> i64 {
        self.version
    }

    fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }
}

/// Services, retired ones among them
#[utoipa::path(
    get, path = "/api/v1/admin/services", tag = "catalog", operation_id = "admin_list_services",
    params(ListQuery),
    responses((status = 200, description = "By category and name, within the caller's stores", body = Page<Service>)),
)]
pub async fn admin_list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Page<Service>>> {
    let scope = staff.scope(Permission::CatalogRead).json();
    let limit = query.limit.get();
    let statement = queries::list_services(scope, after(query.cursor.as_ref())?, limit + 1);
    let services = ctx.db()?.read(vec![statement]).await?.all::<Service>(0)?;
    let key = |it: &Service| (it.category.clone(), it.name.clone(), it.id.clone());
    Ok(Json(Page::of(services, limit as u32, key)))
}

/// A new service
#[utoipa::path(
    post, path = "/api/v1/admin/services", tag = "catalog", operation_id = "create_service",
    request_body = NewService,
    responses((status = 201, description = "Created", body = Service)),
)]
pub async fn create(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<NewService>,
) -> Answer<Created<Service>> {
    staff.require_each(Permission::CatalogWrite, &body.stores.0)?;
    require_modes(&ctx, &body.modes).await?;
    let id = ctx.new_id()?;
    let statements = body.statements(&ctx, &id, None)?;
    record::write(&ctx, &id, None, body.refs(), statements).await.map(Created)
}

/// A service of mode plan is booked by making a plan and in no other way; while plans are off there is no
/// such mode.
async fn require_modes(ctx: &Ctx, modes: &Modes) -> Answer<()> {
    if !modes.0.contains(&Mode::Plan) {
        return Ok(());
    }
    let rows = ctx.db()?.read(vec![feature::is_on()]).await?;
    feature::require_on(&rows, 0).map_err(|_| {
        Problem::from(Code::UnknownValue).with("assigned, direct, express").at("modes")
    })?;
    if modes.0.len() > 1 { Err(Problem::from(Code::ModeAlone).at("modes")) } else { Ok(()) }
}

/// A service
#[utoipa::path(
    get, path = "/api/v1/admin/services/{id}", tag = "catalog", operation_id = "admin_get_service",
    params(("id" = Id, Path, description = "The service")),
    responses((status = 200, description = "As it is", body = Service)),
)]
pub async fn admin_get(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Service>> {
    let service: Service = record::load(&ctx, &id).await?;
    record::require_in_any(&staff, Permission::CatalogRead, &service.stores)?;
    Ok(Json(service))
}

/// Change a service
#[utoipa::path(
    put, path = "/api/v1/admin/services/{id}", tag = "catalog", operation_id = "change_service",
    params(("id" = Id, Path, description = "The service")),
    request_body = ChangedService,
    responses((status = 200, description = "Changed", body = Service)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedService>,
) -> Answer<Json<Service>> {
    let (version, body) = body.split();
    let current: Service = record::load(&ctx, &id).await?;
    record::require_in_each(&staff, Permission::CatalogWrite, &current.stores)?;
    staff.require_each(Permission::CatalogWrite, &body.stores.0)?;
    record::require_fresh(&current, version)?;
    if current.modes.contains(&Mode::Plan) != body.modes.0.contains(&Mode::Plan) {
        return Err(Problem::from(Code::ModeFixed).at("modes"));
    }
    require_modes(&ctx, &body.modes).await?;
    let statements = body.statements(&ctx, &id, Some(&current))?;
    record::write(&ctx, &id, Some(version), body.refs(), statements).await.map(Json)
}

/// Retire a service
#[utoipa::path(
    post, path = "/api/v1/admin/services/{id}/retire", tag = "catalog", operation_id = "retire_service",
    params(("id" = Id, Path, description = "The service")),
    request_body = AtVersion,
    responses((status = 200, description = "Retired", body = Service)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AtVersion>,
) -> Answer<Json<Service>> {
    let current: Service = record::load(&ctx, &id).await?;
    record::require_in_each(&staff, Permission::CatalogWrite, &current.stores)?;
    record::retire(&ctx, &id, body.version.get(), Vec::new()).await.map(Json)
}

/// A service as customers see it.
#[derive(Serialize, ToSchema)]
pub struct PublicService {
    /// Its id.
    pub id: Id,
    /// For grouping.
    pub category: String,
    /// Its name.
    pub name: String,
    /// In several lines.
    pub description: String,
    /// In order.
    pub steps: Vec<Step>,
    /// Ids of photos.
    pub photos: Vec<Id>,
    /// How long it takes.
    pub duration_minutes: i64,
    /// For a technician of a level that has no price of its own.
    pub price_fen: i64,
    /// For the others.
    pub level_prices: LevelPrices,
    /// What must be paid before the visit.
    pub deposit: Deposit,
    /// Where it is done.
    pub places: Vec<Place>,
    /// How it is booked.
    pub modes: Vec<Mode>,
    /// Least minutes from the booking to the start.
    pub min_notice_minutes: i64,
    /// Most days from the booking to the start.
    pub max_days_ahead: i64,
    /// Least minutes before the start to cancel or move.
    pub change_notice_minutes: i64,
    /// How often an appointment may be moved; null for no limit.
    pub max_moves: Option<i64>,
    /// What comes back when it is cancelled: the earliest tier first; nothing after the last one. Null
    /// when it is the store's, and no store was asked for.
    #[schema(value_type = Option<Vec<CancellationTier>>)]
    pub cancellation: Option<Tiers>,
    /// What may be taken with it.
    pub add_ons: Vec<AddOn>,
    /// What it asks before the visit: answered with the booking, or later where that is allowed.
    #[schema(value_type = Option<IntakeForm>)]
    pub intake: Option<Form>,
    /// Where it is offered.
    pub stores: Vec<Id>,
}

impl PublicService {
    /// A service as [`queries::services`] reads it: in a store, when one was asked for.
    fn of(it: Service, store: Option<&Id>) -> Self {
        Self {
            id: it.id,
            category: it.category,
            name: it.name,
            description: it.description,
            steps: it.steps,
            photos: it.photos,
            duration_minutes: it.duration_minutes,
            price_fen: it.price_fen,
            level_prices: it.level_prices,
            deposit: it.deposit,
            places: it.places,
            modes: it.modes,
            min_notice_minutes: it.min_notice_minutes,
            max_days_ahead: it.max_days_ahead,
            change_notice_minutes: it.change_notice_minutes,
            max_moves: it.max_moves,
            // Where neither says anything, everything comes back.
            cancellation: it.cancellation.or_else(|| store.map(|_| Tiers::default())),
            intake: it.intake,
            add_ons: it.add_ons,
            stores: it.stores,
        }
    }
}

/// Which services.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindServices {
    /// Offered in this store.
    #[serde(default)]
    #[param(inline)]
    store_id: Option<Id>,
    /// Of this category.
    #[serde(default)]
    #[param(inline)]
    category: Option<Text<1, 32>>,
    /// Items in the page.
    #[serde(default = "Int::of::<20>")]
    #[param(inline)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[serde(default)]
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// Services
#[utoipa::path(
    get, path = "/api/v1/services", tag = "catalog", operation_id = "list_services",
    params(FindServices),
    responses((status = 200, description = "By category and name", body = Page<PublicService>)),
)]
pub async fn list(
    ctx: Ctx,
    Query(query): Query<FindServices>,
) -> Answer<Json<Page<PublicService>>> {
    let limit = query.limit.get();
    let category = query.category.as_ref().map(Text::as_str);
    let after = after(query.cursor.as_ref())?;
    let statement = queries::services(query.store_id.as_ref(), category, after, limit + 1);
    let services = ctx.db()?.read(vec![statement]).await?.all::<Service>(0)?;
    let store = query.store_id.as_ref();
    let services = services.into_iter().map(|it| PublicService::of(it, store)).collect();
    let key = |it: &PublicService| (it.category.clone(), it.name.clone(), it.id.clone());
    Ok(Json(Page::of(services, limit as u32, key)))
}

/// In which store a service is looked at.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InStore {
    /// As it is offered in this store.
    #[serde(default)]
    #[param(inline)]
    store_id: Option<Id>,
}

/// A service
#[utoipa::path(
    get, path = "/api/v1/services/{id}", tag = "catalog", operation_id = "get_service",
    params(("id" = Id, Path, description = "The service"), InStore),
    responses((status = 200, description = "As it is", body = PublicService)),
)]
pub async fn get(
    ctx: Ctx,
    PathId(id): PathId,
    Query(query): Query<InStore>,
) -> Answer<Json<PublicService>> {
    let store = query.store_id.as_ref();
    let service = ctx.db()?.first(queries::service(&id, store)).await?;
    let service = service.ok_or(Code::NotFound)?;
    Ok(Json(PublicService::of(service, store)))
}

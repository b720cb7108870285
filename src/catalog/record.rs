//! What stores, services and technicians have in common: a version that guards each change, ids that
//! must name something, and an end that deletes nothing.
//!
//! A change is one batch. It begins with what must hold (the version, the ids that it names) and ends
//! with the row as it then is, so no check is apart from its write.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fields::Version;
use super::queries;
use crate::auth::caller::{Scope, Staff};
use crate::auth::permission::Permission;
use crate::d1::{DbError, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::fields::{At, Id, Int, Text};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::zone::Zone;

/// A table of the catalog that others point to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// `store`.
    Store,
    /// `service`.
    Service,
    /// `technician`.
    Technician,
    /// `resource`.
    Resource,
    /// `item`.
    Item,
    /// `photo`.
    Photo,
}

/// A row as the merchant sees it.
pub trait Record: Serialize + DeserializeOwned + Send {
    /// Where it is kept.
    const TABLE: Table;

    /// Grows with each change.
    fn version(&self) -> i64;

    /// Whether it has been retired.
    fn is_retired(&self) -> bool;
}

/// Reads a row.
///
/// # Errors
/// 404.
pub async fn load<R: Record>(ctx: &Ctx, id: &Id) -> Answer<R> {
    let found = ctx.db()?.first(queries::record(R::TABLE, id)).await?;
    found.ok_or_else(|| Code::NotFound.into())
}

/// Requires that a row may be changed from `version`.
///
/// # Errors
/// 409 `retired`, or `stale_version` with the current row.
pub fn require_fresh<R: Record>(current: &R, version: i64) -> Answer<()> {
    if current.is_retired() {
        return Err(Code::Retired.into());
    }
    if current.version() == version {
        return Ok(());
    }
    let current = serde_json::to_value(current).map_err(Problem::internal)?;
    Err(Problem::from(Code::StaleVersion).and("current", current))
}

/// Ids in a body that must name something, each with its path.
pub struct Refs {
    table: Table,
    ids: Vec<(String, Id)>,
}

impl Refs {
    /// `ids` that stand in `table`.
    pub fn new(table: Table, ids: impl IntoIterator<Item = (String, Id)>) -> Self {
        Self { table, ids: ids.into_iter().collect() }
    }

    /// The ids of one list.
    #[must_use]
    pub fn list(table: Table, field: &str, ids: &[Id]) -> Self {
        let paths = ids.iter().enumerate().map(|(at, id)| (format!("{field}[{at}]"), id.clone()));
        Self::new(table, paths)
    }

    pub(super) fn json(&self) -> String {
        let ids: Vec<&Id> = self.ids.iter().map(|(_, id)| id).collect();
        serde_json::to_string(&ids).unwrap_or_default()
    }

    const fn code(&self) -> Code {
        match self.table {
            Table::Store => Code::UnknownStore,
            Table::Service => Code::UnknownService,
            Table::Technician => Code::UnknownTechnician,
            Table::Resource => Code::UnknownResource,
            Table::Item => Code::UnknownItem,
            Table::Photo => Code::UnknownPhoto,
        }
    }

    /// The path of the first id that names nothing.
    async fn locate(&self, ctx: &Ctx) -> Answer<Option<Problem>> {
        let missing: Option<Id> =
            ctx.db()?.first(queries::missing(self.table, &self.json())).await?;
        let Some(missing) = missing else { return Ok(None) };
        let path = self.ids.iter().find(|(_, id)| *id == missing).map(|(path, _)| path.clone());
        Ok(Some(Problem::from(self.code()).at(path.unwrap_or_default())))
    }
}

/// Writes a row in one batch, and answers it as it then is. `version` is what a change was made from;
/// a new row has none.
///
/// # Errors
/// As [`require_fresh`]; 422 at an id that names nothing.
pub async fn write<R: Record>(
    ctx: &Ctx,
    id: &Id,
    version: Option<i64>,
    refs: Vec<Refs>,
    changes: Vec<Statement>,
) -> Answer<R> {
    let mut batch = Vec::new();
    batch.extend(version.map(|version| queries::is_at(R::TABLE, id, version)));
    let named = refs.iter().filter(|refs| !refs.ids.is_empty());
    batch.extend(named.map(|refs| queries::all_exist(refs.table, &refs.json())));
    batch.extend(changes);
    let last = batch.len();
    batch.push(queries::record(R::TABLE, id));
    let error = match ctx.db()?.batch(batch).await {
        Ok(rows) => return Ok(rows.one(last)?),
        Err(error) => error,
    };
    if let (DbError::Constraint(_), Some(version)) = (&error, version) {
        require_fresh(&load::<R>(ctx, id).await?, version)?;
    }
    if matches!(error, DbError::Constraint(_)) {
        for refs in refs {
            if let Some(problem) = refs.locate(ctx).await? {
                return Err(problem);
            }
        }
    }
    Err(error.into())
}

/// A body that says only from which version a change is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AtVersion {
    /// The version that was read.
    pub version: Version,
}

/// Retires a row. Nothing is deleted: orders point to it.
///
/// # Errors
/// As [`require_fresh`]; 409 `has_appointments` with up to 50 of them.
pub async fn retire<R: Record>(
    ctx: &Ctx,
    id: &Id,
    version: i64,
    also: Vec<Statement>,
) -> Answer<R> {
    require_fresh(&load::<R>(ctx, id).await?, version)?;
    // A booking's batch requires that what it books is active, so of the two batches one comes second
    // and fails.
    let mut changes = vec![
        queries::no_appointments(R::TABLE, id, ctx.now),
        queries::retire(R::TABLE, id, ctx.now),
    ];
    changes.extend(also);
    let refused = match write::<R>(ctx, id, Some(version), Vec::new(), changes).await {
        Err(problem) if problem.code() == Code::HasAppointments => problem,
        done => return done,
    };
    let statement = queries::appointments_of(R::TABLE, id, ctx.now);
    let rows = ctx.db()?.read(vec![statement]).await?;
    Err(refused.and("appointments", appointments_json(rows.all(0)?)?))
}

/// An appointment that stands in the way of a change, or that a change has left where it was.
#[derive(Serialize, ToSchema)]
pub struct Appointment {
    /// Its order; null for a session of a class.
    pub order_id: Option<Id>,
    /// Its line; null for a session of a class.
    pub line_id: Option<Id>,
    /// The session, when it is one.
    pub session_id: Option<Id>,
    /// Who does it.
    pub technician_id: Id,
    /// On the store's clock.
    pub start_at: At,
    /// On the store's clock.
    pub end_at: At,
}

/// An appointment as D1 answers it.
#[derive(Deserialize)]
pub struct AppointmentRow {
    order_id: Option<Id>,
    line_id: Option<Id>,
    session_id: Option<Id>,
    technician_id: Id,
    time_zone: Zone,
    start_at: i64,
    end_at: i64,
}

impl From<AppointmentRow> for Appointment {
    fn from(row: AppointmentRow) -> Self {
        Self {
            order_id: row.order_id,
            line_id: row.line_id,
            session_id: row.session_id,
            technician_id: row.technician_id,
            start_at: At::new(row.time_zone, row.start_at),
            end_at: At::new(row.time_zone, row.end_at),
        }
    }
}

/// Appointments for a problem.
///
/// # Errors
/// None in practice.
pub fn appointments_json(rows: Vec<AppointmentRow>) -> Answer<serde_json::Value> {
    let rows: Vec<Appointment> = rows.into_iter().map(Appointment::from).collect();
    serde_json::to_value(rows).map_err(Problem::internal)
}

/// A page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items in the page.
    #[serde(default = "Int::of::<20>")]
    #[param(inline)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[serde(default)]
    #[param(inline)]
    pub cursor: Option<Cursor>,
}

/// Items in a page.
pub type Limit = Int<1, { crate::http::page::MAX_LIMIT as i64 }>;
/// A page's `next_cursor`.
pub type Cursor = Text<1, 1000>;

/// The key after which a page begins; before every key when there is no cursor.
///
/// # Errors
/// `invalid_cursor`.
pub fn after<K: DeserializeOwned + Default>(cursor: Option<&Cursor>) -> Answer<K> {
    Ok(crate::http::page::decode(cursor.map(Text::as_str))?.unwrap_or_default())
}

/// Requires a permission in every one of several stores; in all stores for what has none.
///
/// # Errors
/// 403 `foreign_store`.
pub fn require_in_each(staff: &Staff, permission: Permission, stores: &[Id]) -> Answer<()> {
    if stores.is_empty() {
        staff.require_everywhere(permission)
    } else {
        staff.require_each(permission, stores)
    }
}

/// Requires a permission in one of several stores.
///
/// # Errors
/// 403 `foreign_store`.
pub fn require_in_any(staff: &Staff, permission: Permission, stores: &[Id]) -> Answer<()> {
    let may = match staff.scope(permission) {
        Scope::All => true,
        Scope::Stores(own) => stores.iter().any(|store| own.contains(store)),
    };
    if may { Ok(()) } else { Err(Code::ForeignStore.into()) }
}

/// Two body types with the same fields: one for a new row, one for a change, which says its version.
macro_rules! document {
    ($(#[$meta:meta])* $new:ident, $change:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $new { $($(#[$attr])* pub $field: $type,)* }

        $(#[$meta])*
        /// The whole document, in place of the one before.
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $change {
            /// The version that was read.
            pub version: crate::catalog::fields::Version,
            $($(#[$attr])* pub $field: $type,)*
        }

        impl $change {
            /// The version, and the document.
            fn split(self) -> (i64, $new) {
                (self.version.get(), $new { $($field: self.$field,)* })
            }
        }
    };
}
pub(crate) use document;

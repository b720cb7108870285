//! Statements of the staff slice.

use crate::auth::caller::{Grant, Scope};
use crate::d1::{Param, Statement, precondition};
use crate::error::{Answer, Problem};
use crate::http::fields::{Id, Phone};
use crate::sql;

/// Grants of a row of `staff`, as JSON.
macro_rules! grants {
    () => {
        "json((SELECT json_group_array(json_object('role', role, 'store_id', store_id))
            FROM (SELECT role, store_id FROM staff_grant WHERE staff_id = staff.id
                  ORDER BY role, store_id)))"
    };
}

/// A [`crate::staff::admin::StaffRow`] out of a row of `staff`.
macro_rules! row {
    () => {
        concat!(
            "json_object('id', id, 'name', name, 'phone', phone, 'technician_id', technician_id,
                'status', status, 'version', version, 'grants', ",
            grants!(),
            ") AS json FROM staff"
        )
    };
}

/// Whether a phone is sent codes: some active row has it, or it is the first owner's and no row has it.
pub fn is_known(phone: &str, is_owner: bool) -> Statement {
    sql!(
        "SELECT 'true' AS json
         WHERE EXISTS (SELECT 1 FROM staff WHERE phone = ?1 AND status = 'active')
            OR (?2 AND NOT EXISTS (SELECT 1 FROM staff WHERE phone = ?1))",
        phone,
        is_owner
    )
}

/// Makes the first owner, unless a row has the phone. Of two at once one makes it.
pub fn make_owner(id: &Id, phone: &str, now: i64) -> [Statement; 2] {
    [
        sql!(
            "INSERT INTO staff (id, phone, name, created_at, updated_at)
             SELECT ?1, ?2, '店主', ?3, ?3 WHERE NOT EXISTS (SELECT 1 FROM staff WHERE phone = ?2)",
            id,
            phone,
            now
        ),
        sql!(
            "INSERT INTO staff_grant (staff_id, role, store_id)
             SELECT id, 'owner', NULL FROM staff WHERE id = ?1",
            id
        ),
    ]
}

/// The active member of staff with a phone, with their token version.
pub fn by_phone(phone: &str) -> Statement {
    sql!(
        concat!(
            "SELECT json_object('id', id, 'name', name, 'technician_id', technician_id,
                'token_version', token_version, 'grants', ",
            grants!(),
            ") AS json FROM staff WHERE phone = ?1 AND status = 'active'"
        ),
        phone
    )
}

/// Makes every token of a member of staff void.
pub fn sign_out(id: &Id) -> Statement {
    sql!("UPDATE staff SET token_version = token_version + 1 WHERE id = ?1", id)
}

/// One row.
pub fn read(id: &Id) -> Statement {
    sql!(concat!("SELECT ", row!(), " WHERE id = ?1"), id)
}

/// Those who share a store with the scope, by id.
pub fn list(scope: &Scope, after: Option<&Id>, limit: u32) -> Statement {
    sql!(
        concat!(
            "SELECT ",
            row!(),
            " WHERE id > coalesce(?1, '')
                AND (?2 IS NULL OR EXISTS (SELECT 1 FROM staff_grant WHERE staff_id = staff.id
                  AND (store_id IS NULL OR store_id IN (SELECT value FROM json_each(?2)))))
              ORDER BY id LIMIT CAST(?3 AS INTEGER)"
        ),
        after,
        scope.json(),
        limit
    )
}

/// What is written of a member of staff.
pub struct Written<'a> {
    /// The row.
    pub id: &'a Id,
    /// Where their codes go.
    pub phone: &'a Phone,
    /// What they are called.
    pub name: &'a str,
    /// The technician that they are.
    pub technician_id: Option<&'a Id>,
    /// Their roles.
    pub grants: &'a [Grant],
}

impl Written<'_> {
    fn grant(&self) -> Answer<Statement> {
        let grants = serde_json::to_string(self.grants).map_err(Problem::internal)?;
        Ok(sql!(
            "INSERT INTO staff_grant (staff_id, role, store_id)
             SELECT ?1, value ->> 'role', value ->> 'store_id' FROM json_each(?2)",
            self.id,
            grants
        ))
    }

    /// Requires the technician to be active and in one of the stores that the writer answers for; one
    /// that the row names already may stay.
    fn technician_is_known(&self, scope: &Scope) -> Option<Statement> {
        let technician = self.technician_id?;
        Some(precondition(
            "technician_active",
            "EXISTS (SELECT 1 FROM staff WHERE id = ?2 AND technician_id = ?1)
             OR EXISTS (SELECT 1 FROM technician WHERE id = ?1 AND status = 'active'
               AND (?3 IS NULL OR EXISTS (SELECT 1 FROM technician_store
                 WHERE technician_id = ?1 AND store_id IN (SELECT value FROM json_each(?3)))))",
            vec![technician.into(), self.id.into(), scope.json().into()],
        ))
    }

    /// The batch that makes the row; its last statement answers it.
    pub fn create(&self, scope: &Scope, now: i64) -> Answer<Vec<Statement>> {
        let mut batch: Vec<_> = self.technician_is_known(scope).into_iter().collect();
        batch.extend([
            sql!(
                "INSERT INTO staff (id, phone, name, technician_id, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                self.id,
                self.phone,
                self.name,
                self.technician_id,
                now
            ),
            self.grant()?,
            read(self.id),
        ]);
        Ok(batch)
    }

    /// The batch that changes the row, of a version; its last statement answers it.
    pub fn change(&self, scope: &Scope, of: Change) -> Answer<Vec<Statement>> {
        let mut batch = vec![is_at(self.id, of.version)];
        batch.extend(self.technician_is_known(scope));
        batch.extend([
            sql!(
                "UPDATE staff SET phone = ?2, name = ?3, technician_id = ?4, version = version + 1,
                   token_version = token_version + CAST(?5 AS INTEGER), updated_at = ?6
                 WHERE id = ?1",
                self.id,
                self.phone,
                self.name,
                self.technician_id,
                of.signs_out,
                of.now
            ),
            sql!("DELETE FROM staff_grant WHERE staff_id = ?1", self.id),
            self.grant()?,
        ]);
        batch.extend(of.was_owner.then(an_owner_remains));
        batch.push(read(self.id));
        Ok(batch)
    }
}

/// What is known of a change beside what is written.
#[derive(Clone, Copy)]
pub struct Change {
    /// The version that is changed.
    pub version: i64,
    /// Whether their tokens become void.
    pub signs_out: bool,
    /// Whether they owned all stores.
    pub was_owner: bool,
    /// UTC milliseconds.
    pub now: i64,
}

/// The batch that retires a row; its last statement answers it.
pub fn retire(id: &Id, of: Change) -> Vec<Statement> {
    let mut batch = vec![
        is_at(id, of.version),
        sql!(
            "UPDATE staff SET status = 'retired', version = version + 1,
               token_version = token_version + 1, updated_at = ?2
             WHERE id = ?1",
            id,
            of.now
        ),
    ];
    batch.extend(of.was_owner.then(an_owner_remains));
    batch.push(read(id));
    batch
}

/// The name that [`is_at`] raises.
pub const STALE: &str = "staff_version";

fn is_at(id: &Id, version: i64) -> Statement {
    precondition(
        STALE,
        "EXISTS (SELECT 1 FROM staff WHERE id = ?1 AND version = ?2 AND status = 'active')",
        vec![id.into(), Param::Integer(version)],
    )
}

fn an_owner_remains() -> Statement {
    precondition(
        "last_owner",
        "EXISTS (SELECT 1 FROM staff_grant JOIN staff ON staff.id = staff_grant.staff_id
           WHERE staff_grant.role = 'owner' AND staff_grant.store_id IS NULL
             AND staff.status = 'active')",
        Vec::new(),
    )
}

/// The member with a phone.
pub fn member_by_phone(phone: &Phone) -> Statement {
    sql!(
        "SELECT json_object('id', id, 'nickname', nickname, 'avatar', avatar, 'gender', gender,
            'phone', phone) AS json
         FROM member WHERE phone = ?1 AND status = 'active'",
        phone
    )
}

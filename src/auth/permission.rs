//! What staff may do: permissions, roles as sets of them, grants of a role in one store or in all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! permissions {
    ($($variant:ident = $name:literal: $doc:literal;)*) => {
        /// A permission.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Permission { $(#[doc = $doc] $variant,)* }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As documents and messages say it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

permissions! {
    BookingReadOwn = "booking.read_own": "See one's own appointments.";
    BookingRead = "booking.read": "See a store's appointments and orders.";
    BookingWrite = "booking.write": "Book, move and cancel for customers.";
    BookingWriteOwn = "booking.write_own": "Accept, decline and pass on one's own appointments, and grab what is offered.";
    VisitWriteOwn = "visit.write_own": "Keep one's own visits: check-in, departure, arrival, start, finish, notes.";
    VisitWrite = "visit.write": "Keep any visit of a store; say who did not come.";
    CalendarBlockOwn = "calendar.block_own": "Block one's own time.";
    CalendarBlock = "calendar.block": "Block any technician's time.";
    MemberRead = "member.read": "Find members.";
    ScheduleWrite = "schedule.write": "Change working windows and holidays.";
    CatalogRead = "catalog.read": "See the catalog with what is retired.";
    CatalogWrite = "catalog.write": "Change stores, services, technicians and photos.";
    StaffRead = "staff.read": "See staff and their grants.";
    StaffWrite = "staff.write": "Make and change staff.";
    PaymentRead = "payment.read": "See payments and refunds.";
    PaymentTake = "payment.take": "Take what is due at the counter.";
    PaymentRefund = "payment.refund": "Give money back.";
    PaymentReconcile = "payment.reconcile": "See and resolve differences, retry what was given up.";
    OperationsRead = "operations.read": "See jobs, the outbox and drift.";
}

/// A role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but making staff.
    Manager,
    /// Appointments, orders and members.
    Cashier,
    /// One's own appointments and time.
    Technician,
}

impl Role {
    /// Whether the role has a permission.
    #[must_use]
    pub fn has(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Owner => true,
            Self::Manager => permission != P::StaffWrite,
            Self::Cashier => matches!(
                permission,
                P::BookingReadOwn
                    | P::BookingRead
                    | P::BookingWrite
                    | P::BookingWriteOwn
                    | P::VisitWriteOwn
                    | P::VisitWrite
                    | P::CalendarBlockOwn
                    | P::CalendarBlock
                    | P::MemberRead
                    | P::CatalogRead
                    | P::PaymentRead
                    | P::PaymentTake
            ),
            Self::Technician => {
                matches!(
                    permission,
                    P::BookingReadOwn | P::BookingWriteOwn | P::VisitWriteOwn | P::CalendarBlockOwn
                )
            }
        }
    }

    /// As rows say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Manager => "manager",
            Self::Cashier => "cashier",
            Self::Technician => "technician",
        }
    }
}

//! The rules of Zhundian, and nothing else.
//!
//! Architecture invariant: this crate never sees `Env`, HTTP, SQL, JavaScript, the clock or a random
//! source. Whatever a rule depends on is an argument, so each rule runs the same in a test on the
//! host and in the Worker (invariant I9).
//!
//! Where to start:
//! - [`time`]: the 5-minute grid, days as bits, and the one place where local time becomes instants, by
//!   the store's [`zone`];
//! - [`working`]: when somebody works (weekly patterns, overrides, time off, holidays);
//! - [`calendar`]: who has which interval of a calendar (invariants I1 and I2 are decided here);
//! - [`availability`]: which starts a service has in days of free bits (invariant I7);
//! - [`geo`] and [`home`]: where the customer lives, how long the way is and what it costs;
//! - [`recurrence`]: when the sessions of a service plan are;
//! - [`composition`]: when the services of a visit are; [`assignment`]: who serves what in it;
//!   [`staffing`]: how an appointment comes to its technician;
//! - [`recommendation`]: which starts suit a member, their technicians and the store best;
//! - [`pricing`] and [`order`]: what a booking costs and what may become of it;
//! - [`payment`], [`cancellation`] and [`ledger`]: what evidence of a payment does, what comes back, and
//!   the accounts that say where the money is (invariants I4 and I5);
//! - [`check_in`] and [`icalendar`]: the code with which a customer checks in, the feed of a technician's
//!   appointments.
//! - [`reminder`]: what is told of an appointment, to whom and when.

pub mod assignment;
pub mod availability;
pub mod calendar;
pub mod cancellation;
pub mod check_in;
pub mod composition;
pub mod geo;
pub mod home;
pub mod icalendar;
pub mod intake;
pub mod ledger;
pub mod order;
pub mod payment;
pub mod pricing;
pub mod recommendation;
pub mod recurrence;
pub mod reminder;
pub mod staffing;
pub mod time;
pub mod working;
pub mod zone;

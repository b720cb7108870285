//! The calendar object: one bookable thing's time, and the only place that decides who has it.
//!
//! **State invariant (I1):** at no instant do the live claims in `claim` take more than the calendar's
//! capacity; time blocked by staff takes all of it. It holds because a call reads its whole body first, and then loads, decides with
//! [`zhundian_domain::calendar`] and writes inside one synchronous transaction: nothing else can run in
//! between, and an alarm that comes late or never changes no answer.
//!
//! | call | what it does |
//! |---|---|
//! | [`calls::Hold`] | takes an interval until a deadline; a move holds its new time beside the old |
//! | [`calls::Confirm`] | makes it last; takes an expired one again, or answers that it is lost |
//! | [`calls::Release`] | gives it back, for good |
//! | [`calls::GiveBack`] | gives a hold back, unless another run of its operation has it too |
//! | [`calls::SetWindows`] | changes working time, unless that strands an appointment |
//! | [`calls::Windows`], [`calls::Free`], [`calls::Claims`] | read |
//!
//! **Projection:** every change notes the days it touched in `outbox`. The reply carries their free
//! bits, the caller writes them to D1 with its own batch and says so with the confirm; what it did not
//! say within half a minute the alarm writes. Bits carry the calendar's version, and an older version
//! never overwrites a newer one.
//!
//! Where to start: `answer` for the calls, [`object`] for the alarm and what happens by itself,
//! [`store`] for the tables.

mod answer;
pub mod calls;
pub mod object;
pub mod projection;
pub mod storage;
pub mod store;

pub use object::Calendar;

//! The order as clients see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::pricing::{Part, remaining_fen};
use zhundian_domain::staffing::Assignment;
use zhundian_domain::zone::Zone;

use crate::booking::offer::Offer;
use crate::booking::queries as booking;
use crate::booking::visit::VisitAddress;
use crate::catalog::AddOn;
use crate::express::{self, ExpressState, Proposal};
use crate::http::fields::{At, Id};

/// An order.
#[derive(Serialize, ToSchema)]
pub struct Order {
    /// Its id.
    id: Id,
    /// `pending_payment`, `paid`, `confirmed`, `in_service`, `completed`, `cancelled`, `no_show`,
    /// `closed`.
    status: String,
    /// How it was booked.
    mode: String,
    /// How it is paid.
    payment: String,
    /// The price, in fen.
    total_fen: i64,
    /// What must be paid now, in fen; 0 when all is paid at the store.
    due_fen: i64,
    /// What has been paid and is not given back, in fen.
    paid_fen: i64,
    /// What has been given back, or is on its way back, in fen.
    refunded_fen: i64,
    /// What remains to be paid at the store, in fen.
    remaining_fen: i64,
    /// What the price is made of; the parts sum to the total.
    price: Vec<PricePart>,
    /// What comes back when the member gives it up, by when; nothing after the last.
    cancellation: Vec<CancellationDeadline>,
    /// Until when the time is held for payment; null when nothing is waited for.
    hold_expires_at: Option<At>,
    /// The member, when the customer is one.
    member_id: Option<Id>,
    /// The store.
    store_id: Id,
    /// Its name.
    store_name: String,
    /// The service of its first appointment; null as long as there is none.
    service_id: Option<Id>,
    /// The customer's name, as far as known.
    contact_name: String,
    /// The customer's phone, as far as known.
    contact_phone: String,
    /// What the customer wishes.
    note: String,
    /// Where the technician comes to; null for a visit in the store.
    address: Option<VisitAddress>,
    /// Until when the member may cancel or move it.
    changeable_until: At,
    /// How often the member may still move it; null for no limit.
    moves_left: Option<i64>,
    /// When the customer checked in.
    checked_in_at: Option<At>,
    /// When its time was seen to be over with something due: it waits for the counter.
    ended_at: Option<At>,
    /// Grows with every change.
    version: i64,
    /// When it was made.
    created_at: At,
    /// What an express order wishes for; null for every other.
    express: Option<ExpressWish>,
    /// Its lines.
    lines: Vec<Line>,
    #[serde(skip)]
    zone: Zone,
    #[serde(skip)]
    start_at: i64,
    #[serde(skip)]
    notice_minutes: i64,
    #[serde(skip)]
    tiers: Tiers,
}

/// What an express order wishes for, and what is proposed for it.
#[derive(Serialize, ToSchema)]
pub struct ExpressWish {
    /// Of what kind the service is to be.
    category: String,
    /// The earliest start.
    from: At,
    /// Before when it is to start.
    until: At,
    /// What it waits for.
    state: ExpressState,
    /// Until when; then everything that was paid goes back. Null before it is paid and at the end.
    due_at: Option<At>,
    /// The latest proposal.
    proposal: Option<Proposed>,
}

/// A proposal.
#[derive(Serialize, ToSchema)]
pub struct Proposed {
    /// The service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// The technician.
    technician_id: Id,
    /// Their name.
    technician_name: String,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// The price, towards which the deposit counts, in fen.
    total_fen: i64,
    /// Rooms and equipment taken with it.
    resources: Vec<Resource>,
}

impl Proposed {
    fn of(proposal: &Proposal, zone: Zone) -> Self {
        Self {
            service_id: proposal.service_id.clone(),
            service_name: proposal.service_name.clone(),
            technician_id: proposal.technician_id.clone(),
            technician_name: proposal.technician_name.clone(),
            start_at: At::new(zone, proposal.start_at),
            end_at: At::new(zone, proposal.end_at),
            total_fen: proposal.total_fen,
            resources: proposal.resources.clone(),
        }
    }
}

/// What comes back until when.
#[derive(Serialize, ToSchema)]
pub struct CancellationDeadline {
    /// Until then, this instant included.
    until: At,
    /// Of what was paid, in percent.
    refund_percent: i64,
}

/// A part of a price.
#[derive(Serialize, ToSchema)]
pub struct PricePart {
    /// `service`, `level`, `travel`, `add_on`, `items`; `deposit` as long as nothing else is known.
    kind: String,
    /// Signed fen.
    fen: i64,
    /// The add-on.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The line whose price it is a part of, when the order has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    line_id: Option<String>,
}

/// A line of an order.
#[derive(Serialize, ToSchema)]
pub struct Line {
    /// Its id.
    id: Id,
    /// `appointment`.
    kind: String,
    /// `live` or `cancelled`.
    status: String,
    /// The service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// The technician; null for a member as long as the store has not said who it will be.
    technician_id: Option<Id>,
    /// Their name.
    technician_name: Option<String>,
    /// How far it has come to its technician: `assigned`; `provisional` until staff assign it; `asked`
    /// until the technician accepts it; `declined` while the next one is looked for; `offered` to all
    /// who can do it.
    assignment: String,
    /// Until when that is waited for; null when nothing is.
    answer_by: Option<At>,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// For whom, when it is somebody else than the one who booked.
    guest: Option<String>,
    /// What was taken with the service, as it was then.
    add_ons: Vec<AddOn>,
    /// In fen.
    price_fen: i64,
    /// Rooms and equipment taken with it.
    resources: Vec<Resource>,
    /// The session of a class in which it is.
    session_id: Option<Id>,
    /// Seats in it; 1 for an appointment.
    seats: u16,
    /// How far it has come.
    visit: LineVisit,
}

/// A room or a piece of equipment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = TakenResource)]
pub struct Resource {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
}

/// How far a line's visit has come.
#[derive(Default, Serialize, ToSchema)]
pub struct LineVisit {
    /// When the technician set out.
    departed_at: Option<At>,
    /// When they were there.
    arrived_at: Option<At>,
    /// When the service began.
    started_at: Option<At>,
    /// When it was done.
    finished_at: Option<At>,
    /// Photos of what was done.
    photos: Vec<Id>,
}

/// An order's row.
#[derive(Deserialize)]
pub struct Row {
    id: Id,
    status: String,
    mode: String,
    payment: String,
    member_id: Option<Id>,
    service_id: Option<Id>,
    change_notice_minutes: i64,
    start_at: i64,
    version: i64,
    created_at: i64,
    store: StoreRow,
    contact: ContactRow,
    money: MoneyRow,
    express: Option<ExpressRow>,
    visit: VisitRow,
    lines: Vec<LineRow>,
}

#[derive(Deserialize)]
struct ExpressRow {
    category: String,
    from_at: i64,
    until_at: i64,
    state: ExpressState,
    due_at: Option<i64>,
    proposal: Option<Proposal>,
}

impl ExpressRow {
    fn into_view(self, zone: Zone) -> ExpressWish {
        ExpressWish {
            category: self.category,
            from: At::new(zone, self.from_at),
            until: At::new(zone, self.until_at),
            state: self.state,
            due_at: self.due_at.map(|at| At::new(zone, at)),
            proposal: self.proposal.map(|proposal| Proposed::of(&proposal, zone)),
        }
    }
}

#[derive(Deserialize)]
struct VisitRow {
    checked_in_at: Option<i64>,
    ended_at: Option<i64>,
    moves: i64,
    max_moves: Option<i64>,
}

/// How far a line's visit has come, in UTC milliseconds.
#[derive(Deserialize)]
pub struct LineVisitRow {
    departed_at: Option<i64>,
    arrived_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    photos: Vec<Id>,
}

impl LineVisitRow {
    /// On the store's clock.
    #[must_use]
    pub fn into_view(self, zone: Zone) -> LineVisit {
        let at = |at: Option<i64>| at.map(|at| At::new(zone, at));
        LineVisit {
            departed_at: at(self.departed_at),
            arrived_at: at(self.arrived_at),
            started_at: at(self.started_at),
            finished_at: at(self.finished_at),
            photos: self.photos,
        }
    }
}

#[derive(Deserialize)]
struct StoreRow {
    id: Id,
    name: String,
    time_zone: Zone,
}

#[derive(Deserialize)]
struct ContactRow {
    name: String,
    phone: String,
    note: String,
    address: Option<VisitAddress>,
}

#[derive(Deserialize)]
struct MoneyRow {
    total_fen: i64,
    due_fen: i64,
    parts: Vec<Part>,
    hold_expires_at: Option<i64>,
    cancellation: Tiers,
    paid_fen: i64,
    refunded_fen: i64,
}

#[derive(Deserialize)]
struct LineRow {
    id: Id,
    kind: String,
    status: String,
    service_id: Id,
    service_name: String,
    technician_id: Id,
    technician_name: String,
    assignment: Assignment,
    answer_by: Option<i64>,
    start_at: i64,
    end_at: i64,
    price_fen: i64,
    resources: Vec<Resource>,
    /// The session, when it is seats in one; and how many.
    class: (Option<Id>, u16),
    /// For whom it is; what was taken with the service.
    taken: (Option<String>, Vec<AddOn>),
    visit: LineVisitRow,
}

fn parts(parts: Vec<Part>) -> Vec<PricePart> {
    parts
        .into_iter()
        .map(|Part { kind, fen, name, line_id }| PricePart { kind, fen, name, line_id })
        .collect()
}

fn changeable_until(zone: Zone, start_at: i64, notice_minutes: i64) -> At {
    At::new(zone, start_at - notice_minutes * 60_000)
}

/// Something remains only as long as the customer is to come.
fn remaining(status: &str, total_fen: i64, paid_fen: i64) -> i64 {
    if matches!(status, "cancelled" | "closed" | "no_show") {
        0
    } else {
        remaining_fen(total_fen, paid_fen)
    }
}

fn cancellation(zone: Zone, start_at: i64, tiers: &Tiers) -> Vec<CancellationDeadline> {
    let tiers = tiers.as_slice().iter();
    tiers
        .map(|tier| CancellationDeadline {
            until: At::new(zone, start_at - tier.until_minutes_before * 60_000),
            refund_percent: tier.refund_percent,
        })
        .collect()
}

impl Row {
    /// The zone of the store's clock.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.store.time_zone
    }

    /// As clients see it.
    #[must_use]
    pub fn into_view(self) -> Order {
        let Self { store, contact, money, .. } = self;
        let zone = store.time_zone;
        let lines = self.lines.into_iter().map(|line| Line {
            id: line.id,
            kind: line.kind,
            status: line.status,
            service_id: line.service_id,
            service_name: line.service_name,
            technician_id: Some(line.technician_id),
            technician_name: Some(line.technician_name),
            assignment: line.assignment.as_str().into(),
            answer_by: line.answer_by.map(|at| At::new(zone, at)),
            start_at: At::new(zone, line.start_at),
            end_at: At::new(zone, line.end_at),
            guest: line.taken.0,
            add_ons: line.taken.1,
            price_fen: line.price_fen,
            resources: line.resources,
            session_id: line.class.0,
            seats: line.class.1,
            visit: line.visit.into_view(zone),
        });
        let pending = self.status == "pending_payment";
        Order {
            remaining_fen: remaining(&self.status, money.total_fen, money.paid_fen),
            id: self.id,
            status: self.status,
            mode: self.mode,
            payment: self.payment,
            total_fen: money.total_fen,
            due_fen: money.due_fen,
            paid_fen: money.paid_fen,
            refunded_fen: money.refunded_fen,
            price: parts(money.parts),
            cancellation: cancellation(zone, self.start_at, &money.cancellation),
            hold_expires_at: money.hold_expires_at.filter(|_| pending).map(|at| At::new(zone, at)),
            member_id: self.member_id,
            store_id: store.id,
            store_name: store.name,
            service_id: self.service_id,
            contact_name: contact.name,
            contact_phone: contact.phone,
            note: contact.note,
            address: contact.address,
            changeable_until: changeable_until(zone, self.start_at, self.change_notice_minutes),
            moves_left: self.visit.max_moves.map(|most| (most - self.visit.moves).max(0)),
            checked_in_at: self.visit.checked_in_at.map(|at| At::new(zone, at)),
            ended_at: self.visit.ended_at.map(|at| At::new(zone, at)),
            version: self.version,
            created_at: At::new(zone, self.created_at),
            express: self.express.map(|wish| wish.into_view(zone)),
            lines: lines.collect(),
            zone,
            start_at: self.start_at,
            notice_minutes: self.change_notice_minutes,
            tiers: money.cancellation,
        }
    }
}

impl Line {
    /// A line that is about to be written.
    #[must_use]
    pub fn made(
        line: &booking::Line,
        line_id: Id,
        offer: &Offer,
        technician_name: &str,
        resources: Vec<Resource>,
        price_fen: i64,
    ) -> Self {
        let zone = offer.store.time_zone;
        Self {
            id: line_id,
            kind: "appointment".into(),
            status: "live".into(),
            service_id: line.service_id.clone(),
            service_name: offer.service.name.clone(),
            technician_id: Some(line.technician_id.clone()),
            technician_name: Some(technician_name.into()),
            assignment: line.assignment.as_str().into(),
            answer_by: line.answer_by.map(|at| At::new(zone, at)),
            start_at: At::new(zone, line.start_at),
            end_at: At::new(zone, line.end_at),
            guest: line.guest.map(str::to_owned),
            add_ons: offer.add_ons().to_vec(),
            price_fen,
            resources,
            session_id: None,
            seats: 1,
            visit: LineVisit::default(),
        }
    }
}

impl Order {
    /// An order that is about to be written, without reading it back: `first` and `offer` are of the first
    /// of its lines.
    #[must_use]
    pub fn made(
        order: &booking::Order,
        first: &booking::Line,
        offer: &Offer,
        lines: Vec<Line>,
        price: Vec<Part>,
        tiers: &Tiers,
    ) -> Self {
        let zone = offer.store.time_zone;
        Self {
            id: order.id.clone(),
            status: order.status.as_str().into(),
            mode: order.mode.into(),
            payment: order.payment.into(),
            total_fen: order.total_fen,
            due_fen: order.due_fen,
            paid_fen: 0,
            refunded_fen: 0,
            remaining_fen: order.total_fen,
            price: parts(price),
            cancellation: cancellation(zone, first.start_at, tiers),
            hold_expires_at: order.hold_expires_at.map(|at| At::new(zone, at)),
            member_id: order.member_id.cloned(),
            store_id: first.store_id.clone(),
            store_name: offer.store.name.clone(),
            service_id: Some(first.service_id.clone()),
            contact_name: order.contact_name.into(),
            contact_phone: order.contact_phone.into(),
            note: order.note.into(),
            address: order.address.cloned(),
            changeable_until: changeable_until(zone, first.start_at, order.change_notice_minutes),
            moves_left: offer.service.max_moves,
            checked_in_at: None,
            ended_at: None,
            version: 1,
            created_at: At::new(zone, order.now),
            express: None,
            zone,
            lines,
            start_at: first.start_at,
            notice_minutes: order.change_notice_minutes,
            tiers: tiers.clone(),
        }
    }

    /// An order that is a wish and about to be written.
    #[must_use]
    pub fn wished(
        order: &booking::Order,
        wish: &express::queries::Wish,
        (store_name, zone): (&str, Zone),
        price: Vec<Part>,
        tiers: &Tiers,
    ) -> Self {
        Self {
            id: order.id.clone(),
            status: order.status.as_str().into(),
            mode: order.mode.into(),
            payment: order.payment.into(),
            total_fen: order.total_fen,
            due_fen: order.due_fen,
            paid_fen: 0,
            refunded_fen: 0,
            remaining_fen: order.total_fen,
            price: parts(price),
            cancellation: cancellation(zone, wish.from_at, tiers),
            hold_expires_at: order.hold_expires_at.map(|at| At::new(zone, at)),
            member_id: order.member_id.cloned(),
            store_id: wish.store_id.clone(),
            store_name: store_name.into(),
            address: None,
            service_id: None,
            contact_name: order.contact_name.into(),
            contact_phone: order.contact_phone.into(),
            note: order.note.into(),
            changeable_until: changeable_until(zone, wish.from_at, order.change_notice_minutes),
            moves_left: None,
            checked_in_at: None,
            ended_at: None,
            version: 1,
            created_at: At::new(zone, order.now),
            express: Some(ExpressWish {
                category: wish.category.into(),
                from: At::new(zone, wish.from_at),
                until: At::new(zone, wish.until_at),
                state: ExpressState::Waiting,
                due_at: wish.due_at.map(|at| At::new(zone, at)),
                proposal: None,
            }),
            lines: Vec::new(),
            zone,
            start_at: wish.from_at,
            notice_minutes: order.change_notice_minutes,
            tiers: tiers.clone(),
        }
    }

    fn express_is(&mut self, state: ExpressState, due_at: Option<i64>) {
        if let Some(wish) = &mut self.express {
            wish.state = state;
            wish.due_at = due_at.map(|at| At::new(self.zone, at));
        }
        self.version += 1;
    }

    /// The wish after a proposal for it.
    pub fn proposed(&mut self, proposal: &Proposal, due_at: i64) {
        self.express_is(ExpressState::Proposed, Some(due_at));
        if let Some(wish) = &mut self.express {
            wish.proposal = Some(Proposed::of(proposal, self.zone));
        }
    }

    /// The wish after its proposal was declined.
    pub fn waits_again(&mut self, due_at: i64) {
        self.express_is(ExpressState::Waiting, Some(due_at));
    }

    /// The appointment that an accepted proposal has become, with what was paid too much on its way back.
    pub fn accepted(&mut self, proposal: &Proposal, line_id: &str, over_fen: i64) {
        let zone = self.zone;
        self.express_is(ExpressState::Accepted, None);
        self.total_fen = proposal.total_fen;
        self.due_fen = self.due_fen.min(proposal.total_fen);
        self.paid_fen -= over_fen;
        self.refunded_fen += over_fen;
        self.remaining_fen = remaining(&self.status, self.total_fen, self.paid_fen);
        self.price = parts(proposal.parts.clone());
        self.service_id = Some(proposal.service_id.clone());
        self.notice_minutes = proposal.change_notice_minutes;
        self.start_at = proposal.start_at;
        self.tiers = proposal.cancellation.clone();
        self.changeable_until = changeable_until(zone, self.start_at, self.notice_minutes);
        self.cancellation = cancellation(zone, self.start_at, &self.tiers);
        self.lines = vec![Line {
            id: line_id.parse().unwrap_or_else(|()| self.id.clone()),
            kind: "appointment".into(),
            status: "live".into(),
            service_id: proposal.service_id.clone(),
            service_name: proposal.service_name.clone(),
            technician_id: Some(proposal.technician_id.clone()),
            technician_name: Some(proposal.technician_name.clone()),
            assignment: Assignment::Assigned.as_str().into(),
            answer_by: None,
            start_at: At::new(zone, proposal.start_at),
            end_at: At::new(zone, proposal.end_at),
            guest: None,
            add_ons: Vec::new(),
            price_fen: proposal.total_fen,
            resources: proposal.resources.clone(),
            session_id: None,
            seats: 1,
            visit: LineVisit::default(),
        }];
        self.moves_left = proposal.max_moves;
    }

    /// A line after it has changed hands, or time.
    pub fn line_is(
        &mut self,
        line_id: &Id,
        to: &booking::Line,
        technician_name: &str,
        resources: &[Resource],
    ) {
        let zone = self.zone;
        for line in self.lines.iter_mut().filter(|line| line.id == *line_id) {
            line.technician_id = Some(to.technician_id.clone());
            line.technician_name = Some(technician_name.to_owned());
            to.assignment.as_str().clone_into(&mut line.assignment);
            line.answer_by = to.answer_by.map(|at| At::new(zone, at));
            line.start_at = At::new(zone, to.start_at);
            line.end_at = At::new(zone, to.end_at);
            line.resources = resources.to_vec();
        }
    }

    /// The order after lines have moved, when it starts then: they are before their visit again, unless they
    /// stay at their time.
    pub fn moved(&mut self, lines: &[&Id], start_at: i64, by_member: bool, stays: bool) {
        if !stays {
            (self.checked_in_at, self.ended_at) = (None, None);
        }
        self.moves_left = self.moves_left.map(|left| left - i64::from(by_member));
        for line in self.lines.iter_mut().filter(|line| lines.contains(&&line.id)) {
            let photos = std::mem::take(&mut line.visit.photos);
            line.visit = LineVisit { photos, ..LineVisit::default() };
        }
        self.start_at = start_at;
        self.changeable_until = changeable_until(self.zone, start_at, self.notice_minutes);
        self.cancellation = cancellation(self.zone, start_at, &self.tiers);
        self.version += 1;
    }

    /// The order after a line has got these besides.
    pub fn extended(&mut self, line_id: &Id, more: &[AddOn], price: Vec<Part>) {
        let more_fen: i64 = more.iter().map(|one| one.price_fen).sum();
        for line in self.lines.iter_mut().filter(|line| line.id == *line_id) {
            line.add_ons.extend_from_slice(more);
            line.price_fen += more_fen;
        }
        self.ended_at = None;
        self.price.extend(parts(price));
        self.total_fen += more_fen;
        self.remaining_fen = remaining(&self.status, self.total_fen, self.paid_fen);
        self.version += 1;
    }

    /// How many lines it has.
    #[must_use]
    pub const fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// The order whose line is seats in a session.
    pub fn seated(&mut self, session_id: &Id, seats: u16) {
        for line in &mut self.lines {
            line.session_id = Some(session_id.clone());
            line.seats = seats;
        }
    }

    /// The order after it was cancelled, with so much of what was paid on its way back.
    pub fn cancelled(&mut self, refund_fen: i64) {
        self.paid_fen -= refund_fen;
        self.refunded_fen += refund_fen;
        self.remaining_fen = 0;
        self.hold_expires_at = None;
        self.status = "cancelled".into();
        for line in &mut self.lines {
            line.status = "cancelled".into();
        }
        self.express_is(ExpressState::Ended, None);
    }

    /// The order as its member sees it: without the names of technicians who may yet be others.
    #[must_use]
    pub fn for_member(mut self) -> Self {
        let open = |line: &&mut Line| {
            Assignment::ALL.iter().any(|one| one.is_open() && one.as_str() == line.assignment)
        };
        for line in self.lines.iter_mut().filter(open) {
            (line.technician_id, line.technician_name) = (None, None);
        }
        self
    }

    /// The order after a line's assignment has changed, where it is.
    pub fn assigned(&mut self, line_id: &Id, assignment: Assignment) {
        for line in self.lines.iter_mut().filter(|line| line.id == *line_id) {
            assignment.as_str().clone_into(&mut line.assignment);
            line.answer_by = None;
        }
        self.version += 1;
    }

    /// Whether the store, and not the customer, says who does it.
    #[must_use]
    pub fn is_found_by_store(&self) -> bool {
        self.mode == "assigned"
    }

    /// What lists are ordered by.
    #[must_use]
    pub fn key(&self) -> (i64, Id) {
        (self.start_at, self.id.clone())
    }

    /// Whose it is.
    #[must_use]
    pub const fn member_id(&self) -> Option<&Id> {
        self.member_id.as_ref()
    }

    /// In which store.
    #[must_use]
    pub const fn store_id(&self) -> &Id {
        &self.store_id
    }

    /// Whether a technician does something of it.
    #[must_use]
    pub fn is_attended_by(&self, technician_id: &Id) -> bool {
        self.lines.iter().any(|line| line.technician_id.as_ref() == Some(technician_id))
    }
}

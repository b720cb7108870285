//! Messages of an appointment under a clock that a test moves: what is sent, minute by minute.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::cognitive_complexity
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use zhundian_domain::order::Status;
use zhundian_domain::reminder::{
    Appointment, Change, Decision, Due, Kind, LEADS, Message, Quiet, Reason, Terms, To, decide,
    follow, offer_until,
};
use zhundian_domain::time::{LocalInstant, local_instant, rfc3339};
use zhundian_domain::zone::Zone;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn at(zone: Zone, text: &str) -> i64 {
    let local = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("an instant");
    match local_instant(zone, local) {
        LocalInstant::Once(ms) | LocalInstant::Twice(ms, _) => ms,
        LocalInstant::Skipped => panic!("{text} is skipped"),
    }
}

fn clock(zone: Zone, ms: i64) -> String {
    rfc3339(zone, ms).replace('T', " ").get(5..16).expect("sixteen characters").to_owned()
}

/// A visit of a customer, the rows that were written for it, and what went out.
#[derive(Clone)]
struct World {
    zone: Zone,
    quiet: Option<Quiet>,
    leads: Vec<i64>,
    status: Status,
    start_at: i64,
    version: i64,
    /// By kind, lead and occasion, as the table's unique index has them.
    rows: BTreeMap<(Kind, To, i64, i64), Row>,
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    due: Due,
    start_at: i64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Pending,
    Sent,
    Skipped(Reason),
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: i64,
    kind: Kind,
    to: To,
    lead_minutes: i64,
    occasion: i64,
    start_at: i64,
    expires_at: i64,
    /// How the visit was when it went out.
    status: Status,
    stood_at: i64,
}

impl World {
    fn booked(zone: Zone, quiet: Option<Quiet>, leads: &[i64], start_at: i64, now: i64) -> Self {
        let mut world = Self {
            zone,
            quiet,
            leads: leads.to_vec(),
            status: Status::Confirmed,
            start_at,
            version: 1,
            rows: BTreeMap::new(),
            sent: Vec::new(),
        };
        world.write(Change::Booked, now);
        world
    }

    /// Writes the rows of a change, as the batch of the change does.
    fn write(&mut self, change: Change, now: i64) {
        let terms = Terms {
            start_at: self.start_at,
            leads: &self.leads,
            zone: self.zone,
            quiet: self.quiet,
            by_customer: false,
        };
        for due in follow(change, &terms, now) {
            assert!(now <= due.due_at && due.due_at < due.expires_at, "{due:?}");
            let occasion = if due.lead_minutes == 0 { self.version } else { self.start_at };
            let key = (due.kind, due.to, due.lead_minutes, occasion);
            let row = Row { due, start_at: self.start_at, state: State::Pending };
            self.rows
                .entry(key)
                .and_modify(|known| {
                    if matches!(known.state, State::Skipped(_)) {
                        *known = row;
                    }
                })
                .or_insert(row);
        }
    }

    fn cancel(&mut self, now: i64) {
        if self.status == Status::Confirmed {
            self.status = Status::Cancelled;
            self.version += 1;
            self.write(Change::Cancelled { stood: true }, now);
        }
    }

    fn move_to(&mut self, start_at: i64, now: i64) {
        if self.status == Status::Confirmed && start_at > now && start_at != self.start_at {
            self.start_at = start_at;
            self.version += 1;
            self.write(Change::Moved { same_technician: true }, now);
        }
    }

    /// One run of the job.
    fn run(&mut self, now: i64) {
        let appointment = Appointment {
            status: self.status,
            live: self.status.keeps_time(),
            begun: false,
            start_at: self.start_at,
            own: true,
        };
        let newest = self.version;
        let (quiet, zone) = (self.quiet, self.zone);
        for ((kind, to, lead_minutes, occasion), row) in &mut self.rows {
            if row.state != State::Pending || row.due.due_at > now {
                continue;
            }
            let message = Message {
                kind: *kind,
                to: *to,
                start_at: Some(row.start_at),
                due_at: row.due.due_at,
                expires_at: row.due.expires_at,
                at_once: row.due.at_once,
                superseded: *lead_minutes == 0 && *occasion < newest,
                holds: true,
            };
            match decide(&message, Some(&appointment), quiet.map(|quiet| (quiet, zone)), now) {
                Decision::Wait(until) => {
                    assert!(until > now, "nothing is waited for");
                    row.due.due_at = until;
                }
                Decision::Skip(reason) => row.state = State::Skipped(reason),
                Decision::Send => {
                    row.state = State::Sent;
                    self.sent.push(Sent {
                        at: now,
                        kind: *kind,
                        to: *to,
                        lead_minutes: *lead_minutes,
                        occasion: *occasion,
                        start_at: row.start_at,
                        expires_at: row.due.expires_at,
                        status: appointment.status,
                        stood_at: appointment.start_at,
                    });
                }
            }
        }
    }

    /// What must hold whatever happened.
    fn check(&self) {
        let mut seen = std::collections::BTreeSet::new();
        for sent in &self.sent {
            let key = (sent.kind, sent.to, sent.lead_minutes, sent.occasion);
            assert!(seen.insert(key), "twice: {sent:?}");
            assert!(sent.at < sent.expires_at, "too late: {sent:?}");
            if matches!(sent.kind, Kind::Before | Kind::Booked | Kind::Changed) {
                assert_eq!(
                    sent.status,
                    Status::Confirmed,
                    "to a visit that was given up: {sent:?}"
                );
                assert_eq!(sent.start_at, sent.stood_at, "for the old time: {sent:?}");
                assert!(sent.at < sent.start_at, "after the start: {sent:?}");
            }
            let wakes = self.quiet.and_then(|quiet| quiet.around(self.zone, sent.at));
            if let Some((_, until)) = wakes {
                assert!(sent.expires_at <= until, "could have waited: {sent:?}");
            }
        }
    }

    fn sent(&self, kind: Kind, start_at: i64) -> Vec<(i64, i64)> {
        let mut sent: Vec<_> = self
            .sent
            .iter()
            .filter(|one| (one.kind, one.start_at, one.to) == (kind, start_at, To::Customer))
            .map(|one| (one.lead_minutes, one.at))
            .collect();
        sent.sort_unstable_by_key(|(_, at)| *at);
        sent
    }
}

const SHANGHAI: Zone = Zone::SHANGHAI;

fn berlin() -> Zone {
    "Europe/Berlin".parse().expect("a zone")
}

fn night() -> Quiet {
    Quiet::parse("22:00-08:00").expect("quiet hours")
}

fn due(zone: Zone, quiet: Option<Quiet>, leads: &[i64], start: &str, now: &str) -> Vec<String> {
    let terms = Terms { start_at: at(zone, start), leads, zone, quiet, by_customer: false };
    follow(Change::AwaitingPayment, &terms, at(zone, now))
        .into_iter()
        .filter(|one| one.to == To::Customer)
        .map(|one| {
            let [due, until] = [one.due_at, one.expires_at].map(|ms| clock(zone, ms));
            format!("{} {due} to {until}", one.lead_minutes)
        })
        .collect()
}

#[test]
fn before_the_visit_at_each_lead_and_never_in_the_night() {
    let cases: &[(&str, &str, &[i64], &[&str])] = &[
        // Nothing to shift.
        (
            "2026-11-27 14:00",
            "2026-11-20 12:00",
            &LEADS,
            &["1440 11-26 14:00 to 11-27 13:00", "60 11-27 13:00 to 11-27 14:00"],
        ),
        // Booked after the first lead, and after both.
        ("2026-11-27 14:00", "2026-11-26 14:00", &LEADS, &["60 11-27 13:00 to 11-27 14:00"]),
        ("2026-11-27 14:00", "2026-11-27 13:00", &LEADS, &[]),
        // After the night when half of the lead is left, else before it.
        (
            "2026-11-27 08:30",
            "2026-11-20 12:00",
            &LEADS,
            &["1440 11-26 08:30 to 11-27 08:00", "60 11-27 08:00 to 11-27 08:30"],
        ),
        (
            "2026-11-27 08:25",
            "2026-11-20 12:00",
            &LEADS,
            &["1440 11-26 08:25 to 11-26 21:45", "60 11-26 21:45 to 11-27 08:25"],
        ),
        // A day before in the night: in the morning, 22 hours before.
        (
            "2026-11-27 06:00",
            "2026-11-20 12:00",
            &LEADS,
            &["1440 11-26 08:00 to 11-26 21:45", "60 11-26 21:45 to 11-27 06:00"],
        ),
        // Two that would come together are one.
        ("2026-11-27 08:10", "2026-11-20 12:00", &[600, 60], &["60 11-26 21:45 to 11-27 08:10"]),
        // Booked in the night for the morning: when they end; for the night: when it is due.
        ("2026-11-27 08:10", "2026-11-27 01:00", &LEADS, &["60 11-27 08:00 to 11-27 08:10"]),
        ("2026-11-27 07:00", "2026-11-27 01:00", &LEADS, &["60 11-27 06:00 to 11-27 07:00"]),
        ("2026-11-27 14:00", "2026-11-20 12:00", &[], &[]),
    ];
    for (start, now, leads, expected) in cases {
        assert_eq!(due(SHANGHAI, Some(night()), leads, start, now), *expected, "{start} {now}");
    }
}

#[test]
fn quiet_hours_are_the_stores_also_when_its_clock_is_turned() {
    let around = |text: &str| {
        let (from, until) = night().around(berlin(), at(berlin(), text))?;
        Some(format!("{} {}", clock(berlin(), from), clock(berlin(), until)))
    };
    // Forward on 2026-03-29, back on 2026-10-25: the night has nine and eleven hours.
    assert_eq!(around("2026-03-28 23:00").as_deref(), Some("03-28 22:00 03-29 08:00"));
    assert_eq!(around("2026-10-25 05:00").as_deref(), Some("10-24 22:00 10-25 08:00"));
    assert_eq!(around("2026-10-25 08:00"), None);
    assert_eq!(around("2026-10-25 21:59"), None);
    for bad in ["", "22:00", "22:00-22:00", "24:00-08:00", "22:00-15:00", "8-9", "22:61-08:00"] {
        assert_eq!(Quiet::parse(bad), None, "{bad}");
    }
    let noon = Quiet::parse("12:00 - 13:30").expect("a siesta");
    assert!(noon.around(SHANGHAI, at(SHANGHAI, "2026-11-27 12:00")).is_some());
    assert!(noon.around(SHANGHAI, at(SHANGHAI, "2026-11-27 13:30")).is_none());
}

#[test]
fn each_change_has_its_messages() {
    let start_at = at(SHANGHAI, "2026-11-27 14:00");
    let told = |change| {
        let terms =
            Terms { start_at, leads: &LEADS, zone: SHANGHAI, quiet: None, by_customer: true };
        let mut told: Vec<_> = follow(change, &terms, start_at - 2 * DAY)
            .iter()
            .map(|one| {
                let to = if one.to == To::Customer { 'c' } else { 't' };
                assert_eq!(one.at_once, one.to == To::Customer && one.lead_minutes == 0);
                format!("{to} {} {}", one.kind.as_str(), one.lead_minutes)
            })
            .collect();
        told.sort_unstable();
        told.join(", ")
    };
    let ahead = "c before 1440, c before 60";
    let theirs = "t before 1440, t before 60";
    let same = Change::Moved { same_technician: true };
    let other = Change::Moved { same_technician: false };
    assert_eq!(told(Change::Booked), format!("{ahead}, c booked 0, {theirs}, t booked 0"));
    assert_eq!(told(Change::AwaitingPayment), format!("{ahead}, {theirs}"));
    assert_eq!(told(Change::Paid), "c booked 0, t booked 0");
    assert_eq!(told(same), format!("{ahead}, c changed 0, {theirs}, t changed 0"));
    assert_eq!(told(other), format!("{ahead}, c changed 0, {theirs}, t booked 0"));
    assert_eq!(told(Change::Reassigned), format!("{ahead}, {theirs}, t booked 0"));
    assert_eq!(told(Change::Cancelled { stood: true }), "c cancelled 0, t cancelled 0");
    assert_eq!(told(Change::Cancelled { stood: false }), "c cancelled 0");
    assert_eq!(told(Change::Lost), "c lost 0, t cancelled 0");
    assert_eq!(told(Change::PaidInVain), "c lost 0");
    assert_eq!(told(Change::NoShow), "c no_show 0");
}

/// A message of an appointment at `start_at` that is due now, and is so.
fn due_now(kind: Kind, to: To, now: i64, start_at: i64) -> Message {
    Message {
        kind,
        to,
        start_at: Some(start_at),
        due_at: now,
        expires_at: start_at,
        at_once: false,
        superseded: false,
        holds: true,
    }
}

#[test]
fn a_message_says_what_is_so_or_nothing() {
    use Decision::{Send, Skip, Wait};
    use Reason::{Moved, NotSo};
    let now = at(SHANGHAI, "2026-11-27 12:00");
    let start_at = now + HOUR;
    let ask = |kind, to, status, live, moved: i64, own| {
        let message = due_now(kind, to, now, start_at);
        let begun = status == Status::InService;
        let appointment = Appointment { status, live, begun, start_at: start_at + moved, own };
        let so = decide(&message, Some(&appointment), None, now);
        let not = Message { holds: false, ..message };
        assert_ne!(decide(&not, Some(&appointment), None, now), Send, "{kind:?}");
        so
    };
    for kind in [Kind::Booked, Kind::Changed, Kind::Before, Kind::Plan, Kind::Asked] {
        for to in [To::Customer, To::Technician] {
            assert_eq!(ask(kind, to, Status::Confirmed, true, 0, true), Send);
            assert_eq!(ask(kind, to, Status::Confirmed, true, HOUR, true), Skip(Moved));
            assert_eq!(ask(kind, to, Status::Confirmed, true, 0, false), Skip(Moved));
            assert_eq!(ask(kind, to, Status::Confirmed, false, 0, true), Skip(NotSo));
            for open in [Status::PendingPayment, Status::Paid] {
                assert_eq!(ask(kind, to, open, true, 0, true), Wait(now + MINUTE));
            }
            for over in [
                Status::InService,
                Status::Completed,
                Status::Cancelled,
                Status::NoShow,
                Status::Closed,
            ] {
                assert_eq!(
                    ask(kind, to, over, over.keeps_time(), 0, true),
                    Skip(NotSo),
                    "{over:?}"
                );
            }
        }
    }
    for status in Status::ALL {
        let sent = |kind, to, own| ask(kind, to, status, status.keeps_time(), 0, own) == Send;
        let gone = !status.keeps_time();
        assert_eq!(sent(Kind::Cancelled, To::Customer, true), status == Status::Cancelled);
        assert_eq!(sent(Kind::Cancelled, To::Technician, true), gone);
        assert!(sent(Kind::Cancelled, To::Technician, false));
        assert_eq!(sent(Kind::NoShow, To::Customer, true), status == Status::NoShow);
        assert!(sent(Kind::Lost, To::Customer, true));
        let confirmed = status == Status::Confirmed;
        // Of what is offered to all the time is kept in somebody's calendar; a wish has no line yet.
        assert_eq!(sent(Kind::Offered, To::Technician, false), confirmed);
        assert_eq!(ask(Kind::Proposal, To::Customer, status, false, HOUR, true) == Send, confirmed);
    }
}

#[test]
fn what_is_offered_in_the_night_lasts_into_the_morning_or_until_it_begins() {
    let until = |now: &str, latest: &str| {
        let quiet = Some((night(), SHANGHAI));
        let (now, latest) = (at(SHANGHAI, now), at(SHANGHAI, latest));
        clock(SHANGHAI, offer_until(quiet, now, 15 * MINUTE, latest))
    };
    assert_eq!(until("2026-11-27 12:00", "2026-11-28 12:00"), "11-27 12:15");
    assert_eq!(until("2026-11-27 12:00", "2026-11-27 12:10"), "11-27 12:10");
    assert_eq!(until("2026-11-27 23:00", "2026-11-28 12:00"), "11-28 08:15");
    assert_eq!(until("2026-11-27 23:00", "2026-11-28 08:05"), "11-28 08:05");
    // It is told so: in the morning, or now when that would be too late.
    let now = at(SHANGHAI, "2026-11-27 23:00");
    for (latest, expected) in [
        ("2026-11-28 12:00", Decision::Wait(at(SHANGHAI, "2026-11-28 08:00"))),
        ("2026-11-28 07:00", Decision::Send),
    ] {
        let quiet = Some((night(), SHANGHAI));
        let expires_at = offer_until(quiet, now, 15 * MINUTE, at(SHANGHAI, latest));
        let message = Message {
            kind: Kind::WaitlistOffer,
            to: To::Customer,
            start_at: Some(at(SHANGHAI, latest)),
            due_at: now,
            expires_at,
            at_once: false,
            superseded: false,
            holds: true,
        };
        assert_eq!(decide(&message, None, quiet, now), expected);
        let gone = Message { holds: false, ..message };
        assert_eq!(decide(&gone, None, None, now), Decision::Skip(Reason::NotSo));
        assert_eq!(decide(&message, None, quiet, expires_at), Decision::Skip(Reason::TooLate));
    }
}

/// Around each due time of a visit, at every minute, something happens; the job runs each minute, or
/// misses some runs just then.
#[test]
fn whatever_happens_at_any_minute_around_the_due_times() {
    let zone = SHANGHAI;
    let booked_at = at(zone, "2026-11-25 10:00");
    let other = at(zone, "2026-11-29 15:00");
    let mut ran = 0;
    for (quiet, start) in [
        (None, "2026-11-27 14:00"),
        (Some(night()), "2026-11-27 14:00"),
        (Some(night()), "2026-11-27 08:10"),
        (Some(night()), "2026-11-27 08:40"),
    ] {
        let start_at = at(zone, start);
        let world = World::booked(zone, quiet, &LEADS, start_at, booked_at);
        let whole: Vec<_> = world.rows.values().map(|row| row.due.due_at).collect();
        let moments: std::collections::BTreeSet<_> =
            whole.iter().flat_map(|due| (-6..=6).map(move |off| due + off * MINUTE)).collect();
        for moment in moments.into_iter().filter(|moment| *moment > booked_at) {
            for missed in [0, 3, 20, 90] {
                for action in ["nothing", "cancel", "move", "move and back", "move and cancel"] {
                    ran += 1;
                    let mut world = world.clone();
                    let (mut now, mut gone) = (booked_at, None);
                    while now <= other {
                        if now == moment {
                            match action {
                                "cancel" => world.cancel(now),
                                "move" | "move and back" | "move and cancel" => {
                                    world.move_to(other, now);
                                }
                                _ => {}
                            }
                        }
                        if now == moment + 2 * MINUTE {
                            match action {
                                "move and back" => world.move_to(start_at, now),
                                "move and cancel" => world.cancel(now),
                                _ => {}
                            }
                        }
                        if world.status == Status::Cancelled && gone.is_none() {
                            gone = Some(now);
                        }
                        let misses = moment - MINUTE <= now && now < moment + (missed - 1) * MINUTE;
                        if !misses {
                            world.run(now);
                        }
                        now += MINUTE;
                    }
                    let what =
                        format!("{start} {action} at {} missing {missed}", clock(zone, moment));
                    world.check();
                    let (kept, old) = (world.start_at, start_at);
                    if world.status == Status::Cancelled {
                        let late = world.sent.iter().filter(|one| one.kind != Kind::Cancelled);
                        assert!(late.clone().all(|one| Some(one.at) < gone), "{what}");
                        assert_eq!(world.sent(Kind::Cancelled, kept).len(), 1, "{what}");
                        continue;
                    }
                    // The last message before the visit is never lost, and the first only when its
                    // use had ended before anybody looked.
                    let leads: Vec<_> =
                        world.sent(Kind::Before, kept).iter().map(|(lead, _)| *lead).collect();
                    if missed == 0 && action == "nothing" {
                        assert_eq!(leads, [1440, 60], "{what}");
                    }
                    // Who is moved back after it was due is told of the change instead.
                    let back = moment + 2 * MINUTE;
                    let could = now_or_never(&world, kept, moment, missed);
                    if action == "move and back"
                        && whole.iter().any(|due| (moment..=back).contains(due))
                    {
                        let told = world.sent(Kind::Changed, kept).len();
                        assert!(
                            leads.contains(&60) || told == 1 || missed == 90,
                            "{what}: {leads:?}"
                        );
                    } else {
                        assert_eq!(leads.contains(&60), could, "{what}: {leads:?}");
                    }
                    if kept != old {
                        assert!(
                            world.sent(Kind::Before, old).iter().all(|(_, at)| *at < moment),
                            "{what}"
                        );
                        assert_eq!(world.sent(Kind::Changed, kept).len(), 1, "{what}");
                    }
                }
            }
        }
    }
    assert!(ran > 2_000, "{ran}");
}

/// Whether the last message had its row and a run while it was of use.
fn now_or_never(world: &World, start_at: i64, moment: i64, missed: i64) -> bool {
    let Some(row) = world.rows.get(&(Kind::Before, To::Customer, 60, start_at)) else {
        return false;
    };
    let again = moment + (missed - 1) * MINUTE;
    let missed_whole =
        missed > 0 && moment - MINUTE <= row.due.due_at && again >= row.due.expires_at;
    !missed_whole
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Cancel,
    Move(i64),
    Run,
    Pass(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => Just(Act::Cancel),
        3 => (0_i64..400).prop_map(|ticks| Act::Move(ticks * 15 * MINUTE)),
        6 => Just(Act::Run),
        8 => (1_i64..200).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 0..60)
}

fn quiet_hours() -> impl Strategy<Value = Option<Quiet>> {
    prop::option::of((0_u16..288, 1_u16..190).prop_filter_map("too long", |(from, length)| {
        Quiet::new(from * 5, (from + length) * 5 % 1440)
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is booked, moved and cancelled, and however few runs there are.
    #[test]
    fn once_each_none_in_vain_none_lost(
        acts in acts(),
        quiet in quiet_hours(),
        leads in prop::collection::vec(5_i64..3000, 0..5),
        in_berlin in any::<bool>(),
        first in 0_i64..400,
    ) {
        // Berlin's clock is turned back in these days.
        let zone = if in_berlin { berlin() } else { SHANGHAI };
        let base = at(zone, "2026-10-23 12:00");
        let mut now = base;
        let start_at = base + (first + 1) * 15 * MINUTE;
        let mut world = World::booked(zone, quiet, &leads, start_at, now);
        for act in acts {
            match act {
                Act::Cancel => world.cancel(now),
                Act::Move(offset) => world.move_to(base + offset, now),
                Act::Run => world.run(now),
                Act::Pass(minutes) => now += minutes * MINUTE,
            }
        }
        world.check();
        // From here on the job runs each minute, and nobody changes anything any more.
        let waits: Vec<_> = world
            .rows
            .iter()
            .filter(|((kind, _, _, occasion), row)| {
                *kind == Kind::Before && *occasion == world.start_at
                    && row.state == State::Pending && row.due.expires_at > now + MINUTE
            })
            .map(|(key, row)| (*key, row.due))
            .collect();
        let end = world.rows.values().map(|row| row.due.expires_at).fold(now, i64::max);
        while now <= end {
            world.run(now);
            now += MINUTE;
        }
        world.check();
        for (key, due) in waits {
            let state = world.rows[&key].state;
            let expected = world.status == Status::Confirmed;
            prop_assert_eq!(state == State::Sent, expected, "{:?} {:?} {:?}", key, due, state);
        }
        prop_assert!(world.rows.values().all(|row| row.state != State::Pending));
    }

    /// What is planned comes in its order and before the visit, and disturbs nobody who could be told
    /// by day.
    #[test]
    fn what_is_planned(
        quiet in quiet_hours(),
        leads in prop::collection::vec(5_i64..3000, 0..5),
        ahead in 1_i64..6000,
        in_berlin in any::<bool>(),
        minute in 0_i64..10_000,
    ) {
        let zone = if in_berlin { berlin() } else { SHANGHAI };
        let now = at(zone, "2026-10-20 00:00") + minute * MINUTE;
        let start_at = now + ahead * MINUTE;
        let terms = Terms { start_at, leads: &leads, zone, quiet, by_customer: false };
        let due: Vec<_> = follow(Change::AwaitingPayment, &terms, now)
            .into_iter().filter(|one| one.to == To::Customer).collect();
        for pair in due.windows(2) {
            prop_assert_eq!(pair[0].expires_at, pair[1].due_at);
            prop_assert!(pair[0].lead_minutes > pair[1].lead_minutes);
        }
        for one in &due {
            prop_assert!(now < one.due_at && one.due_at < one.expires_at);
            prop_assert!(leads.contains(&one.lead_minutes));
            let night = quiet.and_then(|quiet| quiet.around(zone, one.due_at));
            if let Some((_, until)) = night {
                prop_assert!(until >= start_at, "woken for nothing: {:?}", one);
            }
        }
        if let Some(last) = due.last() {
            prop_assert_eq!(last.expires_at, start_at);
        }
        // The shortest lead that is still ahead is always among them.
        let shortest = leads.iter().min().filter(|lead| start_at - **lead * MINUTE > now);
        prop_assert_eq!(due.last().map(|one| one.lead_minutes), shortest.copied());
    }
}

#[test]
fn of_a_visit_that_has_begun_whoever_comes_later_is_still_told() {
    let (now, start_at) = (1_000, 5_000);
    let told = |to: To, kind: Kind, begun: bool| {
        let message = due_now(kind, to, now, start_at);
        let status = Status::InService;
        let appointment = Appointment { status, live: true, begun, start_at, own: true };
        decide(&message, Some(&appointment), None, now)
    };
    for kind in [Kind::Before, Kind::Booked, Kind::Asked, Kind::Offered] {
        assert_eq!(told(To::Technician, kind, false), Decision::Send);
        assert_eq!(told(To::Technician, kind, true), Decision::Skip(Reason::NotSo));
    }
    assert_eq!(told(To::Customer, Kind::Before, false), Decision::Skip(Reason::NotSo));
}

//! What comes with a booking besides its time: the answers to its services' forms, and what is ordered
//! beforehand.
//!
//! - [`form`]: what a service asks, as the merchant writes it; its rules are `zhundian_domain::intake`;
//! - [`answers`]: what a customer answers, for each line of a visit by itself;
//! - [`order`]: what is ordered of the store's items, at the price of the moment;
//! - [`fill`]: answering later, before the visit;
//! - [`seen`]: both in the detail of an order, and nowhere else: answers are personal.
//!
//! A booking that has neither reads and writes no statement more. Answers are deleted so many days after the
//! visit (`INTAKE_KEEP_DAYS`, [`crate::jobs::expire_rows`]).

pub mod answers;
pub mod fill;
pub mod form;
pub mod order;
pub mod queries;
pub mod seen;

use zhundian_domain::intake::Form;

use crate::auth::permission::Permission;
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::extras::answers::{Answered, Intake};
use crate::extras::order::{Chosen, ItemRow, Ordered};
use crate::http::Routes;
use crate::http::fields::Id;
use crate::order::Actor;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(fill::fill_as_member))
        .staff(Permission::BookingWrite, routes!(fill::fill_as_staff))
}

/// What a booking wishes besides its time.
#[derive(Default)]
pub struct Extras {
    /// Answers to the form of each line's service.
    pub intakes: Vec<Option<Intake>>,
    /// What is ordered.
    pub items: Ordered,
    /// Whether the forms may be answered later.
    pub may_wait: bool,
}

/// What comes with a booking about to be made.
#[derive(Default)]
pub struct Checked {
    /// By the lines' places.
    answered: Vec<(usize, Answered)>,
    items: Vec<Chosen>,
}

impl Extras {
    /// What is to be read for them.
    #[must_use]
    pub fn read(&self, store_id: &Id) -> Option<Statement> {
        order::read(&self.items, store_id)
    }

    /// Checks them against the items that [`Extras::read`] found, row `index`, and against the forms of the
    /// lines' services, each with the path of its answers in the body.
    ///
    /// # Errors
    /// The first thing that is wrong, at its field.
    pub fn checked<'a>(
        self,
        rows: &Rows,
        index: usize,
        forms: impl IntoIterator<Item = (String, Option<&'a Form>)>,
    ) -> Answer<Checked> {
        let mut answered = Vec::new();
        let mut intakes = self.intakes.into_iter();
        for (line, (at, form)) in forms.into_iter().enumerate() {
            match intakes.next().flatten() {
                Some(intake) => answered.push((line, intake.checked(form, &format!("{at}."))?)),
                None if !self.may_wait && form.is_some_and(Form::is_required) => {
                    return Err(Problem::from(Code::IntakeRequired).at(at));
                }
                None => {}
            }
        }
        let found = if self.items.0.is_empty() { Vec::new() } else { rows.all::<ItemRow>(index)? };
        Ok(Checked { answered, items: order::chosen(&self.items, found)? })
    }
}

impl Checked {
    /// How many of each item, and what one costs, in fen.
    pub fn items(&self) -> impl Iterator<Item = (i64, i64)> {
        self.items.iter().map(|chosen| (chosen.quantity, chosen.price_fen))
    }

    /// What the items cost, in fen.
    #[must_use]
    pub fn items_fen(&self) -> i64 {
        self.items().map(|(quantity, each_fen)| quantity * each_fen).sum()
    }

    /// What writes them with the order and its lines, under the condition that forms and items are what they
    /// were.
    ///
    /// # Errors
    /// None in practice.
    pub fn insert(
        &self,
        order_id: &Id,
        line_ids: &[&str],
        actor: &Actor,
        now: i64,
    ) -> Answer<Vec<Statement>> {
        let mut statements = Vec::new();
        for (line, answered) in &self.answered {
            let line_id = line_ids.get(*line).ok_or_else(|| Problem::internal("no such line"))?;
            statements.extend(queries::put_intake(line_id, answered, actor, now)?);
        }
        if !self.items.is_empty() {
            let items = serde_json::to_string(&self.items).map_err(Problem::internal)?;
            statements.extend(queries::insert_items(order_id, &items));
        }
        Ok(statements)
    }
}

//! Answers and items in the detail of an order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::intake::{Answer as Said, Form};
use zhundian_domain::zone::Zone;

use crate::extras::answers::{Answered, Answers};
use crate::extras::form::IntakeForm;
use crate::http::fields::{At, Id};
use crate::order::Actor;

/// What was answered, with the form as it was then.
#[derive(Serialize, ToSchema)]
pub struct AnsweredIntake {
    /// What was asked.
    #[schema(value_type = IntakeForm)]
    form: Form,
    /// By the fields' keys.
    #[schema(value_type = Answers)]
    answers: BTreeMap<String, Said>,
    /// When.
    answered_at: At,
    /// `member` or `staff`.
    answered_by: String,
    /// When the form's text was agreed to; null when it has none.
    agreed_at: Option<At>,
}

impl AnsweredIntake {
    /// Answers that are about to be written.
    #[must_use]
    pub fn of(answered: Answered, zone: Zone, actor: &Actor, now: i64) -> Self {
        Self {
            agreed_at: answered.form.consent.as_ref().map(|_| At::new(zone, now)),
            form: answered.form,
            answers: answered.answers,
            answered_at: At::new(zone, now),
            answered_by: actor.kind().into(),
        }
    }
}

/// What was answered for a line of an order.
#[derive(Serialize, ToSchema)]
pub struct LineAnswers {
    /// The line.
    line_id: Id,
    /// What was answered; null when its service asks something that still may be answered.
    answered: Option<AnsweredIntake>,
}

/// Something that was ordered with a booking, as it was called and cost then.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct BookedItem {
    item_id: Id,
    name: String,
    /// Of one, in fen.
    price_fen: i64,
    /// How many.
    quantity: i64,
}

/// The row that [`super::queries::seen`] answers.
#[derive(Deserialize)]
pub struct Row {
    intakes: Vec<LineRow>,
    items: Vec<BookedItem>,
}

#[derive(Deserialize)]
struct LineRow {
    line_id: Id,
    answered: Option<IntakeRow>,
}

#[derive(Deserialize)]
struct IntakeRow {
    form: Form,
    answers: BTreeMap<String, Said>,
    answered_at: i64,
    answered_by: String,
    agreed_at: Option<i64>,
}

impl Row {
    /// What was answered or is to be, by line, and what was ordered.
    #[must_use]
    pub fn into_view(self, zone: Zone) -> (Vec<LineAnswers>, Vec<BookedItem>) {
        let answered = |row: IntakeRow| AnsweredIntake {
            form: row.form,
            answers: row.answers,
            answered_at: At::new(zone, row.answered_at),
            answered_by: row.answered_by,
            agreed_at: row.agreed_at.map(|at| At::new(zone, at)),
        };
        let lines = self.intakes.into_iter();
        let lines = lines.map(|LineRow { line_id, answered: row }| LineAnswers {
            line_id,
            answered: row.map(answered),
        });
        (lines.collect(), self.items)
    }
}

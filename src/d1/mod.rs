//! D1: statements as data, one batch at a time, rows as JSON text.
//!
//! - A [`Statement`] is plain data, so a slice's `queries.rs` can be read, and tested, without a
//!   database. No SQL is written anywhere else.
//! - A statement that reads answers rows of one column named `json`. SQLite builds the text, one string
//!   crosses the boundary, and serde checks it against its type: crossing is what costs.
//! - A batch is a transaction. An UPDATE of no rows does not stop it, so every precondition is made to
//!   raise: a named constraint, or [`precondition`]. What raised comes back as
//!   [`DbError::Constraint`] with its name, and `error.rs` maps names to codes.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::D1Database;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, JSON};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast as _, JsValue};

use boundary::{Binding, Outcome, Prepared};

mod boundary;
mod row;

/// A parameter.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Param {
    /// NULL.
    Null,
    /// An integer; magnitudes up to 2^53 survive the boundary.
    Integer(i64),
    /// A number that is no integer.
    Real(f64),
    /// Text.
    Text(String),
}

macro_rules! param_from {
    ($($from:ty, $value:ident => $param:expr;)*) => {
        $(impl From<$from> for Param { fn from($value: $from) -> Self { $param } })*
    };
}

param_from! {
    i64, value => Self::Integer(value);
    i32, value => Self::Integer(value.into());
    u32, value => Self::Integer(value.into());
    u16, value => Self::Integer(value.into());
    bool, value => Self::Integer(value.into());
    f64, value => Self::Real(value);
    String, value => Self::Text(value);
    &String, value => Self::Text(value.clone());
    &str, value => Self::Text(value.to_owned());
}

impl<T: Into<Self>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<chrono::NaiveDate> for Param {
    fn from(value: chrono::NaiveDate) -> Self {
        Self::Text(value.to_string())
    }
}

/// One statement with its parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    sql: Cow<'static, str>,
    params: Vec<Param>,
}

impl Statement {
    /// A statement; `?1` is the first parameter.
    #[must_use]
    pub fn new(sql: impl Into<Cow<'static, str>>, params: Vec<Param>) -> Self {
        Self { sql: sql.into(), params }
    }
}

/// `sql!("… ?1 … ?2", first, second)`: a [`Statement`].
#[macro_export]
macro_rules! sql {
    ($sql:expr $(, $param:expr)* $(,)?) => {
        $crate::d1::Statement::new($sql, vec![$($crate::d1::Param::from($param)),*])
    };
}

/// A statement that stops the batch with the constraint `name` unless `condition` (an SQL expression)
/// is true. Nothing is written: the trigger on the view `precondition` raises, or does not.
#[must_use]
pub fn precondition(name: &str, condition: &str, params: Vec<Param>) -> Statement {
    let sql = format!("INSERT INTO precondition (name, ok) SELECT '{name}', ({condition})");
    Statement::new(sql, params)
}

/// What a database answers when it does not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DbError {
    /// A constraint or precondition with this name raised, and the whole batch was undone.
    Constraint(String),
    /// It did not answer, or not in time; what was written is unknown, and asking again is safe
    /// because every write carries its operation's id.
    Unavailable(String),
    /// A row does not fit its type.
    Row(String),
}

impl DbError {
    /// Whether the named constraint raised.
    #[must_use]
    pub fn is_constraint(&self, name: &str) -> bool {
        matches!(self, Self::Constraint(raised) if raised == name)
    }
}

/// What a request cost, for its log line.
#[derive(Default, Debug)]
pub struct Meter {
    rows_read: AtomicU32,
    rows_written: AtomicU32,
    batches: AtomicU32,
    calls: AtomicU32,
}

impl Meter {
    /// Notes one call of a calendar object.
    pub fn note_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows read and written, batches, and calls of calendar objects.
    #[must_use]
    pub fn read(&self) -> [u32; 4] {
        [&self.rows_read, &self.rows_written, &self.batches, &self.calls]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// The rows that the statements of a batch answered, each row's `json` column.
#[derive(Debug, Default)]
pub struct Rows(Vec<Vec<String>>);

impl Rows {
    /// The first row of statement `index`, read as `T`.
    ///
    /// # Errors
    /// [`DbError::Row`] when it does not fit.
    pub fn first<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, DbError> {
        self.0.get(index).and_then(|rows| rows.first()).map(|json| parse(json)).transpose()
    }

    /// The first row of a statement that always answers one.
    ///
    /// # Errors
    /// [`DbError::Row`] when there is none, or it does not fit.
    pub fn one<T: DeserializeOwned>(&self, index: usize) -> Result<T, DbError> {
        self.first(index)?.ok_or_else(|| DbError::Row(format!("statement {index}: no row")))
    }

    /// Every row of statement `index`.
    ///
    /// # Errors
    /// [`DbError::Row`] when one does not fit.
    pub fn all<T: DeserializeOwned>(&self, index: usize) -> Result<Vec<T>, DbError> {
        self.0
            .get(index)
            .map_or(&[] as &[_], Vec::as_slice)
            .iter()
            .map(|json| parse(json))
            .collect()
    }

    /// The first row of statement `index` as the text it came in.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        self.0.get(index).and_then(|rows| rows.first()).map(String::as_str)
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, DbError> {
    row::from_str(json).map_err(|error| {
        DbError::Row(format!("{error} in a row for {}", std::any::type_name::<T>()))
    })
}

/// Milliseconds after which D1 counts as not answering.
const TIMEOUT_MS: u64 = 8_000;
/// Tries of a batch that only reads.
const READ_TRIES: u32 = 3;

/// The database.
#[derive(Clone)]
pub struct Db {
    d1: Arc<D1Database>,
    meter: Arc<Meter>,
}

impl Db {
    /// Over a binding; what is read and written is counted in `meter`.
    #[must_use]
    pub fn new(d1: D1Database, meter: Arc<Meter>) -> Self {
        Self { d1: Arc::new(d1), meter }
    }

    /// Runs statements as one transaction, all or none.
    pub fn batch(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Rows, DbError>> + Send + use<> {
        let db = self.clone();
        SendFuture::new(async move { db.run(&statements).await })
    }

    /// Runs statements that only read, again when the connection was lost.
    pub fn read(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Rows, DbError>> + Send + use<> {
        let db = self.clone();
        SendFuture::new(async move {
            let mut tries = 1;
            loop {
                match db.run(&statements).await {
                    Err(DbError::Unavailable(cause))
                        if tries < READ_TRIES && is_worth_another_try(&cause) =>
                    {
                        tries += 1;
                    }
                    done => return done,
                }
            }
        })
    }

    /// The first row of one statement that only reads.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn first<T: DeserializeOwned>(
        &self,
        statement: Statement,
    ) -> Result<Option<T>, DbError> {
        self.read(vec![statement]).await?.first(0)
    }

    async fn run(&self, statements: &[Statement]) -> Result<Rows, DbError> {
        self.meter.batches.fetch_add(1, Ordering::Relaxed);
        let batch = self.start(statements).map_err(|error| explain(&error))?;
        let results = crate::http::timeout(TIMEOUT_MS, batch)
            .await
            .ok_or_else(|| DbError::Unavailable(format!("D1: no answer in {TIMEOUT_MS} ms")))?
            .map_err(|error| explain(&error))?;
        let mut rows = Vec::with_capacity(statements.len());
        for outcome in Array::from(&results).iter().map(JsValue::unchecked_into::<Outcome>) {
            let meta = outcome.meta();
            // A count that D1 leaves out is NaN here, which becomes 0.
            self.meter.rows_read.fetch_add(meta.rows_read() as u32, Ordering::Relaxed);
            self.meter.rows_written.fetch_add(meta.rows_written() as u32, Ordering::Relaxed);
            let answered = outcome.results();
            rows.push(answered.iter().filter_map(|row| boundary::text(&row)).collect());
        }
        Ok(Rows(rows))
    }

    /// Hands a batch to D1. The parameters of all its statements cross the boundary as one text.
    fn start(&self, statements: &[Statement]) -> Result<JsFuture, JsValue> {
        let d1: &JsValue = (*self.d1).as_ref();
        let d1: &Binding = d1.unchecked_ref();
        let params: Vec<&[Param]> =
            statements.iter().map(|statement| statement.params.as_slice()).collect();
        let params = serde_json::to_string(&params).map_err(|error| error.to_string())?;
        let params = Array::from(&JSON::parse(&params)?);
        let prepared = statements
            .iter()
            .zip(params.iter())
            .map(|(statement, params)| d1.prepare(&statement.sql)?.bind(&Array::from(&params)))
            .collect::<Result<Vec<Prepared>, JsValue>>()?;
        d1.batch(&prepared.into_iter().collect()).map(JsFuture::from)
    }
}

fn explain(error: &JsValue) -> DbError {
    let text = match error.dyn_ref::<worker::js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    };
    match raised(&text) {
        Some(name) => DbError::Constraint(name),
        None => DbError::Unavailable(text),
    }
}

/// The name of the constraint that a message of SQLite's speaks of.
///
/// `CHECK` gives the constraint's name; `UNIQUE` the columns, of which table and first column make the
/// name (`member.phone` is `member_phone`); a trigger the words after `precondition`.
fn raised(message: &str) -> Option<String> {
    let after = |mark: &str| {
        let rest = message.split_once(mark)?.1;
        let end = rest.find([':', ',', ' ']).unwrap_or(rest.len());
        rest.get(..end).map(str::to_owned)
    };
    after("precondition ")
        .or_else(|| after("CHECK constraint failed: "))
        .or_else(|| after("UNIQUE constraint failed: ").map(|column| column.replace('.', "_")))
        .or_else(|| {
            message.contains("FOREIGN KEY constraint failed").then(|| "foreign_key".to_owned())
        })
}

/// D1's own list of messages after which a repetition is safe and may help.
fn is_worth_another_try(cause: &str) -> bool {
    [
        "Network connection lost",
        "storage caused object to be reset",
        "reset because its code was updated",
    ]
    .iter()
    .any(|known| cause.contains(known))
}

#[cfg(test)]
mod tests {
    use super::raised;

    #[test]
    fn a_constraint_is_known_by_its_name() {
        let cases = [
            (
                "D1_ERROR: CHECK constraint failed: account_balance: SQLITE_CONSTRAINT",
                Some("account_balance"),
            ),
            (
                "D1_ERROR: UNIQUE constraint failed: member.phone: SQLITE_CONSTRAINT",
                Some("member_phone"),
            ),
            (
                "D1_ERROR: UNIQUE constraint failed: idempotency.actor, idempotency.key: SQLITE_CONSTRAINT",
                Some("idempotency_actor"),
            ),
            ("D1_ERROR: precondition daily_limit: SQLITE_CONSTRAINT_TRIGGER", Some("daily_limit")),
            ("D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT", Some("foreign_key")),
            ("D1_ERROR: no such table: x", None),
            ("Network connection lost", None),
        ];
        for (message, name) in cases {
            assert_eq!(raised(message).as_deref(), name, "{message}");
        }
    }
}

//! What workers-rs leaves out of a Durable Object's storage, and the one way to run SQL in it.
//!
//! Facts behind this file: a failed handler does not undo what it wrote, so multi-statement writes go
//! through `transactionSync`; `SqlCursor::one` and a cursor that throws hang the object, so a cursor
//! is only ever drained into an array; numbers bind as REAL, so tables are STRICT.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Reflect};
use serde::de::DeserializeOwned;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Error, Result, SqlStorage, SqlStorageValue, Storage};

/// Runs `body` as one transaction: when it fails, everything it wrote is undone. `body` cannot await.
///
/// # Errors
/// What `body` answers, or a fault of the storage.
pub fn transaction<T: 'static>(
    storage: &Storage,
    body: impl FnOnce() -> Result<T> + 'static,
) -> Result<T> {
    let raw: &JsValue = storage.as_raw().as_ref();
    let transaction_sync: Function =
        Reflect::get(raw, &"transactionSync".into())?.dyn_into().map_err(Error::from)?;
    let outcome = Rc::new(RefCell::new(None));
    let answer = Rc::clone(&outcome);
    let callback = Closure::once(move || -> std::result::Result<JsValue, JsValue> {
        let result = body();
        let failed = result.is_err();
        answer.replace(Some(result));
        // The runtime rolls back when the callback throws.
        if failed { Err(js_sys::Error::new("rollback").into()) } else { Ok(JsValue::UNDEFINED) }
    });
    let thrown = transaction_sync.call1(raw, callback.as_ref().unchecked_ref());
    match outcome.take() {
        Some(Ok(value)) => thrown.map(|_| value).map_err(Error::from),
        Some(Err(error)) => Err(error),
        None => Err(thrown.err().map_or_else(|| "transaction not run".into(), Error::from)),
    }
}

/// Runs a statement that answers nothing.
///
/// # Errors
/// A constraint or a fault.
pub fn run(sql: &SqlStorage, query: &str, params: Vec<SqlStorageValue>) -> Result<()> {
    sql.exec(query, params)?.to_array::<serde_json::Value>().map(drop)
}

/// Runs a query whose only column, `json`, is JSON text, and reads each row's. One string crosses the
/// boundary, however many claims it lists.
///
/// # Errors
/// A fault, or a row that does not fit its type.
pub fn json_rows<T: DeserializeOwned>(
    sql: &SqlStorage,
    query: &str,
    params: Vec<SqlStorageValue>,
) -> Result<Vec<T>> {
    #[derive(serde::Deserialize)]
    struct Row {
        json: String,
    }
    sql.exec(query, params)?
        .to_array::<Row>()?
        .into_iter()
        .map(|row| {
            serde_json::from_str(&row.json)
                .map_err(|error| Error::RustError(format!("a row does not fit its type: {error}")))
        })
        .collect()
}
